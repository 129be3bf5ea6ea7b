"""Functions of `mx.np` whose gradient is missing or wrong in MXNet."""
import functools
import math


# ---- operators with a scalar argument whose gradient is wrong: the scalar becomes an array
def repair_numbers():
    from mxnet import np, util
    from mxnet.ndarray.numpy import _internal as imperative
    from mxnet.symbol.numpy import _internal as symbolic
    from mxnet.symbol.numpy import full_like

    def array(number, like):
        # without np semantics, MXNet has no 0-dimensional arrays
        shape = () if util.is_np_shape() else (1,)
        return np.full(shape, number, dtype=like.dtype, ctx=like.ctx)

    def symbol(number, like):
        return full_like(like, number)

    for module, make in (imperative, array), (symbolic, symbol):
        for name, repaired in _NUMBERS.items():
            setattr(module, name, _for_floats(getattr(module, name), module, make, repaired))


# name in mxnet.*.numpy._internal -> function that computes the same, with the right gradient
_NUMBERS = {
    'where_lscalar': lambda of, make, condition, x, number, out: of.where(
        condition, make(number, x), x, out=out),
    'where_rscalar': lambda of, make, condition, x, number, out: of.where(
        condition, x, make(number, x), out=out),
    'rarctan2_scalar': lambda of, make, x, number, out: of.arctan2(make(number, x), x, out=out),
}


def _for_floats(original, module, make, repaired):
    """Return a function that calls MXNet's for dtypes without a gradient, and `repaired` for
    floats."""
    @functools.wraps(original)
    def call(*operands, out=None, **named):
        *others, x, number = *operands, *(named[key] for key in ('scalar',) if key in named)
        if 'float' not in str(getattr(x, 'dtype', 'float')) or not all(
                getattr(each, 'size', 1) for each in (*others, x)):     # MXNet's where of them dies
            return original(*operands, out=out, **named)
        return repaired(module, make, *others, x, number, out=out)
    return call


# ---- var and std
def repair_var_and_std():
    """Replace MXNet's var and std, whose gradient is 0 everywhere."""
    from mxnet.ndarray.numpy import _internal as imperative
    from mxnet.symbol.numpy import _internal as symbolic

    for of in imperative, symbolic:
        of.var = _with_gradient(of, of.var, lambda var: var)
        of.std = _with_gradient(of, of.std, functools.partial(_root, of))


def _root(of, var):
    """Return the square root of a variance, with a gradient of 0 where it is 0."""
    zero, one = of.full_like(var, 0), of.full_like(var, 1)
    is_0 = of.where(of.equal(var, zero), one, zero)
    return of.sqrt(var + is_0) - is_0


def _with_gradient(of, original, of_var):
    """Return a replacement for `original`, var or std, that computes the result from means, which
    have a gradient. It calls `original` for float16, in which squares overflow, and for empty
    arrays. Integers become float32, as in `mean`: MXNet's result would be an integer.

    of: the module of the operators; of_var: a function from the variance to the result
    """
    @functools.wraps(original)
    def call(a, axis=None, dtype=None, ddof=0, keepdims=False, out=None, **named):
        if not dtype and 'float' not in str(getattr(a, 'dtype', 'float')):
            dtype = 'float32'
        if out is not None or named or 'float' not in str(dtype or getattr(a, 'dtype', 'float')) \
                or 'float16' in (str(dtype), str(getattr(a, 'dtype', ''))) \
                or not getattr(a, 'size', 1):
            return original(a, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, out=out,
                            **named)
        a = a.astype(dtype) if dtype else a
        away = a - of.mean(a, axis=axis, keepdims=True)
        var = of.mean(away * away, axis=axis, keepdims=keepdims)
        if ddof:
            count = of.full_like(a, 1).sum(axis=axis, keepdims=keepdims)
            var = var * count / (count - ddof)
        return of_var(var)
    return call


# ---- rot90
def repair_rot90():
    """Replace MXNet's rot90, whose gradient is rotated the wrong way for quarter turns."""
    from mxnet.ndarray.numpy import _internal as imperative
    from mxnet.symbol.numpy import _internal as symbolic

    for of in imperative, symbolic:
        of.rot90 = _rot90(of, of.rot90)


