"""The stand-ins of the applications are in the real formats and hold what is to be learnt."""
import io
import re
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from d2l.data import samples
from d2l.data.samples import ctr, movielens, pokemon

FIELD_SAYS = .03        # how far a field alone may lift the accuracy above that of guessing
BEATS = .9              # what users' and films' means leave of the error of one mean for all


@pytest.fixture(autouse=True)
def _whole(monkeypatch):
    monkeypatch.delenv('D2L_SAMPLE_SIZE', raising=False)


def members(name):
    """The files of an archive, path -> bytes."""
    with zipfile.ZipFile(io.BytesIO(samples.make(name))) as archive:
        return {path: archive.read(path) for path in archive.namelist()}


def test_ratings_have_a_reason():
    files = members('ml-100k.zip')
    data = pd.read_csv(io.BytesIO(files['ml-100k/u.data']), sep='\t', header=None,
                       names=['user', 'film', 'stars', 'second'])
    users, films, ratings = (int(line.split()[0]) for line
                             in files['ml-100k/u.info'].decode().splitlines())
    assert users == films == movielens.USERS and len(data) == ratings
    assert set(data.user) == set(data.film) == set(range(1, users + 1))
    assert set(data.stars) == set(range(1, 6)) and data.groupby('user').size().min() >= 20
    assert not data.duplicated(['user', 'film']).any()
    assert not data.duplicated(['user', 'second']).any()
    for file, columns in (('u.item', 24), ('u.user', 5)):
        lines = files[f'ml-100k/{file}'].decode().splitlines()
        assert len(lines) == users and {len(line.split('|')) for line in lines} == {columns}
    kind = sum(data.groupby(of).stars.transform('mean') for of in ('user', 'film'))
    assert (data.stars - kind + data.stars.mean()).std() < BEATS * data.stars.std()


def test_clicks_depend_on_pairs_and_on_no_field_alone():
    rows = {path: [line.split('\t') for line in data.decode('ascii').splitlines()]
            for path, data in members('ctr.zip').items()}
    assert {path: len(lines) for path, lines in rows.items()} == {
        'ctr/train.csv': 15000, 'ctr/test.csv': 3000}
    assert {len(row) for row in rows['ctr/train.csv']} == {1 + ctr.FIELDS}
    table = pd.DataFrame(rows['ctr/train.csv'])
    clicked = table.pop(0).astype(int)
    guess = max(clicked.mean(), 1 - clicked.mean())
    for field in table:
        best = clicked.groupby(table[field]).agg(lambda y: max(y.sum(), len(y) - y.sum())).sum()
        assert best / len(table) < guess + FIELD_SAYS, field
    different = sum(clicked.groupby([table[a + 1], table[b + 1]]).transform('mean')
                    > clicked.mean() for a, b in ctr.PAIRS)
    assert ((different > len(ctr.PAIRS) / 2) == clicked).mean() > .9


@pytest.mark.parametrize('size, monsters', [(None, 150), (60, 60), (200, 150)])
def test_monsters_are_images_in_folders(monkeypatch, size, monsters):
    if size:
        monkeypatch.setenv('D2L_SAMPLE_SIZE', str(size))
    files = members('pokemon.zip')
    assert len(files) == (size or pokemon.IMAGES)
    assert all(re.fullmatch(r'pokemon/[a-z]+/\d+\.png', path) for path in files)
    assert len({path.split('/')[1] for path in files}) == monsters
    for data in list(files.values())[::97]:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (80, 80, 3)
        assert (image[0, 0] == 255).all() and (image != 255).any()
