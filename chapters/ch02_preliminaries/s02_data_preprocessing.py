# %% [markdown] needs=["2.1"]
# # 2.2 Data Preprocessing
#
# Real data come with words and gaps. pandas turns a small csv file of houses
# into numbers, and those become arrays.
#
# Every chapter with a table of real data, such as the house prices of chapter
# 4, begins with these three steps. Look at how the missing room number and
# the missing alley turn into numbers, and at the type of the arrays in the
# end.

# %% [markdown]
# ## 2.2.1 Reading the Dataset
#
# First a folder to write to, then a file of four houses, then pandas reads
# it.

# %%
import os

# Saved in the d2l package for later use
def mkdir_if_not_exist(path):
    if not isinstance(path, str):
        path = os.path.join(*path)
    if not os.path.exists(path):
        os.makedirs(path)

# %%
data_file = '../data/house_tiny.csv'
mkdir_if_not_exist('../data')
with open(data_file, 'w') as f:
    f.write('NumRooms,Alley,Price\n')  # Column names
    f.write('NA,Pave,127500\n')  # Each row is a data point
    f.write('2,NA,106000\n')
    f.write('4,NA,178100\n')
    f.write('NA,NA,140000\n')

# %%
# If pandas is not installed, just uncomment the following line:
# # !pip install pandas
import pandas as pd

data = pd.read_csv(data_file)
print(data)

# %% [markdown]
# ## 2.2.2 Handling Missing Data
#
# A missing number becomes its column's mean; a missing word becomes a
# category of its own.

# %%
inputs, outputs = data.iloc[:, 0:2], data.iloc[:, 2]
inputs = inputs.fillna(inputs.mean())
print(inputs)

# %%
inputs = pd.get_dummies(inputs, dummy_na=True)
print(inputs)

# %% [markdown]
# ## 2.2.3 Conversion to the ndarray Format
#
# With only numbers left, the table's values go into two arrays.

# %%
from mxnet import np

X, y = np.array(inputs.values), np.array(outputs.values)
X, y
