"""What a device sends over the link goes to the broker's buffer, too: an event in the transaction that keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from microclaw.store.mqtt import BufferedMessage, MqttBuffer
from microclaw.telemetry.mqtt_feed import MqttFeed
from microclaw.wire.link.messages import AppState, Event, Telemetry


@pytest.fixture
async def feed(plane: Any) -> MqttFeed:
    made, parts = MqttFeed(MqttBuffer(plane.database)), plane.links.parts.reports
    parts.keep_event, parts.pass_event, parts.pass_telemetry = made.keep_event, made.kept, made.take_telemetry
    return made


async def buffered(plane: Any) -> list[BufferedMessage]:
    return list(await MqttBuffer(plane.database).after(0, 100))


async def test_event_that_is_acked_is_in_the_buffer_once(plane: Any, paired: Any, feed: MqttFeed) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Event("button", {"pin": 0, "raw": b"\xff", "levels": [1, {"a": 1.5}]}))
        await feed.news.wait()
        rows = await buffered(plane)
    assert [(row.kind, row.topic) for row in rows] == [("event", "lamp/event")]
    body = json.loads(rows[0].payload)
    assert body["name"] == "button"
    assert body["data"] == {"pin": 0, "raw": "ff", "levels": [1, {"a": 1.5}]}
    assert len(body["id"]) == 32
    assert body["at_ms"] > 0


async def test_event_that_the_store_refuses_is_not_in_the_buffer(plane: Any, paired: Any, feed: MqttFeed) -> None:
    """One transaction: where keeping the event fails, nothing of it is published, and it comes again."""
    keep = plane.links.parts.reports.keep_event
    assert keep is not None
    failed: list[str] = []

    def fails_once(*arguments: Any) -> None:
        keep(*arguments)
        if not failed:
            failed.append("once")
            raise OSError("the disk is full")

    plane.links.parts.reports.keep_event = fails_once
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Event("button", {}))
        await paired.until_closed()
    assert failed
    assert await buffered(plane) == []
    async with paired.connected():
        await feed.news.wait()
        assert len(await buffered(plane)) == 1


async def test_telemetry_is_taken_with_the_device_s_name(plane: Any, paired: Any, feed: MqttFeed) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Telemetry(free_heap=1_000, uptime_s=5, apps=(AppState("blink", "running"),), rssi=-60))
        await paired.send(Event("after", {}))
        await feed.news.wait()
    assert feed.waiting == 1
    feed.take_telemetry("other", Telemetry(free_heap=1, uptime_s=1, apps=()), 7)
    await feed._write()
    rows = [row for row in await buffered(plane) if row.kind == "telemetry"]
    assert [row.topic for row in rows] == ["lamp/telemetry", "other/telemetry"]
    assert json.loads(rows[0].payload).items() >= {"free_heap": 1_000, "uptime_s": 5, "rssi": -60}.items()
