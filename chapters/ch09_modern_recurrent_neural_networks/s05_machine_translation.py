# %% [markdown] data=["fra-eng"] needs=["8.2"]
# # 9.5 Machine Translation and the Dataset
#
# English sentences with their French translations, from the text file to
# minibatches of padded integer arrays.
#
# Two languages have two vocabularies, and sentences have different lengths,
# so both are padded. Look at the first minibatch, its padding and its valid
# lengths; on sample data the sentences are put together from a small
# dictionary.

# %%
import d2l
from mxnet import np, npx, gluon
npx.set_np()

# %% [markdown]
# ## 9.5.1 Reading and Preprocessing the Dataset
#
# One pair a line: the English sentence, a tab, the French one.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['fra-eng'] = (d2l.DATA_URL + 'fra-eng.zip',
                           '94646ad1522d915e7b0f9296181140edcf86a4f5')

# Saved in the d2l package for later use
def read_data_nmt():
    data_dir = d2l.download_extract('fra-eng')
    with open(data_dir + 'fra.txt', 'r') as f:
        return f.read()

raw_text = read_data_nmt()
print(raw_text[0:106])

# %% [markdown]
# French typography puts a narrow unbreakable space before some marks. It
# becomes a plain one, and English gets a space there too.

# %%
# Saved in the d2l package for later use
def preprocess_nmt(text):
    text = text.replace('\u202f', ' ').replace('\xa0', ' ')

    def no_space(char, prev_char):
        return (True if char in (',', '!', '.')
                and prev_char != ' ' else False)

    out = [' '+char if i > 0 and no_space(char, text[i-1]) else char
           for i, char in enumerate(text.lower())]
    return ''.join(out)

text = preprocess_nmt(raw_text)
print(text[0:95])

# %% [markdown]
# ## 9.5.2 Tokenization
#
# Tokens are words and punctuation marks.

# %%
# Saved in the d2l package for later use
def tokenize_nmt(text, num_examples=None):
    source, target = [], []
    for i, line in enumerate(text.split('\n')):
        if num_examples and i > num_examples:
            break
        parts = line.split('\t')
        if len(parts) == 2:
            source.append(parts[0].split(' '))
            target.append(parts[1].split(' '))
    return source, target

source, target = tokenize_nmt(text)
source[0:3], target[0:3]

# %% [markdown]
# Most sentences are short.

# %%
d2l.set_figsize((3.5, 2.5))
d2l.plt.hist([[len(l) for l in source], [len(l) for l in target]],
             label=['source', 'target'])
d2l.plt.legend(loc='upper right');

# %% [markdown]
# ## 9.5.3 Vocabulary
#
# One for each language, with tokens for padding and for the beginning and the
# end of a sentence. Words found less than three times count as unknown.

# %%
src_vocab = d2l.Vocab(source, min_freq=3,
                      reserved_tokens=['<pad>', '<bos>', '<eos>'])
len(src_vocab)

# %% [markdown]
# ## 9.5.4 Loading the Dataset
#
# Every sentence of a minibatch gets the same length, by padding or cutting.

# %%
# Saved in the d2l package for later use
def trim_pad(line, num_steps, padding_token):
    if len(line) > num_steps:
        return line[:num_steps]  # Trim
    return line + [padding_token] * (num_steps - len(line))  # Pad


trim_pad(src_vocab[source[0]], 10, src_vocab['<pad>'])

# %% [markdown]
# The valid length of a sentence counts all but its padding.

# %%
# Saved in the d2l package for later use
def build_array(lines, vocab, num_steps, is_source):
    lines = [vocab[l] for l in lines]
    if not is_source:
        lines = [[vocab['<bos>']] + l + [vocab['<eos>']] for l in lines]
    array = np.array([trim_pad(l, num_steps, vocab['<pad>']) for l in lines])
    valid_len = (array != vocab['<pad>']).sum(axis=1)
    return array, valid_len

# %% [markdown]
# ## 9.5.5 Putting All Things Together
#
# Vocabularies and minibatches in one call.

# %%
# Saved in the d2l package for later use
def load_data_nmt(batch_size, num_steps, num_examples=1000):
    text = preprocess_nmt(read_data_nmt())
    source, target = tokenize_nmt(text, num_examples)
    src_vocab = d2l.Vocab(source, min_freq=3,
                          reserved_tokens=['<pad>', '<bos>', '<eos>'])
    tgt_vocab = d2l.Vocab(target, min_freq=3,
                          reserved_tokens=['<pad>', '<bos>', '<eos>'])
    src_array, src_valid_len = build_array(
        source, src_vocab, num_steps, True)
    tgt_array, tgt_valid_len = build_array(
        target, tgt_vocab, num_steps, False)
    data_arrays = (src_array, src_valid_len, tgt_array, tgt_valid_len)
    data_iter = d2l.load_array(data_arrays, batch_size)
    return src_vocab, tgt_vocab, data_iter

# %% [markdown]
# The first minibatch.

# %%
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=2, num_steps=8)
for X, X_vlen, Y, Y_vlen, in train_iter:
    print('X =', X.astype('int32'), '\nValid lengths for X =', X_vlen,
          '\nY =', Y.astype('int32'), '\nValid lengths for Y =', Y_vlen)
    break
