"""Compile any Gluon Block as it is written.

    net = d2l.hybridize(net)        # in place: net(X) is compiled, nothing else of net changes
    fast = d2l.compile(net, X)      # a compiled version beside net, sharing the Parameters
    d2l.export(net, path, X)        # saves the graph, its parameters and the shapes of its inputs
    net = d2l.load_exported(path)
"""
from .block import compile, hybridize
from .export import export, load_exported
from .trace import TraceError

__all__ = ['TraceError', 'compile', 'export', 'hybridize', 'load_exported']
