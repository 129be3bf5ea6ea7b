"""What `import d2l` repairs in MXNet, and that D2L_PATCH=0 leaves MXNet as it is."""
import collections
import functools
import gc
import time
import weakref

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

import d2l
from d2l import c_api, graphs, patches
from tests.support import Plain, alive, randn

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


# ------------------------------------------------------------------ max pooling
POOLS = {
    '1d': (nn.MaxPool1D(2), (2, 3, 8)), '2d': (nn.MaxPool2D(2), (2, 3, 6, 6)),
    '2d, overlapping': (nn.MaxPool2D(3, 2, 1), (2, 3, 7, 6)),
    '3d': (nn.MaxPool3D(2), (1, 2, 4, 4, 4)),
    'ceil': (nn.MaxPool2D(3, 2, ceil_mode=True), (2, 3, 8, 8)),
    'global 1d': (nn.GlobalMaxPool1D(), (2, 3, 5)), 'global': (nn.GlobalMaxPool2D(), (2, 3, 5, 5)),
    'function': (lambda X: npx.pooling(X, kernel=(2, 2), stride=(1, 2)), (2, 3, 6, 6)),
    'channels last': (nn.MaxPool2D(2, layout='NHWC'), (2, 6, 6, 3)),
}


def pooled_gradient(net, X, train_mode):
    x = X.copy()
    x.attach_grad()
    with autograd.record(train_mode=train_mode):
        y = net(x)
        l = (y * np.array(onp.random.RandomState(1).randn(*y.shape))).sum()
    l.backward()
    return y.asnumpy(), x.grad.asnumpy()


def in_form(form, net, X, folder):
    """A net in one of the forms: eager, compiled, by Gluon's hybridize, or exported and loaded."""
    if form == "Gluon's":
        net.hybridize()
    elif form == 'compiled':
        d2l.hybridize(net)
    elif form == 'exported':
        d2l.export(net, str(folder / 'net'), X)
        return d2l.load_exported(str(folder / 'net'))
    return net


@pytest.mark.filterwarnings('ignore:All children of this Sequential:UserWarning')
@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's", 'exported'])
@pytest.mark.parametrize('name', POOLS)
def test_gradient_of_max_pooling_in_predict_mode(name, form, tmp_path):
    """As NumPy finds it: the gradient of a maximum goes to the input with that value."""
    pool, shape = POOLS[name]
    X = np.array(onp.random.RandomState(0).permutation(int(onp.prod(shape))).reshape(shape),
                 'float32')
    net = Plain(lambda self, X: pool(X * 1) * 2)
    if form == "Gluon's":
        net = nn.HybridSequential()
        net.add(nn.HybridLambda(lambda F, X: X * 1), pool if isinstance(pool, nn.HybridBlock) else
                nn.HybridLambda(lambda F, X: F.npx.pooling(X, kernel=(2, 2), stride=(1, 2))),
                nn.HybridLambda(lambda F, X: X * 2))
    net = in_form(form, net, X, tmp_path)
    Y, found = pooled_gradient(net, X, False)
    upstream = 2 * onp.random.RandomState(1).randn(*Y.shape)
    flat, values = onp.zeros(X.size), X.asnumpy().ravel()
    for value, gradient in zip(Y.ravel() / 2, upstream.ravel()):    # each value is there only once
        flat[values == value] += gradient
    assert onp.allclose(found.ravel(), flat, atol=1e-5)
    Y2, found2 = pooled_gradient(net, X, True)
    assert (Y == Y2).all() and onp.allclose(found, found2, atol=1e-5)


