"""A stand-in for the English-French pairs of 9.5: some twelve thousand, written by a small grammar.

As in the real file each line is `English<TAB>French`, short sentences first, capitals and marks
kept, a narrow no-break space before ! and ?. An English sentence has one translation (`you` is
always `tu`, `they` always `ils`), so that a network can learn nearly all of it by heart.
"""
import random

from . import pack

SEED, BECAUSE = 95, .4                   # BECAUSE: share of the long sentences that give a reason
THIN_SPACE = '\u202f'
PEOPLE = ('I', 'you', 'he', 'she', 'we', 'they')
BE = ("I'm", "you're", "he's", "she's", "we're", "they're")
QUESTION = ('am I', 'are you', 'is he', 'is she', 'are we', 'are they')
JE = ('je', 'tu', 'il', 'elle', 'nous', 'ils')
ETRE = ('suis', 'es', 'est', 'est', 'sommes', 'sont')
AVOIR = ('ai', 'as', 'a', 'a', 'avons', 'ont')
ALLER = ('vais', 'vas', 'va', 'va', 'allons', 'vont')
VOWELS = 'aeiouéêà'

GREETINGS = (('wow', 'ça alors'), ('hi', 'salut'), ('yes', 'oui'), ('no', 'non'), ('bye', 'adieu'),
             ('thanks', 'merci'), ('sorry', 'pardon'), ('of course', 'bien sûr'))
CALLED = ('Tom', 'Mary', 'Paul', 'Anna')

# (English imperative, French imperative)
ORDERS = (('go', 'va'), ('run', 'cours'), ('wait', 'attends'), ('stop', 'arrête'),
          ('come', 'viens'), ('look', 'regarde'), ('listen', 'écoute'),
          ('try', 'essaie'), ('sing', 'chante'), ('eat', 'mange'), ('work', 'travaille'),
          ('jump', 'saute'), ('sleep', 'dors'), ('speak', 'parle'), ('start', 'commence'),
          ('go on', 'continue'))
HOW = (('now', 'maintenant'), ('here', 'ici'), ('again', 'encore'), ('with me', 'avec moi'),
       ('quickly', 'vite'))

# (English adjective, French: masculine, feminine, plural)
STATES = (('sad', 'triste', 'triste', 'tristes'), ('shy', 'timide', 'timide', 'timides'),
          ('tired', 'fatigué', 'fatiguée', 'fatigués'),
          ('busy', 'occupé', 'occupée', 'occupés'),
          ('ill', 'malade', 'malade', 'malades'), ('rich', 'riche', 'riche', 'riches'),
          ('poor', 'pauvre', 'pauvre', 'pauvres'), ('tall', 'grand', 'grande', 'grands'),
          ('old', 'vieux', 'vieille', 'vieux'), ('young', 'jeune', 'jeune', 'jeunes'),
          ('calm', 'calme', 'calme', 'calmes'), ('free', 'libre', 'libre', 'libres'),
          ('ready', 'prêt', 'prête', 'prêts'), ('alone', 'seul', 'seule', 'seuls'),
          ('strong', 'fort', 'forte', 'forts'), ('happy', 'heureux', 'heureuse', 'heureux'),
          ('lazy', 'paresseux', 'paresseuse', 'paresseux'), ('late',) + ('en retard',) * 3,
          ('here',) + ('ici',) * 3, ('at home',) + ('à la maison',) * 3)
FEELINGS = (('hungry', 'faim'), ('cold', 'froid'), ('hot', 'chaud'), ('thirsty', 'soif'),
            ('right', 'raison'), ('wrong', 'tort'), ('afraid', 'peur'), ('sleepy', 'sommeil'))

# verbs without an object: (English past tense, French participle)
DEEDS = (('won', 'gagné'), ('lost', 'perdu'), ('ran', 'couru'), ('ate', 'mangé'),
         ('slept', 'dormi'), ('cried', 'pleuré'), ('lied', 'menti'), ('tried', 'essayé'),
         ('sang', 'chanté'), ('danced', 'dansé'), ('smiled', 'souri'), ('waited', 'attendu'),
         ('worked', 'travaillé'), ('drank', 'bu'), ('read', 'lu'), ('forgot', 'oublié'))

# verbs with an object: (English present, third person, past; French present in six persons,
# participle)
VERBS = (
    ('see', 'sees', 'saw', ('vois', 'vois', 'voit', 'voit', 'voyons', 'voient'), 'vu'),
    ('want', 'wants', 'wanted', ('veux', 'veux', 'veut', 'veut', 'voulons', 'veulent'), 'voulu'),
    ('find', 'finds', 'found', ('trouve', 'trouves', 'trouve', 'trouve', 'trouvons', 'trouvent'),
     'trouvé'),
    ('take', 'takes', 'took', ('prends', 'prends', 'prend', 'prend', 'prenons', 'prennent'),
     'pris'),
    ('sell', 'sells', 'sold', ('vends', 'vends', 'vend', 'vend', 'vendons', 'vendent'), 'vendu'),
    ('draw', 'draws', 'drew', ('dessine', 'dessines', 'dessine', 'dessine', 'dessinons',
                              'dessinent'), 'dessiné'),
    ('look for', 'looks for', 'looked for', ('cherche', 'cherches', 'cherche', 'cherche',
                                            'cherchons', 'cherchent'), 'cherché'),
    ('carry', 'carries', 'carried', ('porte', 'portes', 'porte', 'porte', 'portons', 'portent'),
     'porté'),
    ('show', 'shows', 'showed', ('montre', 'montres', 'montre', 'montre', 'montrons', 'montrent'),
     'montré'),
    ('keep', 'keeps', 'kept', ('garde', 'gardes', 'garde', 'garde', 'gardons', 'gardent'),
     'gardé'))
