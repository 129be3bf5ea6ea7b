"""The compiled Block: a program for each signature of its arguments."""
import collections
import copy
import functools
import warnings
from typing import Callable, Optional

from mxnet import autograd, gluon, np, npx
from mxnet.context import Context, current_context
from mxnet.ndarray.ndarray import _DTYPE_MX_TO_NP

import d2l_compat

from . import tape
from .program import UNCHECKED, Program, extract_graph, fingerprint
from .reads import BEFORE
from .trace import (
    EAGER,
    LOCK,
    Compiled,
    Deferred,
    Graph,
    Raised,
    TooManyQuestions,
    Trace,
    TraceError,
    error_at,
    tracing,
)
from .tree import CannotHold, Tree, of_arrays, unflatten

RUNS_OF_ENTROPY = 3     # beside the first, of a function that may use entropy of the system
MAX_PROGRAMS = 32  # that a Block keeps: each holds a graph and its memory
STATIC = 'static_alloc', 'static_shape'     # both or none: a program has one signature


class CompiledBlock(Compiled):
    """`net` compiled: its Parameters, its names, its results. `compile` makes one to be called,
    `hybridize` one whose `forward` takes the place of the net's own (in_place).

    own: the `forward` that was an attribute of the net itself
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
        return self._own(*args, **kwargs) if self._own else type(net).forward(net, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs) if not kwargs else self.forward(*args, **kwargs)

    def __getattr__(self, name):  # what else the net has: begin_state, say
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self._net, name)

    def __repr__(self):
        return f'{type(self).__name__}(\n  {self._net!r}\n)'

    def __reduce__(self):  # a copy traces for itself
        return CompiledBlock, (self._net, *self._options)

    def forward(self, *args, **kwargs):
        if tracing():  # part of the graph of a larger net
            return self._run_eagerly(*args, **kwargs)
        try:
            key, tree = _signature(args, kwargs)
            found, cut = self._find(key) or self._make(key, tree), ()
            if found[0].question:
                *found, cut = self._follow(*found, key, tree)
            if found[0].writes:
                found[0].refuse_shared_memory(tree.arrays, found[1])
        except Deferred:  # as in Gluon, the first call initializes
            return self._run_eagerly(*args, **kwargs)
        except Raised as error:
            found, raised = None, error.__cause__
        except TooManyQuestions as error:
            self._stay_eager(error)
            return self._run_eagerly(*args, **kwargs)
        except TraceError as error:
            self._give_up(error)
            return self._run_eagerly(*args, **kwargs)
        if found is None:   # eagerly it raises this, too, and leaves Python's state as it does
            result = self._run_eagerly(*args, **kwargs)
            warnings.warn(f'{self._name_of_net()} ran eagerly: its trace raised {raised!r}',
                          stacklevel=1)
            return result
        program, state = found
        return program(tree, state, cut)

    def program(self, *args, apart=False):
        """The Program for these arguments in predict mode, and the arrays among them.

        Of a net that asks for values the first one, up to the question.

        apart: one for an export: each array is an input of its own, and a container of the user's
        that is a result is taken apart, too. Raises TraceError where a value is asked for
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
        """(program, state) for this signature and for Python's state as it is, or None."""
        for program in self._programs.get(key, ()):
            state = program.valid_state()
            if state is not None:
                return program, state

    def _follow(self, program, state, key, tree):
        """Run the programs up to the last question: (the last program, its state, what was
        made)."""
        path, cut, before = [], [], []
        try:
            while program.question:
                path.append((program, program.ask(tree, state, cut, before)))
                program, state = program.next_program(path[-1][1]) or self._make(key, tree, path)
        except BaseException:       # the call begins anew, if at all
            with autograd.pause():
                for array, copied in reversed(before):
                    copied.copyto(array)
            raise
        return program, state, cut

    def _make(self, key, tree, path=()):
        """(program, state), by a trace unless another thread was faster.

        path: [(program, the answer to its question)]: of those that were run
        """
        _, flags, exact, optimize, *_ = self._options
        leaves = tree.arrays
        if not npx.is_np_array():
            raise RuntimeError('call npx.set_np() first, in each thread: MXNet keeps it by thread')
        ctx = leaves[0].ctx if leaves else current_context()
        if any(a.ctx != ctx for a in leaves):
            raise ValueError(f'the arguments of {self._name_of_net()} are on several devices, '
                             f'{[a.ctx for a in leaves]}; a graph runs on one')
        with LOCK:
            found = path[-1][0].next_program(path[-1][1]) if path else self._find(key)
            if found:
                return found
            run = functools.partial(Trace, self, tree, key[0], autograd.is_training(), ctx,
                                    [a for _, a in path])
            trace = run()
            if trace.entropy:
                self._same_again(trace, run)
            for (program, _), piece in zip(path, trace.pieces):
                if program.trace_fingerprint != fingerprint(piece, *extract_graph(trace, piece)):
                    raise program.question.error('computes something else up to here when it is '
                                                 'traced again', EAGER)
            programs = [Program(trace, piece, exact, optimize, flags)
                        for piece in trace.pieces[len(path):]]
            if not path:
                others = [p for p in self._programs.get(key, ()) if not p.is_stale()]
                self._programs[key] = [programs[0], *others]
                if sum(map(len, self._programs.values())) > MAX_PROGRAMS:
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
        """Raise TraceError where other traces give other graphs: they used the entropy."""
        for _ in range(RUNS_OF_ENTROPY):
            prints = [[fingerprint(piece, *extract_graph(each, piece)) for piece in each.pieces]
                      for each in (trace, run())]
            if prints[0] != prints[1]:
                raise error_at(trace.entropy, 'draws entropy from the system, and a graph would '
                               'repeat it for ever', BEFORE + EAGER)

    def _drop_oldest(self):
        """Forget the program that was made first."""
        oldest = next(iter(self._programs))
        *self._programs[oldest], _ = self._programs[oldest]
        if not self._programs[oldest]:
            del self._programs[oldest]

    def _give_up(self, error):
        in_place, *_, fallback, own = self._options
        if in_place:
            _put_back(self._net, own)           # eager again, as before
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
        """Say once what changes between calls: the argument with most values among the keys."""
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

    def _changing(self):
        """The name of what the newest two programs of a signature read differently."""
        for newest, *others in self._programs.values():
            for program in others[:1]:
                for name in newest.guard.differs(program.guard):
                    return name
        return 'an attribute'

    def _name_of_net(self):
        if isinstance(self._net, gluon.Block):      # whose __getattr__ may be the user's
            return type(self._net).__name__
        function = self._net
        while isinstance(function, functools.partial):
            function = function.func
        return getattr(function, '__name__', type(function).__name__)


