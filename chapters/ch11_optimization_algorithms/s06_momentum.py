# %% [markdown] data=["airfoil"] needs=["11.5"]
# # 11.6 Momentum
#
# Average the past gradients: what points to and fro cancels, what points
# ahead adds up.
#
# It is part of nearly every optimizer that is in use. Look at the paths in
# the valley, with and without it, and at the losses, which all come down to
# about the same level.

# %% [markdown]
# ## 11.6.1 Basics

# %% [markdown]
# ### Leaky Averages
#
# No listing here: each step adds the new gradient to a share of the sum of
# the old ones.

# %% [markdown]
# ### An Ill-conditioned Problem
#
# A long valley: flat along the first variable, steep along the second, where
# this learning rate is nearly too large.

# %%
# %matplotlib inline
import d2l
from mxnet import np, npx
npx.set_np()

eta = 0.4
def f_2d(x1, x2):
    return 0.1 * x1 ** 2 + 2 * x2 ** 2
def gd_2d(x1, x2, s1, s2):
    return (x1 - eta * 0.2 * x1, x2 - eta * 4 * x2, 0, 0)

d2l.show_trace_2d(f_2d, d2l.train_2d(gd_2d))

# %% [markdown]
# A little more, and it diverges there.

# %%
eta = 0.6
d2l.show_trace_2d(f_2d, d2l.train_2d(gd_2d))

# %% [markdown]
# ### The Momentum Method
#
# With half of the last velocity kept, the same learning rate converges.

# %%
def momentum_2d(x1, x2, v1, v2):
    v1 = beta * v1 + 0.2 * x1
    v2 = beta * v2 + 4 * x2
    return x1 - eta * v1, x2 - eta * v2, v1, v2

eta, beta = 0.6, 0.5
d2l.show_trace_2d(f_2d, d2l.train_2d(momentum_2d))

# %% [markdown]
# And with a quarter, hardly.

# %%
eta, beta = 0.6, 0.25
d2l.show_trace_2d(f_2d, d2l.train_2d(momentum_2d))

# %% [markdown]
# ### Effective Sample Weight
#
# How long a gradient is remembered, for four shares.

# %%
gammas = [0.95, 0.9, 0.6, 0]
d2l.set_figsize((3.5, 2.5))
for gamma in gammas:
    x = np.arange(40).asnumpy()
    d2l.plt.plot(x, gamma ** x, label='gamma = %.2f' % gamma)
d2l.plt.xlabel('time')
d2l.plt.legend();

# %% [markdown]
# ## 11.6.2 Practical Experiments

# %% [markdown]
# ### Implementation from Scratch
#
# The state is a velocity for each parameter.

# %%
def init_momentum_states(feature_dim):
    v_w = np.zeros((feature_dim, 1))
    v_b = np.zeros(1)
    return (v_w, v_b)

def sgd_momentum(params, states, hyperparams):
    for p, v in zip(params, states):
        v[:] = hyperparams['momentum'] * v + p.grad
        p[:] -= hyperparams['lr'] * v

# %% [markdown]
# The airfoils of 11.5, with a momentum of 0.5.

# %%
def train_momentum(lr, momentum, num_epochs=2):
    d2l.train_ch11(sgd_momentum, init_momentum_states(feature_dim),
                   {'lr': lr, 'momentum': momentum}, data_iter,
                   feature_dim, num_epochs)

data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
train_momentum(0.02, 0.5)

# %% [markdown]
# With 0.9 the steps add up to more, and a smaller learning rate is needed.

# %%
train_momentum(0.01, 0.9)

# %% [markdown]
# Smaller still:

# %%
train_momentum(0.005, 0.9)

# %% [markdown]
# ### Concise Implementation
#
# Gluon's optimizer takes momentum as a hyperparameter.

# %%
d2l.train_gluon_ch11('sgd', {'learning_rate': 0.005, 'momentum': 0.9},
                     data_iter)

# %% [markdown]
# ## 11.6.3 Theoretical Analysis

# %% [markdown]
# ### Quadratic Convex Functions
#
# No listing here: in the right coordinates such a function is a sum of
# parabolas, each for itself.

# %% [markdown]
# ### Scalar Functions
#
# For one parabola of curvature lambda, the error shrinks by a factor of 1 -
# 0.1 lambda each step: to and fro where that is negative.

# %%
lambdas = [0.1, 1, 10, 19]
eta = 0.1
d2l.set_figsize((6, 4))
for lam in lambdas:
    t = np.arange(20).asnumpy()
    d2l.plt.plot(t, (1 - eta * lam) ** t, label='lambda = %.2f' % lam)
d2l.plt.xlabel('time')
d2l.plt.legend();
