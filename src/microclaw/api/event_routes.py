"""GET /v1/events: live events as Server-Sent Events (the WHATWG HTML standard's event stream). It makes no events."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from typing import Annotated, assert_never

from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.live_pins import MAX_BOARDS, EdgeNews, LivePins
from microclaw.auth.people import Roles, person_behind
from microclaw.errors import ConfigError, Overloaded
from microclaw.events import LIVE_EVENTS, Alarm, ApprovalChanged, DeviceLog, LiveEvent, Published, TaskChanged
from microclaw.operations.operation import Access
from microclaw.tasks.access import seen_by

RING_EVENTS = 1_024
MAX_LISTENERS = 16  # a quarter of the connections that the listener takes
_NOT_LOGGED = frozenset({"at_ms", "text", "person_id"})
_NOT_TOLD = frozenset({"person_id"})
_FACTS = {"name": "what"}  # as a log line has it: a record's own name is its logger's
_log = logging.getLogger("microclaw.live")


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    number: int
    event: LiveEvent


@dataclass(frozen=True, slots=True)
class LostEvents:
    """So many events were lost before the one after `after`; `count` None: nobody knows how many."""

    count: int | None
    after: int


class LiveFeed:
    """The last events and their readers. `run` tells this host run from an earlier one; it begins with `origin`, which
    the runs of the other hosts of a cluster do not."""

    def __init__(
        self, run: str, *, origin: str = "", ring_events: int = RING_EVENTS, max_listeners: int = MAX_LISTENERS
    ) -> None:
        self.run = origin + run
        self._origin = origin
        self.listeners = 0
        self._ring: deque[LiveEvent] = deque(maxlen=ring_events)
        self._count = 0  # of all events ever: the last one's number
        self._max_listeners = max_listeners
        self._of: Counter[str] = Counter()  # open streams by person
        self._news: set[asyncio.Event] = set()
        self._ended = False
        self._on_event: list[Callable[[LiveEvent, bool], None]] = []

    def listen(self, on_event: Callable[[LiveEvent, bool], None]) -> None:
        """Call it with each event from now on, and with whether that happened at this host."""
        self._on_event.append(on_event)

    def put(self, event: LiveEvent, *, is_own: bool = True) -> None:
        """Give the event to every reader, and the facts of it to the log; never waits."""
        for on_event in self._on_event:
            on_event(event, is_own)
        if self._ended:
            return
        _log_event(event)
        self._ring.append(event)
        self._count += 1
        self._wake()

    def end(self) -> None:
        """End every reader, also later ones."""
        self._ended = True
        self._wake()

    def check_room(self, person_id: str = "", *, is_owner: bool = True) -> None:
        """Raise Overloaded when too many are reading: who is no owner has a quarter, all of them three quarters."""
        room = self._max_listeners if is_owner else self._max_listeners * 3 // 4
        theirs = self._of[person_behind(person_id)]
        if self.listeners >= room or (not is_owner and theirs >= max(1, self._max_listeners // 4)):
            text = f"{self.listeners} streams of live events are open already, {theirs} of them of this person"
            raise Overloaded(text, next_step="close one of them")

    @property
    def last(self) -> int:
        return self._count

    def place(self, last_event_id: str | None) -> tuple[int, LostEvents | None]:
        """Where a reader with this `Last-Event-ID` begins, and the gap that it is told of first. After an earlier run
        of this host that is this run's first event; an id that this host does not know begins now."""
        if not last_event_id:
            return self.last, None
        match = _ID.fullmatch(last_event_id)
        run, number = ("", 0) if match is None else (match[1], int(match[2]))
        if run == self.run and number <= self.last:
            return number, None
        earlier = run not in ("", self.run) and run.startswith(self._origin)
        after = 0 if earlier else self.last
        return after, LostEvents(None, after)

    async def read(
        self,
        after: int,
        keepalive_s: float,
        pins: LivePins | None = None,
        boards: Sequence[str] = (),
        person_id: str = "",
    ) -> AsyncGenerator[NumberedEvent | LostEvents | EdgeNews | None, None]:
        """Events after this number; LostEvents where the ring was too short, None after `keepalive_s` without any. The
        edges of `boards` (ids) come between them."""
        news, person = asyncio.Event(), person_behind(person_id)
        with nullcontext() if pins is None or not boards else pins.watching(boards, news.set) as edges:
            self.listeners += 1
            self._of[person] += 1
            self._news.add(news)
            try:
                while True:
                    news.clear()
                    oldest = self._count - len(self._ring)
                    if after < oldest:
                        yield LostEvents(oldest - after, oldest)
                        after = oldest
                    for event in tuple(islice(self._ring, after - oldest, None)):
                        after += 1
                        yield NumberedEvent(after, event)
                    for counted in () if edges is None else edges.take():
                        yield counted
                    if after < self._count:
                        continue
                    if self._ended:
                        return
                    try:
                        async with asyncio.timeout(keepalive_s):
                            await news.wait()
                    except TimeoutError:
                        yield None
            finally:
                self.listeners -= 1
                self._of[person] -= 1
                self._news.discard(news)

    def _wake(self) -> None:
        for news in self._news:
            news.set()


