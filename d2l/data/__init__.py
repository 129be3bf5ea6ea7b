"""The data hub: it finds, fetches, verifies and extracts data sets, or makes synthetic stand-ins.

`DATA_HUB` maps a name to (URL, SHA-1), as in section 4.10; the sections add their own entries.
`download(name)` returns the path of the file, `../data/<file>` unless cache_dir says otherwise.
MXNet's own fetchers, `gluon.utils.download` and every copy of it (FashionMNIST, CIFAR10, the model
zoo, word vectors), are replaced by one function, `fetch.download_file` (see `d2l.patches`).

Environment:

- `D2L_DATA=real` (default) fetches files. `D2L_DATA=sample` makes stand-ins in the real file
  formats (see `d2l.data.samples`) and says so once; FetchError is raised for a file that has no
  maker. A stand-in is in the folder `sample/<recipe>/` or `sample/<recipe>-<size>/` beside the real
  file, and its path is returned: `../data/sample/0123abcd/fra-eng.zip`. The recipe is a hash of the
  code of the makers.
- `D2L_DATA_URL`: a mirror, the URL that replaces `DATA_URL` at the start of a file's URL.
- `D2L_DATA_FOLDER`: a folder with the files of Fashion-MNIST, whose contents must be the genuine
  ones (see `d2l.data.contents`). Those of Debian's package are found without it.
- `D2L_SAMPLE_SIZE`: the number of training examples of a sample data set, for ml-100k of users. By
  default Fashion-MNIST has 24,000, and 10,000 for testing; if it is set, a sixth for testing.

CIFAR10, the model zoo and word vectors look for a verified file before they download one. In sample
mode they look in the folder of the stand-ins.
"""
import os
from typing import Optional

from d2l.data import fetch
from d2l.data.archive import ArchiveError, extract
from d2l.data.fetch import DATA_URL, FetchError

__all__ = ['DATA_HUB', 'DATA_URL', 'ArchiveError', 'FetchError', 'download', 'download_all',
           'download_extract']

DATA_HUB = dict()


def download(name: str, cache_dir: str = '../data') -> str:
    """Fetch a file of DATA_HUB into cache_dir, unless it is there, and return its path (4.10.1).

    Raises KeyError for an unknown name, and FetchError if the file cannot be obtained.
    """
    if name not in DATA_HUB:
        raise KeyError(f"{name} is not in DATA_HUB, which has {', '.join(sorted(DATA_HUB))}")
    url, sha1 = DATA_HUB[name]
    return fetch.download_file(url, os.path.join(cache_dir, url.split('/')[-1]), sha1_hash=sha1)


def download_extract(name: str, folder: Optional[str] = None) -> str:
    """Fetch a zip or tar file and extract it in the folder that it is in (4.10.1).

    Return the path of `folder` there, by default the name of the archive without its extension,
    with a slash at the end. Raises ArchiveError if the archive is damaged or would write outside of
    its folder. Code that needs an archive calls this function and not `extractall`.
    """
    fname = download(name)
    base_dir = os.path.dirname(fname)
    data_dir, _ = os.path.splitext(fname)
    extract(fname, base_dir)
    return (base_dir + '/' + folder if folder else data_dir) + '/'


def download_all() -> None:
    """Fetch every file of DATA_HUB."""
    for name in DATA_HUB:
        download(name)
