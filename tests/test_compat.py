"""d2l_compat: each repair is needed with these libraries, works, and changes only what it
should."""
import ast
import json
import os
import pathlib
import subprocess
import sys
import types

import mxnet
import numpy
import pytest

import d2l_compat
from chapters.execute import QUICK_SAMPLE_SIZE, quick_constants, shrink
from chapters.sections import find, python_only
from tests.support import CC, REPO, compiled

# Repair -> code that needs it, as a reader types it; it runs in a separate process
CASES = {
    'products_suit_the_cpu': '''
        import ctypes, mxnet, os
        library = ctypes.CDLL(os.path.join(os.path.dirname(mxnet.__file__), 'libopenblas.so.0'))
        library.openblas_get_corename.restype = ctypes.c_char_p
        assert library.openblas_get_corename() != b'Prescott'
        assert 'OPENBLAS_CORETYPE' not in os.environ
    ''',
    'operators_are_compiled_once': '''
        import mxnet
        assert mxnet.nd.FullyConnected.__code__.co_consts[0] == ''
    ''',
    'scipy_stats_waits': '''
        import mxnet, sys
        assert 'scipy.stats' not in sys.modules
    ''',
    'numbers_print_as_before': '''
        import mxnet, threading
        assert repr((numpy.float32(1.5), numpy.int64(2))) == '(1.5, 2)'
        thread = threading.Thread(target=lambda: said.append(repr(numpy.float64(.5))))
        said = []; thread.start(); thread.join()
        assert said == ['0.5']
    ''',
    'eigenvalues_are_real': '''
        found = numpy.linalg.eig(numpy.array([[2, 1], [2, 3]]))
        assert type(found) is tuple and found[0].dtype == found[1].dtype == float
        assert numpy.linalg.eigvals(numpy.array([[2, 1], [2, 3]])).dtype == float
        assert numpy.linalg.eigvals(numpy.array([[0, 1], [-1, 0]])).dtype == complex
        assert numpy.linalg.eig(numpy.eye(2) * 1j)[0].dtype == complex
    ''',
    'pandas_reads_as_before': r'''
        import io, pandas
        assert pandas.read_csv(io.StringIO('a\tb\n1\tNone\n'), '\t').b[0] == 'None'
        assert pandas.read_csv(io.StringIO('a,b\n1,None\n')).b[0] == 'None'
        assert pandas.read_csv(io.StringIO('a,b\n1,NA\n')).b.isna()[0]
        assert pandas.read_csv(io.StringIO('a,b\n1,None\n'), na_values=['None']).b.isna()[0]
    ''',
    'dummies_are_numbers': '''
        import pandas
        table = pandas.DataFrame({'a': ['x', None]})
        assert set(pandas.get_dummies(table, dummy_na=True).dtypes.astype(str)) == {'uint8'}
        assert set(pandas.get_dummies(table, dtype=float).dtypes.astype(str)) == {'float64'}
    ''',
    'means_of_numbers': '''
        import pandas, warnings
        warnings.simplefilter('error')
        table = pandas.DataFrame({'a': [1., 3.], 'b': ['x', 'y']})
        assert dict(table.mean()) == {'a': 2.}
        warnings.simplefilter('ignore')
        try:
            table.mean(numeric_only=False)
        except TypeError:
            pass
        else:
            raise AssertionError('what is asked for raises, as before')
    ''',
    'words_are_objects': '''
        import d2l, pandas
        assert pandas.DataFrame({'a': ['x']}).dtypes['a'] == 'object'
    ''',
    'stem_takes_its_old_argument': '''
        from matplotlib import pyplot
        pyplot.figure()
        pyplot.stem([1, 2], [1, 2], use_line_collection=True)
        pyplot.stem([1, 2], [1, 2])
    ''',
    'display_sets_formats': '''
        import warnings
        warnings.simplefilter('error')
        from IPython import display
        display.set_matplotlib_formats('svg')
    ''',
    'arrays_compare_across_types': '''
        import itertools, operator
        from mxnet import np, npx
        npx.set_np()
        names = 'float16', 'float32', 'float64', 'uint8', 'int8', 'int32', 'int64', 'bool'
        compares = 'eq', 'ne', 'lt', 'le', 'gt', 'ge'
        for name, a, b in itertools.product(compares, names, names):
            x, y = numpy.array([1, 0, 100]).astype(a), numpy.array([[1], [3]]).astype(b)
            compare = getattr(operator, name)
            ours = compare(np.array(x, dtype=a), np.array(y, dtype=b))
            assert (ours.dtype == bool and (ours.asnumpy() == compare(x, y)).all()), (name, a, b)
        assert np.equal(np.ones(2), np.ones(2, dtype='int64')).all()
        large = np.array([2 ** 53 + 1], dtype='int64'), np.array([2 ** 53], dtype='int64')
        assert not (large[0] == large[1]).any()
    ''',
    'shuffle_returns_its_array': '''
        from mxnet import np, npx
        npx.set_np()
        x = np.arange(9).reshape(3, 3)
        assert np.random.shuffle(x) is x and sorted(x[:, 0].tolist()) == [0, 3, 6]
    ''',
    'arrays_become_numpys': '''
        from mxnet import np, npx
        npx.set_np()
        for dtype in ('float32', 'int64', 'bool'):
            assert numpy.asarray(np.ones((2, 0), dtype=dtype)).dtype == dtype
        assert numpy.array([np.array(1.), np.array(2.)]).tolist() == [1., 2.]
        assert numpy.asarray(np.ones(2), dtype='int32').dtype == 'int32'
    ''',
    'figures_take_arrays': '''
        from mxnet import np, npx
        from matplotlib import pyplot
        npx.set_np()
        x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
        pyplot.figure().add_subplot(111, projection='3d').plot_surface(x, y, x * y)
    ''',
    'word_vectors_come_through_the_hub': '''
        import os, sys, tempfile
        os.environ['D2L_DATA'] = 'sample'
        from mxnet.contrib import text
        root = tempfile.mkdtemp()
        assert not any(name.partition('.')[0] == 'd2l' for name in sys.modules)
        from mxnet import gluon
        def refuse(*args, **kwargs):
            raise OSError('MXNet itself would fetch')
        gluon.utils.requests.get = refuse
        assert len(text.embedding.create('glove', embedding_root=root,
                                         pretrained_file_name='glove.6B.50d.txt')) > 1000
    ''',
    'errors_say_the_cure': '''
        import mxnet
        from mxnet import np
        try:
            mxnet.nd.save('nowhere', np.ones(3))
        except TypeError as err:
            assert 'net.save_parameters(path)' in str(err)
    ''',
    'np_semantics_are_on': '''
        import threading, d2l
        from mxnet import np, util
        def shapes():
            said.append((np.ones(3)[0].shape, np.zeros((2, 0)).shape, util.is_np_array()))
        def elsewhere():
            thread = threading.Thread(target=shapes)
            thread.start(); thread.join()
        said = []
        shapes(); elsewhere()
        with util.np_array(False), util.np_shape(False):
            assert not util.is_np_array() and not util.is_np_shape()
        elsewhere(); shapes()
        assert said == [((), (2, 0), True)] * 4, said
    ''',
}
RUN = '''
import io, json, sys, textwrap, traceback
import d2l_finder
d2l_finder.install()
import numpy
cases, passed = json.loads(sys.argv[1]), {}
for name, code in cases.items():
    try:
        exec(textwrap.dedent(code), {'numpy': numpy, '__name__': '__main__'})
        passed[name] = None
    except BaseException:
        passed[name] = traceback.format_exc()
print(json.dumps(passed))
'''
# the first needs that d2l is not yet imported; the last two import it
ORDER = ['word_vectors_come_through_the_hub', *sorted(
    set(CASES) - {'word_vectors_come_through_the_hub', 'words_are_objects', 'np_semantics_are_on'}),
    'words_are_objects', 'np_semantics_are_on']


