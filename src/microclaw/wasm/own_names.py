"""Which functions a program defines itself although a header of ours has them; the header leaves those to it."""

from __future__ import annotations

from typing import Final

from microclaw.wasm.source_text import SourceText, Token

# Names outside of C that programs often define themselves, and the printf family, which stdio.h chooses per call.
GUARDED: Final = frozenset(
    (
        *("printf", "sprintf", "snprintf", "vprintf", "vsprintf", "vsnprintf", "fprintf", "vfprintf"),
        *("strlcpy", "strlcat", "itoa", "utoa", "ltoa"),
        *("delay", "delay_ms", "delayMicroseconds", "millis", "micros", "min", "max", "constrain", "map"),
    )
)
_SKETCH: Final = frozenset(("setup", "loop"))
_ENTRIES: Final = frozenset(("main", "on_init"))
_LOOKED_FOR: Final = GUARDED | _SKETCH | _ENTRIES


def own_defines(text: SourceText) -> tuple[str, ...]:
    """A macro MICROCLAW_OWN_name for each guarded name that the program gives a body; MICROCLAW_SKETCH for a sketch."""
    own = {
        token.text
        for at, token in enumerate(text.tokens)
        if token.kind == "name" and token.text in _LOOKED_FOR and _has_body(text.tokens, at + 1)
    }
    sketch = ("MICROCLAW_SKETCH",) if own >= _SKETCH and not own & _ENTRIES else ()
    return (*(f"MICROCLAW_OWN_{name}" for name in sorted(own & GUARDED)), *sketch)


def _has_body(tokens: tuple[Token, ...], at: int) -> bool:
    """Whether parameters and a brace follow."""
    depth = 0
    for position in range(at, len(tokens)):
        token = tokens[position].text
        depth += (token == "(") - (token == ")")  # noqa: S105 - tokens of C
        if depth == 0:
            return token == ")" and position + 1 < len(tokens) and tokens[position + 1].text == "{"  # noqa: S105
    return False
