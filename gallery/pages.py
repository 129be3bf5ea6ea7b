"""What Sphinx renders: one page per section, the contents, the API, the regression, how it all
ran."""
import functools
import html
import os
import statistics
import types

import nbformat

import d2l
from chapters import notes
from chapters.execute import SAMPLE_LINE
from ci import bench, build_lib, converters, report, stored, verbatim
from ci.networks import NETWORKS
from ci.readme import CHAPTERS
from gallery import cache

SOURCE = cache.GALLERY / 'source'
SITE = cache.GALLERY / 'html'


def docname(section):
    """Return the page of a Section, as Sphinx names it: its path below chapters/, without .py."""
    return f'{section.path.parent.name}/{section.path.stem}'


@functools.lru_cache(maxsize=None)
def d2l_names():
    """Return name -> (page, listing) of all that d2l has of its own; (None, None) for what no
    section saves."""
    own = [name for name, value in vars(d2l).items() if not name.startswith('_')
           and getattr(value, '__module__', None) and value.__module__.startswith('d2l')]
    saved = build_lib.definitions()
    return {**{name: (docname(section), listing) for name, (section, listing) in saved.items()},
            **dict.fromkeys([name for name in own if name not in saved], (None, None))}


def data_of(section, nb):
    """Return the data that an executed notebook used: {'sample': [...]} or {'real': [...]}, or {}.

    Raises GalleryError where it used sample data that its Section does not name.
    """
    said = any(out.output_type == 'stream' and SAMPLE_LINE in out.text
               for cell in nb.cells if cell.cell_type == 'code' for out in cell.outputs)
    if (said or nb.metadata['d2l'].get('said')) and not section.data:
        raise cache.GalleryError(f'section {section.number} used sample data, and its first cell '
                                 'names no data set: add data=[...] there')
    return {nb.metadata['d2l']['data']: section.data} if section.data else {}


def note(section, nb):
    """Return how a page was made, as Markdown: sample data, shrunken constants, what is not as
    printed."""
    parts = notes.how_it_ran(section, nb, data_of(section, nb))
    for entry in verbatim.deviations():
        if entry['section'] == section.number:
            diff = [*(f'- {line}' for line in entry['printed']),
                    *(f'+ {line}' for line in entry['stands'])]
            parts.append(f"Listing {entry['listing']} is not as printed: {entry['reason'].strip()} "
                         '(`-` as printed, `+` as it stands):\n\n'
                         + '\n'.join(['```diff', *diff, '```']))
    return '\n\n'.join(parts)


def drawn(out):
    """Return whether an output is no picture, or one of lines and text: a curve, not a
    photograph."""
    data = out.get('data', {})
    return '<image' not in data['image/svg+xml'] if 'image/svg+xml' in data \
        else not any(kind.startswith('image/') for kind in data)


def section_page(section, nb, sections=()):
    """Return the notebook of a page: the executed one, with how it ran below its title, and links
    to those of the sections that it builds on."""
    numbers = {other.number for other in sections}
    nb = notes.for_pages(notes.introduced(notes.figures_marked(nb), notes.before(
        section, lambda earlier: notes.beside(earlier, '.ipynb')
        if earlier.number in numbers else None), notes.lasts(section),
        f'{{download}}`This page as a notebook <{section.path.stem}.ipynb>`'))
    for cell in filter(notes.has_figure, nb.cells):
        if all(drawn(out) for out in cell.outputs):
            cell.metadata = {**cell.metadata, 'mystnb': {'image': {'classes': 'drawn'}}}
    cells, text = list(nb.cells), note(section, nb)
    if text:
        cells.insert(1, nbformat.v4.new_markdown_cell(
            f'````{{admonition}} How this page ran\n:class: how\n{text}\n````', id='how-it-ran'))
    page = nbformat.v4.new_notebook(cells=cells, metadata={
        name: nb.metadata[name] for name in ('kernelspec', 'language_info') if name in nb.metadata})
    return nbformat.writes(page)


def toctree(names, depth=1):
    """Sphinx's table of contents of some pages."""
    return '\n'.join(['```{toctree}', f':maxdepth: {depth}', '', *names, '```', ''])


