"""What `import d2l` repairs in MXNet, and that D2L_PATCH=0 leaves MXNet as it is."""
import collections
import gc
import time
import weakref

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

import d2l
from d2l import patches
from d2l.patches import marks
from tests.support import alive

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning',   # Gluon's own code does that
    'ignore:Cannot decide type:UserWarning', 'ignore:Type cannot be inferred:UserWarning')
X = onp.array([[1.3, -2.4, 0.7], [-0.6, 2.9, 1.1]])
STEP = 1e-4


class Hybrid(gluon.HybridBlock):
    """A HybridBlock that computes function(F.np, x), for Gluon's own hybridize."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def hybrid_forward(self, F, x):
        return self.function(F.np, x)


def eager(function, tmp_path):
    return lambda x: function(np, x)


def compiled(function, tmp_path):
    return d2l.compile(lambda x: function(np, x))


def gluons(function, tmp_path):
    net = Hybrid(function)
    net.hybridize()
    return net


def exported(function, tmp_path):
    d2l.export(lambda x: function(np, x), str(tmp_path / 'net'), np.array(X))
    return d2l.load_exported(str(tmp_path / 'net'))


def square(m, x):
    """A matrix with distinct real eigenvalues, also where only one triangle of it is read."""
    return m.matmul(x, m.swapaxes(x, 0, 1)) + x[:, :2] * 0.1


def polynomial(m):
    return m.ones((3,), dtype='float64') + m.arange(3, dtype='float64')


def shares(m):
    return m.ones((2,), dtype='float64') * 30 + m.arange(2, dtype='float64') * 40


def method(m):
    """The name of an argument that NumPy has renamed."""
    return 'method' if m is onp else 'interpolation'


def powers(m, made):
    """A function of eigenvalues and eigenvectors that depends on no order and no sign."""
    values, vectors = made[0], made[1]
    return (vectors ** 2 * m.expand_dims(values, 0)).sum(axis=1)


def sum_of_squares(values):
    return (values ** 3).sum()


FORMS = eager, compiled, gluons, exported
FUNCTIONS = {
    'where(c, x, 0)': lambda m, x: m.where(x > 0, x * x, 0),
    'where(c, 0, x)': lambda m, x: m.where(x > 0, 0, x * x),
    'where(c, x, 1.5)': lambda m, x: m.where(x > 0, x, 1.5) * x,
    'where, broadcast': lambda m, x: m.where(m.expand_dims(x > 0, 0), m.expand_dims(x, 1), -1.),
    'arctan2(1, x)': lambda m, x: m.arctan2(1, x),
    'arctan2(x, 2)': lambda m, x: m.arctan2(x, 2.),
    'var': lambda m, x: m.var(x, axis=1), 'var of all': lambda m, x: m.var(x) * x,
    'std': lambda m, x: m.std(x, axis=0, keepdims=True), 'std, ddof': lambda m,
    x: m.std(x, axis=1, ddof=1),
    'rot90': lambda m, x: m.rot90(x) * 2, 'rot90, back': lambda m, x: m.rot90(x, -1) * 2,
    'atleast_1d': lambda m, x: m.atleast_1d(x * 2), 'atleast_2d': lambda m, x: m.atleast_2d(x * 2),
    'atleast_2d of a vector': lambda m, x: m.atleast_2d(x.reshape((-1,)) * 2),
    'atleast_2d of a number': lambda m, x: m.atleast_2d(x.sum() * 2),
    'atleast_3d': lambda m, x: m.atleast_3d(x * 2), 'polyval': lambda m,
    x: m.polyval(polynomial(m), x),
    'einsum, diagonal': lambda m, x: m.einsum('ii->i', square(m, x)),
    'einsum, trace': lambda m, x: m.einsum('ii', square(m, x)),
    'einsum, rows': lambda m, x: m.einsum('iij,jk', m.stack([x, x * x]), m.swapaxes(x, 0, 1)),
    'einsum, ellipsis': lambda m, x: m.einsum('...ii->...i', m.stack([square(m, x), x[:, :2]])),
    **{f'percentile, {how}': lambda m, x, how=how: m.percentile(x, 30, axis=1, **{method(m): how})
       for how in ('linear', 'lower', 'higher', 'midpoint', 'nearest')},
    'percentile of all': lambda m, x: m.percentile(x, 30) * 2,
    'percentiles': lambda m, x: m.percentile(x, shares(m), axis=1),
    'percentiles of all': lambda m, x: m.percentile(x, shares(m)),
    'quantile, kept': lambda m, x: m.quantile(x, 0.3, axis=0, keepdims=True),
    **{f'norm, {ord}': lambda m, x, ord=ord: m.linalg.norm(x, ord=ord, axis=(0, 1)) * 2
       for ord in (1, -1, 2, -2)},
    'norm, kept': lambda m, x: m.linalg.norm(x, ord=1, axis=(0, 1), keepdims=True) * 2,
    'norms': lambda m, x: m.linalg.norm(m.stack([x, x * x]), ord=2, axis=(1, 2)) * 2,
    'eigvalsh': lambda m, x: m.linalg.eigvalsh(square(m, x)),
    'eigvalsh, upper': lambda m, x: m.linalg.eigvalsh(square(m, x), UPLO='U'),
    'eigh': lambda m, x: powers(m, m.linalg.eigh(square(m, x))),
    'eigvals': lambda m, x: sum_of_squares(m.linalg.eigvals(square(m, x))),
    'eig': lambda m, x: powers(m, m.linalg.eig(square(m, x))),
    'pinv': lambda m, x: m.linalg.pinv(x), 'pinv of a column': lambda m, x: m.linalg.pinv(x[:, :1]),
    'rot90, twice': lambda m, x: m.rot90(x, 2, (1, 0)) * 2,
}


def slope(function):
    """The gradient of sum(weights * function), by central differences; and the weights."""
    weights = onp.random.RandomState(0).randn(*function(onp, X).shape)

    def total(x):
        return (weights * function(onp, x)).sum()
    steps = STEP * onp.eye(X.size).reshape(X.size, *X.shape)
    return onp.reshape([(total(X + step) - total(X - step)) / (2 * STEP) for step in steps],
                       X.shape), weights


@pytest.mark.parametrize('train_mode', [True, False])
@pytest.mark.parametrize('form', FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize('name', FUNCTIONS)
def test_values_and_gradients_are_those_of_numpy(name, form, train_mode, tmp_path):
    wanted, weights = slope(FUNCTIONS[name])
    x = np.array(X)
    x.attach_grad()
    function = form(FUNCTIONS[name], tmp_path)
    with autograd.record(train_mode=train_mode):
        y = function(x)
        l = (y * np.array(weights)).sum()
    l.backward()
    assert onp.allclose(y.asnumpy(), FUNCTIONS[name](onp, X), atol=1e-6)
    assert onp.allclose(x.grad.asnumpy(), wanted, atol=1e-4)


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64', 'int32', 'int8', 'bool'])
def test_where_keeps_dtypes_and_values(dtype):
    x, condition = np.array([[0, 1, 3], [4, 5, 6]], dtype=dtype), np.array([True, False, True])
    for found, wanted in ((np.where(condition, x, 2), (x.asnumpy(), 2)),
                          (np.where(condition, 2, x), (2, x.asnumpy()))):
        assert found.dtype == x.dtype
        assert (found.asnumpy() == onp.where(condition.asnumpy(), *wanted).astype(dtype)).all()
    assert np.where(True, x, 0) is x and np.where(0, x, 7) == 7
    assert np.where(condition, 1, 0).tolist() == [1, 0, 1]


# ------------------------------------------------------------------ drawing
def gluons_choice(made):
    """A net that draws, as Gluon's hybridize compiles it; it is made once."""
    if not made:
        made.append(Hybrid(lambda np, x: np.random.choice(4, 4, replace=False) + 0 * x.sum()))
        made[0].hybridize()
    return made[0]


