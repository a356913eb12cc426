"""Requests to a subject's one server, one at a time and in order, with bounded queues. In one process; it does no IO.

This is the seam behind which requests may later travel between hosts: callers know a subject, never a connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

from msgspec import Struct

from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError, Overloaded, UnknownName

Handler: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Serves one request. What it raises is raised to the caller."""

DEFAULT_DEPTH = 8
_DEVICE_PREFIX = "device."

_log = logging.getLogger(__name__)


class Bus:
    """`async with Bus() as bus`: its tasks live as long as the block."""

    def __init__(self) -> None:
        self._tasks = asyncio.TaskGroup()
        self._open = False
        self._servers: dict[str, _Server] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        for server in self._servers.values():
            server.stop()
        await self._tasks.__aexit__(exc_type, exc, traceback)

    @asynccontextmanager
    async def serve(self, subject: str, handler: Handler, *, depth: int = DEFAULT_DEPTH) -> AsyncIterator[None]:
        """Answer the subject's requests one at a time, in order; at most `depth` wait behind the one that runs.

        Leaving the block cancels the running request and refuses the waiting ones.
        """
        if not self._open:
            raise RuntimeError("the bus is used outside of its 'async with' block")
        if subject in self._servers:
            raise RuntimeError(f"{subject} is served already")
        server = self._servers[subject] = _Server(handler, depth)
        try:
            yield
        finally:
            del self._servers[subject]
            server.stop()
            if server.running is not None:
                await asyncio.wait([server.running])

    async def request(self, subject: str, message: Any, timeout_s: float) -> Any:
        """The server's answer, or what it raised.

        UnknownName or DeviceUnreachable when nobody serves the subject, Overloaded when its queue is full,
        DeviceTimeout after `timeout_s`. A request given up (time-out, cancellation) before it started never runs;
        one that started runs to its end and its answer is dropped.
        """
        server = self._servers.get(subject)
        if server is None:
            raise _nobody_serves(subject)
        if server.waiting >= server.depth:
            raise Overloaded(
                f"{subject}: {server.waiting} requests wait already, {server.depth} is the limit",
                next_step="wait for the running ones to end, then try again",
            )
        task: asyncio.Task[_Outcome] | None = None
        try:
            async with asyncio.timeout(timeout_s):
                await server.wait_for_turn()
                if server.stopped:
                    server.turn.release()
                    raise _nobody_serves(subject)
                task = self._tasks.create_task(_outcome_of(server.handler, message), name=f"bus {subject}")
                server.started(task)
                await asyncio.wait([task])
        except TimeoutError as exc:
            raise _timed_out(subject, timeout_s, started=task is not None) from exc
        finally:
            if task is not None and not task.done():
                task.add_done_callback(_log_late_failure)
        if task.cancelled():
            raise _nobody_serves(subject)
        outcome = task.result()
        if outcome.error is not None:
            raise outcome.error
        return outcome.value


class _Outcome(Struct, frozen=True):
    value: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class _Server:
    """A subject's handler. `turn` is held while a request runs; those that wait for it get it in order."""

    handler: Handler
    depth: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    running: asyncio.Task[_Outcome] | None = None
    stopped: bool = False

    async def wait_for_turn(self) -> None:
        self.waiting += 1
        try:
            await self.turn.acquire()
        finally:
            self.waiting -= 1

    def started(self, task: asyncio.Task[_Outcome]) -> None:
        self.running = task
        task.add_done_callback(self._ended)

    def stop(self) -> None:
        self.stopped = True
        if self.running is not None:
            self.running.cancel()

    def _ended(self, _: asyncio.Task[_Outcome]) -> None:
        self.running = None
        self.turn.release()


async def _outcome_of(handler: Handler, message: Any) -> _Outcome:
    try:
        return _Outcome(await handler(message))
    except Exception as exc:  # it is the caller's, and must not end the bus
        return _Outcome(error=exc)


def _log_late_failure(task: asyncio.Task[_Outcome]) -> None:
    if not task.cancelled() and (error := task.result().error) is not None:
        _log.warning("%s: a request failed after its caller had left", task.get_name(), exc_info=error)


def _nobody_serves(subject: str) -> MicroclawError:
    if subject.startswith(_DEVICE_PREFIX):
        return DeviceUnreachable(
            f"the device {subject.removeprefix(_DEVICE_PREFIX)} is not served",
            next_step="see the known ones: microclaw device list",
        )
    return UnknownName(f"nobody serves {subject}", next_step="see what runs: microclaw status")


def _timed_out(subject: str, timeout_s: float, *, started: bool) -> DeviceTimeout:
    if started:
        return DeviceTimeout(
            f"{subject} did not answer within {timeout_s:g} s; the outcome is unknown",
            next_step="ask for its state before trying again",
        )
    return DeviceTimeout(
        f"{subject} was busy for {timeout_s:g} s; the request was not sent",
        next_step="try again when it is less busy",
    )
