# %% [markdown]
# # 2.7 Documentation
#
# How to find out what a module offers and how a function is used.

# %% [markdown]
# ## 2.7.1 Finding All the Functions and Classes in a Module
#
# `dir` lists the names in a module.

# %%
from mxnet import np
print(dir(np.random))

# %% [markdown]
# ## 2.7.2 Finding the Usage of Specific Functions and Classes
#
# `help` shows a function's documentation; a small example shows whether it
# was understood.

# %%
help(np.ones_like)

# %%
x = np.array([[0, 0, 0], [2, 2, 2]])
np.ones_like(x)
