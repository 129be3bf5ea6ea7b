"""d2l.rewrite.channels: what it finds, and that outputs and gradients stay the same."""
import mxnet
import numpy as onp
import pytest
from mxnet import autograd, init, np, npx
from mxnet.gluon import nn

import d2l

TOLERANCE = 2e-5        # float32: sums of some thousand products, in another order
npx.set_np()


def chain(*between, filters=6, after=5, groups=1, first=None, second=None):
    """A convolution, some layers, a convolution; first, second: further arguments of the two."""
    net = nn.Sequential()
    net.add(nn.Conv2D(filters, **{'kernel_size': 3, **(first or {})}), *between,
            nn.Conv2D(after, 3, groups=groups, **(second or {})))
    return net


class Twice(nn.Block):
    """The result of the convolution or of the pooling is used twice."""

    def __init__(self, early):
        super().__init__()
        self.parts = chain(nn.AvgPool2D())
        self.early = early

    def forward(self, X):
        first, pool, second = self.parts
        Y = first(X)
        return second(pool(Y)), Y if self.early else pool(Y) * 2


class Shown(nn.Block):
    """The result of the first convolution is also one of the net's results."""

    def __init__(self):
        super().__init__()
        self.parts = chain(nn.MaxPool2D())

    def forward(self, X):
        first, pool, second = self.parts
        Y = first(X)
        return second(pool(Y)), Y


FOUND = {  # name: (net, filters of the rewritten first convolution in training, and in prediction)
    'LeNet': (lambda: chain(nn.Activation('sigmoid'), nn.AvgPool2D(), first=dict(
        kernel_size=5, padding=2)), 16, 8),
    'no room for two': (lambda: chain(nn.Activation('relu'), nn.AvgPool2D(), filters=10), 16, 16),
    'four columns': (lambda: chain(nn.AvgPool2D((2, 4)), filters=3), 16, 8),
    'three rows': (lambda: chain(nn.AvgPool2D((3, 2)), filters=5), 16, 8),
    'columns that are left over': (lambda: chain(nn.AvgPool2D(3), filters=5), 16, 8),
    'max pooling': (lambda: chain(nn.Activation('tanh'), nn.MaxPool2D(), filters=20), 32, 24),
    'overlapping': (lambda: chain(nn.AvgPool2D(3, strides=2, padding=1)), 16, 8),
    'ceil': (lambda: chain(nn.AvgPool2D(4, ceil_mode=True)), 16, 8),
    'activation last': (lambda: chain(nn.AvgPool2D(), nn.Activation('sigmoid')), 16, 8),
    'two poolings': (lambda: chain(nn.MaxPool2D(3, 1), nn.AvgPool2D()), 16, 8),
    'no pooling': (lambda: chain(nn.Activation('relu')), 16, 8),
    'steps': (lambda: chain(nn.AvgPool2D(), first=dict(strides=(1, 2), padding=1)), 16, 8),
    'padding': (lambda: chain(nn.AvgPool2D(2, padding=1)), 16, 8),
    'no bias': (lambda: chain(nn.AvgPool2D(), first=dict(use_bias=False),
                              second=dict(use_bias=False, strides=2, padding=1)), 16, 8),
    'activation of Gluon': (lambda: chain(nn.AvgPool2D(), first=dict(activation='sigmoid')), 16, 8),
    'three in a row': (lambda: chain(nn.Activation('relu'), nn.Conv2D(7, 3), nn.AvgPool2D()),
                       16, 8),
}
LEFT = {
    'a fast number': lambda: chain(nn.AvgPool2D(), filters=8),
    'groups': lambda: chain(nn.AvgPool2D(), groups=2, after=4),
    'holes': lambda: chain(nn.AvgPool2D(), first=dict(dilation=2)),
    'BatchNorm': lambda: chain(nn.BatchNorm(), nn.AvgPool2D()),
    'Dropout': lambda: chain(nn.Dropout(0.5), nn.AvgPool2D()),
    'nothing between': lambda: chain(),
    'used before the pooling': lambda: Twice(True),
    'used after the pooling': lambda: Twice(False),
    'shown': Shown,
}


def results(net, X, training):
    """Return the outputs and, in training, the gradients of a random weighted sum of them with
    respect to X and the parameters. (In prediction, MXNet's own gradient of max pooling is
    wrong.)"""
    X.attach_grad()
    rng = onp.random.RandomState(3)
    mxnet.random.seed(3)
    with autograd.record(train_mode=training):
        outputs = net(X)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        loss = sum((Y * np.array(rng.normal(size=Y.shape), dtype='float32')).sum() for Y in outputs)
    if training:
        loss.backward()
        grads = [p.grad() for p in net.collect_params().values() if p.grad_req != 'null']
        outputs += [X.grad, *grads]
    return [a.asnumpy() for a in outputs]


def filters_that_run(net):
    """num_filter of the first convolution of the only program."""
    (program,), = vars(net)['forward'].__self__._programs.values()
    return next(int(node['attrs']['num_filter']) for node in program.executed_graph['nodes']
                if node['op'] == 'Convolution')


@pytest.mark.parametrize('training', [True, False], ids=['training', 'prediction'])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('make, filters', [
    *[pytest.param(make, sizes, id=name) for name, (make, *sizes) in FOUND.items()],
    *[pytest.param(make, None, id=name) for name, make in LEFT.items()]])
def test_few_filters(make, filters, channels, training):
    net = make()
    net.initialize(init.Normal(0.3))
    X = np.array(onp.random.RandomState(1).normal(size=(3, channels, 26, 28)), dtype='float32')
    expected = results(net, X, training)
    before = list(net.collect_params('.*weight').values())[0].shape[0]
    d2l.hybridize(net, optimize=True)
    found = results(net, X, training)
    assert filters_that_run(net) == (filters[not training] if filters else before)
    for a, b in zip(found, expected):
        assert abs(a - b).max() <= TOLERANCE * abs(b).max()
