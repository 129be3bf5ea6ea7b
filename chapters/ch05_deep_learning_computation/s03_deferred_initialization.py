# %% [markdown] needs=["5.2"]
# # 5.3 Deferred Initialization
#
# Networks so far were built without their input sizes. Gluon leaves such
# sizes open and settles them when the first data arrives.
#
# It explains why parameters have no values before the first call, a surprise
# to nearly everyone. Look at the prints before and after data have passed:
# the unknown lengths become known.

# %% [markdown]
# ## 5.3.1 Instantiating a Network
#
# A function that makes a fresh perceptron, since we need more than one below.

# %%
from mxnet import init, np, npx
from mxnet.gluon import nn
npx.set_np()

def getnet():
    net = nn.Sequential()
    net.add(nn.Dense(256, activation='relu'))
    net.add(nn.Dense(10))
    return net

net = getnet()

# %% [markdown]
# Sizes that are not known yet are shown as -1.

# %%
print(net.collect_params)
print(net.collect_params())

# %% [markdown]
# Asking for initialization changes nothing as yet.

# %%
net.initialize()
net.collect_params()

# %% [markdown]
# After one forward pass all shapes are known.

# %%
x = np.random.uniform(size=(2, 20))
net(x)  # Forward computation

net.collect_params()

# %% [markdown]
# ## 5.3.2 Deferred Initialization in Practice
#
# An initializer that only reports when it is called and with which shape.
# `initialize` alone does not call it.

# %%
class MyInit(init.Initializer):
    def _init_weight(self, name, data):
        print('Init', name, data.shape)
        # The actual initialization logic is omitted here

net = getnet()
net.initialize(init=MyInit())

# %% [markdown]
# The first forward pass does.

# %%
x = np.random.uniform(size=(2, 20))
y = net(x)

# %% [markdown]
# The second does not, as the parameters exist by now.

# %%
y = net(x)

# %% [markdown]
# ## 5.3.3 Forced Initialization
#
# With all shapes known, initialization takes place at once: when it is
# repeated with `force_reinit` ...

# %%
net.initialize(init=MyInit(), force_reinit=True)

# %% [markdown]
# ... and when the input sizes are given from the start.

# %%
net = nn.Sequential()
net.add(nn.Dense(256, in_units=20, activation='relu'))
net.add(nn.Dense(10, in_units=256))

net.initialize(init=MyInit())
