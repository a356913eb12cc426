"""Sentences that cannot be English, by their letters. It names no language and translates nothing."""

from __future__ import annotations


def is_in_other_letters(text: str) -> bool:
    """Most of its letters are not Latin ones."""
    letters = [char for char in text if char.isalpha()]
    return sum(char > "\u024f" for char in letters) * 2 > len(letters)
