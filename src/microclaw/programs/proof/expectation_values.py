"""The values in a line of expectations: their patterns, and what reads them. expectation_forms.py has the lines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from microclaw.hardware.parts.part_ids import part_id_of
from microclaw.programs.proof.colors import COLOR_NAMES, Color
from microclaw.programs.proof.expectations import MAX_ADC_V, LevelState, Lines, PartTrigger
from microclaw.programs.proof.line_pattern import parse_line_pattern
from microclaw.programs.proof.network_lines import NETWORK_VALUES
from microclaw.programs.proof.record import WHOLE, TrialWindow
from microclaw.programs.proof.screen_checks import ShownText, literal_text
from microclaw.wire.board_control import MAX_PIN

SHARE: Final = 0.05
"""The tolerance of a time when the text gives none; a duty's is as many percentage points."""
_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_DAY_MS: Final = 86_400_000.0
_LEVELS: Final = {"rises": 1, "falls": 0, "high": 1, "low": 0}


def _ms(most_ms: float = _DAY_MS, *, zero: bool = False) -> Callable[[str], float]:
    """Return a reader of a time in ms, above 0 unless `zero`. Its errors are ValueErrors, as of all readers here."""
    least = "more than 0 s"
    if zero:
        least = "0 s or more"

    def read(text: str) -> float:
        ms = _sum_of_units(text)
        is_too_short = ms < 0 or (ms == 0 and not zero)
        if is_too_short or ms > most_ms:
            raise ValueError(f"{text} is no time here: {least}, at most {most_ms / 1000:g} s")
        return ms

    return read


def _sum_of_units(text: str) -> float:
    """Return the ms of "1 min 30 s"; the larger unit comes first."""
    ms = 0.0
    larger_unit_ms = math.inf
    for value, unit in _ONE_UNIT.findall(text):
        unit_ms = _UNITS_MS[unit]
        if unit_ms >= larger_unit_ms:
            raise ValueError(f"{text} is no time: give the larger unit first, or a comma between two times")
        ms += float(value) * unit_ms
        larger_unit_ms = unit_ms
    return ms


def _moments(text: str) -> tuple[float, ...]:
    """Read one or several times."""
    return tuple(map(_moment, text.split(",")))


def _number(what: str, least: float, most: float, *, whole: bool = False) -> Callable[[str | None], Any]:
    """Return a reader of a number that may be left out; `what` names it in the error."""

    def read(text: str | None) -> Any:
        if text is None:
            return None
        value = float(text)
        is_allowed = least <= value <= most
        if not is_allowed or (whole and value % 1):
            raise ValueError(f"{text} is no {what}: {least:g} to {most:g}")
        if whole:
            return int(value)
        return value

    return read


def _share(text: str | None) -> float:
    if text is None:
        return SHARE
    percent: float = _percent(text)
    return percent / 100


def _trigger(pin: str | None, edge: str, part: str, is_not: str | None, value: str) -> LevelState | PartTrigger:
    if pin is not None:
        return LevelState(_pin(pin), _LEVELS[edge])
    return PartTrigger(part_id_of(part), value, is_so=not is_not)


def _condition(pin: str | None, level: str) -> LevelState | None:
    if pin is None:
        return None
    return LevelState(_pin(pin), _LEVELS[level])


def _color(name: str | None, red: str, green: str, blue: str, slack: str | None) -> Color:
    if name:
        return Color(name)
    rgb = (_color_part(red), _color_part(green), _color_part(blue))
    return Color(None, rgb, 255 * _share(slack))


def _pattern(quoted: str) -> Lines:
    return Lines(parse_line_pattern(quoted[1:-1].replace('\\"', '"')))


def _shown(tilde: str | None, quoted: str | None, blank: str | None) -> ShownText | None:
    """Return the text that a display is to show; None: nothing at all."""
    if blank or quoted is None:
        return None
    text = quoted[1:-1].replace('\\"', '"')
    if tilde:
        return ShownText(parse_line_pattern(text).text)
    if not text.strip():
        raise ValueError("an empty text is on every screen: write blank for a dark one")
    return literal_text(text.strip())


def _least(time: str | None) -> float:
    if time:
        return _length(time)
    return 0.0


def _text_or_none(text: str | None) -> str | None:
    return text


def _slack(number: str | None) -> float | None:
    if number:
        return abs(float(number))
    return None


def _setting(hexadecimal: str | None, number: str | None, word: str | None) -> float | str:
    """Return a value of a wiring; a whole number is a pin or an address."""
    if hexadecimal is not None:
        return int(hexadecimal, 16)
    if number is None:
        return str(word)
    if "." in number:
        return float(number)
    return int(number)


def _hold(time: str | None) -> float | None:
    if time:
        return _length(time)
    return None


def _delay(time: str | None) -> float | None:
    if time:
        return _moment(time)
    return None


def _window(begin: str | None, end: str | None) -> TrialWindow:
    from_ms = 0.0
    if begin:
        from_ms = _moment(begin)
    if not end:
        return TrialWindow(from_ms)
    until_ms = _length(end)
    if until_ms <= from_ms:
        raise ValueError("it ends before it begins")
    return TrialWindow(from_ms, until_ms)


