"""Functions for scripts that train in several processes: `python -m d2l.launch -n 2 SCRIPT` (12.7).

    share = distributed.Share(len(dataset), batch_size, shuffle=True)
    train_iter = gluon.data.DataLoader(dataset, batch_sampler=share)
    trainer = distributed.trainer(net, 'sgd', {'learning_rate': lr})
    for total, (X, y) in zip(share.totals, train_iter):
        ...                                             # as ever, and then
        trainer.step(total)

Run by itself, such a script trains in one process.

All workers must call `step`, `save` and `barrier` at the same places and equally often. A worker
may wait for another one that does not come, because it has ended, waits elsewhere, or makes no
progress for a minute (--limit of d2l.launch). Then all are ended, and the launcher says who waited
for whom, and after how many steps.
"""
import json
import os
import re
import shutil
from typing import Optional, Union

import numpy
from mxnet import MXNetError, gluon, kvstore, nd, np, npx

from d2l import files
from d2l.hybrid import saved
from d2l_group import member, server

NET, OPTIMIZER, GROUP = 'net.params', 'optimizer.npz', 'group.json'     # the files of a checkpoint


class _Servers(kvstore.KVStoreBase):
    """The servers of the group, with the interface that Gluon's Trainer needs. Parameters have
    numbers from 0."""

    type = 'dist_sync'
    rank = property(lambda self: rank())
    num_workers = property(lambda self: num_workers())

    def __init__(self):
        self.optimizer, self._sent, self._rates, self._at = None, {}, {}, {}

    @staticmethod
    def is_capable(capability):
        """Return whether this can do what a Trainer asks for: run the optimizer."""
        return capability == kvstore.KVStoreBase.OPTIMIZER

    def set_optimizer(self, optimizer):
        """Set the optimizer that the servers run. They get its name and its hyperparameters."""
        server.optimizer_name(optimizer)
        self.optimizer = optimizer

    def _changed(self, params):
        """Return the hyperparameters, and the multipliers of Parameters, that have changed since
        they were sent to the servers."""
        optimizer, found = self.optimizer, server.numbers(self.optimizer)
        if optimizer.lr_scheduler:
            found['lr'] = server.number(optimizer.learning_rate)
        changed = {name: value for name, value in found.items()
                   if name not in self._sent or self._sent[name] != value}
        self._sent.update(changed)
        rates = {key: (float(param.lr_mult), float(param.wd_mult))
                 for key, param in params.items()}
        news = [[key, found] for key, found in rates.items()
                if self._rates.get(key, (1.0, 1.0)) != found]
        self._rates.update(rates)
        return changed, news

    def _ask(self, requests):
        """Send every server a request, (command, buffers), and receive the answers of all."""
        member.this.check()
        for channel, (command, buffers) in zip(member.this.servers, requests):
            try:
                channel.send(command, *buffers)
            except OSError:
                pass                                    # `receive` below fails, too
        for i, channel in enumerate(member.this.servers):
            try:
                yield channel.receive()
            except OSError as err:
                member.this.fail(f'the connection to server {i} has ended ({err})')

    def _pull(self, answers, params):
        for command, data in answers:
            for key, value in server.unpack(command['arrays'], data).items():
                for array in params[int(key)].list_data():
                    # by an operator, because a prediction may leave weights in a blocked layout
                    nd.array(value, dtype=value.dtype).copyto(array.as_nd_ndarray())

    def start(self, params):
        """Assign each Parameter to a server, and set the Parameters of all workers to the values of
        worker 0. The largest are assigned first, each to the server with the fewest elements.

        params: {number: Parameter}
        """
        optimizer = {'name': server.optimizer_name(self.optimizer), 'numbers': self._changed({})[0]}
        sizes = [0] * (1 if optimizer['name'] in server.ACROSS else len(member.this.servers))
        for key in sorted(params, key=lambda key: (-params[key].data().size, key)):
            self._at[key] = sizes.index(min(sizes))
            sizes[self._at[key]] += params[key].data().size
        requests = []
        for i in range(len(member.this.servers)):
            arrays, buffers = server.pack({str(key): param.data().asnumpy()
                                           for key, param in params.items() if self._at[key] == i})
            requests.append(({'do': 'start', 'optimizer': optimizer, 'arrays': arrays},
                             buffers if rank() == 0 else []))
        with member.this.step():                        # step 0 for the scheduler
            self._pull(self._ask(requests), params)

    def step(self, params, size):
        """Send the gradients to the servers, and receive the new values.

        params: {number: Parameter}, those that have gradients; size: the size of the minibatch
        """
        numbers, rates = self._changed(params)
        gradients = [{} for _ in member.this.servers]
        for key, param in params.items():
            first, *others = param.list_grad()
            total = sum((grad.as_in_context(first.context) for grad in others), first)
            gradients[self._at[key]][str(key)] = total.asnumpy()
        with member.this.step() as n:
            requests = []
            for i, found in enumerate(gradients):
                arrays, buffers = server.pack(found)
                requests.append(({'do': 'step', 'n': n, 'size': size, 'numbers': numbers,
                                  'rates': [[key, pair] for key, pair in rates
                                            if self._at[key] == i], 'arrays': arrays}, buffers))
            self._pull(self._ask(requests), params)

    def states(self):
        """Return the results of `server.states_of` from all servers, put together."""
        arrays, about = {}, None
        for command, data in self._ask([({'do': 'states'}, [])] * len(member.this.servers)):
            arrays.update(server.unpack(command['arrays'], data))
            # the hyperparameters are those of the first server (see server.ACROSS)
            about = about or command['about']
            about['counts'].update(command['about']['counts'])
        return arrays, about

    def restore(self, arrays, about):
        """Set the servers to a state that `states` has returned, even if there were more or fewer
        servers then."""
        requests = []
        for i in range(len(member.this.servers)):
            def here(name, i=i):
                return self._at.get(int(name.partition('.')[0])) == i
            described, buffers = server.pack({name: array for name, array in arrays.items()
                                              if here(name)})
            counts = {key: count for key, count in about['counts'].items() if here(key)}
            requests.append(({'do': 'restore', 'arrays': described,
                              'about': {**about, 'counts': counts}}, buffers))
        list(self._ask(requests))


