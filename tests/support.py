"""What several files of tests use: small nets, groups of processes, comparisons.

No file of tests imports from another one. d2l is imported inside of functions, since conftest.py
imports this module and should not import d2l.
"""
import gc
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import mxnet as mx
import numpy as onp
from mxnet import autograd, np, npx
from mxnet.gluon import nn
from mxnet.ndarray._internal import _imperative_invoke

import d2l_arm
import d2l_compat
import d2l_cuda
import d2l_finder
import d2l_standin
from d2l_group import messages

REPO = pathlib.Path(__file__).resolve().parents[1]
# names of the test properties that hold a test's rows of the report
REPORT_NETWORKS, REPORT_OUTPUTS = 'regression of a network', 'printed by a section'

# networks of Gluon-CV that are quick to build
FEW = ['gluoncv_resnet18_v1', 'gluoncv_simple_pose_resnet18_v1b', 'gluoncv_yolo3_mobilenet1.0_voc']


def alive(kind):
    """All objects of a class that exist. isinstance would raise an error at a weakref.proxy whose
    object is gone, and any library may have left one."""
    return [x for x in gc.get_objects() if issubclass(type(x), kind)]


# Site-packages folders for tests, with shared libraries built by a C compiler

CC = shutil.which('cc')


def compiled(path, source='', *options):
    """Compile C to a shared object whose SONAME is the file's name; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([CC, '-shared', '-fPIC', '-xc', '-', '-xnone', '-o', path,
                    f'-Wl,-soname,{path.name}', *map(str, options)],
                   input=source, text=True, check=True)
    return path


def add_hook(site):
    """Install the hook of d2l_finder, and what it imports, into a folder of packages."""
    (site / 'd2l_finder.pth').write_text(d2l_finder.HOOK + '\n')
    for module in d2l_arm, d2l_compat, d2l_cuda, d2l_finder, d2l_standin:
        shutil.copy(module.__file__, site)


def run_alone(python, site, code, env=None):
    """Run code in a Python that finds packages only in this folder, without d2l's repairs."""
    return python('-S', '-c', f'import site; site.addsitedir({str(site)!r})\n{code}',
                  env={'LD_LIBRARY_PATH': '', 'PYTHONPATH': '', 'D2L_PATCH': '0', **(env or {})},
                  cwd=site)


# Small nets

def randn(*shape, seed=0, ctx=None):
    return np.array(onp.random.RandomState(seed).randn(*shape).astype('float32'), ctx=ctx)


def ready(net, *inputs, **kwargs):
    """Initialize the net, and call it on the inputs, if any, so that all shapes are known."""
    mx.random.seed(3)
    net.initialize(mx.init.Normal(0.5), force_reinit=True, **kwargs)
    if inputs:
        with autograd.pause():
            net(*inputs)
    return net


def dense_net(*middle):
    net = nn.Sequential()
    net.add(nn.Dense(8, activation='relu'), *middle, nn.Dense(3))
    return net


def counted(monkeypatch):
    """A list that gets an item for each trace that succeeds."""
    from d2l.hybrid import block

    traces, traced = [], block.traced

    def count(*args):
        trace = traced(*args)
        traces.append(args)
        return trace
    monkeypatch.setattr(block, 'traced', count)
    return traces


class Plain(nn.Block):
    """A Block whose forward is function(self, *args); keyword arguments become its attributes."""

    def __init__(self, function, **attributes):
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *args):
        return self.function(self, *args)


class Residual(nn.Block):
    """The residual block of 7.6: convolutions, batch normalization, a Python branch."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.bn = nn.Conv2D(channels, 3, padding=1), nn.BatchNorm()
        self.skip = nn.Conv2D(channels, 1)

    def forward(self, X):
        Y = npx.relu(self.bn(self.conv(X)))
        return npx.relu(Y + self.skip(X) if self.skip else X)


class ScratchNorm(nn.Block):
    """The batch normalization of 7.5: its statistics are plain arrays, which forward replaces."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gamma = self.params.get('gamma', shape=(1, 8), init=mx.init.One())
        self.moving_mean = np.zeros((1, 8))

    def forward(self, X):
        if self.moving_mean.ctx != X.ctx:
            self.moving_mean = self.moving_mean.copyto(X.ctx)
        if not autograd.is_training():
            return (X - self.moving_mean) * self.gamma.data(X.ctx)
        mean = X.mean(axis=0, keepdims=True)
        self.moving_mean = 0.9 * self.moving_mean + 0.1 * mean
        return (X - mean) * self.gamma.data(X.ctx)


