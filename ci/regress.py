"""Does every network still compute what it did? `python -m ci.regress [NAME ...]`.

Each network of ci/networks.py is computed in every mode and compared with its stored numbers in
ci/golden/: eager, compiled by d2l.hybridize (first and second call, and a training step), with its
graph rewritten (optimize=True), by Gluon's own hybridize where the book's net allows it, exported
and loaded again, and by witnesses that are not MXNet: ONNX Runtime and NumPy. `--update` stores the
numbers anew where they agree.
"""
import argparse
import difflib
import json
import os
import pathlib
import sys
import tempfile
import time
import warnings

import numpy as onp
from mxnet import gluon, npx
from tqdm import tqdm

import d2l
from ci import numbers, runtime, witness
from ci.networks import GLUONCV, NETWORKS, fresh, leaves

GOLDEN = pathlib.Path(__file__).parent / 'golden'
TOLERANCES = pathlib.Path(__file__).parent / 'tolerances.json'
ROWS = NETWORKS + GLUONCV
MODES = ('eager', 'compiled', 'compiled again', 'training', 'compiled training',
         'optimized', 'optimized training', 'stock', 'stock training', 'exported', 'onnx',
         'witness')
FLOOR = 8 * float(onp.finfo('float32').eps)     # no tolerance below: eight units in the last place
WITNESSES = {
    # mode -> (name, largest error that passes)
    'onnx': ('ONNX Runtime', 1e-5),             # largest of all: finetune, 2.7e-6
    # adds up in double precision: ten times the largest of all, alexnet's 1.1e-6 (sums of 6,400)
    'witness': ('NumPy', 1.1e-5)}
NOT_CONVERTED = 'no converter to ONNX for '


class Skip(Exception):
    """A mode that a network does not have, with the reason."""


def prepared(network, ctx):
    """The network filled, dropout off, and its inputs."""
    net, inputs = network.filled(ctx)
    numbers.without_dropout(net)
    if network.training:
        exec(network.training, net.names)
    return net, inputs


def is_hybrid(net):
    """Whether Gluon's own hybridize compiles all of it."""
    blocks = []
    net.apply(blocks.append)
    return all(isinstance(block, (gluon.HybridBlock, gluon.nn.Sequential)) for block in blocks) \
        and any(isinstance(block, gluon.HybridBlock) for block in blocks)


def compute(network, ctx=None, modes=MODES):
    """Yield (mode, record or Skip, seconds) for each mode; a mode needs those before it."""
    ctx = ctx or npx.cpu()
    state = {}

    def eager():
        state['net'] = prepared(network, ctx)
        return numbers.predict(*state['net'])

    def training():
        return trained('net')

    def compiled():
        net, inputs = prepared(network, ctx)
        state['compiled'] = d2l.hybridize(net), inputs
        return numbers.predict(*state['compiled'])

    def compiled_again():
        return numbers.predict(*need('compiled'))

    def compiled_training():
        return trained('compiled')

    def optimized():
        need('compiled')
        net, inputs = prepared(network, ctx)
        state['optimized'] = d2l.hybridize(net, optimize=True), inputs
        return numbers.predict(*state['optimized'])

    def optimized_training():
        return trained('optimized')

    def stock():
        net, inputs = prepared(network, ctx)
        if not is_hybrid(net):
            raise Skip("not a HybridBlock: Gluon's hybridize leaves it eager")
        with warnings.catch_warnings():             # it would rather have HybridSequential
            warnings.simplefilter('ignore', UserWarning)
            net.hybridize()
        state['stock'] = net, inputs
        return numbers.predict(net, inputs)

    def stock_training():
        return trained('stock')

    def exported():
        need('compiled')
        if network.no_export:
            raise Skip(network.no_export)
        net, inputs = prepared(network, ctx)        # training has moved the statistics
        d2l.export(d2l.hybridize(net), path, *fresh(inputs))
        state['exported'] = True
        return numbers.predict(d2l.load_exported(path, ctx=ctx), list(leaves(inputs)))

    def onnx():
        need('exported')
        if network.no_witness:
            raise Skip(network.no_witness)
        net, inputs = prepared(network, ctx)
        try:
            d2l.export_onnx(net, f'{path}.onnx', *fresh(inputs))
        except d2l.NoConverter as err:
            raise Skip(f"{NOT_CONVERTED}{', '.join(err.operators)}; {err}") from None
        return numbers.record_outputs(runtime.run(f'{path}.onnx', leaves(inputs)))

    def witnessed():
        need('exported')
        if network.no_witness:
            raise Skip(network.no_witness)
        saved = npx.load(f'{path}-0000.params')     # a list where there is nothing in it
        params = {name.partition(':')[2]: array.asnumpy() for name, array in dict(saved).items()}
        params.update({f'data{i}': array.asnumpy()
                       for i, array in enumerate(leaves(network.example()))})
        try:
            outputs = witness.evaluate(pathlib.Path(f'{path}-symbol.json').read_text(), params)
        except witness.NoWitness as err:
            raise Skip(f'NumPy has no {err} here') from None
        return numbers.record_outputs([out.astype('float32') for out in outputs])

    def trained(key):
        if network.predict_only:
            raise Skip(network.predict_only)
        return numbers.train(*need(key), network.smooth)

    def need(key):
        if key not in state:
            raise Skip(network.no_export or f'no {key} net')
        return state[key]

    functions = (eager, compiled, compiled_again, training, compiled_training, optimized,
                 optimized_training, stock, stock_training, exported, onnx, witnessed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'net')
        for mode, function in zip(modes, functions):
            start = time.time()
            try:
                if network.cpu_only and ctx != npx.cpu():
                    raise Skip(network.cpu_only)
                record = function()
            except Skip as skip:
                record = skip
            yield mode, record, time.time() - start