_servers = _Servers() if member.this else None


def _store():
    """Return the servers that d2l.launch has started, a KVStore; None if it has started none."""
    return _servers


def rank() -> int:
    """Return the number of this worker, 0 to num_workers() - 1. It is DMLC_RANK if that is set,
    else workers are numbered in the order of their arrival."""
    return member.this.rank if member.this else 0


def num_workers() -> int:
    """Return the number of workers; 1 in a script that was not started by d2l.launch."""
    return member.this.num_workers if member.this else 1


def barrier() -> None:
    """Wait until all operators of this process have run, and then for all workers."""
    npx.waitall()
    _share(None)


def _share(value):
    """Wait for all workers, and return the value of worker 0 after a conversion to JSON and back.
    """
    return member.this.barrier(value) if member.this else json.loads(json.dumps(value))


class Share(gluon.data.Sampler):
    """This worker's share of every minibatch, a batch sampler for a DataLoader.

    The examples of a minibatch are dealt out to the workers in turn, so their shares differ by at
    most one example, and all workers have the same number of minibatches. The last minibatch may be
    smaller. If it has fewer examples than there are workers, it is added to the one before.

    length: the number of examples; batch_size: the size of a minibatch, for all workers together
    shuffle: draw a new order for each epoch, from seed and epoch, which is the same in all workers
    epoch: the number of the first epoch, for a run that is resumed

    `totals` has the sizes of the minibatches, for all workers together, by which `step` divides.
    """

    def __init__(self, length: int, batch_size: int, shuffle: bool = False, seed: int = 0,
                 epoch: int = 0):
        workers = num_workers()
        if min(length, batch_size) < workers:
            raise ValueError(f'{workers} workers cannot share {length} examples in minibatches of '
                             f'{batch_size}: each needs one at least')
        self._length, self._shuffle, self._seed, self.epoch = length, shuffle, seed, epoch
        self._starts = list(range(0, length, batch_size)) + [length]
        if length - self._starts[-2] < workers:
            del self._starts[-2]

    @property
    def totals(self) -> 'list[int]':
        """The sizes of the minibatches of an epoch, in order, for all workers together."""
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
    """A Gluon Trainer whose optimizer runs in the servers; `trainer` makes one.

    epoch: the number of epochs that were trained before, 0 or the number in a checkpoint
    """

    def __init__(self, net, optimizer, optimizer_params, checkpoint):
        params = net.collect_params()
        unknown = [name for name, param in params.items() if param._deferred_init]
        if unknown:
            raise ValueError(f"the shape of {', '.join(unknown)} is not known yet: compute net(X) "
                             'once before the trainer is made')
        self._net, self._checkpoint, self.epoch = net, checkpoint, 0
        super().__init__(params, optimizer, optimizer_params, kvstore=_store() or 'device',
                         update_on_kvstore=True if _store() else None)
        sparse = [param.name for param in self._params
                  if _store() and (param._stype, param._grad_stype) != ('default', 'default')]
        if sparse:
            raise ValueError(f"{', '.join(sparse)}: the servers take no sparse arrays; leave "
                             'sparse_grad out')
        if _store():
            if vars(_store()).setdefault('d2l_trainer', self) is not self:
                raise RuntimeError('there is a trainer already: the servers number parameters from '
                                   '0, and a second one would train those of the first')
        found = self._found() if rank() == 0 else None
        about = _read(found, net) if found else None
        self._init_kvstore()
        if _store():
            self._params_to_init = []
            _store().start(dict(enumerate(self._params)))   # worker 0's values go to all
        else:
            self._init_params()
        if checkpoint:
            self._resume(found, _share(about))

    def step(self, batch_size: int, ignore_stale_grad: bool = False) -> None:
        """Update the parameters by the gradients of all workers, divided by batch_size.

        batch_size: the number of examples in this minibatch, for all workers together, from
        `Share.totals`.

        The current settings of Parameters and optimizer are used: lr_mult, wd_mult, grad_req, and
        the learning rate or that of the scheduler. These settings and batch_size must be the same
        in all workers.
        """
        if _store() is None:
            return super().step(batch_size, ignore_stale_grad)
        batch_size = server.number(batch_size)
        used = {}
        for key, param in enumerate(self._params):
            if param.grad_req != 'null':
                arrays = param.list_data()
                if all(array._fresh_grad for array in arrays):
                    used[key] = param
                elif not ignore_stale_grad:
                    raise UserWarning(f'{param.name} has no new gradient since the last step: was '
                                      'it used, and backward called? ignore_stale_grad=True '
                                      'leaves such Parameters as they are')
        self._optimizer.rescale_grad = self._scale / batch_size
        self._optimizer._update_count(list(used))
        _store().step(used, batch_size)
        for param in used.values():
            for array in param.list_data():
                array._fresh_grad = False

    def save(self, epoch: int) -> None:
        """Write a checkpoint with the parameters and the optimizer's state.

        epoch: the number of epochs that were trained

        All workers must call it at the same place. Worker 0 writes the files, which have checksums,
        into a new folder, and renames the folder when it is complete. So a checkpoint is there as a
        whole or not at all. The one before is removed. Only worker 0 reads and writes checkpoints,
        and a group with any number of servers can go on from one. Raises OSError if it cannot be
        written.
        """
        if not self._checkpoint:
            raise ValueError('where to? trainer(..., checkpoint=FOLDER)')
        path = os.path.join(os.path.abspath(self._checkpoint), f'epoch-{epoch}')
        npx.waitall()
        if rank() == 0:
            if os.path.exists(path):
                raise ValueError(f'{path} is there already')
            arrays, about = _store().states() if _store() else server.states_of(self._updating()[0])
            os.makedirs(self._checkpoint, exist_ok=True)
            with files.new_folder(os.path.dirname(path)) as new:
                _write(new, self._net, arrays, {'epoch': epoch, 'optimizer': about}, path)
                old = self._found()
                os.rename(new, path)
            os.chmod(path, 0o777 & ~_umask())
            if old:
                shutil.rmtree(old)
        barrier()

    def _updating(self):
        """Return MXNet's updaters, one per context, for a process that updates by itself."""
        return [self._kvstore._updater] if self._update_on_kvstore else self._updaters

    def _found(self):
        """Return the folder of the newest complete checkpoint, or None."""
        if not self._checkpoint or not os.path.exists(self._checkpoint):
            return None
        with os.scandir(os.path.abspath(self._checkpoint)) as entries:
            epochs = {int(entry.name[len('epoch-'):]): entry.path for entry in entries
                      if re.fullmatch('epoch-(0|[1-9][0-9]*)', entry.name) and entry.is_dir()}
        return epochs[max(epochs)] if epochs else None

    def _resume(self, folder, about):
        """Restore a checkpoint. folder: where worker 0 has found it; about: the content of its
        group.json, None if there is no checkpoint"""
        if about is None:
            return
        self.epoch = about['epoch']
        server.restore_numbers(self._optimizer, about['optimizer'])
        if rank() == 0:
            with numpy.load(os.path.join(folder, OPTIMIZER), allow_pickle=False) as found:
                arrays = dict(found)
            if _store():
                _store().restore(arrays, about['optimizer'])
            for i, updater in enumerate([] if _store() else self._updating()):
                server.restore(updater, {key: param.list_data()[i].as_nd_ndarray() for key, param
                                         in enumerate(self._params)}, arrays, about['optimizer'])
        barrier()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(folder, net, arrays, about, path):
    """Write the files of a checkpoint into a folder.

    arrays: the state of the optimizer; about: all else that is stored, for group.json
    path: where the folder will be moved, for error messages
    """
    def place(name):
        return os.path.join(folder, name)
    try:
        net.save_parameters(place(NET))
        with open(place(NET), 'rb') as file:        # MXNet raises nothing if the disk is full
            saved.read_params(file.read(), NET)
    except (MXNetError, saved.Damaged) as error:
        raise OSError(
            f'cannot write {path} ({error}): is the disk full? The checkpoint before it is as '
            'it was') from None
    numpy.savez(place(OPTIMIZER), **arrays)
    about['files'] = {}
    for name in NET, OPTIMIZER:
        with open(place(name), 'rb') as file:
            about['files'][name] = saved.sha256(file.read())
    about['fingerprint'] = saved.fingerprint(about)
    with open(place(GROUP), 'w') as file:
        json.dump(about, file)
    for name in NET, OPTIMIZER, GROUP:
        files.sync(place(name))


