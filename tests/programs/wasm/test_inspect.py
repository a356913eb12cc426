"""The reader of wasm binaries: WebAssembly 1.0 as it is, anything else refused."""

from __future__ import annotations

import random
from typing import Any

import pytest

from microclaw.programs.wasm.inspect import parse_module
from microclaw.programs.wasm.opcodes import calls_of
from microclaw.programs.wasm.wasm_image import Signature
from microclaw.wire.wasm_binary import ModuleError

HEAD = b"\0asm\1\0\0\0"


def section(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number, len(content)]) + content


TYPE = section(1, b"\1\x60\0\0")
FUNCTION = section(3, b"\1\0")


def code(body: bytes) -> bytes:
    content = b"\0" + body
    return HEAD + TYPE + FUNCTION + section(10, b"\1" + bytes([len(content)]) + content)


def inspect(wasm: bytes) -> None:
    for body in parse_module(wasm).bodies:
        calls_of(body)


@pytest.mark.parametrize(
    "wasm",
    [
        *map(code, (b"\xc0\x0b", b"\xfc\0\x0b", b"\xfc\x0a\0\0\x0b", b"\xfd\0\x0b", b"\xfe\x10\2\0\x0b")),
        *map(code, (b"\x12\0\x0b", b"\x06\x40\x0b\x0b", b"\x02\0\x0b\x0b", b"\x40\1\x0b", b"\xff\x0b")),
        *(HEAD + section(5, limits) for limits in (b"\1\3\1\1", b"\1\4\1", b"\2\0\1\0\1")),
        *(HEAD + section(1, types) for types in (b"\1\x5f\0", b"\1\x61\0\0", b"\0\0")),  # the last: a byte too many
        *(HEAD + section(6, one) for one in (b"\1\x7f\0\x41\0\x41\0\x6a\x0b", b"\1\x7b\0")),
        HEAD + section(4, b"\2\x70\0\1\x70\0\1"),
        HEAD + section(9, b"\1\1\0\0\0"),
        *(b"", b"\0asm", b"\0asm\2\0\0\0"),
        HEAD + b"\1\x80\x80\x80\x80\x7f",  # a section of 2^34 bytes
        HEAD + b"\1\x85\x80\x80\x80\x80\x00",  # a length of six bytes
        HEAD + section(1, b"\xff\xff\xff\xff\x0f"),  # 2^32 types
        HEAD + TYPE + FUNCTION,  # a function without a body
        HEAD + TYPE + TYPE,
        HEAD + section(2, b"\1\1\xff\1a\0\0"),  # a name that is no UTF-8
    ],
)
def test_what_is_no_module_of_webassembly_1_is_refused(wasm: bytes) -> None:
    with pytest.raises(ModuleError):
        inspect(wasm)


def test_every_instruction_of_webassembly_1_is_let_pass() -> None:
    bodies = (
        bytes((0x00, 0x01, 0x05, 0x0F, 0x1A, 0x1B, *range(0x45, 0xC0))),
        bytes(b for op in (0x0C, 0x0D, 0x10, *range(0x20, 0x25)) for b in (op, 0x85, 0x01)),
        bytes(b for op in range(0x28, 0x3F) for b in (op, 0x02, 0x90, 0x01)),
        b"\x02\x40\x03\x7f\x04\x7c\x11\0\0\x3f\0\x40\0\x0e\1\0\0",
        b"\x41\x7f\x42\x80\x80\x80\x80\x80\1\x43\0\0\1\2\x44" + bytes(range(8)),
    )
    for body in bodies:
        calls_of(b"\0" + body + b"\x0b")


async def test_real_module_is_read_and_its_cuts_and_damage_raise_only_the_one_error(compile_c: Any) -> None:
    image = await compile_c('#include "microclaw.h"\nvoid on_init(void) { gpio_toggle(gpio_open(2, GPIO_OUT)); }')
    whole = parse_module(image.wasm)
    assert {i.name: i.signature for i in whole.imports}["write"] == Signature(("i32", "i32", "i32"), ("i32",))
    on_init = next(e for e in whole.exports if e.name == "on_init")
    assert (whole.signature_of(on_init.index), whole.memory_pages) == (Signature((), ()), 1)
    heap_base = whole.global_value("__heap_base")
    data_end = whole.global_value("__data_end")
    assert 4096 < (data_end or 0) <= (heap_base or 0) < 65536
    assert any(b"gpio" in segment.data for segment in whole.data)
    for end in range(len(image.wasm)):
        try:
            assert parse_module(image.wasm[:end]) != whole
        except ModuleError:
            continue
    draw = random.Random(7)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(image.wasm)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(8, len(damaged))] = draw.randrange(256)
        try:
            inspect(bytes(damaged))
        except ModuleError:
            refused += 1
    assert refused > 500
