"""The stored records of all networks, in ci/golden/, and the tolerances for their comparison."""
import functools
import json
import pathlib

import numpy as onp
from mxnet import npx

from ci import gradients, numbers
from ci.modes import MODES, Failure, Skip, compute, prepared
from ci.networks import GLUONCV, NETWORKS

GOLDEN = pathlib.Path(__file__).parent / 'golden'
TOLERANCES = pathlib.Path(__file__).parent / 'tolerances.json'
ROWS = NETWORKS + GLUONCV
# the smallest tolerance: eight units in the last place
FLOOR = 8 * float(onp.finfo('float32').eps)
CEILING = 5e-3      # the largest tolerance, so that a change by 1 % is noticed
EVIDENCE = 'witness '       # start of the names of entries with NumPy's gradients (ci/gradients.py)
# largest error of MXNet's gradients in float32 against NumPy's in float64; ten times the largest
# measured one
GRADIENTS_BAR = 1e-3
STORED = ('eager', 'training')    # the modes whose records are stored
WITNESSES = {
    # mode -> (name, largest error that passes)
    'onnx': ('ONNX Runtime', 1e-5),             # the largest measured error is 2.7e-6, of finetune
    # NumPy adds up in double precision. Ten times the largest measured error, 1.1e-6 of alexnet,
    # which has sums of 6,400 terms
    'witness': ('NumPy', 1.1e-5)}


def stored(network):
    """Return the stored record of a network. If there is none, FileNotFoundError names the command
    that makes it."""
    path = GOLDEN / f'{network.name}.npz'
    if not path.exists():
        raise FileNotFoundError(f'no stored numbers for {network.name}: run '
                                f'`python -m ci.regress {network.name} --update`')
    with onp.load(path) as file:
        return dict(file)


def part(key_or_mode):
    """Return to which part of a record an entry or a mode belongs: 'prediction', 'training', or
    'evidence'. The entries of the latter say how the stored gradients were checked, and are not
    compared with those of any mode."""
    if key_or_mode.startswith(EVIDENCE) or key_or_mode.endswith(' zero'):
        return 'evidence'
    return 'prediction' if key_or_mode.startswith('output') \
        or key_or_mode in MODES and 'training' not in key_or_mode else 'training'


def measured(mode):
    """Return the name under which ci.spread stores the spread of a mode: its part, after the word
    'optimized' for modes that optimize."""
    return f'optimized {part(mode)}' if mode.startswith('optimized') else part(mode)


@functools.lru_cache(maxsize=None)
def _tolerances(path, changed):
    return json.loads(path.read_text())


def tolerance(name, which, device='cpu'):
    """Return the largest error that passes: ten times the spread that `python -m ci.spread` has
    measured, but at least FLOOR and at most CEILING.

    which: a name that `measured` returns

    Raises LookupError if no spread was measured on a GPU.
    """
    table = _tolerances(TOLERANCES, TOLERANCES.stat().st_mtime_ns)
    table = table.get('spread' if device == 'cpu' else 'spread on a GPU', {})
    if device == 'gpu' and name not in table:
        raise LookupError(f'no tolerance of {name} was measured on a GPU: run '
                          f'`python -m ci.spread --device gpu {name}`')
    return min(max(10 * table.get(name, {}).get(which, 0.0), FLOOR), CEILING)


def threshold(network, mode, device='cpu'):
    """Return the threshold of a mode, which is the largest error that passes."""
    return WITNESSES[mode][1] if mode in WITNESSES else \
        tolerance(network.name, measured(mode), device)


def check(network, mode, record, old=None, device='cpu'):
    """Compare the record of a mode with the stored one, and return (largest error, tolerance)."""
    old = stored(network) if old is None else old
    keys = [key for key in old if part(key) == part(mode)]
    found = numbers.errors(old, record, keys)
    return max(found.values(), default=0.0), threshold(network, mode, device)


def gradients_found(network, record):
    """Return NumPy's derivatives for the gradients in a record (see gradients.witnessed); {} if the
    network is not trained, or has a reason in `no_gradients`."""
    if network.predict_only or network.no_gradients:
        return {}
    net, inputs = prepared(network, npx.cpu())
    return gradients.witnessed(net, inputs, network.smooth, record)


def gradients_witnessed(network, record):
    """Return NumPy's derivatives for the gradients in a record, which are stored with them. Raises
    ValueError if they do not agree with the gradients."""
    found = gradients_found(network, record)
    errors = gradients.errors({**record, **found}) if found else onp.zeros(0)
    if not errors.max(initial=0) <= GRADIENTS_BAR:
        of = onp.array([*record.get('gradient names', []), 'an input', 'an input', 'an input'])
        names = of[:len(found['witness groups'])][found['witness groups'] == errors.argmax()]
        raise ValueError(f"{network.name} was not stored: NumPy finds other gradients of "
                         f"{', '.join(names)}: relative error {errors.max():.1e}, tolerance "
                         f'{GRADIENTS_BAR:.1e}')
    return found


def update(network):
    """Store the record of a network in eager mode. Raises ValueError if a witness disagrees."""
    records, new = {}, {}
    for mode, record, _ in compute(network):
        records[mode] = record
        if isinstance(record, Failure) and mode in (*STORED, *WITNESSES):
            raise ValueError(f'{network.name} was not stored: {mode}: {record}')
    for mode in STORED:
        if not isinstance(records[mode], Skip):
            new.update(records[mode])
    new.update(numbers.zeros(new))
    for mode, (name, _) in WITNESSES.items():
        if not isinstance(records[mode], Skip):
            error, most = check(network, mode, records[mode], new)
            if not error <= most:
                raise ValueError(f'{network.name} was not stored: {name} computes other '
                                 f'numbers, relative error {error:.1e}, tolerance {most:.1e}')
    new.update(gradients_witnessed(network, new))
    onp.savez_compressed(GOLDEN / f'{network.name}.npz', **new)


INDEX_HEAD = """\
<!-- GENERATED by `python -m ci.regress --update`: to change a number, change what it comes \
from. -->
# Stored numbers

What each network of `ci/networks.py` computes. Output: shape, mean, standard deviation and first
values. Witness of outputs: who else computes the same from the same parameters; ONNX Runtime from
what `d2l.export_onnx` writes. Witness of gradients: who else finds the same by central differences
(`ci/gradients.py`), each on its own or in so many groups of them.

| network | section | witness of outputs | of gradients | output | mean | deviation | first values |
|---|---|---|---|---|---|---|---|
"""


def index():
    """Return the text of ci/golden/INDEX.md, made from the stored files and the registry."""
    text = INDEX_HEAD
    for network in ROWS:
        record = stored(network)
        reason = network.no_export or network.no_witness
        of_outputs = f'none: {reason}' if reason else \
            ', '.join(name for name, _ in WITNESSES.values())
        of_gradients = f'not trained: {network.predict_only}' if network.predict_only else \
            f'none: {network.no_gradients}' if network.no_gradients else 'NumPy'
        groups = record.get('witness groups', onp.array([]))
        if len(set(groups)) < len(groups):
            of_gradients += f', {len(groups)} in {len(set(groups))} groups'
        for i in range(sum(key.endswith('shape') for key in record)):
            mean, deviation = record[f'output{i} statistics'][:2]
            text += (f'| {network.name} | {network.section} | {of_outputs} | {of_gradients} '
                     f"| {i}: {tuple(record[f'output{i} shape'].tolist())} "
                     f"{record[f'output{i}'].dtype} | {mean:.6g} | {deviation:.6g} | "
                     + ', '.join(f'{v:.6g}' for v in record[f'output{i}'][:3]) + ' |\n')
    return text
