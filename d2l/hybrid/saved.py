"""The files of an export: written so that a kill loses none, read as if a stranger had made them.

The signature holds the SHA-256 of the other files, and one of itself: the fingerprint of the
export. MXNet's own readers trust what they read, and end the process at a wrong index. So the
parameters are read here, and the graph is put together node by node with MXNet's functions that
check.
"""
import ast
import collections
import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import re
import stat
import struct

import mxnet
import numpy
from mxnet.base import _LIB, OpHandle, SymbolHandle, c_str, c_str_array, check_call, mx_uint
from mxnet.ndarray.ndarray import _DTYPE_MX_TO_NP

from .. import files

ENDS = 'symbol.json', 'signature.json'
KEYS = {'inputs', 'used', 'result', 'constants', 'predict_only'}    # of a signature before 2026-11
NEW_KEYS = KEYS | {'example', 'symbol', 'params', 'fingerprint'}
# Numbers in MXNet's file format: the magic number of a list of arrays, the reserved field after it,
# and the storage type of a dense array
LIST_MAGIC, RESERVED, DENSE = 0x112, 0, 0
VERSIONS = 0xF993FAC9, 0xF993FACA       # of an array: without and with shapes of length 0
DTYPES = {number: numpy.dtype(kind) for number, kind in _DTYPE_MX_TO_NP.items()
          if isinstance(kind, type)}
NOT_EMPTY_ERRNOS = errno.ENOTEMPTY, errno.EEXIST      # of a folder that is not empty
MAX_ELEMENTS = 2 ** 31 - 1                   # elements of an array that MXNet counts right


class Damaged(ValueError):
    """A file that is not as `export` wrote it."""


# ---- one export, in several files
def pending(path):
    """The folder of an export whose files are complete, and not all at their place."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f'.{name}.complete')


def _is_pending(path):
    """Whether such a folder was made by this user, by root, or by whom the export or the folder
    around it belongs to: in one that all can write to, such as /tmp, a stranger's is not obeyed.
    None where there is none."""
    try:
        found = os.lstat(pending(path))
        owners = {0, os.geteuid(), os.stat(os.path.dirname(path) or '.').st_uid}
        with contextlib.suppress(FileNotFoundError):
            owners.add(os.stat(f'{path}-signature.json').st_uid)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners


def finish(path):
    """Move to their place the files of an export that was killed while it did so. Another process
    may do it too."""
    if _is_pending(path):
        folder = pending(path)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(os.path.join(folder, name),
                               os.path.join(os.path.dirname(path), name))
        try:
            os.rmdir(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, *NOT_EMPTY_ERRNOS):
                raise


def publish(path, new):
    """Let the files in the folder `new` be the export at path: all at once, by one renaming, which
    readers obey from then on; then each is moved to its place."""
    for name in os.listdir(new):
        files.sync(os.path.join(new, name))
    while True:
        finish(path)
        try:
            os.rename(new, pending(path))
            break
        except OSError as error:            # of another process's export, which then goes first
            # None: by now it has gone
            if error.errno not in NOT_EMPTY_ERRNOS or _is_pending(path) is False:
                raise
    finish(path)


def content(path, end):
    """The bytes of one file of the export at path. Raises FileNotFoundError, or Damaged."""
    name = f'{path}-{end}'
    places = [os.path.join(pending(path), os.path.basename(name))] if _is_pending(path) else []
    try:
        for place in *places, name:
            try:
                with open(place, 'rb') as file:
                    return file.read()
            except (FileNotFoundError, NotADirectoryError):
                pass
    except OSError as error:
        raise Damaged(f'{name} cannot be read: {error}') from None
    raise FileNotFoundError(f'there is no file {name}')


def sha256(data):
    """As text."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(signature):
    """The SHA-256 of all else in a signature."""
    rest = {key: value for key, value in signature.items() if key != 'fingerprint'}
    return sha256(json.dumps(rest, sort_keys=True).encode())


