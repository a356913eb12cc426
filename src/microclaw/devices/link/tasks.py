"""Tasks that devices ask this host to run: each is accepted once, run by a TaskRunner, and ended once.

An accepted task is in the store until its end is in the device's outbox. If a crash interrupts it, it ends as failed at
the next start, never silently; in a cluster, another host ends the tasks of a dead host.
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
from microclaw.host.cluster.live_hosts import ALONE, Fleet, dead_among
from microclaw.host.store.link_events import LinkTaskTable, OpenTask, end_task
from microclaw.wire.link.messages import RunTask, TaskStatus
from microclaw.wire.link.values import TaskKind, TaskState

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink

_log = logging.getLogger(__name__)

MAX_TASK_S: Final = 600
MAX_NAME_CHARS: Final = 64
# A message has 16 KiB.
MAX_TEXT_BYTES: Final = 8_000
MAX_STEP_BYTES: Final = 200
NO_RUNNER: Final = "no_tasks: this host runs no tasks for devices; next: start it with microclaw up"
BAD_NAME: Final = f"bad_task: a task's name has 1 to {MAX_NAME_CHARS} characters; next: ask again with another name"
INTERRUPTED: Final = "interrupted: the host stopped while the task ran, and some of it may be done; next: ask again"
_CANCELLED: Final[dict[TaskKind, str]] = {
    "agent": "cancelled: a step that had begun is finished, nothing more is started",
    "sandbox": "cancelled: all processes of the code were ended",
}
_DECIDE: Final = "say yes or no at the host (microclaw approval list), or allow more time; then ask again"
_TIMED_OUT: Final = "timed_out: the task was not done within {} s; next: ask for less, or allow more time"
_DEFECT: Final = "internal: something went wrong inside the host; next: see the host's log"


class TaskEnd(Struct, frozen=True):
    """The end of a task, in words for the device."""

    is_done: bool
    text: str


class Tell(Protocol):
    """A receiver of a step's words, and of the progress: 0 to 1."""

    def __call__(self, step: str, progress: float | None = None) -> None: ...


class TaskRunner(Protocol):
    """A runner of tasks: a turn of the agent (agent.turn.background.unattended), or code (agent.tasks.device_code).

    Cancelling a turn finishes the step that began and starts no other; cancelling code ends its processes.
    """

    async def run(self, device: str, text: str, tell: Tell, waits: Callable[[str | None], None]) -> TaskEnd:
        """Run a task for the device of that name. Raises MicroclawError.

        `tell` receives each step's words. `waits` receives the reason when the task waits ("a yes of Eva"), and None
        when it continues.
        """


class _Progress:
    """Reports the progress of one task to its device."""

    def __init__(self, device: DeviceLink, task: str) -> None:
        # What the task waits for, None while it works.
        self.waiting: str | None = None
        self._device = device
        self._task = task

    def tell(self, step: str, progress: float | None = None) -> None:
        self.send(TaskStatus(self._task, "running", progress, _cut(step, MAX_STEP_BYTES)))

    def wait(self, reason: str | None) -> None:
        self.waiting = reason
        if reason is not None:
            self.tell(f"waits for {reason}")

    def send(self, status: TaskStatus) -> None:
        """Send a status if the device is connected: later, progress is worth nothing."""
        if self._device.online:
            with suppress(DeviceUnreachable):
                self._device.send_now(status)


