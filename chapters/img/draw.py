"""Draws the pictures that chapter 13 opens: `python chapters/img/draw.py` writes them anew.

They are of the size of the book's pictures and show what the sections talk about: a cat, a dog
beside a cat where 13.3 has their boxes, a yellow mouse, a mountain, and an oak in autumn.
"""
import pathlib

from d2l.data.samples import painter

HERE = pathlib.Path(__file__).parent


def room(dice, height, width):
    """A wall and a carpet."""
    c = painter.Canvas(height, width, (200, 205, 190), (170, 175, 160))
    c.polygon((150, 90, 80), (0, 72), (100, 66), (100, 100), (0, 100))
    for x in range(4, 100, 12):
        c.line((185, 190, 176), 1, (x, 0), (x, 66))
    return c


def cat1(dice):
    c = room(dice, 400, 500)
    painter.cat(c.place((90, 30, 300, 350)), (215, 150, 90))
    return c


def catdog(dice):
    c = room(dice, 561, 728)
    painter.dog(c.place((60, 45, 318, 471)), (200, 165, 110))
    painter.cat(c.place((400, 112, 255, 381), flip=True), (140, 135, 130))
    return c


def pikachu(dice):
    c = painter.Canvas(512, 512, (150, 190, 225), (110, 150, 80))
    c.blots(dice, 12, [(90, 140, 80), (190, 200, 190), (160, 120, 90)])
    painter.pikachu(c.place((150, 190, 190, 220)))
    return c


def rainier(dice):
    """A mountain with snow behind a forest and a lake."""
    c = painter.Canvas(600, 900, (90, 140, 210), (215, 225, 235))
    c.polygon((110, 115, 135), (0, 68), (22, 40), (48, 12), (56, 14), (78, 42), (100, 64),
              (100, 75),
              (0, 75))
    c.polygon((245, 247, 250), (30, 32), (48, 12), (56, 14), (72, 35), (64, 33), (58, 42), (52, 30),
              (45, 44), (40, 31), (34, 38))
    for _ in range(60):
        x = dice.between(8, 94)
        y = dice.between(18 + abs(x - 52) * 11 // 10, 70)
        c.line(painter.shade((110, 115, 135), dice.between(80, 115)), 1, (x, y), (x + 4, y + 6))
    for row, tone in ((0, 120), (1, 90), (2, 65)):
        for x in range(-2, 102, 3):
            foot, tall = 72 + 5 * row, dice.between(8, 16)
            c.polygon(painter.shade((50, 90, 55), tone + dice.between(-10, 10)),
                      (x - 2, foot), (x + 1, foot - tall), (x + 4, foot))
    c.polygon((70, 110, 150), (0, 86), (100, 80), (100, 100), (0, 100))
    for _ in range(80):
        x, y = dice.between(0, 95), dice.between(87, 99)
        c.line((120, 160, 195), 1, (x, y), (x + dice.between(2, 6), y))
    return c


def autumn_oak(dice):
    """A tree of leaves in strokes."""
    c = painter.Canvas(600, 900, (70, 90, 120), (120, 80, 40))
    c.line((60, 40, 30), 9, (50, 100), (49, 66), (46, 40))
    for x, y in ((20, 34), (32, 20), (62, 18), (80, 36), (72, 52)):
        c.line((60, 40, 30), 3, (49, 62), ((48 + x) // 2, (56 + y) // 2), (x, y))
    for _ in range(2600):
        x, y = dice.between(0, 100), dice.between(0, 100)
        inside = (x - 50) ** 2 / 46 ** 2 + (y - 34) ** 2 / 34 ** 2 < 1
        if inside or y > 78 or dice.between(0, 5) == 0:
            low, high = ((170, 50, 20), (250, 190, 50)) if inside or y > 78 else \
                ((60, 90, 130), (130, 150, 170))
            c.ellipse(dice.colour(low, high), x, y, 2, 1, dice.between(-60, 60))
    return c


if __name__ == '__main__':
    for number, draw in enumerate((cat1, catdog, pikachu, rainier, autumn_oak)):
        dice = painter.Dice(number)
        (HERE / f'{draw.__name__}.jpg').write_bytes(
            painter.jpeg(draw(dice).noise(dice, 5).img))
