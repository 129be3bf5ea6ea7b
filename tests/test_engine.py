"""d2l.engine: threads and memory of a process that has imported d2l."""
import os
import sys

import pytest


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='counts threads in /proc')
def test_to_copy_a_large_array_starts_no_threads(python):
    """With more threads than cores, all of them would sleep between operators."""
    done = python('-c', '''if True:
        import os, numpy, d2l
        d2l.npx.set_np()
        X = d2l.np.ones((500, 500))
        X.dot(X).wait_to_read()
        before = len(os.listdir('/proc/self/task'))
        d2l.np.array(numpy.ones((1000, 1000))).asnumpy()
        print(len(os.listdir('/proc/self/task')) - before)
        ''', env={'OMP_NUM_THREADS': '2'})
    assert done.stdout == '0\n', done.stderr


WORKSPACES = r"""if True:
    import re, d2l
    d2l.npx.set_np()

    def memory():
        d2l.npx.waitall()
        return int(re.search(r'VmRSS:\s+(\d+)', open('/proc/self/status').read())[1]) / 1024
    X = d2l.np.ones((4000, 1000))
    before = memory()
    for _ in range(5):          # each with a workspace larger than X, of 15 MB
        d2l.np.sort(X, axis=None).wait_to_read()
    print(memory() - before)
    """


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='reads /proc')
def test_operators_share_one_workspace(python):
    """With MXNet's default of four workspaces, they take four times the memory."""
    ours, four = [float(python('-c', WORKSPACES, env=env).stdout)
                  for env in ({'MXNET_CPU_TEMP_COPY': '1'}, {'MXNET_CPU_TEMP_COPY': '4'})]
    assert four - ours > 3 * 15


@pytest.mark.parametrize('given, workspaces', [
    ({}, '1'), ({'MXNET_CPU_WORKER_NTHREADS': '2'}, 'None'), ({'MXNET_CPU_TEMP_COPY': '3'}, '3')])
def test_environment_variables_override_the_defaults(python, given, workspaces):
    done = python('-c', f"""if True:
        import os
        os.environ.pop('MXNET_CPU_TEMP_COPY', None)
        os.environ.update({given})
        import d2l
        print(os.environ.get('MXNET_CPU_TEMP_COPY'))""")
    assert done.stdout == workspaces + '\n', done.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason="GNU's malloc")
def test_all_threads_share_one_heap(python):
    """malloc_info(3) lists the heaps."""
    done = python('-c', """if True:
        import ctypes, d2l
        d2l.npx.set_np()
        X = d2l.np.ones((1000, 1000))
        X.dot(X).wait_to_read()
        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        file = ctypes.c_void_p(libc.fopen(b'/dev/stdout', b'w'))
        libc.malloc_info(0, file)
        libc.fclose(file)""", env={'OMP_NUM_THREADS': '2'})
    assert done.stdout.count('<heap nr=') == 1, done.stdout + done.stderr
