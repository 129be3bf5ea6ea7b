# %% [markdown] needs=["13.3"]
# # 13.4 Anchor Boxes
#
# Detectors place many boxes over the picture, predict for each what it holds,
# and how it should be moved to fit.
#
# Detection begins with many guesses, of which few are kept. Look at the
# number of boxes, the labels that they get from two true ones, and at how
# many survive the suppression of overlapping ones.

# %%
# %matplotlib inline
import d2l
from mxnet import contrib, gluon, image, np, npx

np.set_printoptions(2)
npx.set_np()

# %% [markdown]
# ## 13.4.1 Generating Multiple Anchor Boxes
#
# Five boxes around each pixel: three sizes with the first ratio, and the
# first size with the other two ratios. Coordinates are shares of width and
# height.

# %%
img = image.imread('../img/catdog.jpg').asnumpy()
h, w = img.shape[0:2]

print(h, w)
X = np.random.uniform(size=(1, 3, h, w))  # Construct input data
Y = npx.multibox_prior(X, sizes=[0.75, 0.5, 0.25], ratios=[1, 2, 0.5])
Y.shape

# %% [markdown]
# The first box around the pixel in row 250 and column 250.

# %%
boxes = Y.reshape(h, w, 5, 4)
boxes[250, 250, 0, :]

# %% [markdown]
# A function that draws boxes, with labels.

# %%
# Saved in the d2l package for later use
def show_bboxes(axes, bboxes, labels=None, colors=None):
    """Show bounding boxes."""
    def _make_list(obj, default_values=None):
        if obj is None:
            obj = default_values
        elif not isinstance(obj, (list, tuple)):
            obj = [obj]
        return obj
    labels = _make_list(labels)
    colors = _make_list(colors, ['b', 'g', 'r', 'm', 'c'])
    for i, bbox in enumerate(bboxes):
        color = colors[i % len(colors)]
        rect = d2l.bbox_to_rect(bbox.asnumpy(), color)
        axes.add_patch(rect)
        if labels and len(labels) > i:
            text_color = 'k' if color == 'w' else 'w'
            axes.text(rect.xy[0], rect.xy[1], labels[i],
                      va='center', ha='center', fontsize=9, color=text_color,
                      bbox=dict(facecolor=color, lw=0))

# %% [markdown]
# The five boxes around that pixel.

# %%
d2l.set_figsize((3.5, 2.5))
bbox_scale = np.array((w, h, w, h))
fig = d2l.plt.imshow(img)
show_bboxes(fig.axes, boxes[250, 250, :, :] * bbox_scale,
            ['s=0.75, r=1', 's=0.5, r=1', 's=0.25, r=1', 's=0.75, r=2',
             's=0.75, r=0.5'])

# %% [markdown]
# ## 13.4.2 Intersection over Union
#
# Two boxes are alike as far as the area that they share is a large part of
# the area that they cover together.
#
# ## 13.4.3 Labeling Training Set Anchor Boxes
#
# Two objects (class, box) and five anchor boxes.

# %%
ground_truth = np.array([[0, 0.1, 0.08, 0.52, 0.92],
                         [1, 0.55, 0.2, 0.9, 0.88]])
anchors = np.array([[0, 0.1, 0.2, 0.3], [0.15, 0.2, 0.4, 0.4],
                    [0.63, 0.05, 0.88, 0.98], [0.66, 0.45, 0.8, 0.8],
                    [0.57, 0.3, 0.92, 0.9]])

fig = d2l.plt.imshow(img)
show_bboxes(fig.axes, ground_truth[:, 1:] * bbox_scale, ['dog', 'cat'], 'k')
show_bboxes(fig.axes, anchors * bbox_scale, ['0', '1', '2', '3', '4']);

# %% [markdown]
# Each anchor gets the class of the object that it covers best, if it does so
# well enough, and the offset to it.

# %%
labels = npx.multibox_target(np.expand_dims(anchors, axis=0),
                             np.expand_dims(ground_truth, axis=0),
                             np.zeros((1, 3, 5)))

# %% [markdown]
# Classes: 0 is background, then dog, then cat.

# %%
labels[2]

# %% [markdown]
# The mask: four numbers an anchor, zeros where there is no object to fit.

# %%
labels[1]

# %% [markdown]
# The offsets, scaled to have mean 0 and variance 1 or so.

# %%
labels[0]

# %% [markdown]
# ## 13.4.4 Bounding Boxes for Prediction
#
# Four predicted boxes, no offsets, and probabilities for background, dog,
# cat.

# %%
anchors = np.array([[0.1, 0.08, 0.52, 0.92], [0.08, 0.2, 0.56, 0.95],
                    [0.15, 0.3, 0.62, 0.91], [0.55, 0.2, 0.9, 0.88]])
offset_preds = np.array([0] * anchors.size)
cls_probs = np.array([[0] * 4,  # Predicted probability for background
                      [0.9, 0.8, 0.7, 0.1],  # Predicted probability for dog
                      [0.1, 0.2, 0.3, 0.9]])  # Predicted probability for cat

# %% [markdown]
# Three of them mean the same dog.

# %%
fig = d2l.plt.imshow(img)
show_bboxes(fig.axes, anchors * bbox_scale,
            ['dog=0.9', 'dog=0.8', 'dog=0.7', 'cat=0.9'])

# %% [markdown]
# Non-maximum suppression keeps the surest box of each object: a row is class
# (-1: removed), probability, and box.

# %%
output = npx.multibox_detection(
    np.expand_dims(cls_probs, axis=0),
    np.expand_dims(offset_preds, axis=0),
    np.expand_dims(anchors, axis=0),
    nms_threshold=0.5)
output

# %% [markdown]
# What is left.

# %%
fig = d2l.plt.imshow(img)
for i in output[0].asnumpy():
    if i[0] == -1:
        continue
    label = ('dog=', 'cat=')[int(i[0])] + str(i[1])
    show_bboxes(fig.axes, [np.array(i[2:]) * bbox_scale], label)
