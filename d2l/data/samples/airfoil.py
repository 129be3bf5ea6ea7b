"""A stand-in for the NASA airfoil self-noise measurements (11.5): tab-separated numbers.

1,503 rows of six columns without a header: frequency in Hz, angle of attack in degrees, chord in
m, air speed in m/s, thickness of the boundary layer in m, sound pressure in dB, in the ranges of
the real file. As there, rows come in sweeps: one wing in one wind, at rising frequencies. The
pressure is linear in the others, plus a hump over the frequencies and noise, so that a linear
model explains about half of its variance and its loss, as in the book, ends near 0.24.
"""
import random

from . import pack

SEED, ROWS, SWEEP = 115, 1503, 14        # ROWS: rows in the file; SWEEP: rows in one sweep
FREQUENCIES = (200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000,
               6300, 8000, 10000, 12500, 16000, 20000)   # thirds of an octave
CHORDS = (.0254, .0508, .1016, .1524, .2286, .3048)
SPEEDS = (31.7, 39.6, 55.5, 71.3)
STEEPEST = 22.2                          # degrees
THICKNESS = (.000400682, .0584113)
PRESSURE = (103.38, 140.987)
NOISE = 33                               # dB between the least and the greatest error


def sweep(rng):
    """Yield rows (frequency, angle, chord, speed, thickness, pressure) for one wing in one wind."""
    chord, speed = pack.pick(rng, CHORDS), pack.pick(rng, SPEEDS)
    angle = round(rng.random() * rng.random() * STEEPEST, 1)
    thickness = chord * (.01 + .0003 * angle * angle) * (1.3 - speed / 180)
    thickness = min(max(thickness, THICKNESS[0]), THICKNESS[1])
    first = int(rng.random() * (len(FREQUENCIES) - SWEEP + 1))
    loudest = first + 4 + int(rng.random() * 6)
    for i in range(first, first + SWEEP):
        error = NOISE * ((rng.random() + rng.random() + rng.random()) / 3 - .5)
        pressure = (132 - .001 * FREQUENCIES[i] - .42 * angle - 32 * chord + .1 * speed
                    - 147 * thickness - .06 * (i - loudest) * (i - loudest) + error)
        yield (FREQUENCIES[i], angle, chord, speed, thickness,
               min(max(pressure, PRESSURE[0]), PRESSURE[1]))


def make(name, size=None):
    """Return the bytes of the file. size: of so many rows, the first ones, at most all."""
    rng, rows = random.Random(SEED), []
    while len(rows) < ROWS:
        rows += sweep(rng)
    return ''.join('%d\t%.1f\t%.4f\t%.1f\t%.9f\t%.3f\n' % row
                   for row in rows[:ROWS][:size]).encode('ascii')
