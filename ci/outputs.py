"""Do the sections print what the book prints? `python -m ci.outputs [SECTION ...] [--quick]`.

ci/golden/outputs/<section>.txt holds what the book prints after each listing, taken from its
text. White space aside, words must be the same and numbers equal; ci/outputs.toml lists the
exceptions, each with its reason.
"""
import argparse
import pathlib
import re
import sys

from chapters.execute import execute
from chapters.sections import find
from chapters.toml import tomllib

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / 'golden' / 'outputs'
NUMBER = re.compile(r'(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?')
KEYS = {'skip', 'full', 'last_digit', 'numbers', 'lines', 'devices'}      # of a rule
DEVICES = re.compile(r'\[[cg]pu\(\d+\)(, [cg]pu\(\d+\))*\]')
CONTEXT = re.compile(r'(, ctx=|@)?[cg]pu\(\d+\)')
NOT_FINITE = re.compile(r'(?<![\w.])[-+]?(nan|inf)\b')
FILE = re.compile(r" from '[^']*'>")              # the path of a module in its repr


def golden(number):
    """Return {listing: the text that the book prints after it} for a section."""
    path = GOLDEN / f'{number}.txt'
    if not path.exists():
        return {}
    parts = re.split(r'^--- listing (\d+)\n', path.read_text(), flags=re.M)[1:]
    return {int(i): text for i, text in zip(parts[::2], parts[1::2])}


def exceptions(path=HERE / 'outputs.toml'):
    """Return {(section, listing): its rule in outputs.toml}. A rule has `skip` or `full` with a
    reason, or one of the other keys and `reason`.

    skip: the output is not compared
    full: the output is compared only in a run without --quick
    last_digit: numbers may differ by so many units of the last printed digit
    numbers = "ignored": the words are compared, and where the numbers are, but not their values
    numbers = "arbitrary": as "ignored", and nan and inf are numbers, too, which uninitialized
        memory may hold
    lines = "repeated": lines that differ only in their numbers count as one line, as there is one
        per epoch, and the number of epochs may differ
    devices = "ignored": names of devices, and how many are in a list, are not compared
    """
    return {(entry['section'], entry['listing']): entry
            for entry in tomllib.loads(path.read_text()).get('exception', [])}


def printed_text(cell):
    """Return what an executed code cell printed: standard output and results as text, without
    figures."""
    text = ''
    for out in cell.outputs:
        if out.output_type == 'stream' and out.name == 'stdout':
            text += out.text
        elif 'data' in out and not any(mime.startswith('image/') for mime in out.data):
            text += out.data.get('text/plain', '') + '\n'
    return text


def unit_of(number):
    """Return the value of one unit of the last printed digit: '0.25' -> 0.01, '1.5e+02' -> 10."""
    mantissa, _, exponent = number.lower().partition('e')
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition('.')[2]))


def once(text):
    """Return a text without the lines that differ from the line before them in their numbers
    alone."""
    lines = text.strip().split('\n')
    forms = [''.join(NUMBER.sub('0', line).split()) for line in lines]
    return '\n'.join(line for line, form, before in zip(lines, forms, [None, *forms])
                     if form != before)


def compare(book, ours, last_digit=0, numbers='', lines='', devices='', **_):
    """Compare two texts. Return None if they agree, else a line that names the first difference.

    The other arguments are those of `exceptions`.
    """
    if devices == 'ignored':
        book, ours = (CONTEXT.sub('', DEVICES.sub('', text)) for text in (book, ours))
    if lines == 'repeated':
        book, ours = once(book), once(ours)
    if numbers == 'arbitrary':
        ours = NOT_FINITE.sub('0', ours)
    words = [re.sub(r'\s+', '', NUMBER.sub('#', text)) for text in (book, ours)]
    found = [NUMBER.findall(text) for text in (book, ours)]
    if words[0] != words[1]:
        at = next((i for i, (a, b) in enumerate(zip(*words)) if a != b), min(map(len, words)))
        return f'the book prints {words[0][at:at + 40]!r}, we {words[1][at:at + 40]!r}'
    for theirs, mine in () if numbers or lines else zip(*found):
        # (1 + 1e-6), as decimal digits are not exact in binary floats
        if abs(float(theirs) - float(mine)) > last_digit * unit_of(theirs) * (1 + 1e-6):
            return f'the book prints {theirs}, we {mine}'
    return None


def in_words(rule):
    """Return whether a rule of outputs.toml compares only words, and no values of numbers."""
    return 'numbers' in rule or 'lines' in rule


def figures(sections):
    """Return three numbers: of the listings that print something in the book, of the listings that
    are compared, and of the listings whose words alone are compared."""
    rules = exceptions()
    found = [rules.get((section.number, i), {}) for section in sections
             for i in compared(section, quick=False)]
    return (sum(len(golden(section.number)) for section in sections), len(found),
            sum(map(in_words, found)))


def compared(section, quick):
    """Return {listing: what the book prints} for the listings of a Section that no rule leaves out.
    """
    rules = exceptions()

    def left_out(i):
        rule = rules.get((section.number, i), {})
        return 'skip' in rule or quick and 'full' in rule
    return {i: book for i, book in golden(section.number).items() if not left_out(i)}


def check(section, nb, quick):
    """Compare an executed notebook with the book, and return a line for each listing that differs.
    """
    cells = [cell for cell in nb.cells if cell.cell_type == 'code']
    rules, errors = exceptions(), []
    for i, book in compared(section, quick).items():
        book, ours = FILE.sub('>', book), FILE.sub('>', printed_text(cells[i]))
        if section.gpus:                    # CPU contexts may be used in place of GPUs
            book, ours = CONTEXT.sub('', book), CONTEXT.sub('', ours)
        problem = compare(book, ours, **rules.get((section.number, i), {}))
        if problem:
            errors.append(f'{section.number} listing {i}: {problem}')
    return errors


def summary(section, errors, quick):
    """Return a sentence for the report: how many listings were compared, and how many were not."""
    count = len(compared(section, quick))
    rules = exceptions()
    words = sum(in_words(rules.get((section.number, i), {})) for i in compared(section, quick))
    return (f'{section.number:6}{count:3} listings compared, {words} of them in their words alone, '
            f'{len(golden(section.number)) - count} cannot be: '
            + ('; '.join(errors) or 'as in the book'))


def main(argv=None):
    """Run the sections and compare their outputs with the book's; return 1 if one differs."""
    parser = argparse.ArgumentParser(prog='python -m ci.outputs', description=__doc__)
    parser.add_argument('sections', nargs='*', default=['all'])
    parser.add_argument('--quick', action='store_true', help='as of python -m chapters')
    args = parser.parse_args(argv)
    errors = []
    for section in find(*args.sections):
        if golden(section.number):
            nb, _ = execute(section, quick=args.quick, devices=('cpu',) * section.gpus)
            found = check(section, nb, args.quick)
            print(summary(section, found, args.quick), flush=True)
            errors += found
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
