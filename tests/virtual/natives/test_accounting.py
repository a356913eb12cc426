"""Peaks of heap and stack: programs of this project's compiler on a bench."""

from __future__ import annotations

import asyncio

from tests.virtual.natives.conftest import CBench

from microclaw.hardware.boards import load_board
from microclaw.programs.wasm.compile import compile_module
from microclaw.virtual.runtime.app import App

FRAME_BYTES = 200
DEEP = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "microclaw.h"
static char *volatile kept;
static int deep(int n) {
    volatile char local[200];
    for (int i = 0; i < 200; i++) local[i] = (char)(n + i);
    return n ? deep(n - 1) + local[n] : local[7];
}
static void work(int n) {
    kept = malloc(3000);
    printf("%d %d\\n", deep(n), kept != 0);
    free(kept);
}
"""
BLOCKING = DEEP + "int main(void) { for (int turn = 0;; turn++) { usleep(10000); work(turn ? 5 : 0); } }"


def run(bench: CBench, source: str) -> App:
    image = asyncio.run(compile_module(source, load_board("virtual"), name="main"))
    return bench.start(image.wasm)


def test_peaks_are_those_of_the_program(bench: CBench) -> None:
    app = run(bench, BLOCKING)
    assert app.env.heap.peak_bytes == 0
    bench.clock.advance(15)
    shallow = app.env.stack.peak_bytes
    assert FRAME_BYTES <= shallow <= FRAME_BYTES + 400
    assert app.env.heap.peak_bytes == 3000 + 8
    bench.clock.advance(10)
    assert [line.endswith(" 1") for line in bench.lines()] == [True, True]
    assert FRAME_BYTES * 5 <= app.env.stack.peak_bytes - shallow <= (FRAME_BYTES + 64) * 5
    assert app.env.heap.peak_bytes == 3000 + 8


def test_stack_that_ends_is_reported_as_full(bench: CBench) -> None:
    app = run(bench, DEEP + "void on_init(void) { work(40); }")
    assert (app.status.state, app.status.error) == ("trapped", "Exception: out of bounds memory access")
    assert 4096 - FRAME_BYTES <= app.env.stack.peak_bytes <= 4096
