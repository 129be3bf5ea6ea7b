"""d2l.patches.constants: operators that have no gradient, and inputs that get none."""
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l
from d2l.patches import constants

# without the repair the process ends, so these run in one of their own
CASES = '''
import sys
import mxnet
import d2l
from mxnet import autograd, np, npx

def older(function):
    return lambda y: function(y.as_nd_ndarray()).as_np_ndarray()

OPERATORS = {
    **{name: getattr(np, name) for name in (
        'floor ceil rint fix trunc around isnan isinf isfinite isposinf isneginf logical_not '
        'zeros_like ones_like argsort').split()},
    **{f'{name}{other}': lambda y, name=name, other=other: getattr(np, name)(y, other or y)
       for name in 'equal not_equal greater greater_equal less less_equal'.split()
       for other in ('', 0.5)},
    **{f'nd.{name}': older(getattr(mxnet.nd, name)) for name in (
        'floor ceil rint fix trunc round logical_not zeros_like ones_like argsort '
        'BlockGrad shape_array size_array').split()},
    **{f'nd {name}{other}': older(lambda y, name=name, other=other: getattr(mxnet.nd, name)(
        y, other or y * 2)) for name in (
        'equal not_equal greater greater_equal lesser lesser_equal logical_and logical_or '
        'logical_xor').split() for other in ('', 0.5)},
    'full_like': lambda y: np.full_like(y, 3),
    'argmax': lambda y: y.argmax(-1), 'argmin': lambda y: y.argmin(-1),
    'nd.argmax': older(lambda y: y.argmax(axis=1)), 'nd.argmin': older(lambda y: y.argmin(axis=1)),
    'topk': lambda y: npx.topk(y, k=1)[:, 0], 'mask': lambda y: npx.topk(y, ret_typ='mask'),
    'one_hot': lambda y: npx.one_hot(y[:, 0], 11), 'arange_like': lambda y: npx.arange_like(y),
    'where': lambda y: np.where(y, 1.0, 2.0),
    'where arrays': lambda y: np.where(y, np.ones((3, 11)), np.zeros((3, 11))),
    'where left': lambda y: np.where(y, np.ones((3, 11)), 2.0),
    'where right': lambda y: np.where(y, 2.0, np.ones((3, 11))),
    'nd.where': older(lambda y: mxnet.nd.where(y, y.zeros_like(), y.ones_like())),
    'pick': lambda y: npx.pick(np.ones((3, 11)), np.abs(y[:, 0])),
    'gather_nd': lambda y: npx.gather_nd(np.ones(11), np.abs(y[:1, :3])),
    'index': lambda y: np.ones(11)[np.abs(y[:, 0]).astype('int32')],
    'all': lambda y: np.all(y), 'any': lambda y: np.any(y), 'nonzero': lambda y: npx.nonzero(y + 1),
    'invert': lambda y: np.invert(y.astype('int32')),
    **{f'{name}{other}': lambda y, name=name, other=other: getattr(np, name)(
        y.astype('int32'), other or y.astype('int32'))
       for name in 'bitwise_and bitwise_or bitwise_xor lcm'.split() for other in ('', 3)},
    'diag_indices': lambda y: np.diag_indices_from(y[:, :3])[0],
    'scatter_nd': older(lambda y: mxnet.nd.scatter_nd(
        mxnet.nd.ones(3), y[:1, :3].zeros_like(), shape=(3,))),
    'reshape_like': lambda y: npx.reshape_like(np.ones((33,)), y),
    'broadcast_like': older(lambda y: mxnet.nd.broadcast_like(mxnet.nd.ones((1, 1)), y)),
    'normal_like': older(lambda y: mxnet.nd.random.normal_like(y)),
    'gamma': lambda y: np.random.gamma(np.abs(y) + 1, 1.0),
    'choice': lambda y: np.random.choice(3, 3, p=npx.softmax(y[0, :3])),
    'box_encode': older(lambda y: mxnet.nd.contrib.box_encode(
        mxnet.nd.ones((1, 3)), mxnet.nd.zeros((1, 3)), y[:, :4].expand_dims(0),
        mxnet.nd.ones((1, 2, 4)), mxnet.nd.zeros(4), mxnet.nd.ones(4))[1]),
    'box_decode': older(lambda y: mxnet.nd.contrib.box_decode(
        y[:, :4].expand_dims(0), mxnet.nd.ones((1, 3, 4)))),
    'sample_uniform': older(lambda y: mxnet.nd.sample_uniform(y, y + 1)),
    'multinomial': older(lambda y: mxnet.nd.random.multinomial(y.softmax())),
}
for name in sys.argv[1:] or OPERATORS:
    x, w, z = np.ones((3, 8)) / 9, np.ones((11, 8)) / 9, np.ones(1)
    for array in x, w, z:
        array.attach_grad()
    for train in True, False:
        with autograd.record(train):
            y = npx.fully_connected(x[:, None], w, no_bias=True, num_hidden=11, flatten=False)
            found = OPERATORS[name](y[:, 0])
            assert autograd.is_recording() and autograd.is_training() == train
            total = (found.astype('float32') * z).sum()
        total.backward()
        assert not x.grad.any() and not w.grad.any(), name
        assert np.allclose(z.grad, found.astype('float32').sum()), name
print(len(OPERATORS))
'''


