"""Passes over a traced graph, each a function from graph to graph (see d2l/graphs.py)."""
import collections

from .. import graphs
from . import tape

TAPED = '__taped__'     # attribute of a BlockGrad that `forward` called as an operator
RESHAPES = '_np_reshape', '_npx_reshape'
# special sizes in npx.reshape -> those of the same meaning in Reshape
LEGACY_RESHAPE_CODES = {-2: 0, -4: -2, -5: -3, -6: -4}
CONVOLUTIONS = 'Convolution', 'Deconvolution'
UPDATES_STATISTICS = 'BatchNorm', '_contrib_SyncBatchNorm'      # their inputs 3 and 4
PYTHON = {'Custom', '_foreach', '_while_loop', '_cond'}    # operators that run Python or subgraphs
# Operators that read their grad_req, which MXNet leaves uninitialized with static_shape
READS_GRAD_REQ = {'RNN', *PYTHON}
# Operators whose results and gradients are row-major, whatever memory layout their inputs have
ROW_MAJOR_RESULTS = {'transpose', '_np_transpose', 'SwapAxis', 'Embedding', 'batch_dot', 'dot',
                     '_np_dot'}
# If a value is used this many times or more, a CachedOp adds up the gradients of the uses in place
IN_PLACE_SUM_USES = 8
# Operators whose gradients MXNet adds to others in place without a fault, as
# tests/test_hybrid_passes.py checks. clip and mean are not among them: MXNet overwrites the sum
# with the gradient of clip, and divides the whole sum by the count of mean
IN_PLACE_SUM_SAFE = {'_np_dot', 'FullyConnected', '_npi_add', '_npi_subtract', '_npi_multiply',
        '_npi_add_scalar',
        '_npi_multiply_scalar', '_npi_tanh', '_npx_sigmoid', '_np_sum', '_np_reshape',
        '_np_transpose', 'SwapAxis', '_copy'}
# Operators through which a gradient of 0 is 0 whatever the values are, infinite ones included
KEEPS_ZERO = {
    '_npi_add', '_npi_subtract', '_npi_add_scalar', '_npi_rsubtract_scalar', '_np_sum', '_copy',
    '_np_reshape', 'Reshape', 'Flatten', 'expand_dims', '_np_transpose', 'SwapAxis', 'slice',
    'slice_axis', 'SliceChannel', 'Concat', '_npi_concatenate', '_npi_stack', 'stack'}


def draw_in_graph(graph, draws, size, random):
    """Put the operators that draw random numbers where the tape has stand-ins for their results. If
    no result needs such an operator, it becomes an output, because eager mode draws it too.

    draws: `Trace.draws`. The first `size` heads of the graph are results, the next `random` heads
    belong to operators that draw, and the rest are the inputs of the operators in `draws`
    """
    nodes, heads = [dict(node) for node in graph['nodes']], graph['heads']
    at, inputs = {node['name']: i for i, node in enumerate(nodes)}, iter(heads[size + random:])

    def moved(entry):
        name = nodes[entry[0]]['name']
        return [at[draws[name][0]], draws[name][1], 0] if name in draws else entry
    for node in nodes:
        node['inputs'] = [moved(entry) for entry in node['inputs']]
    for name, (first, _, op, attrs, symbols) in draws.items():
        taken = [moved(next(inputs)) for _ in symbols]
        if name == first:
            nodes[at[name]].update(op=op, attrs=attrs, inputs=taken)

    def without_gradient(entry):
        nodes.append(graphs.node('BlockGrad', f'unused_{len(nodes)}', [entry]))
        return [len(nodes) - 1, 0, 0]
    results, unused = [moved(head) for head in heads[:size]], set()
    # MXNet refuses graphs in which an output needs the gradient of `_shuffle`, which has none
    results = [without_gradient(entry) if nodes[entry[0]]['op'] == '_shuffle' else entry
               for entry in results]
    needed = _reached(nodes, results, set())
    for head in heads[size:size + random][::-1]:        # a later operator may need an earlier one
        if head[0] not in needed and head[0] not in unused:
            unused |= _reached(nodes, [head], needed)
            results.append(without_gradient(head))
    # An unused operator must not send gradients, even of zeros, to nodes that results need
    for i in unused:
        nodes[i]['inputs'] = [without_gradient(entry) if entry[0] in needed else entry
                              for entry in nodes[i]['inputs']]
    return _sorted(dict(graph, nodes=nodes, heads=results))


