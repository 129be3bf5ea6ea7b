"""Repairs of MXNet 1.9.1, Gluon-CV 0.10.5 and the book's listings for later Pythons, libraries and
CPUs.

The finder of `d2l_finder` calls these functions when a module is imported. (`import d2l` installs
the finder if Python has not read its .pth file.) The docstring of each function says what it
repairs; it does nothing if there is nothing to repair. Names that only MXNet needs while it is
imported are removed after that. Repairs that are not removed are in LASTING, and `D2L_PATCH=0`
turns them off.
"""
import _ctypes
import ctypes
import functools
import hashlib
import importlib.util
import inspect
import marshal
import os
import re
import sys
import types
import warnings
from contextlib import contextmanager, suppress

from d2l_finder import after, before

LASTING = {}            # name of a repair that is not removed -> (modules that it changes, why)


def lasting(*names, when=after):
    """Decorator for a hook that changes modules for good. It adds the hook to LASTING, and makes it
    do nothing with D2L_PATCH=0. when: `before` or `after` the modules are executed"""
    def decorate(repair):
        LASTING[repair.__name__] = names, ' '.join((repair.__doc__ or '').split())

        @functools.wraps(repair)
        def hook(module):
            if os.environ.get('D2L_PATCH') != '0':
                return repair(module)
            return None
        return when(*names)(hook)
    return decorate


def release(module):
    """Return the first two numbers of a module's version, (2, 5) for 2.5.5."""
    return tuple(map(int, re.findall(r'\d+', module.__version__)[:2]))


def typed(depth=2):
    """Return whether a repaired function is called by code that a reader typed, or by d2l. Other
    libraries must not see the repair."""
    name = sys._getframe(depth).f_globals.get('__name__')
    return name in (None, 'builtins', '__main__') or name.partition('.')[0] == 'd2l'


# --- Python

class Version:
    """Replaces LooseVersion and StrictVersion of distutils, of which MXNet and Gluon-CV only use
    comparisons of numbers."""

    def __init__(self, text):
        self.version = [int(number) for number in re.findall(r'\d+', text)[:3]]

    def __lt__(self, other):
        return self.version < other.version

    def __ge__(self, other):
        return self.version >= other.version


@contextmanager
def distutils_version():
    """Context manager that provides distutils.version, which Python 3.12 has removed. The version
    in setuptools is slow to import."""
    package, version = types.ModuleType('distutils'), types.ModuleType('distutils.version')
    package.__path__, package.version = [], version
    version.LooseVersion = version.StrictVersion = Version
    names = {'distutils': package, 'distutils.version': version}
    kept = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name, module in kept.items():
            if module:
                sys.modules[name] = module
            else:
                del sys.modules[name]


def _until_imported(context):
    """Return a hook that enters a context before a module is executed, and leaves it afterwards."""
    def hook(module):
        entered = context()
        entered.__enter__()
        return lambda: entered.__exit__(None, None, None)
    return hook


before('mxnet', 'gluoncv')(_until_imported(distutils_version))


@after('gluoncv.utils.version')
def gluoncv_check_version(module):
    """Provide distutils to gluoncv.utils.check_version, which imports it when it is called."""
    module.check_version = distutils_version()(module.check_version)


@after('gluoncv.check')
def gluoncv_require_version(module):
    """Provide distutils to Gluon-CV's check of MXNet's version."""
    module._require_mxnet_version = distutils_version()(module._require_mxnet_version)


@after('mxnet.gluon.data.dataloader')
def workers_fork(module):
    """Make the workers of MXNet's DataLoader fork, as they inherit the data set in this way. Since
    Python 3.14, multiprocessing does not fork by default. Other processes are not changed."""
    multiprocessing = module.multiprocessing
    if sys.platform == 'linux' and sys.version_info >= (3, 14):
        fork = multiprocessing.get_context('fork')
        module.multiprocessing = view(multiprocessing, Pool=fork.Pool, Process=fork.Process,
                                      get_context=lambda method=None: fork)


