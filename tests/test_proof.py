"""d2l.hybrid.proof: a rewritten graph that computes something else is not used, and the proof has
no side effects."""
import functools

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l
from d2l.rewrite import rules

npx.set_np()
BOTH = pytest.mark.parametrize('training', [True, False], ids=['training', 'prediction'])


@pytest.fixture
def rule(monkeypatch):
    """A function that makes its argument the only rule for an operator, tanh by default."""
    def add(function, op='_npi_tanh'):
        monkeypatch.setitem(rules.RULES, op, [functools.wraps(function)(
            lambda graph, node: function(graph, node))])
    return add


def wrong_value(graph, node):
    return graph.new('_mul_scalar', node.inputs, node.shapes[0], scalar=1.001)


def wrong_gradient(graph, node):
    """The value is right, but not the gradient."""
    x, shape = node.inputs[0], node.shapes[0]
    value = graph.new('BlockGrad', [graph.new('tanh', [x], shape)], shape)
    nothing = graph.new('elemwise_sub', [x, graph.new('BlockGrad', [x], shape)], shape)
    return graph.new('add_n', [value, nothing], shape, num_args=2)


def spreads_nan(graph, node):
    """tanh(x) + 0 * the sum of x."""
    value = graph.new('Activation', node.inputs, node.shapes[0], act_type='tanh')
    total = graph.new('sum', node.inputs, (1,))
    nothing = graph.new('_mul_scalar', [total], (1,), scalar=0)
    return graph.new('broadcast_add', [value, nothing], node.shapes[0])


def a_little_wrong(graph, node):
    return graph.new('_mul_scalar', [graph.new('tanh', node.inputs, node.shapes[0])],
                     node.shapes[0], scalar=1 + 2 ** -17)


def nan_in_double(graph, node):
    """A little wrong, and in double precision NaN: there 1 + 2 ** -30 is more than 1."""
    whole = node.shapes[0]
    ones = graph.ones(*whole)
    more = graph.new('_mul_scalar', [ones], whole, scalar=1 + 2 ** -30)
    root = graph.new('sqrt', [graph.new('elemwise_sub', [ones, more], whole)], whole)
    nothing = graph.new('_mul_scalar', [root], whole, scalar=0)
    return graph.new('add_n', [a_little_wrong(graph, node), nothing], whole, num_args=2)


def one_after_another(graph, node):
    """A sum whose terms are added one after another, which is the least precise order."""
    n, = node.inputs[0][0].shapes[0]
    sums = graph.new('_np_cumsum', node.inputs, (n,))
    return graph.new('_np_reshape', [graph.new('slice', [sums], (1,), begin=(n - 1,), end=(n,))],
                     (), newshape=())


def less_precise(graph, node):
    """Right in double precision, but rounded in float32."""
    value = graph.new('tanh', node.inputs, node.shapes[0])
    for op, scalar in ('_plus_scalar', 4096.), ('_minus_scalar', 4096.):
        value = graph.new(op, [value], node.shapes[0], scalar=scalar)
    return value


def without_dropout(graph, node):
    return node.inputs[0]


def wrong_shape(graph, node):
    return graph.new('_np_reshape', node.inputs, (-1,), newshape=(-1,))


def raises(graph, node):
    raise KeyError('a fault of ours')


def unknown_operator(graph, node):
    return graph.new('no_such_operator', node.inputs, node.shapes[0])


def fails_when_run(graph, node):
    return graph.new('_np_reshape', node.inputs, node.shapes[0], newshape=(7, 11, 13))


def cycle(graph, node):
    value = graph.new('tanh', node.inputs, node.shapes[0])
    value[0].inputs = [value]
    return value


def without_end(graph, node):
    for _ in range(10 ** 9):
        graph.new('tanh', node.inputs, node.shapes[0])


def net():
    found = nn.Sequential(prefix='net_')
    found.add(nn.Dense(3, in_units=4, prefix='a_'), nn.Lambda(lambda x: np.tanh(x)),
              nn.Dense(2, in_units=3, prefix='b_'))
    found.initialize(mxnet.init.Normal(1))
    return found


def results(function, X, training=True):
    """The output of a net, or of what was compiled of it, and the gradients of its Parameters."""
    with autograd.record(train_mode=training):
        Y = function(X)
    params = [p for p in function.collect_params().values() if p.grad_req != 'null']
    if params or X.grad is not None:
        Y.backward()
    return [a.asnumpy() for a in [Y, *(p.grad() for p in params)]]


@BOTH
@pytest.mark.parametrize('function', [wrong_value, a_little_wrong, wrong_gradient, less_precise,
                                      wrong_shape, raises, unknown_operator, fails_when_run, cycle,
                                      without_end],
                         ids=lambda function: function.__name__)
