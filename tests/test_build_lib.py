import ast
import shutil

import pytest

from chapters.sections import ROOT
from ci import build_lib


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
    (f'{MARK}\ndef f():  # saved in d2l\n    return 1\nf()', ['def f():  # saved in d2l\n    return 1\nf()']),
    ('x = 1', []),
])
def test_what_is_saved(source, parts):
    assert list(build_lib.saved(source)) == parts


def test_names_written_by_hand_are_left_out():
    tree = ast.parse(build_lib.BOOK.read_text())
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert 'train_ch5' in defined and not defined & set(build_lib.BY_HAND)


def test_no_name_is_saved_twice():
    nodes = ast.parse(build_lib.BOOK.read_text()).body
    names = [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert len(names) == len(set(names))
