"""Lists the operators of MXNet that have a converter to ONNX, and the examples that test it.

    python -m ci.converters         # write ci/golden/CONVERTERS.md anew

An operator counts if Python can call it in np mode, by `mxnet.np`, `mxnet.npx` or a layer of Gluon,
and if a compiled graph can hold it. All facts are taken from code: MXNet's registry and its Python
sources, the table of converters, and the examples of the tests, which are converted.
"""
import collections
import importlib
import pathlib
import re
import tempfile

import mxnet

import d2l
from ci.regress import GOLDEN
from d2l import c_api
from d2l.hybrid import tape, trace
from d2l.onnx import export
from d2l.onnx.operators import OPERATORS

TABLE = GOLDEN / 'CONVERTERS.md'
# largest allowed share of operators without a converter among those that graphs can hold
MOST = 0.1
EXAMPLES = 'tests.test_onnx', 'tests.test_onnx_operators', 'tests.test_onnx_draws'
PYTHON = pathlib.Path(mxnet.__file__).parent
SOURCES = 'numpy', 'numpy_extension', 'ndarray/numpy', 'ndarray/numpy_extension'

CONVERTED, NONE, DRAWN, DRAWS = ('converted', 'no converter', 'converted where draws=True',
                                 'draws random numbers, and has no converter')
HELD = CONVERTED, NONE, DRAWN, DRAWS    # statuses of the operators that a compiled graph can hold
CONSTANT = 'takes no array: its result is a constant of the graph'
# reasons why no graph holds an operator; tests/test_onnx_operators.py tests each that has names
SHAPELESS = 'the shape of its result depends on values'
HELD_BY_NONE = {
    'MXNet records it with no gradient': (
        '_histogram', '_npi_copysign_scalar', '_npi_insert_scalar', '_npi_insert_slice',
        '_npi_insert_tensor', '_npi_rcopysign_scalar', '_shuffle'),
    'a write, for which the graph has a choice': (
        '_copyto', '_npi_boolean_mask_assign_scalar', '_npi_boolean_mask_assign_tensor',
        '_scatter_set_nd', '_slice_assign', '_slice_assign_scalar'),
    'the graph has the same by other operators': tuple(trace._REPLACED),
    'Python asks for its value': ('_npi_share_memory',)}


def reachable():
    """Return {operator as graphs name it: the first name by which Python can call it}."""
    names = c_api.operator_names()
    text = '\n'.join(path.read_text() for folder in SOURCES
                     for path in sorted((PYTHON / folder).glob('*.py')))
    found = {name for name in names if name.startswith(('_np_', '_npx_'))}
    found |= names & {f'_npi_{name}' for name in re.findall(r'\b_npi\.(\w+)', text)}
    by_name = {}
    for name in sorted(found):
        by_name.setdefault(c_api.op_name(c_api.operator(name)), name)
    return by_name


def status(op):
    """Return CONVERTED, NONE, DRAWN or DRAWS, or the reason why no graph holds the operator."""
    if op in OPERATORS:
        return DRAWN if tape.draws(op, {}) == tape.ALWAYS else CONVERTED
    for why, operators in HELD_BY_NONE.items():
        if op in operators:
            return why
    if trace._DYNAMIC.search(op):
        return SHAPELESS
    if tape.draws(op, {}) == tape.ALWAYS:
        return DRAWS
    return NONE if any('NDArray' in kind for kind in c_api.arguments(op).values()) else CONSTANT


def counted():
    """Return {status: the operators with it}."""
    found = collections.defaultdict(list)
    for op in sorted(reachable()):
        found[status(op)].append(op)
    return found


def examples():
    """Yield (module, name, function or Block, arguments, arguments of another batch size or None)
    for each example in the tests."""
    # importlib, as the tests import ci, which must not import them in the normal way
    support = importlib.import_module('tests.support')
    randn, ready = support.randn, support.ready
    for name in EXAMPLES:
        module = importlib.import_module(name)
        for example, function in module.FREE.items():
            yield name, example, function, randn(3, 4), randn(5, 4)
        for example, (net, shape) in module.FIXED.items():
            X = randn(*shape)
            yield name, example, ready(net, X) if hasattr(net, 'collect_params') else net, X, None


def tried():
    """Return {operator: (the operators of ONNX to which it is converted, the examples of it)}."""
    found = {op: (set(), {}) for op in OPERATORS}
    convert, example = export.convert, None

    def watched(g, op, attrs, inputs):
        before = len(g.nodes)
        names = convert(g, op, attrs, inputs)
        found[op][0].update(node.op_type for node in g.nodes[before:])
        found[op][1][example] = None
        return names
    export.convert = watched
    try:
        with tempfile.TemporaryDirectory() as folder:
            for module, name, net, X, other in examples():
                example = f'{name} ({module.rpartition(".")[2]})'
                d2l.export_onnx(net, pathlib.Path(folder, 'net.onnx'), X, other=other, draws=True)
    finally:
        export.convert = convert
    return found


def table(examples):
    """Return the text of CONVERTERS.md. examples: the result of `tried`"""
    found, names = counted(), reachable()
    held = sum(len(found[key]) for key in HELD)
    lines = [HEAD.format(
        names=len(names), held=held, converted=len(found[CONVERTED]), drawn=len(found[DRAWN]),
        others=len(OPERATORS) - len(found[CONVERTED]) - len(found[DRAWN]),
        without=len(found[NONE]), draws=len(found[DRAWS]),
        part=100 * (len(found[NONE]) + len(found[DRAWS])) / held)]
    lines += ['## Without a converter', '']
    for key, operators in found.items():
        if key not in (CONVERTED, DRAWN):
            lines.append(f"- {key}: {', '.join(f'`{op}`' for op in operators)}")
    lines += ['', '## Converters', '', '| operator | in Python | operators of ONNX | tried by |',
              '|---|---|---|---|']
    for op, (nodes, tests) in sorted(examples.items()):
        first, more = next(iter(tests), 'nothing'), len(tests) - 1
        name = f'`{names[op]}`' if op in names else '–'
        tried = first + f', {more} more' * (more > 0)
        lines.append(f"| `{op}` | {name} | {', '.join(sorted(nodes)) or '–'} | {tried} |")
    return '\n'.join(lines) + '\n'


HEAD = """\
# Converters to ONNX

Made by `python -m ci.converters` from MXNet's registry, the converters of `d2l/onnx`, and the
examples that try them (`tests/test_onnx.py`, `tests/test_onnx_operators.py`,
`tests/test_onnx_draws.py`).

Python reaches {names} operators in np mode. A compiled graph can hold {held} of them: {converted}
have a converter, and {drawn} more, which draw random numbers, where `export_onnx(draws=True)` says
that ONNX Runtime may draw its own. {without} others and {draws} that draw have none, together
{part:.1f} %. {others} more converters are of the older operators, which Gluon-CV's networks hold.
"""


if __name__ == '__main__':
    TABLE.write_text(table(tried()))
    print(f'wrote {TABLE}')
