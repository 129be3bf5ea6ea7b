# %% [markdown] own=true needs=["12.1", "19.2"]
# # 19.3 When It Does Not Compile (Not in the Book)
#
# The listings are ours. `d2l.hybridize` compiles what `forward` does with
# arrays, and guards what it reads in Python. Where a graph could not give what
# eager mode gives, it raises a `TraceError` that names the line and a cure.
#
# Look at the last line of each error, and at the network below it, in which
# the cure has been followed: it compiles, and gives what the first one gives
# eagerly. A network that was refused is eager again, so nothing is lost.

# %% [markdown]
# Calls a network eagerly, and then compiled; says how far the results are
# apart, or what the `TraceError` says.

# %%
import d2l
from mxnet import autograd, np, npx
from mxnet.gluon import nn
import random
npx.set_np()

def compare(net, *args):
    net.initialize()
    eager = net(*args)
    try:
        compiled = d2l.hybridize(net)(*args)
        print('compiled, largest difference', float(abs(compiled - eager).max()))
    except d2l.TraceError as err:
        print(str(err))

X = np.array([[1., -2., 3.], [-4., 5., -6.]])

# %% [markdown]
# ## 19.3.1 A Value as a Number
#
# Which number it is, is known only once the array has been computed, and a
# graph is made before. The same holds for `Y.asnumpy()` and `print(Y)`.

# %%
class AsNumber(nn.Block):
    def forward(self, X):
        return X / float(abs(X).max())

compare(AsNumber(), X)

# %% [markdown]
# The number stays an array.

# %%
class AsArray(nn.Block):
    def forward(self, X):
        return X / abs(X).max()

compare(AsArray(), X)

# %% [markdown]
# ## 19.3.2 A Counter
#
# A Python number that `forward` reads and changes would be counted once, in
# the trace.

# %%
class Counter(nn.Block):
    def __init__(self, **kwargs):
        super(Counter, self).__init__(**kwargs)
        self.calls = 0

    def forward(self, X):
        self.calls += 1
        return X * self.calls

d2l.hybridize(net := Counter())
try:
    net(X)
except d2l.TraceError as err:
    print(str(err))

# %% [markdown]
# An array that is an attribute counts on, compiled too: `forward` assigns a new
# one at each call.

# %%
class ArrayCounter(nn.Block):
    def __init__(self, **kwargs):
        super(ArrayCounter, self).__init__(**kwargs)
        self.calls = np.zeros(1)

    def forward(self, X):
        self.calls = self.calls + 1
        return X * self.calls

d2l.hybridize(net := ArrayCounter())
for _ in range(3):
    net(X)
print('calls', net.calls)

# %% [markdown]
# ## 19.3.3 Random Numbers of Python
#
# Drawn in the trace, they would stay what they were.

# %%
class PythonNoise(nn.Block):
    def forward(self, X):
        return X + 0 * random.random()

compare(PythonNoise(), X)

# %% [markdown]
# MXNet's are a part of the graph, and drawn anew at each call.

# %%
class Noise(nn.Block):
    def forward(self, X):
        return X + 0 * np.random.uniform(size=X.shape)

compare(Noise(), X)

# %% [markdown]
# ## 19.3.4 Writing into an Argument
#
# The caller's array would change eagerly, and not when compiled.

# %%
class InPlace(nn.Block):
    def forward(self, X):
        X[:, 0] = 0
        return X

compare(InPlace(), X.copy())

# %% [markdown]
# A copy may be written into.

# %%
class OfACopy(nn.Block):
    def forward(self, X):
        X = X.copy()
        X[:, 0] = 0
        return X

compare(OfACopy(), X)

# %% [markdown]
# ## 19.3.5 Where Nothing Helps
#
# With `fallback=True` a network that cannot be traced runs eagerly, with one
# warning instead of the error.

# %%
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    Y = d2l.hybridize(AsNumber(), fallback=True)(X)
print(Y)
print(len(caught), 'warning')
