"""Converters with attributes that hypothesis draws: ONNX Runtime computes what MXNet does, for the
batch sizes of the two examples of an export, and for a third."""
import itertools
import math

import numpy as onp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mxnet import np, npx

from ci import runtime
from ci.networks import leaves
from d2l import export_onnx
from tests.support import agree, older

npx.set_np()
EXAMPLES = 8                        # cases for each family
BATCHES = 2, 3, 4                   # batch sizes: of the two examples of an export, and a third

def floats(values):
    """An array of MXNet with these values."""
    return np.array(values, dtype='float32')


pick, flag, number = st.sampled_from, st.booleans(), st.floats(-2, 2, width=32)


def below(n, least=0):
    return st.integers(least, n - 1)


@st.composite
def shapes(draw, ndim=None, least=1, most=5):
    """Draw a shape, without the axis of the batch."""
    n = draw(ndim) if isinstance(ndim, st.SearchStrategy) else ndim
    return tuple(draw(st.integers(least, most)) for _ in range(n if n else draw(st.integers(1, 3))))


def axis_of(shape, first=0):
    """Draw an axis of a batch of this shape, counted from the first or the last."""
    n = len(shape) + 1
    return st.integers(first, n - 1).flatmap(lambda i: pick([i, i - n]))


@st.composite
def axes_of(draw, shape):
    """Draw None, an axis, or several axes."""
    n = len(shape) + 1
    several = draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=n))
    return draw(pick([None, several[0], several[0] - n, tuple(several)]))


# ------------------------------------------------------------------ element by element
@st.composite
def scalars(draw):
    op = draw(pick(['_npi_add', '_npi_subtract', '_npi_rsubtract', '_npi_multiply',
                    '_npi_true_divide', '_npi_mod', '_npi_rmod', '_maximum', '_minimum', '_hypot',
                    '_equal', '_greater', '_lesser_equal', '_npi_arctan2', '_npi_ldexp']))
    scalar = draw(pick([-1.5, -1.0, 0.5, 1.0, 2.0]))
    dtype = draw(pick(['float32', 'float32', 'int32', 'int64'])) if op[:5] == '_npi_' and op[
        5:] in ('add', 'subtract', 'rsubtract', 'multiply') else 'float32'
    scalar = scalar if dtype == 'float32' else float(round(scalar))
    return draw(shapes()), lambda X: older(f'{op}_scalar', np.floor(2 * X).astype(dtype),
                                           scalar=scalar)


@st.composite
def broadcasts(draw):
    shape = draw(shapes())
    other = [n if draw(flag) else 1 for n in shape][draw(below(len(shape))):]
    op = draw(pick(['add', 'subtract', 'multiply', 'maximum', 'minimum', 'hypot', 'arctan2', 'mod',
                    'equal', 'greater', 'less_equal', 'copysign']))
    Y = floats(onp.arange(math.prod(other)).reshape(other) % 3 - 1.0)
    return shape, lambda X: getattr(np, op)(np.floor(X * 2), Y)


@st.composite
def clips(draw):
    low, high = sorted([draw(number), draw(number)])
    limits = draw(pick([(low, high), (None, high), (low, None)]))
    return draw(shapes()), lambda X: np.clip(X, *limits)


@st.composite
def activations(draw):
    kind, slope = draw(pick(['leaky', 'elu', 'selu', 'gelu'])), draw(st.floats(0, 1, width=16))
    return draw(shapes()), lambda X: npx.leaky_relu(X, act_type=kind, slope=slope)


@st.composite
def softmaxes(draw):
    shape = draw(shapes())
    how = {'axis': draw(axis_of(shape)), 'temperature': draw(pick([None, 0.5, 3.0]))}
    function = draw(pick([npx.softmax, npx.log_softmax]))
    return shape, lambda X: function(X, **how)


# ------------------------------------------------------------------ sums
@st.composite
def sums(draw):
    shape = draw(shapes())
    function = draw(pick([np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var]))
    how = {'axis': draw(axes_of(shape)), 'keepdims': draw(flag)}
    return shape, lambda X: function(X, **how)


