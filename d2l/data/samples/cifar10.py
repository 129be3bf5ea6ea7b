"""Stand-ins for CIFAR-10: ten kinds of things drawn on 32 x 32 pixels.

The tar.gz that `gluon.data.vision.CIFAR10` reads (13.1): five training batches and a test batch of
records of 1 + 3072 bytes, label and red, green, blue planes, all ten classes about equally often.
And Kaggle's first thousand of them as PNG files with a list of labels (13.13).
"""
import numpy as np

from . import pack, painter

TRAIN_SIZE, TEST_SHARE = 1500, 5         # training images; the test set is a fifth of that
KAGGLE_SIZE, KAGGLE_TEST = 1000, 5
SIDE, SEED, TEST_SEED, KAGGLE_SEED = 32, 131, 132, 133
SKY, SEA, LAND = (150, 190, 230), (60, 110, 160), (110, 150, 80)
# class -> function that draws it, colours of the background at the top and at the bottom, range of
# its own colours
CLASSES = {
    'airplane': (painter.aeroplane, SKY, (190, 210, 235), (150, 150, 160), (245, 245, 250)),
    'automobile': (painter.car, SKY, (110, 110, 112), (120, 20, 20), (240, 120, 200)),
    'bird': (painter.bird, SKY, LAND, (90, 50, 40), (230, 160, 200)),
    'cat': (painter.cat, (190, 160, 140), (140, 110, 90), (60, 60, 60), (220, 170, 110)),
    'deer': (painter.deer, LAND, (120, 110, 60), (130, 80, 40), (190, 140, 90)),
    'dog': (painter.dog, (190, 170, 150), LAND, (90, 60, 40), (230, 190, 140)),
    'frog': (painter.frog, LAND, (90, 80, 50), (70, 90, 30), (150, 190, 90)),
    'horse': (painter.horse, SKY, LAND, (70, 40, 30), (200, 150, 110)),
    'ship': (painter.boat, SKY, SEA, (60, 60, 70), (230, 120, 120)),
    'truck': (painter.truck, SKY, (110, 110, 112), (90, 60, 40), (230, 190, 160)),
}


def picture(dice, name):
    """Return a picture of a class, (32, 32, 3)."""
    draw, top, bottom, low, high = CLASSES[name]
    light = dice.between(70, 120)
    c = painter.Canvas(SIDE, SIDE, painter.shade(top, light), painter.shade(bottom, light))
    c.blots(dice, 3, [painter.shade(top, 85), painter.shade(bottom, 85), bottom])
    width, height = dice.between(20, 30), dice.between(18, 28)
    c.place((dice.between(0, SIDE - width), dice.between(SIDE - height - 4, SIDE - height),
             width, height), dice.between(0, 1))
    draw(c, dice.colour(low, high))
    return c.noise(dice, 12).img


def pictures(seed, n):
    """Return n labels in random order, each class equally often, and pictures (n, 32, 32, 3)."""
    dice, names = painter.Dice(seed), list(CLASSES)
    labels = [i % len(names) for i in range(n)]
    labels.sort(key=lambda _: dice.random())
    return labels, np.stack([picture(dice, names[label]) for label in labels])


def records(labels, images):
    """Return the bytes of a batch file."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([np.uint8(labels)[:, None], planes], axis=1).tobytes()


def kaggle(size):
    """Return the bytes of Kaggle's zip file."""
    folder, names = 'kaggle_cifar10_tiny/', list(CLASSES)
    labels, images = pictures(KAGGLE_SEED, (size or KAGGLE_SIZE) + KAGGLE_TEST)
    files = {f'{folder}train/{i}.png': painter.png(img)
             for i, img in enumerate(images[KAGGLE_TEST:], 1)}
    files.update({f'{folder}test/{i}.png': painter.png(img)
                  for i, img in enumerate(images[:KAGGLE_TEST], 1)})
    files[folder + 'trainLabels.csv'] = 'id,label\n' + ''.join(
        f'{i},{names[label]}\n' for i, label in enumerate(labels[KAGGLE_TEST:], 1))
    return pack.zip_stored(files)


def make(name, size=None):
    """Return the bytes of one of the two files."""
    if 'kaggle' in name:
        return kaggle(size)
    size = size or TRAIN_SIZE
    labels, images = pictures(SEED, size)
    files = {f'data_batch_{k + 1}.bin': records(labels[k::5], images[k::5]) for k in range(5)}
    files['test_batch.bin'] = records(*pictures(TEST_SEED, size // TEST_SHARE))
    return pack.gzip_stored(pack.tar(files))
