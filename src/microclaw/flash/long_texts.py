"""Texts for people leave the memory of a board without PSRAM: a file has them, and one is read when it is said.

A hundred texts of errors of the modules that always stay are 5 KB of RAM, and nearly none is ever said. In functions
they become `text_at(n)` of firmware/fw/texts.py; n is where the text begins in the file. Words of protocols stay.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final

HOME: Final = "texts"
"""The module that reads them; the file lies beside it."""
READER: Final = "text_at"
FILE: Final = "texts.txt"
_MIN_CHARS: Final = 12  # what asks for a shorter one takes as much


def outlined(modules: Mapping[str, str], resident: Iterable[str]) -> tuple[dict[str, str], bytes]:
    """The sources, those of `resident` without their texts, and the file of the texts."""
    made, texts = dict(modules), _Texts()
    if HOME not in modules:
        return made, texts.file
    for name in sorted({*resident} - {HOME}):
        tree = ast.parse(modules[name])
        found = [texts.leave(node) for node in ast.walk(tree)]
        if any(found):
            tree.body.insert(1, ast.ImportFrom(HOME, [ast.alias(READER)], 0))  # the first is what the module is
            made[name] = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return made, texts.file


class _Texts(ast.NodeTransformer):
    def __init__(self) -> None:
        self.file = b""
        self._places: dict[str, int] = {}
        self._asked = 0

    def leave(self, node: ast.AST) -> bool:
        """Take the texts out of a function's body; whether there were any."""
        before = self._asked
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = 0 if ast.get_docstring(node) is None else 1
            node.body[start:] = [self.visit(part) for part in node.body[start:]]
        return self._asked > before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node  # `leave` comes to it

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        text = node.value
        if not isinstance(text, str) or len(text) < _MIN_CHARS or " " not in text or not text.isprintable():
            return node
        if text not in self._places:
            self._places[text] = len(self.file)
            self.file += text.encode() + b"\n"
        self._asked += 1
        return ast.Call(ast.Name(READER, ast.Load()), [ast.Constant(self._places[text])], [])
