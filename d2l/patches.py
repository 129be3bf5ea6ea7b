"""All effects that `import d2l` has on the rest of the process. The lists BEFORE and AFTER have
those from before and after MXNet is imported. D2L_PATCH=0 turns them off, except for the sample
data if D2L_DATA=sample asks for it.

Most of them repair functions that MXNet 1.9.1 computes wrong without an error. Each repair is valid
in eager mode, in what `d2l.hybridize` and Gluon's `hybridize` compile, and in exports.
"""
import collections
import functools
import gc
import itertools
import math
import os
import sys
import threading
import time
import typing
import weakref

from d2l import graphs

ALWAYS = {'use_global_stats': 'True'}   # attribute of BatchNorm: always use running statistics
LAST_AXIS = {'NCW': 'NWC', 'NCHW': 'NHWC', 'NCDHW': 'NDHWC'}    # layout -> with channels last
CHANNELS = {1: 'NCW', 2: 'NCHW', 3: 'NCDHW'}    # dimensions of a kernel -> the default layout
TURN_TIMEOUT_SECONDS = 10.0     # how long a thread waits for its turn
# Objects that Python 3.12 freezes as it starts; of any other version, somebody else has frozen some
FROZEN_BY_PYTHON = gc.get_freeze_count() if sys.version_info[:2] == (3, 12) else 0
COLLECT_SHARE = 10          # MXNet's DataLoaders collect garbage for at most a tenth of the time


class Effect(typing.NamedTuple):
    """An effect of `import d2l`.

    install: function that makes it; what: what it changes; why: the reason
    switch: text for the README that says what turns it off; '' for D2L_PATCH=0
    asked: function that returns whether the user has asked for this effect, so that it is installed
        even with D2L_PATCH=0
    """
    install: typing.Callable
    what: str
    why: str
    switch: str = ''
    asked: typing.Callable = lambda: False


def enabled():
    """Return whether D2L_PATCH allows d2l to change MXNet. Raises ValueError if it is neither 0 nor
    1."""
    value = os.environ.get('D2L_PATCH', '1')
    if value not in ('0', '1'):
        raise ValueError(f"D2L_PATCH is '{value}': say 0, which leaves MXNet as it is, or 1")
    return value == '1'


def install(effects):
    """Install these effects; with D2L_PATCH=0, only those that the user has asked for."""
    all_of_them = enabled()
    for effect in effects:
        if all_of_them or effect.asked():
            effect.install()


def table():
    """Yield the lines of a Markdown table of the effects."""
    yield '| what `import d2l` changes | why | switch |'
    yield '|---|---|---|'
    for effect in BEFORE + AFTER:
        yield f'| {effect.what} | {effect.why} | {effect.switch or "`D2L_PATCH=0`"} |'


# ---- before MXNet is imported
def _set_engine():
    from d2l import engine

    engine.set_defaults()


BEFORE = [
    Effect(_set_engine, 'settings of MXNet\'s engine and of malloc',
           'they suit a CPU (`d2l/engine.py`)',
           '`MXNET_CPU_PARALLEL_SIZE`, `MXNET_CPU_TEMP_COPY`, `MALLOC_ARENA_MAX`'),
]


# ---- operators with a scalar argument whose gradient is wrong: the scalar becomes an array
def _repair_numbers():
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
        if 'float' not in str(getattr(x, 'dtype', 'float')):
            return original(*operands, out=out, **named)
        return repaired(module, make, *others, x, number, out=out)
    return call


# ---- var and std
def _repair_var_and_std():
    """Replace MXNet's var and std, whose gradient is 0 everywhere."""
    from mxnet.ndarray.numpy import _internal as imperative
    from mxnet.symbol.numpy import _internal as symbolic

    for of in imperative, symbolic:
        of.var = _with_gradient(of, of.var, lambda var: var)
        of.std = _with_gradient(of, of.std, of.sqrt)


def _with_gradient(of, original, of_var):
    """Return a replacement for `original`, var or std, that computes the result from means, which
    have a gradient. It calls `original` for dtypes without a gradient, for float16, in which
    squares overflow, and for empty arrays.

    of: the module of the operators; of_var: a function from the variance to the result
    """
    @functools.wraps(original)
    def call(a, axis=None, dtype=None, ddof=0, keepdims=False, out=None, **named):
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
def _repair_rot90():
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
            return of.swapaxes(of.flip(m, axes[1]), axes[0], axes[1])
        return of.flip(of.swapaxes(m, axes[0], axes[1]), axes[1])
    return rot90


# ---- functions whose gradient is missing or wrong
def _repair_slopes():
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


