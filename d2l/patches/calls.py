"""How a repair reaches an operator: in eager mode, and in the graph of a CachedOp, which Gluon's
and d2l's `hybridize` run."""
import collections
import functools
import itertools
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


def is_true(text):
    """Return whether the text of an attribute means True. None, for one that is not there, does
    not."""
    return text in ('True', 'true', '1')


class Input(typing.NamedTuple):
    """What a Repair knows of an input. shape; dtype: a numpy.dtype; array: the array itself in
    eager mode, None in a graph"""
    shape: tuple
    dtype: type
    array: object = None


class Repair(typing.NamedTuple):
    """How calls of an operator become right, in eager mode and in the graphs of CachedOps.

    op: the operator's name
    concerns: function from the operator's attributes, as texts, that returns whether calls with
        these attributes may need the repair
    make: function that is called as make(call, inputs, attrs, known), and returns the list of the
        results, or None where the operator may stay. `inputs` and `attrs` are the operator's,
        `known` are its inputs as Inputs, and call(operator, inputs, count=1, **attributes) calls
        another operator and returns the list of its results, `count` of them. By `call`, the
        operator itself is not repaired again
    source: function that returns whether a node of a graph may need the repair whose first input is
        the result of the operator with this name, or an argument of the graph ('null')
    when: function from the arguments of a call, in eager mode or of a CachedOp, that returns
        whether the repair applies to it. The mode of autograd may matter to this function and to
        `make`
    traced: whether the repair applies to calls that d2l traces as well. Else the trace keeps the
        operator, and the CachedOp of its graph repairs it
    """
    op: str
    concerns: typing.Callable
    make: typing.Callable
    source: typing.Callable = lambda op: True
    when: typing.Callable = lambda arrays: True
    traced: bool = False

    def of_node(self, node, nodes):
        """Return whether a node of a graph, which has these nodes, may need the repair."""
        return (node['op'] == self.op and self.concerns(node.get('attrs', {}))
                and self.source(nodes[node['inputs'][0][0]]['op']))


_REPAIRS = []


def repair(*args, **kwargs):
    """Install a Repair with these fields."""
    new = Repair(*args, **kwargs)
    if not _REPAIRS:
        replace_cached_op(_repaired_cached_op)
    _REPAIRS.append(new)
    from d2l.c_api import operator
    route_calls([operator(new.op)], functools.partial(_repaired_call, new))


def _repaired_call(repair, invoke, handle, arrays, keys, values, out, *kinds):
    """Call an operator in eager mode, repaired where it has to be."""
    attrs = {key: str(value) for key, value in zip(keys, values)}
    if not repair.concerns(attrs) or not repair.when(arrays) or not repair.traced and tracing():
        return invoke(handle, arrays, keys, values, out, *kinds)
    import numpy

    from d2l.c_api import operator

    def call(op, inputs, count=1, out=None, **attrs):
        other = operator(op)
        found = (invoke if other == handle else CALLS[other])(
            other, inputs, [*attrs], [*map(str, attrs.values())], out, *kinds)
        return found if isinstance(found, list) else [found]
    # the dtype of an array of mx.nd is a class, which equals no name
    found = repair.make(call, arrays, attrs, [
        Input(array.shape, numpy.dtype(array.dtype), array) for array in arrays])
    if found is None:
        return invoke(handle, arrays, keys, values, out, *kinds)
    if out is not None:
        outs = out if isinstance(out, (list, tuple)) else [out]
        found = [call('_copy', [new], out=old)[0] for new, old in zip(found, outs)]
    return found if len(found) > 1 else found[0]


def repaired(graph, inferred, repair):
    """Return a graph in which an operator is repaired, or None if it may stay.

    inferred: see `graphs.inferred`
    """
    changed = []

    def change(i, inputs, add):
        node = graph['nodes'][i]
        found = repair.of_node(node, graph['nodes']) and made(node, inputs, add)
        if found:
            changed.append(i)
        return found or add(dict(node, inputs=inputs))

    def made(node, inputs, add):
        numbers, attrs = itertools.count(), node.get('attrs', {})
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        # what has to run before this node has to run before the numbers are drawn
        waits = 'Dropout' if node['op'] == 'RNN' else node['op']

        def call(op, inputs, count=1, **attrs):
            new = graphs.node(op, f'{node["name"]} {next(numbers)}', inputs, **apart, **attrs)
            if 'control_deps' in node and op == waits:
                new['control_deps'] = node['control_deps']
            at = add(new)
            return [[at, k, 0] for k in range(count)]
        return repair.make(call, inputs, {name: text for name, text in attrs.items()
                                          if name not in apart},
                           [Input(*inferred[graph['nodes'][before]['name']][k])
                            for before, k, *_ in node['inputs']])
    new = graphs.rebuilt(graph, change)
    return new if changed else None


def _repaired_cached_op(original):
    """Return a class derived from CachedOp that runs repaired graphs, for the shapes, dtypes and
    devices of its arguments and for the mode of autograd."""
    import mxnet

    from d2l import c_api

    class CachedOp(original):
        __slots__ = ('_repairs', '_unchanged', '_by_kinds', '_by_graph')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            nodes = graphs.from_symbol(sym)['nodes']
            self._repairs = [each for each in _REPAIRS
                             if any(each.of_node(node, nodes) for node in nodes)]
            self._unchanged, self._by_kinds, self._by_graph = (sym, flags), {}, {}

        def __call__(self, *args, **kwargs):
            repairs = [each for each in self._repairs if each.when(args)]
            if not repairs:
                return super().__call__(*args, **kwargs)
            key = (c_api.is_recording(), c_api.is_training(), *map(id, repairs),
                   *[c_api.kind(array.handle) for array in args])
            if key not in self._by_kinds:
                self._by_kinds[key] = self._repaired(args, repairs)
            return (self._by_kinds[key] or super().__call__)(*args, **kwargs)

        def _repaired(self, args, repairs):
            """Return the CachedOp that runs the repaired graph, or None if this one does."""
            (symbol, flags), text = self._unchanged, None
            for each in repairs:
                try:
                    found = graphs.inferred(symbol, graphs.kinds(
                        dict(zip(symbol.list_inputs(), args))))
                except mxnet.MXNetError:            # this call will raise it
                    return None
                graph = repaired(graphs.from_symbol(symbol), found, each)
                if graph:
                    symbol, text = to_symbol(graph, self.is_np_sym), str(graph)
            if text and text not in self._by_graph:
                self._by_graph[text] = original(symbol, flags)
            # shapes that need the same graph share its memory
            return self._by_graph.get(text)
    return CachedOp
