"""Finds which of Python's state a function reads, by a profile hook while it runs.

The trace itself sees the attributes of Blocks. For all else, the bytecode of each function of the
user's that runs tells which globals, cells and attributes it loads. Calls of built-in functions
show what no graph can repeat: reads of clocks, entropy, files and iterators.
"""
import abc
import collections
import contextvars
import copy
import datetime
import decimal
import dis
import functools
import gc
import importlib
import inspect
import io
import logging
import operator
import os
import queue
import random
import secrets
import sys
import sysconfig
import time
import types
import uuid

import _posixsubprocess
import mxnet
import numpy
from mxnet import gluon, np
from mxnet.ndarray import NDArray
from mxnet.numpy import multiarray

import d2l_compat

from .tree import (
    _GENERATORS, _LIBRARIES, BY_NAME, MAX_ATTRIBUTES, Is, is_librarys, is_module, is_of_c,
    is_of_python, remember)

_HERE = os.path.dirname(os.path.dirname(__file__))
_STANDARD = sysconfig.get_path('stdlib')
_NOT_USERS = tuple(os.path.join(folder, '') for folder in (
    os.path.join(_HERE, 'hybrid'), os.path.join(_HERE, 'onnx'), os.path.join(_HERE, 'rewrite'),
    os.path.join(_HERE, 'patches'),
    os.path.dirname(mxnet.__file__), os.path.dirname(numpy.__file__)))
_NOT_USERS += d2l_compat.__file__, *[
    os.path.join(_HERE, name) for name in ('c_api.py', 'graphs.py', 'vision.py')]
_PACKAGES = tuple({
    *(os.path.join(sysconfig.get_path(name), '') for name in ('purelib', 'platlib')),
    *(os.path.join(_STANDARD, name, '') for name in ('site-packages', 'dist-packages'))})
# Modules whose reads do not matter to results: they log, warn, format source lines and import
_SILENT = {'logging', 'warnings', 'linecache', 'traceback', 'importlib', 'tokenize', 'inspect',
           '_frozen_importlib', '_frozen_importlib_external', 'zipimport'}
_COMPUTE_NAMES = {'getattr', 'vars', 'dir', '__dict__', 'attrgetter', 'methodcaller', 'getmembers',
                  'format', 'format_map', '__match_args__', 'getattr_static'}
# attributes of functions that are in no dict, and functions of the standard library that read them
_OF_FUNCTIONS = {'__code__', '__defaults__', '__kwdefaults__', '__name__', '__qualname__',
                 '__doc__', '__annotations__', '__closure__'}
_SIGNATURES = {'signature', 'getfullargspec', 'getdoc', 'getsource', 'get_annotations',
               'get_type_hints', 'getclosurevars'}
_LOADS = {'LOAD_GLOBAL', 'LOAD_NAME', 'LOAD_FROM_DICT_OR_GLOBALS'}
_STORES = {'STORE_GLOBAL', 'DELETE_GLOBAL'}
_ATTRIBUTES = {'LOAD_ATTR', 'LOAD_METHOD', 'LOAD_SUPER_ATTR', 'STORE_ATTR', 'DELETE_ATTR',
               'IMPORT_FROM'}
_ATTRIBUTE_STORES = {'STORE_ATTR', 'DELETE_ATTR'}
_CELL_LOADS = {'LOAD_DEREF', 'LOAD_CLASSDEREF', 'LOAD_CLOSURE', 'LOAD_FROM_DICT_OR_DEREF'}
_CLOCKS = {f for name, f in vars(time).items() if type(f) is types.BuiltinFunctionType
           and name not in ('sleep', 'mktime', 'strptime', 'asctime', 'strftime', 'tzset')}
# functions that take the time of the clock if they get fewer arguments than this
_TAKE_NOW = {time.asctime: 1, time.strftime: 2}
_NOW = {'now', 'utcnow', 'today'}       # methods of datetime.date and of classes derived from it
# Classes and a function of NumPy and pandas that read the clock: they get one of the names in _NOW
# as a text, or have a method of that name, which no profile hook sees
_TIMES = {'datetime64', 'Timestamp', 'Period', 'DatetimeIndex', 'to_datetime'}
# built-in function that no graph can repeat -> how an error message describes calling it
_NOT_REPEATABLE = {
    **dict.fromkeys((*_CLOCKS, getattr(uuid, '_generate_time_safe', None)), 'reads a clock'),
    **dict.fromkeys((os.urandom, getattr(os, 'getrandom', None)),       # only Linux has the latter
                    'draws entropy from the system'),
    input: 'asks for input', sys.setprofile: 'changes the profile hook, which sees what is read',
    contextvars.copy_context: 'reads context variables',
    **dict.fromkeys((os.getcwd, os.getcwdb), 'asks for the working directory'),
    **dict.fromkeys((gc.isenabled, gc.get_count, gc.get_threshold, sys.getrecursionlimit,
                     sys.getswitchinterval, sys.getrefcount, os.getpid, os.getppid, os.getloadavg,
                     os.times, decimal.getcontext, decimal.localcontext),
                    'asks for the state of Python or of its process'),
    **dict.fromkeys((open, io.open, os.open, os.stat, os.lstat, os.listdir, os.scandir, os.access,
                     os.read, os.readlink), 'looks at files'),
    **dict.fromkeys((os.system, os.posix_spawn, _posixsubprocess.fork_exec), 'runs a command')}
