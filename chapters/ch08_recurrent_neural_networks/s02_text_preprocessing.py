# %% [markdown] data=["time_machine"] needs=["2.2"]
# # 8.2 Text Preprocessing
#
# From a text file to a list of integers: read the lines, split them into
# tokens, number the tokens.
#
# Every network for text begins with these few functions. Look at the most
# frequent tokens, and at how a line of text becomes a list of indices and
# back.

# %% [markdown]
# ## 8.2.1 Reading the Dataset
#
# The text is *The Time Machine* by H. G. Wells. Whatever is not a letter
# becomes a space, and capitals are lowered.

# %%
import collections
import d2l
import re

# Saved in the d2l package for later use
d2l.DATA_HUB['time_machine'] = (d2l.DATA_URL + 'timemachine.txt',
                                '090b5e7e70c295757f55df93cb0a180b9691891a')

# Saved in the d2l package for later use
def read_time_machine():
    """Load the time machine book into a list of sentences."""
    with open(d2l.download('time_machine'), 'r') as f:
        lines = f.readlines()
    return [re.sub('[^A-Za-z]+', ' ', line.strip().lower())
            for line in lines]

lines = read_time_machine()
'# sentences %d' % len(lines)

# %% [markdown]
# ## 8.2.2 Tokenization
#
# A token is a word, or a single character.

# %%
# Saved in the d2l package for later use
def tokenize(lines, token='word'):
    """Split sentences into word or char tokens."""
    if token == 'word':
        return [line.split(' ') for line in lines]
    elif token == 'char':
        return [list(line) for line in lines]
    else:
        print('ERROR: unknown token type '+token)

tokens = tokenize(lines)
tokens[0:2]

# %% [markdown]
# ## 8.2.3 Vocabulary
#
# `Vocab` numbers tokens, the most frequent first; number 0 stands for every
# token that it does not know.

# %%
# Saved in the d2l package for later use
class Vocab(object):
    def __init__(self, tokens, min_freq=0, reserved_tokens=[]):
        # Sort according to frequencies
        counter = count_corpus(tokens)
        self.token_freqs = sorted(counter.items(), key=lambda x: x[0])
        self.token_freqs.sort(key=lambda x: x[1], reverse=True)
        self.unk, uniq_tokens = 0, ['<unk>'] + reserved_tokens
        uniq_tokens += [token for token, freq in self.token_freqs
                        if freq >= min_freq and token not in uniq_tokens]
        self.idx_to_token, self.token_to_idx = [], dict()
        for token in uniq_tokens:
            self.idx_to_token.append(token)
            self.token_to_idx[token] = len(self.idx_to_token) - 1

    def __len__(self):
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        if not isinstance(tokens, (list, tuple)):
            return self.token_to_idx.get(tokens, self.unk)
        return [self.__getitem__(token) for token in tokens]

    def to_tokens(self, indices):
        if not isinstance(indices, (list, tuple)):
            return self.idx_to_token[indices]
        return [self.idx_to_token[index] for index in indices]

# Saved in the d2l package for later use
def count_corpus(sentences):
    # Flatten a list of token lists into a list of tokens
    tokens = [tk for line in sentences for tk in line]
    return collections.Counter(tokens)

# %% [markdown]
# The ten words with the lowest numbers.

# %%
vocab = Vocab(tokens)
print(list(vocab.token_to_idx.items())[0:10])

# %% [markdown]
# Two lines of the text, as words and as numbers.

# %%
for i in range(8, 10):
    print('words:', tokens[i])
    print('indices:', vocab[tokens[i]])

# %% [markdown]
# ## 8.2.4 Putting All Things Together
#
# The language models of this chapter and the next work on characters, and see
# the whole text as one list.

# %%
# Saved in the d2l package for later use
def load_corpus_time_machine(max_tokens=-1):
    lines = read_time_machine()
    tokens = tokenize(lines, 'char')
    vocab = Vocab(tokens)
    corpus = [vocab[tk] for line in tokens for tk in line]
    if max_tokens > 0:
        corpus = corpus[:max_tokens]
    return corpus, vocab

corpus, vocab = load_corpus_time_machine()
len(corpus), len(vocab)
