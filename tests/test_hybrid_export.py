"""d2l.export and d2l.load_exported."""
import copy
import json
import pathlib

import mxnet as mx
import numpy as onp
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from ci import runtime
from d2l import export_onnx
from d2l.hybrid import TraceError, compile, export, hybridize, load_exported
from tests.support import Model, Plain, Residual, ScratchNorm, branch, dense_net, randn, ready

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning')  # Gluon's own code does that


class BiRNN(nn.Block):
    """The net of 14.9; the index of the last step is a constant of the graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = rnn.LSTM(4, bidirectional=True)
        self.decoder = nn.Dense(2)

    def forward(self, X):
        outputs = self.encoder(X.swapaxes(0, 1))
        return self.decoder(np.concatenate((outputs[0], outputs[-1]), axis=1))


def flat(result):
    return [a for r in result for a in flat(r)] if isinstance(result, (list, tuple)) else [result]


def same(a, b):
    a, b = flat(a), flat(b)
    return len(a) == len(b) and all((x.asnumpy() == y.asnumpy()).all() for x, y in zip(a, b))


NETS = {
    'mlp': (dense_net, (4, 6)),
    'convolution': (lambda: Residual(3), (2, 3, 5, 5)),
    'norm from scratch': (lambda: dense_net(ScratchNorm()), (4, 6)),
    'recurrent': (lambda: Model(rnn.GRU(4)), (2, 3)),
    'birnn': (BiRNN, (2, 7, 3)),
    'reshapes': (lambda: Plain(lambda self, X: X.reshape(X.shape[0], 2, -1).swapaxes(1, 2)
                               * np.ones((X.shape[0], 1, 1))), (4, 6)),
}


def inputs(name, batch=None):
    shape = NETS[name][1]
    X = randn(batch or shape[0], *shape[1:], seed=batch or 0)
    return np.abs(X).astype('int32') if name == 'recurrent' else X


@pytest.mark.parametrize('name', NETS)
def test_export_and_load(name, tmp_path):
    X = inputs(name)
    net = ready(NETS[name][0](), X)
    export(net, str(tmp_path / 'net'), X)
    assert 'forward' not in vars(net)
    loaded = load_exported(str(tmp_path / 'net'))
    assert same(loaded(X), net(X))


@pytest.mark.parametrize('name', NETS)
def test_any_batch_size(name, tmp_path):
    net = ready(NETS[name][0](), inputs(name))
    export(net, str(tmp_path / 'net'), inputs(name), other=inputs(name, 5))
    loaded = load_exported(str(tmp_path / 'net'))
    for batch in None, 5, 7, 1:
        assert same(loaded(inputs(name, batch)), net(inputs(name, batch)))
    with pytest.raises(ValueError, match='data0 has the shape'):
        loaded(inputs(name)[0])


@pytest.mark.parametrize('form', ['eager', 'in place', 'compiled'])
def test_every_form_can_be_exported(form, tmp_path):
    X = randn(4, 6)
    net = ready(dense_net(), X)
    net = {'eager': lambda: net, 'in place': lambda: hybridize(net),
           'compiled': lambda: compile(net)
           }[form]()
    export(net, str(tmp_path / 'net'), X, epoch=3)
    assert same(load_exported(str(tmp_path / 'net'), epoch=3)(X), net(X))


# SymbolBlock.imports always warns of that
@pytest.mark.filterwarnings('ignore:Cannot decide type:UserWarning')
def test_gluon_loads_it_too(tmp_path):
    X, path = randn(2, 3, 5, 5), tmp_path / 'net'
    net = ready(Residual(3), X)
    export(net, str(path), X)
    loaded = gluon.SymbolBlock.imports(f'{path}-symbol.json', ['data0'], f'{path}-0000.params')
    assert same(loaded(X), net(X))
    assert set(loaded.collect_params()) == set(net.collect_params())


def test_nested_arguments_and_results(tmp_path):
    weight = gluon.Parameter('weight', shape=(2,))
    weight.initialize()

    def function(X, state, unused):
        return {'state': [state[0] + X, (X, None)], 'more': (weight.data(), np.arange(3), 2)}
    args = randn(2), [randn(2, seed=1)], randn(5)
    export(function, str(tmp_path / 'net'), *args)
    loaded, eager = load_exported(str(tmp_path / 'net')), function(*args)
    for call in args, (args[0], args[1][0], args[2]):   # nested, or only the arrays
        found = loaded(*call)
        assert found['state'][1][1] is None and found['more'][2] == 2
        assert same(found['state'][0], eager['state'][0]) and same(found['state'][1][0], args[0])
        assert same(found['more'][0], eager['more'][0]) and same(found['more'][1], eager['more'][1])


def same_names():
    """b(X) - a(X), where b is a copy of a, with other weights and the same name."""
    a = nn.Dense(1, in_units=6, use_bias=False)
    a.initialize()
    b = copy.deepcopy(a)
    b.weight.set_data(a.weight.data() + 1)
    return lambda X: b(X) - a(X)


def same_prefix():
    """Two layers with the same prefix."""
    a, b = (nn.Dense(6, in_units=6, prefix='x_') for _ in range(2))
    a.initialize('ones')
    b.initialize('zeros')
    return lambda X: 2 * a(X) + b(X)


def named(*names):
    """A sum of Parameters with these names, of different values."""
    parameters = [gluon.Parameter(name, shape=(6,)) for name in names]
    for i, parameter in enumerate(parameters):
        parameter.initialize(init.Constant(10 ** i))
    return lambda X: sum([(i + 2) * p.data() for i, p in enumerate(parameters)], X) + np.arange(6)


OF_ONE_NAME = {
    'a deepcopy': same_names, 'a prefix': same_prefix, 'twice': lambda: named('w', 'w'),
    'as the second would be named': lambda: named('w', 'w', 'w_1'),
    'as the first is renamed': lambda: named('w_1', 'w', 'w'),
    'as an input': lambda: named('data0'),
    'as a constant': lambda: named('const0', 'const1'),
    'as operators': lambda: named('np_copy0', 'plus0'),
}


@pytest.mark.parametrize('name', OF_ONE_NAME)
def test_parameters_of_one_name_stay_apart(name, tmp_path):
    net, X, path = OF_ONE_NAME[name](), randn(4, 6), tmp_path / 'net'
    files = []
    for _ in range(2):
        export(net, str(path), X)
        files.append([file.read_bytes() for file in sorted(tmp_path.glob('net*'))])
    assert files[0] == files[1]
    assert same(load_exported(str(path))(X), net(X))
    export_onnx(net, tmp_path / 'net.onnx', X)
    found, = runtime.run(tmp_path / 'net.onnx', [X])
    assert onp.allclose(found, net(X).asnumpy(), rtol=1e-6)


@pytest.mark.parametrize('result', [
    lambda X: {'output': X * 2, 'hidden': X + 1}, lambda X: {'hidden': X + 1, 'output': X * 2},
    lambda X: {'output': X}, lambda X: {'output': {'output': X * 2}, 'dict': [X]},
    lambda X: {0: X, 1: {'dict': X * 3}, None: [], 'a': {}},
    lambda X: {'output': [X, 'x', 1.5, True]},
], ids=lambda f: None)
def test_a_result_with_any_keys(result, tmp_path):
    X = randn(2, 3)
    export(result, str(tmp_path / 'net'), X)
    found, wanted = load_exported(str(tmp_path / 'net'))(X), result(X)
    assert repr(found) == repr(wanted)


@pytest.mark.parametrize('result', [{(1, 2): 3}, {1, 2}, object()],
                         ids=lambda result: type(result).__name__)
def test_a_result_that_no_file_can_hold(result, tmp_path):
    with pytest.raises(ValueError, match='the result holds'):
        export(lambda X: (X * 2, result), str(tmp_path / 'net'), randn(2, 3))
    assert not list(tmp_path.iterdir())


def test_constants_are_not_trained(tmp_path):
    """MXNet's SymbolBlock makes all of them Parameters, which a Trainer would change."""
    X, path = randn(4, 6), str(tmp_path / 'net')
    net = Plain(lambda self, X: self.dense(X * np.arange(1, 7)) * self.scale + self.frozen.data())
    net.dense, net.scale = nn.Dense(3), randn(3)
    net.frozen = net.params.get('frozen', shape=(3,), grad_req='null')
    export(ready(net, X), path, X)
    loaded = load_exported(path)
    before = {name: p.data().asnumpy() for name, p in loaded.collect_params().items()}
    trainer = gluon.Trainer(loaded.collect_params(), 'sgd', {'learning_rate': 0.1})
    with autograd.record():
        loss = loaded(X).sum()
    loss.backward()
    trainer.step(1)
    moved = {name for name, p in loaded.collect_params().items()
             if (p.data().asnumpy() != before[name]).any()}
    assert moved == {net.dense.weight.name, net.dense.bias.name} and len(before) == 5


