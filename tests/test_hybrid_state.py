"""d2l.hybrid: Python's state around a compiled net, which it reads and writes, and which changes
after the first call.

Each case is a small module, run twice: as it is, and compiled. After each change it is called
again, in predict and in training mode, and all results must be the same values; or compiling is
refused with a TraceError that names the line.
"""
import collections
import copy
import cProfile
import enum
import gc
import importlib
import linecache
import pickle
import random
import sys
import textwrap
import threading
import types
import warnings

import mxnet as mx
import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, np, npx
from mxnet.gluon import nn

from d2l import hybrid
from d2l.hybrid import TraceError

npx.set_np()

HEAD = '''\
import argparse, array, collections, contextvars, copy, dataclasses, datetime, decimal, enum
import fractions, functools, itertools, json, logging, math, os, pathlib, queue, random, string
import threading, time, types, typing, uuid, weakref
import d2l, mxnet as mx
import numpy
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn
npx.set_np()
X = np.array([[1., 2., 3.], [4., 5., 6.]])
'''


def block(init, forward, before=''):
    """The source of a module with a Block that has these lines in `__init__` and in `forward`."""
    return (before and before.strip('\n') + '\n') + (
        'class Net(nn.Block):\n    def __init__(self):\n        super().__init__()\n'
        + textwrap.indent(textwrap.dedent(init).strip('\n') or 'pass', ' ' * 8)
        + '\n\n    def forward(self, X):\n'
        + textwrap.indent(textwrap.dedent(forward).strip('\n'), ' ' * 8)
        + '\n\nnet = Net()\nnet.initialize(init.One())\n')


def leaves(value):
    """NumPy arrays and other values in nested results, with their types."""
    if isinstance(value, mx.nd.NDArray):
        return [value.asnumpy()]
    if isinstance(value, (type, enum.Enum)):        # each run makes classes of its own
        return [repr(value)]
    if isinstance(value, dict):
        return [type(value).__name__, *map(str, value),
                *[v for x in value.values() for v in leaves(x)]]
    if isinstance(value, (list, tuple, collections.deque)):
        return [type(value).__name__, *[v for x in value for v in leaves(x)]]
    if hasattr(value, '__dict__') and not callable(value):
        return [type(value).__name__, *leaves(vars(value))]
    return [value]


def run(source, changes, call, compiled, train):
    """Run the module, and return the results of each call. Each change is followed by a call."""
    name = f'<case {abs(hash(source))}>'
    module = types.ModuleType('case')
    source = HEAD + source
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    exec(builtins_compile(source, name, 'exec'), vars(module))
    scope = vars(module)
    if compiled:
        if 'net' in scope:
            hybrid.hybridize(scope['net'])
        else:
            scope['f'] = hybrid.compile(scope['f'])
    mx.random.seed(1)
    found, call = [], call or ('net(X)' if 'net' in scope else 'f(X)')
    for change in (None, None, *changes, None, None):
        if change:
            exec(textwrap.dedent(change), scope)
        scope['X'] = scope['X'] + 1
        scope['X'].attach_grad()
        if train:
            with autograd.record():
                result = eval(call, scope)
                loss = sum([v.sum() for v in flat(result) if v.dtype == onp.float32],
                           0 * scope['X'].sum())
            loss.backward()
            found.append(scope['X'].grad.asnumpy())
        else:
            result = eval(call, scope)
        found.append(leaves(result))
        npx.waitall()
    for state in scope.get('STATE', ()):
        found.append(leaves(eval(state, scope)))
    return found


builtins_compile = compile


def flat(value):
    if isinstance(value, mx.nd.NDArray):
        return [value]
    if isinstance(value, dict):
        return flat(list(value.values()))
    if isinstance(value, (list, tuple, collections.deque)):
        return [v for x in value for v in flat(x)]
    return flat(vars(value)) if hasattr(value, '__dict__') and not callable(value) else []


def same(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, onp.ndarray):
        return isinstance(b, onp.ndarray) and a.dtype == b.dtype and onp.array_equal(a, b)
    return a == b


# ------------------------------------------------------------------ guarded: the same values

A = 'self.a'
ATTRIBUTES = {      # name: (value at first, what forward computes from self.a, changes)
    'float': ('2.0', 'X * self.a', ['net.a = 3.0', 'net.a = -0.0', 'net.a = 0.0']),
    'int and float': ('2', 'X * self.a', ['net.a = 2.0', 'net.a = True', 'net.a = 3']),
    'nan': ('float("nan")', 'X + (0 if self.a != self.a else 1)',
            ['net.a = float("nan")', 'net.a = 1.0']),
    'string': ('"relu"', 'getattr(npx, self.a)(X - 3)', ['net.a = "sigmoid"']),
    'bytes': ('b"ab"', 'X * self.a[0]', ['net.a = b"b"']),
    'complex': ('1 + 2j', 'X * self.a.imag', ['net.a = 1 + 3j']),
    'None': ('None', 'X if self.a is None else X * self.a', ['net.a = 2.0', 'net.a = None']),
    'tuple': ('(1, 2)', 'X * self.a[0]', ['net.a = (5, 2)', 'net.a = (5.0, 2)']),
    'nested tuple': ('(1, (2, [3]))', 'X * self.a[1][1][0]', ['net.a[1][1][0] = 5']),
    'list': ('[1, 2]', 'X * self.a[0]', ['net.a = [5, 2]', 'net.a[0] = 7', 'net.a.insert(0, 9)']),
    'list of lists': ('[[1], [2]]', 'X * self.a[1][0]', ['net.a[1][0] = 7', 'net.a.reverse()']),
    'length of a list': ('[1, 2]', 'X * len(self.a)', ['net.a.append(1)', 'net.a.clear()']),
    'dict': ('{"k": 2}', 'X * self.a["k"]', ['net.a["k"] = 3', 'net.a = {"k": 4}', 'net.a["j"] = 1',
                                             'net.a.update(k=9)']),
    'dict get': ('{}', 'X * self.a.get("k", 1)', ['net.a["k"] = 3', 'del net.a["k"]']),
    'dict of dicts': ('{"k": {"j": 2}}', 'X * self.a["k"]["j"]', ['net.a["k"]["j"] = 3']),
    'order of a dict': ('{"a": 1, "b": 2}', 'X * list(self.a)[0].count("a")',
                        ['net.a["a"] = net.a.pop("a")']),
    'set': ('{1, 2}', 'X * sum(self.a)', ['net.a.add(5)', 'net.a.discard(1)', 'net.a = {9}']),
    'in a set': ('{"x"}', 'X * (2 if "scale" in self.a else 1)', ['net.a.add("scale")']),
    'frozenset': ('frozenset({1})', 'X * sum(self.a)', ['net.a = frozenset({4})']),
    'deque': ('collections.deque([1, 2])', 'X * self.a[0]',
              ['net.a.rotate()', 'net.a.appendleft(4)']),
    'OrderedDict': ('collections.OrderedDict(a=1, b=2)', 'X * next(iter(self.a.values()))',
                    ['net.a["a"] = 4', 'net.a.move_to_end("a")']),
    'defaultdict': ('collections.defaultdict(int, k=2)', 'X * self.a["k"]', ['net.a["k"] = 3']),
    'Counter': ('collections.Counter("aab")', 'X * self.a["a"]', ['net.a.update("a")']),
    'ChainMap': ('collections.ChainMap({"k": 1}, {"k": 2, "j": 3})',
                 'X * self.a["k"] * self.a["j"]',
                 ['net.a["k"] = 4', 'net.a.maps[1]["j"] = 5']),
    'UserDict': ('collections.UserDict(k=1)', 'X * self.a["k"]', ['net.a["k"] = 4']),
    'namedtuple': ('collections.namedtuple("C", "k j")(1, 2)', 'X * self.a.k',
                   ['net.a = net.a._replace(k=4)']),
    'SimpleNamespace': ('types.SimpleNamespace(k=2)', 'X * self.a.k', ['net.a.k = 3']),
    'argparse.Namespace': ('argparse.Namespace(k=2)', 'X * self.a.k',
                           ['net.a.k = 3', 'net.a = argparse.Namespace(k=9)']),
    'vars of a namespace': ('types.SimpleNamespace(k=2)', 'X * sum(vars(self.a).values())',
                            ['net.a.j = 3', 'del net.a.k']),
    'enum': ('Mode.SUM', 'X.sum() if self.a is Mode.SUM else X.mean()', ['net.a = Mode.MEAN']),
    'value of an enum': ('Mode.SUM', 'X * self.a.value', ['net.a = Mode.MEAN']),
    'dtype': ('numpy.dtype("float32")', 'X.astype(self.a)', ['net.a = numpy.dtype("float64")']),
    'type': ('numpy.float32', 'X.astype(self.a)', ['net.a = numpy.float64', 'net.a = numpy.int32']),
    'np.float32': ('numpy.float32(2)', 'X * float(self.a)', ['net.a = numpy.float32(3)']),
    'np.int64': ('numpy.int64(2)', 'X * int(self.a)', ['net.a = numpy.int64(3)', 'net.a += 1']),
    'np.bool_': ('numpy.bool_(True)', 'X if self.a else -X', ['net.a = numpy.bool_(False)']),
    'NumPy array': ('numpy.array([1., 2., 3.])', 'X * np.array(self.a)',
                    ['net.a = numpy.ones(3) * 5', 'net.a[0] = 7', 'net.a += 1']),
    'item of a NumPy array': ('numpy.array([1., 2., 3.])', 'X * float(self.a[1])',
                              ['net.a[1] = 7']),
    'array of mx.nd': ('mx.nd.array([1, 2, 3])', 'X * self.a.as_np_ndarray()',
                       ['net.a[:] = 5', 'net.a = mx.nd.zeros(3)']),
    'objects in a NumPy array': ('numpy.array([1, [2]], dtype=object)', 'X * self.a[1][0]',
                                 ['net.a[1][0] = 7', 'net.a[1] = [8]']),
    'array.array': ('array.array("f", [1, 2])', 'X * self.a[1]',
                    ['net.a[1] = 7', 'net.a.append(1)']),
    'bytearray': ('bytearray(b"ab")', 'X * self.a[1]', ['net.a[1] = 7', 'net.a.extend(b"c")']),
    'range': ('range(3)', 'X * sum(self.a)', ['net.a = range(4)']),
    'slice': ('slice(0, 1)', 'X[self.a]', ['net.a = slice(0, 2)', 'net.a = slice(None)']),
    'Fraction': ('fractions.Fraction(1, 2)', 'X * float(self.a)', ['net.a *= 3']),
    'Decimal': ('decimal.Decimal("0.5")', 'X * float(self.a)', ['net.a *= 3']),
    'timedelta': ('datetime.timedelta(1)', 'X * self.a.days', ['net.a = datetime.timedelta(2)']),
    'path': ('pathlib.Path("a")', 'X * len(str(self.a))', ['net.a = net.a / "b"']),
    'Context': ('mx.cpu(0)', 'X + np.ones(3, ctx=self.a)', ['net.a = mx.cpu()']),
    'function': ('math.sqrt', 'X * self.a(4)', ['net.a = math.exp']),
    'own function': ('double', 'self.a(X)', ['net.a = triple', 'net.a = double']),
    'lambda': ('lambda x: x * 2', 'self.a(X)', ['net.a = lambda x: x * 3']),
    'code of a function': ('double', 'self.a(X)', ['double.__code__ = triple.__code__']),
    'defaults of a function': ('power', 'self.a(X)', ['power.__defaults__ = (3,)']),
    'kwdefaults': ('shifted', 'self.a(X)', ['shifted.__kwdefaults__["by"] = 3',
                                            'shifted.__kwdefaults__ = {"by": 4}']),
    'a default that is a list': ('from_list', 'self.a(X)', ['from_list.__defaults__[0][0] = 5']),
    'attribute of a function': ('double', 'X * self.a.scale', ['double.scale = 7']),
    'partial': ('functools.partial(power, n=2)', 'self.a(X)',
                ['net.a = functools.partial(power, n=3)',
                 'net.a.keywords["n"] = 1']),
    'bound method': ('Config().scale', 'self.a(X)',
                     ['net.a = Config(5).scale', 'net.a.__self__.k = 7']),
    'object': ('Config()', 'X * self.a.k', ['net.a.k = 3', 'net.a = Config(7)']),
    'method of an object': ('Config()', 'self.a.scale(X)', [
        'net.a.k = 3', 'Config.scale = lambda self, X: X * 9', 'net.a.scale = lambda X: -X']),
    'callable object': ('Config()', 'self.a(X)',
                        ['net.a.k = 3', 'Config.__call__ = lambda self, X: -X']),
    'property of an object': ('Config()', 'X * self.a.half', [
        'net.a.k = 3', 'Config.half = property(lambda self: 7)']),
    'class attribute of an object': ('Config()', 'X * self.a.base', ['Config.base = 3',
                                                                     'net.a.base = 4']),
    'static method': ('Config()', 'self.a.twice(X)',
                      ['Config.twice = staticmethod(lambda X: X * 3)']),
    'class method': ('Config()', 'self.a.based(X)',
                     ['Config.base = 3', 'Config.based = classmethod(lambda c, X: -X)']),
    'inherited class attribute': ('Derived()', 'X * self.a.base', [
        'Config.base = 3', 'Derived.base = 4', 'del Derived.base']),
    'slots': ('Slotted(2)', 'X * self.a.k', ['net.a.k = 3', 'net.a = Slotted(4)']),
    'dataclass': ('Data()', 'X * self.a.k',
                  ['net.a.k = 3', 'net.a = dataclasses.replace(net.a, k=5)',
                   'net.a.sizes[0] = 4']),
    'frozen dataclass': ('Frozen()', 'X * self.a.k', ['net.a = Frozen(5)',
                                                      'object.__setattr__(net.a, "k", 7)']),
    'asdict': ('Data()', 'X * sum(dataclasses.asdict(self.a)["sizes"])', ['net.a.sizes.append(4)']),
    'nested objects': ('types.SimpleNamespace(inner=Config())', 'X * self.a.inner.k',
                       ['net.a.inner.k = 4', 'net.a.inner = Config(6)']),
    '__getattr__': ('Dotted(k=2)', 'X * self.a.k', ['net.a["k"] = 3', 'net.a = Dotted(k=9)']),
    '__getitem__': ('Indexed()', 'X * self.a["k"]', ['net.a.items["k"] = 3']),
    'descriptor': ('Described()', 'X * self.a.k', ['net.a._k = 3', 'Described.k = 5']),
    'weak reference': ('weakref.ref(config)', 'X * self.a().k', ['config.k = 5']),
    'TypedDict': ('typing.cast(dict, {"k": 2})', 'X * self.a["k"]', ['net.a["k"] = 3']),
    'threading.local': ('threading.local()', 'X * getattr(self.a, "k", 1)', ['net.a.k = 3']),
    'mapping proxy': ('types.MappingProxyType(settings)', 'X * self.a["k"]', ['settings["k"] = 5']),
    'int with attributes': ('Int(2)', 'X * self.a * self.a.k', ['net.a.k = 5', 'net.a = Int(3)']),
    'list with attributes': ('List([2])', 'X * self.a[0] * self.a.k',
                             ['net.a.k = 5', 'net.a[0] = 3']),
    'mx array': ('np.array([1., 2., 3.])', 'X * self.a', ['net.a = np.ones(3)', 'net.a[0] = 7',
                                                          'net.a *= 2', 'net.a = np.ones((2, 3))']),
    'mx arrays in a list': ('[np.ones(3), np.zeros(3)]', 'X * self.a[0] + self.a[1]', [
        'net.a[0] = np.ones(3) * 3', 'net.a[1][:] = 5', 'net.a.reverse()',
        'net.a[0] = np.ones(1)']),
    'mx arrays in a dict': ('{"k": np.ones(3)}', 'X * self.a["k"]', [
        'net.a["k"] = np.ones(3) * 3', 'net.a["k"] += 1', 'net.a = {"k": np.zeros(3)}']),
    'mx array in an object': ('types.SimpleNamespace(k=np.ones(3))', 'X * self.a.k', [
        'net.a.k = np.ones(3) * 3', 'net.a.k[1] = 9']),
    'one mx array twice': ('[one, one]', 'X * self.a[0] + self.a[1]', [
        'one[:] = 5', 'net.a[0] = np.ones(3) * 7']),
    'mx array in a tuple': ('(np.ones(3), 2)', 'X * self.a[0] * self.a[1]', [
        'net.a = (np.ones(3) * 4, 2)', 'net.a = (np.ones(3), 3)']),
    'tokens': ('np.array([0, 1])', 'X[self.a]', ['net.a = np.array([1, 1])']),
    'logger': ('logging.getLogger("x")', '(self.a.debug("called"), X)[1]', ['net.a.setLevel(10)']),
    'lru_cache': ('positions', 'X + self.a(3)', ['net.b = 1']),
    'string.Template': ('string.Template("$a")', 'X * len(self.a.template)', []),
    'subclass of str': ('Str("ab")', 'X * len(self.a)', ['net.a = Str("abc")']),
    'IntEnum': ('Level.LOW', 'X * self.a', ['net.a = Level.HIGH']),
    'Flag': ('Flag.A', 'X * (2 if self.a & Flag.B else 1)', ['net.a |= Flag.B']),
    'generator function': ('steps', 'sum(x * X for x in self.a(2))',
                           ['net.a = lambda n: iter([7])']),
    'exceptions': ('KeyError', 'raises(self.a, X)', ['net.a = ValueError']),
}
BEFORE = '''
class Mode(enum.Enum):
    SUM = 1
    MEAN = 2
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2
class Flag(enum.Flag):
    A = 1
    B = 2
class Int(int):
    k = 3
class Str(str):
    pass
class List(list):
    k = 3
class Config:
    base = 2
    def __init__(self, k=2):
        self.k = k
    def scale(self, X):
        return X * self.k
    def __call__(self, X):
        return X + self.k
    @property
    def half(self):
        return self.k / 2
    @staticmethod
    def twice(X):
        return X * 2
    @classmethod
    def based(cls, X):
        return X * cls.base
class Derived(Config):
    pass
class Slotted:
    __slots__ = 'k', 'unset'
    def __init__(self, k):
        self.k = k
@dataclasses.dataclass
class Data:
    k: int = 2
    sizes: list = dataclasses.field(default_factory=lambda: [1, 2])
@dataclasses.dataclass(frozen=True)
class Frozen:
    k: int = 2
class Dotted(dict):
    __getattr__ = dict.__getitem__
class Indexed:
    def __init__(self):
        self.items = {'k': 2}
    def __getitem__(self, key):
        return self.items[key]
class Descriptor:
    def __get__(self, instance, owner):
        return instance._k
class Described:
    k = Descriptor()
    _k = 2
def double(X):
    return X * 2
double.scale = 3
def triple(X):
    return X * 3
def power(X, n=2):
    return X ** n
def shifted(X, *, by=2):
    return X + by
def from_list(X, sizes=[2]):
    return X * sizes[0]
def cyclic():
    a = [2, []]
    a[1].append(a)
    return a
def steps(n):
    for i in range(n):
        yield i + 1
def raises(kind, X):
    try:
        {}['k']
    except kind:
        return X * 2
    except Exception:
        return X * 3
@functools.lru_cache(maxsize=None)
def positions(n):
    return np.arange(n)
config, settings, one = Config(), {'k': 2}, np.ones(3)
'''
GUARDED = {f'attribute: {name}': (block(f'self.a = {value}', f'return {forward}', BEFORE), changes)
           for name, (value, forward, changes) in ATTRIBUTES.items()}

