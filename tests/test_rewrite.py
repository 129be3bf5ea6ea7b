"""The rules of d2l.rewrite: each finds its pattern, and what takes its place gives the same outputs
and gradients, in both modes, for random shapes."""
import contextlib

import mxnet
import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l
from d2l.rewrite import rules

npx.set_np()
ERROR = 1e-5        # relative to the largest value: sums of some dozens of float32 values
BOTH = True, False
length = st.integers(1, 5)
repeatable = settings(max_examples=20, deadline=None, derandomize=True)


def run(function, arrays, training, optimize, wanted=None, static_alloc=True):
    """Return (outputs and gradients as NumPy arrays, the operators that computed them).

    The rewritten graph is not checked, as a proof would hide what a rule does. wanted: indices of
    the arrays that get a gradient (None: all)
    """
    arrays = [np.array(a, dtype=a.dtype) for a in arrays]
    wanted = [a for i, a in enumerate(arrays) if wanted is None or i in wanted]
    for a in wanted:
        a.attach_grad()
    compiled = d2l.compile(function, optimize=optimize and 'unchecked', static_alloc=static_alloc)
    mxnet.random.seed(3)
    with autograd.record(train_mode=training):
        results = compiled(*arrays)
        results = results if isinstance(results, (list, tuple)) else [results]
        # each entry gets another gradient
        total = sum((r * np.array(onp.cos(onp.arange(r.size)).reshape(r.shape))).sum()
                    for r in results)
    if wanted:
        total.backward()
    return [a.asnumpy() for a in [*results, *(a.grad for a in wanted)]], operators(compiled)


def operators(compiled):
    """The operators of the graphs that are run, variables included."""
    program, = [p for programs in compiled._programs.values() for p in programs]
    return [node['op'] for part in program._parts for node in part.executed_graph['nodes']]


def assert_same(function, *arrays, without=(), within=(), modes=BOTH, only=BOTH, sums=False,
                **options):
    """Check that outputs and gradients stay the same, infinite values and NaN, too.

    within, without: operators that the rules have put in, or out, in these modes; only: the modes
    to check; sums: whether NaN may be infinite, for MXNet's sum of [inf, 1] is NaN; options:
    further arguments of `run`
    """
    for training in only:
        exact, _ = run(function, arrays, training, False, **options)
        fast, ops = run(function, arrays, training, True, **options)
        for a, b in zip(exact, fast):
            assert a.shape == b.shape and a.dtype == b.dtype
            finite = onp.isfinite(a)
            assert (finite == onp.isfinite(b)).all()
            if not sums:
                assert onp.array_equal(a[~finite], b[~finite], equal_nan=True)
            assert (abs(a[finite] - b[finite]) <= ERROR * max(1,
                                                              abs(a[finite]).max(initial=0))).all()
        if training in modes:
            assert not {*without} & {*ops} and {*within} <= {*ops}, ops


def normal(*shape):
    """Random values, the same for the same shape."""
    return onp.random.RandomState(len(shape)).normal(size=shape).astype('float32')


ONE_FOR_ANOTHER = {
    'square': (lambda x: x ** 2, 'square', '_npi_power_scalar'),
    'tanh': (np.tanh, 'Activation', '_npi_tanh'),
    'sigmoid': (npx.sigmoid, 'Activation', '_npx_sigmoid')}


@pytest.mark.parametrize('function, new, old', ONE_FOR_ANOTHER.values(), ids=ONE_FOR_ANOTHER)
@given(lengths=st.lists(length, min_size=1, max_size=4))
@repeatable
def test_one_for_another(function, new, old, lengths):
    assert_same(function, normal(*lengths), within=[new], without=[old])


def test_relu_keeps_nan():
    """oneDNN's relu turns NaN into 0."""
    assert_same(npx.relu, onp.array([1, onp.nan, -1], 'float32'), within=['_npx_relu'])


def test_other_powers_stay():
    assert_same(lambda x: x ** 3, normal(3), within=['_npi_power_scalar'])


ELEMENTWISE = {'_npi_add': lambda x, y: x + y, '_npi_subtract': lambda x, y: x - y,
               '_npi_multiply': lambda x, y: x * y}


@pytest.mark.parametrize('op', ELEMENTWISE)
@given(data=st.data())
@repeatable
def test_elementwise(op, data):
    whole = data.draw(st.lists(length, min_size=1, max_size=4))
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    part = [1 if begin <= axis < end else n for axis, n in enumerate(whole)]
    part = part[data.draw(st.sampled_from([0, end if begin == 0 and end < len(whole) else 0])):]
    arrays = [normal(*whole), normal(*part) + 2]
    if data.draw(st.booleans()):
        arrays.reverse()
    repeats = len({a.size for a in arrays}) > 1
    assert_same(ELEMENTWISE[op], *arrays, modes=[True], within=['_full'] if repeats else ())


def test_broadcasting_along_separate_axes_stays():
    assert_same(lambda x, y: x + y, normal(2, 3, 4), normal(1, 3, 1), within=['_npi_add'])


def test_integers_stay():
    def count(x):
        return (x.astype('int32') + x.astype('int32')).astype('float32') + (
            x.astype('int32') ** 2).astype('float32')
    assert_same(count, onp.arange(5, dtype='float32'), within=['_npi_add', '_npi_power_scalar'])