def test_no_process_ends(python):
    done = python('-c', CASES)
    assert done.stderr == '' and int(done.stdout) > 50 and done.returncode == 0


@pytest.mark.parametrize('name', ['greater0.5', 'argmax'])
def test_mxnet_alone_ends(python, name):
    done = python('-c', CASES, name, env={'D2L_PATCH': '0'})
    assert done.returncode and 'Traceback' not in done.stderr       # no error of Python


def layer(x, weight=None):
    weight = np.ones((4, 3)) if weight is None else weight
    return npx.fully_connected(x[:, None], weight, no_bias=True, num_hidden=4, flatten=False)[:, 0]


@pytest.mark.parametrize('op', ['topk', 'pick', 'where', 'take'])
def test_other_gradients_stay(op):
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    x.attach_grad()
    with autograd.record():
        y = layer(x)
        found = {'topk': lambda: npx.topk(y, k=1, ret_typ='value'),
                 'pick': lambda: npx.pick(y, np.array([1, 2])),
                 'where': lambda: np.where(y > 0, y[:, :1], 0),
                 'take': lambda: np.take(y, np.array([0, 1, 0]), axis=1)}[op]()
    found.backward()
    assert x.grad.tolist() == [[len(found[0]) if found.ndim > 1 else 1] * 3] * 2


def test_what_has_a_gradient_of_zeros_is_a_head():
    x = np.ones(3)
    x.attach_grad()
    with autograd.record():
        y = x * 2
        mask = y > 0
    autograd.backward([y, mask])
    assert x.grad.tolist() == [2, 2, 2]
    with autograd.record():
        mask = (x * 2) > 0
    mask.backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_a_small_compiled_net_before_others():
    """MXNet puts the operators of small graphs on the tape themselves."""
    class Mask(nn.HybridBlock):
        def hybrid_forward(self, F, x):
            return x > 0
    w, z = np.ones((4, 3)), np.ones(1)
    for hybridize in nn.HybridBlock.hybridize, d2l.hybridize:
        mask = Mask()
        hybridize(mask)
        for array in w, z:
            array.attach_grad()
        w.grad[:] = 5
        with autograd.record():
            found = (mask(layer(np.ones((2, 3)), w)) * z).sum()
        found.backward()
        assert not w.grad.any() and z.grad == 8


def test_constants_stay_off_the_tape():
    labels = np.array([0, 1, 2])
    with autograd.record():
        mask = labels > 0
        mask[0] = True                  # an error on the tape
    assert not d2l.c_api.is_on_tape(mask) and mask.tolist() == [True, True, True]


def test_each_operator_is_one_of_mxnets():
    names = {*constants.CONSTANT, *constants.CONSTANT_UNLESS, *constants.CONSTANT_INPUT}
    assert names <= d2l.c_api.operator_names()
