"""Rules for Python loops over time steps, which put the same operators into the graph at each step.

A recurrent layer, `for X in inputs`, puts one cell per step into the graph. The cells are found by
what they compute, whatever the code looks like:

    RNN     H' = tanh(X W_x + H W_h + b)
    LSTM    I, F, O = sigmoid(X W_x. + H W_h. + b_.), G = tanh(the same), C' = F C + I G,
            H' = O tanh(C')

A chain of at least two cells with the same parameters becomes MXNet's operator RNN. (The book's GRU
is not replaced, as MXNet's GRU differs: it applies the reset gate after the product with W_h.)
"""
import dataclasses

from .graph import shape
from .rules import FLOAT, RESHAPES, rule_table

RULES, rule = rule_table()
LAST_RULES, last_rule = rule_table()    # for steps that the other rules leave
MIN_STEPS = 4               # that `split` takes from an array: fewer gain little
MIN_SHARE = 1 / 2           # of the steps of the array


@dataclasses.dataclass(eq=False)
class Cell:
    """One step of a recurrent layer.

    hidden: its hidden state, a value
    memory, before: its cell state, and the cell state that it takes; both None for an RNN
    gates: ({source: weight}, bias) for each gate
    """
    hidden: tuple
    memory: tuple
    before: tuple
    gates: list

    def follows(self, other):
        """Return whether this cell is the next step of the same layer as another one."""
        return self.before == other.memory and all(
            other.hidden in mine and bias == bias2 and {*mine.values()} == {*others.values()}
            for (mine, bias), (others, bias2) in zip(self.gates, other.gates))


def terms(value):
    """Return the values that a tree of additions adds up, if there are at most three. Otherwise
    return four of its values, some of which may be sums themselves."""
    found = [value]
    while len(found) <= 3:
        sums = [i for i, (node, _) in enumerate(found) if node.op == '_npi_add']
        if not sums:
            break
        found[sums[0]:sums[0] + 1] = found[sums[0]][0].inputs
    return found


def gate(value, op):
    """Return ({source: weight}, bias) if a value is op(X W + H V + b) for matrices X and H, else
    None."""
    if value[0].op != op or value[0].dtypes[0] != FLOAT:
        return None
    rows, size = shape(value) if len(shape(value)) == 2 else (None, None)
    parts = terms(value[0].inputs[0])
    products = [v[0] for v in parts if v[0].op == '_np_dot' and shape(v) == (rows, size)
                and len(shape(v[0].inputs[0])) == len(shape(v[0].inputs[1])) == 2]
    biases = [v for v in parts if shape(v) == (size,)]
    weights = {product.inputs[0]: product.inputs[1] for product in products}
    if len(parts) == 3 and len({*weights.values()}) == 2 and len(biases) == 1:
        return weights, biases[0]


def factors(value, op):
    """Return both orders of the two arguments of a value's operator; [] if it is not `op`."""
    inputs = value[0].inputs
    return [tuple(inputs), tuple(inputs[::-1])] if value[0].op == op else []


def lstm_cell(value):
    """Return the Cell whose hidden state is this value, or None."""
    for output, tanh_c in factors(value, '_npi_multiply'):
        if tanh_c[0].op != '_npi_tanh':
            continue
        memory, = tanh_c[0].inputs
        for forget_term, input_term in factors(memory, '_npi_add'):
            for forget, before in factors(forget_term, '_npi_multiply'):
                for input_gate, new in factors(input_term, '_npi_multiply'):
                    # in the order of the parameters of MXNet's RNN
                    gates = [gate(input_gate, '_npx_sigmoid'), gate(forget, '_npx_sigmoid'),
                             gate(new, '_npi_tanh'), gate(output, '_npx_sigmoid')]
                    if all(gates):
                        return Cell(value, memory, before, gates)


def rnn_cell(value):
    """Return the Cell whose hidden state is this value, or None."""
    found = gate(value, '_npi_tanh')
    return found and Cell(value, None, None, [found])


def fuse_recurrences(graph):
    """Replace all chains of cells in the graph by the operator RNN. Return the set of the names of
    the rules that replaced a value: this one's, or none."""
    cells = [cell for node in graph.nodes for cell in [rnn_cell((node, 0)) or lstm_cell((node, 0))]
             if cell]
    next_of, used = {}, set()           # source -> the cells that take it
    for cell in cells:
        for source in cell.gates[0][0]:
            next_of.setdefault(source, []).append(cell)
    while cells:
        chain = [cells[0]]
        while after := next((cell for cell in next_of.get(chain[-1].hidden, ())
                             if cell in cells and cell.follows(chain[-1])), None):
            chain.append(after)
        cells = [cell for cell in cells if cell not in chain]
        if len(chain) > 1 and fuse(graph, chain):
            used.add(fuse_recurrences.__name__)
    return used


