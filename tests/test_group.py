"""d2l_group: strangers cannot join a group or forge messages, and groups that hang are ended."""
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import mxnet
import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, init, np, npx
from mxnet.gluon import nn

from d2l import distributed
from d2l_group import member, messages, scheduler, server
from tests.support import LOOPBACK, roles, said_by

KEY, OTHER = bytes(range(32)), bytes(32)
LIMIT = 2               # seconds: --limit of the groups that hang in these tests
SOON = 30               # seconds within which such a group ends, also on a busy machine
STRANGERS = 400         # connections that the attack on a training group makes


# Messages

@contextlib.contextmanager
def pair(first_key=KEY, second_key=KEY, between=None):
    """Yield the Channels of two processes, or errors that `meet` raised. between: sockets to
    use."""
    socks, found = between or socket.socketpair(), [None, None]

    def run(i, key):
        try:
            found[i] = messages.meet(socks[i], key, 'it', listens=i == 0)
        except OSError as err:
            found[i] = err
            socks[i].close()
    other = threading.Thread(target=run, args=(1, second_key))
    other.start()
    run(0, first_key)
    other.join()
    try:
        yield found
    finally:
        for sock in socks:
            sock.close()


def test_messages_arrive_as_they_were_sent():
    with pair() as (first, second):
        sent = [({'do': 'x', 'n': 2 ** 60, 'rate': 0.1}, b'abc', b''), ({}, b''), ({'a': [None]},)]
        for command, *data in sent:
            first.send(command, *data)
        second.send({'do': 'answer'}, onp.arange(4, dtype='float32'))
        for command, *data in sent:
            assert second.receive() == (command, b''.join(data))
        assert onp.frombuffer(first.receive()[1], 'float32').tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('keys', [(KEY, OTHER), (OTHER, KEY)])
def test_another_key_is_refused_on_both_sides(keys):
    with pair(*keys) as found:
        assert all(isinstance(err, ConnectionError) for err in found)


class Recorded:
    """The bytes that one side of a connection has sent."""

    def __init__(self):
        self.bytes = b''

    def sendall(self, data):
        self.bytes += bytes(data)


def frames(count):
    """`count` messages as they are sent, each the bytes of one frame."""
    sock, found = Recorded(), []
    channel = messages.Channel(sock, KEY, OTHER)
    for i in range(count):
        channel.send({'do': 'step', 'n': i}, bytes([i]) * 9)
        found.append(sock.bytes)
        sock.bytes = b''
    return found


def flip(frames, draw):
    data = bytearray(b''.join(frames))
    i = draw(st.integers(0, len(data) * 8 - 1))
    data[i // 8] ^= 1 << i % 8
    return bytes(data)


ATTACKS = {
    'a bit is flipped': flip,
    'messages are repeated, left out or in another order': lambda frames, draw: b''.join(
        draw(st.lists(st.sampled_from(frames), max_size=6))),
    'bytes are put in': lambda frames, draw: (lambda data, at: data[:at] + draw(
        st.binary(min_size=1, max_size=200)) + data[at:])(
            b''.join(frames), draw(st.integers(0, sum(map(len, frames))))),
    'it ends': lambda frames, draw: b''.join(frames)[:draw(st.integers(0, sum(map(len, frames))))],
    'all is random': lambda frames, draw: draw(st.binary(max_size=400)),
    'it is sent back': lambda frames, draw: frames[0],
}


@pytest.mark.parametrize('attack', ATTACKS)
@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data())
def test_what_is_received_is_what_was_sent_or_an_error(attack, data):
    sent = frames(4)
    arrives = ATTACKS[attack](sent, data.draw)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(arrives)
        theirs.shutdown(socket.SHUT_WR)
        channel = messages.Channel(ours, OTHER, OTHER if attack == 'it is sent back' else KEY)
        for i in itertools.count():
            try:
                found = channel.receive()
            except ConnectionError:
                break
            assert found == ({'do': 'step', 'n': i}, bytes([i]) * 9)


@pytest.fixture
def listener():
    """(a Listener on loopback, the Channels that it has welcomed)."""
    welcomed = []
    yield messages.Listener((LOOPBACK, 0), KEY, 'server', welcomed.append), welcomed
    for channel in welcomed:
        channel.close()


def speak(address, data, wait=0.2):
    """Connect, send bytes, and return what comes back."""
    with socket.create_connection(address, timeout=5) as sock:
        said = b''
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.settimeout(wait)
            while True:
                part = sock.recv(1 << 16)
                if not part:
                    break
                said += part
        return said


