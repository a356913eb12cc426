"""Tries a program on a throw-away virtual board before it reaches a real one. It does not look at the real board."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from microclaw.apps.verdict import ConsoleLine, Ended, PinRole, Record, count_text, describe, judge
from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppInstall, LogLine, PwmChange
from microclaw.errors import CallRejected, ConfigError, DeviceUnreachable, TrialFailed
from microclaw.events import Edge
from microclaw.text import format_duration
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.virtual_boards.trial_pool import BoardKind, TrialBoard, TrialPool
from microclaw.wasm import BuildCache, compile_module, read_module
from microclaw.wasm.image import Image
from microclaw.wasm.source_language import Language
from microclaw.wire.board_replies import PinRow

MAX_TRIAL_MS = 24 * 3_600_000.0

_UNITS_MS = {"ms": 1.0, "": 1000.0, "s": 1000.0, "min": 60_000.0, "m": 60_000.0, "h": 3_600_000.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|min|m|h|)")
_INPUT = re.compile(r"(\d{1,3})=([01])(?:@(.+))?")


@dataclass(frozen=True, slots=True)
class TrialInput:
    """A level put on a pin from outside, `at_ms` after the program's installation."""

    pin: int
    level: int
    at_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """How a program is tried: board time, inputs from outside, install options.

    `host_s` limits the host's own time.
    """

    for_ms: float = 10_000
    inputs: tuple[TrialInput, ...] = ()
    seed: int = 0
    realtime: bool = False
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    host_s: float = 60.0


def parse_duration_ms(text: str) -> float:
    """Read "10s", "500ms", "2min", "1h" or a plain number of seconds, above 0. Raises ConfigError."""
    ms = _time_ms(text)
    if ms <= 0:
        raise ConfigError(f"{text!r} is not longer than 0", next_step="write it as 10s, 500ms, 2min or 1h")
    return ms


def parse_input(text: str) -> TrialInput:
    """Read "1=1@2s": pin 1 goes high 2 s after the start; without @ from the start. Raises ConfigError."""
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{text!r} is not an input", next_step="write PIN=LEVEL@TIME, as 1=1@2s: pin 1 goes high after 2 s"
        )
    return TrialInput(pin=int(found[1]), level=int(found[2]), at_ms=_time_ms(found[3]) if found[3] else 0.0)


def _time_ms(text: str) -> float:
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigError(f"{text!r} is not a duration", next_step="write it as 10s, 500ms, 2min or 1h")
    ms = float(found[1]) * _UNITS_MS[found[2]]
    if ms > MAX_TRIAL_MS:
        raise ConfigError(f"{text!r} is longer than 24 h", next_step="try it for a shorter time")
    return ms


SCHEMA = "microclaw.try/1"
_FIRMWARE_SAYS = ("Got exception running WASM code: ", "Cannot find function ", "warning: ", "W gpio: ", "microclaw: ")


