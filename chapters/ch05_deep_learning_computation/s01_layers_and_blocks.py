# %% [markdown] needs=["4.3"]
# # 5.1 Layers and Blocks
#
# A layer, a group of layers and a whole model are all a `Block`: something
# with parameters and a `forward`. We start from a two-layer perceptron built
# with `nn.Sequential` and then build such blocks by hand.
#
# Every architecture of the later chapters is written in this way. Look at the
# shape that each block returns, and at how a block within a block needs no
# further care.

# %%
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

x = np.random.uniform(size=(2, 20))

net = nn.Sequential()
net.add(nn.Dense(256, activation='relu'))
net.add(nn.Dense(10))
net.initialize()
net(x)

# %% [markdown]
# ## 5.1.1 A Custom Block
#
# The same perceptron as a class: the constructor makes the layers, `forward`
# says how an input passes through them.

# %%
from mxnet.gluon import nn

class MLP(nn.Block):
    # Declare a layer with model parameters. Here, we declare two fully
    # connected layers
    def __init__(self, **kwargs):
        # Call the constructor of the MLP parent class Block to perform the
        # necessary initialization. In this way, other function parameters can
        # also be specified when constructing an instance, such as the model
        # parameter, params, described in the following sections
        super(MLP, self).__init__(**kwargs)
        self.hidden = nn.Dense(256, activation='relu')  # Hidden layer
        self.output = nn.Dense(10)  # Output layer

    # Define the forward computation of the model, that is, how to return the
    # required model output based on the input x
    def forward(self, x):
        return self.output(self.hidden(x))

# %% [markdown]
# Initializing and calling it works as for the blocks that Gluon provides.

# %%
net = MLP()
net.initialize()
net(x)

# %% [markdown]
# ## 5.1.2 The Sequential Block
#
# A container of our own that registers its children in order and feeds each
# the output of the one before.

# %%
class MySequential(nn.Block):
    def __init__(self, **kwargs):
        super(MySequential, self).__init__(**kwargs)

    def add(self, block):
        # Here, block is an instance of a Block subclass, and we assume it has
        # a unique name. We save it in the member variable _children of the
        # Block class, and its type is OrderedDict. When the MySequential
        # instance calls the initialize function, the system automatically
        # initializes all members of _children
        self._children[block.name] = block

    def forward(self, x):
        # OrderedDict guarantees that members will be traversed in the order
        # they were added
        for block in self._children.values():
            x = block(x)
        return x

# %% [markdown]
# It takes the place of `nn.Sequential` without further changes.

# %%
net = MySequential()
net.add(nn.Dense(256, activation='relu'))
net.add(nn.Dense(10))
net.initialize()
net(x)

# %% [markdown]
# ## 5.1.3 Blocks with Code
#
# `forward` is ordinary Python. This block uses a constant that is never
# trained, one layer twice, and a loop that depends on the values.

# %%
class FancyMLP(nn.Block):
    def __init__(self, **kwargs):
        super(FancyMLP, self).__init__(**kwargs)
        # Random weight parameters created with the get_constant are not
        # iterated during training (i.e., constant parameters)
        self.rand_weight = self.params.get_constant(
            'rand_weight', np.random.uniform(size=(20, 20)))
        self.dense = nn.Dense(20, activation='relu')

    def forward(self, x):
        x = self.dense(x)
        # Use the constant parameters created, as well as the relu
        # and dot functions
        x = npx.relu(np.dot(x, self.rand_weight.data()) + 1)
        # Reuse the fully connected layer. This is equivalent to sharing
        # parameters with two fully connected layers
        x = self.dense(x)
        # Here in Control flow, we need to call asscalar to return the scalar
        # for comparison
        while np.abs(x).sum() > 1:
            x /= 2
        if np.abs(x).sum() < 0.8:
            x *= 10
        return x.sum()

# %% [markdown]
# Each call may thus take a different path through the code; here it ends in a
# single number.

# %%
net = FancyMLP()
net.initialize()
net(x)

# %% [markdown]
# Blocks nest freely: a block that holds a `Sequential`, a plain layer and the
# block above, chained together.

# %%
class NestMLP(nn.Block):
    def __init__(self, **kwargs):
        super(NestMLP, self).__init__(**kwargs)
        self.net = nn.Sequential()
        self.net.add(nn.Dense(64, activation='relu'),
                     nn.Dense(32, activation='relu'))
        self.dense = nn.Dense(16, activation='relu')

    def forward(self, x):
        return self.dense(self.net(x))

chimera = nn.Sequential()
chimera.add(NestMLP(), nn.Dense(20), FancyMLP())

chimera.initialize()
chimera(x)

# %% [markdown]
# ## 5.1.4 Compilation
#
# Running Python at every call has its price. `nn.HybridBlock` and section
# 12.1 show Gluon's answer; `d2l.hybridize` compiles blocks such as these as
# they are written. Where `FancyMLP` asks for a value, it cuts the graph, and
# the answer decides which piece runs next, compiled like those before it.
