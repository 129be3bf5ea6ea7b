"""Export of a net to an ONNX file."""
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

from .. import c_api, files, graphs
from ..data import fetch
from ..hybrid import compile, export, tape
from ..hybrid.block import CompiledBlock
from ..hybrid.export import Output, filled
from ..hybrid.trace import LOCK, Trace, users_line
from ..hybrid.tree import Tree
from . import detection, indexing, linalg  # noqa: F401 (they register converters)
from . import draws as _draws  # noqa: F401 (so does it)
from .graph import Graph, Value
from .operators import NoConverter, convert

# Opset 17, of 2022, is the first with LayerNormalization. For each example in the tests, ONNX
# Runtime 1.16.0, of September 2023, returns what 1.19.2 does
OPSET, IR_VERSION = 17, 8


def export_onnx(net: Callable, path: Union[str, os.PathLike], *example, other: object = None,
                draws: bool = False) -> None:
    """Save what `net(*example)` computes in predict mode as a file that needs no MXNet.

    - net: any Block or function that `d2l.export` takes
    - example: arguments, of which the shapes and dtypes count
    - other: arguments with another batch size, sequence length or picture size (a tuple, if there
      are several arguments). The file then takes any size where the two differ. Raises ValueError
      if an attribute in the graph depends on such a size
    - draws: whether the file may have operators that draw random numbers. ONNX Runtime draws from
      the same distributions, but not the same numbers, whatever the seed

    Sums and products of int64 are exact up to 2 ** 53: ONNX Runtime 1.32 computes them in float64.
    Where values are NaN, `max`, `min`, `argmax`, `argmin`, `sort`, `argsort`, `topk`, `sign`,
    `softmax`, `log_softmax` and max pooling give other results than MXNet's.

    The inputs have the names of net's arguments: `X`, or `state_0` for the first array in a list.
    The outputs are named `output`, or `output_0`, `output_1_0` if they are nested. Raises what
    `d2l.export` does, and NoConverter for an operator that has no converter; its message says where
    `forward` calls it. A file at path is replaced once the new one is complete and valid.

    The metadata of the file: the producer is d2l with its version, and `network` is the name of the
    net's class or function. `section` is the section of the book that defines it, or else the one
    that `python -m chapters` runs, if there is one. `data` is `real` or `sample`, or both in the
    order in which this process has asked for them, if it has asked for data.
    """
    from .. import __version__  # here, as d2l defines it after it has imported this module
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
    """Return the metadata of an ONNX file: the qualified name of the net's class or function, its
    section of the book, and the kind of data that this process has loaded."""
    while isinstance(net, CompiledBlock):
        net = net._net
    defined = type(net) if isinstance(net, gluon.Block) or not hasattr(
        net, '__qualname__') else net
    found = {'network': defined.__qualname__, 'data': ', '.join(fetch.used), 'section': _section(
        defined) or os.environ.get('D2L_SECTION')}
    return {key: text for key, text in found.items() if text}


def _section(defined):
    """Return the number of the section from which a class or function of d2l.book is taken; None if
    it is not from there."""
    if defined.__module__ != 'd2l.book':
        return None
    lines, at = inspect.findsource(defined)
    for line in reversed(lines[:at]):               # d2l/book.py names the section above a listing
        found = re.match(r'# chapters/ch(\d+)_\w+/s(\d+)_\w+\.py$', line)
        if found:
            return '.'.join(str(int(number)) for number in found.groups())


def signature(net):
    """Return the signature of a function, or of a Block's `forward`."""
    while isinstance(net, CompiledBlock):
        net = net._net
    return d2l_compat.signature(
        functools.partial(type(net).forward, net) if isinstance(net, gluon.Block) else net)


def _unique(name, taken):
    """Return a name that is not in the set `taken`, and add it there: the name itself, or with _
    appended."""
    while name in taken:
        name += '_'
    taken.add(name)
    return name


def _paths(value, kind, name=''):
    """Yield a name for each value of the type `kind` in nested dicts and lists, in order: the keys
    and indices that lead to it, joined by _."""
    if isinstance(value, kind):
        yield name
    elif isinstance(value, (dict, list, tuple)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(part, kind, f'{name}_{key}' if name else str(key))


def _graph(onnx, symbol, params, arguments, outputs, draws=False):
    """Return the ONNX graph for a graph of MXNet.

    params: {name: array}; arguments: for each of data0, data1, ... its name in ONNX, the array, and
    the array of the other batch size; outputs: their names in ONNX; draws: whether the graph may
    draw random numbers
    """
    content, pairs = graphs.from_symbol(symbol), {}

    def length(*pair):
        """Return a dimension, or a name for it if it is free because it differs between the two
        batch sizes."""
        free = 'batch' if not pairs else f'length{len(pairs)}'
        return pair[0] if pair[0] == pair[1] else pairs.setdefault(pair, free)
    inputs = [Value(name, map(length, a.shape, b.shape), a.dtype) for name, a, b in arguments]
    g = Graph(onnx, inputs, draws)
    # name of a node of MXNet -> the Values of its results
    values = {f'data{i}': [value] for i, value in enumerate(inputs)}
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
    """Return {name of a node: its results} for all nodes that depend on nothing but Parameters."""
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
    """Return {name of a node: Values without names for its results}, with the shapes and dtypes
    that MXNet infers."""
    found, other = (graphs.inferred(symbol, graphs.kinds({
        name: feed[name] for name in symbol.list_inputs()})) for feed in feeds)
    return {name: [Value('', map(length, shape, shape2), dtype)
                   for (shape, dtype), (shape2, _) in zip(results, other[name])]
            for name, results in found.items()}


def _calls(net, example, ops):
    """Return a text that names for each of these operators the line of the user's code that calls
    it."""
    invoke, found = Trace._invoke, {}

    def watched(trace, original, handle, *args):
        op, frame = c_api.op_name(handle), users_line()
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
