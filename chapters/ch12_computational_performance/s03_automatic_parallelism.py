# %% [markdown] gpu=true needs=["12.2"]
# # 12.3 Automatic Parallelism
#
# What does not depend on each other runs at the same time. Without a GPU
# `try_gpu` gives the CPU, and both parts run there; that takes minutes, so
# try `--quick`.
#
# The engine that runs behind Python finds out by itself what may overlap.
# Look at the sum of the single times beside the time of both at once; on a
# single CPU there is little to gain.

# %%
import d2l
from mxnet import np, npx
npx.set_np()

# %% [markdown]
# ## 12.3.1 Parallel Computation on CPUs and GPUs
#
# Ten matrix products, on a device.

# %%
def run(x):
    return [x.dot(x) for _ in range(10)]

x_cpu = np.random.uniform(size=(2000, 2000))
x_gpu = np.random.uniform(size=(6000, 6000), ctx=d2l.try_gpu())

# %% [markdown]
# Each device for itself:

# %%
run(x_cpu)  # Warm-up both devices
run(x_gpu)
npx.waitall()

with d2l.benchmark('CPU time: %.4f sec'):
    run(x_cpu)
    npx.waitall()

with d2l.benchmark('GPU time: %.4f sec'):
    run(x_gpu)
    npx.waitall()

# %% [markdown]
# And both:

# %%
with d2l.benchmark('CPU&GPU : %.4f sec'):
    run(x_cpu)
    run(x_gpu)
    npx.waitall()

# %% [markdown]
# ## 12.3.2 Parallel Computation and Communication
#
# Computing first, then copying to the CPU.

# %%
def copy_to_cpu(x):
    return [y.copyto(npx.cpu()) for y in x]

with d2l.benchmark('Run  on GPU: %.4f sec'):
    y = run(x_gpu)
    npx.waitall()

with d2l.benchmark('Copy to CPU: %.4f sec'):
    y_cpu = copy_to_cpu(y)
    npx.waitall()

# %% [markdown]
# The first results are copied while the others are still computed.

# %%
with d2l.benchmark('Run on GPU and copy to CPU: %.4f sec'):
    y = run(x_gpu)
    y_cpu = copy_to_cpu(y)
    npx.waitall()
