"""ci.bench: its tables and summaries, and how the ways of computing take turns."""
import os
import warnings

import pytest
from mxnet import npx

from ci import bench

FOUND = {'eager': [0.002, 0.004], 'compiled': [0.001, 0.003]}       # ratios 0.5, 0.75
FASTER = {**FOUND, 'PyTorch': [0.004, 0.008]}                       # eager / PyTorch 0.5
RESULTS = [('mlp', 256, {'training': FOUND}), ('lenet', 64, {'training': FASTER})]


def test_a_ratio_is_the_median_of_the_rounds():
    assert bench.ratio(FOUND, 'compiled', 'eager') == 0.625
    assert bench.ratio(FOUND, 'compiled', 'PyTorch') is None


def test_the_table_has_a_row_a_network_and_ends_with_geometric_means():
    assert list(bench.table(RESULTS, 'training')) == [
        '| training | batch | eager, ms | compiled, ms | PyTorch, ms | compiled / eager '
        '| eager / PyTorch | compiled / PyTorch |',
        '|---|---:|---:|---:|---:|---:|---:|---:|',
        '| mlp | 256 | 3.00 | 2.00 | – | 0.62 | – | – |',
        '| lenet | 64 | 3.00 | 2.00 | 6.00 | 0.62 | 0.50 | 0.31 |',
        '| geometric mean |  |  |  |  | 0.62 | 0.50 | 0.31 |']


def test_timers_take_turns():
    asked = []

    def timer(name):
        def ask(times):
            asked.append((name, times))
            return 0.05
        return ask
    found = bench.compare({'a': timer('a'), 'b': timer('b')}, 2, least=0.2)
    assert found == {'a': [0.05] * 2, 'b': [0.05] * 2}
    assert asked[-4:] == [('a', 4), ('b', 4), ('a', 4), ('b', 4)]


@pytest.mark.parametrize('workload', bench.WORKLOADS, ids=lambda workload: workload.network)
def test_a_workload_is_a_row_of_the_registry_and_a_loss(workload):
    assert bench.regress.select([workload.network])
    assert workload.loss in bench.LOSSES and workload.batch


def test_times_are_stored_beside_those_of_other_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, 'KEPT', tmp_path / 'speed.json')
    assert bench.kept() == {}
    bench.keep(RESULTS[1:])
    bench.keep([('mlp', 256, {'training': {'eager': [0.123456]}, 'inductor': 'cannot'})])
    found = bench.kept()
    assert list(found) == ['mlp', 'lenet'] and found['lenet']['training'] == FASTER
    assert found['mlp']['training'] == {'eager': [0.1235]} and found['mlp']['inductor'] == 'cannot'
    assert found['lenet']['when'] and 'MXNet' in found['lenet']['where']


def test_a_summary_takes_the_faster_of_each_side():
    times = {'eager': [4, 4], 'compiled': [2, 3], 'optimized': [2, 1], 'PyTorch': [1, 4],
             'torch.compile': [2, 2], 'ONNX Runtime': [1, 3]}
    found = {'training': times, 'inference': times}
    assert bench.summary(found, 'training') == (0.625, 0.375, 1.25)  # the mean of 2 / 1 and 1 / 2
    assert bench.summary(found, 'inference') == (0.625, 0.375, 0.75)  # the mean of 1 / 1 and 1 / 2
    assert bench.summary({'training': FOUND}, 'training')[1:] == (None, None)


SLOW = 'googlenet', 'resnet18', 'text_cnn', 'tiny_ssd'


@pytest.mark.parametrize('workload', bench.WORKLOADS, ids=lambda workload: workload.network)
def test_the_proof_refuses_no_network_of_the_books_size(workload):
    """Sums over a whole minibatch are rounded more than those of the regression's small inputs."""
    if workload.network in SLOW and not os.environ.get('D2L_TEST_ALL'):
        pytest.skip('takes long: D2L_TEST_ALL=1')
    npx.set_np()
    with warnings.catch_warnings():
        warnings.filterwarnings('error', '.* runs as it was traced')
        train, predict = workload.prepared(bench.OPTIMIZED)
        train()
        predict()
