"""ONNX: a net of the book without MXNet.

    d2l.export_onnx(net, 'lenet.onnx', X)       # pip install onnx

- `export.py`: from a net to a file
- `graph.py`: the ONNX graph while it is built
- `operators.py`, `indexing.py`, `linalg.py`, `detection.py`: a converter for each operator of MXNet
- `draws.py`: and for those that draw random numbers, with `draws=True`
- `runtime.py`: predictions by ONNX Runtime, `d2l.compile(net, X, runtime='onnx')`

MXNet's own exporter, `mx.onnx`, is not built on: it has converters for few operators of `mxnet.np`,
none for a bidirectional RNN of two layers (9.4), and lets attributes that it does not know pass.
"""
from .export import NoConverter, export_onnx

__all__ = ['NoConverter', 'export_onnx']
