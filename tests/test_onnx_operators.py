"""A converter for each operator of MXNet: ONNX Runtime computes what MXNet does."""
import contextlib
import zlib

import numpy as onp
import pytest
from mxnet import np, npx
from mxnet.base import MXNetError
from mxnet.gluon import nn

import d2l
from ci import converters, runtime
from ci.networks import leaves
from d2l import TraceError, export_onnx
from tests.support import agree, older, randn, ready

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning')  # Gluon's own code does that
NAN, INF = float('nan'), float('inf')


def tried(function, folder, *batches):
    """Export a function, with the first and the second minibatch as examples, and compare its
    results on all minibatches."""
    first, *more = [args if isinstance(args, tuple) else (args,) for args in batches]
    export_onnx(function, folder / 'net.onnx', *first, other=more[0] if more else None)
    for args in (first, *more):
        agree(runtime.run(folder / 'net.onnx', leaves(args)), function(*args))
    return True


W, SHIFT = randn(3, 4, seed=5), np.array([0.5, -1.5, 2.0, -0.5])
UNARY = ('sin cos tan arctan sinh cosh arcsinh ceil floor sign rint fix trunc cbrt degrees radians '
         'log1p expm1 reciprocal logical_not isnan isinf isfinite isposinf isneginf').split()
OLDER_UNARY = ('exp log sqrt tanh negative sin cos tan arctan sinh cosh arcsinh ceil floor '
               'reciprocal sign abs sigmoid erf relu softsign degrees radians fix trunc cbrt rcbrt '
               'rsqrt round rint log1p expm1 log2 log10 logical_not square').split()
BINARY = 'broadcast_add broadcast_sub broadcast_mul broadcast_div broadcast_power broadcast_mod ' \
         'broadcast_hypot broadcast_equal broadcast_not_equal broadcast_greater ' \
         'broadcast_greater_equal broadcast_lesser broadcast_lesser_equal broadcast_logical_and ' \
         'broadcast_logical_or broadcast_logical_xor'.split()
SAME = 'elemwise_add elemwise_sub elemwise_mul elemwise_div _power _maximum _minimum _mod _hypot ' \
       '_equal _not_equal _greater _greater_equal _lesser _lesser_equal _logical_and _logical_or ' \
       '_logical_xor'.split()
SCALARS = '_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar ' \
          '_power_scalar _rpower_scalar _mod_scalar _rmod_scalar _hypot_scalar _equal_scalar ' \
          '_not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar ' \
          '_lesser_equal_scalar _logical_and_scalar _logical_or_scalar _logical_xor_scalar'.split()


def positive(X):
    return np.abs(X) + 0.1


def bits(X, dtype):
    return np.floor(np.abs(X) * 40 if dtype == 'uint8' else X * 40).astype(dtype)


def rounds(X):
    """Values of which some are equal, and some are 0."""
    return np.floor(X * 2)


