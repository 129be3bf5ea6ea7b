"""Programs: graphs of a trace, bound as CachedOps of MXNet, with the sources of their inputs."""
import hashlib
import json
import threading

import mxnet
from mxnet import autograd
from mxnet.ndarray._internal import CachedOp
from mxnet.symbol import Symbol

from .. import c_api, graphs
from . import passes, proof, tape
from .guards import MISSING, Guard
from .sources import GIVEN, OUTSIDE, Source
from .trace import EAGER, LOCK, Raised, error_at
from .tree import ARRAY, builder

UNCHECKED = 'unchecked'     # optimize=UNCHECKED: use rewritten graphs without a proof


def extract_graph(trace, piece):
    """Return (the graph of a piece, {name of an input: source}, places). `places` has for each
    output of the piece its index among the outputs of the graph, or its source if the graph does
    not compute it."""
    places, heads, known = [], [], {}
    # The question gets no gradient, so it comes last: MXNet's backward pass would start at it
    turn = bool(piece.question)
    for found in [*piece.outputs[turn:], *piece.outputs[:turn]]:
        if isinstance(found, Source):
            places.append(found)
        elif not isinstance(found, Symbol):
            places.append(Source('const', array=found))
        elif found.get_children() is None:
            places += trace.find([found.name]).values()
        else:           # several arrays that a piece passes on may be the same output
            entry = found.list_outputs()[0] if piece.question else len(heads)
            places.append(known.setdefault(entry, len(heads)))
            heads += [found] * (known[entry] == len(heads))
    places = [*places[-turn:], *places[:-turn]] if turn else places
    graph = {'nodes': [], 'heads': [], 'attrs': graphs.VERSION}
    if heads or piece.random:
        inputs = [s for *_, symbols in piece.draws.values() for s in symbols]
        graph = graphs.from_symbol(mxnet.sym.Group([*heads, *piece.random, *inputs]))
        for node in graph['nodes']:
            if node['name'] in trace.stops:
                node['attrs'] = {passes.TAPED: '1'}
        if piece.random:
            graph = passes.draw_in_graph(graph, piece.draws, len(heads), len(piece.random))
        graph = passes.keep_random_order(passes.reshape_to_scalar(
            passes.copyto_to_cast(graph, trace.dtypes)))
    return graph, trace.find(graphs.variables(graph)), places


def _used(trace, piece):
    """Return the sources of the arrays from outside that a piece of a trace uses or returns."""
    _, sources, places = extract_graph(trace, piece)
    return [source for source in [*sources.values(), *places]
            if isinstance(source, Source) and source.kind in OUTSIDE]


def fingerprint(piece, graph, sources, places):
    """Return what is equal for the pieces of two traces if they compute the same, whatever the
    names of their nodes are."""
    def key(source):
        array = source.array
        if source.kind == 'const':
            return array.shape, array.dtype, hashlib.sha256(array.asnumpy().tobytes()).digest()
        return source.kind, source.index, id(source.parameter)
    return (json.dumps([{**node, 'name': ''} for node in graph['nodes']]),
            json.dumps(graph['heads']),
            [key(source) for source in sources.values()],
            [place if isinstance(place, int) else key(place) for place in places],
            piece.question and (piece.question.how, piece.question.line))


class _Thread(threading.local):
    """CachedOps, and the `values` fed to them, of which each thread has its own.

    A call that is not recorded releases the CachedOp's memory before its last operators are in the
    engine's queue: another thread that used the same CachedOp could overwrite what they still read.
    Besides, the random generator and the tape belong to one thread, and each call puts its
    constants on this tape, including Parameters without gradients and running statistics.
    """

    def __init__(self, make, values, constants):
        self.values = [tape.detach(v) if i in constants else v for i, v in enumerate(values)]
        self._make, self._ops = make, {}

    def op(self, recorded):
        """Return this thread's CachedOp for calls under autograd.record, or for other calls."""
        found = self._ops.get(recorded)
        if found is None:
            with LOCK:
                found = self._ops[recorded] = self._make(recorded)
        return found


