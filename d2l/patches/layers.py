"""Operators of layers that oneDNN or MXNet computes wrong."""
import functools
import itertools

from d2l import graphs

from .calls import (
    CALLS, ShapeChange, change_by_shapes, replace_cached_op, route_calls, to_symbol, tracing)
from .marks import MARKED, learns

ALWAYS = {'use_global_stats': 'True'}   # attribute of BatchNorm: always use running statistics
LAST_AXIS = {'NCW': 'NWC', 'NCHW': 'NHWC', 'NCDHW': 'NDHWC'}    # layout -> with channels last
CHANNELS = {1: 'NCW', 2: 'NCHW', 3: 'NCDHW'}    # dimensions of a kernel -> the default layout


# ---- max pooling and batch normalization, recorded in predict mode
def repair_predict_mode():
    """Repair the gradients of two operators under autograd.record(train_mode=False).

    oneDNN's max pooling stores the indices of the maxima, which its gradient needs, in training
    mode only. So an operator that is called by itself runs in training mode. In a graph, pooling
    gets its channels last, because MXNet then uses its own code instead of oneDNN's.

    Batch normalization in predict mode uses the running statistics, but its gradient is computed as
    if they were those of the minibatch, unless the attribute use_global_stats is set.
    """
    from d2l.c_api import is_recording, is_training, operator, set_training

    pooling, norm = map(operator, ('Pooling', 'BatchNorm'))

    def predicts():
        return is_recording() and not is_training()

    def invoked(invoke, handle, *args):
        if not predicts():
            return invoke(handle, *args)
        if handle == norm:
            if tracing():          # the graph is for training, too; CachedOp below repairs it
                return invoke(handle, *args)
            arrays, keys, values, *rest = args
            attrs = {**dict(zip(keys, values)), **ALWAYS}
            return invoke(handle, arrays, list(attrs), list(attrs.values()), *rest)
        set_training(True)
        try:
            return invoke(handle, *args)
        finally:
            set_training(False)
    route_calls((pooling, norm), invoked)
    replace_cached_op(functools.partial(_predicting_cached_op, predicts=predicts))


def _predicting_cached_op(original, predicts):
    """Return a class derived from CachedOp that runs a second graph under
    record(train_mode=False), if its graph has max pooling or batch normalization."""
    class CachedOp(original):
        __slots__ = ('_made_of', '_other')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            self._made_of, self._other = (sym, flags), None

        def __call__(self, *args, **kwargs):
            if not predicts():
                return super().__call__(*args, **kwargs)
            if self._other is None:
                (sym, flags), self._other = self._made_of, False
                graph = predicting(graphs.from_symbol(sym))
                if graph:
                    self._other = original(to_symbol(graph, self.is_np_sym), flags)
            return (self._other or super().__call__)(*args, **kwargs)
    return CachedOp


def predicting(graph):
    """Return a graph with the channels last in each max pooling that oneDNN would compute, and with
    running statistics in each batch normalization. Return None if it has neither."""
    def changed(i, inputs, add):
        node = dict(graph['nodes'][i], inputs=inputs)
        attrs, layout = node.get('attrs', {}), _pooling_layout(node)

        def move(name, source, destination, inputs):
            return add(graphs.node('_np_moveaxis', f'{node["name"]} {name}', inputs,
                                   source=source, destination=destination))
        if node['op'] == 'BatchNorm':
            node['attrs'] = {**attrs, **ALWAYS}
        if not layout:
            return add(node)
        node.update(inputs=[[move('last', (1,), (-1,), inputs), 0, 0]],
                    attrs={**attrs, 'layout': LAST_AXIS[layout]})
        return move('back', (-1,), (1,), [[add(node), 0, 0]])
    if any(node['op'] == 'BatchNorm' or _pooling_layout(node) for node in graph['nodes']):
        return graphs.rebuilt(graph, changed)


def _pooling_layout(node):
    """Return the layout of a max pooling that oneDNN computes; None for any other operator."""
    attrs = node.get('attrs', {})
    if node['op'] != 'Pooling' or attrs.get('pool_type', 'max') != 'max':
        return None
    layout = attrs.get('layout', 'None')
    if layout == 'None':
        layout = CHANNELS.get(len(graphs.numbers(attrs.get('kernel', '()'))))
    return layout if layout in LAST_AXIS else None