class Bomb:
    """An object that runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


def forged(path):
    """Yield bytes that a stranger may send: this protocol's and ps-lite's commands, pickles,
    noise."""
    greeting = messages.GREETING + bytes(32)
    head = messages.HEAD.pack(0, 14, 0, bytes(32)) + bytes(32)
    # ZeroMQ's greeting, which MXNet's own client sends, and ps-lite's TERMINATE
    zmtp = b'\xff' + bytes(8) + b'\x7f\x03\x00NULL' + bytes(48)
    yield from (b'', b'\n', b'GET / HTTP/1.1\r\n\r\n', bytes(64), b'\xff' * 4096, greeting, greeting
                + bytes(32), greeting + bytes(32) + head + b'{"do": "stop"}', zmtp,
                zmtp + b'\x00\x04\x08\x01\x10\x01', pickle.dumps(Bomb(path)),
                greeting + pickle.dumps(Bomb(path)),
                greeting + bytes(32) + pickle.dumps(Bomb(path)),
                b'{"do": "join", "role": "worker", "rank": 0}', messages.GREETING[:5])


@pytest.mark.parametrize('i', range(15))
def test_a_stranger_is_never_welcomed(listener, tmp_path, i):
    found, welcomed = listener
    said = speak(found.address, list(forged(tmp_path / 'bomb'))[i])
    assert re.fullmatch(re.escape(messages.GREETING) + b'.{32}', said, flags=re.S)
    assert welcomed == [] and os.listdir(tmp_path) == []
    messages.connect(found.address, KEY, 'server', 5).close()  # the listener still welcomes others


def test_a_recorded_meeting_lets_nobody_in(listener):
    """A stranger replays a recorded meeting, or sends back what it receives."""
    found, welcomed = listener
    heard = Recorded()
    with socket.create_connection(found.address) as sock:
        class Wire:
            family = sock.family

            def __getattr__(self, name):
                return getattr(sock, name)

            def sendall(self, data):
                heard.sendall(data)
                sock.sendall(data)
        messages.meet(Wire(), KEY, 'server', listens=False)
    limit = time.monotonic() + 5
    while not welcomed and time.monotonic() < limit:
        time.sleep(0.01)
    assert len(welcomed) == 1
    speak(found.address, heard.bytes)
    with socket.create_connection(found.address, timeout=5) as sock:
        sock.sendall(messages._receive(sock, 44))
        sock.sendall(bytes(32))
        with contextlib.suppress(OSError):
            sock.recv(100)
    assert len(welcomed) == 1


def test_those_that_say_nothing_do_not_keep_others_out(monkeypatch, listener):
    found, welcomed = listener
    monkeypatch.setattr(messages, 'MEETING', 1.0)
    silent = [socket.create_connection(found.address) for _ in range(2 * messages.STRANGERS)]
    messages.connect(found.address, KEY, 'server', 10).close()
    for sock in silent:
        sock.close()


def test_a_scheduler_of_another_group_is_named(listener):
    with pytest.raises(messages.GroupError, match='Another group on the same port'):
        messages.connect(listener[0].address, OTHER, 'server', 5)
    with pytest.raises(messages.GroupError, match='server cannot listen at .*a port of its own'):
        messages.Listener(listener[0].address, KEY, 'server', None)


def test_a_scheduler_that_does_not_answer_is_reported():
    with pytest.raises(messages.GroupError, match='scheduler does not answer at .* for 0.2 s'):
        messages.connect((LOOPBACK, 1), KEY, 'scheduler', 0.2)


@pytest.mark.parametrize('text', ['', '\n', 'ab\n', 'g' * 64 + '\n', 'ab' * 33 + '\n', 'é' * 64])
def test_a_bad_key_is_refused(text):
    reads, writes = os.pipe()
    os.write(writes, text.encode())
    os.close(writes)
    with pytest.raises(messages.GroupError, match='64 hexadecimal digits'):
        messages.read_key(reads)
    os.close(reads)


# The folder of the sockets

def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    private, link, open_to_all = (tmp_path / name for name in ('private', 'link', 'open'))
    private.mkdir(0o700)
    link.symlink_to(private)
    open_to_all.mkdir(0o755)
    assert messages.private_folder(str(private))
    for path in link, open_to_all:
        with pytest.raises(messages.GroupError, match='only you can enter'):
            messages.private_folder(str(path))


root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which('setpriv'),
                          reason='needs root and setpriv, to be another user')


@root
def test_a_folder_of_another_user_is_refused(tmp_path):
    path = tmp_path / 'theirs'
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)
    with pytest.raises(messages.GroupError, match='only you can enter'):
        messages.private_folder(str(path))


TRIES = '''
import os, pathlib, socket, sys
for name in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(name)
            print('in')
        except OSError as err:
            print(type(err).__name__)
for pid in filter(str.isdigit, os.listdir('/proc')):
    for what in 'environ', 'fd', 'mem':
        path = pathlib.Path('/proc', pid, what)
        try:
            found = os.listdir(path) if what == 'fd' else path.open('rb').read(1)
            if os.stat(f'/proc/{pid}').st_uid != os.geteuid():
                print('reads', path)
        except OSError:
            pass
'''


@root
def test_another_user_cannot_connect_or_read_the_key(group):
    popen, pids = group('import time; print("steps"); time.sleep(600)')
    assert 'steps' in popen.stdout.readline() + popen.stdout.readline()
    env = next(pathlib.Path(f'/proc/{pid}/environ').read_text() for pid, command in pids().items()
               if '--role' in command)
    folder = re.search('DMLC_PS_ROOT_URI=([^\0]+)', env)[1]
    assert os.stat(folder).st_mode & 0o777 == 0o700 and os.stat(folder).st_uid == os.geteuid()
    names = [os.path.join(folder, name) for name in ('scheduler', 'server-0')]
    assert sorted(os.listdir(folder)) == ['scheduler', 'server-0']
    done = subprocess.run(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups',
                           '/usr/bin/env', 'python3', '-c', TRIES, *names], text=True, cwd='/',
                          capture_output=True, timeout=60)
    assert done.stdout.splitlines() == ['PermissionError'] * 2, done.stderr
    # the key is not in their command lines or environments either
    for pid, command in pids().items():
        environ = pathlib.Path(f'/proc/{pid}/environ').read_text()
        assert not re.search('[0-9a-f]{64}', ' '.join(command) + environ)


# What a server accepts from processes that know the key

def started(optimizer='sgd', numbers=None, weights=None, workers=1):
    shard = server.Shard()
    arrays, data = server.pack(weights or {'0': onp.ones((2, 3), 'float32')})
    command = {'do': 'start', 'optimizer': {'name': optimizer, 'numbers': numbers or {}},
               'arrays': arrays}
    shard.start([command] * workers, [b''.join(part.tobytes() for part in data)] * workers)
    return shard


STEP = {'n': 1, 'size': 2, 'numbers': {}, 'rates': [], 'arrays': [['0', 'float32', [2, 3]]]}
BAD_STARTS = {
    'no such': lambda: started('os.system'),
    'test': lambda: started('test'),
    '__class__': lambda: started(numbers={'__class__': 'x'}),
    'param_dict': lambda: started(numbers={'param_dict': 1}),
    'lr_scheduler': lambda: started(numbers={'lr_scheduler': 1}),
    'a list': lambda: started(numbers={'lr': [1]}),
    'a dict': lambda: started(numbers={'lr': {'a': 1}}),
}
BAD_STEPS = {
    'another shape': {'arrays': [['0', 'float32', [3, 2]]]},
    'another dtype': {'arrays': [['0', 'int32', [2, 3]]]},
    'objects': {'arrays': [['0', 'object', [3]]]},
    'too many bytes': {'arrays': [['0', 'float32', [2, 2]]]},
    'too few bytes': {'arrays': [['0', 'float32', [2, 4]]]},
    'a negative size': {'arrays': [['0', 'float32', [-2, -3]]]},
    'a huge size': {'arrays': [['0', 'float32', [2 ** 40, 2 ** 40]]]},
    'no number': {'numbers': {'update': 1}},
}


@pytest.mark.parametrize('case', BAD_STARTS)
def test_a_server_begins_with_known_optimizers_and_numbers_only(case):
    with pytest.raises(messages.GroupError):
        BAD_STARTS[case]()


@pytest.mark.parametrize('case', BAD_STEPS)
def test_a_server_refuses_what_does_not_fit(case):
    shard = started()
    with pytest.raises(messages.GroupError):
        shard.step([{**STEP, **BAD_STEPS[case]}], [bytearray(24)])
    assert (shard.weights[0].asnumpy() == 1).all()


@pytest.mark.parametrize('what, first, second', [
    ('size', 8, 6), ('numbers', {'lr': 0.1}, {'lr': 0.2}), ('rates', [[0, [1, 1]]], [])])
def test_workers_that_do_not_agree_are_named(what, first, second):
    with pytest.raises(messages.GroupError, match='in step 1 worker 0 and worker 1 have unlike'):
        started(workers=2).step([{**STEP, what: first}, {**STEP, what: second}],
                                [bytearray(24), bytearray(24)])


class Here:
    """A Member whose servers are Shards of this process."""

    rank, num_workers, steps = 0, 1, -1
    check = staticmethod(lambda: None)

    def __init__(self, count):
        self.servers = [HereChannel() for _ in range(count)]

    @contextlib.contextmanager
    def step(self):
        self.steps += 1
        yield self.steps

    def barrier(self, value=None):
        return json.loads(json.dumps(value))

    def fail(self, why):
        raise messages.GroupError(why)


class HereChannel:
    def __init__(self):
        self.shard = server.Shard()

    def send(self, command, *data):
        command, data = json.loads(json.dumps(command)), bytearray(b''.join(map(bytes, data)))
        asked = ([command], [data]) if command['do'] in server.TOGETHER else (command, data)
        answer, data = getattr(self.shard, command['do'])(*asked)
        self.answer = json.loads(json.dumps(answer)), bytearray(b''.join(map(bytes, data)))

    def receive(self):
        return self.answer


@pytest.fixture
def servers(monkeypatch):
    """A function that makes this process the only worker of a group with that many servers; with 0,
    there is no group."""
    npx.set_np()

    def start(count):
        monkeypatch.setattr(member, 'this', Here(count) if count else None)
        monkeypatch.setattr(distributed, '_servers', distributed._Servers() if count else None)
    return start


def small_net(bias=True):
    net = nn.Sequential(prefix='net_')  # a Trainer sorts by names, and dense10 comes before dense9
    with net.name_scope():
        net.add(nn.Dense(4, in_units=5, use_bias=bias), nn.Dense(3, in_units=4, use_bias=bias),
                nn.Dense(2, in_units=3, use_bias=bias))
    net.initialize(init.Constant(0))
    random = onp.random.RandomState(3)
    for param in net.collect_params().values():
        param.set_data(np.array(random.randn(*param.shape).astype('float32')))
    return net


def trained(optimizer, hyperparams, change, steps=6, folder=None):
    """Values of a net's parameters after some steps; change(net, trainer, step) before each."""
    net = small_net(bias=optimizer != 'groupadagrad')       # which works only on matrices
    trainer = distributed.trainer(net, optimizer, {**hyperparams}, checkpoint=folder)
    random = onp.random.RandomState(4)
    for step in range(steps):
        X = np.array(random.randn(8, 5).astype('float32'))
        if folder and step < trainer.epoch:
            continue
        change(net, trainer, step)
        with autograd.record():
            l = (net(X) ** 2).mean() / 10
        l.backward()
        trainer.step(8)
        if folder:
            trainer.save(step + 1)
    found = [param.data().asnumpy() for param in net.collect_params().values()]
    assert all(onp.isfinite(array).all() for array in found)
    return found