@pytest.mark.parametrize('draw', [
    lambda: np.random.choice(4, 4, replace=False), lambda: np.random.choice(4, 2, False),
    lambda: np.random.choice(np.arange(4), size=(2,), replace=False),
    lambda: np.random.choice(4, size=(2, 1), replace=False).reshape(-1),
    d2l.compile(lambda: np.random.choice(4, 2, replace=False)),
    lambda draw=[]: gluons_choice(draw)(np.zeros(1)),
], ids=['all', 'some', 'of an array', 'of a shape', 'compiled', "Gluon's"])
def test_choice_without_replacement_is_uniform(draw):
    """Every order comes as often as any other, within five standard deviations."""
    mxnet.random.seed(0)
    count, draws = collections.Counter(), 2400
    for _ in range(draws):
        count[tuple(map(int, draw().tolist()))] += 1
    orders = 24 if len(next(iter(count))) == 4 else 12
    mean = draws / orders
    assert len(count) == orders and all(len(set(order)) == len(order) for order in count)
    assert max(abs(n - mean) for n in count.values()) < 5 * mean ** 0.5


def test_choice_of_too_many():
    with pytest.raises(ValueError, match='5 of 3 cannot be drawn without replacement'):
        np.random.choice(3, 5, replace=False)
    with pytest.raises(ValueError, match='5 of 3 cannot be drawn without replacement'):
        np.random.choice(3, 5, replace=False, p=np.array([0.3, 0.3, 0.4]))


@pytest.mark.parametrize('p', [[0, 0.5, 0, 0.5], [0.5, 0.5, float('nan'), 0.5], [-0.5, 1, 0.5, 0]],
                         ids=str)
def test_choice_draws_no_element_of_weight_zero(p):
    with pytest.raises(ValueError, match=f'3 of 4 cannot be drawn .*: p has '
                                         f'{sum(x > 0 for x in p)} weights'):
        np.random.choice(4, 3, replace=False, p=np.array(p))
    if p[0] == 0:
        draws = [tuple(np.random.choice(4, 2, replace=False, p=np.array(p)).tolist())
                 for _ in range(50)]
        assert set(draws) == {(1, 3), (3, 1)}


