# %% [markdown]
# # 2.1 Data Manipulation
#
# Everything that a network reads, learns and predicts is an array. This
# section makes some, computes with them and takes them apart.
#
# Start here: nothing earlier is needed, and every later section computes with
# these arrays. Look at the shapes, which say more than the values do, and at
# the last pair of addresses, which differ where memory was taken anew.

# %% [markdown]
# ## 2.1.1 Getting Started
#
# `np` is MXNet's NumPy look-alike, `npx` holds what NumPy lacks, and `set_np`
# switches the rest of MXNet to the same conventions. Then: arrays from a
# range, of zeros, of ones, of random numbers and from lists.

# %%
from mxnet import np, npx
npx.set_np()

# %%
x = np.arange(12)
x

# %%
x.shape

# %%
x.size

# %%
x = x.reshape(3, 4)
x

# %%
np.empty((3, 4))

# %%
np.zeros((2, 3, 4))

# %%
np.ones((2, 3, 4))

# %%
np.random.normal(0, 1, size=(3, 4))

# %%
np.array([[2, 1, 4, 3], [1, 2, 3, 4], [4, 3, 2, 1]])

# %% [markdown]
# ## 2.1.2 Operations
#
# Arithmetic works element by element. Arrays can also be joined along an
# axis, compared and summed.

# %%
x = np.array([1, 2, 4, 8])
y = np.array([2, 2, 2, 2])
x + y, x - y, x * y, x / y, x ** y  # The ** operator is exponentiation

# %%
np.exp(x)

# %%
x = np.arange(12).reshape(3, 4)
y = np.array([[2, 1, 4, 3], [1, 2, 3, 4], [4, 3, 2, 1]])
np.concatenate([x, y], axis=0), np.concatenate([x, y], axis=1)

# %%
x == y

# %%
x.sum()

# %% [markdown]
# ## 2.1.3 Broadcasting Mechanism
#
# Where shapes differ, an axis of length 1 is repeated to match the other
# array.

# %%
a = np.arange(3).reshape(3, 1)
b = np.arange(2).reshape(1, 2)
a, b

# %%
a + b

# %% [markdown]
# ## 2.1.4 Indexing and Slicing
#
# Indices and slices pick elements, for reading as for writing.

# %%
x[-1], x[1:3]

# %%
x[1, 2] = 9
x

# %%
x[0:2, :] = 12
x

# %% [markdown]
# ## 2.1.5 Saving Memory
#
# `y = y + x` makes a new array; assigning to a slice, or `+=`, writes into
# the one that is there. The addresses tell the two apart.

# %%
before = id(y)
y = y + x
id(y) == before

# %%
z = np.zeros_like(y)
print('id(z):', id(z))
z[:] = x + y
print('id(z):', id(z))

# %%
before = id(x)
x += y
id(x) == before

# %% [markdown]
# ## 2.1.6 Conversion to Other Python Objects
#
# To NumPy and back, and from an array of one element to a Python number.

# %%
a = x.asnumpy()
b = np.array(a)
type(a), type(b)

# %%
a = np.array([3.5])
a, a.item(), float(a), int(a)
