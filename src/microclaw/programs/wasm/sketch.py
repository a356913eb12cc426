"""Prepares a sketch for the compiler, as the Arduino IDE does: prototypes. And a halt that waits. Compiles nothing.

Every function at the outermost level gets a prototype in front of the first function or class, so that functions may be
used before they are defined and an overload further down is found as well: compiling first, to see what is missing,
would silently take another overload. No line and no column of the person's text moves: inserted text ends with #line.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.programs.wasm.tokens import SourceToken, bracket_ends, texts_of

_Place: TypeAlias = tuple[int, int]  # line and column
_Span: TypeAlias = tuple[_Place, _Place]

_CLASSES: Final = frozenset(("class", "struct", "union", "enum"))
_GROUPS: Final = frozenset(("__attribute__", "decltype", "alignas"))
_NO_NAMES: Final = frozenset(("operator", "void", "int", "return", "sizeof"))
_ENDLESS: Final = {"while": (["(", "1", ")"], ["(", "true", ")"]), "for": (["(", ";", ";", ")"],)}
_WITHOUT: Final = frozenset(("setup", "loop", "main"))
_HALT: Final = "delay(1000)"
_BEFORE_A_BODY: Final = frozenset((")", "}", "const", "noexcept", "&"))
_MAX_COLUMN: Final = 1000  # that is kept: on a line of a megabyte each edit would put in another one


class _Edit(Struct, frozen=True):
    """Text that is put in at a place; or, without one, blanks up to `end`."""

    begin: _Place
    inserted: str = ""
    end: _Place | None = None


def prepare_sketch(text: str, code: Sequence[SourceToken], directives: Sequence[Sequence[SourceToken]]) -> str:
    """Return the sketch as the compiler is to read it.

    `text` is what its tokens were read from: a line that a backslash joined to the one before counts as that one.
    A directive begins with its #.
    """
    ends = bracket_ends(code)
    prototypes = _Prototypes(code, ends, directives).edits()
    edits = sorted((*_halts(code, ends), *prototypes), key=lambda edit: edit.begin)
    starts = [0, *(newline.end() for newline in re.finditer("\n", text))]
    parts = list[str]()
    at = 0
    for edit in edits:
        line, column = edit.begin
        begin = starts[line - 1] + column - 1
        parts.append(text[at:begin])
        at = begin
        if edit.end is None:
            parts.append(f"{edit.inserted}\n#line {line}\n{' ' * min(column - 1, _MAX_COLUMN)}")
        else:
            line, column = edit.end
            at = starts[line - 1] + column - 1
            parts.append(re.sub(r"[^\n]", " ", text[begin:at]))
    return "".join((*parts, text[at:]))


class _Prototypes:
    """The prototypes of a sketch: each in front of the first function or class, or behind the last name it needs."""

    def __init__(
        self, code: Sequence[SourceToken], ends: Mapping[int, int], directives: Sequence[Sequence[SourceToken]]
    ) -> None:
        self._code = code
        self._ends = ends
        self._conditional = _conditional(code, directives)
        self._macros = set(_function_macros(directives))
        self._first: _Place | None = None  # function or class
        self._functions = list[tuple[Sequence[SourceToken], int]]()
        self._declared = dict[str, _Place]()  # the places behind the declarations of names
        self._written = set[str]()  # the sketch's own prototypes
        for begin, stop in _statements(code, ends):
            self._read(begin, stop)

    def _read(self, begin: int, stop: int) -> None:
        """Note what a statement declares or defines."""
        head = self._code[begin:stop]
        opening = _opening(self._code, self._ends, begin, stop)
        if opening is None or self._code[opening - 1].text in self._macros:
            outer = [self._code[at] for at in _outside_brackets(self._ends, begin, stop)]
            if self._first is None and _has_class(outer):
                self._first = head[0].place
            last = self._code[self._ends.get(stop, stop)]
            for name in _declared(outer):
                self._declared.setdefault(name, (last.line, last.column + 1))
        elif stop not in self._ends:
            self._written.add(_one_line(head))
        else:
            self._first = self._first or head[0].place
            # The type of an auto function is only known behind it, unless it is written: auto f() -> int.
            if self._code[self._ends[opening] + 1].text == "-" or "auto" not in texts_of(head):
                self._functions.append((head, opening))

    def edits(self) -> Iterator[_Edit]:
        """Yield the prototypes, and blanks over default arguments in the definitions."""
        places: dict[_Place, dict[str, int]] = {}
        for head, opening in self._functions:
            prototype = _one_line(head)
            if self._code[opening - 1].text in _WITHOUT or prototype in self._written:
                continue
            place = self._place_for(head)
            if place <= head[0].place:
                yield from _defaults(self._code, self._ends, opening)
                # Remarks point at the definition.
                places.setdefault(place, {}).setdefault(prototype, head[0].line)
        for place, lines in places.items():
            prototypes = [f"\n#line {line}\n{prototype};" for prototype, line in lines.items()]
            yield _Edit(place, "".join(prototypes))

    def _place_for(self, head: Sequence[SourceToken]) -> _Place:
        """Return where a function's prototype belongs."""
        assert self._first is not None
        place, _ = _around(self._first, self._conditional)
        for token in head:
            if token.text in self._declared:
                _, behind = _around(self._declared[token.text], self._conditional)
                place = max(place, behind)
        return place


