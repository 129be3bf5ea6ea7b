"""How far the numbers of one network lie apart: `python -m ci.spread` writes ci/tolerances.json.

Each network is computed, eager and compiled, in processes with one and with two threads, with
oneDNN and without. Its spread is the largest relative difference from the stored numbers;
ten times that is the tolerance of ci.regress.
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


def measure():
    """Print the errors of this process as JSON: network -> part -> largest error."""
    from mxnet import MXNetError

    from ci import regress

    spread = {}
    for network in regress.NETWORKS:
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


def main():
    """Run all variations and write the largest errors of all."""
    from ci.regress import TOLERANCES

    total = {}
    for variation in tqdm(VARIATIONS, unit='variation', disable=None):
        out = subprocess.run([sys.executable, '-m', 'ci.spread', '--measure'], check=True,
                             env={**os.environ, **variation}, stdout=subprocess.PIPE).stdout
        for name, parts in json.loads(out).items():
            for which, error in parts.items():
                known = total.setdefault(name, {})
                known[which] = max(known.get(which, 0.0), error)
    rounded = {name: {which: float(f'{error:.2g}') for which, error in parts.items()}
               for name, parts in total.items()}
    TOLERANCES.write_text(json.dumps({
        'generated': 'by `python -m ci.spread`: edit ci/spread.py, then run it',
        'variations': VARIATIONS, 'spread': rounded}, indent=1) + '\n')


if __name__ == '__main__':
    measure() if sys.argv[1:] == ['--measure'] else main()