def nothing(net, trainer, step):
    pass


def rates(net, trainer, step):
    """Set multipliers as 4.5 and 13.2 do, and change them and other settings during training."""
    if step == 0:
        # A multiplier of 0 freezes Parameters; optimizers that divide by the learning rate get 0.1
        by = isinstance(trainer.optimizer, (mxnet.optimizer.FTML, mxnet.optimizer.Ftrl))
        net[0].collect_params().setattr('lr_mult', 0.1 * by)
        net[1].collect_params().setattr('lr_mult', 10)
        net.collect_params('.*bias').setattr('wd_mult', 0)
    if step == 2:
        net[0].collect_params().setattr('lr_mult', 0.5)
        # weight and bias: MXNet computes no gradient of a bias whose weight has none
        net[2].collect_params().setattr('grad_req', 'null')
    if step == 4:
        net[2].collect_params().setattr('grad_req', 'write')
        trainer.optimizer.wd *= 2


def learning_rate(net, trainer, step):
    if step in (2, 3):
        trainer.set_learning_rate(trainer.learning_rate / 2)


CHANGES = {
    'nothing': (nothing, lambda: {}), 'rates': (rates, lambda: {}),
    'decay': (rates, lambda: {'wd': 0.1}),
    'learning_rate': (learning_rate, lambda: {'learning_rate': 0.02}),
    'scheduler': (nothing, lambda: {'lr_scheduler': mxnet.lr_scheduler.FactorScheduler(
        2, 0.5, base_lr=0.03)}),
    'warmup': (rates, lambda: {'lr_scheduler': mxnet.lr_scheduler.CosineScheduler(
        5, 0.03, 0.005, 2, 0.01), 'clip_gradient': 0.3}),
}


