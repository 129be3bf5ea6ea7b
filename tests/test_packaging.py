import os
import re
import runpy
import sys

import pytest

from conftest import REPO

CONSTRAINTS = (REPO / 'constraints.txt').read_text()


def test_without_mxnet_one_line_says_which_extra_to_install(python):
    # -S leaves site-packages out: a Python without MXNet
    done = python('-S', '-c', f'import sys; sys.path.insert(0, {str(REPO)!r}); import d2l')
    last = done.stderr.strip().split('\n')[-1]
    assert done.returncode == 1
    assert last.startswith('ImportError:') and "pip install 'd2l[cpu]'" in last


def test_a_broken_mxnet_is_not_called_a_missing_one(python, tmp_path):
    (tmp_path / 'mxnet.py').write_text('import missing_library\n')
    done = python('-S', '-c', f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(REPO)!r}]; '
                              'import d2l')
    assert 'missing_library' in done.stderr and 'd2l[cpu]' not in done.stderr


def test_every_constraint_is_exact():
    for line in CONSTRAINTS.splitlines():
        assert not line or line[0] == '#' or re.match(r'[\w.\[\]-]+==[\w.]+( *;.*)?$', line), line


def test_everything_installed_is_constrained():
    from importlib import metadata

    if 'd2l' not in {dist.metadata['Name'] for dist in metadata.distributions()}:
        pytest.skip('d2l is not installed here: the Makefile installs it')
    named = {re.sub(r'[-_.]+', '-', line.split('==')[0]).lower()
             for line in CONSTRAINTS.splitlines() if '==' in line}
    tools = {'d2l', 'pip', 'setuptools', 'wheel'}
    # setuptools 71 and later hold some packages of their own
    installed = {re.sub(r'[-_.]+', '-', dist.metadata['Name']).lower()
                 for dist in metadata.distributions()
                 if '_vendor' not in str(dist.locate_file(''))}
    assert installed - tools <= named


def test_what_is_no_module_is_installed_too(monkeypatch):
    said = {}
    monkeypatch.setattr('setuptools.setup', said.update)
    runpy.run_path(str(REPO / 'setup.py'))
    named = {path for package, patterns in said['package_data'].items() for pattern in patterns
             for path in REPO.joinpath(*package.split('.')).glob(pattern)}
    assert named == {path for path in (REPO / 'd2l').rglob('*.*')
                     if path.suffix not in ('.py', '.pyc')}


@pytest.mark.skipif(sys.version_info < (3, 9), reason='d2l needs 3.9')
@pytest.mark.parametrize('module', ['pooch', 'tqdm', 'gluoncv', 'jupytext'])
def test_import_d2l_does_not_import(python, module):
    """The time of `import d2l` is that of MXNet, pandas, matplotlib and IPython (see ci.bench)."""
    done = python('-c', f'import sys, d2l; print({module!r} in sys.modules)')
    assert done.stdout == 'False\n', done.stderr
