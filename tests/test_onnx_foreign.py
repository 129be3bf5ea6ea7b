"""Blocks as other people write them: ONNX Runtime computes what MXNet does."""
import math

import mxnet as mx
import numpy as onp
import pytest
from mxnet import np, npx
from mxnet.gluon import nn, rnn

from ci import runtime
from ci.networks import leaves
from d2l import export_onnx

npx.set_np()
pytestmark = pytest.mark.filterwarnings(
    'ignore:ndarray.context has been renamed:DeprecationWarning')  # Gluon's own code does that
CLOSE = 1e-5                        # relative to the largest value


def f(*shape):
    """An argument of normally distributed values; 'B' in its shape is the batch size."""
    return shape, None


def i(n, *shape):
    """An argument of integers below n."""
    return shape, n


def arguments(specs, batch):
    draw = onp.random.RandomState(batch)
    shapes = [([batch if n == 'B' else n for n in shape], below) for shape, below in specs]
    return [np.array((draw.randn(*shape) if below is None else draw.randint(0, below, shape))
                     .astype('float32')) for shape, below in shapes]


class SelfAttention(nn.Block):

    def __init__(self, dim, heads, causal=False):
        super().__init__()
        self.heads, self.causal = (heads, causal)
        self.qkv = nn.Dense(3 * dim, flatten=False, use_bias=False)
        self.out = nn.Dense(dim, flatten=False)

    def forward(self, x):
        B, T, C = x.shape
        qkv = self.qkv(x).reshape(B, T, 3, self.heads, C // self.heads).transpose(2, 0, 3, 1, 4)
        q, k, v = (qkv[0], qkv[1], qkv[2])
        att = np.matmul(q, k.swapaxes(-1, -2)) / math.sqrt(C // self.heads)
        if self.causal:
            mask = np.tril(np.ones((T, T)))
            att = np.where(mask == 0, -1000000000.0, att)
        y = np.matmul(npx.softmax(att, axis=-1), v)
        return self.out(y.transpose(0, 2, 1, 3).reshape(B, T, C))


class GPT(nn.Block):

    def __init__(self, vocab=50, dim=16, heads=2, layers=2, length=32):
        super().__init__()
        self.tok, self.pos = (nn.Embedding(vocab, dim), nn.Embedding(length, dim))
        self.blocks = nn.Sequential()
        for _ in range(layers):
            self.blocks.add(GPTBlock(dim, heads))
        self.norm, self.head = (nn.LayerNorm(), nn.Dense(vocab, flatten=False, use_bias=False))

    def forward(self, idx):
        T = idx.shape[1]
        x = self.tok(idx) + self.pos(np.arange(T))
        return self.head(self.norm(self.blocks(x)))


class GPTBlock(nn.Block):

    def __init__(self, dim, heads):
        super().__init__()
        self.n1 = nn.LayerNorm()
        self.n2 = nn.LayerNorm()
        self.att = SelfAttention(dim, heads, True)
        self.fc, self.proj = (nn.Dense(4 * dim, flatten=False), nn.Dense(dim, flatten=False))

    def forward(self, x):
        x = x + self.att(self.n1(x))
        return x + self.proj(npx.leaky_relu(self.fc(self.n2(x)), act_type='gelu'))


class DoubleConv(nn.Block):

    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential()
        self.net.add(nn.Conv2D(c, 3, padding=1, use_bias=False), nn.BatchNorm(),
                nn.Activation('relu'), nn.Conv2D(c, 3, padding=1), nn.BatchNorm(),
                nn.LeakyReLU(0.1))

    def forward(self, x):
        return self.net(x)


class UNet(nn.Block):

    def __init__(self):
        super().__init__()
        self.d1, self.d2, self.d3 = (DoubleConv(4), DoubleConv(8), DoubleConv(16))
        self.up2, self.up1 = (nn.Conv2DTranspose(8, 2, 2), nn.Conv2DTranspose(4, 2, 2))
        self.u2, self.u1, self.out = (DoubleConv(8), DoubleConv(4), nn.Conv2D(2, 1))
        self.pool = nn.MaxPool2D(2)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(self.pool(a))
        c = self.d3(self.pool(b))
        y = self.u2(np.concatenate([self.up2(c), b], axis=1))
        y = self.u1(np.concatenate([self.up1(y), a], axis=1))
        return npx.sigmoid(self.out(y))


class VAE(nn.Block):

    def __init__(self):
        super().__init__()
        self.enc = nn.Dense(16, 'relu')
        self.mu = nn.Dense(4)
        self.logvar = nn.Dense(4)
        self.dec = nn.Dense(12, 'sigmoid')

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = (self.mu(h), self.logvar(h))
        kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(axis=1)
        return (self.dec(mu), kl)


class GRUCell(nn.Block):

    def __init__(self, h):
        super().__init__()
        self.h, self.x2h, self.h2h = (h, nn.Dense(3 * h), nn.Dense(3 * h))

    def forward(self, x, h):
        xr, xz, xn = np.split(self.x2h(x), 3, axis=-1)
        hr, hz, hn = np.split(self.h2h(h), 3, axis=-1)
        r, z = (npx.sigmoid(xr + hr), npx.sigmoid(xz + hz))
        n = np.tanh(xn + r * hn)
        return (1 - z) * n + z * h


class LSTMUnrolled(nn.Block):

    def __init__(self, h):
        super().__init__()
        self.h, self.fc, self.out = (h, nn.Dense(4 * h), nn.Dense(3))

    def forward(self, x):
        B, T, _ = x.shape
        h = c = np.zeros((B, self.h))
        ys = []
        for t in range(T):
            i, f, g, o = np.split(self.fc(np.concatenate([x[:, t], h], axis=1)), 4, axis=1)
            c = npx.sigmoid(f) * c + npx.sigmoid(i) * np.tanh(g)
            h = npx.sigmoid(o) * np.tanh(c)
            ys.append(h)
        return self.out(np.stack(ys, axis=1).mean(axis=1))


class SE(nn.Block):

    def __init__(self, c, r=2):
        super().__init__()
        self.c, self.fc1, self.fc2 = (c, nn.Dense(c // r, 'relu'), nn.Dense(c, 'sigmoid'))

    def forward(self, x):
        w = self.fc2(self.fc1(x.mean(axis=(2, 3))))
        return x * w.reshape(x.shape[0], self.c, 1, 1)


class ResNeXt(nn.Block):

    def __init__(self, c=8, groups=4):
        super().__init__()
        self.body = nn.Sequential()
        self.body.add(nn.Conv2D(c, 1), nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(c, 3,
                padding=1, groups=groups), nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(2 * c,
                1), nn.BatchNorm())
        self.skip, self.se = (nn.Conv2D(2 * c, 1), SE(2 * c))

    def forward(self, x):
        return npx.relu(self.skip(x) + self.se(self.body(x)))


class Mixer(nn.Block):

    def __init__(self, tokens, dim):
        super().__init__()
        self.n1, self.n2 = (nn.LayerNorm(), nn.LayerNorm())
        self.t1, self.t2 = (nn.Dense(8, flatten=False), nn.Dense(tokens, flatten=False))
        self.c1, self.c2 = (nn.Dense(8, flatten=False), nn.Dense(dim, flatten=False))
        self.gelu = nn.GELU()

    def forward(self, x):
        y = self.n1(x).transpose(0, 2, 1)
        x = x + self.t2(self.gelu(self.t1(y))).transpose(0, 2, 1)
        return x + self.c2(self.gelu(self.c1(self.n2(x))))


class ViT(nn.Block):

    def __init__(self, dim=8):
        super().__init__()
        self.patch = nn.Conv2D(dim, 4, 4)
        self.att = SelfAttention(dim, 2)
        self.norm = nn.LayerNorm()
        self.head = nn.Dense(3)

    def forward(self, x):
        x = self.patch(x)
        x = x.reshape(x.shape[0], x.shape[1], -1).transpose(0, 2, 1)
        cls = np.broadcast_to(np.ones((1, 1, x.shape[2])), (x.shape[0], 1, x.shape[2]))
        x = np.concatenate((cls, x), axis=1)
        return self.head(self.norm(x + self.att(x))[:, 0])


class DetectionHead(nn.Block):

    def __init__(self, classes=3, anchors=2):
        super().__init__()
        self.classes = classes
        self.cls = nn.Conv2D(anchors * (classes + 1), 3, padding=1)
        self.box = nn.Conv2D(anchors * 4, 3, padding=1)

    def forward(self, x):
        B = x.shape[0]
        c = self.cls(x).transpose(0, 2, 3, 1).reshape(B, -1, self.classes + 1)
        b = self.box(x).transpose(0, 2, 3, 1).reshape(B, -1, 4)
        p = npx.softmax(c, axis=-1)
        return (np.argmax(p, axis=-1), p.max(axis=-1), np.clip(b, -1, 1))


class RMSNorm(nn.Block):

    def __init__(self, eps=1e-06):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)


class Rotary(nn.Block):

    def forward(self, x):
        B, T, D = x.shape
        inv = 1.0 / 10000 ** (np.arange(0, D, 2) / D)
        t = np.arange(T)
        f = np.einsum('i,j->ij', t, inv)
        emb = np.concatenate((f, f), axis=-1)
        a, b = (x[..., :D // 2], x[..., D // 2:])
        return x * np.cos(emb) + np.concatenate((-b, a), axis=-1) * np.sin(emb)


class GLU(nn.Block):

    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(8, flatten=False)

    def forward(self, x):
        a, b = np.split(self.fc(x), 2, axis=-1)
        return a * npx.sigmoid(b)


class SwiGLU(nn.Block):

    def __init__(self):
        super().__init__()
        self.w = nn.Dense(8, flatten=False)
        self.v = nn.Dense(8, flatten=False)
        self.o = nn.Dense(4, flatten=False)
        self.s = nn.Swish()

    def forward(self, x):
        return self.o(self.s(self.w(x)) * self.v(x))


class MoE(nn.Block):

    def __init__(self, n=3):
        super().__init__()
        self.gate, self.experts = (nn.Dense(n), nn.Sequential())
        for _ in range(n):
            self.experts.add(nn.Dense(5))

    def forward(self, x):
        g = npx.softmax(self.gate(x))
        return sum((g[:, i:i + 1] * e(x) for i, e in enumerate(self.experts._children.values())))


class TopKGate(nn.Block):

    def __init__(self):
        super().__init__()
        self.gate = nn.Dense(6)

    def forward(self, x):
        g = self.gate(x)
        m = npx.topk(g, k=2, ret_typ='mask')
        return npx.softmax(np.where(m > 0, g, -1000000000.0))


class Highway(nn.Block):

    def __init__(self, d):
        super().__init__()
        self.h, self.t = (nn.Dense(d, 'relu'), nn.Dense(d, 'sigmoid'))

    def forward(self, x):
        t = self.t(x)
        return t * self.h(x) + (1 - t) * x


class TextCNN(nn.Block):

    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(20, 6)
        self.c1 = nn.Conv1D(4, 2)
        self.c2 = nn.Conv1D(4, 3)
        self.o = nn.Dense(2)

    def forward(self, x):
        x = self.e(x).transpose(0, 2, 1)
        return self.o(np.concatenate([np.max(npx.relu(c(x)), axis=2) for c in (self.c1, self.c2)],
                axis=1))


class BiLSTMTagger(nn.Block):

    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(20, 6)
        self.r = rnn.LSTM(5, 2, layout='NTC', bidirectional=True)
        self.o = nn.Dense(4, flatten=False)

    def forward(self, x):
        return npx.log_softmax(self.o(self.r(self.e(x))), axis=-1)


class Siamese(nn.Block):

    def __init__(self):
        super().__init__()
        self.f = nn.Dense(6)

    def forward(self, a, b):
        a, b = (self.f(a), self.f(b))
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        b = b / np.sqrt((b ** 2).sum(axis=1, keepdims=True))
        return np.dot(a, b.T)


class Contrastive(nn.Block):

    def __init__(self):
        super().__init__()
        self.f = nn.Dense(6)

    def forward(self, x, y):
        z = npx.log_softmax(self.f(x), axis=-1)
        return -npx.pick(z, y, axis=-1)


class FPN(nn.Block):

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2D(4, 3, 2, 1)
        self.b = nn.Conv2D(8, 3, 2, 1)
        self.l1 = nn.Conv2D(4, 1)
        self.l2 = nn.Conv2D(4, 1)

    def forward(self, x):
        a = npx.relu(self.a(x))
        b = npx.relu(self.b(a))
        p = self.l2(b)
        return (self.l1(a) + p.repeat(2, axis=2).repeat(2, axis=3), p)


class PixelShuffle(nn.Block):

    def __init__(self, r=2):
        super().__init__()
        self.r, self.c = (r, nn.Conv2D(3 * r * r, 3, padding=1))

    def forward(self, x):
        y = self.c(x)
        B, C, H, W = y.shape
        r = self.r
        return y.reshape(B, C // r // r, r, r, H, W).transpose(0, 1, 4, 2, 5, 3).reshape(B,
                C // r // r, H * r, W * r)


class ShuffleUnit(nn.Block):

    def __init__(self, g=2):
        super().__init__()
        self.g, self.c = (g, nn.Conv2D(8, 1, groups=g))

    def forward(self, x):
        y = self.c(x)
        B, C, H, W = y.shape
        return npx.reshape(npx.reshape(y, (-2, -6, self.g, -1, -4)).swapaxes(1, 2), (-2, -5, -4))


class GroupNormOwn(nn.Block):

    def __init__(self, g=2):
        super().__init__()
        self.g = g

    def forward(self, x):
        B, C, H, W = x.shape
        y = x.reshape(B, self.g, -1)
        y = (y - y.mean(axis=2, keepdims=True)) / np.sqrt(y.var(axis=2, keepdims=True) + 1e-05)
        return y.reshape(B, C, H, W)


class CBAM(nn.Block):

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(1, 7, padding=3, activation='sigmoid')

    def forward(self, x):
        m = np.concatenate((x.max(axis=1, keepdims=True), x.mean(axis=1, keepdims=True)), axis=1)
        return x * self.conv(m)


class ASPP(nn.Block):

    def __init__(self):
        super().__init__()
        self.cs = [nn.Conv2D(4, 3, padding=d, dilation=d) for d in (1, 2, 3)]
        for i, c in enumerate(self.cs):
            self.register_child(c, f'c{i}')
        self.g = nn.Conv2D(4, 1)

    def forward(self, x):
        g = self.g(x.mean(axis=(2, 3), keepdims=True))
        g = np.broadcast_to(g, (x.shape[0], 4, x.shape[2], x.shape[3]))
        return np.concatenate([c(x) for c in self.cs] + [g], axis=1)


class LinearAttention(nn.Block):

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Dense(6, flatten=False) for _ in range(3))

    def forward(self, x):
        q, k, v = (npx.leaky_relu(self.q(x), act_type='elu') + 1, npx.leaky_relu(self.k(x),
                act_type='elu') + 1, self.v(x))
        kv = np.einsum('bnd,bne->bde', k, v)
        z = 1 / (np.einsum('bnd,bd->bn', q, k.sum(axis=1)) + 1e-06)
        return np.einsum('bnd,bde,bn->bne', q, kv, z)


class ALiBi(nn.Block):

    def forward(self, q, k):
        T = q.shape[1]
        i = np.arange(T)
        bias = -np.abs(np.expand_dims(i, 1) - np.expand_dims(i, 0))
        return npx.softmax(npx.batch_dot(q, k, transpose_b=True) + bias)


class MaskedMean(nn.Block):

    def forward(self, x, length):
        m = npx.sequence_mask(np.ones_like(x), length, True, axis=1)
        return (x * m).sum(axis=1) / np.maximum(m.sum(axis=1), 1)


class CosineSchedule(nn.Block):

    def forward(self, t):
        half = 4
        freqs = np.exp(-math.log(10000) * np.arange(half) / half)
        args = np.expand_dims(t, 1) * freqs
        return np.concatenate((np.cos(args), np.sin(args)), axis=-1)


class RBF(nn.Block):

    def __init__(self):
        super().__init__()
        self.o = nn.Dense(2)

    def forward(self, x):
        c = np.arange(12).reshape(3, 4) / 6
        d = ((np.expand_dims(x, 1) - c) ** 2).sum(axis=-1)
        return self.o(np.exp(-d))


class GCN(nn.Block):

    def __init__(self):
        super().__init__()
        self.w1, self.w2 = (nn.Dense(5, flatten=False), nn.Dense(2, flatten=False))

    def forward(self, x, a):
        deg = a.sum(axis=-1, keepdims=True) + 1
        h = npx.relu(np.matmul(a, self.w1(x)) / deg)
        return np.matmul(a, self.w2(h)) / np.sqrt(deg)


class GAT(nn.Block):

    def __init__(self):
        super().__init__()
        self.w = nn.Dense(5, flatten=False, use_bias=False)
        self.l = nn.Dense(1, flatten=False)
        self.r = nn.Dense(1, flatten=False)

    def forward(self, x, a):
        h = self.w(x)
        e = npx.leaky_relu(self.l(h) + self.r(h).swapaxes(1, 2), slope=0.2)
        return np.matmul(npx.softmax(np.where(a > 0, e, -1000000000.0), axis=-1), h)


class PReLUNet(nn.Sequential):

    def __init__(self):
        super().__init__()
        self.add(nn.Conv2D(4, 3), nn.PReLU(in_channels=4), nn.ELU(), nn.SELU(), nn.AvgPool2D(2, 2,
                ceil_mode=True), nn.Flatten(), nn.Dense(2), nn.Swish())


class InceptionLike(nn.Block):

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2D(3, 1)
        self.b = nn.Conv2D(3, 3, padding=1)
        self.p = nn.AvgPool2D(3, 1, 1)

    def forward(self, x):
        return np.concatenate((self.a(x), self.b(x), self.p(x)), axis=1)


class Anchor(nn.Block):

    def __init__(self):
        super().__init__()
        self.h = DetectionHead()

    def forward(self, x):
        return (npx.multibox_prior(x, sizes=[0.3], ratios=[1, 2]), self.h(x))


class CRFScore(nn.Block):

    def __init__(self):
        super().__init__()
        self.e = nn.Dense(4, flatten=False)

    def forward(self, x):
        e = self.e(x)
        T = e.shape[1]
        trans = np.arange(16).reshape(4, 4) / 10
        a = e[:, 0]
        for t in range(1, T):
            s = np.expand_dims(a, 2) + trans
            m = s.max(axis=1)
            a = np.log(np.exp(s - np.expand_dims(m, 1)).sum(axis=1)) + m + e[:, t]
        return a


class Quantizer(nn.Block):

    def __init__(self):
        super().__init__()
        self.e = nn.Dense(4)

    def forward(self, x):
        z = self.e(x)
        book = np.arange(20).reshape(5, 4) / 10
        d = (z ** 2).sum(axis=1, keepdims=True) - 2 * np.dot(z, book.T) + (book ** 2).sum(axis=1)
        i = np.argmin(d, axis=1)
        return (np.take(book, i, axis=0), i)


class PositionalNet(nn.Block):

    def __init__(self):
        super().__init__()
        self.d = nn.Dense(6, flatten=False)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return self.drop(self.d(x) + np.expand_dims(npx.arange_like(x, axis=1), 1) * 0.01)


class CumSoft(nn.Block):

    def forward(self, x):
        return (np.cumsum(npx.softmax(x), axis=1), np.sort(x, axis=-1), np.argsort(x, axis=-1))


class WaveNet(nn.Block):

    def __init__(self):
        super().__init__()
        self.f = nn.Conv1D(4, 2, dilation=2)
        self.g = nn.Conv1D(4, 2, dilation=2)
        self.o = nn.Conv1D(3, 1)

    def forward(self, x):
        x = np.pad(x, ((0, 0), (0, 0), (2, 0)))
        return self.o(np.tanh(self.f(x)) * npx.sigmoid(self.g(x))) + x[:, :, 2:]


class TCN(nn.Block):

    def __init__(self):
        super().__init__()
        self.c = nn.Conv1D(3, 3, padding=2)

    def forward(self, x):
        return npx.relu(self.c(x)[:, :, :-2] + x)


class STN(nn.Block):

    def __init__(self):
        super().__init__()
        self.loc = nn.Dense(6)

    def forward(self, x):
        theta = self.loc(x).reshape(-1, 2, 3)
        H, W = x.shape[2:]
        ys, xs = (np.linspace(-1, 1, H), np.linspace(-1, 1, W))
        grid = np.stack([np.tile(xs, H), np.repeat(ys, W), np.ones((H * W,))], axis=0)
        return npx.batch_dot(theta, np.broadcast_to(grid, (x.shape[0], 3, H * W)))


class CrossAttention(nn.Block):

    def __init__(self, h=2, d=8):
        super().__init__()
        self.h, self.d = (h, d)
        self.q = nn.Dense(d, flatten=False)
        self.kv = nn.Dense(2 * d, flatten=False)
        self.o = nn.Dense(d, flatten=False)

    def split(self, x):
        return np.concatenate(np.split(x, self.h, axis=-1), axis=0)

    def forward(self, x, m):
        q = self.split(self.q(x))
        k, v = [self.split(t) for t in np.split(self.kv(m), 2, axis=-1)]
        a = npx.softmax(npx.batch_dot(q, k, transpose_b=True) / self.d ** 0.5)
        return self.o(np.concatenate(np.split(npx.batch_dot(a, v), self.h, axis=0), axis=-1))


class Capsule(nn.Block):
    """Capsules with routing by agreement."""

    def __init__(self, classes=3, size=4, rounds=3):
        super().__init__()
        self.rounds, self.primary = rounds, nn.Conv2D(8, 3, 2)
        self.w = self.params.get('w', shape=(1, 18, classes, size, 4))

    @staticmethod
    def squash(s):
        n2 = np.sum(s ** 2, axis=-1, keepdims=True)
        return n2 / (1 + n2) * s / np.sqrt(n2 + 1e-8)

    def forward(self, x):
        u = self.primary(x)
        u = self.squash(u.reshape(u.shape[0], -1, 4)).reshape(u.shape[0], -1, 1, 4, 1)
        u_hat = np.squeeze(np.matmul(self.w.data(), u), axis=-1)
        b = np.zeros_like(u_hat[..., :1])
        for r in range(self.rounds):
            v = self.squash((npx.softmax(b, axis=2) * u_hat).sum(axis=1, keepdims=True))
            b = b + (u_hat * v).sum(axis=-1, keepdims=True)
        return np.linalg.norm(v[:, 0], axis=-1)


class MaskedAttention(nn.Block):
    """Attention that masks later steps and padding."""

    def __init__(self, dim=8, heads=2):
        super().__init__()
        self.h, self.d = heads, dim // heads
        self.q, self.k, self.v = (nn.Dense(dim, flatten=False) for _ in range(3))

    def forward(self, x, valid):
        B, T, C = x.shape
        q, k, v = (f(x).reshape(B, T, self.h, self.d).transpose((0, 2, 1, 3)) for f in (
            self.q, self.k, self.v))
        steps = np.arange(T)
        pad = (np.expand_dims(steps, 0) < np.expand_dims(valid, 1)).astype('float32')
        causal = (steps.reshape(1, -1) <= steps.reshape(-1, 1)).astype('float32')
        mask = np.expand_dims(np.expand_dims(pad, 1), 1) * causal
        a = npx.softmax(np.einsum('bhqd,bhkd->bhqk', q, k) * self.d ** -0.5 - (1 - mask) * 1e4)
        return np.einsum('bhqk,bhkd->bhqd', a, v).transpose((0, 2, 1, 3)).reshape(B, T, C)


class YOLO(nn.Block):

    def __init__(self):
        super().__init__()
        self.head, self.anchors = nn.Conv2D(14, 1), np.array([[1.0, 2.0], [2.5, 1.5]])

    def forward(self, x):
        B, _, H, W = x.shape
        y = self.head(x).reshape(B, 2, 7, H, W).transpose(0, 3, 4, 1, 2)
        gy, gx = np.meshgrid(np.arange(H), np.arange(W), indexing='ij')
        grid = np.expand_dims(np.stack([gx, gy], axis=-1), 2)
        xy = (npx.sigmoid(y[..., 0:2]) + grid) / np.array([W, H])
        conf = npx.sigmoid(y[..., 4:5]) * npx.softmax(y[..., 5:])
        return np.concatenate((xy, np.exp(y[..., 2:4]) * self.anchors, conf), axis=-1).reshape(
            B, -1, 6)


class Stacks(nn.Block):

    def forward(self, x, y):
        a, b, c = np.hstack((x, y)), np.vstack([x, y]), np.dstack((x, y))
        m = x.mean(axis=1), x.std(axis=1)
        return (a, b, c, np.hsplit(a, 2), np.vsplit(b[:2], 2), np.dsplit(c, 2), np.hstack(m),
                np.dstack(m), np.append(x, y, axis=1), np.column_stack(m))


class Neighbours(nn.Block):
    """A layer on the edges from each point to its nearest neighbours."""

    def __init__(self, k=2):
        super().__init__()
        self.k, self.d = k, nn.Dense(4, flatten=False)

    def forward(self, x):
        sq = (x ** 2).sum(axis=-1, keepdims=True)
        dist = sq - 2 * npx.batch_dot(x, x, transpose_b=True) + sq.swapaxes(1, 2)
        near = npx.topk(dist, axis=-1, k=self.k + 1, is_ascend=True)[..., 1:]
        them = np.einsum('bnkm,bmd->bnkd', npx.one_hot(near, x.shape[1]), x)
        center = np.repeat(np.expand_dims(x, 2), self.k, axis=2)
        return npx.leaky_relu(self.d(np.concatenate((center, them - center), axis=-1))).max(axis=2)


class Memory(nn.Block):
    """A memory that is read and written by content."""

    def __init__(self, m=4):
        super().__init__()
        self.k, self.b, self.e = nn.Dense(m), nn.Dense(1), nn.Dense(m, 'sigmoid')

    def forward(self, x, memory):
        k, beta = self.k(x), npx.activation(self.b(x), act_type='softrelu')
        w = np.einsum('bm,bnm->bn', k, memory) / (np.linalg.norm(
            k, axis=-1, keepdims=True) * np.linalg.norm(memory, axis=-1) + 1e-6)
        w = npx.softmax(beta * w)
        w = (np.roll(w, 1, axis=1) + w + np.roll(w, -1, axis=1)) / 3
        erased = np.expand_dims(w, 2) * np.expand_dims(self.e(x), 1)
        return npx.batch_dot(np.expand_dims(w, 1), memory).squeeze(1), memory * (1 - erased)


class RelativeShift(nn.Block):

    def forward(self, q, r):
        s = np.einsum('bid,jd->bij', q, r)
        B, T, J = s.shape
        return np.concatenate([np.zeros((B, T, 1)), s], axis=-1).reshape(B, J + 1, T)[:,
                                                                                      1:].reshape(
            B, T, J)


class Beam(nn.Block):

    def __init__(self):
        super().__init__()
        self.d = nn.Dense(6, flatten=False)

    def forward(self, x, scores):
        lp = npx.log_softmax(self.d(x)) + np.expand_dims(scores, -1)
        best, idx = npx.topk(lp.reshape(lp.shape[0], -1), k=3, ret_typ='both')
        return best, np.mod(idx.astype('int32'), 6)


class Dueling(nn.Block):

    def __init__(self):
        super().__init__()
        self.v, self.a = nn.Dense(1), nn.Dense(4)

    def forward(self, x, action):
        a = self.a(x)
        q = self.v(x) + a - a.mean(axis=1, keepdims=True)
        at = np.stack([np.arange(q.shape[0]), action]).astype('int32')
        return npx.pick(q, action), q.argmax(axis=1), npx.gather_nd(q, at)


class BiFPN(nn.Block):
    """It adds up feature maps with weights that it learns."""

    def __init__(self):
        super().__init__()
        self.w = self.params.get('w', shape=(2,))
        self.c, self.down = nn.Conv2D(4, 3, padding=1), nn.MaxPool2D(3, 2, 1)

    def forward(self, p3, p4):
        w = np.abs(self.w.data())
        w = w / (w.sum() + 1e-4)
        B, C, H, W = p4.shape
        up = np.broadcast_to(p4.reshape(B, C, H, 1, W, 1), (B, C, H, 2, W, 2)).reshape(
            B, C, 2 * H, 2 * W)
        a = self.c(w[0] * p3 + w[1] * up)
        return a, self.down(a) * w[1] + p4 * w[0]


class Involution(nn.Block):

    def __init__(self, k=3):
        super().__init__()
        self.k, self.w = k, nn.Conv2D(k * k, 1)

    def forward(self, x):
        B, C, H, W = x.shape
        w = self.w(x).reshape(B, 1, self.k ** 2, H, W)
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        patches = np.stack([x[:, :, a:a + H, b:b + W] for a in range(self.k) for b in range(
            self.k)], axis=2)
        return (w * patches).sum(axis=2)


class Whitened(nn.Block):
    """Inverses, determinants and roots of matrices that depend on the input."""

    def forward(self, x):
        g = npx.batch_dot(x, x, transpose_b=True) + 2 * np.eye(x.shape[1])
        return (np.linalg.inv(g), np.linalg.det(g), np.linalg.cholesky(g), np.linalg.solve(g, x),
                np.linalg.slogdet(g))


class Spectrum(nn.Block):
    """A short-time Fourier transform by products with matrices."""

    def __init__(self, n=8):
        super().__init__()
        k = onp.outer(onp.arange(n), onp.arange(n)) * 2 * onp.pi / n
        self.n, self.c, self.s = n, *(np.array(f(k), dtype='float32') for f in (onp.cos, onp.sin))

    def forward(self, x):
        frames = np.stack([x[:, t:t + self.n] for t in range(0, x.shape[1] - self.n + 1, 4)],
                          axis=1)
        frames = frames * np.hanning(self.n)
        re, im = np.dot(frames, self.c), np.dot(frames, self.s)
        return np.log1p(np.sqrt(re ** 2 + im ** 2)), np.arctan2(im, re + 1e-3)


class Greedy(nn.Block):
    """Greedy decoding: the best labels, where they change."""

    def forward(self, x):
        best = np.argmax(x, axis=-1)
        changes = np.concatenate((best[:, :1] == best[:, :1], best[:, 1:] != best[:, :-1]), axis=1)
        keep = changes * (best != 0)
        return np.where(keep, best, -np.ones_like(best)), (keep & (best > 1)).astype('float32')


CASES = {
    'attention': (lambda: SelfAttention(8, 2), [f('B', 5, 8)]),
    'causal': (lambda: SelfAttention(8, 2, True), [f('B', 5, 8)]),
    'gpt': (GPT, [i(50, 'B', 7)]),
    'unet': (UNet, [f('B', 3, 8, 8)]),
    'vae': (VAE, [f('B', 12)]),
    'gru cell': (lambda: GRUCell(4), [f('B', 3), f('B', 4)]),
    'lstm unrolled': (lambda: LSTMUnrolled(4), [f('B', 5, 3)]),
    'se': (lambda: SE(6), [f('B', 6, 4, 4)]),
    'resnext': (ResNeXt, [f('B', 3, 6, 6)]),
    'mixer': (lambda: Mixer(5, 6), [f('B', 5, 6)]),
    'vit': (ViT, [f('B', 3, 16, 16)]),
    'detection': (DetectionHead, [f('B', 3, 6, 6)]),
    'rms': (RMSNorm, [f('B', 4, 6)]),
    'rotary': (Rotary, [f('B', 5, 8)]),
    'glu': (GLU, [f('B', 5, 3)]),
    'swiglu': (SwiGLU, [f('B', 5, 3)]),
    'moe': (MoE, [f('B', 4)]),
    'topk gate': (TopKGate, [f('B', 4)]),
    'highway': (lambda: Highway(5), [f('B', 5)]),
    'textcnn': (TextCNN, [i(20, 'B', 9)]),
    'bilstm': (BiLSTMTagger, [i(20, 'B', 6)]),
    'siamese': (Siamese, [f('B', 5), f('B', 5)]),
    'contrastive': (Contrastive, [f('B', 5), i(6, 'B')]),
    'fpn': (FPN, [f('B', 3, 8, 8)]),
    'pixel shuffle': (PixelShuffle, [f('B', 3, 4, 4)]),
    'shuffle': (ShuffleUnit, [f('B', 4, 3, 3)]),
    'group norm': (GroupNormOwn, [f('B', 4, 3, 3)]),
    'cbam': (CBAM, [f('B', 4, 8, 8)]),
    'aspp': (ASPP, [f('B', 3, 8, 8)]),
    'linear attention': (LinearAttention, [f('B', 5, 4)]),
    'alibi': (ALiBi, [f('B', 5, 4), f('B', 5, 4)]),
    'masked mean': (MaskedMean, [f('B', 5, 3), i(5, 'B')]),
    'time embedding': (CosineSchedule, [f('B')]),
    'rbf': (RBF, [f('B', 4)]),
    'gcn': (GCN, [f('B', 5, 3), i(2, 'B', 5, 5)]),
    'gat': (GAT, [f('B', 5, 3), i(2, 'B', 5, 5)]),
    'prelu': (PReLUNet, [f('B', 3, 7, 7)]),
    'inception': (InceptionLike, [f('B', 3, 6, 6)]),
    'anchor': (Anchor, [f('B', 3, 6, 6)]),
    'crf': (CRFScore, [f('B', 5, 3)]),
    'quantizer': (Quantizer, [f('B', 3)]),
    'positional': (PositionalNet, [f('B', 5, 3)]),
    'cumsoft': (CumSoft, [f('B', 6)]),
    'wavenet': (WaveNet, [f('B', 3, 8)]),
    'tcn': (TCN, [f('B', 3, 8)]),
    'stn': (STN, [f('B', 1, 4, 4)]),
    'cross attention': (CrossAttention, [f('B', 5, 3), f('B', 4, 6)]),
    'capsule': (Capsule, [f('B', 1, 7, 7)]),
    'masked attention': (MaskedAttention, [f('B', 5, 8), i(5, 'B')]),
    'yolo': (YOLO, [f('B', 4, 3, 5)]),
    'stacks': (Stacks, [f('B', 3), f('B', 3)]),
    'neighbours': (Neighbours, [f('B', 6, 3)]),
    'memory': (Memory, [f('B', 3), f('B', 5, 4)]),
    'relative shift': (RelativeShift, [f('B', 4, 3), f(4, 3)]),
    'beam': (Beam, [f('B', 2, 3), f('B', 2)]),
    'dueling': (Dueling, [f('B', 5), i(4, 'B')]),
    'bifpn': (BiFPN, [f('B', 4, 6, 6), f('B', 4, 3, 3)]),
    'involution': (Involution, [f('B', 3, 5, 5)]),
    'whitened': (Whitened, [f('B', 3, 4)]),
    'spectrum': (Spectrum, [f('B', 20)]),
    'greedy': (Greedy, [f('B', 6, 3)]),
}


@pytest.mark.parametrize('name, batch', [
    (name, batch) for name in CASES for batch in (3, 5)])
def test_foreign_block(name, batch, tmp_path):
    build, specs = CASES[name]
    mx.random.seed(1)
    net, X, other = build(), arguments(specs, 3), arguments(specs, batch)
    net.initialize(mx.init.Normal(0.3))
    net(*X)
    export_onnx(net, tmp_path / 'net.onnx', *X, other=None if batch == 3 else tuple(other))
    for args in (other, arguments(specs, 4)) if batch != 3 else (X,):
        found = runtime.run(tmp_path / 'net.onnx', leaves(args))
        wanted = [a.asnumpy() for a in leaves(net(*args))]
        assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in wanted]
        for a, b in zip(found, wanted):
            assert abs(a.astype('float64') - b).max() <= CLOSE * abs(b).max()


# name: (net, the shapes of two examples, whose dimensions differ, and a third shape)
SIZES = {
    'attention': (lambda: SelfAttention(8, 2), (2, 5, 8), (3, 7, 8), (4, 9, 8)),
    'swiglu': (SwiGLU, (2, 5, 3), (3, 7, 3), (4, 9, 3)),
    'lstm': (lambda: rnn.LSTM(4, layout='NTC'), (2, 5, 3), (3, 7, 3), (4, 9, 3)),
    'unet': (UNet, (2, 3, 8, 8), (2, 3, 16, 24), (2, 3, 24, 8)),
    'detection': (DetectionHead, (2, 3, 6, 6), (2, 3, 8, 6), (2, 3, 9, 6)),
}


@pytest.mark.parametrize('name', SIZES)
def test_any_dimension_may_be_free(name, tmp_path):
    build, *shapes = SIZES[name]
    X, other, third = (arguments([(shape, None)], 1)[0] for shape in shapes)
    mx.random.seed(1)
    net = build()
    net.initialize(mx.init.Normal(0.1))
    net(X)
    export_onnx(net, tmp_path / 'net.onnx', X, other=other)
    for args in (other, third):
        found = runtime.run(tmp_path / 'net.onnx', [args])
        wanted = [a.asnumpy() for a in leaves(net(args))]
        assert [a.shape for a in found] == [b.shape for b in wanted]
        for a, b in zip(found, wanted):
            assert abs(a.astype('float64') - b).max() <= CLOSE * abs(b).max()


def test_a_reshape_that_depends_on_two_free_dimensions_is_refused(tmp_path):
    X, other = (arguments([(shape, None)], 1)[0] for shape in ((2, 5, 8), (3, 7, 8)))
    with pytest.raises(ValueError, match='_np_reshape depends on the size.*export each'):
        export_onnx(lambda X: X.transpose(2, 0, 1).reshape(4, 2, *X.shape[:2]),
                    tmp_path / 'net.onnx',
                    X, other=other)
    assert list(tmp_path.iterdir()) == []