# ---- drawing without replacement
def _repair_choice():
    from mxnet import np, sym
    from mxnet.ndarray.numpy import random
    from mxnet.symbol.numpy import random as symbolic

    original, of_symbols = random.choice, symbolic.choice

    @functools.wraps(of_symbols)
    def choice_of_symbols(a, size=None, replace=True, p=None, ctx=None, out=None):
        if not replace and p is None:           # equal weights, which need not add up to 1
            p = sym.np.ones_like(a) if isinstance(a, sym.Symbol) else sym.np.ones((int(a),))
        return of_symbols(a, size, replace, p, ctx, out)
    symbolic.choice = choice_of_symbols

    @functools.wraps(original)
    def choice(a, size=None, replace=True, p=None, ctx=None, out=None):
        # With weights, MXNet draws correctly and in random order, so equal weights are passed
        if not replace:
            count, ctx = (len(a), a.ctx) if isinstance(a, np.ndarray) else (int(a), ctx)
            given = p is not None
            p = p if given else np.full(count, 1 / max(count, 1), ctx=ctx)
            drawn = math.prod(size) if isinstance(size,
                                                  (tuple, list)) else 1 if size is None else size
            if drawn > count:
                raise ValueError(f'{drawn} of {count} cannot be drawn without replacement')
            if given and not _tracing():
                weights = p.asnumpy()
                if not ((weights >= 0).all() and (weights > 0).sum() >= drawn):     # or NaN
                    raise ValueError(
                        f'{drawn} of {count} cannot be drawn without replacement: p has '
                        f'{(weights > 0).sum()} weights above 0')
        return original(a, size, replace, p, ctx, out)
    random.choice = choice


# ---- distributions that are computed from the gamma distribution
def _repair_of_gamma():
    """Replace chisquare, where MXNet takes the rate of the gamma distribution for its scale, and
    beta(a, b), where it draws no more values for a, or for b, than that argument has elements."""
    from mxnet import ndarray, symbol

    for namespace in ndarray, symbol:
        random = namespace.numpy.random
        random.chisquare = _chisquare(random, random.chisquare)
        random.beta = _beta(namespace.numpy, random.beta)


def _beta(of, original):
    @functools.wraps(original)
    def beta(a, b, size=None, dtype=None, ctx=None):
        if size is None or size == ():
            arrays = [x for x in (a, b) if hasattr(x, 'reshape')]
            if len(arrays) == 2:
                a, b = a + of.zeros_like(b), b + of.zeros_like(a)
            elif arrays:
                a, b = (x if hasattr(x, 'reshape') else of.full_like(arrays[0], x) for x in (a, b))
        return original(a, b, size, dtype, ctx)
    return beta


def _chisquare(module, original):
    @functools.wraps(original)
    def chisquare(df, size=None, dtype=None, ctx=None):
        return module.gamma(df / 2, 2.0, size=None if size == () else size,
                            dtype=dtype or 'float32',
                            ctx=ctx)
    return chisquare


# ---- several threads
class Turn:
    """Lets one thread at a time pass operators to MXNet's engine that write into shared arrays.

    The engine puts an operator into the queue of each of its arrays, one after another. If two
    threads do this at the same time for the same two arrays, their operators may wait for each
    other for ever. After TURN_TIMEOUT_SECONDS a thread goes on without its turn, because the thread
    that has the turn may be waiting for it, in a custom operator of the user's.
    """

    def __init__(self):
        self._renew()
        # in the child of a fork, the thread that had the turn may not exist
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        self._lock = threading.RLock()

    def take(self, function, *args, **kwargs):
        """Call a function when it is this thread's turn, and return its result."""
        taken = self._lock.acquire(timeout=TURN_TIMEOUT_SECONDS)
        try:
            return function(*args, **kwargs)
        finally:
            if taken:
                self._lock.release()


def _take_turns():
    """Let threads take turns in backward passes and in batch normalization: they write into
    gradients of Parameters and running statistics, which threads share."""
    from d2l.c_api import LIBRARY, operator

    LIBRARY.MXAutogradBackwardEx = functools.partial(TURN.take, LIBRARY.MXAutogradBackwardEx)
    _route_calls([operator('BatchNorm')], TURN.take)

    def with_turns(original):
        class CachedOp(original):
            __slots__ = ('_writes',)

            def __init__(self, sym, flags=(), **kwargs):
                super().__init__(sym, flags, **kwargs)
                self._writes = bool(sym.list_auxiliary_states())

            def __call__(self, *args, **kwargs):
                if self._writes:
                    return TURN.take(super().__call__, *args, **kwargs)
                return super().__call__(*args, **kwargs)
        return CachedOp
    _replace_cached_op(with_turns)


def _tracing():
    """Return whether d2l traces a net in this thread. Then eager calls are not repaired: the
    CachedOp of the traced graph will be."""
    trace = sys.modules.get('d2l.hybrid.trace')
    return trace and trace.tracing()


# handle of an operator -> function that calls it in eager mode
_CALLS = collections.defaultdict(None)


def _route_calls(handles, function):
    """Make calls of these operators in eager mode calls of function(invoke, handle, arrays, keys,
    values, out, *kinds). `invoke` is the previous caller in the chain; the last is MXNet's own."""
    from mxnet.ndarray import register

    if _CALLS.default_factory is None:
        invoke = register._imperative_invoke
        _CALLS.default_factory = lambda: invoke
        register._imperative_invoke = lambda handle, *args: _CALLS[handle](handle, *args)
    for handle in handles:
        _CALLS[handle] = functools.partial(function, _CALLS[handle])


def _replace_cached_op(derive):
    """Replace CachedOp by a class derived from it, in all modules that have imported it.

    derive: function from the class to the derived class
    """
    import mxnet

    original = mxnet.nd.CachedOp
    derived = derive(original)
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get('CachedOp') is original:
            module.CachedOp = derived


class ShapeChange(typing.NamedTuple):
    """A change of the graph of a CachedOp that depends on the shapes of its arguments.

    concerns: function that returns whether a node may have to change
    change: function from a graph, and what `graphs.inferred` returns for it, to the changed graph,
        or None if it stays
    when: function that returns whether the change applies to a call with these arguments
    """
    concerns: typing.Callable
    change: typing.Callable
    when: typing.Callable = lambda args: True


