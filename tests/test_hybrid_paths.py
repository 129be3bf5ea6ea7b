"""d2l.hybrid where forward asks for values: compiled and eager nets agree to the last bit."""
import copy
import pickle
import textwrap
import warnings

import mxnet as mx
import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn, rnn

import d2l
from d2l.hybrid import TraceError, block, compile, hybridize
from d2l.hybrid import trace as tracing
from tests.support import counted, in_threads

npx.set_np()
MODES = {'predict': None, 'recorded': False, 'train': True}


def randn(*shape, seed=0, scale=1.0, ctx=None):
    values = onp.random.RandomState(seed).randn(*shape) * scale
    return np.array(values.astype('float32'), ctx=ctx)


INPUTS = [randn(4, 3, seed=i, scale=scale)
          for i, scale in enumerate((1, 0.1, 10, 3, 0.1, 1, 30, 3))]


class Net(nn.Block):
    """A Block around a function of itself and its arguments, which may use its layers and state."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.layer, self.norm = nn.Dense(3, in_units=3), nn.BatchNorm(in_channels=3)
        self.dropout = nn.Dropout(0.5)
        self.w = self.params.get('w', shape=(3, 3))
        self.k, self.h, self.seen = 2.0, np.zeros(3), [np.ones(3)]

    def forward(self, *args):
        return self.function(self, *args)


def ready(function, ctx=None):
    net = Net(function)
    mx.random.seed(1)
    net.initialize(mx.init.Normal(0.5), ctx=ctx)
    for param in net.collect_params().values():
        param.data(ctx and ctx[0])      # the first use decides on oneDNN's memory layout
    return net


def flat(value):
    if isinstance(value, mx.nd.NDArray):
        return [value.asnumpy()]
    return [v for part in value for v in flat(part)] if isinstance(value,
                                                                   (list, tuple)) else [value]


def calls(net, inputs, mode, between=lambda net, i: None):
    """Call net on each of the inputs; return all results, gradients, statistics and states."""
    mx.random.seed(7)
    found, params = [], [p for p in net.collect_params().values()]
    for i, args in enumerate(inputs):
        args = [a.copy() for a in (args if isinstance(args, tuple) else (args,))]
        between(net, i)
        if mode is None:
            found.append(flat(net(*args)))
        else:
            # a call leaves gradients of Parameters that it does not use as they were
            for p in params:
                if p.grad_req != 'null':
                    p.grad()[:] = 0
            for a in args:
                if a.dtype == onp.float32:
                    a.attach_grad()
            with autograd.record(train_mode=mode):
                result = net(*args)
                loss = sum((r ** 2).sum()
                           for r in (result if isinstance(result, tuple) else [result])
                           if isinstance(r, np.ndarray) and r.dtype == onp.float32)
            loss.backward()
            found.append(flat(result))
            found.append([a.grad.asnumpy() for a in args if a.dtype == onp.float32])
            found.append([p.grad().asnumpy() for p in params if p.grad_req != 'null'])
        found.append([p.data().asnumpy() for p in params] + flat([net.h, net.seen]))
    return found + [[np.random.uniform(size=3).asnumpy()]]


def assert_same(a, b):
    for eager, compiled in zip(a, b):
        assert len(eager) == len(compiled)
        for x, y in zip(eager, compiled):
            assert type(x) is type(y)
            if isinstance(x, onp.ndarray):
                assert x.dtype == y.dtype
                onp.testing.assert_array_equal(y, x)
            else:
                assert x == y
    assert len(a) == len(b)


def roots(net):
    return [p for found in net.forward.__self__._programs.values() for p in found]


def paths(net):
    return sum(root.paths for root in roots(net))


# ------------------------------------------------------------------ what people write

def halving(self, X):
    while np.abs(X).sum() > 1:
        X = X / 2
    if np.abs(X).sum() < 0.8:
        X = X * 10
    return self.layer(X)


def nested(self, X):
    Y = self.layer(X)
    if Y.sum() > 0:
        if Y[0, 0] > Y[1, 1]:
            return np.tanh(Y) * X
        Y = np.dot(Y, self.w.data())
    elif (Y > 1).any():
        Y = Y * Y
    return Y + X


def early_exit(self, X):
    for i in range(5):
        X = np.tanh(self.layer(X)) + X
        if np.abs(X).max() > 4:
            return X, i
    return X, None


def about_a_draw(self, X):
    """Stochastic depth, as people write it, and a loop of unknown length."""
    for _ in range(2):
        if np.random.uniform() > 0.5:
            X = X + np.tanh(self.layer(X)) * np.random.normal(1.0, 0.1, X.shape)
    while np.random.uniform() > 0.5:
        X = self.dropout(X) * 1.5
    return X


def about_a_parameter(self, X):
    if self.w.data().sum() > 0:
        return np.dot(X, self.w.data())
    return X * np.exp(self.w.data()[0])


def experts(self, X):
    """Routing by the largest of some scores."""
    chosen = int(np.argmax(np.dot(X, self.w.data()).sum(axis=0)))
    return [self.layer, np.tanh, lambda X: X * self.h][chosen](X)


def statistics(self, X):
    Y = self.norm(X)
    if np.abs(X).max() > 1:
        Y = self.norm(Y * 2)
    if self.dropout(Y).sum() > 0:
        Y = self.norm(Y)
    return Y


def shared(self, X):
    """Arrays and Parameters that many programs of a path use."""
    Y, Z = self.layer(X), self.layer(X * 2)
    outs = [Y]
    for i in range(3):
        if (Y > i).any():
            Y = self.layer(Y) + self.layer(Z) * X
            outs.append(Y)
        Z = np.dot(Z, self.w.data()) + np.dot(X, self.w.data())
    return sum(outs) * Z + Y * X


def zero_norm(self, X):
    """The branch that is not taken has no gradient; here it would be NaN."""
    X = X * (X[0, 0] > 0)
    norm = np.sqrt((X ** 2).sum())
    logs = np.log(X)        # noqa: F841 (nobody needs it, and it is NaN in places)
    if norm > 0:
        return X / norm
    return X + self.layer(X)


def with_state(self, X):
    if np.abs(X).max() > 1:
        self.h = self.h * 0.9 + X.mean(axis=0).detach()
    self.seen.append(X[0].detach())
    if self.h.sum() > 0:
        del self.seen[1:]
    del self.seen[3:]
    return X + self.h + sum(self.seen)


def in_place(self, X):
    Y = np.zeros_like(X)
    Y[0] = X[0] * 2
    if Y.sum() > 0:
        Y[1] = X[1]
        Y *= 3
    self.h[:] = Y[1].detach()
    if self.h.sum() > 0:
        Y[2:] = self.layer(Y)[2:]
    return Y


def same_question(self, X):
    flag = X.sum() > 0
    if flag:
        X = X + 1
    if flag:
        X = X * 2
    if X.sum():
        X = self.layer(X)
    return X, flag, bool(flag), [X, X]


def answers(self, X):
    """The results depend on the values themselves, not only on the branch that they choose."""
    n = int(np.abs(X).max())
    i = np.argmax(X[0]).item()
    return X * n, X[i], n, X[:, :i + 1]


def nothing_between(self, X):
    if X.sum() > 0 and X.max() > 2 and not X.min() > 1:
        return X
    return self.h + 1


def by_mode(self, X):
    if X.sum() > 0 and autograd.is_training():
        X = self.dropout(X)
    return self.layer(X) if X.max() > 1 else X * 2


def inside(self, X):
    """A child Block of the user's asks, before and after one of Gluon's layers."""
    class Child(nn.Block):
        def forward(self, X):
            return X * 2 if X.sum() > 0 else -X
    return self.layer(Child()(X)) + Child()(self.layer(X))


def legacy(self, X):
    Y = X.as_nd_ndarray()
    if mx.nd.sum(Y) > 0:
        return (Y * 2).as_np_ndarray()
    return X


def written_before(self, X):
    """Write a value that is on the tape into one array, and one that is not into another."""
    self.h[:] = 0.9 * self.h + X.mean(axis=0)
    self.seen[0][:] = 0.5 * self.seen[0] + X[0].detach()
    if X.sum() > 0:
        return self.layer(X) * self.h, self.seen[0]
    return X - self.h, X * self.seen[0]


def written_by_no_input(self, X):
    self.h += 1
    Y = self.layer(X)
    if Y.sum() > 0:
        Y = Y * 2
    return Y * self.h


def written_and_returned(self, X):
    self.h[:] = X.mean(axis=0)
    Y = self.layer(X) * self.h
    if Y.sum() > 0:
        Y = Y * self.h
    return Y, self.h


def written_in_a_child(self, X):
    class Child(nn.Block):
        def forward(self, X, h):
            h[:] = 0.5 * h + X[0]
            return X * h if X.sum() > 0 else X - h
    Y = Child()(self.layer(X), self.h)
    return Y * 3 if Y.sum() > 0 else Y + self.h


def met_between(self, X):
    """On its way back from the loss, MXNet visits tanh between the sum and the product."""
    Y, Z = X * 1, np.tanh(X)
    Y = Y + X
    Y = Y * self.norm(Z)
    if X.sum() > 0:
        return Y * Z
    return self.norm(Y) * Z + X


def beside_a_constant(self, X):
    """On that way it visits the product of a constant before what was computed from the product."""
    Y, Z = X * 1, np.tanh(X)
    Y = np.dot(np.dot(Y, self.w.data()), self.w.data())
    Z = Y * Z if X.sum() > 0 else (Y * 3).detach().copy()
    Y, Z = Z, Y + X
    return np.dot(Y, self.w.data()) + Z


def used_and_summed(self, X):
    Y = self.layer(X) + np.tanh(X)
    Y = Y * (Y.sum() > 0) + Y * Y.mean()
    Y = X * (X.sum() > 0) + Y
    if X.max() > 2:
        Y = Y * X.mean() + X
    return Y + X * Y.max() + np.dot(X, self.w.data())


FORWARDS = (halving, nested, early_exit, about_a_draw, about_a_parameter, experts, statistics,
            shared,
            zero_norm, with_state, in_place, same_question, answers, nothing_between, by_mode,
            inside,
            legacy, written_before, written_by_no_input, written_and_returned, written_in_a_child,
            met_between, beside_a_constant, used_and_summed)
EAGER = {in_place: 'eager MXNet records no writes',
         nothing_between: 'of one result, eager MXNet has no gradient'}


def change(net, i):
    """A Parameter is updated now and then."""
    if i % 3 == 2:
        net.w.set_data(-net.w.data())


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('function', FORWARDS, ids=lambda f: f.__name__)
def test_as_people_write_it(function, mode):
    """Results, gradients, statistics, draws and Python's state agree in each mode."""
    if function in EAGER and mode != 'predict':
        pytest.skip(EAGER[function])
    net, inputs = hybridize(ready(function)), [*INPUTS, *INPUTS[:3]]
    assert_same(calls(ready(function), inputs, MODES[mode], change),
                calls(net, inputs, MODES[mode], change))
    assert isinstance(net.forward.__self__, block.CompiledBlock)        # it is still compiled
    assert len(roots(net)) == 1 and 1 < paths(net) <= 16


