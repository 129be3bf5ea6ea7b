"""A trace made into a program: its graph bound as MXNet's CachedOp, and what to feed it."""
import json
import threading

import mxnet
from mxnet import autograd
from mxnet.ndarray._internal import CachedOp

from . import passes, proof, tape
from .guards import MISSING, Guard
from .trace import LOCK
from .tree import ARRAY, builder

VERSION = {'mxnet_version': ['int', 10901]}     # of a graph; without, MXNet says that it is an old one
UNCHECKED = 'unchecked'     # optimize=UNCHECKED: without a proof


def _learns(source):
    """Whether a source is a Parameter that learns."""
    return source[0] == 'param' and source[1].grad_req != 'null'


class _Thread(threading.local):
    """What each thread has of its own: the CachedOp `op`, and `values` to be fed to it. A call that
    is not recorded gives the CachedOp's memory free before its last operators are handed to the
    engine: another thread that took it then would mix its numbers with theirs. A random generator
    belongs to a thread, and so does a tape, on which each call puts the constants, Parameters that do
    not learn and running statistics among them."""

    def __init__(self, make, values, constants):
        self.values = [tape.detach(v) if i in constants else v for i, v in enumerate(values)]
        with LOCK:
            self.op = make()


class Program:
    """`program(tree, state)` computes what the traced function would of the arguments in a Tree, with
    the state that `program.current()` gives while it is as the trace saw it.

    `graph` is the graph as it was traced (see passes.py), `runs` the one that computes, and
    `sources` has for each name of its inputs what they stand for (see `Trace.find`). `outputs` has,
    for each array of the result, None if it is the next output of the graph, or its source if it is
    an input or depends on none.
    """

    def __init__(self, trace, exact, optimize, flags):
        self.ctx, self.result, self.asks_mode = trace.ctx, trace.result, trace.mode is not None
        self.mode = autograd.is_training() if optimize else trace.mode  # None: right in both
        self.guard = Guard(trace)
        if self.guard.now() is None:
            raise RuntimeError(f'while {trace.name} was compiled, another thread changed what its '
                               'forward reads')
        self.size, outputs, self._nodes = trace.size, trace.outputs, trace.nodes
        self._writes, self._fills, self._overwritten = trace.writes, trace.fills, trace.overwritten
        self.changes = bool(trace.writes or trace.fills or trace.overwritten)
        entries = [(o, *tape.entry(o)) for o in outputs]
        heads = [tape.symbol(o) for o, name, variable in entries if name and not variable]
        self.outputs = [None if name and not variable else trace.find([name])[name] if name else
                        ('const', o) for o, name, variable in entries]
        self.graph, self.sources, self._thread = {'nodes': [], 'heads': [], 'attrs': VERSION}, {}, None
        self._inputs, self._moving = [], []  # (place, number of the input), (place, source)
        if heads or trace.random:
            inputs = [s for *_, symbols in trace.draws.values() for s in symbols]
            graph = json.loads(mxnet.sym.Group([*heads, *trace.random, *inputs]).tojson())
            if trace.random:
                graph = passes.draw_in_graph(graph, trace.draws, len(heads), len(trace.random))
            graph = passes.reshape_to_numbers(passes.copyto_to_cast(graph, trace.dtypes))
            self.graph = self.runs = passes.keep_random_order(graph)
            if optimize and self.ctx.device_type == 'cpu':      # the rules are for its kernels
                found = trace.find([node['name'] for node in graph['nodes'] if node['op'] == 'null'])
                arrays = {name: self.value(source, trace.leaves) for name, source in found.items()}
                self.runs = proof.optimized(
                    self.graph, arrays, {name for name, s in found.items() if _learns(s)},
                    self.mode, flags, trace.name, check=optimize != UNCHECKED)
            elif exact and not optimize:
                self.runs = passes.no_common_subexpressions(
                    passes.results_used_inside(self.graph))
            self.runs = passes.with_an_input(
                passes.add_up_by_copy(passes.reshape_by_copy(self.runs)), trace.spare)
            self._bind(trace, dict(flags))
        self._data = [slot for slot in trace.slots if slot.name == '_data']

    def _bind(self, trace, flags):
        text = json.dumps(self.runs)
        symbol = mxnet.sym.load_json(text)
        flags = passes.holding(flags, self.runs, symbol.list_auxiliary_states())
        self.sources = trace.find(symbol.list_inputs())
        # By whether it is a Parameter that learns. Of any other MXNet would set up the backward pass at
        # each call: a gradient that nobody wants is a new array each time
        indices, values, constants = {True: [], False: []}, [], set()
        for at, source in enumerate(self.sources.values()):
            indices[_learns(source)].append(at)
            values.append(None)         # what moves
            if source[0] == 'input':
                self._inputs.append((at, source[1]))
                continue
            if source[0] == 'state':
                self._moving.append((at, source))
                continue
            values[at] = self.value(source)
            if not _learns(source):
                constants.add(at)
            if values[at].ctx != self.ctx:
                raise ValueError(f'{source[1]} is not on {self.ctx}, as the inputs are: ask for the '
                                 'copy there, weight.data(ctx=X.ctx)')
        results = sum(source is None for source in self.outputs[:self.size])
        flows = passes.inputs_of(self.runs, self.runs['heads'][:results])
        # by which gradients come to what gave them; not if only what is written depends on them
        self._flows = {at for at, name in enumerate(self.sources) if name in flows}
        flags.update(param_indices=indices[True], data_indices=indices[False])
        self._thread = _Thread(lambda: CachedOp(
            mxnet.sym.load_json(text).as_np_ndarray(), [*flags.items()]), values, constants)

    def current(self):
        """The state if all on which the trace relied is as it was, or None."""
        if self.mode is not None and self.mode != autograd.is_training():
            return None
        return self.guard.now()

    def dead(self):
        """Whether arrays of a Parameter were replaced, so that it is of no more use."""
        return any(slot.get() is not slot.value for slot in self._data)

    def __call__(self, tree, state):
        leaves, results = tree.arrays, []
        if self._thread:
            values = self._thread.values.copy()
            for at, i in self._inputs:
                values[at] = leaves[i]
            for at, source in self._moving:
                values[at] = what = self.value(source, leaves, state)
                # what is left of an earlier call whose tape is gone cannot be fed
                if at not in self._flows or tape.symbol(what) is None:
                    values[at] = tape.detach(what)
            results = self._thread.op(*values)
        if self.result is ARRAY and self.outputs == [None] and not self.changes \
                and type(results) is not list:
            return results
        results = iter(results if isinstance(results, list) else [results])
        results = iter([next(results) if s is None else self.value(s, leaves, state, True)
                        for s in self.outputs])
        build = builder(results, [*tree.nodes, *state.nodes[:self._nodes]])
        result = build(self.result)
        if self.changes:
            self._change(build, results, build.made, state)
        return result

    def _change(self, build, results, nodes, state):
        """Change Python's state as the traced function did."""
        writes = [(slot, MISSING if structure is None else build(structure))
                  for slot, structure in self._writes]
        fills = [(nodes[i], kind, meta, [build(part) for part in parts])
                 for i, (kind, _, meta, *parts) in self._fills]
        for i, new in zip(self._overwritten, results):
            old = state.arrays[i]
            if autograd.is_recording():     # the array is the result, as it is in eager mode
                old.handle, new.handle = new.handle, old.handle
            else:
                new.copyto(old)
        for slot, value in writes:
            slot.set(value)
        for node, kind, meta, parts in fills:
            kind.fill(node, meta, parts)

    def kinds(self, sources, leaves):
        """{name of an input of the graph: (shape, dtype)}."""
        arrays = {name: self.value(source, leaves) for name, source in sources.items()}
        return {name: (array.shape, array.dtype) for name, array in arrays.items()}

    def value(self, source, leaves=(), state=None, hand_back=False):
        """The array that a source stands for, to be fed to the graph or handed back."""
        kind, what, *i = source
        if kind == 'input':
            return leaves[what]
        if kind == 'param':
            return what._data[i[0]]
        if kind == 'state':
            what = (state or self.guard.state).arrays[what]
            if hand_back:
                return what
            return what.as_in_ctx(self.ctx)
        return tape.detach(what).copy() if hand_back and kind == 'const' else what
