# %% [markdown] data=["voc2012", "resnet18_v2"] gpu=true needs=["13.9", "13.10", "13.2"]
# # 13.11 Fully Convolutional Networks (FCN)
#
# Long et al., 2015: the features of a classifier, a class for each of their
# points, and a transposed convolution back to the size of the picture.
#
# It joins the sections before: a pretrained network without its head, and one
# large transposed convolution. Look at the accuracy over pixels, and at the
# last figure: picture, prediction and truth.

# %%
# %matplotlib inline
import d2l
from mxnet import gluon, image, init, np, npx
from mxnet.gluon import nn

npx.set_np()

# %% [markdown]
# ## 13.11.1 Constructing a Model
#
# ResNet-18 of the model zoo; pooling and the dense layer have no use here. In
# sample mode its parameters are the stand-in of 13.2, not ImageNet's.

# %%
pretrained_net = gluon.model_zoo.vision.resnet18_v2(pretrained=True)
pretrained_net.features[-4:], pretrained_net.output

# %%
net = nn.HybridSequential()
for layer in pretrained_net.features[:-2]:
    net.add(layer)

# %% [markdown]
# Height and width by 32.

# %%
X = np.random.uniform(size=(1, 3, 320, 480))
net(X).shape

# %% [markdown]
# 21 classes, and 32 times larger again.

# %%
num_classes = 21
net.add(nn.Conv2D(num_classes, kernel_size=1),
        nn.Conv2DTranspose(
            num_classes, kernel_size=64, padding=16, strides=32))

# %% [markdown]
# ## 13.11.2 Initializing the Transposed Convolution Layer
#
# A kernel that interpolates, bilinear, between the points of its input.

# %%
def bilinear_kernel(in_channels, out_channels, kernel_size):
    factor = (kernel_size + 1) // 2
    if kernel_size % 2 == 1:
        center = factor - 1
    else:
        center = factor - 0.5
    og = (np.arange(kernel_size).reshape(-1, 1),
          np.arange(kernel_size).reshape(1, -1))
    filt = (1 - np.abs(og[0] - center) / factor) * \
           (1 - np.abs(og[1] - center) / factor)
    weight = np.zeros((in_channels, out_channels, kernel_size, kernel_size))
    weight[range(in_channels), range(out_channels), :, :] = filt
    return np.array(weight)

# %% [markdown]
# Tried on a picture, twice as large:

# %%
conv_trans = nn.Conv2DTranspose(3, kernel_size=4, padding=1, strides=2)
conv_trans.initialize(init.Constant(bilinear_kernel(3, 3, 4)))

# %%
img = image.imread('../img/catdog.jpg')
X = np.expand_dims(img.astype('float32').transpose(2, 0, 1), axis=0) / 255
Y = conv_trans(X)
out_img = Y[0].transpose(1, 2, 0)

# %%
d2l.set_figsize((3.5, 2.5))
print('input image shape:', img.shape)
d2l.plt.imshow(img.asnumpy());
print('output image shape:', out_img.shape)
d2l.plt.imshow(out_img.asnumpy());

# %% [markdown]
# The network's last layer begins as such an interpolation.

# %%
W = bilinear_kernel(num_classes, num_classes, 64)
net[-1].initialize(init.Constant(W))
net[-2].initialize(init=init.Xavier())

# %% [markdown]
# ## 13.11.3 Reading the Dataset
#
# Crops of 320 by 480 pixels, which a stride of 32 divides.

# %%
batch_size, crop_size = 32, (320, 480)
train_iter, test_iter = d2l.load_data_voc(batch_size, crop_size)

# %% [markdown]
# ## 13.11.4 Training
#
# The loss is that of a class for each pixel: classes are on axis 1.

# %%
num_epochs, lr, wd, ctx = 5, 0.1, 1e-3, d2l.try_all_gpus()
loss = gluon.loss.SoftmaxCrossEntropyLoss(axis=1)
net.collect_params().reset_ctx(ctx)
trainer = gluon.Trainer(net.collect_params(), 'sgd',
                        {'learning_rate': lr, 'wd': wd})
d2l.train_ch13(net, train_iter, test_iter, loss, trainer, num_epochs, ctx)

# %% [markdown]
# ## 13.11.5 Prediction
#
# The class of a pixel is the channel with the highest score; a colour shows
# it.

# %%
def predict(img):
    X = test_iter._dataset.normalize_image(img)
    X = np.expand_dims(X.transpose(2, 0, 1), axis=0)
    pred = net(X.as_in_context(ctx[0])).argmax(axis=1)
    return pred.reshape(pred.shape[1], pred.shape[2])

# %% [markdown]
# From classes to the colors of the labels.

# %%
def label2image(pred):
    colormap = np.array(d2l.VOC_COLORMAP, ctx=ctx[0], dtype='uint8')
    X = pred.astype('int32')
    return colormap[X, :]

# %% [markdown]
# Pictures, predictions, and labels.

# %%
voc_dir = d2l.download_extract('voc2012', 'VOCdevkit/VOC2012')
test_images, test_labels = d2l.read_voc_images(voc_dir, False)
n, imgs = 4, []
for i in range(n):
    crop_rect = (0, 0, 480, 320)
    X = image.fixed_crop(test_images[i], *crop_rect)
    pred = label2image(predict(X))
    imgs += [X, pred, image.fixed_crop(test_labels[i], *crop_rect)]
d2l.show_images(imgs[::3] + imgs[1::3] + imgs[2::3], 3, n, scale=2);
