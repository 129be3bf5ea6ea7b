# %% [markdown] data=["fashion_mnist"] gpu=true needs=["7.2"]
# # 7.3 Network in Network (NiN)
#
# A network without dense layers: 1 x 1 convolutions do their work at each
# pixel, and an average over all pixels ends it.
#
# Dense layers held most of the parameters of AlexNet and VGG, and here are
# none. Look at the last shapes: ten channels, averaged, are the ten classes.
# In the figure the accuracy may stay low for some time before it rises.

# %% [markdown]
# ## 7.3.1 NiN Blocks
#
# A convolution of any size, followed by two of size 1 x 1.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

def nin_block(num_channels, kernel_size, strides, padding):
    blk = nn.Sequential()
    blk.add(nn.Conv2D(num_channels, kernel_size, strides, padding,
                      activation='relu'),
            nn.Conv2D(num_channels, kernel_size=1, activation='relu'),
            nn.Conv2D(num_channels, kernel_size=1, activation='relu'))
    return blk

# %% [markdown]
# ## 7.3.2 NiN Model
#
# Window sizes as in AlexNet. The last block has one channel for each class.

# %%
net = nn.Sequential()
net.add(nin_block(96, kernel_size=11, strides=4, padding=0),
        nn.MaxPool2D(pool_size=3, strides=2),
        nin_block(256, kernel_size=5, strides=1, padding=2),
        nn.MaxPool2D(pool_size=3, strides=2),
        nin_block(384, kernel_size=3, strides=1, padding=1),
        nn.MaxPool2D(pool_size=3, strides=2),
        nn.Dropout(0.5),
        # There are 10 label classes
        nin_block(10, kernel_size=3, strides=1, padding=1),
        # The global average pooling layer automatically sets the window shape
        # to the height and width of the input
        nn.GlobalAvgPool2D(),
        # Transform the four-dimensional output into two-dimensional output
        # with a shape of (batch size, 10)
        nn.Flatten())

# %% [markdown]
# The shape after each block:

# %%
X = np.random.uniform(size=(1, 1, 224, 224))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, 'output shape:\t', X.shape)

# %% [markdown]
# ## 7.3.3 Data Acquisition and Training
#
# Training as before, with a learning rate of 0.1.

# %%
lr, num_epochs, batch_size = 0.1, 10, 128
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=224)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)
