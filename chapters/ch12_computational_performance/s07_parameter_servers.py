# %% [markdown] data=["fashion_mnist"] own=true needs=["12.5"]
# # 12.7 Parameter Servers
#
# The book has no listings here: these are ours. LeNet is trained by one
# process, and then by two workers that share every minibatch over a parameter
# server.
#
# It is the step from one machine to several. Look at the output of the
# workers, in which each line names the process it comes from, and at the
# parameters in the end, which agree with those of one process.

# %% [markdown]
# ## A Network
#
# LeNet of 6.6. The servers keep the parameters, so their shapes have to be
# known before training begins.

# %%
import sys
import d2l
from d2l import distributed
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
npx.set_np()

net = nn.Sequential()
net.add(nn.Conv2D(channels=6, kernel_size=5, padding=2, activation='sigmoid'),
        nn.AvgPool2D(pool_size=2, strides=2),
        nn.Conv2D(channels=16, kernel_size=5, activation='sigmoid'),
        nn.AvgPool2D(pool_size=2, strides=2),
        nn.Dense(120, activation='sigmoid'),
        nn.Dense(84, activation='sigmoid'),
        nn.Dense(10))
net.initialize(init=init.Xavier())
X = np.zeros((1, 1, 28, 28))
net(X).shape

# %% [markdown]
# ## A Share of the Data
#
# `batch_size` counts the examples of all workers together. Each takes its
# share of every minibatch; alone, that is all of it.

# %%
batch_size = 256
to_tensor = gluon.data.vision.transforms.ToTensor()
train_data = gluon.data.vision.FashionMNIST(train=True)
share = distributed.Share(len(train_data), batch_size, shuffle=True)
train_iter = gluon.data.DataLoader(train_data.transform_first(to_tensor),
                                   batch_sampler=share)
test_iter = gluon.data.DataLoader(
    gluon.data.vision.FashionMNIST(train=False).transform_first(to_tensor),
    batch_size)

# %% [markdown]
# ## Push and Pull
#
# `trainer.step` divides the gradients by the size of the whole minibatch and
# pushes them to the servers. They add up what all workers have pushed, run
# the optimizer, and the workers pull the new parameters. A worker waits for
# all others in every step: where one does not come for a minute, all are
# ended and the launcher says who waited for whom.

# %%
lr, num_epochs = 0.9, 3
loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = distributed.trainer(net, 'sgd', {'learning_rate': lr})
timer = d2l.Timer()
for epoch in range(num_epochs):
    for total, (X, y) in zip(share.totals, train_iter):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(total)
npx.waitall()
print('worker %d of %d: %.1f sec, sum of weights %.4f, test acc %.3f' % (
    distributed.rank(), distributed.num_workers(), timer.stop(),
    sum(float(param.data().sum()) for param in net.collect_params().values()),
    d2l.evaluate_accuracy_gpu(net, test_iter)))

# %% [markdown]
# ## Two Workers
#
# The same file, launched on two workers, ends with the same parameters, but
# for the last digits. They meet on sockets in a folder that only you can
# enter; no port is opened. To Python the next line is a comment.

# %%
# !{sys.executable} -m d2l.launch -n 2 s07_parameter_servers.py