F = 'def f(X):\n    return '
GUARDED.update({
    'global float': ('k = 2.0\n' + F + 'X * k', ['k = 3.0', 'k = 3']),
    'global list': ('k = [2.0]\n' + F + 'X * k[0]', ['k[0] = 3.0', 'k = [5]']),
    'global dict': ('k = {"a": 2}\n' + F + 'X * k["a"]', ['k["a"] = 3', 'k = {"a": 4}']),
    'global object': ('k = types.SimpleNamespace(a=2)\n' + F + 'X * k.a', ['k.a = 3']),
    'global array': ('W = np.ones(3)\n' + F + 'X * W', ['W = W * 3', 'W[:] = 5', 'W += 1']),
    'global arrays in a list': ('W = [np.ones(3)]\n' + F + 'X * W[0]',
                                ['W[0] = W[0] * 3', 'W[0][:] = 5']),
    'global array with a gradient': ('W = np.ones(3)\nW.attach_grad()\n' + F + 'X * W', [
        'W = W - 0.5 * W', 'W.attach_grad()']),
    'global function': ('def g(X):\n    return X * 2\n' + F + 'g(X)', ['g = lambda X: X * 3']),
    'global read by a called function': ('k = 2\ndef g(X):\n    return X * k\n' + F + 'g(X)',
                                         ['k = 3']),
    'global in a comprehension': ('k = [1, 2]\n' + F + 'sum([X * i for i in k])', ['k.append(3)']),
    'global in a lambda': ('k = 2\n' + F + '(lambda: X * k)()', ['k = 3']),
    'global in a nested function': (
        'k = 2\ndef f(X):\n    def g():\n        return X * k\n    return g()', ['k = 3']),
    'a builtin shadowed': (F + 'X * len([1, 2])', ['len = lambda x: 7', 'del len']),
    'a builtin replaced': (F + 'X * abs(-2)', [
        'import builtins; saved = builtins.abs; builtins.abs = lambda x: 7',
        'builtins.abs = saved']),
    'a global by import': ('import math as m\n' + F + 'X * m.floor(m.pi)', [
        'import types as t; m = t.SimpleNamespace(pi=5.5, floor=math.floor)']),
    'module attribute': ('m = types.ModuleType("m"); m.k = 2\n' + F + 'X * m.k', ['m.k = 3']),
    'function of a module': ('m = types.ModuleType("m"); m.g = lambda X: X * 2\n' + F + 'm.g(X)',
                             ['m.g = lambda X: X * 3']),
    'list in a module': ('m = types.ModuleType("m"); m.k = [2]\n' + F + 'X * m.k[0]',
                         ['m.k[0] = 3']),
    'array in a module': ('m = types.ModuleType("m"); m.k = np.ones(3)\n' + F + 'X * m.k', [
        'm.k = np.ones(3) * 2', 'm.k += 1']),
    'module in a module': ('m = types.ModuleType("m"); m.n = types.ModuleType("n"); m.n.k = 2\n'
                           + F + 'X * m.n.k', ['m.n.k = 3']),
    "a function of MXNet's replaced": (F + 'npx.relu(X - 3)', [
        'saved = npx.relu; npx.relu = lambda X: X * 2', 'npx.relu = saved']),
    'closure': ('def make():\n    k = 2\n    def f(X):\n        return X * k\n    def set(v):\n'
                '        nonlocal k\n        k = v\n    return f, set\nf, set = make()',
                ['set(3)', 'set(3.0)']),
    'closure over a list': ('def make():\n    k = [2]\n    return (lambda X: X * k[0]), k\n'
                            'f, k = make()', ['k[0] = 3', 'k.insert(0, 5)']),
    'closure over an array': (
        'def make():\n    W = np.ones(3)\n    def f(X):\n        return X * W\n    def set(v):\n'
        '        nonlocal W\n        W = v\n    return f, set\nf, set = make()',
        ['set(np.zeros(3))', 'set(np.ones((2, 3)))']),
    'closure of a closure': (
        'def make():\n    k = 2\n    def g(X):\n        return X * k\n    def f(X):\n'
        '        return g(X)\n    def set(v):\n        nonlocal k\n        k = v\n'
        '    return f, set\nf, set = make()', ['set(3)']),
    'cell emptied and filled': (
        'def make():\n    k = 2\n    def f(X):\n        try:\n            return X * k\n'
        '        except NameError:\n            return X\n    def drop():\n        nonlocal k\n'
        '        del k\n    def set(v):\n        nonlocal k\n        k = v\n'
        '    return f, drop, set\nf, drop, set = make()', ['drop()', 'set(5)']),
    'default': ('def f(X, k=2):\n    return X * k', ['f.__wrapped_defaults__ = 1']),
    'default that is a list': (
        'def g(X, k=[2]):\n    return X * k[0]\ndef f(X):\n    return g(X)', [
        'g.__defaults__[0][0] = 3', 'g.__defaults__ = ([5],)']),
    'default that is an array': (
        'def g(X, W=np.ones(3)):\n    return X * W\ndef f(X):\n    return g(X)', [
        'g.__defaults__[0][:] = 3', 'g.__defaults__ = (np.zeros(3),)']),
    'decorator': (
        'def deco(k):\n    def wrap(g):\n        @functools.wraps(g)\n        def inner(X):\n'
        '            return g(X) * k[0]\n        return inner\n    return wrap\nk = [2]\n'
        '@deco(k)\ndef g(X):\n    return X + 1\ndef f(X):\n    return g(X)', ['k[0] = 3']),
    'partial of an object': ('c = types.SimpleNamespace(k=2)\ndef g(c, X):\n    return X * c.k\n'
                             'f = functools.partial(g, c)', ['c.k = 3']),
    'bound method compiled': (
        'class C:\n    k = 2\n    def g(self, X):\n        return X * self.k\n'
        'c = C()\nf = c.g', ['c.k = 3', 'C.k = 4', 'del c.k']),
    'callable object compiled': ('class C:\n    k = 2\n    def __call__(self, X):\n'
                                 '        return X * self.k\nc = C()\nf = c', ['c.k = 3']),
    'class attribute of the Block': (block('', 'return X * self.k') + 'Net.k = 2\n', [
        'Net.k = 3', 'net.k = 4', 'del net.k', 'del Net.k; nn.Block.k = 9',
        'del nn.Block.k; Net.k = 1']),
    'class attribute by the class': (block('', 'return X * Net.k') + 'Net.k = 2\n', ['Net.k = 3']),
    'class attribute by type': (block('', 'return X * type(self).k[0]') + 'Net.k = [2]\n', [
        'Net.k[0] = 3', 'Net.k = [4]']),
    'a list that holds itself': ('a = [2, []]\na[1].append(a)\n' + F + 'X * a[1][0][0]', [
        'a[0] = 3', 'a[1].append(1)']),
    'class array': (block('', 'return X * self.k') + 'Net.k = np.ones(3)\n', [
        'Net.k = np.zeros(3)', 'Net.k[0] = 4']),
    'a method replaced': (block('', 'return self.g(X)') + 'Net.g = lambda self, X: X * 2\n', [
        'Net.g = lambda self, X: X * 3', 'net.g = lambda X: X * 4', 'del net.g']),
    'forward replaced': (block('', 'return X * 2'), ['Net.forward = lambda self, X: X * 3']),
    'forward of a child replaced': (
        block('self.c = Child()', 'return self.c(X)',
              'class Child(nn.Block):\n    def forward(self, X):\n        return X * 2'),
        ['Child.forward = lambda self, X: X * 3', 'net.c.forward = lambda X: X * 4']),
    'class of the Block changed': (
        block('', 'return self.g(X)') + 'Net.g = lambda self, X: X * 2\n'
        'class Other(Net):\n    def g(self, X):\n        return X * 3\n',
        ['net.__class__ = Other']),
    'property of the Block': (block('self._k = 2', 'return X * self.k')
                              + 'Net.k = property(lambda self: self._k * 2)\n', [
                                  'net._k = 3', 'Net.k = property(lambda self: 7)']),
    '__getattr__ of the Block': (
        block('self.cfg = {"k": 2}', 'return X * self.k')
        + 'Net.__getattr__ = lambda self, name: self.__dict__["cfg"][name]\n',
        ['net.cfg["k"] = 3']),
    'vars(self)': (block('self.k = 2', 'return X * vars(self)["k"]'), ['net.k = 3']),
    'vars(self), its length': (block('self.k = 2',
                                     'return X * len([n for n in vars(self) if n[0] in "jk"])'),
                               ['net.j = 3', 'del net.k']),
    '__dict__': (block('self.k = 2', 'return X * self.__dict__["k"]'), ['net.k = 3']),
    'getattr': (block('self.k1 = 2', 'return X * getattr(self, "k" + str(1))'), ['net.k1 = 3']),
    'hasattr': (block('', 'return X * 2 if hasattr(self, "k") else X'), ['net.k = 3', 'del net.k']),
    'attribute of a child': (
        block('self.c = nn.Dense(3)', 'return X * self.c.k + self.c(X)') + 'net.c.k = 2\n',
        ['net.c.k = 3']),
    'attribute of the parent': (
        block('self.c = Child(weakref.ref(self))\nself.k = 2', 'return self.c(X)',
              'class Child(nn.Block):\n    def __init__(self, parent):\n'
              '        super().__init__()\n        self.parent = parent\n'
              '    def forward(self, X):\n        return X * self.parent().k'),
        ['net.k = 3']),
    'attribute of another Block': (
        'other = nn.Dense(2)\nother.k = 2\n' + block('', 'return X * other.k'), ['other.k = 3']),
    'children popped': (
        'net = nn.Sequential()\nnet.add(nn.Dense(3), nn.Dense(3))\nnet.initialize(init.One())\n',
        ['net._children.popitem()', 'net.add(net[0])']),
    'a child replaced': (
        'net = nn.Sequential()\nnet.add(nn.Dense(3), nn.Dense(3))\nnet.initialize(init.One())\n'
        'other = nn.Dense(4)\nother.initialize(init.One())\n',
        ['net._children["1"] = other', 'net.register_child(nn.Flatten(), "1")']),
    'a child registered': (
        'net = nn.Sequential()\nnet.add(nn.Dense(3))\nnet.initialize(init.One())\n',
        ['net.register_child(nn.Activation("tanh"))']),
    'children in a list': (
        block('self.layers = [nn.Dense(3), nn.Activation("tanh")]\nfor l in self.layers:\n'
              '    self.register_child(l)', 'for l in self.layers:\n    X = l(X)\nreturn X'),
        ['net.layers.append(net.layers[1])', 'net.layers.pop(0)']),
    'a child assigned': (block('self.c = nn.Activation("tanh")', 'return self.c(X)'), [
        'net.c = nn.Activation("relu")']),
    '_kwargs of BatchNorm': (
        block('self.bn = nn.BatchNorm()', 'return self.bn(X)'), [
            'net.bn._kwargs["eps"] = 10.0', 'net.bn._kwargs["use_global_stats"] = True']),
    'the rate of Dropout': (block('self.d = nn.Dropout(0.5)', 'return self.d(X)'),
                            ['net.d._rate = 0.0']),
    'the activation of Dense': (
        block('self.d = nn.Dense(3, activation="tanh")', 'return self.d(X)'),
        ['net.d.act = nn.Activation("relu")', 'net.d._flatten = False']),
    'initialized anew': (
        block('self.d = nn.Dense(3)', 'return self.d(X)'), [
            'net.initialize(init.Constant(0.5), force_reinit=True)',
            'net.d.weight.set_data(np.ones((3, 3)) * 3)']),
    'list_data': (
        block('self.d = nn.Dense(3, in_units=3)',
              'return np.dot(X, self.d.weight.list_data()[0])'), [
            'net.initialize(init.Constant(0.5), force_reinit=True)']),
    '_data': (
        block('self.d = nn.Dense(3, in_units=3)', 'return np.dot(X, self.d.weight._data[0])'), [
            'net.initialize(init.Constant(0.5), force_reinit=True)',
            'net.d.weight.set_data(np.ones((3, 3)) * 3)']),
    '_data set': (
        block('self.d = nn.Dense(3, in_units=3)', 'return np.dot(X, self.d.weight.data())'), [
            'net.d.weight._data[0] = np.ones((3, 3)) * 3']),
    'grad_req read': (
        block('self.d = nn.Dense(3, in_units=3)',
              'return self.d(X) if self.d.weight.grad_req == "write" else X'),
        ['net.d.weight.grad_req = "null"']),
    'shape of a Parameter': (
        block('self.d = nn.Dense(3, in_units=3)', 'return X * self.d.weight.shape[0]'), []),
    'global read by a Block': ('k = 2\n' + block('', 'return X * k'), ['k = 3']),
    'array of a Block by a global': ('W = [np.ones(3)]\n' + block('', 'return X * W[0]'),
                                     ['W[0] = np.zeros(3)']),
    'enclosing instance': (
        'class Trainer:\n    def __init__(self):\n        self.k = 2\n        outer = self\n'
        '        class Net(nn.Block):\n            def forward(self, X):\n'
        '                return X * outer.k\n        self.net = Net()\n'
        't = Trainer()\nnet = t.net\n',
        ['t.k = 3', 't.k = [1][0]']),
    'os.environ': (F + 'X * float(os.environ.get("D2L_TEST_K", "1"))', [
        'os.environ["D2L_TEST_K"] = "3"', 'del os.environ["D2L_TEST_K"]']),
    'os.getenv': (F + 'X * float(os.getenv("D2L_TEST_K", "1"))', [
        'os.environ["D2L_TEST_K"] = "3"', 'del os.environ["D2L_TEST_K"]']),
    'class with a metaclass': (
        'class M(type):\n    k = 2\nclass C(metaclass=M):\n    pass\n' + F + 'X * C.k',
        ['C.k = 3']),
    'super()': (
        'class Base(nn.Block):\n    def g(self, X):\n        return X * 2\n'
        'class Net(Base):\n    def g(self, X):\n        return super().g(X) + 1\n'
        '    def forward(self, X):\n        return self.g(X)\nnet = Net()\n',
        ['Base.g = lambda self, X: X * 3']),
    'registry of functions': (
        'REGISTRY = {}\ndef register(g):\n    REGISTRY[g.__name__] = g\n    return g\n'
        '@register\ndef g(X):\n    return X * 2\n' + F + 'REGISTRY["g"](X)',
        ['REGISTRY["g"] = lambda X: X * 3']),
    'the mode by a global': ('TRAIN = False\n' + block('', 'return X * 2 if TRAIN else X'),
                             ['TRAIN = True']),
    'json of a dict': ('cfg = {"k": [1, 2]}\n' + F + 'X * len(json.dumps(cfg))',
                       ['cfg["k"].append(3)']),
    'float assigned again': (block('self.k = float("2.5")', 'return X * self.k'),
                             ['net.k = float("2.5")'] * 3 + ['net.k = 5.0 / 2']),
    'list assigned again': (block('self.k = [2.5, "a"]', 'return X * self.k[0]'),
                            ['net.k = [float("2.5"), "".join(["a"])]'] * 3),
    'unrelated attributes': (block('self.k = 2', 'return X * self.k'),
                             [f'net.step = {i}' for i in range(6)]),
    'an own forward': (block('', 'return X') + 'net.forward = lambda X: X * 2\n', []),
})

