"""The stand-ins of the applications have the real formats, and something to learn in them."""
import collections
import io
import itertools
import re
import tarfile
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from d2l.data import samples
from d2l.data.samples import ctr, embeddings, imdb, movielens, pokemon, ptb, snli

SYNONYMS = {'chip': ['chips', 'intel', 'electronics'], 'baby': ['babies', 'boy', 'girl'],
            'beautiful': ['lovely', 'gorgeous', 'wonderful']}            # as 14.7 prints them
WORDS_TELL = .9  # share of the reviews that are classified right by their judging words alone
FIELD_SAYS = .03        # how far a field alone may lift the accuracy above that of guessing
BEATS = .9  # error of the means of users and films, relative to that of one mean for all


@pytest.fixture(autouse=True)
def _whole(monkeypatch):
    monkeypatch.delenv('D2L_SAMPLE_SIZE', raising=False)


def members(name):
    """The files of an archive, path -> bytes."""
    data = io.BytesIO(samples.make(name))
    if name.endswith('.zip'):
        with zipfile.ZipFile(data) as archive:
            return {path: archive.read(path) for path in archive.namelist()}
    with tarfile.open(fileobj=data) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}


@pytest.fixture(scope='module')
def vectors(request):
    """The words of a file, and their vectors brought to length 1."""
    archive, file = request.param
    files = members(archive)
    length, = (n for n in embeddings.LENGTHS[archive] if f'.{n}d.' in file or '.vec' in file)
    assert len(files) == len(embeddings.LENGTHS[archive])
    lines = files[file].decode('ascii').splitlines()
    if file.endswith('.vec'):
        assert lines.pop(0) == f'{len(lines)} {length}'
    words = [line.split(' ')[0] for line in lines]
    rows = np.array([list(map(float, line.split(' ')[1:])) for line in lines])
    assert rows.shape == (embeddings.SIZE, length)
    return words, rows / np.linalg.norm(rows, axis=1, keepdims=True)


EACH_FILE = pytest.mark.parametrize('vectors', [
    ('glove/glove.6B.zip', 'glove.6B.50d.txt'), ('fasttext/wiki.simple.zip', 'wiki.simple.vec')],
    indirect=True, ids=['glove', 'fasttext'])


def nearest(vectors, x, k):
    words, rows = vectors
    return [words[i] for i in np.argsort(-(rows @ x))[:k]]


@EACH_FILE
def test_word_vectors_have_each_word_once(vectors):
    words, _ = vectors
    assert len(set(words)) == len(words)
    assert words.index('beautiful') + 1 == embeddings.BEAUTIFUL          # the unknown word is 0


@EACH_FILE
@pytest.mark.parametrize('word', SYNONYMS)
def test_nearest_words_are_those_of_the_book(vectors, word):
    words, rows = vectors
    assert nearest(vectors, rows[words.index(word)], 4) == [word] + SYNONYMS[word]


@EACH_FILE
@pytest.mark.parametrize('kind', embeddings.PAIRS, ids='-'.join)
def test_analogies(vectors, kind):
    words, rows = vectors
    text = embeddings.PAIRS[kind].split()
    pairs = list(zip(text[::2], text[1::2]))
    wrong = [(a, b, c, d) for (a, b), (c, d) in itertools.permutations(pairs, 2)
             if nearest(vectors, rows[words.index(b)] - rows[words.index(a)]
                        + rows[words.index(c)], 1) != [d]]
    assert not wrong


def test_ptb_lines_and_topics():
    files = members('ptb.zip')
    text = files['ptb/ptb.train.txt'].decode('ascii')
    assert set(files) == {f'ptb/ptb.{part}.txt' for part in ('train', 'valid', 'test')}
    assert all(re.fullmatch(r' \S+( \S+)+ ', line) for line in text.splitlines())
    counts = collections.Counter(text.split())
    things = [thing for topic in ptb.THINGS for thing in topic]
    assert len(set(things)) == len(things) and min(counts[thing] for thing in things) >= 100
    for line in text.splitlines():
        assert len(set(line.split()) & set(things)) <= 1 or 'board' in line


def test_reviews_match_their_file_names():
    files = members('aclImdb_v1.tar.gz')
    reviews = [re.fullmatch(r'aclImdb/(train|test)/(pos|neg)/\d+_(\d+)\.txt', path)
               for path in files if not path.endswith('README')]
    assert all(7 <= int(m[3]) <= 10 if m[2] == 'pos' else 1 <= int(m[3]) <= 4 for m in reviews)
    assert collections.Counter((m[1], m[2]) for m in reviews) == {
        ('train', 'pos'): 1000, ('train', 'neg'): 1000, ('test', 'pos'): 500, ('test', 'neg'): 500}
    right = 0
    for m in reviews:
        words = re.findall(r'\w+', files[m[0]].decode('ascii'))
        score = sum((word in imdb.GOOD + imdb.LIKED) - (word in imdb.BAD + imdb.LOATHED)
                    for word in words)
        right += score != 0 and (score > 0) == (m[2] == 'pos')
    assert WORDS_TELL * len(reviews) < right < len(reviews)


def test_pairs_of_sentences():
    files = members('snli_1.0.zip')
    assert set(files) == {f'snli_1.0/snli_1.0_{part}.txt' for part in ('train', 'dev', 'test')}
    header, *rows = [line.split('\t') for line in
                     files['snli_1.0/snli_1.0_train.txt'].decode('ascii').splitlines()]
    assert header == snli.HEADER and len(rows) == snli.SIZES['train']
    counts = collections.Counter(row[0] for row in rows)
    assert 0 < counts.pop('-') < 0.04 * len(rows)
    assert set(counts) == {'entailment', 'contradiction', 'neutral'}
    assert max(counts.values()) - min(counts.values()) < 0.02 * len(rows)
    for row in rows:
        assert len(row) == len(header)
        for binary, parse, sentence in zip(row[1:3], row[3:5], row[5:7]):
            words = re.sub('[()]', ' ', binary).split()
            assert words == re.findall(r'\(\S+ ([^()\s]+)\)', parse)
            assert ' '.join(words[:-1]) + words[-1] == sentence


def test_ratings_depend_on_the_user_and_the_film():
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
