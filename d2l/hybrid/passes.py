"""Passes over a traced graph, each a function from graph to graph.

A graph is what `Symbol.tojson` writes, parsed: `nodes`, of which the variables have the op 'null',
and `heads`, its outputs, as [node, output, version] like the `inputs` of each node.
"""
import ast
import collections
import json

import mxnet

from . import tape

TAPED = '__taped__'     # an attribute of BlockGrad: it was called as an operator
RESHAPES = '_np_reshape', '_npx_reshape'
LEGACY_RESHAPE_CODES = {-2: 0, -4: -2, -5: -3, -6: -4}    # codes of npx.reshape -> those of Reshape
CONVOLUTIONS = 'Convolution', 'Deconvolution'
PYTHON = {'Custom', '_foreach', '_while_loop', '_cond'}    # operators that run Python, or graphs
# Operators that ask whether a gradient is wanted: with static_shape, MXNet leaves that
# uninitialized
READS_GRAD_REQ = {'RNN', *PYTHON}
# Operators whose results and gradients are row-major, whatever memory layout their inputs have
ROW_MAJOR_RESULTS = {'transpose', '_np_transpose', 'SwapAxis', 'Embedding', 'batch_dot', 'dot',
                     '_np_dot'}
# If a value is used this many times or more, a CachedOp adds up the gradients of the uses in place
IN_PLACE_SUM_USES = 8
# Operators whose gradients MXNet can add to others in place, as tests/test_hybrid_passes.py has
# tried. Not those of clip and mean: it writes the one over them, and divides all by the other's
# count
IN_PLACE_SUM_SAFE = {'_np_dot', 'FullyConnected', '_npi_add', '_npi_subtract', '_npi_multiply',
        '_npi_add_scalar',
        '_npi_multiply_scalar', '_npi_tanh', '_npx_sigmoid', '_np_sum', '_np_reshape',
        '_np_transpose', 'SwapAxis', '_copy'}


def draw_in_graph(graph, draws, size, random):
    """Put operators that draw where the tape has stand-ins for their results. One that no result
    needs becomes an output, for eager draws it too.

    draws: `Trace.draws`; of the graph's heads the first `size` are results, the next `random` are
    of operators that draw, all others are the inputs of those in draws
    """
    nodes, heads = [dict(node) for node in graph['nodes']], graph['heads']
    at, inputs = {node['name']: i for i, node in enumerate(nodes)}, iter(heads[size + random:])

    def moved(entry):
        name = nodes[entry[0]]['name']
        return [at[draws[name][0]], draws[name][1], 0] if name in draws else entry
    for node in nodes:
        node['inputs'] = [moved(entry) for entry in node['inputs']]
    for name, (first, _, op, attrs, graphs) in draws.items():
        taken = [moved(next(inputs)) for _ in graphs]
        if name == first:
            nodes[at[name]].update(op=op, attrs=attrs, inputs=taken)
    results, unused = [moved(head) for head in heads[:size]], set()

    def without_gradient(entry):
        nodes.append({'op': 'BlockGrad', 'name': f'unused_{len(nodes)}', 'inputs': [entry]})
        return [len(nodes) - 1, 0, 0]
    needed = _reached(nodes, results, set())
    for head in heads[size:size + random][::-1]:        # a later one may need an earlier
        if head[0] not in needed and head[0] not in unused:
            unused |= _reached(nodes, [head], needed)
            results.append(without_gradient(head))
    for i in unused:                # nor does a gradient, of zeros, come to what results need
        nodes[i]['inputs'] = [without_gradient(entry) if entry[0] in needed else entry
                              for entry in nodes[i]['inputs']]
    return _sorted(dict(graph, nodes=nodes, heads=results))


def _reached(nodes, entries, known):
    """Indices of the nodes that entries need, but for those known."""
    found, stack = set(), [i for i, *_ in entries]
    while stack:
        i = stack.pop()
        if i not in found and i not in known:
            found.add(i)
            stack += [j for j, *_ in nodes[i]['inputs']]
    return found