# what forward changes: (lines of __init__, of forward, changes between calls, what to compare)
STATE = {
    'state in a list': ('self.s = [np.zeros(3)]',
                        'self.s = [self.s[0] + X.sum(axis=0)]\nreturn self.s[0] * 1',
                        ['net.s = [np.ones(3)]'], ['net.s']),
    'state in a list, in place': ('self.s = [np.zeros(3)]',
                                  'self.s[0] = self.s[0] + X.sum(axis=0)\nreturn X + self.s[0]',
                                  ['net.s[0] = np.ones(3)'], ['net.s']),
    'state of an RNN': (
        'self.rnn = rnn.GRU(4, input_size=3)\nself.s = self.rnn.begin_state(batch_size=1)',
        'Y, self.s = self.rnn(np.expand_dims(X, 1), self.s)\nreturn Y',
        ['net.s = net.rnn.begin_state(batch_size=1)'], ['net.s']),
    'state of an LSTM': ('self.rnn = rnn.LSTM(4, input_size=3)\nself.s = None',
                         'if self.s is None:\n    self.s = self.rnn.begin_state(batch_size=1)\n'
                         'Y, self.s = self.rnn(np.expand_dims(X, 1), self.s)\nreturn Y',
                         ['net.s = None'], ['net.s']),
    'state in a dict': ('self.s = {"h": np.zeros(3)}',
                        'self.s["h"] = self.s["h"] + X.sum(axis=0)\nreturn X * self.s["h"]',
                        ['net.s["h"] = np.ones(3)'], ['net.s']),
    'state in a tuple': ('self.s = (np.zeros(3), np.ones(3))',
                         'self.s = (self.s[1], self.s[0] + X.sum(axis=0))\nreturn X * self.s[0]',
                         [], ['net.s']),
    'state in an object': ('self.s = types.SimpleNamespace(h=np.zeros(3))',
                           'self.s.h = self.s.h + X.sum(axis=0)\nreturn X * self.s.h',
                           ['net.s.h = np.ones(3)'], ['net.s']),
    'state in a deque': ('self.s = collections.deque([np.zeros(3)] * 3, maxlen=3)',
                         'self.s.append(X.sum(axis=0))\nreturn sum(self.s)', [], ['net.s']),
    'a cache that grows': ('self.cache = {}',
                           'old = self.cache.get("k")\n'
                           'self.cache["k"] = X if old is None else np.concatenate([old, X])\n'
                           'return self.cache["k"].sum(axis=0)', ['net.cache.clear()'],
                           ['net.cache']),
    'a list that grows': ('self.history = []', 'self.history.append(X * 2)\nreturn X',
                          ['net.history.clear()'],
                          ['net.history']),
    'a list that is read and grows': ('self.history = []',
                                      'self.history.append(X * 2)\nreturn sum(self.history)', [],
                                      ['net.history']),
    'extend, pop and del': ('self.h = [np.zeros(3)] * 3',
                            'self.h.extend([X[0], X[1]])\nself.h.pop(0)\ndel self.h[0]\n'
                            'return X + self.h[0] + self.h[-1]', [], ['net.h']),
    'swap': ('self.h = [np.zeros(3), np.ones(3)]',
             'self.h[0], self.h[1] = self.h[1], self.h[0]\nreturn X + self.h[0]', [],
             ['net.h']),
    'a nested list': ('self.h = {"a": [[np.zeros(3)]]}',
                      'self.h["a"][0][0] = self.h["a"][0][0] + X[0]\nreturn X + self.h["a"][0][0]',
                      [], ['net.h']),
    'made once': ('',
                  'if not hasattr(self, "scale"):\n    self.scale = X * 2\nreturn X * self.scale',
                  [], ['net.scale']),
    'made once, a flag': ('self.ready = False',
                          'if not self.ready:\n    self.scale = X * 2\n    self.ready = True\n'
                          'return X * self.scale', [], ['net.ready', 'net.scale']),
    'deleted': ('self.h = np.ones(3)', 'Y = X * self.h if hasattr(self, "h") else X\n'
                'if hasattr(self, "h"):\n    del self.h\nreturn Y', ['net.h = np.ones(3) * 2'],
                ['hasattr(net, "h")']),
    'last result': ('', 'self.last = [X * 2, "text"]\nreturn X', [], ['net.last']),
    'last shape': ('', 'self.last = X.shape\nreturn X', [], ['net.last']),
    'setattr': ('self.h = np.zeros(3)', 'setattr(self, "h", self.h + X[0])\nreturn X + self.h', [],
                ['net.h']),
    '__dict__ written': ('self.h = np.zeros(3)',
                         'self.__dict__["h"] = self.h + X[0]\nreturn X + self.h', [], ['net.h']),
    'vars updated': ('self.h = np.zeros(3)',
                     'vars(self).update(h=self.h + X[0])\nreturn X + self.h', [], ['net.h']),
    'object.__setattr__': ('self.h = np.zeros(3)',
                           'object.__setattr__(self, "h", self.h + X[0])\nreturn X + self.h', [],
                           ['net.h']),
    'array in place': ('self.h = np.zeros(3)',
                       'self.h[:] = self.h + X[0].detach()\nreturn X * self.h.copy()', [],
                       ['net.h']),
    'array in place, +=': ('self.h = np.zeros(3)', 'self.h += X[0].detach()\nreturn X * 1', [],
                           ['net.h']),
    'array in a list in place': ('self.h = [np.zeros(3)]',
                                 'self.h[0][:] = self.h[0] + X[0].detach()\nreturn X * 2', [],
                                 ['net.h']),
    'same array in two places': ('self.h = np.zeros(3)\nself.g = [self.h]',
                                 'self.h[:] = self.h + X[0].detach()\n'
                                 'return X * 2 + self.g[0].copy()', [],
                                 ['net.h', 'net.g', 'net.h is net.g[0]']),
    'class attribute': ('', 'Net.h = Net.h + X[0]\nreturn X + Net.h', [], ['Net.h']),
    'class list': ('', 'self.h[0] = self.h[0] + X[0]\nreturn X + self.h[0]', [], ['Net.h']),
    'state of a child': ('self.c = nn.Dense(3, in_units=3)\nself.c.h = np.zeros(3)',
                         'self.c.h = self.c.h + X[0]\nreturn self.c(X) + self.c.h', [],
                         ['net.c.h']),
    'aliases': ('self.a = self.b = [np.zeros(3)]',
                'self.a[0] = self.a[0] + X[0]\nreturn X + self.b[0]',
                ['net.a[0] = np.ones(3)'], ['net.a', 'net.b', 'net.a is net.b']),
    'aliases parted': ('self.a = self.b = [np.zeros(3)]',
                       'self.a[0] = self.a[0] + X[0]\nreturn X + self.b[0]',
                       ['net.b = [np.ones(3)]'], ['net.a', 'net.b', 'net.a is net.b']),
    'an object in another': (
        'self.a = types.SimpleNamespace(b=types.SimpleNamespace(h=np.zeros(3)))',
        'b = self.a.b\nb.h = b.h + X[0]\nreturn X + b.h', [], ['net.a']),
    'set of names': ('self.seen = set()', 'self.seen.add(X.shape)\nreturn X * len(self.seen)', [],
                     ['net.seen']),
    'two layers of state': ('self.s = [[np.zeros(3), np.zeros(3)], [np.ones(3), np.ones(3)]]',
                            'self.s = [[h + X[0] for h in s] for s in self.s]\n'
                            'return X + self.s[1][0]', [], ['net.s']),
    'a global list': ('', 'H[0] = H[0] + X[0]\nreturn X + H[0]', ['H[0] = np.ones(3)'], ['H']),
    'a global array': ('', 'global G\nG = G + X[0]\nreturn X + G', ['G = np.ones(3)'], ['G']),
    'attribute of a function': ('', 'count.h = count.h + X[0]\nreturn X + count.h', [],
                                ['count.h']),
    'a dataclass': ('self.d = D()', 'self.d.h = self.d.h + X[0]\nreturn X + self.d.h', [],
                    ['net.d']),
    'slots': ('self.d = Sl()', 'self.d.h = self.d.h + X[0]\nreturn X + self.d.h', [], ['net.d.h']),
    'an object assigned': ('self.d = D()', 'self.d = D(self.d.h + X[0])\nreturn X + self.d.h', [],
                           ['net.d']),
    'property with a setter': ('self._h = np.zeros(3)', 'self.h = self.h + X[0]\nreturn X + self.h',
                               [], ['net._h']),
    'running mean': ('self.mean = np.zeros(3)', 'if autograd.is_training():\n'
                     '    self.mean = 0.9 * self.mean + 0.1 * X.mean(axis=0).detach()\n'
                     'return X - self.mean', [],
                     ['net.mean']),
    'cached_property': ('', 'return X + self.mask', [], []),
}
STATE_BEFORE = '''
H, G = [np.zeros(3)], np.zeros(3)
def count():
    pass
count.h = np.zeros(3)
@dataclasses.dataclass
class D:
    h: object = dataclasses.field(default_factory=lambda: np.zeros(3))
class Sl:
    __slots__ = ['h']
    def __init__(self):
        self.h = np.zeros(3)
'''
STATE_AFTER = '''
Net.h = np.zeros(3)
'''
for name, (init, forward, changes, looks) in STATE.items():
    after = {'class attribute': 'Net.h = np.zeros(3)\n', 'class list': 'Net.h = [np.zeros(3)]\n',
             'property with a setter': 'Net.h = property(lambda self: self._h, lambda self, v: '
                                       'setattr(self, "_h", v))\n',
             'cached_property': 'Net.mask = functools.cached_property(lambda self: np.arange(3))\n'
                                'Net.mask.__set_name__(Net, "mask")\n',
             }.get(name, '')
    GUARDED[f'state: {name}'] = block(init, forward,
                                      STATE_BEFORE) + after + f'STATE = {looks!r}\n', changes

ARGUMENTS = {   # a function, how it is called, changes
    'list': ('def f(a):\n    return a[0] * a[1]', 'f([X, k])', ['k = 3']),
    'dict': ('def f(a):\n    return a["X"] * a["k"]', 'f({"X": X, "k": k})', ['k = 3']),
    'keywords': ('def f(X, k=1, m=None):\n    return X * k if m is None else X * m',
                 'f(X, k=k, m=m)',
                 ['k = 3', 'm = np.ones(3)', 'm = np.zeros(3)']),
    'dataclass': ('def f(d):\n    return d.X * d.k', 'f(D(X, k))', ['k = 3']),
    'namespace': ('def f(d):\n    return d.X * d.k', 'f(types.SimpleNamespace(X=X, k=k))',
                  ['k = 3']),
    'object': ('def f(d):\n    return d.X * d.k', 'f(O(X, k))', ['k = 3']),
    'slots': ('def f(d):\n    return d.X * d.k', 'f(S(X, k))', ['k = 3']),
    'namedtuple': ('def f(d):\n    return d.X * d.k', 'f(N(X, k))', ['k = 3']),
    'deque': ('def f(d):\n    return d[0] * d[1]', 'f(collections.deque([X, k]))', ['k = 3']),
    'defaultdict': ('def f(d):\n    return d["X"] * d["k"]',
                    'f(collections.defaultdict(int, X=X, k=k))', ['k = 3']),
    'NumPy array': ('def f(X, a):\n    return X * np.array(a)', 'f(X, numpy.ones(3) * k)',
                    ['k = 3']),
    'NumPy scalar': ('def f(X, a):\n    return X * float(a)', 'f(X, numpy.float32(k))', ['k = 3']),
    'set': ('def f(X, a):\n    return X * sum(a)', 'f(X, {1, k})', ['k = 3']),
    'slice': ('def f(X, a):\n    return X[a]', 'f(X, slice(0, k))', ['k = 1']),
    'zeros': ('def f(X, a):\n    return X * math.copysign(1, a)', 'f(X, k)',
              ['k = 0.0', 'k = -0.0', 'k = 0.0']),
    'nan': ('def f(X, a):\n    return X if a == a else -X', 'f(X, k)',
            ['k = float("nan")', 'k = float("nan")']),
    'function': ('def f(X, g):\n    return g(X)', 'f(X, lambda X: X * k)', ['k = 3']),
    'a list changed': ('def f(a):\n    a[0] = a[0] * 2\n    a.append(a[0] + 1)\n    return a[0]',
                       'g(f)', []),
    'a dict changed': ('def f(a):\n    a["n"] = a["X"] * 2\n    return a["n"] + 1', 'h(f)', []),
    'an object changed': ('def f(a):\n    a.y = a.X * 2\n    return a.y + 1', 'o(f)', []),
    "the decoder's state": (
        'def f(X, s):\n    s[1][0] = X if s[1][0] is None else np.concatenate([s[1][0], X])\n'
        '    return s[1][0].sum(axis=0), s', 's(f)', []),
    'one array twice': ('def f(a, b):\n    return a * b', 'f(X, X)', []),
    'one array and then two': ('def f(a, b):\n    return a * b', 'f(X, Y if Y is not None else X)',
                               ['Y = np.ones(3)']),
    'a global is the argument': ('def f(a):\n    return a * W', 'f(W if k == 2 else X)',
                                 ['k = 3', 'W = np.ones(3)']),
    'partial': ('def f(g, X):\n    return g(X)', 'f(functools.partial(np.multiply, X), X * k)',
                ['k = 3']),
    'star': ('def f(*a, **k):\n    return sum(a) + sum(k.values())', 'f(X, X * 2, z=X * k)',
             ['k = 3']),
    'None and arrays': ('def f(X, m):\n    return X if m is None else X * m', 'f(X, m)',
                        ['m = np.ones(3) * 3', 'm = None']),
    'dtype': ('def f(X, m):\n    return X.astype(m)', 'f(X, d)',
              ['d = numpy.float64', 'd = "int32"']),
    'Context': ('def f(X, c):\n    return X + np.ones(3, ctx=c)', 'f(X, mx.cpu())', []),
    'enum': ('def f(X, e):\n    return X * e.value', 'f(X, E.A if k == 2 else E.B)', ['k = 3']),
    'Parameter': ('def f(X, p):\n    return X * p.data()', 'f(X, p)',
                  ['p.set_data(np.ones(3) * 4)', 'p = q']),
    'Block': ('def f(X, b):\n    return b(X)', 'f(X, b)', ['b.k = 1']),
}
ARGUMENTS_BEFORE = '''
k, m, Y, W, d = 2, None, None, np.ones(3) * 2, numpy.float32
@dataclasses.dataclass
class D:
    X: object
    k: object
class O:
    def __init__(self, X, k):
        self.X, self.k = X, k
class S:
    __slots__ = 'X', 'k'
    def __init__(self, X, k):
        self.X, self.k = X, k
class E(enum.Enum):
    A = 2
    B = 3
N = collections.namedtuple('N', 'X k')
p, q = gluon.Parameter('p', shape=(3,)), gluon.Parameter('q', shape=(3,))
p.initialize(init.One()); q.initialize(init.Constant(5))
b = nn.Dense(2); b.initialize(init.One())
def g(f):
    a = [X, 1]
    return f(a), a, len(a)
def h(f):
    a = {'X': X}
    return f(a), a
def o(f):
    a = types.SimpleNamespace(X=X)
    return f(a), a
def s(f):
    a, outs = [X, [None]], []
    for _ in range(3):
        Y, b = f(X, a)
        outs += [Y, b is a, b[1] is a[1]]
    return outs, a
'''
RESULTS = {
    'dataclass': 'D(X * 2, [X])', 'namespace': 'types.SimpleNamespace(a=X * 2)',
    'deque': 'collections.deque([X * 2], 3)',
    'defaultdict': 'collections.defaultdict(list, a=X * 2)',
    'OrderedDict': 'collections.OrderedDict(b=X, a=X * 2)',
    'namedtuple': 'N(X, X * 2)', 'an array twice': '[Y, Y]',
    'nested': '{"a": [X * 2, (Y, {"b": Y})]}', 'None': '[None, X * 2]',
    'numbers': '(X * 2, 3, 2.5, "a", True, numpy.float32(3))', 'object': 'O(X * 2, 3)',
    'an argument': '(X, X * 2)',
    'set': '(X * 2, {1, 2})', 'shape': '(X * 2, X.shape, X.dtype, X.ctx)',
    'NumPy array': '(X * 2, numpy.ones(3).tolist())',
    'slice': '(X * 2, slice(0, 1))', 'list with itself': 'cyclic(X)', 'empty': '[[], {}, ()]',
    'a constant': '[np.ones(2)] * 2',
    'slots': 'vars_of(S(X * 2, X))', 'Counter': '(X * 2, collections.Counter("aab"))',
    'an enum': '(X, E.A)', 'a class': '(X, D)',
    'a global list': '[L, L]', 'a Parameter': '(X * 2, p.data())',
    'dict of ints': '{0: X, 1: X * 2}',
}
for name, (source, call, changes) in ARGUMENTS.items():
    GUARDED[f'argument: {name}'] = ARGUMENTS_BEFORE + source, changes, call
for name, result in RESULTS.items():
    GUARDED[f'result: {name}'] = (
        ARGUMENTS_BEFORE + 'L = [np.ones(2)]\ndef cyclic(X):\n    a = [X * 2]\n    return [a, a]\n'
        'def vars_of(s):\n    return s.X, s.k\n'
        f'def f(X):\n    Y = X * 2\n    return {result}', [], 'f(X)')
GUARDED['result: identity'] = (
    'def f(X):\n    Y = X * 2\n    return [Y, Y, [Y]]\n', [],
    '(lambda r: [r[0], r[0] is r[1], r[2][0] is r[0]])(f(X))')
GUARDED['result: a list of the net'] = (
    block('self.h = [np.ones(3)]', 'return X, self.h'), [],
    '(lambda r: [r[0], r[1] is net.h, r[1][0] is net.h[0]])(net(X))')
GUARDED['net.forward with keywords'] = (
    'class Net(nn.Block):\n    def forward(self, X, mask=None):\n'
    '        return X if mask is None else X * mask\nnet = Net()\n', [], 'net.forward(X, mask=X)')

# ------------------------------------------------------------------ more, as people write it

def more(name, source, changes=(), *call):
    GUARDED[name] = (source, list(changes), *call)


B = block
more('vae', B('self.e=nn.Dense(4, in_units=3)\nself.d=nn.Dense(3,in_units=2)',
              'h=self.e(X)\nmu, lv = np.split(h,2,axis=1)\n'
              'z = mu + np.exp(0.5*lv)*np.random.normal(0,1,mu.shape)\nreturn self.d(z), mu, lv'))
more('attention with dict config',
     B('self.cfg={"heads":1,"p":0.0}\nself.q=nn.Dense(4,flatten=False,in_units=3)',
       'q=self.q(X)\ns=npx.softmax(np.dot(q,q.T)/math.sqrt(q.shape[-1]))\nself.weights=s\n'
       'return np.dot(s,q)*self.cfg["heads"]'),['net.cfg["heads"]=2'])
more('super forward',
     'class A(nn.Sequential):\n    def forward(self, X):\n'
     '        return super().forward(X) * self.k\nnet=A()\nnet.add(nn.Dense(3))\nnet.k=2\n'
     'net.initialize(init.One())\n',['net.k=3','net.add(nn.Activation("relu"))'])
more('activation made in forward', B('','return nn.Activation("relu")(X-3)'))
more('loss made in forward', B('','return gluon.loss.L2Loss()(X, X*2)'))
more('lambda block func changed',
     'net=nn.Sequential()\nnet.add(nn.Dense(3), nn.Lambda(lambda X: X*2))\n'
     'net.initialize(init.One())\n',
     ['net[1]._func = lambda X: X*3','net[1]._func_impl = lambda X: X*4'])
more('logger info', 'log=logging.getLogger("q")\n'+B('','log.info("x %s", X.shape)\nreturn X'))
more('print', B('','print("hello", end="")\nreturn X'))
more('import in forward',
     B('',
       'import math as mm\nfrom collections import OrderedDict as OD\nreturn X*mm.pi*len(OD(a=1))'))
more('assert', B('self.n=3','assert X.shape[1]==self.n, f"{X.shape}"\nreturn X'),[])
more('try except', B('','try:\n    return X*self.missing\nexcept AttributeError:\n    return X'),
     ['net.missing=2','del net.missing'])
more('isinstance', B('self.c=nn.Dense(3)',
                     'return self.c(X) if isinstance(self.c, nn.Dense) else X'))
more('type hints', 'import typing as T\n'+B('','y: T.List[int] = [1]\nreturn X*y[0]'))
more('fstring attr', B('self.w1=2','return X*getattr(self, f"w{1}")'),['net.w1=3'])
more('module list comprehension',
     B('self.bs=[nn.Dense(3) for _ in range(2)]\nfor b in self.bs: self.register_child(b)',
       'return sum(b(X) for b in self.bs)'))
more('zip blocks and list',
     B('self.bs=[nn.Dense(3),nn.Dense(3)]\nself.sc=[1,2]\nfor b in self.bs: self.register_child(b)',
       'return sum(b(X)*s for b,s in zip(self.bs,self.sc))'),['net.sc[1]=5'])
