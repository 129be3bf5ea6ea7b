"""What is on MXNet's tape.

While autograd records, MXNet notes each operator on a tape, to walk it backwards later. What the
tape knows of an array is a graph, and MXNet hands it out. Its inputs are variables, named `var<n>`
if someone marked the array (as `attach_grad` does), or `null<n>` if it merely met a marked one: a
constant. Its operators are named `node_<n>`, in the order in which Python ran them. The counters
behind n belong to the process, so names are asked for, never computed.
"""
import ctypes
import functools
import math
import re

import numpy
from mxnet import np
from mxnet.base import _LIB, NDArrayHandle, OpHandle, SymbolHandle, check_call, mx_uint, py_str
from mxnet.symbol import Symbol

detach = np.ndarray.detach  # MXNet's own: a trace puts others in the place of these two
_mark_variables = _LIB.MXAutogradMarkVariables
ALWAYS, TRAINING = 'always', 'in training'    # when an operator draws random numbers
_GENERATORS = re.compile(
    '_(npi_|image_)?random_(?!pdf_)|_sample_|_shuffle$|_npi_(bernoulli|choice|exponential|gamma|'
    'gumbel|logistic|multinomial|normal|normal_n|pareto|powerd|rayleigh|uniform|uniform_n|weibull)$'
).match


def symbol(array):
    """The graph that gave `array`, or None if it is not on the tape."""
    found = SymbolHandle()
    status = _LIB.MXAutogradGetSymbol(array.handle, ctypes.byref(found))
    return Symbol(found) if status == 0 else None


def entry(array):
    """(its name on the tape, whether it is a variable), or (None, False) if it is not there."""
    found = symbol(array)
    return (None, False) if found is None else (found.name, found.get_children() is None)


def recorded(array):
    """Whether the tape knows how `array` was made, or someone marked it: else it merely met one."""
    name, variable = entry(array)
    return name is not None and not (variable and name.startswith('null'))


def mark(array):
    """Make `array`, not yet on the tape, a variable of the tape that wants no gradient."""
    gradient = detach(array)  # of no use, but MXNet asks for one
    check_call(_mark_variables(1, ctypes.byref(array.handle), ctypes.byref(mx_uint(0)),
                               ctypes.byref(gradient.handle)))
    return array


def alias(array, kind=np.ndarray):
    """Another array of the same memory, at the same place on the tape. kind: its class."""
    handle = NDArrayHandle()
    check_call(_LIB.MXShallowCopyNDArray(array.handle, ctypes.byref(handle)))
    return kind(handle=handle)


def memory(array):
    """The addresses of an array's values, as a range."""
    address = ctypes.c_void_p()
    for wait in False, True:            # it has none before its values are there
        if wait and not address.value:
            array.wait_to_read()
        check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    size = math.prod(array.shape) * numpy.dtype(array.dtype).itemsize
    return range(address.value or 0, (address.value or 0) + size)


def draws(op, attrs):
    """ALWAYS, TRAINING, or None: when an operator with these attributes (texts) draws random
    numbers. An operator of the user's own may, or may count, say: ALWAYS."""
    if op == 'Custom' or _GENERATORS(op) or op == 'Dropout' and attrs.get('mode') == ALWAYS:
        return ALWAYS
    if (op == 'Dropout' or op == 'RNN' and float(attrs.get('p', 0))
            or op == 'LeakyReLU' and attrs.get('act_type') == 'rrelu'):
        return TRAINING


def kind(handle):
    """Shape, dtype and device of an array in MXNet's numbers, for an array's `shape`, `dtype` and
    `ctx` take twice as long, which is as long as all else in a call."""
    ndim, dtype, device, number = [ctypes.c_int() for _ in range(4)]
    dims, ref = ctypes.POINTER(ctypes.c_int)(), ctypes.byref
    check_call(_LIB.MXNDArrayGetShapeEx(handle, ref(ndim), ref(dims))
               or _LIB.MXNDArrayGetDType(handle, ref(dtype))
               or _LIB.MXNDArrayGetContext(handle, ref(device), ref(number)))
    return tuple(dims[:ndim.value]), dtype.value, device.value, number.value


@functools.lru_cache(maxsize=None)
def op_name(handle):
    """The name, as graphs write it, of the operator with this handle."""
    name = ctypes.c_char_p()
    check_call(_LIB.MXSymbolGetAtomicSymbolName(OpHandle(handle), ctypes.byref(name)))
    return py_str(name.value)
