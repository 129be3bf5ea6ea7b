# %% [markdown] needs=["5.1"]
# # 5.2 Parameter Management
#
# How to look at the parameters of a network, set them and share them, on a
# perceptron with one hidden layer.
#
# Initializing, inspecting and sharing parameters is what one does when a
# network does not learn. Look at the names, which say where in the network a
# parameter belongs, and at the shapes.

# %%
from mxnet import init, np, npx
from mxnet.gluon import nn
npx.set_np()

net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'))
net.add(nn.Dense(10))
net.initialize()  # Use the default initialization method

x = np.random.uniform(size=(2, 20))
net(x)  # Forward computation

# %% [markdown]
# ## 5.2.1 Parameter Access
#
# Indexing a `Sequential` gives a layer, and `params` the parameters of that
# layer with their names and shapes.

# %%
print(net[0].params)
print(net[1].params)

# %% [markdown]
# ### Targeted Parameters
#
# A parameter is an object; `data()` gives the array in it.

# %%
print(net[1].bias)
print(net[1].bias.data())

# %% [markdown]
# The same by name, through the dictionary of the layer.

# %%
print(net[0].params['dense0_weight'])
print(net[0].params['dense0_weight'].data())

# %% [markdown]
# The gradient has the shape of the weight and stays zero until something was
# propagated backwards.

# %%
net[0].weight.grad()

# %% [markdown]
# ### All Parameters at Once
#
# `collect_params` gathers the parameters of a block and of all blocks inside
# it.

# %%
# parameters only for the first layer
print(net[0].collect_params())
# parameters of the entire network
print(net.collect_params())

# %% [markdown]
# The result can be indexed with a full name ...

# %%
net.collect_params()['dense1_bias'].data()

# %% [markdown]
# ... or narrowed down by a regular expression.

# %%
print(net.collect_params('.*weight'))
print(net.collect_params('dense0.*'))

# %% [markdown]
# ### Rube Goldberg Striking Again
#
# Functions that make blocks, called by other such functions, to see how names
# come about in a nested network.

# %%
def block1():
    net = nn.Sequential()
    net.add(nn.Dense(32, activation='relu'))
    net.add(nn.Dense(16, activation='relu'))
    return net

def block2():
    net = nn.Sequential()
    for i in range(4):
        net.add(block1())
    return net

rgnet = nn.Sequential()
rgnet.add(block2())
rgnet.add(nn.Dense(10))
rgnet.initialize()
rgnet(x)

# %% [markdown]
# The structure of the network, then the flat list of its parameters.

# %%
print(rgnet.collect_params)
print(rgnet.collect_params())

# %% [markdown]
# Indexing follows the structure: first part, second block in it, first layer
# of that.

# %%
rgnet[0][1][0].bias.data()

# %% [markdown]
# ## 5.2.2 Parameter Initialization
#
# Without further instructions weights are drawn uniformly from -0.07 to 0.07
# and biases are zero. Other rules are a matter of an argument.
#
# ### Built-in Initialization
#
# Normal numbers with a standard deviation of 0.01:

# %%
# force_reinit ensures that the variables are initialized again, regardless of
# whether they were already initialized previously
net.initialize(init=init.Normal(sigma=0.01), force_reinit=True)
net[0].weight.data()[0]

# %% [markdown]
# All weights set to the same constant:

# %%
net.initialize(init=init.Constant(1), force_reinit=True)
net[0].weight.data()[0]

# %% [markdown]
# Different rules for different parts of one network: a constant for the
# second layer, Xavier for the weight of the first.

# %%
net[1].initialize(init=init.Constant(42), force_reinit=True)
net[0].weight.initialize(init=init.Xavier(), force_reinit=True)
print(net[1].weight.data()[0, 0])
print(net[0].weight.data()[0])

# %% [markdown]
# ### Custom Initialization
#
# An initializer of our own overrides `_init_weight`. This one draws from -10
# to 10 and sets to zero whatever is smaller than 5 in magnitude.

# %%
class MyInit(init.Initializer):
    def _init_weight(self, name, data):
        print('Init', name, data.shape)
        data[:] = np.random.uniform(-10, 10, data.shape)
        data *= np.abs(data) >= 5

net.initialize(MyInit(), force_reinit=True)
net[0].weight.data()[0]

# %% [markdown]
# The array can be written to directly as well.

# %%
net[0].weight.data()[:] += 1
net[0].weight.data()[0, 0] = 42
net[0].weight.data()[0]

# %% [markdown]
# ## 5.2.3 Tied Parameters
#
# Two layers that use one set of parameters: what is written through one is
# seen through the other.

# %%
net = nn.Sequential()
# We need to give the shared layer a name such that we can reference its
# parameters
shared = nn.Dense(8, activation='relu')
net.add(nn.Dense(8, activation='relu'),
        shared,
        nn.Dense(8, activation='relu', params=shared.params),
        nn.Dense(10))
net.initialize()

x = np.random.uniform(size=(2, 20))
net(x)

# Check whether the parameters are the same
print(net[1].weight.data()[0] == net[2].weight.data()[0])
net[1].weight.data()[0, 0] = 100
# Make sure that they are actually the same object rather than just having the
# same value
print(net[1].weight.data()[0] == net[2].weight.data()[0])
