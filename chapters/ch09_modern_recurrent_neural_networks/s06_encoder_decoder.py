# %% [markdown] needs=["5.1"]
# # 9.6 Encoder-Decoder Architecture
#
# Three base classes for networks that turn one sequence into another.
#
# Nothing runs here, and nothing is printed: three classes fix the names and
# arguments that translation, attention and the Transformer share. Look at
# which of the methods is left open in each, for those are the ones that the
# next sections write; `init_state` is the door between the two halves.

# %% [markdown]
# ## 9.6.1 Encoder
#
# Takes the source.

# %%
from mxnet.gluon import nn

# Saved in the d2l package for later use
class Encoder(nn.Block):
    """The base encoder interface for the encoder-decoder architecture."""
    def __init__(self, **kwargs):
        super(Encoder, self).__init__(**kwargs)

    def forward(self, X):
        raise NotImplementedError

# %% [markdown]
# ## 9.6.2 Decoder
#
# Makes its first state from what the encoder returned, then takes target
# tokens and a state, and returns scores and a state.

# %%
# Saved in the d2l package for later use
class Decoder(nn.Block):
    """The base decoder interface for the encoder-decoder architecture."""
    def __init__(self, **kwargs):
        super(Decoder, self).__init__(**kwargs)

    def init_state(self, enc_outputs, *args):
        raise NotImplementedError

    def forward(self, X, state):
        raise NotImplementedError

# %% [markdown]
# ## 9.6.3 Model
#
# Both together, as used in training, where the target is known.

# %%
# Saved in the d2l package for later use
class EncoderDecoder(nn.Block):
    """The base class for the encoder-decoder architecture."""
    def __init__(self, encoder, decoder, **kwargs):
        super(EncoderDecoder, self).__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, enc_X, dec_X, *args):
        enc_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_outputs, *args)
        return self.decoder(dec_X, dec_state)
