"""Runs files of `d2l.export_onnx` by ONNX Runtime on the CPU, with as many threads as MXNet."""
import os

import onnxruntime

FATAL = 4                           # log level: errors are raised, so they need not be logged, too


def session(path):
    """Return a session for the file at path. Raises onnxruntime's errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS', 0))    # 0: all cores
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider'])


def feed(runs, arrays):
    """Return {name of an input: NumPy array} for a session, from its MXNet arrays in order."""
    return {i.name: a.asnumpy() for i, a in zip(runs.get_inputs(), arrays)}


def run(path, arrays):
    """Run the file at path, and return its outputs as NumPy arrays."""
    runs = session(path)
    return runs.run(None, feed(runs, arrays))
