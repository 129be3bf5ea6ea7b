"""A server of a group, which keeps a share of the parameters and runs their optimizer."""
import os
import sys

import mxnet
import numpy

from d2l_group import member
from d2l_group.messages import GroupError

# The names of MXNet's optimizers, without LBSGD, which keeps sums outside of its state, and Test,
# which is no optimizer
OPTIMIZERS = ('adadelta', 'adagrad', 'adam', 'adamax', 'ccsgd', 'dcasgd', 'ftml', 'ftrl',
              'groupadagrad', 'lamb', 'lars', 'nadam', 'nag', 'rmsprop', 'sgd', 'sgld', 'signum')
ACROSS = ('lars', 'nadam')      # optimizers where an update of one Parameter affects the next one's
DTYPES = ('float16', 'float32', 'float64', 'uint8', 'int8', 'int32', 'int64')
OWN = ('allow_np_array', 'lr_scheduler')        # attributes of an optimizer that are not sent


# How optimizers and arrays are sent and saved

def optimizer_name(optimizer):
    """Return the name under which the servers know an optimizer. Raises ValueError if they do not
    have it."""
    name = type(optimizer).__name__.lower()
    known = mxnet.optimizer.Optimizer.opt_registry.get(name)
    if name not in OPTIMIZERS or known is not type(optimizer):
        raise ValueError(f'the servers have no optimizer {type(optimizer).__name__}; they have '
                         f"MXNet's {', '.join(OPTIMIZERS)}")
    return name


def _is_number(value):
    return value is None or isinstance(value, (bool, int, float, str))


def number(value):
    """Return a number of Python, NumPy or MXNet as a number for JSON; any other value unchanged."""
    if isinstance(value, (numpy.generic, numpy.ndarray, mxnet.nd.NDArray)) and value.size == 1:
        return (value.asnumpy() if isinstance(value, mxnet.nd.NDArray) else value).item()
    return value


def numbers(optimizer):
    """Return {name: value} for the hyperparameters of an optimizer, which are numbers, texts or
    None."""
    found = {name: number(value) for name, value in vars(optimizer).items() if name not in OWN}
    return {name: value for name, value in found.items() if _is_number(value)}


def set_numbers(optimizer, found):
    """Set hyperparameters of an optimizer. Raises GroupError for one that it does not have."""
    for name, value in found.items():
        if not (_is_number(value) and name in numbers(optimizer)):
            raise GroupError(f'{type(optimizer).__name__} has no number {name}')
        setattr(optimizer, name, value)


def pack(arrays):
    """Return (a description of the arrays for a command, list of their bytes).

    arrays: {name: NumPy array}
    """
    about = [[name, str(array.dtype), list(array.shape)] for name, array in arrays.items()]
    return about, [numpy.ascontiguousarray(array).reshape(-1).view('uint8')
                   for array in arrays.values()]


def unpack(about, data):
    """Return the {name: NumPy array} that `pack` was given. Raises GroupError if the data does not
    fit the description.

    about: the description; data: the bytes
    """
    found, start = {}, 0
    for name, dtype, shape in about:
        if dtype not in DTYPES:
            raise GroupError(f'arrays of {dtype} are not sent')
        count = 1
        for size in shape:
            count *= int(size)
        end = start + count * numpy.dtype(dtype).itemsize
        if min(shape, default=0) < 0 or end > len(data):
            raise GroupError('a message has fewer bytes than the arrays that it names')
        found[name] = numpy.frombuffer(data, dtype, count, start).reshape(shape)
        start = end
    if start != len(data):
        raise GroupError('a message has more bytes than the arrays that it names')
    return found


def _arrays(state, name):
    """Yield (name, array) for each array in an optimizer's state, which is an array, a tuple or
    list of states, or None."""
    if isinstance(state, (list, tuple)):
        for i, part in enumerate(state):
            yield from _arrays(part, f'{name}.{i}')
    elif state is not None:
        yield name, state


def states_of(updater):
    """Return the state of an updater: ({name: NumPy array}, a dict for JSON with all else)."""
    optimizer = updater.optimizer
    arrays = {name: array.asnumpy() for key, state in updater.states.items()
              for name, array in _arrays(state, str(key))}
    return arrays, {'name': optimizer_name(optimizer), 'numbers': numbers(optimizer),
                    'counts': {str(key): count for key, count
                               in optimizer._index_update_count.items()}}