def view(module, **names):
    """Return a new module that has the names of another one, and these names in addition."""
    seen = types.ModuleType(module.__name__, module.__doc__)
    vars(seen).update(vars(module), **names)
    seen.__getattr__ = lambda name: getattr(module, name)       # for submodules imported later
    return seen


def signature(function):
    """Return inspect.signature(function), with annotations as texts. Since Python 3.14, their names
    are looked up only at this call, and names that only type checkers know would raise NameError.
    """
    if sys.version_info < (3, 14):
        return inspect.signature(function)
    import annotationlib
    return inspect.signature(function, annotation_format=annotationlib.Format.STRING)


# --- NumPy, for MXNet

def old_names(numpy):
    """Return {name: value} for the names that MXNet 1.9.1 reads from numpy and that NumPy 1.24 to
    2.5 have removed."""
    def gone(name):
        def function(*args, **kwargs):
            raise AttributeError(f'NumPy {numpy.__version__} has no {name}')
        function.__name__ = name
        return function

    names = {
        'bool': numpy.bool_, 'int': int, 'Inf': numpy.inf, 'PINF': numpy.inf, 'NINF': -numpy.inf,
        'PZERO': 0.0, 'NZERO': -0.0, 'NAN': numpy.nan, 'NaN': numpy.nan,
        'alltrue': numpy.all, 'sometrue': numpy.any, 'product': numpy.prod,
        'cumproduct': numpy.cumprod, 'round_': numpy.round,
        'in1d': lambda ar1, ar2, **kwargs: numpy.isin(numpy.ravel(ar1), ar2, **kwargs),
        'msort': lambda a: numpy.sort(a, axis=0),
        'trapz': getattr(numpy, 'trapezoid', None),
        **{name: gone(name) for name in ('mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate')},
    }
    with warnings.catch_warnings():
        warnings.simplefilter('error')          # a deprecated name counts as removed
        names = {name: value for name, value in names.items() if not hasattr_quietly(numpy, name)}
    if release(numpy) >= (2, 0):                # numpy.core is there, but its names are deprecated
        names.update(core=numpy._core, compat=types.SimpleNamespace(basestring=(str, bytes)))
    return names


def hasattr_quietly(module, name):
    """Return whether a module has a name and does not warn about it."""
    try:
        getattr(module, name)
    except (AttributeError, Warning):
        return False
    return True


@before('mxnet')
def numpy_names(module):
    """Add the old names to numpy itself while MXNet is imported, as its modules read them then."""
    try:
        import numpy
    except ImportError:
        return None             # MXNet will raise the error
    names = {name: value for name, value in old_names(numpy).items() if name not in vars(numpy)}
    vars(numpy).update(names)

    def undo():
        for name in names:
            delattr(numpy, name)
    return undo


@after('mxnet.*')
def numpy_view(module):
    """Give MXNet's modules a numpy of their own with the old names, as they read some of them when
    functions are called."""
    for name in ('_np', '_numpy', 'np', 'onp', 'numpy'):
        numpy = vars(module).get(name)
        if numpy and numpy is sys.modules.get('numpy'):
            setattr(module, name, _numpy_with_old_names(numpy))


@functools.lru_cache(maxsize=None)
def _numpy_with_old_names(numpy):
    return view(numpy, **old_names(numpy))


@after('mxnet.ndarray.utils', 'mxnet.ndarray.sparse')
def scipys_csr_matrix(module):
    """Provide scipy.sparse.csr to MXNet, which compares types with scipy.sparse.csr.csr_matrix.
    That module is deprecated, and SciPy 2 removes it."""
    for name in 'spsp', 'sp':
        sparse = vars(module).get(name)
        if isinstance(sparse, types.ModuleType):
            setattr(module, name, view(sparse, csr=types.SimpleNamespace(
                csr_matrix=sparse.csr_matrix)))


