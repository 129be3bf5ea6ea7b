# %% [markdown] data=["time_machine"] gpu=true needs=["9.3"]
# # 9.4 Bidirectional Recurrent Neural Networks
#
# A second layer reads the text from its end, so that each output knows what
# comes before it and what comes after it.
#
# It is a warning: such a network sees what it should predict. Look at the
# perplexity, which falls to nearly 1, and then at the predicted text, which
# is useless. Where the whole text is known, as in chapter 14, it is right.

# %% [markdown]
# ## 9.4.1 Dynamic Programming
#
# No listings here: in a hidden Markov model, sums over all paths of states
# come apart into a forward and a backward recursion.

# %% [markdown]
# ## 9.4.2 Bidirectional Model
#
# ### Training a Bidirectional RNN for the Wrong Application
#
# A warning: trained as a language model it sees the very character that it is
# to predict. The perplexity is excellent, the text it writes is not.

# %%
import d2l
from mxnet import npx
from mxnet.gluon import rnn
npx.set_np()

# Load data
batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)
# Define the model
vocab_size, num_hiddens, num_layers, ctx = len(vocab), 256, 2, d2l.try_gpu()
lstm_layer = rnn.LSTM(num_hiddens, num_layers, bidirectional=True)
model = d2l.RNNModel(lstm_layer, len(vocab))
# Train the model
num_epochs, lr = 500, 1
d2l.train_ch8(model, train_iter, vocab, lr, num_epochs, ctx)
