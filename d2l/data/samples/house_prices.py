"""A stand-in for Kaggle's house prices (4.10): 2,919 invented houses, 1,460 of them with a price.

The two files have the real ones' columns in their order, their categories (each occurs, so that
one-hot encoding gives the book's 331 features), their types, and about as many missing values. A
house has a hidden quality from which neighborhood, year, areas and grades follow with some noise;
the price is a sum over columns, with an error of up to a tenth. No row is a real house.
"""
import numpy as np

TRAIN, TEST = 1460, 1459
SEED = 410
NA = 'NA'
GRADES = ('Po', 'Fa', 'TA', 'Gd', 'Ex')

# neighborhoods from cheap to expensive; the price rises by PREMIUM from one to the next
NEIGHBORHOODS = (
    'MeadowV', 'IDOTRR', 'BrDale', 'BrkSide', 'Edwards', 'OldTown', 'Sawyer', 'Blueste', 'SWISU',
    'NPkVill', 'NAmes', 'Mitchel', 'SawyerW', 'NWAmes', 'Gilbert', 'Blmngtn', 'CollgCr',
    'Crawfor', 'ClearCr', 'Somerst', 'Veenker', 'Timber', 'StoneBr', 'NridgHt', 'NoRidge')
PREMIUM = 2500                           # dollars from one neighborhood to the next

# Categories that do not depend on the house, with their frequency in 1,000 houses. Those that are
# less frequent are placed by hand, one house each
DRAWN = {
    'MSZoning': {'RL': 790, 'RM': 150, 'FV': 45, 'RH': 10, 'C (all)': 5},
    'Street': {'Pave': 996, 'Grvl': 4},
    'Alley': {NA: 938, 'Grvl': 34, 'Pave': 28},
    'LotShape': {'Reg': 634, 'IR1': 331, 'IR2': 28, 'IR3': 7},
    'LandContour': {'Lvl': 898, 'HLS': 41, 'Bnk': 40, 'Low': 21},
    'Utilities': {'AllPub': 1000, 'NoSeWa': 0},
    'LotConfig': {'Inside': 721, 'Corner': 180, 'CulDSac': 64, 'FR2': 32, 'FR3': 3},
    'LandSlope': {'Gtl': 947, 'Mod': 45, 'Sev': 8},
    'Condition1': {'Norm': 863, 'Feedr': 55, 'Artery': 33, 'RRAn': 18, 'PosN': 13, 'RRAe': 8,
                   'PosA': 5, 'RRNn': 3, 'RRNe': 2},
    'Condition2': {'Norm': 990, 'Feedr': 5, 'Artery': 2, 'PosN': 1, 'RRNn': 1, 'PosA': 1,
                   'RRAn': 0, 'RRAe': 0},
    'BldgType': {'1Fam': 830, 'TwnhsE': 78, 'Duplex': 37, 'Twnhs': 34, '2fmCon': 21},
    'RoofStyle': {'Gable': 791, 'Hip': 189, 'Gambrel': 8, 'Flat': 7, 'Mansard': 4, 'Shed': 1},
    'RoofMatl': {'CompShg': 985, 'Tar&Grv': 8, 'WdShake': 3, 'WdShngl': 3, 'ClyTile': 0,
                 'Membran': 0, 'Metal': 0, 'Roll': 1},
    'Exterior1st': {'VinylSd': 351, 'MetalSd': 154, 'HdBoard': 151, 'Wd Sdng': 141,
                    'Plywood': 76, 'CemntBd': 43, 'BrkFace': 30, 'WdShing': 19, 'AsbShng': 15,
                    'Stucco': 15, 'BrkComm': 2, 'AsphShn': 1, 'Stone': 1, 'CBlock': 1,
                    'ImStucc': 0},
    'Exterior2nd': {'VinylSd': 347, 'MetalSd': 153, 'HdBoard': 139, 'Wd Sdng': 134,
                    'Plywood': 93, 'CmentBd': 43, 'Wd Shng': 28, 'Stucco': 16, 'BrkFace': 16,
                    'AsbShng': 13, 'Brk Cmn': 8, 'ImStucc': 5, 'Stone': 2, 'AsphShn': 1,
                    'CBlock': 1, 'Other': 1},
    'BsmtExposure': {'No': 669, 'Av': 147, 'Gd': 97, 'Mn': 87},
    'BsmtFinType2': {'Unf': 875, 'Rec': 37, 'LwQ': 31, 'BLQ': 24, 'ALQ': 18, 'GLQ': 15},
    'Heating': {'GasA': 984, 'GasW': 9, 'Grav': 3, 'Wall': 2, 'OthW': 1, 'Floor': 1},
    'Electrical': {'SBrkr': 915, 'FuseA': 64, 'FuseF': 17, 'FuseP': 3, 'Mix': 1},
    'Functional': {'Typ': 932, 'Min2': 24, 'Min1': 22, 'Mod': 12, 'Maj1': 7, 'Maj2': 3, 'Sev': 0},
    'GarageType': {'Attchd': 623, 'Detchd': 282, 'BuiltIn': 67, 'Basment': 13, '2Types': 8,
                   'CarPort': 7},
    'PavedDrive': {'Y': 905, 'N': 74, 'P': 21},
    'Fence': {NA: 804, 'MnPrv': 113, 'GdPrv': 40, 'GdWo': 38, 'MnWw': 5},
    'MiscFeature': {NA: 966, 'Shed': 32, 'Gar2': 1, 'Othr': 1, 'TenC': 0},
    'SaleType': {'WD': 866, 'New': 82, 'COD': 30, 'ConLD': 8, 'CWD': 4, 'ConLI': 3, 'ConLw': 3,
                 'Oth': 2, 'Con': 2},
    'SaleCondition': {'Normal': 823, 'Partial': 84, 'Abnorml': 65, 'Family': 16, 'Alloca': 8,
                      'AdjLand': 4},
}

