"""One tool call on the host that a client follows: its progress, its questions, its end. It speaks no protocol.

A call is read by a task of its own, so that it goes on while nobody looks: a client of the newest protocol answers a
question with a second request.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

from microclaw.errors import MicroclawError, Overloaded
from microclaw.mcp.bridge import Asked, CallEvent, Ended, HostBridge, Progress, Settled

MAX_CALLS: Final = 32
QUEUE: Final = 256


class HostCall:
    """`next()` gives its events; `ended` is the last. Full queue: progress is left out, nothing else."""

    def __init__(self, bridge: HostBridge, owner: str) -> None:
        self.bridge = bridge
        self.owner = owner  # whose call it is: nobody else may take it up again
        self.asked: Asked | None = None
        self._events: asyncio.Queue[CallEvent | MicroclawError] = asyncio.Queue(QUEUE)

    async def next(self) -> CallEvent:
        """Raises what ended the call."""
        event = await self._events.get()
        if isinstance(event, MicroclawError):
            raise event
        if isinstance(event, Asked):
            self.asked = event
        elif isinstance(event, Settled):
            self.asked = None
        return event

    async def run(self, tool: str, arguments: Mapping[str, Any], session: str) -> None:
        try:
            async for event in self.bridge.call(tool, arguments, session=session):
                await self._put(event)
                if isinstance(event, Ended):
                    return
        except MicroclawError as exc:
            await self._put(exc)

    async def _put(self, event: CallEvent | MicroclawError) -> None:
        if isinstance(event, Progress) and self._events.qsize() >= QUEUE - 8:
            return
        await self._events.put(event)


class HostCalls:
    """`async with HostCalls() as calls`: every call that runs; leaving ends them on this side."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: dict[HostCall, asyncio.Task[None]] = {}
        self._parked: dict[str, HostCall] = {}

    async def __aenter__(self) -> HostCalls:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for task in self._tasks.values():
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(
        self, bridge: HostBridge, tool: str, arguments: Mapping[str, Any], *, session: str, owner: str
    ) -> HostCall:
        """Overloaded when too many run already."""
        if len(self._tasks) >= MAX_CALLS:
            raise Overloaded(f"{MAX_CALLS} calls run already", next_step="wait for one of them to end")
        call = HostCall(bridge, owner)
        task = self._group.create_task(call.run(tool, arguments, session), name=f"call {tool}")
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._tasks.pop(call, None))
        return call

    def park(self, call: HostCall) -> str:
        """Keep it until it is taken up; the oldest is let go when there are too many."""
        state = secrets.token_urlsafe(16)
        self._parked[state] = call
        while len(self._parked) > MAX_CALLS:
            self.stop(self._parked.pop(next(iter(self._parked))))
        return state

    def take_up(self, state: str, owner: str) -> HostCall | None:
        call = self._parked.get(state)
        if call is None or call.owner != owner:
            return None
        return self._parked.pop(state)

    def stop(self, call: HostCall) -> None:
        task = self._tasks.get(call)
        if task is not None:
            task.cancel()
