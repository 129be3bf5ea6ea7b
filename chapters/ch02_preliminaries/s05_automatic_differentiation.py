# %% [markdown] needs=["2.3", "2.4"]
# # 2.5 Automatic Differentiation
#
# MXNet records what is computed and works out the gradients by itself.
#
# Nobody derives the gradient of a network by hand, and this is the machinery
# that does it instead. Look at the comparisons with gradients that are known
# by other means: they are True in every element.

# %% [markdown]
# `autograd` is the module that records and differentiates.

# %%
from mxnet import autograd, np, npx
npx.set_np()

# %% [markdown]
# ## 2.5.1 A Simple Example
#
# The gradient of twice a vector's squared length: make room for it, record
# the computation, go backward, compare with the formula. A second computation
# overwrites the first gradient.

# %%
x = np.arange(4)
x

# %%
x.attach_grad()

# %%
x.grad

# %%
with autograd.record():
    y = 2 * np.dot(x, x)
y

# %%
y.backward()

# %%
x.grad

# %%
x.grad == 4 * x

# %%
with autograd.record():
    y = x.sum()
y.backward()
x.grad

# %% [markdown]
# ## 2.5.2 Backward for Non-Scalar Variables
#
# Going backward from a vector gives the gradient of the sum of its elements.

# %%
with autograd.record():
    y = x * x  # y is a vector
y.backward()

u = x.copy()
u.attach_grad()
with autograd.record():
    v = (u * u).sum()  # v is a scalar
v.backward()

x.grad == u.grad

# %% [markdown]
# ## 2.5.3 Detaching Computation
#
# A detached value counts as a constant: no gradient flows through it.
# Attaching a gradient to a result detaches it, too.

# %%
with autograd.record():
    y = x * x
    u = y.detach()
    z = u * x
z.backward()
x.grad == u

# %%
y.backward()
x.grad == 2 * x

# %%
y = np.ones(4) * 2
y.attach_grad()
with autograd.record():
    u = x * y
    u.attach_grad()  # Implicitly run u = u.detach()
    z = 5 * u - x
z.backward()
x.grad, u.grad, y.grad

# %% [markdown]
# ## 2.5.4 Computing the Gradient of Python Control Flow
#
# Loops and branches are recorded as they run, so the gradient is that of the
# path taken.

# %%
def f(a):
    b = a * 2
    while np.linalg.norm(b) < 1000:
        b = b * 2
    if b.sum() > 0:
        c = b
    else:
        c = 100 * b
    return c

# %%
a = np.random.normal()
a.attach_grad()
with autograd.record():
    d = f(a)
d.backward()

# %%
a.grad == d / a

# %% [markdown]
# ## 2.5.5 Training Mode and Prediction Mode
#
# Recording also switches to training mode.

# %%
print(autograd.is_training())
with autograd.record():
    print(autograd.is_training())
