# %% [markdown] needs=["3.2"]
# # 3.3 Concise Implementation of Linear Regression
#
# The same model once more, with Gluon's data loader, layer, loss and trainer.
#
# Each part of the scratch version is replaced by one of Gluon, which later
# networks use as well. Look for the same fall of the loss in three epochs,
# and for errors of the parameters as small as those that the long version
# left.

# %% [markdown]
# ## 3.3.1 Generating the Dataset
#
# The same kind of data as in 3.2.

# %%
import d2l
from mxnet import autograd, gluon, np, npx
npx.set_np()

true_w = np.array([2, -3.4])
true_b = 4.2
features, labels = d2l.synthetic_data(true_w, true_b, 1000)

# %% [markdown]
# ## 3.3.2 Reading the Dataset
#
# A data loader shuffles and batches; here is its first minibatch.

# %%
# Saved in the d2l package for later use
def load_array(data_arrays, batch_size, is_train=True):
    """Construct a Gluon data loader"""
    dataset = gluon.data.ArrayDataset(*data_arrays)
    return gluon.data.DataLoader(dataset, batch_size, shuffle=is_train)

batch_size = 10
data_iter = load_array((features, labels), batch_size)

# %%
for X, y in data_iter:
    print(X, '\n', y)
    break

# %% [markdown]
# ## 3.3.3 Defining the Model
#
# One layer with one output. The number of inputs is found when data come in.

# %%
from mxnet.gluon import nn
net = nn.Sequential()

# %%
net.add(nn.Dense(1))

# %% [markdown]
# ## 3.3.4 Initializing Model Parameters
#
# Normal weights with a standard deviation of 0.01, made once the shapes are
# known.

# %%
from mxnet import init
net.initialize(init.Normal(sigma=0.01))

# %% [markdown]
# ## 3.3.5 Defining the Loss Function
#
# Half the squared error, as before.

# %%
from mxnet.gluon import loss as gloss
loss = gloss.L2Loss()  # The squared loss is also known as the L2 norm loss

# %% [markdown]
# ## 3.3.6 Defining the Optimization Algorithm
#
# A trainer applies the update rule to all parameters of the network.

# %%
from mxnet import gluon
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.03})

# %% [markdown]
# ## 3.3.7 Training
#
# The loop of 3.2 with the parts replaced, and how near it comes.

# %%
num_epochs = 3
for epoch in range(1, num_epochs + 1):
    for X, y in data_iter:
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(batch_size)
    l = loss(net(features), labels)
    print('epoch %d, loss: %f' % (epoch, l.mean().asnumpy()))

# %%
w = net[0].weight.data()
print('Error in estimating w', true_w.reshape(w.shape) - w)
b = net[0].bias.data()
print('Error in estimating b', true_b - b)
