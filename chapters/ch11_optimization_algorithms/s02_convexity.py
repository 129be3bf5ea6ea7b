# %% [markdown] needs=["11.1"]
# # 11.2 Convexity
#
# The functions for which optimization is easy: what they look like and what
# follows from it.
#
# Where a function is convex, what follows can be proved. Look at the chords,
# the dashed lines: they lie above the curve of a convex function, and below
# it somewhere for any other.

# %% [markdown]
# ## 11.2.1 Basics

# %% [markdown]
# ### Sets
#
# No listing here: a set is convex if it holds the line between any two of its
# points.

# %% [markdown]
# ### Functions
#
# A function is convex if no line between two of its points runs below it.

# %%
# %matplotlib inline
import d2l
from mpl_toolkits import mplot3d
from mxnet import np, npx
npx.set_np()

# %% [markdown]
# The first and the last are, the cosine is not.

# %%
def f(x):
    return 0.5 * x**2  # Convex

def g(x):
    return np.cos(np.pi * x)  # Nonconvex

def h(x):
    return np.exp(0.5 * x)  # Convex

x, segment = np.arange(-2, 2, 0.01), np.array([-1.5, 1])
d2l.use_svg_display()
_, axes = d2l.plt.subplots(1, 3, figsize=(9, 3))

for ax, func in zip(axes, [f, g, h]):
    d2l.plot([x, segment], [func(x), func(segment)], axes=ax)

# %% [markdown]
# ## 11.2.2 Properties

# %% [markdown]
# ### No Local Minima
#
# A function that is not convex can have a minimum that is no global one: this
# one at 1, for it goes below that farther left.

# %%
def f(x):
    return (x-1)**2 * (x+1)

d2l.set_figsize((3.5, 2.5))
d2l.plot([x, segment], [f(x), f(segment)], 'x', 'f(x)')

# %% [markdown]
# ### Convex Functions and Sets
#
# Where a convex function stays below a level is a convex set. This function,
# a parabola along x and a cosine along y, is not convex, and its contours
# show it.

# %%
x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101),
                   indexing='ij')

z = x**2 + 0.5 * np.cos(2 * np.pi * y)

# Plot the 3D surface
d2l.set_figsize((6, 4))
ax = d2l.plt.figure().add_subplot(111, projection='3d')
ax.plot_wireframe(x, y, z, **{'rstride': 10, 'cstride': 10})
ax.contour(x, y, z, offset=-1)
ax.set_zlim(-1, 1.5)

# Adjust labels
for func in [d2l.plt.xticks, d2l.plt.yticks, ax.set_zticks]:
    func([-1, 0, 1])

# %% [markdown]
# ### Derivatives and Convexity
#
# A function is convex where its second derivative is not negative: a chord
# from a to b lies above any x between them.

# %%
def f(x):
    return 0.5 * x**2

x = np.arange(-2, 2, 0.01)
axb, ab = np.array([-1.5, -0.5, 1]), np.array([-1.5, 1])

d2l.set_figsize((3.5, 2.5))
d2l.plot([x, axb, ab], [f(x) for x in [x, axb, ab]], 'x', 'f(x)')
d2l.annotate('a', (-1.5, f(-1.5)), (-1.5, 1.5))
d2l.annotate('b', (1, f(1)), (1, 1.5))
d2l.annotate('x', (-0.5, f(-0.5)), (-1.5, f(-0.5)))

# %% [markdown]
# ## 11.2.3 Constraints
#
# No listing here: Lagrange multipliers, penalties and projections keep a
# solution inside of a set.
