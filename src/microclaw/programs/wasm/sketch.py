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

from microclaw.programs.wasm.tokens import SourceToken, bracket_ends

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
    """The sketch as the compiler is to read it; `text` is what its tokens were read from: a line that a backslash
    joined to the one before counts as that one. A directive begins with its #.
    """
    ends = bracket_ends(code)
    edits = sorted((*_halts(code, ends), *_prototypes(code, ends, directives)), key=lambda edit: edit.begin)
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    parts = list[str]()
    at = 0
    for edit in edits:
        begin, end = (starts[line - 1] + column - 1 for line, column in (edit.begin, edit.end or edit.begin))
        back = f"{edit.inserted}\n#line {edit.begin[0]}\n{' ' * min(edit.begin[1] - 1, _MAX_COLUMN)}"
        parts += [text[at:begin], back if edit.inserted else re.sub(r"[^\n]", " ", text[begin:end])]
        at = end
    return "".join((*parts, text[at:]))


def _prototypes(
    code: Sequence[SourceToken], ends: Mapping[int, int], directives: Sequence[Sequence[SourceToken]]
) -> Iterator[_Edit]:
    """Each prototype in front of the first function or class, or behind what else the sketch declares and it names."""
    conditional = _conditional(code, directives)
    first = None
    macros = {
        name.text
        for _, word, name, behind in (each[:4] for each in directives if len(each) > 3)
        if word.text == "define" and behind.text == "(" and behind.place == name.end
    }
    functions = list[tuple[Sequence[SourceToken], int]]()
    known = dict[str, _Place]()
    written = set[str]()
    for begin, stop in _statements(code, ends):
        head = code[begin:stop]
        opening = _opening(code, ends, begin, stop)
        if opening is not None and code[opening - 1].text not in macros:
            if stop not in ends:
                written.add(_one_line(head))
                continue
            first = first or head[0].place
            if code[ends[opening] + 1].text == "-" or "auto" not in [token.text for token in head]:  # auto f() -> int
                functions.append((head, opening))
        else:
            outer = [code[at] for at in _outside_brackets(ends, begin, stop)]
            first = first or (head[0].place if _has_class(outer) else None)
            for name in _declared(outer):
                last = code[ends.get(stop, stop)]
                known.setdefault(name, (last.line, last.column + 1))
    places: dict[_Place, dict[str, int]] = {}
    for head, opening in functions:
        prototype = _one_line(head)
        if code[opening - 1].text in _WITHOUT or prototype in written or first is None:
            continue
        named = (known[token.text] for token in head if token.text in known)
        place = max([_around(first, conditional)[0], *(_around(each, conditional)[1] for each in named)])
        if place <= head[0].place:
            yield from _defaults(code, ends, opening)
            places.setdefault(place, {}).setdefault(f"{prototype};", head[0].line)  # remarks point at the definition
    for place, prototypes in places.items():
        yield _Edit(place, "".join(f"\n#line {line}\n{prototype}" for prototype, line in prototypes.items()))


