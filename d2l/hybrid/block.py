"""The compiled Block, which keeps programs for each signature of its arguments."""
import collections
import copy
import functools
import warnings
from typing import Callable, Optional

from mxnet import autograd, gluon, np, npx
from mxnet.context import Context, current_context
from mxnet.ndarray.ndarray import _DTYPE_MX_TO_NP

import d2l_compat

from .. import c_api
from .program import UNCHECKED, extract_graph, fingerprint, made_program
from .reads import BEFORE
from .trace import (
    EAGER,
    LOCK,
    Compiled,
    Deferred,
    Graph,
    Raised,
    TooManyQuestions,
    traced,
    TraceError,
    error_at,
    tracing,
)
from .tree import CannotHold, Tree, of_arrays, unflatten

# number of further traces of a function that may use entropy of the system
RUNS_OF_ENTROPY = 3
MAX_PROGRAMS = 32  # programs that a Block keeps: each holds a graph and its memory
# Flags of CachedOp that are on by default: all calls of a program have the same shapes
STATIC = 'static_alloc', 'static_shape'


class CompiledBlock(Compiled):
    """A Block that computes what `net` does, with its Parameters and names, by compiled programs.

    `compile` returns one. `hybridize` makes one with in_place=True and sets its `forward` as an
    attribute of the net.

    own: the `forward` that was an attribute of the net before, or None
    """

    def __init__(self, net, in_place, flags, exact=True, optimize=False, fallback=False, own=None):
        super().__init__(prefix=getattr(net, 'prefix', None))
        if optimize not in (True, False, UNCHECKED):
            raise ValueError(f'optimize={optimize!r}: True, False or {UNCHECKED!r}')
        if isinstance(net, gluon.Block) and not in_place:
            vars(self).update({k: vars(net)[k] for k in ('_params', '_children', '_reg_params')})
        options = in_place, flags, exact, optimize, fallback, own
        vars(self).update(_net=net, _own=own, _options=options, _programs={}, _warned=False)

    def _run_eagerly(self, *args, **kwargs):
        net, in_place = self._net, self._options[0]
        if not in_place:
            return net(*args, **kwargs)
        return (self._own or _forward_of_class(net))(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) if not kwargs else self.forward(*args, **kwargs)

    def __getattr__(self, name):  # other methods of the net, such as begin_state
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self._net, name)

    def __repr__(self):
        return f'{type(self).__name__}(\n  {self._net!r}\n)'

    def __reduce__(self):  # a copy has no programs: it traces again
        return CompiledBlock, (self._net, *self._options)

    def forward(self, *args, **kwargs):
        if tracing():  # a larger net is being traced: this one becomes part of its graph
            return self._run_eagerly(*args, **kwargs)
        try:
            key, tree = _signature(args, kwargs)
            found, cut = self._find(key) or self._make(key, tree), ()
            if found[0].question:
                *found, cut = self._follow(*found, key, tree)
            if found[0].writes:
                found[0].refuse_shared_memory(tree.arrays, found[1])
        except Deferred:  # as in Gluon, the first call initializes the Parameters
            return self._run_eagerly(*args, **kwargs)
        except Raised as error:
            found, raised = None, error.__cause__
        except TooManyQuestions as error:
            self._stay_eager(error)
            return self._run_eagerly(*args, **kwargs)
        except TraceError as error:
            self._give_up(error)
            return self._run_eagerly(*args, **kwargs)
        # The eager call raises the same exception, with the same effects on Python's state
        if found is None:
            result = self._run_eagerly(*args, **kwargs)
            warnings.warn(f'{self._name_of_net()} ran eagerly: its trace raised {raised!r}',
                          stacklevel=1)
            return result
        program, state = found
        return program(tree, state, cut)

    def program(self, *args, apart=False):
        """Return the Program for these arguments in predict mode, and the arrays among them.

        If the net asks for a value of an array, the program ends at this question.

        apart: make a program for an export. Each array is then an input of its own, even if it is
        passed twice, a result that is a container of the caller's is rebuilt from its parts, and a
        question raises TraceError
        """
        key, tree = _signature(args, {}, apart)
        with autograd.pause():
            try:
                program, _ = self._make(key, tree)
            except Deferred:
                self._run_eagerly(*args)
                program, _ = self._make(key, tree)
            except Raised as error:
                raise error.__cause__ from None
        if apart and program.question:
            raise program.question.error(
                'asks for a value of an array, and a file holds one graph, not one for each answer',
                'np.where can choose, and a mask can end a loop.')
        return program, tree.arrays

    def _find(self, key):
        """Return (program, state) for this signature if Python's state is still valid for one of
        its programs, else None."""
        for program in self._programs.get(key, ()):
            state = program.valid_state()
            if state is not None:
                return program, state

    def _follow(self, program, state, key, tree):
        """Run the programs that end with a question, one after another, each chosen by the answer
        to the question before it.

        Return (the program after the last question, its state, the arrays computed so far).
        """
        path, cut, before = [], [], []
        try:
            while program.question:
                path.append((program, program.ask(tree, state, cut, before)))
                program, state = program.next_program(path[-1][1]) or self._make(key, tree, path)
        # The call may start again from the beginning, so BatchNorm's statistics are restored
        except BaseException:
            with autograd.pause():
                for array, copied in reversed(before):
                    copied.copyto(array)
            raise
        return program, state, cut

    def _make(self, key, tree, path=()):
        """Return (program, state), made by a trace unless another thread has made it meanwhile.

        path: [(program, the answer to its question)] for the programs of this call that have run
        """
        _, flags, exact, optimize, fallback, _ = self._options
        leaves = tree.arrays
        if not npx.is_np_array():
            raise (TraceError if fallback else RuntimeError)(
                'call npx.set_np() first, in each thread: MXNet keeps it by thread. A net of mx.nd '
                'is compiled in a Block whose forward says `with mxnet.util.np_array(False), '
                'mxnet.util.np_shape(False): return net(X.as_nd_ndarray()).as_np_ndarray()`')
        ctx = leaves[0].ctx if leaves else current_context()
        if any(a.ctx != ctx for a in leaves):
            raise ValueError(f'the arguments of {self._name_of_net()} are on several devices, '
                             f'{[a.ctx for a in leaves]}; a graph runs on one')
        with LOCK:
            found = path[-1][0].next_program(path[-1][1]) if path else self._find(key)
            if found:
                return found
            run = functools.partial(traced, self, tree, key[0], autograd.is_training(), ctx,
                                    [a for _, a in path])
            trace = run()
            if trace.entropy:
                self._same_again(trace, run)
            for (program, _), piece in zip(path, trace.pieces):
                if program.trace_fingerprint != fingerprint(piece, *extract_graph(trace, piece)):
                    raise program.question.error('computes something else up to here when it is '
                                                 'traced again', EAGER)
            programs = [made_program(trace, piece, exact, optimize, flags)
                        for piece in trace.pieces[len(path):]]
            if not path:
                others = [p for p in self._programs.get(key, ()) if not p.is_stale()]
                self._programs[key] = [programs[0], *others]
                if self._size() > MAX_PROGRAMS:
                    self._warn()
                    self._drop_oldest()
            chain = [*[program for program, _ in path[-1:]], *programs]
            for program, answer, next in zip(chain, trace.answers[max(len(path) - 1, 0):],
                                             chain[1:]):
                program.add_next_program(answer, next)
            first = path[0][0] if path else programs[0]
            first.paths += not trace.stopped
            if first.paths > MAX_PROGRAMS:
                self._stay_eager(
                    f'it took more than {MAX_PROGRAMS} paths, as answers keep changing at'
                    f'{chain[0].question.place}')
        return programs[0], programs[0].guard.state_if_unchanged()

    def _same_again(self, trace, run):
        """Trace a function again that has read entropy of the system. Raise TraceError if this
        gives another graph, as the function has used the entropy then.

        run: function that makes another Trace
        """
        for _ in range(RUNS_OF_ENTROPY):
            prints = [[fingerprint(piece, *extract_graph(each, piece)) for piece in each.pieces]
                      for each in (trace, run())]
            if prints[0] != prints[1]:
                raise error_at(trace.entropy, 'draws entropy from the system, and a graph would '
                               'repeat it for ever', BEFORE + EAGER)

    def _drop_oldest(self):
        """Drop the oldest program of the signature that was seen first."""
        oldest = next(iter(self._programs))
        *self._programs[oldest], _ = self._programs[oldest]
        if not self._programs[oldest]:
            del self._programs[oldest]

    def _give_up(self, error):
        in_place, *_, fallback, own = self._options
        if in_place:
            _put_back(self._net, own)           # the net is eager again
        if not fallback:
            raise error
        vars(self)['forward'] = self._run_eagerly
        warnings.warn(f'{self._name_of_net()} runs eagerly: {error}', stacklevel=4)

    def _stay_eager(self, why):
        in_place, *_, own = self._options
        if in_place:
            _put_back(self._net, own)
        else:
            vars(self)['forward'] = self._run_eagerly
        warnings.warn(f'{self._name_of_net()} runs eagerly from now on: {why}', stacklevel=4)

    def _warn(self):
        """Warn once that calls keep being traced, and name the cause: the argument that has had the
        most different values."""
        if self._warned:
            return
        self._warned = True
        values = collections.defaultdict(dict)
        for structure, arrays, *_ in self._programs:
            args, kwargs = unflatten(structure, map(_readable, arrays))
            for name, value in [*enumerate(args), *kwargs]:
                values[name][repr(value)] = None
        i, seen = max(values.items(), key=lambda item: len(item[1]), default=(0, ()))
        forward = type(self._net).forward if isinstance(self._net, gluon.Block) else self._net
        names = [n for n in d2l_compat.signature(forward).parameters if n != 'self']
        name = i if isinstance(i, str) else names[min(i, len(names) - 1)] if names else i
        what = (f'argument {name!r} keeps changing, as in ' + ', '.join([*seen][-2:])
                ) if len(seen) > 1 else f'{self._changing()} keeps changing'
        warnings.warn(f'{self._name_of_net()} was compiled more than {MAX_PROGRAMS} times: {what}. '
                      'Pad arrays to a few sizes, and pass numbers as arrays', stacklevel=5)

    def _size(self):
        """Return for how many calls there are programs: a net with several results has two for each
        signature, of which one is valid under autograd.record."""
        recorded = [program.recorded for found in self._programs.values() for program in found]
        return len(recorded) - min(recorded.count(True), recorded.count(False))

    def _changing(self):
        """Return the name of a value that differs between a signature's two newest programs."""
        for newest, *others in self._programs.values():
            for program in others[:1]:
                for name in newest.guard.differs(program.guard):
                    return name
        return 'an attribute'

    def _name_of_net(self):
        if isinstance(self._net, gluon.Block):      # its __getattr__ may be the user's
            return type(self._net).__name__
        function = self._net
        while isinstance(function, functools.partial):
            function = function.func
        return getattr(function, '__name__', type(function).__name__)


