"""A token of a program's source, and walking over brackets and functions. Reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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


def has_body(tokens: Sequence[Token], at: int) -> bool:
    """True if parameters and a brace follow."""
    end = behind_bracket(tokens, at) if at < len(tokens) and tokens[at].text == "(" else len(tokens)
    return end < len(tokens) and tokens[end].text == "{"


def function_bodies(tokens: Sequence[Token]) -> dict[str, set[str]]:
    """The functions that each function calls, by the function's name."""
    code = without_directives(tokens)
    opened, behind = list[int](), dict[int, int]()  # the place behind each bracket's own end: found once for all
    for place, token in enumerate(code):
        if token.text in _OPENING:
            opened.append(place)
        elif token.text in _CLOSING and opened:
            behind[opened.pop()] = place + 1
    bodies: dict[str, set[str]] = {}
    at = 0
    while at < len(code):
        brace = behind.get(at, len(code)) if code[at].text == "(" and at and code[at - 1].kind == "name" else len(code)
        if brace < len(code) and code[brace].text == "{":
            end = behind.get(brace, len(code))
            inside = code[brace:end]
            calls = {a.text for a, b in pairwise(inside) if a.kind == "name" and b.text == "("}
            bodies[code[at - 1].text] = calls
            at = end
        else:
            at += 1
    return bodies