def parsed(data, name):
    """The JSON object in some bytes."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(f'{name} is damaged: {error}') from None
    require(isinstance(found, dict), f'{name} is damaged: it is no JSON object')
    return found


def require(condition, problem):
    """Raise Damaged unless the condition holds."""
    if not condition:
        raise Damaged(problem)


# ---- the signature
def read_signature(data, name):
    """The signature in some bytes, checked: its fingerprint, and that it is one."""
    found = parsed(data, name)
    new = 'fingerprint' in found
    require(set(found) == (NEW_KEYS if new else KEYS),
            f'{name} is damaged: it has {", ".join(map(repr, sorted(found)))}')
    require(not new or found['fingerprint'] == fingerprint(found),
            f'{name} is damaged: its fingerprint is not that of its content')
    inputs = found['inputs']
    require(isinstance(inputs, dict) and list(inputs) == [f'data{i}' for i in range(len(inputs))]
            and all(_is_shape(shape, -1) for shape in inputs.values()),
            f'{name} is damaged: the inputs are {inputs!r}')
    for key in 'used', 'constants':
        require(isinstance(found[key], list) and all(isinstance(x, str) for x in found[key])
                and len(set(found[key])) == len(found[key]),
                f'{name} is damaged: {key} is {found[key]!r}')
    require(found['used'] and set(found['used']) <= set(inputs),
            f'{name} is damaged: the graph uses {found["used"]!r} of the inputs {list(inputs)}')
    require(isinstance(found['predict_only'], bool),
            f'{name} is damaged: predict_only is {found["predict_only"]!r}')
    if new:
        example = found['example']
        require(isinstance(example, list) and len(example) == len(inputs)
                and all(map(_is_shape, example)) and all(
                    len(one) == len(shape) and all(m in (-1, n) for m, n in zip(shape, one))
                    for one, shape in zip(example, inputs.values())),
                f'{name} is damaged: the example has the shapes {example!r}')
        require(isinstance(found['symbol'], str) and isinstance(found['params'], dict),
                f'{name} is damaged: it names no files')
    else:
        found['example'] = None if any(-1 in shape for shape in inputs.values()) else [
            *inputs.values()]
    return found


def _is_shape(value, least=0):
    return isinstance(value, list) and all(
        type(n) is int and least <= n <= MAX_ELEMENTS for n in value)


# ---- the parameters
def read_params(data, name):
    """{name: NumPy array} of a file that `npx.save` wrote."""
    at = 0

    def take(form):
        nonlocal at
        end = at + struct.calcsize(form)
        require(end <= len(data), f'{name} is damaged: it ends too early')
        values, at = struct.unpack_from(form, data, at), end
        return values

    def count(least):
        """How many things follow, each of so many bytes or more."""
        number, = take('<Q')
        require(number * least <= len(data) - at, f'{name} is damaged: it ends too early')
        return number
    require(take('<QQ') == (LIST_MAGIC, RESERVED),
            f'{name} is damaged: it holds no arrays of MXNet')
    arrays = []
    for _ in range(count(20)):
        version, storage, ndim = take('<Iii')
        require(version in VERSIONS and storage == DENSE and 0 <= ndim <= 32,
                f'{name} is damaged: no array starts at byte {at}')
        shape = take(f'<{ndim}q')
        _, _, number = take('<iii')
        require(number in DTYPES and min(shape, default=0) >= 0,
                f'{name} is damaged: an array has the shape {shape} and the dtype {number}')
        size, dtype = math.prod(shape), DTYPES[number]
        require(size <= MAX_ELEMENTS and size * dtype.itemsize <= len(data) - at,
                f'{name} is damaged: it ends too early')
        arrays.append(numpy.frombuffer(data, dtype, size, at).reshape(shape))
        at += size * dtype.itemsize
    names = []
    for _ in range(count(8)):
        length = count(1)
        names.append(data[at:at + length].decode(errors='replace'))
        at += length
    require(at == len(data) and len(names) == len(arrays) and len(set(names)) == len(names),
            f'{name} is damaged: it has {len(arrays)} arrays, the names {names}, and '
            f'{len(data) - at} bytes more')
    return dict(zip(names, arrays))


# ---- the graph
POSITIVE = {    # attributes that MXNet divides by, or loops for ever with
    'kernel', 'stride', 'dilate', 'num_group', 'num_groups', 'num_filter', 'num_hidden', 'num_args',
    'num_layers', 'state_size', 'num_outputs', 'block_size', 'input_dim', 'output_dim', 'depth',
    'num_arrays', 'num_weights', 'group_size', 'step_size', 'scale', 'sample_type'}
COUNTS = {'num_outputs', 'num_args', 'num_arrays', 'num_weights', 'num_data', 'sections'}
MAX_COUNT = 4096                             # that any of these counts
SLICES = {'begin', 'end', 'step'}       # attributes whose tuples may hold None
NEVER_NONE = {'use_length'}             # which MXNet says that they may be, and then reads
# operators that no forward calls, and that end the process where they are not as MXNet makes them:
# of gradients, with graphs inside, of sparse graphs, of sub-processes
INTERNAL = re.compile(
    '_(contrib_)?(backward|dgl|sg)_.*|_(foreach|while_loop|cond|CachedOp|FusedOp.*|Native|'
    'NDArray|NoGradient|CustomFunction|crossdevicecopy|CrossDeviceCopy|copyto)|Custom|'
    '_contrib_(tvm|dgl|edge_id|getnnz).*|.*_update|reset_arrays')


def read_symbol(data, name):
    """The symbol of a graph, put together anew: every index, operator and attribute is checked, and
    that no operator lacks an input. Also those that are FRAGILE, for `check_fragile`: (the
    operator, its attributes, its symbol, where it stands). Raises Damaged."""
    graph = parsed(data, name)
    nodes, heads = graph.get('nodes'), graph.get('heads')
    require(isinstance(nodes, list) and isinstance(heads, list) and nodes and heads,
            f'{name} is damaged: it has no nodes, or no heads')
    made, variables, fragile = [], collections.Counter(), []
    for node in nodes:
        where = f'{name} is damaged: node {len(made)}'
        require(isinstance(node, dict) and isinstance(node.get('op'), str)
                and isinstance(node.get('name'), str) and isinstance(node.get('inputs'), list)
                and isinstance(node.get('attrs', {}), dict), f'{where} is no node')
        where += f' ({node["op"]})'
        require('subgraphs' not in node, f'{where} has a graph inside')
        attrs = {key: value for key, value in node.get('attrs', {}).items()
                 if not key.startswith('__')}
        require(all(isinstance(value, str) for value in attrs.values()),
                f'{where} has the attributes {attrs!r}')
        try:
            if node['op'] == 'null':
                variables[node['name']] += 1
                require(not node['inputs'] and not attrs, f'{where} is a variable with inputs')
                made.append(_variable(node))
            else:
                inputs = [_value(made, entry, where) for entry in node['inputs']]
                made.append(_operator(node['op'], node['name'], inputs, attrs, where))
                if node['op'] in FRAGILE:
                    fragile.append((node['op'], attrs, made[-1], where))
        except mxnet.MXNetError as error:
            raise Damaged(f'{where}: {_first_line(error)}') from None
    require(max(variables.values(), default=0) == 1,
            f'{name} is damaged: variables {[n for n, k in variables.items() if k > 1]} are there '
            'twice')
    symbol = mxnet.sym.Group([_value(made, head, f'{name} is damaged: a head') for head in heads])
    inputs = symbol.list_inputs()
    require(set(inputs) <= set(variables) and len(set(inputs)) == len(inputs),
            f'{name} is damaged: the inputs {sorted(set(inputs) - set(variables))} of its '
            'operators are missing')
    return symbol, fragile


def is_loadable(op):
    """Whether `read_symbol` lets an operator in: else `export` must not write it."""
    return 'ptr' not in (_arguments(op) or {}).values() and not INTERNAL.fullmatch(op)


def _first_line(error):
    text = re.sub(r'^(\[[\d:]+\] )?[^ ]*\.(cc|h):\d+: ', '', str(error).strip().split('\n')[-1])
    return text.replace('Error in operator', 'in operator')


def _variable(node):
    """The symbol of a variable: of its attributes the dtype counts."""
    dtype = node.get('attrs', {}).get('__dtype__', '0')
    require(isinstance(dtype, str) and dtype in map(str, DTYPES),
            f'variable {node["name"]!r} has the dtype {dtype!r}')
    handle = SymbolHandle()
    check_call(_LIB.MXSymbolCreateVariable(c_str(node['name']), ctypes.byref(handle)))
    symbol = mxnet.sym.Symbol(handle)
    symbol._set_attr(__dtype__=dtype)
    return symbol


def _value(made, entry, where):
    """The symbol of one result of a node: entry is [node, result, version], as in the file."""
    require(isinstance(entry, list) and len(entry) in (2, 3) and all(
        type(n) is int and 0 <= n <= MAX_ELEMENTS for n in entry), f'{where} refers to {entry!r}')
    node, result = entry[:2]
    require(node < len(made) and result < len(made[node].list_outputs()),
            f'{where} refers to result {result} of node {node}, which is not there before it')
    return made[node][result]


def _operator(op, name, inputs, attrs, where):
    """The symbol of an operator applied to symbols, as MXNet checks it."""
    kinds = _arguments(op)
    require(kinds is not None, f'{where}: MXNet has no such operator')
    require('ptr' not in kinds.values(), f'{where} takes an address in memory')
    require(not INTERNAL.fullmatch(op), f'{where} is none that a network calls')
    for key, text in attrs.items():
        require(_fits(key, kinds.get(key, ''), text), f'{where} has {key}={text}')
    require('sections' not in kinds or _numbers(attrs.get('indices', '()'))
            or int(attrs.get('sections', 0)) > 0, f'{where} splits into no parts: {attrs}')
    handle = SymbolHandle()
    check_call(_LIB.MXSymbolCreateAtomicSymbol(
        _handle(op), mx_uint(len(attrs)), c_str_array(attrs), c_str_array(attrs.values()),
        ctypes.byref(handle)))
    symbol = mxnet.sym.Symbol(handle)
    handles = (SymbolHandle * len(inputs))(*[value.handle for value in inputs])
    check_call(_LIB.MXSymbolCompose(symbol.handle, c_str(name), mx_uint(len(inputs)), None,
                                    handles))
    return symbol


def _fits(key, kind, text):
    """Whether an attribute's text is what MXNet says that it takes, as 'Shape(tuple), required'."""
    if kind.startswith('{'):
        return text in map(str, ast.literal_eval(kind[:kind.index('}') + 1]))
    if text == 'None':
        return key not in NEVER_NONE and ('None' in kind or not kind)
    if key == 'dtype' and not kind:         # CenterNet gives zeros_like one, which MXNet leaves
        return text in [dtype.name for dtype in DTYPES.values()]
    if key == 'UPLO':                       # of eigh, whose kind MXNet leaves open
        return text in ('L', 'U')
    if kind.startswith('string'):
        return text.isprintable()
    if kind.startswith(('float', 'double')):
        return re.fullmatch(r'[-+.\deinfa]+', text) is not None
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    if kind.startswith('boolean'):
        return value in (False, True)
    numbers = value if isinstance(value, (tuple, list)) else [value]
    if kind.startswith(('int', 'long')) and value is numbers:
        return False
    if key in SLICES:
        numbers = [n for n in numbers if n is not None]
    real = () if kind[:1] not in ('', ',') and 'tuple of <' not in kind else (float, bool, str)
    return (all(type(n) in (int, *real) for n in numbers) and all(
        abs(n) <= MAX_ELEMENTS and not (
            n < 0 and 'non-negative' in kind or n <= 0 and key in POSITIVE
            or n == 0 and key == 'step' or n > MAX_COUNT and key in COUNTS)
        for n in numbers if type(n) is not str))


