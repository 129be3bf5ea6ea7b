# %% [markdown] data=["ctr"] gpu=true needs=["15.8"]
# # 15.9 Factorization Machines
#
# Linear regression, and for each pair of features the inner product of their
# vectors.
#
# A sum over all pairs of features would be long, and a trick makes it linear.
# Look at the accuracy beside the share of the commoner class, which a guess
# would reach.

# %% [markdown]
# ## 15.9.1 2-Way Factorization Machines
#
# A weight for each pair of features would be too many and too seldom seen; a
# vector for each feature is enough.
#
# ## 15.9.2 An Efficient Optimization Criterion
#
# The sum over all pairs is half the square of the sum less the sum of the
# squares.

# %%
import d2l
from mxnet import init, gluon, np, npx
from mxnet.gluon import nn
import sys
npx.set_np()

# %% [markdown]
# ## 15.9.3 Model Implementation
#
# An embedding layer of one column is a linear model over categories.

# %%
class FM(nn.Block):
    def __init__(self, field_dims, num_factors):
        super(FM, self).__init__()
        input_size = int(sum(field_dims))
        self.embedding = nn.Embedding(input_size, num_factors)
        self.fc = nn.Embedding(input_size, 1)
        self.linear_layer = gluon.nn.Dense(1, use_bias=True)

    def forward(self, x):
        square_of_sum = np.sum(self.embedding(x), axis=1) ** 2
        sum_of_square = np.sum(self.embedding(x) ** 2, axis=1)
        x = self.linear_layer(self.fc(x).sum(1)) \
            + 0.5 * (square_of_sum - sum_of_square).sum(1, keepdims=True)
        x = npx.sigmoid(x)
        return x

# %% [markdown]
# ## 15.9.4 Load the Advertising Dataset
#
# The test set takes its numbers from the training set.

# %%
batch_size = 2048
data_dir = d2l.download_extract('ctr')
train_data = d2l.CTRDataset(data_dir + "train.csv")
test_data = d2l.CTRDataset(data_dir + "test.csv",
                           feat_mapper=train_data.feat_mapper,
                           defaults=train_data.defaults)
num_workers = 0 if sys.platform.startswith("win") else 4
train_iter = gluon.data.DataLoader(
    train_data, shuffle=True, last_batch="rollover", batch_size=batch_size,
    num_workers=num_workers)
test_iter = gluon.data.DataLoader(
    test_data, shuffle=False, last_batch="rollover", batch_size=batch_size,
    num_workers=num_workers)

# %% [markdown]
# ## 15.9.5 Train the Model
#
# With the training function of 13.1.

# %%
ctx = d2l.try_all_gpus()
net = FM(train_data.field_dims, num_factors=20)
net.initialize(init.Xavier(), ctx=ctx)
lr, num_epochs, optimizer = 0.02, 30, 'adam'
trainer = gluon.Trainer(net.collect_params(), optimizer,
                        {'learning_rate': lr})
loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()
d2l.train_ch13(net, train_iter, test_iter, loss, trainer, num_epochs, ctx)
