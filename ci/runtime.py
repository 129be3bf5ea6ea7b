"""ONNX Runtime on the CPU, with as many threads as MXNet: what `d2l.export_onnx` writes, run."""
import os

import onnxruntime

FATAL = 4                           # errors are raised, and not logged too


def session(path):
    """Return the file at path, ready to run; raises onnxruntime's errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS', 0))    # 0: all cores
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider'])


def feed(runs, arrays):
    """Return {name: NumPy array}, which feeds MXNet arrays to the inputs of a session in their
    order."""
    return {i.name: a.asnumpy() for i, a in zip(runs.get_inputs(), arrays)}


def run(path, arrays):
    """Return the outputs of the file at path, as NumPy arrays."""
    runs = session(path)
    return runs.run(None, feed(runs, arrays))
