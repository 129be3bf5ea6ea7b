"""Make hostile exports and load them in this process, for tests/test_hybrid_saved.py.

    python -m tests.fuzz_exports FOLDER SEED COUNT

For each export, standard output has a line `try <case>`, then a line `ok`, `refused`, or `RAW
<error>`. If the process dies, its last line names the case that killed it.
"""
import copy
import json
import os
import pathlib
import random
import resource
import signal
import sys
import warnings

SECONDS, MEMORY = 20, 12 * 2 ** 30      # limits for loading one export: seconds, bytes
VALUES = [0, -1, 1, 2, 7, 50, 10 ** 9, 2 ** 31, 2 ** 63, -2 ** 63, 10 ** 30, 0.5, 1e400,
          float('nan'), '',
          'x', '0', '-1', 'None', '(0, 0)', '(-1,)', '()', '(1, 1, 1, 1, 1, 1, 1)',
          '(99999999, 99999999)',
          'True', '\x00', 'é' * 9, None, True, [], [[]], {}, {'output': 0}, [0, 50, 0], [-1, 0, 0],
          [17, 7, 0]]
ATTRIBUTES = ['0', '-1', '1', '3', '7', '(0, 0)', '(0,)', '(-1, -1)', '()', '(1, 1, 1)', '(3, 3)',
              'None', '[]',
              '2147483647', '-2147483648', '99999999999999999999', '(2147483647, 2147483647)',
              'nan', '1e39',
              'max', 'lstm', 'True', '', 'relu', '(1,)', '(2, 0)', '100000', "(None, None)"]


def places(value, at=()):
    """Yield the path (keys and indices) to each value in nested lists and dicts."""
    yield at
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def edited(content, draw):
    """A JSON value with one to three random changes."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        *way, last = draw.choice([place for place in places(content) if place])
        owner = content
        for key in way:
            owner = owner[key]
        kind = draw.randrange(4)
        if 'attrs' in way and isinstance(owner[last], str):
            owner[last] = draw.choice(ATTRIBUTES)
        elif kind == 0:
            del owner[last]
        elif kind == 1 and isinstance(owner, list):
            owner.insert(last, copy.deepcopy(draw.choice(owner)))
        elif kind == 2 and type(owner[last]) is int:
            owner[last] += draw.choice((-1, 1, 2, 100))
        else:
            owner[last] = copy.deepcopy(draw.choice(VALUES))
        if not content:
            break
    return content


def attributes(content, draw):
    """A graph with one attribute changed, or added from another node."""
    content = copy.deepcopy(content)
    nodes = [node for node in content['nodes'] if node.get('attrs')]
    node = draw.choice(nodes)
    key = draw.choice([*node['attrs'], draw.choice([*draw.choice(nodes)['attrs']])])
    node['attrs'][key] = draw.choice(ATTRIBUTES)
    return content


def wired(content, draw):
    """A graph in which one node has another operator, or an input added, removed or replaced."""
    content = copy.deepcopy(content)
    nodes = content['nodes']
    node = draw.choice([node for node in nodes if node['inputs']] or nodes)
    kind = draw.randrange(4)
    if kind == 0:
        node['op'] = draw.choice(OPERATORS)
    elif kind == 1 and node['inputs']:
        node['inputs'].pop(draw.randrange(len(node['inputs'])))
    elif kind == 2:
        node['inputs'].append([draw.randrange(len(nodes)), 0, 0])
    elif node['inputs']:
        node['inputs'][draw.randrange(len(node['inputs']))] = [draw.randrange(len(nodes)),
                                                               draw.randrange(2), 0]
    return content


def damaged(data, draw):
    """The data with some bytes changed, removed or inserted."""
    data = bytearray(data)
    at = draw.randrange(len(data))
    kind = draw.randrange(5)
    if kind == 0:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 20)))
    elif kind == 3:
        data[at:at + 8] = draw.choice((b'\xff' * 8, bytes(8), b'\x00\x00\x00\x80' * 2))
    else:
        data[draw.randrange(min(64, len(data)))] = draw.randrange(256)
    return bytes(data)


OPERATORS = ['Convolution', 'Pooling', 'FullyConnected', 'RNN', 'Reshape', '_npi_where', 'Custom',
             'take',
             '_foreach', '_npi_slice', 'Embedding', 'BatchNorm', 'SliceChannel', 'no_such_operator',
             'null', '',
             'Concat', 'transpose', '_npi_choice', 'Deconvolution', 'slice_like', '_CachedOp',
             '_copy']


def nets():
    """{name: (net, its arguments)}, with the layers and operators of the book's networks."""
    from mxnet import np, npx
    from mxnet.gluon import nn, rnn
    npx.set_np()

    def sequential(*layers):
        net = nn.Sequential()
        net.add(*layers)
        return net
    images, steps = np.ones((2, 4, 8, 8)), np.ones((5, 2, 3))
    made = {
        'convolutions': (sequential(nn.Conv2D(4, 3, padding=1, groups=2), nn.BatchNorm(),
                                    nn.Activation('relu'), nn.MaxPool2D(2), nn.AvgPool2D(2),
                                    nn.Conv2DTranspose(2, 2, strides=2), nn.GlobalAvgPool2D(),
                                    nn.Dropout(.5), nn.Dense(3)), (images,)),
        'recurrent': (rnn.LSTM(4, 2, bidirectional=True), (steps,)),
        'norms': (sequential(nn.LayerNorm(), nn.Dense(4, flatten=False), nn.LeakyReLU(.1)),
                  (steps,)),
        'words': (sequential(nn.Embedding(9, 4), nn.Dense(3)), (np.ones((2, 3)),)),
    }
    for net, args in made.values():
        net.initialize()
        net(*args)

    def operators(X, i):
        Y = X.reshape(2, 2, 2, 64).transpose(0, 2, 1, 3)
        Z = npx.batch_dot(Y.reshape(4, 2, 64), Y.reshape(4, 2, 64), transpose_b=True)
        mask = npx.sequence_mask(Z.swapaxes(0, 1), np.array([1., 2., 1., 1.]), True, value=-1e6)
        return {'output': [npx.softmax(mask), np.take(X, i, axis=0, mode='clip'),
                           X[0, :, 1:3, ::2]],
                'more': (np.concatenate([X, X * 2], axis=1), np.stack([X, X]), npx.one_hot(i, 3),
                         np.repeat(X, 2, axis=1).sum(axis=(1, 2)), npx.pick(X[:, 0, 0], i),
                         np.tile(X, (2, 1)),
                         np.expand_dims(X, 1).squeeze(1), np.where(X > 0, X, X * 2),
                         np.split(X, 2, axis=1),
                         npx.topk(X, k=2, axis=1), X.argmax(axis=1), X.astype('int32') % 3,
                         np.ones((2, 1)) * X[:, 0, 0], npx.multibox_prior(X, [.5], [1]))}
    made['operators'] = operators, (images, np.array([0, 1]))
    return made


