import contextlib
import dataclasses
import functools
import json
import os
from xml.etree import ElementTree

import numpy as onp
import pytest
from mxnet import MXNetError, autograd, np, npx
from mxnet.gluon import nn, rnn

import d2l
from ci import gradients, modes, mutants, networks, numbers, regress, report, spread, stored
from ci.networks import NETWORKS
from d2l.onnx.operators import OPERATORS
from tests.support import FEW, REPORT_NETWORKS

BY_NAME = {network.name: network for network in NETWORKS}
GPU = next((ctx for ctx in d2l.try_all_gpus() if ctx.device_type == 'gpu'), None)
# Gluon warns that it cannot tell the types of the inputs of a graph that it imports, and need not
pytestmark = pytest.mark.filterwarnings('ignore:Cannot decide type:UserWarning')


def grouped(*extra):
    """Return pytest's parameters for each network, with each of `extra` if there are any.
    pytest-xdist runs all tests of one network in one process."""
    return [pytest.param(network.name, *more, marks=pytest.mark.xdist_group(network.name))
            for network in NETWORKS for more in (extra or ((),))]


@pytest.mark.xdist_group('lenet')
def test_tests_of_a_network_share_a_process(request):
    """pytest-xdist sends a group to one process if it can mark the ids of its tests."""
    assert not hasattr(request.config, 'workerinput') or request.node.nodeid.endswith('@lenet')


@functools.lru_cache(maxsize=1)
def computed(name, ctx=networks.CPU):
    return {mode: (record, seconds)
            for mode, record, seconds in modes.compute(BY_NAME[name], ctx)}


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in modes.MODES)))
def test_network_computes_what_is_stored(name, mode, record_property):
    record, seconds = computed(name)[mode]
    row = report.row(BY_NAME[name], mode, record, seconds)
    record_property(REPORT_NETWORKS, row)
    if isinstance(record, modes.Skip):
        pytest.skip(str(record))
    _, _, error, bar, _, _ = row
    assert error <= bar


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in modes.MODES)) if GPU else [
    pytest.param('any', 'any',
                 marks=pytest.mark.skip('there is no GPU that MXNet can compute on'))])
def test_a_gpu_computes_what_is_stored(name, mode, monkeypatch):
    monkeypatch.setenv('NVIDIA_TF32_OVERRIDE', '0')
    record, _ = computed(name, GPU)[mode]
    if isinstance(record, modes.Skip):
        pytest.skip(str(record))
    error, bar = stored.check(BY_NAME[name], mode, record, device='gpu')
    assert error <= bar


@pytest.mark.parametrize('mode', modes.MODES)
@pytest.mark.parametrize('name', ['lenet', 'lstm', 'transformer'])
def test_all_is_computed_on_the_context_given(name, mode):
    """A second CPU context stands for a GPU: arrays made on the first do not mix with it."""
    record, _ = computed(name, npx.cpu(1))[mode]
    if isinstance(record, modes.Skip):
        pytest.skip(str(record))
    error, bar = stored.check(BY_NAME[name], mode, record)
    assert error <= bar


@pytest.mark.parametrize('network', [network for network in NETWORKS if network.cpu_only],
                         ids=lambda network: network.name)
def test_what_is_cpu_only_cannot_be_elsewhere(network):
    assert all(isinstance(record, modes.Skip)
               for _, record, _ in modes.compute(network, npx.cpu(1)))
    assert any(isinstance(record, modes.Failure) for _, record, _
               in modes.compute(dataclasses.replace(network, cpu_only=''), npx.cpu(1)))


@pytest.mark.parametrize('name, mode', grouped(*((mode,) for mode in stored.WITNESSES)))
def test_only_networks_without_an_export_lack_a_witness(name, mode):
    record, _ = computed(name)[mode]
    assert isinstance(record, modes.Skip) == bool(BY_NAME[name].no_export), record


@pytest.mark.parametrize('export', [d2l.export, d2l.export_onnx])
@pytest.mark.parametrize('network', [network for network in NETWORKS if network.no_export],
                         ids=lambda network: network.name)
def test_networks_with_no_export_cannot_be_exported(network, export, tmp_path):
    net, inputs = network.filled()
    with pytest.raises(d2l.TraceError, match='(?s)asks for a value.*<section 5.1>'):
        export(net, str(tmp_path / 'net'), *inputs)
    assert list(tmp_path.iterdir()) == []


