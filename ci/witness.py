"""An independent witness: a traced graph computed by NumPy and SciPy, in double precision.

There is one function per operator, written from the operator's definition and not from MXNet's
code. A network with an operator that has no function here has no witness. The witness of gradients
is `Loss` in ci/gradients.py, which differentiates the graph of a training step by central
differences.
"""
import ast
import itertools
import json

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import special

TRAINING = 'training'               # an attribute that is added for every operator: the mode
OPERATORS = {}                      # name in the graph -> function(attrs, *inputs) -> array(s)


class NoWitness(NotImplementedError):
    """An error: no function here computes an operator in the graph. The message names it."""


def operator(*names):
    """Register a function for operators of the graph."""
    def register(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function
    return register


def parsed(graph):
    """Return the nodes and the heads of a symbol's JSON, with attributes as Python values."""
    return [(node['op'], node['name'],
             {key: _literal(value) for key, value in node.get('attrs', {}).items()},
             [tuple(entry[:2]) for entry in node['inputs']])
            for node in graph['nodes']], [tuple(head[:2]) for head in graph['heads']]


def wide(value):
    """Return an array of floats as float64, and any other array unchanged."""
    value = np.asarray(value)
    return value.astype('float64') if value.dtype.kind == 'f' else value


def compute(op, attrs, inputs, training=False):
    """Return the list of the outputs of an operator. Raises NoWitness if it has no function."""
    if op not in OPERATORS:
        raise NoWitness(op)
    out = OPERATORS[op]({**attrs, TRAINING: training}, *inputs)
    return out if isinstance(out, (list, tuple)) else [out]


def evaluate(graph, values):
    """Compute a graph, and return the list of its outputs, with floats as float64.

    graph: a symbol's JSON text; values: {name of a variable: array}
    """
    nodes, heads = parsed(json.loads(graph))
    results = []
    for op, name, attrs, inputs in nodes:
        results.append([wide(values[name])] if op == 'null' else
                       compute(op, attrs, [results[i][k] for i, k in inputs]))
    return [results[i][k] for i, k in heads]


def _literal(text):     # as in d2l.graphs, but a witness shares no code with what it checks
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _tuple(value, n):
    return (value,) * n if isinstance(value, int) else tuple(value) or (1,) * n


# ------------------------------------------------------------------ element by element
_BINARY = {'add': np.add, 'subtract': np.subtract, 'multiply': np.multiply,
           'true_divide': np.true_divide, 'power': np.power, 'maximum': np.maximum,
           'minimum': np.minimum, 'mod': np.mod, 'greater': np.greater, 'less': np.less,
           'greater_equal': np.greater_equal, 'less_equal': np.less_equal, 'equal': np.equal,
           'not_equal': np.not_equal}
for _name, _function in _BINARY.items():
    operator(f'_npi_{_name}', f'_{_name}')(lambda attrs, a, b, f=_function: f(a, b))
    operator(f'_npi_{_name}_scalar', f'_{_name}_scalar')(
        lambda attrs, a, f=_function: f(a, attrs['scalar']))
    operator(f'_npi_r{_name}_scalar')(lambda attrs, a, f=_function: f(attrs['scalar'], a))

# operators of MXNet's older arrays, which Gluon-CV's networks use
for _name, _function in {'add': np.add, 'sub': np.subtract, 'mul': np.multiply,
                         'div': np.true_divide}.items():
    operator(f'elemwise_{_name}', f'broadcast_{_name}')(lambda attrs, a, b, f=_function: f(a, b))
for _name in ('relu', 'sigmoid'):
    operator(_name)(lambda attrs, a, f=_name: _ACTIVATIONS[f](a))

_UNARY = {'_npi_exp': np.exp, '_npi_log': np.log, '_npi_sqrt': np.sqrt, '_npi_tanh': np.tanh,
          '_npi_sign': np.sign, '_npi_square': np.square, '_npi_negative': np.negative,
          '_npi_absolute': np.abs,
          '_npx_sigmoid': special.expit, '_npx_relu': lambda a: np.maximum(a, 0),
          '_np_copy': np.copy, '_copy': np.copy, 'BlockGrad': np.copy}
for _name, _function in _UNARY.items():
    operator(_name)(lambda attrs, a, f=_function: f(a))

_ACTIVATIONS = {'relu': lambda a: np.maximum(a, 0), 'sigmoid': special.expit, 'tanh': np.tanh,
                'softrelu': lambda a: np.logaddexp(0, a)}


@operator('Activation')
def activation(attrs, X):
    return _ACTIVATIONS[attrs['act_type']](X)


@operator('LeakyReLU')
def leaky_relu(attrs, X):
    if attrs.get('act_type', 'leaky') != 'leaky':
        raise NoWitness(f"LeakyReLU with act_type {attrs['act_type']}")
    return np.where(X > 0, X, attrs.get('slope', 0.25) * X)


@operator('Dropout')
def dropout(attrs, X):
    return X        # in training, too, as the regression switches dropout off


@operator('_npi_uniform')
def uniform(attrs):
    """Return the middle of the interval in place of random numbers. With dropout off, no result
    depends on them: 4.6's own dropout draws, but keeps all elements. If a result did depend on
    them, the comparison would fail."""
    return np.full(_tuple(attrs['size'], 1), (attrs['low'] + attrs['high']) / 2)


@operator('Cast')
def cast(attrs, X):
    dtype = attrs['dtype']
    return X.astype('float64' if dtype.startswith('float') else dtype)


@operator('clip')
def clip(attrs, X):
    return np.clip(X, attrs['a_min'], attrs['a_max'])


@operator('_npi_where', 'where')
def where(attrs, condition, a, b):
    return np.where(condition != 0, a, b)


@operator('softmax')
def softmax(attrs, X):
    return special.softmax(X, axis=attrs.get('axis', -1))


# ------------------------------------------------------------------ shapes
@operator('_np_reshape', 'Reshape')
def reshape(attrs, X):
    shape = attrs['newshape'] if 'newshape' in attrs else attrs['shape']
    return X.reshape(shape)


@operator('_npx_reshape')
def npx_reshape(attrs, X):
    """Reshape by the special sizes of npx.reshape: -2 keeps a dimension, -4 keeps all that remain,
    -5 joins two, -6 splits one, -3 drops one of size 1."""
    codes, old, new = list(_tuple(attrs['newshape'], 1)), list(X.shape), []
    while codes:
        code = codes.pop(0)
        if code == -2:
            new.append(old.pop(0))
        elif code == -4:
            new, old = new + old, []
        elif code == -5:
            new.append(old.pop(0) * old.pop(0))
        elif code == -6:
            size, parts = old.pop(0), [codes.pop(0), codes.pop(0)]
            new += [size // -np.prod(parts) if part == -1 else part for part in parts]
        elif code == -3:
            old.pop(0)
        else:
            new.append(code)
            old = old[1:]
    return X.reshape(new)


@operator('Flatten')
def flatten(attrs, X):
    return X.reshape(len(X), -1)


@operator('_np_transpose')
def transpose(attrs, X):
    return X.transpose(attrs.get('axes'))


@operator('SwapAxis')
def swap_axis(attrs, X):
    return X.swapaxes(attrs.get('dim1', 0), attrs.get('dim2', 0))


@operator('expand_dims')
def expand_dims(attrs, X):
    return np.expand_dims(X, attrs['axis'])


@operator('_np_squeeze')
def squeeze(attrs, X):
    return np.squeeze(X, attrs.get('axis'))


@operator('repeat')
def repeat(attrs, X):
    return np.repeat(X, attrs['repeats'], attrs.get('axis'))


@operator('tile')
def tile(attrs, X):
    return np.tile(X, attrs['reps'])


@operator('slice')
def slice_(attrs, X):
    parts = [value if isinstance(value, tuple) else (value,)
             for value in (attrs['begin'], attrs['end'], attrs.get('step') or ())]
    return X[tuple(slice(*part) for part in itertools.zip_longest(*parts))]


@operator('slice_axis')
def slice_axis(attrs, X):
    axis = attrs['axis'] % X.ndim
    return X[(slice(None),) * axis + (slice(attrs['begin'], attrs.get('end')),)]


@operator('_npi_concatenate', 'Concat')
def concatenate(attrs, *arrays):
    return np.concatenate(arrays, attrs.get('axis', attrs.get('dim', 1)))


@operator('_npi_stack')
def stack(attrs, *arrays):
    return np.stack(arrays, attrs.get('axis', 0))


@operator('take')
def take(attrs, X, indices):
    return np.take(X, indices.astype(int), attrs.get('axis', 0), mode='clip')


@operator('_npi_broadcast_to')
def broadcast_to(attrs, X):
    return np.broadcast_to(X, attrs['shape'])


@operator('one_hot')
def one_hot(attrs, X):
    return np.eye(attrs['depth'])[X.astype(int)]


# ------------------------------------------------------------------ sums and products
for _name in ('sum', 'mean', 'max'):
    operator(f'_np_{_name}', f'_npi_{_name}')(
        lambda attrs, X, f=getattr(np, _name): f(X, axis=attrs.get('axis'),
                                                 keepdims=attrs.get('keepdims', False)))


@operator('_np_dot', '_npi_matmul')
def dot(attrs, a, b):
    return np.dot(a, b)


@operator('batch_dot')
def batch_dot(attrs, a, b):
    a = a.swapaxes(1, 2) if attrs.get('transpose_a') else a
    b = b.swapaxes(1, 2) if attrs.get('transpose_b') else b
    return np.einsum('bij,bjk->bik', a, b)


@operator('FullyConnected')
def fully_connected(attrs, X, weight, bias=0):
    if attrs.get('flatten', True):
        X = X.reshape(len(X), -1)
    return X @ weight.T + bias


@operator('Embedding')
def embedding(attrs, X, weight):
    return weight[np.clip(X.astype(int), 0, len(weight) - 1)]


def _windows(X, kernel, stride, dilate):
    """Return the windows of X (B, C, ...) that a kernel covers, (B, C, positions..., kernel...)."""
    n = len(kernel)
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilate)]
    view = sliding_window_view(X, span, axis=tuple(range(2, 2 + n)))
    return view[(slice(None),) * 2 + tuple(slice(None, None, s) for s in stride)
                + tuple(slice(None, None, d) for d in dilate)]


