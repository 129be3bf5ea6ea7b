# %% [markdown] data=["time_machine"] needs=["8.2"]
# # 8.3 Language Models and the Dataset
#
# What counting words can tell about a text and where it fails, and two ways
# to cut a long text into minibatches for a recurrent network.
#
# A recurrent network sees its text in these minibatches. Look at how the
# frequencies fall along nearly straight lines when both axes are logarithmic,
# and at how `Y` is `X` moved on by one token.

# %% [markdown]
# ## 8.3.1 Estimating a Language Model
#
# No listings here: the book factors the probability of a text into that of
# each word given those before it, and smooths the counts of rare words.

# %% [markdown]
# ## 8.3.2 Markov Models and $n$-grams
#
# No listings here either: unigram, bigram and trigram models forget all but
# the last zero, one or two words.

# %% [markdown]
# ## 8.3.3 Natural Language Statistics
#
# The most frequent words of the text say next to nothing about it.

# %%
import d2l
from mxnet import np, npx
import random
npx.set_np()

tokens = d2l.tokenize(d2l.read_time_machine())
vocab = d2l.Vocab(tokens)
print(vocab.token_freqs[:10])

# %% [markdown]
# Frequency against rank is nearly a straight line when both axes are
# logarithmic: Zipf's law.

# %%
freqs = [freq for token, freq in vocab.token_freqs]
d2l.plot(freqs, xlabel='token: x', ylabel='frequency: n(x)',
         xscale='log', yscale='log')

# %% [markdown]
# The most frequent pairs of neighbours ...

# %%
bigram_tokens = [[pair for pair in zip(
    line[:-1], line[1:])] for line in tokens]
bigram_vocab = d2l.Vocab(bigram_tokens)
print(bigram_vocab.token_freqs[:10])

# %% [markdown]
# ... and triples.

# %%
trigram_tokens = [[triple for triple in zip(line[:-2], line[1:-1], line[2:])]
                  for line in tokens]
trigram_vocab = d2l.Vocab(trigram_tokens)
print(trigram_vocab.token_freqs[:10])

# %% [markdown]
# Pairs and triples follow Zipf's law too, and most of them occur once.

# %%
bigram_freqs = [freq for token, freq in bigram_vocab.token_freqs]
trigram_freqs = [freq for token, freq in trigram_vocab.token_freqs]
d2l.plot([freqs, bigram_freqs, trigram_freqs], xlabel='token',
         ylabel='frequency', xscale='log', yscale='log',
         legend=['unigram', 'bigram', 'trigram'])

# %% [markdown]
# ## 8.3.4 Training Data Preparation
#
# The text is cut into pieces of `num_steps` tokens from a random offset on.
# The label of each token is the one after it.

# %% [markdown]
# ### Random Sampling
#
# The pieces come in random order: neighbours in the text fall into unrelated
# minibatches.

# %%
# Saved in the d2l package for later use
def seq_data_iter_random(corpus, batch_size, num_steps):
    # Offset the iterator over the data for uniform starts
    corpus = corpus[random.randint(0, num_steps):]
    # Subtract 1 extra since we need to account for label
    num_examples = ((len(corpus) - 1) // num_steps)
    example_indices = list(range(0, num_examples * num_steps, num_steps))
    random.shuffle(example_indices)

    def data(pos):
        # This returns a sequence of the length num_steps starting from pos
        return corpus[pos: pos + num_steps]

    # Discard half empty batches
    num_batches = num_examples // batch_size
    for i in range(0, batch_size * num_batches, batch_size):
        # Batch_size indicates the random examples read each time
        batch_indices = example_indices[i:(i+batch_size)]
        X = [data(j) for j in batch_indices]
        Y = [data(j + 1) for j in batch_indices]
        yield np.array(X), np.array(Y)

# %% [markdown]
# On the numbers 0 to 29 one sees what it does.

# %%
my_seq = list(range(30))
for X, Y in seq_data_iter_random(my_seq, batch_size=2, num_steps=6):
    print('X: ', X, '\nY:', Y)

# %% [markdown]
# ### Sequential Partitioning
#
# Here row `i` of a minibatch goes on where row `i` of the one before ended,
# so that a network's state can be carried over.

# %%
# Saved in the d2l package for later use
def seq_data_iter_consecutive(corpus, batch_size, num_steps):
    # Offset for the iterator over the data for uniform starts
    offset = random.randint(0, num_steps)
    # Slice out data - ignore num_steps and just wrap around
    num_indices = ((len(corpus) - offset - 1) // batch_size) * batch_size
    Xs = np.array(corpus[offset:offset+num_indices])
    Ys = np.array(corpus[offset+1:offset+1+num_indices])
    Xs, Ys = Xs.reshape(batch_size, -1), Ys.reshape(batch_size, -1)
    num_batches = Xs.shape[1] // num_steps
    for i in range(0, num_batches * num_steps, num_steps):
        X = Xs[:, i:(i+num_steps)]
        Y = Ys[:, i:(i+num_steps)]
        yield X, Y

# %% [markdown]
# The same numbers again, in order now.

# %%
for X, Y in seq_data_iter_consecutive(my_seq, batch_size=2, num_steps=6):
    print('X: ', X, '\nY:', Y)

# %% [markdown]
# A class holds the corpus and starts one of the two generators each time it
# is iterated over.

# %%
# Saved in the d2l package for later use
class SeqDataLoader(object):
    """A iterator to load sequence data."""
    def __init__(self, batch_size, num_steps, use_random_iter, max_tokens):
        if use_random_iter:
            self.data_iter_fn = d2l.seq_data_iter_random
        else:
            self.data_iter_fn = d2l.seq_data_iter_consecutive
        self.corpus, self.vocab = d2l.load_corpus_time_machine(max_tokens)
        self.batch_size, self.num_steps = batch_size, num_steps

    def __iter__(self):
        return self.data_iter_fn(self.corpus, self.batch_size, self.num_steps)

# %% [markdown]
# What the coming sections call.

# %%
# Saved in the d2l package for later use
def load_data_time_machine(batch_size, num_steps, use_random_iter=False,
                           max_tokens=10000):
    data_iter = SeqDataLoader(
        batch_size, num_steps, use_random_iter, max_tokens)
    return data_iter, data_iter.vocab
