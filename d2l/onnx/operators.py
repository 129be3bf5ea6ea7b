"""A converter for each operator of MXNet that the book's networks use, in predict mode.

Each is a function of the graph, of the operator's inputs (Values) and of its attributes, by name;
it adds nodes of ONNX and returns the name of the result. An attribute that it does not take must be
switched off, or be among IGNORED. What MXNet inferred of the results is in `g.out`: so a reshape
needs none of its codes.
"""
import ast
import inspect

import numpy as np

OPERATORS = {}                      # name in MXNet's graph -> function(g, *inputs, **attributes)
# attributes that change no prediction, or say again what the inputs say
IGNORED = {'cudnn_off', 'cudnn_tune', 'input_dim', 'momentum', 'num_args', 'num_filter',
           'num_hidden', 'output_dim', 'p', 'sparse_grad', 'state_outputs', 'use_global_stats',
           'workspace'}
END = np.iinfo('int64').max         # of an axis, however long it is


class NoConverter(NotImplementedError):
    """Operators, or attributes of theirs, that are not converted to ONNX: `operators` has their
    names, the message also where `forward` calls them."""

    def __init__(self, message, operators=()):
        super().__init__(message)
        self.operators = sorted(operators)


def operator(*names):
    """Register a function for operators of MXNet's graph."""
    def register(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function
    return register


def convert(g, op, attrs, inputs):
    """Add one operator to the graph; attrs are text, as MXNet writes them. Returns the names of its
    results."""
    if op not in OPERATORS:
        raise NoConverter(op)
    spec = inspect.getfullargspec(OPERATORS[op])
    attrs = {key: _literal(text) for key, text in attrs.items()
             if text != 'None' and key[:2] != '__'}
    for key in () if spec.varkw else set(attrs) - set(spec.kwonlyargs):
        if attrs.pop(key) is not False and key not in IGNORED:
            raise NoConverter(f'{op} with {key}')
    names = OPERATORS[op](g, *inputs, **attrs)
    return names if isinstance(names, list) else [names]


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# ------------------------------------------------------------------ element by element
def _cast(g, x, dtype):
    """A Value, or a number, as a value of this dtype."""
    return g.cast(x, dtype) if isinstance(x, str) else g.constant(x, dtype)


def _binary(op, g, a, b):
    return g.node(op, _cast(g, a, g.out[0].dtype), _cast(g, b, g.out[0].dtype))


for _name, _op in {'_npi_add': 'Add', '_npi_subtract': 'Sub', '_npi_multiply': 'Mul',
                   '_npi_true_divide': 'Div', '_npi_power': 'Pow', 'broadcast_maximum': 'Max',
                   'broadcast_minimum': 'Min'}.items():
    operator(_name)(lambda g, a, b, op=_op: _binary(op, g, a, b))
    _name = _name.replace('broadcast', '')
    operator(f'{_name}_scalar')(lambda g, a, op=_op, *, scalar: _binary(op, g, a, scalar))
    if _op in ('Sub', 'Div', 'Pow'):                # the number comes first
        _name = _name.replace('_npi_', '_npi_r')
        operator(f'{_name}_scalar')(lambda g, a, op=_op, *, scalar: _binary(op, g, scalar, a))

for _name, _op in {'_npi_exp': 'Exp', '_npi_log': 'Log', '_npi_sqrt': 'Sqrt', '_npi_tanh': 'Tanh',
                   '_npi_negative': 'Neg', '_npi_absolute': 'Abs', '_npx_sigmoid': 'Sigmoid',
                   '_npx_relu': 'Relu'}.items():
    operator(_name)(lambda g, X, op=_op: g.node(op, X))


@operator('_np_copy', '_copy', 'BlockGrad')
def identity(g, X):
    return X


@operator('_npi_square')
def square(g, X):
    return g.node('Mul', X, X)


@operator('Activation')
def activation(g, X, *, act_type):
    return g.node({'relu': 'Relu', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'softrelu': 'Softplus',
                   'softsign': 'Softsign'}[act_type], X)


@operator('LeakyReLU')
def leaky_relu(g, X, *, act_type='leaky', slope=0.25):
    if act_type != 'leaky':
        raise NoConverter(f'LeakyReLU with act_type={act_type}')
    return g.node('LeakyRelu', X, alpha=slope)


@operator('Dropout')
def dropout(g, X, *, mode='training', axes=()):
    if mode != 'training':
        raise NoConverter(f'Dropout with mode={mode}')
    return X


@operator('Cast')
def cast(g, X, *, dtype):
    return g.cast(X, dtype)


@operator('softmax')
def softmax(g, X, *, axis=-1):
    return g.node('Softmax', X, axis=axis)


# ------------------------------------------------------------------ shapes
@operator('_np_reshape', '_npx_reshape', 'Reshape', 'Flatten', 'expand_dims', '_np_squeeze')
def reshape(g, X, **codes):
    """However it is written, the shape of the result tells it."""
    shape = list(g.out[0].shape)
    for i in [i for i, n in enumerate(shape) if isinstance(n, str)]:
        if X.shape[:i + 1] == g.out[0].shape[:i + 1]:
            shape[i] = 0                            # as long as in X
        elif -1 not in shape:
            shape[i] = -1                           # what is left
        else:
            raise NoConverter(f'a reshape from {X.shape} to {g.out[0].shape}')
    return g.node('Reshape', X, shape)


@operator('_np_transpose')
def transpose(g, X, *, axes=None):
    return g.node('Transpose', X, perm=axes)


@operator('SwapAxis')
def swap_axis(g, X, *, dim1=0, dim2=0):
    axes = list(range(len(X.shape)))
    axes[dim1], axes[dim2] = axes[dim2], axes[dim1]
    return g.node('Transpose', X, perm=axes)


@operator('repeat')
def repeat(g, X, *, repeats, axis=None):
    if axis is None:
        flat = g.node('Unsqueeze', g.node('Reshape', X, [-1]), [1])
        return g.node('Reshape', g.node('Tile', flat, [1, repeats]), [-1])
    after = range(axis % len(X.shape) + 1, len(X.shape))
    times = [1] * (len(X.shape) + 1)
    times[after.start] = repeats
    tiled = g.node('Tile', g.node('Unsqueeze', X, [after.start]), times)
    before = [0] * (after.start - 1)                # as long as in X
    return g.node('Reshape', tiled, g.lengths(*before, -1, *((X, i) for i in after)))


@operator('tile')
def tile(g, X, *, reps):
    reps = [reps] if isinstance(reps, int) else list(reps)
    more = len(reps) - len(X.shape)
    if more > 0:
        X = g.node('Unsqueeze', X, range(more))
    return g.node('Tile', X, [1] * -more + reps)


@operator('slice')
def slice_(g, X, *, begin, end, step=()):
    begin, end, step = (list(x) if isinstance(x, tuple) else [x] for x in (begin, end, step))
    step = [s or 1 for s in step + [1] * (len(begin) - len(step))]
    begin = [b if b is not None else 0 if s > 0 else END for b, s in zip(begin, step)]
    end = [e if e is not None else END if s > 0 else -END for e, s in zip(end, step)]
    return g.node('Slice', X, begin, end, range(len(begin)), step)


@operator('_npi_concatenate')
def concatenate(g, *arrays, axis=0):
    return g.node('Concat', *arrays, axis=axis)


@operator('_npi_stack')
def stack(g, *arrays, axis=0):
    return g.node('Concat', *(g.node('Unsqueeze', X, [axis]) for X in arrays), axis=axis)


def _nearest(g, indices, X, axis):
    """Indices of X, int64; those that it does not have moved to the nearest that it has."""
    last = g.node('Sub', g.lengths((X, axis % len(X.shape))), [1])
    return g.node('Min', g.node('Max', g.cast(indices, 'int64'), [0]), last)


@operator('take')
def take(g, X, indices, *, axis=0, mode='clip'):
    if mode == 'wrap':
        raise NoConverter('take with mode=wrap')
    indices = _nearest(g, indices, X, axis) if mode == 'clip' else g.cast(indices, 'int64')
    return g.node('Gather', X, indices, axis=axis)


@operator('Embedding')
def embedding(g, X, weight, *, dtype='float32'):    # dtype: that of weight
    return g.node('Gather', weight, _nearest(g, X, weight, 0))


@operator('one_hot')
def one_hot(g, X, *, depth, on_value=1.0, off_value=0.0, dtype='float32'):
    places = g.node('Equal', g.node('Unsqueeze', g.cast(X, 'int64'), [-1]), range(depth))
    return g.node('Where', places, g.constant(on_value, dtype), g.constant(off_value, dtype))


@operator('_npi_broadcast_to')
def broadcast_to(g, X, *, shape):
    if any(isinstance(n, str) for n in g.out[0].shape):
        raise NoConverter('_npi_broadcast_to a free length')
    return g.node('Expand', X, g.out[0].shape)


@operator('broadcast_like')
def broadcast_like(g, X, like, *, lhs_axes, rhs_axes):
    parts = [(X, axis) for axis in range(len(X.shape))]
    for axis, other in zip(lhs_axes, rhs_axes):
        parts[axis] = like, other
    return g.node('Expand', X, g.lengths(*parts))


# ------------------------------------------------------------------ sums and products
def _reduce(op, g, X, axis, keepdims):
    axes = (axis,) if isinstance(axis, int) else axis
    X = g.cast(X, g.out[0].dtype)
    if op == 'ReduceSum':                           # since opset 13 its axes are an input
        return g.node(op, X, axes, keepdims=int(keepdims))
    return g.node(op, X, axes=axes, keepdims=int(keepdims))


for _name, _op in {'_np_sum': 'ReduceSum', '_npi_mean': 'ReduceMean',
                   '_np_max': 'ReduceMax'}.items():
    operator(_name)(lambda g, X, op=_op, *, axis=None, keepdims=False: _reduce(
        op, g, X, axis, keepdims))


@operator('_np_dot')
def dot(g, a, b):
    if len(b.shape) > 2:
        raise NoConverter(f'_np_dot with {len(b.shape)} axes on the right')
    return g.node('MatMul' if a.shape and b.shape else 'Mul', a, b)


@operator('batch_dot')
def batch_dot(g, a, b, *, transpose_a=False, transpose_b=False):
    *before, rows, columns = range(len(a.shape))
    a, b = (g.node('Transpose', x, perm=[*before, columns, rows]) if flip else x
            for x, flip in ((a, transpose_a), (b, transpose_b)))
    return g.node('MatMul', a, b)


@operator('FullyConnected')
def fully_connected(g, X, weight, bias=None, *, flatten=True, no_bias=False):
    if flatten or len(X.shape) == 2:
        X = X if len(X.shape) == 2 else g.node('Flatten', X)
        return g.node('Gemm', X, weight, bias, transB=1)
    out = g.node('MatMul', X, g.node('Transpose', weight, perm=[1, 0]))
    return out if bias is None else g.node('Add', out, bias)


def _windows(kernel, stride, pad, layout):
    """The attributes of a moving window that ONNX names otherwise."""
    if layout[:2] != 'NC':
        raise NoConverter(f'layout={layout}')
    n = len(kernel)
    return {'kernel_shape': kernel, 'strides': stride or (1,) * n, 'pads': (pad or (0,) * n) * 2}


@operator('Convolution')
def convolution(g, X, weight, bias=None, *, kernel, stride=(), dilate=(), pad=(), num_group=1,
                layout='NCHW', no_bias=False):
    return g.node('Conv', X, weight, bias, group=num_group, dilations=dilate or None,
                  **_windows(kernel, stride, pad, layout))


@operator('Deconvolution')
def deconvolution(g, X, weight, bias=None, *, kernel, stride=(), dilate=(), pad=(), adj=(),
                  num_group=1, layout='NCHW', no_bias=True):
    return g.node('ConvTranspose', X, weight, bias, group=num_group, dilations=dilate or None,
                  output_padding=adj or None, **_windows(kernel, stride, pad, layout))


@operator('Pooling')
def pooling(g, X, *, kernel=(), stride=(), pad=(), pool_type='max', global_pool=False,
            layout='NCHW', pooling_convention='valid', count_include_pad=True):
    op, rounding = {'max': 'MaxPool', 'avg': 'AveragePool'}.get(pool_type), pooling_convention
    window = _windows(kernel, stride, pad, layout)
    if op and global_pool:
        return g.node(f'Global{op}', X)
    if op == 'MaxPool' and rounding in ('valid', 'full'):
        return g.node(op, X, ceil_mode=int(rounding == 'full'), **window)
    if op == 'AveragePool' and rounding == 'valid':     # rounded up, the two divide differently
        return g.node(op, X, count_include_pad=int(count_include_pad), **window)
    raise NoConverter(f'Pooling with {pool_type} and {rounding}')


@operator('_contrib_MultiBoxPrior')
def multibox_prior(g, X, *, sizes, ratios, clip=False, steps=(-1, -1), offsets=(0.5, 0.5)):
    """Anchor boxes of 13.4: they depend on the size of X, not on what is in it."""
    height, width = X.shape[2:]
    if isinstance(height, str) or isinstance(width, str) or min(steps) > 0:
        raise NoConverter('_contrib_MultiBoxPrior for images of any size, or with steps')
    # each size with the first ratio, then the first size with each other ratio
    shapes = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    half = np.array([(size * height / width * ratio ** 0.5 / 2, size / ratio ** 0.5 / 2)
                     for size, ratio in shapes])
    y, x = np.meshgrid((np.arange(height) + offsets[0]) / height,
                       (np.arange(width) + offsets[1]) / width, indexing='ij')
    center = np.stack((x, y), axis=-1)[:, :, None]                          # (H, W, 1, 2)
    boxes = np.concatenate((center - half, center + half), axis=-1)         # (H, W, shapes, 4)
    boxes = boxes.clip(0, 1) if clip else boxes
    return g.node('Identity', g.constant(boxes.reshape(1, -1, 4), g.out[0].dtype))


# ------------------------------------------------------------------ normalization, sequences
@operator('BatchNorm')
def batch_norm(g, X, gamma, beta, mean, var, *, eps=1e-3, fix_gamma=True, axis=1):
    if axis != 1:
        raise NoConverter(f'BatchNorm with axis={axis}')
    gamma = g.constant(np.ones(gamma.shape), gamma.dtype) if fix_gamma else gamma
    return g.node('BatchNormalization', X, gamma, beta, mean, var, epsilon=eps)


@operator('LayerNorm')
def layer_norm(g, X, gamma, beta, *, axis=-1, eps=1e-5):
    if axis not in (-1, len(X.shape) - 1):
        raise NoConverter(f'LayerNorm with axis={axis}')
    return g.node('LayerNormalization', X, gamma, beta, epsilon=eps)


@operator('SequenceMask')
def sequence_mask(g, X, length=None, *, use_sequence_length=False, value=0.0, axis=0):
    if length is None:
        return X
    steps = g.node('Range', 0, g.node('Squeeze', g.lengths((X, axis))), 1)
    keep = g.node('Less', steps, g.node('Unsqueeze', g.cast(length, 'int64'), [1]))     # (B, T)
    keep = keep if axis == 1 else g.node('Transpose', keep, perm=[1, 0])
    if len(X.shape) > 2:
        keep = g.node('Unsqueeze', keep, range(2, len(X.shape)))
    return g.node('Where', keep, X, g.constant(value, X.dtype))


# mode -> (operator of ONNX, the order in which that has MXNet's gates, attributes)
_CELLS = {'rnn_relu': ('RNN', [0], {'activations': ['Relu']}),
          'rnn_tanh': ('RNN', [0], {'activations': ['Tanh']}),
          'lstm': ('LSTM', [0, 3, 1, 2], {}),       # MXNet: input, forget, cell, output
          'gru': ('GRU', [1, 0, 2], {'linear_before_reset': 1})}        # reset, update, new


@operator('RNN')
def rnn(g, X, packed, state, *cell, mode, state_size, num_layers, bidirectional=False):
    """X (T, B, C); states (layers * directions, B, H); all weights, then all biases, packed."""
    op, order, attrs = _CELLS[mode]
    directions, at = 1 + bidirectional, 0
    if 'activations' in attrs:
        attrs = {'activations': attrs['activations'] * directions}

    def read(*columns):
        """The next weights or biases, with the gates in ONNX's order."""
        nonlocal at
        shape = len(order), state_size, *columns
        start, at = at, at + int(np.prod(shape))
        return packed.data[start:at].reshape(shape)[order].reshape(-1, *columns)
    sizes = [X.shape[2]] + [directions * state_size] * (num_layers - 1)
    weights = [[(read(size), read(state_size)) for _ in range(directions)] for size in sizes]
    biases = [[np.concatenate((read(), read())) for _ in range(directions)] for _ in sizes]
    states = [g.node('Split', s, [directions] * num_layers, axis=0, outputs=num_layers)
              if num_layers > 1 else [s] for s in (state, *cell)]
    last = []
    for w, b, *initial in zip(weights, biases, *states):
        parameters = [g.constant(np.stack(part), packed.dtype) for part in (*zip(*w), b)]
        Y, *new = g.node(op, X, *parameters, None, *initial, hidden_size=state_size, **attrs,
                         direction='bidirectional' if bidirectional else 'forward',
                         outputs=1 + len(initial))
        X = g.node('Reshape', g.node('Transpose', Y, perm=[0, 2, 1, 3]), [0, 0, -1])
        last.append(new)
    return [X] + [g.node('Concat', *s, axis=0) for s in zip(*last)]