def stored(network):
    """The stored record. A missing file is an error that says which command makes it."""
    path = GOLDEN / f'{network.name}.npz'
    if not path.exists():
        raise FileNotFoundError(f'no stored numbers for {network.name}: run '
                                f'`python -m ci.regress {network.name} --update`')
    with onp.load(path) as file:
        return dict(file)


def part(key_or_mode):
    """'prediction' or 'training': what an entry of a record, or a mode, is about."""
    return 'prediction' if key_or_mode.startswith('output') \
        or key_or_mode in MODES and 'training' not in key_or_mode else 'training'


def measured(mode):
    """What ci.spread measures of a mode: its part, of optimized nets on their own."""
    return f'optimized {part(mode)}' if mode.startswith('optimized') else part(mode)


def tolerance(name, which, device='cpu'):
    """The largest error that passes: ten times the measured spread (python -m ci.spread).

    which: as `measured` says it

    Raises LookupError where none was measured on a GPU.
    """
    table = json.loads(TOLERANCES.read_text()) if TOLERANCES.exists() else {}
    table = table.get('spread' if device == 'cpu' else 'spread on a GPU', {})
    if device == 'gpu' and name not in table:
        raise LookupError(f'no tolerance of {name} was measured on a GPU: run '
                          f'`python -m ci.spread --device gpu {name}`')
    return max(10 * table.get(name, {}).get(which, 0.0), FLOOR)


def check(network, mode, record, old=None, device='cpu'):
    """(largest error, tolerance) of one mode's record against the stored one."""
    old = stored(network) if old is None else old
    keys = [key for key in old if part(key) == part(mode)]
    found = numbers.errors(old, record, keys)
    bar = WITNESSES[mode][1] if mode in WITNESSES else \
        tolerance(network.name, measured(mode), device)
    return max(found.values(), default=0.0), bar


def row(network, mode, record, seconds, device='cpu'):
    """(network, mode, largest error, tolerance, seconds, verdict): a line of the table."""
    if isinstance(record, Skip):
        return network.name, mode, None, None, seconds, str(record)
    error, bar = check(network, mode, record, device=device)
    return network.name, mode, error, bar, seconds, 'ok' if error <= bar else 'FAILED'


def not_converted(results):
    """{operator without a converter to ONNX: the networks that have it}."""
    found = {}
    for name, *_, verdict in results:
        if verdict.startswith(NOT_CONVERTED):
            operators, _, _ = verdict[len(NOT_CONVERTED):].partition(';')
            for operator in operators.split(', '):
                found.setdefault(operator, []).append(name)
    return found


def table(results):
    """The lines of the report on rows, and a last one that counts them."""
    width = max([len(name) for name, *_ in results], default=0) + 2
    yield f"{'network':{width}}{'mode':20}{'largest error':>14}{'tolerance':>11}{'s':>7}"
    for name, mode, error, bar, seconds, verdict in results:
        numbers_shown = f'{error:14.1e}{bar:11.1e}' if error is not None else ' ' * 25
        yield f'{name:{width}}{mode:20}{numbers_shown}{seconds:7.2f}  {verdict}'
    for operator, names in not_converted(results).items():
        yield f"{NOT_CONVERTED}{operator} (d2l/onnx/operators.py): {', '.join(names)}"
    yield counts(results)


def counts(results):
    """How many networks and modes were checked, and how many failed, in words."""
    return (f'{len({name for name, *_ in results})} networks, '
            f'{sum(error is not None for _, _, error, *_ in results)} modes checked, '
            f"{sum(verdict == 'FAILED' for *_, verdict in results)} failed")


