"""Saving a compiled net as a graph that needs none of its Python, and loading it again."""
import collections
import copy
import itertools
import json
import os
import warnings

import mxnet
import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.ndarray.ndarray import _DTYPE_NP_TO_MX

from .. import files
from ..rewrite.graph import inferred
from . import saved
from .block import CompiledBlock
from .trace import Graph
from .tree import Tree, unflatten

PLAIN = bool, int, float, str, type(None)      # what a result may hold beside arrays
FREE = -1  # in a saved shape: any length
_NEW_SHAPE = {'_np_reshape': 'newshape', '_npx_reshape': 'newshape', 'Reshape': 'shape'}


def export(net, path, *args, other=None, epoch=0):
    """Save what `net(*args)` computes in predict mode, for arguments of these shapes.

    Writes path-symbol.json and path-<epoch>.params, as `HybridBlock.export` does, with inputs
    data0, data1, ... (the arrays in args, in order), and path-signature.json with their shapes and
    the SHA-256 of the files. An earlier export at path stays whole until all of the new one is
    written. A Parameter has its own name, and _1, _2 ... at its end where others had it before.
    other: arguments of another batch size (a tuple, if several): the graph then takes any

    Raises TraceError for a net that cannot be traced, and ValueError where one graph will not do:
    for several lengths if `forward` counts steps, as in attention or a BiRNN.
    A net that asks `autograd.is_training()` is exported for prediction only.
    """
    compiled = net if isinstance(net, CompiledBlock) else getattr(
        vars(net).get('forward'), '__self__', None) or CompiledBlock(net, False, {})
    program, leaves = compiled.program(*args, apart=True)
    graph, sources, shapes = copy.deepcopy(program.graph), program.sources, [a.shape for a in leaves]
    if other is not None:
        program2, leaves2 = compiled.program(
            *(other if isinstance(other, tuple) else (other,)), apart=True)
        sources = _any_batch(graph, program, leaves, program2, leaves2)
        shapes = [[m if m == n else FREE for m, n in zip(a.shape, b.shape)]
                  for a, b in zip(leaves, leaves2)]
    sources = _hand_back(graph, program, sources)
    symbol = mxnet.sym.load_json(json.dumps(graph))
    taken = {f'data{i}' for i in range(len(leaves))}
    names, save, constants = {}, {}, []
    for name in symbol.list_inputs():
        kind, what, *_ = sources[name]
        names[name] = f'data{what}' if kind == 'input' else unique(
            what.name if kind == 'param' else f'const{len(constants)}', taken)
        if kind != 'input':
            prefix = 'aux:' if name in symbol.list_auxiliary_states() else 'arg:'
            save[prefix + names[name]] = what._reduce() if kind == 'param' else program.value(
                sources[name], leaves)
            if kind != 'param' or what.grad_req == 'null':
                constants.append(names[name])
    used = [f'data{i}' for i in range(len(leaves)) if f'data{i}' in names.values()]
    if not used:
        raise ValueError('no result depends on an input')
    graph = json.loads(symbol.tojson())
    count = collections.Counter()
    for node in graph['nodes']:
        op = node['op']
        if op == 'null':
            dtype = program.value(sources[node['name']], leaves).dtype
            node['attrs'] = {'__dtype__': str(_DTYPE_NP_TO_MX[dtype.type])}
        node['name'] = names.get(node['name']) or unique(f'{op.lstrip("_")}{count[op]}', taken)
        count[op] += 1
    outputs = iter([Output(i) for i in range(program.size)])
    _write(path, f'{epoch:04d}', save, json.dumps(graph).encode(), {
        'inputs': {f'data{i}': list(shape) for i, shape in enumerate(shapes)},
        'example': [list(a.shape) for a in leaves], 'used': used,
        'result': _plain(unflatten(program.result, outputs)), 'constants': constants,
        'predict_only': program.asks_mode})


def unique(name, taken):
    """A name that is not among those taken, and now is: the name itself, or with _1, _2 ..."""
    name = next(n for n in itertools.chain([name], (f'{name}_{i}' for i in itertools.count(1)))
                if n not in taken)
    taken.add(name)
    return name


class Output(int):
    """In a result: the output of the graph with this number."""


def _plain(result):
    """A nested result as JSON has it: {'output': 1}, lists, and {'dict': [[key, value], ...]}."""
    if isinstance(result, Output):
        return {'output': int(result)}
    if isinstance(result, dict) and all(type(key) in PLAIN for key in result):
        return {'dict': [[key, _plain(value)] for key, value in result.items()]}
    if isinstance(result, (list, tuple)):
        return [_plain(part) for part in result]
    if type(result) not in PLAIN:
        raise ValueError(f'the result holds {result!r}, and a file can hold arrays, numbers, texts, '
                         'lists, tuples, and dicts whose keys are numbers or texts')
    return result


