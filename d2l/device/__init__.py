"""The GPUs here, and which of them this MXNet can compute on; `python -m d2l.device` prints it.

mxnet-cu112 1.9.1 holds machine code for five compute capabilities and no PTX, which a driver could
translate for later ones. Code for 8.6 also runs on 8.9; none runs on 9.0.
"""
import ctypes
import functools
import typing
import warnings

import mxnet
from mxnet import npx

import d2l_cuda

MACHINE_CODE = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))
NO_DEVICE = 100                 # the driver's names for this error and for what is asked of a GPU
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
WHEEL = d2l_cuda.cuda_wheel()   # whether this MXNet is mxnet-cu112


class GPU(typing.NamedTuple):
    """A GPU as the driver describes it; capability is (9, 0) for 9.0."""
    name: str
    capability: tuple

    def __str__(self):
        return f'{self.name}, compute capability {dotted(self.capability)}'

    @property
    def runs(self):
        """Whether mxnet-cu112 has machine code for it: of the same major number, not a later
        one."""
        return any(self.capability[0] == major and self.capability[1] >= minor
                   for major, minor in MACHINE_CODE)


def dotted(*capabilities):
    """Return compute capabilities as text: (8, 0), (8, 6) -> '8.0, 8.6'."""
    return ', '.join(f'{major}.{minor}' for major, minor in capabilities)


def gpus():
    """Return the GPUs that the driver lists, in MXNet's order: what gpu(0) is comes first.

    Raises OSError where there is no driver, or where it answers with an error.
    """
    driver = ctypes.CDLL(d2l_cuda.DRIVER)

    def ask(function, *args):
        error = getattr(driver, function)(*args)
        if error:
            raise OSError(f'the NVIDIA driver fails, {function} answers error {error}')

    if driver.cuInit(0) == NO_DEVICE:
        return []
    ask('cuInit', 0)
    number, device, value = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, found = ctypes.create_string_buffer(256), []
    ask('cuDeviceGetCount', ctypes.byref(number))
    for i in range(number.value):
        ask('cuDeviceGet', ctypes.byref(device), i)
        ask('cuDeviceGetName', name, len(name), device)
        capability = []
        for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
            ask('cuDeviceGetAttribute', ctypes.byref(value), attribute, device)
            capability.append(value.value)
        found.append(GPU(name.value.decode(), tuple(capability)))
    return found


@functools.lru_cache(maxsize=None)              # once a process, so that it warns once
def _usable():
    try:
        found = gpus()
    except OSError as err:
        warnings.warn(f'{err}: d2l.try_gpu() answers with the CPU', RuntimeWarning, stacklevel=4)
        return ()
    for i, gpu in enumerate(found):
        if not gpu.runs:
            warnings.warn(
                f'gpu({i}) cannot be used ({gpu}): this MXNet has machine code for '
                f'{dotted(*MACHINE_CODE)} only. d2l.try_gpu() answers with the CPU',
                RuntimeWarning, stacklevel=4)
    return tuple(i for i, gpu in enumerate(found) if gpu.runs)


def usable() -> tuple:
    """Return the numbers of the GPUs that MXNet can compute on; the first call warns of the
    others."""
    if WHEEL and npx.gpu().device_type == 'gpu':    # `chapters run --devices` lets CPUs stand in
        return _usable()
    return tuple(range(npx.num_gpus()))


def try_gpu(i: int = 0) -> mxnet.Context:
    """gpu(i), or cpu() where there is none that MXNet can compute on (section 5.6)."""
    return npx.gpu(i) if i in usable() else npx.cpu()


def try_all_gpus() -> list:
    """Return all GPUs that MXNet can compute on, or [cpu()] where there is none (section 5.6)."""
    return [npx.gpu(i) for i in usable()] or [npx.cpu()]


def stand_in(gpus: int) -> None:
    """Let CPU contexts stand for so many GPUs, in this process, from now on: gpu(i) is cpu(i + 1).

    For the sections that need two (12.5, 12.6) in a notebook without; the results are the same, and
    nothing is faster. Say it at the top: `import d2l; d2l.device.stand_in(2)`.
    """
    def gpu(device_id=0):
        return mxnet.cpu(device_id + 1)     # cpu(0) is the CPU itself

    if gpus < 1:
        raise ValueError(f'{gpus} GPUs: at least one can be stood for')
    for module in (mxnet, mxnet.context, mxnet.npx):
        module.gpu, module.num_gpus = gpu, lambda: gpus
