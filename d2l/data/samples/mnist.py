"""A stand-in for MNIST (17.8): ten digits, each drawn by a few strokes with a shaky hand.

The four gzipped IDX files that `gluon.data.vision.MNIST` reads: images (n, 28, 28) uint8 on black,
labels (n,) uint8, all ten equally often. Drawn with integers only, in sixteenths of a pixel, so
the bytes are the same everywhere.
"""
import numpy as np

from . import fashion_mnist

TRAIN_SIZE, TEST_SHARE = 12000, 6        # training images; the test set is a sixth of that
TRAIN_SEED, TEST_SEED = 178, 179
SIDE, U = 28, 16                         # pixels per side; units per pixel
CENTRES = U * np.arange(SIDE, dtype=np.int32) + U // 2
CHUNK = 500                              # images drawn at a time, so that they fit into a cache
# largest move of a corner in units; slant in sixteenths; largest move of the digit in units
SHAKE, SLANT, SHIFT = 18, 7, 24
STEPS = 64                               # number of points along a stroke
# Strokes of a digit: corners (x, y) in a box of 12 by 20 pixels, y downwards.
STROKES = (
    [[(6, 0), (10, 3), (12, 10), (10, 17), (6, 20), (2, 17), (0, 10), (2, 3), (6, 0)]],
    [[(4, 3), (7, 0), (6, 20)]],
    [[(1, 4), (4, 0), (9, 1), (11, 5), (8, 11), (1, 20), (12, 20)]],
    [[(1, 2), (6, 0), (11, 3), (10, 7), (5, 9), (11, 12), (11, 17), (6, 20), (0, 18)]],
    [[(4, 0), (1, 12), (12, 12)], [(9, 6), (8, 20)]],
    [[(11, 0), (3, 0), (2, 8), (8, 8), (11, 13), (8, 19), (1, 20)]],
    [[(9, 0), (3, 7), (1, 14), (4, 20), (9, 19), (11, 14), (8, 10), (2, 13)]],
    [[(1, 1), (11, 0), (8, 9), (5, 20)]],
    [[(6, 0), (10, 2), (9, 7), (3, 12), (2, 17), (6, 20), (10, 17), (9, 12), (3, 7), (2, 2),
      (6, 0)]],
    [[(11, 4), (7, 0), (2, 3), (3, 8), (8, 9), (11, 4), (10, 12), (8, 20)]],
)


def ink(start, end, reach):
    """Return the brightness, (n, 28, 28), of strokes from start to end, both (n, 2).

    reach: the width, (n, 1, 1). The brightness is full within a third of it, and falls with the
    squared distance beyond.
    """
    run = end - start
    x, y = CENTRES - start[:, 0, None, None], CENTRES[:, None] - start[:, 1, None, None]
    run_x, run_y = run[:, 0, None, None], run[:, 1, None, None]
    length = np.maximum(run_x * run_x + run_y * run_y, 1)
    along = np.clip((x * run_x + y * run_y) * STEPS // length, 0, STEPS)
    x, y = x - run_x * along // STEPS, y - run_y * along // STEPS
    return np.clip((reach * reach - x * x - y * y) * 290 // (reach * reach), 0, 255)


def draw(label, rng, n):
    """Return n images of a digit, (n, 28, 28) uint8."""
    def integer(low, high, *shape):
        return rng.randint(low, high + 1, (n, *shape), dtype=np.int32)

    size, slant = integer(11, U, 2), integer(-SLANT, SLANT)
    middle = SIDE * U // 2 + integer(-SHIFT, SHIFT, 2)
    reach = integer(20, 34, 1, 1)
    image = np.zeros((n, SIDE, SIDE), np.int32)
    for stroke in STROKES[label]:
        corners = []
        for x, y in stroke:
            at = np.array((x - 6, y - 10), np.int32) * size + integer(-SHAKE, SHAKE, 2)
            at[:, 0] -= at[:, 1] * slant // U
            corners.append(at + middle)
        for start, end in zip(corners, corners[1:]):
            image = np.maximum(image, ink(start, end, reach))
    return image.astype(np.uint8)


def images(seed, n):
    """Return the images, (n, 28, 28) uint8, that belong to fashion_mnist.labels(seed, n)."""
    result = np.empty((n, SIDE, SIDE), np.uint8)
    y = fashion_mnist.labels(seed, n)
    for label in range(len(STROKES)):
        where = np.flatnonzero(y == label)
        rng = np.random.RandomState(seed * 1000 + label)
        for start in range(0, len(where), CHUNK):
            part = where[start:start + CHUNK]
            result[part] = draw(label, rng, len(part))
    return result


def make(name, size=None):
    """Return the bytes of one of the four files; size is the number of training images."""
    size = size or TRAIN_SIZE
    seed, n = (TRAIN_SEED, size) if '/train-' in name else (TEST_SEED, size // TEST_SHARE)
    return fashion_mnist.idx((images if 'images' in name else fashion_mnist.labels)(seed, n))
