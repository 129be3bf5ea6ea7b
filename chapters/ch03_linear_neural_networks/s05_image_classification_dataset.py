# %% [markdown] data=["fashion_mnist"] needs=["2.1"]
# # 3.5 The Image Classification Dataset (Fashion-MNIST)
#
# Seventy thousand small grey pictures of clothes in ten classes: fetched,
# shown and read in minibatches.
#
# Fashion-MNIST is the data set of most networks up to chapter 7, small enough
# for a CPU. Look at the pictures and their labels, and at the time of one
# pass: a training epoch cannot be faster. On sample data the pictures are
# drawn, not photographed, in the same shapes.

# %% [markdown]
# The section's imports, and vector graphics for the figures.

# %%
# %matplotlib inline
import d2l
from mxnet import gluon
import sys

d2l.use_svg_display()

# %% [markdown]
# ## 3.5.1 Getting the Dataset
#
# Gluon fetches both parts. Two helpers name the classes and show images with
# their labels.

# %%
mnist_train = gluon.data.vision.FashionMNIST(train=True)
mnist_test = gluon.data.vision.FashionMNIST(train=False)

# %%
len(mnist_train), len(mnist_test)

# %%
# Saved in the d2l package for later use
def get_fashion_mnist_labels(labels):
    text_labels = ['t-shirt', 'trouser', 'pullover', 'dress', 'coat',
                   'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot']
    return [text_labels[int(i)] for i in labels]

# %%
# Saved in the d2l package for later use
def show_images(imgs, num_rows, num_cols, titles=None, scale=1.5):
    """Plot a list of images."""
    figsize = (num_cols * scale, num_rows * scale)
    _, axes = d2l.plt.subplots(num_rows, num_cols, figsize=figsize)
    axes = axes.flatten()
    for i, (ax, img) in enumerate(zip(axes, imgs)):
        ax.imshow(img.asnumpy())
        ax.axes.get_xaxis().set_visible(False)
        ax.axes.get_yaxis().set_visible(False)
        if titles:
            ax.set_title(titles[i])
    return axes

# %%
X, y = mnist_train[:18]
show_images(X.squeeze(axis=-1), 2, 9, titles=get_fashion_mnist_labels(y));

# %% [markdown]
# ## 3.5.2 Reading a Minibatch
#
# Several processes prepare the minibatches; the timer says how long one pass
# takes.

# %%
# Saved in the d2l package for later use
def get_dataloader_workers(num_workers=4):
    # 0 means no additional process is used to speed up the reading of data.
    if sys.platform.startswith('win'):
        return 0
    else:
        return num_workers

# %%
batch_size = 256
transformer = gluon.data.vision.transforms.ToTensor()
train_iter = gluon.data.DataLoader(mnist_train.transform_first(transformer),
                                   batch_size, shuffle=True,
                                   num_workers=get_dataloader_workers())

# %%
timer = d2l.Timer()
for X, y in train_iter:
    continue
'%.2f sec' % timer.stop()

# %% [markdown]
# ## 3.5.3 Putting All Things Together
#
# One function that later sections call: both loaders, resized where asked.

# %%
# Saved in the d2l package for later use
def load_data_fashion_mnist(batch_size, resize=None):
    """Download the Fashion-MNIST dataset and then load into memory."""
    dataset = gluon.data.vision
    trans = [dataset.transforms.Resize(resize)] if resize else []
    trans.append(dataset.transforms.ToTensor())
    trans = dataset.transforms.Compose(trans)
    mnist_train = dataset.FashionMNIST(train=True).transform_first(trans)
    mnist_test = dataset.FashionMNIST(train=False).transform_first(trans)
    return (gluon.data.DataLoader(mnist_train, batch_size, shuffle=True,
                                  num_workers=get_dataloader_workers()),
            gluon.data.DataLoader(mnist_test, batch_size, shuffle=False,
                                  num_workers=get_dataloader_workers()))

# %%
train_iter, test_iter = load_data_fashion_mnist(32, (64, 64))
for X, y in train_iter:
    print(X.shape)
    break