def _numbers(text):
    """The numbers of an attribute that `_fits`: of a tuple, or of one number."""
    value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _handle(op):
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(op), ctypes.byref(handle)))
    return handle


def _arguments(op):
    """{name of an argument of an operator: what it may be, as MXNet describes it}, or None."""
    text, count, names, kinds = ctypes.c_char_p(), mx_uint(), *(
        ctypes.POINTER(ctypes.c_char_p)() for _ in range(2))
    try:
        handle = _handle(op)
    except mxnet.MXNetError:
        return None
    ref, other = ctypes.byref, ctypes.POINTER(ctypes.c_char_p)()
    check_call(_LIB.MXSymbolGetAtomicSymbolInfo(
        handle, ref(text), ref(text), ref(count), ref(names), ref(kinds), ref(other), ref(text),
        ref(text)))
    return {names[i].decode(): kinds[i].decode() for i in range(count.value)}


def check_fragile(fragile, shapes, name):
    """Check the operators that end the process as soon as MXNet infers their shapes. Raises
    Damaged.
    fragile: of `read_symbol`; shapes: of the inputs, by name, with -1 for what is free"""
    for op, attrs, symbol, where in fragile:
        operands = symbol.get_children()
        known = {key: shapes[key] for key in operands.list_inputs() if key in shapes}
        try:
            with mxnet.util.np_shape(True):
                _, found, _ = operands.infer_shape_partial(**known)
        except mxnet.MXNetError as error:
            raise Damaged(f'{name} is damaged: {_first_line(error)}') from None
        require(found and None not in found,
                f'{where} has operands whose shapes do not follow from '
                'those of the inputs')
        require(FRAGILE[op](attrs, *found), f'{where} cannot take {attrs} for arrays of the shapes '
                f'{found}')


