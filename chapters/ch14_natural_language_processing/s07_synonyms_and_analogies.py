# %% [markdown] data=["glove"] needs=["14.4"]
# # 14.7 Finding Synonyms and Analogies
#
# Word vectors trained by others on billions of words, and two questions they
# can answer.
#
# Somebody else trained on far more text, and the vectors are a file to load.
# Look at the nearest words and the analogies; stand-ins of sample data
# contain some of both, by construction.

# %% [markdown]
# ## 14.7.1 Using Pre-Trained Word Vectors
#
# MXNet knows two families of them.

# %%
from mxnet import np, npx
from mxnet.contrib import text
npx.set_np()

text.embedding.get_pretrained_file_names().keys()

# %% [markdown]
# The files of one family: which text, how many words, how long the vectors.

# %%
print(text.embedding.get_pretrained_file_names('glove'))

# %% [markdown]
# The smallest; it is fetched when first asked for.

# %%
glove_6b50d = text.embedding.create(
    'glove', pretrained_file_name='glove.6B.50d.txt')

# %% [markdown]
# The number of words, the unknown one included.

# %%
len(glove_6b50d)

# %% [markdown]
# From word to number and back.

# %%
glove_6b50d.token_to_idx['beautiful'], glove_6b50d.idx_to_token[3367]

# %% [markdown]
# ## 14.7.2 Applying Pre-Trained Word Vectors
#
# Near means a small angle between two vectors.

# %% [markdown]
# ### Finding Synonyms
#
# The `k` rows of a matrix that point most nearly where a vector points.

# %%
def knn(W, x, k):
    # The added 1e-9 is for numerical stability
    cos = np.dot(W, x.reshape(-1,)) / (
        np.sqrt(np.sum(W * W, axis=1) + 1e-9) * np.sqrt((x * x).sum()))
    topk = npx.topk(cos, k=k, ret_typ='indices')
    return topk, [cos[int(i)] for i in topk]

# %% [markdown]
# The nearest word is the word itself, so one more is asked for.

# %%
def get_similar_tokens(query_token, k, embed):
    topk, cos = knn(embed.idx_to_vec,
                    embed.get_vecs_by_tokens([query_token]), k+1)
    for i, c in zip(topk[1:], cos[1:]):  # Remove input words
        print('cosine sim=%.3f: %s' % (c, (embed.idx_to_token[int(i)])))

# %% [markdown]
# Three examples.

# %%
get_similar_tokens('chip', 3, glove_6b50d)

# %%
get_similar_tokens('baby', 3, glove_6b50d)

# %%
get_similar_tokens('beautiful', 3, glove_6b50d)

# %% [markdown]
# ### Finding Analogies
#
# What has to be added to `a` to reach `b`, added to `c`.

# %%
def get_analogy(token_a, token_b, token_c, embed):
    vecs = embed.get_vecs_by_tokens([token_a, token_b, token_c])
    x = vecs[1] - vecs[0] + vecs[2]
    topk, cos = knn(embed.idx_to_vec, x, 1)
    return embed.idx_to_token[int(topk[0])]  # Remove unknown words

# %% [markdown]
# Man and woman ...

# %%
get_analogy('man', 'woman', 'son', glove_6b50d)

# %% [markdown]
# ... a capital and its country ...

# %%
get_analogy('beijing', 'china', 'tokyo', glove_6b50d)

# %% [markdown]
# ... an adjective and its superlative ...

# %%
get_analogy('bad', 'worst', 'big', glove_6b50d)

# %% [markdown]
# ... a verb and its past.

# %%
get_analogy('do', 'did', 'go', glove_6b50d)
