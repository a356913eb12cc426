"""Reads what hands do on one virtual board and what follows, while a recording runs. It judges nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from msgspec import structs

from microclaw.devices.registry.device import Device
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.errors import CallRejected, MicroclawError
from microclaw.programs.bench.hands import board_control
from microclaw.programs.proof.board_events import BoardEvents
from microclaw.programs.proof.part_stimuli import bounces_ms
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.trial_plan import seen_levels
from microclaw.wire import board_control as wire
from microclaw.wire.board_replies import PinRow, ShownRow

MAX_RECORDING_MS: Final = 600_000.0
MAX_EDGES: Final = 200_000
MAX_PICTURE_BYTES: Final = 32_000_000
MAX_STIMULI: Final = 500
READ_EVERY_S: Final = 0.5
FIRST_STIMULUS_MS: Final = 1_000.0
"""A program that has just begun needs this time until it reads its buttons: no stimulus of a recording is earlier."""

LATE_MS: Final = 20.0
"""On a busy machine the edges of a bounce come so much later than on a board; nobody presses twice within it."""


class BoardRecording:
    """A recording of one virtual board. `note` says why it ended by itself."""

    def __init__(self, device: Device) -> None:
        """Raise NotSupported for a real board."""
        self.device = device
        self._device_control = board_control(device)
        # A connection of its own: what is read here does not delay calls.
        self._control = VirtualBoardTransport(self._device_control.path)
        self._events = BoardEvents(self._control)
        self._reading = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._pins: tuple[PinRow, ...] = ()
        self._start_ms = 0.0
        self._boot_id = ""
        self.is_python = False
        self.note: str | None = None

    @property
    def is_running(self) -> bool:
        return not self._stopped.is_set()

    @property
    def length_ms(self) -> float:
        return max(min(self._events.now_ms - self._start_ms, MAX_RECORDING_MS), 0.0)

    async def begin(self) -> None:
        """Leave out everything until now, but for what displays and parts show."""
        try:
            info = await self._control.request(wire.Info())
            if not info.powered:
                raise CallRejected(f"{self.device.name} has no power", next_step="switch it on")
            self._boot_id = info.boot_id
            await self._events.begin()
            await self._events.read()
            self._forget_earlier()
        except BaseException:
            await self._control.close()
            raise
        self._start_ms = self._events.now_ms

    def _forget_earlier(self) -> None:
        """Forget what happened before the recording; what displays and parts show since then is left."""
        events = self._events
        events.lost = False
        events.edges.clear()
        events.pwm.clear()
        events.leds.clear()
        events.lines.clear()
        events.shown = _at_earlier_time(events.shown)
        events.values = _at_earlier_time(events.values)
        events.screens = [structs.replace(shown, t_ms=-math.inf) for shown in events.screens]

    async def keep_reading(self) -> None:
        """Read what happens until the recording ends."""
        try:
            while self.is_running:
                await self.read()
                with suppress(TimeoutError):
                    async with asyncio.timeout(READ_EVERY_S):
                        await self._stopped.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End the recording and its connection."""
        self.stop()
        await self._control.close()

    async def read(self) -> None:
        """Read what happened since the last reading. An error ends the recording, and stands in its note."""
        async with self._reading:
            if not self.is_running:
                return
            try:
                await self._read_board()
            except MicroclawError as exc:
                self.stop(f"it ended early: {exc.message}")
            if self.length_ms >= MAX_RECORDING_MS:
                self.stop(f"it ended after {MAX_RECORDING_MS / 60_000:g} min")
            elif len(self._events.edges) >= MAX_EDGES or self._picture_bytes() >= MAX_PICTURE_BYTES:
                self.stop("it ended as too much happened on the board")
            elif len(self._moves()) >= MAX_STIMULI:
                self.stop(f"it ended after {MAX_STIMULI} stimuli")

    def stop(self, note: str | None = None) -> None:
        """End the recording. Nothing happens if it has ended: a reading under way fails then."""
        if self.is_running:
            self.note = note
            self._stopped.set()

    async def snapshot(self) -> tuple[Record, tuple[ShownRow, ...]]:
        """Return what `record` returns, made in a thread, while nothing is added."""
        async with self._reading:
            return await asyncio.to_thread(self.record)

    def _picture_bytes(self) -> int:
        return sum(len(shown.screen.data) for shown in self._events.screens)

    def record(self) -> tuple[Record, tuple[ShownRow, ...]]:
        """Return the record of what happened, and the values that parts were given.

        Its times begin with the recording, or so much earlier that the first stimulus comes after FIRST_STIMULUS_MS.
        """
        end_ms = self._start_ms + self.length_ms
        moves = [row for row in self._moves() if row.t_ms < end_ms][:MAX_STIMULI]
        start_ms = self._start_ms
        if moves:
            start_ms = min(start_ms, moves[0].t_ms - FIRST_STIMULUS_MS)
        roles = self._roles()
        outside = [pin for pin, role in roles.items() if role == "input"]
        edges = []
        for edge in self._events.edges:
            if start_ms <= edge.t_ms < end_ms and edge.pin in outside:
                edges.append(structs.replace(edge, t_ms=edge.t_ms - start_ms))
        contacts_ms = {pin: bounce_ms + LATE_MS for pin, bounce_ms in bounces_ms(self.device.wiring).items()}
        given = seen_levels(edges, contacts_ms)
        record = Record(
            **self._events.between(start_ms, end_ms, end_ms, outside),
            roles=roles,
            levels={row.pin: row.level for row in self._pins},
            given=given.edges,
            bursts={pin: bursts for pin, bursts in given.bursts.items() if pin in outside},
            board_ms=end_ms - start_ms,
            overflowed=self._events.lost,
            was_stimulated=bool(moves),
            is_python=self.is_python,
        )
        return record, tuple(row._replace(t_ms=row.t_ms - start_ms) for row in moves)

    def _moves(self) -> list[ShownRow]:
        """Return the values that parts were given since the begin, without those that follow from others."""
        moves = []
        for row in self._events.values:
            wired = self.device.wiring.find(row.part)
            if wired is None or row.t_ms < self._start_ms:
                continue
            value_range = wired.facts.inputs.get(row.name) or wired.facts.measures.get(row.name)
            if value_range is not None and not value_range.follows:
                moves.append(row)
        return moves

    def _roles(self) -> dict[int, str]:
        """Return the roles of the pins; a pin that a program moved and let go is an output."""
        roles = {}
        for row in self._pins:
            role = row.role
            if row.mover is not None and role in ("idle", "input"):
                role = "output"
            if role != "idle":
                roles[row.pin] = role
        return roles

    async def _read_board(self) -> None:
        """Read everything of one boot. Raises CallRejected if the board was restarted, also between two answers."""
        if self._device_control.is_closed:
            raise CallRejected(f"{self.device.name} is no longer a device of this host, or at another address")
        try:
            pages = await self._events.ask()
            pins = (await self._control.request(wire.Pins())).pins
            apps = (await self._control.request(wire.Apps())).apps
        except MicroclawError:
            await self._check_boot()
            raise
        await self._check_boot()
        self._events.add(pages)
        self._pins = pins
        self.is_python = any(app.kind == "py" for app in apps)

    async def _check_boot(self) -> None:
        """Raise CallRejected if the board was restarted since the recording began."""
        info = await self._control.request(wire.Info())
        if info.boot_id != self._boot_id:
            raise CallRejected(f"{self.device.name} was restarted")


def _at_earlier_time(rows: Iterable[ShownRow]) -> list[ShownRow]:
    """Return the rows at a time before any recording."""
    return [row._replace(t_ms=-math.inf) for row in rows]
