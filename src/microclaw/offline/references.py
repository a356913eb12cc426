"""Sentences that refer to the last act: "no, pin 5", "stop it", "is it on", "and 5", "faster", "make that 25".

The templates are in intents/en/references.toml. The result is a whole parse made of the last act's values, or an answer
where the sentence fits nothing of it. It calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import KnownDevice
from microclaw.offline.decision import Say
from microclaw.offline.last_act import ON_SEVERAL, PROGRAMS_ON_PINS, LastAct
from microclaw.offline.names import told_name
from microclaw.offline.paces import half_period_ms, pace_ms, time_values, without_pace
from microclaw.offline.parse import PIN_SLOTS, Parse, Values
from microclaw.offline.pins import split_unit
from microclaw.offline.sentences import english
from microclaw.offline.taking_back import offered

Referred = Parse | Say | None

_READS: Final = frozenset({"read_pin", "read_adc", "read_sensor"})
_PINS_ALONE: Final = frozenset({"set_pin", "toggle_pin", "read_pin", "read_adc"})
_LIMITED: Final = frozenset({"threshold", "threshold_pulse", "thermostat"})
_WITH_AMOUNT: Final = _LIMITED | {"dim_pin", "pwm_pulse", "servo"}
_BLINKS: Final = frozenset({"blink", "blink_times", "led_blink"})
_PACES: Final = {"fade": "fade", "rainbow": "rainbow", "servo_sweep": "servo_sweep", "read_sensor_every": "read"}
_LIGHTS: Final = frozenset({"led_color", "rainbow", "servo_sweep"})
_WITH_PIN: Final = _PINS_ALONE | _WITH_AMOUNT | _BLINKS | _LIGHTS | {"fade", "pulse", "button", "tone"}

_PACE: Final = {"period_ms": "period_ms", "every_ms": "ms"}
_SLOTS: Final[Mapping[str, Mapping[str, str]]] = {
    "set_pin": {"level": "level"},
    **{kind: {"milli": "milli"} for kind in ("dim_pin", "servo")},
    **{kind: {"milli": "milli", "unit": "unit"} for kind in _LIMITED},
    **{kind: {**_PACE, "for_ms": "ms"} for kind in (*_BLINKS, *_PACES)},
    "blink_times": {**_PACE, "times": "times"},
    "pulse": {"for_ms": "ms"},
    "pwm_pulse": {"milli": "milli", "for_ms": "ms"},
    "tone": {**_PACE, "for_ms": "for_ms"},
}
"""The slots of an act that a follow-up changes, by the word that says it."""
_UNIT: Final = {"dim_pin": "percent", "pwm_pulse": "percent"}
_SAID_BY: Final = {
    "blink": _BLINKS,
    "fade": {"fade"},
    "sweep": {"servo_sweep"},
    "read": {"read_sensor_every"},
    "dim": {"dim_pin", "set_pin"},
    "turn": {"dim_pin", "set_pin"},
}
_POLITE: Final = re.compile(r"^(?:(?:please|can you|could you|would you|ok|okay|hey) )+| (?:please|thanks|thank you)$")
_PRONOUN: Final = re.compile(r"(?i)\b((?:turn|switch|set|put|dim|toggle) (?:on |off )?)(?:it|that|this)\b")
_STOP_LATER: Final = re.compile(r"(?i)\b(?:stop|end|kill|quit|delete|remove) (?:it|that|this)\b")
_NO: Final = re.compile(
    r"(?i)^\s*(?:(?:no|nope|nah|oops|sorry|wait|actually|wrong|rather|i mean|i meant|i said)\b[\s,.:!]*)+"
)
_ONLY_PIN: Final = re.compile(r"(?:(?:it|that) (?:is|was) |it's |that's |(?:i )?meant? |on |at )*(?:pin )?(\d{1,3})")
_STEP_MILLI: Final = 20_000
_WHOLE: Final = "say the whole sentence"


def referred(text: str, act: LastAct, device: KnownDevice | None, *, elsewhere: bool = False) -> Referred:
    """Read a sentence about the last act; None if it says nothing of it.

    `device` is where it is to be done, `elsewhere` if the sentence names it and it is not the last act's.
    """
    said = _POLITE.sub("", normalize_quantities(text).replace(",", ""))
    plain, unit = split_unit(f" {said.removeprefix('and ')}")
    if act.kind == "read_sensor" and unit is not None and not plain.strip():
        return replace(act.parse, values=act.parse.values | {"unit": unit})
    found = english().reference(said)
    if found is None and act.pins[1:] == ():  # "blink pin 2 faster" of what blinks there
        found = english().reference(re.sub(rf"\b{act.target}\b", "it", said))
        found = found if found is not None and found.kind in ("pace", "light") else None
    if found is None or (act.kind == ON_SEVERAL and found.kind != "no"):
        return None
    match found.kind:
        case "remove":
            return _removed(act)
        case "no" if elsewhere:
            return _corrected(act, act.parse, elsewhere=True)
        case "no":
            return offered(act) if act.done and act.kind not in _READS else None
        case "same":
            return act.parse if elsewhere else None
        case "clock":
            return _time_of_day(found, act)
        case "state":
            return _state(act, is_level="level" in found.values)
        case "correct":
            return _correct(act, found, device, elsewhere=elsewhere)
        case "stop":
            return _stopped(act)
        case "again":
            return _again(act)
        case "level":
            return _level(_with_others(act, found), found.number("level") or 0)
        case "also":
            return _also(act, found, asks=text.rstrip().endswith("?") or "asks" in found.values)
        case "pace" | "light" if act.kind not in _SAID_BY.get(found.word("verb") or "", {act.kind}):
            return None  # "fade it twice as fast" of what blinks
        case "pace":
            return _renewed(act, _paced(act, found))
        case "light":
            return _renewed(act, _lighter(act, found))
    if said.split()[0] != "make" and act.kind == "set_pin" and found.number("number") is not None:
        return None  # "set it to 1" is a level
    meant = _changed(act, found, corrects=False)
    if isinstance(meant, Parse) and meant.kind == act.kind and meant.pins != act.pins:
        return _corrected(act, meant)  # "make that 25" of a pin
    return _renewed(act, meant)


def corrected_fact(said: str, act: LastAct | None) -> Parse | None:
    """The new fact in "no, the pump is on pin 17", also that of "no, pin 17" right after the old one.

    Its value "instead" is the old line of the same name, which goes.
    """
    rest = _NO.sub("", said).strip().rstrip(".!")
    if rest == said.strip().rstrip(".!"):
        return None
    line = act.lines[0] if act is not None and act.lines else None
    old, new = told_name(line) if line is not None else None, told_name(rest)
    if new is not None:
        same = old is not None and old.name == new.name
        return Parse("remember", {"text": rest, "instead": line} if same and line is not None else {"text": rest})
    pin = _ONLY_PIN.fullmatch(normalize_quantities(rest))
    if line is None or old is None or pin is None or int(pin[1]) == old.pin:
        return None
    return Parse("remember", {"text": re.sub(rf"\b{old.pin}\b", pin[1], line, count=1), "instead": line})


def with_target(parse: Parse, act: LastAct) -> Referred:
    """The parse of a sentence whose "it" has no pin, with the last act's; None if the act has none."""
    if parse.kind not in _WITH_PIN or not (act.pins or act.is_on_led) or act.kind == "traffic_light":
        return None
    if act.runs and parse.kind == act.kind:
        return replace(_filled(parse, act), replaces=act.app)
    if act.runs and parse.kind in PROGRAMS_ON_PINS:
        return _drives(act)
    if len(act.pins) > 1 and parse.kind != "set_pin":
        return Say(f"There were several pins: {', '.join(map(str, act.pins))}. Which one?", "ambiguous", "as in: pin 4")
    return _filled(parse, act)


