import re

import pytest

from chapters import __main__ as cli
from chapters import command
from ci import readme
from tests.support import REPO


def test_tables_are_fresh():
    assert readme.main(['--check']) == 0


def test_a_lost_block_is_an_error():
    with pytest.raises(ValueError, match='deviations'):
        readme.build(readme.README.read_text().replace('<!-- /deviations -->', ''))


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md'])
def test_files_named_exist(page):
    text = (REPO / page).read_text()
    for name in re.findall(r'`((?:d2l|ci|chapters|tests)/[\w./-]*)`', text):
        assert (REPO / name).exists(), f'{page} names {name}'


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md'])
def test_make_targets_exist(page):
    targets = set(re.findall(r'^(\w[\w-]*):', (REPO / 'Makefile').read_text(), flags=re.M))
    assert set(re.findall(r'(?:^|`)make ([a-z][\w-]*)', (REPO / page).read_text(),
                          flags=re.M)) <= targets


def commands(text):
    """The subcommands of `d2l` and of `python -m chapters` that a page names."""
    return set(re.findall(r'(?:^|[`/])d2l (?!on\b)([a-z]+)', text, flags=re.M)) \
        | set(re.findall(r'python -m chapters ([a-z]+)', text))


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'])
def test_commands_exist(page, capsys):
    named = commands((REPO / page).read_text())
    assert named if page != 'CONTRIBUTING.md' else True
    with pytest.raises(SystemExit):
        cli.main(['--help'], prog='d2l', others=command.MODULES)
    known = re.search(r'{([a-z,]+)}', capsys.readouterr().out)[1].split(',')
    assert named <= set(known)


def test_the_versions_agree():
    import d2l_mxnet

    assert f'\nversion: {d2l_mxnet.VERSION}\n' in (REPO / 'CITATION.cff').read_text()
    assert f'\n## {d2l_mxnet.VERSION}\n' in (REPO / 'CHANGELOG.md').read_text()
    assert f'd2l_mxnet-{d2l_mxnet.VERSION}-py3-none-any.whl' in (REPO / 'README.md').read_text()


def test_the_readers_come_first():
    text = (REPO / 'README.md').read_text()
    order = [text.index(f'\n## {title}\n') for title in (
        'Typing along', 'Running the chapters', 'Data', 'The regression', 'GPU')]
    assert order == sorted(order)
    assert text.index('![') < order[0] and text.count('| you want to |') == 1


def test_the_variables_are_in_a_table():
    """Every variable of ours that the package reads is explained to its readers."""
    text = (REPO / 'README.md').read_text()
    read = {name for path in (REPO / 'd2l').rglob('*.py')
            for name in re.findall(r"environ(?:\.get\(|\[)'(D2L_\w+)'", path.read_text())}
    assert len(read) >= 4 and {name for name in read if f'`{name}' not in text} == set()
