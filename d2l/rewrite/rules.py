"""The rules: what computes the same, faster, with MXNet 1.9.1's CPU kernels.

A rule takes (graph, node) and gives the value that is to take the place of the node's, or None. Its
docstring says what it replaces by what, and why; the conditions under which the two are equal are
in its code. All are for float32. tests/test_rewrite.py compares outputs and gradients.

What each is worth: the time without it through that with all, where it is worth most. CPU seconds
of one thread, for other processes were running; medians of three rounds, within some 5 %.

    rule                    training                    prediction
    square                  2.75 deepfm                 3.70 deepfm
    reduction               2.47 deepfm                 5.51 deepfm
    fuse_recurrences        1.66 lstm_scratch           2.16 lstm_scratch
    batch_dot               1.39 skip_gram              1.84 skip_gram
    few_filters             1.19 lenet                  1.54 lenet
    hoist_matmul_over_concat
                            1.18 lstm_scratch           1.08 lstm_scratch
    layer_norm              1.18 transformer
    transpose               1.17 transformer            1.40 transformer
    concatenate             1.10 lstm_scratch           1.30 lstm_scratch
    reshape                 1.07 lstm_scratch           1.07 transformer
    sequence_mask           1.06 transformer            1.05 transformer
    copy                    1.00 transformer            1.05 transformer

activation is for nets with np.tanh and npx.sigmoid, which those networks have in loops only;
elementwise was 1.05 for the transformer when it did more. No more: numbers times products, or
tables (1.02 in training; in prediction, 1.13 and 1.06 for the transformer, for which ONNX Runtime
is faster); products as grouped convolutions (0.79, and errors of oneDNN); sums of equal shapes by
oneDNN (the proof found a gradient of a ResNet wrong).
"""
import functools
import math

import numpy

from .graph import shape

FLOAT = numpy.dtype('float32')
ELEMENTWISE = '_npi_add', '_npi_subtract', '_npi_multiply'
RESHAPES = '_np_reshape', '_npx_reshape', 'Reshape', 'expand_dims', '_np_squeeze', 'Flatten'
MIN_ROW_FLOATS = 16         # of the rows of `concatenate`: copying shorter ones whole does not pay


def rule_table():
    """Return ({op: its rules, in the order in which they are tried}, a decorator that adds a rule
    for some operators, to be tried where all is float32 and no array is empty)."""
    rules = {}

    def rule(*ops):
        def add(function):
            @functools.wraps(function)
            def guarded(graph, node):
                values = [*((node, k) for k in range(len(node.shapes))), *node.inputs]
                if all(n.dtypes[k] == FLOAT and 0 not in n.shapes[k] for n, k in values):
                    return function(graph, node)
                return None
            for op in ops:
                rules.setdefault(op, []).append(guarded)
            return function
        return add
    return rules, rule


RULES, rule = rule_table()


# ---- one operator for another

@rule('_npi_power_scalar')
def square(graph, node):
    """x ** 2 -> square(x): no powf."""
    if node.attr('scalar') == 2:
        return graph.new('square', node.inputs, node.shapes[0])


@rule('_npi_tanh', '_npx_sigmoid')
def activation(graph, node):
    """tanh, sigmoid -> Activation: oneDNN's kernels. (Its relu makes 0 of NaN.)"""
    return graph.new('Activation', node.inputs, node.shapes[0], act_type=node.op.split('_')[-1])


@rule(*ELEMENTWISE)
def elementwise(graph, node):
    """In training, an argument that is broadcast along neighbouring axes -> its product with ones:
    the gradient of broadcasting is a slow sum, that of a product is a product."""
    whole = node.shapes[0]
    if graph.training and any(shape(value) != whole for value in node.inputs):
        inputs = [repeated(graph, value, whole) for value in node.inputs]
        if all(inputs):
            return graph.new(node.op, inputs, whole)


