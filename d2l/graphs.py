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
import re

# what a graph names as its version; without it, MXNet warns that the graph is an old one
VERSION = {'mxnet_version': ['int', 10901]}


def from_symbol(symbol):
    """Return the graph of a Symbol, without the casts of mixed precision."""
    from d2l.c_api import without_amp_casts
    return json.loads(without_amp_casts(symbol).tojson(remove_amp_cast=False))


def to_symbol(graph):
    """Return the Symbol of a graph."""
    import mxnet

    def complete(graph):
        nodes = graph['nodes']
        return dict(graph, arg_nodes=[i for i, node in enumerate(nodes) if node['op'] == 'null'],
                    nodes=[dict(node, subgraphs=[*map(complete, node['subgraphs'])])
                           if 'subgraphs' in node else node for node in nodes])
    return mxnet.sym.load_json(json.dumps(complete(graph)))


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
    for read in _evaluated, float:                  # float reads 'inf'
        try:
            return read(text)
        except (ValueError, SyntaxError):
            pass
    return text


def _evaluated(text):
    """Evaluate a literal of Python. Old files have those of Python 2, such as (2L, 2L)."""
    return ast.literal_eval(re.sub(r'(?<=\d)L\b', '', text))


def numbers(text):
    """Return the numbers in the text of an attribute, a tuple or a single number, as a tuple."""
    value = _evaluated(text)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def kinds(arrays):
    """Return {name: (shape, dtype)} for {name: array}."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def inferred(symbol, kinds):
    """Return {name of a node: [(shape, dtype) of each of its results]}, as MXNet infers them. A
    shape that depends on values is None.

    kinds: name of a variable -> (shape or None, dtype)
    """
    import mxnet
    import numpy

    inside, found, unknown = symbol.get_internals(), {}, -1 if mxnet.util.is_np_shape() else 0
    _, shapes, _ = inside.infer_shape_partial(**{
        name: shape for name, (shape, _) in kinds.items() if shape is not None})
    _, dtypes, _ = inside.infer_type(**{name: dtype for name, (_, dtype) in kinds.items()})
    for part, shape, dtype in zip(inside, shapes, dtypes):
        known = shape is not None and min(shape, default=0) > unknown
        found.setdefault(part.name, []).append((tuple(shape) if known else None,
                                                numpy.dtype(dtype)))
    return found


def with_unique_names(graph):
    """Return a graph in which no two operators have the same name, as they have if Gluon calls a
    layer twice."""
    names = set()

    def unique(i, node):
        name = node['name']
        while name in names:
            name = f'{name} {i}'
        names.add(name)
        return dict(node, name=name)
    return dict(graph, nodes=[unique(i, node) for i, node in enumerate(graph['nodes'])])


def parts(node, kinds):
    """Return the graphs inside of a node, a loop or a condition, as a list of pairs (graph, {name
    of a variable: (shape, dtype)}).

    kinds: (shape, dtype) of each input of the node
    """
    if 'subgraphs' not in node:
        return []

    def indices(name):
        return numbers(node['attrs'][name])
    if node['op'] == '_foreach':        # a step gets parts of its first inputs, along axis 0
        slices, others = indices('in_data_locs'), indices('in_state_locs') + indices('remain_locs')
        order = [*slices, *others]
        inputs = [[order.index(k) for k in range(len(order))]]
        kinds = [(shape and shape[i < len(slices):], dtype)
                 for i, (shape, dtype) in enumerate(kinds)]
    else:
        inputs = [indices(f'{part}_input_locs') for part in (
            ('cond', 'func') if node['op'] == '_while_loop' else ('cond', 'then', 'else'))]
    return [(dict(graph, attrs=VERSION), {name: kinds[i] for name, i in zip(variables(graph), at)})
            for graph, at in zip(node['subgraphs'], inputs)]
