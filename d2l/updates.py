"""Faster updates of Parameters on a CPU by SGD and Adam, which call MXNet's operators directly.

A Transformer has 64 Parameters. MXNet's Python code takes some 100 us for each of them, on a core
for which the operators wait. Also, its SGD updates four Parameters with one operator, which on a
CPU takes up to three times as long as four operators that update one each.
"""
import functools
import math

import numpy
from mxnet.optimizer import optimizer

from . import c_api


def _sgd(sgd, lr, wd, count):
    """Return (name of the operator, number of its arrays, its attributes) for an update by MXNet's
    SGD. count: the number of updates, including this one"""
    momentum = _number(sgd.momentum, 'the momentum')
    if momentum > 0:
        return 'sgd_mom_update', 3, {'lr': lr, 'wd': wd, 'momentum': momentum}
    return 'sgd_update', 2, {'lr': lr, 'wd': wd}


def _adam(adam, lr, wd, count):
    """Return the same as `_sgd` for MXNet's Adam."""
    own = {key: _number(getattr(adam, key), key) for key in ('beta1', 'beta2', 'epsilon')}
    lr *= math.sqrt(1 - own['beta2'] ** count) / (1 - own['beta1'] ** count)
    return 'adam_update', 4, {'lr': lr, 'wd': wd, **own}


OPERATORS = {optimizer.SGD: _sgd, optimizer.Adam: _adam}
# Defaults of the operators. Attributes with these values are left out, as parsing takes time
DEFAULTS = {'wd': 0.0, 'momentum': 0.0, 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8}
SMALLEST = float(numpy.finfo('float32').tiny)       # MXNet cannot parse smaller numbers


def _plain(array):
    """Return whether MXNet's operators can update this array."""
    return (array.stype == 'default' and numpy.dtype(array.dtype) == 'float32'
            and array.context.device_type == 'cpu')


class Update(c_api.InPlaceCall):
    """The arrays of one Parameter, prepared to be passed to an operator at each step. A state that
    is no longer used is not passed.

    state: the optimizer's state for it: an array, a tuple of arrays, or None
    """

    def __init__(self, weight, grad, state):
        states = state if isinstance(state, tuple) else () if state is None else (state,)
        super().__init__(weight, grad, *states)
        self.weight, self.grad, self.state = weight.handle, grad.handle, state

    def of(self, weight, grad, state):
        """Return whether this Update was made for these arrays."""
        return weight.handle is self.weight and grad.handle is self.grad and state is self.state


def _attributes(sgd_or_adam, lr, wd, count):
    """Return the arguments with which an Update is called.

    count: the number of updates of the Parameter so far, this one included
    """
    name, size, attrs = OPERATORS[type(sgd_or_adam)](sgd_or_adam, lr, wd, count)
    attrs = {key: 0.0 if abs(value) < SMALLEST else value for key, value in attrs.items()}
    attrs = {key: value for key, value in attrs.items() if value != DEFAULTS.get(key)}
    attrs['rescale_grad'] = sgd_or_adam.rescale_grad
    if sgd_or_adam.clip_gradient:
        attrs['clip_gradient'] = sgd_or_adam.clip_gradient
    return size, *c_api.prepared(name, attrs)


def _number(value, what):
    """Return a learning rate or the like as a float. A 0-dimensional array is converted too, as
    MXNet's Adam would multiply it in place. Raises TypeError or ValueError if it is no number."""
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
    """Return an Update for each of these Parameters, or None if MXNet has to update them."""
    if type(updater.optimizer) not in OPERATORS or not (index and isinstance(index, (list, tuple))):
        return None
    known, found = vars(updater).setdefault('updates', {}), []
    for i, g, w in zip(index, grad, weight):
        if i not in updater.states:
            updater.states[i] = updater.optimizer.create_state_multi_precision(i, w.as_nd_ndarray())
            updater.states_synced[i] = True
        update, state = known.get(i), updater.states[i]
        if not updater.states_synced[i]:                    # MXNet has yet to move this state
            return None
        if update is None or not update.of(w, g, state):
            if not (_plain(w) and _plain(g)):
                return None
            update = known[i] = Update(w, g, state)
        found.append(update)
    return found


def faster(original):
    """Return the function that replaces MXNet's `Updater.__call__`, which is `original`."""
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
    """Replace how MXNet's Updater, which Gluon's Trainer calls, updates Parameters. A pickle or
    copy of it has no Updates, as their pointers are valid in this process only."""
    optimizer.Updater.__call__ = faster(optimizer.Updater.__call__)
    optimizer.Updater.__getstate__ = lambda updater: {
        name: value for name, value in vars(updater).items() if name != 'updates'}
