"""What is stored of a network, and how two such records are compared.

A record is a dict of small NumPy arrays. From a prediction: for each output its shape, its
statistics (mean, standard deviation, least, greatest) and its values, or every k-th of a large
one. From one training step with dropout switched off: the loss, the norm of each parameter's
and each real input's gradient, and the norms of the running statistics after it.
"""
import zlib

import numpy as onp
from mxnet import autograd, gluon, np
from mxnet.gluon import nn

from ci.networks import fresh, leaves, structural

MOST_VALUES = 512                   # of one output; larger ones are sampled: every k-th value
LOSS_SCALE = 'loss_scale'           # mean absolute term of the loss: what its error is measured by


def sample(array):
    """All values of a small array as a vector, every k-th of a large one, k = size // 512."""
    flat = array.reshape(-1)
    return flat[::max(1, flat.size // MOST_VALUES)][:MOST_VALUES]


def record_outputs(arrays):
    """The record of a prediction's outputs, an iterable of NumPy arrays."""
    record = {}
    for i, array in enumerate(arrays):
        wide = array.astype('float64')
        record[f'output{i}'] = sample(array)
        record[f'output{i} shape'] = onp.array(array.shape, 'int64')
        record[f'output{i} statistics'] = onp.array(
            [wide.mean(), wide.std(), wide.min(), wide.max()])
    return record


def predict(net, inputs):
    """The record of one prediction."""
    return record_outputs([out.asnumpy() for out in leaves(net(*fresh(inputs)))])


def without_dropout(net):
    """Switch off dropout in Gluon's layers, so that a training step draws nothing."""
    def switch(block):
        if isinstance(block, nn.Dropout):
            block._rate = 0
        elif isinstance(block, gluon.rnn.rnn_layer._RNNLayer):
            block._dropout = 0
    net.apply(switch)


def loss_of(outputs):
    """A number that depends on every value of every output: their mean with fixed weights.

    Returns the loss and the mean absolute term, both arrays of shape ().
    """
    total = scale = 0
    for i, out in enumerate(outputs):
        random = onp.random.RandomState(zlib.crc32(f'loss weights {i}'.encode()))
        weights = np.array(random.uniform(0.5, 1.5, out.shape).astype('float32'), ctx=out.ctx)
        total = total + (out * weights).mean()
        scale = scale + np.abs(out * weights).mean()
    return total, scale


def train(net, inputs, smooth):
    """The record of one training step; the net keeps gradients and statistics.

    smooth: for each input array, whether it has a gradient.
    """
    params = structural(net)
    real = [a for a, has_gradient in zip(leaves(inputs), smooth) if has_gradient]
    for a in real:
        a.attach_grad()
    with autograd.record():
        loss, scale = loss_of(list(leaves(net(*fresh(inputs)))))
    loss.backward()

    def norms(of):
        return onp.array([onp.linalg.norm(a.asnumpy().astype('float64')) for a in of])
    trained = {name: param for name, param in params.items() if param.grad_req != 'null'}
    rest = {name: param for name, param in params.items() if param.grad_req == 'null'}
    record = {'loss': onp.array([float(loss)]), LOSS_SCALE: onp.array([float(scale)])}
    if trained:
        record['gradient names'] = onp.array(list(trained))
        record['gradients'] = norms(param.grad() for param in trained.values())
    if real:
        record['input gradients'] = norms(a.grad for a in real)
    if rest:
        record['statistics names'] = onp.array(list(rest))
        record['statistics'] = norms(param.data() for param in rest.values())
    return record


def error(key, stored, found):
    """The largest difference of one entry, relative to the largest stored number; inf where
    they cannot be compared, or where a number is not finite."""
    old, new = stored[key], found.get(key)
    if new is None or new.dtype != old.dtype or new.shape != old.shape:
        return float('inf')
    if old.dtype.kind in 'Ui':
        return 0.0 if (old == new).all() else float('inf')
    if not onp.isfinite(new).all():
        return float('inf')
    scale = stored[LOSS_SCALE] if key in ('loss', LOSS_SCALE) else old
    return float(onp.abs(new - old).max() / max(onp.abs(scale).max(), 1e-30)) if old.size else 0.0


def errors(stored, found, keys=None):
    """Key -> error, for the keys given or all stored ones; an entry too many counts as inf."""
    keys = [key for key in stored if keys is None or key in keys]
    result = {key: error(key, stored, found) for key in keys}
    result.update({key: float('inf') for key in found if key not in stored})
    return result
