"""Gives a program that sets the board's clock one of its own: the board's is the host's, and of all programs.

What the program reads from its clock comes from libraries/microclaw/clock.py then.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.imports import class_of
from microclaw.programs.py.scopes import Scopes
from microclaw.programs.py.source import Findings

_MODULE: Final = "microclaw.clock"
_FUNCTIONS: Final = {
    "time.time": "time",
    "time.time_ns": "time_ns",
    "time.localtime": "localtime",
    "time.gmtime": "localtime",
    "ntptime.settime": "settime",
}
"""What reads or sets the clock, and the function of the library in its place."""
_NUMBERS: Final = 8
"""The numbers of a moment: year, month, day, weekday, hour, minute, second, microsecond."""


def give_own_clock(tree: ast.Module, findings: Findings) -> None:
    """Change a program with `RTC().datetime(moment)` so that it sets and reads a clock of its own.

    A program stays as it is, and is refused later, if one of its clocks cannot be told from other objects.
    """
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "datetime"]
    if not attributes:
        return
    graph = PyCallGraph(Scopes(tree))
    calls: list[ast.Call] = []
    for attribute in attributes:
        call = graph.scopes.parents.get(attribute)
        is_clock = class_of(attribute.value, graph) == "machine.RTC"
        if isinstance(call, ast.Call) and call.func is attribute and is_clock:
            calls.append(call)
        elif graph.origin(attribute) is None and not graph.receiver(attribute.value):
            # It may be a clock, which would go on as the board's.
            return
    settings = [call for call in calls if call.args]
    if not settings or not all(map(_is_moment, settings)):
        return
    for call in settings:
        message = "this sets the clock of this program alone"
        findings.warn(call, message, "the board's own stays in UTC, as its host sets it")
    name = _free_name(tree)
    _Clocks(name, graph, calls).visit(tree)
    tree.body.insert(0, _import_of(name, tree.body[0]))


def _is_moment(call: ast.Call) -> bool:
    """Return True if a call may give all numbers of a moment."""
    if len(call.args) != 1 or call.keywords:
        return False
    moment = call.args[0]
    if not isinstance(moment, ast.Tuple | ast.List):
        return True
    return len(moment.elts) == _NUMBERS or any(isinstance(part, ast.Starred) for part in moment.elts)


def _free_name(tree: ast.Module) -> str:
    """Return a name for the clock that the program does not use."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    name = "own_clock"
    while name in names:
        name += "_"
    return name


def _import_of(name: str, place: ast.stmt) -> ast.stmt:
    imported = ast.copy_location(ast.Import([ast.alias(_MODULE, name)]), place)
    return ast.fix_missing_locations(imported)


class _Clocks(ast.NodeTransformer):
    """Puts the functions of a program's own clock in the place of the board's."""

    def __init__(self, name: str, graph: PyCallGraph, calls: list[ast.Call]) -> None:
        self._name = name
        self._graph = graph
        self._calls = calls

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if node not in self._calls:
            return self.generic_visit(node)
        function = "datetime"
        if node.args:
            function = "set_datetime"
        arguments = [self.visit(argument) for argument in node.args]
        return ast.copy_location(ast.Call(self._function(function, node), arguments, []), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._replaced(node) or node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._replaced(node) or self.generic_visit(node)

    def _replaced(self, node: ast.Name | ast.Attribute) -> ast.AST | None:
        if not isinstance(node.ctx, ast.Load):
            return None
        function = _FUNCTIONS.get(self._graph.origin(node) or "")
        if function is None:
            return None
        return self._function(function, node)

    def _function(self, function: str, node: ast.AST) -> ast.expr:
        own = ast.Attribute(ast.Name(self._name, ast.Load()), function, ast.Load())
        return ast.fix_missing_locations(ast.copy_location(own, node))
