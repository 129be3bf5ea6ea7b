# %% [markdown] data=["mnist"] needs=["17.6"]
# # 17.8 Naive Bayes
#
# A classifier made of counts alone, if one pretends that all pixels are
# independent.
#
# Look at the picture of each class that counting pixels gives, at the
# underflow, which logarithms cure, and at the accuracy, well above one in ten
# without any gradient.

# %%
# %matplotlib inline
import d2l
import math
from mxnet import gluon, np, npx
npx.set_np()
d2l.use_svg_display()

# %% [markdown]
# ## 17.8.1 Optical Character Recognition
#
# MNIST, handwritten digits of 28 x 28 pixels, each made black or white.

# %%
def transform(data, label):
    return np.floor(data.astype('float32') / 128).squeeze(axis=-1), label

mnist_train = gluon.data.vision.MNIST(train=True, transform=transform)
mnist_test = gluon.data.vision.MNIST(train=False, transform=transform)

# %% [markdown]
# One example: the image and its label.

# %%
image, label = mnist_train[2]
image.shape, label

# %% [markdown]
# The image is an array of ones and zeros, in 32-bit floats ...

# %%
image.shape, image.dtype

# %% [markdown]
# ... and the label a scalar, a 32-bit integer.

# %%
label, type(label), label.dtype

# %% [markdown]
# A slice takes several examples at once.

# %%
images, labels = mnist_train[10:38]
images.shape, labels.shape

# %% [markdown]
# Some of them:

# %%
d2l.show_images(images, 2, 9);

# %% [markdown]
# ## 17.8.2 The Probabilistic Model for Classification
#
# No listing here: choose the class that is most likely, given the pixels.

# %% [markdown]
# ## 17.8.3 The Naive Bayes Classifier
#
# No listing here: with independent pixels the likelihood is a product, and
# each factor can be counted.

# %% [markdown]
# ## 17.8.4 Training
#
# How often each digit occurs:

# %%
X, Y = mnist_train[:]  # All training examples

n_y = np.zeros((10))
for y in range(10):
    n_y[y] = (Y == y).sum()
P_y = n_y / n_y.sum()
P_y

# %% [markdown]
# And how often each pixel is on, for each digit, one added so that none is
# zero.

# %%
n_x = np.zeros((10, 28, 28))
for y in range(10):
    n_x[y] = np.array(X.asnumpy()[Y.asnumpy() == y].sum(axis=0))
P_xy = (n_x + 1) / (n_y + 1).reshape(10, 1, 1)

d2l.show_images(P_xy, 2, 5);

# %% [markdown]
# The product of 784 probabilities is too small for a float: all zeros.

# %%
def bayes_pred(x):
    x = np.expand_dims(x, axis=0)  # (28, 28) -> (1, 28, 28)
    p_xy = P_xy * x + (1 - P_xy)*(1 - x)
    p_xy = p_xy.reshape(10, -1).prod(axis=1)  # p(x|y)
    return np.array(p_xy) * P_y

image, label = mnist_test[0]
bayes_pred(image)

# %% [markdown]
# In logarithms it is a sum, and fits.

# %%
a = 0.1
print('underflow:', a**784)
print('logarithm is normal:', 784*math.log(a))

# %% [markdown]
# So the same with logarithms.

# %%
log_P_xy = np.log(P_xy)
log_P_xy_neg = np.log(1 - P_xy)
log_P_y = np.log(P_y)

def bayes_pred_stable(x):
    x = np.expand_dims(x, axis=0)  # (28, 28) -> (1, 28, 28)
    p_xy = log_P_xy * x + log_P_xy_neg * (1 - x)
    p_xy = p_xy.reshape(10, -1).sum(axis=1)  # p(x|y)
    return p_xy + log_P_y

py = bayes_pred_stable(image)
py

# %% [markdown]
# Is the largest of them the right digit?

# %%
# Convert label which is a scalar tensor of int32 dtype
# to a Python scalar integer for comparison
py.argmax(axis=0) == int(label)

# %% [markdown]
# The first predictions of the test set:

# %%
def predict(X):
    return [bayes_pred_stable(x).argmax(axis=0).astype(np.int32) for x in X]

X, y = mnist_test[:18]
preds = predict(X)
d2l.show_images(X, 2, 9, titles=[str(d) for d in preds]);

# %% [markdown]
# And the accuracy over all of it.

# %%
X, y = mnist_test[:]
preds = np.array(predict(X), dtype=np.int32)
float((preds == y).sum()) / len(y)  # Validation accuracy
