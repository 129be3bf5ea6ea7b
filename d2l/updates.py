"""How MXNet's SGD and Adam update Parameters on a CPU, faster: the same operators, called straight.

A Transformer has 64 Parameters, and MXNet's Python takes some 100 us for each, on a core that its
operators wait for. And its SGD updates four Parameters with one operator, which on a CPU computes
up to three times as long as four that update one each.
"""
import ctypes
import functools
import math

import numpy
from mxnet.base import _LIB, NDArrayHandle, OpHandle, c_str, c_str_array, check_call
from mxnet.optimizer import optimizer

_ONE = ctypes.byref(ctypes.c_int(1))                                # of results
_NO_TYPES = ctypes.byref(ctypes.POINTER(ctypes.c_int)())


@functools.lru_cache(maxsize=None)
def _operator(name):
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
    return handle


def _sgd(sgd, lr, wd, count):
    """Return (operator, how many arrays it takes, its attributes) of MXNet's SGD; count: of
    updates, this one included."""
    momentum = _number(sgd.momentum, 'the momentum')
    if momentum > 0:
        return 'sgd_mom_update', 3, {'lr': lr, 'wd': wd, 'momentum': momentum}
    return 'sgd_update', 2, {'lr': lr, 'wd': wd}


def _adam(adam, lr, wd, count):
    """Return the same of MXNet's Adam."""
    own = {key: _number(getattr(adam, key), key) for key in ('beta1', 'beta2', 'epsilon')}
    lr *= math.sqrt(1 - own['beta2'] ** count) / (1 - own['beta1'] ** count)
    return 'adam_update', 4, {'lr': lr, 'wd': wd, **own}


OPERATORS = {optimizer.SGD: _sgd, optimizer.Adam: _adam}
# defaults of the operators: an attribute that is left out need not be parsed
DEFAULTS = {'wd': 0.0, 'momentum': 0.0, 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8}
SMALLEST = float(numpy.finfo('float32').tiny)       # MXNet reads no smaller number than that


def _plain(array):
    """Return whether MXNet's operators take such an array."""
    return (array.stype == 'default' and numpy.dtype(array.dtype) == 'float32'
            and array.context.device_type == 'cpu')


class Update:
    """The arrays of one Parameter, ready to be handed to an operator at each step.

    state: of the optimizer: an array, several, or None
    """

    def __init__(self, weight, grad, state):
        states = state if isinstance(state, tuple) else () if state is None else (state,)
        # these are kept so that their handles stay valid
        self._arrays = weight, grad, *states
        self.weight, self.grad, self.state = weight.handle, grad.handle, state
        self._inputs = (NDArrayHandle * len(self._arrays))(*[a.handle for a in self._arrays])
        self._outputs = ctypes.byref(ctypes.cast(self._inputs, ctypes.POINTER(NDArrayHandle)))

    def of(self, weight, grad, state):
        """Return whether this Update was made for these arrays."""
        return weight.handle is self.weight and grad.handle is self.grad and state is self.state

    def __call__(self, operator, size, count, keys, texts):
        """Update the weight. size: of how many arrays, where there may be a state that is no longer
        used; keys, texts: the operator's attributes, so many (count), as C has them."""
        check_call(_LIB.MXImperativeInvokeEx(
            operator, min(size, len(self._inputs)), self._inputs, _ONE, self._outputs, count, keys,
            texts, _NO_TYPES))


def _attributes(sgd_or_adam, lr, wd, count):
    """Return what an Update takes."""
    name, size, attrs = OPERATORS[type(sgd_or_adam)](sgd_or_adam, lr, wd, count)
    attrs = {key: 0.0 if abs(value) < SMALLEST else value for key, value in attrs.items()}
    attrs = {key: value for key, value in attrs.items() if value != DEFAULTS.get(key)}
    attrs['rescale_grad'] = sgd_or_adam.rescale_grad
    if sgd_or_adam.clip_gradient:
        attrs['clip_gradient'] = sgd_or_adam.clip_gradient
    return (_operator(name), size, len(attrs), c_str_array(attrs),
            c_str_array(list(map(str, attrs.values()))))


def _number(value, what):
    """A learning rate, or the like, as a float: also of an array of no axis, which MXNet's Adam
    would multiply in its place. Raises TypeError or ValueError for what is no number."""
    if type(value) is not float:
        shape = getattr(value, 'shape', ())
        if shape != () or isinstance(value, (str, complex)):
            found = f'an array of the shape {shape}' if shape else repr(value)
            raise TypeError(f'{what} is {found}: give a float')
        value = float(value)
    if not math.isfinite(value):
        raise ValueError(f'{what} is {value}: give a number that is finite')
    return value


def _updates(updater, index, grad, weight):
    """Return an Update for each of these Parameters; None where MXNet is to do it."""
    if type(updater.optimizer) not in OPERATORS or not (index and isinstance(index, (list, tuple))):
        return None
    known, found = vars(updater).setdefault('updates', {}), []
    for i, g, w in zip(index, grad, weight):
        if i not in updater.states:
            updater.states[i] = updater.optimizer.create_state_multi_precision(i, w.as_nd_ndarray())
            updater.states_synced[i] = True
        update, state = known.get(i), updater.states[i]
        if not updater.states_synced[i]:                    # where MXNet moves them
            return None
        if update is None or not update.of(w, g, state):
            if not (_plain(w) and _plain(g)):
                return None
            update = known[i] = Update(w, g, state)
        found.append(update)
    return found


def faster(original):
    """Return what takes the place of MXNet's `Updater.__call__`, the original."""
    @functools.wraps(original)
    def call(updater, index, grad, weight):
        updates, own, attributes = _updates(updater, index, grad, weight), updater.optimizer, {}
        if updates is None:
            return original(updater, index, grad, weight)
        own._set_current_context(weight[0].context.device_id)
        own._update_count(index)
        for i, update, lr, wd in zip(index, updates, own._get_lrs(index), own._get_wds(index)):
            rates = (_number(lr, 'the learning rate'), _number(wd, 'the weight decay'),
                     own._index_update_count[i])
            if rates not in attributes:
                attributes[rates] = _attributes(own, *rates)
            update(*attributes[rates])
    return call


def install():
    """Let MXNet's Updater, which Gluon's Trainer calls, update so; pickled or copied, it is as
    MXNet's own, without the pointers that belong to this process."""
    optimizer.Updater.__call__ = faster(optimizer.Updater.__call__)
    optimizer.Updater.__getstate__ = lambda updater: {
        name: value for name, value in vars(updater).items() if name != 'updates'}
