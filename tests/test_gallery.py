"""The gallery without Sphinx and a browser; tests/browser_gallery.py looks at the whole site."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import uuid

import nbformat
import pytest

import d2l
from chapters import __main__ as cli
from chapters import execute
from chapters.sections import Section, all_sections, find
from chapters.toml import tomllib
from ci import bench, report, verbatim
from gallery import cache, conf, pages

RESNET, = find('7.6')
SAMPLE = 'd2l: sample data, synthetic stand-ins for the real data sets (D2L_DATA=sample)\n'


class InThisProcess(contextlib.nullcontext):
    """A ProcessPoolExecutor without processes."""
    def __init__(self, jobs, mp_context, initializer):
        super().__init__(self)

    def submit(self, function, *args):
        done = concurrent.futures.Future()
        done.set_result(function(*args))
        return done


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """An empty gallery in a temporary folder, whose sections are executed in this process."""
    monkeypatch.setattr(cache, 'GALLERY', tmp_path)
    monkeypatch.setattr(pages, 'SOURCE', tmp_path / 'source')
    monkeypatch.setattr(concurrent.futures, 'ProcessPoolExecutor', InThisProcess)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that makes a Section with one listing, and lets `find` find it."""
    def make(source, number='99.1'):
        path = tmp_path / 'ch99_x' / f's{number[3:]}_x.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'# %% [markdown]\n# # {number} A section\n\n# %%\n{source}\n')
        known[number] = Section(number, path)
        return known[number]
    known = {}
    monkeypatch.setattr(cache, 'find', lambda number: [known[number]])
    return make


def executed(section, outputs=(), data='sample'):
    """A Section's notebook as if it had run, with what its last listing printed on stderr."""
    nb = Section(section.number, section.path).notebook
    nb.metadata['d2l'] = {'key': 'x', 'data': data}
    nb.cells[-1].outputs = [nbformat.v4.new_output('stream', name='stderr', text=text)
                            for text in outputs]
    return nb


def test_the_key_changes_with_what_the_execution_depends_on(made, monkeypatch):
    old = cache.key(made('x = 1'), True)
    assert cache.key(made('x = 1'), True) == old
    changed = [cache.key(made('x = 2'), True), cache.key(made('x = 1', '99.2'), True)]
    monkeypatch.setattr(cache, 'quick_constants', lambda number: ({'x': '3'}, {}))
    changed += [cache.key(made('x = 1'), True), cache.key(made('x = 1'), False)]
    monkeypatch.setattr(cache, 'environment', lambda: 'another')
    changed.append(cache.key(made('x = 1'), True))
    assert len({old, *changed}) == 6


@pytest.mark.parametrize('name', ['D2L_DATA', 'D2L_SAMPLE_SIZE', 'MXNET_ENGINE_TYPE'])
def test_the_key_depends_on_environment_variables(monkeypatch, name):
    old = cache.environment.__wrapped__()
    assert cache.environment.__wrapped__() == old
    monkeypatch.setenv(name, 'changed')
    assert cache.environment.__wrapped__() != old


def test_the_key_ignores_what_a_section_writes():
    old, new = cache.environment.__wrapped__(), cache.ROOT / 'img' / f'{uuid.uuid4().hex}.png'
    new.write_text('as 13.12 does, after it has read the others')
    try:
        assert cache.environment.__wrapped__() == old
    finally:
        new.unlink()


@pytest.mark.parametrize('part', ['d2l/book.py', 'd2l/data/samples/mnist.py',
                                  'chapters/execute.py', 'chapters/kernel_setup.py'])
def test_the_environment_holds_d2l_and_the_runner(part):
    assert part in dict(cache.contents(cache.REPO / 'd2l', *cache.RUNNER))


def test_only_what_changed_is_run(gallery, made):
    sections = [made('print("one")', '99.1'), made('print("two")', '99.2')]
    assert cache.execute_all(sections, False, 1) == ['99.1', '99.2']
    assert cache.notebook(sections[1]).cells[-1].outputs[0].text == 'two\n'
    assert cache.execute_all(sections, False, 1) == []
    sections[1] = made('print("three")', '99.2')
    assert cache.execute_all(sections, False, 1) == ['99.2']
    assert cache.notebook(sections[1]).cells[-1].outputs[0].text == 'three\n'


