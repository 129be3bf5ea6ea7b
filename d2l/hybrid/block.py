"""The compiled Block: a program for each signature of its arguments."""
import collections
import ctypes
import functools
import inspect
import warnings

from mxnet import autograd, gluon, npx
from mxnet.base import _LIB, check_call
from mxnet.context import Context, current_context
from mxnet.ndarray.ndarray import _DTYPE_MX_TO_NP

from .program import UNCHECKED, Program
from .trace import LOCK, Deferred, Trace, TraceError, tracing
from .tree import flatten, unflatten

MAX_PROGRAMS = 32  # that a Block keeps: each holds a graph and its memory
STATIC = 'static_alloc', 'static_shape'     # both or none: a program has one signature


class CompiledBlock(gluon.Block):
    """`net` compiled: its Parameters, its names, its results. `compile` makes one to be called,
    `hybridize` one whose `forward` takes the place of the net's own (in_place)."""

    def __init__(self, net, in_place, flags, exact=True, optimize=False, fallback=False):
        super().__init__(prefix=getattr(net, 'prefix', None))
        if optimize not in (True, False, UNCHECKED):
            raise ValueError(f'optimize={optimize!r}: True, False or {UNCHECKED!r}')
        if isinstance(net, gluon.Block) and not in_place:
            vars(self).update({k: vars(net)[k] for k in ('_params', '_children', '_reg_params')})
        vars(self).update(
            _net=net, _eager=functools.partial(type(net).forward, net) if in_place else net,
            _options=(in_place, flags, exact, optimize, fallback), _programs={}, _warned=False)

    def __getattr__(self, name):  # what else the net has: begin_state, say
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self._net, name)

    def __repr__(self):
        return f'{type(self).__name__}(\n  {self._net!r}\n)'

    def __reduce__(self):  # a copy traces for itself
        return CompiledBlock, (self._net, *self._options)

    def forward(self, *args):
        if tracing():  # part of the graph of a larger net
            return self._eager(*args)
        key, leaves = _signature(args)
        program, drawn = self._find(key), None
        try:
            if program is None:
                program, drawn = self._make(key, leaves)
        except Deferred:  # as in Gluon, the first call initializes
            return self._eager(*args)
        except TraceError as error:
            self._give_up(error)
            return self._eager(*args)
        return program(leaves, drawn)

    def program(self, *args):
        """The Program for these arguments in predict mode, and the arrays among them."""
        key, leaves = _signature(args)
        with autograd.pause():
            try:
                return self._make(key, leaves)[0], leaves
            except Deferred:
                self._eager(*args)
                return self._make(key, leaves)[0], leaves

    def _find(self, key):
        for program in self._programs.get(key, ()):
            if program.current():
                return program

    def _make(self, key, leaves):
        """(program, what its first call is to draw), by a trace unless another thread was faster."""
        _, flags, exact, optimize, _ = self._options
        if not npx.is_np_array():
            raise RuntimeError('call npx.set_np() first, in each thread: MXNet keeps it by thread')
        ctx = leaves[0].ctx if leaves else current_context()
        if any(a.ctx != ctx for a in leaves):
            raise ValueError(f'the arguments of {self._name_of_net()} are on several devices, '
                             f'{[a.ctx for a in leaves]}; a graph runs on one')
        with LOCK:
            program = self._find(key)
            if program:
                return program, None
            trace = Trace(self._eager, leaves, key[0], autograd.is_training(), ctx)
            program = Program(trace, exact, optimize, flags)
            if sum(map(len, self._programs.values())) == MAX_PROGRAMS:
                self._warn(key)
                del self._programs[next(iter(self._programs))]
            others = [p for p in self._programs.get(key, ()) if not p.dead()]
            self._programs[key] = [program, *others]
        return program, trace.drawn

    def _give_up(self, error):
        in_place, *_, fallback = self._options
        if in_place:
            vars(self._net).pop('forward', None)  # eager again, as before
        if not fallback:
            raise error
        vars(self)['forward'] = self._eager
        warnings.warn(f'{self._name_of_net()} runs eagerly: {error}', stacklevel=4)

    def _warn(self, key):
        """Say once what changes between calls: the argument with most values among the keys."""
        if self._warned:
            return
        self._warned = True
        values = collections.defaultdict(dict)
        for structure, arrays in [*self._programs, key]:
            for i, value in enumerate(unflatten(structure, map(_readable, arrays))):
                values[i][repr(value)] = None
        i, seen = max(values.items(), key=lambda item: len(item[1]), default=(0, ()))
        forward = type(self._net).forward if isinstance(self._net, gluon.Block) else self._net
        names = [n for n in inspect.signature(forward).parameters if n != 'self']
        what = (f'argument {names[min(i, len(names) - 1)]!r} keeps changing, as in '
                + ', '.join([*seen][-2:])) if len(seen) > 1 else 'an attribute keeps changing'
        warnings.warn(f'{self._name_of_net()} was compiled more than {MAX_PROGRAMS} times: {what}. '
                      'Pad arrays to a few sizes, and pass numbers as arrays', stacklevel=5)

    def _name_of_net(self):
        return getattr(self._net, '__name__', type(self._net).__name__)