def _rot90(of, original):
    """Return a rot90 that calls MXNet's for half turns, and flips and swaps axes for quarter turns.

    of: the module of the operators
    """
    @functools.wraps(original)
    def rot90(m, k=1, axes=(0, 1), **named):
        axes = tuple(axes)
        if named or len(axes) != 2 or axes[0] == axes[1] or k % 2 == 0:
            return original(m, k=k, axes=axes, **named)
        if k % 4 == 1:
            return of.swapaxes(flip(m, axes[1]), axes[0], axes[1])
        return flip(of.swapaxes(m, axes[0], axes[1]), axes[1])

    def flip(m, axis):          # MXNet's flip takes no negative axis
        return of.flip(m, axis) if axis >= 0 else of.swapaxes(
            of.flip(of.swapaxes(m, axis, 0), 0), axis, 0)
    return rot90


# ---- functions whose gradient is missing or wrong
def repair_slopes():
    """Replace functions whose gradient in MXNet is 0, uninitialized memory, or multiplied twice by
    the gradient of the result. They keep MXNet's values, and get the gradient of a function that is
    equal near the argument."""
    import mxnet
    from mxnet import ndarray, symbol

    from d2l.c_api import is_recording

    for namespace in ndarray, symbol:
        of, internal = namespace.numpy, namespace.numpy._internal
        for name, repaired in _SLOPES.items():
            original = getattr(internal, name)
            setattr(internal, name, _sloped(
                original, repaired, namespace, is_recording if namespace is ndarray else None))
        for name in 'atleast_1d', 'atleast_2d', 'atleast_3d':
            setattr(of, name, _reshaped(getattr(of, name), namespace))
            if namespace is ndarray:
                setattr(mxnet.np, name, getattr(of, name))


def _sloped(original, repaired, namespace, records):
    """Return a function that calls `original` if no gradient can be needed, and `repaired` else.

    records: function that returns whether autograd records; None for symbols
    """
    @functools.wraps(original)
    def call(*args, **kwargs):
        of_what = str(getattr(args[0], 'dtype', 'float')) if args else ''
        if (records and not records() or kwargs.get('out') is not None or 'float' not in of_what
                or 'float16' in of_what):
            return original(*args, **kwargs)
        return repaired(original, namespace, *args, **kwargs)
    return call


def _detached(x):
    """Return x, an array or a symbol, detached: no gradient flows through it."""
    from mxnet import sym
    if not isinstance(x, sym.Symbol):
        return x.detach()
    return sym.BlockGrad(x.as_nd_ndarray()).as_np_ndarray()


def _with_slope(namespace, value, like):
    """Return `value` with the gradient of `like`, which has the same shape."""
    value = _detached(value)
    return value + namespace.numpy.nan_to_num(like - _detached(like))       # this term is 0


def _reshaped(original, namespace):
    """Return a function that computes MXNet's atleast_1d, _2d or _3d by a reshape."""
    @functools.wraps(original)
    def atleast(*arrays):
        made = [namespace.numpy_extension.reshape_like(x.reshape((-1,)), _detached(original(x)))
                for x in arrays]
        return made[0] if len(made) == 1 else made
    return atleast


def _percentile(original, namespace, a, *q, axis=None, interpolation='linear', keepdims=False,
                **rest):
    """Compute a percentile with the gradient of a weighted mean of two neighbouring elements."""
    of = namespace.numpy
    value = original(a, *q, axis=axis, interpolation=interpolation, keepdims=keepdims, **rest)
    axes = axis
    if axis is not None:                # count from the end, as q may add an axis at the front
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        if hasattr(a, 'ndim'):
            axes = tuple(x if x < 0 else x - a.ndim for x in axes)
        elif q and max(axes) >= 0:
            a, axes = of.moveaxis(a, axes, tuple(range(-len(axes), 0))), tuple(range(-len(axes), 0))
    elif q and not hasattr(a, 'ndim'):
        a, axes = a.reshape((-1,)), (-1,)
    elif q:
        axes = tuple(range(-a.ndim, 0))

    def kept(how):
        return original(_detached(a), *q, axis=axes, interpolation=how, keepdims=True, **rest)

    def share(of_one):
        chosen = of.where(of.equal(_detached(a), of_one), of.ones_like(a), of.zeros_like(a))
        return chosen / chosen.sum(axis=axes, keepdims=True)
    low, high = kept('lower'), kept('higher')
    apart = high - low
    part = (kept(interpolation) - low) / of.where(of.equal(apart, 0), of.ones_like(apart), apart)
    like = _detached(share(low) + part * (share(high) - share(low))) * a
    like = like.sum(axis=axes, keepdims=keepdims)
    if keepdims:
        like = namespace.numpy_extension.reshape_like(like, _detached(value))
    return _with_slope(namespace, value, like)


