"""A stand-in for H. G. Wells' The Time Machine (8.2): a travel diary written by a small grammar.

Plain ASCII text of the real file's length and shape: a title line, numbered chapters, paragraphs
in lines of at most 70 characters with a blank line between them. Words are drawn so that the
first of each list are the most frequent; names of places and people, built from syllables, make
the long tail of words that occur once or twice.
"""
import random
import re
import textwrap

from . import pack

SEED, WIDTH, LINES = 82, 70, 3200        # LINES: about, as the text ends with a whole paragraph
TITLE = 'The Time Traveller and the Lamp, a synthetic text of the d2l project'
CHAPTERS = ('I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX', 'X', 'XI', 'XII', 'XIII',
            'XIV', 'XV', 'XVI')
CHAPTER_LINES = LINES // len(CHAPTERS)
STEM = ('Ard', 'Bel', 'Cal', 'Dun', 'Ed', 'Fen', 'Gar', 'Hal', 'In', 'Jas', 'Kel', 'Lor', 'Mar',
        'Nor', 'Os', 'Pen', 'Quin', 'Ros', 'Sel', 'Thorn', 'Ul', 'Vex', 'Wil', 'Yar', 'Zen')
MIDDLE = ('', 'a', 'en', 'er', 'i', 'ing', 'o', 'u')
ENDING = ('ton', 'ham', 'by', 'wick', 'ford', 'mere', 'ley', 'worth', 'dale', 'stead', 'more',
          'bury', 'well', 'gate', 'field', 'moor', 'combe', 'hurst', 'ness', 'beck')

# A symbol in <> is replaced by one of its lines, or of its words if it has words. The first words
# of a symbol are more likely than the last
GRAMMAR = {
    'sentence': '''
        <np> was <adj>, and <clause>.
        I <past> <object>, and <clause>.
        <clause>, for <clause>.
        It was <adj>, and I <past> <object> <place>.
        The time traveller <past> <object> <place>.
        "<speech>," said <person>.
        I had <part> <object>, and then <clause>.
        There was <a> <place>, and <np> was <adj>.
        As I <past> <object>, <clause>.
        <place>, <clause>.
        <then> I <past> <object>, but <clause>.
        In <name> I had <part> <a> of <name>, and I was <adj>.
        At <hour> o'clock <clause>.
        I began to <verb> <object>, and it seemed to me that <clause>.
        For <number> <unit> I did not <verb> <object>.''',
    'clause': '''
        I <past> <object> <place>
        the time traveller <past> <object>
        it was <adv> <adj>
        the <noun> was <adj>
        I had <part> <object>
        <person> <past> <object>
        I saw that <np> was <adj>
        nothing but <np> was to be seen
        the <noun> of <name> <past> <object>
        we came to <name> with <object>
        I could <verb> <object> <adv>
        that was all I had <part>''',
    'speech': '''
        It is <adj>
        I have <part> <object>
        The time machine is <adj>
        You cannot <verb> <object> without <object>
        That is <np> of <name>
        What if <clause>
        There is no <noun> <place>
        I will <verb> <object> in <number> <unit>''',
    'np': '''
        the <noun>
        the <adj> <noun>
        <a>
        the <noun> of the <noun>
        the time machine
        my <noun>
        the <noun> that I had <part>
        this <noun>
        its <adj> <noun>''',
    'object': '''
        <np>
        <np>
        the <things>
        <np>
        the <adv> <adj> <things>
        a <noun> and a <noun>''',
    'a': '''
        a <noun>
        a <adj> <noun>
        a <noun> of <things>
        a <adj> and <adj> <noun>''',
    'place': '''
        in the <noun>
        of the <noun>
        to the <noun>
        at the <noun>
        upon the <adj> <noun>
        with the <noun>
        under the <noun> of <name>
        from the <noun>
        near <name>
        behind the <adj> <noun>
        into the <noun>
        among the <things>''',
    'person': '''
        the time traveller
        the traveller
        the doctor
        the editor
        Mr. <name>
        the young man
        the mayor of <name>
        Mrs. <name>
        an old sailor''',
    'number': 'two three four five six seven ten twelve twenty forty a_hundred',
    'hour': 'two three four five six seven ten eleven twelve',
    'unit': 'hours days minutes years weeks seconds',
    'then': '''
        then once perhaps now still slowly suddenly already again presently at_last always often
        indeed strangely meanwhile afterwards''',
    'adv': '''
        very now still quite then so almost again once slowly suddenly already perhaps always
        presently clearly hardly gently often quietly indeed strangely faintly darkly certainly
        softly nearly brightly coldly deeply swiftly boldly plainly calmly badly freshly wholly
        exactly vaguely keenly vividly firmly loosely briskly hugely oddly''',
    'adj': '''
        little great white dark black old long strange small cold green grey red bright quiet
        heavy empty low thin soft silent distant high wide new deep dim clear warm brown pale
        blue clumsy narrow dusty broken slow ancient sweet hidden golden bare open steep curious
        gentle wooden smooth hollow damp yellow rough frozen lonely giant queer crooked quick
        ragged tired brass rusty vast velvet solemn jagged faded copper humble amazed dizzy azure
        exquisite marble vivid zigzag juicy''',
    'noun': '''
        machine time door light world night lamp house table fire room hand way day sun thing
        hill face garden hall place tree river eye wall moon voice sky wind story path window
        match chair crowd morning sea shadow dream forest flower stair well road dust mind metal
        bridge lever tower clock stone candle engine glass box bird bell field star sound cloud
        journey future century valley street letter book key beach rain snow kitchen cellar
        corner circle island picture question hammer wheel bar coat boat rope museum pillar basket
        branch creature ceiling pocket bottle needle statue gallery ruin machinery experiment
        workshop paradox dimension laboratory hypothesis jungle quartz vase axle zenith''',
    'past': '''
        saw found took had thought knew left heard felt lit passed made watched came_upon lost
        opened followed touched turned held crossed reached feared broke carried noticed kept
        examined remembered dropped climbed pushed wanted missed studied described entered
        measured mended avoided struck circled lifted faced moved stopped drew admired caught
        painted visited judged explored inquired_about puzzled_over seized''',
    'part': '''
        seen found taken left made heard lost known thought_of watched carried opened forgotten
        touched reached followed crossed described built broken dreamt_of passed measured drawn
        caught hidden mended studied examined painted'''
        ,
    'verb': '''
        see find take leave make hear lose know open follow carry touch watch reach cross
        describe build break pass measure draw catch hide mend study examine paint explain''',
}
LINED = ('sentence', 'clause', 'speech', 'np', 'object', 'a', 'place', 'person')
CHOICES = {symbol: ([line.strip() for line in text.strip().split('\n')] if symbol in LINED
                    else [word.replace('_', ' ') for word in text.split()])
           for symbol, text in GRAMMAR.items()}