def test_predict_mode_stays_predict_mode():
    """Beside max pooling, dropout and batch normalization keep to the mode."""
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(), nn.Dropout(0.5), nn.MaxPool2D(2))
    net.initialize()
    X = randn(2, 3, 4, 4) + 5
    wanted = net(X).asnumpy()
    for make in lambda: net, lambda: net.hybridize() or net, lambda: d2l.compile(net):
        with autograd.record(train_mode=False):
            made = make()(X)
        assert onp.allclose(made.asnumpy(), wanted)
    assert (net[0].running_mean.data().asnumpy() == 0).all()


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's", 'exported'])
@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 4, 4)], ids=str)
def test_gradient_of_batch_normalization_in_predict_mode(form, shape, tmp_path):
    """There the layer is linear in x, with the slope gamma / running standard deviation."""
    net, random = nn.BatchNorm(in_channels=3), onp.random.RandomState(0)
    net.initialize()
    for name in 'gamma', 'running_mean', 'running_var':
        getattr(net, name).set_data(np.array(random.rand(3) + 0.5, dtype='float32'))
    x = randn(*shape)
    made = in_form(form, net, x, tmp_path)
    wanted = made(x).asnumpy()
    slope = (net.gamma.data() / np.sqrt(net.running_var.data() + 1e-5)).asnumpy()
    Y, found = pooled_gradient(made, x, False)
    upstream = onp.random.RandomState(1).randn(*shape)
    assert onp.allclose(Y, wanted, atol=1e-6)
    assert onp.allclose(found, upstream * slope.reshape(3, *[1] * (len(shape) - 2)), atol=1e-5)


def test_a_graph_without_max_pooling_stays():
    x = mxnet.sym.var('x')
    average = mxnet.sym.Pooling(x, kernel=(2, 2), pool_type='avg')
    assert patches.predicting(graphs.from_symbol(average)) is None


def test_control_dependencies_are_kept_in_the_changed_graph():
    nodes = [graphs.node('null', 'x'), graphs.node('Pooling', 'pool', [[0, 0, 0]], kernel=(2, 2)),
             graphs.node('sin', 'first', [[1, 0, 0]]), graphs.node('cos', 'second', [[1, 0, 0]])]
    nodes[3]['control_deps'] = [2]
    changed = patches.predicting(dict(nodes=nodes, heads=[[3, 0, 0]], attrs=graphs.VERSION))
    second = changed['nodes'][-1]
    assert [changed['nodes'][i]['name'] for i in second['control_deps']] == ['first']


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


def test_values_that_are_not_finite_stay():
    x = np.array([-onp.inf, 1., 2., onp.inf])
    x.attach_grad()
    wanted = [np.percentile(x, q).item() for q in (0, 40, 60)]
    with autograd.record():
        found = [np.percentile(x, q).item() for q in (0, 40, 60)]
    assert found == wanted and wanted[0] == -onp.inf


def test_where_without_np_semantics():
    npx.reset_np()
    try:
        x = np.array([1., -2.])
        assert np.where(x > 0, x, 7).tolist() == [1, 7] and np.arctan2(0, x).shape == (2,)
    finally:
        npx.set_np()


# ------------------------------------------------------------------ garbage
class Cycle:
    def __init__(self):
        self.me = self


def test_cycles_are_freed():
    """No object stays frozen for the garbage collector, also after a DataLoader was made."""
    assert gc.get_freeze_count() <= patches.FROZEN_BY_PYTHON
    gluon.data.DataLoader(gluon.data.ArrayDataset([1, 2]), batch_size=1)
    assert gc.get_freeze_count() <= patches.FROZEN_BY_PYTHON
    left = weakref.proxy(Cycle())           # as some library may keep
    gc.collect()
    assert not alive(Cycle)
    with pytest.raises(ReferenceError):
        repr(left.me)


def test_dataloaders_collect_garbage_a_tenth_of_the_time(monkeypatch):
    """A DataLoader collects garbage only if ten times as long has passed as that took the last
    time."""
    collected, now, frozen = [], [time.monotonic() + 1e6], []

    def collect():
        if not frozen:
            collected.append(now[0])
            now[0] += 1                     # the second that it took
    monkeypatch.setattr(gc, 'collect', collect)
    monkeypatch.setattr(gc, 'freeze', lambda: frozen.append(1))
    monkeypatch.setattr(gc, 'unfreeze', frozen.clear)
    monkeypatch.setattr(patches.time, 'monotonic', lambda: now[0])
    for _ in range(1000):
        gluon.data.DataLoader(gluon.data.ArrayDataset([1, 2]), batch_size=1)
        now[0] += 0.1
    assert len(collected) == 11             # in 111 seconds of the fake clock


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


