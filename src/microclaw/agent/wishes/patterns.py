"""Compiles the rows of a table of words: <NAME> in a row stands for a part of the table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_PART: Final = re.compile(r"(?<!\?P)<([a-z_]+)>")
_WORD_ENDS: Final = r"(?![\w#])"
Patterns = tuple[tuple[str, re.Pattern[str]], ...]


def compile_rows(rows: Mapping[str, Any], parts: Mapping[str, str]) -> Patterns:
    """Return each row's name with each of its patterns, which ends where a word ends."""
    patterns = []
    for name, row in rows.items():
        for words in row:
            patterns.append((name, re.compile(f"(?:{fill(words, parts)}){_WORD_ENDS}")))
    return tuple(patterns)


def fill(words: str, parts: Mapping[str, str]) -> str:
    """Return words with their parts, which may have parts themselves."""
    while _PART.search(words) is not None:
        words = _PART.sub(lambda match: parts[match[1]], words)
    return words
