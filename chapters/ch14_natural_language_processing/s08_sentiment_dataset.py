# %% [markdown] data=["aclImdb"] needs=["8.2"]
# # 14.8 Sentiment Analysis and the Dataset
#
# Reviews of films, and whether they praise or pan.
#
# Reviews and whether their writer was content: the data of the next two
# sections. Look at the lengths, which the histogram shows and which are cut
# or padded to one, and at the shape of a minibatch.

# %%
import d2l
from mxnet import gluon, np, npx
import os
npx.set_np()

# %% [markdown]
# ## 14.8.1 The Sentiment Analysis Dataset
#
# Stanford's Large Movie Review Dataset: a text file a review, in folders that
# tell what it says.

# %% [markdown]
# ### Reading the Dataset
#
# The archive is fetched and unpacked once.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['aclImdb'] = (
    'http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz',
    '01ada507287d82875905620988597833ad4e0903')

data_dir = d2l.download_extract('aclImdb', 'aclImdb')

# %% [markdown]
# Label 1 means positive, 0 negative.

# %%
# Saved in the d2l package for later use
def read_imdb(data_dir, is_train):
    data, labels = [], []
    for label in ['pos/', 'neg/']:
        folder_name = data_dir + ('train/' if is_train else 'test/') + label
        for file in os.listdir(folder_name):
            with open(folder_name + file, 'rb') as f:
                review = f.read().decode('utf-8').replace('\n', '')
                data.append(review)
                labels.append(1 if label == 'pos/' else 0)
    return data, labels

train_data = read_imdb(data_dir, is_train=True)
print('# trainings:', len(train_data[0]))
for x, y in zip(train_data[0][:3], train_data[1][:3]):
    print('label:', y, 'review:', x[0:60])

# %% [markdown]
# ### Tokenization and Vocabulary
#
# Most reviews have fewer than 500 words.

# %%
train_tokens = d2l.tokenize(train_data[0], token='word')
vocab = d2l.Vocab(train_tokens, min_freq=5)

d2l.set_figsize((3.5, 2.5))
d2l.plt.hist([len(line) for line in train_tokens], bins=range(0, 1000, 50));

# %% [markdown]
# ### Padding to the Same Length
#
# Longer reviews are cut, shorter ones filled up with `<unk>`.

# %%
num_steps = 500  # sequence length
train_features = np.array([d2l.trim_pad(vocab[line], num_steps, vocab.unk)
                           for line in train_tokens])
train_features.shape

# %% [markdown]
# ### Creating the Data Iterator
#
# Minibatches of word numbers and labels.

# %%
train_iter = d2l.load_array((train_features, train_data[1]), 64)

for X, y in train_iter:
    print('X', X.shape, 'y', y.shape)
    break
'# batches:', len(train_iter)

# %% [markdown]
# ## 14.8.2 Putting All Things Together
#
# What the next two sections call.

# %%
# Saved in the d2l package for later use
def load_data_imdb(batch_size, num_steps=500):
    data_dir = d2l.download_extract('aclImdb', 'aclImdb')
    train_data = read_imdb(data_dir, True)
    test_data = read_imdb(data_dir, False)
    train_tokens = d2l.tokenize(train_data[0], token='word')
    test_tokens = d2l.tokenize(test_data[0], token='word')
    vocab = d2l.Vocab(train_tokens, min_freq=5)
    train_features = np.array([d2l.trim_pad(vocab[line], num_steps, vocab.unk)
                               for line in train_tokens])
    test_features = np.array([d2l.trim_pad(vocab[line], num_steps, vocab.unk)
                              for line in test_tokens])
    train_iter = d2l.load_array((train_features, train_data[1]), batch_size)
    test_iter = d2l.load_array((test_features, test_data[1]), batch_size,
                               is_train=False)
    return train_iter, test_iter, vocab
