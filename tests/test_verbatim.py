import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

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


@pytest.mark.parametrize('section', BOOK, ids=lambda section: section.number)
def test_a_listing_to_the_letter_has_the_printed_statements(section):
    missing, extra = verbatim.differences(section.listings, verbatim.printed()[section.number])
    lines = verbatim.printed_lines().get(section.number, [])
    assert {i for i, _ in missing + extra} <= {
        i for i, hashes in enumerate(lines) if verbatim.unlike(section.listings[i], hashes)}


def test_only_what_the_book_lacks_is_our_own():
    assert {section.number for section in all_sections()} - set(verbatim.printed()) == {
        section.number for section in all_sections() if section.own}
    ours = find('12.7')[0].path
    assert verbatim.check(dataclasses.replace(LENET, path=ours)) == ['6.6 has listings in the book']
    assert verbatim.check(dataclasses.replace(LENET, number='12.7'))    # it does not say own=true


def test_every_deviation_has_a_reason_and_a_section():
    numbers = {section.number for section in all_sections()}
    for entry in verbatim.deviations():
        assert entry['section'] in numbers and entry['reason'].strip()
        assert entry['printed'] or entry['stands']


def test_figures():
    letters, code = verbatim.figures(all_sections())
    assert letters[0] >= 1035 and letters[1] == 1050
    assert code[0] >= 2881 and code[1] == 2887


UNKNOWN = '(a line with the hash '


@pytest.mark.parametrize('old, new, known', [
    ('Accumulator(3)', 'Accumulator(4)', UNKNOWN),
    ('timer.start()', 'timer.start(', UNKNOWN),
    ('  # train_loss', ' # train_loss', '        metric = d2l.Accumulator(3)  # train_loss, '),
    ('train_iter, test_iter', 'train_iter,test_iter', 'def train_ch5(net, train_iter, test_iter, '),
    ('reinit=True', 'reinit= True', '    net.initialize(force_reinit=True, ctx=ctx, '),
    ("                            'sgd'", "        'sgd'", "                            'sgd', {'"),
    ("'sgd', {'learning_rate'", '"sgd", {"learning_rate"', "                            'sgd', {'"),
    ('# Here is the only', '# Here is one', UNKNOWN),
    ('y_hat = net(X)', 'y_hat = net(\n                    X)', UNKNOWN),
    ('timer.stop()', 'timer.stop()  # ours', UNKNOWN),
    ('    net.init', '    """Train."""\n    net.init', None),
    ('    timer = d2l', '\n    timer = d2l', None),
    ('    timer = d2l.Timer()\n', '', UNKNOWN),
], ids=['statement', 'not Python', 'space before a comment', 'space after a comma',
        'space too many', 'indentation', 'quotes', 'comment', 'broken line', 'comment of ours',
        'docstring of ours', 'empty line', 'lost line'])
def test_a_changed_listing_is_found(old, new, known):
    """The message shows the place, the line as it stands and what is known of the right one."""
    before = LENET.listings[4]
    after = before.replace(old, new, 1)
    line = next(i for i, pair in enumerate(zip(before.split('\n'), after.split('\n')))
                if pair[0] != pair[1])
    error, = verbatim.check(LENET, [*LENET.listings[:4], after, *LENET.listings[5:]])
    assert error.startswith(f'6.6 listing 4, line {line + 1}: not as printed, ')
    assert (f"\n    stands:  {after.split(chr(10))[line]}" in error) == bool(new)
    assert error.count('\n    printed: ') == bool(known)
    assert f"\n    printed: {known or ''}" in error or not known


def test_an_empty_line_that_is_printed_is_named():
    listings = find('2.2')[0].listings
    errors = verbatim.check(find('2.2')[0], [listings[0].replace('\n\n', '\n', 1), *listings[1:]])
    assert ['printed: (an empty line)' in error for error in errors] == [True]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data())
def test_any_other_letter_is_found(data):
    section = data.draw(st.sampled_from([s for s in BOOK if s.number in verbatim.printed_lines()]))
    listings = list(section.listings)
    i = data.draw(st.integers(0, len(listings) - 1))
    at = data.draw(st.integers(0, len(listings[i]) - 1))
    with_ = data.draw(st.sampled_from(['', ' ', '#', 'x', ',', '\n', "'"]))
    old, new = listings[i], listings[i][:at] + with_ + listings[i][at + bool(not with_):]

    def lines(source):              # white space at the end of a line is no letter
        return [line.rstrip() for line in source.strip('\n').split('\n')]
    listings[i] = new
    assert bool(verbatim.check(section, listings)) == (lines(old) != lines(new))


def test_statements_are_all_that_is_known_of_the_preface():
    preface, = find('0.1')
    assert verbatim.check(preface) == []
    source, = preface.listings
    errors = verbatim.check(preface, [source.replace('import os', 'import io')])
    assert len(errors) == 2 and all('listing 0: the statement' in error for error in errors)


def test_comments_and_docstrings_are_no_statements():
    source = 'def f(X):\n    return X  # as it is'
    other = 'def f(X):\n    """Docstring."""\n    # a comment\n    return X'
    assert verbatim.statements(source) == verbatim.statements(other)


def test_moved_between_listings_is_found():
    listings = LENET.listings
    assert verbatim.check(LENET, [listings[1], listings[0], *listings[2:]])


@pytest.mark.parametrize('entry', [
    {'listing': 0, 'printed': ['x = 1'], 'stands': []},
    {'listing': 99, 'printed': [], 'stands': ['x = 1']},
], ids=['a listing that stands', 'no such listing'])
def test_a_stale_entry_is_found(entry):
    entry = {'section': '6.6', **entry, 'reason': 'none'}
    assert ['is stale' in error for error in verbatim.check(LENET, entries=[entry])] == [True]


def test_an_entry_is_needed_as_it_is():
    i = next(i for i, source in enumerate(LENET.listings) if 'nn.Dense(84' in source)
    line = next(line for line in LENET.listings[i].split('\n') if 'nn.Dense(84' in line)
    changed = line.replace('84', '85')
    listings = list(LENET.listings)
    listings[i] = listings[i].replace(line, changed)
    entry = {'section': '6.6', 'listing': i, 'printed': [line], 'stands': [changed], 'reason': ''}
    assert verbatim.check(LENET, listings, [entry]) == []
    assert verbatim.check(LENET, listings, [])
    for kind in ('printed', 'stands'):
        other = {**entry, kind: [*entry[kind], 'x = 1']}
        assert any('is stale' in error for error in verbatim.check(LENET, listings, [other]))