def _function_macros(directives: Sequence[Sequence[SourceToken]]) -> Iterator[str]:
    """Yield the names of the macros with parameters."""
    for directive in directives:
        if len(directive) > 3 and directive[1].text == "define":
            name, behind = directive[2:4]
            if behind.text == "(" and behind.place == name.end:
                yield name.text


def _statements(code: Sequence[SourceToken], ends: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield where each statement of the outermost level begins, and its `;`, or the brace of its block."""
    begin = 0
    at = 0
    seen = set[str]()
    while at < len(code):
        text = code[at].text
        end = at
        has_block = code[begin].text in ("namespace", "extern")
        if text == "{":
            end = len(code)
            # A type may stand behind an arrow: f() -> type.
            is_body = code[at - 1].text in _BEFORE_A_BODY or "-" in seen
            is_function = "(" in seen and is_body and code[begin].text != "typedef"
            has_block = has_block or is_function
        end = ends.get(at, end)
        if text in (";", "}") or (text == "{" and has_block):
            yield begin, at
            begin = end + 1
            seen = set()
        else:
            seen.add(text)
        at = end + 1


def _outside_brackets(ends: Mapping[int, int], at: int, stop: int) -> Iterator[int]:
    """Yield the places of tokens, of those in brackets only the first bracket."""
    while at < stop:
        yield at
        at = ends.get(at, at) + 1


def _opening(code: Sequence[SourceToken], ends: Mapping[int, int], begin: int, stop: int) -> int | None:
    """Return the bracket of a function's parameters, which follows a type and a name, or None."""
    for at in _outside_brackets(ends, begin, stop):
        name = code[at - 1]
        if code[at].text in ("=", "{"):
            return None
        if code[at].text == "(" and name.text not in _GROUPS:
            is_typed = at - 1 > begin and code[begin].kind == name.kind == "name" and at in ends
            if is_typed and name.text not in _NO_NAMES and code[at - 2].text not in (":", "~", "operator"):
                return at
            return None
    return None


def _has_class(outer: Sequence[SourceToken]) -> bool:
    texts = texts_of(outer)
    return "{" in texts and not _CLASSES.isdisjoint(texts)


def _declared(outer: Sequence[SourceToken]) -> Iterator[str]:
    """Yield the names of a statement's classes, and the last one of a typedef, a using, or behind a class's block."""
    texts = ["", *texts_of(outer)]
    for before, word, name in zip(texts, texts[1:], texts[2:], strict=False):
        # "<" and "," begin a parameter of a template.
        if word in _CLASSES and name not in _CLASSES and before not in ("<", ","):
            yield name
    if not _has_class(outer) and texts[1:2] not in (["typedef"], ["using"]):
        return
    is_inside = "{" not in texts
    last = None
    for token in outer:
        if token.text == "=":
            break
        is_inside = is_inside or token.text == "{"
        if is_inside and token.kind == "name":
            last = token.text
    if last is not None:
        yield last


def _defaults(code: Sequence[SourceToken], ends: Mapping[int, int], opening: int) -> Iterator[_Edit]:
    """Yield blanks over each default argument, which the prototype has; not if < may be a comparison: clang reports it.

    Commas in brackets <> do not end an argument.
    """
    depth = 0
    equal = None
    crossed = False
    for at in _outside_brackets(ends, opening + 1, ends[opening] + 1):
        token = code[at]
        depth += (token.text == "<") - (token.text == ">" and code[at - 1].text != "-")
        if equal is None:
            if token.text == "=":
                equal = token.place
            continue
        crossed = crossed or (token.text == "," and depth > 0)
        if at == ends[opening]:
            is_end = not (crossed and depth)
        else:
            is_end = token.text == "," and depth == 0
        if is_end:
            yield _Edit(equal, end=token.place)
            equal = None
            crossed = False


def _one_line(tokens: Sequence[SourceToken]) -> str:
    """Return the tokens with a blank where something stands between them."""
    parts = [tokens[0].text]
    for before, token in pairwise(tokens):
        if token.place != before.end:
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)


