"""The passes of d2l.hybrid, on small graphs that are written out here, and its structures."""
import collections
import decimal
import types

import mxnet as mx
import numpy as onp
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn
from mxnet.ndarray._internal import CachedOp

import d2l
from d2l import graphs
from d2l.hybrid import passes, tape, tree
from d2l.hybrid.tree import Tree, unflatten

npx.set_np()


def node(op, name, *inputs, **attrs):
    return graphs.node(op, name, [[i, 0, 0] for i in inputs], **attrs)


def graph(*nodes, heads):
    return {'nodes': list(nodes), 'heads': [[i, 0, 0] for i in heads], 'attrs': graphs.VERSION}


def loaded(changed):
    return graphs.to_symbol(changed).as_np_ndarray()


def drawn(changed, *inputs):
    mx.random.seed(1)
    return [a.asnumpy() for a in CachedOp(loaded(changed))(*inputs)]


@pytest.fixture
def two_draws():
    """Python ran node_3 before node_10, the outputs ask for node_10 first."""
    x = node('null', 'var0')
    return graph(x, node('_npi_normal', 'node_10', 0, loc='None', scale='1', size='(3,)',
                         ctx='cpu'),
                 node('_npi_normal', 'node_3', 0, loc='None', scale='1', size='(3,)', ctx='cpu'),
                 heads=[1, 2])


def test_random_order(two_draws):
    x = np.zeros(3)
    first, second = drawn(two_draws, x)
    changed = passes.keep_random_order(two_draws)
    assert changed['nodes'][1]['control_deps'] == [2]
    later, earlier = drawn(changed, x)
    assert (earlier == first).all() and (later == second).all() and (first != second).any()
    assert 'control_deps' not in two_draws['nodes'][1]      # the graph given is not changed


def test_random_order_leaves_others():
    plain = graph(node('null', 'var0'), node('sin', 'node_2', 0), heads=[1])
    assert passes.keep_random_order(plain) == plain


def test_no_common_subexpressions():
    """Two equal nodes stay two: MXNet gives each its own memory, and sums gradients after them."""
    same = graph(node('null', 'var0'), node('_npi_tanh', 'node_1', 0),
                 node('_npi_tanh', 'node_2', 0), heads=[1, 2])
    changed = passes.no_common_subexpressions(same)
    assert [n['attrs'] for n in changed['nodes']] == [{}, {'__node__': '1'}, {'__node__': '2'}]
    x = np.array([0.5])
    assert all(a == np.tanh(x) for a in CachedOp(loaded(changed))(x))


@pytest.mark.parametrize('op, newshape, shape', [
    ('_np_reshape', '(2, -1)', '(2, -1)'), ('_np_reshape', '-1', '(-1,)'),
    ('_npx_reshape', '(-2, -5, -1)', '(0, -3, -1)'),
    ('_npx_reshape', '(-6, 2, 1, -4)', '(-4, 2, 1, -2)'),
    ('_np_reshape', '()', None), ('_npx_reshape', '(-3, -4)', None),
    ('_np_reshape', '(0, 3)', None)])
def test_reshape_by_copy(op, newshape, shape):
    X = node('null', 'x')
    plain = graph(X, node(op, 'node_1', 0, newshape=newshape), heads=[1])
    assert passes.reshape_by_copy(plain) == plain       # without a convolution
    Y = node('Convolution', 'node_0', 0)
    changed = passes.reshape_by_copy(graph(X, Y, node(op, 'node_1', 1, newshape=newshape),
                                           heads=[2]))
    node_1 = changed['nodes'][2]
    assert node_1['inputs'] == [[1, 0, 0]]
    if shape:
        assert node_1['op'] == 'Reshape' and node_1['attrs']['shape'] == shape
        X = np.arange(12).reshape(2, 1, 6)
        if op == '_npx_reshape':
            given = tuple(map(int, newshape.strip('()').split(',')))
            Y = mx.nd.Reshape(X.as_nd_ndarray(), shape=eval(shape))
            assert Y.shape == npx.reshape(X, given).shape
    else:
        assert node_1['op'] == op


@pytest.mark.parametrize('ops, copies', [
    (['RESHAPE', 'Activation', 'Convolution', 'Activation', 'RESHAPE'], [1, 5]),
    (['RESHAPE', 'transpose', 'Convolution', 'transpose', 'RESHAPE'], []),
    (['transpose', 'RESHAPE', 'Deconvolution', 'RESHAPE', 'transpose'], [2, 4])])
def test_reshapes_copy_where_oneDNNs_order_may_come(ops, copies):
    nodes = [node('null', 'x')]
    for i, op in enumerate(ops):
        nodes.append(node('_np_reshape', f'node_{i}', i, newshape='(2, -1)') if op == 'RESHAPE'
                     else node(op, f'node_{i}', i))
    changed = passes.reshape_by_copy(graph(*nodes, heads=[len(ops)]))['nodes']
    assert [i for i, n in enumerate(changed) if n['op'] == 'Reshape'] == copies