def parts(graph, flowing, with_past):
    """Cut a graph, in the order in which Python ran it, so that each part leads to the same
    outputs, and takes nothing that it gives. So gradients do not come to what led to an output that
    nobody used, where 0 times infinity is NaN, and those of what crosses are all added up at once.
    What is in a part MXNet meets without a break, whichever output it comes from, so the order of
    the sums is eager's: that in which MXNet, from the loss on, meets what made and what used an
    array.

    flowing: names of inputs that may have gradients; with_past: of those among them that something
    on the tape may have made
    Returns (parts, entries): of each part, its graph and {name of an input of it: the number of the
    entry that it stands for}; of each entry that parts give, in order, (node, output) in the graph
    """
    nodes, heads = graph['nodes'], [(i, k) for i, k, *_ in graph['heads']]
    taped = []                          # what is on the tape, if inputs are
    for node in nodes:
        taped.append(node['name'] in flowing if node['op'] == 'null' else
                     not is_detached(node) and any(taped[j] for j, *_ in node['inputs']))
    leads = []                          # to which outputs, and to which not as a constant only
    for i in range(len(nodes)):
        leads.append([frozenset(at for at, (j, _) in enumerate(heads) if i == j)] * 2)
    for i, node in reversed([*enumerate(nodes)]):
        if is_detached(node):
            leads[i][1] = frozenset()
        for j, *_ in node['inputs']:
            leads[j] = [a | b for a, b in zip(leads[j], leads[i])]
    last = _visited_before(nodes, heads, taped, with_past)
    ran = sorted((i for i, node in enumerate(nodes) if node['op'] != 'null'),
                 key=lambda i: _time(nodes, i))
    crossing, before = {*heads}, None
    while crossing != before:           # a cut makes others necessary
        for i, _ in crossing:           # a constant is no output of what is on the tape
            leads[i][1] = leads[i][1] if taped[i] else frozenset()
        # lists of nodes; of each node, which list it is in; the last of a list that is on the tape
        before, found, home, end = crossing, [], {}, set()
        for i in ran:
            if (not found or leads[found[-1][-1]] != leads[i] or end and not last[i] <= end or any(
                    (j, k) in crossing and home.get(j) == len(found) - 1
                    for j, k, *_ in nodes[i]['inputs'])):
                found.append([])
                end = set()
            found[-1].append(i)
            home[i] = len(found) - 1
            end = {i} if taped[i] else end
        crossing = crossing | {(j, k) for i in ran for j, k, *_ in nodes[i]['inputs']
                               if j in home and home[j] != home[i]}
    entries, made = [], []
    for at, part in enumerate(found):
        new, places, inputs = [], {}, {}
        for i in part:
            taken = [(j, k) for j, k, *_ in nodes[i]['inputs']]
            for j, k in taken:
                if (j, k) not in places and home.get(j) != at:
                    name = nodes[j]['name']
                    if j in home:
                        name = f'{name} {k}'
                        inputs[name] = entries.index((j, k))
                    places[j, k] = len(new), 0
                    new.append({'op': 'null', 'name': name, 'inputs': []})
            new.append({'op': nodes[i]['op'], 'name': nodes[i]['name'],
                        'attrs': nodes[i].get('attrs', {}), 'inputs': [
                            [*places.get((j, k), (places.get(j), k)), 0] for j, k in taken]})
            places[i] = len(new) - 1
        outputs = [(j, k) for j, k in sorted(crossing) if home.get(j) == at]
        entries += outputs
        made.append((keep_random_order(dict(
            graph, nodes=new, heads=[[places[j], k, 0] for j, k in outputs],
            arg_nodes=[i for i, node in enumerate(new) if node['op'] == 'null'])), inputs))
    return made, entries


def _visited_before(nodes, heads, taped, with_past):
    """For each node the set of those that MXNet meets right before it on its way from the loss,
    from any of the outputs: in the order of a depth-first search, inputs first, of what is on the
    tape."""
    found = [set() for _ in nodes]
    for head in dict.fromkeys(i for i, _ in heads if taped[i]):
        last, seen, stack = None, {head}, [(head, iter(nodes[head]['inputs']))]
        while stack:
            i, inputs = stack[-1]
            for j, *_ in inputs:
                if taped[j] and j not in seen:
                    seen.add(j)
                    stack.append((j, iter(nodes[j]['inputs'])))
                    break
            else:
                stack.pop()
                if nodes[i]['op'] != 'null' or nodes[i]['name'] in with_past:
                    found[i].add(last)
                    last = i
    return found


def each_use_an_input(graph, names, ctx):
    """Let each use of the inputs with these names be an input of its own, so that all gradients of
    an array are added up at once outside of the graph, in eager's order: from the last use to the
    first.

    Returns the graph, to which an output may come before all others, and {name of an input: the
    name that it had}
    """
    graph, uses = _sorted(graph), {}
    nodes = [dict(node) for node in graph['nodes']]
    for i, node in reversed([*enumerate(nodes)]):
        for at, (j, *_) in enumerate(node['inputs']):
            if nodes[j]['name'] in names and nodes[j]['op'] == 'null':
                uses.setdefault(j, []).append((i, at))
    old, order = {}, []
    for j, found in sorted(uses.items()):
        name = nodes[j]['name']
        order.append(j)
        for count, (i, at) in enumerate(found):
            if count:
                order.append(len(nodes))
                nodes.append({'op': 'null', 'name': f'{name} use {count}', 'inputs': []})
                old[nodes[-1]['name']] = name
                inputs = [*nodes[i]['inputs']]
                inputs[at] = [order[-1], 0, 0]
                nodes[i]['inputs'] = inputs
    heads = graph['heads']
    if old:                 # inputs are ordered as they are met: here, first of all
        heads = [[len(nodes), 0, 0], *heads]
        nodes.append({'op': '_npi_zeros', 'name': 'inputs', 'inputs': [], 'control_deps': order,
                      'attrs': {'shape': '(1,)', 'dtype': 'float32', 'ctx': str(ctx)}})
    return _sorted(dict(graph, nodes=nodes, heads=heads, arg_nodes=[
        i for i, node in enumerate(nodes) if node['op'] == 'null'])), old


