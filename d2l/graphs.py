"""Graphs of MXNet, as the parsed JSON of `Symbol.tojson`.

A graph is a dict. Its `nodes` stand in an order in which they can run, `heads` are its outputs, and
its `attrs` name the version of MXNet. A node is a dict: `op`, `name`, `inputs`, and if there are
any, `attrs`, {name: text}, and `control_deps`, the indices of nodes that must run before it. A
variable has the op 'null'. A head, and each of the `inputs` of a node, is [index of a node, index
of its output, version]. What else MXNet writes may be stale here: `to_symbol` makes it anew.
"""
# MXNet and NumPy are imported inside of functions, as patches needs this module before it may
# import them
import ast
import json

# what a graph names as its version; without it, MXNet warns that the graph is an old one
VERSION = {'mxnet_version': ['int', 10901]}


def from_symbol(symbol):
    """Return the graph of a Symbol."""
    return json.loads(symbol.tojson())


def to_symbol(graph):
    """Return the Symbol of a graph."""
    import mxnet

    variables = [i for i, node in enumerate(graph['nodes']) if node['op'] == 'null']
    return mxnet.sym.load_json(json.dumps(dict(graph, arg_nodes=variables)))


def node(op, name, inputs=(), /, **attrs):
    """Return a new node."""
    return {'op': op, 'name': name, 'inputs': [*inputs],
            'attrs': {key: str(value) for key, value in attrs.items()}}


def variables(graph):
    """Return the names of the variables of a graph, in order."""
    return [node['name'] for node in graph['nodes'] if node['op'] == 'null']


def rebuilt(graph, change):
    """Return a graph that has other nodes in place of those of `graph`.

    change: function that is called as change(i, inputs, add) for each node i, with its inputs in
    the new graph. It adds new nodes by `add(node)`, which returns the index of the new node. It
    returns the index of the one whose results replace those of node i, or a list with an entry for
    each result of node i: [index of a new node, index of its output, 0].
    """
    nodes, places = [], []

    def add(node):
        nodes.append(node)
        return len(nodes) - 1

    def moved(i, k, *version):
        return [*places[i][k]] if isinstance(places[i], list) else [places[i], k, *version]
    for i, node in enumerate(graph['nodes']):
        places.append(change(i, [moved(*entry) for entry in node['inputs']], add))
    for node in nodes:
        if 'control_deps' in node:
            node['control_deps'] = [at for i in node['control_deps'] for at in (
                [at for at, *_ in places[i]] if isinstance(places[i], list) else [places[i]])]
    return dict(graph, nodes=nodes, heads=[moved(*head) for head in graph['heads']])


def literal(text):
    """Return the value that the text of an attribute stands for, such as a tuple for '(0, 2, 1)'.
    A text that stands for no value is returned as it is."""
    for read in ast.literal_eval, float:            # float reads 'inf'
        try:
            return read(text)
        except (ValueError, SyntaxError):
            pass
    return text


def numbers(text):
    """Return the numbers in the text of an attribute, a tuple or a single number, as a tuple."""
    value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def kinds(arrays):
    """Return {name: (shape, dtype)} for {name: array}."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def inferred(symbol, kinds):
    """Return {name of a node: [(shape, dtype) of each of its results]}, as MXNet infers them.

    kinds: name of a variable -> (shape, dtype)
    """
    import numpy

    inside, found = symbol.get_internals(), {}
    _, shapes, _ = inside.infer_shape(**{name: shape for name, (shape, _) in kinds.items()})
    _, dtypes, _ = inside.infer_type(**{name: dtype for name, (_, dtype) in kinds.items()})
    for part, shape, dtype in zip(inside, shapes, dtypes):
        found.setdefault(part.name, []).append((tuple(shape), numpy.dtype(dtype)))
    return found