def unknown_to_openblas():
    """Whether MXNet's OpenBLAS does not know this CPU, and takes it for a Prescott."""
    path = pathlib.Path(mxnet.__file__).with_name('libopenblas.so.0')
    code = (f'import ctypes\nlibrary = ctypes.CDLL({str(path)!r})\n'
            'library.openblas_get_corename.restype = ctypes.c_char_p\n'
            'print(library.openblas_get_corename().decode())')
    env = {name: value for name, value in os.environ.items() if name != d2l_compat.CORE}
    return path.exists() and subprocess.run(
        [sys.executable, '-S', '-c', code], env=env, text=True, capture_output=True,
        check=True).stdout == 'Prescott\n'


def needed(repair):
    """Whether the installed libraries need a repair."""
    import IPython
    import matplotlib
    import pandas

    release = d2l_compat.release
    return {
        'products_suit_the_cpu': unknown_to_openblas(),
        'numbers_print_as_before': release(numpy) >= (2, 0),
        'eigenvalues_are_real': release(numpy) >= (2, 0),
        'pandas_reads_as_before': release(pandas) >= (2, 0),
        'dummies_are_numbers': release(pandas) >= (2, 0),
        'means_of_numbers': release(pandas) >= (2, 0),
        'words_are_objects': release(pandas) >= (3, 0),
        'stem_takes_its_old_argument': release(matplotlib) >= (3, 8),
        'display_sets_formats': (IPython.version_info[:2] >= (7, 23)),
    }.get(repair, True)


