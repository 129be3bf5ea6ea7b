"""What autograd is asked for: heads that are given twice, second derivatives, and gradients of
copied Parameters."""
import functools

from .calls import CALLS, tracing


def repair_repeated_heads():
    """Let a head count each time that it is given, as in `autograd.backward([y, y])`: MXNet takes
    the last one only. All but the first go in as copies."""
    _wrap(('backward', 'grad'), lambda heads, *rest, **named: (_apart(heads), *rest))


def refuse_second_derivatives():
    """Raise an error for `autograd.grad(..., create_graph=True)` where another operator takes the
    result of a Dense layer: MXNet leaves out how the gradient that comes to the layer from above
    depends on Parameters and inputs, so second derivatives would be wrong."""
    def checked(heads, *rest, **named):
        if named.get('create_graph', rest[3] if len(rest) > 3 else False):
            for head in _list(heads):
                _refuse(head)
        return heads, *rest
    _wrap(('grad',), checked)
    _name_the_cure()


def _name_the_cure():
    """Let autograd.grad say what to do where MXNet finds a compiled graph: its own error names
    `hybridize`, which the user may not have called."""
    from mxnet import MXNetError, autograd

    original = autograd.grad

    @functools.wraps(original)
    def grad(*args, **named):
        try:
            return original(*args, **named)
        except MXNetError as error:
            if 'CachedOp does not support higher order gradients' not in str(error):
                raise
            raise NotImplementedError(
                'd2l: create_graph=True goes through a compiled net, or through an operator that '
                'has no gradient, such as x > 0, which d2l runs as one. MXNet has no second '
                'derivatives of these. Do not compile the net, and write x.detach() > 0'
            ) from error
    autograd.grad = grad


def mark_copied_parameters():
    """Mark the arrays of a Parameter that `copy.deepcopy` or `pickle` has made: MXNet copies their
    gradients, and never computes them."""
    from mxnet import autograd
    from mxnet.gluon import Parameter

    from d2l.c_api import has_gradient

    def __setstate__(self, state):
        vars(self).update(state)
        if self._data is not None and self._grad is not None and not has_gradient(self._data[0]):
            autograd.mark_variables(self._data, self._grad, self.grad_req)
    Parameter.__setstate__ = __setstate__


def _wrap(names, change):
    """Replace functions of mxnet.autograd by ones whose positional arguments go through `change`
    first."""
    from mxnet import autograd

    def wrapped(original):
        @functools.wraps(original)
        def function(heads, *rest, **named):
            if not tracing():
                heads, *rest = change(heads, *rest, **named)
            return original(heads, *rest, **named)
        return function
    for name in names:
        setattr(autograd, name, wrapped(getattr(autograd, name)))


def _list(heads):
    return heads if isinstance(heads, (list, tuple)) else [heads]


def _apart(heads):
    """Return heads in which those that are the same result on the tape are copies of each other."""
    from mxnet import autograd, np

    from d2l.c_api import graph_of, operator

    if len(_list(heads)) < 2:
        return heads
    copy, known, found = operator('_copy'), set(), []
    for head in heads:
        graph = graph_of(head)
        name = None if graph is None else graph.list_outputs()[0]
        if name in known:
            with autograd.record(train_mode=autograd.is_training()):
                head = CALLS[copy](copy, [head], [], [], None, isinstance(head, np.ndarray), False)
        known |= {name} if name else set()
        found.append(head)
    return found


def _refuse(head):
    from d2l import graphs
    from d2l.c_api import graph_of

    symbol = graph_of(head)
    nodes = graphs.from_symbol(symbol)['nodes'] if symbol is not None else []
    for node in nodes:
        if any(nodes[i]['op'] == 'FullyConnected' for i, *_ in node['inputs']):
            raise NotImplementedError(
                'd2l: MXNet 1.9.1 leaves a part out of second derivatives through a Dense layer '
                'that others follow: they would be wrong. Leave out create_graph=True, and take '
                'differences of first gradients at two points, (grad(x + h * v) - grad(x)) / h')
