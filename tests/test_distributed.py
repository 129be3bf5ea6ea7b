"""Two workers train as one process does, and go on where they were stopped."""
import os
import random
import re

import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

from chapters.execute import execute
from chapters.sections import find
from ci.outputs import printed_text
from d2l import distributed
from tests import train_small
from tests.support import REPO, TOLERANCE, assert_same, parameters

SCRIPT = REPO / 'tests' / 'train_small.py'
EPOCHS = 3
@pytest.fixture(autouse=True)
def _numpy_semantics():
    npx.set_np()


@pytest.fixture
def workers(monkeypatch):
    """A function that makes this process worker k of n."""
    def be(k, n):
        monkeypatch.setattr(distributed, 'rank', lambda: k)
        monkeypatch.setattr(distributed, 'num_workers', lambda: n)
    return be


@pytest.fixture
def two_workers(python):
    """A function that trains on two workers in a folder and returns the CompletedProcess."""
    def run(folder, *args):
        return python('-m', 'd2l.launch', '-n', 2, SCRIPT, folder, *args)
    return run


@pytest.fixture
def whole(two_workers, tmp_path_factory):
    """A function that returns the folder of an undisturbed run on two workers, one for each
    optimizer."""
    def run(optimizer):
        folder = tmp_path_factory.getbasetemp() / f'whole-{optimizer}'
        if not folder.exists():
            folder.mkdir()
            done = two_workers(folder, optimizer, EPOCHS)
            assert done.returncode == 0, done.stderr
        return folder
    return run


@pytest.mark.xdist_group('two_workers')
@pytest.mark.parametrize('optimizer', train_small.OPTIMIZERS)
def test_two_workers_train_as_one_process_on_the_whole_minibatch(whole, tmp_path, optimizer):
    folder = whole(optimizer)
    first, second = [parameters(folder / f'{k}.params') for k in range(2)]
    assert_same(first, second)
    train_small.main(str(tmp_path), optimizer, EPOCHS)
    assert_same(first, parameters(tmp_path / '0.params'), TOLERANCE)
    if optimizer == 'rates':                        # the frozen layer has not changed at all
        (tmp_path / 'untrained').mkdir()
        train_small.main(str(tmp_path / 'untrained'), optimizer, 0)
        untrained = parameters(tmp_path / 'untrained' / '0.params')
        assert_same(*[{name: found[name] for name in ('0.weight', '0.bias')}
                      for found in (first, untrained)])
        assert (first['1.weight'] != untrained['1.weight']).all()


def test_section_12_7_ends_alike_alone_and_on_two_workers():
    nb, _ = execute(find('12.7')[0], quick=True)
    said = ''.join(printed_text(cell) for cell in nb.cells if cell.cell_type == 'code')
    found = re.findall(r'worker (\d) of (\d): .* sum of weights (\S+), test acc (\S+)', said)
    assert [row[:2] for row in sorted(found)] == [('0', '1'), ('0', '2'), ('1', '2')]
    (alone, _), (first, acc), (second, other_acc) = [row[2:] for row in sorted(found)]
    assert (first, acc) == (second, other_acc)
    # printed with four digits after the point; 61,706 weights that are about 0.1
    assert abs(float(alone) - float(first)) < 0.001


@pytest.mark.xdist_group('two_workers')
def test_a_group_that_died_resumes_with_the_same_results(two_workers, whole, tmp_path):
    done = two_workers(tmp_path, 'adam', EPOCHS, 'worker 1')
    assert done.returncode == 128 + 9 and 'worker 1 died (killed by SIGKILL)' in done.stderr
    assert os.listdir(tmp_path / 'checkpoint') == [f'epoch-{EPOCHS - 1}']
    done = two_workers(tmp_path, 'adam', EPOCHS)
    assert done.returncode == 0, done.stderr
    assert f'[worker 0] epoch {EPOCHS - 1} of {EPOCHS}\n' in done.stdout
    assert_same(*[parameters(folder / '0.params') for folder in (tmp_path, whole('adam'))])


def test_one_process_goes_on_too(tmp_path):
    for folder, stops in ('whole', [EPOCHS]), ('parts', [1, EPOCHS]):
        (tmp_path / folder).mkdir()
        for num_epochs in stops:
            train_small.main(str(tmp_path / folder), 'adam', num_epochs)
    assert_same(*[parameters(tmp_path / folder / '0.params') for folder in ('whole', 'parts')])