def _reached(nodes, entries, known):
    """Return the indices of the nodes on which the entries depend, found without going through the
    nodes in `known`."""
    found, stack = set(), [i for i, *_ in entries]
    while stack:
        i = stack.pop()
        if i not in found and i not in known:
            found.add(i)
            stack += [j for j, *_ in nodes[i]['inputs']]
    return found


def parts(graph, flowing, with_past, exact):
    """Cut a graph into parts, in the order in which Python or MXNet's backward pass comes to its
    nodes, so that its gradients are those of eager mode.

    All nodes of a part lead to the same outputs of the graph, and no part takes its own results as
    inputs. So no gradient is computed for nodes that lead only to an output that nobody used, where
    0 times infinity would be NaN, and all gradients of an array that crosses from one part to
    another are added up at once. On its way back from the loss, MXNet visits the nodes of a part
    one after another, whichever output it comes from. So gradients are added up in eager's order,
    in which MXNet visits the node that made an array and those that used it.

    flowing: names of inputs that may have gradients
    with_past: names of the inputs among them that another operator on the tape may have made
    exact: False makes as few parts as lead to the same outputs, in which gradients are added up in
        another order

    Return (parts, entries). parts: for each part its graph, and {name of an input: index of the
    entry that it takes}. entries: (index of the node, of its output) in the whole graph, for each
    output of the parts in order
    """
    nodes, heads = graph['nodes'], [(i, k) for i, k, *_ in graph['heads']]
    taped = []                          # for each node: is it on the tape when the inputs are?
    for node in nodes:
        taped.append(node['name'] in flowing if node['op'] == 'null' else
                     not is_detached(node) and any(taped[j] for j, *_ in node['inputs']))
    # For each node: the indices of the heads that depend on it, and of those among them that
    # depend on it by a path without `detach`
    leads = []
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
    if not exact and not _shares_statistics(nodes):
        keys = [taped[i] and leads[i][1] for i in range(len(nodes))]
        found, home = _grouped(nodes, ran, _merged(nodes, ran, keys, flowing))
        before = crossing = crossing | {(j, k) for i in ran for j, k, *_ in nodes[i]['inputs']
                                        if j in home and home[j] != home[i]}
    elif exact and not _shares_statistics(nodes):
        ran = _as_visited(nodes, ran, taped)
    while crossing != before:           # a cut may make other cuts necessary
        for i, _ in crossing:           # constants and nodes on the tape go into separate parts
            leads[i][1] = leads[i][1] if taped[i] else frozenset()
        # found: the lists of nodes; home: index of a node's list; end: the last node of the
        # current list that is on the tape
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
                    new.append(graphs.node('null', name))
            new.append({'op': nodes[i]['op'], 'name': nodes[i]['name'],
                        'attrs': nodes[i].get('attrs', {}), 'inputs': [
                            [*places.get((j, k), (places.get(j), k)), 0] for j, k in taken]})
            places[i] = len(new) - 1
        outputs = [(j, k) for j, k in sorted(crossing) if home.get(j) == at]
        entries += outputs
        made.append((keep_random_order(dict(
            graph, nodes=new, heads=[[places[j], k, 0] for j, k in outputs])), inputs))
    return made, entries


def _merged(nodes, ran, keys, flowing):
    """Return other keys for `_grouped`, by which some nodes come to those that lead to more
    outputs, such as the one that concatenates the results of a loop over time steps. Nodes may if a
    gradient of 0 through them changes nothing: their operators are in KEEPS_ZERO, and it goes on to
    no inputs but those that the others have, too, and to no nodes but the others, or nodes that
    lead to all their outputs."""
    members, inputs, others = {}, {}, {}
    for i in ran:
        if keys[i]:
            members.setdefault(keys[i], []).append(i)
            inputs.setdefault(keys[i], set()).update(
                nodes[j]['name'] for j, *_ in nodes[i]['inputs'] if nodes[j]['name'] in flowing)
    for key in sorted(members, key=len, reverse=True):
        # the keys of the nodes that these take values from: they are longer, so they are final
        sources = {others.get(keys[j], keys[j]) for i in members[key]
                   for j, *_ in nodes[i]['inputs'] if keys[j] and keys[j] != key}
        more = {others.get(other, other) for other in members
                if key < other and inputs[key] <= inputs[other]}
        more = [other for other in more if all(other <= source for source in sources)]
        if more and all(nodes[i]['op'] in KEEPS_ZERO for i in members[key]):
            others[key] = min(more, key=len)
    return [others.get(key, key) for key in keys]


