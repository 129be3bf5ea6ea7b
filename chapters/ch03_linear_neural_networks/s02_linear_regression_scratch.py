# %% [markdown] needs=["2.5", "3.1"]
# # 3.2 Linear Regression Implementation from Scratch
#
# Data, model, loss, optimizer and training loop, each written out with
# nothing but arrays and `autograd`.
#
# Written without a framework, it shows everything that a framework does, and
# each training loop of the book has its form. Look at the loss of each epoch,
# which falls to the size of the noise, and at the two errors in the end: the
# learned parameters lie close to the true ones.

# %% [markdown]
# What the section imports.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, np, npx
import random
npx.set_np()

# %% [markdown]
# ## 3.2.1 Generating the Dataset
#
# A thousand noisy points on a plane whose weights and bias are known.

# %%
# Saved in the d2l package for later use
def synthetic_data(w, b, num_examples):
    """Generate y = X w + b + noise."""
    X = np.random.normal(0, 1, (num_examples, len(w)))
    y = np.dot(X, w) + b
    y += np.random.normal(0, 0.01, y.shape)
    return X, y

true_w = np.array([2, -3.4])
true_b = 4.2
features, labels = synthetic_data(true_w, true_b, 1000)

# %%
print('features:', features[0],'\nlabel:', labels[0])

# %%
d2l.set_figsize((3.5, 2.5))
d2l.plt.scatter(features[:, 1].asnumpy(), labels.asnumpy(), 1);

# %% [markdown]
# ## 3.2.2 Reading the Dataset
#
# A generator that shuffles the examples and yields them a minibatch at a
# time.

# %%
def data_iter(batch_size, features, labels):
    num_examples = len(features)
    indices = list(range(num_examples))
    # The examples are read at random, in no particular order
    random.shuffle(indices)
    for i in range(0, num_examples, batch_size):
        batch_indices = np.array(
            indices[i: min(i + batch_size, num_examples)])
        yield features[batch_indices], labels[batch_indices]

# %%
batch_size = 10

for X, y in data_iter(batch_size, features, labels):
    print(X, '\n', y)
    break

# %% [markdown]
# ## 3.2.3 Initializing Model Parameters
#
# Small random weights, a bias of zero, and room for their gradients.

# %%
w = np.random.normal(0, 0.01, (2, 1))
b = np.zeros(1)

# %%
w.attach_grad()
b.attach_grad()

# %% [markdown]
# ## 3.2.4 Defining the Model
#
# Weighted sum plus bias.

# %%
# Saved in the d2l package for later use
def linreg(X, w, b):
    return np.dot(X, w) + b

# %% [markdown]
# ## 3.2.5 Defining the Loss Function
#
# Half the squared error, one value for each example.

# %%
# Saved in the d2l package for later use
def squared_loss(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2

# %% [markdown]
# ## 3.2.6 Defining the Optimization Algorithm
#
# One step of minibatch stochastic gradient descent, in place.

# %%
# Saved in the d2l package for later use
def sgd(params, lr, batch_size):
    for param in params:
        param[:] = param - lr * param.grad / batch_size

# %% [markdown]
# ## 3.2.7 Training
#
# Three passes over the data; then what was learned beside what is true.

# %%
lr = 0.03  # Learning rate
num_epochs = 3  # Number of iterations
net = linreg  # Our fancy linear model
loss = squared_loss  # 0.5 (y-y')^2

for epoch in range(num_epochs):
    # Assuming the number of examples can be divided by the batch size, all
    # the examples in the training dataset are used once in one epoch
    # iteration. The features and tags of minibatch examples are given by X
    # and y respectively
    for X, y in data_iter(batch_size, features, labels):
        with autograd.record():
            l = loss(net(X, w, b), y)  # Minibatch loss in X and y
        l.backward()  # Compute gradient on l with respect to [w, b]
        sgd([w, b], lr, batch_size)  # Update parameters using their gradient
    train_l = loss(net(features, w, b), labels)
    print('epoch %d, loss %f' % (epoch + 1, train_l.mean().asnumpy()))

# %%
print('Error in estimating w', true_w - w.reshape(true_w.shape))
print('Error in estimating b', true_b - b)
