# %% [markdown] needs=["17.3"]
# # 17.5 Integral Calculus
#
# Areas under curves and volumes under surfaces, as sums of ever thinner
# slices.
#
# Look at the sums of slices beside the integral that they approach, and at
# the area under a two-dimensional bell, which takes one more integral.

# %% [markdown]
# ## 17.5.1 Geometric Interpretation
#
# The area between a function and the axis.

# %%
# %matplotlib inline
import d2l
from IPython import display
from mpl_toolkits import mplot3d
from mxnet import np, npx
npx.set_np()

x = np.arange(-2, 2, 0.01)
f = np.exp(-x**2)

d2l.set_figsize()
d2l.plt.plot(x, f, color='black')
d2l.plt.fill_between(x.tolist(), f.tolist())
d2l.plt.show()

# %% [markdown]
# The area over an interval only, from -1.5 to 0.5.

# %%
x = np.arange(-2, 2, 0.01)
f = np.exp(-x**2)

d2l.set_figsize()
d2l.plt.plot(x, f, color='black')
d2l.plt.fill_between(x.tolist()[50:250], f.tolist()[50:250])
d2l.plt.show()

# %% [markdown]
# Rectangles cover it nearly. What the book prints as the truth is log(2)/2,
# the area up to 1; up to 2, as here, it is log(5)/2, about 0.805.

# %%
epsilon = 0.05
a = 0
b = 2

x = np.arange(a, b, epsilon)
f = x / (1 + x**2)

approx = np.sum(epsilon*f)
true = np.log(2) / 2

d2l.set_figsize()
d2l.plt.bar(x.asnumpy(), f.asnumpy(), width=epsilon, align='edge')
d2l.plt.plot(x, f, color='black')
d2l.plt.ylim([0, 1])
d2l.plt.show()

"Approximation: {}, Truth: {}".format(approx, true)

# %% [markdown]
# ## 17.5.2 The Fundamental Theorem of Calculus
#
# No listing here: the area up to x, as a function of x, has the function
# itself as its derivative.

# %% [markdown]
# ## 17.5.3 Change of Variables
#
# No listing here: the chain rule, for integrals.

# %% [markdown]
# ## 17.5.4 A Comment on Sign Conventions
#
# No listing here: areas below the axis, and from right to left, are negative.

# %% [markdown]
# ## 17.5.5 Multiple Integrals
#
# A function of two variables has a volume below it.

# %%
# Construct grid and compute function
x, y = np.meshgrid(np.linspace(-2, 2, 101), np.linspace(-2, 2, 101),
                   indexing='ij')
z = np.exp(- x**2 - y**2)

# Plot function
ax = d2l.plt.figure().add_subplot(111, projection='3d')
ax.plot_wireframe(x, y, z)
d2l.plt.xlabel('x')
d2l.plt.ylabel('y')
d2l.plt.xticks([-2, -1, 0, 1, 2])
d2l.plt.yticks([-2, -1, 0, 1, 2])
d2l.set_figsize()
ax.set_xlim(-2, 2)
ax.set_ylim(-2, 2)
ax.set_zlim(0, 1)
ax.dist = 12

# %% [markdown]
# ## 17.5.6 Change of Variables in Multiple Integrals
#
# No listing here: the determinant of the derivatives says by how much a small
# cube is stretched.