more('children values', B('self.a=nn.Dense(3)\nself.b=nn.Activation("tanh")',
                          'for b in self._children.values():\n    X=b(X)\nreturn X'))
more('collect_params in forward',
     B('self.a=nn.Dense(3,in_units=3)',
       'return self.a(X)+sum((p.data()**2).sum() for p in self.collect_params().values())'))
more('collect_params regex',
     B('self.a=nn.Dense(3,in_units=3)',
       'return self.a(X)+sum((p.data()**2).sum() '
       'for p in self.collect_params(".*weight").values())'))
more('params.get', B('self.w=self.params.get("w",shape=(3,))',
                     'return X*self.params.get("w").data()'),['net.w.set_data(np.ones(3)*4)'])
more('gluon constant', B('self.c=self.params.get_constant("c", np.ones(3))',
                         'return X*self.c.data()'))
more('param in list', B('self.ws=[self.params.get("w",shape=(3,))]','return X*self.ws[0].data()'),
     ['net.ws[0].set_data(np.ones(3)*4)'])
more('name in forward', B('','return X*len(self.name)+len(self.prefix)'),[])
more('deepcopy in forward',
     B('self.cfg={"a":[1,2]}','c=copy.deepcopy(self.cfg)\nc["a"][0]=5\nreturn X*sum(c["a"])'),
     ['net.cfg["a"][1]=7'])
more('dict copy', B('self.cfg={"a":2}','c=dict(self.cfg, b=3)\nreturn X*c["a"]*c["b"]'),
     ['net.cfg["a"]=7'])
more('**kwargs', B('self.cfg={"axis":1}','return X.sum(**self.cfg)'),
     ['net.cfg["axis"]=0','net.cfg={}'])
more('*args', B('self.sz=[3,2]','return X.reshape(*self.sz)'),
     ['net.sz=[6,1]','net.sz[0],net.sz[1]=1,6'])
more('sorted set', B('self.s={3,1}','return X*sorted(self.s)[0]'),['net.s.add(0)'])
more('reduce', B('self.s=[2,3]','return X*functools.reduce(lambda a,b:a*b,self.s)'),
     ['net.s.append(4)'])
more('itertools.product',
     B('self.s=[1,2]','return sum(X*i*j for i,j in itertools.product(self.s,self.s))'),
     ['net.s[0]=4'])
more('enumerate', B('self.s=[1,2]','return sum(X*i*j for i,j in enumerate(self.s))'),['net.s[1]=4'])
more('string format', B('self.s="{}"','return X*int(self.s.format(3))'),['net.s="1{}"'])
more('regex', 'import re\np=re.compile("a+")\n'+F+'X*len(p.match("aab").group())',
     ['p=re.compile("a")'])
more('numpy constants', B('self.t=numpy.arange(6.).reshape(2,3)',
                          'return X*np.array(self.t, dtype="float32")'),
                          ['net.t[0,0]=9','net.t=net.t.T.copy().T'])
more('numpy view', 'base=numpy.ones(3)\n'+B('self.t=base[:2]','return X*float(self.t.sum())'),
     ['base[0]=9'])
more('numpy structured', B('self.t=numpy.zeros(2,dtype=[("a","f4")])',
                           'return X*float(self.t["a"].sum())'),['net.t["a"][0]=9'])
more('mx array dtype change', B('self.t=np.ones(3)','return X*self.t.astype("float32")'),
     ['net.t=np.ones(3,dtype="int32")','net.t=net.t*2'])
more('mx array shape change', B('self.t=np.ones(3)','return X*self.t'),
     ['net.t=np.ones((1,3))*2','net.t=np.ones((2,3))*3','net.t=np.array(2.0)'])
more('shape of list array', B('self.t=[np.ones(3)]','return X*self.t[0].shape[0]'),
     ['net.t[0]=np.ones(4)'])
more('len of array', B('self.t=np.ones(3)','return X*len(self.t)'),['net.t=np.ones(4)'])
more('size/ndim', 'T=np.ones(3)\n'+F+'X*T.size*T.ndim',['T=np.ones((2,2))'])
more('is None list', B('self.t=[None]','return X if self.t[0] is None else X*self.t[0]'),
     ['net.t[0]=np.ones(3)*3','net.t[0]=None'])
more('global class instance attr',
     'class Cfg: pass\ncfg=Cfg()\ncfg.a=Cfg()\ncfg.a.b=2\n'+F+'X*cfg.a.b',
     ['cfg.a.b=3','cfg.a=Cfg(); cfg.a.b=4'])
more('class cfg', 'class Cfg:\n    a=2\n    class Inner:\n        b=3\n'+F+'X*Cfg.a*Cfg.Inner.b',
     ['Cfg.a=3','Cfg.Inner.b=5'])
more('class cfg by instance attr', 'class Cfg:\n    a=2\n'+B('self.cfg=Cfg','return X*self.cfg.a'),
     ['Cfg.a=3'])
more('inherited classmethod cfg',
     'class Base:\n    k=2\n    @classmethod\n    def get(cls): return cls.k\n'
     'class D(Base): pass\n'+F+'X*D.get()',['Base.k=3','D.k=4'])
more('class dict param',
     'class Net(nn.Block):\n    cfg={"k":2}\n    def forward(self,X):\n'
     '        return X*self.cfg["k"]\nnet=Net()\n',['Net.cfg["k"]=3','net.cfg={"k":5}'])
more('dunder len',
     'class L:\n    def __init__(self): self.n=2\n    def __len__(self): return self.n\n'+B(
         'self.l=L()','return X*len(self.l)'),['net.l.n=3','L.__len__=lambda self: 7'])
more('dunder iter',
     'class L:\n    def __init__(self): self.n=[2,3]\n'
     '    def __iter__(self): return iter(self.n)\n'+B('self.l=L()','return X*sum(self.l)'),
     ['net.l.n[0]=3'])
more('dunder eq',
     'class L:\n    def __init__(self): self.n=2\n    def __eq__(self,o): return self.n==o\n'
     '    __hash__=None\n'+B('self.l=L()','return X if self.l==2 else -X'),['net.l.n=3'])
more('dunder bool',
     'class L:\n    def __init__(self): self.n=2\n    def __bool__(self): return self.n>2\n'+B(
         'self.l=L()','return X if self.l else -X'),['net.l.n=3'])
more('contextmanager',
     'import contextlib\nk=[2]\n@contextlib.contextmanager\ndef cm():\n    yield k[0]\n'
     +'def f(X):\n    with cm() as v:\n        return X*v',['k[0]=3'])
more('generator expr fn', 'k=[2]\ndef g():\n    for i in k: yield i\n'+F+'sum(X*i for i in g())',
     ['k.append(5)'])
more('recursion', 'depth=3\ndef g(X,n):\n    return X if n==0 else g(X*2,n-1)\n'+F+'g(X,depth)',
     ['depth=1'])
more('module fn d2l', 'import d2l\n'+F+'d2l.softmax(X) if hasattr(d2l,"softmax") else X')
more('dispatch',
     '@functools.singledispatch\ndef g(x): return 2\n@g.register(int)\ndef _(x): return 3\n'+F
     +'X*g(1)*g("a")',['g.register(str, lambda x: 9)'])
more('match args enum dict',
     'class M(enum.Enum):\n    A="a"\nTAB={M.A:2}\n'+B('self.m=M.A','return X*TAB[self.m]'),
     ['TAB[M.A]=5'])
more('objects as keys', 'class K: pass\nk=K()\n'+B('self.t={k:2}','return X*self.t[k]'),
     ['net.t[k]=3'])
more('tuple keys', B('self.t={(1,2):2, 1.0:3}','return X*self.t[1,2]*self.t[1]'),
     ['net.t[1,2]=3','net.t[1]=4'])
more('property cached on cfg',
     'class Cfg:\n    def __init__(self): self.v=2\n    @functools.cached_property\n'
     '    def p(self): return self.v*2\n'+B('self.c=Cfg()','return X*self.c.p'),
     ['net.c.v=5','del net.c.p'])
more('__getattribute__',
     'class Cfg:\n    def __init__(self): self.v=2\n'
     '    def __getattribute__(self,n):\n'
     '        return object.__getattribute__(self,n) if n!="w" else self.v\n'
     +B('self.c=Cfg()','return X*self.c.w'),['net.c.v=5'])
more('global Block', 'inner=nn.Dense(3,in_units=3)\ninner.initialize(init.One())\n'+F+'inner(X)',
     ['inner=nn.Dense(2,in_units=3); inner.initialize(init.One())'])
more('Block in dict', B('self.m={"a":nn.Dense(3)}\nself.register_child(self.m["a"])',
                        'return self.m["a"](X)'),['net.m["a"]=nn.Activation("tanh")'])
more('Block in object',
     B('self.m=types.SimpleNamespace(a=nn.Dense(3))\nself.register_child(self.m.a)',
       'return self.m.a(X)'),['net.m.a=nn.Activation("tanh")'])
more('active child', B('self.c=Ch()','return self.c(X)',
                       'class Ch(nn.Block):\n    def __init__(self):\n'
                       '        super().__init__(); self.on=True\n    def forward(self,X):\n'
                       '        return X*2 if self.on else X'),['net.c.on=False'])
more('recorded two calls',
     'W=np.ones(3)\n'+B('self.h=np.zeros(3)','self.h=self.h+X.sum(axis=0)\nreturn X*self.h'),[],
     '[net(X), net(X)]')
more('state list two calls',
     B('self.h=[np.zeros(3)]','self.h=[self.h[0]*0.5+X.sum(axis=0)]\nreturn X*self.h[0]'),[],
     '[net(X), net(X)]')
more('rnn two calls',
     B('self.rnn=rnn.LSTM(4,input_size=3)\nself.s=self.rnn.begin_state(batch_size=1)',
       'Y,self.s=self.rnn(np.expand_dims(X,1),self.s)\nreturn Y'),[],'[net(X), net(X)]')
more('detached state', B('self.h=[np.zeros(3)]',
                         'h=self.h[0]+X.sum(axis=0)\nself.h=[h.detach()]\nreturn X*h'),[],
                         '[net(X), net(X)]')
more('partial state fn',
     'def g(k,X): return X*k\n'+B('self.g=functools.partial(g,2)','return self.g(X)'),
     ['net.g=functools.partial(g,3)'])
more('weakref dict', 'class K: pass\nk=K(); W=weakref.WeakKeyDictionary(); W[k]=2\n'+F+'X*W[k]',
     ['W[k]=3'])
more('WeakValueDictionary',
     'class K: pass\nk=K(); k.v=2; W=weakref.WeakValueDictionary(); W["a"]=k\n'+F+'X*W["a"].v',
     ['k.v=3'])
more('proxy', 'class K: pass\nk=K(); k.v=2; W=weakref.proxy(k)\n'+F+'X*W.v',['k.v=3'])
more('operator attrgetter',
     'import operator\nclass K: pass\nk=K(); k.v=2; g=operator.attrgetter("v")\n'+F+'X*g(k)',
     ['k.v=3','g=operator.attrgetter("w"); k.w=9'])
more('itemgetter', 'import operator\nk=[2,3]; g=operator.itemgetter(0)\n'+F+'X*g(k)',
     ['k[0]=5','g=operator.itemgetter(1)'])
more('str methods global', 'mode="train"\n'+F+'X*2 if mode.startswith("t") else X',['mode="eval"'])
more('nested fn default',
     'def f(X):\n    def g(Y,k=K):\n        return Y*k\n    return g(X)\nK=2\n',['K=3'],'f(X)')
more('class in forward', 'def f(X):\n    class A:\n        k=K\n    return X*A.k\nK=2\n',['K=3'],
     'f(X)')
more('global del',
     'K=2\ndef f(X):\n    try:\n        return X*K\n    except NameError:\n        return X\n',
     ['del K','K=5'],'f(X)')
more('dataclass with arrays',
     '@dataclasses.dataclass\nclass D:\n    w: object\n    k: int = 2\n'
     +B('self.d=D(np.ones(3))', 'return X*self.d.w*self.d.k'),
     ['net.d.w=np.ones(3)*2','net.d.k=4','net.d=D(np.zeros(3))'])
more('namedtuple with arrays',
     'N=collections.namedtuple("N","a b")\n'+B('self.d=N(np.ones(3),2)',
                                               'return X*self.d.a*self.d.b'),
                                               ['net.d=net.d._replace(a=np.zeros(3))',
                                                'net.d=net.d._replace(b=5)'])
more('array of arrays as constant', 'W=np.ones((3,3))\n'+F+'np.dot(X,W[:2].T)',['W[0,0]=5'])
more('W.T attribute', 'W=np.ones((3,3))\n'+F+'np.dot(X,W.T)',['W[0,0]=5'])
more('W reshape', 'W=np.ones((3,3))\n'+F+'X*W.reshape(-1)[:3]',['W[0,0]=5'])
more('W slices as rows', 'W=np.ones((2,3))\n'+F+'sum(row*X for row in W)',['W[0,0]=5'])
more('W.copy', 'W=np.ones((3,))\n'+F+'X*W.copy()',['W[0]=5'])
more('W.detach', 'W=np.ones((3,))\nW.attach_grad()\n'+F+'X*W.detach()',['W[0]=5'])
more('np.stack list', 'W=[np.ones(3),np.ones(3)]\n'+F+'X*np.stack(W).sum(axis=0)',
     ['W[0][0]=5','W.append(np.ones(3))'])
more('W is W', 'W=np.ones(3)\nV=W\n'+F+'X*(2 if W is V else 3)',['V=np.ones(3)'])
more('dict of Parameter',
     B('self.p={"w":self.params.get("w",shape=(3,))}','return X*self.p["w"].data()'),
     ['net.p["w"].set_data(np.ones(3)*7)','net.initialize(init.Constant(2),force_reinit=True)'])
more('reset ctx', B('self.d=nn.Dense(3,in_units=3)','return self.d(X)'),
     ['net.collect_params().reset_ctx(mx.cpu())','net.cast("float32")'])
more('weight replaced', B('self.d=nn.Dense(3,in_units=3)','return self.d(X)'),
     ['p=gluon.Parameter("q",shape=(3,3)); p.initialize(init.Constant(4)); '
      'net.d._reg_params["weight"]=p'])
more('share params',
     B('self.d=nn.Dense(3,in_units=3)\nself.e=nn.Dense(3,in_units=3,params=self.d.params)',
       'return self.d(X)+self.e(X)'),['net.d.weight.set_data(np.ones((3,3))*3)'])
more('lr_mult', B('self.d=nn.Dense(3,in_units=3)','return self.d(X)*self.d.weight.lr_mult'),
     ['net.d.weight.lr_mult=3.0'])
more('wd mult dtype', B('self.d=nn.Dense(3,in_units=3)',
                        'return self.d(X).astype(self.d.weight.dtype)'),[])
more('args in list kept',
     'H=[]\ndef f(X):\n    H.append(X)\n    return X*len(H)\nSTATE=["len(H)"]\n',[],'f(X)')
more('returns state list', B('self.h=[np.zeros(3)]','self.h[0]=self.h[0]+X[0]\nreturn self.h'),[],
     '[list(net(X)), net.h[0]]')
more('global dict cache by shape',
     'CACHE={}\ndef mask(n):\n    if n not in CACHE:\n        CACHE[n]=np.arange(n)\n'
     '    return CACHE[n]\n'+F+'X+mask(X.shape[1])\n',[],'f(X)')
more('dict cache on self',
     B('self.c={}',
       'n=X.shape[1]\nif n not in self.c:\n    self.c[n]=np.arange(n)\nreturn X+self.c[n]')
       +'STATE=["net.c"]\n',[])
more('lru_cache fn two shapes',
     '@functools.lru_cache()\ndef m(n): return np.arange(n)\n'+F+'X+m(X.shape[1])\n',[],
     '[f(X), f(X[:, :2]), f(X)]')
more('os.path', B('self.p="a/b"','return X*len(os.path.join(self.p,"c"))'),['net.p="aa/b"'])
more('json loads', B('self.j="[1,2]"','return X*json.loads(self.j)[1]'),['net.j="[1,5]"'])
more('timing ok sleep', B('','time.sleep(0)\nreturn X'))
more('pos table', B('self.P=np.zeros((1,5,3))\nself.P[:,:,0]=np.arange(5)',
                    'return X+self.P[0,:X.shape[0]]'),['net.P[:]=1'])
more('threading lock', B('self.l=threading.Lock()','with self.l:\n    return X*2'))
more('Event', B('self.l=threading.Event()','return X*2 if self.l.is_set() else X'),['net.l.set()'])
more('Vocab', 'import d2l\nv=d2l.Vocab([["a","b"]])\n'+F+'X*len(v)+v["a"]',
     ['v.idx_to_token.append("c")','v.token_to_idx["a"]=7'])
more('staticmethod block',
     'class Net(nn.Block):\n    @staticmethod\n    def g(X): return X*2\n'
     '    def forward(self,X): return self.g(X)\nnet=Net()\n',['Net.g=staticmethod(lambda X: X*3)'])
more('inst method via types',
     B('self.k=2','return self.g(X)')+'net.g=types.MethodType(lambda s,X: X*s.k, net)\n',
     ['net.k=3','net.g=types.MethodType(lambda s,X: X*9, net)'])
more('children by name',
     'net=nn.Sequential()\nwith net.name_scope():\n    net.add(nn.Dense(3))\n'
     'net.initialize(init.One())\n',['net[0].weight.set_data(np.ones((3,3))*2)'])
more('sum of params norm', B('self.d=nn.Dense(3,in_units=3)',
                             'return self.d(X)+np.sqrt((self.d.weight.data()**2).sum())'),[])
more('hybrid F',
     'class Net(nn.HybridBlock):\n    def __init__(self):\n'
     '        super().__init__(); self.k=2; self.s=[3]\n    def hybrid_forward(self,F,X):\n'
     '        return X*self.k*self.s[0]\nnet=Net()\n',['net.k=3','net.s[0]=5'])
more('hybrid forward replaced',
     'class Net(nn.HybridBlock):\n    def hybrid_forward(self,F,X):\n        return X*2\n'
     'net=Net()\n',['Net.hybrid_forward=lambda self,F,X: X*3'])
more('userlist', B('self.l=collections.UserList([2])','return X*self.l[0]'),
     ['net.l[0]=3','net.l.data[0]=4'])
more('defaultdict miss adds', B('self.d=collections.defaultdict(int)',
                                'return X+self.d["a"]')+'STATE=["dict(net.d)"]\n',['net.d["a"]=3'])