_SHAPE_CHANGES = []


def _change_by_shapes(change):
    """Make every CachedOp run the graphs that a ShapeChange makes."""
    if not _SHAPE_CHANGES:
        _replace_cached_op(_cached_op_by_shapes)
    _SHAPE_CHANGES.append(change)


def _cached_op_by_shapes(original):
    """Return a class derived from CachedOp that runs other graphs, one for each set of shapes, if
    its graph has nodes that a ShapeChange concerns."""
    import mxnet

    from d2l import c_api

    def changed(sym, args, changes, is_np):
        """Return the changed Symbol, or None if nothing changes."""
        result = None
        for change in changes:
            try:
                found = graphs.inferred(sym, graphs.kinds(dict(zip(sym.list_inputs(), args))))
            except mxnet.MXNetError:            # this call will raise it
                return None
            graph = change.change(graphs.from_symbol(sym), found)
            if graph:
                result = sym = _symbol(graph, is_np)
        return result

    class CachedOp(original):
        __slots__ = ('_shape_changes', '_unchanged', '_by_shapes')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            nodes = graphs.from_symbol(sym)['nodes']
            self._shape_changes = [change for change in _SHAPE_CHANGES
                                   if any(map(change.concerns, nodes))]
            self._unchanged, self._by_shapes = (sym, flags), {}

        def __call__(self, *args, **kwargs):
            changes = [change for change in self._shape_changes if change.when(args)]
            if not changes:
                return super().__call__(*args, **kwargs)
            key = (*changes, *[c_api.kind(array.handle) for array in args])
            if key not in self._by_shapes:
                sym, flags = self._unchanged
                new = changed(sym, args, changes, self.is_np_sym)
                self._by_shapes[key] = None if new is None else original(new, flags)
            return (self._by_shapes[key] or super().__call__)(*args, **kwargs)
    return CachedOp


TURN = Turn()


# ---- max pooling and batch normalization, recorded in predict mode
def _repair_predict_mode():
    """Repair the gradients of two operators under autograd.record(train_mode=False).

    oneDNN's max pooling stores the indices of the maxima, which its gradient needs, in training
    mode only. So an operator that is called by itself runs in training mode. In a graph, pooling
    gets its channels last, because MXNet then uses its own code instead of oneDNN's.

    Batch normalization in predict mode uses the running statistics, but its gradient is computed as
    if they were those of the minibatch, unless the attribute use_global_stats is set.
    """
    from d2l.c_api import is_recording, is_training, operator, set_training

    pooling, norm = map(operator, ('Pooling', 'BatchNorm'))

    def predicts():
        return is_recording() and not is_training()

    def invoked(invoke, handle, *args):
        if not predicts():
            return invoke(handle, *args)
        if handle == norm:
            if _tracing():          # the graph is for training, too; CachedOp below repairs it
                return invoke(handle, *args)
            arrays, keys, values, *rest = args
            attrs = {**dict(zip(keys, values)), **ALWAYS}
            return invoke(handle, arrays, list(attrs), list(attrs.values()), *rest)
        set_training(True)
        try:
            return invoke(handle, *args)
        finally:
            set_training(False)
    _route_calls((pooling, norm), invoked)
    _replace_cached_op(functools.partial(_predicting_cached_op, predicts=predicts))


def _predicting_cached_op(original, predicts):
    """Return a class derived from CachedOp that runs a second graph under
    record(train_mode=False), if its graph has max pooling or batch normalization."""
    class CachedOp(original):
        __slots__ = ('_made_of', '_other')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            self._made_of, self._other = (sym, flags), None

        def __call__(self, *args, **kwargs):
            if not predicts():
                return super().__call__(*args, **kwargs)
            if self._other is None:
                (sym, flags), self._other = self._made_of, False
                graph = predicting(graphs.from_symbol(sym))
                if graph:
                    self._other = original(_symbol(graph, self.is_np_sym), flags)
            return (self._other or super().__call__)(*args, **kwargs)
    return CachedOp


def _symbol(graph, is_np):
    """Return the Symbol of a graph, for `mx.np` or for `mx.nd`."""
    symbol = graphs.to_symbol(graph)
    return symbol.as_np_ndarray() if is_np else symbol


def predicting(graph):
    """Return a graph with the channels last in each max pooling that oneDNN would compute, and with
    running statistics in each batch normalization. Return None if it has neither."""
    def changed(i, inputs, add):
        node = dict(graph['nodes'][i], inputs=inputs)
        attrs, layout = node.get('attrs', {}), _pooling_layout(node)

        def move(name, source, destination, inputs):
            return add(graphs.node('_np_moveaxis', f'{node["name"]} {name}', inputs,
                                   source=source, destination=destination))
        if node['op'] == 'BatchNorm':
            node['attrs'] = {**attrs, **ALWAYS}
        if not layout:
            return add(node)
        node.update(inputs=[[move('last', (1,), (-1,), inputs), 0, 0]],
                    attrs={**attrs, 'layout': LAST_AXIS[layout]})
        return move('back', (-1,), (1,), [[add(node), 0, 0]])
    if any(node['op'] == 'BatchNorm' or _pooling_layout(node) for node in graph['nodes']):
        return graphs.rebuilt(graph, changed)


