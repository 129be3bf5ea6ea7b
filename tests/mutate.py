"""Would the tests notice a slip in a module? `python tests/mutate.py MODULE [pytest's arguments]`.

This is run by hand and takes long. Each operator, comparison, constant, condition and result of the
module is changed, one at a time, and the tests named are run on the changed module in this process,
until one fails. The changes with which all tests pass are printed: each of them needs a test, or a
reason why it is no fault.

    python tests/mutate.py ci.numbers tests/test_regress.py -k 'not gpu'
"""
import ast
import contextlib
import copy
import importlib
import inspect
import io
import os
import pathlib
import signal
import sys
import time
import types

REPO = pathlib.Path(__file__).resolve().parents[1]
LIMIT = 120                         # seconds: a run that takes longer counts as failed
OTHER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
         ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot,
         ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
         ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
         ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
         ast.RShift: ast.LShift, ast.LShift: ast.RShift, ast.And: ast.Or, ast.Or: ast.And}


def changed_constant(value):
    """Return another value of the same type, or None for other types than these."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.5 or 1.0
    return f'{value}x' if isinstance(value, str) else None


def _replaced(node):
    """Yield the mutations of a node of the syntax tree."""
    def new(**fields):
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in OTHER:
        yield new(op=OTHER[type(node.op)]())
    elif isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            yield new(ops=[OTHER[type(op)]() if i == k else old for k, old in enumerate(node.ops)])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and changed_constant(node.value) is not None:
        yield new(value=changed_constant(node.value))
    elif isinstance(node, ast.IfExp):
        yield new(body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.If):
        yield new(test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != 'None':
        yield new(value=ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield new(ifs=[])
    elif isinstance(node, ast.Slice) and node.step:
        yield new(step=None)


def mutants(source):
    """Yield (line number, old code, new code, the whole changed source) for each mutation of a
    source. Docstrings, f-strings and raise statements are left alone."""
    tree = ast.parse(source)
    plain = {id(node.value) for node in ast.walk(tree)
             if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    plain |= {id(part) for node in ast.walk(tree)
              if isinstance(node, (ast.JoinedStr, ast.Raise)) for part in ast.walk(node)}
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or id(node) in plain:
                    continue
                for other in _replaced(node):
                    for part in ast.walk(other):
                        ast.copy_location(part, node) if not hasattr(part, 'lineno') else part
                    changed = [*value[:i], other, *value[i + 1:]] if isinstance(value, list) \
                        else other
                    setattr(parent, field, changed)
                    text = ast.unparse(ast.fix_missing_locations(tree))
                    setattr(parent, field, value)
                    yield getattr(node, 'lineno', getattr(parent, 'lineno', 0)), \
                        ast.unparse(node), ast.unparse(other), text


def passes(arguments):
    """Whether pytest passes, and what it printed."""
    import pytest

    def late(*_):
        raise TimeoutError
    signal.signal(signal.SIGALRM, late)
    said = io.StringIO()
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = pytest.main(['-x', '-q', '-n', '0', '-p', 'no:cacheprovider', *arguments])
    except TimeoutError:
        return False, 'it took too long'
    finally:
        signal.alarm(0)
    return status == 0, said.getvalue()


def load(module, source, first):
    """Run another source of a module. Other modules may have imported its functions and tables by
    name, so those keep their identity and get the new code and the new entries.

    first: the module's names and values before its source was ever changed
    """
    exec(compile(source, module.__file__, 'exec'), module.__dict__)
    for name, old in first.items():
        new = vars(module).get(name)
        if new is old or name.startswith('__'):
            continue
        if isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType) and not (
                old.__closure__ or new.__closure__):
            for part in '__code__', '__defaults__', '__kwdefaults__':
                setattr(old, part, getattr(new, part))
        elif isinstance(old, (dict, list)) and type(new) is type(old):
            entries = new.copy()
            old.clear()
            old.update(entries) if isinstance(old, dict) else old.extend(entries)
        else:
            continue
        setattr(module, name, old)
    for other in list(sys.modules.values()):        # results that functions with a cache computed
        file = pathlib.Path(getattr(other, '__file__', None) or '/')
        if REPO in file.parents and 'site-packages' not in file.parts:
            for value in list(vars(other).values()):
                if callable(getattr(value, 'cache_clear', None)) and not isinstance(value, type):
                    value.cache_clear()


def main(name, *arguments):
    """Print the mutants of a module with which all tests pass, and how many mutants there were."""
    os.chdir(REPO)
    sys.path.insert(0, str(REPO))
    importlib.import_module('tests.conftest')
    module = importlib.import_module(name)
    source, begun, first = inspect.getsource(module), time.time(), dict(vars(module))
    right, text = passes(arguments)
    if not right:
        sys.exit(f'the tests fail as it is:\n{text[-2000:]}')
    count, survived = 0, 0
    for count, (line, old, new, changed) in enumerate(mutants(source), 1):
        try:
            load(module, changed, first)
            right, _ = passes(arguments)
        except Exception:                       # it cannot even be imported
            right = False
        survived += right
        if right:
            print(f'{name}:{line}: {old}  ->  {new}', flush=True)
    load(module, source, first)
    if not passes(arguments)[0]:
        sys.exit('the tests now fail on the module as it is, so what they said of the mutants is '
                 'worth nothing: choose tests that can run twice in a process')
    print(f'{count} mutants, {survived} survived, {(time.time() - begun) / 60:.1f} minutes')


if __name__ == '__main__':
    main(*sys.argv[1:])
