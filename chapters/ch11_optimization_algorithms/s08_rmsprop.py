# %% [markdown] data=["airfoil"] needs=["11.7"]
# # 11.8 RMSProp
#
# Adagrad with a sum that forgets, so that the learning rate need not fall.
#
# Forgetting is what keeps Adagrad from coming to a halt. Look at the weights
# in the first figure, which fall exponentially, and at the path in the
# valley, which reaches the minimum.

# %% [markdown]
# ## 11.8.1 The Algorithm
#
# How much a squared gradient still counts, after so many steps.

# %%
# %matplotlib inline
import d2l
import math
from mxnet import np, npx

npx.set_np()
d2l.set_figsize((3.5, 2.5))

gammas = [0.95, 0.9, 0.8, 0.7]
for gamma in gammas:
    x = np.arange(40).asnumpy()
    d2l.plt.plot(x, (1-gamma) * gamma ** x, label='gamma = %.2f' % gamma)
d2l.plt.xlabel('time');

# %% [markdown]
# On the valley of 11.6, it arrives where Adagrad stops early.

# %%
def rmsprop_2d(x1, x2, s1, s2):
    g1, g2, eps = 0.2 * x1, 4 * x2, 1e-6
    s1 = gamma * s1 + (1 - gamma) * g1 ** 2
    s2 = gamma * s2 + (1 - gamma) * g2 ** 2
    x1 -= eta / math.sqrt(s1 + eps) * g1
    x2 -= eta / math.sqrt(s2 + eps) * g2
    return x1, x2, s1, s2

def f_2d(x1, x2):
    return 0.1 * x1 ** 2 + 2 * x2 ** 2

eta, gamma = 0.4, 0.9
d2l.show_trace_2d(f_2d, d2l.train_2d(rmsprop_2d))

# %% [markdown]
# ## 11.8.2 Implementation from Scratch
#
# As Adagrad, but for the first line of the loop.

# %%
def init_rmsprop_states(feature_dim):
    s_w = np.zeros((feature_dim, 1))
    s_b = np.zeros(1)
    return (s_w, s_b)

def rmsprop(params, states, hyperparams):
    gamma, eps = hyperparams['gamma'], 1e-6
    for p, s in zip(params, states):
        s[:] = gamma * s + (1 - gamma) * np.square(p.grad)
        p[:] -= hyperparams['lr'] * p.grad / np.sqrt(s + eps)

# %% [markdown]
# On the airfoils:

# %%
data_iter, feature_dim = d2l.get_data_ch11(batch_size=10)
d2l.train_ch11(rmsprop, init_rmsprop_states(feature_dim),
               {'lr': 0.01, 'gamma': 0.9}, data_iter, feature_dim);

# %% [markdown]
# ## 11.8.3 Concise Implementation
#
# Gluon's own calls the share that is kept `gamma1`.

# %%
d2l.train_gluon_ch11('rmsprop', {'learning_rate': 0.01, 'gamma1': 0.9},
                     data_iter)
