"""d2l.hybrid: what a compiled net computes, what cannot be compiled, and what stays as it was."""
import copy
import gc
import pickle
import random
import threading

import mxnet as mx
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn, rnn

from ci.exact import compare
from d2l import hybrid
from d2l.hybrid import TraceError, block, compile, hybridize
from d2l.hybrid.sources import Source
from tests.support import (
    Model,
    Plain,
    Residual,
    ScratchNorm,
    alive,
    branch,
    counted,
    dense_net,
    in_threads,
    randn,
    ready,
)

npx.set_np()
pytestmark = [pytest.mark.filterwarnings(f'ignore:{name} has been renamed:DeprecationWarning')
              # Gluon's own code uses these names
              for name in ('ndarray.context', 'ndarray.as_in_context')]
EXACT = dict.fromkeys(
    ('predict', 'train', 'input gradients', 'gradients', 'statistics', 'steps'), 0.0)


class InList(nn.Block):
    """Blocks kept in a Python list, registered by hand."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [nn.Dense(8, activation='tanh') for _ in range(3)]
        for i, blk in enumerate(self.blocks):
            self.register_child(blk, f'layer{i}')

    def forward(self, X):
        for blk in self.blocks:
            X = blk(X)
        return X


class Mixed(nn.HybridBlock):
    """A HybridBlock with hybrid_forward, as Gluon expects it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = nn.Dense(4)

    def hybrid_forward(self, F, x):
        return F.npx.relu(self.dense(x))


