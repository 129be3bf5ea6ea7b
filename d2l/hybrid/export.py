"""Saves a compiled net as a graph that needs none of its Python code, and loads it again."""
import collections
import copy
import functools
import itertools
import json
import os
import warnings
from typing import Callable, Optional, Union

import mxnet
import numpy
from mxnet import autograd, gluon, np, npx

from .. import c_api, files, graphs
from . import saved
from .block import CompiledBlock
from .sources import Source
from .trace import Graph
from .tree import Tree, unflatten

JSON_TYPES = bool, int, float, str, type(None)      # values that a result may hold besides arrays
COPY_DIMENSION = -2                     # in npx.reshape: the same dimension as in the input
_FEW_DIGITS = 'float16', 'int8', 'uint8', 'bool'     # dtypes that cannot count far
ANY_LENGTH = -1                         # in a saved shape: a dimension that may have any size


def export(net: Callable, path: Union[str, os.PathLike], *args, other: object = None,
           epoch: int = 0) -> None:
    """Save what `net(*args)` computes in predict mode, for arguments of these shapes.

    Writes path-symbol.json and path-<epoch>.params, as `HybridBlock.export` does, with inputs
    data0, data1, ... (the arrays in args, in order), and path-signature.json with their shapes and
    the SHA-256 of the files. An earlier export at path stays whole until all of the new one is
    written. A Parameter keeps its own name; if the name is already in use, _1, _2 ... is appended.

    other: arguments with another batch size, or with other sizes of any kind (a tuple, if there are
        several arguments). The graph then takes any size where the two differ. The rule for all
        sizes is inferred from these two, so choose them as far apart as they will be in use

    Raises TraceError for a net that cannot be traced, and ValueError if one graph cannot serve all
    sizes, for example if `forward` loops over time steps, as in attention or a BiRNN. Also raises
    ValueError for a custom operator of the user's, as its Python code is not in the files, so that
    `load_exported` would refuse it. A net that asks `autograd.is_training()` is exported for
    prediction only.
    """
    compiled = net if isinstance(net, CompiledBlock) else getattr(
        vars(net).get('forward'), '__self__', None) or CompiledBlock(net, False, {})
    program, leaves = compiled.program(*args, apart=True)
    _refuse_unloadable(program.graph)
    graph, sources, shapes = copy.deepcopy(program.graph), program.sources, [a.shape
                                                                             for a in leaves]
    if other is not None:
        program2, leaves2 = compiled.program(
            *(other if isinstance(other, tuple) else (other,)), apart=True)
        sources = _generalize_sizes(graph, program, leaves, program2, leaves2)
        shapes = [[m if m == n else ANY_LENGTH for m, n in zip(a.shape, b.shape)]
                  for a, b in zip(leaves, leaves2)]
    sources = _materialize_passthrough_outputs(graph, program, sources)
    symbol = graphs.to_symbol(graph)
    taken = {f'data{i}' for i in range(len(leaves))}
    names, save, constants = {}, {}, []
    for name in symbol.list_inputs():
        source, parameter = sources[name], sources[name].parameter
        names[name] = f'data{source.index}' if source.kind == 'input' else unique(
            parameter.name if parameter else f'const{len(constants)}', taken)
        if source.kind != 'input':
            prefix = 'aux:' if name in symbol.list_auxiliary_states() else 'arg:'
            array = parameter._reduce() if parameter else program.value(source, leaves)
            save[prefix + names[name]] = array.as_np_ndarray()      # it may be one of mx.nd
            if not source.learns:
                constants.append(names[name])
    used = [f'data{i}' for i in range(len(leaves)) if f'data{i}' in names.values()]
    if not used:
        raise ValueError('no result depends on an input')
    graph = graphs.from_symbol(symbol)
    count = collections.Counter()
    for node in graph['nodes']:
        op = node['op']
        if op == 'null':
            dtype = numpy.dtype(program.value(sources[node['name']], leaves).dtype)
            node['attrs'] = {'__dtype__': str(c_api.DTYPE_NUMBERS[dtype])}
        node['name'] = names.get(node['name']) or unique(f'{op.lstrip("_")}{count[op]}', taken)
        count[op] += 1
    outputs = iter([Output(i) for i in range(program.size)])
    _write(path, f'{epoch:04d}', save, json.dumps(graph).encode(), {
        'inputs': {f'data{i}': list(shape) for i, shape in enumerate(shapes)},
        'example': [list(a.shape) for a in leaves], 'used': used,
        'result': _plain(unflatten(program.result, outputs)), 'constants': constants,
        'predict_only': program.asks_mode})


