# %% [markdown] data=["ptb"] needs=["8.2"]
# # 14.3 The Dataset for Word2vec
#
# From sentences to minibatches of centre words, their neighbours, and words
# drawn by chance that stand against the neighbours.
#
# Word vectors are learned from pairs of words, true ones and drawn ones. Look
# at how rare words stay and frequent ones are dropped, and at the shape of a
# minibatch: centre, contexts and negatives, with masks.

# %%
import d2l
import math
from mxnet import gluon, np
import random

# %% [markdown]
# ## 14.3.1 Reading and Preprocessing the Dataset
#
# Penn Tree Bank: a sentence a line, its words separated by spaces.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['ptb'] = (d2l.DATA_URL + 'ptb.zip',
                       '319d85e578af0cdc590547f26231e4e31cdf1e42')

# Saved in the d2l package for later use
def read_ptb():
    data_dir = d2l.download_extract('ptb')
    with open(data_dir + 'ptb.train.txt') as f:
        raw_text = f.read()
    return [line.split() for line in raw_text.split('\n')]

sentences = read_ptb()
'# sentences: %d' % len(sentences)

# %% [markdown]
# Words found fewer than ten times become `<unk>`.

# %%
vocab = d2l.Vocab(sentences, min_freq=10)
'vocab size: %d' % len(vocab)

# %% [markdown]
# ## 14.3.2 Subsampling
#
# The more frequent a word, the more often it is left out: it stands next to
# nearly everything and says little about its neighbours.

# %%
# Saved in the d2l package for later use
def subsampling(sentences, vocab):
    # Map low frequency words into <unk>
    sentences = [[vocab.idx_to_token[vocab[tk]] for tk in line]
                 for line in sentences]
    # Count the frequency for each word
    counter = d2l.count_corpus(sentences)
    num_tokens = sum(counter.values())

    # Return True if to keep this token during subsampling
    def keep(token):
        return(random.uniform(0, 1) <
               math.sqrt(1e-4 / counter[token] * num_tokens))

    # Now do the subsampling
    return [[tk for tk in line if keep(tk)] for line in sentences]

subsampled = subsampling(sentences, vocab)

# %% [markdown]
# Sentences get much shorter ...

# %%
d2l.set_figsize((3.5, 2.5))
d2l.plt.hist([[len(line) for line in sentences],
              [len(line) for line in subsampled]])
d2l.plt.xlabel('# tokens per sentence')
d2l.plt.ylabel('count')
d2l.plt.legend(['origin', 'subsampled']);

# %% [markdown]
# ... because most of "the" is gone ...

# %%
def compare_counts(token):
    return '# of "%s": before=%d, after=%d' % (token, sum(
        [line.count(token) for line in sentences]), sum(
        [line.count(token) for line in subsampled]))

compare_counts('the')

# %% [markdown]
# ... while a rare word stays.

# %%
compare_counts('join')

# %% [markdown]
# Numbers instead of words.

# %%
corpus = [vocab[line] for line in subsampled]
corpus[0:3]

# %% [markdown]
# ## 14.3.3 Loading the Dataset
#
# A loader needs, for each word of the text, a context, noise words, and a way
# to put examples of different lengths together.

# %% [markdown]
# ### Extracting Central Target Words and Context Words
#
# Each word is a centre once; how far its context reaches is drawn anew each
# time.

# %%
# Saved in the d2l package for later use
def get_centers_and_contexts(corpus, max_window_size):
    centers, contexts = [], []
    for line in corpus:
        # Each sentence needs at least 2 words to form a
        # "central target word - context word" pair
        if len(line) < 2:
            continue
        centers += line
        for i in range(len(line)):  # Context window centered at i
            window_size = random.randint(1, max_window_size)
            indices = list(range(max(0, i - window_size),
                                 min(len(line), i + 1 + window_size)))
            # Exclude the central target word from the context words
            indices.remove(i)
            contexts.append([line[idx] for idx in indices])
    return centers, contexts

# %% [markdown]
# Two short sentences show it.