CORE = 'OPENBLAS_CORETYPE'      # the CPU whose kernels OpenBLAS uses, read when it is loaded
OLDEST_CORE, AVX2_CORE = 'Prescott', 'Haswell'


def load_openblas(path, core):
    """Load an OpenBLAS with its kernels for a CPU. Raises OSError if it cannot be loaded."""
    os.environ[CORE] = core
    try:
        return ctypes.CDLL(path)
    finally:
        del os.environ[CORE]


def cpu_flags():
    """Return the names of what the CPU can do, as Linux has them; an empty set on arm64."""
    try:
        with open('/proc/cpuinfo') as lines:
            return set(next((line for line in lines if line.startswith('flags')), '').split())
    except OSError:
        return set()


@lasting('mxnet', when=before)
def products_suit_the_cpu(mxnet):
    """MXNet's OpenBLAS is of 2020. On a CPU that it does not know it uses kernels without AVX. If
    the CPU has AVX2 and FMA, it is loaded with its kernels for these, which are more than twice as
    fast. Where OPENBLAS_CORETYPE is set, that counts."""
    path = os.path.join(os.path.dirname(mxnet.__spec__.origin), 'libopenblas.so.0')
    if CORE in os.environ or not {'avx2', 'fma'} <= cpu_flags() or not os.path.exists(path):
        return
    try:
        library = ctypes.CDLL(path)
        library.openblas_get_corename.restype = ctypes.c_char_p
        found = library.openblas_get_corename().decode()
    except (OSError, AttributeError):
        return                      # MXNet will raise the error, or this is another OpenBLAS
    if found != OLDEST_CORE:
        return
    _ctypes.dlclose(library._handle)
    load_openblas(path, AVX2_CORE)  # it stays loaded, and libmxnet.so finds it by its name


@lasting('mxnet')
def numbers_print_as_before(mxnet):
    """NumPy 2 prints 1.0 as np.float32(1.0). The book prints 1.0, and MXNet passes tuples of
    numbers to its operators as the text that Python prints. NumPy's default is changed, so that
    this is so in every thread."""
    import numpy

    if release(numpy) >= (2, 1):
        from numpy._core.printoptions import default_format_options_dict, format_options

        for options in default_format_options_dict, format_options.get():
            options['legacy'] = 125
    elif release(numpy) >= (2, 0):
        numpy.set_printoptions(legacy='1.25')


@after('mxnet.metric')
def metrics_in_float64(metric):
    """Keep the sums of a metric in float64, because 0.0 + np.float32(1) is a float32 in NumPy 2."""
    import numpy

    def double(name):
        def read(self):
            return vars(self)[name]

        def write(self, value):
            if isinstance(value, (float, numpy.floating)):
                value = numpy.float64(value)
            vars(self)[name] = value
        return property(read, write)
    if release(numpy) >= (2, 0):
        metric.EvalMetric.sum_metric = double('sum_metric')
        metric.EvalMetric.global_sum_metric = double('global_sum_metric')


# --- what makes `import mxnet` slow

