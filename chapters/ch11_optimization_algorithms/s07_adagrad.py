# %% [markdown] data=["airfoil"] needs=["11.6"]
# # 11.7 Adagrad
#
# A learning rate for each parameter, smaller where gradients have been large.
#
# Rare words and clicks have gradients that come seldom, and one rate for all
# does not suit them. Look at how the path turns towards the minimum and slows
# down; a larger rate helps here, unlike before.

# %% [markdown]
# ## 11.7.1 Sparse Features and Learning Rates
#
# No listing here: the weights of rare features get few gradients, and should
# not have to share the falling learning rate of the common ones.

# %% [markdown]
# ## 11.7.2 Preconditioning
#
# No listing here: the sum of the squared gradients stands in for the
# curvature.

# %% [markdown]
# ## 11.7.3 The Algorithm
#
# On the valley of 11.6: no oscillation, but the steps die out early.

# %%
# %matplotlib inline
import d2l
import math
from mxnet import np, npx
npx.set_np()

def adagrad_2d(x1, x2, s1, s2):
    eps = 1e-6
    g1, g2 = 0.2 * x1, 4 * x2
    s1 += g1 ** 2
    s2 += g2 ** 2
    x1 -= eta / math.sqrt(s1 + eps) * g1
    x2 -= eta / math.sqrt(s2 + eps) * g2
    return x1, x2, s1, s2

def f_2d(x1, x2):
    return 0.1 * x1 ** 2 + 2 * x2 ** 2

eta = 0.4
d2l.show_trace_2d(f_2d, d2l.train_2d(adagrad_2d))

# %% [markdown]
# So a much larger learning rate is right.

# %%
eta = 2
d2l.show_trace_2d(f_2d, d2l.train_2d(adagrad_2d))

# %% [markdown]
# ## 11.7.4 Implementation from Scratch
#
# The state is a sum of squares for each parameter.

# %%
def init_adagrad_states(feature_dim):
    s_w = np.zeros((feature_dim, 1))
    s_b = np.zeros(1)
    return (s_w, s_b)

def adagrad(params, states, hyperparams):
    eps = 1e-6
    for p, s in zip(params, states):
        s[:] += np.square(p.grad)
        p[:] -= hyperparams['lr'] * p.grad / np.sqrt(s + eps)

# %% [markdown]
# On the airfoils:

# %%
data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
d2l.train_ch11(adagrad, init_adagrad_states(feature_dim),
               {'lr': 0.1}, data_iter, feature_dim);

# %% [markdown]
# ## 11.7.5 Concise Implementation
#
# Gluon's own.

# %%
d2l.train_gluon_ch11('adagrad', {'learning_rate': 0.1}, data_iter)