def _pooling_layout(node):
    """Return the layout of a max pooling that oneDNN computes; None for any other operator."""
    attrs = node.get('attrs', {})
    if node['op'] != 'Pooling' or attrs.get('pool_type', 'max') != 'max':
        return None
    layout = attrs.get('layout', 'None')
    if layout == 'None':
        layout = CHANNELS.get(len(graphs.numbers(attrs.get('kernel', '()'))))
    return layout if layout in LAST_AXIS else None


# ---- which arrays want a gradient
def _note_marks():
    """Store for each array that is marked for autograd whether it needs a gradient, as MXNet does
    not tell. Also add up gradients with grad_req 'add' in d2l: for many operators, such as mean and
    cumsum, MXNet overwrites the earlier gradient. So MXNet gets 'write', and d2l adds the earlier
    gradient afterwards."""
    from mxnet import autograd, np

    from d2l.c_api import LIBRARY

    mark, attach = autograd.mark_variables, np.ndarray.attach_grad
    backward = LIBRARY.MXAutogradBackwardEx

    @functools.wraps(mark)
    def mark_variables(variables, gradients, grad_reqs='write'):
        one = not isinstance(variables, (list, tuple))
        arrays, gradients = ([variables], [gradients]) if one else (variables, gradients)
        reqs = [grad_reqs] * len(arrays) if isinstance(grad_reqs, str) else [*grad_reqs]
        times = collections.Counter(map(id, gradients))
        ours = [req == 'add' and isinstance(array, np.ndarray) and gradient.stype == 'default'
                and times[id(gradient)] == 1        # if arrays share a gradient, MXNet adds it up
                for array, gradient, req in zip(arrays, gradients, reqs)]
        mark(arrays, gradients, ['write' if own else req for own, req in zip(ours, reqs)])
        for array, req, own in zip(arrays, reqs, ours):
            _note(array, req, own)
    autograd.mark_variables = mark_variables

    @functools.wraps(attach)
    def attach_grad(self, grad_req='write'):
        attach(self, 'write' if grad_req == 'add' else grad_req)
        _note(self, grad_req, grad_req == 'add')
    np.ndarray.attach_grad = attach_grad

    def added(count, heads, gradients, variables, *rest):
        # With `variables`, autograd.grad is calling. It puts gradients into new arrays, to which
        # nothing is added
        if not _SUMMED_BY_D2L or variables:
            return backward(count, heads, gradients, variables, *rest)
        return TURN.take(_add, backward, count, heads, gradients, variables, *rest)
    LIBRARY.MXAutogradBackwardEx = added


# id of an array that needs a gradient -> (weak reference to it, alias of it). Code uses the alias:
# when another thread deletes an array, the weak reference still gives it after MXNet has freed it
_MARKED = {}
_SUMMED_BY_D2L = {}         # the same for the arrays whose gradients d2l adds up


def _note(array, req, added):
    """Store that an array was marked with this grad_req; added: whether d2l adds up its gradients.
    """
    from d2l import c_api

    if not hasattr(array, '__dict__'):      # an NDArray of mxnet.nd
        return
    array.learns, key = req != 'null', id(array)
    for holds, known in (array.learns, _MARKED), (added, _SUMMED_BY_D2L):
        known.pop(key, None)
        if holds:
            known[key] = weakref.ref(array, lambda ref, known=known: (
                ref is known.get(key, [None])[0] and known.pop(key))), c_api.alias(array)


def _learns(array):
    """Return whether an array was marked and needs a gradient."""
    known = getattr(array, '__dict__', None)
    return array.grad is not None if known is None else known.get('learns', False)


def _add(backward, count, heads, *rest):
    """Run the backward pass, and add to the gradient of each array in _SUMMED_BY_D2L on which the
    heads depend the gradient that it had before."""
    from mxnet import autograd

    from d2l import c_api
    from d2l.hybrid import tape

    names = c_api.variables_of(count, heads)
    arrays = [array for _, array in [*_SUMMED_BY_D2L.values()] if tape.entry(array)[0] in names]
    known = [(array, array.grad, array._fresh_grad) for array in arrays if array.grad is not None]
    with autograd.pause():
        before = [gradient.copy() for _, gradient, _ in known]
        for array, gradient, _ in known:
            array._fresh_grad = False
            gradient[:] = 0                 # elements that are not written must not count twice
        try:
            return backward(count, heads, *rest)
        finally:
            for (array, gradient, fresh), old in zip(known, before):
                if array._fresh_grad:       # the backward pass has reached this array
                    gradient += old
                else:
                    gradient[:] = old
                    array._fresh_grad = fresh


# ---- the bias of a fully connected layer whose weight is frozen
def _repair_bias():
    """Repair the gradient of the bias if the weight needs none. oneDNN computes both together, so
    MXNet leaves that of the bias uninitialized. In this case the bias is added by an operator of
    its own. So it is if the weight is the result of another operator, as it is not known then
    whether it needs a gradient."""
    from d2l.c_api import is_recording, operator

    full, add = map(operator, ('FullyConnected', '_npi_add'))

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        if len(arrays) != 3 or _learns(arrays[1]) or not is_recording() or _tracing():
            return invoke(handle, arrays, keys, values, out, *kinds)
        attrs = {**dict(zip(keys, values)), 'no_bias': 'True'}
        x = invoke(full, arrays[:2], list(attrs), list(attrs.values()), None, *kinds)
        return invoke(add, [x, arrays[2]], [], [], out, *kinds)
    _route_calls([full], invoked)
    _replace_cached_op(_unbiased_cached_op)
    _ask_for_weights()