@operator('Convolution')
def convolution(attrs, X, weight, *bias):
    kernel = _tuple(attrs['kernel'], 1)
    n, groups = len(kernel), attrs.get('num_group', 1)
    stride, dilate = (_tuple(attrs.get(name, 1), n) for name in ('stride', 'dilate'))
    pad = _tuple(attrs.get('pad', (0,) * n), n)
    X = np.pad(X, [(0, 0), (0, 0)] + [(p, p) for p in pad])
    axes = [1, *range(2 + n, 2 + 2 * n)]
    out = [np.moveaxis(np.tensordot(_windows(part, kernel, stride, dilate), w,
                                    (axes, [1, *range(2, 2 + n)])), -1, 1)
           for part, w in zip(np.split(X, groups, 1), np.split(weight, groups))]
    out = np.concatenate(out, 1)
    return out + bias[0].reshape(-1, *(1,) * n) if bias else out


@operator('Deconvolution')
def deconvolution(attrs, X, weight, *bias):
    """Compute the transposed convolution: each value of X, times the kernel, is added to the
    output. weight: (channels, out channels, ...)"""
    kernel = _tuple(attrs['kernel'], 1)
    n = len(kernel)
    stride, dilate = (_tuple(attrs.get(name, 1), n) for name in ('stride', 'dilate'))
    pad, adj = (_tuple(attrs.get(name, (0,) * n), n) for name in ('pad', 'adj'))
    if attrs.get('num_group', 1) != 1:
        raise NoWitness('Deconvolution in groups')
    sizes = [(size - 1) * s + (k - 1) * d + 1 + a
             for size, s, k, d, a in zip(X.shape[2:], stride, kernel, dilate, adj)]
    out = np.zeros((len(X), weight.shape[1], *sizes))
    for at in np.ndindex(*kernel):
        places = tuple(slice(i * d, i * d + (size - 1) * s + 1, s)
                       for i, d, size, s in zip(at, dilate, X.shape[2:], stride))
        spread = np.tensordot(X, weight[(slice(None), slice(None), *at)], (1, 0))
        out[(slice(None), slice(None), *places)] += np.moveaxis(spread, -1, 1)
    out = out[(slice(None), slice(None), *(slice(p, size - p) for p, size in zip(pad, sizes)))]
    return out + bias[0].reshape(-1, *(1,) * n) if bias else out