class Branches(nn.Block):
    """Dropout layers that run in another order than a graph would need them for these outputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.half, self.third, self.dense = nn.Dropout(0.5), nn.Dropout(0.3), nn.Dense(4)

    def forward(self, X):
        first = self.half(X)
        second = self.third(self.dense(X))
        third = self.half(second)
        return third, first * 2, second + first


def dropout_scratch(self, X):
    """Dropout as in 4.6."""
    if not autograd.is_training():
        return X
    mask = np.random.uniform(0, 1, X.shape) > 0.5
    return mask.astype(np.float32) * X / 0.5


def twice(self, X):
    """The same expression two times."""
    return np.tanh(X * self.scale) * randn(4, 6, seed=1) + np.tanh(X * self.scale) * 3.7


class Results(nn.Block):
    """Some of its results are computed from others. names: which to return, in this order."""

    def __init__(self, *names, **kwargs):
        super().__init__(**kwargs)
        self.names, self.dense = names, nn.Dense(6, flatten=False)
        self.first, self.second = nn.Dense(6, flatten=False), nn.Dense(6, flatten=False)

    def forward(self, X):
        found = {'h': np.tanh(self.dense(X))}
        found['a'], found['b'] = self.first(found['h']), self.second(found['h'])
        found['c'] = np.tanh(found['a']) * found['h'] + found['b']
        return [found[name] for name in self.names]


# ------------------------------------------------------------------ exactness

NETS = {
    **{f'results {names}': (lambda names=names: Results(*names), (randn(2, 3, 6),)) for names in (
        'hab', 'ahb', 'abh', 'hc', 'ch', 'hh', 'hha', 'hah', 'cahb', 'abc')},
    'mlp': (dense_net, (randn(4, 6),)),
    'dropout': (lambda: dense_net(nn.Dropout(0.5)), (randn(4, 6),)),
    'dropout in two branches': (Branches, (randn(8, 4),)),
    'dropout from scratch': (lambda: dense_net(Plain(dropout_scratch)), (randn(4, 6),)),
    'convolution': (lambda: Residual(4), (randn(2, 3, 6, 6),)),
    'norm from scratch': (lambda: dense_net(ScratchNorm()), (randn(4, 6),)),
    'blocks in a list': (InList, (randn(4, 6),)),
    'hybrid block inside': (lambda: dense_net(Mixed()), (randn(4, 6),)),
    'hybrid block': (Mixed, (randn(4, 6),)),
    'same twice': (lambda: Plain(twice, scale=randn(4, 6, seed=2)), (randn(4, 6),)),
    'one layer': (lambda: nn.Dense(3), (randn(4, 6),)),
    'fused layer': (lambda: rnn.LSTM(4), (randn(5, 2, 3),)),
    'fused layer with state': (lambda: rnn.GRU(4), (randn(5, 2, 3), [randn(1, 2, 4)])),
    'dropout between layers': (lambda: rnn.LSTM(4, 2, dropout=0.5), (randn(5, 2, 3),)),
    'integers': (lambda: Plain(lambda self, X: X.astype('float32') * X), (np.arange(6),)),
    'casts and copies': (lambda: Plain(lambda self, X: (
        X.astype('float64').copy() * 2).astype('float32')), (randn(3, 2),)),
    'detach': (lambda: Plain(lambda self, X: X * X.detach() + X), (randn(3, 2),)),
    'stacks': (lambda: Plain(lambda self,
                             X: [f((a, a * 2)) for f in (np.hstack, np.vstack, np.dstack)
                                 for a in (X.sum(), X[0], X[0] * X, X.reshape(3, 1, 2))]),
               (randn(3, 2),)),
    'one number': (lambda: Plain(lambda self, X: (X * self.scale[1], X[0] * X[0, 0], self.scale[0]),
                                 scale=randn(2)), (randn(3, 2),)),
    'constants': (lambda: Plain(lambda self, X: X * np.arange(2) + np.ones((3, 2))),
                  (randn(3, 2),)),
}


# What may differ, by at most how much (ten times what was measured). If an array is returned twice,
# its two gradients from outside of the net are added up first, and then those from inside of it
NOT_EXACT = {'results hah': {'gradients': 6e-7, 'input gradients': 9e-8, 'steps': 6e-7}}


@pytest.mark.parametrize('name', NETS)
def test_exact(name):
    make, inputs = NETS[name]
    found, bounds = compare(ready(make(), *inputs), *inputs), NOT_EXACT.get(name, {})
    assert found.keys() == EXACT.keys()
    assert {what: size for what, size in found.items() if size > bounds.get(what, 0.0)} == {}


@pytest.mark.parametrize('cell', [rnn.RNN, rnn.LSTM])
def test_tokens(cell):
    inputs = np.array([[0, 1, 2], [3, 4, 0]])
    assert compare(ready(Model(cell(6)), inputs), inputs, wrt=()) == EXACT


def test_compare_can_fail(monkeypatch):
    """If `compare` could not find a difference, these tests would prove nothing."""
    program = hybrid.program.Program
    run = program.__call__
    monkeypatch.setattr(program, '__call__', lambda *args: run(*args) * (1 + 1e-6))
    found = compare(ready(dense_net(), randn(4, 6)), randn(4, 6))
    assert all(found[key] > 0 for key in EXACT if key != 'statistics'), found


def test_exact_is_needed():
    """Where MXNet merges common subexpressions, gradients differ in the last digits."""
    net, inputs = Plain(twice, scale=randn(4, 6, seed=2)), randn(4, 6)
    assert 0 < compare(net, inputs, exact=False)['input gradients'] < 1e-5


def test_values_of_a_call_are_not_frozen():
    """What is computed from the values of an input follows the input, however it is computed."""
    def forward(self, X):
        Y = np.zeros(2)
        Y[:] = X
        return X.detach() * 2, X.copy() + 1, X[0] + Y, X.astype('float64'), np.split(X, 2)[1]
    net, X = hybridize(Plain(forward)), randn(2)
    for factor in 1, 2, 3:
        for found, wanted in zip(net(X * factor), forward(net, X * factor)):
            assert (found.asnumpy() == wanted.asnumpy()).all()


@pytest.mark.parametrize('inner', [hybridize, lambda net: net.hybridize() or net],
                         ids=['d2l', 'Gluon'])
def test_compiled_parts_of_a_net(inner):
    """A part that is compiled already, by d2l or by Gluon, becomes part of the larger graph."""
    X, net = randn(4, 6), dense_net(Mixed(), nn.Dropout(0.5))
    ready(net, X)
    inner(net[1])(randn(4, 8))
    assert compare(net, X) == EXACT
    assert ready(nn.Dense(2), net(X)) and '_CachedOp' not in str(
        next(iter(net.forward.__self__._programs.values()))[0].graph)


# ------------------------------------------------------------------ what compiling leaves as it is

def test_in_place_leaves_the_net(tmp_path):
    net = dense_net()
    names = list(net.collect_params())
    assert hybridize(net) is net and len(net) == 2 and isinstance(net[0], nn.Dense)
    assert list(net.collect_params()) == names and type(net) is nn.Sequential
    X = randn(4, 6)
    before = ready(net, X)(X).asnumpy()
    net.save_parameters(str(tmp_path / 'net.params'))
    other = dense_net()
    other.load_parameters(str(tmp_path / 'net.params'))
    assert (other(X).asnumpy() == before).all()
    net.initialize(force_reinit=True)
    assert (net(X).asnumpy() != before).any()
    net.load_parameters(str(tmp_path / 'net.params'))
    assert (net(X).asnumpy() == before).all()


def test_compiled_block_shares_parameters(tmp_path):
    X, net = randn(4, 6), dense_net()
    ready(net, X)
    fast = compile(net, X)
    assert list(fast.collect_params()) == list(net.collect_params())
    assert 'forward' not in vars(net) and 'Dense' in repr(fast)
    net[1].weight.set_data(net[1].weight.data() * 2)
    assert (fast(X).asnumpy() == net(X).asnumpy()).all()
    fast.save_parameters(str(tmp_path / 'net.params'))
    net.load_parameters(str(tmp_path / 'net.params'))
    layer = ready(rnn.LSTM(4), randn(5, 2, 3))
    assert compile(layer).begin_state(batch_size=2)[0].shape == (1, 2, 4)


def test_active_false_makes_it_eager_again(monkeypatch):
    traces, X, net = counted(monkeypatch), randn(4, 6), dense_net()
    ready(hybridize(net), X)
    hybridize(net, active=False)
    net(X)
    assert not traces and 'forward' not in vars(net)


@pytest.mark.parametrize('again', [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_compile_for_themselves(again, monkeypatch):
    X, net = randn(4, 6), hybridize(dense_net())
    expected = ready(net, X)(X).asnumpy()
    traces, other = counted(monkeypatch), again(net)
    assert (other(X).asnumpy() == expected).all() and len(traces) == 1
    other[1].weight.set_data(other[1].weight.data() * 2)
    assert (net(X).asnumpy() == expected).all() and (other(X).asnumpy() != expected).any()


def test_importing_d2l_hybrid_imports_little_else(python):
    """Of d2l it needs itself, its rules, graphs, calls of MXNet's library, what writes files, and
    repairs."""
    code = ("import sys, types; d2l = types.ModuleType('d2l'); d2l.__path__ = ['d2l']; "
            "sys.modules['d2l'] = d2l; import mxnet; before = set(sys.modules); import d2l.hybrid; "
            "print(sorted(m for m in set(sys.modules) - before "
            "if not m.startswith(('d2l.hybrid', 'd2l.rewrite', 'd2l.graphs', 'd2l.c_api', "
            "'d2l.files', 'd2l_compat', 'd2l_finder', 'fractions', 'contextvars', '_context', "
            "'fcntl', 'dataclasses', 'decimal', '_decimal', 'pkgutil', '_sysconfigdata'))))")
    assert python('-c', code).stdout.strip() == '[]'


# ------------------------------------------------------------------ signatures

def test_one_trace_for_each_signature(monkeypatch):
    traces, net = counted(monkeypatch), ready(dense_net(nn.Dropout(0.5)), randn(4, 6))
    hybridize(net)
    for X in randn(4, 6), randn(4, 6, seed=1), randn(2, 6), randn(4, 6):
        net(X)
        # one graph serves both modes, as the Python code does not ask which is on
        with autograd.record():
            net(X)
    assert len(traces) == 2
    hybridize(net)                  # called again, hybridize forgets the programs
    net(randn(4, 6))
    assert len(traces) == 3


def test_a_trace_for_each_mode_if_python_asks(monkeypatch):
    traces, X = counted(monkeypatch), randn(4, 6)
    net = hybridize(Plain(lambda self, X: X * 2 if autograd.is_training() else X))
    for _ in range(2):
        assert (net(X).asnumpy() == X.asnumpy()).all()
        with autograd.record():
            assert (net(X).asnumpy() == 2 * X.asnumpy()).all()
    assert len(traces) == 2


def test_mode_asked_by_another_name():
    """`from mxnet.autograd import is_training` asks for the mode, too."""
    from mxnet.autograd import is_training
    net, X = hybridize(Plain(lambda self, X: X * 2 if is_training() else X)), randn(2)
    with autograd.train_mode():
        assert (net(X).asnumpy() == 2 * X.asnumpy()).all()


def test_cast_and_new_initialization(monkeypatch):
    X, net = np.array([[0, 1], [2, 1]]), Plain(
        lambda self, X: self.embedding(X).astype(self.embedding.weight.data().dtype).sum(axis=1))
    net.embedding = nn.Embedding(3, 4)
    ready(hybridize(net), X)
    traces = counted(monkeypatch)
    for _ in range(2):
        assert net(X).dtype == onp.float32
    net.cast('float64')
    for _ in range(2):
        assert net(X).dtype == onp.float64
    net.initialize(mx.init.One(), force_reinit=True)
    for _ in range(2):
        eager = type(net).forward(net, X)
        assert (net(X).asnumpy() == eager.asnumpy()).all()
    assert len(traces) == 2 and sum(map(len, net.forward.__self__._programs.values())) == 1


def test_attributes_may_change(monkeypatch):
    traces, X = counted(monkeypatch), randn(3)
    net = Plain(lambda self, X: X * self.factor + self.inner.shift, factor=2.0,
                inner=Plain(None, shift=np.ones(3)))
    hybridize(net)
    for factor, shift in (2.0, 1), (3.0, 1), (3.0, 5), (2.0, 5), (3.0, 5):
        net.factor = factor
        if net.inner.shift[0] != shift:
            net.inner.shift = np.full(3, shift)
        for _ in range(2):
            assert (net(X).asnumpy() == (X * factor + shift).asnumpy()).all()
    assert len(traces) == 2         # for each factor; the shift is an input of the graph


def test_layers_may_be_added():
    net, X = hybridize(dense_net()), randn(4, 6)
    assert ready(net, X)(X).shape == (4, 3)
    net(X)
    net.add(ready(nn.Dense(7), randn(4, 3)))
    assert net(X).shape == (4, 7)


def test_programs_are_bounded(monkeypatch):
    monkeypatch.setattr(block, 'MAX_PROGRAMS', 4)
    net = hybridize(ready(Plain(lambda self, X, state: X + state), randn(2, 2), randn(2)))
    for length in range(1, 5):
        net(randn(length, 2), randn(2))
    with pytest.warns(UserWarning, match=r"Plain was compiled more than 4 times: argument 'args'"):
        net(randn(5, 2), randn(2))
    for length in range(6, 9):      # it warns only once
        assert net(randn(length, 2), randn(2)).shape == (length, 2)
    assert len(net.forward.__self__._programs) == 4


def test_warning_names_the_argument(monkeypatch):
    monkeypatch.setattr(block, 'MAX_PROGRAMS', 3)

    def scaled(X, factor):
        return X * factor
    fast = compile(scaled)
    for i in range(3):
        fast(randn(2), float(i))
    with pytest.warns(UserWarning,
                      match="'factor' keeps changing, as in 2.0, 3.0.* numbers as arrays"):
        fast(randn(2), 3.0)
    net = hybridize(Plain(lambda self, X: X * self.factor))
    with pytest.warns(UserWarning, match='self.factor keeps changing'):
        for net.factor in [0.5, 1.5, 2.5, 3.5]:
            net(randn(2))


# ------------------------------------------------------------------ arguments and results

def test_nested_arguments_and_results():
    def function(batch, scale, names):
        X, (Y, pair) = batch['X'], batch['rest']
        return {'sum': [X + Y, (pair[0] * scale, None)], 'same': X, names[0]: (3, 'text')}
    args = ({'X': randn(2), 'rest': (randn(2, seed=1), [randn(2, seed=2)])}, 2, ('name',))
    eager, compiled = function(*args), compile(function, *args)(*args)
    assert list(compiled) == list(eager) and compiled['name'] == (3, 'text')
    assert isinstance(compiled['sum'][1], tuple) and compiled['sum'][1][1] is None
    assert compiled['same'] is args[0]['X']
    for a, b in zip((eager['sum'][0], eager['sum'][1][0]),
                    (compiled['sum'][0], compiled['sum'][1][0])):
        assert (a.asnumpy() == b.asnumpy()).all()


def test_results_that_are_no_computation():
    weight = gluon.Parameter('weight', shape=(2,))
    weight.initialize()
    fast = compile(lambda X: (X, weight.data(), np.arange(2), np.zeros(1) + 1))
    X = randn(2)
    for _ in range(2):
        same, data, constant, ones = fast(X)
        assert same is X and data is weight.data() and constant.asnumpy().tolist() == [0, 1]
        constant += 1               # the constant is the caller's, who may change it
    with autograd.record():
        loss = (fast(X)[1] * 3).sum()
    loss.backward()
    assert weight.grad().asnumpy().tolist() == [3, 3]


def test_function_over_parameters():
    """14.4: two embeddings are arguments of a function."""
    def skip_gram(center, contexts_and_negatives, embed_v, embed_u):
        v = embed_v(center)
        u = embed_u(contexts_and_negatives)
        return npx.batch_dot(v, u.swapaxes(1, 2))
    center, contexts = np.array([[0], [1]]), np.array([[0, 1], [2, 0]])
    embeddings = [ready(nn.Embedding(3, 4), center), ready(nn.Embedding(3, 4), center)]
    fast, results = compile(skip_gram), []
    for function in skip_gram, fast, fast:
        with autograd.record():
            pred = function(center, contexts, *embeddings)
        pred.backward()
        results.append([pred.asnumpy()] + [e.weight.grad().asnumpy() for e in embeddings])
    for result in results[1:]:
        assert all((a == b).all() for a, b in zip(result, results[0]))


W = None


def linear(X):
    """Linear regression as in 3.6, which reads a global array."""
    return np.dot(X, W)


def test_function_over_global_arrays():
    global W
    X, gradients = randn(4, 3), []
    fast = compile(linear)
    for seed in 1, 2:               # it is noticed that the name is bound to another array
        W = randn(3, 2, seed=seed)
        W.attach_grad()
        for function in linear, fast, fast:
            with autograd.record():
                loss = (function(X) ** 2).sum()
            loss.backward()
            gradients.append(W.grad.asnumpy())
        W[:] = W * 2                # and that the array is written into
        assert (fast(X).asnumpy() == linear(X).asnumpy()).all()
    for i in 0, 3:
        assert (gradients[i] == gradients[i + 1]).all() and (gradients[i] == gradients[i + 2]).all()


def test_deferred_initialization():
    X = randn(4, 6)
    results = []
    for active in False, True:
        net = dense_net(nn.Dropout(0.5))
        mx.random.seed(5)
        net.initialize()
        hybridize(net, active)
        with autograd.record():
            outputs = [net(X).asnumpy() for _ in range(3)]
        results.append(outputs)
    for eager, compiled in zip(*results):
        assert (eager == compiled).all()


def test_compile_initializes():
    X, net = randn(4, 6), dense_net()
    net.initialize()
    assert (compile(net, X)(X).asnumpy() == net(X).asnumpy()).all()


def test_gradients_add_up():
    X, net, grads = randn(4, 6), dense_net(), []
    ready(net, X)
    for active in False, True:
        hybridize(net, active)
        for param in net.collect_params().values():
            param.grad_req = 'null'
            param.grad_req = 'add'
        for _ in range(3):
            with autograd.record():
                loss = net(X).sum()
            loss.backward()
        grads.append([p.grad().asnumpy() for p in net.collect_params().values()])
    assert all((a == b).all() and (a != 0).any() for a, b in zip(*grads))


def test_two_forwards_before_one_backward():
    """As in a GAN: the memory of the first call must not be used again too early."""
    X, Y, net, grads = randn(4, 6), randn(4, 6, seed=1), dense_net(), []
    ready(net, X)
    for active in False, True:
        hybridize(net, active)
        with autograd.record():
            loss = net(X).sum() * 2 + (net(Y) ** 2).sum() + net(X).sum()
        loss.backward()
        grads.append([p.grad().asnumpy() for p in net.collect_params().values()])
    assert all((a == b).all() for a, b in zip(*grads))


@pytest.mark.parametrize('make', [dense_net, lambda: dense_net(ScratchNorm()), lambda: Residual(3)])
def test_several_contexts(make):
    """Data parallel as in 12.5: each part of the minibatch is where a copy of the Parameters is."""
    ctxs, results = [npx.cpu(0), npx.cpu(1)], []
    for active in False, True:
        net = make()
        shape = (4, 3, 5, 5) if isinstance(net, Residual) else (4, 6)
        ready(net, randn(*shape), ctx=ctxs[0])
        net.collect_params().reset_ctx(ctxs)
        hybridize(net, active)
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
        for step in range(3):
            parts = gluon.utils.split_and_load(randn(*shape, seed=step), ctxs)
            with autograd.record():
                losses = [(net(part) ** 2).sum() for part in parts]
            for loss in losses:
                loss.backward()
            trainer.step(4)
        results.append([loss.asnumpy() for loss in losses] + [
            array.asnumpy() for p in net.collect_params().values() for array in p.list_data()])
        assert [net(part).ctx for part in parts] == ctxs
    assert all((a == b).all() for a, b in zip(*results))


# ------------------------------------------------------------------ state and random numbers

def test_state_is_kept_on_the_tape_of_its_call():
    """An attribute that a call sets may be used in a loss; the next call reads it, though its tape
    is gone."""
    X, grads = randn(4, 6), []
    for active in False, True:
        net = Plain(lambda self, X: setattr(self, 'h', self.h * 0.5 + X) or self.h.sum(),
                    h=np.zeros((4, 6)))
        hybridize(net, active)
        X.attach_grad()
        for _ in range(3):
            with autograd.record():
                loss = net(X) + (net.h ** 2).sum()
            loss.backward()
        grads.append((X.grad.asnumpy(), net.h.asnumpy()))
    assert (grads[0][1] == grads[1][1]).all()
    assert onp.abs(grads[0][0] - grads[1][0]).max() < 1e-6


def test_state_written_in_place():
    X = randn(3)

    def forward(self, X):
        self.total[:] = self.total + X
        self.last = [X * 2, 'text']
        return self.total * 1
    net = hybridize(Plain(forward, total=np.zeros(3)))
    for i in range(1, 4):
        assert onp.allclose(net(X).asnumpy(), i * X.asnumpy(), atol=1e-6)
        assert onp.allclose(net.total.asnumpy(), i * X.asnumpy(), atol=1e-6)
    assert (net.last[0].asnumpy() == 2 * X.asnumpy()).all() and net.last[1] == 'text'


def test_random_numbers_are_drawn_anew():
    """They come from eager mode's stream, in the same order, from the first call on."""
    def forward(self, X):
        noise = np.random.normal(0, 1, (3,))
        return X * noise + np.random.uniform(size=(3,)), noise, npx.random.bernoulli(0.5, size=(3,))
    X, results = randn(3), []
    for active in False, True:
        net = hybridize(Plain(forward), active)
        mx.random.seed(11)
        results.append([a.asnumpy() for _ in range(3) for a in net(X)])
    assert all((a == b).all() for a, b in zip(*results))
    assert (results[1][0] != results[1][3]).any()


