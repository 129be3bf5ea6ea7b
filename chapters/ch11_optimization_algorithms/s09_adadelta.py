# %% [markdown] data=["airfoil"] needs=["11.8"]
# # 11.9 Adadelta
#
# RMSProp without a learning rate: steps as large as the last ones were, on
# average.
#
# No learning rate is left to choose, only how fast to forget. Look at the
# loss on the airfoils, which falls to the level of the other optimizers of
# the chapter, with the listing as with Gluon's version. It is less in use
# than the others, and closes the line from Adagrad on.

# %% [markdown]
# ## 11.9.1 The Algorithm
#
# No listing here: the state is two leaky averages, one of squared gradients
# and one of squared steps.

# %% [markdown]
# ## 11.9.2 Implementation
#
# From scratch.

# %%
# %matplotlib inline
import d2l
from mxnet import np, npx
npx.set_np()

def init_adadelta_states(feature_dim):
    s_w, s_b = np.zeros((feature_dim, 1)), np.zeros(1)
    delta_w, delta_b = np.zeros((feature_dim, 1)), np.zeros(1)
    return ((s_w, delta_w), (s_b, delta_b))

def adadelta(params, states, hyperparams):
    rho, eps = hyperparams['rho'], 1e-5
    for p, (s, delta) in zip(params, states):
        # In-place updates via [:]
        s[:] = rho * s + (1 - rho) * np.square(p.grad)
        g = (np.sqrt(delta + eps) / np.sqrt(s + eps)) * p.grad
        p[:] -= g
        delta[:] = rho * delta + (1 - rho) * g * g

# %% [markdown]
# On the airfoils:

# %%
data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
d2l.train_ch11(adadelta, init_adadelta_states(feature_dim),
               {'rho': 0.9}, data_iter, feature_dim);

# %% [markdown]
# Gluon's own.

# %%
d2l.train_gluon_ch11('adadelta', {'rho': 0.9}, data_iter)
