"""A stand-in for the hot dog pictures (13.2): hot dogs, and other food of the same colours.

PNG files of different sizes in hotdog/train and hotdog/test, each with the folders hotdog and
not-hotdog, which have equally many files.
"""
from . import pack, painter

# section 13.2 plots five times per epoch, for which 640 pictures, five batches of 128, are enough
TRAIN_SIZE, TEST_SHARE = 640, 4
SEED = 713
SIDES = (110, 170)                       # pixels
SAUSAGE, BREAD, MUSTARD = ((150, 50, 30), (200, 90, 60)), ((190, 130, 70), (235, 190, 130)), \
    ((230, 190, 40), (250, 220, 80))


def hot_dog(c, dice):
    lean = dice.between(-30, 30)
    ends = (14, 50 - lean), (86, 50 + lean)
    bun = dice.colour(*BREAD)
    c.line(bun, 42, *ends)
    c.line(painter.shade(bun, 80), 24, *ends)
    c.line(dice.colour(*SAUSAGE), 18, (6, 50 - lean * 12 // 10), (94, 50 + lean * 12 // 10))
    waves = [(x, 50 + (x - 50) * lean // 36 + (4 if i % 2 else -4))
             for i, x in enumerate(range(14, 90, 8))]
    c.line(dice.colour(*MUSTARD), 4, *waves)


def burger(c, dice):
    bun = dice.colour(*BREAD)
    c.ellipse(painter.shade(bun, 85), 50, 68, 38, 16)
    c.line((90, 150, 60), 8, (14, 58), (86, 58))
    c.line(painter.shade(dice.colour(*SAUSAGE), 60), 14, (18, 52), (82, 52))
    c.line(dice.colour(*MUSTARD), 5, (16, 45), (84, 45))
    c.ellipse(bun, 50, 34, 38, 18)


def baguette(c, dice):
    lean = dice.between(-30, 30)
    bread = dice.colour(*BREAD)
    c.line(bread, 28, (12, 50 - lean), (88, 50 + lean))
    for x in range(20, 84, 14):
        c.line(painter.shade(bread, 75), 4, (x, 44 + (x - 50) * lean // 38),
               (x + 5, 56 + (x - 50) * lean // 38))


def sausages(c, dice):
    c.ellipse((225, 225, 222), 50, 52, 46, 40)
    for y in (36, 54, 72):
        c.line(dice.colour(*SAUSAGE), 12, (26, y), (74, y + dice.between(-6, 6)))


def pizza(c, dice):
    c.ellipse(dice.colour(*BREAD), 50, 50, 44, 42)
    c.ellipse(dice.colour(*MUSTARD), 50, 50, 38, 36)
    for _ in range(9):
        c.ellipse(dice.colour(*SAUSAGE), dice.between(24, 76), dice.between(24, 76), 7, 7)


def banana(c, dice):
    up = dice.between(10, 28)
    c.line(dice.colour(*MUSTARD), 16, (14, 40), (32, 40 + up), (52, 46 + up), (72, 40 + up),
           (88, 34))


OTHERS = burger, baguette, sausages, pizza, banana


def picture(dice, hot):
    """Return the bytes of a PNG file, a hot dog or other food."""
    table = dice.colour((70, 60, 50), (220, 215, 210))
    c = painter.Canvas(dice.between(*SIDES), dice.between(*SIDES), table, painter.shade(table, 85))
    c.blots(dice, 5, [painter.shade(table, 80), dice.colour(*BREAD), dice.colour(*SAUSAGE)])
    height, width = c.mask.shape
    side = min(height, width) * dice.between(65, 95) // 100
    c.place((dice.between(0, width - side), dice.between(0, height - side), side, side),
            dice.between(0, 1))
    (hot_dog if hot else dice.one(OTHERS))(c, dice)
    return painter.png(c.noise(dice, 3).img)


def make(name, size=None):
    """Return the bytes of hotdog.zip."""
    dice, size = painter.Dice(SEED), size or TRAIN_SIZE
    return pack.zip_stored({
        f'hotdog/{part}/{kind}/{i}.png': picture(dice, kind == 'hotdog')
        for part, n in (('train', size), ('test', size // TEST_SHARE))
        for kind in ('hotdog', 'not-hotdog') for i in range(n // 2)})
