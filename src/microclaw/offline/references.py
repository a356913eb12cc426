"""Sentences about the last act: "no, pin 5", "stop it", "is it on", "and 5", "faster", "make that 25".

Each is an operation on that one value: another value in a slot of its parse, the same once more, or its end. The
templates are in intents/en/references.toml. It calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final, TypeAlias

from msgspec.structs import replace

from microclaw.boards.pins import check_pin
from microclaw.boards.profile import PinUse
from microclaw.errors import PinRefused
from microclaw.language.quantities import normalize_quantities
from microclaw.offline.decision import (
    CORRECT,
    PIN_SLOTS,
    Act,
    Context,
    Decision,
    Parse,
    Result,
    Say,
    Values,
    ask,
    capital,
)
from microclaw.offline.last_act import PROGRAMS_ON_PINS, LastAct
from microclaw.offline.pins import board_of
from microclaw.offline.programs import PACES, pace_ms, with_pace, without_pace
from microclaw.offline.sentences import english

Referred: TypeAlias = Parse | Say | None

_READS: Final = frozenset({"read_pin", "read_adc", "read_sensor"})
_PINS_ALONE: Final = frozenset({"set_pin", "toggle_pin", "read_pin", "read_adc"})
_WITH_AMOUNT: Final = frozenset({"threshold", "threshold_pulse", "thermostat", "dim_pin", "servo"})
_WITH_PIN: Final = _PINS_ALONE | _WITH_AMOUNT | (PROGRAMS_ON_PINS - {"traffic_light"})
_PACE: Final = {"period_ms": "period_ms", "every_ms": "ms"}
_SLOTS: Final[Mapping[str, Mapping[str, str]]] = {
    "set_pin": {"level": "level"},
    **{kind: {"milli": "milli", "unit": "unit"} for kind in _WITH_AMOUNT},
    **{kind: {**_PACE, "for_ms": "ms"} for kind in PACES},
    "blink_times": {**_PACE, "times": "times"},
    "pulse": {"for_ms": "ms"},
}
"""The slots of an act that a follow-up changes, by the word that says it."""
_POLITE: Final = re.compile(
    r"^(?:(?:please|can you|could you|would you|ok|okay|hey|and|now|then|but) )+| (?:please|thanks|again)$"
)
_IT: Final = re.compile(
    r"(?i)^((?:\w+ ){0,4}?(?:turn|switch|set|put|dim|toggle|blink|flash|fade|pulse|beep|make|let|read|is) "
    r"(?:on |off |back )?)(?:it|that|this|(?P<all>(?:all of )?(?:them|those)|both(?! (?:pin|\d))))\b"
)
_STOP: Final = re.compile(r"(?i)\b(?:stop|end|kill|quit|delete|remove) (?:it|that|this)\b")
_STEP_MILLI: Final = 20_000
_PIN_USES: Final[Mapping[str, PinUse]] = {"gpio-set": "output", "pwm-set": "pwm"}


def referred(text: str, act: LastAct, *, elsewhere: bool = False) -> Referred:
    """Read a sentence about the last act; None if it says nothing of it. `elsewhere`: it names another device."""
    said = normalize_quantities(text).replace(",", "")
    found = english().reference(said)
    if found is None and len(act.pins) < 2:  # "blink pin 2 faster" of what blinks there
        found = english().reference(re.sub(rf"\b{act.target}\b", "it", said))
        found = found if found is not None and found.kind in ("pace", "light") else None
    if found is None:
        return None
    match found.kind:
        case "no" if elsewhere:
            return _instead(act, act.parse, elsewhere=True)
        case "no":
            return _offered(act) if act.done and act.kind not in _READS else None
        case "same":
            return act.parse if elsewhere else None
        case "correct":
            return _correct(act, found, elsewhere=elsewhere)
        case "remove" if act.app is None and act.schedule is None:
            return _unclear(act)  # "delete it" of a pin
        case "remove" | "stop" if act.app is not None:
            return Parse("remove_app", {"app": act.app})
        case "remove" | "stop":
            words = _stop_words(act)
            return _unclear(act, "what is running") if words is None else english().parse(words)
        case "again" if act.schedule is not None or act.kind == "remove_app":
            return _unclear(act)
        case "again":
            return replace(act.parse, replaces=act.app)
        case "also":
            return _also(act, found, asks=text.rstrip().endswith("?") or "asks" in found.values)
        case "state" if act.runs or (act.stopped and "level" not in found.values):
            return Parse("app_status", {"app": act.app or ""})
        case "state" if act.kind == "dim_pin" and act.done:
            return Say(f"I did {act.named}; how bright it is I cannot read back.")
        case "state":
            return None  # "is it on" of a pin is read like any other sentence with its target
        case "pace" | "light" if (found.word("verb") or act.kind) not in act.kind:
            return None  # "fade it twice as fast" of what blinks
        case "pace":
            return _renewed(act, _paced(act, found))
        case "light":
            return _renewed(act, _lighter(act, found))
    if act.kind == "set_pin" and found.number("number") is not None and not said.startswith("make"):
        return None  # "set it to 1" is a level
    meant = _changed(act, found)
    if isinstance(meant, Parse) and meant.kind == act.kind and meant.pins != act.pins:
        return _instead(act, meant)  # "make that 25" of a pin
    return _renewed(act, meant)


def with_target(text: str, act: LastAct) -> str | Say | None:
    """The sentence with the last act's pin or program in the place of "it"; None without an "it"."""
    if _STOP.search(text):
        stopped = _stop_words(act)
        return None if stopped is None else _STOP.sub(stopped, text, count=1)
    said = _POLITE.sub("", text)
    found = _IT.search(said)
    if found is None or not act.target_values or act.kind == "traffic_light" or act.schedule is not None:
        return None
    if found["all"] and len(act.pins) < 2:
        return Say("Which pins?", "ambiguous", "as in: turn off pins 4 and 5")
    if act.stopped and act.kind in PROGRAMS_ON_PINS and not found[0].lower().startswith("is"):
        return Say(f"Do you mean {act.app}, or only {act.target}?", "ambiguous", "start it again")
    return f"{found[1].replace('back ', '')}{act.target}{said[found.end() :].removesuffix(' again')}"


