"""Which arrays want a gradient, and the backward passes of several threads."""
import functools
import itertools
import os
import threading
import weakref

from .calls import CALLS, replace_cached_op, route_calls, tracing

TURN_TIMEOUT_SECONDS = 10.0     # how long a thread waits for its turn


# ---- several threads
class Turn:
    """Lets one thread at a time pass operators to MXNet's engine that write into shared arrays.

    The engine puts an operator into the queue of each of its arrays, one after another. If two
    threads do this at the same time for the same two arrays, their operators may wait for each
    other for ever. After TURN_TIMEOUT_SECONDS a thread goes on without its turn, because the thread
    that has the turn may be waiting for it, in a custom operator of the user's.
    """

    def __init__(self):
        self._renew()
        # in the child of a fork, the thread that had the turn may not exist
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        self._lock = threading.RLock()

    def take(self, function, *args, **kwargs):
        """Call a function when it is this thread's turn, and return its result."""
        taken = self._lock.acquire(timeout=TURN_TIMEOUT_SECONDS)
        try:
            return function(*args, **kwargs)
        finally:
            if taken:
                self._lock.release()


def take_turns():
    """Let threads take turns in backward passes and in batch normalization: they write into
    gradients of Parameters and running statistics, which threads share."""
    from d2l.c_api import LIBRARY, operator

    LIBRARY.MXAutogradBackwardEx = functools.partial(TURN.take, LIBRARY.MXAutogradBackwardEx)
    route_calls([operator('BatchNorm')], TURN.take)

    def with_turns(original):
        class CachedOp(original):
            __slots__ = ('_writes',)

            def __init__(self, sym, flags=(), **kwargs):
                super().__init__(sym, flags, **kwargs)
                self._writes = bool(sym.list_auxiliary_states())

            def __call__(self, *args, **kwargs):
                if self._writes:
                    return TURN.take(super().__call__, *args, **kwargs)
                return super().__call__(*args, **kwargs)
        return CachedOp
    replace_cached_op(with_turns)


TURN = Turn()


# ---- which arrays want a gradient
def note_marks():
    """Store for each array that is marked for autograd whether it needs a gradient, as MXNet does
    not tell. Also add up gradients with grad_req 'add' in d2l: for many operators, such as mean and
    cumsum, MXNet overwrites the earlier gradient. So MXNet gets 'write', and d2l adds the earlier
    gradient afterwards. Arrays of mx.nd, of which Python cannot store that much, go into operators
    as copies: MXNet adds up the gradients of a copy."""
    from mxnet import autograd, nd, np
    from mxnet.ndarray import register

    from d2l.c_api import LIBRARY, is_recording

    mark, attach = autograd.mark_variables, np.ndarray.attach_grad
    attach_older, invoke = nd.NDArray.attach_grad, register._imperative_invoke
    backward = LIBRARY.MXAutogradBackwardEx

    @functools.wraps(mark)
    def mark_variables(variables, gradients, grad_reqs='write'):
        one = not isinstance(variables, (list, tuple))
        arrays, gradients = ([variables], [gradients]) if one else (variables, gradients)
        reqs = [grad_reqs] * len(arrays) if isinstance(grad_reqs, str) else [*grad_reqs]
        ours = [req == 'add' and isinstance(array, np.ndarray) and gradient.stype == 'default'
                for array, gradient, req in zip(arrays, gradients, reqs)]
        # if the gradients of two arrays share memory, MXNet adds them up
        shared = _sharing([(a, g) for a, g, own in zip(arrays, gradients, ours) if own])
        ours = [own and id(array) not in shared for array, own in zip(arrays, ours)]
        for array in [a for a in shared.values() if not any(a is b for b in arrays)]:
            mark([array], [array.grad], ['add'])
            _note(array, 'add', False)
            _note_handle(array, True)
        mark(arrays, gradients, ['write' if own else req for own, req in zip(ours, reqs)])
        for array, gradient, req, own in zip(arrays, gradients, reqs, ours):
            _note(array, req, own)
            _note_handle(array, req == 'add' and not own and gradient.stype == 'default')
    autograd.mark_variables = mark_variables

    @functools.wraps(attach)
    def attach_grad(self, grad_req='write'):
        attach(self, 'write' if grad_req == 'add' else grad_req)
        _note(self, grad_req, grad_req == 'add')
        _note_handle(self, False)
    np.ndarray.attach_grad = attach_grad

    @functools.wraps(attach_older)
    def attach_grad_older(self, grad_req='write', stype=None):
        attach_older(self, grad_req, stype)
        _note(self, grad_req, False)
        _note_handle(self, grad_req == 'add' and (stype or self.stype) == 'default')
    nd.NDArray.attach_grad = attach_grad_older

    def as_other(convert):
        @functools.wraps(convert)
        def converted(self):
            other = convert(self)
            _note_handle(other, self.handle.value in _ADDED_BY_MXNET)
            return other
        return converted
    for kind, name in (nd.NDArray, 'as_np_ndarray'), (np.ndarray, 'as_nd_ndarray'):
        setattr(kind, name, as_other(getattr(kind, name)))

    def invoked(handle, arrays, *rest):
        if _ADDED_BY_MXNET and is_recording() and not tracing():
            arrays = _copied(arrays)
        return invoke(handle, arrays, *rest)
    register._imperative_invoke = invoked

    def added(count, heads, gradients, variables, *rest):
        # With `variables`, autograd.grad is calling. It puts gradients into new arrays, to which
        # nothing is added
        if not _SUMMED_BY_D2L or variables:
            return backward(count, heads, gradients, variables, *rest)
        return TURN.take(_add, backward, count, heads, gradients, variables, *rest)
    LIBRARY.MXAutogradBackwardEx = added
    replace_cached_op(_remade_cached_op)


