"""Parses follow-ups about the last act of a conversation ("no, pin 5", "stop it", "faster").

A follow-up changes one value of the act's parse, repeats it, or ends it. The templates are in
intents/en/references.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import without_commas
from microclaw.agent.offline.decision import CannotDo, Parse, Say, Values, ask
from microclaw.agent.offline.dialogue_state import PINS_ALONE, PROGRAMS_ON_PINS, LastAct
from microclaw.agent.offline.pattern_values import NS, pace_ms, without_pace
from microclaw.agent.offline.schedule_corrections import correct_schedule
from microclaw.agent.offline.sentences import REMINDER, english

_READS: Final = frozenset({"read_pin", "read_adc", "read_sensor"})
_WITH_AMOUNT: Final = frozenset({"threshold", "threshold_pulse", "thermostat", "dim_pin", "servo"})
_WITH_PIN: Final = PINS_ALONE | _WITH_AMOUNT | (PROGRAMS_ON_PINS - {"traffic_light"})
_SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "set_pin": ("level",),
    **dict.fromkeys(_WITH_AMOUNT, ("milli", "unit")),
    "blink_times": ("every_ms", "period_ms", "times"),
    "pulse": ("for_ms",),
}
"""The slots of a follow-up that change a slot of an act; "every_ms" and "for_ms" change its "ms"."""
_REPLACED_SLOTS: Final = {"milli": "angle", "times": "for_ms"}
"""Slots that give the same value in two ways: the new one takes the place of the old one."""
_FILLER: Final = re.compile(r"(?i)^(?:(?:and|now|then|but|ok|okay) )+| (?:back|again)\b")
_IT: Final = re.compile(r"(?i)\b(?:it|that|this|(?P<all>(?:all of )?(?:them|those)|both))\b")
_INPUT: Final = re.compile(
    r"(?i)\b(?:button|key|switch|door|window|gate|lid|contact|sensor|detector|pir|motion)(?: [a-z]+)? (?:on|at) pin \d+"
)
_SWITCHED: Final = re.compile(r"(?i)\bpin \d|\b(?:led|lamp|light|fan|pump|heater|buzzer|relay|valve)\b")
_HANDLED: Final = re.compile(
    r"(?i)\b(?:open|opens|close|closes|shut|shuts|press|presses|push|pushes|release|releases) $"
)
_STOP: Final = re.compile(r"(?i)\b(?:stop|end|kill|quit|delete|remove) (?:it|that|this)\b")
_OTHER_PIN: Final = re.compile(r"(?:no |sorry |i meant? |use |take )*(?:on |with )?the other (?:pin|one|output)")
_STEP_MILLI: Final = 20_000
"""A fifth of the full brightness."""
_FULL_MILLI: Final = 100_000


def parse_about_last_act(text: str, act: LastAct, *, elsewhere: bool) -> Parse | None:
    """Parse a follow-up about the last act, as "no, pin 5". Returns None for any other sentence.

    `elsewhere`: the sentence names another device. Raises CannotDo with a question if it is not clear.
    """
    normal = without_commas(text)
    schedule = _corrected_schedule(normal, act, elsewhere=elsewhere)
    if schedule is not None:
        return schedule
    follow_up = _follow_up(normal, act)
    if follow_up is None:
        return None
    match follow_up.kind:
        case "no" | "same" | "correct":
            return _with_correction(act, follow_up, elsewhere=elsewhere)
        case "remove" | "stop":
            return _stopped(act, follow_up)
        case "again":
            return _repeated(act)
        case "also":
            is_question = text.rstrip().endswith("?") or "asks" in follow_up.values
            return _also(act, follow_up, is_question=is_question)
        case "state":
            return _state(act, follow_up)
        case "pace" | "light":
            return _with_other_pace(act, follow_up)
        case _:
            return _with_new_value(act, follow_up, normal)


def _corrected_schedule(normal: str, act: LastAct, *, elsewhere: bool) -> Parse | None:
    """Apply "no, at 8" to a schedule. Raises CannotDo for "the other pin", which is asked for any act."""
    if _OTHER_PIN.fullmatch(normal):
        raise ask(f"Which pin do you mean for {act.named}?", "as in: no, pin 5")
    if act.schedule is None or elsewhere:
        return None
    return correct_schedule(normal, act)


def _with_correction(act: LastAct, follow_up: Parse, *, elsewhere: bool) -> Parse | None:
    """Apply "no", "the same on board-2" or "not pin 4, pin 5"."""
    if follow_up.kind == "correct":
        return _corrected(act, follow_up, elsewhere=elsewhere)
    if follow_up.kind == "same":
        return act.parse if elsewhere else None
    if elsewhere:
        return _instead(act, act.parse, elsewhere=True)
    return _offer_undo(act)


def _repeated(act: LastAct) -> Parse:
    """Apply "again". Raises CannotDo if the act added a schedule or removed a program."""
    if act.schedule is not None or act.parse.kind == "remove_app":
        raise _unclear(act)
    return replace(act.parse, replaces=act.app)


def _with_other_pace(act: LastAct, follow_up: Parse) -> Parse | None:
    """Apply "faster" or "brighter". Returns None for "fade it twice as fast" about a blink."""
    verb = follow_up.word("verb")
    if verb and verb not in act.parse.kind:
        return None
    return _renewed(act, _adjusted(act, follow_up))


def _follow_up(normal: str, act: LastAct) -> Parse | None:
    """Match a sentence in its normal form with the templates of follow-ups."""
    follow_up = english().reference(normal)
    if follow_up is not None or len(act.parse.pins) > 1:
        return follow_up
    # "blink pin 2 faster" means the program that blinks pin 2.
    follow_up = english().reference(re.sub(rf"\b{act.target}\b", "it", normal))
    if follow_up is not None and follow_up.kind in ("pace", "light"):
        return follow_up
    return None


def _offer_undo(act: LastAct) -> Parse | None:
    """Ask whether to revert the act, after a "no" and nothing else."""
    if not act.done or act.parse.kind in _READS:
        return None
    question = f"I did {act.named}. Shall I undo it?"
    if act.schedule is not None:
        return Parse("cancel_schedule", {"asks": question, "number": act.schedule})
    if not act.changes:
        raise _unclear(act)
    return Parse("undo", {"asks": question}, undoes=act.changes[::-1])


def _corrected(act: LastAct, follow_up: Parse, *, elsewhere: bool) -> Parse | None:
    """Apply "not pin 4, pin 5". Returns None if the wrong pin is not one of the act's."""
    wrong_pin = follow_up.number("wrong")
    if wrong_pin is not None and wrong_pin not in act.parse.pins:
        return None
    return _instead(act, _changed(act, follow_up), elsewhere=elsewhere)


