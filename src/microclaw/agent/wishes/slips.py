"""Mends slips of the keyboard: "shuold" is "should", "untill" is "until"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from microclaw.tables import read_table

_TABLES: Final = ("act_words", "clause_words", "event_words", "plain_questions", "wish_words")
_LEAST_CHARS: Final = 5
"""In a shorter word one letter more or less makes another word too easily."""
_WORD: Final = re.compile(rf"(?<![\w'-])[a-z]{{{_LEAST_CHARS},}}(?![\w'-])")
_NAME: Final = re.compile(r"<[a-z_]+>")


def mend_slips(text: str, known_words: frozenset[str]) -> str:
    """Return the text in lower case, with each word that is none of the known ones, but for one letter, as that one.

    A word that may be two of them stays.
    """
    words = _own_words() | known_words

    def mend(match: re.Match[str]) -> str:
        return _mended(match[0], words)

    return _WORD.sub(mend, text.lower())


def _mended(word: str, words: frozenset[str]) -> str:
    if word in words or word.removesuffix("s") in words:
        return word
    # It takes 3.5 MB, which a host saves that understands all its sentences.
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    near = process.extract(word, words, scorer=OSA.distance, score_cutoff=1, limit=3)
    long = [found for found, _, _ in near if len(found) >= _LEAST_CHARS]
    if len(long) != 1:
        return word
    return str(long[0])


@cache
def _own_words() -> frozenset[str]:
    """Return the words of this room's tables."""
    words = set[str]()
    for name in _TABLES:
        for text in _texts(read_table(__package__, name)):
            words |= set(re.findall(r"[a-z]+", _NAME.sub(" ", text)))
    return frozenset(words)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
