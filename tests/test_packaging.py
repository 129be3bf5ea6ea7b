import json
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import types
import venv

import pytest

import d2l
import d2l_arm
import d2l_cuda
import d2l_mxnet
from chapters import __main__ as cli
from chapters.sections import ROOT, all_sections
from tests.support import REPO

CONSTRAINTS = (REPO / 'constraints.txt').read_text()
# Python 3.14 warns where no filter is given, and older versions know no filters
UNPACK = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}


# --- what cannot run is refused in one line

@pytest.fixture
def refused(python, tmp_path):
    """Import d2l in a Python that seems to have other packages; return the last line it says."""
    def run(packages=(), code='import d2l', files=(), options=()):
        for name, version, *summary in packages:
            folder = tmp_path / f'{name}-{version}.dist-info'
            folder.mkdir()
            folder.joinpath('METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
                + ''.join(f'Summary: {text}\n' for text in summary))
        for path, text in files:
            path = tmp_path / path
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        done = python(*options, '-c', f'import sys; sys.path[:0] = [{str(tmp_path)!r}, '
                                      f'{str(REPO)!r}]\n{code}')
        assert done.returncode == 1
        return done.stderr.strip().split('\n')[-1]
    return run


def test_without_mxnet_one_line_says_how_to_install_it(refused):
    # -S leaves site-packages out: a Python without MXNet
    assert refused(options=['-S']) == \
        'ImportError: d2l needs MXNet 1.9.1, and there is none: python -m d2l_mxnet'


def test_a_broken_mxnet_is_not_called_a_missing_one(refused):
    last = refused(files=[('mxnet.py', 'import missing_library\n')], options=['-S'])
    assert 'missing_library' in last and 'd2l_mxnet' not in last


@pytest.mark.parametrize('version', ['1.8.0', '1.9.0', '2.0.0', '2.0.0b1'])
def test_another_mxnet_is_refused(refused, version):
    assert refused(files=[('mxnet/__init__.py', ''),
                          ('mxnet/libinfo.py', f'__version__ = "{version}"\n')]) == \
        f'ImportError: d2l needs MXNet 1.9.1, and {version} is installed: python -m d2l_mxnet'


@pytest.mark.parametrize('name, version', [
    ('numpy', '1.22.4'), ('numpy', '3.0.0'), ('pandas', '1.4.9'), ('pandas', '4.0.0rc0'),
    ('matplotlib', '3.6.3'), ('ipython', '7.33.0'), ('scipy', '1.9.3')])
def test_another_library_is_refused(refused, name, version):
    wanted = d2l_mxnet.requirement(name)
    assert refused([(name, version)]) == (
        f"ImportError: d2l needs {wanted}, and {version} is installed: pip install '{wanted}'")


@pytest.mark.parametrize('name, version', [
    ('numpy', '1.23.0'), ('numpy', '2.99.9'), ('pandas', '1.5.0'), ('pandas', '3.9'),
    ('matplotlib', '3.7.0'), ('ipython', '7.34.0'), ('scipy', '1.10.0'), ('scipy', '1.18.1')])
def test_a_version_between_the_bounds_is_accepted(monkeypatch, name, version):
    monkeypatch.setattr(d2l_mxnet, 'VERSIONS', {name: d2l_mxnet.VERSIONS[name]})
    monkeypatch.setattr('importlib.metadata.version', lambda name: version)
    assert d2l_mxnet.problem() is None


@pytest.mark.parametrize('python_version, refuses', [
    ((3, 8, 18), True), ((3, 9, 0), False), ((3, 14, 9), False), ((3, 15, 0), True)])
def test_another_python_is_refused(monkeypatch, python_version, refuses):
    monkeypatch.setattr(sys, 'version_info', python_version)
    assert bool(d2l_mxnet.problem()) == refuses
    assert not refuses or d2l_mxnet.problem().startswith('d2l runs on Python 3.9 to 3.14')


@pytest.mark.parametrize('system, cure', [('Darwin', 'Docker'), ('Windows', 'WSL2')])
def test_another_system_is_refused(monkeypatch, capsys, system, cure):
    monkeypatch.setattr('platform.system', lambda: system)
    assert cure in d2l_mxnet.problem()
    assert d2l_mxnet.main(['cpu']) == 2
    assert cure in capsys.readouterr().err


