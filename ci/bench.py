"""How fast are the book's networks? `python -m ci.bench [NAME ...]` writes build/bench.md.

Each network at the book's widths and batch size: a training step (forward, loss, backward, update)
and a prediction, in every way to run it, and by ONNX Runtime. The ways take turns, A B A B, for
some rounds; a ratio is the median of the rounds' ratios, so that a machine that is slow for a while
slows down both.

NAME `scaling`: LeNet on 1, 2 and 4 workers of a parameter server.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import mxnet
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from tqdm import tqdm

import d2l
from ci import regress, runtime
from ci.networks import Array, floats, fresh, leaves, tokens, values

BUILD = pathlib.Path(__file__).parent.parent / 'build'
LEAST = 0.2                 # seconds that a way is timed for, in each round
ROUNDS = 9
SCALING, SCALING_STEPS = 'scaling', 20
EAGER, COMPILED, STOCK, ONNX = 'eager', 'compiled', 'stock', 'ONNX Runtime'
WAYS = {EAGER: lambda net: net, COMPILED: d2l.hybridize}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A network of the registry, and how the book trains it.

    inputs: Arrays of the book's sizes; loss: 'softmax' over the last axis, 'masked' of that by the
    lengths in the last input, or 'sigmoid'; optimizer: of gluon.Trainer
    """
    network: str
    inputs: tuple
    loss: str = 'softmax'
    optimizer: str = 'sgd'

    @property
    def batch(self):
        """Examples in a minibatch: the first length of the first Array."""
        spec = self.inputs
        while not isinstance(spec, Array):
            spec = spec[0]
        return spec.shape[0]

    def filled(self):
        """The net with its parameters filled, and inputs of the book's sizes."""
        network, = regress.select([self.network], None)
        return dataclasses.replace(network, inputs=self.inputs).filled()

    def onnx(self):
        """A prediction by ONNX Runtime, a function without arguments."""
        net, inputs = self.filled()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'net.onnx')
            d2l.export_onnx(net, path, *fresh(inputs))
            runs = runtime.session(path)
        arrays = runtime.feed(runs, leaves(inputs))
        return lambda: runs.run(None, arrays)

    def prepared(self, way):
        """(training step, prediction): functions without arguments, of the net run in this way."""
        net, inputs = self.filled()
        net = WAYS[way](net)
        trainer = gluon.Trainer(net.collect_params(), self.optimizer, {'learning_rate': 1e-4})
        loss = LOSSES[self.loss](inputs)

        def predict():
            return next(leaves(net(*fresh(inputs))))

        def train():
            with autograd.record():
                value = loss(predict())
            value.backward()
            trainer.step(self.batch)
        return train, predict


def softmax(inputs):
    """Cross-entropy of class 1 everywhere."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return lambda outputs: loss(outputs, np.ones(outputs.shape[:-1]))


def masked(inputs):
    """The same, for as many steps of each sequence as the last input says."""
    loss = d2l.MaskedSoftmaxCELoss()
    return lambda outputs: loss(outputs, np.ones(outputs.shape[:-1]), inputs[-1])


def sigmoid(inputs):
    """Binary cross-entropy of 1 everywhere."""
    loss = gluon.loss.SigmoidBCELoss()
    return lambda outputs: loss(outputs, np.ones(outputs.shape))


LOSSES = {f.__name__: f for f in (softmax, masked, sigmoid)}
STATE = [floats(1, 32, 256)]
PAIRS = tokens(200, 64, 10), tokens(200, 64, 10), values(*[10, 8, 6, 4] * 16)
WORKLOADS = [
    Workload('hybrid_mlp', (floats(1, 512),)),      # 12.1's own benchmark
    Workload('mlp', (floats(256, 1, 28, 28),)),
    Workload('lenet', (floats(256, 1, 28, 28),)),
    Workload('googlenet', (floats(128, 1, 96, 96),)),
    Workload('resnet18', (floats(64, 1, 96, 96),)),
    Workload('densenet', (floats(64, 1, 96, 96),)),
    Workload('rnn', (tokens(28, 32, 35), STATE)),
    Workload('lstm', (tokens(28, 32, 35), STATE * 2)),
    Workload('lstm_scratch', (tokens(28, 32, 35), (floats(32, 256), floats(32, 256)))),
    Workload('seq2seq', PAIRS, 'masked', 'adam'),
    Workload('seq2seq_attention', PAIRS, 'masked', 'adam'),
    Workload('transformer', PAIRS, 'masked', 'adam'),
    Workload('dcgan_generator', (floats(64, 100, 1, 1),), 'sigmoid', 'adam'),
    Workload('dcgan_discriminator', (floats(64, 3, 64, 64),), 'sigmoid', 'adam'),
]


def seconds(function, times, wait=True):
    """Seconds that a call takes, from `times` of them until all is computed, or (wait=False) until
    Python goes on."""
    npx.waitall()
    start = time.perf_counter()
    for _ in range(times):
        function()
    if wait:
        npx.waitall()
    return (time.perf_counter() - start) / times


def compare(functions, rounds, least=LEAST, **options):
    """Time functions, a dict by name, in turn; return name -> list of seconds, one a round."""
    for function in functions.values():
        seconds(function, 1)                        # compiles, allocates
    times = {name: max(1, int(least / seconds(function, 1)))
             for name, function in functions.items()}
    found = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            found[name].append(seconds(function, times[name], **options))
    return found


def ratio(found, way, other):
    """The median, over the rounds, of the time of one way through that of another."""
    return statistics.median(a / b for a, b in zip(found[way], found[other]))


def call_overhead(rounds):
    """Way -> microseconds of a call of a one-layer net, compiled by d2l and by Gluon's hybridize."""
    nets, functions = {STOCK: nn.HybridSequential(), COMPILED: nn.HybridSequential()}, {}
    X = np.ones((1, 1))
    for way, net in nets.items():
        net.add(nn.Dense(1))
        net.initialize()
        net.hybridize(static_alloc=True) if way == STOCK else d2l.hybridize(net)
        functions[way] = lambda net=net: net(X)
    found = compare(functions, 10 * rounds, 0.01, wait=False)
    return {way: [1e6 * t for t in times] for way, times in found.items()}


