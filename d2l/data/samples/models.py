"""Stand-ins for the model zoo's pretrained parameters (13.2, 13.11, 13.12, 13.14).

Nothing here was learned from ImageNet. The files have the names, shapes and format of the real
ones. resnet18_v2 has parameters that this project has trained on drawn pictures (`ci.pretrain`), in
the first channels of its layers and in the outputs of some classes. Its other parameters are zeros.

The other networks have random parameters, scaled so that activations keep their magnitude from
layer to layer. The filters of their first layers find edges and colours at several angles, as those
of trained networks do. To keep the files small on disk, three quarters of the filters in layers
with 256 channels and more are zeros, and so are VGG's dense layers except the last.
"""
import pathlib
import struct
import zlib

import mxnet as mx
import numpy as np

TRAINED = pathlib.Path(__file__).with_name('resnet18_v2.npz')
LIST_MAGIC, ARRAY_MAGIC, CPU, FLOAT = 0x112, 0xf993fac9, 1, 0      # numbers in MXNet's ndarray.cc
MANY_FILTERS, ALIVE = 256, 4        # in layers with so many filters, one in ALIVE is not zero
BRANCH = 0.25                       # magnitude of what a residual block adds to its input


def shapes(name):
    """Return {structural name: shape} for each parameter of a network of the model zoo, in the
    order of the file."""
    with mx.util.np_array(False), mx.util.np_shape(False):
        net = mx.gluon.model_zoo.vision.get_model(name)
        symbol = net(mx.sym.var('data'))
        arguments, _, states = symbol.infer_shape(data=(1, 3, 224, 224))
        known = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(),
                         arguments + states))
        return {key: known[param.name] for key, param in net._collect_params_with_prefix().items()}


def first_layer(shape, draw):
    """Return filters that find edges, lines and blots, (out, 3, k, k)."""
    n, k = shape[0], shape[-1]
    y, x = np.mgrid[:k, :k] - (k - 1) / 2
    angle, width = np.pi * (np.arange(n) % 8) / 8, k / (2.5 + np.arange(n) // 8 % 4)
    along = (x * np.cos(angle)[:, None, None] + y * np.sin(angle)[:, None, None])
    phase = (np.arange(n) // 32 % 2 * np.pi / 2)[:, None, None]
    wave = np.cos(2 * np.pi * along / (2 * width[:, None, None]) + phase)
    wave *= np.exp(-(x * x + y * y) / (k / 2) ** 2)
    colour = draw((n, 3))
    colour[::2] = 1                                     # half of them ignore colour
    weight = wave[:, None] * colour[:, :, None, None]
    weight *= np.sqrt(2 / (weight ** 2).sum(axis=(1, 2, 3), keepdims=True))
    # rounded, as sines and cosines may differ between machines in the last digits; without -0.0
    return np.round(weight * 2 ** 12) / 2 ** 12 + 0.0


def parameter(name, shape, inputs_alive):
    """Return a parameter as pieces: bytes, and whole numbers for that many zero bytes."""
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
    """Yield the pieces of each parameter, made of random numbers."""
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
    """Yield the pieces of each parameter. The values that ci.pretrain has stored are at the first
    indices of each axis, or in the rows of its classes. The values around them keep activations of
    0 at 0."""
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
    """Return the pieces of a .params file: bytes, and numbers of zero bytes; size is ignored."""
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