# The share of a worker

@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('n', [1, 2, 3, 4])
@pytest.mark.parametrize('length, batch_size', [(12, 4), (13, 4), (15, 4), (16, 5), (4, 4), (5, 9)])
def test_shares_are_a_partition(workers, length, batch_size, n, shuffle):
    epochs = []
    for k in range(n):
        workers(k, n)
        share = distributed.Share(length, batch_size, shuffle)
        epochs.append(list(share))
        assert len(epochs[-1]) == len(share) == len(share.totals)
    for total, batches in zip(share.totals, zip(*epochs)):
        sizes = [len(batch) for batch in batches]
        assert sum(sizes) == total and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert sorted(i for batches in epochs for batch in batches for i in batch) == [*range(length)]
    assert all(total == batch_size for total in share.totals[:-1]) or length % batch_size < n


def test_a_remainder_too_small_for_all_joins_the_minibatch_before(workers):
    workers(2, 3)
    share = distributed.Share(14, 4)
    assert share.totals == [4, 4, 6] and list(share) == [[2], [6], [10, 13]]


def test_every_epoch_has_an_order_of_its_own_and_a_resumed_run_the_same(workers):
    workers(0, 2)
    share = distributed.Share(20, 4, shuffle=True)
    first, second = list(share), list(share)
    assert first != second
    assert list(distributed.Share(20, 4, shuffle=True, epoch=1)) == second
    assert list(distributed.Share(20, 4, shuffle=True, seed=1)) != first


@pytest.mark.parametrize('length, batch_size', [(2, 8), (8, 2)])
def test_a_worker_without_examples_is_refused(workers, length, batch_size):
    workers(0, 3)
    with pytest.raises(ValueError, match='3 workers cannot share'):
        distributed.Share(length, batch_size)


# The trainer

def test_update_on_kvstore_false_is_refused():
    with pytest.raises(ValueError, match='update_on_kvstore=False'):
        distributed.trainer(nn.Dense(1), 'sgd', update_on_kvstore=False)


def test_unknown_shapes_are_refused():
    net = nn.Dense(1)
    net.initialize()
    with pytest.raises(ValueError, match='compute net'):
        distributed.trainer(net, 'sgd')
    net(np.ones((1, 2)))
    distributed.trainer(net, 'sgd')


def test_a_checkpoint_needs_a_folder_and_is_not_overwritten(tmp_path):
    net = nn.Dense(1, in_units=2)
    net.initialize()
    with pytest.raises(ValueError, match='checkpoint=FOLDER'):
        distributed.trainer(net, 'sgd').save(1)
    trainer = distributed.trainer(net, 'sgd', checkpoint=tmp_path)
    trainer.save(1)
    with pytest.raises(ValueError, match='epoch-1 is there already'):
        trainer.save(1)


def test_a_checkpoint_that_was_not_finished_is_not_one(tmp_path):
    net = nn.Dense(1, in_units=2)
    net.initialize()
    (tmp_path / 'epoch-7.part').mkdir()
    trainer = distributed.trainer(net, 'sgd', checkpoint=tmp_path)
    assert trainer.epoch == 0
    trainer.save(7)
    weight = net.weight.data().copy()
    net.weight.set_data(np.zeros((1, 2)))
    assert distributed.trainer(net, 'sgd', checkpoint=tmp_path).epoch == 7
    assert (net.weight.data() == weight).all()
    other = nn.Dense(1, in_units=2, use_bias=False)
    other.initialize()
    with pytest.raises(ValueError, match='is of another net: bias'):
        distributed.trainer(other, 'sgd', checkpoint=tmp_path)


def test_a_checkpoint_of_pickles_is_not_read(tmp_path):
    """An earlier d2l wrote pickles: to load them is to run what somebody has put in."""
    net = nn.Dense(1, in_units=2)
    net.initialize()
    (tmp_path / 'epoch-1').mkdir()
    (tmp_path / 'epoch-1' / 'group.json').write_text('{"epoch": 1, "servers": 1}')
    with pytest.raises(ValueError, match='earlier d2l, as pickles.*another folder'):
        distributed.trainer(net, 'sgd', checkpoint=tmp_path)


def test_a_second_trainer_is_refused(monkeypatch):
    store = distributed._Servers()
    store.d2l_trainer = 'first'
    monkeypatch.setattr(distributed, '_servers', store)
    net = nn.Dense(1, in_units=2)
    net.initialize()
    with pytest.raises(RuntimeError, match='there is a trainer already'):
        distributed.trainer(net, 'sgd')


