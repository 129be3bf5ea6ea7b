"""Converters for operators on boxes in pictures, and on pictures (see operators.py)."""
import numpy as np

from .graph import Value
from .indexing import cut
from .operators import END, NoConverter, operator


def _corners(g, boxes):
    """Return boxes (center x, center y, width, height) as (left, top, right, bottom)."""
    half = g.node('Mul', cut(g, boxes, -1, 2, 4), g.constant(0.5, 'float32'))
    center = cut(g, boxes, -1, 0, 2)
    return g.node('Concat', g.node('Sub', center, half), g.node('Add', center, half), axis=-1)


def _centers(g, boxes):
    """Return boxes (left, top, right, bottom) as (center x, center y, width, height)."""
    low, high = cut(g, boxes, -1, 0, 2), cut(g, boxes, -1, 2, 4)
    center = g.node('Mul', g.node('Add', low, high), g.constant(0.5, 'float32'))
    return g.node('Concat', center, g.node('Sub', high, low), axis=-1)


@operator('_contrib_box_decode')
def box_decode(g, X, anchors, *, std0=1.0, std1=1.0, std2=1.0, std3=1.0, clip=-1.0,
               format='center'):
    anchors = _centers(g, anchors) if format == 'corner' else anchors
    center, size = cut(g, anchors, -1, 0, 2), cut(g, anchors, -1, 2, 4)
    X = g.node('Mul', X, g.constant([std0, std1, std2, std3], 'float32'))
    center = g.node('Add', g.node('Mul', cut(g, X, -1, 0, 2), size), center)
    scale = cut(g, X, -1, 2, 4)
    scale = g.node('Min', scale, g.constant(clip, 'float32')) if clip > 0 else scale
    size = g.node('Mul', g.node('Exp', scale), size)
    return _corners(g, g.node('Concat', center, size, axis=-1))


@operator('_contrib_box_iou')
def box_iou(g, a, b, *, format='corner'):
    n = len(b.shape) - 1                            # each box of a with each of b
    a, b = (_corners(g, x) if format == 'center' else x for x in (a, b))
    a = g.node('Unsqueeze', a, range(-1 - n, -1)) if n else a

    def area(low, high):
        sides = g.node('Max', g.node('Sub', high, low), g.constant(0, 'float32'))
        return g.node('ReduceProd', sides, axes=[-1], keepdims=0)
    (low, high), (low2, high2) = [(cut(g, x, -1, 0, 2), cut(g, x, -1, 2, 4)) for x in (a, b)]
    common = area(g.node('Max', low, low2), g.node('Min', high, high2))
    union = g.node('Sub', g.node('Add', area(low, high), area(low2, high2)), common)
    zero = g.constant(0, 'float32')
    empty = g.node('LessOrEqual', union, zero)
    union = g.node('Where', empty, g.constant(1, 'float32'), union)
    return g.node('Where', empty, zero, g.node('Div', common, union))


