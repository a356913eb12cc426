"""Reads from a wasm module what the virtual firmware must know, and inserts the app heap. Validates no code.

WAMR inserts the app heap into linear memory when it instantiates a module: at `__heap_base` when that is exported,
else behind the last page. The same is done here by rewriting the memory section.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from microclaw.errors import ProtocolError
from microclaw.wire.wasm_binary import HEADER, PAGE_BYTES, ModuleError, Reader, read_sections, write_section, write_u32

_MEMORY, _GLOBAL, _EXPORT, _START, _DATA = 5, 6, 7, 8, 11
_MEMORY_KIND, _GLOBAL_KIND = 2, 3
_I32 = 0x7F
_HOST_MEMORY_NAME: Final = "__virtual_memory"


class Layout(Struct):
    """The places in linear memory; None is not known. `pages` and `max_pages` as the module declares them."""

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
        return (16, top) if lowest_data is not None and lowest_data >= top else None


class PreparedModule(Struct, frozen=True):
    """The module as it will run: with room for the heap at `heap_start`, its memory exported as `memory_name`."""

    wasm: bytes
    layout: Layout
    heap_start: int | None
    memory_name: str | None
    total_pages: int


def prepare(wasm: bytes, heap_bytes: int) -> PreparedModule:
    """Insert the app heap; ProtocolError when the sections do not add up."""
    try:
        sections = [(number, body) for number, body, _ in read_sections(wasm)]
        return _with_heap(wasm, sections, _layout(sections), heap_bytes)
    except ModuleError as exc:
        raise ProtocolError(str(exc)) from exc


def _with_heap(wasm: bytes, sections: list[tuple[int, bytes]], layout: Layout, heap_bytes: int) -> PreparedModule:
    if layout.pages is None:
        return PreparedModule(wasm, layout, None, None, 0)
    end = layout.pages * PAGE_BYTES
    start = _align16(layout.heap_base) if layout.heap_base is not None and layout.heap_base < end else end
    pages = max(layout.pages, -(-(start + heap_bytes) // PAGE_BYTES))
    changed = []
    for number, body in sections:
        if number == _MEMORY and pages > layout.pages:
            body = _with_pages(pages, None if layout.max_pages is None else max(layout.max_pages, pages))
        if number == _EXPORT and layout.memory_name is None:
            body = _with_memory_export(body)
        changed.append(write_section(number, body))
    if layout.memory_name is None and all(number != _EXPORT for number, _ in sections):
        return PreparedModule(wasm, layout, None, None, layout.pages)
    name = layout.memory_name or _HOST_MEMORY_NAME
    return PreparedModule(HEADER + b"".join(changed), layout, start, name, pages)


def _layout(sections: list[tuple[int, bytes]]) -> Layout:
    layout = Layout()
    exports: dict[str, tuple[int, int]] = {}
    for number, body in sections:
        data = Reader(body)
        if number == _MEMORY and data.u32():
            flags = data.byte()
            if flags > 1:
                raise ProtocolError(f"invalid limits flag {flags}")  # shared or 64-bit
            layout.pages = data.u32()
            layout.max_pages = data.u32() if flags & 1 else None
        elif number == _GLOBAL:
            _read_globals(data, layout)
        elif number == _EXPORT:
            for _ in range(data.u32()):
                name = data.name()
                exports[name] = (data.byte(), data.u32())
        elif number == _START:
            layout.has_start = True
        elif number == _DATA:
            layout.first_data = _first_data(data)
    layout.memory_name = next((name for name, (kind, _) in exports.items() if kind == _MEMORY_KIND), None)
    layout.heap_base = _exported_global(layout, exports, "__heap_base")
    layout.data_end = _exported_global(layout, exports, "__data_end")
    return layout


def _read_globals(data: Reader, layout: Layout) -> None:
    """Constants of i32 globals. wasm-ld makes __stack_pointer the first one, mutable, with the stack's top in it."""
    for index in range(data.u32()):
        value_type, mutable = data.byte(), data.byte()
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
        layout.globals.append(value)
        if index == 0 and mutable:
            layout.stack_top = value


def _first_data(data: Reader) -> int | None:
    """The lowest address of an active data segment with a constant offset."""
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
            lowest = offset if lowest is None else min(lowest, offset)
        data.take(data.u32())
    return lowest


def _exported_global(layout: Layout, exports: dict[str, tuple[int, int]], name: str) -> int | None:
    kind, index = exports.get(name, (-1, 0))
    # Imported globals would shift the index; no firmware offers any, so such a module does not load.
    return layout.globals[index] if kind == _GLOBAL_KIND and index < len(layout.globals) else None


def _with_pages(pages: int, max_pages: int | None) -> bytes:
    limits = b"\0" + write_u32(pages) if max_pages is None else b"\x01" + write_u32(pages) + write_u32(max_pages)
    return b"\x01" + limits


def _with_memory_export(body: bytes) -> bytes:
    data = Reader(body)
    count = data.u32()
    name = _HOST_MEMORY_NAME.encode()
    return write_u32(count + 1) + data.take(data.left) + write_u32(len(name)) + name + bytes([_MEMORY_KIND, 0])


def _align16(value: int) -> int:
    return (value + 15) // 16 * 16