def _refuse_unloadable(graph):
    """Raise ValueError for a graph with an operator that `load_exported` never accepts."""
    found = {f"{node['op']} ({node['attrs']['op_type']})" if node['op'] == 'Custom' else node['op']
             for node in graph['nodes'] if 'subgraphs' in node
             or node['op'] != 'null' and not saved.is_loadable(node['op'])}
    if found:
        raise ValueError(
            f'forward calls {", ".join(sorted(found))}, and an export holds no operator '
            'that runs Python or may end the process: compute the same with functions of np and '
            'npx, or save the numbers alone by net.save_parameters')


def unique(name, taken):
    """Return a name that is not in the set `taken`, and add it there: the name itself, or with _1,
    _2 ... appended."""
    name = next(n for n in itertools.chain([name], (f'{name}_{i}' for i in itertools.count(1)))
                if n not in taken)
    taken.add(name)
    return name


class Output(int):
    """In a result, a placeholder for the output of the graph with this index."""


def _plain(result):
    """Return a nested result in the form that is saved as JSON: an Output as {'output': its index},
    sequences as lists, and dicts as {'dict': [[key, value], ...]}."""
    if isinstance(result, Output):
        return {'output': int(result)}
    if isinstance(result, dict) and all(type(key) in JSON_TYPES for key in result):
        return {'dict': [[key, _plain(value)] for key, value in result.items()]}
    if isinstance(result, (list, tuple)):
        return [_plain(part) for part in result]
    if type(result) not in JSON_TYPES:
        raise ValueError(
            f'the result holds {result!r}, and a file can hold arrays, numbers, texts, '
            'lists, tuples, and dicts whose keys are numbers or texts')
    return result


def filled(result, outputs):
    """Return the nested result that `_plain` has written, with items of `outputs` in place of the
    indices of the outputs."""
    if isinstance(result, list):
        return [filled(part, outputs) for part in result]
    if not isinstance(result, dict):
        return result
    if set(result) == {'output'} and type(result['output']) is int:
        return outputs[result['output']]
    # exports from before November 2026 have a plain JSON object
    pairs = result['dict'] if set(result) == {'dict'} else result.items()
    return {key: filled(value, outputs) for key, value in pairs}


def _check_result(result, size, name):
    """Raise Damaged for a result that `_plain` cannot have written.

    size: the number of outputs of the graph; name: the file, for the message
    """
    try:
        arrays = []
        _outputs(filled(result, [Output(i) for i in range(size)]), arrays)
    except (TypeError, ValueError, IndexError, AttributeError, RecursionError):
        arrays = None
    saved.require(arrays == [*range(size)], f'{name} is damaged: the result is {result!r}, and the '
                  f'graph has {size}')


def _outputs(value, found):
    """Append the Outputs in a nested result to `found`, in order."""
    if isinstance(value, Output):
        found.append(value)
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            _outputs(part, found)


def _write(path, epoch, params, symbol, signature):
    """Write the files of an export. If an export of the same graph is there already, the parameters
    that it has for other epochs stay valid."""
    path = os.fsdecode(path)
    folder, name = os.path.split(path)
    with files.new_folder(os.path.abspath(folder)) as new:
        part = os.path.join(new, name)
        try:
            npx.save(f'{part}-{epoch}.params', params)
            with open(f'{part}-{epoch}.params', 'rb') as file:
                content = file.read()
            saved.read_params(content, file.name)       # MXNet raises nothing if the disk is full
        except (mxnet.MXNetError, saved.Damaged) as error:
            raise OSError(
                f'cannot write {path}-{epoch}.params ({error}): is the disk full? What was '
                'at its place is as it was') from None
        signature['symbol'], signature['params'] = saved.sha256(symbol), {}
        try:
            earlier = saved.read_signature(saved.content(path, 'signature.json'), path)
        except (FileNotFoundError, saved.Damaged):
            earlier = {}
        if all(earlier.get(key) == value for key, value in signature.items() if key != 'params'):
            signature['params'].update(earlier['params'])
        signature['params'][epoch] = saved.sha256(content)
        signature['fingerprint'] = saved.fingerprint(signature)
        for end, content in ('symbol', symbol), ('signature', json.dumps(signature).encode()):
            with open(f'{part}-{end}.json', 'wb') as file:
                file.write(content)
        saved.publish(path, new)


