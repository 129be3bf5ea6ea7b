"""Layers that MXNet or oneDNN computes wrong, and that d2l repairs."""
import itertools
import math

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

import d2l
from tests.support import Plain, in_form, randn

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning',   # Gluon's own code does that
    'ignore:Cannot decide type:UserWarning', 'ignore:Type cannot be inferred:UserWarning')


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


# ------------------------------------------------------------------ pooling
VIEWS = {'[:2]': lambda X: X[:2], '[1:3]': lambda X: X[1:3], 'a channel': lambda X: X[:, 0:1],
         '[1]': lambda X: X[1].reshape(2, 4, 4, 4), 'a stack': lambda X: np.stack([X, X * 2])[0],
         'two axes': lambda X: np.expand_dims(X, 1)[:, 0, 2:6],
         'one picture': lambda X: X[:1][:, 2:5]}
POOLED = [nn.MaxPool2D(2), nn.MaxPool2D(3, 1, 1), nn.AvgPool2D(2), nn.GlobalMaxPool2D(),
          nn.GlobalAvgPool2D(), nn.AvgPool2D(3, 2, 1, ceil_mode=True)]


@pytest.mark.parametrize('form', ['eager', 'compiled', 'dynamic', 'optimized', "Gluon's"])
@pytest.mark.parametrize('view', VIEWS)
def test_gradient_of_pooling_of_a_view(view, form):
    """oneDNN's reads memory that nobody wrote, or raises an error. Of a copy, in float64, MXNet's
    own code computes it."""
    values = onp.random.RandomState(0).permutation(4 * 8 * 16).reshape(4, 8, 4, 4) / 10
    for pool in POOLED:
        def gradient(net, cut, dtype, train_mode):
            X = np.array(values, dtype=dtype)
            X.attach_grad()
            with autograd.record(train_mode=train_mode):
                Y = net(cut(X))
            Y.backward(np.arange(Y.size, dtype=dtype).reshape(Y.shape), train_mode=train_mode)
            return X.grad.asnumpy()
        wanted = gradient(pool, lambda X: VIEWS[view](X).copy(), 'float64', True)
        net = Plain(lambda self, X, pool=pool: pool(X))
        if form == "Gluon's":
            net = nn.HybridSequential()
            net.add(nn.HybridLambda(lambda F, X, pool=pool: pool.hybrid_forward(F, X)))
            net.hybridize()
        elif form != 'eager':
            d2l.hybridize(net, optimize=form == 'optimized', static_alloc=form != 'dynamic')
        for train_mode in True, False, True:
            found = gradient(net, VIEWS[view], 'float32', train_mode)
            onp.testing.assert_allclose(found, wanted, 1e-4, 1e-3, err_msg=str(pool))


def test_slices_of_one_picture_are_pooled():
    """Of a batch of one, a slice of channels is a view, which oneDNN's backward pass refuses."""
    conv, pool = nn.Conv2D(16, 1, in_channels=3), nn.MaxPool2D(2)
    conv.initialize()
    with autograd.record():
        Y = pool(conv(np.ones((1, 3, 8, 8)))[:, 8:])
    Y.backward()
    assert conv.bias.grad().sum() == 8 * 16


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's", 'exported'])
@pytest.mark.parametrize('shape', [(2, 3, 7), (2, 8, 9, 8), (3, 5, 7, 7), (2, 3, 4, 4),
                                   (1, 2, 6, 4, 5)], ids=str)
def test_gradient_of_averages_over_windows_beyond_the_padding(shape, form, tmp_path):
    """Averages are linear, so the sum of w * f(D) is that of f's gradient for w, times D."""
    n, rng = len(shape) - 2, onp.random.RandomState(0)
    kind = {1: nn.AvgPool1D, 2: nn.AvgPool2D, 3: nn.AvgPool3D}[n]
    for size, stride, padding in (2, 2, 0), (3, 2, 1), (3, 3, 0), (4, 2, 2):
        for include in True, False:
            net = kind(size, stride, padding, ceil_mode=True, count_include_pad=include)
            X, D = (np.array(rng.normal(size=shape), dtype='float32') for _ in range(2))
            X.attach_grad()
            net = in_form(form, net, X, tmp_path)
            with autograd.record():
                Y = net(X)
            w = np.array(rng.normal(size=Y.shape), dtype='float32')
            Y.backward(w)
            onp.testing.assert_allclose((X.grad * D).sum().item(), (net(D) * w).sum().item(),
                                        1e-3, 1e-3, err_msg=str(net))


