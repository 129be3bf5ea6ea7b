"""Rewrite a traced graph into one that computes the same, faster.

    net = d2l.hybridize(net, optimize=True)

loops.py looks for what loops over steps leave, rules.py has all other rules: functions from a node to
what takes its place, or None. Sums are added up in another order: last digits differ.
"""
from . import channels, loops, rules
from .graph import Graph

PASSES = 50         # a rule leaves less to do for the next: far fewer are needed


def rewrite(content, kinds, training):
    """Apply all rules until none finds anything; returns the graph as JSON has it.

    content: the graph as `Symbol.tojson` writes it, parsed; kinds: name of a variable -> (shape,
    dtype); training: whether it is to run in training mode
    """
    graph = Graph(content, kinds, training)
    loops.fuse_recurrences(graph)
    for table in loops.RULES, rules.RULES, channels.RULES:
        for _ in range(PASSES):
            if not graph.replace(table):
                break
            graph = Graph(graph.content(), kinds, training)
    return graph.content()
