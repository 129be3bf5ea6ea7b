"""What every test has: sample data, one place to build, and MXNet's late errors at its own end."""
import os
import pathlib
import subprocess
import sys

os.environ['D2L_DATA'] = 'sample'                   # before d2l and any kernel: nothing is fetched
os.environ.setdefault('MPLBACKEND', 'agg')
os.environ.setdefault('D2L_FIGURES', '')             # no files of figures where tests run

import warnings  # noqa: E402

import pytest  # noqa: E402

import d2l_finder  # noqa: E402

d2l_finder.install()                                # as its .pth file does
with warnings.catch_warnings():
    # importing MXNet 1.9.1 warns: np.bool, functions that NumPy gave away, distutils versions
    warnings.simplefilter('ignore', DeprecationWarning)
    import mxnet  # noqa: E402, F401

REPORT_NETWORKS, REPORT_OUTPUTS = 'regression of a network', 'printed by a section'
REPO = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _wait_for_mxnet():
    """MXNet computes in the background and raises late: wait, so that an error stays in its test."""
    yield
    if 'mxnet' in sys.modules:
        sys.modules['mxnet'].npx.waitall()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if 'matplotlib.pyplot' in sys.modules:
        sys.modules['matplotlib.pyplot'].close('all')


@pytest.fixture
def python():
    """Run this Python with arguments in a process of its own; returns the CompletedProcess."""
    def run(*args, env=None, cwd=REPO, timeout=300, **kwargs):
        return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, timeout=timeout,
                              env={**os.environ, **(env or {})}, text=True, capture_output=True,
                              **kwargs)
    return run


def pytest_terminal_summary(terminalreporter):
    """The report of the regression: printed numbers of the chapters, and the table of networks."""
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
