import nbclient
import nbformat
import pytest

from chapters import __main__ as cli
from chapters.sections import all_sections, find
from ci import outputs


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The folder to which `notebook all --to` has written."""
    folder = tmp_path_factory.mktemp('notebooks')
    assert cli.main(['notebook', 'all', '--to', str(folder)]) == 0
    return folder


@pytest.mark.xdist_group('notebooks')
@pytest.mark.parametrize('section', all_sections(), ids=lambda section: section.number)
def test_every_section_becomes_a_notebook_without_outputs(folder, section):
    nb = nbformat.read(folder / section.path.parent.name / f'{section.path.stem}.ipynb', 4)
    nbformat.validate(nb)
    code = [cell for cell in nb.cells if cell.cell_type == 'code']
    assert [cell.source for cell in code] == section.listings
    assert not any(cell.outputs for cell in code) and nb.metadata.kernelspec.name == 'python3'


@pytest.mark.xdist_group('notebooks')
@pytest.mark.parametrize('number', ['2.2', '5.5', '8.2'])
def test_it_runs_in_jupyter(folder, number):
    """A fresh kernel in the notebook's folder, as Jupyter starts it, prints the book's numbers."""
    section, = find(number)
    path = folder / section.path.parent.name / f'{section.path.stem}.ipynb'
    nb = nbformat.read(path, 4)
    nbclient.NotebookClient(nb, resources={'metadata': {'path': str(path.parent)}}).execute()
    assert outputs.check(section, nb, quick=False) == []


def test_the_same_notebook_twice_is_the_same_file(tmp_path):
    for name in ('a', 'b'):
        assert cli.main(['notebook', '2.1', '--to', str(tmp_path / name)]) == 0
    first, second = (next((tmp_path / name).rglob('*.ipynb')) for name in ('a', 'b'))
    assert first.read_bytes() == second.read_bytes()


SPEC = 'https://host/d2l_mxnet-1.0.0-py3-none-any.whl'


def test_a_first_cell_installs(tmp_path):
    assert cli.main(['notebook', '2.1', '--to', str(tmp_path), '--install', SPEC]) == 0
    path, = tmp_path.rglob('*.ipynb')
    nb = nbformat.read(path, 4)
    nbformat.validate(nb)
    section, = find('2.1')
    first, *code = [cell.source for cell in nb.cells if cell.cell_type == 'code']
    assert nb.cells[0].source == first and SPEC in first and code == section.listings


@pytest.mark.parametrize('there', [False, True])
@pytest.mark.parametrize('data, says', [('real', "D2L_DATA'] = 'sample"), ('sample', 'stand-ins')])
def test_the_first_cell_installs_once_and_says_on_which_data(monkeypatch, capsys, there, data,
                                                             says):
    commands = []
    monkeypatch.setattr('subprocess.run', lambda command, check: commands.append(command[1:]))
    if not there:
        monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    monkeypatch.setenv('D2L_DATA', data)
    names = {}
    exec(cli.INSTALL.format(spec=SPEC), names)
    assert commands == ([] if there else [['-m', 'pip', 'install', '-q', SPEC],
                                          ['-m', 'd2l_mxnet']])
    assert says in capsys.readouterr().out and set(names) == {'__builtins__'}


def test_install_is_refused_without_to(capsys):
    with pytest.raises(SystemExit):
        cli.main(['notebook', '2.1', '--install', SPEC])
    assert '--install goes with --to' in capsys.readouterr().err


def test_quick_is_refused_with_to(capsys):
    with pytest.raises(SystemExit):
        cli.main(['notebook', '2.1', '--to', 'x', '--quick'])
    assert '--to runs nothing' in capsys.readouterr().err
