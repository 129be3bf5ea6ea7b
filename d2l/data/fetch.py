"""`download_file`, which obtains every file: it fetches and verifies it, or makes a stand-in."""
import contextlib
import functools
import inspect
import os
import sys
import tarfile
import threading
import time
import types
import zipfile

from mxnet import gluon, test_utils
from mxnet.contrib.text import embedding
from mxnet.gluon.data.vision import datasets as vision_datasets
from mxnet.gluon.model_zoo import model_store

from d2l import files
from d2l.data import archive, contents, samples

DATA_URL = 'http://d2l-data.s3-accelerate.amazonaws.com/'       # 4.10.1; D2L_DATA_URL replaces it
SOURCES = ('real', 'sample')
used = []                           # the SOURCES from which this process has asked for data
RETRY_WAIT = 1                      # seconds between two attempts
TIMEOUT = 30                        # seconds without an answer
PATIENCE = 60                       # seconds in which at least a CHUNK has to arrive
TRY_AGAIN = (408, 429)              # HTTP errors below 500 after which another attempt may succeed
CHUNK = 2**13                       # bytes read at a time
# seconds between two lines of progress if standard error is no terminal
BAR_SECONDS = 10
_gluons_download, _testers_download = gluon.utils.download, test_utils.download
_gluons_model_file = model_store.get_model_file
NOTICE = 'd2l: sample data, synthetic stand-ins for the real data sets (D2L_DATA=sample)'
_said = False


class FetchError(OSError):
    """An error: a file cannot be obtained. The message names the URL, the SHA-1 and the cures."""


def download_file(url, path=None, overwrite=False, sha1_hash=None, retries=5, verify_ssl=True):
    """Return the path of the file at url. It has the arguments and the result of
    `gluon.utils.download`.

    path: the path of the file, or a folder for it; None for the working folder
    retries: the largest number of attempts

    An existing file is used if its SHA-1 is right, if no SHA-1 is given, or if its decompressed
    contents are the genuine ones. Otherwise a copy that a package of the system has installed is
    used (see `d2l.data.contents`), and otherwise the file is downloaded. A wrong or incomplete file
    is never put at the path. With D2L_DATA=sample the file is a stand-in in a folder of its own,
    whose path is returned.

    Raises FetchError if the file cannot be obtained, and ValueError if D2L_DATA has an unknown
    value.
    """
    name = url.split('/')[-1]
    path = os.path.expanduser(name if path is None else path)
    if os.path.isdir(path):
        path = os.path.join(path, name)
    if _source() == 'sample':
        return _sample(url, path)
    if not overwrite:
        if _is_good(path, sha1_hash):
            return path
        shipped = contents.shipped(name, sha1_hash)
        if shipped:
            return shipped
    _fetch(url, path, sha1_hash, retries, verify_ssl)
    return path


def download_file_for_tests(url, fname=None, dirname=None, overwrite=False, retries=5):
    """Replace `mxnet.test_utils.download` by a call of `download_file`."""
    fname = fname or url.split('/')[-1]
    return download_file(url, os.path.join(dirname or '', fname), overwrite, retries=retries)


def _source():
    source = os.environ.get('D2L_DATA', SOURCES[0])
    if source not in SOURCES:
        raise ValueError(f"D2L_DATA is '{source}': say {' or '.join(SOURCES)}")
    if source not in used:
        used.append(source)
    return source


def below_root(function, name='root'):
    """Wrap a function that looks for verified files below a root folder, and downloads and extracts
    them there if they are missing. With D2L_DATA=sample the root becomes the folder of the
    stand-ins below it.

    name: the name of the function's argument that is the root
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if _source() == 'sample':
            root = os.path.expanduser(bound.arguments[name])
            bound.arguments[name] = os.path.join(root, samples.folder())
        return function(*bound.args, **bound.kwargs)
    return wrapped


def model_file(name, root=inspect.signature(_gluons_model_file).parameters['root'].default):
    """Replace `get_model_file` of Gluon's model zoo. Return the path of a file with pretrained
    parameters, or of a stand-in, which was not trained on ImageNet (`d2l.data.samples.models`)."""
    if _source() == 'real':
        return _gluons_model_file(name, root)
    file = f'{name}-{model_store.short_hash(name)}'
    url = model_store._url_format.format(repo_url=model_store.apache_repo_url, file_name=file)
    return download_file(url, os.path.join(root, file + '.params'))


class _StandIn:
    """What `zipfile.ZipFile` and `tarfile.open` give MXNet for the archive of a stand-in.

    The SHA-1 of a stand-in is never that of the genuine file, so that MXNet extracts it in each
    process, and writes into the file in place while another process may be reading it.
    """

    def __init__(self, fname):
        self.fname = fname

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def extractall(self, path):
        archive.extract(self.fname, path)


def _opener(of_python):
    """Return a function that opens an archive: a stand-in by `_StandIn`, a genuine one by the
    function of Python's."""
    def opened(fname, mode='r'):
        return _StandIn(fname) if _source() == 'sample' else of_python(fname, mode)
    return opened


