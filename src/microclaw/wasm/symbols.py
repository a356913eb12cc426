"""Reads the symbol table of a wasm object file: what it defines, what it lacks, how large its variables are.

Format: WebAssembly tool-conventions, Linking.md, the custom section "linking", version 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from microclaw.wire.wasm_binary import ModuleError, Reader

_SYMBOL_TABLE: Final = 8
_FUNCTION, _DATA, _GLOBAL, _SECTION, _EVENT, _TABLE = range(6)
_LOCAL: Final = 0x02
_UNDEFINED: Final = 0x10
_EXPLICIT_NAME: Final = 0x40


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with static storage, by the compiler's name: main.frame is frame inside of main, .L... a text."""

    name: str
    size_bytes: int

    @property
    def title(self) -> str:
        """The name as the source has it."""
        return "the longest text" if self.name.startswith(".L") else self.name.rpartition(".")[2] or self.name


@dataclass(frozen=True, slots=True)
class Symbols:
    """What one object file gives to the linker and asks of it. Undefined functions whose import has another name, and
    what is `static`, are left out; a variable's value is its size in bytes."""

    functions: frozenset[str]
    missing: frozenset[str]
    variables: dict[str, int]  # static ones as well
    visible: frozenset[str]  # functions and variables that other objects may use
    names: tuple[str, ...] = ()  # of every function by its index, imports first; "" where it has none
    bodies: tuple[bytes, ...] = ()  # of the object's own functions, which follow the imports

    @property
    def largest_variable(self) -> Variable | None:
        name = max(self.variables, key=self.variables.__getitem__, default=None)
        return None if name is None else Variable(name, self.variables[name])


def read_symbols(object_file: bytes) -> Symbols:
    """The symbols of an object file."""
    imports: list[str] = []
    functions: set[str] = set()
    missing: set[str] = set()
    variables: dict[str, int] = {}
    visible: set[str] = set()
    own: dict[int, str] = {}
    bodies: list[bytes] = []
    reader = Reader(object_file, 8)
    while not reader.at_end:
        section = reader.byte()
        body = reader.sub_reader(reader.u32())
        if section == 2:
            imports = list(_function_imports(body))
        elif section == 10:
            bodies = [body.take(body.u32()) for _ in range(body.count())]
        elif section == 0 and body.name() == "linking" and body.u32() == 2:
            while not body.at_end:
                kind = body.byte()
                table = body.sub_reader(body.u32())
                if kind == _SYMBOL_TABLE:
                    _read_table(table, imports, functions, missing, variables, visible, own)
    names = (*imports, *(own.get(len(imports) + place, "") for place in range(len(bodies))))
    return Symbols(
        frozenset(functions),
        frozenset(missing),
        variables,
        frozenset(visible | functions),
        names,
        tuple(bodies),
    )


def _function_imports(body: Reader) -> Iterator[str]:
    """The names of imported functions, in index order."""
    for _ in range(body.count()):
        body.name()
        name, kind = body.name(), body.byte()
        if kind == 0:
            body.u32()
            yield name
        elif kind in (1, 2):
            if kind == 1:
                body.byte()
            flags = body.byte()
            body.u32()
            if flags & 1:
                body.u32()
        elif kind == 3:
            body.byte()
            body.byte()
        else:
            raise ModuleError(f"import kind {kind}")


def _read_table(
    table: Reader,
    imports: list[str],
    functions: set[str],
    missing: set[str],
    variables: dict[str, int],
    visible: set[str],
    own: dict[int, str],
) -> None:
    for _ in range(table.count()):
        kind, flags = table.byte(), table.u32()
        if kind == _DATA:
            name = table.name()
            if not flags & _UNDEFINED:
                table.u32()
                table.u32()
                variables[name] = table.u32()
                if not flags & _LOCAL:
                    visible.add(name)
        elif kind in (_FUNCTION, _GLOBAL, _EVENT, _TABLE):
            index = table.u32()
            named = not flags & _UNDEFINED or flags & _EXPLICIT_NAME
            name = table.name() if named else ""
            if kind == _FUNCTION and flags & _UNDEFINED:
                missing.add(name or imports[index])
            elif kind == _FUNCTION:
                own[index] = name
                if not flags & _LOCAL:
                    functions.add(name)
        elif kind == _SECTION:
            table.u32()
        else:
            raise ModuleError(f"symbol kind {kind}")