SAMPLE = ['linreg', 'lenet', 'inception', 'residual', 'batch_norm', 'lstm', 'mlp_attention',
          'transformer_encoder_block', 'layers_chimera', 'corr2d', 'skip_gram']


@pytest.mark.parametrize('name', grouped() if 'D2L_TEST_ALL' in os.environ else SAMPLE)
def test_no_mutant_survives(name):
    """The check can fail: wrong outputs and wrong gradients of every Parameter are rejected."""
    passed, count, _ = mutants.survivors(BY_NAME[name])
    assert passed == [] and count >= 1


@pytest.mark.parametrize('mutate', [lambda array: -array,
                                    lambda array: array.reshape(-1)[::-1].reshape(array.shape)])
def test_a_wrong_backward_pass_fails_the_regression(mutate, monkeypatch, capsys):
    """Every gradient of LeNet negated, or in reverse order, which keeps norms and shapes."""
    def step(*args):
        losses, arrays = right(*args)
        return losses, {**arrays, 'gradients': {name: mutate(array) for name, array
                                                in arrays['gradients'].items()}}
    right = numbers.step
    monkeypatch.setattr(numbers, 'step', step)
    assert regress.main(['lenet']) == regress.FAILS
    assert '4 failed' in capsys.readouterr().out        # each mode that trains


@pytest.mark.parametrize('array, other', [
    (onp.arange(2.), onp.array([1., 0.])), (onp.arange(300.), onp.arange(300.)[::-1]),
    (onp.arange(70000.).reshape(7, 10000), onp.arange(70000.).reshape(10000, 7).T)])
def test_a_summary_tells_arrays_of_the_same_numbers_apart(array, other):
    first, second = (numbers.summary('x', a) for a in (array, other))
    assert first[:2] == pytest.approx(second[:2])
    assert abs(first[2:] - second[2:]).max() > 1e-4 * first[0]


@pytest.mark.parametrize('size', [1, 255, 256, 257, 70000])
def test_a_projection_is_a_product_with_its_direction(size):
    array = onp.random.RandomState(0).normal(size=size)
    along = [array @ numbers.direction('x', size, k) for k in range(numbers.PROJECTIONS)]
    assert numbers.summary('x', array) == pytest.approx(
        [onp.linalg.norm(array), array.sum(), *along], abs=1e-9)
    assert set(numbers.direction('x', size)) <= {-1, 1}


def test_any_two_positions_in_a_block_differ_in_a_sign():
    """So a swap of two values within a BLOCK changes a projection."""
    signs = onp.stack([numbers.direction('x', numbers.BLOCK, k)
                       for k in range(numbers.PROJECTIONS)])
    assert len({tuple(column) for column in signs.T}) == numbers.BLOCK


def test_the_positions_of_a_large_output_spread_over_all_of_it():
    at = onp.unravel_index(numbers.positions('output0', 2 * 256 * 144), (2, 256, 12, 12))
    assert [len(set(axis)) for axis in at] == pytest.approx([2, 256, 12, 12], rel=0.2)
    assert (numbers.positions('output0', 512) == onp.arange(512)).all()
    assert len(set(numbers.positions('output0', 600))) == 512


ZERO = {'gradients': onp.array([[1., 0, 0], [1e-8, 0, 1e-8]]),
        'gradients zero': onp.array([False, True])}


@pytest.mark.parametrize('found, error', [
    ([[1., 0, 0], [3e-8, 2e-8, -1e-8]], 3e-8), ([[1., 0, 0], [0.02, 0, 0]], 0.02),
    ([[1., 0.1, 0], [0, 0, 0]], 0.1), ([[1., 0, 0], [onp.nan, 0, 0]], float('inf'))])
def test_a_gradient_stored_as_zero_is_checked_to_be(found, error):
    assert numbers.error('gradients', ZERO, {'gradients': onp.array(found)}) == pytest.approx(error)


TRAINED = [network.name for network in stored.ROWS if not network.predict_only]


@pytest.mark.parametrize('name', TRAINED)
def test_gradients_have_a_witness(name):
    """The stored gradients agree with NumPy's central differences, which also tell which are
    zero."""
    network = next(row for row in stored.ROWS if row.name == name)
    record = stored.stored(network)
    if network.no_gradients:
        assert not any(key.startswith(stored.EVIDENCE) for key in record)
        return
    assert len(record['witness groups']) == sum(len(record.get(key, ())) for key in gradients.KEYS)
    assert gradients.errors(record).max() <= stored.GRADIENTS_BAR


def test_few_gradients_lack_a_witness():
    assert sum(bool(network.no_gradients) for network in stored.ROWS) < 5


