# %% [markdown] needs=["11.3"]
# # 11.4 Stochastic Gradient Descent
#
# Gradients with noise, as from single examples, and learning rates that fall
# so that the noise dies down.
#
# Networks are never trained on all the data at once. Look at the end of each
# path, which does not rest while the learning rate stays the same, and does
# when it falls at the right pace.

# %%
# %matplotlib inline
import d2l
import math
from mxnet import np, npx
npx.set_np()

# %% [markdown]
# ## 11.4.1 Stochastic Gradient Updates
#
# The gradient of 11.3, to which noise is added, of mean 0.1 and standard
# deviation 1. With a constant learning rate the path never comes to rest.

# %%
def f(x1, x2):
    return x1 ** 2 + 2 * x2 ** 2  # Objective

def gradf(x1, x2):
    return (2 * x1, 4 * x2)  # Gradient

def sgd(x1, x2, s1, s2):  # Simulate noisy gradient
    global lr  # Learning rate scheduler
    (g1, g2) = gradf(x1, x2)  # Compute gradient
    (g1, g2) = (g1 + np.random.normal(0.1), g2 + np.random.normal(0.1))
    eta_t = eta * lr()  # Learning rate at time t
    return (x1 - eta_t * g1, x2 - eta_t * g2, 0, 0)  # Update variables

eta = 0.1
lr = (lambda: 1)  # Constant learning rate
d2l.show_trace_2d(f, d2l.train_2d(sgd, steps=50))

# %% [markdown]
# ## 11.4.2 Dynamic Learning Rate
#
# A learning rate that falls exponentially stops before it has arrived, even
# with a thousand steps.

# %%
def exponential():
    global ctr
    ctr += 1
    return math.exp(-0.1 * ctr)

ctr = 1
lr = exponential  # Set up learning rate
d2l.show_trace_2d(f, d2l.train_2d(sgd, steps=1000))

# %% [markdown]
# One that falls as a power of the step arrives in fifty.

# %%
def polynomial():
    global ctr
    ctr += 1
    return (1 + 0.1 * ctr)**(-0.5)

ctr = 1
lr = polynomial  # Set up learning rate
d2l.show_trace_2d(f, d2l.train_2d(sgd, steps=50))

# %% [markdown]
# ## 11.4.3 Convergence Analysis for Convex Objectives
#
# No listing here: with a suitable learning rate the error falls as one over
# the square root of the steps.

# %% [markdown]
# ## 11.4.4 Stochastic Gradients and Finite Samples
#
# No listing here: examples are drawn without being put back, so that an epoch
# sees each once.