def test_modes_take_turns_on_one_net():
    """As in training, where a net is evaluated in between."""
    eager, net = ready(statistics), hybridize(ready(statistics))
    for mode in ['train', 'predict', 'recorded'] * 2:
        assert_same(calls(eager, INPUTS, MODES[mode], change),
                    calls(net, INPUTS, MODES[mode], change))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('function, optimize',
                         [(halving, True), (nested, True), (shared, 'unchecked'),
                          (statistics, True), (about_a_draw, 'unchecked')],
                         ids=lambda value: getattr(value, '__name__', str(value)))
def test_each_program_of_a_path_is_optimized(function, optimize, mode):
    inputs = [0.1 * X for X in INPUTS[:4]]
    eager, fast = [calls(net, inputs, MODES[mode]) for net in (
        ready(function), hybridize(ready(function), optimize=optimize))]
    for one, other in zip(eager, fast):
        for x, y in zip(one, other):
            onp.testing.assert_allclose(y, x, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('mode', MODES)
def test_an_integer_input_says_how_long(mode):
    """forward asks for its value, and each value has a path of its own."""
    def forward(self, X, length):
        for i in range(int(length)):
            X = np.tanh(self.layer(X)) + X
        return X[:int(length)] if length > 2 else X
    inputs = [(X, np.array(n, dtype='int32')) for X, n in zip(INPUTS, (2, 0, 3, 2, 4, 0, 1, 3))]
    net = hybridize(ready(forward))
    assert_same(calls(ready(forward), inputs, MODES[mode]), calls(net, inputs, MODES[mode]))
    assert paths(net) == 5


@pytest.mark.parametrize('mode', MODES)
def test_recurrent_layers(mode):
    """Recurrent layers in a decoder whose outputs decide when its loop stops."""
    def build(function):
        net = ready(function)
        net.lstm, net.out = rnn.LSTM(3, input_size=3), nn.Dense(3, in_units=3)
        mx.random.seed(2)
        net.lstm.initialize(mx.init.Normal(0.7))
        net.out.initialize(mx.init.Normal(0.7))
        net.lstm(np.zeros((1, 4, 3)))
        return net

    def forward(self, X):
        state, found = self.lstm.begin_state(batch_size=4), []
        for _ in range(4):
            Y, state = self.lstm(np.expand_dims(X, 0), state)
            X = self.out(Y[0]) + X
            found.append(X)
            if np.argmax(X.sum(axis=0)).item() == 0:
                break
        return np.stack(found).sum(axis=0)
    net = hybridize(build(forward))
    assert_same(calls(build(forward), INPUTS, MODES[mode]), calls(net, INPUTS, MODES[mode]))
    assert paths(net) > 1


def test_a_trainer_as_in_eager_mode():
    """Six steps of Adam, in which the net takes several paths."""
    found = []
    for net in ready(shared), hybridize(ready(shared)):
        trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.1})
        for X in INPUTS[:6]:
            with autograd.record():
                loss = (net(X) ** 2).sum()
            loss.backward()
            trainer.step(4, ignore_stale_grad=True)
        found.append([p.data().asnumpy() for p in net.collect_params().values()])
    assert_same([found[0]], [found[1]])


