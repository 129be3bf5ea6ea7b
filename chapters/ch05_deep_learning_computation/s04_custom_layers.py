# %% [markdown] needs=["5.2"]
# # 5.4 Custom Layers
#
# Layers that Gluon does not provide are written as blocks: first one without
# parameters, then one with.
#
# What a framework lacks can be written in a few lines, gradients included.
# Look at the mean after the first layer, zero up to rounding, and at the
# parameters of the second.

# %% [markdown]
# ## 5.4.1 Layers without Parameters
#
# This layer subtracts the mean of its input.

# %%
from mxnet import gluon, np, npx
from mxnet.gluon import nn
npx.set_np()

class CenteredLayer(nn.Block):
    def __init__(self, **kwargs):
        super(CenteredLayer, self).__init__(**kwargs)

    def forward(self, x):
        return x - x.mean()

# %% [markdown]
# Tried on five numbers:

# %%
layer = CenteredLayer()
layer(np.array([1, 2, 3, 4, 5]))

# %% [markdown]
# It can be part of a larger network.

# %%
net = nn.Sequential()
net.add(nn.Dense(128), CenteredLayer())
net.initialize()

# %% [markdown]
# The mean of the output is then zero up to rounding.

# %%
y = net(np.random.uniform(size=(4, 8)))
y.mean()

# %% [markdown]
# ## 5.4.2 Layers with Parameters
#
# A `ParameterDict` makes parameters by name and shape, and keeps them.

# %%
params = gluon.ParameterDict()
params.get('param2', shape=(2, 3))
params

# %% [markdown]
# A dense layer with ReLU of our own, its weight and bias made through the
# dictionary that every block has.

# %%
class MyDense(nn.Block):
    # units: the number of outputs in this layer; in_units: the number of
    # inputs in this layer
    def __init__(self, units, in_units, **kwargs):
        super(MyDense, self).__init__(**kwargs)
        self.weight = self.params.get('weight', shape=(in_units, units))
        self.bias = self.params.get('bias', shape=(units,))

    def forward(self, x):
        linear = np.dot(x, self.weight.data()) + self.bias.data()
        return npx.relu(linear)

# %% [markdown]
# An instance and its parameters:

# %%
dense = MyDense(units=3, in_units=5)
dense.params

# %% [markdown]
# It is initialized and called as any other layer.

# %%
dense.initialize()
dense(np.random.uniform(size=(2, 5)))

# %% [markdown]
# Two of them in a network. As the layer does not infer its input size, both
# sizes are given.

# %%
net = nn.Sequential()
net.add(MyDense(8, in_units=64),
        MyDense(1, in_units=8))
net.initialize()
net(np.random.uniform(size=(2, 64)))
