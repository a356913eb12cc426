"""Sentences that refer to the last act: "no, pin 5", "stop it", "is it on", "and 5", "faster", "make that 25".

Their result is a whole parse made of the last act's values, or an answer where it fits nothing. It calls no tool.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.boards.profile import BoardProfile
from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import KnownDevice
from microclaw.offline.amounts import with_amount
from microclaw.offline.decision import Say
from microclaw.offline.last_act import ON_SEVERAL, PROGRAMS_ON_PINS, LastAct
from microclaw.offline.paces import without_pace
from microclaw.offline.parse import PIN_SLOTS, Parse, Values
from microclaw.offline.pins import split_unit
from microclaw.offline.taking_back import offered

Referred = Parse | Say | None

_WITH_PIN: Final = frozenset(
    {"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc", "blink", "blink_times", "fade", "pulse", "button"}
    | {"threshold", "threshold_pulse", "thermostat", "pwm_pulse", "tone"}
    | {"led_color", "led_blink", "rainbow", "servo", "servo_sweep"}
)
_READS: Final = frozenset({"read_pin", "read_adc", "read_sensor"})
_LIMITED: Final = frozenset({"threshold", "threshold_pulse", "thermostat"})
_WITH_AMOUNT: Final = _LIMITED | {"dim_pin", "pwm_pulse", "servo"}

_POLITE: Final = re.compile(r"^(?:(?:please|can you|could you|would you|ok|okay|hey) )+| (?:please|thanks|thank you)$")
_IT: Final = r"(?:it|that one|this one|that|this|them|both|all of them|those)"
_NO: Final = r"(?:(?:no wait|wait no|no|nope|nah|oops|sorry|actually|wrong|not that|not that one|i mean no) )+"
_MEANT: Final = (
    rf"(?:i (?:mean|meant|wanted|said)|make {_IT}|{_IT} (?:is|should be|was meant to be)|it's|that's|use|rather|better)"
)
_CORRECTS: Final = re.compile(rf"(?:{_NO}(?:{_MEANT} )?|(?:i meant|i mean|i said|i wanted|rather) )(?:the |to )?(.+)")
_CORRECTS_AFTER: Final = re.compile(r"(?:use|take) (pin \d+)(?: instead)?|(.+?) (?:instead|rather)")
_NOT_PIN: Final = re.compile(r"(?:no )?not (?:pin )?(\d{1,3}) (?:but |also )?|(?: but)? not (?:pin )?(\d{1,3})$")
_CHANGES: Final = re.compile(rf"(?:and |now )?(make|set|change|put|turn) {_IT} (?:to |at |up to |down to )?(.+)")
_PINS: Final = r"((?:pin )?\d{1,3}(?:(?: also | and )(?:pin )?\d{1,3})*)"
_ON_PINS: Final = re.compile(rf"(?:(?:on|at|for|with|in|to) )?(?:the )?{_PINS}")
_AND_PINS: Final = re.compile(
    rf"(?:(?:do |and )*(?:the )?same(?: thing)?(?: again)? (?:on|for|with|to|at|in) (?:the )?{_PINS}"
    rf"|(?:and )?also (?:on )?{_PINS}|and (?:then |now )?(?:on |for |for the )?{_PINS}(?: (?:too|as well|also))?"
    rf"|(?:on )?{_PINS} (?:too|as well|also)|now (?:on )?(pin \d{{1,3}})|what about {_PINS}|how about {_PINS})"
)
_AGAIN: Final = re.compile(
    rf"(?:again|try (?:{_IT} )?again|once more|one more time|(?:do )?the same again|same again|repeat"
    rf"|(?:and )?(?:do|run|repeat|start) {_IT}(?: (?:again|once more|one more time))?)"
)
_STOP: Final = re.compile(rf"(?:now )?(?:stop|end|cancel|kill|quit)(?: {_IT})?(?: (?:now|again))?")
_LEVEL: Final = re.compile(
    rf"(?:and |now |then |but )*(?:(?:turn|switch|put|set) {_IT} )?(?:back )?(on|off|high|low)(?: again| now)?"
    rf"|(?:and |now |then )*(?:turn|switch) (?:back )?(on|off) {_IT}(?: again)?"
)
_STATE: Final = re.compile(
    rf"(?:is|was) {_IT} (?:still |now |really )?(?:on|off|running|active|going|lit|there|working|alive|high|low|"
    rf"blinking|flashing|fading)(?: now| still)?|(?:did|has) {_IT} (?:really )?(?:work|worked|stop|stopped|end|ended|"
    rf"finish|finished|start|started|crash|crashed)|does {_IT} still (?:run|work|blink|fade)|is {_IT} still"
)
_IS_ON: Final = re.compile(rf"(?:is|was) {_IT} (?:still |now |really )?(?:on|off|lit|high|low)\b")
_VALUE: Final = re.compile(
    r"(?P<milli>-?\d+) milli(?: (?P<unit>\w+))?|(?:every|each|once every) (?P<every>\d+) ms|(?:for )?(?P<ms>\d+) ms"
    r"|period (?P<period>\d+) ms|(?P<times>\d+) times|(?P<once>once|twice|thrice)|(?P<bare>\d+)"
)
_PRONOUN: Final = re.compile(r"(?i)\b((?:turn|switch|set|put|dim|toggle) (?:on |off )?)(?:it|that|this)\b")
_STOP_LATER: Final = re.compile(r"(?i)\b(?:stop|end|kill|quit|delete|remove) (?:it|that|this)\b")
_CLOCK: Final = re.compile(r"(?:(?:at|no|i mean|i meant) )*clock (\d\d)(\d\d)")
_HALF_DAY: Final = re.compile(r"(?:in |it is )?(?:the )?(morning|evening|afternoon|am|pm|a\.m|p\.m)")
_ALL: Final = re.compile(r"\b(?:them|both|all of them|those)\b")
_NO_ALONE: Final = ("no", "nope", "wrong", "no no")
_ON_OFF: Final = {"0": "off", "1": "on"}
_LEVELS: Final = {"on": 1, "high": 1, "off": 0, "low": 0}


def referred(text: str, act: LastAct, device: KnownDevice | None, *, elsewhere: bool = False) -> Referred:
    """What a sentence says of the last act; None if it says nothing of it.

    `device` is where it is to be done, `elsewhere` if the sentence names it and it is not the last act's.
    """
    said = _POLITE.sub("", normalize_quantities(text).replace(",", ""))
    if act.kind == ON_SEVERAL:
        return offered(act) if said in _NO_ALONE else None
    if elsewhere and (said in ("no", "the same", "same", "do the same", "and")):
        return _corrected(act, act.parse, device, elsewhere=True) if said == "no" else act.parse
    if (time := _time_of_day(said, act)) is not None:
        return time
    if said in _NO_ALONE and act.done and act.kind not in _READS:
        return offered(act)
    plain, unit = split_unit(f" {said.removeprefix('and ')}")
    if act.kind == "read_sensor" and unit is not None and not plain.strip():
        return replace(act.parse, values=act.parse.values | {"unit": unit})
    if _STATE.fullmatch(said):
        return _state(act, said)
    wrong = _NOT_PIN.search(said)
    if wrong is not None and int(wrong[1] or wrong[2]) in act.pins:
        said = f"i meant {_NOT_PIN.sub('', said).removeprefix('i meant ').removeprefix('no ')}"
    corrects = _CORRECTS.fullmatch(said) or _CORRECTS_AFTER.fullmatch(said)
    if corrects is not None:
        rest = next(group for group in corrects.groups() if group is not None)
        wide = act.kind in _WITH_AMOUNT
        if wide and rest.isdigit() and (device is None or int(rest) in device.board.pins):
            other = f"{rest} degrees" if act.kind == "servo" else "20%"
            return Say(f"Is {rest} a pin, or the other number?", "ambiguous", f"as in: no, pin {rest}; or: no, {other}")
        meant = _changed(act, rest, corrects=True)
        return _corrected(act, meant, device, elsewhere=elsewhere) if isinstance(meant, Parse) else meant
    if _STOP.fullmatch(said):
        return _stopped(act)
    if _AGAIN.fullmatch(said):
        return _again(act)
    if level := _LEVEL.fullmatch(said):
        return _level(_with_others(act, said), _LEVELS[level[1] or level[2]])
    if pins := _AND_PINS.fullmatch(said):
        return _and_pins(act, next(group for group in pins.groups() if group is not None), text)
    if (amount := with_amount(said, act)) is not None:
        return _renewed(act, amount)
    change = _CHANGES.fullmatch(said)
    if change is not None and _VALUE.fullmatch(change[2]):
        if change[1] != "make" and act.kind == "set_pin" and change[2].isdigit():
            return None  # "set it to 1" is a level
        meant = _changed(act, change[2], corrects=False)
        if isinstance(meant, Parse) and meant.kind == act.kind and _pins_of(meant) != act.pins:
            return _corrected(act, meant, device)  # "make that 25" of a pin
        return _renewed(act, meant)
    return None


def _time_of_day(said: str, act: LastAct) -> Parse | None:
    """The answer to "Is that 06:30 or 18:30?"."""
    when = act.parse.when
    if act.done or when is None or when.hour is None:
        return None
    clock = _CLOCK.fullmatch(said)
    half = _HALF_DAY.fullmatch(said)
    if clock is None and half is None:
        return None
    late = half is not None and half[1] in ("evening", "afternoon", "pm", "p.m")
    told = f"{clock[1]}:{clock[2]}" if clock else f"{(when.hour % 12 + 12 * late):02d}:{when.minute:02d}"
    return replace(act.parse, when=replace(when, clock=told, hour=None, minute=0))


def with_target(parse: Parse, act: LastAct) -> Referred:
    """The parse of a sentence whose "it" has no pin, with the last act's; None if the act has none."""
    if parse.kind not in _WITH_PIN or not (act.pins or act.is_on_led) or act.kind == "traffic_light":
        return None
    if act.runs and parse.kind not in _READS:
        if parse.kind == act.kind:
            return replace(_filled(parse, act), replaces=act.app)
        if parse.kind == "set_pin":
            return _level(act, parse.number("level") or 0)
        return _drives(act)
    if len(act.pins) > 1 and parse.kind != "set_pin":
        return Say(
            f"There were several pins: {', '.join(map(str, act.pins))}. Which one?",
            "ambiguous",
            "name it, as in: pin 4",
        )
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
    """What "stop it" means of the act, as a sentence; None where it means nothing."""
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


