"""Messages between the processes of a group. Each is a command in JSON and the bytes of arrays.

A group has a key. When two processes connect, each proves to the other that it knows the key, by an
HMAC of random numbers from both. The keys of the connection are derived in the same way. Each
message has a counter, and an HMAC of the counter, its sizes and its SHA-256. If a message was
altered, repeated, left out or sent by another process, the connection ends before the message is
used. Nothing that arrives is ever unpickled or run. The messages are not encrypted.
"""
import hashlib
import hmac
import json
import os
import secrets
import select
import socket
import stat
import struct
import threading
import time

GREETING = b'd2l group 1\n'
NONCE = TAG = 32                        # bytes of a random number, and of an HMAC
HEAD = struct.Struct('>QQQ32s')         # counter, sizes of command and data, SHA-256 of both
LARGEST = 1 << 28, 1 << 44              # most bytes of a command, of the data
MEETING = 10.0                          # seconds in which the other side must prove the key
STRANGERS = 64                          # connections at a time that have not proved the key yet
TRY_AGAIN = 0.05                        # seconds between two attempts


class GroupError(RuntimeError):
    """An error: the group cannot go on. The message says why, and names the cure."""


class Stranger(ConnectionError):
    """An error: the other side does not know the group's key."""


class Forged(ConnectionError):
    """An error: a message is not what the other side has sent."""


def new_key():
    """Return a key for a group: 32 random bytes as 64 hexadecimal digits."""
    return secrets.token_hex(32)


def read_key(fd, limit=60.0):
    """Read the key of a group from the first line of a file descriptor, and return it as bytes.
    Wait for it up to `limit` seconds."""
    line, deadline = b'', time.monotonic() + limit
    while not line.endswith(b'\n') and len(line) < 128:
        try:
            ready = select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]
            byte = os.read(fd, 1) if ready else None
        except OSError as err:
            raise GroupError(
                f'standard input cannot be read ({err.strerror}), and its first line has to '
                "be the group's key") from None
        if byte is None:
            raise GroupError(
                f"the group's key has not come over standard input for {limit:g} s: see the "
                'text of d2l.launch')
        if not byte:
            break
        line += byte
    try:
        key = bytes.fromhex(line.decode('ascii').strip())
    except ValueError:
        key = b''
    if len(key) != 32:
        raise GroupError("the first line of standard input has to be the group's key, 64 "
                         'hexadecimal digits: see the text of d2l.launch')
    return key


def private_folder(path):
    """Check that only this user can enter a folder, and return its path. Raises GroupError."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise GroupError(f'{path} is no folder that only you can enter: chmod 700, or let '
                         'd2l.launch make one')
    return path


def _receive(sock, size, deadline=None):
    """Receive exactly `size` bytes, and return them as a bytearray."""
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        if deadline is not None:
            sock.settimeout(max(deadline - time.monotonic(), 1e-3))
        count = sock.recv_into(view[filled:])
        if not count:
            raise ConnectionError('the connection has ended')
        filled += count
    return data


class Channel:
    """A connection to a process that has proved that it knows the key.

    sending, receiving: the keys for HMACs of the two directions
    """

    def __init__(self, sock, sending, receiving):
        self._sock, self._keys, self._counts = sock, (sending, receiving), [0, 0]
        self._lock = threading.Lock()

    def send(self, command, *data):
        """Send a message: a command, which is a dict, and buffers of bytes."""
        text = json.dumps(command).encode()
        digest = hashlib.sha256(text)
        for part in data:
            digest.update(part)
        size = sum(memoryview(part).nbytes for part in data)
        with self._lock:
            head = HEAD.pack(self._counts[0], len(text), size, digest.digest())
            self._counts[0] += 1
            self._sock.sendall(head + hmac.digest(self._keys[0], head, 'sha256') + text)
            for part in data:
                self._sock.sendall(part)

    def receive(self):
        """Receive the next message and return (command, data); data is a bytearray. Raises
        ConnectionError."""
        head = bytes(_receive(self._sock, HEAD.size))
        tag = _receive(self._sock, TAG)
        count, length, size, digest = HEAD.unpack(head)
        if not hmac.compare_digest(hmac.digest(self._keys[1], head, 'sha256'), tag) \
                or count != self._counts[1] or length > LARGEST[0] or size > LARGEST[1]:
            raise Forged('a message has another counter or HMAC than it should')
        text, data = _receive(self._sock, length), _receive(self._sock, size)
        found = hashlib.sha256(text)
        found.update(data)
        if not hmac.compare_digest(found.digest(), digest):
            raise Forged('a message has been altered')
        self._counts[1] += 1
        try:
            command = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise Forged(f'a message is no JSON: {err}') from None
        if not isinstance(command, dict):
            raise Forged('a message is no command')
        return command, data

    def close(self):
        """End the connection, and wake a thread that waits for its next message."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._sock.close()


