"""`d2l lab`, without starting JupyterLab itself."""
import pathlib
import re

import nbformat
import pytest

from chapters import __main__ as cli
from chapters import lab
from chapters.sections import find

SECTIONS = find('2.5', '3.6', '12.5', '13.1')


@pytest.fixture
def started(monkeypatch):
    """Make JupyterLab seem installed, and record its starts as (command, D2L_DATA)."""
    found = []
    monkeypatch.setattr(cli, 'all_sections', lambda: SECTIONS)
    monkeypatch.setattr(lab, 'check', lambda: None)
    monkeypatch.setattr(lab.os, 'execve', lambda path, command, env: found.append(
        (command, env['D2L_DATA'])))
    return found


@pytest.mark.parametrize('checkout, cure',
                         [(True, 'make lab'), (False, '-m pip install jupyterlab')])
def test_without_jupyterlab_one_line_says_how_to_install_it(monkeypatch, capsys, checkout, cure):
    monkeypatch.setattr(lab.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setattr(lab, 'CHECKOUT', checkout)
    assert cli.main(['lab']) == 2
    said = capsys.readouterr().err
    assert said.startswith('python -m chapters: there is no JupyterLab here: ') and cure in said
    assert said.count('\n') == 1


@pytest.mark.parametrize('data', ['real', 'sample'])
def test_it_opens_the_index_on_the_data_asked_for(started, tmp_path, data, capsys):
    assert cli.main(['lab', '--to', str(tmp_path), '--data', data, '--no-browser']) == 0
    (command, said), = started
    assert said == data and str(tmp_path / 'index.ipynb') in command and '--no-browser' in command
    assert f'{data} data' in capsys.readouterr().out
    nb = nbformat.read(tmp_path / 'index.ipynb', 4)
    nbformat.validate(nb)
    assert nb.metadata.d2l.data == data and f'**{data} data**' in nb.cells[1].source


def test_the_index_leads_to_every_section_in_the_books_order(started, tmp_path):
    assert cli.main(['lab', '--to', str(tmp_path)]) == 0
    text = nbformat.read(tmp_path / 'index.ipynb', 4).cells[-1].source
    links = re.findall(r'^- \[([\d.]+) .*?\]\((\S+\.ipynb)\)', text, flags=re.M)
    assert [number for number, _ in links] == [section.number for section in SECTIONS]
    assert all((tmp_path / pathlib.Path(path)).exists() for _, path in links)


def test_what_a_reader_has_changed_stays(started, tmp_path, capsys):
    cli.main(['lab', '--to', str(tmp_path)])
    mine, *_ = sorted(tmp_path.rglob('s*.ipynb'))
    mine.write_text('mine')
    assert cli.main(['lab', '--to', str(tmp_path)]) == 0
    assert mine.read_text() == 'mine'
    assert f'{len(SECTIONS)} notebooks were there' in capsys.readouterr().out


def test_notebooks_say_which_data_they_run_on_now(started, tmp_path):
    path = tmp_path / 'ch03_linear_neural_networks' / 's06_softmax_regression_scratch.ipynb'
    for data, other in ('sample', 'real'), ('real', 'sample'):
        assert cli.main(['lab', '--to', str(tmp_path), '--data', data]) == 0
        nb = nbformat.read(path, 4)
        assert f'**{data} data**' in nb.cells[0].source and nb.metadata.d2l.data == data
        assert f'**{other} data**' not in nb.cells[0].source
        nb.cells[-1].source += '  # mine'
        nbformat.write(nb, path)
    assert nbformat.read(path, 4).cells[-1].source.endswith('  # mine  # mine')


def test_jupyterlab_gets_its_options(started, tmp_path):
    assert cli.main(['lab', '--to', str(tmp_path), '--allow-root', '--', '--port=9999']) == 0
    assert started[0][0][-2:] == ['--allow-root', '--port=9999']
