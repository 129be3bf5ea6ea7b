"""d2l.export_onnx: ONNX Runtime computes what MXNet does."""
import os
import sys

import numpy as onp
import onnx
import pytest
from mxnet import gluon, np, npx
from mxnet.gluon import nn, rnn

import d2l
from ci import modes, networks, runtime
from ci.networks import NETWORKS, leaves
from d2l import NoConverter, TraceError, compile, export_onnx, hybridize
from d2l.data import fetch
from tests.support import Plain, branch, dense_net, randn, ready

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning')  # Gluon's own code does that
CLOSE = 1e-5                        # relative to the largest value


def run(path, *args):
    return runtime.run(path, leaves(args))


def close(found, wanted):
    wanted = [a.asnumpy() for a in leaves(wanted)]
    return len(found) == len(wanted) and all(
        a.shape == b.shape and a.dtype == b.dtype
        and onp.abs(a.astype('float64') - b).max() <= CLOSE * onp.abs(b).max()
        for a, b in zip(found, wanted))


W = randn(3, 4, seed=5)
# operators as functions of X, of shape (batch, 4), for any batch size
FREE = {
    'add': lambda X: X + W[0], 'subtract': lambda X: X - W[0], 'multiply': lambda X: X * W[0],
    'divide': lambda X: X / W[0], 'power': lambda X: np.abs(X) ** W[0],
    'maximum': lambda X: np.maximum(X, W[0]), 'minimum': lambda X: np.minimum(X, W[0]),
    'add scalar': lambda X: X + 2, 'subtract scalar': lambda X: X - 2,
    'multiply scalar': lambda X: X * 0.1, 'divide scalar': lambda X: X / 3,
    'power scalar': lambda X: X ** 2, 'maximum scalar': lambda X: np.maximum(X, 0.1),
    'minimum scalar': lambda X: np.minimum(X, 0.1), 'from scalar': lambda X: 2 - X,
    'over': lambda X: 2 / X, 'to the power of': lambda X: 2 ** X,
    'integers': lambda X: (X * 3).astype('int32') + 1,
    'exp': np.exp, 'log': lambda X: np.log(np.abs(X)), 'sqrt': lambda X: np.sqrt(np.abs(X)),
    'tanh': np.tanh, 'negative': np.negative, 'sigmoid': npx.sigmoid, 'relu': npx.relu,
    'copy': lambda X: np.copy(X) + X.copy(), 'detach': lambda X: X.detach() + 1,
    'square': np.square,
    'activations': lambda X: [npx.activation(X, act_type=kind) for kind in (
        'relu', 'sigmoid', 'tanh', 'softrelu', 'softsign')],
    'leaky relu': lambda X: [npx.leaky_relu(X), npx.leaky_relu(X, slope=0.1)],
    'dropout': lambda X: npx.dropout(X, 0.5), 'cast': lambda X: X.astype('int32').astype('float32'),
    'softmax': lambda X: [npx.softmax(X), npx.softmax(X, axis=0)],
    'reshape': lambda X: [X.reshape(-1, 2, 2), X.reshape(X.shape[0] * 2, -1), X.reshape(-1)],
    'npx reshape': lambda X: [npx.reshape(X, (-2, 2, -1)), npx.reshape(X, (-5,))],
    'flatten': lambda X: npx.batch_flatten(X.reshape(-1, 2, 2)),
    'expand': lambda X: np.expand_dims(X, 1).squeeze(1) + 1,
    'transpose': lambda X: [X.T, X.reshape(-1, 2, 2).transpose(2, 0, 1)],
    'swapaxes': lambda X: X.reshape(-1, 2, 2).swapaxes(0, -1),
    'repeat': lambda X: [X.repeat(2), X.repeat(3, axis=0), X.T.repeat(2, axis=-2)],
    'tile': lambda X: [np.tile(X, 2), np.tile(X, (2, 1, 3))],
    'slice': lambda X: [X[:, 1:3], X[0], X[:, -1], X[:, ::-1], X[:, 3:0:-2]],
    'concatenate': lambda X: np.concatenate((X, 2 * X), axis=-1),
    'stack': lambda X: np.stack((X, 2 * X), axis=1),
    'sum': lambda X: [X.sum(), X.sum(axis=1), X.sum(axis=(0, -1), keepdims=True)],
    'mean': lambda X: [X.mean(), X.mean(axis=0), X.mean(axis=1, keepdims=True)],
    'max': lambda X: [X.max(), X.max(axis=1)],
    'dot': lambda X: [np.dot(X, W.T), np.dot(X, W[0])], 'dot, scalar': lambda X: np.dot(X.sum(), W),
    'batch dot': lambda X: [npx.batch_dot(X.reshape(-1, 2, 2), X.reshape(-1, 2, 2), *flip)
                            for flip in ((False, False), (True, False), (False, True))],
    'one hot': lambda X: npx.one_hot(X * 3, 3, on_value=2, off_value=1),
    'take': lambda X: [np.take(W, X * 3, axis=0, mode='clip'),
                       np.take(X, np.array([2, 9]), axis=1, mode='clip')],
    'take, no clip': lambda X: np.take(W, np.abs(X * 0), axis=0, mode='raise'),
    'embedding': lambda X: npx.embedding(X * 3, W, 3, 4),
    'mask': lambda X: [npx.sequence_mask(X, X[:, 0], True, value=-1, axis=1),
                       npx.sequence_mask(X.T, X[:, 0], True), npx.sequence_mask(X),
                       npx.sequence_mask(X.reshape(-1, 2, 2), X[:, 1] + 1, True, axis=1)],
    'ones of the batch': lambda X: X.reshape(-1, 2, 2) * np.ones((X.shape[0], 1, 1)),
    'from parameters': lambda X: (X + 1, W * 2, np.exp(W).sum()),
    'handed back': lambda X: (X, {'a': [X + 1, None]}, W),
}
IMAGE, STEPS = (2, 3, 7, 6), (5, 2, 3)