def test_another_length_is_refused(tmp_path):
    """The graph by itself would give a wrong result, without an error."""
    path, X, longer = str(tmp_path / 'net'), randn(2, 7, 3), randn(2, 9, 3)
    net = ready(BiRNN(), X)
    export(net, path, X)
    loaded = load_exported(path)
    wrong = loaded.graph(longer)
    assert wrong.shape == (2, 2) and not same(wrong, net(longer))
    with pytest.raises(ValueError, match=r'data0 has the shape \(2, 9, 3\), .* for \[2, 7, 3\]'):
        loaded(longer)
    with pytest.raises(ValueError, match='export each'):
        export(net, path, X, other=longer)
    with pytest.raises(ValueError, match=r'2 arrays are given'):
        loaded(X, X)


def test_a_constant_of_the_batch_size_is_refused(tmp_path):
    net = Plain(lambda self, X: X * np.arange(X.shape[0]).reshape(-1, 1) ** 2)
    with pytest.raises(ValueError, match='constant that depends on the size'):
        export(net, str(tmp_path / 'net'), randn(2, 3), other=randn(4, 3))


EMPTY = {           # functions of X, (batch, 3, 4), in which some arrays are empty
    'beginning': lambda X: np.concatenate([np.zeros((X.shape[0], 0, 4)), X], axis=1).sum(axis=1),
    'of a vector': lambda X: np.concatenate([np.zeros(0), X.sum(axis=(1, 2))]),
    'of an input': lambda X: np.concatenate([X[:, :0], X[:, 1:]], axis=1),
    'result': lambda X: (X[0, :0], X * 2, np.zeros((0, 3))),
    'sum': lambda X: X[:, :0].sum(axis=1) + X.max(),
    'arithmetic': lambda X: np.concatenate([np.zeros((X.shape[0], 0, 4)) * 2 + X[:, :0], X],
                                           axis=1),
    'product': lambda X: np.matmul(X[:, :, :0], X[:, :0, 1:3]) + X[:, :, :1],
    'shape': lambda X: (X[0, :0].reshape(0, 2, 2), X + 1),
}


