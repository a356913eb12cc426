"""A device's acts as live events: names and facts, cleaned and bounded, no data."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from microclaw.events import Alarm, AppEnded, DeviceEvent, DeviceLeft, DeviceLog, Published
from microclaw.wire.link.messages import Bye, Event, Log

EVIL = "\x1b]0;x\x07a\u202eb\x9b31m\n# c"


async def test_names_and_reasons_of_a_device_steer_no_terminal(plane: Any, paired: Any) -> None:
    hello = paired.hello()
    hello = replace(hello, board=EVIL, firmware=replace(hello.firmware, name=EVIL, version=EVIL))
    async with paired.connected(hello):
        await paired.until_ready()
        seen = [plane.links.online[0].presence.firmware, plane.links.online[0].presence.board]
        await paired.send(Event("app.crash", {"app": EVIL, "reason": EVIL}))
        ended, alarm = await plane.published.until(AppEnded), await plane.published.until(Alarm)
        assert (ended.device, ended.why) == ("lamp", "trapped")
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
        assert (len(event.name), "secret" in str(event)) == (64, False)
        await paired.send(Event("app.exit", {"app": "b" * 5_000, "kind": ["odd"]}))
        ended = await plane.published.until(AppEnded)
        assert (len(ended.app), ended.why) == (64, "['odd']")
        await paired.send(Event("mqtt.publish", {"app": "a" * 99, "topic": "t" * 999, "text": ["odd"] * 250}))
        published = await plane.published.until(Published)
        assert (len(published.app), len(published.topic), len(published.text)) == (64, 128, 1_024)
