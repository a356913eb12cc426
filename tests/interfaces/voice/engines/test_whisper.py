"""Recognition by real Whisper processes over what flite says and over noise, and the decision about their words."""

from __future__ import annotations

import array
import asyncio
import math
import os
import random

import pytest
from tests.agent.language.phrases import phrases
from tests.interfaces.voice.engines.conftest import Make, Say

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.confirmation import must_ask_back
from microclaw.interfaces.voice.engines.engine import FRAME_BYTES, RATE_HZ, Transcript
from microclaw.interfaces.voice.engines.whisper import (
    MAX_HEARD_BYTES,
    WhisperEvidence,
    accept_transcript,
    normalize_text,
)


async def test_sentences_and_a_known_name_are_recognised_and_silence_noise_and_a_cough_are_nothing(
    make: Make, say: Say
) -> None:
    names: tuple[str, ...] = ()
    recognizer = make(names=lambda: names, most=1)
    for sentence in ("blink pin two every half second", "my brother lives in another town"):
        found = await recognizer.hear(say(sentence))
        assert (found.text, found.confidence > 0.5) == (sentence, True)
    [pid] = recognizer.pool.pids
    hearing = asyncio.create_task(recognizer.hear(say("toggle pin nine")))
    await asyncio.sleep(0)
    hearing.cancel()  # which leaves nothing for the next one
    names = ("garage", "pump")
    assert (await recognizer.hear(say("turn on the pump"))).text == "turn on the pump"
    assert recognizer.pool.pids == {pid}
    quiet = [0.0] * RATE_HZ
    sounds = {
        "silence": quiet * 2,
        "noise": hiss(0.3, 3),
        "a cough": [*quiet, *cough(), *quiet],
        "clicks": [0.9 if t % 5000 == 0 else 0.0 for t in range(2 * RATE_HZ)],
    }
    for name, samples in sounds.items():
        assert (await recognizer.hear(pcm_of(samples))).text == "", name
    for odd in (b"", b"\x01", os.urandom(FRAME_BYTES * 50)):
        assert (await recognizer.hear(odd)).text == ""
    with pytest.raises(VoiceError):  # more than 20 s
        await recognizer.hear(bytes(MAX_HEARD_BYTES + 2))


def hiss(size: float, seconds: float) -> list[float]:
    random_ = random.Random(5)
    return [random_.gauss(0, size) for _ in range(int(seconds * RATE_HZ))]


def with_noise(pcm: bytes, *, size: int, seed: int) -> list[float]:
    """The audio in red noise, in which the ends of words are lost."""
    random_ = random.Random(seed)
    noise = 0.0
    samples: list[float] = []
    for sample in array.array("h", pcm):
        noise = 0.9 * noise + 0.45 * random_.gauss(0, size)
        samples.append((sample + noise) / 32767)
    return samples


def cough() -> list[float]:
    return [0.8 * value * math.exp(-t / RATE_HZ * 18) for t, value in enumerate(hiss(0.5, 0.4))]


def pcm_of(samples: list[float]) -> bytes:
    return array.array("h", [int(32767 * max(-1.0, min(1.0, one))) for one in samples]).tobytes()


NAMES = ("kitchen", "virtual-1", "fan", "desk_lamp")


def heard(text: str, *, each: float = 0.9, **given: float) -> Transcript:
    """`text` with these probabilities for its words, by their letters, and `each` for the others."""
    words = [(word, given.get(word.strip(".?!").lower(), each)) for word in text.split()]
    return accept_transcript(WhisperEvidence(words, -0.2, 0.01, 1.0), NAMES)


@pytest.mark.parametrize(
    ("text", "likely", "found"),
    [
        ("Turn on pin four.", {}, "turn on pin four"),
        ("Read the humidity.", {"humidity": 0.55}, "read the humidity"),
        ("Turn on the fan. Turn on the fan. Turn on the fan.", {}, "turn on the fan"),  # said once
        ("Turn on the fan.", {"fan": 0.3}, "turn on the fan?"),
        ("Read pin thirteen.", {"thirteen": 0.55}, "read pin thirteen?"),  # a number has to be surer
        ("Read pin 30.", {"30": 0.55}, "read pin 30?"),
        ("Turn the heater off.", {"off": 0.55}, "turn the heater off?"),  # it may have been "up" or "on"
        ("Turn the heater off.", {"turn": 0.55}, "turn the heater off"),
        ("Stop blink.", {"stop": 0.7}, "stop blink?"),
        ("Turn on pin three.", {"turn": 0.02, "on": 0.2, "three": 0.37}, ""),
        ("Thank you.", {}, ""),  # Whisper makes it up for noise
        ("", {}, ""),
    ],
)
def test_a_sentence_is_sure_asked_back_or_nothing(text: str, likely: dict[str, float], found: str) -> None:
    transcript = heard(text, **likely)
    is_asked = transcript.text != "" and must_ask_back(transcript)
    assert transcript.text + "?" * is_asked == found


def test_what_nobody_said_is_nothing() -> None:
    for evidence in (
        WhisperEvidence([("Undo.", 0.9)], -0.2, 0.8, 1.0),  # nobody spoke
        WhisperEvidence([(word, 0.5) for word in ("Turn", "on", "pin", "three.")], -1.4, 0.01, 1.0),  # unlikely
        WhisperEvidence([("pin", 0.9)] * 60, -0.1, 0.01, 6.0),  # a loop
    ):
        assert accept_transcript(evidence, NAMES) == Transcript("", 0.0)


def test_a_transcript_is_written_as_the_templates_are() -> None:
    rows = phrases("a transcript as the templates are written")
    assert [(written, normalize_text(written, NAMES)) for written, _ in rows] == rows
