"""What ONNX Runtime draws with files of `export_onnx(draws=True)` has the exact distributions."""
import math

import mxnet
import numpy as onp
import onnx
import onnxruntime
import pytest
from mxnet import np, npx
from mxnet.gluon import nn

from ci import runtime
from d2l import NoConverter, export_onnx
from tests.support import older, ready

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning')  # Gluon's own code does that
LIMIT = 1.95  # of the Kolmogorov-Smirnov statistic: chance exceeds it once in a thousand times
ROWS, RUNS = 1000, 5
R = np.random


def drawn(function, folder, X, other=None, runs=1, seed=0):
    """Export a function, and return its first result on X in each of so many runs."""
    export_onnx(function, folder / 'net.onnx', X, other=other, draws=True)
    onnxruntime.set_seed(seed)
    session = runtime.session(folder / 'net.onnx')
    return [session.run(None, runtime.feed(session, [X]))[0] for _ in range(runs)]


def drawn_by_both(function, folder):
    """What ONNX Runtime draws in RUNS runs, and MXNet in one, for ROWS rows of four zeros."""
    X = np.zeros((ROWS, 4))
    found = onp.concatenate(drawn(function, folder, X, runs=RUNS))
    assert found.shape == (ROWS * RUNS, 4) and found.dtype == function(X).dtype
    mxnet.random.seed(0)
    return found, function(X).asnumpy()


def distance(numbers, cumulated):
    """The Kolmogorov-Smirnov statistic, times the square root of the number of samples."""
    numbers = onp.sort(onp.ravel(numbers).astype('float64'))
    steps = onp.arange(len(numbers) + 1) / len(numbers)
    wanted = cumulated(numbers)
    return max(abs(wanted - steps[1:]).max(), abs(wanted - steps[:-1]).max()) * len(numbers) ** 0.5


def erf(x):
    return onp.vectorize(math.erf)(x)


def incomplete_gamma(a):
    """The cumulative distribution function of gamma(a), by its series."""
    def cumulated(x):
        term = total = onp.ones_like(x) / a
        for n in range(1, 400):
            term = term * x / (a + n)
            total = total + term
        return total * onp.exp(-x + a * onp.log(onp.maximum(x, 1e-300)) - math.lgamma(a))
    return cumulated


A = np.array([0.5, 1.0, 2.0, 4.0])      # a parameter for each column
# name: function of X, zeros of shape (rows, 4); cumulative distribution function of column k
DRAWS = {
    'uniform': (lambda X: R.uniform(X - A, A), lambda k, x: (x / A[k].item() + 1) / 2),
    'uniform, numbers': (lambda X: R.uniform(-1, 3, size=(ROWS, 4)) + X, lambda k, x: (x + 1) / 4),
    'uniform, one array': (lambda X: R.uniform(X - A, 9.0), lambda k, x: (
        x + A[k].item()) / (9 + A[k].item())),
    'uniform_n': (lambda X: npx.random.uniform_n(X[0], A, batch_shape=(ROWS,)),
                  lambda k, x: x / A[k].item()),
    'normal': (lambda X: R.normal(X + A, A), lambda k, x: (
        1 + erf((x - A[k].item()) / A[k].item() / 2 ** 0.5)) / 2),
    'normal, numbers': (lambda X: R.normal(1, 2, size=(ROWS, 4)) + X, lambda k, x: (
        1 + erf((x - 1) / 2 / 2 ** 0.5)) / 2),
    'normal_n': (lambda X: npx.random.normal_n(X[0], A, batch_shape=(ROWS,)), lambda k, x: (
        1 + erf(x / A[k].item() / 2 ** 0.5)) / 2),
    'exponential': (lambda X: R.exponential(X + A), lambda k, x: 1 - onp.exp(-x / A[k].item())),
    'exponential, a number': (lambda X: R.exponential(3.0, size=(ROWS, 4)) + X,
                              lambda k, x: 1 - onp.exp(-x / 3)),
    'gumbel': (lambda X: R.gumbel(X + A, A), lambda k, x: onp.exp(-onp.exp(1 - x / A[k].item()))),
    'logistic': (lambda X: R.logistic(X, A), lambda k, x: 1 / (1 + onp.exp(-x / A[k].item()))),
    'rayleigh': (lambda X: R.rayleigh(X + A), lambda k,
                 x: 1 - onp.exp(-(x / A[k].item()) ** 2 / 2)),
    'weibull': (lambda X: R.weibull(X + A), lambda k, x: 1 - onp.exp(-x ** A[k].item())),
    'pareto': (lambda X: R.pareto(X + A), lambda k, x: 1 - (1 + x) ** -A[k].item()),
    'power': (lambda X: R.power(X + A), lambda k, x: x ** A[k].item()),
    'gamma': (lambda X: R.gamma(X + A, 2.0), lambda k, x: incomplete_gamma(A[k].item())(x / 2)),
    'gamma, numbers': (lambda X: R.gamma(3.0, 0.5, size=(ROWS, 4)) + X,
                       lambda k, x: incomplete_gamma(3.0)(x * 2)),
    'chisquare': (lambda X: R.chisquare(X + A * 2), lambda k,
                  x: incomplete_gamma(A[k].item())(x / 2)),
    'beta': (lambda X: R.beta(X + A, 1.0), lambda k, x: x ** A[k].item()),
    'lognormal': (lambda X: R.lognormal(X, A), lambda k, x: (
        1 + erf(onp.log(x) / A[k].item() / 2 ** 0.5)) / 2),
    'float64': (lambda X: R.uniform(0, 1, size=(ROWS, 4), dtype='float64') + X.astype('float64'),
                lambda k, x: x),
}


