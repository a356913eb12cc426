"""Requests to a subject's one server, in order, and typed events to many; all queues bounded. In one process, no IO.

This is the seam behind which requests may later travel between hosts: callers know a subject, never a connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError, Overloaded, UnknownName

E = TypeVar("E")

DEFAULT_DEPTH = 8
DEFAULT_EVENT_DEPTH = 256
_DEVICE_PREFIX = "device."

_log = logging.getLogger(__name__)


class Handler(Protocol):
    """Serves one request; what it raises is raised to the one who asked."""

    async def __call__(self, message: Any, /) -> Any: ...


class Bus:
    """`async with Bus() as bus`: its tasks live as long as the block."""

    def __init__(self) -> None:
        self._tasks = asyncio.TaskGroup()
        self._open = False
        self._servers: dict[str, _Server] = {}
        self._subscriptions: list[Subscription[Any]] = []

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
        for subscription in self._subscriptions:
            subscription.close()
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
        server = _Server(subject, handler, depth)
        worker = self._tasks.create_task(server.work(), name=f"bus {subject}")
        server.worker = worker
        self._servers[subject] = server
        try:
            yield
        finally:
            del self._servers[subject]
            server.stop()
            await asyncio.wait([worker])

    async def request(self, subject: str, message: Any, timeout_s: float) -> Any:
        """The server's answer, or what it raised.

        UnknownName or DeviceUnreachable when nobody serves the subject, Overloaded when its queue is full,
        DeviceTimeout after `timeout_s`. A request given up (time-out, cancellation) before it started never runs;
        one that started runs to its end and its answer is dropped.
        """
        server = self._servers.get(subject)
        if server is None:
            raise _nobody_serves(subject)
        pending = server.enqueue(message)
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                return await pending.answer
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise _timed_out(subject, timeout_s, started=pending.started) from exc
        finally:
            server.forget(pending)

    def waiting(self, subject: str) -> int:
        """How many requests wait for this subject's server, the running one not counted."""
        server = self._servers.get(subject)
        return len(server.queue) if server is not None else 0

    def publish(self, event: object) -> None:
        """Give the event to every subscriber of its type; never waits."""
        for subscription in self._subscriptions:
            if isinstance(event, subscription.event_type):
                subscription.put(event)

    @contextmanager
    def subscribe(self, event_type: type[E], *, depth: int = DEFAULT_EVENT_DEPTH) -> Iterator[Subscription[E]]:
        """Events of this type and its subtypes from now on; a slow reader loses the oldest, counted in `dropped`."""
        subscription = Subscription(event_type, depth)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            subscription.close()


class Subscription(Generic[E]):
    """An async iterator over events; it ends when the subscription or the bus is closed and all was read."""

    def __init__(self, event_type: type[E], depth: int) -> None:
        self.event_type = event_type
        self.dropped = 0
        self._events: deque[E] = deque(maxlen=depth)
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, event: E) -> None:
        if self._closed:
            return
        self.dropped += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()


class _Pending:
    __slots__ = ("answer", "message", "started")

    def __init__(self, message: Any) -> None:
        self.message = message
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.started = False


class _Server:
    """One subject's queue and the worker that empties it."""

    def __init__(self, subject: str, handler: Handler, depth: int) -> None:
        self.queue: deque[_Pending] = deque()
        self.worker: asyncio.Task[None] | None = None
        self._subject = subject
        self._handler = handler
        self._depth = depth
        self._arrived = asyncio.Event()
        self._stopped = False

    def enqueue(self, message: Any) -> _Pending:
        if self._stopped:
            raise _nobody_serves(self._subject)
        if len(self.queue) >= self._depth:
            raise Overloaded(
                f"{self._subject}: {len(self.queue)} requests wait already, {self._depth} is the limit",
                next_step="wait for the running ones to end, then try again",
            )
        pending = _Pending(message)
        self.queue.append(pending)
        self._arrived.set()
        return pending

    def forget(self, pending: _Pending) -> None:
        """The caller is gone: what has not started never runs, and a late answer is dropped."""
        if not pending.started and pending in self.queue:
            self.queue.remove(pending)
        if pending.answer.done() and not pending.answer.cancelled():
            pending.answer.exception()  # read, so that asyncio does not report it as lost
        pending.answer.cancel()

    def stop(self) -> None:
        self._stopped = True
        if self.worker is not None:
            self.worker.cancel()
        while self.queue:
            pending = self.queue.popleft()
            if not pending.answer.done():
                pending.answer.set_exception(_nobody_serves(self._subject))

    async def work(self) -> None:
        while True:
            while not self.queue:
                self._arrived.clear()
                await self._arrived.wait()
            await self._answer(self.queue.popleft())

    async def _answer(self, pending: _Pending) -> None:
        pending.started = True
        try:
            result = await self._handler(pending.message)
        except asyncio.CancelledError:
            if not pending.answer.done():
                pending.answer.set_exception(_nobody_serves(self._subject))
            if _is_being_cancelled():
                raise
            _log.warning("%s: its handler ended as cancelled though nobody cancelled it", self._subject)
        except Exception as exc:  # the worker outlives one request; who asked gets the error
            if not pending.answer.done():
                pending.answer.set_exception(exc)
            else:
                _log.warning("%s: a request failed after its caller had left", self._subject, exc_info=exc)
        else:
            if not pending.answer.done():
                pending.answer.set_result(result)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
