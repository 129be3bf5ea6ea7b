"""MXNet and the versions that d2l needs: `python -m d2l_mxnet [cpu | cu112]` installs MXNet.

MXNet 1.9.1 asks for NumPy < 2, which the finder's repairs make untrue (`d2l_compat`), and pip would
believe it: so it is installed without its dependencies, which setup.py names.
"""
import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
from importlib.machinery import PathFinder

VERSION, BOOK = '1.0.0', '0.7.1'
NAME = 'd2l-mxnet'
PYTHON = (3, 9), (3, 15)
MXNET = '1.9.1'
# the oldest of each, and the first that is refused: the repairs know what is new in those between
VERSIONS = {
    'numpy': ('1.23', '3'),             # they reach into its private modules
    'pandas': ('1.5', '4'),             # which takes away the option future.infer_string
    'matplotlib': ('3.7', None),
    'ipython': ('7.34', None),          # Colab's
    'scipy': ('1.10', None),
}
SYSTEM = {'Darwin': 'on macOS run it in Docker (Linux, Python 3.12)',
          'Windows': 'on Windows run it in WSL2, which is a Linux'}
SYSTEMS_OWN = {'libgomp.so.1': 'libgomp1', 'libquadmath.so.0': 'libquadmath0'}     # on Debian


def numbers(version):
    """'1.23.5' -> (1, 23, 5)"""
    return tuple(map(int, re.findall(r'\d+', version.partition('+')[0])[:3]))


def requirement(name):
    """'numpy' -> 'numpy>=1.23,<3', as pip takes it."""
    oldest, refused = VERSIONS[name]
    return f'{name}>={oldest}' + (f',<{refused}' if refused else '')


def mxnet_version():
    """Return the version of the MXNet that would be imported, or None where there is none."""
    spec = importlib.util.find_spec('mxnet')
    path = spec and spec.origin and os.path.join(os.path.dirname(spec.origin), 'libinfo.py')
    if not path or not os.path.exists(path):
        return None
    with open(path) as file:
        found = re.search(r'^__version__ = "(.*)"', file.read(), re.M)
    return found and found[1]


def problem():
    """One line that says what d2l cannot run with here, and the cure; None where nothing is."""
    oldest, refused = PYTHON
    if not oldest <= sys.version_info[:2] < refused:
        return (f'd2l runs on Python 3.{oldest[1]} to 3.{refused[1] - 1}, and this is '
                f'{platform.python_version()}: make an environment with one of those')
    if platform.system() in SYSTEM:
        return f'MXNet {MXNET} is for Linux: {SYSTEM[platform.system()]}'
    import d2l_arm
    missing = [name for name in SYSTEMS_OWN
               if platform.machine() == 'x86_64' and not d2l_arm.loads(name)]
    if missing:
        return (f"MXNet {MXNET} needs {' and '.join(missing)} of the system: apt-get install "
                + ' '.join(SYSTEMS_OWN[name] for name in missing))
    for name in VERSIONS:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # importing it says so, or the system has it without metadata
            continue
        oldest, refused = (bound and numbers(bound) for bound in VERSIONS[name])
        if numbers(version) < oldest or refused and numbers(version) >= refused:
            return (f"d2l needs {requirement(name)}, and {version} is installed: "
                    f"pip install '{requirement(name)}'")
    version = mxnet_version()
    if version is None and importlib.util.find_spec('mxnet') is None:
        return f'd2l needs MXNet {MXNET}, and there is none: python -m d2l_mxnet'
    if version and version != MXNET:
        return f'd2l needs MXNet {MXNET}, and {version} is installed: python -m d2l_mxnet'
    return None