@operator('_contrib_box_nms')
def box_nms(g, X, *, overlap_thresh=0.5, valid_thresh=0.0, topk=-1, coord_start=2, score_index=1,
            id_index=-1, background_id=-1, force_suppress=False, in_format='corner',
            out_format='corner'):
    """Return the rows of X (..., N, K) by descending score, without those whose box overlaps one
    with a higher score. The rows that are then missing at the end are -1."""
    rows, width = X.shape[-2:]
    if in_format != out_format:                     # MXNet does not convert the first box
        raise NoConverter(f'_contrib_box_nms with in_format={in_format}, out_format={out_format}')
    if X.dtype != 'float32' or isinstance(rows, str) or isinstance(width, str):
        raise NoConverter('_contrib_box_nms of another dtype, or of a free length')
    zero, one, least = (g.constant(x, 'float32') for x in (0, 1, -np.inf))
    data = g.node('Reshape', X, [-1, rows, width])
    scores = g.node('Squeeze', cut(g, data, 2, score_index, score_index + 1), [2])
    valid = g.node('Greater', scores, g.constant(valid_thresh, 'float32'))
    if id_index >= 0 and background_id >= 0:
        ids = g.node('Squeeze', cut(g, data, 2, id_index, id_index + 1), [2])
        valid = g.node('And', valid, g.node('Not', g.node(
            'Equal', ids, g.constant(background_id, 'float32'))))
    top = min(topk, rows) if topk > 0 else rows
    best, order = g.node('TopK', g.node('Where', valid, scores, least), [top], axis=1, outputs=2)
    data = g.node('GatherND', data, g.node('Unsqueeze', order, [2]), batch_dims=1)
    # ranks in place of scores, so that boxes with equal scores keep their order; 0 for no box
    place = g.constant(np.arange(top, 0, -1)[None], 'float32')
    place = g.node('Where', g.node('Greater', best, least), place, zero)
    boxes = cut(g, data, 2, coord_start, coord_start + 4)
    if id_index >= 0 and not force_suppress:        # boxes of different classes may overlap
        ids = g.node('Squeeze', cut(g, data, 2, id_index, id_index + 1), [2])
        ids = g.node('Where', g.node('Greater', place, zero), ids, zero)
        ids = g.cast(g.node('Sub', ids, g.node('ReduceMin', ids, keepdims=1)), 'int64')
        classes = g.node('Range', 0, g.node('Add', g.node('ReduceMax', ids, keepdims=0), 1), 1)
        of_class = g.node('Equal', g.node('Unsqueeze', ids, [1]),
                          g.node('Unsqueeze', classes, [0, 2]))
        by_class = g.node('Where', of_class, g.node('Unsqueeze', place, [1]), zero)
    else:
        by_class = g.node('Unsqueeze', place, [1])
    kept = g.node('NonMaxSuppression', boxes, by_class, g.constant(top),
                  g.constant(overlap_thresh, 'float32'), zero,
                  center_point_box=int(in_format == 'center'))
    at = g.node('Gather', kept, [0, 2], axis=1)
    mask = g.node('ScatterND', g.node('Expand', zero, g.node('Shape', place)), at, g.node(
        'Expand', one, g.node('Shape', g.node('Squeeze', cut(g, at, 1, 0, 1), [1]))))
    mask, order = g.node('TopK', g.node('Mul', mask, place), [top], axis=1, outputs=2)
    data = g.node('GatherND', data, g.node('Unsqueeze', order, [2]), batch_dims=1)
    data = g.node('Where', g.node('Greater', g.node('Unsqueeze', mask, [2]), zero), data,
                  g.constant(-1, 'float32'))
    data = g.node('Pad', data, [0, 0, 0, 0, rows - top, 0], g.constant(-1, 'float32'))
    return g.node('Reshape', data, g.lengths(*((X, i) for i in range(len(X.shape)))))


@operator('_contrib_ROIAlign')
def roi_align(g, X, rois, *, pooled_size, spatial_scale, sample_ratio=-1, position_sensitive=False,
              aligned=False):
    if position_sensitive:
        raise NoConverter('_contrib_ROIAlign with position_sensitive')
    height, width = (pooled_size,) * 2 if isinstance(pooled_size, int) else pooled_size
    picture = g.node('Squeeze', cut(g, rois, 1, 0, 1), [1])
    there = g.node('GreaterOrEqual', picture, g.constant(0, rois.dtype))
    picture = g.node('Max', g.cast(picture, 'int64'), [0])      # a negative index: no region
    out = g.node('RoiAlign', X, cut(g, rois, 1, 1, 5), picture, output_height=height,
                 output_width=width, spatial_scale=spatial_scale,
                 sampling_ratio=max(sample_ratio, 0),
                 coordinate_transformation_mode='half_pixel' if aligned else 'output_half_pixel')
    return g.node('Where', g.node('Unsqueeze', there, [1, 2, 3]), out, g.constant(0, X.dtype))


@operator('ROIPooling')
def roi_pooling(g, X, rois, *, pooled_size, spatial_scale):
    size = [pooled_size] * 2 if isinstance(pooled_size, int) else pooled_size
    return g.node('MaxRoiPool', X, rois, pooled_shape=size, spatial_scale=spatial_scale)


