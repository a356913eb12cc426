"""Reads the symbol table of a wasm object file: what it defines, what it lacks, the sizes of variables. Links nothing.

Format: WebAssembly tool-conventions, Linking.md, the custom section "linking", version 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from microclaw.wasm.source_files import UNIT_NUMBER
from microclaw.wire.wasm_binary import ModuleError, Reader, read_sections

MAINS: Final = frozenset(("__main_void", "__main_argc_argv", "__original_main", "main"))
CONSTRUCTORS: Final = ("_GLOBAL__sub_I_", "__cxx_global_var_init")
"""How the names of functions begin that construct global objects."""
_DECORATED: Final = re.compile(r"[KLNORVZ]*([0-9]+)")
_INIT_FUNCTIONS, _SYMBOL_TABLE = 6, 8
_FUNCTION, _DATA, _GLOBAL, _SECTION, _EVENT, _TABLE = range(6)
_WEAK: Final = 0x01
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
    types: tuple[int, ...] = ()  # of every function by its index
    pointed_at: frozenset[int] = frozenset()  # functions whose address the object takes, by index
    has_constructors: bool = False  # of global objects, or functions that are marked to run before main
    static_functions: frozenset[str] = frozenset()
    defined: frozenset[str] = frozenset()  # what no other object may define, too
    missing_variables: frozenset[str] = frozenset()  # those of other objects

    @property
    def largest_variable(self) -> Variable | None:
        name = max(self.variables, key=self.variables.__getitem__, default=None)
        return None if name is None else Variable(name, self.variables[name])


_PRINTERS: Final = frozenset(
    (
        *("printf", "vprintf", "puts", "putchar", "fputs", "fputc", "putc", "fwrite", "perror"),
        *("microclaw_printf", "microclaw_vprintf", "microclaw_fprintf", "microclaw_vfprintf"),
        *("fprintf", "vfprintf", "dprintf", "vdprintf"),
    )
)
_PRINT_CLASS: Final = "5Print"  # Arduino's, in the names of its functions; Serial is one


def keeps_prints(symbols: Symbols) -> bool:
    """Whether the program prints, and has no function of its own that headers/glue/printed.c stands before or needs."""
    if symbols.functions & (_PRINTERS | {"on_request"}):
        return False
    return any(name in _PRINTERS or _PRINT_CLASS in name for name in symbols.missing)


def read_symbols(object_file: bytes) -> Symbols:
    """The symbols of an object file."""
    imports: list[str] = []
    types: list[int] = []
    pointed_at: frozenset[int] = frozenset()
    bodies: tuple[bytes, ...] = ()
    table = _SymbolTable()
    has_constructors = False
    for number, content, _ in read_sections(object_file):
        body = Reader(content)
        if number == 2:
            imported = list(_function_imports(body))
            imports, types = [name for name, _ in imported], [kind for _, kind in imported]
        elif number == 3:
            types += [body.u32() for _ in range(body.count())]
        elif number == 9:
            pointed_at = frozenset(_elements(body))
        elif number == 10:
            bodies = tuple(body.take(body.u32()) for _ in range(body.count()))
        elif number == 0 and body.name() == "linking" and body.u32() == 2:
            while not body.at_end:
                kind = body.byte()
                part = body.sub_reader(body.u32())
                if kind == _SYMBOL_TABLE:
                    table.read(part, imports)
                elif kind == _INIT_FUNCTIONS:
                    has_constructors = part.count() > 0
    names = (*imports, *(table.own.get(len(imports) + place, "") for place in range(len(bodies))))
    return Symbols(
        frozenset(table.functions),
        frozenset(table.missing),
        table.variables,
        frozenset(table.visible | table.functions),
        names,
        bodies,
        tuple(types),
        pointed_at,
        has_constructors,
        frozenset(table.static_functions),
        frozenset(table.defined),
        frozenset(table.missing_variables),
    )


def _elements(body: Reader) -> Iterator[int]:
    """The functions of the element section. The compiler's segments have flags 0: an i32.const, then the functions."""
    for _ in range(body.count()):
        if body.u32() != 0 or body.byte() != 0x41:
            raise ModuleError("an element segment of another kind than the compiler makes")
        body.signed(32)
        body.byte()
        yield from [body.u32() for _ in range(body.count())]


def _function_imports(body: Reader) -> Iterator[tuple[str, int]]:
    """The names of imported functions and their types, in index order."""
    for _ in range(body.count()):
        body.name()
        name, kind = body.name(), body.byte()
        if kind == 0:
            yield name, body.u32()
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


class _SymbolTable:
    """What the symbol table lists; `own` has the names of the object's own functions by their index."""

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.missing: set[str] = set()
        self.variables: dict[str, int] = {}
        self.visible: set[str] = set()
        self.own: dict[int, str] = {}
        self.static_functions: set[str] = set()
        self.defined: set[str] = set()
        self.missing_variables: set[str] = set()

    def read(self, table: Reader, imports: list[str]) -> None:
        for _ in range(table.count()):
            kind, flags = table.byte(), table.u32()
            if kind == _DATA:
                self._read_variable(table, flags)
            elif kind in (_FUNCTION, _GLOBAL, _EVENT, _TABLE):
                index = table.u32()
                named = not flags & _UNDEFINED or flags & _EXPLICIT_NAME
                name = table.name() if named else ""
                if kind == _FUNCTION and flags & _UNDEFINED:
                    self.missing.add(name or imports[index])
                elif kind == _FUNCTION:
                    self.own[index] = name
                    self._note(name, flags, self.static_functions)
                    if not flags & _LOCAL:
                        self.functions.add(name)
            elif kind == _SECTION:
                table.u32()
            else:
                raise ModuleError(f"symbol kind {kind}")

    def _read_variable(self, table: Reader, flags: int) -> None:
        name = table.name()
        if flags & _UNDEFINED:
            self.missing_variables.add(name)
        else:
            table.u32()
            table.u32()
            self.variables[name] = table.u32()
            self._note(name, flags, set())
            if not flags & _LOCAL:
                self.visible.add(name)

    def _note(self, name: str, flags: int, static: set[str]) -> None:
        if flags & _LOCAL:
            static.add(name)
        elif not flags & _WEAK:
            self.defined.add(name)


_RENAMED: Final = {"program_on_destroy": "on_destroy", "program_on_init": "on_init", "microclaw_usleep_long": "usleep"}


def point_key(symbol: str) -> str:
    """A function's symbol, which is the same in the object and the linked program but for main's."""
    return "main" if symbol in MAINS else symbol


def source_name(symbol: str) -> str:
    """The name of a function in the source: the compiler renames main, and our headers some others.

    C++ decorates all names (Itanium C++ ABI 5.1): the last part is told, which of a constructor is its class.
    """
    symbol = UNIT_NUMBER.sub("", symbol)
    if symbol in MAINS:
        return "main"
    if symbol in _RENAMED:
        return _RENAMED[symbol]
    if symbol.startswith(CONSTRUCTORS):
        return "a global object's constructor"
    if not symbol.startswith("_Z"):
        return symbol
    name, at = "", 2
    while (part := _DECORATED.match(symbol, at)) is not None:
        at = part.end() + int(part[1])
        name = symbol[part.end() : at]
    return UNIT_NUMBER.sub("", name) or symbol
