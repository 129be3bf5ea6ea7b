import re

import pytest

from chapters import __main__ as cli
from chapters import execute
from chapters.sections import Section, find
from ci import outputs

NEEDS_TWO = '''\
# %% [markdown] gpus=2
# # 99.3 A section that needs two GPUs

# %%
import d2l
from mxnet import context, gluon, np, npx
npx.set_np()
print(npx.num_gpus(), npx.gpu(), npx.gpu(1), context.gpu(1))

# %%
print(d2l.try_gpu(), d2l.try_gpu(1), d2l.try_gpu(2), d2l.try_all_gpus())

# %%
print([part.ctx for part in gluon.utils.split_and_load(np.ones((4, 1)), d2l.try_all_gpus())])

# %%
print(sorted(name for name in dir() if name in ('devices', 'mxnet', '_setup')))
'''
PRINTS = ['2 cpu(1) cpu(2) cpu(2)', 'cpu(1) cpu(2) cpu(0) [cpu(1), cpu(2)]', '[cpu(1), cpu(2)]',
          '[]']


@pytest.fixture
def needs_two(tmp_path, monkeypatch):
    """A Section that needs two GPUs, with a build folder of its own."""
    monkeypatch.setattr(execute, 'BUILD', tmp_path / 'build')
    path = tmp_path / 's03_x.py'
    path.write_text(NEEDS_TWO)
    return Section('99.3', path)


@pytest.fixture
def gpus(monkeypatch):
    """A function that makes MXNet find that many GPUs, in this process."""
    import d2l

    def found(number):
        monkeypatch.setattr(d2l.npx, 'num_gpus', lambda: number)
    return found


def test_cpu_contexts_stand_for_gpus(needs_two):
    nb, _ = execute.execute(needs_two, devices=('cpu', 'cpu'))
    printed = [outputs.printed_text(cell).strip() for cell in nb.cells if cell.cell_type == 'code']
    assert printed == PRINTS


@pytest.mark.parametrize('found, devices, fits', [
    (0, (), False), (1, (), False), (2, (), True), (3, (), True),
    (0, ('cpu',), False), (0, ('cpu', 'cpu'), True), (2, ('cpu',), False),
])
def test_missing_gpus_are_reported_with_the_option(needs_two, gpus, found, devices, fits):
    gpus(found)
    if fits:
        return execute.check_devices(needs_two, devices)
    with pytest.raises(execute.DevicesMissing, match='99.3 needs 2 GPUs.*--devices cpu,cpu'):
        execute.execute(needs_two, devices=devices)


def test_sections_that_need_no_gpu_do_not_ask_for_one(gpus):
    gpus(0)
    for section in find('all'):
        assert section.gpus == (2 if section.number in ('12.5', '12.6') else 0)
    execute.check_devices(find('5.6')[0], ())


@pytest.mark.parametrize('number', ['12.5', '12.6'])
def test_a_section_is_not_begun_where_gpus_are_missing(number, gpus, capsys):
    gpus(1)
    assert cli.main(['run', '2.1', number]) == 2
    out, err = capsys.readouterr()
    assert out == '' and f'{number} needs 2 GPUs' in err and '--devices cpu,cpu' in err


def test_both_stand_ins_are_used_and_the_first_line_says_so(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, 'BUILD', tmp_path)
    monkeypatch.setattr(cli, 'BUILD', tmp_path)
    assert cli.main(['run', '12.5', '--quick', '--devices', 'cpu,cpu']) == 0
    first, *_, one, both = re.findall('^12.*|.*sec/epoch.*', capsys.readouterr().out, flags=re.M)
    assert first.endswith('(gpu(0) is cpu(1)) (gpu(1) is cpu(2))')
    assert one.endswith('on [cpu(1)]') and both.endswith('on [cpu(1), cpu(2)]')


@pytest.mark.parametrize('text', ['gpu', 'cpu,gpu', '', 'cpu,', '2'])
def test_other_devices_are_refused(text, capsys):
    with pytest.raises(SystemExit, match='2'):
        cli.main(['run', '12.5', f'--devices={text}'])
    assert 'such as cpu,cpu' in capsys.readouterr().err


def test_a_reader_can_let_cpu_contexts_stand_for_gpus(python):
    """As in a notebook, where the runner's option --devices cannot be given."""
    done = python('-c',
                  'import d2l\nd2l.device.stand_in(2)\nfrom mxnet import context, gluon, np, npx\n'
                        'print(npx.num_gpus(), npx.gpu(), npx.gpu(1), context.gpu(1))\n'
                        'print(d2l.try_gpu(), d2l.try_gpu(1), d2l.try_gpu(2), d2l.try_all_gpus())')
    assert done.stdout.split('\n')[:2] == PRINTS[:2], done.stderr


def test_standing_in_for_no_gpu_is_an_error():
    import d2l

    with pytest.raises(ValueError, match='at least one'):
        d2l.device.stand_in(0)