# ---- the bias of a fully connected layer whose weight is frozen
def repair_bias():
    """Repair the gradient of the bias if the weight needs none. oneDNN computes both together, so
    MXNet leaves that of the bias uninitialized. In this case the bias is added by an operator of
    its own. So it is if the weight is the result of another operator, as it is not known then
    whether it needs a gradient."""
    from d2l.c_api import is_recording, operator

    full, add = map(operator, ('FullyConnected', '_npi_add'))

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        if len(arrays) != 3 or learns(arrays[1]) or not is_recording() or tracing():
            return invoke(handle, arrays, keys, values, out, *kinds)
        attrs = {**dict(zip(keys, values)), 'no_bias': 'True'}
        x = invoke(full, arrays[:2], list(attrs), list(attrs.values()), None, *kinds)
        return invoke(add, [x, arrays[2]], [], [], out, *kinds)
    route_calls([full], invoked)
    replace_cached_op(_unbiased_cached_op)
    _ask_for_weights()


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


def _unbiased_cached_op(original):
    """Return a class derived from CachedOp that runs another graph for each set of weights that
    need no gradient."""
    from d2l.c_api import is_recording

    class CachedOp(original):
        __slots__ = ('_made', '_weights', '_others')

        def __init__(self, sym, flags=(), **kwargs):
            super().__init__(sym, flags, **kwargs)
            self._made, self._weights, self._others = (sym, flags), None, {}

        def __call__(self, *args, **kwargs):
            if self._weights == () or not is_recording():
                return super().__call__(*args, **kwargs)
            sym, flags = self._made
            # indices of the weights among args; -1 for a weight that is the result of an operator
            if self._weights is None:
                at = {name: i for i, name in enumerate(sym.list_inputs())}
                self._weights = (*{at.get(name, -1) for name in weights_with_bias(
                    graphs.from_symbol(sym)).values()},)
            frozen = tuple([i for i in self._weights if i < 0 or not learns(args[i])])
            if not frozen:
                return super().__call__(*args, **kwargs)
            if frozen not in self._others:
                names = sym.list_inputs()
                other = bias_apart(graphs.from_symbol(sym), {names[i] for i in frozen if i >= 0})
                self._others[frozen] = original(to_symbol(other, self.is_np_sym), flags)
            return self._others[frozen](*args, **kwargs)
    return CachedOp


def weights_with_bias(graph):
    """Return {index of a node, a fully connected layer with a bias: name of the input that is its
    weight, or None if its weight is the result of an operator}."""
    nodes, found = graph['nodes'], {}
    for i, node in enumerate(nodes):
        if node['op'] == 'FullyConnected' and len(node['inputs']) == 3:
            weight = nodes[node['inputs'][1][0]]
            found[i] = weight['name'] if weight['op'] == 'null' else None
    return found


def bias_apart(graph, frozen):
    """Return a graph in which the bias of a fully connected layer is added by an operator of its
    own, if its weight is frozen or the result of an operator.

    frozen: names of the inputs that are frozen weights
    """
    apart = {i for i, name in weights_with_bias(graph).items() if name is None or name in frozen}

    def changed(i, inputs, add):
        node = graph['nodes'][i]
        if i not in apart:
            return add(dict(node, inputs=inputs))
        *taken, bias = inputs
        product = add(dict(node, inputs=taken, attrs={**node['attrs'], 'no_bias': 'True'}))
        return add(graphs.node('_npi_add', f'{node["name"]} with bias', [[product, 0, 0], bias]))
    return graphs.rebuilt(graph, changed)


# ---- a part of a convolution's channels
def repair_channel_slices():
    """Compute a slice along axis 1, of an array with three axes or more, by slice_axis. In training
    mode, oneDNN stores the results of convolutions in blocks of 8 or 16 channels, and its slice of
    a part of a block ends the process or raises an error. slice_axis has no code in oneDNN."""
    from d2l.c_api import operator

    along, whole = operator('slice_axis'), operator('slice')

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        attrs = dict(zip(keys, values))
        if _slices_axis_1(attrs):
            channels, attrs = _channels_and_rest(attrs, arrays[0].shape)
            if channels:
                arrays = [invoke(along, arrays, list(channels), list(channels.values()),
                                 None if attrs else out, *kinds)]
                if not attrs:
                    return arrays[0]
            keys, values = list(attrs), list(attrs.values())
        return invoke(whole, arrays, keys, values, out, *kinds)
    route_calls([whole], invoked)
    change_by_shapes(ShapeChange(_may_slice_channels, channels_sliced))


