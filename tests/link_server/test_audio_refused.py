"""A host without a voice does not let a device speak into the void."""

from __future__ import annotations

from typing import Any

from microclaw.wire.link.messages import CancelStream, ErrorMessage, StartAsr


async def test_a_stream_that_nobody_listens_to_is_refused_and_cancelled(plane: Any, paired: Any) -> None:
    async with paired.connected():
        await paired.until_ready()
        asked = await paired.send(StartAsr(7, "pcm16", 16_000, "button", 0))
        assert (await paired.next(CancelStream)).stream == 7  # messages of streams go first
        refused = await paired.next_envelope(ErrorMessage)
        assert (refused.body.code, refused.body.fatal, refused.re) == ("no_listener", False, asked)
        await paired.send_raw(b"\x02" + bytes(640))  # what was on its way is dropped
        lamp = plane.links.link(plane.registry.get("lamp").device_id)
        await lamp.call("device.info", {}, idempotent=True, timeout_s=5)
        assert lamp.connection.session.counters.late_audio == 1


async def test_a_stream_that_somebody_listens_to_goes_on(plane: Any, paired: Any) -> None:
    heard: list[bytes] = []
    async with paired.connected():
        await paired.until_ready()
        lamp = plane.links.link(plane.registry.get("lamp").device_id)
        lamp.connection.on_audio = lambda hear: heard.append(hear.frame.payload)
        await paired.send(StartAsr(7, "pcm16", 16_000, "button", 0))
        await paired.send_raw(b"\x02" + bytes(640))
        await lamp.call("device.info", {}, idempotent=True, timeout_s=5)
    assert heard == [bytes(640)]
