"""The registry of all networks of the book, which are built by the code of their sections.

A row names a section, its last listing that counts, and an expression. The statements that the
expression needs are run (see ci/slices.py), so that no code of the network is written twice.
Parameters and inputs are filled from NumPy's frozen RandomState, seeded by their names, so that
no number depends on a framework's random stream or on what ran before.
"""
import ast
import contextlib
import dataclasses
import functools
import unittest.mock
import zlib

import numpy as onp
from mxnet import autograd, np, npx
from mxnet.gluon import Constant, nn
from mxnet.gluon.model_zoo import model_store
from mxnet.name import NameManager

from chapters.sections import find
from ci import slices

CPU = npx.cpu()


@dataclasses.dataclass(frozen=True)
class Array:
    """An input to be made, of the kind 'uniform' (-1 to 1), 'tokens' (0 to high - 1), 'values' or
    'zeros'."""
    kind: str
    shape: tuple
    high: int = 0
    values: tuple = ()

    def draw(self, name):
        """Return a float32 array; name: the seed of its random values"""
        random = onp.random.RandomState(zlib.crc32(name.encode()))
        data = {'uniform': lambda: random.uniform(-1, 1, self.shape),
                'tokens': lambda: random.randint(0, self.high, self.shape),
                'values': lambda: onp.array(self.values),
                'zeros': lambda: onp.zeros(self.shape)}[self.kind]()
        return np.array(data.astype('float32'), ctx=CPU)


def floats(*shape):
    """Return the Array of an input with values from -1 to 1."""
    return Array('uniform', shape)


def tokens(high, *shape):
    """Return the Array of an input of token indices below `high`, float32 as in the book's
    loaders."""
    return Array('tokens', shape, high)


def values(*numbers):
    """Return the Array of an input with these values."""
    return Array('values', (len(numbers),), values=numbers)


@dataclasses.dataclass(frozen=True)
class Network:
    """A row of the registry."""
    name: str                   # unique; the file name of its stored numbers
    section: str                # '6.6'
    listing: int                # names have the values that they have after this listing
    net: str                    # what is tested, an expression over the section's names
    inputs: tuple               # Arrays, nested in tuples and lists as the network takes them
    # seed of the inputs, for which no input of a ReLU is so close to 0 that rounding counts
    draw: int = 0
    inside: str = ''            # a function in that listing whose body builds the network
    given: tuple = ()           # pairs (name, source) that replace data or arguments
    arrays: str = ''            # for a function, its parameters: global names, or 'model.params'
    layers: str = ''            # a Block whose layers are the last arguments of a function
    training: str = ''          # statement that switches a scratch network's dropout off
    no_export: str = ''         # why it cannot be exported, neither by d2l.export nor to ONNX
    constants: str = ''         # why its Constants keep their values
    no_witness: str = ''        # why neither ONNX Runtime nor NumPy can compute it
    no_gradients: str = ''      # why NumPy does not witness its gradients
    predict_only: str = ''      # why it cannot be trained as it is written
    cpu_only: str = ''          # why it cannot run on a GPU as it is written

    @functools.cached_property
    def nodes(self):
        """Return the statements of the section that the expression needs, as syntax trees."""
        section, = find(self.section)
        nodes = [node for node in slices.statements(section.listings)
                 if node.listing <= self.listing]
        if self.inside:
            function = next(node for node in reversed(nodes) if node.listing == self.listing
                            and getattr(node, 'name', '') == self.inside)
            nodes += function.body
        wanted = f'[{self.net}, {self.arrays or None}, {self.layers or None}]'
        return slices.backward(nodes, wanted, dict(self.given))

    def build(self):
        """Run the section's statements, and return the network as a Block, before its parameters
        are filled. Pretrained parameters of the model zoo are not read for this reason."""
        npx.set_np()
        names = {'__name__': f'section {self.section}'}
        for name, source in self.given:
            exec(f'{name} = {source}', names)
        with unittest.mock.patch.object(model_store, 'get_model_file'), \
                unittest.mock.patch.object(nn.Block, 'load_parameters'):
            exec(compile(ast.Module(self.nodes, []), f'<section {self.section}>', 'exec'), names)
            net = eval(self.net, names)
        if self.layers:
            return Through(net, eval(self.layers, names))
        return net if isinstance(net, nn.Block) else Function(net, names, self.arrays)

    def example(self, ctx=CPU):
        """Return the arrays of the inputs, nested as in `inputs`."""
        count, again = iter(range(100)), f', draw {self.draw}' if self.draw else ''

        def draw(spec):
            if isinstance(spec, Array):
                return spec.draw(f'{self.name} input {next(count)}{again}').as_in_ctx(ctx)
            return type(spec)(draw(sub) for sub in spec) if isinstance(spec, (tuple, list)) \
                else spec
        return tuple(draw(spec) for spec in self.inputs)

    @property
    def smooth(self):
        """Return for each input array whether it has real values, and so a gradient."""
        def kinds(spec):
            if isinstance(spec, Array):
                yield spec.kind == 'uniform'
            elif isinstance(spec, (tuple, list)):
                for sub in spec:
                    yield from kinds(sub)
        return list(kinds(self.inputs))

    def filled(self, ctx=CPU):
        """Return the network with its parameters filled, and the example inputs."""
        with NameManager():                         # the numbers in names start from 0
            net, inputs = self.build(), self.example(ctx)
        net.initialize(ctx=ctx, force_reinit=True)
        with autograd.pause():
            net(*fresh(inputs))                     # infers deferred shapes
        for name, param in structural(net).items():
            if self.constants and isinstance(param, Constant):
                continue
            param.set_data(np.array(fill(name, param.shape), dtype=param.dtype))
        return net, inputs


