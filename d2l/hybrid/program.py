"""A trace made into a program: its graph bound as MXNet's CachedOp, and what to feed it."""
import functools
import itertools
import json
import operator

import mxnet
from mxnet import autograd
from mxnet.ndarray._internal import CachedOp

from . import passes, proof, tape
from .trace import MISSING
from .tree import ARRAY, flatten, unflatten

UNCHECKED = 'unchecked'     # optimize=UNCHECKED: without a proof


def _learns(source):
    """Whether a source is a Parameter that learns."""
    return source[0] == 'param' and source[1].grad_req != 'null'


def _name(function):
    """Of a net, or of what computes it: a function, a class."""
    if isinstance(function, functools.partial):     # type(net).forward of a net
        function = function.args[0] if function.args else function.func
    return getattr(function, '__name__', type(function).__name__)


class Program:
    """`program(leaves)` computes what the traced function would, while `program.current()`.

    `graph` is the graph as it was traced (see passes.py), `runs` the one that computes, and
    `sources` has for each name of its inputs what they stand for (see `Trace.find`). `outputs` has,
    for each array of the result, None if it is the next output of the graph, or its source if it is
    an input or depends on none.
    """

    def __init__(self, trace, exact, optimize, flags):
        self.ctx, self.result, self.asks_mode = trace.ctx, trace.result, trace.mode is not None
        self.mode = autograd.is_training() if optimize else trace.mode  # None: right in both
        self._draws, self.size, outputs = trace.draws, len(trace.outputs), list(trace.outputs)
        self._writes = [(owner, name, flatten(value, outputs))
                        for owner, name, value in trace.writes.values()]
        entries = [(o, *tape.entry(o)) for o in outputs]
        heads = [tape.symbol(o) for o, name, variable in entries if name and not variable]
        self.outputs = [None if name and not variable else trace.find([name])[name] if name else
                        ('const', o) for o, name, variable in entries]
        self.graph, self.sources, self._op = {'nodes': [], 'heads': []}, {}, None
        self._values = []                   # what to feed, but for what moves:
        self._inputs, self._moving = [], []  # (place, number of the input), (place, source)
        if heads:
            graph = json.loads(mxnet.sym.Group(heads).tojson())
            graph = passes.copyto_to_cast(graph, trace.dtypes)
            self.graph = self.runs = passes.keep_random_order(graph)
            if optimize and self.ctx.device_type == 'cpu':      # the rules are for its kernels
                found = trace.find([node['name'] for node in graph['nodes'] if node['op'] == 'null'])
                arrays = {name: self.value(source, trace.leaves, trace.drawn)
                          for name, source in found.items()}
                self.runs = proof.optimized(
                    self.graph, arrays, {name for name, s in found.items() if _learns(s)},
                    self.mode, flags, _name(trace.function), check=optimize != UNCHECKED)
            elif exact and not optimize:
                self.runs = passes.no_common_subexpressions(self.graph)
            self.runs = passes.reshape_by_copy(self.runs)
            self._bind(trace, mxnet.sym.load_json(json.dumps(self.runs)).as_np_ndarray(),
                       dict(flags))
        # what must stay as it is for the program to hold: first the arrays
        used = [*self.sources.values(), *filter(None, self.outputs)]
        self._arrays = [(vars(s[1]), '_data', s[1]._data) for s in used if s[0] == 'param']
        self._arrays += [(owner, name, array) for key, (owner, name, array, _)
                         in trace.reads.items() if key not in trace.writes]
        captured = {id(s[1]) for s in used if s[0] == 'captured'}
        scope = getattr(trace.function, '__globals__', None) or vars(trace.function)
        self._arrays += [(scope, name, value) for name, value in scope.items()
                         if name[0] != '_' and captured.intersection(
                             map(id, value if type(value) is list else [value]))]
        # owners, names, values
        self._guards = [*zip(*self._arrays, *trace.guards.values())] or [(), (), ()]

    def _bind(self, trace, symbol, flags):
        flags = passes.holding(flags, self.runs, symbol.list_auxiliary_states())
        self.sources = trace.find(symbol.list_inputs())
        # By whether it is a Parameter that learns. Of any other MXNet would set up the backward pass at
        # each call: a gradient that nobody wants is a new array each time
        indices = {True: [], False: []}
        for at, source in enumerate(self.sources.values()):
            indices[_learns(source)].append(at)
            self._values.append(None)
            if source[0] == 'input':
                self._inputs.append((at, source[1]))
                continue
            if source[0] in ('draw', 'attribute'):
                self._moving.append((at, source))
                continue
            self._values[at] = self.value(source)
            if self._values[at].ctx != self.ctx:
                raise ValueError(f'{source[1]} is not on {self.ctx}, as the inputs are: ask for the '
                                 'copy there, weight.data(ctx=X.ctx)')
        self._op = CachedOp(symbol, [('param_indices', indices[True]),
                                     ('data_indices', indices[False]), *flags.items()])

    def current(self):
        """Whether all on which the trace relied is as it was."""
        if self.mode is not None and self.mode != autograd.is_training():
            return False
        owners, names, values = self._guards
        found = map(dict.get, owners, names, itertools.repeat(MISSING))  # all in C, for speed
        return all(map(operator.is_, found, values))

    def dead(self):
        """Whether arrays that it uses were replaced, so that it is of no more use."""
        return any(owner.get(name) is not value for owner, name, value in self._arrays)

    def __call__(self, leaves, drawn=None):
        """leaves: the arrays among the arguments; drawn: what to use instead of drawing anew"""
        if drawn is None:
            drawn = [d if isinstance(d, list) else [d] for d in (draw() for draw in self._draws)]
        values = self._values.copy()
        for at, i in self._inputs:
            values[at] = leaves[i]
        for at, source in self._moving:
            values[at] = self.value(source, leaves, drawn)
        results = self._op and self._op(*values)
        if self.result is ARRAY and self.outputs == [None]:
            return results
        results = iter(results if isinstance(results, list) else [results])
        results = iter([next(results) if s is None else self.value(s, leaves, drawn, True)
                        for s in self.outputs])
        result = unflatten(self.result, results)
        for owner, name, structure in self._writes:
            owner[name] = unflatten(structure, results)
        return result

    def kinds(self, sources, leaves, drawn=()):
        """{name of an input of the graph: (shape, dtype)}."""
        arrays = {name: self.value(source, leaves, drawn) for name, source in sources.items()}
        return {name: (array.shape, array.dtype) for name, array in arrays.items()}

    def value(self, source, leaves=(), drawn=(), hand_back=False):
        """The array that a source stands for, to be fed to the graph or handed back."""
        kind, what, *i = source
        if kind == 'input':
            return leaves[what]
        if kind == 'param':
            return what._data[i[0]]
        if kind == 'draw':
            return drawn[what][i[0]]
        if kind == 'attribute':
            what = what[i[0]].as_in_ctx(self.ctx)
            # what an earlier call has left on the tape cannot be fed
            return what if hand_back or tape.entry(what)[1] else tape.detach(what)
        return what.copy() if hand_back and kind == 'const' else what