def _can_sum(attrs, a, b):
    """Whether a product has axes of arrays of shapes a and b, the same number and lengths of
    both."""
    if 'axes' in attrs:
        count = int(attrs['axes'])
        if not 0 <= count <= min(len(a), len(b)):
            return False
        axes = range(len(a) - count, len(a)), range(count)
    else:
        axes = [_numbers(attrs[f'{side}_axes_summed']) for side in 'ab']
        if len(axes[0]) != len(axes[1]) or any(
                not -len(shape) <= axis < len(shape) for some, shape in zip(axes, (a, b))
                for axis in some):
            return False
        axes = [[axis % len(shape) for axis in some] for some, shape in zip(axes, (a, b))]
    return all(len(set(some)) == len(some) for some in axes) and all(
        a[x] == b[y] or -1 in (a[x], b[y]) for x, y in zip(*axes))


def _can_solve(attrs, a, b):
    """Whether a, with these axes last, has those of b first, and as many elements of both."""
    axes = _numbers(attrs.get('a_axes', '()'))
    if not all(-len(a) <= axis < len(a) for axis in axes) or len(b) > len(a):
        return False
    axes = [axis % len(a) for axis in axes]
    a = [a[x] for x in range(len(a)) if x not in axes] + [a[x] for x in axes]
    rest = a[len(b):]
    return len(set(axes)) == len(axes) and 0 not in a and (
        -1 in a or -1 in b or a[:len(b)] == [*b] and math.prod(b) == math.prod(rest))


