"""Live events of one host at the others, over HTTPS between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import fields
from typing import Any, get_type_hints

import msgspec
from tests.cluster.two_hosts import ClusterHost
from tests.link_server.conftest import Published
from tests.store.two_hosts import until

from microclaw.cluster.live_events import MAX_WAITING, LiveEvents
from microclaw.events import LIVE_EVENTS, Alarm, LiveEvent

LAST = Alarm("", 1, "last", "")
WRONG = (b"", b"\xc1", b"\x92\xa4nope\x80", b"\x92\xa5alarm\x81\xa6device\x05")  # no event, a newer one's, half of one


def _example(kind: type[LiveEvent]) -> LiveEvent:
    values: dict[Any, Any] = {str: "é", int: 7, bool: True}
    hints = get_type_hints(kind)
    return kind(**{field.name: values.get(hints[field.name], "info") for field in fields(kind)})


async def test_every_kind_of_event_comes_to_the_other_host_and_not_back(east: ClusterHost, west: ClusterHost) -> None:
    told = [_example(kind) for kind in LIVE_EVENTS]
    own, got = Published(), Published()
    first, second = (LiveEvents(host.requests, host.hosts, events.add) for host, events in ((east, own), (west, got)))
    async with first.serving(), second.serving():
        await until(lambda: first._readers and second._readers)
        for event in (*told, LAST):
            first.share(event)
        while await got.until(LiveEvent) != LAST:
            pass
        second.share(LAST)
        assert await own.until(LiveEvent) == LAST
        assert not own
        assert (first.sent, second.taken, first.taken, first.dropped) == (len(told) + 1, len(told) + 1, 1, 0)
        for _ in range(MAX_WAITING + 5):  # in one go: nobody reads meanwhile
            first.share(LAST)
        assert first.dropped >= 4
        await until(lambda: second.taken == first.sent - first.dropped)


async def test_what_is_no_event_is_refused_and_counted(east: ClusterHost, west: ClusterHost) -> None:
    async def tell(_body: bytes) -> AsyncGenerator[bytes, None]:
        for data in (*WRONG, b"\x92\xa5alarm" + msgspec.msgpack.encode(LAST)):
            yield data

    east.requests.handlers["live"] = tell
    got = Published()
    events = LiveEvents(west.requests, west.hosts, got.add)
    async with events.serving():
        assert await got.until(LiveEvent) == LAST
        assert events.refused == len(WRONG)
        assert events.taken == 1