class OperatorCode:
    """Compiled code of the functions that MXNet writes for its operators, stored in a file.

    The file lies beside the modules that Python has compiled, and is written under the same
    conditions. It begins with a digest of the rest, which is {digest of a source: its code} as
    marshal writes it. A file that is not whole counts as none.
    """
    # MXNet sets __doc__ afterwards, so the text is left out
    DOCUMENTATION = re.compile('    r""".*?"""', re.DOTALL)
    # The address of the operator is another one in each process. The stored code has a number in
    # its place, which `compiled` replaces by the address
    HANDLE = re.compile(r'(?<=\()\d{6,}(?=, )')
    STANDS_FOR_HANDLE = 8_191_919_818_191

    def __init__(self, path):
        self._path, self._code, self._is_new = path, None, False

    def compiled(self, source):
        """Return the code of a source, as `exec` makes it of a text."""
        if self._code is None:
            self._code = self._read()
        source = self.DOCUMENTATION.sub('    ""', source)
        handle = self.HANDLE.search(source)
        source = self.HANDLE.sub(str(self.STANDS_FOR_HANDLE), source)
        key = self._digest(source.encode())
        if key not in self._code:
            self._code[key], self._is_new = compile(source, '<string>', 'exec'), True
        code = self._code[key]
        return code.replace(co_consts=tuple(
            each.replace(co_consts=tuple(
                int(handle[0]) if constant == self.STANDS_FOR_HANDLE else constant
                for constant in each.co_consts)) if isinstance(each, types.CodeType) else each
            for each in code.co_consts))

    def _read(self):
        try:
            with open(self._path, 'rb') as file:
                digest, content = file.read(16), file.read()
        except OSError:
            return {}
        return marshal.loads(content) if digest == self._digest(content) else {}

    @staticmethod
    def _digest(content):
        return hashlib.blake2b(importlib.util.MAGIC_NUMBER + content, digest_size=16).digest()

    def write(self):
        """Write the file if there is new code, and free the memory."""
        if self._is_new and not sys.dont_write_bytecode:
            content, own = marshal.dumps(self._code), f'{self._path}.{os.getpid()}'
            try:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                with open(own, 'wb') as file:
                    file.write(self._digest(content) + content)
                os.replace(own, self._path)
            except OSError:         # such as a folder that cannot be written to
                with suppress(OSError):
                    os.remove(own)
        self._code, self._is_new = None, False


OPERATORS = OperatorCode(importlib.util.cache_from_source(
    os.path.join(os.path.dirname(__file__), 'd2l_operators.py')))


@lasting('mxnet.ndarray.register', 'mxnet.symbol.register', when=before)
def operators_are_compiled_once(module):
    """When MXNet is imported, it writes the source of a function for each operator, 2,800 in all,
    and compiles them, which takes almost a third of the time. Their code is stored in __pycache__,
    where Python stores that of this module."""
    module.exec = lambda source, globals_, variables: exec(
        OPERATORS.compiled(source), vars(module), variables)


@after('mxnet')
def operators_are_stored(mxnet):
    """Write the code of MXNet's functions to the file, if there is new code."""
    for name in 'ndarray', 'symbol':
        vars(sys.modules.get(f'mxnet.{name}.register', mxnet)).pop('exec', None)
    OPERATORS.write()


@lasting('mxnet.contrib.quantization', 'mxnet.test_utils', when=before)
def scipy_stats_waits(module):
    """MXNet imports scipy.stats, for the calibration of quantized nets and for tests. Now it is
    imported when these use it."""
    name = 'scipy.stats'
    if name in sys.modules or importlib.util.find_spec('scipy') is None:
        return None
    stats = sys.modules[name] = types.ModuleType(name)
    stats.__getattr__ = lambda attribute: getattr(importlib.import_module(name), attribute)
    return lambda: sys.modules.pop(name)


# --- NumPy, pandas, matplotlib and IPython, for listings

@lasting('numpy')
def eigenvalues_are_real(numpy):
    """17.2: eig and eigvals return a tuple, and real numbers if all eigenvalues are real. They
    return a named tuple since NumPy 2.0, and always complex numbers since 2.5. Changed only for
    code that a reader types."""
    def real(values, *vectors):
        if values.dtype.kind == 'c' and not values.imag.any():
            return (values.real, *(array.real for array in vectors))
        return (values, *vectors)

    eig, eigvals = numpy.linalg.eig, numpy.linalg.eigvals
    if release(numpy) < (2, 0):
        return

    @functools.wraps(eig)
    def real_eig(a):
        found = eig(a)
        return (found if numpy.iscomplexobj(a) else real(*found)) if typed() else found

    @functools.wraps(eigvals)
    def real_eigvals(a):
        found = eigvals(a)
        return real(found)[0] if typed() and not numpy.iscomplexobj(a) else found
    numpy.linalg.eig, numpy.linalg.eigvals = real_eig, real_eigvals


