# %% [markdown] needs=["4.3"]
# # 8.1 Sequence Models
#
# A series of numbers is predicted from the few numbers before each one, and
# then much further ahead, to see how quickly the errors pile up.
#
# It shows the trap of all that follows: predicting one step from true values
# is easy, feeding predictions back is not. Look at where the curve of the
# multistep predictions parts from the sine.

# %% [markdown]
# ## 8.1.1 Statistical Tools
#
# No listings here: the book defines autoregressive models (a fixed window of
# the past), latent autoregressive models (a state that sums the past up), and
# the Markov condition under which a window loses nothing.

# %% [markdown]
# ## 8.1.2 A Toy Example
#
# The data: one thousand points of a sine with some noise on top.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, np, npx, gluon, init
from mxnet.gluon import nn
npx.set_np()

T = 1000  # Generate a total of 1000 points
time = np.arange(0, T)
x = np.sin(0.01 * time) + 0.2 * np.random.normal(size=T)
d2l.plot(time, [x])

# %% [markdown]
# Each example is a window of `tau` points, its label the point that follows.
# The model is a small network of two dense layers, the loss half the square
# of the error.

# %%
tau = 4
features = np.zeros((T-tau, tau))
for i in range(tau):
    features[:, i] = x[i: T-tau+i]
labels = x[tau:]

batch_size, n_train = 16, 600
train_iter = d2l.load_array((features[:n_train], labels[:n_train]),
                            batch_size, is_train=True)
test_iter = d2l.load_array((features[:n_train], labels[:n_train]),
                           batch_size, is_train=False)

# Vanilla MLP architecture
def get_net():
    net = gluon.nn.Sequential()
    net.add(nn.Dense(10, activation='relu'),
            nn.Dense(1))
    net.initialize(init.Xavier())
    return net

# Least mean squares loss
loss = gluon.loss.L2Loss()

# %% [markdown]
# Ten epochs bring the loss close to half the variance of the noise, 0.02.

# %%
def train_net(net, train_iter, loss, epochs, lr):
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr})
    for epoch in range(1, epochs + 1):
        for X, y in train_iter:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(batch_size)
        print('epoch %d, loss: %f' % (
            epoch, d2l.evaluate_loss(net, train_iter, loss)))

net = get_net()
train_net(net, train_iter, loss, 10, 0.01)

# %% [markdown]
# ## 8.1.3 Predictions
#
# One step ahead the model does well, also past the 600 points it has seen.

# %%
estimates = net(features)
d2l.plot([time, time[tau:]], [x, estimates],
         legend=['data', 'estimate'])

# %% [markdown]
# Fed with its own predictions from point 600 on, it soon settles on a
# constant: each error becomes part of the next input.

# %%
predictions = np.zeros(T)
predictions[:n_train] = x[:n_train]
for i in range(n_train, T):
    predictions[i] = net(
        predictions[(i-tau):i].reshape(1, -1)).reshape(1)
d2l.plot([time, time[tau:], time[n_train:]],
         [x, estimates, predictions[n_train:]],
         legend=['data', 'estimate', 'multistep'], figsize=(4.5, 2.5))

# %% [markdown]
# The same seen from every starting point at once, for four distances: row `i`
# of `features` holds the prediction `i - tau + 1` steps ahead.

# %%
k = 33  # Look up to k - tau steps ahead

features = np.zeros((k, T-k))
for i in range(tau):  # Copy the first tau features from x
    features[i] = x[i:T-k+i]

for i in range(tau, k):  # Predict the (i-tau)-th step
    features[i] = net(features[(i-tau):i].T).T

steps = (4, 8, 16, 32)
d2l.plot([time[i:T-k+i] for i in steps], [features[i] for i in steps],
         legend=['step %d' % i for i in steps], figsize=(4.5, 2.5))