@st.composite
def older_sums(draw):
    shape = draw(shapes())
    op, exclude = draw(pick(['sum', 'mean', 'max', 'min', 'prod'])), draw(flag)
    axis = draw(axes_of(shape))
    how = {} if axis is None else {'axis': axis, 'exclude': exclude}
    if exclude and axis is not None and len({a % (len(shape) + 1) for a in (
            axis if isinstance(axis, tuple) else [axis])}) == len(shape) + 1:
        how = {}
    return shape, lambda X, keep=draw(flag): older(op, X, keepdims=keep, **how)


@st.composite
def norms(draw):
    shape = draw(shapes())
    how = {'ord': draw(pick([1, 2])), 'axis': draw(axis_of(shape)), 'keepdims': draw(flag)}
    return shape, lambda X: np.linalg.norm(X, **how)


@st.composite
def averages(draw):
    shape = draw(shapes())
    axis = draw(axis_of(shape, 1))
    weights = floats(onp.arange(1.0, shape[axis % (len(shape) + 1) - 1] + 1))
    return shape, lambda X, weighted=draw(flag): np.average(
        X, axis=axis, weights=weights if weighted else None)


@st.composite
def choices(draw):
    shape = draw(shapes())
    axis = draw(axis_of(shape))
    function = draw(pick([np.argmax, np.argmin]))
    return shape, lambda X: function(np.floor(2 * X), axis=axis)


@st.composite
def running_sums(draw):
    shape = draw(shapes())
    axis = draw(st.one_of(st.none(), st.integers(0, len(shape))))    # MXNet fails for negative axes
    return shape, lambda X: np.cumsum(X, axis=axis)


# ------------------------------------------------------------------ shapes
@st.composite
def transposes(draw):
    shape = draw(shapes())
    order = draw(st.permutations(range(len(shape) + 1)))
    a, b = draw(axis_of(shape)), draw(axis_of(shape))
    return shape, draw(pick([lambda X: X.transpose(*order), lambda X: X.T + 1,
                             lambda X: np.swapaxes(X, a, b) + 1,
                             lambda X: np.moveaxis(X, a, b) + 1]))


@st.composite
def reshapes(draw):
    shape = draw(shapes())
    sizes = draw(st.permutations(shape))
    return shape, draw(pick([
        lambda X: X.reshape(-1, *sizes), lambda X: X.reshape(X.shape[0], -1),
        lambda X: npx.reshape(X, (-2, -1)), lambda X: X.reshape(-1),
        lambda X: npx.reshape(X, (-5, -4)),
        lambda X: npx.reshape(X, (-2, -6, 1, -1, -4)), lambda X: np.expand_dims(X, 1).reshape(
            -1, 1, *sizes)]))


@st.composite
def new_axes(draw):
    shape = draw(shapes())
    axis = draw(axis_of(shape))
    return shape, draw(pick([
        lambda X: np.expand_dims(X, axis) + 1, lambda X: np.squeeze(np.expand_dims(X, axis)) + 1
        if 1 not in X.shape else X + 1, lambda X: np.stack((X, X * 2), axis=axis),
        lambda X: np.concatenate((X, X * 2), axis=axis), np.atleast_3d]))


@st.composite
def stacks(draw):
    shape = draw(shapes())
    function = draw(pick([np.hstack, np.vstack, np.dstack, np.column_stack]))
    return shape, lambda X: function((X, X * 2))


@st.composite
def repeats(draw):
    shape = draw(shapes(st.just(1)))            # MXNet has no gradient of tile for many axes
    axis, times = draw(axis_of(shape)), draw(st.integers(1, 3))
    reps = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return shape, draw(pick([lambda X: np.repeat(X, times, axis=axis), lambda X: np.tile(X, reps)]))


@st.composite
def splits(draw):
    shape = draw(shapes(least=2, most=6))
    axis = draw(axis_of(shape, 1))
    n = shape[axis % (len(shape) + 1) - 1]
    cuts = draw(pick([[k for k in range(1, n + 1) if n % k == 0], None]))
    how = draw(pick(cuts)) if cuts else sorted(draw(st.sets(below(n, 1), max_size=3)))
    return shape, lambda X: np.split(X, how, axis=axis)


@st.composite
def slices(draw):
    shape = draw(shapes(least=2, most=6))
    keys = [slice(None)]
    for n in shape:
        end = st.one_of(st.none(), st.integers(-n - 1, n + 1))
        low, high, step = draw(end), draw(end), draw(pick([None, 1, 2, -1, -2]))
        keys.append(slice(low, high, step) if len(range(n)[low:high:step]) else draw(below(n, -n)))
    return shape, lambda X: X[tuple(keys)]


