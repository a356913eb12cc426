"""A Python program of several files as one text with the marks of source_marks.py, and the modules that they are.

The first file is the program's main file. Each other is a module by its path, as on a board: lib/ht16.py is `ht16`,
house/living.py is `house.living`, house/__init__.py is `house`. A boot.py beside main.py is no module: it runs before
main.py, with the same names. Reads no disk.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.source_marks import (
    LineMarks,
    blank_marks,
    file_mark,
    name_for_mark,
    with_plain_newlines,
    without_marks,
)

LIBRARY: Final = "lib"
"""The folder whose modules are imported without its name."""
MAIN: Final = "main.py"
BOOT: Final = "boot.py"
_PACKAGE_FILE: Final = "__init__.py"
DROPPED_MODULES: Final = frozenset({"typing", "__future__"})
"""Modules that a program on a board needs no more: their imports go."""
_MAX_MENDS: Final = 20
_LONG_TEXTS: Final = re.compile(r'("""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\')')
_INDENTS: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_MAX_MODULE_CHARS: Final = 80
"""The longest name of a module that a mark can hold as a file: lib/NAME/__init__.py."""
ImportNode: TypeAlias = ast.Import | ast.ImportFrom


class SourceFile(Struct, frozen=True):
    """A file of a program. `first_line` is the line of the joined text that is its line 1."""

    name: str
    text: str
    first_line: int = 1

    @property
    def module(self) -> str:
        return module_of_file(self.name)

    @property
    def package(self) -> str:
        """The package that relative imports of the file begin at, "" outside of packages."""
        if PurePosixPath(self.name).name == _PACKAGE_FILE:
            return self.module
        return self.module.rpartition(".")[0]


def module_of_file(name: str) -> str:
    """Return the module that a file is: "umqtt.simple" for lib/umqtt/simple.py."""
    parts = [*PurePosixPath(name).with_suffix("").parts]
    if len(parts) > 1 and parts[0] == LIBRARY:
        del parts[0]
    if parts[-1] == "__init__":
        del parts[-1]
    return ".".join(parts)


def join_files(file: str, text: str, files: Mapping[str, str]) -> str:
    """Return the program as one text: `text` is the main file named `file`, `files` are its others by their names."""
    if not files:
        return text
    lines = []
    for name, content in ((name_for_mark(file), text), *files.items()):
        lines.append(file_mark(name, 1))
        lines.append(blank_marks(with_plain_newlines(content)).removesuffix("\n"))
    return "\n".join(lines) + "\n"


def python_marks(text: str) -> LineMarks:
    """Return the marks of a program. The comments of a program that does not begin with a mark are none."""
    marks = without_marks(text)[1]
    if not marks.marks or marks.marks[0][0] != 2:
        return LineMarks()
    return marks


def split_files(text: str, file: str) -> list[SourceFile]:
    """Return the files of a joined text, the main one first; a text without marks is one file of this name."""
    marks = python_marks(text).marks
    if not marks:
        return [SourceFile(file, text)]
    lines = text.split("\n")
    files = []
    ends = [start - 2 for start, _, _ in marks[1:]]
    for (start, _, name), end in zip(marks, [*ends, len(lines)], strict=True):
        files.append(SourceFile(name, "\n".join(lines[start - 1 : end]), start))
    return files


def parse_file(file: SourceFile) -> ast.Module:
    """Parse a file; its nodes have the lines of the joined text. Raises what `ast.parse` raises."""
    with warnings.catch_warnings():
        # Of escapes like "\d": MicroPython takes them as they are.
        warnings.simplefilter("ignore")
        tree = parse_text(file.text, file.name)
        # Finds a `return` or `await` outside a function.
        compile(tree, file.name, "exec", dont_inherit=True)
    if "TYPE_CHECKING" in file.text:
        tree = without_typing(tree)
    if file.first_line > 1:
        ast.increment_lineno(tree, file.first_line - 1)
    return tree


