"""Functions that read MXNet's autograd tape and mark arrays on it.

While autograd records, MXNet writes each operator to a tape, which it walks backwards later. The
tape has a graph for each array that it knows, and MXNet returns it as a Symbol. The graph's inputs
are variables: `var<n>` if the array was marked, as `attach_grad` does, or `null<n>` if it is a
constant that was used together with a marked array. Operators are named `node_<n>`, in the order in
which Python ran them. The counters n are shared by the whole process, so code asks for the names
and never computes them.
"""
import ctypes
import functools
import math
import re

import numpy
from mxnet import np
from mxnet.base import _LIB, NDArrayHandle, OpHandle, SymbolHandle, check_call, mx_uint, py_str
from mxnet.symbol import Symbol

# MXNet's own functions, stored before a trace replaces them
detach = np.ndarray.detach
_mark_variables = _LIB.MXAutogradMarkVariables
ALWAYS, TRAINING = 'always', 'in training'    # when an operator draws random numbers
_GENERATORS = re.compile(
    '_(npi_|image_)?random_(?!pdf_)|_sample_|_shuffle$|_npi_(bernoulli|choice|exponential|gamma|'
    'gumbel|logistic|multinomial|normal|normal_n|pareto|powerd|rayleigh|uniform|uniform_n|weibull)$'
).match


def symbol(array):
    """Return the graph that computed `array`, or None if it is not on the tape."""
    found = SymbolHandle()
    status = _LIB.MXAutogradGetSymbol(array.handle, ctypes.byref(found))
    return Symbol(found) if status == 0 else None


def entry(array):
    """Return (the name of `array` on the tape, whether it is a variable), or (None, False) if it is
    not on the tape."""
    found = symbol(array)
    return (None, False) if found is None else (found.name, found.get_children() is None)


def recorded(array):
    """Return whether `array` is the result of a recorded operator, or was marked. Otherwise it is
    not on the tape, or only as a constant."""
    name, variable = entry(array)
    return name is not None and not (variable and name.startswith('null'))


def mark(array):
    """Make `array`, which is not on the tape yet, a variable of the tape without a gradient."""
    gradient = detach(array)  # not used, but MXNet requires an array here
    check_call(_mark_variables(1, ctypes.byref(array.handle), ctypes.byref(mx_uint(0)),
                               ctypes.byref(gradient.handle)))
    return array


def alias(array, kind=np.ndarray):
    """Return another array with the same memory and the same entry on the tape. kind: its class."""
    handle = NDArrayHandle()
    check_call(_LIB.MXShallowCopyNDArray(array.handle, ctypes.byref(handle)))
    return kind(handle=handle)


def memory(array):
    """Return the range of the addresses of an array's values."""
    address = ctypes.c_void_p()
    for wait in False, True:            # it may have no address before its values are computed
        if wait and not address.value:
            array.wait_to_read()
        check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    size = math.prod(array.shape) * numpy.dtype(array.dtype).itemsize
    return range(address.value or 0, (address.value or 0) + size)


def draws(op, attrs):
    """Return when an operator draws random numbers: ALWAYS, in TRAINING, or None for never.

    A Custom operator counts as ALWAYS, as its Python code may draw, or do something else at each
    call. attrs: the operator's attributes, as texts
    """
    if op == 'Custom' or _GENERATORS(op) or op == 'Dropout' and attrs.get('mode') == ALWAYS:
        return ALWAYS
    if (op == 'Dropout' or op == 'RNN' and float(attrs.get('p', 0))
            or op == 'LeakyReLU' and attrs.get('act_type') == 'rrelu'):
        return TRAINING


def kind(handle):
    """Return the shape, dtype and device of an array, the latter two by MXNet's numbers. The
    properties `shape`, `dtype` and `ctx` take twice as long, as long as all else in a call."""
    ndim, dtype, device, number = [ctypes.c_int() for _ in range(4)]
    dims, ref = ctypes.POINTER(ctypes.c_int)(), ctypes.byref
    check_call(_LIB.MXNDArrayGetShapeEx(handle, ref(ndim), ref(dims))
               or _LIB.MXNDArrayGetDType(handle, ref(dtype))
               or _LIB.MXNDArrayGetContext(handle, ref(device), ref(number)))
    return tuple(dims[:ndim.value]), dtype.value, device.value, number.value


@functools.lru_cache(maxsize=None)
def op_name(handle):
    """Return the name, as graphs write it, of the operator with this handle."""
    name = ctypes.c_char_p()
    check_call(_LIB.MXSymbolGetAtomicSymbolName(OpHandle(handle), ctypes.byref(name)))
    return py_str(name.value)
