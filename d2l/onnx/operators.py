"""Converters for operators of MXNet in predict mode: elementwise operators, sums, shapes, layers.
`indexing.py`, `linalg.py`, `detection.py` and `draws.py` have the others.

A converter is a function of the graph, the operator's inputs (Values), and its attributes as
keyword arguments. It adds nodes of ONNX and returns the name of the result. An attribute that it
does not take must be switched off, or be in IGNORED. `g.out` has the shapes and dtypes of the
results, as MXNet infers them, so that the converter of reshape needs no special sizes such as -2.
"""
import functools
import inspect

import numpy as np

from ..graphs import literal
from ..hybrid import tape
from .graph import Value

OPERATORS = {}                      # name in MXNet's graph -> function(g, *inputs, **attributes)
# attributes that do not change predictions, or that follow from the inputs
IGNORED = {'cudnn_off', 'cudnn_tune', 'input_dim', 'momentum', 'num_args', 'num_filter',
           'num_hidden', 'output_dim', 'p', 'sparse_grad', 'state_outputs', 'use_global_stats',
           'workspace'}
END = np.iinfo('int64').max         # as the end of a slice: the end of the axis


class NoConverter(NotImplementedError):
    """An error: operators, or attributes of theirs, have no converter to ONNX. `operators` has
    their names; the message also says where `forward` calls them."""

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
    """Add one operator to the graph. Return the list of the names of its results.

    attrs: {name: text}, as MXNet writes them
    """
    if op not in OPERATORS:
        raise NoConverter(op)
    if not g.draws and tape.draws(op, attrs) == tape.ALWAYS:
        raise NoConverter(f'{op} (draws random numbers: export_onnx(draws=True) lets ONNX Runtime '
                          'draw its own)')
    spec = inspect.getfullargspec(OPERATORS[op])
    attrs = {key: literal(text) for key, text in attrs.items()
             if (text != 'None' or key == 'axis') and key[:2] != '__'}
    for key in () if spec.varkw else set(attrs) - set(spec.kwonlyargs):
        if attrs.pop(key) not in (False, None) and key not in IGNORED:
            raise NoConverter(f'{op} with {key}')
    names = OPERATORS[op](g, *inputs, **attrs)
    return names if isinstance(names, list) else [names]


# ------------------------------------------------------------------ element by element
def _cast(g, x, dtype):
    """Return a Value, or a number, as a value of this dtype."""
    return g.cast(x, dtype) if isinstance(x, str) else g.constant(x, dtype)


_OF_TRUTH = {'Mul': 'And', 'Add': 'Or', 'Max': 'Or', 'Min': 'And'}


def _binary(op, g, a, b):
    op = _OF_TRUTH.get(op, op) if g.out[0].dtype == bool else op
    return g.node(op, _cast(g, a, g.out[0].dtype), _cast(g, b, g.out[0].dtype))


def _remainder(g, a, b):
    """Return the remainder with the sign of b, as in Python; 0 where b is 0."""
    a, b = (_cast(g, x, g.out[0].dtype) for x in (a, b))
    zero = g.constant(0, g.out[0].dtype)
    none = g.node('Equal', b, zero)
    b = g.node('Where', none, g.constant(1, g.out[0].dtype), b)
    if g.out[0].dtype.kind != 'f':
        return g.node('Mod', a, b)
    rest = g.node('Mod', a, b, fmod=1)
    other_side = g.node('Less', g.node('Mul', g.node('Sign', rest), g.node('Sign', b)), zero)
    rest = g.node('Where', other_side, g.node('Add', rest, b), rest)
    return g.node('Where', none, zero, rest)


def _hypot(g, a, b):
    return g.node('Sqrt', g.node('Add', *(g.node('Mul', x, x) for x in (
        _cast(g, a, g.out[0].dtype), _cast(g, b, g.out[0].dtype)))))


def _copysign(g, a, b):
    a, b = (_cast(g, x, g.out[0].dtype) for x in (a, b))
    size = g.node('Abs', a)
    return g.node('Where', g.node('Less', b, g.constant(0, g.out[0].dtype)), g.node('Neg', size),
                  size)


def _arctan2(g, y, x):
    y, x = (_cast(g, v, g.out[0].dtype) for v in (y, x))
    number = functools.partial(g.constant, dtype=g.out[0].dtype)
    up = g.node('Where', g.node('Less', y, number(0)), number(-np.pi), number(np.pi))
    # where x is 0, y / x is infinite, whose arctangent is right, or 0 / 0, which is replaced below
    angle = g.node('Atan', g.node('Div', y, x))
    angle = g.node('Where', g.node('Less', x, number(0)), g.node('Add', angle, up), angle)
    origin = g.node('And', *(g.node('Equal', v, number(0)) for v in (x, y)))
    return g.node('Where', origin, number(0), angle)


def _power(g, a, b):
    if isinstance(b, (int, float)) and b == 2:       # in ONNX Runtime, Mul is faster than Pow
        a = _cast(g, a, g.out[0].dtype)
        return g.node('Mul', a, a)
    return _binary('Pow', g, a, b)


def _ldexp(g, a, b):
    a, b = (_cast(g, x, g.out[0].dtype) for x in (a, b))
    return g.node('Mul', a, g.node('Pow', g.constant(2, g.out[0].dtype), b))


def _of_two(op):
    """Return a function of the graph and two values or numbers. op: such a function, or the name of
    an operator of ONNX"""
    return op if callable(op) else functools.partial(_binary, op)


