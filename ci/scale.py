"""A worker of ci.bench's scaling: LeNet of 6.6, with 256 images per worker and step.

`python -m d2l.launch -n 2 ci/scale.py STEPS`: rank 0 prints the images per second of all workers.
"""
import pathlib
import sys
import time

# Replace ci/ in sys.path: `import numbers` would find ci/numbers.py, not the standard library's
sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from mxnet import autograd, gluon, np  # noqa: E402

from ci.networks import NETWORKS, floats  # noqa: E402
from d2l import distributed  # noqa: E402

BATCH_SIZE = 256            # examples per worker


def main(steps):
    net, _ = next(network for network in NETWORKS if network.name == 'lenet').filled()
    X, y = floats(BATCH_SIZE, 1, 28, 28).draw('X'), np.zeros(BATCH_SIZE)
    trainer = distributed.trainer(net, 'sgd', {'learning_rate': 0.1})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    total = BATCH_SIZE * distributed.num_workers()

    def train(times):
        """Run this number of training steps, and return the seconds that they took."""
        distributed.barrier()
        start = time.perf_counter()
        for _ in range(times):
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(total)
        distributed.barrier()
        return time.perf_counter() - start

    train(2)
    speed = total * steps / train(steps)
    if distributed.rank() == 0:
        print('images a second:', speed)


if __name__ == '__main__':
    main(int(sys.argv[1]))
