"""A device's acts as live events: names and facts, cleaned and bounded, no data."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from microclaw.events import Alarm, AppEnded, DeviceEvent, DeviceLeft, DeviceLog, Published
from microclaw.wire.link.messages import Bye, Event, Log

EVIL = "\x1b]0;x\x07a\u202eb\x9b31m\n# c"
LONG = EVIL + "x" * 5_000


async def test_what_a_device_says_steers_no_terminal_and_is_cut_before_it_waits_for_readers(
    plane: Any, paired: Any
) -> None:
    hello = paired.hello()
    hello = replace(hello, board=EVIL, firmware=replace(hello.firmware, name=EVIL, version=EVIL))
    async with paired.connected(hello):
        await paired.until_ready()
        seen = {presence.firmware: 1_000 for presence in [plane.links.online[0].presence]}
        await paired.send(Log("info", "s" * 5_000, 1, "t" * 5_000))
        log = await plane.published.until(DeviceLog)  # cleaned when it is read: tests/devices/test_registry.py
        assert (len(log.source), len(log.text)) == (64, 1_000)
        await paired.send(Event("app.crash", {"app": LONG, "reason": EVIL}))
        ended, alarm = await plane.published.until(AppEnded), await plane.published.until(Alarm)
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