def _norm(original, namespace, x, ord=2, axis=None, keepdims=False, flag=-1, **rest):
    """Compute a norm of matrices with the gradient of the sums of columns or rows, or of the
    largest or smallest singular value. A symbol is taken for a matrix if two axes are given."""
    of = namespace.numpy
    axes = (-2, -1) if axis is None and getattr(x, 'ndim', 0) == 2 else axis
    value = original(x, ord=ord, axis=axis, keepdims=keepdims, flag=flag, **rest)
    if flag not in (0, -1) or ord not in (1, -1, 2, -2, math.inf, -math.inf) or not isinstance(
            axes, tuple) or len(axes) != 2:
        return value
    if abs(ord) == 2:
        _, found, _ = of.linalg.svd(of.moveaxis(x * 1, axes, (-2, -1)))
        found = of.expand_dims(found, -1)
    else:
        found = of.abs(x).sum(axis=axes[abs(ord) != 1], keepdims=True)
    found = (of.max if ord > 0 else of.min)(
        found, axis=-2 if abs(ord) == 2 else axes[abs(ord) == 1], keepdims=True)
    if keepdims and abs(ord) == 2:
        found = namespace.numpy_extension.reshape_like(found, _detached(value))
    elif not keepdims:
        found = found.sum(axis=(-2, -1) if abs(ord) == 2 else axes)
    return _with_slope(namespace, value, found)


def _symmetric(of, a, UPLO='L'):
    """Return the symmetric matrix that eigh sees: it reads one triangle of a."""
    half = of.tril(a if UPLO == 'L' else of.swapaxes(a, -2, -1))
    return half + of.swapaxes(of.tril(half, -1), -2, -1)


def _turn(of, values, moved):
    """Return the differential of the eigenvectors in their own basis: that of the matrix in this
    basis, `moved`, divided by the differences of the eigenvalues, or 0 where these are 0."""
    apart = of.expand_dims(values, -2) - of.expand_dims(values, -1)
    same = of.equal(apart, 0)
    return of.where(same, of.zeros_like(apart), moved / of.where(same, of.ones_like(apart), apart))


def _eigh(original, namespace, a, *uplo, **rest):
    of = namespace.numpy
    values, vectors = (_detached(x) for x in original(a, *uplo, **rest))
    moved = of.matmul(of.swapaxes(vectors, -2, -1), of.matmul(_symmetric(of, a, *uplo), vectors))
    return [_with_slope(namespace, values, of.diagonal(moved, axis1=-2, axis2=-1)),
            _with_slope(namespace, vectors, of.matmul(vectors, _turn(of, values, moved)))]


def _eigvalsh(original, namespace, a, *uplo, **rest):
    return _eigh(namespace.numpy.linalg.eigh, namespace, a, *uplo, **rest)[0]


def _eig(original, namespace, a, **rest):
    """Compute eig; the gradient takes into account that eigenvectors keep the length 1."""
    of = namespace.numpy
    values, vectors = (_detached(x) for x in original(a, **rest))
    moved = of.matmul(of.linalg.inv(vectors), of.matmul(a, vectors))
    turned = of.matmul(vectors, _turn(of, values, moved))
    turned = turned - vectors * (vectors * turned).sum(axis=-2, keepdims=True)
    return [_with_slope(namespace, values, of.diagonal(moved, axis1=-2, axis2=-1)),
            _with_slope(namespace, vectors, turned)]


def _eigvals(original, namespace, a, **rest):
    return _eig(namespace.numpy.linalg.eig, namespace, a, **rest)[0]


def _pinv(original, namespace, a, *args, **rest):
    of = namespace.numpy

    def product(first, *others):
        return functools.reduce(of.matmul, others, first)
    inverse, fixed, turned = (_detached(original(a, *args, **rest)), _detached(a),
                              of.swapaxes(a, -2, -1))
    across = of.swapaxes(inverse, -2, -1)
    like = product(inverse, across, turned) - product(inverse, across, turned, fixed,
                                                      inverse) + product(
        turned, across, inverse) - product(inverse, fixed, turned, across, inverse)
    return _with_slope(namespace, inverse, like - product(inverse, a, inverse))


