# %% [markdown] needs=["13.4"]
# # 13.5 Multiscale Object Detection
#
# Anchor boxes around every pixel would be millions. Feature maps of different
# sizes give few large boxes, and more of the small ones.
#
# Small things need many small boxes, large things few large ones, and this is
# how to get both without boxes at each pixel. Look at the three figures:
# fewer and larger boxes, spread evenly, whatever the size of the picture.

# %%
# %matplotlib inline
import d2l
from mxnet import contrib, image, np, npx

npx.set_np()

img = image.imread('../img/catdog.jpg')
h, w = img.shape[0:2]
h, w

# %% [markdown]
# Boxes around each point of a feature map, drawn over the picture.

# %%
def display_anchors(fmap_w, fmap_h, s):
    d2l.set_figsize((3.5, 2.5))
    # The values from the first two dimensions will not affect the output
    fmap = np.zeros((1, 10, fmap_w, fmap_h))
    anchors = npx.multibox_prior(fmap, sizes=s, ratios=[1, 2, 0.5])
    bbox_scale = np.array((w, h, w, h))
    d2l.show_bboxes(d2l.plt.imshow(img.asnumpy()).axes,
                    anchors[0] * bbox_scale)

# %% [markdown]
# Small boxes, on a map of 4 x 4.

# %%
display_anchors(fmap_w=4, fmap_h=4, s=[0.15])

# %% [markdown]
# Larger ones, on a map of 2 x 2.

# %%
display_anchors(fmap_w=2, fmap_h=2, s=[0.4])

# %% [markdown]
# One point: boxes for what fills the picture.

# %%
display_anchors(fmap_w=1, fmap_h=1, s=[0.8])
