"""Does MXNet for arm64 compute what it does on x86-64? `python -m ci.arm64` runs it under QEMU.

An arm64 Python of Debian's packages and the wheels of constraints.txt are unpacked into
build/arm64, where they stay; nothing is installed. In one process, emulated, MXNet is imported with
the OpenBLAS that `python -m d2l_mxnet` brings there. LeNet makes a few steps on sample data, and
matrices are inverted, factorized and so on: the losses and results are compared with those of this
machine. Networks of the regression are compared with their stored numbers.

Exit status: 0, all agree; 1, something differs; 2, it could not be checked.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import zlib

from packaging.requirements import Requirement

import d2l_finder
import d2l_mxnet

REPO = pathlib.Path(__file__).resolve().parents[1]
FOLDER = REPO / 'build' / 'arm64'
QEMU, MACHINE = 'qemu-aarch64-static', 'aarch64'
DEBIAN = ['python3', 'libgomp1', 'libstdc++6']      # libmxnet.so needs the last two
GLIBC = range(17, 32)                               # 2.17 and so on: wheels built for these
NETWORKS = ['mlp', 'lenet', 'residual', 'lstm', 'dot_product_attention']
STEPS, BATCH = 5, 64
# a thousand units in the last place, of the largest number of a result
PRECISIONS = {'float32': 1.2e-4, 'float64': 2.2e-13}
DIFFERS, CANNOT_CHECK = 1, 2


class CannotCheck(Exception):
    """What is raised where something cannot be had; it says what."""


def call(what, *command):
    """Run a command and return what it says; CannotCheck, with what it was for, where it fails."""
    try:
        done = subprocess.run([*map(str, command)], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except FileNotFoundError as err:
        raise CannotCheck(f'{what}: there is no {command[0]}') from err
    if done.returncode:
        raise CannotCheck(f'{what}: {" ".join(done.stdout.strip().splitlines()[-2:])}')
    return done.stdout


def once(folder, make):
    """Return a folder that `make` fills, a function of its path, where it is not there yet."""
    if not folder.exists():
        print(f'{folder.relative_to(REPO)} is made', flush=True)
        partial = folder.with_name(f'{folder.name}.partial')
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder


class Apt:
    """apt-get with lists and a status of its own, so that it knows arm64 and installs nothing."""

    def __init__(self, folder):
        self.folder = folder
        self.host = call("Debian's packages cannot be fetched", 'dpkg',
                         '--print-architecture').strip()
        for path in 'state/lists/partial', 'cache/archives/partial':
            (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / 'status').touch()
        self.get('update')

    def get(self, *args):
        """Call apt-get."""
        settings = {'Dir::State': self.folder / 'state', 'Dir::Cache': self.folder / 'cache',
                    'Dir::State::status': self.folder / 'status', 'APT::Sandbox::User': 'root',
                    'APT::Install-Recommends': 'false', 'APT::Architectures': f'{self.host},arm64'}
        options = [word for name, value in settings.items() for word in ('-o', f'{name}={value}')]
        call("Debian's packages cannot be fetched", 'apt-get', '-qq', *options, *args)

    def unpack(self, packages, folder, *options):
        """Fetch packages and unpack them into a folder."""
        self.get('--yes', '--download-only', *options, 'install', *packages)
        for path in (self.folder / 'cache' / 'archives').glob('*.deb'):
            call(f'{path.name} cannot be unpacked', 'dpkg-deb', '-x', path, folder)
            path.unlink()


def qemu():
    """Return the path of QEMU's emulator, which is fetched where it is not installed."""
    found = shutil.which(QEMU)
    if found:
        return found
    folder = once(FOLDER / 'qemu', lambda path: Apt(FOLDER / 'apt').unpack(
        ['qemu-user-static'], path))
    return folder / 'usr' / 'bin' / QEMU


def root():
    """Return a folder with an arm64 Python in it, and what that and MXNet need of the system."""
    return once(FOLDER / 'root', lambda path: Apt(FOLDER / 'apt').unpack(
        [f'{name}:arm64' for name in DEBIAN], path))


def chosen(lines, version):
    """Yield requirements, without their markers, that hold for arm64 and a version of Python."""
    there = {'python_full_version': version, 'python_version': version.rpartition('.')[0],
             'platform_machine': MACHINE, 'extra': ''}
    for line in lines:
        requirement = Requirement(line)
        if not requirement.marker or requirement.marker.evaluate(there):
            yield f'{requirement.name}{requirement.specifier}'


def site(version):
    """Return a folder with all wheels that d2l needs on arm64 and a version of Python: '3.11.2'."""
    pinned = [line for line in (REPO / 'constraints.txt').read_text().splitlines()
              if line and line[0] != '#']
    pinned = '\n'.join(chosen(pinned, version))     # pip would read markers as for this machine
    mxnet = d2l_mxnet.packages('cpu', MACHINE)

    def make(path):
        exact = path / 'constraints.txt'
        exact.write_text(pinned)
        pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
               '--target', path, '--python-version', version, '--only-binary', ':all:',
               *(word for minor in GLIBC
                 for word in ('--platform', f'manylinux_2_{minor}_{MACHINE}')),
               '--platform', f'manylinux2014_{MACHINE}']
        call('wheels cannot be fetched', *pip, '-c', exact, 'onnx', 'onnxruntime',
             *chosen(importlib.metadata.requires(d2l_mxnet.NAME), version))
        call('MXNet cannot be fetched', *pip, '--no-deps', *mxnet)
    return once(FOLDER / f'site-{version}-{zlib.crc32(repr((pinned, mxnet)).encode()):08x}', make)