@pytest.mark.parametrize('name', DRAWS)
def test_distribution(name, tmp_path):
    """Each column has its distribution, with parameters that are numbers or arrays. MXNet's own
    samples pass the same test."""
    function, cumulated = DRAWS[name]
    found, own = drawn_by_both(function, tmp_path)
    for numbers in found, own:
        for k in range(4):
            assert distance(numbers[:, k], lambda x, k=k: cumulated(k, x)) < LIMIT
    ranks = found.argsort(0).argsort(0)             # ranks, as some distributions have no variance
    assert abs(onp.corrcoef(ranks.T) - onp.eye(4)).max() < 4 / len(found) ** 0.5


def frequencies(numbers, count):
    return onp.bincount(onp.ravel(numbers).astype(int), minlength=count) / onp.size(numbers)


P = [0.1, 0.2, 0.0, 0.7]
# name: function of X, zeros of shape (rows, 4); how frequent 0, 1, 2... are in each column
COUNTS = {
    'bernoulli': (lambda X: npx.random.bernoulli(prob=X + A / 5), [
        [1 - p, p] for p in (0.1, 0.2, 0.4, 0.8)]),
    'bernoulli, logit': (lambda X: npx.random.bernoulli(logit=X + np.log(A)), [
        [1 / (1 + a), a / (1 + a)] for a in (0.5, 1, 2, 4)]),
    'bernoulli, a number': (lambda X: npx.random.bernoulli(prob=0.3, size=(ROWS, 4),
                                                           dtype='int32') + X,
                            [[0.7, 0.3]] * 4),
    'randint': (lambda X: R.randint(2, 7, size=(ROWS, 4)) + X.astype('int64'),
                [[0, 0] + [0.2] * 5] * 4),
    'choice': (lambda X: R.choice(5, (ROWS, 4)) + X.astype('int64'), [[0.2] * 5] * 4),
    'choice, weights': (lambda X: R.choice(4, (ROWS, 4), p=X[0] + np.array(P)), [P] * 4),
    'choice, of an array': (lambda X: R.choice(X[0] + np.arange(4), (ROWS, 4), p=np.array(P)),
                            [P] * 4),
    'multinomial': (lambda X: R.multinomial(1, X[0] + np.array(P), size=(ROWS,)),
                    [[1 - p, p] for p in P]),
    'multinomial, numbers': (lambda X: R.multinomial(
        2, [0.5, 0.25, 0.25, 0.0], size=(ROWS,)) + X.astype('int64'), [
        [0.25, 0.5, 0.25], [0.5625, 0.375, 0.0625], [0.5625, 0.375, 0.0625], [1.0]]),
    'dropout': (lambda X: npx.dropout(X + 0.75, p=0.25, mode='always'), [[0.25, 0.75]] * 4),
}


@pytest.mark.parametrize('name', COUNTS)
def test_counts(name, tmp_path):
    """Each value is as frequent as it should be, within four standard deviations; MXNet's, too."""
    function, wanted = COUNTS[name]
    found, own = drawn_by_both(function, tmp_path)
    for numbers in found, own:
        for k, column in enumerate(wanted):
            column, counted = onp.array(column), frequencies(numbers[:, k], len(column))
            assert len(counted) == len(column)
            assert (abs(counted - column) <= 4
                    * (column * (1 - column) / len(numbers)) ** 0.5).all()


ORDERS = {      # functions of X, zeros of shape (4,), that draw an order of three out of four
    'choice': lambda X: R.choice(4, 3, replace=False) + X[0].astype('int64'),
    'choice, weights': lambda X: R.choice(4, 3, replace=False,
                                          p=X + np.array([0.1, 0.2, 0.3, 0.4])),
    'choice, of an array': lambda X: R.choice(X + np.arange(4), 3, replace=False),
}


