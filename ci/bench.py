"""How fast are the book's networks? `python -m ci.bench [NAME ...]` writes build/bench.md.

For each network with the book's widths and batch size, it times a training step (forward, loss,
backward, update) and a prediction, in all modes. ONNX Runtime is one of the modes. The same network
in PyTorch (ci/pytorch.py, in a process of its own) is timed eager and by torch.compile, if it
computes the same; if not, a line says why. The modes take turns, A B A B, for several rounds. A
ratio is the median of the rounds' ratios, so that a slow phase of the machine affects all modes.

`--keep` also stores the times of the networks in ci/golden/speed.json, with the day and the
machine: the README's table and the gallery's page on speed are made from them.

Other values of NAME: `call` times one call; `import` times imports; `memory` measures the memory of
a training step of ResNet-18; `loader` times an epoch of Fashion-MNIST; `scratch` compares the LSTM
from scratch with Gluon's; `scaling` trains LeNet on 1, 2 and 4 workers of a parameter server.
"""
import argparse
import collections
import contextlib
import copy
import dataclasses
import datetime
import functools
import importlib.util
import json
import multiprocessing
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib import metadata
from unittest import mock

# The same number of threads for each framework; MXNet reads the variable when it is imported
if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', str(os.cpu_count()))

import mxnet  # noqa: E402
from mxnet import autograd, gluon, np, npx  # noqa: E402
from mxnet.gluon import nn  # noqa: E402
from tqdm import tqdm  # noqa: E402

import d2l  # noqa: E402
from ci import build_lib, regress, reproduce  # noqa: E402
from ci.networks import Array, floats, fresh, leaves, tokens, values  # noqa: E402

REPO = pathlib.Path(__file__).parent.parent
BUILD = REPO / 'build'
KEPT = REPO / 'ci' / 'golden' / 'speed.json'
LEAST = 0.2                 # seconds for which a mode is timed in each round
ROUNDS = 9
LEARNING_RATE = 1e-4        # small, since the same minibatch is used thousands of times
SCALING_STEPS = 20
TRAINING, INFERENCE = 'training', 'inference'
EAGER, COMPILED, OPTIMIZED, STOCK = 'eager', 'compiled', 'optimized', 'stock'
PYTORCH, INDUCTOR, ONNX = 'PyTorch', 'torch.compile', 'ONNX Runtime'
WAYS = {                    # name -> a function that gives the net and the loss in this mode
    EAGER: lambda net, loss: (net, loss),
    COMPILED: lambda net, loss: (d2l.hybridize(net), loss),
    OPTIMIZED: lambda net, loss: (d2l.hybridize(net, optimize=True),
                                  d2l.compile(loss, optimize=True)),
}
RATIOS = [(COMPILED, EAGER), (OPTIMIZED, EAGER), (OPTIMIZED, COMPILED), (ONNX, COMPILED),
          (ONNX, OPTIMIZED), (EAGER, PYTORCH), (COMPILED, PYTORCH), (OPTIMIZED, PYTORCH),
          (OPTIMIZED, INDUCTOR), (ONNX, PYTORCH), (ONNX, INDUCTOR)]
MOST_LOAD = 0.5
BUSY = ('Other processes were running, which PyTorch bears far worse than MXNet (its threads wait '
        'for each other at full speed): compare on a quiet machine.')
NO_PYTORCH = ("PyTorch is not installed here: `pip install -c constraints.txt '.[bench]'` adds its "
              'column.')


