# %% [markdown] needs=["13.7"]
# # 13.8 Region-based CNNs (R-CNNs)
#
# Networks that first propose regions, and then look into each of them.
#
# Two-stage detectors are slower and more exact. Look at the small example:
# the maximum of each region, whatever its size, comes out in one shape, which
# a dense layer can take.

# %% [markdown]
# ## 13.8.1 R-CNNs
#
# Girshick et al., 2014: a network looks at each proposed region by itself.
#
# ## 13.8.2 Fast R-CNN
#
# The features are computed once for the whole picture; regions are cut out of
# them. Here the feature map of a picture of 40 x 40 pixels:

# %%
from mxnet import np, npx

npx.set_np()

X = np.arange(16).reshape(1, 1, 4, 4)
X

# %% [markdown]
# Two regions, as (picture, left, top, right, bottom) in pixels.

# %%
rois = np.array([[0, 0, 0, 20, 20], [0, 0, 10, 30, 30]])

# %% [markdown]
# Pooling makes 2 x 2 numbers of each, whatever its shape.
#
# ## 13.8.3 Faster R-CNN
#
# A network that proposes regions takes the place of a search for them.
#
# ## 13.8.4 Mask R-CNN
#
# A further branch predicts for each region which pixels belong to the object.
# Gluon-CV has these networks, see `s15_gluoncv.py` in this folder.

# %%
npx.roi_pooling(X, rois, pooled_size=(2, 2), spatial_scale=0.1)
