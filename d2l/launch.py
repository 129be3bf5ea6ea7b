"""Training in several processes on MXNet's own parameter server (12.7).

    python -m d2l.launch -n 2 SCRIPT ARGS               # two workers, one server, on this machine
    python -m d2l.launch -n 4 -s 2 --hosts FILE SCRIPT ARGS     # on the hosts of FILE, over ssh

A group is a scheduler, servers and workers. Only the workers run SCRIPT; see `d2l.distributed` for
what it says. Each line of output carries its process. When a process dies, the others are ended
and the launcher says which one it was. On this machine all sockets are bound to loopback.

FILE has a host a line: a name or address that all others reach. Processes are dealt out in turn;
the scheduler is on the first host. The hosts need this working folder, the same Python and ssh
without a password. Of the environment only the DMLC_ variables below are sent.

Any other cluster's scheduler can start the processes itself, each with `--role`: one scheduler,
servers and workers, in this environment, which is all there is to it:

    DMLC_PS_ROOT_URI      address of the scheduler
    DMLC_PS_ROOT_PORT     its port, any free one
    DMLC_NUM_WORKER       how many workers
    DMLC_NUM_SERVER       how many servers
    DMLC_NODE_HOST        address of this process's own machine
    DMLC_RANK             of a worker, 0 to DMLC_NUM_WORKER - 1; without it, the order of arrival

Slurm, four workers and two servers (Slurm ends the others when one dies):

    #!/bin/bash
    #SBATCH --ntasks=7
    export DMLC_PS_ROOT_URI=$(hostname -i) DMLC_PS_ROOT_PORT=9091
    export DMLC_NUM_WORKER=4 DMLC_NUM_SERVER=2
    srun --kill-on-bad-exit=1 bash -c '
        export DMLC_NODE_HOST=$(hostname -i)
        if   [ $SLURM_PROCID = 0 ]; then python -m d2l.launch --role scheduler
        elif [ $SLURM_PROCID -le 2 ]; then python -m d2l.launch --role server
        else DMLC_RANK=$((SLURM_PROCID - 3)) python -m d2l.launch --role worker train.py
        fi'

Kubernetes, an Indexed Job with the same seven pods, a headless Service `d2l`, and in the container

    env:
    - {name: DMLC_PS_ROOT_PORT, value: "9091"}
    - {name: DMLC_NUM_WORKER, value: "4"}
    - {name: DMLC_NUM_SERVER, value: "2"}
    - {name: DMLC_NODE_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    command: [bash, -c]
    args:
    - export DMLC_PS_ROOT_URI=$(getent hosts train-0.d2l | cut -d" " -f1);
      if [ $JOB_COMPLETION_INDEX = 0 ]; then exec python -m d2l.launch --role scheduler;
      elif [ $JOB_COMPLETION_INDEX -le 2 ]; then exec python -m d2l.launch --role server;
      else DMLC_RANK=$((JOB_COMPLETION_INDEX - 3)) exec python -m d2l.launch --role worker train.py;
      fi

with `backoffLimit: 0`, so that the Job ends when a pod does.
"""
import argparse
import collections
import errno
import itertools
import os
import pickle
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

LAST_LINES = 10         # of a process that died, are shown again
POLL = 0.05             # seconds between looks at the processes
GRACE = 2.0             # seconds to end in, before SIGKILL
LEAVE = 5.0             # seconds that scheduler and servers have when all workers are done
LOOPBACK = '127.0.0.1'
PORT = 9091             # of the scheduler on other hosts, where no free one can be looked for


class LaunchError(RuntimeError):
    """The group cannot be started. The message names the cure."""


class Process:
    """One process of the group: its output, line by line, under its name."""

    def __init__(self, name, command, env, shown):
        self.name, self.lines = name, collections.deque(maxlen=LAST_LINES)
        # its standard input is the launcher's hand: it ends when that is gone (see `watched`)
        self.popen = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      errors='replace', start_new_session=True)
        self.reader = threading.Thread(target=self._read, args=(shown,), daemon=True)

    def _read(self, shown):
        for line in self.popen.stdout:
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