@pytest.mark.parametrize('change', CHANGES)
# SGLD draws random numbers
@pytest.mark.parametrize('optimizer', sorted({*server.OPTIMIZERS} - {'sgld'}))
def test_servers_train_as_one_process_does_to_the_last_bit(servers, optimizer, change):
    if (optimizer, change) == ('groupadagrad', 'decay'):
        pytest.skip('it has no weight decay')
    change, hyperparams = CHANGES[change]
    # MXNet's DCASGD cannot have a momentum: it uses an array as a condition
    momentum = {'momentum': 0.9} if optimizer != 'dcasgd' and hasattr(
        mxnet.optimizer.create(optimizer), 'momentum') else {}
    found = []
    for count in 0, 2:
        servers(count)
        found.append(trained(optimizer, {**momentum, **hyperparams()}, change))
    assert all((first == second).all() for first, second in zip(*found))


@pytest.mark.parametrize('optimizer', sorted({*server.OPTIMIZERS} - {'sgld'}))
@pytest.mark.parametrize('counts', [(0, 0), (1, 2), (3, 1)])
def test_any_number_of_servers_goes_on_with_a_checkpoint(servers, tmp_path, optimizer, counts):
    servers(0)
    whole = trained(optimizer, {'learning_rate': 0.02}, learning_rate)
    for count, steps in zip(counts, (4, 6)):
        servers(count)
        found = trained(optimizer, {'learning_rate': 0.02}, learning_rate, steps,
                        folder=str(tmp_path))
    assert all((first == second).all() for first, second in zip(whole, found))


