"""Calls of MXNet's C library.

All of this holds for MXNet 1.9.1 alone. `import d2l` refuses any other version before it imports
this module (`d2l_mxnet.problem`). No other module of d2l calls the library: tests/test_house.py
looks.
"""
import ctypes
import functools

import numpy
from mxnet import np
from mxnet.base import (
    _LIB, MXNetError, NDArrayHandle, OpHandle, SymbolHandle, c_str, c_str_array, check_call,
    mx_uint, py_str)
from mxnet.ndarray.ndarray import _DTYPE_MX_TO_NP
from mxnet.symbol import Symbol

LIBRARY = _LIB          # for modules that replace functions in it
DTYPES = {number: numpy.dtype(kind) for number, kind in _DTYPE_MX_TO_NP.items()
          if isinstance(kind, type)}
DTYPE_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
# MXNet's own functions, stored before a trace replaces them
_mark_variables = _LIB.MXAutogradMarkVariables
_get_gradient = _LIB.MXNDArrayGetGrad
_ONE = ctypes.byref(ctypes.c_int(1))
_NO_TYPES = ctypes.byref(ctypes.POINTER(ctypes.c_int)())


# ---- operators
@functools.lru_cache(maxsize=None)
def operator(name):
    """Return the handle of an operator, a number. Raises MXNetError if there is none."""
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
    return handle.value


@functools.lru_cache(maxsize=None)
def op_name(handle):
    """Return the name, as graphs write it, of the operator with this handle."""
    name = ctypes.c_char_p()
    check_call(_LIB.MXSymbolGetAtomicSymbolName(OpHandle(handle), ctypes.byref(name)))
    return py_str(name.value)


def original(name):
    """Return the name of an operator that has this name or alias, or None if there is none."""
    try:
        return op_name(operator(name))
    except MXNetError:
        return None


def operator_names():
    """Return the set of the names of all operators."""
    size, found = mx_uint(), ctypes.POINTER(ctypes.c_char_p)()
    check_call(_LIB.MXListAllOpNames(ctypes.byref(size), ctypes.byref(found)))
    return {py_str(found[i]) for i in range(size.value)}


def arguments(op):
    """Return {name of an operator's argument: its kind as MXNet documents it}, or None if there is
    no such operator."""
    text, count, names, kinds = ctypes.c_char_p(), mx_uint(), *(
        ctypes.POINTER(ctypes.c_char_p)() for _ in range(2))
    try:
        handle = OpHandle(operator(op))
    except MXNetError:
        return None
    ref, other = ctypes.byref, ctypes.POINTER(ctypes.c_char_p)()
    check_call(_LIB.MXSymbolGetAtomicSymbolInfo(
        handle, ref(text), ref(text), ref(count), ref(names), ref(kinds), ref(other), ref(text),
        ref(text)))
    return {names[i].decode(): kinds[i].decode() for i in range(count.value)}


def prepared(op, attrs):
    """Return an operator and its attributes as arguments of C functions: its handle, and the
    number, the names and the texts of the attributes."""
    return (OpHandle(operator(op)), len(attrs), c_str_array(attrs),
            c_str_array([*map(str, attrs.values())]))


class InPlaceCall:
    """Arrays that are passed, again and again, to operators that write into the first of them."""

    def __init__(self, *arrays):
        self._arrays = arrays           # references that keep the handles valid
        self._inputs = (NDArrayHandle * len(arrays))(*[array.handle for array in arrays])
        self._outputs = ctypes.byref(ctypes.cast(self._inputs, ctypes.POINTER(NDArrayHandle)))

    def __call__(self, size, operator, count, keys, texts):
        """Call an operator. size: the number of arrays that it takes, at most those that are here;
        the other arguments are what `prepared` returns."""
        check_call(_LIB.MXImperativeInvokeEx(
            operator, min(size, len(self._inputs)), self._inputs, _ONE, self._outputs, count, keys,
            texts, _NO_TYPES))


# ---- symbols
def variable(name):
    """Return a variable as a Symbol. Unlike `mxnet.sym.var` it takes no attributes of a scope."""
    handle = SymbolHandle()
    check_call(_LIB.MXSymbolCreateVariable(c_str(name), ctypes.byref(handle)))
    return Symbol(handle)


