"""d2l.data.contents: files whose contents show that they are real. No real data is needed."""
import gzip
import hashlib

import pytest
from mxnet.gluon.data.vision import FashionMNIST

from d2l.data import contents, fetch

INSIDE, BOOKS = b'images' * 1000, 'a' * 40
NAME = 'train-images-idx3-ubyte.gz'
URL = f'http://127.0.0.1:9/gluon/dataset/fashion-mnist/{NAME}'      # no server listens there


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the data set's file, compressed anew. The book asks for the SHA-1 in BOOKS."""
    monkeypatch.setenv('D2L_DATA', 'real')
    monkeypatch.setattr(contents, 'FOLDER', str(tmp_path / 'nothing'))
    monkeypatch.setattr(contents, 'CONTENTS', {BOOKS: hashlib.sha1(INSIDE).hexdigest()})
    folder = tmp_path / 'shipped'
    folder.mkdir()
    (folder / NAME).write_bytes(gzip.compress(INSIDE, 1))
    return folder


@pytest.mark.parametrize('variable', [True, False])
def test_a_shipped_file_is_used_where_it_lies(folder, tmp_path, monkeypatch, variable):
    if variable:
        monkeypatch.setenv(contents.VARIABLE, str(folder))
    else:
        monkeypatch.setattr(contents, 'FOLDER', str(folder))
    (tmp_path / 'root').mkdir()
    assert fetch.download_file(URL, str(tmp_path / 'root'), sha1_hash=BOOKS) == str(folder / NAME)
    assert list((tmp_path / 'root').iterdir()) == []


def test_a_file_put_there_by_hand_counts_by_its_contents(folder):
    assert fetch.download_file(URL, str(folder), sha1_hash=BOOKS) == str(folder / NAME)


@pytest.mark.parametrize('data', [
    gzip.compress(INSIDE + b'!'), gzip.compress(INSIDE)[:-9], INSIDE, b'',
    gzip.compress(INSIDE)[:50] + b'damaged' * 9, gzip.compress(bytes(contents.MOST + 1))],
    ids=['other', 'cut', 'plain', 'empty', 'damaged', 'large'])
def test_other_contents_are_not_real(folder, tmp_path, monkeypatch, data):
    monkeypatch.setenv(contents.VARIABLE, str(folder))
    (folder / NAME).write_bytes(data)
    with pytest.raises(fetch.FetchError, match='cannot fetch'):
        fetch.download_file(URL, str(tmp_path / NAME), sha1_hash=BOOKS, retries=1)
    assert not (tmp_path / NAME).exists()


def test_only_files_of_the_book_are_looked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(contents.VARIABLE, str(folder))
    with pytest.raises(fetch.FetchError):
        fetch.download_file(URL, str(tmp_path / NAME), sha1_hash='b' * 40, retries=1)
    with pytest.raises(fetch.FetchError):
        fetch.download_file(URL, str(tmp_path / NAME), overwrite=True, sha1_hash=BOOKS, retries=1)


def test_the_files_are_those_that_gluon_asks_for():
    asked = FashionMNIST.__init__.__code__.co_consts
    hashes = {part for const in asked for part in (const if isinstance(const, tuple) else [const])
              if isinstance(part, str) and len(part) == 40}
    assert hashes == set(contents.CONTENTS)
