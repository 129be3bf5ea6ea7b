# %% [markdown] needs=["3.5"]
# # 13.3 Object Detection and Bounding Boxes
#
# Not only what is in a picture, but where.
#
# From here on a network says not only what is in a picture but where. Two
# corners describe a box, and the functions that draw it are used up to the
# end of the chapter. Look at both boxes in the figure: they should frame the
# dog and the cat.

# %%
# %matplotlib inline
import d2l
from mxnet import image, npx

npx.set_np()

# %% [markdown]
# A dog and a cat.

# %%
d2l.set_figsize((3.5, 2.5))
img = image.imread('../img/catdog.jpg').asnumpy()
d2l.plt.imshow(img);

# %% [markdown]
# ## 13.3.1 Bounding Box
#
# A box is given by its left, top, right and bottom, in pixels from the upper
# left corner of the picture.

# %%
# bbox is the abbreviation for bounding box
dog_bbox, cat_bbox = [60, 45, 378, 516], [400, 112, 655, 493]

# %% [markdown]
# Matplotlib wants a corner, a width and a height.

# %%
# Saved in the d2l package for later use
def bbox_to_rect(bbox, color):
    """Convert bounding box to matplotlib format."""
    # Convert the bounding box (top-left x, top-left y, bottom-right x,
    # bottom-right y) format to matplotlib format: ((upper-left x,
    # upper-left y), width, height)
    return d2l.plt.Rectangle(
        xy=(bbox[0], bbox[1]), width=bbox[2]-bbox[0], height=bbox[3]-bbox[1],
        fill=False, edgecolor=color, linewidth=2)

# %% [markdown]
# Both boxes in the picture.

# %%
fig = d2l.plt.imshow(img)
fig.axes.add_patch(bbox_to_rect(dog_bbox, 'blue'))
fig.axes.add_patch(bbox_to_rect(cat_bbox, 'red'));
