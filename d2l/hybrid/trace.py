"""The trace: run a `forward` once as it is written, and take its graph from the autograd tape.

During a trace the arrays among the arguments are replaced by stand-ins, which are marked aliases of
them. An array from outside, of a Parameter or an attribute, is replaced at its first use, when its
handle is read. What `forward` reads of Python's state is recorded (reads.py, guards.py). What it
changes there is undone and recorded too (`writes`, `fills`), so that a failed trace leaves no
change behind. TraceError is raised for what a graph cannot hold.
"""
import contextlib
import enum
import functools
import gc
import inspect
import itertools
import linecache
import math
import random
import re
import signal
import sys
import threading
import types

import mxnet
import numpy
from mxnet import autograd, gluon, np
from mxnet.context import Context
from mxnet.gluon.parameter import DeferredInitializationError, Parameter
from mxnet.ndarray import NDArray, register
from mxnet.ndarray._internal import NDArrayBase

from .. import c_api
from . import tape
from .cells import COUNTS, CallCount, counts_calls
from .guards import MISSING, Slot, namespace
from .reads import BEFORE, Reads, forget, is_users, line_of
from .sources import OUTSIDE, Source
from .tree import (
    _GENERATORS, BY, IS, NODE, STATIC, CannotHold, Is, Tree, builder, is_module, pairs, set_state,
    has_no_nodes)
from .tree import state as state_of

LOCK = threading.RLock()  # one trace at a time, because it patches MXNet
EAGER = 'With fallback=True such a net runs eagerly.'
_FORBIDDEN = {  # function of MXNet's C library -> how an error message describes calling it
    'MXAutogradMarkVariables': 'attaches a gradient',
    'MXAutogradBackwardEx': 'computes gradients',
    'MXNDArrayGetGrad': 'reads a gradient',
    'MXNDArrayLoad': 'loads arrays from a file', 'MXNDArraySave': 'saves arrays',
    'MXNDArraySaveRawBytes': 'pickles an array',
    'MXNDArrayToDLPack': 'hands the memory of an array to others',
    'MXRandomSeed': 'seeds the generator of random numbers',
    'MXRandomSeedContext': 'seeds the generator of random numbers',
    'MXInvokeCachedOpEx': 'runs a graph that was compiled or loaded before'}
# operators whose result has a shape that depends on the values of their inputs
_DYNAMIC = re.compile('_boolean_mask$|nonzero$|_unique$|_npi_delete$|_npi_bincount$')
# operators whose shapes MXNet cannot infer in a graph -> functions that do the same by others
_REPLACED = {
    '_npi_hstack': lambda arrays: np.concatenate(
        [a if a.ndim else a.reshape(1) for a in arrays], axis=int(arrays[0].ndim > 1)),
    '_npi_dstack': lambda arrays: np.concatenate([a if a.ndim > 2 else a.reshape(
        *[1] * (2 - a.ndim), *a.shape, 1) for a in arrays], axis=2)}
_REGISTERS = '_children', '_reg_params', '_forward_hooks', '_forward_pre_hooks'
_FLAGS = [Tree().flatten(value) for value in (True, False, None)]
# types of objects that a result may contain even if the function has not read them
_NAMED = type, types.ModuleType, types.BuiltinFunctionType, enum.Enum
# name of a method -> its answer for a NumPy array of one element
_QUESTIONS = {'__bool__': lambda a: bool(a.item()), '__int__': lambda a: int(a.item()),
              'item': lambda a: a.item(), 'asscalar': lambda a: a.ravel()[0]}
# operators that compute something else in training mode, besides those that draw numbers
_MODAL = 'BatchNorm', '_contrib_SyncBatchNorm', 'Custom'
MAX_QUESTIONS = 100         # questions in one call: after each of them a new graph begins
_asnumpy = NDArray.asnumpy
_tracing_thread = None


class TraceError(RuntimeError):
    """An error: a `forward` does something that no graph can hold. The message says what, at which
    line (`filename`, `lineno`), and names the cure."""


class Raised(Exception):
    """The traced function raised an exception of its own, which is the cause of this one."""


class TooManyQuestions(Exception):
    """The traced function asks for more than MAX_QUESTIONS values. The text is a warning's."""


class Asked(BaseException):
    """The traced function asks for a value that the trace does not know, so the trace ends."""


class Question:
    """A question of a `forward`: it asks for the value of an array of one element.

    how: the name of the array's method; line: (code, number) of the line that calls it
    """

    def __init__(self, how, line):
        self.how, self.line = how, line

    def answer(self, array):
        """Return the answer for this array, as the method does: a bool, an int, or its element."""
        return _QUESTIONS[self.how](_asnumpy(array))

    @property
    def place(self):
        """The question's line, as messages show it."""
        return place_of(self.line)[-1]

    def error(self, what, cure):
        """Return a TraceError at the question's line."""
        return error_at(self.line, what, cure)


class Piece:
    """The part of a run from its start, or from a question, up to the next question or to its end.

    outputs: a list with an entry for each array of the result. If the piece ends with `question`,
        the entries are for the array that is asked for, and then for the arrays that the next piece
        may need. An entry is the array's symbol, the array itself if it is not on the tape, or its
        source if it is an array from outside that was written into
    random, draws: see Trace
    The other attributes are what was read of Python's state up to the end of the piece.
    """

    def __init__(self, trace, arrays, question=None):
        symbols = [None if isinstance(a, Source) else c_api.graph_of(a) for a in arrays]
        self.outputs = [a if symbol is None else symbol for a, symbol in zip(arrays, symbols)]
        self.question = question
        self.random, self.draws, self.mode = trace.random, trace.draws, trace.mode
        self.first = trace.crossed      # index in `cut` of the first array that this piece adds
        self.slots, self.names, self.types = [*trace.slots], [*trace.names], [*trace.types]
        self.spaces = [*trace.spaces, *trace._reads.spaces]
        self.contents, self.kept = [*trace.contents.values()], [*trace.kept.values()]
        self.used = dict(trace.used)


class Deferred(Exception):
    """The net has to be called eagerly first, for example because a Parameter has no shape yet."""


def place_of(line):
    """Return (file, line number, text for a message) of a line.

    line: (code object, line number), or (code object, a name): the first line that uses the name
    """
    code, number = line
    if isinstance(number, str):
        number = line_of(code, number)
    file = code.co_filename
    return file, number, (f'\n  File "{file}", line {number}, in {code.co_name}\n'
                          f'    {linecache.getline(file, number).strip()}')


def error_at(line, what, cure):
    """Return a TraceError at a line (see `place_of`)."""
    file, number, place = place_of(line)
    error = TraceError(f'forward {what}{place}\n{cure}')
    error.filename, error.lineno = file, number
    return error


def users_line():
    """Return the innermost frame of the user's code, outside of MXNet, NumPy and this compiler."""
    first = frame = sys._getframe(1)
    while frame and not is_users(frame):
        frame = frame.f_back
    return frame or first


def tracing():
    """Return whether this thread is inside a trace."""
    return _tracing_thread is not None and _tracing_thread == threading.get_ident()


def _is_dropped(frame):
    """Return whether Python may print and drop an exception that is raised in a frame. It may in a
    `__del__`, in a generator, as it may be closing, and in the profile hook."""
    if frame.f_code.co_flags & inspect.CO_GENERATOR:
        return True
    while frame and frame.f_code.co_name != '__del__' and frame.f_code is not Reads._hook.__code__:
        frame = frame.f_back
    return frame is not None


