# %% [markdown] data=["airfoil"] needs=["11.4", "3.2"]
# # 11.5 Minibatch Stochastic Gradient Descent
#
# Between one example at a time and all of them at once: what is fast on a
# computer, and what it does to training.
#
# The functions for the airfoil data are saved for the next five sections.
# Look at the last figure: loss over time, where neither one example nor all
# of them at once does best.

# %% [markdown]
# ## 11.5.1 Vectorization and Caches
#
# One product of two matrices, in four ways. The first takes a quarter of an
# hour; `--quick` takes smaller matrices, so its Gigaflops are not real ones.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
npx.set_np()

timer = d2l.Timer()
A = np.zeros((1024, 1024))
B = np.random.normal(0, 1, (1024, 1024))
C = np.random.normal(0, 1, (1024, 1024))

# %% [markdown]
# Element by element:

# %%
# Compute A = B C one element at a time
timer.start()
for i in range(1024):
    for j in range(1024):
        A[i, j] = np.dot(B[i, :], C[:, j])
A.wait_to_read()
timer.stop()

# %% [markdown]
# Column by column:

# %%
# Compute A = B C one column at a time
timer.start()
for j in range(1024):
    A[:, j] = np.dot(B, C[:, j])
A.wait_to_read()
timer.stop()

# %% [markdown]
# And at once:

# %%
# Compute A = B C in one go
timer.start()
A = np.dot(B, C)
A.wait_to_read()
timer.stop()

# Multiply and add count as separate operations (fused in practice)
gigaflops = [2/i for i in timer.times]
print("Performance in Gigaflops: element {:.3f}, \
      column {:.3f}, full {:.3f}".format(*gigaflops))

# %% [markdown]
# ## 11.5.2 Minibatches
#
# Blocks of 64 columns come close to that. This one does not wait for the
# result, so the time is a little short.

# %%
timer.start()
for j in range(0, 1024, 64):
    A[:, j:j+64] = np.dot(B, C[:, j:j+64])
timer.stop()
print("Performance in Gigaflops: block {:.3f}".format(2/timer.times[3]))

# %% [markdown]
# ## 11.5.3 Reading the Dataset
#
# Noise of airfoils in a wind tunnel, measured by NASA: five features, 1,500
# examples, each column scaled to mean 0 and variance 1.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['airfoil'] = (d2l.DATA_URL + 'airfoil_self_noise.dat',
                           '76e5be1548fd8222e5074cf0faae75edff8cf93f')

# Saved in the d2l package for later use
def get_data_ch11(batch_size=10, n=1500):
    data = np.genfromtxt(d2l.download('airfoil'),
                         dtype=np.float32, delimiter='\t')
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    data_iter = d2l.load_array(
        (data[:n, :-1], data[:n, -1]), batch_size, is_train=True)
    return data_iter, data.shape[1]-1

# %% [markdown]
# ## 11.5.4 Implementation from Scratch
#
# An optimizer is a function of the parameters, its own state and its
# hyperparameters; this one has no state.

# %%
def sgd(params, states, hyperparams):
    for p in params:
        p[:] -= hyperparams['lr'] * p.grad

# %% [markdown]
# Trains a linear regression with any such optimizer and draws the loss every
# 200 examples. It returns times and losses.

# %%
# Saved in the d2l package for later use
def train_ch11(trainer_fn, states, hyperparams, data_iter,
               feature_dim, num_epochs=2):
    # Initialization
    w = np.random.normal(scale=0.01, size=(feature_dim, 1))
    b = np.zeros(1)
    w.attach_grad()
    b.attach_grad()
    net, loss = lambda X: d2l.linreg(X, w, b), d2l.squared_loss
    # Train
    animator = d2l.Animator(xlabel='epoch', ylabel='loss',
                            xlim=[0, num_epochs], ylim=[0.22, 0.35])
    n, timer = 0, d2l.Timer()
    for _ in range(num_epochs):
        for X, y in data_iter:
            with autograd.record():
                l = loss(net(X), y).mean()
            l.backward()
            trainer_fn([w, b], states, hyperparams)
            n += X.shape[0]
            if n % 200 == 0:
                timer.stop()
                animator.add(n/X.shape[0]/len(data_iter),
                             (d2l.evaluate_loss(net, data_iter, loss),))
                timer.start()
    print('loss: %.3f, %.3f sec/epoch' % (animator.Y[0][-1], timer.avg()))
    return timer.cumsum(), animator.Y[0]

# %% [markdown]
# All examples in one batch: ten epochs are ten steps.

# %%
def train_sgd(lr, batch_size, num_epochs=2):
    data_iter, feature_dim = get_data_ch11(batch_size)
    return train_ch11(
        sgd, None, {'lr': lr}, data_iter, feature_dim, num_epochs)

gd_res = train_sgd(1, 1500, 10)

# %% [markdown]
# One example at a time: many more steps, and much more time for each epoch.

# %%
sgd_res = train_sgd(0.005, 1)

# %% [markdown]
# A hundred at a time:

# %%
mini1_res = train_sgd(.4, 100)

# %% [markdown]
# Ten at a time:

# %%
mini2_res = train_sgd(.05, 10)

# %% [markdown]
# All four, by the time they took.

# %%
d2l.set_figsize([6, 3])
d2l.plot(*list(map(list, zip(gd_res, sgd_res, mini1_res, mini2_res))),
         'time (sec)', 'loss', xlim=[1e-2, 10],
         legend=['gd', 'sgd', 'batch size=100', 'batch size=10'])
d2l.plt.gca().set_xscale('log')

# %% [markdown]
# ## 11.5.5 Concise Implementation
#
# The same with Gluon's Trainer, for any optimizer that it knows by name.

# %%
# Saved in the d2l package for later use
def train_gluon_ch11(tr_name, hyperparams, data_iter, num_epochs=2):
    # Initialization
    net = nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), tr_name, hyperparams)
    loss = gluon.loss.L2Loss()
    animator = d2l.Animator(xlabel='epoch', ylabel='loss',
                            xlim=[0, num_epochs], ylim=[0.22, 0.35])
    n, timer = 0, d2l.Timer()
    for _ in range(num_epochs):
        for X, y in data_iter:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(X.shape[0])
            n += X.shape[0]
            if n % 200 == 0:
                timer.stop()
                animator.add(n/X.shape[0]/len(data_iter),
                             (d2l.evaluate_loss(net, data_iter, loss),))
                timer.start()
    print('loss: %.3f, %.3f sec/epoch' % (animator.Y[0][-1], timer.avg()))

# %% [markdown]
# The last experiment again, with the same result.

# %%
data_iter, _ = get_data_ch11(10)
train_gluon_ch11('sgd', {'learning_rate': 0.05}, data_iter)