def test_random_numbers_with_traced_arguments():
    net, X = hybridize(Plain(lambda self, X: np.random.normal(X, 1.0))), np.zeros(50)
    first, second = net(X).asnumpy(), net(X + 1000).asnumpy()
    assert abs(first.mean()) < 1 and abs(second.mean() - 1000) < 1 and first.std() > 0.5


def test_order_of_random_operators_is_needed(monkeypatch):
    """Without the pass that keeps it, operators draw each other's numbers."""
    monkeypatch.setattr(hybrid.passes, 'keep_random_order', lambda graph: graph)
    class Joined(Branches):  # one result, as each of several results would have a graph of its own
        def forward(self, X):
            return np.stack(super().forward(X))
    assert compare(ready(Joined(), randn(8, 4)), randn(8, 4))['train'] > 0


def test_a_new_array_in_forward_may_be_written():
    """corr2d of 6.2 writes into an array that it has made."""
    def corr2d(X, K):
        h, w = K.shape
        Y = np.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
        for i in range(Y.shape[0]):
            for j in range(Y.shape[1]):
                Y[i, j] = (X[i: i + h, j: j + w] * K).sum()
        Y[0] = Y[1] * 2
        Y[:, -1] += np.arange(3)
        Y[np.array([0, 2]), 0] = 7
        Y *= 2
        return Y
    X, K = randn(4, 4), randn(2, 2, seed=1)
    fast = compile(corr2d, X, K)
    assert (fast(X * 2, K).asnumpy() == corr2d(X * 2, K).asnumpy()).all()
    X.attach_grad()                 # eager MXNet has no gradient here; the graph has
    with autograd.record():
        loss = fast(X, K).sum()
    loss.backward()
    step = 1e-2                     # it is linear in X
    slope = (fast(X + step * np.ones(4), K) - fast(X - step * np.ones(4), K)).sum() / (2 * step)
    assert abs(float(X.grad.sum() - slope)) < 1e-2