def _ask_for_weights():
    """Make autograd.grad compute the gradient of a weight, too, if it computes that of the bias. By
    itself it computes no gradients but those of its variables."""
    from mxnet import autograd, nd

    original = autograd.grad

    @functools.wraps(original)
    def grad(heads, variables, *args, **named):
        wanted = [variables] if isinstance(variables, nd.NDArray) else [*variables]
        weights = _weights_beside([heads] if isinstance(heads, nd.NDArray) else heads, wanted)
        return original(heads, [*wanted, *weights], *args, **named)[:len(wanted)]
    autograd.grad = grad


def _weights_beside(heads, wanted):
    """Return the weights of fully connected layers whose bias depends on an array in `wanted`, if
    they are not in `wanted` themselves."""
    from d2l import c_api
    from d2l.hybrid import tape

    names, found = {tape.entry(array)[0] for array in wanted}, set()
    for symbol in map(c_api.graph_of, heads):
        nodes = [] if symbol is None else graphs.from_symbol(symbol)['nodes']
        needs = set()                       # indices of the nodes that depend on a wanted array
        for i, node in enumerate(nodes):
            inputs = [j for j, *_ in node['inputs']]
            if node['name'] in names or needs & {*inputs}:
                needs.add(i)
            if node['op'] == 'FullyConnected' and len(inputs) == 3 and inputs[2] in needs:
                found.add(nodes[inputs[1]]['name'])
            # its layers are hidden, so all of its inputs may be such weights
            elif node['op'] == '_CachedOp' and needs & {*inputs}:
                found |= {nodes[j]['name'] for j in inputs if nodes[j]['op'] == 'null'}
    found -= names
    return [array for _, array in [*_MARKED.values()]
            if found and array.ndim == 2 and tape.entry(array)[0] in found]


def _unbiased_cached_op(original):
    """Return a class derived from CachedOp that runs another graph for each set of weights that
    need no gradient."""
    from d2l.c_api import is_recording

    class CachedOp(original):
        __slots__ = ('_made', '_weights', '_others')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            self._made, self._weights, self._others = (sym, flags), None, {}

        def __call__(self, *args, **kwargs):
            if self._weights == () or not is_recording():
                return super().__call__(*args, **kwargs)
            sym, flags = self._made
            # indices of the weights among args; -1 for a weight that is the result of an operator
            if self._weights is None:
                at = {name: i for i, name in enumerate(sym.list_inputs())}
                self._weights = (*{at.get(name, -1) for name in weights_with_bias(
                    graphs.from_symbol(sym)).values()},)
            frozen = tuple([i for i in self._weights if i < 0 or not _learns(args[i])])
            if not frozen:
                return super().__call__(*args, **kwargs)
            if frozen not in self._others:
                names = sym.list_inputs()
                other = bias_apart(graphs.from_symbol(sym), {names[i] for i in frozen if i >= 0})
                self._others[frozen] = original(_symbol(other, self.is_np_sym), flags)
            return self._others[frozen](*args, **kwargs)
    return CachedOp


def weights_with_bias(graph):
    """Return {index of a node, a fully connected layer with a bias: name of the input that is its
    weight, or None if its weight is the result of an operator}."""
    nodes, found = graph['nodes'], {}
    for i, node in enumerate(nodes):
        if node['op'] == 'FullyConnected' and len(node['inputs']) == 3:
            weight = nodes[node['inputs'][1][0]]
            found[i] = weight['name'] if weight['op'] == 'null' else None
    return found


def bias_apart(graph, frozen):
    """Return a graph in which the bias of a fully connected layer is added by an operator of its
    own, if its weight is frozen or the result of an operator.

    frozen: names of the inputs that are frozen weights
    """
    apart = {i for i, name in weights_with_bias(graph).items() if name is None or name in frozen}

    def changed(i, inputs, add):
        node = graph['nodes'][i]
        if i not in apart:
            return add(dict(node, inputs=inputs))
        *taken, bias = inputs
        product = add(dict(node, inputs=taken, attrs={**node['attrs'], 'no_bias': 'True'}))
        return add(graphs.node('_npi_add', f'{node["name"]} with bias', [[product, 0, 0], bias]))
    return graphs.rebuilt(graph, changed)


# ---- garbage
def _collect_less():
    """Make MXNet collect garbage less often. It does so for each new DataLoader, which takes a
    quarter of a second, and section 15.6 makes one for each user. While all objects are frozen, the
    collector has none to look at."""
    from mxnet.gluon.data import DataLoader

    # collected: when garbage was last collected, and how long it took
    original, collected = DataLoader.__init__, [0, 0]

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        start = time.monotonic()
        frozen = (start - collected[0] < COLLECT_SHARE * collected[1]
                  and gc.get_freeze_count() <= FROZEN_BY_PYTHON)
        if frozen:
            gc.freeze()
        try:
            original(self, *args, **kwargs)
        finally:
            if frozen:
                gc.unfreeze()
            else:
                collected[:] = start, time.monotonic() - start
    DataLoader.__init__ = init


# ---- files
def pictures():
    """Return the folder of the pictures that the book's listings read as ../img/...: in a checkout
    it is beside d2l, in a wheel it is in the package d2l_chapters."""
    beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for package in 'chapters', 'd2l_chapters':
        folder = os.path.join(beside, package, 'img')
        if os.path.isdir(folder):
            return folder
    return os.path.join(beside, 'd2l_chapters', 'img')