# ------------------------------------------------------------------ the bias beside a frozen weight
class Full(gluon.HybridBlock):
    """A fully connected layer as a HybridBlock, called `uses` times, whose weight may be frozen.

    frozen: 'learns' if it is not; else it has grad_req 'null', and is used as it is ('null'),
    'computed' or 'detached'
    """

    def __init__(self, frozen, uses):
        super().__init__()
        self.frozen, self.uses = frozen, uses
        self.weight = self.params.get('weight', shape=(4, 3), init=mxnet.init.Normal(1))
        self.bias = self.params.get('bias', shape=(4,), init='zeros')
        if frozen != 'learns':
            self.weight.grad_req = 'null'

    def hybrid_forward(self, F, x, weight, bias):
        if self.frozen == 'computed':
            weight = weight * 1
        elif self.frozen == 'detached':
            weight = F.BlockGrad(weight.as_nd_ndarray()).as_np_ndarray()
        layer = functools.partial(F.npx.fully_connected, num_hidden=4, flatten=False)
        return sum(layer(x * k, weight, bias) for k in range(1, self.uses + 1))


@pytest.mark.parametrize('x_learns', [True, False], ids=['x learns', 'x stays'])
@pytest.mark.parametrize('uses', [1, 2, 3])
@pytest.mark.parametrize('frozen', ['null', 'computed', 'detached', 'learns'])
def test_gradient_of_a_bias_whose_weight_is_frozen(frozen, uses, x_learns, tmp_path):
    x, found = randn(2, 5, 3), {}
    if x_learns:
        x.attach_grad()
    upstream = randn(2, 5, 4)
    for form in 'eager', 'compiled', "Gluon's", 'exported':
        mxnet.random.seed(0)
        net = Full(frozen, uses)
        net.initialize()
        net = in_form(form, net, x, tmp_path)
        if form == 'exported' and frozen != 'learns':
            for name, parameter in net.collect_params().items():
                parameter.grad_req = 'null' if 'weight' in name else 'write'
        [bias] = [p for name, p in net.collect_params().items() if 'bias' in name]
        for _ in range(2):
            with autograd.record():
                l = (net(x) * upstream).sum()
            l.backward()
        found[form] = [bias.grad().asnumpy(), *([x.grad.asnumpy()] if x_learns else [])]
    wanted = uses * upstream.asnumpy().sum(axis=(0, 1))
    for form, (of_bias, *of_x) in found.items():
        assert onp.allclose(of_bias, wanted, atol=1e-5), form
        if form in ('compiled', "Gluon's"):
            assert (of_bias == found['eager'][0]).all() and all(
                (a == b).all() for a, b in zip(of_x, found['eager'][1:]))


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's"])
@pytest.mark.parametrize('depth', [1, 3])
def test_grad_of_a_bias_alone(form, depth, tmp_path):
    """autograd.grad asks for no gradient of the weight, which learns."""
    net = nn.HybridSequential()
    for _ in range(depth):
        net.add(nn.Dense(4, activation='tanh', in_units=4))
    net.initialize()
    x = randn(5, 4)
    in_form(form, net, x, tmp_path)
    biases = [layer.bias.data() for layer in net]
    with autograd.record():
        y = (net(x) ** 2).sum()
    found = autograd.grad(y, biases, retain_graph=True)
    assert len(found) == depth
    assert not any(layer.weight.grad().any() for layer in net)      # their gradients are left alone
    y.backward()
    for gradient, bias in zip(found, biases):
        assert onp.allclose(gradient.asnumpy(), bias.grad.asnumpy(), atol=1e-6) and bias.grad.any()


def test_a_layer_that_learns_keeps_its_bias_in_the_operator():
    """Where no weight is frozen, the bias stays in the operator, and the patch costs nothing."""
    net = nn.Dense(4, in_units=3)
    net.initialize()
    for grad_req, wanted in ('write', False), ('add', False), ('null', True):
        net.weight.grad_req = grad_req
        with autograd.record():
            y = net(randn(2, 3))
        assert ('_npi_add' in c_api.graph_of(y).tojson()) is wanted
    assert patches.weights_with_bias(graphs.from_symbol(c_api.graph_of(y))) == {}


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


def test_arrays_that_share_a_gradient_add_up():
    a, b, shared = np.ones(3), np.ones(3), np.ones(3)
    autograd.mark_variables([a, b], [shared, shared], 'add')
    with autograd.record():
        y = (a * 2 + b * 3).sum()
    y.backward()
    assert (shared == 6).all()


