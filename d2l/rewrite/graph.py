"""A graph that can be rewritten: nodes that know the shapes of their results.

A value is a pair (node, i): the i-th result of a node.
"""
import ast
import itertools
import json

import mxnet
import numpy

VARIABLE = 'null'
# numbers in the names of new nodes, which MXNet tells apart by name
NUMBERS = itertools.count()


class Node:
    """An operator, or a variable, of a graph.

    op, name; attrs: name -> text, as MXNet writes it; inputs: values; shapes, dtypes: of its
    results; waits: nodes that run before it, for they draw random numbers, and so does it
    """

    waits = ()

    def __init__(self, op, name, attrs, inputs, shapes, dtypes):
        self.op, self.name, self.attrs, self.inputs = op, name, attrs, inputs
        self.shapes, self.dtypes = shapes, dtypes

    def attr(self, name, default=None):
        """Return an attribute as Python has it: '(0, 2, 1)' is a tuple."""
        text = self.attrs.get(name)
        if text is None:
            return default
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text


def shape(value):
    """Return the shape of a value."""
    return tuple(value[0].shapes[value[1]])


def inferred(symbol, kinds):
    """Return {node: [(shape, dtype) of each of its results]} by name, as MXNet infers them.

    kinds: name of a variable -> (shape, dtype)
    """
    inside, found = symbol.get_internals(), {}
    _, shapes, _ = inside.infer_shape(**{name: shape for name, (shape, _) in kinds.items()})
    _, dtypes, _ = inside.infer_type(**{name: dtype for name, (_, dtype) in kinds.items()})
    for part, of_part, dtype in zip(inside, shapes, dtypes):
        found.setdefault(part.name, []).append((tuple(of_part), numpy.dtype(dtype)))
    return found


class Graph:
    """What `Symbol.tojson` wrote, parsed: `nodes` in an order in which they can run, and `heads`.

    kinds: name of a variable -> (shape, dtype); training: whether it is to run in training mode;
    room: how many operators the rules may make, before RuntimeError
    """

    def __init__(self, content, kinds, training, room):
        results = inferred(mxnet.sym.load_json(json.dumps(content)), kinds)
        self.training, self.room, self._rest, self.nodes = training, room, content, []
        for node in content['nodes']:
            self.nodes.append(Node(node['op'], node['name'], node.get('attrs', {}),
                                   [(self.nodes[i], k) for i, k, *_ in node['inputs']],
                                   *map(list, zip(*results[node['name']]))))
        for node, given in zip(self.nodes, content['nodes']):
            node.waits = [self.nodes[i] for i in given.get('control_deps', ())]
        self.heads = [(self.nodes[i], k) for i, k, *_ in content['heads']]
        self.users = {}                     # value -> the nodes that take it
        for node in self.nodes:
            for value in node.inputs:
                self.users.setdefault(value, []).append(node)
        self._constants, self._made = set(), {}     # values; what they are -> value
        self.replaced = {}                  # value -> the value that takes its place

    def new(self, op, inputs, shape, /, dtype='float32', once=False, **attrs):
        """Add an operator with one result; return the result. once: whether the same operator with
        the same inputs is to be made one time only. That is so for constants, but not in training,
        where it does not make a Transformer faster."""
        self.room -= 1
        if self.room < 0:
            raise RuntimeError('the rules make too many operators')
        node = Node(op, f'new_{next(NUMBERS)}', {k: str(v) for k, v in attrs.items()}, list(inputs),
                    [tuple(shape)],
                    [numpy.dtype(dtype)])
        constant = not self.training and self._constants.issuperset(inputs)
        if not (once or constant):
            return node, 0
        value = self._made.setdefault((op, *inputs, *node.attrs.items()), (node, 0))
        if constant:
            self._constants.add(value)
        return value

    def ones(self, *lengths, value=1):
        """Return a new array full of a number."""
        return self.new('_full', [], lengths, shape=lengths, value=value)

    def reshape(self, value, *lengths):
        """Return a value in another shape."""
        return value if shape(value) == lengths else self.new(
            '_np_reshape', [value], lengths, newshape=lengths)

    def concat(self, values, axis):
        """Values one behind another along an axis, but those of pictures not by oneDNN's operator,
        which ends the process where it meets a convolution of few channels."""
        if len(values) == 1:
            return values[0]
        lengths = list(shape(values[0]))
        lengths[axis] = sum(shape(value)[axis] for value in values)
        op, name = ('_npi_concatenate', 'axis') if len(lengths) == 4 else ('Concat', 'dim')
        return self.new(op, values, lengths, num_args=len(values), **{name: axis})

    def replace(self, rules, without):
        """Let rules, op -> functions, replace what they find, in one walk, but for those named in
        `without`; returns the names of those that found anything."""
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
        """Return what has taken the place of a value, or itself."""
        return self.replaced.get(value, value)

    def depends(self, values, nodes):
        """Return whether any of the values depends on one of the nodes, as the graph is now."""
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
        """Return the graph as JSON has it, without what no head needs."""
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
                    nodes.append({'op': node.op, 'name': node.name, 'attrs': node.attrs,
                                  'inputs': [[places[n], k, 0] for n, k in node.inputs]})
        return dict(nodes=nodes, heads=[[places[n], k, 0] for n, k in self.heads],
                    arg_nodes=[i for i, node in enumerate(nodes) if node['op'] == VARIABLE],
                    attrs=self._rest['attrs'])
