"""Export of nets to ONNX, so that they run without MXNet.

    d2l.export_onnx(net, 'lenet.onnx', X)       # pip install onnx

- `export.py`: from a net to a file
- `graph.py`: the ONNX graph while it is built
- `operators.py`, `indexing.py`, `linalg.py`, `detection.py`: a converter for each operator of MXNet
- `draws.py`: converters for operators that draw random numbers, with `draws=True`
- `runtime.py`: predictions by ONNX Runtime, `d2l.compile(net, X, runtime='onnx')`

MXNet's own exporter, `mx.onnx`, is not used: it has converters for few operators of `mxnet.np` and
none for a bidirectional RNN of two layers (9.4), and it ignores attributes that it does not know.
"""
from .export import NoConverter, export_onnx

__all__ = ['NoConverter', 'export_onnx']
