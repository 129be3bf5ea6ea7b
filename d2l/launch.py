"""Training in several processes, by a scheduler, servers and workers (12.7).

    python -m d2l.launch -n 2 SCRIPT ARGS               # two workers, one server, on this machine
    python -m d2l.launch -n 4 -s 2 --hosts FILE SCRIPT ARGS     # workers on the hosts of FILE

Only the workers run SCRIPT, which uses the functions of `d2l.distributed`. Each line of output
begins with the name of its process. When a process dies, the launcher ends the others and says
which one it was. It also ends the group if a process waits for another one that will not come:
because that one has ended, waits elsewhere, or has shown no sign of life or no progress for 60
seconds (`--limit`). The standard input of a script is empty.

On this machine the processes meet on Unix sockets, in a folder that only their user can enter, so
that no port is opened. FILE names one host per line, which ssh must reach without a password
(BatchMode). Workers are started on the hosts in turn, the scheduler and the servers run on this
machine, and ssh carries their messages, so that no port is opened on any host either. The hosts
need this working folder, the same Python, and an sshd that forwards Unix sockets, as OpenSSH's
does. Of the environment, only the DMLC_ variables below are sent.

The scheduler of another cluster can start the processes itself, each with `--role`: one scheduler,
servers and workers. Each process reads the group's key, 64 hexadecimal digits, from the first line
of its standard input, and the rest from these environment variables:

    DMLC_PS_ROOT_URI      address of the scheduler
    DMLC_PS_ROOT_PORT     its port, any free one
    DMLC_NUM_WORKER       how many workers
    DMLC_NUM_SERVER       how many servers
    DMLC_NODE_HOST        address of this process's own machine
    DMLC_RANK             number of a worker, 0 to DMLC_NUM_WORKER - 1; else the order of arrival

Slurm, four workers and two servers:

    #!/bin/bash
    #SBATCH --ntasks=7
    export DMLC_PS_ROOT_URI=$(hostname -i) DMLC_PS_ROOT_PORT=$((20000 + SLURM_JOB_ID % 10000))
    export DMLC_NUM_WORKER=4 DMLC_NUM_SERVER=2
    python -c 'import secrets; print(secrets.token_hex(32))' | srun --kill-on-bad-exit=1 bash -c '
        export DMLC_NODE_HOST=$(hostname -i)
        if   [ $SLURM_PROCID = 0 ]; then python -m d2l.launch --role scheduler
        elif [ $SLURM_PROCID -le 2 ]; then python -m d2l.launch --role server
        else DMLC_RANK=$((SLURM_PROCID - 3)) python -m d2l.launch --role worker train.py
        fi'

Kubernetes, an Indexed Job with the same seven pods, a headless Service `d2l`, a Secret with the key
(and a newline) mounted at /etc/d2l, and in the container

    env:
    - {name: DMLC_PS_ROOT_PORT, value: "9091"}
    - {name: DMLC_NUM_WORKER, value: "4"}
    - {name: DMLC_NUM_SERVER, value: "2"}
    - {name: DMLC_NODE_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    command: [bash, -c]
    args:
    - exec < /etc/d2l/key; d2l="python -m d2l.launch --limit 600 --role";
      export DMLC_PS_ROOT_URI=$(getent hosts train-0.d2l | cut -d" " -f1);
      if [ $JOB_COMPLETION_INDEX = 0 ]; then exec $d2l scheduler;
      elif [ $JOB_COMPLETION_INDEX -le 2 ]; then exec $d2l server;
      else DMLC_RANK=$((JOB_COMPLETION_INDEX - 3)) exec $d2l worker train.py;
      fi

with `backoffLimit: 0`, so that the Job ends when a pod fails. The first pod waits for the last one
for up to --limit seconds, too.

Security: nobody can join a group without the key. No message can be forged, altered, repeated or
left out unnoticed, on a Unix socket, through ssh or between ports, because each message has a
counter and an HMAC. Its command is data, never code. The key is on no command line and in no
environment variable. On this machine and through ssh, nobody else can read the messages either.
Between the ports of `--role`, everybody on the network can read them: parameters and gradients are
not encrypted there, and Slurm and Kubernetes transport the key like any other data. An attacker who
cuts the network or floods a port can end the training, with an error. So use `--role` in a private
network only.
"""
import argparse
import atexit
import collections
import concurrent.futures
import contextlib
import itertools
import math
import os
import queue
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import typing

