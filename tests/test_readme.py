import re

import pytest

from ci import readme
from conftest import REPO


def test_tables_are_fresh():
    assert readme.main(['--check']) == 0


def test_a_lost_block_is_an_error():
    with pytest.raises(ValueError, match='deviations'):
        readme.build(readme.README.read_text().replace('<!-- /deviations -->', ''))


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md'])
def test_files_named_exist(page):
    text = (REPO / page).read_text()
    for name in re.findall(r'`((?:d2l|ci|chapters|tests)/[\w./-]*)`', text):
        assert (REPO / name).exists(), f'{page} names {name}'


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md'])
def test_make_targets_exist(page):
    targets = set(re.findall(r'^(\w[\w-]*):', (REPO / 'Makefile').read_text(), flags=re.M))
    assert set(re.findall(r'(?:^|`)make ([a-z][\w-]*)', (REPO / page).read_text(), flags=re.M)) <= targets
