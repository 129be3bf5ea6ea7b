"""How far numbers of a network lie apart: `python -m ci.spread [NAME ...]`, ci/tolerances.json.

Each network is computed eager, compiled and optimized, in processes with one and with two threads,
with oneDNN and without. To imitate the rounding of other machines, it is also computed eager with
Parameters whose values are moved, at random, to a neighbouring float or not. The spread is the
largest relative difference from the stored numbers; ten times the spread is the tolerance of
ci.regress. With names, only their rows are measured anew. Each row is written when it is measured,
so that `--from NAME` continues a run that was stopped. `--device gpu` measures how far a GPU is
from the stored numbers, which are the CPU's.

`--draws N` writes nothing. It helps to choose a network's `draw` in ci/networks.py: for N drawings
of the inputs, it prints how much the results change if Parameters are moved, and how far NumPy's
gradients (ci/gradients.py) are from MXNet's.
"""
import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import subprocess
import sys

from tqdm import tqdm

# oneDNN selects its kernels by the CPU: its oldest instruction set imitates another machine
VARIATIONS = [{'OMP_NUM_THREADS': '1'}, {'OMP_NUM_THREADS': '2'},
              {'OMP_NUM_THREADS': '2', 'MXNET_MKLDNN_ENABLED': '0'},
              {'OMP_NUM_THREADS': '1', 'DNNL_MAX_CPU_ISA': 'SSE41'}]
# network that computes something else without oneDNN -> why it is not measured without it
NEED_ONEDNN = {'gluoncv_ssd_512_resnet50_v1_voc':
               'it finds no box then, for any drawing; its random parameters make boxes of 1e13 '
               'pixels'}
MEASURED = ('eager', 'compiled', 'training', 'compiled training', 'optimized',
            'optimized training')
# Largest allowed spread on a GPU. An error of ten times the spread passes, and a parameter that is
# changed by 1 % must not pass
GPU_LIMIT = 1e-3
LIMIT = 2.5e-3      # largest allowed spread on the CPU, half of ci.stored.CEILING
SEEDS = range(len(VARIATIONS))      # seeds for the small random changes of Parameters


def moved(network, ctx, seed):
    """Return (the network, its inputs). Each value of the Parameters is moved, at random, to a
    neighbouring float or not."""
    import numpy as onp
    from mxnet import np

    from ci import modes, networks

    net, inputs = modes.prepared(network, ctx)
    random = onp.random.RandomState(seed)
    for param in networks.structural(net).values():
        values = param.data().asnumpy()
        if values.dtype.kind == 'f':
            values += onp.spacing(values) * random.randint(-1, 2, values.shape).astype(values.dtype)
            param.set_data(np.array(values, dtype=values.dtype))
    return net, inputs


def errors(network, ctx, seed):
    """Return {part: the largest error} of a network, computed in this process."""
    from ci import modes, numbers, stored

    old, found = stored.stored(network), {}

    def add(mode, record, *which):
        error, _ = stored.check(network, mode, record, old)
        for name in which:
            found[name] = max(found.get(name, 0.0), error)
    for mode, record, _ in modes.compute(network, ctx, MEASURED):
        if isinstance(record, modes.Failure):   # for example, recurrent layers without oneDNN
            print(f'{network.name}, {mode}: {record}', file=sys.stderr)
        elif not isinstance(record, modes.Skip):
            add(mode, record, stored.measured(mode))
    if 'training' in found and ctx.device_type == 'cpu':
        net, inputs = moved(network, ctx, seed)
        add('eager', numbers.predict(net, inputs), 'prediction', 'optimized prediction')
        add('training', numbers.train(net, inputs, network.smooth),
            'training', 'optimized training')
    return found


def answer(device, seed):
    """For each name of a network on standard input, print the result of `errors` as a line of JSON.
    """
    from ci import regress

    ctx = regress.context(device)
    for line in sys.stdin:
        network, = regress.select([line.strip()])
        print(json.dumps(errors(network, ctx, seed)), flush=True)


@contextlib.contextmanager
def process(seed, variation, device):
    """Context manager: start a process that runs `answer`, and end it afterwards."""
    with subprocess.Popen([sys.executable, '-m', 'ci.spread', '--answer', str(seed), '--device',
                           device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={'MXNET_STORAGE_FALLBACK_LOG_VERBOSE': '0', **os.environ,
                               **variation}) as child:
        try:
            yield child
        finally:
            child.stdin.close()


def ask(child, name):
    """Return {part: the largest error} for the network with this name, computed by a process."""
    child.stdin.write(f'{name}\n')
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f'the process ended at {name}, status {child.wait()}')
    return json.loads(line)


