"""Reads the symbol table of a wasm object file: what it defines, what it lacks, the sizes of variables. Links nothing.

Format: WebAssembly tool-conventions, Linking.md, the custom section "linking", version 2.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct, field

from microclaw.programs.source_marks import UNIT_NUMBER
from microclaw.programs.wasm.inspect import Module, parse_module
from microclaw.programs.wasm.tables import words_of
from microclaw.wire.wasm_binary import HEADER, ModuleError, Reader, read_sections

MAINS: Final = frozenset(("__main_void", "__main_argc_argv", "__original_main", "main"))
CONSTRUCTORS: Final = ("_GLOBAL__sub_I_", "__cxx_global_var_init")
"""How the names of functions begin that construct global objects."""
_DECORATED: Final = re.compile(r"[KLNORVZ]*([0-9]+)")
_VERSION = 2
_INIT_FUNCTIONS = 6
_SYMBOL_TABLE = 8
_FUNCTION, _DATA, _, _SECTION, _, _TABLE = range(6)
_DATA_COUNT: Final = 12  # LLVM writes this section into objects, also for WebAssembly 1.0
_LOCAL: Final = 0x02
_UNDEFINED: Final = 0x10
_EXPLICIT_NAME: Final = 0x40


class Symbols(Struct):
    """The symbols that one object file defines and lacks; a variable's value is its size in bytes.

    Undefined functions whose import has another name, and what is `static`, are left out.
    """

    module: Module  # its table has the functions whose address the object takes
    names: list[str]  # of every function by its index, imports first; "" where it has none
    functions: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    variables: dict[str, int] = field(default_factory=dict)  # static ones as well
    visible: set[str] = field(default_factory=set)  # functions and variables that other objects may use
    static_functions: set[str] = field(default_factory=set)
    has_constructors: bool = False  # of global objects, or functions that are marked to run before main

    @property
    def largest_variable(self) -> tuple[str, int] | None:
        """Its name as the source has it (the compiler calls frame in main main.frame, a text .L...), and its bytes."""
        name = max(self.variables, key=self.variables.__getitem__, default=None)
        if name is None:
            return None
        if name.startswith(".L"):
            title = "the longest text"
        else:
            title = name.rpartition(".")[2] or name
        return title, self.variables[name]


_PRINTERS: Final = frozenset(words_of("printing"))
_PRINT_CLASS: Final = "5Print"  # Arduino's, in the names of its functions; Serial is one


def keeps_prints(symbols: Symbols) -> bool:
    """Return True if the program prints, and has no function that headers/glue/printed.c stands before or needs."""
    if symbols.functions & (_PRINTERS | {"on_request"}):
        return False
    return any(name in _PRINTERS or _PRINT_CLASS in name for name in symbols.missing)


def read_symbols(object_file: bytes) -> Symbols:
    """Read the symbols of an object file. Raises ModuleError."""
    parts = [HEADER]
    linking = []
    for number, content, whole in read_sections(object_file):
        if number != _DATA_COUNT:
            parts.append(whole)
        if number == 0:
            linking.append(Reader(content))
    module = parse_module(b"".join(parts))
    names = [wanted.name for wanted in module.imports]
    names += [""] * len(module.bodies)
    symbols = Symbols(module, names)
    for body in linking:
        if body.name() != "linking" or body.u32() != _VERSION:
            continue
        while not body.at_end:
            kind = body.byte()
            part = body.sub_reader(body.u32())
            if kind == _SYMBOL_TABLE:
                _read_table(part, symbols)
            elif kind == _INIT_FUNCTIONS:
                symbols.has_constructors = part.count() > 0
    return symbols


def _read_table(table: Reader, symbols: Symbols) -> None:
    for _ in range(table.count()):
        kind = table.byte()
        flags = table.u32()
        is_here = not flags & _UNDEFINED
        if kind > _TABLE:
            raise ModuleError(f"symbol kind {kind}")
        if kind == _DATA:
            name = table.name()
            if is_here:
                _segment = table.u32()
                _offset = table.u32()
                symbols.variables[name] = table.u32()
        else:
            index = table.u32()
            if kind == _SECTION:
                continue
            name = ""
            if is_here or flags & _EXPLICIT_NAME:
                name = table.name()
            if kind == _FUNCTION:
                _add_function(symbols, index, name, flags)
        if kind in (_FUNCTION, _DATA) and not flags & (_LOCAL | _UNDEFINED):
            symbols.visible.add(name)


def _add_function(symbols: Symbols, index: int, name: str, flags: int) -> None:
    if flags & _UNDEFINED:
        symbols.missing.add(name or symbols.names[index])
        return
    symbols.names[index] = name
    if flags & _LOCAL:
        symbols.static_functions.add(name)
    else:
        symbols.functions.add(name)


_RENAMED: Final = {"program_on_destroy": "on_destroy", "program_on_init": "on_init", "microclaw_usleep_long": "usleep"}


def point_key(symbol: str) -> str:
    """Return a function's symbol with one name for main: others are the same in the object and the linked program."""
    return "main" if symbol in MAINS else symbol


def source_name(symbol: str) -> str:
    """Return the name of a function in the source: the compiler renames main, and our headers some others.

    C++ decorates all names (Itanium C++ ABI 5.1): this is the last part, which of a constructor is its class.
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
    name = ""
    at = 2
    while (part := _DECORATED.match(symbol, at)) is not None:
        at = part.end() + int(part[1])
        name = symbol[part.end() : at]
    return UNIT_NUMBER.sub("", name) or symbol