def on_target(parse: Parse, act: LastAct) -> Parse | Say:
    """The parse of a sentence that has the last act's pin in the place of "it": a program there is changed, or kept."""
    is_stop = f"stop {act.app}" == parse.word("what")
    if not act.runs or is_stop or parse.kind not in PROGRAMS_ON_PINS | {"schedule"}:
        return parse
    if parse.kind == act.kind:
        return replace(parse, replaces=act.app)
    return Say(f"{act.app} drives {act.target} now, so nothing was done.", "ambiguous", f"stop {act.app}")


def _unclear(act: LastAct, step: str = "say the whole sentence") -> Say:
    return Say(f"I do not know what that means for {act.named}, so nothing was done.", "ambiguous", step)


def _offered(act: LastAct) -> Parse | Say:
    """The question whether an act that is done shall be reverted, after a "no" and nothing else."""
    question = f"I did {act.named}. Shall I undo it?"
    if act.schedule is not None:
        return Parse("undo", {"asks": question, "number": act.schedule})
    if act.changes:
        return Parse("undo", {"asks": question}, undoes=act.changes[::-1])
    return _unclear(act)


def _correct(act: LastAct, found: Parse, *, elsewhere: bool) -> Referred:
    wrong, number = found.number("wrong"), found.number("number")
    if wrong is not None and wrong not in act.pins:
        return None
    if number is not None and act.kind in _WITH_AMOUNT:
        other = f"{number} degrees" if act.kind == "servo" else "20%"
        text = f"Is {number} a pin, or the other number?"
        return Say(text, "ambiguous", f"as in: no, pin {number}; or: no, {other}")
    pin = {"pin": number} if number is not None and number > 1 else {}
    meant = _changed(act, replace(found, values=found.values | pin))
    return _instead(act, meant, elsewhere=elsewhere) if isinstance(meant, Parse) else meant


def _changed(act: LastAct, found: Parse) -> Parse | Say:
    """The act's parse with the pin, level or number that the person says."""
    said, pins, kind = dict(found.values), found.pins, act.kind
    number, unit = found.number("number"), found.word("unit")
    if number in (0, 1) and kind == "set_pin":
        step = f"as in: no, pin {number}; or: turn it {'on' if number else 'off'}"
        return Say(f"Is {number} a pin or a level?", "ambiguous", step)
    if number is not None and kind in _WITH_AMOUNT:
        said["milli"] = number * 1000
    elif number is not None and kind in _PINS_ALONE:
        pins = (number,)
    if pins:
        return _on_pins(act, pins)
    if found.word("thing") == "led" and kind in _WITH_PIN:
        return replace(act.parse, values=_without_pins(act.parse) | {"thing": "led"})
    if unit == "percent" and kind == "set_pin" and len(act.pins) < 2:
        return Parse("dim_pin", act.target_values | {"milli": said["milli"]})
    change: Values = {slot: said[word] for word, slot in _SLOTS.get(kind, {}).items() if word in said}
    is_of_it = kind != "dim_pin" or unit in (None, "percent")
    if not change or not is_of_it or (kind == "set_pin" and _differs(act)):
        return _unclear(act, "as in: make it every 2 seconds, or: no, pin 5")
    kept = without_pace(act.parse.values) if change.keys() & {"ms", "period_ms"} else act.parse.values
    gone = {"milli": "angle", "times": "for_ms"}  # two ways to say the same
    return replace(act.parse, values={n: v for n, v in kept.items() if n not in map(gone.get, change)} | change)