def _pins_of(parse: Parse) -> tuple[int, ...]:
    return tuple(pin for slot in PIN_SLOTS if (pin := parse.number(slot)) is not None)


def _changed(act: LastAct, rest: str, *, corrects: bool) -> Referred:
    """The act's parse with the pin, level or number that the person says."""
    if rest in ("0", "1") and act.kind == "set_pin":
        return Say(f"Is {rest} a pin or a level?", "ambiguous", f"as in: no, pin {rest}; or: turn it {_ON_OFF[rest]}")
    if rest in ("led", "light", "led light") and act.kind in _WITH_PIN and corrects:
        values = {name: v for name, v in act.parse.values.items() if name not in PIN_SLOTS and name[:6] != "level_"}
        return replace(act.parse, values=values | {"thing": "led"})
    pins = _ON_PINS.fullmatch(rest)
    if pins is not None and ("pin" in rest or (corrects and act.kind not in _WITH_AMOUNT)):
        return _on_pins(act, _numbers(pins[1]))
    if rest in _LEVELS and act.kind == "set_pin" and not _differs(act):
        return replace(act.parse, values=act.parse.values | {"level": _LEVELS[rest]})
    value = _VALUE.fullmatch(rest)
    return _with_value(act, value) if value is not None else None


def _with_value(act: LastAct, said: re.Match[str]) -> Referred:
    """The act's parse with one number replaced by another of its kind."""
    values = dict(act.parse.values)
    bare = int(said["bare"]) if said["bare"] else None
    match act.kind:
        case "dim_pin" if bare is not None or said["unit"] == "percent":
            return replace(
                act.parse, values=values | {"milli": bare * 1000 if bare is not None else int(said["milli"])}
            )
        case "set_pin" | "toggle_pin" | "read_pin" | "read_adc" if bare is not None:
            return _on_pins(act, (bare,))
        case "set_pin" if said["unit"] == "percent" and len(act.pins) < 2:
            return Parse("dim_pin", act.target_values | {"milli": int(said["milli"])})
        case "threshold" | "threshold_pulse" | "thermostat" if bare is not None or said["milli"]:
            unit = {"unit": said["unit"]} if said["unit"] else {}
            return replace(
                act.parse, values=values | {"milli": bare * 1000 if bare is not None else int(said["milli"])} | unit
            )
        case "servo" if bare is not None or said["milli"]:
            kept = {name: value for name, value in values.items() if name not in ("angle", "milli")}
            return replace(act.parse, values=kept | {"milli": bare * 1000 if bare is not None else int(said["milli"])})
        case "blink_times" if said["times"] or said["once"]:
            count = int(said["times"]) if said["times"] else {"once": 1, "twice": 2}.get(said["once"], 3)
            values.pop("for_ms", None)
            return replace(act.parse, values=values | {"times": count})
        case "pwm_pulse" if bare is not None or said["unit"] == "percent":
            return replace(
                act.parse, values=values | {"milli": bare * 1000 if bare is not None else int(said["milli"])}
            )
        case "pulse" | "pwm_pulse" | "tone" if said["ms"]:
            return replace(act.parse, values=values | {"for_ms" if act.kind == "tone" else "ms": int(said["ms"])})
        case (
            "tone" | "blink" | "blink_times" | "fade" | "read_sensor_every" | "led_blink" | "rainbow" | "servo_sweep"
        ) if said["every"] or said["period"] or said["ms"]:
            kept = without_pace(values)
            pace: Values = (
                {"period_ms": int(said["period"])} if said["period"] else {"ms": int(said["every"] or said["ms"])}
            )
            return replace(act.parse, values=kept | pace)
    example = _EXAMPLES.get(act.kind, "say the whole sentence once more")
    return Say(f"I do not know which number of {act.named} that is to be.", "ambiguous", example)