def test_a_rule_that_is_wrong(rule, function, training):
    rule(function)
    block, X = net(), np.array(onp.random.RandomState(0).normal(size=(5, 4)), dtype='float32')
    exact = results(block, X, training)
    fast = d2l.compile(block, optimize=True)
    with pytest.warns(UserWarning, match=rf'^Sequential .* by {function.__name__} it'):
        found = results(fast, X, training)
    assert all((a == b).all() for a, b in zip(exact, found))
    assert all((a == b).all() for a, b in zip(exact, results(fast, X, training)))   # no warning


def test_a_long_sum_may_be_rounded_otherwise(rule, recwarn):
    """The results differ by more than a change of the arguments' last digits would explain. As both
    graphs agree in double precision, the rewritten one is used. Where they do not agree, it is
    refused, though its result is as near."""
    def a_little_more(graph, node):
        value = one_after_another(graph, node)
        return graph.new('_mul_scalar', [value], (), scalar=1 + 2 ** -17)
    X = np.array(onp.random.RandomState(0).uniform(size=2 ** 19), dtype='float32')
    exact = X.sum()
    rule(one_after_another, '_np_sum')
    found = d2l.compile(lambda X: X.sum(), optimize=True)(X)
    assert 2e-6 < abs(found / exact - 1) < 2 ** -14 and not recwarn
    rule(a_little_more, '_np_sum')
    with pytest.warns(UserWarning, match='a_little_more'):
        assert d2l.compile(lambda X: X.sum(), optimize=True)(X) == exact


def test_what_is_nan_in_double_precision_proves_nothing(rule):
    rule(nan_in_double)
    X = np.array([[.5, 1.], [2., 3.]])
    with pytest.warns(UserWarning, match='nan_in_double'):
        assert (d2l.compile(np.tanh, optimize=True)(X) == np.tanh(X)).all()


def test_a_rule_that_is_wrong_for_some_numbers(rule):
    rule(spreads_nan)
    X = onp.ones((3, 4), 'float32')
    X[1, 2] = onp.nan
    fast = d2l.compile(np.tanh, optimize=True)
    with pytest.warns(UserWarning, match='^tanh .* spreads_nan .* infinite or NaN at other places'):
        Y = fast(np.array(X)).asnumpy()
    assert (onp.isnan(Y) == onp.isnan(X)).all()


def test_gradients_that_are_not_needed_are_not_compared(rule):
    """While no gradient is needed, a wrong one does not matter."""
    rule(wrong_gradient)
    block = net()
    block.collect_params().setattr('grad_req', 'null')
    fast = d2l.compile(block, optimize=True)
    with autograd.record():
        fast(np.ones((5, 4)))
    X = np.ones((5, 4))
    X.attach_grad()
    with autograd.record(), pytest.warns(UserWarning, match='wrong_gradient'):
        Y = fast(X)
    Y.backward()
    assert (X.grad != 0).any()


def test_gradients_are_proved_when_a_call_needs_them(rule):
    """Also where the first calls needed none, or only those of another input."""
    rule(wrong_gradient)
    def function(X, Y):
        return np.tanh(X) * Y
    fast, X, Y = d2l.compile(function, optimize=True), np.ones(3), np.ones(3)
    fast(X, Y)
    with autograd.record(train_mode=False):
        fast(X, Y)
    Y.attach_grad()
    with autograd.record(train_mode=False):
        fast(X, Y).backward()
    X.attach_grad()
    expected = 1 - np.tanh(X) ** 2
    for again in False, True:
        with autograd.record(train_mode=False):
            if again:
                Z = fast(X, Y)      # no second warning
            else:
                with pytest.warns(UserWarning, match='wrong_gradient'):
                    Z = fast(X, Y)
        Z.backward()
        onp.testing.assert_allclose(X.grad.asnumpy(), expected.asnumpy(), rtol=1e-6)


@pytest.mark.parametrize('dtype', ['int32', 'float32'])
@pytest.mark.parametrize('take', [
    lambda X, table: npx.embedding(X, table, input_dim=9, output_dim=4),
    lambda X, table: table[X.astype('int32')], lambda X, table: npx.one_hot(X, 4) * table[:1],
    lambda X, table: npx.sequence_mask(table[:3], X[:, 0], True, axis=1),
    lambda X, table: np.floor(X / 3) * table[0, 0]])
def test_inputs_that_are_integers_are_not_changed(rule, take, dtype):
    """The proof changes the last digits of inputs, but not of integers, which may be indices:
    another row would differ in any case."""
    rule(wrong_value)
    X = np.array([[3, 5], [1, 2], [7, 0]], dtype=dtype)
    table = np.array(onp.random.RandomState(0).normal(size=(9, 4)), dtype='float32')
    def function(X):
        return np.tanh(take(X, table))
    with pytest.warns(UserWarning, match='wrong_value'):
        found = d2l.compile(function, optimize=True)(X)
    assert (found == function(X)).all()


@pytest.mark.parametrize('draw', [lambda X: np.random.normal(X, 1), np.random.exponential,
                                  lambda X: np.random.uniform(0, X)])
