"""Which printf functions a program calls with formats that are not surely plain: for these the header chooses per call.

A plain format is the firmware's printf's at no cost. The compiler's choice (plain_format.h) is exact, through macros
and constants, but costs it time: so it is asked for only where a call's format is no literal of plain conversions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from microclaw.wasm.source_text import SourceText, Token

# The place of the format among the arguments.
FORMAT_AT: Final = {
    **{"printf": 0, "log": 0, "vprintf": 0, "sprintf": 1, "vsprintf": 1, "fprintf": 1, "vfprintf": 1},
    **{"snprintf": 2, "vsnprintf": 2},
}
# A number's text ends after 63 characters in the firmware, so widths are below that; `*`, %n and %a it has not.
_PLAIN: Final = re.compile(
    r"(?:[^%]|%(?:%|[-+ #0]*[0-5]?[0-9]?(?:\.[0-5]?[0-9]?)?(?:hh|h|ll|l|j|z|t)?[diouxXcsfFeEgGp]))*", re.DOTALL
)
_NUMERIC_ESCAPE: Final = re.compile(r"\\[0-7xuU]")


def format_defines(text: SourceText) -> tuple[str, ...]:
    """A macro MICROCLAW_CHOOSE_name for each function with a doubtful call, or a mention that is no call."""
    doubtful = {
        token.text
        for at, token in enumerate(text.tokens)
        if token.kind == "name" and token.text in FORMAT_AT and not _is_plain(text.tokens, at)
    }
    return tuple(f"MICROCLAW_CHOOSE_{name}" for name in sorted(doubtful))


def is_plain(literal: str) -> bool:
    """Whether the firmware's printf can do a format, given as the text between a literal's quotes."""
    return _NUMERIC_ESCAPE.search(literal) is None and _PLAIN.fullmatch(literal) is not None


def _is_plain(tokens: Sequence[Token], at: int) -> bool:
    arguments = _arguments(tokens, at + 1)
    place = FORMAT_AT[tokens[at].text]
    if place >= len(arguments):
        return False
    parts = arguments[place]
    if not parts or any(part.kind != "string" or not part.text.startswith('"') for part in parts):
        return False
    return is_plain("".join(part.text[1:-1] for part in parts))


def _arguments(tokens: Sequence[Token], at: int) -> list[Sequence[Token]]:
    """The tokens of each argument of a call; none if it is no call."""
    depth = 0
    cuts = []
    for position in range(at, len(tokens)):
        text = tokens[position].text
        depth += (text in "([{") - (text in ")]}")
        if depth == 0:
            cuts.append(position)
            break
        if position == at or (text == "," and depth == 1):
            cuts.append(position)
    return [tokens[begin + 1 : end] for begin, end in pairwise(cuts)]