@pytest.mark.parametrize('hyperparams', [{'multi_precision': True}, {}])
@pytest.mark.filterwarnings('ignore:Accumulating with float16')
def test_half_precision_too(servers, hyperparams):
    found = []
    for count in 0, 2:
        servers(count)
        net = nn.Block()
        w = net.params.get('w', shape=(3,), dtype='float16', init=init.Constant(0.7))
        net.initialize()
        trainer = distributed.trainer(net, 'sgd', {'momentum': 0.9, 'learning_rate': 0.3,
                                                   **hyperparams})
        for i in range(5):
            with autograd.record():
                l = (w.data() * np.array([0.1, 0.02, i], dtype='float16')).sum()
            l.backward()
            trainer.step(3)
        found.append(w.data().asnumpy())
    assert found[0].dtype == 'float16' and (found[0] == found[1]).all()


def test_stale_gradients_are_left_out_as_in_one_process(servers):
    found = []
    for count in 0, 2:
        servers(count)
        net = small_net()
        trainer = distributed.trainer(net, 'sgd', {'momentum': 0.9})
        for used in 1, 3, 2:
            with autograd.record():
                X = np.ones((2, 5))
                for layer in net[:used]:
                    X = layer(X)
                l = X.sum()
            l.backward()
            trainer.step(2, ignore_stale_grad=True)
        found.append([param.data().asnumpy() for param in net.collect_params().values()])
        with pytest.raises(UserWarning, match='not been updated|has no new gradient'):
            trainer.step(2)
    assert all((first == second).all() for first, second in zip(*found))


def test_several_contexts_of_a_worker_are_added_up(servers):
    found = []
    for count in 0, 1:
        servers(count)
        net, contexts = nn.Dense(1, in_units=2), [mxnet.cpu(0), mxnet.cpu(1)]
        net.initialize(init.Constant(1), ctx=contexts)
        trainer = distributed.trainer(net, 'adam')
        for _ in range(3):
            with autograd.record():
                losses = [net(np.ones((2, 2), ctx=ctx) * i).sum() for i, ctx in
                          enumerate(contexts, 1)]
            autograd.backward(losses)
            trainer.step(4)
        for param in net.collect_params().values():
            one, other = param.list_data()
            assert (one.asnumpy() == other.asnumpy()).all()
        found.append(net.weight.data(contexts[0]).asnumpy())
    assert (found[0] == found[1]).all()


@mxnet.optimizer.Optimizer.register
class Mine(mxnet.optimizer.SGD):
    """An optimizer that no server has."""


@pytest.mark.parametrize('optimizer', ['mine', 'lbsgd', 'test'])
def test_an_optimizer_that_servers_do_not_have_is_refused(servers, optimizer):
    servers(1)
    with pytest.raises(ValueError, match='servers have no optimizer (Mine|LBSGD|Test); they have'):
        trained(optimizer, {}, nothing)


def test_sparse_gradients_are_refused(servers):
    servers(1)
    npx.reset_np()  # with NumPy semantics there are no sparse arrays
    try:
        net = nn.Embedding(4, 2, sparse_grad=True)
        net.initialize()
        with pytest.raises(ValueError, match='no sparse arrays.*sparse_grad'):
            distributed.trainer(net, 'sgd')
    finally:
        npx.set_np()


# Hangs

