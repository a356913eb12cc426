"""The words of conversations and notes, for search and for telling two lines apart. Asks no model."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# The sign of a list item, and the time of a note.
_BULLET: Final = re.compile(r"^\s*(?:(?:[-*+•]|\d{1,2}[.)])\s+)?(?:\d{1,2}:\d{2}\s+)?")
_WORD: Final = re.compile(r"\w+", re.UNICODE)


def fact_key(line: str) -> str:
    """Return a key that is equal for lines with the same words, whatever their case, punctuation and accents."""
    decomposed = unicodedata.normalize("NFKD", _BULLET.sub("", line)).casefold()
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(_WORD.findall(letters))


def significant_words(text: str) -> list[str]:
    """Return the words of a text without stop words: each once, in order, casefolded."""
    words: dict[str, None] = {}
    for match in _WORD.findall(unicodedata.normalize("NFC", text)):
        word = match.casefold()
        is_letter = len(word) == 1 and word.isascii() and not word.isdigit()
        if word not in _STOP and not is_letter:
            words[word] = None
    return list(words)


_STOP: Final = frozenset(
    """a about after again all also am an and any are as at be been but by can could did do does doing done for from
    get give go got had has have he hello her here him his how i if in into is it its just let like make may me more
    my no not now of off on one or our out over please put say see she should so some tell than thanks that the their
    them then there these they thing this those to too up us use was we were what when where which who whose why will
    with would yes you your
    aber als am an auch auf aus bei bin bis bist bitte da das dass dem den der des die doch du durch ein eine einem
    einen einer eines er es für hat habe haben hast ich ihr im in ist ja kann kein keine man mein meine mich mir mit
    nach nein nicht noch nur oder schon sein sich sie sind so über um und uns von vor war warum was wenn wer wie wir
    wird wo zu zum zur 的 了 吗 是 我 你 在 呢 吧""".split()  # noqa: SIM905  a list of 200 lines says no more
)
