# %% [markdown] data=["pikachu"] own=true needs=["13.6", "13.9"]
# # 13.15 Gluon-CV
#
# Not from the book. Gluon-CV, the authors' library for this chapter's subjects,
# where it is better than writing it oneself: networks, metrics, drawing.
#
# Look at the shapes that the networks return, at the difference between
# compiled and eager predictions, which is zero, and at the two metrics, of
# which one can check by hand what they should be.

# %% [markdown]
# ## 13.15.1 Networks
#
# `d2l.from_gluoncv` gives a network of its model zoo as a Block for the book's
# arrays. Their parameters are random here; `pretrained=True` fetches them.

# %%
# %matplotlib inline
import d2l
from mxnet import image, np, npx

npx.set_np()
d2l.vision.import_gluoncv()     # itself it refuses where PyTorch 2 is installed
from gluoncv.utils import metrics, viz

# %%
net = d2l.from_gluoncv('resnet18_v1', classes=10)
net.initialize()
X = np.random.uniform(size=(2, 3, 64, 64))
net(X).shape

# %% [markdown]
# It compiles as every Block does.

# %%
Y = net(X)
d2l.hybridize(net)
float(np.abs(net(X) - Y).max())

# %% [markdown]
# A detector: the class, the probability and the box of each object, in pixels.

# %%
detector = d2l.from_gluoncv('ssd_300_vgg16_atrous_voc', pretrained_base=False)
detector.initialize()
[Y.shape for Y in detector(np.random.uniform(size=(1, 3, 300, 300)))]

# %% [markdown]
# ## 13.15.2 Drawing
#
# `viz.plot_bbox` draws boxes with classes and probabilities.

# %%
img = image.imread('../img/catdog.jpg')
bboxes = np.array([[60, 45, 378, 516], [400, 112, 655, 493]])
d2l.set_figsize((3.5, 2.5))
viz.plot_bbox(img.asnumpy(), bboxes.asnumpy(), np.array([0.9, 0.8]).asnumpy(),
              np.array([0, 1]).asnumpy(), class_names=['dog', 'cat'],
              ax=d2l.plt.gca());

# %% [markdown]
# ## 13.15.3 Metrics
#
# Mean average precision, by the rules of VOC, which count in pixels. Predictions
# a tenth of the box's width off are right, those half of it off are not.

# %%
edge_size = 256
_, val_iter = d2l.load_data_pikachu(12, edge_size)
label = next(iter(val_iter)).label[0]
classes, truth = label[:, :, :1], label[:, :, 1:] * edge_size
for off in 0.1, 0.5:
    right = off * (truth[:, :, 2:3] - truth[:, :, :1])
    boxes = truth + right * np.array([1, 0, 1, 0])
    metric = metrics.VOCMApMetric(iou_thresh=0.5, class_names=['pikachu'])
    metric.update(boxes, classes, np.ones_like(classes), truth, classes)
    print(metric.get()[1][-1])

# %% [markdown]
# Pixel accuracy and mean intersection over union, for two classes of 4 x 4
# pixels of which the left half is one.

# %%
label = np.array([[[0, 0, 1, 1]] * 4])
scores = npx.one_hot(np.array([[[0, 1, 1, 1]] * 4]), 2).transpose(0, 3, 1, 2)
metric = metrics.SegmentationMetric(2)
metric.update(label, scores)
metric.get()
