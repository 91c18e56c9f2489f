"""Which code a notebook ran, by function: an edit of anything else needs no new run.

In the kernel that the runner starts, the package's modules are loaded with one statement more in every function and
method, which notes that it was called. What was called, and what each module does when it is loaded, is compared with
the sources later: docstrings, comments and layout make no difference.
"""

import ast
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from ..infra.code import FUNCTIONS, KEYED, bare, digest_of

PACKAGE = __name__.split(".")[0]
# what these do shows in the data's hash and notes, or in the profile's values, which are compared themselves
COMPARED = (f"{PACKAGE}.data.", f"{PACKAGE}.profiles:")
BUT = tuple(f"{PACKAGE}.data.{name}:" for name in ("dataset", "ids", "past", "split"))
CALLED: set[str] = set()  # ``module:function`` or ``module:Class.method``


class _Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name.startswith(f"{PACKAGE}.") else None
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, name):
        tree = ast.parse(self.get_data(self.path), self.path)
        for called, function in _functions(tree, name):
            note = ast.parse(f"__called__({called!r})").body[0]
            at = function.body[0]
            for node in ast.walk(note):  # a traceback shows the function's own first line
                ast.copy_location(node, at)
            function.body.insert(1 if ast.get_docstring(function, clean=False) is not None else 0, note)
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module):
        module.__dict__["__called__"] = CALLED.add
        super().exec_module(module)


def trace() -> None:
    """Note, from now on, which functions are called of modules that are not loaded yet."""
    sys.meta_path.insert(0, _Finder())


def ran() -> list[str]:
    """The pieces of code (see `pieces`) that results of this process can depend on.

    Of a module that was loaded before `trace`, or whose code is in the key of what was found in the cache, these are
    all.
    """
    loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE}
    out = set(CALLED)
    for name, module in loaded.items():
        traced = isinstance(getattr(module, "__loader__", None), _Loader)
        whole = not traced or getattr(module, "__file__", None) in KEYED
        out |= {f"{name}:*"} if whole else {f"{name}:"}
    return sorted(piece for piece in out if piece.startswith(BUT) or not piece.startswith(COMPARED))


def own_files() -> list[Path]:
    """Modules outside of the package and of what is installed: the user's own, loaded by the user's own file."""
    ours, installed = Path(__file__).parents[1], (sys.prefix, sys.base_prefix, sys.exec_prefix)
    found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    paths = sorted(Path(file).resolve() for file in found if file and file.endswith(".py"))
    roots = [ours, *(Path(p).resolve() for p in installed)]
    return [p for p in paths if p.exists() and not any(p.is_relative_to(root) for root in roots)]


def pieces(root: Path | None = None) -> dict[str, str]:
    """Digest of every piece of the package's code as it is on the disk.

    Args:
        root: the package's folder; by default this one.

    Returns:
        By name: ``module:function`` and ``module:Class.method`` for what these do, ``module:`` for what a module does
        when it is loaded, ``module:*`` for all of it.
    """
    root = root or Path(__file__).parents[1]
    out = {}
    for path in sorted(root.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = bare(ast.parse(path.read_bytes(), str(path)))
        out[f"{name}:*"] = digest_of(tree)
        for called, function in list(_functions(tree, name)):  # a property's setter has the getter's name
            out[called] = out.get(called, "") + digest_of(function)
        out[f"{name}:"] = digest_of(_loaded(tree))
    return out


def _functions(tree: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions of a module and methods of its classes, by name; those within a function are part of it."""
    for node in ast.iter_child_nodes(tree):
        at = f"{name}:" if ":" not in name else f"{name}."
        if isinstance(node, FUNCTIONS):
            yield f"{at}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{at}{node.name}")


def _loaded(tree: ast.AST) -> ast.AST:
    """The tree without what functions do and without functions that nothing is done with until they are called."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef):
            continue
        kept = [n for n in node.body if not isinstance(n, FUNCTIONS) or n.decorator_list]
        for n in kept:
            if isinstance(n, FUNCTIONS):
                n.body = [ast.Pass()]
        node.body = kept
    return tree