@pytest.fixture(scope='module')
def results():
    """{(repair, value of D2L_PATCH): None where its case passes, else the traceback}."""
    found = {}
    for switch in ('1', '0'):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', RUN,
             json.dumps({name: CASES[name] for name in ORDER})], cwd=REPO,
            env={**{name: value for name, value in os.environ.items() if name != d2l_compat.CORE},
                 'D2L_PATCH': switch}, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        for name, result in json.loads(done.stdout.splitlines()[-1]).items():
            found[name, switch] = result
    return found


@pytest.mark.xdist_group('compat')
@pytest.mark.parametrize('repair', CASES)
def test_with_the_repair_it_passes(results, repair):
    assert results[repair, '1'] is None


@pytest.mark.xdist_group('compat')
@pytest.mark.parametrize('repair', CASES)
def test_without_the_repair_it_fails(results, repair):
    if not needed(repair):
        pytest.skip('the libraries here do without it')
    assert results[repair, '0']


CORE_C = '''
#include <stdlib.h>
static const char *core = "KNOWN";
__attribute__((constructor)) static void start(void) {
    const char *said = getenv("OPENBLAS_CORETYPE");
    if (said) core = said;
}
const char *openblas_get_corename(void) { return core; }
'''


@pytest.mark.skipif(not CC, reason='no C compiler')
@pytest.mark.parametrize('known, flags, said, core', [
    ('Prescott', 'sse2 avx2 fma', None, 'Haswell'), ('Zen', 'sse2 avx2 fma', None, 'Zen'),
    ('Prescott', 'sse2', None, 'Prescott'), ('Prescott', 'avx2', None, 'Prescott'),
    ('Prescott', '', None, 'Prescott'), ('Prescott', 'avx2 fma', 'Nehalem', 'Nehalem')])
def test_which_kernels_openblas_gets(known, flags, said, core, tmp_path, python):
    """On CPUs that OpenBLAS knows, on others, and where the user has chosen the kernels."""
    path = compiled(tmp_path / 'libopenblas.so.0', CORE_C.replace('KNOWN', known))
    done = python('-c', f"""
import ctypes, os, types, d2l_compat
d2l_compat.cpu_flags = lambda: set({flags!r}.split())
before = dict(os.environ)
module = types.SimpleNamespace(__spec__=types.SimpleNamespace(origin={str(tmp_path / 'a.py')!r}))
d2l_compat.products_suit_the_cpu(module)
assert dict(os.environ) == before
library = ctypes.CDLL({str(path)!r})
library.openblas_get_corename.restype = ctypes.c_char_p
print(library.openblas_get_corename().decode())
""", env={d2l_compat.CORE: said} if said else {})
    assert (done.stdout, done.stderr) == (f'{core}\n', '')


