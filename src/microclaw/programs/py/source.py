"""The text of a `py` program, read with CPython's parser: its tree and its lines. Changes nothing, runs nothing."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final, Literal

from msgspec import Struct

from microclaw.errors import BuildError, Diagnostic

MAX_DEPTH: Final = 60  # of the tree; MicroPython's own compiler on a board gives up far earlier than CPython
MAX_FINDINGS: Final = 20
_C: Final = re.compile(
    r"^[ \t]*#[ \t]*(?:include|define)\b|^[ \t]*(?:static[ \t]+)?(?:int|void)[ \t]+\w+[ \t]*\([^)\n]*\)[ \t]*\{", re.M
)
SIMPLER: Final = "split long expressions and deeply nested blocks into smaller ones"


class PythonSource(Struct, frozen=True):
    """A program that CPython can parse. Lines count from 1."""

    file: str
    text: str
    lines: tuple[str, ...]
    tree: ast.Module

    def line(self, number: int | None) -> str | None:
        if number is not None and 0 < number <= len(self.lines):
            return self.lines[number - 1]
        return None


class Findings:
    """Collects what is found in one program, at most one finding of a kind for a place."""

    def __init__(self, source: PythonSource) -> None:
        self._source = source
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []

    def error(self, node: ast.AST | None, message: str, hint: str | None = None, why: str | None = None) -> None:
        _add(self.errors, at(self._source, node, message, hint, why))

    def warn(self, node: ast.AST | None, message: str, hint: str | None = None) -> None:
        _add(self.warnings, at(self._source, node, message, hint, severity="warning"))

    def raise_errors(self) -> None:
        """Raise BuildError if there is an error: the errors in the order of their lines, then the warnings."""
        if self.errors:
            found = (*sorted(self.errors, key=lambda d: (d.line or 0, d.column or 0)), *self.warnings)
            raise BuildError(found[:MAX_FINDINGS], stage="check")


def read_python(text: str, name: str) -> PythonSource:
    """Parse a program's text. Raises BuildError with the place where Python itself cannot read it."""
    file = f"{name}.py"
    lines = tuple(text.split("\n"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes like "\d": MicroPython takes them as they are
            tree = ast.parse(text, file)
            compile(text, file, "exec", dont_inherit=True)  # finds a `return` or `await` outside a function
    except SyntaxError as exc:
        line = exc.lineno if exc.lineno and exc.lineno <= len(lines) else None
        column = exc.offset if line is not None and exc.offset else None
        if line:
            shown = lines[line - 1]
        else:
            shown = None
        hint = "this looks like C: give it as C, or in a file that ends in .c" if _C.search(text) else None
        found = Diagnostic("error", f"syntax error: {exc.msg}", file, line, column, shown, hint=hint)
        raise BuildError((found,), stage="source") from exc
    except (RecursionError, MemoryError) as exc:
        raise BuildError((Diagnostic("error", "too nested", file, hint=SIMPLER),), stage="source") from exc
    read = PythonSource(file, text, lines, tree)
    deep = _too_deep(tree)
    if deep is not None:
        raise BuildError((at(read, deep, f"more than {MAX_DEPTH} levels of nesting", SIMPLER),), stage="source")
    return read


def at(
    source: PythonSource,
    node: ast.AST | None,
    message: str,
    hint: str | None = None,
    why: str | None = None,
    severity: Literal["error", "warning"] = "error",
) -> Diagnostic:
    """A finding at a node's place, with that line's text."""
    line = node_line(node)
    text = source.line(line)
    before = text.encode()[: getattr(node, "col_offset", 0)] if text is not None else b""  # the offset counts bytes
    if text is not None:
        column = len(before.decode(errors="replace")) + 1
    else:
        column = None
    return Diagnostic(severity, message, source.file, line, column, text, hint, why)


def node_line(node: ast.AST | None) -> int | None:
    """Return the source's line of a node; a driver's node has the line of its import as a negative number."""
    line: int | None = getattr(node, "lineno", None)
    if line is None:
        return None
    return abs(line)


def _add(findings: list[Diagnostic], found: Diagnostic) -> None:
    if not any((d.line, d.column, d.message) == (found.line, found.column, found.message) for d in findings):
        findings.append(found)


def _too_deep(tree: ast.Module) -> ast.AST | None:
    """A node under more levels than MAX_DEPTH, found without recursion."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH and hasattr(node, "lineno"):
            return node
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return None
