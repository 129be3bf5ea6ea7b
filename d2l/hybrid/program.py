"""A trace made into a program: its graph bound as MXNet's CachedOp, and what to feed it."""
import itertools
import json
import operator
import threading

import mxnet
from mxnet import autograd
from mxnet.ndarray._internal import CachedOp

from ..rewrite import rewrite
from . import passes, tape
from .trace import LOCK, MISSING
from .tree import ARRAY, flatten, unflatten

# Operators that ask whether a gradient is wanted: with static_shape, MXNet leaves that uninitialized
ASKS = {'RNN', 'Custom', '_foreach', '_while_loop', '_cond'}


class _Thread(threading.local):
    """What each thread has of its own: the CachedOp `op`, and `values` to be fed to it. A call that
    is not recorded gives the CachedOp's memory free before its last operators are handed to the
    engine: another thread that took it then would mix its numbers with theirs. A random generator
    belongs to a thread, and so does a tape, on which each call puts the constants."""

    def __init__(self, make, values, constants):
        self.values = [tape.detach(v) if i in constants else v for i, v in enumerate(values)]
        with LOCK:
            self.op = make()


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
        self.size, outputs = len(trace.outputs), list(trace.outputs)
        self._writes = [(owner, name, flatten(value, outputs))
                        for owner, name, value in trace.writes.values()]
        entries = [(o, *tape.entry(o)) for o in outputs]
        heads = [tape.symbol(o) for o, name, variable in entries if name and not variable]
        self.outputs = [None if name and not variable else trace.find([name])[name] if name else
                        ('const', o) for o, name, variable in entries]
        self.graph, self.sources, self._thread = {'nodes': [], 'heads': []}, {}, None
        self._inputs, self._moving = [], []  # (place, number of the input), (place, source)
        if heads or trace.random:
            inputs = [s for *_, symbols in trace.draws.values() for s in symbols]
            graph = json.loads(mxnet.sym.Group([*heads, *trace.random, *inputs]).tojson())
            if trace.random:
                graph = passes.draw_in_graph(graph, trace.draws, len(heads), len(trace.random))
            graph = passes.copyto_to_cast(graph, trace.dtypes)
            self.graph = self.runs = passes.keep_random_order(graph)
            if optimize and self.ctx.device_type == 'cpu':      # the rules are for its kernels
                inputs = [node['name'] for node in graph['nodes'] if node['op'] == 'null']
                kinds = self.kinds(trace.find(inputs), trace.leaves)
                self.runs = passes.keep_random_order(rewrite(graph, kinds, self.mode))
            elif exact and not optimize:
                self.runs = passes.no_common_subexpressions(
                    passes.results_used_inside(self.graph))
            self.runs = passes.with_an_input(passes.reshape_by_copy(self.runs), trace.spare)
            self._bind(trace, dict(flags))
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

    def _bind(self, trace, flags):
        text = json.dumps(self.runs)
        symbol = mxnet.sym.load_json(text)
        if symbol.list_auxiliary_states() or any(n['op'] in ASKS for n in self.runs['nodes']):
            # of BatchNorm's running statistics it would say that they are only read, and they race
            flags.pop('static_shape', None)
        self.sources = trace.find(symbol.list_inputs())
        # By whether it is a Parameter that learns. Of any other MXNet would set up the backward pass at
        # each call: a gradient that nobody wants is a new array each time
        indices, values, constants = {True: [], False: []}, [], set()
        for at, source in enumerate(self.sources.values()):
            indices[source[0] == 'param' and source[1].grad_req != 'null'].append(at)
            values.append(None)         # what moves
            if source[0] == 'input':
                self._inputs.append((at, source[1]))
                continue
            if source[0] == 'attribute':
                self._moving.append((at, source))
                continue
            values[at] = self.value(source)
            if source[0] == 'const':
                constants.add(at)
            if values[at].ctx != self.ctx:
                raise ValueError(f'{source[1]} is not on {self.ctx}, as the inputs are: ask for the '
                                 'copy there, weight.data(ctx=X.ctx)')
        flags.update(param_indices=indices[True], data_indices=indices[False])
        self._thread = _Thread(lambda: CachedOp(
            mxnet.sym.load_json(text).as_np_ndarray(), [*flags.items()]), values, constants)

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

    def __call__(self, leaves):
        """leaves: the arrays among the arguments"""
        results = []
        if self._thread:
            values = self._thread.values.copy()
            for at, i in self._inputs:
                values[at] = leaves[i]
            for at, source in self._moving:
                values[at] = self.value(source, leaves)
            results = self._thread.op(*values)
        if self.result is ARRAY and self.outputs == [None] and type(results) is not list:
            return results
        results = iter(results if isinstance(results, list) else [results])
        results = iter([next(results) if s is None else self.value(s, leaves, True)
                        for s in self.outputs])
        result = unflatten(self.result, results)
        for owner, name, structure in self._writes:
            owner[name] = unflatten(structure, results)
        return result

    def kinds(self, sources, leaves):
        """{name of an input of the graph: (shape, dtype)}."""
        arrays = {name: self.value(source, leaves) for name, source in sources.items()}
        return {name: (array.shape, array.dtype) for name, array in arrays.items()}

    def value(self, source, leaves=(), hand_back=False):
        """The array that a source stands for, to be fed to the graph or handed back."""
        kind, what, *i = source
        if kind == 'input':
            return leaves[what]
        if kind == 'param':
            return what._data[i[0]]
        if kind == 'attribute':
            what = what[i[0]].as_in_ctx(self.ctx)
            # what an earlier call has left on the tape cannot be fed
            return what if hand_back or tape.entry(what)[1] else tape.detach(what)
        return what.copy() if hand_back and kind == 'const' else what
