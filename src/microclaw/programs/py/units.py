"""The texts that become one program: its main file, its modules, drivers; and where the import of each one leads."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct, field

from microclaw.programs.py.drivers import PACKAGE, driver_file, driver_key, driver_text, is_library_package, part_of
from microclaw.programs.py.formats import Simplifier, used_words
from microclaw.programs.py.scopes import Binding, Scopes
from microclaw.programs.py.source import Findings
from microclaw.programs.py.source_files import SourceFile, is_of_image, with_packages

PROGRAM: Final = ""
"""The key of the program's main file."""


class ImportedName(Struct, frozen=True):
    """What an import brings: a module by its key among the units, or one name of it."""

    module: str
    name: str | None = None

    @property
    def is_module(self) -> bool:
        return self.name is None


class Links(Struct):
    """What the names of a unit stand for, as linking.py finds it.

    `nodes`: what each node is that stands for something of another unit. `constants`: the texts that nodes stand for.
    `copies`: imports whose name stays a variable. `optional`: variables that are a module or None. `globals`: names in
    the bundle that a function sets in another unit. `meanings`: what a name with these bindings (by `id`) stands for.
    """

    nodes: dict[ast.AST, ImportedName] = field(default_factory=dict)
    constants: dict[ast.AST, str] = field(default_factory=dict)
    copies: set[tuple[ast.AST, str]] = field(default_factory=set)
    optional: set[int] = field(default_factory=set)
    globals: dict[ast.AST, list[ImportedName]] = field(default_factory=dict)
    meanings: dict[int, ImportedName | None] = field(default_factory=dict)


class Unit(Struct, eq=False):
    """The program, one of its modules, a driver or a library, which is read as a driver without a part.

    `word` stands before its names where another unit has them. `place` is the program's statement that imports a
    driver, also through another driver. bundle.py fills the last two: `bundle_names` are its names in the bundle by
    those in it, `before` the units whose code runs before a statement, because it imports them.
    """

    key: str
    tree: ast.Module
    scopes: Scopes
    word: str = ""
    file: str = ""
    package: str = ""
    part: Path | None = None
    place: ast.stmt | None = None
    links: Links = field(default_factory=Links)
    bundle_names: dict[str, str] = field(default_factory=dict)
    before: dict[ast.AST, list[str]] = field(default_factory=dict)

    @property
    def is_driver(self) -> bool:
        return self.place is not None

    @property
    def title(self) -> str:
        """ "lamp.py", "the driver tone", "the library umqtt.simple"."""
        if self.is_driver and self.part is None:
            return f"the library {self.key}"
        if self.is_driver:
            return f"the driver {self.key.rpartition('.')[2]}"
        return self.file or f"the folder {self.key.replace('.', '/')}"

    @property
    def bindings(self) -> dict[str, list[Binding]]:
        """The names of the text itself."""
        return self.scopes.module.bindings

    @property
    def names(self) -> list[str]:
        """What others may use of it: of a driver its own definitions, without those that begin with _."""
        if not self.is_driver:
            return [*self.bindings]
        names = []
        for name, bindings in self.bindings.items():
            is_import = any(binding.kind == "import" for binding in bindings)
            if not is_import and not name.startswith("_"):
                names.append(name)
        return names

    def is_variable(self, name: str) -> bool:
        """Return True for a name that the text gives plain values, which is no function, class or import."""
        bindings = self.bindings.get(name, ())
        return bool(bindings) and all(binding.kind == "value" for binding in bindings)

    def public_names(self, findings: Findings) -> list[str]:
        """Return what `import *` brings: the names in `__all__`, else those without _ before them."""
        if "__all__" not in self.bindings:
            return [name for name in self.names if not name.startswith("_")]
        names = []
        for binding in self.bindings["__all__"]:
            listed = _listed_names(getattr(binding.node, "value", None))
            if listed is None:
                return self._refuse_all(binding.node, findings)
            names += listed
        added = {call.func: call for call in map(_call_of, self.tree.body) if call is not None}
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(value=ast.Name(id="__all__")):
                    listed = _added_names(added.get(node))
                    if listed is None:
                        return self._refuse_all(node, findings)
                    names += listed
        return names

    def _refuse_all(self, node: ast.AST, findings: Findings) -> list[str]:
        hint = "write the names into one list: __all__ = [...]"
        findings.error(node, f"cannot tell which names __all__ of {self.title} has", hint)
        return []

    def is_own(self, node: ast.AST, name: str) -> bool:
        """Return True if a name at a node is one of the text itself, not one of a function or class in it."""
        # An annotation of viper code is in no scope: there it names a type.
        owner = self.scopes.owner(node, name)
        return owner is not None and owner[0] is self.scopes.module


