"""All effects that `import d2l` has on the rest of the process. The lists BEFORE and AFTER have
those from before and after MXNet is imported. D2L_PATCH=0 turns them off, except for the sample
data if D2L_DATA=sample asks for it.

Most of them repair functions that MXNet 1.9.1 computes wrong without an error. Each repair is valid
in eager mode, in what `d2l.hybridize` and Gluon's `hybridize` compile, and in exports. None reaches
the executors of `mx.sym`.
"""
import os
import typing

from . import constants, custom, draws, empty, functions, gluon, heads, layers, marks, rnn, wanted


class Effect(typing.NamedTuple):
    """An effect of `import d2l`.

    install: function that makes it; what: what it changes; why: the reason
    switch: text for the README that says what turns it off; '' for D2L_PATCH=0
    asked: function that returns whether the user has asked for this effect, so that it is installed
        even with D2L_PATCH=0
    """
    install: typing.Callable
    what: str
    why: str
    switch: str = ''
    asked: typing.Callable = lambda: False


def enabled():
    """Return whether D2L_PATCH allows d2l to change MXNet. Raises ValueError if it is neither 0 nor
    1."""
    value = os.environ.get('D2L_PATCH', '1')
    if value not in ('0', '1'):
        raise ValueError(f"D2L_PATCH is '{value}': say 0, which leaves MXNet as it is, or 1")
    return value == '1'


def install(effects):
    """Install these effects; with D2L_PATCH=0, only those that the user has asked for."""
    all_of_them = enabled()
    for effect in effects:
        if all_of_them or effect.asked():
            effect.install()


def table():
    """Yield the lines of a Markdown table of the effects."""
    yield '| what `import d2l` changes | why | switch |'
    yield '|---|---|---|'
    for effect in BEFORE + AFTER:
        yield f'| {effect.what} | {effect.why} | {effect.switch or "`D2L_PATCH=0`"} |'


# ---- before MXNet is imported
def _set_engine():
    from d2l import engine

    engine.set_defaults()


BEFORE = [
    Effect(_set_engine,
           "settings of MXNet's engine and of malloc",
           'they suit a CPU (`d2l/engine.py`)',
           '`MXNET_CPU_PARALLEL_SIZE`, `MXNET_CPU_TEMP_COPY`, `MALLOC_ARENA_MAX`'),
]