def _paced(act: LastAct, found: Parse) -> Parse | Say:
    """ "Faster" is twice as fast, "a bit" half of that."""
    if act.kind not in PACES:
        return _unclear(act, "as in: blink pin NUMBER every second")
    times = found.number("times")
    milli = found.number("many") or found.number("amount") or (2000 if times is None else 1000 * max(times, 1))
    factor = Fraction(1000, milli) if found.word("way") == "less" else Fraction(milli, 1000)
    now_ms = pace_ms(act.parse, act.kind)
    return replace(act.parse, values=with_pace(act.parse.values, now_ms / factor))


def _lighter(act: LastAct, found: Parse) -> Parse | Say:
    """ "Brighter" is 20 % of full brightness more, "a bit" 10 %."""
    milli = act.parse.number("milli")
    if act.kind != "dim_pin" or milli is None:
        return _unclear(act, "as in: dim pin NUMBER to 30%")
    step = found.number("milli") or found.number("step") or _STEP_MILLI
    wanted = milli + (step if found.word("way") == "more" else -step)
    return replace(act.parse, values=act.parse.values | {"milli": min(100_000, max(0, wanted))})


def _instead(act: LastAct, meant: Parse, *, elsewhere: bool = False) -> Referred:
    """The act that was meant, in the place of the wrong one."""
    if not act.done or act.kind in _READS:
        return meant
    if act.app is not None and not (act.stopped or act.replaced or elsewhere):
        return replace(meant, replaces=act.app)
    if act.app is not None or act.schedule is not None or not act.changes:
        return Say(f"I do not undo {act.named} by that.", "ambiguous", "undo, then say the whole sentence")
    return replace(meant, undoes=act.changes[::-1])


def _renewed(act: LastAct, meant: Parse | Say) -> Parse | Say:
    """The same act with another number: its program takes the place of the old one."""
    if not isinstance(meant, Parse):
        return meant
    if act.stopped:
        return Say(f"{act.named} was stopped.", "ambiguous", "start it again, or say the whole sentence")
    return replace(meant, replaces=act.app) if act.runs else meant


def _on_pins(act: LastAct, pins: tuple[int, ...]) -> Parse | Say:
    """The same on these pins instead."""
    is_several = max(len(pins), len(act.pins)) > 1
    if act.kind not in _WITH_PIN or (is_several and (act.kind != "set_pin" or _differs(act))):
        return _unclear(act, "say it once for each pin")
    return replace(act.parse, values=_without_pins(act.parse) | dict(zip(PIN_SLOTS, pins, strict=False)))


def _without_pins(parse: Parse) -> Values:
    gone = (*PIN_SLOTS, "thing", "level_2")
    return {name: value for name, value in parse.values.items() if name not in gone}


def _differs(act: LastAct) -> bool:
    """True if its two pins were given different levels."""
    return act.parse.values.get("level_2", act.parse.values.get("level")) != act.parse.values.get("level")


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
    return _unclear(act, f"turn on pin {pins[0]}") if _differs(act) else _on_pins(act, pins)


def _stop_words(act: LastAct) -> str | None:
    """The meaning of "stop it" for the act, as a sentence; None where it means nothing."""
    if act.app is not None:
        return f"stop {act.app}"
    if act.schedule is not None:
        return f"cancel schedule {act.schedule}"
    if act.done and act.kind == "set_pin" and act.parse.number("level") == 1 and not _differs(act):
        return f"turn off {act.target}"
    return f"dim {act.target} to 0%" if act.done and act.kind == "dim_pin" else None


def corrected(at: Context, decide: Callable[[Context], Decision]) -> Decision:
    """The sentence's own decision; of a correction the one call that reverts the wrong act and sets the right pins.

    What cannot be done reverts nothing.
    """
    if not at.parse.undoes or at.parse.kind == "undo":
        return decide(at)
    own = replace(at, results=tuple(result for result in at.results if result.tool != "undo"))
    planned = decide(own)
    if isinstance(planned, Say):
        told = "".join(f"{capital(str(r.fields.get('message', 'done')))}. " for r in at.results if r.tool == "undo")
        return replace(planned, text=f"{told}{planned.text}")
    if planned.tool == "gpio-get":  # of a toggle
        return planned
    acts: list[Act] = []
    while isinstance(act := decide(own), Act):  # every call, as if each before it worked
        if act.tool not in _PIN_USES:
            raise ask("I do not undo the last act by that.", "undo, then say the whole sentence")
        acts.append(act)
        own = replace(own, results=(*own.results, Result(act.tool, True, act.arguments)))
    for act in acts:
        try:
            check_pin(board_of(at), act.arguments["pin"], _PIN_USES[act.tool])
        except PinRefused as exc:
            raise ask(f"{capital(exc.message)}. Nothing was changed.", exc.next_step) from exc
    pins = [{name: value for name, value in act.arguments.items() if name != "device"} for act in acts]
    return Act(CORRECT, at.on_device(undo=list(at.parse.undoes), pins=pins), f"undo, then {acts[0].words}")
