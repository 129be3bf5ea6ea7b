"""The trace: run a `forward` once as it is written, and take its graph off the tape.

During a trace the arguments are stand-ins, marked aliases of the arrays, and so is each Parameter
and each array attribute of a Block from the moment at which `forward` reads it. What `forward`
assigns to attributes is kept aside. So nothing of the user's changes: a failed trace leaves no mark,
and other threads see nothing of it. What a graph cannot hold raises TraceError.
"""
import functools
import gc
import itertools
import linecache
import math
import os
import random
import re
import sys
import threading

import mxnet
import numpy
from mxnet import autograd, gluon, np
from mxnet._ctypes.symbol import _symbol_creator
from mxnet.base import _LIB
from mxnet.context import Context
from mxnet.gluon.parameter import DeferredInitializationError, Parameter
from mxnet.ndarray import NDArray, register
from mxnet.ndarray._internal import NDArrayBase

from . import tape
from .tree import flatten, unflatten

LOCK = threading.RLock()  # one trace at a time, because it patches MXNet
MISSING = object()
EAGER = 'With fallback=True such a net runs eagerly.'
_OURS = os.path.dirname(os.path.dirname(__file__))
_NOT_THE_USERS = (  # MXNet makes some of its functions from strings
    '<string>', *(os.path.join(folder, '') for folder in (
        os.path.join(_OURS, 'hybrid'), os.path.join(_OURS, 'onnx'),
        os.path.dirname(mxnet.__file__), os.path.dirname(numpy.__file__))))
_PLAIN = (bool, int, float, str, type(None), gluon.Block)  # attributes whose change is noticed
_FORBIDDEN = {  # function of MXNet's library -> what a forward that calls it does
    'MXAutogradSetIsRecording': 'starts or stops recording (autograd.pause), which freezes values',
    'MXAutogradSetIsTraining': 'changes between training and predict mode',
    'MXAutogradIsRecording': 'asks whether autograd records',
    'MXAutogradMarkVariables': 'attaches a gradient',
    'MXAutogradBackwardEx': 'computes gradients',
    'MXRandomSeed': 'seeds the generator of random numbers',
    'MXRandomSeedContext': 'seeds the generator of random numbers',
    'MXInvokeCachedOpEx': 'runs a graph that was compiled or loaded before'}
# operators whose result has as many elements as the values of their inputs say
_DYNAMIC = re.compile('_boolean_mask$|nonzero$|_unique$|_npi_delete$|_npi_bincount$')
_tracing_thread = None


class TraceError(RuntimeError):
    """A `forward` that no graph can hold: what it does, where (`filename`, `lineno`), and a cure."""


class Deferred(Exception):
    """A Parameter has no shape yet: an eager call has to come first."""