def test_gradients_may_be_added():
    found = []
    for net in ready(shared), hybridize(ready(shared)):
        for param in (net.w, net.layer.weight, net.layer.bias):
            param.grad_req = 'add'
        found.append(calls(net, INPUTS[:4], True))
    assert_same(*found)


def test_a_parameter_used_by_several_programs_in_some_calls():
    """Its gradient is written into its own array, or into a temporary one where several programs
    use the Parameter. static_shape would confuse the two."""
    def forward(self, X):
        X = np.dot(X, self.w.data())
        return np.dot(X, self.w.data()) if X.sum() > 0 else X
    inputs = [X if (np.dot(X, ready(forward).w.data()).sum() > 0) == (i % 3 < 2) else -X
              for i, X in enumerate(INPUTS * 2)]
    assert_same(calls(ready(forward), inputs, True), calls(hybridize(ready(forward)), inputs, True))


def test_several_contexts():
    def forward(self, X):
        X = np.dot(X, self.w.data(X.ctx))
        while np.abs(X).max() > 1:
            X = np.dot(np.tanh(self.layer(X)), self.w.data(X.ctx)) / 2
        return self.layer(X)
    ctxs, found = [npx.cpu(0), npx.cpu(1)], []
    for net in ready(forward, ctxs), hybridize(ready(forward, ctxs)):
        found.append([])
        for X in INPUTS[:5]:
            losses = []
            with autograd.record():
                for ctx in ctxs:
                    losses.append((net(X.copy().as_in_ctx(ctx)) ** 2).sum())
            for loss in losses:
                loss.backward()
            found[-1].append([p.grad(ctx).asnumpy()
                              for p in (net.w, net.layer.weight, net.layer.bias)
                              for ctx in ctxs])
    assert_same(*found)