more('setdefault', B('self.d={}','return X+self.d.setdefault("a",2)')+'STATE=["dict(net.d)"]\n',
     ['net.d["a"]=3'])
more('exec', 'k=2\ndef f(X):\n    return eval("X*k")\n',['k=3'],'f(X)')


CLASS = ('class A:\n    k = 2\n    j = 1\n    def __init__(self, a=None): self.a = a\n'
         'a = A()\nwhich = "k"\n')
more('compiled inside compiled', 'k=2\ng=d2l.compile(lambda X: X*k)\n'+F+'g(X)+g(X+1)',
     ['k=3', 'g=lambda X: X'])
more('hybridized inside compiled',
     'net=nn.Dense(3)\nnet.initialize(init.One())\nd2l.hybridize(net)\ninner=net\ndel net\n'+F
     +'inner(X)*2', ['inner.weight.set_data(np.ones((3,3))*4)', 'd2l.hybridize(inner, False)'])
more('class of the net',
     B('','return X*2')+'class Other(Net):\n    def forward(self,X): return X*3\n',
     ['net.__class__=Other'])
more('a special method is added', CLASS+F+'X*(2 if a else 1)', ['A.__len__=lambda self: 0'])
more('__getattr__ is added', CLASS+F+'X*getattr(a, "m", 1)', ['A.__getattr__=lambda self, name: 5'])
more('__call__ of a child',
     'class Child(nn.Block):\n    def forward(self,X): return X\n'+B(
         'self.c=Child()','return self.c(X)'), ['Child.__call__=lambda self,X: X*9'])
more('class attribute by a text', CLASS+F+'X*getattr(a, which)', ['A.k=3', 'which="j"', 'A.j=7'])
more('class attribute by a text made up', CLASS+F+'X*getattr(a, "kj"[X.ndim-2])', ['A.k=3'])
more('vars of a class', CLASS+F+'X*sum(v for v in vars(A).values() if type(v) is int)',
     ['A.k=3', 'A.m=5'])
more('weak proxy', CLASS+'p=weakref.proxy(a)\n'+F+'X*p.k', ['A.k=3', 'a.k=4'])
more('weak proxy of what is gone',
     CLASS+'p=weakref.proxy(A())\ndef f(X):\n    try: return X*p.k\n'
           '    except ReferenceError: return X\n', ['p=weakref.proxy(a)'])
more('ctypes number', 'import ctypes\nn=ctypes.c_int(2)\n'+F+'X*n.value', ['n.value=3'])
more('ctypes array', 'import ctypes\nn=(ctypes.c_double*2)(1., 2.)\n'+F+'X*n[1]', ['n[1]=3.'])
more('multiprocessing.Value',
     'import multiprocessing\nn=multiprocessing.Value("d", 2.)\n'+F+'X*n.value', ['n.value=3.'])
more('memoryview', 'b=bytearray(b"ab")\nm=memoryview(b)\n'+F+'X*m[0]', ['b[0]=1'])
more('Protocol',
     '@typing.runtime_checkable\nclass P(typing.Protocol):\n    def act(self): ...\n'+CLASS+F
     +'X*(2 if isinstance(a, P) else 1)', ['a.act=len', 'del a.act', 'A.act=len'])
more('nested deeply',
     'deep=X\nfor _ in range(150): deep=[deep]\ndef f(X):\n    d=deep\n'
     '    while type(d) is list: d=d[0]\n    return d*X\n', [])

for maxsize in 'None', '128', '2':
    cached = f'@functools.lru_cache(maxsize={maxsize})\n'
    more(f'lru_cache of {maxsize} that reads a global',
         f'k=2\n{cached}def s(): return k\n'+F+'X*s()',
         ['k=3', 's.cache_clear()', 'k=4', 'k=5; s.cache_clear()'])
    more(f'lru_cache of {maxsize} that makes arrays',
         f'k=[2]\n{cached}def s(n): return np.ones(n)*k[0]\n'+F+'X*s(3)',
         ['k[0]=3', 's.cache_clear()', 's(3)[:]=7', 's(4); k[0]=9', 's(5); s(6)', 's(3)[0]=1'])
    more(f'lru_cache of {maxsize} that reads an array',
         f'W=np.ones(3)\n{cached}def s(): return W*2\n'+F+'X*s()',
         ['W=np.zeros(3)', 's.cache_clear()', 's()[:]=7'])
    more(f'lru_cache of {maxsize} that draws',
         f'{cached}def s(): return np.random.normal(size=3)\n'+F+'X*s()', ['s.cache_clear()'])
    more(f'lru_cache of {maxsize} that gives a dict',
         f'{cached}def s(): return {{"k": 2, "a": [1]}}\n'+F+'X*s()["k"]+s()["a"][0]',
         ['s()["k"]=5', 's()["a"].append(1)', 's()["a"][0]=4', 's.cache_clear()'])
    more(f'lru_cache of {maxsize} of a method',
         f'class C:\n    k=2\n    @functools.lru_cache(maxsize={maxsize})\n'
         '    def s(self, n): return self.k*n\nc=C()\n'+F+'X*c.s(1)',
         ['c.k=5', 'C.s.cache_clear()', 'c=C()'])
    more(f'lru_cache of {maxsize} by a class',
         f'k=2\n{cached}def s(c): return c(k)\n'+F+'X*s(float)', ['s(int); k=3', 's.cache_clear()'])
    more(f'lru_cache of {maxsize} after a question',
         f'k=2\n{cached}def s(n): return np.arange(n)*k\ndef f(X):\n    if X.sum()>25: X=X*2\n'
         '    return X+s(3)\n', ['k=3', 's.cache_clear()'])
CLASS_K = 'class K: pass\nt=K(); t.k=2\n'
more('weak reference that dies',
     CLASS_K+'r=weakref.ref(t)\n'+F+'X*(r().k if r() is not None else 10)', ['t.k=3', 'del t'])
more('weak reference that dies after a question',
     CLASS_K+'r=weakref.ref(t)\ndef f(X):\n    if X.sum()>25: X=X*2\n'
             '    return X*(r().k if r() else 10)\n', ['t.k=3', 'del t'])
more('weak reference to what holds an array',
     CLASS_K+'t.k=np.ones(3)\nr=weakref.ref(t)\n'+F+'X*(r().k if r() else 10)',
     ['t.k[:]=3', 't.k=np.zeros(3)', 'del t'])
more('proxy that dies',
     CLASS_K+'r=weakref.proxy(t)\ndef f(X):\n    try: return X*r.k\n'
             '    except ReferenceError: return X*9\n', ['t.k=3', 'del t'])
more('WeakSet whose element dies', CLASS_K+'r=weakref.WeakSet([t])\n'+F+'X*len(r)',
     ['u=K(); r.add(u)', 'del t'])
more('WeakValueDictionary whose value dies',
     CLASS_K+'r=weakref.WeakValueDictionary(a=t)\n'+F+'X*(r["a"].k if "a" in r else 9)',
     ['t.k=3', 'del t'])
more('WeakKeyDictionary whose key dies',
     CLASS_K+'r=weakref.WeakKeyDictionary({t: 5})\n'+F+'X*sum(r.values())', ['r[t]=3', 'del t'])


more('deepcopy of a result', 'import copy\n'+B('self.h=np.ones(3)',
     'return X*copy.deepcopy(X*self.h)'),['net.h[:]=5'])
more('copies of arrays', 'import copy\n'+B('self.h=np.ones(3); self.l=[np.ones(3)]',
     'return X*copy.copy(self.h)*copy.deepcopy(self.l)[0]'),['net.h[:]=5','net.l[0][:]=3'])
more('bound get', 'T={"k":2}\nget=T.get\n'+F+'X*get("k")',['T["k"]=5'])
more('bound wrapper', 'T=[2]\nget=T.__len__\n'+F+'X*get()',['T.append(5)'])
more('bound append', 'L=[]\n'+B('self.push=L.append','self.push(1)\nreturn X*len(L)'))
more('local import', 'import sys\nsys.modules["my_conf"]=types.ModuleType("my_conf")\n'
     'sys.modules["my_conf"].K=2\ndef f(X):\n    from my_conf import K\n    return X*K',
     ['sys.modules["my_conf"].K=5'])
more('local import as', 'import sys\nsys.modules["my_conf"]=types.ModuleType("my_conf")\n'
     'sys.modules["my_conf"].K=2\ndef f(X):\n    import my_conf as c\n    return X*c.K',
     ['sys.modules["my_conf"].K=5'])
more('import_module', 'import importlib, sys\nsys.modules["my_conf"]=types.ModuleType("my_conf")\n'
     'sys.modules["my_conf"].K=2\ndef f(X):\n    return X*importlib.import_module("my_conf").K',
     ['sys.modules["my_conf"].K=5'])
for _kind, _value in (('collections.deque', ''), ('set', ''), ('frozenset', ''), ('bytearray', ''),
                      ('numpy.ndarray', '2'), ('list', ''), ('array.array', '"i"')):
    more(f'attribute of a {_kind}', f'import array\nclass D({_kind}): pass\nd=D({_value})\nd.k=2\n'
         +F+'X*d.k',['d.k=5'])
    more(f'attribute of a {_kind} set inside',
         f'import array\nclass D({_kind}): pass\n'+B(
             f'self.d=D({_value}); self.d.k=2','self.d.k=self.d.k+0\nreturn X*self.d.k'),
         ['net.d.k=5'])
more('pandas Series', 'import pandas\n'+B('self.s=pandas.Series([2.,3.])','return X*self.s.sum()'),
     ['net.s[0]=9','net.s.iloc[1]=5'])
more('pandas DataFrame', 'import pandas\n'+B('self.t=pandas.DataFrame({"a":[2.,3.],"b":["x","y"]})',
     'return X*float(self.t["a"][0])'),['net.t.loc[0,"a"]=9','net.t["a"]=[4.,5.]'])
more('array of another library',
     'class T:\n    def __init__(self): self.kept=memoryview(bytearray(b"abc"))\n'
     '    def __array__(self, dtype=None, copy=None): return numpy.frombuffer(self.kept, "uint8")\n'
     't=T()\n'+F+'X*int(numpy.asarray(t)[0])',['t.kept[0]=5'])
more('attribute of an array of another library',
     'class T:\n    def __init__(self): self.k=2\n'
     '    def __array__(self, dtype=None, copy=None): return numpy.ones(2)\n'
     't=T()\n'+F+'X*t.k',['t.k=5'])
more('ConfigParser','import configparser\n'+B(
    'self.c=configparser.ConfigParser()\nself.c.read_dict({"a": {"k": "2"}})',
    'return X*self.c["a"].getfloat("k")'),['net.c["a"]["k"]="5"','net.c.set("a","k","7")'])
more('section of a ConfigParser','import configparser\nc=configparser.ConfigParser()\n'
     'c.read_dict({"a": {"k": "2"}})\ns=c["a"]\n'+F+'X*s.getfloat("k")',['s["k"]="5"'])
more('Message','import email.message\nm=email.message.Message()\nm["k"]="2"\n'
     +F+'X*float(m["k"])',['m.replace_header("k","5")'])
more('Values','import optparse\nv=optparse.Values({"k": 2})\nn="k"\n'
     +F+'X*v.ensure_value(n, 3)',['v.k=5'])
more('a time that is given',F+'X*int(time.strftime("%Y",(2020,1,1,0,0,0,0,1,0)))')
more('format of a class', 'class C: mode=2\n'+F+'X*int("{0.mode}".format(C))',['C.mode=5'])
if sys.version_info >= (3, 10):
    more('match of a class', 'class C: mode=2\nc=C()\ndef f(X):\n    match c:\n'
         '        case C(mode=2): return X*2\n    return X*5',['C.mode=5'])
    more('match by position', 'class C:\n    mode=2\n    __match_args__="mode",\nc=C()\ndef f(X):\n'
         '    match c:\n        case C(2): return X*2\n    return X*5',['C.mode=5'])
MODULE = 'import sys\nm=types.ModuleType("cfg"); m.K=2; sys.modules["cfg"]=m; n="K"; N="cfg"\n'
for how, value in {
        'getattr': 'getattr(m, n)', 'getattr of a text': 'getattr(m, "K")',
        'a default': 'getattr(m, "L", 9)', 'hasattr': '(2 if hasattr(m, "L") else 3)',
        'vars': 'vars(m)["K"]', 'all of vars': 'sum(v for k, v in vars(m).items() if k.isupper())',
        'sys.modules': 'getattr(sys.modules["cfg"], n)', 'a global name': 'sys.modules[N].K',
        '__import__': '__import__("cfg").K'}.items():
    more(f'a module by {how}', MODULE+F+'X*'+value, ['m.K=5', 'm.L=7'])
for how, value in {
        'getattr': 'getattr(g, "k", 2)', 'hasattr': '(2 if hasattr(g, "k") else 3)',
        'a computed name': 'getattr(g, n, 2)', '__dict__': 'g.__dict__.get("k", 2)',
        '__defaults__': 'g.__defaults__[0]', '__kwdefaults__': 'g.__kwdefaults__["b"]',
        '__doc__': 'len(g.__doc__)', '__name__': 'len(g.__name__)',
        'signature': 'inspect.signature(g).parameters["a"].default',
        'its name alone': 'signature(g).parameters["a"].default',
        '__annotations__': 'len(g.__annotations__)'}.items():
    more(f'a function by {how}',
         'import inspect\nfrom inspect import signature\nn="k"\ndef g(a=2, *, b=3):\n    "text"\n'
         +F+'X*'+value,
         ['g.k=5', 'g.__defaults__=(6,)', 'g.__kwdefaults__={"b": 7}', 'g.__doc__="longer"',
          'g.__name__="longer"', 'g.__annotations__={"a": int}'])
for how, value in {'items': 'sum(float(v) for k, v in os.environ.items() if k[:6]=="D2L_T_")',
                   'keys': 'len([k for k in os.environ if k.startswith("D2L_T_")])',
                   'len': 'len(os.environ)', 'copy': 'len(os.environ.copy())'}.items():
    more(f'the environment by {how}', 'os.environ["D2L_T_A"]="2"\n'+F+'X*'+value, [
        'os.environ["D2L_T_A"]="3"', 'os.environ["D2L_T_B"]="5"',
        'del os.environ["D2L_T_A"], os.environ["D2L_T_B"]'])
for how, name in {'a class attribute': 'self.name', 'an attribute': 'self.key',
                  'a local': 'key'}.items():
    more(f'a module by {how}', MODULE+block('self.key="K"', f'key="K"\nreturn X*getattr(m, {name})')
         .replace('class Net(nn.Block):\n', 'class Net(nn.Block):\n    name="K"\n'), ['m.K=5'])
for how, code in {'sys.modules of a type': 'getattr(sys.modules[type(o).__module__], "K")',
                  'another name of sys': 'getattr(s.modules["cfg"], n)'}.items():
    more(f'a module by {how}', MODULE+'s=sys\nclass O: pass\no=O(); O.__module__="cfg"\n'
         'def f(X, o=o):\n    return X*'+code+'\n', ['m.K=5'])
more('a module by an import of sys', MODULE+'def f(X):\n    import sys as t\n    return X*'
     't.modules["cfg"].K\n', ['m.K=5'])
more('a logger beside hasattr',
     'import logging\n' + block(
         'self.log=logging.getLogger("d2l_test"); self.k=2',
         'self.log.debug("x")\nreturn X*(self.k if hasattr(self, "k") else 3)'),
     ['net.k=5', 'logging.disable(logging.NOTSET)'])
more('modules of a net beside sys',
     'import sys\n' + block('self.modules=[2]',
                            'return X*self.modules[0]*(1 if sys.version_info else 2)'),
     ['net.modules=[5]'])
more('an object named sys', 'sys=types.SimpleNamespace(modules=[2])\n'+F+'X*sys.modules[0]',
     ['sys.modules=[5]'])
more('a module with what cannot be compared',
     MODULE+'m.big=[*range(200)]; m.own=[]; m.own.append(m.own); m.held=object()\n'+F
     +'X*getattr(m, n)', ['m.K=5', 'm.big[0]=7'])
BASES = 'class P:\n    def k(self): return 2\nclass Q:\n    def k(self): return 5\n'
more('bases of a class', BASES+'class C(P): pass\nc=C()\n'+F+'X*c.k()', ['C.__bases__=(Q,)'])
more('bases of a Block', BASES+'class R(P, nn.Block): pass\n'
     'class Net(R):\n    def forward(self, X): return X*self.k()\nnet=Net()\n',
     ['R.__bases__=(Q, nn.Block)'])
more('bases of a base', BASES+'class C(P): pass\nclass D(C): pass\nc=D()\n'+F+'X*c.k()',
     ['C.__bases__=(Q,)'])

