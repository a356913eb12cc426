"""A device's messages over the link go to the broker's buffer, too: an event in the transaction that keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from microclaw.store.mqtt import BufferedMessage, MqttBuffer
from microclaw.telemetry.mqtt_feed import HOST_EVENTS, MqttFeed
from microclaw.wire.link.messages import Event
from microclaw.wire.link.values import ValueMap


@pytest.fixture
async def feed(plane: Any) -> MqttFeed:
    made, parts = MqttFeed(MqttBuffer(plane.database)), plane.links.parts.reports
    parts.keep_event, parts.pass_event, parts.pass_telemetry = made.keep_event, made.news.set, made.take_telemetry
    return made


async def buffered(plane: Any) -> list[BufferedMessage]:
    return list(await MqttBuffer(plane.database).after(0, 100))


async def test_an_event_is_in_the_buffer_once_cleaned_and_never_in_the_hosts_name(
    plane: Any, paired: Any, feed: MqttFeed
) -> None:
    data: ValueMap = {
        "pin": 0,
        "raw": b"\xff",
        "levels": [1, {"a": 1.5}],
        "t\u200be": ["x\u202ey\x1b[31m", {"k": "\u2066z"}],
    }
    forged = [*sorted(HOST_EVENTS), "MQTT.Command", " alarm\u200b", "\u0430larm", "device. left"]
    async with paired.connected():
        await paired.until_ready()
        for name in (*forged, "but\u202eton"):
            feed.news.clear()
            await paired.send(Event(name, data))
            await feed.news.wait()
        rows = await buffered(plane)
    assert {(row.kind, row.topic) for row in rows} == {("event", "lamp/event")}
    bodies = [json.loads(row.payload) for row in rows]
    names = [body["name"] for body in bodies]
    assert {"device.connected", "alarm", "app.ended", "mqtt.command"} <= HOST_EVENTS
    assert all(name.startswith("board.") for name in names[:-1])
    assert names[-5:] == ["board.MQTT.Command", "board.alarm", "board.\u0430larm", "board.device. left", "button"]
    assert bodies[-1]["data"] == {"pin": 0, "raw": "ff", "levels": [1, {"a": 1.5}], "te": ["xy", {"k": "z"}]}
    assert (len(bodies[-1]["id"]), bodies[-1]["at_ms"] > 0) == (32, True)


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
