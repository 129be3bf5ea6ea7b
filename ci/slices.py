"""Finds the statements of a section that an expression needs, and no others, by static slicing.

A network of the book is defined among cells that load data, train and plot. To get the network
without running them, go back from the last statement, and take those that bind the names it needs.
"""
import ast
import builtins

from chapters.sections import python_only

BUILDERS = {'add'}                  # methods that change their object, as net.add(...) does


def _root(node):
    """Return the name at the root of an expression such as a.b[0].c; None if there is a call in
    it."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def binds(statement):
    """Return the names that a statement binds, or whose objects it changes, also inside of a loop,
    a branch or a with statement."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split('.')[0] for alias in statement.names}
    if isinstance(statement, ast.Assign):
        targets = [sub for target in statement.targets
                   for sub in (target.elts if isinstance(target, ast.Tuple) else [target])]
        return {_root(target) for target in targets} - {None}
    if isinstance(statement, ast.AugAssign):
        return {_root(statement.target)} - {None}
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) \
            and isinstance(statement.value.func, ast.Attribute) \
            and statement.value.func.attr in BUILDERS:
        return {_root(statement.value.func.value)} - {None}
    inner = [sub for field in ('body', 'orelse', 'finalbody')
             for sub in getattr(statement, field, [])]
    return set().union(*map(binds, inner))


def _starts(statement, names):
    """Return those of the names that a statement binds anew, so that earlier statements are not
    needed for them."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return binds(statement) & names
    if isinstance(statement, ast.Assign):
        made = {sub.id for target in statement.targets
                for sub in (target.elts if isinstance(target, ast.Tuple) else [target])
                if isinstance(sub, ast.Name)}
        reads = {sub.id for sub in ast.walk(statement.value) if isinstance(sub, ast.Name)}
        return (made - reads) & names
    return set()


SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def reads(node):
    """Return the names that a syntax tree reads but does not bind itself, without builtins."""
    names, local = set(), set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name):
            (names if isinstance(child.ctx, ast.Load) else local).add(child.id)
        elif isinstance(child, ast.arg):
            local.add(child.arg)
        else:
            names |= reads(child)
            if not isinstance(child, (*SCOPES, ast.ClassDef)):
                local |= _locals(child)
    return names - set(dir(builtins)) - (local if isinstance(node, SCOPES) else set())


def _locals(node):
    """Return the names that a statement binds in its own scope."""
    if isinstance(node, (*SCOPES, ast.ClassDef)):
        return set()
    own = {node.arg} if isinstance(node, ast.arg) else \
        {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
    return own.union(*map(_locals, ast.iter_child_nodes(node)))


def statements(listings):
    """Return the top-level statements of listings in order. The attribute `listing` of each is the
    index of its listing."""
    nodes = []
    for i, source in enumerate(listings):
        for node in ast.parse(python_only(source)).body:
            for sub in ast.walk(node):
                sub.listing = i
            nodes.append(node)
    return nodes


def backward(nodes, expression, given=()):
    """Return the statements in `nodes` that an expression needs, in their order.

    expression: source text; given: names that the caller provides, whose statements are left out
    """
    wanted = reads(ast.parse(expression)) - set(given)
    while True:
        needed, late, taken = set(wanted), set(), []
        for node in reversed(nodes):
            if binds(node) & needed:
                needed -= _starts(node, needed)
                needed |= reads(node) - set(given)
                taken.append(node)
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    # these names are read when it is called, so they may be bound after it
                    late |= reads(node) - set(given)
        if late <= wanted:
            return taken[::-1]
        wanted |= late
