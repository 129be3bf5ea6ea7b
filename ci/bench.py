"""How fast are the book's networks, eager and compiled? `python -m ci.bench [NAME ...]`.

The networks come from the registry (ci/networks.py), with the batch sizes of the book. Eager and
compiled take turns, A B A B, so that a busy machine slows both; what is told are medians, and the
median of the ratios of neighbours. Writes build/bench.md. Leave the machine alone meanwhile.
"""
import argparse
import dataclasses
import os
import pathlib
import platform
import statistics
import time

import mxnet as mx
from mxnet import autograd, gluon, npx
from mxnet.gluon import nn

from ci.networks import NETWORKS, floats, leaves, tokens, values
from ci.numbers import fresh
from d2l.hybrid import hybridize

OUTPUT = pathlib.Path(__file__).resolve().parents[1] / 'build' / 'bench.md'
SECONDS = 6.0           # for each network and kind of step
LEAST_ROUNDS = 5        # of A B, however long they take
SHORTEST = 0.02         # seconds: a turn repeats its step until it lasts this long
CALLS = 2000            # whose overhead is taken
LENGTHS = values(*[10] * 64)
PAIRS = (tokens(200, 64, 10), tokens(200, 64, 10), LENGTHS)
STEPS = tokens(28, 32, 35)

# the batch sizes of the book; ResNet's 256 images take a two-core machine half a minute a step
INPUTS = {
    'mlp': (floats(256, 1, 28, 28),),
    'lenet': (floats(256, 1, 28, 28),),
    'batch_norm': (floats(256, 1, 28, 28),),
    'batch_norm_scratch': (floats(256, 1, 28, 28),),
    'resnet18': (floats(64, 1, 96, 96),),
    'rnn': (STEPS, [floats(1, 32, 256)]),
    'gru': (STEPS, [floats(1, 32, 256)]),
    'lstm': (STEPS, [floats(1, 32, 256)] * 2),
    'deep_lstm': (STEPS, [floats(2, 32, 256)] * 2),
    'seq2seq': PAIRS,
    'seq2seq_attention': PAIRS,
    'transformer': PAIRS,
}


def predict(net, inputs):
    """A prediction, to be timed."""
    def step():
        net(*fresh(inputs))
    return step


def train(net, inputs):
    """A step of stochastic gradient descent, to be timed."""
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 1e-4})

    def step():
        with autograd.record():
            loss = sum(out.mean() for out in leaves(net(*fresh(inputs))))
        loss.backward()
        trainer.step(1, ignore_stale_grad=True)
    return step


def seconds_of(step, times):
    """Seconds for one step, of so many, until all is computed."""
    npx.waitall()
    start = time.perf_counter()
    for _ in range(times):
        step()
    npx.waitall()
    return (time.perf_counter() - start) / times


def take_turns(first, second):
    """(median of first, median of second, median of second / first), in seconds, by turns."""
    for step in first, second, first, second:   # traces, and MXNet's memory
        times = max(1, int(SHORTEST / seconds_of(step, 1)))
    pairs, end = [], time.perf_counter() + SECONDS
    while len(pairs) < LEAST_ROUNDS or time.perf_counter() < end:
        pairs.append((seconds_of(first, times), seconds_of(second, times)))
    return (*map(statistics.median, zip(*pairs)), statistics.median(b / a for a, b in pairs))


def nets(name):
    """The network twice, eager and compiled, with inputs of the book's batch size."""
    network, = (n for n in NETWORKS if n.name == name)
    network = dataclasses.replace(network, inputs=INPUTS[name])
    (eager, inputs), (compiled, _) = network.filled(), network.filled()
    return network, eager, hybridize(compiled), inputs


def overhead(name):
    """Microseconds that a call takes until Python goes on: eager, by Gluon's `hybridize` of the same
    layers in a HybridSequential, compiled. A batch of one; each call is computed before the next."""
    network, = (n for n in NETWORKS if n.name == name)
    (eager, (X, *_)), (compiled, _), (other, _) = (network.filled() for _ in range(3))
    stock, X = nn.HybridSequential(), X[:1]
    stock.add(*other._children.values())
    stock.hybridize(static_alloc=True)
    taken = {net: [] for net in (eager, stock, hybridize(compiled))}
    for _ in range(CALLS):
        for net, times in taken.items():
            npx.waitall()
            start = time.perf_counter()
            net(X)
            times.append((time.perf_counter() - start) * 1e6)
    npx.waitall()
    return [statistics.median(times) for times in taken.values()]


def row(*cells):
    """A row of a Markdown table; numbers with three digits."""
    return '| ' + ' | '.join(f'{c:#.3g}' if isinstance(c, float) else str(c) for c in cells) + ' |'


def table(names):
    """The lines of the two tables; each is also printed when it is known."""
    head = [f'# Eager and compiled, milliseconds\n\nMXNet {mx.__version__}, {platform.processor()}, '
            f'{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get("OMP_NUM_THREADS", "unset")}. '
            'Medians of turns; the ratio is compiled / eager, less is faster.\n',
            row('section', 'network', 'training: eager', 'compiled', 'ratio',
                'inference: eager', 'compiled', 'ratio'), '|---' * 8 + '|']
    yield from head
    for name in names:
        network, eager, compiled, inputs = nets(name)
        times = [take_turns(kind(eager, inputs), kind(compiled, inputs)) for kind in (train, predict)]
        yield row(network.section, name, *(cell for first, second, ratio in times
                                           for cell in (first * 1e3, second * 1e3, ratio)))
    yield from ['\n# A call until Python goes on, microseconds\n',
                row('network', 'eager', "Gluon's hybridize", 'compiled'), '|---' * 4 + '|']
    for name in 'mlp', 'lenet':
        yield row(name, *overhead(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(INPUTS)} (all)')
    names = parser.parse_args().names or list(INPUTS)
    if unknown := set(names) - set(INPUTS):
        parser.error(f'no such network here: {", ".join(unknown)}; there are {", ".join(INPUTS)}')
    OUTPUT.parent.mkdir(exist_ok=True)
    lines = []
    for line in table(names):
        print(line, flush=True)
        lines.append(line)
    OUTPUT.write_text('\n'.join(lines) + '\n')
    print(f'\nwritten to {OUTPUT}')


if __name__ == '__main__':
    main()