if __name__ == '__main__' and not __package__:      # a process of the group: see command_of
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from d2l_group import member, messages, scheduler  # noqa: E402

LAST_LINES = 10         # lines of output of a process that died, which are shown again
LONGEST_LINE = 1 << 16  # characters; a longer one is shown in parts
POLL = 0.05             # seconds between looks at the processes
GRACE = 2.0             # seconds between SIGTERM and SIGKILL
LEAVE = 5.0             # seconds that scheduler and servers have to end when all workers are done
LIMIT = 60.0            # seconds that a process may make no progress while others wait for it
REMOTE_FOLDER = '/tmp/d2l-'
LONGEST_PATH = 60       # characters of the sockets' folder, as a socket's path may have 107
SSH = ('ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=15', '-o', 'ServerAliveInterval=5', '-o',
       'ServerAliveCountMax=3', '-o', 'ExitOnForwardFailure=yes')


class LaunchError(RuntimeError):
    """An error: the group cannot be started. The message names the cure."""


class Process:
    """One process of the group, whose output is printed line by line with its name."""

    def __init__(self, name, command, env, key, shown):
        self.name, self.lines = name, collections.deque(maxlen=LAST_LINES)
        # Its standard input has the key. Then it stays open as long as the launcher lives, so that
        # the process can notice the launcher's end (see `standard_input`)
        reads, self.hand = os.pipe()
        os.write(self.hand, f'{key}\n'.encode())
        try:
            self.popen = subprocess.Popen(command, env=env, stdin=reads, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          errors='replace', start_new_session=True)
        finally:
            os.close(reads)
        self.reader = threading.Thread(target=self._read, args=(shown,), daemon=True)

    def _read(self, shown):
        for line in iter(lambda: self.popen.stdout.readline(LONGEST_LINE), ''):
            self.lines.append(line)
            with shown:
                sys.stdout.write(f'[{self.name}] {line.rstrip()}\n')
                sys.stdout.flush()

    def kill(self, signum):
        """Send a signal to the process and to those that it has started."""
        try:
            os.killpg(self.popen.pid, signum)
        except ProcessLookupError:
            pass


def read_hosts(path):
    """Return the hosts that a file names, one per line; # begins a comment."""
    try:
        with open(path) as f:
            names = [line.partition('#')[0].strip() for line in f]
    except (OSError, UnicodeError) as err:
        raise LaunchError(f'{path} cannot be read: {err}') from None
    names = [name for name in names if name]
    if not names:
        raise LaunchError(f'{path} names no host: write one a line')
    for name in names:
        if name.startswith('-') or len(name.split()) > 1:
            raise LaunchError(f'{path} has the line {name!r}, which is no host: write one a line')
    return names


