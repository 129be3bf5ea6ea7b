# %% [markdown] needs=["3.2"]
# # 4.5 Weight Decay
#
# Twenty examples, two hundred features: without a penalty on the weights the
# model learns the noise.
#
# A penalty is the cheapest remedy against overfitting, and the trainers of
# Gluon have it built in. Look at the distance between the two curves with and
# without it, and at the printed norm of the weights, which the penalty keeps
# small.

# %% [markdown]
# ## 4.5.2 High-Dimensional Linear Regression
#
# Data from a linear function of 200 inputs with small noise.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
npx.set_np()

n_train, n_test, num_inputs, batch_size = 20, 100, 200, 1
true_w, true_b = np.ones((num_inputs, 1)) * 0.01, 0.05
train_data = d2l.synthetic_data(true_w, true_b, n_train)
train_iter = d2l.load_array(train_data, batch_size)
test_data = d2l.synthetic_data(true_w, true_b, n_test)
test_iter = d2l.load_array(test_data, batch_size, is_train=False)

# %% [markdown]
# ## 4.5.3 Implementation from Scratch
#
# ### Initializing Model Parameters
#
# Random weights, as many as there are inputs, and a bias.

# %%
def init_params():
    w = np.random.normal(scale=1, size=(num_inputs, 1))
    b = np.zeros(1)
    w.attach_grad()
    b.attach_grad()
    return [w, b]

# %% [markdown]
# ### Defining $\ell_2$ Norm Penalty
#
# Half the squared length of the weights.

# %%
def l2_penalty(w):
    return (w**2).sum() / 2

# %% [markdown]
# ### Defining the Train and Test Functions
#
# The loop of 3.2 with the penalty added to the loss.

# %%
def train(lambd):
    w, b = init_params()
    net, loss = lambda X: d2l.linreg(X, w, b), d2l.squared_loss
    num_epochs, lr = 100, 0.003
    animator = d2l.Animator(xlabel='epochs', ylabel='loss', yscale='log',
                            xlim=[1, num_epochs], legend=['train', 'test'])
    for epoch in range(1, num_epochs + 1):
        for X, y in train_iter:
            with autograd.record():
                # The L2 norm penalty term has been added
                l = loss(net(X), y) + lambd * l2_penalty(w)
            l.backward()
            d2l.sgd([w, b], lr, batch_size)
        if epoch % 5 == 0:
            animator.add(epoch+1, (d2l.evaluate_loss(net, train_iter, loss),
                                   d2l.evaluate_loss(net, test_iter, loss)))
    print('l1 norm of w:', np.abs(w).sum())

# %% [markdown]
# ### Training without Regularization
#
# The training loss falls, the test loss does not.

# %%
train(lambd=0)

# %% [markdown]
# ### Using Weight Decay
#
# With the penalty the weights stay small and the test loss falls.

# %%
train(lambd=3)

# %% [markdown]
# ## 4.5.4 Concise Implementation
#
# Gluon's trainer has weight decay built in; the bias is left out of it.

# %%
def train_gluon(wd):
    net = nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=1))
    loss = gluon.loss.L2Loss()
    num_epochs, lr = 100, 0.003
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr, 'wd': wd})
    # The bias parameter has not decayed. Bias names generally end with "bias"
    net.collect_params('.*bias').setattr('wd_mult', 0)

    animator = d2l.Animator(xlabel='epochs', ylabel='loss', yscale='log',
                            xlim=[1, num_epochs], legend=['train', 'test'])
    for epoch in range(1, num_epochs+1):
        for X, y in train_iter:
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(batch_size)
        if epoch % 5 == 0:
            animator.add(epoch+1, (d2l.evaluate_loss(net, train_iter, loss),
                                   d2l.evaluate_loss(net, test_iter, loss)))
    print('L1 norm of w:', np.abs(net[0].weight.data()).sum())

# %%
train_gluon(0)

# %%
train_gluon(3)
