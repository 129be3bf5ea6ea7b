# %% [markdown] data=["cifar10"] gpu=true needs=["3.5", "7.6"]
# # 13.1 Image Augmentation
#
# Training images changed at random, in ways that leave their class alone, are
# new training images; a network that saw them relies less on single details.
#
# New pictures from old ones are the cheapest data there is. Look at the rows
# of cats, each changed at random, and at the distance between training and
# test accuracy.

# %% [markdown]
# ## 13.1.1 Common Image Augmentation Method
#
# One picture, 400 x 500 pixels, on which to try them.

# %%
# %matplotlib inline
import d2l
from mxnet import autograd, gluon, image, init, np, npx
from mxnet.gluon import nn

npx.set_np()

# %%
d2l.set_figsize((3.5, 2.5))
img = image.imread('../img/cat1.jpg')
d2l.plt.imshow(img.asnumpy());

# %% [markdown]
# `apply` shows what several calls of an augmentation make of it.

# %%
def apply(img, aug, num_rows=2, num_cols=4, scale=1.5):
    Y = [aug(img) for _ in range(num_rows * num_cols)]
    d2l.show_images(Y, num_rows, num_cols, scale=scale)

# %% [markdown]
# ### Flipping and Cropping
#
# Left and right are exchanged in half of the calls.

# %%
apply(img, gluon.data.vision.transforms.RandomFlipLeftRight())

# %% [markdown]
# Top and bottom make more difference, and fit fewer data sets.

# %%
apply(img, gluon.data.vision.transforms.RandomFlipTopBottom())

# %% [markdown]
# Objects may be anywhere, and of any size: a part of 10 % to 100 % of the
# area, with sides between 1:2 and 2:1, scaled to 200 x 200.

# %%
shape_aug = gluon.data.vision.transforms.RandomResizedCrop(
    (200, 200), scale=(0.1, 1), ratio=(0.5, 2))
apply(img, shape_aug)

# %% [markdown]
# ### Changing the Color
#
# Brightness from half to one and a half of what it was.

# %%
apply(img, gluon.data.vision.transforms.RandomBrightness(0.5))

# %% [markdown]
# Hue, in the same manner.

# %%
apply(img, gluon.data.vision.transforms.RandomHue(0.5))

# %% [markdown]
# All four qualities of a color at once.

# %%
color_aug = gluon.data.vision.transforms.RandomColorJitter(
    brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)
apply(img, color_aug)

# %% [markdown]
# ### Overlying Multiple Image Augmentation Methods
#
# `Compose` applies one after another.

# %%
augs = gluon.data.vision.transforms.Compose([
    gluon.data.vision.transforms.RandomFlipLeftRight(), color_aug, shape_aug])
apply(img, augs)

# %% [markdown]
# ## 13.1.2 Using an Image Augmentation Training Model
#
# CIFAR-10: 32 x 32 pixels, ten classes.

# %%
d2l.show_images(gluon.data.vision.CIFAR10(
    train=True)[0:32][0], 4, 8, scale=0.8);

# %% [markdown]
# Random flips for training, none where accuracy is measured; `ToTensor` makes
# of a batch of pictures an array (B, C, H, W) of numbers from 0 to 1.

# %%
train_augs = gluon.data.vision.transforms.Compose([
    gluon.data.vision.transforms.RandomFlipLeftRight(),
    gluon.data.vision.transforms.ToTensor()])

test_augs = gluon.data.vision.transforms.Compose([
    gluon.data.vision.transforms.ToTensor()])

# %% [markdown]
# The augmentation is applied as the data are read.

# %%
def load_cifar10(is_train, augs, batch_size):
    return gluon.data.DataLoader(
        gluon.data.vision.CIFAR10(train=is_train).transform_first(augs),
        batch_size=batch_size, shuffle=is_train,
        num_workers=d2l.get_dataloader_workers())

# %% [markdown]
# ### Using a Multi-GPU Training Model
#
# A step on several devices at once, as in 12.6.

# %%
# Saved in the d2l package for later use
def train_batch_ch13(net, features, labels, loss, trainer, ctx_list,
                     split_f=d2l.split_batch):
    Xs, ys = split_f(features, labels, ctx_list)
    with autograd.record():
        pys = [net(X) for X in Xs]
        ls = [loss(py, y) for py, y in zip(pys, ys)]
    for l in ls:
        l.backward()
    trainer.step(labels.shape[0])
    train_loss_sum = sum([float(l.sum()) for l in ls])
    train_acc_sum = sum(d2l.accuracy(py, y) for py, y in zip(pys, ys))
    return train_loss_sum, train_acc_sum

# %% [markdown]
# The training loop, with the curves of loss and accuracy.

# %%
# Saved in the d2l package for later use
def train_ch13(net, train_iter, test_iter, loss, trainer, num_epochs,
               ctx_list=d2l.try_all_gpus(), split_f=d2l.split_batch):
    num_batches, timer = len(train_iter), d2l.Timer()
    animator = d2l.Animator(xlabel='epoch', xlim=[0, num_epochs], ylim=[0, 1],
                            legend=['train loss', 'train acc', 'test acc'])
    for epoch in range(num_epochs):
        # Store training_loss, training_accuracy, num_examples, num_features
        metric = d2l.Accumulator(4)
        for i, (features, labels) in enumerate(train_iter):
            timer.start()
            l, acc = train_batch_ch13(
                net, features, labels, loss, trainer, ctx_list, split_f)
            metric.add(l, acc, labels.shape[0], labels.size)
            timer.stop()
            if (i+1) % (num_batches // 5) == 0:
                animator.add(epoch+i/num_batches,
                             (metric[0]/metric[2], metric[1]/metric[3], None))
        test_acc = d2l.evaluate_accuracy_gpus(net, test_iter, split_f)
        animator.add(epoch+1, (None, None, test_acc))
    print('loss %.3f, train acc %.3f, test acc %.3f' % (
        metric[0]/metric[2], metric[1]/metric[3], test_acc))
    print('%.1f examples/sec on %s' % (
        metric[2]*num_epochs/timer.sum(), ctx_list))

# %% [markdown]
# ResNet-18 of 12.6, trained with Adam for ten epochs.

# %%
batch_size, ctx, net = 256, d2l.try_all_gpus(), d2l.resnet18(10)
net.initialize(init=init.Xavier(), ctx=ctx)

def train_with_data_aug(train_augs, test_augs, net, lr=0.001):
    train_iter = load_cifar10(True, train_augs, batch_size)
    test_iter = load_cifar10(False, test_augs, batch_size)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr})
    train_ch13(net, train_iter, test_iter, loss, trainer, 10, ctx)

# %%
train_with_data_aug(train_augs, test_augs, net)