class Part:
    """A graph bound as a CachedOp of MXNet, with the sources of its inputs. `part(leaves, state,
    cut)` returns the list of its outputs. `bind` or the first call makes the CachedOp.

    program: the Program to which the part belongs
    graph: the graph as it was traced; sources: {name of an input: source}
    options: exact, optimize and the flags of `hybridize`, and the name of the net
    flowing: the number of outputs, from the first on, through which gradients may come; None: all
    spare: name of the input that a graph without inputs gets
    """

    def __init__(self, program, graph, sources, options, flowing=None, spare=None):
        self._arguments = program, graph, sources, options, flowing, spare
        self._program, self._graph, self._sources, self._spare = program, graph, sources, spare
        self._options, self._flowing, self._thread = options, flowing, None
        # If the graph is checked, as it is rewritten: the inputs whose gradients were proved, None
        # if none were; and {the same for other calls: the part for them}
        self._checked, self._proved, self._others = False, None, {}
        self._skip = False          # whether the first output only fixes the order of the inputs

    def bind(self, leaves, state, cut=()):
        """Make the CachedOp; the arguments are those of the call that needs it."""
        exact, optimize, flags, net = self._options
        program, graph, sources = self._program, self._graph, self._sources
        if optimize and program.ctx.device_type == 'cpu':       # the rules are for CPU kernels
            self._checked = optimize != UNCHECKED
            self._proved = self._needed(leaves, state, cut)
            arrays = {name: program.value(source, leaves, state, cut=cut)
                      for name, source in sources.items() if name != self._spare}
            graph = proof.optimized(graph, arrays,
                                    {name for name in arrays if sources[name].learns},
                                    program.mode, flags, net, check=self._checked)
        elif exact and not optimize:
            if program.recorded:
                graph, old = passes.each_use_an_input(
                    graph, {name for name, source in sources.items() if source.moves}, program.ctx)
                sources, self._skip = {**sources,
                                       **{n: sources[o] for n, o in old.items()}}, bool(old)
            else:
                graph = passes.results_used_inside(graph)
            graph = passes.no_common_subexpressions(graph)
        graph = passes.with_an_input(
            passes.add_up_by_copy(passes.reshape_by_copy(graph)), self._spare)
        self.executed_graph, symbol = graph, graphs.to_symbol(graph)
        statistics = symbol.list_auxiliary_states()
        flags = passes.valid_flags(dict(flags), graph, statistics)
        taped = passes.inputs_of(graph, graph['heads'], constants=False)
        flows = passes.inputs_of(graph, graph['heads'][:self._flowing], constants=False)
        # indices: the inputs that are Parameters with gradients (True), and the others. If an input
        # without a gradient were among the first, MXNet would set up the backward pass anew at
        # each call, as a gradient that nobody wants is a new array each time
        indices, values, constants = {True: [], False: []}, [], set()
        # (index of an input, index of the argument), (index of an input, source)
        self._inputs, self._late_bound = [], []
        # Indices of inputs that the graph uses only detached: in eager mode, the backward pass does
        # not touch their gradients
        self._detached_inputs = []
        # Indices of arrays that the trace has made, in place of those that eager mode makes anew in
        # each call
        self._made_in_trace = []
        # Indices of inputs that may be constants, from outside or from the parts before this one
        self._may_be_constant = []
        # _flows: indices of inputs to which gradients may come from the outputs. Inputs on which
        # only a write into Python's state depends are not among them
        # statistics: the sources of the arrays of BatchNorm's statistics, which the graph changes
        self._flows, self.statistics = set(), [sources[name] for name in statistics]
        self._statistics_at = {
            at for at, name in enumerate(symbol.list_inputs()) if name in statistics}
        for at, name in enumerate(symbol.list_inputs()):
            source = sources[name]
            learns = source.learns and name in taped
            indices[learns].append(at)
            values.append(None)         # filled in at each call unless the source is fixed
            if name in flows:
                self._flows.add(at)
            if source.kind == 'input':
                self._inputs.append((at, source.index))
                self._may_be_constant.append(at)
                self._detached_inputs += [at] * (name not in taped)
                continue
            if source.kind in ('state', 'cut'):
                self._late_bound.append((at, source))
                if source.kind == 'cut':
                    self._may_be_constant.append(at)
                    self._detached_inputs += [at] * (name not in taped)
                continue
            self._made_in_trace += [at] * (source.kind == 'const')
            values[at] = program.value(source)
            if not learns:
                constants.add(at)
            if values[at].ctx != program.ctx:
                raise ValueError(
                    f'{source.parameter} is not on {program.ctx}, as the inputs are: ask for the '
                    'copy there, weight.data(ctx=X.ctx)')
        places = {name: at for at, name in enumerate(symbol.list_inputs())
                  if sources[name].kind in GIVEN}
        # (index of an output that depends on detached arrays, indices of the inputs on which it
        # depends without `detach`)
        self._detached_outputs = [(k, [places[name] for name in names if name in places])
                                  for k, names in passes.detached(self._graph)
                                  if not any(sources[name].learns for name in names)]
        flags.update(param_indices=indices[True], data_indices=indices[False])
        # With static_shape, MXNet keeps writing the gradient of a Parameter to where it wrote the
        # first one. If several calls used the Parameter, that was a temporary array. For data
        # inputs, MXNet asks at each call where the gradient goes, so recorded calls make all of
        # them data inputs
        self._learns = bool(indices[True]) and 'static_shape' in flags
        recorded = dict(flags, param_indices=[], data_indices=[*range(len(values))])
        self._thread = _Thread(lambda is_recorded: CachedOp(
            graphs.to_symbol(graph).as_np_ndarray(),
            [*(recorded if is_recorded else flags).items()]), values, constants)
        self._op()                      # raises now if MXNet cannot run the graph

    def _op(self):
        """Return this thread's CachedOp for a call in the current mode."""
        return self._thread.op(self._learns and autograd.is_recording())

    def _needed(self, leaves, state, cut):
        """Return the names of the inputs, apart from Parameters, whose gradients the call may need;
        None if it needs no gradients at all."""
        if autograd.is_recording() or autograd.is_training():
            return frozenset(
                name for name, source in self._sources.items() if source.kind in GIVEN
                and proof.wants_gradient(self._program.value(source, leaves, state, cut=cut)))

    def for_gradients(self, leaves, state, cut):
        """Return this part if the proof of its graph has compared the gradients that the call may
        need, else one that is proved for them."""
        needed = self._needed(leaves, state, cut)
        if needed is None or needed == self._proved:
            return self
        with LOCK:
            if needed not in self._others:
                part = Part(*self._arguments)
                part.bind(leaves, state, cut)
                self._others[needed] = part
        return self._others[needed]

    def bind_once(self, leaves, state, cut):
        """Call `bind` unless the part is bound already."""
        if self._thread is None:
            with LOCK:
                if self._thread is None:
                    self.bind(leaves, state, cut)

    def __call__(self, leaves, state, cut):
        if self._checked:
            part = self.for_gradients(leaves, state, cut)
            if part is not self:
                return part(leaves, state, cut)
        values = self._thread.values.copy()
        for at, i in self._inputs:
            values[at] = leaves[i]
        for at, source in self._late_bound:
            values[at] = what = self._program.value(source, leaves, state, cut=cut)
            # An array from an earlier call whose tape is freed must be detached, as it has no graph
            if source.kind == 'state' and (at not in self._flows or not tape.recorded(what)):
                values[at] = tape.detach(what)
                # The backward pass needs the values that `_change`, here or in a later program,
                # writes over
                if autograd.is_recording() and at not in self._statistics_at and (
                        self._program.question or source.index in self._program.overwritten):
                    values[at] = values[at].copy()
        for at in self._detached_inputs:
            values[at] = tape.detach(values[at])
        # MXNet puts a constant on the tape as one variable, which the first backward pass forgets;
        # other parts, or other calls, may need theirs later
        if self._program.recorded:
            for at in self._may_be_constant:
                if not tape.recorded(values[at]):
                    values[at] = tape.detach(values[at])
        if self._made_in_trace and autograd.is_recording():
            for at in self._made_in_trace:
                values[at] = tape.detach(values[at])
        results = self._op()(*values)
        results = results[self._skip:] if type(results) is list else [results]
        # In eager mode, such a result is on the tape only if an input is on which it depends
        # without `detach`
        if self._detached_outputs and autograd.is_recording():
            for k, places in self._detached_outputs:
                if not any(tape.recorded(values[at]) for at in places):
                    results[k] = tape.detach(results[k])
        return results


