"""IPython.display as the book uses it, made right for plain `python` and IPython's shell too.

In a notebook these are IPython's own functions. Elsewhere a figure is drawn in its window when
there is one. Where there is none it is written to a file whose path is printed, once per figure:
figure-1.svg and so on, in the folder D2L_FIGURES (default: the working folder; empty: nothing is
written). That happens when the next figure of d2l begins, at `plt.show()`, and at the end of the
program; a live curve can be watched. What the program has saved itself is not written again.
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
_files, _written = {}, {}       # figure -> its path; and when it was last written
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
    """Write a figure to its file, and print the path where that is new."""
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
    """Write all figures that have changed since they were drawn; close: and begin new ones."""
    if not _to_files():
        return
    for figure in [plt.figure(number) for number in plt.get_fignums()]:
        if _has_content(figure):
            if figure.stale:
                _write(figure)
            if close:
                plt.close(figure)
    for figure in list(_files):         # figures that were closed, on which somebody drew
        if figure.stale and not plt.fignum_exists(figure.number):
            _write(figure)


def _watch():
    """From the first figure of d2l on: see to the files at the end, and after a cell of IPython."""
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
    """Show objects; takes what `IPython.display.display` takes."""
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
            plt.pause(0.001)            # draws, and lets the window answer


def clear_output(wait=False):
    """Clear the cell's output, where there is a cell."""
    if _in_a_notebook():
        _ipython.clear_output(wait)


def set_matplotlib_formats(*formats, **kwargs):
    """Formats of a notebook's figures ('svg'). Elsewhere a new figure begins."""
    if _in_a_notebook():
        _set_formats(*formats, **kwargs)
    elif _to_files():
        _watch()
        flush(close=True)
