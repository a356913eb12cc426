"""A device on the link speaks with the host, over a real socket: docs/protocols/link.md, Speech."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from msgspec.structs import replace
from tests.agent.turn.conftest import MakeAgent
from tests.devices.link.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.interfaces.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.agent.models.scripted import Scripted, say
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.link_device import LinkVoice
from microclaw.interfaces.voice.service import VoiceService
from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts
from microclaw.interfaces.voice.trace import VoiceTraces
from microclaw.wire.link.messages import AsrFinal, AudioFormat, CancelStream, ErrorMessage, StartAsr, StopAsr, TtsEnd

__all__ = ["device", "limits", "paired", "plane", "scripted"]  # the fixtures
FORMAT = AudioFormat(("pcm16",), 16_000, 20, 200)


@dataclass
class Talk:
    device: ScriptedDevice
    recognizer: ScriptedRecognizer

    async def open(self, stream: int, *frames: bytes) -> None:
        await self.device.send(StartAsr(stream, "pcm16", 16_000, "button", 0))
        for frame in frames:
            await self.device.send_raw(b"\x02" + frame)

    async def ask(self, stream: int) -> None:
        """Somebody speaks and lets the button go."""
        await self.open(stream, *[LOUD] * 10)
        await self.device.send(StopAsr(stream, "released"))

    async def until(self, kind: type[Any], stream: int) -> list[Any]:
        """Everything that came, up to this message of this stream."""
        bodies: list[Any] = []
        async with asyncio.timeout(60):
            while not bodies or not isinstance(bodies[-1], kind) or bodies[-1].stream != stream:
                bodies.append((await self.device.got.get()).body)
        return bodies


Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Talk]]


@pytest.fixture
def talking(make_agent: MakeAgent, plane: Plane, paired: ScriptedDevice) -> Open:
    """`async with talking([replies], "what is heard", ...) as talk`."""

    @asynccontextmanager
    async def open_talk(replies: Iterable[Scripted] = (), *heard: str) -> AsyncIterator[Talk]:
        async with make_agent(replies) as agent:
            recognizer = ScriptedRecognizer(*map(Transcript, heard))
            voice = Beeps(ms_a_char=10)
            endpoints = EndpointLimits(silence_ms=200, nothing_ms=400)
            parts = VoiceParts(
                agent.inbox, agent.approvals, recognizer, voice, LoudnessDetector, VoiceTraces(), endpoints
            )
            service = VoiceService(parts, now_ms=lambda: time.time_ns() // 1_000_000, note_taker=lambda _: None)
            plane.links.parts.open_audio = service.open_link
            async with service.serving(), paired.online(replace(paired.hello(), audio=FORMAT)):
                yield Talk(paired, recognizer)

    return open_talk


def _of(bodies: list[Any], kind: type[Any]) -> list[Any]:
    return [body for body in bodies if isinstance(body, kind)]


@pytest.mark.parametrize("end", ["stops", "is silent", "cancels", "opens another", "stops and cancels"])
async def test_a_stream_without_words_has_one_empty_final_and_the_next_is_heard(talking: Open, end: str) -> None:
    async with talking([say("Hello.")], *["forget this"] * (end == "stops and cancels"), "hello") as talk:
        await talk.open(1, *([QUIET] * 25 if end in ("stops", "is silent") else [LOUD] * 10))
        if end.startswith("stops"):
            await talk.device.send(StopAsr(1, "released"))
        if end.endswith("cancels"):
            await talk.device.send(CancelStream(1))
        if "another" not in end:
            bodies = await talk.until(CancelStream if end == "is silent" else AsrFinal, 1)
        else:
            bodies = []
        await talk.ask(3)
        bodies += await talk.until(TtsEnd, 2)
    assert _of(bodies, AsrFinal) == [AsrFinal(1, "", 0.0), AsrFinal(3, "hello", 1.0)]
    assert _of(bodies, CancelStream) == [CancelStream(1)] * (end == "is silent")


async def test_a_stream_whose_number_is_not_its_own_is_refused(talking: Open) -> None:
    async with talking([say("Hello."), say("Hello.")], "hello", "hello") as talk:
        await talk.ask(3)
        await talk.until(TtsEnd, 2)
        for stream in (4, 3, 1, 0):
            await talk.open(stream, *[LOUD] * 10)
            await talk.until(CancelStream, stream)
            error = await talk.device.next(ErrorMessage)
            assert (error.code, error.fatal, str(stream) in error.message) == ("bad_audio", False, True)
        await talk.ask(5)
        bodies = await talk.until(TtsEnd, 4)
    assert _of(bodies, AsrFinal) == [AsrFinal(5, "hello", 1.0)]


def test_what_the_host_says_fits_into_frames_of_the_link() -> None:
    nothing: Any = None  # no session runs
    parts = VoiceParts(nothing, nothing, ScriptedRecognizer(), Beeps(), LoudnessDetector)
    for told, kept in (
        (AudioFormat(("opus", "pcm16"), 24_000, 60, 200), ("opus", 24_000, 20)),
        (AudioFormat(("opus", "pcm16"), 44_100, 20, 200), ("pcm16", 44_100, 20)),
        (AudioFormat(("pcm16",), 1, 20, 200), ("pcm16", 16_000, 20)),
        (AudioFormat(("pcm16",), 192_000, 7, 200), ("pcm16", 16_000, 20)),
        (AudioFormat(("pcm16",), 16_000, 60, 200), ("pcm16", 16_000, 60)),
    ):
        voice = LinkVoice(nothing, nothing, told, parts)
        assert (voice.codec, voice.rate_hz, voice.frame_ms) == kept