def _materialize_passthrough_outputs(graph, program, sources):
    """Make all arrays of the result outputs of the graph. An array that the graph does not compute
    becomes an input and a copy of it, as MXNet allows no variable as an output.

    Return the sources of all inputs.
    """
    nodes, heads, sources = graph['nodes'], iter(graph['heads']), dict(sources)
    graph['heads'] = []
    for k, source in enumerate(program.outputs[:program.size]):
        if source is None:
            graph['heads'].append(next(heads))
            continue
        if not any(s is source for s in sources.values()):
            sources[f'handed back {k}'] = source
            nodes.append(graphs.node('null', f'handed back {k}'))
        at = [sources.get(node['name']) is source for node in nodes].index(True)
        graph['heads'].append([len(nodes), 0, 0])
        nodes.append(graphs.node('_copy', f'copy {k}', [[at, 0, 0]]))
    return sources


def _generalize_sizes(graph, program, leaves, program2, leaves2):
    """Change the graph of `program` so that it also computes what `program2` does, which was traced
    with arguments of other sizes.

    An attribute that names a size is replaced by one from which MXNet infers it. A constant that
    repeats or counts along a dimension is expanded to the dimension of the input. Return the
    sources of the inputs.
    """
    nodes, nodes2, sources = graph['nodes'], program2.graph['nodes'], dict(program.sources)
    if [(n['op'], n['inputs']) for n in nodes] != [(n['op'], n['inputs']) for n in nodes2]:
        raise ValueError('forward computes another graph for the other arguments: export each')
    shapes, shapes2 = _shapes(program, leaves), _shapes(program2, leaves2)
    inputs = [tuple(node['inputs']) for node in nodes]      # a copy, as `replace` changes them
    # (size in program, in program2) of a dimension -> (an input that has it, the axis)
    like = {(m, k): (n, axis) for n, s in reversed(sources.items()) if s.kind == 'input'
            for axis, (m, k) in enumerate(zip(leaves[s.index].shape, leaves2[s.index].shape))
            if m != k}

    def add(op, what, *inputs, **attrs):
        """Add a node. inputs: indices of nodes. Return its index."""
        nodes.append(graphs.node(op, f'{what} {len(nodes)}', [[i, 0, 0] for i in inputs], **attrs))
        return len(nodes) - 1

    def replace(i, new, users):
        """Make the nodes `users`, and the outputs, take the result of node `new` in place of that
        of node i."""
        for entries in [n['inputs'] for n in users] + [graph['heads']]:
            entries[:] = [[new, *e[1:]] if e[0] == i and e[1] == 0 else e for e in entries]
    for i, (node, node2) in enumerate(zip(tuple(nodes), nodes2)):
        name, source = node['name'], sources.get(node['name'])
        pairs = [*zip(shapes[name], shapes2[node2['name']])]
        axes, users = [x for x, (m, n) in enumerate(pairs) if m != n], tuple(nodes)
        at = {x: _place(nodes, like, pairs[x]) for x in axes}
        if node['op'] != 'null' and node.get('attrs') != node2.get('attrs'):
            given = [[*zip(shapes[nodes[j]['name']], shapes2[nodes2[j]['name']])] if not k else None
                     for j, k, *_ in inputs[i]]
            free = _GENERALIZERS.get(node['op'], lambda *_: None)(
                node, node2, given[0] if given else None, pairs)
            if free is None or any(at[x][0] is None for x in free.get('axes', ())):
                raise ValueError(f'{node["op"]} depends on the size, {node["attrs"]} is '
                                 f'{node2["attrs"]} for the other arguments: export each')
            same_op = free.get('op', node['op']) == node['op']
            node.update(op=free.get('op', node['op']),
                        attrs={**(node['attrs'] if same_op else {}), **free['attrs']})
            last = i
            for x in free.get('axes', ()):          # the result has size 1 there: broadcast it
                last = add('broadcast_like', 'spread', last, at[x][0], lhs_axes=(x,),
                           rhs_axes=(at[x][1],))
            for x in free.get('inserted', ()):
                last = add('expand_dims', 'axis', last, axis=x)
            replace(i, last, users)
        elif axes and source and source.kind in ('const', 'state'):
            values = [program.value(source, leaves).asnumpy(),
                      program2.value(program2.sources[node2['name']], leaves2).asnumpy()]
            one = values[0][tuple(slice(0, 1) if x in axes else slice(None)
                                  for x in range(len(pairs)))]
            repeats = all((value == one).all() for value in values)
            steps = None if repeats or len(axes) > 1 else _steps(values, axes[0])
            if any(place is None for place, _ in at.values()) or not repeats and (
                    steps is None or program.value(sources[nodes[at[axes[0]][0]]['name']],
                                                   leaves).dtype in _FEW_DIGITS):
                raise ValueError(f'forward makes a constant that depends on the size, of shape '
                                 f'{values[0].shape} or {values[1].shape}: export each')
            sources[name], new = Source('const', array=np.array(one, dtype=one.dtype)), i
            for x, (as_long, axis) in at.items():
                new = add('broadcast_like', 'spread', new, as_long, lhs_axes=(x,), rhs_axes=(axis,))
            if not repeats:
                new = add('_contrib_arange_like', 'count', as_long, start=0, step=1, axis=axis)
                new = add('Cast', 'cast', new, dtype=one.dtype)
                new = add('_npi_multiply_scalar', 'steps', new, scalar=steps)
                new = add('_np_reshape', 'shape', new, newshape=tuple(
                    -1 if x == axes[0] else 1 for x in range(one.ndim)))
                new = add('_npi_add', 'sum', new, i)
            replace(i, new, users)
    for source, source2 in zip(program.outputs[:program.size], program2.outputs):
        if source and source.kind == 'const' and not numpy.array_equal(
                *(each.array.asnumpy() for each in (source, source2))):
            raise ValueError('forward returns a constant that depends on the size, of shape '
                             f'{source.array.shape} or {source2.array.shape}: export each')
    return sources