def _shares_statistics(nodes):
    """Return whether several nodes update the same running statistics. They do so in the backward
    pass, and its order counts."""
    users = collections.Counter(j for node in nodes if node['op'] in UPDATES_STATISTICS
                                for j, *_ in node['inputs'][3:5])
    return any(count > 1 for count in users.values())


def _grouped(nodes, ran, keys):
    """Return (lists of indices of nodes with the same key, {index of a node: index of its list}).
    Lists only use results of those before them; random numbers are drawn in the order of `ran`."""
    found, home, at_draw = [], {}, 0
    for i in ran:
        draws = _draws(nodes[i])
        least = max((home[j] for j, *_ in nodes[i]['inputs'] if j in home), default=0)
        least = max(least, at_draw) if draws else least
        home[i] = next((at for at in range(least, len(found)) if keys[found[at][0]] == keys[i]),
                       len(found))
        if home[i] == len(found):
            found.append([])
        found[home[i]].append(i)
        at_draw = home[i] if draws else at_draw
    found = _delayed(nodes, found, home, keys)
    return found, {i: at for at, group in enumerate(found) for i in group}


def _draws(node):
    """Return when a node draws random numbers; see `tape.draws`."""
    return tape.draws(node['op'], node.get('attrs', {}))


def _delayed(nodes, found, home, keys):
    """Return fewer lists: each joins the next one with its key, unless a list before that uses its
    results, or it draws random numbers. So all steps that compute an output of a loop are together,
    and can become one product."""
    found = [*found]
    for at in reversed(range(len(found))):
        later = next((k for k in range(at + 1, len(found))
                      if found[k] and keys[found[k][0]] == keys[found[at][0]]), None)
        if later and not any(
                home[j] == at for k in range(at + 1, later)
                for i in found[k] for j, *_ in nodes[i]['inputs'] if j in home) and not any(
                _draws(nodes[i]) for i in found[at]):
            found[later] = sorted(found[at] + found[later], key=lambda i: _time(nodes, i))
            home.update(dict.fromkeys(found[at], later))
            found[at] = []
    return [group for group in found if group]


def has_several_results(graph, flowing):
    """Return whether several operators compute the outputs, and one of them may get a gradient. A
    loss may leave some out then, and others may be no results of recorded operators in eager mode.

    flowing: see `parts`
    """
    heads = {i for i, *_ in graph['heads']}
    return len(heads) > 1 and bool(flowing & inputs_of(graph, graph['heads'], constants=False))


def _as_visited(nodes, ran, taped):
    """Return the nodes in an order in which fewer cuts are needed: first those that depend on no
    node on the tape, then the others in the order of their indices, in which MXNet visits them. If
    nodes would draw random numbers in another order, return `ran`."""
    later = set()
    for i in sorted(ran):
        if taped[i] or any(j in later for j, *_ in nodes[i]['inputs']):
            later.add(i)
    found = sorted(ran, key=lambda i: (i in later, i))
    drawing = [i for i in found if _draws(nodes[i])]
    return found if drawing == [i for i in ran if _draws(nodes[i])] else ran


