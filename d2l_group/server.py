"""A server of a group: its share of the parameters, and the optimizer that updates them."""
import os
import sys

import mxnet
import numpy

from d2l_group import member
from d2l_group.messages import GroupError

# MXNet's optimizers by name; LBSGD keeps what it has summed up outside of its state, and Test
# is none
OPTIMIZERS = ('adadelta', 'adagrad', 'adam', 'adamax', 'ccsgd', 'dcasgd', 'ftml', 'ftrl',
              'groupadagrad', 'lamb', 'lars', 'nadam', 'nag', 'rmsprop', 'sgd', 'sgld', 'signum')
ACROSS = ('lars', 'nadam')              # what one Parameter's update does counts for the next one's
DTYPES = ('float16', 'float32', 'float64', 'uint8', 'int8', 'int32', 'int64')
OWN = ('allow_np_array', 'lr_scheduler')        # of each process


# What is sent and saved of an optimizer and of arrays

def optimizer_name(optimizer):
    """Return the name under which the servers know an optimizer; raises ValueError where they do
    not."""
    name = type(optimizer).__name__.lower()
    known = mxnet.optimizer.Optimizer.opt_registry.get(name)
    if name not in OPTIMIZERS or known is not type(optimizer):
        raise ValueError(f'the servers have no optimizer {type(optimizer).__name__}; they have '
                         f"MXNet's {', '.join(OPTIMIZERS)}")
    return name


def _is_number(value):
    return value is None or isinstance(value, (bool, int, float, str))


def number(value):
    """Return a number as JSON has it, of one of Python, NumPy or MXNet; anything else as it is."""
    if isinstance(value, (numpy.generic, numpy.ndarray, mxnet.nd.NDArray)) and value.size == 1:
        return (value.asnumpy() if isinstance(value, mxnet.nd.NDArray) else value).item()
    return value


def numbers(optimizer):
    """Return the hyperparameters of an optimizer, by name: numbers, texts, None."""
    found = {name: number(value) for name, value in vars(optimizer).items() if name not in OWN}
    return {name: value for name, value in found.items() if _is_number(value)}


def set_numbers(optimizer, found):
    """Set hyperparameters, which the optimizer has to have."""
    for name, value in found.items():
        if not (_is_number(value) and name in numbers(optimizer)):
            raise GroupError(f'{type(optimizer).__name__} has no number {name}')
        setattr(optimizer, name, value)


def pack(arrays):
    """Return (what describes NumPy arrays, for a command; their bytes), from a dict by name."""
    about = [[name, str(array.dtype), list(array.shape)] for name, array in arrays.items()]
    return about, [numpy.ascontiguousarray(array).reshape(-1).view('uint8')
                   for array in arrays.values()]


def unpack(about, data):
    """Return the dict of NumPy arrays that `pack` was given, from a command and its data."""
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
    """Yield (name, array) of an optimizer's state: an array, a tuple or list of states, or None."""
    if isinstance(state, (list, tuple)):
        for i, part in enumerate(state):
            yield from _arrays(part, f'{name}.{i}')
    elif state is not None:
        yield name, state


def states_of(updater):
    """Return the state of an updater: (NumPy arrays by name, what else there is, for JSON)."""
    optimizer = updater.optimizer
    arrays = {name: array.asnumpy() for key, state in updater.states.items()
              for name, array in _arrays(state, str(key))}
    return arrays, {'name': optimizer_name(optimizer), 'numbers': numbers(optimizer),
                    'counts': {str(key): count for key, count
                               in optimizer._index_update_count.items()}}


def restore_numbers(optimizer, about):
    """Let an optimizer go on with the numbers and counts of `states_of`."""
    if about['name'] != optimizer_name(optimizer):
        raise GroupError(f"that state is of {about['name']}, not of {optimizer_name(optimizer)}")
    set_numbers(optimizer, about['numbers'])
    counts = {int(key): int(count) for key, count in about['counts'].items()}
    optimizer._index_update_count.clear()
    optimizer._index_update_count.update(counts)


def restore(updater, weights, arrays, about):
    """Let an updater of weights, a dict by key, go on from what `states_of` gave."""
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
    """What an optimizer asks of a Parameter."""

    def __init__(self):
        self.lr_mult = self.wd_mult = 1.0


class Shard:
    """What one server keeps: weights by key, and their updater."""

    def __init__(self):
        self.weights, self.updater, self._names = {}, None, None

    def start(self, commands, data):
        """Begin with the weights of worker 0. All workers name the same optimizer and arrays."""
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
        """Update by the sum of all workers' gradients, added up in the order of their ranks.

        A command has the numbers and multipliers that have changed since the last step.
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
        """Return the answer with the weights of some keys."""
        about, data = pack({str(key): self.weights[key].asnumpy() for key in keys})
        return {'do': 'weights', 'arrays': about}, data

    def states(self, command, data):
        """Return the state of the optimizer, for a checkpoint."""
        arrays, about = states_of(self.updater)
        described, data = pack(arrays)
        return {'do': 'states', 'arrays': described, 'about': about}, data

    def restore(self, command, data):
        """Go on with a checkpoint."""
        restore(self.updater, self.weights, unpack(command['arrays'], data), command['about'])
        return {'do': 'restored'}, []


WHAT = {'n': 'counts of steps', 'size': 'sizes of the minibatch', 'numbers': 'hyperparameters',
        'rates': 'lr_mult or wd_mult of a Parameter'}
TOGETHER, ALONE = ('start', 'step'), ('states', 'restore')      # of all workers, of one


def _different(first, second):
    return ', '.join(f'{name} {first["numbers"].get(name)} and {second["numbers"].get(name)}'
                     for name in sorted({*first['numbers'], *second['numbers']})
                     if first['numbers'].get(name) != second['numbers'].get(name))


def hear(channel, requests):
    """Put what a worker asks for into a queue."""
    rank = None
    try:
        while True:
            command, data = channel.receive()
            if rank is None:
                rank = command['rank']
            requests.put((rank, channel, command, data))
    except (OSError, ValueError):           # the scheduler sees that it is gone, and what it means
        pass


def serve(requests):
    """Answer the requests of a queue. Ends by the scheduler's word."""
    shard, channels, asked = Shard(), {}, {}
    while True:
        rank, channel, command, data = requests.get()
        do = command['do']
        if do != 'join' and channels.get(rank) is not channel:
            continue                        # it was refused
        if do == 'join':
            if command['server'] != member.this.rank or rank not in range(member.this.num_workers) \
                    or channels.setdefault(rank, channel) is not channel:
                channel.close()             # there is such a worker already, or it means another
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
                except OSError:             # gone, as the scheduler sees, too
                    pass
        else:
            raise GroupError(f'there is no command {do}')


def run(requests):
    """Run a server, whose Listener puts requests into a queue. Does not return."""
    try:
        serve(requests)
    except GroupError as err:
        member.this.fail(str(err))
    except BaseException as err:
        sys.excepthook(type(err), err, err.__traceback__)
        sys.stdout.flush()
        member.this.fail(f'{type(err).__name__}: {err}')
    os._exit(1)
