"""Do the models learn? `python -m ci.learns [SECTION ...]`, seconds to half an hour per section.

Runs sections on sample data with the book's own constants, and measures the trained models. For the
language models of chapters 8 and 9, it measures their perplexity, and how many characters of a text
they continue correctly; for the translators of 9.7 and chapter 10, the share of training sentences
that they translate word for word. The applications of chapters 13 to 16 are compared with a
threshold, or with a model that has learned nothing. The exit status is 1 if a threshold is missed.
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
PERPLEXITY = 2          # each perplexity has to be below this
CONTINUED = 0.5         # least share of the next 20 characters right before the first error
TRANSLATED = 0.8        # least share of the training sentences that are translated word for word

# Code that runs at the end of a cell that trains, with 20 pieces of the text as prefixes
CONTINUE = '''
text = ''.join(vocab.to_tokens(train_iter.corpus))
good = []
for at in range(0, len(text) - 55, (len(text) - 55) // 19):
    said = d2l.predict_ch8(text[at:at + 35], 20, model, vocab, ctx)
    good.append(next((n for n in range(20) if said[35 + n] != text[at + 35 + n]), 20))
print('Continued', sum(good), 20 * len(good))
'''
# Code for translators; the training sentences are those that load_data_nmt reads by default
TRANSLATE = '''
source, target = d2l.tokenize_nmt(d2l.preprocess_nmt(d2l.read_data_nmt()), 1000)
hits = [d2l.predict_s2s_ch9(model, ' '.join(s), src_vocab, tgt_vocab, num_steps, ctx)
        == ' '.join(t) for s, t in zip(source, target)]
print(sum(hits), len(hits))
'''

# Code that runs after the last cell of a section, and prints lines `above|below VALUE BAR what`
SAY = '''
def say(side, value, threshold, what):
    print(side, float(value), float(threshold), what)
'''
ACCURACY = '''
say('above', d2l.evaluate_accuracy_gpus(net, test_iter{split}), {threshold}, 'test accuracy')
'''
RANDOM_HIT_RATE = '''
hits, auc = d2l.evaluate_ranking(net, test_iter, {seq}, candidates, num_users, num_items, ctx)
rest = [num_users - sum(item < num_users for item in set(candidates[u])) for u in range(num_users)]
say('above', hits, sum(min(50 / n, 1) for n in rest) / num_users, 'hit rate, random ranking')
say('above', auc, 0.5, 'AUC, random ranking')
'''
CLICKS = '''
right = total = clicks = 0
for X, y in test_iter:
    right += int(((net(X).reshape(-1) > 0.5) == (y.reshape(-1) > 0.5)).sum())
    clicks, total = clicks + int(y.sum()), total + y.size
say('above', right / total, max(clicks, total - clicks) / total, 'test accuracy, majority class')
'''
# Sections that train for hours with the book's constants, and so use those of quick.toml
SHRUNKEN = ('13.12',)
APPLIED = {
    '13.2': '''
test_iter = gluon.data.DataLoader(test_imgs.transform_first(test_augs), 50)
tuned, scratch = [d2l.evaluate_accuracy_gpus(net, test_iter, d2l.split_batch)
                  for net in (finetune_net, scratch_net)]
say('above', tuned, scratch, 'test accuracy, from scratch')
''',
    # counted in pixels, as VOC's rules demand
    '13.7': '''
d2l.vision.import_gluoncv()
from gluoncv.utils.metrics import VOCMApMetric
metric = VOCMApMetric(iou_thresh=0.5, class_names=['pikachu'])
for batch in d2l.load_data_pikachu(batch_size)[1]:
    anchors, cls_preds, bbox_preds = net(batch.data[0].as_in_context(ctx))
    found = npx.multibox_detection(npx.softmax(cls_preds).transpose(0, 2, 1), bbox_preds, anchors)
    keep = slice(0, batch_size - batch.pad)
    found, truth = found.asnumpy()[keep], batch.label[0].asnumpy()[keep]
    metric.update(found[:, :, 2:] * 256, found[:, :, 0], found[:, :, 1],
                  truth[:, :, 1:] * 256, truth[:, :, 0])
say('above', metric.get()[1][-1], 0.5, 'mean average precision on the validation set')
''',
    '13.11': '''
d2l.vision.import_gluoncv()
from gluoncv.utils.metrics import SegmentationMetric
metric, background, pixels = SegmentationMetric(21), 0, 0
for X, Y in test_iter:
    metric.update(Y, net(X.as_in_context(ctx[0])))
    background, pixels = background + int((Y == 0).sum()), pixels + Y.size
say('above', metric.get()[0], background / pixels, 'pixel accuracy, share of background')
''',
    '13.12': '''
_, style_gram, _ = get_inits(X, ctx, 0.01, style_Y)

def loss(img):
    return float(compute_loss(img, *extract_features(img, content_layers, style_layers),
                              content_Y, style_gram)[-1])

say('below', loss(output), loss(X), 'loss, before the training')
''',
    '14.4': '''
from d2l.data.samples.ptb import THINGS
W = net[0].weight.data()
W = W / np.sqrt((W * W).sum(axis=1, keepdims=True))
near = npx.topk(np.dot(W, W.T), k=4, ret_typ='indices').asnumpy().astype(int)
found = [sum(vocab.idx_to_token[i] in things for i in near[vocab[thing], 1:])
         for things in THINGS for thing in things]
say('above', sum(found) / (3 * len(found)), 0.9, 'share of the three nearest words as planted')
''',
    '14.7': '''
from d2l.data.samples.embeddings import PAIRS
questions = [(a, b, c, d) for text in PAIRS.values() for words in [text.split()]
             for a, b in zip(words[::2], words[1::2]) for c, d in zip(words[::2], words[1::2])
             if a != c]
right = sum(get_analogy(a, b, c, glove_6b50d) == d for a, b, c, d in questions)
say('above', right / len(questions), 0.99, 'share of the analogies answered as planted')
''',
    '14.9': ACCURACY.format(threshold=0.8, split=''),
    '14.10': ACCURACY.format(threshold=0.8, split=''),
    '14.12': ACCURACY.format(threshold=0.6, split=', split_batch_multi_inputs'),
    '15.3': '''
y_hat, y = [np.concatenate(parts) for parts in
            zip(*[(net(u, i), r) for u, i, r in test_iter])]
mean = np.concatenate([r for _, _, r in train_iter]).mean()
say('below', np.sqrt(((y_hat - y) ** 2).mean()), np.sqrt(((y - mean) ** 2).mean()),
    'test RMSE, global mean')
''',
    '15.4': '''
known, seen = np.sign(test_inter_mat), np.sign(train_inter_mat)
mean = train_inter_mat.sum() / seen.sum()

def rmse(y_hat):
    return np.sqrt((((y_hat - test_inter_mat) * known) ** 2).sum() / known.sum())

say('below', rmse(net(train_inter_mat)), rmse(mean), 'test RMSE, global mean')
''',
    '15.6': RANDOM_HIT_RATE.format(seq=None),
    '15.7': RANDOM_HIT_RATE.format(seq='test_seq_iter'),
    '15.9': CLICKS,
    '15.10': CLICKS,
    '16.1': '''
made = net_G(np.random.normal(0, 1, size=(10000, latent_dim)))

def moments(points):
    mean = points.mean(axis=0)
    return mean, np.dot((points - mean).T, points - mean) / len(points)

(mean, cov), (made_mean, made_cov) = moments(data), moments(made)
# half of the error of points that are all 0
say('below', np.abs(made_mean - mean).max(), np.abs(mean).max() / 2, 'mean, off by at most')
say('below', np.abs(made_cov - cov).max(), np.abs(cov).max() / 2, 'covariance, off by at most')
''',
}


def language_model(section):
    """Run a section, and yield (ok, message) for each language model that it trains."""
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
    """Run a section, and yield (ok, message) for its translator."""
    section.notebook.cells.append(nbformat.v4.new_code_cell(TRANSLATE))
    nb, _ = execute(section)
    hits, total = map(int, printed_text(nb.cells[-1]).split())
    yield (hits >= TRANSLATED * total,
           f'{hits} of {total} training sentences word for word: {hits / total:.1%} '
           f'({TRANSLATED:.0%})')


def applied(section):
    """Run a section, and yield (ok, message) for each line that its code in APPLIED prints."""
    section.notebook.cells.append(nbformat.v4.new_code_cell(SAY + APPLIED[section.number]))
    nb, _ = execute(section, quick=section.number in SHRUNKEN)
    said = re.findall(r'^(above|below) (\S+) (\S+) (.*)$', printed_text(nb.cells[-1]), re.M)
    assert said, f'{section.number} measures nothing'
    for side, value, threshold, what in said:
        ok = float(value) > float(threshold) if side == 'above' else float(value) < float(threshold)
        yield ok, f'{what}: {float(value):.4f} ({side} {float(threshold):.4f})'


MEASURES = {**dict.fromkeys(LANGUAGE_MODELS, language_model),
            **dict.fromkeys(TRANSLATORS, translator), **dict.fromkeys(APPLIED, applied)}


def main(argv=None):
    """Run the sections and measure; return 1 if a threshold is missed."""
    parser = argparse.ArgumentParser(prog='python -m ci.learns', description=__doc__)
    parser.add_argument('sections', nargs='*', metavar='SECTION',
                        help=f"default: {' '.join(MEASURES)}")
    args = parser.parse_args(argv)
    os.environ['D2L_DATA'] = 'sample'
    missed = 0
    for section in find(*(args.sections or MEASURES)):
        if section.number not in MEASURES:
            parser.error(f'nothing to measure in {section.number}')
        start = time.time()
        try:
            for ok, message in MEASURES[section.number](section):
                print(f"{section.number:6}{'ok' if ok else 'MISSED'}: {message} "
                      f'[{time.time() - start:.0f} s]', flush=True)
                missed += not ok
        except CellFailed as err:
            print(err, file=sys.stderr)
            missed += 1
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
