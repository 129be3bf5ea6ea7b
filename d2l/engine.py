"""How MXNet's engine uses threads and memory on a CPU: what a process is told before it imports
MXNet.

Each default gives way to the environment variable that says otherwise.
"""
import ctypes
import os

_M_ARENA_MAX = -8               # of mallopt(3)


def set_defaults():
    """Set what suits a CPU whose operators run one after another, each with all threads."""
    if 'OMP_NUM_THREADS' in os.environ:
        # Arrays of this many elements and more MXNet copies to and from NumPy in as many threads
        # again. Are there then more than cores, GNU's OpenMP lets all of them sleep between any two
        # operators, for good, and small networks take three times as long: none is this large.
        os.environ.setdefault('MXNET_CPU_PARALLEL_SIZE', str(2 ** 31 - 1))
    if os.environ.get('MXNET_CPU_WORKER_NTHREADS', '1') == '1':
        # Operators take turns with four workspaces, each as large as the largest that any of them
        # asked for. One does: no two run at a time.
        os.environ.setdefault('MXNET_CPU_TEMP_COPY', '1')
    if 'MALLOC_ARENA_MAX' not in os.environ:
        # What the engine's thread frees is of no use to Python's while each has a heap of its own.
        mallopt = getattr(ctypes.pythonapi, 'mallopt', None)    # there is none but GNU's
        if mallopt:
            mallopt(_M_ARENA_MAX, 1)