def filled(result, outputs):
    """The result that `_plain` wrote, with what `outputs` has in the place of its outputs."""
    if isinstance(result, list):
        return [filled(part, outputs) for part in result]
    if not isinstance(result, dict):
        return result
    if set(result) == {'output'} and type(result['output']) is int:
        return outputs[result['output']]
    pairs = result['dict'] if set(result) == {'dict'} else result.items()       # before 2026-11
    return {key: filled(value, outputs) for key, value in pairs}


def _check_result(result, size, name):
    """Raise Damaged for a result that `_plain` cannot have written; size: how many outputs it has."""
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
    """Write the files of an export. Parameters that were saved for other epochs of the same graph
    stay part of it."""
    path = os.fsdecode(path)
    folder, name = os.path.split(path)
    with files.new_folder(os.path.abspath(folder)) as new:
        part = os.path.join(new, name)
        try:
            npx.save(f'{part}-{epoch}.params', params)
            with open(f'{part}-{epoch}.params', 'rb') as file:
                content = file.read()
            saved.read_params(content, file.name)       # MXNet does not say where the disk is full
        except (mxnet.MXNetError, saved.Damaged) as error:
            raise OSError(f'cannot write {path}-{epoch}.params ({error}): is the disk full? What was '
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


def _hand_back(graph, program, sources):
    """Make the arrays of the result the outputs of the graph; what does not pass through it is
    copied there, for MXNet allows no variable as an output. Returns the sources of all inputs."""
    nodes, heads, sources = graph['nodes'], iter(graph['heads']), dict(sources)
    graph['heads'] = []
    for k, source in enumerate(program.outputs[:program.size]):
        if source is None:
            graph['heads'].append(next(heads))
            continue
        if not any(s is source for s in sources.values()):
            sources[f'handed back {k}'] = source
            nodes.append({'op': 'null', 'name': f'handed back {k}', 'inputs': []})
        at = [sources.get(node['name']) is source for node in nodes].index(True)
        graph['heads'].append([len(nodes), 0, 0])
        nodes.append({'op': '_copy', 'name': f'copy {k}', 'inputs': [[at, 0, 0]]})
    graph['arg_nodes'] = [i for i, node in enumerate(nodes) if node['op'] == 'null']
    return sources


def _any_batch(graph, program, leaves, program2, leaves2):
    """Change the graph of `program` so that it also computes what `program2` does, traced at another
    batch size: where a reshape names the size, it infers it; where a constant repeats itself along
    it, it is repeated as often as the input is long. Returns the sources."""
    nodes, nodes2, sources = graph['nodes'], program2.graph['nodes'], dict(program.sources)
    if [(n['op'], n['inputs']) for n in nodes] != [(n['op'], n['inputs']) for n in nodes2]:
        raise ValueError('forward computes another graph for the other arguments: export each')
    shapes, shapes2 = _shapes(program, leaves), _shapes(program2, leaves2)
    like = next(((n, str((axis,))) for n, (kind, i, *_) in sources.items() if kind == 'input'
                 for axis, (m, k) in enumerate(zip(leaves[i].shape, leaves2[i].shape)) if m != k),
                None)
    for i, (node, node2) in enumerate(zip(tuple(nodes), nodes2)):
        name, source = node['name'], sources.get(node['name'], ('',))
        axes = [x for x, (m, n) in enumerate(zip(shapes[name], shapes2[node2['name']])) if m != n]
        if node['op'] != 'null' and node.get('attrs') != node2.get('attrs'):
            if node['op'] not in _NEW_SHAPE or len(axes) != 1:
                raise ValueError(f'{node["op"]} depends on the size, {node["attrs"]} is '
                                 f'{node2["attrs"]} for the other arguments: export each')
            node['attrs'][_NEW_SHAPE[node['op']]] = str(tuple(
                FREE if x in axes else n for x, n in enumerate(shapes[name])))
        elif axes and source[0] in ('const', 'state'):
            values = [program.value(source, leaves).asnumpy(),
                      program2.value(program2.sources[node2['name']], leaves2).asnumpy()]
            one = numpy.take(values[0], [0], axis=axes[0])
            if not like or len(axes) != 1 or any((value != one).any() for value in values):
                raise ValueError(f'forward makes a constant that depends on the size, of shape '
                                 f'{values[0].shape} or {values[1].shape}: export each')
            sources[name] = 'const', np.array(one, dtype=one.dtype)
            for n in nodes:
                n['inputs'] = [[len(nodes), 0, 0] if e[0] == i else e for e in n['inputs']]
            at = [n['name'] for n in nodes].index(like[0])
            nodes.append({'op': 'broadcast_like', 'name': f'spread {name}', 'inputs': [
                [i, 0, 0], [at, 0, 0]], 'attrs': {'lhs_axes': f'({axes[0]},)', 'rhs_axes': like[1]}})
    return sources


def _shapes(program, leaves):
    """{node: the shape of its first output} in the graph of a program."""
    if not program.graph['nodes']:      # all results are inputs, or depend on none
        return {}
    found = inferred(mxnet.sym.load_json(json.dumps(program.graph)),
                     program.kinds(program.sources, leaves))
    return {name: first[0] for name, (first, *_) in found.items()}


class ExportedBlock(Graph):
    """A graph that `export` wrote. Takes what the net took, or only the arrays in it, and gives what
    it gave, with lists for tuples."""

    def __init__(self, graph, signature):
        super().__init__(prefix='')
        self.graph, self.signature = graph, signature

    def forward(self, *args):
        tree, signature = Tree(apart=True), self.signature
        tree.flatten(args)
        leaves = tree.arrays
        if len(leaves) != len(signature['inputs']):
            raise ValueError(f'{len(leaves)} arrays are given, the graph takes {signature["inputs"]}')
        for array, (name, shape) in zip(leaves, signature['inputs'].items()):
            if array.ndim != len(shape) or any(
                    m not in (FREE, n) for m, n in zip(shape, array.shape)):
                raise ValueError(f'{name} has the shape {array.shape}, and the graph is for {shape} '
                                 f'({FREE}: any): export it for this one')
        if signature['predict_only'] and autograd.is_training():
            raise RuntimeError('exported for prediction, as its forward asked is_training()')
        outputs = self.graph(*[leaves[int(name[len('data'):])] for name in signature['used']])
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return filled(signature['result'], outputs)


def load_exported(path, epoch=0, ctx=None):
    """The net that `export` saved at path, as a Block on ctx (the CPU). It checks the shapes of its
    arguments, and trains what was trained.

    Raises FileNotFoundError, and ValueError for files that are damaged, edited, or of different
    exports: their SHA-256 is not what the signature says. An export from before November 2026 has
    none, so its graph is checked, and a warning says that its numbers are not.
    """
    path, seen = os.fsdecode(path), None
    while True:
        ends = 'signature.json', 'symbol.json', f'{epoch:04d}.params'
        contents = [saved.content(path, end) for end in ends]
        try:
            return _loaded(path, f'{epoch:04d}', ctx, *contents)
        except saved.Damaged:
            if contents == seen:        # else the files were just being replaced
                raise
            seen = contents


def _loaded(path, epoch, ctx, signature, symbol, params):
    """The ExportedBlock of these contents of files, once all in them is checked."""
    name, of_symbol, of_params = (f'{path}-{end}' for end in (
        'signature.json', 'symbol.json', f'{epoch}.params'))
    signature = saved.read_signature(signature, name)
    if 'fingerprint' in signature:
        for what, content, wanted in ((of_symbol, symbol, signature['symbol']),
                                      (of_params, params, signature['params'].get(epoch))):
            saved.require(saved.sha256(content) == wanted, f'{what} is damaged, or of another export '
                          f'than {name}: its SHA-256 is not the one that is written there')
    arrays = {}
    for key, array in saved.read_params(params, of_params).items():
        arrays[key.partition(':')[2] or key] = array
    symbol, used = saved.read_symbol(symbol, of_symbol), signature['used']
    of_graph = symbol.list_inputs()
    saved.require(set(of_graph) == {*used, *arrays} and not set(used) & set(arrays)
                  and set(signature['constants']) <= set(arrays),
                  f'{of_symbol} is damaged, or of another export: it takes {of_graph}, and {of_params} '
                  f'has {list(arrays)}')
    shapes, dtypes = ({key: getattr(array, what) for key, array in arrays.items()}
                      for what in ('shape', 'dtype'))
    if signature['example']:
        examples = dict(zip(signature['inputs'], map(tuple, signature['example'])))
        shapes.update({key: examples[key] for key in used})
        saved.check_shapes(symbol, shapes, dtypes, of_symbol)
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
    return ExportedBlock(graph, signature)
