"""Chapter 13 against other programs: NumPy for the boxes of 13.4, SciPy for the layer of 13.10."""
import numpy as onp
import pytest
from mxnet import init, np, npx
from mxnet.gluon import nn
from scipy.signal import convolve2d

import d2l
from ci import networks, witness
from d2l.data.samples import cifar10, hotdog, voc2012

npx.set_np()
FLOAT = 2e-6                        # rounding error of float32, for values of about 1
VARIANCES = onp.array([.1, .1, .2, .2])     # of offsets (arXiv:1512.02325, its released program)


def single(array):
    """A NumPy array as MXNet's, float32."""
    return np.array(array, dtype='float32')


def boxes(random, n):
    """n boxes (left, top, right, bottom) in the unit square."""
    corners = random.uniform(0, 1, (n, 2, 2))
    return onp.concatenate([corners.min(1), corners.max(1) + .02], axis=1)


def iou(a, b):
    """Intersection over union of each box of a (n, 4) with each of b (m, 4): (n, m)."""
    low, high = onp.maximum(a[:, None, :2], b[:, :2]), onp.minimum(a[:, None, 2:], b[:, 2:])
    both = onp.clip(high - low, 0, None).prod(2)
    area = [(box[:, 2:] - box[:, :2]).prod(1) for box in (a, b)]
    return both / (area[0][:, None] + area[1] - both)


def middle_and_size(box):
    return (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]


def target(anchors, truth, threshold=.5):
    """Offsets (4 n), mask (4 n), classes (n) for anchors (n, 4), truth (m, 5): 13.4.3."""
    overlap, match = iou(anchors, truth[:, 1:]), onp.full(len(anchors), -1)
    left = overlap.copy()
    for _ in range(len(truth)):                     # the best pair first, each row and column once
        i, j = onp.unravel_index(left.argmax(), left.shape)
        match[i] = j
        left[i], left[:, j] = -1, -1
    others = (match < 0) & (overlap.max(1) > threshold)
    match[others] = overlap.argmax(1)[others]
    (xy, size), (xy_, size_) = middle_and_size(anchors), middle_and_size(truth[match, 1:])
    offsets = onp.concatenate([(xy_ - xy) / size, onp.log(size_ / size)], 1) / VARIANCES
    mask = (match >= 0)[:, None] * onp.ones(4)
    return (offsets * mask).ravel(), mask.ravel(), onp.where(match < 0, 0, truth[match, 0] + 1)


def detection(probabilities, offsets, anchors, threshold=.5):
    """Rows (class or -1, probability, box), the most probable first: 13.4.4."""
    xy, size = middle_and_size(anchors)
    offsets = offsets.reshape(-1, 4) * VARIANCES
    xy, size = xy + offsets[:, :2] * size, onp.exp(offsets[:, 2:]) * size
    found = onp.clip(onp.concatenate([xy - size / 2, xy + size / 2], 1), 0, 1)
    classes, sure = probabilities[1:].argmax(0), probabilities[1:].max(0)
    order = onp.argsort(-sure, kind='stable')
    rows = onp.concatenate([classes[:, None], sure[:, None], found], 1)[order]
    for i, row in enumerate(rows):
        if row[0] >= 0:
            same = rows[i + 1:, 0] == row[0]
            rows[i + 1:, 0][same & (iou(rows[i + 1:, 2:], row[None, 2:])[:, 0] > threshold)] = -1
    return rows


@pytest.mark.parametrize('shape, sizes, ratios', [
    ((4, 4), [.15], [1, 2, .5]), ((6, 9), [.75, .5, .25], [1, 2, .5]), ((1, 1), [.88, .961], [1]),
    ((7, 3), [.3], [.7, 3])])
def test_anchors(shape, sizes, ratios):
    ours = witness.multibox_prior({'sizes': sizes, 'ratios': ratios}, onp.zeros((1, 1, *shape)))
    theirs = npx.multibox_prior(np.zeros((1, 1, *shape)), sizes=sizes, ratios=ratios).asnumpy()
    assert theirs.shape == (1, shape[0] * shape[1] * (len(sizes) + len(ratios) - 1), 4)
    assert onp.abs(ours - theirs).max() < FLOAT


def targets(anchors, truth):
    return [out[0].asnumpy() for out in npx.multibox_target(
        single(anchors[None]), single(truth[None]), np.zeros((1, 3, len(anchors))))]


BOOK_TRUTH = onp.array([[0, .1, .08, .52, .92], [1, .55, .2, .9, .88]])
BOOK_ANCHORS = onp.array([[0, .1, .2, .3], [.15, .2, .4, .4], [.63, .05, .88, .98],
                          [.66, .45, .8, .8], [.57, .3, .92, .9]])