@pytest.mark.parametrize('contents', [None, b'no library'], ids=['missing', 'broken'])
def test_without_an_openblas_beside_mxnet_nothing_is_done(contents, tmp_path):
    if contents:
        (tmp_path / 'libopenblas.so.0').write_bytes(contents)
    module = types.SimpleNamespace(__spec__=types.SimpleNamespace(origin=str(tmp_path / 'a.py')))
    assert d2l_compat.products_suit_the_cpu(module) is None


def test_every_lasting_repair_has_a_case():
    assert set(CASES) == set(d2l_compat.LASTING)


@pytest.mark.parametrize('number', ['3.1', '3.6', '4.4', '11.1', '11.2', '11.3', '14.7',
                                    '17.1', '17.4', '17.5'])
def test_a_section_runs_as_typed_in_plain_python(python, tmp_path, number):
    """As test_outputs does in a notebook, for listings that once had to be changed."""
    section, = find(number)
    constants, variables = quick_constants(number)
    path = tmp_path / 'typed.py'
    path.write_text('\n\n'.join(map(python_only, shrink(section.listings, constants))))
    done = python('-W', 'ignore', '-c', 'import d2l_finder; d2l_finder.install()\n'
                  f'exec(compile(open({str(path)!r}).read(), "typed", "exec"))',
                  cwd=section.path.parent, env={
                      'D2L_SAMPLE_SIZE': QUICK_SAMPLE_SIZE, **variables,
                      'PYTHONPATH': os.pathsep.join([str(REPO), os.environ.get('PYTHONPATH', '')])})
    assert done.returncode == 0, done.stderr


# --- which modules see a change

@pytest.mark.parametrize('name, seen', [
    ('__main__', True), ('d2l.book', True), ('seaborn.utils', False), ('d2lx', False)])
def test_only_what_is_typed_sees_a_change(name, seen):
    pandas = pytest.importorskip('pandas')
    if d2l_compat.release(pandas) < (2, 0):
        pytest.skip('nothing is changed before pandas 2')
    names = {'__name__': name, 'pandas': pandas}
    exec("found = pandas.get_dummies(pandas.Series(['x']))", names)
    assert (names['found'].dtypes['x'] == 'uint8') == seen


# --- what MXNet reads from NumPy

def reads(path):
    """Yield (name, line) of each attribute of numpy that a module of MXNet uses."""
    tree = ast.parse(path.read_text())
    aliases = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
               for alias in node.names if alias.name == 'numpy'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) \
                and node.value.id in aliases:
            yield node.attr, node.lineno


FOLDER = pathlib.Path(mxnet.__file__).parent
READERS = [path for path in sorted(FOLDER.rglob('*.py')) if any(
    line.split() and 'import numpy' in line for line in path.read_text().splitlines())]
# names that no NumPy ever had, or that a module itself defines
NO_NUMPY = {'_multinomial', 'integer_types'}


