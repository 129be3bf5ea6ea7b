"""How far numbers of a network lie apart: `python -m ci.spread [NAME ...]`, ci/tolerances.json.

Each network is computed, eager and compiled, in processes with one and with two threads, with
oneDNN and without. Its spread is the largest relative difference from the stored numbers;
ten times that is the tolerance of ci.regress. With names, only their rows are measured anew.
"""
import json
import os
import subprocess
import sys

from tqdm import tqdm

# oneDNN picks its kernels by the CPU: the oldest instruction set stands for another machine
VARIATIONS = [{'OMP_NUM_THREADS': '1'}, {'OMP_NUM_THREADS': '2'},
              {'OMP_NUM_THREADS': '2', 'MXNET_MKLDNN_ENABLED': '0'},
              {'OMP_NUM_THREADS': '1', 'DNNL_MAX_CPU_ISA': 'SSE41'}]


def measure(names):
    """Print the errors of this process as JSON: network -> part -> largest error."""
    from mxnet import MXNetError

    from ci import regress

    spread = {}
    for network in regress.select(names, None):
        old, found = regress.stored(network), spread.setdefault(network.name, {})
        try:
            for mode, record, _ in regress.compute(network, modes=regress.MODES[:5]):
                if not isinstance(record, regress.Skip):
                    which = regress.part(mode)
                    error, _ = regress.check(network, mode, record, old)
                    found[which] = max(found.get(which, 0.0), error)
        except MXNetError as err:       # recurrent layers without oneDNN, for one
            print(f'{network.name}: {str(err).splitlines()[-1]}', file=sys.stderr)
    print(json.dumps(spread))


def main(names):
    """Run all variations and write the largest errors of all."""
    from ci.regress import NETWORKS, TOLERANCES

    total = {}
    for variation in tqdm(VARIATIONS, unit='variation', disable=None):
        out = subprocess.run([sys.executable, '-m', 'ci.spread', '--measure', *names], check=True,
                             env={**os.environ, **variation}, stdout=subprocess.PIPE).stdout
        for name, parts in json.loads(out).items():
            for which, error in parts.items():
                known = total.setdefault(name, {})
                known[which] = max(known.get(which, 0.0), error)
    rounded = {name: {which: float(f'{error:.2g}') for which, error in parts.items()}
               for name, parts in total.items()}
    if names:
        known = {**json.loads(TOLERANCES.read_text())['spread'], **rounded}
        rounded = {network.name: known[network.name] for network in NETWORKS
                   if network.name in known}
    TOLERANCES.write_text(json.dumps({
        'generated': 'by `python -m ci.spread`: edit ci/spread.py, then run it',
        'variations': VARIATIONS, 'spread': rounded}, indent=1) + '\n')


if __name__ == '__main__':
    measure(sys.argv[2:]) if sys.argv[1:2] == ['--measure'] else main(sys.argv[1:])
