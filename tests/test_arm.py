"""d2l_arm in separate processes, with an mxnet and an OpenBLAS made by cc. The hook is told that
this machine is arm64."""
import pathlib
import shutil
import types

import pytest

import d2l_arm
from tests.support import CC, add_hook, compiled, run_alone

pytestmark = pytest.mark.skipif(not CC, reason='needs a C compiler')
# ask() of libmxnet.so calls the first function, whose result tells which library it is from
IMPORT = 'import mxnet; print(mxnet.lib.ask())'
PIPS, ARMS = 1, 2
MXNET = '''\
import ctypes, os
lib = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libmxnet.so'))
'''


# C source: scipy_core() returns OPENBLAS_CORETYPE as it was while the library was loaded
CORE = '''
#include <stdlib.h>
int type;
__attribute__((constructor)) void loaded(void) { type = atoi(getenv("OPENBLAS_CORETYPE") ?: "0"); }
int scipy_core(void) { return type; }
'''


def functions(answer, prefix='', without=()):
    """C source of all functions that MXNet needs, each of which returns `answer`."""
    return ''.join(f'int {prefix}{name}(void) {{ return {answer}; }}\n'
                   for name in d2l_arm.FUNCTIONS if name not in without)


def openblas(site, without=()):
    """Write a stand-in for pip's OpenBLAS into a site-packages; importing it is an error."""
    compiled(site / 'scipy_openblas32' / 'lib' / 'libscipy_openblas.so',
             functions(PIPS, 'scipy_', without) + CORE)
    (site / 'scipy_openblas32' / '__init__.py').write_text('raise RuntimeError("imported")\n')


@pytest.fixture(scope='session')
def made(tmp_path_factory):
    """A small site-packages: MXNet for arm64, linked as the real one is, and pip's OpenBLAS."""
    site = tmp_path_factory.mktemp('arm') / 'site-packages'
    libraries = [compiled(site.parent / name, functions(0) if name == d2l_arm.ARMPL else '')
                 for name in d2l_arm.LIBRARIES]
    name = d2l_arm.FUNCTIONS[0]
    compiled(site / 'mxnet' / 'libmxnet.so',
             f'int {name}(void); int ask(void) {{ return {name}(); }}',
             '-Wl,--no-as-needed', '-Wl,--disable-new-dtags', '-Wl,-rpath,$ORIGIN', *libraries)
    (site / 'mxnet' / '__init__.py').write_text(MXNET)
    openblas(site)
    add_hook(site)
    return site


@pytest.fixture
def site(made, tmp_path):
    """A copy of that site-packages, which a test may change."""
    return pathlib.Path(shutil.copytree(made, tmp_path / 'site-packages'))


@pytest.fixture
def run(site, python):
    """A function that runs code in a Python that finds packages only in this site-packages."""
    def run_there(code, libraries='', arm=True, before='', env=None):
        machine = 'platform.machine()' if arm else '"another"'
        return run_alone(
            python, site, f'import platform, d2l_arm\nd2l_arm.MACHINE = {machine}\n{before}{code}',
            {'LD_LIBRARY_PATH': str(libraries), **(env or {})})
    return run_there


def refusal(done):
    assert done.returncode == 1
    return done.stderr.strip().split('\n')[-1]


def test_pips_openblas_stands_for_arms_libraries(run):
    done = run(IMPORT)
    assert (done.stdout, done.stderr) == (f'{PIPS}\n', '')


def test_every_function_is_there_by_its_name(run):
    done = run('import ctypes, mxnet\nlib = ctypes.CDLL(d2l_arm.ARMPL)\n'
               'print(*{getattr(lib, name)() for name in d2l_arm.FUNCTIONS})')
    assert (done.stdout, done.stderr) == (f'{PIPS}\n', '')


@pytest.mark.parametrize('sme, said, used', [
    (False, None, '0'), (True, None, '8'), (False, '7', '7'), (True, '7', '7')])
