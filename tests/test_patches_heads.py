import copy
import pickle

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

import d2l


def marked(older=False, req='write'):
    x = (mxnet.nd if older else np).ones(2)
    x.attach_grad(req)
    return x


@pytest.mark.parametrize('older', [False, True])
def test_each_head_counts(older, request):
    if older:
        request.getfixturevalue('without_np')
    ones = (mxnet.nd if older else np).ones(2)
    x = marked(older)
    with autograd.record():
        y = x * 3
    autograd.backward([y, y])
    assert x.grad.asnumpy().tolist() == [6, 6]
    with autograd.record():
        y = x * 3
    autograd.backward([y, y, y], [ones, ones * 10, ones * 100])
    assert x.grad.asnumpy().tolist() == [333, 333]
    with autograd.record():
        y = x * 3
    assert autograd.grad([y, y], [x])[0].asnumpy().tolist() == [6, 6]


def test_each_head_counts_that_is_a_variable_and_adds():
    x = marked(req='add')
    for _ in range(2):
        with autograd.record():
            y = x * 1
        autograd.backward([x, y, x])
    assert x.grad.tolist() == [6, 6]


def test_outputs_of_one_operator_are_different_heads():
    x = marked()
    with autograd.record():
        a, b = np.split(x * 2, 2)
    autograd.backward([a, b], [np.array([1.]), np.array([10.])])
    assert x.grad.tolist() == [2, 20]


@pytest.mark.parametrize('compiled', [False, True])
def test_each_result_of_a_net_counts(compiled):
    class Twice(nn.Block):
        def forward(self, x):
            y = x * 3
            return y, y
    net, x = Twice(), marked()
    if compiled:
        d2l.hybridize(net)
    with autograd.record():
        results = net(x)
    autograd.backward([*results])
    assert x.grad.tolist() == [6, 6]


def layers(*made):
    net = nn.Sequential()
    net.add(*made)
    net.initialize(mxnet.init.Uniform(1))
    return net


def test_second_derivatives_of_one_layer():
    """These are right, so they are not refused."""
    mxnet.random.seed(0)
    net, x = layers(nn.Dense(2, in_units=3)), np.random.normal(size=(2, 3))
    x.attach_grad()

    def penalty():
        with autograd.record():
            slope, = autograd.grad(net(x), [x], create_graph=True, retain_graph=True)
            return np.square(slope.as_np_ndarray()).sum()
    penalty().backward()
    weight = net[0].weight
    before, found = weight.data().copy(), weight.grad().asnumpy()
    for index in onp.ndindex(*before.shape):
        sides = []
        for step in 1e-2, -1e-2:
            moved = before.copy()
            moved[index] += step
            weight.set_data(moved)
            sides.append(penalty().item())
        assert abs((sides[0] - sides[1]) / 2e-2 - found[index]) < 1e-2


@pytest.mark.parametrize('net', [
    lambda: layers(nn.Dense(4, in_units=3, activation='sigmoid'), nn.Dense(1, in_units=4)),
    lambda: layers(nn.Dense(1, in_units=3, activation='tanh')),
    lambda: layers(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4))],
    ids=['hidden', 'last', 'linear'])
def test_second_derivatives_that_would_be_wrong_are_refused(net):
    net, x = net(), np.ones((2, 3))
    x.attach_grad()
    with autograd.record():
        y = net(x)
        with pytest.raises(NotImplementedError, match='second derivatives.*create_graph'):
            autograd.grad(y, [x], create_graph=True)
        slope, = autograd.grad(y, [x], retain_graph=True)
    assert abs(slope).max() > 0


def test_second_derivatives_through_a_graph_name_the_cure():
    x = np.array([1.0, -2, 3])
    x.attach_grad()
    with autograd.record():
        with pytest.raises(NotImplementedError, match=r'write x\.detach\(\) > 0'):
            autograd.grad(np.sin(x) * (x > 0), [x], create_graph=True, retain_graph=True)
        slope, = autograd.grad(np.sin(x) * (x.detach() > 0), [x], create_graph=True)
    assert np.allclose(slope.as_np_ndarray(), np.cos(x) * (x > 0))


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
                         ids=['deepcopy', 'pickle'])
@pytest.mark.parametrize('req', ['write', 'add', 'null'])
def test_copies_of_parameters_learn(copied, req):
    net = nn.Dense(2, in_units=2)
    net.initialize(mxnet.init.One())
    net.weight.grad_req = req
    other, x = copied(net), np.ones((1, 2))
    with autograd.record():
        y = (other(x) + net(x)).sum()
    y.backward()
    for each in net, other:
        assert each.bias.grad().tolist() == [1, 1]
        if req == 'null':
            assert each.weight._grad is None
        else:
            assert each.weight.grad().tolist() == [[1, 1], [1, 1]]
    trainer = gluon.Trainer(other.collect_params(), 'sgd', {'learning_rate': .5})
    trainer.step(1)
    assert other.bias.data().tolist() == [-.5, -.5] and net.bias.data().tolist() == [0, 0]


def test_a_shallow_copy_of_a_parameter_shares_its_gradient():
    net = nn.Dense(2, in_units=2)
    net.initialize(mxnet.init.One())
    other = copy.copy(net.weight)
    with autograd.record():
        y = npx.relu(net(np.ones((1, 2)))).sum()
    y.backward()
    assert other.grad().tolist() == net.weight.grad().tolist() == [[1, 1], [1, 1]]
