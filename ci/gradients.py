"""An independent witness of every gradient: central differences of the loss, in double precision.

NumPy computes the graph that d2l.hybridize traces for training (ci/witness.py). For each Parameter
and each real input, the loss is differentiated along the direction of the first projection of its
gradient (ci/numbers.py), so that the derivative can be compared with that projection. In large
networks this is done for several gradients at a time.
"""
import numpy as np
from mxnet import autograd

from ci import numbers, witness
from ci.networks import fresh, leaves, structural
from d2l.hybrid.block import CompiledBlock

FIRST = 2               # index of the first projection in a summary
KEYS = ('gradients', 'input gradients')
STEPS = 1e-6, 1e-7, 1e-8    # step of each value, relative to the root mean square of its array
# NumPy and MXNet agree if their derivatives differ by less, relative to the norm of the gradient
AGREE = 1e-4
# If (number of gradients) x (number of values in the graph) is below this, each gradient is checked
# on its own. Otherwise gradients are put into groups, and each group is checked at once
WORK = 5e7
FEWEST = 6              # the smallest number of groups, if there are as many gradients


class Loss:
    """The loss of a training step, in float64, as a function of the variables of a graph.

    graph: parsed JSON of a symbol; values: {name of a variable: array}
    outputs: for each output of the network, the index of the graph's head, or the name of the
        variable if the output is a variable
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
        """Return the loss with other values of some variables. changed: {name: array}"""
        results = {self.places[name]: [value] for name, value in changed.items()
                   if name in self.places}
        for at, (op, _, attrs, inputs) in enumerate(self.nodes):
            # the backward pass treats the result of BlockGrad as a constant
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
        """Return the derivative of the loss along a direction, by central differences.

        directions: {name of a variable: array}, a step of 1 in this direction
        """
        moved = [self({name: self.values[name] + sign * step
                       for name, step in directions.items()}) for sign in (1, -1)]
        return (moved[0] - moved[1]) / 2


def loss_of(net, inputs, smooth):
    """Return (Loss, variables) of a training step of a net.

    variables: {'gradients': ..., 'input gradients': ...}, where each value is {name of a Parameter
    or input as in `numbers.step`: list of the variables of the graph that are this array}. The list
    is empty if the graph does not use the array.

    Raises NoWitness for an operator without a function in ci/witness.py, and TraceError for a net
    without a graph.
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
    read = {}                       # id of a Parameter, or index of an input -> its variables
    for name, source in sources.items():
        if source.kind in ('param', 'input'):
            key = id(source.parameter) if source.parameter else source.index
            read.setdefault(key, []).append(name)
    trained = {name: read.get(id(param), []) for name, param in params.items()
               if param.grad_req != 'null'}
    real = [i for i, has_gradient in enumerate(smooth) if has_gradient]
    given = {f'input {k}': read.get(i, []) for k, i in enumerate(real)}
    return Loss(program.graph, values, outputs), {'gradients': trained, 'input gradients': given}


def witnessed(net, inputs, smooth, record):
    """Return NumPy's derivatives for the gradients in a record of numbers.train, as entries that
    are stored with the record.

    The gradients are divided into groups, and there is one derivative per group. In a small network
    each gradient is a group of its own; in a large one, gradients of similar size are together.

    'witness groups': for each gradient (those of Parameters, then those of inputs) the index of its
        group
    'witness steps': for each gradient, how far its array is moved
    'witness derivatives': for each group, the change of the loss if it were linear

    Of several STEPS, the first one with which NumPy and MXNet agree is used. With a larger step,
    the input of a ReLU may change its sign.
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
    """Return for each group of a record the difference between the change of the loss that follows
    from MXNet's gradients and the one that NumPy found, relative to the size of these gradients."""
    rows = np.concatenate([numbers.references(key, record)[0] for key in KEYS if key in record])
    steps, groups = record['witness steps'], record['witness groups']
    expected, sizes = (np.bincount(groups, weights) for weights in (
        steps * rows[:, FIRST], (steps * _scales(record)) ** 2))
    return np.abs(record['witness derivatives'] - expected) / np.maximum(sizes ** 0.5, 1e-300)
