"""d2l.patches.empty: gradients where a result is empty."""
import mxnet
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l


def older(name):
    operator = getattr(mxnet.nd, name)
    return lambda x, w: operator(x.as_nd_ndarray(), w.as_nd_ndarray()).as_np_ndarray()


# name -> (function of an empty array and an array, their shapes)
CASES = {
    **{f'{name} {i}': (lambda x, w, f=f: f(x, w), (0, 3), shape)
       for name in ('add subtract multiply divide mod power maximum minimum hypot arctan2 copysign '
                    'ldexp').split()
       for f in [getattr(np, name)] for i, shape in enumerate([(3,), (1, 3)])},
    'the empty one second': (lambda x, w: w * x, (3, 0), (3, 1)),
    **{f'nd.{name}': (older(name), (0, 3), (1, 3)) for name in (
        'broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_mod broadcast_power '
        'broadcast_maximum broadcast_minimum broadcast_hypot').split()},
    'dot': (np.dot, (0, 3), (3, 2)), 'dot, second': (lambda x, w: np.dot(w, x), (3, 0), (2, 3)),
    'matmul': (np.matmul, (0, 3), (3, 2)), 'tensordot': (np.tensordot, (0, 3, 2), (3, 2)),
    'tensordot of axes': (lambda x, w: np.tensordot(x, w, ((1,), (0,))), (0, 3), (3, 2)),
    'inner': (np.inner, (0, 3), (2, 3)), 'outer': (np.outer, (0,), (3,)),
    'einsum': (lambda x, w: np.einsum('ij,jk->ik', x, w), (0, 3), (3, 2)),
    'take': (lambda x, w: np.take(w, x.astype('int32'), axis=0), (0,), (4, 3)),
    'index': (lambda x, w: w[x.astype('int32')], (0,), (4, 3)),
    'broadcast_to': (lambda x, w: np.broadcast_to(w, (0, 3)), (0,), (3,)),
    'tile': (lambda x, w: np.tile(w, (0, 1)), (0,), (4, 3)),
    'repeat': (lambda x, w: np.repeat(w, 0, axis=0), (0,), (4, 3)),
    'diff': (lambda x, w: np.diff(w, axis=0), (0,), (1, 3)),
    'batch_norm': (lambda x, w: npx.batch_norm(
        x, w, w, np.zeros(3), np.ones(3), fix_gamma=False), (0, 3, 2), (3,)),
    'layer_norm': (lambda x, w: npx.layer_norm(x, w, w), (0, 3), (3,)),
    'prelu': (lambda x, w: npx.leaky_relu(x, w, act_type='prelu'), (0, 3), (3,)),
    'where': (lambda x, w: np.where(x > 0, w, x), (0, 3), (3,)),
    'where, second': (lambda x, w: np.where(x > 0, x, w), (0, 3), (3,)),
    'where, condition': (lambda x, w: np.where(w > 0, x, x), (0, 3), (3,)),
    'where, numbers': (lambda x, w: np.where(w > 0, 2., x) + np.where(x > 0, w, 1.), (0, 3), (3,)),
    'a loss': (lambda x, w: ((np.dot(x, w) + w[:, 0] - 1) ** 2).sum(), (0, 3), (3, 3)),
}


@pytest.mark.parametrize('depends', [False, True])
@pytest.mark.parametrize('how', [lambda f: f, d2l.compile], ids=['eager', 'compiled'])
@pytest.mark.parametrize('function, empty, shape', CASES.values(), ids=CASES)
def test_the_gradient_is_0_where_the_result_is_empty(how, function, empty, shape, depends):
    x, w, function = np.zeros(empty), np.ones(shape), how(function)
    w.attach_grad()
    for _ in range(2):
        w.grad[:] = 7                               # what another minibatch has left there
        with autograd.record():
            y = function(x, 2 * w if depends else w)
        assert y.size == 0 or y == 0
        y.backward()
        assert (w.grad == 0).all()


@pytest.mark.parametrize('static', [False, True])
def test_a_layer_by_gluons_hybridize(static):
    class Scale(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.w = self.params.get('w', shape=(3,))

        def hybrid_forward(self, F, X, w):
            return F.np.maximum(X * w, w)
    net = Scale()
    net.initialize(mxnet.init.One())
    mxnet.gluon.HybridBlock.hybridize(net, static_alloc=static)
    for rows, expected in (2, 2), (0, 0), (1, 1):
        with autograd.record():
            y = net(np.ones((rows, 3)) * 2)
        y.backward()
        assert (net.w.grad() == 2 * expected).all()


def test_the_other_gradients_stay():
    """Of what else was computed from the same array."""
    w = np.arange(1, 4.)
    w.attach_grad()
    with autograd.record():
        y = (np.zeros((0, 3)) + w).sum() + (w * w).sum()
    y.backward()
    assert w.grad.tolist() == [2, 4, 6]
