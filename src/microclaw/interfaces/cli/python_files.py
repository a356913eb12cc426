"""Finds the other files of a Python program: what its main file imports, and what those import, in its folder.

They are looked for beside the main file and in lib/ there, as on a board; boot.py beside main.py comes along. What is
not imported is not read. It checks nothing: programs/py does, and names the file of each error.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from msgspec import Struct

from microclaw.durable import read_given_text
from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.interfaces.cli.sketch_files import MAX_FILE_BYTES, is_file
from microclaw.programs.py.py_image import MAX_SOURCE_BYTES
from microclaw.programs.py.source_files import (
    BOOT,
    LIBRARY,
    MAIN,
    SourceFile,
    imports_of,
    is_of_image,
    module_of_file,
    parse_text,
    wanted_modules,
    without_self_test,
    without_typing,
)
from microclaw.programs.source_marks import MAX_FILES

_ENDS: Final = ("/__init__.py", ".py")


def find_python_files(main: Path, text: str) -> dict[str, str]:
    """Return the texts of a program's other files, by their paths from its folder, in the order of their imports.

    Raises BuildError for a file that is compiled or leads out of the folder, and for too many or too much text;
    ConfigError for a file that is no text.
    """
    search = _Search(main.parent, main.name)
    if main.name == MAIN and is_file(main.parent / BOOT):
        search.add(BOOT, _Place(MAIN))
    search.add_imported(SourceFile(main.name, text), is_module=False)
    while search.waiting:
        file = search.waiting.pop(0)
        search.add_imported(file, is_module=file.name != BOOT or main.name != MAIN)
    return search.texts


class _Place(Struct, frozen=True):
    """The import that leads to a file."""

    file: str
    line: int | None = None


class _Search:
    """The files that were found. `waiting` are those whose imports have not been looked at."""

    def __init__(self, folder: Path, main: str) -> None:
        self._folder = folder
        self._main = main
        self.texts: dict[str, str] = {}
        self.waiting: list[SourceFile] = []

    def add_imported(self, file: SourceFile, *, is_module: bool) -> None:
        """Add the files that a file imports."""
        tree = _parse(file.text)
        if tree is None:
            return
        if is_module:
            without_self_test(tree)
        for node in imports_of(tree):
            place = _Place(file.name, node.lineno)
            for module in wanted_modules(node, file.package):
                for name in self._find(module, place):
                    self.add(name, place)

    def add(self, name: str, place: _Place) -> None:
        """Add a file by its path from the folder."""
        if name in self.texts or name == self._main:
            return
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            _refuse(f"{name} is a link that leads out of the program's folder", "copy the file into the folder", place)
        if len(self.texts) == MAX_FILES:
            _refuse(f"a program has at most {MAX_FILES} files beside its main one", "put some into one file", place)
        text = ""
        # The checks only name a file that the board's own module hides.
        if not is_of_image(module_of_file(name)):
            text = read_given_text(path, MAX_FILE_BYTES)
        self.texts[name] = text
        size = sum(map(len, self.texts.values()))
        if size > MAX_SOURCE_BYTES:
            message = f"with {name} the program has {size:,} characters; {MAX_SOURCE_BYTES:,} is the limit"
            _refuse(message, "import less, or shorten the library", place)
        self.waiting.append(SourceFile(name, text))

    def _find(self, module: str, place: _Place) -> list[str]:
        """Return the files that are a module: two if a folder and a file are, which the checks refuse."""
        path = module.replace(".", "/")
        for root in _roots(module):
            names = [f"{root}{path}{end}" for end in _ENDS]
            found = [name for name in names if is_file(self._folder / name)]
            if found:
                return found
            for name in filter(self._is_broken, names):
                _refuse(f"{name} cannot be read", "is it a link to a file that is gone, or no file?", place)
            compiled = f"{root}{path}.mpy"
            if is_file(self._folder / compiled) and not is_of_image(module):
                message = f"{compiled} is compiled and cannot be checked"
                _refuse(message, f"take its .py: mip install --no-mpy {module}", place)
            # A folder without an __init__.py is found by the files in it.
            if os.path.isdir(self._folder / root / path):  # noqa: PTH112  Path.is_dir raises for a name that is too long
                return []
        return []

    def _is_broken(self, name: str) -> bool:
        """Return True if something has this name in the folder, and is no file."""
        return os.path.lexists(self._folder / name)


def _roots(module: str) -> Iterator[str]:
    """Yield the folders in which a board looks for a module; Python that its image has comes before lib/."""
    yield ""
    stock = stock_image()
    if module not in stock.modules or module in stock.extensible:
        yield f"{LIBRARY}/"


def _parse(text: str) -> ast.Module | None:
    """Return the tree of a text, or None for one that the checks will refuse."""
    if len(text) > MAX_SOURCE_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            # Of escapes like "\d".
            warnings.simplefilter("ignore")
            return without_typing(parse_text(text.removeprefix("\ufeff"), MAIN))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _refuse(message: str, hint: str, place: _Place) -> NoReturn:
    raise BuildError((Diagnostic("error", message, place.file, place.line, hint=hint),), stage="source")
