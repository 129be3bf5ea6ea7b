"""A shared library, made in memory, that stands for one which is not there: an NVIDIA driver
(`d2l_cuda`), Arm's libraries (`d2l_arm`). libmxnet.so finds by its name what is loaded already.
"""
import ctypes
import os
import platform
import struct

MACHINES = {'x86_64': 62, 'aarch64': 183}       # as an ELF file numbers them
PAGE = 65536                            # the largest that a kernel for one of these has
ABSOLUTE = 0xfff1                       # the section of a symbol whose value is an address as it is


def library(name, functions, code=b'', machine=None):
    """Return a shared library for a machine (default: this one), as bytes.

    name: its SONAME, by which others need it.
    functions: the name of each -> its address, in this process, or where there is code, in that.
    """
    names = b'\0' + b'\0'.join(text.encode() for text in (name, *functions)) + b'\0'
    code = code.ljust(-(-len(code) // 8) * 8, b'\0')
    start = 64 + 4 * 56                                             # behind the headers below
    section, base = (1, start) if code else (ABSOLUTE, 0)
    symbols = start + len(code)
    table = symbols + 24 * (1 + len(functions))
    strings = table + 4 * (4 + len(functions))
    text = code + bytes(24) + b''.join(
        struct.pack('<IBBHQQ', names.index(b'\0' + function.encode() + b'\0') + 1, 0x12, 0, section,
                    base + address, 0)
        for function, address in functions.items())
    # a hash table of one bucket: a chain of all symbols, of which the last is followed by none
    chain = [*range(1, 1 + len(functions)), 0]
    text += struct.pack(f'<{4 + len(functions)}I', 1, 1 + len(functions), chain[0], 0, *chain[1:])
    text += names
    tags = struct.pack('<14Q', 14, 1, 4, table, 5, strings, 6, symbols, 10, len(names), 11, 24, 0,
                       0)
    header = struct.pack('<16sHHIQQQIHHHHHH', b'\x7fELF\x02\x01\x01', 3,
                         MACHINES[machine or platform.machine()], 1, 0, 64, 0, 0, 64, 56, 4, 0, 0,
                         0)
    for kind, flags, offset, size in ((1, 5, 0, start + len(text)),     # load: read, execute
                                      (1, 6, PAGE, len(tags)),          # load: read, write
                                      (2, 6, PAGE, len(tags)),          # the dynamic section
                                      (0x6474e551, 6, 0, 0)):           # no executable stack
        header += struct.pack('<IIQQQQQQ', kind, flags, offset, offset, offset, size, size,
                              PAGE if kind == 1 else 8)
    return (header + text).ljust(PAGE, b'\0') + tags


def load(name, functions, code=b''):
    """Load such a library for the life of this process; nothing is written to disk.

    Raises ImportError where the system's loader adds to addresses of this process.
    """
    # its file stays open: another one of this number would be taken for the same library
    file = os.memfd_create(name)
    os.write(file, library(name, functions, code))
    lib = ctypes.CDLL(f'/proc/self/fd/{file}')
    if not code and any(address(lib, function) != functions[function] for function in functions):
        raise ImportError('glibc 2.28 or later is needed, of 2018: take a newer system, or image')
    return lib


def address(lib, function):
    """Return the address of a function of a library, by its name."""
    return ctypes.cast(getattr(lib, function), ctypes.c_void_p).value
