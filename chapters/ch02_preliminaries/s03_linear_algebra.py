# %% [markdown] needs=["2.1"]
# # 2.3 Linear Algebra
#
# From single numbers to tensors, and the few operations on them that deep
# learning is made of.
#
# Layers are products of matrices, and losses are norms, so these few
# operations come back in each chapter. Look at which axis a sum removes, and
# compare the shape before and after each line.

# %% [markdown]
# ## 2.3.1 Scalars
#
# A scalar is an array with one element.

# %%
from mxnet import np, npx
npx.set_np()

x = np.array(3.0)
y = np.array(2.0)

x + y, x * y, x / y, x ** y

# %% [markdown]
# ## 2.3.2 Vectors
#
# A vector has one axis, and an index picks one of its elements.

# %%
x = np.arange(4)
x

# %%
x[3]

# %% [markdown]
# ### Length, Dimensionality, and Shape
#
# How many elements a vector has: by `len`, and by its shape.

# %%
len(x)

# %%
x.shape

# %% [markdown]
# ## 2.3.3 Matrices
#
# Two axes, rows and columns; transposing swaps them, and a symmetric matrix
# is its own transpose.

# %%
A = np.arange(20).reshape(5, 4)
A

# %%
A.T

# %%
B = np.array([[1, 2, 3], [2, 0, 4], [3, 4, 5]])
B

# %%
B == B.T

# %% [markdown]
# ## 2.3.4 Tensors
#
# More axes follow the same pattern.

# %%
X = np.arange(24).reshape(2, 3, 4)
X

# %% [markdown]
# ## 2.3.5 Basic Properties of Tensor Arithmetic
#
# Elementwise operations keep the shape, and so does arithmetic with a scalar.

# %%
A = np.arange(20).reshape(5, 4)
B = A.copy()  # Assign a copy of A to B by allocating new memory
A, A + B

# %%
A * B

# %%
a = 2
X = np.arange(24).reshape(2, 3, 4)
a + X, (a * X).shape

# %% [markdown]
# ## 2.3.6 Reduction
#
# Sums and means, over all elements or along chosen axes; the axis that is
# summed disappears.

# %%
x = np.arange(4)
x, x.sum()

# %%
A.shape, A.sum()

# %%
A_sum_axis0 = A.sum(axis=0)
A_sum_axis0, A_sum_axis0.shape

# %%
A_sum_axis1 = A.sum(axis=1)
A_sum_axis1, A_sum_axis1.shape

# %%
A.sum(axis=[0, 1])  # Same as A.sum()

# %%
A.mean(), A.sum() / A.size

# %%
A.mean(axis=0), A.sum(axis=0) / A.shape[0]

# %% [markdown]
# ### Non-Reduction Sum
#
# With `keepdims` the summed axis stays, with length 1, so that the result
# still broadcasts against the original.

# %%
sum_A = A.sum(axis=1, keepdims=True)
sum_A

# %%
A / sum_A

# %%
A.cumsum(axis=0)

# %% [markdown]
# ## 2.3.7 Dot Products
#
# Multiply element by element, then sum.

# %%
y = np.ones(4)
x, y, np.dot(x, y)

# %%
np.sum(x * y)

# %% [markdown]
# ## 2.3.8 Matrix-Vector Products
#
# One dot product for each row of the matrix.

# %%
A.shape, x.shape, np.dot(A, x)

# %% [markdown]
# ## 2.3.9 Matrix-Matrix Multiplication
#
# One matrix-vector product for each column of the second matrix.

# %%
B = np.ones(shape=(4, 3))
np.dot(A, B)

# %% [markdown]
# ## 2.3.10 Norms
#
# How large a vector or a matrix is: the L2 norm, the L1 norm and the
# Frobenius norm.

# %%
u = np.array([3, -4])
np.linalg.norm(u)

# %%
np.abs(u).sum()

# %%
np.linalg.norm(np.ones((4, 9)))
