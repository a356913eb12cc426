"""Runs a program on a trial board and, where it traps, a build of it that names the line of the trap on another.

The device's own bytes are what is judged; the traced build only adds the place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from microclaw.apps.board_time import Passed, Run
from microclaw.apps.stimuli import levels_over_time
from microclaw.apps.trial_run import NEWEST, give, probe, run_image
from microclaw.apps.verdict import Record
from microclaw.devices.calls import AppInstall
from microclaw.errors import BuildError, CallRejected, DeviceUnreachable
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import TrialBoard
from microclaw.wasm.wasm_image import Image

CompileTraced: TypeAlias = Callable[[Image], Awaitable[bytes]]
"""wasm.compile_traced with its board and cache."""
_log = logging.getLogger(__name__)

TRACED_MS = 30_000.0
TRACED_HOST_S = 0.5
"""The traced build runs for so much board time at most, and gets no further part of it after so much host time."""
_PART_MS = 250.0
_TRAP_SAYS = "Got exception running WASM code: "


async def run_with_lines(
    trial_board: TrialBoard, other_board: TrialBoard, image: Image, run: Run, compile_traced: CompileTraced
) -> Record:
    """The record of the image's bytes, with the place of a trap. `other_board` is started only for that."""
    record = await run_image(trial_board, image, run)
    if run.realtime or image.source is None or image.optimization is None or record.error is None:
        return record
    if record.refused is not None or record.storm is not None or record.unfinished is not None:
        return record
    try:
        traced = replace(image, wasm=await compile_traced(image))
    except BuildError as exc:
        _log.warning("no build of %s that names the line of a trap: %s", image.name, exc)
        return record
    async with other_board:
        text = await _first_exception(other_board, traced, run)
    is_same = text is not None and text.partition(" (")[0] == record.error
    return replace(record, error=text) if is_same else record


async def _first_exception(trial_board: TrialBoard, build: Image, run: Run) -> str | None:
    """Run a build; the text of its first exception, or None."""
    control, began = trial_board.control, time.perf_counter()
    await give(control, run.stimuli, levels_over_time(run.stimuli), (await control.info()).now_ms)
    cursor = (await control.log(NEWEST)).cursor
    install = AppInstall(build.name, build.wasm, run.heap_bytes, run.timers, run.watchdog_ms)
    try:
        await trial_board.wasmachine.call(install, run.host_s)
    except (CallRejected, DeviceUnreachable) as exc:
        _log.warning("the trial board did not take the traced build of %s: %s", build.name, exc)
        return None
    left_ms, part_ms = min(run.for_ms, TRACED_MS, *_run_ms(run)), _PART_MS
    while (text := await _exception_since(control, build.name, cursor)) is None and left_ms > 0:
        if time.perf_counter() - began > TRACED_HOST_S:
            return None
        if (await control.advance(min(left_ms, part_ms), run.host_s)).stuck is not None:
            return await _exception_since(control, build.name, cursor)
        left_ms, part_ms = left_ms - part_ms, part_ms * 2
    if text is None:
        await probe(control, build.name, run, Passed())
        text = await _exception_since(control, build.name, cursor)
    return text


def _run_ms(run: Run) -> tuple[float, ...]:
    return (run.times.stop_after_ms,) if run.times is not None and run.times.stop_after_ms is not None else ()


async def _exception_since(control: VirtualBoardTransport, name: str, cursor: int) -> str | None:
    """The first exception behind a place in the log: the app goes on after one in a callback."""
    row = next((app for app in await control.app_rows() if app.name == name), None)
    if row is None or row.error is None:
        return None
    texts = [line.text for line in (await control.log(cursor)).lines if line.text.startswith(_TRAP_SAYS)]
    return texts[0].removeprefix(_TRAP_SAYS) if texts else row.error
