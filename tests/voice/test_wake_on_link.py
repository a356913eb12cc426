"""A board that only hears that somebody speaks: flite's voice over a real socket, to every engine of the host."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from msgspec.structs import replace
from tests.agent.conftest import MakeAgent, make_agent
from tests.link_server.conftest import Plane, ScriptedDevice, device, limits, paired, plane, scripted
from tests.voice.engines.conftest import Make, Say, make, say
from tests.voice.scripted_engines import Beeps

from microclaw.models.scripted import say as reply
from microclaw.voice.engines.engine import FRAME_BYTES
from microclaw.voice.engines.micro_wake_word import MicroWakeWords
from microclaw.voice.engines.silero_vad import SileroVoiceDetector
from microclaw.voice.engines.webrtc_vad import WebrtcVoiceDetector
from microclaw.voice.parts import VoiceParts
from microclaw.voice.service import VoiceService
from microclaw.voice.trace import VoiceTraces
from microclaw.wire.link.messages import AsrFinal, AudioFormat, StartAsr, TtsEnd, TtsStart, UiState

__all__ = ["device", "limits", "make", "make_agent", "paired", "plane", "say", "scripted"]  # the fixtures


async def until(device: ScriptedDevice, kind: type[Any]) -> list[Any]:
    bodies: list[Any] = []
    async with asyncio.timeout(60):
        while not bodies or not isinstance(bodies[-1], kind):
            bodies.append((await device.got.get()).body)
    return bodies


@pytest.mark.parametrize("detector", [WebrtcVoiceDetector, SileroVoiceDetector])
async def test_what_is_said_behind_the_wake_word_is_a_turn_and_other_speech_is_not(
    make_agent: MakeAgent, plane: Plane, paired: ScriptedDevice, say: Say, make: Make, detector: type[Any]
) -> None:
    async def speak(stream: int, text: str, voice: str) -> None:
        await paired.send(StartAsr(stream, "pcm16", 16_000, "vad", 0))
        pcm = say(text, voice) + bytes(32_000)
        for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
            await paired.send_raw(b"\x02" + pcm[at : at + FRAME_BYTES])

    async with make_agent([reply("It blinks.")]) as agent:
        words = MicroWakeWords(["okay_nabu"])
        parts = VoiceParts(agent.inbox, agent.approvals, make(), Beeps(), detector, VoiceTraces(), wake_words=words)
        service = VoiceService(parts, now_ms=lambda: time.time_ns() // 1_000_000, note_taker=lambda _: None)
        plane.audio.open = service.open_link
        hello = replace(paired.hello(), audio=AudioFormat(("pcm16",), 16_000, 20, 200))
        async with service.serving(), paired.connected(hello):
            await paired.until_ready()
            await speak(1, "turn on pin two", "rms")
            bodies = await until(paired, AsrFinal)
            assert bodies[-1] == AsrFinal(1, "", 0.0)
            assert not [body for body in bodies if isinstance(body, UiState | TtsStart)]
            await speak(3, "okay nabu, blink pin two every half second", "slt")
            final = (await until(paired, AsrFinal))[-1]
            assert (final.stream, final.text) == (3, "blink pin two every half second")
            assert (await until(paired, TtsEnd))[-1].reason == "done"
