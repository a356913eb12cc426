"""A device's messages as live events, cleaned and bounded, and in the broker's buffer, by one transaction."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.devices.ota.offers import link_of
from microclaw.events import Alarm, AppEnded, DeviceEvent, DeviceLeft, DeviceLog, Published
from microclaw.host.store.mqtt import BufferedMessage, MqttBuffer
from microclaw.interfaces.mqtt.feed import HOST_EVENTS, MqttFeed
from microclaw.wire.link.messages import Bye, Event, Log, Telemetry
from microclaw.wire.link.values import ValueMap


@pytest.fixture
async def feed(plane: Any) -> MqttFeed:
    made = MqttFeed(MqttBuffer(plane.database))
    parts = plane.links.parts.reports
    parts.keep_event = made.keep_event
    parts.pass_event = made.news.set
    parts.pass_telemetry = made.take_telemetry
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
    async with paired.online():
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


async def test_numbers_that_no_board_can_have_are_refused_and_counted(plane: Any, paired: Any, feed: MqttFeed) -> None:
    kept: list[Telemetry] = []
    counts: list[int] = []
    all_came = asyncio.Event()

    def keep(_endpoint: str, telemetry: Telemetry) -> None:
        kept.append(telemetry)
        if telemetry.uptime_s == 62:
            all_came.set()

    parts = plane.links.parts.reports
    parts.telemetry, parts.impossible = keep, lambda _endpoint, count: counts.append(count)
    good = Telemetry(180_000, 60, (), -60, 41.5, 3.9, 1, 2, 3)
    odd = {"rssi": -(2**62), "temperature": 1.7e308, "battery": -1e300, "dropped": 2**63 - 1, "glitches": 2**60}
    async with paired.online():
        await paired.send(good)
        await paired.send(replace(good, free_heap=2**63 - 1, rssi=99))  # what has to be there cannot be left out
        await paired.send(replace(good, uptime_s=61, refused_events=2**50, **odd))
        await paired.send(replace(good, uptime_s=62))
        async with asyncio.timeout(60):
            await all_came.wait()
        assert link_of(plane.registry.get("lamp")).telemetry == kept[-1]
    assert kept == [good, Telemetry(180_000, 61, ()), replace(good, uptime_s=62)]
    assert counts == [2, 6]
    assert feed.waiting == 3


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
    async with paired.online():
        await paired.send(Event("button", {}))
        await paired.until_closed()
    assert failed
    assert await buffered(plane) == []
    async with paired.connected():
        await feed.news.wait()
        assert len(await buffered(plane)) == 1


EVIL = "\x1b]0;x\x07a\u202eb\x9b31m\n# c"
LONG = EVIL + "x" * 5_000


async def test_what_a_device_says_steers_no_terminal_and_is_cut_before_it_waits_for_readers(
    plane: Any, paired: Any
) -> None:
    hello = paired.hello()
    hello = replace(hello, board=EVIL, firmware=replace(hello.firmware, name=EVIL, version=EVIL))
    async with paired.online(hello):
        seen = {presence.firmware: 1_000 for presence in [plane.links.online[0].presence]}
        await paired.send(Log("info", "s" * 5_000, 1, "t" * 5_000))
        log = await plane.published.until(DeviceLog)  # cleaned when it is read: tests/devices/registry/test_registry.py
        assert (len(log.source), len(log.text)) == (64, 1_000)
        await paired.send(Event("app.crash", {"app": LONG, "reason": EVIL}))
        ended = await plane.published.until(AppEnded)
        alarm = await plane.published.until(Alarm)
        assert (ended.device, ended.why) == ("lamp", "trapped")
        await paired.send(Event(LONG, {"secret": "x"}))
        event = await plane.published.until(DeviceEvent)
        assert "secret" not in str(event)
        await paired.send(Event("mqtt.publish", {"app": LONG, "topic": LONG, "text": ["odd"] * 250}))
        published = await plane.published.until(Published)
        await paired.send(Bye(EVIL))
    left = await plane.published.until(DeviceLeft)
    seen |= {ended.app: 64, event.name: 64, published.app: 64, published.topic: 128}
    seen |= {published.text: 1_024, alarm.text: 1_000, left.reason: 1_000}
    for text, most in seen.items():
        assert text.isprintable(), text
        assert len(text) <= most, text
