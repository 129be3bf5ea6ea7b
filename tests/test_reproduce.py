"""The comparison with the book on real data; nothing is trained here."""
import json

import pytest

from chapters.sections import find
from ci import outputs, reproduce

RUN = {'section': '6.6', 'listing': 5, 'line': 'loss 0.466, train acc 0.825, test acc 0.821',
       'minutes': 3.0, 'when': '2026-11-29', 'where': '2 cores'}


@pytest.mark.parametrize('book, lines, verdict', [
    ('(60000, 10000)', ['(60000, 10000)'], 'the same'),
    ('acc 0.82', ['acc 0.83', 'acc 0.81'], '2 of 3 runs: no spread yet'),
    ('acc 0.82', ['acc 0.83', 'acc 0.81', 'acc 0.82'], 'agrees'),
    ('acc 0.82', ['acc 0.85', 'acc 0.86', 'acc 0.84'], 'agrees'),
    ('acc 0.82', ['acc 0.88', 'acc 0.88', 'acc 0.88'], 'differs'),
    ('loss 0.5, acc 0.82', ['loss 0.5, acc 0.70', 'loss 0.5, acc 0.71', 'loss 0.5, acc 0.72'],
     'differs')])
def test_a_verdict_comes_of_repeated_runs(book, lines, verdict):
    assert reproduce.verdict(book, lines) == verdict


@pytest.mark.parametrize('section', reproduce.SECTIONS)
def test_the_listings_print_something_in_the_book(section):
    assert find(section) and set(reproduce.SECTIONS[section]) <= set(outputs.golden(section))


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