def copied(block):
    """Return what `copy.copy` should make of a Block: the copy of a compiled Block has programs of
    its own, which use the copy's attributes."""
    new = copy._reconstruct(block, None, *block.__reduce_ex__(4))
    compiled = getattr(vars(new).get('forward'), '__self__', None)
    if isinstance(compiled, CompiledBlock) and compiled._net is block:
        vars(new)['forward'] = CompiledBlock(new, *compiled._options).forward
    return new


def _forward_of_class(net):
    """Return the `forward` of a Block's class, which an attribute of the Block hides, as Python
    would find it: a method, a static method or another callable."""
    entry = next(vars(base)['forward'] for base in type(net).__mro__ if 'forward' in vars(base))
    return entry.__get__(net, type(net)) if hasattr(type(entry), '__get__') else entry


def _signature(args, kwargs, apart=False):
    """Return the signature of a call, a key that is equal for all calls that one program can serve,
    and the Tree of its arguments.

    apart: see `CompiledBlock.program`
    """
    tree = Tree(apart=apart)
    if not kwargs and len(args) < len(_ARRAYS) and all(type(a) is np.ndarray for a in args) and len(
            {*map(id, args)}) == len(args):
        tree.arrays += args                     # the most frequent case, so it has to be fast
        structure = _ARRAYS[len(args)]
    else:
        try:
            structure = tree.flatten((args, tuple(kwargs.items())))
        except CannotHold as error:
            raise ValueError(f'an argument holds {error}, which is too much to be compared at each '
                             'call: pass arrays of MXNet, or keep it in an attribute') from None
    kinds = tuple([c_api.kind(a.handle) for a in tree.arrays])
    others = {type(a) for a in tree.arrays} - {np.ndarray}      # the trace refuses them
    return (structure, kinds, *['apart'] * apart, *others), tree


