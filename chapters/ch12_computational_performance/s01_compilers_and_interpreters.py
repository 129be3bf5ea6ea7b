# %% [markdown] needs=["5.1"]
# # 12.1 Compilers and Interpreters
#
# The same program, run line by line and compiled as a whole; and how Gluon
# does either.
#
# It is what `d2l.hybridize` of this package does for any block. Look at the
# two times of the same network, and at the print that is missing once the
# network is compiled.

# %% [markdown]
# A program as one writes it: each line runs when it is reached.

# %%
def add(a, b):
    return a + b

def fancy_func(a, b, c, d):
    e = add(a, b)
    f = add(c, d)
    g = add(e, f)
    return g

print(fancy_func(1, 2, 3, 4))

# %% [markdown]
# ## 12.1.1 Symbolic Programming
#
# The same program as a text, which is compiled first and run then.

# %%
def add_():
    return '''
def add(a, b):
    return a + b
'''

def fancy_func_():
    return '''
def fancy_func(a, b, c, d):
    e = add(a, b)
    f = add(c, d)
    g = add(e, f)
    return g
'''

def evoke_():
    return add_() + fancy_func_() + 'print(fancy_func(1, 2, 3, 4))'

prog = evoke_()
print(prog)
y = compile(prog, '', 'exec')
exec(y)

# %% [markdown]
# ## 12.1.2 Hybrid Programming
#
# No listing here: write and debug line by line, then compile.

# %% [markdown]
# ## 12.1.3 HybridSequential
#
# A small network of blocks that can be compiled.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

# factory for networks
def get_net():
    net = nn.HybridSequential()
    net.add(nn.Dense(256, activation='relu'),
            nn.Dense(128, activation='relu'),
            nn.Dense(2))
    net.initialize()
    return net

x = np.random.normal(size=(1, 512))
net = get_net()
net(x)

# %% [markdown]
# Compiled, it computes the same.

# %%
net.hybridize()
net(x)

# %% [markdown]
# ### Acceleration by Hybridization
#
# For `with`: prints how long its block took.

# %%
# Saved in the d2l package for later use
class benchmark:
    def __init__(self, description = 'Done in %.4f sec'):
        self.description = description

    def __enter__(self):
        self.timer = d2l.Timer()
        return self

    def __exit__(self, *args):
        print(self.description % self.timer.stop())

# %% [markdown]
# A thousand calls, before and after.

# %%
net = get_net()
with benchmark('Without hybridization: %.4f sec'):
    for i in range(1000): net(x)
    npx.waitall()

net.hybridize()
with benchmark('With    hybridization: %.4f sec'):
    for i in range(1000): net(x)
    npx.waitall()

# %% [markdown]
# ### Serialization
#
# A compiled network can be saved, parameters and program, and be run from
# other languages.

# %%
net.export('my_mlp')
# !ls -lh my_mlp*

# %% [markdown]
# The program is text.

# %%
# !head my_mlp-symbol.json

# %% [markdown]
# In place of `forward` a block writes `hybrid_forward`, which gets the module
# `F` to compute with. This one prints what it gets.

# %%
class HybridNet(nn.HybridBlock):
    def __init__(self, **kwargs):
        super(HybridNet, self).__init__(**kwargs)
        self.hidden = nn.Dense(4)
        self.output = nn.Dense(2)

    def hybrid_forward(self, F, x):
        print('module F: ', F)
        print('value  x: ', x)
        x = F.npx.relu(self.hidden(x))
        print('result  : ', x)
        return self.output(x)

# %% [markdown]
# Not compiled: `F` is `mxnet.ndarray`, and there are numbers to print.

# %%
net = HybridNet()
net.initialize()
x = np.random.normal(size=(1, 3))
net(x)

# %% [markdown]
# At the first call after `hybridize` it is `mxnet.symbol`, and there are only
# names.

# %%
net.hybridize()
net(x)

# %% [markdown]
# From then on Python is not involved: nothing is printed. (`d2l.hybridize`
# compiles blocks that have only a `forward`.)

# %%
net(x)