def test_a_section_that_fails_fails_the_build_and_is_not_kept(gallery, made):
    sections = [made('1 / 0', '99.1'), made('x = 1', '99.2')]
    with pytest.raises(cache.GalleryError) as err:
        cache.execute_all(sections, False, 1)
    assert 'ZeroDivisionError' in str(err.value) and '1 of 2 sections failed' in str(err.value)
    assert cache.notebook(sections[0]) is None and cache.notebook(sections[1]) is not None
    with pytest.raises(cache.GalleryError):
        cache.execute_all(sections, False, 1)


def test_a_reader_s_own_runs_are_left_alone(gallery, made, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, 'BUILD', tmp_path / 'build')
    cache.execute_all([made('x = 1')], False, 1)
    assert not (tmp_path / 'build').exists()


def test_a_failing_regression_fails_the_build(gallery, monkeypatch):
    done = types.SimpleNamespace(returncode=1, stdout='lenet  eager  FAILED', stderr='')
    monkeypatch.setattr(cache.subprocess, 'run', lambda *args, **kwargs: done)
    with pytest.raises(cache.GalleryError, match='lenet  eager  FAILED'):
        cache.regression(['lenet'])


def test_a_page_says_what_was_shrunken_and_that_its_data_is_a_sample():
    nb = executed(RESNET)
    for cell in nb.cells:
        cell.source = cell.source.replace('0.05, 10, 256', '0.05, 1, 256')
    text = pages.note(RESNET, nb)
    assert '- lr, num_epochs, batch_size = 0.05, 10, 256' in text
    assert '+ lr, num_epochs, batch_size = 0.05, 1, 256' in text
    assert '**sample data**' in text and 'fashion_mnist' in text
    assert 'How this page ran' in pages.section_page(RESNET, nb)
    text = pages.note(RESNET, executed(RESNET, data='real'))
    assert text == 'Run on the real data: fashion_mnist.'


def test_a_page_says_what_is_not_as_printed(monkeypatch):
    section, = find('17.4')
    monkeypatch.setattr(pages.verbatim, 'deviations', lambda: [{
        'section': '17.4', 'listing': 5, 'printed': ['ax.plot(x)'], 'stands': ['ax.plot(y)'],
        'reason': 'matplotlib 3.7 draws no such array'}])
    text = pages.note(section, executed(section))
    assert 'Listing 5 is not as printed: matplotlib 3.7' in text
    assert '\n- ax.plot(x)\n+ ax.plot(y)' in text
    section, = find('4.4')
    assert 'not as printed' not in pages.note(section, executed(section))


def test_sample_data_that_a_section_does_not_name_is_an_error():
    section, = find('2.4')
    assert pages.data_of(section, executed(section)) == {}
    with pytest.raises(cache.GalleryError, match='section 2.4 used sample data'):
        pages.data_of(section, executed(section, [SAMPLE]))


def test_the_notice_that_is_looked_for_is_the_one_that_is_printed():
    assert pages.SAMPLE_LINE in (cache.REPO / 'd2l' / 'data' / 'fetch.py').read_text()


def test_names_lead_to_their_sections():
    names = pages.d2l_names()
    assert names['Residual'] == ('ch07_modern_convolutional_neural_networks/s06_resnet', 0)
    assert names['hybridize'] == (None, None)


def test_the_api_page_has_every_name_of_d2l():
    text = pages.api_page(all_sections())
    public = [name for name, value in vars(d2l).items() if not name.startswith('_')
              and (name == 'display' or not getattr(value, '__name__', '').startswith('d2l'))]
    assert [name for name in public if f':: d2l.{name}\n' not in text] == []


def test_a_listing_whose_docstring_is_ours_leads_to_the_api():
    """Our docstring is not in the listing, but the name there is a link to the API (see below)."""
    names = pages.d2l_names()
    ours = tomllib.loads((cache.ROOT / 'docstrings.toml').read_text())
    assert [name for name in ours if not names[name.split('.')[0]][0]] == []


CODE = ('<p>before</p>' + conf.CELL + '><span class="n">np</span></div>'
        + conf.CELL
        + '><span class="k">class</span><span class="w"> </span><span class="nc">A</span>'
        + '<span class="n">d2l</span><span class="o">.</span><span class="n">B</span>'
        + '<span class="n">d2l</span><span class="o">.</span><span class="n">C</span></div>')
