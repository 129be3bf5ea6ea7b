"""A worker's or a server's place in its group: what it says to the scheduler, and hears from it."""
import contextlib
import os
import queue
import signal
import sys
import threading
import time

from d2l_group.messages import GroupError, connect

ALIVE = 1.0             # seconds between signs of life
AFTER = 5.0             # seconds that the launcher has to end this process, before it ends itself

this = None             # the Member that this process is


class Member:
    """One process of a group, which has met the scheduler.

    role: 'worker' or 'server'. address: of the scheduler. rank: its number, None for the order of
    arrival. listens: (host, port) at which a server listens, None where that is a socket in the
    scheduler's folder. exit_with_launcher: whether a launcher ends this process. limit: seconds.
    """

    def __init__(self, role, key, address, rank=None, listens=None, exit_with_launcher=False,
                 limit=60.0):
        self.role, self._key, self.limit = role, key, limit
        self._exit_with_launcher = exit_with_launcher
        self._pid, self._left = os.getpid(), False
        self.steps, self.barriers = -1, 0       # begun; the trainer's start is step 0
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
        """'worker 0' and so on."""
        return f'{self.role} {self.rank}'

    def connect_servers(self):
        """Meet all servers: `servers` are their Channels."""
        for i, address in enumerate(self._addresses):
            self.servers.append(connect(address, self._key, 'server', self.limit))
            self.servers[-1].send({'do': 'join', 'rank': self.rank, 'server': i})

    def _listen(self):
        """Receive what the scheduler sends, until the group ends."""
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
        """Send signs of life, and end this process where those of the scheduler are missing."""
        last = said = 0.0
        while not self._left:
            now = time.monotonic()
            if now - last > AFTER:                      # at first, or this process was stopped
                self._heard = now
            if now - self._heard > self.limit:
                self.end(f'the scheduler has given no sign of life for {self.limit:g} s: it is '
                         'stopped, or its machine or the link to it is gone')
            if self._heard >= said:                     # it has answered
                said = now
                self._tell('alive')
            last = now
            time.sleep(ALIVE)

    def check(self):
        """Raise GroupError in another process: one that was forked has this one's connections."""
        if os.getpid() != self._pid:
            raise GroupError('a process that a worker has started is no worker itself: it cannot '
                             'train, save or wait for others')

    def _tell(self, what, **more):
        self.check()
        try:
            self._scheduler.send({'do': what, **more})
        except OSError:                                 # what _listen sees, too
            pass

    def end(self, why):
        """End this process and what it has started: the group is gone."""
        if self._exit_with_launcher:
            time.sleep(AFTER)                           # the launcher says why, and ends it
        print(f'{self.role}: {why}', file=sys.stderr, flush=True)
        sys.stdout.flush()
        if self._exit_with_launcher:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def fail(self, why):
        """Let the scheduler end the group, with a sentence."""
        self._tell('fail', why=f'{self.name}: {why}')
        threading.Event().wait(AFTER)
        self.end(why)

    @contextlib.contextmanager
    def step(self):
        """Make what is done in the context a step of the group, for which all workers wait."""
        self.steps += 1
        self._tell('step', n=self.steps)
        yield self.steps
        self._tell('stepped', n=self.steps)

    def barrier(self, value=None):
        """Wait for all workers; returns the value of worker 0."""
        self.barriers += 1
        self._tell('barrier', n=self.barriers, value=value)
        return self._passed.get()

    def leave(self):
        """Tell the scheduler that the script is done."""
        if os.getpid() == self._pid:
            self._left = True
            self._tell('leave')