@pytest.mark.parametrize('missing', [(), ('libgomp.so.1',), ('libgomp.so.1', 'libquadmath.so.0')])
def test_a_system_without_what_mxnet_is_linked_with_is_refused(monkeypatch, missing):
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    monkeypatch.setattr('d2l_arm.loads', lambda library: library not in missing)
    said = d2l_mxnet.problem()
    assert bool(said) == bool(missing)
    assert not said or said.endswith('apt-get install ' + ' '.join(
        d2l_mxnet.SYSTEMS_OWN[name] for name in missing))


# --- PyPI's d2l, another package of that name

PYPIS = ('d2l', '1.0.3', 'Dive into Deep Learning')


def test_pypis_d2l_beside_this_one_is_reported(refused):
    last = refused([PYPIS], 'import warnings; warnings.simplefilter("error")\nimport d2l')
    assert last.startswith('RuntimeWarning: d2l 1.0.3 of PyPI is installed too')
    assert 'pip uninstall -y d2l; pip install --force-reinstall --no-deps ' in last


def test_pypis_d2l_over_this_one_is_reported(refused):
    last = refused([PYPIS], 'import warnings; warnings.simplefilter("error")\n'
                            'import d2l_finder; d2l_finder.install(); import d2l',
                   [('d2l/__init__.py', '__version__ = "1.0.3"\n')])
    assert last.startswith('RuntimeWarning: d2l 1.0.3 of PyPI is installed too')


def test_an_earlier_d2l_of_this_project_is_not_reported(monkeypatch):
    monkeypatch.setattr('importlib.metadata.distribution', lambda name: types.SimpleNamespace(
        metadata={'Version': '0.7.1',
                  'Summary': 'Dive into Deep Learning 0.7.1, living on MXNet 1.9.1'}))
    assert d2l_mxnet.namesake() is None


@pytest.mark.parametrize('said, command', [
    ({'url': 'file:///a/b c', 'dir_info': {'editable': True}}, "-e '/a/b c'"),
    ({'url': 'file:///a/b', 'dir_info': {}}, '/a/b'),
    ({'url': 'https://host/d2l_mxnet-1.0.0-py3-none-any.whl', 'archive_info': {}},
     'https://host/d2l_mxnet-1.0.0-py3-none-any.whl'),
    ({'url': 'https://host/d2l', 'vcs_info': {'vcs': 'git', 'commit_id': 'abc'}},
     'git+https://host/d2l@abc'),
    (None, 'd2l-mxnet')])
def test_it_is_installed_again_as_it_was(monkeypatch, said, command):
    monkeypatch.setattr('importlib.metadata.distribution', lambda name: types.SimpleNamespace(
        read_text=lambda file: said and json.dumps(said)))
    assert d2l_mxnet.reinstall() == f'pip install --force-reinstall --no-deps {command}'


def test_the_version_names_the_book_and_mxnet():
    assert d2l.__version__ == f'0.7.1+mxnet.{d2l_mxnet.VERSION}'


# --- installing MXNet

@pytest.fixture
def commands(monkeypatch):
    """The commands that are run, each of which succeeds."""
    found = []
    monkeypatch.setattr('subprocess.call', lambda command: found.append(command) or 0)
    return found


def installed(monkeypatch, *names):
    monkeypatch.setattr('importlib.metadata.distributions', lambda: [
        types.SimpleNamespace(metadata={'Name': name}) for name in names])


@pytest.mark.parametrize('build, there, gone', [
    ('cpu', [], []), ('cpu', ['mxnet'], []), ('cu112', [], []), ('cu112', ['mxnet'], ['mxnet']),
    ('cpu', ['mxnet-cu112'], ['mxnet-cu112']),
    ('cpu', ['mxnet', 'mxnet-cu112'], ['mxnet-cu112', 'mxnet'])])