def test_nothing_is_kept_of_arrays_that_are_gone():
    gc.collect()
    known = len(patches._SUMMED_BY_D2L), len(patches._MARKED)
    x = np.ones(3)
    x.attach_grad('add')
    assert (len(patches._SUMMED_BY_D2L), len(patches._MARKED)) == (known[0] + 1, known[1] + 1)
    del x
    gc.collect()
    assert (len(patches._SUMMED_BY_D2L), len(patches._MARKED)) == known


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


def test_gradients_of_other_arrays_stay_while_one_is_computed(monkeypatch):
    """Another thread may read them meanwhile."""
    seen, (x, other) = [], (np.ones(2), np.ones(2))
    for array in x, other:
        array.attach_grad('add')
        array.grad[:] = 5
    add = patches._add

    def watched(backward, *args):
        def watched_backward(*args):
            seen.append([array.grad.tolist() for array in (x, other)])
            return backward(*args)
        return add(watched_backward, *args)
    monkeypatch.setattr(patches, '_add', watched)
    with autograd.record():
        y = (x * 2).sum()
    y.backward()
    assert seen == [[[0, 0], [5, 5]]]
    assert x.grad.tolist() == [7, 7] and other.grad.tolist() == [5, 5]


SLICED = """
import sys
import d2l
import numpy as onp
from mxnet import autograd, np, npx
from mxnet.gluon import nn, rnn
npx.set_np()
BOUNDS = [((None, 0), (None, 8)), ((None, 3), (None, 4)), ((None, -3), (None, None)),
          ((1, 2, None), (2, 100, None)), ((None, 8, 1), (None, 24, 7), (None, None, 2)),
          ((None, 0), (None, 32)), ((None, 1), (None, 9), (None, 2)), ((0,), (1,))]

class Net(nn.HybridBlock):
    def __init__(self, conv, bounds):
        super().__init__()
        self.conv, self.bounds = conv, bounds

    def hybrid_forward(self, F, X):
        Y = self.conv(X)
        return Y, F.npx.slice(Y, *self.bounds)

for conv, shape in [(nn.Conv1D(32, 3, in_channels=3), (2, 3, 10)),
                    (nn.Conv2D(32, 3, in_channels=3), (2, 3, 10, 10)),
                    (nn.Conv3D(32, 3, in_channels=3), (2, 3, 10, 4, 4))]:
    conv.initialize()
    for bounds in BOUNDS:
        net, X = Net(conv, bounds), np.random.normal(size=shape)
        X.attach_grad()
        with autograd.record():
            Y = conv(X)
        begin, end, step = *bounds, *[(None,) * 3] * (3 - len(bounds))
        taken = tuple(slice(*each) for each in zip(begin, end, step))
        wanted, weights = Y.asnumpy()[taken], onp.zeros(Y.shape, 'float32')
        weights[taken] = onp.random.RandomState(0).normal(size=wanted.shape)
        Y.backward(np.array(weights))
        gradient = X.grad.asnumpy()
        with autograd.pause():
            net(X)
        exec(sys.argv[1])
        for repeat in range(2):
            X.grad[:] = 7
            with autograd.record():
                Y, found = net(X)
            assert (found.asnumpy() == wanted).all(), bounds
            found.backward(np.array(weights[taken]))
            assert onp.allclose(X.grad.asnumpy(), gradient, 1e-5, 1e-5), bounds
        if sys.argv[1] == 'pass':       # indices of Python use the same operator
            with autograd.record():
                assert (conv(X)[taken].asnumpy() == wanted).all(), bounds
print('right')
"""


@pytest.mark.parametrize('how', [
    'pass', 'd2l.hybridize(net)', 'd2l.hybridize(net, optimize=True)', 'net.hybridize()',
    'd2l.export(net, sys.argv[2], X); net = d2l.load_exported(sys.argv[2])'])
def test_slices_of_channels(how, tmp_path, python):
    """Without the repair, oneDNN ends the process where a slice cuts its blocks of channels."""
    done = python('-W', 'ignore', '-c', SLICED, how, tmp_path / 'net')
    assert done.stdout == 'right\n', (done.returncode, done.stderr)