def test_threads():
    net = ready(nested)
    expected = [net(X).asnumpy() for X in INPUTS]
    hybridize(net)

    def work():
        return [net(X).asnumpy() for _ in range(10) for X in INPUTS]
    for found in in_threads(work, work, work):
        for i, result in enumerate(found):
            assert (result == expected[i % len(INPUTS)]).all()


# ------------------------------------------------------------------ traces and programs

def test_an_unseen_answer_is_traced_and_shares_what_was_before(monkeypatch):
    traces, net = counted(monkeypatch), hybridize(ready(halving))
    X = INPUTS[0]
    net(X)
    first, = roots(net)
    parts = first._parts
    count = len(traces)
    for _ in range(3):
        net(X)
    # one trace for all questions of a path, where nothing is drawn
    assert len(traces) == count == 1
    net(X * 100)
    net(X * 1e-3)
    assert len(traces) == 3 and roots(net) == [first] and first._parts is parts and first.paths == 3


def test_nothing_is_computed_twice():
    """The numbers drawn before a question are those that are used after it."""
    def forward(self, X):
        noise = np.random.normal(size=X.shape)
        if noise.sum() > 0:
            return X + noise, noise
        return X - noise, noise
    net = hybridize(ready(forward))
    for _ in range(6):
        result, noise = net(INPUTS[0])
        sign = 1 if noise.sum() > 0 else -1
        assert (result.asnumpy() == (INPUTS[0] + sign * noise).asnumpy()).all()