# ------------------------------------------------------------------ flags

@pytest.mark.parametrize('make, shape, static', [
    (dense_net, (4, 6), True), (lambda: Residual(3), (2, 3, 4, 4), None),   # BatchNorm would race
    (lambda: rnn.LSTM(5), (3, 2, 4), None)])  # the RNN reads a flag that MXNet leaves uninitialized
def test_static_shape_where_mxnet_can(monkeypatch, make, shape, static):
    """MXNet has two errors with static_shape: it is off for the nets that would meet them."""
    seen = []

    def cached_op(symbol, flags):
        seen.append(dict(flags))
        return original(symbol, flags)
    original = hybrid.program.CachedOp
    monkeypatch.setattr(hybrid.program, 'CachedOp', cached_op)
    net = ready(make(), randn(*shape))
    hybridize(net)(randn(*shape))
    hybridize(net, static_alloc=False)(randn(*shape))
    assert [flags.get('static_shape') for flags in seen] == [static, static and False]
    assert [flags['static_alloc'] for flags in seen] == [True, False]


@pytest.mark.parametrize('optimize', [False, True])
@pytest.mark.parametrize('reshape', [lambda Y: Y.reshape(Y.shape[0], 16, -1),
                                     lambda Y: npx.reshape(Y, (-2, -2, -5))])
def test_what_a_convolution_gives_may_be_reshaped(reshape, optimize):
    """A reshape in place would keep oneDNN's memory layout, with which the next operator fails."""
    X = randn(8, 3, 7, 10)
    conv = ready(nn.Conv2D(16, (3, 10), activation='relu'), X)

    def pooled(X):
        return npx.pooling(reshape(conv(X)), kernel=(2,), pool_type='max')
    fast = compile(pooled, optimize=optimize)
    for _ in range(2):
        assert abs(fast(X) - pooled(X)).max() <= (1e-5 if optimize else 0)