class Signals:
    """Inside this context, signals with a handler in Python are held back, so that MXNet is never
    left half patched.

    Inside `allowed`, they are delivered at once, until a handler has raised an exception. A signal
    that arrives where Python would drop the exception, such as in `__del__`, is held back until
    the next `check`. So no Ctrl-C is lost.
    """

    def __init__(self):
        self._handlers, self._waiting, self._open = {}, [], False

    def _handle(self, number, frame):
        if not self._open or frame and _is_dropped(frame):
            self._waiting.append(number)
            return
        self._open = False              # stays False if the handler raises
        self._handlers[number](number, frame)
        self._open = True

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            try:
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._handlers[number] = handler
                        signal.signal(number, self._handle)
            except BaseException:       # raised by a handler that was not replaced yet
                self._give_back()
                raise
        return self

    def __exit__(self, *_):
        self._give_back()
        self._raise()

    @contextlib.contextmanager
    def allowed(self):
        self._open = True
        try:
            self._raise()
            yield
        finally:
            self._open = False

    def check(self):
        """Deliver the signals that are held back, if this is inside `allowed`."""
        if self._waiting and self._open and threading.current_thread() is threading.main_thread():
            self._raise()

    def _give_back(self):
        # SIGINT last, because its handler may raise as soon as it is restored
        for number in sorted(self._handlers, key=lambda n: n == signal.SIGINT):
            signal.signal(number, self._handlers[number])

    def _raise(self):
        waiting, self._waiting = self._waiting, []
        for number in waiting:
            signal.raise_signal(number)


def _is_number(structure):
    """Return whether a structure is that of a number or a text, or of a tuple of these."""
    if structure is None or not has_no_nodes(structure) or structure in _FLAGS:
        return False
    what, *parts = structure
    return what in (STATIC, BY) or what != IS and any(map(_is_number, parts[2:]))


def _constant(array):
    """Return an array; if it has no elements, a new one of its shape that depends on no input,
    because MXNet's graphs fail on most operators with empty arrays."""
    if array.size:
        return array
    new = np.empty(array.shape, dtype=array.dtype, ctx=array.ctx)
    return new if isinstance(array, np.ndarray) else new.as_nd_ndarray()


def _without_np_shape(function):
    """Return a function that runs as in code for mx.nd, where X[0] of a vector has the shape (1,).
    """
    def run(array):
        with mxnet.util.np_array(False), mxnet.util.np_shape(False):
            return function(array)
    return run


class Compiled(gluon.Block):
    """The base class of what `hybridize` and `compile` make. A trace of a larger net runs the net
    inside it and does not guard its own attributes."""


class Graph(gluon.Block):
    """A Block that is a graph already, and is not compiled again."""


def traced(root, tree, structure, training, ctx, answers=()):
    """Run a function once, and return the Trace of the run.

    root: the CompiledBlock whose function runs
    tree, structure: the Tree of its arguments, and their structure
    training: the value of `autograd.is_training()` in the run; ctx: the device of the graph
    answers: the answers to its first questions
    """
    trace = Trace(root, tree, training, ctx, answers)
    trace.record(root, structure)
    return trace


