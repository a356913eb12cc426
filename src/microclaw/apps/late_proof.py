"""Looks at a slow program again when its rhythm is due, and tells what the board shows. A restart ends the wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeAlias

from msgspec import Struct

from microclaw.apps.change_log import ChangeLog
from microclaw.apps.edge_comparison import Verification
from microclaw.apps.trial import Trial
from microclaw.apps.verify import Baseline, late_due_ms, verify_later
from microclaw.devices.registry import Registry
from microclaw.errors import DeviceError, MicroclawError, UnknownName

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 256
SLACK_S: Final = 1.0
TRIES: Final = 5
TRY_EVERY_S: Final = 60.0


class Place(Struct, frozen=True, array_like=True):
    """The chat that a deployment was asked for in."""

    person_id: str
    channel: str
    chat_id: str


class LateCheck(Struct, frozen=True):
    """A deployment whose edges were not due while it was watched."""

    device_id: str
    app: str
    trial: Trial
    baseline: Baseline
    seen_pins: frozenset[int]
    change_id: int
    place: Place | None


Tell: TypeAlias = Callable[[Place | None, str, str, str | None], Awaitable[None]]
"""Give the place a note about a device, by its name; the code of the alarm that it is, None where all is as ordered."""


class LateProofs:
    """`async with LateProofs(...) as proofs`: inside, `watch` checks later. Leaving drops what still waits."""

    def __init__(
        self,
        *,
        devices: Registry,
        change_log: ChangeLog,
        tell: Tell,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._devices = devices
        self._change_log = change_log
        self._tell = tell
        self._sleep = sleep
        self._waiting: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._waiting:
            task.cancel()
        if self._group is not None:
            await self._group.__aexit__(exc_type, exc, traceback)

    def watch(self, check: LateCheck) -> float | None:
        """Check the deployment when it is due. Returns the seconds until then; None when nothing will be looked at."""
        due_ms = late_due_ms(check.trial, check.seen_pins)
        if self._group is None or due_ms is None or check.baseline.edge_cursor is None:
            return None
        if len(self._waiting) >= MAX_WAITING:
            _log.warning("%s is not looked at again: %d programs wait for that already", check.app, MAX_WAITING)
            return None
        wait_s = due_ms / 1000 + SLACK_S
        task = self._group.create_task(self._check(check, wait_s), name=f"look at {check.app} again")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return wait_s

    async def _check(self, check: LateCheck, wait_s: float) -> None:
        await self._sleep(wait_s)
        try:
            found = await self._look(check)
            if found is None:
                return
            name = self._devices.get(check.device_id).name
            await self._tell(check.place, name, _note(check, name, found), None if found.agrees else "proof_taken_back")
        except MicroclawError as exc:
            _log.warning("%s could not be looked at again: %s", check.app, exc.message)

    async def _look(self, check: LateCheck) -> Verification | None:
        """Read what the board shows; None when the program is not there as it was deployed."""
        for attempt in range(TRIES):
            change = await self._change_log.change(check.change_id)
            newer = await self._change_log.changes(check.device_id)
            replaced = any(one.change_id > change.change_id and one.subject == change.subject for one in newer)
            if change.undone_by is not None or replaced:
                return None
            try:
                return await verify_later(self._devices.get(check.device_id), check.trial, check.baseline)
            except UnknownName:
                return None
            except DeviceError:
                if attempt == TRIES - 1:
                    raise
                await self._sleep(TRY_EVERY_S)
        raise AssertionError("the last try returns or raises")


def _note(check: LateCheck, device: str, found: Verification) -> str:
    if found.evidence.kind != "counted":
        return f"{check.app} on {device}: still not proved: {found.evidence.text}"
    if found.agrees:
        return f"{check.app} on {device}: confirmed. {found.evidence.text}"
    return (
        f"{check.app} on {device}: withdrawn, it does not do on the board what it did in its trial. "
        f"{found.evidence.text}\nnext: microclaw app undo {check.change_id}, or look at it: microclaw logs {device}"
    )