@pytest.mark.parametrize('name', EMPTY)
def test_empty_arrays(name, tmp_path):
    function, path = EMPTY[name], str(tmp_path / 'net')
    X, other = randn(2, 3, 4), randn(5, 3, 4)
    assert same(compile(function, X)(X), function(X))
    for more in {}, {'other': other}:
        export(function, path, X, **more)
        for x in (X, other) if more else (X,):
            assert same(load_exported(path)(x), function(x))


# functions of X, (batch, steps, 4), with attributes or constants that depend on batch or steps
ANY_SIZE = {
    'counts': lambda X: X * np.arange(X.shape[1]).reshape(-1, 1) + np.arange(
        1, 2 * X.shape[0], 2, dtype='int32').reshape(-1, 1, 1),
    'ones of steps': lambda X: X + np.ones((X.shape[1], 1)) * np.zeros((X.shape[0], 1, 1)),
    'heads': lambda X: X.reshape(*X.shape[:2], 2, 2).transpose(0, 2, 1, 3).reshape(
        X.shape[0], 2, X.shape[1] * 2),
    'axes of one': lambda X: np.stack((X, X * 2))[1].reshape(X.shape[0], 1, X.shape[1], 4, 1),
    'slices': lambda X: X[:X.shape[0], :X.shape[1], 3:],
    'slices of steps': lambda X: X[:, 1:X.shape[1]] + X[:, 1:],
    'splits': lambda X: np.concatenate(np.split(np.concatenate((X, X * 2), axis=0), 2, axis=0), -1),
    'token': lambda X: np.concatenate((np.broadcast_to(X[:1, :1] * 0 + 1, (X.shape[0], 1, 4)), X),
                                      1),
    'broadcasts': lambda X: np.broadcast_to(X.mean(axis=2, keepdims=True), (2, *X.shape)),
    'one number': lambda X: X.sum(axis=2)[:, 0] * X.mean(),
}


@pytest.mark.parametrize('name', ANY_SIZE)
def test_any_size(name, tmp_path):
    function, path = ANY_SIZE[name], str(tmp_path / 'net')
    export(function, path, randn(2, 3, 4), other=randn(3, 5, 4))
    loaded = load_exported(path)
    for batch, steps in (2, 3), (3, 5), (4, 7), (1, 2):
        X = randn(batch, steps, 4, seed=steps)
        assert same(loaded(X), function(X))


@pytest.mark.parametrize('function', [
    lambda X: (X, np.ones(X.shape[0])), lambda X: (X * 2, X[:, :0])], ids=['ones', 'empty'])
def test_a_result_that_is_a_constant_of_the_size_is_refused(function, tmp_path):
    with pytest.raises(ValueError, match='returns a constant that depends on the size'):
        export(function, str(tmp_path / 'net'), randn(2, 3), other=randn(4, 3))


