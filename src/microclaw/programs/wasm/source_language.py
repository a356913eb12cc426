"""The language of a program: by its file's name, else by what only C++ and sketches have; a sketch named .c is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath
from typing import Final, Literal, TypeAlias

from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.tokens import SourceToken

Language: TypeAlias = Literal["c", "c++", "sketch"]
"""A sketch is Arduino's C++: prototypes are written for it, and Arduino.h is included by itself."""
SUFFIX: Final[dict[Language, str]] = {"c": ".c", "c++": ".cpp", "sketch": ".ino"}
TITLE: Final[dict[Language, str]] = {"c": "C", "c++": "C++", "sketch": "an Arduino sketch"}
_BY_SUFFIX: Final[dict[str, Language]] = {
    **{".c": "c", ".ino": "sketch", ".pde": "sketch"},
    **dict.fromkeys((".cpp", ".cc", ".cxx", ".c++"), "c++"),
}
_CPLUSPLUS_HEADERS: Final = frozenset(words_of("cplusplus_headers"))
STANDARD_HEADERS: Final = frozenset(words_of("standard_headers"))
_WORDS: Final = words_of("cplusplus_pairs")
_PAIRS: Final = frozenset(zip(_WORDS[::2], _WORDS[1::2], strict=True))
_BEFORE_A_NAME: Final = frozenset(words_of("cplusplus_before_a_name"))
_NAMES: Final = frozenset(words_of("cplusplus_names"))


def cplusplus_headers() -> frozenset[str]:
    """Return the headers that only a C++ program may include: C++'s own and those of Arduino's libraries."""
    return _CPLUSPLUS_HEADERS | library_headers().keys()


def language_of_file(name: str) -> Language | None:
    """Return the language that a file's suffix names, or None."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def language_of_code(
    named: Language | None, code: Sequence[SourceToken], functions: Mapping[str, object], headers: Set[str]
) -> tuple[Language, bool]:
    """Return the language of a source, and True if its file's name does not say it: C unless something is not C.

    What is named .c is a sketch if it has setup and loop; but C that includes Arduino.h may have them as well.
    """
    if named not in (None, "c"):
        return named, False
    includes = any(name in cplusplus_headers() or "." not in name for name in headers)
    is_cplusplus = includes or any(map(_is_cplusplus, code, code[1:], code[2:]))
    if has_setup_and_loop(functions):
        if named is None or "Arduino.h" not in headers or is_cplusplus:
            return "sketch", True
    elif named is None:
        return "c++" if is_cplusplus else "c", True
    return "c", False


def has_setup_and_loop(functions: Mapping[str, object]) -> bool:
    """Return True if a program defines Arduino's two functions, and nothing that starts it."""
    return {"setup", "loop"} <= functions.keys() and not functions.keys() & {"main", "on_init"}


def _is_cplusplus(first: SourceToken, second: SourceToken, third: SourceToken) -> bool:
    if first.kind != "name":
        return False
    if (first.text, second.text) in _PAIRS or first.text in _NAMES:
        return True
    if first.text in _BEFORE_A_NAME and second.kind == "name":
        return True
    return second.text == third.text == ":" and (second.line, second.column + 1) == (third.line, third.column)
