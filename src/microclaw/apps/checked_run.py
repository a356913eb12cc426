"""Runs a program on a trial board, and behind it a build of it that names faults in memory and the lines of traps.

The device's own bytes are what is judged; the checked build (wasm/headers/checked) only adds what those go wrong by in
silence. It runs on the same board, in their place, for a part of the time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeAlias

from microclaw.apps.board_time import Passed, Run
from microclaw.apps.stimuli import levels_over_time
from microclaw.apps.trial_run import NEWEST, give, probe, run_image
from microclaw.apps.verdict import Record
from microclaw.devices.calls import AppInstall, AppUninstall
from microclaw.errors import BuildError, CallRejected, DeviceUnreachable
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import TrialBoard
from microclaw.wasm.image import Image
from microclaw.wasm.toolchain import Variant
from microclaw.wire.board_replies import MEMORY_FAULT

CompileBuild: TypeAlias = Callable[[Image, Variant], Awaitable[bytes]]
"""wasm.compile_for_trial with its board and cache."""
_log = logging.getLogger(__name__)

CHECKED_MS = 30_000.0
CHECKED_HOST_S = 0.5
"""The checked build runs for so much board time at most, and gets no further part of it after so much host time."""
_PART_MS = 250.0
_REMOVE_S = 1.0
_TRAP_SAYS = "Got exception running WASM code: "
_TEXTS = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_CAN_OVERWRITE = re.compile(
    r"\[|->|\*\s*\w+\s*[-+]?=|\*\s*\(|\b(?:c_str|new|[mc]alloc|realloc|free|str\w+|mem\w+|v?snprintf|v?sprintf|read|pread)\s*\("
)
"""In a source: what can reach memory that it does not have."""


async def run_with_checks(
    trial_board: TrialBoard,
    other_board: TrialBoard,
    image: Image,
    run: Run,
    compile_build: CompileBuild,
) -> Record:
    """The record of the image's bytes, with the fault that the checked build found and the place of a trap.

    `other_board` is started only where the program's own bytes left the first one unusable.
    """
    if run.realtime or not run.checks or image.source is None or image.optimization is None:
        return await run_image(trial_board, image, run)
    building = asyncio.create_task(_checked_build(image, compile_build), name="checked build")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_end, building)
        record = await run_image(trial_board, image, run)
        if record.refused is not None or record.storm is not None or record.unfinished is not None:
            return record
        try:
            checked = await building
        except BuildError as exc:
            _log.warning("no checked build of %s for the trial: %s", image.name, exc)
            checked, record = None, replace(record, is_memory_checked=False)
        made = [checked, await _traced_build(image, compile_build) if record.error is not None else None]
        builds = [build for build in made if build is not None]
        if builds and (record.stuck or record.rebooted or not await _removed(trial_board, image.name)):
            trial_board = await stack.enter_async_context(other_board)
        for build in builds:
            text = await _first_exception(trial_board, build, run)
            if text is not None and MEMORY_FAULT in text:
                return replace(record, fault=text)
            if text is not None and _same_trap(text, record.error):
                return replace(record, error=text)
            if build is not builds[-1] and not await _removed(trial_board, image.name):
                break
    return record


async def _end(building: asyncio.Task[Image | None]) -> None:
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)


async def _removed(trial_board: TrialBoard, name: str) -> bool:
    """Remove a program from the board; False where it does not end: what it wrote over may be what ends it."""
    try:
        async with asyncio.timeout(_REMOVE_S):
            await trial_board.wasmachine.call(AppUninstall(name), _REMOVE_S)
    except CallRejected:  # the board has it no more
        return True
    except (TimeoutError, DeviceUnreachable):
        return False
    return True


async def _checked_build(image: Image, compile_build: CompileBuild) -> Image | None:
    """The image with each use of memory checked; None if nothing in its source could go wrong there."""
    if not _CAN_OVERWRITE.search(_TEXTS.sub(" ", image.source or "")):
        return None
    return replace(image, wasm=await compile_build(image, "checked"))


async def _traced_build(image: Image, compile_build: CompileBuild) -> Image | None:
    try:
        return replace(image, wasm=await compile_build(image, "traced"))
    except BuildError as exc:
        _log.warning("no build of %s that names the line of a trap: %s", image.name, exc)
        return None


def _same_trap(text: str, error: str | None) -> bool:
    return error is not None and text.partition(" (")[0] == error


async def _first_exception(trial_board: TrialBoard, build: Image, run: Run) -> str | None:
    """Run a build in the place of the image; the text of its first exception, or None."""
    control, began = trial_board.control, time.perf_counter()
    await give(control, run.stimuli, levels_over_time(run.stimuli), (await control.info()).now_ms)
    cursor = (await control.log(NEWEST)).cursor
    install = AppInstall(build.name, build.wasm, run.heap_bytes, run.timers, run.watchdog_ms)
    try:
        await trial_board.wasmachine.call(install, run.host_s)
    except (CallRejected, DeviceUnreachable) as exc:
        _log.warning("the trial board did not take the checked build of %s: %s", build.name, exc)
        return None
    left_ms, part_ms = min(run.for_ms, CHECKED_MS, *_run_ms(run)), _PART_MS
    while (text := await _exception_since(control, build.name, cursor)) is None and left_ms > 0:
        if time.perf_counter() - began > CHECKED_HOST_S:
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
