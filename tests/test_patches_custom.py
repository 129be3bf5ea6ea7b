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


@pytest.mark.parametrize('w_req', REQS)
@pytest.mark.parametrize('x_req', REQS)
def test_each_argument_gets_its_gradient(module, x_req, w_req):
    x, w = marked(module, 5, x_req), marked(module, 2, w_req)
    if {x_req, w_req} <= {None, 'null'}:
        return
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


def test_an_error_is_raised(capsys):
    class Wrong(Straight):
        def backward(self, head):
            return head, head
    x = marked(np, 5, 'write')
    with autograd.record():
        y = Wrong()(x)
    with pytest.raises(mxnet.MXNetError):
        y.backward()
        npx.waitall()
    assert 'returns 2 gradients for 1 arguments' in capsys.readouterr().err
