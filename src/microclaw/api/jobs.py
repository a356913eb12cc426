"""Jobs: work that is never left half-done. Before it changes something, a client that leaves can end it; then not."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

from starlette.responses import StreamingResponse

from microclaw.api.caller import Caller
from microclaw.api.failures import unexpected
from microclaw.apps.change_log import maker_now
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval, approved_act
from microclaw.auth.people import person_behind
from microclaw.config.settings import Limits
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import ApprovalSettled
from microclaw.wire.host_api import Failure, Keepalive, Result, StreamEvent, encode_event, failure_of

MEDIA_TYPE = "application/x-ndjson"
T = TypeVar("T")


def stream(
    events: AsyncGenerator[T, None],
    encode: Callable[[T], bytes],
    keepalive_s: float,
    keepalive: bytes = encode_event(Keepalive()),
    media_type: str = MEDIA_TYPE,
    left: Callable[[], object] = lambda: None,
) -> StreamingResponse:
    """The events as they come, a keepalive when there are none for a while. `left` is called at the end."""

    async def lines() -> AsyncIterator[bytes]:
        try:
            async with aclosing(paced(events, keepalive_s)) as coming:
                async for event in coming:
                    yield keepalive if event is None else encode(event)
        finally:
            left()

    return StreamingResponse(lines(), media_type=media_type)


async def paced(events: AsyncGenerator[T, None], keepalive_s: float) -> AsyncGenerator[T | None, None]:
    """Every event, and None when none came for a while."""
    coming: asyncio.Future[T] | None = None
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

CANCELLED: Final = Failure("cancelled", "cancelled: it had changed nothing yet", exit_code=130)
CancelState: TypeAlias = Literal["cancelled", "begun", "unknown"]


class Feed:
    """A job's events for one reader. When it is full the oldest event is dropped, never the last one."""

    def __init__(self, size: int) -> None:
        self._events: deque[StreamEvent] = deque(maxlen=size)
        self._end: StreamEvent | None = None
        self._news = asyncio.Event()
        self.stop: Callable[[], object] | None = None  # of a job that can be cancelled, until it begins
        self._on_leave: dict[str, Callable[[], object]] = {}
        self.is_left = False

    @property
    def is_over(self) -> bool:
        return self._end is not None

    def when_left(self, name: str, act: Callable[[], object] | None) -> None:
        """The step to do once when the reader goes; None: nothing any more."""
        self._on_leave.pop(name, None)
        if act is not None and self.is_left:
            act()
        elif act is not None:
            self._on_leave[name] = act

    def leave(self) -> None:
        """The reader has gone."""
        self.is_left = True
        self.cancel()
        while self._on_leave:
            self._on_leave.popitem()[1]()

    def begin(self) -> None:
        """Call it before the first change: from here on the job is not cancelled. Raises CancelledError if it was."""
        if self._end is CANCELLED:
            raise asyncio.CancelledError
        self.stop = None

    def cancel(self) -> CancelState:
        """End a job that can be cancelled and has not begun to change anything."""
        if self._end is None and self.stop is not None:
            self.finish(CANCELLED)
            self.stop()
        return "cancelled" if self._end is CANCELLED else "begun"

    def put(self, event: StreamEvent) -> None:
        self._events.append(event)
        self._news.set()

    def finish(self, event: StreamEvent) -> None:
        if self._end is None:
            self._end = event
            self._news.set()

    async def read(self) -> AsyncGenerator[StreamEvent, None]:
        """Every event, and the end last."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._end is not None:
                yield self._end
                return
            self._news.clear()
            await self._news.wait()


@contextmanager
def questions_in(
    feed: Feed, approvals: Approvals, *, channel: str, chat_id: str, request: str | None = None
) -> Iterator[None]:
    """Inside, the feed also gets the approvals that wait in this chat, or those of a `request` in it, and how they end.

    They are withdrawn when the feed's reader goes: nobody would learn what became of the act.
    """

    def tell(news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if (pending.channel, pending.chat_id) != (channel, chat_id) or request not in (None, maker_now().turn):
            return  # listeners are called in the asker's own task
        if isinstance(news, PendingApproval):
            feed.put(approvals.question(news))
            feed.when_left(news.approval_id, partial(approvals.withdraw, news.approval_id))
        else:
            feed.when_left(pending.approval_id, None)
            feed.put(ApprovalSettled(pending.approval_id, news.outcome, news.by))

    stop = approvals.listen(tell)
    try:
        yield
    finally:
        stop()


Work: TypeAlias = Callable[[Feed], Awaitable[StreamEvent]]


class Jobs:
    """Starts jobs in the host's TaskGroup; `async with` the group around it, `drain` before the group ends."""

    def __init__(self, group: asyncio.TaskGroup, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._running: dict[asyncio.Task[None], tuple[str | None, str, Feed]] = {}
        """Each with its person (None: the control socket) and its request's number."""
        self._closed = False

    def start(
        self,
        name: str,
        work: Work,
        *,
        by: Caller | None = None,
        cancellable: bool = False,
    ) -> Feed:
        """Run `work`; what it returns, or its failure, is the end of the feed. Raises Overloaded.

        A job may wait minutes for an approval, so one person has at most half of the room, and the last place is the
        command line's. `cancel` finds it by the request's number; a `cancellable` job calls its feed's `begin` before
        it changes something.
        """
        if self._closed:
            raise Overloaded("the host is stopping", next_step="microclaw up")
        if by is None or by.direct:
            person = None
        else:
            person = person_behind(by.person_id)
        limit = self._limits.parallel_jobs
        running = len(self._running)
        if person is None:
            theirs = 0
        else:
            theirs = sum(one == person for one, _, _ in self._running.values())
        if person is None:
            room = limit
        else:
            room = max(1, limit - 1)
        if running >= room or theirs >= max(1, limit // 2):
            raise Overloaded(
                f"{running} jobs are running, {theirs} of them yours, at most {limit} are allowed",
                next_step="wait for one of them to end, or decide what waits: microclaw approval list",
            )
        feed = Feed(self._limits.stream_events)
        task = self._group.create_task(_run(name, work, feed), name=f"job:{name}")
        self._running[task] = person, "" if by is None else by.job, feed
        task.add_done_callback(self._running.pop)
        if cancellable:
            feed.stop = task.cancel
        return feed

    def stream(self, by: Caller, name: str, work: Work, *, cancellable: bool = False) -> StreamingResponse:
        """Start a job of the caller's; the answer is its events as JSON lines.

        A client that disconnects cancels a job that can be cancelled, and no other; its questions are withdrawn.
        """
        feed = self.start(name, work, by=by, cancellable=cancellable)
        return stream(feed.read(), encode_event, self._limits.keepalive_s, left=feed.leave)

    def cancel(self, number: str) -> CancelState:
        """End a job if it has changed nothing yet; "unknown" when no job with this number runs."""
        found = (feed.cancel() for _, one, feed in self._running.values() if one == number)
        return next(found, "unknown")

    async def drain(self) -> None:
        """Wait a while for running jobs to end, then cancel them."""
        self._closed = True
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=self._limits.drain_s)
        for task in late:
            _log.warning("cancelled at shutdown: %s", task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self._limits.drain_s)


async def _run(name: str, work: Work, feed: Feed) -> None:
    try:
        with approved_act() as act:
            end = await work(feed)
            if isinstance(end, Failure):
                act.failed(end.message, end.code, end.next_step)
            elif isinstance(end, Result) and (some := _some_failed(end.value)) is not None:
                act.failed(some)
        feed.finish(end)
    except MicroclawError as exc:
        feed.finish(failure_of(exc))
    except Exception as exc:
        _log.exception("job %s failed", name)
        feed.finish(unexpected(exc))
    finally:  # only a cancelled job comes here without its end
        feed.finish(
            Failure("interrupted", "the host stopped before this was done", "microclaw app changes", exit_code=130)
        )


def _some_failed(value: Any) -> str | None:
    """Of an act on many devices: which failed and why, if some did."""
    if isinstance(value, dict):
        rows = value.get("results")
    else:
        rows = None
    failed = [row for row in rows or () if isinstance(row, dict) and row.get("error")]
    if not rows or not failed:
        return None
    why = "; ".join(f"{row['device']}: {row['error']['message']}" for row in failed)
    return f"{len(failed)} of {len(rows)} devices failed: {why}"
