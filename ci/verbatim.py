"""Does the book stand as printed? `python -m ci.verbatim [SECTION ...]`.

The code cells of a section are its listings, in order. ci/lines.json has a hash for each line of
each listing as printed, including spaces and comments. ci/listings.json has a hash for each of its
top-level statements. If a listing is not as printed, ci/deviations.toml says why. A deviation
without an entry, or an entry without a deviation, is an error.
"""
import argparse
import ast
import collections
import difflib
import functools
import hashlib
import itertools
import json
import pathlib
import sys

from chapters.sections import ROOT, find, python_only
from chapters.toml import tomllib

HERE = pathlib.Path(__file__).parent
# fields of syntax trees that differ between Python versions
UNHASHED = ('ctx', 'kind', 'type_params', 'type_comment')


def canonical(node):
    """Return a syntax tree as text that is the same for every Python version, without fields that
    are empty or in UNHASHED."""
    if isinstance(node, list):
        return f"[{', '.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f'{name}={canonical(value)}' for name, value in ast.iter_fields(node)
              if value is not None and value != [] and name not in UNHASHED]
    return f"{type(node).__name__}({', '.join(fields)})"


def statements(source):
    """Return the hashes of the top-level statements of a source, in order, without magics, shell
    lines, docstrings and comments.
    """
    hashes = []
    for node in ast.parse(python_only(source)).body:
        for sub in ast.walk(node):
            if isinstance(sub, (ast.FunctionDef, ast.ClassDef)) \
                    and ast.get_docstring(sub, clean=False) is not None:
                sub.body = sub.body[1:] or [ast.Pass()]
        hashes.append(digest(canonical(node)))
    return hashes


def digest(line):
    """Return the hash of a line, or of the text of a statement from `canonical`; '' for an empty
    line."""
    return hashlib.sha1(line.encode()).hexdigest()[:12] if line else ''


@functools.lru_cache(maxsize=None)
def _book(name):
    """Return {section number: entry for its listings} from a file. The preface is section 0.1."""
    book = json.loads((HERE / name).read_text())
    return {{'preface': '0.1'}.get(number, number): entry for number, entry in book.items()}


def printed():
    """Return {section number: [list of hashes of statements, one per listing]}."""
    return {number: [listing['statements'] for listing in entry['listings']]
            for number, entry in _book('listings.json').items()}


def printed_lines():
    """Return {section number: [list of hashes of lines, one per listing]}. The preface has none."""
    return _book('lines.json')


@functools.lru_cache(maxsize=None)
def deviations(path=HERE / 'deviations.toml'):
    """Return the entries of deviations.toml. Each describes lines that are not as printed: section,
    listing, `printed` and `stands` (lists of lines: the book's and ours), reason."""
    return tomllib.loads(path.read_text()).get('deviation', [])


def differences(listings, hashes):
    """Compare the sources of a section's code cells with the printed hashes, listing by listing.

    Return two Counters of (listing, hash): those of printed lines that are missing here, and those
    of lines here that are not printed.
    """
    missing, extra = collections.Counter(), collections.Counter()
    for i, (source, digests) in enumerate(itertools.zip_longest(listings, hashes)):
        here, book = collections.Counter(statements(source or '')), collections.Counter(digests)
        missing.update({(i, hash_): n for hash_, n in (book - here).items()})
        extra.update({(i, hash_): n for hash_, n in (here - book).items()})
    return missing, extra


def unlike(source, hashes):
    """Return where a listing's source differs from the hashes of the printed lines.

    The result is a list of (index of the first of our lines that differ, our lines, hashes of the
    printed lines).
    """
    lines = [line.rstrip() for line in source.strip('\n').split('\n')]
    codes = difflib.SequenceMatcher(None, list(map(digest, lines)), hashes, False).get_opcodes()
    return [(i, lines[i:j], hashes[k:m]) for tag, i, j, k, m in codes if tag != 'equal']


def respaced(line):
    """Yield variants of a line that may have been printed: with the other kind of quotes, another
    indentation, or one space more or less."""
    yield from (line.replace("'", '"'), line.replace('"', "'"))
    yield from (' ' * n + line.lstrip() for n in range(80))
    for i in range(len(line)):
        yield line[:i] + ' ' + line[i:]
        if line[i] == ' ':
            yield line[:i] + line[i + 1:]


def _known(lines, hash_):
    """Return the printed line that has this hash, if it differs from one of these lines only in
    spaces or quotes; else a text with the hash."""
    if not hash_:
        return '(an empty line)'
    found = [near for line in lines for near in respaced(line) if digest(near) == hash_]
    return found[0] if found else f'(a line with the hash {hash_})'


def check(section, listings=None, entries=None):
    """Return the errors of one Section as lines of text: deviations without an entry, and entries
    without a deviation.

    A Section of our own is not compared; it is an error if a section of the book claims to be one.
    """
    if section.own:
        return [f'{section.number} has listings in the book'] * (section.number in printed())
    listings = section.listings if listings is None else listings
    book = printed_lines().get(section.number)
    if not book:                    # for the preface, only hashes of statements are known
        return [f'{section.number} listing {i}: the statement {hash_}, {what}, is not {where}'
                for what, where, counter in zip(
                    ('printed', 'standing'), ('here', 'printed'),
                    differences(listings, printed().get(section.number, [])))
                for i, hash_ in counter]
    errors = []
    entered = [(entry['listing'], entry['stands'], list(map(digest, entry['printed'])))
               for entry in (deviations() if entries is None else entries)
               if entry['section'] == section.number]
    for i, (source, hashes) in enumerate(itertools.zip_longest(listings, book, fillvalue='')):
        for first, lines, missing in unlike(source, hashes):
            if (i, lines, missing) in entered:
                entered.remove((i, lines, missing))
                continue
            errors.append('\n'.join([
                f'{section.number} listing {i}, line {first + 1}: not as printed, and not in '
                'ci/deviations.toml', *(f'    stands:  {line}' for line in lines),
                *(f'    printed: {_known(lines, hash_)}' for hash_ in missing)]))
    return errors + [f'{section.number} listing {i}: an entry of ci/deviations.toml is stale, '
                     f'stands = {json.dumps(lines)}' for i, lines, _ in entered]


def figures(sections):
    """Return how much of some Sections is as printed: (listings that are equal to the letter, all
    listings), (statements that are equal, all statements). Listings without known lines, which are
    ours and the preface's, do not count."""
    lines, hashes = printed_lines(), printed()
    sections = [section for section in sections if section.number in lines]
    letters = [not unlike(source, listing) for section in sections for source, listing in
               itertools.zip_longest(section.listings, lines[section.number], fillvalue='')]
    total = sum(len(listing) for section in sections for listing in hashes[section.number])
    missing = sum(sum(differences(section.listings, hashes[section.number])[0].values())
                  for section in sections)
    return (sum(letters), len(letters)), (total - missing, total)


def main(argv=None):
    """Print errors, and how much is as printed. Return 1 if there are errors."""
    parser = argparse.ArgumentParser(prog='python -m ci.verbatim', description=__doc__)
    parser.add_argument('sections', nargs='*', default=['all'])
    sections = find(*parser.parse_args(argv).sections)
    errors = [error for section in sections for error in check(section)]
    print(*errors, sep='\n', end='\n' if errors else '')
    print(*(f'{right} of {total} {what} ({right / max(total, 1):.2%})' for what, (right, total)
            in zip(('listings to the letter', 'statements as printed'), figures(sections))),
          sep=', ', end=f', in {len(sections)} sections of {ROOT.name}/\n')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
