# %% [markdown] data=["ptb"] gpu=true needs=["14.3"]
# # 14.4 Implementation of Word2vec
#
# Two embedding layers and an inner product, trained to tell the neighbours of
# a word from words drawn by chance.
#
# It is the first network without any layer but a table. Look at the loss,
# which falls, and at the nearest words in the end; on sample data their
# neighbours are those of a made-up language.

# %%
import d2l
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
npx.set_np()

batch_size, max_window_size, num_noise_words = 512, 5, 5
data_iter, vocab = d2l.load_data_ptb(512, 5, 5)

# %% [markdown]
# ## 14.4.1 The Skip-Gram Model
#
# Everything it needs: a table of vectors, and many inner products at once.

# %% [markdown]
# ### Embedding Layer
#
# A matrix with a row a word; the layer picks rows by their numbers.

# %%
embed = nn.Embedding(input_dim=20, output_dim=4)
embed.initialize()
embed.weight

# %% [markdown]
# Numbers of shape (2, 3) give vectors of shape (2, 3, 4).

# %%
x = np.array([[1, 2, 3], [4, 5, 6]])
embed(x)

# %% [markdown]
# ### Minibatch Multiplication
#
# `batch_dot` multiplies the matrices of two minibatches pair by pair.

# %%
X = np.ones((2, 1, 4))
Y = np.ones((2, 4, 6))
npx.batch_dot(X, Y).shape

# %% [markdown]
# ### Skip-gram Model Forward Calculation
#
# The inner product of the centre's vector with that of each context and noise
# word.

# %%
def skip_gram(center, contexts_and_negatives, embed_v, embed_u):
    v = embed_v(center)
    u = embed_u(contexts_and_negatives)
    pred = npx.batch_dot(v, u.swapaxes(1, 2))
    return pred

# %% [markdown]
# One number for each context or noise word.

# %%
skip_gram(np.ones((2, 1)), np.ones((2, 4)), embed, embed).shape

# %% [markdown]
# ## 14.4.2 Training
#
# Only the loss is new.

# %% [markdown]
# ### Binary Cross Entropy Loss Function
#
# Context or noise: two classes, so logistic regression.

# %%
loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()

# %% [markdown]
# Masked entries count nothing ...

# %%
pred = np.array([[.5]*4]*2)
label = np.array([[1, 0, 1, 0]]*2)
mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
loss(pred, label, mask)

# %% [markdown]
# ... and dividing by the mask's share undoes the mean over them.

# %%
loss(pred, label, mask) / mask.sum(axis=1) * mask.shape[1]

# %% [markdown]
# ### Initializing Model Parameters
#
# One table for words as centres, one for words as context.

# %%
embed_size = 100
net = nn.Sequential()
net.add(nn.Embedding(input_dim=len(vocab), output_dim=embed_size),
        nn.Embedding(input_dim=len(vocab), output_dim=embed_size))

# %% [markdown]
# ### Training
#
# The loss is scaled as above; the rest is the usual loop.

# %%
def train(net, data_iter, lr, num_epochs, ctx=d2l.try_gpu()):
    net.initialize(ctx=ctx, force_reinit=True)
    trainer = gluon.Trainer(net.collect_params(), 'adam',
                            {'learning_rate': lr})
    animator = d2l.Animator(xlabel='epoch', ylabel='loss',
                            xlim=[0, num_epochs])
    for epoch in range(num_epochs):
        timer = d2l.Timer()
        metric = d2l.Accumulator(2)  # loss_sum, num_tokens
        for i, batch in enumerate(data_iter):
            center, context_negative, mask, label = [
                data.as_in_context(ctx) for data in batch]
            with autograd.record():
                pred = skip_gram(center, context_negative, net[0], net[1])
                l = (loss(pred.reshape(label.shape), label, mask)
                     / mask.sum(axis=1) * mask.shape[1])
            l.backward()
            trainer.step(batch_size)
            metric.add(l.sum(), l.size)
            if (i+1) % 50 == 0:
                animator.add(epoch+(i+1)/len(data_iter),
                             (metric[0]/metric[1],))
    print('loss %.3f, %d tokens/sec on %s ' % (
        metric[0]/metric[1], metric[1]/timer.stop(), ctx))

# %% [markdown]
# Five epochs.

# %%
lr, num_epochs = 0.01, 5
train(net, data_iter, lr, num_epochs)

# %% [markdown]
# ## 14.4.3 Applying the Word Embedding Model
#
# Words that keep the same company end up with similar vectors.

# %%
def get_similar_tokens(query_token, k, embed):
    W = embed.weight.data()
    x = W[vocab[query_token]]
    # Compute the cosine similarity. Add 1e-9 for numerical stability
    cos = np.dot(W, x) / np.sqrt(np.sum(W * W, axis=1) * np.sum(x * x) + 1e-9)
    topk = npx.topk(cos, k=k+1, ret_typ='indices').asnumpy().astype('int32')
    for i in topk[1:]:  # Remove the input words
        print('cosine sim=%.3f: %s' % (cos[i], (vocab.idx_to_token[i])))

get_similar_tokens('chip', 3, net[0])
