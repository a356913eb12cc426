"""What to make of what a recognition process heard: a sentence, a sentence to ask back, or nothing. It does no IO.

The commands' decoder gives readings, best first. One that is no sentence of the grammar was mostly no command. The
general decoder never heard of commands: where the words that matter are in what it heard too, they were said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.voice.engines.command_grammar import CommandGrammar
from microclaw.voice.engines.engine import Transcript

SURE: Final = 0.9
DOUBTFUL: Final = 0.3
"""Below the session's ASK_BACK_BELOW."""
SURE_AGREEMENT: Final = 0.6
LEAST_AGREEMENT: Final = 0.2
# Words as alike as the general decoder takes them for each other, as one of them.
_SOUNDS: Final = {
    "for": "four", "fore": "four", "to": "two", "too": "two", "won": "one", "ate": "eight", "hate": "eight",
    "been": "pin", "bin": "pin", "ben": "pin", "pen": "pin", "pan": "pin", "pins": "pin", "in": "pin",
    "lead": "led", "let": "led", "read": "red", "of": "off", "sex": "six", "sick": "six", "tan": "ten", "then": "ten",
    "no": "no", "know": "no", "lights": "light", "what's": "what", "whats": "what",
}  # fmt: skip
_SMALL: Final = frozenset({"the", "a", "an", "my", "it", "please", "on", "and", "is", "what"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """`readings` with their scores (logarithms), best first; `general` is what the other decoder heard."""

    readings: Sequence[tuple[str, int]]
    general: str
    is_checked: bool = True


def decide(evidence: Evidence, grammar: CommandGrammar) -> Transcript:
    """Confidence below 0.5 asks back; "" for what was no command."""
    place = next((n for n, (text, _) in enumerate(evidence.readings) if grammar.graph.accepts(text)), None)
    if place is None:
        return Transcript("", 0.0)
    text = evidence.readings[place][0]
    agreed = agreement(text, evidence.general) if evidence.is_checked else 1.0
    if agreed < LEAST_AGREEMENT:
        return Transcript("", 0.0)
    is_sure = place == 0 and agreed >= SURE_AGREEMENT
    return Transcript(grammar.transcript(text), SURE if is_sure else DOUBTFUL)


def agreement(text: str, general: str) -> float:
    """The share of the words that matter which the other decoder heard too, from 0 to 1."""
    said = [_sound(word) for word in text.split() if word not in _SMALL] or text.split()
    heard = [_sound(word) for word in re.findall(r"[a-z']+", general)]
    found = 0
    for word in said:
        if word in heard:
            heard.remove(word)
            found += 1
    return found / len(said)


def _sound(word: str) -> str:
    return _SOUNDS.get(word, word)