# ------------------------------------------------------------------ batch normalization of blocks
@pytest.mark.parametrize('form', ['eager', 'compiled', 'optimized', "Gluon's", 'exported'])
@pytest.mark.parametrize('conv, shape, axis', [
    (nn.Conv1D, (2, 3, 10), 1), (nn.Conv2D, (2, 3, 10, 9), -1), (nn.Conv2D, (2, 3, 10, 9), 1),
    (nn.Conv3D, (2, 3, 5, 6, 4), 1)])
def test_batch_normalization_of_a_convolution(conv, shape, axis, form, tmp_path):
    """MXNet's backward pass raises an error unless oneDNN computes it; in float64 it never does."""
    values = onp.random.RandomState(0).normal(size=shape)
    for train_mode in True, False:
        found = []
        for dtype in 'float64', 'float32':
            mxnet.random.seed(0)
            net = nn.HybridSequential()
            net.add(conv(16, 3, in_channels=3), nn.BatchNorm(axis=axis))
            net.initialize(init.Uniform(1))
            net.cast(dtype)
            X = np.array(values, dtype=dtype)
            params = [param for param in net.collect_params().values() if param.grad_req != 'null']
            net(X)
            if dtype == 'float32' and form == 'optimized':
                d2l.hybridize(net, optimize=True)
            elif dtype == 'float32':
                net = in_form(form, net, X, tmp_path)
                params = [net.collect_params()[param.name] if form == 'exported' else param
                          for param in params]
            X.attach_grad()
            with autograd.record(train_mode=train_mode):
                Y = net(X)
            weights = onp.random.RandomState(1).normal(size=Y.shape)
            Y.backward(np.array(weights, dtype=dtype), train_mode=train_mode)
            found.append([Y.asnumpy(), X.grad.asnumpy(),
                          *[param.grad().asnumpy() for param in params]])
        for double, single in zip(*found):
            scale = max(1, abs(double).max())         # the gradient of a bias is 0
            onp.testing.assert_allclose(single, double, 2e-3, 2e-3 * scale)


class Joined(gluon.HybridBlock):
    """Two convolutions whose channels are joined, and one of these, as in a DenseNet."""

    def __init__(self, channels):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2D(n, 3, in_channels=i) for n, i in [
            (channels, 3), (8, 3), (16, channels + 8)])

    def hybrid_forward(self, F, X):
        return self.c(F.concat(self.a(X), self.b(X), dim=1))


JOINED = """
import sys
import mxnet
from mxnet import autograd, nd
import d2l
from tests.test_patches_layers import Joined
mxnet.npx.reset_np()
for channels in 4, 8, 12, 16:
    net, X = Joined(channels), nd.random.normal(shape=(2, 3, 9, 8))
    net.initialize(mxnet.init.Uniform(1))
    found = []
    for dtype in 'float64', 'float32':
        net.cast(dtype)
        X = X.astype(dtype)
        X.attach_grad()
        if dtype == 'float32' and sys.argv[1] == 'hybridize':
            net.hybridize()
        with autograd.record():
            loss = (net(X) ** 2).sum()
        loss.backward()
        found.append(X.grad.asnumpy())
    assert abs(found[0] - found[1]).max() < 1e-3 * abs(found[0]).max(), channels
print('right')
"""


@pytest.mark.parametrize('how', ['eager', 'hybridize'])
def test_backward_pass_of_joined_channels(how, python):
    """Without the repair, oneDNN's ends the process."""
    done = python('-W', 'ignore', '-c', JOINED, how)
    assert done.stdout == 'right\n', (done.returncode, done.stderr)


