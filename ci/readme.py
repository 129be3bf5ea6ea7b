"""Generates the README's tables and numbers from what they describe: `python -m ci.readme`.

`--check` fails when they are stale.
"""
import argparse
import difflib
import statistics
import sys

import d2l_compat
from chapters.sections import ROOT, all_sections
from ci import bench, modes, outputs, regress, reproduce, stored, verbatim
from d2l import patches

README = ROOT.parent / 'README.md'
CHAPTERS = {
    2: 'Preliminaries', 3: 'Linear Neural Networks', 4: 'Multilayer Perceptrons',
    5: 'Deep Learning Computation', 6: 'Convolutional Neural Networks',
    7: 'Modern Convolutional Neural Networks', 8: 'Recurrent Neural Networks',
    9: 'Modern Recurrent Neural Networks', 10: 'Attention Mechanisms',
    11: 'Optimization Algorithms', 12: 'Computational Performance', 13: 'Computer Vision',
    14: 'Natural Language Processing', 15: 'Recommender Systems',
    16: 'Generative Adversarial Networks', 17: 'Appendix: Mathematics for Deep Learning',
    19: 'Beyond the Book'}                  # not a chapter of the book


def chapters_sentence():
    """Yield sentences on how many of the book's sections are here, and how much of their code is as
    printed."""
    numbers, landed = list(verbatim.printed_lines()), all_sections()
    here = [section for section in landed if section.number in numbers]
    letters, code = verbatim.figures(here)
    yield (f'Of the {len(numbers)} sections of the book that have code, {len(here)} are here: '
           f'{letters[0]} of {letters[1]} listings')
    yield f'stand to the letter, and {code[0]} of {code[1]} statements as printed. {_own(landed)}'


def _own(sections):
    """Return the sentence that names the sections that are not from the book."""
    own = [section.number for section in sections if section.own]
    return f"Ours are {', '.join(own[:-1])} and {own[-1]}."


def deviations_list():
    """Yield one line for each entry of deviations.toml."""
    entries = verbatim.deviations()
    if not entries:
        yield '- No line differs: what MXNet 1.9 needs is repaired below the listings.'
    reasons = {}
    for entry in entries:
        place = f"{entry['section']} (listing {entry['listing']})"
        reasons.setdefault(entry['reason'].strip(), []).append(place)
    for reason, places in reasons.items():
        yield f"- {', '.join(dict.fromkeys(places))}: {reason}"


def repairs_table():
    """Yield a row for each repair of d2l_compat that is not removed after an import."""
    yield '| repair | of | section, reason |'
    yield '|---|---|---|'
    for name, (modules, why) in d2l_compat.LASTING.items():
        yield f"| {name.replace('_', ' ')} | {', '.join(modules)} | {why} |"


def outputs_sentence():
    """Yield a sentence on how many of the listings that print something are compared, and how."""
    total, compared, in_words = outputs.figures(all_sections())
    yield f'Of {total} listings that print something in the book, {compared} are compared with what'
    yield (f'they print here: {compared - in_words} number for number, '
           f'{in_words} in their words alone,')
    yield 'where numbers hang on the data, an unseeded shuffle or a clock (`ci/outputs.toml`).'


def regression_list():
    """Yield lines on what the regression computes, what witnesses check, and its exit status."""
    rows = stored.ROWS
    witnessed = [row for row in rows if not (row.predict_only or row.no_gradients)]
    yield (f'- {len(rows)} networks in {len(modes.MODES)} modes. Of the '
           f'{sum(not row.predict_only for row in rows)} that can be trained, NumPy finds the same '
           f'gradients of {len(witnessed)}')
    for row in rows:
        if row.no_gradients and not row.predict_only:
            yield f'- No witness of the gradients of `{row.name}`: {row.no_gradients}'
    yield ('- Exit status: 0, all agree; '
           f'{regress.FAILS}, a network fails, or has an operator that has no converter to ONNX; '
           f'{regress.CANNOT_CHECK}, it could not be checked (an unknown name, no GPU, numbers or '
           'a tolerance that were never stored)')
    agree = reproduce.agreeing(reproduce.kept())
    yield (f'- On the real Fashion-MNIST, {len(agree)} sections agree with the book: '
           + ', '.join(agree)
           + '. Where it has a figure and no number, all that is compared is that '
           'the curves end on its axis (`ci/golden/REPRODUCED.md`)')


# network -> how the README's table calls it
TIMED = {'lenet': 'LeNet, 6.6', 'resnet18': 'ResNet-18, 7.6', 'transformer': 'Transformer, 10.3',
         'skip_gram': 'skip-gram, 14.4'}


def speed_table():
    """Yield the table of the speed of TIMED, with the geometric means of all networks that have a
    twin in PyTorch, and a sentence that says where and when they were timed."""
    found = {name: row for name, row in bench.kept().items() if name in bench.TWINS}
    places = sorted({(row['when'], row['where']) for row in found.values()})
    rows = {name: [*bench.summary(row, bench.TRAINING), *bench.summary(row, bench.INFERENCE)]
            for name, row in found.items()}
    yield '| time of | a step: compiled / eager | optimized / eager | optimized / PyTorch '\
          '| a prediction: compiled / eager | optimized / eager | fastest / PyTorch |'
    yield '|---|' + '---:|' * 6
    for name, title in TIMED.items():
        yield f'| {title} | ' + ' | '.join(f'{value:.2f}' for value in rows[name]) + ' |'
    means = [statistics.geometric_mean(column) for column in zip(*rows.values())]
    yield f'| geometric mean of {len(rows)} | ' + ' | '.join(f'{v:.2f}' for v in means) + ' |'
    yield ''
    yield ('PyTorch is the faster of eager and `torch.compile` there; fastest is the faster of '
           "`optimize=True` and `runtime='onnx'`. Measured on "
           + '; '.join(f'{where}, {when}' for when, where in places)
           + '; the gallery has all of them.')


BLOCKS = {'chapters': chapters_sentence, 'repairs': repairs_table, 'deviations': deviations_list,
          'outputs': outputs_sentence, 'regression': regression_list, 'speed': speed_table,
          'effects': patches.table}


def build(text):
    """Return the README's text with all generated blocks replaced."""
    for name, lines in BLOCKS.items():
        start, end = f'<!-- {name}: generated by `python -m ci.readme` -->\n', f'<!-- /{name} -->'
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f'README.md has lost the lines {start.strip()} and {end}')
        text = before + start + '\n'.join(lines()) + '\n' + end + after
    return text


def main(argv=None):
    """Write README.md. With --check, print a diff and return 1 if it is stale."""
    parser = argparse.ArgumentParser(prog='python -m ci.readme', description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing, fail when stale')
    check = parser.parse_args(argv).check
    old = README.read_text()
    new = build(old)
    if not check:
        README.write_text(new)
    elif new != old:
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True)))
        print('README.md is stale: run `python -m ci.readme`')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
