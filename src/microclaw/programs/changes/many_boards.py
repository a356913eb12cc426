"""The same act on many boards: its permission, its approval, its stages, and the outcome on each board.

What fails on one board leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.errors import AppNotFound, MicroclawError, PermissionRefused
from microclaw.events import AskedProgram, Report, Stage, Step
from microclaw.host.operations.operation import Approve, OperationCall, Permission
from microclaw.network_use import NetworkUse
from microclaw.programs.changes.deployment import INSTALLED_ALL_THE_SAME

MAX_BOARDS_AT_ONCE: Final = 8
_BEFORE: Final = frozenset({"compile", "check", "try"})
_log = logging.getLogger(__name__)
T = TypeVar("T")
C = TypeVar("C", bound=OperationCall)


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
    parallel: int = MAX_BOARDS_AT_ONCE,
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


async def weigh_each(
    devices: Sequence[Device], weigh: Callable[[Device], Awaitable[Permission | None]], own: Permission
) -> Permission:
    """Return the highest permission that an act needs on one of the devices; `own` is that of the act itself.

    It is RISKY if a device cannot say, but a device that has no such program refuses the act.
    """
    outcomes = await on_each(devices, weigh)
    if any(outcome.error is not None and not isinstance(outcome.error, AppNotFound) for outcome in outcomes):
        return Permission.RISKY
    permissions = [outcome.value or own for outcome in outcomes]
    return max(permissions, key=list(Permission).index, default=own)


def approve_more(approve: Approve, granted: Permission, action: str) -> Approve:
    """Return an `approve` for each of many devices, after one approval for all of them.

    It asks again only for a device that needs more, and once for all of them for a program on the network; `action` is
    what is done on all of them.
    """
    shared = _SharedQuestion(approve, action)

    async def approve_one(
        text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
    ) -> None:
        if program is not None and program.cautions:
            await approve(text, detail, program, Permission.RISKY)
        elif program is not None:
            await shared.ask(detail, program)
        elif needs is Permission.RISKY and granted is not Permission.RISKY:
            await approve(text, detail, program, needs)

    return approve_one


class _SharedQuestion:
    """A question about the network of a program, which is asked once for all boards."""

    def __init__(self, approve: Approve, action: str) -> None:
        self._approve = approve
        self._action = action
        self._one_at_a_time = asyncio.Lock()
        self._answers: dict[NetworkUse, PermissionRefused | None] = {}

    async def ask(self, detail: Sequence[str], program: AskedProgram) -> None:
        """Ask if this network was not asked for yet. Raises PermissionRefused for each board if the answer is no."""
        network = program.network
        async with self._one_at_a_time:
            if network not in self._answers:
                self._answers[network] = await self._answer(detail, program)
        refusal = self._answers[network]
        if refusal is not None:
            raise PermissionRefused(refusal.message, next_step=refusal.next_step)

    async def _answer(self, detail: Sequence[str], program: AskedProgram) -> PermissionRefused | None:
        text = f"{self._action}: it {program.network.text}"
        try:
            await self._approve(text, detail, program, Permission.RISKY)
        except PermissionRefused as exc:
            return exc
        return None


async def run_each(
    devices: Sequence[Device],
    run: Callable[[Device, C], Awaitable[T]],
    call: C,
    step_of: Callable[[BoardOutcome[T]], Step],
) -> list[BoardOutcome[T]]:
    """Run an act on each of the devices, and report its shared stages and the outcome of each."""
    stages = SharedStages(call.report)

    async def run_on(device: Device) -> T:
        own_call = msgspec.structs.replace(call, device=device.device_id, report=partial(stages.show, device.name))
        return await run(device, own_call)

    return await on_each(devices, run_on, lambda outcome: call.report(step_of(outcome)))


class SharedStages:
    """The steps before a board is changed, reported once for all boards, and by its name for one where it differs."""

    def __init__(self, put: Report) -> None:
        self._put = put
        self._told: dict[Stage, set[tuple[str, Sequence[str]]]] = {}

    def show(self, device_name: str, step: Step) -> None:
        """Report a step. A stage that failed and ends the work is reported with the device's outcome instead."""
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