@operator('Pooling')
def pooling(attrs, X):
    n = X.ndim - 2
    reduce = {'max': np.max, 'avg': np.mean}[attrs.get('pool_type', 'max')]
    if attrs.get('global_pool', False):
        return reduce(X, axis=tuple(range(2, 2 + n)), keepdims=True)
    kernel = _tuple(attrs['kernel'], n)
    stride, pad = _tuple(attrs.get('stride', 1), n), _tuple(attrs.get('pad', (0,) * n), n)
    full = attrs.get('pooling_convention', 'valid') == 'full'
    # 'full' rounds the number of positions up, so X is padded at the end
    room = [(-(size + 2 * p - k) % s) if full else 0
            for size, p, k, s in zip(X.shape[2:], pad, kernel, stride)]
    average = reduce is np.mean
    if average and (full and any(room) or any(pad) and not attrs.get('count_include_pad', True)):
        raise NoWitness('average pooling that leaves padding out')
    X = np.pad(X, [(0, 0), (0, 0)] + [(p, p + r) for p, r in zip(pad, room)],
               constant_values=0 if average else -np.inf)
    return reduce(_windows(X, kernel, stride, (1,) * n), axis=tuple(range(2 + n, 2 + 2 * n)))


@operator('_contrib_MultiBoxPrior')
def multibox_prior(attrs, X):
    """Return anchor boxes (1, H * W * boxes, 4): (left, top, right, bottom) as shares of the
    picture.

    They are around the middle of each point of X (B, C, H, W): all sizes with the first ratio of
    width to height, then the first size with the other ratios (SSD, arXiv:1512.02325). A size is a
    share of the picture's height.
    """
    if attrs.get('clip', False) or 'steps' in attrs or 'offsets' in attrs:
        raise NoWitness('MultiBoxPrior with clip, steps or offsets')
    sizes, ratios = (_tuple(attrs.get(name, 1), 1) for name in ('sizes', 'ratios'))
    height, width = X.shape[2:]
    shapes = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    half = np.array([(size * ratio ** .5 * height / width / 2, size / ratio ** .5 / 2)
                     for size, ratio in shapes])
    y, x = np.meshgrid((np.arange(height) + .5) / height, (np.arange(width) + .5) / width,
                       indexing='ij')
    middle = np.stack([x, y], axis=-1)[:, :, None]
    return np.concatenate([middle - half, middle + half], axis=-1).reshape(1, -1, 4)