@dataclasses.dataclass(frozen=True)
class Workload:
    """A network of the registry, and how the book trains it.

    inputs, targets: Arrays of the book's sizes; loss: a name in LOSSES
    optimizer, options: arguments of gluon.Trainer
    changes: fields of the registry's row that differ at the book's size
    frozen: the name of a part that is not trained
    """
    network: str
    inputs: tuple
    targets: tuple
    loss: str = 'softmax'
    optimizer: str = 'sgd'
    options: dict = dataclasses.field(default_factory=dict)
    changes: dict = dataclasses.field(default_factory=dict)
    frozen: str = ''

    @property
    def batch(self):
        """The batch size: the first dimension of the first Array."""
        spec = self.inputs
        while not isinstance(spec, Array):
            spec = spec[0]
        return spec.shape[0]

    def filled(self):
        """Return the net with its parameters filled, its inputs and its targets."""
        network, = regress.select([self.network])
        net, inputs = dataclasses.replace(network, inputs=self.inputs, **self.changes).filled()
        if self.frozen:
            getattr(net, self.frozen).collect_params().setattr('grad_req', 'null')
        return net, inputs, [spec.draw(f'{self.network} target {i}')
                             for i, spec in enumerate(self.targets)]

    def onnx(self):
        """Return a function without arguments that predicts by ONNX Runtime."""
        net, inputs, _ = self.filled()
        net = d2l.compile(net, runtime='onnx')
        return lambda: net(*fresh(inputs))

    def prepared(self, way):
        """Return (training step, prediction), functions without arguments that run the net in this
        mode."""
        net, inputs, targets = self.filled()
        net, loss = WAYS[way](net, LOSSES[self.loss])
        trainer = gluon.Trainer(net.collect_params(), self.optimizer,
                                {'learning_rate': LEARNING_RATE, **self.options})

        def predict():
            return list(leaves(net(*fresh(inputs))))

        def train():
            with autograd.record():
                value = loss(predict(), *targets)
            value.backward()
            trainer.step(self.batch if value.ndim else 1)   # 1 if the loss is a mean
        return train, predict

    def twin(self):
        """Return the arguments of ci.pytorch.Twin, and the outputs that the twin must compute."""
        net, inputs, targets = self.filled()
        params = dict.fromkeys(net._collect_params_with_prefix().values())
        outputs = [numpy_of(out) for out in leaves(net(*fresh(inputs)))]
        return (self.network, [numpy_of(param.data()) for param in params],
                numbers(self.inputs, inputs), [target.asnumpy() for target in targets], self.loss,
                self.optimizer, {'learning_rate': LEARNING_RATE, **self.options}), outputs


def numpy_of(array):
    """Return an MXNet array as a NumPy array, made from a copy. If oneDNN keeps the values in a
    blocked layout, `asnumpy` would reorder them with OpenMP threads of the main thread. There would
    be more threads than cores then, which sleep between operators (see d2l/engine.py)."""
    return array.copy().asnumpy()


def numbers(specs, arrays):
    """Return nested MXNet arrays as NumPy arrays, with token indices as int64 for PyTorch."""
    if isinstance(specs, Array):
        return arrays.asnumpy().astype('int64' if specs.kind == 'tokens' else 'float32')
    return type(specs)(numbers(*pair) for pair in zip(specs, arrays))


SOFTMAX, L1 = gluon.loss.SoftmaxCrossEntropyLoss(), gluon.loss.L1Loss()
MASKED, SIGMOID = d2l.MaskedSoftmaxCELoss(), gluon.loss.SigmoidBinaryCrossEntropyLoss()


def softmax(outputs, y):
    """Return the cross-entropy along the last axis of the first output."""
    return SOFTMAX(outputs[0], y)


def softmax_mean(outputs, y):
    """Return the mean of the cross-entropy over all elements, as section 8.5 does."""
    return SOFTMAX(outputs[0], y).mean()


def masked(outputs, y, lengths):
    """Return the cross-entropy of the first `lengths` steps in each sequence (9.7)."""
    return MASKED(outputs[0], y, lengths)


def boxes(outputs, classes, offsets, mask):
    """Return the loss of the classes and the offsets of anchor boxes (13.7)."""
    _, cls_preds, bbox_preds = outputs
    return SOFTMAX(cls_preds, classes) + L1(bbox_preds * mask, offsets * mask)


def sigmoid(outputs, y):
    """Return the binary cross-entropy."""
    return SIGMOID(outputs[0], y)


def sigmoid_masked(outputs, y, mask):
    """Return the mean binary cross-entropy over the elements whose `mask` is 1 (14.4)."""
    pred, = outputs
    return SIGMOID(pred.reshape(y.shape), y, mask) / mask.sum(axis=1) * mask.shape[1]


LOSSES = {f.__name__: f for f in (softmax, softmax_mean, masked, boxes, sigmoid, sigmoid_masked)}
STATE = [floats(1, 32, 256)]
CHARACTERS = tokens(28, 32, 35), (tokens(28, 32 * 35),), 'softmax_mean'
LENGTHS = values(*[10, 8, 6, 4] * 16)
PAIRS = ((tokens(200, 64, 10), tokens(200, 64, 10), LENGTHS), (tokens(200, 64, 10), LENGTHS),
         'masked', 'adam')
