"""d2l_standin: shared libraries made in memory."""
import ctypes
import math
import platform
import struct

import pytest

import d2l_standin
from tests.support import CC, compiled

LOAD, DYNAMIC, HASH, STRINGS, SYMBOLS, SONAME = 1, 2, 4, 5, 6, 14      # as elf.h numbers them


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def parsed(elf):
    """Read a library as the loader does, by the program headers alone. Return (machine, tags of the
    dynamic section, {symbol: (section, value)}, a function that returns the string at an
    offset)."""
    assert elf[:6] == b'\x7fELF\x02\x01'
    kind, machine = struct.unpack_from('<HH', elf, 16)
    assert kind == 3                                            # a shared object
    at, = struct.unpack_from('<Q', elf, 32)
    size, count = struct.unpack_from('<HH', elf, 54)
    segments = [struct.unpack_from('<IIQQQQQQ', elf, at + i * size) for i in range(count)]
    assert all(offset + length <= len(elf) and (offset - start) % align == 0 and start % 8 == 0
               for _, _, offset, start, _, length, _, align in segments)
    (dynamic,) = (segment for segment in segments if segment[0] == DYNAMIC)
    tags = {}
    for tag, value in struct.iter_unpack('<QQ', elf[dynamic[2]:dynamic[2] + dynamic[5]]):
        tags.setdefault(tag, []).append(value)

    def string(offset):
        start = tags[STRINGS][0] + offset
        return elf[start:elf.index(b'\0', start)].decode()

    buckets, number = struct.unpack_from('<II', elf, tags[HASH][0])
    symbols = {}
    for i in range(1, number):
        name, _, _, section, value, _ = struct.unpack_from('<IBBHQQ', elf,
                                                           tags[SYMBOLS][0] + 24 * i)
        symbols[string(name)] = section, value
    return machine, tags, symbols, string


@pytest.mark.parametrize('machine, number', [('x86_64', 62), ('aarch64', 183)])
@pytest.mark.parametrize('functions', [{}, {'one': 0x1234}, {'one': 0x1234, 'another': 0x7fff0008}])
def test_what_is_written(machine, number, functions):
    found, tags, symbols, string = parsed(d2l_standin.library('libthere.so.1', functions,
                                                              machine=machine))
    assert found == number
    assert [string(offset) for offset in tags[SONAME]] == ['libthere.so.1']
    assert not tags.keys() - {0, HASH, STRINGS, SYMBOLS, SONAME, 10, 11}     # so nothing is NEEDED
    assert symbols == {name: (0xfff1, value) for name, value in functions.items()}


def test_the_layout_fits_the_largest_page():
    """A kernel with pages of 64 KiB can give the two loaded segments permissions of their own."""
    elf = d2l_standin.library('libthere.so', {'one': 1}, machine='aarch64')
    loads = [segment for i in range(4)
             for segment in [struct.unpack_from('<IIQQQQQQ', elf, 64 + 56 * i)]
             if segment[0] == LOAD]
    assert {segment[1] for segment in loads} == {5, 6}  # no segment is both writable and executable
    assert all(segment[7] == 65536 and segment[3] % 65536 == 0 for segment in loads)


def test_functions_are_found_under_their_new_names():
    libm = ctypes.CDLL('libm.so.6')
    lib = d2l_standin.load('libnames_of_ours.so', {'our_cos': address(libm.cos),
                                                   'our_pow': address(libm.pow)})
    lib.our_cos.restype = lib.our_pow.restype = ctypes.c_double
    assert lib.our_cos(ctypes.c_double(1.5)) == math.cos(1.5)
    assert lib.our_pow(ctypes.c_double(1.5), ctypes.c_double(2.5)) == 1.5 ** 2.5
    assert not hasattr(lib, 'cos')
    assert hasattr(ctypes.CDLL('libnames_of_ours.so'), 'our_cos')    # now it is found by its name


def test_several_stand_ins_are_loaded_one_after_another():
    """The loader knows a library by its path, which has the number of an open file."""
    libm = ctypes.CDLL('libm.so.6')
    for name in 'first', 'second', 'third':
        lib = d2l_standin.load(f'lib{name}_of_many.so', {name: address(libm.cos)})
        assert hasattr(lib, name)


def test_a_loader_that_moves_the_addresses_is_refused(monkeypatch):
    monkeypatch.setattr(d2l_standin, 'ABSOLUTE', 1)     # as glibc before 2.28 reads any symbol
    with pytest.raises(ImportError, match='2.28'):
        d2l_standin.load('libmoved.so', {'our_cos': address(ctypes.CDLL('libm.so.6').cos)})


@pytest.mark.skipif(not CC, reason='needs a C compiler')
def test_what_is_linked_with_it_finds_its_functions(python, tmp_path):
    """As libmxnet.so is linked with Arm's libraries, which are not there."""
    for name, source, options in (
            ('libgone.so', 'double gone(double x) { return 0; }', ()),
            ('libuser.so', 'double gone(double); double ask(double x) { return gone(x); }',
             ('-L', tmp_path, '-lgone'))):
        compiled(tmp_path / name, source, *options)
    (tmp_path / 'libgone.so').unlink()
    code = (f'import ctypes\nuser = {str(tmp_path / "libuser.so")!r}\n'
            'try:\n    ctypes.CDLL(user)\nexcept OSError as err:\n    print(err)\n'
            'import d2l_standin\n'
            'cos = ctypes.cast(ctypes.CDLL("libm.so.6").cos, ctypes.c_void_p).value\n'
            'd2l_standin.load("libgone.so", {"gone": cos})\n'
            'ask = ctypes.CDLL(user).ask\nask.restype = ctypes.c_double\n'
            'print(ask(ctypes.c_double(1.5)))')
    done = python('-c', code)
    assert done.stdout == ('libgone.so: cannot open shared object file: No such file or directory\n'
                           f'{math.cos(1.5)}\n'), done.stderr


def test_this_machine_is_known():
    assert platform.machine() in d2l_standin.MACHINES
