"""GET /v1/events: live events as Server-Sent Events (the WHATWG HTML standard's event stream). It makes no events."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from functools import partial
from itertools import islice
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict
from starlette.responses import Response

from microclaw.errors import ConfigError, Overloaded
from microclaw.events import (
    LIVE_EVENTS,
    Alarm,
    ApprovalChanged,
    ChatChanged,
    DeviceLog,
    LiveEvent,
    Published,
    TaskChanged,
)
from microclaw.host.auth.people import Roles, is_owner
from microclaw.host.operations.forms import HttpAnswer
from microclaw.host.operations.operation import Access
from microclaw.host.store.people import person_behind
from microclaw.interfaces.api.custom_routes import RouteRequest, custom_route
from microclaw.interfaces.api.jobs import stream
from microclaw.interfaces.api.live_pins import MAX_BENCHES, MAX_BOARDS, LivePins, WatchBoards, watch_nothing

RING_EVENTS = 1_024
# A quarter of the connections that the listener takes.
MAX_LISTENERS = 16
_NOT_LOGGED = frozenset({"at_ms", "text", "person_id"})
_NOT_SENT = frozenset({"person_id"})
# The name of a log record is its logger's, so a field of an event cannot have it.
_RENAMED = {"name": "what"}
_log = logging.getLogger("microclaw.live")


class LiveFeed:
    """The last events and their readers.

    `run` is different for each run of this host; it begins with `origin`, which the other hosts of a cluster do not
    share.
    """

    def __init__(
        self, run: str, *, origin: str = "", ring_events: int = RING_EVENTS, max_listeners: int = MAX_LISTENERS
    ) -> None:
        self.run = origin + run
        self._origin = origin
        self._ring: deque[LiveEvent] = deque(maxlen=ring_events)
        # The number of the last event of this run.
        self.last = 0
        self._room = max_listeners
        # The event that wakes each reader, and the reader's person.
        self._readers: dict[asyncio.Event, str] = {}
        self._ended = False
        self._on_event: list[Callable[[LiveEvent, bool], None]] = []

    @property
    def listeners(self) -> int:
        return len(self._readers)

    def listen(self, on_event: Callable[[LiveEvent, bool], None]) -> None:
        """Call `on_event` with each event from now on, and with whether it happened at this host."""
        self._on_event.append(on_event)

    def put(self, event: LiveEvent, *, is_own: bool = True) -> None:
        """Give the event to every reader, and its facts to the log; never waits."""
        for on_event in self._on_event:
            on_event(event, is_own)
        if self._ended:
            return
        _log_event(event)
        self._ring.append(event)
        self.last += 1
        self._wake()

    def end(self) -> None:
        """End every reader, also later ones."""
        self._ended = True
        self._wake()

    def check_room(self, person_id: str = "", *, is_owner: bool = True) -> None:
        """Raise Overloaded if too many are reading.

        A person who is not an owner may have a quarter of the readers, and all of them together three quarters.
        """
        own_count = list(self._readers.values()).count(person_behind(person_id))
        if is_owner:
            is_full = self.listeners >= self._room
        else:
            is_full = self.listeners >= self._room * 3 // 4 or own_count >= max(1, self._room // 4)
        if is_full:
            text = f"{self.listeners} streams of live events are open already, {own_count} of them of this person"
            raise Overloaded(text, next_step="close one of them")

    def place(self, last_event_id: str | None) -> tuple[int, bool]:
        """Return where a reader with this `Last-Event-ID` begins, and whether events are missing before.

        With an id of an earlier run of this host it begins with this run's first event; with an unknown id it begins
        now.
        """
        if not last_event_id:
            return self.last, False
        match = _ID.fullmatch(last_event_id)
        if match is None:
            return self.last, True
        run = match[1]
        number = int(match[2])
        if run == self.run and number <= self.last:
            return number, False
        is_earlier_run = run != self.run and run.startswith(self._origin)
        return 0 if is_earlier_run else self.last, True

    async def read(
        self,
        after: int,
        sees: Callable[[LiveEvent], bool] = lambda _event: True,
        *,
        gap: bool = False,
        watch: WatchBoards = watch_nothing,
        person_id: str = "",
    ) -> AsyncGenerator[str, None]:
        """Yield the event stream after this number; what `watch` has of boards comes between the events.

        `lost` comes if the ring was too short, and first if there is a `gap`.
        """
        news = asyncio.Event()
        with watch(news.set) as board_news:
            self._readers[news] = person_behind(person_id)
            try:
                # It is sent at once, so that the client knows that it is connected.
                yield f"retry: {RETRY_MS}\n\n"
                if gap:
                    yield _block(LOST, {"count": None}, f"{self.run}-{after}")
                while True:
                    news.clear()
                    oldest = self.last - len(self._ring)
                    if after < oldest:
                        # It has an id, so that a client that returns after it does not get the same gap again.
                        yield _block(LOST, {"count": oldest - after}, f"{self.run}-{oldest}")
                        after = oldest
                    for event in tuple(islice(self._ring, after - oldest, None)):
                        after += 1
                        if sees(event):
                            yield _block(event.kind, _facts(event, _NOT_SENT), f"{self.run}-{after}")
                    # These have no id: a client reads missed ones from GET /v1/devices/{name}/edges, or bench.
                    for board_kind, facts in board_news.take():
                        yield _block(board_kind, facts)
                    if after < self.last:
                        continue
                    if self._ended:
                        return
                    await news.wait()
            finally:
                del self._readers[news]

    def _wake(self) -> None:
        for news in self._readers:
            news.set()


def _block(kind: str, facts: Mapping[str, Any], number: str = "") -> str:
    """Return one event of the stream: its id, its kind, its facts as one line of JSON."""
    data = json.dumps(facts, separators=(",", ":"))
    block = f"event: {kind}\ndata: {data}\n\n"
    if number:
        return f"id: {number}\n{block}"
    return block


def _facts(event: LiveEvent, without: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in asdict(event).items() if name not in without}


def _log_event(event: LiveEvent) -> None:
    """Log the facts of the event, but no text that a device or its program wrote."""
    if isinstance(event, DeviceLog | Published):
        return
    level = logging.WARNING if isinstance(event, Alarm) else logging.INFO
    facts = _facts(event, _NOT_LOGGED)
    _log.log(level, event.kind, extra={_RENAMED.get(name, name): value for name, value in facts.items()})


MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
MAX_ID_CHARS = 64
LOST = "lost"
KINDS = frozenset({LOST, *(kind.kind for kind in LIVE_EVENTS)})
"""The values of `kind`. `lost` comes even if it is not among them."""
_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})")


class EventService(Struct, frozen=True):
    live: LiveFeed
    people: Roles
    pins: LivePins
    keepalive_s: float


@custom_route("event.stream", http="GET /v1/events", access=Access.LOOK, answer=HttpAnswer(media=MEDIA_TYPE))
async def events(
    service: EventService,
    asked: RouteRequest,
    *,
    device: Annotated[str | None, Meta(max_length=64, description="Only this device's.")] = None,
    kind: Annotated[list[str], Meta(max_length=16, description="Only these kinds.")] = [],  # noqa: B006
    edges: Annotated[list[str], Meta(max_length=MAX_BOARDS, description="Also the edges of these.")] = [],  # noqa: B006
    bench: Annotated[list[str], Meta(max_length=MAX_BENCHES, description="Also the parts of these.")] = [],  # noqa: B006
) -> Response:
    """Stream live events as Server-Sent Events after `Last-Event-ID`; `lost` comes first if some are missing."""
    unknown_kinds = sorted(set(kind) - KINDS)
    if unknown_kinds:
        step = f"ask for any of {', '.join(sorted(KINDS))}"
        raise ConfigError(f"there is no kind of event {unknown_kinds[0]!r}", next_step=step)
    feed = service.live
    roles = service.people
    by = asked.by
    kinds = frozenset(kind or KINDS)
    feed.check_room(by.person_id, is_owner=is_owner(roles, by.person_id))
    boards = service.pins.check(list(dict.fromkeys(edges)))
    benches = service.pins.find(list(dict.fromkeys(bench)))
    if asked.request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE)
    after, gap = feed.place(asked.request.headers.get("last-event-id", "")[:MAX_ID_CHARS])

    def sees(event: LiveEvent) -> bool:
        return event.kind in kinds and device in (None, event.device) and may_see(roles, by.person_id, event)

    watch = partial(service.pins.watch, boards, benches)
    blocks = feed.read(after, sees, gap=gap, watch=watch, person_id=by.person_id)
    return stream(blocks, str.encode, service.keepalive_s, keepalive=b": nothing new\n\n", media_type=MEDIA_TYPE)


def may_see(roles: Roles, person_id: str, event: LiveEvent) -> bool:
    """Return True if the person may see the event.

    Tasks and questions are shown as in /v1/tasks and /v1/approvals: owners see all, others their own. A conversation is
    its person's.
    """
    if isinstance(event, ChatChanged):
        return event.person_id == person_id
    if not isinstance(event, TaskChanged | ApprovalChanged):
        return True
    person = roles.get(person_id)
    if person is None or (isinstance(event, ApprovalChanged) and person.role == "read-only"):
        return False
    return person.role == "owner" or event.person_id == person_id
