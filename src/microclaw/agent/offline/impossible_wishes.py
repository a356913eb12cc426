"""What stands in the way of a wish: a thing that no board can do (impossible.toml), or a pin that none may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.decision import Say, capitalize
from microclaw.agent.offline.offered_programs import mention
from microclaw.agent.offline.ready_programs import ReadyProgram
from microclaw.agent.offline.sentences import any_of, read_templates
from microclaw.errors import PinRefused
from microclaw.hardware.boards.pins import check_pin

_LIMIT: Final = r"(above|over|below|under) (-?\d{1,7}) milli"
_TWO_LIMITS: Final = re.compile(rf"\bon\b[^,;]{{0,60}}?\b{_LIMIT}.{{0,30}}\boff\b.{{0,60}}?\b{_LIMIT}")
_BOTH_SIDES: Final = re.compile(
    rf"\b{_LIMIT}(?: degrees| percent)?,? (?:and|but) (?:also )?(?:at the same time )?(?:it is |it's |is )?{_LIMIT}"
)
_DEGREES: Final = re.compile(
    r"\b(?:colder|warmer|hotter|cooler|above|below|over|under)\b[a-z' ]{0,40}? (-?\d{1,7}) milli degrees"
)
_TEMPERATURE: Final = "temperature"
_ABOVE: Final = frozenset({"above", "over"})
# A time with a colon, or with "am" and "pm".
_CLOCK: Final = re.compile(r"(?i)(?<![\d:.])(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?![\d:]))?(?P<half> ?[ap]m\b)?")
_PIN: Final = re.compile(r"\bpin (\d{1,3})\b")


class Reason(NamedTuple):
    """What stands in the way of a wish with these words.

    `asks`: a part of it is missing. `is_alone`: no ready program comes near. `is_first`: no other reading of such a
    sentence is right. `is_foreign`: no board does or measures that, so a question about it is none about the board.
    """

    words: re.Pattern[str]
    text: str
    next_step: str
    asks: bool
    is_alone: bool
    is_first: bool
    is_foreign: bool


def refuse_first(text: str, device: KnownDevice | None) -> Say | None:
    """Return the reason why no reading of the sentence can be done: it contradicts itself, or no board does that."""
    for reason in _reasons():
        if reason.is_first and reason.words.search(text):
            return _refusal(reason, ())
    return _never_both(text) or _beyond_sensor(text, device)


def refuse_foreign(text: str) -> Say | None:
    """Return the reason why a sentence is about nothing that a board does or measures."""
    for reason in _reasons():
        if reason.is_foreign and reason.words.search(text):
            return _refusal(reason, ())
    return None


def find_obstacle(text: str, device: KnownDevice | None, programs: Sequence[ReadyProgram]) -> Say | None:
    """Return the reason why the wish cannot be done as it is, with the nearest that can; None if none is known."""
    for reason in _reasons():
        if reason.words.search(text):
            return _refusal(reason, programs)
    return _crossed_limits(text) or _no_such_time(text) or _unusable_pin(text, device)


def _refusal(reason: Reason, programs: Sequence[ReadyProgram]) -> Say:
    if reason.asks:
        return Say(reason.text, "ambiguous", reason.next_step)
    if reason.is_alone or not programs:
        return Say(reason.text, "not_possible", reason.next_step)
    return Say(f"{reason.text} {mention(programs[:1])}", "not_possible", programs[0].example)


def _unusable_pin(text: str, device: KnownDevice | None) -> Say | None:
    """Refuse a pin that the board does not have, or that is not free for programs."""
    if device is None:
        return None
    for pin in sorted(pins_in(text)):
        profile = device.board.pins.get(pin)
        if profile is None or profile.reserved:
            try:
                check_pin(device.board, pin, "output")
            except PinRefused as exc:
                return Say(f"{capitalize(exc.message)}.", "not_possible", exc.next_step)
    return None


def _never_both(said: str) -> Say | None:
    """Refuse "when it is below 10 and at the same time above 25": no value is both."""
    match = _BOTH_SIDES.search(normalize_quantities(said))
    if match is None or (match[1] in _ABOVE) == (match[3] in _ABOVE):
        return None
    limits = {match[1] in _ABOVE: int(match[2]) / 1000, match[3] in _ABOVE: int(match[4]) / 1000}
    above = limits[True]
    below = limits[False]
    if above < below:
        return None
    text = (
        f"Nothing is below {below:g} and above {above:g} at once, so I did nothing. Do you mean one of them, or either?"
    )
    return Say(text, "not_possible", f"as in: turn on pin 4 when the temperature is below {below:g}")


def _beyond_sensor(said: str, device: KnownDevice | None) -> Say | None:
    """Refuse a limit of degrees that the board's sensor cannot measure."""
    if device is None:
        return None
    sensors = device.wiring.measuring(_TEMPERATURE)
    if len(sensors) != 1:
        return None
    measured = sensors[0].facts.measures[_TEMPERATURE]
    for match in _DEGREES.finditer(normalize_quantities(said)):
        degrees = int(match[1]) / 1000
        if not measured.least <= degrees <= measured.most:
            span = f"{measured.least:g} to {measured.most:g} °C"
            text = f"The {sensors[0].part.upper()} measures {span}, so {degrees:g} is never met."
            return Say(text, "not_possible", "what is the temperature")
    return None