def _place(nodes, like, pair):
    """Return (index of the node of an input that has a dimension of these two sizes, its axis), or
    (None, None)."""
    name, axis = like.get(pair, (None, None))
    return next((i for i, node in enumerate(nodes) if node['name'] == name), None), axis


def _steps(values, axis):
    """Return the step by which two constants count up along an axis from the same start, or None if
    they do not, or have other axes."""
    first, longest = values[0].reshape(-1), max((v.reshape(-1) for v in values), key=len)
    if any(v.size != v.shape[axis] for v in values) or first.dtype.kind not in 'fiu' or min(
            v.size for v in values) < 2:
        return None
    step = (first[1] - first[0]).item()
    counted = first[0] + numpy.arange(len(longest)).astype(first.dtype) * first.dtype.type(step)
    return step if all((v.reshape(-1) == counted[:v.size]).all() for v in values) else None


# Functions that find attributes of an operator that name no size. Their arguments are its node at
# both sizes, and the pairs of dimensions (at the first size, at the other) of its input and of its
# result. They return None if there are no such attributes, else a dict with 'attrs', the new
# attributes, and if needed 'op', another operator, 'axes', axes of the result that then have size 1
# and must be broadcast, and 'inserted', axes that must be inserted into the result
def _generalize_reshape(node, node2, given, pairs):
    if given and [p for p in given if p != (1, 1)] == [p for p in pairs if p != (1, 1)]:
        gone = tuple(x for x, pair in enumerate(given) if pair == (1, 1))
        return {'op': '_np_squeeze' if gone else '_copy',
                'attrs': {'axis': str(gone)} if gone else {},
                'inserted': [x for x, pair in enumerate(pairs) if pair == (1, 1)]}
    same = [x for x, pair in enumerate(pairs) if given and pairs[:x + 1] == given[:x + 1]]
    free = [x for x, (m, n) in enumerate(pairs) if m != n and x not in same]
    if len(free) > 1:
        return None
    legacy = node['op'] == 'Reshape'
    kept = max([x + 1 for x in same if pairs[x][0] != pairs[x][1]], default=0)
    shape = tuple((0 if legacy else COPY_DIMENSION) if x < kept else ANY_LENGTH if x in free else m
                  for x, (m, n) in enumerate(pairs))
    attrs = {'shape' if legacy else 'newshape': str(shape)}
    if node['op'] != '_np_reshape':
        attrs['reverse'] = 'False'
    return {'op': '_npx_reshape' if kept and not legacy else node['op'], 'attrs': attrs}


