"""Corrects typing mistakes in known words, one word at a time. It guesses no meaning."""

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
    """The known words. A word is corrected only if exactly one known word is a single mistake away."""

    def __init__(self, words: Iterable[str], rare: Iterable[str] = ()) -> None:
        """`rare`: words that no short word is corrected to, because it is often a word of its own ("sell", "swell")."""
        self._words = frozenset(words)
        self._rare = frozenset(word for word in rare if len(word) <= _LONGEST_RARE)
        self._meant = sorted(self._words - self._rare)

    def mend(self, text: str) -> str:
        """The text with each unknown word corrected where there is exactly one way to."""
        unknown = {word for word in _WORD.findall(text) if word not in self._words}
        if len(unknown) > _MOST_UNKNOWN:
            return text  # another language, or none
        mended = {word: self._mended(word) for word in unknown if len(word) >= _SHORTEST_SWAPPED}
        return _WORD.sub(lambda m: mended.get(m[0], m[0]), text)

    def _mended(self, word: str) -> str:
        from rapidfuzz import process  # 3.5 MB, which a host without a misspelt word does without
        from rapidfuzz.distance import OSA

        found = process.extract(word, self._meant, scorer=OSA.distance, score_cutoff=1, limit=None)
        near = [known for known, _, _ in found if _is_slip(word, known)]
        # A first letter that is missing is another word ("teach", "each") more often than a slip.
        return near[0] if len(near) == 1 and (len(near[0]) == len(word) or near[0][0] == word[0]) else word


def _is_slip(word: str, known: str) -> bool:
    """Whether two words one step apart are a likely mistake; short words have too many neighbours."""
    if word[0] != known[0] and word[0] != known[1:2] and word[1:2] != known[0]:
        return False
    if len(word) != len(known):
        return max(len(word), len(known)) >= _SHORTEST_DROPPED
    return sorted(word) == sorted(known) or len(word) >= _SHORTEST_WRONG
