# %% [markdown] data=["fashion_mnist"] gpu=true needs=["7.6"]
# # 7.7 Densely Connected Networks (DenseNet)
#
# Where ResNet adds, DenseNet concatenates: each layer sees the outputs of all
# layers before it.
#
# Look at the channels: each block adds some, each transition halves them. In
# the figure, compare both accuracies with those of ResNet, whose idea this
# network takes further.

# %% [markdown]
# ## 7.7.1 Function Decomposition
#
# ResNet splits a function into the identity and a rest. DenseNet takes the
# thought further, with more and more terms side by side, as in a series
# expansion.
#
# ## 7.7.2 Dense Blocks
#
# The unit: batch normalization, activation, convolution, in this order.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

def conv_block(num_channels):
    blk = nn.Sequential()
    blk.add(nn.BatchNorm(),
            nn.Activation('relu'),
            nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return blk

# %% [markdown]
# A dense block concatenates the output of each unit with its input, along the
# channels.

# %%
class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels, **kwargs):
        super(DenseBlock, self).__init__(**kwargs)
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        for blk in self.net:
            Y = blk(X)
            # Concatenate the input and output of each block on the channel
            # dimension
            X = np.concatenate((X, Y), axis=1)
        return X

# %% [markdown]
# Two units of 10 channels turn 3 channels into 23.

# %%
blk = DenseBlock(2, 10)
blk.initialize()
X = np.random.uniform(size=(4, 3, 8, 8))
Y = blk(X)
Y.shape

# %% [markdown]
# ## 7.7.3 Transition Layers
#
# To keep the number of channels in check, a 1 x 1 convolution reduces it and
# pooling halves the image.

# %%
def transition_block(num_channels):
    blk = nn.Sequential()
    blk.add(nn.BatchNorm(), nn.Activation('relu'),
            nn.Conv2D(num_channels, kernel_size=1),
            nn.AvgPool2D(pool_size=2, strides=2))
    return blk

# %% [markdown]
# Applied to the output of the dense block above:

# %%
blk = transition_block(10)
blk.initialize()
blk(Y).shape

# %% [markdown]
# ## 7.7.4 DenseNet Model
#
# The start is that of ResNet.

# %%
net = nn.Sequential()
net.add(nn.Conv2D(64, kernel_size=7, strides=2, padding=3),
        nn.BatchNorm(), nn.Activation('relu'),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1))

# %% [markdown]
# Four dense blocks of four units each; between them, transitions that halve
# the channels.

# %%
# Num_channels: the current number of channels
num_channels, growth_rate = 64, 32
num_convs_in_dense_blocks = [4, 4, 4, 4]

for i, num_convs in enumerate(num_convs_in_dense_blocks):
    net.add(DenseBlock(num_convs, growth_rate))
    # This is the number of output channels in the previous dense block
    num_channels += num_convs * growth_rate
    # A transition layer that haves the number of channels is added between
    # the dense blocks
    if i != len(num_convs_in_dense_blocks) - 1:
        num_channels //= 2
        net.add(transition_block(num_channels))

# %% [markdown]
# Global average pooling and a dense layer at the end, as in ResNet.

# %%
net.add(nn.BatchNorm(),
        nn.Activation('relu'),
        nn.GlobalAvgPool2D(),
        nn.Dense(10))

# %% [markdown]
# ## 7.7.5 Data Acquisition and Training
#
# As the network is deep, the images are enlarged to 96 x 96 pixels only.

# %%
lr, num_epochs, batch_size = 0.1, 10, 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=96)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)