def _conditional(code: Sequence[SourceToken], directives: Sequence[Sequence[SourceToken]]) -> list[_Span]:
    """Return the sign of each outermost #if, and the first token behind its #endif, also another directive's sign.

    The lines' own begins may be in a comment, which what is put in there could end.
    """
    signs = [directive[0] for directive in directives]
    places = sorted(token.place for token in (*code, *signs))
    spans = list[_Span]()
    depth = 0
    begin = (1, 1)
    for directive in directives:
        if len(directive) == 1:
            continue
        sign, word = directive[:2]
        if word.text in ("if", "ifdef", "ifndef"):
            if depth == 0:
                begin = sign.place
            depth += 1
        elif word.text == "endif":
            depth -= 1
            if depth == 0:
                behind = bisect.bisect(places, sign.place)
                following = places[behind : behind + 1] or [(word.line + 1, 1)]
                spans.append((begin, following[0]))
    return spans


def _around(place: _Place, conditional: Sequence[_Span]) -> _Span:
    """Return the places before and behind the #if around a place; the place itself if there is none."""
    at = bisect.bisect_left(conditional, (place,))
    for begin, end in conditional[at - 1 : at]:
        if place < end:
            return begin, end
    return place, place


def _halts(code: Sequence[SourceToken], ends: Mapping[int, int]) -> Iterator[_Edit]:
    """Make `while (1);` wait: it means "stop here". So does an endless loop whose body is empty or only goes on."""
    texts = texts_of(code)
    of_do = {ends[at + 1] for at, text in enumerate(texts) if text == "do" and at + 1 in ends}
    for at, text in enumerate(texts[:-2]):
        if text not in _ENDLESS or at + 1 not in ends:
            continue
        behind = ends[at + 1] + 1
        if texts[at + 1 : min(behind, at + 6)] not in _ENDLESS[text] or behind >= len(code):
            continue
        if texts[behind] == ";" and at - 1 not in of_do:
            yield _Edit(code[behind].place, _HALT)
        elif _does_nothing(texts, behind, ends):
            yield _Edit(code[behind].place, f"for (;; {_HALT}) ")


def _does_nothing(texts: Sequence[str], body: int, ends: Mapping[int, int]) -> bool:
    """Return True for the body `continue;` of a loop, and for a block that holds at most that."""
    if texts[body] == "{":
        return set(texts[body + 1 : ends.get(body, len(texts))]) <= {"continue", ";"}
    return texts[body : body + 2] == ["continue", ";"]