def _statements(code: Sequence[SourceToken], ends: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield where each statement of the outermost level begins, and its `;`, or the brace of its block."""
    begin = 0
    at = 0
    seen = set[str]()
    while at < len(code):
        text = code[at].text
        end = ends.get(at, len(code) if text == "{" else at)
        is_body = code[at - 1].text in _BEFORE_A_BODY or "-" in seen  # f() -> type
        is_function = "(" in seen and is_body and code[begin].text != "typedef"
        if text in (";", "}") or (text == "{" and (is_function or code[begin].text in ("namespace", "extern"))):
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
    """The bracket of a function's parameters, which follows a type and a name."""
    for at in _outside_brackets(ends, begin, stop):
        if code[at].text in ("=", "{"):
            return None
        if code[at].text == "(" and code[at - 1].text not in _GROUPS:
            is_typed = at - 1 > begin and code[begin].kind == code[at - 1].kind == "name" and at in ends
            is_name = is_typed and code[at - 1].text not in _NO_NAMES
            return at if is_name and code[at - 2].text not in (":", "~", "operator") else None
    return None


def _has_class(outer: Sequence[SourceToken]) -> bool:
    texts = {token.text for token in outer}
    return "{" in texts and not _CLASSES.isdisjoint(texts)


def _declared(outer: Sequence[SourceToken]) -> Iterator[str]:
    """The names of a statement's classes, and the last one of a typedef, a using, or behind a class's block."""
    texts = [token.text for token in outer]
    for before, word, name in zip(("", *texts), texts, texts[1:], strict=False):
        if word in _CLASSES and name not in _CLASSES and before not in ("<", ","):  # of a template
            yield name
    if _has_class(outer) or texts[:1] in (["typedef"], ["using"]):
        if "{" in texts:
            begin = texts.index("{")
        else:
            begin = 0
        if "=" in texts:
            end = texts.index("=")
        else:
            end = len(texts)
        yield from [token.text for token in outer[begin:end] if token.kind == "name"][-1:]


def _defaults(code: Sequence[SourceToken], ends: Mapping[int, int], opening: int) -> Iterator[_Edit]:
    """Blanks over each default argument, which the prototype has; not where < may be a comparison: clang tells it."""
    depth = 0
    equal = None
    crossed = False
    for at in _outside_brackets(ends, opening + 1, ends[opening] + 1):
        token = code[at]
        depth += (token.text == "<") - (token.text == ">" and code[at - 1].text != "-")
        equal = equal or (token.place if token.text == "=" else None)
        crossed = crossed or (equal is not None and token.text == "," and depth > 0)
        if at == ends[opening]:
            is_end = not (crossed and depth)
        else:
            is_end = token.text == "," and depth == 0
        if equal is not None and is_end:
            yield _Edit(equal, end=token.place)
            equal = None
            crossed = False


def _one_line(tokens: Sequence[SourceToken]) -> str:
    """The tokens with a blank where something stands between them."""
    parts = [tokens[0].text]
    for before, token in pairwise(tokens):
        is_next = token.place == (before.line, before.column + len(before.text))
        parts += ["" if is_next else " ", token.text]
    return "".join(parts)


def _conditional(code: Sequence[SourceToken], directives: Sequence[Sequence[SourceToken]]) -> list[_Span]:
    """The sign of each outermost #if, and the first token behind its #endif, which may be another directive's sign.

    The lines' own begins may be in a comment, which what is put in there could end.
    """
    places = sorted(token.place for token in (*code, *(each[0] for each in directives)))
    spans = list[_Span]()
    depth = 0
    begin = (1, 1)
    for sign, word in (each[:2] for each in directives if len(each) > 1):
        if word.text in ("if", "ifdef", "ifndef"):
            begin = begin if depth else sign.place
            depth += 1
        elif word.text == "endif":
            depth -= 1
            if depth == 0:
                behind = bisect.bisect(places, sign.place)
                spans.append((begin, places[behind] if behind < len(places) else (word.line + 1, 1)))
    return spans


def _around(place: _Place, conditional: Sequence[_Span]) -> _Span:
    """The places before and behind the #if around a place; itself where none is."""
    at = bisect.bisect_left(conditional, (place,))
    return next(((begin, end) for begin, end in conditional[at - 1 : at] if place < end), (place, place))


def _halts(code: Sequence[SourceToken], ends: Mapping[int, int]) -> Iterator[_Edit]:
    """Make `while (1);` wait: it means "stop here". So does an endless loop whose body is empty or only goes on."""
    texts = [token.text for token in code]
    of_do = {ends[at + 1] for at, text in enumerate(texts) if text == "do" and at + 1 in ends}
    for at in (at for at, text in enumerate(texts[:-2]) if text in _ENDLESS and at + 1 in ends):
        behind = ends[at + 1] + 1
        if texts[at + 1 : min(behind, at + 6)] not in _ENDLESS[texts[at]] or behind >= len(code):
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
