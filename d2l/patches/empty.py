"""Gradients of operators whose result is empty, as the sum of a batch of no rows and a bias is."""
import functools

from d2l import graphs

from .calls import CALLS, route_calls, tracing
from .layers import norm_results
from .marks import learns
from .repairs import records, repair

# operators whose result is empty if an input is, but in products of two empty arrays
WITH_EMPTY = [
    *[f'_npi_{name}' for name in (
        'add', 'subtract', 'multiply', 'true_divide', 'mod', 'power', 'maximum', 'minimum', 'hypot',
        'arctan2', 'copysign', 'ldexp')],
    *[f'broadcast_{name}' for name in (
        'add', 'sub', 'mul', 'div', 'mod', 'power', 'maximum', 'minimum', 'hypot')],
    '_np_dot', '_npi_tensordot', '_npi_tensordot_int_axes', 'take']
# operator -> attribute that has a 0 where the result is empty and the input is not
REPETITIONS = {'tile': 'reps', 'repeat': 'repeats', '_npi_broadcast_to': 'shape'}
LAYERS = 'BatchNorm', 'LeakyReLU'       # their Parameters are the inputs 1 and 2
WHERE = '_npi_where', '_npi_where_lscalar', '_npi_where_rscalar'


def repair_empty():
    """Let the gradients of all inputs be 0 where the result is empty. MXNet runs no operator for an
    empty result, so they are what lies in memory, or what `grad` was before. Its `where` of empty
    arrays that have to be broadcast ends the process even without a gradient."""
    from mxnet import ndarray

    from d2l import c_api

    for op in WITH_EMPTY:
        repair(op, lambda attrs: True, functools.partial(_of_constants, op), when=_recorded_empty,
               eager=False)
    route_calls(map(c_api.operator, WITH_EMPTY), functools.partial(
        _call, c_api.is_recording, c_api.operator('BlockGrad')))
    for op, key in REPETITIONS.items():
        repair(op, functools.partial(_repeats_never, key), functools.partial(_of_constants, op),
               when=records)
    for op in LAYERS:
        repair(op, lambda attrs: True, functools.partial(_of_constant_parameters, op),
               when=_recorded_empty)
    for op in WHERE:
        repair(op, lambda attrs: True, functools.partial(_where, op), when=_any_empty,
               traced=True)
    repair('_npi_diff', lambda attrs: True, _diff, when=records)
    for module in ndarray.numpy, ndarray.numpy._op:     # it calls no operator that is routed
        module.tensordot = _tensordot(module.tensordot)


def _call(is_recording, block_grad, invoke, handle, arrays, keys, values, out, *kinds):
    """Call an operator in eager mode. To ask one result for its shape is faster than to ask its
    inputs, and this runs for each `+`."""
    found = invoke(handle, arrays, keys, values, out, *kinds)
    if out is not None or not is_recording() or 0 not in found.shape or tracing():
        return found
    arrays = [CALLS[block_grad](block_grad, [each], [], [], None, *kinds) for each in arrays]
    return invoke(handle, arrays, keys, values, None, *kinds)


def _recorded_empty(arrays):
    return records(arrays) and _any_empty(arrays)


def _any_empty(arrays):
    # Parameters are not empty, and to ask each of them for its shape would slow large nets down
    return any(0 in array.shape for array in arrays if len(arrays) <= 3 or not learns(array))


def _repeats_never(key, attrs):
    return 0 in graphs.numbers(attrs.get(key, '()'))


def _constant(call, array):
    return call('BlockGrad', [array])[0]


def _is_empty(known):
    return 0 in (known.shape or ())


def _of_constants(op, call, inputs, attrs, known):
    if op in REPETITIONS or any(map(_is_empty, known)):
        return call(op, [_constant(call, each) for each in inputs], **attrs)


def _of_constant_parameters(op, call, inputs, attrs, known):
    if _is_empty(known[0]):
        data, *parameters = inputs
        parameters[:2] = [_constant(call, each) for each in parameters[:2]]
        return call(op, [data, *parameters], norm_results(attrs), **attrs)


def _diff(call, inputs, attrs, known):
    shape = known[0].shape
    if shape and shape[int(attrs.get('axis', -1))] <= int(attrs.get('n', 1)):
        return call('_npi_diff', [_constant(call, inputs[0])], **attrs)


def _tensordot(original):
    from mxnet import nd

    @functools.wraps(original)
    def tensordot(a, b, axes=2):
        if _recorded_empty([a, b]) and not tracing():
            a, b = [nd.BlockGrad(array.as_nd_ndarray()).as_np_ndarray() for array in (a, b)]
        return original(a, b, axes)
    return tensordot


def _where(op, call, inputs, attrs, known):
    if any(map(_is_empty, known)):
        import numpy

        if known[0].array is None:      # in eager mode, _npi_broadcast_to is repaired itself
            inputs = [_constant(call, each) for each in inputs]
        shape = numpy.broadcast_shapes(*[each.shape for each in known])
        return call(op, [call('_npi_broadcast_to', [each], shape=shape)[0] for each in inputs],
                    **attrs)
