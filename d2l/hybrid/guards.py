"""The part of Python's state that a trace has read, and a check that it has not changed since.

A `Slot` is a place outside of the traced function that holds a value: an attribute of a Block, a
global, a cell of a closure, an attribute of a class or a module, the defaults of a function. A
`Guard` checks at each call that all slots hold equal values to those of the trace, where equal
means that `tree.flatten` gives equal structures, and finds the arrays that they hold now. To take
only a few microseconds, it first checks whether anything was touched: it compares the version
number that CPython keeps for each dict (PEP 509), and everything else by identity. It compares
values only if this check fails.
"""
import collections
import ctypes
import gc
import itertools
import operator
import sys
import types

from .. import c_api
from .tree import CannotHold, Tree, is_module, has_no_nodes, slots

MISSING = object()
_VERSIONED = sys.version_info < (3, 12)     # dicts have a version: PEP 509, PEP 699
_version = operator.attrgetter('value')
_first = operator.itemgetter(0)
_same, _missing = operator.is_, itertools.repeat(MISSING)
_dict = itertools.repeat('__dict__')


def namespace(owner):
    """Return the dict that holds the attributes of an object, or of a class."""
    found = vars(owner)
    return gc.get_referents(found)[0] if type(found) is types.MappingProxyType else found


def version_of(held):
    """Return a pointer into a dict: its `value` is the dict's version number now. Read it only
    while the dict is alive."""
    return ctypes.c_uint64.from_address(id(held) + 2 * ctypes.sizeof(ctypes.c_void_p)
                                        + ctypes.sizeof(ctypes.c_ssize_t))


class Slot:
    """The place `name` in `owner`, which is a dict, a class, or an object with that attribute.

    what: the slot's name in messages
    read: whether the function has used the value that was there, and not only replaced it
    value, structure: the value before the trace, and its structure as `tree.flatten` gives it
    line: the line of the user's code that read the slot first
    """

    def __init__(self, owner, name, what, read, line=None):
        self.owner, self.name, self.what, self.read, self.line = owner, name, what, read, line
        self.held = owner if isinstance(owner, dict) else (
            namespace(owner) if isinstance(owner, type) else None)
        self.value, self.structure = self.get(), None

    def get(self):
        if self.held is not None:
            return dict.get(self.held, self.name, MISSING)
        try:
            return getattr(self.owner, self.name, MISSING)
        except ValueError:      # an empty cell raises it
            return MISSING

    def set(self, value):
        if isinstance(self.owner, dict):
            if value is not MISSING:
                self.owner[self.name] = value
            else:
                self.owner.pop(self.name, None)
        elif value is not MISSING:
            setattr(self.owner, self.name, value)
        elif self.get() is not MISSING:
            delattr(self.owner, self.name)


class _Group:
    """Slots that hold no arrays and are all in the dict `held`. If `held` is None, they are the
    slots that are in no dict, whatever their owners."""

    def __init__(self, held, found):
        self.held, self.slots, self.version, self.misses = held, found, None, 0
        self.names, self.values = [s.name for s in found], [s.value for s in found]
        # busy: the dict's version tells nothing, as a module's changes with every global that is
        # set while it runs
        self.busy = held is None or is_module(held) or not _VERSIONED

    def holds(self):
        """Return whether all slots hold values equal to those of the trace. New objects that are
        equal are kept, so that the next check finds them by identity."""
        if self.held is None:
            found = [slot.get() for slot in self.slots]
        else:
            found = list(map(dict.get, itertools.repeat(self.held), self.names, _missing))
        if all(map(_same, found, self.values)):
            return True
        for i, (new, old) in enumerate(zip(found, self.values)):
            if new is not old:
                if new is MISSING or old is MISSING or \
                        Tree().flatten(new) != self.slots[i].structure:
                    return False
        self.values = found
        return True

    def note_version(self):
        """Store the dict's version after a check that found all values equal. If the version keeps
        changing all the same, it is not used any more (`busy`)."""
        version = version_of(self.held).value if _VERSIONED and self.held is not None else None
        if self.version not in (None, version):
            self.misses += 1
            self.busy = self.busy or self.misses > 2
        self.version = version


