"""d2l.data: files are verified or refused, archives extract only into their folder, and sample data
never takes the place of real files.

Files are fetched from an HTTP server on loopback, which the test runs itself.
"""
import collections
import hashlib
import http.server
import inspect
import io
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from mxnet import gluon, recordio, test_utils
from mxnet.contrib import text
from mxnet.contrib.text.embedding import GloVe
from mxnet.gluon.model_zoo import model_store

import d2l
from ci import pretrain
from d2l.data import ArchiveError, FetchError, fetch, samples
from d2l.data.archive import extract
from d2l.data.samples import models, painter

CONTENT = b'a data set' * 5000
SHA1 = hashlib.sha1(CONTENT).hexdigest()
OTHER_SHA1 = hashlib.sha1(b'another file').hexdigest()
NAME = 'set.txt'

# SHA-1 of the stand-ins at D2L_SAMPLE_SIZE=600, as the makers wrote them once; they have to be the
# same on every machine
SAMPLE_SHA1 = {
    'kaggle_house_pred_train.csv': '7e161929f210b9d92a56af6403d1f2c47d47139a',
    'kaggle_house_pred_test.csv': 'f2d268028799a05a153200cdde199a7af3efb3b3',
    'timemachine.txt': '488ebfd3469129520dd57765b2edfa0aecc46c62',
    'airfoil_self_noise.dat': '739ae41ff1e23b8f5886c0c9d60533cf40477732',
    'fra-eng.zip': '5cde658dab37dbd02ea24506552046c1088d338f',
    'fashion-mnist/train-images-idx3-ubyte.gz': '4785fdfba562b8192c23a9bc3fad23198707d81b',
    'fashion-mnist/train-labels-idx1-ubyte.gz': 'a9a7e2d94c971e0378efc32a7898cbd4e7bbbcaf',
    'fashion-mnist/t10k-images-idx3-ubyte.gz': 'fa2505b04cc1d231d6945c66be606ed7fda97a0a',
    'fashion-mnist/t10k-labels-idx1-ubyte.gz': 'ecf2fd9ad12299018a8a1ebe4137ec72ca8da545',
    'mnist/train-images-idx3-ubyte.gz': '6ae8df4f08863e17129414bd8dbf27b637079c51',
    'mnist/train-labels-idx1-ubyte.gz': '78a9209d10d52adc6ca2d2c4e8a0cdf407acf21b',
    'mnist/t10k-images-idx3-ubyte.gz': '1d9cb1e6bfb6784210f12e934681b98986730985',
    'mnist/t10k-labels-idx1-ubyte.gz': 'bfdf23c10f599a570f21c3b2009330fb297408bf',
    'ptb.zip': '3e15329cedc10bd0b152f75aad365216f024f47b',
    'glove/glove.6B.zip': 'c7ce69c68f2b7dac37ea0a8ab6a12211ffd138a9',
    'glove/glove.42B.300d.zip': '41ff50976329d9058e6bcbd3ca5f914a4de206f2',
    'glove/glove.840B.300d.zip': 'ad047b6857541508707f07eaf1d4108deba8a20d',
    'glove/glove.twitter.27B.zip': '133c02122b846baa0c6f951b5c60b742f89a2c91',
    'fasttext/wiki.simple.zip': '22f57219a9b222449503bab13f42157994d30ebe',
    'aclImdb_v1.tar.gz': '50fda25a9cf5314a8bc582ba4949e8db6dbea8a1',
    'snli_1.0.zip': '7f082a171b106338b5d44249f529084c75f78e37',
    'ml-100k.zip': 'f9bdb28c27fb60622f0a48250f88c96e0055596f',
    'ctr.zip': '1646e2c366e8b9d501f4677c113c13ff4f057858',
    'pokemon.zip': '80340aafefe2935c8b951ae74f89250adec13a08',
    'cifar10/cifar-10-binary.tar.gz': '54da0d4947af0a462995dccf075015f53bed566f',
    'hotdog.zip': '89f9048fe921a795e21f452d1a5382aa90a56ac2',
    'models/resnet18_v2-a81db45f.zip': '1b1deebda6ce6ed8ef9b5a1a0939551363b10947',
    'pikachu.zip': '3a8ad8b4b34610651c8d61c0bc6f233246f728d3',
    'VOCtrainval_11-May-2012.tar': 'fc95c130824cb7e28ff60064de8959f51aed4a95'
    # OpenCV 5 writes other bytes
    if int(cv2.__version__.split('.')[0]) < 5 else '4dd17313bdf56d5e0b9c6d6b95d93a1e202a4ba3',
    'models/vgg19-ad2f660d.zip': '72f43944b9cd6c807a6105953fc11cc758daca5f',
    'kaggle_cifar10_tiny.zip': '80a2910f5fc8566883fc2a1e42b60562df4b671f',
    'kaggle_dog_tiny.zip': '08aaa80cf78bcc36c4610c7d72a7060acf707213',
    'models/resnet34_v2-9d6b80bb.zip': '2a9808e258af40f65a14908c9c852b01337bb6ad',
}


