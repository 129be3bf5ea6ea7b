# %% [markdown] needs=["2.4"]
# # 4.1 Multilayer Perceptrons
#
# A hidden layer helps only with a nonlinear function behind it. Here are
# three of them, with their slopes.
#
# Without such functions any stack of layers is one linear layer, so every
# network from here on has one of them. Look at the second figure of each
# pair, the slope: where it is nearly zero no gradient passes, which is why
# the sigmoid was given up for deep networks.

# %% [markdown]
# What the section imports.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, np, npx
npx.set_np()

# %% [markdown]
# ## 4.1.2 Activation Functions
#
# ### ReLU Function
#
# Zero below zero, the input itself above; its slope is 0 or 1.

# %%
x = np.arange(-8.0, 8.0, 0.1)
x.attach_grad()
with autograd.record():
    y = npx.relu(x)
d2l.set_figsize((4, 2.5))
d2l.plot(x, y, 'x', 'relu(x)')

# %%
y.backward()
d2l.plot(x, x.grad, 'x', 'grad of relu')

# %% [markdown]
# ### Sigmoid Function
#
# Squeezes every number between 0 and 1; its slope is largest, 0.25, at 0.

# %%
with autograd.record():
    y = npx.sigmoid(x)
d2l.plot(x, y, 'x', 'sigmoid(x)')

# %%
y.backward()
d2l.plot(x, x.grad, 'x', 'grad of sigmoid')

# %% [markdown]
# ### Tanh Function
#
# Like the sigmoid, but between -1 and 1, with a slope of 1 at 0.

# %%
with autograd.record():
    y = np.tanh(x)
d2l.plot(x, y, 'x', 'tanh(x)')

# %%
y.backward()
d2l.plot(x, x.grad, 'x', 'grad of tanh')
