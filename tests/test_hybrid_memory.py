"""Arrays that share their memory in eager mode share it when compiled, or their use is refused.

Each way of taking an array from another is tried in each kind of program, compiled and eagerly.
"""
import mxnet as mx
import numpy as onp
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l
from d2l.hybrid import TraceError

WAYS = {
    'detach': lambda Y: Y.detach(), 'row': lambda Y: Y[0], 'last': lambda Y: Y[-1],
    'rest': lambda Y: Y[1:], 'first two': lambda Y: Y[:2], 'element': lambda Y: Y[0, 1],
    'end of a row': lambda Y: Y[0, 1:], 'whole row': lambda Y: Y[0, :], 'all': lambda Y: Y[:, :],
    'dots': lambda Y: Y[...], 'new axis': lambda Y: Y[None], 'column': lambda Y: Y[:, 1],
    'one column': lambda Y: Y[0:1, 1], 'step of one': lambda Y: Y[::1],
    'step of two': lambda Y: Y[::2], 'no index': lambda Y: Y[()], 'itself': lambda Y: Y[:],
    'row of rows': lambda Y: Y[1:][0].detach(), 'element of a row': lambda Y: Y[0][1],
    'iterator': lambda Y: [*Y][1], 'reshape': lambda Y: Y.reshape(-1),
    'reshape_view': lambda Y: Y.reshape_view(-1), 'transposed': lambda Y: Y.T,
    'nd': lambda Y: Y.as_nd_ndarray().as_np_ndarray(),
    'nd reshape': lambda Y: Y.as_nd_ndarray().reshape((-1,)).as_np_ndarray(),
    'nd row': lambda Y: Y.as_nd_ndarray()[0].as_np_ndarray(),
    'nd end of a row': lambda Y: Y.as_nd_ndarray()[0, 1:].as_np_ndarray(),
    'nd detach': lambda Y: Y.as_nd_ndarray().detach().as_np_ndarray(),
    'copy': lambda Y: Y.copy(), 'astype': lambda Y: Y.astype('float32'),
    'astype, no copy': lambda Y: Y.astype('float32', copy=False),
    'as_in_ctx': lambda Y: Y.as_in_ctx(mx.cpu()), 'squeeze': lambda Y: Y.squeeze(),
    'expand_dims': lambda Y: np.expand_dims(Y, 0), 'flatten': lambda Y: Y.flatten(),
    'npx.reshape': lambda Y: npx.reshape(Y, (-1,)), 'split': lambda Y: np.split(Y, 3)[0],
    'array': lambda Y: np.array(Y), 'swapaxes': lambda Y: Y.swapaxes(0, 1),
}


class Keeps(nn.Block):
    """It keeps what `way` takes of its result."""

    def __init__(self, way):
        super().__init__()
        self.way, self.kept = way, np.zeros((3, 3))

    def forward(self, X):
        Y = X * 2
        self.kept = self.way(Y)
        return Y


class Weight(nn.Block):
    """It returns what `way` takes of a Parameter."""

    def __init__(self, way):
        super().__init__()
        self.way, self.weight = way, self.params.get('weight', shape=(3, 3), init=mx.init.One())
        self.initialize()

    def forward(self, X):
        return self.way(self.weight.data()), X * 2


def lists(*arrays):
    return [array.asnumpy().tolist() for array in arrays]


def fill(array, value):
    array[() if array.ndim == 0 else slice(None)] = value


def after_a_write(way, compiled):
    """A view is used once what it is of was written into."""
    def f(X):
        Y = X * 2
        part = way(Y)
        Y[0, 1] = 50
        return part * 1
    return lambda X: lists(compiled(f)(X))


def written(way, compiled):
    """A view is written into."""
    def f(X):
        Y = X * 2
        part = way(Y)
        fill(part, 5)
        return Y * 1
    return lambda X: lists(compiled(f)(X))


def returned(way, compiled):
    """Both are returned, and written into then."""
    f = compiled(lambda X: [Y := X * 2, way(Y)])

    def use(X):
        Y, part = f(X)
        before = lists(Y, part)
        Y[:] = 7
        between = lists(part)
        fill(part, 9)
        return before, between, lists(Y)
    return use


def of_an_argument(way, compiled):
    """A view of an argument is returned; then the argument is written into."""
    f = compiled(lambda X: [way(X), X * 2])

    def use(X):
        part, _ = f(X)
        X[:] = 7
        after = lists(part)
        fill(part, 9)
        return after, lists(X)
    return use


