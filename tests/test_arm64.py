"""ci.arm64 without QEMU; `make test-arm64` runs the emulated Python."""
import json
import math
import sys

import pytest

from ci import arm64


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(arm64, 'FOLDER', tmp_path)
    monkeypatch.setattr(arm64, 'REPO', tmp_path)
    return tmp_path


def test_requirements_are_those_of_the_other_machine():
    lines = ['numpy==1.23.5 ; python_full_version < "3.12"',
             'numpy==2.5.5 ; python_version >= "3.12"',
             'soupsieve==2.10 ; python_full_version < "3.11.5"',
             'tqdm>=4.65', 'onnx; extra == "dev"',
             'only-x86 ; platform_machine == "x86_64"', 'only-arm ; platform_machine == "aarch64"']
    assert [*arm64.chosen(lines, '3.11.2')] == [
        'numpy==1.23.5', 'soupsieve==2.10', 'tqdm>=4.65', 'only-arm']
    assert [*arm64.chosen(lines, '3.13.5')] == ['numpy==2.5.5', 'tqdm>=4.65', 'only-arm']


def test_a_folder_is_made_once_and_whole(folder):
    def fail(path):
        (path / 'half').touch()
        raise arm64.CannotCheck('no network')
    with pytest.raises(arm64.CannotCheck):
        arm64.once(folder / 'made', fail)
    assert not (folder / 'made').exists()
    assert arm64.once(folder / 'made', lambda path: (path / 'all').touch()) == folder / 'made'
    arm64.once(folder / 'made', fail)
    assert [path.name for path in (folder / 'made').iterdir()] == ['all']


@pytest.mark.parametrize('command, says', [
    (['no-such-command'], 'all: there is no no-such-command'),
    ([sys.executable, '-c', 'print("one"); print("two"); print("three"); raise SystemExit(1)'],
     'all: two three')])
def test_a_command_that_fails_is_reported(command, says):
    with pytest.raises(arm64.CannotCheck) as caught:
        arm64.call('all', *command)
    assert str(caught.value) == says


@pytest.fixture
def quick(folder, monkeypatch):
    """Set this machine's results to constants; return a function that sets the emulated one's."""
    here = {'losses': [2.3, -2.2], 'inverse float32': [0.0, 1.0], 'inverse float64': [0.0, 4.0]}
    monkeypatch.setattr(arm64, 'losses', lambda: here['losses'])
    monkeypatch.setattr(arm64, 'linear_algebra', lambda: {
        name: numbers for name, numbers in here.items() if name != 'losses'})

    def emulate(status=0, **there):
        def emulated(path):
            path.write_text(json.dumps({**here, **there}))
            return status
        monkeypatch.setattr(arm64, 'emulated', emulated)
    return emulate


@pytest.mark.parametrize('there, expected', [
    ({}, 0), ({'losses': [2.3, -2.2000001]}, 0), ({'losses': [2.3, -2.21]}, 1),
    ({'losses': [2.3, float('nan')]}, 1), ({'losses': [float('nan'), -2.2]}, 1),
    ({'losses': [2.3]}, 1),
    ({'inverse float32': [1e-5, 1.0]}, 0), ({'inverse float32': [1e-3, 1.0]}, 1),
    ({'inverse float64': [4e-13, 4.0]}, 0), ({'inverse float64': [1e-5, 4.0]}, 1)])
def test_the_numbers_of_both_are_compared(quick, capsys, there, expected):
    quick(**there)
    assert arm64.main([]) == expected
    assert ('FAILED' in capsys.readouterr().out) == bool(expected)


@pytest.mark.parametrize('status', [1, 2])
def test_the_status_of_the_regression_counts(quick, capsys, status):
    quick(status)
    assert arm64.main([]) == status and 'losses' in capsys.readouterr().out


@pytest.mark.parametrize('error, expected, says', [
    (arm64.CannotCheck('no network'), 2, 'arm64 was not tried: no network\n'),
    (None, 1, 'MXNet for arm64 did not compute\n')])
def test_a_run_without_numbers_fails(quick, folder, monkeypatch, capsys, error, expected, says):
    """Numbers of an earlier run do not count."""
    quick()
    arm64.emulated(folder / 'found.json')

    def emulated(path):
        if error:
            raise error
        return 0
    monkeypatch.setattr(arm64, 'emulated', emulated)
    assert arm64.main([]) == expected
    assert capsys.readouterr().err == says


def test_lenet_is_trained_from_the_same_start():
    found = arm64.losses()
    assert abs(found[0] - math.log(10)) < 0.5  # the loss of a guess among ten classes
    assert len({*found}) == arm64.STEPS and found == arm64.losses()


def test_results_of_linear_algebra_are_single_and_double():
    found = arm64.linear_algebra()
    for name in {name.split()[0] for name in found}:
        single, double = found[f'{name} float32'], found[f'{name} float64']
        assert 1e-14 < max(abs(a - b) for a, b in zip(single, double)) / max(map(abs, double)) \
            < arm64.PRECISIONS['float32']
