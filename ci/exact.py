"""Compares a compiled network with the eager one, bit by bit.

`compare(net, *inputs)` makes the same calls twice, with the net as it is and after `d2l.hybridize`,
and returns the largest difference of each kind of result. If it is 0.0, they are exactly equal.
"""
import numpy as onp
from mxnet import autograd, gluon, np, npx

from ci.networks import leaves
from ci.numbers import fresh, loss_of
from d2l.hybrid import hybridize

SEED, STEPS, LEARNING_RATE = 7, 3, 0.01


def state_of(net):
    """Return all arrays that calls may change, as pairs ((Block or Parameter, attribute),
    array)."""
    npx.waitall()   # oneDNN may still be reordering weights after a prediction: reads would race
    blocks, found = [], {}
    net.apply(blocks.append)
    for block in blocks:
        for param in block.collect_params().values():
            found[param, 'data'] = param.data()
        for name, value in vars(block).items():
            if isinstance(value, np.ndarray):
                found[block, name] = value
    return found


def record(net, inputs, wrt, train):
    """Compute predictions, a backward pass and some optimizer steps, and return the results,
    {name: list of NumPy arrays}."""
    def arrays(values):
        return [value.asnumpy() for value in values]

    def step(inputs):
        with autograd.record():
            outputs = list(leaves(net(*fresh(inputs))))
            loss, _ = loss_of(outputs)
        if trained or variables:
            loss.backward()
        return outputs
    npx.random.seed(SEED)
    others = changed(inputs)
    found = {'predict': [a for given in (inputs, others, inputs)
                         for a in arrays(leaves(net(*fresh(given))))]}
    if train:
        variables = [a for i, a in enumerate(leaves(inputs)) if wrt is None or i in wrt]
        for variable in variables:
            variable.attach_grad()
        params = net.collect_params()
        trained = [p for p in params.values() if p.grad_req != 'null']
        trainer = trained and gluon.Trainer(params, 'adam', {'learning_rate': LEARNING_RATE})
        found['train'] = arrays(step(inputs))
        found['input gradients'] = arrays(a.grad for a in variables)
        found['gradients'] = arrays(p.grad() for p in trained)
        found['statistics'] = arrays(state_of(net).values())
        for i in range(STEPS if trained else 0):
            step(inputs if i % 2 else others)
            trainer.step(1, ignore_stale_grad=True)
        found['steps'] = arrays(state_of(net).values())
    return found


def difference(old, new):
    """Return the largest difference of two lists of arrays; inf if they cannot be compared."""
    if [(a.shape, a.dtype) for a in old] != [(a.shape, a.dtype) for a in new]:
        return float('inf')
    same = [onp.array_equal(a, b, equal_nan=True) for a, b in zip(old, new)]
    return max([0.0] + [float(onp.nan_to_num(onp.abs(a - b), nan=onp.inf).max())
                        for a, b, equal in zip(old, new, same) if not equal])


def compare(net, *inputs, wrt=None, train=True, **options):
    """Return the largest differences between an eager and a compiled net, with dropout and the same
    seeds.

    The result has the keys 'predict' and 'train' for the outputs in these modes, 'gradients' for
    those of Parameters, 'input gradients', 'statistics' for Parameters, running statistics and
    attributes that are arrays, after the training call, and 'steps' for all of these after three
    steps of Adam.

    net: an initialized Block whose shapes are known; afterwards it is compiled and was trained
    wrt: indices of the inputs whose gradients are taken, by default all; not of tokens or lengths
    train: False for a net that writes into arrays, which eager MXNet cannot record
    options: arguments of d2l.hybridize
    """
    before = {key: array.asnumpy() for key, array in state_of(net).items()}
    eager = record(hybridize(net, False), changed(inputs, np.ndarray.copy), wrt, train)
    for (owner, name), array in before.items():
        if isinstance(owner, gluon.Parameter):
            owner.set_data(np.array(array, dtype=array.dtype))
        else:
            setattr(owner, name, np.array(array, dtype=array.dtype))
    compiled = record(hybridize(net, **options), changed(inputs, np.ndarray.copy), wrt, train)
    return {name: difference(eager[name], compiled[name]) for name in eager}


def changed(nested, by=lambda array: array.reshape(-1)[::-1].reshape(array.shape)):
    """Return nested tuples and lists in which each array is replaced by by(array), which by default
    reverses its values."""
    if isinstance(nested, (tuple, list)):
        return type(nested)(changed(part, by) for part in nested)
    return by(nested) if isinstance(nested, np.ndarray) else nested
