"""Finds the drivers of parts and the libraries that a Python program can import: the file of each module."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from microclaw.hardware import screens
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.parts.reader import part_folders
from microclaw.programs.py.scopes import canonical

PACKAGE: Final = "microclaw"
_READING: Final = "reading"
_DRIVERS: Final = "python"
_OWN_MODULES: Final = Path(screens.__file__).parent / _DRIVERS
"""The modules of `microclaw` that no firmware has: they go into the programs that import them."""
_LIBRARIES: Final = Path(__file__).parent / "libraries"
"""The libraries that programs on a board know as modules of the firmware, by the paths of their names."""
_SCREEN: Final = _OWN_MODULES / "screen.py"


@functools.cache
def _driver_files() -> dict[str, Path]:
    """Return the file of each driver by its module."""
    files: dict[str, Path] = {}
    for folder in part_folders():
        for path in (folder / _DRIVERS).glob("*.py"):
            files.setdefault(path.stem, path)
    return files


def driver_modules() -> tuple[str, ...]:
    """Return the modules that parts and libraries bring, sorted, without those that the stock image has."""
    brought = _driver_files().keys() | _library_files().keys()
    return tuple(sorted(brought - stock_image().modules.keys()))


@functools.cache
def _library_files() -> dict[str, Path]:
    """Return the file of each library by its module: "umqtt.simple"."""
    files = {}
    for path in _LIBRARIES.rglob("*.py"):
        files[_library_module(path)] = path
    return files


def is_library_package(module: str) -> bool:
    """Return True for "umqtt", which has libraries in it and is none itself."""
    return module != PACKAGE and any(library.startswith(f"{module}.") for library in _library_files())


def _library_module(path: Path) -> str:
    return ".".join(path.relative_to(_LIBRARIES).with_suffix("").parts)


def is_library(path: Path) -> bool:
    """Return True for a library, which belongs to no part."""
    return path.is_relative_to(_LIBRARIES)


@functools.cache
def _own_files() -> dict[str, Path]:
    return {path.stem: path for path in _OWN_MODULES.glob("*.py")}


_OTHER_NAMES: Final = {"umqttsimple": "umqtt.simple", "umqttrobust": "umqtt.robust"}
"""The names of files that tutorials tell people to copy, and the library that each is."""


def board_module(module: str) -> str:
    """Return the name that a module has on a board, also if a program calls it by another: "requests" for urequests."""
    return _OTHER_NAMES.get(module, canonical(module))


@functools.cache
def driver_file(module: str, part: Path | None = None) -> Path | None:
    """Return the file of a driver, or None; `part` is the folder of the driver that imports it."""
    name = board_module(module)
    if name in _library_files():
        return _library_files()[name]
    package, _, own_name = name.rpartition(".")
    if package == PACKAGE:
        return _own_files().get(own_name)
    if name in stock_image().modules:
        return None
    if part is not None and name == _READING:
        return part / f"{_READING}.py"
    return _driver_files().get(name)


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


def part_of(path: Path) -> Path | None:
    """Return the folder of the part whose driver or reading a file is; None for a library."""
    if is_library(path):
        return None
    if path.stem == _READING:
        return path.parent
    return path.parent.parent


def driver_key(path: Path) -> str:
    """Return the name of a driver or library among all: a reading is its part's."""
    if is_library(path):
        return _library_module(path)
    if path.stem == _READING:
        return f"{path.parent.name}.{_READING}"
    return path.stem