@pytest.mark.parametrize('name', ['lenet', 'batch_norm_scratch', 'lstm', 'mlp_attention',
                                  'dropout_scratch', 'residual'])
def test_the_witness_of_gradients_is_as_stored(name):
    record = stored.stored(BY_NAME[name])
    found = stored.gradients_witnessed(BY_NAME[name], record)
    assert (found['witness groups'] == record['witness groups']).all()
    sizes = onp.abs(record['witness derivatives']).max()
    assert found['witness derivatives'] == pytest.approx(record['witness derivatives'],
                                                         abs=1e-6 * sizes)


@pytest.mark.parametrize('operator, wrong', [
    ('FullyConnected', lambda attrs, X, weight, bias:
     X.reshape(len(X), -1) @ weight.T * 1.01 + bias),
    ('Activation', lambda attrs, X: X)])
def test_a_wrong_gradient_is_not_stored(operator, wrong, monkeypatch):
    monkeypatch.setitem(modes.witness.OPERATORS, operator, wrong)
    record = stored.stored(BY_NAME['mlp'])
    with pytest.raises(ValueError, match='NumPy finds other gradients of'):
        stored.gradients_witnessed(BY_NAME['mlp'], record)


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


@pytest.mark.parametrize('old, new, error', [
    (onp.zeros(0), onp.zeros(0), 0.0), (onp.zeros(0), onp.zeros(1), float('inf')),
    (onp.array([2, 4]), onp.array([2, 4]), 0.0),
    (onp.array([2, 4]), onp.array([2, 5]), float('inf')),
    (onp.array(['a']), onp.array(['b']), float('inf')),
    (onp.array([2., 4.]), onp.array([2., 5.]), 0.25)])
def test_the_error_of_an_entry(old, new, error):
    """Numbers that are counts and names have no tolerance."""
    assert numbers.error('entry', {'entry': old}, {'entry': new}) == error


@pytest.mark.parametrize('key, old, new, error', [
    # relative to its norm, the first number, though other numbers are larger
    ('output 0 summary', {'output 0 summary': [1., 5.]}, [1., 5.5], 0.5),
    # relative to the terms that it sums, which may cancel each other
    ('loss', {'loss': [1.], numbers.LOSS_SCALE: [100.]}, [2.], 0.01),
    (numbers.LOSS_SCALE, {'loss': [1.], numbers.LOSS_SCALE: [100.]}, [101.], 0.01),
    ('output 0', {'output 0': [0., 0.]}, [0., 0.], 0.0)])
def test_an_error_is_relative_to_a_scale(key, old, new, error):
    old = {name: onp.array(values) for name, values in old.items()}
    assert numbers.error(key, old, {key: onp.array(new)}) == pytest.approx(error)


def test_a_training_step_draws_no_masks_in_layers():
    net = nn.Sequential()
    net.add(nn.Dropout(0.5), rnn.LSTM(4, num_layers=2, dropout=0.5, layout='NTC'), nn.Dropout(0.5))
    net.initialize()
    numbers.without_dropout(net)
    X = np.ones((2, 3, 5))
    with autograd.train_mode():
        assert (net(X) == net(X)).all() and (net[0](X) == X).all()
    assert net[1]._dropout == 0         # which MXNet ignores on a CPU


@pytest.mark.parametrize('norms, zero', [
    ({'gradients': [1., 4e-6, 6e-6]}, {'gradients zero': [False, True, False]}),
    ({'gradients': [1e-5, 3.], 'input gradients': [2.]},
     {'gradients zero': [True, False], 'input gradients zero': [False]}),
    ({'gradients': [1e-4], 'input gradients': [100.]},
     {'gradients zero': [True], 'input gradients zero': [False]}),
    ({'outputs': [1.]}, {})])
def test_a_gradient_is_zero_relative_to_the_largest(norms, zero):
    record = {key: onp.array([[norm, 7., -7.] for norm in values])
              for key, values in norms.items()}
    assert {key: found.tolist() for key, found in numbers.zeros(record).items()} == zero


def test_names_are_unique_and_files_are_known():
    names = [network.name for network in stored.ROWS]
    assert len(set(names)) == len(names)
    assert {path.name[:-4] for path in stored.GOLDEN.glob('*.npz')} == set(names)


def test_stored_files_are_small():
    sizes = [path.stat().st_size for path in stored.GOLDEN.glob('*.npz')]
    assert max(sizes) <= 50_000 and sum(sizes) < 3_000_000


