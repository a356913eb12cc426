"""Requests to one device, in order and few at a time; few wait. It speaks to no device."""

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
    """A queue in which at most `depth` requests wait behind the `at_once` that run. Errors call it `device.NAME`."""

    def __init__(self, name: str, depth: int = DEPTH, *, at_once: int = 1) -> None:
        self._name = name
        self._depth = depth
        # A request that runs has one; a semaphore serves those who wait in their order.
        self._turns = asyncio.Semaphore(at_once)
        self._waiting_count = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout_s: float) -> T:
        """Return the answer of `work`, or raise its error.

        Raises Overloaded if too many requests wait, DeviceTimeout after `timeout_s`, DeviceUnreachable once the queue
        is closed. Work that is given up (time-out, cancellation) before it started never runs; work that started runs
        to its end, and its answer is dropped.
        """
        if self._waiting_count >= self._depth:
            text = f"device.{self._name}: {self._waiting_count} requests wait already, {self._depth} is the limit"
            raise Overloaded(text, next_step="wait for the running ones to end, then try again")
        task: asyncio.Task[T] | None = None
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait_for_turn()
                task = asyncio.create_task(work(), name=f"request to device.{self._name}")
                self._running.add(task)
                task.add_done_callback(self._end_turn)
                # Not `await task`: a time-out would cancel work that the device may already be doing.
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
        """Cancel the requests that run, and refuse those that wait."""
        self._is_closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _wait_for_turn(self) -> None:
        self._waiting_count += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting_count -= 1
        if self._is_closed:
            self._turns.release()
            raise self._not_served()

    def _end_turn(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._turns.release()
        if not task.cancelled():
            # The caller gets the error; reading it here keeps asyncio from reporting it a second time.
            task.exception()

    def _not_served(self) -> DeviceUnreachable:
        text = f"the device {self._name} is not served"
        return DeviceUnreachable(text, next_step="see the devices: microclaw device list")

    def _timed_out(self, timeout_s: float, *, started: bool) -> DeviceTimeout:
        if started:
            text = f"device.{self._name} did not answer within {timeout_s:g} s; the outcome is unknown"
            return DeviceTimeout(text, next_step="ask for its state before trying again")
        text = f"device.{self._name} was busy for {timeout_s:g} s; the request was not sent"
        return DeviceTimeout(text, next_step="try again when it is less busy")


def _log_late_failure(task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        _log.warning("%s failed after its caller had left", task.get_name(), exc_info=error)