def _swap_handles(a, b):
    a.handle, b.handle = b.handle, a.handle


def made_program(trace, piece, exact, optimize, flags):
    """Return the Program of a piece of a Trace.

    exact, optimize: see `hybridize`
    flags: the flags of CachedOp
    """
    program = Program(trace, piece, optimize)
    program.make_parts(trace, piece, (exact, optimize, flags, trace.name))
    return program


class Program:
    """A traced function, or a piece of it, that can be run. `program(tree, state)` returns what the
    function would for the arguments in a Tree. `state` comes from `valid_state()`, which returns
    None if Python's state is no longer what it was in the trace.

    If the function asks for the value of an array, its program ends with that `question`. Then
    `ask` runs the program and returns the answer, and `next_program(answer)` returns the program
    that goes on from there. All programs of a call get the list `cut`, the arrays that the programs
    before have passed on.

    graph: the graph as it was traced (see passes.py)
    sources: {name of an input of the graph: the Source of its array}
    outputs: an entry for each array that the program returns, writes into Python's state, or passes
        on. It is None if the graph computes the array. Otherwise the array is an input, or depends
        on no input, and the entry is its source.
    """

    def __init__(self, trace, piece, optimize):
        self.ctx, self.asks_mode, self.question = trace.ctx, piece.mode is not None, piece.question
        self.mode = autograd.is_training() if optimize else piece.mode  # None: valid in both modes
        asks = trace.asks
        self.guard = Guard(piece)
        if self.guard.state_if_unchanged() is None:
            raise RuntimeError(f'while {trace.name} was compiled, another thread changed what its '
                               'forward reads')
        self._data = [slot for slot in piece.slots if slot.name == '_data']
        self.graph, self.sources, places = extract_graph(trace, piece)
        # Whether a recorded call needs several parts. If so, the program is valid either under
        # autograd.record or without it
        apart = asks or trace.blocked or passes.has_several_results(self.graph, self._flowing)
        self.recorded = autograd.is_recording() if apart else None
        self.outputs = [None if isinstance(place, int) else place for place in places]
        self.overwritten = trace.overwritten if self.question is None else ()
        if self.question is None:
            self.result, self.size, self._nodes = trace.result, trace.size, trace.nodes
            self._writes, self._fills = trace.writes, trace.fills
            self.changes = bool(trace.writes or trace.fills or trace.overwritten)
            self._views, self._write = trace.views, trace.write
            # index of an output that is written into an array of the state -> index of that array
            self._kept = {len(self.outputs) - trace.hidden - n: i for n, i in zip(
                range(len(trace.overwritten), 0, -1), trace.overwritten)}
            if self.overwritten:
                self._used = {source for each in trace.pieces for source in _used(trace, each)}
                self._used |= {Source('state', i) for i in self.overwritten}
        self.writes = bool(self.overwritten)
        self.trace_fingerprint = asks and fingerprint(piece, self.graph, self.sources, places)
        self._places, self._first, self._following, self.paths = places, piece.first, {}, 0
        self._parts, self._only = [], None      # _only: the only part, bound when it is made

    def make_parts(self, trace, piece, options):
        """Make the Parts. If a net without questions has only one, it is bound at once: the proof
        runs it."""
        if self.recorded:
            self._cut_apart(options, trace)
        elif self.graph['heads']:
            sources = {**self.sources, **(trace.find([trace.spare]) if piece.random else {})}
            results = self.outputs[:self.size] if not self.question else self.outputs
            flowing = None if self.question or self._views or any(
                s and s.kind == 'state' for s in results) else sum(s is None for s in results)
            self._parts = [Part(self, self.graph, sources, options, flowing, trace.spare)]
            if not self.trace_fingerprint:
                self._only, = self._parts
                self._only.bind(trace.leaves, self.guard.state_if_unchanged())

    @property
    def _flowing(self):
        """The names of the inputs of the graph that may need a gradient."""
        return {name for name, source in self.sources.items() if source.moves}

    def _cut_apart(self, options, trace):
        """Make the program of several parts, so that the backward pass runs only those parts whose
        outputs were used."""
        exact, optimize, *_ = options
        parts, entries = passes.parts(
            self.graph, self._flowing,
            {name for name, source in self.sources.items() if source.kind in GIVEN},
            exact and not optimize)
        for graph, made in parts:
            sources = {name: Source('cut', self._first + made[name]) if name in made else
                       self.sources[name] for name in graphs.variables(graph)}
            self._parts.append(Part(self, graph, sources or trace.find([trace.spare]), options,
                                    spare=trace.spare))
        heads = [(i, k) for i, k, *_ in self.graph['heads']]
        self._places = [entries.index(heads[place]) if isinstance(place, int) else place
                        for place in self._places]

    @property
    def executed_graph(self):
        """The graph that the CachedOp runs, after passes and rewriting. If there are several,
        the graph as it was traced."""
        return self._only.executed_graph if self._only else self.graph

    def valid_state(self):
        """Return the State if all on which the trace relied is unchanged, else None."""
        if self.mode is not None and self.mode != autograd.is_training() or (
                self.recorded is not None and self.recorded != autograd.is_recording()):
            return None
        return self.guard.state_if_unchanged()

    def next_program(self, answer):
        """Return (program, its state) for what follows this answer, or None if there is none."""
        for program in self._following.get(answer, ()):
            state = program.valid_state()
            if state is not None:
                return program, state

    def add_next_program(self, answer, program):
        """Store the program that follows this answer."""
        others = [p for p in self._following.get(answer, ()) if not p.is_stale()]
        self._following[answer] = [program, *others]

    def ask(self, tree, state, cut, before):
        """Run the program and return the answer to its question.

        Append to `cut` the arrays that it passes on to the programs after it, and to `before` a
        pair (array, copy) for each array of BatchNorm's statistics that it is about to change.
        """
        leaves, made = tree.arrays, self._run(tree.arrays, state, cut, before)
        cut += [made[place] if source is None else self.value(source, leaves, state, cut=cut)
                for place, source in zip(self._places, self.outputs)]
        try:
            return self.question.answer(cut[self._first])
        except (ValueError, OverflowError) as error:        # raised by int() of infinity or NaN
            raise Raised from error

    def is_stale(self):
        """Return whether the arrays of a Parameter were replaced, so that the program cannot be
        valid again."""
        return any(slot.get() is not slot.value for slot in self._data)

    def __call__(self, tree, state, cut=()):
        leaves, only = tree.arrays, self._only
        results = only(leaves, state, cut) if only else self._run(leaves, state, cut)
        if self.result is ARRAY and self.outputs == [None] and not self.changes and not self._views:
            return results[self._places[0]]
        results = [results[place] if source is None else self.value(
            source, leaves, state, True, cut) for place, source in zip(self._places, self.outputs)]
        for i, source, steps in self._views:        # results that share memory in eager mode
            if isinstance(source, int):
                array = results[source]
                if source in self._kept and not autograd.is_recording():    # see `_change`
                    array = state.arrays[self._kept[source]]
            else:
                array = self.value(source, leaves, state, True, cut)
            for take in steps:
                array = take(array)
            results[i] = array
        results = iter(results)
        build = builder(results, [*tree.nodes, *state.nodes[:self._nodes]])
        result = build(self.result)
        if self.changes:
            self._change(build, results, build.made, state)
        return result

    def _run(self, leaves, state, cut, before=None):
        """Run the parts one after another and return the list of all their outputs.

        before: see `ask`
        """
        made = [*cut]
        for part in self._parts:
            part.bind_once(leaves, state, made)
            if part.statistics and before is not None and autograd.is_training():
                with autograd.pause():
                    arrays = [self.value(source, leaves, state, cut=made)
                              for source in part.statistics]
                    before += [(array, array.copy()) for array in arrays]
            made += part(leaves, state, made)
        return made[len(cut):]

    def refuse_shared_memory(self, leaves, state):
        """Raise TraceError if the function writes into an array that shares memory with another one
        that it uses: in eager mode that one would change, too."""
        memory = {source: tape.memory(self.value(source, leaves, state, True))
                  for source in self._used}
        for i in self.overwritten:
            written = memory[Source('state', i)]
            for source, other in memory.items():
                if source != Source('state', i) and (
                        written.start < other.stop and other.start < written.stop):
                    raise error_at(
                        self._write, 'writes into an array that shares its memory with another '
                        'that it uses, and in eager mode both change',
                        'Let one of them be a copy, Y.copy(). ' + EAGER)

    def _change(self, build, results, nodes, state):
        """Change Python's state as the traced function did: set slots, fill containers, and write
        into arrays."""
        writes = [(slot, MISSING if structure is None else build(structure))
                  for slot, structure in self._writes]
        fills = [(nodes[i], kind, meta, [build(part) for part in parts])
                 for i, (kind, _, meta, *parts) in self._fills]
        for i, new in zip(self.overwritten, results):
            old = state.arrays[i]
            if autograd.is_recording():
                if tape.recorded(new) or c_api.graph_of(old) is not None:
                    # `old` gets the entry of `new` on the tape, and other memory, as the backward
                    # pass may need what is in its own
                    _swap_handles(old, c_api.alias(new))
                    continue
                _swap_handles(old, tape.detach(old))    # drops an entry whose tape is freed
            with autograd.pause():      # `new` may be on the tape as a constant
                new.copyto(old)
        for slot, value in writes:
            slot.set(value)
        for node, kind, meta, parts in fills:
            kind.fill(node, meta, parts)

    def kinds(self, sources, leaves):
        """Return {name of an input of the graph: (shape, dtype)}."""
        return graphs.kinds({name: self.value(source, leaves) for name, source in sources.items()})

    def value(self, source, leaves=(), state=None, as_result=False, cut=()):
        """Return the array that a source names, to be fed to the graph.

        as_result: the array is to be returned to the caller instead. Then an array of the state is
        itself, not a copy on the graph's device, and a constant is a copy of its own
        """
        kind, index = source.kind, source.index
        if kind == 'input':
            return leaves[index]
        if kind == 'cut':
            return cut[index]
        if kind == 'param':
            return source.parameter._data[index]
        if kind == 'state':
            array = (state or self.guard.state_if_unchanged()).arrays[index]
            return array if as_result else array.as_np_ndarray().as_in_ctx(self.ctx)
        return tape.detach(source.array).copy() if as_result else source.array
