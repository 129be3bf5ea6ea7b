"""Does the book's training give what the book prints? `python -m ci.reproduce [SECTION ...]`.

Runs sections on the real data with the book's own settings, and compares the lines that the book
prints with those printed here. If the book shows training only as a figure, the final values of the
curves are compared instead: with what the book's text says about them, or else with the axes of its
figure. Each run is stored in ci/golden/reproduced.json with its time and machine. `--table` writes
all of them as text, ci/golden/REPRODUCED.md, and runs nothing. Only Fashion-MNIST is needed: see
D2L_DATA_FOLDER in the README.

No two runs print the same, as minibatches are shuffled without a seed. So the tolerance comes from
repeated runs of a section here: the book's number must be within SPREADS standard deviations of
their mean. There is no verdict before there are three runs.

Exit status: 0, all runs agree with the book, except for differences that are KNOWN; 1, one does
not; 2, a section could not be run: an unknown section, no real data.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys
import time

import mxnet

from chapters.execute import CellFailed, DevicesMissing, execute
from chapters.sections import find
from ci import outputs

HERE = pathlib.Path(__file__).parent / 'golden'
RUNS, TABLE = HERE / 'reproduced.json', HERE / 'REPRODUCED.md'
# (section, listing) -> the known cause of a difference, which is no failure
KNOWN = {('3.6', 14): ' (of random parameters, before any training; near 0.1 is as it should be)',
         ('17.1', 5): ' (NumPy finds the same as here, in double precision)'}
SPREADS = 4                         # standard deviations by which the book may differ from the mean
FEWEST = 3                          # number of runs that are needed for a verdict
AGREED = 'the same', 'agrees', 'on its axis'      # the verdicts that mean agreement
FAILS, CANNOT_RUN = 1, 2

# section -> the listings that print results of training, or properties of the real data
SECTIONS = {
    '3.5': (2,), '3.6': (14, 18), '3.7': (5,), '4.2': (6,), '4.3': (2,), '4.6': (4, 6), '6.6': (5,),
    '7.1': (3,), '7.2': (5,), '7.3': (3,), '7.4': (7,), '7.5': (3, 6), '7.6': (8,), '7.7': (8,),
    '11.11': (1, 5, 8, 10, 12), '12.5': (10, 11), '12.6': (7, 8), '17.1': (5,)}
AXES = 'a figure, its axis from 0.3 to 0.9'         # the figure that d2l.train_ch3 draws
# What the book's text claims about figures. The sentence of 3.7, "As before, [...] an accuracy of
# 83.7%", is a claim about the figures of both 3.6 and 3.7
FIGURES = {('3.6', 18): 'test acc 0.837', ('3.7', 5): 'test acc 0.837', ('4.2', 6): AXES,
           ('4.3', 2): AXES, ('4.6', 4): AXES, ('4.6', 6): AXES}


def line(text):
    """Return the first line of a listing's output. The second line is a speed, which varies."""
    return text.strip().split('\n')[0].partition(', ')[0] if 'sec/epoch' in text \
        else text.strip().split('\n')[0]


def machine():
    """Return a text with the processor, the number of its cores, and the versions of the
    libraries."""
    info = pathlib.Path('/proc/cpuinfo')
    names = [row.partition(':')[2].strip() for row in info.read_text().split('\n')
             if row.startswith('model name')] if info.exists() else []
    return (f'{len(os.sched_getaffinity(0))} cores of {(names or [platform.processor()])[0]}, '
            f'MXNet {mxnet.__version__}, Python {platform.python_version()}')


def said(section, listing):
    """Return what the book prints after a listing, or says about its figure."""
    return FIGURES.get((section, listing)) or line(outputs.golden(section)[listing])


def run(section):
    """Run a Section on real data. Yield (listing, what it printed or the final values of its
    curves) for the listings in SECTIONS."""
    os.environ['D2L_DATA'] = 'real'
    nb, _ = execute(section, devices=('cpu',) * section.gpus)
    cells = [cell for cell in nb.cells if cell.cell_type == 'code']
    for listing in SECTIONS[section.number]:
        ends = nb.metadata['d2l']['ends'].get(listing, {})
        yield listing, ', '.join(f'{label} {end:.3f}' for label, end in ends.items()) \
            if (section.number, listing) in FIGURES else line(outputs.printed_text(cells[listing]))


def columns(book, lines):
    """Return for each number that the book prints (the number as text, the numbers at the same
    index in the lines of several runs).

    If a line of ours has more numbers, the book shows a figure. Then the numbers are found by the
    words before them.
    """
    theirs = outputs.NUMBER.findall(book)
    ours = [outputs.NUMBER.findall(text) for text in lines]
    if any(len(row) != len(theirs) for row in ours):
        ours = [[number for part in book.split(', ') for number in outputs.NUMBER.findall(
            next(mine for mine in text.split(', ')
                 if mine.rpartition(' ')[0] == part.rpartition(' ')[0]))] for text in lines]
    return list(zip(theirs, zip(*([float(number) for number in row] for row in ours))))


