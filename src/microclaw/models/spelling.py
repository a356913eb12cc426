"""Slips of the keyboard in words that sentences are made of: mended one word at a time. Guesses no meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_SHORTEST_SWAPPED = 3  # "teh", "trun"
_SHORTEST_DROPPED = 5  # "swich", "blik": a letter too few or too many; shorter words have too many neighbours
_SHORTEST_WRONG = 6  # "butron": one other letter
_LONGEST_RARE = 6
_MOST_UNKNOWN = 10


class Spelling:
    """The words that are known. A word is mended only to the one known word that a single slip turns it into."""

    def __init__(self, words: Iterable[str], rare: Iterable[str] = ()) -> None:
        """`rare`: words that a short word is not mended to, as it is more often a word of its own ("sell", "swell")."""
        self._words = frozenset(words)
        self._rare = frozenset(word for word in rare if len(word) <= _LONGEST_RARE)
        self._by_length: dict[int, list[str]] = {}
        for word in sorted(self._words):
            self._by_length.setdefault(len(word), []).append(word)

    def with_words(self, words: Iterable[str]) -> Spelling:
        """The same, with more words that are known."""
        return Spelling(self._words | frozenset(words), self._rare)

    def is_near(self, text: str, words: frozenset[str]) -> bool:
        """Whether a word that is not known is one letter from one of these, so that it may mean it."""
        unknown = (word for word in _WORD.findall(text) if word not in self._words and len(word) >= _SHORTEST_SWAPPED)
        return any(_one_letter(word, known) for word in unknown for known in words)

    def mend(self, text: str) -> str:
        """The text with each unknown word replaced where there is exactly one way to."""
        unknown = {word for word in _WORD.findall(text) if word not in self._words}
        if len(unknown) > _MOST_UNKNOWN:
            return text  # another language, or none
        mended = {word: self._mended(word) for word in unknown}
        return _WORD.sub(lambda m: mended.get(m[0], m[0]), text)

    def _mended(self, word: str) -> str:
        if word in self._words or len(word) < _SHORTEST_SWAPPED:
            return word
        lengths = range(len(word) - 1, len(word) + 2)
        near = [known for length in lengths for known in self._by_length.get(length, ()) if _one_slip(word, known)]
        # A first letter that is missing is another word ("teach", "each") more often than a slip.
        near = [known for known in near if known not in self._rare]
        return near[0] if len(near) == 1 and (len(near[0]) == len(word) or near[0][0] == word[0]) else word


def _one_letter(word: str, other: str) -> bool:
    """Whether one is the other with one letter more, less, changed, or two neighbours swapped."""
    return _difference(word, other) is not None


def _one_slip(word: str, known: str) -> bool:
    """Whether one is the other with two neighbours swapped, a letter dropped, added or (in long words) changed."""
    if word[0] != known[0] and word[0] != known[1:2] and word[1:2] != known[0]:
        return False
    match _difference(word, known):
        case "swapped":
            return True
        case "added":
            return max(len(word), len(known)) >= _SHORTEST_DROPPED
        case "changed":
            return len(word) >= _SHORTEST_WRONG
        case _:
            return False


def _difference(word: str, other: str) -> str | None:
    """The one step between two words: a letter "added" to one of them, two neighbours "swapped", one "changed"."""
    short, long = sorted((word, other), key=len)
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return "added" if short[at:] == long[at + 1 :] else None
    if short == long:
        return None
    if short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]:
        return "swapped"
    return "changed" if short[at + 1 :] == long[at + 1 :] else None
