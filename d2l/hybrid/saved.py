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
        # NumPy multiplies the lengths even if one of them is 0
        require(math.prod(n for n in shape if n) <= MAX_ELEMENTS
                and size * dtype.itemsize <= len(data) - at,
                f'{name} is damaged: it ends too early for an array of the shape {shape}')
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
# The least and the largest value of an attribute, with which MXNet neither divides by 0, nor loops
# for ever, nor miscounts a product of several; of all others, -MAX_ELEMENTS and MAX_ELEMENTS
BOUNDS = {
    **dict.fromkeys((
        'compute_size', 'depth', 'block_size', 'feature_stride', 'group_size', 'heads',
        'im2col_step', 'input_dim', 'kernel_size', 'ndev', 'nsize', 'num_deformable_group',
        'num_filter', 'num_group', 'num_groups', 'num_hidden', 'num_layers',
        'num_quantized_bins', 'out_dim', 'output_dim', 'pooled_size', 'processing_batch_size',
        'repeat', 'sample_per_part', 'sample_type', 'scale', 'state_size', 'step_size', 'stride1',
        'stride2'), (1, MAX_ELEMENTS)),
    **dict.fromkeys(('num_args', 'num_arrays', 'num_outputs', 'num_weights'), (1, 4096)),
    **dict.fromkeys(('decimals', 'num_data', 'sections'), (-4096, 4096)),
    **dict.fromkeys(('dilate', 'kernel', 'stride'), (1, 2 ** 15)),
    **dict.fromkeys(('adj', 'pad', 'pad_size'), (-2 ** 15, 2 ** 15)), 'interp': (0, 10)}
SPLITS = -4, -6         # in the shape of a reshape: the next two numbers are the parts of a length
SLICES = {'begin', 'end', 'step'}       # attributes whose tuples may hold None
# Attributes for which MXNet documents None as valid, although its code reads a value unchecked
NEVER_NONE = {'use_length'}
# Operators that no `forward` calls, and that end the process unless MXNet itself wrote their
# attributes: those for gradients and updates, those with subgraphs or callbacks, those on sparse
# graphs, and copies between devices. Besides, operators that end it for some values of operands
INTERNAL = re.compile(
    '.*backward.*|_(contrib_)?(dgl|sg)_.*|_(foreach|while_loop|cond|CachedOp.*|FusedOp.*|Native|'
    'NDArray|NoGradient|CustomFunction|crossdevicecopy|CrossDeviceCopy|copyto)|Custom|'
    '_contrib_(tvm|dgl|edge_id|getnnz).*|.*_update(_phase.)?|reset_arrays|'
    '_contrib_(quantize_asym|index_copy)')


Operator = collections.namedtuple('Operator', 'op attrs symbol inputs where')
Operator.__doc__ = """An operator of a graph.

    op: its name in MXNet, which is no alias; attrs: {name of an attribute: its text}; symbol: its
    Symbol; inputs: a list with (name of the node, index of its result) for each operand; where: the
    begin of a message about it
    """


def read_symbol(data, name):
    """Build the symbol of a graph anew, and check every index, operator and attribute, and that no
    operator lacks an input.

    Return the symbol, and a list of Operators, for the checks of shapes. Raises Damaged.
    """
    graph = parsed(data, name)
    nodes, heads = graph.get('nodes'), graph.get('heads')
    require(isinstance(nodes, list) and isinstance(heads, list) and nodes and heads,
            f'{name} is damaged: it has no nodes, or no heads')
    made, names, operators = [], collections.Counter(), []
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
        names[node['name']] += 1
        try:
            if node['op'] == 'null':
                require(not node['inputs'] and not attrs, f'{where} is a variable with inputs')
                made.append(_variable(node))
            else:
                inputs = [_value(made, entry, where) for entry in node['inputs']]
                op = c_api.original(node['op'])
                require(op is not None, f'{where}: MXNet has no such operator')
                made.append(_operator(op, node['name'], inputs, attrs, where))
                operators.append(Operator(op, attrs, made[-1], [
                    (nodes[i]['name'], k) for i, k, *_ in node['inputs']], where))
        except mxnet.MXNetError as error:
            raise Damaged(f'{where}: {_first_line(error)}') from None
    require(max(names.values()) == 1,
            f'{name} is damaged: nodes {[n for n, k in names.items() if k > 1]} are there twice')
    symbol = mxnet.sym.Group([_value(made, head, f'{name} is damaged: a head') for head in heads])
    inputs = symbol.list_inputs()
    require(set(inputs) <= set(names) and len(set(inputs)) == len(inputs),
            f'{name} is damaged: the inputs {sorted(set(inputs) - set(names))} of its '
            'operators are missing')
    return symbol, operators


