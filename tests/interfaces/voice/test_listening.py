"""Pauses in an utterance: the engine hears what came so far, and the silence only where it was not the end."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.interfaces.voice.recorder import RecordingDevice
from tests.interfaces.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, Transcript
from microclaw.interfaces.voice.listening import HOLD_TRIGGER, MAX_HELD_BYTES, MAX_PAUSES, SpeechListener, Utterance
from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts
from microclaw.interfaces.voice.trace import VoiceTrace

HELLO = Transcript("hello")
SPEECH = [LOUD] * 20
END = [QUIET] * 40
PAUSE = [QUIET] * 16
"""More than PAUSE_MS."""
AT_PAUSE = b"".join([*SPEECH, *[QUIET] * 10])


def listener_of(recognizer: ScriptedRecognizer, trigger: str = "button") -> tuple[SpeechListener, RecordingDevice]:
    """It has an open stream."""
    nothing: Any = None  # no turn runs
    limits = EndpointLimits(silence_ms=600)
    device = RecordingDevice()
    parts = VoiceParts(nothing, nothing, recognizer, Beeps(), LoudnessDetector, endpoints=limits)
    listener = SpeechListener(device, parts)
    listener.opened(VoiceTrace("kitchen", trigger, 1, lambda: 0.0))
    return listener, device


async def heard(recognizer: ScriptedRecognizer, frames: list[bytes], trigger: str = "button") -> Utterance:
    listener, _ = listener_of(recognizer, trigger)
    for frame in frames:
        listener.hear(frame)
    listener.closed()
    return await anext(listener.utterances())


async def test_the_silence_at_the_end_is_not_heard_and_that_of_a_pause_is() -> None:
    recognizer = ScriptedRecognizer(HELLO, at_pauses=True)
    assert (await heard(recognizer, [*SPEECH, *END])).transcript == HELLO
    assert recognizer.heard == [AT_PAUSE]
    recognizer = ScriptedRecognizer(HELLO, HELLO, at_pauses=True)
    frames = [*SPEECH, *PAUSE, *SPEECH]
    await heard(recognizer, frames)
    assert recognizer.heard == [AT_PAUSE, b"".join(frames)]


async def test_a_pause_tells_what_was_said_so_far_and_who_has_left_is_told_nothing() -> None:
    recognizer = ScriptedRecognizer(HELLO, None, at_pauses=True)
    listener, device = listener_of(recognizer)
    utterances = listener.utterances()
    hearing = asyncio.ensure_future(anext(utterances))
    for frame in (*SPEECH, *PAUSE):
        listener.hear(frame)
    await device.until_noted("partial", 1, "hello")
    for frame in (*SPEECH, *PAUSE):
        listener.hear(frame)
    async with asyncio.timeout(60):
        while len(recognizer.heard) < 2:  # noqa: ASYNC110  nobody else wants to be told
            await asyncio.sleep(0)
    listener.left()
    assert (await hearing).transcript is None
    assert [row for row in device.log if row[0] == "partial"] == [("partial", 1, "hello")]


async def test_pauses_and_silence_that_is_held_back_have_limits() -> None:
    often = [*SPEECH, *PAUSE] * 4 + [LOUD] * 4
    long = [*SPEECH, *[QUIET] * (MAX_HELD_BYTES // FRAME_BYTES + 30), *[LOUD] * 4]
    for frames, trigger in ((often, "button"), (long, HOLD_TRIGGER)):
        recognizer = ScriptedRecognizer(*[HELLO] * 9, at_pauses=True)
        await heard(recognizer, frames, trigger)
        assert len(recognizer.heard) == MAX_PAUSES + 1
        assert recognizer.heard[-1] == b"".join(frames)