def free_port(port=0):
    """A port of loopback that nobody listens on; `port` itself where it is not 0."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((LOOPBACK, port))
        except OSError as err:
            if err.errno != errno.EADDRINUSE:
                raise
            raise LaunchError(f'port {port} is taken: choose another with --port, or leave '
                              '--port out and a free one is found') from None
        return s.getsockname()[1]


def read_hosts(path):
    """(name, address) of each host in a file, a host a line; # begins a comment."""
    with open(path) as f:
        names = [line.partition('#')[0].strip() for line in f]
    names = [name for name in names if name]
    if not names:
        raise LaunchError(f'{path} names no host: write one a line')
    found = []
    for name in names:
        try:
            found.append((name, socket.gethostbyname(name)))
        except OSError as err:
            raise LaunchError(f'{path} names {name}, whose address is not known: {err}') from None
    return found


def plan(workers, servers, hosts, port):
    """(name, role, host or None, environment) of each process; hosts: pairs of read_hosts or []."""
    root = hosts[0][1] if hosts else LOOPBACK
    common = {'DMLC_PS_ROOT_URI': root, 'DMLC_PS_ROOT_PORT': str(port),
              'DMLC_NUM_WORKER': str(workers), 'DMLC_NUM_SERVER': str(servers)}
    names = [('scheduler', 'scheduler', {})]
    names += [(f'server {i}', 'server', {}) for i in range(servers)]
    names += [(f'worker {i}', 'worker', {'DMLC_RANK': str(i)}) for i in range(workers)]
    for (name, role, own), (host, address) in zip(names, itertools.cycle(hosts
                                                                         or [(None, LOOPBACK)])):
        yield name, role, host, {**common, 'DMLC_NODE_HOST': address, **own}


def command_of(role, script, host, env):
    """The command line of a process, on this machine or through ssh."""
    command = [sys.executable, os.path.abspath(__file__), '--watched', '--role', role]
    command += script if role == 'worker' else []
    if host is None:
        return command
    variables = [f'{key}={value}' for key, value in env.items()]
    remote = f'cd {shlex.quote(os.getcwd())} && exec ' + shlex.join(['env', *variables, *command])
    return ['ssh', '-o', 'BatchMode=yes', host, remote]


def launch(script, workers, servers=1, hosts=(), port=0):
    """Run a group until its workers are done; return an exit status.

    script: list of the script's path and its arguments. hosts: pairs of `read_hosts`. port: of the
    scheduler, 0 for any. The status is 0 where all workers end well, else that of the process that
    died first, 128 + N where signal N killed it. Raises LaunchError before anything is started.
    """
    if not os.path.isfile(script[0]):
        raise LaunchError(f'there is no script {script[0]}')
    port = (port or PORT) if hosts else free_port(port)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith('DMLC_')}
    inherited['PYTHONUNBUFFERED'] = '1'
    group, shown = [], threading.Lock()
    try:
        for name, role, host, env in plan(workers, servers, hosts, port):
            group.append(Process(name, command_of(role, script, host, env), {**inherited, **env},
                                 shown))
            group[-1].reader.start()
        return watch(group)
    finally:
        end(group)


def watch(group):
    """Wait until all workers have ended well or one process has not; return the exit status."""
    working = [process for process in group if process.name.startswith('worker')]
    while any(process.popen.returncode is None for process in working):
        time.sleep(POLL)
        bad = [process for process in group if process.popen.poll()]
        if bad:
            return lost(bad[0])
    limit = time.monotonic() + LEAVE                # a script may not have used them at all
    while any(process.popen.poll() is None for process in group) and time.monotonic() < limit:
        time.sleep(POLL)
    return 0


def lost(process):
    """Say which process died, how, and what it wrote last; return the exit status."""
    code = process.popen.returncode
    process.reader.join(0.5)                        # what it has written is read
    how = f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
    print(f'd2l.launch: {process.name} died ({how}); the others are ended. Its last lines:',
          file=sys.stderr)
    print(''.join(f'    {line.rstrip()}\n' for line in process.lines) or '    (none)\n', end='',
          file=sys.stderr, flush=True)
    return 128 - code if code < 0 else code


def end(group):
    """Leave no process behind: SIGTERM, and after GRACE seconds SIGKILL. Ctrl-C has to wait."""
    handlers = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    for process in group:
        process.kill(signal.SIGTERM)
    limit = time.monotonic() + GRACE
    while any(process.popen.poll() is None for process in group) and time.monotonic() < limit:
        time.sleep(POLL)
    for process in group:
        process.kill(signal.SIGKILL)                # also what it has started
        process.popen.wait()
        process.reader.join(1)
        process.popen.stdin.close()
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


# In the processes of the group

def watched():
    """End this process, and what it has started, when its launcher is gone: standard input ends."""
    def wait():
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)
    threading.Thread(target=wait, daemon=True).start()


