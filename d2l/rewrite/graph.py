"""A graph that can be rewritten: nodes that know the shapes of their results.

A value is a pair (node, i): the i-th result of a node.
"""
import itertools

import numpy

from .. import graphs

# for the names of new nodes: MXNet identifies nodes by name
NUMBERS = itertools.count()


class Node:
    """An operator, or a variable, of a graph.

    attrs: name -> text, as MXNet writes it; inputs: the values that it takes
    shapes, dtypes: those of its results
    waits: nodes that must run before it, as they and it draw random numbers
    """

    waits = ()

    def __init__(self, op, name, attrs, inputs, shapes, dtypes):
        self.op, self.name, self.attrs, self.inputs = op, name, attrs, inputs
        self.shapes, self.dtypes = shapes, dtypes

    def attr(self, name, default=None):
        """Return an attribute as a Python value: a tuple for the text '(0, 2, 1)'."""
        return graphs.literal(self.attrs[name]) if name in self.attrs else default


def shape(value):
    """Return the shape of a value."""
    return tuple(value[0].shapes[value[1]])


class Graph:
    """A graph for rewriting: `nodes` in an order in which they can run, and `heads`, the values
    that are its outputs.

    content: the graph in MXNet's form (d2l/graphs.py); kinds: name of a variable -> (shape, dtype)
    training: whether the graph will run in training mode
    room: the number of operators that the rules may make before RuntimeError is raised
    """

    def __init__(self, content, kinds, training, room):
        results = graphs.inferred(graphs.to_symbol(content), kinds)
        self.training, self.room, self._rest, self.nodes = training, room, content, []
        for node in content['nodes']:
            self.nodes.append(Node(node['op'], node['name'], node.get('attrs', {}),
                                   [(self.nodes[i], k) for i, k, *_ in node['inputs']],
                                   *map(list, zip(*results[node['name']]))))
        for node, given in zip(self.nodes, content['nodes']):
            node.waits = [self.nodes[i] for i in given.get('control_deps', ())]
        self.heads = [(self.nodes[i], k) for i, k, *_ in content['heads']]
        self.users = {}                     # value -> list of the nodes that take it
        for node in self.nodes:
            for value in node.inputs:
                self.users.setdefault(value, []).append(node)
        # values that depend on no variable; (op, inputs and attributes) -> value made once
        self._constants, self._made = set(), {}
        self.replaced = {}                  # value -> the value that replaces it

    def new(self, op, inputs, shape, /, dtype='float32', once=False, **attrs):
        """Add an operator with one result, and return the result.

        once: if the same operator with the same inputs was made before, return that one's result.
        This is always done for constants in predict mode. In training it would not make a
        Transformer faster.
        """
        self.room -= 1
        if self.room < 0:
            raise RuntimeError('the rules make too many operators')
        node = Node(op, f'new_{next(NUMBERS)}', {k: str(v) for k, v in attrs.items()}, list(inputs),
                    [tuple(shape)], [numpy.dtype(dtype)])
        constant = not self.training and self._constants.issuperset(inputs)
        if not (once or constant):
            return node, 0
        value = self._made.setdefault((op, *inputs, *node.attrs.items()), (node, 0))
        if constant:
            self._constants.add(value)
        return value

    def ones(self, *lengths, value=1):
        """Return a new array of this shape in which each element is `value`."""
        return self.new('_full', [], lengths, shape=lengths, value=value)

    def reshape(self, value, *lengths):
        """Return a value in another shape."""
        return value if shape(value) == lengths else self.new(
            '_np_reshape', [value], lengths, newshape=lengths)

    def concat(self, values, axis):
        """Concatenate values along an axis. For pictures, oneDNN's operator is not used, as it ends
        the process if it meets a convolution with few channels."""
        if len(values) == 1:
            return values[0]
        lengths = list(shape(values[0]))
        lengths[axis] = sum(shape(value)[axis] for value in values)
        op, name = ('_npi_concatenate', 'axis') if len(lengths) == 4 else ('Concat', 'dim')
        return self.new(op, values, lengths, num_args=len(values), **{name: axis})

    def replace(self, rules, without):
        """Apply rules in one walk over the graph. Return the names of the rules that replaced a
        value.

        rules: op -> list of rules; without: names of rules to leave out
        """
        found = set()
        for node in self.nodes:
            node.inputs = [self.resolved(value) for value in node.inputs]
            for rule in rules.get(node.op, ()):
                if (node, 0) in self.replaced:
                    break
                value = None if rule.__name__ in without else rule(self, node)
                if value is not None:
                    self.replaced[node, 0] = value
                    found.add(rule.__name__)
        self.heads = [self.resolved(value) for value in self.heads]
        return found

    def resolved(self, value):
        """Return the value that has replaced this one, or this one itself."""
        return self.replaced.get(value, value)

    def depends(self, values, nodes):
        """Return whether any of the values depends on one of the nodes, after all replacements."""
        stack, seen = [node for node, _ in values], set()
        while stack:
            node = stack.pop()
            if node in nodes:
                return True
            if node not in seen:
                seen.add(node)
                stack += [self.resolved(value)[0] for value in node.inputs] + [*node.waits]
        return False

    def content(self):
        """Return the graph in MXNet's form, without the nodes that no head needs."""
        nodes, places, entered = [], {}, set()
        for head, _ in self.heads:
            stack = [head]
            while stack:
                missing = [n for n, _ in stack[-1].inputs if n not in places]
                if missing:
                    if stack[-1] in entered:
                        raise RuntimeError('the rules made a cycle')
                    entered.add(stack[-1])
                    stack += missing
                    continue
                node = stack.pop()
                if node not in places:
                    places[node] = len(nodes)
                    nodes.append(graphs.node(node.op, node.name, [
                        [places[n], k, 0] for n, k in node.inputs], **node.attrs))
        return dict(self._rest, nodes=nodes, heads=[[places[n], k, 0] for n, k in self.heads])
