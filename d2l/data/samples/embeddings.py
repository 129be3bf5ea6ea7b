"""A stand-in for the word vectors of GloVe and fastText (14.7): meanings are features, added up.

Archives of text files in the real format, with a word and its numbers on each line; fastText's
files begin with a line that counts words and numbers. Each feature (female, plural, capital,
praise) is a random direction; a word is the sum of its features and a direction of its own. So
words with the same features are near to each other, and the difference between `man` and `woman`
is the same as between `son` and `daughter`.
The synonyms and analogies that section 14.7 asks for have the answers printed there; words of the
other samples get the features that their grammars give them; the rest are made-up names.
"""
import random

import numpy as np

from . import imdb, pack, ptb, snli

SEED = 147
LENGTHS = {'glove/glove.6B.zip': (50, 100, 200, 300), 'glove/glove.42B.300d.zip': (300,),
           'glove/glove.840B.300d.zip': (300,), 'glove/glove.twitter.27B.zip': (25, 50, 100, 200),
           'fasttext/wiki.simple.zip': (300,)}
SIZE, BEAUTIFUL = 3500, 3367             # words in a file; the index of 'beautiful' in 14.7
OWN, SAME = 2, 8                         # weights of a word's own direction, of a class's direction

FUNCTION = '''the , . of to and in a " 's for - that on is was said with he as it by at ( ) from his
    an be has are have but were not this who they had i which will their : or its one after ; been
    also we more would first about up when out all no so what if she her you my some then every
    very really quite truly rather simply too here there this'''.split()

# Words with features and their weights, written by hand; all other features have weight 0
PLANTED = {
    'chip': {'chip': 10}, 'chips': {'chip': 10, 'plural': 3},
    'intel': {'chip': 10, 'company': 5}, 'electronics': {'chip': 10, 'industry': 6},
    'baby': {'child': 10, 'infant': 4}, 'babies': {'child': 10, 'infant': 4, 'plural': 3},
    'boy': {'child': 10, 'male': 5}, 'girl': {'child': 10, 'female': 7},
    'beautiful': {'praise': 6, 'beauty': 10}, 'lovely': {'praise': 6, 'beauty': 10, 'gentle': 3},
    'gorgeous': {'praise': 6, 'beauty': 10, 'strong': 5},
    'wonderful': {'praise': 6, 'beauty': 10, 'miracle': 8},
}
# Pairs of words; the second word has the features of the first, with one replaced by another
PAIRS = {
    ('male', 'female'): '''man woman son daughter king queen brother sister father mother uncle
        aunt husband wife nephew niece grandfather grandmother actor actress prince princess''',
    ('capital', 'country'): '''beijing china tokyo japan paris france berlin germany rome italy
        madrid spain london england moscow russia athens greece cairo egypt oslo norway lima
        peru''',
    ('plain', 'superlative'): '''bad worst big biggest good best small smallest tall tallest fast
        fastest old oldest young youngest high highest low lowest rich richest strong strongest''',
    ('present', 'past'): '''do did go went see saw take took eat ate run ran come came give gave
        write wrote speak spoke buy bought sell sold know knew find found''',
}
PAIR_WEIGHT = 7                          # weight of the feature that distinguishes a pair


def classes():
    """Return {feature: words that share it}, from the grammars of the other samples."""
    found = {'praise': imdb.GOOD, 'blame': imdb.BAD, 'praise done': imdb.LIKED,
             'blame done': imdb.LOATHED, 'film': imdb.ASPECT, 'profession': imdb.PEOPLE,
             'deed': imdb.DEED, 'place': imdb.PLACE, 'look': snli.LOOKS}
    for kind in snli.WHO:
        found[f'kind {kind[0]}'] = kind
    found['people'] = list(snli.WIDER.values()) + snli.PRONOUNS + ptb.VERBS
    for word, variants in snli.DEEDS:
        found[f'deed {word}'] = [word] + [variant[0] for variant in variants] \
            + [variant[-1] for variant in variants]
    for words, phrases in snli.PLACES:
        found[words[0]] = words + [phrase[-1] for phrase in phrases]
    for i, pair in enumerate(snli.OPPOSITE):
        found[f'opposite {i}'] = pair
    for phrase in snli.OPEN:
        found[' '.join(phrase)] = phrase
    for things, adjectives, places in ptb.TOPICS:
        found[things] = things.split()
        found[f'beside {things}'] = f'{adjectives} {places}'.split()
    return found


def features():
    """Return {word: {feature: weight}}, function words first. If a word occurs again, its first
    entry counts."""
    table = {word: {'function': SAME} for word in FUNCTION}
    for word in 'bad', 'good', 'first', 'he', 'she', 'it', 'his', 'her':
        table.pop(word, None)
    table.update({word: {**found} for word, found in PLANTED.items() if word != 'beautiful'})
    for (one, other), text in PAIRS.items():
        words = text.split()
        for a, b in zip(words[::2], words[1::2]):
            judged = {'praise': SAME} if a == 'good' else {'blame': SAME} if a == 'bad' else {}
            table.setdefault(a, {f'stem {a}': SAME, one: PAIR_WEIGHT, **judged})
            table.setdefault(b, {f'stem {a}': SAME, other: PAIR_WEIGHT, **judged})
    for feature, words in classes().items():
        for word in words:
            if word != 'beautiful':
                table.setdefault(word, {feature: SAME})
    return table


def names(taken):
    """Yield different made-up names that are not in `taken`."""
    rng, seen = random.Random(SEED), set(taken)
    while True:
        name = ''.join(pack.pick(rng, parts) for parts in (ptb.STEM, ptb.MIDDLE, ptb.ENDING)) \
            + pack.pick(rng, ('', 's', 'er'))
        if name not in seen:
            seen.add(name)
            yield name


def vectors(length):
    """Return the words of a file, in its order, and their vectors, (SIZE, length) int32."""
    table = features()
    made_up = names(table)
    table.update((next(made_up), {}) for _ in range(BEAUTIFUL - 1 - len(table)))
    table['beautiful'] = PLANTED['beautiful']
    table.update((next(made_up), {}) for _ in range(SIZE - len(table)))
    found = sorted({feature for weights in table.values() for feature in weights})
    # one row per component, so that a shorter vector is the beginning of a longer one
    draw = np.random.RandomState(SEED).randint(-9, 10, (length, len(found) + SIZE), dtype=np.int32)
    weights = np.zeros((SIZE, len(found)), np.int32)
    for i, word in enumerate(table):
        for feature, weight in table[word].items():
            weights[i, found.index(feature)] = weight
    return list(table), weights @ draw[:, :len(found)].T + OWN * draw[:, len(found):].T


def text(length, counted):
    """Return the bytes of a file of vectors; counted: whether its first line counts them."""
    words, rows = vectors(length)
    largest = int(abs(rows).max())
    numbers = [f'{number / 100:.2f}' for number in range(-largest, largest + 1)]
    lines = [f'{SIZE} {length}'] if counted else []
    for word, row in zip(words, (rows + largest).tolist()):
        lines.append(word + ' ' + ' '.join([numbers[i] for i in row]))
    return ('\n'.join(lines) + '\n').encode('ascii')


def make(name, size=None):
    """Return the bytes of an archive with a file for each length of its vectors; size is ignored.
    """
    family, stem = name[:-len('.zip')].split('/')
    if family == 'fasttext':
        return pack.zip_stored({f'{stem}.vec': text(*LENGTHS[name], counted=True)})
    stem = stem.replace('.300d', '')
    return pack.zip_stored({f'{stem}.{length}d.txt': text(length, counted=False)
                            for length in LENGTHS[name]})
