# %% [markdown] data=["ctr"] needs=["15.2"]
# # 15.8 Feature-Rich Recommender Systems
#
# Beyond who chose what there are features: of users, of items, of the moment.
# Advertisements, and whether they were clicked.
#
# In advertising there are dozens of features, each with many values. Look at
# the fields and the number of values of each, which the next two sections
# turn into vectors.

# %%
from collections import defaultdict
import d2l
from mxnet import gluon, np

# %% [markdown]
# ## 15.8.1 An Online Advertising Dataset
#
# A line an advertisement shown: 1 or 0 for clicked or not, then 34 features,
# all of them categories, their meaning not disclosed.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['ctr'] = (d2l.DATA_URL + 'ctr.zip',
                       'e18327c48c8e8e5c23da714dd614e390d369843f')

data_dir = d2l.download_extract('ctr')

# %% [markdown]
# ## 15.8.2 Dataset Wrapper
#
# Values seen fewer than four times share one number a field. The fields'
# numbers follow each other, as a single embedding layer wants them.

# %%
# Saved in the d2l package for later use
class CTRDataset(gluon.data.Dataset):
    def __init__(self, data_path, feat_mapper=None, defaults=None,
                 min_threshold=4, num_feat=34):
        self.NUM_FEATS, self.count, self.data = num_feat, 0, {}
        feat_cnts = defaultdict(lambda: defaultdict(int))
        self.feat_mapper, self.defaults = feat_mapper, defaults
        self.field_dims = np.zeros(self.NUM_FEATS, dtype=np.int64)
        with open(data_path) as f:
            for line in f:
                instance = {}
                values = line.rstrip('\n').split('\t')
                if len(values) != self.NUM_FEATS + 1:
                    continue
                label = np.float32([0, 0])
                label[int(values[0])] = 1
                instance['y'] = [np.float32(values[0])]
                for i in range(1, self.NUM_FEATS + 1):
                    feat_cnts[i][values[i]] += 1
                    instance.setdefault('x', []).append(values[i])
                self.data[self.count] = instance
                self.count = self.count + 1
        if self.feat_mapper is None and self.defaults is None:
            feat_mapper = {i: {feat for feat, c in cnt.items() if c >=
                               min_threshold} for i, cnt in feat_cnts.items()}
            self.feat_mapper = {i: {feat: idx for idx, feat in enumerate(cnt)}
                                for i, cnt in feat_mapper.items()}
            self.defaults = {i: len(cnt) for i, cnt in feat_mapper.items()}
        for i, fm in self.feat_mapper.items():
            self.field_dims[i - 1] = len(fm) + 1
        self.offsets = np.array((0, *np.cumsum(self.field_dims).asnumpy()
                                 [:-1]))

    def __len__(self):
        return self.count

    def __getitem__(self, idx):
        feat = np.array([self.feat_mapper[i + 1].get(v, self.defaults[i + 1])
                         for i, v in enumerate(self.data[idx]['x'])])
        return feat + self.offsets, self.data[idx]['y']

# %% [markdown]
# The first line: a number for each field, and the label.

# %%
train_data = CTRDataset(data_path=data_dir + "train.csv")
train_data[0]
