"""Values taken apart: the arrays in nested containers and objects, and the structure around them.

    tree = Tree()
    structure = tree.flatten(value)     # hashable; equal for values that Python cannot tell apart
    value = unflatten(structure, iter(tree.arrays))

A structure has types, lengths, keys, and immutable values by type and value, so that 1, 1.0 and
True differ, and 0.0 and -0.0. It has functions, classes, modules and Blocks by identity. If an
array or a container occurs again, the structure refers to its first occurrence. `tree.nodes` are
the containers that can change in place, in the order of their first occurrence.
"""
import argparse
import array
import collections
import collections.abc
import contextlib
import ctypes
import datetime
import decimal
import enum
import fractions
import functools
import gc
import io
import os
import pathlib
import pkgutil
import random
import re
import sys
import sysconfig
import threading
import types
import uuid
import weakref

import mxnet
import numpy
from mxnet import gluon
from mxnet.gluon.parameter import Parameter
from mxnet.ndarray import NDArray

ARRAY = '*'                                     # in a structure: the next array of the tree
# The first items of other structures: (STATIC, type, value), (BY, function, argument from which it
# makes the value), (IS, object), (AGAIN, index of an array), (NODE, index of a node),
# (ITERATOR, type, None, ...)
STATIC, BY, IS, AGAIN, NODE, ITERATOR = '=', 'by', 'is', 'again', 'node', 'iterator'
MAX_VALUES = 20_000         # values that one attribute, global or argument may hold
MAX_ARRAY_BYTES = 1 << 22   # size of the largest NumPy array that is compared
HEAP_TYPE = 1 << 9          # Py_TPFLAGS_HEAPTYPE
BY_NAME = {'format', 'format_map', '__getattribute__', '__getattr__'}   # methods that take names
_ITERATORS = collections.abc.Iterator, collections.abc.Coroutine, collections.abc.AsyncIterator
_CALLING = type(iter(int, 1))
_VIEWS = tuple(type(getattr(kind(), name)()) for kind in (dict, collections.OrderedDict)
               for name in ('keys', 'values', 'items'))
MAX_ATTRIBUTES = 100        # in larger objects, only the attributes that the code names are guarded
_ATOMS = (bool, int, str, bytes, type(None), type(...), type(NotImplemented), range, numpy.dtype,
          mxnet.Context, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
          fractions.Fraction, pathlib.PurePath, uuid.UUID)
