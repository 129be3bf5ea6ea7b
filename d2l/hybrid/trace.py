"""The trace: run a `forward` once as it is written, and take its graph off the tape.

During a trace the arrays among the arguments are stand-ins, marked aliases of the arrays, and so is
each array from outside, a Parameter's or an attribute's, from the moment at which its handle is
asked for. What `forward` reads of Python's state is noted (reads.py, guards.py), what it changes of
it is undone and told (`writes`, `fills`). So nothing of the user's changes: a failed trace leaves
no mark. What a graph cannot hold raises TraceError.
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
from mxnet._ctypes.symbol import _symbol_creator
from mxnet.base import _LIB, check_call
from mxnet.context import Context
from mxnet.gluon.parameter import DeferredInitializationError, Parameter
from mxnet.ndarray import NDArray, register
from mxnet.ndarray._internal import NDArrayBase

from . import tape
from .guards import MISSING, Slot, namespace
from .reads import BEFORE, Reads, forget, is_users, line_of
from .tree import (
    _GENERATORS, BY, IS, NODE, STATIC, CannotHold, Is, Tree, builder, is_module, pairs, set_state,
    is_immutable)
from .tree import state as state_of

LOCK = threading.RLock()  # one trace at a time, because it patches MXNet
EAGER = 'With fallback=True such a net runs eagerly.'
_FORBIDDEN = {  # function of MXNet's library -> what a forward that calls it does
    'MXAutogradSetIsRecording': 'starts or stops recording (autograd.pause), which freezes values',
    'MXAutogradSetIsTraining': 'changes between training and predict mode',
    'MXAutogradIsRecording': 'asks whether autograd records',
    'MXAutogradMarkVariables': 'attaches a gradient',
    'MXAutogradBackwardEx': 'computes gradients',
    'MXNDArrayGetGrad': 'reads a gradient',
    'MXNDArrayLoad': 'loads arrays from a file', 'MXNDArraySave': 'saves arrays',
    'MXNDArrayToDLPack': 'hands the memory of an array to others',
    'MXRandomSeed': 'seeds the generator of random numbers',
    'MXRandomSeedContext': 'seeds the generator of random numbers',
    'MXInvokeCachedOpEx': 'runs a graph that was compiled or loaded before'}
# operators whose result has as many elements as the values of their inputs say
_DYNAMIC = re.compile('_boolean_mask$|nonzero$|_unique$|_npi_delete$|_npi_bincount$')
# operators whose shapes MXNet cannot infer in a graph -> the same by others
_REPLACED = {
    '_npi_hstack': lambda arrays: np.concatenate(
        [a if a.ndim else a.reshape(1) for a in arrays], axis=int(arrays[0].ndim > 1)),
    '_npi_dstack': lambda arrays: np.concatenate([a if a.ndim > 2 else a.reshape(
        *[1] * (2 - a.ndim), *a.shape, 1) for a in arrays], axis=2)}
_REGISTERS = '_children', '_reg_params', '_forward_hooks', '_forward_pre_hooks'
_FLAGS = [Tree().flatten(value) for value in (True, False, None)]
# what a result may hold besides what was there before
_NAMED = type, types.ModuleType, types.BuiltinFunctionType, enum.Enum
_QUESTIONS = {'__bool__': bool, '__int__': int, 'item': lambda value: value}
MAX_QUESTIONS = 100         # of one call: each begins a graph
_asnumpy = NDArray.asnumpy
_tracing_thread = None


class TraceError(RuntimeError):
    """A `forward` that no graph can hold: what it does, where (`filename`, `lineno`), and a
    cure."""


class Raised(Exception):
    """The function raised an exception of its own, the cause of this one."""


class TooManyQuestions(Exception):
    """It asks for more values than graphs are made for: the text of a warning."""


class Asked(BaseException):
    """It asks for a value that only a call can tell, so the trace ends."""


class Question:
    """What a `forward` asks an array of one element for.

    how: the name of the method of the array; line: (code, number) of the user's code that asks
    """

    def __init__(self, how, line):
        self.how, self.line = how, line

    def answer(self, array):
        """What it is answered: bool, int, or an element of an array of these."""
        return _QUESTIONS[self.how](_asnumpy(array).item())

    @property
    def place(self):
        """Its line, as messages show it."""
        return place_of(self.line)[-1]

    def error(self, what, cure):
        """A TraceError at its line."""
        return error_at(self.line, what, cure)


class Piece:
    """What a run computed from its start, or from a question, up to the next one or to its end.

    outputs: symbols of the arrays of the result, or an array itself that is not on the tape, or the
    source of one that was written into; or, of those that the next piece may need, the first being
    what `question` is about; random, draws: as in Trace. The others are what was read of Python's
    state up to there
    """

    def __init__(self, trace, arrays, question=None):
        symbols = [None if isinstance(a, tuple) else tape.symbol(a) for a in arrays]
        self.outputs = [a if symbol is None else symbol for a, symbol in zip(arrays, symbols)]
        self.question = question
        self.random, self.draws, self.mode = trace.random, trace.draws, trace.mode
        self.first = trace.crossed      # number of the first array that may cross the next question
        self.slots, self.contents, self.sizes = [*trace.slots], [*trace.contents], [*trace.sizes]
        self.types, self.kept, self.used = [*trace.types], [*trace.kept], dict(trace.used)


class Deferred(Exception):
    """An eager call has to come first: a Parameter has no shape yet, say."""


def place_of(line):
    """(file, number, how a message shows it) of a line: (code, its number or a name it loads)."""
    code, number = line
    if isinstance(number, str):
        number = line_of(code, number)
    file = code.co_filename
    return file, number, (f'\n  File "{file}", line {number}, in {code.co_name}\n'
                          f'    {linecache.getline(file, number).strip()}')


def error_at(line, what, cure):
    """A TraceError at a line."""
    file, number, place = place_of(line)
    error = TraceError(f'forward {what}{place}\n{cure}')
    error.filename, error.lineno = file, number
    return error


def users_line():
    """The frame of the user's code that is running: outside of MXNet, NumPy, and what traces."""
    first = frame = sys._getframe(1)
    while frame and not is_users(frame):
        frame = frame.f_back
    return frame or first


