"""Readings of parts in C: what microclaw.h declares of them, and sensor_read. Derived from the facts of the parts.

A part with a folder `c` that measures over I2C has there `int NAME_read(int i2c, int address, NAME_t *out)`. NAME_t has
a float for each quantity that the part measures, in the order of its file, named as the reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.hardware.parts import reader
from microclaw.hardware.parts.reader import Part, quantities
from microclaw.programs.wasm.part_libraries import Library, libraries_for, library_at
from microclaw.programs.wasm.part_screens import screen_headers
from microclaw.programs.wasm.source_text import SourceText

SENSOR_READ: Final = "sensor_read"

_SENSOR_READ: Final = "static inline int sensor_read(int i2c, int address, const char *quantity, float *out)"


def parts_with_reading() -> Mapping[str, Part]:
    """Return the parts that a C program can read, by name."""
    parts: dict[str, Part] = {}
    for folder in reader.part_folders():
        if not (folder / "c").is_dir():
            continue
        part = reader.find_part(folder.name)
        if part.i2c is not None and part.measures:
            parts[part.name] = part
    return parts


def program_libraries(text: SourceText, others: Iterable[str] = ()) -> tuple[Library, ...]:
    """Return the libraries of parts that a program needs: of its headers and displays, then the readings it calls.

    The sources of a part's Arduino library may call that part's reading. `others` are more parts that are read.
    """
    readable = parts_with_reading()
    wanted = {*others, *_called_parts(text)}
    libraries = []
    for library in libraries_for({*text.headers, *screen_headers(text)}):
        name = library.root.parent.name
        if name in readable:
            wanted.add(name)
            library = replace(library, defines=_readings_define((readable[name],)))
        libraries.append(library)
    for folder in reader.part_folders():
        if folder.name in wanted:
            library = library_at(folder / "c")
            libraries.append(replace(library, defines=_readings_define((readable[folder.name],))))
    return tuple(libraries)


def reading_defines(text: SourceText) -> tuple[str, ...]:
    """Return the macro MICROCLAW_READINGS of a program that reads parts; microclaw.h puts it in."""
    parts = [part for name, part in parts_with_reading().items() if name in _called_parts(text)]
    if not parts:
        return ()
    if _is_called(SENSOR_READ, text):
        return _readings_define(parts, _sensor_read(parts))
    return _readings_define(parts)


def reading_names() -> tuple[str, ...]:
    """Return the names of the functions and types that microclaw.h has only in programs that use them."""
    names = [SENSOR_READ]
    for name in parts_with_reading():
        names += [f"{name}_read", f"{name}_t"]
    return tuple(names)


def reading_field(part: Part, quantity: str) -> int:
    """Return which float of the part's reading the quantity is, from 0."""
    return list(part.measures).index(quantity)


def pin_program_reading() -> str:
    """Return the function read_sensor of the program for pins (pin_program.c): thousandths of each reading."""
    lines = ["static int read_sensor(const char *what, int i2c, int address) {"]
    for name, part in parts_with_reading().items():
        lines.append(f'    if (strcmp(what, "{name}") == 0) {{')
        lines.append(f"        {name}_t reading;")
        lines.append(f"        if ({name}_read(i2c, address, &reading)) {{ return -1; }}")
        for field in _fields(part):
            lines.append(f"        add((int)(reading.{field} * 1000));")
        lines.append("        return 0;")
        lines.append("    }")
    lines.append("    return -1;")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _called_parts(text: SourceText) -> frozenset[str]:
    """Return the parts whose readings the program names: all of them if it calls sensor_read."""
    parts = parts_with_reading()
    if _is_called(SENSOR_READ, text):
        return frozenset(parts)
    called = []
    for name in parts:
        if _is_called(f"{name}_read", text) or _is_called(f"{name}_t", text):
            called.append(name)
    return frozenset(called)


def _is_called(name: str, text: SourceText) -> bool:
    return text.find_name(name) is not None and text.find_definition(name) is None


def _fields(part: Part) -> list[str]:
    return [quantities()[quantity].reading for quantity in part.measures]


def _readings_define(parts: Sequence[Part], rest: str = "") -> tuple[str, ...]:
    declarations = []
    for part in parts:
        declarations.append(f"typedef struct {{ float {', '.join(_fields(part))}; }} {part.name}_t;")
        declarations.append(f"int {part.name}_read(int i2c, int address, {part.name}_t *out);")
    return (f"MICROCLAW_READINGS={' '.join((*declarations, rest)).strip()}",)


def _sensor_read(parts: Sequence[Part]) -> str:
    """Return the definition of sensor_read. It is inline: of a quantity known at compile time only its parts stay."""
    tests = []
    for quantity in quantities():
        measuring = [part for part in parts if quantity in part.measures]
        is_only = len(measuring) == 1
        if measuring:
            reads = " ".join(_quantity_read(part, quantity, is_only=is_only) for part in measuring)
            tests.append(f'if (!__builtin_strcmp(quantity, "{quantity}")) {{ {reads} return -1; }}')
    return f"{_SENSOR_READ} {{ {' '.join(tests)} return -1; }}"


def _quantity_read(part: Part, quantity: str, *, is_only: bool) -> str:
    """Return the statement that reads a quantity of a part, and returns if the part answers.

    A quantity that only one part measures is read at any address; else a part is read only where it can be.
    """
    assert part.i2c is not None
    field = quantities()[quantity].reading
    read = f"{part.name}_t r; if ({part.name}_read(i2c, address, &r) == 0) {{ *out = r.{field}; return 0; }}"
    if is_only:
        return f"{{ {read} }}"
    addresses = " || ".join(f"address == {address}" for address in part.i2c.addresses)
    return f"if ({addresses}) {{ {read} }}"