class Function(nn.Block):
    """A Block that runs a network that the book writes as a function of global arrays. These become
    its Parameters.

    names: the section's namespace; arrays: the names of the arrays in it, separated by commas, or
    an expression for a list of them ('model.params')
    """

    def __init__(self, function, names, arrays, **kwargs):
        super(Function, self).__init__(**kwargs)
        self.function, self.names = function, names
        self.owner = arrays.rpartition('.')[0] and eval(arrays.rpartition('.')[0], names)
        found = list(eval(f'[{arrays}]' if not self.owner else arrays, names))
        self.keys = [f'array{i}' for i in range(len(found))] if self.owner \
            else arrays.replace(',', ' ').split()
        for key, array in zip(self.keys, found):
            setattr(self, key, self.params.get(key, shape=array.shape))

    @contextlib.contextmanager
    def bound(self, ctx):
        """Set the global names that the network's function reads to the Parameters' arrays on a
        context, and restore them at the end."""
        data = [getattr(self, key).data(ctx) for key in self.keys]
        if self.owner:
            old, self.owner.params = self.owner.params, data
        else:
            old = {key: self.names[key] for key in self.keys}
            self.names.update(zip(self.keys, data))
        try:
            yield
        finally:
            if self.owner:
                self.owner.params = old
            else:
                self.names.update(old)

    def forward(self, *inputs):
        with self.bound(next(iter(leaves(inputs))).ctx):
            return self.function(*inputs)


class Through(nn.Block):
    """A Block that runs a function of inputs and of a Block's layers, such as 14.4's skip_gram."""

    def __init__(self, function, layers, **kwargs):
        super(Through, self).__init__(**kwargs)
        self.function, self.layers = function, layers

    def forward(self, *inputs):
        return self.function(*inputs, *self.layers)


def fresh(nested):
    """Return the same arrays in new containers, since some of the book's decoders change the list
    of their state."""
    return type(nested)(map(fresh, nested)) if isinstance(nested, (tuple, list)) else nested


def leaves(nested):
    """Yield the arrays of nested tuples, lists and dicts, in order."""
    if isinstance(nested, np.ndarray):
        yield nested
    elif isinstance(nested, (tuple, list)):
        for sub in nested:
            yield from leaves(sub)
    elif isinstance(nested, dict):
        for sub in nested.values():
            yield from leaves(sub)


def structural(net):
    """Return {structural name such as '0.weight': Parameter}, sorted by name, each Parameter once.
    """
    seen, found = set(), {}
    for name, param in sorted(net._collect_params_with_prefix().items()):
        if id(param) not in seen:
            seen.add(id(param))
            found[name] = param
    missing = [name for name, param in net.collect_params().items() if id(param) not in seen]
    assert not missing, f'parameters without a structural name: {missing}'
    return found