def test_static_shape_knows_the_mode():
    """One graph serves both modes: MXNet tells each of its operators which mode is on."""
    X = randn(50)

    def many(X):
        return np.concatenate([npx.dropout(X + i + 9, p=0.5) for i in range(100)])
    fast = compile(many)
    for mode in True, False, True, False:
        with autograd.record(train_mode=mode):
            zeros = (fast(X).reshape(100, 50) == 0).sum(axis=1)
        assert (zeros > 0).all() if mode else (zeros == 0).all()
    assert sum(map(len, fast._programs.values())) == 1


@pytest.mark.parametrize('uses', ['212121', '121212', '3231', 'p1p1', '1p21', '0201'])
@pytest.mark.parametrize('optimize', [False, True])
def test_a_parameter_used_in_several_calls_and_then_in_one(uses, optimize):
    """As with a discriminator: on real and on fake samples, and then once in the generator's
    step."""
    found = []
    for prepare in (lambda net: net, lambda net: hybridize(net, optimize=optimize)):
        net = prepare(ready(nn.Dense(6), randn(4, 6)))
        found.append([])
        for i, use in enumerate(uses):
            net.weight.grad()[:] = 7
            Y = randn(4, 6, seed=i)
            with autograd.record():
                for _ in range(int(use) if use != 'p' else 1):
                    Y = net(Y)
                penalty = (net.weight.data() ** 2).sum() if use in 'p0' else 0
                loss = (Y ** 2).sum() + penalty
            loss.backward()
            found[-1].append(net.weight.grad().asnumpy())
    for eager, compiled in zip(*found):
        assert onp.allclose(eager, compiled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('reqs', [
    ['write', 'null', 'write'], ['null', 'write', 'write'],
    ['write', 'add', 'null', 'add', 'write']])
def test_a_layer_that_is_frozen_and_learns_again(reqs):
    found = []
    for prepare in (lambda net: net, hybridize):
        net = prepare(ready(dense_net(), randn(4, 6)))
        found.append([])
        for i, req in enumerate(reqs):
            net[0].weight.grad_req = req
            with autograd.record():
                loss = (net(randn(4, 6, seed=i)) ** 2).sum()
            loss.backward()
            found[-1] += [p.grad().asnumpy() for p in net.collect_params().values()
                          if p.grad_req != 'null']
    assert all((a == b).all() for a, b in zip(*found))


def test_backward_is_set_up_once(tmp_path):
    """MXNet sets up the backward pass again if an array for a gradient is new, as for constants."""
    net, X = ready(dense_net(), randn(4, 6)), randn(4, 6)
    net[1].weight.grad_req = 'null'
    fast = compile(lambda X: net(X) * np.array([[2.0], [3.0], [4.0], [5.0]]))

    def step():
        with autograd.record():
            loss = fast(X).sum()
        loss.backward()
        npx.waitall()
    step()
    step()
    mx.profiler.set_config(filename=str(tmp_path / 'profile.json'), profile_symbolic=True,
                           profile_imperative=True, aggregate_stats=True)
    mx.profiler.set_state('run')
    step()
    mx.profiler.set_state('stop')
    assert 'DeleteOperator' not in mx.profiler.dumps(reset=True)


# ------------------------------------------------------------------ what no graph can hold

def python_counter(self, X):
    self.count = self.count + 1
    return X * self.count


def into_the_input(self, X):
    X += 1
    return X


def into_a_view(self, X):
    Y = X * 2
    row = Y[0]
    row += 1
    return Y


def hooked(self, X):
    return self.inner(X)


def swallowed(self, X):
    try:
        return X * float(X.sum())
    except Exception:
        return X


class Doubled(autograd.Function):
    def forward(self, X):
        return X * 2

    def backward(self, head):
        return head * 2


REFUSED = {
    'function of NumPy': (lambda self, X: onp.interp(X, [0, 1], [1, 2]), 'calls numpy.interp',
                          'interp'),
    'operator of NumPy': (lambda self, X: onp.spacing(X), 'calls numpy.spacing', 'spacing'),
    'own backward pass': (lambda self, X: Doubled()(X), 'calls an autograd.Function', 'Doubled()'),
    'branches on a float': (branch, 'asks for the value', 'while float('),
    'prints': (lambda self, X: print(X * 2), 'asks for the value', 'print(X * 2)'),
    'asnumpy': (lambda self, X: np.array(X.asnumpy()), 'asks for the value', 'X.asnumpy()'),
    'constant times input': (lambda self, X: X * float((np.arange(2) * X).sum()), 'value',
                             'float('),
    'parameter value': (lambda self, X: X * self.scale[0].item(), 'value', 'self.scale'),
    'text': (lambda self, X: {f'{X.sum().astype("int32")}': X}, 'value', 'astype'),
    'many values': (lambda self, X: X * X.astype('int32').tolist()[0], 'value', 'tolist'),
    'catches our error': (swallowed, 'asks for the value', 'float(X.sum())'),
    'starts to record': (lambda self, X: [X for _ in [autograd.record().__enter__()]],
                         'starts to record', 'record()'),
    'leaves another mode': (lambda self, X: [X for _ in [autograd.train_mode().__enter__()]],
                            'leaves autograd in another mode', 'train_mode()'),
    'drops out in another mode': (lambda self, X: [npx.dropout(X) for _ in [
        autograd.train_mode().__enter__()]], 'calls Dropout in another mode', 'npx.dropout'),
    'many results without gradient': (
        lambda self, X: np.histogram(X, bins=3, range=(0, 1))[0], 'no gradient', 'np.histogram'),
    'attaches a gradient': (lambda self, X: X.attach_grad(), 'attaches a gradient', 'attach_grad'),
    'computes gradients': (lambda self, X: (X * 2).backward(), 'computes gradients', 'backward'),
    'boolean mask': (lambda self, X: X[X > 0], 'shape depends on values', 'X[X > 0]'),
    'writes into its input': (into_the_input, 'writes into an array', 'X += 1'),
    'writes into a part': (into_a_view, 'writes into a part', 'row += 1'),
    'counts in Python': (python_counter, 'self.count, a state in Python', 'self.count ='),
    'makes a layer': (lambda self, X: setattr(self, 'dense', nn.Dense(2)), 'self.dense',
                      'nn.Dense'),
    'draws with Python': (lambda self, X: X * random.random(), 'Python or NumPy',
                          'random.random()'),
    'draws with NumPy': (lambda self, X: X * onp.random.rand(), 'Python or NumPy', 'onp.random'),
    'moves it elsewhere': (lambda self, X: X.copyto(npx.cpu(1)), 'one graph runs on one', 'copyto'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused(name, capsys):
    """TraceError gives the reason and the line; afterwards the net is as before, and eager."""
    forward, what, line = REFUSED[name]
    X = randn(2)
    net = Plain(forward)
    net.scale = np.array([2.0])
    net.count = 0
    before = dict(vars(net))
    hybridize(net)
    states = random.getstate(), onp.random.get_state()[2]
    with pytest.raises(TraceError) as caught:
        net(X)
    message = str(caught.value)
    assert what in message and line in message.splitlines()[2], message
    file = forward.__code__.co_filename
    assert f'File "{file}", line {caught.value.lineno}' in message
    assert caught.value.filename == file
    assert vars(net).keys() == before.keys()
    assert all(vars(net)[key] is before[key] for key in before)
    assert (X.asnumpy() == randn(2).asnumpy()).all()
    assert (random.getstate(), onp.random.get_state()[2]) == states
    assert not autograd.is_recording() and not autograd.is_training()
    if name in ('branches on a float', 'prints', 'catches our error', 'draws with NumPy'):
        net(X)                      # it runs eagerly


def test_refused_in_training_too():
    net, X = hybridize(Plain(branch)), randn(2)
    with pytest.raises(TraceError), autograd.record():
        net(X)
    assert not autograd.is_recording() and not autograd.is_training()


def test_fallback_runs_eagerly_and_says_so_once():
    X = randn(2)
    net = hybridize(Plain(branch), fallback=True)
    with pytest.warns(UserWarning, match=r'(?s)Plain runs eagerly: .*while float\(np.abs'):
        first = net(X)
    assert (net(X).asnumpy() == first.asnumpy()).all()
    with pytest.warns(UserWarning, match='runs eagerly'):
        fast = compile(Plain(branch), X, fallback=True)
    assert (fast(X).asnumpy() == first.asnumpy()).all()


def test_failed_compile_leaves_the_net():
    net, X = Plain(branch), randn(2)
    with pytest.raises(TraceError):
        compile(net, X)
    net(X)


def test_hooks_of_children_are_refused():
    net, X = Plain(hooked, inner=dense_net()), randn(4, 6)
    ready(net, X)
    handle = net.inner.register_forward_hook(lambda *args: None)
    with pytest.raises(TraceError, match='a Sequential with hooks'):
        hybridize(net)(X)
    handle.detach()
    calls = []
    net.register_forward_hook(lambda *args: calls.append(args))
    hybridize(net)(X)
    net(X)
    assert len(calls) == 2          # its own hooks run: they are outside of forward


def test_other_errors_are_those_of_eager_mode():
    net = ready(dense_net(), randn(4, 6))
    hybridize(net)
    with pytest.raises(mx.MXNetError, match='hape'):
        net(randn(4, 7))
    assert net(randn(4, 6)).shape == (4, 3)
    with pytest.raises(TypeError, match='argument'):
        hybridize(Residual(3))(randn(2, 3, 4, 4), randn(1))


def test_uninitialized_parameters():
    net = hybridize(dense_net())
    with pytest.raises(RuntimeError, match='has not been initialized'):
        net(randn(4, 6))


def test_arguments_on_several_contexts():
    net = hybridize(Plain(lambda self, X, Y: X + Y))
    with pytest.raises(ValueError, match=r'arguments of Plain are on several devices.*cpu\(1\)'):
        net(randn(2), randn(2, ctx=npx.cpu(1)))
    scale = gluon.Parameter('scale', shape=(2,))
    scale.initialize(ctx=npx.cpu(0))
    with pytest.raises(ValueError, match=r'scale .* is not on cpu\(1\)'):
        compile(lambda X: X * scale.data())(randn(2, ctx=npx.cpu(1)))


def test_argument_that_is_no_array():
    fast = compile(lambda X: np.array(X) * 2)
    assert fast(onp.ones(2)).tolist() == [2, 2] and fast(onp.zeros(2)).tolist() == [0, 0]
    with pytest.raises(ValueError, match='NumPy array of .* bytes.* arrays of MXNet'):
        fast(onp.zeros(1_000_000))
    with pytest.raises(TypeError, match='d2l.compile'):
        hybridize(lambda X: X)


def test_needs_numpy_semantics():
    net, X, caught = hybridize(ready(dense_net(), randn(4, 6))), randn(4, 6), []

    def run():                      # a thread of its own, with the old semantics
        npx.reset_np()
        try:
            net(X)
        except RuntimeError as error:
            caught.append(str(error))
        finally:
            npx.set_np()            # until then, all threads have the old semantics of shapes
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert 'npx.set_np()' in caught[0]


# ------------------------------------------------------------------ threads

def test_two_threads_call_one_net(monkeypatch):
    net, inputs = ready(dense_net(), randn(4, 6)), [randn(4, 6, seed=i) for i in range(8)]
    expected = [net(X).asnumpy() for X in inputs]
    traces = counted(monkeypatch)
    hybridize(net)

    def work():
        return [[net(X).asnumpy() for X in inputs] for _ in range(40)]
    for rounds in in_threads(work, work):
        for found in rounds:
            assert all((a == b).all() for a, b in zip(found, expected))
    assert len(traces) == 1


def test_two_threads_trace_two_nets():
    """A third thread trains eagerly meanwhile: a trace affects only its own thread."""
    nets = [ready(Residual(4), randn(2, 3, 8, 8)) for _ in range(2)]
    shapes = [(n, 3, 6, 6) for n in range(1, 9)]
    expected = [[net(randn(*shape)).asnumpy() for shape in shapes] for net in nets]
    eager = ready(dense_net(nn.Dropout(0.0)), randn(4, 6))

    def trains():
        losses = []
        for _ in range(60):
            with autograd.record():
                losses.append((eager(randn(4, 6)) ** 2).sum())
            losses[-1].backward()
            assert autograd.is_training() is False
        return [float(loss) for loss in losses]
    for net in nets:
        hybridize(net)
    calls = [lambda net=net: [net(randn(*shape)).asnumpy() for shape in shapes] for net in nets]
    *found, losses = in_threads(*calls, trains)
    for one, other in zip(found, expected):
        assert all((a == b).all() for a, b in zip(one, other))
    assert len(set(losses)) == 1


def test_two_threads_train_one_net():
    """Forward and backward in two threads, on two devices, as data parallel training does."""
    ctxs, net = [npx.cpu(0), npx.cpu(1)], dense_net()
    ready(net, randn(4, 6), ctx=ctxs[0])
    net.collect_params().reset_ctx(ctxs)

    def gradients(ctx):
        for _ in range(20):
            with autograd.record():
                loss = (net(randn(4, 6, seed=1, ctx=ctx)) ** 2).sum()
            loss.backward()
        return [p.grad(ctx).asnumpy() for p in net.collect_params().values()]
    expected = [gradients(ctx) for ctx in ctxs]
    hybridize(net)
    for found, wanted in zip(in_threads(*[lambda c=c: gradients(c) for c in ctxs]), expected):
        assert all((a == b).all() for a, b in zip(found, wanted))


def test_a_trace_leaves_nothing_behind():
    """MXNet is as it was, and the arrays of the trace are gone."""
    watched = [(gluon.Block, '__setattr__'), (gluon.Block, '__getattribute__'),
               (np.ndarray, '__setitem__'), (np.ndarray, 'detach'), (gluon.Parameter, 'data'),
               (mx.nd.NDArray, 'asnumpy'), (random, 'random'), (onp.random, 'rand')]
    before = [(getattr(owner, name), name in vars(owner)) for owner, name in watched]
    X, net = randn(64, 6), ready(dense_net(), randn(64, 6))
    hybridize(net)(X)
    with pytest.raises(TraceError):
        hybridize(Plain(branch))(X)
    assert [(getattr(owner, name), name in vars(owner)) for owner, name in watched] == before
    gc.collect()
    count = len(alive(mx.nd.NDArray))
    for i in range(5):
        hybridize(net)(X)
    gc.collect()
    assert len(alive(mx.nd.NDArray)) <= count + 5


@pytest.mark.parametrize('optimize', [False, True])
def test_arrays_of_mx_nd_that_forward_makes_or_has(optimize):
    class Net(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.mask = mx.nd.ones((3,)) * 3

        def hybrid_forward(self, F, X):
            product = F.broadcast_mul(X.as_nd_ndarray(), F.ones((2, 1)) * 2)
            return F.broadcast_add(product, self.mask).as_np_ndarray()
    net, X = Net(), np.ones((2, 3))
    hybridize(net, optimize=optimize)
    assert (net(X) == 5).all() and (net(X) == 5).all()
    net.mask[:] = 1
    assert (net(X) == 3).all()


@pytest.mark.parametrize('question', [False, True])
@pytest.mark.parametrize('stop, left', [
    (lambda Y: Y.detach().copy(), 7),
    (lambda Y: mx.nd.BlockGrad(Y.as_nd_ndarray()).as_np_ndarray(), 0)], ids=['detach', 'BlockGrad'])
def test_gradients_behind_a_detached_array_are_left_alone(question, stop, left):
    """As in eager mode: a detached array is not on the tape, but the result of BlockGrad is."""
    class Net(nn.Block):
        def __init__(self):
            super().__init__()
            self.norm, self.h = nn.BatchNorm(in_channels=3), np.zeros((4, 3))
            self.w = self.params.get('w', shape=(3,))

        def forward(self, X, D):
            if question and X.sum() > 100:
                return D
            self.h = stop(X * self.w.data() * self.norm(D))
            return X * 2 + self.h

    found = []
    for net in Net(), hybridize(Net()):
        net.initialize(mx.init.One())
        X, D = np.ones((4, 3)), np.arange(12.).reshape(4, 3)
        for array in X, D:
            array.attach_grad()
        grads = [X.grad, D.grad, net.w.grad(), net.norm.gamma.grad()]
        for grad in grads:
            grad[:] = 7
        for _ in range(2):
            with autograd.record():
                Y = net(X, D)
            Y.backward()
            found.append([grad.asnumpy().tolist() for grad in grads] + [net.h.asnumpy().tolist()])
    assert found[:2] == found[2:]
    assert found[0][2] == [left] * 3 and found[0][1][0] == [left] * 3


def test_sources_of_other_arrays_differ():
    """Sources compare their arrays by identity, not by value."""
    a, b = np.ones(3), np.ones(3)
    assert Source('const', array=a) == Source('const', array=a) != Source('const', array=b)
    assert len({Source('const', array=a), Source('const', array=b), Source('state', 1),
                Source('state', 1), Source('input', 1)}) == 4


class Delayed(nn.Block):
    """A net that returns a result of its previous call, times a weight, and computes that of the
    next call. It gets the previous result as the argument h, or keeps it in an attribute."""

    def __init__(self, forward):
        super().__init__()
        self.compute, self.h, self.k = forward, np.ones(1), np.ones(1)
        self.w = self.params.get('w', shape=(1,), init=mx.init.Constant(.5))
        self.v = self.params.get('v', shape=(1,), init=mx.init.Constant(2))
        self.initialize()

    def forward(self, X, h):
        return self.compute(self, X, h, self.w.data(), self.v.data())


def _state(self, X, h, w, v):
    Y = v * self.h * X
    self.h = np.tanh(w * X)
    return Y, h


def _two_states(self, X, h, w, v):
    Y = v * self.h * X + self.k
    self.h, self.k = np.tanh(w * X), w * v * X
    return Y, h


def _asks(self, X, h, w, v):
    if X.sum() > 1e6:
        return X, h
    return v * h * X, np.tanh(w * X)


DELAYED = {
    'a result': lambda self, X, h, w, v: (v * h * X, np.tanh(w * X)),
    'it shares an operator': lambda self, X, h, w, v: ((w * X) * h * v, np.tanh(w * X)),
    'a result of which the other depends': lambda self, X, h, w, v: (
        v * np.tanh(w * X + h), np.tanh(w * X + h)),
    'one operator': lambda self, X, h, w, v: [*np.split(np.concatenate((v * h * X, w * X)), 2)],
    'detached': lambda self, X, h, w, v: (v * h * X, np.tanh(w * X).detach()),
    'a state': _state, 'two states': _two_states, 'with a question': _asks}


@pytest.mark.parametrize('optimize', [False, True], ids=['exact', 'optimized'])
@pytest.mark.parametrize('all_at_once', [False, True])
@pytest.mark.parametrize('forward', DELAYED.values(), ids=DELAYED)
def test_a_result_that_no_loss_has_used_keeps_its_gradient(forward, all_at_once, optimize):
    """A backward pass frees the tape of the results that its loss has used, and of no others. (In
    eager mode it also frees constants that several operators used, and a later one fails.)"""
    found = []
    for compiled in False, True:
        net, h, seen = Delayed(forward), np.ones(1), []
        if compiled:
            hybridize(net, optimize=optimize)
        for x in .5, .25, 2.:
            X = np.array([x])
            X.attach_grad()
            with autograd.record():
                Y, h = net(X, h)
                loss = Y + h if all_at_once else Y
            try:
                loss.backward()
            except mx.MXNetError as error:
                assert 'The any container is empty' in str(error)
                break
            seen += [float(a) for a in (Y, h, X.grad, net.w.grad(), net.v.grad())]
        found.append(seen)
    assert 5 <= len(found[0]) <= len(found[1])
    assert found[1][:len(found[0])] == pytest.approx(found[0], rel=1e-5)


class SomeResults(nn.Block):
    """Two layers, a normalization, and the results that `compute` makes of them."""

    def __init__(self, compute):
        super().__init__()
        self.compute, self.c = compute, np.full(2, 1.5)
        self.a, self.b = nn.Dense(2, in_units=2), nn.Dense(2, in_units=2)
        self.bn = nn.BatchNorm(in_channels=2, momentum=.5)
        self.initialize(mx.init.One())

    def forward(self, X):
        return self.compute(self, X)


def _kept(self, X):
    self.c = np.tanh(self.a(X))[0]
    return self.b(X) * self.c, self.bn(X)


# an unused result with a gradient of 0, instead of none, would give NaN: 0 times infinity
SEVERAL = {
    'a root of the other': lambda self, X: (lambda h: (np.sqrt(h), h))(self.a(X)),
    'a layer on the other': lambda self, X: (lambda h: (self.b(h), h))(self.a(X)),
    'a normalization of the other': lambda self, X: (
        lambda h: (self.b(self.bn(h)), h))(self.a(X)),
    'beside each other': lambda self, X: (self.a(X), self.bn(self.b(X))),
    'a third from both': lambda self, X: (
        lambda h, k: (h, k, self.bn(h * k)))(self.a(X), self.b(X)),
    'a product with a layer beside': lambda self, X: (
        lambda g, k, h: (h, h * g, g, k))(*(lambda g: (g, np.tanh(g)))(self.b(X)), self.a(X)),
    'a product with a normalization beside': lambda self, X: (
        lambda g, k, h: (h, h * g, g, k))(*(lambda g: (g, np.tanh(g)))(self.bn(X)), self.a(X)),
    'numbers that are drawn': lambda self, X: (
        lambda z: (self.b(self.bn(X + z)), z))(np.random.normal(0, 1, X.shape)),
    'of an input without gradient': lambda self, X: (self.a(X * self.c), self.b(X + self.c)),
    'of a constant': lambda self, X: (self.a(np.tanh(X)), np.tanh(X), self.c * 2),
    'of numbers that are drawn': lambda self, X: (
        lambda z: (self.a(X * z), self.b(X * z + 1), z))(np.random.uniform(0, 1, X.shape)),
    'a detached one beside numbers that are drawn': lambda self, X: (
        lambda h, z, d: (self.b(X) * z * d, h))(
            *(lambda h: (h, np.random.normal(0, 1, X.shape), h.detach()))(self.a(X))),
    'a detached one beside a constant': lambda self, X: (
        lambda h, z, d: (self.b(X) * z * d, h))(
            *(lambda h: (h, np.tanh(self.c), h.detach()))(self.a(X))),
    'a normalization twice': lambda self, X: (
        lambda h, g: (self.b(g) + h, h))(self.bn(self.a(X)), self.bn(X)),
    'infinite': lambda self, X: (lambda h: (h * h, h * float('inf')))(self.a(X)),
    'beyond float32': lambda self, X: (lambda h: (h * h, h * 3e38 * 3e38 * h))(self.a(X)),
    'in a dict': lambda self, X: {'a': self.a(X), 'b': [np.log(self.b(X) * 0)]},
    'a state': _kept}


@pytest.mark.parametrize('optimize', [False, True], ids=['exact', 'optimized'])
@pytest.mark.parametrize('gradient', [False, True], ids=['no gradient of X', 'gradient of X'])
@pytest.mark.parametrize('at_once', [False, True], ids=['a call for each', 'one call'])
@pytest.mark.parametrize('compute', SEVERAL.values(), ids=SEVERAL)
def test_a_loss_of_some_results(compute, at_once, gradient, optimize):
    """A loss computes gradients, and updates running statistics, only through the results that it
    uses, and leaves other gradients as they are. Each result is used in a call of its own, or one
    call gives all results, and one loss after another uses them."""
    def run(compiled):
        net, seen = SomeResults(compute), []
        if compiled:
            hybridize(net, optimize=optimize)
        mx.random.seed(1)

        def called():
            X = np.array([[1., -1.], [2, 2]])
            if gradient:
                X.attach_grad()
            found = net(X)
            return X, [found['a'], *found['b']] if isinstance(found, dict) else [*found]
        for p in net.collect_params().values():
            if p.grad_req != 'null':
                p.grad()[:] = 7             # as an earlier loss has left it
        count = len(called()[1])
        with autograd.record():
            X, results = called()
            losses = [Y.sum() * 2 for Y in results]
        for k in range(count):
            if not at_once and k:
                with autograd.record():
                    X, results = called()
                    losses = [Y.sum() * 2 for Y in results]
            try:
                losses[k].backward()
                npx.waitall()
            except mx.MXNetError as error:  # the result is not on the tape, or is no longer
                seen.append(type(error).__name__)
            seen += [a.asnumpy() for a in results]
            seen += [p.data().asnumpy() for p in net.collect_params().values()]
            seen += [p.grad().asnumpy() for p in net.collect_params().values()
                     if p.grad_req != 'null']
            seen += [X.grad.asnumpy()] if gradient else []
        return seen
    for a, b in zip(run(False), run(True)):
        # Eager mode fails if the loss before has freed a constant that several operators used; a
        # compiled net may go on
        if isinstance(a, str):
            break
        onp.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('optimize', [False, True], ids=['exact', 'optimized'])
@pytest.mark.parametrize('compute', [
    lambda self, X: (self.a(X + np.arange(2)),),
    lambda self, X: (self.a(X + np.arange(2)), self.b(X * np.arange(2)))], ids=['one', 'several'])
def test_arrays_that_a_call_makes_are_its_own(compute, optimize):
    """The backward pass of one call does not free those of another call."""
    def run(compiled):
        net, seen = SomeResults(compute), []
        if compiled:
            hybridize(net, optimize=optimize)
        net(np.ones((2, 2)))
        with autograd.record():
            losses = [Y.sum() for k in (1, 2) for Y in net(np.full((2, 2), k))]
        for loss in losses:
            loss.backward()
            seen += [p.grad().asnumpy() for p in net.collect_params().values()
                     if p.grad_req != 'null']
        return seen
    for a, b in zip(run(False), run(True)):
        onp.testing.assert_allclose(b, a, rtol=1e-6)


@pytest.mark.parametrize('optimize', [False, True], ids=['exact', 'optimized'])
@pytest.mark.parametrize('recorded', [False, True])
@pytest.mark.parametrize('forward', [
    lambda X: (np.tanh(X), np.random.uniform(size=(3,))),
    lambda X: (np.random.uniform(size=(3,)) * np.tanh(X), X, np.random.normal(0, 1, (3,))),
    lambda X: (npx.dropout(X, .5, mode='always'), np.random.uniform(0, 1, (3,)),
               npx.dropout(X * 2, .5, mode='always'))])
def test_numbers_that_nobody_uses_are_drawn_in_their_turn(forward, recorded, optimize):
    """Also where the part of a graph for one of several results has no inputs."""
    def function(X):
        np.random.normal(0, 1, (3,)), np.random.uniform(size=(2,))
        return forward(X)
    found = []
    for run in function, compile(function, optimize=optimize):
        X = np.ones(3)
        X.attach_grad()
        with autograd.record() if recorded else autograd.pause():
            run(X)                  # the first call traces
            mx.random.seed(3)
            found.append([*run(X), np.random.uniform(size=(4,))])
    for a, b in zip(*found):
        onp.testing.assert_allclose(b.asnumpy(), a.asnumpy(), rtol=1e-5)
