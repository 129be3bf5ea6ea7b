"""Makers of synthetic stand-ins, one module per family of data sets.

Each module has `make(name, size)`, which returns the bytes of the file whose URL ends with name.
For a file of mostly zeros it returns a list of pieces, which are bytes, or whole numbers for that
many zero bytes. size is the number of training examples, or None for the family's default; some
families ignore it. A maker returns the same bytes on every machine (see `pack`). A new family needs
a module, and entries for its files in FAMILIES.
"""
import functools
import hashlib
import importlib
import os
import pathlib

# End of the URL, with as much of the path as identifies the file -> module
FAMILIES = {
    'kaggle_house_pred_train.csv': 'house_prices',
    'kaggle_house_pred_test.csv': 'house_prices',
    'timemachine.txt': 'time_machine',
    'airfoil_self_noise.dat': 'airfoil',
    'fra-eng.zip': 'fra_eng',
    'fashion-mnist/train-images-idx3-ubyte.gz': 'fashion_mnist',
    'fashion-mnist/train-labels-idx1-ubyte.gz': 'fashion_mnist',
    'fashion-mnist/t10k-images-idx3-ubyte.gz': 'fashion_mnist',
    'fashion-mnist/t10k-labels-idx1-ubyte.gz': 'fashion_mnist',
    'mnist/train-images-idx3-ubyte.gz': 'mnist',
    'mnist/train-labels-idx1-ubyte.gz': 'mnist',
    'mnist/t10k-images-idx3-ubyte.gz': 'mnist',
    'mnist/t10k-labels-idx1-ubyte.gz': 'mnist',
    'ptb.zip': 'ptb',
    'glove/glove.6B.zip': 'embeddings',
    'glove/glove.42B.300d.zip': 'embeddings',
    'glove/glove.840B.300d.zip': 'embeddings',
    'glove/glove.twitter.27B.zip': 'embeddings',
    'fasttext/wiki.simple.zip': 'embeddings',
    'aclImdb_v1.tar.gz': 'imdb',
    'snli_1.0.zip': 'snli',
    'ml-100k.zip': 'movielens',
    'ctr.zip': 'ctr',
    'pokemon.zip': 'pokemon',
    'cifar10/cifar-10-binary.tar.gz': 'cifar10',
    'hotdog.zip': 'hotdog',
    'models/resnet18_v2-a81db45f.zip': 'models',
    'pikachu.zip': 'pikachu',
    'VOCtrainval_11-May-2012.tar': 'voc2012',
    'models/vgg19-ad2f660d.zip': 'models',
    'kaggle_cifar10_tiny.zip': 'cifar10',
    'kaggle_dog_tiny.zip': 'dogs',
    'models/resnet34_v2-9d6b80bb.zip': 'models',
}
MIN_SIZE = 60           # smallest D2L_SAMPLE_SIZE: a sixth, for testing, has all ten classes


def find(url):
    """Return the key of FAMILIES that a URL ends with, or None."""
    return next((name for name in FAMILIES if ('/' + url).endswith('/' + name)), None)


def size():
    """Return D2L_SAMPLE_SIZE as a number, None if it is not set."""
    text = os.environ.get('D2L_SAMPLE_SIZE')
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= MIN_SIZE):
        raise ValueError(f"D2L_SAMPLE_SIZE is '{text}': say how many training images, "
                         f'{MIN_SIZE} or more')
    return int(text)


@functools.lru_cache(maxsize=None)
def recipe():
    """Return 8 hex digits that change with any byte of the makers' code, so that no stale stand-in
    is used."""
    digest, here = hashlib.sha1(), pathlib.Path(__file__).parent
    for path in sorted([*here.glob('*.py'), *here.glob('*.npz')]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def folder():
    """Return the folder of the stand-ins, relative to the folder of the real file."""
    n = size()
    return os.path.join('sample', recipe() if n is None else f'{recipe()}-{n}')


def pieces(name):
    """Return the stand-in for a key of FAMILIES as a list of pieces (see the module's docstring).
    """
    made = importlib.import_module(f'{__name__}.{FAMILIES[name]}').make(name, size())
    return [made] if isinstance(made, bytes) else made


def make(name):
    """Return the bytes of the stand-in for a key of FAMILIES."""
    return b''.join(bytes(piece) for piece in pieces(name))