@st.composite
def moves(draw):
    shape = draw(shapes(least=2))
    axis, shift = draw(axis_of(shape, 1)), draw(st.integers(-4, 4))
    return shape, draw(pick([
        lambda X: np.roll(X, shift, axis=axis), lambda X: np.flip(X, axis % X.ndim),
        lambda X: np.diff(
            X, 1, axis=axis), lambda X: np.rot90(X, shift, axes=(0, 1)),
            lambda X: np.tril(X, shift)]))


@st.composite
def pads(draw):
    shape = draw(shapes(st.integers(2, 3), least=3))
    widths = ((0, 0), (0, 0), *[(draw(below(3)), draw(below(3))) for _ in shape[1:]])
    mode = draw(pick(['constant', 'edge', 'reflect', 'symmetric']))
    how = {'constant_value': draw(number)} if mode == 'constant' else {'reflect_type': 'even'} \
        if mode in ('reflect', 'symmetric') else {}
    return shape, lambda X: older('_npi_pad', X, pad_width=widths, mode=mode, **how)


# ------------------------------------------------------------------ indices, order
@st.composite
def takes(draw):
    shape = draw(shapes(least=2))
    axis, mode = draw(axis_of(shape, 1)), draw(pick(['clip', 'wrap']))
    n = shape[axis % (len(shape) + 1) - 1]
    indices = np.array(draw(st.lists(st.integers(-n, 2 * n), min_size=1, max_size=4)), dtype=draw(
        pick(['int32', 'int64', 'float32'])))
    return shape, lambda X: np.take(X, indices, axis=axis, mode=mode)


@st.composite
def picks(draw):
    shape = draw(shapes(st.just(1), least=2))
    how = {'axis': draw(pick([1, -1])), 'keepdims': draw(flag),
           'mode': draw(pick(['clip', 'wrap']))}
    return shape, lambda X: npx.pick(X, np.floor(3 * X[:, 0]), **how)


@st.composite
def hots(draw):
    how = {'on_value': draw(number), 'off_value': draw(number), 'dtype': draw(
        pick(['float32', 'int32']))}
    return draw(shapes()), lambda X, depth=draw(st.integers(1, 5)): npx.one_hot(
        np.floor(3 * X), depth, **how)


@st.composite
def orders(draw):
    shape = draw(shapes(least=2))
    axis = draw(axis_of(shape, 1))
    how = {'k': draw(st.integers(1, shape[axis % (len(shape) + 1) - 1])), 'is_ascend': draw(flag),
           'ret_typ': draw(pick(['value', 'indices', 'both', 'mask'])),
           'dtype': draw(pick(['float32', 'int32']))}
    return shape, draw(pick([lambda X: npx.topk(X, axis=axis, **how),
                             lambda X: np.sort(X, axis=axis), lambda X: np.argsort(X, axis=axis)]))


@st.composite
def sequences(draw):
    shape = draw(shapes(st.integers(1, 2), least=2))
    axis, value = draw(pick([0, 1])), draw(number)
    turned = (lambda X: X) if axis else (lambda X: X.swapaxes(0, 1))
    return shape, lambda X: npx.sequence_mask(
        turned(X), np.abs(np.floor(2 * X.reshape(X.shape[0], -1)[:, 0])) + 1, True, value=value,
        axis=axis)


# ------------------------------------------------------------------ products, layers
@st.composite
def products(draw):
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    W = floats(onp.random.RandomState(0).randn(n, k))
    three = floats(onp.random.RandomState(1).randn(2, n, k))
    return (n,), draw(pick([lambda X: np.dot(X, W), lambda X: np.matmul(X, W),
                            lambda X: np.tensordot(
        X, W, axes=([1], [0])), lambda X: np.tensordot(X, W, axes=1), lambda X: np.einsum(
        'bi,ij->bj', X, W), lambda X: np.einsum('bi,ij->jb', X, W), lambda X: np.dot(X, three),
        lambda X: np.dot(X, W[:, 0]), lambda X: np.matmul(np.expand_dims(X, 1), three[0]),
        lambda X: np.matmul(X.reshape(-1, 1, 1, n), three)]))


