"""A trace made into a program: its graph bound as MXNet's CachedOp, and what to feed it."""
import hashlib
import json
import threading

import mxnet
from mxnet import autograd
from mxnet.ndarray._internal import CachedOp
from mxnet.symbol import Symbol

from . import passes, proof, tape
from .guards import MISSING, Guard
from .trace import EAGER, LOCK, Raised, error_at
from .tree import ARRAY, builder

# of a graph; without, MXNet says that it is an old one
VERSION = {'mxnet_version': ['int', 10901]}
UNCHECKED = 'unchecked'     # optimize=UNCHECKED: without a proof


def _learns(source):
    """Whether a source is a Parameter that learns."""
    return source[0] == 'param' and source[1].grad_req != 'null'


def extract_graph(trace, piece):
    """(the graph of a piece, {name of an input: source}, for each of its outputs its place among
    those of the graph, or its source)."""
    places, heads, known = [], [], {}
    # no gradient comes to the question: MXNet does not meet it first
    turn = bool(piece.question)
    for found in [*piece.outputs[turn:], *piece.outputs[:turn]]:
        if isinstance(found, tuple):
            places.append(found)
        elif not isinstance(found, Symbol):
            places.append(('const', found))
        elif found.get_children() is None:
            places += trace.find([found.name]).values()
        else:           # a question may leave an array under several names
            entry = found.list_outputs()[0] if piece.question else len(heads)
            places.append(known.setdefault(entry, len(heads)))
            heads += [found] * (known[entry] == len(heads))
    places = [*places[-turn:], *places[:-turn]] if turn else places
    graph = {'nodes': [], 'heads': [], 'attrs': VERSION}
    if heads or piece.random:
        inputs = [s for *_, symbols in piece.draws.values() for s in symbols]
        graph = json.loads(mxnet.sym.Group([*heads, *piece.random, *inputs]).tojson())
        for node in graph['nodes']:
            if node['name'] in trace.stops:
                node['attrs'] = {passes.TAPED: '1'}
        if piece.random:
            graph = passes.draw_in_graph(graph, piece.draws, len(heads), len(piece.random))
        graph = passes.keep_random_order(passes.reshape_to_scalar(
            passes.copyto_to_cast(graph, trace.dtypes)))
    return graph, trace.find(
        [node['name'] for node in graph['nodes'] if node['op'] == 'null']), places


def _used(trace, piece):
    """The sources of the arrays from outside that a piece of a trace uses or leaves."""
    _, sources, places = extract_graph(trace, piece)
    return [source for source in [*sources.values(), *places]
            if isinstance(source, tuple) and source[0] in ('input', 'param', 'state')]


def fingerprint(piece, graph, sources, places):
    """What pieces of two traces have in common if they are the same, whatever nodes are called."""
    def key(source):
        kind, what, *i = source
        if kind == 'const':
            return kind, what.shape, what.dtype, hashlib.sha256(what.asnumpy().tobytes()).digest()
        return kind, id(what) if kind == 'param' else what, *i
    return (json.dumps([{**node, 'name': ''} for node in graph['nodes']]),
            json.dumps(graph['heads']),
            [key(source) for source in sources.values()],
            [place if isinstance(place, int) else key(place) for place in places],
            piece.question and (piece.question.how, piece.question.line))


def _moves(source):
    """Whether a source may be given a gradient."""
    return source[0] in ('input', 'state', 'cut') or _learns(source)


class _Thread(threading.local):
    """What each thread has of its own: CachedOps, and `values` to be fed to them. A call that
    is not recorded gives the CachedOp's memory free before its last operators are handed to the
    engine: another thread that took it then would mix its numbers with theirs. A random generator
    belongs to a thread, and so does a tape, on which each call puts the constants, Parameters that
    do not learn and running statistics among them."""

    def __init__(self, make, values, constants):
        self.values = [tape.detach(v) if i in constants else v for i, v in enumerate(values)]
        self._make, self._ops = make, {}

    def op(self, recorded):
        """The CachedOp for calls that are recorded, or for others."""
        found = self._ops.get(recorded)
        if found is None:
            with LOCK:
                found = self._ops[recorded] = self._make(recorded)
        return found