# families whose pictures take long to draw: their SHA-1 is that at D2L_SAMPLE_SIZE=60
DRAWN = {'cifar10', 'hotdog', 'pikachu', 'voc2012', 'dogs'}


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any path; `plan` lists how it answers the first requests."""
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.paths, self.plan, self.go_on = [], [], threading.Event()
        self.url = f'http://127.0.0.1:{self.server_port}/'


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        step = self.server.plan.pop(0) if self.server.plan else 'whole'
        if isinstance(step, int):
            return self.send_error(step)
        self.send_response(200)
        self.send_header('Content-Length', str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if step == 'whole' else CONTENT[:20000])
        self.wfile.flush()
        if step == 'stall':                             # the rest never comes
            self.server.go_on.wait()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('D2L_DATA', 'real')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.delenv('D2L_DATA_URL', raising=False)
    monkeypatch.setattr(fetch, 'RETRY_WAIT', 0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody(monkeypatch):
    """A URL at which no server listens."""
    monkeypatch.setenv('D2L_DATA', 'real')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(fetch, 'RETRY_WAIT', 0)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return f'http://127.0.0.1:{s.getsockname()[1]}/'


# download_file

@pytest.mark.parametrize('new, old', [(fetch.download_file, fetch._gluons_download),
                                      (fetch.download_file_for_tests, fetch._testers_download)])
def test_signatures_are_those_of_mxnets_fetchers(new, old):
    assert inspect.signature(new) == inspect.signature(old)


def test_every_copy_of_mxnets_fetchers_is_replaced():
    import mxnet.contrib.text.embedding  # noqa: F401
    import mxnet.gluon.contrib.data.text  # noqa: F401
    left = [name for name, module in list(sys.modules.items()) if getattr(
        module, '__dict__', {}).get('download') in (fetch._gluons_download,
                                                    fetch._testers_download)]
    assert left == []
    assert gluon.data.vision.datasets.download is gluon.utils.download is fetch.download_file
    assert gluon.model_zoo.model_store.download is fetch.download_file
    assert test_utils.download is fetch.download_file_for_tests


def test_import_is_light(python):
    done = python('-c', 'import sys, d2l.data; print({"pooch", "tqdm"} & set(sys.modules))')
    assert (done.stdout, done.stderr) == ('set()\n', '')


def test_fetches_once(server, tmp_path, capsys):
    path = fetch.download_file(server.url + NAME, str(tmp_path), sha1_hash=SHA1)
    assert path == str(tmp_path / NAME) and pathlib.Path(path).read_bytes() == CONTENT
    out, err = capsys.readouterr()
    assert out == f'Downloading {path} from {server.url}{NAME}...\n'
    assert NAME in err and '100%' in err                # the progress bar
    assert fetch.download_file(server.url + NAME, path, sha1_hash=SHA1) == path
    assert server.paths == ['/' + NAME] and capsys.readouterr() == ('', '')
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))


def test_the_working_folder_is_the_default(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetch.download_file(server.url + NAME) == NAME
    assert test_utils.download(server.url + NAME, 'b.txt', 'new') == 'new/b.txt'
    assert os.listdir('new') == ['b.txt'] and len(server.paths) == 2


def test_without_a_hash_a_file_is_trusted_unless_told_to_overwrite(server, tmp_path):
    (tmp_path / NAME).write_bytes(b'mine')
    fetch.download_file(server.url + NAME, str(tmp_path))
    assert (tmp_path / NAME).read_bytes() == b'mine' and server.paths == []
    fetch.download_file(server.url + NAME, str(tmp_path), overwrite=True)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_corrupt_cached_file_is_fetched_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    fetch.download_file(server.url + NAME, str(tmp_path), sha1_hash=SHA1)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == [NAME]


def test_a_wrong_hash_is_refused(server, tmp_path):
    with pytest.raises(FetchError) as err:
        fetch.download_file(server.url + NAME, str(tmp_path), sha1_hash=OTHER_SHA1)
    for part in (server.url + NAME, SHA1, OTHER_SHA1, 'was not kept'):
        assert part in str(err.value)
    assert os.listdir(tmp_path) == [] and len(server.paths) == 1


@pytest.mark.parametrize('sha1', [None, SHA1])
def test_a_broken_transfer_is_tried_again_and_leaves_nothing(server, tmp_path, sha1):
    server.plan = ['cut'] * 3
    with pytest.raises(FetchError, match='cannot fetch'):
        fetch.download_file(server.url + NAME, str(tmp_path), sha1_hash=sha1, retries=3)
    assert os.listdir(tmp_path) == [] and len(server.paths) == 3


@pytest.mark.parametrize('plan, attempts', [([503, 'cut'], 3), ([429], 2)])
def test_a_temporary_error_is_tried_again(server, tmp_path, plan, attempts):
    server.plan = plan
    fetch.download_file(server.url + NAME, str(tmp_path), sha1_hash=SHA1)
    assert (tmp_path / NAME).read_bytes() == CONTENT and len(server.paths) == attempts


def test_a_missing_file_is_not_tried_again(server, tmp_path):
    server.plan = [404]
    with pytest.raises(FetchError, match='404'):
        fetch.download_file(server.url + NAME, str(tmp_path))
    assert os.listdir(tmp_path) == [] and len(server.paths) == 1


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, 'TIMEOUT', .1)
    server.plan = ['stall']
    with pytest.raises(FetchError, match='timed out'):
        fetch.download_file(server.url + NAME, str(tmp_path), retries=1)
    assert os.listdir(tmp_path) == []


def test_no_network_and_no_cached_file(nobody, tmp_path):
    with pytest.raises(FetchError) as err:
        fetch.download_file(nobody + 'fra-eng.zip', str(tmp_path), sha1_hash=SHA1)
    for part in (nobody + 'fra-eng.zip', SHA1, f'into {tmp_path} as fra-eng.zip',
                 'D2L_DATA=sample'):
        assert part in str(err.value)
    assert os.listdir(tmp_path) == []


def test_no_network_and_a_corrupt_file(nobody, tmp_path):
    (tmp_path / NAME).write_bytes(b'half')
    with pytest.raises(FetchError, match='was left as it was') as err:
        fetch.download_file(nobody + NAME, str(tmp_path), sha1_hash=SHA1)
    assert 'D2L_DATA=sample' not in str(err.value)      # this file has no sample maker
    assert (tmp_path / NAME).read_bytes() == b'half'


@pytest.mark.parametrize('slash', ['', '/'])
def test_the_mirror_replaces_data_url(server, tmp_path, monkeypatch, slash):
    monkeypatch.setenv('D2L_DATA_URL', server.url + 'mirror' + slash)
    fetch.download_file(d2l.DATA_URL + NAME, str(tmp_path), sha1_hash=SHA1)
    fetch.download_file(server.url + 'elsewhere.txt', str(tmp_path))
    assert server.paths == ['/mirror/' + NAME, '/elsewhere.txt']


# Even root cannot write to these folders: one is below a file, the other is in /proc.
@pytest.mark.parametrize('folder', ['file/folder', '/proc/self'])
@pytest.mark.parametrize('source', ['real', 'sample'])
def test_a_folder_that_cannot_be_written(server, tmp_path, monkeypatch, folder, source):
    monkeypatch.setenv('D2L_DATA', source)
    (tmp_path / 'file').write_text('no folder')
    with pytest.raises(FetchError, match='cannot write to .*cache_dir'):
        fetch.download_file(server.url + 'fra-eng.zip', str(tmp_path / folder / 'fra-eng.zip'))
    assert server.paths == []


def test_a_good_file_in_a_read_only_folder_is_used(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    tmp_path.chmod(0o555)
    assert fetch.download_file(server.url + NAME, str(tmp_path),
                               sha1_hash=SHA1) == str(tmp_path / NAME)
    assert server.paths == []


def test_ctrl_c_in_the_middle_of_a_fetch(server, tmp_path):
    server.plan = ['stall']
    code = ('import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n'
            'from d2l.data import fetch; fetch.download_file(*sys.argv[1:])')
    child = subprocess.Popen([sys.executable, '-c', code, server.url + NAME, str(tmp_path)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.rglob(NAME)):    # some bytes are there
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT and 'KeyboardInterrupt' in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('value', ['', 'Sample', 'fake'])
def test_another_source_is_an_error(monkeypatch, tmp_path, value):
    monkeypatch.setenv('D2L_DATA', value)
    with pytest.raises(ValueError, match=f"D2L_DATA is '{value}': say real or sample"):
        fetch.download_file(d2l.DATA_URL + 'fra-eng.zip', str(tmp_path))


# The hub

# As printed in the book: 4.10, 8.2, 9.5.
BOOK_SHA1 = {'kaggle_house_train': '585e9cc93e70b39160e7921475f9bcd7d31219ce',
             'kaggle_house_test': 'fa19780a7b011d9b009e8bff8e99922a8ee2eb90',
             'time_machine': '090b5e7e70c295757f55df93cb0a180b9691891a',
             'fra-eng': '94646ad1522d915e7b0f9296181140edcf86a4f5'}


@pytest.mark.parametrize('name', BOOK_SHA1)
def test_the_hub_has_the_books_files(name):
    assert d2l.DATA_HUB[name][1] == BOOK_SHA1[name]


@pytest.mark.parametrize('name', sorted(d2l.DATA_HUB))
def test_each_entry_of_the_hub_has_a_sample_maker(name):
    assert samples.find(d2l.DATA_HUB[name][0])


def test_an_unknown_name():
    with pytest.raises(KeyError, match='time_machin is not in DATA_HUB, which has .*time_machine'):
        d2l.download('time_machin')


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize('folder, returned', [(None, '../data/tiny/'),
                                              ('tiny/a', '../data/tiny/a/')])
def test_download_and_extract(server, tmp_path, monkeypatch, folder, returned):
    data = zipped({'tiny/a/b.txt': 'b'})
    monkeypatch.setattr(sys.modules[__name__], 'CONTENT', data)
    (tmp_path / 'section').mkdir()
    monkeypatch.chdir(tmp_path / 'section')
    monkeypatch.setattr(d2l.data, 'DATA_HUB', {'tiny': (server.url + 'tiny.zip',
                                                        hashlib.sha1(data).hexdigest())})
    assert d2l.download('tiny') == '../data/tiny.zip'
    assert d2l.download('tiny', cache_dir='here') == 'here/tiny.zip'
    assert d2l.download_extract('tiny', folder) == returned
    assert (tmp_path / 'data/tiny/a/b.txt').read_text() == 'b'
    d2l.download_all()
    assert len(server.paths) == 2


# Archives

def tarred(entries, mode='w'):
    """A tar archive of entries, each (name, bytes) or a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return buffer.getvalue()


