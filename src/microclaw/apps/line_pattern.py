"""Regular expressions over printed lines that cannot run for long. A subset of Python's `re`; runs no program.

A pattern must fit a whole line. Its work is bounded: at most MAX_REPEATS repeats, none of them around another one, no
back-references, no look-around, lines cut to MAX_LINE_CHARS: a match costs at most about 256**3 / 6 steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from microclaw.errors import ConfigError

MAX_PATTERN_CHARS = 200
MAX_LINE_CHARS = 256
MAX_REPEATS = 3
MAX_COUNT = 100
_ESCAPES = frozenset("dDwWsSbtn")
_COUNT = re.compile(r"\{(\d*)(,?)(\d*)\}")


@dataclass(frozen=True, slots=True)
class LinePattern:
    """A checked pattern; `matches` compares with the whole line, without the spaces at its ends."""

    text: str
    _compiled: re.Pattern[str] = field(compare=False, repr=False)

    def matches(self, line: str) -> bool:
        return self._compiled.fullmatch(line.strip()[:MAX_LINE_CHARS]) is not None


def parse_line_pattern(text: str) -> LinePattern:
    """Check the pattern. Raises ConfigError with the place and what to write instead."""
    if len(text) > MAX_PATTERN_CHARS:
        raise ConfigError(
            f"the pattern has {len(text)} characters, at most {MAX_PATTERN_CHARS} are allowed",
            next_step="match the part of the line that matters, and .* for the rest",
        )
    _check_bounded(text)
    try:
        return LinePattern(text, re.compile(text, re.ASCII))
    except (re.error, OverflowError) as exc:
        raise ConfigError(
            f"the pattern {text!r} is not one: {exc}", next_step=r"write \( for a bracket itself"
        ) from exc


def _check_bounded(text: str) -> None:
    """Refuse what could make a match slow: see the module's first lines."""
    repeats, index = 0, 0
    groups: list[bool] = []  # of each open group: whether it holds a repeat or a choice
    closed: bool | None = None  # the item before is a group that holds one
    while index < len(text):
        char = text[index]
        count = _COUNT.match(text, index) if char == "{" else None
        if char in "*+?" or count:
            index = _after_repeat(text, index, count)
            if char == "?":
                if groups:
                    groups[-1] = True
            else:
                repeats += 1
                if closed:
                    raise _refused(text, index, "a repeat around a repeat or a choice", "repeat one character or class")
                if repeats > MAX_REPEATS:
                    raise _refused(text, index, f"more than {MAX_REPEATS} repeats", "use fewer of * + {n}")
            groups = [True] * len(groups)
            closed = None
            continue
        closed = None
        if char == "\\":
            following = text[index + 1 : index + 2]
            if not following or (following.isalnum() and following not in _ESCAPES):
                raise _refused(text, index, f"{text[index : index + 2]} is not in the subset", r"use \d, \w, \s or \.")
            index += 2
        elif char == "[":
            index = _after_class(text, index)
        elif char == "(":
            if text.startswith("(?", index) and not text.startswith("(?:", index):
                raise _refused(text, index, "(? is not in the subset", "use plain ( ) or (?: )")
            groups.append(False)
            index += 3 if text.startswith("(?:", index) else 1
        elif char == ")":
            closed = groups.pop() if groups else None
            index += 1
        else:
            if char == "|" and groups:
                groups = [True] * len(groups)
            index += 1


def _after_repeat(text: str, index: int, count: re.Match[str] | None) -> int:
    """The place behind a repeat; a count must be small, and no second repeat may follow (lazy, possessive)."""
    end = count.end() if count else index + 1
    if count and max(int(count[1] or 0), int(count[3] or 0)) > MAX_COUNT:
        raise _refused(text, index, f"a count above {MAX_COUNT}", "use + instead")
    if text[end : end + 1] in ("?", "+", "*") and text[end : end + 1]:
        raise _refused(text, end, "a repeat of a repeat", "write one of * + ?")
    return end


def _after_class(text: str, index: int) -> int:
    end = index + 1
    end += text.startswith("^", end)
    end += text.startswith("]", end)
    while end < len(text) and text[end] != "]":
        end += 2 if text[end] == "\\" else 1
    return end + 1


def _refused(text: str, index: int, why: str, instead: str) -> ConfigError:
    return ConfigError(f"the pattern {text!r} has at character {index + 1}: {why}", next_step=instead)
