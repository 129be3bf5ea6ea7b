# %% [markdown] data=["hotdog", "resnet18_v2"] gpu=true needs=["13.1"]
# # 13.2 Fine Tuning
#
# A network trained on a large data set is trained on with a small one: all
# layers but the last are taken over, the last one starts anew.
#
# Hardly anyone trains from nothing when a network trained on ImageNet is at
# hand. Look at the accuracy of both networks after the same epochs; on sample
# data the pretrained network has never seen a picture, and the comparison
# says nothing.

# %% [markdown]
# ## 13.2.1 Hot Dog Recognition
#
# What the example imports.

# %%
# %matplotlib inline
import d2l
from mxnet import gluon, init, np, npx
from mxnet.gluon import nn

npx.set_np()

# %% [markdown]
# ### Obtaining the Dataset
#
# Pictures of hot dogs, and of other food.

# %%
# Saved in the d2l package for later use
d2l.DATA_HUB['hotdog'] = (d2l.DATA_URL+'hotdog.zip',
                         'fba480ffa8aa7e0febbb511d181409f899b9baa5')

data_dir = d2l.download_extract('hotdog')

# %% [markdown]
# A folder a class.

# %%
train_imgs = gluon.data.vision.ImageFolderDataset(data_dir + 'train')
test_imgs = gluon.data.vision.ImageFolderDataset(data_dir + 'test')

# %% [markdown]
# Eight of each, of different sizes and shapes.

# %%
hotdogs = [train_imgs[i][0] for i in range(8)]
not_hotdogs = [train_imgs[-i - 1][0] for i in range(8)]
d2l.show_images(hotdogs + not_hotdogs, 2, 8, scale=1.4);

# %% [markdown]
# Crops of 224 x 224, normalized with the mean and the standard deviation of
# each channel over ImageNet, as the pretrained network knows them.

# %%
# We specify the mean and variance of the three RGB channels to normalize the
# image channel
normalize = gluon.data.vision.transforms.Normalize(
    [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

train_augs = gluon.data.vision.transforms.Compose([
    gluon.data.vision.transforms.RandomResizedCrop(224),
    gluon.data.vision.transforms.RandomFlipLeftRight(),
    gluon.data.vision.transforms.ToTensor(),
    normalize])

test_augs = gluon.data.vision.transforms.Compose([
    gluon.data.vision.transforms.Resize(256),
    gluon.data.vision.transforms.CenterCrop(224),
    gluon.data.vision.transforms.ToTensor(),
    normalize])

# %% [markdown]
# ### Defining and Initializing the Model
#
# In sample mode (`D2L_DATA=sample`) these parameters have never seen ImageNet:
# a network of an eighth of the channels was trained on drawn pictures, and put
# into one of the right shapes (`ci/pretrain.py`).

# %%
pretrained_net = gluon.model_zoo.vision.resnet18_v2(pretrained=True)

# %% [markdown]
# The features end in this layer, for ImageNet's 1000 classes.

# %%
pretrained_net.output

# %% [markdown]
# The new network takes over the features. Its own last layer learns ten times
# as fast as they do.

# %%
finetune_net = gluon.model_zoo.vision.resnet18_v2(classes=2)
finetune_net.features = pretrained_net.features
finetune_net.output.initialize(init.Xavier())
# The model parameters in output will be updated using a learning rate ten
# times greater
finetune_net.output.collect_params().setattr('lr_mult', 10)

# %% [markdown]
# ### Fine Tuning the Model
#
# A small learning rate keeps what the features are.

# %%
def train_fine_tuning(net, learning_rate, batch_size=128, num_epochs=5):
    train_iter = gluon.data.DataLoader(
        train_imgs.transform_first(train_augs), batch_size, shuffle=True)
    test_iter = gluon.data.DataLoader(
        test_imgs.transform_first(test_augs), batch_size)
    ctx = d2l.try_all_gpus()
    net.collect_params().reset_ctx(ctx)
    net.hybridize()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {
        'learning_rate': learning_rate, 'wd': 0.001})
    d2l.train_ch13(net, train_iter, test_iter, loss, trainer, num_epochs, ctx)

# %%
train_fine_tuning(finetune_net, 0.01)

# %% [markdown]
# For comparison the same network from random numbers, with a larger rate.

# %%
scratch_net = gluon.model_zoo.vision.resnet18_v2(classes=2)
scratch_net.initialize(init=init.Xavier())
train_fine_tuning(scratch_net, 0.1)

# %% [markdown]
# Features can also stay wholly as they are, see the exercises.

# %%
finetune_net.features.collect_params().setattr('grad_req', 'null')

# %% [markdown]
# ImageNet has a class "hotdog", number 713: these are its weights.

# %%
weight = pretrained_net.output.weight
hotdog_w = np.split(weight.data(), 1000, axis=0)[713]
hotdog_w.shape
