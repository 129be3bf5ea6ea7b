# %% [markdown] needs=["6.2"]
# # 6.3 Padding and Stride
#
# Two ways to choose the size of the output: rows and columns of zeros around
# the input, and steps of more than one pixel.
#
# Each network for images chooses these two numbers in each layer. Look only
# at the shapes: padding keeps them, strides divide them, and the formula of
# the book predicts them.

# %% [markdown]
# ## 6.3.1 Padding
#
# With a kernel of 3 x 3 and one pixel of padding on each side, the output is
# as large as the input.

# %%
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

# For convenience, we define a function to calculate the convolutional layer.
# This function initializes the convolutional layer weights and performs
# corresponding dimensionality elevations and reductions on the input and
# output
def comp_conv2d(conv2d, X):
    conv2d.initialize()
    # (1, 1) indicates that the batch size and the number of channels
    # (described in later chapters) are both 1
    X = X.reshape((1, 1) + X.shape)
    Y = conv2d(X)
    # Exclude the first two dimensions that do not interest us: batch and
    # channel
    return Y.reshape(Y.shape[2:])

# Note that here 1 row or column is padded on either side, so a total of 2
# rows or columns are added
conv2d = nn.Conv2D(1, kernel_size=3, padding=1)
X = np.random.uniform(size=(8, 8))
comp_conv2d(conv2d, X).shape

# %% [markdown]
# A kernel that is not square needs different padding for height and width.

# %%
# Here, we use a convolution kernel with a height of 5 and a width of 3. The
# padding numbers on both sides of the height and width are 2 and 1,
# respectively
conv2d = nn.Conv2D(1, kernel_size=(5, 3), padding=(2, 1))
comp_conv2d(conv2d, X).shape

# %% [markdown]
# ## 6.3.2 Stride
#
# A stride of 2 halves height and width.

# %%
conv2d = nn.Conv2D(1, kernel_size=3, padding=1, strides=2)
comp_conv2d(conv2d, X).shape

# %% [markdown]
# Kernel, padding and stride may all differ between the two axes.

# %%
conv2d = nn.Conv2D(1, kernel_size=(3, 5), padding=(0, 1), strides=(3, 4))
comp_conv2d(conv2d, X).shape
