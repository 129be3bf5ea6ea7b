"""Prediction by ONNX Runtime: `d2l.compile(net, X, runtime='onnx')`.

The graph that `export_onnx` writes, run in this process. MXNet's arrays are read and written where
they lie, without a copy. The file holds the Parameters as constants, which ONNX Runtime folds and
packs; each call compares them with those of the net, and writes the file anew if one has changed.
The first call of each signature compares the results with MXNet's.
"""
import ctypes
import inspect
import os
import tempfile

import numpy
from mxnet import autograd, np
from mxnet.base import _LIB, check_call

from ..hybrid.block import MAX_PROGRAMS, CompiledBlock, _signature
from ..hybrid.tree import Tree, unflatten
from .export import export_onnx, signature

FATAL = 4                           # errors are raised, and not logged, too
# of the largest number, and at all: no order of summation does that
TOLERANCES = 1e-3, 1e-5
EMPTY_BUFFER = ctypes.create_string_buffer(1)    # where an array without numbers lies
_same = ctypes.CDLL(None).memcmp
_same.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t


def _onnxruntime():
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != 'onnxruntime':
            raise
        raise ImportError("runtime='onnx' needs ONNX Runtime: pip install onnxruntime") from None
    return onnxruntime


def _address(array):
    """Where an array's values lie in memory, once they are computed."""
    array.wait_to_read()
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or ctypes.addressof(EMPTY_BUFFER)


def flat(result):
    """The arrays in a result, as NumPy arrays."""
    tree = Tree(apart=True)
    tree.flatten(result)
    return [array.asnumpy() for array in tree.arrays]


def close(a, b):
    """Whether two arrays differ by what another order of summation makes of float32; integers may
    be those of the other of two numbers that are about as large."""
    if a.dtype.kind != 'f':
        return True
    finite = numpy.isfinite(b)
    relative, absolute = TOLERANCES
    return (finite == numpy.isfinite(a)).all() and (
        abs(a[finite] - b[finite]) <= relative * abs(b[finite]).max(initial=0) + absolute).all()


class Prediction:
    """A net, a Block or a function of arrays, that ONNX Runtime computes in predict mode: called
    with arrays as the net is, it returns what the net does. A session for each signature."""

    def __init__(self, net):
        self._runtime, self._sessions = _onnxruntime(), {}
        # static_alloc is for running it, and here it is but traced
        self._net = net if isinstance(net, CompiledBlock) else CompiledBlock(net, False, {})

    def __repr__(self):
        return f'{type(self).__name__}({self._net._net!r})'

    def prepare(self, *args):
        """The session for these arguments, ready to run, and the arrays among them."""
        key, tree = _signature(args, {}, apart=True)
        session = self._sessions.get(key)
        if session is None or not session.guards_hold():
            if session is None and len(self._sessions) == MAX_PROGRAMS:
                del self._sessions[next(iter(self._sessions))]
            session = self._sessions[key] = Session(self._runtime, self._net, args, tree)
        return session, tree.arrays

    def __call__(self, *args, **kwargs):
        if autograd.is_recording() or autograd.is_training():
            raise RuntimeError(
                "a net with runtime='onnx' predicts, it has no gradients and no training "
                'mode: train the net itself, or d2l.compile(net) without runtime')
        session, leaves = self.prepare(*(self._in_order(args, kwargs) if kwargs else args))
        return session(leaves)

    def _in_order(self, args, kwargs):
        """All arguments without their names, as a file of ONNX has them."""
        of_net = signature(self._net)
        bound = of_net.bind(*args, **kwargs)
        named = [name for name in kwargs if name not in of_net.parameters
                 or of_net.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY]
        if named:
            raise TypeError(f"runtime='onnx' takes no arguments by name only, {named}: "
                            f'compile {self._net._name_of_net()} without runtime')
        bound.apply_defaults()
        return bound.args


class Session:
    """A net's graph for arguments of one signature, in ONNX Runtime."""

    def __init__(self, runtime, net, args, tree):
        self._program, _ = net.program(*args, apart=True)
        if any(array.ctx.device_type != 'cpu' for array in tree.arrays):
            raise ValueError("runtime='onnx' computes on the CPU, and an argument is on a GPU")
        if self._program.changes:
            raise ValueError(
                f'{net._name_of_net()} changes its own state when it is called, which a '
                'file of ONNX does not: compile it without runtime')
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'net.onnx')
            export_onnx(net, path, *args)
            options = runtime.SessionOptions()
            options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS', 0))    # 0: all
            options.log_severity_level = FATAL
            self._session = runtime.InferenceSession(path, options, ['CPUExecutionProvider'])
        # sources of all that the file holds as a constant, and what they held
        self._held = [s for s in self._program.sources.values() if s[0] != 'input']
        self._copies = [self._program.value(source).copy().asnumpy() for source in self._held]
        self._inputs = [put.name for put in self._session.get_inputs()]
        self._outputs = [(out.name, tuple(out.shape), self._dtype(out.type))
                         for out in self._session.get_outputs()]

        right = self._program(tree, self._program.valid_state())
        for ours, expected in zip(flat(self(tree.arrays)), flat(right)):
            if not close(ours, expected):
                raise ValueError(f'ONNX Runtime computes something else than {net._name_of_net()}: '
                                 'compile it without runtime, and please report this')

    @staticmethod
    def _dtype(text):
        """NumPy's dtype for ONNX Runtime's 'tensor(float)'."""
        name = text[len('tensor('):-1]
        return numpy.dtype({'float': 'float32', 'double': 'float64'}.get(name, name))

    def guards_hold(self):
        """Whether the net is still what the file says: its attributes and its Parameters'
        values."""
        state = self._program.valid_state()
        if state is None:
            return False
        arrays = [self._program.value(source, (), state) for source in self._held]
        return not any(_same(_address(array), copy.ctypes.data, copy.nbytes)
                       for array, copy in zip(arrays, self._copies))

    def __call__(self, leaves):
        binding = self._session.io_binding()
        for name, array in zip(self._inputs, leaves):
            binding.bind_input(name, 'cpu', 0, numpy.dtype(array.dtype), array.shape,
                               _address(array))
        results = [np.empty(shape, dtype=dtype) for _, shape, dtype in self._outputs]
        for (name, shape, dtype), array in zip(self._outputs, results):
            binding.bind_output(name, 'cpu', 0, dtype, shape, _address(array))
        self._session.run_with_iobinding(binding)
        return unflatten(self._program.result, iter(results))