def _generalize_slice(node, node2, given, pairs):
    ends, ends2 = (graphs.numbers(n['attrs']['end']) for n in (node, node2))
    rest, rest2 = ({**n['attrs'], 'end': None} for n in (node, node2))
    if not given or rest != rest2 or any(
            m != n and (m, n) != pair for m, n, pair in zip(ends, ends2, given)):
        return None
    return {'attrs': {'end': str(tuple(m if m == n else None for m, n in zip(ends, ends2)))}}


def _generalize_slice_axis(node, node2, given, pairs):
    rest, rest2 = ({**n['attrs'], 'end': None} for n in (node, node2))
    ends = tuple(graphs.literal(n['attrs']['end']) for n in (node, node2))
    if given and rest == rest2 and ends == given[int(node['attrs']['axis'])]:
        return {'attrs': {'end': 'None'}}


def _generalize_split(node, node2, given, pairs):
    axis = int(node['attrs'].get('axis', 1))
    for n, side in (node, 0), (node2, 1):
        starts = graphs.numbers(n['attrs']['indices'])
        length = given[axis][side] if given else 0
        if not length or starts != (*range(0, length, max(length // len(starts), 1)),):
            return None
    return {'attrs': {'indices': '()', 'sections': str(len(starts))}}


def _generalize_broadcast(node, node2, given, pairs):
    if not given:
        return None
    given, keep = [(1, 1)] * (len(pairs) - len(given)) + given, (
        0 if node['op'] == 'broadcast_to' else COPY_DIMENSION)
    free = [x for x, (m, n) in enumerate(pairs) if m != n and given[x] != (m, n)]
    if any(given[x] != (1, 1) for x in free):
        return None
    return {'attrs': {'shape': str(tuple(1 if x in free else keep if m != n else m
                                         for x, (m, n) in enumerate(pairs)))}, 'axes': free}


_GENERALIZERS = {
    '_np_reshape': _generalize_reshape, '_npx_reshape': _generalize_reshape,
    'Reshape': _generalize_reshape, 'slice': _generalize_slice,
    'slice_axis': _generalize_slice_axis, '_split_v2': _generalize_split,
    '_npi_broadcast_to': _generalize_broadcast, 'broadcast_to': _generalize_broadcast}


def _shapes(program, leaves):
    """Return {name of a node: the shape of its first output} for the graph of a program."""
    if not program.graph['nodes']:      # each result is an input, or depends on no input
        return {}
    found = graphs.inferred(graphs.to_symbol(program.graph),
                            program.kinds(program.sources, leaves))
    return {name: first[0] for name, (first, *_) in found.items()}


class ExportedBlock(Graph):
    """A graph that `export` wrote. It takes the arguments of the net, or only the arrays in them,
    and returns the results of the net, with lists in place of tuples.

    check: function that raises ValueError if the graph may not be run with inputs of some shapes.
    It is called once for all arguments of the same shapes.
    """

    def __init__(self, graph, signature, check):
        super().__init__(prefix='')
        self.graph, self.signature, self._check, self._checked = graph, signature, check, set()

    def forward(self, *args):
        tree, signature = Tree(apart=True), self.signature
        tree.flatten(args)
        leaves = tree.arrays
        if len(leaves) != len(signature['inputs']):
            raise ValueError(
                f'{len(leaves)} arrays are given, the graph takes {signature["inputs"]}')
        for array, (name, shape) in zip(leaves, signature['inputs'].items()):
            if array.ndim != len(shape) or any(
                    m not in (ANY_LENGTH, n) for m, n in zip(shape, array.shape)):
                raise ValueError(
                    f'{name} has the shape {array.shape}, and the graph is for {shape} '
                    f'({ANY_LENGTH}: any): export it for this one')
        if signature['predict_only'] and autograd.is_training():
            raise RuntimeError('exported for prediction, as its forward asked is_training()')
        inputs = {name: leaves[int(name[len('data'):])] for name in signature['used']}
        shapes = tuple(array.shape for array in inputs.values())
        if shapes not in self._checked:
            self._check(dict(zip(inputs, shapes)))
            self._checked.add(shapes)
        outputs = self.graph(*inputs.values())
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return filled(signature['result'], outputs)


def load_exported(path: Union[str, os.PathLike], epoch: int = 0,
                  ctx: Optional[mxnet.Context] = None) -> gluon.Block:
    """Return the net that `export` saved at path, as a Block on ctx, by default the CPU. The Block
    checks the shapes of its arguments. Its Parameters have gradients if those of the net had.

    Raises FileNotFoundError if a file is missing, and ValueError if files are damaged, edited, or
    belong to different exports: then their SHA-256 is not that in the signature. An export from
    before November 2026 has no SHA-256. Its graph is checked, and a warning says that the values of
    its parameters cannot be.
    """
    path, seen = os.fsdecode(path), None
    while True:
        ends = 'signature.json', 'symbol.json', f'{epoch:04d}.params'
        contents = [saved.content(path, end) for end in ends]
        try:
            return _loaded(path, f'{epoch:04d}', ctx, *contents)
        except saved.Damaged:
            if contents == seen:        # otherwise the files were just being replaced: try again
                raise
            seen = contents


def _loaded(path, epoch, ctx, signature, symbol, params):
    """Return the ExportedBlock of these contents of files, after checking all of them."""
    name, of_symbol, of_params = (f'{path}-{end}' for end in (
        'signature.json', 'symbol.json', f'{epoch}.params'))
    signature = saved.read_signature(signature, name)
    if 'fingerprint' in signature:
        for what, content, wanted in ((of_symbol, symbol, signature['symbol']),
                                      (of_params, params, signature['params'].get(epoch))):
            saved.require(saved.sha256(content) == wanted,
                          f'{what} is damaged, or of another export '
                          f'than {name}: its SHA-256 is not the one that is written there')
    found = saved.read_params(params, of_params)
    arrays = {key.partition(':')[2] or key: array for key, array in found.items()}
    saved.require(len(arrays) == len(found),
                  f'{of_params} is damaged: of {list(found)} two are for one parameter')
    (symbol, operators), used = saved.read_symbol(symbol, of_symbol), signature['used']
    of_graph = symbol.list_inputs()
    saved.require(set(of_graph) == {*used, *arrays} and not set(used) & set(arrays)
                  and set(signature['constants']) <= set(arrays),
                  f'{of_symbol} is damaged, or of another export: it takes {of_graph}, and '
                  f'{of_params} has {list(arrays)}')
    shapes, dtypes = ({key: getattr(array, what) for key, array in arrays.items()}
                      for what in ('shape', 'dtype'))
    examples = dict(zip(signature['inputs'], map(
        tuple, signature['example'] or signature['inputs'].values())))
    check = functools.partial(_check_shapes, symbol, operators, shapes, dtypes, of_symbol)
    checked = {key: examples[key] for key in used}
    if signature['example']:
        check(checked)
    else:
        saved.check_fragile(operators, {**shapes, **checked}, of_symbol)
    _check_result(signature['result'], len(symbol.list_outputs()), name)
    if 'fingerprint' not in signature:
        warnings.warn(f'{path} was exported before exports had checksums: whether its numbers are '
                      'what they were cannot be said. Export the net again', stacklevel=4)
    symbol = symbol.as_np_ndarray()
    inside = symbol.get_internals()
    graph = gluon.SymbolBlock(symbol, [inside[key] for key in used])
    for key, parameter in graph.collect_params().items():
        parameter._load_init(np.array(arrays[key], dtype=arrays[key].dtype), ctx, cast_dtype=True,
                             dtype_source='saved')
    for key in signature['constants']:
        graph.collect_params()[key].grad_req = 'null'
    return ExportedBlock(graph, signature, check)


def _check_shapes(symbol, operators, shapes, dtypes, name, of_inputs):
    """Raise Damaged for a graph that may not be run with inputs of these shapes.

    of_inputs: {name of an input: its shape}; shapes, dtypes: the same of the parameters; name: the
    file, for the message
    """
    shapes = {**shapes, **of_inputs}
    saved.check_fragile(operators, shapes, name)
    saved.check_shapes(symbol, operators, shapes, dtypes, name)
