"""Converters for operators that draw random numbers, for `export_onnx(draws=True)`.

ONNX Runtime seeds each of its random operators by its index in the file. With its generator, the
numbers of two neighbouring nodes depend on each other: u, and u + c. So a file has only one node
that draws: it draws all uniform numbers of a run, and each operator computes its result from a
share of them.
"""
import functools

import numpy as np

from .graph import Value
from .indexing import cut
from .operators import NoConverter, operator

SMALLEST = 2.0 ** -25               # half the distance between numbers that ONNX Runtime can draw
BITS = 24                           # random bits in one of these numbers
TRIES = 12                          # attempts per value of gamma; each succeeds in 95 % or more


class Calculation:
    """Operators of ONNX as methods (`c.Add(x, 1)`), whose arguments are values or numbers that are
    cast to one dtype."""

    def __init__(self, g, dtype):
        self.g, self.dtype = g, dtype

    def __getattr__(self, op):
        return functools.partial(self._node, op)

    def _node(self, op, *inputs, **attrs):
        return self.g.node(op, *map(self.of, inputs), **attrs)

    def of(self, x):
        """Return a value or a number in this dtype."""
        if isinstance(x, Value):
            return self.g.cast(x, self.dtype)
        return x if isinstance(x, str) else self.g.constant(x, self.dtype)

    def uniform(self, *shape):
        """Return numbers from the uniform distribution on [0, 1) in this shape. A float64 number is
        made from two random numbers, as one has too few digits."""
        if self.dtype != 'float64':
            return self.g.uniform(shape)
        high, low = (self.g.cast(self.g.uniform(shape), self.dtype) for _ in range(2))
        return self.Add(high, self.Mul(low, 2.0 ** -BITS))

    def exponential(self, *shape):
        return self.Neg(self.Log(self.Sub(1, self.uniform(*shape))))

    def normal(self, *shape):
        """Return normally distributed numbers, by the method of Box and Muller."""
        radius = self.Sqrt(self.Mul(2, self.exponential(*shape)))
        of_single = Calculation(self.g, np.dtype('float32'))        # ONNX Runtime has no other Cos
        angle = of_single.Cos(of_single.Mul(2 * np.pi, of_single.uniform(*shape)))
        return self.Mul(radius, angle if self.dtype == 'float32'
                        else self.g.cast(angle, self.dtype))

    def inside(self, *shape):
        """Return numbers from the uniform distribution on (0, 1), without 0."""
        return self.Max(self.uniform(*shape), SMALLEST)

    def gumbel(self, *shape):
        return self.Neg(self.Log(self.Neg(self.Log(self.inside(*shape)))))

    def gamma(self, alpha, *shape):
        """Return gamma-distributed numbers, by the method of Marsaglia and Tsang. If alpha < 1, use
        alpha + 1 and one more uniform number."""
        alpha = self.of(alpha)
        small = self.g.node('Less', alpha, self.of(1))
        d = self.Sub(self.g.node('Where', small, self.Add(alpha, 1), alpha), 1 / 3)
        x = self.normal(TRIES, *shape)
        v = self.Add(1, self.Div(x, self.Sqrt(self.Mul(9, d))))
        positive = self.g.node('Greater', v, self.of(0))
        v = self.g.node('Where', positive, self.Mul(v, self.Mul(v, v)), self.of(1))
        most = self.Add(self.Mul(0.5, self.Mul(x, x)), self.Mul(
            d, self.Add(self.Sub(1, v), self.Log(v))))
        taken = self.g.node('And', positive, self.g.node(
            'Less', self.Log(self.inside(TRIES, *shape)), most))
        first = self.g.node('ArgMax', self.g.node('Cast', taken, to=1), axis=0, keepdims=1)
        found = self.g.node('Squeeze', self.g.node('GatherElements', v, first, axis=0), [0])
        less = self.Pow(self.inside(*shape), self.Div(1, alpha))
        return self.Mul(self.Mul(d, found), self.g.node('Where', small, less, self.of(1)))

    def result(self, x):
        """Return x in the dtype of the operator's result."""
        dtype = self.g.out[0].dtype
        return x if dtype == self.dtype else self.g.cast(x, dtype)


def _calculation(g):
    return Calculation(g, np.dtype('float64' if g.out[0].dtype == 'float64' else 'float32'))


def _given(arrays, *numbers):
    """Return the parameters of a distribution: the numbers, with the next array in place of each
    None."""
    arrays = iter(arrays)
    return [next(arrays, 1) if number is None else number for number in numbers]