@rule('SequenceMask')
def sequence_mask(graph, node):
    """SequenceMask of rows -> where, with a mask that is computed one time for all that have the
    same lengths. MXNet's operator writes value by value, in its gradient too."""
    whole = node.shapes[0]
    if len(whole) != 2 or node.attr('axis', 0) != 1 or not node.attr('use_sequence_length', False):
        return None
    rows, steps = whole
    x, lengths = node.inputs
    lengths = graph.new('fix', [lengths], (rows,), once=True)          # counts of whole steps
    lengths = graph.new('_np_reshape', [lengths], (rows, 1), newshape=(rows, 1), once=True)
    time = graph.new('_arange', [], (steps,), start=0, stop=steps, once=True)
    time = graph.new('_np_reshape', [time], (1, steps), newshape=(1, steps), once=True)
    mask = graph.new('broadcast_lesser', [time, lengths], whole, once=True)
    hidden = graph.new('_full', [], whole, shape=whole, value=node.attr('value', 0), once=True)
    return graph.new('where', [mask, x, hidden], whole)


# ---- sums and repetitions are products with ones: BLAS does them

def split(lengths, axes):
    """Return (product of the dimensions before neighbouring axes, that of the axes, that of those
    after), or None where the axes are not neighbours."""
    if not axes or axes[-1] - axes[0] >= len(axes):
        return None
    parts = slice(axes[0]), slice(axes[0], axes[-1] + 1), slice(axes[-1] + 1, None)
    return tuple(math.prod(lengths[part]) for part in parts)


def times_ones(graph, value, sizes, length):
    """Map a value of shape (before, n, after) to (before, length, after): its sum over the middle
    axis, `length` times. Dimensions of 1 may be missing in the result. Each result depends on the
    values of its own position alone: others are not even multiplied by 0, for they may be
    infinite."""
    before, n, after = sizes
    if after == 1:
        return graph.new('dot', [graph.reshape(value, before, n), graph.ones(n, length)],
                         (before, length))
    if before == 1:
        return graph.new('dot', [graph.ones(length, n), graph.reshape(value, n, after)],
                         (length, after))
    return graph.new('batch_dot', [graph.ones(before, length, n), graph.reshape(value, *sizes)],
                     (before, length, after))


def mean(graph, value, sizes):
    """Return the mean of a value of shape (before, n, after) over the middle axis."""
    total = times_ones(graph, value, sizes, 1)
    return graph.new('_div_scalar', [total], shape(total), scalar=sizes[1])


def repeated(graph, value, whole):
    """Broadcast a value to the shape `whole` by a product with ones; return None where the axes to
    repeat are not neighbours."""
    given = (1,) * (len(whole) - len(shape(value))) + shape(value)
    if given == whole:
        return graph.reshape(value, *whole)
    sizes = split(whole, [axis for axis, (m, n) in enumerate(zip(given, whole)) if m != n])
    if sizes:
        before, count, after = sizes
        return graph.reshape(times_ones(graph, value, (before, 1, after), count), *whole)


@rule('_np_sum', '_npi_mean')
def reduction(graph, node):
    """A sum or mean over neighbouring axes -> a product with ones. (Of infinite numbers and others,
    MXNet's own sum is NaN: it is compensated.)"""
    source, = node.inputs
    lengths, axes = shape(source), node.attr('axis')
    axes = range(len(lengths)) if axes is None else [axes] if isinstance(axes, int) else axes
    sizes = split(lengths, sorted(axis % len(lengths) for axis in axes))
    if not sizes or node.attr('initial') is not None:
        return None
    value = mean(graph, source, sizes) if node.op == '_npi_mean' else times_ones(
        graph, source, sizes, 1)
    return graph.reshape(value, *node.shapes[0])


@rule('LayerNorm')
def layer_norm(graph, node):
    """LayerNorm over the last axis -> products and L2Normalization, in training: its gradients are
    slow sums. x / sqrt(mean(x ** 2) + eps) = sqrt(n) x / sqrt(sum(x ** 2) + n eps)."""
    whole = node.shapes[0]
    if not graph.training or node.attr('axis', -1) not in (-1, len(whole) - 1) or any(
            # its mean or its deviation is used
            value[1] for value in graph.users if value[0] is node):
        return None
    n = whole[-1]
    rows, eps = math.prod(whole) // n, float(node.attr('eps', 1e-5))
    x, gamma, beta = node.inputs
    x = graph.reshape(x, rows, n)
    gamma = graph.new('_mul_scalar', [gamma], (n,), scalar=math.sqrt(n))
    y = graph.new('elemwise_sub', [x, repeated(graph, mean(graph, x, (rows, n, 1)), (rows, n))],
                  (rows, n))
    y = graph.new('L2Normalization', [y], (rows, n), mode='instance', eps=n * eps)
    y = graph.new('elemwise_mul', [y, repeated(graph, gamma, (rows, n))], (rows, n))
    y = graph.new('add_n', [y, repeated(graph, beta, (rows, n))], (rows, n), num_args=2)
    return graph.reshape(y, *whole)