@lasting('pandas')
def pandas_reads_as_before(pandas):
    """15.2: read_csv takes sep as its second argument. 4.10: the word None is read as a text (only
    for code that a reader types); since pandas 2 it is a missing value."""
    read_csv = pandas.read_csv
    if release(pandas) < (2, 0):
        return

    @functools.wraps(read_csv)
    def read(path, *sep, **kwargs):
        kwargs.update(zip(('sep',), sep))
        if typed() and not {'na_values', 'keep_default_na'} & kwargs.keys():
            from pandas._libs.parsers import STR_NA_VALUES

            kwargs.update(keep_default_na=False, na_values=sorted(STR_NA_VALUES - {'None'}))
        return read_csv(path, *sep[1:], **kwargs)
    pandas.read_csv = read


@lasting('pandas')
def dummies_are_numbers(pandas):
    """2.2, 4.10: get_dummies returns 0 and 1; since pandas 2 it returns bool. Changed only for code
    that a reader types."""
    get_dummies = pandas.get_dummies
    if release(pandas) < (2, 0):
        return

    @functools.wraps(get_dummies)
    def dummies(data, *args, **kwargs):
        if typed() and 'dtype' not in kwargs and len(args) < 7:
            kwargs['dtype'] = 'uint8'
        return get_dummies(data, *args, **kwargs)
    pandas.get_dummies = dummies


@lasting('pandas')
def means_of_numbers(pandas):
    """2.2: the mean of a table with texts is the mean of its columns of numbers. pandas 1.5 warns
    of it, and pandas 2 raises TypeError."""
    mean = pandas.DataFrame.mean

    @functools.wraps(mean)
    def quiet_mean(self, *args, **kwargs):
        with warnings.catch_warnings():
            if typed():         # the warning announces the change that this function undoes
                warnings.filterwarnings('ignore', '.*numeric_only', FutureWarning)
            return mean(self, *args, **kwargs)
    if release(pandas) < (2, 0):
        pandas.DataFrame.mean = quiet_mean
        return

    @functools.wraps(mean)
    def numeric_mean(self, *args, **kwargs):
        try:
            return mean(self, *args, **kwargs)
        except TypeError:
            if args or 'numeric_only' in kwargs:
                raise
            return mean(self, numeric_only=True, **kwargs)
    pandas.DataFrame.mean = numeric_mean


@lasting('d2l.book')
def words_are_objects(book):
    """4.10: columns of texts have the dtype object; since pandas 3 they have str."""
    import pandas

    if release(pandas) >= (3, 0):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')             # deprecated, as pandas 4 drops it
            pandas.set_option('future.infer_string', False)


@lasting('matplotlib.pyplot')
def stem_takes_its_old_argument(pyplot):
    """17.6: stem accepts use_line_collection=True, which matplotlib 3.8 has removed, as it always
    does this."""
    stem = pyplot.stem

    @functools.wraps(stem)
    def old_stem(*args, **kwargs):
        kwargs.pop('use_line_collection', None)
        return stem(*args, **kwargs)
    pyplot.stem = old_stem


@lasting('IPython.display')
def display_sets_formats(display):
    """2.4: display.set_matplotlib_formats, which IPython 7.23 to 8 deprecate, and IPython 9 has
    removed."""
    def set_matplotlib_formats(*formats, **kwargs):
        """Set the formats of a notebook's figures, such as 'svg'."""
        from matplotlib_inline import backend_inline

        backend_inline.set_matplotlib_formats(*formats, **kwargs)
    display.set_matplotlib_formats = set_matplotlib_formats


@before('d2l', 'd2l.book')
def pypis_d2l(module):
    """Warn if PyPI's d2l, another package, is installed beside this one, or has overwritten it. In
    that case there is no d2l.book."""
    import d2l_mxnet

    folder = os.path.dirname(module.__spec__.origin or '')
    ours = os.path.exists(os.path.join(folder, 'book.py'))
    said = d2l_mxnet.namesake() if ours == (module.__name__ == 'd2l.book') else None
    if said:
        warnings.warn(said, RuntimeWarning, stacklevel=2)