@pytest.mark.parametrize('function', [np.sum, np.mean])
@pytest.mark.parametrize('keepdims', BOTH)
@given(data=st.data())
@repeatable
def test_reduction(function, keepdims, data):
    lengths = data.draw(st.lists(length, min_size=1, max_size=4))
    axes = sorted(data.draw(st.sets(st.integers(0, len(lengths) - 1))))
    neighbours = not axes or axes[-1] - axes[0] < len(axes)
    if data.draw(st.booleans()):
        axes = [axis - len(lengths) for axis in axes]
    axis = None if not axes else axes[0] if len(axes) == 1 else tuple(axes)
    assert_same(lambda x: function(x, axis=axis, keepdims=keepdims), normal(*lengths),
                without=['_np_sum', '_npi_mean'] if neighbours else [])


# with a smaller n, terms cancel
@given(rows=st.lists(length, min_size=1, max_size=2), n=st.integers(8, 80))
@repeatable
def test_layer_norm(rows, n):
    def norm(x, gamma, beta):
        return npx.layer_norm(x, gamma, beta, axis=-1, eps=1e-5)
    assert_same(norm, normal(*rows, n) + 3, normal(n), normal(n), without=['LayerNorm'],
                within=['L2Normalization'], modes=[True])


def test_layer_norm_over_another_axis_stays():
    assert_same(lambda x, g, b: npx.layer_norm(x, g, b, axis=1), normal(2, 3, 4), normal(3),
                normal(3), within=['LayerNorm'])


def test_layer_norm_whose_mean_is_used_stays():
    def function(x, g, b):
        y, mean, deviation = npx.layer_norm(x, g, b, axis=-1, output_mean_var=True)
        return y * mean + deviation
    assert_same(function, normal(2, 3, 4), normal(4), normal(4), within=['LayerNorm'])


def test_pooling_stays():
    assert_same(lambda x: npx.pooling(x, kernel=(1, 1), pool_type='avg', global_pool=True),
                normal(2, 3, 4, 4), within=['Pooling'])


@given(lengths=st.lists(length, min_size=2, max_size=4), data=st.data())
@repeatable
def test_transpose(lengths, data):
    order = data.draw(st.permutations(range(len(lengths))))
    i, j = data.draw(st.tuples(*[st.integers(0, len(lengths) - 1)] * 2))

    def function(x):
        return np.swapaxes(x.transpose(*order) * 2, i, j)
    assert_same(function, normal(*lengths), without=['_np_transpose', 'SwapAxis'])


@pytest.mark.parametrize('named', [{'dim1': 2}, {'dim2': 1}, {}], ids=str)
def test_axes_that_swapaxes_is_not_told_are_the_first(named):
    assert_same(lambda x: mxnet.nd.swapaxes((x * 2).as_nd_ndarray(), **named).as_np_ndarray() * 2,
                normal(2, 3, 4), without=['SwapAxis'])


def test_transposes_and_reshapes_vanish():
    assert_same(lambda x: (x.transpose(1, 0, 2).transpose(1, 0, 2).reshape(6, 4).reshape(-1, 3, 4)
                           * 2), normal(2, 3, 4), without=['transpose', '_np_reshape'])


RESHAPES = {
    'np.reshape': (lambda x: x.reshape(6, 4), '_np_reshape'),
    'npx.reshape': (lambda x: npx.reshape(x, (6, 4)), '_npx_reshape'),
    'nd.reshape': (lambda x: x.as_nd_ndarray().reshape((6, 4)).as_np_ndarray(), 'Reshape'),
    'expand_dims': (lambda x: np.expand_dims(x, 0), 'expand_dims'),
    'squeeze': (lambda x: np.squeeze(x.reshape(1, 2, 3, 4)), '_np_squeeze'),
    'flatten': (npx.batch_flatten, 'Flatten')}


@pytest.mark.parametrize('function, op', RESHAPES.values(), ids=RESHAPES)
def test_reshapes_one_after_another(function, op):
    """To the shape that the array had: none is left. To another shape: one is left, np.reshape."""
    assert op in operators_of(function)
    X, reshapes = normal(2, 3, 4), {op, *rules.RESHAPES}
    assert_same(lambda x: function(x * 3).reshape(2, 3, 4) * 2, X, without=reshapes)
    assert_same(lambda x: function(x * 3).reshape(4, 6) * 2, X, within=['_np_reshape'],
                without=reshapes - {'_np_reshape'})
    _, ops = run(lambda x: function(x * 3).reshape(4, 6) * 2, [X], True, True)
    assert ops.count('_np_reshape') == 1


def operators_of(function):
    return run(lambda x: function(x * 3) * 2, [normal(2, 3, 4)], False, False)[1]


@pytest.mark.parametrize('function, op', [
    (np.copy, '_np_copy'),
    (lambda x: mxnet.nd.identity(x.as_nd_ndarray()).as_np_ndarray(), '_copy')])
def test_copies_vanish_unless_they_are_results(function, op):
    assert op in operators_of(function)
    assert_same(lambda x: function(x * 3) * 2, normal(2, 3, 4), without=[op])
    assert_same(lambda x: function(x * 3), normal(2, 3), within=[op])


def test_a_result_is_no_variable():
    assert_same(lambda x: (x.copy(), x.reshape(3, 2), x.reshape(2, 3)), normal(2, 3))


def test_to_and_from_a_scalar():
    assert_same(lambda x: (x.sum() * 2).reshape(1, 1) + x.reshape(1, 1).reshape(()),
                normal(1, 1, 1))


@given(batch=length, n=length, k=length, m=length, flags=st.tuples(st.booleans(), st.booleans()))
@repeatable
def test_batch_dot(batch, n, k, m, flags):
    def function(a, b):
        a, b = (x.swapaxes(1, 2) if flag else x for x, flag in zip((a, b), flags))
        return npx.batch_dot(a, b)
    shapes = [(batch, k, n) if flags[0] else (batch, n, k), (batch, m, k) if flags[1]
              else (batch, k, m)]
    assert_same(function, *[normal(*s) for s in shapes], without=['SwapAxis', 'transpose'])