# ------------------------------------------------------------------ normalization, sequences
@operator('BatchNorm')
def batch_norm(attrs, X, gamma, beta, mean, var):
    """Normalize with the mean and variance of X in training, and with the running statistics in
    predict mode or if use_global_stats is set."""
    shape = [-1 if axis == attrs.get('axis', 1) % X.ndim else 1 for axis in range(X.ndim)]
    if attrs[TRAINING] and not attrs.get('use_global_stats', False):
        others = tuple(axis for axis, size in enumerate(shape) if size == 1)
        mean, var = X.mean(others), X.var(others)
    gamma = np.ones_like(gamma) if attrs.get('fix_gamma', True) else gamma
    scale = gamma / np.sqrt(var + attrs.get('eps', 1e-3))
    return (X - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)


@operator('LayerNorm')
def layer_norm(attrs, X, gamma, beta):
    axis = attrs.get('axis', -1)
    shape = [-1 if a == axis % X.ndim else 1 for a in range(X.ndim)]
    centered = X - X.mean(axis, keepdims=True)
    scale = np.sqrt((centered ** 2).mean(axis, keepdims=True) + attrs.get('eps', 1e-5))
    return centered / scale * gamma.reshape(shape) + beta.reshape(shape)


@operator('SequenceMask')
def sequence_mask(attrs, X, length=None):
    if not attrs.get('use_sequence_length', False):
        return X
    axis = attrs.get('axis', 0)
    steps = np.arange(X.shape[axis])
    keep = steps[:, None] < length if axis == 0 else steps < length[:, None]
    return np.where(keep.reshape(*keep.shape, *(1,) * (X.ndim - 2)), X, attrs.get('value', 0))