# ------------------------------------------------------------------ softmax
SOFTMAX = """
import sys
import d2l
import mxnet
import numpy as onp
from mxnet import autograd, np, npx
from mxnet.gluon import nn
npx.set_np()

class Net(nn.HybridBlock):
    def __init__(self, conv, between, op, axis):
        super().__init__()
        self.conv, self.between, self.op, self.axis = conv, between, op, axis

    def hybrid_forward(self, F, X):
        return getattr(F.npx, self.op)(self.between(F, self.conv(X)), axis=self.axis)

# operators that may write their results over that of the convolution, and some that do not
BETWEEN = [lambda F, Y: Y, lambda F, Y: F.npx.relu(Y), lambda F, Y: F.np.copy(Y),
           lambda F, Y: F.npx.reshape(Y, (-2, -2, -1)), lambda F, Y: Y / 2,
           lambda F, Y: F.np.where(Y > 0, Y, Y * 2), lambda F, Y: F.np.tanh(F.np.exp(Y)),
           lambda F, Y: F.npx.dropout(Y, p=1e-9), lambda F, Y: F.np.swapaxes(Y, 1, 2),
           lambda F, Y: F.npx.batch_dot(*[F.npx.reshape(Y, (-2, -2, -1))] * 2, transpose_b=True)]

for conv, shape in [(nn.Conv1D(16, 3, in_channels=3), (2, 3, 10)),
                    (nn.Conv2D(8, 3, in_channels=3), (2, 3, 10, 9)),
                    (nn.Conv2D(12, 3, in_channels=3), (2, 3, 10, 9)),
                    (nn.Conv2DTranspose(32, 3, in_channels=3), (2, 3, 10, 9))]:
    conv.initialize()
    for op in 'softmax', 'log_softmax':
        for axis, between in [(axis, BETWEEN[0]) for axis in (-1, 1, 2, len(shape) - 1)] + [
                (-1, between) for between in BETWEEN[1:]]:
            net, X = Net(conv, between, op, axis), np.random.normal(size=shape)
            X.attach_grad()
            Y = between(mxnet.nd, np.array(conv(X).asnumpy())).asnumpy().astype('float64')
            Y -= Y.max(axis, keepdims=True)
            wanted = Y - onp.log(onp.exp(Y).sum(axis, keepdims=True))
            wanted = onp.exp(wanted) if op == 'softmax' else wanted
            exec(sys.argv[1])
            case = conv, op, axis, BETWEEN.index(between)
            for train_mode in False, True:
                with autograd.record(train_mode=train_mode):
                    found = net(X)
                found.backward()
                assert onp.allclose(found.asnumpy(), wanted, 1e-4, 1e-4), case
            assert onp.allclose(net(X).asnumpy(), wanted, 1e-4, 1e-4), case
print('right')
"""


