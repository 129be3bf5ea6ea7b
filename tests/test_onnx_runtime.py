"""d2l.onnx.runtime: ONNX Runtime predicts what the net does, also after the net has changed."""
import builtins

import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

import d2l
from d2l.onnx import operators, runtime

npx.set_np()
X = np.array(onp.random.RandomState(0).normal(size=(4, 3, 8, 8)), dtype='float32')
TOLERANCE = 1e-5


def small_net():
    net = nn.Sequential()
    net.add(nn.Conv2D(5, 3, activation='relu'), nn.BatchNorm(), nn.MaxPool2D(), nn.Dropout(0.5),
            nn.Dense(3))
    net.initialize()
    net(X)
    return net


def test_it_predicts_as_the_net_does():
    net = small_net()
    fast = d2l.compile(net, X, runtime='onnx')
    for x in X, X[:2], X:
        assert abs(fast(x) - net(x)).max() < TOLERANCE


class Nested(nn.Block):
    """Arguments and results of several arrays, of several types."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, in_units=4)

    def forward(self, X, state):
        Y = self.dense(X)
        return {'Y': Y, 'state': [state[0] + 1, (state[1] * 2, X)]}, Y - 1, X.sum()


def test_nested_arguments_and_results():
    net, x = Nested(), np.array(onp.random.RandomState(0).normal(size=(2, 4)), dtype='float32')
    net.initialize()
    state = [np.ones((1, 2)), np.arange(3, dtype='int32')]
    fast, right = d2l.compile(net, runtime='onnx')(x, state), net(x, state)
    for a, b in [(fast[0]['Y'], right[0]['Y']), (fast[0]['state'][0], right[0]['state'][0]),
                 (fast[0]['state'][1][0], right[0]['state'][1][0]), (fast[1], right[1]),
                 (fast[0]['state'][1][1], x), (fast[2], right[2])]:
        assert isinstance(a, np.ndarray) and a.shape == b.shape
        assert abs(a.astype('float64') - b.astype('float64')).max() < TOLERANCE


def change_by_training(net):
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 1})
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    trainer.step(1)


def change_one_number(net):
    net[-1].weight.data()[1, 2] += 1


def change_statistics(net):
    net[1].running_mean.set_data(net[1].running_mean.data() + 1)


def change_anew(net):
    net.initialize(force_reinit=True)
    net(X)


@pytest.mark.parametrize('change', [change_by_training, change_one_number, change_statistics,
                                    change_anew], ids=lambda f: f.__name__)
def test_parameters_that_change_are_noticed(change):
    net = small_net()
    fast = d2l.compile(net, X, runtime='onnx')
    before = fast(X)
    change(net)
    assert abs(fast(X) - before).max() > 1e-3
    assert abs(fast(X) - net(X)).max() < 1e-4 * abs(net(X)).max() + TOLERANCE


def test_a_session_serves_until_something_changes():
    net = small_net()
    fast = d2l.compile(net, X, runtime='onnx')
    session, _ = fast.prepare(X)
    assert fast.prepare(X)[0] is session
    change_one_number(net)
    assert fast.prepare(X)[0] is not session


class Scaled(nn.Block):
    factor = 2

    def forward(self, X):
        return X * self.factor


def test_attributes_that_change_are_noticed():
    net = Scaled()
    net.factor = 2
    fast = d2l.compile(net, X, runtime='onnx')
    net.factor = 3
    assert (fast(X) == 3 * X).all()


def second(a, b=None, *, c=1):
    return a * 2 + c if b is None else a - b


def test_arguments_by_name():
    fast, a, b = d2l.compile(second, runtime='onnx'), np.ones(3), np.arange(3)
    assert (fast(a, b=b) == a - b).all()
    assert (fast(b=b, a=a) == a - b).all()
    assert (fast(a=a) == 3).all()
    with pytest.raises(TypeError, match=r"by name only, \['c'\]: compile second without"):
        fast(a, c=2)


EMPTY = {'argument': lambda x: np.concatenate((x, np.ones((2, 4, 3))), axis=0),
         'sum': lambda x: x.sum(axis=0), 'result': np.tanh,
         'transpose': lambda x: x.transpose(2, 0, 1)}


@pytest.mark.parametrize('function', EMPTY.values(), ids=EMPTY)
def test_empty_arrays(function):
    x = np.array(onp.zeros((0, 4, 3), 'float32'))
    fast, right = d2l.compile(function, x, runtime='onnx')(x), function(x)
    onp.testing.assert_array_equal(fast.asnumpy(), right.asnumpy())


@pytest.mark.parametrize('flip', [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize('axes', [3, 4, 5])
def test_batch_dot(axes, flip):
    rng = onp.random.RandomState(0)
    a, b = (np.array(rng.normal(size=(2,) * (axes - 2) + shape), dtype='float32')
            for shape in [(4, 3) if flip[0] else (3, 4), (5, 4) if flip[1] else (4, 5)])

    def function(a, b):
        return npx.batch_dot(a, b, transpose_a=flip[0], transpose_b=flip[1])
    assert abs(d2l.compile(function, a, b, runtime='onnx')(a, b) - function(a, b)).max() < TOLERANCE


def test_results_share_no_memory():
    fast = d2l.compile(lambda x: x * 2, runtime='onnx')
    first = fast(np.ones((1000,)))
    fast(np.zeros((1000,)))
    first += 1
    assert (first == 3).all()


@pytest.mark.parametrize('scope', [autograd.record, autograd.train_mode])
def test_it_does_not_train(scope):
    fast = d2l.compile(small_net(), X, runtime='onnx')
    with scope(), pytest.raises(RuntimeError, match='predicts, .* d2l.compile'):
        fast(X)


class Counter(nn.Block):
    def __init__(self):
        super().__init__()
        self.count = np.zeros(1)

    def forward(self, X):
        self.count = self.count + 1
        return X + self.count


def test_a_net_with_a_state_is_refused():
    with pytest.raises(ValueError, match='Counter changes its own state'):
        d2l.compile(Counter(), X, runtime='onnx')


def test_what_computes_something_else_is_refused(monkeypatch):
    monkeypatch.setitem(operators.OPERATORS, '_npi_tanh', lambda g, x: g.node('Sin', x))
    with pytest.raises(ValueError, match='something else than tanh'):
        d2l.compile(np.tanh, X, runtime='onnx')


def test_an_operator_without_converter():
    with pytest.raises(d2l.NoConverter, match='_npi_svd'):
        d2l.compile(lambda x: np.linalg.svd(x)[1], X, runtime='onnx')


def test_without_onnxruntime(monkeypatch):
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == 'onnxruntime':
            raise ModuleNotFoundError("No module named 'onnxruntime'", name='onnxruntime')
        return original(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(ImportError, match='pip install onnxruntime'):
        d2l.compile(small_net(), runtime='onnx')


def test_another_runtime():
    with pytest.raises(ValueError, match="runtime='tvm'.*'onnx'"):
        d2l.compile(small_net(), runtime='tvm')


@pytest.mark.parametrize('make', [
    lambda: gluon.nn.Conv2D(2, 3), lambda: gluon.nn.Conv2DTranspose(2, 3), gluon.nn.GELU],
    ids=['Conv', 'ConvTranspose', 'Erf'])
def test_what_onnx_runtime_lacks_is_refused(make):
    net = make()
    net.initialize()
    net(np.ones((1, 3, 5, 5)))
    net.cast('float64')
    X = np.ones((1, 3, 5, 5), dtype='float64')
    with pytest.raises(ValueError, match='ONNX Runtime cannot run .*\n*.*cast the net to float32'):
        d2l.compile(net, X, runtime='onnx')


def test_what_onnx_runtime_lacks_at_the_first_run_is_refused():
    net = gluon.rnn.GRU(3, input_size=2)
    net.initialize()
    net(np.ones((4, 2, 2)))
    net.cast('float64')
    net(np.ones((4, 2, 2), dtype='float64'))
    with pytest.raises(ValueError, match='does not support double'):
        d2l.compile(net, np.ones((4, 2, 2), dtype='float64'), runtime='onnx')


def test_operators_that_onnx_runtime_joins_are_left_apart():
    """It joins these into FusedMatMul, for which it has no code in float64."""
    def scores(X):
        return npx.batch_dot(X, X, transpose_b=True) / 2
    X = np.random.normal(0, 1, (2, 3, 4)).astype('float64')
    found = d2l.compile(scores, X, runtime='onnx')(X)
    assert found.dtype == 'float64' and np.allclose(found, scores(X))


def test_sums_in_float16():
    def total(X):
        return X.sum()
    X = np.random.uniform(0, 1, (40, 40)).astype('float16')
    found = d2l.compile(total, X, runtime='onnx')(X)
    assert abs(found.item() - X.astype('float32').sum().item()) < 8


@pytest.mark.parametrize('dtype, units, equal', [
    ('float16', 4, True), ('float16', 20, False), ('float32', 8, True), ('float32', 20_000, False)])
def test_results_differ_by_few_units_in_the_last_place(dtype, units, equal):
    right = onp.array([1024.0], dtype)
    found = right + onp.array(units * 1024 * onp.finfo(dtype).eps, dtype)
    assert runtime.close(found, right) == equal