def test_one_process_is_worker_0_of_1():
    assert (distributed.rank(), distributed.num_workers()) == (0, 1)


# Damaged checkpoints

def one_layer(value=0.5):
    net = nn.Dense(3, in_units=4)
    net.initialize()
    net.weight.set_data(np.full((3, 4), value))
    return net


@pytest.fixture
def checkpoint(tmp_path):
    """The folder of a checkpoint of a trained layer, and its weight."""
    net = one_layer()
    trainer = distributed.trainer(net, 'adam', checkpoint=tmp_path / 'c')
    with autograd.record():
        l = net(np.ones((2, 4))).sum()
    l.backward()
    trainer.step(2)
    trainer.save(1)
    return tmp_path / 'c', net.weight.data().asnumpy()


FLIPS = 40


@pytest.mark.parametrize('name', ['net.params', 'optimizer.npz', 'group.json'])
def test_a_flipped_bit_of_a_checkpoint_is_noticed(name, checkpoint):
    """Also a file that is cut off, empty or missing."""
    folder, weight = checkpoint
    path, draw = folder / 'epoch-1' / name, random.Random(0)
    good = path.read_bytes()
    for number in range(FLIPS):
        at = draw.randrange(len(good) * 8)
        path.write_bytes(good[:at // 8] + bytes([good[at // 8] ^ 1 << at % 8]) + good[at // 8 + 1:])
        with pytest.raises(ValueError, match='epoch-1.* is damaged|by an earlier d2l'):
            distributed.trainer(one_layer(), 'adam', checkpoint=folder)
    for data in good[:-1], good[:10], b'':
        path.write_bytes(data)
        with pytest.raises(ValueError, match='epoch-1.* is damaged'):
            distributed.trainer(one_layer(), 'adam', checkpoint=folder)
    path.unlink()
    with pytest.raises(ValueError, match='epoch-1 is no whole checkpoint'):
        distributed.trainer(one_layer(), 'adam', checkpoint=folder)
    path.write_bytes(good)
    net = one_layer()
    assert distributed.trainer(net, 'adam', checkpoint=folder).epoch == 1
    assert (net.weight.data().asnumpy() == weight).all()


def test_files_of_two_checkpoints_are_not_mixed(checkpoint):
    folder, _ = checkpoint
    old = (folder / 'epoch-1' / 'net.params').read_bytes()
    net = one_layer()
    trainer = distributed.trainer(net, 'adam', checkpoint=folder)
    net.weight.set_data(np.zeros((3, 4)))
    trainer.save(2)
    (folder / 'epoch-2' / 'net.params').write_bytes(old)
    with pytest.raises(ValueError, match='of several checkpoints'):
        distributed.trainer(one_layer(), 'adam', checkpoint=folder)


@pytest.mark.parametrize('name', ['run[1]', 'a*', '?', 'with space', 'new\nline', 'ünï'], ids=ascii)
def test_a_checkpoint_is_found_whatever_its_folder_is_called(name, tmp_path):
    distributed.trainer(one_layer(), 'sgd', checkpoint=tmp_path / name).save(3)
    assert distributed.trainer(one_layer(), 'sgd', checkpoint=tmp_path / name).epoch == 3


@pytest.mark.parametrize('name',
                         ['epoch-x1', 'epoch-old-9', 'epoch-9 copy 2', 'epoch-09', 'my epoch-9'])
def test_folders_beside_a_checkpoint_are_ignored(name, checkpoint):
    (checkpoint[0] / name).mkdir()
    assert distributed.trainer(one_layer(), 'adam', checkpoint=checkpoint[0]).epoch == 1


def test_a_full_disk_loses_no_checkpoint(tmp_path, python):
    done = python('-W', 'ignore', '-c', """if True:
        import os, resource, sys, d2l
        from d2l import distributed
        d2l.npx.set_np()
        net = d2l.nn.Dense(100, in_units=100)
        net.initialize()
        trainer = distributed.trainer(net, 'sgd', checkpoint=sys.argv[1])
        trainer.save(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        try:
            trainer.save(2)
        except OSError as error:
            print(error, os.listdir(sys.argv[1]))""", tmp_path)
    assert 'cannot write' in done.stdout and done.stdout.endswith("['epoch-1']\n"), done.stderr
