"""Leaves out of a bundle the definitions that nothing uses. The caller says which ones may be left out."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

_LOOKUPS: Final = frozenset({"getattr", "hasattr", "dir", "vars"})
"""Functions to which an attribute's name may be given."""
_PASSIVE_BASES: Final = frozenset({"object", "FrameBuffer", "Exception"})
"""Native classes that call no method of a class that inherits from them."""
_PLAIN_CALLS: Final = frozenset({"property", "staticmethod", "classmethod", "const", "bytes", "bytearray"})
"""Functions that only make a value."""
_METHOD_DECORATORS: Final = frozenset(
    {"property", "staticmethod", "classmethod", "setter", "deleter", "native", "viper"}
)
_COMPUTING: Final = (ast.Subscript, ast.Div, ast.FloorDiv, ast.Mod, ast.Await, ast.Yield, ast.YieldFrom)


def only_defines(statement: ast.stmt) -> bool:
    """Return True for a definition that does nothing else when it runs: it calls nothing, and cannot fail."""
    match statement:
        case ast.FunctionDef(decorator_list=[], args=args) | ast.AsyncFunctionDef(decorator_list=[], args=args):
            return not computes(args)
        case ast.ClassDef(decorator_list=[], bases=bases, keywords=[], body=body):
            return not any(map(computes, bases)) and all(map(_defines_member, body))
        case ast.Assign(targets=[ast.Name()], value=value):
            return not computes(value)
        case _:
            return False


def computes(tree: ast.AST) -> bool:
    """Return True if an expression may do something, or fail: it has a call, a subscript or a division."""
    for node in ast.walk(tree):
        is_call = isinstance(node, ast.Call) and _last_word(node.func) not in _PLAIN_CALLS
        if is_call or isinstance(node, _COMPUTING):
            return True
    return False


def _defines_member(statement: ast.stmt) -> bool:
    """Return True if a statement in the body of a class only defines something of it."""
    match statement:
        case (
            ast.FunctionDef(decorator_list=decorators, args=args)
            | ast.AsyncFunctionDef(decorator_list=decorators, args=args)
        ):
            return not computes(args) and all(_last_word(node) in _METHOD_DECORATORS for node in decorators)
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case _:
            return only_defines(statement)


def _last_word(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def leave_out_unused(program: ast.Module, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Remove those of the statements from a program that only define what nothing uses, and return them.

    Classes lose such methods.
    """
    if not statements:
        return []
    parts: dict[ast.AST, str | None] = {}
    for statement in statements:
        parts[statement] = _defined(statement)
    class_names = {node.name for node in ast.walk(program) if isinstance(node, ast.ClassDef)}
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and _has_known_bases(statement, class_names):
            values = _values_of_body(statement)
            for method in statement.body:
                if _is_removable(method, values):
                    parts[method] = f".{_defined(method)}"
    unused = _find_unused(program, parts)
    _Without(unused).visit(program)
    return unused


def _find_unused(program: ast.Module, parts: Mapping[ast.AST, str | None]) -> list[ast.stmt]:
    """Return the parts that nothing uses. `parts` have the name that each only defines, or None; of a method ".name".

    What is in a part counts as used when the part is. So a method of a class that nothing uses is not returned.
    """
    used: set[str] = set()
    unused: dict[str, list[ast.stmt]] = {}
    waiting: list[ast.AST] = [program]
    while waiting:
        node = waiting.pop()
        for name in _used_in_node(node):
            used.add(name)
            waiting += unused.pop(name, ())
            if name in _LOOKUPS:
                for method in [*unused]:
                    if _is_used(method, used):
                        waiting += unused.pop(method)
        for child in ast.iter_child_nodes(node):
            defined = parts.get(child)
            if defined is None or _is_used(defined, used):
                waiting.append(child)
            else:
                assert isinstance(child, ast.stmt)
                unused.setdefault(defined, []).append(child)
    unneeded = set().union(*unused.values())
    return [part for part in parts if part in unneeded]


class _Without(ast.NodeTransformer):
    """Removes statements, also from the blocks of others."""

    def __init__(self, statements: Sequence[ast.stmt]) -> None:
        self._statements = set(statements)

    def visit(self, node: ast.AST) -> ast.AST | None:
        if node in self._statements:
            return None
        new: ast.AST = super().visit(node)
        if isinstance(new, ast.Try | ast.ClassDef) and not new.body:
            new.body = [ast.copy_location(ast.Pass(), new)]
        return new


def _is_used(name: str, used: Collection[str]) -> bool:
    """Return True if a text uses a name, or may look the method of this name up."""
    return name in used or (name.startswith(".") and any(lookup in used for lookup in _LOOKUPS))


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
            names.update(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
    return names


def _is_removable(statement: ast.stmt, values: Collection[str]) -> bool:
    """Return True for a method that may be left out if nothing calls it."""
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


def _used_in_node(node: ast.AST) -> Iterator[str]:
    """Yield the name that a node uses, that of an attribute with a point; a text may be the name of an attribute."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            yield f".{name}"
        case _:
            return