def cases(folder, seed, count):
    """Write `count` hostile exports, one after another, at folder / 'hostile'; yield a line for
    each."""
    from d2l import export
    from d2l.hybrid import saved

    draw, exports = random.Random(seed), []
    for name, (net, args) in nets().items():
        path = folder / name
        export(net, str(path), *args)
        exports.append({end: path.with_name(f'{name}-{end}').read_bytes()
                        for end in ('symbol.json', 'signature.json', '0000.params')})
    for number in range(count):
        good = draw.choice(exports)
        contents = dict(good)
        end = draw.choice(['symbol.json'] * 4 + ['signature.json', '0000.params'])
        if end == '0000.params' or draw.random() < .1:
            contents[end] = damaged(good[end], draw)
        else:
            change = draw.choice((edited, attributes, wired)) if end == 'symbol.json' else edited
            contents[end] = json.dumps(change(json.loads(good[end]), draw)).encode()
        forged = draw.choice((False, True, True, True))
        if forged:          # the hashes are made to match, or are removed
            try:
                signature = json.loads(contents['signature.json'])
                if draw.random() < .2:
                    for key in 'fingerprint', 'symbol', 'params', 'example':
                        signature.pop(key, None)
                else:
                    signature['symbol'] = saved.sha256(contents['symbol.json'])
                    signature['params'] = {'0000': saved.sha256(contents['0000.params'])}
                    signature['fingerprint'] = saved.fingerprint(signature)
                contents['signature.json'] = json.dumps(signature).encode()
            except (ValueError, TypeError, AttributeError):
                pass
        for of_file, content in contents.items():
            (folder / f'hostile-{of_file}').write_bytes(content)
        yield f'{number} {end} forged={forged}'


def limit():
    """Limit this process's memory and threads, as it will load hostile files; silence warnings."""
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    warnings.simplefilter('ignore')
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def load(path):
    """Load an export and print the outcome."""
    from d2l import load_exported

    signal.alarm(SECONDS)
    try:
        load_exported(str(path))
        print('ok', flush=True)
    except (FileNotFoundError, ValueError) as error:
        own = type(error) in (FileNotFoundError,
                              ValueError) or type(error).__module__.startswith('d2l.')
        print(f'refused {error}'.replace('\n', ' ')[:300] if own else f'RAW {error!r}',
              flush=True)
    except Exception as error:
        print(f'RAW {error!r}'.replace('\n', ' ')[:300], flush=True)


def main(folder, seed, count):
    """Make the exports and load each of them."""
    folder = pathlib.Path(folder)
    for line in cases(folder, seed, count):
        print('try', line, flush=True)
        load(folder / 'hostile')


if __name__ == '__main__':
    limit()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
