"""A stand-in for the Pokemon sprites of 16.2: small monsters of ellipses, drawn with integers only.

pokemon.zip with `pokemon/<name>/<number>.png`: images of 80 x 80 pixels on white. A folder holds
one monster in several poses: a body, a head, two eyes, ears or horns, feet and perhaps a tail, all
of its own size and colour.
"""
import numpy as np

from . import pack
from .painter import Dice, png

SEED, SIDE, MONSTERS, IMAGES = 162, 80, 150, 1200
NAMES = (('glim', 'mor', 'tup', 'fern', 'quor', 'bly', 'zan', 'hob', 'wim', 'drol', 'pluv', 'kest',
          'ombo', 'sarn', 'vell', 'nim', 'croo', 'thal', 'jup', 'lurn'),
         ('adon', 'ibble', 'ossum', 'eek', 'umpa', 'irro', 'axis', 'ettle', 'oon', 'ush', 'amble',
          'ingo', 'erra', 'ook', 'yx', 'ilo', 'undra', 'epp', 'ottle', 'arn'))
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.int32)
WHITE, OUTLINE, SKIN, SHADE, BELLY, MARK, EYE = range(7)


def ellipse(x, y, a, b):
    """Return the mask of an ellipse with its centre at (x, y) and the half axes a, b."""
    return ((COLUMNS - x) * b) ** 2 + ((ROWS - y) * a) ** 2 <= (a * b) ** 2


class Monster:
    """One kind of monster, whose measures and colours are drawn once, and its poses each time."""

    def __init__(self, seed):
        self.rng = Dice(seed)
        self.body = self.rng.between(13, 19), self.rng.between(13, 18)
        self.head = self.rng.between(10, 15), self.rng.between(9, 13)
        self.ear = self.rng.between(2, 5), self.rng.between(5, 11)
        self.foot, self.eye = self.rng.between(4, 7), self.rng.between(2, 3)
        self.tail, self.spots, self.horn = (self.rng.random() < .5 for _ in range(3))
        self.palette = np.zeros((EYE + 1, 3), np.uint8)
        self.palette[WHITE], self.palette[EYE] = 255, (20, 20, 30)
        skin = np.array([self.rng.between(60, 240) for _ in range(3)])
        skin[self.rng.between(0, 2)] = self.rng.between(20, 90)              # never grey
        self.palette[SKIN], self.palette[SHADE] = skin, skin * 3 // 4
        self.palette[BELLY], self.palette[OUTLINE] = (skin + 2 * 255) // 3, skin // 4
        self.palette[MARK] = [self.rng.between(30, 230) for _ in range(3)]

    def pose(self):
        """Return the pixels of a pose, (80, 80, 3) uint8."""
        image = np.full((SIDE, SIDE), WHITE, np.uint8)

        def paint(x, y, a, b, color):
            image[ellipse(x, y, a + 1, b + 1)] = OUTLINE
            image[ellipse(x, y, a, b)] = color
        x, y = 40 + self.rng.between(-3, 3), 52 + self.rng.between(-2, 2)
        (a, b), (c, d), (e, f) = self.body, self.head, self.ear
        lean = self.rng.between(-5, 5)
        top = y - b - d + 4
        if self.tail:
            paint(x - a - 4, y + self.rng.between(-6, 4), 9, 4, MARK)
        for side in -1, 1:
            paint(x + side * a * 2 // 3, y + b, self.foot, 4, SHADE)
            paint(x + lean + side * c * 2 // 3, top - d + self.rng.between(0, 3), e, f, SHADE)
        paint(x, y, a, b, SKIN)
        image[ellipse(x, y + 3, a * 2 // 3, b * 2 // 3)] = BELLY
        if self.spots:
            for _ in range(3):
                spot = x + self.rng.between(-a // 2, a // 2), y + self.rng.between(-6, 6)
                image[ellipse(*spot, 3, 3)] = MARK
        paint(x + lean, top, c, d, SKIN)
        if self.horn:
            paint(x + lean, top - d, 2, 5, MARK)
        for side in -1, 1:
            eye = x + lean + side * c // 2
            image[ellipse(eye, top, self.eye + 1, self.eye + 1)] = WHITE
            image[ellipse(eye + side, top, self.eye - 1, self.eye)] = EYE
        return self.palette[image]


def make(name, size=None):
    """Return the bytes of pokemon.zip; size, if given, is the number of images."""
    files, size = {}, size or IMAGES
    for i in range(min(MONSTERS, size)):
        monster = Monster(f'{SEED} {i}')
        kind = NAMES[0][i % 20] + NAMES[1][(i // 20 * 7 + i) % 20]
        for pose in range(len(range(i, size, MONSTERS))):
            files[f'pokemon/{kind}/{pose}.png'] = png(monster.pose())
    return pack.zip_stored(files)
