"""Reads the symbol table of a wasm object file for the size of its variables; a linked module has none.

Format: WebAssembly tool-conventions, Linking.md, the custom section "linking", version 2.
"""

from __future__ import annotations

from typing import Final

from microclaw.wasm.reader import ModuleError, Reader

_SYMBOL_TABLE: Final = 8
_FUNCTION, _DATA, _GLOBAL, _SECTION, _EVENT, _TABLE = range(6)
_UNDEFINED: Final = 0x10
_EXPLICIT_NAME: Final = 0x40


def largest_variable(object_file: bytes) -> str | None:
    """The name of the largest variable that an object defines; None when it defines none."""
    sizes: dict[str, int] = {}
    reader = Reader(object_file, 8)
    while not reader.at_end:
        section = reader.byte()
        body = reader.sub_reader(reader.u32())
        if section == 0 and body.name() == "linking" and body.u32() == 2:
            while not body.at_end:
                kind = body.byte()
                table = body.sub_reader(body.u32())
                if kind == _SYMBOL_TABLE:
                    sizes.update(_variables(table))
    return max(sizes, key=sizes.__getitem__, default=None)


def _variables(table: Reader) -> dict[str, int]:
    sizes = {}
    for _ in range(table.count()):
        kind, flags = table.byte(), table.u32()
        if kind == _DATA:
            name = table.name()
            if not flags & _UNDEFINED:
                table.u32()
                table.u32()
                sizes[name] = table.u32()
        elif kind in (_FUNCTION, _GLOBAL, _EVENT, _TABLE):
            table.u32()
            if not flags & _UNDEFINED or flags & _EXPLICIT_NAME:
                table.name()
        elif kind == _SECTION:
            table.u32()
        else:
            raise ModuleError(f"symbol kind {kind}")
    return sizes
