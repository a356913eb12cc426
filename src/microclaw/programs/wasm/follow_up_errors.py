"""Folds the compiler's findings: the first cause stays, what only follows from it goes. Reads no compiler's output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

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


def errors_of(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(finding for finding in findings if finding.severity == "error")


def folded(missing: Sequence[Diagnostic], found: Iterable[Diagnostic], source: SourceText) -> tuple[Diagnostic, ...]:
    """Return the headers that are not here, then what has another cause; each unknown name once, where it is first.

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
    return tuple(_each_name_once((*missing, *errors)))


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


def _each_name_once(found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Leave out errors about a name that an error before is about."""
    names: set[str] = set()
    for diagnostic in found:
        name = None
        if diagnostic.severity == "error":
            name = unknown_name(diagnostic, headers=True)
        if name in names:
            continue
        if name is not None:
            names.add(name)
        yield diagnostic


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
