"""From a net to a file in ONNX."""
import functools
import inspect
import json
import os
import re
import tempfile
from typing import Callable, Union

import mxnet
from mxnet import autograd, gluon, npx
from mxnet.ndarray import NDArray
from mxnet.ndarray._internal import CachedOp

import d2l_compat

from .. import files
from ..data import fetch
from ..hybrid import compile, export, tape
from ..hybrid.block import CompiledBlock
from ..hybrid.export import Output, filled
from ..hybrid.trace import LOCK, Trace, users_line
from ..hybrid.tree import Tree
from ..rewrite.graph import inferred
from . import detection, indexing, linalg  # noqa: F401 (they register converters)
from . import draws as _draws  # noqa: F401 (so does it)
from .graph import Graph, Value
from .operators import NoConverter, convert

# Of 2022, the first that has LayerNormalization. ONNX Runtime 1.16.0, of September 2023, gives for
# each example of the tests what 1.19.2 does
OPSET, IR_VERSION = 17, 8


def export_onnx(net: Callable, path: Union[str, os.PathLike], *example, other: object = None,
                draws: bool = False) -> None:
    """Save what `net(*example)` computes in predict mode as a file that needs no MXNet.

    - net: any Block or function that `d2l.export` takes
    - example: arguments, for their shapes
    - other: arguments of another batch size, sequence length or picture size (a tuple, if several):
      the file then takes any. Raises ValueError for a net whose graph names what is to be free
    - draws: whether operators that draw random numbers may be in it. ONNX Runtime draws its own
      numbers: of the same distribution, not the same numbers, whatever the seed

    Sums and products of int64 are exact up to 2 ** 53: ONNX Runtime 1.32 computes them in float64.

    The inputs are named as net's arguments are, `X`, or `state_0` for the first array in a list;
    the outputs `output`, or `output_0`, `output_1_0` as they are nested. Raises what `d2l.export`
    does, and NoConverter, which says where `forward` calls it, for an operator that is not
    converted. A file at path is replaced once the new one is complete and valid. Its metadata: the
    producer is d2l, with its version; `network` is the name of the net's class or function;
    `section`, where it is known, the section of the book that defines it, or else the one that
    `python -m chapters` runs; `data`, unless this process has asked for none, is `real` or
    `sample`, or both, in the order in which it did.
    """
    from .. import __version__  # which is there once d2l is imported
    onnx = _onnx()
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, 'net')
        export(net, saved, *example, other=other)
        symbol, params = mxnet.sym.load(f'{saved}-symbol.json'), npx.load(f'{saved}-0000.params')
        with open(f'{saved}-signature.json') as file:
            result = filled(json.load(file)['result'], [*map(Output, range(len(symbol)))])
    params = {name.partition(':')[2]: array for name, array in dict(params).items()}
    trees = Tree(apart=True), Tree(apart=True)
    for tree, args in zip(trees, (example, example if other is None else other)):
        tree.flatten(args)
    taken = set()
    names = [_unique(name, taken) for name in _paths(signature(net).bind(*example).arguments,
                                                     NDArray)]
    outputs = [_unique(name, taken) for name in _paths(result, Output, 'output')]
    try:
        arguments = [*zip(names, *[tree.arrays for tree in trees])]
        graph = _graph(onnx, symbol, params, arguments, outputs, draws)
    except NoConverter as error:
        lines = _calls(net, example, error.operators)
        raise NoConverter(f'not converted to ONNX: {error}{lines}', error.operators) from None
    model = onnx.helper.make_model(graph, producer_name='d2l', ir_version=IR_VERSION,
                                   producer_version=__version__,
                                   opset_imports=[onnx.helper.make_opsetid('', OPSET)])
    onnx.helper.set_model_props(model, _metadata(net))
    content = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    files.write(path, content)


def _onnx():
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != 'onnx':
            raise
        raise ImportError("d2l.export_onnx needs ONNX: pip install onnx") from None
    return onnx


def _metadata(net):
    """What a file says of its net: its name where it is defined, and where it and its data are
    from."""
    while isinstance(net, CompiledBlock):
        net = net._net
    defined = type(net) if isinstance(net, gluon.Block) or not hasattr(
        net, '__qualname__') else net
    found = {'network': defined.__qualname__, 'data': ', '.join(fetch.used), 'section': _section(
        defined) or os.environ.get('D2L_SECTION')}
    return {key: text for key, text in found.items() if text}


def _section(defined):
    """The number of the section that saves a class or a function in d2l, or None."""
    if defined.__module__ != 'd2l.book':
        return None
    lines, at = inspect.findsource(defined)
    for line in reversed(lines[:at]):               # above each listing, the path of its section
        found = re.match(r'# chapters/ch(\d+)_\w+/s(\d+)_\w+\.py$', line)
        if found:
            return '.'.join(str(int(number)) for number in found.groups())