class DeviceTasks:
    """The tasks under way. They are accepted only inside `serving`."""

    def __init__(self, table: LinkTaskTable, fleet: Fleet = ALONE) -> None:
        self._table = table
        self._fleet = fleet
        self._device: Callable[[str], DeviceLink] | None = None
        self._runners: dict[TaskKind, TaskRunner] = {}
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        # The tasks that their device cancelled.
        self._cancelled = WeakSet[asyncio.Task[None]]()

    @asynccontextmanager
    async def serving(
        self, runner: TaskRunner, device: Callable[[str], DeviceLink], *, code: TaskRunner | None = None
    ) -> AsyncIterator[None]:
        """Accept tasks inside, after ending the open tasks of the host's last run as failed.

        `code` runs the tasks of kind sandbox.
        """
        self._device = device
        await self.recover_tasks(at_start=True)
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
        """The id of this host in its cluster."""
        return self._table.host

    async def recover_tasks(self, *, at_start: bool = False) -> None:
        """End the tasks of dead hosts as failed, and with `at_start` the tasks of this host's last run too."""
        if self._device is None:
            return
        open_tasks = await self._table.open_tasks()
        dead_hosts = dead_among(self._fleet, {task.host for task in open_tasks}, at_start=at_start)
        for open_task in open_tasks:
            if open_task.host not in dead_hosts:
                continue
            own_task = await self._table.take(open_task)
            # None: another host ends it.
            if own_task is not None:
                device = self._device(open_task.device_id)
                _log.warning("task of %s was interrupted by a host's end", device.name)
                await _end(device, own_task, "failed", INTERRUPTED)

    def refusal(self, request: RunTask) -> str | None:
        """Return the reason why this host refuses a task, or None."""
        if not 0 < len(request.task) <= MAX_NAME_CHARS:
            return BAD_NAME
        return None if request.kind in self._runners else NO_RUNNER

    def start(self, device: DeviceLink, request: RunTask, open_task: OpenTask) -> None:
        """Run a task that is in the store. If `serving` ends before it, the next start reports its end."""
        runner = self._runners.get(request.kind)
        if self._group is None or runner is None:
            return
        key = (device.link_id, request.task)
        work = self._run(runner, device, request, open_task)
        running = self._group.create_task(work, name=f"task of {device.link_id}")
        self._running[key] = running
        running.add_done_callback(lambda ended: self._remove(key, ended))

    def cancel(self, link_id: str, task: str) -> bool:
        """Cancel a task for its device. Returns False if no such task runs."""
        running = self._running.get((link_id, task))
        if running is None:
            return False
        self._cancelled.add(running)
        running.cancel()
        return True

    def _remove(self, key: tuple[str, str], ended: asyncio.Task[None]) -> None:
        # A task of the same name may have begun after the end of this one was stored.
        if self._running.get(key) is ended:
            del self._running[key]

    def forget(self, link_id: str) -> None:
        """Cancel the tasks of a removed device without a report."""
        for (owner_id, _), running in self._running.items():
            if owner_id == link_id:
                running.cancel()

    async def _run(self, runner: TaskRunner, device: DeviceLink, request: RunTask, open_task: OpenTask) -> None:
        progress = _Progress(device, request.task)
        progress.send(TaskStatus(request.task, "queued"))
        try:
            state, text = await self._outcome(runner, device, request, progress)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # Otherwise the host stops, or the device was removed.
            if task is None or task not in self._cancelled:
                raise
            task.uncancel()
            state = "cancelled"
            text = _CANCELLED[request.kind]
            if progress.waiting is not None:
                text = f"{text}; it waited for {progress.waiting}"
        try:
            await _end(device, open_task, state, text)
        except MicroclawError as exc:
            # The task stays open, and the next start reports that it was interrupted.
            _log.warning("the end of a task of %s was not stored: %s", device.name, exc.message)

    async def _outcome(
        self, runner: TaskRunner, device: DeviceLink, request: RunTask, progress: _Progress
    ) -> tuple[TaskState, str]:
        """Run a task, and return its state and its end in words."""
        timeout_s = min(request.timeout_s or MAX_TASK_S, MAX_TASK_S)
        try:
            async with asyncio.timeout(timeout_s):
                end = await runner.run(device.name, request.input, progress.tell, progress.wait)
        except TimeoutError:
            if progress.waiting is not None:
                return (
                    "failed",
                    f"timed_out: it still waited for {progress.waiting} after {timeout_s} s; next: {_DECIDE}",
                )
            return "failed", _TIMED_OUT.format(timeout_s)
        except MicroclawError as exc:
            return "failed", failure_text(exc.code, exc.message, exc.next_step)
        except Exception:
            _log.exception("a task of %s failed", device.name)
            return "failed", _DEFECT
        if end.is_done:
            return "done", end.text
        return "failed", end.text


def failure_text(code: str, message: str, next_step: str | None) -> str:
    """Describe a failure in one line, for a device that can only show a text."""
    text = f"{code}: {message}"
    if next_step:
        text += f"; next: {next_step}"
    return text


async def _end(device: DeviceLink, open_task: OpenTask, state: TaskState, text: str) -> None:
    """Put the task's end into the outbox and close the task, in one transaction."""
    status = TaskStatus(open_task.task, state, text=_cut(text, MAX_TEXT_BYTES))
    await device.outbox.send(status, re=open_task.message_id, also=partial(end_task, open_task=open_task))


def _cut(text: str, max_bytes: int) -> str:
    """Cut a text to a number of UTF-8 bytes, between characters."""
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
