"""A device that notes everything a voice session tells it, with the numbers of the frames that it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from microclaw.interfaces.voice.device import Activity
from microclaw.interfaces.voice.engines.engine import Transcript


@dataclass
class RecordingDevice:
    device_id: str = "link-1"
    name: str = "kitchen"
    rate_hz: int = 16_000
    frame_ms: int = 20
    ahead_ms: int = 200
    log: list[tuple[object, ...]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    samples: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, activity: Activity) -> None:
        self._note("show", activity)

    def partial(self, stream: int, text: str) -> None:
        self._note("partial", stream, text)

    def final(self, stream: int, transcript: Transcript) -> None:
        self._note("final", stream, transcript.text)

    def stop_listening(self, stream: int) -> None:
        self._note("stop", stream)

    def begin_speech(self) -> None:
        self._note("begin")

    def say(self, text: str, samples: int) -> None:
        self.samples += samples
        if text:
            self._note("say", text)

    def play(self, frame: bytes) -> None:
        assert len(frame) == self.rate_hz * self.frame_ms // 1000 * 2
        self.frames.append(frame)
        self.changed.set()

    def end_speech(self, *, failed: bool) -> None:
        self._note("end", failed)

    def cancel_speech(self) -> None:
        self._note("cancel")

    def _note(self, *what: object) -> None:
        self.log.append(what)
        self.changed.set()

    def said(self) -> list[object]:
        return [row[1] for row in self.log if row[0] == "say"]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_noted(self, *what: object) -> None:
        await self.until(lambda: what in self.log)