def _signature(args):
    leaves = []
    structure = flatten(args, leaves)
    return (structure, tuple([_kind(a.handle) for a in leaves])), leaves


def _kind(handle):
    """Shape, dtype and device of an array in MXNet's numbers, for an array's `shape`, `dtype` and
    `ctx` take twice as long, which is as long as all else in a call."""
    ndim, dtype, device, number = [ctypes.c_int() for _ in range(4)]
    dims, ref = ctypes.POINTER(ctypes.c_int)(), ctypes.byref
    check_call(_LIB.MXNDArrayGetShapeEx(handle, ref(ndim), ref(dims))
               or _LIB.MXNDArrayGetDType(handle, ref(dtype))
               or _LIB.MXNDArrayGetContext(handle, ref(device), ref(number)))
    return tuple(dims[:ndim.value]), dtype.value, device.value, number.value


def _readable(kind):
    shape, dtype, device, number = kind
    return shape, _DTYPE_MX_TO_NP[dtype], Context(Context.devtype2str[device], number)


def hybridize(net, active=True, *, exact=True, optimize=False, fallback=False, static_alloc=True,
              **flags):
    """Compile a Block in place: `net(X)` is traced at its first call for each structure, shape, dtype
    and context of the arguments, and each mode, and runs as one graph. All else of net stays.

    net: any `gluon.Block`, as the book writes it; it is returned
    active: False makes it eager again
    exact: keep eager's order of summation, bit for bit
    optimize: on a CPU, rewrite the graph into a faster one (see d2l.rewrite), whose last digits
        differ; on a GPU, only exact=False. Before it is used it is checked against the exact one, on
        the arguments of the first call of each signature: that costs this call one run more of
        each, and in training a backward pass; where they differ by more, the exact one is used,
        with a warning (see d2l.hybrid.proof). 'unchecked' leaves the check out, for measuring
    fallback: run a net that cannot be traced eagerly, with one warning, instead of raising
    static_alloc, flags: of MXNet's CachedOp, as in `HybridBlock.hybridize`; static_shape too is
        static_alloc unless said otherwise

    A call whose `forward` no graph can hold raises TraceError, and net is eager again. What Python
    does in `forward` besides (print, say) happens in the trace only. When an attribute that it read
    changes, or a Parameter is initialized anew, net is traced again; after hooks were added to a
    child, or a list of arrays was changed, call `hybridize` again.
    """
    if not isinstance(net, gluon.Block):
        raise TypeError(f'{net!r} is no Block; d2l.compile makes a compiled function of a function')
    vars(net).pop('forward', None)
    if active:
        flags = dict(dict.fromkeys(STATIC, static_alloc), **flags)
        vars(net)['forward'] = CompiledBlock(net, True, flags, exact, optimize, fallback).forward
    return net


def compile(net, *args, exact=True, optimize=False, fallback=False, static_alloc=True, runtime=None,
            **flags):
    """A compiled version of `net`, a Block or a function of arrays, which shares its Parameters and
    is called in its place. Given arguments, it is traced for them now. Options: see `hybridize`.

    runtime: 'onnx' for predictions by ONNX Runtime, of the graph that `d2l.export_onnx` writes, which
        is often faster. No other option says anything then, last digits differ, and a call under
        autograd.record raises RuntimeError. Raises what export_onnx does, such as NoConverter, and
        ImportError without ONNX Runtime. Parameters that have changed are noticed at the next call
    """
    if runtime == 'onnx':
        from ..onnx.runtime import Prediction
        found = Prediction(net)
        if args:
            found.prepare(*args)
        return found
    if runtime is not None:
        raise ValueError(f"runtime={runtime!r}: None for MXNet's own, or 'onnx'")
    flags = dict(dict.fromkeys(STATIC, static_alloc), **flags)
    compiled = CompiledBlock(net, False, flags, exact, optimize, fallback)
    if args:
        try:
            compiled.program(*args)
        except TraceError as error:
            compiled._give_up(error)
    return compiled
