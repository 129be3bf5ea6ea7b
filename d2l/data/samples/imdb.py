"""A stand-in for Stanford's film reviews (14.8): invented films, praised or panned.

aclImdb_v1.tar.gz with `aclImdb/<train|test>/<pos|neg>/<number>_<stars>.txt`: reviews of one to
five paragraphs, separated by `<br /><br />`, with four stars or fewer for neg, seven or more for
pos. A review's opinions depend on its stars: most of the words that judge fit them, some do not,
and some are negated by `not`. Its sentences about the plot do not depend on the stars.
"""
import io
import random
import re
import tarfile

from . import pack

SEED, TRAIN_SIZE = 148, 2000             # the test set is half as large
SINCERE = .9                             # share of judging words that fit the review's stars
NEGATED = .12                            # share of those that are written as `not <the opposite>`

GOOD = '''great good wonderful brilliant beautiful lovely gorgeous superb funny charming moving
    clever excellent amazing fantastic perfect touching gripping delightful hilarious fresh warm
    memorable stunning honest witty thrilling masterful inspired enjoyable'''.split()
BAD = '''bad awful terrible boring dull stupid lousy horrible weak predictable annoying pathetic
    poor ugly silly tedious lame dreadful clumsy forgettable painful shallow cheap ridiculous
    pointless flat wooden confusing tired miserable'''.split()
LIKED = 'loved enjoyed adored recommended praised admired'.split()
LOATHED = 'hated regretted loathed avoided mocked endured'.split()
ASPECT = '''movie film acting story script plot cast music dialogue ending direction camera humor
    picture scenery editing soundtrack performance'''.split()
PEOPLE = '''detective doctor soldier teacher pilot farmer king thief lawyer singer ghost robot
    sailor priest waitress student painter baker'''.split()
DEED = '''meets follows finds saves hunts marries remembers betrays visits forgives believes
    paints photographs joins leaves'''.split()
PLACE = '''village castle train hospital desert city island school harbor forest hotel theater
    prison garden'''.split()
NAME = 'Anna Marco Helen Victor Laura Peter Nadia Oscar Julia Simon'.split()
DEGREE = 'so very really quite truly rather simply'.split()

# <judge> is a word that judges, <judged> a verb that does; all other words do not depend on stars
OPINIONS = '''
This movie is <degree> <judge>
I thought that the <aspect> was <judge>
The <aspect> is <degree> <judge> and the <aspect> is <judge>
I <judged> the <aspect> from the first scene on
<name> gives a <judge> performance here
It has a <judge> <aspect> and some <judge> music
My friends <judged> this film and its <judge> ending
What a <judge> <aspect> this was
You will see a <judge> movie with a <judge> story
The <judge> <aspect> and the <judge> <aspect> stay in mind
'''.strip().split('\n')
FACTS = '''
A <person> <deed> a <person> in a <place>
The <person> comes from a <place> near the <place>
<name> plays a <person> who <deed> the <person>
Then the <person> <deed> everybody in the <place>
We see the <place> and the <person> for half an hour
The film was made in a <place> by <name> and <name>
Nobody knows why the <person> <deed> <name>
It was shown on a <place> screen with <name> in the first row
In the end <name> <deed> the <person> of the <place>
'''.strip().split('\n')
WORDS = {'aspect': ASPECT, 'person': PEOPLE, 'deed': DEED, 'place': PLACE, 'name': NAME,
         'degree': DEGREE}
README = 'Synthetic reviews of the d2l project, in the format of the Large Movie Review Dataset.\n'


class Reviewer:
    """Writes reviews with its own random numbers."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def judge(self, good, verb):
        """Return a word that judges a good or a bad film: a verb or an adjective."""
        if self.rng.random() > SINCERE:
            good = not good
        if not verb and self.rng.random() < NEGATED:
            return 'not ' + pack.pick(self.rng, BAD if good else GOOD)
        return pack.pick(self.rng, (LIKED if good else LOATHED) if verb else GOOD if good else BAD)

    def sentence(self, good, patterns):
        """Return a sentence made from one of the patterns."""
        words = []
        for word in pack.pick(self.rng, patterns).split():
            if word in ('<judge>', '<judged>'):
                word = self.judge(good, verb=word == '<judged>')
            elif word[0] == '<':
                word = pack.pick(self.rng, WORDS[word[1:-1]])
            words.append(word)
        text = re.sub(r'\b(a|A) (?=[aeiou])', r'\1n ', ' '.join(words))
        return text + pack.pick(self.rng, ('.', '.', '.', '!', ' ...'))

    def review(self, good):
        """Return a review of one to five paragraphs of two to six sentences.

        It begins with an opinion; each further sentence is an opinion or a fact with equal chance.
        """
        def count(low, high):
            return range(low + int(self.rng.random() * (high + 1 - low)))
        return '<br /><br />'.join(
            ' '.join(self.sentence(good, OPINIONS if i == j == 0 else
                                   pack.pick(self.rng, (OPINIONS, FACTS))) for j in count(2, 6))
            for i in count(1, 5))


def reviews(part, kind, n):
    """Yield (path, text) of n reviews of a part, 'train' or 'test', and a kind, 'pos' or 'neg'."""
    reviewer = Reviewer(f'{SEED} {part} {kind}')
    for i in range(n):
        stars = int(reviewer.rng.random() * 4) + (7 if kind == 'pos' else 1)
        yield f'aclImdb/{part}/{kind}/{i}_{stars}.txt', reviewer.review(kind == 'pos')


def make(name, size=None):
    """Return the bytes of aclImdb_v1.tar.gz; size, if given, is the number of training reviews."""
    n = size or TRAIN_SIZE
    files = {'aclImdb/README': README}
    for part, count in ('train', n // 2), ('test', n // 4):
        for kind in 'pos', 'neg':
            files.update(reviews(part, kind, count))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode('ascii')))
    return pack.gzip_stored(buffer.getvalue())