# ------------------------------------------------------------------ slices of channels
SLICED = """
import sys
import d2l
import math

import mxnet
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
@pytest.mark.parametrize('script', [SLICED, SOFTMAX], ids=['slice', 'softmax'])
def test_operators_of_channels_in_blocks(script, how, tmp_path, python):
    """Without the repair, oneDNN ends the process where a slice cuts its blocks of channels, and
    where softmax reads them."""
    done = python('-W', 'ignore', '-c', script, how, tmp_path / 'net')
    assert done.stdout == 'right\n', (done.returncode, done.stderr)


@pytest.mark.parametrize('dtype', ['bool', 'int8', 'int32', 'float16', 'float32', 'float64'])
def test_slices_of_channels_of_any_dtype(dtype):
    values = onp.random.RandomState(0).randint(0, 2, (2, 6, 3)).astype(dtype)
    X = np.array(values, dtype=dtype)
    assert X.dtype == dtype
    for found, wanted in (X[:, :2], values[:, :2]), (X[:, 1:], values[:, 1:]), (
            npx.slice(X, (None, -2), (None, None)), values[:, -2:]):
        assert (found.asnumpy() == wanted).all() and found.dtype == dtype


# ------------------------------------------------------------------ dropout of an RNN
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
        for found, right in zip(run(given), wanted):
            onp.testing.assert_allclose(found, right, 1e-5, 1e-5)
        predicted = [array.asnumpy() for array in given(X, *states)]
        for found, right in zip(predicted, plain):     # prediction drops nothing
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


class Siamese(nn.Block):
    """A net that calls one RNN twice."""

    def __init__(self):
        super().__init__()
        self.rnn = rnn.GRU(4, 2, dropout=0.5, input_size=3)

    def forward(self, X):
        return self.rnn(X) - self.rnn(X)


@pytest.mark.parametrize('optimize', [False, True, 'unchecked'])
def test_an_rnn_that_a_net_calls_twice_drops_twice(optimize):
    net, X = Siamese(), np.ones((5, 2, 3))
    net.initialize(init.Uniform(1))
    npx.random.seed(3)
    with autograd.train_mode():
        wanted = net(X)
    d2l.hybridize(net, optimize=optimize)
    for _ in range(2):
        npx.random.seed(3)
        with autograd.record():
            found = net(X)
        found.backward()
        onp.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), 1e-5, 1e-5)
    assert (abs(wanted) > 0.01).any()


@pytest.mark.parametrize('train_mode', [True, False])
@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's"])
@pytest.mark.parametrize('kind', [rnn.RNN, rnn.LSTM, rnn.GRU])
def test_gradients_of_an_rnn_in_float64(kind, form, train_mode, tmp_path):
    """They are those of float32, for all layers."""
    found = []
    for dtype in 'float32', 'float64':
        npx.random.seed(1)
        net = kind(4, 3, bidirectional=True, input_size=3)
        net.initialize(init.Uniform(1))
        net.cast(dtype)
        X = np.array(onp.random.RandomState(0).normal(size=(5, 2, 3)), dtype=dtype)
        net = in_form(form, net, X, tmp_path)
        with autograd.record(train_mode=train_mode):
            loss = (net(X) ** 2).sum()
        loss.backward()
        found.append([param.grad().asnumpy() for param in net.collect_params().values()])
    for single, double in zip(*found):
        onp.testing.assert_allclose(single, double, 1e-3, 1e-3)


@pytest.mark.parametrize('hybridized', [False, True])
@pytest.mark.parametrize('kind', [rnn.RNN, rnn.LSTM, rnn.GRU])
def test_default_states_without_np_semantics(kind, hybridized, without_np):
    """Gluon's zeros for them get their shape from the operator RNN."""
    class Net(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.layer = kind(5, num_layers=2, dropout=1e-9, input_size=3)

        def hybrid_forward(self, F, x):
            return self.layer(x)
    net = Net()
    net.initialize()
    x = mxnet.nd.random.normal(shape=(2, 4, 3))
    wanted = net(x).asnumpy()
    if hybridized:
        net.hybridize()
    for _ in range(2):
        with autograd.record():
            y = net(x)
        y.backward()
        assert onp.allclose(y.asnumpy(), wanted, 1e-5, 1e-6)


def test_predict_mode_of_an_rnn_in_float64_with_static_shape():
    net = rnn.LSTM(5, num_layers=2, input_size=4, layout='NTC')
    net.initialize()
    net.cast('float64')
    net.hybridize(static_alloc=True, static_shape=True)
    x = np.ones((3, 2, 4), dtype='float64')
    for _ in range(10):
        with autograd.record(train_mode=False):
            l = (net(x) ** 2).sum()
        l.backward()
        assert l > 0


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's"])
def test_lengths_that_an_rnn_would_ignore_are_refused(form, tmp_path):
    net, X = rnn.LSTM(2, input_size=1, use_sequence_length=True), np.ones((4, 2, 1))
    net.initialize()
    if form != 'eager':
        net = d2l.hybridize(net) if form == 'compiled' else net
        net.hybridize()
    with pytest.raises(NotImplementedError, match='sequence_mask'):
        net(X, sequence_length=np.array([1, 4], dtype='int32'))


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's", 'exported'])
@pytest.mark.parametrize('layer, slope', [
    (nn.SELU(), lambda x: onp.where(x > 0, 1.0507, 1.0507 * 1.67326 * onp.exp(x))),
    (nn.ELU(0.7), lambda x: onp.where(x > 0, 1, 0.7 * onp.exp(x))),
    (nn.LeakyReLU(0.3), lambda x: onp.where(x > 0, 1, 0.3)),
    (nn.Swish(1.5), lambda x: (1 + onp.exp(-1.5 * x) * (1 + 1.5 * x)) / (
        1 + onp.exp(-1.5 * x)) ** 2),
    (nn.GELU(), lambda x: 0.5 * (1 + onp.vectorize(math.erf)(x / 2 ** 0.5)) + x * onp.exp(
        -x ** 2 / 2) / (2 * onp.pi) ** 0.5)], ids=['SELU', 'ELU', 'LeakyReLU', 'Swish', 'GELU'])
def test_gradients_of_activations(layer, slope, form, dtype, tmp_path):
    values = onp.array([[-3, -1.2, -0.1], [0.1, 0.7, 2]])
    X = np.array(values, dtype=dtype)
    net = in_form(form, layer, X, tmp_path)
    X.attach_grad()
    with autograd.record():
        Y = net(X)
    Y.backward()
    onp.testing.assert_allclose(X.grad.asnumpy(), slope(values), 1e-4, 1e-4)


@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('how', [
    lambda net: None, lambda net: net.hybridize(), lambda net: net.hybridize(static_alloc=True),
    d2l.hybridize, lambda net: d2l.hybridize(net, optimize=True)],
    ids=['eager', 'gluon', 'static_alloc', 'exact', 'optimized'])
@pytest.mark.parametrize('picture', [False, True])
def test_the_slope_of_prelu_between_layers(how, channels, picture):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 1, use_bias=False) if picture else nn.Dense(4, use_bias=False),
            nn.PReLU(in_channels=channels),
            nn.Conv2D(2, 1, use_bias=False) if picture else nn.Dense(2, use_bias=False))
    net.initialize(mxnet.init.Normal(1))
    X = np.random.normal(0, 1, (3, 4, 5, 5) if picture else (3, 4))
    net(X)
    how(net)
    for _ in range(2):
        with autograd.record():
            total = net(X).sum()
        total.backward()
    first, _, last = [layer.params for layer in net]
    first, last = [next(iter(p.values())).data().asnumpy().reshape(-1, 4) for p in (first, last)]
    X = onp.moveaxis(X.asnumpy(), 1, -1).reshape(-1, 4).astype('float64')
    hidden = X @ first.T
    slope = (onp.minimum(hidden, 0) * last.sum(0)).sum(0)
    expected = slope if channels > 1 else slope.sum(keepdims=True)
    onp.testing.assert_allclose(net[1].alpha.grad().asnumpy(), expected, 1e-4, 1e-4)
    above = onp.where(hidden > 0, 1, 0.25) * last.sum(0)
    found = net[0].weight.grad().asnumpy().reshape(4, 4)
    onp.testing.assert_allclose(found, above.T @ X, 1e-4, 1e-4)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('hybridize', [False, True])
