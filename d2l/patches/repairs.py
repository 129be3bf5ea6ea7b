"""What a repair of an operator is, and how it reaches the operator in eager mode, in the graphs of
CachedOps, which Gluon's and d2l's `hybridize` run, and in the bodies of loops in these."""
import functools
import itertools
import typing

from d2l import graphs

from .calls import CALLS, replace_cached_op, route_calls, tracing
from .marks import learns


class Input(typing.NamedTuple):
    """What a Repair knows of an input. shape: None if it depends on values, as that of np.unique;
    dtype: a numpy.dtype; array: the array itself in eager mode, None in a graph"""
    shape: typing.Optional[tuple]
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
    source: function that is called as source(node, nodes) with the node of a graph whose result is
        the operator's first input, and all nodes; returns whether it may need the repair after it
    when: function from the arguments of a call, in eager mode or of a CachedOp, that returns
        whether the repair applies to it. The mode of autograd may matter to this function and to
        `make`
    frozen: index of the input without a gradient of its own to which calls owe the repair: it does
        not apply where this input is an array that wants a gradient. None if that does not matter
    traced: whether the repair applies to calls that d2l traces as well. Else the trace keeps the
        operator, and the CachedOp of its graph repairs it
    eager: whether the repair applies in eager mode
    """
    op: str
    concerns: typing.Callable
    make: typing.Callable
    source: typing.Callable = lambda node, nodes: True
    when: typing.Callable = lambda arrays: True
    frozen: typing.Optional[int] = None
    traced: bool = False
    eager: bool = True

    def of_node(self, node, nodes, learning=()):
        """Return whether a node of a graph, which has these nodes, may need the repair.

        learning: the names of the variables that want a gradient
        """
        if (node['op'] != self.op or not self.concerns(node.get('attrs', {}))
                or not self.source(nodes[node['inputs'][0][0]], nodes)):
            return False
        if self.frozen is None:
            return True
        inputs = [nodes[i] for i, *_ in node['inputs']][self.frozen:]
        return bool(inputs) and not (inputs[0]['op'] == 'null' and inputs[0]['name'] in learning)

    def of_graph(self, graph, learning=()):
        """Return whether a node of a graph, or of a graph inside of one, may need the repair."""
        return any(self.of_node(node, graph['nodes'], learning)
                   or any(map(self.of_graph, node.get('subgraphs', ())))
                   for node in graph['nodes'])


def records(arrays):
    """Return whether autograd records, as `Repair.when` asks."""
    from d2l.c_api import is_recording

    return is_recording()


_REPAIRS = []


def repair(*args, **kwargs):
    """Install a Repair with these fields."""
    new = Repair(*args, **kwargs)
    if not _REPAIRS:
        replace_cached_op(_repaired_cached_op)
    _REPAIRS.append(new)
    from d2l.c_api import operator
    if new.eager:
        route_calls([operator(new.op)], functools.partial(_repaired_call, new))


def _repaired_call(repair, invoke, handle, arrays, keys, values, out, *kinds):
    """Call an operator in eager mode, repaired where it has to be."""
    at, attrs = repair.frozen, {}
    applies = ((at is None or at < len(arrays) and not learns(arrays[at])) and repair.when(arrays)
               and (repair.traced or not tracing()))
    if applies:
        attrs.update((key, str(value)) for key, value in zip(keys, values))
    if not applies or not repair.concerns(attrs):
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


def repaired(graph, kinds, repair, learning=()):
    """Return a graph in which an operator is repaired, also in the graphs inside of its nodes, or
    None if it may stay.

    kinds: name of a variable -> (shape or None, dtype)
    learning: the names of the variables that want a gradient
    """
    if not repair.of_graph(graph, learning):
        return None
    symbol = graphs.to_symbol(graph)
    inferred = graphs.inferred(symbol, kinds)
    nodes, changed = graph['nodes'], []

    def change(i, inputs, add):
        node = nodes[i]
        known = [inferred[nodes[before]['name']][k] for before, k, *_ in node['inputs']]
        inside = [repaired(part, each, repair) for part, each in graphs.parts(node, known)]
        if any(inside):
            node = dict(node, subgraphs=[new or old for new, old in zip(
                inside, node['subgraphs'])])
        found = repair.of_node(node, nodes, learning) and made(node, inputs, known, add)
        if found or any(inside):
            changed.append(i)
        return found or add(dict(node, inputs=inputs))

    def made(node, inputs, known, add):
        numbers, attrs = itertools.count(), node.get('attrs', {})
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        # what has to run before this node has to run before the numbers are drawn
        waits = 'Dropout' if node['op'] == 'RNN' else node['op']

        def call(op, inputs, count=1, **attrs):
            new = graphs.node(op, f'{node["name"]} {next(numbers)}', inputs, **apart, **attrs)
            if op == node['op'] and 'subgraphs' in node:
                new['subgraphs'] = node['subgraphs']
            if 'control_deps' in node and op == waits:
                new['control_deps'] = node['control_deps']
            at = add(new)
            return [[at, k, 0] for k in range(count)]
        return repair.make(call, inputs, {name: text for name, text in attrs.items()
                                          if name not in apart}, [Input(*each) for each in known])
    new = graphs.rebuilt(graph, change)
    if not changed:
        return None
    # whoever runs the graph gives it the arguments in this order
    assert graphs.to_symbol(new).list_inputs() == symbol.list_inputs(), 'another order of arguments'
    return new


def _repaired_cached_op(original):
    """Return a class derived from CachedOp that runs repaired graphs, for the shapes, dtypes and
    devices of its arguments, for those that want a gradient, and for the mode of autograd."""
    import mxnet

    from d2l import c_api

    class CachedOp(original):
        __slots__ = ('_repairs', '_whens', '_unchanged', '_by_kinds')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            graph = graphs.from_symbol(sym)
            self._repairs = [(each, _frozen_at(each, graph, sym.list_inputs()))
                             for each in _REPAIRS if each.of_graph(graph)]
            self._whens = {each.when for each, _ in self._repairs}
            self._unchanged, self._by_kinds = (sym, flags), {}

        def __call__(self, *args, **kwargs):
            applies = {when: when(args) for when in self._whens}    # many share the same function
            repairs = [each for each, at in self._repairs if applies[each.when] and not (
                at and all(i >= 0 and learns(args[i]) for i in at))]
            if not repairs:
                return super().__call__(*args, **kwargs)
            learning = frozenset(
                i for _, at in self._repairs for i in at if i >= 0 and learns(args[i]))
            key = (c_api.is_recording(), c_api.is_training(), learning, (*map(id, repairs),),
                   *[c_api.kind(array.handle) for array in args])
            if key not in self._by_kinds:
                self._by_kinds[key] = self._repaired(args, repairs, learning)
            return (self._by_kinds[key] or super().__call__)(*args, **kwargs)

        def _repaired(self, args, repairs, learning):
            """Return the CachedOp that runs the repaired graph, or None if this one does."""
            (symbol, flags), changed = self._unchanged, False
            names = symbol.list_inputs()
            graph = graphs.with_unique_names(graphs.from_symbol(symbol))
            for each in repairs:
                try:
                    found = repaired(graph, graphs.kinds(dict(zip(names, args))), each,
                                     {names[i] for i in learning})
                except mxnet.MXNetError:            # this call will raise it
                    return None
                graph, changed = found or graph, changed or bool(found)
            if not changed:
                return None
            # in predict mode, the gradient of RNN in float64 fails now and then with static_shape
            if c_api.is_recording() and not c_api.is_training():
                flags = [flag for flag in flags if flag[0] != 'static_shape']
            key = str((graph, flags))
            if key not in self.substitutes:     # shapes that need the same graph share its memory
                symbol = graphs.to_symbol(graph)
                self.substitute(key, original(
                    symbol.as_np_ndarray() if self.is_np_sym else symbol, flags))
            return self.substitutes[key]
    return CachedOp


def _frozen_at(repair, graph, names):
    """Return the indices of the arguments of a graph, which have these names, on which it depends
    whether the repair applies (see `Repair.frozen`), with -1 for what is no argument."""
    found, nodes = set(), graph['nodes']
    for node in nodes if repair.frozen is not None else ():
        if repair.of_node(node, nodes):
            before = nodes[node['inputs'][repair.frozen][0]]
            found.add(names.index(before['name']) if before['op'] == 'null' else -1)
        if any(map(repair.of_graph, node.get('subgraphs', ()))):
            found.add(-1)
    return (*found,)
