"""d2l.from_gluoncv: Gluon-CV's networks compute the same on the book's arrays as on their own."""
import gc
import os
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, np, npx
from mxnet.util import np_array, np_shape

import d2l
from chapters.toml import tomllib
from ci import modes, numbers, stored
from ci.networks import GLUONCV
from d2l import vision
from d2l.hybrid import TraceError
from tests.support import FEW, REPO

npx.set_np()
SLOW = pytest.mark.skipif('D2L_TEST_ALL' not in os.environ, reason='slow to build: D2L_TEST_ALL=1')
ROWS = [pytest.param(row, id=row.name, marks=[pytest.mark.xdist_group(row.name),
                                              *[SLOW] * (row.name not in FEW)])
        for row in GLUONCV]


def older(net, X):
    """The outputs of Gluon-CV's own Block for X, computed with mx.nd: a list of NumPy arrays."""
    params = list(net.net.collect_params().values())
    kept = [param._data for param in params]
    for param in params:
        param._data = [array.as_nd_ndarray() for array in param._data]
    try:
        with np_array(False), np_shape(False):
            out = net.net(X.as_nd_ndarray())
            return [part.asnumpy() for part in (out if isinstance(out, (list, tuple)) else [out])]
    finally:
        for param, data in zip(params, kept):
            param._data = data


@pytest.mark.parametrize('row', ROWS)
def test_the_same_to_the_last_bit(row):
    """Eager outputs are as stored; compiled ones, and those of Gluon-CV's own Block, equal them."""
    net, (X,) = modes.prepared(row, npx.cpu())
    record = numbers.predict(net, (X,))
    error, bar = stored.check(row, 'eager', record)
    assert error <= bar
    assert set(numbers.errors(record, numbers.record_outputs(older(net, X))).values()) == {0.0}
    compiled = numbers.predict(d2l.hybridize(net), (X,))
    assert set(numbers.errors(record, compiled).values()) == {0.0}


def test_it_learns_and_shares_its_gradients():
    net = d2l.from_gluoncv('resnet18_v1', classes=2)
    net.initialize()
    X, y = np.random.normal(size=(4, 3, 32, 32)), np.array([0, 1, 0, 1])
    loss, losses = d2l.gluon.loss.SoftmaxCrossEntropyLoss(), []
    trainer = d2l.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.05})
    for _ in range(12):
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(4)
        losses.append(float(l.mean()))
    assert losses[-1] < losses[0] / 2
    gradients = [param.grad() for param in net.collect_params().values()
                 if param.grad_req != 'null']
    assert gradients and all(isinstance(g, np.ndarray) and float(np.abs(g).max()) > 0
                             for g in gradients)


def test_parameter_files_are_those_of_gluoncv(tmp_path):
    """Each can load parameter files of the other."""
    net = d2l.from_gluoncv('resnet18_v1', classes=2)
    model_zoo = d2l.vision.import_gluoncv().model_zoo
    net.initialize()
    net(np.zeros((1, 3, 32, 32)))
    net.save_parameters(str(tmp_path / 'net.params'))
    with np_array(False), np_shape(False):
        theirs = model_zoo.get_model('resnet18_v1', classes=2)
    assert set(theirs._collect_params_with_prefix()) == set(net._collect_params_with_prefix())
    theirs.load_parameters(str(tmp_path / 'net.params'))
    other = d2l.from_gluoncv('resnet18_v1', classes=2)
    other.load_parameters(str(tmp_path / 'net.params'))
    X = np.random.normal(size=(1, 3, 32, 32))
    assert onp.array_equal(other(X).asnumpy(), net(X).asnumpy())


def boxes():
    net = d2l.from_gluoncv('yolo3_mobilenet1.0_voc', pretrained_base=False)
    net.initialize()
    return net


# name: (function that makes a setting, shape of the first output then, its largest class)
SETTINGS = {
    'set_nms': (lambda net: net.set_nms(nms_thresh=.4, nms_topk=20, post_nms=5), (1, 5, 1), 19),
    'an attribute': (lambda net: setattr(net, 'post_nms', 7), (1, 7, 1), 19),
    'an attribute of the network': (lambda net: setattr(net.net, 'post_nms', 8), (1, 8, 1), 19),
    'reset_class': (lambda net: net.reset_class(['mouse', 'snake']), (1, 100, 1), 1),
    'both': (lambda net: (net.reset_class(['mouse']), net.set_nms(post_nms=9)), (1, 9, 1), 0),
}


@pytest.mark.parametrize('form', ['eager', 'hybridized'])
@pytest.mark.parametrize('name', SETTINGS)
def test_a_setting_takes_effect(name, form):
    tell, shape, largest = SETTINGS[name]
    net, X = boxes(), np.random.normal(size=(1, 3, 64, 64))
    if form == 'hybridized':
        d2l.hybridize(net)
    before = net(X)
    assert before[0].shape == (1, 100, 1) and float(before[0].max()) > 1
    tell(net)
    after = net(X)
    assert after[0].shape == shape and float(after[0].max()) <= largest
    # the same setting, made before the first call, gives the same results
    direct = boxes()
    tell(direct)
    for mine, theirs in zip(net.collect_params().values(), direct.collect_params().values()):
        theirs.set_data(mine.data())
    assert all((a == b).all() for a, b in zip(direct(X), after))