# ---- what was missed once: classes of tuples, replaced dicts, views, properties, modules
MET = 'class A:\n    k=2\n    unused=1\na=A()\n'
for name, (source, *changes) in {
    'a method of a NamedTuple': (
        'class C(typing.NamedTuple):\n    k: int=2\n    def scale(self, X): return X*self.k\n'
        'c=C()\n'+F+'c.scale(X)', 'C.scale=lambda self, X: X*5'),
    'a class attribute of a tuple': ('class C(tuple): k=2\nc=C()\n'+F+'X*c.k', 'C.k=5'),
    'a method of a frozenset': ('class C(frozenset):\n    def s(self): return 2\nc=C()\n'+F
                                +'X*c.s()', 'C.s=lambda self: 5'),
    'a method of a partial': ('class C(functools.partial):\n    def s(self): return 2\nc=C(len)\n'
                              +F+'X*c.s()', 'C.s=lambda self: 5'),
    'another __dict__': (MET+'a.k=3\n'+F+'X*a.k', 'a.__dict__={"k": 5}'),
    'another __dict__ of a Block': (block('self.k=2', 'return X*self.k'),
                                    'd=dict(vars(net), k=5)\nnet.__dict__=d'),
    'another __dict__ of a logger': ('a=logging.Logger("a")\na.k=2\n'+F+'X*a.k',
                                     'a.__dict__=dict(vars(a), k=5)'),
    'values of a dict': ('d={"k": 2}\nv=d.values()\n'+F+'X*sum(v)', 'd["k"]=5', 'd["l"]=3'),
    'items of an OrderedDict': ('d=collections.OrderedDict(k=2)\nv=d.items()\n'+F
                                +'X*[*v][0][1]', 'd["k"]=5'),
    'keys in an attribute': ('d={2: 1}\n'+block('self.v=d.keys()', 'return X*sum(self.v)'),
                             'd[5]=1'),
    'keys of a Mapping': ('d=collections.UserDict({2: 1})\nv=d.keys()\n'+F+'X*sum(v)', 'd[5]=1'),
    'default_factory': ('d=collections.defaultdict(lambda: 2)\n'+F+'X*d.default_factory()',
                        'd.default_factory=lambda: 5'),
    'a closure of a default_factory': (
        'def mk(k):\n    def get(): return k[0]\n    return collections.defaultdict(get)\nk=[2]\n'
        'd=mk(k)\ndef f(X):\n    v=d["a"]; del d["a"]\n    return X*v', 'k[0]=5'),
    'the index of a Series': ('import pandas\ns=pandas.Series([2., 3.], index=["a", "b"])\n'+F
                              +'X*float(s["a"])', 's.index=["b", "a"]'),
    'the columns of a DataFrame': (
        'import pandas\ns=pandas.DataFrame({"a": [2.], "b": [3.]})\n'+F+'X*float(s["a"][0])',
        's.columns=["b", "a"]', 's.attrs["k"]=1'),
    'the name of a Series': ('import pandas\ns=pandas.Series([2.], name="a")\n'+F
                             +'X*len(s.name)', 's.name="abc"'),
    'the categories of a Series': (
        'import pandas\ns=pandas.Series(["a", "b"], dtype="category")\n'+F
        +'X*len(s.cat.categories)', 's=s.cat.add_categories(["c"])'),
    'a staticmethod of lru_cache': (
        'class A:\n    @staticmethod\n    @functools.lru_cache(None)\n    def g(): return k\nk=2\n'
        'A.g()\n'+F+'X*A.g()', 'k=5; A.g.cache_clear()'),
    'a property of a callable': (
        'class G:\n    k=2\n    def __call__(self, o): return self.k\nclass A: z=property(G())\n'
        'a=A()\n'+F+'X*a.z', 'G.k=5', 'G.__call__=lambda self, o: 7'),
    'a property of an attrgetter': (
        'import operator\nclass A:\n    z=2\n    k=property(operator.attrgetter("z"))\na=A()\n'+F
        +'X*a.k', 'A.z=5'),
    'a partialmethod': (
        'class A:\n    def g(self, k): return k[0]\n    h=functools.partialmethod(g, [2])\na=A()\n'
        +F+'X*a.h()', 'vars(A)["h"].args[0][0]=5'),
    'a staticmethod of a partial': (
        'L=[2]\nclass A: z=staticmethod(functools.partial(lambda k: k[0], L))\na=A()\n'+F
        +'X*a.z()', 'L[0]=5'),
    'a singledispatchmethod': (
        'class N:\n    @functools.singledispatchmethod\n    def g(self, v): return 2\nn=N()\n'+F
        +'X*n.g(3)', 'vars(N)["g"].register(int, lambda self, v: 5)'),
    'a method in C': ('class D(dict): __getattr__=dict.__getitem__\nd=D(k=2)\n'+F+'X*d.k',
                      'D.__getattr__=lambda self, n: 5'),
    'a method for another name': (MET+F+'X*(2 if a else 1)',
                                  'del A.unused; A.__len__=lambda self: 0'),
    'a method that is an object': (
        'class L:\n    def __init__(self, n): self.n=n\n    def __call__(self): return self.n\n'
        'class A: __len__=L(2)\na=A()\n'+F+'X*len(a)', 'A.__len__=L(5)'),
    'a metaclass': (
        'class M(type):\n    def __getitem__(cls, n): return 2\nclass A(metaclass=M): pass\n'+F
        +'X*A["k"]', 'M.__getitem__=lambda cls, n: 5'),
    'subclasses': (MET+'class P(A): k=2\n'+F+'X*sum(c.k for c in A.__subclasses__())',
                   'class Q(A): k=5'),
    'a registered class': (
        'import abc\nclass S(abc.ABC): pass\n'+MET+F+'X*(2 if isinstance(a, S) else 3)',
        'S.register(A)'),
    'the name of a class': (MET+'t={"A": 2, "B": 5}\n'+F+'X*t[type(a).__name__]',
                            'A.__name__="B"'),
    'a module that is replaced': (
        MODULE+'def f(X):\n    import cfg\n    return X*cfg.K',
        'sys.modules["cfg"]=m=types.ModuleType("cfg"); m.K=5'),
    'a module that is missing': (
        MODULE+'del sys.modules["cfg"]\ndef f(X):\n    try: import cfg\n'
        '    except ImportError: return X\n    return X*cfg.K', 'sys.modules["cfg"]=m'),
    'an attribute that a module lacks': (
        MODULE+'def f(X):\n    try: return X*m.L\n    except AttributeError: return X', 'm.L=5'),
    'an attribute that a function lacks': (
        'def g(): pass\ndef f(X):\n    try: return X*g.k\n    except AttributeError: return X',
        'g.k=5'),
    'an attribute that a helper asks for': (
        MODULE+'def g(): return m.L\ndef f(X):\n    try: return X*g()\n'
        '    except AttributeError: return X', 'm.L=5'),
    '__getattr__ of a module': (MODULE+'m.__getattr__=lambda n: 2\n'+F+'X*m.L', 'm.L=5'),
    'the value of an enum': ('class E(enum.Enum): A={"k": 2}\n'+F+'X*E.A.value["k"]',
                             'E.A.value["k"]=5'),
    'an attribute of a partial': ('p=functools.partial(abs); p.k=2\n'+F+'X*p.k', 'p.k=5'),
    'an attribute of a cached function': (
        '@functools.lru_cache\ndef g(): pass\ng.k=2\n'+F+'X*g.k', 'g.k=5'),
    'the same helper with another text': (
        MODULE+'m.L=3\ndef look(m, n): return m.__dict__[n]\n'+F+'X*look(m, "K")*look(m, "L")',
        'm.L=7', 'm.K=5'),
    'the same helper for another module': (
        MODULE+'sys.modules["cfg2"]=c=types.ModuleType("cfg2"); c.K=3\n'
        'def mod(n): return sys.modules[n]\n'+F+'X*mod("cfg").K*mod("cfg2").K', 'c.K=7', 'm.K=5'),
    'the same code with other globals': (
        'k=2\ndef g(X): return X*k\nns={"k": 3}\nh=types.FunctionType(g.__code__, ns)\n'+F
        +'g(X)+h(X)', 'ns["k"]=7', 'k=5'),
    'an attrgetter': ('import operator\n'+MET+'get=operator.attrgetter("k")\n'+F+'X*get(a)',
                      'A.k=5'),
    'a partial of getattr': (MET+'get=functools.partial(getattr, A)\n'+F+'X*get("k")', 'A.k=5'),
    'vars under another name': ('from builtins import vars as v\n'+MET+F+'X*v(A)["k"]', 'A.k=5'),
    'getattr_static': ('import inspect\n'+MET+F+'X*inspect.getattr_static(A, "k")', 'A.k=5'),
    'a bound format': (MET+'fmt="{0.k}".format\n'+F+'X*int(fmt(A))', 'A.k=5'),
    'asdict of a field without init': (
        '@dataclasses.dataclass\nclass D:\n    k: int=dataclasses.field(default=3, init=False)\n'
        'd=D()\n'+F+'X*sum(dataclasses.asdict(d).values())', 'D.k=5', 'd.k=7'),
    'a cell of a function': (
        'def mk(k):\n    def g(): return k\n    def put(v):\n        nonlocal k\n        k=v\n'
        '    return g, put\ng, put=mk(2)\n'+F+'X*g.__closure__[0].cell_contents', 'put(5)'),
    'a new one of many attributes': (
        'class O: pass\no=O()\nfor i in range(150): setattr(o, f"a{i}", 1)\n'+F
        +'X*sum(vars(o).values())', 'o.new=50', 'o.a3=7'),
    'a class of a bare exec': (
        'ns={}\nexec("class A:\\n    k=2\\n    def g(self): return self.k", ns)\na=ns["A"]()\n'+F
        +'X*a.g()', 'ns["A"].k=5', 'ns["A"].g=lambda self: 7'),
    'numpy.vectorize': ('k=[2]\ndef mk(k): return numpy.vectorize(lambda x: x*k[0])\nv=mk(k)\n'+F
                        +'X*float(v([3.])[0])', 'k[0]=5'),
    'a hook of json': (
        'k=[2]\ndef mk(k): return json.JSONDecoder(object_hook=lambda o: k[0])\nv=mk(k)\n'+F
        +'X*v.decode("{}")', 'k[0]=5'),
    'what a function wraps': (
        'import inspect\ndef g(): return 2\ndef h(): return 5\n'+F+'X*inspect.unwrap(g)()',
        'g.__wrapped__=h'),
    'the level of a logger': (
        'p=logging.getLogger("d2l_p"); p.setLevel(50)\nlog=logging.getLogger("d2l_p.c")\n'+F
        +'X*(2 if log.isEnabledFor(30) else 3)', 'p.setLevel(10)', 'logging.disable(40)',
        'logging.disable(0)'),
    'nullcontext': ('import contextlib\ncm=contextlib.nullcontext([2])\ndef f(X):\n'
                    '    with cm as v: return X*v[0]', 'cm.enter_result[0]=5'),
    'forward as a staticmethod': (
        'class Net(nn.Block):\n    k=2\n    @staticmethod\n    def forward(X): return X*Net.k\n'
        'net=Net()\n', 'Net.k=5'),
    'forward as an object': (
        'class G:\n    k=2\n    def __call__(self, X): return X*self.k\n'
        'class Net(nn.Block):\n    forward=G()\nnet=Net()\n', 'G.k=5'),
}.items():
    more(f'missed: {name}', source, changes)
# ---- what is held and does not matter, and looks like something that does
for name, (source, *changes) in {
    'a large staticmethod': (block('', 'return X*2').replace(
        'class Net(nn.Block):\n',
        'class Net(nn.Block):\n    p=staticmethod(functools.partial(abs, numpy.zeros(10**7)))\n'),),
    'a staticmethod of an iterator': (block('', 'return X*2').replace(
        'class Net(nn.Block):\n',
        'class Net(nn.Block):\n    p=staticmethod(iter(lambda: 1, 2).__next__)\n'),),
    'mocks in a class': (
        'from unittest import mock\n'+block('', 'return X*2').replace(
            'class Net(nn.Block):\n', 'class Net(nn.Block):\n    p=staticmethod(mock.MagicMock())\n'
            '    __len__=mock.MagicMock(return_value=3)\n'),),
    'iterators in an object': (
        'import csv, re\no=types.SimpleNamespace(k=2)\no.a=(i for i in ()); list(o.a)\n'
        'o.b=csv.reader(["1"])\no.c=re.finditer(".", "ab")\no.d=iter(lambda: 1, 2)\n'+F+'X*o.k',
        'o.k=5'),
    'a large DataFrame': (
        'import pandas\nt=pandas.DataFrame({"a": numpy.arange(30000, dtype="float32")})\n'+F
        +'X*float(t["a"].iloc[2])', 't.loc[2, "a"]=9'),
    'an attribute named axes': (
        'class S:\n    axes=None\n    def __init__(self): self.a=2\n'
        '    def __array__(self, dtype=None, copy=None): return numpy.ones(3)\ns=S()\n'+F+'X*s.a',
        's.a=5', 's.axes=3'),
    'a timezone': ('z=datetime.timezone.utc\n'+F+'X*(2+z.utcoffset(None).seconds)',
                   'z=datetime.timezone(datetime.timedelta(hours=1))'),
    'asdict beside a large class': (
        'class B:\n    t=numpy.zeros(10**7)\nb=B()\n@dataclasses.dataclass\nclass D: k: int=2\n'
        'd=D()\n'+F+'X*dataclasses.asdict(d)["k"]*(2 if isinstance(b, B) else 3)', 'd.k=5'),
}.items():
    more(f'held: {name}', source, changes)
PROFILED = ('import cProfile\nk=2\ndef g(X): return X*k\ndef f(X):\n'
            '    with cProfile.Profile(): Y=X+0\n    return g(Y)\n')
if sys.version_info >= (3, 12):     # where cProfile leaves the profile hook alone
    more('a profiler', PROFILED, ['k=5'])
more('a view is returned', 'def f(X):\n    return {"a": X, "b": 2}.values()', [], '[*f(X)]')


def outcome(case, train):
    source, changes, *call = case
    call = call[0] if call else None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        eager = run(source, changes, call, False, train)
        return eager, run(source, changes, call, True, train)


@pytest.mark.parametrize('train', [False, True], ids=['predict', 'train'])
@pytest.mark.parametrize('name', GUARDED)
def test_guarded(name, train):
    eager, compiled = outcome(GUARDED[name], train)
    assert same(eager, compiled)


@pytest.mark.parametrize('compiled', [False, True])
def test_arrays_are_made_on_the_current_context(compiled):
    def f(X):
        return X * 2, np.ones(2)
    f, X = hybrid.compile(f) if compiled else f, np.ones(2)
    for number in 0, 1, 0:
        with mx.cpu(number):
            assert [Y.ctx for Y in f(X)] == [mx.cpu(0), mx.cpu(number)]


SHARING = ('O=types.SimpleNamespace(h=np.ones((2, 3)), l=np.zeros((2, 3)))\nSTATE=["O.h", "O.l"]\n'
           'def f(X):\n    Y=X*1\n    ')


@pytest.mark.parametrize('lines', [
    'T=Y.detach().copy(); T+=1; return T', 'T=Y[:, 0]; Y[:, 0]=X[:, 1]; return T+1',
    'T=Y[0]; Y[1]=X[0]; return T+1',
    'Y[0]+=X[1]; Y[0]*=2; Y[1]=Y[0]; return Y',
    'm=O.h.detach().mean(); O.h[:]=Y.detach(); return Y+m',
    'O.h[0]+=Y[1].detach(); return Y*2', 'O.l=Y.copy().detach(); Y+=1; return Y',
    'for i in range(2): Y[i]=Y[i]*2+1\n    return Y', 'T=Y[-2:]; S=Y[0]; Y[1]=9; return S*2'])
def test_writes_beside_shared_memory(lines):
    """Only in prediction: while autograd records, eager MXNet refuses most of these writes."""
    eager, compiled = outcome((SHARING + lines + '\n', []), False)
    assert same(eager, compiled)


# ------------------------------------------------------------------ refused with a TraceError

