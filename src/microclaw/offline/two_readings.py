"""Asks about a time with two readings: the pace of an act that goes on, or a delay before it. It acts on nothing."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from microclaw.language.quantities import normalize_quantities
from microclaw.offline.decision import Say
from microclaw.offline.deployment import seconds
from microclaw.offline.parse import Parse
from microclaw.offline.sentences import Sentences

ENDLESS: Final = frozenset({"blink", "fade", "rainbow", "servo_sweep", "led_blink"})
"""The kinds that go on until they are stopped, each with a pace."""
_GO_ON: Final = ENDLESS | {"blink_times"}
_PACE_SLOTS: Final = frozenset({"ms", "period_ms", "for_ms"})
_COUNT: Final = r"(?:(?P<{0}>\d+) times|(?P<{0}_word>twice|thrice))"
_IN: Final = re.compile(
    r"(?:(?:please|can you|could you|would you) )*(?!(?:start|begin)\b)"  # "start to blink in 3 s" is a delay
    r"(?P<what>\S.*) (?P<word>in|over|within|during) (?P<ms>\d+) ms(?: please)?"
)
_TO_A_LEVEL: Final = re.compile(r"\b(?:fade|ramp)\b")
_FLASHES: Final = re.compile(r"\b(?:blink|flash|flicker|wink|strobe|puls|beep|buzz)")
_GROUPS: Final = re.compile(
    rf"\b{_COUNT.format('first')},? (?:every|each) (?P<ms>\d+) ms\b"
    rf"|\b(?:every|each) (?P<lead_ms>\d+) ms\b.*\b{_COUNT.format('last')}"
)
_EVERY_UNIT: Final = re.compile(r"\b(times|twice|thrice|x),? every (minute|min|hour)\b")
_WORDS: Final = {"twice": 2, "thrice": 3}
_MOST_FLASHES: Final = 1_000_000


def two_readings(text: str, sentences: Sentences) -> Say | None:
    """The question about "fade in 3 seconds" or "flash twice every 5 seconds"; None for any other sentence."""
    # "every minute" beside a count would be read as a rate, and "every 1 minute" is a time.
    said = normalize_quantities(_EVERY_UNIT.sub(r"\1 every 1 \2", text.lower()))
    found = _IN.fullmatch(said)
    if found is None or not int(found["ms"]):
        return _groups(said, sentences)
    parse, what, time = sentences.parse(found["what"]), found["what"], seconds(int(found["ms"]))
    if parse is not None and parse.kind == "dim_pin" and _TO_A_LEVEL.search(what):
        level = f"dim {_target(parse)} to {(parse.number('milli') or 0) / 1000:g}%"
        return _which("A fade to a level is none of my programs", level, f"in {time} {level}")
    paced = _paced(parse, what, int(found["ms"])) if parse is not None else None
    if paced is None:
        return _groups(said, sentences)
    why = f'"{found["word"]} {time}" can be the time of each one, or a wait before it begins'
    return _which(why, paced, f"in {time} {what}") if found["word"] == "in" else _which(why, paced)


def _paced(parse: Parse, what: str, ms: int) -> str | None:
    """The sentence in which the time is the pace; None where it has one, or goes on for no time."""
    is_paced = parse.kind in _GO_ON or (parse.kind == "pulse" and "puls" in what)
    if not is_paced or _PACE_SLOTS & parse.values.keys():
        return None
    if times := parse.number("times"):
        return f"blink {_target(parse)} {times} times at {float(Fraction(1000 * times, ms)):.4g} Hz"
    if parse.kind == "blink":
        return f"blink {_target(parse)} at {float(Fraction(1000, ms)):.4g} Hz"
    return f"{what} {'for' if parse.kind == 'pulse' else 'every'} {seconds(ms)}"


def _groups(said: str, sentences: Sentences) -> Say | None:
    found = _GROUPS.search(said)
    parse = sentences.parse(said) if found is not None and _FLASHES.search(said) else None
    if found is None or parse is None or parse.kind not in {*_GO_ON, "pulse", "toggle_pin"}:
        return None
    word = found["first_word"] or found["last_word"]
    times = _WORDS[word] if word else int(found["first"] or found["last"])
    ms = int(found["ms"] or found["lead_ms"])
    if not (1 < times <= _MOST_FLASHES and ms):
        return None  # what is refused as a number is refused where it is read
    where, even = _target(parse), f"{float(Fraction(1000 * times, ms)):.4g} Hz"
    counted = f"blink {where} {times} times at {float(Fraction(1000, ms)):.4g} Hz"
    return _which(
        f"{times} times every {seconds(ms)} can be without an end, or only once", f"blink {where} at {even}", counted
    )


def _which(why: str, *sentences: str) -> Say:
    shown = f"say: {' (or: '.join(sentences)}{')' * (len(sentences) - 1)}"
    return Say(f"{why}, so I did nothing. Which one do you mean?", "ambiguous", shown)


def _target(parse: Parse) -> str:
    pin = parse.number("pin")
    return "the led" if pin is None else f"pin {pin}"