def _stopped(act: LastAct, follow_up: Parse) -> Parse | None:
    if act.app is not None:
        return Parse("remove_app", {"app": act.app})
    sentence = _stop_sentence(act)
    # A pin cannot be deleted.
    is_removal_of_pin = follow_up.kind == "remove" and act.schedule is None
    if sentence is None or is_removal_of_pin:
        raise _unclear(act, "what is running")
    return english().parse(sentence)


def _state(act: LastAct, follow_up: Parse) -> Parse | None:
    """Answer "is it running?". Returns None for "is it on?" about a pin, which is parsed with its target instead."""
    is_about_program = act.runs or (act.stopped and "level" not in follow_up.values)
    if is_about_program:
        return Parse("app_status", {"app": act.app or ""})
    if act.parse.kind == "dim_pin" and act.done:
        raise CannotDo(Say(f"I did {act.named}; how bright it is I cannot read back."))
    return None


def _with_new_value(act: LastAct, follow_up: Parse, normal: str) -> Parse | None:
    """Apply "make it 25": another pin, level or number."""
    is_level = act.parse.kind == "set_pin" and follow_up.number("number") is not None
    if is_level and not normal.startswith("make"):
        # "Set it to 1" is parsed with its target instead.
        return None
    parse = _changed(act, follow_up)
    is_moved = parse.kind == act.parse.kind and parse.pins != act.parse.pins
    if is_moved:
        return _instead(act, parse)
    return _renewed(act, parse)


