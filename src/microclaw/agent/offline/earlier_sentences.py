"""What the user said earlier in the chat about a thing ("the fan", "the basil"): the sentence, and the pin in it.

It is evidence of what was said, and not of what was done. This module reads no records and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from microclaw.agent.language.quantities import NUMBER_WORDS, normalize_quantities
from microclaw.tables import read_table

_WORD: Final = re.compile(r"[a-z]+")
# "pin 7", "the light on 17", "39's the valve", "39 is the valve".
_PIN: Final = re.compile(
    r"\bpin (?P<pin>\d{1,2})\b|\b(?:on|at) (?P<at>\d{1,2})(?![\d.:%]| (?:ms|milli|times|o))"
    r"|\b(?P<is>\d{1,2})(?:'s| is) the "
)
_MAX_QUOTED: Final = 160
_TABLE: Final = read_table(__package__, "question_words")
_PLAIN_WORDS: Final = frozenset(_TABLE["plain"].split())
_ENDINGS: Final = ("ings", "ing", "ies", "es", "ed", "s")
_SHORTEST_STEM: Final = 3
_QUESTION: Final = re.compile(
    r"(?:is|are|was|were|why|what|what's|which|who|how|has|have|did|does|do|when (?:is|are|does|do|will|did))\b"
)


class Mention(NamedTuple):
    """A sentence of the user that names the thing, and the pin that stands nearest to it; None if it has no pin."""

    sentence: str
    pin: int | None

    @property
    def quoted(self) -> str:
        """The sentence in quotation marks, cut if it is long."""
        text = self.sentence.strip()
        if len(text) > _MAX_QUOTED:
            text = f"{text[:_MAX_QUOTED].rsplit(' ', 1)[0]} ..."
        return f'"{text}"'


def is_name(text: str) -> bool:
    """Return True for up to three words each of which may be part of a thing's name: "exhaust fan"."""
    words = text.split()
    has_plain_word = any(word in _PLAIN_WORDS for word in words)
    return 0 < len(words) <= 3 and text.replace(" ", "").isalpha() and not has_plain_word


def topic_words(text: str) -> tuple[str, ...]:
    """Return the words of a question that may name a thing: "when will the basil get water" has "basil"."""
    words = dict[str, None]()
    for word in _WORD.findall(normalize_quantities(text)):
        is_plain = word in _PLAIN_WORDS or word in NUMBER_WORDS or len(word) < _SHORTEST_STEM
        if not is_plain:
            words[word] = None
    return tuple(words)


def find_mentions(words: Sequence[str], earlier: Sequence[str]) -> list[Mention]:
    """Return the user's sentences that have most of these words, at least half of them, the newest first.

    `earlier` has the newest first. A question tells nothing about a thing.
    """
    stems = {_stem(word) for word in words}
    most = 0
    mentions = list[Mention]()
    for sentence in earlier:
        normal = normalize_quantities(sentence)
        if _QUESTION.match(normal):
            continue
        shared = stems & {_stem(word) for word in _WORD.findall(normal)}
        is_other = 2 * len(shared) < len(stems)
        if not shared or is_other or len(shared) < most:
            continue
        if len(shared) > most:
            most = len(shared)
            mentions.clear()
        mentions.append(Mention(sentence, _pin_near(shared, normal)))
    return mentions


def mentions_of_pin(pin: int, earlier: Sequence[str]) -> list[Mention]:
    """Return the user's sentences that name the pin, the newest first, without questions."""
    mentions = list[Mention]()
    for sentence in earlier:
        normal = normalize_quantities(sentence)
        pins = {number for _, number in _pins_of(normal)}
        if pin in pins and not _QUESTION.match(normal):
            mentions.append(Mention(sentence, pin))
    return mentions


def has_word(words: Sequence[str], text: str) -> bool:
    """Return True if a text has one of these words, in the singular or the plural."""
    stems = {_stem(word) for word in words}
    return bool(stems & {_stem(word) for word in _WORD.findall(text.lower())})


def _pin_near(stems: set[str], normal: str) -> int | None:
    """Return the pin that follows one of the words most closely, else the last one before; None without a pin."""
    ends = [match.end() for match in _WORD.finditer(normal) if _stem(match[0]) in stems]
    pins = _pins_of(normal)
    if not pins:
        return None
    nearest = len(normal)
    nearest_pin = pins[-1][1]
    for end in ends:
        for start, pin in pins:
            if end - 1 <= start < end + nearest:
                nearest = start - end
                nearest_pin = pin
    return nearest_pin


def _pins_of(normal: str) -> list[tuple[int, int]]:
    """Return the pins that a sentence names, each with where it stands."""
    return [(match.start(), int(match["pin"] or match["at"] or match["is"])) for match in _PIN.finditer(normal)]


def _stem(word: str) -> str:
    """Return the word without the ending of a plural or a verb."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word