def test_a_net_that_asks_nothing_has_one_program():
    net = hybridize(ready(lambda self, X: self.layer(X)))
    for record in (autograd.pause, autograd.record):
        with record():
            net(INPUTS[0])
    root, = roots(net)
    assert root.question is None and root.recorded is None and root._only is not None


def test_more_than_32_paths():
    """With more, the net runs eagerly, and a warning shows the line."""
    def forward(self, X, n):
        for _ in range(int(n)):
            X = X + 1
        return X
    net = hybridize(ready(forward))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for n in range(32):
            expected = forward(net, INPUTS[0], n).asnumpy()
            assert (net(INPUTS[0], np.array(n)).asnumpy() == expected).all()
        net(INPUTS[0], np.array(5))
    with pytest.warns(UserWarning, match=r'(?s)Net runs eagerly from now on: it took more than 32 '
                      r'paths.*test_hybrid_paths.py.*for _ in range\(int\(n\)\)'):
        found = net(INPUTS[0], np.array(40))
    assert (found.asnumpy() == forward(net, INPUTS[0], 40).asnumpy()).all()
    assert 'forward' not in vars(net)
    fast = compile(forward)
    with pytest.warns(UserWarning, match='forward runs eagerly from now on'):
        for n in range(40):
            fast(net, INPUTS[0], np.array(n))


def test_too_many_questions(monkeypatch):
    monkeypatch.setattr(tracing, 'MAX_QUESTIONS', 5)
    net = hybridize(ready(halving))
    net(INPUTS[1])
    with pytest.warns(UserWarning,
                      match=r'(?s)runs eagerly from now on: a call asks for more than 5 '
                      'values.*while np.abs'):
        found = net(INPUTS[2] * 1000)
    assert (found.asnumpy() == ready(halving)(INPUTS[2] * 1000).asnumpy()).all()
    assert 'forward' not in vars(net)


def test_state_that_one_path_reads_is_guarded():
    def forward(self, X):
        return X * self.k if X.sum() > 0 else X - len(self.seen)
    net, eager = hybridize(ready(forward)), ready(forward)
    for k in (2.0, 3.0, 2.0):
        net.k = eager.k = k
        eager.seen, net.seen = [[*range(int(k))] for _ in range(2)]
        for X in INPUTS:
            assert (net(X).asnumpy() == eager(X).asnumpy()).all()
    assert len(roots(net)) == 1 and paths(net) == 4