def _read(folder, net):
    """Check all files of a checkpoint, set net's parameters from it, and return the content of its
    group.json. Raises ValueError if it is damaged, if its files belong to several checkpoints, or
    if it belongs to another net."""
    contents = {}
    for name in GROUP, NET, OPTIMIZER:
        try:
            with open(os.path.join(folder, name), 'rb') as file:
                contents[name] = file.read()
        except OSError as error:
            if name == GROUP or b'"optimizer"' in contents[GROUP]:
                raise saved.Damaged(
                    f'{folder} is no whole checkpoint: {error}. Remove it, and the one '
                    'before it is used, or none') from None
    about = saved.parsed(contents[GROUP], f'{folder}/{GROUP}')
    if 'optimizer' not in about:
        raise ValueError(f'{folder} was written by an earlier d2l, as pickles, which are not read: '
                         'begin in another folder')
    saved.require(about.get('fingerprint') == saved.fingerprint(about) and about.get('files') == {
        name: saved.sha256(contents[name]) for name in (NET, OPTIMIZER)},
        f'{folder} is damaged, or its files are of several checkpoints: the SHA-256 written in '
        f'{GROUP} is another. Remove it, and the one before it is used, or none')
    path = os.path.join(folder, NET)
    params, loaded = net._collect_params_with_prefix(), saved.read_params(contents[NET], path)
    if params.keys() != loaded.keys():
        raise ValueError(f"{path} is of another net: {', '.join(sorted(params.keys() ^ loaded))} "
                         'is not in both')
    for name, param in params.items():
        param.set_data(np.array(loaded[name], dtype=loaded[name].dtype))
    return about


def trainer(net: gluon.Block, optimizer: str, optimizer_params: Optional[dict] = None,
            checkpoint: Union[str, os.PathLike, None] = None,
            update_on_kvstore: bool = True) -> 'Trainer':
    """Return a trainer of net's parameters for all workers together, synchronously.

    net: a Block whose Parameters have known shapes
    optimizer, optimizer_params: as for gluon.Trainer; the servers have MXNet's own optimizers
    checkpoint: a folder. If worker 0 finds a checkpoint in it, net and optimizer go on from there,
        and the trainer's `epoch` is the number of epochs that were trained before

    All workers begin with the parameters of worker 0. Each worker has its own statistics of
    BatchNorm. A group can have only one trainer.
    """
    if not update_on_kvstore:
        raise ValueError('update_on_kvstore=False is not what this trainer does: the servers '
                         'update. Leave it out')
    return Trainer(net, optimizer, optimizer_params, checkpoint)
