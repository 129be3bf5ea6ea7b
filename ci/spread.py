"""How far numbers of a network lie apart: `python -m ci.spread [NAME ...]`, ci/tolerances.json.

Each network is computed, eager, compiled and optimized, in processes with one and with two
threads, with oneDNN and without; and eager again with each number of its Parameters moved to a
neighbour or not, at random, which stands for the rounding of other machines. Its spread is the
largest relative difference from the stored numbers; ten times that is the tolerance of ci.regress.
With names, only their rows are measured anew. `--device gpu` measures how far a GPU is from the
stored numbers, which are the CPU's.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys

from tqdm import tqdm

# oneDNN picks its kernels by the CPU: the oldest instruction set stands for another machine
VARIATIONS = [{'OMP_NUM_THREADS': '1'}, {'OMP_NUM_THREADS': '2'},
              {'OMP_NUM_THREADS': '2', 'MXNET_MKLDNN_ENABLED': '0'},
              {'OMP_NUM_THREADS': '1', 'DNNL_MAX_CPU_ISA': 'SSE41'}]
MEASURED = ('eager', 'compiled', 'training', 'compiled training', 'optimized',
            'optimized training')
# ten times as much passes, and a parameter changed by 1 % must not
GPU_LIMIT = 1e-3
LIMIT = 2.5e-3      # of the CPU: half of what passes at most (ci.stored.CEILING)


def moved(network, ctx, seed):
    """A network, each number of its Parameters moved to a neighbour or not, and its inputs."""
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


def measure(names, device, seed):
    """Print the errors of this process as JSON: network -> part -> largest error."""
    from ci import modes, numbers, regress, stored

    spread, ctx = {}, regress.context(device)
    for network in regress.select(names):
        old, found = stored.stored(network), spread.setdefault(network.name, {})

        def add(mode, record, *which):
            error, _ = stored.check(network, mode, record, old)
            for name in which:
                found[name] = max(found.get(name, 0.0), error)
        for mode, record, _ in modes.compute(network, ctx, MEASURED):
            if isinstance(record, modes.Failure):   # recurrent layers without oneDNN, for one
                print(f'{network.name}, {mode}: {record}', file=sys.stderr)
            elif not isinstance(record, modes.Skip):
                add(mode, record, stored.measured(mode))
        if 'training' in found and device == 'cpu':
            net, inputs = moved(network, ctx, seed)
            add('eager', numbers.predict(net, inputs), 'prediction', 'optimized prediction')
            add('training', numbers.train(net, inputs, network.smooth),
                'training', 'optimized training')
    print(json.dumps(spread))


def main(names, device, jobs=1):
    """Run all variations, so many at a time, and write the largest errors of all."""
    from ci.regress import context
    from ci.stored import ROWS, TOLERANCES

    def run(seed, variation):
        return subprocess.run([sys.executable, '-m', 'ci.spread', '--measure', str(seed),
                               '--device', device, *names], check=True, stdout=subprocess.PIPE,
                              env={**os.environ, **variation}).stdout

    context(device)
    total, variations = {}, VARIATIONS if device == 'cpu' else [{}]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        outs = pool.map(run, range(len(variations)), variations)
        for out in tqdm(outs, unit='variation', disable=None, total=len(variations)):
            for name, parts in json.loads(out).items():
                known = total.setdefault(name, {})
                for which, error in parts.items():
                    known[which] = max(known.get(which, 0.0), error)
    rounded = {name: {which: float(f'{error:.2g}') for which, error in parts.items()
                      if error <= LIMIT} for name, parts in total.items()}
    for name, parts in total.items():
        for which in set(parts) - set(rounded[name]):
            print(f'{name}: {which} lies {parts[which]:.1g} apart, too far for a tolerance: '
                  'give it another `draw` in ci/networks.py', file=sys.stderr)
    far = [name for name, parts in total.items() if max(parts.values(), default=0) > GPU_LIMIT]
    if device == 'gpu' and far:
        raise SystemExit(f"nothing was written, the GPU computes something else: {', '.join(far)}")
    table = json.loads(TOLERANCES.read_text())
    key = 'spread' if device == 'cpu' else 'spread on a GPU'
    known = {**(table.get(key, {}) if names else {}), **rounded}
    table.update({'variations': VARIATIONS, key: {
        network.name: known[network.name] for network in ROWS if network.name in known}})
    TOLERANCES.write_text(json.dumps(table, indent=1) + '\n')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m ci.spread', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: all networks')
    parser.add_argument('--device', choices=['cpu', 'gpu'], default='cpu')
    parser.add_argument('--jobs', type=int, default=1, help='variations at a time')
    parser.add_argument('--measure', type=int, metavar='SEED',
                        help='print the errors of this process')
    args = parser.parse_args()
    try:
        if args.measure is None:
            main(args.names, args.device, args.jobs)
        else:
            measure(args.names, args.device, args.measure)
    except LookupError as err:
        parser.error(str(err))