def _find_pictures():
    from mxnet import image

    original = image.imread

    @functools.wraps(original)
    def imread(filename, *args, **kwargs):
        if isinstance(filename, (str, os.PathLike)):
            folder, name = os.path.split(os.fspath(filename))
            shipped = os.path.join(pictures(), name)
            if os.path.basename(folder) == 'img' and not os.path.exists(filename) \
                    and os.path.isfile(shipped):
                print(f'd2l: there is no {filename} here; this is the one shipped with the book: '
                      f'{shipped}', file=sys.stderr)
                filename = shipped
        return original(filename, *args, **kwargs)
    image.imread = image.image.imread = imread


def _load_a_lone_layer():
    """Repair load_parameters for a layer that has no children. save_parameters writes its
    Parameters with names without a dot, and load_parameters takes such a file for an older format.
    """
    from mxnet import gluon, npx
    from mxnet.base import MXNetError

    original = gluon.Block.load_parameters

    @functools.wraps(original)
    def load_parameters(self, filename, ctx=None, allow_missing=False, ignore_extra=False,
                        cast_dtype=False, dtype_source='current'):
        own, loaded = self._collect_params_with_prefix(), {}
        if own and not any('.' in name for name in own) and os.path.isfile(filename) \
                and npx.is_np_array():
            try:
                loaded = npx.load(filename)
            except MXNetError:                  # the original raises the error
                pass
        if not isinstance(loaded, dict) or not loaded or not own.keys() & loaded.keys():
            return original(self, filename, ctx, allow_missing, ignore_extra, cast_dtype,
                            dtype_source)
        for name in own.keys() - loaded.keys():
            if not allow_missing:
                raise AssertionError(f"Parameter '{name}' is missing in file '{filename}': "
                                     'allow_missing=True ignores that')
        for name in loaded.keys() - own.keys():
            if not ignore_extra:
                raise ValueError(f"'{filename}' has a Parameter '{name}', which this "
                                 f'{type(self).__name__} has not: ignore_extra=True ignores that')
        for name in own.keys() & loaded.keys():
            own[name]._load_init(loaded[name], ctx, cast_dtype=cast_dtype,
                                 dtype_source=dtype_source)
    gluon.Block.load_parameters = load_parameters


# ---- a part of a convolution's channels
def _repair_channel_slices():
    """Compute a slice along axis 1, of an array with three axes or more, by slice_axis. In training
    mode, oneDNN stores the results of convolutions in blocks of 8 or 16 channels, and its slice of
    a part of a block ends the process or raises an error. slice_axis has no code in oneDNN."""
    from d2l.c_api import operator

    along, whole = operator('slice_axis'), operator('slice')

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        attrs = dict(zip(keys, values))
        if _slices_axis_1(attrs):
            channels, attrs = _channels_and_rest(attrs, arrays[0].shape)
            if channels:
                arrays = [invoke(along, arrays, list(channels), list(channels.values()),
                                 None if attrs else out, *kinds)]
                if not attrs:
                    return arrays[0]
            keys, values = list(attrs), list(attrs.values())
        return invoke(whole, arrays, keys, values, out, *kinds)
    _route_calls([whole], invoked)
    _change_by_shapes(ShapeChange(_may_slice_channels, channels_sliced))


def _bounds(attrs, name):
    """Return the attribute begin, end or step of a slice as a tuple."""
    value = attrs.get(name)
    value = graphs.literal(value) if isinstance(value, str) else value
    return tuple(value) if isinstance(value, (tuple, list)) else () if value is None else (value,)


def _may_slice_channels(node):
    """Return whether a node of a graph may take a part of axis 1."""
    return node['op'] == 'slice' and _slices_axis_1(node.get('attrs', {}))


def _slices_axis_1(attrs):
    """Return whether the operator slice, with these attributes, may take a part of axis 1."""
    ends = *_bounds(attrs, 'begin')[1:2], *_bounds(attrs, 'end')[1:2]
    return ends not in ((), (None, None)) and _bounds(attrs, 'step')[1:2] in ((), (None,), (1,))


def _channels_and_rest(attrs, shape):
    """Split a slice of an array of this shape into two operators. Return a pair: the attributes of
    the slice_axis that takes a part of the channels, or None if it needs none, and the attributes
    of the slice that follows, or {} if it needs none."""
    begin, end = ([*_bounds(attrs, name)] for name in ('begin', 'end'))
    if len(shape) < 3 or len(begin) < 2 or len(end) < 2:
        return None, attrs
    first, last = begin[1] or 0, end[1]
    start, stop, _ = slice(first, last).indices(shape[1])
    if stop <= start:
        return None, attrs
    # slice_axis raises an error for a bound beyond the axis, so it only makes a row-major copy
    if max(-first, abs(last or 0)) > shape[1]:
        return {'axis': 1, 'begin': 0, 'end': None}, attrs
    begin[1] = end[1] = None
    rest = {**attrs, 'begin': (*begin,), 'end': (*end,)}
    others = any(value is not None for value in (*begin, *end, *_bounds(attrs, 'step')))
    return {'axis': 1, 'begin': first, 'end': last}, rest if others else {}


