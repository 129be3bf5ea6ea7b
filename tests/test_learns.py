"""ci.learns tells thresholds that are met from others. Its runs take too long for a test."""
import nbformat
import pytest

from chapters.sections import find
from ci import learns


def test_every_measure_is_of_a_section():
    assert {section.number for section in find(*learns.MEASURES)} == set(learns.MEASURES)


@pytest.mark.parametrize('line, ok', [
    ('above 0.9 0.8 accuracy', [True]), ('above 0.8 0.8 accuracy', [False]),
    ('below 1.0 1.1 RMSE', [True]), ('below 1.2 1.1 RMSE', [False]),
    ('above nan 0.8 accuracy', [False]), ('below nan 0.8 RMSE', [False]),
    ('above 0.9 0.8 hit rate\nabove 0.4 0.5 AUC', [True, False]),
])
def test_a_threshold_is_met_or_missed(monkeypatch, line, ok):
    out = nbformat.v4.new_output('stream', text=line + '\n')
    cell = nbformat.v4.new_code_cell(outputs=[out])
    monkeypatch.setattr(learns, 'execute', lambda section, quick: (
        nbformat.v4.new_notebook(cells=[cell]), None))
    section, = find('16.1')
    assert [met for met, _ in learns.applied(section)] == ok


def test_a_section_that_prints_no_measure_is_an_error(monkeypatch):
    monkeypatch.setattr(learns, 'execute', lambda section, quick: (
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()]), None))
    section, = find('16.1')
    with pytest.raises(AssertionError, match='16.1 measures nothing'):
        list(learns.applied(section))
