"""Nested arguments and results: taking the arrays out of lists, tuples and dicts, and back."""
from mxnet.ndarray import NDArray

ARRAY, STATIC = '*', '='  # in a structure: an array; what precedes any other value


def flatten(value, leaves):
    """Append the arrays in `value` to `leaves`; return the structure around them, which is hashable
    if all else in it is."""
    kind = type(value)
    if isinstance(value, NDArray):
        leaves.append(value)
        return ARRAY
    if isinstance(value, (list, tuple)):
        return (kind, *[flatten(v, leaves) for v in value])
    if isinstance(value, dict):
        return (kind, tuple(value), *[flatten(v, leaves) for v in value.values()])
    return (STATIC, kind, value)  # with its kind, as 1 == 1.0 == True


def unflatten(structure, leaves):
    """The value that has this structure and the arrays that the iterator `leaves` gives."""
    if structure is ARRAY:
        return next(leaves)
    kind, *parts = structure
    if kind == STATIC:
        return parts[1]
    if issubclass(kind, dict):
        return kind((k, unflatten(p, leaves)) for k, p in zip(parts[0], parts[1:]))
    return getattr(kind, '_make', kind)([unflatten(p, leaves) for p in parts])  # or a named tuple