def test_choice_with_weights_is_as_numpys():
    """Orders are as frequent as if elements were drawn in turn, within five standard deviations."""
    mxnet.random.seed(0)
    p, draws, count = [0.6, 0.25, 0.15], 3000, collections.Counter()
    for _ in range(draws):
        count[tuple(np.random.choice(3, 2, replace=False, p=np.array(p)).tolist())] += 1
    for i, first in enumerate(p):
        for j, second in enumerate(p):
            wanted = draws * first * second / (1 - first) * (i != j)
            assert abs(count[i, j] - wanted) <= 5 * wanted ** 0.5


# name: (a function of parameters a that draws y, the slope of y with respect to a)
DRAWN = {
    'uniform, low': (lambda a: np.random.uniform(a, 3.), lambda y, a: (3 - y) / (3 - a)),
    'uniform, high': (lambda a: np.random.uniform(-1., a), lambda y, a: (y + 1) / (a + 1)),
    'uniform, both': (lambda a: np.random.uniform(a, a * 3), lambda y, a: y / a),
    'power': (lambda a: np.random.power(a), lambda y, a: -y * onp.log(y) / a),
    'gamma, scale': (lambda a: np.random.gamma(2., a), lambda y, a: y / a),
}


@pytest.mark.parametrize('form', ['eager', 'compiled'])
@pytest.mark.parametrize('name', DRAWN)
def test_gradient_of_what_is_drawn(name, form):
    function, slope = DRAWN[name]
    function = d2l.compile(function) if form == 'compiled' else function
    a = np.array([0.5, 1.0, 2.0])
    a.attach_grad()
    with autograd.record():
        y = function(a)
        l = (y * np.array([1., 2., 3.])).sum()
    l.backward()
    assert onp.allclose(a.grad.asnumpy(), slope(y.asnumpy(), a.asnumpy()) * [1, 2, 3], rtol=1e-4)


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's"])
@pytest.mark.parametrize('draw, mean, std', [
    (lambda m, a: m.random.chisquare(a), 2, 2),
    (lambda m, a: m.random.chisquare(2., size=(4000,)) + 0 * a, 2, 2),
    (lambda m, a: m.random.beta(a, 2.), 1 / 2, 0.05 ** 0.5),
    (lambda m, a: m.random.beta(2., a), 1 / 2, 0.05 ** 0.5),
    (lambda m, a: m.random.beta(a.reshape((2, -1)), a[:2000]), 1 / 2, 0.05 ** 0.5),
    (lambda m, a: m.random.gamma(a, 1.), 2, 2 ** 0.5)])
def test_distributions_that_are_made_of_gamma(draw, mean, std, form):
    """A large sample has the right mean and deviation, within four standard errors, and its halves
    are not correlated."""
    mxnet.random.seed(0)
    a = np.full(4000, 2.)
    y = (eager if form == 'eager' else compiled if form == 'compiled'
         else gluons)(draw, None)(a).asnumpy()
    assert abs(y.mean() - mean) < 4 * std / 4000 ** 0.5
    assert abs(y.std() - std) < 8 * std / 4000 ** 0.5
    rows = y.reshape(2, -1)
    assert abs(onp.corrcoef(rows)[0, 1]) < 4 / 2000 ** 0.5


@pytest.mark.parametrize('x', [[3., 1., 3., 2.], [[1., 2.], [1., 2.], [0., 5.]]],
                         ids=['vector', 'matrix'])
def test_gradient_of_unique(x):
    """The gradient goes to the first of equal elements."""
    x, axis = np.array(x), None if len(x) == 4 else 0
    x.attach_grad()
    with autograd.record():
        found, at, counts = np.unique(x, return_index=True, return_counts=True, axis=axis)
        weights = np.arange(1, len(found) + 1).reshape(-1, *[1] * (x.ndim - 1))
        (found * weights).sum().backward()
    wanted = onp.unique(x.asnumpy(), return_index=True, return_counts=True, axis=axis)
    assert all((a.asnumpy() == b).all() for a, b in zip((found, at, counts), wanted))
    slope = onp.zeros(x.shape)
    slope[wanted[1]] = weights.asnumpy()
    assert (x.grad.asnumpy() == slope).all()


@pytest.mark.parametrize('axes', [(0, 1), (1, 2), (-2, -1), (-1, -2), (-1, 0), (0, -1), (2, -3)],
                         ids=str)
def test_rot90_of_all_axes(axes):
    m = onp.arange(24).reshape(2, 3, 4)
    for k in range(-1, 5):
        assert (np.rot90(np.array(m), k, axes).asnumpy() == onp.rot90(m, k, axes)).all()


