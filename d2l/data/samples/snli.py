"""A stand-in for the Stanford inference corpus (14.11): scenes, and what follows from them.

snli_1.0.zip with three tab-separated files of 14 columns and a header line, their sentences once
as text, once as a binary parse and once as a labelled one. A scene is somebody who does something
somewhere, perhaps for a reason. A hypothesis that is entailed uses a more general word, or says
less. One that contradicts names another deed, place or kind of person. One that is neutral gives a
reason that the scene does not give. So neither sentence alone tells the label. A few pairs have the
label `-`, as in the real files, and must be left out.
"""
import random

from . import pack

SEED, UNDECIDED, SIMPLE = 1411, .02, .25  # shares of pairs without a verdict, about he, she or it
SIZES = {'train': 18000, 'dev': 450, 'test': 900}
HEADER = ['gold_label', 'sentence1_binary_parse', 'sentence2_binary_parse', 'sentence1_parse',
          'sentence2_parse', 'sentence1', 'sentence2', 'captionID', 'pairID'] + [
          f'label{i}' for i in range(1, 6)]

# A kind of person, then words for such persons; likewise a kind of deed, then deeds with objects
WHO = [line.split() for line in '''
man guy fellow father grandfather gentleman
woman lady mother grandmother bride nun
boy schoolboy toddler-boy
girl schoolgirl toddler-girl
dog puppy poodle terrier
'''.strip().split('\n')]
KINDS = [words[0] for words in WHO]
DEEDS = [(line.split('|')[0], [words.split() for words in line.split('|')[1:]]) for line in '''
eating|eating a sandwich|eating an apple|eating a pizza|eating noodles
sleeping|sleeping on a blanket|napping on a sofa|napping under a tree
playing|playing with a ball|playing with a kite|playing a game
running|running a race|running after a bus|jogging on a trail
swimming|swimming in a pool|swimming in a lake|swimming with a turtle
reading|reading a book|reading a newspaper|reading a map
working|repairing a car|painting a wall|digging a hole
dancing|dancing a waltz|dancing on a stage|dancing in a circle
'''.strip().split('\n')]
PLACES = [(line.split('|')[0].split(), [p.split() for p in line.split('|')[1:]]) for line in '''
outdoors|in the park|on the beach|on the street|in the garden|by the river
indoors|in the kitchen|in the office|in the library|in the hotel|at the museum
'''.strip().split('\n')]
LOOKS = 'old young tall happy tired blond wet small'.split()
OPEN = [words.split() for words in '''
for a friend
for the first time
before going home
because it is a holiday
to win a prize
to impress a stranger
'''.strip().split('\n')]
WIDER = {'man': 'person', 'woman': 'person', 'boy': 'child', 'girl': 'child', 'dog': 'animal'}
OPPOSITE = [('good', 'bad'), ('happy', 'sad'), ('rich', 'poor'), ('awake', 'asleep'),
            ('alone', 'together'), ('early', 'late'), ('clean', 'dirty'), ('strong', 'weak')]
PRONOUNS = 'he she it'.split()


def article(word):
    return 'an' if word[0] in 'aeiou' else 'a'


def noun_phrase(look, who):
    """Return a tree for a noun phrase: ('NP', ...) for 'a tall man'."""
    words = [look, who] if look else [who]
    return ('NP', ('DT', article(words[0]).capitalize()),
            *([('JJ', look)] if look else []), ('NN', who))


def clause(subject, deed, place=None, more=None):
    """Return a tree for the sentence `subject is deed place more .`"""
    parts = [('VBG', deed[0])] + [('NN', word) for word in deed[1:]]
    for phrase in place, more:
        if phrase:
            parts.append(('PP', *(('IN' if i == 0 else 'NN', word)
                                  for i, word in enumerate(phrase))))
    return ('ROOT', ('S', subject, ('VP', ('VBZ', 'is'), ('VP', *parts)), ('.', '.')))


