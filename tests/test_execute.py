import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from chapters import __main__ as cli
from chapters import execute, notes
from chapters.sections import Section, all_sections
from d2l.data import fetch

FAILING = '''\
# %% [markdown]
# # 99.1 A section that fails

# %%
x = 1

# %%
def inner():
    raise ValueError('the reason')

inner()
'''
PRINTING = '''\
# %% [markdown]
# # 99.2 A section that prints

# %%
# %matplotlib inline
import os
import sys
from matplotlib import pyplot as plt
num_epochs, lr = 30, 0.5
os.path.basename(os.getcwd())

# %%
for epoch in range(num_epochs):
    print('epoch', epoch)
print('to standard error', file=sys.stderr)

# %%
from IPython import display
for i in range(3):
    fig, ax = plt.subplots()
    ax.plot([0, 1], [i, i], label='loss')
    ax.legend(['loss'])
    display.display(fig)
    display.clear_output(wait=True)
    plt.close(fig)
plt.plot([1, 2]);
'''


@pytest.fixture
def section(tmp_path, monkeypatch):
    """Make a Section of a source text, with a build folder of its own."""
    monkeypatch.setattr(execute, 'BUILD', tmp_path / 'build')

    def make(source, number='99.1'):
        path = tmp_path / 'ch99_x' / 's01_x.py'
        path.parent.mkdir()
        path.write_text(source)
        return Section(number, path)
    return make


def test_a_failing_cell_names_section_and_listing_and_shows_the_traceback(section):
    with pytest.raises(execute.CellFailed) as err:
        execute.execute(section(FAILING))
    text = str(err.value)
    assert 'section 99.1, listing 1 failed' in text and 'in inner' in text
    assert text.rstrip().endswith('ValueError: the reason') and '\x1b' not in text


def test_cells_run_in_the_chapters_folder_and_print_as_they_run(section, capsys):
    nb, figures = execute.execute(section(PRINTING), echo=True)
    captured = capsys.readouterr()
    assert captured.out.startswith("'ch99_x'\nepoch 0\nepoch 1\n")
    assert 'Figure' not in captured.out and '\x1b' not in captured.out + captured.err
    assert 'to standard error' in captured.err
    assert [path.name for path in figures] == ['02.png'] and figures[0].stat().st_size > 1000


def test_figures_of_an_earlier_run_are_removed(section):
    made = section(PRINTING)
    execute.execute(made)
    stale = execute.BUILD / '99.1' / '07.svg'
    stale.write_text('stale')
    execute.execute(made)
    assert not stale.exists()


@pytest.mark.parametrize('progress', [True, False])
@pytest.mark.parametrize('listing', [0, 2])
def test_a_process_that_dies_is_reported(listing, progress, section):
    """The error names the listing, also without a terminal, where there is no progress bar."""
    cells = ['x = 1'] * 3
    cells[listing] = 'import os\nos._exit(3)'
    source = '# %% [markdown]\n# # 9.9 x\n\n# %%\n' + '\n\n# %%\n'.join(cells) + '\n'
    with pytest.raises(execute.CellFailed, match=f'died .* in listing {listing} '):
        execute.execute(section(source), progress=progress)


def handlers():
    """The handlers of SIGINT and SIGTERM, and the file descriptor that wakes an event loop."""
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), descriptor