# lines before the class, of __init__, of forward, what the message says, the line it shows
REFUSED = {
    'os.path.exists': ('', '', 'return X * os.path.exists("/")', 'looks at files',
                       'os.path.exists'),
    'working directory': ('', '', 'return X * len(os.getcwd())', 'the working directory',
                          'os.getcwd'),
    'nested too deeply': ('deep = None\nfor i in range(1500): deep = (i, deep)\n', '',
                          'return X * deep[0]',
                          'values nested too deeply', 'deep[0]'),
    'counter': ('', 'self.n = 0', 'self.n += 1\nreturn X * self.n', 'self.n, a state in Python',
                'self.n += 1'),
    'counter in a list': ('', 'self.n = [0]', 'self.n[0] += 1\nreturn X * self.n[0]',
                          'self.n, a state', 'self.n[0]'),
    'counter in a dict': ('', 'self.n = {"k": 0}', 'self.n["k"] += 1\nreturn X * self.n["k"]',
                          'self.n, a state', 'self.n["k"]'),
    'counter in a Counter': ('', 'self.n = collections.Counter(a=1)',
                             'self.n.update("a")\nreturn X * self.n["a"]',
                             'self.n, a state', 'self.n'),
    'counter in an object': ('', 'self.n = types.SimpleNamespace(k=0)',
                             'self.n.k += 1\nreturn X * self.n.k',
                             'self.n, a state', 'self.n.k'),
    'counter in slots': ('class S:\n    __slots__ = ["k"]\ns = S()\ns.k = 1\n', '',
                         's.k += 1\nreturn X * s.k', 'global s, a state', 's.k'),
    'global counter': ('n = 0\n', '', 'global n\nn += 1\nreturn X * n', 'global n, a state',
                       'n += 1'),
    'counter in a global list': ('n = [0]\n', '', 'n[0] += 1\nreturn X * n[0]', 'global n, a state',
                                 'n[0]'),
    'counter in a called function': ('n = 0\ndef g():\n    global n\n    n += 1\n    return n\n',
                                     '', 'return X * g()',
                                     'global n, a state', 'n += 1'),
    'counter in a closure': (
        'def make():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n'
        '        return n\n    return g\ng = make()\n', '', 'return X * g()', 'n, a state',
        'n += 1'),
    'counter in a closure that another function makes': (
        'def make():\n    n = m = 0\n    def f():\n        def g():\n            nonlocal n, m\n'
        '            n += 1\n            m = n\n            return n\n        return g()\n'
        '    return f\nf = make()\n', '', 'return X * f()', 'a state', 'def g()'),
    'counter in a class': ('', '', 'Net.n += 1\nreturn X * Net.n', 'Net.n, a state', 'Net.n'),
    'counter in a class, by self': ('', '', 'type(self).n += 1\nreturn X * self.n',
                                    'Net.n, a state', 'n'),
    'counter in a default': ('def g(n=[0]):\n    n[0] += 1\n    return n[0]\n', '',
                             'return X * g()', '__defaults__, a state', ''),
    'counter on a function': ('def g():\n    g.n += 1\n    return g.n\ng.n = 0\n', '',
                              'return X * g()', 'g.n, a state', 'g.n'),
    'counter in NumPy': ('', 'self.n = numpy.zeros(1)', 'self.n += 1\nreturn X * float(self.n[0])',
                         'self.n, a state', 'self.n'),
    'counter in C': ('import ctypes\n', 'self.n = ctypes.c_int(1)',
                     'self.n.value += 1\nreturn X * self.n.value', 'self.n, a state', 'self.n'),
    'counter in a bytearray': ('', 'self.n = bytearray(1)', 'self.n[0] += 1\nreturn X * self.n[0]',
                               'self.n, a state', 'self.n'),
    'counter in array.array': ('', 'self.n = array.array("i", [0])',
                               'self.n[0] += 1\nreturn X * self.n[0]', 'self.n, a state', 'self.n'),
    'counter of a child': ('', 'self.c = nn.Dense(3)\nself.c.n = 1',
                           'self.c.n += 1\nreturn X * self.c.n', 'self.n, a state', 'self.c.n'),
    'counter by vars': ('', 'self.n = 0', 'vars(self)["n"] += 1\nreturn X * self.n',
                        'self.n, a state', ''),
    'counter by setattr': ('', 'self.n = 0', 'setattr(self, "n", self.n + 1)\nreturn X * self.n',
                           'self.n, a state', 'setattr'),
    'a mode that changes': ('', 'self.mode = "a"',
                            'self.mode = self.mode + "b"\nreturn X * len(self.mode)',
                            'self.mode, a state', 'self.mode'),
    'a tuple that counts': ('', 'self.n = (0, 1)',
                            'self.n = (self.n[0] + 1, 1)\nreturn X * self.n[0]', 'self.n, a state',
                            'self.n'),
    'a layer made': ('', '', 'self.d = nn.Dense(2)\nreturn self.d(X)', 'self.d, a state',
                     'self.d = '),
    'a layer registered': ('', 'self.d = nn.Dense(3)',
                           'self.register_child(self.d, "e")\nreturn X * len(self._children)',
                           'makes layers', 'return'),
    'a generator kept': ('', '', 'self.g = (x for x in [X])\nreturn X', 'puts a generator', ''),
    'a function kept': ('', '', 'self.g = lambda: X\nreturn X', 'puts a function', ''),
    'default_rng': ('rng = numpy.random.default_rng(0)\n', '', 'return X * rng.random()',
                    'Python or NumPy', 'rng.random'),
    'RandomState': ('', 'self.r = numpy.random.RandomState(0)', 'return X * self.r.rand()',
                    'Python or NumPy', 'self.r.rand'),
    'Random': ('', 'self.r = random.Random(0)', 'return X * self.r.random()', 'Python or NumPy',
               'self.r.random'),
    'Random.gauss': ('', 'self.r = random.Random(0)', 'return X * self.r.gauss(0, 1)',
                     'Python or NumPy', 'self.r.gauss'),
    'Random.choice': ('r = random.Random(0)\n', '', 'return X * r.choice([1, 2, 3])',
                      'Python or NumPy', 'r.choice'),
    'Random.shuffle': ('r = random.Random(0)\n', '', 'a = [1, 2, 3]\nr.shuffle(a)\nreturn X * a[0]',
                       'Python or NumPy', 'r.shuffle'),
    'default_rng made inside': ('', '', 'return X * numpy.random.default_rng().random()', 'entropy',
                                'default_rng'),
    'RandomState made inside': ('', '', 'return X * numpy.random.RandomState().rand()', 'entropy',
                                'RandomState'),
    'default_rng of None': ('', '', 'return X * numpy.random.default_rng(None).random()', 'entropy',
                            'default_rng'),
    'default_rng of None, by name': (
        '', '', 'return X * numpy.random.default_rng(seed=None).random()', 'entropy',
        'default_rng'),
    'RandomState of a None': ('', '', 's = None; return X * numpy.random.RandomState(s).rand()',
                              'entropy', 'RandomState'),
    'RandomState of a None that an attribute is': (
        '', 'self.s = None', 'return X * numpy.random.RandomState(self.s).rand()', 'entropy',
        'RandomState'),
    'default_rng of None in a dict': (
        '', '', 'return X * numpy.random.default_rng(**{"seed": None}).random()', 'entropy',
        'default_rng'),
    'RandomState of None, by name': (
        '', '', 'return X * numpy.random.RandomState(seed=None).rand()', 'entropy',
        'RandomState'),
    'Random made inside': ('', '', 'return X * random.Random().random()', 'without a seed',
                           'random.Random'),
    'SystemRandom': ('r = random.SystemRandom()\n', '', 'return X * r.random()', 'entropy',
                     'r.random'),
    'random.random': ('', '', 'return X * random.random()', 'Python or NumPy', 'random.random'),
    'from random import': ('from random import uniform\n', '', 'return X * uniform(0, 1)',
                           'Python or NumPy', 'uniform'),
    'from numpy.random import': ('from numpy.random import rand\n', '', 'return X * rand()',
                                 'Python or NumPy', 'rand()'),
    'state of Python': ('import gc\n', '', 'return X * gc.isenabled()', 'the state of Python',
                        'isenabled'),
    'process': ('', '', 'return X * os.getpid()', 'or of its process', 'getpid'),
    'decimal context': ('import decimal\n', '', 'return X * decimal.getcontext().prec',
                        'the state of Python', 'getcontext'),
    'time.time': ('', '', 'return X * time.time()', 'reads a clock', 'time.time'),
    'from time import': ('from time import perf_counter as clock\n', '', 'return X * clock()',
                         'reads a clock', 'clock()'),
    'datetime.now': ('', '', 'return X * datetime.datetime.now().microsecond', 'reads a clock',
                     'now()'),
    'datetime of a subclass': ('class D(datetime.datetime): pass', '',
                               'return X * D.now().microsecond', 'reads a clock', 'D.now()'),
    'strftime': ('', '', 'return X * int(time.strftime("%S"))', 'reads a clock', 'strftime'),
    'strftime by star': ('', '', 'return X * int(time.strftime(*["%S"]))', 'reads a clock',
                         'strftime'),
    'asctime': ('', '', 'return X * len(time.asctime())', 'reads a clock', 'asctime'),
    'datetime64': ('', '', 'return X * (numpy.datetime64("now") > numpy.datetime64("2020"))',
                   'reads a clock', ''),
    'Timestamp': ('import pandas', '', 'return X * pandas.Timestamp.now().second', 'reads a clock',
                  ''),
    'getrandom': ('import os', '', 'return X * os.getrandom(1)[0]', 'draws entropy', 'getrandom'),
    'os.times': ('import os', '', 'return X * os.times()[4]', 'asks for the state', 'os.times'),
    'bound generator': ('import random\ndraw = random.Random(5).random', '', 'return X * draw()',
                        'draws from a generator', 'draw()'),
    'StringIO': ('import io\nfile = io.StringIO("2")', '', 'return X * int(file.getvalue())',
                 'reads a file', 'getvalue'),
    'a schedule': ('schedule = mx.lr_scheduler.FactorScheduler(1)', '', 'return X * schedule(3)',
                   'learning-rate schedule', 'schedule(3)'),
    'a Trainer': ('w = gluon.Parameter("w", shape=1)\nw.initialize()\n'
                  'trainer = gluon.Trainer([w], "sgd")', '', 'return X * trainer.learning_rate',
                  'a Trainer', 'trainer.'),
    'a new Series': ('import pandas', '', 'return X, pandas.Series([1])', 'returns a Series',
                     'Series('),
    'a changed array of another library': (
        'class T:\n    def __init__(self): self.a = numpy.ones(2)\n'
        '    def __array__(self, dtype=None, copy=None): return self.a\nt = T()\n', '',
        't.a[0] = 7\nreturn X * t.a[0]', 'and then changes it', 't.a[0]'),
    'id of an array': ('', '', 'return X * (id(X) > 0)', 'the id of an array', 'id(X)'),
    'a thread': ('import threading', '', 'threading.Thread(target=print).start()\nreturn X',
                 'starts a thread', 'Thread('),
    'pickle': ('import pickle', '', 'return X * pickle.loads(pickle.dumps(X))', 'pickles an array',
               'pickle'),
    'date.today': ('', '', 'return X * datetime.date.today().day', 'reads a clock', 'today()'),
    'uuid': ('', '', 'return X * uuid.uuid4().int', 'entropy', 'uuid4'),
    'urandom': ('', '', 'return X * os.urandom(1)[0]', 'entropy', 'urandom'),
    'secrets': ('import secrets\n', '', 'return X * secrets.randbelow(9)', 'entropy', 'randbelow'),
    'next of count': ('it = itertools.count()\n', '', 'return X * next(it)',
                      'next value of an iterator', 'next(it)'),
    'next of an iterator': ('it = iter(range(9))\n', '', 'return X * next(it)',
                            'next value of an iterator', 'next(it)'),
    'next of an attribute': ('', 'self.it = iter([1, 2, 3, 4])', 'return X * next(self.it)',
                             'next value of an iterator', 'next(self.it)'),
    'for over an iterator': ('it = iter([1, 2, 3, 4])\n', '', 'for i in it:\n    return X * i',
                             'next value of a list_iterator', ''),
    'next of cycle': ('it = itertools.cycle([1, 2, 3])\n', '', 'return X * next(it)',
                      'next value of an iterator', 'next(it)'),
    'next of a generator': ('def g():\n    while True:\n        yield 1\nit = g()\n', '',
                            'return X * next(it)', 'next value of a generator', ''),
    'send to a generator': (
        'def g():\n    a = 1\n    while True:\n        a = yield a\nit = g()\nnext(it)\n', '',
        'return X * it.send(3)', 'generator', ''),
    'a user-defined iterator': (
        'class It:\n    n = 0\n    def __iter__(self):\n        return self\n'
        '    def __next__(self):\n        self.n += 1\n        return self.n\nit = It()\n', '',
        'return X * next(it)', '', ''),
    'a generator returned': ('', '', 'return (x for x in [X, X])', 'returns a generator', ''),
    'a map returned': ('', '', 'return map(abs, [X])', 'returns a map', ''),
    'a zip returned': ('', '', 'return zip([X], [X])', 'returns a zip', ''),
    'an iterator returned': ('', '', 'return iter([X])', 'returns a list_iterator', ''),
    'a lambda returned': ('', '', 'return lambda: X * 2', 'returns a function', ''),
    'an iterator of a view': ('', '', 'return iter({"a": X}.values())',
                              'returns a dict_valueiterator', ''),
    'sys.setprofile': ('import sys\n', '', 'sys.setprofile(None)\nreturn X',
                       'changes the profile hook', 'setprofile'),
    'a pool of threads': (
        'from concurrent.futures import ThreadPoolExecutor\npool=ThreadPoolExecutor(1)\nk=[2]\n'
        'pool.submit(int).result()\n', '', 'return X * pool.submit(lambda: k[0]).result()',
        'gives work to another thread', 'pool.submit'),
    'globals of a function': ('k=2\ndef g(): pass\n', '', 'return X * g.__globals__["k"]',
                              'by a text', ''),
    'globals of a frame': ('import sys\nk=2\n', '', 'return X * sys._getframe().f_globals["k"]',
                           'by a text', ''),
    'numpy.flatiter': ('it=numpy.arange(1., 9.).flat\n', '', 'for v in it: return X * float(v)',
                       'a flatiter, whose state', ''),
    're.finditer': ('import re\nit=re.finditer(".", "abc")\n', '',
                    'for v in it: return X * v.start()', 'an iterator that calls a function', ''),
    'csv.reader': ('import csv\nit=csv.reader(["1", "2"])\n', '',
                   'for v in it: return X * float(v[0])', 'whose state cannot be compared', ''),
    'a coroutine': ('async def g():\n    return 2\n_g=g()\n_g.close()\nc=[_g]\n', '',
                    'return X * len(c)', 'a coroutine, whose state', ''),
    'a SimpleQueue': ('q=queue.SimpleQueue()\nq.put(2)\n', '', 'return X * q.get()',
                      'calls get of a SimpleQueue', 'q.get'),
    'a lock': ('lock=threading.Lock()\n', '', 'return X * (2 if lock.locked() else 3)',
               'calls locked of a lock', 'lock.locked'),
    'an Element': ('import xml.etree.ElementTree as E\ne=E.fromstring("<a k=\\"2\\"/>")\n', '',
                   'return X * int(e.get("k"))', 'calls get of a Element', 'e.get'),
    'a hash': ('import hashlib\nh=hashlib.md5(b"a")\n', '', 'return X * h.digest()[0]',
               'calls digest of a ', 'h.digest'),
    'os.access': ('', '', 'return X * os.access("/", 0)', 'looks at files', 'os.access'),
    'os.system': ('', '', 'return X * os.system("true")', 'runs a command', 'os.system'),
    'copy of a Block': ('', 'self.w = [2]', 'return X * copy.copy(self).w[0]', 'copies a Block',
                        'copy.copy'),
    'copied context': ('v=contextvars.ContextVar("v")\nv.set(2)\n', '',
                       'return X * contextvars.copy_context()[v]', 'context variables',
                       'copy_context'),
    'StringIO.tell': ('import io\ns=io.StringIO("abcd")\n', '', 'return X * (s.tell() + 1)',
                      'reads a file', 's.tell'),
    'a Block returned': ('', '', 'return nn.Dense(2)', 'returns a Dense', ''),
    'X.grad': ('', '', 'return X * X.grad', 'reads a gradient', 'X.grad'),
    'a file': ('path = __import__("tempfile").mkstemp()[1]\nopen(path, "w").write("3")\n', '',
               'return X * int(open(path).read())', 'looks at files', 'open('),
    'a file by pathlib': (
        'path = pathlib.Path(__import__("tempfile").mkstemp()[1])\npath.write_text("3")\n', '',
        'return X * int(path.read_text())', 'looks at files', 'read_text'),
    'an open file': (
        'path = __import__("tempfile").mkstemp()[1]\nopen(path, "w").write("3\\n4\\n")\n'
        'file = open(path)\n', '', 'return X * int(file.readline())', 'reads a file', 'readline'),
    'np.load': ('path = __import__("tempfile").mkstemp()[1]\nnpx.save(path, {"a": np.ones(3)})\n',
                '', 'return X * npx.load(path)["a"]', 'loads arrays', 'npx.load'),
    'globals()': ('k = 2\n', '', 'return X * globals()["k"]', 'globals by a text', 'globals()'),
    'input': ('', '', 'return X * len(input())', 'asks for input', 'input()'),
    'a queue': ('q = queue.Queue()\nq.put(3)\n', '', 'return X * q.get()', 'queue', ''),
    'a context variable': ('v = contextvars.ContextVar("v", default=2)\n', '', 'return X * v.get()',
                           'context variable', 'v.get'),
    'seeding': ('', '', 'mx.random.seed(3)\nreturn X * np.random.uniform()', 'seeds the generator',
                'seed'),
    'too large a list': ('', 'self.a = list(range(100000))', 'return X * self.a[0]',
                         'self.a, which holds more than', 'self.a[0]'),
    'hooks of a child': ('', 'self.d = nn.Dense(3)\nself.d.register_forward_hook(lambda *a: None)',
                         'return self.d(X)', 'with hooks', 'self.d(X)'),
    'an array by no known way': ('import ctypes\nW = np.ones(3)\nwhere = id(W)\n', '',
                                 'return X * ctypes.cast(where, ctypes.py_object).value',
                                 'where it comes from', 'ctypes.cast'),
    'the value of an array in a list': ('W = [np.ones(3)]\n', '', 'return X * float(W[0].sum())',
                                        'asks for the value', 'float('),
    'the value of a global array': ('W = np.ones(3)\n', '', 'return X * W.asnumpy().sum()',
                                    'asks for the value', 'asnumpy'),
    'writes into an argument': ('', '', 'X[0] = 1\nreturn X', 'writes into an array', 'X[0]'),
    'a written detached array': ('', '', 'Y = X * 1\nT = Y.detach()\nT += 1\nreturn Y',
                                 'writes into a detached array', 'T += 1'),
    'a detached array of a written one': ('', '', 'Y = X * 1\nT = Y.detach()\nY += 1\nreturn T * 2',
                                          'shares memory', 'T * 2'),
    'a row of a written array': ('', '', 'Y = X * 1\nT = Y[0]\nY[:] = X * 2\nreturn T * 2',
                                 'shares memory', 'T * 2'),
    'rows exchanged': ('', '', 'Y = X * 1\na, b = Y[0], Y[1]\nY[0] = b\nY[1] = a * 1\nreturn Y',
                       'shares memory', 'a * 1'),
    'a detached state kept': ('', 'self.h = np.ones(3)',
                              'self.last = self.h.detach()\nself.h += 1\nreturn X', 'shares memory',
                              ''),
    'a detached state written': ('', 'self.h = np.ones(3)', 'T = self.h.detach()\nT += 1\nreturn X',
                                 'writes into a detached array', 'T += 1'),
    'a weak reference to a function': ('import weakref\ndef g(): return 2\nr = weakref.ref(g)\n',
                                       '', 'return X * r()()', 'weak reference to a function', ''),
    'a weak reference to a Block': ('import weakref\nother = nn.Dense(3)\n',
                                    'self.r = weakref.ref(other)', 'return X if self.r() else -X',
                                    'weak reference to a Dense', ''),
    'writes into a Parameter': ('', 'self.d = nn.Dense(3, in_units=3)',
                                'self.d.weight.data()[:] = 1\nreturn self.d(X)',
                                'writes into an array', 'data()'),
}


def refused_module(name):
    before, init, forward, *_ = REFUSED[name]
    after = 'Net.n = 0\n' if 'Net.n' in forward or 'type(self).n' in forward else ''
    return block(init, forward, before) + after


@pytest.mark.parametrize('name', REFUSED)
def test_refused(name):
    *_, what, line = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with pytest.raises(TraceError) as caught:
            run(refused_module(name), (), None, True, False)
        message = str(caught.value)
        del caught
        if 'file' in name:      # a file that a net leaves open warns when the net is freed
            gc.collect()
    assert what in message and line in message.splitlines()[2], message
    assert '<case ' in message.splitlines()[1] and 'fallback=True' in message


SEED = 3


@pytest.mark.parametrize('make', [
    lambda: onp.random.RandomState(3), lambda: onp.random.RandomState(seed=3),
    lambda: onp.random.default_rng(3), lambda: onp.random.default_rng(seed=3),
    lambda: onp.random.RandomState(SEED), lambda: onp.random.RandomState(int('3')),
    lambda: onp.random.default_rng(**{'seed': 3}), lambda: random.Random(3)])
def test_a_generator_may_be_made_with_a_seed(make):
    def f(X):
        return X * float(make().random())

    X = np.ones(3)
    assert (hybrid.compile(f)(X) == f(X)).all()


# ------------------------------------------------------------------ hybridize, copies, exceptions

class Scaled(nn.Block):
    """A Block with a state in a list, a number and a layer."""

    def __init__(self):
        super().__init__()
        self.layer, self.k, self.h = nn.Dense(3, in_units=3), 2.0, [np.zeros(3)]

    def forward(self, X):
        self.h[0] = self.h[0] + X.sum(axis=0)
        return self.layer(X) * self.k + self.h[0]


def scaled():
    net = Scaled()
    net.initialize(mx.init.One())
    return net


X = np.array([[1., 2., 3.]])


def programs(net):
    return sum(map(len, net.forward.__self__._programs.values()))


@pytest.mark.parametrize('assign', ['net.k = float("2.5")', 'net.k = "".join(["a", "b"])',
                                    'net.k = (1.5, [2])',
                                    'net.k = {"a": float("1.5")}', 'net.k = np.ones(3)',
                                    'net.unread = object()'])
def test_an_equal_value_makes_no_new_program(assign):
    net = nn.Sequential()
    net.add(nn.Dense(3))
    net = Reads(net)
    net.initialize()
    scope = {'net': net, 'np': np}
    exec(assign, scope)
    hybrid.hybridize(net)
    for _ in range(40):         # with 40 programs, a warning would name what keeps changing
        exec(assign, scope)
        net(X)
    assert programs(net) == 1