# --- MXNet's arrays, for listings

@lasting('mxnet')
def arrays_compare_across_types(mxnet):
    """3.6, 13.7, 13.13: MXNet raises an error when arrays of int64 and float32 are compared. They
    are converted to a common dtype first, as in NumPy."""
    import numpy
    from mxnet.ndarray.numpy import _op

    def promoting(compare):
        @functools.wraps(compare)
        def call(x1, x2, out=None):
            if isinstance(x1, mxnet.np.ndarray) and isinstance(x2, mxnet.np.ndarray) \
                    and x1.dtype != x2.dtype:
                common = numpy.result_type(x1.dtype, x2.dtype)
                common = 'int32' if common == 'int16' else common       # MXNet has no int16
                x1, x2 = x1.astype(common, copy=False), x2.astype(common, copy=False)
            return compare(x1, x2, out=out)
        return call
    for name in ('equal', 'not_equal', 'less', 'less_equal', 'greater', 'greater_equal'):
        compare = promoting(getattr(_op, name))
        for module in _op, mxnet.ndarray.numpy:
            setattr(module, name, compare)


@lasting('mxnet')
def shuffle_returns_its_array(mxnet):
    """4.4: features = np.random.shuffle(...). MXNet's shuffle works in place and returns None; now
    it returns the array."""
    shuffle = mxnet.np.random.shuffle

    @functools.wraps(shuffle)
    def returning(x):
        shuffle(x)
        return x
    mxnet.np.random.shuffle = returning


@lasting('mxnet')
def arrays_become_numpys(mxnet):
    """11.1, 11.2, 11.3, 17.4, 17.5: numpy.asarray of an MXNet array returns an array of its values.
    Without the repair it returns an array of arrays."""
    def __array__(self, dtype=None, copy=None):
        return self.asnumpy() if dtype is None else self.asnumpy().astype(dtype, copy=False)
    mxnet.np.ndarray.__array__ = __array__


@lasting('matplotlib.axes._axes', 'mpl_toolkits.mplot3d.axes3d')
def figures_take_arrays(module):
    """11.1, 11.2, 11.3, 17.4, 17.5: matplotlib's Axes get NumPy arrays in place of MXNet's, as
    matplotlib calls functions of NumPy that MXNet's arrays do not support."""
    def plain(value):
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return type(value)(map(plain, value))
        return value.asnumpy() if isinstance(value, sys.modules['mxnet'].np.ndarray) else value

    def with_numpys(method):
        @functools.wraps(method)
        def call(self, *args, **kwargs):
            if hasattr(sys.modules.get('mxnet'), 'np'):
                args, kwargs = map(plain, args), {key: plain(kwargs[key]) for key in kwargs}
            return method(self, *args, **kwargs)
        return call

    axes = getattr(module, 'Axes3D', None) or module.Axes
    for name in dir(axes):
        method = getattr(axes, name)
        if isinstance(method, types.FunctionType) and (
                name in vars(axes) and name[0] != '_' or name.startswith('set_')):
            setattr(axes, name, with_numpys(method))


