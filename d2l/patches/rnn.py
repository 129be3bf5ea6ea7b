"""The operator RNN, which Gluon's `rnn.RNN`, `LSTM` and `GRU` call."""
import itertools

from .calls import is_true
from .repairs import repair


def repair_rnn():
    """In training on a CPU, compute an RNN of several layers with dropout layer by layer, with
    Dropout between them: oneDNN's RNN, which MXNet calls, drops nothing. The masks are those of
    `nn.Dropout` between single layers. Under record(train_mode=False), MXNet's own code (float64)
    and cuDNN's drop: there the dropout becomes 0.

    Layer by layer, those in float64 have their gradients, too: MXNet's are uninitialized memory for
    all layers but the last, in `rnn.RNN`, and in the others if their input wants no gradient.
    """
    repair('RNN', _has_layers, _repaired, when=_in_use)


def refuse_lengths():
    """Refuse an RNN that MXNet would compute without regard to the lengths of the sequences."""
    repair('RNN', lambda attrs: is_true(attrs.get('use_sequence_length')), _refused, when=_on_cpu,
           traced=True)


def _refused(call, inputs, attrs, known):
    raise NotImplementedError(
        'use_sequence_length: only cuDNN computes this, on a GPU; on a CPU MXNet would ignore it. '
        'Leave it out, and set what lies beyond the lengths to 0 by npx.sequence_mask(Y, '
        'sequence_length, use_sequence_length=True)')


def _on_cpu(arrays):
    return arrays[0].context.device_type != 'gpu'


def _has_layers(attrs):
    """Return whether an RNN has several layers, and no projection, of which MXNet has none for a
    CPU."""
    return int(attrs.get('num_layers', 1)) > 1 and attrs.get('projection_size', 'None') == 'None'


def _in_use(arrays):
    """Return whether an RNN in this mode may drop values or get a gradient, on a CPU; on a GPU,
    whether it may drop values in predict mode."""
    from d2l.c_api import is_recording, is_training

    return is_recording() and not is_training() or is_training() and _on_cpu(arrays)


def _repaired(call, inputs, attrs, known):
    from d2l.c_api import is_recording, is_training

    drops = float(attrs.get('p', 0)) > 0
    loses = (is_recording() and known[0].dtype == 'float64'
             and (known[0].array is None or _on_cpu(inputs)))
    if loses or drops and is_training():
        return _layer_by_layer(call, inputs, attrs, known,
                               float(attrs.get('p', 0)) * is_training())
    if drops:
        return call('RNN', inputs, _results(attrs), **{**attrs, 'p': 0})


def _results(attrs):
    """Return how many results an RNN has."""
    return 1 + _states(attrs) * is_true(attrs.get('state_outputs'))


def _states(attrs):
    """Return how many states an RNN has."""
    return 2 if attrs['mode'] == 'lstm' else 1


def _layer_by_layer(call, inputs, attrs, known, p):
    """Compute an RNN layer by layer, and return the list of its results.

    call: see `Repair`
    inputs: those of the operator RNN: sequence (steps, batch, features), the weights of each layer
        and then its biases, in one vector, and the states (layers * directions, batch, size)
    attrs: the attributes of the operator RNN, as texts
    known: the inputs as `Input`s
    p: the share of the values that are dropped between the layers
    """
    from mxnet import util

    layers, size = int(attrs['num_layers']), int(attrs['state_size'])
    states, directions = _states(attrs), 1 + is_true(attrs.get('bidirectional'))
    gates = {'lstm': 4, 'gru': 3}.get(attrs['mode'], 1)
    sizes = [directions * gates * size * (directions * size + size)] * (layers - 1)
    sizes += [directions * gates * size * 2] * layers
    # what is left tells the number of features, also where the sequence has no known shape
    sizes.insert(0, known[1].shape[0] - sum(sizes))
    ends = [*itertools.accumulate(sizes, initial=0)]
    sequence, parameters, *rest = inputs

    def cut(array, begin, end):
        return call('slice_axis', [array], axis=0, begin=begin, end=end)[0]

    def of_known_shape(state, shape, dtype, array):
        # without np semantics, the zeros of Gluon's begin_state get their shape from operator RNN
        if array is not None or util.is_np_shape():
            return state
        return call('add_n', [state, *call('_zeros', [], shape=shape, dtype=dtype)], num_args=2)[0]

    def rows(k):                # oneDNN joins matrices ten times as fast as MXNet does vectors
        return call('Reshape', [cut(parameters, ends[k], ends[k + 1])], shape=(-1, size))[0]
    lasts, begin = [], [of_known_shape(*each) for each in zip(rest, *zip(*known[2:]))][:states]
    for i in range(layers):
        if i and p:
            sequence, = call('Dropout', [sequence], p=p)
        own, = call('Concat', [rows(i), rows(layers + i)], num_args=2, dim=0)
        own, = call('Reshape', [own], shape=(-1,))
        starts = [cut(state, i * directions, (i + 1) * directions) for state in begin]
        sequence, *last = call('RNN', [sequence, own, *starts, *rest[states:]], _results(attrs),
                               **{**attrs, 'num_layers': 1, 'p': 0})
        lasts.append(last)
    return [sequence, *[call('Concat', last, num_args=layers, dim=0)[0] for last in zip(*lasts)]]
