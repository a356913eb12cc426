"""GET /v1/events: live events as Server-Sent Events (the WHATWG HTML standard's event stream). It makes no events."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict
from starlette.responses import Response

from microclaw.api.by_hand import Asked, by_hand
from microclaw.api.jobs import stream
from microclaw.api.live_pins import MAX_BOARDS, LivePins
from microclaw.auth.people import Roles, is_owner, person_behind
from microclaw.errors import ConfigError, Overloaded
from microclaw.events import LIVE_EVENTS, Alarm, ApprovalChanged, DeviceLog, LiveEvent, Published, TaskChanged
from microclaw.operations.operation import Access

RING_EVENTS = 1_024
MAX_LISTENERS = 16  # a quarter of the connections that the listener takes
_NOT_LOGGED = frozenset({"at_ms", "text", "person_id"})
_NOT_TOLD = frozenset({"person_id"})
_RENAMED = {"name": "what"}  # as a log line has it: a record's own name is its logger's
_log = logging.getLogger("microclaw.live")


class LiveFeed:
    """The last events and their readers. `run` tells this host run from an earlier one; it begins with `origin`, which
    the runs of the other hosts of a cluster do not."""

    def __init__(
        self, run: str, *, origin: str = "", ring_events: int = RING_EVENTS, max_listeners: int = MAX_LISTENERS
    ) -> None:
        self.run = origin + run
        self._origin = origin
        self._ring: deque[LiveEvent] = deque(maxlen=ring_events)
        self.last = 0  # the number of the last event ever
        self._room = max_listeners
        self._readers: dict[asyncio.Event, str] = {}  # what wakes each, and whose it is
        self._ended = False
        self._on_event: list[Callable[[LiveEvent, bool], None]] = []

    @property
    def listeners(self) -> int:
        return len(self._readers)

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
        self.last += 1
        self._wake()

    def end(self) -> None:
        """End every reader, also later ones."""
        self._ended = True
        self._wake()

    def check_room(self, person_id: str = "", *, is_owner: bool = True) -> None:
        """Raise Overloaded when too many are reading: who is no owner has a quarter, all of them three quarters."""
        theirs = list(self._readers.values()).count(person_behind(person_id))
        full = self.listeners >= self._room * (4 if is_owner else 3) // 4
        if full or (not is_owner and theirs >= max(1, self._room // 4)):
            text = f"{self.listeners} streams of live events are open already, {theirs} of them of this person"
            raise Overloaded(text, next_step="close one of them")

    def place(self, last_event_id: str | None) -> tuple[int, bool]:
        """The place where a reader with this `Last-Event-ID` begins, and if a gap comes first. After an earlier run
        of this host that is this run's first event; an id that this host does not know begins now."""
        if not last_event_id:
            return self.last, False
        match = _ID.fullmatch(last_event_id)
        run, number = ("", 0) if match is None else (match[1], int(match[2]))
        if run == self.run and number <= self.last:
            return number, False
        earlier = run not in ("", self.run) and run.startswith(self._origin)
        return 0 if earlier else self.last, True

    async def read(
        self,
        after: int,
        sees: Callable[[LiveEvent], bool] = lambda _event: True,
        *,
        gap: bool = False,
        pins: LivePins | None = None,
        boards: Sequence[str] = (),
        person_id: str = "",
    ) -> AsyncGenerator[str, None]:
        """The event stream after this number; `lost` where the ring was too short, and first for a `gap`. The edges of
        `boards` (ids) come between the events."""
        news = asyncio.Event()
        with nullcontext() if pins is None or not boards else pins.watching(boards, news.set) as edges:
            self._readers[news] = person_behind(person_id)
            try:
                yield f"retry: {RETRY_MS}\n\n"  # at once, so that the reader knows that it is heard
                if gap:
                    yield _block(LOST, {"count": None}, f"{self.run}-{after}")
                while True:
                    news.clear()
                    oldest = self.last - len(self._ring)
                    if after < oldest:  # with an id, so that who comes back after it is not told of the same gap again
                        yield _block(LOST, {"count": oldest - after}, f"{self.run}-{oldest}")
                        after = oldest
                    for event in tuple(islice(self._ring, after - oldest, None)):
                        after += 1
                        if sees(event):
                            yield _block(event.kind, _facts(event, _NOT_TOLD), f"{self.run}-{after}")
                    for counted in () if edges is None else edges.take():
                        yield _block("edges", counted)  # no id: GET /v1/devices/{name}/edges has what is missed
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
    """One event of the stream: its id, its kind, its facts as one line of JSON."""
    if number:
        identity = f"id: {number}\n"
    else:
        identity = ""
    return f"{identity}event: {kind}\ndata: {json.dumps(facts, separators=(',', ':'))}\n\n"


def _facts(event: LiveEvent, without: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in asdict(event).items() if name not in without}


def _log_event(event: LiveEvent) -> None:
    """One line with the facts that are fit for a log: no text that a device or its program wrote."""
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
"""What `kind` may name. `lost` comes whatever it names."""
_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})")


class EventService(Struct, frozen=True):
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
    feed = service.live
    roles = service.people
    by = asked.by
    wanted = frozenset(kind or KINDS)
    feed.check_room(by.person_id, is_owner=is_owner(roles, by.person_id))
    boards = service.pins.check(list(dict.fromkeys(edges)))
    if asked.request.method == "HEAD":
        return Response(media_type=MEDIA_TYPE)
    after, gap = feed.place(asked.request.headers.get("last-event-id", "")[:MAX_ID_CHARS])

    def sees(event: LiveEvent) -> bool:
        return event.kind in wanted and device in (None, event.device) and may_see(roles, by.person_id, event)

    found = feed.read(after, sees, gap=gap, pins=service.pins, boards=boards, person_id=by.person_id)
    return stream(found, str.encode, service.keepalive_s, b": nothing new\n\n", MEDIA_TYPE)


def may_see(roles: Roles, person_id: str, event: LiveEvent) -> bool:
    """Tasks and questions are told as /v1/tasks and /v1/approvals list them: owners see all, others their own."""
    if not isinstance(event, TaskChanged | ApprovalChanged):
        return True
    person = roles.get(person_id)
    if person is None or (isinstance(event, ApprovalChanged) and person.role == "read-only"):
        return False
    return person.role == "owner" or event.person_id == person_id