COMMON = '''
import os, signal, sys, threading, time
from d2l_group import member
me = member.this
rank, barrier = me.rank, me.barrier
'''
# what worker 1 does while worker 0 waits at a barrier: (exit status, what is printed)
HANGS = {
    'pass': (1, 'worker 0 waits at a barrier after 0 steps for worker 1, which has ended after 0'),
    'sys.exit()': (1, 'worker 1, which has ended after 0'),
    'os._exit(0)': (1, 'worker 1, which has ended without a word after 0'),
    'os.execv("/bin/sleep", ["sleep", "600"])': (1, 'ended without a word'),
    'os.fork() and os._exit(0); time.sleep(600)': (1, 'worker 1 has given no sign of life for 2 s'),
    'os.kill(os.getpid(), signal.SIGSTOP)': (1, 'worker 1 has given no sign of life for 2 s: it is '
                                                'stopped.* worker 0 waits for it'),
    'time.sleep(600)': (1, 'worker 0 has waited at a barrier after 0 steps for [0-9] s: worker 1 '
                           'has made no progress for [0-9] s.*--limit SECONDS'),
    'while True: pass': (1, 'worker 1 has made no progress'),
    'threading.Event().wait()': (1, 'worker 1 has made no progress'),
    'threading.Thread(target=time.sleep, args=(600,)).start()': (1, 'worker 1 has made no progre'),
    'me.step().__enter__(); time.sleep(600)': (
        1, 'worker [01] waits (at a barrier after 0 steps|where it makes its trainer), worker '),
    'input()': (1, 'EOFError'),
    'print(repr(sys.stdin.read()))': (1, 'worker 1, which has ended after 0'),
    'sys.exit(2 ** 40)': (1, 'worker 1 died'), 'sys.exit(2 ** 70)': (1, 'worker 1 died'),
    'sys.exit(256)': (1, 'worker 1 died'), 'sys.exit(-1)': (255, 'worker 1 died'),
    'sys.exit("")': (1, 'worker 1 died'), 'sys.exit(0.0)': (1, 'worker 1 died'),
    'sys.exit(True)': (1, 'worker 1 died'), 'sys.exit([])': (1, 'worker 1 died'),
    'os.kill(os.getpid(), 40)': (168, 'killed by signal 40'),
    'os._exit(2 ** 40)': (1, 'OverflowError'), 'os.abort()': (134, 'killed by SIGABRT'),
    'os.kill(os.getpid(), signal.SIGTERM)': (143, 'killed by SIGTERM'),
    'raise KeyboardInterrupt': (1, 'KeyboardInterrupt'),
    'raise GeneratorExit': (1, 'GeneratorExit'),
    'os.closerange(3, 100); time.sleep(600)': (1, 'worker 1'),
    'os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)': (143, ''),
}


@pytest.mark.parametrize('what', HANGS)
def test_a_worker_that_waits_in_vain_is_told(group, what):
    status, says = HANGS[what]
    start = time.monotonic()
    popen, pids = group(f'{COMMON}\nif rank == 1:\n    {what}\nelse:\n    barrier()\n', '--limit',
                        str(LIMIT))
    said = popen.communicate(timeout=SOON)[0]
    assert re.search(says, said), said
    assert popen.returncode == status and pids() == {}
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize('role', ['server', 'scheduler'])
def test_a_server_or_scheduler_that_is_stopped_is_noticed(group, role):
    popen, pids = group(f'{COMMON}\nprint("steps"); time.sleep(600)', '--limit', str(LIMIT))
    assert 'steps' in popen.stdout.readline() + popen.stdout.readline()
    pid, = [pid for pid, command in pids().items() if role in command]
    os.kill(pid, 19)
    said = popen.communicate(timeout=SOON)[0]
    assert re.search(f'{role}( 0)? has given no sign of life for 2 s', said), said
    assert popen.returncode not in (0, None) and pids() == {}


def test_a_launcher_with_long_lines_stays_small(group):
    popen, pids = group('import sys\nfor _ in range(300): sys.stdout.write("x" * 1000000)')
    size, largest = 0, 0
    for line in popen.stdout:
        size += line.count('x')
        with contextlib.suppress(OSError, IndexError):
            largest = max(largest, int(re.findall(r'VmRSS:\s*(\d+)', pathlib.Path(
                f'/proc/{popen.pid}/status').read_text())[0]))
    assert popen.wait(60) == 0 and size == 2 * 300 * 1000000
    assert 0 < largest < 100000         # KiB


def test_nothing_ends_a_group_that_works(group):
    """No worker makes a step for twice the limit, but none waits; then there is a short wait."""
    popen, pids = group(f'{COMMON}\ntime.sleep({2 * LIMIT} + rank); print(barrier(7 * (1 + rank)))',
                        '--limit', str(LIMIT))
    said = popen.communicate(timeout=SOON)[0]
    assert sorted(said.splitlines()) == ['[worker 0] 7', '[worker 1] 7'] and popen.returncode == 0