def special(kind, target=''):
    info = tarfile.TarInfo('a/special')
    info.type, info.linkname = kind, target
    return info


def zip_link():
    info = zipfile.ZipInfo('a/link')
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return zipped({'a/ok.txt': 'ok', info: '/etc/passwd'})


FILES = [('a/one.txt', b'1' * 3000), ('a/b/two.txt', b'2' * 2000)]
MAKE = {'x.zip': lambda files: zipped(dict(files)), 'x.tar': tarred,
        'x.tar.gz': lambda files: tarred(files, 'w:gz')}


def leftovers(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*'))


@pytest.mark.parametrize('name', MAKE)
def test_extracts(tmp_path, name):
    (tmp_path / name).write_bytes(MAKE[name](FILES))
    extract(str(tmp_path / name), str(tmp_path))
    assert leftovers(tmp_path) == sorted([name, 'a', 'a/b', 'a/b/two.txt', 'a/one.txt'])
    assert (tmp_path / 'a/b/two.txt').read_bytes() == FILES[1][1]


@pytest.mark.parametrize('name', MAKE)
def test_extracts_again_only_what_is_not_there(tmp_path, name):
    (tmp_path / name).write_bytes(MAKE[name](FILES))
    extract(str(tmp_path / name), str(tmp_path))
    first = (tmp_path / 'a/one.txt').stat().st_ino
    (tmp_path / 'a/mine.txt').write_text('kept')
    extract(str(tmp_path / name), str(tmp_path))
    assert (tmp_path / 'a/one.txt').stat().st_ino == first
    (tmp_path / 'a/b/two.txt').write_bytes(b'cut')
    extract(str(tmp_path / name), str(tmp_path))
    assert (tmp_path / 'a/b/two.txt').read_bytes() == FILES[1][1]
    assert (tmp_path / 'a/mine.txt').read_text() == 'kept'


HOSTILE = {
    'up.zip': lambda: zipped({'a/ok.txt': 'ok', '../evil.txt': 'x'}),
    'deep.zip': lambda: zipped({'a/ok.txt': 'ok', 'a/../../evil.txt': 'x'}),
    'absolute.zip': lambda: zipped({'a/ok.txt': 'ok', '/tmp/d2l_evil.txt': 'x'}),
    'drive.zip': lambda: zipped({'a/ok.txt': 'ok', 'C:\\evil.txt': 'x'}),
    'link.zip': zip_link,
    'up.tar': lambda: tarred([FILES[0], ('../evil.txt', b'x')]),
    'up.tar.gz': lambda: tarred([FILES[0], ('../evil.txt', b'x')], 'w:gz'),
    'absolute.tar': lambda: tarred([FILES[0], ('/tmp/d2l_evil.txt', b'x')]),
    'link.tar': lambda: tarred([FILES[0], special(tarfile.SYMTYPE, '/etc')]),
    'inner_link.tar': lambda: tarred([FILES[0], special(tarfile.SYMTYPE, 'one.txt')]),
    'hard_link.tar': lambda: tarred([FILES[0], special(tarfile.LNKTYPE, 'a/one.txt')]),
    'device.tar': lambda: tarred([FILES[0], special(tarfile.CHRTYPE)]),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_archive_extracts_nothing(tmp_path, name):
    folder = tmp_path / 'inner'
    folder.mkdir()
    (folder / name).write_bytes(HOSTILE[name]())
    why = 'link or a device' if 'link' in name or 'device' in name else 'outside its folder'
    with pytest.raises(ArchiveError, match=f'{why}: .*; nothing was extracted'):
        extract(str(folder / name), str(folder))
    assert leftovers(tmp_path) == ['inner', f'inner/{name}']
    assert not os.path.exists('/tmp/d2l_evil.txt')


CUTS = {'half': lambda data: data[:len(data) // 2], 'tail': lambda data: data[:-9],
        'empty': lambda data: b'', 'other': lambda data: b'<html>not found</html>'}


@pytest.mark.parametrize('cut', CUTS)
@pytest.mark.parametrize('name', ['x.zip', 'x.tar.gz'])
def test_a_damaged_archive_extracts_nothing(tmp_path, name, cut):
    (tmp_path / name).write_bytes(CUTS[cut](MAKE[name](FILES)))
    with pytest.raises(ArchiveError, match='(?s)is damaged .*fetched again'):
        extract(str(tmp_path / name), str(tmp_path))
    assert leftovers(tmp_path) == [name]


# A header is 512 bytes; the first file's 3000 bytes fill 6 blocks, so the second starts at 3584.
@pytest.mark.parametrize('size', [0, 300, 2000, 3584, 4000])
def test_a_tar_without_compression_cut_anywhere(tmp_path, size):
    (tmp_path / 'x.tar').write_bytes(tarred(FILES)[:size])
    with pytest.raises(ArchiveError, match='is damaged'):
        extract(str(tmp_path / 'x.tar'), str(tmp_path))
    assert leftovers(tmp_path) == ['x.tar']


def test_a_bit_flipped_in_a_zip(tmp_path):
    data = bytearray(zipped(dict(FILES)))
    data[1000] ^= 1                                     # among the first file's bytes
    (tmp_path / 'x.zip').write_bytes(data)
    with pytest.raises(ArchiveError, match='is damaged .*CRC'):
        extract(str(tmp_path / 'x.zip'), str(tmp_path))
    assert leftovers(tmp_path) == ['x.zip']


def test_another_kind_of_file(tmp_path):
    with pytest.raises(ArchiveError, match='only zip and tar'):
        extract(str(tmp_path / 'x.rar'), str(tmp_path))


def test_a_file_stands_where_a_folder_should(tmp_path):
    (tmp_path / 'x.zip').write_bytes(zipped(dict(FILES)))
    (tmp_path / 'a').write_text('mine')
    with pytest.raises(ArchiveError, match='cannot extract'):
        extract(str(tmp_path / 'x.zip'), str(tmp_path))
    assert leftovers(tmp_path) == ['a', 'x.zip'] and (tmp_path / 'a').read_text() == 'mine'


def test_modes_and_owners_stay_in_the_archive(tmp_path):
    """Also with a Python whose tarfile has no safe extraction, such as Debian 12's."""
    with tarfile.open(tmp_path / 'x.tar', 'w') as archive:
        member = tarfile.TarInfo('x/run')
        member.mode, member.uid, member.size = 0o6777, 12345, 3
        archive.addfile(member, io.BytesIO(b'abc'))
    extract(str(tmp_path / 'x.tar'), str(tmp_path))
    path = tmp_path / 'x' / 'run'
    assert path.read_bytes() == b'abc' and path.stat().st_uid == os.getuid()
    assert not path.stat().st_mode & 0o7111


# Stand-ins

@pytest.fixture
def small(monkeypatch):
    monkeypatch.setenv('D2L_DATA', 'sample')
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '600')


@pytest.mark.parametrize('name', samples.FAMILIES)
def test_the_same_bytes_on_every_machine(small, monkeypatch, name):
    if samples.FAMILIES[name] in DRAWN:
        monkeypatch.setenv('D2L_SAMPLE_SIZE', str(samples.MIN_SIZE))
    digest = hashlib.sha1()
    for piece in samples.pieces(name):
        digest.update(piece if isinstance(piece, bytes) else bytes(piece))
    assert digest.hexdigest() == SAMPLE_SHA1.get(name), (
        f'the maker of {name} makes other bytes: if that is meant, store the new SHA-1 above')


@pytest.mark.parametrize('shape', [(64, 3, 7, 7), (64, 3, 3, 3)])
def test_filters_do_not_depend_on_the_last_digits_of_sines(monkeypatch, shape):
    """These digits differ between machines: on another one, a zero became -0.0."""
    random = np.random.RandomState(0)

    def draw(shape):
        return np.random.RandomState(1).randint(-127, 128, shape) / 74
    plain = models.first_layer(shape, draw).tobytes()

    def other_digits(function):
        def call(x):
            y = function(x)
            return y + random.choice([-4e-16, 0, 4e-16], np.shape(y))
        return call
    for name in 'cos', 'sin', 'exp':
        monkeypatch.setattr(np, name, other_digits(getattr(np, name)))
    for _ in range(5):
        assert models.first_layer(shape, draw).tobytes() == plain


def test_a_stand_in_is_never_where_the_real_file_is(server, small, tmp_path, monkeypatch):
    url = server.url + 'timemachine.txt'
    made = pathlib.Path(fetch.download_file(url, str(tmp_path), sha1_hash=SHA1))
    assert made.parent.parent == tmp_path / 'sample' and made.read_text().startswith('The Time')
    monkeypatch.setenv('D2L_DATA', 'real')
    assert fetch.download_file(url, str(tmp_path),
                               sha1_hash=SHA1) == str(tmp_path / 'timemachine.txt')
    assert (tmp_path / 'timemachine.txt').read_bytes() == CONTENT
    monkeypatch.setenv('D2L_DATA', 'sample')
    assert fetch.download_file(url, str(tmp_path), sha1_hash=SHA1) == str(made)
    assert len(server.paths) == 1


def test_stand_ins_are_made_once_for_each_size_and_recipe(small, tmp_path, monkeypatch):
    url = 'http://host/gluon/dataset/fashion-mnist/train-labels-idx1-ubyte.gz'
    made = fetch.download_file(url, str(tmp_path))
    stamp = os.stat(made).st_mtime_ns
    assert fetch.download_file(url, str(tmp_path)) == made and os.stat(made).st_mtime_ns == stamp
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '700')
    assert fetch.download_file(url, str(tmp_path)) != made
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '600')
    monkeypatch.setattr(samples, 'recipe', lambda: 'changed')
    assert fetch.download_file(url, str(tmp_path)) == str(
        tmp_path / 'sample/changed-600/train-labels-idx1-ubyte.gz')


