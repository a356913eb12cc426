"""A token of a program's source, and where brackets and functions end, each found in one pass. Reads no text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

_OPENING: Final = {")": "(", "]": "[", "}": "{"}


class SourceToken(Struct, frozen=True):
    kind: str  # "string", "char", "name", "number", "hash", "other"
    text: str
    line: int
    column: int

    @property
    def place(self) -> tuple[int, int]:
        return self.line, self.column

    @property
    def end(self) -> tuple[int, int]:
        return self.line, self.column + len(self.text)


def texts_of(tokens: Sequence[SourceToken]) -> list[str]:
    return [token.text for token in tokens]


def bracket_ends(tokens: Sequence[SourceToken]) -> dict[int, int]:
    """Return the place of the bracket that closes each that is closed; a brace also closes what is open within."""
    opened = list[int]()
    ends = dict[int, int]()
    for place, token in enumerate(tokens):
        if token.text in _OPENING.values():
            opened.append(place)
            continue
        while token.text == "}" and opened and tokens[opened[-1]].text != "{":
            opened.pop()
        if opened and tokens[opened[-1]].text == _OPENING.get(token.text):
            ends[opened.pop()] = place
    return ends


def function_bodies(code: Sequence[SourceToken]) -> dict[str, set[str]]:
    """Return the functions that each function calls, by its name: those of one name together, a method's too."""
    ends = bracket_ends(code)
    bodies = dict[str, set[str]]()
    at = 1
    while at < len(code):
        brace = len(code)
        if code[at].text == "(" and code[at - 1].kind == "name":
            brace = ends.get(at, brace) + 1
        if brace < len(code) and code[brace].text == "{":
            calls = bodies.setdefault(code[at - 1].text, set())
            at = ends.get(brace, len(code))
            for token, behind in pairwise(code[brace:at]):
                if token.kind == "name" and behind.text == "(":
                    calls.add(token.text)
        at += 1
    return bodies


def outer_functions(tokens: Sequence[SourceToken]) -> dict[str, int]:
    """Return the place of the brace of each function of the outermost level: of those of one name the first."""
    found = dict[str, int]()
    heads = list[str]()
    depth = 0
    for place, (token, behind) in enumerate(pairwise(tokens)):
        if token.text == "{":
            if depth == 0:
                for name in heads:
                    found.setdefault(name, place)
            depth += 1
        elif token.text == "}":
            depth = max(0, depth - 1)
            heads = []
        elif depth == 0 and token.text == ";":
            heads = []
        elif depth == 0 and token.kind == "name" and behind.text == "(":
            heads.append(token.text)
    return found
