"""The same act on many boards: at most PARALLEL at once, and what fails on one leaves the others alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from microclaw.apps.deployment import INSTALLED_ALL_THE_SAME
from microclaw.devices.device import Device
from microclaw.errors import MicroclawError
from microclaw.events import Report, Stage, Step

PARALLEL: Final = 8
_BEFORE: Final = frozenset({"compile", "check", "try"})
_log = logging.getLogger(__name__)
T = TypeVar("T")


class BoardOutcome(Struct, Generic[T], frozen=True):
    """The outcome on one board: `value`, or the `error` that ended it there."""

    device_name: str
    value: T | None = None
    error: MicroclawError | None = None


async def on_each(
    devices: Sequence[Device],
    act: Callable[[Device], Awaitable[T]],
    ended: Callable[[BoardOutcome[T]], None] = lambda _outcome: None,
    *,
    parallel: int = PARALLEL,
) -> list[BoardOutcome[T]]:
    """One outcome a device, in the order of the devices; `ended` gets each as it comes.

    A fault of this host is an outcome too, with its traceback in the log. Cancelled, it cancels what runs.
    """
    free = asyncio.Semaphore(parallel)

    async def on_one(device: Device) -> BoardOutcome[T]:
        async with free:
            try:
                outcome: BoardOutcome[T] = BoardOutcome(device.name, await act(device))
            except MicroclawError as exc:
                outcome = BoardOutcome(device.name, error=exc)
            except Exception as exc:
                _log.exception("on %s", device.name)
                fault = MicroclawError(
                    f"unexpected {type(exc).__name__}", next_step="the traceback is in the host's log"
                )
                outcome = BoardOutcome(device.name, error=fault)
        ended(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(on_one(device), name=f"on {device.name}") for device in devices]
    return [task.result() for task in tasks]


class SharedStages:
    """The steps before a board is changed, reported once for all boards, and by its name for one where it differs."""

    def __init__(self, put: Report) -> None:
        self._put = put
        self._told: dict[Stage, set[tuple[str, Sequence[str]]]] = {}

    def show(self, device_name: str, step: Step) -> None:
        """A stage that failed and ends the work is told with the board's outcome, not here."""
        is_forced = step.stage == "try" and step.state == "failed" and step.next_step == INSTALLED_ALL_THE_SAME
        if step.stage not in _BEFORE or (step.state != "done" and not is_forced):
            return
        told = self._told.setdefault(step.stage, set())
        text = step.text
        if step.stage == "try":  # without how long this machine took, which stands before what was seen
            text = text.partition(": ")[2] or text
        words = text, step.detail
        if words not in told:
            self._put(replace(step, text=f"{device_name}: {step.text}") if told else step)
            told.add(words)
