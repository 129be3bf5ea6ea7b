# %% [markdown] needs=["2.1"]
# # 2.6 Probability
#
# Throwing a die many times, and watching the frequencies settle.
#
# Initial weights, minibatches and dropout are all drawn at random, so a
# reader should have seen how far a frequency can lie from its probability. In
# the figure, look at how the six curves first swing and then settle around
# the dashed line; a second run draws others, and they settle as well.

# %% [markdown]
# ## 2.6.1 Basic Probability Theory
#
# Samples of a fair die: once, ten times, three rounds of ten, a thousand
# times; then how the estimated probabilities approach 1/6.

# %%
# %matplotlib inline
import d2l
from mxnet import np, npx
import random
npx.set_np()

# %%
fair_probs = [1.0 / 6] * 6
np.random.multinomial(1, fair_probs)

# %%
np.random.multinomial(10, fair_probs)

# %%
counts = np.random.multinomial(10, fair_probs, size=3)
counts

# %%
# Store the results as 32-bit floats for division
counts = np.random.multinomial(1000, fair_probs).astype(np.float32)
counts / 1000  # Reletive frequency as the estimate

# %%
counts = np.random.multinomial(10, fair_probs, size=500)
cum_counts = counts.astype(np.float32).cumsum(axis=0)
estimates = cum_counts / cum_counts.sum(axis=1, keepdims=True)

d2l.set_figsize((6, 4.5))
for i in range(6):
    d2l.plt.plot(estimates[:, i].asnumpy(),
                 label=("P(die=" + str(i + 1) + ")"))
d2l.plt.axhline(y=0.167, color='black', linestyle='dashed')
d2l.plt.gca().set_xlabel('Groups of experiments')
d2l.plt.gca().set_ylabel('Estimated probability')
d2l.plt.legend();
