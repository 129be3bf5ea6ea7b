"""A rule for arrays of which training takes many steps one by one, such as the results of an RNN.
The gradient of each slice has the size of the whole array; that of SliceChannel is made once.

A step that sums some rows of an array was timed in training, the time with the rule divided by that
without (two threads, medians of 15 in turn, other processes were running). Rows of 32 x 256: all 35
of 35 rows 0.19, 8 of 35 0.44, 4 of 35 0.85, 4 of 4 0.81, and 0.88 to 1.00 for 2 or 3 rows. Rows of
3: 100 of 200 0.61, 25 of 200 1.03, 4 of 200 1.83, 4 of 2000 3.86. So the rule wants half of the
rows, although fewer large ones would gain, too.
"""
from .graph import shape
from .rules import rule_table

RULES, rule = rule_table()
MIN_STEPS = 4           # that are taken: fewer gain little
MIN_SHARE = 1 / 2       # of the steps of the array


@rule('slice_axis')
def split(graph, node):
    """Many steps of an array along its first axis -> the results of one SliceChannel."""
    array, = node.inputs
    users = [user for user in graph.users[array] if user.op == 'slice_axis' and is_step(user)]
    count = shape(array)[0]
    least = max(MIN_STEPS, int(count * MIN_SHARE))
    if not graph.training or not is_step(node) or len(users) < least:
        return None
    whole, _ = graph.new('SliceChannel', [array], node.shapes[0], once=True, num_outputs=count,
                         axis=0)
    whole.shapes, whole.dtypes = node.shapes * count, node.dtypes * count
    return whole, node.attr('begin')


def is_step(node):
    """Return whether a node takes one step of an array along its first axis."""
    begin, end = node.attr('begin'), node.attr('end')
    return node.attr('axis') == 0 and end is not None and 0 <= begin == end - 1
