"""Rewrite a traced graph into one that computes the same, faster.

    net = d2l.hybridize(net, optimize=True)

loops.py looks for what loops over steps leave, rules.py has all other rules: functions from a node
to what takes its place, or None. Sums are added up in another order: last digits differ.
"""
from . import channels, loops, rules
from .graph import Graph

PASSES = 50         # walks over the graph for each table of rules: far fewer are needed
ROOM = 20           # new operators that the rules may add per operator of the graph: far fewer, too
TABLES = loops.RULES, rules.RULES, channels.RULES


def names():
    """Return the names of all rules."""
    return {loops.fuse_recurrences.__name__, *(
        rule.__name__ for table in TABLES for found in table.values() for rule in found)}


def rewrite(content, kinds, training, without=()):
    """Apply all rules until none finds anything; return the graph as JSON has it, and the names of
    the rules that found something.

    content: the graph as `Symbol.tojson` writes it, parsed; kinds: name of a variable -> (shape,
    dtype); training: whether it is to run in training mode; without: names of rules to leave out

    It ends, with a RuntimeError where the rules make a cycle or operators without end.
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