class Part:
    """A graph bound as MXNet's CachedOp, and what to feed it: `part(leaves, state, cut)` gives the
    list of its outputs. It is made ready by the first call, or by `bind`.

    program: which it is of; graph: as it was traced; sources: {name of an input: source}; options:
    of `hybridize`, and the name of the net; flowing: of how many of the outputs gradients may come
    spare: name of an input for a graph that has none
    """

    def __init__(self, program, graph, sources, options, flowing=None, spare=None):
        self._program, self._graph, self._sources, self._spare = program, graph, sources, spare
        self._options, self._flowing, self._thread = options, flowing, None
        self._skip = False          # the first output, which is there for the order of the inputs

    def bind(self, leaves, state, cut=()):
        """Make it ready; the arguments are those of the call for which that is."""
        exact, optimize, flags, net = self._options
        program, graph, sources = self._program, self._graph, self._sources
        if optimize and program.ctx.device_type == 'cpu':       # the rules are for its kernels
            arrays = {name: program.value(source, leaves, state, cut=cut)
                      for name, source in sources.items() if name != self._spare}
            graph = proof.optimized(graph, arrays,
                                    {name for name in arrays if _learns(sources[name])},
                                    program.mode, flags, net, check=optimize != UNCHECKED)
        elif exact and not optimize:
            if program.recorded:
                graph, old = passes.each_use_an_input(
                    graph, {name for name, source in sources.items() if _moves(source)},
                    program.ctx)
                sources, self._skip = {**sources,
                                       **{n: sources[o] for n, o in old.items()}}, bool(old)
            else:
                graph = passes.results_used_inside(graph)
            graph = passes.no_common_subexpressions(graph)
        graph = passes.with_an_input(
            passes.add_up_by_copy(passes.reshape_by_copy(graph)), self._spare)
        self.executed_graph, text = graph, json.dumps(graph)
        symbol = mxnet.sym.load_json(text)
        statistics = symbol.list_auxiliary_states()
        flags = passes.valid_flags(dict(flags), graph, statistics)
        # a Parameter of several parts has gradients now in its own array, now
        if program.recorded:
            # in one to be added up, and static_shape mixes them up
            flags.pop('static_shape', None)
        taped = passes.inputs_of(graph, graph['heads'], constants=False)
        flows = taped & passes.inputs_of(graph, graph['heads'][:self._flowing])
        # By whether it is a Parameter that learns. Of any other MXNet would set up the backward
        # pass at each call: a gradient that nobody wants is a new array each time
        indices, values, constants = {True: [], False: []}, [], set()
        self._inputs, self._late_bound = [], []     # (place, number of the input), (place, source)
        # places of inputs that are detached: eager leaves their gradients alone
        self._detached_inputs = []
        # by which gradients come to what gave them; not if only what is written depends on them
        self._flows, self.statistics = set(), []
        for at, name in enumerate(symbol.list_inputs()):
            source = sources[name]
            learns = _learns(source) and name in taped
            indices[learns].append(at)
            values.append(None)         # what moves
            if name in flows:
                self._flows.add(at)
            if source[0] == 'input':
                self._inputs.append((at, source[1]))
                self._detached_inputs += [at] * (name not in taped)
                continue
            if source[0] in ('state', 'cut'):
                self._late_bound.append((at, source))
                continue
            values[at] = program.value(source)
            if not learns:
                constants.add(at)
            if values[at].ctx != program.ctx:
                raise ValueError(
                    f'{source[1]} is not on {program.ctx}, as the inputs are: ask for the '
                    'copy there, weight.data(ctx=X.ctx)')
            if name in statistics:
                self.statistics.append(values[at])
        places = {name: at for at, name in enumerate(symbol.list_inputs())
                  if sources[name][0] in ('input', 'state', 'cut')}
        # (number of an output that detached arrays come to, places of what comes to it undetached)
        self._detached_outputs = [(k, [places[name] for name in names if name in places])
                          for k, names in passes.detached(self._graph)
                          if not any(_learns(sources[name]) for name in names)]
        flags.update(param_indices=indices[True], data_indices=indices[False])
        # With static_shape, MXNet goes on to write the gradient of a Parameter where it wrote the
        # first, and where several calls used it that was an array to be added up. That of data it
        # asks for
        self._learns = bool(indices[True]) and 'static_shape' in flags
        recorded = dict(flags, param_indices=[], data_indices=[*range(len(values))])
        self._thread = _Thread(lambda is_recorded: CachedOp(
            mxnet.sym.load_json(text).as_np_ndarray(),
            [*(recorded if is_recorded else flags).items()]), values, constants)
        self._op()                      # here it says what it cannot do

    def _op(self):
        """The CachedOp for a call as it is now."""
        return self._thread.op(self._learns and autograd.is_recording())

    def bind_once(self, leaves, state, cut):
        """`bind`, unless it is bound."""
        if self._thread is None:
            with LOCK:
                if self._thread is None:
                    self.bind(leaves, state, cut)

    def __call__(self, leaves, state, cut):
        values = self._thread.values.copy()
        for at, i in self._inputs:
            values[at] = leaves[i]
        for at in self._detached_inputs:
            values[at] = tape.detach(values[at])
        for at, source in self._late_bound:
            values[at] = what = self._program.value(source, leaves, state, cut=cut)
            # what is left of an earlier call whose tape is gone cannot be fed
            if source[0] == 'state' and (at not in self._flows or tape.symbol(what) is None):
                values[at] = tape.detach(what)
        results = self._op()(*values)
        results = results[self._skip:] if type(results) is list else [results]
        # As in eager mode, such a result is on the tape only if one of the inputs that lead to it
        # past no `detach` is
        if self._detached_outputs and autograd.is_recording():
            for k, places in self._detached_outputs:
                if not any(tape.recorded(values[at]) for at in places):
                    results[k] = tape.detach(results[k])
        return results


