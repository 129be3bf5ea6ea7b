"""Convolutions with a slow number of filters. oneDNN 2.4 is fast with multiples of 8, in gradients of
16; with others, as LeNet's 6, it goes picture by picture through a matrix copied number by number.
"""
from .graph import shape
from .rules import FAST, rule_table

RULES, rule = rule_table()
FAST_IN_TRAINING = 16               # of these many channels, the multiples are fast


def plain(node):
    """Whether a node is a convolution of rows or pictures, neither in groups nor with holes."""
    return (node.op == 'Convolution' and len(node.shapes[0]) in (3, 4)
            and node.attr('num_group', 1) == 1 and node.attr('layout') in (None, 'NCW', 'NCHW')
            and {*pair(node, 'dilate', 1)} == {1})


def pair(node, name, default):
    """An attribute of two numbers, for rows and columns."""
    return tuple(node.attr(name) or (default, default))


def block(node):
    """(rows, columns) of the blocks whose averages a pooling takes, if they fill the picture; None
    for other nodes."""
    if node.op == 'Pooling' and node.attr('pool_type') == 'avg' and not node.attr('global_pool'):
        sides = pair(node, 'kernel', 1)
        if sides == pair(node, 'stride', 1) and pair(node, 'pad', 0) == (0, 0) and all(
                length % side == 0 for length, side in zip(shape(node.inputs[0])[2:], sides)):
            return sides


def feeding(graph, node):
    """(convolution, [activations and poolings between it and this node]), or (None, None): where
    there is none, or another node or the user sees one of their results."""
    chain, value = [], node.inputs[0]
    while graph.users.get(value) == [chain[0] if chain else node] and value not in graph.heads:
        source = value[0]
        if plain(source):
            return source, chain
        if source.op not in ('Activation', 'Pooling'):      # finite at 0, each channel for itself
            break
        chain.insert(0, source)
        value = source.inputs[0]
    return None, None


def zeros(graph, like, axis, count):
    """As many zeros along an axis, for `Graph.concat` with a value."""
    lengths = list(shape(like))
    lengths[axis] = count
    return graph.ones(*lengths, value=0)


@rule('Convolution')
def few_filters(graph, node):
    """Convolution of few filters, activations and poolings, convolution -> the first one with
    filters of zeros, up to a fast number, the second one with zeros for the weights that read them.

    In training, where an average pooling of two columns is last and the fast number has room for
    twice the filters: instead of zeros the filters again, moved by a column, in steps of two. Each
    column of the pooling's blocks has channels of its own; the second convolution adds them up.
    """
    if not plain(node) or len(node.shapes[0]) != 4:
        return None
    first, chain = feeding(graph, node)
    if not chain or first.shapes[0][1] % FAST == 0:
        return None
    filters, fast = first.shapes[0][1], FAST_IN_TRAINING if graph.training else FAST
    count, columns, sides = -(-filters // fast) * fast, 1, block(chain[-1])
    if (graph.training and sides and sides[1] * filters <= count
            and pair(first, 'stride', 1) == (1, 1)
            and all(part.op != 'Pooling' for part in chain[:-1])):
        columns = sides[1]
    extra = count - columns * filters

    x, weight, *bias = first.inputs
    copies = [graph.concat([zeros(graph, weight, 3, i), weight,
                             zeros(graph, weight, 3, columns - 1 - i)], 3) for i in range(columns)]
    weight = graph.concat([*copies, zeros(graph, copies[0], 0, extra)], 0)
    if bias:
        bias = [graph.reshape(bias[0], filters, 1)]
        bias = graph.concat([*bias * columns, zeros(graph, bias[0], 0, extra)], 0)
        bias = [graph.reshape(bias, count)]
    height, width = first.attr('kernel')
    attrs = {**first.attrs, 'num_filter': count, 'kernel': (height, width + columns - 1)}
    if columns > 1:
        attrs['stride'] = 1, columns
    n, _, rows, cols = first.shapes[0]
    value = graph.new('Convolution', [x, weight, *bias], (n, count, rows, cols // columns),
                      **attrs)
    for part in chain:
        (n, _, rows, cols), attrs = part.shapes[0], part.attrs
        if columns > 1 and part is chain[-1]:
            attrs = {**attrs, 'kernel': (sides[0], 1), 'stride': (sides[0], 1)}
        elif columns > 1:
            cols //= columns
        value = graph.new(part.op, [value], (n, count, rows, cols), **attrs)

    _, weight, *bias = node.inputs
    if columns > 1:
        weight = graph.new('_mul_scalar', [weight], shape(weight), scalar=1 / columns)
    weight = graph.concat([weight] * columns + [zeros(graph, weight, 1, extra)], 1)
    return graph.new('Convolution', [value, weight, *bias], node.shapes[0], **node.attrs)


@rule('Pooling')
def slow_number(graph, node):
    """Convolution, activations, pooling over all of the picture -> the same with filters of zeros, up
    to a fast number, in prediction: what comes of these is cut off."""
    first, chain = feeding(graph, node)
    if graph.training or not first or not node.attr('global_pool'):
        return None
    filters = first.shapes[0][1]
    count = -(-filters // FAST) * FAST
    if not filters < count <= 2 * filters:
        return None
    value, *parameters = first.inputs
    parameters = [graph.concat([v, zeros(graph, v, 0, count - filters)], 0) for v in parameters]
    for part in (first, *chain, node):
        batch, _, *lengths = part.shapes[0]
        attrs = {**part.attrs, 'num_filter': count} if part is first else part.attrs
        value = graph.new(part.op, [value, *parameters], (batch, count, *lengths), **attrs)
        parameters = []
    return graph.new('slice_axis', [value], node.shapes[0], axis=1, begin=0, end=filters)
