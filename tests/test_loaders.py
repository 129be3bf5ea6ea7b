"""`d2l.load_array` and `d2l.load_data_fashion_mnist` against the listings of 3.3 and 3.5."""
import numpy as onp
import pytest
from mxnet import gluon, np, npx

import d2l
from ci import build_lib

SEED, EPOCHS = 4, 3
npx.set_np()


@pytest.fixture(scope='module')
def listings():
    """A dict with the functions that the listings of 3.3 and 3.5 define."""
    names = build_lib.listings('3.3', '3.5')
    assert names['load_array'] is not d2l.load_array
    return names


def seen(loader, start=iter):
    """What a loader gives once NumPy is seeded with SEED: lists of (class, dtype, shape, bytes)."""
    def plain(part):
        if isinstance(part, (list, tuple)):
            return type(part), [plain(p) for p in part]
        values = part.asnumpy()
        return type(part), values.dtype, values.shape, values.tobytes()
    onp.random.seed(SEED)
    return [[plain(batch) for batch in start(loader)] for _ in range(EPOCHS)]


def together(loader):
    """Batches of two iterators of one loader, in turn."""
    return (pair for pair in zip(loader, loader))


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('resize', [None, 20, (36, 24)], ids=str)
def test_fashion_mnist(listings, monkeypatch, resize, workers):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '300')
    monkeypatch.setitem(listings, 'get_dataloader_workers', lambda: workers)
    for ours, theirs in zip(d2l.load_data_fashion_mnist(64, resize),
                            listings['load_data_fashion_mnist'](64, resize)):
        assert len(ours) == len(theirs) == -(-len(theirs._dataset) // 64)
        assert isinstance(ours, gluon.data.DataLoader)
        assert seen(ours) == seen(theirs)
        assert seen(ours, together) == seen(theirs, together)


@pytest.mark.parametrize('resize', [None, 20], ids=str)
def test_fashion_mnist_without_np_mode(listings, monkeypatch, resize):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '300')
    monkeypatch.setitem(listings, 'get_dataloader_workers', lambda: 0)
    npx.reset_np()
    try:
        ours, theirs = (load(64, resize)[0] for load in (
            d2l.load_data_fashion_mnist, listings['load_data_fashion_mnist']))
        assert seen(ours) == seen(theirs)
    finally:
        npx.set_np()


def test_fashion_mnist_scales_every_byte():
    images = onp.arange(256, dtype='uint8').reshape(2, 16, 8, 1)
    expected = gluon.data.vision.transforms.ToTensor()(np.array(images, dtype='uint8'))
    scaled = d2l.data.loaders._scaled(images)
    assert scaled.shape == expected.shape == (2, 1, 16, 8)
    assert scaled.asnumpy().tobytes() == expected.asnumpy().tobytes()


def test_minibatches_stay_valid_when_another_loader_reads(monkeypatch):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '300')
    batches = list(d2l.load_data_fashion_mnist(64)[1])
    again = list(d2l.load_data_fashion_mnist(64)[1])
    assert all((a == b).all() for batch, other in zip(batches, again) for a, b in zip(batch, other))


def rows(*shape, dtype='float32'):
    """Values that differ from row to row."""
    return onp.arange(onp.prod(shape)).reshape(shape).astype(dtype)


ARRAYS = {
    'matrix and vector': lambda: (np.array(rows(23, 3)), np.array(rows(23))),
    'matrix alone': lambda: (np.array(rows(23, 3)),),
    'vector alone': lambda: (np.array(rows(23)),),
    'four arrays, as 9.5': lambda: (np.array(rows(23, 4, dtype='int32'), dtype='int32'),
                                    np.array(rows(23)), np.array(rows(23, 4)),
                                    np.array(rows(23, dtype='int64'), dtype='int64')),
    'tensors': lambda: (np.array(rows(23, 2, 3, 2)), np.array(rows(23, 1))),
    'numpy': lambda: (rows(23, 3, dtype='float64'), rows(23, dtype='int8')),
    'lists, as 14.8': lambda: (np.array(rows(23, 3)), list(range(23))),
    'list alone': lambda: ([[i, 2. * i] for i in range(23)],),
    'list of arrays': lambda: ([np.ones((2,)) * i for i in range(23)], [onp.ones(2)] * 23),
    'no columns': lambda: (rows(23, 0), rows(23, dtype='uint8')),
    'data set': lambda: (gluon.data.SimpleDataset(rows(23, 3)), rows(23)),
    **{dtype: lambda dtype=dtype: (np.array(rows(23, 3), dtype=dtype),
                                   np.array(rows(23), dtype=dtype))
       for dtype in ('float16', 'float64', 'uint8', 'int8', 'int32', 'int64')},
}


@pytest.mark.parametrize('batch_size', [1, 5, 23, 50])
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('arrays', ARRAYS.values(), ids=ARRAYS)
def test_load_array(listings, arrays, train, batch_size):
    ours = d2l.load_array(arrays(), batch_size, train)
    theirs = listings['load_array'](arrays(), batch_size, train)
    assert len(ours) == len(theirs) and isinstance(ours, gluon.data.DataLoader)
    assert seen(ours) == seen(theirs)
    assert seen(ours, together) == seen(theirs, together)


def test_load_array_reads_what_was_changed(listings):
    found = []
    for load in d2l.load_array, listings['load_array']:
        X, y, z = np.array(rows(23, 3)), np.array(rows(23)), rows(23, 2)
        loader = load((X, y, z), 5)
        X += 1      # matrices are read when a minibatch is due, vectors when the loader is made
        y += 1
        z += 1
        found.append(seen(loader))
    assert found[0] == found[1]


@pytest.mark.parametrize('arrays', [(rows(3), rows(4)), ()], ids=['of two lengths', 'none'])
def test_load_array_refuses(listings, arrays):
    with pytest.raises(AssertionError) as theirs:
        listings['load_array'](arrays, 2)
    with pytest.raises(AssertionError) as ours:
        d2l.load_array(arrays, 2)
    assert str(ours.value) == str(theirs.value)
