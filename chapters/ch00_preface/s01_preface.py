# %% [markdown]
# # 0.1 Preface
#
# The preface has one listing: what the `d2l` package imports. It heads `d2l/book.py`, which is
# why `d2l.plt`, `d2l.np` or `d2l.defaultdict` work everywhere.
#
# The listing is not for typing along: it is the first cell of the library
# that `import d2l` loads, and each later section that begins with that line
# stands on it. Look at which names it binds. Running it takes no longer than
# the imports themselves and prints nothing.

# %%
# Saved in the d2l package for later use
import collections
from collections import defaultdict
from IPython import display
import math
from matplotlib import pyplot as plt
from mxnet import autograd, context, gluon, image, init, np, npx
from mxnet.gluon import nn, rnn
import os
import pandas as pd
import random
import re
import shutil
import sys
import tarfile
import time
import zipfile
