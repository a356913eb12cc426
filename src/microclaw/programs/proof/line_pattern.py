"""Regular expressions over printed lines that cannot run for long. A subset of Python's `re`; runs no program.

A pattern must fit a whole line. Its work is bounded: at most MAX_REPEATS repeats of one character or class each, no
back-references, no look-around, lines cut to MAX_LINE_CHARS: a match costs at most about 256**3 / 6 steps, and twice
that for each of at most MAX_CHOICES "?" and "|".
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError

MAX_PATTERN_CHARS = 200
MAX_LINE_CHARS = 256
MAX_REPEATS = 3
MAX_CHOICES = 4
MAX_COUNT = 100
_ONE: Final = r"(?:\\[dDwWsSbtn]|\\[\W_]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[(){|*+?])"
_PIECE: Final = re.compile(
    rf"(?:{_ONE}(?P<repeat>[*+]|\{{(?P<least>\d*)(?:,(?P<most>\d*))?\}})?|\))(?P<optional>\?)?"
    r"|\((?:\?:|(?!\?))|(?P<choice>\|)",
    re.DOTALL,
)
_SUBSET: Final = (
    rf"write characters, ., classes, \d \w \s, groups, at most {MAX_CHOICES} of ? and |, and at most {MAX_REPEATS} of "
    rf"* + {{n}}, each after one character or class, up to {MAX_COUNT}; \( for a bracket itself"
)


class LinePattern(Struct, frozen=True):
    """A checked pattern; `matches` compares with the whole line, without the spaces at its ends."""

    text: str

    def matches(self, line: str) -> bool:
        return re.fullmatch(self.text, line.strip()[:MAX_LINE_CHARS], re.ASCII) is not None


def parse_line_pattern(text: str) -> LinePattern:
    """Check the pattern. Raises ConfigError with the place and what to write instead."""
    if len(text) > MAX_PATTERN_CHARS:
        raise ConfigError(
            f"the pattern has {len(text)} characters, at most {MAX_PATTERN_CHARS} are allowed",
            next_step="match the part of the line that matters, and .* for the rest",
        )
    at = 0
    repeat_count = 0
    choice_count = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise _fault_at(text, at)
        repeat_count += piece["repeat"] is not None
        choice_count += bool(piece["optional"] or piece["choice"])
        is_too_much = repeat_count > MAX_REPEATS or choice_count > MAX_CHOICES
        if is_too_much or not _is_bounded(piece):
            raise _fault_at(text, at)
        at = piece.end()
    try:
        re.compile(text, re.ASCII)
    except (re.error, OverflowError) as exc:
        raise ConfigError(f"the pattern {text!r} is not one: {exc}", next_step=_SUBSET) from exc
    return LinePattern(text)


def _is_bounded(piece: re.Match[str]) -> bool:
    """Return False for a repeat that may be left out, and for one of more than MAX_COUNT."""
    if piece["repeat"] and piece["optional"]:
        return False
    return max(int(piece["least"] or 0), int(piece["most"] or 0)) <= MAX_COUNT


def _fault_at(text: str, at: int) -> ConfigError:
    return ConfigError(f"the pattern {text!r} is not one at character {at + 1}", next_step=_SUBSET)
