# %% [markdown] needs=["5.2"]
# # 5.5 File I/O
#
# Saving arrays and trained parameters to files, and reading them back.
#
# What took hours to train should outlive the process. Look at the comparison
# in the end: the network that was read from the file computes exactly what
# the saved one does.

# %% [markdown]
# ## 5.5.1 Loading and Saving ndarrays
#
# One array goes into a file.

# %%
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

x = np.arange(4)
npx.save('x-file', x)

# %% [markdown]
# Reading gives a list, even for one array.

# %%
x2 = npx.load('x-file')
x2

# %% [markdown]
# A list of arrays in one file:

# %%
y = np.zeros(4)
npx.save('x-files', [x, y])
x2, y2 = npx.load('x-files')
(x2, y2)

# %% [markdown]
# A dictionary keeps names with the arrays.

# %%
mydict = {'x': x, 'y': y}
npx.save('mydict', mydict)
mydict2 = npx.load('mydict')
mydict2

# %% [markdown]
# ## 5.5.2 Gluon Model Parameters
#
# Of a network only the parameters are stored; its structure is code. Again a
# perceptron serves as the example.

# %%
class MLP(nn.Block):
    def __init__(self, **kwargs):
        super(MLP, self).__init__(**kwargs)
        self.hidden = nn.Dense(256, activation='relu')
        self.output = nn.Dense(10)

    def forward(self, x):
        return self.output(self.hidden(x))

net = MLP()
net.initialize()
x = np.random.uniform(size=(2, 20))
y = net(x)

# %% [markdown]
# Its parameters are written to a file.

# %%
net.save_parameters('mlp.params')

# %% [markdown]
# A second instance of the class reads them instead of being initialized.

# %%
clone = MLP()
clone.load_parameters('mlp.params')

# %% [markdown]
# Both give the same output for the same input.

# %%
yclone = clone(x)
yclone == y
