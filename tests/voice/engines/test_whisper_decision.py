"""The decision about Whisper's words: a command, a question back, or nothing."""

from __future__ import annotations

import pytest
from tests.language.phrases import phrases

from microclaw.voice.engines.engine import Transcript
from microclaw.voice.engines.whisper import WhisperEvidence, decide, plain

NAMES = ("kitchen", "virtual-1", "fan", "desk_lamp")


def heard(text: str, *, each: float = 0.9, **given: float) -> Transcript:
    """`text` with these probabilities for its words, by their letters, and `each` for the others."""
    words = [(word, given.get(word.strip(".?!").lower(), each)) for word in text.split()]
    return decide(WhisperEvidence(words, -0.2, 0.01, 1.0), NAMES)


@pytest.mark.parametrize(
    ("text", "likely", "found"),
    [
        ("Turn on pin four.", {}, "turn on pin four"),
        ("Read the humidity.", {"humidity": 0.55}, "read the humidity"),
        ("Turn on the fan. Turn on the fan. Turn on the fan.", {}, "turn on the fan"),  # said once
        ("Turn on the fan.", {"fan": 0.3}, "turn on the fan?"),
        ("Read pin thirteen.", {"thirteen": 0.55}, "read pin thirteen?"),  # a number has to be surer
        ("Read pin 30.", {"30": 0.55}, "read pin 30?"),
        ("Turn on pin three.", {"turn": 0.02, "on": 0.2, "three": 0.37}, ""),
        ("Thank you.", {}, ""),  # Whisper makes it up for noise
        ("", {}, ""),
    ],
)
def test_a_sentence_is_sure_asked_back_or_nothing(text: str, likely: dict[str, float], found: str) -> None:
    transcript = heard(text, **likely)
    assert transcript.text + ("?" if 0 < transcript.confidence < 0.5 else "") == found


def test_what_nobody_said_is_nothing() -> None:
    for evidence in (
        WhisperEvidence([("Undo.", 0.9)], -0.2, 0.8, 1.0),  # nobody spoke
        WhisperEvidence([(word, 0.5) for word in ("Turn", "on", "pin", "three.")], -1.4, 0.01, 1.0),  # unlikely
        WhisperEvidence([("pin", 0.9)] * 60, -0.1, 0.01, 6.0),  # a loop
    ):
        assert decide(evidence, NAMES) == Transcript("", 0.0)


def test_a_transcript_is_written_as_the_templates_are() -> None:
    rows = phrases("a transcript as the templates are written")
    assert [(written, plain(written, NAMES)) for written, _ in rows] == rows