def namesake():
    """One line about PyPI's d2l, another package whose import has the same name, and how to get rid
    of it; None where it is not installed."""
    try:
        other = importlib.metadata.distribution('d2l').metadata
    except importlib.metadata.PackageNotFoundError:
        return None
    if 'MXNet 1.9.1' in (other['Summary'] or ''):       # an earlier one of this project
        return None
    return (
        f"d2l {other['Version']} of PyPI is installed too, another package with the same files as "
        f'{NAME}: pip uninstall -y d2l; {reinstall()}')


def reinstall():
    """Return the command that installs d2l-mxnet as it was installed."""
    try:
        found = importlib.metadata.distribution(NAME).read_text('direct_url.json')
    except importlib.metadata.PackageNotFoundError:
        found = None
    source = json.loads(found) if found else {'url': NAME}
    url, vcs = source['url'], source.get('vcs_info')
    if vcs:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if 'dir_info' in source:
        url = urllib.parse.unquote(urllib.parse.urlparse(url).path)
    editable = '-e ' if source.get('dir_info', {}).get('editable') else ''
    return f'pip install --force-reinstall --no-deps {editable}{shlex.quote(url)}'


def installer():
    """Return the command that installs packages into this Python: pip, or uv where there is no
    pip."""
    if PathFinder.find_spec('pip'):             # and not setuptools' finder, which warns
        return [sys.executable, '-m', 'pip']
    if shutil.which('uv'):
        return ['uv', 'pip']
    raise SystemExit(f'there is neither pip nor uv: {sys.executable} -m ensurepip')


def packages(build, machine=None):
    """Return what pip has to install, without dependencies, for build ('cpu' or 'cu112') on a
    machine (default: this one)."""
    import d2l_arm
    import d2l_cuda

    if build == 'cu112':
        return d2l_cuda.REQUIREMENTS
    arm = (machine or platform.machine()) == d2l_arm.MACHINE
    return [f'mxnet=={MXNET}', *([d2l_arm.REQUIREMENT] if arm else [])]


def install(build):
    """Install MXNet for build, 'cpu' or 'cu112'; return the command's exit status."""
    wanted, other = {'cpu': ('mxnet', 'mxnet-cu112'), 'cu112': ('mxnet-cu112', 'mxnet')}[build]
    command, here = installer(), []
    if command[0] == 'uv':
        here = ['--python', sys.executable]
    installed = {dist.metadata['Name'] for dist in importlib.metadata.distributions()}
    if other in installed:              # they own the same folder
        gone = [other, wanted] if wanted in installed else [other]
        yes = [] if here else ['-y']
        if subprocess.call([*command, 'uninstall', *here, *yes, *gone]):
            return 1
    if subprocess.call([*command, 'install', *here, '--no-deps', *packages(build)]):
        return 1
    try:
        numpy = importlib.metadata.version('numpy')
    except importlib.metadata.PackageNotFoundError:
        return 0
    if numbers(numpy) >= (2,):
        print(
            f"`pip check` now says that mxnet {MXNET} needs numpy<2.0.0 and graphviz<0.9.0. It "
            "runs "
            f'with NumPy {numpy}: d2l_compat repairs it when it is imported.')
    return 0


def main(argv=None):
    """Return the exit status."""
    import d2l_arm
    import d2l_cuda

    arm = platform.machine() == d2l_arm.MACHINE
    parser = argparse.ArgumentParser(prog='python -m d2l_mxnet', description=__doc__)
    parser.add_argument('build', nargs='?', choices=('cpu', 'cu112'),
                        help='default: cu112 where there is an NVIDIA driver, else cpu')
    build = parser.parse_args(argv).build or (
        'cpu' if arm or d2l_cuda.driver_problem() else 'cu112')
    if platform.system() in SYSTEM:
        print(f'MXNet {MXNET} is for Linux: {SYSTEM[platform.system()]}', file=sys.stderr)
        return 2
    if arm and build == 'cu112':
        print('there is no mxnet-cu112 for arm64: python -m d2l_mxnet cpu', file=sys.stderr)
        return 2
    return install(build)


if __name__ == '__main__':
    sys.exit(main())
