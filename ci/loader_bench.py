"""How long does an epoch of Fashion-MNIST take to load? `python -m ci.loader_bench`.

60,000 images in minibatches of 256, nothing else computed: by `d2l`, and by the listing of 3.5 in
this process and with the four workers it asks for.
"""
import os
import statistics
import sys
import time
from unittest import mock

from mxnet import gluon, np, npx

import d2l
from ci import build_lib

SIZE, BATCH, ROUNDS = 60000, 256, 9


def listings(*numbers):
    """The names that some sections save, a dict, defined as printed."""
    names = {'d2l': d2l, 'gluon': gluon, 'np': np, 'npx': npx, 'sys': sys}
    sections = {section.number: section for section, _ in build_lib.definitions().values()}
    for number in numbers:
        for listing in sections[number].listings:
            for part in build_lib.saved(listing):
                exec(part, names)
    return names


def epoch(loader):
    """Seconds until all minibatches are there."""
    npx.waitall()
    start = time.perf_counter()
    for _ in loader:
        pass
    npx.waitall()
    return time.perf_counter() - start


def loader(rounds=ROUNDS, resize=None, size=SIZE):
    """Way -> seconds of each round: 'd2l', 'listing' (its workers) and 'listing, 0 workers', in
    turn."""
    printed = listings('3.5')
    with mock.patch.dict(os.environ, D2L_SAMPLE_SIZE=str(size)):
        ways = {'d2l': d2l.load_data_fashion_mnist(BATCH, resize)[0],
                'listing': printed['load_data_fashion_mnist'](BATCH, resize)[0]}
        with mock.patch.dict(printed, get_dataloader_workers=lambda: 0):
            ways['listing, 0 workers'] = printed['load_data_fashion_mnist'](BATCH, resize)[0]
    found = {way: [] for way in ways}
    for _ in range(rounds):
        for way, data_iter in ways.items():
            found[way].append(epoch(data_iter))
    return found


if __name__ == '__main__':
    npx.set_np()
    for way, found in loader().items():
        print(f'{way}: {statistics.median(found):.3f} s, at best {min(found):.3f}')
