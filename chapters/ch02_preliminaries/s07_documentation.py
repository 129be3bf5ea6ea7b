# %% [markdown] needs=["2.1"]
# # 2.7 Documentation
#
# How to find out what a module offers and how a function is used.
#
# No book can print all that a library offers, so this is how to go on without
# one. Look at the docstring that `help` prints, and at how its promise is
# checked by one small call: a habit that is worth keeping in every later
# chapter.

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