def written(X):
    Y = np.zeros((3, 4))
    Y[1, 1:3] = X[1, 1:3]
    return Y


# name: (net or function, shape of its argument)
FIXED = {
    'broadcast': (lambda X: np.broadcast_to(X, (2, 3, 4)), (3, 4)),
    'write': (written, (3, 4)),
    'reshape -6': (lambda X: npx.reshape(X, (-6, 1, -1, -4)), (3, 4)),
    'dense': (nn.Dense(3), (2, 4)), 'dense, flatten': (nn.Dense(3, use_bias=False), (2, 4, 3)),
    'dense, not flat': (nn.Dense(3, flatten=False), (2, 4, 3)),
    'dense, no bias': (nn.Dense(3, flatten=False, use_bias=False), (2, 4, 3)),
    'conv': (nn.Conv2D(6, 3, (2, 1), 1, (1, 2), groups=3), IMAGE),
    'conv 1d': (nn.Conv1D(2, 3, use_bias=False), (2, 3, 5)),
    'deconv': (nn.Conv2DTranspose(6, (3, 4), (2, 3), 1, 1, 1, groups=3), IMAGE),
    'deconv, no bias': (nn.Conv2DTranspose(2, 4, use_bias=False), IMAGE),
    'max pool': (nn.MaxPool2D((3, 2), (2, 1), (1, 0)), IMAGE),
    'max pool, up': (nn.MaxPool2D(3, 3, 1, ceil_mode=True), IMAGE),
    'average pool': (nn.AvgPool2D(3, 2, 1), IMAGE),
    'average pool, inside': (nn.AvgPool2D(3, 2, 1, count_include_pad=False), IMAGE),
    'average pool 1d': (nn.AvgPool1D(2), (2, 3, 5)),
    'global max': (nn.GlobalMaxPool2D(), IMAGE), 'global average': (nn.GlobalAvgPool2D(), IMAGE),
    'anchors': (lambda X: npx.multibox_prior(X, [0.2, 0.7], [2, 0.5, 1]) + X.mean(), IMAGE),
    'anchors, clipped': (lambda X: npx.multibox_prior(X, [0.5], [1], True) + X.sum(), IMAGE),
    'batch norm': (nn.BatchNorm(), IMAGE), 'batch norm, flat': (nn.BatchNorm(scale=False), (4, 3)),
    'layer norm': (nn.LayerNorm(), STEPS),
    **{f'{kind.__name__}, {layers} layers{", both ways" * both}': (
        kind(4, layers, bidirectional=both), STEPS)
       for kind in (rnn.RNN, rnn.LSTM, rnn.GRU) for layers in (1, 2) for both in (False, True)},
    'tanh': (rnn.RNN(4, activation='tanh', bidirectional=True), STEPS),
}


