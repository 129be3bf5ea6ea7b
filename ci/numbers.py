"""Records, which have the results of a network in a short form, and their comparison.

A record is a dict of small NumPy arrays. For a prediction it has the shape of each output, its
statistics (mean, standard deviation, minimum, maximum), its values (for a large output only those
at random indices) and its summary. For one training step with dropout switched off it has the loss,
and the summaries of the gradient of each Parameter and of each real input, and of the running
statistics after the step. A summary is a norm, a sum, and projections on vectors of +1 and -1.
"""
import zlib

import numpy as onp
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

from ci.networks import fresh, leaves, structural

# the largest number of values that are stored for one output
MOST_VALUES = 512
PROJECTIONS = 8                     # number of projections of an array, on vectors of +1 and -1
# So many neighbouring elements have different combinations of signs in the projections
BLOCK = 2 ** PROJECTIONS
LOSS_SCALE = 'loss_scale'           # mean absolute term of the loss, the scale of the loss's error
# entry that has summaries -> entry that has the names of their arrays
SUMMARIES = {'gradients': 'gradient names', 'input gradients': None,
             'statistics': 'statistics names'}
ZERO = 5e-6     # a gradient below this share of the largest is stored as 0, if the witness agrees


def seeded(name):
    """Return a RandomState, whose numbers no version of NumPy changes, seeded by a name."""
    return onp.random.RandomState(zlib.crc32(name.encode()))


