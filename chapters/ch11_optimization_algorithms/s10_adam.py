# %% [markdown] data=["airfoil"] needs=["11.6", "11.8"]
# # 11.10 Adam
#
# Momentum and RMSProp together, and what happens where the second of them
# makes steps too large.
#
# It is what most people try first. Look at the loss on the airfoils, which
# comes down to the same level with no tuning to speak of, and at the one line
# of the code in which Yogi differs.

# %% [markdown]
# ## 11.10.1 The Algorithm
#
# No listing here: both averages start at zero, and are divided by what they
# lack at first.

# %% [markdown]
# ## 11.10.2 Implementation
#
# From scratch; `t` counts the steps.

# %%
# %matplotlib inline
import d2l
from mxnet import np, npx
npx.set_np()

def init_adam_states(feature_dim):
    v_w, v_b = np.zeros((feature_dim, 1)), np.zeros(1)
    s_w, s_b = np.zeros((feature_dim, 1)), np.zeros(1)
    return ((v_w, s_w), (v_b, s_b))

def adam(params, states, hyperparams):
    beta1, beta2, eps = 0.9, 0.999, 1e-6
    for p, (v, s) in zip(params, states):
        v[:] = beta1 * v + (1 - beta1) * p.grad
        s[:] = beta2 * s + (1 - beta2) * np.square(p.grad)
        v_bias_corr = v / (1 - beta1 ** hyperparams['t'])
        s_bias_corr = s / (1 - beta2 ** hyperparams['t'])
        p[:] -= hyperparams['lr'] * v_bias_corr / (np.sqrt(s_bias_corr) + eps)
    hyperparams['t'] += 1

# %% [markdown]
# On the airfoils:

# %%
data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
d2l.train_ch11(adam, init_adam_states(feature_dim),
               {'lr': 0.01, 't': 1}, data_iter, feature_dim);

# %% [markdown]
# Gluon's own.

# %%
d2l.train_gluon_ch11('adam', {'learning_rate': 0.01}, data_iter)

# %% [markdown]
# ## 11.10.3 Yogi
#
# The average of the squares moves by an amount that does not depend on how
# far off it is, so that one large gradient is not forgotten too soon.

# %%
def yogi(params, states, hyperparams):
    beta1, beta2, eps = 0.9, 0.999, 1e-3
    for p, (v, s) in zip(params, states):
        v[:] = beta1 * v + (1 - beta1) * p.grad
        s[:] = s + (1 - beta2) * np.sign(
            np.square(p.grad) - s) * np.square(p.grad)
        v_bias_corr = v / (1 - beta1 ** hyperparams['t'])
        s_bias_corr = s / (1 - beta2 ** hyperparams['t'])
        p[:] -= hyperparams['lr'] * v_bias_corr / (np.sqrt(s_bias_corr) + eps)
    hyperparams['t'] += 1

data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
d2l.train_ch11(yogi, init_adam_states(feature_dim),
               {'lr': 0.01, 't': 1}, data_iter, feature_dim);
