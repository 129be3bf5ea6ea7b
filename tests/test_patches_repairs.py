"""How repairs reach the operators in graphs."""
import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn, rnn

from d2l import graphs
from d2l.patches import layers, repairs

npx.set_np()


def predicting(graph):
    """The graph as it is recorded in predict mode, if its variable x is a picture of 4 x 4; None if
    it stays."""
    pooling = repairs.Repair('Pooling', layers._max_pools, layers._pooled_channels_last)
    return repairs.repaired(graph, {'x': ((1, 1, 4, 4), 'float32')}, pooling)


def test_a_graph_without_max_pooling_stays():
    x = mxnet.sym.var('x')
    average = mxnet.sym.Pooling(x, kernel=(2, 2), pool_type='avg')
    assert predicting(graphs.from_symbol(average)) is None


def test_control_dependencies_are_kept_in_the_changed_graph():
    nodes = [graphs.node('null', 'x'), graphs.node('Pooling', 'pool', [[0, 0, 0]], kernel=(2, 2)),
             graphs.node('sin', 'first', [[1, 0, 0]]), graphs.node('cos', 'second', [[1, 0, 0]])]
    nodes[3]['control_deps'] = [2]
    changed = predicting(dict(nodes=nodes, heads=[[3, 0, 0]], attrs=graphs.VERSION))
    second = changed['nodes'][-1]
    assert [changed['nodes'][i]['name'] for i in second['control_deps']] == ['first']


def test_shapes_that_need_the_same_graph_share_its_memory():
    net = rnn.GRU(4, 2, dropout=0.5, input_size=3)
    net.initialize()
    net.hybridize(static_alloc=True)
    for steps in range(3, 9):
        with autograd.train_mode():
            net(np.ones((steps, 2, 3)))
    assert len(net._cached_op._by_kinds) == 6 and len(net._cached_op.substitutes) == 1


def test_operators_of_one_name_have_their_own_shapes():
    kinds = {'x': ((2, 16, 8, 8), 'float32'), 'y': ((2, 8, 8, 8), 'float32')}
    pool, inputs = nn.AvgPool2D(2), [mxnet.sym.var(name).as_np_ndarray() for name in kinds]
    joined = mxnet.sym.concat(*[pool(each).as_nd_ndarray() for each in inputs], dim=1)
    graph = graphs.with_unique_names(graphs.from_symbol(joined))
    names = [node['name'] for node in graph['nodes']]
    assert len({*names}) == len(names) and {*kinds} < {*names}
    found = graphs.inferred(graphs.to_symbol(graph), kinds)
    assert [found[name][0][0] for name in names if 'fwd' in name] == [(2, 16, 4, 4), (2, 8, 4, 4)]


@pytest.mark.parametrize('flags', [{}, {'static_alloc': True}], ids=str)
@pytest.mark.parametrize('layer', [
    nn.SELU(), nn.BatchNorm(axis=-1, in_channels=1), nn.BatchNorm(axis=2, in_channels=4),
    nn.HybridLambda(lambda F, x: F.npx.log_softmax(x)), rnn.GRU(3, 2, dropout=0.5, input_size=1)],
    ids=lambda layer: type(layer).__name__)
def test_shapes_that_depend_on_values(layer, flags):
    """Repairs apply without a known shape."""
    class Net(gluon.HybridBlock):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def hybrid_forward(self, F, x):
            values = F.np.unique(x)
            states = [F.np.zeros((2, 4, 3))] if isinstance(self.layer, rnn.GRU) else []
            return self.layer(F.np.reshape(values, (-1, 4, 1)) * 1, *states)
    layer.initialize(force_reinit=True)
    net, found = Net(layer), []
    x = np.array([[4., 1, 2, 3, 2], [2, 5, 6, 7, 8]])
    for make in lambda: None, lambda: net.hybridize(**flags):
        make()
        x.attach_grad()
        mxnet.random.seed(0)
        for _ in range(2):
            with autograd.record():
                y = net(x)
                y = y[0] if isinstance(y, (list, tuple)) else y
            y.backward()
        found.append([y.asnumpy(), x.grad.asnumpy()])
    net.hybridize(False)
    for a, b in zip(*found):
        onp.testing.assert_allclose(b, a, 1e-5, 1e-6)


class Twice(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.act = nn.Activation('relu')

    def hybrid_forward(self, F, x, y):
        return [F.npx.slice(self.act(each), begin=(None, 0), end=(None, 9)) for each in (x, y)]


def test_a_layer_that_is_called_twice():
    net = Twice()
    net.hybridize()
    assert [each.shape for each in net(np.ones((2, 10, 3)), np.ones((2, 5, 3)))] == [
        (2, 9, 3), (2, 5, 3)]


@pytest.mark.filterwarnings('ignore:register_op_hook is experimental:UserWarning')
@pytest.mark.parametrize('flags', [{}, {'static_alloc': True, 'static_shape': True}], ids=str)
def test_hooks_see_operators_of_repaired_graphs(flags):
    net, seen, x = nn.HybridSequential(), [], np.ones((2, 1, 8, 8))
    net.add(nn.Conv2D(4, 3), nn.AvgPool2D(3, 2, ceil_mode=True))
    net.initialize()
    net.hybridize(**flags)
    net(x)
    net.register_op_hook(lambda name, op, array: seen.append(name.decode()))
    for shape in (2, 1, 8, 8), (3, 1, 9, 9):        # known, and new
        seen.clear()
        net(np.ones(shape)).wait_to_read()
        assert any('conv' in name for name in seen) and any('pool' in name for name in seen)
    for parameter in net.collect_params().values():
        parameter.grad_req = 'add'                  # with static_shape, another CachedOp is made
    seen.clear()
    with autograd.record():
        net(x).wait_to_read()
    assert any('pool' in name for name in seen)


@pytest.mark.parametrize('text, wanted', [
    ('(2L, 2L)', (2, 2)), ('(2, 2)', (2, 2)), ('3L', 3), ('(0, None)', (0, None)), ('NLC', 'NLC'),
    ('(L2,)', '(L2,)')])
def test_attributes_of_old_files(text, wanted):
    """Python 2 wrote them with an L."""
    assert graphs.literal(text) == wanted
    if not isinstance(wanted, str) and None not in (wanted if isinstance(wanted, tuple) else ()):
        assert graphs.numbers(text) == (wanted if isinstance(wanted, tuple) else (wanted,))
