"""A token of a program's source, and walking over brackets. Reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # "string", "char", "name", "number", "hash", "other"
    text: str
    line: int
    column: int


def behind_bracket(tokens: Sequence[Token], at: int) -> int:
    """The place behind the bracket that closes the one at `at`; the end where none does."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += (tokens[place].text in _OPENING) - (tokens[place].text in _CLOSING)
        if depth <= 0:
            return place + 1
    return len(tokens)


def opening_bracket(tokens: Sequence[Token], at: int) -> int:
    """The place of the bracket that the one at `at` closes; -1 where none opens it."""
    depth = 0
    for place in range(at, -1, -1):
        depth += (tokens[place].text in _CLOSING) - (tokens[place].text in _OPENING)
        if depth <= 0:
            return place
    return -1


def without_directives(tokens: Sequence[Token]) -> list[Token]:
    """The tokens that are not part of a preprocessor's line."""
    left: list[Token] = []
    line = directive = 0
    for token in tokens:
        if token.kind == "hash" and token.line != line:
            directive = token.line
        line = token.line
        if token.line != directive:
            left.append(token)
    return left
