"""What a program may do with an object's class: compare it and name it; more with the classes of its own objects.

The class of a pin or a file in a program's hands could be changed for everyone, or asked for other files.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.scopes import Scope
from microclaw.py.source import Findings

_LOOKING: Final = frozenset(
    f"builtins.{name}" for name in ("print", "str", "repr", "isinstance", "issubclass", "hash", "id", "bool")
)
_COMPARING: Final = frozenset({"__eq__", "__ne__", "__contains__"})  # methods that get what they are compared with
_HINT: Final = "compare it (type(x) is int), use isinstance(x, int), or print type(x).__name__"
_WHY: Final = "the class of a pin or a file leads around the firmware"
_FOLLOW: Final = 6


def check_kinds(graph: CallGraph, findings: Findings) -> None:
    for node in graph.scopes.of:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and graph.origin(node) == "builtins.type":
            parent = graph.scopes.parents.get(node)
            if isinstance(parent, ast.Call) and parent.func is node:
                if any(isinstance(arg, ast.Starred) for arg in parent.args):
                    findings.error(node, "cannot tell whose class this is", "write type(x)", _WHY)
            elif not is_free(node, graph):
                findings.error(node, "type is used as a value: what it would reach cannot be told", _HINT, _WHY)
        if (owner := _owner(node, graph)) is None:
            continue
        assert isinstance(node, ast.expr)
        if graph.receiver(owner) is None and not _is_plain(owner, graph) and not is_free(node, graph):
            findings.error(node, f"a program cannot have the class of {ast.unparse(owner)} as a value", _HINT, _WHY)


def is_free(node: ast.expr, graph: CallGraph, depth: int = 0) -> bool:
    """Whether a class (`node`) is only compared, tested, named or printed."""
    parents = graph.scopes.parents
    parent = parents.get(node)
    if isinstance(parent, ast.Tuple):  # isinstance(x, (int, type(y))), "%s %s" % (type(x), y)
        above = parents.get(parent)
        return (isinstance(above, ast.Call) and _looks(above, parent, graph)) or _formats(above, parent)
    match parent:
        case ast.Attribute(attr="__name__") | ast.FormattedValue() | ast.Expr():
            return True
        case ast.Compare(left=left, ops=ops, comparators=others):
            if all(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                return True
            if not all(isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in ops):
                return False
            return not _COMPARING & _defined(graph) or all(_is_kind(each, graph) for each in (left, *others))
        case ast.Call():
            return _looks(parent, node, graph)
        case ast.BinOp():
            return _formats(parent, node)
        case ast.Subscript(value=ast.Dict(), slice=key):
            return key is node
        case ast.Assign(targets=[ast.Name() as target]) if depth < _FOLLOW:
            return _is_free_name(target, graph, depth + 1)
        case _:
            return False


def _owner(node: ast.AST, graph: CallGraph) -> ast.expr | None:
    """The object whose class this expression is."""
    if isinstance(node, ast.Attribute) and node.attr == "__class__":
        return node.value
    if isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.type" and len(node.args) == 1:
        return node.args[0]
    return None


def _is_plain(node: ast.expr, graph: CallGraph) -> bool:
    """Whether it surely is a value of Python's own, or an exception: no class of those can be changed."""
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.Compare):
        return True
    scope = graph.scopes.of.get(node)
    found = scope.find(node.id) if scope is not None and isinstance(node, ast.Name) else None
    if found is None or not found[1] or _is_open(found[0], graph):
        return False
    return all(isinstance(b.node, ast.ExceptHandler) for b in found[1])


def _looks(call: ast.Call, argument: ast.expr, graph: CallGraph) -> bool:
    if argument not in call.args:
        return False
    is_format = isinstance(call.func, ast.Attribute) and call.func.attr == "format"
    if is_format and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Constant):
        return True
    return graph.origin(call.func) in _LOOKING


def _formats(node: ast.AST | None, argument: ast.expr) -> bool:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mod) or node.right is not argument:
        return False
    return isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)


def _is_kind(node: ast.expr, graph: CallGraph) -> bool:
    """Whether it is a class, or some: nothing whose methods would be given what it is compared with."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return all(_is_kind(each, graph) for each in node.elts)
    known = (graph.origin(node) or "").startswith("builtins.") if isinstance(node, ast.Name) else False
    return known or isinstance(node, ast.Constant) or _owner(node, graph) is not None


def _is_free_name(target: ast.Name, graph: CallGraph, depth: int) -> bool:
    """Whether every place that reads a variable only looks at the class in it."""
    scope = graph.scopes.of.get(target)
    found = scope.find(target.id) if scope is not None else None
    if found is None or isinstance(found[0].node, ast.ClassDef) or _is_open(found[0], graph):
        return False
    for node, inside in graph.scopes.of.items():
        if isinstance(node, ast.Name) and node.id == target.id and isinstance(node.ctx, ast.Load):
            seen = inside.find(target.id)
            if seen is not None and seen[0] is found[0] and not is_free(node, graph, depth):
                return False
    return True


def _is_open(scope: Scope, graph: CallGraph) -> bool:
    """Whether names of a scope can be read and set past their own: the module's, by globals()."""
    if scope is not scope.module:
        return False
    return any(isinstance(n, ast.Name) and graph.origin(n) == "builtins.globals" for n in graph.scopes.of)


def _defined(graph: CallGraph) -> set[str]:
    """The methods of the program's classes, also those that it gives them later."""
    return set(graph.methods) | set(graph.assigned_attributes)
