"""The networks of ci.bench's first twelve rows in PyTorch, with the same layers and widths.

The layers of a network are in the order of the book's, so that the parameters of the Gluon net can
be copied one after the other. ci.bench runs this module in a process of its own without MXNet, and
gets the times over a pipe.
"""
import math
import os
import sys
import time
import traceback
from multiprocessing.connection import Connection

import numpy as onp
import torch
from torch import nn
from torch.nn import functional as F

TOLERANCE = 1e-4            # largest error between the outputs of both frameworks; measured: 5e-6


class Disagreement(Exception):
    """An error: a network computes other values than the Gluon net with the same parameters."""


# 4.3, 6.6

def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10))


# 7.6

class Residual(nn.Module):
    """Two convolutions and a shortcut, which has a convolution where `strides` is 2."""

    def __init__(self, in_channels, channels, strides=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, strides, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(in_channels, channels, 1, strides) if strides == 2 else nn.Identity()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, X):
        Y = F.relu(self.bn1(self.conv1(X)), inplace=True)
        Y = self.bn2(self.conv2(Y))
        Y += self.conv3(X)
        return F.relu(Y, inplace=True)


def resnet18():
    blocks = [nn.Sequential(Residual(i, c, 1 if i == c else 2), Residual(c, c))
              for i, c in ((64, 64), (64, 128), (128, 256), (256, 512))]
    return nn.Sequential(
        nn.Conv2d(1, 64, 7, 2, padding=3), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


# 9.2

class LanguageModel(nn.Module):
    """nn.LSTM over characters, and a linear layer; the state is a list of two tensors."""

    def __init__(self, vocab_size, num_hiddens):
        super().__init__()
        self.vocab_size = vocab_size
        self.rnn = nn.LSTM(vocab_size, num_hiddens)
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(self, X, state):
        Y, state = self.rnn(F.one_hot(X.T, self.vocab_size).float(), state)
        return self.linear(Y.flatten(0, 1)), state


class LanguageModelScratch(nn.Module):
    """LSTM from scratch: a loop over the steps with three gates and the candidate memory, and the
    output layer."""

    def __init__(self, vocab_size, num_hiddens):
        super().__init__()
        gate = (vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,)
        self.vocab_size = vocab_size
        self.weights = nn.ParameterList(
            torch.empty(shape) for shape in (*gate * 4, (num_hiddens, vocab_size), (vocab_size,)))

    def forward(self, X, state):
        (W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c,
         W_hq, b_q) = self.weights
        H, C = state
        outputs = []
        for X_t in F.one_hot(X.T, self.vocab_size).float():
            I = torch.sigmoid(X_t @ W_xi + H @ W_hi + b_i)
            forget = torch.sigmoid(X_t @ W_xf + H @ W_hf + b_f)
            O = torch.sigmoid(X_t @ W_xo + H @ W_ho + b_o)
            C = forget * C + I * torch.tanh(X_t @ W_xc + H @ W_hc + b_c)
            H = O * torch.tanh(C)
            outputs.append(H @ W_hq + b_q)
        return torch.cat(outputs), (H, C)


# 9.7

class EncoderDecoder(nn.Module):
    """An encoder and a decoder. It returns the scores of the target's words, and the decoder's
    state."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, X, Y, lengths):
        return self.decoder(Y, self.encoder(X, lengths))


class Seq2SeqEncoder(nn.Module):
    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.LSTM(embed_size, num_hiddens, num_layers)

    def forward(self, X, lengths):
        return self.rnn(self.embedding(X.T))[1]


class Seq2SeqDecoder(nn.Module):
    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.LSTM(embed_size, num_hiddens, num_layers)
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(self, X, state):
        Y, state = self.rnn(self.embedding(X.T), state)
        return self.linear(Y).swapaxes(0, 1), state


# 10.3

class MultiHeadAttention(nn.Module):
    """Multi-head attention by scaled dot products. hidden: True for keys without attention; it
    broadcasts to (batch, heads, query, key)."""

    def __init__(self, num_hiddens, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (
            nn.Linear(num_hiddens, num_hiddens, bias=False) for _ in range(4))

    def heads(self, X):
        """Reshape (batch, steps, hiddens) to (batch, heads, steps, hiddens of one head)."""
        return X.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, query, key, hidden):
        q, k, v = self.heads(self.q(query)), self.heads(self.k(key)), self.heads(self.v(key))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if hidden is not None:
            scores = scores.masked_fill(hidden, -1e6)
        Y = scores.softmax(-1) @ v
        return self.o(Y.transpose(1, 2).flatten(2))


class AddNorm(nn.Module):
    def __init__(self, num_hiddens, dropout):
        super().__init__()
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(num_hiddens)

    def forward(self, X, Y):
        return self.norm(self.dropout(Y) + X)


class PositionalEncoding(nn.Module):
    """The embedding of tokens, scaled, plus sines and cosines."""

    def __init__(self, vocab_size, num_hiddens, dropout, max_len=1000):
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(vocab_size, num_hiddens), nn.Dropout(dropout)
        self.scale = math.sqrt(num_hiddens)
        angles = torch.arange(max_len)[:, None] / 10000 ** (
            torch.arange(0, num_hiddens, 2) / num_hiddens)
        P = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        self.register_buffer('P', P, persistent=False)

    def forward(self, X):
        return self.dropout(self.embedding(X) * self.scale + self.P[:X.shape[1]])


def feed_forward(num_hiddens, wide):
    return nn.Sequential(nn.Linear(num_hiddens, wide), nn.ReLU(), nn.Linear(wide, num_hiddens))


class EncoderBlock(nn.Module):
    def __init__(self, num_hiddens, wide, num_heads, dropout):
        super().__init__()
        self.attention = MultiHeadAttention(num_hiddens, num_heads)
        self.addnorm1 = AddNorm(num_hiddens, dropout)
        self.ffn = feed_forward(num_hiddens, wide)
        self.addnorm2 = AddNorm(num_hiddens, dropout)

    def forward(self, X, hidden):
        Y = self.addnorm1(X, self.attention(X, X, hidden))
        return self.addnorm2(Y, self.ffn(Y))


class DecoderBlock(nn.Module):
    def __init__(self, num_hiddens, wide, num_heads, dropout):
        super().__init__()
        self.attention1 = MultiHeadAttention(num_hiddens, num_heads)
        self.addnorm1 = AddNorm(num_hiddens, dropout)
        self.attention2 = MultiHeadAttention(num_hiddens, num_heads)
        self.addnorm2 = AddNorm(num_hiddens, dropout)
        self.ffn = feed_forward(num_hiddens, wide)
        self.addnorm3 = AddNorm(num_hiddens, dropout)

    def forward(self, X, encoded, hidden, future):
        Y = self.addnorm1(X, self.attention1(X, X, future))
        Z = self.addnorm2(Y, self.attention2(Y, encoded, hidden))
        return self.addnorm3(Z, self.ffn(Z))


class TransformerEncoder(nn.Module):
    """The encoder. It returns the encoding of the source, and the mask of its padding."""

    def __init__(self, vocab_size, num_hiddens, wide, num_heads, num_layers, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.embedding = PositionalEncoding(vocab_size, num_hiddens, dropout)
        self.blocks = nn.ModuleList(EncoderBlock(num_hiddens, wide, num_heads, dropout)
                                    for _ in range(num_layers))

    def forward(self, X, lengths):
        # the book repeats the lengths of the batch, although the heads of an example are adjacent
        lengths = lengths.repeat(self.num_heads).view(-1, self.num_heads, 1, 1)
        hidden = torch.arange(X.shape[1]) >= lengths
        X = self.embedding(X)
        for block in self.blocks:
            X = block(X, hidden)
        return X, hidden


class TransformerDecoder(nn.Module):
    """The decoder. As in the book, no step sees later ones in training."""

    def __init__(self, vocab_size, num_hiddens, wide, num_heads, num_layers, dropout):
        super().__init__()
        self.embedding = PositionalEncoding(vocab_size, num_hiddens, dropout)
        self.blocks = nn.ModuleList(DecoderBlock(num_hiddens, wide, num_heads, dropout)
                                    for _ in range(num_layers))
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(self, X, state):
        steps = X.shape[1]
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1) if self.training else None
        X = self.embedding(X)
        for block in self.blocks:
            X = block(X, *state, future)
        return self.linear(X)


# 13.7

SIZES = (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961)
RATIOS = 1, 2, 0.5


def down_sample(in_channels, channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1),
        nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.MaxPool2d(2))


def anchor_boxes(height, width, sizes, ratios):
    """Return the corners of the anchor boxes around each point of a feature map, (height * width *
    boxes, 4)."""
    shapes = [(s, 1) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]
    half_w = torch.tensor([s * height / width * math.sqrt(r) / 2 for s, r in shapes])
    half_h = torch.tensor([s / math.sqrt(r) / 2 for s, r in shapes])
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height,
                          (torch.arange(width) + 0.5) / width, indexing='ij')
    half = torch.stack([half_w, half_h], -1)
    center = torch.stack([x, y], -1)[:, :, None]
    return torch.cat([center - half, center + half], -1).reshape(-1, 4)


class TinySSD(nn.Module):
    """TinySSD. It returns the anchor boxes of five feature maps, the scores of their classes, and
    their offsets."""

    def __init__(self, num_classes=1):
        super().__init__()
        self.num_classes = num_classes
        boxes = len(SIZES[0]) + len(RATIOS) - 1
        blocks = [nn.Sequential(down_sample(3, 16), down_sample(16, 32), down_sample(32, 64)),
                  down_sample(64, 128), down_sample(128, 128), down_sample(128, 128),
                  nn.AdaptiveMaxPool2d(1)]
        self.maps = nn.ModuleList(
            nn.ModuleList([block, nn.Conv2d(channels, boxes * (num_classes + 1), 3, padding=1),
                           nn.Conv2d(channels, boxes * 4, 3, padding=1)])
            for block, channels in zip(blocks, (64, 128, 128, 128, 128)))

    def forward(self, X):
        anchors, classes, offsets = [], [], []
        for sizes, (block, class_head, offset_head) in zip(SIZES, self.maps):
            X = block(X)
            anchors.append(anchor_boxes(*X.shape[2:], sizes, RATIOS))
            classes.append(class_head(X).permute(0, 2, 3, 1).flatten(1))
            offsets.append(offset_head(X).permute(0, 2, 3, 1).flatten(1))
        return (torch.cat(anchors)[None],
                torch.cat(classes, 1).unflatten(1, (-1, self.num_classes + 1)),
                torch.cat(offsets, 1))


# 14.4, 14.10

class SkipGram(nn.Module):
    def __init__(self, vocab_size, embed_size):
        super().__init__()
        self.center = nn.Embedding(vocab_size, embed_size)
        self.context = nn.Embedding(vocab_size, embed_size)

    def forward(self, center, contexts):
        return torch.bmm(self.center(center), self.context(contexts).transpose(1, 2))


class TextCNN(nn.Module):
    """Convolutions of several widths over two embeddings, one of which is not trained."""

    def __init__(self, vocab_size, embed_size, kernel_sizes, num_channels):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.constant = nn.Embedding(vocab_size, embed_size).requires_grad_(False)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(num_channels * len(kernel_sizes), 2)
        self.convs = nn.ModuleList(
            nn.Conv1d(2 * embed_size, num_channels, size) for size in kernel_sizes)

    def forward(self, X):
        X = torch.cat([self.embedding(X), self.constant(X)], 2).transpose(1, 2)
        encoding = torch.cat([F.relu(conv(X)).amax(-1) for conv in self.convs], 1)
        return self.linear(self.dropout(encoding))


# 15.10

class DeepFM(nn.Module):
    def __init__(self, num_features, num_factors, num_fields, widths, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(num_features, num_factors)
        self.fc = nn.Embedding(num_features, 1)
        self.linear = nn.Linear(1, 1)
        layers, wide = [nn.Flatten()], num_fields * num_factors
        for width in widths:
            layers += [nn.Linear(wide, width), nn.ReLU(), nn.Dropout(dropout)]
            wide = width
        self.mlp = nn.Sequential(*layers, nn.Linear(wide, 1))

    def forward(self, X):
        E = self.embedding(X)
        pairs = E.sum(1).square() - E.square().sum(1)
        return torch.sigmoid(self.linear(self.fc(X).sum(1)) + 0.5 * pairs.sum(1, keepdim=True)
                             + self.mlp(E))


# 16.2

def generator():
    layers, channels = [], 100
    for i, width in enumerate((512, 256, 128, 64)):
        stride, padding = (2, 1) if i else (1, 0)
        layers += [nn.ConvTranspose2d(channels, width, 4, stride, padding, bias=False),
                   nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(
        *layers, nn.ConvTranspose2d(channels, 3, 4, 2, padding=1, bias=False), nn.Tanh())


# name in ci.networks -> function of vocab, the number of rows of its first parameter
TWINS = {
    'mlp': lambda vocab: mlp(),
    'lenet': lambda vocab: lenet(),
    'resnet18': lambda vocab: resnet18(),
    'lstm': lambda vocab: LanguageModel(28, 256),
    'lstm_scratch': lambda vocab: LanguageModelScratch(28, 256),
    'seq2seq': lambda vocab: EncoderDecoder(Seq2SeqEncoder(vocab, 32, 32, 2),
                                            Seq2SeqDecoder(vocab, 32, 32, 2)),
    'transformer': lambda vocab: EncoderDecoder(TransformerEncoder(vocab, 32, 64, 4, 2, 0.0),
                                                TransformerDecoder(vocab, 32, 64, 4, 2, 0.0)),
    'tiny_ssd': lambda vocab: TinySSD(),
    'skip_gram': lambda vocab: SkipGram(vocab, 100),
    'text_cnn': lambda vocab: TextCNN(vocab, 100, (3, 4, 5), 100),
    'deepfm': lambda vocab: DeepFM(vocab, 10, 34, (30, 20, 10)),
    'dcgan_generator': lambda vocab: generator(),
}


# the losses of ci.bench: functions of the list of the network's outputs and of targets; all of them
# are means

def softmax(outputs, y):
    return F.cross_entropy(outputs[0], y)


def masked(outputs, y, lengths):
    terms = F.cross_entropy(outputs[0].flatten(0, 1), y.flatten(), reduction='none').view_as(y)
    return (terms * (torch.arange(y.shape[1]) < lengths[:, None])).mean()


def boxes(outputs, y, offsets, mask):
    _, classes, found = outputs
    return (F.cross_entropy(classes.flatten(0, 1), y.flatten())
            + F.l1_loss(found * mask, offsets * mask))


def sigmoid(outputs, y):
    return F.binary_cross_entropy_with_logits(outputs[0], y)


def sigmoid_masked(outputs, y, mask):
    terms = F.binary_cross_entropy_with_logits(outputs[0].flatten(1), y, mask, reduction='none')
    return (terms.sum(1) / mask.sum(1)).mean()


OF_CLASSES = {'softmax': softmax, 'softmax_mean': softmax, 'masked': masked, 'boxes': boxes}
LOSSES = {**OF_CLASSES, 'sigmoid': sigmoid, 'sigmoid_masked': sigmoid_masked}
OPTIMIZERS = {              # functions with the names of Gluon's arguments
    'sgd': lambda params, learning_rate, wd=0: torch.optim.SGD(
        params, learning_rate, weight_decay=wd, fused=True),
    'adam': lambda params, learning_rate, beta1=0.9: torch.optim.Adam(
        params, learning_rate, betas=(beta1, 0.999), fused=True),
}


def tensors(nested):
    """Return the arrays of nested tuples and lists as tensors."""
    return torch.from_numpy(nested) if isinstance(nested, onp.ndarray) else \
        type(nested)(map(tensors, nested))


def leaves(nested):
    """Return the tensors of nested tuples and lists, in order."""
    return [nested] if isinstance(nested, torch.Tensor) else \
        [x for sub in nested for x in leaves(sub)]


class Twin:
    """A network with the parameters of a Gluon net, its loss and its optimizer.

    weights: NumPy arrays in the order of the Gluon net, or None for PyTorch's initial values
    inputs: nested NumPy arrays, with tokens as int64; targets: a list of NumPy arrays
    loss, optimizer: names; options: arguments of the optimizer
    """

    def __init__(self, name, weights, inputs, targets, loss, optimizer, options):
        self.name, self.net = name, TWINS[name](len(weights[0]) if weights else 0)
        if weights:
            self.copy(weights)
        # compiled -> function; torch.compile, with inductor, compiles at the first call
        self.calls = {False: self.net, True: torch.compile(self.net)}
        self.inputs, self.targets, self.loss = tensors(inputs), tensors(targets), LOSSES[loss]
        if loss in OF_CLASSES:
            self.targets[0] = self.targets[0].long()
        self.optimizer = OPTIMIZERS[optimizer](
            [p for p in self.net.parameters() if p.requires_grad], **options)

    def copy(self, weights):
        """Copy the parameters of the Gluon net."""
        own = {key: value for key, value in self.net.state_dict().items()
               if not key.endswith('num_batches_tracked')}
        found, wanted = [w.shape for w in weights], [tuple(w.shape) for w in own.values()]
        if found != wanted:
            raise Disagreement(f'{self.name}: parameters of shapes {found}, PyTorch has {wanted}')
        with torch.no_grad():
            for value, array in zip(own.values(), weights):
                value.copy_(torch.from_numpy(array))

    def outputs(self, compiled=False):
        """Return a prediction: a list of tensors."""
        self.net.eval()
        with torch.inference_mode():
            return leaves(self.calls[compiled](*self.inputs))

    def check(self, wanted, compiled=False):
        """Return the largest error of a prediction, relative to the largest value of each output.
        Raises Disagreement if it exceeds TOLERANCE.

        wanted: the outputs of the Gluon net, a list of NumPy arrays. It may end with states that
        this network does not return
        compiled: whether to use torch.compile
        """
        found = [x.numpy() for x in self.outputs(compiled)]
        wanted = wanted[:len(found)]
        shapes = [x.shape for x in found], [x.shape for x in wanted]
        if shapes[0] != shapes[1]:
            raise Disagreement(f'{self.name}: PyTorch has outputs of shapes {shapes[0]}, '
                               f'MXNet {shapes[1]}')
        error = max(float(abs(a - b).max() / abs(b).max()) for a, b in zip(found, wanted))
        if not error <= TOLERANCE:
            raise Disagreement(f'{self.name}: PyTorch computes other numbers than MXNet, relative '
                               f'error {error:.1e}, at most {TOLERANCE:.0e}')
        return error

    def train(self, compiled=False):
        """Run a training step."""
        self.optimizer.zero_grad()
        value = self.loss(leaves(self.calls[compiled](*self.inputs)), *self.targets)
        value.backward()
        self.optimizer.step()

    def predict(self, compiled=False):
        """Run a prediction."""
        self.calls[compiled](*self.inputs)

    def seconds(self, what, times, compiled=False):
        """Return the seconds per call for `times` calls.

        what: 'training' or 'inference'; compiled: whether to use torch.compile
        """
        training = what == 'training'
        function = self.train if training else self.predict
        self.net.train(training)
        with torch.inference_mode(not training):
            start = time.perf_counter()
            for _ in range(times):
                function(compiled)
            return (time.perf_counter() - start) / times


def steps(times=3):
    """Run some training steps of ResNet-18 with batch size 64, as ci.bench does."""
    X = onp.random.rand(64, 1, 96, 96).astype('float32')
    twin = Twin('resnet18', None, (X,), [onp.ones(64)], 'softmax', 'sgd', {'learning_rate': 1e-4})
    twin.seconds('training', times)


def serve(connection):
    """Answer requests (method, arguments), of which the first is 'Twin', with (result, None) or
    (None, error as text)."""
    twin = None
    while True:
        try:
            method, args = connection.recv()
        except EOFError:                            # ci.bench has ended
            return
        try:
            if method == 'Twin':
                twin, reply = Twin(*args), None
            else:
                reply = getattr(twin, method)(*args)
            connection.send((reply, None))
        except Disagreement as error:
            connection.send((None, str(error)))
        except Exception:
            connection.send((None, traceback.format_exc()))


if __name__ == '__main__':
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    serve(Connection(int(sys.argv[1])))
