"""The rules: each replaces an operator by others that compute the same faster with the CPU kernels
of MXNet 1.9.1.

A rule takes (graph, node) and returns the value that replaces the node's, or None. Its docstring
says `old -> new`, and why; its code has the conditions under which the two are equal. All rules are
for float32. tests/test_rewrite.py compares outputs and gradients.

The table has the speedup of each rule: the time without it divided by the time with all rules, for
the network where that is largest. Times are CPU seconds of one thread, as other processes were
running; medians of three rounds, to within some 5 %.

    rule                        training                prediction
    square                      2.75 deepfm             3.70 deepfm
    reduction                   2.47 deepfm             5.51 deepfm
    fuse_recurrences            1.66 lstm_scratch       2.16 lstm_scratch
    batch_dot                   1.39 skip_gram          1.84 skip_gram
    split                       1.24 lstm_scratch
    few_filters                 1.19 lenet              1.54 lenet
    hoist_matmul_over_concat    1.18 lstm_scratch       1.08 lstm_scratch
    layer_norm                  1.18 transformer
    transpose                   1.17 transformer        1.40 transformer
    concatenate                 1.10 lstm_scratch       1.30 lstm_scratch
    reshape                     1.07 lstm_scratch       1.07 transformer
    sequence_mask               1.06 transformer        1.05 transformer
    copy                        1.00 transformer        1.05 transformer

That of split was measured on two threads. Two rules are not in the table: activation is for nets
with np.tanh and npx.sigmoid, which these networks use in loops only; elementwise was 1.05 for the
transformer when it did more. Rules that were removed: scalars times products or embeddings (1.02 in
training; in prediction 1.13 and 1.06 for the transformer, for which ONNX Runtime is faster);
products as grouped convolutions (0.79, and errors of oneDNN); sums of equal shapes by oneDNN (the
proof found a wrong gradient in a ResNet).
"""
import functools
import math

import numpy

from .graph import shape

FLOAT = numpy.dtype('float32')
ELEMENTWISE = '_npi_add', '_npi_subtract', '_npi_multiply'
RESHAPES = '_np_reshape', '_npx_reshape', 'Reshape', 'expand_dims', '_np_squeeze', 'Flatten'
MIN_ROW_FLOATS = 16         # `concatenate` makes no rows that are shorter: they are not faster


def rule_table():
    """Return ({op: list of its rules in the order in which they are tried}, a decorator that adds a
    rule for some operators). The rule is tried only if all inputs and results are float32 and none
    is empty."""
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
    """x ** 2 -> square(x), because it does not call powf."""
    if node.attr('scalar') == 2:
        return graph.new('square', node.inputs, node.shapes[0])


@rule('_npi_tanh', '_npx_sigmoid')
def activation(graph, node):
    """tanh, sigmoid -> Activation, because it has kernels of oneDNN. (relu is not replaced, as
    oneDNN's turns NaN into 0.)"""
    return graph.new('Activation', node.inputs, node.shapes[0], act_type=node.op.split('_')[-1])


@rule(*ELEMENTWISE)
def elementwise(graph, node):
    """In training, an argument that is broadcast along neighbouring axes -> its product with ones,
    because the gradient of broadcasting is a slow sum, and that of a product is a product."""
    whole = node.shapes[0]
    if graph.training and any(shape(value) != whole for value in node.inputs):
        inputs = [repeated(graph, value, whole) for value in node.inputs]
        if all(inputs):
            return graph.new(node.op, inputs, whole)


@rule('SequenceMask')
def sequence_mask(graph, node):
    """SequenceMask of rows -> where, with a mask that is computed once for all uses of the same
    lengths. MXNet's operator writes one value at a time, also in its gradient."""
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
    """Return the products of three groups of dimensions: before these axes, of these axes, after
    them; or None if the axes are not neighbours."""
    if not axes or axes[-1] - axes[0] >= len(axes):
        return None
    parts = slice(axes[0]), slice(axes[0], axes[-1] + 1), slice(axes[-1] + 1, None)
    return tuple(math.prod(lengths[part]) for part in parts)


def times_ones(graph, value, sizes, length):
    """Sum a value of shape (before, n, after) over the middle axis, and return the sum `length`
    times: (before, length, after). Dimensions of 1 may be missing in the result. Each element
    depends only on the values of its own sum. The others are not even multiplied by 0, as they may
    be infinite."""
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
    """A sum or mean over neighbouring axes -> a product with ones. (MXNet's own sum is compensated,
    so it is NaN if an infinite value is among finite ones.)"""
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
    """In training, LayerNorm over the last axis -> products and L2Normalization, because the
    gradients of LayerNorm are slow sums. With x already centered,
    x / sqrt(mean(x ** 2) + eps) = sqrt(n) x / sqrt(sum(x ** 2) + n eps)."""
    whole = node.shapes[0]
    if not graph.training or node.attr('axis', -1) not in (-1, len(whole) - 1) or any(
            # a use of its second or third result, the mean or the deviation
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
    """copy(x) -> x, unless it is an output of the graph, as MXNet allows no variable there."""
    if (node, 0) not in graph.heads:
        return node.inputs[0]


@rule(*RESHAPES)
def reshape(graph, node):
    """Any reshapes one after another -> one np.reshape, or none, because the others copy."""
    source, = node.inputs
    while source[0].op in RESHAPES:
        source = source[0].inputs[0]
    if shape(source) == node.shapes[0] and (node, 0) not in graph.heads:
        return source
    if source != node.inputs[0] or node.op != '_np_reshape':
        return graph.new('_np_reshape', [source], node.shapes[0], newshape=node.shapes[0])


@rule('_rnn_param_concat', '_npi_concatenate', 'Concat')
def concatenate(graph, node):
    """Concatenation of vectors -> of matrices with a common number of columns; np.concatenate along
    the last axis -> Concat of matrices. Both use oneDNN's kernel, which takes neither vectors nor
    sequences. (Pictures are not changed, as it ends the process if they have few channels.)"""
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
    """Return the order of the axes in the result of a transposing operator; None for others."""
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
    """A transpose of a transpose -> one transpose. If only axes of dimension 1 move: a reshape."""
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
    """A product of transposed arguments -> a product that reads them transposed. A product of one
    row with several rows, x Y^T -> (Y x^T)^T, because BLAS first copies the second argument."""
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