_EXAMPLES: Final = {
    "blink": "as in: make it every 2 seconds, or: no, pin 5",
    "fade": "as in: make it every 2 seconds, or: no, pin 5",
    "blink_times": "as in: make it 5 times, or: no, pin 5",
    "pulse": "as in: make it 5 seconds, or: no, pin 5",
    "servo": "as in: make it 90 degrees, or: no, pin 5",
    "servo_sweep": "as in: make it every 2 seconds, or: no, pin 5",
    "read_sensor_every": "as in: make it every 10 seconds",
}


def _corrected(act: LastAct, meant: Parse, device: KnownDevice | None, *, elsewhere: bool = False) -> Referred:
    """What was meant, with the wrong act taken back first; a question where that is not known to work."""
    if not act.done or act.kind in _READS:
        return meant
    if act.stopped or act.schedule is not None:
        return Say(f"I do not take {act.named} back by that.", "ambiguous", "undo, then say the whole sentence")
    if device is not None and (refused := _not_driven(meant, device.board)) is not None:
        return refused
    if act.app is not None and not act.replaced and not elsewhere:
        return replace(meant, replaces=act.app)
    if not act.changes:
        return Say(f"I do not know how to take {act.named} back.", "ambiguous", "say what each pin is to do")
    return replace(meant, undoes=act.changes[::-1])


