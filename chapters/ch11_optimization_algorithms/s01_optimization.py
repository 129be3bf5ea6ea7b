# %% [markdown] needs=["2.4"]
# # 11.1 Optimization and Deep Learning
#
# What an optimizer is asked for, what one wants of it, and three things that
# get in its way.
#
# The chapter is about how to find a minimum, and this shows what can go
# wrong. In the figures, look at the place where the slope is zero without
# there being a minimum.

# %% [markdown]
# ## 11.1.1 Optimization and Estimation
#
# An optimizer makes the training error small; what one is after is a small
# error on new data. A helper for arrows in figures:

# %%
# %matplotlib inline
import d2l
from mpl_toolkits import mplot3d
from mxnet import np, npx
npx.set_np()

# Saved in the d2l package for later use
def annotate(text, xy, xytext):
    d2l.plt.gca().annotate(text, xy=xy, xytext=xytext,
                           arrowprops=dict(arrowstyle='->'))

# %% [markdown]
# The risk over the training data has its minimum at another place than the
# expected one.

# %%
def f(x): return x * np.cos(np.pi * x)
def g(x): return f(x) + 0.2 * np.cos(5 * np.pi * x)

d2l.set_figsize((4.5, 2.5))
x = np.arange(0.5, 1.5, 0.01)
d2l.plot(x, [f(x), g(x)], 'x', 'risk')
annotate('empirical risk', (1.0, -1.2), (0.5, -1.1))
annotate('expected risk', (1.1, -1.05), (0.95, -0.5))

# %% [markdown]
# ## 11.1.2 Optimization Challenges in Deep Learning

# %% [markdown]
# ### Local Minima
#
# Near a local minimum there is nothing better, farther away there is.

# %%
x = np.arange(-1.0, 2.0, 0.01)
d2l.plot(x, [f(x), ], 'x', 'f(x)')
annotate('local minimum', (-0.3, -0.25), (-0.77, -1.0))
annotate('global minimum', (1.1, -0.95), (0.6, 0.8))

# %% [markdown]
# ### Saddle Points
#
# The gradient is zero, and it is no minimum either.

# %%
x = np.arange(-2.0, 2.0, 0.01)
d2l.plot(x, [x**3], 'x', 'f(x)')
annotate('saddle point', (0, -0.2), (-0.52, -5.0))

# %% [markdown]
# With two variables it looks like a saddle: a minimum along one, a maximum
# along the other.

# %%
x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101),
                   indexing='ij')

z = x**2 - y**2

ax = d2l.plt.figure().add_subplot(111, projection='3d')
ax.plot_wireframe(x, y, z, **{'rstride': 10, 'cstride': 10})
ax.plot([0], [0], [0], 'rx')
ticks = [-1, 0, 1]
d2l.plt.xticks(ticks)
d2l.plt.yticks(ticks)
ax.set_zticks(ticks)
d2l.plt.xlabel('x')
d2l.plt.ylabel('y');

# %% [markdown]
# ### Vanishing Gradients
#
# Far out, the hyperbolic tangent is flat, and progress nearly stops.

# %%
x = np.arange(-2.0, 5.0, 0.01)
d2l.plot(x, [np.tanh(x)], 'x', 'f(x)')
annotate('vanishing gradient', (4, 1), (2, 0.0))
