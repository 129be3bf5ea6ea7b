# %% [markdown] needs=["5.4"]
# # 6.2 Convolutions for Images
#
# The operation behind a convolutional layer, on single images and by hand.
#
# This is the operation that the networks for images are made of, small enough
# here to check by hand. Look at the output beside the edges of the input, and
# at the kernel that is learned from them: it nearly is the one that made
# them.

# %% [markdown]
# ## 6.2.1 The Cross-Correlation Operator
#
# The kernel slides over the input; at each place the elementwise products are
# summed.

# %%
from mxnet import autograd, np, npx
from mxnet.gluon import nn
npx.set_np()

# Saved in the d2l package for later use
def corr2d(X, K):
    """Compute 2D cross-correlation."""
    h, w = K.shape
    Y = np.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i: i + h, j: j + w] * K).sum()
    return Y

# %% [markdown]
# A 3 x 3 input with a 2 x 2 kernel:

# %%
X = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
K = np.array([[0, 1], [2, 3]])
corr2d(X, K)

# %% [markdown]
# ## 6.2.2 Convolutional Layers
#
# A layer adds a bias to the cross-correlation; kernel and bias are its
# parameters.

# %%
class Conv2D(nn.Block):
    def __init__(self, kernel_size, **kwargs):
        super(Conv2D, self).__init__(**kwargs)
        self.weight = self.params.get('weight', shape=kernel_size)
        self.bias = self.params.get('bias', shape=(1,))

    def forward(self, x):
        return corr2d(x, self.weight.data()) + self.bias.data()

# %% [markdown]
# ## 6.2.3 Object Edge Detection in Images
#
# An image with a dark band in the middle, four pixels wide.

# %%
X = np.ones((6, 8))
X[:, 2:6] = 0
X

# %% [markdown]
# This kernel compares each pixel with its right neighbour.

# %%
K = np.array([[1, -1]])

# %% [markdown]
# It answers with 1 and -1 at the two borders of the band and with 0
# elsewhere.

# %%
Y = corr2d(X, K)
Y

# %% [markdown]
# With the image turned by 90 degrees it sees nothing, as it only knows
# vertical edges.

# %%
corr2d(X.T, K)

# %% [markdown]
# ## 6.2.4 Learning a Kernel
#
# Instead of inventing the kernel we learn it from the image and the edges:
# ten steps of gradient descent on the squared error.

# %%
# Construct a convolutional layer with 1 output channel
# (channels will be introduced in the following section)
# and a kernel array shape of (1, 2)
conv2d = nn.Conv2D(1, kernel_size=(1, 2))
conv2d.initialize()

# The two-dimensional convolutional layer uses four-dimensional input and
# output in the format of (example channel, height, width), where the batch
# size (number of examples in the batch) and the number of channels are both 1
X = X.reshape(1, 1, 6, 8)
Y = Y.reshape(1, 1, 6, 7)

for i in range(10):
    with autograd.record():
        Y_hat = conv2d(X)
        l = (Y_hat - Y) ** 2
    l.backward()
    # For the sake of simplicity, we ignore the bias here
    conv2d.weight.data()[:] -= 3e-2 * conv2d.weight.grad()
    if (i + 1) % 2 == 0:
        print('batch %d, loss %.3f' % (i + 1, l.sum()))

# %% [markdown]
# What was learned is close to the kernel above.

# %%
conv2d.weight.data().reshape(1, 2)

# %% [markdown]
# ## 6.2.5 Cross-Correlation and Convolution
#
# A convolution in the strict sense flips the kernel first. As kernels are
# learned, this makes no difference to what a layer can do, and the name has
# stuck.
