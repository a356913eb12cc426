"""What words and phrases may mean, as tags ("switch on" -> on, "heater" -> heater). It understands no sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

UNKNOWN = frozenset({"unknown"})
_WORD = re.compile(r"\S+")


class Lexicon:
    """The meanings of one language's words."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        meanings: dict[str, set[str]] = {}
        for tag, phrases in _flat(data):
            for phrase in phrases:
                meanings.setdefault(phrase, set()).add(tag)
        self._meanings = {phrase: frozenset(tags) for phrase, tags in meanings.items()}
        longest = sorted(meanings, key=len, reverse=True)
        self._phrase = re.compile(rf"(?:{'|'.join(map(re.escape, longest))})(?![\w'-])")

    def meanings(self, shape: str) -> tuple[frozenset[str], ...]:
        """The tags of each phrase or word of a sentence in its order; a number's unit in capitals is its own tag."""
        return tuple(self._each(shape))

    def _each(self, shape: str) -> Iterator[frozenset[str]]:
        at = 0
        while at < len(shape):
            if shape[at] == " ":
                at += 1
                continue
            found = self._phrase.match(shape, at)
            if found is not None:
                yield self._meanings[found[0]]
                at = found.end()
                continue
            word = _WORD.match(shape, at)
            assert word is not None
            yield frozenset({word[0].lower()}) if word[0][0].isupper() else UNKNOWN
            at = word.end()


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, value in data.items():
        if isinstance(value, list):
            yield prefix + name, value
        else:
            yield from _flat(value, "q:" if name == "quantities" else "")
