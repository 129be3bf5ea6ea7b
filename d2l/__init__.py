"""Dive into Deep Learning 0.7.1 on MXNet 1.9.1: `import d2l` as in the book.

Everything that the book's sections save is here (`d2l.book`, generated from chapters/), plus:

- `d2l.data`: where the data sets come from; `D2L_DATA=sample` makes stand-ins
- `d2l.device`: which GPUs MXNet can compute on; `python -m d2l.device` says why not
- `d2l.hybrid`: `d2l.hybridize(net)` compiles any Block as it is written, `d2l.export` saves it
- `d2l.engine`, `d2l.updates`: settings of MXNet, and updates of its optimizers, that make it faster
- `d2l.launch`, `d2l.distributed`: training in several processes, on several machines
- `d2l.from_gluoncv(name)`: a network of Gluon-CV's model zoo
"""
import gc as _gc
import sys as _sys

_args = getattr(_sys, 'orig_argv', [])      # Python 3.10 on
# `python -m d2l.launch` starts processes and needs no MXNet: they begin three seconds earlier
if not (_sys.argv[:1] == ['-m'] and ('-m', 'd2l.launch') in zip(_args, _args[1:])
        and '--role' not in _args):
    import d2l_cuda as _d2l_cuda
    from d2l import engine as _engine

    _engine.set_defaults()
    _d2l_cuda.install()             # mxnet-cu112 needs it where its .pth file was not read
    try:
        import mxnet as _mxnet  # noqa: F401
    except ModuleNotFoundError as _err:
        if _err.name != 'mxnet':
            raise
        raise ImportError("d2l needs MXNet: pip install 'd2l[cpu]', or 'd2l[cu112]' for a GPU"
                          ) from None

    from d2l.book import *  # noqa: E402, F401, F403
    from d2l.hybrid import (  # noqa: E402, F401
        TraceError, compile, export, hybridize, load_exported)
    from d2l.onnx import NoConverter, export_onnx  # noqa: E402, F401
    from d2l.updates import install as _install  # noqa: E402
    from d2l.vision import from_gluoncv  # noqa: E402, F401

    _install()                      # how MXNet's SGD and Adam update, faster

    # MXNet collects garbage whenever a DataLoader is made, and 15.6 makes one for each user: a
    # quarter of a second each for modules that never become garbage.
    _gc.freeze()

__version__ = '0.7.1'
