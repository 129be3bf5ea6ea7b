"""Does every network still compute what it did? `python -m ci.regress [NAME ...]`.

Each network of ci/networks.py is computed in every mode of ci/modes.py and compared with its
stored numbers in ci/golden/: eager, compiled by d2l.hybridize (first and second call, and a
training step), with its graph rewritten (optimize=True), by Gluon's own hybridize if the book's
net allows it, exported and loaded again, and by witnesses that share no code with MXNet: ONNX
Runtime and NumPy. `--update` stores the numbers anew if the witnesses agree.

Exit status: 0, all agree; 1, a network fails, or has an operator that has no converter to ONNX;
2, it could not be checked: an unknown name, no GPU, numbers or a tolerance that were never stored.
"""
import argparse
import difflib
import os
import pathlib
import sys

from mxnet import npx
from tqdm import tqdm

import d2l
from ci import report
from ci.modes import compute
from ci.stored import GOLDEN, ROWS, index, stored, tolerance, update

FAILS, CANNOT_CHECK = 1, 2


def context(device):
    """Return the context for 'cpu' or 'gpu'. Raises LookupError if MXNet has no GPU."""
    if device == 'cpu':
        return npx.cpu()
    os.environ['NVIDIA_TF32_OVERRIDE'] = '0'        # compute products in float32, not in TF32
    found = d2l.try_all_gpus()[0]
    if found.device_type != 'gpu':
        raise LookupError('there is no GPU that MXNet can compute on: `python -m d2l.device` '
                          'says why')
    return found


def select(names, section=None):
    """Return the rows of the registry with these names, or of a section. Raises LookupError, with
    the nearest names, for an unknown name."""
    known = {network.name: network for network in ROWS}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 5, 0.3) or sorted(known)
            raise LookupError(f"there is no network '{name}'; the nearest: {', '.join(near)}")
    rows = [network for network in ROWS if not names or network.name in names]
    rows = [network for network in rows if section in (None, network.section)]
    if not rows:
        raise LookupError(f'no network of section {section}: see ci/networks.py')
    return rows


def main(argv=None):
    """Check networks, or store their numbers. Return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m ci.regress', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: all networks')
    parser.add_argument('--section', help='only those of a section: 7.6')
    parser.add_argument('--update', action='store_true', help='store the numbers anew')
    parser.add_argument('--device', choices=['cpu', 'gpu'], default='cpu',
                        help="what to compare with the stored numbers, which are the CPU's")
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the table there')
    parser.add_argument('--junit', type=pathlib.Path, metavar='FILE',
                        help="write it there as JUnit's XML, one test per network and mode")
    args = parser.parse_args(argv)
    if args.update and args.device == 'gpu':
        parser.error('what is stored is computed on the CPU')
    try:
        rows, ctx = select(args.names, args.section), context(args.device)
        for network in rows if not args.update else ():
            stored(network)
            tolerance(network.name, 'prediction', args.device)
    except (LookupError, FileNotFoundError) as err:
        print(err, file=sys.stderr)
        return CANNOT_CHECK
    if args.update:
        for network in tqdm(rows, unit='network', disable=None):
            update(network)
        (GOLDEN / 'INDEX.md').write_text(index())
        return 0
    results = [report.row(network, mode, record, seconds, args.device)
               for network in tqdm(rows, unit='network', disable=None)
               for mode, record, seconds in compute(network, ctx)]
    print('\n'.join(report.table(results)))
    if args.json:
        report.write_json(results, args.json)
    if args.junit:
        report.write_junit(results, args.junit)
    return FAILS if report.failed(results) or report.not_converted(results) else 0


if __name__ == '__main__':
    sys.exit(main())