@pytest.mark.parametrize('uv', [False, True])
def test_mxnet_comes_without_its_dependencies(monkeypatch, commands, build, there, gone, uv):
    installed(monkeypatch, *there)
    pip = [sys.executable, '-m', 'pip']
    here = []
    if uv:
        monkeypatch.setattr(d2l_mxnet, 'PathFinder',
                            types.SimpleNamespace(find_spec=lambda name: None))
        monkeypatch.setattr('shutil.which', lambda name: f'/bin/{name}')
        pip, here = ['uv', 'pip'], ['--python', sys.executable]
    assert d2l_mxnet.main([build]) == 0
    wanted = d2l_cuda.REQUIREMENTS if build == 'cu112' else ['mxnet==1.9.1']
    removed = [[*pip, 'uninstall', *here, *([] if uv else ['-y']), *gone]] if gone else []
    assert commands == [*removed, [*pip, 'install', *here, '--no-deps', *wanted]]


def test_on_arm64_an_openblas_comes_with_it(monkeypatch, commands):
    installed(monkeypatch)
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    assert d2l_mxnet.main(['cpu']) == 0
    assert commands == [[sys.executable, '-m', 'pip', 'install', '--no-deps', 'mxnet==1.9.1',
                         d2l_arm.REQUIREMENT]]


def test_on_arm64_the_build_is_for_the_cpu(monkeypatch, commands, capsys):
    installed(monkeypatch)
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    monkeypatch.setattr(d2l_cuda, 'driver_problem', lambda: None)       # there is an NVIDIA driver
    assert d2l_mxnet.main(['cu112']) == 2 and commands == []
    assert capsys.readouterr().err == \
        'there is no mxnet-cu112 for arm64: python -m d2l_mxnet cpu\n'
    assert d2l_mxnet.main([]) == 0 and 'mxnet==1.9.1' in commands[-1]


@pytest.mark.parametrize('problem, build', [(None, 'mxnet-cu112==1.9.1'), ('none', 'mxnet==1.9.1')])
def test_the_build_follows_the_driver(monkeypatch, commands, problem, build):
    installed(monkeypatch)
    monkeypatch.setattr(d2l_cuda, 'driver_problem', lambda: problem)
    assert d2l_mxnet.main([]) == 0 and build in commands[-1]


def test_what_pip_check_says_is_explained(monkeypatch, commands, capsys):
    installed(monkeypatch)
    monkeypatch.setattr('importlib.metadata.version', lambda name: '2.1.0')
    d2l_mxnet.main(['cpu'])
    assert 'pip check' in capsys.readouterr().out
    monkeypatch.setattr('importlib.metadata.version', lambda name: '1.26.4')
    d2l_mxnet.main(['cpu'])
    assert capsys.readouterr().out == ''


# --- what is pinned, and what the wheel holds

def test_every_constraint_is_exact():
    for line in CONSTRAINTS.splitlines():
        assert not line or line[0] == '#' or re.match(r'[\w.\[\]-]+==[\w.]+( *;.*)?$', line), line


def test_everything_installed_is_constrained():
    from importlib import metadata

    if 'd2l-mxnet' not in {dist.metadata['Name'] for dist in metadata.distributions()}:
        pytest.skip('d2l is not installed here: the Makefile installs it')
    named = {re.sub(r'[-_.]+', '-', line.split('==')[0]).lower()
             for line in CONSTRAINTS.splitlines() if '==' in line}
    tools = {'d2l-mxnet', 'mxnet', 'mxnet-cu112', 'pip', 'setuptools', 'wheel'} | {
        re.split('[=>]=', text)[0] for text in (*d2l_cuda.REQUIREMENTS, d2l_arm.REQUIREMENT)}
    # setuptools 71 and later hold some packages of their own
    installed = {re.sub(r'[-_.]+', '-', dist.metadata['Name']).lower()
                 for dist in metadata.distributions()
                 if '_vendor' not in str(dist.locate_file(''))}
    assert installed - tools <= named


