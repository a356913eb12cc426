"""Pauses in an utterance: the engine is told of them, and hears their silence only when they were not the end."""

from __future__ import annotations

from typing import Any

from tests.voice.recorder import RecordingDevice
from tests.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import FRAME_BYTES, Transcript
from microclaw.voice.listening import HELD, MAX_BEFORE_BYTES, MAX_HELD_BYTES, MAX_PAUSES, Listener, Utterance
from microclaw.voice.parts import VoiceParts
from microclaw.voice.trace import VoiceTrace

PAUSE_FRAMES = 11
"""More than PAUSE_MS, with the frame that follows speech and counts as such."""


async def heard(recognizer: ScriptedRecognizer, frames: list[bytes], trigger: str = "button") -> Utterance:
    nothing: Any = None  # no turn runs
    limits = EndpointLimits(silence_ms=600)
    parts = VoiceParts(nothing, nothing, recognizer, Beeps(), LoudnessDetector, endpoints=limits)
    listener = Listener(RecordingDevice(), parts)
    listener.opened(VoiceTrace("kitchen", trigger, 1, lambda: 0.0))
    for frame in frames:
        listener.hear(frame)
    listener.closed()
    return await anext(listener.utterances())


async def test_the_silence_at_the_end_is_not_heard_and_that_of_a_pause_is() -> None:
    recognizer = ScriptedRecognizer(Transcript("hello"), Transcript("hello"))
    found = await heard(recognizer, [LOUD] * 20 + [QUIET] * 40)
    assert found.transcript == Transcript("hello")
    assert recognizer.paused_at == [30 * FRAME_BYTES]
    frames = [LOUD] * 20 + [QUIET] * (PAUSE_FRAMES + 5) + [LOUD] * 20
    await heard(recognizer, frames)
    assert recognizer.heard == [b"".join([LOUD] * 20 + [QUIET] * 10), b"".join(frames)]
    assert len(recognizer.paused_at) == 2


async def test_what_is_said_after_the_end_counts_also_where_the_device_closed_the_stream() -> None:
    frames = [LOUD] * 20 + [QUIET] * 40 + [LOUD] * 20
    assert (await heard(ScriptedRecognizer(Transcript("turn on pin four")), frames)).goes_on
    assert not (await heard(ScriptedRecognizer(Transcript("turn on pin four")), frames[:60])).goes_on


async def test_pauses_and_silence_that_is_held_back_have_limits() -> None:
    recognizer = ScriptedRecognizer(Transcript("hello"), Transcript("hello"))
    often = ([LOUD] * 20 + [QUIET] * (PAUSE_FRAMES + 5)) * 4 + [LOUD] * 4
    await heard(recognizer, often)
    assert len(recognizer.paused_at) == MAX_PAUSES
    long = [LOUD] * 20 + [QUIET] * (MAX_HELD_BYTES // FRAME_BYTES + 30) + [LOUD] * 4
    await heard(recognizer, long, trigger=HELD)
    assert recognizer.heard == [b"".join(often), b"".join(long)]


async def test_who_is_silent_takes_no_engine_and_the_second_before_speech_is_heard() -> None:
    recognizer = ScriptedRecognizer(Transcript("hello"))
    found = await heard(recognizer, [QUIET] * 40)
    assert (found.transcript, found.failure, recognizer.heard) == (None, None, [])
    found = await heard(recognizer, [QUIET] * 100 + [LOUD] * 20 + [QUIET] * 40)
    assert found.transcript == Transcript("hello")
    [audio] = recognizer.heard
    before = audio.index(LOUD) // FRAME_BYTES
    assert 40 <= before <= MAX_BEFORE_BYTES // FRAME_BYTES