# column -> numbers of missing values (in houses with a price, in the others), as in the real data
MISSING = {
    'MSZoning': (0, 4), 'LotFrontage': (259, 227), 'Utilities': (0, 2), 'Exterior1st': (0, 1),
    'Exterior2nd': (0, 1), 'MasVnrArea': (8, 15), 'MasVnrType': (8, 16), 'BsmtExposure': (1, 2),
    'BsmtFinType2': (1, 0), 'BsmtFinSF1': (0, 1), 'BsmtFinSF2': (0, 1), 'BsmtUnfSF': (0, 1),
    'TotalBsmtSF': (0, 1), 'BsmtFullBath': (0, 2), 'BsmtHalfBath': (0, 2), 'Electrical': (1, 0),
    'KitchenQual': (0, 1), 'Functional': (0, 2), 'GarageCars': (0, 1), 'GarageArea': (0, 1),
    'SaleType': (0, 1)}
NO_BASEMENT, NO_GARAGE, POOLS = (37, 42), (81, 76), (7, 3)

COLUMNS = '''Id MSSubClass MSZoning LotFrontage LotArea Street Alley LotShape LandContour Utilities
LotConfig LandSlope Neighborhood Condition1 Condition2 BldgType HouseStyle OverallQual OverallCond
YearBuilt YearRemodAdd RoofStyle RoofMatl Exterior1st Exterior2nd MasVnrType MasVnrArea ExterQual
ExterCond Foundation BsmtQual BsmtCond BsmtExposure BsmtFinType1 BsmtFinSF1 BsmtFinType2 BsmtFinSF2
BsmtUnfSF TotalBsmtSF Heating HeatingQC CentralAir Electrical 1stFlrSF 2ndFlrSF LowQualFinSF
GrLivArea BsmtFullBath BsmtHalfBath FullBath HalfBath BedroomAbvGr KitchenAbvGr KitchenQual
TotRmsAbvGrd Functional Fireplaces FireplaceQu GarageType GarageYrBlt GarageFinish GarageCars
GarageArea GarageQual GarageCond PavedDrive WoodDeckSF OpenPorchSF EnclosedPorch 3SsnPorch
ScreenPorch PoolArea PoolQC Fence MiscFeature MiscVal MoSold YrSold SaleType SaleCondition
SalePrice'''.split()