def test_a_constant_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match='constant that depends on the size'):
        export(lambda X: np.concatenate((X, np.ones((2 * X.shape[0], 3)))), str(tmp_path / 'net'),
               randn(2, 3), other=randn(4, 3))


def test_any_batch_size_where_the_graph_meets_no_input(tmp_path):
    W = randn(3)
    path = str(tmp_path / 'net')
    export(lambda X: (X, W * 2), path, randn(2, 3), other=randn(4, 3))
    X = randn(5, 3)
    assert same(load_exported(path)(X), (X, W * 2))


def test_a_net_that_asks_the_mode_is_for_prediction_only(tmp_path):
    path, X = str(tmp_path / 'net'), randn(4, 6)
    export(ready(dense_net(ScratchNorm()), X), path, X)
    with pytest.raises(RuntimeError, match='is_training'), autograd.record():
        load_exported(path)(X)
    export(ready(dense_net(nn.Dropout(0.5)), X), path, X)
    with autograd.record():         # Gluon's Dropout leaves the choice to the graph
        assert not same(load_exported(path)(X), load_exported(path)(X))


@pytest.mark.parametrize('forward, error, match', [
    (branch, TraceError, 'while float'),
    (lambda self, X: np.random.uniform(size=(2,)), ValueError, 'depends on an input'),
    (lambda self, X: np.arange(3) * 2, ValueError, 'depends on an input'),
], ids=['branches', 'draws', 'constant'])
def test_what_cannot_be_exported(forward, error, match, tmp_path):
    with pytest.raises(error, match=match):
        export(Plain(forward), str(tmp_path / 'net'), randn(2))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def exported(tmp_path):
    path, X = tmp_path / 'net', randn(4, 6)
    export(ready(dense_net(), X), str(path), X)
    return str(path)


@pytest.mark.parametrize('end', ['-symbol.json', '-0000.params', '-signature.json'])
def test_missing_file(exported, end):
    pathlib.Path(exported + end).unlink()
    with pytest.raises(FileNotFoundError, match=f'net{end}'):
        load_exported(exported)


@pytest.mark.parametrize('end', ['-symbol.json', '-0000.params'])
@pytest.mark.parametrize('part', [0.0, 0.1, 0.5, 0.99])
def test_file_cut_short(exported, end, part):
    file = pathlib.Path(exported + end)
    content = file.read_bytes()
    file.write_bytes(content[:int(len(content) * part)])
    with pytest.raises(ValueError, match=f'net{end}.* is damaged'):
        load_exported(exported)


def test_files_are_readable(exported):
    graph = json.loads(pathlib.Path(exported + '-symbol.json').read_text())
    names = [node['name'] for node in graph['nodes']]
    assert len(set(names)) == len(names) and 'data0' in names
    assert json.loads(pathlib.Path(exported + '-signature.json').read_text())['inputs'] == {
        'data0': [4, 6]}


def test_onto_a_context(exported):
    loaded = load_exported(exported, ctx=npx.cpu(1))
    assert loaded(randn(4, 6, ctx=npx.cpu(1))).ctx == npx.cpu(1)


@pytest.mark.parametrize('save', [export, export_onnx])
def test_a_missing_folder_is_reported_in_one_line(save, tmp_path):
    with pytest.raises(FileNotFoundError) as err:
        save(ready(dense_net(), randn(2, 4)), str(tmp_path / 'nowhere' / 'net'), randn(2, 4))
    assert str(err.value) == (f"there is no folder {tmp_path / 'nowhere'}: "
                              f"os.makedirs('{tmp_path / 'nowhere'}') makes it")


@mx.operator.register('test_hybrid_export_twice')
class TwiceProp(mx.operator.CustomOpProp):
    """An operator of the user's own."""

    def create_operator(self, ctx, shapes, dtypes):
        class Twice(mx.operator.CustomOp):
            def forward(self, is_train, req, in_data, out_data, aux):
                self.assign(out_data[0], req[0], in_data[0] * 2)
        return Twice()


@pytest.mark.parametrize('function, name', [
    (lambda X: mx.nd.Custom(X.as_nd_ndarray(), op_type='test_hybrid_export_twice').as_np_ndarray(),
     'test_hybrid_export_twice'),
    (lambda X: np.random.multivariate_normal(X[0], np.eye(6)), 'mvn_fallback')])
def test_python_in_a_graph_is_refused(function, name, tmp_path):
    """No file can hold Python code, and load_exported refuses the operator's name."""
    for write in export, export_onnx:
        with pytest.raises(ValueError,
                           match=rf'forward calls Custom \({name}\), and an export holds '
                           '.*: compute the same'):
            write(function, str(tmp_path / 'net'), randn(4, 6))
    assert not list(tmp_path.iterdir())
