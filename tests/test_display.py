"""Figures where there is no notebook: nothing is printed."""
import d2l


def test_plain_python_prints_no_figure_and_no_escape_codes(python):
    code = ('import d2l\nd2l.use_svg_display()\n'
            'animator = d2l.Animator(xlabel="epoch", legend=["loss"])\n'
            'for i in range(3):\n    animator.add(i, [i])\n'
            'd2l.display.display("text")\nd2l.plt.savefig("/dev/null", format="svg")\n')
    done = python('-c', code)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'text\n', '')


def test_it_is_ipythons_module_for_everything_else():
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
