"""Operators of layers that oneDNN or MXNet computes wrong."""
import functools

from d2l import graphs

from .calls import is_true, tracing
from .repairs import records, repair

ALWAYS = {'use_global_stats': 'True'}   # attribute of BatchNorm: always use running statistics
LAST_AXIS = {'NCW': 'NWC', 'NCHW': 'NHWC', 'NCDHW': 'NDHWC'}    # layout -> with channels last
BLOCK = 8       # oneDNN stores arrays in blocks of this number of channels, or of twice as many
# Operators whose results oneDNN may store in blocks, as may be arguments of a graph
MAY_BE_BLOCKED = {'null', 'Convolution', 'Deconvolution', 'Pooling', 'BatchNorm', 'Activation',
                  'LeakyReLU', 'Concat', 'elemwise_add', 'add_n', 'LRN', 'BlockGrad', '_CachedOp'}
# Operators whose results are new arrays, which are not stored in blocks
ROW_MAJOR_RESULTS = {'batch_dot', 'dot', '_npi_matmul', 'FullyConnected', 'transpose',
                     '_np_transpose', 'SwapAxis', 'Embedding', 'take'}
# Each of these operators has one of these attributes, but elemwise_add, BlockGrad and _CachedOp
ATTRS_OF_BLOCKED = {'kernel', 'eps', 'act_type', 'num_args', 'nsize'}
# attributes of the operator slice_axis that makes a row-major copy
ROW_MAJOR = {'axis': 0, 'begin': 0, 'end': None}
CHANNELS = {1: 'NCW', 2: 'NCHW', 3: 'NCDHW'}    # dimensions of a kernel -> the default layout


# ---- max pooling and batch normalization, recorded in predict mode
def repair_predict_mode():
    """Repair the gradients of two operators under autograd.record(train_mode=False).

    oneDNN's max pooling stores the indices of the maxima, which its gradient needs, in training
    mode only. So the channels become the last axis, because MXNet then uses its own code.

    Batch normalization in predict mode uses the running statistics, but its gradient is computed as
    if they were those of the minibatch, unless the attribute use_global_stats is set.
    """
    repair('Pooling', _max_pools, _pooled_channels_last, when=_predicts)
    repair('BatchNorm', lambda attrs: not is_true(attrs.get('use_global_stats')), _norm_of_running,
           when=_predicts)


def _predicts(arrays):
    from d2l.c_api import is_recording, is_training

    return is_recording() and not is_training()


def _max_pools(attrs):
    """Return whether oneDNN computes a pooling with these attributes, and it is max pooling."""
    return attrs.get('pool_type', 'max') == 'max' and _layout(attrs) in LAST_AXIS


def _layout(attrs):
    """Return the layout of a pooling with these attributes, such as 'NCHW', or None."""
    layout = attrs.get('layout', 'None')
    return CHANNELS.get(len(graphs.numbers(attrs.get('kernel', '()')))) if layout == 'None' else (
        layout)


def _norm_of_running(call, inputs, attrs, known):
    return call('BatchNorm', inputs, norm_results(attrs), **{**attrs, **ALWAYS})


def norm_results(attrs):
    """Return how many results a batch normalization has."""
    return 3 if is_true(attrs.get('output_mean_var')) else 1


# ---- a part of a convolution's channels
def repair_channel_slices():
    """Compute a slice along axis 1, of an array with three axes or more, by slice_axis. In training
    mode, oneDNN stores the results of convolutions in blocks of 8 or 16 channels, and its slice of
    a part of a block ends the process or raises an error. slice_axis has no code in oneDNN."""
    repair('slice', _slices_axis_1, _channels_sliced, traced=True)


def _channels_sliced(call, inputs, attrs, known):
    channels, rest = _channels_and_rest(attrs, known[0].shape)
    if channels and known[0].dtype == 'float32':
        found = call('slice_axis', inputs, **channels)
        return call('slice', found, **rest) if rest else found


def _bounds(attrs, name):
    """Return the attribute begin, end or step of a slice as a tuple."""
    value = attrs.get(name)
    value = graphs.literal(value) if isinstance(value, str) else value
    return tuple(value) if isinstance(value, (tuple, list)) else () if value is None else (value,)


def _slices_axis_1(attrs):
    """Return whether the operator slice, with these attributes, may take a part of axis 1."""
    ends = *_bounds(attrs, 'begin')[1:2], *_bounds(attrs, 'end')[1:2]
    return ends not in ((), (None, None)) and _bounds(attrs, 'step')[1:2] in ((), (None,), (1,))


