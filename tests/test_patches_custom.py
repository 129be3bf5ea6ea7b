import collections
import itertools

import mxnet
import pytest
from mxnet import autograd, np, npx

import d2l  # noqa: F401


class Product(autograd.Function):
    """x * w, with gradients that tell it from the operator: twice those of x, thrice those of w."""

    def forward(self, x, w):
        self.save_for_backward(x, w)
        return x * w

    def backward(self, head):
        x, w = self.saved_tensors
        assert type(head) is type(x)
        return head * w * 2, head * x * 3


class Straight(autograd.Function):
    """The gradient turned around, as domain adaptation does."""

    def forward(self, x):
        return x

    def backward(self, head):
        return -head


class Both(autograd.Function):
    def forward(self, x):
        return x, x.sum()

    def backward(self, first, second):
        return first * 10 + second


REQS = [None, 'null', 'write', 'add']


@pytest.fixture(params=['np', 'nd'])
def module(request):
    if request.param == 'nd':
        request.getfixturevalue('without_np')
    return np if request.param == 'np' else mxnet.nd


def marked(module, value, req):
    array = module.ones(3) * value
    if req:
        array.attach_grad(req)
        if req != 'null':
            array.grad[:] = 100
    return array


@pytest.mark.parametrize('x_req, w_req', [
    pair for pair in itertools.product(REQS, REQS) if {'write', 'add'} & {*pair}])
def test_each_argument_gets_its_gradient(module, x_req, w_req):
    x, w = marked(module, 5, x_req), marked(module, 2, w_req)
    for _ in range(2):
        with autograd.record():
            y = Product()(x, w).sum()
        y.backward()
    for array, req, gradient in (x, x_req, 4), (w, w_req, 15):
        if req in ('write', 'add'):
            found = gradient if req == 'write' else 100 + 2 * gradient
            assert array.grad.asnumpy().tolist() == [found] * 3


@pytest.mark.parametrize('req', ['write', 'add'])
@pytest.mark.parametrize('first', [0, 2])
def test_gradients_go_on_through_other_operators(module, req, first):
    x, w = marked(module, 5, req), marked(module, 2, None)
    x.grad[:] = 0
    with autograd.record():
        y = x * first if first else x
        y = (Product()(Straight()(y), w) + x).sum()
    y.backward()
    assert x.grad.asnumpy().tolist() == [1 - 4 * (first or 1)] * 3


def test_an_argument_is_returned(module):
    x = marked(module, 5, 'write')
    with autograd.record():
        y = Straight()(x)
        z = (y * 3).sum()
    assert y is not x
    z.backward()
    assert x.grad.asnumpy().tolist() == [-3] * 3
    assert Straight()(x).asnumpy().tolist() == [5] * 3      # outside of record


def test_several_results(module):
    x = marked(module, 5, 'write')
    with autograd.record():
        y, total = Both()(x)
        z = (y * 3).sum() + total * 7
    z.backward()
    assert x.grad.asnumpy().tolist() == [37] * 3


def test_scalars_and_empty_arrays():
    x, w = np.array(3.0), np.array(4.0)
    for array in x, w:
        array.attach_grad('add')
    with autograd.record():
        y = Product()(x, w)
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (8, 9)
    empty = np.ones((0, 3))
    empty.attach_grad()
    with autograd.record():
        y = Straight()(empty)
    y.backward()
    assert empty.grad.shape == (0, 3)


@pytest.mark.parametrize('gradients, said', [
    (lambda head: (head, head), 'returns 2 gradients for 1 arguments'),
    (lambda head: None, 'returns a NoneType as gradient of argument 0'),
    (lambda head: 2.0, 'returns a float as gradient'),
    (lambda head: head[:1], 'shape (1,) as gradient of argument 0'),
    (lambda head: 1 / 0, 'ZeroDivisionError')])
def test_an_error_is_raised(capsys, module, gradients, said):
    class Wrong(Straight):
        def backward(self, head):
            return gradients(head)
    x = marked(module, 5, 'write')
    with autograd.record():
        y = Wrong()(x)
    with pytest.raises(mxnet.MXNetError):
        y.backward()
        npx.waitall()
    assert said in capsys.readouterr().err


def test_autograd_still_records_after_an_exception(module):
    class Raises(Straight):
        def forward(self, x):
            raise KeyError(0)
    x = marked(module, 5, 'write')
    with autograd.record():
        with pytest.raises(KeyError):
            Raises()(x)
        y = x * 2
    y.backward()
    assert x.grad.asnumpy().tolist() == [2] * 3


def test_none_is_no_gradient_of_what_wants_none(module):
    class First(Product):
        def backward(self, head):
            return super().backward(head)[0], None
    x, w = marked(module, 5, 'write'), marked(module, 2, None)
    with autograd.record():
        y = First()(x, w)
    y.backward()
    assert x.grad.asnumpy().tolist() == [4] * 3


@pytest.mark.parametrize('kind', [tuple, list, collections.namedtuple('Pair', 'a b')])
def test_results_keep_their_type(module, kind):
    class Results(Straight):
        def forward(self, x):
            return kind._make([x, x * 2]) if hasattr(kind, '_make') else kind([x, x * 2])

        def backward(self, first, second):
            return first + second * 2
    x = marked(module, 5, 'write')
    with autograd.record():
        found = Results()(x)
        total = found[0] + found[1]
    assert type(found) is kind
    total.backward()
    assert x.grad.asnumpy().tolist() == [3] * 3


class Checkpointed(autograd.Function):
    """Computes a function once more in the backward pass."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        self.save_for_backward(x)
        return self.function(x)

    def backward(self, head):
        x = self.saved_tensors[0].copy()
        x.attach_grad()
        with autograd.record():
            y = self.function(x)
        y.backward(head)
        return x.grad


def test_a_function_inside_of_a_backward_pass(module, monkeypatch, capsys):
    monkeypatch.setenv('MXNET_CPU_TEMP_COPY', '1')      # as d2l sets it
    x = marked(module, 5, 'write')
    with autograd.record():
        y = Checkpointed(lambda x: x * x)(x)
    y.backward()
    assert x.grad.asnumpy().tolist() == [10] * 3
    with autograd.record():
        y = Checkpointed(lambda x: Product()(x, x))(x)
    if module is mxnet.nd:
        y.backward()
        assert x.grad.asnumpy().tolist() == [25] * 3
    else:
        with pytest.raises(mxnet.MXNetError):
            y.backward()
            npx.waitall()
        assert 'set MXNET_CPU_TEMP_COPY=4' in capsys.readouterr().err