def _draws(*names):
    """Register a converter: function(Calculation, shape of the result, *parameters). The names of
    its parameters are the operator's attributes."""
    def register(function):
        keys = function.__code__.co_varnames[2:function.__code__.co_argcount]

        def convert(g, *arrays, size=None, ctx=None, dtype=None, **parameters):
            if set(parameters) - set(keys):
                raise NoConverter(f'{names[0]} with {sorted(set(parameters) - set(keys))}')
            c = _calculation(g)
            given = _given(arrays, *(parameters.get(key) for key in keys))
            return c.result(function(c, g.out[0].shape, *given))
        operator(*names)(convert)
        return function
    return register


@_draws('_npi_uniform', '_npi_uniform_n')
def uniform(c, shape, low, high):
    return c.Add(low, c.Mul(c.Sub(high, low), c.uniform(*shape)))


@_draws('_npi_normal', '_npi_normal_n')
def normal(c, shape, loc, scale):
    return c.Add(loc, c.Mul(scale, c.normal(*shape)))


@_draws('_npi_exponential')
def exponential(c, shape, scale):
    return c.Mul(scale, c.exponential(*shape))


@_draws('_npi_gumbel')
def gumbel(c, shape, loc, scale):
    return c.Add(loc, c.Mul(scale, c.gumbel(*shape)))


@_draws('_npi_logistic')
def logistic(c, shape, loc, scale):
    u = c.inside(*shape)
    return c.Add(loc, c.Mul(scale, c.Sub(c.Log(u), c.Log(c.Sub(1, u)))))


@_draws('_npi_rayleigh')
def rayleigh(c, shape, scale):
    return c.Mul(scale, c.Sqrt(c.Mul(2, c.exponential(*shape))))


@_draws('_npi_weibull')
def weibull(c, shape, a):
    return c.Pow(c.exponential(*shape), c.Div(1, a))


@_draws('_npi_pareto')
def pareto(c, shape, a):
    return c.Sub(c.Exp(c.Div(c.exponential(*shape), a)), 1)


@_draws('_npi_powerd')
def power(c, shape, a):
    return c.Pow(c.inside(*shape), c.Div(1, a))


@_draws('_npi_gamma')
def gamma(c, size, shape, scale):
    return c.Mul(scale, c.gamma(shape, *size))


@operator('_npi_bernoulli')
def bernoulli(g, *arrays, prob=None, logit=None, is_logit=False, size=None, ctx=None, dtype=None):
    c = _calculation(g)
    p, = _given(arrays, logit if is_logit else prob)
    p = c.Sigmoid(p) if is_logit else c.of(p)
    return g.cast(g.node('Less', c.uniform(*g.out[0].shape), p), g.out[0].dtype)


@operator('_random_randint')
def randint(g, *, low, high, shape=None, ctx=None, dtype=None):
    c = Calculation(g, np.dtype('float64'))
    if high - low > 2 ** (2 * BITS):
        raise NoConverter(f'_random_randint of {high - low} numbers')
    number = c.Floor(c.Mul(high - low, c.uniform(*g.out[0].shape)))
    return g.cast(c.Add(low, number), g.out[0].dtype)


def _sums(c, p):
    """Return the cumulative sums of probabilities, divided by their total, which may differ from 1
    in the last digits."""
    sums = c.g.node('CumSum', p, c.g.constant(0))
    return c.g.node('Div', sums, c.g.node('ReduceSum', p, keepdims=0))


@operator('_npi_multinomial')
def multinomial(g, a=None, *, n, pvals=None, size=None):
    """Count how many of n uniform numbers lie between two neighbouring cumulative sums."""
    c = Calculation(g, np.dtype('float32'))
    *batch, classes = g.out[0].shape
    sums = _sums(c, c.of(pvals if a is None else a))
    below = g.node('Less', g.node('Unsqueeze', c.uniform(*batch, n), [-1]), sums)
    counts = g.node('ReduceSum', g.node('Cast', below, to=7), [-2], keepdims=0)
    last = g.constant([0] * (classes - 1) + [1], 'bool')
    counts = g.node('Where', last, g.constant(n), counts)
    ndim = len(batch) + 1
    before = g.node('Pad', cut(g, counts, ndim - 1, 0, -1), [0] * (ndim - 1) + [1] + [0] * ndim)
    return g.cast(g.node('Sub', counts, before), g.out[0].dtype)