@pytest.mark.parametrize('name', FREE)
def test_operator_for_any_batch_size(name, tmp_path):
    export_onnx(FREE[name], tmp_path / 'net.onnx', randn(3, 4), other=randn(5, 4))
    for batch in 3, 5, 7, 1:
        X = randn(batch, 4, seed=batch)
        assert close(run(tmp_path / 'net.onnx', X), FREE[name](X))


@pytest.mark.parametrize('name', FIXED)
def test_operator(name, tmp_path):
    net, shape = FIXED[name]
    X = randn(*shape, seed=1)
    if isinstance(net, nn.Block):
        ready(net, X)
    export_onnx(net, tmp_path / 'net.onnx', X)
    assert close(run(tmp_path / 'net.onnx', X), net(X))


# ------------------------------------------------------------------ networks of the book
BY_NAME = {network.name: network for network in NETWORKS}
# for any batch size: the axis of the batch in each input
ANY_BATCH = {'mlp': [0], 'lenet': [0], 'batch_norm_scratch': [0], 'resnet18': [0],
             'dot_product_attention': [0] * 4, 'position_wise_ffn': [0], 'rnn': [0, 1],
             'lstm': [0, 1, 1], 'seq2seq_encoder': [0], 'seq2seq': [0] * 3, 'transformer': [0] * 3}


@pytest.mark.parametrize('name', ANY_BATCH)
def test_network_for_any_batch_size(name, tmp_path):
    net, inputs = modes.prepared(BY_NAME[name], networks.CPU)

    def of_size(n):
        axes = iter(ANY_BATCH[name])

        def cut(nested):
            return np.take(np.concatenate([nested] * 3, axis=(axis := next(axes))), np.arange(n),
                           axis=axis) if isinstance(nested, np.ndarray) else type(nested)(
                               map(cut, nested))
        return cut(inputs)
    export_onnx(net, tmp_path / 'net.onnx', *of_size(2), other=of_size(3))
    for batch in 1, 2, 4:
        assert close(run(tmp_path / 'net.onnx', of_size(batch)), net(*of_size(batch)))


# ------------------------------------------------------------------ the file
@pytest.fixture
def path(tmp_path):
    return tmp_path / 'net.onnx'


def names(path):
    runs = runtime.session(path)
    return [i.name for i in runs.get_inputs()], [o.name for o in runs.get_outputs()]


def test_names_and_free_lengths(path):
    net, _ = BY_NAME['lstm'].filled()
    X, H = np.zeros((2, 5)), np.zeros((1, 2, 256))
    export_onnx(net, path, X, [H, H], other=(np.zeros((3, 5)), [np.zeros((1, 3, 256))] * 2))
    runs = runtime.session(path)
    assert [(i.name, i.shape) for i in runs.get_inputs()] == [
        ('inputs', ['batch', 5]), ('state_0', [1, 'batch', 256]), ('state_1', [1, 'batch', 256])]
    assert [(o.name, o.shape[1]) for o in runs.get_outputs()] == [
        ('output_0', 28), ('output_1_0', 'batch'), ('output_1_1', 'batch')]