def test_a_process_that_a_worker_forks_is_no_worker(group):
    popen, pids = group(f'''{COMMON}
if os.fork():
    os.wait()
    barrier()
else:
    try:
        barrier()
    except RuntimeError as err:
        print(err)
        os._exit(0)''')
    said = popen.communicate(timeout=SOON)[0]
    assert said.count('is no worker itself') == 2 and popen.returncode == 0, said


UNEVEN = '''
from mxnet import autograd, np, npx
from mxnet.gluon import nn
from d2l import distributed
npx.set_np()
net = nn.Dense(1, in_units=1)
net.initialize()
trainer = distributed.trainer(net, 'sgd')
for _ in range((5, 3)[distributed.rank()]):
    with autograd.record():
        l = net(np.ones((1, 1)))
    l.backward()
    trainer.step(2)
'''


@pytest.mark.parametrize('after', ['', 'distributed.barrier()', 'trainer.save(1)'])
def test_unequal_numbers_of_minibatches_are_named(group, tmp_path, after):
    script = UNEVEN.replace("'sgd'", f"'sgd', checkpoint={str(tmp_path / 'c')!r}")
    popen, pids = group(script + after)
    said = popen.communicate(timeout=60)[0]
    where = 'waits in its step 4' if after else 'waits in its step 4 for worker 1, which has ended'
    assert f'worker 0 {where}' in said or after and 'worker 1 waits at a barrier' in said, said
    assert re.search('Unequal numbers of minibatches: worker [01] is at [34], worker [01] at [34]',
                     said) and popen.returncode == 1 and pids() == {}


def test_a_child_of_a_worker_cannot_save(group, tmp_path):
    """The child shares the worker's connections. If it sent anything on them, the servers would
    refuse the worker's next message."""
    checkpointed = UNEVEN.replace("'sgd'", f"'sgd', checkpoint={str(tmp_path / 'c')!r}").replace(
        '(5, 3)', '(2, 2)')
    popen, pids = group(f'''{checkpointed}
import os, sys
if distributed.rank() == 0:
    if os.fork() == 0:
        try:
            trainer.save(1)
        except RuntimeError as err:
            print(err, flush=True)
        os._exit(0)
    os.wait()
trainer.save(2)''')
    said = popen.communicate(timeout=60)[0]
    assert said.count('is no worker itself') == 1 and popen.returncode == 0, said
    assert os.listdir(tmp_path / 'c') == ['epoch-2']


@pytest.mark.parametrize('number', [3, onp.int64(3), onp.float32(3), onp.array(3.), 'np'])
def test_numbers_of_any_library_reach_the_servers(servers, number):
    """The number is the size of a minibatch, and a learning rate."""
    servers(1)
    net, number = nn.Dense(1, in_units=1,
                           use_bias=False), np.array(3.) if number == 'np' else number
    net.initialize(init.Constant(0))
    trainer = distributed.trainer(net, 'sgd', {'learning_rate': number})
    for rate in number, number * 2:
        trainer.set_learning_rate(rate)
        with autograd.record():
            l = net(np.ones((1, 1))).sum()
        l.backward()
        trainer.step(number)
    assert net.weight.data().item() == -3


@pytest.mark.parametrize('text', [b'5', b'[]', b'null', b'[' * 100000, b'{"a": ', b'\xff'])
def test_what_is_no_command_is_refused(text):
    """Also where its HMAC is right."""
    with pair() as (first, second):
        digest = hashlib.sha256(text).digest()
        head = messages.HEAD.pack(0, len(text), 0, digest)
        first._sock.sendall(head + hmac.digest(first._keys[0], head, 'sha256') + text)
        with pytest.raises(messages.Forged):
            second.receive()


def test_messages_of_another_connection_are_refused():
    """What is recorded on one is refused on the other, of the same processes with the same key."""
    heard = Recorded()
    with pair() as (first, second), pair() as (third, fourth):
        heard.family = first._sock.family
        sock, first._sock = first._sock, heard
        first.send({'do': 'step', 'n': 0}, b'abc')
        first._sock = sock
        third._sock.sendall(heard.bytes)
        with pytest.raises(messages.Forged):
            fourth.receive()


