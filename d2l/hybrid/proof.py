"""The proof: before a rewritten graph is used, it must compute the same as the traced graph, on the
arguments of the call for which it is made.

Both graphs run once on the arrays of this call. Their outputs are compared. If a gradient may be
needed, in training or under autograd.record, so are the gradients of one backward pass, from random
gradients of the outputs to all Parameters and inputs that have gradients now. A call that needs
gradients of others makes a proof of its own. In training, the statistics of BatchNorm are compared,
too; they are copies, so those of the net do not change. No random numbers are drawn: both graphs
must have the same operators that draw, Dropout keeps all values, and other operators that draw are
replaced by the same arrays in both graphs, and what they take is compared.

Another order of summation changes the last digits. A difference is allowed up to SPREAD times the
largest value of an array. If large values cancel, or very many are summed, float32 is less precise.
Then two questions decide. Do both graphs compute the same function? In double precision they may
differ by DOUBLE_SPREAD times the largest value. And is the rewritten graph as precise as the exact
one? It may differ from it by MARGIN times what rounding changes there: the difference between
single and double precision, or the change that comes from changing the arguments in their last
digits. Or by what rounding changes in a plain sum of n values, about sqrt(n) times the last
digit, where n is the size of the graph's largest array divided by that of the result: the gradient
of a filter sums over all positions in all images of a minibatch. The exact graph is used, and a
warning names the net and the rule, if a difference exceeds these limits, if values are infinite or
NaN at other indices, or if the rewritten graph raises. The rule that is named is the one without
which the proof succeeds.

The cost, once for each program: two more runs, with the memory for their results and gradients, and
if a difference exceeds the first limit, two in double precision and TRIES with changed arguments.
"""
import math
import warnings

import mxnet
import numpy
from mxnet import autograd, np, npx
from mxnet.ndarray._internal import CachedOp

from .. import graphs, rewrite
from . import passes, tape

SPREAD = 2 ** -20       # relative to the largest value: 8 units in its last place in float32
MARGIN = 8              # a factor, as not only the arguments but all values on the way are rounded
CHANGE = 2 ** -22       # relative change of each argument, up or down: 2 units in its last place
# Relative to the largest value, too. Where rounding changes float32 by much more, it may be more:
# rounding changes float64 by the factor OF_DOUBLE less
DOUBLE_SPREAD, OF_DOUBLE = 2 ** -36, 2 ** -29
TRIES = 3               # number of runs with changed arguments; their median counts
DROPOUT, RNN = 'Dropout', 'RNN'
# operators without inputs, whose results are float32 unless they say otherwise
IMPLY_FLOAT32 = '_full', '_arange', '_zeros', '_ones', '_npi_zeros', '_npi_ones', '_npi_arange'


def optimized(graph, arrays, learned, training, flags, name, check=True):
    """Return the rewritten graph if it computes the same; else warn and return the exact graph.

    graph: the graph as it was traced
    arrays: {name of an input: the array that the call feeds it}
    learned: names of the inputs that are Parameters with gradients
    training: the mode; flags: the flags of CachedOp; name: the name of the net
    check: False returns the rewritten graph without a proof
    """
    exact = passes.no_common_subexpressions(graph)
    if any(node['op'] in passes.PYTHON for node in graph['nodes']):
        return exact                    # a proof would run the user's Python, which may have state

    def rewritten(without=()):
        content, used = rewrite.rewrite(graph, graphs.kinds(arrays), training, without)
        return passes.add_up_by_copy(
            passes.reshape_by_copy(passes.keep_random_order(content))), used
    if not check:
        return rewritten()[0]
    proof = Proof(passes.add_up_by_copy(passes.reshape_by_copy(exact)), arrays, learned, training,
                  flags)
    if proof.expected is None:          # the exact graph raises, and so will the call
        return exact
    fast, used, fault = None, rewrite.names(), None
    try:
        fast, used = rewritten()
    except Exception as error:          # whatever it is, the net can run without the rules
        fault = _first_line(error)
    fault = fault or proof.fault(fast)
    if fault is None:
        return fast

    def holds(rule):
        try:
            return proof.fault(rewritten({rule})[0]) is None
        except Exception:               # this rule is not the only one at fault
            return False
    rules = [rule for rule in sorted(used) if holds(rule)] or ['several rules']
    warnings.warn(
        f'{name} runs as it was traced: rewritten by {" or ".join(rules)} it would be wrong, '
        f'{fault}. Please report this', stacklevel=2)
    return exact


def _first_line(error):
    """Return the text of an error without MXNet's traceback, which begins it in some."""
    lines = [line for line in str(error).splitlines() if not line.startswith(('Traceback', '  '))]
    return f'{type(error).__name__}: {"".join(lines[:1])}'