THINGS = (('dog', 'le chien', 'un chien'), ('cat', 'le chat', 'un chat'),
          ('book', 'le livre', 'un livre'), ('car', 'la voiture', 'une voiture'),
          ('key', 'la clé', 'une clé'), ('map', 'la carte', 'une carte'),
          ('bag', 'le sac', 'un sac'), ('hat', 'le chapeau', 'un chapeau'),
          ('house', 'la maison', 'une maison'), ('table', 'la table', 'une table'),
          ('flower', 'la fleur', 'une fleur'), ('bird', "l'oiseau", 'un oiseau'),
          ('tree', "l'arbre", 'un arbre'), ('watch', 'la montre', 'une montre'),
          ('letter', 'la lettre', 'une lettre'), ('horse', 'le cheval', 'un cheval'),
          ('boat', 'le bateau', 'un bateau'), ('cake', 'le gâteau', 'un gâteau'),
          ('coat', 'le manteau', 'un manteau'), ('picture', "l'image", 'une image'))
WHEN = (('today', "aujourd'hui"), ('every day', 'tous les jours'), ('in the garden',
        'dans le jardin'), ('near the river', 'près de la rivière'), ('with my brother',
        'avec mon frère'), ('in the evening', 'le soir'), ('for my mother', 'pour ma mère'))
WHEN_PAST = (('yesterday', 'hier'), ('last night', 'hier soir'), ('two days ago',
             'il y a deux jours')) + WHEN[2:5]


def elide(word, following):
    """Join two French words: je ai is j'ai, parce que il is parce qu'il."""
    if following[0] in VOWELS and word in ('je', 'ne', 'parce que'):
        return word[:-1] + "'" + following
    return word + ' ' + following


def say(english, french, mark='.'):
    """Return a pair of sentences with a capital at the beginning and a mark at the end."""
    def capital(text):
        return text[0].upper() + text[1:]
    return capital(english) + mark, capital(french) + (THIN_SPACE if mark in '!?' else '') + mark


def states():
    """Yield (person, English, French) for sentences on how somebody is, without a mark: "I'm sad",
    'je suis triste'."""
    for i, (be, je) in enumerate(zip(BE, JE)):
        form = (1, 1, 1, 2, 3, 3)[i]
        for words in STATES:
            yield i, f'{be} {words[0]}', f'{je} {ETRE[i]} {words[form]}'
        yield i, f'{be} OK', f'{je} {ALLER[i]} bien'
        for english, french in FEELINGS:
            yield i, f'{be} {english}', f'{elide(je, AVOIR[i])} {french}'


def short():
    """Yield pairs of sentences of a few words."""
    for english, french in GREETINGS:
        yield from (say(english, french, mark) for mark in '!.')
        yield from (say(f'{english}, {name}', f'{french}, {name}') for name in CALLED)
    for english, french in ORDERS:
        yield from (say(english, french, mark) for mark in '!.')
        yield from (say(f'{english} {how}', f'{french} {comment}') for how, comment in HOW)
        yield say(f"don't {english}", f'{elide("ne", french)} pas')
        yield from (say(f'{english}, {name}', f'{french}, {name}') for name in CALLED)
    for _, english, french in states():
        yield say(english, french)
    for i, be in enumerate(QUESTION):
        hyphen = f'{ETRE[i]}-{JE[i]}'
        for words in STATES:
            yield say(f'{be} {words[0]}', f'{hyphen} {words[(1, 1, 1, 2, 3, 3)[i]]}', '?')
    for i, (who, je) in enumerate(zip(PEOPLE, JE)):
        have = elide(je, AVOIR[i])
        never = f'{je} {elide("ne", AVOIR[i])} jamais'
        for english, french in DEEDS:
            yield from (say(f'{who} {english}', f'{have} {french}', mark) for mark in '.!')
            yield say(f'{who} never {english}', f'{never} {french}')


def clauses():
    """Yield (English, French, times) for clauses on who does what with what, without a mark."""
    for i, (who, je) in enumerate(zip(PEOPLE, JE)):
        third, have = who in ('he', 'she'), elide(je, AVOIR[i])
        for base, sees, saw, present, participle in VERBS:
            verb = sees if third else base
            do_not = "doesn't" if third else "don't"
            for thing, the, a in THINGS:
                for article, french in (('the', the), ('a', a)):
                    yield f'{who} {verb} {article} {thing}', f'{je} {present[i]} {french}', WHEN
                    yield (f'{who} {saw} {article} {thing}', f'{have} {participle} {french}',
                           WHEN_PAST)
                yield (f'{who} {do_not} {base} the {thing}', f'{je} ne {present[i]} pas {the}',
                       WHEN)


def long():
    """Yield pairs of sentences of up to fifteen words: each clause alone, and with a time or place.
    """
    rng, reasons = random.Random(SEED), list(states())
    for english, french, times in clauses():
        yield say(english, french)
        when, quand = pack.pick(rng, times)
        english, french = f'{english} {when}', f'{french} {quand}'
        if rng.random() < BECAUSE:
            _, because, parce = pack.pick(rng, reasons)
            english = f'{english} because {because}'
            french = f'{french} {elide("parce que", parce)}'
        yield say(english, french)


def make(name, size=None):
    """Return the bytes of fra-eng.zip with fra-eng/fra.txt; size is ignored."""
    pairs = {}
    for english, french in [*short(), *long()]:
        pairs.setdefault(english, french)
    ordered = sorted(pairs.items(), key=lambda pair: (len(pair[0]), pair[0]))
    text = ''.join(f'{english}\t{french}\n' for english, french in ordered)
    return pack.zip_stored({'fra-eng/fra.txt': text.encode('utf-8')})