def later(text: str, act: LastAct) -> str | Say | None:
    """A sentence for later ("turn it off in 10 minutes") with the last act's pin or program; None without an "it"."""
    if _STOP_LATER.search(text):
        stopped = _stop_words(act)
        return _STOP_LATER.sub(stopped, text, count=1) if stopped is not None else None
    if not _PRONOUN.search(text) or not (act.pins or act.is_on_led):
        return None
    return _drives(act) if act.runs else _PRONOUN.sub(rf"\1{act.target}", text, count=1)


def _stop_words(act: LastAct) -> str | None:
    """The meaning of "stop it" for the act, as a sentence; None where it means nothing."""
    if act.runs:
        return f"stop {act.app}"
    if not act.done or act.app is not None or act.schedule is not None:
        return None
    if act.kind == "set_pin" and act.parse.number("level") == 1 and not _differs(act):
        return f"turn off {act.target}"
    return f"dim {act.target} to 0%" if act.kind == "dim_pin" else None


def _filled(parse: Parse, act: LastAct) -> Parse:
    values = {name: value for name, value in parse.values.items() if name != "thing"}
    return replace(parse, values=values | act.target_values)


def _unclear(act: LastAct, step: str = _WHOLE) -> Say:
    return Say(f"I do not know what that means for {act.named}, so nothing was done.", "ambiguous", step)


