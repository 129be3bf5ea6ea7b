"""Code that pauses autograd, changes its mode, or was written for mx.nd: compiled as it stands."""
import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, nd, np, npx
from mxnet.gluon import contrib, nn, rnn

from d2l import TraceError, compile, export_onnx, hybridize

npx.set_np()


class Net(gluon.Block):
    """A layer, an average of its outputs, and a function of the net and its input as forward."""

    def __init__(self, function):
        super().__init__()
        self.dense, self.average = nn.Dense(3, in_units=4), np.zeros(3)
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm(in_channels=3)
        self._function = function

    def forward(self, X):
        return self._function(self, X)


def averages(net, X):
    Y = net.dense(X)
    with autograd.pause():
        net.average[:] = net.average * 0.9 + Y.mean(0) * 0.1
    return Y - net.average


def all_kinds_of_views(net, X):
    Y = net.dense(X)
    with autograd.pause():
        row, flat, largest = Y[0], Y.reshape(-1), Y.max(1, keepdims=True)
    return Y * row + flat.sum() - largest


def pauses_and_records(net, X):
    with autograd.pause():
        Z = net.dense(X)
        if not net.recorded:
            return Z
        with autograd.record(train_mode=autograd.is_training()):
            Y = net.dense(X)
    return Y * Z


def asks(net, X):
    return net.dense(X) * (2 if autograd.is_recording() else 3)


def asks_in_a_pause(net, X):
    with autograd.pause():
        return net.dense(X) * (2 if autograd.is_recording() or autograd.is_training() else 3)


def predicts(net, X):
    with autograd.predict_mode():
        return net.dense(X)


def writes_into_what_it_made_there(net, X):
    Y = net.dense(X)
    with autograd.pause():
        weights = Y * 2
        weights[0] = 1
        weights += 1
    return Y * weights


def writes_into_zeros(net, X):
    weights = np.zeros((2, 3))
    with autograd.pause():
        weights[:] = net.dense(X)
        weights[0] = 1
    return net.dense(X) * weights


def draws(net, X):
    Y = net.dense(X)
    with autograd.pause():
        Z, order = np.random.normal(Y, 1.0), np.arange(2.0)
        np.random.shuffle(order)
    return Y * Z + order.reshape(2, 1)


def run(net, X, recorded, training):
    """Return the results, gradients and state of a net as NumPy arrays."""
    mxnet.random.seed(1)
    X, net.recorded = X.copy(), recorded
    X.attach_grad()
    weight = net.dense.weight
    weight.grad()[:] = 0
    if not recorded:
        with autograd.train_mode() if training else autograd.predict_mode():
            found = [net(X)]
    else:
        with autograd.record(train_mode=training):
            Y = net(X)
            loss = (Y * Y).sum() + (net.dense(X) * 0).sum()
        loss.backward()
        found = [Y, X.grad, weight.grad()]
    return [array.asnumpy() for array in [*found, net.average]]


@pytest.mark.parametrize('function', [
    averages, all_kinds_of_views, pauses_and_records, asks, asks_in_a_pause, predicts,
    writes_into_what_it_made_there, writes_into_zeros, draws],
    ids=lambda function: function.__name__)
@pytest.mark.parametrize('first', [0, 1, 2, 3])
def test_a_net_that_changes_the_mode(function, first):
    """In each mode, whichever comes first, outputs, gradients and state are eager's to the bit."""
    nets = Net(function), Net(function)
    for net in nets:
        net.initialize()
    nets[1].dense.weight.set_data(nets[0].dense.weight.data())
    hybridize(nets[1])
    modes = [(False, False), (True, True), (True, False), (False, True)]
    for recorded, training in [*modes[first:], *modes[:first]] * 2:
        X = np.random.normal(size=(2, 4))
        for a, b in zip(*[run(net, X, recorded, training) for net in nets]):
            onp.testing.assert_array_equal(a, b)


def result_of_a_layer(net, X):
    Y = net.dense(X)
    with autograd.pause():
        Y[0] = 5
    return Y


def made_in_a_pause_and_written_after_it(net, X):
    with autograd.pause():
        Y = net.dense(X)
    Y[:] = net.dense(X)
    with autograd.pause():
        Y[0] = 5
    return Y


@pytest.mark.parametrize('function', [result_of_a_layer, made_in_a_pause_and_written_after_it],
                         ids=lambda function: function.__name__)
