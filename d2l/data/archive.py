"""Extracts archives that may be hostile or damaged."""
import gzip
import os
import shutil
import stat
import tarfile
import zipfile

from d2l import files

# largest size in bytes of a long name or a pax header, which tarfile holds in memory
LONGEST_HEADER = 2 ** 20
OF_THE_NEXT = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
               tarfile.SOLARIS_XHDTYPE)         # members that describe the next one


class ArchiveError(ValueError):
    """An error: an archive is damaged, is no zip or tar file, or would write outside its folder."""


class _Header(tarfile.TarInfo):
    """A header of a tar file, which refuses a size that is too large."""

    def _proc_member(self, archive):
        """Check the size of a header, and process it as TarInfo does. tarfile calls this method for
        each header, and allows subclasses to override it. From Python 3.14 on, it does not call
        frombuf for each."""
        if self.type in OF_THE_NEXT and self.size > LONGEST_HEADER:
            raise tarfile.ReadError(f'it has a header of {self.size} bytes')
        return super()._proc_member(archive)


def _check_name(fname, name):
    parts = name.replace('\\', '/').split('/')
    if any(part.startswith(files.PREFIX) for part in parts):
        raise ArchiveError(
            f'{fname} holds {name}, and a name that begins with {files.PREFIX} is one of '
            'what d2l removes; nothing was extracted')
    if name.startswith(('/', '\\')) or '..' in parts or ':' in parts[0]:
        raise ArchiveError(f'{fname} would write outside its folder: {name}; nothing was extracted')
    if '\0' in name or not os.path.normpath(name).strip('./'):
        raise ArchiveError(f'{fname} holds a file of no name, {name!r}; nothing was extracted')


def _tar_members(archive):
    """Yield the members of a tar file in order. Raises ReadError if one does not come after the one
    before: tarfile itself would go back if a size is negative."""
    end = -1
    while True:
        member = archive.next()
        if member is None:
            return
        if member.size < 0 or archive.offset <= end:
            raise tarfile.ReadError(f'{member.name} has a negative size')
        end = archive.offset
        yield member


def _members(fname, archive):
    """Return {path: size} of the files in an archive, and the list of its folders. Raises
    ArchiveError if it has anything else."""
    if isinstance(archive, zipfile.ZipFile):
        entries = [(info.filename, info.file_size, info.is_dir(),
                    stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR))
                   for info in archive.infolist()]
    else:
        members = list(_tar_members(archive))
        for name in (info.name for info in members if info.issparse()):
            raise ArchiveError(
                f'{fname} holds a sparse file, of any size that it says: {name}; nothing was '
                'extracted')
        entries = [(info.name, info.size, info.isdir(), info.isreg() or info.isdir())
                   for info in members]
        _check_end(archive)
    for name, _, _, plain in entries:
        _check_name(fname, name)
        if not plain:
            raise ArchiveError(f'{fname} holds a link or a device: {name}; nothing was extracted')
    return ({name: size for name, size, is_dir, _ in entries if not is_dir},
            [name for name, _, is_dir, _ in entries if is_dir])


def _check_end(archive):
    """Check what tarfile does not check: the block of zeros at the end, and a .gz's checksum."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError('it has no end')
    while archive.fileobj.read(2**20):
        pass


def extract(fname, folder):
    """Extract a zip or tar file into a folder, unless all of its files are there already.

    The files are extracted to a temporary folder first, and then moved to their places one by one,
    so that other files in these folders stay. Raises ArchiveError, and leaves the folder as it was,
    if a member is a link or outside of the folder, or if the archive is damaged or of another kind.
    Only the bytes of files are extracted, no owners or permissions. tarfile's own safe extraction
    is not used, as not every Python 3.11 has it.
    """
    ext = os.path.splitext(fname)[1]
    if ext not in ('.zip', '.tar', '.gz', '.tgz'):
        raise ArchiveError(f'{fname}: only zip and tar files can be extracted')
    try:
        with zipfile.ZipFile(fname) if ext == '.zip' else tarfile.open(
                fname, tarinfo=_Header) as archive:
            sizes, folders = _members(fname, archive)
            opened = archive.open if ext == '.zip' else archive.extractfile
            paths = {name: os.path.join(folder, name) for name in sizes}
            if all(os.path.isfile(paths[name]) and os.path.getsize(paths[name]) == size
                   for name, size in sizes.items()):
                return
            free = shutil.disk_usage(folder).free
            if sum(sizes.values()) > free:
                raise OSError(f'it holds {sum(sizes.values())} bytes, and {free} are free')
            with files.new_folder(folder) as new:
                for name in sizes:
                    path = os.path.join(new, 'new', name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with opened(name) as source, open(path, 'xb') as file:
                        shutil.copyfileobj(source, file)
                        if file.tell() != sizes[name]:
                            raise EOFError(f'{name} has {file.tell()} bytes for {sizes[name]}')
                _move(new, folder, paths, folders)
    except OSError as err:
        if isinstance(err, gzip.BadGzipFile):
            raise _damaged(fname, err) from err
        raise ArchiveError(f'cannot extract {fname} into {os.path.abspath(folder)}: {err}') from err
    except ArchiveError:
        raise
    # Python's readers may raise any exception for a file that was made to break them
    except Exception as err:
        raise _damaged(fname, err) from err


def _damaged(fname, err):
    return ArchiveError(f'{fname} is damaged ({type(err).__name__}: {err}); nothing was extracted. '
                        'Delete it, and it is fetched again')


def _move(new, folder, paths, folders):
    """Move extracted files from `new` to their places in a folder. If that fails, restore the
    folder.

    paths: name -> place of each file; folders: names of folders that are made
    """
    made, moved = [], []
    try:
        for name in [*folders, *map(os.path.dirname, paths)]:
            parts = name.split('/')
            for i in range(len(parts)):
                place = os.path.join(folder, *parts[:i + 1])
                if not os.path.isdir(place):
                    os.mkdir(place)
                    made.append(place)
        for i, (name, path) in enumerate(paths.items()):
            if os.path.isdir(path):
                raise IsADirectoryError(f'{path} is a folder')
            old = os.path.join(new, str(i))
            if os.path.lexists(path):
                os.replace(path, old)
            moved.append((path, old))
            os.replace(os.path.join(new, 'new', name), path)
    except BaseException:
        for path, old in reversed(moved):
            if os.path.lexists(old):
                os.replace(old, path)
            elif os.path.lexists(path):
                os.remove(path)
        for place in reversed(made):
            os.rmdir(place)
        raise
