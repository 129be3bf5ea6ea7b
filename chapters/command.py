"""The console command `d2l`: `d2l run 3.6` is `python -m chapters run 3.6`, from any folder.

`d2l device` and `d2l launch` are `python -m d2l.device` and `python -m d2l.launch`. In a wheel this
package is called d2l_chapters.
"""
import os
import signal
import sys

from . import __main__ as cli
from .sections import CHECKOUT

MODULES = {'device': 'd2l.device', 'launch': 'd2l.launch'}


def main(argv=None):
    """Return the exit status of the command; `device` and `launch` take this process's place."""
    args = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)       # `d2l list | head` is no error
    if args and args[0] in MODULES:
        os.execv(sys.executable, [sys.executable, '-m', MODULES[args[0]], *args[1:]])
    if CHECKOUT and str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))               # the gallery is made from chapters and ci
    return cli.main(args, prog='d2l', others=MODULES)