@pytest.mark.parametrize('name', ORDERS)
def test_orders(name, tmp_path):
    """Each order is as frequent as it should be, within four standard deviations and one."""
    runs, weights = 3000, [0.1, 0.2, 0.3, 0.4] if 'weights' in name else [0.25] * 4
    found = [tuple(order.astype(int).tolist()) for order in drawn(
        ORDERS[name], tmp_path, np.zeros(4), runs=runs)]
    for i in range(4):
        for j in range(4):
            for k in range(4):
                if len({i, j, k}) == 3:
                    wanted = runs * weights[i] * weights[j] / (1 - weights[i]) * weights[k] / (
                        1 - weights[i] - weights[j])
                    assert abs(found.count((i, j, k)) - wanted) <= 4 * wanted ** 0.5 + 1


def test_dropout_along_axes(tmp_path):
    """Whole columns are kept or dropped."""
    found = onp.array(drawn(lambda X: npx.dropout(X + 1, p=0.4, mode='always', axes=(0,)), tmp_path,
                            np.zeros((6, 4)), runs=500))
    assert (found == found[:, :1]).all() and set(onp.unique(found)) == {0, onp.float32(1 / 0.6)}
    assert abs((found[:, 0] > 0).mean() - 0.6) < 4 * (0.24 / 2000) ** 0.5


# ------------------------------------------------------------------ pictures
PICTURE = onp.random.RandomState(0).rand(4, 5, 3).astype('float32')


def factor(found, extremes):
    """Return the factor by which each picture was changed: f, where found = extremes[0] + f *
    (extremes[1] - extremes[0])."""
    way = extremes[1] - extremes[0]
    part = ((found - extremes[0]) * way).sum(axis=(1, 2, 3)) / (way * way).sum()
    assert abs(extremes[0] + part[:, None, None, None] * way - found).max() < 1e-5
    return part


@pytest.mark.parametrize('op', ['brightness', 'contrast', 'saturation'])
def test_pictures(op, tmp_path):
    """A picture is changed by a factor that is drawn uniformly; with equal limits, MXNet gives the
    extremes."""
    def function(X, low=0.5, high=1.5):
        return older(f'_image_random_{op}', X, min_factor=low, max_factor=high)
    X = np.array(PICTURE)
    extremes = [function(X, end, end).asnumpy() for end in (0.5, 1.5)]
    part = factor(onp.array(drawn(function, tmp_path, X, runs=1000)), extremes)
    assert distance(part, lambda x: x) < LIMIT


@pytest.mark.parametrize('op, axis', [('left_right', 1), ('top_bottom', 0)])
def test_flipped_pictures(op, axis, tmp_path):
    found = drawn(lambda X: older(f'_image_random_flip_{op}', X), tmp_path, np.array(PICTURE),
                  runs=400)
    turned = [(picture == onp.flip(PICTURE, axis)).all() for picture in found]
    assert all((picture == PICTURE).all() for picture, t in zip(found, turned) if not t)
    assert abs(sum(turned) - 200) < 4 * 10


def test_lighting(tmp_path):
    """Each colour is shifted by one number; the shifts have MXNet's covariance."""
    X, std = np.array(PICTURE), 0.1
    shifts = onp.array(drawn(lambda X: older('_image_random_lighting', X, alpha_std=std), tmp_path,
                             X,
                             runs=2000)) - PICTURE
    assert abs(shifts - shifts[:, :1, :1]).max() < 1e-4
    base = onp.array([(older('_image_adjust_lighting', X, alpha=tuple(row)) - X).asnumpy()[0, 0]
                      for row in onp.eye(3)]).T
    found, wanted = onp.cov(shifts[:, 0, 0].T), std ** 2 * base @ base.T
    assert abs(found - wanted).max() < 0.15 * abs(wanted).max()


def test_pictures_of_bytes_are_refused(tmp_path):
    with pytest.raises(NoConverter, match='_image_random_contrast of uint8: make float32'):
        drawn(lambda X: older('_image_random_contrast', X.astype('uint8'), min_factor=0,
                              max_factor=1),
              tmp_path, np.array(PICTURE))