def write(key, spread):
    """Write rows into the file of tolerances, in the order of the registry. Other rows stay."""
    from ci.stored import ROWS, TOLERANCES

    table = json.loads(TOLERANCES.read_text())
    known = {**table.get(key, {}), **spread}
    table.update({'variations': VARIATIONS, key: {
        network.name: known[network.name] for network in ROWS if network.name in known}})
    TOLERANCES.write_text(json.dumps(table, indent=1) + '\n')


def main(names, device, jobs=1, start=None):
    """Run all variations, `jobs` at a time, and write the largest errors."""
    from ci.regress import context, select

    context(device)
    rows, spread = select(names), {}
    if start:
        first, = select([start])
        rows = rows[rows.index(first):]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(process(seed, variation, device)) for seed, variation
                    in enumerate(VARIATIONS if device == 'cpu' else [{}])]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(jobs))
        for network in tqdm(rows, unit='network', disable=None):
            total = {}
            asked = [child for child, variation in zip(children, VARIATIONS)
                     if network.name not in NEED_ONEDNN or 'MXNET_MKLDNN_ENABLED' not in variation]
            for parts in pool.map(ask, asked, [network.name] * len(asked)):
                for which, error in parts.items():
                    total[which] = max(total.get(which, 0.0), error)
            spread[network.name] = {which: float(f'{error:.2g}') for which, error
                                    in total.items() if device == 'gpu' or error <= LIMIT}
            for which in set(total) - set(spread[network.name]):
                print(f'{network.name}: {which} lies {total[which]:.1g} apart, too far for a '
                      f'tolerance: choose another `draw` with --draws', file=sys.stderr, flush=True)
            if device == 'cpu':
                write('spread', {network.name: spread[network.name]})
    if device == 'gpu':
        far = [name for name, parts in spread.items()
               if max(parts.values(), default=0) > GPU_LIMIT]
        if far:
            raise SystemExit('nothing was written, the GPU computes something else: '
                             + ', '.join(far))
        write('spread on a GPU', spread)


def draws(names, tried):
    """Yield (network, draw, largest error if Parameters are moved, largest error of NumPy's
    gradients) for each drawing. If the first error exceeds LIMIT, no more is measured, and the
    second one is 0."""
    from mxnet import npx

    from ci import gradients, modes, numbers, regress, stored

    def record(network, net, inputs):
        trained = {} if network.predict_only else numbers.train(net, inputs, network.smooth)
        return {**numbers.predict(net, inputs), **trained}

    for network in regress.select(names):
        for draw in tried:
            drawn, error, witness = dataclasses.replace(network, draw=draw), 0.0, 0.0
            first = record(drawn, *modes.prepared(drawn, npx.cpu()))
            first.update(numbers.zeros(first))
            for seed in SEEDS:
                other = record(drawn, *moved(drawn, npx.cpu(), seed))
                error = max(error, *numbers.errors(first, other, list(other)).values())
                if error > LIMIT:
                    break
            else:
                found = stored.gradients_found(drawn, first)
                witness = float(gradients.errors({**first, **found}).max()) if found else 0.0
            yield network, draw, error, witness


if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m ci.spread', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: all networks')
    parser.add_argument('--device', choices=['cpu', 'gpu'], default='cpu')
    parser.add_argument('--jobs', type=int, default=1, help='variations at a time')
    parser.add_argument('--from', dest='start', metavar='NAME', help='go on from this network')
    parser.add_argument('--draws', type=int, metavar='N', help='try drawings 0 to N - 1')
    parser.add_argument('--answer', type=int, metavar='SEED',
                        help='print the errors of this process, of networks on standard input')
    args = parser.parse_args()
    try:
        if args.answer is not None:
            answer(args.device, args.answer)
        elif args.draws:
            for network, draw, error, witness in draws(args.names, range(args.draws)):
                print(f'{network.name}, draw={draw}: {error:.1e} apart, NumPy {witness:.1e}'
                      + ' (as it is)' * (draw == network.draw), flush=True)
        else:
            main(args.names, args.device, args.jobs, args.start)
    except LookupError as err:
        parser.error(str(err))
