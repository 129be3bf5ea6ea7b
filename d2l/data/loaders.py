"""Fast versions of `load_array` (3.3) and `load_data_fashion_mnist` (3.5).

The book's listings make an MXNet array of each example, and then stack those of a minibatch, which
takes seconds for 60,000 images. Here a minibatch is one array from the start. The same seeds give
the same examples in the same order, with the same dtypes and shapes, in gluon's own DataLoader.
"""
import ctypes

import numpy as onp
from mxnet import gluon, nd, np, util
from mxnet.gluon.data.dataloader import default_batchify_fn

from ..c_api import address

__all__ = ['load_array', 'load_data_fashion_mnist']


def _loader(num_examples, batch_size, shuffle, batchify):
    """Return a DataLoader whose minibatches are batchify(rows). rows: an array of indices of
    examples, 0 to num_examples - 1
    """
    return gluon.data.DataLoader(range(num_examples), batch_size, shuffle,
                                 batchify_fn=lambda rows: batchify(onp.asarray(rows)))


def _new(shape, dtype):
    """Return a new MXNet array on the CPU, and a NumPy view of its memory, which must be filled at
    once. For 256 integers this takes 8 us, and a copy by `np.array` 115 us."""
    array = (np if util.is_np_array() else nd).empty(shape, dtype=dtype)
    size = array.size * onp.dtype(dtype).itemsize
    memory = (ctypes.c_byte * size).from_address(address(array))
    return array, onp.ndarray(shape, dtype, memory)


def _copy(values):
    """Return an MXNet array with the values of a NumPy array."""
    array, memory = _new(values.shape, values.dtype)
    memory[...] = values
    return array


def _plain(array):
    """Return an MXNet array as a NumPy array, and any other value unchanged."""
    return array.asnumpy() if isinstance(array, nd.NDArray) else array


def _gather(array, rows):
    """Return the rows of an array, a list or a data set, as one MXNet array."""
    if isinstance(array, np.ndarray):
        return np.take(array, _copy(rows).as_in_ctx(array.ctx), axis=0, mode='clip')
    if isinstance(array, onp.ndarray):
        return _copy(array[rows])
    return default_batchify_fn([array[i] for i in rows])


def load_array(data_arrays, batch_size, is_train=True):
    """Construct a Gluon data loader (3.3). A minibatch is a list with a part of each of
    data_arrays; if there is only one, it is the part itself.

    data_arrays: arrays, lists or data sets of the same length
    is_train: whether to shuffle, with NumPy's random numbers
    """
    dataset = gluon.data.ArrayDataset(*data_arrays)     # raises an error if lengths differ
    # as in ArrayDataset, vectors are copied now, and others are read when a minibatch is made
    arrays = [_plain(array) if len(getattr(array, 'shape', ())) == 1 else array
              for array in data_arrays]

    def batchify(rows):
        batch = [_gather(array, rows) for array in arrays]
        return batch if len(batch) > 1 else batch[0]
    return _loader(len(dataset), batch_size, is_train, batchify)


def _scaled(images):
    """Convert uint8 images (n, height, width, 1) as ToTensor does: to float32 (n, 1, height, width)
    from 0 to 1."""
    n, *sides, _ = images.shape
    X, memory = _new((n, 1, *sides), 'float32')
    onp.divide(images.reshape(X.shape), onp.float32(255), dtype='float32', out=memory)
    return X


def load_data_fashion_mnist(batch_size, resize=None):
    """Return two loaders for Fashion-MNIST, with minibatches for training and for testing (3.5).

    A minibatch is [X, y]: images (n, 1, 28, 28) float32 from 0 to 1, and labels (n,) int32. The
    training set is shuffled with NumPy's random numbers.
    resize: the side of the images in pixels, or (width, height)
    """
    transforms = gluon.data.vision.transforms
    to_tensor, resized = transforms.ToTensor(), resize and transforms.Resize(resize)

    def loader(train):
        images, labels = map(_plain, gluon.data.vision.FashionMNIST(train=train)[:])

        def batchify(rows):
            X = images[rows]
            X = to_tensor(resized(_copy(X))) if resize else _scaled(X)
            return [X, _copy(labels[rows])]
        return _loader(len(labels), batch_size, train, batchify)
    return loader(True), loader(False)
