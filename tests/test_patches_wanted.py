"""Which inputs want a gradient does not matter to the gradients of those that want one."""
import functools
import itertools

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from d2l import c_api, graphs
from tests.support import in_form, randn

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning',   # Gluon's own code does that
    'ignore:Cannot decide type:UserWarning', 'ignore:Type cannot be inferred:UserWarning')


# ------------------------------------------------------------------ operators of several inputs
def older(name, **attrs):
    """An operator of `mx.nd` or `mx.sym`, for arrays of `mx.np`."""
    def function(F, *inputs):
        for part in name.split('.'):
            F = getattr(F, part)
        return F(*[x.as_nd_ndarray() for x in inputs], **attrs).as_np_ndarray()
    return function


def by_np(name, *args, **attrs):
    return lambda F, *inputs: getattr(F.np, name)(*inputs, *args, **attrs)


def by_npx(name, **attrs):
    return lambda F, *inputs: getattr(F.npx, name)(*inputs, **attrs)


def joined(name, axis):
    return lambda F, *inputs: getattr(F.np, name)(inputs, axis)


def recurrent(mode, layers):
    return lambda F, *inputs: F.npx.rnn(*inputs, state_size=4, num_layers=layers, mode=mode,
                                        state_outputs=True)[0]


def size_of(gates, layers):
    """The number of weights of an RNN with 3 features and 4 units."""
    return gates * 4 * (3 + 4) + (layers - 1) * gates * 4 * 8 + layers * 2 * gates * 4


def normalized(F, x, gamma, beta, mean, variance):
    return F.npx.batch_norm(x, gamma, beta, mean, variance, fix_gamma=False)


