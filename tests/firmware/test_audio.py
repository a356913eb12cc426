"""Microphone and speaker over the link: the firmware's own files, a real host's link server, samples over sockets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.firmware.conftest import Firmware, Plane, linked, provisioned
from tests.peers import listening

from microclaw.devices.link.device_link import DeviceLink
from microclaw.wire.link.actions import Hear
from microclaw.wire.link.lanes import THEIRS
from microclaw.wire.link.messages import AudioFormat, CancelStream, Hello, TtsEnd, TtsStart

FRAME_BYTES = 640
RATE_HZ = 16_000
PINS = {"mic": [14, 15, 16], "speaker": [17, 18, 19], "button": 0}


def tone(frames: int, first: int = 0) -> bytes:
    """Each sample another number, so that a lost or repeated one shows."""
    count = FRAME_BYTES // 2 * frames
    return struct.pack(f"<{count}H", *((first + n) & 0xFFFF for n in range(count)))


@dataclass
class Chip:
    """The far end of I2S: one writer of samples, and all that was played, with its rate."""

    button: Path
    port: int = 0
    mic: asyncio.StreamWriter | None = None
    rates: list[int] = field(default_factory=list)
    played: bytearray = field(default_factory=bytearray)
    ends: int = 0
    heard: Heard = field(default_factory=lambda: Heard())
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_speaker, rate = struct.unpack("<BI", await reader.readexactly(5))
        async with self.news:
            self.rates.append(rate)
            self.mic = self.mic if is_speaker else writer
            self.news.notify_all()
        with suppress(ConnectionError):  # samples that the board did not take reset the connection
            while data := await reader.read(4096):
                async with self.news:
                    self.played += data
                    self.news.notify_all()
        async with self.news:
            self.ends += 1
            self.mic = self.mic if is_speaker else None
            self.news.notify_all()

    async def until_recording(self) -> asyncio.StreamWriter:
        async with self.news:
            await self.news.wait_for(lambda: self.mic is not None)
        assert self.mic is not None
        return self.mic

    def record(self) -> None:
        """A frame, as long as somebody listens."""
        if self.mic is not None and not self.mic.is_closing():
            self.mic.write(tone(1))

    def press(self) -> None:
        self.button.write_text("down")

    def release(self) -> None:
        self.button.write_text("up")


class Heard:
    """The device's messages to the host: the AudioStreams of its connection."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.sizes: set[int] = set()
        self.news = asyncio.Event()

    def open(self, *_: object) -> Heard:
        return self

    def receive(self, message: object) -> None:
        """Take nothing: the session knows where streams begin and end."""

    def end(self) -> None: ...

    def receive_audio(self, hear: Hear) -> None:
        self.sizes.add(len(hear.payload))
        self.data += hear.payload
        self.news.set()

    async def until(self, size: int) -> None:
        while len(self.data) < size:
            self.news.clear()
            await self.news.wait()


@pytest.fixture
async def chip(tmp_path: Path) -> AsyncIterator[Chip]:
    chip = Chip(tmp_path / "button")
    chip.release()
    async with listening(chip.take) as chip.port:
        yield chip


@asynccontextmanager
async def speaking(plane: Plane, board: Firmware, chip: Chip) -> AsyncIterator[DeviceLink]:
    await provisioned(plane, board, audio=PINS)
    board.boot = "tests/firmware/simulated/boot_audio.py"
    board.environ = {"MICROCLAW_I2S": str(chip.port), "MICROCLAW_BUTTON": str(chip.button)}
    plane.links.parts.open_audio = chip.heard.open
    async with linked(plane, board) as device:
        yield device


async def test_what_is_heard_and_said_comes_whole_and_in_order_and_can_be_ended(
    plane: Plane, board: Firmware, chip: Chip
) -> None:
    async with speaking(plane, board, chip) as device:
        await _listens(device, chip, chip.heard)
        await _speaks(device, chip)


async def _listens(device: DeviceLink, chip: Chip, heard: Heard) -> None:
    connection = device.connection
    sent = tone(50)
    assert connection is not None
    hello = connection.session.peer
    assert isinstance(hello, Hello)
    assert hello.audio == AudioFormat(codecs=("pcm16",), rate=RATE_HZ, frame_ms=20, buffer_ms=400)
    chip.press()
    mic = await chip.until_recording()
    chip.release()
    for at in range(0, len(sent), FRAME_BYTES):
        mic.write(sent[at : at + FRAME_BYTES])
        await heard.until(at + FRAME_BYTES)
    assert (bytes(heard.data), heard.sizes, chip.rates) == (sent, {FRAME_BYTES}, [RATE_HZ])
    device.send_now(CancelStream(1))
    while not chip.ends:
        chip.record()
        await asyncio.sleep(0.02)  # the microphone's clock
    chip.press()
    mic = await chip.until_recording()
    mic.write(tone(1))
    await heard.until(len(sent) + FRAME_BYTES)
    while connection.session.streams.active[THEIRS] is not None:  # a second press ends it
        for press in (chip.release, chip.press):
            press()
            for _ in range(15):  # the board looks each 20 ms: it sees both, or a later one
                chip.record()
                await asyncio.sleep(0.02)  # the microphone's clock
    chip.release()


async def _speaks(device: DeviceLink, chip: Chip) -> None:
    connection = device.connection
    said = tone(15)
    assert connection is not None
    async with chip.news:
        await chip.news.wait_for(lambda: chip.mic is None)
    chip.played.clear()
    ends = chip.ends
    device.send_now(TtsStart(2, "pcm16", 24_000))
    for at in range(0, len(said), FRAME_BYTES):
        connection.send_audio(said[at : at + FRAME_BYTES])
    device.send_now(TtsEnd(2, "done"))
    async with chip.news:
        await chip.news.wait_for(lambda: chip.ends > ends)
    assert (bytes(chip.played), chip.rates[-1]) == (said, 24_000)
    chip.played.clear()
    device.send_now(TtsStart(4, "pcm16", RATE_HZ))
    connection.send_audio(tone(1, 5_000))  # less than it begins with
    device.send_now(CancelStream(4))
    device.send_now(TtsStart(6, "pcm16", RATE_HZ))
    connection.send_audio(tone(1))
    device.send_now(TtsEnd(6, "done"))
    async with chip.news:
        await chip.news.wait_for(lambda: len(chip.played) >= FRAME_BYTES and chip.ends > ends + 1)
    assert bytes(chip.played) == tone(1), "what was interrupted is silent at once"