# names of an operator; prefixes of the names of the operator with a scalar; its conversion
for _names, _scalars, _op in [
        ('_npi_add broadcast_add elemwise_add', '_npi_add _plus', 'Add'),
        ('_npi_subtract broadcast_sub elemwise_sub', '_npi_subtract _minus', 'Sub'),
        ('_npi_multiply broadcast_mul elemwise_mul', '_npi_multiply _mul', 'Mul'),
        ('_npi_true_divide broadcast_div elemwise_div', '_npi_true_divide _div', 'Div'),
        ('_npi_power broadcast_power _power', '_npi_power _power', _power),
        ('broadcast_maximum _maximum', '_maximum', 'Max'),
        ('broadcast_minimum _minimum', '_minimum', 'Min'),
        ('_npi_mod broadcast_mod _mod', '_npi_mod _mod', _remainder),
        ('_npi_hypot broadcast_hypot _hypot', '_hypot', _hypot),
        ('_npi_copysign', '', _copysign),       # MXNet cannot record copysign with a scalar
        ('_npi_arctan2', '_npi_arctan2', _arctan2), ('_npi_ldexp', '_npi_ldexp', _ldexp)]:
    operator(*_names.split())(lambda g, a, b, op=_of_two(_op): op(g, a, b))
    for _name in _scalars.split():
        operator(f'{_name}_scalar')(
            lambda g, a, op=_of_two(_op), *, scalar: op(g, a, scalar))
        # operators whose first argument is the scalar
        if _op not in ('Add', 'Mul', 'Max', 'Min', _hypot):
            _name = f'_npi_r{_name[5:]}' if _name.startswith('_npi_') else f'_r{_name[1:]}'
            operator(f'{_name}_scalar')(
                lambda g, a, op=_of_two(_op), *, scalar: op(g, scalar, a))


def _compare(op, g, a, b):
    """Compare a and b in their common dtype. As in MXNet, a scalar gets the dtype of the array."""
    dtype = np.result_type(*(x.dtype for x in (a, b) if isinstance(x, str)))
    dtype = np.dtype('int32') if dtype == bool else dtype
    a, b = (_cast(g, x, dtype) for x in (a, b))
    if op == 'NotEqual':
        return g.cast(g.node('Not', g.node('Equal', a, b)), g.out[0].dtype)
    return g.cast(g.node(op, a, b), g.out[0].dtype)


def _logical(op, g, a, b):
    return g.cast(g.node(op, *(_cast(g, x, 'bool') for x in (a, b))), g.out[0].dtype)


for _name, _older, _op in [('equal', 'equal', 'Equal'), ('not_equal', 'not_equal', 'NotEqual'),
                           ('greater', 'greater', 'Greater'), ('less', 'lesser', 'Less'),
                           ('greater_equal', 'greater_equal', 'GreaterOrEqual'),
                           ('less_equal', 'lesser_equal', 'LessOrEqual')]:
    operator(f'_npi_{_name}', f'broadcast_{_older}', f'_{_older}')(
        lambda g, a, b, op=_op: _compare(op, g, a, b))
    operator(f'_npi_{_name}_scalar', f'_{_older}_scalar')(
        lambda g, a, op=_op, *, scalar: _compare(op, g, a, scalar))
for _name, _op in {'and': 'And', 'or': 'Or', 'xor': 'Xor'}.items():
    operator(f'broadcast_logical_{_name}', f'_logical_{_name}')(
        lambda g, a, b, op=_op: _logical(op, g, a, b))
    operator(f'_logical_{_name}_scalar')(
        lambda g, a, op=_op, *, scalar: _logical(op, g, a, scalar))

for _name, _op in {'exp': 'Exp', 'log': 'Log', 'sqrt': 'Sqrt', 'tanh': 'Tanh', 'negative': 'Neg',
                   'sin': 'Sin', 'cos': 'Cos', 'tan': 'Tan', 'arcsin': 'Asin', 'arccos': 'Acos',
                   'arctan': 'Atan', 'sinh': 'Sinh', 'cosh': 'Cosh', 'arcsinh': 'Asinh',
                   'arccosh': 'Acosh', 'arctanh': 'Atanh', 'ceil': 'Ceil', 'floor': 'Floor',
                   'reciprocal': 'Reciprocal', 'sign': 'Sign'}.items():
    operator(f'_npi_{_name}', _name)(lambda g, X, op=_op: g.node(op, X))
for _name, _op in {'_npi_absolute': 'Abs', 'abs': 'Abs', '_npx_sigmoid': 'Sigmoid', 'erf': 'Erf',
                   'sigmoid': 'Sigmoid', '_npx_relu': 'Relu', 'relu': 'Relu',
                   'softsign': 'Softsign'}.items():
    operator(_name)(lambda g, X, op=_op: g.node(op, X))
for _name, _factor in {'log2': 1 / np.log(2), 'log10': 1 / np.log(10)}.items():
    operator(f'_npi_{_name}', _name)(lambda g, X, factor=_factor: g.node(
        'Mul', g.node('Log', X), g.constant(factor, X.dtype)))
for _name, _factor in {'degrees': 180 / np.pi, 'radians': np.pi / 180}.items():
    operator(f'_npi_{_name}', _name)(lambda g, X, factor=_factor: g.node(
        'Mul', X, g.constant(factor, X.dtype)))


@operator('_npi_log1p', 'log1p')
def log1p(g, X):
    """Compute log(u) x / (u - 1), where u is 1 + x after rounding, which is also exact for a small
    x."""
    one = g.constant(1, X.dtype)
    u = g.node('Add', X, one)
    exact = g.node('Div', g.node('Mul', g.node('Log', u), X), g.node('Sub', u, one))
    plain = g.node('Log', u)
    near = g.node('Less', g.node('Abs', X), g.constant(0.5, X.dtype))
    return g.node('Where', g.node('Equal', u, one), X, g.node('Where', near, exact, plain))


@operator('_npi_expm1', 'expm1')
def expm1(g, X):
    """Compute 2 t / (1 - t), where t = tanh(x / 2), for a small x, for which exp(x) - 1 would be
    inexact."""
    one, two = g.constant(1, X.dtype), g.constant(2, X.dtype)
    t = g.node('Tanh', g.node('Div', X, two))
    exact = g.node('Div', g.node('Mul', two, t), g.node('Sub', one, t))
    near = g.node('Less', g.node('Abs', X), one)
    return g.node('Where', near, exact, g.node('Sub', g.node('Exp', X), one))


