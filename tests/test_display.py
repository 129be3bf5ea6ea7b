"""Figures outside of notebooks: they are written to files, and only their paths are printed."""
import pytest

import d2l


def test_plain_python_prints_no_figure_and_no_escape_codes(python):
    code = ('import d2l\nd2l.use_svg_display()\n'
            'animator = d2l.Animator(xlabel="epoch", legend=["loss"])\n'
            'for i in range(3):\n    animator.add(i, [i])\n'
            'd2l.display.display("text")\nd2l.plt.savefig("/dev/null", format="svg")\n')
    done = python('-c', code)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'text\n', '')


PLOTS = """
import d2l
from mxnet import np
d2l.plot([1, 2, 3], [4, 5, 6], 'x', 'first')
d2l.plot([1, 2, 3], [6, 5, 4], 'x', 'second')
animator = d2l.Animator(xlabel='epoch', legend=['loss'])
for i in range(5):
    animator.add(i, [i])
figure, axes = d2l.plt.subplots(1, 2)
for one in axes:
    d2l.plot([1, 2], [3, 4], 'x', 'pair', axes=one)
found = d2l.show_images(np.zeros((2, 3, 3)), 1, 2)
"""


@pytest.mark.parametrize('ipython', [False, True])
def test_each_figure_is_written_and_its_path_printed_once(python, tmp_path, ipython):
    """The cases: two plots, a curve that grows, a figure with two axes, images."""
    args = ['-m', 'IPython', '--simple-prompt', '--no-banner', '--colors=NoColor',
            '-c'] if ipython \
        else ['-c']
    done = python(*args, PLOTS, cwd=tmp_path,
                  env={'D2L_FIGURES': 'here', 'IPYTHONDIR': str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, '')
    names = [f'here/figure-{i}.svg' for i in range(1, 6)]
    assert done.stdout.split() == names and '\x1b' not in done.stdout
    texts = [(tmp_path / name).read_text() for name in names]
    assert [text.count('<!-- pair -->') for text in texts] == [0, 0, 0, 2, 0]
    assert '<!-- first -->' in texts[0] and '<!-- second -->' in texts[1]


def test_show_writes_too_and_what_is_saved_is_not_written_again(python, tmp_path):
    done = python('-c', 'import d2l\nd2l.plot([1, 2], [3, 4])\nd2l.plt.savefig("mine.svg")\n'
                        'd2l.plt.close()\nd2l.plot([1, 2], [3, 4])\nd2l.plt.show()\nprint("end")',
                  cwd=tmp_path, env={'D2L_FIGURES': '.'})
    assert done.stdout.split() == ['figure-1.svg', 'end'] and done.stderr == ''
    assert {path.name for path in tmp_path.iterdir()} == {'mine.svg', 'figure-1.svg'}


def test_nothing_is_written_where_nothing_of_d2l_draws(python, tmp_path):
    done = python('-c', 'import d2l\nd2l.plt.plot([1, 2])', cwd=tmp_path, env={'D2L_FIGURES': '.'})
    assert done.stdout == '' and not list(tmp_path.iterdir())


def test_d2l_display_has_all_names_of_ipythons_module():
    from IPython import display
    assert d2l.display.HTML is display.HTML
    assert {name for name in dir(display) if name[0] != '_'} <= set(dir(d2l.display))


def test_in_a_kernel_an_animator_leaves_one_svg(tmp_path, monkeypatch):
    from chapters import execute
    from chapters.sections import Section

    monkeypatch.setattr(execute, 'BUILD', tmp_path)
    path = tmp_path / 's.py'
    path.write_text('# %% [markdown]\n# # 9.9 x\n\n# %%\n# %matplotlib inline\nimport d2l\n'
                    'animator = d2l.Animator(xlabel="epoch", legend=["loss"], xlim=[0, 3])\n'
                    'for i in range(3):\n    animator.add(i, [i])\nprint("done")\n')
    nb, figures = execute.execute(Section('9.9', path))
    assert [figure.name for figure in figures] == ['00.svg']
    assert figures[0].read_text().startswith('<?xml')
    kinds = [out.output_type for out in nb.cells[1].outputs]
    assert kinds.count('display_data') == 1
