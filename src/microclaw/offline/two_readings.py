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
_PULSE: Final = re.compile(r"\bpuls")
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
    return _pace_or_delay(said, sentences) or _groups(said, sentences)


def _pace_or_delay(said: str, sentences: Sentences) -> Say | None:
    found = _IN.fullmatch(said)
    parse = sentences.parse(found["what"]) if found is not None else None
    if found is None or parse is None or not int(found["ms"]):
        return None
    what, time = found["what"], seconds(int(found["ms"]))
    shown = f'"{found["word"]} {time}"'
    if parse.kind == "dim_pin" and _TO_A_LEVEL.search(what):
        level = f"dim {_target(parse)} to {(parse.number('milli') or 0) / 1000:g}%"
        text = f"I have no program that fades to a level {shown[1:-1]} and stays there, so I did nothing."
        return Say(text, "ambiguous", f"say: {level} (or: in {time} {level})")
    if not _goes_on(parse, what):
        return None
    reading, paced = _as_pace(parse, what, int(found["ms"]))
    if found["word"] == "in":
        return Say(
            f"{shown} has two readings: {reading}; or a wait of {time} before it begins. Which one? I did nothing.",
            "ambiguous",
            f"say: {paced} (or: in {time} {what})",
        )
    ends = parse.kind not in ENDLESS
    once = "" if ends else f" I have no program for one that takes {time} and then ends."
    return Say(f"With {shown} I can do: {reading}.{once} I did nothing yet.", "ambiguous", f"say: {paced}")


def _as_pace(parse: Parse, what: str, ms: int) -> tuple[str, str]:
    """What the time means as a pace, and the sentence for it."""
    time, where, times = seconds(ms), _target(parse), parse.number("times")
    if times:
        rate = f"{float(Fraction(1000 * times, ms)):.4g} Hz"
        return f"{times} flashes that take {time} together", f"blink {where} {times} times at {rate}"
    if parse.kind == "pulse":
        return f"on for {time}, once", f"turn on {where} for {time}"
    if parse.kind == "blink":
        rate = f"{float(Fraction(1000, ms)):.4g} Hz"
        return f"one blink each {time}, until it is stopped", f"blink {where} at {rate}"
    if parse.kind == "fade":
        return f"up and down once in {time}, again and again until it is stopped", f"fade {where} every {time}"
    return f"once each {time}, until it is stopped", f"{what} every {time}"


def _goes_on(parse: Parse, said: str) -> bool:
    """Whether it is an act with a pace, and none was said."""
    paced = parse.kind in _GO_ON or (parse.kind == "pulse" and _PULSE.search(said) is not None)
    return paced and not _PACE_SLOTS & parse.values.keys()


def _groups(said: str, sentences: Sentences) -> Say | None:
    found = _GROUPS.search(said)
    if found is None or not _FLASHES.search(said):
        return None
    parse = sentences.parse(said)
    if parse is None or parse.kind not in {*_GO_ON, "pulse", "toggle_pin"}:
        return None
    word = found["first_word"] or found["last_word"]
    times = _WORDS[word] if word else int(found["first"] or found["last"])
    ms = int(found["ms"] or found["lead_ms"])
    if not (1 < times <= _MOST_FLASHES and ms):
        return None  # what is refused as a number is refused where it is read
    time, where = seconds(ms), _target(parse)
    even = f"{float(Fraction(1000 * times, ms)):.4g} Hz"
    return Say(
        f"{times} times every {time} has several readings, so I did nothing: {times} flashes and a pause, again every "
        f"{time} (I have no program for that); {times} flashes in each {time} at even distances, until it is stopped; "
        f"or {times} flashes alone, one each {time}, and then the end. Which one?",
        "ambiguous",
        f"say: blink {where} at {even} (or: blink {where} {times} times at {float(Fraction(1000, ms)):.4g} Hz)",
    )


def _target(parse: Parse) -> str:
    pin = parse.number("pin")
    return "the led" if pin is None else f"pin {pin}"
