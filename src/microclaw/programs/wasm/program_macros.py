"""The macros that a program's own text asks for: which headers' functions it defines or needs. Compiles nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import Final

from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.wasm.asyncify import find_binaryen
from microclaw.programs.wasm.callgraph import reached
from microclaw.programs.wasm.llmos import llmos_defines
from microclaw.programs.wasm.part_readings import reading_defines
from microclaw.programs.wasm.part_screens import screen_defines
from microclaw.programs.wasm.source_language import has_setup_and_loop
from microclaw.programs.wasm.source_text import SourceText
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.tokens import SourceToken, bracket_ends, texts_of


def text_defines(text: SourceText, board: BoardProfile) -> tuple[str, ...]:
    """Return all of them, as NAME or NAME=value."""
    ends = bracket_ends(text.tokens)
    own_names = sorted(set(_own(text.tokens, ends, GUARDED)))
    return (
        *(f"MICROCLAW_OWN_{name}" for name in own_names),
        *pin_defines(text, ends, board),
        *format_defines(text.tokens, ends),
        *arduino_defines(text),
        *sketch_defines(text),
        *entry_defines(text),
        *llmos_defines(text, board),
        *reading_defines(text),
        *screen_defines(text),
        *wire_defines(text),
    )


_WAITING: Final = frozenset(("sleep", "usleep", "nanosleep", "clock_nanosleep", "delay", "delay_ms"))


def entry_defines(text: SourceText) -> tuple[str, ...]:
    """Return the defines with which main runs although the firmware starts on_init; on_init is then a part of main.

    It is if main calls on_init, as in Espressif's examples, and if on_init waits, which the firmware cannot.
    """
    bodies = text.functions
    if "on_init" not in bodies:
        return ()
    start = "main" if "main" in bodies else "on_init"
    called: set[str] = reached(bodies, bodies[start])
    if start == "main":
        if "on_init" in called:
            return ("on_init=program_on_init",)
        return ()
    if "on_timer_callback" in bodies or _WAITING.isdisjoint(called) or find_binaryen() is None:
        return ()
    return ("on_init=program_on_init", "MICROCLAW_ON_INIT_WAITS")


_LOOKED_AT: Final = frozenset(("attachInterrupt", "attachInterruptArg"))
_ARDUINO: Final = ("ARDUINO=10607", "ARDUINO_ARCH_ESP32", "ESP32")  # as Arduino IDE 2 defines them for these boards


def arduino_defines(text: SourceText) -> tuple[str, ...]:
    """Return the macros by which libraries know Arduino and its chip before they include a header."""
    if text.language == "sketch" or "Arduino.h" in text.headers:
        return _ARDUINO
    return ()


_SHORT_TIMES: Final = frozenset(("delayMicroseconds", "usleep", "nanosleep", "micros", "pulseIn"))


def sketch_defines(text: SourceText) -> tuple[str, ...]:
    """Return MICROCLAW_SKETCH, and how often it rests, if a program has setup and loop and nothing that starts it."""
    if not has_setup_and_loop(text.functions):
        return ()
    names = set(texts_of(text.tokens))
    if not names & _SHORT_TIMES:
        rest_ms = 0
    elif names & _LOOKED_AT:
        rest_ms = 5
    else:
        rest_ms = 50
    return ("MICROCLAW_SKETCH", f"MICROCLAW_REST_MS={rest_ms}")


def wire_defines(text: SourceText) -> tuple[str, ...]:
    """Return MICROCLAW_OWN_WIRE_PINS if a program names its I2C bus's pins: no library opens the bus on the board's."""
    begins = text.places("Wire", ".", "begin", "(")
    empty_begins = text.places("Wire", ".", "begin", "(", ")")
    if set(begins) - set(empty_begins):
        return ("MICROCLAW_OWN_WIRE_PINS",)
    return ()


GUARDED: Final = frozenset(words_of("guarded"))
"""A program that makes one a function or a global variable gets MICROCLAW_OWN_name."""
_BEHIND_A_VARIABLE: Final = frozenset("=;[,")


def pin_defines(text: SourceText, ends: Mapping[int, int], board: BoardProfile) -> tuple[str, ...]:
    """Return MICROCLAW_PINS, of which Arduino.h makes the board's constants (A0, TX, ...), without the program's."""
    names = names_of_packages(text, ends, board.arduino_pins.keys())
    pins = " ".join(f"PIN_({name},{board.arduino_pins[name]})" for name in sorted(names))
    if pins:
        return (f"MICROCLAW_PINS={pins}",)
    return ()


def names_of_packages(text: SourceText, ends: Mapping[int, int], names: Set[str]) -> Set[str]:
    """Return those of these names that the program uses and does not define itself."""
    used = names & {*texts_of(text.tokens)}
    return used - {*_own(text.tokens, ends, used), *_listed(text.tokens)}


def _listed(tokens: Sequence[SourceToken]) -> Iterator[str]:
    """Yield the names that the program defines as macros or in an enum."""
    inside = False
    for before, token in pairwise(tokens):
        inside = (inside or before.text == "enum") and token.text not in ("}", ";")
        if before.text == "define" or (inside and before.text in "{,"):
            yield token.text


def _own(tokens: Sequence[SourceToken], ends: Mapping[int, int], names: Set[str]) -> Iterator[str]:
    depth = 0
    for at, token in enumerate(tokens[:-1]):
        depth += (token.text in "({") - (token.text in ")}")
        if depth == 0 and token.kind == "name" and token.text in names:
            declared = at > 0 and (tokens[at - 1].kind == "name" or tokens[at - 1].text == "*")
            behind = tokens[at + 1].text
            brace = ends.get(at + 1, len(tokens)) + 1
            has_body = behind == "(" and brace < len(tokens) and tokens[brace].text == "{"
            if declared and (behind in _BEHIND_A_VARIABLE or has_body):
                yield token.text


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


def format_defines(tokens: Sequence[SourceToken], ends: Mapping[int, int]) -> tuple[str, ...]:
    """Return a macro MICROCLAW_CHOOSE_name for each function that gets a format the firmware may not know."""
    doubtful: set[str] = set()
    for at, token in enumerate(tokens):
        if token.text in FORMAT_AT and not _is_plain(tokens, at, ends):
            doubtful.add(token.text)
    return tuple(f"MICROCLAW_CHOOSE_{name}" for name in sorted(doubtful))


def _is_plain(tokens: Sequence[SourceToken], at: int, ends: Mapping[int, int]) -> bool:
    """Return True if the firmware's printf can do the format of a call."""
    literal = list[str]()
    commas = 0
    place = at + 2
    while place < ends.get(at + 1, 0) and commas <= FORMAT_AT[tokens[at].text]:
        token = tokens[place]
        if token.text == ",":
            commas += 1
        elif commas == FORMAT_AT[tokens[at].text]:
            if not token.text.startswith('"'):
                return False
            literal.append(token.text[1:-1])
        place = ends.get(place, place) + 1
    text = "".join(literal)
    return bool(literal) and _NUMERIC_ESCAPE.search(text) is None and _PLAIN.fullmatch(text) is not None
