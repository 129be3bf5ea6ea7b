"""How far numbers of a network lie apart: `python -m ci.spread [NAME ...]`, ci/tolerances.json.

Each network is computed, eager, compiled and optimized, in processes with one and with two
threads, with oneDNN and without. Its spread is the largest relative difference from the stored
numbers; ten times that is the tolerance of ci.regress. With names, only their rows are measured
anew. `--device gpu` measures how far a GPU is from the stored numbers, which are the CPU's.
"""
import argparse
import json
import os
import subprocess
import sys

from tqdm import tqdm

# oneDNN picks its kernels by the CPU: the oldest instruction set stands for another machine
VARIATIONS = [{'OMP_NUM_THREADS': '1'}, {'OMP_NUM_THREADS': '2'},
              {'OMP_NUM_THREADS': '2', 'MXNET_MKLDNN_ENABLED': '0'},
              {'OMP_NUM_THREADS': '1', 'DNNL_MAX_CPU_ISA': 'SSE41'}]
# ten times as much passes, and a parameter changed by 1 % must not
GPU_LIMIT = 1e-3
LIMIT = 0.01        # of the CPU: ten times as much would let anything pass


def measure(names, device):
    """Print the errors of this process as JSON: network -> part -> largest error."""
    from mxnet import MXNetError

    from ci import regress

    spread, ctx = {}, regress.context(device)
    for network in regress.select(names, None):
        old, found = regress.stored(network), spread.setdefault(network.name, {})
        try:
            for mode, record, _ in regress.compute(network, ctx, modes=regress.MODES[:regress.MODES.index('stock')]):
                if not isinstance(record, regress.Skip):
                    which = regress.measured(mode)
                    error, _ = regress.check(network, mode, record, old)
                    found[which] = max(found.get(which, 0.0), error)
        except MXNetError as err:       # recurrent layers without oneDNN, for one
            print(f'{network.name}: {str(err).splitlines()[-1]}', file=sys.stderr)
    print(json.dumps(spread))


def main(names, device):
    """Run all variations and write the largest errors of all."""
    from ci.regress import ROWS, TOLERANCES, context

    context(device)
    total = {}
    for variation in tqdm(VARIATIONS if device == 'cpu' else [{}], unit='variation', disable=None):
        out = subprocess.run([sys.executable, '-m', 'ci.spread', '--measure', '--device', device,
                              *names], check=True, env={**os.environ, **variation},
                             stdout=subprocess.PIPE).stdout
        for name, parts in json.loads(out).items():
            for which, error in parts.items():
                known = total.setdefault(name, {})
                known[which] = max(known.get(which, 0.0), error)
    rounded = {name: {which: float(f'{error:.2g}') for which, error in parts.items()
                      if error <= LIMIT} for name, parts in total.items()}
    for name, parts in total.items():
        for which in set(parts) - set(rounded[name]):
            print(f'{name}: {which} lies {parts[which]:.1g} apart, too far for a tolerance: the '
                  'smallest stands, and fails with other threads', file=sys.stderr)
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
    parser.add_argument('--measure', action='store_true', help='print the errors of this process')
    args = parser.parse_args()
    (measure if args.measure else main)(args.names, args.device)
