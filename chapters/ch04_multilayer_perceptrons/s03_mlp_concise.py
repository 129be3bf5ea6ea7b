# %% [markdown] data=["fashion_mnist"] needs=["4.2", "3.7"]
# # 4.3 Concise Implementation of Multilayer Perceptron
#
# The network of 4.2 in Gluon.
#
# Nothing is new here but the brevity, which is the point: from now on a
# network is a list of layers, and only those of them that are new are written
# out. Look for the same three curves as those of the scratch version; where
# they differ, initialization and shuffling do.

# %% [markdown]
# What the section imports.

# %%
import d2l
from mxnet import gluon, init, npx
from mxnet.gluon import nn
npx.set_np()

# %% [markdown]
# ## 4.3.1 The Model
#
# Two dense layers, the first with ReLU; then the training loop, unchanged.

# %%
net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'),
        nn.Dense(10))
net.initialize(init.Normal(sigma=0.01))

# %%
batch_size, num_epochs = 256, 10
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.5})
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)