def _channels_and_rest(attrs, shape):
    """Split a slice of an array of this shape into two operators. Return a pair: the attributes of
    the slice_axis that takes a part of the channels, or None if it needs none, and the attributes
    of the slice that follows, or {} if it needs none."""
    begin, end = ([*_bounds(attrs, name)] for name in ('begin', 'end'))
    if shape is None:                       # a row-major copy is right in any case
        return ROW_MAJOR, attrs
    if len(shape) < 3 or len(begin) < 2 or len(end) < 2:
        return None, attrs
    first, last = begin[1] or 0, end[1]
    start, stop, _ = slice(first, last).indices(shape[1])
    if stop <= start:
        return None, attrs
    # slice_axis raises an error for a bound beyond the axis, so it only makes a row-major copy
    if max(-first, abs(last or 0)) > shape[1]:
        return ROW_MAJOR, attrs
    begin[1] = end[1] = None
    rest = {**attrs, 'begin': (*begin,), 'end': (*end,)}
    others = any(value is not None for value in (*begin, *end, *_bounds(attrs, 'step')))
    return {'axis': 1, 'begin': first, 'end': last}, rest if others else {}


# ---- arrays that oneDNN stores in blocks of channels
def repair_softmax():
    """Let softmax and log_softmax along the last axis read a row-major copy, where oneDNN may store
    its input in blocks of channels: there oneDNN's softmax ends the process."""
    for op in 'softmax', 'log_softmax':
        repair(op, _has_code_in_onednn, functools.partial(_softmax_of_copy, op),
               _may_hold_blocks, traced=True)


def _may_hold_blocks(node, nodes):
    """Return whether the result of a node of a graph may lie in blocks of channels: that of a
    convolution, say, or of an operator that may have written its own over it."""
    seen, todo = set(), [node]
    while todo:
        each = todo.pop()
        if each['op'] in MAY_BE_BLOCKED and (each['op'] != 'null' or each is node):
            return True
        if each['op'] not in ROW_MAJOR_RESULTS and each['name'] not in seen:
            seen.add(each['name'])
            todo += [nodes[i] for i, *_ in each['inputs']]
    return False


def repair_norm():
    """Let a batch normalization that oneDNN does not compute, because its input is no picture or
    its axis is not the second, read and write row-major copies, and the one that it computes read a
    copy of a view: MXNet's backward pass would raise an error."""
    repair('BatchNorm', lambda attrs: True, _norm_of_copy, when=records)


def repair_concat():
    """Let what follows the operator Concat read a row-major copy of pictures that it joins, where
    the gradient may come in blocks of channels that a part of them cuts: there oneDNN's backward
    pass ends the process or raises an error. (np.concatenate has no code in oneDNN.)"""
    repair('Concat', lambda attrs: attrs.get('dim', '1') == '1', _concat_copied, when=records)


def _concat_copied(call, inputs, attrs, known):
    shapes = [each.shape for each in known]
    if known[0].dtype == 'float32' and (None in shapes or all(
            len(shape) == 4 for shape in shapes) and any(
            shape[1] % (2 * BLOCK) for shape in shapes)):
        return [_row_major(call, call('Concat', inputs, **attrs)[0])]


def _may_be_blocked(array):
    """Return whether oneDNN may store an array in blocks, as far as it is known whose result it is.
    """
    from mxnet import np

    from d2l import c_api

    symbol = c_api.graph_of(array)
    if symbol is None or symbol.get_children() is None:
        return True
    attrs = symbol.list_attr()
    # without attributes it may be that of elemwise_add, for arrays of mx.nd, or of a CachedOp, of
    # which there are none in a trace
    return not ATTRS_OF_BLOCKED.isdisjoint(attrs) or not attrs and not (
        tracing() and isinstance(array, np.ndarray))


def _row_major(call, array):
    return call('slice_axis', [array], **ROW_MAJOR)[0]


def _norm_of_copy(call, inputs, attrs, known):
    shape, dtype, array = known[0]
    by_onednn = shape is not None and len(shape) == 4 and int(attrs.get('axis', 1)) == 1
    blocked = dtype == 'float32' and (shape is None or len(shape) > 2 and shape[1] % BLOCK == 0)
    if blocked and not by_onednn or array is not None and len(shape) > 2 and _may_be_view(array):
        result, *rest = call('BatchNorm', [_row_major(call, inputs[0]), *inputs[1:]],
                             norm_results(attrs), **attrs)
        return [_row_major(call, result), *rest]


def _has_code_in_onednn(attrs):
    return attrs.get('temperature', 'None') == 'None' and not is_true(attrs.get('use_length'))


