"""Would wrong numbers be noticed? `python -m ci.mutants [NAME ...]`.

Each network is computed once, eager: a prediction and a training step. Then each of the arrays is
changed in every way in `MUTATIONS`, and its record is compared with the stored one as ci.regress
does, with the largest tolerance of any mode. A mutant that passes has survived; the exit status is
1 if there is one. If a mutation changes an array by no more than rounding, it makes no mutant.
"""
import argparse
import sys

import numpy as onp
from mxnet import npx
from tqdm import tqdm

from ci import numbers, stored
from ci.modes import MODES, prepared
from ci.regress import CANNOT_CHECK, select

# a change that is smaller than this, relative to the norm of the array, is rounding
ROUNDING = 8 * float(onp.finfo('float32').eps)
# size, relative to the largest gradient, of a mutant of a gradient that is stored as zero
ZERO_BY = 0.01


def _transposed(array):
    return array.T.reshape(array.shape)         # reshaped, as a gradient has its Parameter's shape


def _permuted(array):
    order = onp.random.default_rng(0).permutation(array.size)
    return array.reshape(-1)[order].reshape(array.shape)


def _swapped(array, axis=1):
    """Swap the first and the last channel. If there is no channel axis, swap the first and the last
    slice along the first axis."""
    axis = min(axis, array.ndim - 1)
    if axis < 0:
        return array
    order = [-1, *range(1, array.shape[axis] - 1), 0][:array.shape[axis]]
    return onp.take(array, order, axis)


def _one_changed(array):
    """Change one element by the typical size of the elements."""
    changed = array.copy()
    at = numbers.seeded('the element that changes').randint(array.size)
    changed.reshape(-1)[at] += array.dtype.type(max(onp.sqrt((array.astype('f8') ** 2).mean()), 1))
    return changed


GRADIENTS = {
    'negated': lambda array: -array,
    'reversed': lambda array: array.reshape(-1)[::-1].reshape(array.shape),
    'transposed': _transposed,
    'permuted': _permuted,
    'zeroed': onp.zeros_like,
    'scaled by 1.01': lambda array: array * array.dtype.type(1.01)}
OUTPUTS = {
    **{f'flipped along axis {axis}': lambda array, axis=axis: onp.flip(array, axis)
       if axis < array.ndim else array for axis in range(5)},
    'one channel swapped': _swapped,
    'one element changed': _one_changed}


def unchanged(old, new):
    """Return whether two arrays are equal up to rounding."""
    return old.shape == new.shape and onp.linalg.norm((new.astype('f8') - old).reshape(-1)) \
        <= ROUNDING * onp.linalg.norm(old.astype('f8').reshape(-1))


def of_outputs(old, outputs):
    """Yield (output, mutation, error), with None for the error if nothing was changed."""
    for i, array in enumerate(outputs):
        for mutation, mutate in OUTPUTS.items():
            new = mutate(array)
            record = numbers.record_output(i, new)
            yield f'output{i}', mutation, None if unchanged(array, new) else \
                max(numbers.errors(old, record, list(record)).values())


def of_gradients(old, gradients):
    """Yield (gradient, mutation, error), with None for the error if nothing was changed.

    gradients: {key of numbers.SUMMARIES: {name: array}}
    """
    for key in ('gradients', 'input gradients'):
        for k, (name, array) in enumerate(gradients[key].items()):
            rows, scales = numbers.references(key, old)
            size = ZERO_BY * numbers.largest(old) / max(array.size, 1) ** 0.5
            mutations = {'not zero': lambda array, size=size: array + array.dtype.type(size)} \
                if old[f'{key} zero'][k] else GRADIENTS
            for mutation, mutate in mutations.items():
                new = mutate(array)
                yield name, mutation, None if unchanged(array, new) else float(
                    numbers.summary_errors(numbers.summary(name, new), rows[k], scales[k]))


def mutants(network):
    """Yield (array, mutation, error or None if nothing was changed, tolerance)."""
    old = stored.stored(network)
    net, inputs = prepared(network, npx.cpu())
    widest = {part: max(stored.threshold(network, mode) for mode in MODES
                        if stored.part(mode) == part)
              for part in ('prediction', 'training')}
    for mutant in of_outputs(old, numbers.outputs_of(net, inputs)):
        yield (*mutant, widest['prediction'])
    if not network.predict_only:
        _, arrays = numbers.step(net, inputs, network.smooth)
        for mutant in of_gradients(old, arrays):
            yield (*mutant, widest['training'])


def survivors(network):
    """Return (the mutants that passed, as lines; the number of mutants; how often a mutation
    changed nothing)."""
    passed, count, same = [], 0, 0
    for array, mutation, error, threshold in mutants(network):
        if error is None:
            same += 1
            continue
        count += 1
        if error <= threshold:
            passed.append(f'{network.name}: {array} {mutation}: error {error:.1e}, tolerance '
                          f'{threshold:.1e}')
    return passed, count, same


def main(argv=None):
    """Try the mutants of networks, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m ci.mutants', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='default: all networks')
    args = parser.parse_args(argv)
    try:
        rows = select(args.names)
    except LookupError as err:
        print(err, file=sys.stderr)
        return CANNOT_CHECK
    found = [survivors(network) for network in tqdm(rows, unit='network', disable=None)]
    lines = [line for passed, _, _ in found for line in passed]
    tried, same = (sum(counts) for counts in zip(*[counts for _, *counts in found]))
    print('\n'.join([*lines, f'{len(rows)} networks, {tried} mutants, {len(lines)} survived; '
                     f'{same} times a mutation changed nothing']))
    return 1 if lines else 0


if __name__ == '__main__':
    sys.exit(main())
