"""Do the sections on text learn? `python -m ci.learns [SECTION ...]`, minutes to half an hour each.

Runs sections of chapters 8 to 10 on sample data with the book's own epochs, then measures: the
perplexity of the language models and how far they continue a prefix as the text does, and the
share of their training sentences that the translators translate word for word. Exit status 1
where a bar is missed.
"""
import argparse
import os
import re
import sys
import time

import nbformat

from chapters.execute import CellFailed, execute
from chapters.sections import find
from ci.outputs import printed_text

LANGUAGE_MODELS = ('8.5', '8.6', '9.1', '9.2', '9.3')
TRANSLATORS = ('9.7', '10.2', '10.3')
PERPLEXITY = 2          # must fall below
CONTINUED = 20          # characters that must follow each prefix as they do in the text
TRANSLATED = 0.8        # share of the training sentences

# the training sentences are those that load_data_nmt reads by default
TRANSLATE = '''
source, target = d2l.tokenize_nmt(d2l.preprocess_nmt(d2l.read_data_nmt()), 1000)
hits = [d2l.predict_s2s_ch9(model, ' '.join(s), src_vocab, tgt_vocab, num_steps, ctx)
        == ' '.join(t) for s, t in zip(source, target)]
print(sum(hits), len(hits))
'''


def continued(line, prefix, text):
    """How many characters of `line` after its `prefix` are as in `text`, from some place in it."""
    n = len(prefix)
    while n < len(line) and line[:n + 1] in text:
        n += 1
    return n - len(prefix)


def language_model(section):
    """Run a section; yield (ok, message) for each language model that it trains."""
    nb, _ = execute(section)
    import d2l                      # not before a section has run: it takes seconds

    corpus, vocab = d2l.load_corpus_time_machine(10000)     # as load_data_time_machine
    text = ''.join(vocab.to_tokens(corpus))
    for cell in nb.cells:
        lines = printed_text(cell).splitlines() if cell.cell_type == 'code' else []
        for i, line in enumerate(lines):
            found = re.match(r'Perplexity ([\d.]+),', line)
            if found:
                runs = [continued(said, prefix, text)
                        for said, prefix in zip(lines[i + 1:], ('time traveller', 'traveller'))]
                yield (float(found[1]) < PERPLEXITY and min(runs) >= CONTINUED,
                       f'perplexity {found[1]} (below {PERPLEXITY}), {runs[0]} and {runs[1]} '
                       f'characters as in the text ({CONTINUED}): {lines[i + 1]!r}')


def translator(section):
    """Run a section; yield (ok, message) for its translator."""
    section.notebook.cells.append(nbformat.v4.new_code_cell(TRANSLATE))
    nb, _ = execute(section)
    hits, total = map(int, printed_text(nb.cells[-1]).split())
    yield (hits >= TRANSLATED * total,
           f'{hits} of {total} training sentences word for word: {hits / total:.1%} '
           f'({TRANSLATED:.0%})')


def main(argv=None):
    """Return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog='python -m ci.learns', description=__doc__)
    parser.add_argument('sections', nargs='*', metavar='SECTION',
                        help=f"default: {' '.join(LANGUAGE_MODELS + TRANSLATORS)}")
    args = parser.parse_args(argv)
    os.environ['D2L_DATA'] = 'sample'
    missed = 0
    for section in find(*(args.sections or LANGUAGE_MODELS + TRANSLATORS)):
        if section.number not in LANGUAGE_MODELS + TRANSLATORS:
            parser.error(f'nothing to measure in {section.number}')
        start = time.time()
        measure = translator if section.number in TRANSLATORS else language_model
        try:
            for ok, message in measure(section):
                print(f"{section.number:6}{'ok' if ok else 'MISSED'}: {message} "
                      f'[{time.time() - start:.0f} s]', flush=True)
                missed += not ok
        except CellFailed as err:
            print(err, file=sys.stderr)
            missed += 1
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