def test_the_slope_of_prelu_where_shapes_depend_on_values(hybridize, channels):
    class Net(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.slope = self.params.get('slope', shape=(channels,), init=init.Constant(0.25))

        def hybrid_forward(self, F, X, slope):
            X = F.np.expand_dims(F.np.expand_dims(F.np.unique(X), 1), 1)
            X = X * F.np.ones((1, channels, 2))
            return F.npx.leaky_relu(X * 1, slope, act_type='prelu') * 2
    net = Net()
    net.initialize()
    if hybridize:
        net.hybridize()
    with autograd.record():
        Y = net(np.array([-1.0, -2, 3, 3]))
        total = Y.sum()
    total.backward()
    assert Y.shape == (3, channels, 2) and Y[:, 0, 0].tolist() == [-1, -0.5, 6]
    assert net.slope.grad().tolist() == [-12] * channels


@pytest.mark.parametrize('how', ['eager', 'net.hybridize()', 'd2l.hybridize(net)'])
@pytest.mark.parametrize('shape, slopes', [
    ((2, 3), (2, 3)), ((2, 3), (2, 1)), ((2, 3), (2,)), ((2, 3), (3,)), ((2, 3), (1, 3)),
    ((2, 3), (1,)), ((2, 3, 4), (3,)), ((2, 3, 4), (2,)), ((2, 3, 4), (1, 3)), ((2, 3, 4), (2, 3)),
    ((5,), (5,)), ((3, 3), (3,)), ((2, 3, 3), (3,)), ((3, 3, 4, 4), (3,))])
def test_the_slopes_of_prelu_fit_as_in_mxnet(how, shape, slopes):
    """While autograd records, d2l computes the operator by others; to predict, MXNet does."""
    class Net(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.slopes = self.params.get('slopes', shape=slopes, init=init.Uniform(1))

        def hybrid_forward(self, F, X, slopes):
            return F.npx.leaky_relu(X * 1, slopes, act_type='prelu') * 2
    net = Net()
    net.initialize()
    X = np.random.normal(0, 1, shape)
    exec('pass' if how == 'eager' else how)
    predicted = net(X)
    with autograd.record():
        y = net(X)
    y.backward()
    assert np.allclose(y, predicted)
    each = np.minimum(X, 0) * 2         # the gradient of the slope of each value
    slope = net.slopes.data().copy()
    for i in itertools.product(*map(range, slopes)):
        moved = slope.copy()
        moved[i] += 1
        net.slopes.set_data(moved)
        assert np.allclose(net.slopes.grad()[i], (net(X) - predicted).sum(), atol=1e-4)
        net.slopes.set_data(slope)
    assert np.allclose(net.slopes.grad().sum(), each.sum(), atol=1e-4)


@pytest.mark.parametrize('shape', [(0, 3), (0, 3, 4), (2, 3, 0)])
def test_the_slopes_of_prelu_get_nothing_of_no_values(shape):
    slopes = np.ones(3)
    slopes.attach_grad()
    with autograd.record():
        y = npx.leaky_relu(np.zeros(shape), slopes, act_type='prelu')
    y.backward()
    assert y.shape == shape and not slopes.grad.any()