def tracing():
    """Whether this thread is inside a trace."""
    return _tracing_thread is not None and _tracing_thread == threading.get_ident()


def _is_dropped(frame):
    """Whether Python may print and drop what is raised in a frame: in a `__del__`, in a generator,
    which may be on its way out, or in the profile hook of one."""
    if frame.f_code.co_flags & inspect.CO_GENERATOR:
        return True
    while frame and frame.f_code.co_name != '__del__' and frame.f_code is not Reads._hook.__code__:
        frame = frame.f_back
    return frame is not None


class Signals:
    """While it is entered, signals that Python handles wait; while `allowed` is, they do not, until
    one raises an exception, but for those that come where Python would drop it: they wait for the
    next `check`. So MXNet is never left half patched, and no Ctrl-C is lost."""

    def __init__(self):
        self._handlers, self._waiting, self._open = {}, [], False

    def _handle(self, number, frame):
        if not self._open or frame and _is_dropped(frame):
            self._waiting.append(number)
            return
        self._open = False              # and it stays so if the handler raises
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
            except BaseException:       # of a signal that was not yet to wait
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
        """Let the signals that wait be handled, if they may."""
        if self._waiting and self._open and threading.current_thread() is threading.main_thread():
            self._raise()

    def _give_back(self):
        # it raises: last
        for number in sorted(self._handlers, key=lambda n: n == signal.SIGINT):
            signal.signal(number, self._handlers[number])

    def _raise(self):
        waiting, self._waiting = self._waiting, []
        for number in waiting:
            signal.raise_signal(number)


def _is_number(structure):
    """Whether a structure is a number or a text, or a tuple of such."""
    if structure is None or not is_immutable(structure) or structure in _FLAGS:
        return False
    what, *parts = structure
    return what in (STATIC, BY) or what != IS and any(map(_is_number, parts[2:]))


def _constant(array):
    """An array, or, where it has no numbers, another one that depends on nothing: MXNet's graphs
    fail on most of them."""
    if array.size:
        return array
    new = np.empty(array.shape, dtype=array.dtype, ctx=array.ctx)
    return new if isinstance(array, np.ndarray) else new.as_nd_ndarray()


class Compiled(gluon.Block):
    """What `hybridize` and `compile` make; a trace of a larger net goes through it unseen."""


class Graph(gluon.Block):
    """A Block that is a graph already: compiled as it is."""