def words(tree):
    """Return the words of a tree in order."""
    return [tree[1]] if isinstance(tree[1], str) else [w for sub in tree[1:] for w in words(sub)]


def labelled(tree):
    """Return a tree as text with labels: (ROOT (S (NP (DT A) (NN man)) ...))."""
    inside = tree[1] if isinstance(tree[1], str) else ' '.join(map(labelled, tree[1:]))
    return f'({tree[0]} {inside})'


def binary(tree):
    """Return a tree as text with two branches per node and no labels: ( ( A man ) ( is ... ) )."""
    if isinstance(tree[1], str):
        return tree[1]
    text = binary(tree[-1])
    for sub in reversed(tree[1:-1]):
        text = f'( {binary(sub)} {text} )'
    return text


class Author:
    """Writes scenes and what people say about them, with its own random numbers."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def pick(self, items):
        return pack.pick(self.rng, items)

    def other(self, items, item):
        """Return a random item other than this one."""
        return self.pick([i for i in items if i != item])

    def chance(self, share):
        return self.rng.random() < share

    def simple(self, label):
        """Return a pair of sentences about he, she or it, with one adjective each."""
        who, pair = self.pick(PRONOUNS), self.pick(OPPOSITE)
        first = self.pick(pair)
        second = {'entailment': first, 'contradiction': self.other(pair, first),
                  'neutral': self.pick(self.other(OPPOSITE, pair))}[label]
        return [('ROOT', ('S', ('NP', ('PRP', who)), ('VP', ('VBZ', 'is'), ('ADJP', ('JJ', word))),
                          ('.', '.'))) for word in (first, second)]

    def scene(self, label):
        """Return a scene, and a hypothesis whose relation to it is the label."""
        kinds, deeds, places = self.pick(WHO), self.pick(DEEDS), self.pick(PLACES)
        kind, who, look = kinds[0], self.pick(kinds), self.pick([None] + LOOKS)
        deed, place = self.pick(deeds[1]), self.pick(places[1])
        reason = self.pick([None, self.pick(OPEN)])
        premise = clause(noun_phrase(look, who), deed, place, reason)
        wider, where = self.pick([who, kind, WIDER[kind]]), self.pick([None, place, places[0]])
        said, why = self.pick([deed, [deeds[0]]]), self.pick([None, reason])
        if label == 'neutral':
            why = self.other(OPEN, reason)
        elif label == 'contradiction':
            wrong = self.pick(['who', 'deed', 'deed', 'place'])
            if wrong == 'who':
                wider = self.pick(self.other(WHO, kinds))
            elif wrong == 'deed':
                other = self.other(DEEDS, deeds)
                said = self.pick([*other[1], [other[0]]])
            else:
                where = self.other(PLACES, places)[0]
        return premise, clause(noun_phrase(None, wider), said, where, why)

    def pair(self, label):
        """Return two trees, premise and hypothesis."""
        return self.simple(label) if self.chance(SIMPLE) else self.scene(label)


def lines(part, n):
    """Yield the lines of a file."""
    author = Author(f'{SEED} {part}')
    yield '\t'.join(HEADER)
    for i in range(n):
        label = ('neutral', 'contradiction', 'entailment')[i % 3]
        trees = author.pair(label)
        texts = [' '.join(words(tree)[:-1]) + '.' for tree in trees]
        caption = f'{SEED}{i // 3:06}.jpg#{i // 3 % 5}'
        gold = '-' if author.chance(UNDECIDED) else label
        yield '\t'.join([gold, *map(binary, (tree[1] for tree in trees)), *map(labelled, trees),
                         *texts, caption, f'{caption}r1{label[0]}'] + [label] * 5)


def make(name, size=None):
    """Return the bytes of snli_1.0.zip; size, if given, is the number of training pairs."""
    files = {}
    for part, n in SIZES.items():
        n = size if size and part == 'train' else n
        text = '\n'.join(lines(part, n)) + '\n'
        files[f'snli_1.0/snli_1.0_{part}.txt'] = text.encode('ascii')
    return pack.zip_stored(files)
