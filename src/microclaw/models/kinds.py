"""What a set of meanings asks for: the kind of sentence and its values, as the templates give them. Reads no text.

Each kind says what must be there and what else may be; one meaning too many and it is another kind, or none. What is
missing (a pin, a limit) is left out of the values: those who act ask for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from microclaw.models.asked import (
    PROGRAMS,
    Kind,
    Values,
    asked_of_programs,
    asks,
    is_question,
    is_told,
    reading,
    told_of_the_board,
)
from microclaw.models.followed import button, rule, thermostat, unbounded
from microclaw.models.frames import THINGS, Bag
from microclaw.models.targets import PACE, TARGET, pace_of, target, thing_of

_STARTS = ("power", "run", "start", "runs", "starts")
_MAX_PINS = 8
_NO_BLINK_MS = 3000
_NO_LIST = frozenset(
    {"to", "via", "from", "with", "by", "into", "using", "like", "as", "than", "for", "leave", "keep", "hold", "follow"}
)
_DEFINITE_LOGS = frozenset({"log", "record", "monitor", "watch"})
_ORDERED_ALONE = frozenset({"fade", "blink", "flash", "breathe"})
_IS = frozenset({"is", "are", "it's", "it is"})
_LEVELS = frozenset({"on", "off"})
_BARE_LEVELS = frozenset({"on", "off", "high", "low", "out", "to on", "to off", "light", "lights"})


def kind_of(bag: Bag, *, asked: bool = False) -> Kind | None:
    """The kind of sentence that says just this; None where it is none. `asked`: it is known to order nothing."""
    if any(before.text in ("like", "as") and "pin" in part.tags for before, part in itertools.pairwise(bag.parts)):
        return None  # as another pin is
    readers = _QUESTIONS if asked or is_question(bag) or is_told(bag) else (*_QUESTIONS, *_ORDERS)
    for reader in readers:
        found = reader(bag)
        if found is not None:
            return found
    return None


def _stopped(bag: Bag) -> Kind | None:
    named = [name for tag, name in PROGRAMS.items() if bag.has(tag)]
    if len(bag.all("stop")) != 1 or len(named) != 1:
        return None
    order = [part for part in bag.parts if part.tags & {"stop", "led", "pin", *PROGRAMS}]
    if order[0].text in _ORDERED_ALONE and len(order) > 2:
        return None  # "fade the led, wipe the board": two orders
    if not bag.only("stop", *PROGRAMS, "app", "off_board", "led", "pin", "hold"):
        return None
    if len(bag.pins) == 1:
        return "remove_on_pin", {"pin": bag.pins[0]}
    return ("remove_app", {"app": named[0]}) if not bag.pins else None


def _traffic(bag: Bag) -> Kind | None:
    if not bag.has("traffic") or not bag.only("traffic", "set", "pin", "red", "yellow", "green", "hold"):
        return None
    colours = bag.all("red", "yellow", "green")
    order = [next(iter(part.tags & {"red", "yellow", "green"})) for part in colours]
    pins = dict(zip(order, bag.pins, strict=False)) if order else {}
    if order and (sorted(order) != ["green", "red", "yellow"] or len(bag.pins) != 3):
        return None
    if order:
        numbers = [pins[colour] for colour in ("red", "yellow", "green")]
        one_each = [p for p in bag.parts if p.tags & {"red", "yellow", "green", "pin"}]
        if [bool(p.tags & {"pin"}) for p in one_each] not in ([False, True] * 3, [False] * 3 + [True]):
            return None
    else:
        numbers = bag.pins
    return ("traffic_light", _numbered(numbers)) if len(numbers) in (0, 3) else None


def _log(bag: Bag) -> Kind | None:
    quantities, pace = bag.quantities, pace_of(bag)
    if not bag.has("log") or len(quantities) != 1 or bag.pins or pace is None:
        return None
    if not bag.only("log", "show", "question", "measuring", "set", f"q:{quantities[0]}", *PACE):
        return None
    if not pace and not any(part.text in _DEFINITE_LOGS for part in bag.parts):
        return None
    return "read_sensor_every", {"quantity": quantities[0], **pace}


def _blink(bag: Bag) -> Kind | None:
    toggled = bag.has("toggle") and bag.has("every", "period", "times")
    swung = bag.has("swinging", "on_ms") and bag.has(
        "every", "period", "fast", "slow", "times", "for", "on_ms", "endless"
    )
    if not (bag.has("blink") or toggled or swung):
        return None
    allowed = (
        "blink",
        "set",
        "times",
        "for",
        "on_ms",
        "swinging",
        "endless",
        "hold",
        "or",
        *PACE,
        *TARGET,
        *(("toggle",) if toggled else ()),
    )
    pace, values = pace_of(bag), target(bag, {})
    if bag.has("times", "for") and "stop" in bag.parts[-1].tags:
        bag = bag.without([bag.parts[-1]])  # "seven flashes and then stop"
    if pace is None or values is None or not bag.only(*allowed) or len(bag.all("times", "for")) > 1:
        return None
    if bag.has("on_ms"):
        on_ms, off_ms = bag.all("on_ms")[0].numbers
        if on_ms != off_ms or bag.has("every", "period"):
            return None
        pace = {"ms": on_ms}
    if bag.has("times", "for") and bag.has("endless"):
        return None  # so many, and for ever: one of the two is not meant
    if (bag.number("times") or 0) > 1 and (bag.number("every") or 0) >= _NO_BLINK_MS:
        return None  # so many at once, and again after a while: no program here does that
    times, for_ms = bag.number("times"), bag.number("for")
    if times is not None:
        # A pin toggled twice is where it was; who says that may mean a blink, where the pin is still to be asked for.
        return ("blink_times", {**values, **pace, "times": times}) if not toggled or "pin" not in values else None
    return (
        ("blink_times", {**values, **pace, "for_ms": for_ms}) if for_ms is not None else ("blink", {**values, **pace})
    )


def _fade(bag: Bag) -> Kind | None:
    pace, values = pace_of(bag), target(bag, {})
    if not bag.has("fade") or pace is None or values is None:
        return None
    return (
        ("fade", {**values, **pace})
        if bag.only("fade", "set", "dim", "hold", "pulse", "on", "endless", *PACE, *TARGET)
        else None
    )


def _pulse(bag: Bag) -> Kind | None:
    """On for a while: "pulse", "on for", "on ... after 2 s off"."""
    lasting = bag.all("for", "ms", "after")
    if not bag.has("pulse", "on", "set") or len(lasting) > 1 or (not lasting and not bag.has("pulse")):
        return None
    if not bag.only("pulse", "on", "off", "set", "for", "ms", "after", *TARGET):
        return None
    values = target(bag, {})
    if values is None or not _ends_off(bag):
        return None
    if not (bag.has("pulse", "on") or bag.says("run", "start")) or (bag.has("ms") and not bag.has("pulse")):
        return None
    return "pulse", values | ({"ms": lasting[0].numbers[0]} if lasting else {})


def _ends_off(bag: Bag) -> bool:
    """ "off" only as the end of what was on; "after" only before it."""
    said = [next(tag for tag in ("off", "on", "for", "after", "pulse") if tag in part.tags)
            for part in bag.all("off", "on", "for", "after", "pulse")]  # fmt: skip
    if "off" not in said:
        return "after" not in said
    return said in (["on", "for", "off"], ["on", "after", "off"], ["pulse", "off"], ["pulse", "for", "off"])


def _dim(bag: Bag) -> Kind | None:
    shares = bag.all("percent", "half", "quarters", "full")
    if any(before.text == "by" and part in shares for before, part in itertools.pairwise(bag.parts)):
        return ("dim_pin", values) if (values := target(bag, {})) is not None else None  # by so much: of what?
    if len(shares) > 1 or not (bag.has("dim", "brighter") or shares) or bag.has("when"):
        return None
    if any("dim" not in part.tags for part in bag.all("off")):
        return None
    if not bag.only("dim", "brighter", "percent", "half", "quarters", "full", "set", "on", "q:power", *TARGET):
        return None
    if shares and "percent" not in shares[0].tags and not bag.has("dim", "q:power"):
        return None
    values = target(bag, {})
    if values is None or (bag.has("brighter") and not shares):
        return ("dim_pin", values) if values is not None else None
    for part in shares:
        fixed = {"half": 50_000, "full": 100_000}
        quarters = 25_000 * part.numbers[0] if "quarters" in part.tags else 0
        values["milli"] = (
            part.numbers[0] if "percent" in part.tags else quarters or fixed[next(iter(part.tags & {*fixed}))]
        )
    return "dim_pin", values


def _toggle(bag: Bag) -> Kind | None:
    values = target(bag, {})
    times = bag.number("times") if bag.has("times") else 1
    if (
        not bag.has("toggle")
        or values is None
        or times != 1
        or not bag.only("toggle", "set", "state", "times", *TARGET)
    ):
        return None
    return "toggle_pin", values


def _set(bag: Bag) -> Kind | None:
    """One level for one pin or several, or each pin with its own: "pin 4 on and pin 5 off"."""
    if not bag.only("on", "off", "set", "bit", "state", "or", *TARGET) or len(bag.pins) > _MAX_PINS:
        return None
    if (
        asks(bag)
        or not _joined(bag)
        or _switches_more(bag)
        or (bag.has("bit") and (not bag.pins or len(bag.all("bit")) > 1))
    ):
        return None
    started = bag.says(*_STARTS) and thing_of(bag) == "load" and not bag.has("off")
    on = bag.has("on") or bag.number("bit") == 1 or started
    off = bag.has("off") or bag.number("bit") == 0
    if on and off:
        return _set_each(bag)
    if not on and not off:
        return None
    values: Values = {"level": int(on)}
    if bag.has("or"):
        return "set_pin", values  # either of two is none: it is asked for
    values |= _numbered(bag.pins)
    thing = thing_of(bag)
    return "set_pin", values | ({"thing": thing} if thing is not None and len(bag.pins) < 2 else {})


def _set_each(bag: Bag) -> Kind | None:
    """Levels and pins in turn, every pin beside its own level."""
    said = [part for part in bag.parts if not part.tags.isdisjoint(("on", "off", "pin"))]
    is_pin = ["pin" in part.tags for part in said]
    if (
        bag.has("or", "bit")
        or len(said) % 2
        or is_pin not in ([True, False] * (len(said) // 2), [False, True] * (len(said) // 2))
    ):
        return None
    if len(set(bag.pins)) < len(bag.pins):
        return None
    pairs = [(b, a) if "pin" in b.tags else (a, b) for a, b in zip(said[::2], said[1::2], strict=True)]
    values: Values = _numbered(bag.pins)
    levels = [int("on" in level.tags) for pins, level in pairs for _ in pins.numbers]
    values |= {"level" if n == 0 else f"level_{n + 1}": level for n, level in enumerate(levels)}
    return "set_pin", values


def _joined(bag: Bag) -> bool:
    """Whether several pins are said as a list: "4 and 5", not "4 via 5" nor "4 and leave 5"."""
    at = [n for n, part in enumerate(bag.parts) if "pin" in part.tags]
    between = bag.parts[at[0] : at[-1]] if at else ()
    for n, part in enumerate(between):
        told = part.text in _IS and next(p for p in bag.parts[at[0] + n + 1 :] if p.tags != {"filler"})
        if part.text in _NO_LIST or (told and "pin" in told.tags):
            return False  # "turn on pin 4, the relay is on pin 5"
    return True


def _switches_more(bag: Bag) -> bool:
    """Whether a thing with no pin is switched after a pin: "turn on pin 4 and open the gate"."""
    at = max((n for n, part in enumerate(bag.parts) if "pin" in part.tags), default=len(bag.parts))
    after = itertools.dropwhile(lambda part: part.text in _BARE_LEVELS or not part.tags & _LEVELS, bag.parts[at + 1 :])
    return any(not part.tags.isdisjoint(THINGS) for part in after)


def _numbered(pins: list[int]) -> Values:
    return {"pin" if n == 0 else f"pin_{n + 1}": number for n, number in enumerate(pins)}


_QUESTIONS: tuple[Callable[[Bag], Kind | None], ...] = (told_of_the_board, asked_of_programs, reading)
_ORDERS: tuple[Callable[[Bag], Kind | None], ...] = (
    _stopped, _traffic, button, rule, unbounded, _log, thermostat, _blink, _fade, _dim, _pulse, _toggle, _set,
)  # fmt: skip