@pytest.mark.parametrize('net, args, inputs, outputs', [
    (lambda X, *more: X + more[0], (W, W), ['X', 'more_0'], ['output']),
    (lambda q, *, scale=2: {'sum': q.sum(), 'rows': [q[0], None]}, (W,), ['q'],
     ['output_sum', 'output_rows_0']),
    (lambda pair, unused: pair['a'] + pair['b'], ({'a': W, 'b': W}, W),
     ['pair_a', 'pair_b', 'unused'], ['output']),
    (lambda output: output * 2, (W,), ['output'], ['output_']),
    (lambda X: {'output': X * 2, 'hidden': X + 1}, (W,), ['X'], ['output_output', 'output_hidden']),
    (lambda X: {'hidden': X + 1, 'output': X * 2}, (W,), ['X'], ['output_hidden', 'output_output']),
    (lambda X: {'a': [X * 2], 'a_0': X + 1}, (W,), ['X'], ['output_a_0', 'output_a_0_']),
    (lambda X, X_0, output_0: [X[0] + X_0, output_0 * 2], ([W], W, W), ['X_0', 'X_0_', 'output_0'],
     ['output_0_', 'output_1']),
])
def test_names_of_nested_arguments_and_results(net, args, inputs, outputs, path):
    export_onnx(net, path, *args)
    assert names(path) == (inputs, outputs)
    assert close(run(path, *args), net(*args))


def test_annotations_are_not_evaluated(path):
    """Python 3.14 evaluates annotations when they are read."""
    later = '' if sys.version_info >= (3, 14) else 'from __future__ import annotations\n'
    names = {'Block': gluon.Block}
    exec(f'{later}class Net(Block):\n    k: Gone = 3\n'
         '    def forward(self, X: Gone, Y: list[Gone]) -> Gone:\n'
         '        return X * self.k + Y', names)
    net, args = names['Net'](), (randn(2, 3), randn(2, 3, seed=2))
    hybridize(net)
    export_onnx(net, path, *args)
    assert [each.name for each in onnx.load(path).graph.input] == ['X', 'Y']
    assert close(run(path, *args), net(*args))


def test_a_parameter_may_be_named_as_an_input_is(path):
    weight = gluon.Parameter('X', shape=(4,))
    weight.initialize(init='ones')
    export_onnx(lambda X: X + weight.data(), path, W)
    assert close(run(path, W), W + 1)


@pytest.mark.filterwarnings('ignore:All children of this Sequential:UserWarning')
@pytest.mark.parametrize('form', ['eager', 'in place', 'compiled', "Gluon's"])
def test_every_form_of_a_net_gives_the_same_file(form, path):
    net = ready(dense_net(), W)
    export_onnx(net, path, W)
    content = path.read_bytes()
    if form == "Gluon's":
        net.hybridize()
    net = {'in place': hybridize, 'compiled': compile}.get(form, lambda net: net)(net)
    export_onnx(net, path, W)
    assert path.read_bytes() == content and names(path)[0] == ['x']


def test_the_file_is_valid_and_of_a_stated_version(path):
    export_onnx(lambda X: X * 2, path, W)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 17 and model.producer_name == 'd2l'


def residual():
    return ready(d2l.Residual(3), randn(1, 3, 4, 4)), randn(1, 3, 4, 4)


@pytest.mark.parametrize('made, used, section, wanted', [
    (lambda: (compile(ready(dense_net(), W)), W), [], None, {'network': 'Sequential'}),
    (lambda: (ready(dense_net(), W), W), ['sample'], '6.6',
     {'network': 'Sequential', 'section': '6.6', 'data': 'sample'}),
    (residual, ['real', 'sample'], '19.1',
     {'network': 'Residual', 'section': '7.6', 'data': 'real, sample'}),
    (lambda: (d2l.corr2d, *randn(2, 3, 3)), [], None, {'network': 'corr2d', 'section': '6.2'}),
], ids=['alone', 'in a section', 'of the book', 'a function'])
def test_the_metadata_say_what_it_is(made, used, section, wanted, path, monkeypatch):
    monkeypatch.setattr(fetch, 'used', used)
    monkeypatch.delenv('D2L_SECTION', raising=False)
    if section:
        monkeypatch.setenv('D2L_SECTION', section)
    net, *X = made()
    export_onnx(net, path, *X)
    model = onnx.load(path)
    assert {p.key: p.value for p in model.metadata_props} == wanted
    assert model.producer_version == d2l.__version__