@pytest.mark.parametrize('file', ['hotdog.py', 'resnet18_v2.npz'])
def test_a_recipe_changes_with_each_file_of_the_makers(python, tmp_path, file):
    shutil.copytree(pathlib.Path(samples.__file__).parent, tmp_path / 'samples')
    say = 'import samples; print(samples.recipe())'
    before = python('-c', say, cwd=tmp_path).stdout
    with open(tmp_path / 'samples' / file, 'ab') as f:
        f.write(b'\n')
    assert python('-c', say, cwd=tmp_path).stdout not in (before, '')


@pytest.mark.parametrize('there', [False, True])
def test_word_vectors_of_mxnet_are_stand_ins(small, tmp_path, monkeypatch, there):
    """Also where the real file is there already, which MXNet looks for before it downloads one."""
    real = tmp_path / 'glove' / 'glove.6B.50d.txt'
    if there:
        real.parent.mkdir()
        real.write_bytes(CONTENT)
        monkeypatch.setitem(GloVe.pretrained_file_name_sha1, real.name, SHA1)
    vectors = text.embedding.create('glove', pretrained_file_name=real.name,
                                    embedding_root=tmp_path)
    assert vectors.vec_len == 50 and 'beautiful' in vectors.token_to_idx
    assert tmp_path / samples.folder() / 'glove' / real.name in tmp_path.rglob(real.name)
    assert real.exists() == there
    assert GloVe._get_pretrained_file(tmp_path, real.name) != str(real)
    monkeypatch.setenv('D2L_DATA', 'real')
    if there:
        assert GloVe._get_pretrained_file(tmp_path, real.name) == str(real)


