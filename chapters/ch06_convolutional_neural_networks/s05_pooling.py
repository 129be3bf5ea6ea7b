# %% [markdown] needs=["6.3", "6.4"]
# # 6.5 Pooling
#
# Pooling summarizes a window by one number. It makes the output smaller and
# less sensitive to where exactly something is.
#
# After a convolution has found something, pooling makes it matter less where.
# Look at the maximum and the mean of the same window, and at the number of
# channels, which pooling leaves alone.

# %% [markdown]
# ## 6.5.1 Maximum Pooling and Average Pooling
#
# As in 6.2 a window slides over the input; there is no kernel, only a maximum
# or a mean.

# %%
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

def pool2d(X, pool_size, mode='max'):
    p_h, p_w = pool_size
    Y = np.zeros((X.shape[0] - p_h + 1, X.shape[1] - p_w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            if mode == 'max':
                Y[i, j] = np.max(X[i: i + p_h, j: j + p_w])
            elif mode == 'avg':
                Y[i, j] = X[i: i + p_h, j: j + p_w].mean()
    return Y

# %% [markdown]
# Largest values of the four 2 x 2 windows:

# %%
X = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
pool2d(X, (2, 2))

# %% [markdown]
# Their means:

# %%
pool2d(X, (2, 2), 'avg')

# %% [markdown]
# ## 6.5.2 Padding and Stride
#
# An input for Gluon's pooling layers: one example with one channel.

# %%
X = np.arange(16).reshape(1, 1, 4, 4)
X

# %% [markdown]
# Without further arguments the window moves by its own size.

# %%
pool2d = nn.MaxPool2D(3)
# Because there are no model parameters in the pooling layer, we do not need
# to call the parameter initialization function
pool2d(X)

# %% [markdown]
# Stride and padding can be given ...

# %%
pool2d = nn.MaxPool2D(3, padding=1, strides=2)
pool2d(X)

# %% [markdown]
# ... also for height and width apart.

# %%
pool2d = nn.MaxPool2D((2, 3), padding=(1, 2), strides=(2, 3))
pool2d(X)

# %% [markdown]
# ## 6.5.3 Multiple Channels
#
# A second channel beside the first.

# %%
X = np.concatenate((X, X + 1), axis=1)
X

# %% [markdown]
# Channels are pooled one by one, so there are as many as before.

# %%
pool2d = nn.MaxPool2D(3, padding=1, strides=2)
pool2d(X)