def fuse(graph, chain):
    """Replace the results of a chain of cells by those of an operator RNN. Return False, and
    replace nothing, if the cells take different kinds of arguments, or if the input of one depends
    on the result of another."""
    first, second = chain[:2]
    into_hidden = [weights[first.hidden] for weights, _ in second.gates]
    inputs, states = [], []
    for cell in chain:
        sources = {tuple(sorted(weights, key=lambda v: weights[v] == w))
                   for (weights, _), w in zip(cell.gates, into_hidden)}
        if len(sources) > 1:
            return False
        (x, h), = sources
        inputs.append(x)
        states.append(h)
    batch, size = shape(first.hidden)
    starts = [v for v in (states[0], first.before) if v]
    if (states[1:] != [cell.hidden for cell in chain[:-1]]
            or {*map(shape, inputs)} != {(batch, shape(inputs[0])[1])}
            or {*map(shape, starts)} != {(batch, size)} or 0 in (batch, size, *shape(inputs[0]))):
        return False
    into_input = [weights[inputs[0]] for weights, _ in first.gates]
    biases, steps = [bias for _, bias in first.gates], len(chain)
    # these values may be results of a lower layer that is replaced already
    inputs, starts, into_input, into_hidden, biases = taken = [
        [*map(graph.resolved, values)]
        for values in (inputs, starts, into_input, into_hidden, biases)]
    if graph.depends(sum(taken, []), {cell.hidden[0] for cell in chain}):
        return False

    def weight(value):
        n, h = shape(value)
        return graph.reshape(graph.new('transpose', [value], (h, n), axes=(1, 0)), n * h)
    parameters = graph.concat([*map(weight, into_input), *map(weight, into_hidden), *biases,
                               graph.ones(len(biases) * size, value=0)], 0)
    starts = [graph.reshape(value, 1, batch, size) for value in starts]
    node, _ = value = graph.new(
        'RNN', [stacked(graph, inputs), parameters, *starts], (steps, batch, size),
        mode='lstm' if first.memory else 'rnn_tanh', state_size=size,
        num_layers=1, state_outputs=True)
    node.shapes += [(1, batch, size)] * len(starts)
    node.dtypes *= len(node.shapes)
    for step, cell in enumerate(chain):
        part = graph.new('slice_axis', [value], (1, batch, size), axis=0, begin=step, end=step + 1)
        graph.replaced[cell.hidden] = graph.reshape(part, batch, size)
    if first.memory:
        graph.replaced[chain[-1].memory] = graph.reshape((node, 2), batch, size)
    return True


def step_of(value):
    """Return (array, t) where a value has the elements of array[t], or (None, None)."""
    node = value[0]
    part = node.inputs[0][0] if node.op in RESHAPES else node
    if part.op in ('slice', 'slice_axis') and part.attr('axis', 0) == 0:
        begin, end = part.attr('begin'), part.attr('end')
        if isinstance(begin, int) and 0 <= begin == (end or 0) - 1:
            return part.inputs[0], begin
    return None, None


def stacked(graph, values):
    """Return arrays of one shape stacked along a new first axis. If they are all the steps of one
    array, return that array."""
    steps, one = [step_of(value) for value in values], shape(values[0])
    array, _ = steps[0]
    if array and steps == [(array, t) for t in range(len(steps))] and shape(array) == (
            len(steps), *one):
        return array
    return graph.concat([graph.reshape(value, 1, *one) for value in values], 0)


@rule('_npi_concatenate', 'Concat')
def hoist_matmul_over_concat(graph, node):
    """A concatenation of products with the same matrix, or of sums with the same bias -> one
    product or sum of the concatenated arguments. A concatenation of all steps of an array -> that
    array."""
    if node.attr('axis', node.attr('dim', 1)) != 0 or len(node.inputs) < 2:
        return None
    array, _ = step_of(node.inputs[0])
    if array and stacked(graph, node.inputs) == array:
        return graph.reshape(array, *node.shapes[0])
    first = node.inputs[0][0]
    if first.op not in ('_np_dot', '_npi_add') or any(
            part.op != first.op or part.inputs[1] != first.inputs[1]
            or len(shape(part.inputs[0])) != 2 for part, _ in node.inputs):
        return None
    if len(shape(first.inputs[1])) != (2 if first.op == '_np_dot' else 1):
        return None
    whole = graph.concat([part.inputs[0] for part, _ in node.inputs], 0)
    return graph.new(first.op, [whole, first.inputs[1]], node.shapes[0])


@last_rule('slice_axis')
def split(graph, node):
    """In training, many steps of an array along its first axis -> the results of one SliceChannel,
    whose gradient is made once. That of each slice has the size of the whole array.

    A step that sums some rows was timed, with the rule / without (two threads, medians of 15 in
    turn, others were running). Rows of 32 x 256: all 35 of 35 rows 0.19, 8 of 35 0.44, 4 of 35
    0.85, 4 of 4 0.81, and 0.88 to 1.00 for 2 or 3 rows. Rows of 3: 100 of 200 0.61, 25 of 200 1.03,
    4 of 200 1.83, 4 of 2000 3.86. So it wants MIN_SHARE, though fewer large rows would gain."""
    array, t = step_of((node, 0))
    if not graph.training or not array:
        return None
    count = shape(array)[0]
    taken = [user for user in graph.users.get(array, ()) if user.op == 'slice_axis'
             and step_of((user, 0))[0]]
    if len(taken) < max(MIN_STEPS, count * MIN_SHARE):
        return None
    whole, _ = graph.new('SliceChannel', [array], node.shapes[0], once=True, num_outputs=count,
                         axis=0)
    whole.shapes, whole.dtypes = node.shapes * count, node.dtypes * count
    return whole, t
