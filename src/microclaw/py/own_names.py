"""Keeps a program's attributes apart from the firmware's: those of one name get another one when it is rewritten.

So `self._env` of a program's class never is the firmware's `_env`, whatever object the method is called with. Names
that are made while the program runs go through a function of the rewritten program. Judges nothing.
"""

from __future__ import annotations

import ast
import itertools
from typing import Final

from microclaw.py.callgraph import CallGraph
from microclaw.py.private import PUBLIC, REFLECTION, is_free, own_attributes, owner_of_class
from microclaw.py.stock import stock_image

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
        self.suffix = unused("_own", {name[at:] for name in names for at in range(len(name))})
        self.function, self.marked, self.mark = (unused(plain, names) for plain in ("own_", "marked_", "_mark_"))
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
            return ast.Constant(self.of(name.value))
        self._asking = self._asking or call
        return ast.Call(ast.Name(self.function, ast.Load()), [name], [])

    def needs_mark(self, node: ast.expr) -> bool:
        """Whether more is had of an object's class or __dict__ than a look: that is for the program's own ones."""
        is_dict = isinstance(node, ast.Attribute) and node.attr == "__dict__"
        owner = node.value if is_dict and isinstance(node, ast.Attribute) else owner_of_class(node, self._graph)
        if owner is None or self._graph.receiver(owner) is None:
            return False
        return is_dict or not is_free(node, self._graph)

    def with_mark(self, node: ast.expr, owner: ast.expr) -> ast.expr:
        self._marking = self._marking or node
        return ast.Call(ast.Name(self.marked, ast.Load()), [owner], [])

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


def unused(name: str, used: set[str]) -> str:
    """This name, or one with a number behind it that is not used."""
    numbered = (f"{name}{n}" for n in itertools.count())
    return next(one for one in itertools.chain([name], numbered) if one not in used)


def _placed(made: ast.stmt, node: ast.AST) -> ast.stmt:
    for each in ast.walk(made):
        ast.copy_location(each, node)
    return made