# Modules with classes in C whose objects never change, or are compared or refused in another way
_STATELESS = {'builtins', 'mxnet', 'numpy', 're', '_sre', 'struct', '_struct', 'operator',
              '_operator', 'functools', '_functools', 'weakref', '_weakref', 'contextvars',
              '_contextvars', 'zoneinfo', '_zoneinfo', 'types', 'typing', 'ctypes', '_ctypes',
              'multiprocessing', '_multiprocessing', 'datetime', '_datetime'}
# code that gives work to others, and the modules that have it
_GIVE_AWAY = {'submit', 'apply_async', '_map_async', 'imap', 'imap_unordered'}
_POOLS = {'concurrent.futures.thread', 'concurrent.futures.process', 'multiprocessing.pool'}
_OF_DATACLASSES = {'asdict', 'astuple'}     # functions that read all fields of a dataclass
_NAMESPACES = {'__globals__', 'f_globals', 'f_locals'}
_CATCH = {'CHECK_EXC_MATCH', 'JUMP_IF_NOT_EXC_MATCH'}
_CONTENTS = 'getvalue', 'getbuffer', 'tell'     # of files in memory, and of all files
# Modules of MXNet whose objects change from step to step, as Python's own code does not show
_CHANGING = 'mxnet.lr_scheduler', 'mxnet.optimizer', 'mxnet.gluon.trainer', 'mxnet.metric'
_DESCRIPTORS = (staticmethod, classmethod, property, functools.partialmethod,
                functools.cached_property, functools.singledispatchmethod)
_PARTS = '__func__', 'fget', 'fset', 'func', 'dispatcher', 'args', 'keywords'
_CLASS_ENTRIES = types.FunctionType, *_DESCRIPTORS, type
# built-in functions that look for attributes by a text, or for all
_LOOK_UP = {'getattr', 'hasattr', 'dir'}
_BUILTIN = types.BuiltinFunctionType, types.MethodWrapperType
# Of these entries of a class nothing depends, or `_facts` has them
_NO_METHODS = {'__module__', '__doc__', '__dict__', '__weakref__', '__slots__', '__annotations__',
               '__qualname__', '__firstlineno__', '__static_attributes__', '__orig_bases__',
               '__parameters__', '__abstractmethods__', '__hash__'}
_CACHED = type(functools.lru_cache(len))
_UNKNOWN = object()
LARGE = 100     # values in modules with more elements are not compared at each call
BEFORE = 'Do it before, and pass what it gives as an argument. '


def remembered(cached):
    """Return two dicts of a function decorated with functools.lru_cache: the one in which the cache
    keeps its entries, and {key: result}. Only the garbage collector's interface gives access to
    them."""
    _, _, bound, size = cached.cache_info()
    found = [r for r in gc.get_referents(cached)
             # the classes of the cache and of its entries are referents, too, and are left out
             if not isinstance(r, type) or r.__module__ != 'functools']
    # A bounded cache has a linked list in C, whose keys and results are the first referents
    listed = 0 if bound is None else 2 * size
    entries = next(r for r in found[listed:] if type(r) is dict)
    return entries, dict(zip(found[:listed:2], found[1:listed:2])) if listed else dict(entries)


def forget(cached, before):
    """Remove the results that such a function has cached since `before`, the keys that it had; and
    return whether there were any."""
    entries, found = remembered(cached)
    new = [key for key in found if key not in before]
    if new and cached.cache_info().maxsize is None:
        for key in new:
            del entries[key]
    elif new:       # single entries cannot be removed from the list in C, so all are
        cached.cache_clear()
    return bool(new)


@functools.lru_cache(maxsize=None)
def _is_users(filename, module):
    if filename.startswith(_NOT_USERS) or filename.startswith('<frozen'):
        return False
    # code made from a string, by MXNet, by dataclasses, or by the user
    if filename.startswith('<'):
        return (module or '').partition('.')[0] not in _LIBRARIES
    return not filename.startswith(_STANDARD) or filename.startswith(_PACKAGES)


def is_users(frame):
    """Return whether a frame runs code of the user's, and not code of Python, MXNet, NumPy or this
    compiler."""
    return _is_users(frame.f_code.co_filename, frame.f_globals.get('__name__'))


def _is_for_users(frame):
    """Return whether a frame of a library runs because the user's code has called the library, and
    not d2l.vision, which traces in threads itself."""
    while frame and not is_users(frame):
        if frame.f_globals.get('__name__') == 'd2l.vision':
            return False
        frame = frame.f_back
    return frame is not None


def _is_changing(frame):
    """Return whether a frame runs code of a module whose objects change from call to call."""
    return (frame.f_globals.get('__name__') or '').startswith(_CHANGING)


@functools.lru_cache(maxsize=None)
def names_in(code):
    """Return the names that a code object uses, as five tuples: globals that it loads, globals that
    it stores, all attributes, cells that it loads, attributes that it stores."""
    found = collections.defaultdict(dict)
    for step in dis.get_instructions(code):
        for kind, operators in enumerate((
                _LOADS, _STORES, _ATTRIBUTES, _CELL_LOADS, _ATTRIBUTE_STORES)):
            if step.opname in operators:
                found[kind][step.argval] = None
        if step.opname == 'MATCH_CLASS':        # the names are in a tuple, or the class has them
            found[2].update(dict.fromkeys(('__match_args__', *(
                name for names in code.co_consts if isinstance(names, tuple) for name in names
                if isinstance(name, str)))))
        if 'LOAD_FAST' in step.opname:
            # since Python 3.13, this instruction loads a cell for the closure of an inner function
            found[3].update((name, None) for name in _names(step) if name in code.co_freevars)
    return [tuple(found[kind]) for kind in range(5)]


