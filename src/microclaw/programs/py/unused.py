"""Leaves the definitions out of a bundle that nothing uses. Which ones may be left out the caller says."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from typing import Final

_LOOKUPS: Final = frozenset({"getattr", "hasattr", "dir", "vars"})
"""Functions to which an attribute's name may be given."""
_PASSIVE_BASES: Final = frozenset({"object", "FrameBuffer", "Exception"})
"""Native classes that call no method of a class that inherits from them."""


def leave_out_unused(program: ast.Module, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Remove those of the statements from a program that only define what nothing uses, and return them.

    Classes lose such methods.
    """
    rest = _Rest(statements)
    rest.visit(program)
    needed = rest.used
    waiting: list[ast.stmt] = []
    methods: list[tuple[ast.ClassDef, ast.stmt]] = []
    class_names = {node.name for node in ast.walk(program) if isinstance(node, ast.ClassDef)}
    for statement in statements:
        waiting.append(statement)
        if isinstance(statement, ast.ClassDef) and _has_known_bases(statement, class_names):
            values = _values_of_body(statement)
            methods += [(statement, method) for method in statement.body if _is_movable(method, values)]
    for owner, method in methods:
        owner.body.remove(method)
    unused = _without_used(waiting, needed)
    while methods:
        reached = [(owner, method) for owner, method in methods if _is_reached(owner, method, unused, needed)]
        if not reached:
            break
        for owner, method in reached:
            methods.remove((owner, method))
            owner.body.append(method)
            needed.update(_used(method))
        unused = _without_used(unused, needed)
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and not statement.body:
            statement.body = [ast.copy_location(ast.Pass(), statement)]
    _Without(unused).visit(program)
    unused_methods = [method for owner, method in methods if owner not in unused]
    return [*unused, *unused_methods]


class _Rest(ast.NodeVisitor):
    """Finds the names that a program uses outside of some of its statements."""

    def __init__(self, statements: Sequence[ast.stmt]) -> None:
        self._statements = set(statements)
        self.used: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        if node in self._statements:
            return
        self.used.update(_used_in_node(node))
        self.generic_visit(node)


class _Without(ast.NodeTransformer):
    """Removes statements, also from the blocks of others."""

    def __init__(self, statements: Sequence[ast.stmt]) -> None:
        self._statements = set(statements)

    def visit(self, node: ast.AST) -> ast.AST | None:
        if node in self._statements:
            return None
        new: ast.AST = super().visit(node)
        if isinstance(new, ast.Try) and not new.body:
            new.body = [ast.copy_location(ast.Pass(), new)]
        return new


def _without_used(statements: list[ast.stmt], needed: set[str]) -> list[ast.stmt]:
    """Return the definitions that nothing uses, and add what the other statements use to `needed`."""
    waiting = list(statements)
    is_growing = True
    while is_growing:
        is_growing = False
        for statement in list(waiting):
            defined = _defined(statement)
            if defined is None or defined in needed:
                waiting.remove(statement)
                needed.update(_used(statement))
                is_growing = True
    return waiting


def _is_reached(owner: ast.ClassDef, method: ast.stmt, unused: Sequence[ast.stmt], needed: set[str]) -> bool:
    """Return True if the class of a method is used, and some text has its name or may look it up by any name."""
    is_named = f".{_defined(method)}" in needed or not needed.isdisjoint(_LOOKUPS)
    return is_named and owner not in unused


def _has_known_bases(defined: ast.ClassDef, class_names: Collection[str]) -> bool:
    """Return True if no native class calls the methods of a class by their names."""
    for base in defined.bases:
        name = ast.unparse(base).rpartition(".")[2]
        if name not in class_names and name not in _PASSIVE_BASES:
            return False
    return True


def _values_of_body(defined: ast.ClassDef) -> set[str]:
    """Return the names that the body of a class uses while it runs, such as `_get` in `level = property(_get)`."""
    names: set[str] = set()
    for statement in defined.body:
        nodes: list[ast.AST] = [statement]
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes = [*statement.decorator_list, *statement.args.defaults]
            nodes += [default for default in statement.args.kw_defaults if default is not None]
        for node in nodes:
            names.update(name for name in _used(node) if not name.startswith("."))
    return names


def _is_movable(statement: ast.stmt, values: Collection[str]) -> bool:
    """Return True for a method that may stand at the end of its class, or be left out if nothing calls it."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not statement.name.startswith("__") and statement.name not in values


def _defined(statement: ast.stmt) -> str | None:
    """Return the name that a statement only defines, or None if it does anything else."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.Import(names=[alias]) | ast.ImportFrom(names=[alias]):
            return alias.asname or alias.name
        case _:
            return None


def _used(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a text uses, those of attributes with a point; a text may be the name of an attribute."""
    for node in ast.walk(tree):
        yield from _used_in_node(node)


def _used_in_node(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            yield f".{name}"
        case _:
            return