def _sorted(graph):
    """A graph as MXNet sorts it, without what no output needs."""
    return json.loads(mxnet.sym.load_json(json.dumps(graph)).tojson())


def _time(nodes, i):
    """When Python ran a node, for sorting; one that a pass has put in ran after its input."""
    name = nodes[i]['name']
    if nodes[i]['op'] == 'null':
        return -1, 0
    if name.startswith('node_'):
        return int(name.split('_')[1]), 0
    return _time(nodes, nodes[i]['inputs'][0][0])[0], 1


def with_an_input(graph, name):
    """Give a graph that has no input one of this name, which no operator reads: a CachedOp runs on
    the device of its first."""
    nodes = graph['nodes']
    if any(node['op'] == 'null' for node in nodes):
        return graph
    first = dict(nodes[0], control_deps=[len(nodes)])
    return dict(graph, nodes=[first, *nodes[1:], {'op': 'null', 'name': name, 'inputs': []}],
                arg_nodes=[len(nodes)])


def keep_random_order(graph):
    """Let operators that draw random numbers run in the order in which Python ran them: a CachedOp
    walks depth-first from its outputs, Python ran from top to bottom, and the generator is one
    stream. So each waits for the one before it."""
    drawing = [i for i, node in enumerate(graph['nodes'])
               if tape.draws(node['op'], node.get('attrs', {}))]
    drawing.sort(key=lambda i: int(graph['nodes'][i]['name'].split('_')[1]))  # node_<when>
    waits = dict(zip(drawing[1:], drawing))
    return dict(graph, nodes=[dict(node, control_deps=[waits[i]]) if i in waits else node
                              for i, node in enumerate(graph['nodes'])])


def no_common_subexpressions(graph):
    """Keep nodes apart that compute the same. A CachedOp merges them, and then adds up gradients
    before the shared operator instead of after it: last digits differ from eager. An attribute that
    no operator reads makes each node another; Custom reads all, and is never merged."""
    return dict(graph, nodes=[
        node if node['op'] in ('null', 'Custom') else
        dict(node, attrs=dict(node.get('attrs', {}), __node__=str(i)))
        for i, node in enumerate(graph['nodes'])])


def results_used_inside(graph):
    """Give a result that other operators take as well an operator of its own. Eager adds up all its
    gradients from the last that took it to the first, and takes of what follows the net to be so
    ordered as the results are. A CachedOp begins with those that come to its outputs."""
    nodes, heads = list(graph['nodes']), [list(head) for head in graph['heads']]
    uses = collections.Counter((i, k) for node in nodes for i, k, *_ in node['inputs'])
    uses.update((i, k) for i, k, *_ in heads)
    for at, (i, k, *_) in enumerate(heads):
        if uses[i, k] > 2:              # the sum of two is one, whichever comes first
            nodes.append({'op': '_copy', 'name': f'result_{at}', 'inputs': [[i, k, 0]]})
            heads[at] = [len(nodes) - 1, 0, 0]
    return dict(graph, nodes=nodes, heads=heads)


def copyto_to_cast(graph, dtypes):
    """Make `_copyto` a Cast: it is what `astype` and `copy` leave on the tape, and MXNet infers no
    type for it. `dtypes` tells, by the name of the node, the type that its result had."""
    return dict(graph, nodes=[
        dict(node, op='Cast', attrs={'dtype': dtypes[node['name']]})
        if node['op'] == '_copyto' else node for node in graph['nodes']])


def reshape_to_scalar(graph):
    """Make a Reshape to no axes, which `X[0]` of a vector leaves on the tape, one of np: in a graph
    MXNet takes it for one that names no shape, or lets oneDNN do it, whose result cannot be
    read."""
    return dict(graph, nodes=[
        dict(node, op='_np_reshape', attrs={'newshape': '()'})
        if node['op'] == 'Reshape' and node['attrs'].get('shape') in ('[]', '()') else node
        for node in graph['nodes']])


