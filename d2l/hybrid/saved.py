"""The files of an export, written so that a kill loses no export, and read without trusting them.

The signature file has the SHA-256 of the other files, and the SHA-256 of its own content, which is
the fingerprint of the export. MXNet's own readers trust a file, and a wrong index in it ends the
process. So this module reads the parameters itself, and builds the graph node by node with
functions of MXNet that check their arguments.
"""
import ast
import collections
import contextlib
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

from .. import c_api, files, graphs
from ..c_api import DTYPES

ENDS = 'symbol.json', 'signature.json'
# keys of a signature that was written before November 2026
KEYS = {'inputs', 'used', 'result', 'constants', 'predict_only'}
NEW_KEYS = KEYS | {'example', 'symbol', 'params', 'fingerprint'}
# Numbers in MXNet's file format: the magic number of a list of arrays, the reserved field after it,
# and the storage type of a dense array
LIST_MAGIC, RESERVED, DENSE = 0x112, 0, 0
VERSIONS = 0xF993FAC9, 0xF993FACA       # formats of an array: without and with np semantics
NOT_EMPTY_ERRNOS = errno.ENOTEMPTY, errno.EEXIST      # errors where a folder is not empty
MAX_ELEMENTS = 2 ** 31 - 1              # MXNet miscounts the elements of larger arrays


class Damaged(ValueError):
    """An error: a file is not as `export` wrote it."""


# ---- one export, in several files
def pending(path):
    """Return the path of the folder that holds the files of a complete export until they are moved
    to their places."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f'.{name}.complete')


def _is_pending(path):
    """Return whether the pending folder of an export can be trusted; None if there is none.

    It is trusted if it belongs to this user, to root, or to the owner of the export or of the
    folder around it. In a folder to which everybody can write, such as /tmp, a stranger could have
    made it.
    """
    try:
        found = os.lstat(pending(path))
        owners = {0, os.geteuid(), os.stat(os.path.dirname(path) or '.').st_uid}
        with contextlib.suppress(FileNotFoundError):
            owners.add(os.stat(f'{path}-signature.json').st_uid)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners


def finish(path):
    """If an export was killed while its files were moved to their places, move the rest. Another
    process may do this at the same time."""
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
    """Make the files in the folder `new` the export at path. One rename of the folder does it for
    all files at once: readers use them from then on. Then each file is moved to its place."""
    for name in os.listdir(new):
        files.sync(os.path.join(new, name))
    while True:
        finish(path)
        try:
            os.rename(new, pending(path))
            break
        # Another process's export is pending: `finish` moves it first. _is_pending is None if it
        # has been moved meanwhile
        except OSError as error:
            if error.errno not in NOT_EMPTY_ERRNOS or _is_pending(path) is False:
                raise
    finish(path)


def content(path, end):
    """Return the bytes of one file of the export at path. Raises FileNotFoundError, or Damaged if
    it cannot be read."""
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
    """Return the SHA-256 of some bytes as text."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(signature):
    """Return the SHA-256 of a signature without its own fingerprint."""
    rest = {key: value for key, value in signature.items() if key != 'fingerprint'}
    return sha256(json.dumps(rest, sort_keys=True).encode())


def parsed(data, name):
    """Return the JSON object in some bytes. Raises Damaged. name: the file, for the message"""
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
    """Return the signature in some bytes. Raises Damaged if its fingerprint is wrong, or if it is
    not a signature that `export` can have written."""
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
    """Return {name: NumPy array} from the bytes of a file that `npx.save` wrote. Raises Damaged."""
    at = 0

    def take(form):
        nonlocal at
        end = at + struct.calcsize(form)
        require(end <= len(data), f'{name} is damaged: it ends too early')
        values, at = struct.unpack_from(form, data, at), end
        return values

    def count(least):
        """Read how many items follow. Raises Damaged if they do not fit into the rest of the file
        with `least` bytes each."""
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
POSITIVE = {    # attributes with which MXNet divides by 0, or loops for ever, unless they are > 0
    'kernel', 'stride', 'dilate', 'num_group', 'num_groups', 'num_filter', 'num_hidden', 'num_args',
    'num_layers', 'state_size', 'num_outputs', 'block_size', 'input_dim', 'output_dim', 'depth',
    'num_arrays', 'num_weights', 'group_size', 'step_size', 'scale', 'sample_type'}
