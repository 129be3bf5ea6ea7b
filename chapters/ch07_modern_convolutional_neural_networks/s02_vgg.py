# %% [markdown] data=["fashion_mnist"] gpu=true needs=["7.1"]
# # 7.2 Networks Using Blocks (VGG)
#
# A deep network as a repetition of one block, with a few numbers that say how
# often and how wide.
#
# Look at the five blocks, each of which halves height and width and at most
# doubles the channels. It is the slowest network up to here, so the book
# trains one with a quarter of the channels.

# %% [markdown]
# ## 7.2.1 VGG Blocks
#
# A block is a number of 3 x 3 convolutions followed by pooling that halves
# the image.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

def vgg_block(num_convs, num_channels):
    blk = nn.Sequential()
    for _ in range(num_convs):
        blk.add(nn.Conv2D(num_channels, kernel_size=3,
                          padding=1, activation='relu'))
    blk.add(nn.MaxPool2D(pool_size=2, strides=2))
    return blk

# %% [markdown]
# ## 7.2.2 VGG Network
#
# Number of convolutions and of channels for each of five blocks:

# %%
conv_arch = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))

# %% [markdown]
# The blocks are followed by the same dense layers as in AlexNet; eight
# convolutions and three dense layers make VGG-11.

# %%
def vgg(conv_arch):
    net = nn.Sequential()
    # The convolutional layer part
    for (num_convs, num_channels) in conv_arch:
        net.add(vgg_block(num_convs, num_channels))
    # The fully connected layer part
    net.add(nn.Dense(4096, activation='relu'), nn.Dropout(0.5),
            nn.Dense(4096, activation='relu'), nn.Dropout(0.5),
            nn.Dense(10))
    return net

net = vgg(conv_arch)

# %% [markdown]
# The shape after each block, for an image of 224 x 224 pixels:

# %%
net.initialize()
X = np.random.uniform(size=(1, 1, 224, 224))
for blk in net:
    X = blk(X)
    print(blk.name, 'output shape:\t', X.shape)

# %% [markdown]
# ## 7.2.3 Model Training
#
# A network with a quarter of the channels is enough for Fashion-MNIST.

# %%
ratio = 4
small_conv_arch = [(pair[0], pair[1] // ratio) for pair in conv_arch]
net = vgg(small_conv_arch)

# %% [markdown]
# It is trained like AlexNet, with a larger learning rate.

# %%
lr, num_epochs, batch_size = 0.05, 10, 128,
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=224)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)
