"""A rule for convolutions with a number of filters that is slow. oneDNN 2.4 is fast if it is a
multiple of 8, for gradients a multiple of 16. Otherwise, as for LeNet's 6 filters, it computes one
picture at a time, from a matrix that it copies value by value.
"""
from .graph import shape
from .rules import rule_table

RULES, rule = rule_table()
# oneDNN 2.4 uses a blocked layout if the number of channels is a multiple of these
CHANNEL_BLOCK = 8
CHANNEL_BLOCK_IN_TRAINING = 16      # the same for gradients


def is_plain_convolution(node):
    """Return whether a node is a 2D convolution with the channels first and without groups or
    dilation."""
    return (node.op == 'Convolution' and len(node.shapes[0]) == 4 and channels_first(node)
            and node.attr('num_group', 1) == 1 and {*(node.attr('dilate') or [1])} == {1})


def channels_first(node):
    """Return whether the channels are the axis after the batch axis."""
    return node.attr('layout') in (None, 'NCHW')


def feeding(graph, node):
    """Return (the convolution before this node, [the activations and poolings between the two]), or
    (None, None) if there is none, or if one of their results is also used elsewhere."""
    chain, value = [], node.inputs[0]
    while graph.users.get(value) == [chain[0] if chain else node] and value not in graph.heads:
        source = value[0]
        if is_plain_convolution(source):
            return source, chain
        if source.op not in ('Activation', 'Pooling') or not channels_first(source):
            break                       # another operator may mix channels
        chain.insert(0, source)
        value = source.inputs[0]
    return None, None


def part(graph, value, axis, begin, end):
    """Return the slice of a value from `begin` to before `end` along an axis."""
    lengths = list(shape(value))
    lengths[axis] = end - begin
    return graph.new('slice_axis', [value], lengths, axis=axis, begin=begin, end=end)


def repeated(graph, value, axis, count):
    """Return a value repeated along an axis up to the dimension `count`. The last repetition is cut
    off if it does not fit."""
    times, rest = divmod(count, shape(value)[axis])
    return graph.concat([value] * times + [part(graph, value, axis, 0, rest)] * (rest > 0), axis)


@rule('Convolution')
def few_filters(graph, node):
    """Convolution with few filters, activations and poolings, convolution -> the same, with the
    filters of the first convolution repeated up to a multiple of CHANNEL_BLOCK. In the second one,
    the weights of a channel are divided among its copies. (Adding filters of zeros instead would
    turn infinite values into NaN.)"""
    if not is_plain_convolution(node):
        return None
    first, chain = feeding(graph, node)
    if not chain or first.shapes[0][1] % CHANNEL_BLOCK == 0:
        return None
    filters = first.shapes[0][1]
    block = CHANNEL_BLOCK_IN_TRAINING if graph.training else CHANNEL_BLOCK
    count = -(-filters // block) * block
    value, *parameters = first.inputs
    parameters = [repeated(graph, v, 0, count) for v in parameters]
    for step in (first, *chain):
        batch, _, *lengths = step.shapes[0]
        attrs = {**step.attrs, 'num_filter': count} if step is first else step.attrs
        value = graph.new(step.op, [value, *parameters], (batch, count, *lengths), **attrs)
        parameters = []
    _, weight, *bias = node.inputs
    times, rest = divmod(count, filters)
    shares = [graph.new('_mul_scalar', [w], shape(w), scalar=1 / n) for w, n in (
        (part(graph, weight, 1, 0, rest), times + 1),
        (part(graph, weight, 1, rest, filters), times))
        if shape(w)[1]]
    weight = repeated(graph, graph.concat(shares, 1), 1, count)
    return graph.new('Convolution', [value, weight, *bias], node.shapes[0], **node.attrs)
