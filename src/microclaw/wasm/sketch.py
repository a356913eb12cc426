"""Prepares a sketch for the compiler, as the Arduino IDE does: prototypes. And a halt that waits. Compiles nothing.

Every function at the outermost level gets a prototype in front of the first function or class, so that functions may be
used before they are defined and an overload further down is found as well: compiling first, to see what is missing,
would silently take another overload. No line and no column of the person's text moves: inserted text ends with #line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, TypeAlias

from msgspec import Struct

from microclaw.wasm.tokens import Token, behind_bracket, opening_bracket, without_directives

_KEYWORDS: Final = frozenset(
    (
        *("if", "while", "for", "switch", "return", "sizeof", "decltype", "alignas", "__attribute__", "void", "int"),
        *("noexcept", "throw", "defined", "long", "short", "unsigned", "signed", "float", "double", "bool", "operator"),
        "char",
    )
)
_CLASSES: Final = frozenset(("class", "struct", "union", "enum"))
_BRANCHES: Final = frozenset(("#if", "#ifdef", "#ifndef"))
_WITHOUT: Final = frozenset(("setup", "loop", "main"))
_HALT: Final = "delay(1000)"
_Place: TypeAlias = tuple[int, int]  # line and column, from 1


class _Function(Struct, frozen=True):
    """The head of a function, as places in the list of tokens. `defaults` are those of its default arguments."""

    begin: int
    name: int
    end: int  # the brace of its body
    defaults: tuple[tuple[int, int], ...]


class _Outline(Struct):
    functions: list[_Function] = []
    types: dict[str, int] = {}  # each type of the sketch, and the place behind its definition
    declared: set[tuple[str, int]] = set()  # prototypes of its own: name, number of parameters
    first: int | None = None  # of the first function or class


def prepare_sketch(text: str, tokens: Sequence[Token]) -> str:
    """The sketch as the compiler is to read it."""
    code = without_directives(tokens)
    edits = [*_halts(code)]
    outline = _read_outline(code, _function_macros(tokens))
    if outline.first is not None:
        edits += _prototypes(code, outline, _conditional_lines(tokens))
    return _edited(text, edits)


class _Edit(Struct, frozen=True):
    """Text that is put in at a place, or blanks over what lies between it and the token `until`.

    `before` is the token that is expected there: where another stands, or none (a joined line), nothing is done.
    """

    place: _Place
    before: str
    inserted: str = ""
    until: Token | None = None


def _function_macros(tokens: Sequence[Token]) -> set[str]:
    """The names of macros with parameters."""
    return {
        name.text
        for sign, define, name, bracket in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False)
        if sign.kind == "hash" and define.text == "define"
        if bracket.text == "(" and bracket.column == name.column + len(name.text)
    }


def _conditional_lines(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """The first and last line of each outermost #if ... #endif."""
    spans, depth, begin = [], 0, 0
    for at, token in enumerate(tokens[:-1]):
        if token.kind != "hash" or (at and tokens[at - 1].line == token.line):
            continue
        word = tokens[at + 1].text
        if f"#{word}" in _BRANCHES:
            begin = token.line if depth == 0 else begin
            depth += 1
        elif word == "endif":
            depth -= 1
            if depth == 0:
                spans.append((begin, token.line))
    return spans


def _read_outline(code: Sequence[Token], macros: set[str]) -> _Outline:
    """The functions and types at the outermost level, statement by statement."""
    outline = _Outline()
    begin = at = 0
    while at < len(code):
        text = code[at].text
        if text == ";":
            _read_statement(code, begin, at, outline)
            begin = at = at + 1
        elif text == "{":
            end = behind_bracket(code, at)
            function = _read_head(code, begin, at, macros)
            is_type = _is_class(code, begin, at)
            if function is not None:
                outline.functions.append(function)
            if outline.first is None and (function is not None or is_type):
                outline.first = begin
            at = end
            following = code[at].text if at < len(code) else ""
            has_value = any(code[place].text == "=" for place in _outermost(code, begin, end))
            if not (is_type or has_value or following in (",", "{", ";")):
                begin = at
        elif text in ("(", "["):
            at = behind_bracket(code, at)
        else:
            at += 1
    return outline