class Writer:
    """Writes text by expanding symbols with its own random numbers."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def expand(self, symbol):
        """Return a random text for a symbol. Of words, the first are more likely than the last."""
        if symbol == 'name':
            return ''.join(pack.pick(self.rng, parts) for parts in (STEM, MIDDLE, ENDING))
        if symbol == 'things':
            noun = self.expand('noun')
            return re.sub(r'(?<![aeo])y$', 'ie', re.sub(r'(s|x|ch|sh)$', r'\1e', noun)) + 's'
        u = self.rng.random()
        choices = CHOICES[symbol]
        chosen = choices[int(len(choices) * (u if symbol in LINED else u * u))]
        return re.sub(r'<(\w+)>', lambda found: self.expand(found[1]), chosen)

    def sentence(self):
        """Return a sentence, with a capital, and `an` before vowels."""
        text = re.sub(r'\b([Aa]) (?=[aeiou])', r'\1n ', self.expand('sentence'))
        return text[0].upper() + text[1:]

    def paragraph(self):
        """Return the lines of a paragraph of two to seven sentences."""
        count = 2 + int(self.rng.random() * 6)
        return textwrap.wrap(' '.join(self.sentence() for _ in range(count)), WIDTH)


def make(name, size=None):
    """Return the bytes of timemachine.txt; size is ignored."""
    writer, lines = Writer(SEED), [TITLE, '']
    for i, chapter in enumerate(CHAPTERS, start=1):
        lines += ['', '', chapter, '', '']
        while len(lines) < CHAPTER_LINES * i:
            lines += writer.paragraph() + ['']
    return '\n'.join(lines).encode('ascii')