def channels_sliced(graph, inferred):
    """Return a graph in which slice_axis takes parts of channels, or None if there are none.

    inferred: see `graphs.inferred`
    """
    changed = []

    def change(i, inputs, add):
        node = dict(graph['nodes'][i], inputs=inputs)
        attrs = node.get('attrs', {})
        if not _may_slice_channels(node):
            return add(node)
        before, k, *_ = graph['nodes'][i]['inputs'][0]
        channels, rest = _channels_and_rest(attrs, inferred[graph['nodes'][before]['name']][k][0])
        if not channels:
            return add(node)
        changed.append(i)
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        node.update(op='slice_axis', attrs={**apart, **{n: str(v) for n, v in channels.items()}})
        if not rest:
            return add(node)
        first = add({**node, 'name': f'{node["name"]} channels'})
        return add(graphs.node('slice', node['name'], [[first, 0, 0]], **rest))
    new = graphs.rebuilt(graph, change)
    return new if changed else None


# ---- dropout between the layers of an RNN
def _repair_rnn_dropout():
    """In training on a CPU, compute an RNN of several layers with dropout layer by layer, with
    Dropout between them: oneDNN's RNN, which MXNet calls, drops nothing. The masks are those of
    `nn.Dropout` between single layers.

    Under record(train_mode=False), MXNet's own code (float64) and cuDNN's drop: there it is 0.
    """
    from d2l.c_api import is_recording, is_training, operator

    def trains(arrays):
        return is_training() and arrays[0].context.device_type != 'gpu'

    def predicts(arrays):
        return is_recording() and not is_training()

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        attrs = {key: str(value) for key, value in zip(keys, values)}
        # a trace keeps the operator, as the CachedOp of its graph will be repaired
        if not _drops_between_layers(attrs) or _tracing():
            return invoke(handle, arrays, keys, values, out, *kinds)
        if predicts(arrays):
            attrs['p'] = '0'
        if not trains(arrays):
            return invoke(handle, arrays, [*attrs], [*attrs.values()], out, *kinds)

        def call(op, inputs, count=1, out=None, **attrs):
            found = _CALLS[operator(op)](operator(op), inputs, list(attrs),
                                         [*map(str, attrs.values())], out, *kinds)
            return found if isinstance(found, list) else [found]
        found = _layer_by_layer(call, arrays, attrs, arrays[0].shape[2])
        if out is not None:
            outs = out if isinstance(out, (list, tuple)) else [out]
            found = [call('_copy', [new], out=old)[0] for new, old in zip(found, outs)]
        return found if len(found) > 1 else found[0]
    _route_calls([operator('RNN')], invoked)
    _change_by_shapes(ShapeChange(_rnn_drops, rnns_layer_by_layer, trains))
    _change_by_shapes(ShapeChange(_rnn_drops, rnns_without_dropout, predicts))


def _rnn_drops(node):
    """Return whether a node of a graph is an RNN that drops values in training."""
    return node['op'] == 'RNN' and _drops_between_layers(node.get('attrs', {}))


def _drops_between_layers(attrs):
    """Return whether the operator RNN, with these attributes, drops values in training. (With a
    projection, MXNet has none for a CPU.)"""
    return (float(attrs.get('p', 0)) > 0 and int(attrs.get('num_layers', 1)) > 1
            and attrs.get('projection_size', 'None') == 'None')


def _is_true(text):
    """Return whether the text of an attribute means True."""
    return text in ('True', 'true', '1')


def _layer_by_layer(call, inputs, attrs, features):
    """Compute an RNN layer by layer, and return the list of its results.

    call: function that is called as call(operator, inputs, count=1, **attributes), and returns a
        list of so many results
    inputs: those of the operator RNN: sequence (steps, batch, features), the weights of each layer
        and then its biases, in one vector, and the states (layers * directions, batch, size)
    attrs: the attributes of the operator RNN, as texts
    """
    layers, size = int(attrs['num_layers']), int(attrs['state_size'])
    states = 2 if attrs['mode'] == 'lstm' else 1
    directions = 1 + _is_true(attrs.get('bidirectional'))
    gates = {'lstm': 4, 'gru': 3}.get(attrs['mode'], 1)
    widths = [features] + [directions * size] * (layers - 1)
    sizes = [directions * gates * size * (width + size) for width in widths]
    sizes += [directions * gates * size * 2] * layers
    ends = (*itertools.accumulate(sizes[:-1], initial=0),)
    results = 1 + states * _is_true(attrs.get('state_outputs'))
    sequence, parameters, *rest = inputs
    parts = call('_split_v2', [parameters], 2 * layers, indices=ends, axis=0)
    starts = [call('_split_v2', [state], layers, indices=(), sections=layers, axis=0)
              for state in rest[:states]]
    lasts = []
    for i in range(layers):
        if i:
            sequence = call('Dropout', [sequence], p=attrs['p'])[0]
        own, = call('Concat', [parts[i], parts[layers + i]], num_args=2, dim=0)
        sequence, *last = call('RNN', [sequence, own, *[start[i] for start in starts],
                                       *rest[states:]], results,
                               **{**attrs, 'num_layers': 1, 'p': 0})
        lasts.append(last)
    return [sequence, *[call('Concat', last, num_args=layers, dim=0)[0] for last in zip(*lasts)]]


