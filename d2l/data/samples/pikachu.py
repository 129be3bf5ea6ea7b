"""A stand-in for the pikachu set (13.6): one yellow mouse per picture, somewhere in a landscape.

RecordIO files as MXNet's im2rec writes them, with their index files. A record's label is [4, 5,
height, width, class, left, top, right, bottom]: the length of its own header, that of an object's
entry, the picture's pixels, and the box in shares of width and height.
"""
import struct

from . import pack, painter

TRAIN_SIZE, VAL_SHARE = 320, 5           # ten batches of 32; the validation set is a fifth
SIDE, SEED = 256, 136
MAGIC = 0xced7230a                       # the first number of a record; its length follows


def record(label, index, content):
    """Return the bytes of a record with its header (flag, label, id, id2), padded to four bytes."""
    data = (struct.pack('<IfQQ', len(label), 0, index, 0) + struct.pack(f'<{len(label)}f', *label)
            + content)
    return struct.pack('<II', MAGIC, len(data)) + data + bytes(-len(data) % 4)


def picture(dice):
    """Return a canvas, and the box (left, top, width, height) of the mouse on it, in pixels."""
    c = painter.Canvas(SIDE, SIDE, dice.colour((90, 120, 140), (200, 220, 250)),
                       dice.colour((50, 60, 40), (150, 160, 120)))
    c.blots(dice, 14, [dice.colour((30, 40, 30), (230, 220, 210)) for _ in range(5)])
    height = dice.between(64, 140)
    width = height * dice.between(75, 100) // 100
    box = dice.between(0, SIDE - width), dice.between(0, SIDE - height), width, height
    c.place(box, dice.between(0, 1))
    painter.pikachu(c, dice.colour((225, 180, 30), (255, 225, 80)))
    return c.noise(dice, 8), box


def make(name, size=None):
    """Return the bytes of pikachu.zip."""
    dice, size, files = painter.Dice(SEED), size or TRAIN_SIZE, {}
    for part, n in ('train', size), ('val', size // VAL_SHARE):
        records, index, at = [], '', 0
        for i in range(n):
            c, (x, y, w, h) = picture(dice)
            box = [x / SIDE, y / SIDE, (x + w) / SIDE, (y + h) / SIDE]
            records.append(record([4, 5, SIDE, SIDE, 0, *box], i, painter.jpeg(c.img)))
            index += f'{i}\t{at}\n'
            at += len(records[-1])
        files[f'pikachu/{part}.rec'], files[f'pikachu/{part}.idx'] = b''.join(records), index
    return pack.zip_stored(files)