class Trace:
    """One run of a function, which records its graph, the sources of the graph's inputs, and the
    changes of Python's state.

    Where the function asks for a value, a piece ends. Its graph computes the array that is asked
    for, and all arrays that the rest of the run may use, which are inputs of the next piece. If the
    run has computed the same values as a call, it goes on with the array's own value. If it has
    not, as a trace draws no random numbers, it ends there without a result.

    It is made by `traced`, which has the same arguments.
    """

    def __init__(self, root, tree, training, ctx, answers):
        self.name = root._name_of_net()
        self.leaves, self.ctx, self._training, self._apart = tree.arrays, ctx, training, tree.apart
        self._filled = all(0 not in array.shape for array in self.leaves)   # none is empty
        self.mode = None            # the training mode if the function asked for it
        self.slots = []             # Slots that were read, in order
        self.contents = {}          # id of a dict that is guarded as a whole -> (it, a copy of it)
        self.names = []             # (dict, the set of its keys); a class's `__dict__` counts
        self.types = []             # (Block, its class)
        self.spaces = []            # (object or Block, the dict that holds its attributes)
        # id -> a Parameter's list of its arrays, which are compared by identity
        self.kept = {}
        self.writes, self.fills = [], []    # (Slot, new structure), (index of a node, its new one)
        self.overwritten = []       # indices of arrays of the state that were written into
        self.write = None           # (code, number) of the first line that wrote into one of them
        self.random = []            # symbols of results of operators that draw, in order of calls
        # name of a node, the stand-in for a result of an operator that draws -> (name of the node
        # for the first result, index of this result, operator, attributes, symbols of the inputs)
        self.draws, self.spare = {}, None
        self.stops = set()          # names of BlockGrad nodes that `forward` called as operators
        self.dtypes = {}            # name of a `_copyto` node -> dtype of its result
        self.used = {}              # index of an array of the state -> its kind (see c_api.kind)
        self.pieces, self.answers = [], [*answers]
        self.stopped = False        # whether the run has ended at a question
        # Whether autograd records the call, and whether it does at this point of the run; the mode
        # at this point
        self._recording = self._records = autograd.is_recording()
        self._mode, self._changed_mode = training, None     # the last line that changed the mode
        self.blocked = False        # whether another graph is needed if autograd records, or not
        self._gradientless = set()  # ids of arrays through which `_block` lets no gradient
        self.crossed = 0            # number of arrays that the pieces pass on to later pieces
        # arrays that were alive at the last question; the number of arrays made until then
        self._left, self._looked = [], 0
        self._values_are_exact = True   # whether all arrays have the values that a call computes
        self._sources = {}          # name of a variable -> source (see `find`)
        self._inside = {}           # id of an array from outside -> (the array, its stand-in)
        self._made = {}             # id -> array, for each array made in the run
        self._parts = set()         # ids of arrays that may share the memory of others
        # id -> [(array, index of its first element in the shared memory, its size)] for all arrays
        # that have the same memory in eager mode
        self._sharing = {}
        self._views = {}            # id -> (array of which it is a view, function that makes it)
        # (index of an output, index of the output or source of which it is a view, functions that
        # make it from that one after another)
        self.views = []
        # number of outputs, the last ones, that are only there so that others can be views of them
        self.hidden = 0
        self._detached = set()      # ids of arrays that `detach` has returned
        self._stale = set()         # ids of arrays that a write would have changed in eager mode
        self._slots, self._blocks, self._touched = {}, {}, set()
        self._new = {}              # id -> Block that is made in the run
        self._counts = {}           # (id of a Block, name) -> a count of calls (see cells.py)
        self._held = {}             # id of a dict -> a copy from before the run
        self._spaces = []           # (namespace of a module that a slot holds, a copy of it)
        self._tree, self._arrays, self._parameters = Tree(keep=True), {}, {}
        # id of an array -> {id of a Parameter: its place there}; the numbers of Blocks and
        # Parameters that were searched for such places
        self._places, self._searched = {}, (0, 0)
        self._errors, self._undo, self._patched = {}, [], set()
        # whether the run added results to the cache of a function of functools.lru_cache
        self._cache_grew = False
        self._reads = Reads(self._slot, self._error, self._tree.stateful,
                            self._guard_cached_results)
        self._arguments = Tree(keep=True)       # the arguments of the run, with stand-ins
        self._stand_ins = iter([self._stand_in(a, Source('input', i))
                                for i, a in enumerate(self.leaves)])
        self._given = {}                        # id -> stand-in of an argument

    def record(self, root, structure):
        """Run the function of `root`, once. structure: that of its arguments"""
        for kind in {type(array) for array in self.leaves} - {np.ndarray}:
            raise self._error(f'has an argument of class {kind.__module__}.{kind.__name__}, and '
                              'would get one of mx.np', 'Pass X.as_np_ndarray(). ')
        try:
            build = builder(self._stand_ins)
            args, kwargs = build(structure)
            kwargs = dict(kwargs)
        except TypeError as error:
            raise self._error(f'has an argument that no graph can take: {error}') from error
        self._given = {id(a): a for a in self._made.values()}
        self._copies = build.made               # copies of the containers in the arguments
        self._arguments.flatten((args, tuple(kwargs.items())))
        self._tree.stateful += self._arguments.stateful
        # train_mode=False: dropout draws no numbers, and no statistics are updated
        with autograd.record(train_mode=False):
            self._run(root, args, kwargs)
        if not self.stopped:
            self.pieces.append(Piece(self, self.outputs))
        for piece in self.pieces:
            piece.weak = bool(self._tree.weak)
        # A class may get a new method such as __len__, which is used without naming it
        for piece in self.pieces:
            piece.names += [(namespace(c), {*vars(c)}) for c in self._reads.classes.values()]
        if self._tree.weak:         # the trace must not keep the targets of weak references alive
            self._tree = self._arguments = self._copies = self._held = None
        # `spare`: name of an input for graphs that have none
        if any(piece.random for piece in self.pieces):
            spare = np.zeros(1, ctx=self.ctx)
            self.spare = tape.entry(self._stand_in(spare, Source('const', array=spare)))[0]

    def _run(self, root, args, kwargs):
        global _tracing_thread
        collects = gc.isenabled()
        with Signals() as self._signals:
            try:
                gc.disable()            # its callbacks, such as __del__, are no part of the run
                self._patch_all()
                _tracing_thread = threading.get_ident()
                for value in self._arguments.met:
                    self._reads.meet(value)
                self._reads_function(vars(root))
                self._reads.start()
                with self._signals.allowed():
                    try:
                        result = root._run_eagerly(*args, **kwargs)
                        if not self._errors:
                            self._reads.check()
                    except Asked:
                        pass
                    except (TraceError, Deferred, TooManyQuestions):
                        if not self.stopped:
                            raise
                    except Exception as error:
                        if not self.stopped:
                            raise Raised from error
                self._reads.stop()
                for error in self._errors.values():  # even if the function has caught it
                    raise error
                self._refuse_weak_references(root)
                if not self.stopped:
                    self._conclude(result)
                self._restore()
                # An eager call comes first: the results that it caches are inputs of the next
                # trace, and modules that it imports make arrays and layers only once
                if self._cache_grew or self._reads.imported:
                    raise Deferred
                if not self.stopped:
                    self._guard_unchanged_writes()
            finally:
                _tracing_thread = None
                try:
                    self._reads.stop()
                    if collects:
                        gc.enable()
                    self._restore()
                finally:
                    while self._undo:
                        self._undo.pop()()
        for error in self._errors.values():
            raise error

    def _error(self, what, cure=EAGER, of=None, line=None):
        """Return a TraceError at the line of the user's code that is running, or at `line`, and
        store it, so that it is raised at the end even if the function catches it.

        of: id of the array that the error is about; a later write may take the error back
        """
        if line is None:
            frame = users_line()
            line = frame.f_code, frame.f_lineno
            if self._reads.stopped:     # the traced run is over: name the last line that it ran
                line = self._reads.left or line
        error = error_at(line, what, cure if cure.endswith(EAGER) else cure + EAGER)
        if not self.stopped:
            self._errors[of] = error
        return error

    @property
    def entropy(self):
        """The line that read entropy of the system, or None. A random generator with a seed reads
        it, too, without using it; this counts, and further traces find that nothing changes."""
        return self._reads.entropy

    @property
    def asks(self):
        """Whether the function asks for a value."""
        return self.stopped or len(self.pieces) > 1

    def find(self, names):
        """Return {name: Source} for the names of variables of the tape."""
        lost = set(names) - set(self._sources)
        for array in self._made.values() if lost else ():
            if array.handle:
                name, variable = tape.entry(array)
                if variable and name in lost:
                    lost.remove(name)
                    here = array.as_np_ndarray().as_in_ctx(self.ctx)
                    self._sources[name] = Source('const', array=here)
        if lost:
            raise self._error('uses a number that was drawn before a value was asked for, of which '
                              'nothing was left then')
        return {name: self._sources[name] for name in names}

    # ---- reads of Python's state

    def _slot(self, owner, name, what, read, line=None):
        """Record that the function reads `name` in `owner`, or only writes it (read=False), and
        return the Slot; None for an attribute that this trace has patched."""
        slot = self._slots.get((id(owner), name))
        if slot is None:
            if (id(owner), name) in self._patched:
                return None
            slot = self._slots[id(owner), name] = Slot(owner, name, what, False, line)
            before = self._held.get(id(owner))
            if before is not None and before.get(name, MISSING) is not slot.value:
                slot.value = before.get(name, MISSING)  # the run has replaced this value already
                return slot
            if line is None:
                frame = users_line()
                slot.line = frame.f_code, frame.f_lineno
        elif slot.read or not read or slot.get() is not slot.value:
            return slot
        if read:
            slot.read = True
            self.slots.append(slot)
            if slot.value is not MISSING:
                self._flatten(slot)
        return slot

    def _flatten(self, slot):
        tree = self._tree
        known, met, nodes = len(tree.arrays), len(tree.met), len(tree.nodes)
        try:
            slot.structure = tree.flatten(slot.value)
        except CannotHold as error:
            raise self._error(f'reads {slot.what}, which holds {error}',
                              'Read a part of it before, in __init__, say. ',
                              line=slot.line) from error
        for i, array in enumerate(tree.arrays[known:], known):
            self._arrays[id(array)] = Source('state', i)
        for node, (kind, meta, children) in zip(tree.nodes[nodes:], tree.contents[nodes:]):
            if kind.fast == 'dicts':
                self._held[id(node)] = dict(zip(children[:meta[0]], children[meta[0]:]))
            elif kind.fast == 'objects' and hasattr(node, '__dict__'):
                self._held[id(vars(node))] = dict(zip(meta, children))
        for value in tree.met[met:]:
            if is_module(value):
                self._spaces.append((value, dict(value)))
                self._held[id(value)] = self._spaces[-1][1]
            if isinstance(value, Parameter):
                self._parameters[id(value)] = value
            self._reads.meet(value)

    def _guard_cached_results(self, function, entries, results):
        """Guard the results that a function decorated with functools.lru_cache has cached: that
        each is still cached, and its value. These slots are not in `_slots`, because `_restore`
        could not write them back into the cache."""
        what = f'what {getattr(function, "__name__", "a function")} remembers'
        frame = users_line()
        for key, result in results.items():
            there, held = Slot(entries, key, what, True), Slot({'result': result}, 'result', what,
                                                               True)
            there.structure = IS, Is(there.value)
            held.line = frame.f_code, frame.f_lineno
            self.slots += there, held
            self._flatten(held)

    def _register(self, held, name, what):
        """Guard all entries of an attribute that is a dict of Blocks, Parameters or hooks."""
        value = held[name]
        if id(value) not in self.contents:
            self._fixed(held, name, what)
            self.contents[id(value)] = value, dict(value)

    def _fixed(self, held, name, what):
        """Guard the object `held[name]` by identity, whatever it contains."""
        slot = self._slot(held, name, what, False)
        if not slot.read:
            slot.read, slot.structure = True, (IS, Is(slot.value))
            self.slots.append(slot)

    def _get_attribute(self, original, block, name):
        if name in COUNTS and id(block) not in self._new:
            value = self._counts.get((id(block), name), MISSING)
            if value is not MISSING:
                return value
            value = original(block, name)
            if counts_calls(block, name, value):
                return CallCount(value, functools.partial(
                    self._error, f'reads self.{name}, the number of calls of this cell',
                    'Keep state in arrays. ' + EAGER))
        if (id(block), name) not in self._touched and id(block) not in self._new:
            self._touched.add((id(block), name))
            held = object.__getattribute__(block, '__dict__')
            if isinstance(block, Compiled):
                if name == 'forward':
                    self._reads_function(held)
            elif name != '__class__':
                self._touch(block, held, name)
        # _active=False: Gluon's HybridBlock runs its forward as if it were not hybridized
        return False if name == '_active' else original(block, name)

    def _reads_function(self, held):
        """Guard the function that a Compiled runs."""
        for name in '_net', '_own':
            self._slot(held, name, 'the function', True)
        if isinstance(held['_net'], gluon.Block):
            self.types.append((held['_net'], type(held['_net'])))
            self._reads.look_up_class(type(held['_net']), 'forward')

    def _touch(self, block, held, name):
        if id(block) not in self._blocks:
            if not held:                        # no attributes yet: the run is making this Block
                self._new[id(block)] = block
                return
            if isinstance(block, (Graph, gluon.SymbolBlock)):
                raise self._error('runs a graph that was compiled or loaded before')
            self._held[id(held)] = before = dict(held)
            self._blocks[id(block)] = block, held, before
            self.types.append((block, type(block)))
            self.spaces.append((block, held))
            self._reads.meet(type(block))
            self._reads.look_up_class(type(block), '__call__')
        if name == '__dict__':
            self.names.append((held, {*held}))
            for each in tuple(held):
                self._touch(block, held, each)
            return
        if name in _REGISTERS and name in held:
            if held[name] and name.endswith('hooks'):
                if all(getattr(hook, '__qualname__', '').startswith('Block.summary.')
                       for hook in held[name].values()):
                    raise Deferred      # Block.summary counts Parameters as they are used
                raise self._error(f'calls a {type(block).__name__} with hooks, which no graph runs')
            return self._register(held, name, f'self.{name}')
        if name != '__class__':
            self._slot(held, name, f'self.{name}', True)
            self._reads.look_up_class(type(block), name)

    def _set_attribute(self, original, block, name, value):
        held = object.__getattribute__(block, '__dict__')
        if id(block) not in self._blocks and id(block) not in self._new:
            self._touch(block, held, '__class__')
        if id(block) in self._new:
            return original(block, name, value)
        if counts_calls(block, name, value):
            self._counts[id(block), name] = value
            return
        slot = self._slot(held, name, f'self.{name}', False)
        if isinstance(value, (gluon.Block, Parameter)) and value is not slot.value or isinstance(
                slot.value, (gluon.Block, Parameter)) and value is not slot.value or (
                slot.read and self._is_counter(slot.structure, value)):
            raise self._changes(slot)
        object.__setattr__(block, name, value)

    def _changes(self, slot, line=None):
        return self._error(f'reads {slot.what}, a state in Python, and then changes it',
                           'Keep state in arrays, and make layers before. ' + EAGER, line=line)

    def _is_counter(self, structure, value):
        """Return whether a number or a text, or a tuple of them, changes to another one: each value
        would need a graph of its own. True, False and None do not count, as they are few."""
        if value is MISSING or isinstance(value, NDArray) or not _is_number(structure):
            return False
        new = Tree().flatten(value)
        return new != structure and _is_number(new)

    def _check_and_get(self, original, parameter, arrays, ctx):
        """Replace Parameter._check_and_get, through which Gluon reads arrays and gradients."""
        try:
            found = original(parameter, arrays, ctx)
        except DeferredInitializationError:
            raise Deferred from None
        self._parameters[id(parameter)] = parameter
        return found

    # ---- changes of Python's state

    def _conclude(self, result):
        """Record what the run returned and what it changed."""
        if (self._records, self._mode) != (self._recording, self._training):
            raise self._error('leaves autograd in another mode', 'Use `with`. ' + EAGER,
                              line=self._changed_mode)
        self.nodes = len(self._tree.nodes)      # number of nodes to which results may refer
        known = {id(v) for v in (*self._tree.met, *self._arguments.met,
                                 *[block for block, *_ in self._blocks.values()])}
        out = Tree(apart=self._apart)
        out.nodes = [*self._copies, *self._tree.nodes] if not self._apart else []
        out.seen = {id(node): (NODE, i) for i, node in enumerate(out.nodes)}

        def check(value):
            if id(value) not in known and not isinstance(value, _NAMED):
                raise CannotHold(f'a {type(value).__name__}')
        out.check = check
        for value, before in self._tree.stateful:
            if state_of(value) != before:
                # The profile hook does not see calls of NumPy 2's generators
                what = 'draws from a generator of Python or NumPy' if isinstance(
                    value, _GENERATORS) else f'takes the next value of a {type(value).__name__}'
                raise self._error(f'{what} that was there before, and a graph would repeat it for '
                                  'ever', BEFORE)
        try:
            self.result = out.flatten(result)
            self.size = len(out.arrays)         # number of `outputs` that belong to the result
        except CannotHold as error:
            raise self._error(f'returns {error}, which no graph can make again',
                              'Return arrays, in lists, tuples, dicts or objects. ') from error
        for held, before in self.contents.values():
            if [*held.items()] != [*before.items()]:
                raise self._error('makes layers or Parameters', 'Make them before. ')
        for held, before in self._namespaces():
            for name in {*held, *before}:
                if held.get(name, MISSING) is not before.get(name, MISSING):
                    self._slot(held, name, f'self.{name}', False).value = before.get(name, MISSING)
        for slot in self._slots.values():
            value = slot.get()
            if value is not slot.value:
                if slot.read and value is not MISSING and self._is_counter(slot.structure, value):
                    raise self._changes(slot, slot.line)
                self.writes.append((slot, self._rebuildable(out, slot, value)))
        self._fill(out, self._arguments, self._copies, 0)
        self._fill(out, self._tree, self._tree.nodes, len(self._copies))
        arrays = out.arrays
        for array, stand_in in [*self._inside.values()]:
            source = self._sources.get(tape.entry(stand_in)[0])
            if source is None or source.kind == 'cut':  # not from outside: it was written into
                self.overwritten.append(self._arrays[id(array)].index)
                arrays.append(stand_in)
        # A result that is one of these arrays must be the array itself, so it gets its source
        written = [] if self._apart else self.overwritten
        sources = [self._arrays.get(id(a)) for a in arrays]
        arrays = [*map(self._stand_in_of, arrays)]
        self._find_views(arrays)
        self._refuse_stale(arrays)
        self.outputs = [
            source if source and source.kind == 'state' and source.index in written else array
            for array, source in itertools.zip_longest(arrays, sources)]

    def _refuse_weak_references(self, root):
        """Raise TraceError if the function reads a weak reference to an object that a guard would
        compare by identity, and so keep alive. Blocks and Parameters of the net itself are allowed.
        So are values that a guard flattens anew at each call."""
        blocks, found = [root._net] if self._tree.weak else [], set()
        while blocks:
            block = blocks.pop()
            if isinstance(block, gluon.Block) and id(block) not in found:
                found |= {id(block), *map(id, block._reg_params.values())}
                blocks += block._children.values()
        for value in self._tree.weak:
            if id(value) not in found and not isinstance(value,
                                                         (type, types.ModuleType)) and has_no_nodes(
                    Tree().flatten(value)) and value is not None:
                raise self._error(f'reads a weak reference to a {type(value).__name__}, which its '
                                  'graph would keep alive', 'Keep it in an attribute. ')

    def _guard_unchanged_writes(self):
        """Guard the slots that the function set and that have the same value as before: a call with
        another value would have to set them."""
        for slot in [slot for slot in self._slots.values() if not slot.read]:
            if not any(written is slot for written, _ in self.writes):
                self._slot(slot.owner, slot.name, slot.what, True)

    def _rebuildable(self, out, slot, value):
        if value is MISSING:
            return None
        try:
            return out.flatten(value)
        except CannotHold as error:
            raise self._error(f'puts {error} into {slot.what}, which no graph can make again',
                              'Keep arrays there, in lists, tuples, dicts or objects. ',
                              line=slot.line) from error

    def _fill(self, out, tree, nodes, first):
        """Record in `fills` which nodes of a tree hold other values than before the run.

        out: the Tree that collects the results; first: index of the first of these nodes in it
        """
        for i, (node, (kind, meta, children)) in enumerate(zip(nodes, tree.contents)):
            new_meta, new = kind.take(node)
            if new_meta == meta and len(new) == len(children) and all(
                    a is b for a, b in zip(new, children)):
                continue
            slot = self._holder(node)
            for old, value in pairs(kind, (meta, children), (new_meta, new)):
                if value is not old and self._is_counter(Tree().flatten(old), value):
                    raise self._changes(slot, slot.line)
            structure = kind, type(node), new_meta, *[
                self._rebuildable(out, slot, child) for child in new]
            self.fills.append((first + i, structure))

    def _holder(self, node):
        """Return the slot that holds a node, directly or inside of another value."""
        for slot in self.slots:
            if slot.structure is not None and slot.value is not MISSING:
                tree = Tree()
                tree.flatten(slot.value)
                if any(n is node for n in tree.nodes):
                    return slot
        frame = users_line()
        slot = Slot({}, '', 'an argument', True)
        slot.line = frame.f_code, frame.f_lineno
        return slot

    def _namespaces(self):
        """Return (namespace, a copy from before the run) for each namespace in which a run may set
        names that are computed at run time."""
        return [*[(held, before) for _, held, before in self._blocks.values()], *self._spaces]

    def _restore(self):
        """Undo what the run changed."""
        for held, before in self.contents.values():
            if [*held.items()] != [*before.items()]:
                held.clear()
                held.update(before)
        for held, before in self._namespaces():
            for name in {*held, *before}:
                if held.get(name, MISSING) is not before.get(name, MISSING):
                    Slot(held, name, '', False).set(before.get(name, MISSING))
        for slot in self._slots.values():
            if slot.get() is not slot.value:
                slot.set(slot.value)
        for node, (kind, meta, children) in zip(self._tree.nodes, self._tree.contents):
            new_meta, new = kind.take(node)
            if new_meta != meta or len(new) != len(children) or any(
                    a is not b for a, b in zip(new, children)):
                kind.fill(node, meta, children)
        for value, before in self._tree.stateful:
            if state_of(value) != before:
                set_state(value, before)
        for cached, before in self._reads.caches:
            self._cache_grew = forget(cached, before) or self._cache_grew

    # ---- stand-ins

    def _stand_in(self, array, source):
        variable = tape.mark(tape.detach(array))
        self._sources[tape.entry(variable)[0]] = source
        self._made[id(variable)] = variable
        return variable

    def _stand_in_of(self, array):
        """Return the traced array for `array`: itself if the run made it, or its stand-in."""
        if id(array) in self._made:
            return array
        if id(array) not in self._inside:
            source = self._source(array)
            self._made[id(array)] = array           # `handle` then returns the array's own handle
            try:
                here = tape.detach(array)
                if source.kind == 'state':
                    here = here.as_in_ctx(self.ctx)
                    self.used[source.index] = c_api.kind(array.handle)
                self._inside[id(array)] = array, self._stand_in(here, source)
            finally:
                del self._made[id(array)]
        return self._inside[id(array)][1]

    def _source(self, array):
        """Return the source of an array from outside."""
        found = self._arrays.get(id(array))
        if found is None:
            places = self._places_of(array)
            if not places:          # a Parameter may have got other arrays since it was met
                self._places, self._searched = {}, (0, 0)
                places = self._places_of(array)
            for parameter, name, i in places:
                if name == '_data':
                    found = Source('param', i, parameter)
                    self._guard_parameter(parameter)
                else:
                    self._slot(vars(parameter), name, f'the gradient of {parameter.name}', True)
                    found = self._arrays.get(id(array))
            if found is None:
                raise self._error('uses an array of which a graph cannot know where it comes from',
                                  'Keep it in an attribute or pass it as an argument. ')
            self._arrays[id(array)] = found
        return found

    def _places_of(self, array):
        """Return a list of (Parameter, '_data' or '_grad', index): the places where Parameters hold
        an array. Blocks and Parameters that are new to the trace are searched first."""
        blocks, parameters = self._searched
        if blocks < len(self._blocks):
            for _, held, _ in [*self._blocks.values()][blocks:]:
                self._parameters.update((id(p), p) for p in held['_reg_params'].values())
        if parameters < len(self._parameters):
            for parameter in [*self._parameters.values()][parameters:]:
                for name in '_data', '_grad':
                    for i, found in enumerate(vars(parameter)[name] or ()):
                        self._places.setdefault(id(found), {}).setdefault(
                            id(parameter), (parameter, name, i))
        self._searched = len(self._blocks), len(self._parameters)
        places = self._places.get(id(array), {}).values()
        return [(parameter, name, i) for parameter, name, i in places
                if any(a is array for a in (vars(parameter)[name] or ())[i:i + 1])]

    def _guard_parameter(self, parameter):
        held = vars(parameter)
        if id(held['_data']) not in self.kept:
            self.kept[id(held['_data'])] = held['_data']
            self._fixed(held, '_data', parameter.name)
            self._slot(held, '_grad_req', f'{parameter.name}.grad_req', True)

    def _traced(self, array):
        """Return whether an array depends on an input, a Parameter or the state, so that it may
        have other values at the next call."""
        return tape.recorded(array)

    # ---- operators

    def _make_array(self, original, array, *args, **kwargs):
        self._made[id(array)] = array
        original(array, *args, **kwargs)

    def _get_item(self, original, array, key):
        part = original(array, key)
        if self._filled and not part.size and self._traced(array):
            return _constant(part)
        self._parts |= {id(part)} - {id(array)}
        return part

    def _detach(self, original, array):
        new = original(array)
        if self._traced(array):
            new = mxnet.nd.BlockGrad(c_api.alias(array, NDArray))
            if isinstance(array, np.ndarray):
                new = c_api.alias(new)
        self._detached.add(id(new))
        self.stops.discard(tape.entry(new)[0])
        return self._note_view(array, new, 0, lambda a: a.detach())

    def _at(self, original, array, i):
        new = original(array, i)
        return self._note_view(array, new, i % len(array) * new.size, lambda a: a._at(i))

    def _slice(self, original, array, start, stop):
        new = original(array, start, stop)
        first = slice(start, stop).indices(len(array))[0]
        return self._note_view(array, new, first * (array.size // max(len(array), 1)),
                               lambda a: a._slice(start, stop))

    def _view(self, original, array, *args, **kwargs):
        """Replace a method that returns another array with the same memory, in another shape."""
        new = original(array, *args, **kwargs)
        return new if new is array else self._note_view(
            array, new, 0, lambda a: original(a, *args, **kwargs))

    def _alias(self, original, array):
        """Replace a method that returns the same array as one of the other class. It is no
        operator, so its gradient does not depend on whether autograd is paused."""
        new = original(array)
        return new if new is array else self._note_view(array, new, 0, original, operator=False)

    def _basic(self, original, array, key):
        """Stand in for basic indexing. In eager mode its result is a view if it is contiguous; then
        record that the two arrays share their memory."""
        new = original(array, key)
        lengths, _ = array._basic_indexing_key_int_to_slice(tuple(i for i in key if i is not None))
        if not array._basic_indexing_slice_is_contiguous(lengths, array.shape):
            return new
        first, _ = array._basic_indexing_contiguous_flat_begin_end(lengths, array.shape)
        return self._note_view(array, new, first, lambda a: original(a, key))

    def _note_view(self, array, new, first, take, operator=True):
        """Record that in eager mode `new` is a view of `array`, and return `new`.

        first: index in `array` of the first element of `new`; take: the function that makes `new`
        from `array`
        """
        array = self._stand_in_of(array)
        self._refuse_stale([array])
        if operator and self._is_paused():
            self._block([new])
        elif id(array) in self._gradientless:
            self._gradientless.add(id(new))
        group = self._sharing.setdefault(id(array), [(array, 0, array.size)])
        start, = [at for member, at, _ in group if member is array]
        group.append((new, start + first, new.size))
        self._sharing[id(new)] = group
        self._views[id(new)] = array, take if mxnet.util.is_np_shape() else _without_np_shape(take)
        return new

    def _find_views(self, arrays):
        """Find which output arrays share memory in eager mode, with one another or with an array
        from outside, and store them in `views`. If several overlap and are views of an array that
        is no output, append that array to `arrays`.

        arrays: the arrays of the result and those that are written into Python's state
        """
        outside = {id(stand_in): self._source(array) for array, stand_in in self._inside.values()}
        outside.update((id(a), Source('input', i)) for i, a in enumerate(self._given.values()))
        places = {id(a): i for i, a in reversed([*enumerate(arrays)])}
        # others: id of an array that is no output -> (the array, index ranges of its views)
        found, others = [], {}
        for i, array in enumerate(arrays):
            of, steps = array, []
            while id(of) in self._views and (of is array or id(of) not in places):
                of, take = self._views[id(of)]
                steps.insert(0, take)
            if steps:
                found.append((i, of, steps))
                if id(of) not in places and id(of) not in outside:
                    ranges = [range(at, at + size) for member, at, size in self._sharing[id(of)]
                              if member is array]
                    others.setdefault(id(of), (of, []))[1].extend(ranges)
        for of, ranges in others.values():
            ranges.sort(key=lambda r: r.start)
            if any(a.stop > b.start for a, b in zip(ranges, ranges[1:])):
                places[id(of)] = len(arrays)
                arrays.append(of)
                self.hidden += 1
        age = {key: at for at, key in enumerate(self._views)}
        for i, of, steps in sorted(found, key=lambda each: age[id(arrays[each[0]])]):
            # sorted by age, so that an array's base comes before its views
            source = places.get(id(of), outside.get(id(of)))
            if source is not None:
                self.views.append((i, source, steps))

    def _mark_stale(self, array, places):
        """After a write into `array`, record which other arrays eager mode would have changed, too.

        places: function that returns the indices of the elements that are written; None: all
        """
        group = self._sharing.get(id(array), ())
        for member, first, size in group:
            if member is array:
                written = first + (numpy.arange(size) if places is None else places())
        for other, first, size in group:
            if other is not array and ((written >= first) & (written < first + size)).any():
                self._stale.add(id(other))
                if any(other is stand_in for _, stand_in in self._inside.values()):
                    raise self._error('writes into an array that shares the memory of one from '
                                      'outside', 'Write into that one, or into a copy. ')

    def _refuse_stale(self, arrays):
        """Raise TraceError if one of these arrays would have been changed by a write in eager mode:
        in the trace it still has its old values."""
        if self._stale and not self._stale.isdisjoint(map(id, arrays)):
            raise self._error(
                'uses an array that shares memory (Y[i], Y.detach()) with one that was '
                'written into since, as in eager mode both change',
                'Take a copy, Y.detach().copy(), or take it after the write. ')

    def _invoke(self, original, handle, inputs, keys, values, out, *kinds):
        """Replace the function through which MXNet calls every operator in eager mode."""
        self._signals.check()
        self._refuse_stale(inputs)
        op, traced = c_api.op_name(handle), any(map(self._traced, inputs))
        attrs = dict(zip(keys, map(str, values)))
        draws = tape.draws(op, attrs)
        if self._mode != self._training and (draws == tape.TRAINING or op in _MODAL):
            raise self._error(f'calls {op} in another mode than that of the call')
        if self._training and (draws or op == 'BatchNorm'):
            self._values_are_exact = False
        if draws == tape.ALWAYS:
            self._values_are_exact = False
            draw = self._shuffle if op == '_shuffle' else self._draw
            results = draw(op, attrs, inputs, kinds[0])
            if self._is_paused():       # drawn from parameters, they would have a gradient
                self._block(results)
            if out is None:
                return results if len(results) > 1 or kinds[1] else results[0]
            if [(out.shape, out.dtype)] != [(r.shape, r.dtype) for r in results]:
                raise self._error('draws into an array of another shape or dtype',
                                  'Give size and dtype instead of out. ' + EAGER)
            self._functionalize_write(out, lambda: results[0], True)
            return out
        # An operator that draws is not on the tape if all of its inputs are constants, and its
        # result would be a constant, too. So its inputs are put on the tape, and each call draws
        if draws and not traced:
            inputs = [self._on_tape(array) for array in inputs]
        if traced and _DYNAMIC.search(op):
            raise self._error('makes an array whose shape depends on values',
                              'np.where, or a mask, keeps the shape. ' + EAGER)
        if traced and op in _REPLACED and out is None:
            return _REPLACED[op](inputs)
        if traced and op == '_npi_concatenate' and out is None:
            filled, axis = [a for a in inputs if a.size or self._traced(a)], attrs.get('axis', '0')
            if len(filled) < len(inputs):
                return np.concatenate(filled, axis=None if axis == 'None' else int(axis))
        run = functools.partial(original, handle, inputs, keys, values)

        def compute():
            new = np.empty(out.shape, dtype=out.dtype, ctx=out.ctx)
            return run(new if kinds[0] else new.as_nd_ndarray(), *kinds)
        has_none = traced and self._has_no_gradient(op, attrs, inputs)
        result = out
        if out is None or not self._functionalize_write(out, compute, traced):
            result = run(out, *kinds)
        if traced and out is None and self._filled:
            result = [_constant(r) for r in result] if isinstance(result, list) \
                else _constant(result)
        results = result if isinstance(result, list) else [result]
        name, _ = tape.entry(results[0])
        self.stops.update([name] * (op == 'BlockGrad'))
        if op == '_copyto' and traced:
            self.dtypes[name] = numpy.dtype(result.dtype).name
            if inputs[0].ctx != result.ctx:
                raise self._error(f'moves an array from {inputs[0].ctx} to {result.ctx}, and one '
                                  'graph runs on one device')
        if draws and name:
            self.random.append(c_api.graph_of(results[0]))
        if traced and op != 'BlockGrad' and (has_none or self._is_paused()):
            if has_none and len(results) > 1:
                raise self._error(f'calls {op}, of which MXNet has no gradient')
            self._block(results)
        return result

    def _has_no_gradient(self, op, attrs, inputs):
        """Return whether an operator has no gradient. Raise TraceError if the call that is traced
        may need one: eager mode raises an error only in the backward pass."""
        if tape.is_differentiable(op, len(inputs), attrs):
            return False
        if self._apart:
            raise self._error(f'calls {op}, of which MXNet has no gradient: no file holds it',
                              'Export what comes before and after it. ')
        if self._records and not all(
                id(a) in self._detached for a in map(self._stand_in_of, inputs) if self._traced(a)):
            raise self._error(f'calls {op}, of which MXNet has no gradient, while autograd records',
                              'Detach its arguments, X.detach(). ' + EAGER)
        self.blocked = True
        return True

    def _block(self, arrays):
        """Let no gradient through these arrays: they were made while autograd was paused, or by an
        operator that has none, which a graph holds in no other way."""
        for array in arrays:
            new = mxnet.nd.BlockGrad(c_api.alias(array, NDArray))
            self.stops.discard(tape.entry(new)[0])
            array.handle, new.handle = new.handle, array.handle
            self._gradientless.add(id(array))

    def _is_paused(self):
        """Return whether the function has paused autograd, which records the call."""
        return self._recording and not self._records

    def _draw(self, op, attrs, inputs, is_np_op):
        """Return stand-ins for the results of an operator that draws random numbers. The operator
        does not run, so that a trace takes no number from the generator. `passes.draw_in_graph`
        puts it in place of the stand-ins."""
        names = [f'x{i}' for i in range(len(inputs))]
        symbol = c_api.applied(op, 'draw', [*map(c_api.variable, names)], attrs)
        _, shapes, _ = symbol.infer_shape_partial(**{n: a.shape for n, a in zip(names, inputs)})
        _, dtypes, _ = symbol.infer_type_partial(**{n: a.dtype for n, a in zip(names, inputs)})
        if None in [*shapes, *dtypes] or any(-1 in shape for shape in shapes):
            raise self._error(f'draws by {op} without a shape', 'Say shape=Y.shape. ' + EAGER)
        kind, _, number = attrs.get('ctx', 'cpu').partition('(')
        ctx = inputs[0].ctx if inputs else Context(kind, int(number.rstrip(')') or 0))
        if ctx != self.ctx:
            raise self._error(f'draws on {ctx}, and one graph runs on one device, here {self.ctx}',
                              'Say ctx=X.ctx. ' + EAGER)
        graphs, results = [c_api.graph_of(self._on_tape(array)) for array in inputs], []
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes)):
            # values that are valid as indices, as probabilities, and in a matrix to be inverted
            values = (numpy.arange(1, math.prod(shape) + 1) * 0.6180339887 % 1).astype(dtype)
            variable = tape.mark(np.array(values.reshape(shape), dtype=dtype, ctx=ctx))
            result = mxnet.nd.BlockGrad(c_api.alias(variable, NDArray))
            self.stops.discard(tape.entry(result)[0])
            results.append(c_api.alias(result) if is_np_op else result)
            first, name = [tape.entry(r)[0] for r in (results[0], result)]
            self.draws[name] = first, i, op, attrs, graphs
        self.random.append(c_api.graph_of(results[0]))
        return results

    def _shuffle(self, op, attrs, inputs, is_np_op):
        """Shuffle the indices of an array's rows with `_shuffle`, and take the rows in this order.
        `_shuffle` itself has no gradient. It makes the same random moves for the indices as for the
        rows."""
        array, = inputs
        # The moves of `_shuffle` depend on the size of the elements, so the indices are as large
        wide = numpy.dtype(array.dtype).itemsize == 8
        order = np.arange(len(array), dtype='int64' if wide else 'int32', ctx=array.ctx)
        order, = self._draw(op, attrs, [order.reshape(-1, *[1] * (array.ndim - 1))], True)
        result = np.take(array.as_np_ndarray(), order.detach().reshape(-1), axis=0)
        return [result if is_np_op else result.as_nd_ndarray()]

    def _on_tape(self, array):
        """Return an array if it is on the tape, else a copy of it that is."""
        if tape.entry(array)[0]:
            return array
        array = array.copy()            # a write may change the array itself later
        return self._stand_in(array, Source('const', array=array))

    def _functionalize_write(self, array, compute, traced, places=None):
        """Replace a write into `array` by a new array, if the graph depends on it.

        `compute` returns the new array, whose handle is then exchanged with that of `array`. Return
        True; or None if no graph depends on the write, so that the caller can just write.

        places: see `_mark_stale`
        """
        if id(array) in self._given or (
                id(array) not in self._made and self._source(array).kind == 'param'):
            raise self._error('writes into an array that it did not make',
                              'A graph changes none of its inputs: make a new array, X = X + 1. ')
        if id(array) in self._parts:  # allowed only if it is written back, as `Y[i] += 1` does
            self._error('writes into a part of an array, under another name', 'Write it with an '
                        'index: Y[i, j] = v, not row = Y[i]; row[j] = v. ' + EAGER, of=id(array))
        if self._is_paused() and not self._may_change_in_pause(array):
            raise self._error('writes into an array that has a gradient while autograd is paused',
                              'Write into a copy, Y.copy(). ')
        if traced or tape.entry(array)[0]:
            if id(array) in self._detached:
                raise self._error(
                    'writes into a detached array, whose memory is that of another one, '
                    'which gradients are computed with', 'Write into a copy, '
                    'Y.detach().copy(). ')
            self._refuse_stale([array])
            new = compute()
            if id(array) not in self._made and not self.write:
                frame = users_line()
                self.write = frame.f_code, frame.f_lineno
            array.handle, new.handle = new.handle, array.handle
            if self._is_paused():
                self._gradientless.add(id(array))
            else:
                self._gradientless.discard(id(array))
            if id(array) not in self._parts:
                self._mark_stale(self._stand_in_of(array), places)
            return True

    def _may_change_in_pause(self, array):
        """Return whether an array has no gradient: a write while autograd is paused would leave
        that as it was before."""
        if id(array) in self._made:
            return id(array) in self._gradientless or not self._traced(array)
        self._made[id(array)] = array           # `handle` then returns the array's own handle
        try:
            return not tape.recorded(array)
        finally:
            del self._made[id(array)]

    def _set_item(self, original, array, key, value):
        """Replace `array[key] = value`, as MXNet's operator for it has no gradient, by a new array
        that takes each element from the array or from the value."""
        def chosen():
            keys = tuple(k.asnumpy().astype(bool if k.dtype == bool else int)
                         if isinstance(k, NDArray) else k
                         for k in (key if isinstance(key, tuple) else (key,)))
            return keys, numpy.arange(array.size).reshape(array.shape)[keys]

        def compute():
            (keys, old), index = chosen(), numpy.arange(array.size).reshape(array.shape)
            index[keys] = array.size + numpy.arange(old.size).reshape(old.shape)
            with mxnet.util.np_shape(), mxnet.util.np_array():
                new = value.as_np_ndarray().astype(array.dtype) if isinstance(
                    value, NDArray) else np.array(value, dtype=array.dtype, ctx=array.ctx)
                both = [array.as_np_ndarray().reshape(-1),
                        np.broadcast_to(new, old.shape).reshape(-1)]
                found = np.take(np.concatenate(both), np.array(
                    index, dtype='int32', ctx=array.ctx))
            return found if isinstance(array, np.ndarray) else found.as_nd_ndarray()
        self._errors.pop(id(value), None)
        if not self._functionalize_write(
                array, compute, isinstance(value, NDArray) and self._traced(value),
                lambda: chosen()[1].ravel()):
            original(array, key, value)

    # ---- questions for values

    def _ask(self, how):
        def hook(original, array, *args):
            if not self._traced(array):
                return original(array, *args)
            array = self._stand_in_of(array)
            self._refuse_stale([array])
            discrete = how not in ('item', 'asscalar') or numpy.dtype(array.dtype).kind in 'biu'
            if array.size != 1 or not discrete:     # MXNet raises, or `_as_numpy` does
                return original(array, *args)
            frame = users_line()
            return self._answer(Question(how, (frame.f_code, frame.f_lineno)), array)
        return hook

    def _answer(self, question, array):
        """End the current piece with this question about `array`, and return the answer (see
        Program). Raises Asked if it is not known in a trace, but only in a call."""
        if self.stopped:
            raise Asked
        if len(self.pieces) == MAX_QUESTIONS:
            raise TooManyQuestions(
                f'a call asks for more than {MAX_QUESTIONS} values{question.place}')
        left = [a for a in self._alive() if a is not array]
        self.pieces.append(Piece(self, [array, *left], question))
        self.random, self.draws = [], {}
        if len(self.answers) < len(self.pieces):
            source = self._sources.get(tape.entry(array)[0])
            if not (self._values_are_exact or source and source.kind in OUTSIDE):
                self.stopped = True
                self._errors = {of: e for of, e in self._errors.items() if of is None}
                raise Asked
            self.answers.append(question.answer(array))
        for each in array, *left:       # each array is a variable from now on
            if not tape.entry(each)[1]:
                new = tape.mark(tape.detach(each))
                self._sources[tape.entry(new)[0]] = Source('cut', self.crossed)
                each.handle, new.handle = new.handle, each.handle
            self.crossed += 1
        return self.answers[len(self.pieces) - 1]

    def _alive(self):
        """Return the arrays that operators have made and the function may still use: those to which
        something other than this trace refers."""
        made = [*self._left, *itertools.islice(self._made.values(), self._looked, None)]
        self._left = self._looked = None
        notes = {0: object()}
        known, = [sys.getrefcount(value) for value in [*notes.values()]]
        self._left = [a for a in made if sys.getrefcount(a) > known]
        self._looked = len(self._made)
        return [a for a in self._left if self._traced(a) and not tape.entry(a)[1]]

    def _as_numpy(self, original, array):
        if self._traced(array):
            raise self._error('asks for the value of an array that depends on inputs or Parameters',
                              'In a graph Python knows shapes, not values, but for bool() and '
                              'int() of one element, of mx.nd .astype("int32").asscalar(): no '
                              'float(), print() or asnumpy(). ' + EAGER)
        return original(array)

    def _format(self, original, array, how):
        if self._traced(array):
            self._as_numpy(original, array)
        return original(array, how)

    def _start_thread(self, original, thread):
        frame = sys._getframe(2)
        while not is_users(frame) and frame.f_back:
            if frame.f_globals.get('__name__') == 'd2l.vision':     # it traces in another thread
                return original(thread)
            frame = frame.f_back
        raise self._error('starts a thread, whose operators no trace sees')

    @staticmethod
    def _copied(array, memo=None):
        """Return what copy.copy and copy.deepcopy make of an array: one that has no gradient."""
        return array.detach().copy()

    # ---- the mode of autograd

    def _is_training(self, original, answer):
        self.mode, answer._obj.value = self._training, self._mode
        return 0

    def _set_training(self, original, new, before):
        self._note_mode()
        self.mode, before._obj.value, self._mode = self._training, self._mode, bool(new.value)
        return 0

    def _is_recording(self, original, answer):
        self.blocked, answer._obj.value = True, self._records
        return 0

    def _set_recording(self, original, new, before):
        """Replace autograd.pause: the trace goes on recording, and `_block` stops gradients."""
        if new.value and not self._recording:
            raise self._error('starts to record')
        self._note_mode()
        self.blocked, before._obj.value, self._records = True, self._records, bool(new.value)
        return 0

    def _note_mode(self):
        frame = users_line()
        self._changed_mode = frame.f_code, frame.f_lineno

    def _forbid(self, what):
        def hook(original, *args, **kwargs):
            raise self._error(what)
        return hook

    def _patch(self, owner, name, hook):
        """Replace `name` in `owner` by a function that calls hook(original, ...) in this thread,
        until the end of the run."""
        original, thread, own = getattr(owner, name), threading.get_ident(), name in vars(owner)

        def patched(*args, **kwargs):
            if threading.get_ident() != thread:
                return original(*args, **kwargs)
            return hook(original, *args, **kwargs)
        self._patched |= {(id(owner), name), (id(getattr(owner, '__dict__', None)), name)}
        setattr(owner, name, patched)
        self._undo.append(lambda: setattr(owner, name, original) if own else delattr(owner, name))

    def _patch_handles(self):
        """Make each use of an array from outside a use of its stand-in. All of MXNet's functions
        read the array's `handle`, so that property is replaced."""
        raw, thread = vars(NDArrayBase)['handle'], threading.get_ident()
        made, free = self._made, NDArrayBase.__del__

        def get(array):
            if id(array) not in made and threading.get_ident() == thread:
                array = self._stand_in_of(array)
            return raw.__get__(array)

        def set(array, handle):
            if id(array) not in made and threading.get_ident() == thread:
                if id(array) in self._inside:
                    array = self._inside[id(array)][1]
                else:
                    made[id(array)] = array         # a new array that is being unpickled
            raw.__set__(array, handle)
        NDArrayBase.__del__ = lambda array: c_api.free(raw.__get__(array))
        self._undo.append(lambda: setattr(NDArrayBase, '__del__', free))
        NDArrayBase.handle = property(get, set)
        self._undo.append(lambda: setattr(NDArrayBase, 'handle', raw))

    def _patch_all(self):
        self._patch_handles()
        for owner, name, hook in (
                (NDArrayBase, '__init__', self._make_array), (NDArray, 'asnumpy', self._as_numpy),
                *((owner, how, self._ask(how)) for owner in (NDArray, np.ndarray)
                  for how in _QUESTIONS if how in vars(owner)),
                (np.ndarray, '__format__', self._format),
                *((owner, 'detach', self._detach) for owner in (NDArray, np.ndarray)),
                (NDArray, '_at', self._at), (NDArray, '_slice', self._slice),
                (NDArray, 'reshape', self._view), (NDArray, 'as_np_ndarray', self._alias),
                (np.ndarray, 'as_nd_ndarray', self._alias),
                (NDArray, '_get_nd_basic_indexing', self._basic),
                (np.ndarray, '_get_np_basic_indexing', self._basic),
                (np.ndarray, '__getitem__', self._get_item),
                *((owner, '__setitem__', self._set_item) for owner in (NDArray, np.ndarray)),
                (Parameter, '_check_and_get', self._check_and_get),
                (register, '_imperative_invoke', self._invoke),
                (gluon.Block, '__getattribute__', self._get_attribute),
                (gluon.Block, '__setattr__', self._set_attribute),
                (c_api.LIBRARY, 'MXAutogradIsTraining', self._is_training),
                (c_api.LIBRARY, 'MXAutogradSetIsTraining', self._set_training),
                (c_api.LIBRARY, 'MXAutogradIsRecording', self._is_recording),
                (c_api.LIBRARY, 'MXAutogradSetIsRecording', self._set_recording),
                *((c_api.LIBRARY, name, self._forbid(what))
                  for name, what in _FORBIDDEN.items())):
            self._patch(owner, name, hook)
        for how in '__copy__', '__deepcopy__':      # NDArray has none, and is pickled
            setattr(NDArray, how, self._copied)
            self._undo.append(functools.partial(delattr, NDArray, how))
        self._patch(threading.Thread, 'start', self._start_thread)
        repeats = self._forbid(
            'draws from the generator of Python or NumPy, and a graph would repeat '
            "one number for ever; MXNet's np.random draws at each call")
        for module, generator in ((random, random._inst),
                                  (numpy.random, numpy.random.mtrand._rand)):
            for name in [n for n, f in vars(module).items()
                         if getattr(f, '__self__', None) is generator]:
                self._patch(module, name, repeats)
