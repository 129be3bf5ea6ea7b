"""A rewritten graph is proved before it is used: it has to compute what the graph does as it was
traced, on the arguments of the call for which it is made.

Both run once, on the arrays that this call feeds them: outputs, and where a gradient may be asked
for (in training, and while autograd records), one backward pass from random gradients of the
outputs to all that wants one as things are: Parameters, inputs, not those that are frozen. In
training the statistics of BatchNorm are compared, too, of copies, so that those of the net stay.
Nothing is drawn: Dropout lets all pass, and what another operator would draw is the same array for
both.

Two orders of summation differ in last digits: by no more than SPREAD of the largest number of an
array, or than MARGIN times what comes of changing the arguments in their last digits, for where
large numbers cancel, float32 gives no more. Where both are exceeded, or numbers are infinite or NaN
at other places, or the rewritten graph raises, the exact one is used, and a warning names the net
and the rule: the one without which the proof holds.

The cost: once for each program, two runs beside the one that was asked for, with the memory of
their results and gradients; if there is doubt, TRIES more.
"""
import json
import warnings

import mxnet
import numpy
from mxnet import autograd, np, npx
from mxnet.ndarray._internal import CachedOp

from .. import rewrite
from ..rewrite.graph import inferred
from . import passes, tape

SPREAD = 2 ** -20       # of float32: 8 units in the last place of the largest number
MARGIN = 8              # more numbers are rounded on the way than the arguments
CHANGE = 2 ** -22       # of the arguments, each by 2 units in its last place, up or down
TRIES = 3               # such changes; the median counts
DROPOUT, RNN = 'Dropout', 'RNN'


def optimized(graph, arrays, learned, training, flags, name, check=True):
    """The graph rewritten, if it computes the same; else, with a warning, in its exact form.

    graph: as traced; arrays: {name of an input: what the call feeds it}; learned: names of those
    that are Parameters that learn; training: the mode; flags: of CachedOp; name: of the net
    check: False takes the rewritten graph without a proof
    """
    exact = passes.no_common_subexpressions(graph)
    if any(node['op'] in passes.PYTHON for node in graph['nodes']):
        return exact                    # a proof would run the user's Python, which may count
    kinds = {name: (array.shape, array.dtype) for name, array in arrays.items()}

    def rewritten(without=()):
        content, used = rewrite.rewrite(graph, kinds, training, without)
        return passes.add_up_by_copy(
            passes.reshape_by_copy(passes.keep_random_order(content))), used
    if not check:
        return rewritten()[0]
    proof = Proof(passes.add_up_by_copy(passes.reshape_by_copy(exact)), arrays, learned, training,
                  flags)
    if proof.expected is None:          # it raises, as the call will
        return exact
    fast, used, fault = None, rewrite.names(), None
    try:
        fast, used = rewritten()
    except Exception as error:          # of whatever kind: the net runs without rules
        fault = _first_line(error)
    fault = fault or proof.fault(fast)
    if fault is None:
        return fast

    def holds(rule):
        try:
            return proof.fault(rewritten({rule})[0]) is None
        except Exception:               # this one is not the only rule at fault
            return False
    rules = [rule for rule in sorted(used) if holds(rule)] or ['several rules']
    warnings.warn(
        f'{name} runs as it was traced: rewritten by {" or ".join(rules)} it would be wrong, '
        f'{fault}. Please report this', stacklevel=2)
    return exact


def _first_line(error):
    return f'{type(error).__name__}: {error}'.splitlines()[0]


