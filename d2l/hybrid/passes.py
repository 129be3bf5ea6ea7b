"""Passes over a traced graph, each a function from graph to graph.

A graph is what `Symbol.tojson` writes, parsed: `nodes`, of which the variables have the op 'null',
and `heads`, its outputs, as [node, output, version] like the `inputs` of each node.
"""
import ast

from . import tape

RESHAPES = '_np_reshape', '_npx_reshape'
LEGACY = {-2: 0, -4: -2, -5: -3, -6: -4}    # codes of npx.reshape -> those of Reshape
CONVOLUTIONS = 'Convolution', 'Deconvolution'
# operators whose results and gradients are in plain order, whatever they are given
PLAIN = {'transpose', '_np_transpose', 'SwapAxis', 'Embedding', 'batch_dot', 'dot', '_np_dot'}


def keep_random_order(graph):
    """Let operators that draw random numbers run in the order in which Python ran them: a CachedOp
    walks depth-first from its outputs, Python ran from top to bottom, and the generator is one
    stream. So each waits for the one before it."""
    drawing = [i for i, node in enumerate(graph['nodes']) if tape.draws(node['op'])]
    drawing.sort(key=lambda i: int(graph['nodes'][i]['name'].split('_')[1]))  # node_<when>
    waits = dict(zip(drawing[1:], drawing))
    return dict(graph, nodes=[dict(node, control_deps=[waits[i]]) if i in waits else node
                              for i, node in enumerate(graph['nodes'])])


def no_common_subexpressions(graph):
    """Keep nodes apart that compute the same. A CachedOp merges them, and then adds up gradients
    before the shared operator instead of after it: last digits differ from eager. An attribute that
    no operator reads makes each node another."""
    return dict(graph, nodes=[
        node if node['op'] == 'null' else
        dict(node, attrs=dict(node.get('attrs', {}), __node__=str(i)))
        for i, node in enumerate(graph['nodes'])])


def copyto_to_cast(graph, dtypes):
    """Make `_copyto` a Cast: it is what `astype` and `copy` leave on the tape, and MXNet infers no
    type for it. `dtypes` tells, by the name of the node, the type that its result had."""
    return dict(graph, nodes=[
        dict(node, op='Cast', attrs={'dtype': dtypes[node['name']]})
        if node['op'] == '_copyto' else node for node in graph['nodes']])


def reshape_by_copy(graph):
    """Let reshapes copy near convolutions. In place, np.reshape keeps the order of numbers that
    oneDNN chose for the result of one, or for a gradient, for other lengths: the next operator
    fails or crashes."""
    nodes = [dict(node) for node in graph['nodes']]
    near = _oneDNNs_order(nodes)
    for node in [nodes[i] for i in near if nodes[i]['op'] in RESHAPES]:
        lengths = ast.literal_eval(node['attrs']['newshape'])
        lengths = lengths if isinstance(lengths, tuple) else (lengths,)
        if lengths and not {0, -3} & {*lengths}:    # Reshape knows neither
            shape = str(tuple(LEGACY.get(length, length) for length in lengths))
            reverse = node['attrs'].get('reverse', 'False')
            node.update(op='Reshape', attrs={'shape': shape, 'reverse': reverse})
    return dict(graph, nodes=nodes)


def inputs_of(graph, heads):
    """Names of the variables that these outputs depend on."""
    nodes, todo, found = graph['nodes'], [i for i, *_ in heads], set()
    while todo:
        i = todo.pop()
        if i not in found:
            found.add(i)
            todo += [j for j, *_ in nodes[i]['inputs']]
    return {nodes[i]['name'] for i in found if nodes[i]['op'] == 'null'}


def _oneDNNs_order(nodes):
    """Indices of the nodes that may meet numbers in an order that oneDNN chose: those that a
    convolution's result comes to, and those that a gradient comes to from it or from them."""
    near = set()
    for i, node in enumerate(nodes):
        if node['op'] in CONVOLUTIONS or node['op'] not in PLAIN and any(
                j in near for j, *_ in node['inputs']):
            near.add(i)
    for i in reversed(range(len(nodes))):
        if i in near and nodes[i]['op'] not in PLAIN:
            # MXNet keeps weights' gradients in plain order
            inputs = nodes[i]['inputs'][:1 if nodes[i]['op'] in CONVOLUTIONS else None]
            near.update(j for j, *_ in inputs)
    return near