def _not_driven(meant: Parse, board: BoardProfile) -> Say | None:
    """Why a pin cannot be driven, known before the first act is taken back."""
    for number in _pins_of(meant):
        pin = board.pins.get(number)
        why = pin.reserved if pin is not None else None
        if why or (pin is not None and "output" not in pin.uses):
            text = f"Pin {number} is reserved: it belongs to {why}" if why else f"Pin {number} is no output"
            return Say(f"{text}. Nothing was changed. Which pin do you mean?", "ambiguous", "name it, as in: no, pin 5")
    return None


def _renewed(act: LastAct, meant: Referred) -> Referred:
    """The same act with another number: its program takes the place of the old one."""
    if not isinstance(meant, Parse):
        return meant
    if act.stopped:
        return Say(f"{act.named} was stopped.", "ambiguous", "start it again, or say the whole sentence")
    return replace(meant, replaces=act.app) if act.runs else meant


def _on_pins(act: LastAct, pins: tuple[int, ...]) -> Referred:
    if act.kind not in _WITH_PIN:
        return Say(
            f"{act.named} is not on a pin of its own, so nothing was done.", "ambiguous", "say the whole sentence"
        )
    if (len(pins) > 1 and act.kind != "set_pin") or (len(act.pins) > 1 and len(pins) == 1 and _differs(act)):
        return Say("That goes for one pin at a time.", "ambiguous", "say it once for each pin")
    values = {n: v for n, v in act.parse.values.items() if n not in PIN_SLOTS and n not in ("thing", "several")}
    values = {n: v for n, v in values.items() if not n.startswith("level_")}
    return replace(act.parse, values=values | dict(zip(PIN_SLOTS, pins, strict=False)))


