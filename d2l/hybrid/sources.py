"""Where the arrays come from that are fed to a traced graph."""

OUTSIDE = 'input', 'param', 'state'     # kinds of the arrays that were there before the trace
GIVEN = 'input', 'state', 'cut'         # kinds of the arrays that may be others at each call


class Source:
    """What an input of a traced graph stands for. Two are equal if they name the same array.

    kind: 'input', the array of this index among the arguments; 'param', the array of this index of
        a Parameter; 'state', the array of this index in the slots; 'const', an array made in the
        trace; or 'cut', the array of this index that earlier pieces have passed on
    """

    # no NamedTuple: a trace would take the function that makes one for the user's

    def __init__(self, kind, index=None, parameter=None, array=None):
        self.kind, self.index, self.parameter, self.array = kind, index, parameter, array

    def __eq__(self, other):
        return (isinstance(other, Source) and (self.kind, self.index) == (other.kind, other.index)
                and self.parameter is other.parameter and self.array is other.array)

    def __hash__(self):
        return hash((self.kind, self.index))

    @property
    def learns(self):
        """Whether it is a Parameter that has gradients."""
        return self.kind == 'param' and self.parameter.grad_req != 'null'

    @property
    def moves(self):
        """Whether its array may need a gradient."""
        return self.kind in GIVEN or self.learns
