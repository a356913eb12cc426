"""Requests to one device, one at a time and in order; few wait. It speaks to no device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from microclaw.errors import DeviceTimeout, DeviceUnreachable, Overloaded

DEPTH: Final = 32
T = TypeVar("T")

_log = logging.getLogger(__name__)


class RequestQueue:
    """At most `depth` requests wait behind the one that runs. Errors call it `device.NAME`."""

    def __init__(self, name: str, depth: int = DEPTH) -> None:
        self._name = name
        self._depth = depth
        self._turn = asyncio.Lock()  # held while a request runs; those that wait for it get it in order
        self._waiting = 0
        self._running: asyncio.Task[Any] | None = None
        self._is_closed = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float) -> T:
        """The answer of `work`, or what it raised.

        Overloaded when too many wait, DeviceTimeout after `timeout_s`, DeviceUnreachable once the queue is closed. Work
        that is given up (time-out, cancellation) before it started never runs; work that started runs to its end, and
        its answer is dropped.
        """
        if self._waiting >= self._depth:
            text = f"device.{self._name}: {self._waiting} requests wait already, {self._depth} is the limit"
            raise Overloaded(text, next_step="wait for the running ones to end, then try again")
        task: asyncio.Task[T] | None = None
        try:
            async with asyncio.timeout(timeout_s):
                self._waiting += 1
                try:
                    await self._turn.acquire()
                finally:
                    self._waiting -= 1
                if self._is_closed:
                    self._turn.release()
                    raise self._not_served()
                task = self._running = asyncio.create_task(work(), name=f"request to device.{self._name}")
                task.add_done_callback(self._ended)
                await asyncio.wait([task])
        except TimeoutError as exc:
            raise self._timed_out(timeout_s, started=task is not None) from exc
        finally:
            if task is not None and not task.done():
                task.add_done_callback(_log_late_failure)
        if task.cancelled():
            raise self._not_served()
        return task.result()

    async def close(self) -> None:
        """Cancel the request that runs, and refuse those that wait."""
        self._is_closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running = None
        self._turn.release()
        if not task.cancelled():
            task.exception()  # is raised to who asked; asyncio need not tell it again

    def _not_served(self) -> DeviceUnreachable:
        text = f"the device {self._name} is not served"
        step = "see the known ones: microclaw device list"
        return DeviceUnreachable(text, next_step=step)

    def _timed_out(self, timeout_s: float, *, started: bool) -> DeviceTimeout:
        if started:
            text = f"device.{self._name} did not answer within {timeout_s:g} s; the outcome is unknown"
            return DeviceTimeout(text, next_step="ask for its state before trying again")
        text = f"device.{self._name} was busy for {timeout_s:g} s; the request was not sent"
        return DeviceTimeout(text, next_step="try again when it is less busy")


def _log_late_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("%s failed after its caller had left", task.get_name(), exc_info=error)
