# %% [markdown] needs=["2.4"]
# # 17.3 Single Variable Calculus
#
# Derivatives: how a function changes when its argument moves a little, the
# rules that compute them, and the polynomials that follow from them.
#
# Look at the curve under the microscope: at each step it is nearer to a
# straight line; and at how well Taylor's polynomials of higher degree follow
# the function.

# %% [markdown]
# ## 17.3.1 Differential Calculus
#
# A curve looks straight when one comes close enough. From far away:

# %%
# %matplotlib inline
import d2l
from IPython import display
from mxnet import np, npx
npx.set_np()

# Plot a function in a normal range
x_big = np.arange(0.01, 3.01, 0.01)
ys = np.sin(x_big**x_big)
d2l.plot(x_big, ys, 'x', 'f(x)')

# %% [markdown]
# Closer, half a unit wide:

# %%
# Plot a the same function in a tiny range
x_med = np.arange(1.75, 2.25, 0.001)
ys = np.sin(x_med**x_med)
d2l.plot(x_med, ys, 'x', 'f(x)')

# %% [markdown]
# And a hundredth wide:

# %%
# Plot a the same function in a tiny range
x_small = np.arange(2.0, 2.01, 0.0001)
ys = np.sin(x_small**x_small)
d2l.plot(x_small, ys, 'x', 'f(x)')

# %% [markdown]
# The slope at a point, from smaller and smaller steps; it settles at 8.

# %%
# Define our function
def L(x):
    return x**2 + 1701*(x-4)**3

# Print the difference divided by epsilon for several epsilon
for epsilon in [0.1, 0.001, 0.0001, 0.00001]:
    print("epsilon = {:.5f} -> {:.5f}".format(
        epsilon, (L(4+epsilon) - L(4)) / epsilon))

# %% [markdown]
# ## 17.3.2 Rules of Calculus
#
# The derivatives of common functions, and of sums, products and functions of
# functions.

# %% [markdown]
# ### Linear Approximation
#
# The tangent line follows the sine near the point where it touches.

# %%
# Compute sin
xs = np.arange(-np.pi, np.pi, 0.01)
plots = [np.sin(xs)]

# Compute some linear approximations. Use d(sin(x))/dx = cos(x)
for x0 in [-1.5, 0, 2]:
    plots.append(np.sin(x0) + (xs - x0) * np.cos(x0))

d2l.plot(xs, plots, 'x', 'f(x)', ylim=[-1.5, 1.5])

# %% [markdown]
# ### Higher Order Derivatives
#
# With the second derivative a parabola follows it farther.

# %%
# Compute sin
xs = np.arange(-np.pi, np.pi, 0.01)
plots = [np.sin(xs)]

# Compute some quadratic approximations. Use d(sin(x))/dx = cos(x)
for x0 in [-1.5, 0, 2]:
    plots.append(np.sin(x0) + (xs - x0) * np.cos(x0) -
                              (xs - x0)**2 * np.sin(x0) / 2)

d2l.plot(xs, plots, 'x', 'f(x)', ylim=[-1.5, 1.5])

# %% [markdown]
# ### Taylor Series
#
# And with more derivatives a polynomial of higher degree: 1, 2 and 5 for the
# exponential function at 0.

# %%
# Compute the exponential function
xs = np.arange(0, 3, 0.01)
ys = np.exp(xs)

# Compute a few Taylor series approximations
P1 = 1 + xs
P2 = 1 + xs + xs**2 / 2
P5 = 1 + xs + xs**2 / 2 + xs**3 / 6 + xs**4 / 24 + xs**5 / 120

d2l.plot(xs, [ys, P1, P2, P5], 'x', 'f(x)', legend=[
    "Exponential", "Degree 1 Taylor Series", "Degree 2 Taylor Series",
    "Degree 5 Taylor Series"])