@pytest.mark.parametrize('setup', ['import os; os._exit(1)', 'import os; os.kill(os.getpid(), 9)'])
def test_a_process_that_dies_while_it_starts_is_reported(setup, section, tmp_path, monkeypatch):
    (tmp_path / 'sitecustomize.py').write_text(
        "if 'ipykernel_launcher' in open('/proc/self/cmdline').read():\n"
        f"    {setup}\n")
    monkeypatch.setenv('PYTHONPATH', f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    before = handlers()
    with pytest.raises(execute.CellFailed,
                       match='section 99.1: its process ended while it started'):
        execute.execute(section(PRINTING))
    # nbclient left handlers behind, with which processes forked later did not end
    assert handlers() == before


SAMPLE = '''\
# %% [markdown] data=["fra-eng"]
# # 15.1 A section that learns

# %%
num_epochs = 10
import d2l
from IPython import display
path = d2l.download('fra-eng')
for i in range(3):
    fig, ax = d2l.plt.subplots()
    ax.plot([0, 1], [i, i])
    display.display(fig)
    display.clear_output(wait=True)
    d2l.plt.close(fig)
print('accuracy 0.9')
display.display(fig)
'''


def test_a_cell_that_clears_and_prints_says_sample_data_too(section):
    source = SAMPLE[:SAMPLE.index(
        'for i')] + 'for i in range(3):\n    display.clear_output(wait=True)\n    print(i)\n'
    nb, _ = execute.execute(section(source))
    said = ''.join(output['text'] for output in nb.cells[1].outputs)
    assert said.count(fetch.NOTICE) == 1 and '2\n' in said and '1\n' not in said


def test_the_notebook_and_the_page_say_sample_data_and_quick(section, monkeypatch, tmp_path):
    """clear_output removes the notice from a cell's output, and the cell prints it again."""
    monkeypatch.setattr(cli, 'BUILD', tmp_path / 'build')
    monkeypatch.setattr(execute, 'quick_constants', lambda number: ({'num_epochs': '1'}, {}))
    made = section(SAMPLE, '15.1')
    nb, _ = execute.execute(made, quick=True)
    cell = nb.cells[-1]
    assert [out.output_type for out in cell.outputs].count('display_data') == 1
    assert any(out.output_type == 'stream' and out.name == 'stderr'
               and out.text == f'{fetch.NOTICE}\n' for out in cell.outputs)
    notebook, page = cli.write_pages(made, nb)
    written = nbformat.read(notebook, 4)
    assert written.metadata.d2l.data == 'sample' and written.metadata.d2l.quick is True
    for text in written.cells[0].source, page.read_text():
        assert 'sample data' in text and 'fra-eng' in text
        assert 'say nothing about the real data' in text
        assert 'num_epochs = 1' in text and 'Shrunken' in text


def test_a_full_run_without_data_says_only_how_long_it_took(section, monkeypatch,
                                                                     tmp_path):
    monkeypatch.setattr(cli, 'BUILD', tmp_path / 'build')
    made = section(PRINTING)
    nb, _ = execute.execute(made)
    notebook, _ = cli.write_pages(made, nb)
    first, *others = nbformat.read(notebook, 4).cells
    assert re.fullmatch(
        r'# 99.2 A section that prints\n\n> The cells took \d+ s on this machine .*',
        first.source)
    assert [cell.outputs for cell in others] == [cell.outputs for cell in nb.cells[1:]]


FIGURES = '''\
# %% [markdown] data=["fra-eng"]
# # 15.1 A section with figures in several cells

# %%
# %matplotlib inline
import d2l
num_epochs = 10
path = d2l.download('fra-eng')

# %%
d2l.plot([1, 2], [3, 4])

# %%
animator = d2l.Animator(legend=['loss'], xlim=[0, 2])
for i in range(3):
    animator.add(i, [i])

# %%
print('no figure')
'''


@pytest.mark.parametrize('quick', [False, True])
def test_notes_on_the_numbers_are_in_the_notebook_the_page_and_the_terminal(
        section, monkeypatch, tmp_path, capsys, quick):
    """The notes are in the first cell, in the metadata, beside every figure, and on each line that
    names a file."""
    monkeypatch.setattr(cli, 'BUILD', tmp_path / 'build')
    monkeypatch.setattr(execute, 'quick_constants', lambda number: ({'num_epochs': '1'}, {}))
    monkeypatch.setattr(cli, 'find', lambda *names: [section(FIGURES, '15.1')])
    assert cli.main(['run', '15.1', *['--quick'] * quick]) == 0
    files = [line for line in capsys.readouterr().out.splitlines() if 'build/15.1/' in line]
    assert len(files) == 4 and all(
        line.endswith(' (sample data, quick)' if quick else ' (sample data)') for line in files)
    nb = nbformat.read(tmp_path / 'build' / '15.1' / '15.1.ipynb', 4)
    assert nb.metadata.d2l.data == 'sample' and nb.metadata.d2l.quick == quick
    assert 'sample data' in nb.cells[0].source and ('Shrunken' in nb.cells[0].source) == quick
    page = (tmp_path / 'build' / '15.1' / '15.1.html').read_text()
    drawn = [cell for cell in nb.cells if notes.has_figure(cell)]
    assert len(drawn) == 2
    for cell in drawn:
        said = ''.join(out.text for out in cell.outputs if out.output_type == 'stream')
        assert fetch.NOTICE in said and (notes.QUICK in said) == quick
    assert not re.search(r'<(?:script|link|img)[^>]*(?:src|href)="?https?:|import\(.https?:', page)
    # the cell that fetched the data has the notice, too
    assert page.count(fetch.NOTICE) == 3 and page.count(notes.QUICK) == (2 if quick else 0)


@pytest.mark.parametrize('source, constants, shrunken', [
    ('num_epochs = 10', {'num_epochs': '1'}, 'num_epochs = 1'),
    ('lr, num_epochs = 0.9, 10  # ten', {'num_epochs': '1'}, 'lr, num_epochs = 0.9, 1  # ten'),
    ('def f():\n    n = 5\n    return n', {'n': '2'}, 'def f():\n    n = 2\n    return n'),
    ('%matplotlib inline\nα, n = "é", (1 +\n  2)', {'n': '3'},
     '%matplotlib inline\nα, n = "é", (3)'),
    ('n = 1; m = n; n = 2', {'n': '7'}, 'n = 7; m = n; n = 7'),
    ('f(n=5)\nn = 5', {'n': '1'}, 'f(n=5)\nn = 1'),
    ('A[1024, 10240] = range(0, 1024)', {'1024': '64'}, 'A[64, 10240] = range(0, 64)'),
    ('n = 5; f(5, 5.0, True)', {'5': '2'}, 'n = 2; f(2, 5.0, True)'),
    ('a = (b, c) = 1, 2', {'c': '9'}, 'a = (b, c) = 1, 9'),
    ('def f(X, n=1000):\n    return n', {'n': '5'}, 'def f(X, n=5):\n    return n'),
    ("print('%d'\n      % (n))\nn = 1", {'n': '5'}, "print('%d'\n      % (n))\nn = 5"),
])
def test_shrink_changes_the_value_and_nothing_else(source, constants, shrunken):
    assert execute.shrink([source], constants) == [shrunken]


def test_shrinking_what_is_not_assigned_is_an_error():
    with pytest.raises(execute.QuickError, match='num_epoch'):
        execute.shrink(['num_epochs = 1', 'f(num_epoch=3)'], {'num_epoch': '1'})


def test_two_new_values_for_one_value_are_an_error():
    with pytest.raises(execute.QuickError, match='shrinks n,'):
        execute.shrink(['n = 5'], {'n': '1', '5': '2'})


@pytest.mark.parametrize('section', all_sections(), ids=lambda section: section.number)
def test_quick_toml_fits(section):
    execute.shrink(section.listings, execute.quick_constants(section.number)[0])


def test_quick_toml_names_only_sections_that_are_here():
    table = execute.tomllib.loads((execute.ROOT / 'quick.toml').read_text())
    assert set(table) <= {section.number for section in all_sections()}


def kernels():
    """Command lines of all kernels that run on this machine."""
    found = {}
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b'ipykernel_launcher' in line:
            found[int(path.parts[2])] = line
    return found


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='looks for processes in /proc')
def test_ctrl_c_leaves_no_kernel_behind(section):
    path = section('# %% [markdown]\n# # 9.9 x\n\n# %%\nimport time\nprint("here", flush=True)\n'
                   'time.sleep(600)\n').path
    code = ('import sys; from chapters import execute; from chapters.sections import Section; '
            'import pathlib; execute.BUILD = pathlib.Path(sys.argv[2]); '
            'execute.execute(Section("9.9", pathlib.Path(sys.argv[1])), echo=True)')
    process = subprocess.Popen([sys.executable, '-c', code, str(path), str(path.parent)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'here\n'
    mine = [pid for pid, line in kernels().items()
            if f'PPid:\t{process.pid}\n' in pathlib.Path(f'/proc/{pid}/status').read_text()]
    assert len(mine) == 1
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0 and 'KeyboardInterrupt' in err
    deadline = time.time() + 10
    while mine[0] in kernels() and time.time() < deadline:
        time.sleep(0.1)
    assert mine[0] not in kernels()
