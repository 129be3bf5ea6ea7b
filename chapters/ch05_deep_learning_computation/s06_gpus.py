# %% [markdown] gpu=true needs=["5.1"]
# # 5.6 GPUs
#
# Arrays and networks live on a device. This section moves them between
# devices; on a machine without a GPU `try_gpu` gives the CPU, and every cell
# still runs.
#
# Deep learning left the CPU long ago, and mistakes about where arrays lie are
# the commonest. Look at the context printed with each array, which says where
# it lies.

# %% [markdown]
# The GPUs of the machine, their memory and what uses it. Without a driver the
# shell says that there is no such command.

# %%
# !nvidia-smi

# %% [markdown]
# ## 5.6.1 Computing Devices
#
# A device is named whether or not it exists.

# %%
from mxnet import np, npx
from mxnet.gluon import nn
npx.set_np()

npx.cpu(), npx.gpu(), npx.gpu(1)

# %% [markdown]
# How many GPUs MXNet can use:

# %%
npx.num_gpus()

# %% [markdown]
# Two functions that fall back to the CPU where the GPU asked for is missing.

# %%
# Saved in the d2l package for later use
def try_gpu(i=0):
    """Return gpu(i) if exists, otherwise return cpu()."""
    return npx.gpu(i) if npx.num_gpus() >= i + 1 else npx.cpu()

# Saved in the d2l package for later use
def try_all_gpus():
    """Return all available GPUs, or [cpu(),] if no GPU exists."""
    ctxes = [npx.gpu(i) for i in range(npx.num_gpus())]
    return ctxes if ctxes else [npx.cpu()]

try_gpu(), try_gpu(3), try_all_gpus()

# %% [markdown]
# ## 5.6.2 ndarray and GPUs
#
# New arrays are made in main memory.

# %%
x = np.array([1, 2, 3])
x

# %% [markdown]
# The device of an array:

# %%
x.context

# %% [markdown]
# ### Storage on the GPU
#
# The argument `ctx` makes an array on another device.

# %%
x = np.ones((2, 3), ctx=try_gpu())
x

# %% [markdown]
# A random array on the second GPU, where there is one.

# %%
y = np.random.uniform(size=(2, 3), ctx=try_gpu(1))
y

# %% [markdown]
# ### Copying
#
# Operands must be on one device. `copyto` makes a copy on the device named.

# %%
z = x.copyto(try_gpu(1))
print(x)
print(z)

# %% [markdown]
# Both arrays are there now and can be added.

# %%
y + z

# %% [markdown]
# `as_in_context` copies only if the array is elsewhere.

# %%
z = x.as_in_context(try_gpu(1))
z

# %% [markdown]
# If it is on the device already, the memory is shared. The test below says
# `False` even so, since it compares two Python objects.

# %%
y.as_in_context(try_gpu(1)) is y

# %% [markdown]
# `copyto` makes a copy in any case.

# %%
y.copyto(try_gpu(1)) is y

# %% [markdown]
# ### Side Notes
#
# Each transfer takes time and makes the devices wait for each other; printing
# an array or turning it into NumPy is a transfer, too.
#
# ## 5.6.3 Gluon and GPUs
#
# The parameters of a network are put on a device when it is initialized.

# %%
net = nn.Sequential()
net.add(nn.Dense(1))
net.initialize(ctx=try_gpu())

# %% [markdown]
# An input on that device is then processed there.

# %%
net(x)

# %% [markdown]
# The parameters are on it as well.

# %%
net[0].weight.data()