@operator('_rnn_param_concat')
def rnn_param_concat(attrs, *arrays):
    return np.concatenate(arrays, attrs.get('dim', 0))


def _lstm(x, h, c):
    i, f, g, o = np.split(x + h, 4, axis=1)
    c = special.expit(f) * c + special.expit(i) * np.tanh(g)
    return special.expit(o) * np.tanh(c), c


def _gru(x, h, old):
    (r, z, n), (r_h, z_h, n_h) = np.split(x, 3, axis=1), np.split(h, 3, axis=1)
    z = special.expit(z + z_h)
    return (1 - z) * np.tanh(n + special.expit(r + r_h) * n_h) + z * old, None


# mode -> (number of gates, function of (input part, hidden part, cell state) that makes a step)
_CELLS = {'rnn_relu': (1, lambda x, h, c: (np.maximum(x + h, 0), None)),
          'rnn_tanh': (1, lambda x, h, c: (np.tanh(x + h), None)),
          'lstm': (4, _lstm), 'gru': (3, _gru)}


@operator('RNN')
def rnn(attrs, X, packed, state, *cell):
    """Compute a recurrent layer.

    X: (T, B, C); state, cell: (layers * directions, B, H); packed: a vector with all weights and
    then all biases
    """
    gates, step = _CELLS[attrs['mode']]
    hidden, layers = attrs['state_size'], attrs['num_layers']
    directions = 2 if attrs.get('bidirectional', False) else 1
    rows, at = gates * hidden, 0

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return packed[at - int(np.prod(shape)):at].reshape(shape)
    sizes = [X.shape[2]] + [directions * hidden] * (layers - 1)
    weights = [[take(rows, size), take(rows, hidden)] for size in sizes for _ in range(directions)]
    biases = [[take(rows), take(rows)] for _ in weights]
    last_h, last_c = [], []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            (w_x, w_h), (b_x, b_h) = weights[k], biases[k]
            h, c, out = state[k], cell[0][k] if cell else state[k], []
            for x in X[::-1] if direction else X:
                h, c = step(x @ w_x.T + b_x, h @ w_h.T + b_h,
                            c if attrs['mode'] == 'lstm' else h)
                out.append(h)
            outputs.append(np.stack(out[::-1] if direction else out))
            last_h.append(h)
            last_c.append(c)
        X = np.concatenate(outputs, 2)
    return [X, np.stack(last_h)] + ([np.stack(last_c)] if attrs['mode'] == 'lstm' else [])
