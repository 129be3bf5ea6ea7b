"""What d2l changes in Gluon's files, data loaders and Blocks."""
import functools
import gc
import os
import sys
import time

# Objects that Python 3.12 freezes as it starts; of any other version, somebody else has frozen some
FROZEN_BY_PYTHON = gc.get_freeze_count() if sys.version_info[:2] == (3, 12) else 0
COLLECT_SHARE = 10          # MXNet's DataLoaders collect garbage for at most a tenth of the time


# ---- garbage
def collect_less():
    """Make MXNet collect garbage less often. It does so for each new DataLoader, which takes a
    quarter of a second, and section 15.6 makes one for each user. While all objects are frozen, the
    collector has none to look at."""
    from mxnet.gluon.data import DataLoader

    # collected: when garbage was last collected, and how long it took
    original, collected = DataLoader.__init__, [0, 0]

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        start = time.monotonic()
        frozen = (start - collected[0] < COLLECT_SHARE * collected[1]
                  and gc.get_freeze_count() <= FROZEN_BY_PYTHON)
        if frozen:
            gc.freeze()
        try:
            original(self, *args, **kwargs)
        finally:
            if frozen:
                gc.unfreeze()
            else:
                collected[:] = start, time.monotonic() - start
    DataLoader.__init__ = init


# ---- files
def pictures():
    """Return the folder of the pictures that the book's listings read as ../img/...: in a checkout
    it is beside d2l, in a wheel it is in the package d2l_chapters."""
    beside = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for package in 'chapters', 'd2l_chapters':
        folder = os.path.join(beside, package, 'img')
        if os.path.isdir(folder):
            return folder
    return os.path.join(beside, 'd2l_chapters', 'img')


def find_pictures():
    from mxnet import image

    original = image.imread

    @functools.wraps(original)
    def imread(filename, *args, **kwargs):
        if isinstance(filename, (str, os.PathLike)):
            folder, name = os.path.split(os.fspath(filename))
            shipped = os.path.join(pictures(), name)
            if os.path.basename(folder) == 'img' and not os.path.exists(filename) \
                    and os.path.isfile(shipped):
                print(f'd2l: there is no {filename} here; this is the one shipped with the book: '
                      f'{shipped}', file=sys.stderr)
                filename = shipped
        return original(filename, *args, **kwargs)
    image.imread = image.image.imread = imread


def load_a_lone_layer():
    """Repair load_parameters for a layer that has no children. save_parameters writes its
    Parameters with names without a dot, and load_parameters takes such a file for an older format.
    """
    from mxnet import gluon, npx
    from mxnet.base import MXNetError

    original = gluon.Block.load_parameters

    @functools.wraps(original)
    def load_parameters(self, filename, ctx=None, allow_missing=False, ignore_extra=False,
                        cast_dtype=False, dtype_source='current'):
        own, loaded = self._collect_params_with_prefix(), {}
        if own and not any('.' in name for name in own) and os.path.isfile(filename) \
                and npx.is_np_array():
            try:
                loaded = npx.load(filename)
            except MXNetError:                  # the original raises the error
                pass
        if not isinstance(loaded, dict) or not loaded or not own.keys() & loaded.keys():
            return original(self, filename, ctx, allow_missing, ignore_extra, cast_dtype,
                            dtype_source)
        for name in own.keys() - loaded.keys():
            if not allow_missing:
                raise AssertionError(f"Parameter '{name}' is missing in file '{filename}': "
                                     'allow_missing=True ignores that')
        for name in loaded.keys() - own.keys():
            if not ignore_extra:
                raise ValueError(f"'{filename}' has a Parameter '{name}', which this "
                                 f'{type(self).__name__} has not: ignore_extra=True ignores that')
        for name in own.keys() & loaded.keys():
            own[name]._load_init(loaded[name], ctx, cast_dtype=cast_dtype,
                                 dtype_source=dtype_source)
    gluon.Block.load_parameters = load_parameters


# ---- the rest
def fetch():
    from d2l.data import fetch

    fetch.replace_gluons()


def update_faster():
    from d2l import updates

    updates.install()


def copy_compiled():
    from mxnet import gluon

    def copy(block):
        from d2l.hybrid.block import copied  # here, as the compiler is imported later
        return copied(block)
    gluon.Block.__copy__ = copy
