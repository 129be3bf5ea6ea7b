"""A stand-in for Fashion-MNIST (3.5): ten garments, each drawn from a few random lengths.

The four gzipped IDX files that `gluon.data.vision.FashionMNIST` reads: images (n, 28, 28) uint8 on
black, labels (n,) uint8, all ten classes equally often. Garments are drawn with integers only, in
sixteenths of a pixel, so the bytes are the same everywhere. T-shirt, shirt, pullover and coat
differ in sleeves, collar and front, and overlap a little, as the real ones do.
"""
import struct

import numpy as np

from . import pack

# the test set is as large as the real one, as section 17.1 needs it
TRAIN_SIZE, TEST_SIZE = 24000, 10000
TEST_SHARE = 6                           # with D2L_SAMPLE_SIZE, the test set is a sixth of it
SIDE, U = 28, 16                         # pixels per side; units per pixel
CENTRES = U * np.arange(SIDE, dtype=np.int32) + U // 2
SHIFT = 2                                # largest distance of a garment from the middle, in pixels
CHUNK = 500                              # images drawn at a time, so that they fit into a cache
TRAIN_SEED, TEST_SEED = 28, 29


class Pen:
    """Random numbers and distances for n images at once.

    Arguments are lengths in pixels. Arrays of lengths are in units of 1/U pixel. Masks are
    (n, 28, 28) int32, from 0 (outside) to U (inside).
    """

    def __init__(self, rng, n):
        self.rng, self.n = rng, n
        lean = self.length(-1.5, 1.5)                                  # from top to bottom
        axis = 14 * U + lean * (CENTRES - 14 * U) // (28 * U)          # of symmetry, (n, 28)
        self.dx = np.abs(CENTRES - axis[:, :, None])                   # distance to it

    def integer(self, low, high):
        """Return random integers from low to high - 1, (n, 1)."""
        return self.rng.randint(low, high, (self.n, 1), dtype=np.int32)

    def length(self, low, high):
        """Return random lengths from low to high pixels, (n, 1), in units."""
        return self.integer(int(low * U), int(high * U) + 1)

    def chance(self, percent):
        """Return 1 for this percentage of the images, and 0 for the others, (n, 1)."""
        return (self.integer(0, 100) < percent).astype(np.int32)


def line(*points):
    """Interpolate linearly between points (at, value), and return the values at the 28 pixel
    centres, (n, 28). Before the first and after the last point the value is constant.

    at, value: numbers or (n, 1) arrays, in units; `at` must increase
    """
    value = points[0][1] + np.zeros_like(CENTRES)
    for (at, v), (next_at, next_v) in zip(points, points[1:]):
        run = next_at - at
        value = value + (next_v - v) * np.clip(CENTRES - at, 0, run) // run
    return value