def test_a_write_in_a_pause_into_an_array_with_a_gradient_is_refused(function):
    """Eager mode keeps the gradient that the array had, which no graph can."""
    net = Net(function)
    net.initialize()
    hybridize(net)
    X = np.ones((2, 4))
    assert net(X)[0, 0] == 5
    with pytest.raises(TraceError, match='while autograd is paused') as caught:
        with autograd.record():
            net(X)
    assert 'Y[0] = 5' in str(caught.value)


@pytest.mark.parametrize('layer', ['dropout', 'norm'])
def test_what_depends_on_the_mode_is_refused_in_another_one(layer):
    def function(net, X):
        with autograd.predict_mode():
            return getattr(net, layer)(net.dense(X))
    net = Net(function)
    net.initialize()
    hybridize(net)
    X = np.ones((2, 4))
    eager = net._function(net, X).asnumpy()
    onp.testing.assert_array_equal(net(X).asnumpy(), eager)
    with pytest.raises(TraceError, match='in another mode than that of the call'):
        with autograd.record():
            net(X)


# ---- operators without a gradient

def test_operators_without_a_gradient():
    """They are in the graphs of predictions. While autograd records, their arguments have to be
    detached."""
    def function(X):
        return np.insert(X, 1, 5.0) * 2

    def detached(X):
        return np.insert(X.detach(), 1, 5.0) * X.sum()
    X = np.arange(3.0)
    X.attach_grad()
    for each in function, detached:
        onp.testing.assert_array_equal(compile(each)(X).asnumpy(), each(X).asnumpy())
    found = {}
    for each in detached, compile(detached):
        with autograd.record():
            each(X).backward()
        found[each] = X.grad.asnumpy()
    onp.testing.assert_array_equal(*found.values())
    compiled = compile(function)
    compiled(X)             # its program has no gradient, so it is not used while autograd records
    with pytest.raises(TraceError, match='Detach its arguments') as caught:
        with autograd.record():
            compiled(X)
    assert 'np.insert' in str(caught.value)


# ---- code for mx.nd

