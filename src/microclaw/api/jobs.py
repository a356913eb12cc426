"""Jobs: work that goes on when its client disconnects, so that nothing stays half-done. It speaks no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from fastapi.responses import StreamingResponse

from microclaw.api.failures import unexpected
from microclaw.config.settings import Limits
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import TurnEvent
from microclaw.wire.host_api import Failure, Keepalive, StreamEvent, encode_event, failure_of

MEDIA_TYPE = "application/x-ndjson"


def stream_response(feed: Feed, keepalive_s: float) -> StreamingResponse:
    """A job's events as JSON lines. A client that disconnects ends the answer, not the job."""

    async def lines() -> AsyncIterator[bytes]:
        async for event in feed.read(keepalive_s):
            yield encode_event(event)

    return StreamingResponse(lines(), media_type=MEDIA_TYPE)


async def paced(events: AsyncGenerator[TurnEvent, None], keepalive_s: float) -> AsyncGenerator[TurnEvent | None, None]:
    """Every event, and None when none came for a while."""
    coming: asyncio.Future[TurnEvent] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(events))
            while not (await asyncio.wait((coming,), timeout=keepalive_s))[0]:
                yield None
            try:
                yield coming.result()
            except StopAsyncIteration:
                return
    finally:
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.wait((coming,))
        await events.aclose()


_log = logging.getLogger(__name__)


class Feed:
    """A job's events for one reader. When it is full the oldest event is dropped, never the last one."""

    def __init__(self, size: int) -> None:
        self._events: deque[StreamEvent] = deque(maxlen=size)
        self._end: StreamEvent | None = None
        self._news = asyncio.Event()

    def put(self, event: StreamEvent) -> None:
        self._events.append(event)
        self._news.set()

    def finish(self, event: StreamEvent) -> None:
        if self._end is None:
            self._end = event
            self._news.set()

    async def read(self, keepalive_s: float) -> AsyncIterator[StreamEvent]:
        """Every event, a Keepalive when none came for a while, and the end last."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._end is not None:
                yield self._end
                return
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), keepalive_s)
            except TimeoutError:
                yield Keepalive()


Work: TypeAlias = Callable[[Feed], Awaitable[StreamEvent]]


class Jobs:
    """Starts jobs in the host's TaskGroup; `async with` the group around it, `drain` before the group ends."""

    def __init__(self, group: asyncio.TaskGroup, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._tasks: dict[asyncio.Task[None], str | None] = {}
        self._closed = False

    def start(self, name: str, work: Work, *, token: str | None = None) -> Feed:
        """Run `work`; what it returns, or its failure, is the end of the feed. Raises Overloaded.

        `token` is the program's token. One token has at most half of the jobs and all tokens three quarters: a job may
        wait minutes for an approval, and the command line must still find room.
        """
        if self._closed:
            raise Overloaded("the host is stopping", next_step="microclaw up")
        if len(self._tasks) >= self._limits.parallel_jobs:
            raise Overloaded(
                f"{len(self._tasks)} jobs are running, at most {self._limits.parallel_jobs} are allowed",
                next_step="wait for one of them to end",
            )
        if token is not None:
            self._check_share(token)
        feed = Feed(self._limits.stream_events)
        task = self._group.create_task(_run(name, work, feed), name=f"job:{name}")
        self._tasks[task] = token
        task.add_done_callback(self._tasks.pop)
        return feed

    def _check_share(self, token: str) -> None:
        running = [of for of in self._tasks.values() if of is not None]
        limit = self._limits.parallel_jobs
        if running.count(token) >= max(1, limit // 2) or len(running) >= max(1, limit * 3 // 4):
            raise Overloaded(
                f"{len(running)} jobs of programs are running, {running.count(token)} of them of this token",
                next_step="wait for one of them to end, or decide what waits: microclaw approval list",
            )

    async def drain(self) -> None:
        """Wait a while for running jobs to end, then cancel them."""
        self._closed = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self._limits.drain_s)
        for task in late:
            _log.warning("cancelled at shutdown: %s", task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self._limits.drain_s)


async def _run(name: str, work: Work, feed: Feed) -> None:
    try:
        feed.finish(await work(feed))
    except MicroclawError as exc:
        feed.finish(failure_of(exc))
    except Exception as exc:
        _log.exception("job %s failed", name)
        feed.finish(unexpected(exc))
    finally:  # only a cancelled job comes here without its end
        feed.finish(
            Failure("interrupted", "the host stopped before this was done", "microclaw app changes", exit_code=130)
        )
