import dataclasses
import functools
import json
import types

import numpy as onp
import pytest
from mxnet import MXNetError, npx

import d2l
from ci import networks, numbers, regress, spread
from ci.networks import NETWORKS
from d2l.onnx.operators import OPERATORS
from tests.conftest import REPORT_NETWORKS
from tests.test_gluoncv import FEW

BY_NAME = {network.name: network for network in NETWORKS}
GPU = next((ctx for ctx in d2l.try_all_gpus() if ctx.device_type == 'gpu'), None)
# as Gluon says it: importing a graph cannot tell the type of its inputs, and need not
pytestmark = pytest.mark.filterwarnings('ignore:Cannot decide type:UserWarning')


def grouped(*extra):
    """Parameters for every network, those of one network in one process."""
    return [pytest.param(network.name, *more, marks=pytest.mark.xdist_group(network.name))
            for network in NETWORKS for more in (extra or ((),))]


@pytest.mark.xdist_group('lenet')
def test_tests_of_a_network_share_a_process(request):
    """pytest-xdist sends a group to one process if it can mark the ids of its tests."""
    assert not hasattr(request.config, 'workerinput') or request.node.nodeid.endswith('@lenet')


@functools.lru_cache(maxsize=1)
def computed(name, ctx=networks.CPU):
    return {mode: (record, seconds)
            for mode, record, seconds in regress.compute(BY_NAME[name], ctx)}


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in regress.MODES)))
def test_network_computes_what_is_stored(name, mode, record_property):
    record, seconds = computed(name)[mode]
    row = regress.row(BY_NAME[name], mode, record, seconds)
    record_property(REPORT_NETWORKS, row)
    if isinstance(record, regress.Skip):
        pytest.skip(str(record))
    _, _, error, bar, _, _ = row
    assert error <= bar


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in regress.MODES)) if GPU else [
    pytest.param('any', 'any', marks=pytest.mark.skip('there is no GPU that MXNet can compute on'))])
def test_a_gpu_computes_what_is_stored(name, mode, monkeypatch):
    monkeypatch.setenv('NVIDIA_TF32_OVERRIDE', '0')
    record, _ = computed(name, GPU)[mode]
    if isinstance(record, regress.Skip):
        pytest.skip(str(record))
    error, bar = regress.check(BY_NAME[name], mode, record, device='gpu')
    assert error <= bar


@pytest.mark.parametrize('mode', regress.MODES)
@pytest.mark.parametrize('name', ['lenet', 'lstm', 'transformer'])
def test_all_is_computed_on_the_context_given(name, mode):
    """A second CPU context stands for a GPU: what is made on the first does not mix with it."""
    record, _ = computed(name, npx.cpu(1))[mode]
    if isinstance(record, regress.Skip):
        pytest.skip(str(record))
    error, bar = regress.check(BY_NAME[name], mode, record)
    assert error <= bar


@pytest.mark.parametrize('network', [network for network in NETWORKS if network.cpu_only],
                         ids=lambda network: network.name)
def test_what_is_cpu_only_cannot_be_elsewhere(network):
    assert all(isinstance(record, regress.Skip)
               for _, record, _ in regress.compute(network, npx.cpu(1)))
    with pytest.raises((MXNetError, d2l.TraceError), match='same context|runs on one device'):
        list(regress.compute(dataclasses.replace(network, cpu_only=''), npx.cpu(1)))


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in regress.WITNESSES)))
def test_only_what_no_file_holds_lacks_a_witness(name, mode):
    record, _ = computed(name)[mode]
    assert isinstance(record, regress.Skip) == bool(BY_NAME[name].no_export), record


@pytest.mark.parametrize('export', [d2l.export, d2l.export_onnx])
@pytest.mark.parametrize('network', [network for network in NETWORKS if network.no_export],
                         ids=lambda network: network.name)
