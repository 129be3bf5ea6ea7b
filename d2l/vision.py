"""Networks of Gluon-CV's model zoo (https://cv.gluon.ai) for use with the book's arrays.

Gluon-CV is written for MXNet's older arrays, `mx.nd`. Its networks are HybridBlocks, so their
graphs can be traced. `from_gluoncv` runs such a graph operator by operator on the book's arrays,
`mx.np`.
"""
import concurrent.futures
import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
import traceback
import types
import warnings
import weakref

import mxnet
from mxnet import autograd, gluon
from mxnet.gluon.parameter import DeferredInitializationError
from mxnet.ndarray import register
from mxnet.util import np_array, np_shape

from . import c_api, graphs
from .hybrid.trace import tracing

INPUT = 'data'
GLUONCV = 'gluoncv>=0.10.5, <0.11'         # the same requirement as in pyproject.toml
# Block -> {training: its settings, params, graph}. This is no attribute of the Block, since
# d2l.hybridize would take it for a state of the network
_GRAPHS = weakref.WeakKeyDictionary()
SCALARS = {bool, int, float, str, type(None)}       # a setting is one of these, or a list or dict


def import_gluoncv():
    """Import Gluon-CV and return it. Without this function it raises an error if PyTorch 2 is
    installed, though it needs no PyTorch, and it warns about old versions.

    Raises ImportError with the command that installs Gluon-CV, if it is missing.
    """
    if 'gluoncv' in sys.modules:
        return sys.modules['gluoncv']
    if importlib.util.find_spec('gluoncv') is None:
        raise ImportError("Gluon-CV is not installed, which section 13.15 and d2l.from_gluoncv "
                          f"need: pip install '{GLUONCV}'")
    found = sys.modules.get('torch')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            sys.modules['torch'] = None             # `import torch` then raises ImportError
            return importlib.import_module('gluoncv')
        finally:
            del sys.modules['torch']
            if found:
                sys.modules['torch'] = found


def from_gluoncv(name: str, **kwargs) -> gluon.Block:
    """Return a network of Gluon-CV as a Block that takes and returns the book's arrays.

    name, kwargs: arguments of `gluoncv.model_zoo.get_model`, such as `pretrained=True`. By default,
    Gluon-CV may fetch pretrained parameters for a part of a network; `pretrained_base=False`
    prevents that.

    The Block has Gluon-CV's parameters under Gluon-CV's names. It can be trained, and compiled by
    `d2l.hybridize`. It takes pictures (B, 3, H, W), but not the targets that some networks take in
    training. Raises ValueError, with the nearest names, for a name that Gluon-CV does not know.
    """
    model_zoo = import_gluoncv().model_zoo
    known = list(model_zoo.get_model_list())
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, 5, .3) or known[:5]
        raise ValueError(f'Gluon-CV has no network {name!r}; the nearest of its {len(known)}: '
                         f"{', '.join(near)}")
    with warnings.catch_warnings(), np_array(False), np_shape(False):
        warnings.simplefilter('ignore')             # it warns about old versions of libraries
        return OlderBlock(model_zoo.get_model(name, **kwargs))


def _is_plain(value):
    """Return whether a value is a setting: a number, a text, None, or a list, a tuple or a dict of
    these."""
    if isinstance(value, (list, tuple, dict)):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else value))
    return type(value) in SCALARS