PTB = 6719                  # size of the vocabulary that 14.3 prints
IMDB = 50_000               # rough size of the vocabulary, which the book does not print
FIELDS = [112] * 34         # values per field; in total about as many features as 15.8 prints
WORKLOADS = [
    Workload('mlp', (floats(256, 1, 28, 28),), (tokens(10, 256),)),
    Workload('lenet', (floats(256, 1, 28, 28),), (tokens(10, 256),)),
    Workload('resnet18', (floats(64, 1, 96, 96),), (tokens(10, 64),)),
    Workload('lstm', (CHARACTERS[0], STATE * 2), *CHARACTERS[1:]),
    Workload('lstm_scratch', (CHARACTERS[0], (floats(32, 256), floats(32, 256))), *CHARACTERS[1:]),
    Workload('seq2seq', *PAIRS),
    Workload('transformer', *PAIRS),
    Workload('tiny_ssd', (floats(32, 3, 256, 256),),
             (tokens(2, 32, 5444), floats(32, 4 * 5444), tokens(2, 32, 4 * 5444)), 'boxes',
             options={'wd': 5e-4}),
    Workload('skip_gram', (tokens(PTB, 512, 1), tokens(PTB, 512, 60)),
             (tokens(2, 512, 60), tokens(2, 512, 60)), 'sigmoid_masked', 'adam',
             changes={'given': (('vocab', f'range({PTB})'),)}),
    Workload('text_cnn', (tokens(IMDB, 64, 500),), (tokens(2, 64),), 'softmax', 'adam',
             changes={'given': (('vocab', f'range({IMDB})'),)}, frozen='constant_embedding'),
    Workload('deepfm', (tokens(sum(FIELDS), 2048, 34),), (tokens(2, 2048, 1),), 'sigmoid', 'adam',
             changes={'net': f'DeepFM({FIELDS}, num_factors=10, mlp_dims=[30, 20, 10])'}),
    Workload('dcgan_generator', (floats(64, 100, 1, 1),), (tokens(2, 64, 3, 64, 64),), 'sigmoid',
             'adam', {'beta1': 0.5}),
    # workloads without a twin in PyTorch
    Workload('hybrid_mlp', (floats(1, 512),), (tokens(2, 1),)),     # the benchmark of section 12.1
    Workload('googlenet', (floats(128, 1, 96, 96),), (tokens(10, 128),)),
    Workload('densenet', (floats(64, 1, 96, 96),), (tokens(10, 64),)),
    Workload('rnn', (CHARACTERS[0], STATE), *CHARACTERS[1:]),
    Workload('seq2seq_attention', *PAIRS),
    Workload('dcgan_discriminator', (floats(64, 3, 64, 64),), (tokens(2, 64, 1, 1, 1),), 'sigmoid',
             'adam', {'beta1': 0.5}),
]
TWINS = [workload.network for workload in WORKLOADS[:12]]


def seconds(function, times, wait=True):
    """Return the seconds per call for `times` calls, until all results are computed, or with
    wait=False until the calls have returned."""
    npx.waitall()
    start = time.perf_counter()
    for _ in range(times):
        function()
    if wait:
        npx.waitall()
    return (time.perf_counter() - start) / times


def compare(timers, rounds, least=LEAST):
    """Call timers in turn, round by round. Return {name: list of seconds, one per round}.

    timers: {name: function from a number of calls to the seconds per call}
    """
    for timer in timers.values():
        timer(3)                    # initializes, compiles, allocates
    times = {name: max(1, int(least / timer(1))) for name, timer in timers.items()}
    found = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            found[name].append(timer(times[name]))
    return found


def ratio(found, way, other):
    """Return the median over the rounds of one mode's time divided by another's; None if one of
    them was not timed."""
    if way in found and other in found:
        return statistics.median(a / b for a, b in zip(found[way], found[other]))


@contextlib.contextmanager
def pytorch():
    """Context manager: start a process of ci.pytorch. Return a function that takes the name of a
    method and its arguments, and returns the result.

    It is a process of its own, so that the OpenMP of neither framework slows down the other.
    """
    ours, theirs = multiprocessing.Pipe()
    process = subprocess.Popen([sys.executable, '-m', 'ci.pytorch', str(theirs.fileno())],
                               pass_fds=[theirs.fileno()], cwd=REPO)
    theirs.close()

    def ask(method, *args):
        ours.send((method, args))
        reply, error = ours.recv()
        if error:
            raise RuntimeError(error)
        return reply
    try:
        yield ask
    finally:
        ours.close()
        process.wait()