def applied(op, name, inputs, attrs):
    """Return the Symbol of an operator that takes these Symbols and has these attributes."""
    handle = SymbolHandle()
    check_call(_LIB.MXSymbolCreateAtomicSymbol(*prepared(op, attrs), ctypes.byref(handle)))
    symbol = Symbol(handle)
    handles = (SymbolHandle * len(inputs))(*[value.handle for value in inputs])
    check_call(_LIB.MXSymbolCompose(symbol.handle, c_str(name), mx_uint(len(inputs)), None,
                                    handles))
    return symbol


def without_amp_casts(symbol):
    """Return a Symbol without the casts of mixed precision. MXNet makes the same one when it writes
    a Symbol as text, and never frees it."""
    handle = SymbolHandle()
    check_call(_LIB.MXSymbolRemoveAmpCast(symbol.handle, ctypes.byref(handle)))
    return Symbol(handle)


# ---- arrays
def address(array):
    """Wait until an array is computed, and return the address of its values, or 0 if it has none.

    Without the wait, MXNet would allocate memory for them in this thread. If the engine's thread
    does the same at that moment, to compute them, one writes them to where the other does not look.
    """
    array.wait_to_read()
    found = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(found)))
    return found.value or 0


def kind(handle):
    """Return the shape, dtype and device of an array, the latter two by MXNet's numbers. The
    properties `shape`, `dtype` and `ctx` take twice as long, as long as all else in a call."""
    ndim, dtype, device, number = [ctypes.c_int() for _ in range(4)]
    dims, ref = ctypes.POINTER(ctypes.c_int)(), ctypes.byref
    check_call(_LIB.MXNDArrayGetShapeEx(handle, ref(ndim), ref(dims))
               or _LIB.MXNDArrayGetDType(handle, ref(dtype))
               or _LIB.MXNDArrayGetContext(handle, ref(device), ref(number)))
    return tuple(dims[:ndim.value]), dtype.value, device.value, number.value


def alias(array, kind=np.ndarray):
    """Return another array with the same memory and the same entry on the tape. kind: its class."""
    handle = NDArrayHandle()
    check_call(_LIB.MXShallowCopyNDArray(array.handle, ctypes.byref(handle)))
    return kind(handle=handle)


def free(handle):
    """Free the array with this handle."""
    check_call(_LIB.MXNDArrayFree(handle))


# ---- autograd
def graph_of(array):
    """Return the graph on autograd's tape that computed `array`, as a Symbol, or None if the array
    is not on the tape."""
    return _graph(array.handle)


def _graph(handle):
    found = SymbolHandle()
    status = _LIB.MXAutogradGetSymbol(handle, ctypes.byref(found))
    return Symbol(found) if status == 0 else None


def is_on_tape(array):
    """Return whether an array is on the tape, as a result or as a variable. It is only asked for
    the state of its gradient, as the tape has no question for this."""
    fresh = ctypes.c_int()
    check_call(_LIB.MXNDArrayGetGradState(array.handle, ctypes.byref(fresh)))
    return _LIB.MXNDArraySetGradState(array.handle, fresh) == 0     # an error if it is not there


def has_gradient(array):
    """Return whether an array is marked, even during a trace."""
    found = NDArrayHandle()
    check_call(_get_gradient(array.handle, ctypes.byref(found)))
    if not found.value:
        return False
    check_call(_LIB.MXNDArrayFree(found))
    return True


def graphs_of(count, arrays):
    """Return the graphs on the tape that computed arrays, as Symbols.

    arrays: a C array of the handles of so many arrays
    """
    found = [_graph(NDArrayHandle(arrays[i])) for i in range(count)]
    return [graph for graph in found if graph is not None]


def variables_of(count, arrays):
    """Return the names of the variables of the tape on which arrays depend, as in `graphs_of`."""
    return {name for graph in graphs_of(count, arrays) for name in graph.list_inputs()}


def mark(array, gradient):
    """Make an array a variable of the tape, even during a trace. It gets no gradient, but MXNet
    requires an array for one."""
    check_call(_mark_variables(1, ctypes.byref(array.handle), ctypes.byref(mx_uint(0)),
                               ctypes.byref(gradient.handle)))


def _getter(function):
    def ask():
        answer = ctypes.c_bool()
        function(ctypes.byref(answer))
        return answer.value
    return ask


# The same as those of mxnet.autograd, even during a trace, which replaces functions of the library
is_recording, is_training = map(_getter, (_LIB.MXAutogradIsRecording, _LIB.MXAutogradIsTraining))
