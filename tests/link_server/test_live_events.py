"""A device's acts as live events: names and facts, bounded, no data."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.events import Alarm, AppEnded, DeviceEvent, DeviceLeft, DeviceLog, Published
from microclaw.wire.link.messages import Bye, Event, Log
from microclaw.wire.link.values import ValueMap


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("app.exit", {"app": "blink", "kind": "returned"}, "returned"),
        ("app.crash", {"app": "blink", "reason": "unreachable", "alive": False}, "trapped"),
        ("app.exit", {"app": "b" * 5_000, "kind": ["odd"]}, "['odd']"),
    ],
)
async def test_a_program_that_ends_is_an_event(plane: Any, paired: Any, name: str, data: ValueMap, why: str) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Event(name, data))
        ended = await plane.published.until(AppEnded)
        assert (ended.device, ended.app, ended.why) == ("lamp", str(data["app"])[:64], why)
        if name == "app.crash":
            assert (await plane.published.until(Alarm)).text == "unreachable"


EVIL = "\x1b]0;x\x07a\u202eb\x9b31m\n# c"


async def test_names_and_reasons_of_a_device_steer_no_terminal(plane: Any, paired: Any) -> None:
    hello = paired.hello()
    hello = replace(hello, board=EVIL, firmware=replace(hello.firmware, name=EVIL, version=EVIL))
    async with paired.connected(hello):
        await paired.until_ready()
        seen = [plane.links.online[0].presence.firmware, plane.links.online[0].presence.board]
        await paired.send(Event("app.crash", {"app": EVIL, "reason": EVIL}))
        ended, alarm = await plane.published.until(AppEnded), await plane.published.until(Alarm)
        await paired.send(Event(EVIL, {}))
        await paired.send(Event("mqtt.publish", {"app": EVIL, "topic": EVIL, "text": "x"}))
        event, published = await plane.published.until(DeviceEvent), await plane.published.until(Published)
        await paired.send(Bye(EVIL))
    left = await plane.published.until(DeviceLeft)
    seen += [ended.app, alarm.text, event.name, published.app, published.topic, left.reason]
    assert [text for text in seen if any(not char.isprintable() for char in text)] == []
    assert all("a" in text for text in seen)


async def test_what_a_device_sends_is_cut_before_it_waits_for_readers(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        await paired.send(Log("info", "s" * 5_000, 1, "t" * 5_000))
        log = await plane.published.until(DeviceLog)
        assert (len(log.source), len(log.text)) == (64, 1_000)
        await paired.send(Event("e" * 5_000, {"secret": "x"}))
        event = await plane.published.until(DeviceEvent)
        assert len(event.name) == 64
        assert "secret" not in str(event)
        await paired.send(Event("mqtt.publish", {"app": "a" * 99, "topic": "t" * 999, "text": ["odd"] * 250}))
        published = await plane.published.until(Published)
        assert (len(published.app), len(published.topic), len(published.text)) == (64, 128, 1_024)
