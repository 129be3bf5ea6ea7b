# %% [markdown] data=["time_machine"] gpu=true needs=["8.5"]
# # 8.6 Concise Implementation of Recurrent Neural Networks
#
# The language model of 8.5 again, with the recurrent layer that Gluon has.
#
# Gluon's layer does the loop over the steps within one operator. Look at the
# shapes of output and state, and at the same fall of the perplexity, in less
# time for each epoch.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import nn, rnn
npx.set_np()

batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)

# %% [markdown]
# ## 8.6.1 Defining the Model
#
# The layer holds the hidden state only, no output.

# %%
num_hiddens = 256
rnn_layer = rnn.RNN(num_hiddens)
rnn_layer.initialize()

# %% [markdown]
# Its state is a list of arrays of shape (layers, batch size, hidden units).

# %%
batch_size = 1
state = rnn_layer.begin_state(batch_size=batch_size)
len(state), state[0].shape

# %% [markdown]
# It takes and returns all steps at once, the steps along the first axis.

# %%
num_steps = 1
X = np.random.uniform(size=(num_steps, batch_size, len(vocab)))
Y, state_new = rnn_layer(X, state)
Y.shape, len(state_new), state_new[0].shape

# %% [markdown]
# One-hot encoding before it and a dense layer after it make the model.

# %%
# Saved in the d2l package for later use
class RNNModel(nn.Block):
    def __init__(self, rnn_layer, vocab_size, **kwargs):
        super(RNNModel, self).__init__(**kwargs)
        self.rnn = rnn_layer
        self.vocab_size = vocab_size
        self.dense = nn.Dense(vocab_size)

    def forward(self, inputs, state):
        X = npx.one_hot(inputs.T, self.vocab_size)
        Y, state = self.rnn(X, state)
        # The fully connected layer will first change the shape of Y to
        # (num_steps * batch_size, num_hiddens). Its output shape is
        # (num_steps * batch_size, vocab_size).
        output = self.dense(Y.reshape(-1, Y.shape[-1]))
        return output, state

    def begin_state(self, *args, **kwargs):
        return self.rnn.begin_state(*args, **kwargs)

# %% [markdown]
# ## 8.6.2 Training and Predicting
#
# Before training: noise.

# %%
ctx = d2l.try_gpu()
model = RNNModel(rnn_layer, len(vocab))
model.initialize(force_reinit=True, ctx=ctx)
d2l.predict_ch8('time traveller', 10, model, vocab, ctx)

# %% [markdown]
# The hyperparameters are those of 8.5; half the hidden units and compiled
# operators make it faster.

# %%
num_epochs, lr = 500, 1
d2l.train_ch8(model, train_iter, vocab, lr, num_epochs, ctx)