def replace_gluons():
    """Replace MXNet's download functions by `download_file`, in each module that imported one, and
    its extraction of stand-ins by `archive.extract`."""
    embedding.zipfile = types.SimpleNamespace(ZipFile=_opener(zipfile.ZipFile))
    embedding.tarfile = vision_datasets.tarfile = types.SimpleNamespace(open=_opener(tarfile.open))
    gluon.data.vision.CIFAR10.__init__ = below_root(gluon.data.vision.CIFAR10.__init__)
    model_store.get_model_file = model_file
    for vectors in embedding.GloVe, embedding.FastText:
        vectors._get_pretrained_file = below_root(vectors._get_pretrained_file, 'embedding_root')
    for module in list(sys.modules.values()):
        found = getattr(module, '__dict__', {}).get('download')
        if found is _gluons_download:
            module.download = download_file
        elif found is _testers_download:
            module.download = download_file_for_tests


def _is_good(path, sha1):
    return os.path.exists(path) and (not sha1 or gluon.utils.check_sha1(path, sha1)
                                     or contents.are_real(path, sha1))


@contextlib.contextmanager
def _new_file_folder(path):
    """Context manager: make a temporary folder beside path, and its parents if they are missing.
    The temporary folder is removed at the end, also on Ctrl-C."""
    folder = os.path.dirname(path) or '.'
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, exist_ok=True)
            new = stack.enter_context(files.new_folder(folder))
        except OSError as err:
            raise FetchError(
                f'cannot write to {os.path.abspath(folder)} ({err.strerror}): '
                'choose another folder, such as download(name, cache_dir=...)') from err
        yield new


def _fetch(url, path, sha1, retries, verify_ssl):
    import pooch  # here, as these imports take a quarter of a second
    import requests

    mirror = os.environ.get('D2L_DATA_URL')
    source = url
    if mirror and url.startswith(DATA_URL):
        source = mirror.rstrip('/') + '/' + url[len(DATA_URL):]
    name, folder = os.path.basename(path), os.path.abspath(os.path.dirname(path))
    ways_out = [f'put the file into {folder} as {name}']
    if url.startswith(DATA_URL):
        ways_out.append('name a mirror in D2L_DATA_URL')
    if samples.find(url):
        ways_out.append('say D2L_DATA=sample for a synthetic stand-in')
    cure = f"SHA-1: {sha1 or 'not known'}. What helps: {'; or '.join(ways_out)}."
    if os.path.exists(path):
        cure = f'The file at {path} is not used and was left as it was. {cure}'

    # pooch.retrieve would compare the SHA-1 and move the file, too, but it does not say which SHA-1
    # came, and waits for ever for a server that sends a byte now and then
    with _new_file_folder(path) as new:
        part = os.path.join(new, name)
        print(f'Downloading {path} from {source}...')
        try:
            _try(lambda: _stream(pooch, source, part, sha1, verify_ssl), requests.exceptions,
                 retries)
        except OSError as err:
            if not isinstance(err, requests.exceptions.RequestException):
                raise FetchError(f'cannot write {os.path.abspath(path)}: {err}') from err
            raise FetchError(f'cannot fetch {source}: {err}. {cure}') from err
        # the HTTP libraries may raise any exception for an answer that was made to break them
        except Exception as err:
            raise FetchError(f'cannot fetch {source}: what came is no answer of HTTP '
                             f'({type(err).__name__}: {err}). {cure}') from err
        if sha1 and not gluon.utils.check_sha1(part, sha1):
            raise FetchError(f'what came from {source} has the SHA-1 '
                             f"{pooch.file_hash(part, 'sha1')} and was not kept. {cure}")
        os.replace(part, path)


