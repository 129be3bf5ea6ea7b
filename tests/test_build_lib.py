import ast
import inspect
import operator
import shutil

import pytest

import d2l
from chapters.sections import ROOT
from chapters.toml import tomllib
from ci import build_lib
from tests.support import REPO


@pytest.fixture
def copy(tmp_path):
    """A copy of the chapters that may be changed."""
    return shutil.copytree(ROOT, tmp_path / 'chapters', ignore=shutil.ignore_patterns('data'))


def test_book_is_fresh():
    assert build_lib.main(['--check']) == 0


def test_a_changed_comment_makes_it_stale(copy, capsys):
    lenet = next(copy.glob('ch06_*/s06_*.py'))
    text = lenet.read_text()
    comment = '# Here is the only difference compared to train_epoch_ch3'
    assert comment in text
    lenet.write_text(text.replace(comment, '# Here is a difference'))
    assert build_lib.main(['--check', '--chapters', str(copy)]) == 1
    out = capsys.readouterr().out
    assert '+            # Here is a difference' in out and 'python -m ci.build_lib' in out


def test_check_writes_nothing(copy):
    before = build_lib.BOOK.read_bytes()
    next(copy.glob('ch06_*/s06_*.py')).unlink()
    assert build_lib.main(['--check', '--chapters', str(copy)]) == 1
    assert build_lib.BOOK.read_bytes() == before


def test_first_line_says_what_to_edit_and_run():
    first = build_lib.BOOK.read_text().split('\n')[0]
    assert 'edit' in first and 'python -m ci.build_lib' in first


MARK = '# Saved in the d2l package for later use'


@pytest.mark.parametrize('source, parts', [
    (f'{MARK}\nx = 1\ny = 2\n\nz = 3', ['x = 1\ny = 2']),
    (f'import os\n\n{MARK}\ndef f():\n    a = 1\n\n    return a\n\nf()',
     ['def f():\n    a = 1\n\n    return a']),
    (f'{MARK}\nx = 1\n\n{MARK}\ny = 2', ['x = 1', 'y = 2']),
    (f'{MARK}\ndef f():\n    return 1\n{MARK}\ndef g():\n    return 2',
     ['def f():\n    return 1', 'def g():\n    return 2']),
    (f'%matplotlib inline\n{MARK}\n@dec\ndef f():\n    return 1', ['@dec\ndef f():\n    return 1']),
    (f'{MARK}\ndef f():  # saved in d2l\n    return 1\nf()',
     ['def f():  # saved in d2l\n    return 1\nf()']),
    ('x = 1', []),
])
def test_what_is_saved(source, parts):
    assert list(build_lib.saved(source)) == parts


DOCSTRINGS = tomllib.loads((ROOT / 'docstrings.toml').read_text())
DEFINITIONS = build_lib.definitions()


@pytest.mark.parametrize('name', DOCSTRINGS)
def test_a_docstring_of_ours_is_in_d2l_and_not_in_the_listing(name):
    assert inspect.getdoc(operator.attrgetter(name)(d2l)) == DOCSTRINGS[name].strip()
    section, i = DEFINITIONS[name.split('.')[0]]
    assert DOCSTRINGS[name].strip().split('\n')[0] not in section.listings[i]


@pytest.mark.parametrize('part, docs, text', [
    ('def f(X):\n    return X', {'f': 'What.'}, 'def f(X):\n    """What."""\n    return X'),
    ('def f(X):\n    return X', {'f': 'What.\n\nMore.\n'},
     'def f(X):\n    """What.\n\n    More.\n    """\n    return X'),
    ('def f(X,\n      Y):  # saved\n\n    # Why\n    return X', {'f': 'What.'},
     'def f(X,\n      Y):  # saved\n    """What."""\n\n    # Why\n    return X'),
    ('class A(object):\n    @dec\n    def f(self):\n        pass', {'A': 'A.', 'A.f': 'f.'},
     'class A(object):\n    """A."""\n    @dec\n    def f(self):\n        """f."""\n        pass'),
], ids=['one line', 'lines', 'header and comment', 'method'])
def test_a_docstring_stands_below_the_definition(part, docs, text):
    assert build_lib.documented(part, docs) == text
    assert docs == {}


@pytest.mark.parametrize('name', ['no_such_name', 'load_array', 'synthetic_data'],
                         ids=['saved nowhere', 'by hand', 'with a docstring in its listing'])
def test_a_docstring_too_many_is_an_error(copy, capsys, name):
    with (copy / 'docstrings.toml').open('a') as file:
        file.write(f'{name} = "What."\n')
    assert build_lib.main(['--check', '--chapters', str(copy)]) == 1
    assert f'chapters/docstrings.toml has {name}:' in capsys.readouterr().out


def test_python_does_not_warn_of_the_escapes_that_the_book_prints(python, tmp_path):
    # a copy, so that it is compiled anew
    shutil.copytree(build_lib.BOOK.parent, tmp_path / 'd2l',
                    ignore=shutil.ignore_patterns('__pycache__'))
    done = python('-W', 'error:invalid escape sequence', '-c', 'import d2l; print(d2l.__file__)',
                  cwd=tmp_path, env={'PYTHONPATH': REPO})
    assert done.stdout == f'{tmp_path}/d2l/__init__.py\n', done.stderr


def test_names_written_by_hand_are_left_out():
    tree = ast.parse(build_lib.BOOK.read_text())
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert 'train_ch5' in defined and not defined & set(build_lib.BY_HAND)


def test_no_name_is_saved_twice():
    nodes = ast.parse(build_lib.BOOK.read_text()).body
    names = [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert len(names) == len(set(names))
