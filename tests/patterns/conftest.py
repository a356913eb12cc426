"""Patterns filled, compiled and run on a virtual board whose time is run by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from microclaw.boards.reader import load_board
from microclaw.devices.calls import AppInstall
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill
from microclaw.virtual_boards.trial_pool import BoardKind, TrialBoard
from microclaw.wasm import BuildCache, compile_module

Started: TypeAlias = Callable[[str, Mapping[str, Value]], Awaitable["RunningPattern"]]


class RunningPattern:
    """A pattern that was just installed; all times are ms since then."""

    def __init__(self, board: TrialBoard, start_ms: float) -> None:
        self._board = board
        self._start_ms = start_ms

    async def run(self, ms: float) -> None:
        """Let board time pass."""
        assert (await self._board.control.advance(ms, 30.0)).stuck is None

    async def measure(self, sensor: str, **values: float) -> None:
        """What the sensor measures from now on."""
        await self._board.control.set_sensor(sensor, values)

    async def press(self, pin: int, level: int) -> None:
        """The level that comes in at a pin from now on."""
        await self._board.control.set_input(pin, level)

    async def duties(self, pin: int) -> list[int]:
        """Each duty that a pin was given, 0 to 255."""
        changes, _ = await self._board.control.pwm_changes()
        return [change.duty for change in changes if change.pin == pin]

    async def edges(self, pin: int) -> list[tuple[int, int]]:
        """(ms, level) of every level change of a pin."""
        seen = (await self._board.control.edges()).edges
        return [(round(e.t_ms - self._start_ms), e.level) for e in seen if e.pin == pin]

    async def log(self) -> list[str]:
        """The lines that the program printed."""
        return [line.text for line in (await self._board.control.log()).lines if line.app == "tried"]


@pytest.fixture(params=[True, False], ids=["blocking", "event-driven"])
async def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Started]:
    """`await start("blink_times", {"PIN": 4})`: the pattern in either form, filled in and on a board of its own."""
    profile = load_board("virtual")
    async with TrialBoard(BoardKind("virtual"), profile) as board:

        async def begin(name: str, params: Mapping[str, Value]) -> RunningPattern:
            source = fill(name, params, blocking=request.param).source
            image = await compile_module(source, profile, name="tried", cache=BuildCache(_cache(tmp_path_factory)))
            assert image.warnings == ()
            start_ms = (await board.control.info()).now_ms
            await board.wasmachine.call(AppInstall("tried", image.wasm, 8192, 20, 180_000), 10.0)
            running = RunningPattern(board, start_ms)
            await running.run(0)  # an install is answered before on_init has run
            return running

        yield begin


def _cache(factory: pytest.TempPathFactory) -> Path:
    """One compiler cache for all of these tests."""
    folder = factory.getbasetemp() / "pattern-builds"
    folder.mkdir(exist_ok=True)
    return folder
