"""Rewrite a traced graph into one that computes the same, faster.

    net = d2l.hybridize(net, optimize=True)

A rule is a function from a node to the value that replaces the node's, or None. loops.py has rules
for loops over time steps, channels.py for convolutions with few filters, rules.py all others. The
last digits of the results differ, as sums are added up in another order.
"""
from . import channels, loops, rules
from .graph import Graph

# Limits that stop rules which go on for ever; rules that end stay far below them
PASSES = 50         # walks over the graph for each table of rules
ROOM = 20           # new operators per operator of the graph
TABLES = loops.RULES, rules.RULES, channels.RULES, loops.LAST_RULES


def names():
    """Return the names of all rules."""
    return {loops.fuse_recurrences.__name__, *(
        rule.__name__ for table in TABLES for found in table.values() for rule in found)}


def rewrite(content, kinds, training, without=()):
    """Apply all rules until none finds anything. Return the new graph, in the form of `content`,
    and the names of the rules that found something.

    content: the graph (see d2l/graphs.py); kinds: name of a variable -> (shape, dtype); training:
    whether it will run in training mode; without: names of rules to leave out

    Raises RuntimeError if the rules make a cycle, or operators without end.
    """
    graph = Graph(content, kinds, training, ROOM * (10 + len(content['nodes'])))
    used = set() if loops.fuse_recurrences.__name__ in without else loops.fuse_recurrences(graph)
    for table in TABLES:
        for _ in range(PASSES):
            found = graph.replace(table, without)
            if not graph.replaced:
                break
            used |= found
            graph = Graph(graph.content(), kinds, training, graph.room)
    return graph.content(), used