class Reads(nn.Block):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.k = inner, None

    def forward(self, X):
        return self.inner(X) if self.k is not X else X


@pytest.mark.parametrize('tries', [False, True])
def test_a_package_that_is_imported_first_inside_stays_whole(tmp_path, monkeypatch, tries):
    """What its own code sets while it runs is no write of `forward`."""
    name = f'case_package_{tries}'.lower()
    for file, text in {
            '__init__': 'from .core import scale\ntry: from .fast import scale as fast\n'
                        'except ImportError: fast = None\nfrom . import tools\n',
            'core': 'registry = {}\ndef register(f):\n    registry[f.__name__] = f\n    return f\n'
                    '@register\ndef scale(X): return X * 2\n',
            'tools': f'from . import core\nimport {name}\ntry: K = {name}.missing\n'
                     'except AttributeError: K = 3\n'}.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f'{file}.py').write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    scope, line = {}, f'import {name} as p'
    line = f'try: {line}\n    except ImportError: return X' if tries else line
    exec(f'{HEAD}def f(X):\n    {line}\n    return p.scale(X) * p.tools.K\n', scope)
    net = hybrid.compile(scope['f'])
    for _ in range(3):
        assert (net(np.ones(2)) == 6).all()
    assert programs(net) == 1
    module = sys.modules[name]
    assert module.fast is None and module.core.registry == {'scale': module.scale}
    assert (scope['f'](np.ones(2)) == 6).all()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason='cProfile leaves the profile hook alone')
def test_a_profiler_inside_is_refused():
    with pytest.raises(TraceError, match='(?s)ends the profile hook.*<case .*fallback=True'):
        run(PROFILED, (), None, True, False)


def test_threading_local():
    """Each thread has its own attributes."""
    local = threading.local()
    X, net = np.ones(1), hybrid.compile(lambda X: X * local.k)
    found = {}

    def run(k):
        npx.set_np()
        local.k = k
        found[k] = [float(net(X)) for _ in range(3)]
    for k in 2, 7:
        thread = threading.Thread(target=run, args=[k])
        thread.start()
        thread.join()
    run(5)
    assert found == {2: [2] * 3, 7: [7] * 3, 5: [5] * 3}


@pytest.mark.parametrize('make', [
    lambda: mx.nd.ones(3), lambda: mx.nd.ones((2, 2)).tostype('csr')], ids=['dense', 'sparse'])
def test_arguments_of_mx_nd_are_refused(make):
    """The function would get arrays of mx.np, with other operators."""
    net = hybrid.compile(lambda X: X / 2)
    net(np.ones(3))
    with pytest.raises(TraceError, match='(?s)has an argument of class .*NDArray.*as_np_ndarray'):
        net(make())


def test_a_dead_proxy_is_no_text():
    """Python raises ReferenceError for each attribute of it, and for isinstance."""
    scope = {}
    exec(HEAD + MODULE + CLASS_K + 'm.p=weakref.proxy(t); del t\n'
         'def f(X, p=m.p):\n    q = p\n    return X*getattr(m, n)*len(vars(m))\n', scope)
    compiled = hybrid.compile(scope['f'])       # where a trace fails, a warning is an error here
    assert same(leaves(compiled(scope['X'])), leaves(scope['f'](scope['X'])))


@pytest.mark.parametrize('change', [
    'm.step += 1', 'm.losses.append(1)', 'g.calls += 1', 'C.total += 1', 'm.new = 1'])
@pytest.mark.parametrize('use', ['getattr(m, n)', 'm.K * hasattr(m, "K")', 'm.K * len(f"{m.K:1d}")',
                                 'm.K * len("{:d}".format(m.K))', 'm.K * len(vars(o))',
                                 'getattr(sys.modules["cfg"], n)'])
def test_what_is_not_read_makes_no_new_program(use, change):
    """A loop in a module counts its steps there, beside the values that the net reads."""
    scope = {}
    exec(HEAD + 'import numpy\n' + MODULE + 'm.step, m.losses, m.big = 0, [], numpy.zeros(10**6)\n'
         'class C: total = 0\no = C()\ndef g(X): return X\ng.calls = 0\n'
         f'def f(X): return g(X) * {use}\n', scope)
    compiled = hybrid.compile(scope['f'])
    for _ in range(4):
        compiled(scope['X'])
        exec(change, scope)
    assert programs(compiled) == 1


def test_a_value_that_keeps_changing_is_reported_and_programs_are_kept():
    net = hybrid.hybridize(Reads(nn.Activation('relu')))
    for net.k in ('first', *range(31)):
        net(X)
    with pytest.warns(UserWarning,
                      match='Reads was compiled more than 32 times: self.k keeps changing'):
        net.k = 'one more'
        net(X)
    assert programs(net) == 32
    net.k = 30
    net(X)                      # its program was kept
    assert programs(net) == 32


def test_guards_look_closely_only_at_what_was_touched(monkeypatch):
    """If nothing was touched, identities and versions suffice. `ci.bench call` measures the
    cost."""
    net = nn.Sequential()
    net.add(*[nn.Dense(3, activation='relu') for _ in range(7)])
    net.initialize()
    hybrid.hybridize(net)
    for _ in range(2):
        net(X)
    (program,), = net.forward.__self__._programs.values()
    looks, look = [], program.guard._compare_all
    monkeypatch.setattr(program.guard, '_compare_all', lambda: looks.append(0) or look())
    net(X)
    assert looks == []
    net[0].note = 'touched'
    net(X)
    assert len(looks) <= 1 and len(net.forward.__self__._programs) == 1


def test_arrays_from_before_the_import(python):
    """d2l hides from the garbage collector what is there when it is imported."""
    code = (
        'from mxnet import np, npx; npx.set_np(); W = np.array([1., 2.]); import d2l; X = '
        'np.ones(2); f = d2l.compile(lambda X: X * W); print(f(X), end=""); W[:] = 5; print(f(X), '
        'end=""); W = np.zeros(2); print(f(X))')
    assert python('-c', code).stdout.split() == '[1. 2.][5. 5.][0. 0.]'.split()


EQUAL = '''SCALE, SHIFT, CONFIG = 2, 1, {'bias': 3}


def scaled(x):
    return x * SCALE


class Shift:
    def __call__(self, x):
        return x + shift() + CONFIG['bias']


def shift():
    return SHIFT


def closed(k):
    return lambda x: x * k * SCALE
'''


@pytest.mark.parametrize('name, value', [('SCALE', 5), ('SHIFT', 7), ('shift', lambda: 4),
                                         ('CONFIG', {'bias': 0})])
@pytest.mark.parametrize('of', [0, 1])
def test_equal_functions_of_two_files(of, name, value, tmp_path, monkeypatch):
    """Python takes the code objects of equal functions, on equal lines of two files, for equal."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []
    for file in f'{tmp_path.name}_a', f'{tmp_path.name}_b':
        (tmp_path / f'{file}.py').write_text(EQUAL)
        modules.append(importlib.import_module(file))
    a, b = modules
    assert a.scaled.__code__ == b.scaled.__code__

    def f(x):
        return sum(m.scaled(x) + m.Shift()(x) + m.closed(3)(x) for m in modules)
    compiled, x = hybrid.compile(f), np.array([1., 2.])
    assert compiled(x).tolist() == f(x).tolist()
    setattr(modules[of], name, value)
    assert compiled(x).tolist() == f(x).tolist()


def test_own_forward_is_kept():
    net = scaled()
    net.forward = own = lambda X: X * 3
    hybrid.hybridize(net)
    assert (net(X).asnumpy() == X.asnumpy() * 3).all()
    hybrid.hybridize(hybrid.hybridize(net))
    assert (net(X).asnumpy() == X.asnumpy() * 3).all() and net.forward is not own
    assert hybrid.hybridize(net, False).forward is own
    net.forward = own = lambda X: X * float(X.sum())
    with pytest.raises(TraceError):
        hybrid.hybridize(net)(X)
    assert net.forward is own


@pytest.mark.parametrize('calls', [0, 1, 2])
def test_summary(calls, capsys):
    net = nn.Sequential()
    net.add(nn.Dense(3, in_units=3), nn.Dense(2, in_units=3))
    net.initialize()
    net.summary(X)
    wanted = capsys.readouterr().out
    hybrid.hybridize(net)
    for _ in range(calls):
        net(X)
    net.summary(X)
    assert capsys.readouterr().out == wanted and 'Total params: 20' in wanted
    net(X)
    assert programs(net) == 1       # compiled as before


def test_a_loaded_graph_is_compiled_already(tmp_path):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    hybrid.export(net, str(tmp_path / 'net'), X)
    loaded = hybrid.load_exported(str(tmp_path / 'net'))
    assert hybrid.hybridize(loaded) is loaded and hybrid.compile(loaded, X) is loaded
    assert (loaded(X).asnumpy() == net(X).asnumpy()).all()
    with pytest.raises(TraceError, match='runs a graph that was compiled or loaded before'):
        hybrid.hybridize(Reads(loaded))(X)


@pytest.mark.parametrize('again',
                         [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_a_state_of_their_own(again):
    net = hybrid.hybridize(scaled())
    net(X)
    other = again(net)
    expected = again(hybrid.hybridize(scaled(), False))
    expected.h = [net.h[0].copy()]
    for _ in range(3):
        assert (other(X).asnumpy() == expected(X).asnumpy()).all()


@pytest.mark.parametrize('error, left', [('ArithmeticError("on purpose")', [[1, 2, 3], 'other', 3]),
                                         ('KeyboardInterrupt', [[0, 0, 0], 'text']),
                                         ('float(X.sum())', [[0, 0, 0], 'text'])])
def test_an_exception_in_forward_leaves_the_state_of_eager_mode(error, left):
    """An exception because of the trace, or from outside, leaves the state as it was."""
    net = scaled()
    net.h.append('text')

    def forward(X):
        net.h[0] = net.h[0] + X
        net.h.append(3)
        net.h[1] = 'other'
        raise eval(error)
    net.forward = forward
    with pytest.raises((ArithmeticError, KeyboardInterrupt, TraceError)):
        hybrid.hybridize(net)(X)
    assert [net.h[0][0].tolist() if net.h[0].ndim > 1 else net.h[0].tolist(), *net.h[1:]] == left


@pytest.mark.parametrize('prepare', [lambda net: None, lambda net: net(X)])
def test_a_copy_has_programs_of_its_own(prepare):
    net = hybrid.hybridize(scaled())
    prepare(net)
    other = copy.copy(net)
    other.k, other.h = 5, [np.zeros(3)]
    expected = copy.copy(hybrid.hybridize(scaled(), False))
    expected.k, expected.h = 5, [np.zeros(3)]
    for _ in range(2):
        before = net.h[0].copy()
        assert (other(X).asnumpy() == expected(X).asnumpy()).all()
        assert (net.h[0].asnumpy() == before.asnumpy()).all()
    assert programs(other) == 1 and other.forward.__self__ is not net.forward.__self__


def test_an_exception_that_only_a_trace_raises_is_reported():
    calls = []

    def forward(X):
        if hybrid.trace.tracing():
            raise ArithmeticError('in a trace')
        calls.append(X)
        return X * 2
    f = hybrid.compile(forward)
    with pytest.warns(UserWarning, match="ran eagerly: its trace raised ArithmeticError"):
        assert (f(X).asnumpy() == 2 * X.asnumpy()).all()
    assert len(calls) == 1


def _calls_of_a_trace(layers):
    """Return the number of Python functions that compiling a net of so many layers calls."""
    net = nn.Sequential()
    for _ in range(layers):
        net.add(nn.Dense(2, in_units=2), nn.BatchNorm(in_channels=2))
    net.initialize()
    calls, compiled = collections.Counter(), hybrid.compile(net)
    sys.setprofile(lambda frame, event, arg: calls.update((event,)))
    try:
        compiled(np.ones((3, 2)))
    finally:
        sys.setprofile(None)
    return calls['call']


def test_the_work_of_a_trace_grows_as_the_net_does():
    """It was quadratic: each array was looked for in all Parameters of all Blocks."""
    _calls_of_a_trace(1)
    assert _calls_of_a_trace(80) < 5 * _calls_of_a_trace(20)


def test_profilers_stay_installed():
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append(frame.f_code.co_name))
    try:
        profiler = sys.getprofile()
        hybrid.hybridize(scaled())(X)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert 'forward' in seen
    profiler = cProfile.Profile()
    profiler.enable()
    set_by_it = sys.getprofile()            # the profiler itself; from Python 3.12 on None
    hybrid.hybridize(scaled())(X)
    assert sys.getprofile() is set_by_it
    profiler.disable()


CTRL_C = '''
import os, signal, sys, threading, time
from mxnet import gluon, np, npx
from mxnet.gluon import nn
from mxnet.ndarray._internal import NDArrayBase
from d2l import hybrid
npx.set_np()
X, delay = np.ones((2, 3)), float(sys.argv[1])
def watched():
    return [(o, n, vars(o).get(n)) for o, n in [
        (gluon.Block, '__getattribute__'), (gluon.Block, '__setattr__'), (NDArrayBase, 'handle'),
        (NDArrayBase, '__del__'), (np.ndarray, '__setitem__'), (gluon.Parameter, '_check_and_get')]]
before, interrupted, dropped = watched(), 0, []
# what is raised in a __del__ of MXNet's, Python drops; outside of a trace that is not ours
sys.unraisablehook = lambda found: found.exc_type is KeyboardInterrupt and dropped.append(
    hybrid.trace.tracing())
signal.signal(signal.SIGALRM, signal.default_int_handler)
for i in range(40):
    net = nn.Sequential()
    net.add(nn.Dense(3, in_units=3), nn.Dense(3, in_units=3))
    net.initialize()
    hybrid.hybridize(net)
    try:
        signal.setitimer(signal.ITIMER_REAL, delay * (i + 1) / 40)
        for _ in range(1000):
            net(X)
            hybrid.hybridize(net)
    except KeyboardInterrupt:
        interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert watched() == before, i
    assert sys.getprofile() is None and not hybrid.trace.tracing(), i
    assert signal.getsignal(signal.SIGALRM) is signal.default_int_handler
    assert (net(X).shape == (2, 3))
print(interrupted + dropped.count(False), dropped.count(True))
'''


def test_ctrl_c_leaves_mxnet_as_it_was(python):
    done = python('-c', CTRL_C, '0.05')
    assert done.stdout == '40 0\n', done.stderr


# ------------------------------------------------------------------ random programs

STATEMENTS = [
    'Y = Y * self.k', 'Y = Y + self.a', 'Y = np.tanh(Y)', 'Y = Y + sum(self.l)',
    'Y = Y * len(self.l)',
    'Y = Y + self.d.get("h", 1.0)', 'Y = Y * G[0]', 'Y = Y + self.o.h',
    'Y = -Y if self.flag else Y',
    'Y = Y * self.t[1]', 'Y = Y + self.q[0]', 'Y = Y + len(self.d)', 'Y = Y + self.layer(Y)',
    'Y = g(Y)',
    'Y = Y * np.random.uniform(size=(3,))', 'Y = Y + sum(h for h in self.d["l"])',
    'Y = Y * sum(vars(self.o).get("n", [1]))', 'Y = Y if self.l is not G else Y * 3',
    'self.a = self.a * 0.5 + Y[0]', 'self.l[0] = self.l[0] + Y[0]', 'self.l.append(Y[0])',
    'self.l.reverse()', 'self.l = [Y[0], *self.l[:1]]', 'del self.l[1:]', 'self.d["h"] = Y[0]',
    'self.d.pop("h", None)', 'G[0] = G[0] + Y[1]', 'self.o.h = Y[0]', 'self.o.n = [2]',
    'self.o = types.SimpleNamespace(h=Y[1])', 'self.l, G[0] = [G[0]], self.l[0]',
    'self.d["l"] = self.l', 'self.d["l"] = [*self.l]', 'self.flag = not self.flag',
    'self.t = (Y[0], self.t[0])', 'self.q.append(Y[0])', 'self.l.insert(0, self.a)', 'self.l = G',
    'self.seen.add(len(self.l))', 'Y = Y * len(self.seen)', 'self.last = [Y, Y]', 'g.h = Y[0]',
]
CHANGES = [
    'net.k = 3.0', 'net.k = 2', 'net.l.append(np.ones(3))', 'net.l[0] = np.ones(3)',
    'net.d.clear()',
    'net.l = [np.zeros(3)]', 'G[0] = np.ones(3) * 2', 'net.o.h = np.ones(3)', 'net.a = np.ones(3)',
    'net.a[:] = 2', 'net.l = G', 'net.d["l"] = net.l', 'net.flag = True', 'net.o.n = [1, 2]',
    'net.layer.weight.set_data(np.ones((3, 3)) * 0.1)', 'g.__defaults__ = (2,)', 'SCALE = 3.0',
    'net.q.rotate()', 'net.t = (np.ones(3), np.zeros(3))',
    'net.initialize(init.One(), force_reinit=True)',
]
INIT = '''
self.k, self.a, self.flag, self.seen = 2.0, np.ones(3), False, set()
self.l, self.d = [np.ones(3), np.zeros(3)], {'l': [np.ones(3)]}
self.o, self.t = types.SimpleNamespace(h=np.ones(3)), (np.ones(3), np.zeros(3))
self.q, self.layer = collections.deque([np.ones(3)] * 2, 2), nn.Dense(3, in_units=3)
'''
GLOBALS = '''
G, SCALE = [np.ones(3)], 2.0
def g(Y, by=1):
    return Y * SCALE + by
'''
LOOKS = ['net.a', 'net.l', 'net.d', 'net.o', 'net.t', 'net.q', 'G', 'net.l is G', 'net.flag',
         'sorted(net.seen)',
         'net.d.get("l") is net.l', 'vars(net).get("last")', 'vars(g)']


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=7),
       st.lists(st.sampled_from(CHANGES), max_size=5), st.booleans())
def test_random_programs(statements, changes, train):
    source = block(INIT, '\n'.join(['Y = X', *statements, 'return np.tanh(Y)']), GLOBALS)
    source += f'STATE = {LOOKS!r}\n'
    try:
        eager = run(source, changes, None, False, train)
    except (mx.MXNetError, KeyError) as error:     # a tape that was freed, or a missing key
        with pytest.raises(type(error)):
            run(source, changes, None, True, train)
        return
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert close(eager, run(source, changes, None, True, train))


def close(a, b):
    """As `same`, but with a tolerance: gradients may be added up in another order."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, onp.ndarray) and isinstance(b, onp.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and onp.allclose(a, b, 1e-5, 1e-6, True)
    return a == b
