"""d2l_finder: hooks that run before and after a module is executed."""
import importlib
import sys
import textwrap

import pytest

import d2l_compat  # noqa: F401         # it registers the hooks
import d2l_finder


@pytest.fixture
def finder(monkeypatch, tmp_path):
    """A new Finder in front of the others, and a package that it looks at, named made."""
    found = d2l_finder.Finder()
    monkeypatch.setattr(sys, 'meta_path', [found, *sys.meta_path])
    monkeypatch.setattr(d2l_finder, 'PACKAGES', {'made'})
    monkeypatch.setattr(d2l_finder, 'FINDER', found)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'made').mkdir()
    (tmp_path / 'made' / '__init__.py').write_text('import sys\nseen = list(sys.made)\n')
    (tmp_path / 'made' / 'part.py').write_text('')
    (tmp_path / 'made' / 'broken.py').write_text('raise ValueError("broken")\n')
    monkeypatch.setattr(sys, 'made', [], raising=False)
    yield found
    for name in [name for name in sys.modules if name.partition('.')[0] == 'made']:
        del sys.modules[name]


def note(text):
    """A hook that notes that it ran, and that it was undone."""
    return lambda module: sys.made.append(text) or (lambda: sys.made.append(f'{text} undone'))


def test_hooks_run_around_the_module(finder):
    d2l_finder.before('made')(note('before'))
    d2l_finder.after('made')(note('after'))
    assert importlib.import_module('made').seen == ['before']
    assert sys.made == ['before', 'before undone', 'after']


def test_what_a_hook_did_is_undone_where_the_module_raises(finder):
    d2l_finder.before('made.broken')(note('one'))
    d2l_finder.before('made.broken')(note('two'))
    d2l_finder.after('made.broken')(note('after'))
    with pytest.raises(ValueError, match='broken'):
        importlib.import_module('made.broken')
    assert sys.made == ['one', 'two', 'two undone', 'one undone']


def test_what_hooks_did_is_undone_where_a_hook_raises(finder):
    @d2l_finder.before('made')
    def refuse(module):
        raise ImportError('refused')
    finder.before['made'].insert(0, note('one'))
    with pytest.raises(ImportError, match='refused'):
        importlib.import_module('made')
    assert sys.made == ['one', 'one undone']


def test_what_is_imported_already_is_repaired_at_once(finder):
    importlib.import_module('made')
    d2l_finder.after('made')(note('after'))
    d2l_finder.install()
    d2l_finder.install()
    assert sys.made == ['after']


def test_a_module_that_is_executed_again_is_repaired_again(finder):
    d2l_finder.after('made')(note('after'))
    importlib.import_module('made')
    del sys.modules['made']
    importlib.import_module('made')
    assert sys.made == ['after', 'after']


def test_a_hook_may_be_for_every_part(finder):
    d2l_finder.after('made.*')(lambda module: sys.made.append(module.__name__))
    importlib.import_module('made.part')
    assert sys.made == ['made', 'made.part']


def test_other_names_are_left_to_other_finders(finder):
    d2l_finder.after('colorsys')(note('after'))
    assert finder.find_spec('colorsys') is None and finder.find_spec('made') is None


def test_every_hook_is_for_a_package_that_the_finder_looks_at():
    names = {*d2l_finder.FINDER.before, *d2l_finder.FINDER.after}
    assert {name.partition('.')[0] for name in names} == d2l_finder.PACKAGES


def test_the_hook_of_site_packages_says_nothing_where_the_module_is_gone(python):
    done = python('-S', '-c', d2l_finder.HOOK, cwd='/')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_repairs_are_made_also_where_d2l_is_imported_last(python):
    """As on Colab, everything is imported before d2l; the repairs are made all the same."""
    code = textwrap.dedent("""
        import numpy, pandas, matplotlib.pyplot as plt, IPython.display
        import d2l
        from mxnet import np
        import io
        assert pandas.get_dummies(pandas.Series(['x'])).dtypes['x'] == 'uint8'
        assert repr(numpy.float32(1)) == '1.0'
        plt.stem([1], [1], use_line_collection=True)
        plt.contour(np.eye(3))
        IPython.display.set_matplotlib_formats('svg')
        print(np.ones(3)[0].shape)
    """)
    done = python('-W', 'ignore', '-c', code)
    assert done.stdout == '()\n', done.stderr