def measure(workload, rounds):
    """{'training' or 'inference': {way: [seconds]}} of a workload."""
    prepared = {way: workload.prepared(way) for way in WAYS}
    training, inference = ({way: functions[i] for way, functions in prepared.items()}
                           for i in (0, 1))
    inference[ONNX] = workload.onnx()
    return {'training': compare(training, rounds), 'inference': compare(inference, rounds)}


def scaling(steps=SCALING_STEPS):
    """Workers -> images a second of all of them together, LeNet of 6.6 with 256 images each.

    Weak scaling on this machine, over loopback: 1 worker with its server, then 2 and 4. A worker
    computes with one thread.
    """
    speeds = {}
    for workers in 1, 2, 4:
        out = subprocess.run(
            [sys.executable, '-m', 'd2l.launch', '-n', str(workers), 'ci/scale.py', str(steps)],
            cwd=BUILD.parent, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=True, text=True,
            stdout=subprocess.PIPE).stdout
        speeds[workers] = float(re.search(r'images a second: (\S+)', out)[1])
    return speeds


def table(results):
    """Lines of Markdown: medians in ms and ratios, a row a network."""
    yield '| network | batch | training: eager, ms | compiled | ratio | inference: eager, ms ' \
          '| compiled | ratio | ONNX Runtime | to compiled |'
    yield '|---|' + '---:|' * 9
    for name, batch, found in results:
        cells = [name, str(batch)]
        for timed in found.values():
            cells += [f'{1e3 * statistics.median(timed[way]):.2f}' for way in WAYS]
            cells.append(f'{ratio(timed, COMPILED, EAGER):.2f}')
        cells += [f"{1e3 * statistics.median(found['inference'][ONNX]):.2f}",
                  f"{ratio(found['inference'], ONNX, COMPILED):.2f}"]
        yield '| ' + ' | '.join(cells) + ' |'


def main(argv=None):
    """Measure, print, and write build/bench.md and build/bench.json."""
    known = [workload.network for workload in WORKLOADS] + [SCALING]
    parser = argparse.ArgumentParser(prog='python -m ci.bench', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(known)}')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    args = parser.parse_args(argv)
    if set(args.names) - set(known):
        parser.error(f'{set(args.names) - set(known)}: choose from {", ".join(known)}')
    npx.set_np()
    overhead, results = call_overhead(args.rounds), []
    for workload in tqdm([w for w in WORKLOADS if not args.names or w.network in args.names],
                         unit='network', disable=None):
        results.append((workload.network, workload.batch, measure(workload, args.rounds)))
    speeds = scaling() if SCALING in (args.names or known) else {}
    difference = statistics.median(a - b for a, b in zip(overhead[COMPILED], overhead[STOCK]))
    text = '\n'.join([
        f'{platform.machine()}, {os.cpu_count()} cores, {args.rounds} rounds; MXNet {mxnet.__version__}.', '',
        *table(results), '',
        'A call of a net of one layer, until Python goes on: '
        + ', '.join(f'{way} {statistics.median(t):.1f} us' for way, t in overhead.items())
        + f' ({difference:+.1f}).', '',
        *[f'LeNet on several workers, 256 images each, workers: {workers}, {speed:.0f} images/s, '
          f'{speed / speeds[1] / workers:.2f} of what one worker alone does, each.'
          for workers, speed in speeds.items()], ''])
    BUILD.mkdir(exist_ok=True)
    (BUILD / 'bench.md').write_text(text)
    (BUILD / 'bench.json').write_text(json.dumps({'call': overhead, 'networks': results,
                                                 SCALING: speeds}, indent=1))
    print(text)


if __name__ == '__main__':
    main()