def verdict(book, lines):
    """Compare the lines of repeated runs with the book's. Return 'agrees', 'differs', or a text
    with the number of runs that are missing for a verdict."""
    if all(text == book for text in lines):
        return 'the same'
    if len(lines) < FEWEST:
        return f'{len(lines)} of {FEWEST} runs: no spread yet'
    if book == AXES:
        low, high = map(float, outputs.NUMBER.findall(AXES))
        ends = [float(end) for text in lines for end in outputs.NUMBER.findall(text)]
        return 'on its axis' if all(low <= end <= high for end in ends) else 'differs'
    for theirs, ours in columns(book, lines):
        spread = max(statistics.stdev(ours), outputs.unit_of(theirs))
        if abs(float(theirs) - statistics.mean(ours)) > SPREADS * spread:
            return 'differs'
    return 'agrees'


def kept():
    """Return the list of stored runs, which are dicts."""
    return json.loads(RUNS.read_text()) if RUNS.exists() else []


def grouped(runs):
    """Return {(section, listing): its runs}, in the order of SECTIONS."""
    found = {(section, listing): [] for section, listings in SECTIONS.items()
             for listing in listings}
    for entry in runs:
        found[entry['section'], entry['listing']].append(entry)
    return {key: entries for key, entries in found.items() if entries}


def agreeing(runs):
    """Return the sections whose listings all agree with the book, except those that are KNOWN not
    to."""
    found = {key: verdict(said(*key), [entry['line'] for entry in entries])
             for key, entries in grouped(runs).items()}
    asked = {section: [(section, listing) for listing in listings
                       if (section, listing) not in KNOWN]
             for section, listings in SECTIONS.items()}
    return [section for section, keys in asked.items()
            if keys and all(found.get(key) in AGREED for key in keys)]


def table(runs):
    """Return the text of REPRODUCED.md."""
    text = ('<!-- GENERATED by `python -m ci.reproduce --table`, from the runs of '
            '`python -m ci.reproduce SECTION`. -->\n# What the book prints, on the real data\n\n'
            'Fashion-MNIST, the settings of the book. Minibatches are shuffled without a seed, so '
            'that no two runs\nprint the same. Of a figure the ends of its curves are given.\n\n'
            '| section | listing | the book | here | verdict | minutes | when | where |\n'
            '|---|---|---|---|---|---|---|---|\n')
    for (section, listing), entries in grouped(runs).items():
        book, note = said(section, listing), KNOWN.get((section, listing), '')
        text += (f'| {section} | {listing} | {book} | '
                 f"{'; '.join(entry['line'] for entry in entries)} | "
                 f"{verdict(book, [entry['line'] for entry in entries])}{note} | "
                 f"{', '.join(format(entry['minutes'], '.1f') for entry in entries)} | "
                 f"{', '.join(dict.fromkeys(entry['when'] for entry in entries))} | "
                 f"{'; '.join(dict.fromkeys(entry['where'] for entry in entries))} |\n")
    return text


def main(argv=None):
    """Run sections, keep what they printed, and print how it compares."""
    parser = argparse.ArgumentParser(prog='python -m ci.reproduce', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sections', nargs='*', metavar='SECTION',
                        help=f"of {', '.join(SECTIONS)}")
    parser.add_argument('--table', action='store_true', help='run nothing, write the table anew')
    args = parser.parse_args(argv)
    unknown = [number for number in args.sections if number not in SECTIONS]
    if unknown or not (args.sections or args.table):
        print(f"name sections of {', '.join(SECTIONS)}"
              + (f", not {', '.join(unknown)}" if unknown else ''), file=sys.stderr)
        return CANNOT_RUN
    runs, failed = kept(), False
    for section in find(*args.sections) if args.sections else ():
        start = time.time()
        try:
            shown = list(run(section))
        except (CellFailed, DevicesMissing) as err:
            print(f'{section.number} could not be run: {err}', file=sys.stderr)
            return CANNOT_RUN
        for listing, text in shown:
            runs.append({'section': section.number, 'listing': listing, 'line': text,
                         'minutes': round((time.time() - start) / 60, 1),
                         'when': datetime.date.today().isoformat(), 'where': machine()})
            book = said(section.number, listing)
            found = verdict(book, [entry['line'] for entry
                                   in grouped(runs)[section.number, listing]])
            failed |= found == 'differs' and (section.number, listing) not in KNOWN
            print(f'{section.number} listing {listing}: the book prints {book}, here {text}: '
                  f'{found}', flush=True)
        RUNS.write_text(json.dumps(runs, indent=1) + '\n')
    TABLE.write_text(table(runs))
    return FAILS if failed else 0


if __name__ == '__main__':
    sys.exit(main())
