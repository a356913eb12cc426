"""A token of a program's source, and walking over brackets and functions. Reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


class Token(Struct, frozen=True):
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


def body_begin(tokens: Sequence[Token], at: int) -> int | None:
    """The place of the brace that follows parameters, which begin at `at`; words like const may be between them."""
    end = behind_bracket(tokens, at) if at < len(tokens) and tokens[at].text == "(" else len(tokens)
    while end < len(tokens) and tokens[end].kind == "name":
        end += 1
    return end if end < len(tokens) and tokens[end].text == "{" else None


def read_functions(tokens: Sequence[Token]) -> dict[str, Sequence[Token]]:
    """The body of each function, its braces included, by the function's name: of several the first."""
    code = without_directives(tokens)
    bodies: dict[str, Sequence[Token]] = {}
    at = 0
    while at < len(code):
        is_named = code[at].text == "(" and at > 0 and code[at - 1].kind == "name"
        begin = body_begin(code, at) if is_named else None
        end = at + 1 if begin is None else behind_bracket(code, begin)
        if begin is not None:
            bodies.setdefault(code[at - 1].text, code[begin:end])
        at = end
    return bodies