def test_index_is_fresh():
    assert (stored.GOLDEN / 'INDEX.md').read_text() == stored.index()


def test_a_missing_file_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(stored, 'GOLDEN', tmp_path)
    with pytest.raises(FileNotFoundError, match='python -m ci.regress lenet --update'):
        stored.stored(BY_NAME['lenet'])


def test_tolerances_are_of_this_registry():
    table = json.loads(stored.TOLERANCES.read_text())
    # of Gluon-CV's networks, at least those that the tests compute
    assert set(BY_NAME) | set(FEW) <= set(table['spread']) <= {row.name for row in stored.ROWS}
    assert 'ci.spread' in table['generated']
    assert set(spread.NEED_ONEDNN) <= {row.name for row in stored.ROWS}


def test_without_a_gpu_the_commands_say_so(monkeypatch, capsys):
    monkeypatch.setenv('NVIDIA_TF32_OVERRIDE', '1')
    monkeypatch.setattr(d2l, 'try_all_gpus', lambda: [npx.cpu()])
    assert regress.main(['linreg', '--device', 'gpu']) == regress.CANNOT_CHECK
    said = capsys.readouterr().err
    assert 'no GPU' in said and 'python -m d2l.device' in said
    with pytest.raises(LookupError, match='no GPU.*python -m d2l.device'):
        spread.main(['linreg'], 'gpu')


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """A function that makes ci.spread find these errors, {name: error}, and returns the tolerances
    that it writes into a copy of the file."""
    def measure(errors, device, **kwargs):
        def ask(child, name):
            if isinstance(errors[name], Exception):
                raise errors[name]
            return {'prediction': errors[name]}
        monkeypatch.setattr(spread, 'ask', ask)
        spread.main(list(errors), device, **kwargs)
        return json.loads(copy.read_text())

    copy = tmp_path / 'tolerances.json'
    copy.write_text(stored.TOLERANCES.read_text())
    monkeypatch.setattr(stored, 'TOLERANCES', copy)
    monkeypatch.setattr(regress, 'context', lambda device: npx.cpu())
    monkeypatch.setattr(spread, 'process', lambda *args: contextlib.nullcontext())
    return measure


def test_what_was_measured_before_a_stop_is_kept(measure):
    with pytest.raises(RuntimeError, match='ended'):
        measure({'linreg': 1e-5, 'mlp': 2e-5, 'lenet': RuntimeError('ended')}, 'cpu')
    assert stored.tolerance('linreg', 'prediction') == pytest.approx(1e-4)
    assert stored.tolerance('mlp', 'prediction') == pytest.approx(2e-4)
    found = measure({'linreg': 9e-5, 'mlp': 9e-5, 'lenet': 3e-5}, 'cpu', start='lenet')
    assert [found['spread'][name]['prediction'] for name in ('linreg', 'mlp', 'lenet')] == \
        [1e-5, 2e-5, 3e-5]


def test_what_needs_onednn_is_not_measured_without_it(measure, monkeypatch):
    monkeypatch.setattr(spread, 'process', lambda seed, variation, device:
                        contextlib.nullcontext(variation))
    asked = []
    monkeypatch.setattr(spread, 'ask', lambda child, name: asked.append((name, child)) or {})
    monkeypatch.setattr(spread, 'NEED_ONEDNN', {'linreg': 'say'})
    spread.main(['linreg', 'mlp'], 'cpu')
    assert [variation for name, variation in asked if name == 'mlp'] == spread.VARIATIONS
    assert [variation for name, variation in asked if name == 'linreg'] == [
        variation for variation in spread.VARIATIONS if 'MXNET_MKLDNN_ENABLED' not in variation]


def test_numbers_too_far_apart_have_no_tolerance(measure, capsys):
    assert measure({'lenet': 3e-3}, 'cpu')['spread']['lenet'] == {}
    assert 'lenet: prediction lies 0.003 apart' in capsys.readouterr().err
    assert stored.tolerance('lenet', 'prediction') == stored.FLOOR


def test_a_process_measures_what_it_is_asked():
    with spread.process(0, spread.VARIATIONS[0], 'cpu') as child:
        found = spread.ask(child, 'linreg')
        assert set(found) == {'prediction', 'training', 'optimized prediction',
                              'optimized training'}
        child.kill()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            spread.ask(child, 'linreg')


def test_draws_are_tried():
    found = list(spread.draws(['mlp'], range(2)))
    assert [(network.name, draw) for network, draw, *_ in found] == [('mlp', 0), ('mlp', 1)]
    assert all(0 < error < spread.LIMIT and 0 < witness < stored.GRADIENTS_BAR
               for *_, error, witness in found)


