"""Sentences that one misheard word turns into the opposite act ("stop blink", "start blink"). It acts on nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from microclaw.offline.sentences import english

_PAIRS: Final = (
    ("on", "off"),
    ("up", "down"),
    ("high", "low"),
    ("start", "stop"),
    ("run", "stop"),
    ("open", "close"),
    ("enable", "disable"),
    ("activate", "deactivate"),
    ("resume", "pause"),
    ("raise", "lower"),
    ("increase", "decrease"),
    ("lock", "unlock"),
)
_OPPOSITES: Final = {second: first for first, second in _PAIRS} | dict(_PAIRS)
_WORD: Final = re.compile(r"[a-z]+")


def has_opposite(text: str, unclear: Collection[str]) -> bool:
    """Return True if the opposite of one of the unclear words makes the sentence another act.

    If no template fits the sentence, a model may act on it: then such a word is enough.
    """
    if _OPPOSITES.keys().isdisjoint(unclear):
        return False
    sentence = text.lower()
    parse = english().parse(sentence)
    if parse is None:
        return True
    for match in _WORD.finditer(sentence):
        if match[0] in unclear and match[0] in _OPPOSITES:
            swapped = sentence[: match.start()] + _OPPOSITES[match[0]] + sentence[match.end() :]
            if english().parse(swapped) not in (None, parse):
                return True
    return False
