"""How long does a section take? `python -m ci.times [SECTION ...]` writes chapters/times.json.

Runs sections as a reader does, `d2l run SECTION` on sample data with the book's settings, and
stores the seconds from start to end. A section that takes longer than LIMIT is stopped, and stored
as null. What the pages and `d2l list` say of it is made from the file by chapters/notes.py.
"""
import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import time

from tqdm import tqdm

from chapters.notes import TIMES
from chapters.sections import all_sections, find
from ci.reproduce import machine

LIMIT = 60                  # seconds
GRACE = 10                  # seconds after which Ctrl-C is repeated


def seconds(section):
    """Return how many seconds a Section takes, or None if it takes longer than LIMIT. Raises
    CalledProcessError if a cell fails."""
    devices = ['--devices', ','.join(['cpu'] * section.gpus)] if section.gpus else []
    call = [sys.executable, '-m', 'chapters', 'run', section.number, *devices]
    start = time.perf_counter()
    process = subprocess.Popen(call, env={**os.environ, 'D2L_DATA': 'sample'},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        while process.returncode is None:           # it ends its kernel, unless it still starts
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        return None
    if status:
        raise subprocess.CalledProcessError(status, call)
    return time.perf_counter() - start


def main(argv=None):
    """Time sections one after another; the file is written after each. Return 0."""
    parser = argparse.ArgumentParser(prog='python -m ci.times', description=__doc__)
    parser.add_argument('sections', nargs='*', metavar='SECTION', help='default: all')
    wanted = parser.parse_args(argv).sections
    found = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    for section in tqdm(find(*wanted or ['all']), unit='section', disable=None):
        took = seconds(section)
        found[section.number] = {
            'seconds': None if took is None else round(took, 1), 'limit': LIMIT,
            'when': datetime.date.today().isoformat(), 'where': machine()}
        rows = [f'{json.dumps(section.number)}: {json.dumps(found[section.number])}'
                for section in all_sections() if section.number in found]
        TIMES.write_text('{' + ',\n'.join(rows) + '}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