def fill(name, shape):
    """Return values for a parameter, seeded by its structural name and scaled by 1/sqrt(fan_in)."""
    random = onp.random.RandomState(zlib.crc32(name.encode()))
    last = name.rpartition('.')[2]
    if last in ('gamma', 'running_var'):
        return random.uniform(0.5, 1.5, shape)
    # weights have the shape (out, in, ...) in Gluon, and (in, out) in networks from scratch
    fan_in = 100 if len(shape) < 2 else \
        int(onp.prod(shape[1:])) if last.endswith('weight') else shape[0]
    return random.uniform(-1, 1, shape) * (3 / fan_in) ** 0.5


IN_PLACE = 'writes into an array, which autograd refuses while it records'
VOCAB = ('vocab', 'range(28)')                      # The Time Machine has 28 characters
LANGUAGES = (('src_vocab', 'range(200)'), ('tgt_vocab', 'range(200)'))
STATE = [floats(1, 4, 256)]

NETWORKS = [
    # chapter 3
    Network('linreg', '3.2', 8, 'linreg', (floats(10, 2), floats(2, 1), floats(1))),
    Network('linear_regression', '3.3', 5, 'net', (floats(10, 2),)),
    Network('softmax_regression_scratch', '3.6', 7, 'net', (floats(8, 1, 28, 28),), arrays='W, b'),
    Network('softmax_regression', '3.7', 2, 'net', (floats(8, 1, 28, 28),)),
    # chapter 4
    Network('mlp_scratch', '4.2', 4, 'net', (floats(8, 784),), arrays='W1, b1, W2, b2'),
    Network('mlp', '4.3', 1, 'net', (floats(8, 1, 28, 28),)),
    Network('polynomial_regression', '4.4', 4, 'net', (floats(10, 4),), inside='train'),
    Network('weight_decay_scratch', '4.5', 3, 'net', (floats(1, 200),), inside='train',
            arrays='w, b'),
    Network('weight_decay', '4.5', 6, 'net', (floats(1, 200),), inside='train_gluon'),
    Network('dropout_scratch', '4.6', 3, 'net', (floats(8, 784),),
            arrays='W1, b1, W2, b2, W3, b3', training='drop_prob1 = drop_prob2 = 0',
            cpu_only='makes its mask on the CPU'),
    Network('dropout', '4.6', 5, 'net', (floats(8, 1, 28, 28),)),
    Network('house_prices', '4.10', 12, 'net', (floats(64, 331),), inside='get_net'),
    # chapter 5
    Network('layers_sequential', '5.1', 0, 'net', (floats(2, 20),)),
    Network('layers_mlp', '5.1', 1, 'MLP()', (floats(2, 20),)),
    Network('layers_my_sequential', '5.1', 4, 'net', (floats(2, 20),)),
    Network('layers_fancy_mlp', '5.1', 5, 'FancyMLP()', (floats(2, 20),),
            no_export='branches on the values of an array', predict_only=IN_PLACE),
    Network('layers_nest_mlp', '5.1', 7, 'NestMLP()', (floats(2, 20),)),
    Network('layers_chimera', '5.1', 7, 'chimera', (floats(2, 20),),
            no_export='holds a FancyMLP', predict_only=IN_PLACE),
    Network('parameters_sequential', '5.2', 0, 'net', (floats(2, 20),)),
    Network('parameters_rgnet', '5.2', 8, 'rgnet', (floats(2, 20),)),
    Network('parameters_shared', '5.2', 16, 'net', (floats(2, 20),)),
    Network('deferred_getnet', '5.3', 0, 'getnet()', (floats(2, 20),)),
    Network('deferred_in_units', '5.3', 8, 'net', (floats(2, 20),)),
    Network('centered_layer', '5.4', 0, 'CenteredLayer()', (floats(5),)),
    Network('centered_layer_net', '5.4', 2, 'net', (floats(4, 8),)),
    Network('my_dense', '5.4', 6, 'dense', (floats(2, 5),)),
    Network('my_dense_net', '5.4', 8, 'net', (floats(2, 64),)),
    Network('file_io_mlp', '5.5', 4, 'MLP()', (floats(2, 20),)),
    Network('gpu_net', '5.6', 13, 'net', (floats(2, 3),)),
    # chapter 6
    Network('corr2d', '6.2', 0, 'corr2d', (floats(3, 3), floats(2, 2)),
            predict_only=IN_PLACE),
    Network('own_conv2d', '6.2', 2, 'Conv2D((1, 2))', (floats(6, 8),),
            predict_only=IN_PLACE),
    Network('edge_conv2d', '6.2', 7, 'conv2d', (floats(1, 1, 6, 8),)),
    Network('padding_3x3', '6.3', 0, 'conv2d', (floats(1, 1, 8, 8),)),
    Network('padding_5x3', '6.3', 1, 'conv2d', (floats(1, 1, 8, 8),)),
    Network('stride_2', '6.3', 2, 'conv2d', (floats(1, 1, 8, 8),)),
    Network('stride_3x4', '6.3', 3, 'conv2d', (floats(1, 1, 8, 8),)),
    Network('corr2d_multi_in', '6.4', 0, 'corr2d_multi_in', (floats(2, 3, 3), floats(2, 2, 2)),
            predict_only=IN_PLACE),
    Network('corr2d_multi_in_out', '6.4', 2, 'corr2d_multi_in_out',
            (floats(2, 3, 3), floats(3, 2, 2, 2)),
            predict_only=IN_PLACE),
    Network('corr2d_multi_in_out_1x1', '6.4', 5, 'corr2d_multi_in_out_1x1',
            (floats(3, 3, 3), floats(2, 3, 1, 1))),
    Network('pool2d_max', '6.5', 0, 'lambda X: pool2d(X, (2, 2))', (floats(3, 3),),
            predict_only=IN_PLACE),
    Network('pool2d_avg', '6.5', 0, "lambda X: pool2d(X, (2, 2), 'avg')", (floats(3, 3),),
            predict_only=IN_PLACE),
    Network('max_pool_3', '6.5', 4, 'pool2d', (floats(1, 1, 4, 4),)),
    Network('max_pool_padded', '6.5', 5, 'pool2d', (floats(1, 2, 4, 4),)),
    Network('max_pool_2x3', '6.5', 6, 'pool2d', (floats(1, 1, 4, 4),)),
    Network('lenet', '6.6', 0, 'net', (floats(2, 1, 28, 28),)),
    # chapter 7
    Network('alexnet', '7.1', 0, 'net', (floats(1, 1, 224, 224),)),
    Network('vgg', '7.2', 4, 'net', (floats(1, 1, 224, 224),), draw=1),
    Network('nin', '7.3', 1, 'net', (floats(1, 1, 224, 224),), draw=1),
    Network('inception', '7.4', 0, 'Inception(64, (96, 128), (16, 32), 32)',
            (floats(2, 192, 12, 12),)),
    Network('googlenet', '7.4', 6, 'net', (floats(2, 1, 96, 96),), draw=1),
    Network('batch_norm_scratch', '7.5', 2, 'net', (floats(4, 1, 28, 28),)),
    Network('batch_norm', '7.5', 5, 'net', (floats(4, 1, 28, 28),)),
    Network('residual', '7.6', 0, 'Residual(3)', (floats(4, 3, 6, 6),)),
    Network('residual_strided', '7.6', 2, 'blk', (floats(4, 3, 6, 6),)),
    Network('resnet18', '7.6', 6, 'net', (floats(2, 1, 96, 96),), draw=3),
    Network('dense_block', '7.7', 2, 'blk', (floats(4, 3, 8, 8),)),
    Network('transition_block', '7.7', 4, 'blk', (floats(4, 23, 8, 8),)),
    Network('densenet', '7.7', 7, 'net', (floats(2, 1, 64, 64),)),
    # chapter 8
    Network('sequence_mlp', '8.1', 1, 'get_net()', (floats(16, 4),)),
    Network('rnn_scratch', '8.5', 7, 'model', (tokens(28, 2, 5), (floats(2, 512),)),
            given=(VOCAB,), arrays='model.params'),
    Network('rnn', '8.6', 5, 'model', (tokens(28, 4, 35), STATE), given=(VOCAB,)),
    # chapter 9
    Network('gru_scratch', '9.1', 4, 'model', (tokens(28, 4, 35), (floats(4, 256),)),
            given=(VOCAB,), arrays='model.params'),
    Network('gru', '9.1', 5, 'model', (tokens(28, 4, 35), STATE), given=(VOCAB,)),
    Network('lstm_scratch', '9.2', 4, 'model',
            (tokens(28, 4, 35), (floats(4, 256), floats(4, 256))),
            given=(VOCAB,), arrays='model.params'),
    Network('lstm', '9.2', 5, 'model', (tokens(28, 4, 35), STATE * 2), given=(VOCAB,)),
    Network('deep_lstm', '9.3', 1, 'model', (tokens(28, 4, 35), [floats(2, 4, 256)] * 2),
            given=(VOCAB,)),
    Network('bidirectional_lstm', '9.4', 0, 'model',
            (tokens(28, 4, 35), [floats(4, 4, 256)] * 2), given=(VOCAB,)),
    Network('seq2seq_encoder', '9.7', 2, 'encoder', (tokens(10, 4, 7),)),
    Network('seq2seq_decoder', '9.7', 5, 'decoder', (tokens(10, 4, 7), [floats(2, 4, 16)] * 2)),
    Network('seq2seq', '9.7', 11, 'model',
            (tokens(200, 8, 10), tokens(200, 8, 10), values(10, 9, 8, 7, 6, 5, 4, 3)),
            given=LANGUAGES),
    # chapter 10
    Network('dot_product_attention', '10.1', 5, 'atten',
            (floats(2, 1, 2), floats(2, 10, 2), floats(2, 10, 4), values(2, 6))),
    Network('mlp_attention', '10.1', 7, 'atten',
            (floats(2, 1, 2), floats(2, 10, 2), floats(2, 10, 4), values(2, 6))),
    Network('seq2seq_attention_decoder', '10.2', 2, 'decoder',
            (tokens(10, 4, 7), [floats(4, 7, 16), [floats(2, 4, 16)] * 2, values(7, 6, 5, 4)])),
    Network('seq2seq_attention', '10.2', 3, 'model',
            (tokens(200, 8, 10), tokens(200, 8, 10), values(10, 9, 8, 7, 6, 5, 4, 3)),
            given=LANGUAGES),
    Network('multi_head_attention', '10.3', 3, 'cell',
            (floats(2, 4, 5), floats(2, 4, 5), floats(2, 4, 5), values(2, 3))),
    Network('position_wise_ffn', '10.3', 5, 'ffn', (floats(2, 3, 4),)),
    Network('add_norm', '10.3', 8, 'add_norm', (floats(2, 3, 4), floats(2, 3, 4))),
    Network('positional_encoding', '10.3', 10, 'pe', (floats(1, 100, 20),)),
    Network('transformer_encoder_block', '10.3', 12, 'encoder_blk',
            (floats(2, 100, 24), values(2, 3))),
    Network('transformer_encoder', '10.3', 14, 'encoder', (tokens(200, 2, 100), values(2, 3))),
    Network('transformer_decoder_block', '10.3', 16, 'decoder_blk',
            (floats(2, 100, 24), [floats(2, 100, 24), values(2, 3), [None]])),
    Network('transformer', '10.3', 18, 'model',
            (tokens(200, 8, 10), tokens(200, 8, 10), values(10, 9, 8, 7, 6, 5, 4, 3)),
            given=LANGUAGES),
    # chapter 11
    Network('airfoil_linreg_scratch', '11.5', 7, 'net', (floats(10, 5),), inside='train_ch11',
            given=(('feature_dim', '5'),), arrays='w, b'),
    Network('airfoil_linreg', '11.5', 13, 'net', (floats(10, 5),), inside='train_gluon_ch11'),
    Network('lenet_relu', '11.11', 0, 'net', (floats(2, 1, 28, 28),)),
    # chapter 12
    Network('hybrid_mlp', '12.1', 2, 'get_net()', (floats(1, 512),)),
    Network('hybrid_net', '12.1', 8, 'HybridNet()', (floats(1, 3),),
            given=(('print', 'lambda *args: None'),)),      # d2l.hybridize refuses to print values
    Network('asynchronous_mlp', '12.2', 7, 'net', (floats(4, 512),)),
    Network('multi_gpu_lenet', '12.5', 1,
            'lambda X: lenet(X, [W1, b1, W2, b2, W3, b3, W4, b4])', (floats(2, 1, 28, 28),),
            arrays='W1, b1, W2, b2, W3, b3, W4, b4'),
    Network('multi_gpu_resnet18', '12.6', 1, 'resnet18(10)', (floats(2, 1, 28, 28),), draw=6),
    # chapter 13
    Network('cifar10_resnet18', '13.1', 15, 'net', (floats(2, 3, 32, 32),), draw=1),
    Network('finetune', '13.2', 7, 'finetune_net', (floats(2, 3, 64, 64),), draw=3),
    Network('finetune_scratch', '13.2', 10, 'scratch_net', (floats(2, 3, 64, 64),), draw=1),
    Network('cls_predictor', '13.7', 0, 'cls_predictor(5, 10)', (floats(2, 8, 20, 20),)),
    Network('bbox_predictor', '13.7', 1, 'bbox_predictor(5)', (floats(2, 8, 20, 20),)),
    Network('down_sample_blk', '13.7', 5, 'down_sample_blk(10)', (floats(2, 3, 20, 20),)),
    Network('base_net', '13.7', 7, 'base_net()', (floats(2, 3, 64, 64),)),
    Network('tiny_ssd', '13.7', 11, 'TinySSD(num_classes=1)', (floats(1, 3, 128, 128),), draw=2),
    Network('trans_conv', '13.10', 1, 'trans_conv', (floats(2, 2), floats(2, 2)),
            predict_only=IN_PLACE),
    Network('transposed_conv', '13.10', 3, 'tconv', (floats(1, 1, 2, 2),)),
    Network('transposed_conv_padded', '13.10', 4, 'tconv', (floats(1, 1, 2, 2),)),
    Network('transposed_conv_strided', '13.10', 5, 'tconv', (floats(1, 1, 2, 2),)),
    Network('transposed_conv_channels', '13.10', 6, 'tconv', (floats(1, 20, 6, 6),)),
    Network('fcn', '13.11', 4, 'net', (floats(1, 3, 64, 96),)),
    Network('bilinear_upsampling', '13.11', 6, 'conv_trans', (floats(1, 3, 8, 8),)),
    Network('style_net', '13.12', 5, 'net', (floats(1, 3, 48, 64),)),
    Network('gram', '13.12', 9, 'gram', (floats(1, 8, 4, 6),)),
    Network('kaggle_cifar10', '13.13', 13, 'net', (floats(2, 3, 32, 32),), inside='get_net'),
    Network('kaggle_dogs', '13.14', 7,
            '(lambda net: net.add(finetune_net.features, finetune_net.output_new) or net)'
            "(nn.HybridSequential(prefix=''))",
            (floats(2, 3, 64, 64),), inside='get_net', given=(('ctx', 'None'),)),
    # chapter 14
    Network('skip_gram', '14.4', 9, 'skip_gram', (tokens(200, 4, 1), tokens(200, 4, 60)),
            given=(('vocab', 'range(200)'),), layers='net'),
    Network('sentiment_rnn', '14.9', 2, 'net', (tokens(200, 2, 30),),
            given=(('vocab', 'range(200)'),)),
    Network('corr1d', '14.10', 1, 'corr1d', (floats(7), floats(2)), predict_only=IN_PLACE),
    Network('corr1d_multi_in', '14.10', 3, 'corr1d_multi_in', (floats(3, 7), floats(3, 2)),
            predict_only=IN_PLACE),
    Network('text_cnn', '14.10', 5, 'net', (tokens(200, 2, 30),),
            given=(('vocab', 'range(200)'),)),
    Network('nli_mlp', '14.12', 1, 'mlp(200, False)', (floats(2, 5, 100),)),
    Network('nli_attend', '14.12', 2, 'Attend(200)', (floats(2, 5, 100), floats(2, 7, 100))),
    Network('nli_compare', '14.12', 3, 'Compare(200)',
            (floats(2, 5, 100), floats(2, 7, 100), floats(2, 5, 100), floats(2, 7, 100))),
    Network('nli_aggregate', '14.12', 4, 'Aggregate(200, 3)',
            (floats(2, 5, 200), floats(2, 7, 200))),
    Network('decomposable_attention', '14.12', 7, 'net',
            ([tokens(200, 2, 50), tokens(200, 2, 50)],), given=(('vocab', 'range(200)'),)),
    # chapter 15
    Network('matrix_factorization', '15.3', 1, 'MF(30, 943, 1682)',
            (tokens(943, 8), tokens(1682, 8))),
    Network('autorec', '15.4', 1, 'AutoRec(500, 943)', (floats(2, 943),)),
    Network('neumf', '15.6', 1, 'NeuMF(10, 943, 1682, mlp_layers=[10, 10, 10])',
            (tokens(943, 8), tokens(1682, 8))),
    Network('caser', '15.7', 1, 'Caser(10, 943, 1682, 3)',
            (tokens(943, 8), tokens(1682, 8, 3), tokens(1682, 8))),
    Network('factorization_machine', '15.9', 1, 'FM([20] * 34, num_factors=20)',
            (tokens(680, 8, 34),)),
    Network('deepfm', '15.10', 1, 'DeepFM([20] * 34, num_factors=10, mlp_dims=[30, 20, 10])',
            (tokens(680, 8, 34),)),
    # chapter 16
    Network('gan_generator', '16.1', 4, 'net_G', (floats(8, 2),)),
    Network('gan_discriminator', '16.1', 5, 'net_D', (floats(8, 2),)),
    Network('dcgan_g_block', '16.2', 5, 'g_blk', (floats(2, 3, 16, 16),)),
    Network('dcgan_g_block_4x4', '16.2', 6, 'g_blk', (floats(2, 3, 1, 1),)),
    Network('dcgan_generator', '16.2', 7, 'net_G', (floats(2, 100, 1, 1),)),
    Network('dcgan_d_block', '16.2', 11, 'd_blk', (floats(2, 3, 16, 16),)),
    Network('dcgan_discriminator', '16.2', 12, 'net_D', (floats(2, 3, 64, 64),)),
]

