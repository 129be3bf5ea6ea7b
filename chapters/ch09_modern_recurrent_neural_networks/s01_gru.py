# %% [markdown] data=["time_machine"] gpu=true needs=["8.5", "8.6"]
# # 9.1 Gated Recurrent Units (GRU)
#
# Gates let a recurrent network decide, unit by unit, what to keep and what to
# forget. First from scratch, then with Gluon's layer.
#
# Gates are how a network keeps something over many steps. Look at the
# equations, line for line in the code, and at the perplexity in the end,
# beside that of the plain network.

# %% [markdown]
# ## 9.1.1 Gating the Hidden State
#
# No listings here: the reset gate says how much of the old state goes into
# the candidate for the new one, the update gate how the two are mixed.

# %% [markdown]
# ## 9.1.2 Implementation from Scratch
#
# ### Reading the Dataset
#
# The same text in the same minibatches as in 8.5.

# %%
import d2l
from mxnet import np, npx
from mxnet.gluon import rnn
npx.set_np()

batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)

# %% [markdown]
# ### Initializing Model Parameters
#
# Three times the hidden layer of 8.5: update gate, reset gate, candidate.

# %%
def get_params(vocab_size, num_hiddens, ctx):
    num_inputs = num_outputs = vocab_size

    def normal(shape):
        return np.random.normal(scale=0.01, size=shape, ctx=ctx)

    def three():
        return (normal((num_inputs, num_hiddens)),
                normal((num_hiddens, num_hiddens)),
                np.zeros(num_hiddens, ctx=ctx))

    W_xz, W_hz, b_z = three()  # Update gate parameter
    W_xr, W_hr, b_r = three()  # Reset gate parameter
    W_xh, W_hh, b_h = three()  # Candidate hidden state parameter
    # Output layer parameters
    W_hq = normal((num_hiddens, num_outputs))
    b_q = np.zeros(num_outputs, ctx=ctx)
    # Attach gradients
    params = [W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q]
    for param in params:
        param.attach_grad()
    return params

# %% [markdown]
# ### Defining the Model
#
# The state is one array, zero at the start.

# %%
def init_gru_state(batch_size, num_hiddens, ctx):
    return (np.zeros(shape=(batch_size, num_hiddens), ctx=ctx), )

# %% [markdown]
# Where `Z` is 1 the old state stays as it is.

# %%
def gru(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    H, = state
    outputs = []
    for X in inputs:
        Z = npx.sigmoid(np.dot(X, W_xz) + np.dot(H, W_hz) + b_z)
        R = npx.sigmoid(np.dot(X, W_xr) + np.dot(H, W_hr) + b_r)
        H_tilda = np.tanh(np.dot(X, W_xh) + np.dot(R * H, W_hh) + b_h)
        H = Z * H + (1 - Z) * H_tilda
        Y = np.dot(H, W_hq) + b_q
        outputs.append(Y)
    return np.concatenate(outputs, axis=0), (H,)

# %% [markdown]
# ### Training and Prediction
#
# The class and the training function of 8.5 take the new functions as they
# are.

# %%
vocab_size, num_hiddens, ctx = len(vocab), 256, d2l.try_gpu()
num_epochs, lr = 500, 1
model = d2l.RNNModelScratch(len(vocab), num_hiddens, ctx, get_params,
                            init_gru_state, gru)
d2l.train_ch8(model, train_iter, vocab, lr, num_epochs, ctx)

# %% [markdown]
# ## 9.1.3 Concise Implementation
#
# Gluon's layer does the same in compiled operators.

# %%
gru_layer = rnn.GRU(num_hiddens)
model = d2l.RNNModel(gru_layer, len(vocab))
d2l.train_ch8(model, train_iter, vocab, lr, num_epochs, ctx)
