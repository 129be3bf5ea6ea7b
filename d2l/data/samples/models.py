"""Stand-ins for the model zoo's pretrained parameters (13.2, 13.11, 13.12, 13.14).

Nothing here was learned from ImageNet. The files have the names, shapes and format of the real
ones. resnet18_v2 holds in the first channels of its layers, and in the outputs of some classes,
what this project trained on drawn pictures (`ci.pretrain`), and zeros in the others.

The other networks are random numbers, drawn so that what goes through a network keeps its size;
their first layer's filters, of edges and colours at several angles, are such as trained networks
have. To keep the files small on disk, three quarters of the filters of the layers with 256 channels
and more, and VGG's dense layers but the last, are zeros.
"""
import pathlib
import struct
import zlib

import mxnet as mx
import numpy as np

TRAINED = pathlib.Path(__file__).with_name('resnet18_v2.npz')
LIST_MAGIC, ARRAY_MAGIC, CPU, FLOAT = 0x112, 0xf993fac9, 1, 0      # of MXNet's ndarray.cc
MANY_FILTERS, ALIVE = 256, 4        # layers with so many filters have one in ALIVE that is not zero
BRANCH = 0.25                       # size of what a residual block adds


def shapes(name):
    """Structural name -> shape of each parameter of a network of the zoo, in the file's order."""
    with mx.util.np_array(False), mx.util.np_shape(False):
        net = mx.gluon.model_zoo.vision.get_model(name)
        symbol = net(mx.sym.var('data'))
        arguments, _, states = symbol.infer_shape(data=(1, 3, 224, 224))
        known = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(),
                         arguments + states))
        return {key: known[param.name] for key, param in net._collect_params_with_prefix().items()}


def first_layer(shape, draw):
    """Filters of edges, lines and blots: (out, 3, k, k)."""
    n, k = shape[0], shape[-1]
    y, x = np.mgrid[:k, :k] - (k - 1) / 2
    angle, width = np.pi * (np.arange(n) % 8) / 8, k / (2.5 + np.arange(n) // 8 % 4)
    along = (x * np.cos(angle)[:, None, None] + y * np.sin(angle)[:, None, None])
    phase = (np.arange(n) // 32 % 2 * np.pi / 2)[:, None, None]
    wave = np.cos(2 * np.pi * along / (2 * width[:, None, None]) + phase)
    wave *= np.exp(-(x * x + y * y) / (k / 2) ** 2)
    colour = draw((n, 3))
    colour[::2] = 1                                     # half of them see no colour
    weight = wave[:, None] * colour[:, :, None, None]
    weight *= np.sqrt(2 / (weight ** 2).sum(axis=(1, 2, 3), keepdims=True))
    # to fewer digits than the sines and cosines of machines may differ in, and no -0.0
    return np.round(weight * 2 ** 12) / 2 ** 12 + 0.0


def parameter(name, shape, inputs_alive):
    """A parameter as pieces: bytes, and whole numbers that stand for so many zeros."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))

    def draw(shape):
        return rng.randint(-127, 128, shape, dtype=np.int8) / 74       # variance 1
    count = int(np.prod(shape))
    if len(shape) == 1:
        ones = name.endswith(('gamma', 'running_var'))
        return [(np.ones if ones else np.zeros)(shape, '<f4').tobytes()]
    if shape[0] == 4096:
        return [4 * count]
    if shape[1] == 3:
        return [first_layer(shape, draw).astype('<f4').tobytes()]
    alive = shape[0] // ALIVE if shape[0] >= MANY_FILTERS and shape[-1] == 3 else shape[0]
    scale = (2 / (count // shape[0] * inputs_alive)) ** .5
    weight = (draw((alive,) + shape[1:]) * scale).astype('<f4')
    return [weight.tobytes(), 4 * (count - weight.size)]


def drawn(known, residual):
    """Yield each parameter's pieces: random numbers."""
    before = 1
    for key, shape in known.items():
        wide = len(shape) == 4 and shape[0] >= MANY_FILTERS
        second = residual and key.endswith('conv2.weight')
        pieces = parameter(key, shape, 1 / ALIVE if second and shape[1] >= MANY_FILTERS else before)
        if second:
            pieces[0] = (np.frombuffer(pieces[0], '<f4') * np.float32(BRANCH)).tobytes()
        yield pieces
        if len(shape) == 4 and not residual:
            before = 1 / ALIVE if wide else 1


def learned(known):
    """Yield each parameter's pieces: what ci.pretrain stored, in the first entries of each axis, or
    in the rows of its classes; around it what leaves zeros zero."""
    with np.load(TRAINED) as stored:
        for key, shape in known.items():
            part = stored[key]
            ones = key.endswith(('gamma', 'running_var'))
            full = (np.ones if ones else np.zeros)(shape, '<f4')
            rows = stored['classes'] if key.startswith('output.') else np.arange(len(part))
            full[(rows, *map(slice, part.shape[1:]))] = part
            end = len(full) if ones else max(rows) + 1
            yield [full[:end].tobytes(), full[end:].nbytes]


def make(name, size=None):
    """Return the pieces of a .params file: bytes, and numbers of zeros; size does not matter."""
    net = name.split('/')[-1].split('-')[0]
    known = shapes(net)
    pieces = [struct.pack('<QQQ', LIST_MAGIC, 0, len(known))]
    values = learned(known) if net == TRAINED.stem else drawn(known, 'resnet' in net)
    for shape, value in zip(known.values(), values):
        pieces.append(struct.pack(f'<IiI{len(shape)}qiii', ARRAY_MAGIC, 0, len(shape), *shape,
                                  CPU, 0, FLOAT))
        pieces += value
    keys = [key.encode() for key in known]
    pieces.append(struct.pack('<Q', len(keys)) + b''.join(
        struct.pack('<Q', len(key)) + key for key in keys))
    return pieces
