"""An independent witness of every gradient: central differences of the loss, in double precision.

The graph that d2l.hybridize traces for training is computed by NumPy (ci/witness.py). For each
Parameter and each real input the loss is differentiated along the direction of the first
projection of its gradient (ci/numbers.py), so that the two numbers can be compared; of large
networks, for several of them together.
"""
import numpy as np
from mxnet import autograd

from ci import numbers, witness
from ci.networks import fresh, leaves, structural
from d2l.hybrid.block import CompiledBlock

FIRST = 2               # index of the first projection in a summary
KEYS = ('gradients', 'input gradients')
STEPS = 1e-6, 1e-7, 1e-8    # step of a value, relative to the root mean square of its array
# largest difference of two derivatives, relative to the norm of the gradient
AGREE = 1e-4
# each gradient is a group of its own where their number times that of the graph's values is less
WORK = 5e7
FEWEST = 6              # smallest number of groups


class Loss:
    """The loss of a training step, float64, as a function of the variables of a graph.

    graph: a symbol's JSON; values: {name: array}; outputs: for each output of the network, the
    number of its head, or the name of the variable that is handed back as it is
    """

    def __init__(self, graph, values, outputs):
        self.nodes, self.heads = witness.parsed(graph)
        self.outputs = outputs
        self.results = []
        for op, name, attrs, inputs in self.nodes:
            self.results.append([witness.wide(values[name])] if op == 'null' else witness.compute(
                op, attrs, [self.results[i][k] for i, k in inputs], training=True))
        self.places = {name: i for i, (op, name, *_) in enumerate(self.nodes) if op == 'null'}
        self.values = {name: witness.wide(value) for name, value in values.items()}
        self.size = sum(array.size for result in self.results for array in result)

    def __call__(self, changed):
        """Return the loss where some variables have other values: {name: array}."""
        results = {self.places[name]: [value] for name, value in changed.items()
                   if name in self.places}
        for at, (op, _, attrs, inputs) in enumerate(self.nodes):
            # what is behind BlockGrad is a constant to the backward pass
            if op not in ('null', 'BlockGrad') and any(i in results for i, _ in inputs):
                results[at] = witness.compute(
                    op, attrs, [results.get(i, self.results[i])[k] for i, k in inputs],
                    training=True)
        total = 0.0
        for i, output in enumerate(self.outputs):
            if isinstance(output, str):
                out = changed.get(output, self.values[output])
            else:
                at, k = self.heads[output]
                out = results.get(at, self.results[at])[k]
            total += (out * numbers.loss_weights(i, out.shape)).mean()
        return total

    def along(self, directions):
        """Return the derivative where each variable named moves along its direction, by central
        differences; directions: {name: array}, each a step of 1."""
        moved = [self({name: self.values[name] + sign * step
                       for name, step in directions.items()}) for sign in (1, -1)]
        return (moved[0] - moved[1]) / 2


def loss_of(net, inputs, smooth):
    """Return (Loss, variables) of a training step of a net.

    variables: {'gradients' and 'input gradients': {name: variables of the graph that are this
    array; none where it does not read it}}, the names as `numbers.step` has them.

    Raises NoWitness for an operator that has no function, TraceError for a net without a graph.
    """
    compiled = CompiledBlock(net, False, {})
    with autograd.train_mode():
        compiled(*fresh(inputs))
    (program,), = compiled._programs.values()
    arrays, params = list(leaves(inputs)), structural(net)
    sources = dict(program.sources)
    outputs, heads = [], iter(range(len(program.graph['heads'])))
    for i, source in enumerate(program.outputs[:program.size]):
        outputs.append(next(heads) if source is None else f'handed back {i}')
        if source is not None:
            sources[f'handed back {i}'] = source
    values = {name: program.value(source, arrays).asnumpy() for name, source in sources.items()}
    read = {}                       # id of a Parameter, or number of an array -> variables
    for name, source in sources.items():
        if source[0] in ('param', 'input'):
            key = id(source[1]) if source[0] == 'param' else source[1]
            read.setdefault(key, []).append(name)
    trained = {name: read.get(id(param), []) for name, param in params.items()
               if param.grad_req != 'null'}
    real = [i for i, has_gradient in enumerate(smooth) if has_gradient]
    given = {f'input {k}': read.get(i, []) for k, i in enumerate(real)}
    return Loss(program.graph, values, outputs), {'gradients': trained, 'input gradients': given}


def witnessed(net, inputs, smooth, record):
    """Return what NumPy finds of the gradients in a record of numbers.train: the entries to store
    with it.

    The gradients are taken in groups, one derivative per group: each on its own where the network
    is small, those of like size together in a large one. 'witness groups' has for each gradient
    (those of Parameters, then those of inputs) the number of its group, 'witness steps' how far its
    array moves, 'witness derivatives' for each group what the loss changes by, were it linear. Of
    several STEPS the first counts with which NumPy and MXNet agree: over a larger one some ReLU may
    change its side.
    """
    loss, variables = loss_of(net, inputs, smooth)
    named = {name: places for key in KEYS for name, places in variables[key].items()}
    steps, scales = np.zeros(len(named)), _scales(record)
    for k, places in enumerate(named.values()):
        if places:
            steps[k] = np.sqrt((loss.values[places[0]] ** 2).mean()) or 1
    count = int(min(len(named), max(FEWEST, WORK // loss.size)))
    found = {'witness groups': np.zeros(len(named), 'int64'), 'witness steps': steps,
             'witness derivatives': np.zeros(count)}
    by_size = np.argsort(steps * scales, kind='stable')
    for group, members in enumerate(np.array_split(by_size, count)):
        found['witness groups'][members] = group
    for group in range(count):
        moves = {}
        for k, (name, places) in enumerate(named.items()):
            if found['witness groups'][k] == group:
                for place in places:
                    value = loss.values[place]
                    moves[place] = steps[k] * numbers.direction(name, value.size) \
                        .reshape(value.shape)
        tried = {}
        for step in STEPS:
            derivative = loss.along({place: step * move for place, move in moves.items()}) / step
            found['witness derivatives'][group] = derivative
            tried[derivative] = errors({**record, **found})[group]
            if tried[derivative] <= AGREE:
                break
        found['witness derivatives'][group] = min(tried, key=tried.get)
    return found


def _scales(record):
    return np.concatenate([numbers.references(key, record)[1] for key in KEYS if key in record])


def errors(record):
    """Return for each group of a record the difference of what MXNet's gradients say the loss
    changes by and what NumPy found, relative to the size of those gradients."""
    rows = np.concatenate([numbers.references(key, record)[0] for key in KEYS if key in record])
    steps, groups = record['witness steps'], record['witness groups']
    expected, sizes = (np.bincount(groups, weights) for weights in (
        steps * rows[:, FIRST], (steps * _scales(record)) ** 2))
    return np.abs(record['witness derivatives'] - expected) / np.maximum(sizes ** 0.5, 1e-300)
