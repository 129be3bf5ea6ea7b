"""Functions of `mx.np.random` that draw something else than they should in MXNet."""
import functools
import math

from .calls import tracing


# ---- drawing without replacement
def repair_choice():
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
            # a trace has no values, so a compiled net draws whatever p is; NaN is not >= 0
            if given and not tracing() and not bool(((p > 0).sum() >= drawn) * (p >= 0).all()):
                raise ValueError(f'{drawn} of {count} cannot be drawn without replacement: p has '
                                 f'{int((p > 0).sum())} weights above 0')
        return original(a, size, replace, p, ctx, out)
    random.choice = choice


# ---- distributions that are computed from the gamma distribution
def repair_of_gamma():
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
