"""A rule for arrays of which training takes many steps one by one, such as the results of an RNN.
The gradient of each slice has the size of the whole array; that of SliceChannel is made once.
"""
from .graph import shape
from .rules import rule_table

RULES, rule = rule_table()
MIN_STEPS = 4           # steps that are taken: with fewer, slices were not slower


@rule('slice_axis')
def split(graph, node):
    """Many steps of an array along its first axis -> the results of one SliceChannel."""
    array, = node.inputs
    users = [user for user in graph.users[array] if user.op == 'slice_axis' and is_step(user)]
    count = shape(array)[0]
    if not graph.training or not is_step(node) or len(users) < max(MIN_STEPS, count // 2):
        return None
    whole, _ = graph.new('SliceChannel', [array], node.shapes[0], once=True, num_outputs=count,
                         axis=0)
    whole.shapes, whole.dtypes = node.shapes * count, node.dtypes * count
    return whole, node.attr('begin')


def is_step(node):
    """Return whether a node takes one step of an array along its first axis."""
    begin, end = node.attr('begin'), node.attr('end')
    return node.attr('axis') == 0 and end is not None and 0 <= begin == end - 1