# functions of X, (batch, 4), for any batch size
FREE = {
    **{name: (lambda X, f=getattr(np, name): f(X * 1.3)) for name in UNARY},
    'log10, log2': lambda X: [np.log10(positive(X)), np.log2(positive(X))],
    'of small numbers': lambda X: [np.log1p(X * 1e-6), np.expm1(X * 1e-6), np.expm1(X * 10)],
    'inverse': lambda X: [f(np.tanh(X)) for f in (np.arcsin, np.arccos, np.arctanh)],
    'arccosh': lambda X: np.arccosh(positive(X) + 1),
    'not finite': lambda X: [f(np.array([NAN, INF, -INF, 1]) + 0 * X) for f in (
        np.isnan, np.isinf, np.isfinite, np.isposinf, np.isneginf, np.nan_to_num)],
    **{f'older {name}': (lambda X, op=name: older(
        op, positive(X) if op in ('log', 'sqrt', 'rcbrt', 'rsqrt', 'log1p', 'log2', 'log10')
        else X * 1.3)) for name in OLDER_UNARY},
    'older inverse': lambda X: [older(op, np.tanh(X)) for op in ('arcsin', 'arccos', 'arctanh')],
    'older arccosh': lambda X: older('arccosh', positive(X) + 1),
    'halves': lambda X: [older('round', rounds(X) / 2), older('rint', rounds(X) / 2),
                         np.rint(rounds(X) / 2), np.around(X, 1), np.fix(rounds(X) / 2)],
    **{f'older {name}': (lambda X, op=name: [
        older(op, rounds(X) if 'power' not in op else positive(X), SHIFT),
        older(op, positive(X), W[0])]) for name in BINARY},
    **{f'older {name}': (lambda X, op=name: older(
        op, rounds(X) if 'power' not in op else positive(X), np.floor(X + 0.5))) for name in SAME},
    **{f'older {name}': (lambda X, op=name: [
        older(op, positive(X), scalar=2), older(op, rounds(X), scalar=1)]) for name in SCALARS},
    'compare': lambda X: [rounds(X) == SHIFT, rounds(X) != 1, rounds(X) > SHIFT, rounds(X) < SHIFT,
                          rounds(X) >= SHIFT, rounds(X) <= SHIFT, rounds(X) == 1,
        rounds(X) != SHIFT],
    'compare scalars': lambda X: [rounds(X) > 1, rounds(X) < 1, rounds(X) >= 1, rounds(X) <= 1],
    'compare integers': lambda X: [rounds(X).astype('int32') > 1, X.astype('int32') >= 0,
                                   X.astype('int64') == 0],
    'compare truth': lambda X: [(X > 0) == (X > 1), (X > 0) != (X > 1)],
    'products of truth': lambda X: [(X > 0) * (X < 1), (X > 0) + (X < -1)],
    'mod': lambda X: [X % 0.7, X % SHIFT, 0.7 % X, X % -0.7, np.mod(rounds(X), 2),
                      (X * 5).astype('int32') % 3, 7 % (X * 5).astype('int32')],
    'hypot, copysign': lambda X: [np.hypot(X, SHIFT), np.copysign(X, SHIFT)],
    'arctan2': lambda X: [np.arctan2(X, SHIFT), np.arctan2(X, -1.5), older('_npi_rarctan2_scalar',
        X, scalar=1.5),
                          np.arctan2(rounds(X), rounds(X) - 1)],
    'ldexp': lambda X: [np.ldexp(X, SHIFT), np.ldexp(X, 2), np.ldexp(3, X)],
    'clip': lambda X: [np.clip(X, -0.5, 0.5), X.clip(0, 1)],
    'add_n': lambda X: older('add_n', X, X * 2, X * 3, num_args=3),
    'smooth l1': lambda X: [npx.smooth_l1(X), npx.smooth_l1(X, scalar=3.0)],
    'hard sigmoid': lambda X: [older('hard_sigmoid', X), older('hard_sigmoid', X * 3, alpha=0.1)],
    'scaled': lambda X: older('_contrib_div_sqrt_dim', X),
    'losses': lambda X: [older('MakeLoss', X) * 2, older('make_loss', X) * 3],
    'like': lambda X: [np.full_like(X, 2.5), np.full_like(X, -INF), older('ones_like', X) + X,
                       older('zeros_like', X) + 1, np.ones_like(X), np.zeros_like(X)],
    'leaky': lambda X: [npx.leaky_relu(X, act_type='elu', slope=0.7),
                        npx.leaky_relu(X, act_type='selu'), npx.leaky_relu(X, act_type='gelu'),
                        npx.leaky_relu(X, W[0], act_type='prelu'),
                        npx.leaky_relu(X, W[0, :1], act_type='prelu')],
    'softmaxes': lambda X: [npx.softmax(X, temperature=2), npx.log_softmax(X, axis=0),
                            npx.log_softmax(X, temperature=0.5), older('softmin', X)],
    # shapes
    'squeeze': lambda X: [older('squeeze', X[:, :1], axis=1), np.squeeze(X[:1])],
    'reshape like': lambda X: [npx.reshape_like(X.reshape(-1), X), npx.reshape_like(
        X.reshape(-1), X * 2, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)],
    'atleast': lambda X: [np.atleast_1d(X.sum()), np.atleast_2d(X[:, 0]), np.atleast_3d(X)],
    'reshape, the batch elsewhere': lambda X: [X.T.reshape(2, 2, X.shape[0]) + 1, X.reshape(
        X.shape[0], 2, 2).transpose(1, 0, 2).reshape(2, X.shape[0], 2, 1) + 1],
    'older transpose': lambda X: [older('transpose', X), older('transpose', X, axes=(1, 0))],
    'older concat': lambda X: [older('Concat', X, X * 2, dim=1, num_args=2),
                               older('stack', X, X * 2, axis=0, num_args=2)],
    'vstack': lambda X: np.vstack((X, X)) + np.vstack((W[0], W[1]))[0],
    'column stack': lambda X: np.column_stack((X, X)),
    'concatenate all': lambda X: np.concatenate((X, 2 * X), axis=None),
    'broadcast': lambda X: [older('broadcast_axis', np.expand_dims(X, 1), axis=1, size=3), older(
        'broadcast_to', np.expand_dims(X, 1), shape=(0, 3, 0)),
                            older('broadcast_like', X[:, :1], X)],
    'axes': lambda X: [np.moveaxis(X.reshape(-1, 2, 2), 0, -1), np.flip(X, 1), np.flip(X),
                       older('reverse', X, axis=1), np.roll(X, 1, axis=1), np.roll(X, -5, 1),
                       np.rot90(X), np.rot90(X, 2), np.rot90(X, 3), np.diff(X), np.diff(X, 2)],
    # sums and products
    **{f'older {name}': (lambda X, op=name: [
        older(op, X), older(op, X, axis=1, keepdims=True), older(op, X, axis=1, exclude=True)])
        for name in ('sum', 'mean', 'max', 'min', 'prod')},
    'reduce': lambda X: [np.min(X, axis=1), np.prod(X, axis=1), np.prod(X, axis=(0, 1)),
                         X.min(keepdims=True), X.sum(axis=1, dtype='float32')],
    'all, any': lambda X: [np.all(X > -1, axis=1), np.any(X > 1), np.all(rounds(X), axis=0),
                           np.any(rounds(X), axis=1, keepdims=True)],
    # of float16, as d2l computes var of float32 by means
    'var of float16': lambda X: [np.round(f(X.astype('float16'), axis=1).astype('float32'), 1)
                                 for f in (np.var, np.std)],
    'var': lambda X: [np.var(X), np.var(X, axis=1, ddof=1), np.std(X, axis=1, keepdims=True),
                      X.std(axis=(0, 1)), X.var(axis=0)],
    'norm': lambda X: [np.linalg.norm(X), np.linalg.norm(X, axis=1),
                       np.linalg.norm(X, ord=1, axis=1), older('norm', X, ord=1, axis=1),
                       older('norm', X, axis=1, keepdims=True), np.linalg.norm(X, axis=(0, 1))],
    'average': lambda X: [np.average(X, axis=1), np.average(X, axis=1, weights=positive(W[0])),
                          np.average(X)],
    'products': lambda X: [np.matmul(X, W.T), np.dot(X, W.T.reshape(4, 3)), np.dot(
        X, W.reshape(1, 4, 3)), np.tensordot(X, W, axes=([1], [1])), np.tensordot(X, W.T, axes=1),
        older('dot', X, W.T), older('dot', X, W, transpose_b=True), older('dot', X, X,
        transpose_a=True)],
    'einsum': lambda X: [np.einsum('ij,kj->ik', X, W), np.einsum('ij->i', X), np.einsum(
        'bij,bjk->bik', X.reshape(-1, 2, 2), X.reshape(-1, 2, 2)), np.einsum('i...->...', X),
        np.einsum('bii->b', X.reshape(-1, 2, 2)), np.einsum('bhq,bhk,kc->bhqc', X.reshape(-1, 2, 2),
                                                            X.reshape(-1, 2, 2), W[:2])],
    'of gamma': lambda X: [npx.gammaln(X), npx.gamma(X * 2), npx.gammaln(positive(X) * 20),
                           npx.erfinv(np.tanh(X)), npx.erfinv(np.array([1, -1, 0, 0.999999]) + 0
                                                              * X)],
    'polynomial': lambda X: [np.polyval(SHIFT, X), np.polyval(W[0], X[0])],
    'bitwise': lambda X: [f(a, b) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
                          for a, b in ((bits(X, kind), bits(X[:1] * 3, kind)) for kind in (
                              'int32', 'int64', 'int8', 'uint8'))] + [
        (X > 0) & (X < 1), (X > 0) | (X < -1), (X > 0) ^ (X > -1)],
    'bitwise, numbers': lambda X: [bits(X, kind) & 5 for kind in ('int32', 'int8')] + [
        bits(X, 'int32') | 6, bits(X, 'int64') ^ 3, ~bits(X, 'int32'), np.bitwise_not(
            bits(X, 'uint8')), np.bitwise_not(X > 0)],
    'lcm': lambda X: [np.lcm(bits(X, 'int32'), bits(X * 3, 'int32')), np.lcm(bits(X, 'int32'), 6)],
    'percentile': lambda X: [np.percentile(X, np.array([10, 50]), axis=1), np.quantile(
        X, 0.75, axis=1, keepdims=True)] + [np.percentile(X, 30, axis=1, interpolation=kind)
            for kind in ('lower', 'higher', 'midpoint', 'nearest')],
    'ediff1d': lambda X: [np.ediff1d(X), np.ediff1d(X, 1, 2), np.ediff1d(X, X[:1, :2], 9)],
    # choice and order
    'where': lambda X: [np.where(X > 0, X, W[0]), np.where(X > 0, 2.0, X), np.where(X > 0, X, -INF),
                        np.where(X > 0, 1.0, 0.0), np.where(rounds(X), X, 0),
                        older('where', np.maximum(X[:, 0], 0), X, X * 2), older(
                            'where', np.maximum(X, 0), X, X * 2)],
    'where, with a number': lambda X: [older('_npi_where_lscalar', X > 0, X, scalar=2.0), older(
        '_npi_where_rscalar', X > 0, X, scalar=-INF)],
    'slice axis': lambda X: [older('slice_axis', X, axis=1, begin=1, end=3), older(
        'slice_axis', X, axis=-1, begin=-2, end=None), older('slice_axis', X, axis=1, begin=0,
        end=-1)],
    'slice like': lambda X: [older('slice_like', X, W[:, :2], axes=(1,)),
                             older('slice_like', np.concatenate((X, X)), X)],
    'split': lambda X: [np.split(X, 2, axis=1), np.split(X, [1, 3], axis=1), older(
        'SliceChannel', X, num_outputs=4, squeeze_axis=True), np.split(X, [1]), np.hsplit(X, 2),
        older('SliceChannel', X, num_outputs=1), older('SliceChannel', X.T, num_outputs=2,
        axis=0), np.split(X, 4, axis=-1)],
    'tril': lambda X: [np.tril(X), np.tril(X, 1), np.tril(X, -1)],
    'diagonal': lambda X: [np.diagonal(X.reshape(-1, 2, 2), 0, 1, 2), np.trace(
        X.reshape(-1, 2, 2), axis1=1, axis2=2), np.diagonal(X.reshape(-1, 2, 2), 1, 1, 2),
        np.diagonal(X.reshape(-1, 2, 2), -1, 1, 2)],
    'pad': lambda X: [np.pad(X, ((0, 0), (1, 2))), np.pad(X, ((1, 0), (0, 2)), 'edge'), np.pad(
        X, ((0, 0), (1, 2)), 'reflect'), np.pad(X, ((0, 0), (1, 2)), 'symmetric'), np.pad(
        X, ((0, 1), (1, 2)), 'constant', constant_values=5)],
    'older pad': lambda X: [older('Pad', X.reshape(-1, 1, 2, 2), mode=mode, pad_width=(
        0, 0, 0, 0, 1, 0, 0, 1)) for mode in ('constant', 'edge', 'reflect')],
    'pick': lambda X: [npx.pick(X, X[:, 0] * 3), npx.pick(X, X[:, 0] * 3, mode='wrap',
        keepdims=True),
                       npx.pick(X, X[0] * 0, axis=0)],
    'take': lambda X: [np.take(W, rounds(X).astype('int32'), axis=0, mode='wrap'),
                       np.take(X, np.array([0, 2]), axis=None, mode='clip')],
    'nd': lambda X: [older('gather_nd', X, np.array([[0, 1, 1], [3, 2, 0]])), older(
        'scatter_nd', X[0], np.array([[0, 1, 1, 2]]), shape=(4,)) * 0 + X[0]],
    'scatter': lambda X: [older('scatter_nd', X[0], np.array([[0, 3, 1, 2]]), shape=(5,))],
    'arange like': lambda X: [npx.arange_like(X, axis=1), npx.arange_like(X, start=2, step=0.5),
                              npx.arange_like(X, axis=0), npx.arange_like(X, axis=1, repeat=2)],
    'shapes': lambda X: [npx.shape_array(X) + X[0, 0].astype('int64') * 0,
                         older('size_array', X) + X[0, 0].astype('int64') * 0],
    'arg': lambda X: [np.argmax(X, axis=1), np.argmin(X, axis=1), np.argmax(X), np.argmin(X),
                      np.argmax(rounds(X), axis=1), older('argmax', X, axis=1), older(
                          'argmin', X, axis=1, keepdims=True)],
    'topk': lambda X: [npx.topk(X, k=2), npx.topk(X, k=2, ret_typ='both', is_ascend=True), npx.topk(
        X, k=2, ret_typ='mask'), npx.topk(X, k=3, ret_typ='value', axis=1), npx.topk(
        X, k=2, dtype='int32'), npx.topk(X, axis=None, k=3)],
    'sort': lambda X: [np.sort(X), np.sort(X, axis=0), np.argsort(X), older(
        'argsort', X, axis=1, is_ascend=False), older('sort', X, axis=1, is_ascend=False)],
    'cumsum': lambda X: [np.cumsum(X), np.cumsum(X, axis=1), np.cumsum(rounds(X).astype('int32'),
        0)],
    'reversed': lambda X: [older('SequenceReverse', X), older(
        'SequenceReverse', X.T, positive(rounds(X[:, 0])) % 3 + 1, use_sequence_length=True)],
    'last': lambda X: [older('SequenceLast', X), older(
        'SequenceLast', X.T, positive(rounds(X[:, 0])) % 3 + 1, use_sequence_length=True), older(
        'SequenceLast', X, positive(rounds(X[:, 0])) % 3 + 1, use_sequence_length=True, axis=1)],
    # pictures: (batch, 4) as (batch, 1, 2, 2)
    'upsampling': lambda X: older('UpSampling', X.reshape(-1, 1, 2, 2), scale=3,
        sample_type='nearest',
                                  num_args=1),
    'upsampling, bilinear': lambda X: older('UpSampling', X.reshape(-1, 1, 2, 2), np.ones((1, 1,
        4, 4)), scale=2,
                                            sample_type='bilinear', num_filter=1, num_args=2),
    'resize': lambda X: [older('_contrib_BilinearResize2D', X.reshape(-1, 1, 2, 2), height=5,
        width=3,
                               align_corners=align) for align in (True, False)],
    'resize like': lambda X: older('_contrib_BilinearResize2D', X.reshape(-1, 1, 2, 2), np.zeros(
        (1, 1, 3, 5)) + X[0, 0], mode='like'),
    'adaptive': lambda X: [older('_contrib_AdaptiveAvgPooling2D', X.reshape(-1, 1, 2, 2),
                                 output_size=size) for size in (1, 3, (1, 2))],
    'space': lambda X: [older('space_to_depth', X.reshape(-1, 1, 2, 2), block_size=2), older(
        'depth_to_space', X.reshape(-1, 4, 1, 1), block_size=2)],
    'norms': lambda X: [older('L2Normalization', X.reshape(-1, 2, 2, 1), mode=mode) for mode in (
        'instance', 'channel', 'spatial')],
    'lrn': lambda X: older('LRN', X.reshape(-1, 4, 1, 1), nsize=3, alpha=0.1),
}
PICTURE, BOXES = (2, 6, 5, 7), (2, 5, 4)


