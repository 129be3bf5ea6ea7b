"""The statements of a section that make a name, and no others: a static backward slice.

A network of the book is defined among cells that load data, train and plot. To get it without
running those, take the statements that bind the names it needs, from the last one back.
"""
import ast
import builtins

from chapters.sections import python_only

BUILDERS = {'add'}                  # methods that go on building the object: net.add(...)


def _root(node):
    """Return the name at the root of a.b[0].c, or None where a call stands in the chain."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def binds(statement):
    """Return names that a statement, or a statement inside a loop, a branch or a with, binds or
    builds."""
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
    """Return those of the names that a statement makes anew, so that nothing above it is needed."""
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
    """Return names that a syntax tree reads from outside of itself, builtins aside."""
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
    """Return names that a statement binds in the scope it stands in."""
    if isinstance(node, (*SCOPES, ast.ClassDef)):
        return set()
    own = {node.arg} if isinstance(node, ast.arg) else \
        {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
    return own.union(*map(_locals, ast.iter_child_nodes(node)))


def statements(listings):
    """Return the top-level statements of listings, in order; each node has its `listing` number."""
    nodes = []
    for i, source in enumerate(listings):
        for node in ast.parse(python_only(source)).body:
            for sub in ast.walk(node):
                sub.listing = i
            nodes.append(node)
    return nodes


def backward(nodes, expression, given=()):
    """Return the nodes, of a list of statements, that an expression (source text) needs, in their
    order.

    given: names that the caller provides, so that what would make them is left out.
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
                    late |= reads(node) - set(given)    # read when called: may be bound below it
        if late <= wanted:
            return taken[::-1]
        wanted |= late