def cover(depth):
    """Return the share of a pixel that is inside a shape, 0 to U. depth: the distance of the
    pixel's centre from the edge, positive inside"""
    return np.clip(depth + U // 2, 0, U)


def rows(f):
    """Return values per row, (n, 28), as (n, 28, 1)."""
    return f[:, :, None]


def between(top, bottom):
    """Return the mask of the rows from top to bottom, (n, 28, 1). top, bottom: (n, 1)"""
    return rows(np.minimum(cover(CENTRES - top), cover(bottom - CENTRES)))


def torso(pen, top, hem, shoulder, waist, hip, neck, neck_depth):
    """Return the mask of a body from half its width at shoulder, waist and hip, without the
    neckline."""
    edge = line((top, neck), (top + 2 * U, shoulder), (top + 6 * U, waist), (hem, hip))
    hole = line((top - U, neck), (top + neck_depth, 0 * neck - U))
    body = np.minimum(cover(rows(edge) - pen.dx), between(top, hem))
    return np.minimum(body, cover(pen.dx - rows(hole)))


def sleeves(pen, top, end, shoulder, armpit, reach, width):
    """Return the mask of two sleeves from the shoulder to the row `end`, where they are `reach`
    away from the axis."""
    outer = line((top + U, shoulder), (end, reach))
    inner = line((top + 6 * U, armpit), (np.maximum(end, top + 7 * U), reach - width))
    arm = np.minimum(cover(rows(outer) - pen.dx), cover(pen.dx - rows(inner)))
    return np.minimum(arm, between(top + U, end))


def shoe(pen, height, toe_height, opening):
    """Return the masks of the upper and of the sole of a shoe that points left.

    height, toe_height: (n, 1), above the ground; opening: the length of the opening for the foot
    """
    ground, toe, heel = pen.length(20, 23.5), pen.length(1.5, 3.5), pen.length(24.5, 26.5)
    tongue = heel - opening
    top = line((toe - U, ground), (toe + U, ground - toe_height),
               (toe + 5 * U, ground - toe_height - U), (tongue, ground - height),
               (tongue + opening // 2, ground - height + 2 * U), (heel - U, ground - height + U))
    y = CENTRES[:, None]
    columns = np.minimum(cover(CENTRES - toe), cover(heel - CENTRES))[:, None, :]
    upper = np.minimum(cover(y - top[:, None, :]), cover(ground[:, :, None] - y))
    thick = pen.length(.6, 1.6)
    return np.minimum(upper, columns), np.minimum(between(ground, ground + thick), columns)


def tshirt(pen):
    top, hem = pen.length(1, 3), pen.length(24, 27.5)
    shoulder, waist = pen.length(8, 9.5), pen.length(6, 8)
    body = torso(pen, top, hem, shoulder, waist, waist + pen.length(-.5, 1), pen.length(2.5, 4.5),
                 pen.length(1.5, 4))
    end = top + pen.length(6, 9)
    arms = sleeves(pen, top, end, shoulder, waist, shoulder + pen.length(2, 4.5), pen.length(4, 6))
    print_ = np.minimum(between(top + pen.length(6, 8), top + pen.length(10, 14)),
                        cover(pen.length(2, 4)[:, :, None] - pen.dx))
    tone = pen.chance(35) * pen.integer(-120, 121)
    return np.maximum(body, arms), print_ * tone[:, :, None] // U


def long_sleeved(pen, hem, waist, flare, neck, neck_depth, arm):
    """Return the mask and the top row of a garment with long sleeves: pullover, coat, shirt."""
    top, shoulder = pen.length(.5, 2.5), pen.length(7, 8.5)
    body = torso(pen, top, hem, shoulder, waist, waist + flare, neck, neck_depth)
    arms = sleeves(pen, top, hem - pen.length(0, 4), shoulder, waist, pen.length(11.5, 14), arm)
    seam = cover(U // 2 - np.abs(pen.dx - waist[:, :, None])) * between(top + 6 * U, hem) // U
    return np.maximum(body, arms), -40 * seam // U, top


def trouser(pen):
    top, end, crotch = pen.length(1, 3), pen.length(25, 27.5), pen.length(8, 12)
    outer = line((top, pen.length(3, 5)), (crotch, pen.length(4, 6)), (end, pen.length(4.5, 7)))
    gap = line((crotch - U, 0 * crotch - U), (crotch + U, 0 * crotch), (end, pen.length(1, 3)))
    legs = np.minimum(cover(rows(outer) - pen.dx), cover(pen.dx - rows(gap)))
    crease = pen.chance(40)[:, :, None] * cover(U - pen.dx) * -60 // U
    return np.minimum(legs, between(top, end)), crease


def pullover(pen):
    mask, tone, top = long_sleeved(pen, pen.length(23, 26.5), pen.length(6.5, 8),
                                   pen.length(-1, .5), pen.length(2.5, 4), pen.length(.5, 2),
                                   pen.length(3.5, 5))
    band = pen.chance(30)[:, :, None] * between(top + pen.length(6, 9), top + pen.length(10, 13))
    return mask, tone + band * pen.integer(-90, 91)[:, :, None] // U


def dress(pen):
    top, hem = pen.length(1, 3), pen.length(25, 27.5)
    shoulder, waist = pen.length(3.5, 5.5), pen.length(2.5, 4)
    edge = line((top, shoulder - U), (top + 3 * U, shoulder), (top + 9 * U, waist),
                (hem, waist + pen.length(.5, 5)))
    hole = line((top - U, pen.length(1.5, 3)), (top + pen.length(1, 5), 0 * top - U))
    body = np.minimum(cover(rows(edge) - pen.dx), cover(pen.dx - rows(hole)))
    arms = sleeves(pen, top, top + pen.length(4, 12), shoulder, waist, pen.length(5, 8),
                   pen.length(1.5, 3)) * pen.chance(40)[:, :, None]
    belt = pen.chance(40)[:, :, None] * between(top + 8 * U, top + 10 * U) * -70 // U
    return np.maximum(np.minimum(body, between(top, hem)), arms), belt


def coat(pen):
    hem = pen.length(26, 28)
    mask, tone, top = long_sleeved(pen, hem, pen.length(6.5, 8.5), pen.length(0, 2),
                                   pen.length(2.5, 4), pen.length(2.5, 6), pen.length(3.5, 5))
    opening = cover(pen.length(.2, .9)[:, :, None] - pen.dx) * between(top + 2 * U, hem) // U
    lapel = cover(rows(line((top, pen.length(3, 5)), (top + pen.length(7, 12), 0 * top))) - pen.dx)
    return mask, (tone - opening * pen.integer(50, 160)[:, :, None] // U
                  - lapel * pen.integer(0, 60)[:, :, None] // U)


def sandal(pen):
    upper, sole = shoe(pen, pen.length(6, 11), pen.length(3, 6), pen.length(5, 10))
    x, y = CENTRES, CENTRES[:, None]
    straps = np.zeros_like(upper)
    for low, high in (4, 8), (9, 14), (17, 23):
        slant = pen.integer(-2, 3)[:, :, None]
        middle = pen.length(low, high)[:, :, None] + slant * (y - 20 * U) // 2
        width = pen.length(.6, 1.6)[:, :, None]
        straps = np.maximum(straps, cover(width - np.abs(x - middle)))
    heel = np.minimum(between(pen.length(16, 20), pen.length(22, 25)),
                      cover(pen.length(.6, 2)[:, :, None] - np.abs(x - 24 * U)))
    mask = np.maximum(np.minimum(upper, straps), sole)
    return np.maximum(mask, heel * pen.chance(50)[:, :, None]), 0 * mask


def shirt(pen):
    waist = pen.length(5.5, 7)
    hem = pen.length(24, 27.5)
    mask, tone, top = long_sleeved(pen, hem, waist, pen.length(-.5, 1), pen.length(2, 3.5),
                                   pen.length(1, 3), pen.length(2.5, 4))
    short = pen.chance(20)[:, :, None]
    keep = np.maximum(cover(waist[:, :, None] - pen.dx), between(top, top + pen.length(7, 11)))
    mask = np.minimum(mask, np.where(short, keep, U))
    every = pen.integer(2, 4)[:, :, None]
    buttons = (CENTRES[:, None] // U % every == 0) * cover(U - pen.dx)
    collar = between(top, top + pen.length(2, 3.5)) * cover(
        pen.length(3.5, 5)[:, :, None] - pen.dx) // U
    return mask, (tone + buttons * pen.integer(-170, -80)[:, :, None] // U
                  + collar * pen.integer(30, 110)[:, :, None] // U)


def sneaker(pen):
    upper, sole = shoe(pen, pen.length(8, 11.5), pen.length(3.5, 6), pen.length(5, 9))
    panel = cover(pen.length(2, 5)[:, :, None] - np.abs(
        CENTRES - CENTRES[:, None] + pen.length(-6, 6)[:, :, None]))
    tone = panel * (pen.chance(60) * pen.integer(-110, 111))[:, :, None] // U
    return np.maximum(upper, sole), tone + sole * pen.integer(-80, 120)[:, :, None] // U


def bag(pen):
    top, end = pen.length(8, 12), pen.length(22.5, 27)
    edge = line((top, pen.length(8.5, 13)), (end, pen.length(10, 14)))
    body = np.minimum(cover(rows(edge) - pen.dx), between(top, end))
    peak, reach, thick = top - pen.length(3, 8), pen.length(3, 8), pen.length(1, 2)
    outer = line((peak, reach // 2), (top, reach))
    inner = line((peak + thick, reach // 2 - thick), (top, reach - thick))
    hole = np.minimum(cover(rows(inner) - pen.dx), between(peak + thick, end))
    strap = np.minimum(np.minimum(cover(rows(outer) - pen.dx), between(peak, top)), U - hole)
    flap = between(top, top + pen.length(2, 6)) * pen.integer(-80, 41)[:, :, None] // U
    clasp = np.minimum(between(top + 4 * U, top + 6 * U), cover(U - pen.dx))
    return np.maximum(body, strap), flap + clasp * pen.integer(-90, 91)[:, :, None] // U


def ankle_boot(pen):
    upper, sole = shoe(pen, pen.length(8, 11), pen.length(4, 6.5), pen.length(6, 10))
    bottom = np.full((pen.n, 1), 18 * U, np.int32)
    shaft = np.minimum(between(pen.length(1, 6), bottom), cover(
        pen.length(5, 6.5)[:, :, None] - np.abs(CENTRES - pen.length(19.5, 21)[:, :, None])))
    zip_ = pen.chance(40)[:, :, None] * cover(U // 2 - np.abs(CENTRES - 21 * U)) * -70 // U
    return np.maximum(np.maximum(upper, sole), shaft), zip_ - 60 * sole // U


GARMENTS = (tshirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle_boot)


def cloth(pen):
    """Return the brightness of the cloth, (n, 28, 28): a level, stripes in some images, and darker
    sides."""
    level = pen.integer(150, 256)[:, :, None]
    period, phase = pen.integer(3, 7)[:, :, None], pen.integer(0, 7)[:, :, None]
    at = np.arange(SIDE, dtype=np.int32)
    along = np.where(pen.chance(50)[:, :, None], at[:, None], at)
    stripes = (along + phase) % period < period // 2
    depth = (pen.chance(25) * pen.integer(20, 90))[:, :, None]
    shade = pen.dx * pen.integer(0, 5)[:, :, None] // U
    grain = pen.rng.randint(-14, 15, (pen.n, SIDE, SIDE), dtype=np.int32)
    return level - depth * stripes - shade + grain


def draw(garment, rng, n):
    """Return n images of a garment, (n, 28, 28) uint8."""
    pen = Pen(rng, n)
    mask, tone = garment(pen)
    image = (mask * np.clip(cloth(pen) + tone, 25, 255) // U).astype(np.uint8)
    frame = np.zeros((n, SIDE + 2 * SHIFT, SIDE + 2 * SHIFT), np.uint8)
    frame[:, SHIFT:-SHIFT, SHIFT:-SHIFT] = image
    down, right = pen.integer(0, 2 * SHIFT + 1), pen.integer(0, 2 * SHIFT + 1)
    at = np.arange(SIDE)
    return frame[np.arange(n)[:, None, None], (down + at)[:, :, None], (right + at)[:, None, :]]


def labels(seed, n):
    """Return n labels, (n,) uint8, with each class equally often, as far as n allows."""
    keys = np.random.RandomState(seed).randint(0, 2**31 - 1, n, dtype=np.int32)
    return (np.argsort(keys, kind='stable') % len(GARMENTS)).astype(np.uint8)


def images(seed, n):
    """Return the images, (n, 28, 28) uint8, that belong to labels(seed, n)."""
    result = np.empty((n, SIDE, SIDE), np.uint8)
    y = labels(seed, n)
    for label, garment in enumerate(GARMENTS):
        where = np.flatnonzero(y == label)
        rng = np.random.RandomState(seed * 1000 + label)
        for start in range(0, len(where), CHUNK):
            part = where[start:start + CHUNK]
            result[part] = draw(garment, rng, len(part))
    return result


def idx(array):
    """Return an array of uint8 as a gzipped IDX file: magic number, shape, then the bytes."""
    head = struct.pack(f'>BBBB{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
    return pack.gzip_stored(head + array.tobytes())


def make(name, size=None):
    """Return the bytes of one of the four files; size is the number of training images."""
    if '/train-' in name:
        seed, n = TRAIN_SEED, size or TRAIN_SIZE
    else:
        seed, n = TEST_SEED, size // TEST_SHARE if size else TEST_SIZE
    return idx((images if 'images' in name else labels)(seed, n))