def test_tolerances_of_a_gpu_are_measured_first(measure, capsys):
    before = json.loads(stored.TOLERANCES.read_text())
    assert regress.main(['lenet', '--device', 'gpu']) == regress.CANNOT_CHECK
    assert 'python -m ci.spread --device gpu lenet' in capsys.readouterr().err
    assert measure({'lenet': 3e-5}, 'gpu') == {**before, 'spread on a GPU': {
        'lenet': {'prediction': 3e-5}}}
    measure({'linreg': 1e-5}, 'gpu')                # the other tolerances stay
    assert stored.tolerance('lenet', 'prediction', 'gpu') == 10 * 3e-5
    assert stored.tolerance('lenet', 'prediction') < 1e-5


def test_a_gpu_that_computes_something_else_has_no_tolerance(measure):
    before = stored.TOLERANCES.read_text()
    with pytest.raises(SystemExit, match='computes something else: lenet'):
        measure({'lenet': 2e-3, 'linreg': 1e-5}, 'gpu')
    assert stored.TOLERANCES.read_text() == before


@pytest.mark.parametrize('main', [regress.main, mutants.main])
def test_an_unknown_network_is_answered_with_the_nearest(main, capsys):
    assert main(['lent']) == regress.CANNOT_CHECK
    assert 'lenet' in capsys.readouterr().err


def test_numbers_that_were_never_stored_cannot_be_checked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(stored, 'GOLDEN', tmp_path)
    assert regress.main(['lenet']) == regress.CANNOT_CHECK
    assert 'python -m ci.regress lenet --update' in capsys.readouterr().err


@pytest.mark.parametrize('spread, bar', [(0, stored.FLOOR), (1e-5, 1e-4), (1, stored.CEILING)])
def test_a_tolerance_has_a_floor_and_a_ceiling(spread, bar, monkeypatch, tmp_path):
    monkeypatch.setattr(stored, 'TOLERANCES', tmp_path / 'tolerances.json')
    stored.TOLERANCES.write_text(json.dumps({'spread': {'lenet': {'training': spread}}}))
    assert stored.tolerance('lenet', 'training') == pytest.approx(bar)


def test_an_error_in_one_mode_is_a_row_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    def wrong(*args, **kwargs):
        raise MXNetError('first line\nno such kernel')
    monkeypatch.setattr(modes.d2l, 'export', wrong)
    assert regress.main(['linreg', '--junit', str(tmp_path / 'junit.xml')]) == regress.FAILS
    out = capsys.readouterr().out
    assert 'FAILED: MXNetError: no such kernel' in out and '1 failed' in out
    assert "needs what 'exported' makes, which failed" in out
    suite = ElementTree.parse(tmp_path / 'junit.xml').getroot()
    cases = {case.get('name'): [part.tag for part in case] for case in suite}
    assert list(cases) == list(modes.MODES) and suite.get('tests') == str(len(cases))
    assert [cases['eager'], cases['exported'], cases['onnx']] == [[], ['failure'], ['skipped']]
    assert suite.get('failures') == '1' and suite.get('skipped') == str(
        sum(parts == ['skipped'] for parts in cases.values()))


def test_only_the_modes_asked_for_are_computed():
    found = list(modes.compute(BY_NAME['linreg'], modes=['eager', 'training']))
    assert [mode for mode, _, _ in found] == ['eager', 'training']
    assert all(isinstance(record, dict) for _, record, _ in found)


@pytest.mark.parametrize('name', list(modes.MODES))
def test_a_mode_comes_after_the_one_that_it_needs(name):
    order = list(modes.MODES)
    assert order.index(modes.MODES[name].needs or 'eager') <= order.index(name)


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
    (modes.witness.OPERATORS, lambda attrs, X, weight, bias=0: X @ weight.T, 'NumPy'),
    (OPERATORS, lambda g, X, weight, bias, **attrs: g.node('Gemm', X, weight, transB=1),
     'ONNX Runtime')])
def test_update_refuses_what_a_witness_denies(table, wrong, name, monkeypatch, tmp_path):
    monkeypatch.setattr(stored, 'GOLDEN', tmp_path)
    monkeypatch.setitem(table, 'FullyConnected', wrong)
    with pytest.raises(ValueError, match=f'{name} computes other numbers'):
        stored.update(BY_NAME['linear_regression'])
    assert list(tmp_path.iterdir()) == []