SAME, PICTURES = [(2, 3, 4)] * 2, [(2, 8, 4, 4)] * 2
SEVERAL = {     # name -> (function of F and of the inputs, *shapes of the inputs)
    **{name: (older(name), *SAME) for name in (
        'elemwise_add', 'elemwise_sub', 'elemwise_mul', 'elemwise_div', 'broadcast_maximum',
        'broadcast_hypot', 'add_n', 'broadcast_like', 'slice_like', 'LinearRegressionOutput',
        'LogisticRegressionOutput', 'MAERegressionOutput')},
    **{f'{name} {shapes}': (by_np(name), *shapes)
       for name in ('add', 'subtract', 'multiply', 'true_divide', 'maximum', 'hypot', 'power',
                    'arctan2', 'copysign', 'mod')
       for shapes in (SAME, [(2, 3, 4), (3, 1)], [(3, 1), (2, 3, 4)])},
    **{f'{name} {a}{b}': (older(name, transpose_a=a, transpose_b=b), *[
        batch + (shape[::-1] if flag else shape) for flag, shape in ((a, (2, 3)), (b, (3, 4)))])
       for name, batch in {'dot': (), 'batch_dot': (5,), 'linalg.gemm2': (5,)}.items()
       for a in (0, 1) for b in (0, 1)},
    'gemm': (older('linalg.gemm'), (5, 2, 3), (5, 3, 4), (5, 2, 4)),
    'trmm': (older('linalg.trmm'), (3, 3), (3, 4)), 'dot': (by_np('dot'), (2, 3), (3, 4)),
    'dot, a vector': (by_np('dot'), (2, 3), (3,)), 'matmul': (by_np('matmul'), (5, 2, 3), (3, 4)),
    'tensordot': (by_np('tensordot', 1), (2, 3), (3, 4)), 'outer': (by_np('outer'), (2,), (3,)),
    'inner': (by_np('inner'), (2, 3), (4, 3)),
    'einsum': (lambda F, x, y: F.np.einsum('ij,jk->ik', x, y), (2, 3), (3, 4)),
    **{f'{name} {axis}': (joined(name, axis), *SAME, SAME[0])
       for name in ('concatenate', 'stack') for axis in (0, 1, 2)},
    'pictures': (joined('concatenate', 1), *PICTURES),
    'concat': (older('concat', dim=1), *PICTURES),
    'where': (lambda F, c, x, y: F.np.where(c > 0.8, x, y), *[(2, 3)] * 3),
    'where, one number': (lambda F, x, y: F.np.where(x > y, x, 0) + F.np.where(y > x, 0, y), *SAME),
    **{f'convolution {d}': (by_npx('convolution', num_filter=4, kernel=(3,) * d), (2, 3) + (5,) * d,
                            (4, 3) + (3,) * d, (4,)) for d in (1, 2, 3)},
    'groups': (by_npx('convolution', num_filter=4, kernel=(3, 3), num_group=2), (2, 4, 5, 5),
               (4, 2, 3, 3), (4,)),
    'fully_connected': (by_npx('fully_connected', num_hidden=4), (2, 3), (4, 3), (4,)),
    'deformable': (older('contrib.DeformableConvolution', num_filter=4, kernel=(3, 3)),
                   (2, 3, 5, 5), (2, 18, 3, 3), (4, 3, 3, 3), (4,)),
    **{f'batch_norm {shape}': (normalized, shape, shape[1:2], shape[1:2])
       for shape in [(2, 8, 4, 4), (2, 3, 4, 4), (2, 8, 5), (3, 2)]},
    **{f'layer_norm {axis}': (by_npx('layer_norm', axis=axis), (2, 3, 4), (n,), (n,))
       for axis, n in ((-1, 4), (1, 3))},
    'InstanceNorm': (older('InstanceNorm'), (2, 3, 4), (3,), (3,)),
    'prelu': (lambda F, x, a: F.npx.leaky_relu(x - 0.9, a, act_type='prelu'), (2, 3, 4), (3,)),
    'take': (lambda F, x, i: F.np.take(x, F.np.floor(i), 0, 'clip'), (4, 2), (3,)),
    'pick': (lambda F, x, i: F.npx.pick(x, F.np.floor(i)), (4, 2), (4,)),
    'sequence_mask': (lambda F, x, n: F.npx.sequence_mask(
        x, F.np.floor(2 * n), use_sequence_length=True), (3, 4, 2), (4,)),
    'BilinearSampler': (older('BilinearSampler'), (1, 2, 4, 4), (1, 2, 3, 3)),
    'SpatialTransformer': (older('SpatialTransformer', transform_type='affine', target_shape=(3, 3),
                                 sampler_type='bilinear'), (1, 2, 4, 4), (1, 6)),
    'Correlation': (older('Correlation', kernel_size=1, max_displacement=1, pad_size=1),
                    *[(1, 2, 4, 4)] * 2),
    **{f'rnn {mode} {layers}': (recurrent(mode, layers), (5, 2, 3), (size_of(gates, layers),),
                                *[(layers, 2, 4)] * (1 + (mode == 'lstm')))
       for mode, gates in (('rnn_tanh', 1), ('lstm', 4), ('gru', 3)) for layers in (1, 2)},
    **{f'interleaved {name}': (older(f'contrib.interleaved_matmul_{name}', heads=2), *shapes)
       for name, *shapes in [('selfatt_valatt', (3, 2, 12), (4, 3, 3)),
                             ('encdec_qk', (3, 2, 4), (3, 2, 8)),
                             ('encdec_valatt', (3, 2, 8), (4, 3, 3))]},
    'SoftmaxOutput': (older('SoftmaxOutput'), (3, 4), (3,)),
    'SVMOutput': (older('SVMOutput'), (3, 4), (3,)),
    'attention': (lambda F, q, k, v: F.npx.batch_dot(F.npx.softmax(F.npx.batch_dot(
        q, k, transpose_b=True)), v), *[(2, 3, 4)] * 3),
}


