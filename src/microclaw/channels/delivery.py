"""The common part of channels: their tasks, and who delivers which answer. It sends nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Self, TypeAlias

from microclaw.agent.outbox import Outbox
from microclaw.errors import MicroclawError
from microclaw.events import ResultFile

MAX_CLAIMED: Final = 4096
ReadFile: TypeAlias = Callable[[ResultFile], Awaitable[bytes]]
"""The content of a file that goes with an answer. Raises UnknownName when it is no longer there."""
_log = logging.getLogger(__name__)


class ChannelTasks:
    """`async with`: tasks whose failure is logged and ends no other. Leaving cancels them and waits for their end."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in tuple(self._running):
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(self, work: Coroutine[Any, Any, object], name: str) -> None:
        task = self._group.create_task(self._run(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception:
            _log.exception("%s failed", name)


class Deliveries:
    """Each answer of the outbox is delivered by one part of a channel, though the outbox gives it out again."""

    def __init__(self, outbox: Outbox, channel: str) -> None:
        self._outbox = outbox
        self._channel = channel
        self._claimed: dict[int, None] = {}  # the newest, under way or delivered

    def claim(self, outbound_id: int | None) -> bool:
        """True if the caller is to deliver it. An answer without a number is not in the outbox: yes."""
        if outbound_id is None:
            return True
        if outbound_id in self._claimed:
            return False
        self._claimed[outbound_id] = None
        if len(self._claimed) > MAX_CLAIMED:
            del self._claimed[next(iter(self._claimed))]
        return True

    def release(self, outbound_id: int | None) -> None:
        """It was not delivered: it can be claimed again when the outbox gives it out again."""
        if outbound_id is not None:
            self._claimed.pop(outbound_id, None)

    async def done(self, outbound_id: int | None) -> None:
        """Take it out of the outbox."""
        try:
            await self._outbox.delivered(outbound_id)
        except MicroclawError as exc:
            _log.warning("%s: a delivery was not recorded, it may come twice: %s", self._channel, exc.message)
