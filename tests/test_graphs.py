import ctypes
import os

from mxnet import sym

from d2l import graphs


def resident():
    """Return the bytes of memory that this process uses, after malloc has given back what is free.
    """
    ctypes.CDLL(None).malloc_trim(0)
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')


def test_reading_graphs_keeps_no_memory():
    """A graph is read at each trace, and at each call of autograd.grad. `Symbol.tojson` keeps
    13 KB each time for this one."""
    symbol = sym.var('x').as_np_ndarray()
    for _ in range(20):
        symbol = sym.np.tanh(symbol) + 1
    for _ in range(200):
        graphs.from_symbol(symbol)
    before = resident()
    for _ in range(1000):
        graph = graphs.from_symbol(symbol)
    assert resident() - before < 2 << 20
    assert [node['op'] for node in graph['nodes']] == [
        'null', *['_npi_tanh', '_npi_add_scalar'] * 20]


def test_a_graph_has_no_casts_of_mixed_precision():
    symbol = sym.amp_cast(sym.var('x'), dtype='float16')
    graph = graphs.from_symbol(sym.tanh(symbol))
    assert [node['op'] for node in graph['nodes']] == ['null', 'tanh']
    assert symbol.get_internals().list_outputs()[0] == 'x'      # the Symbol itself is as it was
