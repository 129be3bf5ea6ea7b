# %% [markdown] data=["pikachu"] needs=["13.3"]
# # 13.6 The Object Detection Dataset (Pikachu)
#
# A small set for detection: one yellow mouse a picture.
#
# It is the data of the next section: one yellow creature in each picture, and
# a box around it. Look at the shape of the labels, a class and four numbers
# between 0 and 1 for each box, and at the ten pictures in the end. On sample
# data the creature is drawn, and the backgrounds are plain.

# %% [markdown]
# ## 13.6.1 Downloading the Dataset
#
# The pictures are packed into RecordIO files.

# %%
# %matplotlib inline
import d2l
from mxnet import gluon, image, np, npx
import os

npx.set_np()

# Saved in the d2l package for later use
d2l.DATA_HUB['pikachu'] = (d2l.DATA_URL + 'pikachu.zip',
                           '68ab1bd42143c5966785eb0d7b2839df8d570190')

# %% [markdown]
# ## 13.6.2 Reading the Dataset
#
# Training pictures are cropped at random, but not through the object.

# %%
# Saved in the d2l package for later use
def load_data_pikachu(batch_size, edge_size=256):
    """Load the pikachu dataset."""
    data_dir = d2l.download_extract('pikachu')
    train_iter = image.ImageDetIter(
        path_imgrec=data_dir + 'train.rec',
        path_imgidx=data_dir + 'train.idx',
        batch_size=batch_size,
        data_shape=(3, edge_size, edge_size),  # The shape of the output image
        shuffle=True,  # Read the dataset in random order
        rand_crop=1,  # The probability of random cropping is 1
        min_object_covered=0.95, max_attempts=200)
    val_iter = image.ImageDetIter(
        path_imgrec=data_dir + 'val.rec', batch_size=batch_size,
        data_shape=(3, edge_size, edge_size), shuffle=False)
    return train_iter, val_iter

# %% [markdown]
# A batch of pictures, and for each its objects: class and box.

# %%
batch_size, edge_size = 32, 256
train_iter, _ = load_data_pikachu(batch_size, edge_size)
batch = train_iter.next()
batch.data[0].shape, batch.label[0].shape

# %% [markdown]
# ## 13.6.3 Demonstration
#
# Ten pictures, each with the box of its label.

# %%
imgs = (batch.data[0][0:10].transpose(0, 2, 3, 1)) / 255
axes = d2l.show_images(imgs, 2, 5, scale=2)
for ax, label in zip(axes, batch.label[0][0:10]):
    d2l.show_bboxes(ax, [label[0][1:5] * edge_size], colors=['w'])