# %%
tiny_dataset = [list(range(7)), list(range(7, 10))]
print('dataset', tiny_dataset)
for center, context in zip(*get_centers_and_contexts(tiny_dataset, 2)):
    print('center', center, 'has contexts', context)

# %% [markdown]
# The whole corpus, with contexts of up to five words to each side.

# %%
all_centers, all_contexts = get_centers_and_contexts(corpus, 5)
'# center-context pairs: %d' % len(all_centers)

# %% [markdown]
# ### Negative Sampling
#
# Drawing one number at a time is slow, so ten thousand are drawn ahead.

# %%
# Saved in the d2l package for later use
class RandomGenerator(object):
    """Draw a random int in [0, n] according to n sampling weights."""
    def __init__(self, sampling_weights):
        self.population = list(range(len(sampling_weights)))
        self.sampling_weights = sampling_weights
        self.candidates = []
        self.i = 0

    def draw(self):
        if self.i == len(self.candidates):
            self.candidates = random.choices(
                self.population, self.sampling_weights, k=10000)
            self.i = 0
        self.i += 1
        return self.candidates[self.i-1]

generator = RandomGenerator([2, 3, 4])
[generator.draw() for _ in range(10)]

# %% [markdown]
# Five noise words for each word of the context, drawn with the word's
# frequency to the power 0.75, and never a word of the context itself.

# %%
# Saved in the d2l package for later use
def get_negatives(all_contexts, corpus, K):
    counter = d2l.count_corpus(corpus)
    sampling_weights = [counter[i]**0.75 for i in range(len(counter))]
    all_negatives, generator = [], RandomGenerator(sampling_weights)
    for contexts in all_contexts:
        negatives = []
        while len(negatives) < len(contexts) * K:
            neg = generator.draw()
            # Noise words cannot be context words
            if neg not in contexts:
                negatives.append(neg)
        all_negatives.append(negatives)
    return all_negatives

all_negatives = get_negatives(all_contexts, corpus, 5)

# %% [markdown]
# ### Reading into Batches
#
# Contexts and noise words stand in one row, filled up with zeros. A mask
# marks the filling, a label tells context from noise.

# %%
# Saved in the d2l package for later use
def batchify(data):
    max_len = max(len(c) + len(n) for _, c, n in data)
    centers, contexts_negatives, masks, labels = [], [], [], []
    for center, context, negative in data:
        cur_len = len(context) + len(negative)
        centers += [center]
        contexts_negatives += [context + negative + [0] * (max_len - cur_len)]
        masks += [[1] * cur_len + [0] * (max_len - cur_len)]
        labels += [[1] * len(context) + [0] * (max_len - len(context))]
    return (np.array(centers).reshape(-1, 1), np.array(contexts_negatives),
            np.array(masks), np.array(labels))

# %% [markdown]
# Two examples, one padded.

# %%
x_1 = (1, [2, 2], [3, 3, 3, 3])
x_2 = (1, [2, 2, 2], [3, 3])
batch = batchify((x_1, x_2))

names = ['centers', 'contexts_negatives', 'masks', 'labels']
for name, data in zip(names, batch):
    print(name, '=', data)

# %% [markdown]
# ## 14.3.4 Putting All Things Together
#
# What the next section calls.

# %%
# Saved in the d2l package for later use
def load_data_ptb(batch_size, max_window_size, num_noise_words):
    sentences = read_ptb()
    vocab = d2l.Vocab(sentences, min_freq=10)
    subsampled = subsampling(sentences, vocab)
    corpus = [vocab[line] for line in subsampled]
    all_centers, all_contexts = get_centers_and_contexts(
        corpus, max_window_size)
    all_negatives = get_negatives(all_contexts, corpus, num_noise_words)
    dataset = gluon.data.ArrayDataset(
        all_centers, all_contexts, all_negatives)
    data_iter = gluon.data.DataLoader(dataset, batch_size, shuffle=True,
                                      batchify_fn=batchify)
    return data_iter, vocab

# %% [markdown]
# The shapes of a minibatch.

# %%
data_iter, vocab = load_data_ptb(512, 5, 5)
for batch in data_iter:
    for name, data in zip(names, batch):
        print(name, 'shape:', data.shape)
    break
