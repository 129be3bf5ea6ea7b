"""Saving a compiled net as a graph that needs none of its Python, and loading it again."""
import collections
import copy
import json

import mxnet
import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.ndarray.ndarray import _DTYPE_NP_TO_MX

from ..rewrite.graph import inferred
from .block import CompiledBlock
from .trace import Graph
from .tree import Tree, unflatten

FREE = -1  # in a saved shape: any length
_NEW_SHAPE = {'_np_reshape': 'newshape', '_npx_reshape': 'newshape', 'Reshape': 'shape'}


def export(net, path, *args, other=None, epoch=0):
    """Save what `net(*args)` computes in predict mode, for arguments of these shapes.

    Writes path-symbol.json and path-<epoch>.params, as `HybridBlock.export` does, with inputs
    data0, data1, ... (the arrays in args, in order), and path-signature.json with their shapes.
    other: arguments of another batch size (a tuple, if several): the graph then takes any

    Raises TraceError for a net that cannot be traced, and ValueError where one graph will not do:
    for several lengths if `forward` counts steps, as in attention or a BiRNN.
    A net that asks `autograd.is_training()` is exported for prediction only.
    """
    compiled = net if isinstance(net, CompiledBlock) else getattr(
        vars(net).get('forward'), '__self__', None) or CompiledBlock(net, False, {})
    program, leaves = compiled.program(*args)
    graph, sources, shapes = copy.deepcopy(program.graph), program.sources, [a.shape for a in leaves]
    if other is not None:
        program2, leaves2 = compiled.program(*(other if isinstance(other, tuple) else (other,)))
        sources = _any_batch(graph, program, leaves, program2, leaves2)
        shapes = [[m if m == n else FREE for m, n in zip(a.shape, b.shape)]
                  for a, b in zip(leaves, leaves2)]
    sources = _hand_back(graph, program, sources)
    symbol = mxnet.sym.load_json(json.dumps(graph))
    names, save, constants = {}, {}, []
    for name in symbol.list_inputs():
        kind, what, *_ = sources[name]
        names[name] = f'data{what}' if kind == 'input' else what.name if kind == 'param' else \
            f'const{len(constants)}'
        if kind != 'input':
            prefix = 'aux:' if name in symbol.list_auxiliary_states() else 'arg:'
            save[prefix + names[name]] = what._reduce() if kind == 'param' else program.value(
                sources[name], leaves)
            if kind != 'param' or what.grad_req == 'null':
                constants.append(names[name])
    used = [f'data{i}' for i in range(len(leaves)) if f'data{i}' in names.values()]
    if not used:
        raise ValueError('no result depends on an input')
    graph, count = json.loads(symbol.tojson()), collections.Counter()
    for node in graph['nodes']:
        if node['op'] == 'null':
            dtype = program.value(sources[node['name']], leaves).dtype
            node['attrs'] = {'__dtype__': str(_DTYPE_NP_TO_MX[dtype.type])}
        node['name'] = names.get(node['name']) or f'{node["op"].lstrip("_")}{count[node["op"]]}'
        count[node['op']] += 1
    outputs = iter([{'output': i} for i in range(program.size)])
    npx.save(f'{path}-{epoch:04d}.params', save)
    for end, content in ('symbol', graph), ('signature', {
            'inputs': {f'data{i}': shape for i, shape in enumerate(shapes)},
            'used': used, 'result': unflatten(program.result, outputs), 'constants': constants,
            'predict_only': program.asks_mode}):
        with open(f'{path}-{end}.json', 'w') as file:
            json.dump(content, file)


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
        tree, saved = Tree(apart=True), self.signature
        tree.flatten(args)
        leaves = tree.arrays
        if len(leaves) != len(saved['inputs']):
            raise ValueError(f'{len(leaves)} arrays are given, the graph takes {saved["inputs"]}')
        for array, (name, shape) in zip(leaves, saved['inputs'].items()):
            if array.ndim != len(shape) or any(
                    m not in (FREE, n) for m, n in zip(shape, array.shape)):
                raise ValueError(f'{name} has the shape {array.shape}, and the graph is for {shape} '
                                 f'({FREE}: any): export it for this one')
        if saved['predict_only'] and autograd.is_training():
            raise RuntimeError('exported for prediction, as its forward asked is_training()')
        outputs = self.graph(*[leaves[int(name[len('data'):])] for name in saved['used']])
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return _filled(saved['result'], outputs)


def _filled(result, outputs):
    if isinstance(result, dict):
        return outputs[result['output']] if 'output' in result else {
            key: _filled(value, outputs) for key, value in result.items()}
    return [_filled(r, outputs) for r in result] if isinstance(result, list) else result


def load_exported(path, epoch=0, ctx=None):
    """The net that `export` saved at path, as a Block on ctx (the CPU). It checks the shapes of its
    arguments, and trains what was trained. Raises FileNotFoundError or ValueError for bad files."""
    with open(f'{path}-signature.json') as file:
        signature = json.load(file)
    files = f'{path}-symbol.json', f'{path}-{epoch:04d}.params'
    for name in files:
        open(name).close()  # a missing one is an error of its own
    try:
        symbol = mxnet.sym.load(files[0]).as_np_ndarray()
        inside = symbol.get_internals()
        graph = gluon.SymbolBlock(symbol, [inside[name] for name in signature['used']])
        graph.collect_params().load(files[1], ctx, cast_dtype=True, dtype_source='saved')
    except (mxnet.MXNetError, ValueError) as error:
        raise ValueError(f'{files[0]} or {files[1]} is damaged: {error}') from None
    for name in signature['constants']:
        graph.collect_params()[name].grad_req = 'null'
    return ExportedBlock(graph, signature)
