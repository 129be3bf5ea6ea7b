# %% [markdown] data=["aclImdb", "glove"] gpu=true needs=["14.8", "14.7", "9.4"]
# # 14.9 Sentiment Analysis: Using Recurrent Neural Networks
#
# A bidirectional LSTM reads pre-trained word vectors, and its two ends
# decide.
#
# The whole text is known, so the network may read it from both ends. Look at
# the test accuracy beside one half, which is guessing, and at the verdicts on
# two short sentences.

# %%
import d2l
from mxnet import gluon, init, np, npx
from mxnet.gluon import nn, rnn
from mxnet.contrib import text
npx.set_np()

batch_size = 64
train_iter, test_iter, vocab = d2l.load_data_imdb(batch_size)

# %% [markdown]
# ## 14.9.1 Using a Recurrent Neural Network Model
#
# What the layer says about the first and the last word goes into one dense
# layer.

# %%
class BiRNN(nn.Block):
    def __init__(self, vocab_size, embed_size, num_hiddens,
                 num_layers, **kwargs):
        super(BiRNN, self).__init__(**kwargs)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        # Set Bidirectional to True to get a bidirectional recurrent neural
        # network
        self.encoder = rnn.LSTM(num_hiddens, num_layers=num_layers,
                                bidirectional=True, input_size=embed_size)
        self.decoder = nn.Dense(2)

    def forward(self, inputs):
        # The shape of inputs is (batch size, number of words). Because LSTM
        # needs to use sequence as the first dimension, the input is
        # transformed and the word feature is then extracted. The output shape
        # is (number of words, batch size, word vector dimension).
        embeddings = self.embedding(inputs.T)
        # Since the input (embeddings) is the only argument passed into
        # rnn.LSTM, it only returns the hidden states of the last hidden layer
        # at different timestep (outputs). The shape of outputs is
        # (number of words, batch size, 2 * number of hidden units).
        outputs = self.encoder(embeddings)
        # Concatenate the hidden states of the initial timestep and final
        # timestep to use as the input of the fully connected layer. Its
        # shape is (batch size, 4 * number of hidden units)
        encoding = np.concatenate((outputs[0], outputs[-1]), axis=1)
        outs = self.decoder(encoding)
        return outs

# %% [markdown]
# Two layers of 100 units in each direction.

# %%
embed_size, num_hiddens, num_layers, ctx = 100, 100, 2, d2l.try_all_gpus()
net = BiRNN(len(vocab), embed_size, num_hiddens, num_layers)
net.initialize(init.Xavier(), ctx=ctx)

# %% [markdown]
# ### Loading Pre-trained Word Vectors
#
# There are far fewer reviews here than text behind the vectors of 14.7.

# %%
glove_embedding = text.embedding.create(
    'glove', pretrained_file_name='glove.6B.100d.txt')

# %% [markdown]
# A vector for each word of the vocabulary ...

# %%
embeds = glove_embedding.get_vecs_by_tokens(vocab.idx_to_token)
embeds.shape

# %% [markdown]
# ... which training leaves as it is.

# %%
net.embedding.weight.set_data(embeds)
net.embedding.collect_params().setattr('grad_req', 'null')

# %% [markdown]
# ### Training and Evaluating the Model
#
# With the training function of 13.1.

# %%
lr, num_epochs = 0.01, 5
trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': lr})
loss = gluon.loss.SoftmaxCrossEntropyLoss()
d2l.train_ch13(net, train_iter, test_iter, loss, trainer, num_epochs, ctx)

# %% [markdown]
# A sentence of any length can be judged.

# %%
# Saved in the d2l package for later use
def predict_sentiment(net, vocab, sentence):
    sentence = np.array(vocab[sentence.split()], ctx=d2l.try_gpu())
    label = np.argmax(net(sentence.reshape(1, -1)), axis=1)
    return 'positive' if label == 1 else 'negative'

# %% [markdown]
# One word decides.

# %%
predict_sentiment(net, vocab, 'this movie is so great')

# %%
predict_sentiment(net, vocab, 'this movie is so bad')
