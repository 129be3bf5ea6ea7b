# %% [markdown] data=["fashion_mnist"] needs=["2.3"]
# # 17.1 Geometry and Linear Algebraic Operations
#
# What vectors and matrices look like: angles, hyperplanes that separate two
# classes, what a matrix does to space, and Einstein's way to write sums.
#
# Look at what a matrix does to angles and areas, at the mean pictures of two
# classes, and at how far a plane between them classifies. The later sections
# of the appendix use its vectors.

# %% [markdown]
# ## 17.1.1 Geometry of Vectors
#
# A list of numbers is a point in space, or the arrow that leads there.

# %%
v = [1, 7, 0, 1]

# %% [markdown]
# ## 17.1.2 Dot Products and Angles
#
# The dot product of two vectors, divided by their lengths, is the cosine of
# the angle between them. The angle is in radians.

# %%
# %matplotlib inline
import d2l
from IPython import display
from mxnet import gluon, np, npx
npx.set_np()

def angle(v, w):
    return np.arccos(v.dot(w) / (np.linalg.norm(v) * np.linalg.norm(w)))

angle(np.array([0, 1, 2]), np.array([2, 3, 4]))

# %% [markdown]
# ### Cosine Similarity
#
# No listing here: the cosine itself, from -1 to 1, says how much two vectors
# point the same way.

# %% [markdown]
# ## 17.1.3 Hyperplanes
#
# All points with the same dot product with a vector w make a plane at right
# angles to it, and the plane cuts space in two. T-shirts and trousers of
# Fashion-MNIST are told apart that way, with nothing learned: w leads from
# the average of one class to the average of the other.

# %%
# Load in the dataset
train = gluon.data.vision.FashionMNIST(train=True)
test = gluon.data.vision.FashionMNIST(train=False)

X_train_0 = np.stack([x[0] for x in train if x[1] == 0]).astype(float)
X_train_1 = np.stack([x[0] for x in train if x[1] == 1]).astype(float)
X_test = np.stack(
    [x[0] for x in test if x[1] == 0 or x[1] == 1]).astype(float)
y_test = np.stack(
    [x[1] for x in test if x[1] == 0 or x[1] == 1]).astype(float)

# Compute averages
ave_0 = np.mean(X_train_0, axis=0)
ave_1 = np.mean(X_train_1, axis=0)

# %% [markdown]
# The average of class 0 is a blurred T-shirt ...

# %%
# Plot average t-shirt
d2l.set_figsize()
d2l.plt.imshow(ave_0.reshape(28, 28).tolist(), cmap='Greys')
d2l.plt.show()

# %% [markdown]
# ... and the average of class 1 a blurred pair of trousers.

# %%
# Plot average trousers
d2l.plt.imshow(ave_1.reshape(28, 28).tolist(), cmap='Greys')
d2l.plt.show()

# %% [markdown]
# The threshold was chosen by eye, for the real images. (As printed, `.T` also
# transposes the image that w is, so that more are mistaken than need be.)

# %%
# Print test set accuracy with eyeballed threshold
w = (ave_1 - ave_0).T
predictions = X_test.reshape(2000, -1).dot(w.flatten()) > -1500000

# Accuracy
np.mean(predictions.astype(y_test.dtype) == y_test, dtype=np.float64)

# %% [markdown]
# ## 17.1.4 Geometry of Linear Transformations
#
# No listing here: a matrix moves the corners of the unit grid, and takes the
# rest of the plane along.

# %% [markdown]
# ## 17.1.5 Linear Dependence
#
# No listing here: columns that lie on one line squash the plane onto it.

# %% [markdown]
# ## 17.1.6 Rank
#
# No listing here: the number of columns that do not depend on the others.

# %% [markdown]
# ## 17.1.7 Invertibility
#
# The product of a matrix and its inverse is the identity.

# %%
M = np.array([[1, 2], [1, 4]])
M_inv = np.array([[2, -1], [-0.5, 0.5]])
M_inv.dot(M)

# %% [markdown]
# ### Numerical Issues
#
# No listing here: solving with the inverse loses digits, and storage too
# where a matrix is mostly zeros.

# %% [markdown]
# ## 17.1.8 Determinant
#
# By how much a matrix scales areas. From here on `np` is NumPy itself.

# %%
import numpy as np
np.linalg.det(np.array([[1, -1], [2, 3]]))

# %% [markdown]
# ## 17.1.9 Tensors and Common Linear Algebra Operations
#
# Sums over a shared index, which most operations of linear algebra are.

# %% [markdown]
# ### Expressing in Code
#
# `einsum` reads them almost as they are written on paper. Three tensors of
# two, three and one axes:

# %%
# Define tensors
B = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]])
A = np.array([[1, 2], [3, 4]])
v = np.array([1, 2])

# Print out the shapes
A.shape, B.shape, v.shape

# %% [markdown]
# A matrix times a vector sums over the index `j` ...

# %%
# Reimplement matrix multiplication
np.einsum("ij, j -> i", A, v), A.dot(v)

# %% [markdown]
# ... and this sums over the indices `i` and `j`, so that `k` and `l` stay.

# %%
np.einsum("ijk, il, j -> kl", B, A, v)

# %% [markdown]
# The axes can also be given as numbers.

# %%
np.einsum(B, [0, 1, 2], A, [0, 3], v, [1], [2, 3])
