"""Sentences that ask for a program: which pattern, its parameters, its name on the device. Deploys nothing itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from microclaw.errors import ConfigError
from microclaw.models.places import Place, board_of, place_of, sensor_of
from microclaw.models.reply import Act, Decision, Found, Say, Situation, ask, capital, failure
from microclaw.patterns.library import Value, fill

DEFAULT_HALF_PERIOD_MS = 500
DEFAULT_FADE_MS = 2000
DEFAULT_READ_MS = 10_000
_SPEEDS: Mapping[str, Mapping[str, int]] = {
    "blink": {"slow": 1000, "fast": 100},
    "fade": {"slow": 5000, "fast": 500},
    "read": {"slow": 60_000, "fast": 1000},
}

_PACE = re.compile(
    r"(?i)\b(?:(?:once )?(?:every|each)\b(?: [\w./-]+){0,5}? ?(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|"
    r"mins?|hours?|h)\b|(?:once|twice|thrice|[\w.]+ times) (?:a|per|every|each) \w+|[\d.]+ ?k?hz\b)"
)
_CONDITION = re.compile(r"(?i)\b(?:when|whenever|while|if|as long as|as soon as|every time|each time|once)\b")


def decide(at: Situation) -> Decision:
    """Deploy the filled pattern, then say what the deployment's evidence is."""
    if not at.found:
        return _PROGRAMS[at.reading.kind](at)
    return _told(at.found[-1], once=at.reading.kind == "pulse")


def _blink(at: Situation) -> Act:
    place = place_of(at)
    half_ms = _half_period_ms(at)
    return _deploy(
        at,
        "blink",
        {"PIN": place.pin, "HALF_PERIOD_MS": half_ms, "ON": place.active_level},
        f"blink(pin={place.pin}, half_period={seconds(half_ms)})",
        _for_ever(at, f"blink every {seconds(half_ms)}"),
        place,
    )


def _fade(at: Situation) -> Act:
    place = place_of(at)
    period_ms = _pace_ms(at, "fade", DEFAULT_FADE_MS)
    return _deploy(
        at,
        "fade",
        {"PIN": place.pin, "PERIOD_MS": period_ms, "ON": place.active_level},
        f"fade(pin={place.pin}, period={seconds(period_ms)})",
        _for_ever(at, "fade"),
        place,
    )


def _button(at: Situation) -> Act:
    button, light = place_of(at, "button_pin"), place_of(at)
    if button.pin == light.pin:
        raise ask(
            f"The button and the light cannot both be on pin {light.pin}. Which pin is the light on?",
            "name it, as in: pin 4",
        )
    return _deploy(
        at,
        "button_led",
        {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level},
        f"button(pin={button.pin}) -> on(pin={light.pin})",
        _waiting(at),
        light,
    )


def _threshold(at: Situation) -> Act:
    place = place_of(at)
    name = at.reading.word("quantity") or "temperature"
    quantity, address = sensor_of(at, name)
    unit = at.reading.word("unit")
    if unit is not None and unit != quantity.said_unit:
        raise ask(
            f"{name.capitalize()} is not measured in {unit}. What limit do you mean?",
            f"say it in {quantity.shown_unit}",
        )
    limit_milli = at.reading.number("milli") or 0
    above = at.reading.word("side") == "above"
    limit = f"{limit_milli / 1000:g}"
    # A bare number and amps come in thousandths of the unit that is said; the sensor tells milliamps and milliwatts.
    if quantity.said_unit in ("amps", "watts"):
        limit_milli *= 1000 if unit is not None else 1
        limit = f"{limit_milli / 1000:g}"
    shown = f"{name} {'>' if above else '<'} {limit} {quantity.shown_unit}"
    return _deploy(
        at,
        "threshold",
        {
            "PIN": place.pin,
            "QUANTITY": name,
            "ADDRESS": address,
            "LIMIT_MILLI": limit_milli,
            "ABOVE": int(above),
            "ON": place.active_level,
        },
        f"when({shown}) -> on(pin={place.pin})",
        _waiting(at),
        place,
    )