def measure(workload, rounds):
    """Return {'training' or 'inference': {mode: [seconds]}} for a workload. The key 'inductor' has
    the reason if torch.compile cannot compile it."""
    timers, notes = {TRAINING: {}, INFERENCE: {}}, {}
    for way in WAYS:
        for what, function in zip(timers, workload.prepared(way)):
            timers[what][way] = functools.partial(seconds, function)
    with contextlib.ExitStack() as stack:
        if workload.network in TWINS and importlib.util.find_spec('torch'):
            ask = stack.enter_context(pytorch())
            arguments, outputs = workload.twin()
            ask('Twin', *arguments)
            ask('check', outputs)
            for what in timers:
                timers[what][PYTORCH] = functools.partial(ask, 'seconds', what)
            try:
                ask('check', outputs, True)
                ask('seconds', TRAINING, 1, True)
            except RuntimeError as error:
                notes['inductor'] = str(error).strip().splitlines()[-1]
            else:
                for what in timers:
                    timers[what][INDUCTOR] = (
                        lambda times, what=what: ask('seconds', what, times, True))
        timers[INFERENCE][ONNX] = functools.partial(seconds, workload.onnx())
        return {**{what: compare(found, rounds) for what, found in timers.items()}, **notes}


def in_a_process(function, *args):
    """Call a function in a new process and return its result, so that threads and memory of earlier
    networks have no effect."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(function, args)


def fresh_python(code, **env):
    """Run code in a new Python and return the numbers that it prints."""
    out = subprocess.run([sys.executable, '-c', code], cwd=REPO, env={**os.environ, **env},
                         check=True, text=True, stdout=subprocess.PIPE).stdout
    return [float(word) for word in out.split()]


def call(rounds):
    """Measure the microseconds of a call with one example, compiled by d2l and by Gluon's
    hybridize, for a net of one layer and for LeNet."""
    found, texts = {}, []
    for name, layers, shape in (('a net of one layer', [nn.Dense(1)], (1, 1)),
                                ('LeNet', [*regress.select(['lenet'], None)[0].build()],
                                 (1, 1, 28, 28))):
        X, timers = np.ones(shape), {}
        for way in STOCK, COMPILED:
            net = nn.HybridSequential()
            net.add(*copy.deepcopy(layers))
            net.initialize()
            net.hybridize(static_alloc=True) if way == STOCK else d2l.hybridize(net)
            timers[way] = functools.partial(seconds, functools.partial(net, X), wait=False)
        times = {way: [1e6 * t for t in times]
                 for way, times in compare(timers, 10 * rounds, 0.01).items()}
        difference = statistics.median(a - b for a, b in zip(times[COMPILED], times[STOCK]))
        found[name] = times
        texts.append(f'A call of {name}, until Python goes on: '
                     + ', '.join(f'{way} {statistics.median(t):.1f} us' for way, t in times.items())
                     + f' ({difference:+.1f}).')
    return found, texts


def imports(rounds):
    """Measure the seconds that `import` takes in a new Python, for MXNet, d2l and PyTorch."""
    modules = [name for name in ('mxnet', 'd2l', 'torch') if importlib.util.find_spec(name)]
    code = 'import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)'
    found = {name: [] for name in modules}
    for _ in range(rounds):
        for name in modules:
            found[name] += fresh_python(code.format(name))
    return found, ['Import: ' + ', '.join(f'{name} {statistics.median(t):.2f} s'
                                          for name, t in found.items()) + '.']


def memory(rounds):
    """Measure the peak memory of training steps of ResNet-18 in MB, beyond the memory in use after
    the import.

    The numbers come from /proc, since ru_maxrss includes the memory of the process that starts this
    one.
    """
    code = r'''
import re

def status(key):
    return int(re.search(key + r':\s+(\d+) kB', open('/proc/self/status').read())[1]) / 1024

from ci.{module} import steps
before = status('VmRSS')
steps({arguments})
print(status('VmHWM') - before)
'''
    runs = {way: ('bench', repr(way)) for way in WAYS}
    if importlib.util.find_spec('torch'):
        runs[PYTORCH] = 'pytorch', ''
    found = {way: [] for way in runs}
    # at most three rounds, as their results differ by a few MB only
    for _ in range(min(rounds, 3)):
        for way, (module, arguments) in runs.items():
            found[way] += fresh_python(code.replace('{module}', module)
                                       .replace('{arguments}', arguments))
    return found, ['Peak memory of training steps of ResNet-18, batch 64, over that after the '
                   'import: ' + ', '.join(f'{way} {statistics.median(mb):.0f} MB'
                                          for way, mb in found.items()) + '.']


def steps(way, times=3):
    """Run some training steps of ResNet-18."""
    npx.set_np()
    workload, = [w for w in WORKLOADS if w.network == 'resnet18']
    train, _ = workload.prepared(way)
    seconds(train, times)


def loader(rounds):
    """Measure the seconds of an epoch of 60,000 images of sample data in minibatches of 256, with
    nothing else computed: by d2l, and by the listing of 3.5 with worker processes and without."""
    printed, timers = build_lib.listings('3.5'), {}

    def timer(load):
        data_iter, _ = load(256)
        return functools.partial(seconds, lambda: collections.deque(data_iter, 0))
    with mock.patch.dict(os.environ, D2L_DATA='sample', D2L_SAMPLE_SIZE='60000'):
        timers['d2l'] = timer(d2l.load_data_fashion_mnist)
        timers['listing'] = timer(printed['load_data_fashion_mnist'])
        with mock.patch.dict(printed, get_dataloader_workers=lambda: 0):
            timers['listing, 0 workers'] = timer(printed['load_data_fashion_mnist'])
    found = compare(timers, rounds)
    return found, ['An epoch of Fashion-MNIST through load_data_fashion_mnist: '
                   + ', '.join(f'{way} {statistics.median(t):.3f} s' for way, t in found.items())
                   + '.']


def training_steps(pairs, rounds):
    """Time training steps in turn, and return {'network, mode': [seconds]}."""
    workloads = {workload.network: workload for workload in WORKLOADS}
    return compare({f'{network}, {way}': functools.partial(
        seconds, workloads[network].prepared(way)[0]) for network, way in pairs}, rounds)


def scratch(rounds):
    """Measure the seconds of a training step of the LSTM from scratch in 9.2, and of Gluon's."""
    ways = [('lstm', COMPILED), ('lstm', OPTIMIZED), ('lstm_scratch', OPTIMIZED)]
    found = in_a_process(training_steps, ways, rounds)
    *gluons, own = found
    return found, [f'A training step of {own} takes '
                   + ', '.join(f'{ratio(found, own, other):.2f} of that of {other}'
                               for other in gluons) + '.']