class Trace:
    """One run of a function, and what it leaves: graphs on the tape, where their inputs come from,
    and what it did to Python's state.

    Where the function asks for a value, a piece ends: its graph gives the array and all that is
    left of the run, which is the input of the next one. If the run computes what a call does, it
    goes on with its own value; if not (it draws nothing), it ends there, and has no result.

    root: whose run it is, a CompiledBlock; tree, structure: its arguments, taken apart
    training: what `autograd.is_training()` is to answer; ctx: where the graph is to run
    answers: to its first questions
    """

    def __init__(self, root, tree, structure, training, ctx, answers=()):
        self.name = root._name_of_net()
        self.leaves, self.ctx, self._training, self._apart = tree.arrays, ctx, training, tree.apart
        self._filled = all(array.size for array in self.leaves)     # else results may be empty, too
        self.mode = None            # the mode, if Python asked for it
        self.slots = []             # those that were read, in order
        self.contents = []          # (dict, slots of all that is in it)
        self.sizes = []             # (dict, how many keys it had), that of a class included
        self.types = []             # (Block, its class)
        self.kept = []              # lists of a Parameter's arrays
        self.writes, self.fills = [], []    # (Slot, structure), (number of a node, structure)
        self.overwritten = []       # numbers of arrays of the state that were written into
        self.write = None           # the first line that wrote into an array of the state
        self.random = []            # graphs of the results of operators that draw, as they came
        # node of the tape that stands for a result of an operator that draws -> (the node of its
        # first result, number of the result, operator, attributes, graphs of its inputs)
        self.draws, self.spare = {}, None
        self.stops = set()          # names of nodes of BlockGrad that are no `detach`
        self.dtypes = {}            # name of a `_copyto` node -> dtype of its result
        self.used = {}              # number of an array of the state -> its kind
        self.pieces, self.answers = [], [*answers]
        self.stopped = False        # at a question
        self.crossed = 0            # arrays that the pieces leave for those after them
        self._left, self._looked = [], 0    # those, at the last question; how many were made then
        self._values_are_exact = True           # the arrays hold what they would in a call
        self._sources = {}          # name of a variable -> what it stands for
        self._inside = {}           # id of an array from outside -> (it, stand-in)
        self._made = {}             # id -> array, for each array made in the run
        self._parts = set()         # ids of those that may share the memory of others
        # id -> [(array, its first place in it, its size)], those in one memory in eager mode
        self._sharing = {}
        self._views = {}            # id -> (array of which it is a view, function that takes it)
        # (number of an output, number of another or a source, functions that take it from that)
        self.views = []
        self.hidden = 0             # outputs at the end that are there for others' memory alone
        self._detached = set()      # ids of those that are there as constants
        self._stale = set()         # ids of those that eager mode would have changed by now
        self._slots, self._blocks, self._touched = {}, {}, set()
        self._new = {}              # id -> Block that is made in the run
        self._held = {}             # id -> what a dict held before the run
        self._spaces = []           # (namespace of a module that is a value, what it held)
        self._tree, self._arrays, self._parameters = Tree(keep=True), {}, {}
        self._errors, self._undo, self._patched = {}, [], set()
        # whether the run added results to the cache of a function of functools.lru_cache
        self._cache_grew = False
        self._reads = Reads(self._slot, self._error, self._tree.stateful,
                            self._guard_cached_results)
        self._arguments = Tree(keep=True)       # the function's own, with stand-ins for arrays
        stand_ins = iter([self._stand_in(a, 'input', i) for i, a in enumerate(self.leaves)])
        self._given = {}                        # id -> stand-in of an argument
        try:
            build = builder(stand_ins)
            args, kwargs = build(structure)
            kwargs = dict(kwargs)
        except TypeError as error:
            raise self._error(f'has an argument that no graph can take: {error}') from error
        self._given = {id(a): a for a in self._made.values()}
        self._copies = build.made               # of the nodes of the arguments
        self._arguments.flatten((args, tuple(kwargs.items())))
        self._tree.stateful += self._arguments.stateful
        with autograd.record(train_mode=False):  # draws no dropout, updates no statistics
            self._run(root, args, kwargs)
        if not self.stopped:
            self.pieces.append(Piece(self, self.outputs))
        for piece in self.pieces:
            piece.weak = bool(self._tree.weak)
        for piece in self.pieces:   # a class may get a __len__, say: no code names it
            piece.sizes += [(namespace(c), len(vars(c))) for c in self._reads.classes.values()]
        if self._tree.weak:         # nor does a trace hold them
            self._tree = self._arguments = self._copies = self._held = None
        # an input's name, for a graph that needs one
        if any(piece.random for piece in self.pieces):
            spare = np.zeros(1, ctx=ctx)
            self.spare = tape.entry(self._stand_in(spare, 'const', spare))[0]

    def _run(self, root, args, kwargs):
        global _tracing_thread
        collects = gc.isenabled()
        with Signals() as self._signals:
            try:
                gc.disable()            # what it calls back is no part of the run
                self._patch_all()
                _tracing_thread = threading.get_ident()
                for value in self._arguments.met:
                    self._reads.meet(value)
                self._reads_function(vars(root))
                self._reads.start()
                with self._signals.allowed():
                    try:
                        result = root._run_eagerly(*args, **kwargs)
                    except Asked:
                        pass
                    except (TraceError, Deferred, TooManyQuestions):
                        if not self.stopped:
                            raise
                    except Exception as error:
                        if not self.stopped:
                            raise Raised from error
                self._reads.stop()
                for error in self._errors.values():  # even if it was caught
                    raise error
                self._refuse_weak_references(root)
                if not self.stopped:
                    self._conclude(result)
                self._restore()
                # An eager call comes first: the results that it caches are inputs of the next trace
                if self._cache_grew:
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
        """A TraceError at the line of the user's code that is running, or at another."""
        if line is None:
            frame = users_line()
            line = frame.f_code, frame.f_lineno
            if self._reads.stopped:             # where the run ended
                line = self._reads.left or line
        error = error_at(line, what, cure if cure.endswith(EAGER) else cure + EAGER)
        if not self.stopped:
            self._errors[of] = error
        return error

    @property
    def entropy(self):
        """The line that drew entropy from the system, as a generator with a seed does, too."""
        return self._reads.entropy

    @property
    def asks(self):
        """Whether it asks for a value."""
        return self.stopped or len(self.pieces) > 1

    def find(self, names):
        """{name: source} for variables of the tape. A source is ('input', i), ('param', Parameter,
        i), ('state', i), the i-th array that the slots hold, ('const', array) for an array made in
        the run, or ('cut', i), the i-th array that pieces before have made."""
        lost = set(names) - set(self._sources)
        for array in self._made.values() if lost else ():
            if array.handle:
                name, variable = tape.entry(array)
                if variable and name in lost:
                    lost.remove(name)
                    self._sources[name] = 'const', array.as_in_ctx(self.ctx)
        if lost:
            raise self._error('uses a number that was drawn before a value was asked for, of which '
                              'nothing was left then')
        return {name: self._sources[name] for name in names}

    # ---- what it reads of Python's state

    def _slot(self, owner, name, what, read, line=None):
        """Note that the function reads (or only writes) `name` in `owner`; see Slot."""
        slot = self._slots.get((id(owner), name))
        if slot is None:
            if (id(owner), name) in self._patched:
                return None                     # by this trace
            slot = self._slots[id(owner), name] = Slot(owner, name, what, False, line)
            before = self._held.get(id(owner))
            if before is not None and before.get(name, MISSING) is not slot.value:
                slot.value = before.get(name, MISSING)  # the run has written it since
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
            self._arrays[id(array)] = 'state', i
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
        """Guard what a function of functools.lru_cache gave before: that it is there, and what is
        in it. No run puts it back: it is C's."""
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
        """Guard a dict of Blocks, Parameters or hooks that is an attribute, all of it."""
        value = held[name]
        if not any(found is value for found, _ in self.contents):
            self._fixed(held, name, what)
            self.contents.append((value, dict(value)))

    def _fixed(self, held, name, what):
        """Guard by identity what `held[name]` is, whatever it holds."""
        slot = self._slot(held, name, what, False)
        if not slot.read:
            slot.read, slot.structure = True, (IS, Is(slot.value))
            self.slots.append(slot)

    def _get_attribute(self, original, block, name):
        if (id(block), name) not in self._touched and id(block) not in self._new:
            self._touched.add((id(block), name))
            held = object.__getattribute__(block, '__dict__')
            if isinstance(block, Compiled):
                if name == 'forward':
                    self._reads_function(held)
            elif name != '__class__':
                self._touch(block, held, name)
        return False if name == '_active' else original(block, name)     # as if not hybridized

    def _reads_function(self, held):
        """Guard what a Compiled runs."""
        for name in '_net', '_own':
            self._slot(held, name, 'the function', True)
        if isinstance(held['_net'], gluon.Block):
            self.types.append((held['_net'], type(held['_net'])))
            self._reads.look_up_class(type(held['_net']), 'forward')

    def _touch(self, block, held, name):
        if id(block) not in self._blocks:
            if not held:                        # it is made in this run
                self._new[id(block)] = block
                return
            if isinstance(block, (Graph, gluon.SymbolBlock)):
                raise self._error('runs a graph that was compiled or loaded before')
            self._held[id(held)] = before = dict(held)
            self._blocks[id(block)] = block, held, before
            self.types.append((block, type(block)))
            self._reads.meet(type(block))
            self._reads.look_up_class(type(block), '__call__')
        if name == '__dict__':
            self.sizes.append((held, len(held)))
            for each in tuple(held):
                self._touch(block, held, each)
            return
        if name in _REGISTERS and name in held:
            if held[name] and name.endswith('hooks'):
                if all(getattr(hook, '__qualname__', '').startswith('Block.summary.')
                       for hook in held[name].values()):
                    raise Deferred      # it counts Parameters as they are used
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
        """Whether a number or a text, or a tuple of them, becomes another: a state that would make
        a graph for each of its values. True, False and None are too few for that."""
        if value is MISSING or isinstance(value, NDArray) or not _is_number(structure):
            return False
        new = Tree().flatten(value)
        return new != structure and _is_number(new)

    def _check_and_get(self, original, parameter, arrays, ctx):
        """Every read of a Parameter's arrays or gradients passes here."""
        try:
            found = original(parameter, arrays, ctx)
        except DeferredInitializationError:
            raise Deferred from None
        self._parameters[id(parameter)] = parameter
        return found

    # ---- what it changes of it

    def _conclude(self, result):
        """Note what the run returned and what it changed."""
        self.nodes = len(self._tree.nodes)      # that results refer to
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
                # NumPy 2's methods are no functions of C, so the call itself was not seen
                what = 'draws from a generator of Python or NumPy' if isinstance(
                    value, _GENERATORS) else f'takes the next value of a {type(value).__name__}'
                raise self._error(f'{what} that was there before, and a graph would repeat it for '
                                  'ever', BEFORE)
        try:
            self.result = out.flatten(result)
            self.size = len(out.arrays)         # of those in `outputs` that it holds
        except CannotHold as error:
            raise self._error(f'returns {error}, which no graph can make again',
                              'Return arrays, in lists, tuples, dicts or objects. ') from error
        for held, before in self.contents:
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
            source, = self._sources.get(tape.entry(stand_in)[0], ('',))[:1]
            if source in ('', 'cut'):                           # written into
                self.overwritten.append(self._arrays[id(array)][1])
                arrays.append(stand_in)
        written = [] if self._apart else self.overwritten       # of those, the very array is given
        sources = [self._arrays.get(id(a), ('', 0)) for a in arrays]
        arrays = [*map(self._stand_in_of, arrays)]
        self._find_views(arrays)
        self._refuse_stale(arrays)
        self.outputs = [source if source[0] == 'state' and source[1] in written else array
                        for array, source in itertools.zip_longest(arrays, sources,
                                                                   fillvalue=('', 0))]

    def _refuse_weak_references(self, root):
        """Refuse a weak reference to what a guard, which holds it, would keep alive: such a Block,
        but for those of the net. Others a Guard looks at anew."""
        blocks, found = [root._net] if self._tree.weak else [], set()
        while blocks:
            block = blocks.pop()
            if isinstance(block, gluon.Block) and id(block) not in found:
                found |= {id(block), *map(id, block._reg_params.values())}
                blocks += block._children.values()
        for value in self._tree.weak:
            if id(value) not in found and not isinstance(value,
                                                         (type, types.ModuleType)) and is_immutable(
                    Tree().flatten(value)) and value is not None:
                raise self._error(f'reads a weak reference to a {type(value).__name__}, which its '
                                  'graph would keep alive', 'Keep it in an attribute. ')

    def _guard_unchanged_writes(self):
        """What was assigned, perhaps, and is as it was: it may be another at the next call."""
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
        """Note which nodes hold something else than before."""
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
        """The slot that holds a node, itself or in something else."""
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
        """(a namespace, what it held), of each that a run may write by names that it makes up."""
        return [*[(held, before) for _, held, before in self._blocks.values()], *self._spaces]

    def _restore(self):
        """Undo what the run changed."""
        for held, before in self.contents:
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

    def _stand_in(self, array, *source):
        variable = tape.mark(tape.detach(array))
        self._sources[tape.entry(variable)[0]] = source
        self._made[id(variable)] = variable
        return variable

    def _stand_in_of(self, array):
        """The array of the run that an array is, or stands for it."""
        if id(array) in self._made:
            return array
        if id(array) not in self._inside:
            source = self._source(array)
            self._made[id(array)] = array           # its own handle, meanwhile
            try:
                here = tape.detach(array)
                if source[0] == 'state':
                    here, self.used[source[1]] = here.as_in_ctx(self.ctx), tape.kind(array.handle)
                self._inside[id(array)] = array, self._stand_in(here, *source)
            finally:
                del self._made[id(array)]
        return self._inside[id(array)][1]

    def _source(self, array):
        """Where an array from outside is."""
        found = self._arrays.get(id(array))
        if found is None:
            for _, held, _ in self._blocks.values():
                self._parameters.update((id(p), p) for p in held['_reg_params'].values())
            for parameter in tuple(self._parameters.values()):
                data, grad = vars(parameter)['_data'] or (), vars(parameter)['_grad'] or ()
                if any(a is array for a in data):
                    found = 'param', parameter, [a is array for a in data].index(True)
                    self._guard_parameter(parameter)
                elif any(a is array for a in grad):
                    self._slot(vars(parameter), '_grad', f'the gradient of {parameter.name}', True)
                    found = self._arrays.get(id(array))
            if found is None:
                raise self._error('uses an array of which a graph cannot know where it comes from',
                                  'Keep it in an attribute or pass it as an argument. ')
            self._arrays[id(array)] = found
        return found

    def _guard_parameter(self, parameter):
        held = vars(parameter)
        if not any(found is held['_data'] for found in self.kept):
            self.kept.append(held['_data'])
            self._fixed(held, '_data', parameter.name)
            self._slot(held, '_grad_req', f'{parameter.name}.grad_req', True)

    def _traced(self, array):
        """Does it depend on what may differ at the next call?"""
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
            new = mxnet.nd.BlockGrad(tape.alias(array, NDArray))
            if isinstance(array, np.ndarray):
                new = tape.alias(new)
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
        """Another array of all of its memory: in another shape, or for mxnet.nd."""
        new = original(array, *args, **kwargs)
        return new if new is array else self._note_view(
            array, new, 0, lambda a: original(a, *args, **kwargs))

    def _basic(self, original, array, key):
        """A basic index: what lies in one piece of memory is a view."""
        new = original(array, key)
        lengths, _ = array._basic_indexing_key_int_to_slice(tuple(i for i in key if i is not None))
        if not array._basic_indexing_slice_is_contiguous(lengths, array.shape):
            return new
        first, _ = array._basic_indexing_contiguous_flat_begin_end(lengths, array.shape)
        return self._note_view(array, new, first, lambda a: original(a, key))

    def _note_view(self, array, new, first, take):
        """Note that in eager mode `new`, which `take` takes from `array`, has its memory, from its
        first-th value on; return it."""
        array = self._stand_in_of(array)
        self._refuse_stale([array])
        group = self._sharing.setdefault(id(array), [(array, 0, array.size)])
        start, = [at for member, at, _ in group if member is array]
        group.append((new, start + first, new.size))
        self._sharing[id(new)] = group
        self._views[id(new)] = array, take
        return new

    def _find_views(self, arrays):
        """Find which of the arrays that the function leaves share their memory in eager mode, with
        one another or with an array from outside. Of some that do, and are views of an array that
        it does not leave, append that one."""
        outside = {id(stand_in): self._source(array) for array, stand_in in self._inside.values()}
        outside.update((id(a), ('input', i)) for i, a in enumerate(self._given.values()))
        places = {id(a): i for i, a in reversed([*enumerate(arrays)])}
        found, others = [], {}          # others: id of an array that is not left -> its views
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
            source = places.get(id(of), outside.get(id(of)))    # what it is a view of comes before
            if source is not None:
                self.views.append((i, source, steps))

    def _mark_stale(self, array, places):
        """Note which arrays eager mode would have changed, too, as these places in `array` are
        written, a function that gives them; None: all."""
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
        """Refuse to use what eager mode would have changed by now."""
        if self._stale and not self._stale.isdisjoint(map(id, arrays)):
            raise self._error(
                'uses an array that shares memory (Y[i], Y.detach()) with one that was '
                'written into since, as in eager mode both change',
                'Take a copy, Y.detach().copy(), or take it after the write. ')

    def _invoke(self, original, handle, inputs, keys, values, out, *kinds):
        """Every operator passes here."""
        self._signals.check()
        self._refuse_stale(inputs)
        op, traced = tape.op_name(handle), any(map(self._traced, inputs))
        attrs = dict(zip(keys, map(str, values)))
        draws = tape.draws(op, attrs)
        if self._training and (draws or op == 'BatchNorm'):
            self._values_are_exact = False
        if draws == tape.ALWAYS:
            self._values_are_exact = False
            draw = self._shuffle if op == '_shuffle' else self._draw
            results = draw(op, attrs, handle, inputs, kinds[0])
            if out is None:
                return results if len(results) > 1 or kinds[1] else results[0]
            if [(out.shape, out.dtype)] != [(r.shape, r.dtype) for r in results]:
                raise self._error('draws into an array of another shape or dtype',
                                  'Give size and dtype instead of out. ' + EAGER)
            self._functionalize_write(out, lambda: results[0], True)
            return out
        if draws and not traced:        # of constants: not drawn here, but it is in a call
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
            self.random.append(tape.symbol(results[0]))
        return result

    def _draw(self, op, attrs, handle, inputs, is_np_op):
        """What stands for the results of an operator that draws. It does not run, so a trace takes
        no number from the generator; `passes.draw_in_graph` puts it where the stand-ins are."""
        names = [f'x{i}' for i in range(len(inputs))]
        symbol = _symbol_creator(handle, [*map(mxnet.sym.var, names)], None, [*attrs],
                                 [*attrs.values()], 'draw', False)
        _, shapes, _ = symbol.infer_shape_partial(**{n: a.shape for n, a in zip(names, inputs)})
        _, dtypes, _ = symbol.infer_type_partial(**{n: a.dtype for n, a in zip(names, inputs)})
        if None in [*shapes, *dtypes] or any(-1 in shape for shape in shapes):
            raise self._error(f'draws by {op} without a shape', 'Say shape=Y.shape. ' + EAGER)
        kind, _, number = attrs.get('ctx', 'cpu').partition('(')
        ctx = inputs[0].ctx if inputs else Context(kind, int(number.rstrip(')') or 0))
        if ctx != self.ctx:
            raise self._error(f'draws on {ctx}, and one graph runs on one device, here {self.ctx}',
                              'Say ctx=X.ctx. ' + EAGER)
        graphs, results = [tape.symbol(self._on_tape(array)) for array in inputs], []
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes)):
            # values that no operator minds: as an index, a probability, a matrix to be inverted
            values = (numpy.arange(1, math.prod(shape) + 1) * 0.6180339887 % 1).astype(dtype)
            variable = tape.mark(np.array(values.reshape(shape), dtype=dtype, ctx=ctx))
            result = mxnet.nd.BlockGrad(variable.as_nd_ndarray())
            self.stops.discard(tape.entry(result)[0])
            results.append(result.as_np_ndarray() if is_np_op else result)
            first, name = [tape.entry(r)[0] for r in (results[0], result)]
            self.draws[name] = first, i, op, attrs, graphs
        self.random.append(tape.symbol(results[0]))
        return results

    def _shuffle(self, op, attrs, handle, inputs, is_np_op):
        """The rows of an array in the order in which `_shuffle`, which has no gradient, puts their
        numbers: it takes the same steps for these."""
        array, = inputs
        wide = numpy.dtype(array.dtype).itemsize == 8       # it goes by the size of what it moves
        order = np.arange(len(array), dtype='int64' if wide else 'int32', ctx=array.ctx)
        order, = self._draw(op, attrs, handle, [order.reshape(-1, *[1] * (array.ndim - 1))], True)
        result = np.take(array.as_np_ndarray(), order.detach().reshape(-1), axis=0)
        return [result if is_np_op else result.as_nd_ndarray()]

    def _on_tape(self, array):
        """An array, or, where the tape does not know it, an alias that it knows."""
        if tape.entry(array)[0]:
            return array
        array = array.copy()            # as it is now
        return self._stand_in(array, 'const', array)

    def _functionalize_write(self, array, compute, traced, places=None):
        """Before a write into `array`: where that has to do with the graph, let `compute` make a
        new array instead, exchange the two, and return True. places: see `_written`"""
        if id(array) in self._given or id(array) not in self._made and self._source(
                array)[0] == 'param':
            raise self._error('writes into an array that it did not make',
                              'A graph changes none of its inputs: make a new array, X = X + 1. ')
        if id(array) in self._parts:  # right only if it is written back, as in `Y[i] += 1`
            self._error('writes into a part of an array, under another name', 'Write it with an '
                        'index: Y[i, j] = v, not row = Y[i]; row[j] = v. ' + EAGER, of=id(array))
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
            if id(array) not in self._parts:
                self._mark_stale(self._stand_in_of(array), places)
            return True

    def _set_item(self, original, array, key, value):
        """`array[key] = value`. MXNet's operator for it has no gradient: take each element from the
        array or from the value."""
        def chosen():
            keys = tuple(k.asnumpy().astype(bool if k.dtype == bool else int)
                         if isinstance(k, NDArray) else k
                         for k in (key if isinstance(key, tuple) else (key,)))
            return keys, numpy.arange(array.size).reshape(array.shape)[keys]

        def compute():
            (keys, old), index = chosen(), numpy.arange(array.size).reshape(array.shape)
            index[keys] = array.size + numpy.arange(old.size).reshape(old.shape)
            new = value.astype(array.dtype) if isinstance(value, NDArray) else np.array(
                value, dtype=array.dtype, ctx=array.ctx)
            both = [array.reshape(-1), np.broadcast_to(new, old.shape).reshape(-1)]
            return np.take(np.concatenate(both), np.array(index, dtype='int32', ctx=array.ctx))
        self._errors.pop(id(value), None)
        if not self._functionalize_write(
                array, compute, isinstance(value, NDArray) and self._traced(value),
                lambda: chosen()[1].ravel()):
            original(array, key, value)

    # ---- what Python may ask

    def _ask(self, how):
        def hook(original, array, *args):
            if not self._traced(array):
                return original(array, *args)
            array = self._stand_in_of(array)
            self._refuse_stale([array])
            discrete = how != 'item' or numpy.dtype(array.dtype).kind in 'biu'
            if array.size != 1 or not discrete:     # MXNet's own error, or refused below
                return original(array, *args)
            frame = users_line()
            return self._answer(Question(how, (frame.f_code, frame.f_lineno)), array)
        return hook

    def _answer(self, question, array):
        """End a piece, and give the answer."""
        if self.stopped:
            raise Asked
        if len(self.pieces) == MAX_QUESTIONS:
            raise TooManyQuestions(
                f'a call asks for more than {MAX_QUESTIONS} values{question.place}')
        left = [a for a in self._alive() if a is not array]
        self.pieces.append(Piece(self, [array, *left], question))
        self.random, self.draws = [], {}
        if len(self.answers) < len(self.pieces):
            source, *_ = self._sources.get(tape.entry(array)[0], ('',))
            if not self._values_are_exact and source not in ('input', 'param', 'state'):
                self.stopped = True
                self._errors = {of: e for of, e in self._errors.items() if of is None}
                raise Asked
            self.answers.append(question.answer(array))
        for each in array, *left:       # a variable, from now on
            if not tape.entry(each)[1]:
                new = tape.mark(tape.detach(each))
                self._sources[tape.entry(new)[0]] = 'cut', self.crossed
                each.handle, new.handle = new.handle, each.handle
            self.crossed += 1
        return self.answers[len(self.pieces) - 1]

    def _alive(self):
        """The arrays that operators have made and the function may still use: those that something
        refers to beside the notes of the trace."""
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
                              'int() of one element: no float(), print() or asnumpy(). ' + EAGER)
        return original(array)

    def _format(self, original, array, how):
        if self._traced(array):
            self._as_numpy(original, array)
        return original(array, how)

    def _is_training(self, original, answer):
        self.mode = answer._obj.value = self._training
        return 0

    def _forbid(self, what):
        def hook(original, *args, **kwargs):
            raise self._error(what)
        return hook

    def _patch(self, owner, name, hook):
        """Until the end of the run, in this thread, call hook(original, ...) instead."""
        original, thread, own = getattr(owner, name), threading.get_ident(), name in vars(owner)

        def patched(*args, **kwargs):
            if threading.get_ident() != thread:
                return original(*args, **kwargs)
            return hook(original, *args, **kwargs)
        self._patched |= {(id(owner), name), (id(getattr(owner, '__dict__', None)), name)}
        setattr(owner, name, patched)
        self._undo.append(lambda: setattr(owner, name, original) if own else delattr(owner, name))

    def _patch_handles(self):
        """Let each use of an array from outside be one of its stand-in: all of MXNet's functions
        take the handle."""
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
                    made[id(array)] = array         # it was unpickled
            raw.__set__(array, handle)
        NDArrayBase.__del__ = lambda array: check_call(_LIB.MXNDArrayFree(raw.__get__(array)))
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
                (NDArray, 'reshape', self._view), (NDArray, 'as_np_ndarray', self._view),
                (np.ndarray, 'as_nd_ndarray', self._view),
                (NDArray, '_get_nd_basic_indexing', self._basic),
                (np.ndarray, '_get_np_basic_indexing', self._basic),
                (np.ndarray, '__getitem__', self._get_item),
                (np.ndarray, '__setitem__', self._set_item),
                (Parameter, '_check_and_get', self._check_and_get),
                (register, '_imperative_invoke', self._invoke),
                (gluon.Block, '__getattribute__', self._get_attribute),
                (gluon.Block, '__setattr__', self._set_attribute),
                (_LIB, 'MXAutogradIsTraining', self._is_training),
                *((_LIB, name, self._forbid(what)) for name, what in _FORBIDDEN.items())):
            self._patch(owner, name, hook)
        repeats = self._forbid(
            'draws from the generator of Python or NumPy, and a graph would repeat '
            "one number for ever; MXNet's np.random draws at each call")
        for module, generator in ((random, random._inst),
                                  (numpy.random, numpy.random.mtrand._rand)):
            for name in [n for n, f in vars(module).items()
                         if getattr(f, '__self__', None) is generator]:
                self._patch(module, name, repeats)