@contextlib.contextmanager
def sockets():
    """Context manager: make a folder for the sockets of a group, which only this user can enter."""
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix='d2l-', dir=base if len(base) < LONGEST_PATH - 20 and
                              ':' not in base else '/tmp')
    try:
        yield messages.private_folder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_host(host, command):
    """Run a shell command on a host and return its output. Raises LaunchError if it fails."""
    try:
        done = subprocess.run([*SSH, host, command], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise LaunchError(f'ssh {host} does not answer for 60 s') from None
    except FileNotFoundError:
        raise LaunchError('--hosts needs ssh, which is not installed') from None
    if done.returncode:
        raise LaunchError(f'ssh {host} {command!r} ended with {done.returncode}: '
                          f'{done.stderr.strip()}')
    return done.stdout.strip()


@contextlib.contextmanager
def remote_sockets(hosts, workers):
    """Context manager: make a new folder on each host, with a folder in it for the sockets of each
    of its workers, and return {host: folder}."""
    ranks = collections.defaultdict(str)
    for i, host in zip(range(workers), itertools.cycle(hosts)):
        ranks[host] += f' $d/{i}'
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        made = {host: pool.submit(on_host, host, f'umask 077 && d=$(mktemp -d {REMOTE_FOLDER}XXXXXX'
                                  f') && mkdir{of_host} && echo $d')
                for host, of_host in ranks.items()}
        try:
            yield {host: future.result() for host, future in made.items()}
        finally:
            for host, future in made.items():
                if not future.exception():
                    pool.submit(on_host, host, f'rm -rf {shlex.quote(future.result())}')


def plan(workers, servers, hosts):
    """Yield (name, role, host or None, environment variables) for each process of a group."""
    yield 'scheduler', 'scheduler', None, {}
    for i in range(servers):
        yield f'server {i}', 'server', None, {'DMLC_RANK': str(i)}
    for i, host in zip(range(workers), itertools.cycle(hosts or [None])):
        yield f'worker {i}', 'worker', host, {'DMLC_RANK': str(i)}


def command_of(role, script, limit, host, env, here):
    """Return the command line that starts a process, on this machine or through ssh.

    env: the environment variables of this process; here: the folder of the sockets on this machine
    """
    command = [sys.executable, os.path.abspath(__file__), '--exit-with-launcher',
               '--limit', f'{limit:g}', '--role', role]
    command += script if role == 'worker' else []
    if host is None:
        return command
    forwards = [f'{env["DMLC_PS_ROOT_URI"]}/{name}:{here}/{name}' for name in
                ['scheduler', *(f'server-{i}' for i in range(int(env['DMLC_NUM_SERVER'])))]]
    variables = ['PYTHONUNBUFFERED=1', *(f'{key}={value}' for key, value in env.items())]
    remote = f'cd {shlex.quote(os.getcwd())} && exec ' + shlex.join(['env', *variables, *command])
    return [*SSH, *(part for forward in forwards for part in ('-R', forward)), host, remote]


def launch(script: list, workers: int, servers: int = 1, hosts: typing.Iterable = (),
           limit: float = LIMIT) -> int:
    """Run a group until its workers are done, and return an exit status.

    script: a list of the script's path and its arguments
    hosts: the hosts of the workers, by names that ssh knows
    limit: seconds that a process may make no progress while others wait for it

    The status is 0 if all workers succeed. Otherwise it is that of the process that died first, 128
    + N if signal N has killed it, or 1 if a process has waited in vain. Raises LaunchError before
    any process is started.
    """
    if not os.path.isfile(script[0]):
        raise LaunchError(f'there is no script {script[0]}')
    inherited = {key: value for key, value in os.environ.items() if not key.startswith('DMLC_')}
    inherited['PYTHONUNBUFFERED'] = '1'
    group, shown, key = [], threading.Lock(), messages.new_key()
    with sockets() as here, remote_sockets(hosts, workers) as folders:
        try:
            for name, role, host, own in plan(workers, servers, hosts):
                env = {'DMLC_PS_ROOT_URI': f"{folders[host]}/{own['DMLC_RANK']}" if host else here,
                       'DMLC_NUM_WORKER': str(workers), 'DMLC_NUM_SERVER': str(servers), **own}
                command = command_of(role, script, limit, host, env, here)
                group.append(Process(name, command, {**inherited, **env}, key, shown))
                group[-1].reader.start()
            return watch(group)
        finally:
            terminate(group)


def watch(group):
    """Wait until all workers have succeeded, or a process has failed. Return the exit status."""
    working = [process for process in group if process.name.startswith('worker')]
    while any(process.popen.returncode is None for process in working):
        time.sleep(POLL)
        bad = [process for process in group if process.popen.poll()]
        if bad:
            # Of several the last: the scheduler, the first of all, may have ended because of it
            return report_failure(bad[-1])
    # a script may not have used scheduler and servers at all, so they may not end by themselves
    limit = time.monotonic() + LEAVE
    while any(process.popen.poll() is None for process in group) and time.monotonic() < limit:
        time.sleep(POLL)
    return 0


def report_failure(process):
    """Print which process died, how, and its last lines of output. Return the exit status."""
    code = process.popen.returncode
    process.reader.join(0.5)                        # until all of its output is read
    if process.name == 'scheduler' and code == scheduler.STOPPED and process.lines:
        print(f'd2l.launch: {process.lines[-1].rstrip()}. All are ended.', file=sys.stderr,
              flush=True)
        return 1
    named = {number.value: number.name for number in signal.Signals}
    how = f'killed by {named.get(-code, f"signal {-code}")}' if code < 0 else f'exit code {code}'
    print(f'd2l.launch: {process.name} died ({how}); the others are ended. Its last lines:',
          file=sys.stderr)
    print(''.join(f'    {line.rstrip()}\n' for line in process.lines) or '    (none)\n', end='',
          file=sys.stderr, flush=True)
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _group_ends_with_this_process():
    """Context manager in which SIGTERM, and SIGPIPE as from `| head`, end the group, too."""
    handlers = {signal.SIGPIPE: signal.SIG_DFL,
                signal.SIGTERM: lambda *_: sys.exit(128 + signal.SIGTERM)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate(group):
    """End all processes by SIGTERM, and after GRACE seconds by SIGKILL. Ctrl-C is ignored until
    then."""
    handlers = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    for process in group:
        process.kill(signal.SIGTERM)
    limit = time.monotonic() + GRACE
    while any(process.popen.poll() is None for process in group) and time.monotonic() < limit:
        time.sleep(POLL)
    for process in group:
        process.kill(signal.SIGKILL)                # also ends processes that it has started
        process.popen.wait()
        process.reader.join(1)
        os.close(process.hand)
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


# What the processes of a group run

def standard_input(exit_with_launcher, folder, limit):
    """Read the group's key from standard input and return it. From then on, standard input is empty
    for the script.

    exit_with_launcher: whether this process, and the processes that it has started, end when the
        launcher is gone. They notice this because standard input is closed then
    folder: the folder of the sockets, which is removed then; None if there is none
    limit: seconds in which the key has to come
    """
    if os.isatty(0):
        raise LaunchError("--role reads the group's key from standard input, which is a terminal "
                          'here: see the text of d2l/launch.py')
    key = messages.read_key(0, limit)
    hand = os.dup(0)
    os.set_inheritable(hand, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait():
        while os.read(hand, 1):
            pass
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
            if os.path.dirname(folder).startswith(REMOTE_FOLDER):
                with contextlib.suppress(OSError):      # it may have folders of other workers
                    os.rmdir(os.path.dirname(folder))
        os.killpg(0, signal.SIGKILL)
    if exit_with_launcher:
        threading.Thread(target=wait, daemon=True).start()
    else:
        os.close(hand)
    return key


def natural(name, least):
    """Return a whole number from an environment variable, and delete the variable. If it stayed,
    MXNet's own ps-lite would wait for a scheduler of its own."""
    text = os.environ.pop(name)
    if not (re.fullmatch('[0-9]{1,6}', text) and int(text) >= least):
        raise LaunchError(f'{name}={text[:99]} has to be a whole number, {least} or more')
    return int(text)


def host(name):
    """Check that a text can be the name of a host, and return it. Raises LaunchError."""
    try:
        name.encode('idna')
    except UnicodeError:
        raise LaunchError(f'{name[:99]!r} is no name of a host') from None
    return name


def place():
    """Read the environment variables that the module's docstring lists.

    Return (address of the scheduler, address at which this process listens, number of workers,
    number of servers, rank or None).
    """
    root = os.environ.get('DMLC_PS_ROOT_URI', '')
    needed = ['DMLC_PS_ROOT_URI', 'DMLC_NUM_WORKER', 'DMLC_NUM_SERVER']
    needed += [] if root.startswith('/') else ['DMLC_PS_ROOT_PORT', 'DMLC_NODE_HOST']
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise LaunchError(f"--role needs {', '.join(missing)} in the environment "
                          '(see the text of d2l/launch.py)')
    del os.environ['DMLC_PS_ROOT_URI']
    workers, servers = natural('DMLC_NUM_WORKER', 1), natural('DMLC_NUM_SERVER', 1)
    rank = natural('DMLC_RANK', 0) if 'DMLC_RANK' in os.environ else None
    if root.startswith('/'):                        # the launcher's folder
        messages.private_folder(root)
        return (os.path.join(root, 'scheduler'), os.path.join(root, f'server-{rank}'), workers,
                servers, rank)
    port = natural('DMLC_PS_ROOT_PORT', 1)
    if port > 65535:
        raise LaunchError(f'DMLC_PS_ROOT_PORT={port} is no port: 1 to 65535')
    return (host(root), port), (host(os.environ.pop('DMLC_NODE_HOST')), 0), workers, servers, rank


def serve(key, address, listens, rank, exit_with_launcher, limit):
    """Run a server until the workers are done."""
    requests, ready = queue.SimpleQueue(), threading.Event()

    def hear(channel):
        ready.wait()
        server.hear(channel, requests)
    listener = messages.Listener(listens, key, 'server', hear)
    member.this = member.Member('server', key, address, rank,
                                None if isinstance(listens, str) else listener.address,
                                exit_with_launcher, limit)
    from d2l_group import server  # imports MXNet while the other processes already go on

    ready.set()
    server.run(requests)


def work(script):
    """Run a script as a worker. After an error the process ends at once, without waiting for
    threads or operators."""
    sys.argv[:] = script
    sys.path.append(sys.path[0])                    # the folder of d2l, as it may not be installed
    sys.path[0] = os.path.dirname(os.path.abspath(script[0]))
    atexit.register(member.this.leave)
    try:
        runpy.run_path(script[0], run_name='__main__')
        if 'mxnet' in sys.modules:
            sys.modules['mxnet'].npx.waitall()      # operators run late, and may raise only now
        return
    except SystemExit as err:
        code = err.code
        if code is None or code == 0 and isinstance(code, int):
            return
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as err:
        code, tb = 1, err.__traceback__
        while tb.tb_next and tb.tb_frame.f_code.co_filename != script[0]:
            tb = tb.tb_next
        traceback.print_exception(type(err), err, tb)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code % 256 or 1)                       # an exit status is one byte; it must not be 0


def run_role(role, script, exit_with_launcher, limit):
    """Run this process with this role in a group, and return its exit status."""
    address, listens, workers, servers, rank = place()
    key = standard_input(exit_with_launcher,
                         os.path.dirname(address) if isinstance(address, str) else None, limit)
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))   # not d2l/ itself
    if role == 'scheduler':
        return scheduler.run(key, address, workers, servers, limit)
    import d2l_finder

    d2l_finder.install()                            # as `import d2l` does
    if role == 'server':
        serve(key, address, listens, rank, exit_with_launcher, limit)
    member.this = member.Member('worker', key, address, rank, None, exit_with_launcher, limit)
    member.this.connect_servers()
    work(script)
    return 0