@functools.lru_cache(maxsize=None)
def imports_of(code):
    """Return the names of the modules that a code object imports."""
    return tuple(step.argval for step in dis.get_instructions(code)
                 if step.opname == 'IMPORT_NAME')


@functools.lru_cache(maxsize=None)
def catches(code):
    """Return whether a code object catches exceptions of some classes, or may suppress them."""
    return any(step.opname in _CATCH for step in dis.get_instructions(code)) or (
        'suppress' in code.co_names)


@remember
def _is_opaque(kind):
    """Return whether a class of the standard library is written in C, and its objects may have a
    state, which nothing shows."""
    name = kind.__module__.partition('.')[0]
    return name in _LIBRARIES and name not in _STATELESS and is_of_c(kind) and not issubclass(
        kind, (*_GENERATORS, io.IOBase))


@functools.lru_cache(maxsize=None)
def _finders(code):
    """Return (whether code uses __import__ or the `modules` of a sys that it imports itself, the
    globals that it asks for `modules`)."""
    steps = [*dis.get_instructions(code)]
    pairs = [(a, b) for a, b in zip(steps, steps[1:]) if b.argval == 'modules']
    own = 'sys' in imports_of(code)
    return (any(step.opname in _LOADS and step.argval == '__import__' for step in steps)
            or own and any('LOAD_FAST' in a.opname for a, _ in pairs),
            [a.argval for a, _ in pairs if a.opname in _LOADS])


def finds_modules(frame):
    """Return whether the code of a frame uses sys.modules or __import__."""
    always, names = _finders(frame.f_code)
    return always or any(frame.f_globals.get(name) is sys for name in names)


def _names(step):
    """Return the names that an instruction uses. Since Python 3.13, some load two variables."""
    return step.argval if isinstance(step.argval, tuple) else (step.argval,)


def line_of(code, name):
    """Return the line of a code object that uses this name first, else its first line."""
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        # from Python 3.13 on, starts_line is a flag and line_number has the number
        line = getattr(step, 'line_number', step.starts_line) or line
        if name in _names(step):
            return line
    return code.co_firstlineno


def _last_argument(frame):
    """Return (number of arguments of the call that a frame is making, the value of the last one).
    The value is _UNKNOWN if the bytecode does not tell it. If there are none, or `*args` stands for
    them, this returns (0, None)."""
    call, before = None, [None, None]
    for step in dis.get_instructions(frame.f_code):
        if step.offset > frame.f_lasti:
            break
        if step.opname.startswith('CALL'):
            # before these instructions, the names of keyword arguments are loaded last
            call, argument = step, before[step.opname not in ('CALL_KW', 'CALL_FUNCTION_KW')]
        elif step.opname not in ('PRECALL', 'KW_NAMES'):
            before = [before[1], step]
    if not (call and call.arg) or call.opname == 'CALL_FUNCTION_EX':
        return 0, None
    if argument.opname == 'LOAD_CONST':
        return call.arg, argument.argval
    known = {**frame.f_globals, **frame.f_locals}
    if argument.opname.startswith(('LOAD_FAST', 'LOAD_DEREF', 'LOAD_GLOBAL', 'LOAD_NAME')):
        return call.arg, known.get(_names(argument)[-1], _UNKNOWN)
    return call.arg, _UNKNOWN


def _function_of_numpy(frame):
    """Return the function of NumPy's that this frame of MXNet's will call, as MXNet has no operator
    for it, or None."""
    code, given = frame.f_code, frame.f_locals
    if code is _ARRAY_FUNCTION and given['func'] not in multiarray._NUMPY_ARRAY_FUNCTION_DICT:
        return given['func']
    if code is _ARRAY_UFUNC and given['ufunc'].__name__ not in multiarray._NUMPY_ARRAY_UFUNC_DICT:
        return given['ufunc']
    return None


class _Current:
    """What belongs to the thread that runs, as attributes."""

    @property
    def context(self):
        """The current context, which `with mx.cpu(1):` sets."""
        return mxnet.context.current_context()

    @context.setter
    def context(self, value):
        mxnet.Context._default_ctx.value = value


_CURRENT = _Current()


class _Asked:
    """What a function gives for an object, as an attribute, `answer`, that a slot can hold."""

    def __init__(self, function, owner):
        self._function, self._owner, self._last = function, owner, None

    @property
    def answer(self):
        """What the function gives now: the same object as long as it is equal."""
        found = self._function(self._owner)
        if found != self._last:
            self._last = found
        return self._last

    @answer.setter
    def answer(self, value):        # the places from which it is made are restored themselves
        pass


def _is_plain(value, nested=True):
    """Return whether a value is of a kind that can be compared with another one by its contents,
    and has no more than LARGE elements, none of which has elements itself."""
    if type(value) in (tuple, list, set, frozenset, dict):
        parts = (*value, *value.values()) if type(value) is dict else value
        return nested and len(parts) <= LARGE and all(_is_plain(v, False) for v in parts)
    if issubclass(type(value), (numpy.ndarray, NDArray)):
        return nested and value.size <= LARGE
    return value is None or issubclass(type(value), (
        bool, int, float, complex, str, bytes, types.FunctionType, type, numpy.generic,
        gluon.Block))


