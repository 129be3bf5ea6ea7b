"""A stand-in for the advertisements of 15.8: whether one is clicked depends on pairs of features.

ctr.zip with train.csv and test.csv. Each line has a label and 34 categories, separated by tabs, and
there is no header. The categories are meaningless codes. Some fields have a few values, some have
dozens. Each value of the fields in PAIRS belongs to one of two kinds. Whether an advertisement is
clicked depends on the number of pairs whose values have different kinds, so that no field alone
says anything. A few labels are flipped.
"""
import numpy as np

from . import pack

SEED, FIELDS = 158, 34
ROWS = {'train.csv': 15000, 'test.csv': 3000}
# The number of different values of each field; the fields of a pair have few
VALUES = (6, 8, 90, 2, 6, 4, 60, 4, 8, 20, 5, 3, 70, 6, 12, 10, 4, 2, 110, 4, 9, 5, 30, 3, 50, 6,
          4, 12, 4, 2, 40, 6, 16, 15)
PAIRS = ((0, 5), (4, 13), (19, 25))
# Number of values of a field -> the kind of each value; both kinds are equally frequent
KINDS = {4: np.array([0, 1, 1, 0]), 6: np.array([0, 1, 0, 1, 1, 1])}
TURNED = 3                               # percentage of labels that are flipped


def rows(rng, n):
    """Return labels (n,), and for each of the 34 fields the index of its value, (n, 34)."""
    # the smaller of two draws: a field's first values are the more frequent ones
    x = np.stack([rng.randint(0, values, (2, n), dtype=np.int32).min(0) for values in VALUES], 1)
    different = sum(KINDS[VALUES[a]][x[:, a]] != KINDS[VALUES[b]][x[:, b]] for a, b in PAIRS)
    turned = rng.randint(0, 100, n, dtype=np.int32) < TURNED
    return ((different * 2 > len(PAIRS)) ^ turned).astype(int), x


def code(field, value):
    """Return the code of a value: eight hexadecimal digits, different for all fields and values."""
    return f'{(field * 1000 + value + 1) * 2654435761 % 2**32:08x}'


def make(name, size=None):
    """Return the bytes of ctr.zip; size, if given, is the number of training rows."""
    rng, files = np.random.RandomState(SEED), {}
    codes = [[code(field, value) for value in range(VALUES[field])] for field in range(FIELDS)]
    for file, n in ROWS.items():
        labels, x = rows(rng, n if not size else max(size * n // ROWS['train.csv'], 1))
        files[f'ctr/{file}'] = ''.join(
            '\t'.join([str(label), *(of[v] for of, v in zip(codes, row))]) + '\n'
            for label, row in zip(labels.tolist(), x.tolist())).encode('ascii')
    return pack.zip_stored(files)
