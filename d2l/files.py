"""Writes files whole or not at all, and removes what killed writers have left behind.

A file is written in a temporary folder beside its final path, and moved there when it is complete.
The writer holds a lock on that folder as long as it lives. A folder that the next writer can lock
was left by a killed process, so it is removed.
"""
import contextlib
import fcntl
import os
import re
import shutil
import tempfile

PREFIX = '.d2l-new-'
OURS = re.compile(re.escape(PREFIX) + '[a-z0-9_]{8}')      # mkdtemp adds eight characters


@contextlib.contextmanager
def new_folder(folder):
    """Context manager: make a new folder inside `folder`, and remove it at the end. Folders that
    killed processes have left there are removed first. Raises OSError."""
    for name in _names(folder):
        _remove_abandoned(os.path.join(folder, name))
    new, lock = _locked(folder)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
        os.close(lock)


def _names(folder):
    """Return the names of the temporary folders in a folder; [] if it cannot be read."""
    try:
        return [name for name in os.listdir(folder) if OURS.fullmatch(name)]
    except OSError:
        return []


def _lock(path):
    """Return a file descriptor that locks a folder; None if the folder is gone, or cannot be
    locked. Raises BlockingIOError if another process has locked it."""
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
    """Return a new folder, and the file descriptor that locks it. On a file system without locks,
    the descriptor locks nothing, and other processes cannot lock the folder and never remove it."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f'there is no folder {folder}: os.makedirs({str(folder)!r}) makes it')
    while True:
        new = tempfile.mkdtemp(dir=folder, prefix=PREFIX)
        try:
            lock = _lock(new)
        # Another process was faster to lock it and takes it for abandoned: make another one
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
    """Flush a file to disk. Raises OSError if that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path, content):
    """Replace the file at path by one with this content (bytes). If that fails, raise OSError and
    leave the file as it is."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f'{path} is a folder')
    with new_folder(folder) as new:
        part = os.path.join(new, name)
        with open(part, 'wb') as file:
            file.write(content)
        sync(part)
        os.replace(part, path)