def test_which_data_are_asked_for_is_remembered(monkeypatch):
    monkeypatch.setattr(fetch, 'used', [])
    for source in 'sample', 'real', 'sample':
        monkeypatch.setenv('D2L_DATA', source)
        fetch._source()
    assert fetch.used == ['sample', 'real']


SLOW = pytest.mark.skipif('D2L_TEST_ALL' not in os.environ, reason='slow to build: D2L_TEST_ALL=1')
CV_CLOSE = 1e-4                     # relative to the largest value
LARGEST_BOX = 1e6  # pixels: a network with random parameters may predict a larger one
FEW = 'gluoncv_resnet18_v1', 'gluoncv_mobilenet1.0'


def agrees(path, net, *X):
    """Return whether ONNX Runtime computes what Gluon-CV's network does. Detections are compared as
    sets of rows, since rows with equal scores have no order."""
    wanted, found = [a.asnumpy() for a in leaves(net(*X))], run(path, *X)
    assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in wanted]
    assert all(onp.isfinite(b).all() for b in wanted)
    if len(wanted) > 1 and all(a.ndim == 3 for a in wanted):
        return same_rows(*(onp.concatenate(parts, axis=-1)[0] for parts in (found, wanted)))
    return all(abs(a - b).max() <= CV_CLOSE * abs(b).max() for a, b in zip(found, wanted))


def same_rows(found, wanted):
    """Return whether there is a row for each wanted row: of the same class, with its score within
    CV_CLOSE, and its box within CV_CLOSE of the larger of 1 and the row's largest value. The size
    of a box is exp of what the network computes; of boxes larger than any picture, logarithms are
    compared."""
    left = [*found]
    for row in wanted:
        of_row = onp.log1p if abs(row).max() > LARGEST_BOX else onp.asarray
        errors = [abs(of_row(abs(other)) - of_row(abs(row))).max() if other[0] == row[0]
                  and abs(other[1] - row[1]) <= CV_CLOSE
                  and (onp.sign(other) == onp.sign(row)).all() else onp.inf for other in left]
        best = int(onp.argmin(errors))
        if not errors[best] <= CV_CLOSE * max(1, of_row(abs(row)).max()):
            return False
        del left[best]
    return not left


def test_rows_are_compared_one_by_one():
    """Rows with nearly equal scores may change places; a large box hides no other row's error."""
    rows = onp.array([[1, .99985, -1e30, 2, 3, 4], [1, .999851, 5, 6, 7, 8]])
    assert same_rows(rows[::-1] + [0, 2e-6, 0, 0, 0, 0], rows)
    assert same_rows(rows * [[1, 1, 1.001, 1, 1, 1], [1] * 6], rows)
    for wrong in (rows + [change * 0, change] for change in onp.eye(6) * .1):
        assert not same_rows(wrong, rows)
    for factor in -1, 1.1:
        assert not same_rows(rows * [[1, 1, factor, 1, 1, 1], [1] * 6], rows)


@pytest.mark.parametrize('network', [pytest.param(row, id=row.name, marks=[SLOW] * (
    row.name not in FEW)) for row in networks.GLUONCV])
def test_a_network_of_gluoncv(network, path):
    net, inputs = modes.prepared(network, networks.CPU)
    for name, param in net.collect_params().items():
        if name.endswith('_var'):  # some are filled with negative values, which no variance has
            param.set_data(np.abs(param.data()))
    export_onnx(net, path, *inputs)
    assert agrees(path, net, *inputs)


def test_settings_of_a_network_of_gluoncv_are_in_the_file(path):
    net, inputs = modes.prepared(next(
        row for row in networks.GLUONCV if 'yolo3' in row.name), networks.CPU)
    npx.random.seed(1)                      # reset_class initializes the last layers anew
    net.reset_class(['mouse', 'snake'])
    net.set_nms(nms_thresh=.4, nms_topk=20, post_nms=5)
    export_onnx(net, path, *inputs)
    assert agrees(path, net, *inputs)
    classes, *_ = run(path, *inputs)
    assert classes.shape == (1, 5, 1) and classes.max() == 1


