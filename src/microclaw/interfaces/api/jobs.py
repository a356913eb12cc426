"""Jobs: work that is never left half-done. Only before it changes something can a client that leaves end it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from starlette.responses import StreamingResponse

from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import ApprovalSettled
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval, approved_act
from microclaw.host.config.settings import Limits
from microclaw.host.store.people import person_behind
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.failures import unexpected
from microclaw.programs.changes.change_log import current_origin
from microclaw.wire.host_api import Keepalive, StreamEvent, StreamFailure, StreamResult, encode_event, failure_of

MEDIA_TYPE = "application/x-ndjson"
T = TypeVar("T")


def stream(
    events: AsyncGenerator[T, None],
    encode: Callable[[T], bytes],
    keepalive_s: float,
    *,
    keepalive: bytes = encode_event(Keepalive()),
    media_type: str = MEDIA_TYPE,
    left: Callable[[], object] = lambda: None,
) -> StreamingResponse:
    """Return an answer with the events as they come, and a keepalive if none comes for a while.

    `left` is called at the end.
    """

    async def lines() -> AsyncIterator[bytes]:
        try:
            async with aclosing(with_keepalives(events, keepalive_s)) as paced_events:
                async for event in paced_events:
                    yield keepalive if event is None else encode(event)
        finally:
            left()

    return StreamingResponse(lines(), media_type=media_type)


async def with_keepalives(events: AsyncGenerator[T, None], keepalive_s: float) -> AsyncGenerator[T | None, None]:
    """Yield every event, and None if none came for `keepalive_s`."""
    next_event: asyncio.Future[T] | None = None
    try:
        while True:
            next_event = asyncio.ensure_future(anext(events))
            while not (await asyncio.wait((next_event,), timeout=keepalive_s))[0]:
                yield None
            try:
                yield next_event.result()
            except StopAsyncIteration:
                return
    finally:
        if next_event is not None:
            next_event.cancel()
            # Its end or error is for nobody: asyncio would log one that is not looked at.
            await asyncio.gather(next_event, return_exceptions=True)
        await events.aclose()


_log = logging.getLogger(__name__)

CANCELLED: Final = StreamFailure("cancelled", "cancelled: it had changed nothing yet", exit_code=130)
CancelState: TypeAlias = Literal["cancelled", "begun", "unknown"]


class Feed:
    """A job's events for one reader. If it is full, the oldest event is dropped, but never the last."""

    def __init__(self, size: int) -> None:
        self._events: deque[StreamEvent] = deque(maxlen=size)
        self._end: StreamEvent | None = None
        self._news = asyncio.Event()
        # Only a job that can be cancelled has it, until it begins.
        self.stop: Callable[[], object] | None = None
        self._on_leave: dict[str, Callable[[], object]] = {}
        self.is_left = False

    @property
    def is_over(self) -> bool:
        return self._end is not None

    def on_leave(self, name: str, act: Callable[[], object] | None) -> None:
        """Set an action that runs once when the reader leaves; None removes it."""
        self._on_leave.pop(name, None)
        if act is None:
            return
        if self.is_left:
            act()
        else:
            self._on_leave[name] = act

    def leave(self) -> None:
        """Note that the reader has left."""
        self.is_left = True
        self.cancel()
        while self._on_leave:
            self._on_leave.popitem()[1]()

    def begin(self) -> None:
        """Note that the first change comes now: from here on the job cannot be cancelled.

        Raises CancelledError if it was cancelled before.
        """
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
        """Yield every event, and the end last."""
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
    """Put the questions of this chat, or only of a `request` in it, and their outcomes in the feed.

    They are withdrawn when the feed's reader leaves, because no client would learn the result of the act.
    """

    def report(news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if (pending.channel, pending.chat_id) != (channel, chat_id):
            return
        # Listeners are called in the asker's own task, so the current origin is the asker's.
        if request not in (None, current_origin().turn):
            return
        if isinstance(news, PendingApproval):
            feed.put(approvals.question(news))
            feed.on_leave(news.approval_id, partial(approvals.withdraw, news.approval_id))
        else:
            feed.on_leave(pending.approval_id, None)
            feed.put(ApprovalSettled(pending.approval_id, news.outcome, news.by))

    stop = approvals.listen(report)
    try:
        yield
    finally:
        stop()


Work: TypeAlias = Callable[[Feed], Awaitable[StreamEvent]]


class _RunningJob(NamedTuple):
    """The person of a job (None: the control socket), its request's number, and its feed."""

    person_id: str | None
    number: str
    feed: Feed


class Jobs:
    """Starts jobs in the host's TaskGroup; `async with` the group around it, `drain` before the group ends."""

    def __init__(self, group: asyncio.TaskGroup, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._running: dict[asyncio.Task[None], _RunningJob] = {}
        self._closed = False

    def start(
        self,
        name: str,
        work: Work,
        *,
        by: Caller | None = None,
        cancellable: bool = False,
    ) -> Feed:
        """Run `work`; its result, or its failure, is the end of the feed. Raises Overloaded.

        A job may wait minutes for an approval, so one person has at most half of the room, and the last place is for
        the command line. `cancel` finds it by the request's number; a `cancellable` job calls its feed's `begin` before
        it changes something.
        """
        if self._closed:
            raise Overloaded("the host is stopping", next_step="microclaw up")
        person_id = None
        if by is not None and not by.direct:
            person_id = person_behind(by.person_id)
        self._check_room(person_id)
        feed = Feed(self._limits.stream_events)
        task = self._group.create_task(_run(name, work, feed), name=f"job:{name}")
        number = "" if by is None else by.job
        self._running[task] = _RunningJob(person_id, number, feed)
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
        """End a job if it has changed nothing yet; "unknown" if no job with this number runs."""
        for job in self._running.values():
            if job.number == number:
                return job.feed.cancel()
        return "unknown"

    async def drain(self) -> None:
        """Wait a while for running jobs to end, then cancel them."""
        self._closed = True
        if not self._running:
            return
        _, late_tasks = await asyncio.wait(self._running, timeout=self._limits.drain_s)
        for task in late_tasks:
            _log.warning("cancelled at shutdown: %s", task.get_name())
            task.cancel()
        if late_tasks:
            await asyncio.wait(late_tasks, timeout=self._limits.drain_s)

    def _check_room(self, person_id: str | None) -> None:
        """Raise Overloaded if too many jobs run, here or of this person."""
        limit = self._limits.parallel_jobs
        running_count = len(self._running)
        own_count = 0
        room = limit
        if person_id is not None:
            own_count = sum(job.person_id == person_id for job in self._running.values())
            room = max(1, limit - 1)
        if running_count >= room or own_count >= max(1, limit // 2):
            raise Overloaded(
                f"{running_count} jobs are running, {own_count} of them yours, at most {limit} are allowed",
                next_step="wait for one of them to end, or decide what waits: microclaw approval list",
            )


async def _run(name: str, work: Work, feed: Feed) -> None:
    try:
        with approved_act() as act:
            end = await work(feed)
            if isinstance(end, StreamFailure):
                act.failed(end.message, end.code, end.next_step)
            elif isinstance(end, StreamResult):
                failures = _describe_failures(end.value)
                if failures is not None:
                    act.failed(failures)
        feed.finish(end)
    except MicroclawError as exc:
        feed.finish(failure_of(exc))
    except Exception as exc:
        _log.exception("job %s failed", name)
        feed.finish(unexpected(exc))
    finally:
        # Only a cancelled job has no end here.
        feed.finish(
            StreamFailure(
                "interrupted", "the host stopped before this was done", "microclaw app changes", exit_code=130
            )
        )


def _describe_failures(value: Any) -> str | None:
    """Return which devices of an act on many failed, and why; None if all succeeded, or for other acts."""
    rows = None
    if isinstance(value, dict):
        rows = value.get("results")
    if not rows:
        return None
    failed_rows = [row for row in rows if isinstance(row, dict) and row.get("error")]
    if not failed_rows:
        return None
    why = "; ".join(f"{row['device']}: {row['error']['message']}" for row in failed_rows)
    return f"{len(failed_rows)} of {len(rows)} devices failed: {why}"