def serve():
    """Be a server until the workers are done.

    MXNet's own server takes optimizers only. This one also takes commands, a dict: `save` and
    `load` with a folder for the state of its optimizer, and `learning_rate` with a number.
    """
    import mxnet                                    # before DMLC_ROLE is set: else it serves itself
    from mxnet.kvstore.kvstore_server import KVStoreServer

    os.environ['DMLC_ROLE'] = 'server'
    store = mxnet.kvstore.create('dist')

    def obey(head, body, _):
        try:
            command = pickle.loads(body)
            if isinstance(command, mxnet.optimizer.Optimizer):
                return store.set_optimizer(command)
            updater, path = store._updater, f'server-{store.rank}.states'
            if 'save' in command:
                with open(os.path.join(command['save'], path), 'wb') as f:
                    f.write(updater.get_states(dump_optimizer=True))
            elif 'load' in command:
                with open(os.path.join(command['load'], path), 'rb') as f:
                    updater.set_states(f.read())
            else:
                updater.optimizer.set_learning_rate(command['learning_rate'])
        except BaseException:                       # ctypes would print it and go on
            traceback.print_exc()
            os._exit(1)

    server = KVStoreServer(store)
    server._controller = lambda: obey
    server.run()


def work(script):
    """Run a script as a worker.

    An interpreter that ends waits until the other workers are done too. After an error that would
    be for ever, so this process leaves at once.
    """
    os.environ['DMLC_ROLE'] = 'worker'
    sys.argv[:] = script
    sys.path.append(sys.path[0])                    # of d2l, where it is not installed
    sys.path[0] = os.path.dirname(os.path.abspath(script[0]))
    code = 1
    try:
        runpy.run_path(script[0], run_name='__main__')
        return
    except SystemExit as err:
        if not err.code:
            return
        code = err.code if isinstance(err.code, int) else 1
        if code is not err.code:
            print(err.code, file=sys.stderr)
    except BaseException as err:
        tb = err.__traceback__
        while tb.tb_next and tb.tb_frame.f_code.co_filename != script[0]:
            tb = tb.tb_next
        traceback.print_exception(type(err), err, tb)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def be(role, script):
    """Be one process of a group, in the environment that the module's text lists."""
    missing = [name for name in ('DMLC_PS_ROOT_URI', 'DMLC_PS_ROOT_PORT', 'DMLC_NUM_WORKER',
                                 'DMLC_NUM_SERVER', 'DMLC_NODE_HOST') if name not in os.environ]
    if missing:
        raise LaunchError(f"--role needs {', '.join(missing)} in the environment "
                          '(see the text of d2l/launch.py)')
    os.environ.pop('DMLC_ROLE', None)
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))   # not d2l/ itself
    import d2l_cuda

    sys.meta_path.insert(0, d2l_cuda)               # as `import d2l` does
    if role == 'worker':
        work(script)
    elif role == 'server':
        serve()
    else:
        from mxnet.kvstore import kvstore_server

        os.environ['DMLC_ROLE'] = 'scheduler'
        kvstore_server._init_kvstore_server_module()        # leaves when all are done


def main(argv=None):
    """Return the exit status: that of `launch`, 2 for a bad call, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m d2l.launch',
                                     description=__doc__.splitlines()[0])
    parser.add_argument('-n', type=int, metavar='WORKERS', help='workers')
    parser.add_argument('-s', type=int, default=1, metavar='SERVERS', help='servers (1)')
    parser.add_argument('--hosts', metavar='FILE', help='a host a line, reached over ssh')
    parser.add_argument('--port', type=int, default=0, help="the scheduler's (any free one; "
                                                            f'with --hosts {PORT})')
    parser.add_argument('--role', choices=('scheduler', 'server', 'worker'),
                        help='be one process of a group that something else starts')
    parser.add_argument('--watched', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('script', nargs=argparse.REMAINDER, metavar='SCRIPT ARGS')
    args = parser.parse_args(argv)
    if args.role not in ('scheduler', 'server') and not args.script:
        parser.error('which SCRIPT?')
    if not args.role and not (args.n and args.n > 0 and args.s > 0):
        parser.error('how many workers? -n 2; and at least one server')
    try:
        if args.role:
            if args.watched:
                watched()
            return be(args.role, args.script)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)       # `| head` ends the group, too
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        return launch(args.script, args.n, args.s, read_hosts(args.hosts) if args.hosts else (),
                      args.port)
    except LaunchError as err:
        print(f'{parser.prog}: {err}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