def corners(X):
    """Boxes (left, top, right, bottom) of different sizes."""
    return np.concatenate((X[..., :2], X[..., :2] + np.abs(X[..., 2:4]) + 0.1), axis=-1)


def scored(X, n):
    """Rows (class, score, box)."""
    rows = randn(n, 6, seed=3)
    boxes = corners(rows[:, 2:] * 0.6) + X[0, 0, 0] * 0
    return np.concatenate((np.floor(np.abs(rows[:, :1]) * 2), np.abs(rows[:, 1:2]), boxes), axis=-1)


def definite(X):
    """Positive definite matrices."""
    return npx.batch_dot(X, X, transpose_b=True) + np.eye(X.shape[-2])


FIXED = {
    'elimination': (lambda X: [np.linalg.inv(X), np.linalg.det(X), np.linalg.slogdet(X)],
                    (3, 4, 4)),
    'equations': (lambda X: [np.linalg.solve(X, X[:, :, :2] * 2), np.linalg.inv(X[0, 1:, 1:])],
                  (3, 4, 4)),
    'tensor equations': (lambda X: [np.linalg.tensorinv(X, 1), np.linalg.tensorsolve(
        X, X[0, 0, 0] + np.arange(4))], (4, 2, 2)),
    'rows exchanged': (lambda X: [np.linalg.det(X - X[:, :1, :1]), np.linalg.slogdet(X[:, ::-1])],
                       (3, 4, 4)),
    'cholesky': (lambda X: np.linalg.cholesky(definite(X)), (2, 4, 5)),
    'diag': (lambda X: [f(x, k) for f, x in ((np.diag, X), (np.diag, X[0]), (np.diagflat, X))
                        for k in (0, 1, -2)], (3, 4)),
    'diag indices': (lambda X: [np.stack(np.diag_indices_from(X)), X + 1], (3, 3)),
    'diff of all, percentiles': (lambda X: [np.percentile(X, 60), np.percentile(
        X, np.array([5, 20]), axis=(0, 2), keepdims=True), np.percentile(X, 5, axis=-1)],
        (3, 4, 2)),
    'pictures': (lambda X: [npx.image.to_tensor(X), npx.image.normalize(
        X.transpose(2, 0, 1), (0.1, 0.2, 0.3), (2, 3, 4)), npx.image.normalize(
        X.transpose(2, 0, 1), 0.5, 2), npx.image.flip_left_right(X),
        npx.image.flip_top_bottom(X), npx.image.crop(X, 1, 2, 3, 2), npx.image.resize(
        # with an odd number of rows, MXNet leaves one of them uninitialized
        X, (7, 3))], (6, 4, 3)),
    'batch of pictures': (lambda X: [npx.image.to_tensor(X), npx.image.crop(X, 1, 2, 3, 2),
                                     npx.image.resize(X, 9)], (2, 5, 6, 3)),
    'roi pooling': (lambda X: npx.roi_pooling(X, np.array([[0, 1, 1, 5, 4], [1, 0, 0, 2, 2]]),
                                              (2, 3), 0.5) + npx.roi_pooling(
        X, np.array([[0, 1, 1, 5, 4], [1, 0, 0, 2, 2]]), (2, 3), 1.0), PICTURE),
    **{f'detections {i}': (lambda X, attrs=attrs: npx.multibox_detection(
        npx.softmax(X[:, :4], axis=1), X[:, 4:].reshape(2, -1), corners(randn(
            1, 30, 4, seed=2) * 0.3), **attrs), (2, 8, 30))
       for i, attrs in enumerate((
           {}, {'threshold': 0.4}, {'nms_threshold': 0.2}, {'force_suppress': True, 'clip': False},
           {'variances': (0.2, 0.2, 0.3, 0.3), 'nms_threshold': 0.7}))},
    'prelu': (nn.PReLU(in_channels=6), PICTURE), 'elu': (nn.ELU(0.3), PICTURE),
        'selu': (nn.SELU(), PICTURE),
    'gelu': (nn.GELU(), PICTURE), 'swish': (nn.Swish(), PICTURE),
    'instance norm': (lambda X: older('InstanceNorm', X, *randn(2, 6)), PICTURE),
    'group norm': (lambda X: older('GroupNorm', X, *randn(2, 3), num_groups=3), PICTURE),
    'group norm of one': (lambda X: older('GroupNorm', X, *randn(2, 1)), (2, 6, 5)),
    'batch norm, axis': (nn.BatchNorm(axis=-1), PICTURE),
    'layer norm, axis': (nn.LayerNorm(axis=1), PICTURE),
    'sync': (lambda X: older('_contrib_SyncBatchNorm', X, *np.abs(randn(4, 6)) + 0.1, key='k'),
        PICTURE),
    'average, rounded up': (nn.AvgPool2D(3, 2, 1, ceil_mode=True), PICTURE),
    'average, rounded up, inside': (nn.AvgPool2D(2, 3, 1, ceil_mode=True,
        count_include_pad=False), PICTURE),
    'pool, channels last': (nn.MaxPool2D(2, layout='NHWC'), PICTURE),
    'global, channels last': (nn.GlobalAvgPool2D(layout='NHWC'), PICTURE),
    'decode': (lambda X: [older('_contrib_box_decode', X, corners(X[:1]), format='corner',
        clip=0.5),
                          older('_contrib_box_decode', X, corners(X[:1]), std0=0.1, std2=0.3)],
        BOXES),
    'iou': (lambda X: [older('_contrib_box_iou', corners(X), corners(X[0])), older(
        '_contrib_box_iou', np.abs(X), np.abs(X[:, 1]), format='center')], BOXES),
    **{f'nms {i}': (lambda X, attrs=attrs: older('_contrib_box_nms', scored(X, 40).reshape(2, 20,
        6), **attrs), BOXES)
       for i, attrs in enumerate((
           {'overlap_thresh': 0.3}, {'overlap_thresh': 0.3, 'id_index': 0},
           {'overlap_thresh': 0.3, 'id_index': 0, 'force_suppress': True},
           {'overlap_thresh': 0.3, 'id_index': 0, 'topk': 7}, {'valid_thresh': 0.6},
           {'overlap_thresh': 0.2, 'id_index': 0, 'background_id': 1},
           {'overlap_thresh': 0.2, 'in_format': 'center', 'out_format': 'center'}))},
    **{f'regions {i}': (lambda X, attrs=attrs: older('_contrib_ROIAlign', X, np.array(
        [[0, 1, 1, 5, 4], [1, 0, 0, 2, 2], [1, 2, 1, 2.2, 1.3]]), **attrs), PICTURE)
       for i, attrs in enumerate((
           {'pooled_size': (2, 3), 'spatial_scale': 0.5, 'sample_ratio': 2},
           {'pooled_size': (2, 2), 'spatial_scale': 1.0},
           {'pooled_size': (2, 2), 'spatial_scale': 1.0, 'aligned': True, 'sample_ratio': 2}))},
}