NAMES = {'A': ('here', 1), 'B': ('there', 4), 'D': (None, None)}


def test_names_are_linked_and_listed():
    html = conf.linked(CODE, 'here', NAMES, lambda page: f'../{page}.html')
    assert 'id="listing-0"' in html and 'id="listing-1"' in html
    assert '<a class="d2l" href="../api.html#d2l.A"><span class="nc">A</span></a>' in html
    assert '<a class="d2l" href="../there.html#listing-4"><span class="n">d2l</span>' in html
    assert html.count('class="d2l" href="../there') == 1 and 'd2l.C' not in html
    assert '<li><a href="../there.html#listing-4"><code>d2l.B</code></a>' in html
    assert '../api.html#d2l.B' in html


def test_a_definition_elsewhere_is_no_definition():
    html = conf.linked(CODE, 'other', NAMES, lambda page: f'../{page}.html')
    assert 'api.html#d2l.A' not in html


def test_pages_that_are_the_same_are_not_touched_and_old_ones_go(gallery):
    pages.write({'a/x.md': 'x', 'y.md': 'y'})
    stamp = (pages.SOURCE / 'y.md').stat().st_mtime_ns
    pages.write({'y.md': 'y', 'z.md': 'z'})
    assert (pages.SOURCE / 'y.md').stat().st_mtime_ns == stamp
    assert not (pages.SOURCE / 'a/x.md').exists() and (pages.SOURCE / 'z.md').exists()


def test_the_contents_come_in_the_book_s_order():
    found = pages.contents_pages(find('0', '7', '10', '2'))
    front = found['index.md']
    order = [front.index(name) for name in ('ch00_preface/s01_preface', 'ch02_preliminaries/index',
                                            'ch07_', 'ch10_', '\napi\n')]
    assert order == sorted(order)
    assert found['ch07_modern_convolutional_neural_networks/index.md'].count('/s0') == 7


def test_the_front_page_says_how_much_stands_as_printed():
    sections = find('3')
    letters, code = verbatim.figures(sections)
    assert (f'{letters[0]} of {letters[1]} listings stand to the letter, {code[0]} of {code[1]} '
            'statements as printed') in pages.contents_pages(sections)['index.md']


def test_without_sphinx_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'sphinx', None)
    assert cli.main(['gallery', '2.1']) == 2
    assert 'gallery' in capsys.readouterr().err


def test_the_page_on_speed_shows_what_was_stored_and_measured_here(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'REPO', tmp_path)
    stored = pages.speed_page()
    for name, row in bench.kept().items():
        assert f'| {name}, {row["batch"]} |' in stored and row['where'] in stored
    (tmp_path / 'build').mkdir()
    (tmp_path / 'build' / 'bench.md').write_text('| training | 7 |\n')
    assert pages.speed_page().endswith('| training | 7 |\n')


@pytest.fixture
def sphinx(tmp_path, python):
    """A function that lets Sphinx read an API page as `make gallery` does, with warnings as errors;
    it returns the exit status and what Sphinx said."""
    def read(api):
        for section in all_sections():      # the page links to them
            page = tmp_path / f'{pages.docname(section)}.rst'
            page.parent.mkdir(exist_ok=True)
            page.write_text(':orphan:\n\nA section\n=========\n')
        (tmp_path / 'api.rst').write_text(api)
        done = python('-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'dummy', '-c',
                      cache.HERE, '-D', 'root_doc=api',
                      '-D', 'extensions=sphinx.ext.autodoc', '-D', 'html_theme=basic',
                      tmp_path, tmp_path / 'out')
        return done.returncode, done.stderr
    return read


def test_sphinx_takes_every_docstring(sphinx):
    """A docstring of a function, class or method that fails here would fail `make gallery`."""
    assert sphinx(pages.api_page(all_sections())) == (0, '')


