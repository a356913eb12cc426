"""Lines that programs print on stock firmware: kept by the program, asked for over the port, gaps counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from microclaw.devices.registry.calls import AppInstall, LogLine, LogsRead
from microclaw.devices.transports.program_logs import LEAST_APART_S, ProgramLogs
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.hardware.boards import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import compile_module
from microclaw.wire.wasmachine.program_log import KeptLine, ProgramLog

LIMIT_S = 60.0
HEAD = "#include <stdio.h>\n#include <unistd.h>\n"
FLOOD = HEAD + 'int main(void) { for (int n = 0; n < 500; n++) printf("line %d\\n", n); return 0; }'
PIECES = (
    HEAD
    + r"""int main(void) {
    printf("a"); printf("%d", 1); putchar(98); puts("c");
    printf("x\n\n");
    for (int n = 0; n < 300; n++) putchar(65);
    puts("\n\033[31mred\xff");
    printf("open");
    for (;;) usleep(1000000);
}"""
)


async def _lines_until(
    transport: WasmachineTransport, cache: Path, source: str, is_enough: Callable[[list[LogLine]], bool]
) -> list[LogLine]:
    """The lines that this program is heard to print."""
    image = await compile_module(source, load_board("virtual"), name="app", cache=BuildCache(cache))
    await transport.call(AppInstall("app", image.wasm, 8192), LIMIT_S)
    lines = list[LogLine]()
    cursor = 0
    async with asyncio.timeout(LIMIT_S):
        while not is_enough(lines):
            page = await transport.call(LogsRead(cursor), LIMIT_S)
            lines += page.lines
            cursor = page.cursor
            await asyncio.sleep(LEAST_APART_S / 4)
    return lines


async def test_what_was_printed_before_anybody_asked_is_there_with_its_gap(
    transport: WasmachineTransport, build_cache: Path
) -> None:
    lines = await _lines_until(
        transport, build_cache, FLOOD, lambda lines: any(line.text == "line 499" for line in lines)
    )
    kept = 0
    following = 0
    for text in (line.text for line in lines):
        gap = re.fullmatch(r"\((\d+) lines were left out\)", text)
        if gap is not None:
            following += int(gap[1])  # before the first line that is kept, and where the flood overtook a read
        elif following < 500:
            assert text == f"line {following}"
            kept = kept + 1
            following = following + 1
    assert following == 500
    assert 40 < kept < 500


async def test_a_line_is_put_together_from_its_pieces_cut_and_cleaned_and_an_open_one_waits(
    transport: WasmachineTransport, build_cache: Path
) -> None:
    lines = [line.text for line in await _lines_until(transport, build_cache, PIECES, lambda lines: len(lines) >= 5)]
    assert lines[:4] == ["a1bc", "x", "", "A" * 120 + "…"]
    assert lines[4].isprintable()
    assert "red" in lines[4]
    assert len(lines) == 5


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _log(began_ms: int, now_ms: int, first: int, *texts: str) -> ProgramLog:
    lines = tuple(KeptLine(now_ms, text, False) for text in texts)
    return ProgramLog(began_ms, now_ms, first, first + len(lines), lines)


async def _heard(logs: ProgramLogs, answers: dict[int, ProgramLog | None]) -> tuple[list[int], list[str]]:
    cursor = logs.ring.end().cursor
    asked = []

    async def ask(_name: str, first: int) -> ProgramLog | None:
        asked.append(first)
        return answers[first]

    await logs.refresh(("app",), ask)
    return asked, [line.text for line in logs.ring.page(cursor).lines]


async def test_a_board_that_restarted_is_asked_from_the_start() -> None:
    clock = Clock()
    logs = ProgramLogs(clock)
    assert await _heard(logs, {0: _log(50, 60, 0, "a", "b")}) == ([0], ["a", "b"])
    clock.now_s += 100  # the board began again 90 s later, at the same tick, and has printed as much again
    assert await _heard(logs, {2: _log(50, 10_050, 2), 0: _log(50, 10_050, 0, "a", "b")}) == ([2, 0], ["a", "b"])


async def test_ticks_that_wrapped_are_no_restart_and_lines_keep_their_time() -> None:
    clock = Clock()
    logs = ProgramLogs(clock)
    await _heard(logs, {0: _log(2**32 - 1000, 2**32 - 500, 0, "a")})
    clock.now_s += 1
    assert await _heard(logs, {1: _log(2**32 - 1000, 500, 1, "b")}) == ([1], ["b"])