def seconds(text):
    """Parse the argument of --limit."""
    value = float(text)
    if not 1 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not a number of seconds, 1 or more')
    return value


def main(argv: typing.Optional[list] = None) -> int:
    """Run the command line. Return the exit status: that of `launch`, 2 for a wrong command line,
    130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m d2l.launch',
                                     description=__doc__.splitlines()[0])
    parser.add_argument('-n', type=int, metavar='WORKERS', help='workers')
    parser.add_argument('-s', type=int, default=1, metavar='SERVERS', help='servers (1)')
    parser.add_argument('--hosts', metavar='FILE', help="the workers' hosts, one a line, over ssh")
    parser.add_argument('--limit', type=seconds, default=LIMIT, metavar='SECONDS',
                        help='end the group when one makes no progress for so long while others '
                             f'wait ({LIMIT:g})')
    parser.add_argument('--role', choices=('scheduler', 'server', 'worker'),
                        help='be one process of a group that something else starts')
    parser.add_argument('--exit-with-launcher', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--port', help=argparse.SUPPRESS)
    parser.add_argument('script', nargs=argparse.REMAINDER, metavar='SCRIPT ARGS')
    args = parser.parse_args(argv)
    if args.port is not None:
        parser.error('a group has no --port any more: its processes meet on Unix sockets. Leave it '
                     'out')
    if args.role not in ('scheduler', 'server') and not args.script:
        parser.error('which SCRIPT?')
    if not args.role and not (args.n and args.n > 0 and args.s > 0):
        parser.error('how many workers? -n 2; and at least one server')
    try:
        if args.role:
            return run_role(args.role, args.script, args.exit_with_launcher, args.limit)
        with _group_ends_with_this_process():
            return launch(args.script, args.n, args.s,
                          read_hosts(args.hosts) if args.hosts else (), args.limit)
    except (LaunchError, messages.GroupError) as err:
        print(f'{parser.prog}: {err}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