TARGETS = 'in training it takes targets beside the picture'
FEW_VALUES = 'at this size its last BatchNorms see one to four values a channel in training: ' \
             'what comes of them hangs on rounding'
AMPLIFIED = 'at this size its last BatchNorms see nine values a channel in training: rounding ' \
            "grows so that some ReLU changes its side with oneDNN's kernels (ci.spread)"
DROPOUT = 'its graph draws dropout in training'


def gluoncv(name, pixels, arguments='', settings='', **fields):
    """Return the row of a network of Gluon-CV's zoo.

    arguments: further arguments of from_gluoncv; settings: expressions that change `net`
    """
    net = f"d2l.from_gluoncv('{name}'{arguments})"
    if settings:
        net = f'(lambda net: [{settings}] and net)({net})'
    return Network(f'gluoncv_{name}', '13.15', 0, net,
                   (floats(1, 3, pixels, pixels),), constants='anchor boxes, say',
                   no_witness="Gluon-CV's own arrays witness it in tests/test_gluoncv.py", **fields)


# Deep networks take long to build: by default the tests use three of them, with D2L_TEST_ALL=1 all.
# Gluon-CV has no deeplab_resnet50_voc ("not among the following model list").
GLUONCV = [
    gluoncv('resnet18_v1', 64),
    gluoncv('mobilenet1.0', 64, predict_only=FEW_VALUES),
    gluoncv('ssd_512_resnet50_v1_voc', 128, ', pretrained_base=False', predict_only=FEW_VALUES),
    gluoncv('yolo3_mobilenet1.0_voc', 96, ', pretrained_base=False', predict_only=TARGETS),
    # the last layers compute each of 300 proposals by default, which is most of the time
    gluoncv('faster_rcnn_resnet50_v1b_voc', 96, ', pretrained_base=False',
            "setattr(net, '_rpn_test_post_nms', 20), setattr(net.rpn, '_test_post_nms', 20)",
            predict_only=TARGETS),
    gluoncv('center_net_resnet18_v1b_voc', 96, ', pretrained_base=False', draw=3,
            predict_only=AMPLIFIED),
    gluoncv('fcn_resnet50_voc', 64, ', pretrained_base=False, crop_size=64',
            predict_only=DROPOUT),
    gluoncv('deeplab_resnet50_ade', 64, ', pretrained_base=False, crop_size=64',
            predict_only=DROPOUT),
    gluoncv('mask_rcnn_resnet18_v1b_coco', 96, ', pretrained_base=False, rcnn_max_dets=20, '
            'rpn_test_pre_nms=100, rpn_test_post_nms=20', predict_only=TARGETS),
    gluoncv('simple_pose_resnet18_v1b', 64, ', pretrained_base=False'),
]

