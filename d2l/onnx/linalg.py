"""Converters for operators of linear algebra (see operators.py). ONNX has no operator that solves
equations, so the file has all steps of an elimination, one after another."""
import numpy as np

from .graph import Value
from .indexing import cut
from .operators import NoConverter, operator

MAX_ROWS = 32                       # largest matrix for which an elimination is written to a file


def _rows(g, A):
    n = A.shape[-1]
    if isinstance(n, str) or n > MAX_ROWS:
        raise NoConverter(f'an elimination of more than {MAX_ROWS} rows, or of a free number')
    return n


def _eliminated(g, A, *right):
    """Solve A X = right by Gauss-Jordan elimination with partial pivoting, for matrices in the last
    two axes.

    Return (X, the pivots of all steps, whether each step has exchanged rows). X is None without a
    right-hand side.
    """
    n, dtype, pivots, exchanged = _rows(g, A), A.dtype, [], []
    zero, places = g.constant(0, dtype), np.arange(n)[:, None]
    M = g.node('Concat', A, *right, axis=-1)
    for k in range(n):
        sizes = g.node('Where', g.constant(places >= k, 'bool'),
                       g.node('Abs', cut(g, M, -1, k, k + 1)),
                       g.constant(-1, dtype))
        best = g.node('ArgMax', sizes, axis=-2, keepdims=1)
        there = g.node('Equal', g.constant(places), best)
        row = g.node('ReduceSum', g.node('Where', there, M, zero), [-2], keepdims=1)
        pivots.append(cut(g, row, -1, k, k + 1))
        exchanged.append(g.node('Not', g.node('Equal', best, g.constant(k))))
        M = g.node('Where', there, cut(g, M, -2, k, k + 1), M)
        row = g.node('Div', row, pivots[-1])
        M = g.node('Where', g.constant(places == k, 'bool'), row, g.node(
            'Sub', M, g.node('Mul', cut(g, M, -1, k, k + 1), row)))
    X = cut(g, M, -1, n, np.iinfo('int64').max) if right else None
    return X, *(g.node('Concat', *parts, axis=-1) for parts in (pivots, exchanged))


def _identity(g, A):
    """Return an identity matrix for each matrix in A."""
    n = _rows(g, A)
    shape = g.lengths(*((A, i) for i in range(len(A.shape))))
    return g.node('Expand', g.constant(np.eye(n), A.dtype), shape)


def _square(g, A, rows):
    """Return an array as a square matrix with this number of rows."""
    return Value(g.node('Reshape', A, [rows, rows]), [rows, rows], A.dtype)


@operator('_linalg_inverse')
def inv(g, A):
    return _eliminated(g, A, _identity(g, A))[0]


@operator('_npi_solve')
def solve(g, A, b):
    vector = len(b.shape) == len(A.shape) - 1
    X, *_ = _eliminated(g, A, g.node('Unsqueeze', b, [-1]) if vector else b)
    return g.node('Squeeze', X, [-1]) if vector else X


@operator('_npi_tensorinv')
def tensorinv(g, A, *, ind=2):
    n = int(np.prod(A.shape[:ind]))
    return g.node('Reshape', inv(g, _square(g, A, n)), g.out[0].shape)


@operator('_npi_tensorsolve')
def tensorsolve(g, A, b, *, a_axes=()):
    axes = [a % len(A.shape) for a in ([a_axes] if isinstance(a_axes, int) else a_axes)]
    perm = [i for i in range(len(A.shape)) if i not in axes] + axes
    n = int(np.prod(b.shape))
    A = Value(g.node('Transpose', A, perm=perm), A.shape, A.dtype)
    X, *_ = _eliminated(g, _square(g, A, n), g.node('Reshape', b, [n, 1]))
    return g.node('Reshape', X, g.out[0].shape)


def _sign(g, A, pivots, exchanged):
    """Return the sign of the determinant: the product of the signs of the pivots, with a change of
    sign for each exchange of rows."""
    one = g.constant(1, A.dtype)
    signs = g.node('Mul', g.node('Sign', pivots),
                   g.node('Where', exchanged, g.node('Neg', one), one))
    return g.node('ReduceProd', signs, axes=[-2, -1], keepdims=0)


@operator('_linalg_det')
def det(g, A):
    _, pivots, exchanged = _eliminated(g, A)
    size = g.node('ReduceProd', g.node('Abs', pivots), axes=[-2, -1], keepdims=0)
    return g.node('Mul', _sign(g, A, pivots, exchanged), size)


@operator('_linalg_slogdet')
def slogdet(g, A):
    _, pivots, exchanged = _eliminated(g, A)
    size = g.node('ReduceSum', g.node('Log', g.node('Abs', pivots)), [-2, -1], keepdims=0)
    return [_sign(g, A, pivots, exchanged), size]


@operator('_npi_cholesky')
def cholesky(g, A):
    n, ndim, columns = _rows(g, A), len(A.shape), []
    places = np.arange(n)[:, None]
    for k in range(n):
        column = g.node('Div', cut(g, A, -1, k, k + 1), g.node(
            'Sqrt', cut(g, cut(g, A, -1, k, k + 1), -2, k, k + 1)))
        column = g.node('Where', g.constant(places >= k, 'bool'), column,
                        g.constant(0, g.out[0].dtype))
        columns.append(column)
        A = g.node('Sub', A, g.node('MatMul', column, g.node(
            'Transpose', column, perm=[*range(ndim - 2), ndim - 1, ndim - 2])))
    return g.node('Concat', *columns, axis=-1)
