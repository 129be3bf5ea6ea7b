"""Lets mxnet-cu112 find CUDA 11 where pip puts it, and start where there is no NVIDIA driver.

The finder of `d2l_finder` calls prepare() before mxnet is imported, by whomever.
"""
import _ctypes
import ctypes
import glob
import os
import sys
import warnings
from importlib.machinery import PathFinder

import d2l_standin
from d2l_finder import after, before

# (folder below site-packages/nvidia, file, what pip calls it): what libmxnet.so is linked with
LIBRARIES = (
    ('cuda_runtime', 'libcudart.so.11.0', 'nvidia-cuda-runtime-cu11==11.8.89'),
    ('nvtx', 'libnvToolsExt.so.1', 'nvidia-nvtx-cu11==11.8.86'),
    ('cuda_nvrtc', 'libnvrtc.so.11.2', 'nvidia-cuda-nvrtc-cu11==11.8.89'),
    ('cublas', 'libcublas.so.11', 'nvidia-cublas-cu11==11.11.3.6'),
    ('cufft', 'libcufft.so.10', 'nvidia-cufft-cu11==10.9.0.58'),
    ('curand', 'libcurand.so.10', 'nvidia-curand-cu11==10.3.0.86'),
    ('cusolver', 'libcusolver.so.11', 'nvidia-cusolver-cu11==11.4.1.48'),       # needs cublas
    ('nccl', 'libnccl.so.2', 'nvidia-nccl-cu11==2.21.5'),
    ('cudnn', 'libcudnn.so.8', 'nvidia-cudnn-cu11==8.9.6.50'),
)
REQUIREMENTS = ['mxnet-cu112==1.9.1', *(requirement for *_, requirement in LIBRARIES)]

DRIVER = 'libcuda.so.1'
FUNCTIONS = (                           # of the driver: what MXNet and the CUDA runtime ask for
    'cuInit', 'cuDriverGetVersion', 'cuDeviceGet', 'cuDevicePrimaryCtxRetain', 'cuGetErrorString',
    'cuGraphKernelNodeGetParams', 'cuGraphNodeGetType', 'cuLaunchKernel', 'cuModuleGetFunction',
    'cuModuleLoadData', 'cuModuleLoadDataEx', 'cuModuleUnload')
OLDEST = 11000                          # CUDA 11.0, as cuDriverGetVersion writes it
# a function that answers CUDA_ERROR_NO_DEVICE: mov eax, 100; ret
NO_DEVICE = bytes.fromhex('b864000000c3')
NO_DRIVER = f'there is no NVIDIA driver (no {DRIVER})'
GPU = 2                                 # MXNet's number for this type of device

# why mxnet-cu112 does without the driver; None where it uses one, or is not here
problem = None


@before('mxnet')
def prepare(mxnet):
    """Load the driver and the libraries of mxnet-cu112, where it is what is imported as mxnet.

    Raises ImportError where libraries are missing, or where mxnet is installed beside it.
    Warns where there is a driver that cannot be used, and goes on without one.
    """
    if not cuda_wheel(mxnet.__spec__):
        return
    if glob.glob(os.path.join(_site_packages(mxnet.__spec__), 'mxnet-*.dist-info')):
        raise ImportError('both mxnet and mxnet-cu112 are installed, and they own the same folder: '
                          'pip uninstall -y mxnet mxnet-cu112; python -m d2l_mxnet cu112')
    _load_driver()
    _load_libraries()
    # it would warn that these are not the versions it was built with
    os.environ.setdefault('MXNET_CUDA_LIB_CHECKING', '0')
    os.environ.setdefault('MXNET_CUDNN_LIB_CHECKING', '0')


@after('mxnet')
def without_gpus(mxnet):
    """Refuse arrays on a GPU where mxnet-cu112 does without the driver."""
    if problem and cuda_wheel(mxnet.__spec__):
        _refuse_gpus()


def cuda_wheel(spec=None):
    """Return whether the mxnet that is (or would be) imported is the wheel mxnet-cu112."""
    spec = spec or PathFinder.find_spec('mxnet')
    return bool(spec and spec.origin and
                glob.glob(os.path.join(_site_packages(spec), 'mxnet_cu112-*.dist-info')))


def _site_packages(spec):
    return os.path.dirname(os.path.dirname(spec.origin))


def _load_libraries():
    """Load the wheels' libraries, or where there is none the system's: libmxnet.so then finds them
    by name. One ImportError says all that is missing."""
    failed, options = {}, ''
    for folder, file, requirement in LIBRARIES:
        paths = [os.path.join(entry, 'nvidia', folder, 'lib', file) for entry in sys.path]
        path = next(filter(os.path.exists, paths), file)
        try:
            ctypes.CDLL(path)
        except OSError as err:
            failed[requirement] = str(err)
            if path != file:            # it is there, and broken
                options = '--force-reinstall --no-deps '
    if failed:
        raise ImportError(f"mxnet-cu112 needs CUDA libraries ({'; '.join(failed.values())}): "
                          f"pip install {options}{' '.join(failed)}")


def _load_driver():
    """Load the driver, or a stand-in where it cannot be used."""
    global problem
    if problem:                         # loaded by an earlier attempt to import mxnet
        return
    problem = driver_problem()
    if problem:
        if problem != NO_DRIVER:
            warnings.warn(f'{problem}. MXNet computes on the CPU', RuntimeWarning, stacklevel=2)
        d2l_standin.load(DRIVER, dict.fromkeys(FUNCTIONS, 0), NO_DEVICE)


def driver_problem():
    """Load the driver; return what is wrong with it and what to do, or None where nothing is."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as err:
        if str(err).startswith(f'{DRIVER}: cannot open shared object file: No such file'):
            return NO_DRIVER
        return f'the NVIDIA driver does not load ({err}): reinstall it'
    version, lacking = ctypes.c_int(), [name for name in FUNCTIONS if not hasattr(driver, name)]
    error = None if 'cuDriverGetVersion' in lacking \
        else driver.cuDriverGetVersion(ctypes.byref(version))
    found = None
    if error == 0 and version.value < OLDEST:
        found = (f'the NVIDIA driver is too old, it knows CUDA {cuda_version(version.value)}: '
                 f'CUDA {cuda_version(OLDEST)} or later is needed, driver 450.80 or later')
    elif lacking or error:
        why = f'it lacks {lacking[0]}' if lacking else f'cuDriverGetVersion answers error {error}'
        found = f'the {DRIVER} found is no NVIDIA driver ({why}): reinstall the driver'
    if found:
        _ctypes.dlclose(driver._handle)     # or libmxnet.so would find it by name
    return found


def cuda_version(number):
    """11020 -> '11.2'"""
    return f'{number // 1000}.{number % 1000 // 10}'


def _refuse_gpus():
    """Let an array on a GPU raise: without a driver MXNet would end the process when it is
    freed."""
    from mxnet import base

    def checked(create, position):
        def call(*args):
            if args[position].value == GPU:
                raise base.MXNetError(f'no array can be on a GPU: {problem}')
            return create(*args)
        return call

    for name, position in (('MXNDArrayCreateEx', 2), ('MXNDArrayCreateSparseEx', 3)):
        setattr(base._LIB, name, checked(getattr(base._LIB, name), position))
