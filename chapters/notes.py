"""How an executed section ran, in words: which data, what was shrunken."""
import difflib

import nbformat

from .sections import Section


def changed_lines(section, nb):
    """The lines of a Section that `--quick` changed, as a diff: '- as printed', '+ as run'."""
    run = [cell.source for cell in nb.cells if cell.cell_type == 'code']
    return [line for before, after in zip(Section(section.number, section.path).listings, run)
            for line in difflib.ndiff(before.split('\n'), after.split('\n')) if line[0] in '-+']


def data_of(section, nb):
    """The data that an executed notebook used: {'sample': [...]} or {'real': [...]}, or {}."""
    used = nb.metadata['d2l']
    return {used['data']: section.data} if section.data or used.get('said') else {}


def how_it_ran(section, nb, data):
    """Paragraphs of Markdown: sample data, devices, shrunken constants. data: see data_of."""
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
    return parts


def noted(section, nb):
    """A copy of an executed notebook that says below its title how it ran."""
    nb = nb.copy()
    text = '\n\n'.join(how_it_ran(section, nb, data_of(section, nb)))
    if text:
        quoted = '\n'.join(f'> {line}'.rstrip() for line in text.split('\n'))
        cell = nbformat.v4.new_markdown_cell(quoted, id='how-it-ran')
        nb.cells = [nb.cells[0], cell, *nb.cells[1:]]
    return nb
