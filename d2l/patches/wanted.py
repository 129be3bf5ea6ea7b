"""Operators whose gradients are wrong in MXNet where only some of their inputs want one."""
import functools

from d2l import graphs

from .calls import is_true
from .marks import MARKED
from .repairs import records, repair

# operators that compute a loss, of values and labels
LOSSES = ('LinearRegressionOutput', 'MAERegressionOutput', 'LogisticRegressionOutput',
          'SoftmaxOutput', 'SVMOutput')
# operators of attention that compute no gradient of the second input without that of the first
PAIRS = '_contrib_interleaved_matmul_selfatt_valatt', '_contrib_interleaved_matmul_encdec_qk'


# ---- the bias of a fully connected layer whose weight is frozen
def repair_bias():
    """Repair the gradient of the bias if the weight needs none. oneDNN computes both together, so
    MXNet leaves that of the bias uninitialized. In this case the bias is added by an operator of
    its own. So it is if the weight is the result of another operator, as it is not known then
    whether it needs a gradient."""
    repair('FullyConnected', lambda attrs: not is_true(attrs.get('no_bias')), _bias_apart,
           when=records, frozen=1)
    _ask_for_weights()


def _bias_apart(call, inputs, attrs, known):
    product = call('FullyConnected', inputs[:2], **{**attrs, 'no_bias': 'True'})
    return call('_npi_add', [*product, inputs[2]])


def _ask_for_weights():
    """Make autograd.grad compute the gradient of a weight, too, if it computes that of the bias. By
    itself it computes no gradients but those of its variables."""
    from mxnet import autograd, nd

    original = autograd.grad

    @functools.wraps(original)
    def grad(heads, variables, *args, **named):
        wanted = [variables] if isinstance(variables, nd.NDArray) else [*variables]
        weights = _weights_beside([heads] if isinstance(heads, nd.NDArray) else heads, wanted)
        return original(heads, [*wanted, *weights], *args, **named)[:len(wanted)]
    autograd.grad = grad


def _weights_beside(heads, wanted):
    """Return the weights of fully connected layers whose bias depends on an array in `wanted`, if
    they are not in `wanted` themselves."""
    from d2l import c_api
    from d2l.hybrid import tape

    names, found = {tape.entry(array)[0] for array in wanted}, set()
    for symbol in map(c_api.graph_of, heads):
        nodes = [] if symbol is None else graphs.from_symbol(symbol)['nodes']
        needs = set()                       # indices of the nodes that depend on a wanted array
        for i, node in enumerate(nodes):
            inputs = [j for j, *_ in node['inputs']]
            if node['name'] in names or needs & {*inputs}:
                needs.add(i)
            if node['op'] == 'FullyConnected' and len(inputs) == 3 and inputs[2] in needs:
                found.add(nodes[inputs[1]]['name'])
            # its layers are hidden, so all of its inputs may be such weights
            elif node['op'] == '_CachedOp' and needs & {*inputs}:
                found |= {nodes[j]['name'] for j in inputs if nodes[j]['op'] == 'null'}
    found -= names
    return [array for _, array in [*MARKED.values()]
            if found and array.ndim == 2 and tape.entry(array)[0] in found]


# ---- sums
def repair_sums():
    """Let graphs add two arrays by add_n: elemwise_add leaves the gradient of one uninitialized, or
    raises an error, where the other wants none and the graph's memory is static."""
    repair('elemwise_add', lambda attrs: True, _sum_of_any_number, when=records)


def _sum_of_any_number(call, inputs, attrs, known):
    if known[0].array is None:
        return call('add_n', inputs, num_args=2)


# ---- inputs that have to depend on others
def repair_dependent():
    """Add 0 times the other inputs to an input without which MXNet computes no gradient of these:
    so it wants one where they do. The 0 comes from operators that keep it for infinite values and
    NaN.

    Of while_loop, these are its variables, where they want no gradient at first, as the zeros with
    which a sum starts: MXNet leaves what comes through their later values out, or uninitialized.
    """
    for op in PAIRS:
        repair(op, lambda attrs: True, functools.partial(_with_dependent_first, op), when=records)
    repair('_while_loop', lambda attrs: True, _with_dependent_variables, when=records)


def _with_dependent_first(op, call, inputs, attrs, known):
    return call(op, [_dependent(call, 0, inputs, known), inputs[1]], **attrs)


def _with_dependent_variables(call, inputs, attrs, known):
    new, func = [*inputs], graphs.numbers(attrs['func_input_locs'])
    for i in {func[place] for place in graphs.numbers(attrs['func_var_locs']) if place >= 0}:
        if known[i].dtype.kind == 'f':
            new[i] = _dependent(call, i, inputs, known)
    return call('_while_loop', new, int(attrs['num_outputs']), **attrs)


def _dependent(call, i, inputs, known):
    """Return input i plus 0 times all inputs. All, so that the arguments of the graph keep their
    order."""
    dtype = known[i].dtype

    def zero(array, own):
        zeros, = call('zeros_like', [array])
        found = call('sum', call('where', [zeros, array, zeros]))
        return found[0] if own == dtype else call('Cast', found, dtype=dtype)[0]
    zeros = [zero(array, each.dtype) for array, each in zip(inputs, known)]
    total = call('add_n', zeros, num_args=len(zeros))
    return call('_npi_add', [inputs[i], *total])[0]


# ---- labels
def repair_labels():
    """Let the gradient of the labels be 0 in operators that leave it uninitialized."""
    for op in LOSSES:
        repair(op, lambda attrs: True, functools.partial(_with_constant_labels, op), when=records)


def _with_constant_labels(op, call, inputs, attrs, known):
    values, *labels = inputs
    return call(op, [values, *[call('BlockGrad', [each])[0] for each in labels]], **attrs)
