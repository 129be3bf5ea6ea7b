"""How a repair reaches an operator: in eager mode, and in the graph of a CachedOp, which Gluon's
and d2l's `hybridize` run."""
import collections
import functools
import sys
import typing

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


def change_by_shapes(change):
    """Make every CachedOp run the graphs that a ShapeChange makes."""
    if not _SHAPE_CHANGES:
        replace_cached_op(_cached_op_by_shapes)
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
                result = sym = to_symbol(graph, is_np)
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
