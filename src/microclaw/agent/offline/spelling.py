"""Slips of the keyboard: whether a word is another one but for a letter or two."""

from __future__ import annotations

from collections.abc import Sequence


def is_spelt_like(word: str, words: Sequence[str]) -> bool:
    """Return True if a word is one of these, but for one letter, or two of a long word."""
    if word in words:
        return True
    from rapidfuzz.distance import OSA

    slips = min(2, len(word) // 4 + 1)
    if len(word) <= 2:
        return False
    for other in words:
        if OSA.distance(word, other, score_cutoff=slips) <= slips:
            return True
    return False
