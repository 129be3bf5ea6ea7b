"""Running a section as Jupyter would: its cells in a fresh kernel, in the chapter's folder."""
import ast
import asyncio
import atexit
import base64
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading

import nbclient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from tqdm import tqdm
from traitlets.config import Config

from .sections import CHECKOUT, ROOT, python_only
from .toml import tomllib

# a wheel's modules are not written to: there, cells run and results lie in the reader's folder
HOME = CHECKOUT or pathlib.Path.cwd() / 'd2l-book'
BUILD = HOME / 'build'
QUICK_SAMPLE_SIZE = '300'           # training images of a sample data set in quick runs
CURVES = 'application/vnd.d2l.curves+json'
IMAGES = {'image/svg+xml': 'svg', 'image/png': 'png'}
ANSI = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
SAMPLE_LINE = 'd2l: sample data'    # what a run says on standard error (d2l/data/fetch.py)
KERNEL_OPTIONS = ['--InteractiveShell.colors=NoColor', '--HistoryManager.enabled=False']


class QuickError(ValueError):
    """quick.toml and the section do not fit together."""


class DevicesMissing(RuntimeError):
    """The section needs more GPUs than there are. The message names the option that helps."""


class CellFailed(RuntimeError):
    """A cell raised: the message names section and cell and ends with the cell's traceback."""


def quick_constants(number):
    """Return what quick.toml has for a section: {constant: value as Python source} and {variable of
    the environment: text}, whose names begin with D2L_."""
    table = tomllib.loads((ROOT / 'quick.toml').read_text()).get(number, {})
    return ({name: repr(value) for name, value in table.items() if not name.startswith('D2L_')},
            {name: str(value) for name, value in table.items() if name.startswith('D2L_')})


def _values(target, value):
    """Yield pairs (name, value node) of one assignment, element by element where both are
    tuples."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) \
            and len(target.elts) == len(value.elts):
        for pair in zip(target.elts, value.elts):
            yield from _values(*pair)


def _assigned(node):
    """Yield pairs (name, value node) of an assignment, or of a function's parameters with defaults;
    a whole number goes by its digits."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _values(target, node.value)
    elif isinstance(node, ast.arguments) and node.defaults:
        for arg, value in zip(node.args[-len(node.defaults):], node.defaults):
            yield arg.arg, value
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield str(node.value), node


def shrink(sources, constants):
    """Return the cells' sources with new values for the named constants.

    sources: list of cell sources; constants: name -> value as Python source. Only the values
    change, wherever the name is assigned or a parameter's default, at any depth of the syntax
    tree; the rest of the text stays. The name '1024' stands for that number wherever it is
    written. Raises QuickError for a name that no cell assigns.
    """
    done, changed = set(), []
    for source in sources:
        tree = ast.parse(python_only(source))
        lines = [line.encode() for line in source.split('\n')]    # ast counts bytes
        spots = {(value.lineno, value.col_offset): (name, value) for node in ast.walk(tree)
                 for name, value in _assigned(node) if name in constants}
        for _, (name, value) in sorted(spots.items(), reverse=True):
            first, last = value.lineno - 1, value.end_lineno - 1
            lines[first:last + 1] = [lines[first][:value.col_offset] + constants[name].encode()
                                     + lines[last][value.end_col_offset:]]
            done.add(name)
        changed.append(b'\n'.join(lines).decode())
    if set(constants) - done:
        raise QuickError(f"quick.toml shrinks {', '.join(sorted(set(constants) - done))}, "
                         'which the section does not assign')
    return changed


class _Client(nbclient.NotebookClient):
    """A NotebookClient that shows what cells print as they print it, and keeps figures on disk."""

    def __init__(self, nb, section, folder, echo, bar, devices, **kwargs):
        super().__init__(nb, **kwargs)
        self.section, self.folder, self.echo, self.bar = section, folder, echo, bar
        self.devices = devices
        self.said_sample = False                    # whether a cell said that it uses sample data
        self.ends = {}                              # number of a listing -> where its curves end
        self.at = None                              # index of the cell that runs
        self.listing = {}                           # cell index -> number of the listing
        for i, cell in enumerate(nb.cells):
            if cell.cell_type == 'code':
                self.listing[i] = len(self.listing)

    async def async_start_new_kernel_client(self, **kwargs):
        client = await super().async_start_new_kernel_client(**kwargs)
        setup = f'_setup(get_ipython(), {len(self.devices)})\ndel _setup\n'
        client.execute((ROOT / 'kernel_setup.py').read_text() + setup, silent=True,
                       store_history=False)
        return client

    def _write(self, text, file):
        if self.echo and text:
            with tqdm.external_write_mode(file=file):
                file.write(ANSI.sub('', text))
                file.flush()

    def output(self, outs, msg, display_id, cell_index):
        content = msg['content']
        data = content.get('data', {})
        curves = data.pop(CURVES, None)
        if curves:
            self.ends[self.listing[cell_index]] = curves['last']
        self._progress(curves)
        out = super().output(outs, msg, display_id, cell_index)
        if msg['msg_type'] == 'stream':
            self.said_sample |= SAMPLE_LINE in content['text']
            self._write(content['text'], getattr(sys, content['name']))
        elif data and not IMAGES.keys() & data.keys():
            self._write(data.get('text/plain', '') + '\n', sys.stdout)
        elif data:
            self.save_figures(cell_index, outs)      # a live curve can be watched on disk
        return out

    def _progress(self, curves):
        if curves and curves['end'] > 0:
            self.bar.set_postfix_str(', '.join(
                [f"{curves['xlabel'] or 'x'} {curves['x']:.3g} of {curves['end']:.3g}"]
                + [f'{label} {y:.3g}' for label, y in curves['last'].items()]))

    def save_figures(self, cell_index, outs):
        """Write the figures of one cell as <listing>[-<k>].svg; return their paths."""
        images = [(mime, out.data[mime]) for out in outs if 'data' in out
                  for mime in IMAGES if mime in out.data]
        paths = []
        for k, (mime, image) in enumerate(images):
            number = f'-{k + 1}' if len(images) > 1 else ''
            path = self.folder / f'{self.listing[cell_index]:02}{number}.{IMAGES[mime]}'
            new = path.with_name(f'.{path.name}')
            new.write_bytes(image.encode() if mime == 'image/svg+xml'
                            else base64.b64decode(image))
            os.replace(new, path)
            paths.append(path)
        return paths


