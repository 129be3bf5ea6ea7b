"""What a script says that trains in several processes: `python -m d2l.launch -n 2 SCRIPT` (12.7).

    share = distributed.Share(len(dataset), batch_size, shuffle=True)
    train_iter = gluon.data.DataLoader(dataset, batch_sampler=share)
    trainer = distributed.trainer(net, 'sgd', {'learning_rate': lr})
    for total, (X, y) in zip(share.totals, train_iter):
        ...                                             # as ever, and then
        trainer.step(total)

Run by itself, such a script trains in one process.
"""
import atexit
import ctypes
import functools
import glob
import json
import os
import pickle
import shutil

import numpy
from mxnet import gluon, kvstore, npx
from mxnet.base import _LIB, check_call


@functools.lru_cache(maxsize=None)
def _store():
    """The parameter server that d2l.launch has started, as a KVStore; None where it has not."""
    if os.environ.get('DMLC_ROLE') != 'worker':
        return None
    store = kvstore.create('dist_sync')

    @atexit.register
    def leave():
        """Wait for the other workers and end the connection; left to chance, it may abort."""
        npx.waitall()
        check_call(_LIB.MXKVStoreFree(store.handle))
        store.handle = None
    return store


def rank():
    """The number of this worker, 0 to num_workers() - 1: DMLC_RANK, else in order of arrival."""
    # MXNet numbers workers by their ports and does not know DMLC_RANK
    return int(os.environ.get('DMLC_RANK', _store().rank)) if _store() else 0


def num_workers():
    """How many workers there are; 1 in a script that runs by itself."""
    return _store().num_workers if _store() else 1


def barrier():
    """Compute what is begun and wait for all workers."""
    npx.waitall()
    if _store():
        _store()._barrier()


class Share(gluon.data.Sampler):
    """This worker's share of every minibatch, a batch sampler for a DataLoader.

    length: examples in all. batch_size: of all workers together. A minibatch is dealt out in turn,
    so shares differ by one example at most, and all workers have the same number of minibatches.
    The last one may be smaller; where it has fewer examples than there are workers it joins the
    one before. shuffle: a new order each epoch, drawn from seed and epoch, the same in all
    workers. epoch: the one to begin with, where a run is resumed.

    `totals` lists the sizes of the minibatches, all workers together: what `step` divides by.
    """

    def __init__(self, length, batch_size, shuffle=False, seed=0, epoch=0):
        workers = num_workers()
        if min(length, batch_size) < workers:
            raise ValueError(f'{workers} workers cannot share {length} examples in minibatches of '
                             f'{batch_size}: each needs one at least')
        self._length, self._shuffle, self._seed, self.epoch = length, shuffle, seed, epoch
        self._starts = list(range(0, length, batch_size)) + [length]
        if length - self._starts[-2] < workers:
            del self._starts[-2]

    @property
    def totals(self):
        """Sizes of the minibatches of an epoch, in order."""
        return [end - start for start, end in zip(self._starts, self._starts[1:])]

    def __iter__(self):
        order = numpy.arange(self._length)
        if self._shuffle:
            numpy.random.RandomState([self._seed, self.epoch]).shuffle(order)
        self.epoch += 1
        for start, end in zip(self._starts, self._starts[1:]):
            yield order[start:end][rank()::num_workers()].tolist()

    def __len__(self):
        return len(self._starts) - 1