def _is_class(code: Sequence[Token], begin: int, brace: int) -> bool:
    head = _behind_template(code, begin)
    while head < brace and code[head].text in ("typedef", "static", "const"):
        head += 1
    return head < brace and code[head].text in _CLASSES and not any(t.text == "(" for t in code[head:brace])


def _behind_template(code: Sequence[Token], begin: int) -> int:
    """The place behind `template <...>`, which may stand more than once."""
    at = begin
    while at + 1 < len(code) and code[at].text == "template" and code[at + 1].text == "<":
        depth, at = 0, at + 1
        while at < len(code):
            depth += (code[at].text == "<") - (code[at].text == ">")
            at += 1
            if depth == 0:
                break
    return at


def _read_statement(code: Sequence[Token], begin: int, end: int, outline: _Outline) -> None:
    """A type that a statement defines, or a prototype that it is."""
    if begin >= end:
        return
    head = _behind_template(code, begin)
    if code[head].text == "typedef":
        names = [t.text for t in code[head:end] if t.kind == "name"]
        outline.types[names[-1]] = end + 1
        if len(names) > 2 and names[1] in _CLASSES:
            outline.types.setdefault(names[2], end + 1)
    elif code[head].text == "using" and head + 2 < end and code[head + 2].text == "=":
        outline.types[code[head + 1].text] = end + 1
    elif code[head].text in _CLASSES:
        name = head + 2 if code[head + 1].text in ("class", "struct") else head + 1
        if code[name].kind == "name":
            outline.types.setdefault(code[name].text, end + 1)
    for at in range(head, end):
        if code[at].text == "=":
            return
        if code[at].text == "(":
            if at > head + 1 and code[at - 1].kind == "name" and behind_bracket(code, at) == end:
                outline.declared.add((code[at - 1].text, _count(code, at)))
            return


def _count(code: Sequence[Token], bracket: int) -> int:
    """The number of parameters in brackets."""
    end = behind_bracket(code, bracket) - 1
    is_empty = [t.text for t in code[bracket + 1 : end]] in ([], ["void"])
    return 0 if is_empty else len(_parameters(code, bracket))


def _parameters(code: Sequence[Token], bracket: int) -> list[tuple[int, int]]:
    """The places of each parameter in brackets: its first token, and the comma or bracket behind it."""
    close = behind_bracket(code, bracket) - 1
    commas = [at for at in _outermost(code, bracket + 1, close) if code[at].text == ","]
    return [(before + 1, behind) for before, behind in pairwise((bracket, *commas, close))]


def _outermost(code: Sequence[Token], begin: int, end: int) -> Iterator[int]:
    """The places outside of all brackets, those of templates included."""
    at, angle = begin, 0
    while at < end:
        angle = max(0, angle + (code[at].text == "<") - (code[at].text == ">"))
        if code[at].text in ("(", "[", "{"):
            at = behind_bracket(code, at)
            continue
        if angle == 0:
            yield at
        at += 1


def _read_head(code: Sequence[Token], begin: int, brace: int, macros: set[str]) -> _Function | None:
    """The head of a function that can have a prototype, with its body at `brace`."""
    head = _behind_template(code, begin)
    if any(t.text == "=" for t in code[begin:head]):
        return None  # the default of a template's parameter cannot stand twice
    at = head
    while at < brace and code[at].text != "(":
        if code[at].text in ("=", "operator", "namespace", "~") or (code[at].text in _CLASSES and at + 1 == brace):
            return None
        at += 1
        if at < brace and code[at].text == "(" and code[at - 1].text in ("__attribute__", "decltype", "alignas"):
            at = behind_bracket(code, at)
    name = at - 1
    if at >= brace or name <= head or code[name].kind != "name" or code[name].text in _KEYWORDS | macros:
        return None
    if code[name - 1].text == ":" or code[head].text in macros:
        return None
    close = behind_bracket(code, at) - 1
    behind = [t.text for t in code[close + 1 : brace]]
    returns = behind[:2] == ["-", ">"]
    if behind and not (returns or behind[0] in ("noexcept", "__attribute__")):
        return None
    if any(t.text == "auto" for t in code[head:name]) and not returns:
        return None
    return _Function(begin, name, brace, tuple(_defaults(code, at)))


def _defaults(code: Sequence[Token], bracket: int) -> Iterator[tuple[int, int]]:
    """The places from `=` to the end of each default argument."""
    for begin, end in _parameters(code, bracket):
        at = next((at for at in _outermost(code, begin, end) if code[at].text == "="), None)
        if at is not None:
            yield at, end


