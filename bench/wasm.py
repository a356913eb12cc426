"""What compiling costs on top of the compiler's own processes, and how quick an unchanged source is."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import tempfile
from pathlib import Path

from bench.report import Metric, median, paired_ratio, timed
from microclaw.boards import load_board
from microclaw.wasm.cache import BuildCache
from microclaw.wasm.compile import board_defines, compile_module
from microclaw.wasm.glue import build_glue
from microclaw.wasm.toolchain import find_toolchain

RUNS = 31
_PATTERN = Path(__file__).parent.parent / "src" / "microclaw" / "patterns" / "blink.c"
_edits = itertools.count(100)


def measure() -> list[Metric]:
    board = load_board("virtual")
    source = _PATTERN.read_text()
    toolchain = find_toolchain()
    with (
        asyncio.Runner() as runner,
        tempfile.TemporaryDirectory() as cache_directory,
        tempfile.TemporaryDirectory() as own,
    ):
        cache = BuildCache(Path(cache_directory))
        glue = runner.run(build_glue(toolchain, cache.directory))
        commands = [
            toolchain.compile_command("program.c", "O3", board_defines(board)),
            toolchain.link_command(glue, 4096),
        ]

        def edited() -> str:
            return source.replace("#define HALF_PERIOD_MS 500", f"#define HALF_PERIOD_MS {next(_edits)}")

        def ours() -> float:
            text = edited()
            return timed(lambda: runner.run(compile_module(text, board, name="blink", cache=cache)))

        def compiler_alone() -> float:
            Path(own, "program.c").write_text(edited())
            return timed(lambda: [subprocess.run(c, cwd=own, check=True, capture_output=True) for c in commands])

        ours(), compiler_alone()
        ratio, ours_ms, alone_ms = paired_ratio(ours, compiler_alone, RUNS)
        runner.run(compile_module(source, board, name="blink", cache=cache))
        cached = [
            timed(lambda: runner.run(compile_module(source, board, name="blink", cache=cache))) for _ in range(RUNS)
        ]
    return [
        Metric("edited source / compiler's own processes", ratio, "x", 1.1),
        Metric("edited source", ours_ms, "ms"),
        Metric("compiler's own processes", alone_ms, "ms"),
        Metric("unchanged source, from the cache", median(cached) * 1000, "ms", 5.0),
    ]