def _has_elements(attrs, *arrays):
    """Whether no length is 0, by which MXNet divides another."""
    return all(0 not in shape for shape in arrays)


# operator -> whether its attributes and the shapes of its operands go together, which MXNet does
# not ask: it takes axes for indices of memory, and divides by a length
FRAGILE = {'_npi_tensordot': _can_sum, '_npi_tensordot_int_axes': _can_sum,
           '_npi_tensorsolve': _can_solve,
           'batch_take': lambda attrs, a, at: len(a) > 0 and a[-1] != 0,
           **dict.fromkeys(('Softmax', 'SoftmaxOutput', 'UpSampling', '_image_resize',
                            '_npx__image_resize'), _has_elements)}


def check_shapes(symbol, shapes, dtypes, name):
    """Infer all shapes in a graph from those of its inputs. Raises Damaged where they do not fit,
    or where MXNet could not count an array's elements. shapes, dtypes: of each input, by name"""
    inside = symbol.get_internals()
    try:
        _, found, _ = inside.infer_shape(**shapes)
        _, kinds, _ = inside.infer_type(**dtypes)
    # KeyError: of a dtype that Python does not know
    except (mxnet.MXNetError, KeyError) as error:
        raise Damaged(f'{name} is damaged: {_first_line(error)}') from None
    require(found is not None and kinds is not None,
            f'{name} is damaged: its shapes do not follow from those of its inputs')
    for part, shape in zip(inside, found):
        require(min(shape, default=0) >= 0 and math.prod(shape) <= MAX_ELEMENTS,
                f'{name} is damaged: {part.name} has the shape {shape}')