@given(batch=length, k=length, m=st.integers(2, 5), flag=st.booleans())
@repeatable
def test_a_row_times_rows(batch, k, m, flag):
    def function(a, b):
        return npx.batch_dot(a.swapaxes(1, 2) if flag else a, b.swapaxes(1, 2))

    def by_attributes(a, b):
        return npx.batch_dot(a, b, transpose_a=flag, transpose_b=True)
    for each in function, by_attributes:
        assert_same(each, normal(*(batch, k, 1) if flag else (batch, 1, k)), normal(batch, m, k),
                    within=['_np_reshape'], without=['SwapAxis', 'transpose'])


@given(rows=st.integers(1, 6), steps=length, value=st.sampled_from([0, -1e6]), twice=st.booleans())
@repeatable
def test_sequence_mask(rows, steps, value, twice):
    lengths = onp.random.RandomState(rows).uniform(0, steps + 1, rows).astype('float32')

    def masked(x):
        lengths_ = np.array(lengths)
        for _ in range(1 + twice):
            x = npx.softmax(npx.sequence_mask(x, lengths_, use_sequence_length=True, value=value,
                                              axis=1) * 2)
        return x
    assert_same(masked, normal(rows, steps), within=['where'], without=['SequenceMask'])
    for training in BOTH:
        _, ops = run(masked, [normal(rows, steps)], training, True)
        assert ops.count('broadcast_lesser') == 1 and ops.count('where') == 1 + twice


def test_masked_values_may_be_nan():
    x = normal(3, 4)
    x[1, 2:] = onp.nan
    mask = d2l.compile(lambda x, lengths: npx.sequence_mask(
        x, lengths, use_sequence_length=True, value=-1, axis=1), optimize=True)
    assert (mask(np.array(x), np.array([4, 2, 0]))[1, 2:] == -1).all()


@pytest.mark.parametrize('shape, axis', [((3, 4), 0), ((3, 4, 2), 1)])
def test_other_masks_stay(shape, axis):
    assert_same(lambda x: npx.sequence_mask(x, np.ones(shape[1 - axis]), use_sequence_length=True,
                                            axis=axis), normal(*shape), within=['SequenceMask'])


@given(sizes=st.lists(st.sampled_from([16, 32, 48, 7]), min_size=2, max_size=4))
@repeatable
def test_vectors_one_after_another(sizes):
    assert_same(lambda *arrays: np.concatenate(arrays), *[normal(n) for n in sizes],
                without=[] if 7 in sizes else ['_npi_concatenate'])


@given(axis=st.integers(0, 3), lengths=st.lists(length, min_size=4, max_size=4), other=length)
@repeatable
def test_pictures_one_after_another(axis, lengths, other):
    others = [other if i == axis else n for i, n in enumerate(lengths)]
    assert_same(lambda x, y: np.concatenate([x, y], axis=axis), normal(*lengths), normal(*others),
                without=['Concat'] if axis < 3 else ())


@given(lengths=st.lists(length, min_size=1, max_size=2), widths=st.tuples(length, length),
       negative=st.booleans())
@repeatable
def test_rows_side_by_side(lengths, widths, negative):
    axis = -1 if negative else len(lengths)
    assert_same(lambda x, y: np.concatenate([x, y], axis=axis),
                *[normal(*lengths, width) for width in widths],
                within=['Concat'], without=['_npi_concatenate'])


# ---- loops

def steps(kind):
    """The loops of 8.5 and 9.2, as functions of (inputs, H, C, parameters of all gates...)."""
    def rnn(X, H, W_x, W_h, b):
        outputs = []
        for x in X:
            H = np.tanh(np.dot(x, W_x) + np.dot(H, W_h) + b)
            outputs.append(H)
        return np.concatenate(outputs, axis=0), H

    def lstm(X, H, C, *params):
        def gate(x, H, i, function):
            W_x, W_h, b = params[3 * i: 3 * i + 3]
            return function(np.dot(H, W_h) + (b + np.dot(x, W_x)))  # the terms are in another order
        outputs = []
        for x in X:
            I, F, O = (gate(x, H, i, npx.sigmoid) for i in range(3))  # noqa: E741
            C = gate(x, H, 3, np.tanh) * I + C * F
            H = np.tanh(C) * O
            outputs.append(H)
        return np.concatenate(outputs, axis=0), H, C
    return {'rnn': rnn, 'lstm': lstm}[kind]


def layer(n, h, gates):
    """Small parameters of a recurrent layer."""
    return [normal(*s) * 0.3 + 0.01 * i for i in range(gates) for s in ((n, h), (h, h), (h,))]


@pytest.mark.parametrize('kind', ['rnn', 'lstm'])
@given(count=st.integers(2, 4), batch=length, n=length, h=length)
@repeatable
def test_loops(kind, count, batch, n, h):
    states, results = (2, 1) if kind == 'lstm' else (1, 2)
    assert_same(lambda *arrays: steps(kind)(*arrays)[:results], normal(count, batch, n),
                *[normal(batch, h)] * states, *layer(n, h, 4 if kind == 'lstm' else 1),
                within=['RNN'], without=['_np_dot', 'Activation', '_npi_tanh', '_npi_concatenate'])


def test_a_loop_whose_states_are_results():
    """A part of the last step does not lead to the last cell state, so that step stays apart."""
    assert_same(steps('lstm'), normal(4, 2, 3), normal(2, 5), normal(2, 5), *layer(3, 5, 4),
                within=['RNN'])


