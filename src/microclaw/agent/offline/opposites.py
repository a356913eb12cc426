"""Sentences that one misheard word turns into the opposite act ("stop blink", "start blink"). It acts on nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from microclaw.agent.offline.sentences import english

_PAIRS: Final = """\
on off
up down
high low
start stop
run stop
open close
enable disable
activate deactivate
resume pause
raise lower
increase decrease
"""
_ONE_WAY: Final = dict(pair.split() for pair in _PAIRS.splitlines())
_OPPOSITES: Final = {**_ONE_WAY, **{opposite: word for word, opposite in _ONE_WAY.items()}}
"""By word. "Stop" has two opposites, "start" and "run", which mean the same: it is listed with one of them."""
_WORD: Final = re.compile(r"[a-z]+")


def has_opposite(text: str, unclear: Collection[str]) -> bool:
    """Return True if the opposite of one of the unclear words makes the sentence another act.

    If no template fits the sentence, a model may act on it: then such a word is enough.
    """
    sentence = text.lower()
    for match in _WORD.finditer(sentence):
        opposite = _OPPOSITES.get(match[0])
        if opposite is None or match[0] not in unclear:
            continue
        parse = english().parse(sentence)
        swapped = sentence[: match.start()] + opposite + sentence[match.end() :]
        if parse is None or english().parse(swapped) not in (None, parse):
            return True
    return False