class Houses:
    """The table while it is made: {column: array of n values}."""

    def __init__(self, n):
        self.n, self.rng, self.table = n, np.random.RandomState(SEED), {}

    def integer(self, low, high):
        """Return n random integers from low to high, both included."""
        return self.rng.randint(low, high + 1, self.n, dtype=np.int32)

    def chosen(self, counts):
        """Return a random mask with counts[0] of the first TRAIN houses and counts[1] of the rest.
        """
        keys, mask = self.integer(0, 2**30), np.zeros(self.n, bool)
        mask[np.argsort(keys[:TRAIN], kind='stable')[:counts[0]]] = True
        mask[TRAIN + np.argsort(keys[TRAIN:], kind='stable')[:counts[1]]] = True
        return mask

    def spread(self, values, levels):
        """Make sure that each level occurs in `values`: give a missing one to a random house."""
        for level in levels:
            if level not in values:
                common = max(levels, key=lambda other: np.sum(values == other))
                where = np.flatnonzero(values == common)
                values[where[self.rng.randint(0, len(where), dtype=np.int32)]] = level
        return values

    def draw(self, shares):
        """Return n random categories. shares: {category: its frequency}"""
        levels, weights = list(shares), np.cumsum(list(shares.values()))
        index = np.searchsorted(weights, self.integer(0, int(weights[-1]) - 1), side='right')
        return self.spread(np.array(levels, object)[index], [v for v in levels if v != NA])

    def grade(self, levels, score, noise=12):
        """Return n categories by a score from 0 to 100 with some noise. levels: worst to best"""
        score = np.clip(score + self.integer(-noise, noise), 0, 99)
        return self.spread(np.array(levels, object)[score * len(levels) // 100], levels)

    def where_area(self, percent, low, high):
        """Return random areas from low to high for this percentage of the houses, else 0."""
        return self.integer(low, high) * (self.integer(0, 99) < percent)


def build():
    """Return the whole table, with all values as Python objects and NA for missing ones."""
    h = Houses(TRAIN + TEST)
    t = h.table
    quality = sum(h.integer(0, 25) for _ in range(4))                  # hidden, 0 to 100
    t['Id'] = np.arange(1, h.n + 1)
    for column, shares in DRAWN.items():
        t[column] = h.draw(shares)

    # The house
    t['HouseStyle'] = h.draw({'1Story': 497, '2Story': 305, '1.5Fin': 105, 'SLvl': 45,
                              'SFoyer': 25, '2.5Unf': 8, '1.5Unf': 10, '2.5Fin': 5})
    rank = np.clip((quality + h.integer(-25, 25)) * 25 // 100, 0, 24)
    t['Neighborhood'] = h.spread(np.array(NEIGHBORHOODS, object)[rank], NEIGHBORHOODS)
    rank = np.array([NEIGHBORHOODS.index(name) for name in t['Neighborhood']])
    t['OverallQual'] = np.clip((quality + h.integer(-8, 8)) * 11 // 100 + 1, 1, 10)
    t['OverallCond'] = np.clip(5 + (h.integer(0, 9) > 5) * h.integer(-3, 4), 1, 9)
    t['YrSold'], t['MoSold'] = h.integer(2006, 2010), h.integer(1, 12)
    built = 1900 + quality * 3 // 2 + h.integer(-28, 24)
    t['YearBuilt'] = np.clip(built, 1872, t['YrSold'])
    t['YearRemodAdd'] = np.clip(t['YearBuilt'] + h.integer(-40, 30),
                                np.maximum(t['YearBuilt'], 1950), 2010)
    first = 400 + quality * 12 + h.integer(0, 500)
    two = np.isin(t['HouseStyle'], ('2Story', '2.5Unf', '2.5Fin'))
    half = np.isin(t['HouseStyle'], ('1.5Fin',))
    t['1stFlrSF'] = np.where(two, first * 3 // 4, first)
    t['2ndFlrSF'] = np.where(two, first * 3 // 4 - h.integer(0, 150), half * first // 2)
    t['LowQualFinSF'] = h.where_area(2, 80, 500)
    t['GrLivArea'] = t['1stFlrSF'] + t['2ndFlrSF'] + t['LowQualFinSF']
    t['MSSubClass'] = np.where(two, np.where(t['YearBuilt'] > 1945, 60, 70),
                               np.where(half, 50, np.where(t['YearBuilt'] > 1945, 20, 30)))
    t['MSSubClass'] = np.where(t['BldgType'] == 'TwnhsE', 120, t['MSSubClass'])
    t['MSSubClass'] = np.where(t['BldgType'] == 'Duplex', 90, t['MSSubClass'])
    t['LotFrontage'] = np.clip(45 + quality // 3 + h.integer(-24, 30), 21, None)
    t['LotArea'] = t['LotFrontage'] * h.integer(90, 190)
    t['ExterQual'] = h.grade(GRADES[1:], quality * 9 // 10 + 2)
    t['ExterCond'] = h.grade(GRADES, 44 + quality // 8, 16)
    t['Foundation'] = h.draw({'PConc': 448, 'CBlock': 423, 'BrkTil': 107, 'Slab': 17, 'Stone': 4,
                              'Wood': 2})
    t['MasVnrArea'] = h.where_area(40, 30, 500)
    t['MasVnrType'] = np.where(t['MasVnrArea'] > 0, h.draw({'BrkFace': 740, 'Stone': 230,
                                                          'BrkCmn': 30}), 'None').astype(object)
    t['HeatingQC'] = h.grade(GRADES, quality + 8, 22)
    t['CentralAir'] = h.grade(('N', 'Y'), 65 + quality // 3, 40)
    t['KitchenQual'] = h.grade(GRADES[1:], quality + 2)
    t['FullBath'] = 1 + (quality + h.integer(-15, 15) > 50)
    t['HalfBath'] = (h.integer(0, 99) < 38).astype(int)
    t['BedroomAbvGr'] = np.clip(t['GrLivArea'] // 500 + h.integer(-1, 1), 1, 6)
    t['KitchenAbvGr'] = 1 + (t['BldgType'] == 'Duplex')
    t['TotRmsAbvGrd'] = t['BedroomAbvGr'] + 2 + h.integer(0, 2)
    t['Fireplaces'] = np.where(quality + h.integer(-35, 35) > 48, h.integer(1, 4) // 4 + 1, 0)
    t['FireplaceQu'] = h.grade(GRADES, quality, 25)
    t['FireplaceQu'][t['Fireplaces'] == 0] = NA

    # Basement, garage, outside
    none = h.chosen(NO_BASEMENT)
    total = np.where(none, 0, t['1stFlrSF'] - h.integer(0, 120))
    finished = np.where(h.integer(0, 99) < 68, total * h.integer(10, 90) // 100, 0)
    t['BsmtFinSF2'] = np.where(t['BsmtFinType2'] == 'Unf', 0, finished // 4)
    t['BsmtFinSF1'] = finished - t['BsmtFinSF2']
    t['BsmtUnfSF'], t['TotalBsmtSF'] = total - finished, total
    t['BsmtQual'] = h.grade(GRADES[1:], quality)
    t['BsmtCond'] = h.grade(GRADES[:4], 52 + quality // 5, 26)
    t['BsmtFinType1'] = h.draw({'GLQ': 430, 'ALQ': 220, 'BLQ': 150, 'Rec': 130, 'LwQ': 70})
    t['BsmtFinType1'][finished == 0] = 'Unf'
    for column in ('BsmtQual', 'BsmtCond', 'BsmtExposure', 'BsmtFinType1', 'BsmtFinType2'):
        t[column][none] = NA
    t['BsmtFullBath'] = np.where(finished > 300, h.integer(0, 1), 0)
    t['BsmtHalfBath'] = ((h.integer(0, 99) < 6) & ~none).astype(int)
    none = h.chosen(NO_GARAGE)
    t['GarageCars'] = np.where(none, 0, np.clip((quality + h.integer(-20, 20)) // 33 + 1, 1, 4))
    t['GarageArea'] = t['GarageCars'] * h.integer(220, 300)
    t['GarageYrBlt'] = np.clip(t['YearBuilt'] + h.integer(0, 8), None, 2010).astype(object)
    t['GarageFinish'] = h.grade(('Unf', 'RFn', 'Fin'), quality, 30)
    t['GarageQual'] = h.grade(GRADES, 50, 12)
    t['GarageCond'] = h.grade(GRADES, 50, 12)
    for column in ('GarageType', 'GarageYrBlt', 'GarageFinish', 'GarageQual', 'GarageCond'):
        t[column][none] = NA
    t['WoodDeckSF'], t['OpenPorchSF'] = h.where_area(48, 40, 400), h.where_area(55, 20, 160)
    t['EnclosedPorch'], t['3SsnPorch'] = h.where_area(14, 30, 250), h.where_area(1, 100, 300)
    t['ScreenPorch'] = h.where_area(8, 80, 300)
    pool = h.chosen(POOLS)
    t['PoolArea'] = np.where(pool, h.integer(300, 750), 0)
    t['PoolQC'] = np.full(h.n, NA, object)
    t['PoolQC'][pool] = np.resize(np.array(('Gd', 'Ex', 'Fa'), object), pool.sum())
    t['MiscVal'] = np.where(t['MiscFeature'] == NA, 0, h.integer(4, 30) * 100)
    t['SalePrice'] = price(t, rank, h)
    for column, counts in MISSING.items():
        t[column] = t[column].astype(object)
        t[column][h.chosen(counts)] = NA
    return t


def price(t, rank, h):
    """Return the prices in dollars, rounded to 500: a sum over columns of the table, with an error
    of up to a tenth."""
    grade = {level: i for i, level in enumerate(GRADES)}
    dollars = (
        -92000 + 48 * t['GrLivArea'] + 24 * t['TotalBsmtSF'] + 14 * t['BsmtFinSF1']
        + 42 * t['GarageArea'] + 5500 * t['OverallQual'] + 3000 * t['OverallCond']
        + 280 * (t['YearBuilt'] - 1900) + 150 * (t['YearRemodAdd'] - 1950) + PREMIUM * rank
        + t['LotArea'] * 3 // 5 + 5000 * t['Fireplaces'] + 4000 * t['FullBath']
        + 5000 * np.array([grade[v] for v in t['KitchenQual']])
        + 4000 * np.array([grade[v] for v in t['ExterQual']])
        + 20 * t['WoodDeckSF'] + 30 * t['ScreenPorch'] + 40 * t['PoolArea']
        + 9000 * (t['CentralAir'] == 'Y') - 12000 * (t['SaleCondition'] == 'Abnorml')
        + 16000 * (t['SaleType'] == 'New') - 15000 * (t['MSZoning'] == 'RM')
        - 25000 * (t['MSZoning'] == 'C (all)'))
    off = 1000 + h.integer(-50, 50) + h.integer(-50, 50)
    return np.clip(dollars * off // 1000 // 500 * 500, 35000, None)


def make(name, size=None):
    """Return the bytes of the file of the houses with a price (train), or of the others; size is
    ignored."""
    table = build()
    columns, rows = (COLUMNS, slice(0, TRAIN)) if 'train' in name else (COLUMNS[:-1],
                                                                        slice(TRAIN, None))
    body = zip(*(table[column][rows].tolist() for column in columns))
    lines = [','.join(columns)] + [','.join(map(str, row)) for row in body]
    return ('\n'.join(lines) + '\n').encode('ascii')