def _texts_in(frame):
    """Return the texts that a function may use as names: those that it has in variables and in
    attributes of what these hold, the constants in its code, and the modules of its objects."""
    values = [*frame.f_locals.values(), *map(frame.f_globals.get, names_in(frame.f_code)[0])]
    found = [*values, *frame.f_code.co_consts]
    for value in frame.f_locals.values():
        kind = type(value)
        found.append(kind.__module__)
        try:        # not by getattr, which a proxy would answer for what may be gone
            found += object.__getattribute__(value, '__dict__').values()
        except (AttributeError, TypeError):
            pass
        for base in kind.__mro__:
            found += () if is_librarys(base) else vars(base).values()
    return {text for text in found
            if issubclass(type(text), str) and text.replace('.', '').isidentifier()}


def _is_of_users(module):
    """Return whether the namespace of a module is that of a module of the user's."""
    name = module['__name__']
    return name.partition('.')[0] not in (*_LIBRARIES, 'd2l', 'd2l_compat') \
        and _is_users(module.get('__file__') or '<none>', name)


def _facts(owner):
    """Return what no dict holds of a class."""
    return owner.__mro__, owner.__name__, owner.__qualname__, type(owner)


def _is_special(name, entry):
    """Return whether an entry of a class is a method that Python calls without naming it, and that
    is no function, such as `__getattr__ = dict.__getitem__`."""
    return name.startswith('__') and name.endswith('__') and name not in _NO_METHODS \
        and callable(entry) and not isinstance(entry, _CLASS_ENTRIES)


def _special_entries(owner):
    return tuple((name, Is(entry)) for name, entry in vars(owner).items()
                 if _is_special(name, entry))


def _level(logger):
    return logger.getEffectiveLevel(), logger.disabled, logger.manager.disable


def _subclasses(owner):
    return owner.__subclasses__()


def _registrations(of):
    """Return a number that changes with each call of the method `register` of an abstract class."""
    return of.get_cache_token()


def _public_names(namespace):
    """Return the names in a namespace, but for those that Python sets itself."""
    return tuple(sorted(name for name in tuple(namespace) if not name.startswith('__')))


def _all_names(namespace):
    return tuple(sorted(namespace))