def test_files_that_are_no_modules_are_installed_too(monkeypatch):
    pytest.importorskip('setuptools')       # a new environment has none from Python 3.12 on
    said = {}
    monkeypatch.setattr('setuptools.setup', said.update)
    runpy.run_path(str(REPO / 'setup.py'))
    named = {package: {path for pattern in patterns for path in REPO.joinpath(
        said['package_dir'].get(package, package.replace('.', '/'))).glob(pattern)}
        for package, patterns in said['package_data'].items()}
    chapters = named.pop('d2l_chapters')
    assert set(said['py_modules']) == {path.stem for path in REPO.glob('d2l_*.py')}
    assert set.union(*named.values()) == {path for path in (REPO / 'd2l').rglob('*.*')
                                          if path.suffix not in ('.py', '.pyc')}
    assert chapters == {*(section.path for section in all_sections()), ROOT / 'quick.toml',
                        ROOT / 'times.json', *(ROOT / 'img').glob('*.jpg')}


def built(source, folder):
    """Build the package whose setup.py is in `source`. Return the folder with the contents of its
    wheel; its metadata are beside that folder."""
    pytest.importorskip('setuptools', '65')         # the version that pyproject.toml requires
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(folder),
                    'build', '--build-base', str(folder / 'base'),
                    '--build-lib', str(folder / 'lib')],
                   cwd=source, check=True, capture_output=True)
    return folder / 'lib'


def files_of(folder):
    """Path below the folder -> contents of each of its files, bytecode aside."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The folder with the contents of the wheel."""
    return built(REPO, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def environment(wheel, tmp_path_factory):
    """The Python of a new environment in which nothing but the wheel is installed, and its folder
    of packages."""
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, with_pip=False)
    packages, = folder.glob('lib/python*/site-packages')
    shutil.copytree(wheel, packages, dirs_exist_ok=True)
    return folder / 'bin' / 'python', packages


@pytest.fixture
def command(wheel, python, tmp_path):
    """A function that runs the command d2l of the wheel, in an empty folder."""
    def run(*args, **options):
        return python('-c', 'import sys, d2l_chapters.command as c; sys.exit(c.main())', *args,
                      cwd=tmp_path, env={'PYTHONPATH': str(wheel)}, **options)
    return run


@pytest.mark.xdist_group('wheel')
def test_the_wheel_has_no_name_that_is_not_ours(wheel):
    assert all(path.name.startswith('d2l') for path in wheel.iterdir())
    assert not (wheel / 'd2l_chapters' / 'gallery').exists()


@pytest.mark.xdist_group('wheel')
def test_the_sdist_makes_the_same_wheel(wheel, tmp_path):
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(tmp_path),
                    'sdist', '--formats', 'gztar', '--dist-dir', str(tmp_path / 'dist')],
                   cwd=REPO, check=True, capture_output=True)
    archive, = (tmp_path / 'dist').glob('*.tar.gz')
    shutil.unpack_archive(archive, tmp_path / 'source', **UNPACK)
    source, = (tmp_path / 'source').iterdir()
    (tmp_path / 'again').mkdir()
    assert files_of(built(source, tmp_path / 'again')) == files_of(wheel)


@pytest.mark.xdist_group('wheel')
def test_the_metadata(wheel):
    """The metadata of pyproject.toml and those of setup.py are both there."""
    said, = wheel.parent.glob('*.egg-info/PKG-INFO')
    lines = said.read_text().splitlines()
    oldest, refused = d2l_mxnet.PYTHON
    assert {f'Name: {d2l_mxnet.NAME}', f'Version: {d2l_mxnet.VERSION}', 'License: MIT',
            'Summary: Dive into Deep Learning 0.7.1, living on MXNet 1.9.1',
            'Description-Content-Type: text/markdown', 'Provides-Extra: gluoncv',
            '# d2l on MXNet'} <= set(lines)
    python, = (line for line in lines if line.startswith('Requires-Python: '))
    assert set(re.findall(r'[<>=]+[\d.]+', python)) == {
        '>={}.{}'.format(*oldest), '<{}.{}'.format(*refused)}
    assert said.with_name('entry_points.txt').read_text().split('\n')[:2] == [
        '[console_scripts]', 'd2l = d2l_chapters.command:main']
    needed = said.with_name('requires.txt').read_text().split('\n\n')[0].split('\n')
    assert {re.match(r'[\w-]+', line)[0] for line in needed} >= {*d2l_mxnet.VERSIONS, 'pooch'}
    assert not any('gluoncv' in line or 'ruff' in line for line in needed)


