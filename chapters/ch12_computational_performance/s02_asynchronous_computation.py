# %% [markdown] needs=["12.1"]
# # 12.2 Asynchronous Computation
#
# Python only hands out the work: MXNet does it in the background, and one
# waits where a result is needed.
#
# It explains why a clock around one line of MXNet measures nothing, and why
# errors come late. Look at the time with and without waiting, and at the
# memory that is taken meanwhile.

# %%
import d2l, numpy, os, subprocess
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
npx.set_np()

# %% [markdown]
# ## 12.2.1 Asynchrony via Backend
#
# NumPy computes, MXNet has only begun when the clock is stopped.

# %%
with d2l.benchmark('numpy   : %.4f sec'):
    for _ in range(10):
        a = numpy.random.normal(size=(1000, 1000))
        b = numpy.dot(a, a)

with d2l.benchmark('mxnet.np: %.4f sec'):
    for _ in range(10):
        a = np.random.normal(size=(1000, 1000))
        b = np.dot(a, a)

# %% [markdown]
# This time it is waited for.

# %%
with d2l.benchmark():
    for _ in range(10):
        a = np.random.normal(size=(1000, 1000))
        b = np.dot(a, a)
    npx.waitall()

# %% [markdown]
# Results wait for each other by themselves; printing waits for all of them.

# %%
x = np.ones((1, 2))
y = np.ones((1, 2))
z = x * y + 2
z

# %% [markdown]
# ## 12.2.2 Barriers and Blockers
#
# Two ways to wait: for all that is under way, or for one array.

# %%
with d2l.benchmark('waitall     : %.4f sec'):
    b = np.dot(a, a)
    npx.waitall()

with d2l.benchmark('wait_to_read: %.4f sec'):
    b = np.dot(a, a)
    b.wait_to_read()

# %% [markdown]
# Converting to NumPy or to a Python number waits too.

# %%
with d2l.benchmark('numpy  conversion: %.4f sec'):
    b = np.dot(a, a)
    b.asnumpy()

with d2l.benchmark('scalar conversion: %.4f sec'):
    b = np.dot(a, a)
    b.sum().item()

# %% [markdown]
# ## 12.2.3 Improving Computation
#
# Waiting after each step against waiting once: without it the next step is
# prepared while the last one runs.

# %%
with d2l.benchmark('Synchronous : %.4f sec'):
    for _ in range(1000):
        y = x + 1
        y.wait_to_read()

with d2l.benchmark('Asynchronous: %.4f sec'):
    for _ in range(1000):
        y = x + 1
    y.wait_to_read()

# %% [markdown]
# ## 12.2.4 Improving Memory Footprint
#
# But what is prepared takes memory. A source of random minibatches that tells
# the time it is asked for them, and a network to train:

# %%
def data_iter():
    timer = d2l.Timer()
    num_batches, batch_size = 150, 1024
    for i in range(num_batches):
        X = np.random.normal(size=(batch_size, 512))
        y = np.ones((batch_size,))
        yield X, y
        if (i + 1) % 50 == 0:
            print('batch %d, time %.4f sec' % (i + 1, timer.stop()))

net = nn.Sequential()
net.add(nn.Dense(2048, activation='relu'),
        nn.Dense(512, activation='relu'), nn.Dense(1))
net.initialize()
trainer = gluon.Trainer(net.collect_params(), 'sgd')
loss = gluon.loss.L2Loss()

# %% [markdown]
# The memory that the process takes, in MB, from the command `ps`.

# %%
def get_mem():
    res = subprocess.check_output(['ps', 'u', '-p', str(os.getpid())])
    return int(str(res).split()[15]) / 1e3

# %% [markdown]
# One step in advance, so that what is made only once does not count.

# %%
for X, y in data_iter():
    break
loss(y, net(X)).wait_to_read()

# %% [markdown]
# An epoch that waits after each minibatch.

# %%
mem = get_mem()
with d2l.benchmark('Time per epoch: %.4f sec'):
    for X, y in data_iter():
        with autograd.record():
            l = loss(y, net(X))
        l.backward()
        trainer.step(X.shape[0])
        l.wait_to_read() # barrier before new batch
    npx.waitall()
print('increased memory: %f MB' % (get_mem() - mem))

# %% [markdown]
# An epoch that does not: the minibatches are asked for much earlier, and
# those that wait their turn lie in memory.

# %%
mem = get_mem()
with d2l.benchmark('Time per epoch: %.4f sec'):
    for X, y in data_iter():
        with autograd.record():
            l = loss(y, net(X))
        l.backward()
        trainer.step(X.shape[0])
    npx.waitall()
print('increased memory: %f MB' % (get_mem() - mem))