def siblings(way, compiled):
    """Views of an array are returned that itself is not."""
    f = compiled(lambda X: [way(Y := X * 2), Y.detach(), Y[1:], Y[0]])

    def use(X):
        part, whole, rest, row = f(X)
        whole[:] = 7
        after = lists(part, rest, row)
        fill(part, 9)
        return after, lists(whole, rest, row)
    return use


def kept(way, compiled):
    """A view of the result is kept in an attribute."""
    net = compiled(Keeps(way))

    def use(X):
        Y = net(X)
        Y[:] = 7
        after = lists(net.kept)
        fill(net.kept, 9)
        return after, lists(Y)
    return use


def of_a_parameter(way, compiled):
    """A view of a Parameter is returned; then another value is set."""
    net = compiled(Weight(way))

    def use(X):
        part, _ = net(X)
        before = lists(part)
        net.weight.set_data(X)
        return before, lists(part)
    return use


def differentiated(way, compiled):
    """A gradient comes through an array and through what is taken from it."""
    f = compiled(lambda X: [Y := X * 2, way(Y)])

    def use(X):
        X.attach_grad()
        with autograd.record():
            Y, part = f(X)
            loss = (Y ** 2).sum() + (part ** 3).sum()
        loss.backward()
        return lists(X.grad)
    return use


KINDS = [after_a_write, written, returned, of_an_argument, siblings, kept, of_a_parameter,
         differentiated]
COMPILE = {'eager': lambda f: f, 'compiled': lambda f: (
    d2l.hybridize if isinstance(f, nn.Block) else d2l.compile)(f)}


def outcome(kind, way, how):
    """What three calls give."""
    run = kind(way, COMPILE[how])
    return [run(np.array(onp.arange(9).reshape(3, 3) + i, dtype='float32')) for i in range(3)]


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_memory_is_shared_as_in_eager_mode(kind, way):
    """And where a write inside of the function shows that it is, the function is refused."""
    wanted = outcome(kind, WAYS[way], 'eager')
    try:
        found = outcome(kind, WAYS[way], 'compiled')
    except TraceError as error:
        assert kind in (after_a_write, written), error
        assert any(text in str(error) for text in (
            'shares memory', 'under another name', 'a detached array'))
    else:
        assert found == wanted


class Writes(nn.Block):
    """It writes into one array that it keeps, and reads another."""

    def __init__(self, take):
        super().__init__()
        self.state = np.ones((3, 3))
        self.other = take(self.state)

    def forward(self, X):
        self.state[:] = self.state + X
        return self.other * 1, X * 1


class WritesOne(Writes):
    """It reads no array that it keeps but the one that it writes into."""

    def forward(self, X):
        self.state[:] = self.state + X
        return self.state * 1, X * 1


VIEWS = [name for name in WAYS if name in (
    'detach', 'row', 'rest', 'whole row', 'dots', 'nd', 'reshape_view')]


@pytest.mark.parametrize('way', VIEWS)
def test_a_write_into_memory_that_another_input_has_is_refused(way):
    """In eager mode that one changes, too: the answer of a compiled net would be another."""
    net = d2l.hybridize(Writes(WAYS[way]))
    with pytest.raises(TraceError, match='(?s)shares its memory.*self.state.*copy'):
        net(np.ones((3, 3)))
    net = Writes(WAYS[way])
    with pytest.warns(UserWarning, match='shares its memory'):
        other, _ = d2l.compile(net, fallback=True)(np.ones((3, 3)))
    assert lists(other) == lists(WAYS[way](np.full((3, 3), 2)))


def test_so_is_one_at_a_later_call():
    """The memory is looked at in each call."""
    for take in (lambda X: X), np.ndarray.detach:
        net = d2l.hybridize(WritesOne(np.copy))
        assert net(np.ones((3, 3)))[0].sum() == 18
        with pytest.raises(TraceError, match='shares its memory'):
            net(take(net.state))


@pytest.mark.parametrize('way', ['copy', 'step of two', 'transposed'])
def test_copies_are_written_into(way):
    """What lies apart from all others is no case of that."""
    X = np.ones((3, 3))
    eager, net = Writes(WAYS[way]), d2l.hybridize(Writes(WAYS[way]))
    for _ in range(3):
        assert lists(*eager(X)) == lists(*net(X))
    assert lists(eager.state) == lists(net.state)