def context(device):
    """The context of 'cpu' or 'gpu'; SystemExit where there is no GPU that MXNet can compute on."""
    if device == 'cpu':
        return npx.cpu()
    os.environ['NVIDIA_TF32_OVERRIDE'] = '0'        # products of float32 in float32, not in TF32
    found = d2l.try_all_gpus()[0]
    if found.device_type != 'gpu':
        raise SystemExit('there is no GPU that MXNet can compute on: `python -m d2l.device` '
                         'says why')
    return found


def update(network):
    """Store a network's numbers, from eager; refuses where a witness disagrees."""
    records = {mode: record for mode, record, _ in compute(network)}
    new = {key: value for mode in ('eager', 'training')
           if not isinstance(records[mode], Skip) for key, value in records[mode].items()}
    for mode, (witness_name, _) in WITNESSES.items():
        if not isinstance(records[mode], Skip):
            error, bar = check(network, mode, records[mode], new)
            if not error <= bar:
                raise ValueError(f'{network.name} was not stored: {witness_name} computes other '
                                 f'numbers, relative error {error:.1e}, tolerance {bar:.1e}')
    onp.savez_compressed(GOLDEN / f'{network.name}.npz', **new)


INDEX_HEAD = """\
<!-- GENERATED by `python -m ci.regress --update`: to change a number, change what it comes from. -->
# Stored numbers

What each network of `ci/networks.py` computes. Output: shape, mean, standard deviation and first
values. Witness: who else computes the same from the same parameters; ONNX Runtime from what
`d2l.export_onnx` writes.

| network | section | witness | output | mean | deviation | first values |
|---|---|---|---|---|---|---|
"""


def index():
    """The text of ci/golden/INDEX.md, from the stored files and the registry."""
    text = INDEX_HEAD
    for network in ROWS:
        record = stored(network)
        reason = network.no_export or network.no_witness
        witness_name = f'none: {reason}' if reason else \
            ', '.join(name for name, _ in WITNESSES.values())
        for i in range(sum(key.endswith('shape') for key in record)):
            mean, deviation = record[f'output{i} statistics'][:2]
            text += (f'| {network.name} | {network.section} | {witness_name} '
                     f"| {i}: {tuple(record[f'output{i} shape'].tolist())} "
                     f"{record[f'output{i}'].dtype} | {mean:.6g} | {deviation:.6g} | "
                     + ', '.join(f'{v:.6g}' for v in record[f'output{i}'][:3]) + ' |\n')
    return text


def select(names, section):
    """Rows of the registry by name and section; an unknown name is answered with the nearest."""
    known = {network.name: network for network in ROWS}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 5, 0.3) or sorted(known)
            raise SystemExit(f"there is no network '{name}'; the nearest: {', '.join(near)}")
    rows = [network for network in ROWS if not names or network.name in names]
    rows = [network for network in rows if section in (None, network.section)]
    if not rows:
        raise SystemExit(f'no network of section {section}: see ci/networks.py')
    return rows


def main(argv=None):
    """Check or store; returns 1 where a network fails."""
    parser = argparse.ArgumentParser(prog='python -m ci.regress', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: all networks')
    parser.add_argument('--section', help='only those of a section: 7.6')
    parser.add_argument('--update', action='store_true', help='store the numbers anew')
    parser.add_argument('--device', choices=['cpu', 'gpu'], default='cpu',
                        help="what to compare with the stored numbers, which are the CPU's")
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the table there')
    args = parser.parse_args(argv)
    if args.update and args.device == 'gpu':
        parser.error('what is stored is computed on the CPU')
    rows, ctx = select(args.names, args.section), context(args.device)
    if args.update:
        for network in tqdm(rows, unit='network', disable=None):
            update(network)
        (GOLDEN / 'INDEX.md').write_text(index())
        return 0
    try:
        for network in rows:
            tolerance(network.name, 'prediction', args.device)
    except LookupError as err:
        raise SystemExit(str(err)) from None
    results = [row(network, mode, record, seconds, args.device)
               for network in tqdm(rows, unit='network', disable=None)
               for mode, record, seconds in compute(network, ctx)]
    print('\n'.join(table(results)))
    failed = [result for result in results if result[-1] == 'FAILED']
    if args.json:
        keys = ('network', 'mode', 'error', 'tolerance', 'seconds', 'verdict')
        args.json.write_text(json.dumps([dict(zip(keys, row)) for row in results], indent=1))
    return 1 if failed or not_converted(results) else 0


if __name__ == '__main__':
    sys.exit(main())