class OlderBlock(gluon.Block):
    """A Block for `mx.np` that runs a HybridBlock that is written for `mx.nd` and has one input
    (see from_gluoncv).

    Attributes and methods of the network are those of this Block, too, such as `net.classes`.
    Changes take effect at the next call: `net.set_nms(0.5)`, `net.reset_class(['mouse'])`,
    `net.post_nms = 5`.
    """

    def __init__(self, net):
        super().__init__(prefix=net.prefix)
        self.net = net
        for training in False, True:
            self._graph(training)
        self._renew()                               # for pretrained parameters, which have arrays

    def __getattr__(self, name):
        if name == 'net':
            raise AttributeError(name)
        found = getattr(self.net, name)
        return self._older(found) if inspect.ismethod(found) else found

    def __setattr__(self, name, value):
        net = vars(self).get('_children', {}).get('net')
        if hasattr(net, name) and not hasattr(gluon.Block, name) and name not in vars(self):
            setattr(net, name, value)               # a setting of the network
        else:
            super().__setattr__(name, value)

    def _older(self, method):
        """Return a function that calls a method of the network, such as `set_nms`, without np
        semantics, for which it is written."""
        @functools.wraps(method)
        def call(*args, **kwargs):
            with warnings.catch_warnings(), np_array(False), np_shape(False):
                warnings.simplefilter('ignore')
                result = method(*args, **kwargs)
            self._renew()
            return result
        return call

    def _settings(self):
        """Return all on which the network's graph depends: its settings and its Blocks."""
        found, blocks = [], [self.net]
        for block in blocks:
            if isinstance(block, gluon.SymbolBlock):            # a graph that has no settings
                continue
            for name, value in object.__getattribute__(block, '__dict__').items():
                if _is_plain(value):
                    found.append(value if type(value) in SCALARS else repr(value))
                    if tracing():                               # let d2l.hybridize guard it
                        getattr(block, name)
            children = [*block._children.values()]
            found += children
            blocks += children
        return found

    def _graph(self, training):
        """Return (the parameters, the result of `_trace`) for the network's current settings."""
        settings = self._settings()
        graphs = _GRAPHS.setdefault(self, {})
        found = graphs.get(training)
        if found is None or found.settings != settings:
            # in another thread, as d2l.hybridize may be tracing in this one
            with concurrent.futures.ThreadPoolExecutor(1) as other:
                graph = other.submit(self._trace, training).result()
            found = graphs[training] = types.SimpleNamespace(
                settings=settings, params=dict(self.net.collect_params().items()), graph=graph)
        return found.params, found.graph

    def _collect_params_with_prefix(self, prefix=''):
        return self.net._collect_params_with_prefix(prefix)

    def initialize(self, *args, **kwargs):
        """Initialize the parameters, as `Block.initialize` does."""
        with np_array(False), np_shape(False):      # some initializers are written for mx.nd
            self.net.initialize(*args, **kwargs)
        self._renew()

    def _renew(self):
        """Convert the arrays of the parameters to mx.np."""
        for param in self.net.collect_params().values():
            if param._data is not None and not isinstance(param._data[0], mxnet.np.ndarray):
                param._data = [array.as_np_ndarray() for array in param._data]
                if param._grad is not None:
                    param._grad = [array.as_np_ndarray() for array in param._grad]
                    autograd.mark_variables(param._data, param._grad, param.grad_req)

    def _trace(self, training):
        """Return (symbol, its graph, the structure of its outputs), or, if the network raises an
        exception, a text that describes it. The exception itself has a traceback, which would keep
        the network alive."""
        heads = []

        def take(out):
            if isinstance(out, mxnet.sym.Symbol):
                heads.append(out)
                return len(heads) - 1
            return [take(part) for part in out]
        with np_array(False), np_shape(False), autograd._RecordingStateScope(training, training):
            try:
                structure = take(self.net(mxnet.sym.var(INPUT)))
            except Exception as error:              # it needs targets, or has no graph
                return ''.join(traceback.format_exception_only(type(error), error)).strip()
        symbol = mxnet.sym.Group(heads)
        return symbol, graphs.from_symbol(symbol), structure

    def _finish_initialization(self, symbol, X):
        """Tell the parameters their shapes, as Gluon does at the first call."""
        names = symbol.list_arguments() + symbol.list_auxiliary_states()
        with np_array(False), np_shape(False):
            arguments, _, states = symbol.infer_shape(**{INPUT: X.shape})
            shapes = dict(zip(names, arguments + states))
            for name, param in self.net.collect_params().items():
                if param._deferred_init:
                    param.shape = shapes[name]
                    param._finish_deferred_init()
        self._renew()

    def forward(self, X):
        params, traced = self._graph(autograd.is_training())
        if isinstance(traced, str):
            raise RuntimeError(f'{self.net.name} gives no graph in this mode: {traced}')
        symbol, graph, structure = traced
        try:
            values = {name: params[name].data(X.ctx) for name in symbol.list_inputs()
                      if name != INPUT}
        except DeferredInitializationError:
            self._finish_initialization(symbol, X)
            return self.forward(X)
        values[INPUT] = X
        results = []
        for node in graph['nodes']:
            if node['op'] == 'null':
                results.append([values[node['name']]])
                continue
            attrs = {key: value for key, value in node.get('attrs', {}).items()
                     if not key.startswith('__')}
            out = register._imperative_invoke(
                c_api.operator(node['op']), [results[i][k] for i, k, *_ in node['inputs']],
                list(attrs), list(attrs.values()), None, True, False)
            results.append(out if isinstance(out, list) else [out])
        heads = [results[i][k] for i, k, *_ in graph['heads']]

        def fill(part):
            return heads[part] if isinstance(part, int) else tuple(map(fill, part))
        return fill(structure)