def layered(net, X, states):
    """Compute a net of rnn by single layers with the same Parameters, and nn.Dropout between."""
    lasts, dropout = [], nn.Dropout(net._dropout)
    for i in range(net._num_layers):
        layer = type(net)(net._hidden_size, bidirectional=net._dir == 2,
                          input_size=X.shape[2], dtype=X.dtype)
        for name in [*layer.collect_params()]:
            own = name[len(layer.prefix):]
            layer._reg_params[own] = net._reg_params[f'{own[0]}{i}{own[2:]}']
        X = dropout(X) if i else X
        X, last = layer(X, [state[i * net._dir:(i + 1) * net._dir] for state in states])
        lasts.append(last)
    return X, [np.concatenate(last) for last in zip(*lasts)]


class Given(nn.Block):
    """A net of rnn whose states are arguments."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, X, *states):
        Y, last = self.net(X, [*states])
        return Y, *last


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('directions', [1, 2])
@pytest.mark.parametrize('kind', [rnn.RNN, rnn.LSTM, rnn.GRU])
@pytest.mark.parametrize('how', ['eager', 'exact', 'optimized', 'static', 'gluon'])
def test_dropout_between_the_layers_of_an_rnn(how, kind, directions, dtype):
    """oneDNN's RNN drops nothing; the masks are those of nn.Dropout, and gradients follow them."""
    net = kind(4, 3, dropout=0.5, bidirectional=directions == 2, input_size=3)
    net.initialize(init.Uniform(1))
    net.cast(dtype)
    X, *states = arrays = [np.random.normal(size=shape).astype(dtype) for shape in [
        (5, 2, 3), *[(3 * directions, 2, 4)] * (1 + (kind is rnn.LSTM))]]
    for array in arrays:
        array.attach_grad()

    def run(function):
        npx.random.seed(7)
        with autograd.record():
            Y, *last = function(X, *states)
            loss = (Y ** 2).sum() + sum((state ** 3).sum() for state in last)
        loss.backward()
        gradients = [array.grad for array in arrays]
        gradients += [param.grad() for param in net.collect_params().values()]
        return [array.asnumpy() for array in (Y, *last, *gradients)]

    def by_layers(X, *states):
        Y, last = layered(net, X, states)
        return Y, *last
    wanted = run(by_layers)
    plain = [array.asnumpy() for array in Given(net)(X, *states)]
    given = Given(net)
    if how == 'gluon':
        net.hybridize(static_alloc=directions == 2)
    elif how != 'eager':
        d2l.hybridize(given, optimize=how == 'optimized', static_alloc=how == 'static')
    for _ in range(2):
        for found, right in zip(run(given), wanted, strict=True):
            onp.testing.assert_allclose(found, right, 1e-5, 1e-5)
        predicted = [array.asnumpy() for array in given(X, *states)]
        for found, right in zip(predicted, plain, strict=True):     # prediction drops nothing
            onp.testing.assert_allclose(found, right, 1e-5, 1e-5)
        with autograd.record(train_mode=False):
            onp.testing.assert_allclose(given(X, *states)[0].asnumpy(), plain[0], 1e-5, 1e-5)
    assert abs(wanted[0] - plain[0]).max() > 0.01


def test_the_rnn_operator_writes_into_out():
    net = rnn.GRU(4, 2, dropout=0.5, input_size=3)
    net.initialize()
    values = np.concatenate([param.data().reshape(-1) for kind in ('weight', 'bias')
                             for name, param in net.collect_params().items() if kind in name])
    X, state, out = np.ones((5, 2, 3)), np.zeros((2, 2, 4)), np.zeros((5, 2, 4))
    found = []
    for into in None, out:
        npx.random.seed(7)
        with autograd.train_mode():
            found.append(npx.rnn(X, values, state, mode='gru', state_size=4, num_layers=2, p=0.5,
                                 out=into))
    assert found[1] is out and (found[0] == out).all() and (out != 0).any()


def test_dropout_of_a_single_layer_drops_nothing():
    """Its result is that of the last layer, which drops nothing."""
    net, X = rnn.LSTM(4, dropout=0.5, input_size=3), np.ones((5, 2, 3))
    net.initialize()
    with autograd.train_mode():
        trained = net(X).asnumpy()
    assert (trained == net(X).asnumpy()).all()


def test_classes_of_cached_ops_share_no_attribute():
    """Each repair derives a class; one that used an attribute of another's would change it."""
    slots = [name for cls in mxnet.nd.CachedOp.__mro__
             for name in cls.__dict__.get('__slots__', ())]
    assert len({*slots}) == len(slots) > 8