class State:
    """The arrays and containers that the slots hold at one time, with what `untouched` needs to see
    quickly that nothing has changed since."""

    def __init__(self, guard, tree):
        self.arrays, self.nodes = tree.arrays, tree.nodes
        self._typed = [*map(_first, guard.types), *tree.nodes]
        self._types = list(map(type, self._typed))
        # Objects, and the dicts with their attributes: an assignment to __dict__ makes it another
        # dict, and each thread that uses a threading.local has its own
        self._spaces = [*guard.spaces, *[
            (node, vars(node)) for node, kind in zip(tree.nodes, tree.kinds)
            if kind.fast == 'objects' and type(getattr(node, '__dict__', None)) is dict]]
        self._spaces, self._dicts_of = [list(part) for part in zip(*self._spaces)] or ([], [])
        factories = [node for node in tree.nodes if isinstance(node, collections.defaultdict)]
        dicts = [g.held for g in guard.groups if not g.busy]
        filled = [(held, names, values) for held, names, values in guard.contents if names]
        dicts += [held for held, *_ in filled]
        # dicts have no version from Python 3.12 on, so their contents are compared
        self._filled = [] if _VERSIONED else filled
        self._empty = [held for held, names, _ in guard.contents if not names]
        versioned = set(map(id, dicts)) if _VERSIONED else ()
        self._named = [pair for pair in guard.names if id(pair[0]) not in versioned]
        self._named, self._keys = [list(part) for part in zip(*self._named)] or ([], [])
        sequences, self._copies = [*guard.kept], []
        for node, kind in zip(tree.nodes, tree.kinds):
            plain = type(getattr(node, '__dict__', None)) is not dict
            if kind.fast in ('dicts', 'objects') and not _VERSIONED:
                self._copies.append((node, kind, *kind.take(node)))
            elif kind.fast == 'dicts' and plain:
                dicts.append(node)
                if type(node) is not dict:
                    sequences.append(node)      # the order of an OrderedDict
            elif kind.fast == 'sequences' and plain:
                sequences.append(node)
            elif kind.fast == 'objects' and not plain and not slots(type(node)):
                dicts.append(vars(node))
            else:
                self._copies.append((node, kind, *kind.take(node)))
        self._dicts = dicts                     # keeps them alive: _tags point into them
        self._tags = list(map(version_of, dicts)) if _VERSIONED else []
        self._versions = list(map(_version, self._tags))
        self._sequences, self._lengths = sequences, list(map(len, sequences))
        self._elements = [*itertools.chain.from_iterable(sequences)]
        busy = [g for g in guard.groups if g.busy]
        found = [slot for slot in guard.complex if slot.held is None or any(
            slot.held is g.held for g in busy)]
        found += [slot for g in busy for slot in g.slots]
        inner, outer = [[s for s in found if (s.held is None) is loose] for loose in (False, True)]
        self._owners, self._names = [s.held for s in inner], [s.name for s in inner]
        self._values = [s.get() for s in inner]
        self._objects, self._attributes = [s.owner for s in outer], [s.name for s in outer]
        self._held = [s.get() for s in outer]
        self._objects += factories
        self._attributes += ['default_factory'] * len(factories)
        self._held += [node.default_factory for node in factories]

    def untouched(self):
        """Return whether nothing in the slots has changed since this State was made. False may also
        mean that this cannot be told."""
        try:
            return (list(map(_version, self._tags)) == self._versions
                    and not any(self._empty)
                    and list(map(set, self._named)) == self._keys
                    and list(map(type, self._typed)) == self._types
                    and all(map(_same, map(getattr, self._spaces, _dict, _missing),
                                self._dicts_of))
                    and all(map(_same, map(dict.get, self._owners, self._names, _missing),
                                self._values))
                    and all(map(_same, map(getattr, self._objects, self._attributes, _missing),
                                self._held))
                    and list(map(len, self._sequences)) == self._lengths
                    and all(map(_same, itertools.chain.from_iterable(self._sequences),
                                self._elements))
                    and all(map(_as_copied, self._copies))
                    and all([*held] == names and all(map(_same, held.values(), values))
                            for held, names, values in self._filled))
        except ValueError:                      # an empty cell raises it
            return False


def _as_copied(copied):
    node, kind, meta, children = copied
    new_meta, new = kind.take(node)
    return new_meta == meta and len(new) == len(children) and all(map(_same, new, children))


class Guard:
    """Checks that what a trace has read of Python's state is unchanged."""

    def __init__(self, trace):
        self.complex = [s for s in trace.slots if s.structure is not None
                        and not has_no_nodes(s.structure)]
        known, by_owner = set(map(id, self.complex)), {}
        for slot in trace.slots:
            group = by_owner.setdefault(id(slot.held) if slot.held is not None else None,
                                        (slot.held, []))[1]
            if id(slot) not in known:
                group.append(slot)
        self.groups = [_Group(*pair) for pair in by_owner.values()]
        self.contents = [(held, [*before], [*before.values()]) for held, before in trace.contents]
        self.names, self._used, self.types = trace.names, trace.used, trace.types
        self.spaces = trace.spaces
        self.kept, self._lists = trace.kept, [list(found) for found in trace.kept]
        self.state = None                       # the State that was found last
        # Do not keep a State if the trace read weak references: it would keep their objects alive
        self._forgets = trace.weak

    def state_if_unchanged(self):
        """Return the State if the slots hold values equal to those of the trace, else None."""
        if self.state is not None and self.state.untouched():
            return self.state
        try:
            return self._compare_all()
        except CannotHold:
            return None

    def differs(self, other):
        """Yield the names of the slots that another Guard has with a different value."""
        known = {(id(s.owner), s.name): s for g in other.groups for s in g.slots}
        known.update(((id(s.owner), s.name), s) for s in other.complex)
        for slot in (*self.complex, *(s for g in self.groups for s in g.slots)):
            before = known.get((id(slot.owner), slot.name))
            if before is not None and before.structure != slot.structure:
                yield slot.what

    def _compare_all(self):
        if not (all(type(block) is was for block, was in self.types)
                and all(group.holds() for group in self.groups)
                and all([*held] == names and all(map(_same, held.values(), values))
                        for held, names, values in self.contents)
                and all({*held} == names for held, names in self.names)
                and all(getattr(owner, '__dict__', None) is held for owner, held in self.spaces)
                and all(len(found) == len(before) and all(map(_same, found, before))
                        for found, before in zip(self.kept, self._lists))):
            return None
        tree = Tree()
        for slot in self.complex:
            value = slot.get()
            if value is MISSING or tree.flatten(value) != slot.structure:
                return None
        if any(c_api.kind(tree.arrays[i].handle) != was for i, was in self._used.items()):
            return None
        for group in self.groups:
            group.note_version()
        state = State(self, tree)
        self.state = None if self._forgets else state
        return state
