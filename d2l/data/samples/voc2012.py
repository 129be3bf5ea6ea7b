"""A stand-in for Pascal VOC 2012 (13.9): drawn things, each with its pixels' class.

VOCdevkit/VOC2012 as in the real tar: JPEGImages/, SegmentationClass/ with PNG masks whose palette
is VOC's, borders between things marked as void (255), and the lists of ImageSets/Segmentation/.
Seven of the twenty classes.
"""
import cv2
import numpy as np

from . import pack, painter

# section 13.11 plots five times per epoch, for which 224 pictures, in batches of 32, are enough
TRAIN_SIZE, VAL_SHARE = 224, 2
SIZES = (375, 500), (333, 500), (375, 500), (500, 375)  # in turn; the last is too small for 13.9
SEED, VOID = 139, 255
ROOT = 'VOCdevkit/VOC2012/'
# class -> number, function that draws it, range of its colours, height in percent of its width
CLASSES = {
    'aeroplane': (1, painter.aeroplane, (200, 200, 205), (250, 250, 255), 60),
    'bird': (3, painter.bird, (190, 40, 40), (240, 90, 80), 80),
    'boat': (4, painter.boat, (40, 60, 130), (80, 100, 190), 75),
    'car': (7, painter.car, (150, 30, 120), (220, 90, 190), 55),
    'cat': (8, painter.cat, (225, 130, 40), (250, 170, 80), 115),
    'dog': (12, painter.dog, (90, 55, 30), (130, 85, 55), 115),
    'horse': (13, painter.horse, (40, 30, 28), (70, 55, 50), 95),
}


def palette():
    """Return VOC's palette. Each group of three bits in a class's number sets one bit of red, green
    and blue, from the highest bit on."""
    def bits(number, first):
        return sum((number >> (3 * k + first) & 1) << (7 - k) for k in range(8))
    return [(bits(i, 0), bits(i, 1), bits(i, 2)) for i in range(256)]


def picture(dice, first, height, width):
    """Return a picture and its mask. first: the class of the first thing in it"""
    c = painter.Canvas(height, width, dice.colour((120, 150, 170), (190, 210, 220)),
                       dice.colour((90, 120, 60), (150, 170, 110)))
    c.blots(dice, 12, [dice.colour((100, 130, 80), (190, 200, 190)) for _ in range(4)])
    for kind in [first] + [dice.one(list(CLASSES)) for _ in range(dice.between(0, 2))]:
        number, draw, low, high, tall = CLASSES[kind]
        w = dice.between(60, 95) * min(height * 100 // tall, width) // 100
        h = w * tall // 100
        c.place((dice.between(0, width - w), dice.between(0, height - h), w, h),
                dice.between(0, 1), number)
        draw(c, dice.colour(low, high))
    square = np.ones((3, 3), np.uint8)
    border = cv2.dilate(c.mask, square) != cv2.erode(c.mask, square)
    mask = np.where(border, np.uint8(VOID), c.mask)
    return c.noise(dice, 8).img, mask


def make(name, size=None):
    """Return the bytes of the tar file."""
    dice, size = painter.Dice(SEED), size or TRAIN_SIZE
    files, lists, colours, kinds = {}, {'train': [], 'val': []}, palette(), list(CLASSES)
    for part, n in ('train', size), ('val', size // VAL_SHARE):
        for i in range(n):
            img, mask = picture(dice, kinds[i % len(kinds)], *SIZES[i % len(SIZES)])
            lists[part].append(f'2012_{len(files) // 2:06}')
            files[f'{ROOT}JPEGImages/{lists[part][-1]}.jpg'] = painter.jpeg(img)
            files[f'{ROOT}SegmentationClass/{lists[part][-1]}.png'] = painter.png(mask, colours)
    lists['trainval'] = lists['train'] + lists['val']
    for part, names in lists.items():
        files[f'{ROOT}ImageSets/Segmentation/{part}.txt'] = '\n'.join(names) + '\n'
    return pack.tar(files)
