# %% [markdown] data=["fashion_mnist"] gpu=true needs=["6.6"]
# # 7.1 Deep Convolutional Neural Networks (AlexNet)
#
# The network that made convolutional networks the standard for images:
# LeNet's plan, deeper and far wider.
#
# Look at the shapes again, and at how many parameters the dense layers hold.
# The real settings are meant for a GPU and take long on a CPU; the curve
# rises faster than that of LeNet.

# %% [markdown]
# ## 7.1.1 Learning Feature Representation
#
# Before 2012 the features of an image were designed by hand and only the
# classifier was learned. Learning both took much data (ImageNet) and much
# computation (GPUs).
#
# ## 7.1.2 AlexNet
#
# Five convolutional and three dense layers with ReLU instead of sigmoid, and
# dropout between the dense ones.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

net = nn.Sequential()
# Here, we use a larger 11 x 11 window to capture objects. At the same time,
# we use a stride of 4 to greatly reduce the height and width of the output.
# Here, the number of output channels is much larger than that in LeNet
net.add(nn.Conv2D(96, kernel_size=11, strides=4, activation='relu'),
        nn.MaxPool2D(pool_size=3, strides=2),
        # Make the convolution window smaller, set padding to 2 for consistent
        # height and width across the input and output, and increase the
        # number of output channels
        nn.Conv2D(256, kernel_size=5, padding=2, activation='relu'),
        nn.MaxPool2D(pool_size=3, strides=2),
        # Use three successive convolutional layers and a smaller convolution
        # window. Except for the final convolutional layer, the number of
        # output channels is further increased. Pooling layers are not used to
        # reduce the height and width of input after the first two
        # convolutional layers
        nn.Conv2D(384, kernel_size=3, padding=1, activation='relu'),
        nn.Conv2D(384, kernel_size=3, padding=1, activation='relu'),
        nn.Conv2D(256, kernel_size=3, padding=1, activation='relu'),
        nn.MaxPool2D(pool_size=3, strides=2),
        # Here, the number of outputs of the fully connected layer is several
        # times larger than that in LeNet. Use the dropout layer to mitigate
        # overfitting
        nn.Dense(4096, activation="relu"), nn.Dropout(0.5),
        nn.Dense(4096, activation="relu"), nn.Dropout(0.5),
        # Output layer. Since we are using Fashion-MNIST, the number of
        # classes is 10, instead of 1000 as in the paper
        nn.Dense(10))

# %% [markdown]
# The shape after each layer, for one image of 224 x 224 pixels with a single
# channel:

# %%
X = np.random.uniform(size=(1, 1, 224, 224))
net.initialize()
for layer in net:
    X = layer(X)
    print(layer.name, 'output shape:\t', X.shape)

# %% [markdown]
# ## 7.1.3 Reading the Dataset
#
# Fashion-MNIST, enlarged to the size that the network expects.

# %%
batch_size = 128
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=224)

# %% [markdown]
# ## 7.1.4 Training
#
# The learning rate is smaller than LeNet's, and each epoch takes much longer.

# %%
lr, num_epochs = 0.01, 10
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)