class Older(gluon.Block):
    """Runs a net or a function of arrays of mx.nd on arrays of mx.np."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, X):
        with mxnet.util.np_array(False), mxnet.util.np_shape(False):
            return self.net(X.as_nd_ndarray()).as_np_ndarray()


def test_a_net_of_nd_by_itself_is_refused_with_the_way_to_compile_it():
    with mxnet.util.np_array(False), mxnet.util.np_shape(False):
        net, X = nn.Dense(3, in_units=4), nd.ones((2, 4))
        net.initialize()
        eager = net(X).asnumpy()
        with pytest.raises(RuntimeError, match='is compiled in a Block whose forward says'):
            compile(net)(X)
        with pytest.warns(UserWarning, match='runs eagerly: call npx.set_np'):
            found = compile(net, fallback=True)(X)
        onp.testing.assert_array_equal(found.asnumpy(), eager)
    onp.testing.assert_array_equal(compile(Older(net))(np.ones((2, 4))).asnumpy(), eager)


class Unrolled(gluon.Block):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, X):
        return self.cell.unroll(X.shape[1], X, layout='NTC', merge_outputs=True)[0]


class Stepped(Unrolled):
    def forward(self, X):
        state = self.cell.begin_state(batch_size=len(X))
        for t in range(X.shape[1]):
            Y, state = self.cell(X[:, t], state)
        return Y


def stack():
    cells = rnn.SequentialRNNCell()
    cells.add(rnn.LSTMCell(4, input_size=4))
    cells.add(rnn.DropoutCell(0.5))
    cells.add(rnn.GRUCell(4, input_size=4))
    return cells


CELLS = {
    'rnn': lambda: rnn.RNNCell(4, input_size=4), 'lstm': lambda: rnn.LSTMCell(4, input_size=4),
    'gru': lambda: rnn.GRUCell(4, input_size=4), 'dropout': lambda: rnn.DropoutCell(0.5),
    'stack': stack, 'projected': lambda: contrib.rnn.LSTMPCell(5, 4, input_size=4),
    'residual': lambda: rnn.ResidualCell(rnn.GRUCell(4, input_size=4)),
    'zoneout': lambda: rnn.ZoneoutCell(rnn.GRUCell(4, input_size=4), 0.5, 0.5),
    'bidirectional': lambda: rnn.BidirectionalCell(rnn.LSTMCell(4, input_size=4),
                                                   rnn.LSTMCell(4, input_size=4))}
# MXNet cannot step them
UNROLLED_ONLY = 'residual', 'zoneout', 'bidirectional'


@pytest.mark.parametrize('way, cell', [
    (way, cell) for cell in CELLS for way in (Unrolled, Stepped)
    if way is Unrolled or cell not in UNROLLED_ONLY])
def test_recurrent_cells(way, cell):
    with mxnet.util.np_array(False), mxnet.util.np_shape(False):
        net = way(CELLS[cell]())
        net.initialize()
    eager, compiled = Older(net), compile(Older(net))
    for _ in range(3):
        X = np.random.normal(size=(2, 3, 4))
        X.attach_grad()
        found = []
        for each in eager, compiled:
            mxnet.random.seed(1)
            with autograd.record():
                Y = each(X)
            Y.backward()
            found.append([array.asnumpy() for array in (each(X), Y, X.grad)])
        for a, b in zip(*found):
            onp.testing.assert_array_equal(a, b)
    assert sum(map(len, compiled._programs.values())) <= 2     # none for each count of calls


@pytest.mark.parametrize('use', ['count == 3', 'count % 2', 'weights[count]', 'int(count)',
                                 'names[count]', 'count or 1', 'range(count)'])
def test_a_cell_that_uses_its_count(use):
    """A count that goes on from call to call may name things, and nothing else."""
    class Counting(rnn.RNNCell):
        def hybrid_forward(self, F, x, states, **kwargs):
            count, names, weights = self._counter, {1: 2}, [1] * 9      # noqa: F841
            eval(code)
            return super().hybrid_forward(F, x, states, **kwargs)
    code = __builtins__['compile'](use, use, 'eval')
    with mxnet.util.np_array(False), mxnet.util.np_shape(False):
        net = Stepped(Counting(4, input_size=4))
        net.initialize()
    with pytest.raises(TraceError, match='the number of calls of this cell'):
        compile(Older(net))(np.ones((2, 1, 4)))


SINGLE = {
    'index': lambda X: X[0, 0, 0], 'indices': lambda X: X[0][0][0], 'sum': lambda X: X.sum(),
    'of a vector': lambda X: X.reshape((-1,))[3],
    'squeezed': lambda X: X[0:1, 0:1, 0:1].squeeze(),
    'used': lambda X: nd.concat(X[0, 0, 0], X[1, 1, 1], dim=0)}


@pytest.mark.parametrize('name', SINGLE)
def test_a_single_element_has_the_shape_of_eager_mode(name):
    net, X = Older(SINGLE[name]), np.random.normal(size=(2, 3, 4))
    eager, compiled = net(X), compile(net)(X)
    assert eager.shape == compiled.shape
    onp.testing.assert_array_equal(eager.asnumpy(), compiled.asnumpy())


def first_row(X):
    Y = nd.zeros_like(X)
    Y[0] = X[1]
    return Y


def column(X):
    Y = X.copy()
    Y[:, 0] = 5
    Y[:, 1:3] = X[:, :2] * 2
    return Y


def by_arrays(X):
    Y = nd.zeros_like(X)
    Y[nd.array([0, 1]), nd.array([1, 2])] = X[:2, 0]
    return Y


@pytest.mark.parametrize('function', [first_row, column, by_arrays])
def test_item_assignment(function):
    net, X = Older(function), np.random.normal(size=(2, 3, 4))
    onp.testing.assert_array_equal(compile(net)(X).asnumpy(), net(X).asnumpy())


def test_asscalar_of_an_integer_is_a_question():
    net = Older(lambda X: X * X.max().astype('int32').asscalar())
    compiled = compile(net)
    for number in 2, 3, 2:
        X = np.full((2, 3), number)
        onp.testing.assert_array_equal(compiled(X).asnumpy(), net(X).asnumpy())


def test_parameters_made_without_np_are_exported(tmp_path):
    with mxnet.util.np_array(False), mxnet.util.np_shape(False):
        net = nn.Dense(3, in_units=4)
        net.initialize()
    X = np.random.normal(size=(2, 4))
    export_onnx(Older(net), tmp_path / 'net.onnx', X)
    onp.testing.assert_allclose(compile(Older(net), runtime='onnx')(X).asnumpy(),
                                Older(net)(X).asnumpy(), rtol=1e-5, atol=1e-6)