def test_what_no_file_holds_cannot_be_exported(network, export, tmp_path):
    net, inputs = network.filled()
    with pytest.raises(d2l.TraceError, match='(?s)asks for a value.*<section 5.1>'):
        export(net, str(tmp_path / 'net'), *inputs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', grouped())
def test_one_percent_is_rejected(name):
    """The check can fail: a parameter, or where there is none an input, is changed by 1 %."""
    network = BY_NAME[name]
    net, inputs = regress.prepared(network, networks.CPU)
    params, old = networks.structural(net), regress.stored(network)
    if 'gradients' in old:                          # the one that matters most
        changed = params[old['gradient names'][old['gradients'].argmax()]].data()
    else:
        changed = next(iter(params.values())).data() if params else next(networks.leaves(inputs))
    changed[:] = changed * 1.01
    found = [regress.check(network, 'eager', numbers.predict(net, inputs))]
    if not network.predict_only:
        found.append(regress.check(network, 'training',
                                   numbers.train(net, inputs, network.smooth)))
    assert any(error > bar for error, bar in found)


RECORD = numbers.record_outputs([onp.arange(6, dtype='float32').reshape(2, 3),
                                 onp.ones((2, 2), 'float32')])


@pytest.mark.parametrize('outputs', [
    [onp.ones((2, 2), 'float32'), onp.arange(6, dtype='float32').reshape(2, 3)],   # swapped
    [onp.full((2, 3), onp.nan, 'float32'), onp.ones((2, 2), 'float32')],
    [onp.arange(6, dtype='float64').reshape(2, 3), onp.ones((2, 2), 'float32')],
    [onp.full((2, 3), 2.5, 'float32'), onp.ones((2, 2), 'float32')],               # constant
    [onp.arange(6, dtype='float32').reshape(3, 2), onp.ones((2, 2), 'float32')],
    [onp.arange(6, dtype='float32').reshape(2, 3)],                                # one missing
    [onp.arange(6, dtype='float32').reshape(2, 3)] + [onp.ones((2, 2), 'float32')] * 2,
])
def test_wrong_outputs_are_rejected(outputs):
    errors = numbers.errors(RECORD, numbers.record_outputs(outputs))
    assert max(errors.values()) > 0.1


def test_the_same_outputs_are_accepted():
    assert set(numbers.errors(RECORD, RECORD).values()) == {0.0}


def test_a_large_output_is_sampled_by_rule():
    large = onp.arange(5000)
    assert (numbers.sample(large) == large[::9][:512]).all()
    assert (numbers.sample(large[:512]) == large[:512]).all()


def test_names_are_unique_and_files_are_known():
    names = [network.name for network in regress.ROWS]
    assert len(set(names)) == len(names)
    assert {path.name[:-4] for path in regress.GOLDEN.glob('*.npz')} == set(names)


def test_stored_files_are_small():
    sizes = [path.stat().st_size for path in regress.GOLDEN.glob('*.npz')]
    assert max(sizes) <= 50_000 and sum(sizes) < 3_000_000


def test_index_is_fresh():
    assert (regress.GOLDEN / 'INDEX.md').read_text() == regress.index()


def test_a_missing_file_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(regress, 'GOLDEN', tmp_path)
    with pytest.raises(FileNotFoundError, match='python -m ci.regress lenet --update'):
        regress.stored(BY_NAME['lenet'])


def test_tolerances_are_of_this_registry():
    table = json.loads(regress.TOLERANCES.read_text())
    # of Gluon-CV's, at least those that the tests compute
    assert set(BY_NAME) | set(FEW) <= set(table['spread']) <= {row.name for row in regress.ROWS}
    assert 'ci.spread' in table['generated']


@pytest.mark.parametrize('command', [
    lambda: regress.main(['linreg', '--device', 'gpu']), lambda: spread.main(['linreg'], 'gpu')])
def test_without_a_gpu_the_commands_say_so(monkeypatch, command):
    monkeypatch.setenv('NVIDIA_TF32_OVERRIDE', '1')
    monkeypatch.setattr(d2l, 'try_all_gpus', lambda: [npx.cpu()])
    with pytest.raises(SystemExit, match='no GPU.*python -m d2l.device'):
        command()


@pytest.fixture
def gpu_errors(monkeypatch, tmp_path):
    """Let ci.spread measure these errors on a GPU, and write to a copy of the tolerances."""
    def measure(errors):
        out = json.dumps({name: {'prediction': error} for name, error in errors.items()})
        monkeypatch.setattr(spread.subprocess, 'run', lambda *args, **kwargs:
                            types.SimpleNamespace(stdout=out))
        spread.main(list(errors), 'gpu')
        return json.loads(copy.read_text())

    copy = tmp_path / 'tolerances.json'
    copy.write_text(regress.TOLERANCES.read_text())
    monkeypatch.setattr(regress, 'TOLERANCES', copy)
    monkeypatch.setattr(regress, 'context', lambda device: npx.cpu())
    return measure


def test_tolerances_of_a_gpu_are_measured_first(gpu_errors):
    before = json.loads(regress.TOLERANCES.read_text())
    with pytest.raises(SystemExit, match='python -m ci.spread --device gpu lenet'):
        regress.main(['lenet', '--device', 'gpu'])
    assert gpu_errors({'lenet': 3e-5}) == {**before, 'spread on a GPU': {
        'lenet': {'prediction': 3e-5}}}
    gpu_errors({'linreg': 1e-5})                    # the others stay
    assert regress.tolerance('lenet', 'prediction', 'gpu') == 10 * 3e-5
    assert regress.tolerance('lenet', 'prediction') < 1e-5


def test_a_gpu_that_computes_something_else_has_no_tolerance(gpu_errors):
    before = regress.TOLERANCES.read_text()
    with pytest.raises(SystemExit, match='computes something else: lenet'):
        gpu_errors({'lenet': 2e-3, 'linreg': 1e-5})
    assert regress.TOLERANCES.read_text() == before


def test_an_unknown_network_is_answered_with_the_nearest():
    with pytest.raises(SystemExit, match='lenet'):
        regress.main(['lent'])


def test_the_command_prints_a_table_and_fails(monkeypatch, tmp_path, capsys):
    assert regress.main(['linreg', '--json', str(tmp_path / 'table.json')]) == 0
    out = capsys.readouterr().out
    assert 'linreg' in out and 'compiled training' in out and '0 failed' in out
    assert json.loads((tmp_path / 'table.json').read_text())[0]['network'] == 'linreg'
    monkeypatch.setattr(networks, 'fill', lambda name, shape: onp.ones(shape))
    assert regress.main(['linear_regression']) == 1
    assert 'FAILED' in capsys.readouterr().out


def test_the_command_lists_the_networks_of_an_operator_without_converter(monkeypatch, capsys):
    monkeypatch.delitem(OPERATORS, '_np_dot')
    assert regress.main(['linreg', 'mlp_scratch', 'mlp']) == 1
    out = capsys.readouterr().out
    assert 'no converter to ONNX for _np_dot (d2l/onnx/operators.py): linreg, mlp_scratch\n' in out
    assert '_np_dot: File "<section 4.2>", line ' in out and '0 failed' in out


@pytest.mark.parametrize('table, wrong, name', [
    (regress.witness.OPERATORS, lambda attrs, X, weight, bias=0: X @ weight.T, 'NumPy'),
    (OPERATORS, lambda g, X, weight, bias, **attrs: g.node('Gemm', X, weight, transB=1),
     'ONNX Runtime')])
def test_update_refuses_what_a_witness_denies(table, wrong, name, monkeypatch, tmp_path):
    monkeypatch.setattr(regress, 'GOLDEN', tmp_path)
    monkeypatch.setitem(table, 'FullyConnected', wrong)
    with pytest.raises(ValueError, match=f'{name} computes other numbers'):
        regress.update(BY_NAME['linear_regression'])
    assert list(tmp_path.iterdir()) == []