def restore_numbers(optimizer, about):
    """Set the hyperparameters and update counts of an optimizer from the dict of `states_of`."""
    if about['name'] != optimizer_name(optimizer):
        raise GroupError(f"that state is of {about['name']}, not of {optimizer_name(optimizer)}")
    set_numbers(optimizer, about['numbers'])
    counts = {int(key): int(count) for key, count in about['counts'].items()}
    optimizer._index_update_count.clear()
    optimizer._index_update_count.update(counts)


def restore(updater, weights, arrays, about):
    """Set an updater to a state from `states_of`. Raises GroupError if it does not fit.

    weights: {key: weight} for all weights that the updater updates
    """
    optimizer = updater.optimizer
    restore_numbers(optimizer, about)
    counts = dict(optimizer._index_update_count)
    for weight in weights.values():
        optimizer._all_index_update_counts[weight.context.device_id] = counts
        optimizer._set_current_context(weight.context.device_id)
    updater.states.clear()
    rest = dict(arrays)
    for key, weight in weights.items():
        if key not in counts:
            continue
        state = optimizer.create_state_multi_precision(key, weight)
        for name, array in _arrays(state, str(key)):
            value = rest.pop(name, None)
            if value is None or value.shape != array.shape:
                raise GroupError(f'the state {name} of the optimizer is missing, or of another '
                                 'shape: is it of another net?')
            array[:] = mxnet.nd.array(value, dtype=value.dtype)
        updater.states[key], updater.states_synced[key] = state, True
    if rest:
        raise GroupError(f'the optimizer has no state {min(rest)}: is it of another net?')


class Rates:
    """The attributes of a Parameter that an optimizer reads."""

    def __init__(self):
        self.lr_mult = self.wd_mult = 1.0


class Shard:
    """The weights of one server, {key: weight}, and their updater."""

    def __init__(self):
        self.weights, self.updater, self._names = {}, None, None

    def start(self, commands, data):
        """Set the weights to those of worker 0. All workers must name the same optimizer and
        arrays.

        commands, data: the commands of all workers in the order of their ranks, and their bytes
        """
        for other in commands[1:]:
            if other['optimizer'] != commands[0]['optimizer']:
                raise GroupError('worker 0 trains with {}, another worker with {}'.format(
                    *[command['optimizer']['name'] for command in (commands[0], other)])
                    if other['optimizer']['name'] != commands[0]['optimizer']['name'] else
                    'the optimizers of the workers have other numbers: '
                    + _different(commands[0]['optimizer'], other['optimizer']))
            if other['arrays'] != commands[0]['arrays']:
                raise GroupError('the workers train other nets: their Parameters have other '
                                 'shapes or dtypes')
        found = commands[0]['optimizer']
        if found['name'] not in OPTIMIZERS:
            raise GroupError(f"there is no optimizer {found['name']}")
        optimizer = mxnet.optimizer.Optimizer.opt_registry[found['name']]()
        set_numbers(optimizer, found['numbers'])
        self.weights = {int(key): mxnet.nd.array(array, dtype=array.dtype) for key, array
                        in unpack(commands[0]['arrays'], data[0]).items()}
        optimizer.param_dict = {key: Rates() for key in self.weights}
        self.updater = mxnet.optimizer.get_updater(optimizer)
        return self.pull(list(self.weights))

    def step(self, commands, data):
        """Update the weights by the sum of all workers' gradients, added up in the order of their
        ranks.

        commands, data: see `start`. A command has the hyperparameters and multipliers that have
        changed since the last step.
        """
        for i, other in enumerate(commands):
            for what in 'n', 'size', 'numbers', 'rates':
                if other[what] != commands[0][what]:
                    raise GroupError(f"in step {commands[0]['n']} worker 0 and worker {i} have "
                                     f'unlike {WHAT[what]}: {commands[0][what]} and {other[what]}')
        optimizer, gradients = self.updater.optimizer, {}
        set_numbers(optimizer, commands[0]['numbers'])
        for key, (lr_mult, wd_mult) in commands[0]['rates']:
            rates = optimizer.param_dict[key]
            rates.lr_mult, rates.wd_mult = lr_mult, wd_mult
        for command, part in zip(commands, data):
            for key, array in unpack(command['arrays'], part).items():
                weight = self.weights[int(key)]
                if array.shape != weight.shape or array.dtype != weight.dtype:
                    raise GroupError(f'a gradient of shape {array.shape} and {array.dtype} is not '
                                     f'for a Parameter of {weight.shape} and '
                                     f'{numpy.dtype(weight.dtype)}')
                if int(key) in gradients:
                    gradients[int(key)] += array
                else:
                    gradients[int(key)] = array
        keys = sorted(gradients)
        if keys:
            self.updater(keys, [mxnet.nd.array(gradients[key], dtype=gradients[key].dtype)
                                for key in keys], [self.weights[key] for key in keys])
        return self.pull(keys)

    def pull(self, keys):
        """Return an answer, (command, data), with the weights that have these keys."""
        about, data = pack({str(key): self.weights[key].asnumpy() for key in keys})
        return {'do': 'weights', 'arrays': about}, data

    def states(self, command, data):
        """Return an answer with the state of the optimizer, for a checkpoint."""
        arrays, about = states_of(self.updater)
        described, data = pack(arrays)
        return {'do': 'states', 'arrays': described, 'about': about}, data

    def restore(self, command, data):
        """Restore the state of the optimizer from a checkpoint."""
        restore(self.updater, self.weights, unpack(command['arrays'], data), command['about'])
        return {'do': 'restored'}, []