class Proof:
    """Runs a graph on the arrays of a call, and compares other graphs with it.

    exact: the graph to compare with; the other arguments: see `optimized`
    expected: {description: NumPy array} for all that is compared, or None if the graph raises
    """

    def __init__(self, exact, arrays, learned, training, flags):
        npx.waitall()           # raises errors of earlier operators, which are not those of a graph
        self._exact, self._learned, self._training, self._flags = exact, learned, training, flags
        with autograd.pause():
            self._arrays = {name: tape.detach(array) for name, array in arrays.items()}
        self._wanted = {name for name, array in arrays.items() if wants_gradient(array)
                        } if training or autograd.is_recording() and not any(
                            map(_max_pooling, exact['nodes'])) else set()
        self._drawn = {}                # name of a node -> arrays that replace what it would draw
        if any(map(_draws, exact['nodes'])):
            found = graphs.inferred(graphs.to_symbol(exact), graphs.kinds(arrays))
            rng = numpy.random.RandomState(0)
            self._drawn = {node['name']: [
                np.array(rng.uniform(size=shape).astype(dtype), dtype=dtype)
                for shape, dtype in found[node['name']]]
                for node in exact['nodes'] if _draws(node)}
        self.expected = self._run(exact, self._arrays)[0]

    def fault(self, graph):
        """Return None if a graph computes the same, else a text that says what is wrong."""
        if _random(graph) != _random(self._exact):
            return 'it draws other random numbers'
        found, error = self._run(graph, self._arrays)
        if found is None:
            return error
        doubtful = []
        for what, a in self.expected.items():
            b = found[what]
            if a.shape != b.shape or a.dtype != b.dtype:
                return f'{what} of {b.shape}, {b.dtype} instead of {a.shape}, {a.dtype}'
            finite = numpy.isfinite(a)
            if (finite != numpy.isfinite(b)).any() or not numpy.array_equal(
                    a[~finite], b[~finite], equal_nan=True):
                return f'{what} infinite or NaN at other places'
            if _difference(a, b) > SPREAD * abs(a[finite]).max(initial=0):
                doubtful.append(what)
        if not doubtful:
            return None
        changed = [self._run(self._exact, self._changed(seed))[0] or {} for seed in range(TRIES)]
        size = max(math.prod(shape) for kinds in graphs.inferred(
            graphs.to_symbol(self._exact), graphs.kinds(self._arrays)).values()
            for shape, _ in kinds)
        exact, other = (self._run(each, self._arrays, double=True)[0] or {}
                        for each in (self._exact, graph))
        for what in doubtful:
            a, b = self.expected[what], found[what]
            difference, largest = _difference(a, b), abs(a[numpy.isfinite(a)]).max(initial=0)
            rounding = numpy.median(
                [_difference(a, each[what]) for each in changed if what in each] or [0])
            same = what in exact and what in other
            if same:                    # else it has operators without kernels for float64
                finite = numpy.isfinite(a)
                rounding = max(rounding, _difference(a, exact[what]))
                same = all((numpy.isfinite(each[what]) == finite).all() for each in (
                    exact, other)) and _difference(exact[what], other[what]) <= max(
                        DOUBLE_SPREAD * largest, OF_DOUBLE * MARGIN * rounding)
            limit = max(MARGIN * rounding, CHANGE * largest * math.sqrt(size / max(a.size, 1)))
            if difference > limit or exact and other and not same:
                return f'{what} wrong by {difference:.2g}, where the largest is {largest:.2g}'

    def _changed(self, seed):
        """Return the arrays with each value changed in its last digits, up or down. Arrays of
        whole numbers stay, as these may be indices."""
        rng, changed = numpy.random.RandomState(seed), dict(self._arrays)
        for name, array in self._arrays.items():
            if array.dtype in (numpy.float32, numpy.float64):
                values = array.copy().asnumpy()
                if (values == numpy.round(values)).all():
                    continue
                factor = 1 + CHANGE * rng.choice([-1, 1], array.shape)
                changed[name] = np.array((values * factor).astype(array.dtype),
                                         dtype=array.dtype, ctx=array.ctx)
        return changed

    def _run(self, graph, arrays, double=False):
        """Run a graph, double: with float64 in the place of float32. Return ({description: NumPy
        array} with the outputs and gradients, None), or (None, the error as text)."""
        try:
            with autograd.pause(train_mode=self._training):
                return self._results(*self._without_draws(graph), arrays, double), None
        except Exception as error:      # whatever it is, the proof is there to find it
            while True:                 # fetch MXNet's other errors, which would be raised later
                try:
                    npx.waitall()
                    break
                except mxnet.MXNetError:
                    continue
            return None, _first_line(error)

    def _results(self, graph, taken, arrays, double):
        symbol = graphs.to_symbol(_in_double(graph) if double else graph).as_np_ndarray()
        names, statistics_ = symbol.list_inputs(), symbol.list_auxiliary_states()
        drawn = {f'{name} {k}': array for name, found in self._drawn.items()
                 for k, array in enumerate(found)}
        feeds = {name: drawn[name] if name in drawn else arrays[name].copy() if name in statistics_
                 else tape.detach(arrays[name]) for name in names}
        if double:
            feeds = {name: array.astype('float64') if array.dtype == numpy.float32 else array
                     for name, array in feeds.items()}
        gradients = {name: np.zeros_like(feeds.get(name, arrays[name]))
                     for name in sorted(self._wanted)}
        wanted = [name for name in gradients if name in feeds]
        autograd.mark_variables([feeds[name] for name in wanted],
                                [gradients[name] for name in wanted])
        places = {name: at for at, name in enumerate(names)}
        learned = [places[name] for name in names if name in self._learned]
        run = CachedOp(symbol, [
            ('param_indices', learned), ('data_indices', sorted({*places.values()} - {*learned})),
            *passes.valid_flags(self._flags, graph, statistics_).items()])
        if not wanted:
            outputs = run(*feeds.values())
        else:
            with autograd.record(train_mode=self._training):
                outputs = run(*feeds.values())
        outputs = outputs if isinstance(outputs, list) else [outputs]
        heads = [array for array in outputs if numpy.dtype(array.dtype).kind == 'f']
        if wanted and heads:
            rng = numpy.random.RandomState(0)
            autograd.backward(heads, [np.array(rng.normal(size=head.shape).astype('float32'),
                                               dtype=head.dtype, ctx=head.ctx) for head in heads],
                              train_mode=self._training)
        results = len(outputs) - taken
        found = {f'result {k}' if k < results else f'what draw {k - results} takes': array
                 for k, array in enumerate(outputs)}
        found.update((f'the gradient of {name}', array) for name, array in gradients.items())
        if self._training:
            found.update((f'the statistic {name}', feeds[name]) for name in statistics_)
        return {what: array.copy().asnumpy() for what, array in found.items()}

    def _without_draws(self, graph):
        """Return the graph without random numbers: each result k of an operator that would draw is
        a variable `<node> <k>`, and Dropout copies its input. What these operators take is added to
        the outputs; its number is returned, too."""
        taken = {}

        def without_draws(i, inputs, add):
            node = graph['nodes'][i]
            op, name, attrs = node['op'], node['name'], node.get('attrs', {})
            if op == DROPOUT:
                return add(graphs.node('_copy', name, inputs[:1]))
            if _draws(node):
                # MXNet allows no variable among the outputs
                taken[name] = [[add(graphs.node('_copy', f'{name} takes {k}', [entry])), 0, 0]
                               for k, entry in enumerate(inputs)]
                return [[add(graphs.node('null', f'{name} {k}')), 0, 0]
                        for k in range(len(self._drawn[name]))]
            return add(graphs.node(op, name, inputs, **{**attrs, 'p': 0} if op == RNN else attrs))
        new = graphs.rebuilt(graph, without_draws)
        heads = [entry for name in sorted(taken) for entry in taken[name]]
        return dict(new, heads=new['heads'] + heads), len(heads)