def _limit(time: str | None) -> TrialWindow:
    if time:
        return TrialWindow(0.0, _length(time))
    return WHOLE


_length = _ms()
_moment = _ms(zero=True)
_percent = _number("share", 0, 100)
_color_part = _number("part of a color", 0, 255, whole=True)
# The board's profile says later whether it has that pin.
_pin = _number("pin of a board", 0, MAX_PIN, whole=True)
_N: Final = r"(-?\d+(?:\.\d+)?)"
_UNIT: Final = rf"\s*+(?:{'|'.join(_UNITS_MS)})\b"
_ONE_UNIT: Final = re.compile(rf"{_N}\s*+([a-z]+)")
DURATION: Final = rf"-?\d+(?:\.\d+)?{_UNIT}(?:\s*+\d+(?:\.\d+)?{_UNIT})?"
_TIME: Final = rf"({DURATION})"
_TOLERANCE: Final = rf"(?:\s*+(?:\+-|±)\s*+{_N}\s*+%)?"
VALUES: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "PIN": (_N, _pin),
    "TIME": (_TIME, _length),
    "MOMENT": (_TIME, _moment),
    "TIMES": (rf"({DURATION}(?:\s*+,\s*+{DURATION})*)", _moments),
    "BOUNCE": (_TIME, _ms(1000.0)),
    "UPTIME": (_TIME, _ms(365 * _DAY_MS)),
    "TOL": (_TOLERANCE, _share),
    "POINTS": (_TOLERANCE, _percent),
    "PERCENT": (rf"{_N}\s*+%", _percent),
    "DUTY": (rf"{_N}(?:\s*+%)?", _number("duty", 0, 100)),
    "COUNT": (_N, _number("count", 0, 1_000_000, whole=True)),
    "GROUP": (_N, _number("count", 1, 1000, whole=True)),
    "LINES": (_N, _number("count", 0, 100_000, whole=True)),
    "LEVEL": (_N, _number("level", 0, 1, whole=True)),
    "NUMBER": (_N, float),
    "VOLTS": (rf"{_N}(?:\s*+V\b)?", _number("voltage of an ADC pin", 0, MAX_ADC_V)),
    # A person may write an id as the diagram has it, "ledRed".
    "PART": (r"([A-Za-z][A-Za-z0-9_-]{0,31})\b", part_id_of),
    "UNIT": (r"((?!at\b)[%°A-Za-zµ/²]+)?", _text_or_none),
    "SLACK": (rf"(?:(?:\+-|±)\s*+{_N})?", _slack),
    "KEY": (r'"([^"]{1,16})"', str),
    "BARE_KEY": (r"([0-9A-Za-z*]{1,16})(?=\s)", str),
    "SETTING": (rf"(?:(0x[0-9a-fA-F]{{1,4}}\b)|{_N}|(high|low)\b)", _setting),
    "HOLD": (rf"(?:for\b\s*+{_TIME})?", _hold),
    "PULSE": (_N, _number("pulse of a servo in us", 0.001, 20_000)),
    "ANGLE": (_N, _number("angle of a servo", 0, 180)),
    "EDGE": (r"(rises|falls)\b", _LEVELS.__getitem__),
    "STATE": (r"(high|low)\b", _LEVELS.__getitem__),
    "WORD": (r"([A-Za-z_]\w*)", str),
    "TRIGGER": (
        rf"(?:pin\b\s*+{_N}\s*+(rises|falls)\b"
        r"|([A-Za-z][A-Za-z0-9_-]{0,31})\b\s*+is\b\s*+(?:(not)\b\s*+)?([a-z_]\w*))",
        _trigger,
    ),
    "WHILE": (rf"(?:while\b\s*+pin\b\s*+{_N}\s*+(high|low)\b)?", _condition),
    "LEAST": (rf"(?:for\b\s*+{_TIME})?", _least),
    "INDEX": (rf"(?:\[\s*+{_N}\s*+\])?", _number("LED's number", 0, 4095, whole=True)),
    "COLOR": (rf"(?:({'|'.join(COLOR_NAMES)})\b|{_N}\s*+,\s*+{_N}\s*+,\s*+{_N}{_TOLERANCE})", _color),
    "WINDOW": (rf"(?:from\b\s*+{_TIME})?\s*+(?:until\b\s*+{_TIME})?", _window),
    "LIMIT": (rf"(?:within\b\s*+{_TIME})?", _limit),
    "DISPLAY": (r"(?:([a-z][a-z0-9_-]{0,31})\b)?", _text_or_none),
    "SHOWN": (r'(?:(?:(~)\s*+)?("(?:[^"\\]|\\.)*+")|(blank)\b)', _shown),
    "PATTERN": (r'~\s*+("(?:[^"\\]|\\.)*+")', _pattern),
    "AFTER": (rf"(?:after\b\s*+{_TIME})?", _delay),
    **NETWORK_VALUES,
}
