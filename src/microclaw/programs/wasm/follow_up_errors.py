"""Folds the compiler's findings: the first cause stays, what only follows from it goes. Reads no compiler's output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from microclaw.errors import Diagnostic
from microclaw.programs.wasm.refusals import refused_reasons
from microclaw.programs.wasm.source_text import SourceText

_NAMED: Final = re.compile(r"(?:there is no header|[^']*) '([\w./*+-]+)'")
UNKNOWN: Final = re.compile(
    r"implicit declaration of|implicitly declaring|call to undeclared|use of undeclared|unknown type name"
    r"|no template named|no type named"
)
_UNUSED: Final = re.compile(r"unused (?:variable|parameter)|variable '[^']*' set but not used")
_NESTED: Final = "function definition is not allowed here"
_FOREIGN: Final = "this is no C and no C++"
_MAX_NAMES: Final = 8


def folded(missing: Sequence[Diagnostic], found: Iterable[Diagnostic], source: SourceText) -> tuple[Diagnostic, ...]:
    """Headers that are not here first, each reason once with the names that it is about, then what has another cause.

    With a header missing only refusals still tell something, every other finding may come from it.
    """
    errors = list(_without_followers(found, source))
    if missing:
        errors = [d for d in errors if UNKNOWN.match(d.message) and d.explanation in refused_reasons()]
    foreign = next((d for d in errors if (d.explanation or "").startswith(_FOREIGN)), None)
    if foreign is not None and not missing:
        return (foreign,)
    return tuple(_each_reason_once((*missing, *errors)))


def _without_followers(found: Iterable[Diagnostic], source: SourceText) -> Iterator[Diagnostic]:
    """Without names whose declaration has an error itself: its type is unknown, or a function stands inside of another.

    Nor with the end that then is missing, nor with what no one uses in a program that does not compile.
    """
    unknown: set[str] = set()
    nested = False
    found = tuple(found)
    has_errors = any(diagnostic.severity == "error" for diagnostic in found)
    for diagnostic in found:
        name = _name(diagnostic)
        if (nested and diagnostic.message.startswith("expected '}'")) or (
            has_errors and _UNUSED.match(diagnostic.message)
        ):
            continue
        if name is not None and (name in _declared_with(source, unknown) or (nested and _has_head(source, name))):
            continue
        nested = nested or diagnostic.message == _NESTED
        if name is not None:
            unknown.add(name)
        yield diagnostic


def _each_reason_once(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """One finding for all names with the same reason and the same advice; the others are named in it."""
    groups: dict[object, list[Diagnostic]] = {}
    for number, diagnostic in enumerate(found):
        is_named = diagnostic.severity == "error" and diagnostic.hint and _name(diagnostic, headers=True) is not None
        key = (diagnostic.explanation, diagnostic.hint) if is_named else number
        groups.setdefault(key, []).append(diagnostic)
    for first, *others in groups.values():
        lines: dict[str, int | None] = {}
        for other in others:
            lines.setdefault(_name(other, headers=True) or "", other.line)
        lines.pop(_name(first, headers=True) or "", None)
        if not lines:
            yield first
            continue
        more = [f"{name} (line {line})" for name, line in list(lines.items())[:_MAX_NAMES]]
        more += [f"{len(lines) - _MAX_NAMES} more"] if len(lines) > _MAX_NAMES else []
        also = f"the same for {', '.join(more)}"
        yield replace(first, explanation=f"{first.explanation}; {also}" if first.explanation else also)


def _name(diagnostic: Diagnostic, *, headers: bool = False) -> str | None:
    """The name that a finding says is not known."""
    is_header = headers and diagnostic.message.startswith("there is no header")
    if not is_header and not UNKNOWN.match(diagnostic.message):
        return None
    match = _NAMED.match(diagnostic.message)
    if match is not None:
        return match[1]
    return None


def _declared_with(source: SourceText, types: set[str]) -> set[str]:
    """The names that stand behind one of these types, as `type *name` does."""
    words = [token for token in source.tokens if token.text not in ("*", "&", "const")]
    return {b.text for a, b in pairwise(words) if a.kind == b.kind == "name" and a.text in types}


def _has_head(source: SourceText, name: str) -> bool:
    """True if a function of this name is defined somewhere, inside of another one too."""
    tokens = source.tokens
    return any(
        b.text == name and c.text == "(" and a.kind == "name" and a.text not in ("return", "else")
        for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )
