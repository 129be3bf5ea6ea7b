"""Gluon's recurrent cells count their calls, for the names of symbols.

The count is no state of the net: eager calls and graphs have no such names. So a trace neither
guards it nor changes it. It shows a run what the run itself has set, as `unroll` does with `reset`,
and a CallCount in place of a count that goes on from earlier calls.
"""
import dis
import functools
import sys

from mxnet.gluon.rnn import RecurrentCell

COUNTS = '_counter', '_init_counter'        # the attributes


def counts_calls(block, name, value):
    """Return whether an attribute of a Block, with this value, counts the calls of a cell."""
    return name in COUNTS and isinstance(block, RecurrentCell) and (
        type(value) is int or isinstance(value, CallCount))


class CallCount:
    """A number of calls that is known at each call only. It can be counted on and put into a text.

    number: stands for it in texts
    refuse: function that is called for any other use, and returns the error to raise
    """

    def __init__(self, number, refuse):
        self._number, self._refuse = number, refuse

    def __add__(self, other):
        if type(other) is not int:
            raise self._refuse()
        return CallCount(self._number + other, self._refuse)

    def __format__(self, spec):
        return format(self._number, spec)

    def __repr__(self):
        return repr(self._number)

    def __int__(self):
        frame = sys._getframe(1)            # 't%d_' % count calls this, too, and is no call
        found = next(step for step in dis.get_instructions(frame.f_code)
                     if step.offset == frame.f_lasti)
        if 'CALL' in found.opname:
            raise self._refuse()
        return self._number


def _refused(count, *_):
    raise count._refuse()


for _name in ('bool', 'float', 'index', 'hash', 'neg', 'abs', 'eq', 'ne', 'lt', 'le', 'gt', 'ge',
              'sub', 'rsub', 'radd', 'mul', 'rmul', 'mod', 'rmod', 'floordiv', 'truediv', 'pow',
              'and', 'or'):
    setattr(CallCount, f'__{_name}__', functools.partialmethod(_refused))
