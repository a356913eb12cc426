"""Reads the sections of a wasm binary into values, bounded and without IO; opcodes.py scans the instructions.

It accepts only WebAssembly 1.0 (MVP), for which the firmware's runtime is built: a module that needs more, and bytes
that are no module, are refused with a `ModuleError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from msgspec import Struct, field

from microclaw.programs.wasm.wasm_image import Import, Signature
from microclaw.wire.wasm_binary import HEADER, ModuleError, Reader

T = TypeVar("T")
MAX_MODULE_BYTES: Final = 4 << 20
_VALUE_TYPES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64"}
KINDS: Final = ("function", "table", "memory", "global")
_LAST_SECTION: Final = 11


class Export(Struct, frozen=True):
    name: str
    kind: str
    index: int


class Global(Struct, frozen=True):
    """`value` is that of an i32.const initializer, else None."""

    type: str
    mutable: bool
    value: int | None


class DataSegment(Struct, frozen=True):
    """`offset` is None when it is not a constant."""

    offset: int | None
    data: bytes


class Module(Struct):
    """The parts of a module that checks ask for."""

    types: list[Signature] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)  # functions only, in index order
    other_imports: list[tuple[str, str, str]] = field(default_factory=list)  # kind, module, name
    functions: list[int] = field(default_factory=list)  # type index of each own function
    memory_pages: int | None = None
    globals: list[Global] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    data: list[DataSegment] = field(default_factory=list)
    elements: dict[int, int] = field(default_factory=dict)  # place in the table, where constant, to function index

    @property
    def table_functions(self) -> frozenset[int]:
        """Every function that a call through a pointer may reach."""
        return frozenset(self.elements.values())

    @property
    def exported_functions(self) -> dict[str, int]:
        """The indices of the exported functions, by their names."""
        return {export.name: export.index for export in self.exports if export.kind == "function"}

    def signature_of(self, function_index: int) -> Signature | None:
        """Return the type of a function by its index over imports and own functions, or None."""
        if function_index < len(self.imports):
            return self.imports[function_index].signature
        own = function_index - len(self.imports)
        if own < len(self.functions):
            return self.types[self.functions[own]]
        return None

    def global_value(self, name: str) -> int | None:
        """Return the constant that an exported global holds, such as __heap_base, or None."""
        for export in self.exports:
            if export.name == name and export.kind == "global" and export.index < len(self.globals):
                return self.globals[export.index].value
        return None


def parse_module(wasm: bytes) -> Module:
    """Read the module's parts. Raises ModuleError."""
    if len(wasm) > MAX_MODULE_BYTES:
        raise ModuleError(f"{len(wasm)} bytes, more than the limit of {MAX_MODULE_BYTES}")
    if wasm[:4] != HEADER[:4]:
        raise ModuleError(f"not a wasm module: it begins with {wasm[:4].hex(' ') or 'nothing'}, not 00 61 73 6d")
    if wasm[4:8] != HEADER[4:]:
        raise ModuleError(f"wasm version {wasm[4:8].hex(' ')}, expected 01 00 00 00")
    reader = Reader(wasm, 8)
    module = Module()
    last = 0
    while not reader.at_end:
        section = reader.byte()
        body = reader.sub_reader(reader.u32())
        if section == 0:
            continue
        if section > _LAST_SECTION or section <= last:
            raise ModuleError(f"section {section} is unknown or out of order")
        last = section
        _SECTIONS[section](body, module)
        if not body.at_end:
            raise ModuleError(f"section {section} has {body.left} bytes too many")
    if len(module.bodies) != len(module.functions):
        raise ModuleError(f"{len(module.functions)} functions declared, {len(module.bodies)} defined")
    return module


def _vector(reader: Reader, read_element: Callable[[Reader], T]) -> Iterator[T]:
    """Yield the elements of a vector, which begins with their number."""
    for _ in range(reader.count()):
        yield read_element(reader)


def value_type(reader: Reader) -> str:
    """Read the next type of a value."""
    byte = reader.byte()
    if byte not in _VALUE_TYPES:
        raise ModuleError(f"value type 0x{byte:02x}")
    return _VALUE_TYPES[byte]


