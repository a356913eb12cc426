"""Cuts Markdown into messages that Telegram takes: at sensible borders, code blocks closed and opened again. No IO.

Telegram counts UTF-16 code units, at most 4096 a message (Bot API, sendMessage).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LIMIT: Final = 4096
_FENCE: Final = re.compile(r"^ {0,3}(```+)([^`\n]*)$", re.MULTILINE)
_CLOSING: Final = "\n```"
_MAX_INFO: Final = 32  # a longer word after ``` is no language and is not repeated
_SENTENCE: Final = re.compile(r"[.!?…。！？][)\"'”’]*\s")
_JOINER, _VARIATION = "\u200d", "\ufe0f"


def units(text: str) -> int:
    """How many UTF-16 code units `text` has."""
    return len(text) + sum(1 for c in text if c > "\uffff")


def split(text: str, limit: int = LIMIT) -> list[str]:
    """`text` in pieces of at most `limit` units (at least 200), none of them blank; only white space is lost."""
    pieces: list[str] = []
    rest = text.strip("\n").rstrip()
    while len(rest) > limit or units(rest) > limit:  # the first is quick, and enough for a long text
        room = _prefix(rest, limit - units(_CLOSING))
        cut = _border(rest, room)
        piece, after = rest[:cut].rstrip(), rest[cut:]
        opened = open_fence(piece)
        if opened is None:
            rest = after.lstrip("\n") if after.startswith("\n") else after.removeprefix(" ")
        else:
            piece += _CLOSING
            rest = f"{opened}\n{after.removeprefix(chr(10))}"
        if piece.strip():
            pieces.append(piece)
    if rest.strip():
        pieces.append(rest)
    return pieces


def open_fence(text: str) -> str | None:
    """The line that opens the code block `text` ends in, short enough to be repeated; None outside of one."""
    opened: str | None = None
    for found in _FENCE.finditer(text):
        info = found[2].strip()
        if opened is None:
            opened = f"```{info if len(info) <= _MAX_INFO else ''}"
        elif not info:
            opened = None
    return opened


def _prefix(text: str, limit: int) -> int:
    """How many characters of `text` fit into `limit` units."""
    fits = 0
    for index, c in enumerate(text):
        fits += 2 if c > "\uffff" else 1
        if fits > limit:
            return index
    return len(text)


def _border(text: str, room: int) -> int:
    """Where to cut within the first `room` characters: paragraph, line, sentence, word, and then anywhere.

    A border in the first third is left for a weaker one behind it: pieces should not become crumbs.
    """
    least = room // 3
    window = text[: room + 1]
    for border in ("\n\n", "\n"):
        at = window.rfind(border, least)
        if at > 0 and not _is_fence_line(text, at):
            return at
    sentences = [found.end() for found in _SENTENCE.finditer(window, least, room)]
    if sentences:
        return sentences[-1]
    at = window.rfind(" ", least)
    if at > 0:
        return at
    return _whole_letter(text, room)


def _is_fence_line(text: str, at: int) -> bool:
    """Whether the line that ends at `at` opens a code block: it would be left alone at a message's end."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return _FENCE.fullmatch(line) is not None and open_fence(text[:at]) is not None


def _whole_letter(text: str, at: int) -> int:
    """`at`, or a little before it where it would cut a letter from its accents or a joined emoji."""
    for earlier in range(at, max(1, at - 12), -1):
        c, before = text[earlier], text[earlier - 1]
        if not (unicodedata.combining(c) or c in (_JOINER, _VARIATION) or before == _JOINER):
            return earlier
    return at