def _prototypes(code: Sequence[Token], outline: _Outline, conditional: Sequence[tuple[int, int]]) -> Iterator[_Edit]:
    """Each prototype in front of the first function or class, or behind the last type of the sketch that it names."""
    first = _before(_place(code[outline.first or 0]), conditional)
    at_place: dict[_Place, list[str]] = {}
    made: set[str] = set()
    for function in outline.functions:
        name = code[function.name].text
        if name in _WITHOUT or (name, _count(code, function.name + 1)) in outline.declared:
            continue
        words = [t.text for t in code[function.begin : function.end]]
        if "{" in words:
            continue  # a default argument with braces: a lambda, or an object
        types = (_place(code[outline.types[word] - 1]) for word in words if word in outline.types)
        place = max(first, *(_behind(end, conditional) for end in types), first)
        if place > _place(code[function.begin]):
            continue
        prototype = _spelled(code[function.begin : function.end]) + ";"
        at_line = f"#line {code[function.begin].line}\n{prototype}"  # remarks on it point at the definition
        for begin, end in function.defaults:
            yield _Edit(_place(code[begin]), "=", until=code[end])
        if prototype not in made:
            made.add(prototype)
            at_place.setdefault(place, []).append(at_line)
    for place, prototypes in at_place.items():
        yield _Edit(place, "", "\n".join(("", *prototypes)))


def _place(token: Token) -> _Place:
    return token.line, token.column


def _before(place: _Place, conditional: Sequence[tuple[int, int]]) -> _Place:
    """The place, or the #if in front of it that could take away what is put there."""
    return next(((begin, 1) for begin, end in conditional if begin < place[0] < end), place)


def _behind(semicolon: _Place, conditional: Sequence[tuple[int, int]]) -> _Place:
    """Behind the end of a type's definition, and of the #if around it."""
    line, column = semicolon
    return next(((end + 1, 1) for begin, end in conditional if begin < line < end), (line, column + 1))


def _spelled(tokens: Sequence[Token]) -> str:
    """Tokens as text: with a blank where the source has one, or a new line."""
    words = []
    for before, token in zip((tokens[0], *tokens), tokens, strict=False):
        touches = before.line == token.line and before.column + len(before.text) == token.column
        words.append(token.text if touches or token is before else f" {token.text}")
    return "".join(words)


def _halts(code: Sequence[Token]) -> Iterator[_Edit]:
    """`while (1);` means "stop here": it gets something to do that waits."""
    for at in range(len(code)):
        body = _endless_body(code, at)
        if body is not None:
            inserted = f"{_HALT}{';' if code[body].text == '}' else ''}"
            yield _Edit(_place(code[body]), code[body].text, inserted)


def _endless_body(code: Sequence[Token], at: int) -> int | None:
    """The place of an endless loop's empty body: its `;` or the brace that closes it."""
    heads = (["while", "(", "1", ")"], ["while", "(", "true", ")"], ["for", "(", ";", ";", ")"])
    head = next((h for h in heads if [t.text for t in code[at : at + len(h)]] == h), None)
    if head is None:
        return None
    body = [t.text for t in code[at + len(head) : at + len(head) + 3]]
    opening = opening_bracket(code, at - 1) if at and code[at - 1].text == "}" else 0
    is_do = opening > 0 and code[opening - 1].text == "do"
    if body[:1] == [";"] and not is_do:
        return at + len(head)
    if body[:2] == ["{", "}"]:
        return at + len(head) + 1
    return at + len(head) + 2 if body == ["{", ";", "}"] else None


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    """The text with all edits, from its end to its beginning, so that places stay true."""
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    for edit in sorted(edits, key=lambda e: e.place, reverse=True):
        line, column = edit.place
        begin = end = starts[line - 1] + column - 1
        if begin >= starts[line] or not text.startswith(edit.before, begin):
            continue
        made = f"{edit.inserted}\n#line {line}\n{' ' * (column - 1)}"
        if edit.until is not None:  # which may be on a later line; comments between them go too
            end = min(starts[edit.until.line - 1] + edit.until.column, starts[edit.until.line]) - 1
            made = re.sub(r"[^\n]", " ", text[begin:end])
        text = text[:begin] + made + text[end:]
    return text
