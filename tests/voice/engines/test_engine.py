"""An utterance between its session and engines: pauses, and engines that give way to the next."""

from __future__ import annotations

import asyncio

import pytest
from tests.voice.scripted_engines import Beeps

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import MAX_PAUSED_BYTES, MAX_UTTERANCE_BYTES, Recognizer, Speech, Transcript
from microclaw.voice.fallback import REST_S, RecognizerChain, SynthesizerChain


class Counts(Recognizer):
    """Hears how much it was given; nothing while it is `broken`."""

    def __init__(self, name: str = "counts", *, guesses: bool = True) -> None:
        self.name = name
        self.heard: list[int] = []
        self.broken = False
        self._guesses = guesses

    def hears_at_pauses(self) -> bool:
        return self._guesses

    async def hear(self, pcm: bytes) -> Transcript:
        self.heard.append(len(pcm))
        await asyncio.sleep(0)
        if self.broken:
            raise VoiceError("it broke")
        return Transcript(f"{self.name} {len(pcm)}")

    async def health(self) -> str | None:
        return "broken" if self.broken else None


async def heard(recognizer: Recognizer, *pieces: bytes | None) -> tuple[str, list[str]]:
    """The transcript and the partials; None is a pause, after which the engine has time."""
    partials: list[str] = []
    recognition = await recognizer.begin(partials.append)
    for piece in pieces:
        if piece is None:
            recognition.pause()
            for _ in range(5):
                await asyncio.sleep(0)
        else:
            recognition.feed(piece)
    return (await recognition.finish()).text, partials


async def test_a_pause_tells_what_was_said_so_far_and_is_not_heard_twice_at_the_end() -> None:
    engine = Counts()
    assert await heard(engine, b"ab", None, b"cd", None) == ("counts 4", ["counts 2", "counts 4"])
    assert engine.heard == [2, 4]
    assert await heard(engine, b"ab", None, b"cd") == ("counts 4", ["counts 2"])


async def test_a_service_that_costs_money_and_a_long_utterance_are_heard_once() -> None:
    paid, own, long = Counts(guesses=False), Counts(), bytes(MAX_PAUSED_BYTES + 2)
    assert await heard(paid, b"ab", None) == ("counts 2", [])
    assert await heard(own, long, None) == (f"counts {len(long)}", [])
    assert (len(paid.heard), len(own.heard)) == (1, 1)


async def test_who_gives_up_is_told_nothing_more_and_more_than_a_minute_is_refused() -> None:
    partials: list[str] = []
    recognition = await Counts().begin(partials.append)
    recognition.feed(bytes(MAX_UTTERANCE_BYTES))
    with pytest.raises(VoiceError):
        recognition.feed(bytes(2))
    recognition.pause()
    recognition.abandon()
    for _ in range(5):
        await asyncio.sleep(0)
    assert partials == []


async def test_the_next_engine_hears_what_one_could_not_and_that_one_is_asked_last_for_a_while() -> None:
    now_s = 0.0
    first, second = Counts("first"), Counts("second")
    chain = RecognizerChain([first, second], lambda: now_s)
    first.broken = True
    assert await heard(chain, b"ab", b"cd") == ("second 4", [])
    first.broken, now_s = False, REST_S - 1
    assert await heard(chain, b"ab") == ("second 2", [])
    now_s = REST_S
    assert await heard(chain, b"ab") == ("first 2", [])
    first.broken = second.broken = True
    with pytest.raises(VoiceError):
        await heard(chain, b"ab")
    assert await chain.health() == "broken; broken"


async def test_another_engine_speaks_only_where_nothing_was_said() -> None:
    async def said(chain: SynthesizerChain) -> list[Speech]:
        return [piece async for piece in chain.speak("hello")]

    assert await said(SynthesizerChain([Beeps(fails_after=0), Beeps()])) == await said(SynthesizerChain([Beeps()]))
    spare = Beeps()
    with pytest.raises(VoiceError):
        await said(SynthesizerChain([Beeps(ms_a_char=100, fails_after=1), spare]))
    assert spare.said == []