def check_devices(section, devices):
    """Raise DevicesMissing where a section needs GPUs that neither exist nor are stood for."""
    found = len(devices)
    if section.gpus and not devices:
        import d2l  # a second, needed only here; it finds the CUDA libraries

        found = d2l.npx.num_gpus()
    if found < section.gpus:
        raise DevicesMissing(
            f'section {section.number} needs {section.gpus} GPUs, and there '
            f"{'is' if found == 1 else 'are'} {found}: --devices "
            f"{','.join(['cpu'] * section.gpus)} lets CPU contexts stand for them, and in a "
            f'notebook `import d2l; d2l.device.stand_in({section.gpus})`')


def working_folder(section):
    """Return the folder in which the cells of a Section run; ../img and, once fetched, ../data lie
    there."""
    if CHECKOUT:
        return section.path.parent
    folder = HOME / section.path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / 'img', HOME / 'img', dirs_exist_ok=True)
    return folder


@contextlib.contextmanager
def _own_signal_handlers():
    """Context manager that restores the handlers of SIGINT and SIGTERM, which nbclient replaces. If
    a kernel ends while it starts, nbclient leaves handlers that do nothing, and processes that are
    forked later would ignore SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield                           # nbclient replaces handlers in the main thread only
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            if handler is not None:     # None: one that C has set
                signal.signal(number, handler)


def execute(section, quick=False, echo=False, progress=None, devices=(), folder=None):
    """Run a Section in a fresh kernel; return the executed notebook and the figures' paths.

    quick: shrink the constants of quick.toml. echo: show what the cells print, as they print it.
    progress: whether to show a bar on standard error (default: when that is a terminal).
    devices: ('cpu', 'cpu') lets cpu(1) and cpu(2) stand for two GPUs, gpu(0) and gpu(1).
    folder: where the figures go, <listing>.svg (default: build/<number>), in place of earlier ones.
    Raises CellFailed, QuickError, DevicesMissing.
    """
    check_devices(section, devices)
    nb = section.notebook
    code = [cell for cell in nb.cells if cell.cell_type == 'code']
    env = dict(os.environ, D2L_SECTION=section.number)      # d2l.export_onnx writes it into files
    if quick:
        constants, variables = quick_constants(section.number)
        for cell, source in zip(code, shrink([cell.source for cell in code], constants)):
            cell.source = source
        env = {'D2L_SAMPLE_SIZE': QUICK_SAMPLE_SIZE, **variables, **env}
    folder = folder or BUILD / section.number
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('[0-9]*'):
        old.unlink()
    bar = tqdm(total=len(code), desc=section.number, unit='cell', leave=False, file=sys.stderr,
               disable=None if progress is None else not progress)
    sockets = tempfile.mkdtemp(prefix='d2l-')       # the kernel then opens no port
    client = _Client(nb, section, folder, echo, bar, devices, timeout=None,
                     kernel_name='python3', extra_arguments=KERNEL_OPTIONS,
                     config=Config({'KernelManager': {'transport': 'ipc', 'ip': f'{sockets}/k'}}),
                     resources={'metadata': {'path': str(working_folder(section))}},
                     on_cell_execute=lambda cell, cell_index: setattr(client, 'at', cell_index),
                     on_cell_complete=lambda cell, cell_index: bar.update())
    try:
        with _own_signal_handlers():
            client.execute(env=env)
    except (Exception, asyncio.CancelledError) as err:
        if hasattr(client, '_async_cleanup_kernel_future') or isinstance(
                err, asyncio.CancelledError):                   # nbclient saw SIGINT or SIGTERM
            raise KeyboardInterrupt from None
        where = f'section {section.number}'
        if isinstance(err, CellExecutionError):
            index, error = next((i, out) for i, cell in enumerate(nb.cells)
                                for out in cell.get('outputs', []) if out.output_type == 'error')
            raise CellFailed(f'{where}, listing {client.listing[index]} failed ({section.path}):\n'
                             + ANSI.sub('', '\n'.join(error.traceback))) from None
        if client.at is None:
            # the kernel has none, and would warn
            atexit.unregister(client._cleanup_kernel)
            raise CellFailed(f'{where}: its process ended while it started ({section.path}): '
                             f'{type(err).__name__} {err}') from None
        if isinstance(err, DeadKernelError):
            raise CellFailed(f'{where}: its process died (killed, or out of memory) in listing '
                             f'{client.listing[client.at]} ({section.path})') from None
        raise
    finally:
        bar.close()
        shutil.rmtree(sockets, ignore_errors=True)
    nb.metadata['d2l'] = {'data': 'sample' if client.said_sample else env.get('D2L_DATA', 'real'),
                          'said': client.said_sample, 'devices': len(devices), 'quick': quick,
                          'ends': client.ends}
    return nb, [path for i, cell in enumerate(nb.cells) if cell.cell_type == 'code'
                for path in client.save_figures(i, cell.outputs)]
