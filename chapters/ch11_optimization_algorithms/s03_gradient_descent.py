# %% [markdown] needs=["11.2"]
# # 11.3 Gradient Descent
#
# Walk downhill: with steps of a fixed size, in one dimension and in two, and
# with steps that know the curvature.
#
# Every optimizer of the chapter changes something in this one. Look at the
# path over the contours, and compare a learning rate that is too small, right
# and too large.

# %% [markdown]
# ## 11.3.1 Gradient Descent in One Dimension
#
# A parabola and its derivative.

# %%
# %matplotlib inline
import d2l
from mxnet import np, npx
npx.set_np()

def f(x):
    return x**2  # Objective function

def gradf(x):
    return 2 * x  # Its derivative

# %% [markdown]
# Ten steps from 10, each as long as the learning rate times the derivative.

# %%
def gd(eta):
    x = 10
    results = [x]
    for i in range(10):
        x -= eta * gradf(x)
        results.append(x)
    print('epoch 10, x:', x)
    return results

res = gd(0.2)

# %% [markdown]
# The steps, on the curve.

# %%
def show_trace(res):
    n = max(abs(min(res)), abs(max(res)))
    f_line = np.arange(-n, n, 0.01)
    d2l.set_figsize((3.5, 2.5))
    d2l.plot([f_line, res], [[f(x) for x in f_line], [f(x) for x in res]],
             'x', 'f(x)', fmts=['-', '-o'])

show_trace(res)

# %% [markdown]
# ### Learning Rate
#
# Too small, and ten steps do not get far.

# %%
show_trace(gd(0.05))

# %% [markdown]
# Too large, and each step overshoots more than the one before.

# %%
show_trace(gd(1.1))

# %% [markdown]
# ### Local Minima
#
# On a function with many minima a large learning rate leaps into some other
# one.

# %%
c = 0.15 * np.pi

def f(x):
    return x * np.cos(c * x)

def gradf(x):
    return np.cos(c * x) - c * x * np.sin(c * x)

show_trace(gd(2))

# %% [markdown]
# ## 11.3.2 Multivariate Gradient Descent
#
# Two functions for the rest of the chapter: run an optimizer on a function of
# two variables, from (-5, -2), and draw its path over the contours.

# %%
# Saved in the d2l package for later use
def train_2d(trainer, steps=20):
    """Optimize a 2-dim objective function with a customized trainer."""
    # s1 and s2 are internal state variables and will
    # be used later in the chapter
    x1, x2, s1, s2 = -5, -2, 0, 0
    results = [(x1, x2)]
    for i in range(steps):
        x1, x2, s1, s2 = trainer(x1, x2, s1, s2)
        results.append((x1, x2))
    print('epoch %d, x1 %f, x2 %f' % (i + 1, x1, x2))
    return results

# Saved in the d2l package for later use
def show_trace_2d(f, results):
    """Show the trace of 2D variables during optimization."""
    d2l.set_figsize((3.5, 2.5))
    d2l.plt.plot(*zip(*results), '-o', color='#ff7f0e')
    x1, x2 = np.meshgrid(np.arange(-5.5, 1.0, 0.1), np.arange(-3.0, 1.0, 0.1))
    d2l.plt.contour(x1, x2, f(x1, x2), colors='#1f77b4')
    d2l.plt.xlabel('x1')
    d2l.plt.ylabel('x2')

# %% [markdown]
# Gradient descent, with a learning rate of 0.1.

# %%
def f(x1, x2):
    return x1 ** 2 + 2 * x2 ** 2  # Objective

def gradf(x1, x2):
    return (2 * x1, 4 * x2)  # Gradient

def gd(x1, x2, s1, s2):
    (g1, g2) = gradf(x1, x2)  # Compute gradient
    return (x1 - eta * g1, x2 - eta * g2, 0, 0)  # Update variables

eta = 0.1
show_trace_2d(f, train_2d(gd))

# %% [markdown]
# ## 11.3.3 Adaptive Methods

# %% [markdown]
# ### Newton's Method
#
# Divided by the second derivative, the step has the right length by itself.

# %%
c = 0.5

def f(x):
    return np.cosh(c * x)  # Objective

def gradf(x):
    return c * np.sinh(c * x)  # Derivative

def hessf(x):
    return c**2 * np.cosh(c * x)  # Hessian

# Hide learning rate for now
def newton(eta=1):
    x = 10
    results = [x]
    for i in range(10):
        x -= eta * gradf(x) / hessf(x)
        results.append(x)
    print('epoch 10, x:', x)
    return results

show_trace(newton())

# %% [markdown]
# Where the function is not convex, that leads astray: uphill.

# %%
c = 0.15 * np.pi

def f(x):
    return x * np.cos(c * x)

def gradf(x):
    return np.cos(c * x) - c * x * np.sin(c * x)

def hessf(x):
    return - 2 * c * np.sin(c * x) - x * c**2 * np.cos(c * x)

show_trace(newton())

# %% [markdown]
# Half the step helps here.

# %%
show_trace(newton(0.5))

# %% [markdown]
# ### Convergence Analysis
#
# No listing here: near the minimum, Newton's method squares the error at each
# step.

# %% [markdown]
# ### Preconditioning
#
# No listing here: the diagonal of the second derivatives is cheaper than all
# of them.

# %% [markdown]
# ### Gradient Descent with Line Search
#
# No listing here: choose each step's length by searching along it.
