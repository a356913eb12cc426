"""Finds the calls of a program that may wait for the network: functions of the firmware that are coroutines there.

The methods of a socket have the names of many other objects' methods. Where the object is not known to be something
else, the runner awaits what a call returns only if that is a coroutine.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.nodes import is_none
from microclaw.programs.py.scopes import Binding, canonical

_SOCKET: Final = "socket"
_SOCKET_METHODS: Final = frozenset(
    {
        *("connect", "accept", "recv", "recv_into", "recvfrom", "send", "sendall"),
        *("read", "readinto", "readline", "write"),
    }
)
_SELECT: Final = "select"
_POLLER_METHODS: Final = frozenset({"poll", "ipoll"})
_COROUTINES: Final = frozenset({"socket.getaddrinfo", "select.select", "microclaw.fetch"})
"""Functions of the firmware that wait for the network."""
_UNKNOWN_MODULES: Final = frozenset({"asyncio", "builtins", "collections", "microclaw", _SELECT, _SOCKET, "ssl"})
"""Modules whose functions may return a socket, or what holds one."""
_FILES_AND_DATA: Final = frozenset(
    {"builtins.open", "builtins.bytearray", "builtins.bytes", "builtins.str", "builtins.dict", "microclaw.i2c"}
)
_LITERALS: Final = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set)
_MAX_DEPTH: Final = 6


class SocketCalls:
    """The calls of one program that may wait for the network."""

    def __init__(self, graph: PyCallGraph) -> None:
        self._graph = graph

    @cached_property
    def _methods(self) -> frozenset[str]:
        """The names of methods that may wait, by what the program or a library in it imports."""
        methods: frozenset[str] = frozenset()
        if self._imports(_SOCKET):
            methods |= _SOCKET_METHODS
        if self._imports(_SELECT):
            methods |= _POLLER_METHODS
        return methods

    def _imports(self, module: str) -> bool:
        for node in self._graph.scopes.of:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            if module in map(canonical, modules):
                return True
        return False

    def surely_waits(self, call: ast.Call) -> bool:
        """Return True for a function that is a coroutine, such as `socket.getaddrinfo`."""
        return self._graph.origin(call.func) in _COROUTINES

    def may_wait(self, call: ast.Call) -> bool:
        """Return True for a method that may be a socket's, or of an object of select.poll()."""
        return isinstance(call.func, ast.Attribute) and self.is_method(call.func)

    def is_method(self, node: ast.Attribute) -> bool:
        """Return True if this may be the method of a socket, or of an object of select.poll()."""
        if node.attr not in self._methods:
            return False
        if self._graph.origin(node) is not None or not self._graph.reach(node).native:
            return False
        return not self._is_other(node.value, 0)

    def _is_other(self, node: ast.expr | None, depth: int) -> bool:
        """Return True if an expression is surely no socket: a bus, a file, a text or an object of the program."""
        if depth > _MAX_DEPTH:
            return False
        if isinstance(node, _LITERALS):
            return True
        if isinstance(node, ast.Call):
            return self._makes_other(node)
        values: Sequence[Binding | ast.expr] = ()
        if isinstance(node, ast.Attribute) and "*" not in self._graph.assigned_attributes:
            values = self._graph.assigned_attributes.get(node.attr, ())
        elif isinstance(node, ast.Name):
            values = self._graph.scopes.bindings(node)
        return self._graph.scopes.answer_once(
            "no socket", values, lambda: self._are_others(values, depth + 1), unknown=False
        )

    def _are_others(self, values: Sequence[Binding | ast.expr], depth: int) -> bool:
        for value in values:
            expression = _value_of(value)
            if not is_none(expression) and not self._is_other(expression, depth):
                return False
        return True

    def _makes_other(self, call: ast.Call) -> bool:
        """Return True if a call surely returns no socket."""
        origin = self._graph.origin(call.func)
        if origin is not None:
            return origin in _FILES_AND_DATA or origin.partition(".")[0] not in _UNKNOWN_MODULES
        made = self._graph.reach(call.func).made
        return made is not None and not any(ancestor.native_bases for ancestor in made.with_ancestors())


def _value_of(value: Binding | ast.expr) -> ast.expr | None:
    """Return the expression that a value comes from, or None if it is unknown."""
    if isinstance(value, ast.expr):
        return value
    if isinstance(value.node, ast.withitem):
        return value.node.context_expr
    if value.kind == "value":
        return value.value
    return None