def _signed(g, X, value):
    return g.node('Mul', g.node('Sign', X), value)


@operator('_npi_cbrt', 'cbrt')
def cbrt(g, X):
    return _signed(g, X, g.node('Pow', g.node('Abs', X), g.constant(1 / 3, X.dtype)))


@operator('rcbrt')
def rcbrt(g, X):
    return g.node('Reciprocal', cbrt(g, X))


@operator('rsqrt')
def rsqrt(g, X):
    return g.node('Reciprocal', g.node('Sqrt', X))


@operator('_npi_fix', '_npi_trunc', 'fix', 'trunc')
def fix(g, X):
    return _signed(g, X, g.node('Floor', g.node('Abs', X)))


@operator('round')
def round_(g, X):
    """Round to the nearest integer, a half away from 0."""
    half = g.constant(0.5, X.dtype)
    return _signed(g, X, g.node('Floor', g.node('Add', g.node('Abs', X), half)))


@operator('_npi_rint', 'rint')
def rint(g, X):
    """Round to the nearest integer, a half down."""
    return g.node('Ceil', g.node('Sub', X, g.constant(0.5, X.dtype)))


@operator('_npi_around')
def around(g, X, *, decimals=0):
    if X.dtype.kind != 'f':
        raise NoConverter('_npi_around of integers')
    power = g.constant(10.0 ** decimals, X.dtype)
    return g.node('Div', g.node('Round', g.node('Mul', X, power)), power)


@operator('_npi_logical_not', 'logical_not')
def logical_not(g, X):
    return g.cast(g.node('Not', g.cast(X, 'bool')), g.out[0].dtype)


for _name, _op, _attrs in [('isnan', 'IsNaN', {}), ('isinf', 'IsInf', {}),
                           ('isposinf', 'IsInf', {'detect_negative': 0}),
                           ('isneginf', 'IsInf', {'detect_positive': 0})]:
    operator(f'_npi_{_name}')(lambda g, X, op=_op, attrs=_attrs: g.node(op, X, **attrs))


@operator('_npi_isfinite')
def isfinite(g, X):
    return g.node('Not', g.node('Or', g.node('IsNaN', X), g.node('IsInf', X)))


@operator('_npi_nan_to_num')
def nan_to_num(g, X, *, copy=True, nan=0.0, posinf=None, neginf=None):
    limits = np.finfo(X.dtype)
    posinf = limits.max if posinf is None else posinf
    neginf = limits.min if neginf is None else neginf
    for op, attrs, value in [('IsNaN', {}, nan), ('IsInf', {'detect_negative': 0}, posinf),
                             ('IsInf', {'detect_positive': 0}, neginf)]:
        X = g.node('Where', g.node(op, X, **attrs), g.constant(value, g.out[0].dtype), X)
    return X


@operator('gammaln')
def gammaln(g, X):
    """Compute the logarithm of |gamma(x)| by Lanczos's sum, in float64."""
    return g.cast(_gammaln(g, g.cast(X, 'float64')), X.dtype)


# coefficients of Lanczos's sum for g = 7
_LANCZOS = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
            12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7]


def _gammaln(g, x):
    number = functools.partial(g.constant, dtype='float64')
    one, half, pi = number(1), number(0.5), number(np.pi)
    mirrored = g.node('Less', x, half)              # gamma(x) gamma(1 - x) sin(pi x) = pi
    z = g.node('Sub', g.node('Where', mirrored, g.node('Sub', one, x), x), one)
    total = number(0.99999999999980993)
    for i, factor in enumerate(_LANCZOS, 1):
        total = g.node('Add', total, g.node('Div', number(factor), g.node('Add', z, number(i))))
    t = g.node('Add', z, number(7.5))
    log = g.node('Sub', g.node('Mul', g.node('Add', z, half), g.node('Log', t)), t)
    log = g.node('Add', g.node('Add', log, g.node('Log', total)), number(np.log(2 * np.pi) / 2))
    # the sine of pi (x - round(x)) has the same size as that of pi x, which is not exact
    rest = g.node('Sub', x, g.node('Round', x))
    sine = g.node('Abs', g.node('Sin', g.node('Mul', pi, rest)))
    return g.node('Where', mirrored, g.node('Sub', g.node('Log', g.node('Div', pi, sine)), log),
                  log)


@operator('gamma')
def gamma(g, X):
    x, two = g.cast(X, 'float64'), g.constant(2, 'float64')
    size = g.node('Exp', _gammaln(g, x))
    odd = g.node('Equal', g.node('Mod', g.node('Floor', x), two, fmod=1), g.constant(-1, 'float64'))
    negative = g.node('And', odd, g.node('Less', x, g.constant(0, 'float64')))
    return g.cast(g.node('Where', negative, g.node('Neg', size), size), X.dtype)


