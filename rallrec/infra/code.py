"""Code as it counts for results: its digest, whatever its docstrings, comments and layout."""

import ast
import hashlib
import inspect
from functools import cache
from pathlib import Path

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
KEYED: set[str] = set()  # files whose code is part of a key


def codes_of(*of: object) -> list[str]:
    """`code_of` the modules that define what is given, functions or classes."""
    return [code_of(file) for file in sorted({inspect.getfile(each) for each in of})]


@cache
def code_of(file: str) -> str:
    """Digest of a module's code, for the key of what it makes: who edits how something is trained trains it anew.

    Args:
        file: the module's ``__file__``.
    """
    KEYED.add(file)
    return digest_of(bare(ast.parse(Path(file).read_bytes())))


def bare(tree: ast.AST) -> ast.AST:
    """The tree, changed in place, without docstrings."""
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | FUNCTIONS)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def digest_of(tree: ast.AST) -> str:
    """16 hex digits."""
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
