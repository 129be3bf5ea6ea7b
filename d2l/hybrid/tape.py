"""Functions that read MXNet's autograd tape and mark arrays on it.

While autograd records, MXNet writes each operator to a tape, which it walks backwards later. The
tape has a graph for each array that it knows, and MXNet returns it as a Symbol. The graph's inputs
are variables: `var<n>` if the array was marked, as `attach_grad` does, or `null<n>` if it is a
constant that was used together with a marked array. Operators are named `node_<n>`, in the order in
which Python ran them. The counters n are shared by the whole process, so code asks for the names
and never computes them.
"""
import math
import re

import mxnet
import numpy
from mxnet import np

from .. import c_api

detach = np.ndarray.detach      # MXNet's own function, stored before a trace replaces it
ALWAYS, TRAINING = 'always', 'in training'    # when an operator draws random numbers
_GENERATORS = re.compile(
    '_(npi_|image_)?random_(?!pdf_)|_sample_|_shuffle$|_npi_(bernoulli|choice|exponential|gamma|'
    'gumbel|logistic|multinomial|normal|normal_n|pareto|powerd|rayleigh|uniform|uniform_n|weibull)$'
).match


def entry(array):
    """Return (the name of `array` on the tape, whether it is a variable), or (None, False) if it is
    not on the tape."""
    found = c_api.graph_of(array)
    return (None, False) if found is None else (found.name, found.get_children() is None)


def recorded(array):
    """Return whether `array` is the result of a recorded operator, or was marked. Otherwise it is
    not on the tape, or only as a constant."""
    name, variable = entry(array)
    return name is not None and not (variable and name.startswith('null'))


def mark(array):
    """Make `array`, which is not on the tape yet, a variable of the tape without a gradient."""
    c_api.mark(array, detach(array))
    return array


def memory(array):
    """Return the range of the addresses of an array's values."""
    address = c_api.address(array)
    return range(address, address + math.prod(array.shape) * numpy.dtype(array.dtype).itemsize)


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


# operator -> whether MXNet has a gradient of it, as far as that was asked
_DIFFERENTIABLE = {}


def is_differentiable(op, inputs, attrs):
    """Return whether MXNet has a gradient, be it 0, of an operator: else no graph may hold it.

    inputs: how many it takes; attrs: its attributes, as texts
    """
    if op not in _DIFFERENTIABLE:
        variables = [c_api.variable(f'x{i}') for i in range(inputs)]
        try:
            symbol = c_api.applied(op, op, variables, attrs)
        except mxnet.MXNetError:    # eager mode knows the number of arguments by itself
            symbol = c_api.applied(op, op, variables, {**attrs, 'num_args': inputs})
        try:
            mxnet.nd.CachedOp(symbol)
        except mxnet.MXNetError as error:
            _DIFFERENTIABLE[op] = 'non-differentiable' not in str(error)
        else:
            _DIFFERENTIABLE[op] = True
    return _DIFFERENTIABLE[op]