_ARRAYS = [of_arrays(number) for number in range(9)]


def _readable(kind):
    shape, dtype, device, number = kind
    return shape, _DTYPE_MX_TO_NP[dtype], Context(Context.devtype2str[device], number)


def hybridize(net: gluon.Block, active: bool = True, *, exact: bool = True, optimize: bool = False,
              fallback: bool = False, static_alloc: bool = True, **flags) -> gluon.Block:
    """Compile a Block in place: `net(X)` is traced at its first call for each structure, shape,
    dtype and context of the arguments, and each mode, and runs as one graph. All else of net stays.

    - net: any `gluon.Block`, as the book writes it; it is returned
    - active: False makes it eager again
    - exact: keep eager's order of summation, so that results are equal bit for bit. The gradient of
      an array that also goes into operators without one, such as X > 0, may differ in the last
      digit: there eager mode adds zeros, in groups of four, and a graph none
    - optimize: on a CPU, rewrite the graph into a faster one (see d2l.rewrite), whose results
      differ in the last digits; on a GPU, it does no more than exact=False. At the first call of
      each signature both graphs run once more, with a backward pass if the call may need gradients,
      and their results are compared. If they differ by more than the last digits, the exact graph
      is used, with a warning (see d2l.hybrid.proof). 'unchecked' skips this comparison, for
      measuring. If an argument is infinite or NaN in later calls only, a sum may be infinite where
      the eager one is NaN, as MXNet's sum of [inf, 1] is. If Parameters change between a forward
      pass and its backward pass, the latter may use their old values, where the eager one reads the
      new ones
    - fallback: if the net cannot be traced, warn once and run it eagerly, instead of raising
    - static_alloc, flags: flags of MXNet's CachedOp, as in `HybridBlock.hybridize`; static_shape
      equals static_alloc unless it is given

    The contract: `net(X)` returns what eager mode would, whatever Python does in `forward`.
    Otherwise it raises TraceError with the line and the cure, and net is eager again.

    ============  ================================================================================
    compiled      what Python does in `forward`
    ============  ================================================================================
    guarded       It reads attributes, globals, closures, defaults, class and module attributes,
                  methods, functions, `os.environ`; lists, dicts, sets, deques, dataclasses,
                  objects, NumPy arrays, Parameters and layers with all that is in them, up to
                  20,000 values and 4 MB of a NumPy array. If one of them changes its type or its
                  value, net is traced again.
    input         It uses MXNet's arrays from any of these, or from arguments: read at each call.
                  Another shape, dtype or device needs another trace.
    guarded       It asks `autograd.is_training()` or `is_recording()`: a graph for each mode.
    compiled      It pauses autograd, or changes the mode: gradients stop there. TraceError for what
                  depends on the mode, such as dropout, in another one than that of the call.
    drawn anew    It draws with MXNet, at each call as eager mode does.
    done again    It assigns arrays, None, True or False, or containers and objects of these; it
                  changes lists, dicts, deques, sets and objects in place, those of the caller, too;
                  it writes into an array of an attribute, a global or a list.
    TraceError    It changes a number or a text that it read (a counter), or makes layers.
    path          It asks an array of one element for `bool`, `int` or, of integers, `item()`: in
                  `if`, `while`, `range`, an index; an array of mx.nd for `asscalar()` likewise.
    TraceError    It asks for other values (`float`, `asnumpy`, `tolist`, `print`).
    TraceError    It writes into an argument or a Parameter, reads `X.grad`, starts to record.
    TraceError    It calls an operator of which MXNet has no gradient while autograd records, unless
                  its arguments are detached.
    TraceError    It uses Y[i] or Y.detach() once Y was written into, or writes into Y.detach().
    TraceError    It writes into an array that shares its memory with another one that it uses.
    guarded       It calls functions decorated with `functools.lru_cache`: their cached results are
                  guarded. If a call adds a result to a cache, it runs eagerly first.
    guarded       It reads weak references; TraceError if only they lead to a Block or function.
    TraceError    It draws with Python or NumPy, reads clocks, files, queues, entropy, `globals()`.
    TraceError    It starts a thread, gives work to a pool, ends the profile hook, copies a Block.
    TraceError    It asks a schedule, an optimizer or a Trainer, or for `id(X)`.
    TraceError    It calls a method of an object of the standard library that is written in C and
                  has a state that nothing shows: an Element, a hash, `locked` of a lock.
    TraceError    It has an argument that is an array of mx.nd.
    TraceError    It takes the next value of an iterator from outside, or returns an iterator.
    TraceError    It calls a child that has hooks. Hooks of net itself run.
    trace only    It prints, logs, warns, sleeps, asserts. If a call imports a module for the first
                  time, it runs eagerly first.
    not seen      The decimal context, NumPy's options for printing and errors, attributes that the
                  user gave an array, arguments of an exception, functions that MXNet's own classes
                  get later, `id` of an object that is compared by what it holds, `X is self.h`.
    run again     It raises an exception: the call runs eagerly, from its start.
    ============  ================================================================================

    Paths: where `forward` asks for a value, the graph is cut into pieces. Each call runs the piece
    up to the question. The answer selects the next piece, which takes the arrays that the pieces
    before it have computed. An answer that has not come before is traced when it comes, from its
    question on. So each way through the code is a path of pieces, in training as well. After more
    than 32 paths, or more than 100 questions in one call, the net stays eager, and a warning shows
    the line. Each question waits for the array's value, as in eager mode. If the first call raises
    or initializes Parameters after random numbers were drawn, it draws them again. `export` and
    `export_onnx` raise TraceError for such a net, as a file holds one graph.

    Arrays that a net keeps or returns share their memory where they do in eager mode: Y and
    Y.detach(), Y and Y[i], or views of an argument or of a Parameter. The arrays that an export or
    runtime='onnx' returns do not. If autograd records and an array of net's state is overwritten by
    values with a gradient, it moves: views of it that are outside of net keep the old values.
    If such an array is overwritten between a call and its backward pass, the gradient is that of
    the call, where eager mode computes it with the new values.

    Several results: a loss that uses some of them has gradients through these alone, and the others
    keep theirs for a later loss. While autograd records, such a net runs as several graphs.

    A net that is traced at each call, for example because a list that it reads grows, is right and
    slow; a warning names what keeps changing. With active=False, net gets back a `forward` that was
    an attribute of its own. `copy.copy`, `copy.deepcopy` and `pickle` give a net with programs of
    its own.
    """
    if not isinstance(net, gluon.Block):
        raise TypeError(f'{net!r} is no Block; d2l.compile makes a compiled function of a function')
    if isinstance(net, Graph):
        return net
    own = vars(net).get('forward')
    before = getattr(own, '__self__', None)
    if isinstance(before, CompiledBlock):
        own = before._own
    _put_back(net, own)
    if active:
        flags = dict(dict.fromkeys(STATIC, static_alloc), **flags)
        vars(net)['forward'] = CompiledBlock(
            net, True, flags, exact, optimize, fallback, own).forward
    return net


