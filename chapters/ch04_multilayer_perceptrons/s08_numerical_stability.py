# %% [markdown] needs=["2.5", "4.1"]
# # 4.8 Numerical Stability and Initialization
#
# Products of many numbers vanish or explode; so do gradients.
#
# This explains why initialization is a topic at all, and why deep networks
# could not be trained for so long. In the figure, look at where the gradient
# of the sigmoid vanishes; in the print, at the elements after a hundred
# random matrices have been multiplied, many orders of magnitude larger than
# those of a single one.

# %% [markdown]
# ## 4.8.1 Vanishing and Exploding Gradients
#
# ### Vanishing Gradients
#
# The sigmoid's slope is near zero wherever its input is not small.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, np, npx
npx.set_np()

x = np.arange(-8.0, 8.0, 0.1)
x.attach_grad()
with autograd.record():
    y = npx.sigmoid(x)
y.backward()

d2l.plot(x, [y, x.grad], legend=['sigmoid', 'gradient'], figsize=(4.5, 2.5))

# %% [markdown]
# ### Exploding Gradients
#
# The product of a hundred random matrices.

# %%
M = np.random.normal(size=(4, 4))
print('A single matrix', M)
for i in range(100):
    M = np.dot(M, np.random.normal(size=(4, 4)))

print('After multiplying 100 matrices', M)
