"""d2l.launch with real processes, which start together and end together."""
import os
import pathlib
import re
import signal
import sys
import time

import pytest

from d2l import launch
from tests.support import GONE, SECRET, STEPS, both_step, roles, said_by

ERRORS = {
    'raise ValueError("the third line")': (1, 'ValueError: the third line'),
    'print("no data"); sys.exit(7)': (7, 'no data'),
}


def role(command):
    return command[command.index('--role') + 1] if '--role' in command else 'launcher'


def listening(pids):
    """Addresses, in hexadecimal, on which the processes listen."""
    inodes = set()
    for pid in pids:
        for fd in pathlib.Path(f'/proc/{pid}/fd').iterdir():
            try:
                inodes |= set(re.findall(r'socket:\[(\d+)\]', os.readlink(fd)))
            except OSError:
                pass
    rows = [line.split() for name in ('tcp', 'tcp6')
            for line in pathlib.Path(f'/proc/net/{name}').read_text().splitlines()[1:]]
    return {row[1].partition(':')[0] for row in rows if row[3] == '0A' and row[9] in inodes}


@pytest.mark.parametrize('victim', ['worker', 'server', 'scheduler'])
def test_a_death_ends_the_group(group, victim):
    popen, pids = group(STEPS)
    both_step(popen)
    running = pids()
    assert sorted(map(role, running.values())) == ['launcher', 'scheduler', 'server', 'worker',
                                                   'worker']
    assert listening(running) == set()              # they listen on no port at all
    killed = [pid for pid in running if role(running[pid]) == victim][-1]
    start = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    said = popen.communicate(timeout=60)[0]
    assert time.monotonic() - start < GONE
    assert popen.returncode == 128 + signal.SIGKILL and pids() == {}
    assert re.search(rf'd2l.launch: {victim}( \d)? died \(killed by SIGKILL\)', said)
    assert f'    steps {killed}\n' in said or victim != 'worker'
    assert SECRET not in said


@pytest.mark.parametrize('signum, status', [
    (signal.SIGINT, 130), (signal.SIGTERM, 128 + 15), (signal.SIGKILL, -9),
    pytest.param(signal.SIGHUP, -1, marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason='under nohup it is to go on'))])
def test_a_launcher_that_ends_leaves_no_process(group, signum, status):
    popen, pids = group('import time; print("steps"); time.sleep(600)')
    both_step(popen)
    popen.send_signal(signum)
    assert popen.wait(GONE) == status
    limit = time.monotonic() + GONE
    while pids() and time.monotonic() < limit:
        time.sleep(0.05)
    assert pids() == {}


@pytest.mark.parametrize('error', ERRORS)
def test_an_error_in_one_worker_ends_the_group(group, error):
    code, text = ERRORS[error]
    popen, pids = group(STEPS.replace('step += 1', 'step += 1\n    if step == 3 and '
                                      f'distributed.rank() == 1: {error}'))
    said = popen.communicate(timeout=120)[0]
    assert popen.returncode == code and pids() == {}
    assert f'worker 1 died (exit code {code})' in said and text in said
    assert 'runpy' not in said and 'd2l/launch.py' not in said       # the script's own traceback


def test_processes_that_workers_started_end_with_them(group):
    popen, pids = group('import subprocess, time; subprocess.Popen(["sleep", "600"]); '
                        'print("steps"); time.sleep(600)')
    both_step(popen)
    workers = [pid for pid, command in pids().items() if role(command) == 'worker']
    os.kill(workers[0], signal.SIGKILL)
    popen.wait(60)
    assert pids() == {}


def test_lines_carry_their_process_and_ranks_are_the_launchers(group):
    popen, pids = group('import sys\nfrom d2l import distributed\n'
                        'print("I am", distributed.rank(), sys.argv[1:], __name__)')
    said = popen.communicate(timeout=120)[0]
    assert sorted(said.splitlines()) == [f"[worker {k}] I am {k} ['argument'] __main__"
                                         for k in range(2)]
    assert popen.returncode == 0 and pids() == {}


def test_over_ssh_the_hosts_get_the_workers(group, tmp_path):
    """A shell script takes the place of ssh. It notes the host, runs the command on this machine,
    and makes a link to each socket that ssh would forward."""
    ssh = tmp_path / 'bin' / 'ssh'
    ssh.parent.mkdir()
    ssh.write_text(f"""#!/bin/bash
while [ "${{1#-}}" != "$1" ]; do
    [ "$1" = -R ] && ln -s "${{2#*:}}" "${{2%%:*}}"
    shift 2
done
echo "$*" >> {tmp_path}/calls
exec sh -c "$2"
""")
    ssh.chmod(0o755)
    hosts = tmp_path / 'hosts'
    hosts.write_text('first   # this one\n\nsecond\n')
    popen, pids = group(STEPS, '-s', '2', '--hosts', str(hosts),
                        PATH=f'{ssh.parent}:{os.environ["PATH"]}')
    both_step(popen)
    calls = (tmp_path / 'calls').read_text()
    assert sorted(re.findall(r'^(\S+) cd .*--role (\w+)', calls, flags=re.M)) == [
        ('first', 'worker'), ('second', 'worker')]      # the others run on this machine
    assert SECRET not in calls
    folders = set(re.findall(r'DMLC_PS_ROOT_URI=(/tmp/d2l-\w+)/[01] ', calls))
    assert len(folders) == 2 and all(os.path.exists(folder) for folder in folders)
    os.kill(popen.pid, signal.SIGKILL)              # the processes on the hosts notice it
    limit = time.monotonic() + GONE
    while pids() and time.monotonic() < limit:
        time.sleep(0.05)
    assert pids() == {}
    assert not any(os.path.exists(folder) for folder in folders)


def test_a_clusters_scheduler_starts_a_group_by_roles_and_environment(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text('import d2l\nfrom d2l import distributed\n'
                      'print(distributed.rank(), distributed.num_workers(), d2l.__version__)')
    group = roles([script])
    said = sorted(said_by(group))
    assert said[:2] == ['', ''] and [line.split()[:2] for line in said[2:]] == [['0', '2'],
                                                                                ['1', '2']]
    assert all(line.split()[2].startswith('0.7.1+mxnet.') for line in said[2:])
    assert [popen.returncode for popen in group] == [0, 0, 0, 0]


@pytest.mark.parametrize('args, says', [
    (['-n', '2'], 'which SCRIPT'), (['x.py'], '-n 2'), (['-n', '0', 'x.py'], '-n 2'),
    (['-n', '2', 'no/such.py'], 'there is no script no/such.py'),
    (['-n', '2', '--hosts', os.devnull, __file__], 'names no host'),
    (['-n', '2', '--hosts', 'no/such', __file__], 'no/such cannot be read'),
    (['-n', '2', '--hosts', sys.executable, __file__], 'cannot be read'),
    (['--role', 'server'], 'DMLC_PS_ROOT_URI, '),
    (['-n', '2', '--port', '99999', 'x.py'], 'no --port'),
    (['-n', '2', '--limit', '0', 'x.py'], 'number of seconds'),
    (['-n', '2', '--limit', 'nan', 'x.py'], 'number of seconds'),
])
def test_a_bad_call_names_the_cure(args, says, capsys, monkeypatch):
    try:
        status = launch.main(args)
    except SystemExit as err:
        status = err.code
    assert status == 2 and says in capsys.readouterr().err


def test_the_launcher_itself_does_not_import_mxnet(python):
    done = python('-X', 'importtime', '-m', 'd2l.launch', '-h')
    assert done.returncode == 0 and not re.search(r'\| +mxnet$', done.stderr, re.M)
