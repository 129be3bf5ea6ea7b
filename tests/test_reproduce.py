"""The comparison with the book on real data; nothing is trained here."""
import gzip
import inspect
import json

import numpy as onp
import pytest

import d2l
from chapters.execute import execute
from chapters.sections import find
from ci import outputs, reproduce
from d2l.data import contents

RUN = {'section': '6.6', 'listing': 5, 'line': 'loss 0.466, train acc 0.825, test acc 0.821',
       'minutes': 3.0, 'when': '2026-11-29', 'where': '2 cores'}


@pytest.mark.parametrize('book, lines, verdict', [
    ('(60000, 10000)', ['(60000, 10000)'], 'the same'),
    ('acc 0.82', ['acc 0.83', 'acc 0.81'], '2 of 3 runs: no spread yet'),
    ('acc 0.82', ['acc 0.83', 'acc 0.81', 'acc 0.82'], 'agrees'),
    ('acc 0.82', ['acc 0.85', 'acc 0.86', 'acc 0.84'], 'agrees'),
    ('acc 0.82', ['acc 0.88', 'acc 0.88', 'acc 0.88'], 'differs'),
    ('loss 0.5, acc 0.82', ['loss 0.5, acc 0.70', 'loss 0.5, acc 0.71', 'loss 0.5, acc 0.72'],
     'differs'),
    ('array(0.801, dtype=float64)', ['array(0.801, dtype=float64)'], 'the same'),
    ('test acc 0.837', ['train loss 0.4, train acc 0.9, test acc 0.84'] * 3, 'agrees'),
    ('test acc 0.837', ['train loss 0.4, train acc 0.837, test acc 0.9'] * 3, 'differs'),
    (reproduce.AXES, ['train loss 0.4, test acc 0.83'], '1 of 3 runs: no spread yet'),
    (reproduce.AXES, ['train loss 0.4, test acc 0.83'] * 3, 'on its axis'),
    (reproduce.AXES, ['train loss 0.4, test acc 0.83'] * 2 + ['train loss 2.3, test acc 0.1'],
     'differs')])
def test_a_verdict_comes_of_repeated_runs(book, lines, verdict):
    assert reproduce.verdict(book, lines) == verdict


@pytest.mark.parametrize('section', reproduce.SECTIONS)
def test_the_listings_print_something_in_the_book(section):
    found, = find(section)
    shown = {listing for listing in reproduce.SECTIONS[section]
             if (section, listing) in reproduce.FIGURES}
    assert set(reproduce.SECTIONS[section]) - shown <= set(outputs.golden(section))
    assert all('train_ch3(' in found.listings[listing] for listing in shown)


def test_the_axis_is_that_of_the_figure():
    low, high = outputs.NUMBER.findall(reproduce.AXES)
    source = inspect.getsource(d2l.train_ch3)
    assert f'ylim=[{low}, {high}]' in source


def test_the_table_is_of_the_stored_runs():
    assert reproduce.TABLE.read_text() == reproduce.table(reproduce.kept())
    assert all(set(run) == set(RUN) for run in reproduce.kept())


def test_the_table_says_when_and_where():
    lines = [RUN['line'], 'loss 0.470, train acc 0.823, test acc 0.815',
             'loss 0.475, train acc 0.820, test acc 0.811']
    text = reproduce.table([{**RUN, 'line': line} for line in lines])
    row, = [row for row in text.split('\n') if row.startswith('| 6.6')]
    assert 'loss 0.471' in row and '0.466' in row and 'agrees' in row
    assert '2026-11-29' in row and '2 cores' in row


@pytest.mark.parametrize('args', [[], ['99.9'], ['6.6', '2.1']])
def test_other_sections_cannot_be_run(args, capsys):
    assert reproduce.main(args) == reproduce.CANNOT_RUN
    assert '6.6' in capsys.readouterr().err


def test_runs_are_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reproduce, 'RUNS', tmp_path / 'runs.json')
    monkeypatch.setattr(reproduce, 'TABLE', tmp_path / 'table.md')
    monkeypatch.setattr(reproduce, 'run', lambda section: iter([(5, RUN['line'])]))
    assert [reproduce.main(['6.6']) for _ in range(2)] == [0, 0]
    assert json.loads(reproduce.RUNS.read_text())[1]['line'] == RUN['line']
    assert '6.6' in reproduce.TABLE.read_text() and 'the book prints' in capsys.readouterr().out


def test_a_run_that_differs_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce, 'RUNS', tmp_path / 'runs.json')
    monkeypatch.setattr(reproduce, 'TABLE', tmp_path / 'table.md')
    monkeypatch.setattr(reproduce, 'run', lambda section: iter(
        [(5, 'loss 0.9, train acc 0.6, test acc 0.6')]))
    assert [reproduce.main(['6.6']) for _ in range(3)] == [0, 0, reproduce.FAILS]


def test_where_the_curves_of_a_figure_end_is_kept():
    nb, _ = execute(find('4.3')[0], quick=True)
    ends = nb.metadata['d2l']['ends'][2]
    assert list(ends) == ['train loss', 'train acc', 'test acc']
    assert all(0 <= end <= 3 for end in ends.values())


def read(name, sha1, header):
    """The values of a real file of Fashion-MNIST, without its header. Skips where there is none."""
    path = contents.shipped(name, sha1)
    if path is None:
        pytest.skip('the real Fashion-MNIST is not here: apt-get install dataset-fashion-mnist')
    with gzip.open(path) as file:
        return onp.frombuffer(file.read()[header:], 'uint8')


def test_numpy_computes_the_known_result_of_17_1():
    files = [f'{part}-{kind}.gz' for part in ('train', 't10k')
             for kind in ('images-idx3-ubyte', 'labels-idx1-ubyte')]
    X, y, X_test, y_test = (read(name, sha1, 16 if 'images' in name else 8)
                            for name, sha1 in zip(files, contents.CONTENTS))
    X, X_test = (a.reshape(-1, 28, 28).astype('float64') for a in (X, X_test))
    w = (X[y == 1].mean(0) - X[y == 0].mean(0)).T       # the book, too, prints it transposed
    two = y_test < 2
    right = ((X_test[two].reshape(2000, -1) @ w.flatten() > -1500000) == y_test[two]).mean()
    ours = [run['line'] for run in reproduce.kept() if run['section'] == '17.1']
    assert ours and set(ours) == {f'array({right}, dtype=float64)'}


def test_a_known_difference_is_no_failure(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reproduce, 'RUNS', tmp_path / 'runs.json')
    monkeypatch.setattr(reproduce, 'TABLE', tmp_path / 'table.md')
    monkeypatch.setattr(reproduce, 'run', lambda section: iter([(5, 'array(0.7, dtype=float64)')]))
    assert [reproduce.main(['17.1']) for _ in range(3)] == [0, 0, 0]
    assert 'differs (NumPy' in reproduce.TABLE.read_text()
    assert reproduce.agreeing(reproduce.kept()) == []
