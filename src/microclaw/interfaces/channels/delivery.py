"""The common part of channels: their tasks, and how they read files. It sends nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeAlias

from microclaw.events import ResultFile

ReadFile: TypeAlias = Callable[[ResultFile], Awaitable[bytes]]
"""Return the content of an answer's file. Raises UnknownName if the file no longer exists."""
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