def _put_back(net, own):
    """Make `own` the `forward` that is an attribute of a Block itself; None removes it."""
    if own is None:
        vars(net).pop('forward', None)
    else:
        vars(net)['forward'] = own


def compile(net: Callable, *args, exact: bool = True, optimize: bool = False,
            fallback: bool = False, static_alloc: bool = True, runtime: Optional[str] = None,
            **flags) -> Callable:
    """Return a compiled version of `net`, a Block or a function of arrays, which shares its
    Parameters and is called in its place. If arguments are given, it is traced for them now.

    Arguments and results may be nested in any way: lists, tuples, dicts, dataclasses, objects,
    keyword arguments. The arrays in them are inputs and outputs of the graph; an array that is
    passed twice is one input. All other values are compared by type and value, and another value
    needs another trace. An iterator, a generator or a lock made in the run cannot be a result.
    `hybridize` describes the options, and what is guarded, refused, or done in a trace only.

    runtime: 'onnx' computes predictions by ONNX Runtime with the graph that `d2l.export_onnx`
        writes, which is often faster. All other options are then ignored, results differ in the
        last digits, and a call under autograd.record raises RuntimeError. `compile` raises what
        export_onnx does, such as NoConverter, ValueError for what ONNX Runtime lacks, such as
        convolutions in float64, and ImportError without ONNX Runtime. A change of the Parameters
        is noticed at the next call. For values that are infinite or NaN, its sums, maxima, minima,
        signs, softmax, sorted values and recurrent layers may differ from MXNet's: its LSTM returns
        finite values for NaN
    """
    if runtime == 'onnx':
        from ..onnx.runtime import Prediction
        found = Prediction(net)
        if args:
            found.prepare(*args)
        return found
    if runtime is not None:
        raise ValueError(f"runtime={runtime!r}: None for MXNet's own, or 'onnx'")
    if isinstance(net, Graph):
        return net
    flags = dict(dict.fromkeys(STATIC, static_alloc), **flags)
    compiled = CompiledBlock(net, False, flags, exact, optimize, fallback)
    if args:
        try:
            compiled.program(*args)
        except TraceError as error:
            compiled._give_up(error)
    return compiled
