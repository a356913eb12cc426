"""What to make of what a recognition process heard: a sentence, a sentence to ask back, or nothing. It does no IO.

The commands' decoder gives readings, best first. One that is no sentence of the grammar was mostly no command. The
general decoder knows nothing of commands and seldom hears the same words, but it hears the same phones where the
reading is right. One number is easily taken for another, so a number has to be heard by both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.language.quantities import NUMBER_WORDS
from microclaw.voice.engines.command_grammar import CommandGrammar
from microclaw.voice.engines.engine import Transcript

SURE: Final = 0.9
DOUBTFUL: Final = 0.3
"""Below the session's ASK_BACK_BELOW."""
SURE_ALIKE: Final = 0.6
LEAST_ALIKE: Final = 0.3
"""Shares of phones in common, where the set "dev" of bench/voice_recognition.py parts right, doubtful and wrong."""
_TWICE: Final = re.compile(r"\bpins? (\w+) (?:and )?(?:pin )?\1\b")
"""A pin that is named twice in a list: one of them was another."""
_TEEN_OR_TENS: Final = re.compile(
    r"\b(?:thir|four|fif|six|seven|eigh|nine)teen\b"
    r"|\b(?:thir|for|fif|six|seven|eigh|nine)ty\b(?! (?:one|two|three|four|five|six|seven|eight|nine)\b)"
)
"""Fourteen and forty: both decoders take the one for the other, so what has such a number is asked back."""
UNKNOWN: Final = ("?",)


class Evidence(Struct, frozen=True):
    """`readings` are best first; `general` is what the other decoder heard, None where there is none.

    `sounds` has the phones of the words of all of them.
    """

    readings: Sequence[str]
    general: str | None
    sounds: Mapping[str, Sequence[str]]

    def phones(self, text: str) -> list[str]:
        return [phone for word in text.split() for phone in self.sounds.get(word, UNKNOWN)]


def decide(evidence: Evidence, grammar: CommandGrammar) -> Transcript:
    """Confidence below 0.5 asks back; "" for what was no command."""
    text = next((one for one in evidence.readings if grammar.graph.accepts(one) and not _TWICE.search(one)), None)
    if text is None:
        return Transcript("", 0.0)
    is_sure = text == evidence.readings[0] and not _TEEN_OR_TENS.search(text)
    if evidence.general is not None:
        from rapidfuzz.distance import Levenshtein  # 3.5 MB, and voice is on where nobody speaks yet

        alike = Levenshtein.normalized_similarity(evidence.phones(text), evidence.phones(evidence.general))
        if alike < LEAST_ALIKE:
            return Transcript("", 0.0)
        is_sure = is_sure and alike >= SURE_ALIKE and numbers_agree(text, evidence.general, evidence)
    return Transcript(grammar.transcript(text), SURE if is_sure else DOUBTFUL)


def numbers_agree(text: str, general: str, evidence: Evidence) -> bool:
    """Whether each number of the text was heard in general: as itself, or in the sound of words that are no numbers.

    "Turn on before" has a four in it; "forty" has none.
    """
    heard, others = [], " "
    for word in general.split():
        if word in NUMBER_WORDS:
            heard.append(word)
            others += "| "
        else:
            others += " ".join(evidence.sounds.get(word, UNKNOWN)) + " "
    for word in text.split():
        if word not in NUMBER_WORDS:
            continue
        sound = f" {' '.join(evidence.sounds.get(word, UNKNOWN))} "
        if word in heard:
            heard.remove(word)
        elif sound in others:
            others = others.replace(sound, " | ", 1)
        else:
            return False
    return True