@pytest.mark.parametrize('dtype', ['int8', 'int32', 'int64', 'uint8'])
def test_variance_of_integers(dtype):
    """MXNet's is an integer."""
    values = onp.array([[1, 2, 3, 5], [2, 2, 9, 4]])
    for name in 'var', 'std':
        found = getattr(np, name)(np.array(values, dtype=dtype), axis=1)
        assert found.dtype == onp.float32
        assert onp.allclose(found.asnumpy(), getattr(onp, name)(values, axis=1))


def test_values_that_are_not_finite_stay():
    x = np.array([-onp.inf, 1., 2., onp.inf])
    x.attach_grad()
    wanted = [np.percentile(x, q).item() for q in (0, 40, 60)]
    with autograd.record():
        found = [np.percentile(x, q).item() for q in (0, 40, 60)]
    assert found == wanted and wanted[0] == -onp.inf


@pytest.mark.parametrize('shapes', [[(0, 4), (4,)], [(3, 1), (3, 0)], [(0,), (0,)]], ids=str)
def test_where_of_empty_arrays(shapes):
    condition, x = map(np.zeros, shapes)
    wanted = onp.where(onp.zeros(shapes[0]), onp.zeros(shapes[1]), 0).shape
    assert np.where(condition, x, 0).shape == np.where(condition, 0, x).shape == wanted


@pytest.mark.parametrize('form', [eager, compiled, gluons], ids=lambda form: form.__name__)
def test_gradient_of_a_deviation_of_0(form, tmp_path):
    """As in PyTorch, it is 0."""
    x = np.array([[1, 1, 1], [2, 2, 3]])
    x.attach_grad()
    function = form(lambda m, x: m.std(x, axis=1), tmp_path)
    with autograd.record():
        y = function(x)
    y.backward()
    assert x.grad[0].tolist() == [0, 0, 0] and abs(x.grad[1]).min() > 0.1 and y[0] == 0


def test_where_without_np_semantics(without_np):
    x = np.array([1., -2.])
    assert np.where(x > 0, x, 7).tolist() == [1, 7] and np.arctan2(0, x).shape == (2,)


# ------------------------------------------------------------------ garbage
class Cycle:
    def __init__(self):
        self.me = self


def test_cycles_are_freed():
    """No object stays frozen for the garbage collector, also after a DataLoader was made."""
    assert gc.get_freeze_count() <= patches.gluon.FROZEN_BY_PYTHON
    gluon.data.DataLoader(gluon.data.ArrayDataset([1, 2]), batch_size=1)
    assert gc.get_freeze_count() <= patches.gluon.FROZEN_BY_PYTHON
    left = weakref.proxy(Cycle())           # as some library may keep
    gc.collect()
    assert not alive(Cycle)
    with pytest.raises(ReferenceError):
        repr(left.me)


def test_dataloaders_collect_garbage_a_tenth_of_the_time(monkeypatch):
    """A DataLoader collects garbage only if ten times as long has passed as that took the last
    time."""
    # binary fractions, so that rounding does not decide whether ten seconds have passed
    collected, now, frozen = [], [round(time.monotonic()) + 1e6], []

    def collect():
        if not frozen:
            collected.append(now[0])
            now[0] += 1                     # the second that it took
    monkeypatch.setattr(gc, 'collect', collect)
    monkeypatch.setattr(gc, 'freeze', lambda: frozen.append(1))
    monkeypatch.setattr(gc, 'unfreeze', frozen.clear)
    monkeypatch.setattr(patches.gluon.time, 'monotonic', lambda: now[0])
    for _ in range(1000):
        gluon.data.DataLoader(gluon.data.ArrayDataset([1, 2]), batch_size=1)
        now[0] += 0.125
    assert {b - a for a, b in zip(collected, collected[1:])} == {10}
    assert len(collected) == 14             # in 139 seconds of the fake clock


# ------------------------------------------------------------------ D2L_PATCH
ASKED = """if True:
    import gc, os
    own = gc.get_freeze_count()
    import mxnet
    from mxnet import np, npx, autograd, gluon, optimizer
    from mxnet.gluon.model_zoo import model_store
    from mxnet.ndarray import register
    def state():
        return [vars(owner)[name] for owner, name in (
            (mxnet.nd, 'CachedOp'), (register, '_imperative_invoke'), (gluon.utils, 'download'),
            (optimizer.Updater, '__call__'), (np.random, 'choice'),
            (mxnet.nd.numpy._internal, 'where_rscalar'), (mxnet.nd.numpy.random, 'choice'),
            (mxnet.sym.numpy._internal, 'rarctan2_scalar'), (gluon.data.DataLoader, '__init__'),
            (gluon.data.vision.CIFAR10, '__init__'), (model_store, 'get_model_file'))]
    found, before = state(), dict(os.environ)
    import d2l
    npx.set_np()
    x = np.array([1., 2.])
    x.attach_grad()
    with autograd.record():
        y = np.where(x > 1, x, 0)
    y.backward()
    print(sum(a is not b for a, b in zip(found, state())), dict(os.environ) == before,
          max(gc.get_freeze_count() - own, 0), x.grad.tolist())
"""


