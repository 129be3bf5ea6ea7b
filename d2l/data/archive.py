"""Extracting archives that may be hostile or damaged."""
import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


class ArchiveError(ValueError):
    """An archive that is damaged, of another kind, or that would write outside its folder."""


def _check_name(fname, name):
    parts = name.replace('\\', '/').split('/')
    if name.startswith(('/', '\\')) or '..' in parts or ':' in parts[0]:
        raise ArchiveError(f'{fname} would write outside its folder: {name}; nothing was extracted')


def _members(fname, archive):
    """Path -> size of the files, and the folders; raises if there is anything else."""
    if isinstance(archive, zipfile.ZipFile):
        entries = [(info.filename, info.file_size, info.is_dir(),
                    stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR))
                   for info in archive.infolist()]
    else:
        entries = [(info.name, info.size, info.isdir(), info.isreg() or info.isdir())
                   for info in archive.getmembers()]
        _check_end(archive)
    for name, _, _, plain in entries:
        _check_name(fname, name)
        if not plain:
            raise ArchiveError(f'{fname} holds a link or a device: {name}; nothing was extracted')
    return ({name: size for name, size, is_dir, _ in entries if not is_dir},
            [name for name, _, is_dir, _ in entries if is_dir])


def _check_end(archive):
    """Read what tarfile does not: the block of zeros at the end, and the checksum of a .gz."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError('it has no end')
    while archive.fileobj.read(2**20):
        pass


def extract(fname, folder):
    """Extract a zip or tar file into folder, unless all of its files are there already.

    All of it goes to a temporary folder first, and then to its place file by file, so that what a
    section made in these folders stays. Raises ArchiveError, and leaves the folder as it was, for
    members outside of the folder, links, and archives that are damaged or of another kind. Of a
    file nothing but its bytes is taken: tarfile's own safe extraction is not in every Python 3.11.
    """
    ext = os.path.splitext(fname)[1]
    if ext not in ('.zip', '.tar', '.gz', '.tgz'):
        raise ArchiveError(f'{fname}: only zip and tar files can be extracted')
    try:
        with zipfile.ZipFile(fname) if ext == '.zip' else tarfile.open(fname) as archive:
            sizes, folders = _members(fname, archive)
            opened = archive.open if ext == '.zip' else archive.extractfile
            paths = {name: os.path.join(folder, name) for name in sizes}
            if all(os.path.isfile(paths[name]) and os.path.getsize(paths[name]) == size
                   for name, size in sizes.items()):
                return
            with tempfile.TemporaryDirectory(dir=folder, prefix='.new-') as new:
                for name in sizes:
                    path = os.path.join(new, name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with opened(name) as source, open(path, 'xb') as file:
                        shutil.copyfileobj(source, file)
                for name in folders:
                    os.makedirs(os.path.join(folder, name), exist_ok=True)
                for name, path in paths.items():
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.replace(os.path.join(new, name), path)
    except DAMAGED as err:
        raise ArchiveError(f'{fname} is damaged ({err}); nothing was extracted. Delete it, and it '
                           'is fetched again') from err
    except OSError as err:
        raise ArchiveError(f'cannot extract {fname} into {os.path.abspath(folder)}: {err}') from err