COUNTS = {'num_outputs', 'num_args', 'num_arrays', 'num_weights', 'num_data', 'sections'}
MAX_COUNT = 4096                        # largest allowed value of an attribute in COUNTS
SLICES = {'begin', 'end', 'step'}       # attributes whose tuples may hold None
NEVER_NONE = {'use_length'}             # MXNet documents None as valid for these, but reads a value
# Operators that no forward calls, and that end the process if they are not as MXNet writes them:
# for gradients and updates, with subgraphs or callbacks, on sparse graphs, for copies to a device
INTERNAL = re.compile(
    '_(contrib_)?(backward|dgl|sg)_.*|_(foreach|while_loop|cond|CachedOp|FusedOp.*|Native|'
    'NDArray|NoGradient|CustomFunction|crossdevicecopy|CrossDeviceCopy|copyto)|Custom|'
    '_contrib_(tvm|dgl|edge_id|getnnz).*|.*_update|reset_arrays')


def read_symbol(data, name):
    """Build the symbol of a graph anew, and check every index, operator and attribute, and that no
    operator lacks an input.

    Return the symbol, and for `check_fragile` a list with (name of the operator, its attributes,
    its symbol, its position for messages) for each operator in FRAGILE. Raises Damaged.
    """
    graph = parsed(data, name)
    nodes, heads = graph.get('nodes'), graph.get('heads')
    require(isinstance(nodes, list) and isinstance(heads, list) and nodes and heads,
            f'{name} is damaged: it has no nodes, or no heads')
    made, variables, fragile = [], collections.Counter(), []
    for node in nodes:
        where = f'{name} is damaged: node {len(made)}'
        require(isinstance(node, dict) and _is_text(node.get('op')) and _is_text(node.get('name'))
                and isinstance(node.get('inputs'), list)
                and isinstance(node.get('attrs', {}), dict), f'{where} is no node')
        where += f' ({node["op"]})'
        require('subgraphs' not in node, f'{where} has a graph inside')
        attrs = {key: value for key, value in node.get('attrs', {}).items()
                 if not key.startswith('__')}
        require(all(map(_is_text, (*attrs, *attrs.values()))),
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


def _is_text(value):
    """Return whether a value is a text of which C reads all: it ends a text at a 0."""
    return isinstance(value, str) and '\0' not in value and not re.search('[\ud800-\udfff]', value)


def is_loadable(op):
    """Return whether `read_symbol` accepts an operator. `export` must not write any other."""
    return 'ptr' not in (c_api.arguments(op) or {}).values() and not INTERNAL.fullmatch(op)


def _first_line(error):
    text = re.sub(r'^(\[[\d:]+\] )?[^ ]*\.(cc|h):\d+: ', '', str(error).strip().split('\n')[-1])
    return text.replace('Error in operator', 'in operator')


def _variable(node):
    """Make the symbol of a variable. Of its attributes, only the dtype is kept."""
    dtype = node.get('attrs', {}).get('__dtype__', '0')
    require(isinstance(dtype, str) and dtype in map(str, DTYPES),
            f'variable {node["name"]!r} has the dtype {dtype!r}')
    symbol = c_api.variable(node['name'])
    symbol._set_attr(__dtype__=dtype)
    return symbol


def _value(made, entry, where):
    """Return the symbol of one result of a node. entry: [index of the node, index of its result,
    version], as in the file"""
    require(isinstance(entry, list) and len(entry) in (2, 3) and all(
        type(n) is int and 0 <= n <= MAX_ELEMENTS for n in entry), f'{where} refers to {entry!r}')
    node, result = entry[:2]
    require(node < len(made) and result < len(made[node].list_outputs()),
            f'{where} refers to result {result} of node {node}, which is not there before it')
    return made[node][result]


def _operator(op, name, inputs, attrs, where):
    """Check an operator and its attributes, and return its symbol. MXNet makes the symbol, and
    raises MXNetError if its own checks fail."""
    kinds = c_api.arguments(op)
    require(kinds is not None, f'{where}: MXNet has no such operator')
    require('ptr' not in kinds.values(), f'{where} takes an address in memory')
    require(not INTERNAL.fullmatch(op), f'{where} is none that a network calls')
    for key, text in attrs.items():
        require(_fits(key, kinds.get(key, ''), text), f'{where} has {key}={text}')
    require('sections' not in kinds or graphs.numbers(attrs.get('indices', '()'))
            or int(attrs.get('sections', 0)) > 0, f'{where} splits into no parts: {attrs}')
    return c_api.applied(op, name, inputs, attrs)


def _fits(key, kind, text):
    """Return whether an attribute's text fits the kind that MXNet documents for it, such as
    'Shape(tuple), required'."""
    if kind.startswith('{'):
        return text in map(str, ast.literal_eval(kind[:kind.index('}') + 1]))
    if text == 'None':
        return key not in NEVER_NONE and ('None' in kind or not kind)
    if key == 'dtype' and not kind:         # CenterNet gives zeros_like a dtype, MXNet ignores it
        return text in [dtype.name for dtype in DTYPES.values()]
    if key == 'UPLO':                       # an attribute of eigh; MXNet documents no kind for it
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


def check_fragile(fragile, shapes, name):
    """Check the operators that may end the process as soon as MXNet infers their shapes. Raises
    Damaged.

    fragile: the list that `read_symbol` returns; shapes: {name of an input: its shape}
    """
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
    """Return whether arrays of the shapes a and b have the axes that a tensor product sums over, as
    many of them and with the same dimensions in both."""
    if 'axes' in attrs:
        count = int(attrs['axes'])
        if not 0 <= count <= min(len(a), len(b)):
            return False
        axes = range(len(a) - count, len(a)), range(count)
    else:
        axes = [graphs.numbers(attrs[f'{side}_axes_summed']) for side in 'ab']
        if len(axes[0]) != len(axes[1]) or any(
                not -len(shape) <= axis < len(shape) for some, shape in zip(axes, (a, b))
                for axis in some):
            return False
        axes = [[axis % len(shape) for axis in some] for some, shape in zip(axes, (a, b))]
    return all(len(set(some)) == len(some) for some in axes) and all(
        a[x] == b[y] or -1 in (a[x], b[y]) for x, y in zip(*axes))


def _can_solve(attrs, a, b):
    """Return whether tensorsolve can solve a x = b for these shapes: with the axes in `a_axes`
    moved to the end, a must begin with the shape of b, and its rest must have the same product."""
    axes = graphs.numbers(attrs.get('a_axes', '()'))
    if not all(-len(a) <= axis < len(a) for axis in axes) or len(b) > len(a):
        return False
    axes = [axis % len(a) for axis in axes]
    a = [a[x] for x in range(len(a)) if x not in axes] + [a[x] for x in axes]
    rest = a[len(b):]
    return len(set(axes)) == len(axes) and 0 not in a and (
        -1 in a or -1 in b or a[:len(b)] == [*b] and math.prod(b) == math.prod(rest))


def _has_elements(attrs, *arrays):
    """Return whether no dimension is 0, as MXNet divides by them."""
    return all(0 not in shape for shape in arrays)


# Operator -> function that returns whether its attributes fit the shapes of its operands. MXNet
# does not check this: it would use wrong axes as indices into memory, or divide by a dimension of 0
FRAGILE = {'_npi_tensordot': _can_sum, '_npi_tensordot_int_axes': _can_sum,
           '_npi_tensorsolve': _can_solve,
           'batch_take': lambda attrs, a, at: len(a) > 0 and a[-1] != 0,
           **dict.fromkeys(('Softmax', 'SoftmaxOutput', 'UpSampling', '_image_resize',
                            '_npx__image_resize'), _has_elements)}


def check_shapes(symbol, shapes, dtypes, name):
    """Infer all shapes in a graph from those of its inputs. Raises Damaged if they do not fit, or
    if an array is too large for MXNet to count its elements.

    shapes, dtypes: {name of an input: its shape or dtype}
    """
    inside = symbol.get_internals()
    try:
        _, found, _ = inside.infer_shape(**shapes)
        _, kinds, _ = inside.infer_type(**dtypes)
    # KeyError: a dtype that MXNet's Python code does not know
    except (mxnet.MXNetError, KeyError) as error:
        raise Damaged(f'{name} is damaged: {_first_line(error)}') from None
    require(found is not None and kinds is not None,
            f'{name} is damaged: its shapes do not follow from those of its inputs')
    for part, shape in zip(inside, found):
        require(min(shape, default=0) >= 0 and math.prod(shape) <= MAX_ELEMENTS,
                f'{name} is damaged: {part.name} has the shape {shape}')
