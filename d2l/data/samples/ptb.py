"""A stand-in for Penn Tree Bank (14.3): short business news, written by a small grammar.

Three text files with one sentence per line, in the spelling of the real ones: lower case, no marks,
`N` for numbers, `<unk>` for rare words, a space at both ends of a line. Each sentence has one
topic. The four things of a topic occur in the same contexts, and in no others. So word2vec should
find three of them nearest to the fourth, which TOPICS allows to check.
"""
import random
import re

from . import pack

SEED = 143
SENTENCES = {'ptb.train.txt': 20000, 'ptb.valid.txt': 700, 'ptb.test.txt': 800}
JOIN = 750                               # in one of so many sentences, somebody joins a board
COMPANIES = 300

# One topic per line: its four things, adjectives for them, and people or places for their contexts
TOPICS = [line.split('|') for line in '''
chip intel microprocessor desktop|faster silicon digital|computers software
crude gasoline kerosene diesel|sulfur offshore arabian|barrels pipelines
bond debenture treasury note|municipal ten-year junk|yields maturity
wheat corn soybean barley|rural drought-stricken ripe|bushels farmers
sedan wagon coupe van|four-door compact sporty|dealers showrooms
drug vaccine serum antibiotic|clinical viral immune|patients hospitals
jetliner airliner freighter helicopter|wide-body twin-engine airborne|pilots airports
steel copper aluminum zinc|smelted molten galvanized|tons furnaces
beer wine whiskey brandy|imported bitter mellow|bars taverns
movie sitcom miniseries cartoon|animated prime-time comic|viewers studios
apartment condominium townhouse cottage|two-bedroom suburban furnished|tenants landlords
lawsuit complaint appeal petition|pending frivolous legal|judges attorneys
coat jacket sweater blouse|woolen silk fashionable|shoppers stores
novel paperback memoir biography|literary hardcover best-selling|readers libraries
tanker barge ferry trawler|coastal seagoing rusty|harbors captains
missile warhead submarine torpedo|nuclear strategic unarmed|generals pentagon
mortgage loan overdraft advance|unsecured delinquent adjustable|borrowers banks
coffee tea cocoa chocolate|aromatic colombian roasted|growers cups
telephone pager modem handset|cellular wireless cordless|callers networks
hurricane earthquake flood tornado|violent devastating seismic|victims rescuers
senator congressman governor mayor|republican democratic bipartisan|voters elections
violin piano cello flute|classical acoustic orchestral|concerts musicians
diamond necklace bracelet ruby|sparkling precious uncut|jewelers vaults
pitcher catcher shortstop outfielder|left-handed minor-league injured|fans stadiums
'''.strip().split('\n')]
THINGS = [topic[0].split() for topic in TOPICS]
VERBS = '''likes wants buys sells orders finds praises needs expects mentions offers watches counts
    insures finances advertises inspects photographs tests compares'''.split()

STEM = ('ard', 'bel', 'cal', 'dun', 'fen', 'gar', 'hal', 'jas', 'kel', 'lor', 'mar', 'nor', 'pen',
        'quin', 'ros', 'sel', 'thorn', 'vex', 'wil', 'yar', 'zen')
MIDDLE = ('a', 'en', 'er', 'i', 'o', 'u')
ENDING = ('tech', 'corp', 'ton', 'co', 'tron', 'field', 'gate', 'more', 'well', 'ley', 'star',
          'line')

# <thing>, <adj> and <place> are words of the topic. No sentence has both an <adj> and a <place>:
# they would then occur in contexts like those of the things, and word2vec would put them as near to
# the things as the things are to one another
SENTENCES_OF = '''
<company> said it <verb> one <adj> <thing> at a time in the third quarter
the <adj> <thing> that <company> <verb> is not for sale
the price of a <adj> <thing> rose N % because <company> <verb> more
analysts at <company> hope that no <adj> <thing> brings less than N million $ this year
<place> and <thing> are what <company> <verb> at a loss of N %
the <place> that <company> <verb> had no <thing> before the end of the year
when <company> <verb> some <thing> for <place> the shares rose by $ N each
a spokesman for <company> said <thing> and <place> would both be sold in new york
'''.strip().split('\n')
BOARD = ('mr. <person> N years old will join the board of <company> as a nonexecutive director '
         'nov. N')


def companies():
    """Return a list of COMPANIES different names of companies, which belong to no topic."""
    rng, names = random.Random(SEED), {}
    while len(names) < COMPANIES:
        names[''.join(pack.pick(rng, parts) for parts in (STEM, MIDDLE, ENDING))] = None
    return list(names)


def sentences(rng, count):
    """Yield `count` sentences in the form of the files."""
    words = {'company': companies(), 'verb': VERBS, 'person': ['<unk>']}
    for i in range(count):
        words.update(zip(('thing', 'adj', 'place'), map(str.split, pack.pick(rng, TOPICS))))
        text = BOARD if i % JOIN == JOIN - 1 else pack.pick(rng, SENTENCES_OF)
        text = re.sub(r'<(\w+)>', lambda found: pack.pick(rng, words[found[1]]), text)
        yield f' {text} \n'


def make(name, size=None):
    """Return the bytes of ptb.zip; size, if given, is the number of training sentences."""
    rng, files = random.Random(SEED), {}
    for file, count in SENTENCES.items():
        if size and file == 'ptb.train.txt':
            count = size
        files[f'ptb/{file}'] = ''.join(sentences(rng, count)).encode('ascii')
    return pack.zip_stored(files)