def _time_of_day(found: Parse, act: LastAct) -> Parse | None:
    """The answer to "Is that 06:30 or 18:30?"."""
    when, clock = act.parse.when, found.number("clock")
    if act.done or when is None or when.hour is None:
        return None
    if clock is None:
        clock = (when.hour % 12 + 12 * (found.word("half_day") == "late")) * 100 + when.minute
    return replace(act.parse, when=replace(when, clock=f"{clock // 100:02d}:{clock % 100:02d}", hour=None, minute=0))


def _correct(act: LastAct, found: Parse, device: KnownDevice | None, *, elsewhere: bool) -> Referred:
    wrong, number = found.number("wrong"), found.number("number")
    if wrong is not None and wrong not in act.pins:
        return None
    if number is not None and act.kind in _WITH_AMOUNT and (device is None or number in device.board.pins):
        other = f"{number} degrees" if act.kind == "servo" else "20%"
        text = f"Is {number} a pin, or the other number?"
        return Say(text, "ambiguous", f"as in: no, pin {number}; or: no, {other}")
    meant = _changed(act, found, corrects=True)
    return _corrected(act, meant, elsewhere=elsewhere) if isinstance(meant, Parse) else meant


def _changed(act: LastAct, found: Parse, *, corrects: bool) -> Parse | Say:
    """The act's parse with the pin, level or number that the person says."""
    number, level, milli, unit = (found.values.get(name) for name in ("number", "level", "milli", "unit"))
    pins = found.pins
    if number in (0, 1) and act.kind == "set_pin":
        step = f"as in: no, pin {number}; or: turn it {'on' if number else 'off'}"
        return Say(f"Is {number} a pin or a level?", "ambiguous", step)
    if isinstance(number, int) and act.kind in _WITH_AMOUNT:
        milli = number * 1000
    elif isinstance(number, int) and (corrects or act.kind in _PINS_ALONE):
        pins = (number,)
    if pins:
        return _on_pins(act, pins)
    if found.word("thing") == "led" and act.kind in _WITH_PIN:
        return replace(act.parse, values=_without_pins(act.parse) | {"thing": "led"})
    if unit == "percent" and milli is not None and act.kind == "set_pin" and len(act.pins) < 2:
        return Parse("dim_pin", act.target_values | {"milli": milli})
    said = {"level": None if _differs(act) else level, "milli": milli, "unit": unit}
    said |= {slot: found.values.get(slot) for slot in ("times", "period_ms", "every_ms", "for_ms")}
    change: Values = {
        slot: value
        for word, slot in _SLOTS.get(act.kind, {}).items()
        if (value := said[word]) is not None and (word != "milli" or unit in (None, _UNIT.get(act.kind, unit)))
    }
    if not change or change.keys() == {"unit"}:
        return _unclear(act, "as in: make it every 2 seconds, or: no, pin 5" if act.kind in _WITH_PIN else _WHOLE)
    kept = without_pace(act.parse.values) if change.keys() & {"ms", "period_ms"} else act.parse.values
    gone = {"milli": "angle", "times": "for_ms"}  # two ways to say the same
    return replace(act.parse, values={n: v for n, v in kept.items() if n not in map(gone.get, change)} | change)