def meet(sock, key, name, listens):
    """Return the Channel of a new connection. Raises Stranger if the other side does not know the
    key.

    name: the name of the process that listens; listens: whether that is this process
    """
    deadline, own = time.monotonic() + MEETING, secrets.token_bytes(NONCE)
    sock.settimeout(MEETING)
    sock.sendall(GREETING + own)
    greeting = _receive(sock, len(GREETING) + NONCE, deadline)
    if not greeting.startswith(GREETING):
        raise Stranger('it does not greet as a process of a group does')
    nonces = (own, bytes(greeting[-NONCE:]))[::1 if listens else -1]

    def of(side):
        return hmac.digest(key, b'\n'.join([side, name.encode(), *nonces]), 'sha256')

    def prove():
        sock.sendall(of(b'listens' if listens else b'connects'))

    def check():
        try:
            tag = _receive(sock, TAG, deadline)
        except ConnectionError:
            tag = b''
        if not hmac.compare_digest(of(b'connects' if listens else b'listens'), bytes(tag)):
            raise Stranger("it does not know the group's key")

    for turn in (check, prove) if listens else (prove, check):
        turn()
    sock.settimeout(None)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keys = of(b'from the one that listens'), of(b'to the one that listens')
    return Channel(sock, *keys[::1 if listens else -1])


def _socket(address):
    return socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)


def _text(address):
    return address if isinstance(address, str) else '%s:%d' % address


class Listener:
    """A socket to which processes that know the key can connect.

    address: a path, or (host, port), where port 0 is any free port
    welcome: function that is called with the Channel of each process, in a thread of its own
    """

    def __init__(self, address, key, name, welcome):
        self._key, self._name, self._welcome = key, name, welcome
        self._strangers, self._said = threading.BoundedSemaphore(STRANGERS), 0
        self._sock = _socket(address)
        if not isinstance(address, str):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._sock.bind(address)
            self._sock.listen(STRANGERS)
        except OSError as err:
            self._sock.close()
            raise GroupError(f'{name} cannot listen at {_text(address)}: {err.strerror}. Is there '
                             'another group? Each needs a port of its own') from None
        self.address = self._sock.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, peer = self._sock.accept()
            except OSError:                             # for example, too many files are open
                time.sleep(TRY_AGAIN)
                continue
            if self._strangers.acquire(blocking=False):
                threading.Thread(target=self._meet, args=(sock, peer), daemon=True).start()
            else:
                sock.close()

    def _meet(self, sock, peer):
        try:
            channel = meet(sock, self._key, self._name, listens=True)
        except OSError as err:                          # Stranger, a timeout, a closed connection
            sock.close()
            if self._said < 3 and isinstance(err, Stranger):
                self._said += 1
                print(f'{self._name}: refused a connection'
                      f'{f" from {peer[0]}" if peer else ""}: {err}', flush=True)
            return
        finally:
            self._strangers.release()
        self._welcome(channel)


def connect(address, key, name, limit):
    """Return the Channel to the process `name` that listens at an address. Wait for it up to
    `limit` seconds."""
    deadline, why = time.monotonic() + limit, None
    while True:
        sock = _socket(address)
        try:
            sock.settimeout(MEETING)
            sock.connect(address)
            return meet(sock, key, name, listens=False)
        except Stranger as err:
            sock.close()
            raise GroupError(f'what answers at {_text(address)} is not the {name} of this group: '
                             f'{err}. Another group on the same port?') from None
        except OSError as err:                          # the process does not listen yet
            sock.close()
            why = err
        if time.monotonic() > deadline:
            raise GroupError(f'{name} does not answer at {_text(address)} for {limit:g} s ({why}): '
                             'was it started, and is the address right?')
        time.sleep(TRY_AGAIN)
