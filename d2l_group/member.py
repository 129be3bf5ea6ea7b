"""A worker or a server as a member of its group: its messages to and from the scheduler."""
import contextlib
import os
import queue
import signal
import sys
import threading
import time

from d2l_group.messages import GroupError, connect

ALIVE = 1.0             # seconds between signs of life
AFTER = 5.0             # seconds that this process gives the launcher to end it, before it exits

this = None             # the Member that this process is


class Member:
    """This process as a member of a group, connected to the scheduler.

    role: 'worker' or 'server'; address: the address of the scheduler
    rank: the number of this process; None lets the scheduler number it in the order of arrival
    listens: (host, port) at which a server listens; None for a socket in the scheduler's folder
    exit_with_launcher: whether a launcher ends this process
    limit: seconds to wait for the scheduler
    """

    def __init__(self, role, key, address, rank=None, listens=None, exit_with_launcher=False,
                 limit=60.0):
        self.role, self._key, self.limit = role, key, limit
        self._exit_with_launcher = exit_with_launcher
        self._pid, self._left = os.getpid(), False
        self.steps, self.barriers = -1, 0       # number of the last one; the trainer's start is 0
        self.servers, self._passed = [], queue.SimpleQueue()
        self._scheduler = connect(address, key, 'scheduler', limit)
        self._heard = time.monotonic()
        self._scheduler.send({'do': 'join', 'role': role, 'rank': rank, 'listens': listens})
        self._welcome = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._live, daemon=True).start()
        found = self._welcome.get()
        self.rank, self.num_workers, self.limit = found['rank'], found['workers'], found['limit']
        self._addresses = [tuple(listens) if listens else
                           os.path.join(os.path.dirname(address), f'server-{i}')
                           for i, listens in enumerate(found['listens'])]

    @property
    def name(self):
        """The name of this process in messages, such as 'worker 0'."""
        return f'{self.role} {self.rank}'

    def connect_servers(self):
        """Connect to all servers, and store their Channels in `servers`."""
        for i, address in enumerate(self._addresses):
            self.servers.append(connect(address, self._key, 'server', self.limit))
            self.servers[-1].send({'do': 'join', 'rank': self.rank, 'server': i})

    def _listen(self):
        """Handle the messages of the scheduler until the group ends."""
        why = 'the scheduler has ended'
        try:
            while True:
                command, _ = self._scheduler.receive()
                self._heard = time.monotonic()
                if command['do'] == 'welcome':
                    self._welcome.put(command)
                elif command['do'] == 'passed':
                    self._passed.put(command['value'])
                elif command['do'] == 'bye':
                    return None if self.role == 'worker' else os._exit(0)
                elif command['do'] == 'stop':
                    why = command['why']
                    break
        except (OSError, ValueError) as err:
            why = f'{why} ({err})'
        if not self._left:
            self.end(why)

    def _live(self):
        """Send signs of life, and end this process if the scheduler sends none for too long."""
        last = said = 0.0
        while not self._left:
            now = time.monotonic()
            if now - last > AFTER:                      # the first turn, or the process was stopped
                self._heard = now
            if now - self._heard > self.limit:
                self.end(f'the scheduler has given no sign of life for {self.limit:g} s: it is '
                         'stopped, or its machine or the link to it is gone')
            if self._heard >= said:                     # the scheduler has answered
                said = now
                self._tell('alive')
            last = now
            time.sleep(ALIVE)

    def check(self):
        """Raise GroupError in a forked process, which shares the connections of this one but is no
        member of the group."""
        if os.getpid() != self._pid:
            raise GroupError('a process that a worker has started is no worker itself: it cannot '
                             'train, save or wait for others')

    def _tell(self, what, **more):
        self.check()
        try:
            self._scheduler.send({'do': what, **more})
        except OSError:                                 # _listen sees the same error
            pass

    def end(self, why):
        """End this process, and all that it has started, because the group has ended."""
        if self._exit_with_launcher:
            time.sleep(AFTER)                           # the launcher ends it, and says why
        print(f'{self.role}: {why}', file=sys.stderr, flush=True)
        sys.stdout.flush()
        if self._exit_with_launcher:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def fail(self, why):
        """Ask the scheduler to end the group, and end this process. why: the reason, a sentence"""
        self._tell('fail', why=f'{self.name}: {why}')
        threading.Event().wait(AFTER)
        self.end(why)

    @contextlib.contextmanager
    def step(self):
        """Context manager: its body is one step of the group, in which each worker waits for all
        others."""
        self.steps += 1
        self._tell('step', n=self.steps)
        yield self.steps
        self._tell('stepped', n=self.steps)

    def barrier(self, value=None):
        """Wait for all workers, and return the value of worker 0."""
        self.barriers += 1
        self._tell('barrier', n=self.barriers, value=value)
        return self._passed.get()

    def leave(self):
        """Tell the scheduler that the script has ended."""
        if os.getpid() == self._pid:
            self._left = True
            self._tell('leave')
