# %% [markdown] needs=["6.3"]
# # 13.10 Transposed Convolution
#
# A layer that makes height and width larger, as a convolution makes them
# smaller.
#
# A network that answers for each pixel has to get its size back. Look at the
# shapes: what a convolution halves, this doubles; and at the matrix, whose
# transpose gives the operation its name.

# %%
from mxnet import np, npx, init
from mxnet.gluon import nn
import d2l

npx.set_np()

# %% [markdown]
# ## 13.10.1 Basic 2D Transposed Convolution
#
# Each number of the input is spread over the output through the kernel.

# %%
def trans_conv(X, K):
    h, w = K.shape
    Y = np.zeros((X.shape[0] + h - 1, X.shape[1] + w - 1))
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            Y[i: i + h, j: j + w] += X[i, j] * K
    return Y

# %%
X = np.array([[0, 1], [2, 3]])
K = np.array([[0, 1], [2, 3]])
trans_conv(X, K)

# %% [markdown]
# The layer does the same, for (B, C, H, W).

# %%
X, K = X.reshape(1, 1, 2, 2), K.reshape(1, 1, 2, 2)
tconv = nn.Conv2DTranspose(1, kernel_size=2)
tconv.initialize(init.Constant(K))
tconv(X)

# %% [markdown]
# ## 13.10.2 Padding, Strides, and Channels
#
# Padding is taken off the output.

# %%
tconv = nn.Conv2DTranspose(1, kernel_size=2, padding=1)
tconv.initialize(init.Constant(K))
tconv(X)

# %% [markdown]
# Strides are the steps in the output.

# %%
tconv = nn.Conv2DTranspose(1, kernel_size=2, strides=2)
tconv.initialize(init.Constant(K))
tconv(X)

# %% [markdown]
# With the same numbers, it undoes what a convolution does to the shape.

# %%
X = np.random.uniform(size=(1, 10, 16, 16))
conv = nn.Conv2D(20, kernel_size=5, padding=2, strides=3)
tconv = nn.Conv2DTranspose(10, kernel_size=5, padding=2, strides=3)
conv.initialize()
tconv.initialize()
tconv(conv(X)).shape == X.shape

# %% [markdown]
# ## 13.10.3 Analogy to Matrix Transposition
#
# A convolution (6.2) ...

# %%
X = np.arange(9).reshape(3, 3)
K = np.array([[0, 1], [2, 3]])
Y = d2l.corr2d(X, K)
Y

# %% [markdown]
# ... is a product with a matrix that has the kernel in each of its rows.

# %%
def kernel2matrix(K):
    k, W = np.zeros(5), np.zeros((4, 9))
    k[:2], k[3:5] = K[0, :], K[1, :]
    W[0, :5], W[1, 1:6], W[2, 3:8], W[3, 4:] = k, k, k, k
    return W

W = kernel2matrix(K)
W

# %%
Y == np.dot(W, X.reshape(-1)).reshape(2, 2)

# %% [markdown]
# The transposed convolution is the product with the matrix transposed.

# %%
X = np.array([[0, 1], [2, 3]])
Y = trans_conv(X, K)
Y == np.dot(W.T, X.reshape(-1)).reshape(3, 3)
