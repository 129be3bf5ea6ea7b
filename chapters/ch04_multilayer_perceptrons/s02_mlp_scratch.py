# %% [markdown] data=["fashion_mnist"] needs=["3.6", "4.1"]
# # 4.2 Implementation of Multilayer Perceptron from Scratch
#
# One hidden layer of 256 units for Fashion-MNIST, written out.
#
# It is the first network with something hidden in it, and two matrices and a
# maximum are all that it takes. Look at the accuracy beside that of the
# linear classifier: the same ten epochs lead somewhat higher, and the loss
# falls further. On sample data both rise as well.

# %% [markdown]
# The imports, and the minibatches.

# %%
import d2l
from mxnet import gluon, np, npx
npx.set_np()

# %%
batch_size = 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)

# %% [markdown]
# ## 4.2.1 Initializing Model Parameters
#
# Weights and biases of two layers.

# %%
num_inputs, num_outputs, num_hiddens = 784, 10, 256

W1 = np.random.normal(scale=0.01, size=(num_inputs, num_hiddens))
b1 = np.zeros(num_hiddens)
W2 = np.random.normal(scale=0.01, size=(num_hiddens, num_outputs))
b2 = np.zeros(num_outputs)
params = [W1, b1, W2, b2]

for param in params:
    param.attach_grad()

# %% [markdown]
# ## 4.2.2 Activation Function
#
# ReLU as a maximum with zero.

# %%
def relu(X):
    return np.maximum(X, 0)

# %% [markdown]
# ## 4.2.3 The model
#
# Flatten, hidden layer, output layer.

# %%
def net(X):
    X = X.reshape(-1, num_inputs)
    H = relu(np.dot(X, W1) + b1)
    return np.dot(H, W2) + b2

# %% [markdown]
# ## 4.2.4 The Loss Function
#
# Gluon's cross entropy, which includes the softmax.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()

# %% [markdown]
# ## 4.2.5 Training
#
# Ten epochs with a learning rate of 0.5, then some predictions.

# %%
num_epochs, lr = 10, 0.5
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs,
              lambda batch_size: d2l.sgd(params, lr, batch_size))

# %%
d2l.predict_ch3(net, test_iter)
