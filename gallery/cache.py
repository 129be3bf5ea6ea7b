"""Executed sections and the regression's table, kept while what they depend on is the same."""
import concurrent.futures
import functools
import hashlib
import importlib.metadata
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import platform
import signal
import subprocess
import sys
import threading
import time

import nbformat
from tqdm import tqdm

from chapters.execute import BUILD, CellFailed, DevicesMissing, QuickError, execute, quick_constants
from chapters.sections import ROOT, find

REPO = ROOT.parent
HERE = pathlib.Path(__file__).resolve().parent
GALLERY = BUILD / 'gallery'
RUNNER = [ROOT / name for name in ('execute.py', 'kernel_setup.py', 'notes.py', 'sections.py')]


class GalleryError(RuntimeError):
    """The site cannot be built. The message says what failed."""


def digest(*parts):
    """Return a hash of the parts' repr, as text."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def contents(*roots):
    """Return name and hash of every file at or below the roots, in order; no bytecode."""
    paths = [path for root in roots for path in ([root] if root.is_file() else root.rglob('*'))]
    return [(path.relative_to(REPO).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted(paths) if path.is_file() and '__pycache__' not in path.parts]


@functools.lru_cache(maxsize=None)
def environment():
    """Return what every execution depends on: d2l with its sample makers, the runner, the pictures,
    the installed packages, Python, the machine's GPUs and the variables that d2l and MXNet read."""
    import d2l  # two seconds, needed only here

    packages = sorted(f'{dist.metadata["Name"]} {dist.version}'
                      for dist in importlib.metadata.distributions())
    pictures = sorted((ROOT / 'img').glob('*.jpg'))     # 13.12 puts one beside them, a .png
    variables = sorted(item for item in os.environ.items()
                       if item[0].startswith(('D2L_', 'MXNET_')))
    return digest(contents(REPO / 'd2l', *pictures, *RUNNER), packages, variables,
                  sys.version, platform.machine(), d2l.npx.num_gpus())


def key(section, quick):
    """Return what the execution of a Section depends on, as one hash."""
    return digest(environment(), section.path.name, section.path.read_bytes(),
                  quick_constants(section.number) if quick else None)


def _kept(section):
    """Return where the executed notebook of a Section is kept; its figures lie beside it."""
    return GALLERY / 'executed' / section.number / f'{section.number}.ipynb'


def notebook(section):
    """Return the kept notebook of a Section, or None."""
    return nbformat.read(_kept(section), as_version=4) if _kept(section).exists() else None


def _fresh(section, quick):
    nb = notebook(section)
    return nb is not None and nb.metadata.get('d2l', {}).get('key') == key(section, quick)


def _run(number, quick, fingerprint):
    """Execute a section in this process and keep it; return None, or why it failed."""
    section, = find(number)
    try:
        nb, _ = execute(section, quick=quick, progress=False, devices=('cpu',) * section.gpus,
                        folder=_kept(section).parent)
    except (CellFailed, QuickError, DevicesMissing) as err:
        return str(err)
    except KeyboardInterrupt:       # or SIGTERM: the kernel has ended, and an executor would go on
        os._exit(128 + signal.SIGINT)
    nb.metadata['d2l']['key'] = fingerprint
    nbformat.write(nb, _kept(section))
    return None


def _end_with_parent():
    """End this worker, by SIGTERM, with which it ends its kernel, too, when the process that
    started it is gone, however that ended."""
    def watch():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        while True:         # a signal is not heard while a kernel starts
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
    threading.Thread(target=watch, daemon=True).start()


def execute_all(sections, quick, jobs):
    """Execute the Sections that are not kept; return the numbers of those that ran.

    jobs: how many at a time. Raises GalleryError, after all have run, where some failed.
    """
    stale = [section for section in sections if not _fresh(section, quick)]
    spawn = multiprocessing.get_context('spawn')            # MXNet does not survive a fork
    failures = []
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=spawn,
                                                initializer=_end_with_parent) as pool:
        waiting = {pool.submit(_run, section.number, quick, key(section, quick)): section.number
                   for section in stale}
        try:
            with tqdm(total=len(stale), unit='section', disable=None) as bar:
                for i, done in enumerate(concurrent.futures.as_completed(waiting), 1):
                    bar.update()
                    bar.set_postfix_str(waiting[done])
                    if bar.disable:             # no terminal
                        print(f'{i} of {len(stale)} sections: {waiting[done]}', file=sys.stderr,
                              flush=True)
                    if done.result():
                        failures.append(done.result())
        except BaseException:                   # Ctrl-C, say: start no other, end what runs
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
    if failures:
        raise GalleryError('\n\n'.join([*failures, f'{len(failures)} of {len(sections)} sections '
                                        'failed: no site was built']))
    return [section.number for section in stale]


def regression(names):
    """Return the rows of `python -m ci.regress NAME ...` (see there): network, mode, error, ...

    Raises GalleryError, with what it printed, where a network fails.
    """
    path = GALLERY / 'regression.json'
    fingerprint = digest(environment(), names, contents(REPO / 'ci', *ROOT.glob('ch*/s*.py')))
    if path.exists():
        kept = json.loads(path.read_text())
        if kept['key'] == fingerprint:
            return kept['rows']
    table = path.with_name('regression.new.json')
    done = subprocess.run([sys.executable, '-m', 'ci.regress', *names, '--json', str(table)],
                          cwd=REPO, text=True, capture_output=True)
    if done.returncode:
        raise GalleryError(f'the regression failed:\n{done.stdout}{done.stderr}')
    rows = json.loads(table.read_text())
    table.unlink()
    path.write_text(json.dumps({'key': fingerprint, 'rows': rows}))
    return rows
