# %% [markdown] data=["fashion_mnist"] needs=["3.6"]
# # 3.7 Concise Implementation of Softmax Regression
#
# The classifier of 3.6 from Gluon's parts.
#
# Gluon computes the softmax inside the loss, which is shorter and cannot
# overflow where the exponentials of the scratch version would. Look for
# curves that are like those of the scratch version, for model and settings
# are the same; a difference of a few thousandths is the random
# initialization.

# %% [markdown]
# The imports, and the same minibatches as in 3.6.

# %%
import d2l
from mxnet import gluon, init, npx
from mxnet.gluon import nn
npx.set_np()

# %%
batch_size = 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)

# %% [markdown]
# ## 3.7.1 Initializing Model Parameters
#
# One dense layer with ten outputs.

# %%
net = nn.Sequential()
net.add(nn.Dense(10))
net.initialize(init.Normal(sigma=0.01))

# %% [markdown]
# ## 3.7.2 The Softmax
#
# Softmax and cross entropy in one function, safe from overflow.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()

# %% [markdown]
# ## 3.7.3 Optimization Algorithm
#
# Stochastic gradient descent with a learning rate of 0.1.

# %%
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})

# %% [markdown]
# ## 3.7.4 Training
#
# Ten epochs by the loop of 3.6.

# %%
num_epochs = 10
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)