def _in_double(graph):
    """Return a graph in which the operators that say or imply the dtype float32 make float64."""
    def changed(node):
        attrs = node.get('attrs', {})
        if node['op'] in IMPLY_FLOAT32 or attrs.get('dtype') == 'float32':
            return {**node, 'attrs': {**attrs, 'dtype': 'float64'}}
        return node
    return {**graph, 'nodes': [changed(node) for node in graph['nodes']]}


def _random(graph):
    """Return {name: (operator, attributes)} of the nodes that draw random numbers. Attributes of
    the trace, such as __node__, are left out."""
    return {node['name']: (node['op'], {key: text for key, text in attrs.items()
                                        if not key.startswith('__')})
            for node, attrs in ((node, node.get('attrs', {})) for node in graph['nodes'])
            if tape.draws(node['op'], attrs)}


def _draws(node):
    """Return whether a node draws random numbers that the proof replaces by a variable."""
    return node['op'] not in (RNN, DROPOUT) and bool(tape.draws(node['op'], node.get('attrs', {})))


def _max_pooling(node):
    """Return whether a node is a max pooling, whose gradient in predict mode is uninitialized
    memory in MXNet (mxnet#13445)."""
    return node['op'] == 'Pooling' and node['attrs'].get('pool_type', 'max') == 'max'


def wants_gradient(array):
    """Return whether a backward pass may have to compute the gradient of an array."""
    name, variable = tape.entry(array)
    return name is not None and not (variable and array.grad is None)


def _difference(a, b):
    """Return the largest difference of two arrays, over the elements where both are finite."""
    if a.dtype == bool:
        return float((a != b).any())
    with numpy.errstate(invalid='ignore', over='ignore'):
        difference = abs(a.astype('float64') - b.astype('float64'))
    return difference[numpy.isfinite(difference)].max(initial=0)
