# %% [markdown] needs=["17.5", "2.6"]
# # 17.6 Random Variables
#
# Densities, means and variances, and how two random variables hang together.
#
# Look at the distribution functions, stairs for counts and curves for
# measurements, and at the cloud of points, which tilts as the correlation
# grows.

# %% [markdown]
# ## 17.6.1 Continuous Random Variables
#
# A density: the chance to fall near a value, for each unit of length.

# %%
# %matplotlib inline
import d2l
from IPython import display
from mxnet import np, npx
npx.set_np()

# Plot the probability density function for some random variable
x = np.arange(-5, 5, 0.01)
p = 0.2*np.exp(-(x - 3)**2 / 2)/np.sqrt(2 * np.pi) + \
    0.8*np.exp(-(x + 1)**2 / 2)/np.sqrt(2 * np.pi)

d2l.plot(x, p, 'x', 'Density')

# %% [markdown]
# ### Probability Density Functions
#
# The chance to fall into an interval, here from -2 to 3, is the area above
# it.

# %%
# Approximate probability using numerical integration
epsilon = 0.01
x = np.arange(-5, 5, 0.01)
p = 0.2*np.exp(-(x - 3)**2 / 2) / np.sqrt(2 * np.pi) + \
    0.8*np.exp(-(x + 1)**2 / 2) / np.sqrt(2 * np.pi)

d2l.set_figsize()
d2l.plt.plot(x, p, color='black')
d2l.plt.fill_between(x.tolist()[300:800], p.tolist()[300:800])
d2l.plt.show()

"Approximate Probability: {}".format(np.sum(epsilon*p[300:800]))

# %% [markdown]
# ### Cumulative Distribution Functions
#
# No listing here: the chance to fall below a value.

# %% [markdown]
# ### Means
#
# No listing here: the average of the values, weighted by their probabilities.

# %% [markdown]
# ### Variances
#
# No listing here: the mean squared distance from the mean.

# %% [markdown]
# ### Standard Deviations
#
# Three values with probabilities p, 1 - 2p and p, and the interval of two
# standard deviations to both sides: by Chebyshev's inequality it holds at
# least three quarters of the probability. For p above 1/8 it holds all three
# values. (All three figures carry the title of the first.)

# %%
# Define a helper to plot these figures
def plot_chebychev(a, p):
    d2l.set_figsize()
    d2l.plt.stem([a-2, a, a+2], [p, 1-2*p, p], use_line_collection=True)
    d2l.plt.xlim([-4, 4])
    d2l.plt.xlabel('x')
    d2l.plt.ylabel('p.m.f.')

    d2l.plt.hlines(0.5, a - 4 * np.sqrt(2 * p),
                   a + 4 * np.sqrt(2 * p), 'black', lw=4)
    d2l.plt.vlines(a - 4 * np.sqrt(2 * p), 0.53, 0.47, 'black', lw=1)
    d2l.plt.vlines(a + 4 * np.sqrt(2 * p), 0.53, 0.47, 'black', lw=1)
    d2l.plt.title("p > 1/8")

    d2l.plt.show()

# Plot interval when p > 1/8
plot_chebychev(0.0, 0.2)

# %% [markdown]
# At 1/8 the outer values stand on its ends.

# %%
# Plot interval when p = 1/8
plot_chebychev(0.0, 0.125)

# %% [markdown]
# Below, they stand outside.

# %%
# Plot interval when p < 1/8
plot_chebychev(0.0, 0.05)

# %% [markdown]
# ### Means and Variances in the Continuum
#
# Sums become integrals, and an integral may be infinite. The density of
# Cauchy's distribution, but for a constant factor:

# %%
# Plot the Cauchy distribution p.d.f.
x = np.arange(-5, 5, 0.01)
p = 1 / (1 + x**2)

d2l.plot(x, p, 'x', 'p.d.f.')

# %% [markdown]
# What is integrated for its variance does not even go to zero.

# %%
# Plot the integrand needed to compute the variance
x = np.arange(-20, 20, 0.01)
p = x**2 / (1 + x**2)

d2l.plot(x, p, 'x', 'integrand')

# %% [markdown]
# ### Joint Density Functions
#
# No listing here: a density over the plane.

# %% [markdown]
# ### Marginal Distributions
#
# No listing here: the density of one variable, whatever the other is.

# %% [markdown]
# ### Covariance
#
# How much two variables vary together: negative, none, positive.

# %%
# Plot a few random variables adjustable covariance
covs = [-0.9, 0.0, 1.2]
d2l.plt.figure(figsize=(12, 3))
for i in range(3):
    X = np.random.normal(0, 1, 500)
    Y = covs[i]*X + np.random.normal(0, 1, 500)

    d2l.plt.subplot(1, 4, i+1)
    d2l.plt.scatter(X.asnumpy(), Y.asnumpy())
    d2l.plt.xlabel('X')
    d2l.plt.ylabel('Y')
    d2l.plt.title("cov = {}".format(covs[i]))
d2l.plt.show()

# %% [markdown]
# ### Correlation
#
# The same without the scale: from -1 to 1.

# %%
# Plot a few random variables adjustable correlations
cors = [-0.9, 0.0, 1.0]
d2l.plt.figure(figsize=(12, 3))
for i in range(3):
    X = np.random.normal(0, 1, 500)
    Y = cors[i] * X + np.sqrt(1 - cors[i]**2) * np.random.normal(0, 1, 500)

    d2l.plt.subplot(1, 4, i + 1)
    d2l.plt.scatter(X.asnumpy(), Y.asnumpy())
    d2l.plt.xlabel('X')
    d2l.plt.ylabel('Y')
    d2l.plt.title("cor = {}".format(cors[i]))
d2l.plt.show()