def _signs(random, count):
    """Return random values +1 and -1, (count, PROJECTIONS), where no two rows of a BLOCK are equal.
    """
    patterns = onp.concatenate([random.permutation(BLOCK) for _ in range(-(-count // BLOCK))])
    return 1.0 - 2 * (patterns[:count, None] >> onp.arange(PROJECTIONS) & 1)


def _factors(name, size):
    """Return (rows, columns) for the projection vectors of an array's name: element i of a vector
    is rows[i // BLOCK] * columns[i % BLOCK]."""
    random = seeded(f'signs of {name}')
    columns = _signs(random, BLOCK)
    return _signs(random, -(-size // BLOCK)), columns


def direction(name, size, k=0):
    """Return the vector of +1 and -1 for projection k of the array with this name and size."""
    rows, columns = _factors(name, size)
    return onp.kron(rows[:, k], columns[:, k])[:size]


def summary(name, array):
    """Return the norm, the sum and the PROJECTIONS projections of an array, in float64.

    name: the seed of the projections' vectors (see `direction`)
    """
    flat = array.reshape(-1).astype('float64')
    rows, columns = _factors(name, flat.size)
    blocks = onp.zeros((len(rows), BLOCK))
    blocks.reshape(-1)[:flat.size] = flat
    return onp.array([onp.linalg.norm(flat), flat.sum(), *((blocks @ columns) * rows).sum(0)])


def positions(name, size):
    """Return the indices of the values that are stored for the array with this name and size: all,
    or MOST_VALUES random ones in order."""
    if size <= MOST_VALUES:
        return onp.arange(size)
    return onp.sort(seeded(f'positions in {name}').choice(size, MOST_VALUES, replace=False))


def record_output(i, array):
    """Return the entries of a record for output i of a prediction. array: a NumPy array"""
    name, wide = f'output{i}', array.astype('float64')
    return {name: array.reshape(-1)[positions(name, array.size)],
            f'{name} shape': onp.array(array.shape, 'int64'),
            f'{name} statistics': onp.array([wide.mean(), wide.std(), wide.min(), wide.max()]),
            f'{name} summary': summary(name, array)}


def record_outputs(arrays):
    """Return the record of a prediction's outputs, an iterable of NumPy arrays."""
    record = {}
    for i, array in enumerate(arrays):
        record.update(record_output(i, array))
    return record


def outputs_of(net, inputs):
    """Return the outputs of one prediction, as NumPy arrays."""
    return [out.asnumpy() for out in leaves(net(*fresh(inputs)))]


def predict(net, inputs):
    """Return the record of one prediction."""
    return record_outputs(outputs_of(net, inputs))


def without_dropout(net):
    """Switch off dropout in Gluon's layers, so that a training step draws no random numbers."""
    def switch(block):
        if isinstance(block, nn.Dropout):
            block._rate = 0
        elif isinstance(block, gluon.rnn.rnn_layer._RNNLayer):
            block._dropout = 0
    net.apply(switch)


def loss_weights(i, shape):
    """Return the fixed weights, 0.5 to 1.5 in float32, by which the loss multiplies output i."""
    return seeded(f'loss weights {i}').uniform(0.5, 1.5, shape).astype('float32')


def loss_of(outputs):
    """Return a loss that depends on every value of every output, the mean of the values times fixed
    weights, and the mean absolute term of this mean. Both are arrays of shape ().
    """
    total = scale = 0
    for i, out in enumerate(outputs):
        weights = np.array(loss_weights(i, out.shape), ctx=out.ctx)
        total = total + (out * weights).mean()
        scale = scale + np.abs(out * weights).mean()
    return total, scale


def step(net, inputs, smooth):
    """Run one training step, which also changes the gradients and the statistics of the net.

    smooth: for each input array, whether it has a gradient

    Return {'loss': number, LOSS_SCALE: number} and {key of SUMMARIES: {name: NumPy array}}.
    """
    params = structural(net)
    real = [a for a, has_gradient in zip(leaves(inputs), smooth) if has_gradient]
    for a in real:
        a.attach_grad()
    with autograd.record():
        loss, scale = loss_of(list(leaves(net(*fresh(inputs)))))
    loss.backward()
    trained = {name: param for name, param in params.items() if param.grad_req != 'null'}
    return {'loss': float(loss), LOSS_SCALE: float(scale)}, {
        'gradients': {name: param.grad().asnumpy() for name, param in trained.items()},
        'input gradients': {f'input {i}': a.grad.asnumpy() for i, a in enumerate(real)},
        'statistics': {name: param.data().asnumpy() for name, param in params.items()
                       if name not in trained}}


def record_step(losses, arrays):
    """Return the record of a training step. losses, arrays: the results of `step`"""
    record = {key: onp.array([value]) for key, value in losses.items()}
    for key, named in arrays.items():
        if named:
            if SUMMARIES[key]:
                record[SUMMARIES[key]] = onp.array(list(named))
            record[key] = onp.array([summary(name, array) for name, array in named.items()])
    return record


def train(net, inputs, smooth):
    """Run one training step and return its record (see `step`)."""
    return record_step(*step(net, inputs, smooth))


def largest(record):
    """Return the norm of the largest gradient in the record of a training step."""
    return max([record[key][:, 0].max() for key in ('gradients', 'input gradients')
                if key in record], default=0.0)


def zeros(record):
    """Return which gradients of a record are zero up to rounding, as entries of bools such as
    'gradients zero'."""
    return {f'{key} zero': record[key][:, 0] <= ZERO * largest(record)
            for key in ('gradients', 'input gradients') if key in record}


def references(key, stored):
    """Return (rows, the scale of each row), with which the summaries of an entry are compared.

    A scale is the row's own norm. For a gradient that is stored as zero, the row is zeros, and the
    scale is the norm of the network's largest gradient.
    """
    rows = stored[key]
    zero = stored.get(f'{key} zero', onp.zeros(rows.shape[:-1], bool))
    return onp.where(zero[..., None], 0, rows), onp.where(zero, largest(stored), rows[..., 0])


def summary_errors(found, rows, scales):
    """Return the largest difference of each summary from its row, relative to the row's scale."""
    return onp.abs(found - rows).max(-1) / onp.maximum(scales, 1e-30)


def error(key, stored, found):
    """Return the largest difference in one entry of two records; inf if the entries cannot be
    compared, or if a value is not finite.

    Differences of values are relative to the largest stored value, those of summaries to the norm.
    For a gradient that is stored as zero, the result is its size relative to the network's largest
    gradient.
    """
    old, new = stored[key], found.get(key)
    if new is None or new.dtype != old.dtype or new.shape != old.shape:
        return float('inf')
    if old.dtype.kind in 'Ui':
        return 0.0 if (old == new).all() else float('inf')
    if not onp.isfinite(new).all():
        return float('inf')
    if not old.size:
        return 0.0
    if key in SUMMARIES or key.endswith(' summary'):
        return float(summary_errors(new, *references(key, stored)).max())
    scale = stored[LOSS_SCALE] if key in ('loss', LOSS_SCALE) else old
    return float(onp.abs(new - old).max() / max(onp.abs(scale).max(), 1e-30))


def errors(stored, found, keys=None):
    """Return {key: error} for these keys, by default for all stored ones. The error of an entry
    that is not stored is inf."""
    keys = [key for key in stored if keys is None or key in keys]
    result = {key: error(key, stored, found) for key in keys}
    result.update({key: float('inf') for key in found if key not in stored})
    return result
