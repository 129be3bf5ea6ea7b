"""A stand-in for MovieLens 100K (15.2): invented users rate invented films they chose for a reason.

ml-100k.zip with u.data and its neighbours in the real formats. A film has a genre, a quality and
a fame, a user has a mood and a taste for each genre. A rating, in stars, is the sum of these and
some noise. The next film of a user mostly has the genre of the film before, otherwise a genre that
the user likes, famous films first. So there is something to learn for matrix factorization, for
ranking and for sequences. There are as many films as users, since section 15.6 ranks only that many
films.
"""
import numpy as np

from . import pack

SEED, USERS = 152, 400                   # USERS: number of users, and of films
FEWEST, MOST = 20, 80                    # ratings per user, of at most half the films
STAY = 70                                # percentage of choices with the genre of the one before
FIRST_SECOND, DAY = 874724710, 86400     # times start in September 1997, as in the real file
GENRES = '''unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy
    Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western'''.split()
USED = (1, 4, 5, 8, 11, 14, 15, 16)      # genres that films have
JOBS = '''administrator artist doctor educator engineer entertainment executive healthcare
    homemaker lawyer librarian marketing none other programmer retired salesman scientist student
    technician writer'''.split()
TITLES = (('Silent', 'Golden', 'Lost', 'Broken', 'Secret', 'Last', 'Crimson', 'Hidden', 'Winter',
           'Midnight', 'Burning', 'Second', 'Distant', 'Paper', 'Iron', 'Blue', 'Hollow',
           'Northern', 'Sleeping', 'Restless', 'Velvet', 'Seventh', 'Wandering', 'Borrowed',
           'Stolen'),
          ('River', 'Garden', 'Empire', 'Summer', 'Letter', 'Island', 'Mirror', 'Harvest', 'Signal',
           'Orchard', 'Voyage', 'Lantern', 'Kingdom', 'Promise', 'Shadow', 'Bridge', 'Carnival',
           'Horizon', 'Station', 'Melody', 'Fortress', 'Meadow', 'Compass', 'Harbor', 'Monument'))
README = 'Synthetic users, films and ratings of the d2l project, in the format of MovieLens 100K.\n'


def ratings(rng, n):
    """Return genres (n,) of the films and rows (user, film, stars, second), all counted from 0."""
    def draw(low, high, shape):
        return rng.randint(low, high, shape, dtype=np.int32)
    genre, quality, fame = draw(0, len(USED), n), draw(-8, 9, n), draw(1, 11, n) ** 2
    taste, mood = draw(-12, 13, (n, len(USED))), draw(-5, 6, n)     # in tenths of a star
    rows = []
    for user in range(n):
        weights, seen, at = (taste[user] + 13) ** 2, np.zeros(n, bool), None
        second = FIRST_SECOND + int(draw(0, 200 * DAY, ()))
        seen[user] = True                # film `user` comes first, so that each film has a rating
        film = user
        for _ in range(min(int(draw(FEWEST, MOST, ())), n // 2)):
            score = 34 + quality[film] + taste[user, genre[film]] + mood[user] + draw(-6, 7, ())
            rows.append((user, film, min(max(int(score + 5) // 10, 1), 5), second))
            second += int(draw(20, DAY, ()))
            at = genre[film]
            left = fame * ~seen
            if draw(0, 100, ()) >= STAY or not left[genre == at].any():
                left = left * weights[genre]
            else:
                left = left * (genre == at)
            film = int(np.searchsorted(np.cumsum(left), draw(0, int(left.sum()), ()), 'right'))
            seen[film] = True
    return genre, [rows[i] for i in np.argsort(draw(0, 2**31 - 1, len(rows)), kind='stable')]


def make(name, size=None):
    """Return the bytes of ml-100k.zip; size, if given, is the number of users, and of films."""
    n = size or USERS
    genre, rows = ratings(np.random.RandomState(SEED), n)
    films, users = [], []
    for i in range(n):
        title = f'{TITLES[0][i % 25]} {TITLES[1][i // 25 % 25]}' + f' {i // 625 + 1}' * (i >= 625)
        year = 1960 + i * 7 % 39
        flags = '|'.join(str(int(j == USED[genre[i]])) for j in range(len(GENRES)))
        url = f'http://us.imdb.com/M/title-exact?{title} ({year})'.replace(' ', '%20')
        films.append(f'{i + 1}|{title} ({year})|01-Jan-{year}||{url}|{flags}')
        users.append(f'{i + 1}|{18 + i * 11 % 50}|{"MF"[i % 3 == 0]}|{JOBS[i * 5 % 21]}|'
                     f'{10000 + i * 137 % 90000}')
    files = {'u.data': [f'{user + 1}\t{film + 1}\t{stars}\t{second}'
                        for user, film, stars, second in rows],
             'u.item': films, 'u.user': users, 'u.occupation': JOBS,
             'u.genre': [f'{genre}|{i}' for i, genre in enumerate(GENRES)] + [''],
             'u.info': [f'{n} users', f'{n} items', f'{len(rows)} ratings']}
    return pack.zip_stored({'ml-100k/README': README.encode('ascii'), **{
        f'ml-100k/{file}': ('\n'.join(lines) + '\n').encode('ascii')
        for file, lines in files.items()}})
