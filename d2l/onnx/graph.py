"""The ONNX graph, while converters build it."""
import numpy as np

LONGEST_NAME = 8  # a constant with at most this many elements has them in its name


class Value(str):
    """The name of a value in the graph, with the shape and dtype that MXNet infers.

    shape: dimensions, with a name for each that is free; data: a NumPy array if the value is
    constant, else None
    """

    def __new__(cls, name, shape, dtype, data=None):
        value = super().__new__(cls, name)
        value.shape, value.dtype, value.data = tuple(shape), np.dtype(dtype), data
        return value


class Graph:
    """The nodes and constants of an ONNX graph. Converters add to it with `node`.

    at: the name of the node of MXNet that is being converted
    out: Values without names, which tell the shapes and dtypes of its results
    """

    def __init__(self, onnx, inputs=(), draws=False):
        self.onnx, self.nodes, self.initializers = onnx, [], {}
        self.at, self.out, self._large = '', [], 0
        self.inputs, self.draws, self._shares = inputs, draws, {}

    def node(self, op, *inputs, outputs=1, **attrs):
        """Add a node of ONNX. Return the name of its result, or a list of names if it has several.

        inputs: names, numbers, lists or arrays of numbers, or None for an input that is left out
        attrs: attributes, with None for one that is left out
        """
        name = f'{self.at}.{op}{len(self.nodes)}'
        names = [name] if outputs == 1 else [f'{name}.{i}' for i in range(outputs)]
        while inputs and inputs[-1] is None:        # older ONNX Runtimes take no empty name here
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(
            op, [self._input(x) for x in inputs], names, name=name,
            **{key: value for key, value in attrs.items() if value is not None}))
        return name if outputs == 1 else names

    def _input(self, x):
        if x is None:
            return ''
        x = x if isinstance(x, str) else self.constant(x)
        if getattr(x, 'data', None) is not None and x not in self.initializers:
            self.initializers[x] = self.onnx.numpy_helper.from_array(x.data, x)
        return x

    def name_result(self, x, name):
        """Make a value an output of the graph under this name. An Identity node does it for all
        values alike, also for inputs and constants."""
        node = self.onnx.helper.make_node('Identity', [self._input(x)], [name], name=name)
        self.nodes.append(node)

    def constant(self, numbers, dtype='int64'):
        """Return a constant Value for a number, or for a list or an array of numbers."""
        data = np.array(numbers, dtype)
        if data.size <= LONGEST_NAME:
            name = f'{data.dtype} {data.tolist()}'
        else:
            self._large += 1
            name = f'{self.at}.constant{self._large}'
        return Value(name, data.shape, dtype, data)

    def cast(self, x, dtype):
        """Return x with another dtype."""
        # only Values have a dtype; a missing one, None, would equal np.dtype('float64')
        if isinstance(x, Value) and x.dtype == dtype:
            return x
        return self.node('Cast', x, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def uniform(self, shape):
        """Return random numbers from the uniform distribution on [0, 1) in this shape. Free
        dimensions must be dimensions of inputs. They are a share of the numbers that `draw` draws.
        """
        name = f'{self.at}.share{len(self._shares)}'
        self._shares[name] = self._sized(shape)
        return self.node('Reshape', name, self.lengths(*self._shares[name]))

    def _sized(self, shape):
        """Return a shape as arguments of `lengths` that depend on inputs only, as the numbers are
        drawn before all other nodes run."""
        found = {length: (x, axis) for x in reversed(self.inputs)
                 for axis, length in enumerate(x.shape) if isinstance(length, str)}
        if not all(isinstance(n, int) or n in found for n in shape):
            raise ValueError(
                f'{self.at} draws an array of the shape {shape}, of which no input has a '
                'length: export it for each')
        return [n if isinstance(n, int) else found[n] for n in shape]

    def draw(self):
        """Add the only node that draws random numbers, before all other nodes (see draws.py)."""
        later, self.nodes, self.at = self.nodes, [], 'draws'
        sizes = [int(np.prod(parts)) if all(isinstance(n, int) for n in parts) else self.node(
            'ReduceProd', self.lengths(*parts), axes=[0], keepdims=1)
            for parts in self._shares.values()]
        if all(isinstance(n, int) for n in sizes):
            sizes, drawn = self.constant(sizes), self.node(
                'RandomUniform', shape=[sum(sizes)], dtype=1)
        elif sizes:
            sizes = self.node('Concat', *([n] if isinstance(n, int) else n for n in sizes), axis=0)
            total = self.node('ReduceSum', sizes, keepdims=1)
            drawn = self.node('RandomUniformLike', self.node('ConstantOfShape', total), dtype=1)
        if self._shares:
            self.nodes.append(self.onnx.helper.make_node(
                'Split', [self._input(drawn), self._input(sizes)], [*self._shares],
                name='draws.Split',
                axis=0))
        self.nodes += later

    def lengths(self, *parts):
        """Return a vector of dimensions. A part is a number, or (Value, axis) for the dimension of
        this value at this axis."""
        parts = [p if isinstance(p, int) or isinstance(p[0].shape[p[1]], str) else p[0].shape[p[1]]
                 for p in parts]
        if all(isinstance(p, int) for p in parts):
            return self.constant(parts)
        return self.node('Concat', *([p] if isinstance(p, int) else self.node(
            'Shape', p[0], start=p[1], end=p[1] + 1) for p in parts), axis=0)
