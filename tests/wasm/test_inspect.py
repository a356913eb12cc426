"""The reader of wasm binaries: WebAssembly 1.0 as it is, later features by name, anything else refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.wasm.image import Signature
from microclaw.wasm.inspect import parse_module
from microclaw.wasm.opcodes import check_opcodes
from microclaw.wire.wasm_binary import FeatureError, ModuleError, Reader

HEAD = b"\0asm\1\0\0\0"


def section(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number, len(content)]) + content


TYPE = section(1, b"\1\x60\0\0")
FUNCTION = section(3, b"\1\0")


def code(body: bytes, local: bytes = b"\0") -> bytes:
    content = local + body
    return HEAD + TYPE + FUNCTION + section(10, b"\1" + bytes([len(content)]) + content)


def inspect(wasm: bytes) -> None:
    check_opcodes(parse_module(wasm).bodies)


@pytest.mark.parametrize(
    ("wasm", "feature"),
    [
        (code(b"\xc0\x0b"), "sign-ext"),
        (code(b"\xfc\0\x0b"), "nontrapping-fptoint"),
        (code(b"\xfc\x0a\0\0\x0b"), "bulk-memory"),
        (code(b"\xfc\x10\0\x0b"), "reference-types"),
        (code(b"\xfd\0\x0b"), "simd128"),
        (code(b"\xfe\x10\2\0\x0b"), "threads"),
        (code(b"\x12\0\x0b"), "tail-call"),
        (code(b"\x06\x40\x0b\x0b"), "exception-handling"),
        (code(b"\xd0\x70\x0b"), "reference-types"),
        (code(b"\x11\0\1\x0b"), "reference-types"),
        (code(b"\x02\0\x0b\x0b"), "multivalue"),
        (code(b"\x0b", local=b"\1\1\x7b"), "simd128"),
        (code(b"\x40\1\x0b"), "multi-memory"),
        (HEAD + section(1, b"\1\x60\0\2\x7f\x7f"), "multivalue"),
        (HEAD + section(1, b"\1\x5f\0"), "gc"),
        (HEAD + section(5, b"\1\3\1\1"), "threads"),
        (HEAD + section(5, b"\1\4\1"), "memory64"),
        (HEAD + section(5, b"\2\0\1\0\1"), "multi-memory"),
        (HEAD + section(4, b"\2\x70\0\1\x70\0\1"), "reference-types"),
        (HEAD + section(4, b"\1\x6f\0\1"), "reference-types"),
        (HEAD + section(9, b"\1\1\0\0\0"), "bulk-memory"),
        (HEAD + section(11, b"\1\1\0"), "bulk-memory"),
        (HEAD + section(12, b"\0"), "bulk-memory"),
        (HEAD + section(13, b"\0"), "exception-handling"),
        (HEAD + section(6, b"\1\x7f\0\x41\0\x41\0\x6a\x0b"), "extended-const"),
        (HEAD + section(6, b"\1\x7b\0"), "simd128"),
    ],
)
def test_later_feature_is_named(wasm: bytes, feature: str) -> None:
    with pytest.raises((FeatureError, ModuleError)) as caught:
        inspect(wasm)
    if feature == "extended-const":  # its first instruction may be any: the value's end is what is looked at
        return
    assert str(caught.value) == feature


@pytest.mark.parametrize(
    "wasm",
    [
        b"",
        b"\0as",
        b"\0asm",
        b"\0asm\2\0\0\0",
        HEAD + b"\1",
        HEAD + b"\1\x80\x80\x80\x80\x7f",  # a section of 2^34 bytes
        HEAD + b"\1\x85\x80\x80\x80\x80\x00",  # a length of six bytes
        HEAD + section(1, b"\xff\xff\xff\xff\x0f"),  # 2^32 types
        HEAD + section(1, b"\1\x61\0\0"),
        HEAD + section(3, b"\1\0"),  # a type that is not there
        HEAD + TYPE + FUNCTION,  # a function without a body
        HEAD + TYPE + TYPE,
        HEAD + section(14, b""),
        HEAD + section(2, b"\1\1\xff\1a\0\0"),  # a name that is no UTF-8
        HEAD + section(2, b"\1\1a\1b\5"),
        HEAD + section(7, b"\1\1a\5\0"),
        HEAD + section(1, b"\0\0"),  # a byte too many
        code(b"\xff\x0b"),
        code(b"\x01"),
        code(b"\x41"),
    ],
)
def test_malformed_module_is_refused(wasm: bytes) -> None:
    with pytest.raises(ModuleError):
        inspect(wasm)


async def real_module(compile_c: Any) -> bytes:
    image = await compile_c('#include "microclaw.h"\nvoid on_init(void) { gpio_toggle(gpio_open(2, GPIO_OUT)); }')
    return bytes(image.wasm)


async def test_parts_of_a_real_module(compile_c: Any) -> None:
    module = parse_module(await real_module(compile_c))
    assert {i.name: i.signature for i in module.imports}["write"] == Signature(("i32", "i32", "i32"), ("i32",))
    on_init = next(e for e in module.exports if e.name == "on_init")
    assert module.signature_of(on_init.index) == Signature((), ())
    assert module.memory_pages == 1
    heap_base, data_end = module.global_value("__heap_base"), module.global_value("__data_end")
    assert heap_base is not None
    assert data_end is not None
    assert 4096 < data_end <= heap_base < 65536
    assert any(b"gpio" in segment.data for segment in module.data)


async def test_every_cut_of_a_module_is_refused_or_lacks_something(compile_c: Any) -> None:
    wasm = await real_module(compile_c)
    whole = parse_module(wasm)
    for end in range(len(wasm)):
        try:
            cut = parse_module(wasm[:end])
        except ModuleError:
            continue
        assert cut != whole


async def test_damage_raises_only_the_two_errors(compile_c: Any) -> None:
    wasm = await real_module(compile_c)
    draw = random.Random(7)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(wasm)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(8, len(damaged))] = draw.randrange(256)
        try:
            inspect(bytes(damaged))
        except (ModuleError, FeatureError):
            refused += 1
    assert refused > 500


@given(st.integers(-(2**31), 2**31 - 1))
def test_signed_numbers_round_trip(value: int) -> None:
    encoded = bytearray()
    rest = value
    while True:
        byte, rest = rest & 0x7F, rest >> 7
        if rest == (-1 if byte & 0x40 else 0):
            encoded.append(byte)
            break
        encoded.append(byte | 0x80)
    assert Reader(bytes(encoded)).signed(32) == value


@pytest.mark.parametrize(
    ("data", "value"), [(b"\0", 0), (b"\xe5\x8e\x26", 624485), (b"\xff\xff\xff\xff\x0f", 2**32 - 1)]
)
def test_unsigned_numbers(data: bytes, value: int) -> None:
    assert Reader(data).u32() == value


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x1f"])
def test_unsigned_numbers_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(ModuleError):
        Reader(data).u32()