def scaling(rounds):
    """Measure the images per second of all workers together, for the LeNet of 6.6 with 256 images
    per worker.

    This is weak scaling on this machine, over loopback: 1 worker with its server, then 2 and 4. A
    worker computes with one thread.
    """
    speeds = {}
    for workers in 1, 2, 4:
        out = subprocess.run(
            [sys.executable, '-m', 'd2l.launch', '-n', str(workers), 'ci/scale.py',
             str(SCALING_STEPS)],
            cwd=REPO, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=True, text=True,
            stdout=subprocess.PIPE).stdout
        speeds[workers] = float(re.search(r'images a second: (\S+)', out)[1])
    return speeds, [
        f'LeNet on several workers, 256 images each, workers: {workers}, {speed:.0f} images/s, '
        f'{speed / speeds[1] / workers:.2f} of what one worker alone does, each.'
        for workers, speed in speeds.items()]


# name -> function of the number of rounds, which returns numbers and lines of text
OTHERS = {
    'call': call, 'import': imports, 'memory': memory, 'loader': loader, 'scratch': scratch,
    'scaling': scaling}


def table(results, what):
    """Yield a table in Markdown: medians in ms and medians of ratios, one row per network, and a
    last row with the geometric means of the ratios. what: 'training' or 'inference'."""
    timed = [found[what] for _, _, found in results]
    ways = [way for way in (*WAYS, ONNX, PYTORCH, INDUCTOR) if any(way in found for found in timed)]
    pairs = [pair for pair in RATIOS if set(pair) <= set(ways)]
    yield f'| {what} | batch | ' + ' | '.join(
        [f'{way}, ms' for way in ways] + [f'{a} / {b}' for a, b in pairs]) + ' |'
    yield '|---|' + '---:|' * (1 + len(ways) + len(pairs))
    columns = [[] for _ in pairs]
    for (name, batch, _), found in zip(results, timed):
        cells = [f'{1e3 * statistics.median(found[way]):.2f}' if way in found else '–'
                 for way in ways]
        for column, pair in zip(columns, pairs):
            value = ratio(found, *pair)
            cells.append('–' if value is None else f'{value:.2f}')
            column += [] if value is None else [value]
        yield '| ' + ' | '.join([name, str(batch), *cells]) + ' |'
    yield '| ' + ' | '.join(['geometric mean', '', *[''] * len(ways), *[
        f'{statistics.geometric_mean(column):.2f}' for column in columns]]) + ' |'


