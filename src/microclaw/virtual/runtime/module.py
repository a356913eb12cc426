"""Reads from a wasm module what the virtual firmware must know, and inserts the app heap. Validates no code.

WAMR inserts the app heap into linear memory when it instantiates a module: at `__heap_base` when that is exported,
else behind the last page. The same is done here by rewriting the memory section.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from microclaw.errors import ProtocolError
from microclaw.wire.wasm_binary import HEADER, PAGE_BYTES, ModuleError, Reader, read_sections, write_section, write_u32

_MEMORY = 5
_GLOBAL = 6
_EXPORT = 7
_START = 8
_DATA = 11
_MEMORY_KIND = 2
_GLOBAL_KIND = 3
_I32 = 0x7F
_HOST_MEMORY_NAME: Final = "__virtual_memory"


class PreparedModule(Struct):
    """The module as it will run: with room for the heap at `heap_start`, its memory exported as `memory_name`.

    Places in linear memory; None is not known. `pages` and `max_pages` are as the module declares them.
    """

    wasm: bytes
    heap_start: int | None = None
    total_pages: int = 0
    pages: int | None = None
    max_pages: int | None = None
    memory_name: str | None = None
    heap_base: int | None = None
    data_end: int | None = None
    stack_top: int | None = None
    first_data: int | None = None
    has_start: bool = False
    globals: list[int | None] = field(default_factory=list)

    @property
    def stack_area(self) -> tuple[int, int] | None:
        """Lowest and highest address of the shadow stack, when both ends are certain."""
        top = self.stack_top
        if top is None or self.pages is None or not 0 < top <= self.pages * PAGE_BYTES:
            return None
        if self.data_end is not None and self.data_end < top:
            return (_align16(self.data_end), top)
        # Else the stack lies below the data (wasm-ld's --stack-first), be that only what is zero at the start.
        lowest_data = self.first_data if self.first_data is not None else self.data_end
        if lowest_data is not None and lowest_data >= top:
            return (16, top)
        return None


def prepare(wasm: bytes, heap_bytes: int) -> PreparedModule:
    """Insert the app heap. Raises ProtocolError if the sections do not add up."""
    try:
        sections = [(number, body) for number, body, _ in read_sections(wasm)]
        module = _read(wasm, sections)
        if module.pages is not None:
            _insert_heap(module, module.pages, sections, heap_bytes)
        return module
    except ModuleError as exc:
        raise ProtocolError(str(exc)) from exc


def _insert_heap(module: PreparedModule, declared: int, sections: list[tuple[int, bytes]], heap_bytes: int) -> None:
    """Make room for the heap, and export the memory; neither if the module exports nothing at all."""
    module.total_pages = declared
    if module.memory_name is None and all(number != _EXPORT for number, _ in sections):
        return
    end = declared * PAGE_BYTES
    base = module.heap_base
    start = module.heap_start = _align16(base) if base is not None and base < end else end
    pages = module.total_pages = max(declared, -(-(start + heap_bytes) // PAGE_BYTES))
    changed = []
    for number, body in sections:
        if number == _MEMORY and pages > declared:
            body = _with_pages(pages, None if module.max_pages is None else max(module.max_pages, pages))
        if number == _EXPORT and module.memory_name is None:
            body = _with_memory_export(body)
        changed.append(write_section(number, body))
    module.memory_name = module.memory_name or _HOST_MEMORY_NAME
    module.wasm = HEADER + b"".join(changed)


def _read(wasm: bytes, sections: list[tuple[int, bytes]]) -> PreparedModule:
    module = PreparedModule(wasm)
    exports: dict[str, tuple[int, int]] = {}
    for number, body in sections:
        data = Reader(body)
        if number == _MEMORY and data.u32():
            flags = data.byte()
            if flags > 1:
                raise ProtocolError(f"invalid limits flag {flags}")  # shared or 64-bit
            module.pages = data.u32()
            if flags & 1:
                module.max_pages = data.u32()
            else:
                module.max_pages = None
        elif number == _GLOBAL:
            _read_globals(data, module)
        elif number == _EXPORT:
            for _ in range(data.u32()):
                name = data.name()
                exports[name] = (data.byte(), data.u32())
        elif number == _START:
            module.has_start = True
        elif number == _DATA:
            module.first_data = _first_data(data)
    module.memory_name = next((name for name, (kind, _) in exports.items() if kind == _MEMORY_KIND), None)
    module.heap_base = _exported_global(module, exports, "__heap_base")
    module.data_end = _exported_global(module, exports, "__data_end")
    return module


def _read_globals(data: Reader, module: PreparedModule) -> None:
    """Read the constants of i32 globals.

    wasm-ld makes __stack_pointer the first one, mutable, with the stack's top in it.
    """
    for index in range(data.u32()):
        value_type = data.byte()
        mutable = data.byte()
        opcode = data.byte()
        value: int | None = None
        if opcode in (0x41, 0x42):
            value = data.signed(32 if opcode == 0x41 else 64)
        elif opcode in (0x43, 0x44):
            data.take(4 if opcode == 0x43 else 8)
        else:
            data.u32()
        while data.byte() != 0x0B:
            pass
        if value_type != _I32:
            value = None
        module.globals.append(value)
        if index == 0 and mutable:
            module.stack_top = value


def _first_data(data: Reader) -> int | None:
    """Return the lowest address of an active data segment with a constant offset."""
    lowest: int | None = None
    for _ in range(data.u32()):
        mode = data.u32()
        if mode == 2:
            data.u32()
        if mode in (0, 2):
            if data.byte() != 0x41:
                return None
            offset = data.signed(32)
            if data.byte() != 0x0B:
                return None
            if lowest is None:
                lowest = offset
            else:
                lowest = min(lowest, offset)
        data.take(data.u32())
    return lowest


def _exported_global(module: PreparedModule, exports: dict[str, tuple[int, int]], name: str) -> int | None:
    kind, index = exports.get(name, (-1, 0))
    # Imported globals would shift the index; no firmware offers any, so such a module does not load.
    if kind == _GLOBAL_KIND and index < len(module.globals):
        return module.globals[index]
    return None


def _with_pages(pages: int, max_pages: int | None) -> bytes:
    if max_pages is None:
        limits = b"\0" + write_u32(pages)
    else:
        limits = b"\x01" + write_u32(pages) + write_u32(max_pages)
    return b"\x01" + limits


def _with_memory_export(body: bytes) -> bytes:
    data = Reader(body)
    count = data.u32()
    name = _HOST_MEMORY_NAME.encode()
    return write_u32(count + 1) + data.take(data.left) + write_u32(len(name)) + name + bytes([_MEMORY_KIND, 0])


def _align16(value: int) -> int:
    return (value + 15) // 16 * 16