# code that looks like a network, but is none, or is covered by another row -> why
EXCLUDED = {
    ('2.4', 'f'): 'a function of a number, to be drawn',
    ('2.4', 'plot'): 'draws',
    ('9.6', 'Encoder'): 'abstract',
    ('9.6', 'Decoder'): 'abstract',
    ('9.6', 'EncoderDecoder'): 'holds an encoder and a decoder: seq2seq, seq2seq_attention and '
                               'transformer are such',
    ('11.1', 'f'): 'a function of a number, to be drawn',
    ('11.1', 'g'): 'a function of a number, to be drawn',
    ('11.2', 'f'): 'a function of a number, to be drawn',
    ('11.2', 'g'): 'a function of a number, to be drawn',
    ('11.2', 'h'): 'a function of a number, to be drawn',
    ('11.3', 'f'): 'a function of a number, to be minimized',
    ('11.3', 'gradf'): 'its derivative',
    ('11.3', 'hessf'): 'its second derivative',
    ('12.3', 'run'): 'ten matrix products, to be timed',
    ('12.3', 'copy_to_cpu'): 'copies',
    ('12.5', 'split_batch'): 'splits a minibatch among devices',
    ('12.5', 'train_batch'): 'a step of training',
    ('13.7', 'forward'): 'calls a block',
    ('13.7', 'predict'): 'takes what tiny_ssd gives apart',
    ('13.12', 'extract_features'): 'runs the layers of style_net one by one',
    ('13.12', 'GeneratedImage'): 'a parameter, and nothing is computed',
    ('13.12', 'compute_loss'): 'a loss',
    ('13.12', 'get_inits'): 'begins a training',
    ('13.12', 'train'): 'trains',
    ('14.12', 'split_batch_multi_inputs'): 'splits a minibatch over devices',
    ('12.7', 'net'): 'LeNet of 6.6',
    ('16.1', 'update_D'): 'a step of training',
    ('17.3', 'L'): 'a function of a number, to be differentiated',
    ('17.4', 'f'): 'a function of two numbers, to be differentiated',
    ('17.4', 'grad_f'): 'its gradient',
    ('17.8', 'bayes_pred'): 'counts, nothing trained by gradients',
    ('17.8', 'bayes_pred_stable'): 'the same with logarithms',
    ('17.8', 'predict'): 'chooses the most probable class, in Python',
    ('19.1', 'net'): 'the LeNet of 6.6',
    ('19.2', 'Block'): 'our own example, checked by the section itself',
    ('19.2', 'Classifier'): 'our own example, checked by the section itself',
    ('19.2', 'blocks'): 'our own example, checked by the section itself',
    ('19.3', 'AsNumber'): 'our own example, checked by the section itself',
    ('19.3', 'AsArray'): 'our own example, checked by the section itself',
    ('19.3', 'Counter'): 'our own example, checked by the section itself',
    ('19.3', 'ArrayCounter'): 'our own example, checked by the section itself',
    ('19.3', 'PythonNoise'): 'our own example, checked by the section itself',
    ('19.3', 'Noise'): 'our own example, checked by the section itself',
    ('19.3', 'InPlace'): 'our own example, checked by the section itself',
    ('19.3', 'OfACopy'): 'our own example, checked by the section itself',
}
