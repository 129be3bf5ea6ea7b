"""d2l.launch on several hosts, which are network namespaces here, and on a real Slurm."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import time

import pytest

from d2l import launch
from tests import train_small
from tests.support import GONE, REPO, STEPS, TOLERANCE, assert_same, both_step, parameters

ROOT = os.geteuid() == 0
SSHD = shutil.which('sshd', path=f'{os.environ["PATH"]}:/usr/sbin')
IP = shutil.which('ip', path=f'{os.environ["PATH"]}:/usr/sbin')
HOSTS = {'launcher': '10.77.0.1', 'first': '10.77.0.2', 'second': '10.77.0.3', 'third': '10.77.0.4'}
SLURM = ('munged', 'slurmctld', 'slurmd', 'sbatch')
SSHD_CONFIG = '''\
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
'''
SSH_CONFIG = '''\
Host *
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking accept-new
'''
SLURM_CONFIG = '''\
ClusterName=d2l
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/linear
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=8
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
'''


def sh(*command, check=True, **kwargs):
    return subprocess.run(list(map(str, command)), check=check, text=True, capture_output=True,
                          timeout=60, **kwargs)


@pytest.fixture
def hosts(tmp_path):
    """Network namespaces on one bridge, with sshd in `first` and `second`. Yields a function that
    makes a command run in one of them."""
    if not (ROOT and SSHD and IP and shutil.which('ssh-keygen')):
        pytest.skip('needs root, ip and sshd: apt-get install iproute2 openssh-server')
    names = {host: f'd2l-{os.getpid()}-{host}' for host in HOSTS}
    try:
        sh(IP, 'netns', 'add', names['launcher'])
    except subprocess.CalledProcessError as err:
        pytest.skip(f'no network namespaces here: {err.stderr.strip()}')
    daemons = []

    def inside(host, *command):
        return [IP, 'netns', 'exec', names[host], *map(str, command)]
    try:
        sh(*inside('launcher', IP, 'link', 'add', 'bridge', 'type', 'bridge'))
        for i, (host, address) in enumerate(HOSTS.items()):
            if i:
                sh(IP, 'netns', 'add', names[host])
                sh(*inside('launcher', IP, 'link', 'add', f'to{i}', 'type', 'veth', 'peer', 'name',
                           'out', 'netns', names[host]))
                sh(*inside('launcher', IP, 'link', 'set', f'to{i}', 'master', 'bridge', 'up'))
            device = 'out' if i else 'bridge'
            sh(*inside(host, IP, 'address', 'add', f'{address}/24', 'dev', device))
            for each in 'lo', device:
                sh(*inside(host, IP, 'link', 'set', each, 'up'))
        for name in 'key', 'host_key':
            sh('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', tmp_path / name)
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        for host in 'first', 'second':
            config = tmp_path / f'sshd-{host}'
            config.write_text(SSHD_CONFIG.format(address=HOSTS[host], folder=tmp_path))
            daemons.append(subprocess.Popen(inside(host, SSHD, '-D', '-e', '-f', config),
                                            stderr=subprocess.DEVNULL))
        (tmp_path / 'ssh_config').write_text(SSH_CONFIG.format(folder=tmp_path))
        ssh = tmp_path / 'bin' / 'ssh'
        ssh.parent.mkdir()
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n')
        ssh.chmod(0o755)
        (tmp_path / 'hosts').write_text(f"{HOSTS['first']}\n{HOSTS['second']}\n")
        yield inside
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait()
        for name in names.values():
            sh(IP, 'netns', 'del', name, check=False)


def on_hosts(inside, tmp_path, script, *args, options=()):
    """Start a group of two workers on the first and the second host."""
    return subprocess.Popen(
        inside('launcher', sys.executable, '-m', 'd2l.launch', '-n', 2, '--hosts',
               tmp_path / 'hosts', *options, script, *args), cwd=REPO, text=True,
        env={**os.environ, 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}'},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def folders():
    return {path for path in pathlib.Path('/tmp').glob('d2l-??????') if path.is_dir()}


@pytest.mark.xdist_group('hosts')
def test_two_hosts_train_as_one_process_does(hosts, tmp_path):
    before, there = folders(), tmp_path / 'there'
    there.mkdir()
    popen = on_hosts(hosts, tmp_path, REPO / 'tests' / 'train_small.py', there, 'rates', 2)
    said = popen.communicate(timeout=120)[0]
    assert popen.returncode == 0, said
    first, second = [parameters(there / f'{k}.params') for k in range(2)]
    assert_same(first, second)
    train_small.main(str(tmp_path), 'rates', 2)
    assert_same(first, parameters(tmp_path / '0.params'), TOLERANCE)
    assert folders() <= before


@pytest.mark.xdist_group('hosts')
def test_a_third_host_finds_no_port_and_a_cut_link_is_reported(hosts, tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(STEPS)
    popen = on_hosts(hosts, tmp_path, script, options=('--limit', 5))
    try:
        both_step(popen)
        for host in 'launcher', 'first', 'second':
            rows = [row.split() for row in sh(*hosts(
                host, 'cat', '/proc/net/tcp', '/proc/net/tcp6')).stdout.splitlines()]
            listening = {row[1].rpartition(':')[2] for row in rows if row[3:4] == ['0A']}
            assert listening == (set() if host == 'launcher' else {'0016'}), host   # sshd's 22
        refused = sh(*hosts('third', sys.executable, '-c', textwrap.dedent(f'''
            import socket
            for port in range(1, 65536):
                with socket.socket() as s:
                    if not s.connect_ex(({HOSTS['launcher']!r}, port)):
                        print('open', port)''')))
        assert refused.stdout == ''
        start = time.monotonic()
        sh(*hosts('second', IP, 'link', 'set', 'out', 'down'))
        said = popen.communicate(timeout=60)[0]
        assert popen.returncode not in (0, None)
        assert re.search(r'worker 1 has given no sign of life for 5 s: it is stopped, or its '
                         r'machine or the link to it is gone|worker 1 died \(exit code 255\)', said)
        assert time.monotonic() - start < 40
        # the processes on the host that is cut off end by themselves
        limit = time.monotonic() + 5 + 5 + GONE
        while time.monotonic() < limit and str(script) in sh('ps', '-ww', '-eo', 'args').stdout:
            time.sleep(0.1)
        assert str(script) not in sh('ps', '-ww', '-eo', 'args').stdout
    finally:
        popen.kill()
        popen.wait()
        popen.stdout.close()


@pytest.fixture
def slurm(tmp_path_factory):
    """A cluster of one node; yields its environment."""
    path = f'{os.environ["PATH"]}:/usr/sbin'
    missing = [name for name in SLURM if not shutil.which(name, path=path)]
    if missing or not ROOT:
        pytest.skip(f"needs root, {', '.join(missing or SLURM)}: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp('slurm')
    os.chmod(folder, 0o755)
    for parent in folder.parents:       # munged does not start if other users can write to one
        if parent != pathlib.Path('/tmp') and parent.is_relative_to('/tmp'):
            os.chmod(parent, 0o755)
    for name in 'state', 'spool':
        (folder / name).mkdir()
    (folder / 'munge.key').write_bytes(os.urandom(1024))
    (folder / 'munge.key').chmod(0o600)
    host = sh('hostname', '-s').stdout.strip()
    (folder / 'slurm.conf').write_text(SLURM_CONFIG.format(folder=folder, host=host))
    env = {**os.environ, 'SLURM_CONF': str(folder / 'slurm.conf'), 'PYTHONPATH': str(REPO),
           'PATH': f'{pathlib.Path(sys.executable).parent}:{path}'}
    daemons = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for command in [
        ['munged', '--foreground', '--force', f'--key-file={folder}/munge.key',
         f'--socket={folder}/munge.socket', f'--pid-file={folder}/munged.pid',
         f'--log-file={folder}/munged.log', f'--seed-file={folder}/munged.seed']]]
    try:
        while not (folder / 'munge.socket').exists():
            time.sleep(0.1)
        for command in ['slurmctld', '-D'], ['slurmd', '-D', '-N', host]:
            daemons.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL))
        limit = time.monotonic() + 60
        while 'idle' not in sh('sinfo', '-h', '-o', '%T', env=env, check=False).stdout:
            assert time.monotonic() < limit, (folder / 'slurmctld.log').read_text()[-2000:] + (
                folder / 'slurmd.log').read_text()[-2000:]
            time.sleep(0.2)
        yield env
    finally:
        for daemon in daemons[::-1]:
            daemon.terminate()
            daemon.wait(30)


@pytest.mark.xdist_group('hosts')
@pytest.mark.parametrize('script, state, says', [
    ('print("worker", distributed.rank(), "of", distributed.num_workers())', 'COMPLETED',
     [f'worker {k} of 4' for k in range(4)]),
    ('if distributed.rank() == 2: raise ValueError("the data")\ndistributed.barrier()', 'FAILED',
     ['ValueError: the data'])])
def test_the_recipe_for_slurm(slurm, tmp_path, script, state, says):
    """The recipe is taken from the docstring of d2l.launch."""
    recipe = re.search(r"( *#!/bin/bash\n.*?fi')\n", launch.__doc__, flags=re.S)[1]
    (tmp_path / 'train.py').write_text(f'from d2l import distributed\n{script}\n')
    (tmp_path / 'job').write_text(textwrap.dedent(recipe))
    done = sh('sbatch', '--parsable', '-o', tmp_path / 'said', tmp_path / 'job', cwd=tmp_path,
              env=slurm)
    limit, found = time.monotonic() + 240, ''
    while not re.search('JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)', found):
        assert time.monotonic() < limit, found + (tmp_path / 'said').read_text()
        time.sleep(0.5)
        found = sh('scontrol', 'show', 'job', done.stdout.strip(), env=slurm).stdout
    said = (tmp_path / 'said').read_text()
    assert f'JobState={state}' in found, found + said
    for line in says:
        assert line in said.splitlines(), said
