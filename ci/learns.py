"""Do the sections on text learn? `python -m ci.learns [SECTION ...]`, minutes to half an hour each.

Runs sections of chapters 8 to 10 on sample data with the book's own epochs, then measures: the
perplexity of the language models and how far they continue pieces of the text as it goes on, and
the share of their training sentences that the translators translate word for word. Exit status 1
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
CONTINUED = 0.5         # share of the next 20 characters, up to the first that is another
TRANSLATED = 0.8        # share of the training sentences

# Run at the end of a cell that trains: 20 pieces of the text as prefixes.
CONTINUE = '''
text = ''.join(vocab.to_tokens(train_iter.corpus))
good = []
for at in range(0, len(text) - 55, (len(text) - 55) // 19):
    said = d2l.predict_ch8(text[at:at + 35], 20, model, vocab, ctx)
    good.append(next((n for n in range(20) if said[35 + n] != text[at + 35 + n]), 20))
print('Continued', sum(good), 20 * len(good))
'''
# The training sentences are those that load_data_nmt reads by default.
TRANSLATE = '''
source, target = d2l.tokenize_nmt(d2l.preprocess_nmt(d2l.read_data_nmt()), 1000)
hits = [d2l.predict_s2s_ch9(model, ' '.join(s), src_vocab, tgt_vocab, num_steps, ctx)
        == ' '.join(t) for s, t in zip(source, target)]
print(sum(hits), len(hits))
'''


def language_model(section):
    """Run a section; yield (ok, message) for each language model that it trains."""
    cells = [cell for cell in section.notebook.cells
             if re.search(r'^(d2l\.)?train_ch8\(', cell.source, re.M)]
    for cell in cells:
        cell.source += CONTINUE
    execute(section)
    for cell in cells:
        perplexity, said, hits, total = re.search(
            r'Perplexity ([\d.]+),.*\n(.*)\n.*\nContinued (\d+) (\d+)',
            printed_text(cell)).groups()
        share = int(hits) / int(total)
        yield (float(perplexity) < PERPLEXITY and share >= CONTINUED,
               f'perplexity {perplexity} (below {PERPLEXITY}), {share:.1%} of 20 characters '
               f'as in the text ({CONTINUED:.0%}); {said!r}')


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
