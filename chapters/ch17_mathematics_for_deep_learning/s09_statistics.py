# %% [markdown] needs=["17.6"]
# # 17.9 Statistics
#
# How good an estimate is, whether a difference is more than chance, and an
# interval that holds the true value most of the time.
#
# Look at the estimate beside the true parameters, at the region in which a
# test rejects, and at the confidence interval in the end.

# %% [markdown]
# ## 17.9.1 Evaluating and Comparing Estimators
#
# A sample of 300 points, their density as estimated with a Gaussian around
# each (as printed, around those drawn earlier only), and the true one. The
# dashed line is the sample's mean.

# %%
import d2l
from mxnet import np, npx
import random
npx.set_np()

# Sample datapoints and create y coordinate
epsilon = 0.1
random.seed(8675309)
xs = np.random.normal(loc=0, scale=1, size=(300,))

ys = [np.sum(np.exp(-(xs[0:i] - xs[i])**2 / (2 * epsilon**2))
             / np.sqrt(2*np.pi*epsilon**2)) / len(xs) for i in range(len(xs))]

# Compute true density
xd = np.arange(np.min(xs), np.max(xs), 0.01)
yd = np.exp(-xd**2/2) / np.sqrt(2 * np.pi)

# Plot the results
d2l.plot(xd, yd, 'x', 'density')
d2l.plt.scatter(xs, ys)
d2l.plt.axvline(x=0)
d2l.plt.axvline(x=np.mean(xs), linestyle='--', color='purple')
d2l.plt.title("Sample Mean: {:.2f}".format(float(np.mean(xs))))
d2l.plt.show()

# %% [markdown]
# ### Evaluating Estimators in Code
#
# The bias and the mean squared error, for an estimate of one parameter.

# %%
# Statistical bias
def stat_bias(true_theta, est_theta):
    return(np.mean(est_theta) - true_theta)

# Mean squared error
def mse(data, true_theta):
    return(np.mean(np.square(data - true_theta)))

# %% [markdown]
# The mean of ten thousand samples estimates the true one, 1.

# %%
theta_true = 1
sigma = 4
sample_length = 10000
samples = np.random.normal(theta_true, sigma, sample_length)
theta_est = np.mean(samples)
theta_est

# %% [markdown]
# The mean squared error ...

# %%
mse(samples, theta_true)

# %% [markdown]
# ... is the variance plus the squared bias.

# %%
bias = stat_bias(theta_true, theta_est)
np.square(samples.std()) + np.square(bias)

# %% [markdown]
# ## 17.9.2 Conducting Hypothesis Tests
#
# No listing here: the null hypothesis is given up where the data would be too
# unlikely under it.

# %% [markdown]
# ## 17.9.3 Constructing Confidence Intervals
#
# An interval for the mean of a thousand samples that, in 95 of 100 such
# experiments, holds the true one.

# %%
# Number of samples
N = 1000

# Sample dataset
samples = np.random.normal(loc=0, scale=1, size=(N,))

# Lookup Students's t-distribution c.d.f.
t_star = 1.96

# Construct interval
mu_hat = np.mean(samples)
sigma_hat = samples.std(ddof=1)
(mu_hat - t_star*sigma_hat/np.sqrt(N), mu_hat + t_star*sigma_hat/np.sqrt(N))