def test_a_loop_whose_outputs_and_states_are_results():
    """The outputs of all steps are one product, and the gradients of its inputs come from one
    operator, not from one for each step."""
    def model(X, H, C, V, c, *params):
        outputs = []
        for x in X:
            _, H, C = steps('lstm')(np.expand_dims(x, 0), H, C, *params)
            outputs.append(np.dot(H, V) + c)
        return np.concatenate(outputs, axis=0), H, C
    arrays = [normal(*s) for s in ((6, 2, 3), (2, 5), (2, 5), (5, 4), (4,))] + layer(3, 5, 4)
    assert_same(model, *arrays, within=['RNN', 'SliceChannel'], modes=[True])
    _, ops = run(model, arrays, True, True)
    assert ops.count('slice_axis') == 0 and ops.count('SliceChannel') == 1
    # those of the last step's gates, of which one leads to H alone, and of the outputs
    assert ops.count('_np_dot') == 9


def part(x, begin, end):
    """Return x[begin:end], as slice_axis."""
    return mxnet.nd.slice_axis(x.as_nd_ndarray(), axis=0, begin=begin, end=end).as_np_ndarray()


@pytest.mark.parametrize('taken, split', [
    ([0, 1, 2, 3], True), ([5, 1, 3, 1, 0], True), ([0, 1, 2], False), (range(9), True),
    (range(8), False)], ids=str)
def test_steps_of_an_array(taken, split):
    """Few, or larger, slices stay, as do those of an array with many more steps."""
    def function(x):
        x = np.tanh(x)
        return sum((k + 1) * part(x, t, t + 1) for k, t in enumerate(taken)) + part(x, 2, 4).sum()
    x = normal(18 if len(taken) > 5 else 6, 2, 3)
    assert_same(function, x, within=['slice_axis', *['SliceChannel'] * split],
                without=['SliceChannel'] * (not split), modes=[True])
    assert_same(function, x, without=['SliceChannel'], modes=[False])


def test_steps_of_steps():
    def function(x):
        x = np.tanh(x)
        return sum((t + 1) * part(part(x, t, t + 1), 0, 1) for t in range(6))
    assert_same(function, normal(6, 2, 3), within=['SliceChannel'], modes=[True])


def test_stacked_loops():
    def two(X, H, W_x, W_h, b, V_x, V_h, c):
        G, outputs = H, []
        for x in X:
            H = np.tanh(np.dot(x, W_x) + np.dot(H, W_h) + b)
            G = np.tanh(np.dot(H, V_x) + np.dot(G, V_h) + c)
            outputs.append(G)
        return np.stack(outputs)
    arrays = normal(3, 2, 4), normal(2, 5), *layer(4, 5, 1), *layer(5, 5, 1)
    assert_same(two, *arrays, within=['RNN'], without=['_np_dot'])
    assert run(two, arrays, True, True)[1].count('RNN') == 2


def other_weights(X, H, W_x, W_h, b):
    for i, x in enumerate(X):
        H = np.tanh(np.dot(x, W_x * (1 + i)) + np.dot(H, W_h) + b)
    return H


def hidden_used_twice(X, H, W_x, W_h, b):
    for x in X:
        H = np.tanh(np.dot(H, W_x) + np.dot(H, W_h) + b)
    return H


def two_biases(X, H, W_x, W_h, b):
    for x in X:
        H = np.tanh(np.dot(x, W_x) + np.dot(H, W_h) + b + b)
    return H


def one_step(X, H, W_x, W_h, b):
    return np.tanh(np.dot(X[0], W_x) + np.dot(H, W_h) + b)


@pytest.mark.parametrize('function', [other_weights, hidden_used_twice, two_biases, one_step],
                         ids=lambda function: function.__name__)
def test_other_loops_stay(function):
    arrays = normal(3, 2, 4), normal(2, 4), *layer(4, 4, 1)
    assert_same(function, *arrays)
    assert 'RNN' not in run(function, arrays, True, True)[1]


def test_loops_in_double_precision_stay():
    arrays = normal(3, 2, 4), normal(2, 4), *layer(4, 4, 1)
    assert 'RNN' not in run(steps('rnn'), [a.astype('float64') for a in arrays], True, True)[1]


def test_the_state_is_what_the_next_step_takes():
    """Both weights are square matrices; the next step tells which one is that of the state."""
    def circle(X, H, W_x, W_h, b):
        G = np.tanh(np.dot(X[0], W_x) + np.dot(H, W_h) + b)
        return np.tanh(np.dot(G, W_x) + np.dot(X[1], W_h) + b)
    assert_same(circle, normal(3, 2, 4), normal(2, 4), *layer(4, 4, 1), within=['RNN'])


# ---- whole nets

def test_dropout_draws_the_same_masks():
    """Rewriting moves no operator that draws random numbers."""
    def masks(optimize):
        net = nn.Sequential()
        for _ in range(2):
            net.add(nn.Dense(50, in_units=50), nn.LayerNorm(in_channels=50), nn.Dropout(0.5))
        mxnet.random.seed(1)
        net.initialize(mxnet.init.Normal(1))
        d2l.hybridize(net, optimize=optimize)
        mxnet.random.seed(3)
        with autograd.record():
            return net(np.array(normal(4, 50))).asnumpy() == 0
    assert (masks(False) == masks(True)).all()


def test_each_mode_has_a_program_of_its_own():
    """A graph that was rewritten for training does not serve a prediction."""
    net = nn.LayerNorm(in_channels=8)
    net.initialize()
    d2l.hybridize(net, optimize=True)
    X = np.array(normal(3, 8))
    with autograd.record():
        trained = net(X)
    assert abs(trained - net(X)).max() < ERROR
    programs, = vars(net)['forward'].__self__._programs.values()
    assert [p.mode for p in programs] == [False, True]