def _einsum(original, namespace, *arrays, subscripts, **rest):
    """Take diagonals by np.diagonal before einsum, whose gradient of a diagonal leaves all other
    elements uninitialized."""
    terms, arrow, result = subscripts.replace(' ', '').partition('->')
    terms, arrays = terms.split(','), [*arrays]
    if not arrow:
        letters = terms[0] if len(terms) == 1 else ''.join(terms)
        result = '...' * ('...' in letters) + ''.join(sorted(
            c for c in set(letters) - {'.'} if letters.count(c) == 1))
    for k, term in enumerate(terms):
        letter = next((c for c in term if c != '.' and term.count(c) > 1), None)
        while letter:
            places = [at if '.' not in term[:at] else at - len(term)
                      for at, c in enumerate(term) if c == letter][:2]
            arrays[k] = namespace.numpy.diagonal(arrays[k], axis1=places[0], axis2=places[1])
            term = term.replace(letter, '', 2) + letter
            letter = next((c for c in term if c != '.' and term.count(c) > 1), None)
        terms[k] = term
    return original(*arrays, subscripts=f'{",".join(terms)}->{result}', **rest)


def _unique(original, namespace, a, return_index=False, return_inverse=False, return_counts=False,
            axis=None, **rest):
    """Compute unique with the gradient of taking the first of equal elements."""
    of = namespace.numpy
    _, at, *others = original(a, True, return_inverse, return_counts, axis, **rest)
    values = of.take(a.reshape((-1,)) if axis is None else a, _detached(at), axis=axis or 0)
    found = [values, *[at] * bool(return_index), *others]
    return found if len(found) > 1 else values


def _polyval(original, namespace, p, x, **rest):
    """Compute polyval; MXNet omits the gradient of x if p needs no gradient."""
    # Symbols: make p depend on x, but on none of its elements, so that p needs a gradient, too
    if not hasattr(p, 'shape'):
        nothing = namespace.numpy_extension.slice(x.reshape((-1,)), begin=(0,), end=(0,)).sum()
        return original(p + nothing, x, **rest)
    found = namespace.numpy.zeros_like(x)
    for k in range(len(p)):
        found = found * x + p[k]
    return _with_slope(namespace, original(p, x, **rest), found)


def _uniform(original, namespace, *arrays, low=None, high=None, **rest):
    value, arrays = original(*arrays, low=low, high=high, **rest), iter(arrays)
    low, high = (next(arrays) if end is None else end for end in (low, high))
    return _with_slope(namespace, value, _between(value, low, high))


def _between(value, low, high):
    """Return low + t (high - low), where the constant t is chosen so that it equals the value."""
    ends = [_detached(end) if hasattr(end, 'reshape') else end for end in (low, high)]
    return low + (high - low) * _detached((_detached(value) - ends[0]) / (ends[1] - ends[0]))


def _power(original, namespace, exponent, **rest):
    """Draw from the power distribution, with the gradient of U ** (1 / a) for a uniform U."""
    of, value = namespace.numpy, _detached(original(exponent, **rest))
    return _with_slope(namespace, value, of.exp(of.log(value) * _detached(exponent) / exponent))


def _gamma(original, namespace, *arrays, shape=None, scale=None, **rest):
    """Draw from the gamma distribution, with the gradient of the scale. That of the shape has no
    closed form, and stays 0."""
    value = original(*arrays, shape=shape, scale=scale, **rest)
    if scale is not None:
        return value
    return _with_slope(namespace, value, _detached(value) * (arrays[-1] / _detached(arrays[-1])))


# name in mxnet.*.numpy._internal -> function that computes the same, with the right gradient
_SLOPES = {
    'percentile': _percentile, 'norm': _norm, 'eigh': _eigh, 'eigvalsh': _eigvalsh, 'eig': _eig,
    'eigvals': _eigvals, 'pinv': _pinv, 'pinv_scalar_rcond': _pinv, 'einsum': _einsum,
    'unique': _unique, 'polyval': _polyval, 'uniform': _uniform, 'powerd': _power,
    'gamma': _gamma}
