import dataclasses

import pytest

from chapters.sections import all_sections, find
from ci import verbatim

LENET = find('6.6')[0]
BOOK = [section for section in all_sections() if not section.own]


@pytest.mark.parametrize('section', all_sections(), ids=lambda section: section.number)
def test_section_stands_as_printed_or_says_why_not(section):
    assert verbatim.check(section) == []


@pytest.mark.parametrize('section', BOOK, ids=lambda section: section.number)
def test_one_cell_a_listing(section):
    assert len(section.listings) == len(verbatim.printed()[section.number])


def test_only_what_the_book_lacks_is_our_own():
    assert {section.number for section in all_sections()} - set(verbatim.printed()) == {
        section.number for section in all_sections() if section.own}
    assert verbatim.check(dataclasses.replace(LENET, path=find('12.7')[0].path)) == [
        '6.6 has listings in the book']


def test_every_deviation_has_a_reason_and_a_section():
    numbers = {section.number for section in all_sections()}
    for entry in verbatim.deviations():
        assert entry['section'] in numbers and entry['reason'].strip()
        assert entry['printed'] or entry['stands']


def test_statements_share():
    """The bar of the frame: at least 99 % from 2.1 to 6.6."""
    total = missing = 0
    for section in find('2', '3', '4', '5', '6'):
        book = verbatim.printed()[section.number]
        total += sum(map(len, book))
        missing += sum(verbatim.differences(section.listings, book)[0].values())
    assert missing <= 0.01 * total


@pytest.mark.parametrize('old, new', [('pool_size=2', 'pool_size=3'), ('nn.Dense(84', 'nn.Dense(85'),
                                      ('lr, num_epochs = 0.9, 10', 'num_epochs, lr = 10, 0.9')])
def test_a_changed_statement_is_found(old, new):
    listings = [source.replace(old, new, 1) for source in LENET.listings]
    assert listings != LENET.listings
    errors = verbatim.check(LENET, listings)
    assert any("printed = '" in error for error in errors)
    assert any("stands = '" in error for error in errors)


def test_comments_and_docstrings_do_not_count():
    source = 'def f(X):\n    return X  # as it is'
    other = 'def f(X):\n    """Docstring."""\n    # a comment\n    return X'
    assert verbatim.statements(source)[0][0] == verbatim.statements(other)[0][0]


def test_moved_between_listings_is_found():
    listings = LENET.listings
    assert verbatim.check(LENET, [listings[1], listings[0], *listings[2:]])


def test_a_stale_entry_is_found():
    entry = {'section': '6.6', 'listing': 0, 'printed': '0' * 12, 'stands': '', 'reason': 'none'}
    assert any('stale' in error for error in verbatim.check(LENET, entries=[entry]))


def test_a_missing_entry_is_found():
    entries = verbatim.deviations()
    assert entries, 'nothing deviates: delete this test'
    section, = find(entries[0]['section'])
    assert verbatim.check(section, entries=entries[1:])