# ---- copies, reshapes, transposes

@rule('_np_copy', '_copy')
def copy(graph, node):
    """copy(x) -> x, unless the graph results in it: MXNet allows no variable there."""
    if (node, 0) not in graph.heads:
        return node.inputs[0]


@rule(*RESHAPES)
def reshape(graph, node):
    """Any reshape of any reshape -> one np.reshape, or none: the others copy."""
    source, = node.inputs
    while source[0].op in RESHAPES:
        source = source[0].inputs[0]
    if shape(source) == node.shapes[0] and (node, 0) not in graph.heads:
        return source
    if source != node.inputs[0] or node.op != '_np_reshape':
        return graph.new('_np_reshape', [source], node.shapes[0], newshape=node.shapes[0])


@rule('_rnn_param_concat', '_npi_concatenate', 'Concat')
def concatenate(graph, node):
    """Vectors one after another -> matrices of a common width; np.concatenate of rows side by side
    -> Concat: oneDNN's kernel, which knows neither vectors nor sequences, and of pictures of few
    channels ends the process."""
    whole = node.shapes[0]
    sizes = [math.prod(shape(value)) for value in node.inputs]
    width = math.gcd(*sizes)
    if len(whole) == 1 and width >= MIN_ROW_FLOATS:
        rows = [graph.reshape(value, size // width, width)
                for value, size in zip(node.inputs, sizes)]
        return graph.reshape(graph.concat(rows, 0), *whole)
    axis = node.attr('axis', 0) if node.op == '_npi_concatenate' else node.attr('dim', 1)
    sequences = len(whole) == 3 or len(whole) == 2 and node.op != 'Concat'
    if sequences and axis in (-1, len(whole) - 1):
        count = math.prod(whole[:-1])
        rows = [graph.reshape(value, count, shape(value)[-1]) for value in node.inputs]
        return graph.reshape(graph.concat(rows, 1), *whole)


def permutation(node):
    """Return the order of axes that a transposing operator makes; None for others."""
    ndim = len(node.shapes[0])
    if node.op == 'SwapAxis':
        order, (i, j) = list(range(ndim)), (node.attr('dim1', 0), node.attr('dim2', 0))
        order[i], order[j] = order[j], order[i]
        return tuple(order)
    if node.op in ('_np_transpose', 'transpose'):
        order = node.attr('axes') or range(ndim)[::-1]
        return tuple(axis % ndim for axis in ([order] if isinstance(order, int) else order))


@rule('_np_transpose', 'SwapAxis', 'transpose')
def transpose(graph, node):
    """Any transpose of any transpose -> one; where only axes of length 1 move -> a reshape."""
    order, (source,) = permutation(node), node.inputs
    inner = permutation(source[0])
    if inner:
        order, source = tuple(inner[axis] for axis in order), source[0].inputs[0]
    long = [axis for axis in order if shape(source)[axis] > 1]
    if long == sorted(long):
        return graph.new('_np_reshape', [source], node.shapes[0], newshape=node.shapes[0])
    if inner or node.op != 'transpose':
        return graph.new('transpose', [source], node.shapes[0], axes=order)


# ---- products

@rule('batch_dot')
def batch_dot(graph, node):
    """A product of transposes -> one that reads its arguments the other way. A row times each of
    some rows, x Y^T -> (Y x^T)^T: BLAS begins by copying the second argument."""
    if len(node.shapes[0]) != 3:
        return None
    flags, inputs = {}, list(node.inputs)
    for i, name in enumerate(('transpose_a', 'transpose_b')):
        flags[name] = bool(node.attr(name, False))
        if permutation(inputs[i][0]) == (0, 2, 1):
            flags[name], inputs[i] = not flags[name], inputs[i][0].inputs[0]
    n, rows, columns = node.shapes[0]
    if rows == 1 < columns and flags['transpose_b']:
        x, y = inputs
        x = graph.reshape(x, n, 1, math.prod(shape(x)[1:]))
        product = graph.new('batch_dot', [y, x], (n, columns, 1), transpose_b=True)
        return graph.reshape(product, n, 1, columns)
    if inputs != node.inputs:
        return graph.new('batch_dot', inputs, node.shapes[0], **flags)
