"""Keeps a program's attributes apart from the firmware's: those of one name get another one when it is rewritten.

So `self._env` of a program's class never is the firmware's `_env`, whatever object the method is called with. Names
that are made while the program runs go through a function of the rewritten program. Judges nothing.
"""

from __future__ import annotations

import ast
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.kinds import is_free
from microclaw.py.stock import stock_image

REFLECTION: Final = frozenset({"getattr", "setattr", "delattr", "hasattr"})
PUBLIC: Final = frozenset({"_asdict", "_fields", "_make", "_replace"})  # of namedtuple
_LOOKED_UP: Final = frozenset({"__dict__", "__class__"})
# join() takes str alone, no class of the program's own, and nothing in it can be replaced by the program.
_OWN: Final = """
def {function}(name):
    name = "".join((name,))
    return name + {suffix!r} if name.startswith("_") and name not in {own!r} else name
"""
_MARKED: Final = """
def {function}(thing):
    thing.{mark}
    return thing
"""


class OwnNames:
    """`function` makes a name the program's own at run time, `marked` lets only its own objects through."""

    def __init__(self, graph: CallGraph, used: set[str]) -> None:
        self._graph = graph
        names = used | {n.attr for n in graph.scopes.of if isinstance(n, ast.Attribute)} | own_attributes(graph)
        self.suffix = next(s for s in _numbered("_own", len(names)) if not any(name.endswith(s) for name in names))
        self.function, self.marked, self.mark = (
            next(name for name in _numbered(plain, len(names)) if name not in names)
            for plain in ("own_", "marked_", "_mark_")
        )
        own = {name for name in own_attributes(graph) if name.startswith("_")}
        self._plain = tuple(sorted((own | PUBLIC) - stock_image().firmware_private))
        self._asking: ast.AST | None = None
        self._marking: ast.AST | None = None

    def of(self, name: str) -> str:
        """What an attribute is called in the rewritten program."""
        if not name.startswith("_") or name.endswith("__") or name in self._plain:
            return name
        return name + self.suffix

    def in_class(self, node: ast.AST, name: str) -> str:
        """What a plain name is called: in a class's body it is an attribute."""
        scope = self._graph.scopes.of.get(node)
        found = scope.find(name) if scope is not None and self.of(name) != name else None
        return self.of(name) if found is not None and isinstance(found[0].node, ast.ClassDef) else name

    def asks(self, call: ast.Call) -> bool:
        """Whether this call has an attribute's name as an argument."""
        function = (self._graph.origin(call.func) or "").removeprefix("builtins.")
        return function in REFLECTION and len(call.args) > 1

    def asked(self, call: ast.Call, name: ast.expr) -> ast.expr:
        """What takes the place of that argument."""
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return ast.copy_location(ast.Constant(self.of(name.value)), name)
        self._asking = self._asking or call
        function = ast.copy_location(ast.Name(self.function, ast.Load()), name)
        return ast.copy_location(ast.Call(function, [name], []), name)

    def needs_mark(self, node: ast.expr) -> bool:
        """Whether more is had of an object's class or __dict__ than a look: that is for the program's own ones."""
        if isinstance(node, ast.Attribute):
            if node.attr not in _LOOKED_UP or self._graph.receiver(node.value) is None:
                return False
            return node.attr == "__dict__" or not is_free(node, self._graph)
        if not isinstance(node, ast.Call) or self._graph.origin(node.func) != "builtins.type" or len(node.args) != 1:
            return False
        return self._graph.receiver(node.args[0]) is not None and not is_free(node, self._graph)

    def with_mark(self, node: ast.expr, owner: ast.expr) -> ast.expr:
        self._marking = self._marking or node
        function = ast.copy_location(ast.Name(self.marked, ast.Load()), owner)
        return ast.copy_location(ast.Call(function, [owner], []), owner)

    def add_functions(self, program: list[ast.stmt]) -> None:
        """Put what the calls above need into the rewritten program."""
        if self._marking is not None:
            for node in [n for statement in program for n in ast.walk(statement) if isinstance(n, ast.ClassDef)]:
                mark = ast.Assign([ast.Name(self.mark, ast.Store())], ast.Constant(None))
                node.body.insert(0, _placed(mark, node))
            text = _MARKED.format(function=self.marked, mark=self.mark)
            program.insert(0, _placed(ast.parse(text).body[0], self._marking))
        if self._asking is not None:
            text = _OWN.format(function=self.function, suffix=self.suffix, own=self._plain)
            program.insert(0, _placed(ast.parse(text).body[0], self._asking))


def own_attributes(graph: CallGraph) -> set[str]:
    """The attributes that the program gives to objects by names that are written out."""
    own = set(graph.methods)
    for node, scope in graph.scopes.of.items():
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Call) and graph.origin(node.func) == "builtins.setattr" and len(node.args) == 3:
            name = node.args[1]
            own |= {name.value} if isinstance(name, ast.Constant) and isinstance(name.value, str) else set()
        elif isinstance(scope.node, ast.ClassDef):
            own |= set(scope.bindings)
    return own


def sets_any(graph: CallGraph) -> bool:
    """Whether the program gives attributes by names that are made while it runs."""
    return any(
        graph.origin(call.func) == "builtins.setattr"
        and len(call.args) == 3
        and not isinstance(call.args[1], ast.Constant)
        for call in graph.calls
    )


def _numbered(name: str, count: int) -> list[str]:
    return [name, *(f"{name}{n}" for n in range(count + 1))]


def _placed(made: ast.stmt, node: ast.AST) -> ast.stmt:
    for each in ast.walk(made):
        ast.copy_location(each, node)
    return made