@operator('_npi_choice')
def choice(g, *arrays, a=None, size=None, replace=True, weighted=False, ctx=None):
    """Draw indices. With weights, compare uniform numbers with the cumulative sums of the weights.
    Without replacement, take the largest values of log(weight) + Gumbel noise (Gumbel top-k)."""
    c = Calculation(g, np.dtype('float32'))
    count = arrays[0].shape[0] if a is None else a
    weights = arrays[-1] if weighted else None
    shape = g.out[0].shape
    if replace and not weighted:
        return randint(g, low=0, high=count) if isinstance(count, int) else _refuse_free_length(g)
    if isinstance(count, str) or any(isinstance(n, str) for n in shape):
        _refuse_free_length(g)
    if replace:
        above = g.node('GreaterOrEqual', g.node('Unsqueeze', c.uniform(*shape), [-1]),
                       cut(g, _sums(c, c.of(weights)), 0, 0, -1))
        return g.cast(g.node('ReduceSum', g.node('Cast', above, to=7), [-1], keepdims=0),
                      g.out[0].dtype)
    keys = c.gumbel(count) if weights is None else c.Add(c.Log(weights), c.gumbel(count))
    _, at = g.node('TopK', keys, [int(np.prod(shape))], axis=0, outputs=2)
    return g.cast(g.node('Reshape', at, g.constant(shape)), g.out[0].dtype)


def _refuse_free_length(g):
    raise NoConverter('_npi_choice of as many as the batch has')


@operator('Dropout')
def dropout(g, X, *, p=0.5, mode='training', axes=()):
    """Convert Dropout: predict mode drops nothing unless mode is 'always'. Along `axes`, all values
    are kept, or none."""
    if mode == 'training':
        return X
    c = _calculation(g)
    kept = c.uniform(*(1 if axis in axes else n for axis, n in enumerate(X.shape)))
    kept = g.node('Less', kept, c.of(1 - p))
    return g.node('Where', kept, g.node('Div', X, g.constant(1 - p, X.dtype)),
                  g.constant(0, X.dtype))


# ------------------------------------------------------------------ pictures
GRAY = 0.299, 0.587, 0.114


def _flipped(axis):
    def convert(g, X):
        turned = cut(g, X, len(X.shape) + axis, -1, -np.iinfo('int64').max, -1)
        half = g.constant(0.5, 'float32')
        return g.node('Where', g.node('Less', g.uniform(()), half), turned, X)
    return convert


operator('_image_random_flip_left_right')(_flipped(-2))
operator('_image_random_flip_top_bottom')(_flipped(-3))


def _picture(g, X, op, channels=None):
    """Return a Calculation for a picture X, (H, W, C), of floats. Raises NoConverter for others.

    channels: the number of channels that X must have, as MXNet returns uninitialized memory for
    others; None: any
    """
    if X.shape[-1] != (channels or X.shape[-1]):
        raise NoConverter(f'{op} of {X.shape[-1]} channels')
    if X.dtype.kind != 'f':
        raise NoConverter(f'{op} of {X.dtype}: make float32 of it first')
    return Calculation(g, X.dtype)


def _factor(c, low, high):
    return c.Add(low, c.Mul(high - low, c.g.cast(c.uniform(), c.dtype)))


@operator('_image_random_brightness')
def brightness(g, X, *, min_factor, max_factor):
    c = _picture(g, X, '_image_random_brightness')
    return c.Mul(X, _factor(c, min_factor, max_factor))


@operator('_image_random_contrast')
def contrast(g, X, *, min_factor, max_factor):
    c = _picture(g, X, '_image_random_contrast')
    part = _factor(c, min_factor, max_factor)
    gray = X if X.shape[-1] != 3 else c.g.node(
        'ReduceSum', c.Mul(X, np.array(GRAY)), [-1], keepdims=1)
    mean = c.ReduceMean(gray, axes=[-3, -2, -1], keepdims=1)
    return c.Add(c.Mul(X, part), c.Mul(c.Sub(1, part), mean))


@operator('_image_random_saturation')
def saturation(g, X, *, min_factor, max_factor):
    """Convert random saturation with MXNet's fault: it forgets to add up the colours, so its gray
    is computed from blue alone."""
    c = _picture(g, X, '_image_random_saturation')
    if X.shape[-1] != 3:
        return X
    part, gray = _factor(c, min_factor, max_factor), c.Mul(cut(g, X, -1, 2, 3), GRAY[2])
    return c.Add(c.Mul(X, part), c.Mul(c.Sub(1, part), gray))


# eigenvectors of the covariance of ImageNet's colours, times the square roots of its eigenvalues
COLOURS = np.array([[55.46 * -0.5675, 4.794 * 0.7192, 1.148 * 0.4009],
                    [55.46 * -0.5808, 4.794 * -0.0045, 1.148 * -0.8140],
                    [55.46 * -0.5836, 4.794 * -0.6948, 1.148 * 0.4203]])


@operator('_image_adjust_lighting')
def adjust_lighting(g, X, *, alpha):
    return _picture(g, X, '_image_adjust_lighting', 3).Add(X, COLOURS @ np.array(alpha))


@operator('_image_random_lighting')
def random_lighting(g, X, *, alpha_std=0.05):
    c = _picture(g, X, '_image_random_lighting', 3)
    return c.Add(X, c.MatMul(COLOURS, c.Mul(alpha_std, c.normal(3))))
