"""The code as a whole: which package imports which, and what ruff says of it."""
import ast
import collections
import re

import pytest

from tests.support import REPO

# each imports only from those before it; gallery and tests are not installed
LAYERS = ['d2l_*', 'd2l_group', 'd2l', 'chapters', 'ci', 'gallery', 'tests']


def layer_of(path):
    """The package of a file of the repository; 'd2l_*' for a module outside of packages."""
    parts = path.relative_to(REPO).parts
    return parts[0] if len(parts) > 1 else 'd2l_*'


def sources():
    """Every Python file of the repository that is imported."""
    folders = [REPO / layer for layer in LAYERS[1:]]
    assert all(folder.is_dir() for folder in folders)
    return [*REPO.glob('d2l_*.py'), *(path for folder in folders for path in folder.rglob('*.py'))]


def imported(path):
    """(line, module) of each import statement of a file that names another package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f'{node.module}.{alias.name}') for alias in node.names)


def edges():
    """(package, package that it imports) -> the lines that do."""
    modules = {path.stem for path in REPO.glob('d2l_*.py')}
    found = collections.defaultdict(list)
    for path in sources():
        here = layer_of(path)
        for line, module in imported(path):
            top = module.partition('.')[0]
            there = 'd2l_*' if top in modules else top
            if there in LAYERS and there != here:
                found[here, there].append(f'{path.relative_to(REPO)}:{line}')
    return found


def test_no_package_imports_one_that_lies_above_it():
    """So there is no cycle. Statements inside of functions count too."""
    found = edges()
    assert ('ci', 'chapters') in found and ('gallery', 'ci') in found  # the check does find imports
    assert {edge: lines for edge, lines in found.items()
            if LAYERS.index(edge[1]) > LAYERS.index(edge[0])} == {}


@pytest.mark.parametrize('module, names', [
    ('d2l/c_api.py', r'_LIB|check_call|mxnet\._ctypes'), ('d2l/graphs.py', 'tojson|load_json')])
def test_one_module_reaches_into_mxnet(module, names):
    """The modules below d2l repair MXNet before d2l can be imported; tests may use the names,
    too."""
    private = re.compile(rf'\b({names})\b')
    assert [str(path.relative_to(REPO)) for path in sources() if private.search(path.read_text())
            and layer_of(path) not in ('d2l_*', 'tests')] == [module]


def test_every_package_has_its_layer():
    assert {path.parent.name for path in REPO.glob('*/__init__.py')} == {*LAYERS} - {
        'd2l_*', 'tests'}


def test_no_file_of_tests_imports_from_another():
    assert [f'{path.name}:{line}' for path in (REPO / 'tests').glob('*.py')
            for line, module in imported(path)
            if module.replace('tests.', '').split('.')[0].startswith(('test_', 'conftest'))] == []


def test_reading_toml_does_not_import_nbclient(python):
    done = python('-c', 'import sys; import chapters.toml, ci.build_lib, ci.verbatim; '
                        'print("nbclient" in sys.modules)')
    assert done.stdout == 'False\n', done.stderr


def test_ruff(python):
    """Its settings are in pyproject.toml; it comes with `pip install -e '.[dev]'`."""
    done = python('-m', 'ruff', 'check', '--no-cache', '--output-format', 'concise', REPO)
    assert done.returncode == 0, done.stdout + done.stderr
