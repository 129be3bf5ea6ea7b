"""ci.bench: what it prints of what it timed, and how it takes turns."""
import pytest

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


def test_ways_take_turns():
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