def _bounds(attrs, name):
    """Return the attribute begin, end or step of a slice as a tuple."""
    value = attrs.get(name)
    value = graphs.literal(value) if isinstance(value, str) else value
    return tuple(value) if isinstance(value, (tuple, list)) else () if value is None else (value,)


def _may_slice_channels(node):
    """Return whether a node of a graph may take a part of axis 1."""
    return node['op'] == 'slice' and _slices_axis_1(node.get('attrs', {}))


def _slices_axis_1(attrs):
    """Return whether the operator slice, with these attributes, may take a part of axis 1."""
    ends = *_bounds(attrs, 'begin')[1:2], *_bounds(attrs, 'end')[1:2]
    return ends not in ((), (None, None)) and _bounds(attrs, 'step')[1:2] in ((), (None,), (1,))


def _channels_and_rest(attrs, shape):
    """Split a slice of an array of this shape into two operators. Return a pair: the attributes of
    the slice_axis that takes a part of the channels, or None if it needs none, and the attributes
    of the slice that follows, or {} if it needs none."""
    begin, end = ([*_bounds(attrs, name)] for name in ('begin', 'end'))
    if len(shape) < 3 or len(begin) < 2 or len(end) < 2:
        return None, attrs
    first, last = begin[1] or 0, end[1]
    start, stop, _ = slice(first, last).indices(shape[1])
    if stop <= start:
        return None, attrs
    # slice_axis raises an error for a bound beyond the axis, so it only makes a row-major copy
    if max(-first, abs(last or 0)) > shape[1]:
        return {'axis': 1, 'begin': 0, 'end': None}, attrs
    begin[1] = end[1] = None
    rest = {**attrs, 'begin': (*begin,), 'end': (*end,)}
    others = any(value is not None for value in (*begin, *end, *_bounds(attrs, 'step')))
    return {'axis': 1, 'begin': first, 'end': last}, rest if others else {}


def channels_sliced(graph, inferred):
    """Return a graph in which slice_axis takes parts of channels, or None if there are none.

    inferred: see `graphs.inferred`
    """
    changed = []

    def change(i, inputs, add):
        node = dict(graph['nodes'][i], inputs=inputs)
        attrs = node.get('attrs', {})
        if not _may_slice_channels(node):
            return add(node)
        before, k, *_ = graph['nodes'][i]['inputs'][0]
        channels, rest = _channels_and_rest(attrs, inferred[graph['nodes'][before]['name']][k][0])
        if not channels:
            return add(node)
        changed.append(i)
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        node.update(op='slice_axis', attrs={**apart, **{n: str(v) for n, v in channels.items()}})
        if not rest:
            return add(node)
        first = add({**node, 'name': f'{node["name"]} channels'})
        return add(graphs.node('slice', node['name'], [[first, 0, 0]], **rest))
    new = graphs.rebuilt(graph, change)
    return new if changed else None


# ---- dropout between the layers of an RNN
def repair_rnn_dropout():
    """In training on a CPU, compute an RNN of several layers with dropout layer by layer, with
    Dropout between them: oneDNN's RNN, which MXNet calls, drops nothing. The masks are those of
    `nn.Dropout` between single layers.

    Under record(train_mode=False), MXNet's own code (float64) and cuDNN's drop: there it is 0.
    """
    from d2l.c_api import is_recording, is_training, operator

    def trains(arrays):
        return is_training() and arrays[0].context.device_type != 'gpu'

    def predicts(arrays):
        return is_recording() and not is_training()

    def invoked(invoke, handle, arrays, keys, values, out, *kinds):
        attrs = {key: str(value) for key, value in zip(keys, values)}
        # a trace keeps the operator, as the CachedOp of its graph will be repaired
        if not _drops_between_layers(attrs) or tracing():
            return invoke(handle, arrays, keys, values, out, *kinds)
        if predicts(arrays):
            attrs['p'] = '0'
        if not trains(arrays):
            return invoke(handle, arrays, [*attrs], [*attrs.values()], out, *kinds)

        def call(op, inputs, count=1, out=None, **attrs):
            found = CALLS[operator(op)](operator(op), inputs, list(attrs),
                                         [*map(str, attrs.values())], out, *kinds)
            return found if isinstance(found, list) else [found]
        found = _layer_by_layer(call, arrays, attrs, arrays[0].shape[2])
        if out is not None:
            outs = out if isinstance(out, (list, tuple)) else [out]
            found = [call('_copy', [new], out=old)[0] for new, old in zip(found, outs)]
        return found if len(found) > 1 else found[0]
    route_calls([operator('RNN')], invoked)
    change_by_shapes(ShapeChange(_rnn_drops, rnns_layer_by_layer, trains))
    change_by_shapes(ShapeChange(_rnn_drops, rnns_without_dropout, predicts))


