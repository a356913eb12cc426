"""Mends slips of the keyboard in the words that wishes are made of: "shuold" is "should", "untill" is "until"."""

from __future__ import annotations

import re
from typing import Final

from microclaw.tables import read_table

_WORDS: Final = tuple(read_table(__package__, "wish_words")["slips"]["words"].split())
_WORD: Final = re.compile(r"(?<![\w'-])[a-z]{4,}(?![\w'-])")
_VOWELS: Final = frozenset("aeiou")


def mend_slips(text: str, known_words: frozenset[str]) -> str:
    """Return the text in lower case, with each word that is none of the known ones, but for one letter, as that one.

    A letter is missing, doubled, twisted with the next one, or another vowel: other differences make other words.
    """

    def mend(match: re.Match[str]) -> str:
        word = match[0]
        # The known words are without the "s" of a plural: "unles" is among them.
        is_cut = word.endswith("s") and f"{word}s" in _WORDS
        if word in known_words and not is_cut:
            return word
        return _mended(word)

    return _WORD.sub(mend, text.lower())


def _mended(word: str) -> str:
    if word in _WORDS:
        return word
    # It takes 3.5 MB, which a host saves that understands all its sentences.
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    near = process.extract(word, _WORDS, scorer=OSA.distance, score_cutoff=1, limit=None)
    slips = set[str]()
    for found, _, _ in near:
        if _is_slip(word, found):
            slips.add(found)
    if len(slips) != 1:
        return word
    return slips.pop()


def _is_slip(word: str, meant: str) -> bool:
    """Return True if one letter that differs is hardly another word: not the first, no ending, no other consonant."""
    if word[0] != meant[0]:
        return False
    if word.startswith(meant):
        return word[-1] == word[-2]
    if len(word) != len(meant):
        return True
    if sorted(word) == sorted(meant):
        return True
    return set(word) ^ set(meant) <= _VOWELS