def test_export_is_of_the_net_as_written(tmp_path):
    net = nn.Dense(2, in_units=3, activation='tanh')
    net.initialize()
    X = np.array(normal(4, 3))
    exact = net(X)
    d2l.export(d2l.hybridize(net, optimize=True), tmp_path / 'net', X)
    assert (d2l.load_exported(tmp_path / 'net')(X) == exact).all()


def test_on_a_gpu_nothing_is_rewritten(monkeypatch):
    """The rules are for the kernels of CPUs: a convolution in many groups is slow on a GPU."""
    x, compiled = np.ones(3), d2l.compile(lambda x: x ** 2, optimize=True)
    with monkeypatch.context() as patch:
        patch.setattr(mxnet.Context, 'device_type', 'gpu')
        compiled(x)
    assert operators(compiled) == ['null', '_npi_power_scalar']


# ---- every rule, with all kinds of arguments

def cell(x, H, W_x, W_h, b):
    return np.tanh(np.dot(x, W_x) + np.dot(H, W_h) + b)


def chained(*between):
    """A convolution, layers, a convolution; the weights are arguments."""
    def function(x, w, b, v):
        x = npx.convolution(x, w, b, kernel=(3, 3), num_filter=w.shape[0])
        for layer in between:
            x = layer(x)
        return npx.convolution(x, v, kernel=(2, 2), num_filter=v.shape[0], no_bias=True)
    return function


def average(x):
    return npx.pooling(x, kernel=(2, 2), stride=(2, 2), pool_type='avg')


def steps_of(x):
    x = np.tanh(x).as_nd_ndarray()
    return sum(t * mxnet.nd.slice_axis(x, axis=0, begin=t, end=t + 1) for t in range(1, 6)
               ).as_np_ndarray()


ANY = {         # rule -> a function, shapes of its arguments
    'split': (steps_of, (6, 3)),
    'square': (lambda x: x ** 2, (3, 4)),
    'tanh': (np.tanh, (3, 4)),
    'sigmoid': (npx.sigmoid, (3, 4)),
    'elementwise, add': (lambda x, y: np.tanh(x) * 2 + y, (3, 4), (3, 4)),
    'elementwise, add to itself': (lambda x: np.tanh(x + x), (3, 4)),
    'elementwise, subtract': (lambda x, y: np.tanh(x) - y, (3, 4), (3, 4)),
    'elementwise, multiply': (lambda x, y: np.tanh(x) * y, (3, 4), (3, 4)),
    'elementwise, repeated': (lambda x, y: np.tanh(x) + y, (3, 4), (4,)),
    'elementwise, a column': (lambda x, y: x * y - y, (3, 4), (3, 1)),
    'elementwise, in the middle': (lambda x, y: x * y, (300, 3, 4), (300, 1, 4)),
    'sequence_mask': (lambda x: npx.sequence_mask(x, np.array([1., 4., 0.]), value=-2, axis=1,
                                                  use_sequence_length=True), (3, 4)),
    'reduction': (lambda x: x.sum(axis=1), (300, 3, 4)),
    'reduction, of two': (lambda x: x.sum(axis=1), (2, 3, 4)),
    'reduction, first': (lambda x: x.mean(axis=0), (3, 4)),
    'reduction, last': (lambda x: x.sum(axis=-1, keepdims=True), (3, 4)),
    'reduction, all': (lambda x: x.mean(), (3, 4)),
    'layer_norm': (lambda x, g, b: npx.layer_norm(x, g, b, axis=-1), (3, 16), (16,), (16,)),
    'layer_norm, eps': (lambda x, g, b: npx.layer_norm(x, g, b, axis=-1, eps=0.5),
                        (3, 16), (16,), (16,)),
    'copy': (lambda x: np.tanh(x.copy()), (3, 4)),
    'reshape': (lambda x: x.reshape(2, 6).reshape(4, 3) * 2, (3, 4)),
    'transpose': (lambda x: x.transpose(1, 0, 2).swapaxes(0, 2) * 2, (3, 4, 2)),
    'concatenate': (lambda x, y: np.concatenate([x, y], axis=1), (3, 4), (3, 5)),
    'concatenate vectors': (lambda x, y: np.concatenate([x, y * 2]), (32,), (16,)),
    'batch_dot': (lambda x, y: npx.batch_dot(x, y.swapaxes(1, 2)), (2, 3, 4), (2, 5, 4)),
    'batch_dot, a row': (lambda x, y: npx.batch_dot(x, y.swapaxes(1, 2)), (2, 1, 4), (2, 5, 4)),
    'few_filters': (chained(npx.sigmoid, average), (2, 3, 9, 9), (6, 3, 3, 3), (6,), (5, 6, 2, 2)),
    'few_filters, tanh': (chained(np.tanh), (2, 2, 7, 7), (3, 2, 3, 3), (3,), (4, 3, 2, 2)),
    'rnn': (lambda x, y, H, W, V, b: cell(y, cell(x, H, W, V, b), W, V, b),
            (3, 4), (3, 4), (3, 5), (4, 5), (5, 5), (5,)),
    'hoist_matmul_over_concat': (
        lambda x, y, W, b: np.concatenate([np.dot(x, W) + b, np.dot(y, W) + b]),
        (3, 4), (2, 4), (4, 5), (5,)),
}
CASES = pytest.mark.parametrize('function, shapes', [(f, shapes) for f, *shapes in ANY.values()],
                                ids=ANY)


