# %% [markdown] data=["fashion_mnist"] gpu=true needs=["7.5"]
# # 7.6 Residual Networks (ResNet)
#
# Blocks that add their input to their output, so that a deeper network can
# always do at least what a shallower one does.
#
# It is the network of the computer vision chapter as well. Look at how the
# shape changes from module to module, and at the training accuracy, which
# comes close to 1 while the test accuracy falls behind.

# %% [markdown]
# ## 7.6.1 Function Classes
#
# Adding a layer helps for certain only if the larger network can still
# represent what the smaller one did, for instance because the new layer can
# be the identity.
#
# ## 7.6.2 Residual Blocks
#
# Two 3 x 3 convolutions with batch normalization, and a shortcut around them.
# Where the shape changes, a 1 x 1 convolution adapts the shortcut.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

# Saved in the d2l package for later use
class Residual(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False, strides=1, **kwargs):
        super(Residual, self).__init__(**kwargs)
        self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1,
                               strides=strides)
        self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        if use_1x1conv:
            self.conv3 = nn.Conv2D(num_channels, kernel_size=1,
                                   strides=strides)
        else:
            self.conv3 = None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()

    def forward(self, X):
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        return npx.relu(Y + X)

# %% [markdown]
# Input and output of the same shape:

# %%
blk = Residual(3)
blk.initialize()
X = np.random.uniform(size=(4, 3, 6, 6))
blk(X).shape

# %% [markdown]
# Twice the channels at half the height and width:

# %%
blk = Residual(6, use_1x1conv=True, strides=2)
blk.initialize()
blk(X).shape

# %% [markdown]
# ## 7.6.3 ResNet Model
#
# The start is that of GoogLeNet, with batch normalization.

# %%
net = nn.Sequential()
net.add(nn.Conv2D(64, kernel_size=7, strides=2, padding=3),
        nn.BatchNorm(), nn.Activation('relu'),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1))

# %% [markdown]
# A module is a number of residual blocks; all but the first module halve the
# image in their first block.

# %%
def resnet_block(num_channels, num_residuals, first_block=False):
    blk = nn.Sequential()
    for i in range(num_residuals):
        if i == 0 and not first_block:
            blk.add(Residual(num_channels, use_1x1conv=True, strides=2))
        else:
            blk.add(Residual(num_channels))
    return blk

# %% [markdown]
# Four modules of two blocks each:

# %%
net.add(resnet_block(64, 2, first_block=True),
        resnet_block(128, 2),
        resnet_block(256, 2),
        resnet_block(512, 2))

# %% [markdown]
# Global average pooling and a dense layer at the end make it ResNet-18.

# %%
net.add(nn.GlobalAvgPool2D(), nn.Dense(10))

# %% [markdown]
# The shape after each part, for an image of 224 x 224 pixels:

# %%
X = np.random.uniform(size=(1, 1, 224, 224))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, 'output shape:\t', X.shape)

# %% [markdown]
# ## 7.6.4 Data Acquisition and Training
#
# Trained on images of 96 x 96 pixels, in batches of 256.

# %%
lr, num_epochs, batch_size = 0.05, 10, 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=96)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)