@st.composite
def windows(draw):
    """Pooling and convolutions over one to three axes."""
    axes = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    pad = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return (2, *[draw(st.integers(4, 6)) for _ in range(axes)]), {
        'kernel': kernel, 'stride': stride, 'pad': pad}


@st.composite
def pools(draw):
    shape, how = draw(windows())
    how.update(pool_type=draw(pick(['max', 'avg'])), count_include_pad=draw(flag),
               pooling_convention=draw(pick(['valid', 'full'])))
    if draw(pick([False, False, False, True])):
        how = {'global_pool': True, 'pool_type': how['pool_type'], 'kernel': how['kernel']}
    return shape, lambda X: npx.pooling(X, **how)


@st.composite
def convolutions(draw):
    shape, how = draw(windows())
    groups = draw(pick([1, 2]))
    op = draw(pick(['Convolution', 'Deconvolution']))
    how['dilate'] = tuple(draw(st.integers(1, 2)) for _ in how['kernel'])
    if op == 'Deconvolution' and len(how['kernel']) == 3:
        how['dilate'] = 1, 1, 1                 # MXNet has no other
    if op == 'Convolution':
        weight = 4, 2 // groups
        how['kernel'] = tuple(min(k, 2) for k in how['kernel'])
    else:
        weight = 2, 4 // groups
        how['adj'] = tuple(draw(st.integers(0, s - 1)) for s in how['stride'])
    draws = onp.random.RandomState(0)
    W, b = floats(draws.randn(*weight, *how['kernel'])), floats(draws.randn(4))
    bias = draw(flag)
    return shape, lambda X: older(op, X, W, *[b] * bias, num_filter=4, num_group=groups,
                                  no_bias=not bias, **how)


@st.composite
def normalizations(draw):
    shape = draw(shapes(st.integers(2, 3), least=2))
    axis, eps = draw(axis_of(shape, 1)), draw(pick([1e-5, 1e-3, 0.1]))
    n = shape[axis % (len(shape) + 1) - 1]
    parts = [floats(onp.random.RandomState(i).rand(n) + 0.1) for i in range(4)]
    fix = draw(flag)
    channels = [part[:1].repeat(shape[0]) for part in parts]
    return shape, draw(pick([
        lambda X: npx.batch_norm(X, *parts, axis=axis, eps=eps, fix_gamma=fix),
        lambda X: npx.layer_norm(X, *parts[:2], axis=axis, eps=eps),
        lambda X: older('InstanceNorm', X, *channels[:2], eps=eps),
        lambda X: older('L2Normalization', X, mode='instance', eps=eps),
        lambda X: older('L2Normalization', X, mode='channel', eps=eps)]))


@st.composite
def resizes(draw):
    scale, sizes = draw(st.integers(1, 3)), (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    align = draw(flag)
    return (2, draw(st.integers(1, 4)), draw(st.integers(1, 4))), draw(pick([
        lambda X: older('UpSampling', X, scale=scale, sample_type='nearest', num_args=1),
        lambda X: older('_contrib_BilinearResize2D', X, height=sizes[0], width=sizes[1],
                        align_corners=align),
        lambda X: older('_contrib_AdaptiveAvgPooling2D', X, output_size=sizes)]))


FAMILIES = {strategy.__name__: strategy for strategy in (
    scalars, broadcasts, clips, activations, softmaxes, sums, older_sums, norms, averages, choices,
    running_sums, transposes, reshapes, new_axes, stacks, repeats, splits, slices, moves, pads,
    takes,
    picks, hots, orders, sequences, products, pools, convolutions, normalizations, resizes)}


@pytest.mark.parametrize('name', FAMILIES)
def test_attributes(name, tmp_path):
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
              suppress_health_check=[*HealthCheck])
    @given(FAMILIES[name]())
    def tried(case):
        shape, function = case
        first, other, third = [floats(onp.random.RandomState(n).randn(n, *shape)) for n in BATCHES]
        export_onnx(function, tmp_path / 'net.onnx', first, other=other)
        for X in (first, other, third):
            assert agree(runtime.run(tmp_path / 'net.onnx', [X]), leaves_of(function(X)))
    tried()


def leaves_of(result):
    return [*itertools.chain(leaves(result))]
