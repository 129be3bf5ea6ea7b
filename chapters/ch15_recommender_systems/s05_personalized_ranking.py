# %% [markdown] needs=["15.3"]
# # 15.5 Personalized Ranking for Recommender Systems
#
# Where one knows only what users chose, not what they disliked, a loss
# compares pairs: the chosen item should score higher than the other.
#
# Clicks have no stars, so one can only say that what was chosen is better
# than what was not. The two losses below are all that the section builds.
# Look at what each of them compares: a pair of scores, and nothing else,
# which is how they can train the networks of the next two sections.

# %%
from mxnet import gluon, np, npx
npx.set_np()

# %% [markdown]
# ## 15.5.1 Bayesian Personalized Ranking Loss and its Implementation
#
# The logarithm of how surely the chosen one wins.

# %%
# Saved in the d2l package for later use
class BPRLoss(gluon.loss.Loss):
    def __init__(self, weight=None, batch_axis=0, **kwargs):
        super(BPRLoss, self).__init__(weight=None, batch_axis=0, **kwargs)

    def forward(self, positive, negative):
        distances = positive - negative
        loss = - np.sum(np.log(npx.sigmoid(distances)), 0, keepdims=True)
        return loss

# %% [markdown]
# ## 15.5.2 Hinge Loss and its Implementation
#
# The chosen one should win by a margin; beyond it nothing is gained.

# %%
# Saved in the d2l package for later use
class HingeLossbRec(gluon.loss.Loss):
    def __init__(self, weight=None, batch_axis=0, **kwargs):
        super(HingeLossbRec, self).__init__(weight=None, batch_axis=0,
                                            **kwargs)

    def forward(self, positive, negative, margin=1):
        distances = positive - negative
        loss = np.sum(np.maximum(- distances + margin, 0))
        return loss