def valid_flags(flags, graph, statistics):
    """The flags of CachedOp that hold for a graph: of BatchNorm's running statistics, static_shape
    would say that they are only read, and they race."""
    if statistics or any(node['op'] in READS_GRAD_REQ for node in graph['nodes']):
        return {name: value for name, value in flags.items() if name != 'static_shape'}
    return flags


def reshape_by_copy(graph):
    """Let reshapes copy near convolutions. In place, np.reshape keeps the order of numbers that
    oneDNN chose for the result of one, or for a gradient, for other lengths: the next operator
    fails or crashes."""
    nodes = [dict(node) for node in graph['nodes']]
    near = _may_be_blocked(nodes)
    for node in [nodes[i] for i in near if nodes[i]['op'] in RESHAPES]:
        lengths = ast.literal_eval(node['attrs']['newshape'])
        lengths = lengths if isinstance(lengths, tuple) else (lengths,)
        if lengths and not {0, -3} & {*lengths}:    # Reshape knows neither
            shape = str(tuple(LEGACY_RESHAPE_CODES.get(length, length) for length in lengths))
            reverse = node['attrs'].get('reverse', 'False')
            node.update(op='Reshape', attrs={'shape': shape, 'reverse': reverse})
    return dict(graph, nodes=nodes)


def add_up_by_copy(graph):
    """Let what is used at many places go through a copy to operators whose gradients MXNet cannot
    add to others in place, for the gradient would be wrong."""
    uses = collections.Counter((i, k) for node in graph['nodes'] for i, k, *_ in node['inputs'])
    uses.update((i, k) for i, k, *_ in graph['heads'])
    nodes, places = [], []              # of each node: its place with the copies
    for node in graph['nodes']:
        inputs = [[places[i], k, 0] for i, k, *_ in node['inputs']]
        for at, (i, k, *_) in enumerate(node['inputs']):
            # BatchNorm writes into its Parameters
            if (uses[i, k] >= IN_PLACE_SUM_USES and node['op'] not in IN_PLACE_SUM_SAFE
                    and node['op'] not in PYTHON and not (at and node['op'] == 'BatchNorm')):
                name = f'many_{len(nodes)}'     # an attribute: the copies are not merged
                nodes.append({'op': '_copy', 'name': name, 'attrs': {'__node__': name},
                              'inputs': [inputs[at]]})
                inputs[at] = [len(nodes) - 1, 0, 0]
        places.append(len(nodes))
        nodes.append(dict(node, inputs=inputs))
    for node in nodes:
        if 'control_deps' in node:
            node['control_deps'] = [places[i] for i in node['control_deps']]
    return dict(graph, nodes=nodes, heads=[[places[i], k, 0] for i, k, *_ in graph['heads']],
                arg_nodes=[i for i, node in enumerate(nodes) if node['op'] == 'null'])


def is_detached(node):
    """Whether a node stands for `detach`, which is not on the tape as an operator BlockGrad is."""
    return node['op'] == 'BlockGrad' and TAPED not in node.get('attrs', {})


def inputs_of(graph, heads, constants=True):
    """Names of the variables that these outputs depend on; constants: also as a constant only."""
    nodes, todo, found = graph['nodes'], [i for i, *_ in heads], set()
    while todo:
        i = todo.pop()
        if i not in found and (constants or not is_detached(nodes[i])):
            found.add(i)
            todo += [j for j, *_ in nodes[i]['inputs']]
    return {nodes[i]['name'] for i in found if nodes[i]['op'] == 'null'}


def detached(graph):
    """[(number of an output to which detached arrays come, {names of the inputs that come to it
    otherwise})]."""
    blocks = {i for i, node in enumerate(graph['nodes']) if is_detached(node)}
    found = []
    for k, head in enumerate(graph['heads']) if blocks else ():
        reached = _reached(graph['nodes'], [head], blocks)
        if not reached or blocks & {j for i in reached for j, *_ in graph['nodes'][i]['inputs']}:
            found.append((k, {graph['nodes'][i]['name'] for i in reached
                              if graph['nodes'][i]['op'] == 'null'}))
    return found


def _may_be_blocked(nodes):
    """Indices of the nodes that may meet numbers in an order that oneDNN chose: those that a
    convolution's result comes to, and those that a gradient comes to from it or from them."""
    near = set()
    for i, node in enumerate(nodes):
        if node['op'] in CONVOLUTIONS or node['op'] not in ROW_MAJOR_RESULTS and any(
                j in near for j, *_ in node['inputs']):
            near.add(i)
    for i in reversed(range(len(nodes))):
        if i in near and nodes[i]['op'] not in ROW_MAJOR_RESULTS:
            # MXNet keeps weights' gradients in plain order
            inputs = nodes[i]['inputs'][:1 if nodes[i]['op'] in CONVOLUTIONS else None]
            near.update(j for j, *_ in inputs)
    return near