def test_targets_of_the_book():
    """All 20 values of the mask, two of which the transcription of the book lacks."""
    _, mask, classes = target(BOOK_ANCHORS, BOOK_TRUTH)
    assert classes.tolist() == [0, 1, 2, 0, 2]
    assert mask.reshape(5, 4).tolist() == [[k] * 4 for k in (0, 1, 1, 0, 1)]
    for ours, theirs in zip(target(BOOK_ANCHORS, BOOK_TRUTH), targets(BOOK_ANCHORS, BOOK_TRUTH)):
        assert onp.abs(ours - theirs).max() < 10 * FLOAT        # offsets of up to 10


@pytest.mark.parametrize('seed', range(8))
def test_targets(seed):
    random = onp.random.RandomState(seed)
    truth = onp.concatenate([random.randint(0, 2, (3, 1)), boxes(random, 3)], 1)
    anchors = onp.concatenate([boxes(random, 30), truth[:, 1:] + random.uniform(0, .05, (3, 4))])
    ours, theirs = target(anchors, truth), targets(anchors, truth)
    assert (ours[1] == theirs[1]).all() and (ours[2] == theirs[2]).all()
    assert 0 < ours[1].mean() < 1
    assert onp.abs(ours[0] - theirs[0]).max() < FLOAT * onp.abs(ours[0]).max() * 10


@pytest.mark.parametrize('seed', range(8))
def test_suppression(seed):
    random = onp.random.RandomState(seed)
    anchors = boxes(random, 6)
    anchors = onp.concatenate([anchors] + [anchors + random.uniform(-.03, .03, (6, 4))] * 2)
    anchors[12:] += random.uniform(-.03, .03, (6, 4))
    probabilities = random.dirichlet(onp.ones(3), len(anchors)).T
    offsets = random.uniform(-.5, .5, anchors.size)
    ours = detection(probabilities, offsets, anchors)
    theirs = npx.multibox_detection(*[single(a[None]) for a in (probabilities, offsets, anchors)],
                                    nms_threshold=.5)[0].asnumpy()
    kept, suppressed = theirs[theirs[:, 0] >= 0], ours[:, 0] < 0
    assert 0 < suppressed.sum() < len(anchors)
    assert onp.abs(ours[~suppressed] - kept).max() < 10 * FLOAT


def transposed(X, weight, stride, padding):
    """The transposed convolution of X (B, C, H, W) by weight (C, C', k, k): each channel is spread
    out, and convolved by SciPy."""
    spread = onp.zeros((*X.shape[:2], *((n - 1) * stride + 1 for n in X.shape[2:])))
    spread[:, :, ::stride, ::stride] = X
    Y = onp.stack([[sum(convolve2d(plane, kernel) for plane, kernel in zip(image, kernels))
                    for kernels in weight.swapaxes(0, 1)] for image in spread])
    return Y[:, :, padding:Y.shape[2] - padding, padding:Y.shape[3] - padding]


@pytest.mark.parametrize('kernel, stride, padding, channels', [
    (2, 1, 0, (1, 1)), (2, 1, 1, (1, 1)), (2, 2, 0, (1, 1)), (5, 3, 2, (4, 3)),
    (64, 32, 16, (2, 2)),
    (3, 2, 1, (3, 5))])
def test_transposed_convolution(kernel, stride, padding, channels):
    random = onp.random.RandomState(kernel)
    X, weight = random.uniform(-1, 1, (2, channels[0], 5, 6)), random.uniform(
        -1, 1, (*channels, kernel, kernel))
    layer = nn.Conv2DTranspose(channels[1], kernel, strides=stride, padding=padding,
                               in_channels=channels[0], use_bias=False)
    layer.initialize(init.Constant(single(weight)))
    ours, theirs = transposed(X, weight, stride, padding), layer(single(X)).asnumpy()
    assert ours.shape == theirs.shape and onp.abs(ours - theirs).max() < 10 * FLOAT


def test_transposed_convolution_from_scratch():
    row, = [network for network in networks.NETWORKS if network.name == 'trans_conv']
    X, K = onp.arange(12.).reshape(3, 4), onp.array([[1., -2], [3, .5], [0, 7]])
    assert (row.build()(single(X), single(K)).asnumpy() == convolve2d(X, K)).all()


@pytest.mark.parametrize('pictures, batch_size', [
    (cifar10.TRAIN_SIZE, 256), (hotdog.TRAIN_SIZE, 128),
    (voc2012.TRAIN_SIZE // len(voc2012.SIZES) * 3, 32)])        # those that 13.9 does not leave out
def test_train_ch13_has_the_batches_that_it_wants(pictures, batch_size):
    """It plots five times an epoch, and divides by a fifth of the number of batches."""
    assert pictures // batch_size >= 5


def test_an_unknown_network_of_gluoncv_is_answered_with_the_nearest():
    with pytest.raises(ValueError) as err:
        d2l.from_gluoncv('resnet18v1')
    assert 'resnet18_v1' in str(err.value) and '\n' not in str(err.value)
    with pytest.raises(ValueError, match='no network \'nope\''):
        d2l.from_gluoncv('nope')