class Between(gluon.HybridBlock):
    """An operator of several inputs; `between`: whether fully connected layers without weights that
    learn come before, and after, it."""

    def __init__(self, function, between, channels):
        super().__init__()
        self.function, self.between = function, between
        if function is normalized:
            for name in 'mean', 'variance':
                setattr(self, name, self.params.get(
                    name, shape=(channels,), init='ones', grad_req='null', differentiable=False))

    def hybrid_forward(self, F, *inputs, **running):
        def layer(x):
            return F.np.sum(F.np.expand_dims(x, -1) * F.np.ones((3,)), axis=-1)
        if not self.between:
            return self.function(F, *inputs, **running)
        return layer(self.function(F, *map(layer, inputs), **running))


def gradients(function, values, wanted, between, flags):
    """Return the gradients of the inputs with the indices `wanted`, after two backward passes in
    memory where large numbers were left.

    flags: those of Gluon's hybridize; None for eager mode
    """
    net = Between(function, between, values[-1].size)
    net.initialize()
    if flags is not None:
        net.hybridize(**flags)
    left = [np.full(each.shape, 7e7) for each in 4 * values]
    npx.waitall()
    del left
    inputs = [np.array(each) for each in values]
    for i in wanted:
        inputs[i].attach_grad()
    for _ in range(2):
        with autograd.record():
            y = net(*inputs)
        y.backward(np.array(onp.random.RandomState(1).normal(size=y.shape), dtype='float32'))
    return {i: inputs[i].grad.asnumpy() for i in wanted}


@pytest.mark.parametrize('between', [False, True], ids=['alone', 'between'])
@pytest.mark.parametrize('name', SEVERAL)
def test_gradients_do_not_depend_on_which_inputs_want_one(name, between):
    function, *shapes = SEVERAL[name]
    random = onp.random.RandomState(0)
    values = [random.uniform(0.3, 1.5, shape).astype('float32') for shape in shapes]
    wanted = {i: [0] for i in range(len(values))}
    for flags in None, {}, {'static_alloc': True}, {'static_alloc': True, 'static_shape': True}:
        for count in range(len(values), 0, -1):
            for chosen in itertools.combinations(range(len(values)), count):
                found = gradients(function, values, chosen, between, flags)
                if flags is None and count == len(values):
                    wanted = found
                for i in chosen:
                    onp.testing.assert_allclose(found[i], wanted[i], 1e-4, 1e-5,
                                                err_msg=f'{i} of {chosen}, {flags}')


@pytest.mark.parametrize('op', ['SoftmaxOutput', 'SVMOutput', 'LinearRegressionOutput',
                                'LogisticRegressionOutput', 'MAERegressionOutput'])
def test_labels_have_no_gradient(op):
    function, *shapes = SEVERAL[op]
    values = [onp.ones(shape, 'float32') for shape in shapes]
    assert (gradients(function, values, [0, 1], False, None)[1] == 0).all()


def test_bias_of_older_arrays():
    """Whether the weight wants a gradient is not known."""
    x, weight, bias = (mxnet.nd.ones(shape) for shape in ((2, 3), (4, 3), (4,)))
    bias.attach_grad()
    for grad_req in 'null', 'write':
        weight.attach_grad(grad_req)
        bias.grad[:] = 5
        with autograd.record():
            y = mxnet.nd.FullyConnected(x, weight, bias, num_hidden=4).sum()
        assert (autograd.grad(y, [bias], retain_graph=True)[0].asnumpy() == 2).all()
        y.backward()
        assert (bias.grad.asnumpy() == 2).all()


