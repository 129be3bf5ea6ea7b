"""What lies below d2l: a finder that repairs modules as they are imported.

Python runs HOOK when it starts: setup.py writes it to site-packages as d2l_finder.pth, and
`pip uninstall d2l-mxnet` removes it. The finder looks at the names of PACKAGES only. When one of
them is imported, by whomever, `d2l_compat` repairs what later Pythons and libraries changed, and
`d2l_cuda` finds the CUDA libraries of mxnet-cu112, `d2l_arm` an OpenBLAS for MXNet on arm64.
"""
import sys

HOOK = ('import sys; exec("try: import d2l_finder\\nexcept ImportError: pass\\n'
        'else: d2l_finder.install()")')

PACKAGES = {'IPython', 'd2l', 'gluoncv', 'matplotlib', 'mpl_toolkits', 'mxnet', 'numpy', 'pandas'}


class Finder:
    """A finder of sys.meta_path: what the finders behind it find, with hooks around its execution.

    A hook is a function of the module. `before` it is executed the hook may return what undoes it;
    that is called when the module has been executed, whether or not it raised.
    """

    def __init__(self):
        self.before, self.after, self.done = {}, {}, {}

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a module of PACKAGES that has hooks, else None."""
        if name.partition('.')[0] not in PACKAGES:
            return None
        load_hooks()
        before, after = self.hooks(name)
        if not before and not after:
            return None
        spec = self._find(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            undo = []
            try:
                for hook in before:
                    undo.append(hook(module))
                execute(module)
            finally:
                for function in reversed(undo):
                    if function:
                        function()
            self.run_after(name, module)
        spec.loader.exec_module = exec_module
        return spec

    def _find(self, name, path, target):
        """Return what the finders behind this one find."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1:]:
            spec = hasattr(finder, 'find_spec') and finder.find_spec(name, path, target)
            if spec:
                return spec
        return None

    def hooks(self, name):
        """Return the hooks (before, after) of a module's name; those of 'mxnet.*' are for every
        part."""
        wild = name.partition('.')[0] + '.*'
        return tuple([*hooks.get(name, ()), *hooks.get(wild, ())]
                     for hooks in (self.before, self.after))

    def run_after(self, name, module):
        """Run the hooks for an imported module, once for each module."""
        if self.done.get(name) is not module:
            self.done[name] = module
            for hook in self.hooks(name)[1]:
                hook(module)


FINDER = Finder()
_loaded = False


def before(*names):
    """Decorate a hook that runs before modules of these names are executed."""
    return lambda hook: [FINDER.before.setdefault(name, []).append(hook) for name in names] and hook


def after(*names):
    """Decorate a hook that runs when modules of these names have been executed."""
    return lambda hook: [FINDER.after.setdefault(name, []).append(hook) for name in names] and hook


def load_hooks():
    """Import the modules that have hooks."""
    global _loaded
    if not _loaded:
        _loaded = True
        import d2l_arm  # noqa: F401
        import d2l_compat  # noqa: F401
        import d2l_cuda  # noqa: F401


def install():
    """Put the finder before Python's own; the hooks of what is imported already run now."""
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    for name, module in list(sys.modules.items()):
        if name.partition('.')[0] in PACKAGES and name in sys.modules:
            spec = getattr(module, '__spec__', None)
            if spec and not getattr(spec, '_initializing', False):
                load_hooks()
                FINDER.run_after(name, module)