# coefficients of polynomials in w = -log(1 - x x), for small w and for large ones, from M. Giles,
# Approximating the erfinv function, 2012
_ERFINV = [(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
           (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)]


@operator('erfinv')
def erfinv(g, X):
    number = functools.partial(g.constant, dtype=X.dtype)
    one = number(1)
    w = g.node('Neg', g.node('Log', g.node('Mul', g.node('Sub', one, X), g.node('Add', one, X))))
    w = g.node('Max', w, number(0))
    near = g.node('Less', w, number(5))
    places = [g.node('Sub', w, number(2.5)), g.node('Sub', g.node('Sqrt', w), number(3))]
    sums = [_horner(g, [number(factor) for factor in factors], place)
            for factors, place in zip(_ERFINV, places)]
    value = g.node('Mul', X, g.node('Where', near, *sums))
    end = g.node('Equal', g.node('Abs', X), one)
    return g.node('Where', end, g.node('Mul', X, number(np.inf)), value)


def _horner(g, factors, x):
    """Compute a polynomial of x. factors: its coefficients, from the highest power on"""
    total = factors[0]
    for factor in factors[1:]:
        total = g.node('Add', g.node('Mul', total, x), factor)
    return total


@operator('_npi_polyval')
def polyval(g, p, X):
    n = p.shape[0]
    if isinstance(n, str):
        raise NoConverter('_npi_polyval of a free number of factors')
    factors = [g.node('Squeeze', g.node('Slice', p, [i], [i + 1], [0]), [0]) for i in range(n)]
    return _horner(g, [g.node('Add', factors[0], filled(g, X, 0)), *factors[1:]], X)


def _bitwise(op, g, a, b):
    """Compute a bitwise operator bit by bit, as ONNX has none before opset 18."""
    dtype = g.out[0].dtype
    if dtype == bool:
        return g.node(op, *(_cast(g, x, bool) for x in (a, b)))
    size = 8 * dtype.itemsize
    wide = 'uint64' if size == 64 else 'uint32'
    factors = [2 ** (i % 32) for i in range(size)]
    if dtype.kind == 'i':
        factors[-1] = -factors[-1]
    bits = [g.cast(g.node('Mod', g.node('BitShift', g.node('Unsqueeze', g.cast(
        _cast(g, x, dtype), wide), [-1]), g.constant(np.arange(size), wide), direction='RIGHT'),
        g.constant(2, wide)), bool) for x in (a, b)]
    terms = g.node('Mul', g.cast(g.node(op, *bits), 'int64'), factors)
    # 32 bits at a time, as ONNX Runtime 1.32 adds up integers in double precision
    low, *high = [g.node('ReduceSum', g.node('Slice', terms, [i], [i + 32], [-1]), [-1], keepdims=0)
                  for i in range(0, size, 32)]
    return g.cast(g.node('Add', low, g.node('Mul', *high, [2 ** 32])) if high else low, dtype)


for _name, _op in {'and': 'And', 'or': 'Or', 'xor': 'Xor'}.items():
    operator(f'_npi_bitwise_{_name}')(lambda g, a, b, op=_op: _bitwise(op, g, a, b))
    operator(f'_npi_bitwise_{_name}_scalar')(
        lambda g, a, op=_op, *, scalar, is_int=True: _bitwise(op, g, a, int(scalar)))


@operator('_npi_bitwise_not')
def bitwise_not(g, X):
    if X.dtype == bool:
        return g.node('Not', X)
    return g.cast(g.node('Sub', [-1 if X.dtype.kind == 'i' else 2 ** (8 * X.dtype.itemsize) - 1],
                         g.cast(X, 'int64')), X.dtype)


def _lcm(g, a, b):
    """Compute the least common multiple by Euclid's algorithm, with as many steps as the largest
    numbers need."""
    dtype = g.out[0].dtype
    zero, one = g.constant(0, dtype), g.constant(1, dtype)
    a, b = [g.node('Abs', _cast(g, x, dtype)) for x in (a, b)]
    high, low = a, b
    for _ in range(46 if dtype.itemsize <= 4 else 92):
        done = g.node('Equal', low, zero)
        rest = g.node('Mod', high, g.node('Where', done, one, low))
        high, low = g.node('Where', done, high, low), g.node('Where', done, zero, rest)
    return g.node('Mul', g.node('Div', a, g.node('Where', g.node('Equal', high, zero), one, high)),
                  b)


operator('_npi_lcm')(_lcm)
operator('_npi_lcm_scalar')(lambda g, a, *, scalar, is_int=True: _lcm(g, a, int(scalar)))


@operator('clip')
def clip(g, X, *, a_min, a_max):
    return g.node('Clip', X, *(g.constant(a, g.out[0].dtype) for a in (a_min, a_max)))


@operator('add_n')
def add_n(g, *arrays):
    return g.node('Sum', *arrays)


@operator('smooth_l1')
def smooth_l1(g, X, *, scalar=1.0):
    size, square = g.node('Abs', X), scalar * scalar
    inside = g.node('Mul', g.node('Mul', X, X), g.constant(0.5 * square, X.dtype))
    outside = g.node('Sub', size, g.constant(0.5 / square, X.dtype))
    return g.node('Where', g.node('Less', size, g.constant(1 / square, X.dtype)), inside, outside)


@operator('hard_sigmoid')
def hard_sigmoid(g, X, *, alpha=0.2, beta=0.5):
    return g.node('HardSigmoid', X, alpha=alpha, beta=beta)


@operator('_contrib_div_sqrt_dim')
def div_sqrt_dim(g, X):
    if isinstance(X.shape[-1], str):
        raise NoConverter('_contrib_div_sqrt_dim of a free length')
    return g.node('Mul', X, g.constant(X.shape[-1] ** -0.5, X.dtype))


def filled(g, X, number):
    """Return an array with the shape of X in which each element is this number."""
    number = g.constant(number, g.out[0].dtype)
    return g.node('Expand', number, g.lengths(*((X, axis) for axis in range(len(X.shape)))))


for _name, _number in {'ones_like': 1, 'zeros_like': 0}.items():
    operator(_name)(lambda g, X, number=_number, *, dtype=None: filled(g, X, number))


@operator('_npi_full_like')
def full_like(g, X, *, fill_value, dtype=None, ctx=None):
    return filled(g, X, fill_value)


@operator('_np_copy', '_copy', 'BlockGrad', 'MakeLoss', 'make_loss')
def identity(g, X):
    return X


@operator('_npi_square', 'square')
def square(g, X):
    return g.node('Mul', X, X)


@operator('Activation')
def activation(g, X, *, act_type):
    return g.node({'relu': 'Relu', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'softrelu': 'Softplus',
                   'softsign': 'Softsign'}[act_type], X)


@operator('LeakyReLU')
def leaky_relu(g, X, gamma=None, *, act_type='leaky', slope=0.25, lower_bound=None,
               upper_bound=None):
    if act_type == 'leaky':
        return g.node('LeakyRelu', X, alpha=slope)
    if act_type == 'rrelu':                         # MXNet's operator has two results
        raise NoConverter('LeakyReLU with act_type=rrelu')
    if act_type == 'elu':
        return g.node('Elu', X, alpha=slope)
    if act_type == 'selu':
        return g.node('Selu', X)
    if act_type == 'prelu':                         # one slope per channel
        return g.node('PRelu', X, along(g, gamma, 1, len(X.shape)))
    half, one = g.constant(0.5, X.dtype), g.constant(1, X.dtype)    # gelu
    erf = g.node('Erf', g.node('Mul', X, g.constant(0.5 ** 0.5, X.dtype)))
    return g.node('Mul', g.node('Mul', X, half), g.node('Add', erf, one))


def along(g, vector, axis, ndim):
    """Return a vector as an array with ndim axes, along one of them."""
    after = ndim - axis - 1
    if len(vector.shape) != 1 or after <= 0:
        return vector
    return g.node('Unsqueeze', vector, range(1, after + 1))


@operator('Cast')
def cast(g, X, *, dtype):
    return g.cast(X, dtype)


for _name, _op, _sign in [('softmax', 'Softmax', 1), ('log_softmax', 'LogSoftmax', 1),
                          ('softmin', 'Softmax', -1)]:
    @operator(_name)
    def softmax(g, X, length=None, op=_op, sign=_sign, *, axis=-1, temperature=None, dtype=None,
                use_length=False):
        X = g.cast(X, g.out[0].dtype)
        factor = sign / (temperature or 1.0)
        X = X if factor == 1 else g.node('Mul', X, g.constant(factor, g.out[0].dtype))
        if length is not None:
            raise NoConverter('softmax with use_length')
        return g.node(op, X, axis=axis)


# ------------------------------------------------------------------ shapes
@operator('_np_reshape', '_npx_reshape', 'Reshape', 'Flatten', 'expand_dims', '_np_squeeze',
          'squeeze', '_np_atleast_1d', '_np_atleast_2d', '_np_atleast_3d')
def reshape(g, X, **codes):
    """Reshape to the shape of the result, however the attributes describe it."""
    shape = list(g.out[0].shape)
    for i in [i for i, n in enumerate(shape) if isinstance(n, str)]:
        if X.shape[:i + 1] == g.out[0].shape[:i + 1]:
            shape[i] = 0                            # the dimension of X
        elif -1 not in shape and g.out[0].shape[i] not in X.shape:
            shape[i] = -1                           # inferred from all others
        elif g.out[0].shape[i] in X.shape:
            shape[i] = X, X.shape.index(g.out[0].shape[i])
        else:
            raise NoConverter(f'a reshape from {X.shape} to {g.out[0].shape}')
    return g.node('Reshape', X, g.lengths(*shape))


@operator('reshape_like')
def reshape_like(g, X, like, *, lhs_begin=None, lhs_end=None, rhs_begin=None, rhs_end=None):
    (a, b), (c, d) = (slice(begin, end).indices(len(x.shape))[:2] for x, begin, end in (
        (X, lhs_begin, lhs_end), (like, rhs_begin, rhs_end)))
    return g.node('Reshape', X, g.lengths(*((X, i) for i in range(a)), *(
        (like, i) for i in range(c, d)), *((X, i) for i in range(b, len(X.shape)))))


@operator('_np_transpose', 'transpose')
def transpose(g, X, *, axes=None):
    return g.node('Transpose', X, perm=axes or None)


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
    before = [0] * (after.start - 1)                # 0: the dimension of X
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


@operator('_npi_concatenate', 'Concat')
def concatenate(g, *arrays, axis=0, dim=None):
    if axis is None:
        arrays, axis = [g.node('Reshape', X, [-1]) for X in arrays], 0
    return g.node('Concat', *arrays, axis=dim if dim is not None else axis)


@operator('_npi_stack', 'stack')
def stack(g, *arrays, axis=0):
    return g.node('Concat', *(g.node('Unsqueeze', X, [axis]) for X in arrays), axis=axis)


def _nearest(g, indices, X, axis):
    """Return indices of X as int64, with those out of range replaced by the nearest valid index."""
    last = g.node('Sub', g.lengths((X, axis % len(X.shape))), [1])
    return g.node('Min', g.node('Max', g.cast(indices, 'int64'), [0]), last)


def chosen(g, indices, X, axis, mode):
    """Return indices of X as int64, with those out of range treated as `mode` says: clip, wrap or
    raise."""
    if mode == 'clip':
        return _nearest(g, indices, X, axis)
    indices = g.cast(indices, 'int64')
    if mode == 'raise':
        return indices
    return g.node('Mod', indices, g.lengths((X, axis % len(X.shape))))


@operator('take')
def take(g, X, indices, *, axis=0, mode='clip'):
    if axis is None:
        X, axis = Value(g.node('Reshape', X, [-1]), ['all'], X.dtype), 0
    indices = chosen(g, indices, X, axis, mode)
    return g.node('Gather', X, indices, axis=axis)


@operator('Embedding')
def embedding(g, X, weight, *, dtype='float32'):    # dtype: that of weight
    return g.node('Gather', weight, _nearest(g, X, weight, 0))


@operator('one_hot')
def one_hot(g, X, *, depth, on_value=1.0, off_value=0.0, dtype='float32'):
    places = g.node('Equal', g.node('Unsqueeze', g.cast(X, 'int64'), [-1]), range(depth))
    return g.node('Where', places, g.constant(on_value, dtype), g.constant(off_value, dtype))


@operator('_npi_broadcast_to', 'broadcast_to', 'broadcast_axis')
def broadcast_to(g, X, **shape):
    """Broadcast X to the shape of the result. A dimension that does not change may be free."""
    given = [None] * (len(g.out[0].shape) - len(X.shape)) + [*X.shape]
    shape = [1 if m == n else n for m, n in zip(given, g.out[0].shape)]
    if any(isinstance(n, str) for n in shape):
        raise NoConverter('broadcast_to a free length')
    return g.node('Expand', X, shape)


@operator('broadcast_like')
def broadcast_like(g, X, like, *, lhs_axes=None, rhs_axes=None):
    parts = [(X, axis) for axis in range(len(X.shape))]
    every = range(len(X.shape))
    for axis, other in zip(lhs_axes or every, rhs_axes or every):
        parts[axis] = like, other % len(like.shape)
    return g.node('Expand', X, g.lengths(*parts))


# ------------------------------------------------------------------ sums and products
def _reduce(op, g, X, axis, keepdims, exclude=False):
    # in older operators, () means all axes
    axes = (axis,) if isinstance(axis, int) else axis or None
    if exclude:
        axes = [i for i in range(len(X.shape)) if i not in {a % len(X.shape) for a in axes}]
    X = g.cast(X, g.out[0].dtype)
    if op == 'ReduceSum':                           # its axes are an input since opset 13
        return _one_number(g, g.node(op, X, axes, keepdims=int(keepdims)), axes, keepdims)
    return _one_number(g, g.node(op, X, axes=axes, keepdims=int(keepdims)), axes, keepdims)


def _one_number(g, x, axes, keepdims):
    """Give x, the result of a reduction over all axes, the shape that MXNet returns: older
    operators return (1,) instead of ()."""
    return x if axes or keepdims else g.node('Reshape', x, [1] * len(g.out[0].shape))


for _name, _op in {'_np_sum': 'ReduceSum', '_npi_mean': 'ReduceMean', '_np_max': 'ReduceMax',
                   '_np_min': 'ReduceMin', '_np_prod': 'ReduceProd', 'sum': 'ReduceSum',
                   'mean': 'ReduceMean', 'max': 'ReduceMax', 'min': 'ReduceMin',
                   'prod': 'ReduceProd'}.items():
    operator(_name)(lambda g, X, op=_op, *, axis=None, keepdims=False, exclude=False, dtype=None:
                    _reduce(op, g, X, axis, keepdims, exclude))
for _name, _op in {'_np_all': 'ReduceMin', '_np_any': 'ReduceMax'}.items():
    @operator(_name)
    def all_or_any(g, X, op=_op, *, axis=None, keepdims=False):
        axes = (axis,) if isinstance(axis, int) else axis
        true = g.cast(g.cast(X, 'bool'), 'int32')
        return g.cast(g.node(op, true, axes=axes, keepdims=int(keepdims)), 'bool')


def _variance(g, X, axis, ddof, keepdims):
    axes = (axis,) if isinstance(axis, int) else axis
    cast = g.cast(X, g.out[0].dtype)
    away = g.node('Sub', cast, g.node('ReduceMean', cast, axes=axes, keepdims=1))
    mean = g.node('ReduceMean', g.node('Mul', away, away), axes=axes, keepdims=int(keepdims))
    if not ddof:
        return mean
    lengths = [X.shape[a] for a in (range(len(X.shape)) if axes is None else axes)]
    if any(isinstance(n, str) for n in lengths):
        raise NoConverter('_npi_var over a free length with ddof')
    n = int(np.prod(lengths))
    return g.node('Mul', mean, g.constant(n / (n - ddof), g.out[0].dtype))


@operator('_npi_var')
def var(g, X, *, axis=None, ddof=0, keepdims=False, dtype=None):
    return _variance(g, X, axis, ddof, keepdims)


@operator('_npi_std')
def std(g, X, *, axis=None, ddof=0, keepdims=False, dtype=None):
    return g.node('Sqrt', _variance(g, X, axis, ddof, keepdims))


@operator('norm')
def norm(g, X, *, ord=2, axis=None, keepdims=False, out_dtype=None):
    axes = (axis,) if isinstance(axis, int) else axis
    out = g.node({1: 'ReduceL1', 2: 'ReduceL2'}[ord], X, axes=axes, keepdims=int(keepdims))
    return _one_number(g, out, axes, keepdims)


@operator('_npi_norm')
def norm_of_squares(g, X, *, ord=2, axis=None, keepdims=False, flag=None):
    """Compute a norm that is a vector's. flag: -2 for the norm of all elements, 1 for a norm of
    squares, -1 for a norm of a vector; others are norms of matrices, which are not converted."""
    if flag not in (-2, 1) and not (flag == -1 and ord in (1, 2)):
        raise NoConverter(f'_npi_norm with ord={ord}')
    return norm(g, X, ord=ord if flag == -1 else 2, axis=axis, keepdims=keepdims)


@operator('_npi_average')
def average(g, X, weights=None, *, axis=None, returned=False, weighted=True):
    axes = (axis,) if isinstance(axis, int) else axis
    if not weighted:
        return g.node('ReduceMean', X, axes=axes, keepdims=0)
    if len(weights.shape) != len(X.shape):
        weights = along(g, weights, axes[0] % len(X.shape), len(X.shape))
    total = g.node('ReduceSum', g.node('Mul', X, weights), axes, keepdims=0)
    ones = filled(g, X, 1)
    return g.node('Div', total, g.node('ReduceSum', g.node('Mul', ones, weights), axes, keepdims=0))


def _letters(n, begin=0):
    return 'abcdefghijklmnopqrstuvwxyz'[begin:begin + n]


def _contract(g, a, b, a_axes, b_axes):
    """Compute a sum of products over pairs of axes, one of a and one of b."""
    left, right = (list(_letters(len(x.shape), begin)) for x, begin in ((a, 0), (b, len(a.shape))))
    for i, j in zip(a_axes, b_axes):
        right[j] = left[i]
    rest = [x for x in left + right if (x in left) != (x in right)]
    return g.node('Einsum', a, b, equation=f'{"".join(left)},{"".join(right)}->{"".join(rest)}')


@operator('_np_dot')
def dot(g, a, b):
    if not (a.shape and b.shape):
        return g.node('Mul', a, b)
    return g.node('MatMul', a, b) if len(b.shape) <= 2 else _contract(g, a, b, [-1], [-2])


@operator('dot')
def older_dot(g, a, b, *, transpose_a=False, transpose_b=False):
    return _contract(g, a, b, [0 if transpose_a else -1], [-1 if transpose_b else 0])


@operator('_npi_tensordot')
def tensordot(g, a, b, *, a_axes_summed, b_axes_summed):
    return _contract(g, a, b, a_axes_summed, b_axes_summed)


@operator('_npi_tensordot_int_axes')
def tensordot_last(g, a, b, *, axes):
    return _contract(g, a, b, range(len(a.shape) - axes, len(a.shape)), range(axes))


@operator('_npi_matmul')
def matmul(g, a, b):
    return g.node('MatMul', a, b)


@operator('_npi_einsum')
def einsum(g, *arrays, subscripts, optimize=0):
    return g.node('Einsum', *arrays, equation=subscripts)


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
    """Return the attributes of a moving window as ONNX names them."""
    if layout[:2] != 'NC':
        raise NoConverter(f'layout={layout}')
    n = len(kernel)
    return {'kernel_shape': kernel, 'strides': stride or (1,) * n, 'pads': (pad or (0,) * n) * 2}


@operator('Convolution')
def convolution(g, X, weight, bias=None, *, kernel, stride=(), dilate=(), pad=(), num_group=1,
                layout='NCHW', no_bias=False):
    return g.node('Conv', X, weight, bias, group=num_group, dilations=dilate or None,
                  **_windows(kernel, stride, pad, layout))


@operator('UpSampling')
def upsampling(g, X, weight=None, *, scale, sample_type, num_filter=0, multi_input_mode='concat'):
    if sample_type == 'nearest' and weight is None:
        return g.node('Resize', X, None, g.constant([1, 1, scale, scale], 'float32'),
                      mode='nearest', coordinate_transformation_mode='asymmetric',
                      nearest_mode='floor')
    if sample_type == 'nearest':
        raise NoConverter('UpSampling of several inputs')
    # bilinear upsampling is a transposed convolution of each channel
    pad = -(-(scale - 1) // 2)
    return g.node('ConvTranspose', X, weight, group=X.shape[1], strides=[scale] * 2,
                  kernel_shape=[2 * scale - scale % 2] * 2, pads=[pad] * 4)


@operator('_contrib_BilinearResize2D')
def bilinear_resize(g, X, like=None, *, align_corners=True, **sizes):
    parts = [(X, 0), (X, 1), *(n if isinstance(n, int) else (X if like is None else like, axis)
                               for axis, n in enumerate(g.out[0].shape[2:], 2))]
    if like is None and any(isinstance(n, str) for n in g.out[0].shape[2:]):
        raise NoConverter('_contrib_BilinearResize2D of a free length')
    return g.node('Resize', X, None, None, g.lengths(*parts), mode='linear',
                  coordinate_transformation_mode='align_corners' if align_corners else 'half_pixel')


@operator('_contrib_AdaptiveAvgPooling2D')
def adaptive_average(g, X, *, output_size=()):
    """Multiply X by matrices that average, from the left and from the right."""
    sizes = [output_size] if isinstance(output_size, int) else list(output_size) or [1]
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    if sizes == [1, 1]:
        return g.node('GlobalAveragePool', X)
    if any(isinstance(n, str) for n in X.shape[2:]):
        raise NoConverter('_contrib_AdaptiveAvgPooling2D of a free length')
    rows, columns = (np.array([(start <= at) & (at < end) for start, end in zip(
        np.arange(m) * n // m, -(-np.arange(1, m + 1) * n // m))], float)
        for m, n, at in ((m, n, np.arange(n)) for m, n in zip(sizes, X.shape[2:])))
    rows, columns = (g.constant(a / a.sum(axis=1, keepdims=True), X.dtype) for a in (rows, columns))
    return g.node('MatMul', g.node('MatMul', rows, X), g.node('Transpose', columns, perm=[1, 0]))


@operator('Deconvolution')
def deconvolution(g, X, weight, bias=None, *, kernel, stride=(), dilate=(), pad=(), adj=(),
                  num_group=1, layout='NCHW', no_bias=True):
    return g.node('ConvTranspose', X, weight, bias, group=num_group, dilations=dilate or None,
                  output_padding=adj or None, **_windows(kernel, stride, pad, layout))


@operator('Pooling')
def pooling(g, X, *, kernel=(), stride=(), pad=(), pool_type='max', global_pool=False,
            layout=None, pooling_convention='valid', count_include_pad=True):
    op, rounding, ndim = {'max': 'MaxPool', 'avg': 'AveragePool'}.get(pool_type), \
        pooling_convention, len(X.shape)
    if op is None or rounding not in ('valid', 'full'):
        raise NoConverter(f'Pooling with {pool_type} and {rounding}')
    last = layout is not None and layout[-1] == 'C'
    if last:                                        # channels last
        shape = X.shape[0], X.shape[-1], *X.shape[1:-1]
        X = Value(g.node('Transpose', X, perm=[0, ndim - 1, *range(1, ndim - 1)]), shape, X.dtype)
    window = _windows(kernel, stride, pad, 'NC')
    if global_pool:
        out = g.node(f'Global{op}', X)
    elif op == 'MaxPool':
        out = g.node(op, X, ceil_mode=int(rounding == 'full'), **window)
    elif rounding == 'valid':
        out = g.node(op, X, count_include_pad=int(count_include_pad), **window)
    else:
        out = _average_rounded_up(g, X, kernel, window['strides'], pad or (0,) * len(kernel),
                                  count_include_pad)
    return g.node('Transpose', out, perm=[0, *range(2, ndim), 1]) if last else out


def _average_rounded_up(g, X, kernel, strides, pad, count_include_pad):
    """Compute an average pooling whose last windows may go beyond the picture. ONNX Runtime divides
    their sums by another number than MXNet. So the picture is padded with zeros, and the result is
    corrected by MXNet's numbers."""
    if any(isinstance(n, str) for n in X.shape[2:]):
        raise NoConverter('Pooling with avg and full over a free length')
    counts, more = np.ones(()), []
    for n, k, s, p in zip(X.shape[2:], kernel, strides, pad):
        steps = -(-(n + 2 * p - k) // s) + 1
        start = np.arange(steps) * s - p
        low, high = (start, n + p) if count_include_pad else (start.clip(0), n)
        counts = counts[..., None] * (np.minimum(start + k, high) - low)
        more.append((steps - 1) * s + k - n - p)
    X = g.node('Pad', X, [0, 0, *pad, 0, 0, *more], g.constant(0, g.out[0].dtype))
    out = g.node('AveragePool', X, kernel_shape=kernel, strides=strides)
    factors = np.divide(np.prod(kernel), counts, out=np.zeros(counts.shape), where=counts > 0)
    return g.node('Mul', out, g.constant(factors, g.out[0].dtype))


@operator('_contrib_MultiBoxPrior')
def multibox_prior(g, X, *, sizes, ratios, clip=False, steps=(-1, -1), offsets=(0.5, 0.5)):
    """Compute the anchor boxes of section 13.4, which depend on the shape of X, not on its values.
    """
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
def _with_axis(g, X, axis, to, function):
    """Move an axis of X to index `to`, apply a function, and move the axis back in the result."""
    if axis % len(X.shape) == to % len(X.shape):
        return function(X)
    perm = [i for i in range(len(X.shape)) if i != axis % len(X.shape)]
    perm.insert(to % len(X.shape), axis % len(X.shape))
    moved = Value(g.node('Transpose', X, perm=perm), [X.shape[i] for i in perm], X.dtype)
    return g.node('Transpose', function(moved), perm=[*np.argsort(perm).tolist()])


@operator('BatchNorm', '_contrib_SyncBatchNorm')
def batch_norm(g, X, gamma, beta, mean, var, *, eps=1e-3, fix_gamma=True, axis=1, key=None,
               ndev=None):
    gamma = g.constant(np.ones(gamma.shape), gamma.dtype) if fix_gamma else gamma
    return _with_axis(g, X, axis, 1, lambda X: g.node(
        'BatchNormalization', X, gamma, beta, mean, var, epsilon=eps))


@operator('LayerNorm')
def layer_norm(g, X, gamma, beta, *, axis=-1, eps=1e-5):
    return _with_axis(g, X, axis, -1, lambda X: g.node(
        'LayerNormalization', X, gamma, beta, epsilon=eps))


@operator('InstanceNorm')
def instance_norm(g, X, gamma, beta, *, eps=1e-3):
    if len(X.shape) > 2:
        return g.node('InstanceNormalization', X, gamma, beta, epsilon=eps)
    # a mean over one value is the value itself, so that X - X, which keeps NaN, is normalized
    return g.node('Add', g.node('Mul', g.node('Sub', X, X), gamma), beta)


@operator('GroupNorm')
def group_norm(g, X, gamma, beta, *, num_groups=1, eps=1e-5):
    """Compute GroupNorm. gamma, beta: one number per group"""
    groups = g.node('Reshape', X, [0, num_groups, -1])
    out = g.node('InstanceNormalization', groups, gamma, beta, epsilon=eps)
    return g.node('Reshape', out, g.lengths(*((X, i) for i in range(len(X.shape)))))


@operator('L2Normalization')
def l2_normalization(g, X, *, eps=1e-10, mode='instance'):
    ndim = len(X.shape)
    axes = {'instance': range(1, ndim), 'channel': [1], 'spatial': range(2, ndim)}[mode]
    square = g.node('ReduceSum', g.node('Mul', X, X), axes, keepdims=1)
    return g.node('Div', X, g.node('Sqrt', g.node('Add', square, g.constant(eps, X.dtype))))


@operator('LRN')
def lrn(g, X, *, alpha=1e-4, beta=0.75, knorm=2.0, nsize):
    return g.node('LRN', X, alpha=alpha, beta=beta, bias=knorm, size=nsize)


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


# mode -> (operator of ONNX, indices of MXNet's gates in the order of ONNX, attributes)
_CELLS = {'rnn_relu': ('RNN', [0], {'activations': ['Relu']}),
          'rnn_tanh': ('RNN', [0], {'activations': ['Tanh']}),
          'lstm': ('LSTM', [0, 3, 1, 2], {}),       # MXNet's order: input, forget, cell, output
          'gru': ('GRU', [1, 0, 2], {'linear_before_reset': 1})}    # MXNet's: reset, update, new


@operator('RNN')
def rnn(g, X, packed, state, *cell, mode, state_size, num_layers, bidirectional=False):
    """Convert a recurrent layer of any number of sublayers.

    X: (T, B, C); state, cell: (layers * directions, B, H); packed: a constant vector with all
    weights and then all biases
    """
    op, order, attrs = _CELLS[mode]
    directions, at = 1 + bidirectional, 0
    if 'activations' in attrs:
        attrs = {'activations': attrs['activations'] * directions}

    def read(*columns):
        """Return the next weights or biases from `packed`, with the gates in ONNX's order."""
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