def users_line():
    """The frame of the user's code that is running: outside of MXNet, NumPy, and what traces."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_NOT_THE_USERS) and frame.f_back:
        frame = frame.f_back
    return frame


def tracing():
    """Whether this thread is inside a trace."""
    return _tracing_thread is not None and _tracing_thread == threading.get_ident()


class Trace:
    """One run of a function, and what it leaves: a graph on the tape, and where its inputs come from.

    function: what to run; leaves, structure: its arguments as `flatten` took them apart
    training: what `autograd.is_training()` is to answer; ctx: where the graph is to run
    """

    def __init__(self, function, leaves, structure, training, ctx):
        self.function, self.leaves, self.ctx, self._training = function, leaves, ctx, training
        self.mode = None            # the mode, if Python asked for it
        self.reads = {}             # (id(block), name) -> (its dict, name, array, stand-in)
        self.writes = {}            # (id(block), name) -> (its dict, name, value)
        self.guards = {}            # (id(block), name) -> (dict, key, value) that Python relied on
        self.random = []            # graphs of the results of operators that draw, as they came
        # node of the tape that stands for a result of an operator that draws -> (the node of its
        # first result, number of the result, operator, attributes, graphs of its inputs)
        self.draws, self.spare = {}, None
        self.dtypes = {}            # name of a `_copyto` node -> dtype of its result
        self._sources = {}          # name of a variable -> what it stands for
        self._params = {}           # (Parameter, i) -> stand-in
        self._made = {}             # id -> array, for each array made in the run
        self._parts = set()         # ids of those that may share the memory of others
        self._errors, self._undo = {}, []
        stand_ins = iter([self._stand_in(a, 'input', i) for i, a in enumerate(leaves)])
        with autograd.record(train_mode=False):  # draws no dropout, updates no statistics
            result = self._run(unflatten(structure, stand_ins))
        self.outputs = []           # the arrays of the result, and the structure around them
        self.result = flatten(result, self.outputs)
        if self.random:             # the name of an input, for a graph that needs one
            spare = np.zeros(1, ctx=ctx)
            self.spare = tape.entry(self._stand_in(spare, 'const', spare))[0]
        for key, (owner, name, _, stand_in) in self.reads.items():
            if tape.entry(stand_in)[0] not in self._sources:  # written into, with no assignment
                self.writes.setdefault(key, (owner, name, stand_in))

    def _run(self, args):
        global _tracing_thread
        try:
            self._patch_all()
            _tracing_thread = threading.get_ident()
            result = self.function(*args)
        finally:
            _tracing_thread = None
            while self._undo:
                self._undo.pop()()
        for error in self._errors.values():  # even if the function caught it and went another way
            raise error
        return result

    def _error(self, what, cure=EAGER, of=None):
        """A TraceError at the line of the user's code that is running."""
        frame = users_line()
        file, line = frame.f_code.co_filename, frame.f_lineno
        error = self._errors[of] = TraceError(
            f'forward {what}\n  File "{file}", line {line}, in {frame.f_code.co_name}\n'
            f'    {linecache.getline(file, line).strip()}\n{cure}')
        error.filename, error.lineno = file, line
        return error

    def find(self, names):
        """{name: source} for variables of the tape. A source is ('input', i), ('param', Parameter, i),
        ('attribute', dict, name), ('const', array) for an array made in the run, or ('captured', array)
        for one from outside, such as a global."""
        lost, known = set(names) - set(self._sources), len(self._made)
        arrays = itertools.chain(self._made.values(), gc.get_objects() if lost else ())
        for i, array in enumerate(arrays):
            if lost and isinstance(array, NDArray) and array.handle:
                name, variable = tape.entry(array)
                if variable and name in lost:
                    lost.remove(name)
                    self._sources[name] = ('const', array.as_in_ctx(self.ctx)) if i < known else (
                        'captured', array)
        return {name: self._sources[name] for name in names}

    # ---- stand-ins

    def _stand_in(self, array, *source):
        variable = tape.mark(tape.detach(array))
        self._sources[tape.entry(variable)[0]] = source
        return variable

    def _traced(self, array):
        """Does it depend on what may differ at the next call?"""
        name, variable = tape.entry(array)
        return name is not None and not (variable and name.startswith('null'))

    def _parameter(self, original, parameter, ctx=None):
        try:
            array = original(parameter, ctx)
        except DeferredInitializationError:
            raise Deferred from None
        key = parameter, [a is array for a in parameter._data].index(True)
        if key not in self._params:
            self._params[key] = self._stand_in(array, 'param', *key)
            del self._made[id(self._params[key])]
        return self._params[key]

    def _get_attribute(self, original, block, name):
        key = id(block), name
        if key in self.writes:
            return self.writes[key][2]
        if key in self.reads:
            return self.reads[key][3]
        owner = original(block, '__dict__')
        value = owner.get(name, MISSING)
        if isinstance(value, NDArray):
            here = tape.detach(value).as_in_ctx(self.ctx)
            self.reads[key] = owner, name, value, self._stand_in(here, 'attribute', owner, name)
            return self.reads[key][3]
        if name == '_active':       # a hybridized child runs as if it were not
            return False
        if name in ('_forward_hooks', '_forward_pre_hooks') and value:
            raise self._error(f'calls a {type(block).__name__} with hooks, which no graph runs')
        if name == '_children':     # the next to be added
            self.guards[key] = value, str(len(value)), MISSING
        elif isinstance(value, _PLAIN) or value is MISSING and not hasattr(type(block), name):
            self.guards[key] = owner, name, value
        return original(block, name)

    def _set_attribute(self, original, block, name, value):
        key = id(block), name
        seen = self.guards.get(key, (0, 0, value))[2]
        if isinstance(value, (gluon.Block, Parameter)) or type(seen) is not type(value) or (
                seen is not value != seen):
            raise self._error(f'reads self.{name}, a state in Python, and then changes it',
                              'Keep state in arrays, and make layers before. ' + EAGER)
        self.writes[key] = vars(block), name, value

    # ---- operators

    def _make_array(self, original, array, *args, **kwargs):
        original(array, *args, **kwargs)
        self._made[id(array)] = array

    def _get_item(self, original, array, key):
        part = original(array, key)
        self._parts |= {id(part)} - {id(array)}
        return part

    def _detach(self, original, array):
        return mxnet.nd.BlockGrad(array.as_nd_ndarray()).as_np_ndarray() if self._traced(
            array) else original(array)

    def _invoke(self, original, handle, inputs, keys, values, out, *kinds):
        """Every operator passes here."""
        op, traced = tape.op_name(handle), any(map(self._traced, inputs))
        attrs = dict(zip(keys, map(str, values)))
        draws = tape.draws(op, attrs)
        if draws == tape.ALWAYS:
            draw = self._shuffle if op == '_shuffle' else self._draw
            results = draw(op, attrs, handle, inputs, kinds[0])
            if out is None:
                return results if len(results) > 1 or kinds[1] else results[0]
            if [(out.shape, out.dtype)] != [(r.shape, r.dtype) for r in results]:
                raise self._error('draws into an array of another shape or dtype',
                                  'Give size and dtype instead of out. ' + EAGER)
            self._exchange(out, lambda: results[0], True)
            return out
        if traced and _DYNAMIC.search(op):
            raise self._error('makes an array whose shape depends on values',
                              'np.where, or a mask, keeps the shape. ' + EAGER)
        run = functools.partial(original, handle, inputs, keys, values)

        def compute():
            new = np.empty(out.shape, dtype=out.dtype, ctx=out.ctx)
            return run(new if kinds[0] else new.as_nd_ndarray(), *kinds)
        result = out
        if out is None or not self._exchange(out, compute, traced):
            result = run(out, *kinds)
        results = result if isinstance(result, list) else [result]
        name, _ = tape.entry(results[0])
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
        if id(array) not in self._made:
            return self._stand_in(array, 'captured', array)
        array = array.copy()            # as it is now
        return self._stand_in(array, 'const', array)

    def _exchange(self, array, compute, traced):
        """Before a write into `array`: where that has to do with the graph, let `compute` make a new
        array instead, exchange the two, and return True."""
        if id(array) not in self._made:
            raise self._error('writes into an array that it did not make',
                              'A graph changes none of its inputs: make a new array, X = X + 1. ')
        if id(array) in self._parts:  # right only if it is written back, as in `Y[i] += 1`
            self._error('writes into a part of an array, under another name', 'Write it with an '
                        'index: Y[i, j] = v, not row = Y[i]; row[j] = v. ' + EAGER, of=id(array))
        if traced or tape.entry(array)[0]:
            new = compute()
            array.handle, new.handle = new.handle, array.handle
            return True

    def _set_item(self, original, array, key, value):
        """`array[key] = value`. MXNet's operator for it has no gradient: take each element from the
        array or from the value."""
        def compute():
            keys = tuple(k.asnumpy().astype(bool if k.dtype == bool else int)
                         if isinstance(k, NDArray) else k
                         for k in (key if isinstance(key, tuple) else (key,)))
            index = numpy.arange(array.size).reshape(array.shape)
            chosen = index[keys]
            index[keys] = array.size + numpy.arange(chosen.size).reshape(chosen.shape)
            new = value.astype(array.dtype) if isinstance(value, NDArray) else np.array(
                value, dtype=array.dtype, ctx=array.ctx)
            both = [array.reshape(-1), np.broadcast_to(new, chosen.shape).reshape(-1)]
            return np.take(np.concatenate(both), np.array(index, dtype='int32', ctx=array.ctx))
        self._errors.pop(id(value), None)
        if not self._exchange(array, compute, isinstance(value, NDArray) and self._traced(value)):
            original(array, key, value)

    # ---- what Python may not ask

    def _as_numpy(self, original, array):
        if self._traced(array):
            raise self._error('asks for the value of an array that depends on inputs or Parameters',
                              'In a graph Python knows shapes, not values: no if, while, float(), '
                              'print() or asnumpy() of it; np.where can choose. ' + EAGER)
        return original(array)

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
        setattr(owner, name, patched)
        self._undo.append(lambda: setattr(owner, name, original) if own else delattr(owner, name))

    def _patch_all(self):
        for owner, name, hook in (
                (NDArrayBase, '__init__', self._make_array), (NDArray, 'asnumpy', self._as_numpy),
                (np.ndarray, 'detach', self._detach), (np.ndarray, '__getitem__', self._get_item),
                (np.ndarray, '__setitem__', self._set_item), (Parameter, 'data', self._parameter),
                (register, '_imperative_invoke', self._invoke),
                (gluon.Block, '__getattribute__', self._get_attribute),
                (gluon.Block, '__setattr__', self._set_attribute),
                (_LIB, 'MXAutogradIsTraining', self._is_training),
                *((_LIB, name, self._forbid(what)) for name, what in _FORBIDDEN.items())):
            self._patch(owner, name, hook)
        repeats = self._forbid('draws from the generator of Python or NumPy, and a graph would repeat '
                               "one number for ever; MXNet's np.random draws at each call")
        for module, generator in ((random, random._inst), (numpy.random, numpy.random.mtrand._rand)):
            for name in [n for n, f in vars(module).items()
                         if getattr(f, '__self__', None) is generator]:
                self._patch(module, name, repeats)
