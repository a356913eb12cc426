"""Tasks that devices ask this host to run: taken once, run one way, ended once. What runs them is given (TaskRunner).

A task that was taken is in the store until its end is in the device's outbox: one that a crash interrupts ends as
failed at the next start, never silently; in a cluster, one of a dead host, at another host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from msgspec import Struct

from microclaw.errors import DeviceUnreachable, MicroclawError
from microclaw.live_hosts import ALONE, Fleet, dead_among
from microclaw.store.link_events import LinkTaskTable, OpenTask, end_in
from microclaw.wire.link.messages import RunTask, TaskStatus
from microclaw.wire.link.values import TaskKind, TaskState

if TYPE_CHECKING:
    from microclaw.link_server.device_link import DeviceLink

_log = logging.getLogger(__name__)

MAX_TASK_S: Final = 600
MAX_NAME_CHARS: Final = 64
MAX_TEXT_BYTES: Final = 8_000  # a message has 16 KiB
MAX_STEP_BYTES: Final = 200
NO_RUNNER: Final = "no_tasks: this host runs no tasks for devices; next: start it with microclaw up"
BAD_NAME: Final = f"bad_task: a task's name has 1 to {MAX_NAME_CHARS} characters; next: ask again with another name"
INTERRUPTED: Final = "interrupted: the host stopped while the task ran, and some of it may be done; next: ask again"
_CANCELLED: Final[dict[TaskKind, str]] = {
    "agent": "cancelled: a step that had begun is finished, nothing more is started",
    "sandbox": "cancelled: all processes of the code were ended",
}
_DECIDE: Final = "say yes or no at the host (microclaw approval list), or allow more time; then ask again"
_DEFECT: Final = "internal: something went wrong inside the host; next: see the host's log"


class TaskEnd(Struct, frozen=True):
    """The end of a task, in words for the device."""

    is_done: bool
    text: str


class Tell(Protocol):
    """Takes the words of a step, and how much is done: 0 to 1."""

    def __call__(self, step: str, progress: float | None = None) -> None: ...


class TaskRunner(Protocol):
    """Runs one task: a turn of the agent (agent.background.unattended), or code (tasks.device_code).

    Cancelling a turn finishes the step that began and starts no other; cancelling code ends its processes.
    """

    async def run(self, device: str, text: str, tell: Tell, waits: Callable[[str | None], None]) -> TaskEnd:
        """For the device of that name; `tell` is given each step's words, `waits` what it waits for ("a yes of Eva"),
        then None when it goes on. Raises MicroclawError.
        """


class DeviceTasks:
    """Takes tasks only inside `serving`."""

    def __init__(self, table: LinkTaskTable, fleet: Fleet = ALONE) -> None:
        self._table = table
        self._fleet = fleet
        self._device: Callable[[str], DeviceLink] | None = None
        self._runners: dict[TaskKind, TaskRunner] = {}
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._cancelled = WeakSet[asyncio.Task[None]]()  # by the device's word

    @asynccontextmanager
    async def serving(
        self, runner: TaskRunner, device: Callable[[str], DeviceLink], *, code: TaskRunner | None = None
    ) -> AsyncIterator[None]:
        """First end the tasks that the last run of the host left open as failed. `code` runs those of kind sandbox."""
        self._device = device
        await self.take_up(at_start=True)
        async with asyncio.TaskGroup() as group:
            self._group = group
            if code is None:
                self._runners = {"agent": runner}
            else:
                self._runners = {"agent": runner, "sandbox": code}
            try:
                yield
            finally:
                self._group = None
                self._runners = {}
                for running in self._running.values():
                    running.cancel()

    @property
    def host(self) -> str | None:
        """This host in its cluster."""
        return self._table.host

    async def take_up(self, *, at_start: bool = False) -> None:
        """End the tasks of dead hosts as failed; `at_start` those of this host's last run, too."""
        if self._device is None:
            return
        open_tasks = await self._table.open_tasks()
        dead = dead_among(self._fleet, {one.host for one in open_tasks}, at_start=at_start)
        for left in open_tasks:
            if left.host in dead and (taken := await self._table.take(left)) is not None:
                device = self._device(left.device_id)
                _log.warning("task of %s was interrupted by a host's end", device.name)
                await _end(device, taken, "failed", INTERRUPTED)

    def refusal(self, request: RunTask) -> str | None:
        """Why this host does not take it at all."""
        if not 0 < len(request.task) <= MAX_NAME_CHARS:
            return BAD_NAME
        return None if request.kind in self._runners else NO_RUNNER

    def start(self, device: DeviceLink, request: RunTask, open_task: OpenTask) -> None:
        """It is in the store; run it. Once the host leaves `serving`, the next start reports its end."""
        runner = self._runners.get(request.kind)
        if self._group is None or runner is None:
            return
        key = (device.link_id, request.task)
        work = self._run(runner, device, request, open_task)
        running = self._running[key] = self._group.create_task(work, name=f"task of {device.link_id}")
        running.add_done_callback(lambda ended: self._forget_one(key, ended))

    def cancel(self, link_id: str, task: str) -> bool:
        """By the device's word; False when no such task runs."""
        running = self._running.get((link_id, task))
        if running is None:
            return False
        self._cancelled.add(running)
        running.cancel()
        return True

    def _forget_one(self, key: tuple[str, str], ended: asyncio.Task[None]) -> None:
        """One of the same name may have begun, once the end of this was kept."""
        if self._running.get(key) is ended:
            del self._running[key]

    def forget(self, link_id: str) -> None:
        """The device was removed: cancel its tasks without a report."""
        for (owner, _), running in self._running.items():
            if owner == link_id:
                running.cancel()

    async def _run(self, runner: TaskRunner, device: DeviceLink, request: RunTask, open_task: OpenTask) -> None:
        def tell(step: str, progress: float | None = None) -> None:
            _say(device, TaskStatus(request.task, "running", progress, _cut(step, MAX_STEP_BYTES)))

        waiting: str | None = None

        def waits(what: str | None) -> None:
            nonlocal waiting
            waiting = what
            if what is not None:
                tell(f"waits for {what}")

        _say(device, TaskStatus(request.task, "queued"))
        timeout_s = min(request.timeout_s or MAX_TASK_S, MAX_TASK_S)
        state: TaskState = "failed"
        try:
            async with asyncio.timeout(timeout_s):
                end = await runner.run(device.name, request.input, tell, waits)
            state = "done" if end.is_done else "failed"
            text = end.text
        except TimeoutError:
            text = f"timed_out: the task was not done within {timeout_s} s; next: ask for less, or allow more time"
            if waiting is not None:
                text = f"timed_out: it still waited for {waiting} after {timeout_s} s; next: {_DECIDE}"
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or me not in self._cancelled:
                raise  # the host stops, or the device was removed
            me.uncancel()
            state = "cancelled"
            text = _CANCELLED[request.kind]
            if waiting is not None:
                text = f"{text}; it waited for {waiting}"
        except MicroclawError as exc:
            text = failure_text(exc.code, exc.message, exc.next_step)
        except Exception:
            _log.exception("a task of %s failed", device.name)
            text = _DEFECT
        try:
            await _end(device, open_task, state, text)
        except MicroclawError as exc:  # it stays open: the next start reports that it was interrupted
            _log.warning("the end of a task of %s is not kept: %s", device.name, exc.message)


def failure_text(code: str, message: str, next_step: str | None) -> str:
    """A failure in one line for a device, which has no more than `text` for it."""
    return f"{code}: {message}" + (f"; next: {next_step}" if next_step else "")


async def _end(device: DeviceLink, open_task: OpenTask, state: TaskState, text: str) -> None:
    """The task's end is in the outbox, and it is open no more, when this returns."""
    status = TaskStatus(open_task.task, state, text=_cut(text, MAX_TEXT_BYTES))
    await device.send(status, re=open_task.message_id, also=partial(end_in, open_task=open_task))


def _say(device: DeviceLink, status: TaskStatus) -> None:
    """Progress is worth nothing later."""
    if device.online:
        with suppress(DeviceUnreachable):
            device.tell(status)


def _cut(text: str, most_bytes: int) -> str:
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
