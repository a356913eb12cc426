"""What a node of a syntax tree says by itself, without the program around it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import TypeAlias

from microclaw.programs.py.scopes import Function

Loop: TypeAlias = ast.While | ast.For | ast.AsyncFor


def run_by(node: Function | Loop) -> Iterator[ast.AST]:
    """Yield what runs when a function, or a loop's body, runs: not what its nested functions do."""
    if isinstance(node, ast.Lambda):
        waiting: list[ast.AST] = [node.body]
    else:
        waiting = [*node.body]
    while waiting:
        inner = waiting.pop()
        yield inner
        if isinstance(inner, Function):
            waiting += decorators_of(inner)
            waiting += inner.args.defaults
            waiting += filter(None, inner.args.kw_defaults)
        else:
            waiting += ast.iter_child_nodes(inner)


def decorators_of(function: Function) -> list[ast.expr]:
    """Return the decorators of a function; a lambda has none."""
    if isinstance(function, ast.Lambda):
        return []
    return function.decorator_list


def call_values(call: ast.Call) -> list[ast.expr]:
    """Return the values of a call's arguments, also of those with a name."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def named_values(call: ast.Call, name: str) -> list[ast.expr]:
    """Return the values of a call's arguments of this name."""
    return [keyword.value for keyword in call.keywords if keyword.arg == name]


def contains(nodes: Iterable[ast.AST], kinds: type | tuple[type, ...] | UnionType) -> bool:
    """Return True if a node is of one of these kinds."""
    return any(isinstance(node, kinds) for node in nodes)


def constant_integers(nodes: Iterable[ast.expr]) -> list[int] | None:
    """Return the whole numbers that these constants are, or None if one of the nodes is anything else."""
    numbers = []
    for node in nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, int):
            return None
        numbers.append(node.value)
    return numbers


def is_none(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
