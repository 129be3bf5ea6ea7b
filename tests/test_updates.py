"""d2l.updates changes Parameters exactly as MXNet's own Updater does."""
import copy
import pickle
import re

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from mxnet.optimizer import optimizer

from d2l import updates

npx.set_np()
STEPS = 4
MXNETS = optimizer.Updater.__call__.__wrapped__


@pytest.mark.parametrize('name', ['sgd_update', 'sgd_mom_update', 'adam_update'])
def test_defaults_are_mxnets(name):
    text = getattr(mxnet.nd, name).__doc__
    found = dict(re.findall(r'(\w+) : \w+, optional, default=(\S+)', text))
    # lazy_update makes a difference for sparse gradients only
    assert {'wd', 'lazy_update'} <= {*found}
    assert {*found} <= {*updates.DEFAULTS, 'rescale_grad', 'clip_gradient', 'lazy_update'}
    for key in {*found} & {*updates.DEFAULTS}:
        assert onp.float32(found[key]) == onp.float32(updates.DEFAULTS[key])


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


@pytest.fixture
def mxnets(monkeypatch):
    """A list to which each call of MXNet's own Updater adds the indices of its Parameters."""
    calls = []

    def call(updater, index, grad, weight):
        calls.append(index)
        return MXNETS(updater, index, grad, weight)
    monkeypatch.setattr(optimizer.Updater, '__call__', updates.faster(call))
    return calls


@pytest.mark.parametrize('name, options', OPTIONS.values(), ids=OPTIONS)
def test_as_mxnets_own_to_the_last_bit(monkeypatch, mxnets, name, options):
    ours = trained(name, options)
    assert not mxnets
    monkeypatch.setattr(optimizer.Updater, '__call__', MXNETS)
    for a, b in zip(ours, trained(name, options)):
        assert (a == b).all()


RATES = {'float32': onp.float32(0.05), 'float64': onp.float64(0.05), 'int': 1,
         'int64': onp.int64(1),
         'array': onp.array(0.05), 'single array': onp.array(0.05, 'float32'),
         "MXNet's": np.array(0.05),
         "MXNet's, double": np.array(0.05, dtype='float64'), 'large': 2 ** 70,
         'tiny': 1e-46, 'denormal': 1e-40}


@pytest.mark.parametrize('rate', RATES.values(), ids=RATES)
@pytest.mark.parametrize('name, key', [('sgd', 'learning_rate'), ('sgd', 'wd'), ('sgd', 'momentum'),
                                       ('adam', 'learning_rate'), ('adam', 'wd'),
                                       ('adam', 'beta1')])
def test_a_rate_acts_like_the_float_of_its_value(name, key, rate):
    """The rate may be a number of any type, or an array, which is not modified."""
    if key in ('momentum', 'beta1') and float(rate) >= 1:
        rate = onp.float32(0.5)
    before = float(rate)
    steps = []
    for value in rate, before if before > 1e-38 else 0.0:
        mxnet.random.seed(0)
        net = nn.Dense(2, in_units=3)
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), name, {'learning_rate': 0.1, key: value})
        for _ in range(STEPS):
            with autograd.record():
                loss = (net(np.ones((2, 3))) ** 2).sum()
            loss.backward()
            trainer.step(2)
        steps.append(net.weight.data().asnumpy())
    assert onp.array_equal(*steps, equal_nan=True) and float(rate) == before


@pytest.mark.parametrize('rate', [
    onp.array([0.1]), np.array([0.1]), mxnet.nd.array([0.1]), onp.array([0.1, 0.2]), 0.1 + 0j,
    float('nan'), float('inf'), 10 ** 400, np.array([0.1, 0.2])], ids=repr)
@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_a_rate_that_is_no_number_is_refused(name, rate):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), name, {'learning_rate': rate})
    with autograd.record():
        loss = (net(np.ones((2, 3))) ** 2).sum()
    loss.backward()
    with pytest.raises((TypeError, ValueError, OverflowError),
                       match='learning rate is .*: give|too large'):
        trainer.step(2)


@pytest.mark.parametrize('name', ['adam', 'sgd'])
def test_a_batch_size_may_be_an_array(name):
    """As in 9.7, which divides by a number of tokens."""
    for a, b in zip(trained(name, {}), trained(name, {}, np.array(5))):
        assert (a == b).all()


@pytest.mark.parametrize('name', ['adam', 'sgd'])
@pytest.mark.parametrize('schedule', [True, False])
def test_each_parameter_has_its_own_rates(monkeypatch, name, schedule):
    def run():
        mxnet.random.seed(0)
        net = nn.Dense(3, in_units=4)
        net.initialize()
        net.weight.lr_mult, net.bias.lr_mult = 0.5, 0.0
        scheduler = mxnet.lr_scheduler.FactorScheduler(1, 0.5) if schedule else None
        trainer = gluon.Trainer(net.collect_params(), name, {
            'learning_rate': 0.1, 'lr_scheduler': scheduler})
        for _ in range(STEPS):
            with autograd.record():
                value = net(np.ones((5, 4))).sum()
            value.backward()
            trainer.step(5)
        return net.weight.data().asnumpy(), net.bias.data().asnumpy()
    ours = run()
    monkeypatch.setattr(optimizer.Updater, '__call__', MXNETS)
    for a, b in zip(ours, run()):
        assert (a == b).all()
    assert (ours[1] == 0).all()


