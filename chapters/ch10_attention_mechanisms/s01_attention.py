# %% [markdown] needs=["9.7"]
# # 10.1 Attention Mechanisms
#
# An attention layer answers a query with an average of its values, weighted
# by how well each value's key fits the query.
#
# Attention is the part that the Transformer is made of. Look at the weights
# of the keys beyond the valid length: they are zero, so the result is the
# mean of what is left.

# %%
import math
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

# %% [markdown]
# A softmax that gives no weight to padding.

# %%
# Saved in the d2l package for later use
def masked_softmax(X, valid_length):
    # X: 3-D tensor, valid_length: 1-D or 2-D tensor
    if valid_length is None:
        return npx.softmax(X)
    else:
        shape = X.shape
        if valid_length.ndim == 1:
            valid_length = valid_length.repeat(shape[1], axis=0)
        else:
            valid_length = valid_length.reshape(-1)
        # Fill masked elements with a large negative, whose exp is 0
        X = npx.sequence_mask(X.reshape(-1, shape[-1]), valid_length, True,
                              axis=1, value=-1e6)
        return npx.softmax(X).reshape(shape)

# %% [markdown]
# Two valid columns in the first matrix, three in the second.

# %%
masked_softmax(np.random.uniform(size=(2, 2, 4)), np.array([2, 3]))

# %% [markdown]
# `batch_dot` multiplies matrices pair by pair.

# %%
npx.batch_dot(np.ones((2, 1, 3)), np.ones((2, 3, 2)))

# %% [markdown]
# ## 10.1.1 Dot Product Attention
#
# The score of a key is its dot product with the query, divided by the root of
# their length.

# %%
# Saved in the d2l package for later use
class DotProductAttention(nn.Block):
    def __init__(self, dropout, **kwargs):
        super(DotProductAttention, self).__init__(**kwargs)
        self.dropout = nn.Dropout(dropout)

    # query: (batch_size, #queries, d)
    # key: (batch_size, #kv_pairs, d)
    # value: (batch_size, #kv_pairs, dim_v)
    # valid_length: either (batch_size, ) or (batch_size, xx)
    def forward(self, query, key, value, valid_length=None):
        d = query.shape[-1]
        # Set transpose_b=True to swap the last two dimensions of key
        scores = npx.batch_dot(query, key, transpose_b=True) / math.sqrt(d)
        attention_weights = self.dropout(masked_softmax(scores, valid_length))
        return npx.batch_dot(attention_weights, value)

# %% [markdown]
# All keys are equal, so the answer is the plain mean of the first two values,
# or six.

# %%
atten = DotProductAttention(dropout=0.5)
atten.initialize()
keys = np.ones((2, 10, 2))
values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0)
atten(np.ones((2, 1, 2)), keys, values, np.array([2, 6]))

# %% [markdown]
# ## 10.1.2 Multilayer Perceptron Attention
#
# Queries and keys of any lengths are projected to `units` numbers each, and a
# learned vector scores their sum.

# %%
# Saved in the d2l package for later use
class MLPAttention(nn.Block):
    def __init__(self, units, dropout, **kwargs):
        super(MLPAttention, self).__init__(**kwargs)
        # Use flatten=True to keep query's and key's 3-D shapes
        self.W_k = nn.Dense(units, activation='tanh',
                            use_bias=False, flatten=False)
        self.W_q = nn.Dense(units, activation='tanh',
                            use_bias=False, flatten=False)
        self.v = nn.Dense(1, use_bias=False, flatten=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, valid_length):
        query, key = self.W_k(query), self.W_q(key)
        # Expand query to (batch_size, #querys, 1, units), and key to
        # (batch_size, 1, #kv_pairs, units). Then plus them with broadcast
        features = np.expand_dims(query, axis=2) + np.expand_dims(key, axis=1)
        scores = np.squeeze(self.v(features), axis=-1)
        attention_weights = self.dropout(masked_softmax(scores, valid_length))
        return npx.batch_dot(attention_weights, value)

# %% [markdown]
# Equal keys score equally here too: the same answer.

# %%
atten = MLPAttention(units=8, dropout=0.1)
atten.initialize()
atten(np.ones((2, 1, 2)), keys, values, np.array([2, 6]))