def _crossed_limits(said: str) -> Say | None:
    """Refuse "on above 20 and off below 25", and "on above 25 and off above 20": somewhere it would be on and off."""
    match = _TWO_LIMITS.search(normalize_quantities(said))
    if match is None:
        return None
    is_on_above = match[1] in _ABOVE
    on_limit = int(match[2]) / 1000
    off_limit = int(match[4]) / 1000
    if is_on_above == (match[3] in _ABOVE):
        return _same_side(match[1], on_limit, off_limit)
    is_crossed = off_limit > on_limit if is_on_above else off_limit < on_limit
    if not is_crossed:
        return None
    low = min(on_limit, off_limit)
    high = max(on_limit, off_limit)
    text = f"Between {low:g} and {high:g} that says on and off at once, so I did nothing."
    pin = min(pins_in(said), default=4)
    limits = f"below {low:g} and off again when it is above {high:g}"
    if is_on_above:
        limits = f"above {high:g} and off again when it is below {low:g}"
    return Say(text, "not_possible", f"as in: turn on pin {pin} when the temperature is {limits}")


def _same_side(side: str, on_limit: float, off_limit: float) -> Say | None:
    """Refuse "on above 25 and off above 20": where it would go on, it is off already."""
    is_range = on_limit < off_limit if side in _ABOVE else on_limit > off_limit
    if is_range:
        return None
    other_side = "below" if side in _ABOVE else "above"
    text = f"{capitalize(side)} {on_limit:g} that says on and off at once, so I did nothing."
    limits = f"{side} {on_limit:g} and off again when it is {other_side} {off_limit:g}"
    return Say(text, "not_possible", f"as in: turn on pin 4 when the temperature is {limits}")


def _no_such_time(said: str) -> Say | None:
    """Refuse a time of day that no clock shows: 25:70, 14 pm."""
    for match in _CLOCK.finditer(said):
        if not match["minute"] and not match["half"]:
            continue
        hour = int(match["hour"])
        limit = 12 if match["half"] else 24
        if hour > limit or int(match["minute"] or 0) > 59:
            return Say(
                f"There is no time {match[0]}, so I did nothing.", "not_possible", "a time is like 22:30 or 8 pm"
            )
    return None


def pins_in(text: str) -> frozenset[int]:
    """Return the pins that a sentence names."""
    return frozenset(int(digits) for digits in _PIN.findall(normalize_quantities(text)))


@cache
def _reasons() -> list[Reason]:
    reasons = []
    for row in read_templates(("words", "references", "impossible"))["reasons"].values():
        words = re.compile(any_of(row["words"]).pattern, re.IGNORECASE)
        reasons.append(
            Reason(
                words,
                row["text"],
                row["next_step"],
                row.get("asks", False),
                row.get("alone", False),
                row.get("first", False),
                row.get("foreign", False),
            )
        )
    return reasons