def rnns_layer_by_layer(graph, inferred):
    """Return a graph that computes each RNN of several layers with dropout layer by layer.

    inferred: see `graphs.inferred`
    """
    def change(i, inputs, add):
        node = graph['nodes'][i]
        attrs = node.get('attrs', {})
        if not _rnn_drops(node):
            return add(dict(node, inputs=inputs))
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        numbers = itertools.count()

        def call(op, inputs, count=1, **attrs):
            new = graphs.node(op, f'{node["name"]} {next(numbers)}', inputs, **apart, **attrs)
            if 'control_deps' in node:
                new['control_deps'] = node['control_deps']
            at = add(new)
            return [[at, k, 0] for k in range(count)]
        before, k, *_ = node['inputs'][0]
        found = _layer_by_layer(call, inputs, {name: text for name, text in attrs.items()
                                               if name not in apart},
                                inferred[graph['nodes'][before]['name']][k][0][2])
        return [entry[0] for entry in found]
    return graphs.rebuilt(graph, change)


def rnns_without_dropout(graph, inferred):
    """Return a graph in which no RNN drops values. inferred: ignored"""
    return {**graph, 'nodes': [
        {**node, 'attrs': {**node['attrs'], 'p': '0'}} if _rnn_drops(node) else node
        for node in graph['nodes']]}


# ---- the rest
def _fetch():
    from d2l.data import fetch

    fetch.replace_gluons()


def _update_faster():
    from d2l import updates

    updates.install()


def _copy_compiled():
    from mxnet import gluon

    def copy(block):
        from d2l.hybrid.block import copied  # here, as the compiler is imported later
        return copied(block)
    gluon.Block.__copy__ = copy


AFTER = [
    Effect(_fetch, 'how Gluon fetches data sets, word vectors and pretrained parameters',
           'verified, whole or not at all; `D2L_DATA=sample` makes stand-ins',
           '`D2L_PATCH=0`, without `D2L_DATA=sample`',
           lambda: os.environ.get('D2L_DATA') == 'sample'),
    Effect(_find_pictures, "`image.imread('../img/cat1.jpg')`",
           'finds the pictures of the book that '
           'are shipped with it, where there is no such file, and says so'),
    Effect(_load_a_lone_layer, '`load_parameters` of a layer alone', 'MXNet cannot read what its '
           '`save_parameters` wrote'),
    Effect(_update_faster, 'how MXNet\'s SGD and Adam update on a CPU',
           'the same operators, called '
           'straight: faster (`d2l/updates.py`)'),
    Effect(_copy_compiled, '`copy.copy` of a Block',
           'the copy of a compiled one would compute with the '
           'attributes of the other'),
    Effect(_collect_less, 'how often Gluon\'s DataLoader collects garbage',
           'a quarter of a second for '
           'each DataLoader; now at most a tenth of the time'),
    Effect(_take_turns, 'gradients, and `BatchNorm` of several threads at once: they take turns',
           'MXNet\'s engine may let them wait for each other for ever'),
    Effect(_repair_numbers, 'the gradients of `np.where(c, x, 0)`, `np.where(c, 0, x)` and '
           '`np.arctan2(1, x)`', 'MXNet\'s operators for a number give those of other functions'),
    Effect(_repair_var_and_std, 'the gradients of `np.var` and `np.std`', 'MXNet\'s are 0'),
    Effect(_repair_rot90, 'the gradient of `np.rot90`', 'MXNet\'s is turned the wrong way'),
    Effect(_repair_slopes, 'the gradients of `np.atleast_1d`, `_2d` and `_3d`, `np.unique`, '
           '`np.percentile`, `np.quantile`, `np.polyval`, `np.einsum` of a diagonal, and in '
           '`np.linalg` of `norm` of matrices, `eig`, `eigh`, `eigvals`, `eigvalsh` and `pinv`; of '
           '`np.random.uniform`, `power` and the scale of `gamma` (that of its shape stays 0, as '
           'in `beta` and `chisquare`)',
           'MXNet\'s are 0, what lies in memory, or multiplied by what comes '
           'from above twice'),
    Effect(_repair_predict_mode, 'the gradients of max pooling and batch normalization under '
           '`record(train_mode=False)`', 'MXNet\'s are what lies in memory, and those of training'),
    Effect(_note_marks, 'gradients of `grad_req` \'add\': d2l adds them up', 'MXNet writes over '
           'what was there, or leaves it, where the array itself goes into `mean`, `cumsum`, '
           '`flip`, `diff`, `trace`, `split`, `clip`, `inner`, `tensordot`, `inv` and others'),
    Effect(_repair_bias, 'the gradient of the bias of `Dense` whose weight wants none',
           'MXNet\'s is what lies in memory: oneDNN computes it together with that of the weight'),
    Effect(_repair_channel_slices, 'slices of channels, such as `Y[:, :8]`, of a convolution\'s '
           'result in training', 'oneDNN\'s end the process, or raise an error, where they cut its '
           'blocks of 8 or 16 channels'),
    Effect(_repair_rnn_dropout, '`rnn.LSTM`, `GRU` and `RNN` with `dropout`, on a CPU',
           'oneDNN\'s, which MXNet calls, drop nothing between their layers; others drop '
           'under `record(train_mode=False)`'),
    Effect(_repair_of_gamma, '`np.random.chisquare` and `beta`', 'MXNet draws a quarter of what it '
           'should, and one number for all where `a` or `b` is one'),
    Effect(_repair_choice, '`np.random.choice(n, k, replace=False)`',
           'MXNet gives 0 to n - 1 in order '
           'where k is n, and else few of the possible orders; and with `p` elements of weight 0 '
           'where others are too few, which is an error here'),
]
