"""Lets MXNet for arm64 compute with an OpenBLAS that pip brings.

Its wheel is linked with Arm Performance Libraries, which is not on PyPI, but needs no more of it
than some functions of BLAS and LAPACK. Where it is installed it is used; else the finder of
`d2l_finder` calls prepare() before mxnet is imported, by whomever, and a stand-in names OpenBLAS's.
"""
import ctypes
import os
import platform
from importlib.machinery import PathFinder

import d2l_standin
from d2l_compat import CORE, load_openblas
from d2l_finder import before

MACHINE = 'aarch64'
ARMPL = 'libarmpl_lp64_mp.so'
# and what else libmxnet.so names: faster forms of what libm and libc have
LIBRARIES = ARMPL, 'libamath.so', 'libastring.so'
# all that it needs of ARMPL, {} is for single and double precision
FUNCTIONS = [
    *(form.format(letter, name) for form, names in (
        ('cblas_{}{}', ('dot', 'gemm', 'ger', 'syrk', 'trmm', 'trsm')),
        ('{}{}_', ('gels', 'geqrf', 'gesdd', 'gesv', 'getrf', 'posv', 'potrf')),
        ('LAPACKE_{}{}', ('geev', 'gelqf', 'gesdd', 'gesv', 'gesvd', 'getrf', 'getri', 'orglq',
                          'potrf', 'potri', 'syevd')))
      for name in names for letter in 'sd'),
    'cblas_saxpy', 'cblas_cgemm', 'cblas_zgemm']
PACKAGE, PREFIX = 'scipy_openblas32', 'scipy_'      # the module, and what its functions begin with
# cblas_strsm of 0.3.31.188.0 is wrong on each CPU tried: QEMU's cortex-a72, neoverse-n1, v1, max
REQUIREMENT = 'scipy-openblas32==0.3.34.481.3'
AT_HWCAP2, SME = 26, 1 << 23                        # of Linux: what the CPU can do, and a bit of it


def loads(library):
    """Return whether a shared library can be loaded, by its name or path."""
    try:
        return bool(ctypes.CDLL(library))
    except OSError:
        return False


def has_sme():
    """Return whether the CPU has Arm's Scalable Matrix Extension: as QEMU 7.2 and 10.0 emulate it,
    cblas_sgemm of OpenBLAS 0.3.34 is wrong with its kernels for it."""
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(getauxval(AT_HWCAP2) & SME)


@before('mxnet')
def prepare(mxnet):
    """Load a stand-in for each of Arm's libraries that is not there, on arm64.

    Raises ImportError where there is neither ARMPL nor an OpenBLAS that can stand for it.
    """
    if platform.machine() != MACHINE:
        return
    folder = os.path.dirname(mxnet.__spec__.origin)
    for name in LIBRARIES:
        # libmxnet.so looks beside itself first
        if not loads(os.path.join(folder, name)) and not loads(name):
            d2l_standin.load(name, openblas() if name == ARMPL else {})


def openblas():
    """Return the addresses of FUNCTIONS in pip's OpenBLAS, name -> address.

    Raises ImportError, with what to do, where it is not there or cannot be used.
    """
    spec = PathFinder.find_spec(PACKAGE)
    if not spec or not spec.origin:
        raise ImportError(f'MXNet for arm64 needs an OpenBLAS, or Arm Performance Libraries '
                          f"({ARMPL}), and there is neither: python -m d2l_mxnet")
    cure = f"pip install --force-reinstall --no-deps '{REQUIREMENT}'"
    path = os.path.join(os.path.dirname(spec.origin), 'lib', 'libscipy_openblas.so')
    try:
        # every CPU has the kernels of ARMV8
        lib = load_openblas(path, 'ARMV8') if has_sme() and CORE not in os.environ \
            else ctypes.CDLL(path)
    except OSError as err:
        raise ImportError(f'the OpenBLAS of {PACKAGE} does not load ({err}): {cure}') from err
    lacking = [name for name in FUNCTIONS if not hasattr(lib, PREFIX + name)]
    if lacking:
        raise ImportError(f'{path} lacks {", ".join(lacking)}: {cure}')
    return {name: d2l_standin.address(lib, PREFIX + name) for name in FUNCTIONS}
