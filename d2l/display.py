"""IPython.display as the book uses it, made right for plain `python` too.

In a notebook or an IPython shell these are IPython's own functions. Elsewhere a figure is drawn
in its window when there is one, and nothing is printed: IPython's would print the Figure's repr
and escape codes. Save such a figure with `d2l.plt.savefig`.
"""
from IPython import display as _ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import *  # noqa: F401, F403
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats as _set_formats


def display(*objs, **kwargs):
    """Show objects; takes what `IPython.display.display` takes."""
    if InteractiveShell.initialized():
        return _ipython.display(*objs, **kwargs)
    for obj in objs:
        if not isinstance(obj, Figure):
            print(obj)
        elif plt.get_backend().lower() != 'agg':
            plt.pause(0.001)            # draws, and lets the window answer


def clear_output(wait=False):
    """Clear the cell's output, where there is a cell."""
    if InteractiveShell.initialized():
        _ipython.clear_output(wait)


def set_matplotlib_formats(*formats, **kwargs):
    """Formats of a notebook's figures ('svg'); elsewhere nothing to set."""
    if InteractiveShell.initialized():
        _set_formats(*formats, **kwargs)