def _differs(act: LastAct) -> bool:
    """Whether its pins were given several levels."""
    level = act.parse.values.get("level")
    return any(value != level for name, value in act.parse.values.items() if name.startswith("level_"))


def _and_pins(act: LastAct, named: str, text: str) -> Referred:
    """The same on other pins, in addition."""
    if act.stopped or act.schedule is not None:
        return Say(f"I do not do that on other pins: {act.named}.", "ambiguous", "say the whole sentence")
    if act.kind == "dim_pin" and "pin" not in named:
        return Say("Do you mean that pin, or a brightness?", "ambiguous", f"same on pin {_numbers(named)[0]}")
    if (text.rstrip().endswith("?") or "about" in text.lower()) and act.kind not in _READS:
        return Parse("read_pin", {"pin": _numbers(named)[0]})
    if _differs(act):
        return Say("The pins had different levels. On or off?", "ambiguous", f"turn on pin {_numbers(named)[0]}")
    return _on_pins(act, _numbers(named))


def _again(act: LastAct) -> Referred:
    if act.stopped and act.kind == "remove_app":
        return Say(f"I do not know what {act.app} did.", "ambiguous", "undo brings it back")
    if act.schedule is not None:
        return Say(f"Schedule {act.schedule} is kept already.", None, "what is scheduled")
    return replace(act.parse, replaces=act.app)


def _stopped(act: LastAct) -> Referred:
    if act.app is not None:
        return Parse("remove_app", {"app": act.app})
    if act.kind == "remove_app" and not act.done:
        return act.parse  # it could not be stopped: try it again
    if act.schedule is not None:
        return Parse("cancel_schedule", {"number": act.schedule})
    if act.kind == "set_pin" and act.done and not _differs(act) and act.parse.number("level") == 1:
        return replace(act.parse, values=act.parse.values | {"level": 0})
    if act.kind == "dim_pin" and act.done:
        return replace(act.parse, values=act.parse.values | {"milli": 0})
    return Say(f"Of {act.named} nothing is left to stop.", "ambiguous", "what is running")


def _level(act: LastAct, level: int) -> Referred:
    if act.schedule is not None or not (act.pins or act.is_on_led):
        return None
    if act.runs and level:
        return _drives(act)
    if act.kind == "traffic_light" or act.kind not in _WITH_PIN:
        return None
    if act.stopped and level and act.kind in PROGRAMS_ON_PINS:
        return Say(f"Do you mean {act.app}, or only pin {act.target}?", "ambiguous", "start it again")
    parse = Parse("set_pin", act.target_values | {"level": level})
    return replace(parse, stops=act.app) if act.runs else parse


def _with_others(act: LastAct, said: str) -> LastAct:
    """For "them" the act with all pins to which the same was done."""
    pins = tuple(dict.fromkeys((*act.others, *act.pins)))[: len(PIN_SLOTS)]
    if not act.others or not _ALL.search(said):
        return act
    values: Values = dict(zip(PIN_SLOTS, pins, strict=False))
    return replace(act, parse=replace(act.parse, values=act.parse.values | values))


def _drives(act: LastAct) -> Say:
    return Say(f"{act.app} drives {act.target} now, so nothing was done.", "ambiguous", f"stop {act.app}")


_ONCE = frozenset({"steps", "pulse"})  # programs that end, and leave their pin as it is


def _state(act: LastAct, said: str) -> Referred:
    if act.kind in _ONCE and len(act.pins) == 1:
        return Parse("read_pin", act.target_values)
    if act.app is not None and not (act.stopped and len(act.pins) == 1 and _IS_ON.search(said)):
        return Parse("app_status", {"app": act.app})
    if act.schedule is not None:
        return Parse("list_schedules")
    if act.kind == "dim_pin" and act.done and act.parse.number("milli") is not None:
        milli = act.parse.number("milli") or 0
        return Say(
            f"{act.target.capitalize()} was set to {milli / 1000:g}% by me; how bright it is I cannot read back."
        )
    if len(act.pins) > 1:
        return Say(f"Which pin: {', '.join(map(str, act.pins))}?", "ambiguous", f"is pin {act.pins[0]} on")
    return Parse("read_pin", act.target_values) if act.pins or act.is_on_led else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))