def contents_pages(sections):
    """Return page -> Markdown of the front page and of each chapter."""
    pages, front = {}, []
    for chapter in dict.fromkeys(section.number.split('.')[0] for section in sections):
        names = [docname(section) for section in sections
                 if section.number.split('.')[0] == chapter]
        title = CHAPTERS.get(int(chapter))
        if title:
            index = f"{names[0].split('/')[0]}/index"
            pages[f'{index}.md'] = (f'# {chapter} {title}\n\n'
                                    + toctree([f'/{name}' for name in names]))
            names = [index]
        front += names
    letters, code = verbatim.figures(sections)
    letters = (f'{letters[0]} of {letters[1]} listings stand to the letter, {code[0]} of {code[1]} '
               'statements as printed; a page names what differs on it, and why.')
    pages['index.md'] = (
        '# Dive into Deep Learning, run\n\n'
        'The code of [*Dive into Deep Learning*](https://d2l.ai) 0.7.1 on MXNet 1.9.1, section by '
        'section, with what it prints and draws when it is run. The text is in the book; the '
        f'sentences here are our own. {letters}\n\n'
        + cards([('Type along', None, '', '`pip install .`, `python -m d2l_mxnet`, and the '
                  "book's own first line: `import d2l`."),
                 ('Run a section', None, '', '`d2l run 6.6` prints and draws what you see on '
                  'these pages, `d2l lab` opens all of them in JupyterLab.'),
                 ('Check every network', 'regression', '', '`python -m ci.regress` compares '
                  'what each network computes with stored numbers.')], 3)
        + '\n## Chapters\n\n'
          'The figures are as the sections drew them here: [How it ran](how-it-ran) says '
        'which of them on sample data, and with which constants shrunken.\n\n'
        + cards(_chapter_cards(sections), 3)
        + '\n## And besides\n\n'
        + cards([('The API', 'api', '', 'What each name of `d2l` takes and gives: shapes, units, '
                  'errors. A name such as `d2l.Residual` leads to the listing that defines it, and '
                  'the name in that listing to here.'),
                 ('The regression', 'regression', '', 'Every network in every mode, against stored '
                  'numbers and other implementations.'),
                 ('Converters', 'converters', '', 'Which operators leave MXNet as ONNX.'),
                 ('Speed', 'speed', '', 'What `python -m ci.bench` last measured.'),
                 ('How it ran', 'how-it-ran', '', 'Which pages ran on sample data, and what was '
                  'shrunken.')], 2)
        + '\n## Contents\n\n' + toctree(front, 2)
        + toctree(['api', 'regression', 'converters', 'speed', 'how-it-ran']))
    return pages


def cards(rows, columns):
    """Return a grid of sphinx-design's cards: (title, page it leads to or None, picture or '',
    text)."""
    text = [f'::::{{grid}} 1 2 {columns} {columns}', ':gutter: 2', '']
    for title, page, picture, words in rows:
        text += [f':::{{grid-item-card}} {title}']
        text += [f':link: {page}', ':link-type: doc'] if page else []
        text += [f':img-top: {picture}', f':img-alt: {title}'] if picture else []
        text += [':class-img-top: drawn'] if picture.startswith('cards/drawn') else []
        text += ['', words, ':::']
    return '\n'.join([*text, '::::', ''])


def figure_of(sections):
    """Return a figure that one of these Sections drew when it was run, as a path; None where none
    did. Lines rather than photographs, and the later one: a chapter ends with what it is about."""
    found = [path for section in sections
             for path in sorted((cache.GALLERY / 'executed' / section.number).glob('[0-9]*.svg'))]
    lines = [path for path in found if '<image' not in path.read_text()]
    return (lines or found or [None])[-1]


def card_of(figure, folder):
    """Return where the figure of a chapter's card lies. Its name says whether its colours may be
    turned."""
    kind = 'pictures' if '<image' in figure.read_text() else 'drawn'
    return f'cards/{kind}-{folder}.svg'


def _chapter_cards(sections):
    """Return a card for each chapter: its title, its sections, a figure that they drew."""
    rows = []
    for chapter in dict.fromkeys(section.number.split('.')[0] for section in sections):
        here = [section for section in sections if section.number.split('.')[0] == chapter]
        name = docname(here[0]).split('/')[0]
        title = CHAPTERS.get(int(chapter))
        figure = figure_of(here)
        rows.append((f'{chapter} {title}' if title else here[0].title,
                     f'{name}/index' if title else docname(here[0]),
                     card_of(figure, name) if figure else '',
                     ', '.join(section.title for section in here)))
    return rows


def card_figures(sections):
    """Return name -> text of the figures on the cards, beside the pages."""
    found = {}
    for section in sections:
        chapter = section.number.split('.')[0]
        figure = figure_of([other for other in sections if other.number.split('.')[0] == chapter])
        if figure:
            found[card_of(figure, docname(section).split('/')[0])] = figure.read_text()
    return found