def copied(block):
    """What `copy.copy` makes of a Block: a compiled one gets programs of its own."""
    new = copy._reconstruct(block, None, *block.__reduce_ex__(4))
    compiled = getattr(vars(new).get('forward'), '__self__', None)
    if isinstance(compiled, CompiledBlock) and compiled._net is block:
        vars(new)['forward'] = CompiledBlock(new, *compiled._options).forward
    return new


def _signature(args, kwargs, apart=False):
    """What calls have in common that one program serves, and the arguments taken apart."""
    tree = Tree(apart=apart)
    if not kwargs and len(args) < len(_ARRAYS) and all(type(a) is np.ndarray for a in args) and len(
            {*map(id, args)}) == len(args):
        tree.arrays += args                     # the most frequent case, and it has to be fast
        structure = _ARRAYS[len(args)]
    else:
        try:
            structure = tree.flatten((args, tuple(kwargs.items())))
        except CannotHold as error:
            raise ValueError(f'an argument holds {error}, which is too much to be compared at each '
                             'call: pass arrays of MXNet, or keep it in an attribute') from None
    kinds = tuple([tape.kind(a.handle) for a in tree.arrays])
    return (structure, kinds, *['apart'] * apart), tree


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
    - exact: keep eager's order of summation, bit for bit
    - optimize: on a CPU, rewrite the graph into a faster one (see d2l.rewrite), whose last digits
      differ; on a GPU, only exact=False. Before it is used it is checked against the exact one, on
      the arguments of the first call of each signature: that costs this call one run more of each,
      and in training a backward pass. Where they differ by more, the exact one is used, with a
      warning (see d2l.hybrid.proof). 'unchecked' leaves the check out, for measuring. Of arguments
      that are infinite or NaN only in later calls, sums may be infinite where eager ones are NaN,
      as MXNet's sum of [inf, 1] is
    - fallback: run a net that cannot be traced eagerly, with one warning, instead of raising
    - static_alloc, flags: of MXNet's CachedOp, as in `HybridBlock.hybridize`; static_shape too is
      static_alloc unless said otherwise

    The contract: `net(X)` gives what eager mode would, whatever Python does, or raises TraceError
    with the line and the cure, and net is eager again.

    ============  ================================================================================
    compiled      what Python does in `forward`
    ============  ================================================================================
    guarded       It reads attributes, globals, closures, defaults, class and module attributes,
                  methods, functions, `os.environ`; lists, dicts, sets, deques, dataclasses,
                  objects, NumPy arrays, Parameters and layers with all that is in them, up to
                  20,000 values and 4 MB of a NumPy array. Where a value is another than before,
                  compared by type and value, net is traced again.
    input         It uses MXNet's arrays from any of these, or from arguments: read at each call.
                  Another shape, dtype or device is another trace.
    guarded       It asks `autograd.is_training()`: a graph for each mode.
    drawn anew    It draws with MXNet, at each call as eager mode does.
    done again    It assigns arrays, None, True or False, or containers and objects of these; it
                  changes lists, dicts, deques, sets and objects in place, those of the caller, too;
                  it writes into an array of an attribute, a global or a list.
    TraceError    It changes a number or a text that it read (a counter), or makes layers.
    path          It asks an array of one element for `bool`, `int` or, of integers, `item()`: in
                  `if`, `while`, `range`, an index.
    TraceError    It asks for other values (`float`, `asnumpy`, `tolist`, `print`).
    TraceError    It writes into an argument or a Parameter, reads `X.grad`, pauses autograd.
    TraceError    It uses Y[i] or Y.detach() once Y was written into, or writes into Y.detach().
    TraceError    It writes into an array that shares its memory with another one that it uses.
    guarded       It calls functions of `functools.lru_cache`: what they remember. Where they
                  remember more, the call runs eagerly first.
    guarded       It reads weak references; TraceError if only they lead to a Block or function.
    TraceError    It draws with Python or NumPy, reads clocks, files, queues, entropy, `globals()`.
    TraceError    It takes the next value of an iterator from outside, or returns an iterator.
    TraceError    It calls a child that has hooks. Hooks of net itself run.
    trace only    It prints, logs, warns, sleeps, imports, asserts.
    run again     It raises an exception: the call runs eagerly, from its start.
    ============  ================================================================================

    Paths: where `forward` asks for a value, the graph is cut. Each call runs the piece up to there,
    and the answer says which piece is next, which takes the arrays that those before it have made;
    an answer that did not come before is traced then, from its question on. So each way through the
    code is a path of pieces, in training as well. Beyond 32 paths, or 100 questions in one call,
    the net is eager from then on, and a warning shows the line. Each question waits for the arrays,
    as in eager mode. A first call that raises, or initializes, once numbers were drawn draws them
    again. No file holds such a net: `export` and `export_onnx` raise TraceError.

    Arrays that a net keeps or returns share their memory where they do in eager mode: Y and
    Y.detach(), Y and Y[i], or views of an argument or of a Parameter. Those that an export or
    runtime='onnx' returns do not.

    A net that is traced for each call (a list that it reads grows, say) is right and slow, and a
    warning names what keeps changing. A `forward` that was an attribute of net comes back with
    active=False. `copy.copy`, `copy.deepcopy` and `pickle` give a net with programs of its own.
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
    """Give a Block the `forward` that it had of its own, or none."""
    if own is None:
        vars(net).pop('forward', None)
    else:
        vars(net)['forward'] = own


def compile(net: Callable, *args, exact: bool = True, optimize: bool = False,
            fallback: bool = False, static_alloc: bool = True, runtime: Optional[str] = None,
            **flags) -> Callable:
    """A compiled version of `net`, a Block or a function of arrays, which shares its Parameters and
    is called in its place. Given arguments, it is traced for them now.

    Arguments and results may be nested in any way: lists, tuples, dicts, dataclasses, objects,
    keyword arguments. Arrays in them are inputs and outputs of the graph, an array that is met
    twice is one, all else is compared by type and value: another one is another trace. An iterator,
    a generator or a lock made in the run cannot be a result. Options, and what is guarded, refused,
    or happens in a trace only: see `hybridize`.

    runtime: 'onnx' for predictions by ONNX Runtime, of the graph that `d2l.export_onnx` writes,
        which is often faster. No other option says anything then, last digits differ, and a call
        under autograd.record raises RuntimeError. Raises what export_onnx does, such as
        NoConverter, and ImportError without ONNX Runtime. Parameters that have changed are noticed
        at the next call. Of arguments that are infinite or NaN, its sums, maxima and recurrent
        layers may make other numbers: its LSTM, say, makes finite ones of NaN
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
