"""The modes in which every network is computed.

A mode is a function of a Run. It computes the network, and returns the record (ci/numbers.py) of
the results. The net that it has made stays in the Run for modes that need it.
"""
import dataclasses
import os
import pathlib
import tempfile
import time
import warnings
from typing import Callable

from mxnet import MXNetError, gluon, npx

import d2l
from ci import numbers, runtime, witness
from ci.networks import fresh, leaves

NOT_CONVERTED = 'no converter to ONNX for '
MODES = {}                                      # name -> Mode, in the order of the report


class Skip(Exception):
    """Raised, with the reason, for a mode that a network does not have."""


class Failure(Exception):
    """Raised for a mode that has raised an error, which the message names."""


@dataclasses.dataclass(frozen=True)
class Mode:
    """A way to compute a network. needs: the name of the mode whose net it uses, or ''"""
    compute: Callable
    needs: str = ''


class Run:
    """A network on one context. nets: {mode: (net, inputs)} for the modes that were computed"""

    def __init__(self, network, ctx, folder):
        self.network, self.ctx, self.nets = network, ctx, {}
        self.path = os.path.join(folder, 'net')     # where the net is exported to

    def prepared(self):
        """Return a new net with its parameters filled, and its inputs."""
        return prepared(self.network, self.ctx)


def prepared(network, ctx):
    """Return the network with its parameters filled and dropout switched off, and its inputs."""
    net, inputs = network.filled(ctx)
    numbers.without_dropout(net)
    if network.training:
        exec(network.training, net.names)
    return net, inputs


def mode(name, needs=''):
    """Register the function that computes a mode."""
    def register(compute):
        MODES[name] = Mode(compute, needs)
        return compute
    return register


def predicted(run, name, net, inputs):
    """Store the net of a mode in the Run, and return the record of its prediction."""
    run.nets[name] = net, inputs
    return numbers.predict(net, inputs)


def trained(run, name):
    """Return the record of a training step of the net of a mode."""
    if run.network.predict_only:
        raise Skip(run.network.predict_only)
    return numbers.train(*run.nets[name], run.network.smooth)


@mode('eager')
def eager(run):
    return predicted(run, 'eager', *run.prepared())


@mode('compiled')
def compiled(run):
    net, inputs = run.prepared()
    return predicted(run, 'compiled', d2l.hybridize(net), inputs)


@mode('compiled again', needs='compiled')
def compiled_again(run):
    return numbers.predict(*run.nets['compiled'])


@mode('training', needs='eager')
def training(run):
    return trained(run, 'eager')


@mode('compiled training', needs='compiled')
def compiled_training(run):
    return trained(run, 'compiled')


@mode('optimized', needs='compiled')
def optimized(run):
    net, inputs = run.prepared()
    return predicted(run, 'optimized', d2l.hybridize(net, optimize=True), inputs)


@mode('optimized training', needs='optimized')
def optimized_training(run):
    return trained(run, 'optimized')


def is_hybrid(net):
    """Return whether Gluon's own hybridize can compile the whole net."""
    blocks = []
    net.apply(blocks.append)
    return all(isinstance(block, (gluon.HybridBlock, gluon.nn.Sequential)) for block in blocks) \
        and any(isinstance(block, gluon.HybridBlock) for block in blocks)


@mode('stock')
def stock(run):
    net, inputs = run.prepared()
    if not is_hybrid(net):
        raise Skip("not a HybridBlock: Gluon's hybridize leaves it eager")
    # Gluon warns that HybridSequential would be better
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        net.hybridize()
    return predicted(run, 'stock', net, inputs)


@mode('stock training', needs='stock')
def stock_training(run):
    return trained(run, 'stock')


@mode('exported', needs='compiled')
def exported(run):
    if run.network.no_export:
        raise Skip(run.network.no_export)
    net, inputs = run.prepared()                # a new net, as training has changed the statistics
    d2l.export(d2l.hybridize(net), run.path, *fresh(inputs))
    return numbers.predict(d2l.load_exported(run.path, ctx=run.ctx), list(leaves(inputs)))


@mode('onnx', needs='exported')
def onnx(run):
    if run.network.no_witness:
        raise Skip(run.network.no_witness)
    net, inputs = run.prepared()
    try:
        d2l.export_onnx(net, f'{run.path}.onnx', *fresh(inputs))
    except d2l.NoConverter as err:
        raise Skip(f"{NOT_CONVERTED}{', '.join(err.operators)}; {err}") from None
    return numbers.record_outputs(runtime.run(f'{run.path}.onnx', leaves(inputs)))


@mode('witness', needs='exported')
def witnessed(run):
    if run.network.no_witness:
        raise Skip(run.network.no_witness)
    saved = npx.load(f'{run.path}-0000.params')     # a list if the file is empty, else a dict
    params = {name.partition(':')[2]: array.asnumpy() for name, array in dict(saved).items()}
    params.update({f'data{i}': array.asnumpy()
                   for i, array in enumerate(leaves(run.network.example()))})
    try:
        outputs = witness.evaluate(pathlib.Path(f'{run.path}-symbol.json').read_text(), params)
    except witness.NoWitness as err:
        raise Skip(f'NumPy has no {err} here') from None
    return numbers.record_outputs([out.astype('float32') for out in outputs])


def compute(network, ctx=None, modes=None):
    """Yield (mode, record or Skip or Failure, seconds) for each mode.

    modes: names of modes, where each comes after the one that it needs; by default all
    """
    ctx, results = ctx or npx.cpu(), {}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(network, ctx, folder)
        for name in modes or MODES:
            start = time.time()
            try:
                if network.cpu_only and ctx != npx.cpu():
                    raise Skip(network.cpu_only)
                before = results.get(MODES[name].needs)
                if isinstance(before, (Skip, Failure)):
                    raise Skip(str(before) if isinstance(before, Skip)
                               else f"needs what '{MODES[name].needs}' makes, which failed")
                results[name] = MODES[name].compute(run)
            except Skip as skip:
                results[name] = skip
            except (MXNetError, ValueError, RuntimeError, NotImplementedError) as err:
                last = (str(err) or 'no message').splitlines()[-1]
                results[name] = Failure(f'{type(err).__name__}: {last}')
            yield name, results[name], time.time() - start