@dataclass(frozen=True, slots=True)
class Trial:
    """What the program did on the virtual board. Edge and log times are in ms since its installation.

    `ok` is False when it would not work on a real board; `error` and `next_step` then say why. `pins` are the pins it
    opened, `driven` those of them that it drives. `board_ms` is the board time that passed, `took_ms` the host's time.
    """

    ok: bool
    ended: Ended
    log: tuple[str, ...]
    edges: tuple[Edge, ...]
    pwm: tuple[PwmChange, ...]
    pins: tuple[int, ...]
    driven: tuple[int, ...]
    peak_heap_bytes: int
    peak_stack_bytes: int
    warnings: tuple[str, ...]
    board_ms: float
    took_ms: float
    error: str | None = None
    next_step: str | None = None
    first_line_ms: float | None = None
    first_input_ms: float | None = None

    @property
    def first_edge_ms(self) -> float | None:
        return self.edges[0].t_ms if self.edges else None

    def free_edges(self) -> tuple[Edge, ...]:
        """The edges before the first input from outside."""
        if self.first_input_ms is None:
            return self.edges
        return tuple(edge for edge in self.edges if edge.t_ms < self.first_input_ms)

    def summary(self) -> str:
        """One line: "10 s of board time in 0.2 s: 20 edges on pin 2, 0.500 s apart"."""
        seen = describe(self.edges, self.pwm)
        if self.log:
            lines = f"{count_text(len(self.log), 'line')} printed"
            seen = f"{seen}; {lines}" if seen else lines
        if not seen:
            pins = ", ".join(map(str, self.pins))
            seen = f"nothing moved; pins opened: {pins}" if pins else "nothing moved"
        took = format_duration(max(self.took_ms, 10), decimals=2)
        return f"{format_duration(self.board_ms, decimals=2)} of board time in {took}: {seen}"

    def raise_if_failed(self) -> None:
        """Raise TrialFailed, with the error and the next step, unless the trial went well."""
        if not self.ok:
            raise TrialFailed(self.error or "the trial failed", next_step=self.next_step)

    def to_json(self) -> dict[str, Any]:
        """The document of `try --json`."""
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "log": list(self.log),
            "edges": [[round(e.t_ms, 3), e.pin, e.level] for e in self.edges],
            "pwm": [[round(c.t_ms, 3), c.pin, c.duty, c.frequency_hz] for c in self.pwm],
            "ended": self.ended,
            "error": self.error,
            "next": self.next_step,
            "peak_heap_bytes": self.peak_heap_bytes,
            "peak_stack_bytes": self.peak_stack_bytes,
            "pins": list(self.pins),
            "warnings": list(self.warnings),
            "first_edge_ms": self.first_edge_ms,
            "board_ms": round(self.board_ms, 3),
            "took_ms": round(self.took_ms, 1),
        }


async def try_image(
    image: Image, board: BoardProfile, options: TrialOptions | None = None, *, trial_pool: TrialPool | None = None
) -> Trial:
    """Install `image` on a throw-away virtual board through the real protocol and let the board's time run.

    A program that misbehaves gives a Trial with ok=False. Raises DeviceError only when the board cannot be started or
    dies. Cancelling ends the board.
    """
    options = options or TrialOptions()
    started = time.perf_counter()
    kind = BoardKind(board.board_id, "real" if options.realtime else "virtual", options.seed)
    async with trial_pool.take(kind, board) if trial_pool else TrialBoard(kind, board) as trial_board:
        record = await _run(trial_board, image, options)
        took_ms = (time.perf_counter() - started) * 1000
    verdict = judge(record, board, heap_bytes=options.heap_bytes)
    return Trial(
        ok=verdict.ok,
        ended=verdict.ended,
        log=tuple(line.text for line in record.lines if line.app is not None),
        edges=record.edges,
        pwm=record.pwm,
        pins=tuple(sorted({opened.pin for opened in record.pins})),
        driven=tuple(sorted({opened.pin for opened in record.pins if opened.role in ("output", "pwm")})),
        peak_heap_bytes=record.peak_heap_bytes,
        peak_stack_bytes=record.peak_stack_bytes,
        warnings=verdict.warnings,
        board_ms=record.board_ms,
        took_ms=took_ms,
        error=verdict.error,
        next_step=verdict.next_step,
        first_line_ms=next((line.t_ms for line in record.lines if line.app is not None), None),
        first_input_ms=min((given.at_ms for given in options.inputs), default=None),
    )


async def _run(trial_board: TrialBoard, image: Image, options: TrialOptions) -> Record:
    control = trial_board.control
    before = await control.info()
    start_ms, boot_lines = before.now_ms, (await control.log()).cursor
    for given in options.inputs:
        await control.set_input(given.pin, given.level, start_ms + given.at_ms if given.at_ms else None)
    install = AppInstall(image.name, image.wasm, options.heap_bytes, options.timers, options.watchdog_ms)
    refused: str | None = None
    stuck = False
    try:
        await trial_board.wasmachine.call(install, options.host_s)
    except DeviceUnreachable:
        if (await control.info()).boot == before.boot:
            raise
    except CallRejected as exc:
        refused = exc.message
    else:
        stuck = await _let_run(control, options)
    rebooted = (await control.info()).boot != before.boot
    record = await _record(trial_board, image.name, options, 0.0 if rebooted else start_ms, boot_lines)
    return replace(record, refused=refused, stuck=stuck, rebooted=rebooted)