def updated(name, options, *steps):
    """The weight that an Updater has changed by these gradients, one a step."""
    weight = mxnet.nd.array(onp.linspace(-1, 1, 60).reshape(20, 3), dtype=steps[0].dtype)
    updater = optimizer.get_updater(optimizer.create(name, learning_rate=0.1, **options))
    for gradient in steps:
        updater((0,), (gradient,), (weight,))
    return weight.asnumpy()


@pytest.mark.parametrize('momentum', [0, 0.9])
def test_weight_decay_is_that_of_the_operator_for_one_parameter(momentum):
    """The operator for several parameters has other last digits, as it adds up in another order."""
    mxnet.random.seed(0)
    gradient = mxnet.nd.random.normal(shape=(20, 3))
    decayed = {'wd': 0.3, 'momentum': momentum, 'rescale_grad': 0.5}
    ours = updated('sgd', decayed, *[gradient] * STEPS)
    theirs = mxnet.nd.array(onp.linspace(-1, 1, 60).reshape(20, 3))
    moments = mxnet.nd.zeros_like(theirs)
    for _ in range(STEPS):
        options = {'out': theirs, 'lr': 0.1, 'wd': 0.3, 'rescale_grad': 0.5}
        if momentum:
            mxnet.nd.sgd_mom_update(theirs, gradient, moments, momentum=momentum, **options)
        else:
            mxnet.nd.sgd_update(theirs, gradient, **options)
    assert (ours == theirs.asnumpy()).all()


@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_sparse_gradients_change_the_rows_that_they_have(mxnets, name):
    gradient = mxnet.nd.zeros((20, 3))
    gradient[4] = 2
    before = updated(name, {}, mxnet.nd.zeros((20, 3)))
    assert not mxnets
    changed = updated(name, {}, gradient.tostype('row_sparse')) != before
    assert changed.any(axis=1).nonzero()[0].tolist() == [4] and mxnets


@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_half_precision_is_left_to_mxnet(mxnets, name):
    gradient = mxnet.nd.ones((20, 3), dtype='float16')
    assert updated(name, {'multi_precision': True}, gradient).dtype == 'float16' and mxnets


@pytest.mark.parametrize('later', [0, -0.5])
def test_momentum_may_end(monkeypatch, mxnets, later):
    """The last momentum stays as a state, which the operator without momentum does not take."""
    def run():
        weight, gradient = mxnet.nd.ones((20, 3)), mxnet.nd.ones((20, 3))
        updater = optimizer.get_updater(optimizer.SGD(learning_rate=0.1, momentum=0.9))
        for updater.optimizer.momentum in (0.9, 0.9, later, later):
            updater((0,), (gradient,), (weight,))
        return weight.asnumpy()
    ours = run()
    assert not mxnets
    monkeypatch.setattr(optimizer.Updater, '__call__', MXNETS)
    assert (ours == run()).all()


def test_other_optimizers_are_left_to_mxnet(mxnets):
    updated('rmsprop', {}, mxnet.nd.ones((20, 3)))
    assert mxnets


def test_new_arrays_of_parameters_and_states_are_used(tmp_path):
    """A Parameter may be initialized again, and a state may be loaded from a file."""
    net = nn.Dense(2, in_units=2)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), 'adam')

    def step():
        with autograd.record():
            value = net(np.ones((1, 2))).sum()
        value.backward()
        trainer.step(1)
        return net.weight.data().asnumpy()
    step()
    trainer.save_states(str(tmp_path / 'states'))
    weights = [p.data().copy() for p in net.collect_params().values()]
    then = step()
    net.initialize(force_reinit=True)
    before = net.weight.data().asnumpy()
    assert (step() != before).all()
    for parameter, weight in zip(net.collect_params().values(), weights):
        parameter.set_data(weight)
    trainer.load_states(str(tmp_path / 'states'))
    assert (step() == then).all()


def test_an_error_is_that_of_mxnet():
    updater = optimizer.get_updater(optimizer.Adam())
    with pytest.raises(mxnet.MXNetError, match=r'expected \[2,1\], got \[3,1\]'):
        updater((0,), (mxnet.nd.zeros((3, 1)),), (mxnet.nd.zeros((2, 1)),))


@pytest.mark.parametrize('again',
                         [copy.deepcopy, lambda updater: pickle.loads(pickle.dumps(updater))])
def test_an_updater_can_be_copied_after_a_step(again):
    """The pointers that it keeps for speed belong to this process and to these arrays."""
    updater = optimizer.Updater(optimizer.Adam())
    weight, grad = np.ones(3), np.ones(3)
    updater([0], [grad], [weight])
    other, weight2 = again(updater), weight.copy()
    updater([0], [grad], [weight])
    other([0], [grad], [weight2])
    assert (weight.asnumpy() == weight2.asnumpy()).all()
