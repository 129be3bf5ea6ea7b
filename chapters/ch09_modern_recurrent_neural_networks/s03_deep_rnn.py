# %% [markdown] data=["time_machine"] gpu=true needs=["9.2"]
# # 9.3 Deep Recurrent Neural Networks
#
# Recurrent layers stacked: the hidden states of one are the inputs of the
# next.
#
# Stacking layers is the same for recurrent networks as for others, one
# argument of Gluon's. Look at whether the perplexity falls sooner than with a
# single layer, and at the time, which grows with each layer.

# %% [markdown]
# ## 9.3.1 Functional Dependencies
#
# No listings here: each layer sees the layer below at the same step and
# itself at the step before; the output sees the top layer only.

# %% [markdown]
# ## 9.3.2 Concise Implementation
#
# The text of 8.5 once more.

# %%
import d2l
from mxnet import npx
from mxnet.gluon import rnn
npx.set_np()

batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)

# %% [markdown]
# Two layers instead of one are one more argument.

# %%
vocab_size, num_hiddens, num_layers, ctx = len(vocab), 256, 2, d2l.try_gpu()
lstm_layer = rnn.LSTM(num_hiddens, num_layers)
model = d2l.RNNModel(lstm_layer, len(vocab))

# %% [markdown]
# ## 9.3.3 Training
#
# Twice the learning rate of before; the deeper network starts more slowly.

# %%
num_epochs, lr = 500, 2
d2l.train_ch8(model, train_iter, vocab, lr, num_epochs, ctx)