def signature(net):
    """The signature of what a net computes: of a Block's forward."""
    while isinstance(net, CompiledBlock):
        net = net._net
    return d2l_compat.signature(
        functools.partial(type(net).forward, net) if isinstance(net, gluon.Block) else net)


def _unique(name, taken):
    """A name that is not among those taken, and now is: the name itself, or with _ behind it."""
    while name in taken:
        name += '_'
    taken.add(name)
    return name


def _paths(value, kind, name=''):
    """The names of what is of a kind in nested dicts and lists, in order: the way to each, joined
    by _."""
    if isinstance(value, kind):
        yield name
    elif isinstance(value, (dict, list, tuple)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(part, kind, f'{name}_{key}' if name else str(key))


def _graph(onnx, symbol, params, arguments, outputs, draws=False):
    """The ONNX graph of MXNet's. params: {name: array}; arguments: for data0, data1, ... the name
    in ONNX, the array, and that of the other batch size; outputs: their names in ONNX; draws:
    whether random numbers may be drawn."""
    content, pairs = json.loads(symbol.tojson()), {}

    def length(*pair):
        """A number, or a name where it is free: where the other batch size has another."""
        free = 'batch' if not pairs else f'length{len(pairs)}'
        return pair[0] if pair[0] == pair[1] else pairs.setdefault(pair, free)
    inputs = [Value(name, map(length, a.shape, b.shape), a.dtype) for name, a, b in arguments]
    g = Graph(onnx, inputs, draws)
    values = {f'data{i}': [value] for i, value in enumerate(inputs)}    # of each node of MXNet's
    taken = {*inputs, *outputs}
    for name, arrays in _constants(symbol, content['nodes'], params).items():
        values[name] = [Value(_unique(name, taken), a.shape, a.dtype, a.asnumpy()) for a in arrays]
    feeds = [{**params, **{f'data{i}': a[k] for i, a in enumerate(arguments)}} for k in (1, 2)]
    kinds, missing = _kinds(symbol, feeds, length), {}
    for node in content['nodes']:
        if node['name'] in values:
            continue
        g.at, g.out = node['name'], kinds[node['name']]
        given = [values[content['nodes'][i]['name']][k] for i, k, _ in node['inputs']]
        try:
            names = convert(g, node['op'], node.get('attrs', {}), given)
        except NoConverter as error:
            missing[node['op']] = str(error)
            names = [f'{g.at}.{k}' for k in range(len(g.out))]
        values[g.at] = [Value(name, out.shape, out.dtype) for name, out in zip(names, g.out)]
    if missing:
        raise NoConverter(', '.join(missing.values()), missing)
    results = [values[content['nodes'][i]['name']][k] for i, k, _ in content['heads']]
    for name, value in zip(outputs, results):
        g.name_result(value, name)

    g.draw()

    def info(name, value):
        return onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    return onnx.helper.make_graph(
        g.nodes, 'net', [*map(info, inputs, inputs)], [*map(info, outputs, results)],
        [*g.initializers.values()])


def _constants(symbol, nodes, params):
    """{name of a node: its results}, for all that depends on Parameters alone."""
    fixed = set()
    for node in nodes:
        draws = tape.draws(node['op'], node.get('attrs', {}))
        if node['name'] in params or node['inputs'] and not draws and all(
                nodes[i]['name'] in fixed for i, *_ in node['inputs']):
            fixed.add(node['name'])
    found = {name: [array] for name, array in params.items()}
    parts = [part for part in symbol.get_internals() if part.name in fixed - set(params)]
    if parts:
        symbol = mxnet.sym.Group(parts).as_np_ndarray()
        with autograd.pause():
            arrays = CachedOp(symbol)(*[params[name] for name in symbol.list_inputs()])
        for part, array in zip(parts, arrays if isinstance(arrays, list) else [arrays]):
            found.setdefault(part.name, []).append(array)
    return found


def _kinds(symbol, feeds, length):
    """{name of a node: its results, as nameless Values}, as MXNet infers them."""
    found, other = (inferred(symbol, {name: (feed[name].shape, feed[name].dtype)
                                      for name in symbol.list_inputs()}) for feed in feeds)
    return {name: [Value('', map(length, shape, shape2), dtype)
                   for (shape, dtype), (shape2, _) in zip(results, other[name])]
            for name, results in found.items()}


def _calls(net, example, ops):
    """Where forward calls operators, as text: for each a line of the user's code."""
    invoke, found = Trace._invoke, {}

    def watched(trace, original, handle, *args):
        op, frame = tape.op_name(handle), users_line()
        if op in ops:
            found.setdefault(op, f'\n  {op}: File "{frame.f_code.co_filename}", line '
                                 f'{frame.f_lineno}, in {frame.f_code.co_name}')
        return invoke(trace, original, handle, *args)
    with LOCK:
        Trace._invoke = watched
        try:
            compile(net, *example)
        finally:
            Trace._invoke = invoke
    return ''.join(found.values())