# ------------------------------------------------------------------ what cannot be exported
def random_shift(self, X):
    return X + np.random.uniform(size=X.shape)


def random_around(self, X):
    return np.random.normal(X, 1)


def unknown(self, X):
    return X.sum() + np.linalg.svd(X)[1]


@pytest.mark.parametrize('forward, error, match', [
    (branch, TraceError, r'while float\(np.abs'),
    (random_shift, NoConverter, r'_npi_uniform: File ".*test_onnx.py", line \d+, in random_shift'),
    (random_around, NoConverter, r'_npi_normal: File ".*test_onnx.py", line \d+, in random_around'),
    (unknown, NoConverter, r'_npi_svd: File ".*test_onnx.py", line \d+, in unknown'),
    (lambda self, X: npx.softmax(X, length=X[:, 0].astype('int32'), use_length=True), NoConverter,
     'softmax with use_length'),
    (lambda self, X: npx.leaky_relu(X, act_type='rrelu')[0], NoConverter, 'act_type=rrelu'),
    (lambda self, X: npx.dropout(X, 0.5, mode='always'), NoConverter,
     r'Dropout \(draws random numbers: export_onnx\(draws=True\)'),
    (lambda self, X: np.linalg.norm(X, ord=2, axis=(0, 1)), NoConverter, '_npi_norm with ord=2'),
], ids=['branches', 'draws', 'draws around', 'unknown', 'attribute', 'rrelu', 'always', 'norm'])
def test_what_is_not_exported_leaves_no_file(forward, error, match, tmp_path):
    with pytest.raises(error, match=match):
        export_onnx(Plain(forward), tmp_path / 'net.onnx', W)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('layer, shape, match', [
    (lambda X: npx.pooling(X, kernel=(2, 2), pool_type='lp', p_value=2), (1, 2, 5, 5),
     'Pooling with p_value'),
    (lambda X: npx.pooling(X, kernel=(2, 2), pool_type='sum'), (1, 2, 5, 5),
     'Pooling with sum and valid'),
])
def test_a_layer_that_is_not_converted_as_it_is_set(layer, shape, match, path):
    with pytest.raises(NoConverter, match=match):
        export_onnx(layer, path, randn(*shape))


def test_all_missing_converters_are_reported_at_once(path):
    with pytest.raises(NoConverter) as error:
        export_onnx(lambda X: np.linalg.svd(X)[1].sum() + np.linalg.pinv(X), path, W)
    assert error.value.operators == ['_npi_pinv_scalar_rcond', '_npi_svd']


@pytest.mark.parametrize('place', ['no such folder/net.onnx', ''])
def test_an_unwritable_path_leaves_nothing_behind(place, tmp_path):
    with pytest.raises(OSError):
        export_onnx(lambda X: X * 2, tmp_path / place, W)
    assert list(tmp_path.iterdir()) == [] and list(tmp_path.parent.glob('*.part')) == []


def test_a_file_stays_when_its_successor_fails(path):
    path.write_text('precious')
    with pytest.raises(NoConverter):
        export_onnx(unknown, path, W, W)
    assert path.read_text() == 'precious'


def test_another_length_is_refused(path):
    """A graph that loops over the steps is for one length, and other lengths are refused."""
    steps = lambda X: sum(X[:, i] for i in range(X.shape[1]))           # noqa: E731
    with pytest.raises(ValueError, match='export each'):
        export_onnx(steps, path, randn(2, 7), other=randn(2, 9))
    export_onnx(steps, path, randn(2, 7))
    with pytest.raises(Exception, match='(?s)dimensions for input: X.*Got: 9 Expected: 7'):
        run(path, randn(2, 9))


def test_without_the_package_one_line_says_what_to_install(monkeypatch, path):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match='pip install onnx$'):
        export_onnx(lambda X: X * 2, path, W)
