"""Prediction by ONNX Runtime: `d2l.compile(net, X, runtime='onnx')`.

ONNX Runtime runs in this process, with the graph that `export_onnx` writes. It reads and writes the
memory of MXNet's arrays without a copy. The file has the Parameters as constants, which ONNX
Runtime can fold and pack. Each call compares them with those of the net, and writes a new file if
one has changed. The first call of each signature compares the results with MXNet's.
"""
import ctypes
import inspect
import os
import tempfile

import numpy
from mxnet import autograd, np

from ..c_api import address
from ..hybrid.block import MAX_PROGRAMS, CompiledBlock, _signature
from ..hybrid.tree import Tree, unflatten
from .export import export_onnx, signature

FATAL = 4                           # log level: errors are raised, so they need not be logged, too
# (relative to the largest value, absolute): other orders of summation differ by less
TOLERANCES = 1e-3, 1e-5
ROUNDINGS = 8                       # as many units in the last place count as equal
EMPTY_BUFFER = ctypes.create_string_buffer(1)    # its address stands in for that of an empty array
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
    """Wait until an array is computed, and return an address of memory, also if it is empty."""
    return address(array) or ctypes.addressof(EMPTY_BUFFER)


def flat(result):
    """Return the arrays in a nested result as a list of NumPy arrays."""
    tree = Tree(apart=True)
    tree.flatten(result)
    return [array.asnumpy() for array in tree.arrays]


def close(a, b):
    """Return whether two arrays differ by no more than another order of summation in float32 can
    explain. Integers are not compared: an index such as argmax's may change if two values are
    almost equal."""
    if a.dtype.kind != 'f':
        return True
    finite = numpy.isfinite(b)
    relative, absolute = TOLERANCES
    relative = max(relative, ROUNDINGS * numpy.finfo(a.dtype).eps)      # larger for float16
    return numpy.array_equal(a[~finite], b[~finite], equal_nan=True) and (
        abs(a[finite] - b[finite]) <= relative * abs(b[finite]).max(initial=0) + absolute).all()


class Prediction:
    """A callable that computes a net, a Block or a function of arrays, by ONNX Runtime in predict
    mode. It takes and returns what the net does, and keeps a Session for each signature."""

    def __init__(self, net):
        self._runtime, self._sessions = _onnxruntime(), {}
        # flags such as static_alloc would not matter, as the net is traced and not run
        self._net = net if isinstance(net, CompiledBlock) else CompiledBlock(net, False, {})

    def __repr__(self):
        return f'{type(self).__name__}({self._net._net!r})'

    def prepare(self, *args):
        """Return the session for these arguments, and the arrays among them."""
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
        """Return all arguments in order without their names, as an ONNX file takes them."""
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
    """A session of ONNX Runtime with a net's graph for arguments of one signature."""

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
            self._session = self._opened(runtime, path, net)
        # the sources of the arrays that are constants in the file, and copies of these arrays
        self._held = [s for s in self._program.sources.values() if s.kind != 'input']
        self._copies = [self._program.value(source).copy().asnumpy() for source in self._held]
        # NumPy takes longer to give an address than memcmp to compare most Parameters
        self._memory = [(copy.ctypes.data, copy.nbytes) for copy in self._copies]
        self._inputs = [put.name for put in self._session.get_inputs()]
        self._outputs = [(out.name, tuple(out.shape), self._dtype(out.type))
                         for out in self._session.get_outputs()]

        right = self._program(tree, self._program.valid_state())
        try:
            found = self(tree.arrays)
        except Exception as error:
            raise self._cannot_run(net, error) from error
        for ours, expected in zip(flat(found), flat(right)):
            if not close(ours, expected):
                raise ValueError(f'ONNX Runtime computes something else than {net._name_of_net()}: '
                                 'compile it without runtime, and please report this')

    @classmethod
    def _opened(cls, runtime, path, net):
        """Return ONNX Runtime's session of a file. If it has no code for an operator into which it
        has joined others, they are left apart."""
        options = runtime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS') or 0)    # 0: all
        options.log_severity_level = FATAL
        levels = runtime.GraphOptimizationLevel
        for level in levels.ORT_ENABLE_ALL, levels.ORT_ENABLE_BASIC:
            options.graph_optimization_level = level
            try:
                return runtime.InferenceSession(path, options, ['CPUExecutionProvider'])
            except Exception as error:      # those of ONNX Runtime have no class in common
                raised = error
        raise cls._cannot_run(net, raised) from raised

    @staticmethod
    def _cannot_run(net, error):
        return ValueError(
            f'ONNX Runtime cannot run {net._name_of_net()}: {error}. It lacks some operators in '
            'float64 and in small integers: cast the net to float32, or compile it without runtime')

    @staticmethod
    def _dtype(text):
        """Return NumPy's dtype for a type of ONNX Runtime such as 'tensor(float)'."""
        name = text[len('tensor('):-1]
        return numpy.dtype({'float': 'float32', 'double': 'float64'}.get(name, name))

    def guards_hold(self):
        """Return whether the file is still valid: the attributes that the net reads and the values
        of its Parameters are unchanged."""
        state = self._program.valid_state()
        if state is None:
            return False
        arrays = [self._program.value(source, (), state) for source in self._held]
        return not any(_same(_address(array), *memory)
                       for array, memory in zip(arrays, self._memory))

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
