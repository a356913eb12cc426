"""Walks the instructions of a function body: finds those beyond WebAssembly 1.0, and the calls. It validates no types.

The walk itself is one regular expression, which runs over a body of instructions at the speed of the re module; only
what that cannot match (the targets of br_table, anything wrong) is looked at one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from microclaw.programs.wasm.inspect import value_type
from microclaw.wire.wasm_binary import ModuleError, Reader

_U32: Final = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,3}[\x00-\x7f]|[\x80-\xff]{4}[\x00-\x0f])"
_S32: Final = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,4}[\x00-\x7f])"
_S64: Final = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,9}[\x00-\x7f])"
_UNTIL_CALL: Final = re.compile(
    rb"(?:[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xbf]"  # no immediate
    rb"|[\x0c\x0d\x20-\x24]" + _U32 +  # branches, locals, globals
    rb"|\x41" + _S32 + rb"|[\x28-\x3e]" + _U32 + _U32 +  # i32.const, loads and stores
    rb"|[\x02-\x04][\x40\x7c-\x7f]"  # blocks
    rb"|[\x3f\x40]\x00|\x42" + _S64 + rb"|\x43[\x00-\xff]{4}|\x44[\x00-\xff]{8})*+"
    rb"(?:\x10(?P<direct>" + _U32 + rb")|\x11(?P<indirect>" + _U32 + rb")\x00)?", re.DOTALL
)  # fmt: skip


class Calls(Struct, frozen=True):
    """The calls of one function: functions by index, and types of calls through a pointer."""

    direct: frozenset[int]
    indirect: frozenset[int]


def instructions(body: bytes, position: int = 0) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield each instruction's begin, end, opcode, and operands if they are numbers: targets, indices, i32.

    For a body that `calls_of` would let pass; from its beginning, or from one of its instructions.
    """
    reader = Reader(body, position or after_locals(body))
    while not reader.at_end:
        start = reader.position
        opcode = reader.byte()
        operands: tuple[int, ...] = ()
        if opcode in (0x0C, 0x0D, 0x10) or 0x20 <= opcode <= 0x24:
            operands = (reader.u32(),)
        elif opcode == 0x41:
            operands = (reader.signed(32),)
        elif opcode == 0x0E:
            operands = tuple(reader.u32() for _ in range(reader.count() + 1))
        elif opcode in (0x02, 0x03, 0x04, 0x3F, 0x40):
            reader.byte()
        elif opcode == 0x11 or 0x28 <= opcode <= 0x3E:
            operands = (reader.u32(), reader.u32())
        elif opcode == 0x42:
            reader.signed(64)
        elif opcode == 0x43:
            reader.take(4)
        elif opcode == 0x44:
            reader.take(8)
        yield start, reader.position, opcode, operands


def calls_of(body: bytes) -> Calls:
    """Return the calls of a body. Raises ModuleError for the first instruction that WebAssembly 1.0 does not have."""
    found: dict[str, set[bytes]] = {"direct": set(), "indirect": set()}
    position = after_locals(body)
    while (run := _UNTIL_CALL.match(body, position)) is not None and (run.lastgroup or run.end() < len(body)):
        position = run.end()
        if run.lastgroup:
            found[run.lastgroup].add(run[run.lastgroup])
            continue
        _, position, opcode, _ = next(instructions(body, position))
        if opcode != 0x0E:  # br_table
            raise ModuleError(f"instruction 0x{opcode:02x}")
    if body[-1:] != b"\x0b":
        raise ModuleError("a function does not end with `end`")
    return Calls(_numbers(found["direct"]), _numbers(found["indirect"]))


def _numbers(found: set[bytes]) -> frozenset[int]:
    return frozenset(Reader(number).u32() for number in found)


def after_locals(body: bytes) -> int:
    """Return the place where a body's first instruction begins."""
    reader = Reader(body)
    for _ in range(reader.count()):
        reader.u32()
        value_type(reader)
    return reader.position
