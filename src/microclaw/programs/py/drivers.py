"""Finds the drivers of parts that a Python program can import: which file a module is, and what an import brings."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.hardware import screens
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.parts.reader import part_folders
from microclaw.programs.py.scopes import Binding, canonical

PACKAGE: Final = "microclaw"
_READING: Final = "reading"
_DRIVERS: Final = "python"
_OWN_MODULES: Final = Path(screens.__file__).parent / _DRIVERS
"""The modules of `microclaw` that no firmware has: they go into the programs that import them."""
_SCREEN: Final = _OWN_MODULES / "screen.py"
ImportNode: TypeAlias = ast.Import | ast.ImportFrom


class DriverName(Struct, frozen=True):
    """What an import of a driver brings: the module, or one name of it."""

    module: str
    name: str | None = None


def driver_modules() -> tuple[str, ...]:
    """Return the modules that parts bring, sorted, without those that the stock image has."""
    modules = set[str]()
    for folder in part_folders():
        for path in (folder / _DRIVERS).glob("*.py"):
            if path.stem not in stock_image().modules:
                modules.add(path.stem)
    return tuple(sorted(modules))


@functools.cache
def driver_file(module: str, part: Path | None = None) -> Path | None:
    """Return the file of a driver, or None; `part` is the folder of the driver that imports it."""
    name = canonical(module)
    package, _, own_name = name.rpartition(".")
    if package == PACKAGE:
        path = _OWN_MODULES / f"{own_name}.py"
        if path.exists():
            return path
        return None
    if name in stock_image().modules or not name.isidentifier():
        return None
    if part is not None and name == _READING:
        return part / f"{_READING}.py"
    for folder in part_folders():
        path = folder / _DRIVERS / f"{name}.py"
        if path.exists():
            return path
    return None


@functools.cache
def functions_of(module: str) -> Mapping[str, tuple[str, ...]]:
    """Return the parameters of each function that a driver offers."""
    path = driver_file(module)
    if path is None:
        return {}
    functions = {}
    for statement in ast.parse(driver_text(path)).body:
        if isinstance(statement, ast.FunctionDef) and not statement.name.startswith("_"):
            functions[statement.name] = tuple(parameter.arg for parameter in statement.args.args)
    return functions


def driver_text(path: Path) -> str:
    """Return the text of a driver; that of microclaw.screen has the functions of the parts' screen.py too."""
    texts = [path.read_text(encoding="utf-8")]
    if path == _SCREEN:
        for folder in part_folders():
            screen = folder / _SCREEN.name
            if screen.exists():
                texts.append(screen.read_text(encoding="utf-8"))
    return "\n".join(texts)


def part_of(path: Path) -> Path:
    """Return the folder of the part whose driver or reading a file is."""
    if path.stem == _READING:
        return path.parent
    return path.parent.parent


def driver_key(path: Path) -> str:
    """Return the name of a driver among all: a reading is its part's."""
    if path.stem == _READING:
        return f"{path.parent.name}.{_READING}"
    return path.stem


def driver_imports(tree: ast.Module, part: Path | None) -> Iterator[tuple[ImportNode, Path]]:
    """Yield each import of a driver, in the order of the text."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(imports, key=lambda node: (node.lineno, node.col_offset)):
        modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            path = driver_file(module, part)
            is_absolute = isinstance(node, ast.Import) or not node.level
            if path is not None and is_absolute:
                yield node, path


def imported_name(binding: Binding, name: str, part: Path | None) -> DriverName | None:
    """Return what a binding brings of a driver under a name, or None if it is anything else."""
    node = binding.node
    if isinstance(node, ast.Import):
        for alias in node.names:
            path = driver_file(alias.name, part)
            if path is not None and (alias.asname or alias.name) == name:
                return DriverName(driver_key(path))
    if isinstance(node, ast.ImportFrom) and not node.level:
        path = driver_file(node.module or "", part)
        for alias in node.names:
            if path is not None and (alias.asname or alias.name) == name:
                return DriverName(driver_key(path), alias.name)
    return None
