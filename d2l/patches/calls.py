"""How a patch reaches an operator in eager mode, and a CachedOp, the graph that Gluon's and d2l's
`hybridize` run."""
import collections
import functools
import sys


def tracing():
    """Return whether d2l traces a net in this thread. Then eager calls are not repaired: the
    CachedOp of the traced graph will be."""
    trace = sys.modules.get('d2l.hybrid.trace')
    return trace and trace.tracing()


# handle of an operator -> function that calls it in eager mode
CALLS = collections.defaultdict(None)


def route_calls(handles, function):
    """Make calls of these operators in eager mode calls of function(invoke, handle, arrays, keys,
    values, out, *kinds). `invoke` is the previous caller in the chain; the last is MXNet's own."""
    from mxnet.ndarray import register

    if CALLS.default_factory is None:
        invoke = register._imperative_invoke
        CALLS.default_factory = lambda: invoke
        register._imperative_invoke = lambda handle, *args: CALLS[handle](handle, *args)
    for handle in handles:
        CALLS[handle] = functools.partial(function, CALLS[handle])


def replace_cached_op(derive):
    """Replace CachedOp by a class derived from it, in all modules that have imported it.

    derive: function from the class to the derived class
    """
    import mxnet

    original = mxnet.nd.CachedOp
    derived = derive(original if hasattr(original, 'substitute') else _with_substitutes(original))
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get('CachedOp') is original:
            module.CachedOp = derived


def _with_substitutes(original):
    """Return a class derived from CachedOp that stores other CachedOps, which run in its place, in
    a dict, and gives them the hooks that it gets."""
    class CachedOp(original):
        __slots__ = ('substitutes', '_hooks')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            self.substitutes, self._hooks = {}, []

        def substitute(self, key, other):
            """Store another CachedOp under a key."""
            self.substitutes[key] = other
            for args, kwargs in self._hooks:
                other._register_op_hook(*args, **kwargs)

        def _register_op_hook(self, *args, **kwargs):
            self._hooks.append((args, kwargs))
            super()._register_op_hook(*args, **kwargs)
            for other in self.substitutes.values():
                other._register_op_hook(*args, **kwargs)
    return CachedOp


def is_true(text):
    """Return whether the text of an attribute means True. None, for one that is not there, does
    not."""
    return text in ('True', 'true', '1')