def test_kernels_for_sme_are_avoided(run, site, sme, said, used):
    """Unless the user has chosen the kernels. Other code sees OPENBLAS_CORETYPE as it was."""
    source = (site / 'd2l_arm.py').read_text()
    # CORE reads a number, with atoi
    (site / 'd2l_arm.py').write_text(source.replace("'ARMV8'", "'8'"))
    done = run('import ctypes, os, mxnet\n'
               'core = ctypes.CDLL("libscipy_openblas.so").scipy_core()\n'
               'print(core, os.environ.get(d2l_arm.CORE))',
               before=f'd2l_arm.has_sme = lambda: {sme}\n',
               env={} if said is None else {d2l_arm.CORE: said})
    assert (done.stdout, done.stderr) == (f'{used} {said}\n', '')


@pytest.mark.parametrize('bits, expected', [(0, False), (1 << 23, True), (~(1 << 23), False)])
def test_has_sme_reads_the_flags_of_linux(monkeypatch, bits, expected):
    def getauxval(kind):
        return bits if kind == 26 else 1 << 23
    monkeypatch.setattr('ctypes.CDLL', lambda name: types.SimpleNamespace(getauxval=getauxval))
    assert d2l_arm.has_sme() == expected


def test_nothing_is_written(run, site):
    def files():
        return {path for path in site.rglob('*') if '__pycache__' not in path.parts}
    before = files()
    assert run(IMPORT).returncode == 0 and files() == before


def test_without_the_hook_mxnet_finds_nothing(run):
    assert f'{d2l_arm.ARMPL}: cannot open shared object file' in refusal(run(IMPORT, arm=False))


@pytest.mark.parametrize('beside', [False, True])
def test_arms_libraries_are_used_where_they_are(run, site, tmp_path, beside):
    """Arm's libraries are on the loader's path, or beside libmxnet.so; stand-ins replace missing
    ones."""
    shutil.rmtree(site / 'scipy_openblas32')
    folder = site / 'mxnet' if beside else tmp_path / 'arm'
    compiled(folder / d2l_arm.ARMPL, functions(ARMS))
    done = run(IMPORT, libraries='' if beside else folder)
    assert (done.stdout, done.stderr) == (f'{ARMS}\n', '')


def test_without_any_openblas_the_command_that_installs_one_is_named(run, site):
    shutil.rmtree(site / 'scipy_openblas32')
    last = refusal(run(IMPORT))
    assert last.startswith('ImportError: MXNet for arm64 needs an OpenBLAS')
    assert last.endswith('python -m d2l_mxnet')


def test_an_openblas_that_lacks_functions_is_refused(run, site):
    openblas(site, without=['LAPACKE_sgesv', 'cblas_zgemm'])
    last = refusal(run(IMPORT))
    assert 'libscipy_openblas.so lacks LAPACKE_sgesv, cblas_zgemm: ' in last
    assert last.endswith(f"pip install --force-reinstall --no-deps '{d2l_arm.REQUIREMENT}'")


def test_an_openblas_that_does_not_load_is_refused(run, site):
    (site / 'scipy_openblas32' / 'lib' / 'libscipy_openblas.so').write_bytes(b'half of')
    last = refusal(run(IMPORT))
    assert 'libscipy_openblas.so: file too short' in last or 'invalid ELF header' in last
    assert last.endswith(f"pip install --force-reinstall --no-deps '{d2l_arm.REQUIREMENT}'")


def test_on_another_machine_nothing_is_loaded(run, site):
    (site / 'mxnet' / '__init__.py').write_text('print("another machine")\n')
    done = run('import mxnet; print("openblas" in open("/proc/self/maps").read())', arm=False)
    assert (done.stdout, done.stderr) == ('another machine\nFalse\n', '')


def test_the_list_of_functions():
    """15 functions of CBLAS, 14 of LAPACK and 22 of LAPACKE: those that libmxnet.so for arm64
    leaves undefined, and that neither libc nor libm has. `make test-arm64` lets the loader look for
    all of them at once."""
    assert len({*d2l_arm.FUNCTIONS}) == len(d2l_arm.FUNCTIONS) == 51
    assert {'cblas_sgemm', 'dgels_', 'LAPACKE_dorglq'} < {*d2l_arm.FUNCTIONS}