# ------------------------------------------------------------------ loops
class Loop(gluon.HybridBlock):
    """A loop or a condition of `F.contrib`, by its name, in a HybridBlock."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def hybrid_forward(self, F, x, y):
        def selu(x):
            return F.LeakyReLU(x, act_type='selu')

        def step(part, total):
            total = selu(part * y) + total
            return total, total
        if self.kind == 'foreach':
            return F.contrib.foreach(step, x, F.zeros_like(y))[0]
        if self.kind == 'while_loop':
            return F.sum(F.contrib.while_loop(
                lambda i, total: i < 3,
                lambda i, total: (total, [i + 1, selu(F.sum(x, axis=0) * y) + total]),
                [F.zeros((1,)), F.zeros_like(y)], max_iterations=3)[0], axis=0)
        if self.kind == 'nested':
            return F.contrib.foreach(lambda part, total: (F.contrib.foreach(
                step, F.broadcast_mul(x, F.expand_dims(part, 0)), total)[0], total + part),
                x, F.zeros_like(y))[0]
        return F.contrib.cond(F.sum(x) < 100, lambda: selu(F.sum(x, axis=0) * y), lambda: y)


def test_attention_of_an_array_without_a_known_shape():
    class Net(gluon.HybridBlock):
        def hybrid_forward(self, F, x, y):
            x = F.np.reshape(F.np.unique(x), (3, 2, 4)).as_nd_ndarray()
            return F.contrib.interleaved_matmul_encdec_qk(
                x, y.as_nd_ndarray(), heads=2).as_np_ndarray()
    net, found = Net(), []
    x, y = np.array(onp.arange(24), dtype='float32'), randn(3, 2, 8)
    x.attach_grad()
    for make, wanted in (lambda: None, x), (net.hybridize, x), (lambda: None, x.detach()):
        make()
        y.attach_grad()
        y.grad[:] = 7e7
        with autograd.record():
            z = net(wanted, y)
        z.backward()
        found.append(y.grad.asnumpy())
    for other in found[1:]:
        onp.testing.assert_allclose(other, found[0], 1e-5)


class Counted(gluon.HybridBlock):
    """A while_loop over arrays of several dtypes, alone or inside of a condition."""

    def __init__(self, nested):
        super().__init__()
        self.nested = nested

    def hybrid_forward(self, F, x, i, weight):
        def loop(x, i):
            return F.contrib.while_loop(
                lambda x, i: F.sum(x) < 20,
                lambda x, i: ([x * 1], [F.broadcast_add(x, F.Cast(i, 'float32')) * weight, i + 1]),
                loop_vars=[x, i], max_iterations=4)[1][0]
        if self.nested:
            return F.contrib.cond(F.sum(x) < 100, lambda: loop(x, i), lambda: x * 2)
        return loop(x, i)


@pytest.mark.parametrize('nested', [False, True])
def test_a_loop_over_several_dtypes(nested, without_np):
    net = Counted(nested)
    inputs = [mxnet.nd.array([1., 2.]), mxnet.nd.array([1, 1], dtype='int32'),
              mxnet.nd.array([1.5, 2.5])]
    wanted = net(*inputs).asnumpy()
    net.hybridize()
    with autograd.record():
        found = net(*inputs).asnumpy()
    assert (found == wanted).all() and found.any()


@pytest.mark.parametrize('wanted', [(0, 1), (0,), (1,)], ids=str)
@pytest.mark.parametrize('kind', ['foreach', 'while_loop', 'cond', 'nested'])
def test_loops_that_gluon_compiles(kind, wanted, without_np):
    """MXNet's own gradient of SELU is wrong, so this one shows that repairs reach the body, too."""
    found = []
    for flags in None, {}, {'static_alloc': True}:
        net, random = Loop(kind), onp.random.RandomState(0)
        if flags is not None:
            net.hybridize(**flags)
        inputs = [mxnet.nd.array(random.normal(size=shape)) for shape in ((3, 2, 4), (2, 4))]
        for i in wanted:
            inputs[i].attach_grad()
        for _ in range(2):
            with autograd.record():
                y = net(*inputs)
            y.backward()
        found.append([y.asnumpy(), *[inputs[i].grad.asnumpy() for i in wanted]])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            onp.testing.assert_allclose(b, a, 1e-5, 1e-6)