def test_a_docstring_that_sphinx_does_not_take_is_found(sphinx, tmp_path, monkeypatch):
    (tmp_path / 'badly.py').write_text(
        'def indented():\n    """A sentence, and a table:\n\n    one:\n      two\n        three\n'
        '    four\n    """\n')
    monkeypatch.setenv('PYTHONPATH', f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    code, said = sphinx('API\n===\n\n.. autofunction:: badly.indented\n')
    assert code == 1 and 'badly.indented' in said and 'unexpected' in said.lower()


ENDED = """
import sys
from chapters.sections import find
from gallery import cache
cache.GALLERY = cache.BUILD.__class__(sys.argv[1])
if __name__ == '__main__':
    cache.execute_all(find('2.5', '2.6', '2.7', '3.1'), True, 1)
"""


def processes_of(mark):
    """The ids of the running processes that have this text in their environment."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if mark.encode() in (path / 'environ').read_bytes():
                found.append(int(path.name))
    return found


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='it looks for processes in /proc')
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_build_that_ends_leaves_no_process(tmp_path, number):
    """No worker and no kernel is left, and no other section is started."""
    (tmp_path / 'build.py').write_text(ENDED)
    mark = f'D2L_TEST_MARK={uuid.uuid4()}'
    build = subprocess.Popen([sys.executable, tmp_path / 'build.py', tmp_path], cwd=cache.REPO,
                             env={**os.environ, **dict([mark.split('=')])}, text=True,
                             stderr=subprocess.PIPE)
    for line in build.stderr:
        if line.startswith('1 of 4 sections: '):
            break
    done = set(tmp_path.glob('executed/*/*.ipynb'))
    build.send_signal(number)
    build.stderr.close()
    assert build.wait(60) != 0
    for _ in range(600):
        if not processes_of(mark):
            break
        time.sleep(0.1)
    assert processes_of(mark) == []
    assert len(set(tmp_path.glob('executed/*/*.ipynb')) - done) <= 1  # the section that was running


SVG = '<svg><path d="M0 0"/>{}</svg>'


@pytest.mark.parametrize('inside, kind', [('', 'drawn'), ('<image href="data:..."/>', 'pictures')])
def test_a_chapter_s_card_shows_what_a_section_drew(gallery, tmp_path, inside, kind):
    sections = find('7.6', '7.7')
    assert '![' not in pages.contents_pages(sections)['index.md']
    assert pages.card_figures(sections) == {}
    folder = tmp_path / 'executed' / '7.6'
    folder.mkdir(parents=True)
    (folder / '03.svg').write_text(SVG.format(inside))
    name = f'cards/{kind}-ch07_modern_convolutional_neural_networks.svg'
    assert pages.card_figures(sections) == {name: SVG.format(inside)}
    text = pages.contents_pages(sections)['index.md']
    assert f':img-top: {name}' in text and (':class-img-top: drawn' in text) == (kind == 'drawn')
    assert ':::{grid-item-card} 7 Modern Convolutional Neural Networks' in text
    assert 'sample data' in text.split('## Chapters')[1].split('::::')[0]


def test_only_figures_without_pictures_follow_the_theme():
    section = RESNET
    nb = executed(section)
    nb.metadata['d2l']['quick'] = False
    first, second = [cell for cell in nb.cells if cell.cell_type == 'code'][:2]
    for cell, inside in (first, ''), (second, '<image href="data:..."/>'):
        cell.outputs = [nbformat.v4.new_output('display_data',
                                               {'image/svg+xml': SVG.format(inside)})]
    page = nbformat.reads(pages.section_page(section, nb), 4)
    marked = [cell.metadata.get('mystnb') for cell in page.cells if cell.cell_type == 'code'][:2]
    assert marked == [{'image': {'classes': 'drawn'}}, None]


def test_a_page_links_to_what_it_builds_on_where_that_is_on_the_site():
    nb = executed(RESNET)
    nb.metadata['d2l']['quick'] = False
    link = '](../ch07_modern_convolutional_neural_networks/s05_batch_normalization.ipynb)'
    assert link in pages.section_page(RESNET, nb, find('7'))
    assert link not in pages.section_page(RESNET, nb, [RESNET])


def test_the_regression_s_table_labels_every_cell():
    rows = [dict(zip(report.KEYS, ('lenet', mode, error, 1e-5, 1.0, 'ok')))
            for mode, error in (('eager', 0.0), ('onnx', 2.5e-7))]
    text = pages.regression_page(find('6.6'), rows)
    assert '<td data-label="eager">0</td><td data-label="onnx">2e-07</td>' in text
    assert 'href="ch06_convolutional_neural_networks/s06_lenet.html"' in text
