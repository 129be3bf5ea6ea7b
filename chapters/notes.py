"""What a page says besides its section: what comes before it, and how it ran."""
import datetime
import difflib
import functools
import json
import os
import re

import nbformat

from .sections import ROOT, Section, find

TIMES = ROOT / 'times.json'             # made by `python -m ci.times`
QUICK = 'd2l: quick, with shrunken constants'       # below each figure of a run with --quick


def changed_lines(section, nb):
    """Return the lines of a Section that `--quick` changed, as a diff: '- as printed', '+ as
    run'."""
    run = [cell.source for cell in nb.cells if cell.cell_type == 'code']
    return [line for before, after in zip(Section(section.number, section.path).listings, run)
            for line in difflib.ndiff(before.split('\n'), after.split('\n')) if line[0] in '-+']


def data_of(section, nb):
    """Return the data that an executed notebook used: {'sample': [...]} or {'real': [...]}, or
    {}."""
    used = nb.metadata['d2l']
    return {used['data']: section.data} if section.data or used.get('said') else {}


def how_it_ran(section, nb, data):
    """Return paragraphs of Markdown: sample data, devices, shrunken constants. data: see
    data_of."""
    parts = []
    if 'sample' in data:
        of = ', '.join(data['sample']) or 'the real data'
        parts.append(f'Run on **sample data**, synthetic stand-ins for {of}: '
                     'numbers learned from them say nothing about the real data.')
    elif data:
        parts.append(f"Run on the real data: {', '.join(data['real'])}.")
    if section.gpus and nb.metadata['d2l'].get('devices', True):
        parts.append(f'CPU contexts stood for {section.gpus} GPUs.')
    lines = changed_lines(section, nb)
    if lines:
        parts.append('Shrunken, to run in seconds (`-` as printed, `+` as run here):\n\n'
                     + '\n'.join(['```diff', *lines, '```']))
    seconds = took(nb)
    if seconds is not None:
        parts.append(
            f'The cells took {seconds:.0f} s on this machine ({os.cpu_count()} CPU cores).')
    return parts


def before(section, address):
    """Return a sentence with links to the sections that a Section builds on, or ''.

    address: called with an earlier Section, returns where it is, or None for no link.
    """
    links = []
    for number in section.needs:
        earlier, = find(number)
        text, to = f'{number} {earlier.title}', address(earlier)
        links.append(f'[{text}]({to})' if to else text)
    listed = ' and '.join([', '.join(links[:-1]), links[-1]] if len(links) > 1 else links)
    return f'Builds on {listed}.' if links else ''


@functools.lru_cache(maxsize=None)
def _times():
    return json.loads(TIMES.read_text()) if TIMES.exists() else {}


def _minutes(seconds):
    minutes = round(seconds / 60)
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def duration(section):
    """Return how long a Section takes with the book's settings, in a few words; '' if that was not
    measured."""
    found = _times().get(section.number)
    if found is None:
        return ''
    if found['seconds'] is None:
        return f"more than {_minutes(found['limit'])}"
    if found['seconds'] < 10:
        return 'a few seconds'
    if found['seconds'] < 55:
        return f"about {round(found['seconds'], -1):.0f} seconds"
    return f"about {_minutes(found['seconds'])}"


def lasts(section):
    """Return a sentence on how long a Section takes, and where that was measured, or ''."""
    words, found = duration(section), _times().get(section.number)
    if not words:
        return ''
    return (f"With the book's settings it takes {words}"
            + (' on sample data' if section.data else '')
            + f", on {found['where'].partition(',')[0]}"
            + ('; `--quick` shrinks it to seconds.' if found['seconds'] is None else '.'))


def beside(section, suffix):
    """Return the address of a Section's page as seen from another's: they lie in folders of
    chapters."""
    return f'../{section.path.parent.name}/{section.path.stem}{suffix}'


def introduced(nb, *paragraphs):
    """Return a copy of a notebook whose first cell ends with these paragraphs; an empty one is left
    out."""
    nb = nb.copy()
    first = nb.cells[0].copy()
    first.source = '\n\n'.join([first.source, *filter(None, paragraphs)])
    nb.cells = [first, *nb.cells[1:]]
    return nb


MATHEMATICS = [(r'\\ell', 'ℓ'), (r'\\times', '×'), (r'_(\w)', r'<sub>\1</sub>'),
               (r'(?<![\w<>])([a-z])(?![\w>])', r'*\1*')]


def without_tex(text):
    """Return Markdown in which plain characters stand for the few formulas between dollars, so that
    no page needs a renderer of mathematics from another host."""
    def plain(match):
        formula = match[1]
        for pattern, character in MATHEMATICS:
            formula = re.sub(pattern, character, formula)
        return formula
    return re.sub(r'\$([^$\n]+)\$', plain, text)


def for_pages(nb):
    """Return a copy of a notebook whose Markdown has no formulas."""
    nb = nb.copy()
    nb.cells = [cell.copy() for cell in nb.cells]
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            cell.source = without_tex(cell.source)
    return nb


def has_figure(cell):
    """Return whether an executed cell shows a figure."""
    return any(kind.startswith('image/') for out in cell.get('outputs', [])
               for kind in out.get('data', {}))


def figures_marked(nb):
    """Return a copy of an executed notebook that says below each figure that constants were
    shrunken, where they were. (Of sample data the kernel has said it: see d2l.data.fetch.)"""
    nb = nb.copy()
    nb.cells = [cell.copy() for cell in nb.cells]
    for cell in nb.cells:
        if nb.metadata['d2l'].get('quick') and has_figure(cell):
            cell.outputs = [*cell.outputs, nbformat.v4.new_output('stream', name='stderr',
                                                                  text=QUICK + '\n')]
    return nb


def took(nb):
    """Return the seconds that the cells of an executed notebook took together, or None where they
    are not known."""
    times = [cell.metadata['execution'] for cell in nb.cells
             if cell.cell_type == 'code' and 'execution' in cell.metadata]
    spans = [[datetime.datetime.fromisoformat(time[name].replace('Z', '+00:00'))
              for name in ('iopub.execute_input', 'shell.execute_reply')] for time in times
             if {'iopub.execute_input', 'shell.execute_reply'} <= time.keys()]
    return sum((end - start).total_seconds() for start, end in spans) if spans else None


def noted(section, nb):
    """Return a copy of an executed notebook, for build/<number>/, that says in its first cell what
    it builds on and how it ran, and below its figures what they must not be taken for."""
    text = '\n\n'.join(how_it_ran(section, nb, data_of(section, nb)))
    quoted = '\n'.join(f'> {line}'.rstrip() for line in text.split('\n')) if text else ''
    return introduced(figures_marked(nb), before(section, lambda earlier: None), quoted)
