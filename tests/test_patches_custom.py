import collections
import functools
import itertools

import mxnet
import numpy as onp
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


INSIDE = """if True:
    import faulthandler
    faulthandler.dump_traceback_later(100, exit=True)
    import mxnet, d2l
    from mxnet import autograd, np
    d2l.npx.reset_np()

    def again(x, head, function):
        x = x.copy()
        x.attach_grad()
        with autograd.record():
            y = function(x)
        y.backward(head)
        return x.grad

    class Function(autograd.Function):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            self.save_for_backward(x)
            return self.function(x)

        def backward(self, head):
            return again(self.saved_tensors[0], head, self.function)

    class Operator(mxnet.operator.CustomOp):
        def __init__(self, function):
            self.function = function

        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], self.function(in_data[0]))

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], again(in_data[0], out_grad[0], self.function))

    def operator(name, function):
        class Prop(mxnet.operator.CustomOpProp):
            def create_operator(self, ctx, in_shapes, in_dtypes):
                return Operator(function)
        mxnet.operator.register(name)(Prop)
        return lambda x: mxnet.nd.Custom(x, op_type=name)

    def work(x):                    # five operators that need a workspace, and their gradients
        for _ in range(5):
            x = (x + x.sum()) / 2
        return x
    twice = lambda x: Function(work)(x) + work(Function(work)(x))
    operator_twice = operator('twice', lambda x: OPERATOR(x) + work(OPERATOR(x)))
    OPERATOR = operator('work', work)
    kinds = {
        'Function': twice,
        'Function in Function': lambda x: Function(twice)(x),
        'three of them': lambda x: Function(lambda x: Function(twice)(x))(x),
        'Operator in Operator': operator_twice,
        'Operator in Function': lambda x: Function(operator_twice)(x),
        'Function in Operator': operator('function', twice)}
    for module in mxnet.nd, np:
        if module is np:
            d2l.npx.set_np()
        for kind, function in kinds.items():
            if module is np and 'Operator' in kind:
                continue            # operators get arrays of mx.nd
            for _ in range(10):
                x = module.array([1, 2, 4])
                x.attach_grad()
                with autograd.record():
                    y = function(x)
                y.backward()
                print(module.__name__, kind, x.grad.asnumpy().tolist(), flush=True)
    """


@pytest.mark.parametrize('workspaces', ['1', '4'])
def test_functions_and_operators_inside_of_one_another_end(python, workspaces):
    """In MXNet they wait for ever if one thread calls both: an operator of the outer one may keep
    the thread's workspace until the inner one has ended. d2l gives a thread one workspace, MXNet
    four."""
    done = python('-c', INSIDE, env={'MXNET_CPU_TEMP_COPY': workspaces})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 90
    assert len({line.partition('[')[2] for line in lines}) == 1, done.stdout


def register(name, make=None, **methods):
    """Register a custom operator that computes x * 2, with these methods in place of its own, and
    return a function that calls it."""
    class Twice(mxnet.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], in_data[0] * 2)

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], out_grad[0] * 2)

    class Prop(mxnet.operator.CustomOpProp):
        def __init__(self, number=None):
            super(self.__class__, self).__init__(need_top_grad=True)

        def create_operator(self, ctx, in_shapes, in_dtypes):
            assert type(self) is Prop
            return methods['operator'] if 'operator' in methods else type(
                'Op', (Twice,), methods)()
    assert mxnet.operator.register(name)(make(Prop) if make else Prop)
    return lambda x: mxnet.nd.Custom(x, op_type=name)


def of_ones(function):
    x = mxnet.nd.ones(3)
    x.attach_grad()
    with autograd.record():
        y = function(x)
    y.backward()
    return y.asnumpy().tolist(), x.grad.asnumpy().tolist()


@pytest.mark.parametrize('make', [None, lambda prop: functools.partial(prop, 7),
                                  lambda prop: lambda **kwargs: prop(**kwargs)])
def test_a_custom_operator_is_made_as_in_mxnet(without_np, make):
    assert of_ones(register('test_patches_custom_made', make)) == ([2] * 3, [2] * 3)


def test_a_custom_operator_that_chooses_its_backward_pass(without_np):
    def forward(self, is_train, req, in_data, out_data, aux):
        self.backward = self.large
        self.assign(out_data[0], req[0], in_data[0])

    def large(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0] * 100)
    function = register('test_patches_custom_chosen', forward=forward, large=large)
    assert of_ones(function) == ([1] * 3, [100] * 3)


def test_an_operator_without_a_backward_pass_predicts(without_np):
    class Operator:
        def forward(self, is_train, req, in_data, out_data, aux):
            out_data[0][:] = in_data[0] * 3
    function = register('test_patches_custom_predicts', operator=Operator())
    assert function(mxnet.nd.ones(2)).asnumpy().tolist() == [3, 3]


class Two(tuple):
    def __new__(cls, a, b):
        return super().__new__(cls, (a, b))


class Named(list):
    name = 'default'


def named(*arrays):
    made = Named(arrays)
    made.name = 'mine'
    return made


@pytest.mark.parametrize('result', [
    lambda x: onp.array([2, 3]), lambda x: {'ab': x}, lambda x: None, lambda x: 2.5,
    lambda x: 'ab', lambda x: collections.deque([x], 3), lambda x: Two(x, x), lambda x: named(x)],
    ids=['NumPy', 'dict', 'None', 'float', 'str', 'deque', 'tuple', 'list'])
def test_a_result_that_is_not_recorded_stays_as_it_is(module, result):
    class Returns(Straight):
        def forward(self, x):
            self.found = result(x)
            return self.found
    function = Returns()
    assert function(marked(module, 5, 'write')) is function.found


@pytest.mark.parametrize('make', [Two, named, lambda *arrays: arrays, lambda *arrays: [*arrays]])
def test_results_that_are_arguments_or_the_same(module, make):
    class Returns(Straight):
        def forward(self, x):
            return make(x, x)

        def backward(self, first, second):
            return first * 10 + second
    x = marked(module, 5, 'write')
    with autograd.record():
        found = Returns()(x)
        total = found[0] + found[1] * 2
    assert type(found) is type(make(x, x))
    assert getattr(found, 'name', 'mine') == 'mine'
    total.backward()
    assert x.grad.asnumpy().tolist() == [12] * 3

    class Same(Returns):
        def forward(self, x):
            y = x * 2
            return make(y, y)
    with autograd.record():
        found = Same()(x)
        total = found[0] + found[1] * 2
    total.backward()
    assert x.grad.asnumpy().tolist() == [12] * 3
