# %% [markdown] data=["SNLI"] needs=["14.8"]
# # 14.11 Natural Language Inference and the Dataset
#
# Pairs of sentences: does the second follow from the first, contradict it, or
# neither?
#
# Whether one sentence follows from another needs a pair as input. Look at the
# three classes, which are about equally frequent, and at the two arrays of a
# minibatch.

# %% [markdown]
# ## 14.11.1 Natural Language Inference
#
# No listings here: the first sentence is called the premise, the second the
# hypothesis, and the three answers are entailment, contradiction and neutral.

# %% [markdown]
# ## 14.11.2 The Stanford Natural Language Inference (SNLI) Dataset
#
# More than half a million pairs, written and judged by people.

# %%
import collections
import d2l
from mxnet import gluon, np, npx
import os
import re
import zipfile

npx.set_np()

# Saved in the d2l package for later use
d2l.DATA_HUB['SNLI'] = (
    'https://nlp.stanford.edu/projects/snli/snli_1.0.zip',
    '9fcde07509c7e87ec61c640c1b2753d9041758e4')

data_dir = d2l.download_extract('SNLI')

# %% [markdown]
# ### Reading the Dataset
#
# Of the many columns only three are used: the judgement and the two
# sentences, cut into words and stripped of the brackets that mark their
# grammar.

# %%
# Saved in the d2l package for later use
def read_snli(data_dir, is_train):
    """Read the SNLI dataset into premises, hypotheses, and labels."""
    def extract_text(s):
        # Remove information that will not be used by us
        s = re.sub('\(', '', s)
        s = re.sub('\)', '', s)
        # Substitute two or more consecutive whitespace with space
        s = re.sub('\s{2,}', ' ', s)
        return s.strip()
    label_set = {'entailment': 0, 'contradiction': 1, 'neutral': 2}
    file_name = (data_dir + 'snli_1.0_'+ ('train' if is_train else 'test')
                 + '.txt')
    with open(file_name, 'r') as f:
        rows = [row.split('\t') for row in f.readlines()[1:]]
    premises = [extract_text(row[1]) for row in rows if row[0] in label_set]
    hypotheses = [extract_text(row[2]) for row in rows if row[0] in label_set]
    labels = [label_set[row[0]] for row in rows if row[0] in label_set]
    return premises, hypotheses, labels

# %% [markdown]
# The first three pairs.

# %%
train_data = read_snli(data_dir, is_train=True)
for x0, x1, y in zip(train_data[0][:3], train_data[1][:3], train_data[2][:3]):
    print('premise:', x0)
    print('hypothesis:', x1)
    print('label:', y)

# %% [markdown]
# The three answers are equally frequent.

# %%
test_data = read_snli(data_dir, is_train=False)
for data in [train_data, test_data]:
    print([[row for row in data[2]].count(i) for i in range(3)])

# %% [markdown]
# ### Defining a Class for Loading the Dataset
#
# Sentences become rows of the same length; the test set uses the vocabulary
# of the training set.

# %%
# Saved in the d2l package for later use
class SNLIDataset(gluon.data.Dataset):
    """A customized dataset to load the SNLI dataset."""
    def __init__(self, dataset, num_steps, vocab=None):
        self.num_steps = num_steps
        p_tokens = d2l.tokenize(dataset[0])
        h_tokens = d2l.tokenize(dataset[1])
        if vocab is None:
            self.vocab = d2l.Vocab(p_tokens + h_tokens, min_freq=5,
                                   reserved_tokens=['<pad>'])
        else:
            self.vocab = vocab
        self.premises = self.pad(p_tokens)
        self.hypotheses = self.pad(h_tokens)
        self.labels = np.array(dataset[2])
        print('read ' + str(len(self.premises)) + ' examples')

    def pad(self, lines):
        return np.array([d2l.trim_pad(self.vocab[line], self.num_steps,
                                      self.vocab['<pad>']) for line in lines])

    def __getitem__(self, idx):
        return (self.premises[idx], self.hypotheses[idx]), self.labels[idx]

    def __len__(self):
        return len(self.premises)

# %% [markdown]
# ### Putting All Things Together
#
# What the next section calls.

# %%
# Saved in the d2l package for later use
def load_data_snli(batch_size, num_steps=50):
    """Download the SNLI dataset and return data iterators and vocabulary."""
    data_dir = d2l.download_extract('SNLI')
    train_data = read_snli(data_dir, True)
    test_data = read_snli(data_dir, False)
    train_set = SNLIDataset(train_data, num_steps)
    test_set = SNLIDataset(test_data, num_steps, train_set.vocab)
    train_iter = gluon.data.DataLoader(train_set, batch_size, shuffle=True)
    test_iter = gluon.data.DataLoader(test_set, batch_size, shuffle=False)
    return train_iter, test_iter, train_set.vocab

# %% [markdown]
# 128 pairs a minibatch, 50 words a sentence.

# %%
train_iter, test_iter, vocab = load_data_snli(128, 50)
len(vocab)

# %% [markdown]
# A minibatch holds two arrays of sentences and one of labels.

# %%
for X, Y in train_iter:
    print(X[0].shape)
    print(X[1].shape)
    print(Y.shape)
    break
