# %% [markdown] data=["fashion_mnist"] gpu=true needs=["6.6"]
# # 7.5 Batch Normalization
#
# Intermediate values are standardized over each minibatch, then scaled and
# shifted by learned numbers, which lets deep networks learn faster.
#
# Nearly every later network for images has this layer. Look at the curve
# beside that of plain LeNet: the learning rate is larger, and the accuracy
# rises at once; and at the learned scale and shift.

# %% [markdown]
# ## 7.5.1 Training Deep Networks
#
# The scale of intermediate values drifts while a network learns; normalizing
# them keeps it in check and acts as a regularizer as well.
#
# ## 7.5.2 Batch Normalization Layers
#
# Dense layers are normalized feature by feature, convolutional layers channel
# by channel. For prediction, running averages take the place of the
# minibatch's own mean and variance.
#
# ## 7.5.3 Implementation from Scratch
#
# The computation, for both kinds of layers and both modes. It returns the new
# running averages with the output.

# %%
import d2l
from mxnet import autograd, np, npx, init
from mxnet.gluon import nn
npx.set_np()

def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum):
    # Use autograd to determine whether the current mode is training mode or
    # prediction mode
    if not autograd.is_training():
        # If it is the prediction mode, directly use the mean and variance
        # obtained from the incoming moving average
        X_hat = (X - moving_mean) / np.sqrt(moving_var + eps)
    else:
        assert len(X.shape) in (2, 4)
        if len(X.shape) == 2:
            # When using a fully connected layer, calculate the mean and
            # variance on the feature dimension
            mean = X.mean(axis=0)
            var = ((X - mean) ** 2).mean(axis=0)
        else:
            # When using a two-dimensional convolutional layer, calculate the
            # mean and variance on the channel dimension (axis=1). Here we
            # need to maintain the shape of X, so that the broadcast operation
            # can be carried out later
            mean = X.mean(axis=(0, 2, 3), keepdims=True)
            var = ((X - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
        # In training mode, the current mean and variance are used for the
        # standardization
        X_hat = (X - mean) / np.sqrt(var + eps)
        # Update the mean and variance of the moving average
        moving_mean = momentum * moving_mean + (1.0 - momentum) * mean
        moving_var = momentum * moving_var + (1.0 - momentum) * var
    Y = gamma * X_hat + beta  # Scale and shift
    return Y, moving_mean, moving_var

# %% [markdown]
# The layer holds scale and shift as parameters, and the running averages as
# plain arrays.

# %%
class BatchNorm(nn.Block):
    def __init__(self, num_features, num_dims, **kwargs):
        super(BatchNorm, self).__init__(**kwargs)
        if num_dims == 2:
            shape = (1, num_features)
        else:
            shape = (1, num_features, 1, 1)
        # The scale parameter and the shift parameter involved in gradient
        # finding and iteration are initialized to 0 and 1 respectively
        self.gamma = self.params.get('gamma', shape=shape, init=init.One())
        self.beta = self.params.get('beta', shape=shape, init=init.Zero())
        # All the variables not involved in gradient finding and iteration are
        # initialized to 0 on the CPU
        self.moving_mean = np.zeros(shape)
        self.moving_var = np.zeros(shape)

    def forward(self, X):
        # If X is not on the CPU, copy moving_mean and moving_var to the
        # device where X is located
        if self.moving_mean.context != X.context:
            self.moving_mean = self.moving_mean.copyto(X.context)
            self.moving_var = self.moving_var.copyto(X.context)
        # Save the updated moving_mean and moving_var
        Y, self.moving_mean, self.moving_var = batch_norm(
            X, self.gamma.data(), self.beta.data(), self.moving_mean,
            self.moving_var, eps=1e-12, momentum=0.9)
        return Y

# %% [markdown]
# ## 7.5.4 Using a Batch Normalization LeNet
#
# LeNet with a normalization before each activation.

# %%
net = nn.Sequential()
net.add(nn.Conv2D(6, kernel_size=5),
        BatchNorm(6, num_dims=4),
        nn.Activation('sigmoid'),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Conv2D(16, kernel_size=5),
        BatchNorm(16, num_dims=4),
        nn.Activation('sigmoid'),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Dense(120),
        BatchNorm(120, num_dims=2),
        nn.Activation('sigmoid'),
        nn.Dense(84),
        BatchNorm(84, num_dims=2),
        nn.Activation('sigmoid'),
        nn.Dense(10))

# %% [markdown]
# The same training as before, with a learning rate of 1.

# %%
lr, num_epochs, batch_size = 1.0, 10, 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)

# %% [markdown]
# Scale and shift that the first normalization has learned:

# %%
net[1].gamma.data().reshape(-1,), net[1].beta.data().reshape(-1,)

# %% [markdown]
# ## 7.5.5 Concise Implementation
#
# Gluon's own layer finds out the number of features by itself.

# %%
net = nn.Sequential()
net.add(nn.Conv2D(6, kernel_size=5),
        nn.BatchNorm(),
        nn.Activation('sigmoid'),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Conv2D(16, kernel_size=5),
        nn.BatchNorm(),
        nn.Activation('sigmoid'),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Dense(120),
        nn.BatchNorm(),
        nn.Activation('sigmoid'),
        nn.Dense(84),
        nn.BatchNorm(),
        nn.Activation('sigmoid'),
        nn.Dense(10))

# %% [markdown]
# It is faster than ours, with the same hyperparameters.

# %%
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)

# %% [markdown]
# ## 7.5.6 Controversy
#
# Why the method works is still debated. The explanation given with it, a
# shift in the distribution of intermediate values, has been disputed since.
