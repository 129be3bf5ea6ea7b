# %% [markdown] needs=["2.3", "2.4"]
# # 3.1 Linear Regression
#
# The simplest model, a weighted sum of the features, and why the squared
# error is its natural loss.
#
# Nothing is trained yet: the section shows why computations are written for
# whole arrays, and where the loss of the next two sections comes from. Look
# at the two times, of which the second is far smaller, and at how the bells
# move and widen with their mean and standard deviation.

# %% [markdown]
# ## 3.1.1 Basic Elements of Linear Regression
#
# ### Vectorization for Speed
#
# Adding two vectors in a Python loop and in one call, timed.

# %%
# %matplotlib inline
import d2l
import math
from mxnet import np
import time

n = 10000
a = np.ones(n)
b = np.ones(n)

# %%
# Saved in the d2l package for later use
class Timer(object):
    """Record multiple running times."""
    def __init__(self):
        self.times = []
        self.start()

    def start(self):
        # Start the timer
        self.start_time = time.time()

    def stop(self):
        # Stop the timer and record the time in a list
        self.times.append(time.time() - self.start_time)
        return self.times[-1]

    def avg(self):
        # Return the average time
        return sum(self.times)/len(self.times)

    def sum(self):
        # Return the sum of time
        return sum(self.times)

    def cumsum(self):
        # Return the accumuated times
        return np.array(self.times).cumsum().tolist()

# %%
timer = Timer()
c = np.zeros(n)
for i in range(n):
    c[i] = a[i] + b[i]
'%.5f sec' % timer.stop()

# %%
timer.start()
d = a + b
'%.5f sec' % timer.stop()

# %% [markdown]
# ## 3.1.2 The Normal Distribution and Squared Loss
#
# The density of the normal distribution for three pairs of mean and width.

# %%
x = np.arange(-7, 7, 0.01)

def normal(z, mu, sigma):
    p = 1 / math.sqrt(2 * math.pi * sigma**2)
    return p * np.exp(- 0.5 / sigma**2 * (z - mu)**2)

# %%
# Mean and variance pairs
parameters = [(0, 1), (0, 2), (3, 1)]
d2l.plot(x, [normal(x, mu, sigma) for mu, sigma in parameters], xlabel='z',
         ylabel='p(z)', figsize=(4.5, 2.5),
         legend=['mean %d, var %d' % (mu, sigma) for mu, sigma in parameters])
