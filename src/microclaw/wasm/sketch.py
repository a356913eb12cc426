"""Prepares a sketch for the compiler, as the Arduino IDE does: prototypes. And a halt that waits. Compiles nothing.

Every function at the outermost level gets a prototype in front of the first function or class, so that functions may be
used before they are defined and an overload further down is found as well: compiling first, to see what is missing,
would silently take another overload. No line and no column of the person's text moves: inserted text ends with #line.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

_Span: TypeAlias = tuple[int, int]

_ASIDE: Final = re.compile(
    r"""(?P<kept>\b[0-9](?:'(?=\w)|[\w.])*)
      | (?P<away>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:\\[ \t]*\n|/\*.*?\*/|[^\n])*)
      | (?:\b[uUL]?8?R"([^(\s]*)\(.*?\)\3"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
"""Numbers, comments and directives, and texts."""
_STATEMENT: Final = re.compile(r"[^;{}]*+(?:;|\{\s*+\}?|\}|\Z)")
_TEMPLATE: Final = re.compile(r"\s*(?:template\s*<(?P<parameters>[^;{}()]*?)>\s*(?=template|[A-Za-z_]))?")
_GROUP: Final = r"(?:__attribute__\s*\(\([^;{}]*?\)\)|(?:decltype|alignas)\s*\([^(){}]*\))"
_NO_NAME: Final = r"(?!(?:operator|__attribute__|decltype|alignas|void|int|return|sizeof)\b)"
_HEAD: Final = re.compile(
    rf"(?P<type>(?:{_GROUP}|[A-Za-z_])(?:{_GROUP}|[^()={{}}])*?)(?<![\w:~])(?P<name>{_NO_NAME}[A-Za-z_]\w*)\s*(?=\()"
)
_CLASS: Final = re.compile(
    r"(?:(?:typedef|static|const)\s+)*(?:enum\s+(?:class|struct)|class|struct|union|enum)\b([^(;{]*)[;{]"
)
_BEHIND: Final = ("->", "noexcept", "__attribute__")
_MACRO: Final = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(", re.MULTILINE)
_CONDITION: Final = re.compile(r"^[ \t]*#[ \t]*(if|endif)", re.MULTILINE)  # if, ifdef and ifndef
_ENDLESS: Final = re.compile(
    r"(?P<brace>\}\s*)?(?:\bwhile\s*\(\s*(?:1|true)\s*\)|\bfor\s*\(\s*;\s*;\s*\))\s*(?:(?P<none>;)|\{\s*;?\s*(?P<empty>\}))"
)
_WITHOUT: Final = frozenset(("setup", "loop", "main"))
_HALT: Final = "delay(1000)"
_MAX_COLUMN: Final = 1000  # that is kept: on a line of a megabyte each edit would put in another one


class _Edit(Struct, frozen=True):
    """Text that is put in at a place; or, without one, blanks up to `end`."""

    begin: int
    inserted: str = ""
    end: int = 0


def prepare_sketch(text: str) -> str:
    """The sketch as the compiler is to read it."""
    code = _ASIDE.sub(lambda found: _blank(found[0]) if found["away"] else found[0], text)
    shape = _ASIDE.sub(lambda found: found[0] if found["kept"] else _blank(found[0]), text)
    return _edited(text, [*_halts(shape), *_prototypes(text, code, _flat(shape))])


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _flat(shape: str) -> str:
    """The outermost level: what is inside of braces becomes blanks."""
    parts, depth = list[str](), 0
    for part in re.split(r"([{}])", shape):
        depth -= part == "}" and depth > 0
        parts.append(part if depth == 0 else _blank(part))
        depth += part == "{"
    return "".join(parts)


class _Outline(Struct):
    """The outermost level of a sketch, as places in its text."""

    functions: list[tuple[int, re.Match[str], int]] = []  # the begin, the head, the brace of the body
    types: dict[str, int] = {}  # each type of the sketch, and the place behind its definition
    declared: set[str] = set()  # prototypes of its own
    first: int | None = None  # of the first function or class


def _read_outline(flat: str, macros: set[str]) -> _Outline:
    outline = _Outline()
    named: list[str] | None = None  # the types of a statement that has not ended yet
    for statement in _STATEMENT.finditer(flat):
        whole, has_body = statement[0], statement[0].endswith("}")
        template = _TEMPLATE.match(flat, statement.start(), statement.end())
        assert template is not None  # it matches nothing, too
        begin, start = statement.start() + len(whole) - len(whole.lstrip()), template.end()
        kind, head = _CLASS.match(flat, start, statement.end()), _HEAD.match(flat, start, statement.end())
        if kind is not None or whole.lstrip().startswith(("typedef", "using")) or named is not None:
            words = re.findall(r"\w+", (kind[1].partition(":")[0] if kind is not None else whole.partition("=")[0]))
            named = [*(named or ()), *(words[:1] if kind is not None else words[-1:])]
            if not has_body:
                outline.types, named = dict.fromkeys(named, statement.end()) | outline.types, None
            elif outline.first is None:
                outline.first = begin
        elif head is not None and head["name"] not in macros and head["type"].split()[0] not in macros:
            close = _close(flat, head.end())
            behind, brace, _ = map(str.strip, flat[close : statement.end()].partition("{"))
            if behind == ";":
                outline.declared.add(_key(flat, head))
            elif (
                has_body
                and brace
                and (not behind or behind.startswith(_BEHIND))
                and "=" not in (template["parameters"] or "")
            ):
                outline.first = begin if outline.first is None else outline.first
                if not re.search(r"\bauto\b", head["type"]) or behind.startswith("->"):
                    outline.functions.append((begin, head, flat.index("{", close)))
    return outline


def _prototypes(text: str, code: str, flat: str) -> Iterator[_Edit]:
    """Each prototype in front of the first function or class, or behind the last type of the sketch that it names."""
    outline, conditional = _read_outline(flat, set(_MACRO.findall(text))), _conditional(text)
    first = _outside(outline.first or 0, conditional)[0]
    places: dict[int, dict[str, int]] = {}
    for begin, head, end in outline.functions:
        if head["name"] in _WITHOUT or _key(flat, head) in outline.declared:
            continue
        types = (outline.types[word] for word in re.findall(r"\w+", flat[begin:end]) if word in outline.types)
        place = max([first, *(_outside(each, conditional)[1] for each in types)])
        if place <= begin:
            yield from _defaults(flat, head.end())
            line = text.count("\n", 0, begin) + 1  # remarks on it point at the definition
            places.setdefault(place, {}).setdefault(f"{_one_line(code[begin:end])};", line)
    for place, prototypes in places.items():
        yield _Edit(place, "".join(f"\n#line {line}\n{prototype}" for prototype, line in prototypes.items()))


def _one_line(code: str) -> str:
    """The code with single blanks, but for those in its texts."""
    return re.sub(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\s+""", lambda found: found[1] or " ", code).strip()


def _conditional(text: str) -> list[_Span]:
    """The begin of each outermost #if and the begin of the line behind its #endif."""
    spans, depth, begin = list[_Span](), 0, 0
    for found in _CONDITION.finditer(text):
        begin = found.start() if depth == 0 else begin
        depth += 1 if found[1] == "if" else -1
        if depth == 0:
            spans.append((begin, (text + "\n").index("\n", found.end()) + 1))
    return spans


def _outside(place: int, conditional: Sequence[_Span]) -> _Span:
    """The places before and behind the #if around a place; itself where none is."""
    return next((span for span in conditional if span[0] < place < span[1]), (place, place))


def _parameters(flat: str, opening: int) -> list[_Span]:
    """The begin and end of each parameter in brackets."""
    found, depth, begin = list[_Span](), 0, opening + 1
    for at in range(opening, _close(flat, opening)):
        depth += (flat[at] in "([{<") - (flat[at] in ")]}" or (flat[at] == ">" and flat[at - 1] != "-"))
        if depth == 0 or (depth == 1 and flat[at] == ","):
            found.append((begin, at))
            begin = at + 1
    return found


def _close(flat: str, opening: int) -> int:
    """The place behind the bracket that closes the one at `opening`, or the end of the statement."""
    depth = 0
    for at in range(opening, len(flat)):
        depth += (flat[at] == "(") - (flat[at] == ")")
        if depth == 0 or flat[at] in ";{":
            return at + 1
    return len(flat)


def _key(flat: str, head: re.Match[str]) -> str:
    """A function's name and the number of its parameters."""
    parameters = [flat[begin:end].strip() for begin, end in _parameters(flat, head.end())]
    return f"{head['name']} {0 if parameters in ([''], ['void']) else len(parameters)}"


def _defaults(flat: str, opening: int) -> Iterator[_Edit]:
    """Blanks over each default argument, which the prototype has."""
    for begin, end in _parameters(flat, opening):
        at = flat.find("=", begin, end)
        if at >= 0:
            yield _Edit(at, end=end)


def _halts(shape: str) -> Iterator[_Edit]:
    """`while (1);` means "stop here": it gets something to do that waits."""
    opened, of_do = list[bool](), set[int]()
    for found in re.finditer(r"(?P<do>\bdo\s*)?\{|\}", shape):
        if found[0] != "}":
            opened.append(found["do"] is not None)
        elif opened and opened.pop():
            of_do.add(found.start())
    for found in _ENDLESS.finditer(shape):
        if found["none"] is None or not (found["brace"] and found.start() in of_do):
            yield _Edit(found.end() - 1, _HALT if found["none"] else f"{_HALT};")


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    """The text with all edits."""
    starts, parts, at = [0, *(found.end() for found in re.finditer("\n", text))], list[str](), 0
    for edit in sorted(edits, key=lambda edit: edit.begin):
        line = bisect.bisect_right(starts, edit.begin)
        column = min(edit.begin - starts[line - 1], _MAX_COLUMN)
        back = f"{edit.inserted}\n#line {line}\n{' ' * column}"
        parts += [text[at : edit.begin], back if edit.inserted else _blank(text[edit.begin : edit.end])]
        at = edit.end or edit.begin
    return "".join((*parts, text[at:]))
