"""Stand-ins for the model zoo's pretrained parameters (13.2, 13.11, 13.12, 13.14): random numbers.

Nothing here was learned from ImageNet or from anything else. The files have the names, shapes and
format of the real ones; the weights are drawn so that what goes through a network keeps its size,
and the first layer's filters, of edges and colours at several angles, are such as trained networks
have. To keep the files small on disk, three quarters of the filters of the layers with 256 channels
and more, and VGG's dense layers but the last, are zeros.
"""
import struct
import zlib

import mxnet as mx
import numpy as np

LIST_MAGIC, ARRAY_MAGIC, CPU, FLOAT = 0x112, 0xf993fac9, 1, 0      # of MXNet's ndarray.cc
WIDE, ALIVE = 256, 4                # layers so wide have one filter in ALIVE that is not zero
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
    # to fewer digits than the machines' sines and cosines may differ in
    return np.round(weight * 2 ** 12) / 2 ** 12


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
    alive = shape[0] // ALIVE if shape[0] >= WIDE and shape[-1] == 3 else shape[0]
    scale = (2 / (count // shape[0] * inputs_alive)) ** .5
    weight = (draw((alive,) + shape[1:]) * scale).astype('<f4')
    return [weight.tobytes(), 4 * (count - weight.size)]


def make(name, size=None):
    """Return the pieces of a .params file: bytes, and numbers of zeros; size does not matter."""
    known, pieces, before = shapes(name.split('/')[-1].split('-')[0]), [], 1
    pieces.append(struct.pack('<QQQ', LIST_MAGIC, 0, len(known)))
    for key, shape in known.items():
        pieces.append(struct.pack(f'<IiI{len(shape)}qiii', ARRAY_MAGIC, 0, len(shape), *shape,
                                  CPU, 0, FLOAT))
        wide = len(shape) == 4 and shape[0] >= WIDE
        residual = 'resnet' in name
        second = residual and key.endswith('conv2.weight')
        alive = 1 / ALIVE if second and shape[1] >= WIDE else before
        for piece in parameter(key, shape, alive):
            if second and not isinstance(piece, int):
                piece = (np.frombuffer(piece, '<f4') * np.float32(BRANCH)).tobytes()
            pieces.append(piece)
        if len(shape) == 4 and not residual:
            before = 1 / ALIVE if wide else 1
    keys = [key.encode() for key in known]
    pieces.append(struct.pack('<Q', len(keys)) + b''.join(
        struct.pack('<Q', len(key)) + key for key in keys))
    return pieces