# id of an array that needs a gradient -> (weak reference to it, alias of it). Code uses the alias:
# when another thread deletes an array, the weak reference still gives it after MXNet has freed it
MARKED = {}
_SUMMED_BY_D2L = {}         # the same for the arrays whose gradients d2l adds up
# handles of arrays whose gradients MXNet adds up. Some are gone: an array that has got the same
# handle since has no gradient, or was marked, so that this set tells what it is
_ADDED_BY_MXNET = set()
_NUMBERS = itertools.count()        # a number for each time that an array was marked
_NUMBERS_BY_HANDLE = {}     # the last number of an array of mx.nd, which cannot store it


def _note(array, req, added):
    """Store that an array was marked with this grad_req; added: whether d2l adds up its gradients.
    """
    from d2l import c_api

    if not hasattr(array, '__dict__'):      # an NDArray of mxnet.nd
        _NUMBERS_BY_HANDLE[array.handle.value] = next(_NUMBERS)
        return
    array.learns, key = req != 'null', id(array)
    array.mark_number, array.gradient_memory = next(_NUMBERS), None
    for holds, known in (array.learns, MARKED), (added, _SUMMED_BY_D2L):
        known.pop(key, None)
        if holds:
            known[key] = weakref.ref(array, lambda ref, known=known: (
                ref is known.get(key, [None])[0] and known.pop(key))), c_api.alias(array)


def _sharing(pairs):
    """Return {id: array} of the arrays whose gradients share memory with those of others, among
    these pairs (array, gradient) and the arrays whose gradients d2l adds up."""
    from d2l.hybrid import tape

    new = {id(array) for array, _ in pairs}
    places = [(tape.memory(gradient), array) for array, gradient in pairs]
    for reference, _ in [*_SUMMED_BY_D2L.values()] if pairs else ():
        array = reference()
        if array is not None and id(array) not in new:
            if array.gradient_memory is None:   # stored, as nets have hundreds of Parameters
                array.gradient_memory = tape.memory(array.grad)
            places.append((array.gradient_memory, array))
    places.sort(key=lambda place: place[0].start)
    found, end, last = {}, -1, None
    for memory, array in places:
        if memory and memory.start < end:
            found.update({id(each): each for each in (last, array)})
        if memory.stop > end:
            end, last = memory.stop, array
    return found


def _note_handle(array, added):
    """Store whether MXNet adds up the gradients of this array, which are not sparse."""
    if added:
        _ADDED_BY_MXNET.add(array.handle.value)
    else:
        _ADDED_BY_MXNET.discard(array.handle.value)


def _mark_number(array):
    """Return the number that an array got when it was marked last, or None."""
    if hasattr(array, '__dict__'):
        return getattr(array, 'mark_number', None)
    return _NUMBERS_BY_HANDLE.get(array.handle.value)


def _is_added_by_mxnet(array):
    """Return whether MXNet adds up the gradients of this array."""
    from d2l.c_api import has_gradient

    return array.handle.value in _ADDED_BY_MXNET and has_gradient(array)


def _copied(arrays):
    """Return these arrays, with copies of those whose gradients MXNet adds up."""
    from mxnet import np

    from d2l.c_api import operator

    copy = operator('_copy')
    return [CALLS[copy](copy, [array], [], [], None, isinstance(array, np.ndarray), False)
            if _is_added_by_mxnet(array) else array for array in arrays]


def _remade_cached_op(original):
    """Return a class derived from CachedOp that copies arguments whose gradients MXNet adds up, and
    that, with static_shape, makes a new one when an argument has got another gradient array since
    the last call: MXNet would write into the old one, unless the grad_req changed as well."""
    from d2l.c_api import is_recording

    class CachedOp(original):
        __slots__ = ('_source', '_marks')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            static = str(dict(flags).get('static_shape', False)) in ('True', '1')
            self._source, self._marks = static and (sym, flags), {}

        def __call__(self, *args, **kwargs):
            given = args
            if _ADDED_BY_MXNET and is_recording() and not tracing():
                args = _copied(args)
            if self._source and is_recording():
                # a net has Parameters of its own on each device
                device = args[0].context if args else None
                marks = [(_mark_number(own), array is own) for array, own in zip(args, given)]
                if self._marks.setdefault(device, marks) != marks:
                    self.substitute('newest', original(*self._source))
                    self._marks = {device: marks}
            return self.substitutes.get('newest', super().__call__)(*args, **kwargs)
    return CachedOp


def learns(array):
    """Return whether an array was marked and needs a gradient. Of arrays of mx.nd it is not known;
    they count as if they did not."""
    return getattr(array, 'learns', False)


def _add(backward, count, heads, *rest):
    """Run the backward pass, and add to the gradient of each array in _SUMMED_BY_D2L on which the
    heads depend the gradient that it had before."""
    from mxnet import autograd

    from d2l import c_api
    from d2l.hybrid import tape

    names = c_api.variables_of(count, heads)
    arrays = [array for _, array in [*_SUMMED_BY_D2L.values()] if tape.entry(array)[0] in names]
    known = [(array, array.grad, array._fresh_grad) for array in arrays if array.grad is not None]
    with autograd.pause():
        before = [gradient.copy() for _, gradient, _ in known]
        for array, *_ in known:
            array._fresh_grad = False
        try:
            return backward(count, heads, *rest)
        finally:
            for (array, gradient, fresh), old in zip(known, before):
                if array._fresh_grad:       # the backward pass has reached this array
                    gradient += old
                else:
                    gradient[:] = old
                    array._fresh_grad = fresh