def _log_event(event: LiveEvent) -> None:
    """One line with the facts that are fit for a log: no text that a device or its program wrote."""
    if isinstance(event, DeviceLog | Published):
        return
    level = logging.WARNING if isinstance(event, Alarm) else logging.INFO
    names = (field.name for field in fields(event) if field.name not in _NOT_LOGGED)
    _log.log(level, event.kind, extra={_FACTS.get(name, name): getattr(event, name) for name in names})


MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
MAX_ID_CHARS = 64
LOST = "lost"
KINDS = frozenset({LOST, *(kind.kind for kind in LIVE_EVENTS)})
"""What `kind` may name. `lost` comes whatever it names."""
_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class EventService:
    live: LiveFeed
    people: Roles
    pins: LivePins
    keepalive_s: float


@by_hand("event.stream", http="GET /v1/events", access=Access.LOOK, media=MEDIA_TYPE)
async def events(
    service: EventService,
    asked: Asked,
    device: Annotated[str | None, Meta(max_length=64, description="Only this device's.")] = None,
    kind: Annotated[list[str], Meta(max_length=16, description="Only these kinds.")] = [],  # noqa: B006
    edges: Annotated[list[str], Meta(max_length=MAX_BOARDS, description="Also the edges of these.")] = [],  # noqa: B006
) -> Response:
    """Live events, as Server-Sent Events; after `Last-Event-ID` if that is still there, `lost` comes first if not."""
    unknown = sorted(set(kind) - KINDS)
    if unknown:
        raise ConfigError(
            f"there is no kind of event {unknown[0]!r}", next_step=f"ask for any of {', '.join(sorted(KINDS))}"
        )
    feed, roles, by = service.live, service.people, asked.by
    person = roles.get(by.person_id)
    feed.check_room(by.person_id, is_owner=person is not None and person.role == "owner")
    after, gap = feed.place(asked.request.headers.get("last-event-id", "")[:MAX_ID_CHARS])
    stream = event_stream(
        feed,
        after,
        service.keepalive_s,
        device,
        frozenset(kind or KINDS),
        partial(may_see, roles, by.person_id),
        service.pins,
        service.pins.check(list(dict.fromkeys(edges))),
        by.person_id,
        gap,
    )
    if asked.request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE)
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def may_see(roles: Roles, person_id: str, event: LiveEvent) -> bool:
    """Tasks and questions are told as /v1/tasks and /v1/approvals list them: owners see all, others their own."""
    if not isinstance(event, TaskChanged | ApprovalChanged):
        return True
    person = roles.get(person_id)
    if person is None or (isinstance(event, ApprovalChanged) and person.role == "read-only"):
        return False
    return seen_by(roles, person_id) in (None, event.person_id)


async def event_stream(
    feed: LiveFeed,
    after: int,
    keepalive_s: float,
    device: str | None,
    kinds: frozenset[str],
    sees: Callable[[LiveEvent], bool] = lambda _event: True,
    pins: LivePins | None = None,
    boards: Sequence[str] = (),
    person_id: str = "",
    gap: LostEvents | None = None,
) -> AsyncGenerator[str, None]:
    """The body of the answer: events of these kinds, of this device or of any, and the edges of `boards` (ids). `gap`
    is told first."""
    yield f"retry: {RETRY_MS}\n\n"  # at once, so that the reader knows that it is heard
    if gap is not None:
        yield _lost_text(feed.run, gap)
    async with aclosing(feed.read(after, keepalive_s, pins, boards, person_id)) as events:
        async for each in events:
            match each:
                case None:
                    yield ": nothing new\n\n"
                case LostEvents():
                    yield _lost_text(feed.run, each)
                case EdgeNews():
                    yield _edges_text(each)
                case NumberedEvent(event=event):
                    if event.kind in kinds and device in (None, event.device) and sees(event):
                        yield event_text(feed.run, each)
                case _:
                    assert_never(each)


def event_text(run: str, numbered: NumberedEvent) -> str:
    """One event of the stream: its id, its kind, its facts as one line of JSON."""
    event = numbered.event
    value = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in _NOT_TOLD}
    data = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return f"id: {run}-{numbered.number}\nevent: {event.kind}\ndata: {data}\n\n"


def _lost_text(run: str, lost: LostEvents) -> str:
    """With an id, so that who comes back after it is not told of the same gap again."""
    return f'id: {run}-{lost.after}\nevent: {LOST}\ndata: {{"count":{json.dumps(lost.count)}}}\n\n'


def _edges_text(news: EdgeNews) -> str:
    """Without an id: what a reader missed of it, it reads with GET /v1/devices/{name}/edges."""
    return f"event: edges\ndata: {json.dumps(news.to_json(), separators=(',', ':'))}\n\n"
