"""Files that are written whole or not at all, and what a killed writer leaves behind.

A file is made in a temporary folder beside its place and moved there when it is complete. The
writer holds a lock on that folder for as long as it lives, so that the next writer knows which
folders to remove: those that it can lock.
"""
import contextlib
import fcntl
import os
import re
import shutil
import tempfile

PREFIX = '.d2l-new-'
OURS = re.compile(re.escape(PREFIX) + '[a-z0-9_]{8}')      # as mkdtemp completes the name


@contextlib.contextmanager
def new_folder(folder):
    """Give a new folder inside `folder`, which is gone after `with`; those that killed processes
    left there are removed first. Raises OSError."""
    for name in _names(folder):
        _remove_abandoned(os.path.join(folder, name))
    new, lock = _locked(folder)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
        os.close(lock)


def _names(folder):
    """Return the names of the temporary folders in a folder; none where it cannot be read."""
    try:
        return [name for name in os.listdir(folder) if OURS.fullmatch(name)]
    except OSError:
        return []


def _lock(path):
    """Return a descriptor that locks a folder; None where it is gone, or cannot be locked. Raises
    BlockingIOError where another process has locked it."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        pass
    os.close(lock)
    return None


def _locked(folder):
    """Return a new folder, and the descriptor that locks it. On a file system without locks it is
    one that nobody removes."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f'there is no folder {folder}: os.makedirs({str(folder)!r}) makes it')
    while True:
        new = tempfile.mkdtemp(dir=folder, prefix=PREFIX)
        try:
            lock = _lock(new)
        # another process, which takes it for abandoned, has the lock
        except BlockingIOError:
            continue
        if lock is not None:
            return new, lock
        if os.path.isdir(new):
            return new, os.open(new, os.O_RDONLY)


def _remove_abandoned(path):
    try:
        lock = _lock(path)
    except BlockingIOError:
        return
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sync(path):
    """Have the disk hold what was written to a file. Raises OSError where it cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path, content):
    """Replace the file at path by one with this content (bytes), or raise OSError and leave it."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f'{path} is a folder')
    with new_folder(folder) as new:
        part = os.path.join(new, name)
        with open(part, 'wb') as file:
            file.write(content)
        sync(part)
        os.replace(part, path)
