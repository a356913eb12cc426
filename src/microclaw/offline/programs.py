"""Sentences that ask for a program: which pattern, its parameters, its name on the device. Deploys nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microclaw.offline.decision import Context, Decision, ask
from microclaw.offline.deployment import deploy, for_ever, seconds, spoken, waiting
from microclaw.offline.pins import place_of, sensor_of

DEFAULT_HALF_PERIOD_MS = 500
DEFAULT_FADE_MS = 2000
DEFAULT_READ_MS = 10_000
DEFAULT_PULSE_MS = 200
_SPEEDS: Mapping[str, Mapping[str, int]] = {
    "blink": {"slow": 1000, "fast": 100},
    "fade": {"slow": 5000, "fast": 500},
    "read": {"slow": 60_000, "fast": 1000},
}


def _blink(at: Context) -> Decision:
    place = place_of(at)
    half_ms = _half_period_ms(at)
    return deploy(
        at,
        "blink",
        {"PIN": place.pin, "HALF_PERIOD_MS": half_ms, "ON": place.active_level},
        f"blink(pin={place.pin}, half_period={seconds(half_ms)})",
        for_ever(at, f"blink every {seconds(half_ms)}"),
        f"blink {place.words} every {spoken(half_ms)}",
        place=place,
    )


def _fade(at: Context) -> Decision:
    place = place_of(at)
    period_ms = _pace_ms(at, "fade", DEFAULT_FADE_MS)
    return deploy(
        at,
        "fade",
        {"PIN": place.pin, "PERIOD_MS": period_ms, "ON": place.active_level},
        f"fade(pin={place.pin}, period={seconds(period_ms)})",
        for_ever(at, "fade"),
        f"fade {place.words} every {spoken(period_ms)}",
        place=place,
    )


def _button(at: Context) -> Decision:
    button, light = place_of(at, "button_pin"), place_of(at)
    if button.pin == light.pin:
        raise ask(
            f"The button and the light cannot both be on pin {light.pin}. Which pin is the light on?",
            "name it, as in: pin 4",
            "pin",
        )
    return deploy(
        at,
        "button_led",
        {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level},
        f"button(pin={button.pin}) -> on(pin={light.pin})",
        waiting(at),
        f"turn on {light.words} when the button on pin {button.pin} is pressed",
        place=light,
    )


def _read_every(at: Context) -> Decision:
    name = at.parse.word("quantity") or "temperature"
    _, address = sensor_of(at, name)
    every_ms = _pace_ms(at, "read", DEFAULT_READ_MS)
    return deploy(
        at,
        "read_sensor",
        {"QUANTITY": name, "ADDRESS": address, "EVERY_MS": every_ms},
        f"read(sensor={name}, every={seconds(every_ms)})",
        for_ever(at, f"read {name}"),
        f"read the {name} every {spoken(every_ms)}",
        app_name=name,
    )


def _pulse(at: Context) -> Decision:
    place = place_of(at)
    for_ms = at.parse.number("ms")
    for_ms = DEFAULT_PULSE_MS if for_ms is None else for_ms
    return deploy(
        at,
        "pulse",
        {"PIN": place.pin, "FOR_MS": for_ms, "ON": place.active_level},
        f"pulse(pin={place.pin}, for={seconds(for_ms)})",
        f"{seconds(for_ms)} exactly is timed on the board -> a short program on the board",
        f"turn on {place.words} for {spoken(for_ms)}",
        place=place,
        once=True,
    )


def _blink_times(at: Context) -> Decision:
    place = place_of(at)
    half_ms = _half_period_ms(at)
    times, for_ms = at.parse.number("times"), at.parse.number("for_ms")
    if for_ms is not None and for_ms < 2 * half_ms:
        raise ask(
            f"One flash takes {seconds(2 * half_ms)}, longer than {seconds(for_ms)}. How often, and for how long?",
            f"blink pin {place.pin} every 200 ms for {seconds(for_ms)}",
        )
    if times is None:
        times = max(1, round((for_ms or 0) / (2 * half_ms))) if half_ms else 1
    return deploy(
        at,
        "blink_times",
        {"PIN": place.pin, "HALF_PERIOD_MS": half_ms, "TIMES": times, "ON": place.active_level},
        f"blink(pin={place.pin}, half_period={seconds(half_ms)}, times={times})",
        f"{times} times at even distances is timed on the board -> a short program on the board",
        f"blink {place.words} {times} times every {spoken(half_ms)}",
        place=place,
        once=True,
    )


def _traffic_light(at: Context) -> Decision:
    lights = [place_of(at, slot).pin for slot in ("pin", "pin_2", "pin_3") if at.parse.number(slot) is not None]
    if len(lights) != 3 or at.parse.number("pin_4") is not None:
        raise ask(
            "A traffic light has three lights. Which pins are red, yellow and green on?",
            "name them in this order, as in: run a traffic light on pins 4, 5 and 6",
            "pins",
        )
    example = "run a traffic light on pins 4, 5 and 6"
    if len(set(lights)) < 3:
        raise ask("Each light needs a pin of its own. Which pins are they on?", example, "pins")
    red, yellow, green = lights
    return deploy(
        at,
        "traffic_light",
        {"RED_PIN": red, "YELLOW_PIN": yellow, "GREEN_PIN": green},
        f"traffic_light(red={red}, yellow={yellow}, green={green})",
        for_ever(at, "traffic light"),
        f"run a traffic light on pins {red}, {yellow} and {green}",
    )


PROGRAMS: Mapping[str, Callable[[Context], Decision]] = {
    "blink": _blink,
    "fade": _fade,
    "button": _button,
    "blink_times": _blink_times,
    "traffic_light": _traffic_light,
    "read_sensor_every": _read_every,
    "pulse": _pulse,
}


def _half_period_ms(at: Context) -> int:
    """ "every half second" toggles each half second; "twice a second" and "2 Hz" are whole periods."""
    every_ms, period_ms = at.parse.number("ms"), at.parse.number("period_ms")
    if every_ms is not None:
        return every_ms
    if period_ms is not None:
        return period_ms // 2
    return _SPEEDS["blink"].get(at.parse.word("speed") or "", DEFAULT_HALF_PERIOD_MS)


def _pace_ms(at: Context, what: str, otherwise: int) -> int:
    """The time that was said, 0 too (to be refused); else what "slowly" or "fast" mean here."""
    for slot in ("ms", "period_ms"):
        said = at.parse.number(slot)
        if said is not None:
            return said
    return _SPEEDS[what].get(at.parse.word("speed") or "", otherwise)
