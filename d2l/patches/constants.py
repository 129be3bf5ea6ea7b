"""Operators that have no gradient, such as comparisons, or none of some inputs, such as indices."""
import atexit
import functools

from d2l import graphs

from .calls import replace_cached_op, route_calls, tracing

COMPARISONS = 'equal', 'not_equal', 'greater', 'greater_equal', 'less', 'less_equal'
OLDER_COMPARISONS = 'equal', 'not_equal', 'greater', 'greater_equal', 'lesser', 'lesser_equal', \
    'logical_and', 'logical_or', 'logical_xor'
ROUNDINGS = 'floor', 'ceil', 'rint', 'fix', 'trunc'
DISTRIBUTIONS = ('exponential', 'gamma', 'generalized_negative_binomial', 'negative_binomial',
                 'normal', 'poisson', 'uniform')
CONSTANT = [
    *[f'_npi_{name}{scalar}' for name in COMPARISONS for scalar in ('', '_scalar')],
    *[f'_{name}{scalar}' for name in OLDER_COMPARISONS for scalar in ('', '_scalar')],
    *[f'broadcast_{name}' for name in OLDER_COMPARISONS], 'logical_not', '_npi_logical_not',
    *ROUNDINGS, 'round', *[f'_npi_{name}' for name in ROUNDINGS], '_npi_around',
    'argmax', 'argmin', '_npi_argmax', '_npi_argmin', 'argsort', '_npi_argsort',
    *[f'_npi_{name}' for name in ('isnan', 'isinf', 'isfinite', 'isposinf', 'isneginf')],
    'one_hot', 'zeros_like', 'ones_like', '_npi_full_like', 'BlockGrad', 'shape_array',
    'size_array', '_contrib_arange_like', '_npi_bincount', '_npi_where_scalar2',
    'ravel_multi_index', 'unravel_index', '_npi_multinomial', '_npi_choice', '_npi_gamma',
    '_contrib_index_array', '_contrib_box_encode', '_contrib_box_decode',
    *[f'_npi_{name}{scalar}' for name in ('bitwise_and', 'bitwise_or', 'bitwise_xor', 'lcm')
      for scalar in ('', '_scalar')], '_npi_bitwise_not', '_np_all', '_np_any', '_npi_nonzero',
    '_npi_diag_indices_from',
    *[f'_random_{name}_like' for name in DISTRIBUTIONS],
    *[f'_sample_{name}' for name in DISTRIBUTIONS]]
# operator -> attribute that makes it have a gradient, and its values that do
CONSTANT_UNLESS = {'topk': ('ret_typ', ('value', 'both')),
                   '_sample_multinomial': ('get_prob', ('True', '1'))}
# operator -> index of the input that has no gradient
CONSTANT_INPUT = {'where': 0, '_npi_where': 0, '_npi_where_lscalar': 0, '_npi_where_rscalar': 0,
                  'pick': 1, 'gather_nd': 1, 'scatter_nd': 1, 'broadcast_like': 1,
                  '_npx_reshape_like': 1, '_identity_with_attr_like_rhs': 1}

INLINED = 2         # MXNet puts the operators of graphs of up to so many on the tape themselves


def repair_constants():
    """Call operators without a gradient as graphs, if autograd records their inputs. By themselves
    MXNet ends the process in the backward pass where the result of a layer goes through a reshape
    or a slice, then into such an operator, and nowhere else: it computes zeros from an array that
    it has not kept. A graph computes its zeros itself."""
    from d2l import c_api

    for name in CONSTANT:
        route_calls([c_api.operator(name)], _call)
    for name, at in CONSTANT_INPUT.items():
        route_calls([c_api.operator(name)], functools.partial(_call, at=at))
    for name, (key, texts) in CONSTANT_UNLESS.items():
        route_calls([c_api.operator(name)], functools.partial(_call, key=key, texts=texts))
    names = {c_api.original(name) for name in (*CONSTANT, *CONSTANT_INPUT, *CONSTANT_UNLESS)}

    def not_inlined(original):
        class CachedOp(original):
            __slots__ = ()

            def __init__(self, sym, flags=(), **kwargs):
                operators = len(sym.get_internals().list_outputs()) - len(sym.list_inputs())
                if operators <= INLINED and any(
                        node['op'] in names for node in graphs.from_symbol(sym)['nodes']):
                    flags = [*{**dict(flags), 'inline_limit': 0}.items()]
                super().__init__(sym, flags, **kwargs)
        return CachedOp
    replace_cached_op(not_inlined)


def _call(invoke, handle, arrays, keys, values, out, is_np, as_list, at=None, key=None, texts=()):
    """Call an operator, as a graph if autograd records one of its arrays.

    at: index of the array that has no gradient; None: none has one
    key, texts: an attribute, and its values with which the operator has a gradient
    """
    from d2l import c_api

    without = arrays if at is None else arrays[at:at + 1]
    if not c_api.is_recording() or tracing() or out is not None \
            or not any(map(c_api.is_on_tape, without)) \
            or key and str(dict(zip(keys, values)).get(key)) in texts:
        return invoke(handle, arrays, keys, values, out, is_np, as_list)
    found = _graph(handle, len(arrays), (*keys,), (*map(str, values),), is_np)(*arrays)
    return [found] if as_list and not isinstance(found, list) else found


@functools.lru_cache(maxsize=256)
def _graph(handle, count, keys, texts, is_np):
    """Return a CachedOp of an operator that takes so many arrays and has these attributes."""
    import mxnet

    from d2l import c_api

    name = c_api.op_name(handle)
    inputs = [c_api.variable(f'input{i}') for i in range(count)]
    symbol = c_api.applied(name, name, inputs, dict(zip(keys, texts)))
    return mxnet.nd.CachedOp(symbol.as_np_ndarray() if is_np else symbol)


atexit.register(_graph.cache_clear)         # MXNet cannot free a graph when Python has ended