# ------------------------------------------------------------------ the bias beside a frozen weight
class Full(gluon.HybridBlock):
    """A fully connected layer as a HybridBlock, called `uses` times, whose weight may be frozen.

    frozen: 'learns' if it is not; else it has grad_req 'null', and is used as it is ('null'),
    'computed' or 'detached'
    """

    def __init__(self, frozen, uses):
        super().__init__()
        self.frozen, self.uses = frozen, uses
        self.weight = self.params.get('weight', shape=(4, 3), init=mxnet.init.Normal(1))
        self.bias = self.params.get('bias', shape=(4,), init='zeros')
        if frozen != 'learns':
            self.weight.grad_req = 'null'

    def hybrid_forward(self, F, x, weight, bias):
        if self.frozen == 'computed':
            weight = weight * 1
        elif self.frozen == 'detached':
            weight = F.BlockGrad(weight.as_nd_ndarray()).as_np_ndarray()
        layer = functools.partial(F.npx.fully_connected, num_hidden=4, flatten=False)
        return sum(layer(x * k, weight, bias) for k in range(1, self.uses + 1))


@pytest.mark.parametrize('x_learns', [True, False], ids=['x learns', 'x stays'])
@pytest.mark.parametrize('uses', [1, 2, 3])
@pytest.mark.parametrize('frozen', ['null', 'computed', 'detached', 'learns'])
def test_gradient_of_a_bias_whose_weight_is_frozen(frozen, uses, x_learns, tmp_path):
    x, found = randn(2, 5, 3), {}
    if x_learns:
        x.attach_grad()
    upstream = randn(2, 5, 4)
    for form in 'eager', 'compiled', "Gluon's", 'exported':
        mxnet.random.seed(0)
        net = Full(frozen, uses)
        net.initialize()
        net = in_form(form, net, x, tmp_path)
        if form == 'exported' and frozen != 'learns':
            for name, parameter in net.collect_params().items():
                parameter.grad_req = 'null' if 'weight' in name else 'write'
        [bias] = [p for name, p in net.collect_params().items() if 'bias' in name]
        for _ in range(2):
            with autograd.record():
                l = (net(x) * upstream).sum()
            l.backward()
        found[form] = [bias.grad().asnumpy(), *([x.grad.asnumpy()] if x_learns else [])]
    wanted = uses * upstream.asnumpy().sum(axis=(0, 1))
    for form, (of_bias, *of_x) in found.items():
        assert onp.allclose(of_bias, wanted, atol=1e-5), form
        if form in ('compiled', "Gluon's"):
            assert (of_bias == found['eager'][0]).all() and all(
                (a == b).all() for a, b in zip(of_x, found['eager'][1:]))


@pytest.mark.parametrize('form', ['eager', 'compiled', "Gluon's"])
@pytest.mark.parametrize('depth', [1, 3])
def test_grad_of_a_bias_alone(form, depth, tmp_path):
    """autograd.grad asks for no gradient of the weight, which learns."""
    net = nn.HybridSequential()
    for _ in range(depth):
        net.add(nn.Dense(4, activation='tanh', in_units=4))
    net.initialize()
    x = randn(5, 4)
    in_form(form, net, x, tmp_path)
    biases = [layer.bias.data() for layer in net]
    with autograd.record():
        y = (net(x) ** 2).sum()
    found = autograd.grad(y, biases, retain_graph=True)
    assert len(found) == depth
    assert not any(layer.weight.grad().any() for layer in net)      # their gradients are left alone
    y.backward()
    for gradient, bias in zip(found, biases):
        assert onp.allclose(gradient.asnumpy(), bias.grad.asnumpy(), atol=1e-6) and bias.grad.any()


def test_a_layer_that_learns_keeps_its_bias_in_the_operator():
    """Where no weight is frozen, the bias stays in the operator, and the patch costs nothing."""
    net = nn.Dense(4, in_units=3)
    net.initialize()
    for grad_req, wanted in ('write', False), ('add', False), ('null', True):
        net.weight.grad_req = grad_req
        with autograd.record():
            y = net(randn(2, 3))
        assert ('_npi_add' in c_api.graph_of(y).tojson()) is wanted
    assert all(len(node['inputs']) == 2 for node in graphs.from_symbol(c_api.graph_of(y))['nodes']
               if node['op'] == 'FullyConnected')


