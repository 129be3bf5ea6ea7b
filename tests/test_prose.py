"""The text between the listings: enough words of our own, a sentence below each heading, links."""
import re

import pytest

from chapters import notes
from chapters.sections import ROOT, all_sections, find
from chapters.toml import tomllib

WORDS = 60                  # of our own, in each section
SECTIONS = all_sections()


def sentences(cell):
    """A Markdown cell's text without its headings."""
    return '\n'.join(line for line in cell.source.split('\n') if not line.startswith('#'))


def bare(nb):
    """Headings of a notebook that are followed directly by code, or by nothing."""
    found = []
    for cell, after in zip(nb.cells, [*nb.cells[1:], None]):
        last = cell.source.rstrip().split('\n')[-1]
        if cell.cell_type == 'markdown' and last.startswith('#') \
                and (after is None or after.cell_type == 'code'):
            found.append(last)
    return found


@pytest.mark.parametrize('section', SECTIONS, ids=lambda section: section.number)
def test_a_section_has_words_of_ours(section):
    text = ' '.join(sentences(cell) for cell in section.notebook.cells
                    if cell.cell_type == 'markdown')
    assert len(re.findall(r"[\w'-]+", text)) >= WORDS


@pytest.mark.parametrize('section', SECTIONS, ids=lambda section: section.number)
def test_no_heading_is_followed_straight_by_code(section):
    assert bare(section.notebook) == []


@pytest.mark.parametrize('section', SECTIONS, ids=lambda section: section.number)
def test_a_section_begins_with_what_to_look_at(section):
    first, *_ = section.notebook.cells
    assert first.source.count('\n\n') >= 2, 'a title, what it builds, and what to look at'
    assert re.search(r'\b[Ll]ook\b|worth a look|Start here|Nothing is new', first.source)


def test_what_a_section_builds_on_comes_before_it():
    order = [section.number for section in SECTIONS]
    for section in SECTIONS:
        assert all(order.index(number) < order.index(section.number) for number in section.needs)
    assert sum(bool(section.needs) for section in SECTIONS) > 100


def test_a_sentence_links_to_what_comes_before():
    section, = find('7.6')
    assert notes.before(section, lambda earlier: notes.beside(earlier, '.ipynb')) == (
        'Builds on [7.5 Batch Normalization]'
        '(../ch07_modern_convolutional_neural_networks/s05_batch_normalization.ipynb).')
    section, = find('3.6')
    assert notes.before(section, lambda earlier: None) == (
        'Builds on 3.2 Linear Regression Implementation from Scratch and 3.5 The Image '
        'Classification Dataset (Fashion-MNIST).')


def test_what_quick_does_not_shrink_was_timed():
    shrunken = tomllib.loads((ROOT / 'quick.toml').read_text())
    assert {s.number for s in SECTIONS if notes.duration(s)} | set(shrunken) >= {
        s.number for s in SECTIONS}


@pytest.mark.parametrize('section', [s for s in SECTIONS if notes.duration(s)],
                         ids=lambda section: section.number)
def test_a_section_says_how_long_it_takes(section):
    assert re.fullmatch(r"With the book's settings it takes (a few seconds|about \d+ (seconds|"
                        r'minutes?)|more than \d minutes?)( on sample data)?, on \d cores of .*\.',
                        notes.lasts(section))


@pytest.mark.parametrize('seconds, words', [
    (3.2, 'a few seconds'), (10.4, 'about 10 seconds'), (54.9, 'about 50 seconds'),
    (58, 'about 1 minute'), (91, 'about 2 minutes'), (None, 'more than 3 minutes')])
def test_durations_are_rounded(seconds, words, monkeypatch):
    section, = find('3.6')
    monkeypatch.setattr(notes, '_times', lambda: {'3.6': {'seconds': seconds, 'limit': 180}})
    assert notes.duration(section) == words


def test_bare_headings_are_found(tmp_path):
    from chapters.sections import Section

    path = tmp_path / 's.py'
    path.write_text(
        '# %% [markdown]\n# # 9.9 x\n#\n# Text.\n\n# %% [markdown]\n# ## A\n\n# %%\nx = 1\n')
    assert bare(Section('9.9', path).notebook) == ['## A']


@pytest.mark.parametrize('tex, plain', [
    (r'Defining $\ell_2$ Norm Penalty', 'Defining ℓ<sub>2</sub> Norm Penalty'),
    (r'6.4.3 $1 \times 1$ Convolutional Layer', '6.4.3 1 × 1 Convolutional Layer'),
    ('Markov Models and $n$-grams', 'Markov Models and *n*-grams'), ('5 $ here', '5 $ here')])
def test_formulas_become_characters(tex, plain):
    assert notes.without_tex(tex) == plain


def test_no_page_needs_a_renderer_of_mathematics():
    for section in SECTIONS:
        for cell in notes.for_pages(section.notebook).cells:
            assert cell.cell_type == 'code' or not re.search(r'[$\\]', cell.source), section.number