@CASES
@pytest.mark.parametrize('static_alloc', BOTH)
@given(data=st.data())
@settings(max_examples=6, deadline=None, derandomize=True)
def test_whatever_wants_a_gradient(function, shapes, static_alloc, data):
    wanted = data.draw(st.sets(st.integers(0, len(shapes) - 1)))
    assert_same(function, *[normal(*s) for s in shapes], wanted=wanted, static_alloc=static_alloc)


@CASES
@pytest.mark.parametrize('number', [onp.inf, -onp.inf, onp.nan, 0])
def test_arguments_may_be_infinite_nan_or_zero(function, shapes, number, request):
    """Infinite values and NaN stay at the same indices. One value of each argument in turn is
    changed."""
    sums = 'reduction' in request.node.name
    for changed in range(len(shapes)):
        arrays = [normal(*s) for s in shapes]
        arrays[changed].reshape(-1)[len(shapes) % arrays[changed].size] = number
        assert_same(function, *arrays, sums=sums)
    if number == 0:
        assert_same(function, *[normal(*s) * 0 for s in shapes])


FORMS = {       # functions of arrays of any shape
    'square': lambda x: x ** 2, 'tanh': np.tanh, 'sigmoid': npx.sigmoid, 'relu': npx.relu,
    'add': lambda x: np.tanh(x) + x, 'subtract': lambda x: np.tanh(x) - x,
    'multiply': lambda x: np.tanh(x) * x, 'repeated': lambda x: x * x[:1],
    'a number': lambda x: np.tanh(x) * 3 + np.ones(x.shape), 'sum': lambda x: x.sum(axis=0),
    'mean': lambda x: x.mean(axis=-1), 'all': lambda x: x.sum(), 'copy': lambda x: x.copy() * 2,
    'reshape': lambda x: x.reshape(-1).reshape(x.shape) * 2, 'transpose': lambda x: x.T * 2,
    'first axes': lambda x: np.swapaxes(x, 0, -1) * 2, 'expand': lambda x: np.expand_dims(x, 0) * 2,
    'first': lambda x: np.concatenate([x, x * 2]),
    'last': lambda x: np.concatenate([x, x], axis=-1),
    'stack': lambda x: np.stack([x, x]), 'zero': lambda x: x / 0 + x * 0}


@pytest.mark.parametrize('function', FORMS.values(), ids=FORMS)
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_whatever_the_shape_is(function, lengths):
    try:                    # some operators refuse empty arrays: as in exact mode
        for training in BOTH:
            run(function, [normal(*lengths)], training, False)
            npx.waitall()   # MXNet raises some errors only now
    except (mxnet.MXNetError, ValueError):
        with contextlib.suppress(mxnet.MXNetError):
            npx.waitall()
        assert 0 in lengths
        return
    assert_same(function, normal(*lengths))


@pytest.mark.parametrize('axes', [3, 4, 5])
def test_products_of_any_number_of_axes(axes):
    before = (2, 1, 3)[:axes - 2]
    assert_same(lambda x, y: npx.batch_dot(x, y, transpose_b=True) / 3, normal(*before, 4, 5),
                normal(*before, 2, 5))


@pytest.mark.parametrize('x, H, C, b', [(2, 2, 2, 1), (2, 1, 2, 5), (1, 2, 2, 5), (2, 2, 1, 5),
                                        (2, 1, 1, 1), (1, 1, 1, 5)])
@pytest.mark.parametrize('kind', ['rnn', 'lstm'])
def test_loops_that_broadcast(kind, x, H, C, b):
    params = layer(4, 5, 4 if kind == 'lstm' else 1)
    params[2::3] = [p[:b] for p in params[2::3]]
    states = [normal(H, 5)] + [normal(C, 5)] * (kind == 'lstm')
    assert_same(steps(kind), normal(3, x, 4), *states, *params)


def fed_with_its_output(X, H, W_x, W_h, b, W_o):
    x = X[0]
    for _ in range(4):
        H = cell(x, H, W_x, W_h, b)
        x = np.dot(H, W_o)
    return x


def fed_with_its_state(X, H, W_x, W_h, b, W_o):
    for x in X:
        H = cell(x + H[:, :4], H, W_x, W_h, b)
    return H


def attends_to_its_state(X, H, W_x, W_h, b, W_o):
    for _ in X:
        weights = npx.softmax((np.stack([x for x in X]) * np.dot(H, W_o)).sum(axis=-1), axis=0)
        H = cell((np.expand_dims(weights, -1) * X).sum(axis=0), H, W_x, W_h, b)
    return H


def two_that_feed_each_other(X, H, W_x, W_h, b, W_o):
    G = H
    for x in X:
        H, G = cell(np.dot(G, W_o), H, W_x, W_h, b), cell(x, G, W_x, W_h, b)
        x = np.dot(H, W_o)
    return H + G


def a_layer_that_feeds_the_first(X, H, W_x, W_h, b, W_o):
    G = H
    for x in X:
        H = cell(x + np.dot(G, W_o), H, W_x, W_h, b)
        G = cell(np.dot(H, W_o), G, W_x, W_h, b)
    return G


def its_state_is_a_bias(X, H, W_x, W_h, b, W_o):
    for x in X:
        H = cell(x, H, W_x, W_h, b)
        b = H[0]
    return H


def its_state_is_a_weight(X, H, W_x, W_h, b, W_o):
    for x in X:
        H = cell(x, H, W_x, W_h, b)
        W_h = np.concatenate([H, H, H])[:5]
    return H


