# %% [markdown] data=["fashion_mnist"] gpu=true own=true needs=["12.1"]
# # 19.1 A Network that Outlives MXNet (Not in the Book)
#
# The listings are ours: the book ends with chapter 18. MXNet is no longer
# developed; what was trained with it can be used without it. The LeNet of 6.6
# is trained, written as an ONNX file, and run by ONNX Runtime in a process
# that never imports MXNet. Both packages come with
# `pip install -c constraints.txt '.[onnx]' onnxruntime`.
#
# It is ours, and the book ends before it. Look at the largest difference
# between MXNet and ONNX Runtime, and at the file, which other programs can
# run without Python or MXNet.

# %% [markdown]
# ## 19.1.1 Training
#
# The network and its training are those of 6.6.

# %%
import d2l
from mxnet import npx
from mxnet.gluon import nn
import numpy
import os
import subprocess
import sys
import tempfile
npx.set_np()

net = nn.Sequential()
net.add(nn.Conv2D(channels=6, kernel_size=5, padding=2, activation='sigmoid'),
        nn.AvgPool2D(pool_size=2, strides=2),
        nn.Conv2D(channels=16, kernel_size=5, activation='sigmoid'),
        nn.AvgPool2D(pool_size=2, strides=2),
        nn.Dense(120, activation='sigmoid'),
        nn.Dense(84, activation='sigmoid'),
        nn.Dense(10))
batch_size, lr, num_epochs = 256, 0.9, 10
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size=batch_size)
d2l.train_ch5(net, train_iter, test_iter, num_epochs, lr)

# %% [markdown]
# ## 19.1.2 Exporting
#
# Two batch sizes as examples make a file for any. Beside it lie images to
# classify, 100 of them, as NumPy writes arrays.

# %%
ctx = d2l.try_gpu()
folder = tempfile.mkdtemp()
X = next(iter(test_iter))[0][:100].as_in_ctx(ctx)
d2l.export_onnx(net, os.path.join(folder, 'lenet.onnx'), X[:2], other=X[:3])
numpy.save(os.path.join(folder, 'images.npy'), X.asnumpy())
print(os.listdir(folder))

# %% [markdown]
# ## 19.1.3 Classifying without MXNet
#
# A program of its own, for any machine with NumPy and ONNX Runtime. The input
# is called `x`, as in Gluon's `Sequential`.

# %%
program = '''
import sys
import numpy as np
import onnxruntime

lenet = onnxruntime.InferenceSession('lenet.onnx')
y_hat, = lenet.run(None, {'x': np.load('images.npy')})
np.save('y_hat.npy', y_hat)
print('classes', y_hat.argmax(axis=1)[:9])
print('MXNet imported:', 'mxnet' in sys.modules)
'''
done = subprocess.run([sys.executable, '-c', program], cwd=folder, text=True,
                      stdout=subprocess.PIPE, check=True)
print(done.stdout)

# %% [markdown]
# MXNet gives the same classes, and the same numbers but for the last digits.

# %%
y_hat = net(X).asnumpy()
print('classes', y_hat.argmax(axis=1)[:9])
theirs = numpy.load(os.path.join(folder, 'y_hat.npy'))
difference = numpy.abs(y_hat - theirs).max()
print('largest difference %.1e' % difference)
assert difference < 1e-4 and done.stdout.endswith('MXNet imported: False\n')
