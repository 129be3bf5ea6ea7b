"""The scheduler of a group. It knows which processes are there and which wait for which, and ends
the group if one waits in vain."""
import queue
import sys
import time

from d2l_group.messages import GroupError, Listener

POLL = 0.2              # seconds between two checks of the processes
GRACE = 3.0             # seconds that the launcher has to notice how a process died
GAP = 5.0               # if more seconds pass between two checks, the scheduler itself was stopped
ALONE = 60.0            # seconds in which the first process has to come, unless the limit is larger
STOPPED = 3             # exit status if the last line of output says why the group cannot go on


class Seen:
    """What the scheduler knows about a process."""

    def __init__(self, name, channel, listens, now):
        self.name, self.channel, self.listens = name, channel, listens
        # times of the last message, and of the last one that was not just a sign of life
        self.heard = self.since = now
        # numbers of the last step that it has begun (the trainer's start is 0) and the last barrier
        self.begun, self.barriers = -1, 0
        # what it waits for: ('begun', 3) until all workers have begun step 3, ('barriers', 2) until
        # all have come to barrier 2
        self.waits = None
        # time when the process ended; time when it announced that it leaves
        self.ended = self.left = None
        self.value = None                   # the value that it has brought to a barrier

    def reached(self, waits):
        """Return whether this process has come to the step or barrier for which another one waits.
        """
        kind, n = waits
        return getattr(self, kind) >= n

    @property
    def steps(self):
        """The number of steps that the process has begun."""
        return max(self.begun, 0)

    def where(self):
        """Return a text that says where the process waits."""
        if self.waits[0] == 'barriers':
            return f'at a barrier after {self.steps} steps'
        return f'in its step {self.begun}' if self.begun else 'where it makes its trainer'


