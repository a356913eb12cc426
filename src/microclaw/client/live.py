"""Live events of a host (Server-Sent Events), connected again where it went away. It makes no events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final, Self

from microclaw.backoff import Backoff
from microclaw.client.calls import Group, HostCalls
from microclaw.client.request import Query
from microclaw.errors import NoHost, ProtocolError
from microclaw.wire.host_api import JsonObject

RECONNECT_S: Final = 300.0
MAX_EVENT_BYTES: Final = 4 << 20
_MIN_WAIT_S: Final = 0.5
_MAX_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """`kind` as in docs/observability.md, "edges" of a board that is watched, or "lost": so many were missed."""

    kind: str
    data: JsonObject
    event_id: str | None = None


class Live(Group):
    """`client.live`"""

    def __init__(self, host: HostCalls) -> None:
        super().__init__(host)
        self._open: list[EventStream] = []

    def events(
        self,
        kinds: Sequence[str] = (),
        *,
        device: str | None = None,
        edges: Sequence[str] = (),
        reconnect_s: float = RECONNECT_S,
    ) -> EventStream:
        """Events from now on: of these kinds, of one device, with the edges of these devices.

        It connects with the first event that is asked for. A host that goes away later is asked again for
        `reconnect_s`, then NoHost is raised; events that it still has are told when it is back.
        """
        stream = EventStream(self._host, {"kind": list(kinds), "device": device, "edges": list(edges)}, reconnect_s)
        self._open = [*(one for one in self._open if not one.closed), stream]
        return stream

    def close(self) -> None:
        """End every stream."""
        for stream in self._open:
            stream.close()


class EventStream:
    """`with client.live.events() as events: for event in events: ...`, which waits for the next one each time.

    `close` ends it, also from another thread: within the host's next sign of life.
    """

    def __init__(self, host: HostCalls, query: Query, reconnect_s: float) -> None:
        self._host = host
        self._query = query
        self._reconnect_s = reconnect_s
        self._last_id: str | None = None
        self._ended = threading.Event()
        self._events = self._all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[LiveEvent]:
        return self._events

    @property
    def closed(self) -> bool:
        return self._ended.is_set()

    def close(self) -> None:
        self._ended.set()
        with suppress(ValueError):  # another thread waits in it, and ends it
            self._events.close()

    def _all(self) -> Generator[LiveEvent, None, None]:
        backoff, lost_since = Backoff(min_s=_MIN_WAIT_S, max_s=_MAX_WAIT_S), time.monotonic() - self._reconnect_s
        while not self.closed:
            is_there = False
            try:
                with closing(self._host.events(self._query, self._last_id)) as lines:
                    for event in self._read(lines):
                        backoff.succeeded()
                        is_there = True
                        if event is not None:
                            yield event
            except NoHost:
                if not is_there and time.monotonic() - lost_since >= self._reconnect_s:
                    raise
            if is_there:
                lost_since = time.monotonic()
            self._ended.wait(backoff.next_wait_s())

    def _read(self, lines: Iterator[bytes]) -> Iterator[LiveEvent | None]:
        """The events of one connection; None is a sign of life. (WHATWG HTML, 9.2.6, as far as this host uses it.)"""
        kind, event_id, data = "", None, b""
        for line in lines:
            if self.closed:
                return
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match name:
                case b"" if not line:
                    if data:
                        self._last_id = event_id or self._last_id
                        yield LiveEvent(kind or "message", _object(data), event_id)
                    kind, event_id, data = "", None, b""
                case b"event":
                    kind = value.decode("utf-8", "replace")
                case b"id":
                    event_id = value.decode("utf-8", "replace")
                case b"data":
                    data += value
                    if len(data) > MAX_EVENT_BYTES:
                        raise ProtocolError(f"the host sent an event of more than {MAX_EVENT_BYTES:,} bytes")
                case _:
                    yield None


def _object(data: bytes) -> JsonObject:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError("the host sent an event that is not JSON", next_step="is this a microclaw host?") from exc
    if not isinstance(value, dict):
        raise ProtocolError(f"the host sent an event that is {type(value).__name__}, an object was expected")
    return value