def _stream(pooch, source, part, sha1, verify_ssl):
    """Download the URL `source` into the file `part`. Raises the exceptions of requests, among them
    Timeout if the server sends less than a CHUNK in PATIENCE seconds."""
    import requests
    from tqdm import tqdm

    class Bar(tqdm):
        given_up = False

        def __bool__(self):         # pooch tests the bar; tqdm is False before it knows the size
            return True

        def update(self, n=1):
            if self.given_up:
                raise requests.exceptions.Timeout
            return super().update(n)

    def check(response, **_):
        """Raise HTTPError unless the response is a redirect, or a whole file with status 200."""
        length = response.headers.get('content-length', '0')
        if response.is_redirect:
            return
        wrong = (f'{response.status_code} {response.reason} for {source}, '
                 f'with the Content-Length {length}')
        if response.status_code == 200 and length.isascii() and length.isdigit():
            if sha1 or _says_its_end(response.headers):
                return
            wrong = (f'{source} sends a file whose end it does not say (it may be cut off), '
                     'and no SHA-1 is known')
        response.close()
        raise requests.exceptions.HTTPError(wrong, response=response)

    def run():
        try:
            pooch.HTTPDownloader(bar, CHUNK, timeout=TIMEOUT, verify=verify_ssl,
                                 headers={'Accept-Encoding': 'identity'},
                                 hooks={'response': check})(source, part, None)
        except BaseException as err:
            failed.append(err)

    def written():                  # pooch's bar cannot tell, as it counts each byte as a CHUNK
        return os.path.getsize(part) if os.path.exists(part) else 0

    failed = []
    with Bar(desc=os.path.basename(part), unit='B', unit_scale=True, ncols=79, file=sys.stderr,
             mininterval=.1 if sys.stderr.isatty() else BAR_SECONDS) as bar:
        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                before, deadline = written(), time.monotonic() + PATIENCE
                while worker.is_alive() and written() < before + CHUNK:
                    worker.join(.1)
                    if time.monotonic() > deadline:
                        raise requests.exceptions.Timeout(
                            f'{source} sent less than {CHUNK} bytes in {PATIENCE} seconds')
        finally:
            bar.given_up = True
    if failed:
        raise failed[0]


def _says_its_end(headers):
    """Return whether a truncated download would be noticed. It would if the body is not compressed,
    as urllib3 accepts a truncated compressed body, and if either its length is in the headers or
    it is sent in chunks, each with its length."""
    pieces = headers.get('transfer-encoding', '').lower()
    return headers.get('content-encoding', 'identity').lower() == 'identity' and (
        pieces == 'chunked' or not pieces and 'content-length' in headers)


def _try(fetch, errors, retries):
    """Call fetch until it succeeds, at most `retries` times. If another attempt cannot help, raise
    at once."""
    for left in reversed(range(max(retries, 1))):
        try:
            return fetch()
        except errors.HTTPError as err:
            status = err.response.status_code
            if left == 0 or (not 500 <= status < 600 and status not in TRY_AGAIN):
                raise
        except (errors.ConnectionError, errors.Timeout, errors.ChunkedEncodingError):
            if left == 0:
                raise
        time.sleep(RETRY_WAIT)


def _say():
    """Print on standard error that this is sample data. In a notebook, make sure that this notice
    stays in the output of the cell."""
    print(NOTICE, file=sys.stderr)
    shell = getattr(sys.modules.get('IPython'), 'get_ipython', lambda: None)()
    if hasattr(shell, 'kernel'):                    # in Jupyter, clear_output would remove it
        _say_beside_figures(shell)


def _say_beside_figures(shell):
    """Print the notice again, from now on, in each cell that shows a figure or clears its output:
    before the first figure, before the first output after a clear_output, or at the end of the cell
    if there is no such output."""
    publisher = shell.display_pub
    original_clear, original_publish = publisher.clear_output, publisher.publish
    # whether the output of the running cell has the notice; whether it was cleared
    said, cleared = True, False

    def clear_output(*args, **kwargs):
        nonlocal said, cleared
        cleared, said = cleared or said, False
        original_clear(*args, **kwargs)

    def publish(data, *args, **kwargs):
        nonlocal said
        if not said and (cleared or any(kind.startswith('image/') for kind in data)):
            said = True
            print(NOTICE, file=sys.stderr, flush=True)
        original_publish(data, *args, **kwargs)

    def begin(*_):
        nonlocal said, cleared
        said = cleared = False

    def end(*_):
        if cleared and not said:
            print(NOTICE, file=sys.stderr, flush=True)
    publisher.clear_output, publisher.publish = clear_output, publish
    shell.events.register('pre_run_cell', begin)
    shell.events.register('post_run_cell', end)


def _sample(url, path):
    global _said
    name = samples.find(url)
    if name is None:
        raise FetchError(f'there is no sample maker for {url}: D2L_DATA=real fetches the file '
                         f"(stand-ins exist for {', '.join(samples.FAMILIES)})")
    folder, file = os.path.split(path)
    if samples.folder() not in folder:              # below_root may have added it already
        folder = os.path.join(folder, samples.folder())
        path = os.path.join(folder, file)
    if not _said:
        _said = True
        _say()
    if not os.path.exists(path):
        with _new_file_folder(path) as new:
            part = os.path.join(new, file)
            try:
                with open(part, 'wb') as f:
                    for piece in samples.pieces(name):
                        if isinstance(piece, int):      # a number of zeros: a hole in the file
                            f.seek(piece, os.SEEK_CUR)
                        else:
                            f.write(piece)
                    f.truncate()
                os.replace(part, path)
            except OSError as err:
                raise FetchError(f'cannot write {os.path.abspath(path)}: {err}') from err
    return path
