# %% [markdown] needs=["3.3"]
# # 4.4 Model Selection, Underfitting and Overfitting
#
# Polynomials of several degrees fitted to the same noisy points: one too
# simple, one right, one with too much freedom.
#
# It shows, on data whose truth is known, what the curves of a bad fit look
# like. Look at the gap between the two losses in each figure: both low, both
# high, or one low and the other high, and at the coefficients that are
# printed beside it.

# %% [markdown]
# ## 4.4.4 Polynomial Regression
#
# What the experiment imports.

# %%
import d2l
from mxnet import gluon, np, npx
from mxnet.gluon import nn
npx.set_np()

# %% [markdown]
# ### Generating the Dataset
#
# A cubic with noise; the features are powers of x divided by factorials, so
# that none grows huge.

# %%
maxdegree = 20  # Maximum degree of the polynomial
n_train, n_test = 100, 100  # Training and test dataset sizes
true_w = np.zeros(maxdegree)  # Allocate lots of empty space
true_w[0:4] = np.array([5, 1.2, -3.4, 5.6])

features = np.random.normal(size=(n_train + n_test, 1))
features = np.random.shuffle(features)
poly_features = np.power(features, np.arange(maxdegree).reshape(1, -1))
poly_features = poly_features / (
    npx.gamma(np.arange(maxdegree) + 1).reshape(1, -1))
labels = np.dot(poly_features, true_w)
labels += np.random.normal(scale=0.1, size=labels.shape)

# %%
features[:2], poly_features[:2], labels[:2]

# %% [markdown]
# ### Training and Testing Model
#
# The mean loss on a data set, and a training loop that plots it for both
# sets.

# %%
# Saved in the d2l package for later use
def evaluate_loss(net, data_iter, loss):
    """Evaluate the loss of a model on the given dataset."""
    metric = d2l.Accumulator(2)  # sum_loss, num_examples
    for X, y in data_iter:
        metric.add(loss(net(X), y).sum(), y.size)
    return metric[0] / metric[1]

# %%
def train(train_features, test_features, train_labels, test_labels,
          num_epochs=1000):
    loss = gluon.loss.L2Loss()
    net = nn.Sequential()
    # Switch off the bias since we already catered for it in the polynomial
    # features
    net.add(nn.Dense(1, use_bias=False))
    net.initialize()
    batch_size = min(10, train_labels.shape[0])
    train_iter = d2l.load_array((train_features, train_labels), batch_size)
    test_iter = d2l.load_array((test_features, test_labels), batch_size,
                               is_train=False)
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.01})
    animator = d2l.Animator(xlabel='epoch', ylabel='loss', yscale='log',
                            xlim=[1, num_epochs], ylim=[1e-3, 1e2],
                            legend=['train', 'test'])
    for epoch in range(1, num_epochs+1):
        d2l.train_epoch_ch3(net, train_iter, loss, trainer)
        if epoch % 50 == 0:
            animator.add(epoch, (evaluate_loss(net, train_iter, loss),
                                 evaluate_loss(net, test_iter, loss)))
    print('weight:', net[0].weight.data().asnumpy())

# %% [markdown]
# ### Third-Order Polynomial Function Fitting (Normal)
#
# As many coefficients as the data were made with.

# %%
# Pick the first four dimensions, i.e., 1, x, x^2, x^3 from the polynomial
# features
train(poly_features[:n_train, 0:4], poly_features[n_train:, 0:4],
      labels[:n_train], labels[n_train:])

# %% [markdown]
# ### Linear Function Fitting (Underfitting)
#
# Fewer coefficients than the data need.

# %%
# Pick the first four dimensions, i.e., 1, x from the polynomial features
train(poly_features[:n_train, 0:3], poly_features[n_train:, 0:3],
      labels[:n_train], labels[n_train:])

# %% [markdown]
# ### Insufficient Training (Overfitting)
#
# Twenty coefficients.

# %%
n_subset = 100  # Subset of data to train on
n_degree = 20  # Degree of polynomials
train(poly_features[1:n_subset, 0:n_degree],
      poly_features[n_train:, 0:n_degree], labels[1:n_subset],
      labels[n_train:])