def _is_text(value):
    """Return whether a value is a text of which C reads all: it ends a text at a 0."""
    return isinstance(value, str) and '\0' not in value and not re.search('[\ud800-\udfff]', value)


def is_loadable(op):
    """Return whether `read_symbol` accepts an operator. `export` must not write any other."""
    return 'ptr' not in (c_api.arguments(op) or {}).values() and not INTERNAL.fullmatch(
        c_api.original(op) or op)


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
    require('ptr' not in kinds.values(), f'{where} takes an address in memory')
    require(not INTERNAL.fullmatch(op), f'{where} is none that a network calls')
    for key, text in attrs.items():
        require(_fits(key, kinds.get(key, ''), text), f'{where} has {key}={text}')
    require('sections' not in kinds or bool(graphs.numbers(attrs.get('indices', '()')))
            != (int(attrs.get('sections', 0)) > 0),
            f'{where} splits neither at indices nor into sections, or at both: {attrs}')
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
    if 'shape' in key and any(first in SPLITS and 0 in numbers[i + 1:i + 3]
                              for i, first in enumerate(numbers)):
        return False
    real = () if kind[:1] not in ('', ',') and 'tuple of <' not in kind else (float, bool, str)
    least, largest = BOUNDS.get(key, (-MAX_ELEMENTS, MAX_ELEMENTS))
    return (all(type(n) in (int, *real) for n in numbers) and all(
        least <= n <= largest and not (
            n < 0 and 'non-negative' in kind or n == 0 and key == 'step')
        for n in numbers if type(n) is not str))


def check_fragile(operators, shapes, name):
    """Check the operators that may end the process as soon as MXNet infers their shapes. Raises
    Damaged.

    operators: the list that `read_symbol` returns; shapes: {name of an input: its shape}
    """
    for op, attrs, symbol, _, where in operators:
        if op not in FRAGILE:
            continue
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


def _has_lengths(attrs, *arrays):
    """Return whether all lengths in the attribute `shape` are positive."""
    return all(n > 0 for n in graphs.numbers(attrs.get('shape', '()')))


def _has_columns(attrs, boxes):
    """Return whether each box has the numbers that box_nms reads: its corners, score and class."""
    first, *others = (int(attrs.get(key, default)) for key, default in (
        ('coord_start', 2), ('score_index', 1), ('id_index', -1)))
    return len(boxes) > 1 and 0 <= first <= boxes[-1] - 4 and all(
        -1 <= n < boxes[-1] for n in others) and others[0] >= 0


# Operator -> function that returns whether its attributes fit the shapes of its operands. MXNet
# does not check this: it would use wrong axes as indices into memory, or divide by a dimension of 0
FRAGILE = {'_npi_tensordot': _can_sum, '_npi_tensordot_int_axes': _can_sum,
           '_npi_tensorsolve': _can_solve,
           'batch_take': lambda attrs, a, at: len(a) > 0 and a[-1] != 0,
           # its result is too short for an array with more axes
           '_unravel_index': lambda attrs, at: _has_lengths(attrs) and len(at) == 1,
           '_ravel_multi_index': _has_lengths,
           '_contrib_box_nms': _has_columns, '_np_moveaxis': lambda attrs, a: all(
               -len(a) <= axis < len(a) for key in ('source', 'destination')
               for axis in graphs.numbers(attrs[key])),
           # target_shape is deprecated: MXNet does not check that it keeps the number of elements
           'Reshape': lambda attrs, a: 'target_shape' not in attrs,
           'UpSampling': lambda attrs, *arrays: _has_elements(attrs, *arrays) and (
               attrs['sample_type'] == 'nearest' or 'num_filter' in attrs),
           **dict.fromkeys(('SoftmaxOutput', '_image_resize'), _has_elements)}
