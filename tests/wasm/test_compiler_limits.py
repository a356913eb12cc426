"""Sources that would keep the C compiler busy, or fill the memory: each ends as an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from microclaw.boards.profile import BoardProfile
from microclaw.builds.process import in_worker
from microclaw.errors import BuildError
from microclaw.wasm import BuildCache, compile_module
from microclaw.wasm.toolchain import find_toolchain


async def test_macro_bomb_is_stopped_by_the_clock(tmp_path: Path) -> None:
    lines = ["#define B0 x,x,x,x,x,x,x,x"]
    lines += [
        f"#define B{n} B{n - 1},B{n - 1},B{n - 1},B{n - 1},B{n - 1},B{n - 1},B{n - 1},B{n - 1}" for n in range(1, 12)
    ]
    (tmp_path / "bomb.c").write_text("\n".join([*lines, "int x; void on_init(void) { x = (B11); }"]))
    command = find_toolchain().compile_command("bomb.c", "O3", ())
    finished = await in_worker(lambda processes: processes.run(command, tmp_path, time_limit_s=1.0))
    assert finished.timed_out or finished.returncode != 0


@pytest.mark.skipif(sys.platform != "linux", reason="rlimits are set from outside, which only Linux can")
async def test_table_of_macros_that_fills_the_memory_says_so(board: BoardProfile, cache: BuildCache) -> None:
    lines = [f"#define A{n} " + ",".join([f"A{n - 1}" if n else "0"] * 10) for n in range(8)]
    source = "\n".join([*lines, "int a[] = {A7};", "int main(void) { return a[3]; }"])
    with pytest.raises(BuildError):
        await compile_module(source, board, cache=cache)


async def test_huge_object_is_a_build_error(board: BoardProfile, cache: BuildCache) -> None:
    source = "char big[1 << 28] = {1};\nvoid on_init(void) { big[2]++; }\n"
    with pytest.raises(BuildError) as caught:
        await compile_module(source, board, cache=cache)
    assert caught.value.stage in ("compile", "link")


async def test_tens_of_thousands_of_broken_lines_end_with_the_first_errors(
    board: BoardProfile, cache: BuildCache
) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_module("foo bar baz;\n" * 18_000, board, cache=cache)
    assert caught.value.stage == "compile"
    assert caught.value.diagnostics[0].line == 1