class Reads:
    """Watches the functions that run, and reports what they read.

    slot: called as slot(owner, name, what, read, line) for each place that is read (see Slot)
    refuse: refuse(what, cure) returns the TraceError at the line that runs
    stateful: list of (value, its state) for values from outside that change when they are used,
        such as iterators
    remembers: called as remembers(function, its dict, {key: result}) for each function that is
        decorated with functools.lru_cache
    """

    def __init__(self, slot, refuse, stateful, remembers):
        self._slot, self._refuse, self._stateful = slot, refuse, stateful
        self._remembers = remembers
        # by id, as Python takes the code of equal functions, on equal lines of two files, for equal
        self._codes, self._functions = {}, collections.defaultdict(list)
        self._met_functions = []
        self._names, self._spaces, self._met, self._stored = set(), {}, set(), set()
        # (code, its globals), both by id; ids of code that finds things by texts; whether code that
        # has run catches exceptions
        self._seen, self._by_text, self._catches = set(), set(), False
        # id -> class of the user's; (code, name) of the first code that computes attributes' names
        self.classes, self._computes_names, self._names_fields = {}, None, False
        self._previous, self._running = None, False
        self._entries = collections.defaultdict(list)   # name -> entries of classes with parts
        self.spaces = []        # (object, the dict that holds its attributes)
        self.caches = []        # (function decorated with functools.lru_cache, keys in its cache)
        self._asked = {}        # (function, id of an object) -> _Asked
        # the frame of a module that is being imported; whether one was
        self._profiler = self._importing = None
        self.imported = False
        self.stopped, self.left = False, None   # left: (code, line) where user code returned last
        # (code, line) that read entropy of the system, but may not have used it
        self.entropy = None

    def _ask(self, function, owner, what):
        """Guard what a function gives for an object."""
        key = function, id(owner)
        if key not in self._asked:
            self._asked[key] = _Asked(function, owner)
            self._slot(self._asked[key], 'answer', what, True)

    def meet(self, value):
        """Prepare to report reads of what belongs to a value that a slot holds by identity: the
        cells of a function, the attributes of a class, a module or an object."""
        if id(value) in self._met:
            return
        self._met.add(id(value))
        if isinstance(value, types.FunctionType):
            if _is_users(value.__code__.co_filename, value.__globals__.get('__name__')):
                self._functions[id(value.__code__)].append(value)
                if id(value.__code__) in self._codes:
                    self._cells(value)
            elif value.__closure__ and not value.__code__.co_filename.startswith(_NOT_USERS):
                self._cells(value)      # a wrapper made by a decorator of the standard library
            self._space(vars(value), f'{value.__name__}.')
            self._met_functions.append(value)
            self._look_up_function(value, self._names)
            for wrapped in [vars(value).get('__wrapped__')]:
                self._meet_entry(wrapped)
        elif isinstance(value, _DESCRIPTORS):
            self._meet_entry(value)
        elif isinstance(value, type):
            for base in value.__mro__:
                if not is_librarys(base):
                    self._class(base)
            if not is_librarys(value):
                self._ask(_facts, value, f'the bases and the name of {value.__name__}')
            if not is_librarys(type(value)):
                self.meet(type(value))
            if isinstance(value, abc.ABCMeta):
                self._ask(_registrations, abc, f'what is a {value.__name__}')
            self._space(value, f'{value.__name__}.')
        elif isinstance(value, types.ModuleType) or is_module(value):
            space = value if is_module(value) else vars(value)
            self._space(space, f'{space["__name__"]}.')
            if type(value) not in (dict, types.ModuleType):
                self.meet(type(value))
        elif isinstance(value, gluon.Block):
            self.meet(type(value))
        elif isinstance(value, _CACHED):
            entries, found = remembered(value)
            self.caches.append((value, {*found}))
            self._remembers(value, entries, found)
            self._meet_entry(value.__wrapped__)
            self._space(vars(value), f'{getattr(value, "__name__", "")}.')
        elif type(value) in _BUILTIN and value.__name__ in (*_LOOK_UP, *BY_NAME):
            self._compute(value.__name__)
        elif isinstance(value, (operator.attrgetter, operator.methodcaller)):
            names = {name for text in value.__reduce__()[1] if isinstance(text, str)
                     for name in text.split('.')}
            self._stored.update(names)
            self._name(sorted(names), None)
        elif isinstance(getattr(value, '__dict__', None), dict):
            self.meet(type(value))
            self.spaces.append((value, vars(value)))
            self._space(vars(value), f'{type(value).__name__}.')
            # such as the flag of an Event, or the function of numpy.vectorize
            kinds = types.FunctionType, types.MethodType, functools.partial
            if type(value).__module__.partition('.')[0] not in ('mxnet', 'numpy'):
                kinds = (*kinds, bool, int, float, str, type(None))
            for name, held in tuple(vars(value).items()):
                if isinstance(held, kinds):
                    self._slot(vars(value), name, f'{type(value).__name__}.{name}', True)

    def _meet_entry(self, entry):
        """Meet an entry of a class: a function, or the functions of a property or the like."""
        if isinstance(entry, types.FunctionType):
            return self.meet(entry)
        for name in *_PARTS, '__wrapped__':
            inner = getattr(entry, name, None)
            if isinstance(inner, types.FunctionType):
                self.meet(inner)

    def _meet_parts(self, entry):
        """Guard what is in a property or the like and is no function."""
        for name in _PARTS if isinstance(entry, _DESCRIPTORS) else ():
            inner = getattr(entry, name, None)
            if inner and not isinstance(inner, types.FunctionType):
                self._slot(entry, name, f'{name} of a {type(entry).__name__}', True)

    def _class(self, owner):
        if id(owner) not in self.classes:
            self.classes[id(owner)] = owner
            if self._names_fields:
                self._name(vars(owner).get('__dataclass_fields__', ()), None)
            if self._computes_names:
                self._whole(owner)
        for name, entry in tuple(vars(owner).items()):
            if isinstance(entry, _CLASS_ENTRIES) and name not in _NO_METHODS:
                self._slot(owner, name, f'{owner.__name__}.{name}', True)
                self._meet_entry(entry)
                self._entries[name].append(entry)
                if name in self._names or name.startswith('__') or self._computes_names:
                    self._meet_parts(entry)
            elif _is_special(name, entry):
                self._ask(_special_entries, owner, f'the methods of {owner.__name__}')
                if isinstance(entry, (_CACHED, *_BUILTIN)):
                    self.meet(entry)
            elif callable(getattr(entry, '__get__', None)) and type(
                    entry).__module__.partition('.')[0] not in _LIBRARIES:
                # a descriptor of the user's
                self._slot(owner, name, f'{owner.__name__}.{name}', True)

    def _whole(self, owner):
        """Guard all attributes of a class, as some code computes the names of attributes."""
        for name, entry in tuple(vars(owner).items()):
            if not name.startswith('__'):
                self._meet_parts(entry)
                self._slot(owner, name, f'{owner.__name__}.{name}', True, self._computes_names)

    def _compute(self, name, code=None):
        """Guard all attributes of all classes, as some code computes the names of attributes. name:
        what it uses for this"""
        if not self._computes_names:
            frame = sys._getframe()
            while not is_users(frame) and frame.f_back:
                frame = frame.f_back
            self._computes_names = code or frame.f_code, name
            for owner in tuple(self.classes.values()):
                self._whole(owner)

    def _space(self, owner, what):
        """Add a namespace, in which the attributes that the code names are looked up.

        owner: a dict or a class; what: the prefix of its attributes in messages
        """
        if id(owner) not in self._spaces:
            self._spaces[id(owner)] = owner, what
            for name in tuple(self._names):
                self._look_up(owner, what, name)

    def _guard_all(self, value):
        """Guard all attributes of a function, of a module of the user's, or of an object with many,
        and their names."""
        large = len(getattr(value, '__dict__', ())) > MAX_ATTRIBUTES and not isinstance(
            value, (type, types.ModuleType))
        if not isinstance(value, types.FunctionType) and not large and not (
                isinstance(value, types.ModuleType) and _is_of_users(vars(value))):
            return
        owner, what = vars(value), f'{getattr(value, "__name__", type(value).__name__)}.'
        self._ask(_public_names, owner, f'the names of {what}')
        for name, held in tuple(owner.items()):
            if not name.startswith('__') and _is_plain(held):
                self._slot(owner, name, what + name, True)

    def _look_up_function(self, function, names):
        """Guard those attributes of a function that are in no dict."""
        if not names.isdisjoint(_SIGNATURES):
            names = _OF_FUNCTIONS
        if 'cell_contents' in names:
            self._cells(function, True)
        for name in sorted(_OF_FUNCTIONS.intersection(names)):
            self._slot(function, name, f'{function.__name__}.{name}', True)

    def _look_up(self, owner, what, name, line=None):
        if not isinstance(owner, dict):
            if name == '__subclasses__':
                self._ask(_subclasses, owner, f'the subclasses of {owner.__name__}')
            return self.look_up_class(owner, name, line)
        # properties of MXNet's classes store _name, and members of an Enum _name_
        for each in name, f'_{name}', f'_{name}_':
            # the trace itself sees uses of Parameters' arrays, and `_meet_by_text` those of modules
            if each in ('_data', '_grad') or (each == 'modules' and owner is vars(sys)):
                continue
            if each in owner or self._may_get(owner, each):
                self._slot(owner, each, what + name, True, line)

    def _may_get(self, owner, name):
        """Return whether a name that a dict does not have may be set in it later, which would
        matter. It has the attributes of a function, or of a module of the user's."""
        if name not in self._stored and '__getattr__' not in owner:
            return False
        module = owner.get('__name__')
        return module is None or module.partition('.')[0] not in _LIBRARIES

    def look_up_class(self, owner, name, line=None):
        """Guard an attribute of a class in the way Python looks it up: the class that has it, and
        the classes before it in the search order, which may get it later."""
        bases = owner.__mro__ + (type(owner).__mro__ if type(owner) is not type else ())
        for i, base in enumerate(bases):
            if name in vars(base):
                for b in bases[:i + 1]:
                    if is_of_python(b):
                        self._slot(b, name, f'{b.__name__}.{name}', True, line)
                return
        for base in bases:
            if not is_librarys(base):
                self._slot(base, name, f'{base.__name__}.{name}', True)

    def _cells(self, function, all_of_them=False):
        loaded = names_in(function.__code__)[3]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            self._slot(cell, 'cell_contents', name, all_of_them or name in loaded,
                       (function.__code__, name))
        for name in '__code__', '__defaults__', '__kwdefaults__':
            self._slot(function, name, f'{function.__name__}.{name}', True)

    def _call(self, frame):
        code = frame.f_code
        if code.co_name == '<module>' and frame.f_back.f_code.co_filename.startswith(_IMPORTER):
            # It runs once in a process, so what it reads and sets is no part of the function
            self._importing, self.imported = frame, True
            return
        if code is _ENVIRON:
            key = frame.f_locals['self'].encodekey(frame.f_locals['key'])
            self._slot(os.environ._data, key, f'os.environ[{frame.f_locals["key"]!r}]', True)
        elif code in _ENVIRONS_NAMES:
            self._ask(_all_names, os.environ._data, 'the names in os.environ')
        elif code is _SEED and frame.f_locals['a'] is None:
            raise self._refuse('makes a random generator without a seed', BEFORE)
        elif _function_of_numpy(frame) is not None:
            raise self._refuse(f'calls numpy.{_function_of_numpy(frame).__name__}, for which MXNet '
                               'has no operator', BEFORE)
        elif code is _FUNCTION:
            raise self._refuse('calls an autograd.Function, whose backward pass is no part of a '
                               'graph', 'Compute the gradient by operators of MXNet. ')
        elif code is _QUEUE:
            raise self._refuse('takes something from a queue', BEFORE)
        elif code in _LEVELS:           # logging itself asks, too, which does not matter
            if is_users(frame.f_back):
                self._ask(_level, frame.f_locals['self'], 'the level of a logger')
        elif code is _CONTEXT:
            self._slot(_CURRENT, 'context', 'the current context', True)
        elif code is _IMPORT:
            self.meet_module(frame.f_locals['name'], frame.f_locals['package'])
        elif _is_changing(frame) and frame.f_back and is_users(frame.f_back):
            raise self._refuse('asks an optimizer, a Trainer, a metric or a learning-rate '
                               'schedule, whose state changes', BEFORE)
        elif code.co_name in _GIVE_AWAY and frame.f_globals.get('__name__') in _POOLS:
            if _is_for_users(frame):
                raise self._refuse('gives work to another thread or process, whose reads no trace '
                                   'sees', BEFORE)
            return
        elif code in _COPY and isinstance(frame.f_locals['x'], gluon.Block):
            raise self._refuse('copies a Block', 'Copy it before, in __init__, say. ')
        for value, _ in self._stateful:
            if isinstance(value, types.GeneratorType) and value.gi_frame is frame:
                raise self._refuse('takes the next value of a generator', BEFORE)
        # the same code may run with other globals
        if (id(code), id(frame.f_globals)) in self._seen:
            if id(code) in self._by_text:       # the texts may be others
                self._read_by_text(frame)
            return
        if not is_users(frame):
            # of code made from a string, the globals tell whose it is
            if not (code in _WATCHED or _is_changing(frame) or code.co_filename.startswith('<')
                    or code.co_flags & inspect.CO_GENERATOR):
                _QUIET[id(code)] = code
            return
        self._codes[id(code)] = code
        self._seen.add((id(code), id(frame.f_globals)))
        self._meet_imports(frame)
        if {'object', '__getattribute__'} <= {*code.co_names} and any(
                isinstance(value, gluon.Block) for value in frame.f_locals.values()):
            raise self._refuse('names object.__getattribute__, past which no read is seen',
                               'Use the name of the attribute, or getattr. ')
        loads, stores, attributes, _, stored = names_in(code)
        if not _TIMES.isdisjoint((*loads, *attributes)) and not _NOW.isdisjoint(
                (*attributes, *[text for text in code.co_consts if isinstance(text, str)])):
            raise self._refuse('reads a clock, and a graph would repeat it for ever', BEFORE)
        # a package asks for the caller's name, say, to log it
        if not _NAMESPACES.isdisjoint(attributes) and not code.co_filename.startswith(_PACKAGES):
            raise self._refuse('looks for globals or variables by a text', 'Name them. ')
        self._stored.update(stored)
        self._catches = self._catches or catches(code)
        if self._catches:               # an attribute that is not there may be there later
            self._stored.update(attributes)
        if finds_modules(frame) or not _COMPUTE_NAMES.isdisjoint((*loads, *attributes)):
            self._by_text.add(id(code))
            self._read_by_text(frame)
        # inspect.signature, or signature alone
        attributes = *attributes, *_SIGNATURES.intersection(loads)
        if not {'unwrap', *_SIGNATURES}.isdisjoint((*attributes, *loads)):
            attributes = *attributes, '__wrapped__'
            self._stored.add('__wrapped__')
        for name in loads:
            self._slot(frame.f_globals, name, f'the global {name}', True, (code, name))
            if name not in frame.f_globals:
                self._slot(frame.f_builtins, name, name, True)
        for name in stores:
            self._slot(frame.f_globals, name, f'the global {name}', False, (code, name))
        self._name(attributes, code)
        for function in self._functions.get(id(code), ()):
            self._cells(function)
        if not _OF_DATACLASSES.isdisjoint((*loads, *attributes)):
            self._names_fields = True
            for owner in tuple(self.classes.values()):
                self._name(vars(owner).get('__dataclass_fields__', ()), code)
        for name in _COMPUTE_NAMES.intersection((*loads, *attributes)) - {'vars'}:
            self._compute(name, code)           # `_call_of_c` sees of what it is vars

    def _read_by_text(self, frame):
        """Guard what a function may find by the texts that it has."""
        loads, _, attributes, *_ = names_in(frame.f_code)
        if not _COMPUTE_NAMES.isdisjoint((*loads, *attributes)):
            self._name_texts(frame)
        if '__dict__' in attributes:
            for value in (*map(frame.f_globals.get, loads), *frame.f_locals.values()):
                self._guard_all(value)
        self._meet_by_text(frame)

    def _meet_imports(self, frame, done=False):
        """Meet the modules that a function imports while it runs.

        done: whether it has run, so that a module that is not there could not be imported
        """
        for name in imports_of(frame.f_code):
            self.meet_module(name, frame.f_globals.get('__package__'))
            if done and name and name not in sys.modules:
                self._slot(sys.modules, name, f'the module {name}', True)

    def _name_texts(self, frame):
        """Take texts that a function has for names of attributes, some of which may be set later.
        """
        texts = _texts_in(frame)
        self._stored.update(texts)
        self._name(sorted(texts), frame.f_code)

    def _meet_by_text(self, frame):
        """Meet the modules that a function finds by their names, as in sys.modules[__name__]."""
        if not finds_modules(frame):
            return
        texts = _texts_in(frame)
        if not texts:
            raise self._refuse('finds a module by a text',
                               'Import it by its name, or pass what is in it as an argument. ')
        for text in sorted(texts):
            self._slot(sys.modules, text, f'sys.modules[{text!r}]', True)
            self.meet_module(text, None)

    def meet_module(self, name, package):
        """Meet the module of this name, as it is or relative to a package or its parents."""
        parents = (package or '').split('.')
        for each in [name.lstrip('.'), *(
                '.'.join((*parents[:i], *name.lstrip('.').split('.'))).strip('.')
                for i in range(1, len(parents) + 1))]:
            if each.partition('.')[0] not in ('d2l', 'd2l_compat') and each in sys.modules:
                self.meet(sys.modules[each])
                if each.partition('.')[0] not in _LIBRARIES:
                    self._slot(sys.modules, each, f'the module {each}', True)

    def _name(self, names, code):
        new = [name for name in names if name not in self._names]
        self._names.update(new)
        for function in tuple(self._met_functions):
            self._look_up_function(function, {*new})
        for name in new:
            for entry in self._entries.get(name, ()):
                self._meet_parts(entry)
        for owner, what in tuple(self._spaces.values()):
            for name in new:
                self._look_up(owner, what, name, (code, name) if code else None)

    def _call_of_c(self, frame, function):
        what, owner = None, getattr(function, '__self__', None)
        try:
            what = _NOT_REPEATABLE.get(function)
        except TypeError:       # raised if the function's object has no hash
            pass
        if owner is not None and not isinstance(owner, (type, types.ModuleType)):
            if isinstance(owner, _GENERATORS) and (owner in _GLOBAL or any(
                    owner is v for v, _ in self._stateful)):
                what = 'draws from a generator of Python or NumPy'
            elif isinstance(owner, io.IOBase) and (
                    function.__name__.startswith('read') or function.__name__ in _CONTENTS
                    and any(owner is v for v, _ in self._stateful)):
                what = 'reads a file'
            elif isinstance(owner, contextvars.ContextVar) and function.__name__ == 'get':
                what = 'reads a context variable'
            elif id(owner) in self._met and _is_opaque(type(owner)) and (
                    type(owner).__module__ != '_thread' or function.__name__ == 'locked'):
                what = (f'calls {function.__name__} of a {type(owner).__name__}, whose state '
                        'cannot be compared')
        elif isinstance(owner, type) and issubclass(owner, datetime.date) \
                and function.__name__ in _NOW:
            what = 'reads a clock'
        elif function is next and any(hasattr(v, '__next__')
                                      and not isinstance(v, types.GeneratorType)
                                      for v, _ in self._stateful):
            what = 'takes the next value of an iterator'
        elif function is id and is_users(frame) and isinstance(_last_argument(frame)[1], NDArray):
            raise self._refuse('asks for the id of an array, and each call has other arrays',
                               'Use another key. ')
        elif function in _TAKE_NOW and _last_argument(frame)[0] < _TAKE_NOW[function]:
            what = 'reads a clock'
        elif function in (getattr, hasattr) and is_users(frame):
            self._name_texts(frame)
        elif function in (vars, dir) and is_users(frame):
            argument = _last_argument(frame)[1]
            self._guard_all(argument)
            if isinstance(argument, type):
                self._compute(function.__name__, frame.f_code)
        elif function is globals and is_users(frame):
            raise self._refuse('looks for globals by a text', 'Name them. ')
        if what is None:
            return
        # NumPy's C code, which has no frame, calls randbits
        seeds = frame.f_code is _RANDBITS and is_users(frame.f_back)
        while not is_users(frame):
            name = frame.f_globals.get('__name__', '').partition('.')[0]
            if name in _SILENT or not frame.f_back:
                return
            if name == 'd2l':           # the tracer's own call
                return
            frame = frame.f_back
        named = {'randbits', 'getrandbits'} & {*frame.f_code.co_names}
        given, seed = _last_argument(frame) if seeds and not named else (0, None)
        if given and seed is not None:
            # RandomState(seed) reads entropy, too, and then uses the seed
            self.entropy = self.entropy or (frame.f_code, frame.f_lineno)
            return
        raise self._refuse(f'{what}, and a graph would repeat it for ever', BEFORE)

    def _hook(self, frame, event, arg):
        if self._previous is not None:
            self._previous(frame, event, arg)
        if self._running:
            return
        if self._importing is not None:
            if event == 'return' and frame is self._importing:
                self._importing = None
            return
        # Of some 100,000 calls in a run nearly all are of these kinds, and they do not matter
        if event == 'call':
            if id(frame.f_code) in _QUIET:
                return
        elif event == 'c_call':
            owner = getattr(arg, '__self__', None)
            if type(owner) in _CONTAINERS or type(owner) is types.ModuleType and arg not in (
                    _MATTERING if id(frame.f_code) in _QUIET else _MATTERING_TO_USERS):
                return
        elif event != 'return' or id(frame.f_code) not in self._codes:
            return
        self._running = True
        try:
            if event == 'call':
                self._call(frame)
            elif event == 'c_call':
                self._call_of_c(frame, arg)
            else:
                self.left = frame.f_code, frame.f_lineno
                self._meet_imports(frame, done=True)
        finally:
            self._running = False

    def start(self):
        """Start to watch this thread. A profiler that is active goes on if it is a Python function,
        and pauses until `stop` if it is cProfile."""
        self._previous = sys.getprofile()
        if self._previous is not None and not callable(self._previous):     # cProfile
            self._previous, self._profiler = None, self._previous
        else:
            self._profiler = None
        sys.setprofile(self._hook)

    def check(self):
        """Raise TraceError if the function has taken the hook away."""
        if sys.getprofile() != self._hook:
            first = next(iter(self._codes.values()), None)
            line = self.left or first and (first, first.co_firstlineno)
            raise self._refuse('ends the profile hook, which sees what it reads: by a profiler, or '
                               'by an error inside of the hook', 'Profile the call as a whole. ',
                               line=line)

    def stop(self):
        self.stopped = True
        sys.setprofile(self._previous)
        if self._profiler is not None:
            self._profiler.enable()