def losses():
    """Return the losses of the first steps of the LeNet of 6.6 on sample data, unshuffled."""
    from mxnet import autograd, gluon, init, npx

    import d2l
    from ci import networks

    net = next(row for row in networks.NETWORKS if row.name == 'lenet').build()
    npx.random.seed(0)
    net.initialize(init.Xavier(), force_reinit=True)
    X, y = gluon.data.vision.FashionMNIST(train=True)[:STEPS * BATCH]
    X = d2l.np.array(X.asnumpy().transpose(0, 3, 1, 2).astype('float32') / 255)
    y = d2l.np.array(y)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.9})
    found = []
    for start in range(0, len(X), BATCH):
        with autograd.record():
            l = loss(net(X[start:start + BATCH]), y[start:start + BATCH])
        l.backward()
        trainer.step(BATCH)
        found.append(float(l.mean()))
    return found


def linear_algebra():
    """Return results of functions that MXNet has from BLAS and LAPACK, by their names, in single
    and double precision: lists of numbers that do not hang on a choice, as signs of vectors do."""
    import numpy as onp
    from mxnet import nd, np

    A = onp.random.RandomState(0).uniform(-1, 1, (2, 24, 24)) + 4 * onp.eye(24)
    b, V = A[1, :, :5], A[0, :12]
    S = A @ A.transpose(0, 2, 1)
    functions = {
        'gemm': lambda array: nd.linalg.gemm2(array(A), array(S)),
        'syrk': lambda array: nd.linalg.syrk(array(A)),
        'trmm': lambda array: nd.linalg.trmm(array(A), array(S)),
        'trsm': lambda array: nd.linalg.trsm(array(A), array(S)),
        'potrf': lambda array: nd.linalg.potrf(array(S)),
        'potri': lambda array: nd.linalg.potri(nd.linalg.potrf(array(S))),
        'gelqf': lambda array: nd.linalg.gelqf(array(V))[0].abs(),
        'syevd': lambda array: nd.linalg.syevd(array(S))[1],
        'inverse': lambda array: nd.linalg.inverse(array(A)),
        'slogdet': lambda array: nd.linalg.slogdet(array(A))[1],
        'dot': lambda array: nd.dot(array(V[0]), array(V[1])),
        'svd': lambda array: np.linalg.svd(array(V).as_np_ndarray())[1],
        'solve': lambda array: np.linalg.solve(array(A[0]).as_np_ndarray(),
                                               array(b).as_np_ndarray()),
        'lstsq': lambda array: np.linalg.lstsq(array(A[0]).as_np_ndarray(),
                                               array(b).as_np_ndarray(), rcond=None)[0],
        'eigvals': lambda array: np.sort(np.linalg.eigvals(array(S[0]).as_np_ndarray())),
    }
    return {f'{name} {dtype}': function(lambda x, dtype=dtype: nd.array(x, dtype=dtype))
            .asnumpy().ravel().tolist()
            for dtype in PRECISIONS for name, function in functions.items()}


def inside(path):
    """What runs in the emulated Python: write the losses and results to a file, return the
    regression's exit status."""
    start = time.perf_counter()
    d2l_finder.install()                # as its .pth file does
    from ci import regress

    found = {'losses': losses(), **linear_algebra()}
    print(f'{platform.machine()}, Python {platform.python_version()}: import, LeNet and linear '
          f'algebra in {time.perf_counter() - start:.0f} s', flush=True)
    path.write_text(json.dumps(found))
    return regress.main(NETWORKS)


def emulated(path):
    """Run `inside` under QEMU; return its exit status."""
    folder = root()
    python, = folder.glob('usr/bin/python3.[0-9]*[0-9]')
    command = [qemu(), '-L', folder, python]
    version = call('QEMU does not run', *command, '-V').split()[-1]
    # the loader looks for each function that MXNet needs, called or not; threads that wait sleep
    env = {**os.environ, 'LD_BIND_NOW': '1', 'OMP_WAIT_POLICY': 'passive', 'LC_ALL': 'C.UTF-8',
           'PYTHONPATH': f'{REPO}:{site(version)}', 'PYTHONNOUSERSITE': '1'}
    return subprocess.run([*command, '-m', 'ci.arm64', '--inside', path], cwd=REPO,
                          env=env).returncode


def main(argv=None):
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m ci.arm64', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--inside', type=pathlib.Path, metavar='FILE', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ['D2L_DATA'] = 'sample'
    if args.inside:
        return inside(args.inside)
    here, path = {'losses': losses(), **linear_algebra()}, FOLDER / 'found.json'
    path.unlink(missing_ok=True)
    try:
        status = emulated(path)
    except CannotCheck as err:
        print(f'arm64 was not tried: {err}', file=sys.stderr)
        return CANNOT_CHECK
    if not path.exists():
        print('MXNet for arm64 did not compute', file=sys.stderr)
        return DIFFERS
    differs = compared(here, json.loads(path.read_text()))
    return status or differs


def compared(here, there):
    """Print how far the numbers of the two machines lie apart; return 0, or DIFFERS."""
    from ci.stored import tolerance

    bars = {**PRECISIONS, 'losses': tolerance('lenet', 'training')}
    print(f'losses of LeNet here: {here["losses"]}\n{MACHINE:>20}: {there["losses"]}')
    status = 0
    for name, numbers in here.items():
        largest, bar = max(map(abs, numbers)), bars[name.split()[-1]]
        errors = [abs(a - b) / largest for a, b in zip(numbers, there[name])]
        agrees = len(numbers) == len(there[name]) and all(error <= bar for error in errors)
        print(f'{name:<20} {max(errors):8.1e}  {bar:8.1e}  {"ok" if agrees else "FAILED"}')
        status = status if agrees else DIFFERS
    return status


if __name__ == '__main__':
    sys.exit(main())