class Program:
    """`program(tree, state)` computes what the traced function would of the arguments in a Tree,
    with the state that `program.current()` gives while it is as the trace saw it.

    Where the function asks for a value, a program ends with that `question`, and `ask` runs it. The
    next one is `after` the answer: it takes what those before it have made, `cut`.

    `graph` is the graph as it was traced (see passes.py), and `sources` has for each name of its
    inputs what they stand for (see `Trace.find`). `outputs` has, for each array of the result or
    that is left, None if it is an output of the graph, or its source if it is an input or depends
    on none.
    """

    def __init__(self, trace, piece, exact, optimize, flags):
        self.ctx, self.asks_mode, self.question = trace.ctx, piece.mode is not None, piece.question
        self.mode = autograd.is_training() if optimize else piece.mode  # None: right in both
        asks = trace.asks
        self.recorded = autograd.is_recording() if asks else None       # None: right for both
        self.guard = Guard(piece)
        if self.guard.state_if_unchanged() is None:
            raise RuntimeError(f'while {trace.name} was compiled, another thread changed what its '
                               'forward reads')
        self._data = [slot for slot in piece.slots if slot.name == '_data']
        self.graph, self.sources, places = extract_graph(trace, piece)
        self.outputs = [None if isinstance(place, int) else place for place in places]
        options = exact, optimize, flags, trace.name
        if self.question is None:
            self.result, self.size, self._nodes = trace.result, trace.size, trace.nodes
            self._writes, self._fills = trace.writes, trace.fills
            self._overwritten = trace.overwritten
            self.changes = bool(trace.writes or trace.fills or trace.overwritten)
            self._views, self._write = trace.views, trace.write
            # number of an output that is written into an array of the state -> that one's number
            self._kept = {len(self.outputs) - trace.hidden - n: i for n, i in zip(
                range(len(trace.overwritten), 0, -1), trace.overwritten)}
            if self._overwritten:
                self._used = {source for each in trace.pieces for source in _used(trace, each)}
                self._used |= {('state', i) for i in self._overwritten}
        self.writes = self.question is None and bool(self._overwritten)
        self.trace_fingerprint = asks and fingerprint(piece, self.graph, self.sources, places)
        self._places, self._first, self._following, self.paths = places, piece.first, {}, 0
        self._parts, self._only = [], None      # of a net that asks for nothing
        if self.recorded:
            self._cut_apart(options, trace)
        elif self.graph['heads']:
            sources = {**self.sources, **(trace.find([trace.spare]) if piece.random else {})}
            results = self.outputs[:self.size] if not self.question else self.outputs
            flowing = None if self.question or self._views or any(
                s and s[0] == 'state' for s in results) else sum(s is None for s in results)
            self._parts = [Part(self, self.graph, sources, options, flowing, trace.spare)]
            if not asks:
                self._only, = self._parts
                self._only.bind(trace.leaves, self.guard.state_if_unchanged())

    def _cut_apart(self, options, trace):
        """Make it of several parts: gradients come to those only whose outputs were used."""
        parts, entries = passes.parts(
            self.graph, {name for name, source in self.sources.items() if _moves(source)},
            {name for name, source in self.sources.items()
             if source[0] in ('input', 'state', 'cut')})
        for graph, made in parts:
            sources = {node['name']: ('cut', self._first + made[node['name']])
                       if node['name'] in made else self.sources[node['name']]
                       for node in graph['nodes'] if node['op'] == 'null'}
            self._parts.append(Part(self, graph, sources or trace.find([trace.spare]), options,
                                    spare=trace.spare))
        heads = [(i, k) for i, k, *_ in self.graph['heads']]
        self._places = [entries.index(heads[place]) if isinstance(place, int) else place
                        for place in self._places]

    @property
    def executed_graph(self):
        """The graph that computes, of a net that asks for no value."""
        return self._only.executed_graph if self._only else self.graph

    def valid_state(self):
        """The state if all on which the trace relied is as it was, or None."""
        if self.mode is not None and self.mode != autograd.is_training() or (
                self.recorded is not None and self.recorded != autograd.is_recording()):
            return None
        return self.guard.state_if_unchanged()

    def next_program(self, answer):
        """(program, its state) of what follows an answer, or None if that has to be traced."""
        for program in self._following.get(answer, ()):
            state = program.valid_state()
            if state is not None:
                return program, state

    def add_next_program(self, answer, program):
        """Let a program follow an answer."""
        others = [p for p in self._following.get(answer, ()) if not p.is_stale()]
        self._following[answer] = [program, *others]

    def ask(self, tree, state, cut, before):
        """Run it; append to `cut` what it leaves to those that follow, and to `before` (array,
        copy) of statistics as they were; return the answer."""
        leaves, made = tree.arrays, self._run(tree.arrays, state, cut, before)
        cut += [made[place] if source is None else self.value(source, leaves, state, cut=cut)
                for place, source in zip(self._places, self.outputs)]
        try:
            return self.question.answer(cut[self._first])
        except (ValueError, OverflowError) as error:        # of infinity, say, no integer is made
            raise Raised from error

    def is_stale(self):
        """Whether arrays of a Parameter were replaced, so that it is of no more use."""
        return any(slot.get() is not slot.value for slot in self._data)

    def __call__(self, tree, state, cut=()):
        leaves, only = tree.arrays, self._only
        results = only(leaves, state, cut) if only else self._run(leaves, state, cut)
        if self.result is ARRAY and self.outputs == [None] and not self.changes and not self._views:
            return results[self._places[0]]
        results = [results[place] if source is None else self.value(
            source, leaves, state, True, cut) for place, source in zip(self._places, self.outputs)]
        for i, source, steps in self._views:        # as in eager mode, they share their memory
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
        """The outputs of its parts, one after another; before: as in `ask`."""
        made = [*cut]
        for part in self._parts:
            part.bind_once(leaves, state, made)
            if part.statistics and before is not None and autograd.is_training():
                with autograd.pause():
                    before += [(array, array.copy()) for array in part.statistics]
            made += part(leaves, state, made)
        return made[len(cut):]

    def refuse_shared_memory(self, leaves, state):
        """Raise TraceError where an array that the function writes into has values in common with
        another that it uses: in eager mode that one changes, too."""
        for i in self._overwritten:
            written = tape.memory(state.arrays[i])
            for source in self._used - {('state', i)}:
                other = tape.memory(self.value(source, leaves, state, True))
                if written.start < other.stop and other.start < written.stop:
                    raise error_at(
                        self._write, 'writes into an array that shares its memory with another '
                        'that it uses, and in eager mode both change',
                        'Let one of them be a copy, Y.copy(). ' + EAGER)

    def _change(self, build, results, nodes, state):
        """Change Python's state as the traced function did."""
        writes = [(slot, MISSING if structure is None else build(structure))
                  for slot, structure in self._writes]
        fills = [(nodes[i], kind, meta, [build(part) for part in parts])
                 for i, (kind, _, meta, *parts) in self._fills]
        for i, new in zip(self._overwritten, results):
            old = state.arrays[i]
            if autograd.is_recording():     # the array is the result, as it is in eager mode
                new = tape.alias(new)       # which may be another result, too
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

    def value(self, source, leaves=(), state=None, as_result=False, cut=()):
        """The array that a source stands for, to be fed to the graph or handed back."""
        kind, what, *i = source
        if kind == 'input':
            return leaves[what]
        if kind == 'cut':
            return cut[what]
        if kind == 'param':
            return what._data[i[0]]
        if kind == 'state':
            what = (state or self.guard.state_if_unchanged()).arrays[what]
            if as_result:
                return what
            return what.as_in_ctx(self.ctx)
        return tape.detach(what).copy() if as_result and kind == 'const' else what