class Trainer(gluon.Trainer):
    """A Gluon Trainer whose optimizer runs in the servers; see `trainer`, which makes it.

    epoch: how many epochs were trained before, 0 or what a checkpoint says.
    """

    def __init__(self, net, optimizer, optimizer_params, checkpoint):
        params = net.collect_params()
        unknown = [name for name, param in params.items() if param._deferred_init]
        if unknown:
            raise ValueError(f"the shape of {', '.join(unknown)} is not known yet: compute net(X) "
                             'once before the trainer is made')
        self._net, self._checkpoint, self.epoch = net, checkpoint, 0
        if _store() and vars(_store()).setdefault('d2l_trainer', self) is not self:
            raise RuntimeError('there is a trainer already: the servers number parameters from 0, '
                               'and a second one would train those of the first')
        super().__init__(params, optimizer, optimizer_params, kvstore=_store() or 'device')
        found = self._found()
        if found:
            _load(net, os.path.join(found, 'net.params'))
        for array in (array for param in self._params for array in param.list_data()):
            # a prediction leaves weights in oneDNN's own layout, which the store cannot send:
            # to ask for the memory's address puts them in order
            array.wait_to_read()
            check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(ctypes.c_void_p())))
        self._init_kvstore()
        self._init_params()                         # one worker's weights go to all
        if found:
            self._resume(found)

    def step(self, batch_size, ignore_stale_grad=False):
        """Update the parameters by the gradients of all workers.

        batch_size: examples of all workers together in this minibatch, see `Share.totals`. Each
        gradient is divided by it here, in place: the servers cannot be told a new one.
        """
        for param in self._params:
            if param.grad_req != 'null':
                for grad in param.list_grad():
                    grad /= batch_size
        super().step(1, ignore_stale_grad)

    def set_learning_rate(self, lr):
        """Set a new learning rate; all workers call it, at the same place."""
        super().set_learning_rate(lr)
        barrier()
        self._command({'learning_rate': lr})

    def save(self, epoch):
        """Write a checkpoint: parameters and the optimizer's state after so many epochs.

        All workers call it, at the same place. Rank 0 writes it, the servers their own part, into
        a new folder, which gets its name when it is complete: a checkpoint is there as a whole or
        not at all. The one before is removed. On several hosts the path is in a shared folder.
        """
        if not self._checkpoint:
            raise ValueError('where to? trainer(..., checkpoint=FOLDER)')
        path = os.path.join(os.path.abspath(self._checkpoint), f'epoch-{epoch}')
        if os.path.exists(path):
            raise ValueError(f'{path} is there already')
        barrier()                                   # all updates have arrived
        if rank() == 0:
            part = path + '.part'
            shutil.rmtree(part, ignore_errors=True)     # of a run that was ended in between
            os.makedirs(part)
            self._net.save_parameters(os.path.join(part, 'net.params'))
            if _store() is None:
                self.save_states(os.path.join(part, 'trainer.states'))
            with open(os.path.join(part, 'group.json'), 'w') as f:
                json.dump({'epoch': epoch, 'servers': _servers()}, f)
            self._command({'save': part})
            old = self._found()
            os.rename(part, path)
            if old:
                shutil.rmtree(old)
        barrier()

    def _found(self):
        """The folder of the newest complete checkpoint, or None."""
        folders = glob.glob(os.path.join(os.path.abspath(self._checkpoint), 'epoch-*[0-9]')) \
            if self._checkpoint else []
        return max(folders, key=lambda path: int(path.rpartition('-')[2]), default=None)

    def _resume(self, folder):
        with open(os.path.join(folder, 'group.json')) as f:
            group = json.load(f)
        if group['servers'] != _servers():
            raise ValueError(f"{folder} was written with {group['servers']} servers, here are "
                             f'{_servers()}: the optimizer has its state in so many parts; launch '
                             f"with -s {group['servers']}, or begin in another folder")
        self.epoch = group['epoch']
        if _store() is None:
            self.load_states(os.path.join(folder, 'trainer.states'))
        barrier()                                   # all workers have sent their optimizer
        self._command({'load': folder})
        barrier()

    def _command(self, command):
        """Let every server obey (see d2l.launch.serve), once."""
        if _store() and rank() == 0:
            _store()._send_command_to_servers(0, pickle.dumps(command, 0).decode('ascii'))


def _load(net, path):
    """Net's parameters from a file; its own load_parameters fails where net is a lone layer."""
    params, loaded = net._collect_params_with_prefix(), npx.load(path)
    if params.keys() != loaded.keys():
        raise ValueError(f"{path} is of another net: {', '.join(sorted(params.keys() ^ loaded))} "
                         'is not in both')
    for name, param in params.items():
        param.set_data(loaded[name])


def _servers():
    """How many servers hold the optimizer's state; 0 where this process does."""
    return int(os.environ['DMLC_NUM_SERVER']) if _store() else 0


def trainer(net, optimizer, optimizer_params=None, checkpoint=None, update_on_kvstore=True):
    """A trainer of net's parameters for all workers together, synchronously (`dist_sync`).

    net: a Block whose shapes are known. All workers begin with the same parameters, those of one
    of them. optimizer and optimizer_params: as of gluon.Trainer. checkpoint: a folder; where it has
    a checkpoint, net and optimizer go on from it, and the trainer's `epoch` says how many epochs
    were trained before. Statistics of BatchNorm are each worker's own. One trainer a group.
    """
    if not update_on_kvstore:
        raise ValueError('update_on_kvstore=False with dist_sync ends, more often than not, in '
                         'wrong weights without an error (MXNet 1.9.1): leave it out')
    return Trainer(net, optimizer, optimizer_params, checkpoint)