@pytest.mark.parametrize('path', READERS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_mxnet_finds_all_that_it_reads_from_numpy(path):
    if path.relative_to(FOLDER).parts[0] not in ('_cy3',):
        seen = d2l_compat._numpy_with_old_names(numpy)
        assert [(name, line) for name, line in reads(path)
                if not hasattr(seen, name) and name not in NO_NUMPY] == []


def test_numpy_keeps_none_of_the_old_names(python):
    done = python('-W', 'ignore', '-c',
                  'import d2l_finder, numpy, sys; names = set(vars(numpy)); d2l_finder.install()\n'
                  'import mxnet\n'
                  'print(sorted(name for name in set(vars(numpy)) - names\n'
                  '             if type(vars(numpy)[name]).__name__ != "module"))\n'
                  'print("distutils.version" in sys.modules)')
    assert done.stdout == '[]\nFalse\n', done.stderr


@pytest.mark.parametrize('module', ['mxnet.numpy.multiarray', 'mxnet.ndarray.ndarray',
                                    'mxnet.gluon.contrib.estimator.event_handler'])
def test_a_module_of_mxnet_finds_old_names_of_numpy(module):
    import importlib

    found = vars(importlib.import_module(module))
    for name in ('_np', 'np'):
        if isinstance(found.get(name), types.ModuleType) and found[name].__name__ == 'numpy':
            assert found[name].bool is numpy.bool_ and found[name].Inf == numpy.inf


@pytest.mark.parametrize('call', [
    "np.pad(np.ones((1, 1)), ((0, 1), (1, 0))).shape == (2, 2)",
    "mx.nd.moveaxis(mx.nd.ones((2, 3)), 0, 1).shape == (3, 2)",
    "np.ones(3)[np.array([True, False, True], dtype=bool)].shape == (2,)",
    "np.full((2,), True).dtype == bool",
    "np.array([1, 2], dtype=np.bool).dtype == bool"])
def test_functions_of_mxnet_that_use_old_names_of_numpy(call):
    from mxnet import np, npx

    npx.set_np()
    assert eval(call, {'np': np, 'mx': mxnet})


def test_metrics_sum_in_float64():
    metric = mxnet.metric.Loss()
    losses = numpy.float32([.1] * 1000)
    for loss in losses:
        metric.update(None, mxnet.nd.array([loss]))
    assert metric.get()[1] == metric.get_global()[1] == numpy.sum(losses, dtype=float) / 1000


def test_the_repaired_compare_has_a_graph_and_a_gradient():
    from mxnet import autograd, np

    import d2l

    class Net(d2l.gluon.nn.Block):
        def forward(self, X):
            return X * (np.floor(X) == X.astype('int64'))

    X = np.array([1., -.5, 2.])
    net = d2l.hybridize(Net())
    X.attach_grad()
    with autograd.record():
        y = net(X)
    y.backward()
    assert y.tolist() == [1., 0., 2.] and X.grad.tolist() == [1., 0., 1.]


# --- Python

@pytest.mark.parametrize('older, newer', [('1.9', '1.10'), ('1.5', '1.17'), ('1.9.1', '2.0.0'),
                                          ('0.10.5', '0.10.5.post0.1')])
def test_versions_compare_by_number(older, newer):
    older, newer = d2l_compat.Version(older), d2l_compat.Version(newer)
    assert newer >= older and not newer < older


def test_an_imported_distutils_is_restored():
    kept = dict.fromkeys(('distutils', 'distutils.version'), types.ModuleType('distutils'))
    with pytest.MonkeyPatch.context() as patch:
        for name, module in kept.items():
            patch.setitem(sys.modules, name, module)
        with d2l_compat.distutils_version():
            from distutils.version import LooseVersion
            assert LooseVersion is d2l_compat.Version
        assert {name: sys.modules[name] for name in kept} == kept


def test_gluoncv_compares_versions_when_it_is_called():
    import d2l.vision

    utils = d2l.vision.import_gluoncv().utils
    utils.check_version('0.8.0')
    with pytest.raises(AssertionError, match='minimum'):
        utils.check_version('99')


def test_annotations_may_use_undefined_names():
    """Python 3.14 evaluates annotations when they are read; older versions keep strings as they
    are."""
    later = '' if sys.version_info >= (3, 14) else 'from __future__ import annotations\n'
    names = {}
    exec(f'{later}def f(X: Gone, k: Gone.more[0] = 2, *, z: Gone = 3) -> Gone: return X', names)
    assert [*d2l_compat.signature(names['f']).parameters] == ['X', 'k', 'z']
    assert d2l_compat.signature(names['f']).bind(1).arguments == {'X': 1}


@pytest.mark.parametrize('version, forks', [((3, 13), False), ((3, 14), True)])
def test_workers_fork_from_3_14_on(monkeypatch, version, forks):
    import multiprocessing

    module = types.SimpleNamespace(multiprocessing=multiprocessing)
    monkeypatch.setattr(sys, 'version_info', version)
    d2l_compat.workers_fork(module)
    assert (module.multiprocessing is multiprocessing) != forks
    if forks:
        assert module.multiprocessing.get_context().get_start_method() == 'fork'
        assert module.multiprocessing.queues is multiprocessing.queues


def test_pandas_4_will_lack_an_option():
    """This warning is the reason for pandas' upper bound."""
    pandas = pytest.importorskip('pandas', minversion='3.0')
    with pytest.warns(match='infer_string'):
        pandas.set_option('future.infer_string', False)


FORGOTTEN = ['np.zeros(())',
             'x = np.arange(4)\nx.attach_grad()\nwith autograd.record():\n    2 * np.dot(x, x)',
             'net = gluon.nn.Dense(2)\nnet.initialize()\nnet(np.ones((2, 3)))']


@pytest.mark.parametrize('code', FORGOTTEN, ids=['zeros', 'dot', 'net'])
def test_a_forgotten_set_np_is_reported(python, code):
    done = python('-c',
                  'import d2l_finder\nd2l_finder.install()\n'
                  'from mxnet import autograd, gluon, np\n'
                        f'{code}')
    assert done.returncode == 1
    assert done.stderr.strip().split('\n')[-1].startswith('d2l: Say npx.set_np() after the imports')


MISTAKES = {
    'gpu': ('np.ones(3, ctx=npx.gpu(0))', 'd2l.device.stand_in(2)'),
    'copy to a GPU': ('np.ones(3).copyto(npx.gpu(1))', 'd2l.device.stand_in(2)'),
    'a net on GPUs': ('net.initialize(ctx=[npx.gpu(0), npx.gpu(1)], force_reinit=True)',
                      'd2l.device.stand_in(2)'),
    'numpy, eager': ('net(numpy.ones((2, 3)))', 'np.array(X)'),
    'numpy, compiled': ('d2l.hybridize(net)(numpy.ones((2, 3)))', 'np.array(X)'),
    'saving parameters': ('net.collect_params().save("x.params")', 'net.save_parameters(path)'),
    'a picture': ('mxnet.image.imread("nowhere.jpg")', 'os.getcwd()'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_an_error_ends_with_what_helps(mistake, tmp_path, monkeypatch):
    import numpy
    from mxnet import gluon, np, npx

    import d2l

    if 'GPU' in mistake.upper() and npx.num_gpus() > 1:
        pytest.skip('there are GPUs here')
    monkeypatch.chdir(tmp_path)
    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    code, cure = MISTAKES[mistake]
    with pytest.raises(Exception) as err:
        exec(code, {'d2l': d2l, 'mxnet': mxnet, 'net': net, 'np': np, 'npx': npx, 'numpy': numpy})
    last = str(err.value).strip().split('\n')[-1]
    assert last.startswith('d2l: ') and cure in last


def test_what_a_deconvolution_cannot_do_and_what_helps():
    """The code runs in a separate process, since the error stays in MXNet's engine."""
    code = """
import d2l
from mxnet import autograd, init, np, npx
from mxnet.gluon import nn
npx.set_np()

def gradient(dtype, grad_req, how):
    net = nn.Conv2DTranspose(2, 3, in_channels=3, use_bias=False)
    x = np.ones((1, 3, 5, 5), dtype=dtype)
    net.initialize(init.One())
    net.cast(dtype)
    net.weight.grad_req = grad_req
    for xs in {'at once': [[x, x]], 'concatenated': [[np.concatenate([x, x])]],
               'one by one': [[x], [x]]}[how]:
        with autograd.record():
            y = sum(net(x).sum() for x in xs)
        y.backward()
    return float(net.weight.grad().sum())

print({gradient('float32', 'write', 'concatenated'), gradient('float32', 'add', 'one by one'),
       gradient('float64', 'write', 'at once')})
gradient('float32', 'write', 'at once')
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == '{2700.0}\n'
    assert done.stderr.strip().split('\n')[-1].startswith('d2l: A Conv2DTranspose')


def test_another_error_is_left_as_it_is():
    from mxnet import np

    with pytest.raises(mxnet.base.MXNetError) as err:
        np.zeros((2, 3)).reshape(7, 7)
    assert 'd2l:' not in str(err.value)


# ------------------------------------------------------------------ what makes import mxnet slow

OPERATORS = '''
import hashlib, inspect, sys
import d2l_finder
if 'plain' in sys.argv:
    d2l_finder.load_hooks()
    for name in 'ndarray', 'symbol':
        del d2l_finder.FINDER.before[f'mxnet.{name}.register']
    d2l_finder.load_hooks = lambda: None
import mxnet
from mxnet.base import _LIB, OpHandle, py_str
import ctypes
found, count = hashlib.sha256(), 0
modules = {id(module): module for name, module in sorted(sys.modules.items())
           if name.startswith(('mxnet.ndarray', 'mxnet.symbol'))}
for module in modules.values():
    for name, function in sorted(vars(module).items()):
        code = getattr(function, '__code__', None)
        if code and code.co_filename == '<string>':
            handle, = [c for c in code.co_consts if type(c) is int and c > 99999]
            operator = ctypes.c_char_p()
            assert _LIB.MXSymbolGetAtomicSymbolName(OpHandle(handle), ctypes.byref(operator)) == 0
            consts = [c for c in code.co_consts if c != handle][1:]     # the first one: __doc__
            found.update(repr((
                module.__name__, name, py_str(operator.value), function.__doc__, code.co_code,
                consts, code.co_names, str(inspect.signature(function)))).encode())
            count += 1
assert count > 2500
assert not hasattr(mxnet.ndarray.register, 'exec')
print(found.hexdigest())
'''


def test_stored_code_of_operators_is_what_mxnet_compiles(python, tmp_path):
    def digest(*args):
        done = python('-c', OPERATORS, *args, env={
            'PYTHONPYCACHEPREFIX': str(tmp_path), 'PYTHONDONTWRITEBYTECODE': ''})
        assert done.returncode == 0, done.stderr
        return done.stdout
    plain = digest('plain')
    assert not [*tmp_path.rglob('d2l_operators*')]
    assert digest() == plain
    path, = tmp_path.rglob('d2l_operators*')
    content = path.read_bytes()
    assert digest() == plain and path.read_bytes() == content


SOURCE = """
def f(x):
    r\"""What f does.
    \"""
    return g(123456789012, x, 7)"""


@pytest.fixture
def called(monkeypatch):
    """A function that calls the function of a source, compiled by an OperatorCode."""
    monkeypatch.setattr(sys, 'dont_write_bytecode', False)

    def call(path, source=SOURCE):
        code, names = d2l_compat.OperatorCode(path), {'g': lambda *args: args}
        exec(code.compiled(source), names)
        code.write()
        return names['f'](5)
    return call


def test_an_operators_function_has_the_handle_of_this_process(called, tmp_path):
    path = tmp_path / 'folder' / 'code'
    assert called(path) == (123456789012, 5, 7)
    content = path.read_bytes()
    assert called(path, SOURCE.replace('123456789012', '987654321')) == (987654321, 5, 7)
    assert path.read_bytes() == content
    assert called(path, SOURCE.replace('7', '8')) == (123456889012, 5, 8)
    assert path.read_bytes() != content


@pytest.mark.parametrize('damage', [
    lambda content: b'', lambda content: content[:9], lambda content: content[:-1],
    lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:]],
    ids=['empty', 'digest cut', 'end cut', 'one bit'])
def test_damaged_code_of_operators_is_replaced(called, damage, tmp_path):
    path = tmp_path / 'code'
    called(path)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert called(path) == (123456789012, 5, 7)
    assert path.read_bytes() == content and [*tmp_path.iterdir()] == [path]


def test_code_of_operators_is_stored_only_where_pythons_is(called, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    assert called(tmp_path / 'file' / 'code') == (123456789012, 5, 7)
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    assert called(tmp_path / 'code') == (123456789012, 5, 7)
    assert [*tmp_path.iterdir()] == [tmp_path / 'file']


def test_scipy_stats_is_imported_when_it_is_used(python):
    done = python('-c', '''
import sys, mxnet
assert 'scipy.stats' not in sys.modules
print(mxnet.contrib.quantization.stats.entropy([1, 1]))
import scipy.stats
assert scipy.stats.norm.mean() == 0''')
    assert done.stdout.startswith('0.69'), done.stderr