# ---- after MXNet is imported
AFTER = [
    Effect(gluon.fetch,
           'how Gluon fetches data sets, word vectors and pretrained parameters',
           'verified, whole or not at all; `D2L_DATA=sample` makes stand-ins',
           '`D2L_PATCH=0`, without `D2L_DATA=sample`',
           lambda: os.environ.get('D2L_DATA') == 'sample'),
    Effect(gluon.find_pictures,
           "`image.imread('../img/cat1.jpg')`",
           'finds the pictures of the book that are shipped with it, where there is no such file, '
           'and says so'),
    Effect(gluon.load_a_lone_layer,
           '`load_parameters` of a layer alone',
           'MXNet cannot read what its `save_parameters` wrote'),
    Effect(gluon.update_faster,
           "how MXNet's SGD and Adam update on a CPU",
           'the same operators, called straight: faster (`d2l/updates.py`)'),
    Effect(gluon.copy_compiled,
           '`copy.copy` of a Block',
           'the copy of a compiled one would compute with the attributes of the other'),
    Effect(gluon.collect_less,
           "how often Gluon's DataLoader collects garbage",
           'a quarter of a second for each DataLoader; now at most a tenth of the time'),
    Effect(marks.take_turns,
           'gradients, and `BatchNorm` of several threads at once: they take turns',
           "MXNet's engine may let them wait for each other for ever"),
    Effect(heads.repair_repeated_heads,
           'heads that are given twice, as in `autograd.backward([y, y])`',
           'MXNet takes the last one only'),
    Effect(heads.refuse_second_derivatives,
           '`autograd.grad(..., create_graph=True)` through a `Dense` layer that others follow',
           "MXNet's second derivatives lack a part; an error here"),
    Effect(heads.mark_copied_parameters,
           '`copy.deepcopy` and `pickle` of Parameters',
           'the copies would never get gradients'),
    Effect(custom.repair_functions,
           '`autograd.Function`',
           'in MXNet, gradients with `grad_req` \'add\' stay 0, those after an argument that wants '
           'none are what lies in memory, that of an argument that `forward` returns is lost, and '
           'arrays of `mx.np` do not work'),
    Effect(constants.repair_constants,
           'comparisons, `argmax`, `floor` and others that have no gradient, and indices of '
           '`pick` and conditions of `where`, while autograd records',
           'MXNet ends the process where the result of a layer goes through a reshape or a slice, '
           'then into one of these, and nowhere else'),
    Effect(custom.let_custom_operators_finish,
           'Functions and custom operators inside of one another',
           "in MXNet they may wait for one another's workspace for ever"),
    Effect(functions.repair_numbers,
           'the gradients of `np.where(c, x, 0)`, `np.where(c, 0, x)` and `np.arctan2(1, x)`',
           "MXNet's operators for a number give those of other functions"),
    Effect(functions.repair_var_and_std,
           'the gradients of `np.var` and `np.std`',
           "MXNet's are 0"),
    Effect(functions.repair_rot90,
           'the gradient of `np.rot90`',
           "MXNet's is turned the wrong way"),
    Effect(functions.repair_slopes,
           'the gradients of `np.atleast_1d`, `_2d` and `_3d`, `np.unique`, `np.percentile`, '
           '`np.quantile`, `np.polyval`, `np.einsum` of a diagonal, and in `np.linalg` of `norm` '
           'of matrices, `eig`, `eigh`, `eigvals`, `eigvalsh` and `pinv`; of `np.random.uniform`, '
           '`power` and the scale of `gamma` (that of its shape stays 0, as in `beta` and '
           '`chisquare`)',
           "MXNet's are 0, what lies in memory, or multiplied by what comes from above twice"),
    Effect(layers.repair_predict_mode,
           'the gradients of max pooling and batch normalization under `record(train_mode=False)`',
           "MXNet's are what lies in memory, and those of training"),
    Effect(marks.note_marks,
           "gradients of `grad_req` 'add': d2l adds them up",
           'MXNet writes over what was there, or leaves it, where the array itself goes into '
           '`mean`, `cumsum`, `flip`, `diff`, `trace`, `split`, `clip`, `inner`, `tensordot`, '
           '`inv` and others'),
    Effect(wanted.repair_bias,
           'the gradient of the bias of `Dense` whose weight wants none',
           "MXNet's is what lies in memory: oneDNN computes it together with that of the weight"),
    Effect(wanted.repair_sums,
           "the gradients of sums, such as `x + c` of `mx.nd`, in Gluon's `hybridize("
           'static_alloc=True)`',
           "MXNet's are what lies in memory where one of both arrays wants none"),
    Effect(wanted.repair_dependent,
           "the gradients of `F.contrib.while_loop` in Gluon's `hybridize`, and of "
           '`contrib.interleaved_matmul_selfatt_valatt` and `_encdec_qk`',
           "MXNet's are 0 or what lies in memory where a loop variable, or the first array, wants "
           'none'),
    Effect(wanted.repair_labels,
           'the gradient of the labels of `SoftmaxOutput`, `SVMOutput`, `LinearRegressionOutput`, '
           '`LogisticRegressionOutput` and `MAERegressionOutput`',
           "MXNet's is what lies in memory; now it is 0"),
    Effect(empty.repair_empty,
           'the gradients of what is added to, multiplied with, repeated, or indexed to an empty '
           'array, as in `X[mask] + b` where `mask` takes no row',
           "MXNet's are what lies in memory, or what they were before; now they are 0"),
    Effect(layers.repair_channel_slices,
           "slices of channels, such as `Y[:, :8]`, of a convolution's result in training",
           "oneDNN's end the process, or raise an error, where they cut its blocks of 8 or 16 "
           'channels'),
    Effect(layers.repair_softmax,
           "`softmax` and `log_softmax` along the last axis of a convolution's result, and of what "
           'is computed of it in a compiled net',
           "oneDNN's end the process where it stores the channels in blocks"),
    Effect(layers.repair_norm,
           'batch normalization after `Conv1D` and `Conv3D`, along another axis, or of a view',
           "MXNet's backward pass raises an error where oneDNN stores the channels in blocks"),
    Effect(layers.repair_concat,
           'the gradient of `mx.nd.concat(..., dim=1)` of pictures',
           "oneDNN's ends the process where a convolution follows, unless each has 16, 32, ... "
           'channels'),
    Effect(layers.repair_pooling,
           'the gradients of pooling of a view, such as `X[:2]`, and of average pooling with '
           '`ceil_mode`',
           "oneDNN's are what lies in memory, and divided by another number than the values"),
    Effect(layers.repair_selu,
           'the gradient of `nn.SELU`',
           "MXNet's is that of another function"),
    Effect(layers.repair_prelu,
           'the gradient of the slope of `nn.PReLU` in a compiled net',
           "MXNet's is multiplied by the slope where another layer follows"),
    Effect(rnn.repair_rnn,
           '`rnn.LSTM`, `GRU` and `RNN` of several layers: `dropout`, on a CPU, and gradients in '
           'float64',
           "oneDNN's drop nothing between their layers, others drop under "
           "`record(train_mode=False)`; MXNet's gradients in float64 are what lies in memory"),
    Effect(rnn.refuse_lengths,
           '`use_sequence_length` of these on a CPU',
           'MXNet ignores it; an error here'),
    Effect(draws.repair_of_gamma,
           '`np.random.chisquare` and `beta`',
           'MXNet draws a quarter of what it should, and one number for all where `a` or `b` is '
           'one'),
    Effect(draws.repair_choice,
           '`np.random.choice(n, k, replace=False)`',
           'MXNet gives 0 to n - 1 in order where k is n, and else few of the possible orders; '
           'and with `p` elements of weight 0 where others are too few: an error, unless compiled'),
]