def main(argv=None):
    """Measure, print, and write build/bench.md and build/bench.json."""
    known = [workload.network for workload in WORKLOADS] + list(OTHERS)
    parser = argparse.ArgumentParser(prog='python -m ci.bench', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(known)}')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--keep', action='store_true',
                        help='store the times of the networks in ci/golden/speed.json')
    args = parser.parse_args(argv)
    if set(args.names) - set(known):
        parser.error(f'{set(args.names) - set(known)}: choose from {", ".join(known)}')
    npx.set_np()
    load, _, _ = os.getloadavg()
    head = [f"{platform.machine()}, {os.cpu_count()} cores, {os.environ['OMP_NUM_THREADS']} "
            f'threads, {args.rounds} rounds, load {load:.1f} at the start; '
            f'MXNet {mxnet.__version__}.']
    if load > MOST_LOAD:
        head += ['', BUSY]
    if not importlib.util.find_spec('torch'):
        head += ['', NO_PYTORCH]
    wanted, results, others = args.names or known, [], {}
    for workload in tqdm([w for w in WORKLOADS if w.network in wanted], unit='network',
                         disable=None):
        found = in_a_process(measure, workload, args.rounds)
        results.append((workload.network, workload.batch, found))
        write(head, results, others)                # so that they are there if this run is stopped
    if args.keep:
        keep(results)
    for name in OTHERS:
        if name in wanted:
            others[name] = OTHERS[name](args.rounds)
            write(head, results, others)
    print((BUILD / 'bench.md').read_text())


def kept():
    """Return the stored times: {network: {'batch', 'when', 'where', 'training': {mode: [seconds]},
    'inference': ...}}."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def keep(results):
    """Store times, those of other networks stay. results: [(network, batch, what `measure`
    returns)]"""
    libraries = [f'{name} {metadata.version(name)}' for name in ('torch', 'onnxruntime')
                 if importlib.util.find_spec(name)]
    about = {'when': datetime.date.today().isoformat(),
             'where': ', '.join([reproduce.machine(), *libraries])}
    found = kept()
    for network, batch, timed in results:
        found[network] = {'batch': batch, **about, **{
            key: value if key == 'inductor' else {
                way: [float(f'{t:.4g}') for t in times] for way, times in value.items()}
            for key, value in timed.items()}}
    order = [workload.network for workload in WORKLOADS]
    rows = [f'{json.dumps(name)}: {json.dumps(found[name])}'
            for name in sorted(found, key=order.index)]
    KEPT.write_text('{' + ',\n'.join(rows) + '}\n')


def best(found, *ways):
    """Return {'fastest': for each round the time of the fastest of some modes}; {} if none of them
    was timed."""
    times = [found[way] for way in ways if way in found]
    return {'fastest': [min(turn) for turn in zip(*times)]} if times else {}


def summary(found, what):
    """Return the ratios of one network that the README shows: compiled to eager, optimized to
    eager, and the fastest of ours to the faster of PyTorch eager and torch.compile. A ratio that
    was not measured is None.

    found: what `kept` has of it; what: 'training' or 'inference'. For training, the last is
    optimized to PyTorch's; for inference, ONNX Runtime is one of ours
    """
    times = found[what]
    theirs = best(times, PYTORCH, INDUCTOR).get('fastest')
    ours = best(times, OPTIMIZED, ONNX) if what == INFERENCE else best(times, OPTIMIZED)
    return (ratio(times, COMPILED, EAGER), ratio(times, OPTIMIZED, EAGER),
            ratio({**ours, PYTORCH: theirs}, 'fastest', PYTORCH) if theirs else None)


def write(head, results, others):
    """Write what is measured so far to build/bench.md and build/bench.json."""
    lines = list(head)
    for what in (TRAINING, INFERENCE) if results else ():
        lines += ['', *table(results, what)]
    for network, _, found in results:
        if 'inductor' in found:
            lines += ['', f'torch.compile cannot run {network}: {found["inductor"]}']
    for _, text in others.values():
        lines += ['', *text]
    BUILD.mkdir(exist_ok=True)
    (BUILD / 'bench.md').write_text('\n'.join(lines) + '\n')
    (BUILD / 'bench.json').write_text(json.dumps(
        {'networks': results, **{name: found for name, (found, _) in others.items()}}, indent=1))


if __name__ == '__main__':
    main()