_ENVIRONS_NAMES = {getattr(type(os.environ), name).__code__ for name in ('__iter__', '__len__')}
_ENVIRON, _QUEUE = type(os.environ).__getitem__.__code__, queue.Queue.get.__code__
_FUNCTION = inspect.unwrap(mxnet.autograd.Function.__call__).__code__
_ARRAY_FUNCTION = np.ndarray.__array_function__.__code__
_ARRAY_UFUNC = np.ndarray.__array_ufunc__.__code__
_CONTEXT = mxnet.context.current_context.__code__
_IMPORTER = '<frozen importlib'
_IMPORT = importlib.import_module.__code__
_LEVELS = {getattr(logging.Logger, name).__code__ for name in ('isEnabledFor', 'getEffectiveLevel')}
_COPY = {copy.copy.__code__, copy.deepcopy.__code__}
_SEED, _RANDBITS = random.Random.seed.__code__, secrets.randbits.__code__
_GLOBAL = random._inst, numpy.random.mtrand._rand
# Functions whose calls matter, whoever calls them; and other code, by its id, that was found not to
# be the user's, without generators
_WATCHED = {_ENVIRON, *_ENVIRONS_NAMES, *_COPY, *_LEVELS, _SEED, _FUNCTION, _QUEUE, _CONTEXT,
            _IMPORT, _ARRAY_FUNCTION, _ARRAY_UFUNC}
_QUIET = {}
# The same for built-in functions: calls of methods of these classes never matter, and calls of the
# functions of a module only if it is one of these
_CONTAINERS = {list, dict, tuple, set, frozenset, str, bytes, collections.OrderedDict}
_MATTERING = {*_NOT_REPEATABLE, *_TAKE_NOW, next}
_MATTERING_TO_USERS = _MATTERING | {id, getattr, hasattr, vars, dir, globals}