def one_after_another(X, H, W_x, W_h, b, W_o):
    """Two loops: the late inputs of the first are results of the second, whose inputs are early
    results of the first."""
    hiddens = []
    for x in X[:2]:
        H = cell(x, H, W_x, W_h, b)
        hiddens.append(np.dot(H, W_o))
    G = hiddens[0][:, :1] * np.ones(5)
    for x in hiddens:
        G = cell(x, G, W_x, W_h, b)
    for _ in range(2):
        H = cell(np.dot(G, W_o), H, W_x, W_h, b)
    return H


def what_is_dropped_in_each_step(X, H, W_x, W_h, b, W_o):
    """The mask for a step's input is drawn after the mask for the result of the step before."""
    outputs = []
    for x in X:
        H = cell(npx.dropout(x, 0.5), H, W_x, W_h, b)
        outputs.append(npx.dropout(H, 0.5))
    return np.stack(outputs)


@pytest.mark.parametrize('function', [
    fed_with_its_output, what_is_dropped_in_each_step, fed_with_its_state, attends_to_its_state,
    two_that_feed_each_other, a_layer_that_feeds_the_first, its_state_is_a_bias,
    its_state_is_a_weight, one_after_another],
    ids=lambda function: function.__name__)
def test_loops_that_feed_themselves(function):
    assert_same(function, normal(3, 2, 4), normal(2, 5), *layer(4, 5, 1), normal(5, 4) * 0.3)


def test_a_graph_with_very_many_paths():
    """The rewriting must not follow each path through the graph, of which there are 2 ** 60."""
    def doubled(x):
        for _ in range(60):
            x = x + x
        return np.tanh(x * 1e-18)
    assert_same(doubled, normal(2, 3))


@pytest.mark.parametrize('channels', [1, 3, 4, 5, 8, 12, 20])
def test_concatenated_channels_and_a_convolution(channels):
    """A Concat of few channels once ended the process."""
    class Net(nn.Block):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2D(channels, 3, padding=1)
            self.last = nn.Conv2D(channels, 1)

        def forward(self, X):
            for _ in range(2):
                Y = self.first(X)
                X = self.last(np.concatenate((Y, np.tanh(Y), npx.relu(Y)), axis=1))
            return X
    net = Net()
    net.initialize()
    X = np.array(normal(2, channels, 8, 8))
    exact = net(X)
    d2l.hybridize(net, optimize='unchecked')
    with autograd.record():
        net(X).backward()
    assert abs(net(X) - exact).max() < 1e-4


# ---- random programs