def _entry(name):
    """One name of d2l for the API page, as reStructuredText."""
    value = getattr(d2l, name)
    if isinstance(value, type) and value.__module__.startswith('d2l'):
        return f'.. autoclass:: d2l.{name}\n   :members:\n'
    if isinstance(value, types.FunctionType):
        return f'.. autofunction:: d2l.{name}\n'
    if name in build_lib.BY_HAND:
        what = ''
    elif isinstance(value, types.ModuleType):
        what = f'   The module ``{value.__name__}``.\n'
    elif isinstance(value, type):
        what = f'   The class ``{value.__module__}.{value.__qualname__}``.\n'
    else:
        what = f'   Of type ``{type(value).__name__}``.\n'
    return f'.. py:data:: d2l.{name}\n\n{what}'


def api_page(sections):
    """Return every name of d2l with its docstring, in the order in which the book defines them."""
    def heading(text):
        return f'\n{text}\n{"-" * len(text)}\n\n'

    here = {docname(section): section for section in sections}
    text, last = 'The d2l package\n===============\n\n', ''
    for name, (page, _) in d2l_names().items():
        if page is None or page not in here:
            continue
        if page != last:
            text += heading(f':doc:`{here[page].number} {here[page].title} </{page}>`')
        text += _entry(name)
        if name in build_lib.BY_HAND:
            module, why = build_lib.BY_HAND[name]
            text += f'\n   Not the listing, but written by hand in ``{module}``: {why}.\n'
        text, last = text + '\n', page
    text += heading('Beyond the book')
    return text + '\n'.join(_entry(name) for name, (page, _) in d2l_names().items()
                            if page is None)


def _error(row):
    """Return a row's error as a cell shows it: 0, 2e-07, or a dash for a mode that there is not."""
    error = (row or {}).get('error')
    return '–' if error is None else '0' if error == 0 else f'{error:.0e}'


def regression_page(sections, rows):
    """Return the largest error of every network in every mode, and INDEX.md."""
    pages = {section.number: docname(section) for section in sections}
    numbers = {network.name: network.section for network in NETWORKS}
    modes = list(dict.fromkeys(row['mode'] for row in rows))
    table = {}
    for row in rows:
        table.setdefault(row['network'], {})[row['mode']] = row
    lines = ['# Regression', '', '## Checked', '',
             f'{report.counts([row.values() for row in rows])} (`python -m ci.regress`). '
             'The numbers are the largest relative errors against the stored numbers, which eager '
             'computed: of '
             + ', of '.join(f'{name} in the column {mode}'
                            for mode, (name, _) in stored.WITNESSES.items())
             + ', and of MXNet in all others. 0 means: to the last bit. A dash is a mode that a '
             'network does not have.', '',
             '```{raw} html', '<div class="table-wrapper"><table class="wide"><thead><tr>',
             *(f'<th><span>{html.escape(mode)}</span></th>'
               for mode in ('network', 'section', *modes)),
             '</tr></thead><tbody>']
    for name, by_mode in table.items():
        number = numbers[name]
        lines.append(f'<tr><td>{name}</td><td><a href="{pages[number]}.html">{number}</a></td>'
                     + ''.join(
                         f'<td data-label="{html.escape(mode)}">{_error(by_mode.get(mode))}</td>'
                         for mode in modes) + '</tr>')
    lines += ['</tbody></table></div>', '```']
    index = (cache.REPO / 'ci' / 'golden' / 'INDEX.md').read_text()
    kept = [line for line in index.split('\n')[2:]
            if not line.startswith('| ') or line.split(' | ')[1] in ('section', *pages)]
    return '\n'.join([*lines, '', '## Stored numbers', *kept])


def milliseconds(times):
    """Return the median of some seconds as text, in ms, with three digits before or behind the
    point."""
    median = 1e3 * statistics.median(times)
    return f'{median:.{0 if median >= 100 else 1 if median >= 10 else 2}f}'


