"""Operators of the user's own: `autograd.Function`, and custom operators of `mx.operator`."""
import contextlib
import ctypes
import functools
import os
import traceback

NULL, ADD = 0, 3        # MXNet's numbers of grad_req 'null' and 'add'; others mean 'write'


def repair_functions():
    """Let `autograd.Function` compute the gradients of all arguments that want one. MXNet leaves
    those with grad_req 'add' at 0, and what lies in memory in those after an argument that wants
    none. It passes arrays of mx.nd to the backward pass of arrays of mx.np, loses the gradient of
    an argument that `forward` returns as it is, and records no more after an exception in it."""
    from mxnet import autograd, nd, np, util
    from mxnet.autograd import Function

    from d2l.c_api import is_recording

    call, entry_type = Function.__call__, Function._bwd_functype

    @functools.wraps(call)
    def __call__(self, *inputs):
        forward, recording = self.forward, is_recording()

        def forward_with_copies(*inputs):
            """Return copies of the results that are arguments, or that were returned before. MXNet
            gives each result a new place on the tape, and an argument would lose its own."""
            found = forward(*inputs)
            if not recording:
                return found
            if isinstance(found, nd.NDArray):
                return _apart([found], inputs)[0]
            if not isinstance(found, (list, tuple)):
                return _apart(found, inputs)
            results = _apart(found, inputs)
            if all(new is old for new, old in zip(results, found)):
                return found
            if isinstance(found, list):
                found[:] = results
                return found
            rebuilt = tuple.__new__(type(found), results)   # its class may take other arguments
            if hasattr(found, '__dict__'):
                vars(rebuilt).update(vars(found))
            return rebuilt
        self._array_type = np.ndarray if np.ndarray in map(type, inputs) else nd.NDArray
        self._array_semantics = util.np_array(util.is_np_array())
        self.forward = forward_with_copies
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


def _apart(results, inputs):
    """Return these results, with copies of those that are inputs or that came before."""
    seen, found = {id(array) for array in inputs}, []
    for array in results:
        found.append(array.copy() if id(array) in seen else array)
        seen.add(id(array))
    return found


def let_custom_operators_finish():
    """Let each call of a custom operator of the user's wait until its workspaces are free."""
    from mxnet import operator

    register = operator.register

    @functools.wraps(register)
    def register_finishing(reg_name):
        def do_register(prop_cls):
            register(reg_name)(lambda **kwargs: _Maker(prop_cls(**kwargs)))
            return prop_cls
        return do_register
    operator.register = register_finishing


class _Maker:
    """Stands in for the CustomOpProp of a custom operator. Its operators are _Finishing."""

    def __init__(self, prop):
        self._prop = prop

    def __getattr__(self, name):
        return getattr(self._prop, name)

    def create_operator(self, *args):
        """Make the operator."""
        return _Finishing(self._prop.create_operator(*args))


class _Finishing:
    """A custom operator of the user's whose calls wait until the thread's workspaces are free."""

    def __init__(self, op):
        self._op = op

    def forward(self, **arguments):
        """Compute the results."""
        self._call('forward', arguments)

    def backward(self, **arguments):
        """Compute the gradients."""
        self._call('backward', arguments)

    def _call(self, name, arguments):
        from mxnet import context

        with _workspaces_free_at_the_end({context.current_context()}):
            getattr(self._op, name)(**arguments)


@contextlib.contextmanager
def _workspaces_free_at_the_end(contexts):
    """Wait at the end until no operator of this thread in MXNet's queue needs a workspace.

    MXNet calls custom operators and backward passes of Functions in threads of its own, in each one
    after another. Operators use a thread's workspaces in the order in which they were passed. One
    that waits for a Function that the same thread calls later would keep a workspace from that
    Function's operators for ever.
    """
    from mxnet import autograd, nd

    # MXNet's defaults are 4 for a CPU and 1 for a GPU; operators take them in turn
    workspaces = max(int(os.environ.get(name) or 4)
                     for name in ('MXNET_CPU_TEMP_COPY', 'MXNET_GPU_TEMP_COPY'))
    try:
        yield
    finally:
        with autograd.pause():
            for device in contexts:
                array = nd.zeros(1, device)
                for result in [nd.sum(array) for _ in range(workspaces)]:
                    result.wait_to_read()


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
        with function._array_semantics, _workspaces_free_at_the_end(
                {array.context for array in arrays}):       # this is another thread
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
