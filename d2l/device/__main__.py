"""Prints what MXNet finds on this machine, and what to do where it finds no GPU."""
import ctypes

import mxnet

import d2l
import d2l_cuda
from d2l import device


def libraries():
    """'CUDA 11.8, cuDNN 8.9.6', as mxnet-cu112 has loaded them."""
    major, minor = ctypes.c_int(), ctypes.c_int()       # NVRTC's: the runtime's needs a driver
    ctypes.CDLL('libnvrtc.so.11.2').nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    cudnn = ctypes.CDLL('libcudnn.so.8').cudnnGetVersion()
    return (f'CUDA {major.value}.{minor.value}, '
            f'cuDNN {cudnn // 1000}.{cudnn % 1000 // 100}.{cudnn % 100}')


def driver():
    """Return what the driver is for, its GPUs, and what is wrong with it (None where nothing
    is)."""
    problem = d2l_cuda.problem or d2l_cuda.driver_problem()
    if problem:
        return problem, [], problem
    version = ctypes.c_int()
    ctypes.CDLL(d2l_cuda.DRIVER).cuDriverGetVersion(ctypes.byref(version))
    text = f'knows CUDA {d2l_cuda.cuda_version(version.value)}'
    try:
        return text, device.gpus(), None
    except OSError as err:
        return text, [], str(err)


def advice(found, problem):
    """Return what to do where the CPU is used."""
    if problem == d2l_cuda.NO_DRIVER:
        return "if there is a GPU, install NVIDIA's driver"
    if problem:
        return problem
    if not found:
        return 'the driver lists no GPU: is CUDA_VISIBLE_DEVICES set?'
    if not any(gpu.runs for gpu in found):
        return ('no MXNet 1.9.1 computes on this GPU: use the CPU, or a GPU of compute '
                'capability 5.0 to 8.9')
    return "python -m d2l_mxnet cu112"


def main():
    """Print the report."""
    text, found, problem = driver()
    if device.WHEEL:
        print(f'MXNet      mxnet-cu112 {mxnet.__version__}, machine code for compute capability',
              device.dotted(*device.MACHINE_CODE))
        print(f'libraries  {libraries()}')
    else:
        print(f'MXNet      {mxnet.__version__}, without CUDA')
    print(f'driver     {text}')
    for i, gpu in enumerate(found):
        print(f"gpu({i})     {gpu}: mxnet-cu112 has {'' if gpu.runs else 'no '}machine code for it")
    context = d2l.try_gpu()
    hint = f': {advice(found, problem)}' if context.device_type == 'cpu' else ''
    print(f'd2l.try_gpu() is {context}{hint}')


if __name__ == '__main__':
    main()
