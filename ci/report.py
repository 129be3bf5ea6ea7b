"""Writes the results of the regression, which are rows, as a table, as JSON and as JUnit's XML."""
import json
import pathlib
from xml.etree import ElementTree

from ci.modes import NOT_CONVERTED, Failure, Skip
from ci.stored import check

KEYS = ('network', 'mode', 'error', 'tolerance', 'seconds', 'verdict')
FAILED = 'FAILED'


def row(network, mode, record, seconds, device='cpu'):
    """Return (network, mode, largest error, tolerance, seconds, verdict): a line of the table.

    record: a record, Skip or Failure from `ci.modes.compute`; there is an error only for a record
    """
    if isinstance(record, (Skip, Failure)):
        verdict = str(record) if isinstance(record, Skip) else f'{FAILED}: {record}'
        return network.name, mode, None, None, seconds, verdict
    error, threshold = check(network, mode, record, device=device)
    return network.name, mode, error, threshold, seconds, 'ok' if error <= threshold else FAILED


def failed(rows):
    """Return the rows that failed."""
    return [row for row in rows if row[-1].startswith(FAILED)]


def not_converted(rows):
    """Return {operator without a converter to ONNX: the networks that have it}."""
    found = {}
    for name, *_, verdict in rows:
        if verdict.startswith(NOT_CONVERTED):
            operators, _, _ = verdict[len(NOT_CONVERTED):].partition(';')
            for operator in operators.split(', '):
                found.setdefault(operator, []).append(name)
    return found


def table(rows):
    """Yield the lines of the report, one per row, and a last line with their counts."""
    width = max([len(name) for name, *_ in rows], default=0) + 2
    yield f"{'network':{width}}{'mode':20}{'largest error':>14}{'tolerance':>11}{'s':>7}"
    for name, mode, error, threshold, seconds, verdict in rows:
        numbers_shown = f'{error:14.1e}{threshold:11.1e}' if error is not None else ' ' * 25
        yield f'{name:{width}}{mode:20}{numbers_shown}{seconds:7.2f}  {verdict}'
    for operator, names in not_converted(rows).items():
        yield f"{NOT_CONVERTED}{operator} (d2l/onnx/operators.py): {', '.join(names)}"
    yield counts(rows)


def counts(rows):
    """Return a sentence on how many networks and modes were checked, and how many failed."""
    rows = [tuple(row) for row in rows]
    return (f'{len({name for name, *_ in rows})} networks, '
            f'{sum(error is not None for _, _, error, *_ in rows)} modes checked, '
            f'{len(failed(rows))} failed')


def write_json(rows, path):
    """Write the rows as a list of objects."""
    pathlib.Path(path).write_text(json.dumps([dict(zip(KEYS, row)) for row in rows], indent=1))


def write_junit(rows, path):
    """Write the rows as JUnit's XML: one test per network and mode, as most CI services read it."""
    suite = ElementTree.Element(
        'testsuite', name='ci.regress', tests=str(len(rows)), errors='0',
        failures=str(len(failed(rows))),
        skipped=str(sum(error is None for _, _, error, *_ in rows) -
                    sum(row[2] is None for row in failed(rows))),
        time=f'{sum(row[4] for row in rows):.3f}')
    for name, mode, error, threshold, seconds, verdict in rows:
        case = ElementTree.SubElement(suite, 'testcase', classname=name, name=mode,
                                      time=f'{seconds:.3f}')
        if verdict.startswith(FAILED):
            ElementTree.SubElement(case, 'failure', message=verdict if error is None else
                                   f'largest error {error:.1e}, tolerance {threshold:.1e}')
        elif error is None:
            ElementTree.SubElement(case, 'skipped', message=verdict)
    ElementTree.ElementTree(suite).write(path, encoding='utf-8', xml_declaration=True)
