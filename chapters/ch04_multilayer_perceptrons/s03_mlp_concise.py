# %% [markdown] data=["fashion_mnist"]
# # 4.3 Concise Implementation of Multilayer Perceptron
#
# The network of 4.2 in Gluon.

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