class ModuleSource(Protocol):
    """Where the modules of a bundle come from."""

    def find(self, module: str, importer: Unit) -> str | None:
        """Return the key of a module, or None if it is none of these."""
        ...

    def read(self, key: str, place: ast.stmt) -> Unit:
        """Return a module that was found; `place` is the program's import that leads to it."""
        ...


class DriverModules:
    """The drivers of parts, and the modules of `microclaw` that no firmware has (drivers.py)."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}

    def find(self, module: str, importer: Unit) -> str | None:
        """Return the key of a driver."""
        if module == PACKAGE:
            return None
        if is_library_package(module):
            return module
        path = driver_file(module, importer.part)
        if path is None:
            return None
        key = driver_key(path)
        self._paths[key] = path
        return key

    def read(self, key: str, place: ast.stmt) -> Unit:
        """Return a driver with the place of the import that leads to it."""
        if is_library_package(key):
            tree = ast.Module([], [])
            return Unit(key, tree, Scopes(tree), key)
        path = self._paths[key]
        tree = ast.parse(driver_text(path))
        tree = Simplifier(used_words([tree])).visit(tree)
        word = key.rpartition(".")[2]
        return Unit(key, tree, Scopes(tree), word, part=part_of(path), place=place)


class FileModules:
    """The files of a program beside its main one. Folders without an __init__.py are modules without names."""

    def __init__(self, files: Sequence[SourceFile], trees: Mapping[str, ast.Module], findings: Findings) -> None:
        self._files: dict[str, SourceFile] = {}
        self._trees = trees
        self._folders: set[str] = set()
        for file in files:
            place = ast.Pass(lineno=file.first_line, col_offset=0)
            other = self._files.get(file.module)
            if is_of_image(file.module):
                top = file.module.partition(".")[0]
                hint = f"give the file another name, and import that, if you do not mean the board's {top}"
                findings.warn(place, f"{file.name} is not used: the board has {top} itself", hint)
            elif other is not None:
                message = f"{other.name} and {file.name} are both the module {file.module}"
                findings.error(place, message, "keep one of them, or give it another name")
            elif file.name in trees:
                self._files[file.module] = file
                self._folders.update(with_packages(file.module))

    def find(self, module: str, importer: Unit) -> str | None:  # noqa: ARG002  as in ModuleSource
        """Return a module's name, which is its key."""
        if module in self._folders:
            return module
        return None

    def read(self, key: str, place: ast.stmt) -> Unit:  # noqa: ARG002  as in ModuleSource
        """Return a module of the program."""
        word = key.rpartition(".")[2]
        file = self._files.get(key)
        if file is None:
            tree = ast.Module([], [])
            return Unit(key, tree, Scopes(tree), word, package=key)
        tree = self._trees[file.name]
        return Unit(key, tree, Scopes(tree), word, file.name, file.package)


def _call_of(statement: ast.stmt) -> ast.Call | None:
    """Return the call that a statement is, or None."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return statement.value
    return None


def _added_names(call: ast.Call | None) -> list[str] | None:
    """Return the names that `__all__.append("x")` or `.extend(["x"])` adds; None for any other call."""
    match call:
        case ast.Call(func=ast.Attribute(attr="append"), args=[ast.Constant(value=str(name))], keywords=[]):
            return [name]
        case ast.Call(func=ast.Attribute(attr="extend"), args=[names], keywords=[]):
            return _listed_names(names)
        case _:
            return None


def _listed_names(value: ast.AST | None) -> list[str] | None:
    """Return the texts of a list that is written out; None for any other."""
    match value:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            texts = []
            for part in parts:
                if not isinstance(part, ast.Constant) or not isinstance(part.value, str):
                    return None
                texts.append(part.value)
            return texts
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            texts_left = _listed_names(left)
            texts_right = _listed_names(right)
            if texts_left is not None and texts_right is not None:
                return texts_left + texts_right
    return None
