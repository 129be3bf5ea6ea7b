"""A script for d2l.launch that trains a small net; all random numbers come from its own generator.

    train_small.py FOLDER OPTIMIZER EPOCHS [DIES]

Writes FOLDER/<rank>.params and, after each epoch, the checkpoint FOLDER/checkpoint. The learning
rate falls after an epoch. DIES: 'worker 1' kills that worker in the middle of the last epoch.
"""
import os
import signal
import sys

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn

from d2l import distributed

npx.set_np()
LENGTH, BATCH_SIZE = 37, 8          # 8, 8, 8, 8 and 5: two workers' shares differ
OPTIMIZERS = {'sgd': ('sgd', {}), 'momentum': ('sgd', {'momentum': 0.9}), 'adam': ('adam', {}),
              'rates': ('sgd', {'momentum': 0.9, 'wd': 0.1})}


def dataset(random):
    """(X, y): 37 images of 8 x 8, of three classes."""
    return (np.array(random.randn(LENGTH, 1, 8, 8).astype('float32')),
            np.array(random.randint(0, 3, LENGTH).astype('float32')))


def main(folder, optimizer, num_epochs, dies=''):
    random = numpy.random.RandomState(12)
    X, y = dataset(random)
    net = nn.Sequential()
    net.add(nn.Conv2D(6, 3, activation='relu'), nn.Conv2D(16, 3, activation='relu'), nn.Dense(3))
    net.initialize()
    net(X)                          # infers the shapes
    # all workers get the parameters of one of them: here they begin with different ones
    for param in net.collect_params().values():
        param.set_data(np.array(random.uniform(-0.3, 0.3, param.shape).astype('float32')))
        if distributed.num_workers() == 2 and distributed._store().rank == 1:
            param.set_data(np.ones(param.shape))
    if optimizer == 'rates':        # as in 4.5 and 13.2: the first layer is frozen
        net[0].collect_params().setattr('lr_mult', 0)
        net[1].collect_params().setattr('lr_mult', 2)
        net.collect_params('.*bias').setattr('wd_mult', 0)
    net(X)                          # leaves the second weight in oneDNN's layout
    name, hyperparams = OPTIMIZERS[optimizer]
    trainer = distributed.trainer(net, name, {'learning_rate': 0.05, **hyperparams},
                                  checkpoint=os.path.join(folder, 'checkpoint'))
    share = distributed.Share(LENGTH, BATCH_SIZE, shuffle=True, epoch=trainer.epoch)
    train_iter = gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), batch_sampler=share)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    print('epoch', trainer.epoch, 'of', num_epochs)
    for epoch in range(trainer.epoch, num_epochs):
        for i, (total, (X, y)) in enumerate(zip(share.totals, train_iter)):
            if i == 2 and epoch == num_epochs - 1 and dies == f'worker {distributed.rank()}':
                os.kill(os.getpid(), signal.SIGKILL)
            with autograd.record():
                l = loss(net(X), y)
            l.backward()
            trainer.step(total)
        if epoch == 0:
            trainer.set_learning_rate(0.02)
        net(X)                      # leaves the second weight in that layout again
        trainer.save(epoch + 1)
    net.save_parameters(os.path.join(folder, f'{distributed.rank()}.params'))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