def _read_every(at: Situation) -> Act:
    name = at.reading.word("quantity") or "temperature"
    _, address = sensor_of(at, name)
    every_ms = _pace_ms(at, "read", DEFAULT_READ_MS)
    return _deploy(
        at,
        "read_sensor",
        {"QUANTITY": name, "ADDRESS": address, "EVERY_MS": every_ms},
        f"read(sensor={name}, every={seconds(every_ms)})",
        _for_ever(at, f"read {name}"),
        app_name=name,
    )


def _pulse(at: Situation) -> Act:
    place = place_of(at)
    for_ms = at.reading.number("ms") or 0
    return _deploy(
        at,
        "pulse",
        {"PIN": place.pin, "FOR_MS": for_ms, "ON": place.active_level},
        f"pulse(pin={place.pin}, for={seconds(for_ms)})",
        f"{seconds(for_ms)} exactly is timed on the board -> a short program on the board",
        place,
    )


_PROGRAMS: Mapping[str, Callable[[Situation], Act]] = {
    "blink": _blink,
    "fade": _fade,
    "button": _button,
    "threshold": _threshold,
    "read_sensor_every": _read_every,
    "pulse": _pulse,
}
KINDS = frozenset(_PROGRAMS)


def seconds(ms: int) -> str:
    """500 -> "0.5 s", 7_200_000 -> "2 h"."""
    if ms >= 3_600_000 and ms % 3_600_000 == 0:
        return f"{ms // 3_600_000} h"
    if ms >= 120_000 and ms % 60_000 == 0:
        return f"{ms // 60_000} min"
    return f"{ms / 1000:g} s"


def _deploy(
    at: Situation,
    pattern: str,
    values: Mapping[str, Value],
    intent: str,
    plan: str,
    place: Place | None = None,
    app_name: str | None = None,
) -> Act:
    board_of(at)
    try:
        program = fill(pattern, values)
    except ConfigError as exc:
        raise ask(exc.message, exc.next_step) from exc
    arguments = at.on_device(appName=app_name or _free_name(at, program.app_name, place), sourceCode=program.source)
    origin = f"patterns/{pattern}.c, filled in   (a pattern: no model wrote this)"
    return Act("deploy-wasm-app", arguments, intent, plan, origin)


def _free_name(at: Situation, stem: str, place: Place | None) -> str:
    """The pattern's own name, with the pin added when that name already works on another pin."""
    apps = {app.name: app for app in at.device.apps} if at.device else {}
    taken = apps.get(stem)
    if place is None or taken is None or place.pin in taken.pins:
        return stem
    return f"{stem}-{place.pin}"


def _half_period_ms(at: Situation) -> int:
    """ "every half second" toggles each half second; "twice a second" and "2 Hz" are whole periods."""
    every_ms, period_ms = at.reading.number("ms"), at.reading.number("period_ms")
    if every_ms is not None:
        return every_ms
    if period_ms is not None:
        return period_ms // 2
    return _SPEEDS["blink"].get(at.reading.word("speed") or "", DEFAULT_HALF_PERIOD_MS)


def _pace_ms(at: Situation, what: str, otherwise: int) -> int:
    """The time that was said, 0 too (to be refused); else what "slowly" or "fast" mean here."""
    for slot in ("ms", "period_ms"):
        said = at.reading.number(slot)
        if said is not None:
            return said
    return _SPEEDS[what].get(at.reading.word("speed") or "", otherwise)


def _for_ever(at: Situation, otherwise: str) -> str:
    said = _PACE.search(at.said)
    return f'"{said[0] if said else otherwise}" goes on for ever -> a program on the board'


def _waiting(at: Situation) -> str:
    said = _CONDITION.search(at.said)
    return f'"{(said[0] if said else "keep").lower()} ..." waits for something to happen -> a program on the board'


def _told(found: Found, *, once: bool) -> Say:
    """The deployment's answer: never more than its evidence says."""
    if not found.ok:
        return failure(found)
    name, device = found.fields.get("appName", "the program"), found.device
    kind, proof = found.proof
    if kind == "accepted":
        return Say(
            f"{device} took {name}. The board offers no read-back, so whether it works cannot be seen from here."
        )
    if not found.fields.get("verified", False):
        return Say(f"{name} is on {device}, but not verified: {proof}.", "not_verified", f"stop {name}")
    runs = (
        f"{name} did its work on {device} and stays loaded until: stop {name}"
        if once
        else f"{name} runs on {device} by itself"
    )
    return Say(f"{runs}. {capital(proof)}.")