class Model(nn.Block):
    """The language model of 8.6: tokens, a fused layer with state, an output for each step."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.rnn, self.dense = layer, nn.Dense(5)

    def forward(self, inputs, state=None):
        X = npx.one_hot(inputs.T, 5)
        Y, state = self.rnn(X, state if state is not None else self.rnn.begin_state(
            batch_size=X.shape[1]))
        return self.dense(Y.reshape((-1, Y.shape[-1]))), state


def branch(self, X):
    while float(np.abs(X).sum()) > 1:
        X = X / 2
    return X


# Threads

def in_threads(*functions):
    """Run the functions at the same time, each in a thread; return their results, or raise an error
    that one of them raised."""
    results, barrier = [None] * len(functions), threading.Barrier(len(functions))

    def run(i, function):
        npx.set_np()
        barrier.wait()
        try:
            results[i] = function()
        except BaseException as error:
            results[i] = error
    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# Comparisons

CLOSE = 1e-5                        # relative to the largest value
TOLERANCE = 1e-6        # for float32 sums in another order; the weights are about 0.3


def agree(found, wanted):
    """Assert that shapes and dtypes are equal, finite values agree to within CLOSE, and inf and NaN
    are equal; return True."""
    from ci.networks import leaves

    wanted = [a.asnumpy() for a in leaves(wanted)]
    assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in wanted]
    for a, b in zip(found, wanted):
        a, b = a.astype('float64'), b.astype('float64')
        finite = onp.isfinite(b)
        onp.testing.assert_array_equal(a[~finite], b[~finite])
        assert abs(a[finite] - b[finite]).max(initial=0) <= CLOSE * abs(b[finite]).max(initial=0)
    return True


def older(op, *arrays, **attrs):
    """Call an operator of `mx.nd` on arrays of `mx.np`, as a Block written for both modules
    does."""
    from d2l.c_api import operator

    return _imperative_invoke(operator(op), arrays, [*attrs], [str(v) for v in attrs.values()],
                              None, True, False)


def parameters(path):
    return {name: array.asnumpy() for name, array in npx.load(str(path)).items()}


def assert_same(first, second, tolerance=0):
    assert first.keys() == second.keys()
    for name in first:
        onp.testing.assert_allclose(first[name], second[name], rtol=0, atol=tolerance)


# Groups of processes

LOOPBACK = '127.0.0.1'
GONE = 5.0              # seconds within which a group has to end after one of its processes died
SECRET = 'correct-horse-battery'
STEPS = '''\
import os, sys
from mxnet import np, npx
from mxnet.gluon import nn
from mxnet.ndarray._internal import _imperative_invoke
from d2l import distributed
npx.set_np()
net = nn.Dense(4, in_units=4)
net.initialize()
trainer = distributed.trainer(net, 'sgd')
from mxnet import autograd
step = 0
while True:
    with autograd.record():
        l = net(np.ones((2, 4))).sum()
    l.backward()
    trainer.step(4)
    npx.waitall()
    if step == 0:
        print('steps', os.getpid())
    step += 1
'''


def both_step(popen):
    """Read the group's output until both workers have made a step; return it."""
    lines = []
    while sum('steps' in line for line in lines) < 2:
        lines.append(popen.stdout.readline())
        assert lines[-1], ''.join(lines)
    return ''.join(lines)


def roles(worker, *extra, **env):
    """Start a scheduler, a server and two workers as a cluster's own scheduler would; return them.

    worker: its script and arguments. extra: arguments before --role. env: changes to the
    environment.
    """
    with socket.socket() as s:
        s.bind((LOOPBACK, 0))
        port = s.getsockname()[1]
    env = {**os.environ, 'DMLC_PS_ROOT_URI': LOOPBACK, 'DMLC_NUM_WORKER': '2',
           'DMLC_PS_ROOT_PORT': str(port), 'DMLC_NUM_SERVER': '1', 'DMLC_NODE_HOST': LOOPBACK,
           **env}
    key, found = messages.new_key(), []
    for what in ['scheduler'], ['server'], ['worker', *worker], ['worker', *worker]:
        found.append(subprocess.Popen(
            [sys.executable, '-m', 'd2l.launch', *extra, '--role', *what], cwd=REPO, env=env,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        found[-1].stdin.write(key + '\n')
        found[-1].stdin.flush()
    return found


def said_by(group):
    """Wait until all processes of a group of `roles` have ended; return the output of each."""
    try:
        return [popen.communicate(timeout=120)[0] for popen in group]
    finally:
        for popen in group:
            popen.kill()
            popen.wait()


def in_form(form, net, X, folder):
    """A net in one of the forms: eager, compiled, by Gluon's hybridize, or exported and loaded."""
    import d2l

    if form == "Gluon's":
        net.hybridize()
    elif form == 'compiled':
        d2l.hybridize(net)
    elif form == 'exported':
        d2l.export(net, str(folder / 'net'), X)
        return d2l.load_exported(str(folder / 'net'))
    return net
