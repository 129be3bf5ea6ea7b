"""Load and call each operator that load_exported accepts, with attributes and dimensions that MXNet
may divide by, for tests/test_hybrid_saved.py.

    python -m tests.sweep_operators FOLDER [OPERATOR ...]

For each operator, calls are drawn until MXNet accepts some. Each of these is then changed in one
place: a number in an attribute becomes one of NUMBERS, or an array becomes empty. Child processes
load and call the changed operators. Prints `died <status> <case>` for each case that ended a child,
and at the end how many cases were computed, and how many were refused.
"""
import ast
import collections
import functools
import itertools
import os
import pathlib
import random
import re
import resource
import signal
import sys

from tests import fuzz_operators
from tests.fuzz_exports import limit

# for each operator: calls drawn, accepted calls kept, deaths, all at most
DRAWS, KEPT, DEATHS = 60, 3, 12
SECONDS, MEMORY = 8, 6 * 2 ** 30        # limits for one case: seconds, bytes
NUMBERS = 0, -1, 2 ** 31 - 1, -4, -6    # in a reshape, -4 and -6 split a dimension
SHAPES = [(4,), (2, 4), (4, 4), (2, 4, 4), (4, 2, 6), (1, 4, 6, 6), (2, 4, 4, 4), (1, 2, 4, 4, 4)]


def attribute(key, kind, one, draw):
    """Return a text for an attribute that the operator is likely to accept."""
    if key == 'subscripts':
        return 'ij,jk->ik'
    if key in ('shape', 'newshape') and draw.random() < .5:
        return draw.choice((str(one), str(one[::-1]), '(-1,)', '(-1, 2)'))
    if kind.startswith(('Shape', 'tuple of <Shape')):
        return str(tuple(draw.choice((1, 1, 2, 2, 3)) for _ in range(
            draw.choice((1, 2, 2, len(one))))))
    if kind.startswith(('int', 'long')):
        return str(draw.choice((0, 1, 1) if 'axis' in key or 'ind' in key else (1, 2, 4)))
    if kind.startswith(','):
        return draw.choice(('(2,)', '2', 'L', '(0.5, 0.5)'))
    return fuzz_operators.text(kind, draw)


def call(kinds, draw):
    """Draw (attributes, shapes, dtype) that MXNet is likely to accept; infer a shape that is
    None."""
    inputs = sum(1 + ('[]' in kind) for kind in kinds.values()
                 if kind.startswith(('NDArray', 'Symbol')))
    one, style = draw.choice(SHAPES), draw.randrange(3)
    attrs = {key: attribute(key, kind, one, draw) for key, kind in kinds.items()
             if not kind.startswith(('NDArray', 'Symbol'))
             and ('required' in kind or draw.random() < .15)}
    if 'num_args' in kinds:
        attrs['num_args'] = str(inputs)
    others = (one, one[:-1], one[1:], one[:1], one[-1:], (1,), draw.choice(SHAPES))
    shapes = [one] + [(None, one, draw.choice(others))[style] for _ in range(1, inputs)]
    return attrs, shapes[:inputs], draw.choice(('float32', 'float32', 'float32', 'int32', 'uint8'))


def cut(shape, axis):
    """The shape with length 0 along the axis; unchanged if it has no such axis."""
    return (*shape[:axis], 0, *shape[axis + 1:]) if axis < len(shape) else shape


def changes(kinds, attrs, shapes):
    """Yield (attributes, shapes) with one attribute changed, or with one or more arrays empty."""
    for key, kind in kinds.items():
        if kind.startswith(('int', 'long')):
            yield from (({**attrs, key: str(n)}, shapes) for n in NUMBERS)
        elif kind.startswith(('Shape', 'tuple of <Shape', ',')):
            try:
                now = ast.literal_eval(attrs.get(key, '(1, 1)'))
            except (ValueError, SyntaxError):
                continue
            now = now if isinstance(now, tuple) else (now,)
            for n in NUMBERS:
                yield {**attrs, key: str((n,) * len(now))}, shapes
                for i in range(len(now)):
                    yield {**attrs, key: str((*now[:i], n, *now[i + 1:]))}, shapes
    empty = [[(0,) * len(shape) for shape in shapes]]
    for i, shape in enumerate(shapes):
        for axis in range(len(shape)):
            one = cut(shape, axis)
            empty += [[*shapes[:i], one, *shapes[i + 1:]], [cut(each, axis) for each in shapes],
                      [one if each == shape else each for each in shapes]]
            if i == 0:
                empty.append([one, *[None] * (len(shapes) - 1)])
    choices = [{}, *({key: str(value)} for key, kind in kinds.items() if kind.startswith('{')
                     for value in sorted(map(str, ast.literal_eval(kind[:kind.index('}') + 1]))))]
    yield from (({**attrs, **choice}, one) for choice in choices[:12] for one in empty)