class Scheduler:
    """Waits for this number of workers and servers at an address (see messages.Listener), and then
    watches them.

    limit: seconds after which the group ends if a process gives no sign of life, or if a worker
    makes no progress while others wait for it
    """

    def __init__(self, key, address, workers, servers, limit):
        self.limit, self._events = limit, queue.SimpleQueue()
        self._found = {'worker': [None] * workers, 'server': [None] * servers}
        self._begun = self._complete = False
        self._alone = time.monotonic() + max(limit, ALONE)
        self._listener = Listener(address, key, 'scheduler', self._meet)
        self.address = self._listener.address

    def _meet(self, channel):
        """Put the messages of a process that has proved the key into the queue. Each process has a
        thread of its own that runs this."""
        member = None
        try:
            while True:
                command, _ = channel.receive()
                if member is None:
                    answer = queue.SimpleQueue()
                    self._events.put((self._join, channel, command, answer))
                    member = answer.get()
                    if member is None:
                        return
                else:
                    self._events.put((self._hear, member, command))
        except (OSError, ValueError):
            if member is not None:
                self._events.put((self._miss, member))

    def run(self):
        """Handle messages until all workers have ended. Raises GroupError if one waits in vain."""
        last = time.monotonic()
        while True:
            try:
                handle, *args = self._events.get(timeout=POLL)
                handle(*args)
            except queue.Empty:
                pass
            now = time.monotonic()
            if now - last > GAP:
                for member in self._members():
                    member.heard, member.since = now, now
            last = now
            if not self._events.empty():
                continue
            for member in self._members():
                if member.ended and now - member.ended > GRACE and not member.left \
                        and not (self._complete and member in self._found['worker']):
                    raise GroupError(f'the connection to {member.name} has ended')
            if self._complete:
                if all(worker.ended for worker in self._found['worker']):
                    return self._say({'do': 'bye'})
                self._check(now)
            elif not self._begun and now > self._alone:
                raise GroupError(
                    f'nobody has come for {max(self.limit, ALONE):g} s: were the others '
                    'started, with this address and this key?')
            elif self._begun and now - self._begun > self.limit:
                raise GroupError(f"{', '.join(self._missing())} did not come within "
                                 f'{self.limit:g} s: were all started? Where that takes longer, '
                                 'give --limit SECONDS')

    def stop(self, why):
        """Tell all processes to end, and why."""
        self._say({'do': 'stop', 'why': why})

    def _members(self):
        return [member for found in self._found.values() for member in found if member]

    def _missing(self):
        return [f'{role} {i}' for role, found in self._found.items()
                for i, member in enumerate(found) if not member]

    def _say(self, command):
        for member in self._members():
            if not member.ended:
                self._send(member, command)

    @staticmethod
    def _send(member, command):
        try:
            member.channel.send(command)
        except OSError:                     # the thread in _meet sees the same error
            pass

    def _join(self, channel, command, answer):
        role, rank = command.get('role'), command.get('rank')
        found, now = self._found.get(role, []), time.monotonic()
        if rank is None:
            rank = next((i for i, member in enumerate(found) if member is None), len(found))
        if command.get('do') != 'join' or not (0 <= rank < len(found)) or found[rank]:
            why = f'there is a {role} {rank} already' if rank in range(len(found)) else \
                f'this group has {len(found)} {role}s, numbered from 0: no {role} {rank}'
            channel.send({'do': 'stop', 'why': f'{why}. Was it started twice, or with another '
                                               'DMLC_RANK or number of workers?'})
            return answer.put(None)
        found[rank] = Seen(f'{role} {rank}', channel, command.get('listens'), now)
        answer.put(found[rank])
        self._begun = self._begun or now
        if not self._missing():
            self._complete = True
            for found in self._found.values():
                for i, member in enumerate(found):
                    self._send(member, {
                        'do': 'welcome', 'rank': i, 'workers': len(self._found['worker']),
                        'limit': self.limit,
                        'listens': [server.listens for server in self._found['server']]})

    def _miss(self, member):
        member.ended = member.ended or time.monotonic()

    def _hear(self, member, command):
        do, member.heard = command['do'], time.monotonic()
        if do == 'alive':
            return self._send(member, {'do': 'alive'})
        if do == 'fail':
            raise GroupError(command['why'])
        member.since = member.heard
        if do == 'step':
            member.begun, member.waits = command['n'], ('begun', command['n'])
        elif do == 'stepped':
            member.waits = None
        elif do == 'leave':
            member.left = member.ended = member.heard
        elif do == 'barrier':
            member.barriers, member.waits = command['n'], ('barriers', command['n'])
            member.value = command['value']
            workers = self._found['worker']
            if all(worker.waits == member.waits for worker in workers):
                for worker in workers:
                    worker.waits, worker.since = None, member.heard
                    self._send(worker, {'do': 'passed', 'value': workers[0].value})
        else:
            raise GroupError(f'{member.name} says {do}, which no process of a group does')

    def _check(self, now):
        """Raise GroupError if a process has died, or waits for something that will not come."""
        workers = self._found['worker']
        for member in self._members():
            if not member.ended and now - member.heard > self.limit:
                raise GroupError(f'{member.name} has given no sign of life for {self.limit:g} s: it'
                                 ' is stopped, or its machine or the link to it is gone'
                                 + self._waiting_for(member))
        for worker in workers:
            if worker.ended or not worker.waits:
                continue
            late = [other for other in workers if not other.reached(worker.waits)]
            for other in late:
                if other.left or (other.ended and now - other.ended > GRACE):
                    raise GroupError(
                        f'{worker.name} waits {worker.where()} for {other.name}, which has ended '
                        f"{'' if other.left else 'without a word '}after {other.steps} steps. "
                        + self._counts(worker, other))
                if other.waits and not worker.reached(other.waits):
                    raise GroupError(f'{worker.name} waits {worker.where()}, {other.name} '
                                     f'{other.where()}: neither comes to the other. '
                                     + self._counts(worker, other))
            if now - worker.since <= self.limit:
                continue
            for other in late:
                if not other.ended and now - other.since > self.limit:
                    raise GroupError(
                        f'{worker.name} has waited {worker.where()} for {now - worker.since:.0f} s:'
                        f' {other.name} has made no progress for {now - other.since:.0f} s, after '
                        f'{other.steps} steps. Where it computes for so long between two steps, '
                        'give --limit SECONDS')
            if not late:
                raise GroupError(f'all workers have waited {worker.where()} for '
                                 f'{now - worker.since:.0f} s: the servers do not answer')

    def _waiting_for(self, member):
        waiting = [worker.name for worker in self._found['worker'] if worker.waits
                   and not worker.ended and worker is not member]
        return f". {' and '.join(waiting)} {'wait' if waiting[1:] else 'waits'} for it" \
            if waiting else ''

    @staticmethod
    def _counts(first, second):
        if first.steps == second.steps:
            return 'All workers have to call step, save and barrier at the same places'
        return (f'Unequal numbers of minibatches: {first.name} is at {first.steps}, {second.name} '
                f'at {second.steps}. distributed.Share gives each worker as many')


def run(key, address, workers, servers, limit):
    """Run the scheduler, and return the exit status."""
    scheduler = None
    try:
        scheduler = Scheduler(key, address, workers, servers, limit)
        scheduler.run()
        return 0
    except GroupError as err:
        if scheduler:
            scheduler.stop(str(err))
        print(err, file=sys.stderr, flush=True)
        return STOPPED
