"""The parts of a module that are read in and changed before it runs; no bytes can upset the reader."""

from __future__ import annotations

import contextlib
import random

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import ProtocolError
from microclaw.virtual.runtime.memory import CONTROL_BYTES, HEADER_BYTES, Heap
from microclaw.virtual.runtime.module import prepare
from microclaw.wire.wasm_binary import PAGE_BYTES


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


LINKED = """(module (memory (export "memory") 1 1) (global $sp (mut i32) (i32.const 6000))
  (global (export "__heap_base") i32 (i32.const 6000)) (global (export "__data_end") i32 (i32.const 1500))
  (data (i32.const 1024) "x") (func (export "on_init")))"""


BARE = '(module (memory (export "m") 1) (func (export "on_init")))'


@pytest.mark.parametrize(
    ("text", "heap_bytes", "heap_start", "pages"),
    [
        (LINKED, 8192, 6000, 1),
        (LINKED, 100_000, 6000, 2),  # beyond the maximum that it declares
        (BARE, 8192, PAGE_BYTES, 2),
        (BARE.replace('(export "m")', "", 1), 256, PAGE_BYTES, 2),
    ],
)
def test_heap_goes_to_heap_base_or_behind_the_last_page_and_memory_is_exported(
    text: str, heap_bytes: int, heap_start: int, pages: int
) -> None:
    prepared = prepare(wat(text), heap_bytes)
    assert (prepared.heap_start, prepared.total_pages) == (heap_start, pages)
    module = wasmtime.Module(wasmtime.Engine(), prepared.wasm)
    memory = next(e.type for e in module.exports if e.name == prepared.memory_name)
    assert isinstance(memory, wasmtime.MemoryType)
    assert memory.limits.min == pages


@pytest.mark.parametrize(
    ("stack_top", "data_end", "data", "area"),
    [
        (4096, 5000, '(data (i32.const 4096) "x")', (16, 4096)),
        (4096, 4096, "", (16, 4096)),
        (4096, None, '(data (i32.const 4096) "x")', (16, 4096)),
        (4096, None, '(data (i32.const 1024) "x")', None),
        (70_000, 4096, "", None),
    ],
)
def test_stack_lies_behind_the_data_or_below_it(
    stack_top: int, data_end: int | None, data: str, area: tuple[int, int] | None
) -> None:
    if data_end is None:
        end = ""
    else:
        end = f'(global (export "__data_end") i32 (i32.const {data_end}))'
    module = f'(module (memory (export "memory") 1) (global (mut i32) (i32.const {stack_top})) {end} {data})'
    assert prepare(wat(module), 8192).stack_area == area


def test_no_mutation_of_a_module_upsets_the_reader() -> None:
    good = wat(LINKED)
    noise = random.Random(7)
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(noise.randint(1, 4)):
            bad[noise.randrange(8, len(bad))] = noise.randrange(256)
        with contextlib.suppress(ProtocolError):
            prepare(bytes(bad[: noise.randint(8, len(bad))]), 8192)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60))
def test_heap_blocks_never_overlap_and_all_memory_comes_back(steps: list[tuple[bool, int]]) -> None:
    heap = Heap(1000, 8192)
    live: dict[int, int] = {}
    for allocate, number in steps:
        if allocate:
            address = heap.allocate(number)
            if address:
                assert address % 8 == 0
                assert address >= 1000 + CONTROL_BYTES
                assert address + number <= 1000 + 8192
                assert all(address + number <= a - HEADER_BYTES or a + n <= address for a, n in live.items())
                live[address] = number
        elif live:
            address = list(live)[number % len(live)]
            heap.free(address)
            del live[address]
    for address in live:
        heap.free(address)
    assert heap.used_bytes == 0
    assert heap.allocate(8192 - CONTROL_BYTES - HEADER_BYTES) != 0
