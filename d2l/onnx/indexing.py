"""Converters for operators that select, sort and move values (see operators.py)."""
import numpy as np

from .graph import Value
from .operators import END, NoConverter, chosen, filled, operator


# ------------------------------------------------------------------ where
def _where(g, condition, a, b):
    a, b = (g.cast(x, g.out[0].dtype) if isinstance(x, str) else g.constant(x, g.out[0].dtype)
            for x in (a, b))
    return g.node('Where', g.cast(condition, 'bool'), a, b)


@operator('_npi_where')
def where(g, condition, a, b):
    return _where(g, condition, a, b)


@operator('where')
def older_where(g, condition, a, b):
    if len(condition.shape) < len(a.shape):         # one condition per row
        rows = g.node('Unsqueeze', condition, range(1, len(a.shape)))
        condition = Value(rows, [1] * len(a.shape), condition.dtype)
    return _where(g, condition, a, b)


@operator('_npi_where_lscalar')
def where_lscalar(g, condition, b, *, scalar=0.0):
    return _where(g, condition, scalar, b)


@operator('_npi_where_rscalar')
def where_rscalar(g, condition, a, *, scalar=0.0):
    return _where(g, condition, a, scalar)


@operator('_npi_where_scalar2')
def where_scalars(g, condition, *, x=0.0, y=0.0):
    return _where(g, condition, x, y)


# ------------------------------------------------------------------ parts
def cut(g, X, axis, begin, end, step=1):
    """Return X[begin:end:step] along an axis. end: END for the end of the axis, or -END for its
    beginning if step is negative"""
    return g.node('Slice', X, [begin], [end], [axis], [step])


@operator('slice_axis')
def slice_axis(g, X, *, axis, begin, end=None):
    return cut(g, X, axis, begin, END if end is None else end)


@operator('slice_like')
def slice_like(g, X, like, *, axes=()):
    axes = (axes,) if isinstance(axes, int) else axes or range(len(X.shape))
    ends = g.lengths(*((like, axis % len(like.shape)) for axis in axes))
    return g.node('Slice', X, [0] * len(axes), ends, axes)


def _parts(g, X, bounds, axis, squeeze):
    parts = [cut(g, X, axis, *pair) for pair in zip(bounds, bounds[1:])]
    return [g.node('Squeeze', part, [axis]) for part in parts] if squeeze else parts


@operator('_split_v2', '_npi_hsplit')
def split(g, X, *, indices=(), axis=1, squeeze_axis=False, sections=0):
    if sections:
        return slice_channel(g, X, num_outputs=sections, axis=axis, squeeze_axis=squeeze_axis)
    indices = [indices] if isinstance(indices, int) else [*indices]
    return _parts(g, X, [*indices, END], axis, squeeze_axis)


@operator('SliceChannel')
def slice_channel(g, X, *, num_outputs, axis=1, squeeze_axis=False):
    if num_outputs == 1:
        return [g.node('Squeeze', X, [axis]) if squeeze_axis else X]
    # the sizes are given, as ONNX Runtime does not take the number of parts from the outputs
    n = X.shape[axis]
    sizes = [n // num_outputs] * num_outputs if isinstance(n, int) else g.node(
        'Expand', g.node('Div', g.lengths((X, axis % len(X.shape))), num_outputs), [num_outputs])
    parts = g.node('Split', X, sizes, axis=axis, outputs=num_outputs)
    return [g.node('Squeeze', part, [axis]) for part in parts] if squeeze_axis else parts