def with_target(text: str, act: LastAct) -> tuple[Parse, str] | None:
    """Parse a sentence with the last act's pin or program in place of "it". Returns the parse and that sentence.

    A program there is replaced, or the user is asked. Returns None if the sentence is not about the act.
    """
    if _says_what_it_is(text):
        return None
    if _STOP.search(text):
        return _with_stop(text, act)
    sentence = _FILLER.sub("", text)
    pronoun = _IT.search(sentence)
    has_target = act.target != "it" and act.parse.kind != "traffic_light" and act.schedule is None
    if pronoun is None or not has_target or REMINDER.match(sentence.lower()):
        return None
    sentence = f"{sentence[: pronoun.start()]}{act.target}{sentence[pronoun.end() :]}"
    parse = english().parse(sentence)
    if parse is None or _is_about_all_programs(text):
        return None
    if pronoun["all"] and len(act.parse.pins) < 2:
        raise ask("Which pins?", "as in: turn off pins 4 and 5")
    if act.stopped and act.parse.kind in PROGRAMS_ON_PINS and parse.kind not in _READS:
        raise ask(f"Do you mean {act.app}, or only {act.target}?", "start it again")
    if act.runs and parse.kind in PROGRAMS_ON_PINS | {"schedule"}:
        if parse.kind != act.parse.kind:
            raise ask(f"{act.app} drives {act.target} now, so nothing was done.", f"stop {act.app}")
        parse = replace(parse, replaces=act.app)
    return parse, sentence


def _says_what_it_is(text: str) -> bool:
    """Return True if "it" is a thing of the same sentence: "turn on pin 5 and turn it off when the door closes"."""
    pronoun = _IT.search(text)
    if pronoun is None:
        return False
    before = text[: pronoun.start()]
    return _SWITCHED.search(_INPUT.sub(" ", before)) is not None or _HANDLED.search(before) is not None


def _with_stop(text: str, act: LastAct) -> tuple[Parse, str] | None:
    words = _stop_sentence(act)
    if words is None:
        return None
    sentence = _STOP.sub(words, text, count=1)
    parse = english().parse(sentence)
    if parse is None:
        return None
    return parse, sentence


def _is_about_all_programs(text: str) -> bool:
    """Return True for a sentence such as "stop all of them"."""
    parse = english().parse(text)
    return parse is not None and parse.kind == "remove_all"


def _unclear(act: LastAct, step: str = "say the whole sentence") -> CannotDo:
    return ask(f"I do not know what that means for {act.named}, so nothing was done.", step)


def _changed(act: LastAct, follow_up: Parse) -> Parse:
    """Return the act's parse with the pin, level or number of the follow-up."""
    kind = act.parse.kind
    values = dict(follow_up.values)
    pins = follow_up.pins
    number = follow_up.number("number")
    if number is not None:
        is_correction = follow_up.kind == "correct"
        is_amount = kind in _WITH_AMOUNT
        is_level = kind == "set_pin" and number in (0, 1)
        if is_level or (is_amount and is_correction):
            raise _unclear(act, f"as in: no, pin {number}")
        if is_amount:
            values["milli"] = number * 1000
        elif kind in PINS_ALONE or (is_correction and number > 1):
            pins = (number,)
    if pins or follow_up.word("thing") == "led":
        return _moved(act, pins)
    if kind == "set_pin" and follow_up.word("unit") == "percent" and len(act.parse.pins) < 2:
        return replace(act.parse, kind="dim_pin", values=act.parse.values | {"milli": values["milli"]})
    return _with_values(act, values, follow_up.word("unit"))


def _with_values(act: LastAct, values: Values, unit: str | None) -> Parse:
    """Replace the values of the act that a follow-up may change. Raises CannotDo if there are none."""
    kind = act.parse.kind
    slots = _SLOTS.get(kind, ())
    if kind not in _SLOTS and kind in english().paces:
        slots = ("every_ms", "for_ms", "period_ms")
    change: Values = {}
    for slot in slots:
        if slot in values:
            change[re.sub("^(every|for)_", "", slot)] = values[slot]
    is_wrong_unit = kind == "dim_pin" and unit not in (None, "percent")
    if not change or is_wrong_unit or "level_2" in act.parse.values:
        raise _unclear(act, "as in: make it every 2 seconds, or: no, pin 5")
    values_before = act.parse.values
    if change.keys() & {"ms", "period_ms"}:
        values_before = without_pace(values_before)
    replaced = {_REPLACED_SLOTS.get(slot) for slot in change}
    unchanged = {slot: value for slot, value in values_before.items() if slot not in replaced}
    return replace(act.parse, values=unchanged | change)