# classes of the standard library whose instances are compared by what they hold
_OPENED = (types.SimpleNamespace, argparse.Namespace, collections.ChainMap, collections.UserDict,
           collections.UserList, collections.UserString, collections.abc.MappingView,
           contextlib.nullcontext, threading.local, weakref.WeakSet,
           weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
# the same, of modules that need not be imported for it
_OPENED_BY_NAME = {('configparser', 'RawConfigParser'), ('email.message', 'Message'),
                   ('optparse', 'Values'), ('multiprocessing.sharedctypes', 'SynchronizedBase')}
_GENERATORS = (random.Random, numpy.random.Generator, numpy.random.RandomState,
               numpy.random.BitGenerator, numpy.random.SeedSequence)
_C = ctypes.c_int.__base__, ctypes.Array, ctypes.Structure, ctypes.Union


def _standard_library():
    """Return the names of the modules of Python's standard library."""
    if sys.version_info >= (3, 10):
        return sys.stdlib_module_names
    folder = sysconfig.get_path('stdlib')
    return {*sys.builtin_module_names, *(module.name for module in pkgutil.iter_modules(
        [folder, os.path.join(folder, 'lib-dynload')]))}


_LIBRARIES = {'mxnet', 'numpy', *_standard_library()}


class CannotHold(TypeError):
    """An error: a value is too large to be compared at each call."""


class Is:
    """Wraps an object so that it is compared by identity, whatever its `__eq__` says."""
    __slots__ = ('value',)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Is and other.value is self.value

    def __hash__(self):
        return id(self.value)

    def __repr__(self):
        return repr(self.value)


class Tree:
    """The arrays and nodes of values that are flattened one after another.

    apart: treat an array that occurs again as another array
    keep: also store what each node holds (`contents`), the objects that are in the structures by
        identity (`met`), and the state of random generators, iterators and files (`stateful`)
    """

    def __init__(self, keep=False, apart=False):
        self.apart = apart
        self.arrays, self.nodes, self.kinds, self.seen = [], [], [], {}
        self.keep, self.contents, self.met, self.stateful = keep, [], [], []
        self.check = None       # function called with each value that is compared by identity
        self.weak = []          # objects found through weak references and proxies only
        self._left = MAX_VALUES
        self._in_objects = 0    # number of objects in whose attributes it is, which may be unread

    def flatten(self, value):
        """Return the structure of a value, and append its arrays and nodes to those of the tree."""
        self._left, self._in_objects = MAX_VALUES, 0
        try:
            return self._flatten(value)
        except RecursionError:
            raise CannotHold('values nested too deeply') from None

    def _flatten(self, value):
        kind = type(value)
        return (_METHODS.get(id(kind)) or method_of(kind))(self, value)

    def _children(self, values):
        self._left -= len(values)
        if self._left < 0:
            raise CannotHold(f'more than {MAX_VALUES:,} values')
        return [self._flatten(v) for v in values]

    def _array(self, value):
        again = self.seen.get(id(value))
        if again is None or self.apart:
            self.seen[id(value)] = AGAIN, len(self.arrays)
            self.arrays.append(value)
            return ARRAY
        return again

    def _static(self, value):
        return STATIC, type(value), value

    def _subclass(self, value):
        """Flatten a value of a class derived from int or str or the like, which may have attributes
        of its own."""
        if self.keep:
            self._identity(type(value))
        return (_Tuple, type(value), (STATIC, type(value), value),
                *map(self._flatten, _extra(value)))

    def _float(self, value):            # hex: all nan are equal, 0.0 and -0.0 differ
        return BY, _float, value.hex()

    def _complex(self, value):
        return BY, _complex, (value.real.hex(), value.imag.hex())

    def _scalar(self, value):           # a NumPy scalar
        return BY, _numpy_scalar, (value.dtype, value.tobytes())

    def _text(self, value):
        return BY, type(value), str(value)

    def _identity(self, value):
        if self.check is not None:
            self.check(value)
        if self.keep and id(value) not in self.seen:
            self.seen[id(value)] = IS, Is(value)
            self.met.append(value)
        return IS, Is(value)

    def _stateful(self, value):
        if self.keep and id(value) not in self.seen:
            before = state(value)
            if before is None and isinstance(value, _ITERATORS) and not self._in_objects \
                    and type(value) is not types.GeneratorType:     # None: it has ended
                raise CannotHold(f'a {type(value).__name__}, whose state cannot be compared')
            self.stateful.append((value, before))
        return self._identity(value)

    def _iterator(self, value):
        # what the function has given is not in it
        if self.keep and type(value) is _CALLING and not self._in_objects:
            raise CannotHold('an iterator that calls a function')
        if self.check is not None:
            self.check(value)
        if self.keep:
            self.stateful.append((value, state(value)))
        return (ITERATOR, type(value), None, *self._children(value.__reduce__()[1:]))

    def _tuple(self, value):
        if self.keep and type(value) is not tuple:
            self._identity(type(value))
        return (_Tuple, type(value), None, *self._children(value))

    def _parts(self, kind, value):
        """Flatten an immutable value that has several parts, such as a slice."""
        parts = kind.take(value)[1]
        if self.keep and not is_librarys(type(value)):
            self._identity(type(value))
        if kind is _Proxy and type(value) is not types.MappingProxyType:
            self.weak += [part for part in parts if id(part) not in self.seen]
        return (kind, type(value), None, *self._children(parts))

    def _builtin(self, value):
        """Flatten a built-in function: by identity, or as a method of a value."""
        owner = getattr(value, '__self__', None)
        if owner is None or isinstance(owner, (type, types.ModuleType)):
            return self._identity(value)
        if self.keep and value.__name__ in BY_NAME:
            self.met.append(value)
        return self._parts(_BuiltinMethod, value)

    def _node(self, kind, value):
        again = self.seen.get(id(value))
        if again is not None:
            return again
        if kind is _Object and len(
                getattr(value, '__dict__', ())) > MAX_ATTRIBUTES or is_module(value):
            return self._identity(value)
        if kind is _Foreign and self.check is not None:
            self.check(value)           # results cannot have new ones
        self.seen[id(value)] = NODE, len(self.nodes)
        self.nodes.append(value)
        self.kinds.append(kind)
        meta, children = kind.take(value)
        if self.keep:
            self.contents.append((kind, meta, children))
            self._identity(type(value))
        self._in_objects += kind is _Object
        found = kind, type(value), meta, *self._children(children)
        self._in_objects -= kind is _Object
        return found


# ---- kinds of values. take(value) returns (meta, children): its hashable properties and its parts.
# From these, `make` makes an immutable value; for a mutable one, `new` makes an empty value, which
# `fill` fills. `fast`: how guards.State notices quickly that a node has changed

def _extra(value):
    """Return [the dict with the attributes] of an instance of a class derived from a container, or
    [] if it has no such dict."""
    extra = getattr(value, '__dict__', value)
    return [extra] if extra is not value else []


class _Tuple:
    """A tuple, a named tuple, or a value of a class derived from int or the like, with attributes.
    """

    def make(kind, meta, children):
        return meta[2] if meta else getattr(kind, '_make', kind)(children)


class _Slice:
    """A slice."""

    def take(value):
        return None, (value.start, value.stop, value.step)

    def make(kind, meta, children):
        return slice(*children)


class _Frozen:
    """A frozenset."""

    def take(value):
        return None, list(value)

    def make(kind, meta, children):
        return kind(children)


class _OwnFrozen:
    """A frozenset of a class of the user's, with the attributes that it may have."""

    def take(value):
        return None, (frozenset(value), *_extra(value))

    def make(kind, meta, children):
        made = kind(children[0])
        for extra in children[1:]:
            vars(made).update(extra)
        return made


class _Method:
    """A method of an object."""

    def take(value):
        return None, (value.__func__, value.__self__)

    def make(kind, meta, children):
        return types.MethodType(*children)


class _BuiltinMethod:
    """A method of a built-in object, such as `table.get`."""

    def take(value):
        return None, (value.__name__, value.__self__)

    def make(kind, meta, children):
        name, owner = children
        return getattr(owner, name)


class _Partial:
    """A functools.partial."""

    def take(value):
        return None, (value.func, value.args, value.keywords, *_extra(value))

    def make(kind, meta, children):
        made = kind(children[0], *children[1], **children[2])
        for extra in children[3:]:
            vars(made).update(extra)
        return made


class _Proxy:
    """A value that gives access to another one: a weak reference or proxy, or a dict that is read
    only."""

    def take(value):
        if type(value) is types.MappingProxyType:       # isinstance would see a proxy's target
            return None, (gc.get_referents(value)[0],)
        if issubclass(type(value), weakref.ref):
            return None, (value(),)
        try:
            return None, (value.__reduce_ex__.__self__,)    # a method of the proxy's target
        except ReferenceError:
            return None, (None,)

    def make(kind, meta, children):
        return types.MappingProxyType(children[0]) if kind is types.MappingProxyType else (
            weakref.ref if issubclass(kind, weakref.ref) else weakref.proxy)(children[0])


class _View:
    """A view of a dict: its keys, its values or its items."""

    def take(value):
        return None, (gc.get_referents(value)[0],)

    def make(kind, meta, children):
        return getattr(children[0], kind.__name__.rpartition('_')[2])()


class _List:
    fast = 'sequences'

    def take(value):
        extra = _extra(value)
        return (len(value), None), [*value, *extra]

    def new(kind, meta):
        return kind.__new__(kind)

    def fill(value, meta, children):
        value[:] = children[:meta[0]]
        for extra in children[meta[0]:]:
            vars(value).update(extra)


class _Deque:
    fast = 'sequences'

    def take(value):
        return (len(value), value.maxlen), [*value, *_extra(value)]

    def new(kind, meta):
        return kind(maxlen=meta[1])

    def fill(value, meta, children):
        value.clear()
        value.extend(children[:meta[0]])
        for extra in children[meta[0]:]:
            vars(value).update(extra)


class _Set:
    fast = 'copies'

    def take(value):
        return (len(value), None), [*value, *_extra(value)]

    def new(kind, meta):
        return kind.__new__(kind)

    def fill(value, meta, children):
        value.clear()
        value.update(children[:meta[0]])
        for extra in children[meta[0]:]:
            vars(value).update(extra)


class _Dict:
    fast = 'dicts'

    def take(value):
        items = _DICTS[isinstance(value, collections.OrderedDict)].items(value)
        makes = isinstance(value, collections.defaultdict)
        factory = [value.default_factory] if makes else []
        return (len(value), makes), [*(k for k, _ in items), *(v for _, v in items), *factory,
                                     *_extra(value)]

    def new(kind, meta):
        return kind.__new__(kind)

    def fill(value, meta, children):
        (size, makes), base = meta, _DICTS[isinstance(value, collections.OrderedDict)]
        if makes:
            value.default_factory = children[2 * size]
        base.clear(value)
        for key, child in zip(children[:size], children[size:2 * size]):
            base.__setitem__(value, key, child)
        for extra in children[2 * size + makes:]:
            vars(value).update(extra)


class _Object:
    """An instance of a Python class, with its attributes, including those in `__slots__`."""
    fast = 'objects'

    def take(value):
        held = dict(getattr(value, '__dict__', None) or ())
        held.update((name, getattr(value, name)) for name in slots(type(value))
                    if hasattr(value, name))
        return tuple(held), list(held.values())

    def new(kind, meta):
        try:
            return object.__new__(kind)
        except TypeError:
            return kind.__new__(kind)

    def fill(value, meta, children):
        known = slots(type(value))
        for name in [n for n in (*getattr(value, '__dict__', ()), *known)
                     if n not in meta and hasattr(value, n)]:
            object.__delattr__(value, name)
        for name, child in zip(meta, children):
            if name in known:
                object.__setattr__(value, name, child)
            else:
                vars(value)[name] = child


class _NumpyArray:
    """A NumPy array, by its bytes, or by its elements if its dtype is object."""
    fast = 'copies'

    def take(value):
        if value.nbytes > MAX_ARRAY_BYTES:
            raise CannotHold(f'a NumPy array of {value.nbytes:,} bytes')
        if value.dtype.hasobject:
            return (value.shape, value.dtype, None), [*value.ravel().tolist(), *_extra(value)]
        return (value.shape, value.dtype, value.tobytes()), _extra(value)

    def new(kind, meta):
        return numpy.empty(meta[0], meta[1]).view(kind)

    def fill(value, meta, children):
        shape, dtype, content = meta
        size = value.size if content is None else 0
        value[...] = numpy.frombuffer(content, dtype).reshape(shape) if content is not None else \
            numpy.array([*children[:size], None], dtype)[:-1].reshape(shape)
        for extra in children[size:]:
            vars(value).update(extra)


class _Foreign:
    """An array of another library, such as a Series of pandas or a tensor of PyTorch, by its
    values, which may change in place, and the labels of pandas; of a class of the user's, with its
    attributes. (pandas keeps caches in those of its own.)"""
    fast = 'copies'

    def take(value):
        hook = sys.getprofile()
        sys.setprofile(None)            # what the library reads here is no part of a trace
        try:
            array, named = numpy.asarray(value), _labels(value)
        except (TypeError, ValueError, RuntimeError) as error:      # such as a tensor on a GPU
            raise CannotHold(f'a {type(value).__name__} that NumPy cannot read: {error}') from error
        finally:
            sys.setprofile(hook)
        (shape, dtype, content), children = _NumpyArray.take(array)
        extra = [] if is_installed(type(value)) else _extra(value)
        return (shape, (dtype, named), content), [*children, *extra]

    def new(kind, meta):
        raise TypeError(f'{kind.__name__} of {kind.__module__}')

    def fill(value, meta, children):
        array = numpy.asarray(value)
        size = array.size if meta[2] is None else 0
        _NumpyArray.fill(array, (meta[0], meta[1][0], meta[2]), children[:size])
        for extra in children[size:]:
            vars(value).update(extra)


def _labels(value):
    """Return the names of the rows, columns and so on of an object of pandas, so that equal ones
    are equal, NaN included; None for another object."""
    if not any(base.__module__.partition('.')[0] == 'pandas' for base in type(value).__mro__):
        return None
    axes = getattr(value, 'axes', ())
    dtypes = getattr(value, 'dtypes', None)
    dtypes = [*dtypes] if getattr(dtypes, 'ndim', 0) else [dtypes]
    categories = [getattr(dtype, 'categories', None) for dtype in dtypes]
    found = [repr([dtypes, [each is not None and each.tolist() for each in categories]])]
    for each in axes:
        labels = (each.start, each.stop, each.step) if hasattr(each, 'step') else (
            numpy.asarray(each))
        if isinstance(labels, numpy.ndarray):
            if labels.dtype.hasobject and len(labels) > MAX_VALUES:
                raise CannotHold(f'more than {MAX_VALUES:,} labels')
            labels = repr(labels.tolist()) if labels.dtype.hasobject else labels.tobytes()
        found.append((labels, repr((each.dtype, list(each.names)))))
    return (*found, repr([getattr(value, name, None) for name in ('name', 'names', 'attrs')]))


class _Ctypes:
    """A number, an array or a structure of ctypes."""
    fast = 'copies'

    def take(value):
        return (None, bytes(value)), []

    def new(kind, meta):
        return kind()

    def fill(value, meta, children):
        ctypes.memmove(ctypes.addressof(value), meta[1], len(meta[1]))


class _Bytes:
    """A bytearray, a view of memory, or an array of the standard library."""
    fast = 'copies'

    def take(value):
        return (getattr(value, 'typecode', None), bytes(value)), _extra(value)

    def new(kind, meta):
        return kind(meta[1]) if meta[0] is None else kind(meta[0], meta[1])

    def fill(value, meta, children):
        value[:] = _Bytes.new(type(value), meta)
        for extra in children:
            vars(value).update(extra)


def pairs(kind, before, after):
    """Return pairs (old, new) of what a node held before and holds now at the same index, key or
    attribute. before, after: (meta, children)"""
    (meta, old), (new_meta, new) = before, after
    if kind in (_NumpyArray, _Foreign, _Bytes, _Ctypes):
        return [(meta[-1], new_meta[-1])]
    if kind is _Object:
        old, new = dict(zip(meta, old)), dict(zip(new_meta, new))
    elif kind is _Dict:
        old, new = [dict(zip(held[:size], held[size:2 * size])) for held, (size, _) in (
            (old, meta), (new, new_meta))]
    else:
        return zip(old, new) if kind is not _Set else ()
    return [(old[key], new[key]) for key in old if key in new]


def remember(function):
    """Return a function of a class that stores its results until the class is freed. With lru_cache
    a class would live for ever, and so would all that its methods use."""
    stored = {}         # id of a class -> result

    @functools.wraps(function)
    def remembering(kind):
        key = id(kind)
        if key not in stored:
            stored[key] = function(kind)
            weakref.finalize(kind, stored.pop, key, None).atexit = False
        return stored[key]
    remembering.stored = stored
    return remembering


def is_librarys(kind):
    """Return whether a class belongs to a library, which does not change it."""
    name = kind.__module__      # it may be no text in classes made in C, such as ctypes' metaclass
    if name == 'builtins':      # as it is of a class that exec makes without globals
        return not is_of_python(kind)
    return not isinstance(name, str) or name.partition('.')[0] in _LIBRARIES


def is_of_python(kind):
    """Return whether a class was made while Python ran, and not in C as a constant."""
    return bool(kind.__flags__ & HEAP_TYPE)


@remember
def is_of_c(kind):
    """Return whether a class is written in C: it has no function of Python's."""
    return not any(isinstance(entry, types.FunctionType) for base in kind.__mro__
                   for entry in vars(base).values())


@remember
def is_installed(kind):
    """Return whether a class is of an installed package, and not of the user's own code."""
    file = getattr(sys.modules.get(kind.__module__), '__file__', None) or ''
    return bool(re.search('(site|dist)-packages', file))


@remember
def slots(kind):
    """Return the names in the `__slots__` of a class and of its base classes."""
    found = []
    for base in kind.__mro__:
        names = vars(base).get('__slots__', ())
        for name in [names] if isinstance(names, str) else names:
            found.append(f'_{base.__name__.lstrip("_")}{name}'
                         if name.startswith('__') and not name.endswith('__') else name)
    return [name for name in found if name not in ('__dict__', '__weakref__')]


def state(value):
    """Return the state of a random generator, an iterator or a file, which changes when it is used;
    None if it cannot be told."""
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return value.getstate()
    if isinstance(value, numpy.random.Generator):
        value = value.bit_generator
    if isinstance(value, (numpy.random.RandomState, numpy.random.BitGenerator)):
        return repr(value.get_state() if isinstance(value, numpy.random.RandomState)
                    else value.state)
    if isinstance(value, numpy.random.SeedSequence):
        return value.n_children_spawned
    if isinstance(value, types.GeneratorType):
        return value.gi_frame and (value.gi_frame.f_lasti, Is(value.gi_frame))
    if isinstance(value, io.IOBase):
        return value.closed or value.seekable() and value.tell()
    if not hasattr(value, '__next__') or (
            is_of_c(type(value)) and type(value).__reduce__ is object.__reduce__):
        return None
    try:
        return repr(Tree().flatten(value.__reduce__()[1:]))
    except TypeError:           # an iterator that cannot be pickled, such as one of a C library
        return None


def set_state(value, state):
    """Reset a random generator of Python or a file to an earlier state. Other values stay as they
    are."""
    if isinstance(value, random.Random):
        value.setstate(state)
    elif isinstance(value, io.IOBase) and type(state) is int:
        value.seek(state)


# ---- which method flattens which type

_float, _complex = float.fromhex, lambda parts: complex(*map(float.fromhex, parts))
_DICTS = dict, collections.OrderedDict


def _numpy_scalar(parts):
    return numpy.frombuffer(parts[1], parts[0])[0]


@remember
def method_of(kind):
    """Return the method of Tree that flattens values of this type."""
    def node(of):
        return functools.partial(_call_node, of)

    def parts(of):
        return functools.partial(_call_parts, of)
    # Python 3.9 does not initialize the class of lru_cache's entries, and issubclass crashes on it
    if kind.__mro__ is None:
        return Tree._identity
    if issubclass(kind, NDArray):
        return Tree._array
    if issubclass(kind, (Is, gluon.Block, Parameter, type, enum.Enum, types.ModuleType)):
        return Tree._identity
    if issubclass(kind, numpy.generic):
        return Tree._scalar
    if kind is float:
        return Tree._float
    if kind is complex:
        return Tree._complex
    if issubclass(kind, decimal.Decimal):
        return Tree._text
    if issubclass(kind, _ATOMS) and not issubclass(kind, datetime.tzinfo):
        return Tree._static if is_librarys(kind) else Tree._subclass
    if issubclass(kind, (float, complex)):
        return Tree._subclass
    if issubclass(kind, tuple):
        return Tree._tuple
    for base, how in ((list, node(_List)), (collections.deque, node(_Deque)), (set, node(_Set)),
                      (frozenset, parts(_Frozen if kind is frozenset else _OwnFrozen)),
                      (dict, node(_Dict)),
                      (numpy.ndarray, node(_NumpyArray)), (slice, parts(_Slice)),
                      ((bytearray, memoryview, array.array), node(_Bytes)), (_C, node(_Ctypes)),
                      (_VIEWS, parts(_View)), (types.MethodType, parts(_Method)),
                      (functools.partial, parts(_Partial)),
                      ((types.BuiltinMethodType, types.MethodWrapperType), Tree._builtin),
                      ((types.MappingProxyType, weakref.ref, *weakref.ProxyTypes), parts(_Proxy)),
                      ((*_GENERATORS, io.IOBase, types.GeneratorType, types.CoroutineType,
                        types.AsyncGeneratorType), Tree._stateful)):
        if issubclass(kind, base):
            return how
    library = is_librarys(kind)
    if not library and not slots(kind) and (
            hasattr(kind, '__array__') or hasattr(kind, '__array_interface__')):
        return node(_Foreign)
    if hasattr(kind, '__next__') and library:
        return Tree._iterator if kind.__reduce__ is not object.__reduce__ else Tree._stateful
    if issubclass(kind, _OPENED) or not _OPENED_BY_NAME.isdisjoint(
            (base.__module__, base.__name__) for base in kind.__mro__) or (
            not library and (getattr(kind, '__dictoffset__', 0) or slots(kind))):
        return node(_Object)
    return Tree._identity


_METHODS = method_of.stored


def _call_node(of, tree, value):
    return tree._node(of, value)


def _call_parts(of, tree, value):
    return tree._parts(of, value)


def is_module(value):
    """Return whether a value is the namespace of a module. Of these, only the names that the code
    uses are guarded."""
    return type(value) is dict and '__builtins__' in value and '__name__' in value


def builder(arrays, nodes=()):
    """Return a function that builds the values of structures, one after another.

    arrays: an iterator over their arrays; nodes: the containers that they refer to by index
    """
    seen, made = [], [*nodes]

    def build(structure):
        if structure == ARRAY:
            seen.append(next(arrays))
            return seen[-1]
        what, kind, *rest = structure
        if what == STATIC:
            return rest[0]
        if what == BY:
            return kind(rest[0])
        if what == IS:
            return kind.value
        if what == AGAIN:
            return seen[kind]
        if what == NODE:
            return made[kind]
        if what == ITERATOR:
            raise TypeError(f'a {kind.__name__} cannot be made again')
        meta, *parts = rest
        if not hasattr(what, 'fill'):
            return what.make(kind, meta, [build(part) for part in parts])
        value = what.new(kind, meta)
        made.append(value)              # before its parts are built, as one may refer to it
        what.fill(value, meta, [build(part) for part in parts])
        return value
    build.made = made
    return build


def unflatten(structure, arrays):
    """Return the value with this structure and the arrays that the iterator `arrays` yields."""
    return builder(arrays)(structure)


def of_arrays(number):
    """Return the structure of a call's arguments that are this many arrays and no keywords."""
    return _Tuple, tuple, None, (_Tuple, tuple, None, *[ARRAY] * number), (_Tuple, tuple, None)


def has_no_nodes(structure):
    """Return whether a structure has neither arrays nor nodes. Then the same object always has the
    same structure, so a guard need not flatten it again."""
    if structure is ARRAY:
        return False
    what, *parts = structure
    if what in (STATIC, BY, IS):
        return True
    return what not in (AGAIN, NODE, ITERATOR) and not hasattr(what, 'fill') and all(
        map(has_no_nodes, parts[2:]))