@operator('_contrib_MultiBoxDetection')
def multibox_detection(g, scores, offsets, anchors, *, clip=True, threshold=0.01, background_id=0,
                       nms_threshold=0.5, force_suppress=False, variances=(0.1, 0.1, 0.2, 0.2),
                       nms_topk=-1):
    """Return the boxes of section 13.4 by descending score, as (class, score, box). The class is -1
    if a box overlaps one with a higher score, and all values are -1 if its score is too small."""
    n, classes = scores.shape[2], scores.shape[1] - 1
    if isinstance(n, str) or background_id or nms_topk > 0 or not 0 < nms_threshold <= 1:
        raise NoConverter('_contrib_MultiBoxDetection of a free length, with nms_topk, or another '
                          'background_id')
    zero, missing = g.constant(0, 'float32'), g.constant(-1, 'float32')
    of_classes = cut(g, scores, 1, 1, END)
    best = g.node('ReduceMax', of_classes, axes=[1], keepdims=0)
    ids = g.node('ArgMax', of_classes, axis=1, keepdims=0)
    centers = _centers(g, anchors)
    at, size = cut(g, centers, -1, 0, 2), cut(g, centers, -1, 2, 4)
    moved = g.node('Mul', g.node('Reshape', offsets, [0, n, 4]), g.constant(variances, 'float32'))
    at = g.node('Add', g.node('Mul', cut(g, moved, -1, 0, 2), size), at)
    size = g.node('Mul', g.node('Exp', cut(g, moved, -1, 2, 4)), size)
    boxes = _corners(g, g.node('Concat', at, size, axis=-1))
    boxes = g.node('Clip', boxes, zero, g.constant(1, 'float32')) if clip else boxes
    valid = g.node('GreaterOrEqual', best, g.constant(threshold, 'float32'))
    best, order = g.node('TopK', g.node('Where', valid, best, g.constant(-np.inf, 'float32')), [n],
                         axis=1, outputs=2)
    valid = g.node('Greater', best, g.constant(-np.inf, 'float32'))
    ids = g.node('GatherElements', ids, order, axis=1)
    boxes = g.node('GatherND', boxes, g.node('Unsqueeze', order, [2]), batch_dims=1)
    place = g.node('Where', valid, g.constant(np.arange(n, 0, -1)[None], 'float32'), zero)
    by_class = g.node('Unsqueeze', place, [1])
    if not force_suppress:                          # boxes of different classes may overlap
        of_class = g.node('Equal', g.node('Unsqueeze', ids, [1]),
                          g.constant(np.arange(classes)[None, :, None]))
        by_class = g.node('Where', of_class, by_class, zero)
    kept = g.node('NonMaxSuppression', boxes, by_class, g.constant(n),
                  g.constant(nms_threshold, 'float32'), zero)
    kept = g.node('Gather', kept, [0, 2], axis=1)
    mask = g.node('ScatterND', g.node('Expand', zero, g.node('Shape', place)), kept, g.node(
        'Expand', g.constant(1, 'float32'), g.node('Shape', g.node('Squeeze', cut(
            g, kept, 1, 0, 1), [1]))))
    ids = g.node('Where', g.node('Greater', mask, zero), g.cast(ids, 'float32'), missing)
    rows = g.node('Concat', g.node('Unsqueeze', ids, [2]), g.node('Unsqueeze', best, [2]), boxes,
                  axis=2)
    return g.node('Where', g.node('Unsqueeze', valid, [2]), rows, missing)


# ------------------------------------------------------------------ pictures, (..., H, W, 3)
@operator('_image_to_tensor')
def to_tensor(g, X):
    n = len(X.shape)
    out = g.node('Transpose', g.cast(X, 'float32'), perm=[*range(n - 3), n - 1, n - 3, n - 2])
    return g.node('Div', out, g.constant(255, 'float32'))


@operator('_image_normalize')
def normalize(g, X, *, mean=(0,), std=(1,)):
    """Normalize pictures (..., 3, H, W) per channel."""
    mean, std = (g.constant(np.resize(x, X.shape[-3])[:, None, None], X.dtype) for x in (
        np.atleast_1d(mean), np.atleast_1d(std)))
    return g.node('Div', g.node('Sub', X, mean), std)


@operator('_image_flip_left_right')
def flip_left_right(g, X):
    return cut(g, X, len(X.shape) - 2, -1, -END, -1)


@operator('_image_flip_top_bottom')
def flip_top_bottom(g, X):
    return cut(g, X, len(X.shape) - 3, -1, -END, -1)


@operator('_image_crop')
def crop(g, X, *, x, y, width, height):
    n = len(X.shape)
    return g.node('Slice', X, [y, x], [y + height, x + width], [n - 3, n - 2])


@operator('_image_resize')
def resize(g, X, *, size=(), keep_ratio=False, interp=1):
    if X.dtype != 'float32' or interp != 1:         # ONNX cannot round bytes as OpenCV does
        raise NoConverter('_image_resize of another dtype than float32, or with another interp')
    n = len(X.shape)
    height, width = g.out[0].shape[-3:-1]
    if isinstance(height, str) or isinstance(width, str):
        raise NoConverter('_image_resize of a free length')
    first, last = [*range(n - 3), n - 1, n - 3, n - 2], [*range(n - 3), n - 2, n - 1, n - 3]
    X = Value(g.node('Transpose', X, perm=first), [X.shape[i] for i in first], X.dtype)
    sizes = g.lengths(*((X, i) for i in range(n - 2)), height, width)
    return g.node('Transpose', g.node('Resize', X, None, None, sizes, mode='linear',
                                      coordinate_transformation_mode='half_pixel'), perm=last)