# Operators whose result has the elements of their first operand. MXNet does not check it
RESHAPES = {'Reshape', '_np_reshape', '_npx_reshape', 'reshape_like'}
# Operators that `python -m tests.sweep_operators` has called with empty arrays: others divide by a
# length of 0, or read a first element that is not there
TAKES_EMPTY = re.compile(r"""
    (_npi_|_|broadcast_|elemwise_)?                                     # element by element
    (absolute|abs|add|sub|subtract|minus|plus|mul|multiply|div|true_divide|mod|power|square|sqrt
    |rsqrt|cbrt|rcbrt|reciprocal|negative|sign|ceil|floor|fix|rint|round|trunc|around|exp|expm1|log
    |log10|log1p|log2|(arc)?(sin|cos|tan)h?|degrees|radians|hypot|maximum|minimum|(not_)?equal
    |greater(_equal)?|less(er)?(_equal)?|logical_(and|or|xor|not)|bitwise_(and|or|xor|not)
    |is(finite|inf|nan|neginf|posinf)|nan_to_num
    |r(add|sub|subtract|minus|div|true_divide|mod|power))(_scalar)?
    |erf|erfinv|gamma|gammaln|clip|smooth_l1
    |(_npx_)?(relu|sigmoid|softsign|hard_sigmoid)|Activation|Cast|amp_cast|BlockGrad|make_loss
    |_copy|_np_copy|(ones|zeros)_like|_npi_(ones|zeros|full_like)
    |Reshape|_npx?_reshape|reshape_like|Flatten|expand_dims|(_np_)?squeeze|SwapAxis|transpose
    |_np_(transpose|moveaxis|roll)|_npi_flip|reverse|slice|slice_axis|slice_like|SliceChannel
    |_npi_slice|_split_v2|Concat|_npi_(concatenate|stack|vstack|column_stack)|stack|repeat
    |broadcast_(axis|like|to)|_npi_broadcast_to|one_hot|_npi_tril|argsort|sort
    |_np_(all|any|sum|prod|cumsum)|sum|nansum|prod|nanprod|_npi_mean
    |_np_dot|_npi_matmul|batch_dot|_npi_tensordot(_int_axes)?|FullyConnected|Convolution|LayerNorm
    |log_softmax|softmax|Embedding|Pooling|GroupNorm|LRN|L2Normalization|LeakyReLU|norm|_npi_norm
    |Dropout
    """, re.VERBOSE)


def check_shapes(symbol, operators, shapes, dtypes, name):
    """Infer all shapes in a graph from those of its inputs. Raises Damaged if they do not fit, if
    an array is too large for MXNet to count its elements, or if an operator that may divide by a
    length of 0 takes or makes an empty array.

    operators: the list that `read_symbol` returns; shapes, dtypes: {name of an input: its shape or
    dtype}
    """
    inside = symbol.get_internals()
    try:
        with mxnet.util.np_shape(True):
            _, found, _ = inside.infer_shape(**shapes)
        _, kinds, _ = inside.infer_type(**dtypes)
    # KeyError: a dtype that MXNet's Python code does not know
    except (mxnet.MXNetError, KeyError) as error:
        raise Damaged(f'{name} is damaged: {_first_line(error)}') from None
    require(found is not None and kinds is not None,
            f'{name} is damaged: its shapes do not follow from those of its inputs')
    results = collections.defaultdict(list)
    for part, shape in zip(inside, found):
        require(min(shape, default=0) >= 0 and math.prod(shape) <= MAX_ELEMENTS,
                f'{name} is damaged: {part.name} has the shape {shape}')
        results[part.name].append(shape)
    for key, shape in shapes.items():
        require(results[key] == [shape], f'{name} is damaged: {key} has the shape {shape}, and the '
                f'operator that takes it needs {results[key]}')
    for op, _, made, inputs, where in operators:
        if made.name not in results:        # no output needs this operator
            continue
        given, made = [results[key][k] for key, k in inputs], results[made.name]
        require(op not in RESHAPES or math.prod(given[0]) == math.prod(made[0]),
                f'{where} makes an array of the shape {made[0]} of one of {given[:1]}')
        empty = [shape for shape in (*given, *made) if 0 in shape]
        require(not empty or TAKES_EMPTY.fullmatch(op), f'{where} cannot take or make an empty '
                f'array, and it has {empty}: no length may be 0 there')
