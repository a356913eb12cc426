"""Who is named by a trap's text, and what the heap of a checked build gives out."""

from __future__ import annotations

from microclaw.virtual.runtime.memory import Heap
from microclaw.virtual.runtime.shadow import CheckedHeap, Frame, call_place, read_frames, stack_overflow

TRAP = """error while executing at wasm backtrace:
    0:    0x10d - microclaw_here
                    at /x/wasm/headers/checked/place.c:6:56
    1:    0x120 - strcat
                    at /x/wasm/headers/libc/string.c:30:12
    2:    0x16a - float
                    at /tmp/tr/main.c:2:56
                - main.c!__original_main
                    at /tmp/tr/main.c:3:31
    3:    0x1ff - on_init

Caused by:
    wasm trap: wasm `unreachable` instruction executed
"""


def test_lines_are_told_of_the_programs_own_text_only() -> None:
    frames = read_frames(TRAP)
    assert frames == (Frame("strcat", None), Frame("f", 2), Frame("main", 3), Frame("on_init", None))
    assert call_place(frames) == "line 2, in f"


def test_a_full_stack_is_a_recursion_where_a_name_repeats() -> None:
    assert (
        stack_overflow((Frame("depth", 5),) * 20)
        == "the stack is full: depth calls itself too deep for the stack (line 5)"
    )
    two = (Frame("odd", 9), Frame("even", 4)) * 10
    assert stack_overflow(two) == "the stack is full: odd calls itself through even too deep for the stack (line 9)"
    assert stack_overflow((Frame("inner", 7), Frame("main", 11))) == (
        "the stack is full: it has no room for the local variables of inner (line 7), called by main (line 11)"
    )


def test_what_fits_is_told_by_a_heap_of_the_apps_size() -> None:
    plain, checked = Heap(0x1000, 8192), CheckedHeap(0x1000, 100_000, 8192)
    sizes = [100, 3000, 8, 5000, 4000, 60, 700]
    blocks = [checked.allocate(size) for size in sizes]
    assert [bool(block) for block in blocks] == [bool(plain.allocate(size)) for size in sizes]
    assert (checked.used_bytes, checked.peak_bytes) == (plain.used_bytes, plain.peak_bytes)


def test_freed_blocks_stay_unused_as_long_as_there_is_room() -> None:
    heap = CheckedHeap(0x1000, 20_000, 8192)
    first = heap.allocate(64)
    heap.free(first)
    assert heap.used_bytes == 0
    seen = {first}
    for _ in range(1000):
        block = heap.allocate(1000)
        assert block
        if block in seen:
            return
        seen.add(block)
        heap.free(block)
    raise AssertionError("the area is never used again")
