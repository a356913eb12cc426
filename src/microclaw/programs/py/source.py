"""The text of a `py` program, read with CPython's parser: its tree and its lines. Changes nothing, runs nothing."""

from __future__ import annotations

import ast
import re
from typing import Final, Literal

from msgspec import Struct

from microclaw.errors import BuildError, Diagnostic
from microclaw.programs.py.source_files import (
    BOOT,
    MAIN,
    SourceFile,
    is_of_image,
    parse_file,
    split_files,
    without_self_test,
)

# Of the tree. MicroPython's own compiler on a board gives up far earlier than CPython.
MAX_DEPTH: Final = 60
MAX_FINDINGS: Final = 20
_C: Final = re.compile(
    r"^[ \t]*#[ \t]*(?:include|define)\b|^[ \t]*(?:static[ \t]+)?(?:int|void)[ \t]+\w+[ \t]*\([^)\n]*\)[ \t]*\{", re.M
)
SIMPLER: Final = "split long expressions and deeply nested blocks into smaller ones"


class PythonSource(Struct, frozen=True):
    """A program that CPython can parse. Lines count from 1; of several files they are those of the joined text.

    `tree` is that of the main file, with boot.py before it. `modules` are the trees of the other files, by their names.
    """

    file: str
    lines: tuple[str, ...]
    tree: ast.Module
    files: tuple[SourceFile, ...] = ()
    modules: dict[str, ast.Module] = {}

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
        self._places: set[tuple[str, int | None, int | None, str]] = set()

    def error(self, node: ast.AST | None, message: str, hint: str | None = None, why: str | None = None) -> None:
        self._add(self.errors, at(self._source, node, message, hint, why))

    def warn(self, node: ast.AST | None, message: str, hint: str | None = None) -> None:
        self._add(self.warnings, at(self._source, node, message, hint, severity="warning"))

    def copy(self) -> Findings:
        """Return the findings so far, to go on from them in another way."""
        copied = Findings(self._source)
        copied.errors += self.errors
        copied.warnings += self.warnings
        copied._places |= self._places
        return copied

    def refuse_two_meanings(self, name: str, first: ast.AST, other: ast.AST) -> None:
        """Find a name that is imported at `first` and is something else at `other`."""
        hint = f"use another name than {name} for one of them"
        self.error(other, f"{name} means something else in line {node_line(first)}", hint)

    def raise_errors(self) -> None:
        """Raise BuildError if there is an error: the errors in the order of their lines, then the warnings."""
        if self.errors:
            errors = sorted(self.errors, key=lambda error: (error.line or 0, error.column or 0))
            raise BuildError((*errors, *self.warnings)[:MAX_FINDINGS], stage="check")

    def _add(self, findings: list[Diagnostic], finding: Diagnostic) -> None:
        place = (finding.severity, finding.line, finding.column, finding.message)
        if place not in self._places:
            self._places.add(place)
            findings.append(finding)


def read_python(text: str, name: str) -> PythonSource:
    """Parse a program's text. Raises BuildError with the place where Python itself cannot read it."""
    main, *others = split_files(text, f"{name}.py")
    lines = tuple(text.split("\n"))
    tree = _parse(main, lines)
    modules = {}
    for file in others:
        # A file that the board's own module hides is not read.
        if is_of_image(file.module):
            continue
        module = _parse(file, lines)
        if file.name == BOOT and main.name == MAIN:
            tree.body[:0] = module.body
        else:
            modules[file.name] = without_self_test(module)
    source = PythonSource(f"{name}.py", lines, tree, tuple(others), modules)
    for parsed in (tree, *modules.values()):
        deep_node = _too_deep(parsed)
        if deep_node is not None:
            message = f"more than {MAX_DEPTH} levels of nesting"
            raise BuildError((at(source, deep_node, message, SIMPLER),), stage="source")
    return source


def _parse(file: SourceFile, lines: tuple[str, ...]) -> ast.Module:
    try:
        return parse_file(file)
    except SyntaxError as exc:
        raise BuildError((_syntax_error(exc, file, lines),), stage="source") from exc
    except (RecursionError, MemoryError) as exc:
        line = None
        if len(file.text.split("\n")) < len(lines):
            line = file.first_line
        finding = Diagnostic("error", "too nested", file.name, line, hint=SIMPLER)
        raise BuildError((finding,), stage="source") from exc


def _syntax_error(exc: SyntaxError, file: SourceFile, lines: tuple[str, ...]) -> Diagnostic:
    """Build the finding for a text that Python cannot read, with the line if the text has it."""
    line = column = shown = hint = None
    if exc.lineno and file.first_line + exc.lineno - 1 <= len(lines):
        line = file.first_line + exc.lineno - 1
        column = exc.offset or None
        shown = lines[line - 1]
    if _C.search(file.text):
        hint = "this looks like C: give it as C, or in a file that ends in .c"
    return Diagnostic("error", f"syntax error: {exc.msg}", file.name, line, column, shown, hint=hint)


def at(
    source: PythonSource,
    node: ast.AST | None,
    message: str,
    hint: str | None = None,
    why: str | None = None,
    *,
    severity: Literal["error", "warning"] = "error",
) -> Diagnostic:
    """Return a finding at a node's place, with that line's text."""
    line = node_line(node)
    text = source.line(line)
    column = None
    if text is not None:
        # The offset counts bytes.
        before = text.encode()[: getattr(node, "col_offset", 0)]
        column = len(before.decode(errors="replace")) + 1
    return Diagnostic(severity, message, source.file, line, column, text, hint, why)


def node_line(node: ast.AST | None) -> int | None:
    """Return the source's line of a node; a driver's node has the line of its import as a negative number."""
    line: int | None = getattr(node, "lineno", None)
    if line is None:
        return None
    return abs(line)


def _too_deep(tree: ast.Module) -> ast.AST | None:
    """Return a node under more levels than MAX_DEPTH, or None. It is found without recursion."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH and hasattr(node, "lineno"):
            return node
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return None
