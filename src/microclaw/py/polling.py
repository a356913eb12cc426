"""Which loops wait for something outside, and which only compute: the first must let others run, the second end."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeAlias

from microclaw.py.callgraph import CallGraph

Loop: TypeAlias = ast.While | ast.For | ast.AsyncFor
SHORT_LOOP: Final = 64  # rounds that need no guard
_PURE: Final = frozenset(
    [
        "abs",
        "all",
        "any",
        "bin",
        "bool",
        "bytearray",
        "bytes",
        "chr",
        "dict",
        "divmod",
        "enumerate",
        "float",
        "hex",
        "int",
        "isinstance",
        "len",
        "list",
        "max",
        "min",
        "ord",
        "pow",
        "range",
        "reversed",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    ]
)
_PURE_METHODS: Final = frozenset(
    [
        "append",
        "pop",
        "insert",
        "extend",
        "remove",
        "strip",
        "lstrip",
        "rstrip",
        "split",
        "replace",
        "join",
        "encode",
        "decode",
        "upper",
        "lower",
        "find",
        "index",
        "count",
        "startswith",
        "endswith",
        "get",
        "items",
        "keys",
        "values",
        "format",
        "add",
        "discard",
        "clear",
        "copy",
        "sort",
        "reverse",
        "update",
        "popleft",
        "appendleft",
        "isdigit",
        "to_bytes",
        "from_bytes",
    ]
)


def polls(loop: ast.While, graph: CallGraph) -> bool:
    """Whether a `while` loop may go on until something outside changes: anything but plain computing with an end."""
    inside = list(loop_nodes(loop))
    if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inside):
        return False
    if any(isinstance(n, ast.Call) and not _is_pure(n, graph) for n in (*inside, *ast.walk(loop.test))):
        return True
    if isinstance(loop.test, ast.Constant):
        return bool(loop.test.value) and not any(isinstance(n, ast.Break | ast.Return | ast.Raise) for n in inside)
    changed = {ast.unparse(n) for n in inside if isinstance(getattr(n, "ctx", None), ast.Store)}
    changed |= {
        ast.unparse(n.func.value) for n in inside if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    tested = {ast.unparse(n) for n in ast.walk(loop.test) if isinstance(n, ast.Name | ast.Attribute)}
    return not changed & tested


def only_computes(loop: ast.While, graph: CallGraph) -> bool:
    """Whether a loop runs for ever and looks at nothing outside: nobody would see what it does."""
    leaves = ast.Break | ast.Return | ast.Raise | ast.Await | ast.Yield | ast.YieldFrom
    endless = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    return endless and not any(
        isinstance(n, leaves) or (isinstance(n, ast.Call) and not _is_pure(n, graph)) for n in loop_nodes(loop)
    )


def does_nothing(loop: ast.While) -> bool:
    """Whether a loop runs for ever and has nothing in it."""
    endless = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    idle = (ast.Pass, ast.Continue)
    return endless and all(
        isinstance(s, idle) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in loop.body
    )


def is_short(loop: Loop) -> bool:
    """Whether a loop has few rounds for sure, and no other loop in it."""
    if not isinstance(loop, ast.For) or any(isinstance(n, Loop) for n in loop_nodes(loop)):
        return False
    match loop.iter:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return len(parts) <= SHORT_LOOP
        case ast.Call(func=ast.Name(id="range"), args=[*args]):
            numbers = [a.value for a in args if isinstance(a, ast.Constant) and isinstance(a.value, int)]
            return (
                len(numbers) == len(args) and len(args) in (1, 2) and max(map(abs, numbers)) <= SHORT_LOOP // len(args)
            )
        case _:
            return False


def loop_nodes(loop: Loop) -> Iterator[ast.AST]:
    """Everything in a loop's body that runs with it, without the bodies of nested functions."""
    waiting: list[ast.AST] = list(loop.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _is_pure(call: ast.Call, graph: CallGraph) -> bool:
    origin = graph.origin(call.func)
    if origin is not None:
        top, _, name = origin.partition(".")
        return top in ("math", "struct") or (top == "builtins" and name in _PURE)
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in _PURE_METHODS
        and not graph.methods.get(call.func.attr)
    )
