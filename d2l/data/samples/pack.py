"""Archives with the same bytes on every machine.

Compressed bytes differ between builds of zlib, so files are stored here without compression.
The random numbers of the sample makers come from `numpy.random.RandomState.randint` with a dtype
and from `random.Random.random`: both streams are frozen by their projects.
"""
import io
import struct
import tarfile
import zipfile
import zlib

MAX_STORED = 0xffff                      # bytes in one stored block (RFC 1951, 3.2.4)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)         # the earliest date that a zip file can hold
UNIX, PLAIN_FILE = 3, 0o100644 << 16     # without these a zip names the system that made it


def gzip_stored(data):
    """Return the bytes of a gzip file of uncompressed blocks, without a name or time (RFC 1952).

    data: bytes
    """
    parts = [b'\x1f\x8b\x08\0\0\0\0\0\0\xff']
    for start in range(0, max(len(data), 1), MAX_STORED):
        block = data[start:start + MAX_STORED]
        last = start + MAX_STORED >= len(data)
        parts += [struct.pack('<BHH', last, len(block), len(block) ^ 0xffff), block]
    parts.append(struct.pack('<II', zlib.crc32(data), len(data) & 0xffffffff))
    return b''.join(parts)


def zip_stored(files):
    """Return the bytes of a zip file. files: {path: bytes}"""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path, ZIP_DATE)
            info.create_system, info.external_attr = UNIX, PLAIN_FILE
            archive.writestr(info, data)
    return buffer.getvalue()


def tar(files):
    """Return the bytes of a tar file. files: {path: text or bytes}"""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files.items():
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pick(rng, items):
    """Return a random item, each with equal chance. rng: a random.Random"""
    return items[int(rng.random() * len(items))]