def test_a_worker_of_anothers_rank_is_refused_and_not_heard(monkeypatch):
    """The requests of the second one, sent after it joined, do not count as the real worker's."""
    class Channel:
        def __init__(self):
            self.sent, self.closed = [], False

        def send(self, command, *data):
            self.sent.append(command)

        def close(self):
            self.closed = True

    class Done(Exception):
        pass
    monkeypatch.setattr(member, 'this', Here(0))
    right, wrong, other = Channel(), Channel(), Channel()
    arrays, data = server.pack({'0': onp.ones(2, 'float32')})
    start = {'do': 'start', 'optimizer': {'name': 'sgd', 'numbers': {}}, 'arrays': arrays}
    asked = iter([(7, other, {'do': 'join', 'server': 0}, b''),
                  (0, right, {'do': 'join', 'server': 0}, b''),
                  (0, wrong, {'do': 'join', 'server': 0}, b''), (0, wrong, {'do': 'no such'}, b''),
                  (0, right, start, data[0].tobytes())])

    class Requests:
        def get(self):
            try:
                return next(asked)
            except StopIteration:
                raise Done from None
    with pytest.raises(Done):
        server.serve(Requests())
    assert wrong.closed and other.closed and not right.closed
    assert [command['do'] for command in right.sent] == ['weights'] and not wrong.sent + other.sent


def test_a_key_that_does_not_come_and_a_group_that_nobody_joins_are_reported(monkeypatch):
    reads, writes = os.pipe()
    with pytest.raises(messages.GroupError, match='has not come over standard input for 0.1 s'):
        messages.read_key(reads, 0.1)
    os.close(reads)
    os.close(writes)
    with pytest.raises(messages.GroupError, match='cannot be read'):
        messages.read_key(reads, 0.1)
    monkeypatch.setattr(scheduler, 'ALONE', 0.1)
    with pytest.raises(messages.GroupError, match='nobody has come for 0.1 s'):
        scheduler.Scheduler(KEY, (LOOPBACK, 0), 1, 1, 0.1).run()


# An attack on a group that listens on ports

TRAINS = '''
import sys, time
from mxnet import autograd, np, npx
from mxnet.gluon import nn
from d2l import distributed
npx.set_np()
net = nn.Dense(1, in_units=3)
net.initialize()
net.weight.set_data(np.array([[1., 2., 3.]]))
trainer = distributed.trainer(net, 'adam', {'learning_rate': 0.1})
for i in range(200):
    with autograd.record():
        l = net(np.array([[i % 7, 1., distributed.rank()]]) * 0.1).sum()
    l.backward()
    trainer.step(2)
    if i == 1:
        print('trains', flush=True)
    time.sleep(float(sys.argv[1]))
print('ends with', net.weight.data().asnumpy().tobytes().hex(), flush=True)
'''


def listening_ports(pids):
    inodes = {found[0] for pid in pids for fd in os.listdir(f'/proc/{pid}/fd')
              for found in [re.findall(r'socket:\[(\d+)\]', os.readlink(f'/proc/{pid}/fd/{fd}'))]
              if found}
    rows = [line.split() for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]]
    return [int(row[1].partition(':')[2], 16) for row in rows if row[3] == '0A'
            and row[9] in inodes]


def test_a_group_under_attack_trains_to_the_same_weights(tmp_path):
    script, bomb = tmp_path / 'script.py', tmp_path / 'bomb'
    script.write_text(TRAINS)
    random, attacks = onp.random.RandomState(5), list(forged(bomb))
    ends = []
    for attacked in False, True:
        group = roles([script, '0.01' if attacked else '0'])
        try:
            if attacked:
                lines = [popen.stdout.readline() for popen in group[2:]]
                assert lines == ['trains\n'] * 2
                ports = listening_ports([popen.pid for popen in group])
                assert len(ports) == 2                  # of the scheduler and the server
                client = subprocess.Popen(
                    [sys.executable, '-c', 'import mxnet; k = mxnet.kvstore.create("dist_sync")\n'
                     'k.init(0, mxnet.nd.ones(3)); print("in")'], text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={
                        **os.environ, 'DMLC_ROLE': 'worker', 'DMLC_PS_ROOT_URI': LOOPBACK,
                        'DMLC_PS_ROOT_PORT': str(ports[0]), 'DMLC_NUM_WORKER': '2',
                        'DMLC_NUM_SERVER': '1'})
                for i in range(STRANGERS):
                    data = attacks[i % len(attacks)] if i % 2 else random.bytes(
                        random.randint(1, 500))
                    with contextlib.suppress(OSError):
                        speak((LOOPBACK, ports[i % 2]), data, wait=0.001)
            said = said_by(group)
        finally:
            for popen in group:
                popen.kill()
            if attacked:
                client.kill()
                assert client.communicate()[0] == ''    # MXNet's own client was not let in
        assert [popen.returncode for popen in group] == [0, 0, 0, 0], said
        ends += [re.search('ends with (.*)', text)[1] for text in said[2:]]
    assert len(set(ends)) == 1 and not bomb.exists()
