import pytest

from chapters.sections import UnknownSection, all_sections, find


def test_sections_come_in_the_books_order():
    numbers = [tuple(map(int, section.number.split('.'))) for section in all_sections()]
    assert numbers == sorted(set(numbers)) and (6, 6) in numbers


def test_find_takes_sections_chapters_and_all():
    assert [section.number for section in find('6.6')] == ['6.6']
    assert [section.number for section in find('6.6', '2.1', '6.6')] == ['2.1', '6.6']
    assert {section.number.split('.')[0] for section in find('6')} == {'6'}
    assert find('all') == all_sections()


@pytest.mark.parametrize('name, numbers', [
    ('softmax', ['3.6', '3.7']), ('lenet', ['6.6']), ('LeNet', ['6.6']),
    ('Word2vec Dataset', ['14.3'])])
def test_find_takes_words_of_a_title(name, numbers):
    assert [section.number for section in find(name)] == numbers


@pytest.mark.parametrize('name', ['18.1', '18', '1', '1.1', '3.4', '8.7', '9.8', '14.1', '12.4'])
def test_what_has_no_code_in_the_book_is_said_to_have_none(name):
    with pytest.raises(UnknownSection, match=f'{name} of the book has no code'):
        find(name)


@pytest.mark.parametrize('name', ['0.2', '2.8', '20', '19.9', '6.0', 'nope', '3.4.1'])
def test_what_the_book_does_not_have_is_not_said_to_have_no_code(name):
    with pytest.raises(UnknownSection, match='there is no section'):
        find(name)


@pytest.mark.parametrize('name, near',
                         [('6.7', '6.6'), ('66', '6'), ('6.66', '6.6'), ('lenett', '6'),
                          ('3.4', '3.3'), ('', '6')])
def test_an_unknown_section_is_answered_with_the_nearest(name, near):
    with pytest.raises(UnknownSection, match='list') as err:
        find('2.1', name)
    assert near in str(err.value).split('nearest:')[1]


@pytest.mark.parametrize('section', all_sections(), ids=lambda section: section.number)
def test_a_section_is_a_percent_script_with_title_and_headings(section):
    import jupytext

    text = section.path.read_text()
    assert jupytext.writes(section.notebook, fmt='py:percent').endswith(text.split('\n', 1)[1])
    assert section.title and isinstance(section.data, list) and section.gpu in (True, False)
    assert section.notebook.cells[0].cell_type == 'markdown'
    # the text, which is our own, has at most 100 columns, too
    assert max(map(len, text.split('\n'))) <= 100
