# %% [markdown] data=["fashion_mnist"] gpu=true gpus=2 needs=["6.6", "12.3"]
# # 12.5 Training on Multiple GPUs
#
# Each GPU gets its share of every minibatch; the gradients are added up. With
# fewer than two GPUs `--devices cpu,cpu` lets CPU contexts stand for them,
# and nothing gets faster.
#
# In a notebook without GPUs, `import d2l; d2l.device.stand_in(2)` at its top
# lets CPU contexts stand for two. Look at the test accuracy, which is as high
# as on one device.

# %% [markdown]
# ## 12.5.1 Splitting the Problem
#
# No listing here: by layers, by channels or by examples.

# %% [markdown]
# ## 12.5.2 Data Parallelism
#
# By examples is the simplest, and the one that is used here.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, gluon, np, npx
npx.set_np()

# %% [markdown]
# ## 12.5.3 A Toy Network
#
# LeNet as a function of its parameters, a list of arrays.

# %%
# Initialize model parameters
scale = 0.01
W1 = np.random.normal(scale=scale, size=(20, 1, 3, 3))
b1 = np.zeros(20)
W2 = np.random.normal(scale=scale, size=(50, 20, 5, 5))
b2 = np.zeros(50)
W3 = np.random.normal(scale=scale, size=(800, 128))
b3 = np.zeros(128)
W4 = np.random.normal(scale=scale, size=(128, 10))
b4 = np.zeros(10)
params = [W1, b1, W2, b2, W3, b3, W4, b4]

# Define the model
def lenet(X, params):
    h1_conv = npx.convolution(data=X, weight=params[0], bias=params[1],
                              kernel=(3, 3), num_filter=20)
    h1_activation = npx.relu(h1_conv)
    h1 = npx.pooling(data=h1_activation, pool_type='avg', kernel=(2, 2),
                     stride=(2, 2))
    h2_conv = npx.convolution(data=h1, weight=params[2], bias=params[3],
                              kernel=(5, 5), num_filter=50)
    h2_activation = npx.relu(h2_conv)
    h2 = npx.pooling(data=h2_activation, pool_type='avg', kernel=(2, 2),
                     stride=(2, 2))
    h2 = h2.reshape(h2.shape[0], -1)
    h3_linear = np.dot(h2, params[4]) + params[5]
    h3 = npx.relu(h3_linear)
    y_hat = np.dot(h3, params[6]) + params[7]
    return y_hat

# Cross-entropy loss function
loss = gluon.loss.SoftmaxCrossEntropyLoss()

# %% [markdown]
# ## 12.5.4 Data Synchronization
#
# A copy of the parameters on a device, with room for gradients.

# %%
def get_params(params, ctx):
    new_params = [p.copyto(ctx) for p in params]
    for p in new_params:
        p.attach_grad()
    return new_params

# %% [markdown]
# On the first GPU:

# %%
new_params = get_params(params, d2l.try_gpu(0))
print('b1 weight:', new_params[1])
print('b1 grad:', new_params[1].grad)

# %% [markdown]
# Adds up arrays that lie on several devices, and gives each the sum.

# %%
def allreduce(data):
    for i in range(1, len(data)):
        data[0][:] += data[i].copyto(data[0].context)
    for i in range(1, len(data)):
        data[0].copyto(data[i])

# %% [markdown]
# Ones and twos are threes.

# %%
data = [np.ones((1, 2), ctx=d2l.try_gpu(i)) * (i + 1) for i in range(2)]
print('before allreduce:\n', data[0], '\n', data[1])
allreduce(data)
print('after allreduce:\n', data[0], '\n', data[1])

# %% [markdown]
# ## 12.5.5 Distributing Data
#
# Gluon splits a minibatch evenly among devices.

# %%
data = np.arange(20).reshape(4, 5)
ctx = [npx.gpu(0), npx.gpu(1)]
split = gluon.utils.split_and_load(data, ctx)
print('input :', data)
print('load into', ctx)
print('output:', split)

# %% [markdown]
# Images and labels at once:

# %%
# Saved in the d2l package for later use
def split_batch(X, y, ctx_list):
    """Split X and y into multiple devices specified by ctx."""
    assert X.shape[0] == y.shape[0]
    return (gluon.utils.split_and_load(X, ctx_list),
            gluon.utils.split_and_load(y, ctx_list))

# %% [markdown]
# ## 12.5.6 Training
#
# One minibatch: losses and gradients on each device, their sum, and the same
# step everywhere.

# %%
def train_batch(X, y, gpu_params, ctx_list, lr):
    gpu_Xs, gpu_ys = split_batch(X, y, ctx_list)
    with autograd.record():  # Loss is calculated separately on each GPU
        losses = [loss(lenet(gpu_X, gpu_W), gpu_y)
                  for gpu_X, gpu_y, gpu_W in zip(gpu_Xs, gpu_ys, gpu_params)]
    for l in losses:  # Back Propagation is performed separately on each GPU
        l.backward()
    # Sum all gradients from each GPU and broadcast them to all GPUs
    for i in range(len(gpu_params[0])):
        allreduce([gpu_params[c][i].grad for c in range(len(ctx_list))])
    # The model parameters are updated separately on each GPU
    for param in gpu_params:
        d2l.sgd(param, lr, X.shape[0])  # Here, we use a full-size batch

# %% [markdown]
# All of training; the test set is left to the first GPU.

# %%
def train(num_gpus, batch_size, lr):
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
    ctx_list = [d2l.try_gpu(i) for i in range(num_gpus)]
    # Copy model parameters to num_gpus GPUs
    gpu_params = [get_params(params, c) for c in ctx_list]
    # num_epochs, times, acces = 10, [], []
    num_epochs = 10
    animator = d2l.Animator('epoch', 'test acc', xlim=[1, num_epochs])
    timer = d2l.Timer()
    for epoch in range(num_epochs):
        timer.start()
        for X, y in train_iter:
            # Perform multi-GPU training for a single minibatch
            train_batch(X, y, gpu_params, ctx_list, lr)
            npx.waitall()
        timer.stop()
        # Verify the model on GPU 0
        animator.add(epoch+1, (d2l.evaluate_accuracy_gpu(
            lambda x: lenet(x, gpu_params[0]), test_iter, ctx[0]),))
    print('test acc: %.2f, %.1f sec/epoch on %s' % (
        animator.Y[0][-1], timer.avg(), ctx_list))

# %% [markdown]
# ## 12.5.7 Experiment
#
# On one GPU.

# %%
train(num_gpus=1, batch_size=256, lr=0.2)

# %% [markdown]
# On two, with the same minibatch and learning rate.

# %%
train(num_gpus=2, batch_size=256, lr=0.2)
