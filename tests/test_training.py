"""The book's own training functions run unchanged on a compiled net, and train as in eager mode."""
import mxnet
import numpy as onp
import pytest
from mxnet import npx
from mxnet.gluon import rnn

import d2l
from ci.networks import NETWORKS
from ci.numbers import structural

SEED, EPOCHS = 11, 2
npx.set_np()


def lenet():
    """LeNet of 6.6 and its training by train_ch5."""
    network = next(network for network in NETWORKS if network.name == 'lenet')
    net, data = network.build(), d2l.load_data_fashion_mnist(60)
    return net, lambda: d2l.train_ch5(net, *data, EPOCHS, 0.9, npx.cpu())


def language_model():
    """A small LSTM model as in 9.2, and its training by train_ch8."""
    train_iter, vocab = d2l.load_data_time_machine(32, 35, max_tokens=4000)
    net = d2l.RNNModel(rnn.LSTM(16), len(vocab))
    return net, lambda: d2l.train_ch8(net, train_iter, vocab, 1, EPOCHS, npx.cpu())


def translator():
    """Seq2Seq with dropout as in 9.7, and its training by train_s2s_ch9."""
    src_vocab, tgt_vocab, train_iter = d2l.load_data_nmt(50, 10, 200)
    net = d2l.EncoderDecoder(d2l.Seq2SeqEncoder(len(src_vocab), 8, 8, 2, 0.1),
                             d2l.Seq2SeqDecoder(len(tgt_vocab), 8, 8, 2, 0.1))
    return net, lambda: d2l.train_s2s_ch9(net, train_iter, 0.005, EPOCHS, npx.cpu())


@pytest.mark.parametrize('make', [lenet, language_model, translator], ids=lambda f: f.__name__)
def test_compiled_training_gives_the_eager_losses(make, monkeypatch):
    monkeypatch.setenv('D2L_SAMPLE_SIZE', '300')
    sums, losses, weights = [], [], []
    add = d2l.Accumulator.add
    monkeypatch.setattr(d2l.Accumulator, 'add', lambda self, *args: (
        sums.append([float(x) for x in args]), add(self, *args)))
    for compiled in False, True:
        net, train = make()
        if compiled:
            d2l.hybridize(net)
        sums.clear()
        onp.random.seed(SEED)
        mxnet.random.seed(SEED)
        d2l.book.random.seed(SEED)
        train()
        assert ('forward' in vars(net)) == compiled     # it did not fall back to eager
        losses.append(list(sums))
        weights.append([param.data().asnumpy() for param in structural(net).values()])
    assert losses[0] and losses[0] == losses[1]         # the loss of each minibatch
    assert all((a == b).all() for a, b in zip(*weights))
