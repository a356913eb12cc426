"""The parts of a module that are read in and changed before it runs; no bytes can upset the reader."""

from __future__ import annotations

import contextlib
import random

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual.conftest import Bench

from microclaw.errors import InvalidModule
from microclaw.virtual.runtime.memory import CONTROL_BYTES, HEADER_BYTES, Heap, OutOfBounds
from microclaw.wire.wasm_binary import PAGE_BYTES

LINKED = """(module (memory (export "memory") 1 1) (global $sp (mut i32) (i32.const 6000))
  (global (export "__heap_base") i32 (i32.const 6001)) (global (export "__data_end") i32 (i32.const 1500))
  (data (i32.const 1024) "x") (func $f (local i32 i32) (i32.store8 (i32.const 5000) (i32.const 1)))
  (func (export "on_init") (call $f)))"""
BARE = '(module (memory (export "m") 1) (func (export "on_init")))'


@pytest.mark.parametrize(
    ("text", "heap_bytes", "heap_start", "pages", "stack_bytes"),
    [
        (LINKED, 8192, 6016, 1, 1000),
        (LINKED, 100_000, 6016, 2, 1000),  # beyond the maximum that it declares
        (LINKED.replace("1500", "6000"), 8192, 6016, 1, 1000),  # the stack is below the data
        (LINKED.replace("6000", "70000"), 8192, 6016, 1, 0),
        (BARE, 8192, PAGE_BYTES, 2, 0),
    ],
)
def test_heap_goes_to_heap_base_or_behind_the_last_page_and_the_stack_is_measured(
    bench: Bench, text: str, heap_bytes: int, heap_start: int, pages: int, stack_bytes: int
) -> None:
    app = bench.machine.manager.load("app", bytes(wasmtime.wat2wasm(text)), heap_bytes=heap_bytes)
    assert app.heap.start == heap_start
    app.memory.check(0, pages * PAGE_BYTES)
    with pytest.raises(OutOfBounds):
        app.memory.check(0, pages * PAGE_BYTES + 1)
    app.start()
    bench.advance(1)
    assert app.peak_stack_bytes == stack_bytes
    assert app.kill()


def test_no_mutation_of_a_module_upsets_the_reader(bench: Bench) -> None:
    good = bytes(wasmtime.wat2wasm(LINKED))
    noise = random.Random(7)
    for _ in range(200):
        bad = bytearray(good)
        for _ in range(noise.randint(1, 4)):
            bad[noise.randrange(8, len(bad))] = noise.randrange(256)
        with contextlib.suppress(InvalidModule):
            bench.machine.manager.load("app", bytes(bad[: noise.randint(8, len(bad))])).kill()


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