# (function, shape) of what `ci.converters` tries
FREE, FIXED = {}, {
    **{name: (function, (ROWS, 4)) for name, (function, _) in {**COUNTS, **DRAWS}.items()},
    **{f'{name}, once each': (function, (4,)) for name, function in ORDERS.items()},
    **{op: (lambda X, op=op, attrs=attrs: older(f'_image_{op}', X, **attrs), PICTURE.shape)
       for op, attrs in {
           **{f'random_{kind}': {'min_factor': 0.5, 'max_factor': 1.5}
              for kind in ('brightness', 'contrast', 'saturation')},
           'random_flip_left_right': {}, 'random_flip_top_bottom': {}, 'random_lighting': {},
           'adjust_lighting': {'alpha': (0.1, 0.2, 0.3)}}.items()}}


def test_adjusted_lighting(tmp_path):
    def function(X):
        return older('_image_adjust_lighting', X * 1, alpha=(0.1, -0.2, 0.3))
    X = np.array(PICTURE)
    assert abs(drawn(function, tmp_path, X)[0] - function(X).asnumpy()).max() < 1e-4
    with pytest.raises(NoConverter, match='_image_adjust_lighting of 1 channels'):
        drawn(function, tmp_path, X[..., :1])


# ------------------------------------------------------------------ several draws in one file
def test_draws_are_refused_and_the_error_names_the_option(tmp_path):
    def forward(X):
        return np.random.normal(X, 1) + npx.dropout(X, mode='always')
    with pytest.raises(NoConverter,
                       match=r'(?s)_npi_normal \(draws random .*export_onnx\(draws=True\).*'
                       'Dropout.*line'):
        export_onnx(forward, tmp_path / 'net.onnx', np.ones(3))
    assert not list(tmp_path.iterdir())


class Noisy(nn.Block):
    """A net with three draws, of a free number of rows."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4)

    def forward(self, X):
        Y = np.random.normal(self.dense(X), 1.0)
        return [Y - self.dense(X), npx.random.bernoulli(prob=npx.sigmoid(X)),
                np.random.uniform(X, X + 1) - X]


def test_a_free_batch_and_several_draws(tmp_path):
    """One node draws for all operators, so that the draws do not depend on each other."""
    net = ready(Noisy(), np.zeros((3, 4)))
    export_onnx(net, tmp_path / 'net.onnx', np.zeros((3, 4)), other=np.zeros((5, 4)), draws=True)
    ops = [node.op_type for node in onnx.load(tmp_path / 'net.onnx').graph.node]
    assert [op for op in ops if 'Random' in op] == ['RandomUniformLike']
    onnxruntime.set_seed(0)
    session = runtime.session(tmp_path / 'net.onnx')
    for rows in 1, 7, 4000, 0:
        X = np.zeros((rows, 4))
        found = session.run(None, runtime.feed(session, [X]))
        assert [y.shape for y in found] == [(rows, 4)] * 3
        if rows > 1000:
            normal, coin, uniform = found
            assert distance(normal, lambda x: (1 + erf(x / 2 ** 0.5)) / 2) < LIMIT
            assert distance(uniform, lambda x: x) < LIMIT
            assert abs(coin.mean() - 0.5) < 4 * 0.5 / (rows * 4) ** 0.5
            assert abs(onp.corrcoef([y.ravel() for y in found])
                       - onp.eye(3)).max() < 4 / (rows * 4) ** 0.5
    again = session.run(None, runtime.feed(session, [X + np.zeros((7, 4))[:0]]))
    assert [y.shape for y in again] == [(0, 4)] * 3


def test_two_operators_draw_independently_for_each_seed(tmp_path):
    """Two operators draw one number each. With a random node of ONNX Runtime for each, the second
    number would be the first plus a constant, whatever the seed."""
    def forward(X):
        return np.stack([np.random.uniform(X, 1), np.random.uniform(X, 1)])
    export_onnx(forward, tmp_path / 'net.onnx', np.zeros(1), draws=True)
    found = []
    for seed in range(1000):
        onnxruntime.set_seed(1000003 * seed)
        found.append(runtime.run(tmp_path / 'net.onnx', [np.zeros(1)])[0].ravel())
    a, b = onp.array(found).T
    assert distance((b - a) % 1, lambda x: x) < LIMIT


def test_a_shape_that_no_input_has_is_refused(tmp_path):
    with pytest.raises(ValueError, match='depends on the size'):
        export_onnx(lambda X: X + np.random.uniform(0, 1, size=X.shape), tmp_path / 'net.onnx',
                    np.zeros((3, 4)), other=np.zeros((5, 4)), draws=True)
    with pytest.raises(ValueError,
                       match='draws an array of the shape .* of which no input has a length'):
        export_onnx(lambda X: np.random.uniform(np.concatenate([X, X]), 9.0), tmp_path / 'net.onnx',
                    np.zeros((3, 4)), other=np.zeros((5, 4)), draws=True)
