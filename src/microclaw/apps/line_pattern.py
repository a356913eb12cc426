"""Regular expressions over printed lines that cannot run for long. A subset of Python's `re`; runs no program.

A pattern must fit a whole line. Its work is bounded: at most MAX_REPEATS repeats, none of them around another one, no
back-references, no look-around, lines cut to MAX_LINE_CHARS: a match costs at most about 256**3 / 6 steps.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.errors import ConfigError

MAX_PATTERN_CHARS = 200
MAX_LINE_CHARS = 256
MAX_REPEATS = 3
MAX_COUNT = 100


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
    _check_bounded(text)
    try:
        re.compile(text, re.ASCII)
    except (re.error, OverflowError) as exc:
        raise ConfigError(
            f"the pattern {text!r} is not one: {exc}", next_step=r"write \( for a bracket itself"
        ) from exc
    return LinePattern(text)


_ITEM: Final = re.compile(
    r"(?P<escape>\\[dDwWsSbtn]|\\[\W_])|(?P<backslash>\\)|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\]?)"
    r"|(?P<lookaround>\(\?(?!:))|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<choice>\|)"
    r"|(?P<twice>(?:[*+?]|\{\d*,?\d*\})(?=[*+?]))|(?P<repeat>[*+?]|\{(?P<least>\d*),?(?P<most>\d*)\})|.",
    re.DOTALL,
)
_REFUSED: Final = {
    "backslash": ("a backslash before what is not in the subset", r"use \d, \w, \s or \."),
    "lookaround": ("(? is not in the subset", "use plain ( ) or (?: )"),
    "twice": ("a repeat of a repeat", "write one of * + ?"),
    "around": ("a repeat around a repeat or a choice", "repeat one character or class"),
    "many": (f"more than {MAX_REPEATS} repeats", "use fewer of * + {n}"),
    "count": (f"a count above {MAX_COUNT}", "use + instead"),
}


def _check_bounded(text: str) -> None:
    """Refuse what could make a match slow: see the module's first lines."""
    repeats, is_closed = 0, False
    groups: list[bool] = []  # of each open group: whether it holds a repeat or a choice
    for item in _ITEM.finditer(text):
        kind, was_closed, is_closed = item.lastgroup or "", is_closed, False
        if kind == "open":
            groups.append(False)
        elif kind == "close":
            is_closed = bool(groups) and groups.pop()
        elif kind in ("repeat", "choice"):
            groups = [True] * len(groups)
        if kind == "repeat" and item[0] != "?":
            repeats += 1
            if max(int(item["least"] or 0), int(item["most"] or 0)) > MAX_COUNT:
                kind = "count"
            elif was_closed:
                kind = "around"
            elif repeats > MAX_REPEATS:
                kind = "many"
        if kind in _REFUSED:
            why, instead = _REFUSED[kind]
            raise ConfigError(f"the pattern {text!r} has at character {item.start() + 1}: {why}", next_step=instead)