def _factor(found: Parse, otherwise: int | None) -> Fraction | None:
    """The factor in the sentence, as in "twice as fast", else so many thousandths."""
    times = found.number("times")
    milli = found.number("many") or (otherwise if times is None else 1000 * max(times, 1))
    if milli is None:
        return None
    return Fraction(1000, milli) if found.word("way") == "less" else Fraction(milli, 1000)


def _paced(act: LastAct, found: Parse) -> Parse | Say:
    """ "Faster" is twice as fast, "a bit" half of that."""
    factor = _factor(found, found.number("amount") or 2000) or Fraction(1)
    if act.kind in _BLINKS:
        now_ms = half_period_ms(act.parse)
    elif act.kind in _PACES:
        now_ms = pace_ms(act.parse, _PACES[act.kind])
    else:
        return _unclear(act, f"blink {_pin_of(act)} every second")
    return replace(act.parse, values=time_values("ms", now_ms / factor, without_pace(act.parse.values)))


def _lighter(act: LastAct, found: Parse) -> Parse | Say:
    """ "Brighter" is 20 % of full brightness more, "a bit" 10 %."""
    if act.kind == "set_pin" and act.done and len(act.pins) < 2:
        return Parse("dim_pin", act.target_values)  # it asks how bright
    milli, factor = act.parse.number("milli"), _factor(found, None)
    if act.kind != "dim_pin" or milli is None:
        return _unclear(act, f"dim {_pin_of(act)} to 30%")
    step = found.number("milli") or found.number("step") or _STEP_MILLI
    wanted = milli * factor if factor is not None else milli + (step if found.word("way") == "more" else -step)
    reached = round(min(100_000, max(0, wanted)))
    if reached == milli:
        return Say(f"{act.target.capitalize()} is at {milli / 1000:g}% already.")
    return replace(act.parse, values=act.parse.values | {"milli": reached})


def _pin_of(act: LastAct) -> str:
    """The act's own pin for a hint; where it has none or several, what is to be filled in."""
    return act.target if len(act.pins) == 1 or act.is_on_led else "pin NUMBER"


def _corrected(act: LastAct, meant: Parse, *, elsewhere: bool = False) -> Referred:
    """The act that was meant, in the place of the wrong one."""
    if not act.done or act.kind in _READS:
        return meant
    if act.app is not None and not (act.stopped or act.replaced or elsewhere):
        return replace(meant, replaces=act.app)
    if act.app is not None or act.stopped or act.schedule is not None or not act.changes:
        return Say(f"I do not take {act.named} back by that.", "ambiguous", "undo, then say the whole sentence")
    return replace(meant, undoes=act.changes[::-1])


def _renewed(act: LastAct, meant: Referred) -> Referred:
    """The same act with another number: its program takes the place of the old one."""
    if not isinstance(meant, Parse):
        return meant
    if act.stopped:
        return Say(f"{act.named} was stopped.", "ambiguous", "start it again, or say the whole sentence")
    return replace(meant, replaces=act.app) if act.runs else meant


def _on_pins(act: LastAct, pins: tuple[int, ...]) -> Parse | Say:
    """The same on these pins instead."""
    if act.kind not in _WITH_PIN:
        return _unclear(act)
    if (len(pins) > 1 and act.kind != "set_pin") or (len(act.pins) > 1 and len(pins) == 1 and _differs(act)):
        return Say("That goes for one pin at a time.", "ambiguous", "say it once for each pin")
    return replace(act.parse, values=_without_pins(act.parse) | dict(zip(PIN_SLOTS, pins, strict=False)))


