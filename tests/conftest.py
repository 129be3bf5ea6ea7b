"""What all tests share: they use sample data, and MXNet's late errors fail the right test."""
import os
import pathlib
import signal
import subprocess
import sys
import uuid

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts `make test &` with SIGINT ignored; the processes that the tests start would
    # inherit that and ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ['D2L_DATA'] = 'sample'  # set before d2l is imported: nothing is downloaded
os.environ.setdefault('MPLBACKEND', 'agg')
os.environ.setdefault('D2L_FIGURES', '')             # tests write no figures to files

import warnings  # noqa: E402

import pytest  # noqa: E402

import d2l_finder  # noqa: E402

d2l_finder.install()                                # as d2l_finder.pth does where d2l is installed
with warnings.catch_warnings():
    # importing MXNet 1.9.1 warns of np.bool, of functions that NumPy deprecated, and of distutils
    warnings.simplefilter('ignore', DeprecationWarning)
    import mxnet  # noqa: E402, F401

from tests.support import REPO, REPORT_NETWORKS, REPORT_OUTPUTS, SECRET  # noqa: E402


@pytest.fixture(autouse=True)
def _wait_for_mxnet():
    """MXNet computes in the background and raises late: wait, so that its errors stay in their
    test."""
    yield
    if 'mxnet' in sys.modules:
        sys.modules['mxnet'].npx.waitall()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if 'matplotlib.pyplot' in sys.modules:
        sys.modules['matplotlib.pyplot'].close('all')


@pytest.fixture(autouse=True)
def _signal_handlers_stay():
    """Check that a test restores the signal handlers. Processes that are forked later inherit a
    handler of SIGTERM that a test left behind: the workers of a DataLoader then outlived their
    pool, which waits for them for ever."""
    def found():
        return {number: signal.getsignal(number) for number in (
            signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)}
    before = found()
    yield
    after = found()
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.fixture
def without_np():
    """Turn off np semantics during a test: arrays are those of mx.nd, and none has 0 axes."""
    from mxnet import npx
    npx.reset_np()
    yield
    npx.set_np()


@pytest.fixture
def python():
    """A function that runs this Python with arguments in a new process and returns the
    CompletedProcess."""
    def run(*args, env=None, cwd=REPO, timeout=300, **kwargs):
        return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, timeout=timeout,
                              env={**os.environ, **(env or {})}, text=True, capture_output=True,
                              **kwargs)
    return run


@pytest.fixture
def group(tmp_path):
    """Yield a function that runs a script with d2l.launch and returns (Popen, pids).

    pids() returns {pid: command line} of the processes of that group, which it finds by an
    environment variable. All of them are killed when the test ends.
    """
    mark, started = uuid.uuid4().hex, []

    def pids():
        found = {}
        for path in pathlib.Path('/proc').glob('[0-9]*'):
            try:
                if f'D2L_TEST_MARK={mark}'.encode() in (path / 'environ').read_bytes():
                    found[int(path.name)] = (path / 'cmdline').read_bytes().decode().split('\0')
            except OSError:                         # it ended meanwhile
                pass
        return found

    def start(source, *options, **env):
        script = tmp_path / 'script.py'
        script.write_text(source)
        started.append(subprocess.Popen(
            [sys.executable, '-m', 'd2l.launch', '-n', '2', *options, script, 'argument'], cwd=REPO,
            env={**os.environ, 'D2L_TEST_MARK': mark, 'D2L_TEST_SECRET': SECRET, **env}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return started[-1], pids
    yield start
    for popen in started:
        popen.kill()
        popen.wait()
        popen.stdout.close()
    for pid in pids():
        os.kill(pid, signal.SIGKILL)


@pytest.hookimpl(optionalhook=True)             # of pytest-xdist
def pytest_testnodedown(node, error):
    """Say how many processes Linux has killed because memory was full, if a process that ran tests
    has died. Such a process leaves no other trace."""
    if error:
        print(f'\n{node.gateway.id} died. Processes that Linux killed for want of memory: '
              f'{_killed() - KILLED}', file=sys.stderr, flush=True)


def _killed():
    """Return how many processes Linux has killed since it started because memory was full."""
    with open('/proc/vmstat') as file:
        return sum(int(line.split()[1]) for line in file if line.startswith('oom_kill '))


KILLED = _killed()


def pytest_terminal_summary(terminalreporter):
    """Print the report of the regression: the sections' numbers, and the table of networks."""
    from ci import modes, networks
    from ci.report import table

    found = {REPORT_NETWORKS: [], REPORT_OUTPUTS: []}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, 'when', '') == 'call':
                for name, value in report.user_properties:
                    found.get(name, []).append(value)
    if found[REPORT_OUTPUTS]:
        terminalreporter.section('what the sections print')
        found[REPORT_OUTPUTS].sort(key=lambda line: [int(n) for n in line.split()[0].split('.')])
        terminalreporter.write_line('\n'.join(found[REPORT_OUTPUTS]))
    if found[REPORT_NETWORKS]:
        order = [network.name for network in networks.NETWORKS]
        found[REPORT_NETWORKS].sort(key=lambda row: (order.index(row[0]),
                                                     list(modes.MODES).index(row[1])))
        terminalreporter.section('every network against its stored numbers')
        terminalreporter.write_line('\n'.join(table(found[REPORT_NETWORKS])))