def _softmax_of_copy(op, call, inputs, attrs, known):
    shape, dtype, array = known[0]
    if (dtype == 'float32' and (shape is None or len(shape) in (3, 4) and shape[1] % BLOCK == 0
                                and int(attrs.get('axis', -1)) in (-1, len(shape) - 1))
            and (array is None or _may_be_blocked(array))):
        return call(op, [_row_major(call, inputs[0]), *inputs[1:]], **attrs)


# ---- pooling
def repair_pooling():
    """Repair two gradients of pooling that oneDNN computes: of an array that is a view of another,
    and of averages over windows that go beyond the padding, which oneDNN divides by another number
    in the backward pass. With the channels last, MXNet's own code computes the latter."""
    repair('Pooling', lambda attrs: True, _pooled_copy,
           lambda node, nodes: node['op'] == 'null', records)
    repair('Pooling', _averages_beyond_padding, _pooled_channels_last)


def _averages_beyond_padding(attrs):
    return (attrs.get('pool_type') == 'avg' and attrs.get('pooling_convention') == 'full'
            and attrs.get('count_include_pad', 'None') in ('None', 'True', 'true', '1')
            and not is_true(attrs.get('global_pool'))
            and _layout(attrs) in LAST_AXIS)


def _pooled_copy(call, inputs, attrs, known):
    array = known[0].array
    if array is None or _may_be_view(array):
        return call('Pooling', call('_copy', inputs), **attrs)


def _may_be_view(array):
    """Return whether an array on the tape may share the memory of another: it is one that was
    marked, or the result of a slice or a reshape."""
    from d2l import c_api

    symbol = c_api.graph_of(array)
    return symbol is not None and (symbol.get_children() is None or symbol.attr('begin') is not None
                                   or symbol.attr('shape') is not None)


def _pooled_channels_last(call, inputs, attrs, known):
    if 0 in (known[0].shape or ()):
        return None
    last = call('_np_moveaxis', inputs, source=(1,), destination=(-1,))
    pooled = call('Pooling', last, **{**attrs, 'layout': LAST_AXIS[_layout(attrs)]})
    return call('_np_moveaxis', pooled, source=(-1,), destination=(1,))


# ---- SELU
SELU_SCALE, SELU_SLOPE = 1.0507009873554805, 1.6732632423543772     # section 3 of arXiv:1706.02515


def repair_selu():
    """Compute SELU as a multiple of ELU: MXNet's gradient of SELU is that of another function."""
    repair('LeakyReLU', lambda attrs: attrs.get('act_type') == 'selu', _selu)


def _selu(call, inputs, attrs, known):
    elu = call('LeakyReLU', inputs, act_type='elu', slope=SELU_SLOPE)
    return call('_npi_multiply_scalar', elu, scalar=SELU_SCALE)


def repair_prelu():
    """Compute PReLU by other operators while autograd records. In a graph, MXNet writes the
    gradient of its input over the one that comes from above, and computes that of the slope from
    it."""
    repair('LeakyReLU', lambda attrs: attrs.get('act_type') == 'prelu', _prelu, when=records)


def _prelu(call, inputs, attrs, known):
    values, slope = inputs
    shape, one = known[0].shape, known[1].shape == (1,)
    newshape = None if shape is None else _axes_of_slopes(known[1].shape, shape)
    if shape is not None and (newshape is None or 0 in shape):
        return None         # MXNet raises an error; of no values, it leaves the gradient as it is
    zeros, = call('zeros_like', [values])
    positive, = call('_greater_scalar', [values], scalar=0.0)
    negative, = call('where', [positive, zeros, values])        # where multiplied, inf would be NaN
    if shape is None and not one:       # so many axes as there are, the channels become the last
        negative, = call('SwapAxis', [negative], dim1=1, dim2=-1)
    elif shape is not None and newshape != known[1].shape:
        slope, = call('_npx_reshape', [slope], newshape=newshape)
    scaled, = call('_npi_multiply', [negative, slope])
    if shape is None and not one:
        scaled, = call('SwapAxis', [scaled], dim1=1, dim2=-1)
    return call('where', [positive, values, scaled])


def _axes_of_slopes(slopes, shape):
    """Return the shape of PReLU's slopes with an axis for each of the values, as MXNet finds it, or
    None if they do not fit.

    slopes, shape: the shapes of the slopes and of the values
    """
    if slopes is None:
        return (1, -1, *(1,) * (len(shape) - 2)) if len(shape) > 1 else (-1,)
    found, left = [1] * len(shape), [*slopes]
    for axis in reversed(range(min(2, len(shape)))):    # channels before examples
        if left and left[-1] in (1, shape[axis]):
            found[axis] = left.pop()
    return None if left else tuple(found)
