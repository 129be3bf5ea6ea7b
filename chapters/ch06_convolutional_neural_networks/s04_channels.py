# %% [markdown] needs=["6.2"]
# # 6.4 Multiple Input and Output Channels
#
# Images and hidden layers have several channels. The kernel grows with them:
# an axis for the input channels and one for the output channels.
#
# Colour pictures have three channels, and hidden layers have hundreds. Look
# at how the shape of the kernel grows by an axis each time, and at the last
# comparison, where a convolution of size 1 is a matrix product.

# %% [markdown]
# ## 6.4.1 Multiple Input Channels
#
# Each channel is correlated with its own kernel, and the results are added.

# %%
import d2l
from mxnet import np, npx
npx.set_np()

def corr2d_multi_in(X, K):
    # First, traverse along the 0th dimension (channel dimension) of X and K.
    # Then, add them together by using * to turn the result list into a
    # positional argument of the add_n function
    return sum(d2l.corr2d(x, k) for x, k in zip(X, K))

# %% [markdown]
# Two input channels and one output channel:

# %%
X = np.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]],
              [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
K = np.array([[[0, 1], [2, 3]], [[1, 2], [3, 4]]])

corr2d_multi_in(X, K)

# %% [markdown]
# ## 6.4.2 Multiple Output Channels
#
# Each output channel has a kernel of its own for all input channels; the
# outputs are stacked.

# %%
def corr2d_multi_in_out(X, K):
    # Traverse along the 0th dimension of K, and each time, perform
    # cross-correlation operations with input X. All of the results are merged
    # together using the stack function
    return np.stack([corr2d_multi_in(X, k) for k in K])

# %% [markdown]
# A kernel with three output channels, two input channels and a window of 2 x
# 2:

# %%
K = np.stack((K, K + 1, K + 2))
K.shape

# %% [markdown]
# The first output channel is the result from above.

# %%
corr2d_multi_in_out(X, K)

# %% [markdown]
# ## 6.4.3 $1 \times 1$ Convolutional Layer
#
# With a window of one pixel only the channels are mixed, the same way at each
# pixel: a matrix product.

# %%
def corr2d_multi_in_out_1x1(X, K):
    c_i, h, w = X.shape
    c_o = K.shape[0]
    X = X.reshape(c_i, h * w)
    K = K.reshape(c_o, c_i)
    Y = np.dot(K, X)  # Matrix multiplication in the fully connected layer
    return Y.reshape(c_o, h, w)

# %% [markdown]
# Both ways of computing it agree.

# %%
X = np.random.uniform(size=(3, 3, 3))
K = np.random.uniform(size=(2, 3, 1, 1))

Y1 = corr2d_multi_in_out_1x1(X, K)
Y2 = corr2d_multi_in_out(X, K)

np.abs(Y1 - Y2).sum() < 1e-6
