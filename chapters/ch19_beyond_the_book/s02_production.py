# %% [markdown] own=true needs=["12.1", "19.1"]
# # 19.2 From the Book to Production (Not in the Book)
#
# The listings are ours. A network as a reader writes it, with Python in its
# `forward`, becomes a service: it is compiled, its speed is measured, it is
# written as an ONNX file, and a process without MXNet answers requests with
# it.
#
# Look at the comparisons: the compiled network gives the same values to the
# last bit, and the service the same but for the last digits. The times depend
# on the machine, and a network of few and large operators gains less than one
# of many small ones. No data are needed, for the parameters are random.

# %% [markdown]
# ## 19.2.1 A Network
#
# Residual blocks, as many as the reader asks for, in a loop, and a shortcut
# only where the shapes allow it. None of this needs to be written in another
# way to be compiled.

# %%
import d2l
from mxnet import init, np, npx
from mxnet.gluon import nn
import io
import numpy
import os
import subprocess
import sys
import tempfile
import urllib.request
npx.set_np()

class Block(nn.Block):
    def __init__(self, channels, **kwargs):
        super(Block, self).__init__(**kwargs)
        self.conv = nn.Conv2D(channels, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm()

    def forward(self, X):
        Y = npx.relu(self.norm(self.conv(X)))
        return X + Y if X.shape == Y.shape else Y

class Classifier(nn.Block):
    def __init__(self, num_blocks, channels=8, **kwargs):
        super(Classifier, self).__init__(**kwargs)
        self.blocks = nn.Sequential()
        for _ in range(num_blocks):
            self.blocks.add(Block(channels))
        self.output = nn.Dense(10)

    def forward(self, X):
        for block in self.blocks:
            X = block(X)
        return self.output(X.mean(axis=(2, 3)))

num_blocks, num_calls = 8, 100
net = Classifier(num_blocks)
net.initialize(init.Xavier())
X = np.random.normal(size=(4, 1, 14, 14))
Y = net(X)
Y.shape

# %% [markdown]
# ## 19.2.2 Compiling
#
# One line, and the same values, each bit of them.

# %%
d2l.hybridize(net)
print('equal:', bool((net(X) == Y).all()))

# %% [markdown]
# ## 19.2.3 Measuring
#
# MXNet computes in the background, so the clock is stopped only when all
# results are there, and the first call, which compiles, comes before it is
# started. The three ways take turns, so that a machine that is slow for a
# while slows all of them down; the shortest time of each counts.

# %%
def seconds(net):
    net(X), npx.waitall()
    timer = d2l.Timer()
    for _ in range(num_calls):
        net(X)
    npx.waitall()
    return timer.stop() / num_calls

ways = {'eager': dict(active=False), 'compiled': {},
        'optimized': dict(optimize=True)}
times = {name: [] for name in ways}
for _ in range(3):
    for name, options in ways.items():
        times[name].append(seconds(d2l.hybridize(net, **options)))
for name in ways:
    print('%-9s %.2f ms, %.1f times as fast as eager' % (
        name, 1000 * min(times[name]), min(times['eager']) / min(times[name])))

# %% [markdown]
# ## 19.2.4 Exporting
#
# Two batch sizes as examples make a file for any.

# %%
d2l.hybridize(net)
folder = tempfile.mkdtemp()
d2l.export_onnx(net, os.path.join(folder, 'net.onnx'), X, other=X[:3])
print(os.listdir(folder))

# %% [markdown]
# ## 19.2.5 Serving
#
# A program for a machine with NumPy and ONNX Runtime: it takes arrays as
# NumPy saves them and answers with the scores of the classes in the same form,
# on a free port of this machine that it prints. It does not unpickle what a
# stranger sends, and takes no more than a megabyte.

# %%
program = '''
import http.server
import io
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession('net.onnx')
name = session.get_inputs()[0].name

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers['Content-Length'])
        length = min(max(length, 0), 2**20)
        X = np.load(io.BytesIO(self.rfile.read(length)), allow_pickle=False)
        y_hat, = session.run(None, {name: X})
        answer = io.BytesIO()
        np.save(answer, y_hat)
        self.send_response(200)
        self.send_header('Content-Length', str(answer.tell()))
        self.end_headers()
        self.wfile.write(answer.getvalue())

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
'''
server = subprocess.Popen([sys.executable, '-c', program], cwd=folder,
                          stdout=subprocess.PIPE, text=True)
address = 'http://127.0.0.1:%s/' % server.stdout.readline().strip()

# %% [markdown]
# Seven images at once, a number that was not among the examples; and the
# same seven by MXNet.

# %%
X = np.random.normal(size=(7, 1, 14, 14))
file = io.BytesIO()
numpy.save(file, X.asnumpy())
try:
    with urllib.request.urlopen(address, file.getvalue(), timeout=60) as answer:
        served = numpy.load(io.BytesIO(answer.read()))
finally:
    server.kill()
    server.wait()
    server.stdout.close()
difference = numpy.abs(served - net(X).asnumpy()).max()
print(served.shape, 'largest difference %.1e' % difference)
assert difference < 1e-4