def _visited_before(nodes, heads, taped, with_past):
    """Return for each node the set of nodes that MXNet visits directly before it on its way back
    from the loss, one for each output at which it may start.

    MXNet visits the nodes on the tape in the order of a depth-first search, inputs first.
    """
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
    """Make each use of the inputs with these names an input of its own, so that all gradients of an
    array are added up at once outside of the graph, in eager's order: from the last use to the
    first.

    Return the graph, which may have one more output before all others, and {name of a new input:
    name of the input that it repeats}.
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
                nodes.append(graphs.node('null', f'{name} use {count}'))
                old[nodes[-1]['name']] = name
                inputs = [*nodes[i]['inputs']]
                inputs[at] = [order[-1], 0, 0]
                nodes[i]['inputs'] = inputs
    heads = graph['heads']
    # MXNet orders inputs as it visits them: this new first output makes it visit them in `order`
    if old:
        heads = [[len(nodes), 0, 0], *heads]
        nodes.append(dict(graphs.node('_npi_zeros', 'inputs', shape='(1,)', dtype='float32',
                                      ctx=ctx), control_deps=order))
    return _sorted(dict(graph, nodes=nodes, heads=heads)), old


def _sorted(graph):
    """Return a graph sorted by MXNet, without the nodes that no output needs."""
    return graphs.from_symbol(graphs.to_symbol(graph))


def _time(nodes, i):
    """Return a sort key that orders nodes as Python ran them. A node that a pass has added comes
    directly after its first input."""
    name = nodes[i]['name']
    if nodes[i]['op'] == 'null':
        return -1, 0
    if name.startswith('node_'):
        return int(name.split('_')[1]), 0
    return _time(nodes, nodes[i]['inputs'][0][0])[0], 1


def with_an_input(graph, name):
    """If a graph has no input, add one of this name, which no operator reads, because a CachedOp
    runs on the device of its first input."""
    if graphs.variables(graph):
        return graph
    first, *others = graph['nodes']
    first = dict(first, control_deps=[*first.get('control_deps', ()), 1 + len(others)])
    return dict(graph, nodes=[first, *others, graphs.node('null', name)])


def keep_random_order(graph):
    """Make operators that draw random numbers run in the order in which Python ran them, as all of
    them draw from one stream. A CachedOp would run them in the order of a depth-first search from
    its outputs, so each of them gets a dependency on the one before it."""
    drawing = [i for i, node in enumerate(graph['nodes']) if _draws(node)]
    drawing.sort(key=lambda i: int(graph['nodes'][i]['name'].split('_')[1]))  # node_<when>
    waits = dict(zip(drawing[1:], drawing))
    return dict(graph, nodes=[dict(node, control_deps=[waits[i]]) if i in waits else node
                              for i, node in enumerate(graph['nodes'])])


def no_common_subexpressions(graph):
    """Keep a CachedOp from merging nodes that compute the same. It would add up their gradients
    before the shared operator instead of after it, and the last digits would differ from eager's.
    Each node gets a different value of an attribute that no operator reads. Custom would read it,
    but is never merged."""
    return dict(graph, nodes=[
        node if node['op'] in ('null', 'Custom') else
        dict(node, attrs=dict(node.get('attrs', {}), __node__=str(i)))
        for i, node in enumerate(graph['nodes'])])


def results_used_inside(graph):
    """If other operators in the graph use a result too, copy the result by an operator of its own.

    Eager mode adds up all gradients of such an array from the operator that used it last to the
    first. A CachedOp would begin with the gradients that come to its outputs. What follows the net
    is taken to use the results in their order.
    """
    nodes, heads, uses = [*graph['nodes']], [*graph['heads']], _uses(graph)
    for at, (i, k, *_) in enumerate(heads):
        if uses[i, k] > 2:              # a sum of two does not depend on their order
            nodes.append(graphs.node('_copy', f'result_{at}', [[i, k, 0]]))
            heads[at] = [len(nodes) - 1, 0, 0]
    return dict(graph, nodes=nodes, heads=heads)


def _uses(graph):
    """Return {(index of a node, of its output): how many nodes and outputs of the graph use it}."""
    return collections.Counter((i, k) for entries in (
        graph['heads'], *[node['inputs'] for node in graph['nodes']]) for i, k, *_ in entries)


def copyto_to_cast(graph, dtypes):
    """Replace each `_copyto`, which `astype` and `copy` leave on the tape, by a Cast, because MXNet
    infers no dtype for `_copyto`.

    dtypes: name of a node -> dtype of its result in the trace
    """
    return dict(graph, nodes=[
        dict(node, op='Cast', attrs={'dtype': dtypes[node['name']]})
        if node['op'] == '_copyto' else node for node in graph['nodes']])


def reshape_to_scalar(graph):
    """Replace a Reshape to shape (), which `X[0]` of a vector leaves on the tape, by np.reshape. In
    a graph, MXNet takes () for a missing shape, or oneDNN computes a result that cannot be read."""
    return dict(graph, nodes=[
        dict(node, op='_np_reshape', attrs={'newshape': '()'})
        if node['op'] == 'Reshape' and node['attrs'].get('shape') in ('[]', '()') else node
        for node in graph['nodes']])


def valid_flags(flags, graph, statistics):
    """Return the flags of CachedOp that are valid for a graph. static_shape is not where BatchNorm
    updates running statistics: MXNet would treat them as read-only, and operators would race. Nor
    is it where an operator is in READS_GRAD_REQ."""
    if statistics or any(node['op'] in READS_GRAD_REQ for node in graph['nodes']):
        return {name: value for name, value in flags.items() if name != 'static_shape'}
    return flags


def reshape_by_copy(graph):
    """Replace reshapes near convolutions by ones that copy. oneDNN may store a convolution's result
    or gradient in a blocked layout. np.reshape, which works in place, keeps this layout with other
    dimensions, and the next operator fails or crashes."""
    nodes = [dict(node) for node in graph['nodes']]
    near = _may_be_blocked(nodes)
    for node in [nodes[i] for i in near if nodes[i]['op'] in RESHAPES]:
        lengths = graphs.numbers(node['attrs']['newshape'])
        if lengths and not {0, -3} & {*lengths}:    # Reshape has no code for these two
            shape = str(tuple(LEGACY_RESHAPE_CODES.get(length, length) for length in lengths))
            reverse = node['attrs'].get('reverse', 'False')
            node.update(op='Reshape', attrs={'shape': shape, 'reverse': reverse})
    return dict(graph, nodes=nodes)


def add_up_by_copy(graph):
    """If a value has IN_PLACE_SUM_USES uses or more, pass a copy of it to each operator that is not
    in IN_PLACE_SUM_SAFE. Otherwise its gradient would be wrong."""
    uses = _uses(graph)

    def copied(number, inputs, add):
        node = graph['nodes'][number]
        for at, (i, k, *_) in enumerate(node['inputs']):
            # BatchNorm writes into all but its first input, so these are not copied
            if (uses[i, k] >= IN_PLACE_SUM_USES and node['op'] not in IN_PLACE_SUM_SAFE
                    and node['op'] not in PYTHON and not (at and node['op'] == 'BatchNorm')):
                name = f'many_{number}_{at}'    # also an attribute, so that copies are not merged
                inputs[at] = [add(graphs.node('_copy', name, [inputs[at]], __node__=name)), 0, 0]
        return add(dict(node, inputs=inputs))
    return graphs.rebuilt(graph, copied)


def is_detached(node):
    """Return whether a node is a BlockGrad that the trace has put in place of `detach`. In eager
    mode the result of `detach` is not on the tape; that of the operator BlockGrad is."""
    return node['op'] == 'BlockGrad' and TAPED not in node.get('attrs', {})


def inputs_of(graph, heads, constants=True):
    """Return the names of the variables on which these outputs depend.

    constants: whether to include those on which they depend only through `detach`
    """
    nodes = graph['nodes']
    found = _reached(nodes, heads, set() if constants else _detaching(nodes))
    return {nodes[i]['name'] for i in found if nodes[i]['op'] == 'null'}


def detached(graph):
    """Return [(index of an output that depends on a detached array, {names of the inputs on which
    it depends by a path without `detach`})]."""
    nodes, found = graph['nodes'], []
    blocks = _detaching(nodes)
    for k, head in enumerate(graph['heads']) if blocks else ():
        reached = _reached(nodes, [head], blocks)
        if not reached or blocks & {j for i in reached for j, *_ in nodes[i]['inputs']}:
            found.append((k, inputs_of(graph, [head], constants=False)))
    return found


def _detaching(nodes):
    return {i for i, node in enumerate(nodes) if is_detached(node)}


def _may_be_blocked(nodes):
    """Return the indices of the nodes that may get arrays in a blocked layout of oneDNN: those that
    a convolution's result reaches, and those that a gradient reaches from one of these."""
    near = set()
    for i, node in enumerate(nodes):
        if node['op'] in CONVOLUTIONS or node['op'] not in ROW_MAJOR_RESULTS and any(
                j in near for j, *_ in node['inputs']):
            near.add(i)
    for i in reversed(range(len(nodes))):
        if i in near and nodes[i]['op'] not in ROW_MAJOR_RESULTS:
            # MXNet keeps the gradients of weights in row-major order
            inputs = nodes[i]['inputs'][:1 if nodes[i]['op'] in CONVOLUTIONS else None]
            near.update(j for j, *_ in inputs)
    return near
