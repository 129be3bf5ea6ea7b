"""Does the book stand as printed? `python -m ci.verbatim [SECTION ...]`.

ci/listings.json holds a hash for each top-level statement of each listing, as printed; the code
cells of a section are its listings, in order. Where a statement is not as printed,
ci/deviations.toml says why; an entry too many or too few is an error.
"""
import argparse
import ast
import collections
import hashlib
import json
import pathlib
import sys

from chapters.execute import tomllib
from chapters.sections import ROOT, all_sections, find, python_only

HERE = pathlib.Path(__file__).parent
UNHASHED = ('ctx', 'kind', 'type_params', 'type_comment')       # differ between Pythons


def canonical(node):
    """Spell a syntax tree the same on every Python: empty and version-bound fields left out."""
    if isinstance(node, list):
        return f"[{', '.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f'{name}={canonical(value)}' for name, value in ast.iter_fields(node)
              if value is not None and value != [] and name not in UNHASHED]
    return f"{type(node).__name__}({', '.join(fields)})"


def statements(source):
    """Hash of each top-level statement -> its source text, in order, as a list of pairs.

    Magics and shell lines do not count, nor do docstrings and comments.
    """
    source = python_only(source)
    pairs = []
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node)
        for sub in ast.walk(node):
            if isinstance(sub, (ast.FunctionDef, ast.ClassDef)) \
                    and ast.get_docstring(sub, clean=False) is not None:
                sub.body = sub.body[1:] or [ast.Pass()]
        pairs.append((hashlib.sha1(canonical(node).encode()).hexdigest()[:12], text))
    return pairs


def printed():
    """Section number -> a list of statement hashes for each listing, as the book prints them."""
    book = json.loads((HERE / 'listings.json').read_text())
    numbers = {'preface': '0.1'}
    return {numbers.get(number, number): [listing['statements'] for listing in entry['listings']]
            for number, entry in book.items()}


def deviations(path=HERE / 'deviations.toml'):
    """The entries of deviations.toml: section, listing, printed, stands (hashes or ''), reason."""
    return tomllib.loads(path.read_text()).get('deviation', [])


def differences(listings, hashes):
    """Compare the sources of a section's code cells with the printed hashes, listing by listing.

    Returns Counters of (listing, hash): printed but missing, and standing but not printed.
    """
    missing, extra = collections.Counter(), collections.Counter()
    for i in range(max(len(listings), len(hashes))):
        here = collections.Counter(digest for digest, _ in statements(listings[i])) \
            if i < len(listings) else collections.Counter()
        book = collections.Counter(hashes[i]) if i < len(hashes) else collections.Counter()
        missing.update({(i, digest): n for digest, n in (book - here).items()})
        extra.update({(i, digest): n for digest, n in (here - book).items()})
    return missing, extra


def check(section, listings=None, entries=None):
    """Errors of one Section as lines of text: deviations without an entry, entries without one.

    A Section of our own has nothing to compare with; a section of the book may not be one.
    """
    if section.own:
        return [f'{section.number} has listings in the book'] * (section.number in printed())
    listings = section.listings if listings is None else listings
    entries = deviations() if entries is None else entries
    texts = {(i, digest): text for i, source in enumerate(listings)
             for digest, text in statements(source)}
    found = dict(zip(('printed', 'stands'),
                     differences(listings, printed().get(section.number, []))))
    errors = []
    for kind, counter in found.items():
        entered = collections.Counter((entry['listing'], entry[kind]) for entry in entries
                                      if entry['section'] == section.number and entry[kind])
        for i, digest in counter - entered:
            errors.append(f"{section.number} listing {i}: {kind} = '{digest}' is not in "
                          f"ci/deviations.toml\n    {texts.get((i, digest), '(not here)')}")
        for i, digest in entered - counter:
            errors.append(f"{section.number} listing {i}: the entry {kind} = '{digest}' of "
                          'ci/deviations.toml is stale')
    return errors


def main(argv=None):
    """Print errors and the share of statements that stand verbatim; 1 where there are errors."""
    parser = argparse.ArgumentParser(prog='python -m ci.verbatim', description=__doc__)
    parser.add_argument('sections', nargs='*', default=['all'])
    sections = find(*parser.parse_args(argv).sections)
    errors = [error for section in sections for error in check(section)]
    book = {section.number: printed().get(section.number, []) for section in sections}
    total = sum(len(statements) for listings in book.values() for statements in listings)
    missing = sum(sum(differences(section.listings, book[section.number])[0].values())
                  for section in sections)
    print(*errors, sep='\n', end='\n' if errors else '')
    print(f'{total - missing} of {total} statements verbatim ({1 - missing / max(total, 1):.2%}) '
          f'in {len(sections)} sections of {ROOT.name}/')
    return 1 if errors else 0


if __name__ == '__main__':
    sys.exit(main())