def test_parameters_of_random_operators_are_compared(rule, draw):
    rule(wrong_value)
    with pytest.warns(UserWarning, match='wrong_value .* takes wrong'):
        d2l.compile(lambda X: draw(np.tanh(X)), optimize=True)(np.ones(3))


def test_a_rule_that_removes_a_draw_is_refused(rule):
    rule(without_dropout, 'Dropout')
    fast = d2l.compile(lambda X: npx.dropout(X, .5), optimize=True)
    with autograd.record(), pytest.warns(UserWarning, match='draws other random numbers'):
        assert 100 < (fast(np.ones(400)) == 0).sum() < 300


def test_optimize_unchecked_skips_the_proof(rule):
    rule(wrong_value)
    X = np.ones((5, 4))
    fast = d2l.compile(np.tanh, optimize='unchecked')
    assert abs(fast(X) - 1.001).max() < 1e-6
    with pytest.raises(ValueError, match="optimize='never': True, False or 'unchecked'"):
        d2l.compile(np.tanh, optimize='never')


class Draws(nn.Block):
    """Layers that draw and layers that keep statistics."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = nn.BatchNorm(in_channels=4), nn.Dense(4, in_units=4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, X):
        Y = self.dropout(np.tanh(self.dense(self.norm(X))))
        return Y + np.random.normal(Y, 1) + np.random.normal(size=Y.shape)


@BOTH
def test_the_proof_has_no_side_effects(training):
    """Random numbers, statistics and gradients are as without the proof."""
    found = []
    for optimize in True, 'unchecked':
        mxnet.random.seed(1)
        block, X = Draws(), np.array(onp.random.RandomState(0).normal(size=(5, 4)),
                                     dtype='float32')
        block.initialize(mxnet.init.Normal(1))
        X.attach_grad()
        X.grad[:] = 7
        for p in block.collect_params().values():
            if p.grad_req != 'null':
                p.grad_req = 'add'
        d2l.hybridize(block, optimize=optimize)
        mxnet.random.seed(2)
        with autograd.record(train_mode=training):
            Y = block(X)
        assert (X.grad == 7).all()
        assert all((p.grad() == 0).all() for p in block.collect_params().values()
                   if p.grad_req != 'null')
        Y.backward()
        found.append([a.asnumpy() for a in [
            Y, X.grad, np.random.normal(size=3),
            *(p.data() for p in block.collect_params().values()),
            *(p.grad() for p in block.collect_params().values() if p.grad_req != 'null')]])
    for a, b in zip(*found):
        onp.testing.assert_array_equal(a, b)


CANCEL = {
    'a sum of 0': lambda X: np.tanh(X - X.mean(axis=1, keepdims=True)).sum(axis=1),
    'rows of one number': lambda X: npx.layer_norm(X * 0 + 3, np.ones(64), np.zeros(64)),
    'softmax of one column': lambda X: npx.softmax(X.sum(axis=1, keepdims=True)) * 3,
    'large numbers': lambda X: (X * 1e6 + 1e6).sum(axis=1) - 64e6}


@BOTH
@pytest.mark.parametrize('function', CANCEL.values(), ids=CANCEL)
def test_results_where_large_terms_cancel_are_accepted(function, training):
    X = np.array(onp.random.RandomState(0).normal(size=(32, 64)), dtype='float32')
    X.attach_grad()
    fast = d2l.compile(function, optimize=True)
    with autograd.record(train_mode=training):
        fast(X).backward()


class HasArguments(nn.Block):
    """A Block with an attribute that functools.partial has, too."""
    args = 1, 2

    def forward(self, X):
        return np.tanh(X)


@pytest.mark.parametrize('function, name', [
    (HasArguments(), 'HasArguments'), (functools.partial(np.tanh), 'tanh'),
    (functools.partial(lambda k, X: np.tanh(X) * k, 2.0), '.*'),
    (lambda X: np.tanh(X), '<lambda>')])
def test_whatever_is_compiled_has_a_name(rule, function, name):
    rule(wrong_value)
    with pytest.warns(UserWarning, match=f'^{name} runs as it was traced'):
        d2l.compile(function, np.ones(3), optimize=True)


@pytest.mark.parametrize('optimize', [False, True], ids=['exact', 'optimized'])
def test_errors_of_earlier_operators_are_raised(optimize):
    """MXNet raises them late; the proof must not take them for its own and drop them."""
    weight, index = np.ones((5, 3)), np.array([1., 2])
    for array in weight, index:
        array.attach_grad()
    net = nn.Dense(2, in_units=6)
    net.initialize()
    d2l.hybridize(net, optimize=optimize)
    with autograd.record():
        y = npx.embedding(index.astype('int32'), weight, 5, 3).sum()
    with pytest.raises(mxnet.MXNetError, match='Embedding'):
        y.backward()                # it has no gradient of the indices
        with autograd.record():
            net(np.ones((4, 6)))
        npx.waitall()