@pytest.mark.xdist_group('wheel')
def test_the_wheel_in_an_empty_environment_says_what_is_missing(environment, tmp_path):
    python, _ = environment
    done = subprocess.run([python, '-I', '-c', 'import d2l'], cwd=tmp_path, text=True,
                          capture_output=True)
    assert done.stderr.strip().split('\n')[-1] == \
        'ImportError: d2l needs MXNet 1.9.1, and there is none: python -m d2l_mxnet'
    done = subprocess.run([python, '-I', '-m', 'd2l_mxnet', '--help'], cwd=tmp_path, text=True,
                          capture_output=True)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.xdist_group('wheel')
def test_the_wheel_computes_in_an_environment_with_its_dependencies(environment, tmp_path):
    """The dependencies are those of this environment; the wheel is found before a d2l that is
    there."""
    python, packages = environment
    libraries = [path for path in sys.path if path.endswith('site-packages')]
    code = (f'import sys; sys.path += {libraries!r}; import d2l; print(d2l.__file__); '
            'print(float(d2l.np.ones(3).sum()))')
    done = subprocess.run([python, '-I', '-c', code], cwd=tmp_path, text=True, capture_output=True)
    assert done.stdout == f"{packages / 'd2l' / '__init__.py'}\n3.0\n", done.stderr


@pytest.mark.xdist_group('wheel')
def test_the_command_of_the_wheel_lists_the_sections(command):
    done = command('list')
    assert (done.returncode, done.stderr) == (0, '')
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        section.number for section in all_sections()]


@pytest.mark.xdist_group('wheel')
def test_the_command_of_the_wheel_runs_a_section_and_writes_where_the_reader_is(
        command, wheel, tmp_path):
    before = {path for path in wheel.rglob('*') if '__pycache__' not in path.parts}
    done = command('run', '2.5', '--quick')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('2.5 Automatic Differentiation')
    assert done.stdout.endswith('d2l-book/build/2.5/2.5.ipynb (quick)\n'
                                'd2l-book/build/2.5/2.5.html (quick)\n')
    assert (tmp_path / 'd2l-book/build/2.5/2.5.html').exists()
    assert (tmp_path / 'd2l-book/img/cat1.jpg').exists()
    assert {path for path in wheel.rglob('*') if '__pycache__' not in path.parts} == before


@pytest.mark.xdist_group('wheel')
def test_the_command_of_the_wheel_writes_notebooks_with_their_pictures(command, tmp_path):
    assert command('notebook', '13.1', '--to', 'books').returncode == 0
    assert {path.suffix for path in (tmp_path / 'books').rglob('*.*')} == {'.ipynb', '.jpg'}


@pytest.mark.xdist_group('wheel')
@pytest.mark.parametrize('args, status, says', [
    (('run', '18.1'), 2, 'd2l: section 18.1 of the book has no code'),
    (('gallery',), 2, 'a checkout of the repository'),
    (('launch', '-n', '1'), 2, 'which SCRIPT?')])
def test_the_command_reports_what_it_cannot_do(command, args, status, says):
    done = command(*args)
    assert done.returncode == status and says in done.stderr


@pytest.mark.xdist_group('wheel')
def test_the_command_says_which_devices_there_are(command):
    done = command('device')
    assert done.returncode == 0 and 'MXNet' in done.stdout, done.stderr


@pytest.mark.parametrize('status', [0, 1])
def test_mxnet_is_installed_where_there_is_none(monkeypatch, capsys, status):
    calls = []
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    monkeypatch.setattr(d2l_mxnet, 'main', lambda args: calls.append(args) or status)
    assert cli.need_mxnet() == status and calls == [[]]
    assert capsys.readouterr().err.endswith('-m d2l_mxnet\n')


@pytest.mark.skipif(sys.version_info < (3, 9), reason='d2l needs 3.9')
@pytest.mark.parametrize('module', ['pooch', 'tqdm', 'gluoncv', 'jupytext'])
def test_import_d2l_does_not_import(python, module):
    """`import d2l` takes the time of MXNet, pandas, matplotlib and IPython only (see ci.bench)."""
    done = python('-c', f'import sys, d2l; print({module!r} in sys.modules)')
    assert done.stdout == 'False\n', done.stderr