def _types(reader: Reader, module: Module) -> None:
    for _ in range(reader.count()):
        form = reader.byte()
        if form != 0x60:
            raise ModuleError(f"type form 0x{form:02x}")
        params = tuple(_vector(reader, value_type))
        results = tuple(_vector(reader, value_type))
        if len(results) > 1:
            raise ModuleError("a function of several results")
        module.types.append(Signature(params, results))


def _imports(reader: Reader, module: Module) -> None:
    for _ in range(reader.count()):
        space = reader.name()
        name = reader.name()
        kind = _kind(reader, "import")
        if kind == "function":
            module.imports.append(Import(space, name, module.types[_type_index(reader, module)]))
            continue
        if kind == "table":
            _table_type(reader)
        elif kind == "memory":
            module.memory_pages = _limits(reader)
        else:
            module.globals.append(_global(reader, has_value=False))
        module.other_imports.append((kind, space, name))


def _tables(reader: Reader, _module: Module) -> None:
    for number in range(reader.count()):
        if number:
            raise ModuleError("a second table")
        _table_type(reader)


def _memories(reader: Reader, module: Module) -> None:
    for number in range(reader.count()):
        if number or module.memory_pages is not None:
            raise ModuleError("a second memory")
        module.memory_pages = _limits(reader)


def _elements(reader: Reader, module: Module) -> None:
    for _ in range(reader.count()):
        if reader.u32() != 0:
            raise ModuleError("a segment that is not put in at the start")
        first = _constant(reader) or 0
        for place in range(reader.count()):
            module.elements[first + place] = reader.u32()


def _data(reader: Reader, module: Module) -> None:
    for _ in range(reader.count()):
        if reader.u32() != 0:
            raise ModuleError("a segment that is not put in at the start")
        offset = _constant(reader)
        module.data.append(DataSegment(offset, reader.take(reader.u32())))


def _export(reader: Reader) -> Export:
    return Export(reader.name(), _kind(reader, "export"), reader.u32())


def _kind(reader: Reader, what: str) -> str:
    kind = reader.byte()
    if kind >= len(KINDS):
        raise ModuleError(f"{what} kind {kind}")
    return KINDS[kind]


def _type_index(reader: Reader, module: Module) -> int:
    index = reader.u32()
    if index >= len(module.types):
        raise ModuleError(f"type {index} of {len(module.types)}")
    return index


def _limits(reader: Reader) -> int:
    flags = reader.byte()
    if flags > 1:
        raise ModuleError(f"limits of kind {flags}")
    minimum = reader.u32()
    if flags:
        reader.u32()
    return minimum


def _table_type(reader: Reader) -> None:
    if reader.byte() != 0x70:
        raise ModuleError("a table of no functions")
    _limits(reader)


def _global(reader: Reader, *, has_value: bool) -> Global:
    kind = value_type(reader)
    mutable = reader.byte()
    if mutable > 1:
        raise ModuleError(f"global mutability {mutable}")
    value = _constant(reader) if has_value else None
    return Global(kind, bool(mutable), value)


def _constant(reader: Reader) -> int | None:
    """Read a constant expression: its value if it is an i32.const."""
    opcode = reader.byte()
    value: int | None = None
    if opcode == 0x41:
        value = reader.signed(32) & 0xFFFFFFFF
    elif opcode == 0x42:
        reader.signed(64)
    elif opcode == 0x43:
        reader.take(4)
    elif opcode == 0x44:
        reader.take(8)
    elif opcode == 0x23:
        reader.u32()
    else:
        raise ModuleError(f"initializer 0x{opcode:02x}")
    end = reader.byte()
    if end != 0x0B:
        raise ModuleError(f"initializer ends with 0x{end:02x}")
    return value


_SECTIONS: Final[dict[int, Callable[[Reader, Module], object]]] = {
    1: _types,
    2: _imports,
    3: lambda reader, module: module.functions.extend(_vector(reader, lambda part: _type_index(part, module))),
    4: _tables,
    5: _memories,
    6: lambda reader, module: module.globals.extend(_vector(reader, lambda part: _global(part, has_value=True))),
    7: lambda reader, module: module.exports.extend(_vector(reader, _export)),
    8: lambda reader, _module: reader.u32(),
    9: _elements,
    10: lambda reader, module: module.bodies.extend(_vector(reader, lambda part: part.take(part.u32()))),
    11: _data,
}
