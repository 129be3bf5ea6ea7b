"""Run notebooks in a kernel like Colab's, in .venv-colab: `make test-colab`, which downloads MXNet.

Python 3.12, NumPy 2, pandas 2, matplotlib and IPython 7.34 are imported before the first cell.
"""
import json
import os
import subprocess
import sys

import nbclient
import nbformat
import pytest

from chapters import __main__ as cli
from chapters.execute import QUICK_SAMPLE_SIZE, quick_constants, shrink
from chapters.sections import find
from tests.support import REPO

PYTHON = os.environ.get('COLAB_PYTHON', str(REPO / '.venv-colab' / 'bin' / 'python'))
IMPORTED = ('import IPython, matplotlib.pyplot, numpy, pandas\n'
            'versions = [module.__version__ for module in (IPython, numpy, pandas)]')
FOUND = 'import d2l; print(versions, d2l.__version__, d2l.__file__)'


def pip(*args):
    return subprocess.run([PYTHON, '-m', 'pip', *args], text=True, check=True, capture_output=True,
                          cwd='/', env={**os.environ, 'PYTHONPATH': ''}).stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel of this checkout, and uninstall d2l-mxnet and MXNet from .venv-colab."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', folder, REPO],
                   check=True)
    pip('uninstall', '-y', 'd2l-mxnet', 'mxnet', 'mxnet-cu112')
    return next(folder.glob('d2l_mxnet-*.whl'))


@pytest.fixture(autouse=True)
def kernel(monkeypatch, tmp_path):
    """Install a Jupyter kernel named colab that runs the Python of .venv-colab."""
    folder = tmp_path / 'jupyter' / 'kernels' / 'colab'
    folder.mkdir(parents=True)
    folder.joinpath('kernel.json').write_text(json.dumps({
        'argv': [PYTHON, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
        'display_name': 'Colab', 'language': 'python'}))
    monkeypatch.setenv('JUPYTER_PATH', str(tmp_path / 'jupyter'))


@pytest.mark.parametrize('number', ['3.6', '6.6', '13.4'])
def test_a_section_runs(wheel, tmp_path, monkeypatch, number):
    monkeypatch.setenv('D2L_DATA', 'sample')
    monkeypatch.setenv('D2L_SAMPLE_SIZE', QUICK_SAMPLE_SIZE)
    monkeypatch.delenv('PYTHONPATH', raising=False)
    before = {line for line in pip('freeze').splitlines() if 'd2l' not in line}
    assert cli.main(['notebook', number, '--to', str(tmp_path / 'book'), '--install',
                     str(wheel)]) == 0
    path, = (tmp_path / 'book').rglob('*.ipynb')
    nb = nbformat.read(path, 4)
    code = [cell for cell in nb.cells if cell.cell_type == 'code']
    constants, _ = quick_constants(find(number)[0].number)
    for cell, source in zip(code[1:], shrink([cell.source for cell in code[1:]], constants)):
        cell.source = source
    nb.cells.insert(0, nbformat.v4.new_code_cell(IMPORTED))
    nb.cells.append(nbformat.v4.new_code_cell(FOUND))
    nbclient.NotebookClient(nb, kernel_name='colab', timeout=900, resources={
        'metadata': {'path': str(path.parent)}}).execute()
    assert 'synthetic stand-ins' in ''.join(out.text for out in code[0].outputs
                                            if out.output_type == 'stream')
    assert 'site-packages/d2l' in nb.cells[-1].outputs[0].text
    assert "'7.34.0', '2." in nb.cells[-1].outputs[0].text
    after = set(pip('freeze').splitlines())
    assert before <= after, f'{before - after} were replaced'