def speed_page():
    """Return what `python -m ci.bench --keep` stored, and what it last measured on this machine."""
    here, rows = cache.REPO / 'build' / 'bench.md', bench.kept()
    lines = ['# Speed', '',
             "A training step and a prediction of the book's networks at the book's sizes: eager, "
             'compiled (`d2l.hybridize(net)`), optimized (with `optimize=True`), in PyTorch, by '
             'ONNX Runtime. Times are medians, in ms. A ratio is the median of the ratios of '
             'rounds in which all took turns; PyTorch is the faster of eager and `torch.compile`.']
    for when, where in sorted({(row['when'], row['where']) for row in rows.values()}):
        timed = {name: row for name, row in rows.items() if (row['when'], row['where']) == (
            when, where)}
        lines += ['', f'## Measured on {when}', '', f'On {where}.']
        for what, ours in (bench.TRAINING, 'optimized'), (bench.INFERENCE, 'fastest of ours'):
            lines += ['', f'| {what}: ratio of | compiled / eager | optimized / eager '
                      f'| {ours} / PyTorch |', '|---|---:|---:|---:|']
            lines += [f'| {name}, {row["batch"]} | ' + ' | '.join(
                '–' if value is None else f'{value:.2f}' for value in bench.summary(row, what))
                + ' |' for name, row in timed.items()]
            ways = [way for way in (*bench.WAYS, bench.ONNX, bench.PYTORCH, bench.INDUCTOR)
                    if any(way in row[what] for row in timed.values())]
            lines += ['', f'| {what}, ms | {" | ".join(ways)} |', '|---|' + '---:|' * len(ways)]
            lines += [f'| {name} | ' + ' | '.join(
                milliseconds(row[what][way]) if way in row[what] else '–'
                for way in ways) + ' |' for name, row in timed.items()]
        lines += ['', *(f'torch.compile cannot run {name}: {row["inductor"]}'
                        for name, row in timed.items() if 'inductor' in row)]
    if here.exists():
        lines += ['', '## On the machine that built these pages', '', here.read_text().rstrip()]
    return '\n'.join(lines) + '\n'


def how_page(sections, notebooks, quick):
    """Return what was run on which data, and how much of it was shrunken."""
    data = {section.number: data_of(section, notebooks[section.number]) for section in sections}
    sample = [number for number, used in data.items() if 'sample' in used]
    lines = ['# How it ran', '',
             f'{len(sections)} sections, each in a kernel of its own'
             + (', shrunken to run in seconds (`--quick`)' if quick else '')
             + f'. **{len(sample)} of them ran on sample data**: synthetic stand-ins in the '
               'formats '
             'of the real files, made by `d2l.data`. What is learned from them (every loss, '
             'accuracy, perplexity, translated sentence and curve on those pages) says nothing '
             'about the real data.', '',
             '| section | data | lines shrunken |', '|---|---|---|']
    for section in sections:
        count = sum(line[0] == '+'
                    for line in notes.changed_lines(section, notebooks[section.number]))
        used = [f"{kind}: {', '.join(names)}" for kind, names in data[section.number].items()]
        lines.append(f'| [{section.number} {section.title}](/{docname(section)}) | '
                     f"{''.join(used) or '–'} | {count or '–'} |")
    return '\n'.join(lines) + '\n'


def write(texts):
    """Make SOURCE hold exactly these pages, name -> text; one that is the same is not touched."""
    for path in SOURCE.rglob('*'):
        if path.is_file() and path.relative_to(SOURCE).as_posix() not in texts:
            path.unlink()
    for name, text in texts.items():
        path = SOURCE / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def build(sections, quick=False, jobs=None):
    """Execute what has changed, write the pages and let Sphinx render them; return the front page.

    Raises GalleryError where a section, the regression or Sphinx fails, a warning of it included.
    """
    from sphinx.cmd.build import main as sphinx

    ran = cache.execute_all(sections, quick, jobs or os.cpu_count())
    print(f'{len(sections)} sections: {len(ran)} run, {len(sections) - len(ran)} kept', flush=True)
    notebooks = {section.number: cache.notebook(section) for section in sections}
    numbers = {section.number for section in sections}
    rows = cache.regression([network.name for network in NETWORKS if network.section in numbers])
    texts = {f'{docname(section)}.ipynb': section_page(section, notebooks[section.number], sections)
             for section in sections}
    write({**texts, **contents_pages(sections), **card_figures(sections),
           'api.rst': api_page(sections),
           'regression.md': regression_page(sections, rows),
           'converters.md': converters.TABLE.read_text(), 'speed.md': speed_page(),
           'how-it-ran.md': how_page(sections, notebooks, quick)})
    if sphinx(['-q', '-W', '--keep-going', '-c', str(cache.HERE),
               '-d', str(cache.GALLERY / 'doctrees'), str(SOURCE), str(SITE)]):
        raise cache.GalleryError('Sphinx failed, see above: no site was built')
    return SITE / 'index.html'