def batch(name, n):
    return randn(n, 4, seed=zlib.crc32(name.encode()) % 1000 + n)


@pytest.mark.parametrize('name', FREE)
def test_operator_for_any_batch_size(name, tmp_path):
    assert tried(FREE[name], tmp_path, batch(name, 3), batch(name, 5), batch(name, 2))


@pytest.mark.parametrize('name', FIXED)
def test_operator(name, tmp_path):
    net, shape = FIXED[name]
    X = randn(*shape, seed=1)
    assert tried(ready(net, X) if isinstance(net, nn.Block) else net, tmp_path, X)


def test_every_converter_is_tried_and_the_table_says_so():
    """The table is ci/golden/CONVERTERS.md, which `python -m ci.converters` makes anew."""
    found = converters.tried()
    assert [op for op, (_, tests) in found.items() if not tests] == []
    assert converters.TABLE.read_text() == converters.table(found)


def test_few_operators_are_without_a_converter():
    found = converters.counted()
    held = [op for key in converters.HELD for op in found[key]]
    without = found[converters.NONE] + found[converters.DRAWS]
    assert len(without) < converters.MOST * len(held)


def assigned(key, value):
    def function(X):
        Y = X * 2
        Y[key(X) if callable(key) else key] = value(X)
        return Y
    return function


