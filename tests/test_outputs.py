import types

import nbformat
import pytest

from chapters.execute import execute
from chapters.sections import all_sections, find
from ci import outputs
from tests.support import REPORT_OUTPUTS

# test_distributed runs 12.7, and checks what it prints
RUN = [section for section in all_sections() if section.number != '12.7']


@pytest.mark.parametrize('section', RUN, ids=lambda section: section.number)
def test_section_runs_and_prints_what_the_book_prints(section, record_property):
    """Every section, in a kernel of its own, on sample data, its long loops shrunken."""
    nb, _ = execute(section, quick=True, devices=('cpu',) * section.gpus)
    errors = outputs.check(section, nb, quick=True)
    if outputs.golden(section.number):
        record_property(REPORT_OUTPUTS, outputs.summary(section, errors, quick=True))
    assert errors == []


def test_exceptions_name_a_listing_that_prints_and_a_reason():
    for (number, listing), rule in outputs.exceptions().items():
        assert listing in outputs.golden(number), (number, listing)
        assert set(rule) & outputs.KEYS
        assert set(rule) <= {'section', 'listing', 'reason', *outputs.KEYS}
        assert rule.get('skip') or rule.get('full') or rule['reason']
        assert rule.get('numbers', 'ignored') in ('ignored', 'arbitrary')
        assert rule.get('devices', 'ignored') == 'ignored'
        assert rule.get('lines', 'repeated') == 'repeated'


def test_most_of_what_the_book_prints_is_compared():
    total, compared, _ = outputs.figures(all_sections())
    assert total == 498 and compared >= 400


def test_stored_outputs_belong_to_sections_and_listings():
    sections = {section.number: section for section in all_sections()}
    for path in outputs.GOLDEN.glob('*.txt'):
        assert path.stem in sections
        assert set(outputs.golden(path.stem)) <= set(range(len(sections[path.stem].listings)))
        assert 'edit by hand' in path.read_text().split('\n')[0]


@pytest.mark.parametrize('book, ours, units, agree', [
    ('array([1., 2.])', 'array([1., 2.])', 0, True),
    ('array([1., 2.])', 'array([1.,\n       2.])', 0, True),
    ('array([1., 2.])', 'array([1., 2.1])', 0, False),
    ('array([1., 2.])', 'array([1., 2.], dtype=int64)', 0, False),
    ('0.25', '0.250', 0, True),
    ('0.25', '0.26', 0, False),
    ('0.25', '0.26', 1, True),
    ('0.25', '0.27', 1, False),
    ('1.5e+02', '160', 1, True),
    ('1.5e+02', '161', 1, False),
    ('conv0 output', 'conv1 output', 9, False),
    ('-1', '1', 0, False),
    ('[1 2]', '[12]', 0, False),
    ('x 1 2', 'x 1', 0, False),
    ('1.0', 'nan', 5, False),
])
def test_compare(book, ours, units, agree):
    assert (outputs.compare(book, ours, last_digit=units) is None) == agree


@pytest.mark.parametrize('book, ours, rule, agree', [
    ('loss 0.5, 3 s', 'loss 0.25, 14.5 s', {'numbers': 'ignored'}, True),
    ('loss 0.5, 3 s', 'less 0.5, 3 s', {'numbers': 'ignored'}, False),
    ('loss 0.5, 3 s', 'loss , 0.5 3 s', {'numbers': 'ignored'}, False),
    ('loss 0.5', 'loss nan', {'numbers': 'ignored'}, False),
    ('[0.5, 1.]', '[-nan, inf]', {'numbers': 'arbitrary'}, True),
    ('[0.5, 1.]', '[2e-44, nan, 1.]', {'numbers': 'arbitrary'}, False),
    ('[0.5, 1.]', '[nano, 1.]', {'numbers': 'arbitrary'}, False),
    ('[[1. 2.]\n [3. 4.]]', '[[5. 6.]\n [7. 8.]]', {'numbers': 'ignored'}, True),
    ('[[1. 2.]\n [3. 4.]]', '[[5. 6. 7. 8.]]', {'numbers': 'ignored'}, False),
    ('(10, 2)', '(10, 2, 1)', {'numbers': 'ignored'}, False),
    ('epoch 1, loss 2\nepoch 2, loss 1\nend', 'epoch 1, loss 9\nend', {'lines': 'repeated'}, True),
    ('epoch 1, loss 2\nepoch 2, loss 1\nend', 'epoch 1, loss 9', {'lines': 'repeated'}, False),
    ('epoch 1, loss 2\nepoch 2, gain 1', 'epoch 1, loss 9', {'lines': 'repeated'}, False),
    ('1.5 on gpu(0)', '1.5 on cpu(0)', {'devices': 'ignored'}, True),
    ('1.5 on gpu(0)', '1.6 on cpu(0)', {'devices': 'ignored'}, False),
    ('1.5 on [gpu(0), gpu(1)]', '1.5 on [cpu(0)]', {'devices': 'ignored'}, True),
    ('1.5 on [gpu(0), gpu(1)]', '1.5 on [1]', {'devices': 'ignored'}, False),
    ('1.5 on gpu(0)', '1.6 on cpu(0)', {'devices': 'ignored', 'numbers': 'ignored'}, True),
])
def test_what_a_rule_leaves_out(book, ours, rule, agree):
    assert (outputs.compare(book, ours, **rule) is None) == agree


@pytest.mark.parametrize('book, ours, found', [
    ('[1. 2.] @gpu(0)', '[1. 2.]', 0), ('[1. 2.] @gpu(0)', '[1. 3.] @cpu(1)', 1),
    ('[gpu(0), gpu(1)]', '[cpu(0), cpu(1)]', 0), ('array([1.], ctx=gpu(1))', 'array([1.])', 0),
])
@pytest.mark.parametrize('gpus', [0, 2])
def test_device_names_are_compared_where_nothing_stands_in(monkeypatch, gpus, book, ours, found):
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output('stream', text=ours)])
    section = types.SimpleNamespace(number='99.1', gpus=gpus)
    monkeypatch.setattr(outputs, 'golden', lambda number: {0: book})
    nb = nbformat.v4.new_notebook(cells=[cell])
    assert len(outputs.check(section, nb, quick=False)) == (found if gpus else 1)


def test_a_wrong_number_is_found():
    """The check can fail: one digit of what is stored is changed."""
    section, = find('2.3')
    nb, _ = execute(section)
    assert outputs.check(section, nb, quick=False) == []
    cell = next(cell for cell in nb.cells if cell.cell_type == 'code' and cell.outputs
                and '3' in str(cell.outputs[0].get('data', '')))
    cell.outputs[0].data['text/plain'] = cell.outputs[0].data['text/plain'].replace('3', '4', 1)
    assert len(outputs.check(section, nb, quick=False)) == 1
