"""Says what clang's messages mean and what to do, from lessons.toml; it finds nothing by itself."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.wasm.source_text import SourceText

_SPECS: Final = {
    **dict.fromkeys(("int", "short", "signed char", "_Bool", "bool"), "%d"),
    **dict.fromkeys(("unsigned int", "unsigned", "unsigned short", "unsigned char"), "%u"),
    **dict.fromkeys(("float", "double"), "%f"),
    **{"long": "%ld", "unsigned long": "%lu", "long long": "%lld", "unsigned long long": "%llu", "char": "%c"},
}
_TEXT: Final = re.compile(r"(?:const )?(?:unsigned )?char ?(?:\*|\[\d*\])(?: ?const)?")
_ALIAS: Final = re.compile(r"\(aka '([^']*)'\)")


@dataclass(frozen=True, slots=True)
class _Lesson:
    says: re.Pattern[str]
    why: str | None
    do: str | None


def taught(found: Diagnostic, source: SourceText) -> Diagnostic:
    """The finding with what its words mean, where a lesson knows them and nothing better is said already."""
    for lesson in _lessons():
        match = lesson.says.match(found.message)
        if match is None:
            continue
        words = {"token": _token_before(source, found.line, found.column), "spec": _conversion(found.message, match)}
        why, do = (text and text.format(*match.groups(), **words) for text in (lesson.why, lesson.do))
        return replace(found, explanation=found.explanation or why, hint=found.hint or do)
    return found


@functools.cache
def _lessons() -> tuple[_Lesson, ...]:
    with Path(__file__).with_name("lessons.toml").open("rb") as file:
        rows = tomllib.load(file)["lesson"]
    return tuple(_Lesson(re.compile(row["says"]), row.get("why"), row.get("do")) for row in rows)


def _token_before(source: SourceText, line: int | None, column: int | None) -> str:
    """The last token before a place, as a person sees it."""
    before = [t for t in source.tokens if (t.line, t.column) < (line or 0, column or 0)]
    return f'"{before[-1].text}" in line {before[-1].line}' if before else "the beginning"


def _conversion(message: str, match: re.Match[str]) -> str:
    """How to print a value of the type that a message names."""
    alias = _ALIAS.search(message)
    kind = alias[1] if alias is not None else next(iter(match.groups()), None) or ""
    spec = "%s" if _TEXT.fullmatch(kind) else _SPECS.get(kind)
    if spec is not None:
        return f"print {'a text' if spec == '%s' else kind} with {spec}"
    return (
        "use %p for an address, or print the value that it points at" if "*" in kind else "print its parts one by one"
    )