@pytest.mark.filterwarnings('ignore:Cannot decide type:UserWarning')
def test_a_part_that_is_a_graph_compiles():
    """The features of SSD are a SymbolBlock, whose graph becomes part of the network's graph."""
    x = mxnet.sym.var('data')
    with np_array(False), np_shape(False):
        part = gluon.SymbolBlock(mxnet.sym.Convolution(x, kernel=(3, 3), num_filter=2, name='c'), x)
        older = gluon.nn.HybridSequential()
        older.add(part, gluon.nn.Dense(3))
    net, X = vision.OlderBlock(older), np.random.normal(size=(2, 3, 8, 8))
    net.initialize()
    out = net(X)
    assert (d2l.hybridize(net)(X) == out).all()


def test_the_graph_is_made_once():
    net, X = boxes(), np.zeros((1, 3, 64, 64))
    net(X)
    graphs = dict(vision._GRAPHS[net])
    net(X)
    net.cast('float32')
    assert graphs and all(vision._GRAPHS[net][training] is graphs[training] for training in graphs)


def test_training_that_wants_targets_says_so():
    net = d2l.from_gluoncv('yolo3_mobilenet1.0_voc', pretrained_base=False)
    net.initialize()
    said = 'gives no graph in this mode: TypeError: .* missing 6 required positional arguments'
    with pytest.raises(RuntimeError, match=said), autograd.record():
        net(np.zeros((1, 3, 64, 64)))


@pytest.mark.parametrize('name, form', [
    ('yolo3_mobilenet1.0_voc', None), ('faster_rcnn_resnet50_v1b_voc', None),
    ('resnet18_v1', 'called'), ('resnet18_v1', 'exact'), ('resnet18_v1', 'optimized')])
def test_a_network_is_freed(name, form):
    """The error of a detector in training mode, where it wants targets, was stored with its
    traceback, which kept all Parameters."""
    net = d2l.from_gluoncv(name, **({} if form else {'pretrained_base': False}))
    net.initialize(force_reinit=True)       # parts of a detector are initialized as it is made
    if form in ('exact', 'optimized'):
        d2l.hybridize(net, optimize=form == 'optimized')
    if form:
        net(np.zeros((1, 3, 64, 64)))
    objects = [weakref.ref(part) for part in (net, net.net, *net.collect_params().values())]
    del net
    gc.collect()
    gc.collect()            # when a network is freed, an entry of _GRAPHS becomes garbage
    assert not any(part() for part in objects)


def test_an_unknown_name():
    with pytest.raises(ValueError, match='no network .resnet17_v1.; the nearest .*: resnet18_v1, '):
        d2l.from_gluoncv('resnet17_v1')


def test_gluoncv_beside_pytorch_2(python, tmp_path):
    """On its own it raises 'Legacy torch==2.13.0 detected' where that version is installed."""
    # SciPy looks for the class where a torch is imported
    (tmp_path / 'torch.py').write_text("__version__ = '2.13.0'\nclass Tensor: pass\n")
    done = python('-W', 'ignore', '-c', """if True:
        import torch, d2l
        d2l.npx.set_np()
        d2l.from_gluoncv('resnet18_v1', classes=2)
        import gluoncv, sys
        print(sys.modules['torch'] is torch)""", env={'PYTHONPATH': str(tmp_path)})
    assert done.stdout == 'True\n', done.stderr


def test_without_gluoncv_one_line_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, 'gluoncv', raising=False)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match="13.15.* pip install 'gluoncv>=0.10.5, <0.11'$"):
        d2l.from_gluoncv('resnet18_v1')


def test_the_extra_is_what_the_message_says():
    extras = tomllib.loads((REPO / 'pyproject.toml').read_text())['project'][
        'optional-dependencies']
    assert extras['gluoncv'] == [vision.GLUONCV]


def test_a_pool_is_refused_after_d2l_has_used_one():
    """d2l.vision has a thread of its own trace a network, and `forward` may not."""
    class Older(gluon.HybridBlock):
        def hybrid_forward(self, F, X):
            return F.relu(X)
    X, older = np.ones((2, 3)), Older()
    net = d2l.compile(vision.OlderBlock(older))
    for older.setting in range(2):                  # a new one is traced anew
        assert (net(X) == X).all()
    pool, k = ThreadPoolExecutor(1), [2]
    with pytest.raises(TraceError, match='gives work to another thread'):
        d2l.compile(lambda X: X * pool.submit(lambda: k[0]).result())(X)
    pool.shutdown()
