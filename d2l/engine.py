"""Settings for threads and memory of MXNet's engine on a CPU, made before MXNet is imported.

Each setting is a default: an environment variable that the user has set is left as it is.
"""
import ctypes
import os

_M_ARENA_MAX = -8               # a parameter of mallopt(3): the largest number of heaps


def set_defaults():
    """Set defaults for a CPU on which operators run one after another, each with all threads."""
    if 'OMP_NUM_THREADS' in os.environ:
        # MXNet copies arrays with at least this many elements to and from NumPy with as many
        # threads again. If there are then more threads than cores, GNU's OpenMP lets all of them
        # sleep between operators from then on, and small networks take three times as long. No
        # array is as large as this value, so this never happens.
        os.environ.setdefault('MXNET_CPU_PARALLEL_SIZE', str(2 ** 31 - 1))
    if os.environ.get('MXNET_CPU_WORKER_NTHREADS', '1') == '1':
        # By default MXNet has four workspaces, which operators use in turn, each as large as the
        # largest request. One workspace is enough, as no two operators run at the same time.
        os.environ.setdefault('MXNET_CPU_TEMP_COPY', '1')
    if 'MALLOC_ARENA_MAX' not in os.environ:
        # If each thread has a heap of its own, Python's thread cannot use memory that the engine's
        # thread frees. So let all threads share one heap.
        mallopt = getattr(ctypes.pythonapi, 'mallopt', None)    # only the GNU C library has it
        if mallopt:
            mallopt(_M_ARENA_MAX, 1)
