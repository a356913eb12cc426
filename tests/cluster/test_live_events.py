"""Live events of one host at the others, over a real NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from microclaw.cluster.connection import Cluster, connected
from tests.cluster.nats_servers import NatsServer
from tests.link_server.conftest import Published
from tests.store.two_hosts import MemoryLog, two_hosts
from tests.store.two_hosts import until as until_there

from microclaw.app.mqtt import ChangesElsewhere
from microclaw.cluster.live_events import LiveEvents
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.events import LIVE_EVENTS, Alarm, LiveEvent
from microclaw.store.apps import AppTable, NewChange


@asynccontextmanager
async def _host(url: str, cluster: str, host_id: str) -> AsyncIterator[tuple[LiveEvents, Published, Cluster]]:
    async with connected(ClusterSettings(nats=url, name=cluster), name=host_id) as connection:
        got = Published()
        events = LiveEvents(connection, host_id, got.add)
        async with events.serving():
            await connection.client.flush()  # the server knows the subscription
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


async def test_devices_that_another_host_changed_are_published_at_once(tmp_path: Path) -> None:
    changed: list[str] = []
    async with two_hosts(tmp_path, MemoryLog()) as (here, there):
        here.follow(("changes",), ChangesElsewhere(AppTable(here), changed.append).look)
        table = AppTable(there)
        new = NewChange(1, "d-1", "app.start", "start blink", "{}", None)
        change_id = await table.add_change(new)
        await until_there(lambda: changed == ["d-1"])
        await table.settle_change(change_id, "done")
        await until_there(lambda: changed == ["d-1", "d-1"])
        await table.add_change(replace(new, device_id="d-2"))
        await until_there(lambda: changed == ["d-1", "d-1", "d-2"])
