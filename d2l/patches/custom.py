"""Functions with a backward pass of the user's own: `autograd.Function`."""
import contextlib
import ctypes
import functools
import os
import threading
import traceback

NULL, ADD = 0, 3        # MXNet's numbers of grad_req 'null' and 'add'; others mean 'write'


def repair_functions():
    """Let `autograd.Function` compute the gradients of all arguments that want one. MXNet leaves
    those with grad_req 'add' at 0, and what lies in memory in those after an argument that wants
    none. It passes arrays of mx.nd to the backward pass of arrays of mx.np, loses the gradient of
    an argument that `forward` returns as it is, and records no more after an exception in it."""
    from mxnet import autograd, nd, np, util
    from mxnet.autograd import Function

    from d2l.c_api import LIBRARY, is_recording

    call, entry_type = Function.__call__, Function._bwd_functype

    @functools.wraps(call)
    def __call__(self, *inputs):
        forward, given = self.forward, {id(array) for array in inputs}

        def forward_with_copies(*inputs):
            """Return copies of the results that are arguments. MXNet gives each result a new place
            on the tape, and an argument would lose its own."""
            found = forward(*inputs)
            results = (found,) if isinstance(found, nd.NDArray) else found
            results = [array.copy() if id(array) in given else array for array in results]
            if isinstance(found, nd.NDArray):
                return results[0]
            return getattr(type(found), '_make', type(found))(results)      # a namedtuple has _make
        self._array_type = np.ndarray if np.ndarray in map(type, inputs) else nd.NDArray
        self._array_semantics = util.np_array(util.is_np_array())
        self.forward, recording = forward_with_copies, is_recording()
        try:
            return call(self, *inputs)
        finally:
            del self.forward
            if is_recording() != recording:     # forward has raised an exception
                autograd.set_recording(recording)
    Function.__call__ = __call__

    def entry(of_mxnet):
        """Return the function that MXNet calls in the backward pass, in place of its own."""
        cells = dict(zip(of_mxnet.__code__.co_freevars, of_mxnet.__closure__))
        return entry_type(functools.partial(_backward, cells['self'].cell_contents))
    Function._bwd_functype = staticmethod(entry)
    LIBRARY.MXAutogradBackwardEx = functools.partial(_backward_pass, LIBRARY.MXAutogradBackwardEx)


class _Running(threading.local):
    """The `autograd.Function` whose backward pass runs in this thread."""
    function = None


_RUNNING = _Running()


@contextlib.contextmanager
def _runs_here(function):
    before, _RUNNING.function = _RUNNING.function, function
    try:
        yield
    finally:
        _RUNNING.function = before


def _backward_pass(original, count, heads, *rest):
    """Refuse the backward pass of a Function in that of another one, where it may never end: two
    threads pass operators to MXNet's engine that use the same workspace."""
    function = _RUNNING.function
    if function is None:
        return original(count, heads, *rest)
    from mxnet import nd

    from d2l import c_api, graphs

    if function._array_type is not nd.NDArray \
            and os.environ.get('MXNET_CPU_TEMP_COPY') == '1' and any(
                node['op'] == '_CustomFunction' for graph in c_api.graphs_of(count, heads)
                for node in graphs.from_symbol(graph)['nodes']):
        raise RuntimeError(
            f'{type(function).__name__}.backward computes gradients through another '
            'autograd.Function, which may wait for ever: set MXNET_CPU_TEMP_COPY=4 in the '
            'environment before Python starts')
    return original(count, heads, *rest)


def _described(value):
    shape = getattr(value, 'shape', None)
    return f'a {type(value).__name__}' if shape is None else f'an array of shape {shape}'


def _backward(function, heads, count, handles, reqs, is_training, state):
    """Run the backward pass of an `autograd.Function`, and return whether there was no error.

    heads: number of the gradients that it gets; count: number of those that it computes
    handles: all these, as arrays of the C library; reqs: grad_req of each that it computes
    """
    from mxnet.base import NDArrayHandle

    try:
        arrays = [function._array_type(ctypes.cast(handles[i], NDArrayHandle), writable=i >= heads)
                  for i in range(heads + count)]
        name = f'{type(function).__name__}.backward'
        with function._array_semantics, _runs_here(function):   # this is another thread
            found = function.backward(*arrays[:heads])
            found = found if isinstance(found, (list, tuple)) else (found,)
            if len(found) != count:
                raise ValueError(f'{name} returns {len(found)} gradients for {count} arguments of '
                                 'forward')
            for i, (array, gradient, req) in enumerate(zip(arrays[heads:], found, reqs[:count])):
                if req != NULL and getattr(gradient, 'shape', None) != array.shape:
                    raise TypeError(
                        f'{name} returns {_described(gradient)} as gradient of argument {i} of '
                        f'forward, which wants an array of shape {array.shape}')
                if req == ADD:
                    array += gradient
                elif req != NULL:
                    array[... if array.ndim else ()] = gradient
        return True
    except Exception:       # it cannot go through the C library, which raises one of its own
        traceback.print_exc()
        return False