class Program:
    """A random function of arrays. steps: numbers that choose the operators and their arguments.

    shapes: of its inputs. The weights that it needs are made when it runs for the first time, and
    are further arguments. The attribute `arrays` has an example of each argument.
    """

    def __init__(self, shapes, steps):
        self.steps, self.inputs = steps, len(shapes)
        self.arrays, self._frozen = [normal(*s) for s in shapes], False
        self(*map(np.array, self.arrays))
        self._frozen = True

    def __call__(self, *arrays):
        pool, weights, made = [*arrays[:self.inputs]], [*arrays[self.inputs:]], [0]

        def weight(*lengths):
            made[0] += 1
            if not self._frozen:
                self.arrays.append(normal(*lengths) * 0.3)
                return np.array(self.arrays[-1])
            return weights[made[0] - 1]
        for op, first, second in self.steps:
            name = [*OPERATORS][op % len(OPERATORS)]
            takes, function = OPERATORS[name]
            fits = [x for x in pool if takes(x.shape)]
            if not fits:
                continue
            x = fits[first % len(fits)]
            same = [y for y in pool if y.shape == x.shape]
            pool.append(function(x, same[second % len(same)], second, weight))
            if pool[-1].size > 2000:
                pool.pop()
        return pool[-1], pool[len(pool) // 2] * 2, sum(x.sum() for x in arrays)


def recurrent(x, y, k, weight):
    """A recurrent loop, in which a part of the state may be added to the input of each step."""
    n, h = x.shape[-1], 3
    W, V, b, O = weight(n, h), weight(h, h), weight(h), weight(h, n)     # noqa: E741
    H = np.zeros((x.shape[1], h))
    outputs = []
    for t in range(x.shape[0]):
        H = cell(x[t] if k % 3 else x[t] + np.dot(H, O), H, W, V, b)
        outputs.append(H)
    return np.stack(outputs) if k % 2 else np.concatenate(outputs)


def norm(x, y, k, weight):
    return npx.layer_norm(x, weight(x.shape[-1]), weight(x.shape[-1]), axis=-1)


def convolved(x, y, k, weight):
    channels = 1 + k % 9
    return npx.convolution(x, weight(channels, x.shape[1], 3, 3), weight(channels), kernel=(3, 3),
                           num_filter=channels, pad=(1, 1))


def looked_up(x, y, k, weight):
    at = np.array(onp.arange(x.shape[0] * 3) % x.shape[0])
    return npx.embedding(at, x, input_dim=x.shape[0], output_dim=x.shape[1])


def masked(x, y, k, weight):
    return npx.sequence_mask(x,
                             np.array(onp.arange(x.shape[0]) % (x.shape[1] + 1), dtype='float32'),
                             use_sequence_length=True, axis=1, value=k % 2)


any_shape, at_least = (lambda s: True), (lambda n: lambda s: len(s) >= n)
exactly = lambda n: lambda s: len(s) == n       # noqa: E731
# name: (whether it accepts a shape, a function of x, of y with the same shape, of a number k, and
# of a function that makes a weight)
OPERATORS = {
    'tanh': (any_shape, lambda x, y, k, weight: np.tanh(x)),
    'sigmoid': (any_shape, lambda x, y, k, weight: npx.sigmoid(x)),
    'relu': (any_shape, lambda x, y, k, weight: npx.relu(x)),
    'square': (any_shape, lambda x, y, k, weight: np.tanh(x) ** 2),
    'times a number': (any_shape, lambda x, y, k, weight: x * (k % 4 - 1.5)),
    'through a number': (any_shape, lambda x, y, k, weight: x / (k % 4 + 1)),
    'add': (any_shape, lambda x, y, k, weight: x + y),
    'subtract': (any_shape, lambda x, y, k, weight: x - y),
    'multiply': (any_shape, lambda x, y, k, weight: np.tanh(x) * np.tanh(y)),
    'bias': (at_least(1), lambda x, y, k, weight: x + weight(x.shape[-1])),
    'column': (at_least(2), lambda x, y, k, weight: x * weight(x.shape[0], *(1,) * (x.ndim - 1))),
    'constant': (any_shape, lambda x, y, k, weight: x + np.ones(x.shape) * k),
    'copy': (any_shape, lambda x, y, k, weight: x.copy()),
    'stop': (any_shape, lambda x, y, k, weight: x.detach()),
    'sum': (at_least(1), lambda x, y, k, weight: x.sum(axis=k % x.ndim, keepdims=k % 2 == 0)),
    'mean': (at_least(1), lambda x, y, k, weight: x.mean(axis=-1 - k % x.ndim)),
    'softmax': (at_least(1), lambda x, y, k, weight: npx.softmax(x)),
    'norm': (lambda s: len(s) > 1 and s[-1] > 3, norm),
    'flat': (any_shape, lambda x, y, k, weight: x.reshape(-1)),
    'rows': (at_least(2), lambda x, y, k, weight: x.reshape(x.shape[0], -1)),
    'folded': (exactly(2), lambda x, y, k, weight: np.expand_dims(x, k % 3)),
    'transpose': (at_least(2), lambda x, y, k, weight: x.T if k % 2 else np.swapaxes(x, 0, -1)),
    'beside': (at_least(1), lambda x, y, k, weight: np.concatenate([x, y], axis=k % x.ndim)),
    'stack': (at_least(1), lambda x, y, k, weight: np.stack([x, y])),
    'part': (at_least(2), lambda x, y, k, weight: x[k % x.shape[0]]),
    'dot': (exactly(2), lambda x, y, k, weight: np.dot(x, weight(x.shape[1], 1 + k % 5))),
    'dense': (at_least(2), lambda x, y, k, weight: npx.fully_connected(
        x, weight(3, x.shape[-1]), num_hidden=3, no_bias=True, flatten=False)),
    'batch_dot': (exactly(3), lambda x, y, k, weight: npx.batch_dot(x, y.swapaxes(1, 2))),
    'masked': (exactly(2), masked),
    'looked up': (exactly(2), looked_up),
    'convolution': (exactly(4), convolved),
    'pooling': (lambda s: len(s) == 4 and min(s[2:]) > 1, lambda x, y, k, weight: npx.pooling(
        x, kernel=(2, 2), stride=(2, 2), pool_type='avg', global_pool=k % 4 == 0)),
    'recurrent': (exactly(3), recurrent),
}
shapes_of_inputs = st.lists(st.sampled_from([(4,), (3, 4), (1, 5), (5, 1), (2, 3, 4), (3, 1, 4),
                                             (2, 3, 6, 6), (1, 6, 5, 4)]), min_size=1, max_size=3)
number = st.integers(0, 99)


@pytest.mark.parametrize('group', range(6))
@given(data=st.data())
@settings(max_examples=10, deadline=None, derandomize=True)
def test_random_programs(group, data):
    """Outputs and gradients of any of the arrays, some frozen, in both modes: as in exact mode, but
    for what a change of the arguments in their last digits changes, too."""
    steps = st.lists(st.tuples(st.integers(0, len(OPERATORS) - 1), number, number),
                     min_size=3 + group,
                     max_size=5 + group)
    program = Program(data.draw(shapes_of_inputs), data.draw(steps))
    wanted = data.draw(st.sets(st.integers(0, len(program.arrays) - 1)))
    options = {'training': data.draw(st.booleans()), 'wanted': wanted,
               'static_alloc': data.draw(st.booleans())}
    exact, _ = run(program, program.arrays, optimize=False, **options)
    fast, _ = run(program, program.arrays, optimize=True, **options)
    signs = [onp.random.RandomState(i).choice([-1, 1], a.shape)
             for i, a in enumerate(program.arrays)]
    near, _ = run(program, [(a * (1 + 2 ** -21 * sign)).astype('float32')
                            for a, sign in zip(program.arrays, signs)], optimize=False, **options)
    for a, b, c in zip(exact, fast, near):
        assert a.shape == b.shape and onp.isfinite(a).all()
        assert abs(a - b).max(initial=0) <= ERROR * max(1, abs(a).max(initial=0)) + 8 * abs(
            a - c).max(initial=0)


def test_state_in_attributes_is_fed_to_the_proof():
    """An array attribute is an input of the graph, as the arguments are."""
    class Running(nn.Block):
        def forward(self, X):
            self.mean = 0.5 * self.mean + X.sum(axis=0)
            return X - self.mean
    net, X = Running(), np.arange(6.).reshape(2, 3)
    net.mean = np.ones(3)
    d2l.hybridize(net, optimize=True)
    assert net(X).tolist() == (X - np.array([3.5, 5.5, 7.5])).tolist()
    assert net(X).tolist() == (X - np.array([4.75, 7.75, 10.75])).tolist()
