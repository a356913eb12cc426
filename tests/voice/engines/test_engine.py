"""Engines that give way to the next."""

from __future__ import annotations

import pytest
from tests.voice.scripted_engines import Beeps

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import Recognizer, Speech, Transcript
from microclaw.voice.fallback import REST_S, RecognizerChain, SynthesizerChain


class Counts(Recognizer):
    """Hears how much it was given; nothing while it is `broken`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = False

    async def hear(self, pcm: bytes) -> Transcript:
        if self.broken:
            raise VoiceError("it broke")
        return Transcript(f"{self.name} {len(pcm)}")

    async def check(self) -> None:
        if self.broken:
            raise VoiceError("broken")


async def test_the_next_engine_hears_what_one_could_not_and_that_one_is_asked_last_for_a_while() -> None:
    now_s = 0.0
    first, second = Counts("first"), Counts("second")
    chain = RecognizerChain([first, second], lambda: now_s)
    first.broken = True
    assert await chain.hear(b"abcd") == Transcript("second 4")
    first.broken, now_s = False, REST_S - 1
    assert await chain.hear(b"ab") == Transcript("second 2")
    now_s = REST_S
    assert await chain.hear(b"ab") == Transcript("first 2")
    first.broken = second.broken = True
    with pytest.raises(VoiceError):
        await chain.hear(b"ab")
    assert await chain.health() == "broken; broken"


async def test_another_engine_speaks_only_where_nothing_was_said() -> None:
    async def said(chain: SynthesizerChain) -> list[Speech]:
        return [piece async for piece in chain.speak("hello")]

    assert await said(SynthesizerChain([Beeps(fails_after=0), Beeps()])) == await said(SynthesizerChain([Beeps()]))
    spare = Beeps()
    with pytest.raises(VoiceError):
        await said(SynthesizerChain([Beeps(ms_a_char=100, fails_after=1), spare]))
    assert spare.said == []