NO_SET_NP = 'Say npx.set_np() after the imports (from mxnet import npx), as the book does.'
# (pattern of an error message of MXNet, whether it counts only without set_np(), the cure)
CURES = [
    ('GPU is not enabled|is not implemented for GPU|invalid device ordinal', False,
     'There is no such GPU here, and python -m d2l.device says why: d2l.try_gpu() gives the CPU '
     'then, and d2l.device.stand_in(2) lets CPU contexts stand for two GPUs, gpu(0) and gpu(1).'),
    ('inferring shapes failed|can only accept legacy ndarrays', True, NO_SET_NP),
    ('there must be one NDArray or one Symbol in the input', False,
     'The input is no array of MXNet: np.array(X), with `from mxnet import np`, makes one of it.'),
    ('cannot save mxnet.numpy.ndarray using mxnet.ndarray.save', False,
     'net.save_parameters(path) saves parameters, and net.load_parameters(path) reads them.'),
    ('could not execute a primitive', False,
     'A Conv2DTranspose, or another Deconvolution, whose weight learns can be used once under one '
     'record(), not with a weight that is computed, nor in autograd.grad: call it once, with the '
     'inputs concatenated, or call backward after each call, with grad_req \'add\'; in float64 all '
     'of it works.'),
    ("Imread: Check failed: file.is_open", False,
     'The path starts from the working folder, os.getcwd(); the pictures of the book are shipped '
     'as '
     "'../img/cat1.jpg' and the like, and found after `import d2l`."),
]


def cured(said):
    """Return an error message of MXNet, with a last line that names the cure if one is known."""
    from mxnet.util import is_np_array

    for pattern, legacy, cure in CURES:
        if re.search(pattern, said) and not (legacy and is_np_array()):
            return f'{said.rstrip()}\nd2l: {cure}'
    return said


@lasting('mxnet')
def errors_say_the_cure(mxnet):
    """Error messages of MXNet end with a line "d2l: ..." that names the cure, if it is known, as
    for a missing npx.set_np(), a missing GPU, or an array of NumPy."""
    def saying(kind):
        class Cured(kind):
            def __new__(cls, said='', *more):
                return kind(cured(said) if isinstance(said, str) else said, *more)
        return Cured

    last_error = mxnet.base.get_last_ffi_error

    @functools.wraps(last_error)
    def get_last_ffi_error():
        error = last_error()
        said = error.args[0] if error.args and isinstance(error.args[0], str) else None
        if said:
            error.args = (cured(said), *error.args[1:])
        return error
    for name in 'mxnet.base', 'mxnet._ffi._ctypes.function':
        if hasattr(sys.modules.get(name), 'get_last_ffi_error'):
            sys.modules[name].get_last_ffi_error = get_last_ffi_error
    # These modules raise the exceptions. None of them catches one, except in the deprecated
    # save_params
    mxnet.gluon.block.ValueError = saying(ValueError)
    mxnet.ndarray.register.TypeError = mxnet.ndarray.utils.TypeError = saying(TypeError)


@lasting('mxnet.contrib.text.embedding')
def word_vectors_come_through_the_hub(embedding):
    """14.7 never imports d2l. The first fetch of word vectors does, so that they are verified, or
    sample data."""
    owner, name = embedding._TokenEmbedding, '_get_pretrained_file'
    own = vars(owner)[name]

    def first(cls, embedding_root, pretrained_file_name):
        setattr(owner, name, own)
        imported = 'd2l.data' in sys.modules
        # Importing d2l.data replaces these methods of GloVe and FastText. This module must not have
        # an import statement for d2l, which depends on it
        importlib.import_module('d2l.data')
        get = own.__get__(None, cls) if imported else getattr(cls, name)
        return get(embedding_root, pretrained_file_name)
    if 'd2l.data' not in sys.modules:
        setattr(owner, name, classmethod(first))


@lasting('d2l.book')
def np_semantics_are_on(book):
    """3.1 never calls npx.set_np(), which all of d2l needs. After `import d2l` np semantics are on
    in every thread. (If a thread turns them off for a while, np shapes are off in all threads.)"""
    import ctypes
    import threading

    import mxnet
    from mxnet import base, util

    class Current(threading.local):
        value = util._NumpyArrayScope(True)

    set_np_shape = util.set_np_shape

    @functools.wraps(set_np_shape)
    def in_every_thread(active):
        was = set_np_shape(active)
        if active:
            base.check_call(base._LIB.MXSetIsNumpyShape(2, ctypes.byref(ctypes.c_int())))
        return was
    util._NumpyArrayScope._current = Current()
    util.set_np_shape = mxnet.set_np_shape = in_every_thread
    in_every_thread(True)
