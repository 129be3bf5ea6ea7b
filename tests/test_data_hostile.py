"""d2l.data against hostile archives and servers: no wrong file, no raw error, no hang."""
import gc
import gzip
import hashlib
import io
import lzma
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from d2l import files
from d2l.data import ArchiveError, FetchError, fetch
from d2l.data.archive import extract

ALL = 'D2L_TEST_ALL' in os.environ
ARCHIVES, ANSWERS = (2000, 400) if ALL else (200, 40)
CONTENT = b'a data set' * 500
SHA1 = hashlib.sha1(CONTENT).hexdigest()
pytestmark = [
    pytest.mark.timeout(300),
    # requests leaves the socket of an answer that it cannot read to the garbage collector
    pytest.mark.filterwarnings(
        'ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning',
        'ignore:unclosed <socket:ResourceWarning')]


# ------------------------------------------------------------------ archives
def tar(*members, kind=tarfile.GNU_FORMAT):
    """A tar file of (TarInfo, bytes)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w', format=kind) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return bytearray(made.getvalue())


def member(name, data=b'1', **attrs):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attrs.items():
        setattr(info, key, value)
    return info, data


def negative_size():
    data = tar(member('a/x'), member('a/y'))
    data[124:136] = (2 ** 96 - 512).to_bytes(12, 'big')         # base 256: -512
    check(data)
    return data


def check(data, at=0):
    """Correct the checksum of the header at this offset."""
    data[at + 148:at + 156] = b' ' * 8
    data[at + 148:at + 156] = b'%06o\0 ' % sum(data[at:at + 512])


def headers(kind, count):
    """A tar file with many headers in a row, each of which describes the member after it."""
    data = bytearray()
    for _ in range(count):
        info = tarfile.TarInfo('x')
        info.type, info.size = kind, 0
        data += info.tobuf(tarfile.USTAR_FORMAT)
    return data + tar(member('a/x'))


def zipped(method=zipfile.ZIP_DEFLATED, **names):
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', method) as archive:
        for name, data in (names or {'x': CONTENT, 'y': b'2'}).items():
            archive.writestr(f'a/{name}', data)
    return bytearray(made.getvalue())


def encrypted():
    data = zipped()
    for at in data.find(b'PK\3\4') + 6, data.find(b'PK\1\2') + 8:
        data[at] |= 1
    return data


def with_method(number):
    data = zipped()
    for at in data.find(b'PK\3\4') + 8, data.find(b'PK\1\2') + 10:
        data[at] = number
    return data


def broken_lzma():
    data = zipped(zipfile.ZIP_LZMA)
    data[40:60] = bytes(20)
    return data


HOSTILE = {
    'tar, negative size': ('.tar', negative_size),
    'tar, pax headers': ('.tar', lambda: headers(tarfile.XHDTYPE, 5000)),
    'tar, long names': ('.tar', lambda: headers(tarfile.GNUTYPE_LONGNAME, 5000)),
    'tar, NUL in a pax name': ('.tar', lambda: tar(member('é', pax_headers={'path': 'a\0b'}),
                                                   kind=tarfile.PAX_FORMAT)),
    'tar, no name': ('.tar', lambda: tar(member('./'))),
    'tar, dots': ('.tar', lambda: tar(member('a/..'))),
    'tar, huge': ('.tar', lambda: huge()),
    'tar, a file twice': ('.tar', lambda: tar(member('a/x'), member('./a/x', b'2'))),
    'tar, a file and a folder': ('.tar', lambda: tar(member('a'), member('a/x'))),
    'tar.gz, xz inside': ('.tar.gz', lambda: bytearray(lzma.compress(tar(member('a/x')))[:-9])),
    'zip, encrypted': ('.zip', encrypted), 'zip, LZMA': ('.zip', broken_lzma),
    'zip, a method of the future': ('.zip', lambda: with_method(99)),
    'zip, a name of NUL': ('.zip', lambda: bytearray(bytes(zipped()).replace(b'a/x', b'\0\0\0'))),
    **{f'tar, a {name} of 32 MiB': ('.tar.gz',
                                    lambda kind=kind: gzip.compress(header(kind) + bytes(2 ** 25)
                                                                    + tar(
        member('a/x')), 1)) for name, kind in {
            'long name': tarfile.GNUTYPE_LONGNAME, 'long link': tarfile.GNUTYPE_LONGLINK,
            'pax header': tarfile.XHDTYPE, 'global pax header': tarfile.XGLTYPE}.items()},
    'tar, a sparse file of holes': ('.tar', lambda: sparse(2 ** 32)),
    'tar, a sparse file of pax': ('.tar', lambda: tar(member('a/x', pax_headers={
        'GNU.sparse.map': '0,1', 'GNU.sparse.size': '99'}), kind=tarfile.PAX_FORMAT)),
    'tar, a file through a link': ('.tar', lambda: tar(
        member('a', b'', type=tarfile.SYMTYPE, linkname='..'), member('a/x'))),
    'tar, a hard link': ('.tar', lambda: tar(
        member('a'), member('b', b'', type=tarfile.LNKTYPE, linkname='a'))),
    'tar, a name of what is removed': ('.tar', lambda: tar(member('.d2l-new-abcdefgh/x'))),
    'tar, a path of pax': ('.tar', lambda: tar(
        member('a/x', pax_headers={'path': '../x'}), kind=tarfile.PAX_FORMAT)),
    'zip, larger than it says': ('.zip', lambda: with_size(5)),
    'zip, smaller than it says': ('.zip', lambda: with_size(2 ** 24)),
    'zip, a link': ('.zip', lambda: with_mode(0o120777)),
    'zip, a pipe': ('.zip', lambda: with_mode(0o010644)),
    'zip, a file and a folder': ('.zip', lambda: zipped(**{'x': b'1', 'x/y': b'2'})),
    'zip, a long name': ('.zip', lambda: zipped(**{'x' * 5000: b'1'})),
}


def header(kind, size=2 ** 25):
    info = tarfile.TarInfo('x')
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse(size):
    """A tar file of 2 KiB whose member has this size: a hole and no data."""
    data = bytearray(header(tarfile.GNUTYPE_SPARSE, 0)) + bytes(1024)
    data[483:495] = b'%011o\0' % size
    check(data)
    return data


def with_size(size):
    data = zipped(x=CONTENT)
    at = data.find(b'PK\1\2') + 24
    data[at:at + 4] = size.to_bytes(4, 'little')
    return data


def with_mode(mode):
    data = zipped(x=b'..')
    at = data.find(b'PK\1\2') + 38
    data[at:at + 4] = (mode << 16).to_bytes(4, 'little')
    return data


def huge():
    info = tarfile.TarInfo('a/x')
    info.size = 2 ** 60
    return bytearray(info.tobuf(tarfile.GNU_FORMAT)) + bytes(1024)


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None
            for path in folder.rglob('*')}


def attempt(tmp_path, ext, data):
    """Extract, and return whether the archive was refused; then nothing may have changed."""
    target = tmp_path / 'target'
    target.mkdir(exist_ok=True)
    file = tmp_path / f'set{ext}'
    file.write_bytes(data)
    before = tree(target)
    try:
        extract(str(file), str(target))
    except ArchiveError:
        assert tree(target) == before
        return True
    assert not [name for name in os.listdir(target) if name.startswith(files.PREFIX)]
    return False


@pytest.mark.filterwarnings('ignore:Duplicate name:UserWarning')
@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_archive_is_refused(name, tmp_path):
    ext, make = HOSTILE[name]
    assert attempt(tmp_path, ext, bytes(make()))


def test_archives_with_random_damage(tmp_path):
    """Each archive is refused or extracted; nothing is left over, or written outside its folder."""
    draw, refused = random.Random(0), 0
    good = [('.tar', tar(member('a/x', CONTENT), member('a/y'),
                         member('é' * 60, pax_headers={'comment': 'x'}),
                         kind=tarfile.PAX_FORMAT)),
            ('.zip', zipped()), ('.zip', zipped(zipfile.ZIP_LZMA)),
            ('.zip', zipped(zipfile.ZIP_BZIP2))]
    for number in range(ARCHIVES):
        ext, data = draw.choice(good)
        data = bytearray(data)
        for _ in range(draw.choice((1, 1, 3))):
            at = draw.randrange(len(data)) if draw.random() < .5 else draw.randrange(600) % len(
                data)
            kind = draw.randrange(4)
            if kind == 0:
                data[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                data[at:at + 12] = draw.choice((b'\xff' * 12, bytes(12), b'7' * 12))
            elif kind == 2:
                del data[at:at + draw.randrange(1, 600)]
            else:
                data[at:at] = data[:draw.randrange(1, 600)]
            data = data or bytearray(b'x')
            if ext == '.tar' and draw.random() < .7 and len(data) >= 512:
                check(data)
        folder = tmp_path / str(number)
        folder.mkdir()
        refused += attempt(folder, ext, bytes(data))
        assert sorted(os.listdir(folder)) == [f'set{ext}', 'target']
    assert refused > ARCHIVES / 4


@pytest.mark.parametrize('ext', ['.tar', '.zip'])
def test_a_failure_at_the_destination_leaves_all_as_it_was(ext, tmp_path):
    """A folder stands where the last file is to go: the first are not replaced either."""
    target = tmp_path / 'target'
    (target / 'a' / 'y').mkdir(parents=True)
    (target / 'a' / 'x').write_text('mine')
    data = zipped(x=b'1', y=b'2') if ext == '.zip' else tar(member('b/new'), member('a/x'),
                                                            member('a/y'))
    assert attempt(tmp_path, ext, bytes(data))
    assert (target / 'a' / 'x').read_text() == 'mine' and not (target / 'b').exists()


# ------------------------------------------------------------------ what killed processes leave
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    code = ('import sys; sys.path.insert(0, sys.argv[2]); import files, os, time\n'
            'with files.new_folder(sys.argv[1]) as new:\n'
            '    open(os.path.join(new, "part"), "w").close(); print("here", flush=True)\n'
            '    time.sleep(600)')
    child = subprocess.Popen([sys.executable, '-c', code, str(tmp_path),
                              os.path.dirname(files.__file__)],
                             stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout.readline() == 'here\n'
        with files.new_folder(tmp_path):  # the folder of a process that still runs is not removed
            assert len(os.listdir(tmp_path)) == 2
        assert len(os.listdir(tmp_path)) == 1
        child.kill()
    with files.new_folder(tmp_path) as new:
        assert os.listdir(tmp_path) == [os.path.basename(new)]
    assert not os.listdir(tmp_path)


# ------------------------------------------------------------------ servers
class Server(threading.Thread):
    """Answers each connection on loopback with these bytes, in pieces with pauses between them."""

    def __init__(self, *pieces, pause=0.0):
        super().__init__(daemon=True)
        self.pieces, self.pause, self.asked, self.done = pieces, pause, 0, threading.Event()
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.url = f'http://127.0.0.1:{self.socket.getsockname()[1]}/set.txt'

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        with client:
            try:
                client.recv(65536)
                for piece in self.pieces:
                    client.sendall(piece)
                    if self.done.wait(self.pause):
                        return
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.socket.close()


def answer(status='200 OK', *headers, body=CONTENT):
    length = [] if any(h.lower().startswith('content-length') for h in headers) else [
        f'Content-Length: {len(body)}']
    return '\r\n'.join([f'HTTP/1.1 {status}', *headers, *length, 'Connection: close', '',
                        '']).encode(
        'latin-1') + body


GZIPPED, ENDLESS = gzip.compress(CONTENT), b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
WRONG = {
    **{f'status {status}': answer(f'{status} X') for status in (
        201, 202, 203, 204, 205, 206, 207, 299, 300, 304, 305, 399, 400, 404, 418, 499, 600, 999)},
    '304 without a body': answer('304 Not Modified', body=b''),
    'length of letters': answer('200 OK', 'Content-Length: abc'),
    'negative length': answer('200 OK', 'Content-Length: -5'),
    'two lengths': answer('200 OK', 'Content-Length: 5', 'Content-Length: 7'),
    'lengths in one': answer('200 OK', 'Content-Length: 5, 7'),
    'length too large': answer('200 OK', f'Content-Length: {len(CONTENT) + 1}'),
    'no location': answer('302 Found'),
    'location of no host': answer('302 Found', 'Location: http://'),
    'location of brackets': answer('302 Found', 'Location: http://[::1'),
    'location of a bad port': answer('302 Found', 'Location: http://127.0.0.1:99999/x'),
    'location of letters as a port': answer('302 Found', 'Location: http://x:y/'),
    'location with NUL': answer('302 Found', 'Location: http://a\0b/'),
    'location of a long host': answer('302 Found', f'Location: http://{"a" * 70}.x/'),
    'location of bytes': answer('302 Found', 'Location: http://\xff\xfe/'),
    'location of a file': answer('302 Found', 'Location: file:///etc/passwd'),
    'location of itself': answer('302 Found', 'Location: /set.txt'),
    'no HTTP': b'\x00\xff' * 500, 'nothing': b'', 'a bad status line': b'HTTP/9.9 abc\r\n\r\n',
    'a thousand headers': answer('200 OK', *['X: y'] * 1000),
    'a long header': answer('200 OK', 'X: ' + 'y' * 100000),
    'chunks of letters': answer('200 OK', 'Transfer-Encoding: chunked', body=b'zz\r\nabc'),
    'chunks that end': answer('200 OK', 'Transfer-Encoding: chunked', body=b'5\r\nabc'),
    'no gzip': answer('200 OK', 'Content-Encoding: gzip'),
    'gzip that ends': answer('200 OK', 'Content-Encoding: gzip', body=GZIPPED[:-12]),
    'nearly nothing of gzip': answer('200 OK', 'Content-Encoding: gzip', body=GZIPPED[:12]),
    'gzip in chunks': answer('200 OK', 'Transfer-Encoding: gzip, chunked',
                             body=b'%x\r\n%b\r\n0\r\n\r\n' % (
        len(GZIPPED), GZIPPED)),
    'no length': ENDLESS + CONTENT[:100],
    'no length, HTTP/1.0': b'HTTP/1.0 200 OK\r\n\r\n' + CONTENT[:100],
    'no length, gzip': ENDLESS[:-2] + b'Content-Encoding: gzip\r\n\r\n' + GZIPPED[:-12],
    'HTTP/0.9': CONTENT, 'chunks without an end': answer(
        '200 OK', 'Transfer-Encoding: chunked', body=b'%x\r\n%b\r\n' % (len(CONTENT), CONTENT)),
    'a negative chunk': answer('200 OK', 'Transfer-Encoding: chunked', body=b'-5\r\nabc'),
    'switching protocols': answer('101 Switching Protocols'),
    **{f'location {where}': answer('302 Found', f'Location: {where}') for where in (
        'ftp://127.0.0.1/x', 'data:text/plain,x', '//', 'http:///x', '\\\\x\\y')},
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv('D2L_DATA', 'real')
    monkeypatch.setattr(fetch, 'RETRY_WAIT', 0)
    monkeypatch.setattr(fetch, 'TIMEOUT', 5)
    monkeypatch.setattr(fetch, 'PATIENCE', 2)
    yield
    # Python's warning about a socket that requests left open comes here, and in no other test
    gc.collect()


def refused(server, tmp_path, sha1=None):
    path = tmp_path / 'set.txt'
    path.write_text('precious')
    with pytest.raises(FetchError, match='set.txt'):
        fetch.download_file(server.url, str(path), overwrite=True, sha1_hash=sha1, retries=2)
    assert path.read_text() == 'precious' and os.listdir(tmp_path) == ['set.txt']


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_answer_is_not_kept(name, tmp_path):
    """It is not kept even where no SHA-1 is known."""
    with Server(WRONG[name]) as server:
        refused(server, tmp_path)


RIGHT = {
    'no length': (ENDLESS + CONTENT, SHA1),
    'gzip': (answer('200 OK', 'Content-Encoding: gzip', body=GZIPPED), SHA1),
    'chunks': (answer('200 OK', 'Transfer-Encoding: chunked', body=b'%x\r\n%b\r\n0\r\n\r\n' % (
        len(CONTENT), CONTENT)), None),
    'a length': (answer(), None),
}


@pytest.mark.parametrize('name', RIGHT)
def test_a_right_answer_is_kept(name, tmp_path):
    """Also one that does not give its length, where the SHA-1 is known."""
    data, sha1 = RIGHT[name]
    with Server(data) as server:
        path = fetch.download_file(server.url, str(tmp_path / 'set.txt'), sha1_hash=sha1, retries=1)
    with open(path, 'rb') as file:
        assert file.read() == CONTENT


DRIPS = {
    'of the body': [answer('200 OK', 'Content-Length: 100000', body=b''), *[b'x'] * 1000],
    'of answers to wait for': [b'HTTP/1.1 100 Continue\r\n\r\n'] * 50,
    'of the headers': [b'HTTP/1.1 200 OK\r\n', *[b'X: y\r\n'] * 50], 'of one header': [b'H'] * 1000,
    'of chunks': [answer('200 OK', 'Transfer-Encoding: chunked', body=b''),
                  *[b'1\r\nx\r\n'] * 1000],
}


@pytest.mark.parametrize('name', DRIPS)
def test_a_dripping_server_is_given_up(name, tmp_path):
    with Server(*DRIPS[name], pause=.3) as server:
        refused(server, tmp_path)
        assert server.asked == 2


def test_a_slow_server_that_goes_on_is_waited_for(tmp_path, monkeypatch):
    size = fetch.CHUNK
    with Server(answer('200 OK', f'Content-Length: {size * 6}', body=b''), *[b'x' * size] * 6,
                pause=.5) as server:
        path = fetch.download_file(server.url, str(tmp_path / 'set.txt'), retries=1)
    assert os.path.getsize(path) == size * 6


def test_answers_with_random_damage(tmp_path):
    """Each gives the right file or FetchError, and leaves nothing."""
    draw, kept = random.Random(0), 0
    good = answer('200 OK', 'Content-Type: text/plain', 'Server: x')
    for number in range(ANSWERS):
        data = bytearray(good)
        for _ in range(draw.choice((0, 1, 2))):
            at = draw.randrange(good.find(b'\r\n\r\n') + 8)
            kind = draw.randrange(3)
            if kind == 0:
                data[at] = draw.randrange(256)
            elif kind == 1:
                del data[at:at + draw.randrange(1, 40)]
            else:
                data[at:at] = draw.choice((b'\r\n', b'\0', b':', b'9' * 30, b'\xff', b'\r\n\r\n'))
        folder = tmp_path / str(number)
        folder.mkdir()
        with Server(bytes(data)) as server:
            try:
                fetch.download_file(server.url, str(folder / 'set.txt'), sha1_hash=SHA1, retries=1)
                assert (folder / 'set.txt').read_bytes() == CONTENT
                kept += 1
            except FetchError:
                assert not os.listdir(folder)
    assert 0 < kept < ANSWERS
