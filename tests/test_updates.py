"""d2l.updates: the numbers are those of MXNet's own functions."""
import re

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from mxnet.optimizer import optimizer

from d2l.updates import DEFAULTS

npx.set_np()
STEPS = 4
REPLACED = 'adam_update', 'multi_sgd_update', 'multi_sgd_mom_update'


def test_mxnets_optimizers_call_them():
    for name in REPLACED:
        assert getattr(optimizer, name) is not getattr(mxnet.nd, name)
        assert getattr(optimizer, name).__module__ == 'd2l.updates'


@pytest.mark.parametrize('name', ['sgd_update', 'sgd_mom_update', 'adam_update'])
def test_defaults_are_mxnets(name):
    found = dict(re.findall(r'(\w+) : \w+, optional, default=(\S+)', getattr(mxnet.nd, name).__doc__))
    assert {'wd', 'lazy_update'} <= {*found} <= {*DEFAULTS, 'rescale_grad', 'clip_gradient'}
    for key in {*found} & {*DEFAULTS}:
        assert onp.float32(found[key]) == onp.float32(DEFAULTS[key])


def trained(name, options, batch_size=5):
    """The Parameters of a small net after some steps, as NumPy arrays."""
    mxnet.random.seed(0)
    net = nn.Sequential()
    net.add(nn.Dense(7, activation='relu'), nn.BatchNorm(), nn.Dense(3))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), name, {'learning_rate': 0.1, **options})
    X = np.random.normal(size=(5, 4))
    for step in range(STEPS):
        trainer.set_learning_rate(0.1 / (step + 1))
        with autograd.record():
            value = (net(X) ** 2).sum()
        value.backward()
        trainer.step(batch_size)
    return [p.data().asnumpy() for p in net.collect_params().values()]


OPTIONS = {
    'adam': ('adam', {}),
    'adam with all': ('adam', {'wd': 0.1, 'clip_gradient': 0.01, 'beta1': 0.5, 'epsilon': 1e-3}),
    'adam with a default': ('adam', {'beta1': 0.9, 'beta2': 0.99, 'wd': 0.0}),
    'sgd': ('sgd', {}),
    'sgd that clips': ('sgd', {'clip_gradient': 0.01}),
    'momentum': ('sgd', {'momentum': 0.9}),
    'momentum that clips': ('sgd', {'momentum': 0.9, 'clip_gradient': 0.01})}


@pytest.mark.parametrize('name, options', OPTIONS.values(), ids=OPTIONS)
def test_as_mxnets_own_to_the_last_bit(monkeypatch, name, options):
    ours = trained(name, options)
    for function in REPLACED:
        monkeypatch.setattr(optimizer, function, getattr(mxnet.nd, function))
    for a, b in zip(ours, trained(name, options)):
        assert (a == b).all()


@pytest.mark.parametrize('name', ['adam', 'sgd'])
def test_a_batch_size_may_be_an_array(name):
    """As in 9.7, which divides by a number of tokens."""
    for a, b in zip(trained(name, {}), trained(name, {}, np.array(5))):
        assert (a == b).all()


@pytest.mark.parametrize('momentum', [0, 0.9])
def test_weight_decay_is_that_of_the_operator_for_one_parameter(momentum):
    """Its last digits are not those of the operator for several: it adds up in another order."""
    mxnet.random.seed(0)
    ours, theirs, gradient = [mxnet.nd.random.normal(shape=(20, 30)) for _ in range(3)]
    theirs[:] = ours
    moments = [mxnet.nd.zeros_like(ours) for _ in range(2)]
    sgd = optimizer.SGD(learning_rate=0.1, wd=0.3, momentum=momentum, rescale_grad=0.5)
    for _ in range(STEPS):
        sgd.update(0, ours, gradient, moments[0] if momentum else None)
        options = {'out': theirs, 'lr': 0.1, 'wd': 0.3, 'rescale_grad': 0.5}
        if momentum:
            mxnet.nd.sgd_mom_update(theirs, gradient, moments[1], momentum=momentum, **options)
        else:
            mxnet.nd.sgd_update(theirs, gradient, **options)
    assert (ours == theirs).asnumpy().all() and not (ours == gradient).asnumpy().all()


def test_sparse_gradients_change_the_rows_that_they_have():
    def updated(optimizer):
        weight, gradient = mxnet.nd.ones((10, 3)), mxnet.nd.zeros((10, 3))
        gradient[4] = 2
        states = optimizer.create_state(0, weight)
        optimizer.update(0, weight, gradient.tostype('row_sparse'), states)
        return weight.asnumpy()
    for name in 'sgd', 'adam':
        weight = updated(optimizer.create(name, learning_rate=0.1))
        assert (weight != 1).any(axis=1).nonzero()[0].tolist() == [4]


def test_an_error_is_mxnets():
    with pytest.raises(mxnet.MXNetError, match=r'expected \[2\], got \[3\]'):
        optimizer.adam_update(*[mxnet.nd.zeros(n) for n in (2, 3, 2, 2)], out=None, lr=0.1)
