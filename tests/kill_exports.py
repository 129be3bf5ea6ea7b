"""Kill processes while they export, for tests/test_hybrid_saved.py.

    python -m tests.kill_exports FOLDER COUNT

Children of this process export two nets in turn to the same path, and are killed: first at each
call of a function that renames or removes, then COUNT times at a random moment. After each kill,
the export at that path has to be one of the two nets. Prints how many kills lost the export, and
which files are left in the folder.
"""
import os
import pathlib
import random
import signal
import sys
import time


def main(folder, count):
    from mxnet import np, npx
    from mxnet.gluon import nn

    from d2l import export, load_exported

    npx.set_np()
    path, X, nets = str(folder / 'net'), np.ones((2, 64)), []
    for layers in 1, 3:
        net = nn.Sequential()
        net.add(*[nn.Dense(64, in_units=64) for _ in range(layers)])
        net.initialize()
        nets.append(net)
    wanted = [net(X).asnumpy() for net in nets]
    export(nets[0], path, X)

    def child(stop_at):
        """Export for ever; kill this process at call number stop_at of those that rename or
        remove."""
        calls = 0

        def counted(original):
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == stop_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **kwargs)
            return call
        for name in 'rename', 'replace', 'rmdir':
            setattr(os, name, counted(getattr(os, name)))
        for i in range(10 ** 9):
            export(nets[(i + 1) % 2], path, X)

    lost, draw = [], random.Random(0)
    for stop_at in [*range(1, 12), *[None] * count]:
        pid = os.fork()
        if pid == 0:
            child(stop_at)
        if stop_at is None:
            time.sleep(draw.uniform(.02, .12))
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        try:
            found = load_exported(path)(X).asnumpy()
            if not any((found == one).all() for one in wanted):
                lost.append(f'{stop_at}: another net')
        except Exception as error:
            lost.append(f'{stop_at}: {error!r}')
    export(nets[0], path, X)
    print(f'{11 + count} kills, {len(lost)} lost an export: {lost}')
    print('left:', *sorted(os.listdir(folder)))


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