def _adjusted(act: LastAct, follow_up: Parse) -> Parse:
    """Apply "faster" or "brighter". Raises CannotDo if the act has no pace or brightness."""
    kind = act.parse.kind
    if follow_up.kind == "pace" and kind in english().paces:
        return _with_pace(act.parse, follow_up)
    if follow_up.kind == "light" and kind == "dim_pin" and act.parse.number("milli") is not None:
        return _with_brightness(act.parse, follow_up)
    if follow_up.kind == "pace":
        raise _unclear(act, "as in: blink pin NUMBER every second")
    raise _unclear(act, "as in: dim pin NUMBER to 30%")


def _with_pace(parse: Parse, follow_up: Parse) -> Parse:
    """Make it twice as fast or slow, or as the sentence says ("3 times faster", "a bit slower")."""
    times = follow_up.number("times")
    factor_milli = follow_up.number("many") or follow_up.number("amount")
    if not factor_milli:
        factor_milli = 2000 if times is None else 1000 * max(times, 1)
    factor = Fraction(factor_milli, 1000)
    time_ms = pace_ms(parse)
    if follow_up.word("way") == "less":
        time_ms *= factor
    else:
        time_ms /= factor
    pace: Values = {"ms": round(time_ms)}
    if time_ms.denominator != 1:
        pace = {"ms_ns": round(time_ms * NS)}
    return replace(parse, values=without_pace(parse.values) | pace)


def _with_brightness(parse: Parse, follow_up: Parse) -> Parse:
    """Change the brightness by a step, within 0 to 100 %."""
    step = follow_up.number("milli") or follow_up.number("step") or _STEP_MILLI
    if follow_up.word("way") == "less":
        step = -step
    milli = (parse.number("milli") or 0) + step
    return replace(parse, values=parse.values | {"milli": min(_FULL_MILLI, max(0, milli))})


def _instead(act: LastAct, parse: Parse, *, elsewhere: bool = False) -> Parse:
    """Return the parse that does `parse` and reverts the act."""
    if not act.done or act.parse.kind in _READS:
        return parse
    if act.runs and not act.replaced and not elsewhere:
        return replace(parse, replaces=act.app)
    if act.app is not None or act.schedule is not None or not act.changes:
        raise ask(f"I do not undo {act.named} by that.", "undo, then say the whole sentence")
    return replace(parse, undoes=act.changes[::-1])


def _renewed(act: LastAct, parse: Parse) -> Parse:
    """Return the parse that does the act with another number. Its program replaces the current one."""
    if act.stopped:
        raise ask(f"{act.named} was stopped.", "start it again, or say the whole sentence")
    if act.runs:
        return replace(parse, replaces=act.app)
    return parse


def _moved(act: LastAct, pins: tuple[int, ...]) -> Parse:
    """Return the act's parse for other pins, or for the LED. Raises CannotDo if the act is not for one pin."""
    kind = act.parse.kind
    is_several = max(len(pins), len(act.parse.pins)) > 1 and kind != "set_pin"
    if kind not in _WITH_PIN or is_several or "level_2" in act.parse.values:
        raise _unclear(act, "say it once for each pin")
    return act.parse.on_pins(pins)


def _also(act: LastAct, follow_up: Parse, *, is_question: bool) -> Parse:
    """Apply "and pin 5": the act on other pins, in addition."""
    number = follow_up.number("number")
    pins = follow_up.pins if number is None else (number,)
    is_removal = act.stopped and act.parse.kind not in PROGRAMS_ON_PINS
    if is_removal or act.schedule is not None:
        raise _unclear(act)
    if act.parse.kind == "dim_pin" and number is not None:
        # The number may be a brightness.
        raise _unclear(act, f"same on pin {number}")
    if is_question and act.parse.kind not in _READS:
        return Parse("read_pin", {"pin": pins[0]})
    return _moved(act, pins)


def _stop_sentence(act: LastAct) -> str | None:
    """Return the sentence that "stop it" stands for, or None if the act cannot be stopped."""
    if act.app is not None:
        return f"stop {act.app}"
    if act.schedule is not None:
        return f"cancel schedule {act.schedule}"
    if not act.done:
        return None
    if act.parse.kind == "dim_pin":
        return f"dim {act.target} to 0%"
    is_on = act.parse.kind == "set_pin" and act.parse.number("level") == 1
    if is_on and "level_2" not in act.parse.values:
        return f"turn off {act.target}"
    return None