@operator('reverse', '_npi_flip')
def reverse(g, X, *, axis=None):
    axes = range(len(X.shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    return g.node('Slice', X, [-1] * len(axes), [-END] * len(axes), axes, [-1] * len(axes))


@operator('_np_roll')
def roll(g, X, *, shift, axis=None):
    shifts, axes = ([x] if isinstance(x, int) else x for x in (shift, axis))
    out = X if axes is not None else g.node('Reshape', X, [-1])
    for n, along in zip(shifts, axes if axes is not None else [0]):
        length = X.shape[along] if axes is not None else (
            int(np.prod(X.shape)) if all(isinstance(m, int) for m in X.shape) else 'free')
        if isinstance(length, str):
            raise NoConverter('_np_roll of a free length')
        if n % length:
            out = g.node('Concat', cut(g, out, along, -(n % length), END),
                         cut(g, out, along, 0, -(n % length)), axis=along)
    return out if axes is not None else g.node('Reshape', out, g.lengths(
        *((X, i) for i in range(len(X.shape)))))


@operator('_npi_diff')
def diff(g, X, *, n=1, axis=-1):
    for _ in range(n):
        X = g.node('Sub', cut(g, X, axis, 1, END), cut(g, X, axis, 0, -1))
    return X


@operator('_np_moveaxis')
def moveaxis(g, X, *, source, destination):
    axes = len(X.shape)
    source, destination = ([a % axes for a in ([x] if isinstance(x, int) else x)]
                           for x in (source, destination))
    perm = [i for i in range(axes) if i not in source]
    for to, at in sorted(zip(destination, source)):
        perm.insert(to, at)
    return g.node('Transpose', X, perm=perm)


@operator('_npi_rot90')
def rot90(g, X, *, k=1, axes=(0, 1)):
    a, b = axes
    perm = list(range(len(X.shape)))
    perm[a], perm[b] = perm[b], perm[a]
    if k % 4 == 2:
        return reverse(g, X, axis=(a, b))
    if k % 4 == 1:
        return g.node('Transpose', reverse(g, X, axis=b), perm=perm)
    return reverse(g, g.node('Transpose', X, perm=perm), axis=b) if k % 4 else X


def _joined(g, arrays, axis, shape):
    """Concatenate arrays along an axis, each with new axes first.

    shape: function from the number of axes of an array to the list of its new axes, or None
    """
    return g.node('Concat', *(X if shape(len(X.shape)) is None else g.node(
        'Unsqueeze', X, shape(len(X.shape))) for X in arrays), axis=axis)


@operator('_npi_vstack')
def vstack(g, *arrays):
    return _joined(g, arrays, 0, {0: [0, 1], 1: [0]}.get)


@operator('_npi_column_stack')
def column_stack(g, *arrays):
    return _joined(g, arrays, 1, {0: [0, 1], 1: [1]}.get)


@operator('_npi_tril')
def tril(g, X, *, k=0):
    return g.node('Trilu', X, g.constant(k), upper=0)


@operator('_np_diagonal')
def diagonal(g, X, *, offset=0, axis1=0, axis2=1):
    return _diagonal(g, X, offset, axis1, axis2, True)


@operator('_np_trace')
def trace(g, X, *, offset=0, axis1=0, axis2=1):
    return _diagonal(g, X, offset, axis1, axis2, False)


def _diagonal(g, X, offset, axis1, axis2, keep):
    """Return the diagonal of two axes of X as the last axis, or if `keep` is False, its sum."""
    ndim = len(X.shape)
    axis1, axis2 = axis1 % ndim, axis2 % ndim
    rows, columns = (X, -offset) if offset < 0 else (X, 0), (X, offset) if offset > 0 else (X, 0)
    lengths = X.shape[axis1], X.shape[axis2]
    if any(isinstance(n, str) for n in lengths):
        raise NoConverter('_np_diagonal of a free length')
    n = len(np.diagonal(np.empty(lengths), offset))
    for axis, (_, begin) in ((axis1, rows), (axis2, columns)):
        X = cut(g, X, axis, begin, begin + n)
    letters = list('abcdefghij'[:ndim])
    letters[axis2] = letters[axis1]
    rest = ''.join(x for i, x in enumerate(letters) if i not in (axis1, axis2))
    return g.node('Einsum', X, equation=f'{"".join(letters)}->{rest}{letters[axis1] * keep}')


@operator('_np_diag')
def diag(g, X, *, k=0):
    """Return the diagonal of a matrix, or a matrix with the vector X as its diagonal."""
    if len(X.shape) == 2:
        return _diagonal(g, X, k, 0, 1, True)
    if isinstance(X.shape[0], str):
        raise NoConverter('_np_diag of a free length')
    n = X.shape[0] + abs(k)
    X = g.node('Unsqueeze', g.node('Pad', X, [0, abs(k)], g.constant(0, X.dtype)),
               [1 if k >= 0 else 0])
    return g.node('Where', g.constant(np.eye(n, k=k), 'bool'), X, g.constant(0, g.out[0].dtype))


@operator('_np_diagflat')
def diagflat(g, X, *, k=0):
    flat, _ = _flat(g, X, None)
    return diag(g, flat, k=k)


@operator('_npi_diag_indices_from')
def diag_indices_from(g, X):
    if isinstance(X.shape[0], str):
        raise NoConverter('_npi_diag_indices_from of a free length')
    return g.node('Identity', g.constant(np.stack(np.diag_indices(*X.shape[:1], len(X.shape))),
                                         g.out[0].dtype))


@operator('_npi_ediff1d')
def ediff1d(g, X, *more, to_begin_arr_given=False, to_end_arr_given=False, to_begin_scalar=None,
            to_end_scalar=None):
    arrays, (flat, _) = iter(more), _flat(g, X, None)
    ends = [[g.node('Reshape', next(arrays), [-1])] if given else [] if scalar is None else [
        g.constant([scalar], X.dtype)] for given, scalar in (
            (to_begin_arr_given, to_begin_scalar), (to_end_arr_given, to_end_scalar))]
    parts = [*ends[0], diff(g, flat), *ends[1]]
    return g.node('Concat', *parts, axis=0) if len(parts) > 1 else parts[0]


@operator('_npi_percentile')
def percentile(g, X, q=None, *, axis=None, interpolation='linear', keepdims=False, q_scalar=None):
    """Sort the values, and interpolate between the two that are nearest to the percentile."""
    n = len(X.shape)
    axes = [*range(n)] if axis is None else [a % n for a in (
        [axis] if isinstance(axis, int) else axis)]
    kept = [i for i in range(n) if i not in axes]
    if any(isinstance(X.shape[i], str) for i in axes) or q is not None and q.data is None:
        raise NoConverter('_npi_percentile over a free length, or whose q is no constant')
    percent = np.asarray(q_scalar if q is None else q.data, 'float64')
    length, dtype = int(np.prod([X.shape[i] for i in axes])), g.out[0].dtype
    rows = g.node('Reshape', g.node('Transpose', X, perm=kept + axes), g.lengths(
        *((X, i) for i in kept), length))
    ordered, _ = g.node('TopK', g.cast(rows, dtype), [length], axis=-1, largest=0, outputs=2)
    at = percent.reshape(-1) / 100 * (length - 1)
    low, high = np.floor(at).astype(int), np.ceil(at).astype(int)
    share = {'linear': at - low, 'lower': 0 * at, 'higher': 0 * at + 1, 'midpoint': 0 * at + 0.5,
             'nearest': np.round(at) - low}[interpolation]
    below, above = (g.node('Gather', ordered, g.constant(i), axis=-1) for i in (low, high))
    out = g.node('Add', below, g.node('Mul', g.node('Sub', above, below), g.constant(share, dtype)))
    out = g.node('Transpose', out, perm=[len(kept), *range(len(kept))])
    shape = [(X, i) if i in kept else 1 for i in range(n) if i in kept or keepdims]
    return g.node('Reshape', out, g.lengths(*percent.shape, *shape))


@operator('Pad', '_npi_pad')
def pad(g, X, *, mode='constant', pad_width, constant_value=0.0, reflect_type='even'):
    widths = np.array(pad_width).reshape(-1, 2)
    if mode == 'constant':
        return g.node('Pad', X, widths.T.ravel(), g.constant(constant_value, X.dtype))
    if mode in ('edge', 'reflect') and reflect_type == 'even':
        return g.node('Pad', X, widths.T.ravel(), mode=mode)
    if mode != 'symmetric' or reflect_type != 'even':
        raise NoConverter(f'_npi_pad with mode={mode} and reflect_type={reflect_type}')
    for axis, width in enumerate(widths.tolist()):
        if width != [0, 0]:
            if isinstance(X.shape[axis], str):
                raise NoConverter('_npi_pad with mode=symmetric of a free length')
            places = np.pad(np.arange(X.shape[axis]), width, mode)
            X = Value(g.node('Gather', X, g.constant(places), axis=axis), X.shape, X.dtype)
    return X


@operator('depth_to_space')
def depth_to_space(g, X, *, block_size):
    return g.node('DepthToSpace', X, blocksize=block_size)


@operator('space_to_depth')
def space_to_depth(g, X, *, block_size):
    return g.node('SpaceToDepth', X, blocksize=block_size)


# ------------------------------------------------------------------ indices
def _flat(g, X, axis):
    """Return X and the index of an axis; for axis=None, X as a vector and 0."""
    if axis is not None:
        return X, axis % len(X.shape)
    n = 'all' if any(isinstance(n, str) for n in X.shape) else int(np.prod(X.shape))
    return Value(g.node('Reshape', X, [-1]), [n], X.dtype), 0


@operator('pick')
def pick(g, X, index, *, axis=-1, keepdims=False, mode='clip'):
    X, axis = _flat(g, X, axis)
    places = chosen(g, index, X, axis, mode)
    if len(index.shape) < len(X.shape):
        places = g.node('Unsqueeze', places, [axis])
    out = g.node('GatherElements', X, places, axis=axis)
    return out if keepdims else g.node('Squeeze', out, [axis])


def _places(g, indices):
    """Return indices, of which MXNet has one row per axis, in ONNX's form: along the last axis."""
    n = len(indices.shape)
    return g.node('Transpose', g.cast(indices, 'int64'), perm=[*range(1, n), 0])


@operator('gather_nd')
def gather_nd(g, X, indices):
    return g.node('GatherND', X, _places(g, indices))


@operator('scatter_nd')
def scatter_nd(g, X, indices, *, shape):
    if any(isinstance(n, str) for n in g.out[0].shape):
        raise NoConverter('scatter_nd to a free length')
    zeros = g.constant(np.zeros(g.out[0].shape), g.out[0].dtype)
    return g.node('ScatterND', zeros, _places(g, indices), X)


@operator('_contrib_arange_like')
def arange_like(g, X, *, start=0.0, step=1.0, repeat=1, axis=None, ctx=None):
    flat, along = _flat(g, X, axis)
    n = g.lengths((flat, along))
    steps = g.node('Range', 0, g.node('Squeeze', n), 1)
    steps = steps if repeat == 1 else g.node('Div', steps, repeat)
    dtype = g.out[0].dtype
    out = g.node('Add', g.node('Mul', g.cast(steps, dtype), g.constant(step, dtype)),
                 g.constant(start, dtype))
    return out if axis is not None else g.node('Reshape', out, g.lengths(
        *((X, i) for i in range(len(X.shape)))))


@operator('shape_array')
def shape_array(g, X):
    return g.node('Shape', X)


@operator('size_array')
def size_array(g, X):
    return g.node('Unsqueeze', g.node('Size', X), [0])


# ------------------------------------------------------------------ order
for _name, _op in {'_npi_argmax': 'ArgMax', 'argmax': 'ArgMax', '_npi_argmin': 'ArgMin',
                   'argmin': 'ArgMin'}.items():
    @operator(_name)
    def argmax(g, X, op=_op, *, axis=None, keepdims=False):
        flat, along = _flat(g, X, axis)
        out = g.node(op, flat, axis=along, keepdims=int(keepdims and axis is not None))
        if axis is None:
            out = g.node('Reshape', out, [1] * len(g.out[0].shape))
        return g.cast(out, g.out[0].dtype)


def _ordered(g, X, axis, k, ascending):
    """Return the k largest values along an axis in order, or the smallest if `ascending`, and their
    indices. k = 0 returns all values."""
    n = g.lengths((X, axis))
    return g.node('TopK', X, [k] if k else n, axis=axis, largest=int(not ascending), outputs=2)


@operator('topk')
def topk(g, X, *, axis=-1, k=1, ret_typ='indices', is_ascend=False, dtype=None):
    flat, along = _flat(g, X, axis)
    k = max(k, 0)
    values, indices = _ordered(g, flat, along, k, is_ascend)
    if ret_typ == 'mask':
        ones = g.node('Expand', g.constant(1, X.dtype), g.node('Shape', indices))
        mask = g.node('ScatterElements', filled(g, flat, 0), indices, ones, axis=along)
        return mask if axis is not None else g.node('Reshape', mask, g.lengths(
            *((X, i) for i in range(len(X.shape)))))
    results = {'value': [values], 'indices': [indices], 'both': [values, indices]}[ret_typ]
    return [g.cast(x, out.dtype) if x is indices else x for x, out in zip(results, g.out)]


@operator('sort')
def sort(g, X, *, axis=-1, is_ascend=True):
    return _ordered(g, *_flat(g, X, axis), 0, is_ascend)[0]


@operator('argsort')
def argsort(g, X, *, axis=-1, is_ascend=True, dtype=None):
    return g.cast(_ordered(g, *_flat(g, X, axis), 0, is_ascend)[1], g.out[0].dtype)


@operator('_np_cumsum')
def cumsum(g, X, *, axis=None, dtype=None):
    flat, along = _flat(g, X, axis)
    return g.node('CumSum', g.cast(flat, g.out[0].dtype), g.constant(along))


# ------------------------------------------------------------------ sequences
@operator('SequenceReverse')
def sequence_reverse(g, X, length=None, *, use_sequence_length=False, axis=0):
    if length is None:
        return reverse(g, X, axis=0)
    return g.node('ReverseSequence', X, g.cast(length, 'int64'), batch_axis=1, time_axis=0)


@operator('SequenceLast')
def sequence_last(g, X, length=None, *, use_sequence_length=False, axis=0):
    if length is None:
        return g.node('Squeeze', cut(g, X, axis, -1, END), [axis])
    X = X if axis == 1 else g.node('Transpose', X, perm=[1, 0, *range(2, len(X.shape))])
    last = g.node('Unsqueeze', g.node('Sub', g.cast(length, 'int64'), [1]), [1])
    return g.node('GatherND', X, last, batch_dims=1)