def _rnn_drops(node):
    """Return whether a node of a graph is an RNN that drops values in training."""
    return node['op'] == 'RNN' and _drops_between_layers(node.get('attrs', {}))


def _drops_between_layers(attrs):
    """Return whether the operator RNN, with these attributes, drops values in training. (With a
    projection, MXNet has none for a CPU.)"""
    return (float(attrs.get('p', 0)) > 0 and int(attrs.get('num_layers', 1)) > 1
            and attrs.get('projection_size', 'None') == 'None')


def _is_true(text):
    """Return whether the text of an attribute means True."""
    return text in ('True', 'true', '1')


def _layer_by_layer(call, inputs, attrs, features):
    """Compute an RNN layer by layer, and return the list of its results.

    call: function that is called as call(operator, inputs, count=1, **attributes), and returns a
        list of so many results
    inputs: those of the operator RNN: sequence (steps, batch, features), the weights of each layer
        and then its biases, in one vector, and the states (layers * directions, batch, size)
    attrs: the attributes of the operator RNN, as texts
    """
    layers, size = int(attrs['num_layers']), int(attrs['state_size'])
    states = 2 if attrs['mode'] == 'lstm' else 1
    directions = 1 + _is_true(attrs.get('bidirectional'))
    gates = {'lstm': 4, 'gru': 3}.get(attrs['mode'], 1)
    widths = [features] + [directions * size] * (layers - 1)
    sizes = [directions * gates * size * (width + size) for width in widths]
    sizes += [directions * gates * size * 2] * layers
    ends = [*itertools.accumulate(sizes, initial=0)]
    results = 1 + states * _is_true(attrs.get('state_outputs'))
    sequence, parameters, *rest = inputs

    def cut(array, begin, end):
        return call('slice_axis', [array], axis=0, begin=begin, end=end)[0]

    def rows(k):                # oneDNN joins matrices ten times as fast as MXNet does vectors
        return call('Reshape', [cut(parameters, ends[k], ends[k + 1])], shape=(-1, size))[0]
    lasts = []
    for i in range(layers):
        if i:
            sequence, = call('Dropout', [sequence], p=attrs['p'])
        own, = call('Concat', [rows(i), rows(layers + i)], num_args=2, dim=0)
        own, = call('Reshape', [own], shape=(-1,))
        starts = [cut(state, i * directions, (i + 1) * directions) for state in rest[:states]]
        sequence, *last = call('RNN', [sequence, own, *starts, *rest[states:]], results,
                               **{**attrs, 'num_layers': 1, 'p': 0})
        lasts.append(last)
    return [sequence, *[call('Concat', last, num_args=layers, dim=0)[0] for last in zip(*lasts)]]


def rnns_layer_by_layer(graph, inferred):
    """Return a graph that computes each RNN of several layers with dropout layer by layer.

    inferred: see `graphs.inferred`
    """
    def change(i, inputs, add):
        node = graph['nodes'][i]
        attrs = node.get('attrs', {})
        if not _rnn_drops(node):
            return add(dict(node, inputs=inputs))
        apart = {name: text for name, text in attrs.items() if name.startswith('__')}
        numbers = itertools.count()

        def call(op, inputs, count=1, **attrs):
            new = graphs.node(op, f'{node["name"]} {next(numbers)}', inputs, **apart, **attrs)
            if 'control_deps' in node:
                new['control_deps'] = node['control_deps']
            at = add(new)
            return [[at, k, 0] for k in range(count)]
        before, k, *_ = node['inputs'][0]
        found = _layer_by_layer(call, inputs, {name: text for name, text in attrs.items()
                                               if name not in apart},
                                inferred[graph['nodes'][before]['name']][k][0][2])
        return [entry[0] for entry in found]
    return graphs.rebuilt(graph, change)


def rnns_without_dropout(graph, inferred):
    """Return a graph in which no RNN drops values. inferred: ignored"""
    return {**graph, 'nodes': [
        {**node, 'attrs': {**node['attrs'], 'p': '0'}} if _rnn_drops(node) else node
        for node in graph['nodes']]}
