"""The cost of compiling beyond the compiler's own processes, of an unchanged source, and of a sleeping program."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Metric, median, paired_ratio, timed
from microclaw.hardware.boards import load_board
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.builds.process import Processes
from microclaw.programs.wasm.compile import board_defines, compile_module
from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.opcodes import calls_of, instructions
from microclaw.programs.wasm.toolchain import find_toolchain
from microclaw.programs.wasm.wasm_image import WasmImage

RUNS = 31
_PATTERNS = Path(__file__).parent.parent / "src" / "microclaw" / "programs" / "patterns"
POLLS = """#include <Arduino.h>
unsigned long last;
int on;
int main(void) {
    pinMode(2, OUTPUT);
    for (;;) {
        if (millis() - last >= 500) { last = millis(); digitalWrite(2, on = !on); }
    }
}
"""
_LARGE_BYTES = 64 << 10
_edits = itertools.count(100)


def measure(runs: int = RUNS) -> list[Metric]:
    board = load_board("virtual")
    source = (_PATTERNS / "blink_events.c").read_text()
    toolchain = find_toolchain()
    with (
        asyncio.Runner() as runner,
        tempfile.TemporaryDirectory() as cache_directory,
        tempfile.TemporaryDirectory() as own,
    ):
        cache = BuildCache(Path(cache_directory))
        libraries = runner.run(build_glue(toolchain, cache.directory))
        commands = [
            toolchain.compile_command("program.c", "O3", board_defines(board)),
            toolchain.link_command(libraries, 4096),
        ]

        def ours(clock: Callable[[], float] = time.perf_counter) -> float:
            text = _edited(source)
            return timed(lambda: runner.run(compile_module(text, board, name="blink", cache=cache)), clock)

        def compiler_alone() -> float:
            Path(own, "program.c").write_text(_edited(source))
            return timed(lambda: [subprocess.run(c, cwd=own, check=True, capture_output=True) for c in commands])

        def processes_cpu() -> float:
            Path(own, "program.c").write_text(_edited(source))
            return timed(lambda: [Processes().run(c, Path(own)) for c in commands], time.process_time)

        ours(), compiler_alone(), processes_cpu()
        starts = [timed(lambda: Processes().run(["/bin/true"], Path(own))) for _ in range(runs)]
        bare = [timed(lambda: subprocess.run(["/bin/true"], cwd=own, check=True)) for _ in range(runs)]
        own_cpu_s = [ours(time.process_time) - processes_cpu() for _ in range(runs)]
        ratio, ours_ms, alone_ms = paired_ratio(ours, compiler_alone, runs)
        runner.run(compile_module(source, board, name="blink", cache=cache))
        cached = [
            timed(lambda: runner.run(compile_module(source, board, name="blink", cache=cache))) for _ in range(runs)
        ]
        sleeping = _sleeping(runner, board, cache, runs)
    return [
        Metric("edited source / compiler's own processes", ratio, "x"),
        Metric("edited source", ours_ms, "ms"),
        Metric("compiler's own processes", alone_ms, "ms"),
        Metric("edited source, our own CPU beside the same processes", median(own_cpu_s) * 1000, "ms", 12.0),
        Metric("shutting one process off", (median(starts) - median(bare)) * 1000, "ms", 20.0),
        Metric("unchanged source, from the cache", median(cached) * 1000, "ms", 5.0),
        *sleeping,
        Metric("reading the instructions of 64 KB / one by one", _opcodes_ratio(), "x", 0.3),
    ]


def _sleeping(runner: asyncio.Runner, board: BoardProfile, cache: BuildCache, runs: int) -> list[Metric]:
    """The same program with a sleep in main, and with the call of the sleep left out."""
    source = (_PATTERNS / "blink.c").read_text()

    def build(text: str) -> WasmImage:
        return runner.run(compile_module(text, board, name="blink", cache=cache))

    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(runs):
        for sleeps in (True, False):
            text = _edited(source)
            if not sleeps:
                text = _sleepless(text)
            took[sleeps].append(build(text).compile_ms)
    image = build(source)
    never = build(_sleepless(source))
    polls = build(POLLS)
    assert image.compiled_bytes is not None
    assert polls.compiled_bytes is not None
    assert never.compiled_bytes is None
    on_top_ms = min(took[True]) - min(took[False])  # what else the machine does only adds
    return [
        Metric("shim and pass / compiling and linking without", on_top_ms / min(took[False]), "x", 3.0),
        Metric("shim and pass, on top of compiler and linker", on_top_ms, "ms"),
        Metric("bytes on top of the plain program", image.size_bytes - image.compiled_bytes, "B", 2150),
        Metric("bytes on top of a program that polls", polls.size_bytes - polls.compiled_bytes, "B", 1100),
    ]


def _sleepless(source: str) -> str:
    return source.replace("for (;;) {", "for (int i = 0; i < 2; i++) {").replace("delay", "(void)")


def _edited(source: str) -> str:
    return source.replace("#define HALF_PERIOD_MS 500", f"#define HALF_PERIOD_MS {next(_edits)}")


def _opcodes_ratio() -> float:
    unit = bytes(
        (0x20, 0x01, 0x41, 0x85, 0x01, 0x6A, 0x22, 0x02, 0x28, 0x02, 0x90, 0x01, 0x10, 0x83, 0x80, 0x80, 0x80, 0, 0x1A)
    )
    body = b"\0" + unit * (_LARGE_BYTES // len(unit)) + b"\x0b"
    return paired_ratio(lambda: timed(lambda: calls_of(body)), lambda: timed(lambda: [*instructions(body)]), RUNS)[0]
