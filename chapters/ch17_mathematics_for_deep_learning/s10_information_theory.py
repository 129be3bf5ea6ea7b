# %% [markdown] needs=["17.6"]
# # 17.10 Information Theory
#
# How much an outcome tells, in bits, how far apart two distributions are, and
# where the cross entropy loss comes from.
#
# Look at the entropies in bits or nats, at the distance between two
# distributions, which is another from the other side, and at the cross
# entropy, which is the loss of each classifier before.

# %% [markdown]
# ## 17.10.1 Information

# %% [markdown]
# ### Self-information
#
# An event that happens once in 64 times tells 6 bits.

# %%
from mxnet import np
from mxnet.metric import NegativeLogLikelihood
from mxnet.ndarray import nansum
import random

def self_information(p):
    return -np.log2(p)

self_information(1/64)

# %% [markdown]
# ## 17.10.2 Entropy
#
# The mean self-information of a random variable.

# %%
def entropy(p):
    entropy = - p * np.log2(p)
    # nansum will sum up the non-nan number
    out = nansum(entropy.as_nd_ndarray())
    return out

entropy(np.array([0.1, 0.5, 0.1, 0.3]))

# %% [markdown]
# ## 17.10.3 Mutual Information

# %% [markdown]
# ### Joint Entropy
#
# The entropy of two variables, taken as one.

# %%
def joint_entropy(p_xy):
    joint_ent = -p_xy * np.log2(p_xy)
    # nansum will sum up the non-nan number
    out = nansum(joint_ent.as_nd_ndarray())
    return out

joint_entropy(np.array([[0.1, 0.5], [0.1, 0.3]]))

# %% [markdown]
# ### Conditional Entropy
#
# What remains of it once one of the two is known.

# %%
def conditional_entropy(p_xy, p_x):
    p_y_given_x = p_xy/p_x
    cond_ent = -p_xy * np.log2(p_y_given_x)
    # nansum will sum up the non-nan number
    out = nansum(cond_ent.as_nd_ndarray())
    return out

conditional_entropy(np.array([[0.1, 0.5], [0.2, 0.3]]), np.array([0.2, 0.8]))

# %% [markdown]
# ### Mutual Information
#
# What the two share. As printed, the function returns it with the opposite
# sign.

# %%
def mutual_information(p_xy, p_x, p_y):
    p = p_xy / (p_x * p_y)
    mutual = -p_xy * np.log2(p)
    # nansum will sum up the non-nan number
    out = nansum(mutual.as_nd_ndarray())
    return out

mutual_information(np.array([[0.1, 0.5], [0.1, 0.3]]),
                   np.array([0.2, 0.8]),
                   np.array([[0.75, 0.25]]))

# %% [markdown]
# ## 17.10.4 Kullback-Leibler Divergence
#
# How far a distribution q is from another, p. The absolute value is taken,
# for the examples below are no distributions but sorted samples.

# %%
def kl_divergence(p, q):
    kl = p * np.log2(p / q)
    out = nansum(kl.as_nd_ndarray())
    return out.abs().asscalar()

# %% [markdown]
# ### Example
#
# Three samples with means 0, -1 and 1, sorted.

# %%
random.seed(1)

nd_length = 10000
p = np.random.normal(loc=0, scale=1, size=(nd_length, ))
q1 = np.random.normal(loc=-1, scale=1, size=(nd_length, ))
q2 = np.random.normal(loc=1, scale=1, size=(nd_length, ))

p = np.array(sorted(p.asnumpy()))
q1 = np.array(sorted(q1.asnumpy()))
q2 = np.array(sorted(q2.asnumpy()))

# %% [markdown]
# From p the other two are nearly equally far, with their difference in per
# cent ...

# %%
kl_pq1 = kl_divergence(p, q1)
kl_pq2 = kl_divergence(p, q2)
similar_percentage = abs(kl_pq1 - kl_pq2) / ((kl_pq1 + kl_pq2) / 2) * 100

kl_pq1, kl_pq2, similar_percentage

# %% [markdown]
# ... but the way back is not as long as the way there.

# %%
kl_q2p = kl_divergence(q2, p)
differ_percentage = abs(kl_q2p - kl_pq2) / ((kl_q2p + kl_pq2) / 2) * 100

kl_q2p, differ_percentage

# %% [markdown]
# ## 17.10.5 Cross Entropy
#
# The mean negative logarithm of the probability given to the right class.

# %%
def cross_entropy(y_hat, y):
    ce = -np.log(y_hat[range(len(y_hat)), y])
    return ce.mean()

# %% [markdown]
# Two examples with three classes each:

# %%
labels = np.array([0, 2])
preds = np.array([[0.3, 0.6, 0.1], [0.2, 0.3, 0.5]])

cross_entropy(preds, labels)

# %% [markdown]
# ### Cross Entropy as An Objective Function of Multi-class Classification
#
# MXNet's own negative log-likelihood gives the same.

# %%
nll_loss = NegativeLogLikelihood()
nll_loss.update(labels.as_nd_ndarray(), preds.as_nd_ndarray())
nll_loss.get()
