# %% [markdown] needs=["17.1"]
# # 17.2 Eigendecompositions
#
# Directions that a matrix only stretches, how to bound the factors without
# computing them, and why they rule what happens when a matrix is applied
# again and again.
#
# Look at the growth of a vector under a random matrix, again and again: it
# settles at the size of the largest eigenvalue, which is why networks explode
# or vanish.

# %% [markdown]
# ## 17.2.1 Finding Eigenvalues
#
# The eigenvalues, then the eigenvectors as columns of length 1. This section
# uses NumPy throughout.

# %%
# %matplotlib inline
import d2l
from IPython import display
import numpy as np

np.linalg.eig(np.array([[2, 1], [2, 3]]))

# %% [markdown]
# ## 17.2.2 Decomposing Matrices
#
# No listing here: a matrix is the product of its eigenvectors, the diagonal
# of its eigenvalues and the inverse of the eigenvectors.

# %% [markdown]
# ## 17.2.3 Operations on Eigendecompositions
#
# No listing here: powers, inverse, determinant and rank can be read off.

# %% [markdown]
# ## 17.2.4 Eigendecompositions of Symmetric Matrices
#
# No listing here: their eigenvectors can be chosen at right angles.

# %% [markdown]
# ## 17.2.5 Gershgorin Circle Theorem
#
# Each eigenvalue lies around an entry of the diagonal, no farther away than
# the rest of that row adds up to. Here the rows allow 0.3, 0.6, 0.8 and 0.9.

# %%
A = np.array([[1.0, 0.1, 0.1, 0.1],
              [0.1, 3.0, 0.2, 0.3],
              [0.1, 0.2, 5.0, 0.5],
              [0.1, 0.3, 0.5, 9.0]])

v, _ = np.linalg.eig(A)
v

# %% [markdown]
# ## 17.2.6 A Useful Application: The Growth of Iterated Maps
#
# A random matrix, as if it were the weights of a layer that is applied over
# and over.

# %%
np.random.seed(8675309)

k = 5
A = np.random.randn(k, k)
A

# %% [markdown]
# ### Behavior on Random Data
#
# A random vector is multiplied by the matrix a hundred times; its norm grows
# without bound.

# %%
# Calculate the sequence of norms after repeatedly applying A
v_in = np.random.randn(k, 1)

norm_list = [np.linalg.norm(v_in)]
for i in range(1, 100):
    v_in = A.dot(v_in)
    norm_list.append(np.linalg.norm(v_in))

d2l.plot(np.arange(0, 100), norm_list, 'Iteration', 'Value')

# %% [markdown]
# From one step to the next it grows by a factor that settles.

# %%
# Compute the scaling factor of the norms
norm_ratio_list = []
for i in range(1, 100):
    norm_ratio_list.append(norm_list[i]/norm_list[i - 1])

d2l.plot(np.arange(1, 100), norm_ratio_list, 'Iteration', 'Ratio')

# %% [markdown]
# ### Relating Back to Eigenvectors
#
# The factor is the norm of the largest eigenvalue, complex ones included.

# %%
# Compute the eigenvalues
eigs = np.linalg.eigvals(A).tolist()
norm_eigs = [np.absolute(x) for x in eigs]
norm_eigs.sort()
"Norms of eigenvalues: {}".format(norm_eigs)

# %% [markdown]
# ### Fixing the Normalization
#
# Divided by that norm, the matrix lets a vector neither explode nor vanish.

# %%
# Rescale the matrix A
A /= norm_eigs[-1]

# Do the same experiment again
v_in = np.random.randn(k, 1)

norm_list = [np.linalg.norm(v_in)]
for i in range(1, 100):
    v_in = A.dot(v_in)
    norm_list.append(np.linalg.norm(v_in))

d2l.plot(np.arange(0, 100), norm_list, 'Iteration', 'Value')

# %% [markdown]
# The factor settles at 1.

# %%
# Also plot the ratio
norm_ratio_list = []
for i in range(1, 100):
    norm_ratio_list.append(norm_list[i]/norm_list[i-1])

d2l.plot(np.arange(1, 100), norm_ratio_list, 'Iteration', 'Ratio')

# %% [markdown]
# ## 17.2.7 Conclusions
#
# No listing here: that is why the scale of initial weights matters so much.
