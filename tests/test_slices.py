import ast

import pytest

from ci import slices


def backward(source, expression, given=()):
    nodes = slices.statements([source])
    return [ast.unparse(node) for node in slices.backward(nodes, expression, given)]


@pytest.mark.parametrize('source, expression, taken', [
    ('a = 1\nb = 2\nc = a', 'c', ['a = 1', 'c = a']),
    ('a = 1\na = 2', 'a', ['a = 2']),
    ('a = 1\na = a + 1', 'a', ['a = 1', 'a = a + 1']),
    ('net = []\nnet.add(1)\nnet.train(2)', 'net', ['net = []', 'net.add(1)']),
    ('import d2l\nd2l.train(1)\nx = d2l.y', 'x', ['import d2l', 'x = d2l.y']),
    ('a, b = 1, 2\nc = b', 'c', ['a, b = (1, 2)', 'c = b']),
    ('net = []\nfor i in range(3):\n    net.add(i)', 'net',
     ['net = []', 'for i in range(3):\n    net.add(i)']),
    ('net = []\nfor layer in net:\n    X = layer(X)', 'net', ['net = []']),
    # w is read when f is called: its definition may come later
    ('def f(X):\n    return X + w\nw = 1\nw2 = 3', 'f', ['def f(X):\n    return X + w', 'w = 1']),
    # names local to a function or a comprehension are not the section's
    ('X = 5\ndef f(X):\n    y = X\n    return [i for i in y]\ny = i = 2', 'f',
     ['def f(X):\n    y = X\n    return [i for i in y]']),
    ('class A(B):\n    def f(self):\n        return g()\ndef g():\n    return 1\nB = object', 'A',
     ['class A(B):\n\n    def f(self):\n        return g()', 'def g():\n    return 1',
      'B = object']),
    ('%matplotlib inline\na = 1', 'a', ['a = 1']),
    ('a = 1\na.b[0] = 2', 'a', ['a = 1', 'a.b[0] = 2']),
])
def test_backward(source, expression, taken):
    # unparse spells tuples another way before Python 3.11
    assert backward(source, expression) == [ast.unparse(ast.parse(text)) for text in taken]


def test_given_names_stop_the_slice():
    assert backward('vocab = load()\nnet = f(vocab)', 'net', given=['vocab']) == ['net = f(vocab)']
