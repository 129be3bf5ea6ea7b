"""A stand-in for Kaggle's dog breeds (13.14): 120 breeds of drawn dogs, two pictures of each.

JPEG files of different sizes in train and test, and the list of the breeds. A breed has its coat,
its ears and its build. Names and numbers are invented.
"""
from . import pack, painter

BREEDS, PICTURES, TEST = 120, 2, 10      # 13.14 takes one picture of a breed to validate
SEED = 1314
FOLDER = 'kaggle_dog_tiny/'


def picture(dice, breed):
    """Return the bytes of a JPEG file. breed: the index of a breed, below 120"""
    coat = (60 + 37 * (breed % 5), 45 + 28 * (breed // 5 % 4), 40 + 60 * (breed // 20 % 2))
    ears, stout = breed % 3, breed // 40
    height, width = dice.between(240, 320), dice.between(240, 360)
    c = painter.Canvas(height, width, dice.colour((120, 140, 150), (220, 220, 225)),
                       dice.colour((80, 100, 50), (160, 170, 120)))
    c.blots(dice, 8, [dice.colour((80, 90, 60), (210, 200, 190)) for _ in range(4)])
    tall = height * dice.between(75, 98) // 100
    wide = min(tall * (70 + 15 * stout) // 100, width)
    c.place((dice.between(0, width - wide), dice.between(0, height - tall), wide, tall),
            dice.between(0, 1))
    painter.dog(c, painter.shade(coat, dice.between(92, 108)), ears)
    return painter.jpeg(c.noise(dice, 6).img)


def make(name, size=None):
    """Return the bytes of kaggle_dog_tiny.zip."""
    dice = painter.Dice(SEED)
    breeds = min(BREEDS, (size or BREEDS * PICTURES) // PICTURES)
    files, labels = {}, 'id,breed\n'
    for _ in range(PICTURES):
        for breed in range(breeds):
            name = f'{dice.between(0, 2**52):032x}'
            labels += f'{name},breed_{breed:03}\n'
            files[f'{FOLDER}train/{name}.jpg'] = picture(dice, breed)
    for _ in range(TEST):
        name = f'{dice.between(0, 2**52):032x}'
        files[f'{FOLDER}test/{name}.jpg'] = picture(dice, dice.between(0, breeds - 1))
    files[FOLDER + 'labels.csv'] = labels
    return pack.zip_stored(files)
