"""Drawings for the image sets of chapter 13, made of ellipses, polygons and thick lines.

OpenCV draws in fixed point and encodes with the libjpeg that it brings, so that one version of it
gives the same bytes on every machine. Colours are (red, green, blue), 0 to 255.
"""
import random
import struct
import zlib

import cv2
import numpy as np

BITS = 4                                 # fractional bits of OpenCV's coordinates
WHITE, BLACK, GREY, NOSE = (240, 240, 235), (25, 22, 22), (120, 120, 125), (60, 35, 35)


class Dice(random.Random):
    """Random numbers by `random.random` alone, whose stream is frozen."""

    def between(self, low, high):
        """Return a random whole number from low to high, both included."""
        return low + int(self.random() * (high - low + 1))

    def one(self, items):
        """Return a random item."""
        return items[self.between(0, len(items) - 1)]

    def colour(self, low, high):
        """Return a random colour, with each channel between those of two colours."""
        return tuple(self.between(*ends) for ends in zip(low, high))


def shade(colour, percent):
    """Return a colour made darker (percent below 100) or lighter."""
    return tuple(min(channel * percent // 100, 255) for channel in colour)


class Canvas:
    """A picture and its mask: img (height, width, 3) and mask (height, width), both uint8.

    Coordinates are hundredths of a box, x from its left side, or from its right side if it is
    flipped, y from its top. A `kind` other than 0 is written into the mask.
    """

    def __init__(self, height, width, top, bottom):
        """Make a background that changes from the colour at the top to that at the bottom."""
        down = np.arange(height)[:, None]
        rows = (np.array(top) * (height - 1 - down) + np.array(bottom) * down) // max(height - 1, 1)
        self.img = np.repeat(rows[:, None, :].astype(np.uint8), width, axis=1)
        self.mask = np.zeros((height, width), np.uint8)
        self.place((0, 0, width, height))

    def place(self, box, flip=False, kind=0):
        """Set the box (left, top, width, height), in pixels, into which things are drawn."""
        self.box, self.flip, self.kind = box, flip, kind
        return self

    def point(self, x, y):
        """Return a point of the box in OpenCV's coordinates."""
        left, top, width, height = self.box
        x = 100 - x if self.flip else x
        return [((left * 100 + x * width) << BITS) // 100,
                ((top * 100 + y * height) << BITS) // 100]

    def _both(self, draw, colour):
        draw(self.img, colour, cv2.LINE_AA)
        if self.kind:
            draw(self.mask, self.kind, cv2.LINE_8)

    def polygon(self, colour, *points):
        """Fill a polygon."""
        corners = np.array([self.point(*point) for point in points], np.int32)
        self._both(lambda img, c, line: cv2.fillPoly(img, [corners], c, line, BITS), colour)

    def ellipse(self, colour, x, y, rx, ry, angle=0):
        """Fill an ellipse; angle in degrees, clockwise."""
        axes = (max((rx * self.box[2] << BITS) // 100, 8),
                max((ry * self.box[3] << BITS) // 100, 8))
        angle = -angle if self.flip else angle
        centre = tuple(self.point(x, y))
        self._both(lambda img, c, line: cv2.ellipse(img, centre, axes, angle, 0, 360, c, -1, line,
                                                    BITS), colour)

    def line(self, colour, thick, *points):
        """Draw a line through points, with round ends. thick: its width in hundredths of the box's
        smaller side"""
        wide = max(min(self.box[2:]) * thick // 100, 1)
        path = np.array([self.point(*point) for point in points], np.int32)
        self._both(lambda img, c, line: cv2.polylines(img, [path], False, c, wide, line, BITS),
                   colour)

    def blots(self, dice, count, colours):
        """Draw blurred blots of these colours, for a background that is not smooth."""
        height, width = self.mask.shape
        for _ in range(count):
            side = dice.between(height // 12 + 1, height // 4 + 1)
            self.place((dice.between(-side, width), dice.between(0, height), side, side))
            self.ellipse(dice.one(colours), 50, 50, dice.between(20, 60), dice.between(15, 40))
        self.img = cv2.blur(self.img, (height // 40 + 1,) * 2)
        return self

    def noise(self, dice, most):
        """Add a random whole number from -most to most to each value."""
        draw = np.random.RandomState(dice.between(0, 2**30)).randint
        noise = draw(-most, most + 1, self.img.shape, dtype=np.int16)
        self.img = np.clip(self.img + noise, 0, 255).astype(np.uint8)
        return self


# Functions that draw a thing on a canvas c, so that it fills its box, in a colour

def sitting(c, colour):
    """Draw the body of a cat or a dog that sits and looks at us."""
    c.line(colour, 9, (66, 90), (84, 84), (90, 66))
    c.ellipse(colour, 48, 70, 25, 29)
    c.ellipse(shade(colour, 115), 48, 76, 13, 20)
    for x in (36, 60):
        c.line(shade(colour, 90), 10, (x, 74), (x, 94))
        c.ellipse(shade(colour, 110), x, 95, 9, 4)


def face(c, colour, eye):
    """Draw a head, eyes and a nose."""
    c.ellipse(colour, 48, 30, 25, 20)
    for x in (38, 58):
        c.ellipse(eye, x, 27, 4, 4)
        c.ellipse(BLACK, x, 27, 2, 3)


def cat(c, colour):
    sitting(c, colour)
    c.polygon(colour, (24, 26), (26, 2), (44, 13))
    c.polygon(colour, (72, 26), (70, 2), (52, 13))
    c.polygon((210, 150, 150), (29, 19), (29, 8), (38, 14))
    c.polygon((210, 150, 150), (67, 19), (67, 8), (58, 14))
    face(c, colour, (150, 190, 70))
    c.polygon((200, 110, 110), (45, 34), (51, 34), (48, 38))
    for y in (33, 37, 41):
        c.line(WHITE, 1, (40, 37), (18, y))
        c.line(WHITE, 1, (56, 37), (78, y))
    for y in (60, 68, 76):
        c.line(shade(colour, 65), 3, (26, y), (34, y + 2))


def dog(c, colour, ears=0):
    sitting(c, colour)
    face(c, colour, WHITE)
    c.ellipse(shade(colour, 125), 48, 38, 13, 11)
    c.ellipse(NOSE, 48, 33, 6, 4)
    c.ellipse((220, 90, 100), 48, 48, 4, 6)
    ear = shade(colour, 60)
    if ears == 0:                                   # drooping
        c.ellipse(ear, 21, 32, 7, 18, 8)
        c.ellipse(ear, 75, 32, 7, 18, -8)
    elif ears == 1:                                 # upright
        c.polygon(ear, (23, 24), (20, 3), (40, 12))
        c.polygon(ear, (73, 24), (76, 3), (56, 12))
    else:                                           # round
        c.ellipse(ear, 24, 16, 9, 9)
        c.ellipse(ear, 72, 16, 9, 9)


def standing(c, colour):
    """Draw the body and the legs of a horse or a deer, seen from its side."""
    for x in (22, 32, 60, 69):
        c.line(shade(colour, 85), 6, (x, 60), (x, 97))
    c.ellipse(colour, 46, 56, 31, 16)
    c.polygon(colour, (62, 58), (72, 22), (86, 24), (76, 60))
    c.ellipse(colour, 85, 24, 14, 8, 25)
    c.ellipse(BLACK, 84, 21, 2, 2)


def horse(c, colour):
    standing(c, colour)
    dark = shade(colour, 45)
    c.line(dark, 7, (17, 52), (9, 62), (8, 82))
    c.line(dark, 7, (76, 15), (67, 30), (63, 46))


def deer(c, colour):
    standing(c, colour)
    c.ellipse(WHITE, 17, 50, 4, 5)
    for x in (74, 82):
        c.line((95, 70, 45), 3, (x, 18), (x - 5, 2))
        c.line((95, 70, 45), 3, (x - 2, 10), (x + 7, 3))


def bird(c, colour):
    c.polygon(shade(colour, 75), (28, 55), (2, 70), (6, 54))
    c.ellipse(colour, 48, 55, 28, 18, -15)
    c.ellipse(colour, 74, 36, 14, 13)
    c.polygon((235, 160, 40), (86, 33), (99, 38), (86, 42))
    c.ellipse(BLACK, 77, 33, 3, 3)
    c.ellipse(shade(colour, 65), 42, 54, 18, 9, 20)
    for x in (46, 54):
        c.line((220, 140, 40), 3, (x, 70), (x, 92))


def frog(c, colour):
    for x, angle in ((22, -30), (78, 30)):
        c.ellipse(shade(colour, 80), x, 70, 20, 14, angle)
        c.ellipse(shade(colour, 90), x, 90, 16, 6)
    c.ellipse(colour, 50, 60, 34, 28)
    c.ellipse(shade(colour, 140), 50, 74, 24, 16)
    for x in (32, 68):
        c.ellipse(colour, x, 32, 12, 12)
        c.ellipse((230, 220, 90), x, 30, 7, 7)
        c.ellipse(BLACK, x, 30, 4, 4)
    c.line(shade(colour, 50), 3, (30, 56), (50, 62), (70, 56))


def aeroplane(c, colour):
    c.polygon(shade(colour, 80), (45, 46), (60, 46), (36, 12), (27, 12))
    c.polygon(shade(colour, 90), (6, 48), (18, 46), (10, 18), (2, 18))
    c.ellipse(colour, 50, 50, 48, 11)
    c.polygon(shade(colour, 70), (42, 54), (62, 54), (34, 92), (23, 92))
    for x in range(26, 80, 9):
        c.ellipse((60, 80, 110), x, 47, 2, 2)
    c.polygon((60, 80, 110), (86, 42), (93, 46), (86, 48))


def wheels(c, *xs):
    for x in xs:
        c.ellipse(BLACK, x, 78, 11, 17)
        c.ellipse((170, 170, 170), x, 78, 5, 8)


def car(c, colour):
    c.polygon(colour, (18, 48), (32, 14), (68, 14), (84, 48))
    c.polygon((150, 195, 215), (26, 45), (36, 20), (48, 20), (48, 45))
    c.polygon((150, 195, 215), (52, 45), (52, 20), (65, 20), (76, 45))
    c.polygon(colour, (2, 48), (90, 44), (99, 54), (99, 78), (1, 78))
    c.ellipse((250, 235, 150), 96, 57, 4, 6)
    wheels(c, 22, 76)


def truck(c, colour):
    c.polygon(shade(colour, 125), (2, 4), (64, 4), (64, 74), (2, 74))
    for x in (14, 28, 42, 56):
        c.line(shade(colour, 95), 3, (x, 8), (x, 70))
    c.polygon(colour, (66, 24), (86, 24), (98, 50), (98, 78), (66, 78))
    c.polygon((150, 195, 215), (71, 29), (84, 29), (92, 48), (71, 48))
    c.polygon(GREY, (1, 74), (98, 74), (98, 80), (1, 80))
    wheels(c, 20, 44, 82)


def boat(c, colour):
    c.polygon(shade(colour, 60), (2, 62), (98, 62), (84, 92), (16, 92))
    c.line(colour, 4, (4, 63), (96, 63))
    c.polygon(WHITE, (26, 38), (70, 38), (74, 61), (22, 61))
    for x in (32, 44, 56):
        c.polygon((70, 100, 140), (x, 44), (x + 7, 44), (x + 7, 52), (x, 52))
    c.polygon(colour, (46, 14), (60, 14), (60, 38), (46, 38))
    c.polygon(BLACK, (46, 14), (60, 14), (60, 20), (46, 20))


def pikachu(c, colour=(250, 210, 50)):
    """Draw a yellow mouse with long ears, red cheeks and a bent tail."""
    c.polygon(shade(colour, 80), (66, 82), (84, 66), (76, 58), (97, 36), (99, 52), (90, 62),
              (96, 70))
    for x, tip in ((32, 14), (62, 80)):
        c.polygon(colour, (x - 8, 32), ((x + tip) // 2, 6), (x + 10, 27))
        middle = (x + tip) // 2
        c.polygon(BLACK, (middle - 4, 13), (middle, 2), (middle + 5, 12))
    c.ellipse(colour, 48, 74, 27, 25)
    c.ellipse(colour, 48, 44, 29, 22)
    for x in (35, 61):
        c.ellipse(BLACK, x, 40, 5, 5)
        c.ellipse(WHITE, x + 1, 38, 2, 2)
    for x in (28, 68):
        c.ellipse((220, 60, 50), x, 51, 6, 5)
    c.line(NOSE, 2, (42, 52), (48, 55), (54, 52))
    for x in (28, 68):
        c.line(shade(colour, 85), 9, (x, 68), (x + (6 if x < 48 else -6), 78))
        c.ellipse(shade(colour, 90), x + (4 if x < 48 else -4), 96, 10, 4)


def jpeg(img, quality=90):
    """Return the bytes of a JPEG file for img (height, width, 3)."""
    return cv2.imencode('.jpg', img[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png(pixels, palette=None):
    """Return the bytes of a PNG file.

    pixels: (height, width, 3), or indices (height, width) into palette, 256 colours.
    """
    data = cv2.imencode('.png', pixels if palette else pixels[:, :, ::-1])[1].tobytes()
    if palette is None:
        return data
    # OpenCV has written grey values (colour type 0): make them indices (3) and insert the palette

    def chunk(name, content):
        return (struct.pack('>I', len(content)) + name + content
                + struct.pack('>I', zlib.crc32(name + content)))
    header = data[16:25] + b'\3' + data[26:29]
    return data[:8] + chunk(b'IHDR', header) + chunk(b'PLTE', bytes(sum(palette, ()))) + data[33:]