@pytest.mark.parametrize('value, said', [
    ('0', '0 True 0 [1.0, 0.0]\n'), ('1', '10 False 0 [0.0, 1.0]\n')])
def test_d2l_patch_leaves_mxnet_as_it_is(value, said, python):
    """This also shows that the patches are needed: MXNet's own gradient is wrong."""
    env = {'D2L_PATCH': value, 'OMP_NUM_THREADS': '1', 'D2L_DATA': 'real'}
    assert python('-W', 'ignore', '-c', ASKED, env=env).stdout == said


LENET = """if True:
    import sys
    import d2l
    from d2l import autograd, gluon, nn, np, npx
    npx.set_np()
    train_iter, _ = d2l.load_data_fashion_mnist(8)
    net = nn.Sequential()
    net.add(nn.Conv2D(6, 5, padding=2, activation='sigmoid'), nn.AvgPool2D(2, 2),
            nn.Conv2D(16, 5, activation='sigmoid'), nn.AvgPool2D(2, 2), nn.Dense(10))
    net.initialize()
    net(next(iter(train_iter))[0])
    trainer, loss = gluon.Trainer(net.collect_params(), 'sgd'), gluon.loss.SoftmaxCrossEntropyLoss()
    for hybridized in False, True:
        if hybridized:
            d2l.hybridize(net)
        X, y = next(iter(train_iter))
        before = net[0].weight.data().copy()
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(8)
        print(l.shape, bool((net[0].weight.data() != before).any()))
    found = [net(X)]
    d2l.export(net, sys.argv[1], X)
    print(abs(d2l.load_exported(sys.argv[1])(X) - found[0]).max() < 1e-5)
"""


@pytest.mark.parametrize('value', ['0', '1'])
def test_sample_data_train_lenet_without_the_patches(value, python, tmp_path):
    """Gluon's data sets read sample data with D2L_DATA=sample, also with D2L_PATCH=0."""
    done = python('-W', 'ignore', '-c', LENET, tmp_path / 'net', env={
        'D2L_PATCH': value, 'D2L_DATA': 'sample', 'OMP_NUM_THREADS': '1',
        'MXNET_HOME': str(tmp_path)})
    assert done.stdout == '(8,) True\n(8,) True\nTrue\n', done.stderr
    assert 'sample data' in done.stderr


def test_another_value_is_an_error(monkeypatch):
    monkeypatch.setenv('D2L_PATCH', 'off')
    with pytest.raises(ValueError, match="D2L_PATCH is 'off': say 0"):
        patches.enabled()


# --- files

@pytest.mark.parametrize('name', ['cat1.jpg', 'catdog.jpg', 'pikachu.jpg', 'rainier.jpg',
                                  'autumn_oak.jpg'])
