"""In float32, oneDNN computes many operators; in float64, MXNet's own code does. Values and
gradients of both agree, also where oneDNN stores the input in blocks of channels, and where the
input is a view of another array."""
import functools

import numpy as onp
import pytest
from mxnet import autograd, nd, np, npx

import d2l  # noqa: F401
from d2l import c_api

npx.set_np()
SHAPES = [(3, 3, 9, 8), (3, 3, 10), (2, 3, 6, 4, 5)]


def older(function):
    """An operator of `mx.nd`, for arrays of `mx.np`."""
    return lambda X: function(X.as_nd_ndarray())


def plane(function):
    """A function that is computed for pictures only."""
    return lambda X: function(X.as_nd_ndarray()) if X.ndim == 4 else None


def values(X, axis, low=0.5, high=1.5):
    """One number for each element along an axis."""
    return np.array(onp.linspace(low, high, X.shape[axis]), dtype=X.dtype)


def spatial(X, n):
    """The same number for each axis but the first two."""
    return (n,) * (X.ndim - 2)


def convolve(X, channels, groups=1, kernel=3, stride=1, padding=1, dilation=1, transposed=False):
    if X.shape[1] % groups:
        return None
    shape = (X.shape[1], channels // groups) if transposed else (channels, X.shape[1] // groups)
    weight = np.array(onp.random.RandomState(5).normal(size=shape + spatial(X, kernel)),
                      dtype=X.dtype)
    function = npx.deconvolution if transposed else npx.convolution
    return function(X, weight, no_bias=True, kernel=spatial(X, kernel), num_filter=channels,
                    num_group=groups, stride=spatial(X, stride), pad=spatial(X, padding),
                    dilate=spatial(X, dilation))


def pool(X, kind, convention, kernel, stride, padding, include=True):
    return npx.pooling(npx.relu(X) + 0.2 if kind == 'lp' else X, kernel=spatial(X, kernel),
                       stride=spatial(X, stride), pad=spatial(X, padding), pool_type=kind,
                       pooling_convention=convention, count_include_pad=include, p_value=2)


def normalize(X, axis, fix_gamma, use_global_stats):
    return npx.batch_norm(X, *[values(X, axis) for _ in range(4)], eps=1e-3, fix_gamma=fix_gamma,
                          use_global_stats=use_global_stats, axis=axis)


OPERATORS = {
    **{f'activation {kind}': functools.partial(npx.activation, act_type=kind)
       for kind in ('relu', 'sigmoid', 'tanh', 'softrelu', 'softsign')},
    **{f'leaky_relu {kind}': functools.partial(npx.leaky_relu, act_type=kind, slope=0.3)
       for kind in ('leaky', 'elu', 'selu', 'gelu')},
    'prelu': lambda X: npx.leaky_relu(X, values(X, 1), act_type='prelu'),
    **{f'{name} {axis} {temperature}': lambda X, name=name, axis=axis, temperature=temperature:
       getattr(npx, name)(X, axis=axis, temperature=temperature)
       for name in ('softmax', 'log_softmax') for axis in (-1, 0, 1, 2)
       for temperature in (None, 2)},
    **{f'{name} {axis}': lambda X, name=name, axis=axis: getattr(np, name)(X, axis=axis)
       for name in ('sum', 'mean', 'max', 'min', 'prod', 'std', 'var', 'argmax', 'sort')
       for axis in (-1, 0, 1)}, 'cumsum': lambda X: np.cumsum(X, 1),
    **{f'{name} {axis}': older(lambda X, name=name, axis=axis: getattr(nd, name)(X, axis=axis))
       for name in ('softmin', 'sum', 'norm') for axis in (1, 2)},
    **{f'concatenate {axis}': lambda X, axis=axis: np.concatenate([X, X * 2, npx.relu(X)], axis)
       for axis in (0, 1, 2)},
    **{f'concat {axis}': older(lambda X, axis=axis: nd.concat(X, nd.relu(X), dim=axis))
       for axis in (0, 1, 2)},
    **{f'{name} {axis}': lambda X, function=function, axis=axis: function(X, axis)
       for axis in (0, 1, 2) for name, function in {
           'stack': lambda X, axis: np.stack([X, X * 2], axis),
           'split': lambda X, axis: np.split(X, [1, 2], axis),
           'slice_axis': lambda X, axis: nd.slice_axis(
               X.as_nd_ndarray(), axis=axis, begin=-2, end=None),
           'repeat': lambda X, axis: np.repeat(X, 2, axis),
           'flip': np.flip, 'expand_dims': np.expand_dims,
           'layer_norm': lambda X, axis: npx.layer_norm(X, values(X, axis), values(X, axis),
                                                        axis=axis),
           'take': lambda X, axis: np.take(X, np.array([1, 0, 1], dtype='int32'), axis)}.items()},
    **{f'index {i}': lambda X, key=key: X[key] for i, key in enumerate([
        (slice(None), 1), (..., 1), 1, (slice(None), slice(None, None, 2)),
        (slice(None), slice(1, 3), slice(1, None)), slice(None, None, -1), slice(1, None),
        (slice(None), slice(None, 1)), (slice(None), slice(-1, None))])},
    'flatten': npx.batch_flatten, 'reshape': lambda X: X.reshape(X.shape[0], -1),
    'T': lambda X: X.T, 'transpose': lambda X: np.moveaxis(X, 1, -1),
    'swapaxes': lambda X: np.swapaxes(X, 1, -1), 'square': lambda X: X ** 2,
    'twice': lambda X: X + X,
    'broadcast': lambda X: X - X.mean(axis=1, keepdims=True), 'residual': lambda X: X + npx.relu(X),
    'elemwise_add': older(lambda X: nd.elemwise_add(X, X * 2)), 'clip': lambda X: np.clip(X, -1, 1),
    'add_n': older(lambda X: nd.add_n(X, X * 2, nd.relu(X))), 'exp': lambda X: np.exp(X * 0.1),
    'where': lambda X: np.where(X > 0, X, X * 3), 'maximum': lambda X: np.maximum(X, 0.1),
    'pad': lambda X: np.pad(X, ((0, 0),) * (X.ndim - 1) + ((1, 2),)),
    'tile': lambda X: np.tile(X, 2),
    'dense': lambda X: npx.fully_connected(X, np.ones((3, X[0].size), dtype=X.dtype) * 0.1,
                                           num_hidden=3, no_bias=True),
    'dense, not flat': lambda X: npx.fully_connected(
        X, np.ones((3, X.shape[-1]), dtype=X.dtype), num_hidden=3, no_bias=True, flatten=False),
    'dot': lambda X: np.dot(X, np.ones((X.shape[-1], 2), dtype=X.dtype)),
    'tensordot': lambda X: np.tensordot(X, X, axes=((0, 1), (0, 1))),
    'batch_dot': lambda X: npx.batch_dot(X.reshape(X.shape[:2] + (-1,)),
                                         X.reshape(X.shape[:2] + (-1,)), transpose_b=True),
    'einsum': lambda X: np.einsum('ij...->ji...', X), 'roll': lambda X: np.roll(X, 1, axis=1),
    'sequence_mask': lambda X: npx.sequence_mask(X, np.ones(X.shape[1], dtype=X.dtype),
                                                 use_sequence_length=True),
    'reverse': older(nd.SequenceReverse), 'last': older(nd.SequenceLast),
    'smooth_l1': npx.smooth_l1, 'L2Normalization': older(nd.L2Normalization),
    'upsampling': plane(lambda X: nd.UpSampling(X, scale=2, sample_type='nearest')),
    'resize': plane(lambda X: nd.contrib.BilinearResize2D(X, height=5, width=7)),
    'adaptive': plane(lambda X: nd.contrib.AdaptiveAvgPooling2D(X, output_size=(2, 3))),
    'im2col': plane(lambda X: nd.im2col(X, kernel=(2, 2))),
    **{f'pool {kind} {convention} {size} {include}': lambda X, a=(kind, convention, *size, include):
       pool(X, *a) for kind in ('max', 'avg', 'sum', 'lp') for convention in ('valid', 'full')
       for size in [(2, 2, 0), (3, 2, 1), (3, 3, 0)] for include in (True, False)
       if include or kind == 'avg'},
    **{f'global pool {kind}': lambda X, kind=kind: npx.pooling(
        X, kernel=spatial(X, 2), pool_type=kind, global_pool=True)
       for kind in ('max', 'avg', 'sum')},
    **{f'batch_norm {a}': lambda X, a=a: normalize(X, *a)
       for a in [(1, True, False), (1, False, False), (1, False, True), (-1, False, False)]},
    **{f'convolution {a}': lambda X, a=a: convolve(X, *a)
       for a in [(8,), (16, 1, 3, 2), (6, 3), (8, 1, 1, 1, 0), (5, 1, 3, 1, 2, 2)]},
    # in float64, MXNet has no transposed convolution of three axes
    **{f'transposed convolution {a}': lambda X, a=a: None if X.ndim == 5 else convolve(
        X, *a, transposed=True) for a in [(8,), (16, 1, 3, 2), (6, 3)]},
}


def computed(function, values, before, view, after, dtype, train_mode):
    """Return the results and the gradient of the input; [] if the function takes no such input.

    before, after: whether a convolution comes before, and after, the function; view: whether its
    input is a view
    """
    X = np.array(values, dtype=dtype)
    X.attach_grad()
    with autograd.record(train_mode=train_mode):
        Y = convolve(X, 8) if before else X
        results = function(Y[:2] if view else Y)
        if results is None:
            return []
        results = [result.as_np_ndarray() for result in (
            results if isinstance(results, (list, tuple)) else [results])]
        heads = [result for result in results if result.dtype == X.dtype]
        if after:
            results = heads = [convolve(head, 16) for head in heads
                               if 2 < head.ndim < 6 and 0 not in head.shape]
    rng = onp.random.RandomState(0)
    if heads and c_api.graph_of(heads[0]) is not None:
        autograd.backward(heads, [np.array(rng.normal(size=head.shape), dtype=dtype)
                                  for head in heads], train_mode=train_mode)
    return [result.asnumpy() for result in results] + [X.grad.asnumpy()]


# before, view, after
PLACES = [(False, False, False), (True, False, False), (False, True, False), (True, True, False),
          (False, False, True), (True, False, True)]
# in float64, MXNet's own code ends the process where a convolution follows it
NEVER_BEFORE_A_CONVOLUTION = {'last'}


@pytest.mark.filterwarnings('ignore:ndarray.context has been renamed:DeprecationWarning')
@pytest.mark.parametrize('name', OPERATORS)
def test_onednn_agrees_with_mxnets_own_code(name):
    for shape in SHAPES:
        values = onp.random.RandomState(1).normal(size=shape)
        for before, view, after in PLACES:
            if after and name in NEVER_BEFORE_A_CONVOLUTION:
                continue
            for train_mode in (True,) if view or after else (True, False):
                single, double = (
                    computed(OPERATORS[name], values, before, view, after, dtype, train_mode)
                    for dtype in ('float32', 'float64'))
                for a, b in zip(single, double):
                    assert a.shape == b.shape
                    scale = max(1, abs(b).max(initial=0))
                    onp.testing.assert_allclose(
                        a, b, 1e-3, 1e-3 * scale,
                        err_msg=f'{shape} {before=} {view=} {after=} {train_mode=}')
