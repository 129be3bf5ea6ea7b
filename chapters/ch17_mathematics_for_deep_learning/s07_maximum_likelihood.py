# %% [markdown] needs=["17.6", "2.5"]
# # 17.7 Maximum Likelihood
#
# The parameters under which what was seen is most likely, and why one takes
# the logarithm to find them.
#
# Most losses of the book are one idea: choose the parameters that make the
# data likeliest. Look at the maximum of the curve, and at the gradient steps
# on the logarithm, which arrive at the same place; the product of many
# probabilities would be zero to a computer.

# %% [markdown]
# ## 17.7.1 The Maximum Likelihood Principle
#
# Nine heads and four tails: how likely that is, for each probability of
# heads. The highest point is at 9/13.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, np, npx
npx.set_np()

theta = np.arange(0, 1, 0.001)
p = theta**9 * (1 - theta)**4.

d2l.plot(theta, p, 'theta', 'likelihood')

# %% [markdown]
# ## 17.7.2 Numerical Optimization and the Negative Log-Likelihood
#
# For millions of throws the likelihood underflows; its logarithm does not,
# and gradient descent finds the way, if slowly with a learning rate that
# small. The second number is where it goes to.

# %%
# Set up our data
n_H = 8675309
n_T = 25624

# Initialize our paramteres
theta = np.array(0.5)
theta.attach_grad()

# Perform gradient descent
lr = 0.00000000001
for iter in range(10):
    with autograd.record():
        loss = -(n_H * np.log(theta) + n_T * np.log(1 - theta))
    loss.backward()
    theta -= lr * theta.grad

# Check output
theta, n_H / (n_H + n_T)

# %% [markdown]
# ## 17.7.3 Maximum Likelihood for Continuous Variables
#
# No listing here: densities take the place of probabilities.