WHAT = {'n': 'counts of steps', 'size': 'sizes of the minibatch', 'numbers': 'hyperparameters',
        'rates': 'lr_mult or wd_mult of a Parameter'}
# commands that all workers send, which are answered together; commands that one worker sends
TOGETHER, ALONE = ('start', 'step'), ('states', 'restore')


def _different(first, second):
    return ', '.join(f'{name} {first["numbers"].get(name)} and {second["numbers"].get(name)}'
                     for name in sorted({*first['numbers'], *second['numbers']})
                     if first['numbers'].get(name) != second['numbers'].get(name))


def hear(channel, requests):
    """Put the requests of a worker into a queue, as (rank, channel, command, data)."""
    rank = None
    try:
        while True:
            command, data = channel.receive()
            if rank is None:
                rank = command['rank']
            requests.put((rank, channel, command, data))
    except (OSError, ValueError):           # the scheduler sees, too, that the worker is gone
        pass


def serve(requests):
    """Answer the requests in a queue. It does not return: the process ends when the scheduler says
    so."""
    shard, channels, asked = Shard(), {}, {}
    while True:
        rank, channel, command, data = requests.get()
        do = command['do']
        if do != 'join' and channels.get(rank) is not channel:
            continue                        # the connection was refused
        if do == 'join':
            if command['server'] != member.this.rank or rank not in range(member.this.num_workers) \
                    or channels.setdefault(rank, channel) is not channel:
                channel.close()             # the rank is taken, or it looks for another server
        elif do in ALONE:
            answer, parts = getattr(shard, do)(command, data)
            channel.send(answer, *parts)
        elif do in TOGETHER:
            asked[rank] = command, data
            if len(asked) < member.this.num_workers:
                continue
            commands, parts = zip(*[asked[rank] for rank in sorted(asked)])
            asked = {}
            if len({command['do'] for command in commands}) > 1:
                raise GroupError('one worker starts while another one trains')
            answer, parts = getattr(shard, do)(commands, parts)
            for rank in sorted(channels):
                try:
                    channels[rank].send(answer, *parts)
                except OSError:             # the scheduler sees, too, that the worker is gone
                    pass
        else:
            raise GroupError(f'there is no command {do}')


def run(requests):
    """Run a server whose Listener puts requests into this queue. It does not return."""
    try:
        serve(requests)
    except GroupError as err:
        member.this.fail(str(err))
    except BaseException as err:
        sys.excepthook(type(err), err, err.__traceback__)
        sys.stdout.flush()
        member.this.fail(f'{type(err).__name__}: {err}')
    os._exit(1)