def completed(op, attrs, shapes):
    """Return the shapes, where MXNet infers those that are None. Raises ValueError if it cannot."""
    import mxnet

    from d2l import c_api
    from d2l.hybrid import saved
    names = [f'data{i}' for i in range(len(shapes))]
    known = {name: shape for name, shape in zip(names, shapes) if shape is not None}
    if len(known) == len(shapes):
        return shapes
    symbol = saved._operator(op, 'new', [*map(c_api.variable, names)], attrs, '')
    with mxnet.util.np_shape(True):
        found, _, more = symbol.infer_shape_partial(**known)
    found = {**dict(zip(symbol.list_arguments(), found or ())),
             **dict(zip(symbol.list_auxiliary_states(), more or ())), **known}
    if any(found.get(name) is None or min(found[name], default=0) < 0 for name in names):
        raise ValueError('the shapes do not follow')
    return [found[name] for name in names]


def outcome(path, op, attrs, shapes, dtype):
    """Write an export of the operator, load it and call it. Return 'ok' or 'refused'."""
    import mxnet
    from mxnet import np

    from d2l import load_exported
    signal.alarm(SECONDS)
    try:
        shapes = completed(op, attrs, shapes)
        fuzz_operators.write(path, op, attrs, shapes, [dtype] * len(shapes), 0)
        found = load_exported(path)(*[np.array(np.ones(shape), dtype=dtype) for shape in shapes])
        for array in found if isinstance(found, list) else [found]:
            array.asnumpy()
        return 'ok'
    except (ValueError, TypeError, IndexError, NotImplementedError, MemoryError,
            mxnet.MXNetError):
        return 'refused'
    finally:
        signal.alarm(0)


def sweep(path, op, kinds, after, say):
    """Run the cases of an operator and pass a line about each to `say`. after: the numbers of the
    cases that ended earlier children; the sweep goes on after the last of them."""
    draw, counter, kept, seen = random.Random(op), itertools.count(), 0, set()

    def tried(attrs, shapes, dtype, first=False):
        text, number = f'{op} {attrs} {shapes} {dtype}', next(counter)
        # drawn calls are run again, since the changes start from those that MXNet accepts
        if text in seen or number <= max(after, default=-1) and not first or number in after:
            return None
        seen.add(text)
        say(f'try {number} {text}')
        result = outcome(path, op, attrs, shapes, dtype)
        say(result)
        return result
    for _ in range(DRAWS):
        attrs, shapes, dtype = call(kinds, draw)
        if tried(attrs, shapes, dtype, True) == 'ok':
            kept += 1
            for changed in changes(kinds, attrs, [*completed(op, attrs, shapes)]):
                tried(*changed, dtype)
        if kept == KEPT:
            break
    say('end')


def child(work):
    """Call `work` in a child process; the function that it is given sends a line to this process.
    Return these lines and the exit status of the child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            for stream in 1, 2:         # MXNet prints to them
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            work(lambda line: os.write(write, f'{line}\n'.encode()))
            status = 0
        except BaseException as error:
            os.write(write, f'wrong: {error!r}\n'.encode())
        finally:
            os._exit(status)
    os.close(write)
    with open(read, encoding='utf-8') as file:
        lines = file.read().splitlines()
    return lines, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(folder, only=()):
    from mxnet import npx

    from d2l import c_api

    npx.set_np()
    path, counts = str(pathlib.Path(folder, 'swept')), collections.Counter()
    found = {op: kinds for op, kinds in fuzz_operators.operators().items()
             if op == c_api.original(op)}
    for op in only or found:
        after, lines = [], []
        while 'end' not in lines and len(after) < DEATHS:
            lines, status = child(functools.partial(sweep, path, op, found[op], after))
            counts.update(line for line in lines if line in ('ok', 'refused'))
            tries = [line for line in lines if line.startswith('try ')]
            if 'end' not in lines:
                print('died', status, *(lines if status == 3 else tries)[-1:], flush=True)
                if not tries or status == 3:
                    break
                after.append(int(re.match(r'try (\d+)', tries[-1])[1]))
    print(f'{counts["ok"]} computed, {counts["refused"]} refused')


if __name__ == '__main__':
    limit()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    main(sys.argv[1], sys.argv[2:])
