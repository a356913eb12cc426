"""Live events of one host at the others, over a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from tests.cluster.nats_servers import NatsServer
from tests.cluster.two_hosts import wire_to
from tests.link_server.conftest import Published

from microclaw.cluster.connection import Cluster, connected
from microclaw.cluster.live_events import MAX_WAITING, LiveEvents
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.events import LIVE_EVENTS, Alarm, DeviceEvent, LiveEvent


@asynccontextmanager
async def _host(url: str, cluster: str, host_id: str) -> AsyncIterator[tuple[LiveEvents, Published, Cluster]]:
    async with connected(ClusterSettings(nats=url, name=cluster), name=host_id) as connection:
        got = Published()
        events = LiveEvents(connection, host_id, got.add)
        async with events.serving():
            yield events, got, connection


def _example(kind: type[LiveEvent]) -> LiveEvent:
    values: dict[Any, Any] = {str: "é", int: 7, bool: True}
    hints = get_type_hints(kind)
    return kind(**{field.name: values.get(hints[field.name], "info") for field in fields(kind)})


async def test_every_kind_of_event_comes_to_the_other_host_and_not_back(
    nats_server: NatsServer, cluster_name: str
) -> None:
    told = [_example(kind) for kind in LIVE_EVENTS]
    last = Alarm("", 1, "last", "")
    async with (
        _host(nats_server.url, cluster_name, "a") as (first, own, _),
        _host(nats_server.url, cluster_name, "b") as (second, got, _),
    ):
        for event in told:
            first.share(event)
        first.share(last)
        while await got.until(LiveEvent) != last:
            pass
        second.share(last)
        assert await own.until(LiveEvent) == last
        assert not own
        assert (first.sent, second.taken, first.taken, first.dropped) == (len(told) + 1, len(told) + 1, 1, 0)


async def test_events_keep_their_order(nats_server: NatsServer, cluster_name: str) -> None:
    async with (
        _host(nats_server.url, cluster_name, "a") as (first, _, _),
        _host(nats_server.url, cluster_name, "b") as (_, got, _),
    ):
        for n in range(1000):
            first.share(DeviceEvent("lamp", n, "said"))
        assert [(await got.until(DeviceEvent)).at_ms for _ in range(1000)] == list(range(1000))


async def test_while_nats_is_away_the_newest_are_kept_and_the_others_counted(
    nats_server: NatsServer, cluster_name: str
) -> None:
    async with (
        wire_to(nats_server.port) as wire,
        _host(wire.url, cluster_name, "a") as (first, _, connection),
        _host(nats_server.url, cluster_name, "b") as (_, got, _),
    ):
        wire.cut()
        async with asyncio.timeout(60):
            while connection.connected:  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0.01)
        for n in range(MAX_WAITING + 5):
            first.share(DeviceEvent("lamp", n, "said"))
        await wire.mend()
        assert (await got.until(DeviceEvent)).at_ms == 5
        assert first.dropped == 5


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x92\xa1c\x91\x92\xa4nope\x80", b"\x92\xa1c\x91\x92\xa5alarm\x81\xa6device\x05"]
)
async def test_what_is_no_event_is_counted(nats_server: NatsServer, cluster_name: str, data: bytes) -> None:
    async with (
        _host(nats_server.url, cluster_name, "a") as (first, _, connection),
        _host(nats_server.url, cluster_name, "b") as (second, got, _),
    ):
        await connection.client.publish(f"{connection.prefix}.live", data)
        first.share(Alarm("", 1, "last", ""))
        assert (await got.until(LiveEvent)).code == "last"
        assert (second.refused, second.taken) == (1, 1)
