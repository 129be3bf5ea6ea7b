"""The functions of IPython.display that the book uses, made to work in plain `python`, too.

In a notebook these are IPython's own functions. Elsewhere, a figure is drawn in its window if there
is one. Otherwise it is written to a file, figure-1.svg and so on, and the path is printed once per
figure. The folder is D2L_FIGURES, by default the working folder; if it is empty, nothing is
written. Figures are written when the next figure of d2l begins, at `plt.show()`, and at the end of
the program. A curve that grows is written again and again, so that it can be watched. A figure that
the program has saved itself is not written.
"""
import atexit
import os
import time

from IPython import display as _ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import *  # noqa: F401, F403
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats as _set_formats

LIVE_SECONDS = 1                # seconds between two writes of a curve that grows
_files, _written = {}, {}       # figure -> its path; figure -> the time at which it was written
_watching = False


def _in_a_notebook():
    """Return whether figures are shown below a cell: IPython's shell in a terminal shows none."""
    return InteractiveShell.initialized() and hasattr(InteractiveShell.instance(), 'kernel')


def _to_files():
    """Return whether figures go to files: there is neither a notebook nor a window."""
    return not _in_a_notebook() and plt.get_backend().lower() in ('agg', 'svg', 'pdf', 'ps',
                                                                  'cairo') \
        and os.environ.get('D2L_FIGURES', '.') != ''


def _write(figure):
    """Write a figure to its file, and print the path if the file is new."""
    path = _files.get(figure)
    if path is None:
        folder = os.environ.get('D2L_FIGURES', '.')
        path = _files[figure] = os.path.normpath(
            os.path.join(folder, f'figure-{len(_files) + 1}.svg'))
        os.makedirs(folder, exist_ok=True)
        print(path, flush=True)
    figure.savefig(path, bbox_inches='tight')
    _written[figure] = time.monotonic()


def _has_content(figure):
    return any(axes.has_data() or axes.images for axes in figure.axes)


def flush(close=False):
    """Write all figures that have changed since they were drawn. close: also close them, so that
    new figures begin"""
    if not _to_files():
        return
    for figure in [plt.figure(number) for number in plt.get_fignums()]:
        if _has_content(figure):
            if figure.stale:
                _write(figure)
            if close:
                plt.close(figure)
    for figure in list(_files):         # figures that were changed after they were closed
        if figure.stale and not plt.fignum_exists(figure.number):
            _write(figure)


def _watch():
    """At the first figure of d2l, arrange that figures are written at `plt.show()`, at the end of
    the program, and after each cell in IPython's shell."""
    global _watching
    if _watching:
        return
    _watching = True
    atexit.register(flush)
    show = plt.show

    def show_or_write(*args, **kwargs):
        return flush(close=True) if _to_files() else show(*args, **kwargs)
    plt.show = show_or_write
    if InteractiveShell.initialized():
        InteractiveShell.instance().events.register('post_run_cell', lambda *_: flush(close=True))


def display(*objs, **kwargs):
    """Show objects. It has the arguments of `IPython.display.display`."""
    if _in_a_notebook():
        return _ipython.display(*objs, **kwargs)
    for obj in objs:
        if not isinstance(obj, Figure):
            if InteractiveShell.initialized():
                _ipython.display(obj, **kwargs)
            else:
                print(obj)
        elif _to_files():
            _watch()
            if time.monotonic() - _written.get(obj, -LIVE_SECONDS) >= LIVE_SECONDS:
                _write(obj)
        elif plt.get_backend().lower() != 'agg':
            plt.pause(0.001)            # draw, and let the window react to the user


def clear_output(wait=False):
    """Clear the output of the cell in a notebook; do nothing elsewhere."""
    if _in_a_notebook():
        _ipython.clear_output(wait)


def set_matplotlib_formats(*formats, **kwargs):
    """Set the formats of a notebook's figures, such as 'svg'. Elsewhere, begin a new figure."""
    if _in_a_notebook():
        _set_formats(*formats, **kwargs)
    elif _to_files():
        _watch()
        flush(close=True)
