"""Which names a program defines itself although a header of ours has them; the header leaves those to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from microclaw.wasm.source_text import SourceText, Token

# Names outside of C that programs often define with another type, and the printf family, chosen per call by stdio.h.
GUARDED: Final = frozenset(
    (
        *("printf", "sprintf", "snprintf", "vprintf", "vsprintf", "vsnprintf", "fprintf", "vfprintf"),
        *("strlcpy", "strlcat", "itoa", "utoa", "ltoa"),
        *("log", "delay", "delay_ms", "delayMicroseconds", "millis", "micros", "min", "max", "constrain", "map"),
    )
)
_BEHIND_A_VARIABLE: Final = frozenset("=;[,")


def own_defines(text: SourceText) -> tuple[str, ...]:
    """A macro MICROCLAW_OWN_name for each guarded name of which the program makes a function or a global variable."""
    return tuple(f"MICROCLAW_OWN_{name}" for name in sorted(set(_own(text.tokens))))


def _own(tokens: tuple[Token, ...]) -> Iterator[str]:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text in "({") - (token.text in ")}")
        if depth == 0 and token.kind == "name" and token.text in GUARDED:
            behind = tokens[at + 1].text if at + 1 < len(tokens) else ""
            declared = at > 0 and (tokens[at - 1].kind == "name" or tokens[at - 1].text == "*")
            if declared and (behind in _BEHIND_A_VARIABLE or _has_body(tokens, at + 1)):
                yield token.text


def _has_body(tokens: tuple[Token, ...], at: int) -> bool:
    """Whether parameters and a brace follow."""
    depth = 0
    for position in range(at, len(tokens)):
        text = tokens[position].text
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return text == ")" and position + 1 < len(tokens) and tokens[position + 1].text == "{"
    return False
