"""A device's audio goes to who listens; without anybody a device does not speak into the void."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from microclaw.events import DeviceLeft
from microclaw.wire.link.actions import Hear
from microclaw.wire.link.messages import AudioFormat, CancelStream, ErrorMessage, StartAsr, StopAsr


class Ears:
    """Notes what a device's streams bring."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def took(self, message: StartAsr | StopAsr | CancelStream) -> None:
        self.log.append((message.type, message.stream))

    def heard(self, hear: Hear) -> None:
        self.log.append((hear.stream, hear.payload))

    def left(self) -> None:
        self.log.append("left")


async def test_a_stream_is_refused_while_nobody_listens_and_else_goes_there_until_the_device_leaves(
    plane: Any, paired: Any
) -> None:
    ears, formats = Ears(), []

    def listen(_link: object, _connection: object, audio: AudioFormat) -> Ears:
        formats.append(audio)
        return ears

    hello = replace(paired.hello(), audio=AudioFormat(("pcm16",), 16_000, 20, 200))
    async with paired.connected(hello):
        await paired.until_ready()
        lamp = plane.links.link(plane.registry.get("lamp").device_id)
        asked = await paired.send(StartAsr(7, "pcm16", 16_000, "button", 0))
        assert (await paired.next(CancelStream)).stream == 7  # messages of streams go first
        refused = await paired.next_envelope(ErrorMessage)
        assert (refused.body.code, refused.body.fatal, refused.re) == ("no_listener", False, asked)
        await paired.send_raw(b"\x02" + bytes(640))  # what was on its way is dropped
        await lamp.call("device.info", {}, idempotent=True, timeout_s=5)
    await plane.published.until(DeviceLeft)
    plane.audio.open = listen
    async with paired.connected(hello):
        await paired.until_ready()
        await paired.send(StartAsr(8, "pcm16", 16_000, "button", 0))
        await paired.send_raw(b"\x02" + bytes(640))
        await paired.send(StopAsr(8, "button"))
        await lamp.call("device.info", {}, idempotent=True, timeout_s=5)
    await plane.published.until(DeviceLeft)
    assert ears.log == [("start_asr_stream", 8), (8, bytes(640)), ("stop_asr_stream", 8), "left"]
    assert [audio.buffer_ms for audio in formats] == [200]