def _without_pins(parse: Parse) -> Values:
    gone = (*PIN_SLOTS, "thing", "several")
    return {name: value for name, value in parse.values.items() if name not in gone and name[:6] != "level_"}


def _differs(act: LastAct) -> bool:
    """True if its pins were given several levels."""
    level = act.parse.values.get("level")
    return any(value != level for name, value in act.parse.values.items() if name.startswith("level_"))


def _also(act: LastAct, found: Parse, *, asks: bool) -> Referred:
    """The same on other pins, in addition."""
    number = found.number("number")
    pins = found.pins if number is None else (number,)
    if act.stopped or act.schedule is not None:
        return _unclear(act)
    if act.kind == "dim_pin" and number is not None:
        return Say("Do you mean that pin, or a brightness?", "ambiguous", f"same on pin {number}")
    if asks and act.kind not in _READS:
        return Parse("read_pin", {"pin": pins[0]})
    if _differs(act):
        return Say("The pins had different levels. On or off?", "ambiguous", f"turn on pin {pins[0]}")
    return _on_pins(act, pins)


def _again(act: LastAct) -> Referred:
    if act.stopped and act.kind == "remove_app":
        return Say(f"I do not know what {act.app} did.", "ambiguous", "undo brings it back")
    if act.schedule is not None:
        return Say(f"Schedule {act.schedule} is kept already.", None, "what is scheduled")
    return replace(act.parse, replaces=act.app)


def _removed(act: LastAct) -> Referred:
    """ "Delete it": a schedule, a fact or a program that was just made; no pin."""
    if act.lines:
        return Parse("forget", {"text": act.lines[0]})
    return _stopped(act) if act.app is not None or act.schedule is not None else _unclear(act)


def _stopped(act: LastAct) -> Referred:
    if act.app is not None:
        return Parse("remove_app", {"app": act.app})
    if act.kind == "remove_app" and not act.done:
        return act.parse  # it could not be stopped: try it again
    if act.schedule is not None:
        return Parse("cancel_schedule", {"number": act.schedule})
    words = _stop_words(act)
    return _unclear(act, "what is running") if words is None else english().parse(words)


def _level(act: LastAct, level: int) -> Referred:
    if act.schedule is not None or not (act.pins or act.is_on_led):
        return None
    if act.kind == "traffic_light" or act.kind not in _WITH_PIN:
        return None
    if act.stopped and level and act.kind in PROGRAMS_ON_PINS:
        return Say(f"Do you mean {act.app}, or only pin {act.target}?", "ambiguous", "start it again")
    return Parse("set_pin", act.target_values | {"level": level})


def _with_others(act: LastAct, found: Parse) -> LastAct:
    """For "them" the act with all pins to which the same was done."""
    if not act.others or "all" not in found.values:
        return act
    pins = tuple(dict.fromkeys((*act.others, *act.pins)))[: len(PIN_SLOTS)]
    return replace(act, parse=replace(act.parse, values=act.parse.values | dict(zip(PIN_SLOTS, pins, strict=False))))


def _drives(act: LastAct) -> Say:
    return Say(f"{act.app} drives {act.target} now, so nothing was done.", "ambiguous", f"stop {act.app}")


def _state(act: LastAct, *, is_level: bool) -> Referred:
    if act.app is not None and not ((act.stopped or act.kind == "pulse") and len(act.pins) == 1 and is_level):
        return Parse("app_status", {"app": act.app})
    if act.schedule is not None:
        return Parse("list_schedules")
    if act.kind == "dim_pin" and act.done:
        return Say(f"{act.told} by me; how bright it is I cannot read back.")
    if len(act.pins) > 1:
        return Say(f"Which pin: {', '.join(map(str, act.pins))}?", "ambiguous", f"is pin {act.pins[0]} on")
    return Parse("read_pin", act.target_values) if act.pins or act.is_on_led else None
