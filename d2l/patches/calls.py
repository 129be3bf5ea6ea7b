"""How a patch reaches an operator in eager mode, and a CachedOp, the graph that Gluon's and d2l's
`hybridize` run."""
import collections
import functools
import sys

from d2l import graphs


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
    derived = derive(original)
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get('CachedOp') is original:
            module.CachedOp = derived


def to_symbol(graph, is_np):
    """Return the Symbol of a graph, for `mx.np` or for `mx.nd`."""
    symbol = graphs.to_symbol(graph)
    return symbol.as_np_ndarray() if is_np else symbol


def is_true(text):
    """Return whether the text of an attribute means True. None, for one that is not there, does
    not."""
    return text in ('True', 'true', '1')
