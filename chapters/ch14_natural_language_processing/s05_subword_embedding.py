# %% [markdown] needs=["14.4"]
# # 14.5 Subword Embedding
#
# Words share parts: stems, endings, compounds. Vectors for the parts give
# vectors for words never seen.
#
# Vectors for parts of words can serve words that were never seen. Look at the
# pieces after so many merges, and at how new words are cut into them.

# %% [markdown]
# ## 14.5.1 fastText
#
# No listings here: a word's vector is the sum of the vectors of its character
# n-grams.

# %% [markdown]
# ## 14.5.2 Byte Pair Encoding
#
# Learns which parts to use. It starts from single characters, the end of a
# word, and a symbol for anything unknown.

# %%
import collections

symbols = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
           'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
           '_', '[UNK]']

# %% [markdown]
# Words with their counts, their symbols separated by spaces.

# %%
raw_token_freqs = {'fast_': 4, 'faster_': 3, 'tall_': 5, 'taller_': 4}
token_freqs = {}
for token, freq in raw_token_freqs.items():
    token_freqs[' '.join(list(token))] = raw_token_freqs[token]
token_freqs

# %% [markdown]
# The pair of neighbours that occurs most often ...

# %%
def get_max_freq_pair(token_freqs):
    pairs = collections.defaultdict(int)
    for token, freq in token_freqs.items():
        symbols = token.split()
        for i in range(len(symbols) - 1):
            # Key of pairs is a tuple of two consecutive symbols
            pairs[symbols[i], symbols[i + 1]] += freq
    return max(pairs, key=pairs.get)  # Key of pairs with the max value

# %% [markdown]
# ... becomes a symbol of its own.

# %%
def merge_symbols(max_freq_pair, token_freqs, symbols):
    symbols.append(''.join(max_freq_pair))
    new_token_freqs = dict()
    for token, freq in token_freqs.items():
        new_token = token.replace(' '.join(max_freq_pair),
                                  ''.join(max_freq_pair))
        new_token_freqs[new_token] = token_freqs[token]
    return new_token_freqs

# %% [markdown]
# Ten times over.

# %%
num_merges = 10
for i in range(num_merges):
    max_freq_pair = get_max_freq_pair(token_freqs)
    token_freqs = merge_symbols(max_freq_pair, token_freqs, symbols)
    print("merge #%d:" % (i + 1), max_freq_pair)

# %% [markdown]
# The ten new symbols stand at the end.

# %%
print(symbols)

# %% [markdown]
# The words, cut into symbols.

# %%
print(list(token_freqs.keys()))

# %% [markdown]
# Other words can be cut with the same symbols, greedily, the longest symbol
# first.

# %%
def segment_BPE(tokens, symbols):
    outputs = []
    for token in tokens:
        start, end = 0, len(token)
        cur_output = []
        # Segment token with the longest possible subwords from symbols
        while start < len(token) and start < end:
            if token[start: end] in symbols:
                cur_output.append(token[start: end])
                start = end
                end = len(token)
            else:
                end -= 1
        if start < len(token):
            cur_output.append('[UNK]')
        outputs.append(' '.join(cur_output))
    return outputs

# %% [markdown]
# The endings are found again, though neither word was seen before.

# %%
tokens = ['tallest_', 'fatter_']
print(segment_BPE(tokens, symbols))
