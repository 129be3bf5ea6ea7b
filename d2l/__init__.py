"""Dive into Deep Learning 0.7.1 on MXNet 1.9.1: `import d2l` as in the book.

Everything that the book's sections save is here (`d2l.book`, generated from chapters/), plus:

- `d2l.data`: where the data sets come from; `D2L_DATA=sample` makes stand-ins
- `d2l.device`: which GPUs MXNet can compute on; `python -m d2l.device` says why not
- `d2l.hybrid`: `d2l.hybridize(net)` compiles any Block as it is written, `d2l.export` saves it
- `d2l.engine`, `d2l.updates`: settings of MXNet, and updates of its optimizers, that make it faster
- `d2l.launch`, `d2l.distributed`: training in several processes, on several machines
- `d2l.from_gluoncv(name)`: a network of Gluon-CV's model zoo
- `d2l.patches`: all that `import d2l` changes outside of itself, and why; D2L_PATCH=0 turns it off
"""
import gc as _gc
import sys as _sys
import warnings as _warnings

import d2l_finder as _d2l_finder
import d2l_mxnet as _d2l_mxnet
from d2l import patches as _patches


def _only_the_launcher():
    """Return whether Python imports d2l for `python -m d2l.launch`. The launcher needs no MXNet,
    and without it the processes of the group start three seconds earlier."""
    if _sys.argv[:1] != ['-m']:
        return False
    with open('/proc/self/cmdline') as file:        # sys.orig_argv, which Python 3.9 lacks
        args = file.read().split('\0')
    return ('-m', 'd2l.launch') in zip(args, args[1:]) and '--role' not in args


if not _only_the_launcher():
    _collects = _gc.isenabled()
    _gc.disable()           # imports leave little garbage; looking for it is 8 % of their time
    try:
        _problem = _d2l_mxnet.problem()
        if _problem:
            raise ImportError(_problem)
        _d2l_finder.install()           # for environments where Python has not read its .pth file
        _patches.install(_patches.BEFORE)
        _patches.install(_patches.AFTER)

        with _warnings.catch_warnings():
            # a string in the book's section 14.11 has '\(' and is no raw string
            _warnings.filterwarnings('ignore', '.*invalid escape sequence')
            from d2l.book import *  # noqa: F401, F403
        from d2l.hybrid import TraceError, compile, export, hybridize, load_exported  # noqa: F401
        from d2l.onnx import NoConverter, export_onnx  # noqa: F401
        from d2l.vision import from_gluoncv  # noqa: F401
    finally:
        if _collects:
            _gc.enable()

__version__ = f'{_d2l_mxnet.BOOK}+mxnet.{_d2l_mxnet.VERSION}'      # of the book, of MXNet
__doc__ += '\nWhat the import changes outside of d2l:\n\n' + '\n'.join(_patches.table()) + '\n'