@pytest.mark.parametrize('again',
                         [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies(again):
    net = hybridize(ready(nested))
    for X in INPUTS:
        net(X)
    other = again(net)
    assert_same(calls(ready(nested), INPUTS, None), calls(other, INPUTS, None))
    assert roots(other) != roots(net)


def test_other_shapes_are_other_programs():
    net, eager = hybridize(ready(nested)), ready(nested)
    for rows in (4, 2, 4, 7):
        for X in INPUTS:
            X = np.concatenate([X, X])[:rows]
            assert (net(X).asnumpy() == eager(X).asnumpy()).all()
    assert len(net.forward.__self__._programs) == 3


def test_active_false_and_again():
    net, eager = hybridize(ready(nested)), ready(nested)
    for active in (True, False, True):
        hybridize(net, active)
        assert_same(calls(eager, INPUTS, True), calls(net, INPUTS, True))


def test_a_child_that_is_compiled_is_part_of_the_path():
    def forward(self, X):
        return self.inner(X) * 2 if X.sum() > 0 else self.inner(-X)
    nets = []
    for compiled in (False, True):
        net = ready(forward)
        net.inner = ready(nested)
        if compiled:
            hybridize(net.inner)
            hybridize(net)
        nets.append(calls(net, INPUTS, True))
    assert_same(*nets)


# ------------------------------------------------------------------ what goes wrong

def test_a_path_that_cannot_be_compiled():
    """If a call takes the path that cannot be compiled, the error shows the line."""
    def forward(self, X):
        X = self.norm(X)
        if self.dropout(X).max() > 0.5:
            return X
        return X * float(X.sum())
    net = hybridize(ready(forward))
    mean = net.norm.running_mean.data().asnumpy()
    X = INPUTS[0]
    with pytest.raises(TraceError, match='asks for the value') as caught, autograd.record():
        net(X * 1e-9)
    assert 'float(X.sum())' in str(caught.value)
    assert (net.norm.running_mean.data().asnumpy() == mean).all()       # as before the call
    assert 'forward' not in vars(net)


def test_fallback_after_a_question():
    """What ran before the question is undone, so that statistics are updated once."""
    def forward(self, X):
        Y = self.norm(X)
        if self.dropout(Y).sum() > 1e9:
            return Y
        return Y * float(np.abs(Y).max())
    net, eager = hybridize(ready(forward), fallback=True), ready(forward)
    with pytest.warns(UserWarning, match='(?s)Net runs eagerly: .*float'), autograd.record():
        net(INPUTS[0])
    with autograd.record():
        eager(INPUTS[0])
    assert (net.norm.running_mean.data().asnumpy()
            == eager.norm.running_mean.data().asnumpy()).all()


@pytest.mark.parametrize('draws', [False, True])
def test_an_exception_of_one_path(draws):
    def forward(self, X):
        X = self.norm(X)
        if draws and np.random.uniform() < -1 or X.max() > 2:
            self.seen.append('before')
            raise ArithmeticError('on purpose')
        return X
    nets = [hybridize(ready(forward)), ready(forward)]
    for net in nets:
        for _ in range(2):
            assert (net(INPUTS[1]).asnumpy() == nets[1](INPUTS[1]).asnumpy()).all()
            with pytest.raises(ArithmeticError, match='on purpose'):
                net(INPUTS[6])
    assert nets[0].seen[1:] == ['before'] * 2
    assert 'forward' in vars(nets[0])


def test_no_integer_of_infinity():
    def forward(self, X):
        try:
            return X * int(X.max())
        except (OverflowError, ValueError):
            return X - 1
    net = hybridize(ready(forward))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for X in (INPUTS[0], INPUTS[0] * onp.inf, INPUTS[2]):
            onp.testing.assert_array_equal(net(X).asnumpy(), forward(net, X).asnumpy())


def test_mxnets_own_errors():
    def forward(self, X):
        return X if X > 0 else -X
    net = hybridize(ready(forward))
    with pytest.raises(ValueError, match='ambiguous'):
        net(INPUTS[0])


def test_a_catch_of_everything():
    """A bare except of the user must not catch the end of a trace at a question."""
    def forward(self, X):
        X = self.dropout(X)
        try:
            if X.sum() > 0:
                X = X + 1
        except:     # noqa: E722
            X = X * 100
        finally:
            X = X * 2
        return X
    assert_same(calls(ready(forward), INPUTS, True), calls(hybridize(ready(forward)), INPUTS, True))


def test_uninitialized_layers_of_one_path():
    def build():
        def forward(self, X):
            return self.late(X) if X.sum() > 0 else X
        net = ready(forward)
        net.late = nn.Dense(2)
        net.late.initialize(mx.init.Normal(0.5))
        return net
    net = hybridize(build())
    assert_same(calls(build(), INPUTS, None), calls(net, INPUTS, None))
    assert paths(net) == 2


@pytest.mark.parametrize('export', [d2l.export, d2l.export_onnx,
                                    lambda net, path, X: compile(net, X, runtime='onnx')])
def test_a_net_that_asks_for_values_cannot_be_exported(export, tmp_path):
    net = ready(nested)
    with pytest.raises(TraceError, match='(?s)asks for a value.*if Y.sum') as caught:
        export(net, str(tmp_path / 'net'), INPUTS[0])
    assert caught.value.filename == __file__ and list(tmp_path.iterdir()) == []
    assert (net(INPUTS[0]).asnumpy() == ready(nested)(INPUTS[0]).asnumpy()).all()


def test_compile_with_arguments_traces_a_first_path():
    fast = compile(halving_function, INPUTS[0])
    for X in INPUTS:
        assert (fast(X).asnumpy() == halving_function(X).asnumpy()).all()


def halving_function(X):
    while np.abs(X).sum() > 1:
        X = X / 2
    return X


# ------------------------------------------------------------------ random programs

SIMPLE = [
    'Y = Y * self.k', 'Y = np.tanh(Y)', 'Y = self.layer(Y)',
    'Y = self.layer(Y) + self.layer(Y * 2)',
    'Y = self.dropout(Y)', 'Y = self.norm(Y)', 'Y = Y * np.random.uniform(size=(3,))', 'Z = Y * 2',
    'Y = Y + Z', 'Y = Y * Z', 'Z = Y', 'Y = Y + X * Z', 'Y = Y * Y', 'Y = Y[::-1]',
    'outs.append(Y)',
    'Y = np.dot(Y, self.w.data()) + Y', 'Z = Z + np.dot(Z, self.w.data())', 'Y = Y + sum(outs)',
    'self.h = self.h * 0.5 + Y[0].detach()', 'Y = Y + self.h', 'self.seen.append(Y[1].detach())',
    'del self.seen[1:]', 'Y = Y + sum(self.seen)', 'Y = np.abs(Y) + np.sqrt(np.abs(Z))',
    'Y = Y - Z.mean()', 'self.flag = True', 'self.flag = None', 'Y = np.random.normal(Y, 0.1)',
    'n = np.abs(Y).max()', 'Y = Y / n']
ASKS = [
    'Y.sum() > 0', 'Y[0, 0] > Y[1, 1]', 'Z.mean() < 0.3', 'np.random.uniform() > 0.5', 'n',
    'k == 1',
    'self.w.data().sum() > 0', 'self.flag', 'n > 1', 'X.sum() > 0', '(Y > 0).any()', 'k',
    'int(np.abs(Y).max()) > 1', 'self.h.sum() > 1', 'autograd.is_training()',
    'self.dropout(np.ones(2)).sum() > 1']


def blocks(inner):
    def indented(head):
        return lambda lines: [head, *['    ' + line for line in lines]]
    body = st.lists(inner, min_size=1, max_size=3).map(lambda parts: sum(parts, []))
    heads = st.sampled_from([f'if {asks}:' for asks in ASKS] + ['for _ in range(int(k)):'])
    both = st.tuples(st.sampled_from(ASKS), body, body).map(
        lambda t: indented(f'if {t[0]}:')(t[1]) + indented('else:')(t[2]))
    loop = body.map(lambda lines: indented('for _ in range(3):')(
        ['if np.abs(Y).max() < 2:', '    break', *lines, 'Y = np.tanh(Y * 0.3)']))
    return st.one_of(both, loop, st.tuples(heads, body).map(lambda t: indented(t[0])(t[1])),
                     st.sampled_from(ASKS).map(lambda asks: [f'if {asks}:', '    return Y + Z']))


PROGRAMS = st.lists(st.recursive(st.sampled_from(SIMPLE).map(lambda line: [line]), blocks,
                                 max_leaves=6), min_size=2,
                                 max_size=6).map(lambda parts: sum(parts, []))


@settings(max_examples=25, derandomize=True, deadline=None)
@given(PROGRAMS, st.sampled_from([*MODES]))
def test_random_programs(lines, mode):
    scope = {'np': np, 'autograd': autograd}
    source = 'def forward(self, X, k):\n' + textwrap.indent('\n'.join(
        ['Y, Z, outs, n = X * 1, X * 1, [], X.max()', *lines, 'return Y + Z']), '    ')
    exec(source, scope)
    inputs = [(X, np.array(k, dtype='int32')) for X, k in zip(INPUTS[:6], (0, 1, 2, 1, 0, 2))]
    found = []
    for prepare in (lambda net: net, hybridize):
        net = ready(scope['forward'])
        net.flag = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                found.append(calls(prepare(net), inputs, MODES[mode]))
        except mx.MXNetError:       # eager MXNet: a tape that was freed
            assert not found
            return
    assert_same(*found)




class Unused(nn.Block):
    """A net that draws numbers after a question, which nothing uses."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, X):
        if X.max() > 0:
            X = X + 1
        self.dropout(X)
        self.dropout(np.ones(3))
        return X * 2


def test_an_unused_draw_after_a_question():
    found = []
    for net in Unused(), hybridize(Unused()):
        mx.random.seed(1)
        for sign in 1, -1, 1:
            with autograd.record():
                Y = net(sign * np.ones((2, 3)))
            found.append((Y.asnumpy(), np.random.uniform().item()))
    for (a, drawn), (b, drawn_too) in zip(found[:3], found[3:]):
        assert (a == b).all() and drawn == drawn_too
