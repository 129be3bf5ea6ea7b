"""JupyterLab on the sections as notebooks, with an index in the book's order: `d2l lab`."""
import importlib.util
import os
import sys

import nbformat

from .execute import HOME
from .sections import CHECKOUT, ROOT

FOLDER = HOME / 'build' / 'lab' if CHECKOUT else HOME       # a checkout's own files stay apart
INDEX = 'index.ipynb'
DATA = {
    'real': 'The notebooks run on the **real data**, fetched from where the book has them when a '
            'cell asks for them. `d2l lab --data sample` takes synthetic stand-ins instead.',
    'sample': 'The notebooks run on **sample data**, synthetic stand-ins: numbers learned from '
              'them say nothing about the real data. `d2l lab --data real` fetches the real ones.',
}


class LabMissing(RuntimeError):
    """JupyterLab is not installed. The message names the command that installs it."""


def index(sections, data):
    """Return a notebook that links to the notebooks of Sections, in the book's order, and says on
    which data they run: 'real' or 'sample'."""
    lines, chapter = [], None
    for section in sections:
        folder = section.path.parent.name
        if folder != chapter:
            chapter = folder
            lines += ['', f"## {section.number.split('.')[0]} "
                          f"{folder.partition('_')[2].replace('_', ' ').capitalize()}", '']
        notes = ', '.join([*section.data, *['a GPU helps'] * section.gpu,
                           *[f'{section.gpus} GPUs'] * bool(section.gpus)])
        lines.append(f'- [{section.number} {section.title}]({folder}/{section.path.stem}.ipynb)'
                     + (f' ({notes})' if notes else ''))
    nb = nbformat.v4.new_notebook(metadata={
        'd2l': {'data': data}, 'language_info': {'name': 'python'},
        'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}})
    nb.cells = [nbformat.v4.new_markdown_cell(text, id=name) for name, text in (
        ('title', '# Dive into Deep Learning, to run'), ('data', DATA[data]),
        ('sections', '\n'.join(lines).strip()))]
    return nb


def prepare(sections, folder, data, write):
    """Write the notebooks of Sections that are not in the folder yet, and the index; return how
    many were there. A notebook that is there is the reader's: it is left as it is, but for what its
    first cell says of the data, where they are others now.

    write: called with a Section, the folder and data=, writes its notebook.
    """
    there = 0
    for section in sections:
        path = folder / section.path.parent.name / f'{section.path.stem}.ipynb'
        if path.exists():
            there += 1
            _say_data(path, data)
        else:
            write(section, folder, data=data)
    nbformat.write(index(sections, data), folder / INDEX)
    if CHECKOUT and folder == FOLDER and not os.path.lexists(folder / 'data'):
        (ROOT / 'data').mkdir(exist_ok=True)
        # what `run` fetched is not fetched again
        (folder / 'data').symlink_to(ROOT / 'data')
    return there


def _say_data(path, data):
    """Let the first cell and the metadata of a notebook of ours name the data that it runs on
    now."""
    try:
        nb = nbformat.read(path, 4)
        old = DATA[nb.metadata['d2l']['data']]
    except (ValueError, KeyError):
        return                          # a file that is not what this module wrote
    if old != DATA[data] and nb.cells:
        nb.cells[0].source = nb.cells[0].source.replace(old, DATA[data])
        nb.metadata['d2l']['data'] = data
        nbformat.write(nb, path)


def check():
    """Raise LabMissing where there is no JupyterLab."""
    if importlib.util.find_spec('jupyterlab') is None:
        cure = "make lab, or pip install -c constraints.txt -e '.[lab]'" if CHECKOUT \
            else f'{sys.executable} -m pip install jupyterlab'
        raise LabMissing(f'there is no JupyterLab here: {cure}')


def start(folder, data, options=()):
    """Replace this process by JupyterLab, opened on the index of the folder. So Ctrl-C reaches
    JupyterLab itself."""
    command = [sys.executable, '-m', 'jupyterlab', str(folder / INDEX),
               f'--ServerApp.root_dir={folder}', *options]
    os.execve(sys.executable, command, {**os.environ, 'D2L_DATA': data})