# operator that no graph holds: a function of X, of shape (3, 4), that calls it; the error of its
# compilation, or None
HELD_BY_NONE = {
    '_npi_copysign_scalar': (lambda X: np.copysign(X, 2.0), MXNetError),
    '_npi_rcopysign_scalar': (lambda X: np.copysign(2.0, X), MXNetError),
    '_histogram': (lambda X: np.histogram(X, 5, (-1.0, 1.0)), TraceError),
    '_npi_insert_scalar': (lambda X: np.insert(X, 1, 7, axis=1), TraceError),
    '_shuffle': (lambda X: older('_shuffle', X), MXNetError),
    '_npi_insert_slice': (lambda X: np.insert(X, slice(0, 2), 7, axis=1), TraceError),
    '_npi_insert_tensor': (lambda X: np.insert(X, np.array([1, 2], dtype='int64'), 7, axis=1),
                           TraceError),
    '_copyto': (lambda X: X.astype('int32'), None),
    '_slice_assign_scalar': (assigned((1, slice(1, 3)), lambda X: 5), None),
    '_slice_assign': (assigned((1, slice(1, 3)), lambda X: X[0, :2]), None),
    '_scatter_set_nd': (assigned(onp.array([0, 2]), lambda X: X[:2]), None),
    '_npi_boolean_mask_assign_scalar': (assigned(lambda X: X > 0, lambda X: 5), TraceError),
    '_npi_boolean_mask_assign_tensor': (assigned(lambda X: X > 0, lambda X: X[0, 0]), TraceError),
    '_npi_hstack': (lambda X: np.hstack((X, X)), None),
    '_npi_dstack': (lambda X: np.dstack((X, X)), None),
    '_npi_share_memory': (lambda X: X * np.shares_memory(X, X), TraceError),
}


@pytest.mark.parametrize('op', sorted(sum(converters.HELD_BY_NONE.values(), ())))
def test_no_graph_holds(op):
    function, error = HELD_BY_NONE[op]
    X = randn(3, 4)
    if error is None:
        program, _ = d2l.compile(function).program(X)
        assert op not in {node['op'] for node in program.graph['nodes']}
    else:
        with pytest.raises(error):
            d2l.compile(function).program(X, apart=True)    # as an export is traced
        # MXNet raises its errors late: it cannot compute some of them at all
        for _ in range(3):
            with contextlib.suppress(MXNetError):
                npx.waitall()