def _vectors(root):
    return GloVe._get_pretrained_file(root, 'glove.6B.50d.txt')


def _pictures(root):
    return os.path.join(gluon.data.vision.CIFAR10(root=root)._root, 'test_batch.bin')


@pytest.mark.parametrize('get', [_vectors, _pictures])
def test_mxnet_extracts_files_whole_and_once(get, few, tmp_path):
    """MXNet's own code truncates the files and writes into them, each time that it looks for them:
    their SHA-1 is not that of the genuine ones. Another process may be reading them."""
    path = pathlib.Path(get(str(tmp_path)))
    content, before = path.read_bytes(), os.stat(path)
    get(str(tmp_path))
    assert os.stat(path) == before
    path.write_bytes(content[:1000])
    with open(path, 'rb') as reader:
        get(str(tmp_path))
        assert reader.read() == content[:1000]
    assert path.read_bytes() == content


def test_word_vectors_whose_sha1_is_wrong_are_extracted_again(tmp_path, monkeypatch):
    monkeypatch.setenv('D2L_DATA', 'real')
    path, packed = tmp_path / 'glove' / 'glove.6B.50d.txt', tmp_path / 'glove' / 'glove.6B.zip'
    path.parent.mkdir()
    with zipfile.ZipFile(packed, 'w') as archive:
        archive.writestr(path.name, CONTENT)
    path.write_bytes(CONTENT[::-1])                 # of the right size
    monkeypatch.setitem(GloVe.pretrained_file_name_sha1, path.name, SHA1)
    monkeypatch.setitem(GloVe.pretrained_archive_name_sha1, packed.name,
                        hashlib.sha1(packed.read_bytes()).hexdigest())
    assert GloVe._get_pretrained_file(str(tmp_path), path.name) == str(path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize('name', ['resnet18_v2', 'squeezenet1.0'])
def test_genuine_parameters_of_the_model_zoo(name, tmp_path, monkeypatch):
    """MXNet adds a random text to the name of the archive, and removes it in the end."""
    def download(url, path, overwrite):
        assert url.endswith('.zip') and overwrite
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr(url.split('/')[-1].replace('.zip', '.params'), CONTENT)
    monkeypatch.setenv('D2L_DATA', 'real')
    monkeypatch.setattr(model_store, 'download', download)
    monkeypatch.setitem(model_store._model_sha1, name, SHA1)
    path = model_store.get_model_file(name, root=str(tmp_path))
    assert pathlib.Path(path).read_bytes() == CONTENT and len(os.listdir(tmp_path)) == 1


def test_a_file_without_a_maker(small, tmp_path):
    with pytest.raises(FetchError, match='no sample maker for http://host/nobody/s.zip'):
        fetch.download_file('http://host/nobody/s.zip', str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('size', ['', '0', '59', '-600', '1e3', 'many', '٦٠٠'])
def test_a_bad_sample_size(small, monkeypatch, tmp_path, size):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', size)
    with pytest.raises(ValueError, match=f"D2L_SAMPLE_SIZE is '{size}'"):
        fetch.download_file(d2l.DATA_URL + 'fra-eng.zip', str(tmp_path))


# Pictures (chapter 13)

@pytest.fixture
def few(small, monkeypatch):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '60')


def test_cifar10_as_gluon_reads_it(few, tmp_path):
    root = str(tmp_path)
    train, test = [gluon.data.vision.CIFAR10(root=root, train=part) for part in (True, False)]
    assert (len(train), len(test)) == (60, 12) and train[0][0].shape == (32, 32, 3)
    assert np.bincount(train._label).tolist() == [6] * 10
    # nothing is written where the real files would be, and no real file is looked for
    assert os.listdir(root) == ['sample']
    assert gluon.data.vision.CIFAR10(root=root)._data[0].asnumpy().tolist() == \
        train._data[0].asnumpy().tolist()


def test_resnet18_tells_drawn_things_apart(few, tmp_path):
    """The pictures are new ones, drawn as `ci.pretrain` draws those for training."""
    d2l.npx.set_np()
    net = gluon.model_zoo.vision.resnet18_v2(pretrained=True, root=str(tmp_path))
    assert os.listdir(tmp_path) == ['sample']
    X, y = pretrain.batch(painter.Dice(1), 100)
    classes = d2l.np.array(list(pretrain.THINGS))[y.astype('int64')]
    assert d2l.accuracy(net(X), classes) > 90


@pytest.mark.parametrize('name', ['resnet34_v2', 'vgg19'])
def test_the_model_zoo_gets_random_numbers(few, tmp_path, name):
    d2l.npx.set_np()
    net = gluon.model_zoo.vision.get_model(name, pretrained=True, root=str(tmp_path))
    assert os.listdir(tmp_path) == ['sample']
    X = d2l.np.random.normal(size=(1, 3, 64, 64))
    deviations = []
    for layer in net.features[:-6] if name == 'vgg19' else net.features:
        X = layer(X)
        deviations.append(float(X.std()))
    assert .3 < min(deviations) and max(deviations) < 6     # neither fades nor explodes


def test_a_model_that_has_no_stand_in(few, tmp_path):
    with pytest.raises(FetchError, match='no sample maker for .*alexnet'):
        gluon.model_zoo.vision.alexnet(pretrained=True, root=str(tmp_path))


def test_a_large_file_of_zeros_is_sparse_on_disk(few, tmp_path):
    """575 MB of parameters, most of them zeros, take a tenth of that on disk."""
    path = fetch.model_file('vgg19', str(tmp_path))
    assert os.path.getsize(path) > 570e6 and os.stat(path).st_blocks * 512 < 60e6


def test_pikachu_as_im2rec_writes_it(few, tmp_path):
    with zipfile.ZipFile(io.BytesIO(samples.make('pikachu.zip'))) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / 'pikachu'
    records = recordio.MXIndexedRecordIO(str(folder / 'val.idx'), str(folder / 'val.rec'), 'r')
    assert len(records.keys) == 12
    header, img = recordio.unpack_img(records.read_idx(7))
    assert header.id == 7 and img.shape == (256, 256, 3)
    assert header.label[:5].tolist() == [4, 5, 256, 256, 0] and len(header.label) == 9
    left, top, right, bottom = header.label[5:] * 256
    yellow = (img[:, :, 1].astype(int) - img[:, :, 0]) > 90         # green far above blue
    inside = yellow[int(top):int(bottom), int(left):int(right)]
    assert inside.mean() > .4 and inside.mean() > 20 * (
        yellow.sum() - inside.sum()) / (yellow.size - inside.size)


def test_voc_masks_have_vocs_palette(few):
    with tarfile.open(fileobj=io.BytesIO(samples.make('VOCtrainval_11-May-2012.tar'))) as archive:
        root = 'VOCdevkit/VOC2012/'
        lists = {part: archive.extractfile(f'{root}ImageSets/Segmentation/{part}.txt').read()
                 .decode().split() for part in ('train', 'val', 'trainval')}
        assert [len(names) for names in lists.values()] == [60, 30, 90]
        img, mask = [archive.extractfile(root + name.format(lists['train'][0])).read()
                     for name in ('JPEGImages/{}.jpg', 'SegmentationClass/{}.png')]
    assert mask[25] == 3                                            # colour type: palette
    pixels = d2l.image.imdecode(mask)
    assert pixels.shape == d2l.image.imdecode(img).shape
    labels = d2l.voc_label_indices(pixels, d2l.build_colormap2label()).asnumpy()
    colours = set(map(tuple, pixels.asnumpy().reshape(-1, 3).tolist()))
    assert 1 in labels and colours <= {*map(tuple, d2l.VOC_COLORMAP), (224, 224, 192)}


@pytest.mark.parametrize('name, folders', [
    ('hotdog.zip', {'hotdog/train/hotdog': 30, 'hotdog/train/not-hotdog': 30,
                    'hotdog/test/hotdog': 7, 'hotdog/test/not-hotdog': 7}),
    ('kaggle_cifar10_tiny.zip', {'kaggle_cifar10_tiny': 1, 'kaggle_cifar10_tiny/train': 60,
                                 'kaggle_cifar10_tiny/test': 5}),
    ('kaggle_dog_tiny.zip', {'kaggle_dog_tiny': 1, 'kaggle_dog_tiny/train': 60,
                             'kaggle_dog_tiny/test': 10})])
def test_folders_of_pictures(few, name, folders):
    with zipfile.ZipFile(io.BytesIO(samples.make(name))) as archive:
        found = collections.Counter(os.path.dirname(path) for path in archive.namelist())
        assert found == folders
        for path in archive.namelist():
            assert path.endswith('.csv') or d2l.image.imdecode(archive.read(path)).shape[2] == 3


def test_a_run_says_once_that_it_uses_sample_data(python, tmp_path):
    done = python('-c', 'import sys, d2l\nfor name in ["time_machine", "fra-eng"]:\n'
                  '    print(d2l.download(name, sys.argv[1]))', tmp_path,
                  env={'D2L_DATA': 'sample'})
    assert done.returncode == 0 and len(done.stdout.split('\n')) == 3
    assert done.stderr.count('\n') == 1 and 'sample data' in done.stderr


def test_fashion_mnist_as_gluon_reads_it(small, tmp_path):
    data = gluon.data.vision
    train = data.FashionMNIST(root=str(tmp_path), train=True)
    test = data.FashionMNIST(root=str(tmp_path), train=False)
    assert (len(train), len(test)) == (600, 100)
    assert train[0][0].shape == (28, 28, 1) and train[0][0].dtype == np.uint8
    assert np.bincount(train._label).tolist() == [60] * 10
    assert np.bincount(test._label).tolist() == [10] * 10
    images = train._data.asnumpy().reshape(600, -1)
    assert len(np.unique(images, axis=0)) == 600        # no two are alike
    both = np.concatenate([images, test._data.asnumpy().reshape(100, -1)])
    assert len(np.unique(both, axis=0)) == 700          # nor is a test image a training image
    assert .2 < images.mean() / 255 < .35               # the real ones: 0.286


def test_classes_of_fashion_mnist_differ_but_overlap(small):
    """Classification by the nearest class mean is right for most images but not for all, and worse
    than that for shirts, class 6."""
    from d2l.data.samples import fashion_mnist as maker
    X, y = maker.images(1, 2000).reshape(2000, -1).astype(int), maker.labels(1, 2000)
    means = np.stack([X[:1000][y[:1000] == k].mean(axis=0) for k in range(10)])
    distance = ((X[1000:, None] - means) ** 2).sum(axis=2)
    right = distance.argmin(axis=1) == y[1000:]
    accuracy = [right[y[1000:] == k].mean() for k in range(10)]
    assert .5 < right.mean() < .95 and accuracy[6] < right.mean()


@pytest.fixture
def houses():
    files = [d2l.DATA_HUB[f'kaggle_house_{part}'][0] for part in ('train', 'test')]
    # called as a reader's code in __main__ calls it, so that d2l_compat keeps the text 'None'
    read = eval('lambda file: pd.read_csv(file)', {'__name__': '__main__', 'pd': pd})
    return [read(io.BytesIO(samples.make(samples.find(url)))) for url in files]


def test_houses_have_the_real_shape(houses):
    train, test = houses
    assert train.shape == (1460, 81) and test.shape == (1459, 80)
    assert train.columns.tolist()[:-1] == test.columns.tolist()
    features = pd.concat((train.iloc[:, 1:-1], test.iloc[:, 1:]))
    assert (features.dtypes != 'object').sum() == 36
    assert pd.get_dummies(features, dummy_na=True).shape == (2919, 331)     # as 4.10 prints
    missing = train.isna().sum()
    assert missing['LotFrontage'] == 259 and missing['PoolQC'] == 1453      # as in the real file
    assert train.dtypes['LotFrontage'] == float and train.dtypes['TotalBsmtSF'] == int
    assert (train.SalePrice > 0).all()


def test_the_price_depends_on_the_house(houses):
    """Least squares on the numeric columns alone explains most of the price of other houses."""
    train = houses[0].select_dtypes('number').fillna(0)
    X = np.column_stack([train.drop(columns=['Id', 'SalePrice']), np.ones(len(train))])
    y = train.SalePrice.to_numpy(float)
    w = np.linalg.lstsq(X[:1000], y[:1000], rcond=None)[0]
    residual = y[1000:] - X[1000:] @ w
    assert .7 < 1 - residual.var() / y[1000:].var() < .99


def test_the_text_looks_like_the_time_machine():
    text = samples.make('timemachine.txt').decode('ascii')
    lines = text.split('\n')
    assert 'synthetic' in lines[0] and 3100 < len(lines) < 3300 and max(map(len, lines)) <= 70
    kept = ''.join(ch for ch in text.lower() if ch.isascii() and ch.isalpha())
    assert len(set(kept)) == 26  # the vocabulary of 8.2 has 28, with space and <unk>
    counts = collections.Counter(text.lower().split()).most_common()
    assert counts[0][0] == 'the' and 25000 < sum(n for _, n in counts) < 40000
    # Zipf: frequency falls by about the same factor from each rank to ten times that rank
    falls = [counts[rank - 1][1] / counts[rank * 10 - 1][1] for rank in (1, 10, 100)]
    assert all(3 < fall < 40 for fall in falls)


def test_the_pairs_look_like_fra_eng():
    with zipfile.ZipFile(io.BytesIO(samples.make('fra-eng.zip'))) as archive:
        assert archive.namelist() == ['fra-eng/fra.txt']
        text = archive.read('fra-eng/fra.txt').decode('utf-8')
    pairs = [line.split('\t') for line in text.splitlines()]
    assert len(pairs) > 10000 and all(len(pair) == 2 for pair in pairs)
    english = [pair[0] for pair in pairs]
    assert len(set(english)) == len(english)            # one translation each
    assert english == sorted(english, key=lambda sentence: (len(sentence), sentence))
    assert '\u202f!' in text and '\u202f?' in text and ' !' not in text and ' ?' not in text
    assert all(sentence[0].isupper() and sentence[-1] in '.!?' for pair in pairs
               for sentence in pair)


@pytest.mark.parametrize('num_examples', [1000, None])
def test_few_words_of_fra_eng_are_rare(num_examples):
    """After 9.5's preprocessing, words that occur fewer than min_freq=3 times are less than 2 %."""
    with zipfile.ZipFile(io.BytesIO(samples.make('fra-eng.zip'))) as archive:
        text = archive.read('fra-eng/fra.txt').decode('utf-8')
    for language in d2l.tokenize_nmt(d2l.preprocess_nmt(text), num_examples):
        counts = collections.Counter(word for line in language for word in line)
        assert sum(n for n in counts.values() if n < 3) < .02 * sum(counts.values())
