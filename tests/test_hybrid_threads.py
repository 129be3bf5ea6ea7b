"""Several threads call one compiled net."""
import gc
import threading
import weakref

import mxnet as mx
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import nn

from d2l.hybrid import compile, hybridize, program
from tests.support import in_threads, randn

npx.set_np()
INPUTS = [randn(4, 6, seed=seed) for seed in range(8)]


class Scaled(nn.Block):
    """A Block around another, with constants, which each call puts on its thread's tape."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, X):
        return self.inner(X * np.arange(1, 7)) * np.array([0.5, 1.0, 2.0])


def make_net(*middle):
    net = nn.Sequential()
    net.add(nn.Dense(8, activation='relu'), *middle, nn.Dense(3))
    mx.random.seed(1)
    net.initialize(mx.init.Normal(0.5))
    with autograd.pause():
        net(INPUTS[0])
    return net


@pytest.fixture
def load():
    """A thread that keeps Python busy, so that the other threads are interrupted at any place."""
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            sum(range(100))
    thread = threading.Thread(target=spin)
    thread.start()
    yield
    stop.set()
    thread.join()


def predict(net, X):
    return net(X).asnumpy()


def train(net, X):
    X = X.copy()
    X.attach_grad()
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    return X.grad.asnumpy()


TRAIN_ONE_NET = """
import sys, threading
import d2l
from mxnet import autograd, np, npx
from mxnet.gluon import nn
from tests.support import in_threads
npx.set_np()
net = nn.HybridSequential()
for _ in range(12):
    net.add(nn.Dense(4, in_units=4))
net.initialize()
exec(sys.argv[1])
net(np.ones((2, 4)))                # Gluon's own tracing is for one thread

def train():
    for _ in range(500):
        X = np.ones((2, 4))
        X.attach_grad()
        with autograd.record():
            l = net(X).sum()
        l.backward()
        X.grad.asnumpy()
in_threads(train, train, train)
print('trained')
"""


COMPILED = """
net.add(nn.BatchNorm(in_channels=4), nn.BatchNorm(in_channels=4))
net.initialize()
net[0].collect_params().setattr('grad_req', 'null')
d2l.hybridize(net)
"""


# the others have no running statistics: with them, MXNet's own tape raises errors
@pytest.mark.parametrize('how', ['pass', COMPILED, 'net.hybridize(static_alloc=True)'],
                         ids=['eager', 'compiled', 'stock'])
def test_threads_that_train_one_net_do_not_deadlock(how, python):
    """After about 1,000 steps, two operators in MXNet's engine waited for each other."""
    done = python('-c', TRAIN_ONE_NET, how, timeout=240)
    assert done.stdout == 'trained\n', done.stderr


@pytest.mark.parametrize('call', [predict, train])
def test_no_thread_gets_the_values_of_another(call, load):
    """MXNet frees the memory of a call a moment too early: 1 in 30,000 calls was wrong, too few for
    this test to fail each time. test_each_thread_has_memory_of_its_own tests the cause."""
    net = Scaled(make_net())
    expected = [call(net, X) for X in INPUTS]
    hybridize(net)

    def work(i):
        wrong = 0
        for n in range(400):
            j = (7 * n + 3 * i) % len(INPUTS)
            wrong += not (call(net, INPUTS[j]) == expected[j]).all()
        return wrong
    assert in_threads(*[lambda i=i: work(i) for i in range(3)]) == [0, 0, 0]


@pytest.fixture
def made(monkeypatch):
    """Two lists: (thread, id, weak reference) of each CachedOp made, (thread, id) of each
    called."""
    makes, calls = [], []

    class Watched(program.CachedOp):
        def __init__(self, *args):
            super().__init__(*args)
            makes.append((threading.get_ident(), id(self), weakref.ref(self)))

        def __call__(self, *args):
            calls.append((threading.get_ident(), id(self)))
            return super().__call__(*args)
    monkeypatch.setattr(program, 'CachedOp', Watched)
    return makes, calls


def test_each_thread_has_memory_of_its_own(made):
    makes, calls = made
    net, barrier = hybridize(make_net()), threading.Barrier(3)

    def work():
        for X in INPUTS:
            predict(net, X)
        barrier.wait()  # no thread ends before all are here, so that their idents differ
        return threading.get_ident()
    idents = in_threads(work, work, work)
    assert sorted(ident for ident, *_ in makes) == sorted(idents)
    assert set(calls) == {(ident, op) for ident, op, _ in makes}


def test_a_thread_that_ends_leaves_nothing(made):
    makes, _ = made
    net = hybridize(make_net())
    predict(net, INPUTS[0])
    for _ in range(3):
        in_threads(lambda: predict(net, INPUTS[0]))
    gc.collect()
    assert [reference() is not None for *_, reference in makes] == [True, False, False, False]


def test_random_numbers_of_a_thread():
    """Each thread has a random generator of its own in MXNet, with a seed of its own."""
    def forward(X):
        return npx.dropout(X, 0.5) + np.random.normal(X, 1.0)
    fast = compile(forward)

    def work(function, seed):
        mx.random.seed(seed)
        found = []
        for X in INPUTS:
            with autograd.record():
                found.append(function(X).asnumpy())
        return found
    work(fast, 0)                   # this thread makes the program
    eager, compiled = [in_threads(*[lambda f=f, i=i: work(f, i) for i in range(3)])
                       for f in (forward, fast)]
    for wanted, found in zip(eager, compiled):
        assert all((a == b).all() for a, b in zip(wanted, found))
    assert all((a == b).all() for a, b in zip(eager[1], work(fast, 1)))


def test_results_reach_other_threads():
    """Also results of threads that have ended."""
    net = make_net(nn.Dense(8))
    expected = [predict(net, X) for X in INPUTS]
    hybridize(net)
    for found, wanted in zip(in_threads(*[lambda X=X: net(X) for X in INPUTS]), expected):
        assert (found.asnumpy() == wanted).all()