async def _let_run(control: VirtualBoardTransport, options: TrialOptions) -> bool:
    """Let the board's time pass. True when the program got stuck."""
    if options.realtime:
        await asyncio.sleep(options.for_ms / 1000)
        return False
    return (await control.advance(options.for_ms, options.host_s)).stuck is not None


async def _record(
    trial_board: TrialBoard, name: str, options: TrialOptions, start_ms: float, boot_lines: int
) -> Record:
    """Read what the board recorded since `start_ms`, and its console from line `boot_lines` on."""
    control = trial_board.control
    row = next((app for app in await control.app_rows() if app.name == name), None)
    pins = await control.pins()
    changes, _ = await control.pwm_changes()
    log = await control.log(boot_lines)
    edges = await control.edges()
    own = {pin.pin: PinRole(pin.pin, pin.role) for pin in pins if pin.app == name}
    for pin in row.pins if row else ():
        own.setdefault(pin, PinRole(pin, next((p.role for p in pins if p.pin == pin), "idle")))
    outside = _outside_pins(pins, options)
    # An event exactly at the end may or may not be recorded; leaving it out gives the same result every time.
    end_ms = math.inf if options.realtime else start_ms + options.for_ms
    return Record(
        state=row.state if row else None,
        error=row.error if row else None,
        lines=tuple(_console_line(line, start_ms) for line in log.lines if line.t_ms < end_ms),
        edges=tuple(
            Edge(e.t_ms - start_ms, e.pin, e.level)
            for e in edges.edges
            if start_ms <= e.t_ms < end_ms and e.pin not in outside
        ),
        pwm=tuple(
            PwmChange(c.t_ms - start_ms, c.pin, c.duty, c.frequency_hz) for c in changes if start_ms <= c.t_ms < end_ms
        ),
        pins=tuple(own.values()),
        peak_heap_bytes=row.peak_heap_bytes if row else 0,
        peak_stack_bytes=row.peak_stack_bytes if row else 0,
        board_ms=min(edges.now_ms, end_ms) - start_ms,
        longest_call_ms=row.longest_call_ms if row else 0.0,
    )


def _console_line(line: LogLine, start_ms: float) -> ConsoleLine:
    """The board names the app also on lines that the firmware printed about it; those are not the app's own."""
    own = line.app is not None and not line.text.startswith(_FIRMWARE_SAYS)
    return ConsoleLine(line.t_ms - start_ms, line.app if own else None, line.text)


def _outside_pins(pins: tuple[PinRow, ...], options: TrialOptions) -> set[int]:
    """Pins whose edges come from outside: those the program only reads, and inputs that it never opened."""
    given = {one.pin for one in options.inputs}
    return {pin.pin for pin in pins if pin.role == "input" or (pin.role == "idle" and pin.pin in given)}


Try: TypeAlias = Callable[[Image, BoardProfile, TrialOptions], Awaitable[Trial]]
"""`try_image` with its trial pool."""


class Compile(Protocol):
    """C or C++ source to an image; the language is guessed where it is None."""

    def __call__(
        self, source: str, board: BoardProfile, name: str, optimization: str, language: Language | None = None
    ) -> Awaitable[Image]: ...


ReadModule: TypeAlias = Callable[[bytes, BoardProfile, str, str | None], Image]
"""Wasm bytes, board, name and source to an image."""


def cached_compiler(cache: BuildCache) -> Compile:
    """wasm.compile_module with a cache."""

    async def compile_source(
        source: str, board: BoardProfile, name: str, optimization: str, language: Language | None = None
    ) -> Image:
        return await compile_module(source, board, name=name, language=language, optimization=optimization, cache=cache)

    return compile_source


def read_image(wasm: bytes, board: BoardProfile, name: str, source: str | None) -> Image:
    """wasm.read_module: the checks alone, for bytes that need no compiler."""
    return read_module(wasm, board, name=name, source=source)
