"""What happens at one host is told at all: live events over `mc.<cluster>.live`. They are news, nothing durable.

Who publishes never waits. While NATS is away the newest are kept, and the others counted as dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microclaw.cluster.connection import OUTAGES, Cluster, check_cancelled, subscribed
from microclaw.cluster.forms import as_array, check_form
from microclaw.errors import ProtocolError
from microclaw.events import LIVE_EVENTS, LiveEvent, LiveKind
from microclaw.text import clean_text

if TYPE_CHECKING:
    from nats.aio.msg import Msg

MAX_WAITING: Final = 1_024  # as many as a page's stream keeps
MAX_A_MESSAGE: Final = 128  # an event is a few KB at most, a message of NATS 1 MiB
RETRY_S: Final = 0.25
MAX_TEXT: Final = 16_384  # characters
MAX_NUMBER: Final = 1 << 53
MAX_AT_MS: Final = 253_402_300_800_000  # the year 10000
_KINDS: Final[dict[str, LiveKind]] = {kind.kind: kind for kind in LIVE_EVENTS}

_log = logging.getLogger(__name__)


class _News(msgspec.Struct, frozen=True, array_like=True):
    """Events of one host, each with its kind."""

    host: str
    events: list[tuple[str, msgspec.Raw]]
    form: int = 1


class LiveEvents:
    """`deliver` gets the events of other hosts; this host's own are delivered by who publishes them.

    `refused` counts what could not be read: an event of a newer host, or no event at all.
    """

    def __init__(self, cluster: Cluster, host_id: str, deliver: Callable[[LiveEvent], None]) -> None:
        self._cluster = cluster
        self._host_id = host_id
        self._deliver = deliver
        self._subject = f"{cluster.prefix}.live"
        self._waiting: deque[LiveEvent] = deque()
        self._news = asyncio.Event()
        self.sent = 0
        self.taken = 0
        self.dropped = 0
        self.refused = 0

    def share(self, event: LiveEvent) -> None:
        """Tell the other hosts, soon; the oldest that wait give way."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)
        self._news.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Inside, events go out and come in."""
        async with subscribed(self._cluster, self._subject, self._took):
            sending = asyncio.create_task(self._send(), name="cluster: live events")
            try:
                yield
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                check_cancelled()
                if not await self._send_some():
                    await asyncio.sleep(RETRY_S)

    async def _send_some(self) -> bool:
        """Whether the oldest that wait are on their way."""
        if not self._cluster.connected:
            return False
        events = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_A_MESSAGE))]
        told = [(event.kind, msgspec.Raw(_encoder.encode(event))) for event in events]
        try:
            await self._cluster.client.publish(self._subject, as_array(_News(self._host_id, told)))
        except OUTAGES as exc:
            self.dropped += len(events)
            _log.info("%d live events are not told to the other hosts: %s", len(events), exc)
            return False
        self.sent += len(events)
        return True

    async def _took(self, message: Msg) -> None:
        try:
            news = _decoder.decode(message.data)
            check_form(news, "live events")
        except (msgspec.DecodeError, RecursionError, ProtocolError) as exc:
            self.refused += 1
            _log.debug("live events of another host that cannot be read: %s", exc)
            return
        if news.host != self._host_id:
            for kind, data in news.events:
                self._take(kind, data)

    def _take(self, kind: str, data: msgspec.Raw) -> None:
        event_kind = _KINDS.get(kind)
        try:
            event = None if event_kind is None else _checked(msgspec.msgpack.decode(data, type=event_kind))
        except (msgspec.DecodeError, RecursionError) as exc:
            _log.debug("a live event %s of another host that cannot be read: %s", kind, exc)
            event = None
        if event is None:
            self.refused += 1
            return
        self.taken += 1
        self._deliver(event)


def _checked(event: LiveEvent) -> LiveEvent | None:
    """With texts that are safe to show; None for numbers that no host tells."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if any(isinstance(value, int) and not -MAX_NUMBER <= value <= MAX_NUMBER for value in values.values()):
        return None
    if not 0 <= event.at_ms <= MAX_AT_MS:
        return None
    texts: dict[str, Any] = {name: value for name, value in values.items() if isinstance(value, str)}
    safe: dict[str, Any] = {
        name: clean_text(value[:MAX_TEXT], one_line=name != "text") for name, value in texts.items()
    }
    return event if safe == texts else replace(event, **safe)


_encoder: Final[Any] = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_News)
