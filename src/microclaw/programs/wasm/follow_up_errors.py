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


def errors_of(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(finding for finding in findings if finding.severity == "error")


def folded(missing: Sequence[Diagnostic], found: Iterable[Diagnostic], source: SourceText) -> tuple[Diagnostic, ...]:
    """Return the headers that are not here, then what has another cause; each reason once, with the names it is about.

    With a header missing only refusals still say something, every other finding may come from it.
    """
    errors = list(_without_followers(found, source))
    if missing:
        reasons = refused_reasons()
        errors = [error for error in errors if UNKNOWN.match(error.message) and error.explanation in reasons]
    else:
        for error in errors:
            if error.explanation and error.explanation.startswith(_FOREIGN):
                return (error,)
    return tuple(_each_reason_once((*missing, *errors)))


def _without_followers(found: Iterable[Diagnostic], source: SourceText) -> Iterator[Diagnostic]:
    """Leave out names whose declaration has an error: its type is unknown, or a function stands inside of another.

    Also the end that then is missing, and what no one uses in a program that does not compile.
    """
    unknown: set[str] = set()
    is_nested = False
    found = tuple(found)
    has_errors = bool(errors_of(found))
    for diagnostic in found:
        if is_nested and diagnostic.message.startswith("expected '}'"):
            continue
        if has_errors and _UNUSED.match(diagnostic.message):
            continue
        name = unknown_name(diagnostic)
        if name is not None:
            if name in _declared_with(source, unknown):
                continue
            if is_nested and _has_head(source, name):
                continue
            unknown.add(name)
        is_nested = is_nested or diagnostic.message == _NESTED
        yield diagnostic


def _each_reason_once(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield one finding for all names with the same reason and the same advice; the others are named in it."""
    groups: dict[object, list[Diagnostic]] = {}
    for number, diagnostic in enumerate(found):
        key: object = number
        if diagnostic.severity == "error" and diagnostic.hint and unknown_name(diagnostic, headers=True) is not None:
            key = (diagnostic.explanation, diagnostic.hint)
        groups.setdefault(key, []).append(diagnostic)
    for first, *others in groups.values():
        lines: dict[str | None, int | None] = {}
        for other in others:
            lines.setdefault(unknown_name(other, headers=True), other.line)
        lines.pop(unknown_name(first, headers=True), None)
        if not lines:
            yield first
            continue
        more = [f"{name} (line {line})" for name, line in [*lines.items()][:_MAX_NAMES]]
        if len(lines) > _MAX_NAMES:
            more.append(f"{len(lines) - _MAX_NAMES} more")
        explanation = f"the same for {', '.join(more)}"
        if first.explanation:
            explanation = f"{first.explanation}; {explanation}"
        yield replace(first, explanation=explanation)


def unknown_name(diagnostic: Diagnostic, *, headers: bool = False) -> str | None:
    """Return the name that a finding says is not known, or None."""
    is_header = headers and diagnostic.message.startswith("there is no header")
    if not is_header and not UNKNOWN.match(diagnostic.message):
        return None
    match = _NAMED.match(diagnostic.message)
    if match is not None:
        return match[1]
    return None


def _declared_with(source: SourceText, types: set[str]) -> set[str]:
    """Return the names that stand behind one of these types, as `type *name` does."""
    words = [token for token in source.tokens if token.text not in ("*", "&", "const")]
    names: set[str] = set()
    for kind, token in pairwise(words):
        if kind.kind == token.kind == "name" and kind.text in types:
            names.add(token.text)
    return names


def _has_head(source: SourceText, name: str) -> bool:
    """Return True if a function of this name is defined somewhere, inside of another one too."""
    tokens = source.tokens
    for kind, token, behind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_call = token.text == name and behind.text == "("
        if is_call and kind.kind == "name" and kind.text not in ("return", "else"):
            return True
    return False