def test_reshapes_of_weights_and_of_others_do_not_copy():
    x, y = node('null', 'x'), node('null', 'y')
    weight, other = [node('_np_reshape', f'node_{i}', 1, newshape='(2, -1)') for i in range(2)]
    convolution = node('Convolution', 'node_2', 0, 2)
    changed = passes.reshape_by_copy(graph(x, y, weight, other, convolution, heads=[3, 4]))
    assert [n['op'] for n in changed['nodes'][2:4]] == ['_np_reshape'] * 2
    # a reshape that is added to its result: the sum's gradient may be in oneDNN's layout
    total = node('elemwise_add', 'node_3', 4, 3)
    changed = passes.reshape_by_copy(graph(x, y, weight, other, convolution, total, heads=[5]))
    assert [n['op'] for n in changed['nodes'][2:4]] == ['_np_reshape', 'Reshape']


def test_copyto_to_cast():
    copied = graph(node('null', 'var0'), node('_copyto', 'node_1', 0),
                   node('_npi_multiply_scalar', 'node_2', 1, scalar='2.0'), heads=[2])
    changed = passes.copyto_to_cast(copied, {'node_1': 'float64'})
    assert changed['nodes'][1]['op'] == 'Cast'
    assert CachedOp(loaded(changed))(np.ones(2)).dtype == onp.float64


@pytest.mark.parametrize('op', [
    '_npi_normal', '_npi_uniform', '_npi_uniform_n', '_random_uniform', '_random_normal_like',
    '_random_randint', '_npi_bernoulli', '_shuffle', '_sample_multinomial', '_npi_gamma',
    '_npi_multinomial', '_image_random_hue', 'Custom'])
def test_operators_that_draw(op):
    assert tape.draws(op, {}) == tape.ALWAYS


@pytest.mark.parametrize('op, attrs, when', [
    ('Dropout', {'p': '0.5'}, tape.TRAINING), ('Dropout', {'mode': 'always'}, tape.ALWAYS),
    ('RNN', {'p': '0.5'}, tape.TRAINING), ('RNN', {'p': '0.0'}, None), ('RNN', {}, None),
    ('LeakyReLU', {'act_type': 'rrelu'}, tape.TRAINING), ('LeakyReLU', {'act_type': 'elu'}, None)])
def test_operators_that_may_draw(op, attrs, when):
    assert tape.draws(op, attrs) == when


@pytest.mark.parametrize('op', [
    'null', 'FullyConnected', '_npi_add', 'softmax', '_rnn_param_concat', '_npi_power_scalar',
    'Cast',
    'gamma', 'gammaln', 'BilinearSampler', '_random_pdf_normal', 'LogisticRegressionOutput'])
def test_operators_that_do_not_draw(op):
    assert not tape.draws(op, {})


@pytest.mark.parametrize('value', [
    3, None, 'text', (), [], {}, (1, [2.0, (None,)]), {'a': [1], 'b': {'c': ()}}, -0.0, 1 - 2j,
    slice(1, None), range(3), {1, 2}, frozenset({3}), bytearray(b'ab'), onp.float32(2),
    collections.deque([1], 2), collections.Counter('aab'), collections.defaultdict(list, a=[1]),
    collections.OrderedDict(b=1, a=2), types.SimpleNamespace(a=[1]), decimal.Decimal('0.10')])
def test_structures_without_arrays(value):
    leaves = Tree()
    again = unflatten(leaves.flatten(value), iter(()))
    assert not leaves.arrays and again == value and type(again) is type(value)
    assert repr(again) == repr(value)       # as -0.0 == 0.0


def test_structures_with_arrays():
    Pair = collections.namedtuple('Pair', 'left right')
    x, y = np.ones(1), np.zeros(1)
    value, leaves = Pair([x, 1], collections.OrderedDict(b=y, a=(x,))), Tree()
    again = unflatten(leaves.flatten(value), iter(leaves.arrays))
    assert [a is b for a, b in zip(leaves.arrays, (x, y))] == [True] * 2
    assert isinstance(again, Pair) and again.left[0] is x and list(again.right) == ['b', 'a']
    assert again.right['a'][0] is x


def test_structures_keep_which_objects_are_identical():
    x = np.ones(1)
    shared, apart = [x], [[x], [x]]
    one, two = Tree().flatten([shared, shared]), Tree().flatten(apart)
    assert one != two and two != Tree().flatten([[x], [np.ones(1)]])
    again = unflatten(one, iter([x]))
    assert again[0] is again[1]
    cyclic = [1]
    cyclic.append(cyclic)
    again = unflatten(Tree().flatten(cyclic), iter(()))
    assert again[1] is again


def test_structures_tell_kinds_apart():
    class Number(int):
        pass
    values = [1, 1.0, True, (1,), [1], {0: 1}, np.ones(1), '*', ('*',), 0.0, -0.0, onp.float32(1),
              onp.float64(1), onp.ones(1), onp.ones(1, 'float32'), onp.ones((1, 1)), {1}, {True},
              frozenset({1}), Number(1), 1 + 0j, slice(1), range(1), b'1', bytearray(b'1'), None,
              collections.deque([1]), collections.deque([1], 3), collections.OrderedDict({0: 1}),
              onp.dtype('float32'), onp.float32, types.SimpleNamespace(a=1), [[1]], [1, 1],
              decimal.Decimal('0.1'), decimal.Decimal('0.10'), len, int]
    structures = {Tree().flatten(value) for value in values}
    assert len(structures) == len(values) and tree.ARRAY in structures


def test_structures_of_nan_are_equal():
    assert Tree().flatten(float('nan')) == Tree().flatten(float('inf') - float('inf'))


@pytest.mark.parametrize('value', [list(range(30_000)), onp.zeros(1_000_000)])
def test_what_is_too_large_is_refused(value):
    with pytest.raises(tree.CannotHold, match='20,000 values|8,000,000 bytes'):
        Tree().flatten(value)


USES = {        # functions of x, of shape (2, 3), which is used at many places
    'mean': lambda x: x.mean(axis=1), 'sum': lambda x: x.sum(axis=0),
    'max': lambda x: x.max(axis=0),
    'clip': lambda x: np.clip(x, -0.5, 0.5), 'tanh': np.tanh, 'sigmoid': npx.sigmoid,
    'relu': npx.relu, 'softmax': npx.softmax, 'log_softmax': npx.log_softmax,
    'add': lambda x: x + 1, 'subtract': lambda x: x - np.ones((4, 1, 3)),
    'multiply': lambda x: x * np.tanh(x), 'broadcast': lambda x: x + np.ones((4, 2, 3)),
    'times': lambda x: x * np.ones((4, 2, 3)), 'divide': lambda x: 1 / (x + 9), 'abs': np.abs,
    'exp': np.exp, 'square': lambda x: x ** 2, 'maximum': lambda x: np.maximum(x, 0),
    'dot': lambda x: np.dot(x, np.ones((3, 2))),
    'dot, second': lambda x: np.dot(np.ones((4, 2)), x),
    'dense': lambda x: npx.fully_connected(x, np.ones((2, 3)), no_bias=True, num_hidden=2),
    'dense, weight': lambda x: npx.fully_connected(np.ones((5, 3)), x, no_bias=True, num_hidden=2),
    'layer_norm': lambda x: npx.layer_norm(x, np.ones(3), np.zeros(3)),
    'reshape': lambda x: x.reshape(-1), 'transpose': lambda x: x.T,
    'swapaxes': lambda x: np.swapaxes(x, 0, 1), 'expand_dims': lambda x: np.expand_dims(x, 0),
    'slice': lambda x: x[:1], 'split': lambda x: np.split(x, 3, axis=1)[1],
    'concatenate': lambda x: np.concatenate([np.ones((2, 3)), x]), 'repeat': lambda x: x.repeat(2),
    'stack': lambda x: np.stack([x, np.ones((2, 3))]), 'tile': lambda x: np.tile(x, 2),
    'take': lambda x: np.take(x, np.array([0, 1, 1]), axis=0), 'copy': lambda x: x.copy(),
    'embedding': lambda x: npx.embedding(np.array([0, 1, 1]), x, input_dim=2, output_dim=3),
    'where': lambda x: np.where(x > 0, x, 2 * x), 'cast': lambda x: x.astype('float64'),
    'einsum': lambda x: np.einsum('ij,kj->ik', x, np.ones((4, 3))), 'std': lambda x: x.std(axis=0)}


@pytest.mark.parametrize('optimize', [False, True])
@pytest.mark.parametrize('use', USES.values(), ids=USES)
def test_gradients_of_many_uses(use, optimize):
    """If an array has 8 uses or more, a CachedOp adds up their gradients in place, which some
    operators cannot do."""
    def function(x, first):
        others = [x * number for number in range(2, 10)]
        return [use(x), *others] if first else [*others[:4], use(x), *others[4:]]

    def gradient(called, first):
        x = np.array([[0.1, -2.0, 0.3], [1.4, 0.5, -0.6]])
        x.attach_grad()
        with autograd.record():
            results = called(x, first)
        autograd.backward(results)
        return x.grad.asnumpy()
    compiled = d2l.compile(function, optimize=optimize)
    for first in (True, False):
        expected, found = gradient(function, first), gradient(compiled, first)
        assert abs(expected - found).max() <= (1e-5 if optimize else 0) * abs(expected).max()


def test_a_layer_with_statistics_at_many_places():
    """The layer must not get copies of its running statistics, as their updates would be lost."""
    found = []
    for compiled in (False, True):
        norm = nn.BatchNorm(in_channels=3)
        norm.initialize()

        def function(x):
            return sum(norm(x * number) for number in range(1, 12))     # noqa: B023

        with autograd.record():
            result = (d2l.compile(function) if compiled else function)(np.arange(12).reshape(4, 3))
        result.backward()
        found.append(norm.running_mean.data().asnumpy())
    assert (found[0] == found[1]).all() and found[0].any()