class Proof:
    """What a graph computes on the arrays of a call, and whether another computes the same.

    exact: the graph to compare with; the other arguments: see `optimized`. expected: {what: NumPy
    array}, None where the graph raises
    """

    def __init__(self, exact, arrays, learned, training, flags):
        self._exact, self._learned, self._training, self._flags = exact, learned, training, flags
        with autograd.pause():
            self._arrays = {name: tape.detach(array) for name, array in arrays.items()}
        self._wanted = {name for name, array in arrays.items() if _wants_gradient(array)
                        } if training or autograd.is_recording() and not any(
                            map(_max_pooling, exact['nodes'])) else set()
        self._drawn = {}                # name of a node -> what it is to have drawn
        if any(map(_draws, exact['nodes'])):
            kinds = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            found = inferred(mxnet.sym.load_json(json.dumps(exact)), kinds)
            rng = numpy.random.RandomState(0)
            self._drawn = {node['name']: [
                np.array(rng.uniform(size=shape).astype(dtype), dtype=dtype)
                for shape, dtype in found[node['name']]]
                for node in exact['nodes'] if _draws(node)}
        self.expected = self._run(exact, self._arrays)[0]

    def fault(self, graph):
        """None if a graph computes the same, else what is wrong, as text."""
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
        for what in doubtful:
            a, b = self.expected[what], found[what]
            spreads = [_difference(a, other[what]) for other in changed if what in other]
            if _difference(a, b) > MARGIN * numpy.median(spreads or [0]):
                return (f'{what} wrong by {_difference(a, b):.2g}, where the largest is '
                        f'{abs(a[numpy.isfinite(a)]).max(initial=0):.2g}')

    def _changed(self, seed):
        """The arrays with each number changed in its last digits, up or down."""
        rng, changed = numpy.random.RandomState(seed), dict(self._arrays)
        for name, array in self._arrays.items():
            if array.dtype in (numpy.float32, numpy.float64):
                factor = 1 + CHANGE * rng.choice([-1, 1], array.shape)
                values = (array.copy().asnumpy() * factor).astype(array.dtype)
                changed[name] = np.array(values, dtype=array.dtype, ctx=array.ctx)
        return changed

    def _run(self, graph, arrays):
        """({what: NumPy array} of the outputs and gradients, None), or (None, why not)."""
        try:
            with autograd.pause(train_mode=self._training):
                return self._results(self._without_draws(graph), arrays), None
        except Exception as error:      # of whatever kind: it is what the proof is for
            while True:                 # MXNet may have more to say, and would say it later
                try:
                    npx.waitall()
                    break
                except mxnet.MXNetError:
                    continue
            return None, _first_line(error)

    def _results(self, graph, arrays):
        symbol = mxnet.sym.load_json(json.dumps(graph)).as_np_ndarray()
        names, statistics_ = symbol.list_inputs(), symbol.list_auxiliary_states()
        drawn = {f'{name} {k}': array for name, found in self._drawn.items()
                 for k, array in enumerate(found)}
        feeds = {name: drawn[name] if name in drawn else arrays[name].copy() if name in statistics_
                 else tape.detach(arrays[name]) for name in names}
        gradients = {name: np.zeros_like(arrays[name]) for name in sorted(self._wanted)}
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
            autograd.backward(heads, [np.array(rng.normal(size=head.shape), dtype=head.dtype,
                                               ctx=head.ctx) for head in heads],
                              train_mode=self._training)
        found = {f'result {k}': array for k, array in enumerate(outputs)}
        found.update((f'the gradient of {name}', array) for name, array in gradients.items())
        if self._training:
            found.update((f'the statistic {name}', feeds[name]) for name in statistics_)
        return {what: array.copy().asnumpy() for what, array in found.items()}

    def _without_draws(self, graph):
        """A graph that draws nothing, in which operators that would are variables, `<node> <k>`."""
        nodes, places = [], []          # of each node: its own place, or a list, of each result

        def moved(i, k, *_):
            at = places[i]
            return [at[k], 0, 0] if isinstance(at, list) else [at, k, 0]
        for node in graph['nodes']:
            attrs, inputs = node.get('attrs', {}), [moved(*entry) for entry in node['inputs']]
            node = {'op': node['op'], 'name': node['name'], 'attrs': attrs, 'inputs': inputs}
            places.append(len(nodes))
            if node['op'] == DROPOUT:
                node.update(op='_copy', attrs={}, inputs=inputs[:1])
            elif node['op'] == RNN and 'p' in attrs:
                node.update(attrs={**attrs, 'p': '0'})
            elif _draws(node):
                count = len(self._drawn[node['name']])
                places[-1] = [len(nodes) + k for k in range(count)]
                nodes += [{'op': 'null', 'name': f'{node["name"]} {k}', 'inputs': []}
                          for k in range(count)]
                continue
            nodes.append(node)
        return {'nodes': nodes, 'heads': [moved(*head) for head in graph['heads']],
                'arg_nodes': [i for i, node in enumerate(nodes) if node['op'] == 'null'],
                'attrs': graph['attrs']}


def _draws(node):
    """Whether a node draws numbers of which the proof has to know."""
    return node['op'] not in (RNN, DROPOUT) and bool(tape.draws(node['op'], node.get('attrs', {})))


def _max_pooling(node):
    """Of which MXNet's gradient, in prediction, is what lay in memory (mxnet#13445)."""
    return node['op'] == 'Pooling' and node['attrs'].get('pool_type', 'max') == 'max'


def _wants_gradient(array):
    name, variable = tape.entry(array)
    return name is not None and not (variable and array.grad is None)


def _difference(a, b):
    """The largest difference of two arrays, where both are finite."""
    if a.dtype == bool:
        return float((a != b).any())
    with numpy.errstate(invalid='ignore', over='ignore'):
        difference = abs(a.astype('float64') - b.astype('float64'))
    return difference[numpy.isfinite(difference)].max(initial=0)