def test_the_books_pictures_are_found_from_every_folder(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert mxnet.image.imread(f'../img/{name}').shape[2] == 3
    said = capsys.readouterr().err
    assert said.startswith(f'd2l: there is no ../img/{name} here') and said.count('\n') == 1


def test_a_readers_own_picture_is_taken_first(tmp_path, monkeypatch, capsys):
    from PIL import Image

    (tmp_path / 'img').mkdir()
    Image.new('RGB', (3, 2)).save(tmp_path / 'img' / 'cat1.jpg')
    monkeypatch.chdir(tmp_path / 'img')
    assert mxnet.image.imread('../img/cat1.jpg').shape == (2, 3, 3)
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('path', ['cat1.jpg', '../img/nobody.jpg', '../other/cat1.jpg'])
def test_no_other_picture_is_found(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mxnet.base.MXNetError):
        mxnet.image.imread(path)


LAYERS = {'Dense': lambda: nn.Dense(2), 'Conv2D': lambda: nn.Conv2D(2, 3),
          'BatchNorm': nn.BatchNorm,
          'Embedding': lambda: nn.Embedding(5, 3), 'LSTM': lambda: mxnet.gluon.rnn.LSTM(3)}


@pytest.mark.parametrize('kind', LAYERS)
def test_a_layer_alone_reads_what_it_saved(kind, tmp_path):
    shape = {'Conv2D': (1, 2, 5, 5), 'Embedding': (1, 2), 'LSTM': (2, 1, 4)}.get(kind, (2, 4))
    X, path = np.random.uniform(0, 1, size=shape), str(tmp_path / 'layer.params')
    one, other = LAYERS[kind](), LAYERS[kind]()
    one.initialize(mxnet.init.Normal(1))
    Y = one(X)
    one.save_parameters(path)
    other.load_parameters(path)
    assert (other(X) == Y).all()


def test_a_layer_alone_says_what_is_missing_or_too_much(tmp_path):
    path = str(tmp_path / 'layer.params')
    bare, full = nn.Dense(2, in_units=3, use_bias=False), nn.Dense(2, in_units=3)
    for layer in bare, full:
        layer.initialize()
    bare.save_parameters(path)
    with pytest.raises(AssertionError, match="'bias' is missing"):
        full.load_parameters(path)
    full.load_parameters(path, allow_missing=True)
    full.save_parameters(path)
    with pytest.raises(ValueError, match="a Parameter 'bias'"):
        bare.load_parameters(path)
    bare.load_parameters(path, ignore_extra=True)
    assert (bare.weight.data() == full.weight.data()).all()


# ------------------------------------------------------------------ gradients that are added up
ADDED = {
    'mean': lambda m, x: m.mean(x), 'cumsum': lambda m, x: m.cumsum(x, axis=0),
    'flip': lambda m, x: m.flip(x, 0), 'rot90': lambda m, x: m.rot90(x, 2),
    'diff': lambda m, x: m.diff(x), 'trace': lambda m, x: m.trace(x),
    'split': lambda m, x: m.split(x, 3)[1], 'clip': lambda m, x: m.clip(x, 0.8, 2.0),
    'astype': lambda m, x: x.astype('float64'), 'inner': lambda m, x: m.inner(x, m.ones_like(x)),
    'tensordot': lambda m, x: m.tensordot(x, m.ones_like(x), 1),
    'norm': lambda m, x: m.linalg.norm(x), 'inv': lambda m, x: m.linalg.inv(x),
    'solve': lambda m, x: m.linalg.solve(x, m.ones_like(x)),
    'where': lambda m, x: m.where(m.ones((2, 3, 3)) > 0, x, m.zeros((2, 3, 3))),
    'ediff1d': lambda m, x: m.ediff1d(x), 'multiply': lambda m, x: x * 3,
    'used twice': lambda m, x: m.cumsum(x, axis=1) * m.mean(x),
}


def added(function, x, grad_req, start, times):
    x = x.copy()
    x.attach_grad(grad_req)
    x.grad[:] = start
    for _ in range(times):
        with autograd.record():
            y = (function(x) ** 2).sum()
        y.backward()
    return x.grad


@pytest.mark.parametrize('form', [eager, compiled, gluons], ids=lambda form: form.__name__)
@pytest.mark.parametrize('name', ADDED)
def test_gradients_are_added_up(name, form, tmp_path):
    """The array itself goes into the operator; there MXNet by itself overwrites the gradient."""
    x = np.array([[3, 0.5, 1], [0.25, 4, 0.75], [1.5, 1, 5]])
    function = form(ADDED[name], tmp_path)
    one = added(function, x, 'write', 7, 1)
    assert one.any()
    found = added(function, x, 'add', 7, 2)
    assert (found == 7 + one + one).all()


OLDER = {       # functions of F and x, an array of mx.nd
    'mean': lambda F, x: F.mean(x), 'cumsum': lambda F, x: F.cumsum(x, axis=0),
    'flip': lambda F, x: F.flip(x, axis=0), 'clip': lambda F, x: F.clip(x, -0.5, 0.5),
    'split': lambda F, x: F.split(x, 3)[1], 'gemm2': lambda F, x: F.linalg.gemm2(x, x),
    'trmm': lambda F, x: F.linalg.trmm(x, x), 'moveaxis': lambda F, x: F.Pooling(
        F.reshape(x, (1, 1, 3, 3)), kernel=(2, 2), pool_type='avg', pooling_convention='full'),
    'softmax': lambda F, x: F.SoftmaxOutput(x, F.ones((3,))), 'sum': lambda F, x: F.sum(x),
    'used twice': lambda F, x: F.broadcast_mul(F.cumsum(x, axis=1), F.mean(x)),
}
OLDER_DIMENSIONS = {'mean': 1, 'sum': 1, 'moveaxis': 4}      # of the result, where it has not 2


class Older(gluon.HybridBlock):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.x = self.params.get('x', shape=(3, 3), init=mxnet.init.Uniform(1), grad_req='add')

    def hybrid_forward(self, F, zero, x):
        return F.broadcast_add(self.function(F, x), zero)


@pytest.mark.parametrize('flags', [None, {}, {'static_alloc': True, 'static_shape': True}], ids=str)
@pytest.mark.parametrize('name', OLDER)
def test_gradients_of_older_arrays_are_added_up(name, flags, without_np):
    net, found = Older(OLDER[name]), []
    net.initialize()
    if flags is not None:
        net.hybridize(**flags)
    for grad_req in 'write', 'add':
        net.x.grad_req = grad_req
        net.x.grad()[:] = 7
        for _ in range(2):
            with autograd.record():
                y = net(mxnet.nd.zeros((1,) * OLDER_DIMENSIONS.get(name, 2))) ** 2
            y.backward()
        found.append(net.x.grad().asnumpy())
    assert onp.allclose(found[1], 7 + 2 * found[0], 1e-5) and found[0].any()


def test_gradients_of_an_older_array_are_added_up_by_its_other_name():
    x = mxnet.nd.array([1, 2, 3])
    x.attach_grad('add')
    for _ in range(2):
        with autograd.record():
            y = np.cumsum(x.as_np_ndarray())
        y.backward()
    assert x.grad.asnumpy().tolist() == [6, 4, 2]
    x.attach_grad()
    for _ in range(2):
        with autograd.record():
            y = np.cumsum(x.as_np_ndarray())
        y.backward()
    assert x.grad.asnumpy().tolist() == [3, 2, 1]


@pytest.mark.parametrize('how', ['eager', 'net.hybridize()', 'd2l.hybridize(net)',
                                 'net.hybridize(static_alloc=True, static_shape=True)'])
def test_handles_of_arrays_that_are_gone(how):
    """An array that gets the handle of one whose gradients were added up is no such array."""
    gone = [mxnet.nd.ones((2,)) for _ in range(3000)]
    for array in gone:
        array.attach_grad('add')
    del gone, array
    net = nn.BatchNorm(in_channels=3)
    net.initialize()
    if how != 'eager':
        exec(how, {'net': net, 'd2l': d2l})
    x = np.random.normal(5, 1, size=(4, 3))
    for _ in range(2):
        with autograd.record():
            y = net(x)
        y.backward()
    assert onp.allclose(net.running_mean.data().asnumpy(), 0.19 * x.asnumpy().mean(0), 1e-4)


@pytest.mark.parametrize('steps', [
    [('add', 4), ('add', 8), ('write', 4), ('write', 4)], [('write', 4), ('add', 4), ('write', 4)],
    [('add', 4), ('null', None), ('add', 4), ('add', 8)]], ids=str)
def test_an_older_parameter_changes_its_grad_req(steps, without_np):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    net.hybridize(static_alloc=True, static_shape=True)
    for req, wanted in steps:
        net.weight.grad_req = req
        with autograd.record():
            l = net(mxnet.nd.ones((4, 3))).sum()
        l.backward()
        assert wanted is None or (net.weight.grad().asnumpy() == wanted).all(), req


def test_sparse_gradients_are_not_added_up():
    weight = mxnet.nd.ones((4, 2))
    weight.attach_grad('add', stype='row_sparse')
    with autograd.record():
        y = mxnet.nd.Embedding(mxnet.nd.array([1, 2]), weight, input_dim=4, output_dim=2,
                               sparse_grad=True)
    with pytest.raises(mxnet.MXNetError, match='kWriteTo'):
        y.backward()
        npx.waitall()


def test_parameters_on_several_devices_add_up():
    """A backward pass adds only to the gradients that it reaches, each on its device."""
    ctxs = [mxnet.cpu(0), mxnet.cpu(1)]
    net, other = nn.Dense(2, in_units=3), nn.Dense(2, in_units=3)
    for each in net, other:
        each.initialize(ctx=ctxs)
        each.collect_params().setattr('grad_req', 'add')
        for parameter in each.collect_params().values():
            for gradient in parameter.list_grad():
                gradient[:] = 1
    with autograd.record():
        ls = [np.mean(net(np.ones((4, 3), ctx=ctx)) + net.bias.data(ctx).mean()) for ctx in ctxs]
    ls[0].backward(retain_graph=True)
    fresh = [data._fresh_grad for data in net.bias.list_data() + other.bias.list_data()]
    assert fresh == [1, 0, 0, 0]
    ls[0].backward()
    autograd.backward(ls[1:])
    assert [g.tolist() for g in net.bias.list_grad()] == [[3, 3], [2, 2]]
    assert all((g == 1).all() for p in other.collect_params().values() for g in p.list_grad())
    net.collect_params().zero_grad()
    assert not any(g.any() for g in net.bias.list_grad())


def test_autograd_grad_adds_nothing():
    x = np.ones(3)
    x.attach_grad('add')
    x.grad[:] = 5
    with autograd.record():
        y = x.mean()
    assert onp.allclose(autograd.grad(y, [x])[0].asnumpy(), 1 / 3) and (x.grad == 5).all()
    with pytest.raises(mxnet.base.MXNetError):
        np.ones(3).backward()                               # an array that was not recorded
    assert (x.grad == 5).all()
    x.attach_grad()
    for _ in range(2):
        with autograd.record():
            y = x.sum()
        y.backward()
    assert (x.grad == 1).all()


@pytest.mark.parametrize('at_once', [False, True])
def test_arrays_whose_gradients_overlap_add_up(at_once):
    a, b, flat = np.ones(2), np.ones(2), np.ones(4)
    gradients = [flat[:2], flat[1:3]]
    if at_once:
        autograd.mark_variables([a, b], gradients, 'add')
    else:
        autograd.mark_variables(a, gradients[0], 'add')
        autograd.mark_variables(b, gradients[1], 'add')
    for _ in range(2):
        with autograd.record():
            y = (np.tile(a, 2).sum() + 3 * b.sum())
        y.backward()
    assert flat.asnumpy().tolist() == [5, 11, 7, 1]


def test_arrays_that_share_a_gradient_add_up():
    a, b, shared = np.ones(3), np.ones(3), np.ones(3)
    autograd.mark_variables([a, b], [shared, shared], 'add')
    with autograd.record():
        y = (a * 2 + b * 3).sum()
    y.backward()
    assert (shared == 6).all()
    with autograd.record():
        y = (np.cumsum(a) + np.cumsum(b)).sum()
    y.backward()
    assert (shared == np.array([12, 10, 8])).all()


def test_nothing_is_kept_of_arrays_that_are_gone():
    gc.collect()
    known = len(marks._SUMMED_BY_D2L), len(marks.MARKED)
    x = np.ones(3)
    x.attach_grad('add')
    assert (len(marks._SUMMED_BY_D2L), len(marks.MARKED)) == (known[0] + 1, known[1] + 1)
    del x
    gc.collect()
    assert (len(marks._SUMMED_BY_D2L), len(marks.MARKED)) == known


DELETED = """
import sys, threading
import d2l
from mxnet import autograd, np, npx
from mxnet.gluon import nn, rnn
npx.set_np()
net = nn.Dense(2, in_units=2)
net.initialize()
x, arrays = np.ones((1, 2)), [np.ones((2, 2))]
for array in x, *arrays:
    array.attach_grad(sys.argv[1])
deleted, free, freed, done = id(arrays[0]), np.ndarray.__del__, threading.Event(), threading.Event()

def slowly(array):
    free(array)
    if id(array) == deleted:
        array.handle = None
        freed.set()
        done.wait(60)
np.ndarray.__del__ = slowly
del array
thread = threading.Thread(target=arrays.clear)
thread.start()
assert freed.wait(60)
with autograd.record():
    l = net(x).sum()
if sys.argv[1] == 'add':
    l.backward()
    print(x.grad.shape)
else:
    print(autograd.grad(l, [net.bias.data()])[0].asnumpy())
done.set()
thread.join()
"""


@pytest.mark.parametrize('req, said', [('add', '(1, 2)'), ('write', '[1. 1.]')])
def test_an_array_that_another_thread_deletes_is_not_used(req, said, python):
    """Python calls `__del__`, in which MXNet frees the array, before it clears weak references."""
    done = python('-W', 'ignore', '-c', DELETED, req)
    assert done.stdout == f'{said}\n', (done.returncode, done.stderr)


def test_gradients_stay_while_they_are_computed(monkeypatch):
    """Another thread may read them meanwhile."""
    seen, (x, other) = [], (np.ones(2), np.ones(2))
    for array in x, other:
        array.attach_grad('add')
        array.grad[:] = 5
    add = marks._add

    def watched(backward, *args):
        def watched_backward(*args):
            seen.append([array.grad.tolist() for array in (x, other)])
            return backward(*args)
        return add(watched_backward, *args)
    monkeypatch.setattr(marks, '_add', watched)
    with autograd.record():
        y = (x * 2).sum()
    y.backward()
    assert seen == [[[5, 5], [5, 5]]]
    assert x.grad.tolist() == [7, 7] and other.grad.tolist() == [5, 5]


def test_a_gradient_stays_until_the_backward_pass_writes_it():
    """The graph, and what comes from above, may read it."""
    def begun():
        x = np.ones(2)
        x.attach_grad('add')
        x.grad[:] = 3
        return x
    x = begun()
    with autograd.record():
        y = (x * x.grad).sum()
    y.backward()
    assert x.grad.tolist() == [6, 6]
    x = begun()
    with autograd.record():
        y = x * 2
    y.backward(x.grad)
    assert x.grad.tolist() == [9, 9]


@pytest.mark.parametrize('change', ['add', 'write', 'null', '_init_grad', 'reset_ctx'])
@pytest.mark.parametrize('static_shape', [False, True])
@pytest.mark.parametrize('older', [False, True])
def test_a_new_gradient_array_is_used(older, static_shape, change, request):
    """With static_shape, MXNet would go on writing into the old one. older: of mx.nd"""
    if older:
        request.getfixturevalue('without_np')
    net = nn.Dense(1, in_units=2, use_bias=False)
    net.initialize()
    net.hybridize(static_alloc=True, static_shape=static_shape)

    def step():
        with autograd.record():
            loss = net((mxnet.nd if older else np).ones((1, 2))).sum()
        loss.backward()
        return net.weight.grad().asnumpy().tolist()
    assert step() == step() == [[1, 1]]
    if change == '_init_grad':
        net.weight._init_grad()
    elif change == 'reset_ctx':
        net.collect_params().reset_ctx(npx.cpu())
    else:
        net.weight.grad_req = change
    if change == 'null':
        net.weight.grad_req = 'write'
    assert step() == [[1, 1]]
    assert step() == ([[2, 2]] if change == 'add' else [[1, 1]])


def test_classes_of_cached_ops_share_no_attribute():
    """Each repair derives a class; one that used an attribute of another's would change it."""
    slots = [name for cls in mxnet.nd.CachedOp.__mro__
             for name in cls.__dict__.get('__slots__', ())]
    assert len({*slots}) == len(slots) > 8