def without_typing(tree: ast.Module) -> ast.Module:
    """Return a text without what only a checker of types reads: `if TYPE_CHECKING:`."""
    without: ast.Module = _WithoutTyping().visit(tree)
    return without


def parse_text(text: str, file: str) -> ast.Module:
    """Parse a text as MicroPython does, which also reads tabs beside spaces and `f(1, x for x in y)`.

    Raises what `ast.parse` raises.
    """
    for _ in range(_MAX_MENDS):
        try:
            return ast.parse(text, file)
        except TabError:
            mended = _without_tabs(text)
        except SyntaxError as exc:
            mended = _with_parentheses(text, exc)
        if mended == text:
            break
        text = mended
    return ast.parse(text, file)


def _without_tabs(text: str) -> str:
    """Return a text whose lines begin with spaces: a tab ends at a multiple of eight, as MicroPython counts."""
    parts = _LONG_TEXTS.split(text)
    parts[::2] = [_INDENTS.sub(lambda indent: indent[0].expandtabs(8), part) for part in parts[::2]]
    return "".join(parts)


def _with_parentheses(text: str, exc: SyntaxError) -> str:
    """Return a text with parentheses around the generator expression that an error is about; the text if about none."""
    if exc.msg != "Generator expression must be parenthesized" or not (exc.lineno and exc.offset):
        return text
    if not (exc.end_lineno and exc.end_offset):
        return text
    lines = text.split("\n")
    for number, offset, mark in ((exc.end_lineno, exc.end_offset, ")"), (exc.lineno, exc.offset, "(")):
        line = lines[number - 1]
        lines[number - 1] = line[: offset - 1] + mark + line[offset - 1 :]
    return "\n".join(lines)


def is_of_image(module: str) -> bool:
    """Return True for a module of the board, or one that a program needs no more, whose place no file takes."""
    is_fixed = stock_image().has_module(module) and module not in stock_image().extensible
    return module in DROPPED_MODULES or is_fixed


def imports_of(tree: ast.AST) -> list[ImportNode]:
    """Return the imports of a text in the order of its statements."""
    imports: list[ImportNode] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif not isinstance(node, ast.expr):
            waiting += reversed([*ast.iter_child_nodes(node)])
    return imports


def wanted_modules(node: ImportNode, package: str) -> list[str]:
    """Return the names in an import that may be modules, packages before what is in them."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = absolute_module(node, package)
        if base is None or len(base) > _MAX_MODULE_CHARS:
            return []
        names = [base, *(f"{base}.{name}" for name in names if name != "*")]
    modules: list[str] = []
    for name in names:
        if len(name) <= _MAX_MODULE_CHARS:
            modules += with_packages(name)
    return list(dict.fromkeys(modules))


def with_packages(module: str) -> Iterable[str]:
    """Return a module's name behind those of the packages that it is in."""
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def absolute_module(node: ast.ImportFrom, package: str) -> str | None:
    """Return the module that `from ... import` names; None for one above the packages of the file."""
    if not node.level:
        return node.module or ""
    parts = []
    if package:
        parts = package.split(".")
    if node.level > len(parts):
        return None
    parts = parts[: len(parts) - node.level + 1]
    if node.module:
        parts.append(node.module)
    return ".".join(parts)


def without_self_test(tree: ast.Module) -> ast.Module:
    """Return a module without what it does only if it is run alone: `if __name__ == "__main__":`."""
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.If) and _asks_for_main(statement.test):
            body += statement.orelse
        else:
            body.append(statement)
    tree.body = body
    return tree


def _asks_for_main(test: ast.expr) -> bool:
    """Return True for a test that is true only in the program's main file."""
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return {ast.unparse(left), ast.unparse(right)} == {"__name__", "'__main__'"}
        case ast.BoolOp(op=ast.And(), values=values):
            return any(map(_asks_for_main, values))
        case _:
            return False


class _WithoutTyping(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return node.orelse or ast.copy_location(ast.Pass(), node)
        return node
