"""Make exports of one operator with random attributes and shapes, and load them in this process,
for tests/test_hybrid_saved.py.

    python -m tests.fuzz_operators FOLDER SEED TRIES [FIRST [OPERATOR ...]]

It makes TRIES cases for each operator that load_exported accepts, or for those named, and skips the
cases before number FIRST. For each case, standard output has a line `try <number> <operator>
<attributes> <shapes>`, then a line `ok`, `refused`, or `RAW <error>`. If the process dies, its last
line names the case that killed it.
"""
import ast
import json
import pathlib
import random
import sys

from tests.fuzz_exports import limit, load

NUMBERS = [0, -1, 1, 2, 3, 5, -2, -5, 7, 100, 4096, 2 ** 31 - 1, -2 ** 31, 10 ** 12, -10 ** 12,
           2 ** 63 - 1]
FLOATS = ['0', '-1', '0.5', '1', '1e30', '-1e30', 'nan', 'inf', '-inf', '1e-38']
LENGTHS = [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8]
DTYPES = 'float32', 'float32', 'float32', 'float64', 'int32', 'int64', 'uint8', 'bool', 'float16'
STRINGS = ['', 'x', 'ab,bc->ac', 'ij', '->', '((((', '%s%n', '(0)', '-1', 'a' * 5000, 'float32',
           'valid',
           '[0]', 'kernel', '0,0', '[[0,0]]', '99999999999']


def text(kind, draw):
    """Return a random text for an attribute; kind: how MXNet describes the attribute's type."""
    hostile = draw.random() < .5
    def number():
        return draw.choice(NUMBERS if hostile else NUMBERS[:7])
    if 'None' in kind.split(',')[0] and draw.random() < .2 or draw.random() < .02:
        return 'None'
    if kind.startswith('{'):
        # sorted, since the order of a set differs between processes
        return str(draw.choice(sorted(ast.literal_eval(kind[:kind.index('}') + 1]), key=str)))
    if kind.startswith('boolean'):
        return draw.choice(('True', 'False', '0', '1'))
    if kind.startswith(('float', 'double', 'real')):
        return draw.choice(FLOATS)
    if kind.startswith(','):                # MXNet does not give the type
        return draw.choice(STRINGS + ['L', 'U', '(0.1, 0.9)', '(nan, inf)', '(2, 3)', '()',
                                      str(number())])
    if kind.startswith('string') or not kind:
        return draw.choice(STRINGS)
    if 'tuple of <Shape' in kind:
        return str([tuple(number() for _ in range(draw.randrange(4)))
                    for _ in range(draw.randrange(3))])
    if kind.startswith(('Shape', 'tuple')):
        if draw.random() < .1:
            return str(number())
        entries = [number() if draw.random() < .95 else None
                   for _ in range(draw.choice((0, 1, 2, 2, 3, 4, 9)))]
        return str(tuple(entries) if draw.random() < .9 else entries)
    return str(number())


def case(op, kinds, draw):
    """Draw (attributes, shapes, dtypes) for a node of the operator."""
    attrs, inputs = {}, 0
    for key, kind in kinds.items():
        if kind.startswith(('NDArray', 'Symbol')):
            inputs += draw.randrange(1, 4) if kind.endswith('[]') or '[],' in kind else 1
        elif 'required' in kind or draw.random() < .5:
            attrs[key] = text(kind, draw)
    if 'num_args' in kinds and draw.random() < .9:
        attrs['num_args'] = str(inputs)
    inputs = max(0, inputs + draw.choice((0, 0, 0, 0, 0, 0, 0, 0, 1, -1)))
    same, ndim = draw.random() < .5, draw.choice((0, 1, 1, 2, 2, 3, 3, 4, 4, 5))
    one = tuple(draw.choice(LENGTHS) for _ in range(ndim))
    shapes = [one if same else tuple(
        draw.choice(LENGTHS) for _ in range(draw.choice((ndim, draw.randrange(6)))))
        for _ in range(inputs)]
    dtype = draw.choice(DTYPES)
    return attrs, shapes, [dtype if draw.random() < .9 else draw.choice(DTYPES) for _ in shapes]


def operators():
    """{operator: {argument: its type, as MXNet describes it}} of those that load_exported
    accepts."""
    from d2l import c_api
    from d2l.hybrid import saved

    found = {op: c_api.arguments(op) for op in sorted(c_api.operator_names())}
    return {op: kinds for op, kinds in found.items()
            if kinds is not None and not saved.INTERNAL.fullmatch(op)
            and 'ptr' not in kinds.values()}


def write(path, op, attrs, shapes, dtypes, in_file):
    """Write an export of this operator, with hashes that match. in_file: how many of its inputs are
    Parameters."""
    import numpy
    from mxnet import np, npx
    from mxnet.ndarray.ndarray import _DTYPE_NP_TO_MX

    from d2l.hybrid import saved

    names = [f'w{i}' if i < in_file else f'data{i - in_file}' for i in range(len(shapes))]
    params = {f'arg:{name}': np.array(numpy.ones(shape), dtype=dtype)
              for name, shape, dtype in zip(names[:in_file], shapes, dtypes)}
    nodes = [{'op': 'null', 'name': name, 'inputs': [],
              'attrs': {'__dtype__': str(_DTYPE_NP_TO_MX[numpy.dtype(dtype).type])}}
             for name, dtype in zip(names, dtypes)]
    nodes.append({'op': op, 'name': 'new', 'attrs': attrs,
                  'inputs': [[i, 0, 0] for i in range(len(names))]})
    symbol = json.dumps({'nodes': nodes, 'heads': [[len(names), 0, 0]]}).encode()
    pathlib.Path(f'{path}-symbol.json').write_bytes(symbol)
    npx.save(f'{path}-0000.params', params)
    inputs = {name: list(shape) for name, shape in zip(names[in_file:], shapes[in_file:])}
    signature = {'inputs': inputs, 'example': [*inputs.values()], 'used': [*inputs],
                 'result': {'output': 0}, 'constants': [], 'predict_only': False,
                 'symbol': saved.sha256(symbol), 'params': {
                     '0000': saved.sha256(pathlib.Path(f'{path}-0000.params').read_bytes())}}
    signature['fingerprint'] = saved.fingerprint(signature)
    pathlib.Path(f'{path}-signature.json').write_text(json.dumps(signature))


def main(folder, seed, tries, first=0, only=()):
    """Make and load the cases, and print the outcome of each."""
    from mxnet import npx

    npx.set_np()
    path = str(pathlib.Path(folder, 'hostile'))
    found = operators()
    every = [(op, i) for op in only or found for i in range(tries)]
    for number, (op, i) in enumerate(every[first:], first):
        draw = random.Random(f'{seed} {op} {i}')
        attrs, shapes, dtypes = case(op, found[op], draw)
        print('try', number, op, attrs, shapes, dtypes, flush=True)
        write(path, op, attrs, shapes, dtypes, draw.randrange(len(shapes)) if shapes else 0)
        load(path)


if __name__ == '__main__':
    limit()
    folder, seed, tries, *first = sys.argv[1:]
    main(folder, int(seed), int(tries), int(first[0]) if first else 0, first[1:])
