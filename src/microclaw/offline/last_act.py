"""The last act, what a sentence says of it ("no, pin 5", "stop it", "and 5", "faster"), and what undo reverts.

Each such sentence is an operation on one value: another value in a slot of the act's parse, the same once more, or its
end. The templates are in intents/en/references.toml. The state is stored with the answer as JSON, so that a restart of
the host loses none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.language.quantities import plain
from microclaw.models.protocol import AssistantReply, Message
from microclaw.offline.decision import CannotDo, Context, Parse, Result, Say, Slot, Values, ask, plain_line
from microclaw.offline.programs import NS, PROGRAMS, pace_ms, without_pace
from microclaw.offline.sentences import REMINDER, english

PROGRAMS_ON_PINS: Final = frozenset(PROGRAMS) - {"read_sensor_every"}
_BOARD_TOOLS: Final = {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo"}
"""Tools that change boards; the change log has what they did."""
_MAX_UNDOABLE: Final = 32
_READS: Final = frozenset({"read_pin", "read_adc", "read_sensor"})
_PINS_ALONE: Final = frozenset({"set_pin", "toggle_pin", "read_pin", "read_adc"})
_WITH_AMOUNT: Final = frozenset({"threshold", "threshold_pulse", "thermostat", "dim_pin", "servo"})
_WITH_PIN: Final = _PINS_ALONE | _WITH_AMOUNT | (PROGRAMS_ON_PINS - {"traffic_light"})
_KINDS: Final = _PINS_ALONE | {*PROGRAMS, "dim_pin", "read_sensor", "remove_app", "schedule"}
_SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "set_pin": ("level",),
    **dict.fromkeys(_WITH_AMOUNT, ("milli", "unit")),
    "blink_times": ("every_ms", "period_ms", "times"),
    "pulse": ("for_ms",),
}
"""What a follow-up says to change a slot of an act; "every" and "for" are said of its "ms"."""
_EXTRA: Final = re.compile(r"(?i)^(?:(?:and|now|then|but|ok|okay) )+| (?:back|again)\b")
_IT: Final = re.compile(r"(?i)\b(?:it|that|this|(?P<all>(?:all of )?(?:them|those)|both))\b")
_STOP: Final = re.compile(r"(?i)\b(?:stop|end|kill|quit|delete|remove) (?:it|that|this)\b")
_STEP_MILLI: Final = 20_000


class Question(Struct, frozen=True):
    """The question of the last answer: a slot of the parse of `said`. It is stored with that answer."""

    slot: Slot
    parse: Parse
    said: str
    device: str | None = None  # where the sentence named one
    reading: str = ""  # the sentence that a yes stands for


class LastAct(Struct, frozen=True):
    """The last act done or tried: its kind, pins and numbers (`parse`), and where.

    `done`: a tool carried it out; else it was refused or asked about. `changes` are the numbers that revert it, in the
    order in which they were made. `app` is its program, `replaced` says that another of that name was there before,
    `stopped` that it was taken off again.
    """

    parse: Parse
    said: str
    device: str | None = None
    done: bool = True
    changes: tuple[int, ...] = ()
    app: str | None = None
    replaced: bool = False
    stopped: bool = False
    schedule: int | None = None

    @property
    def runs(self) -> bool:
        """True if its program was left on the device."""
        return self.app is not None and not self.stopped

    @property
    def named(self) -> str:
        """It in the person's words."""
        return f'"{self.said.strip().rstrip(".!?")}"'

    @property
    def target(self) -> str:
        """Its pins, or its LED, in words that a template reads; "it" where there are none."""
        if not self.parse.pins and self.parse.word("thing") == "led":
            return "the led"
        return " and ".join(f"pin {pin}" for pin in self.parse.pins) or "it"


Undoable: TypeAlias = tuple[Parse | None, ...]
"""The sentences that undo goes back through, the newest last: each reverts an act that the change log does not hold (a
schedule, a line of memory); None is a change of boards.
"""


class DialogueState(Struct, frozen=True):
    """The open question, the last act, and all acts that undo goes back through. `suggested` are sentences of which
    one may be chosen by its number.
    """

    question: Question | None = None
    act: LastAct | None = None
    undoable: Undoable = ()
    suggested: tuple[str, ...] = ()


def state_after(message: Message | None) -> DialogueState:
    """The state that an answer left open; nothing for any other message, or where another version wrote it."""
    if not isinstance(message, AssistantReply) or message.question is None:
        return DialogueState()
    try:
        state = msgspec.json.decode(message.question, type=DialogueState)
    except msgspec.MsgspecError:
        return DialogueState()
    if message.question_expired:
        return DialogueState(undoable=state.undoable)
    return state


def act_after(at: Context | None, decision: Say, before: LastAct | None) -> LastAct | None:
    """The last act after an answer. Where another thing was spoken of since, there is none: "it" could be that."""
    if at is None:
        return None
    parse = at.parse
    results = at.results
    kind = at.parse.kind
    made = {result.tool: result.fields for result in results if result.ok}
    changes = tuple(c for r in results if r.tool != "undo" and isinstance(c := r.fields.get("change"), int))
    deployed = made.get("deploy-wasm-app")
    done = decision.code is None or (decision.code == "not_verified" and deployed is not None)
    if not done and made.keys() & (_BOARD_TOOLS | {"schedule-add", "schedule-remove"}):
        return None  # half of it: neither done nor not done
    is_of_it = kind == "app_status" and before is not None and before.app == parse.word("app")
    if is_of_it or kind == "help" or ("asks" in parse.values and not results):
        return before
    if kind not in _KINDS or (done and not results):
        return None
    here = at.device.name if at.device else None
    if results:
        device = results[-1].fields.get("device")
    else:
        device = here
    act = LastAct(replace(parse, confirmed=False, undoes=(), replaces=None), at.said, device, done, changes)
    if kind == "remove_app":
        name = made.get("switch-program", made.get("uninstall-wasm-app", {})).get("appName")
        own = before if before is not None and name is not None and before.app == name else act
        return replace(own, app=name, stopped=True, changes=changes)
    if deployed is not None:
        old = before if before is not None and parse.replaces is not None and before.app == parse.replaces else None
        if old is not None:
            replaced = old.replaced
        else:
            replaced = bool(deployed.get("replaced"))
        return replace(act, app=str(deployed.get("appName")), replaced=replaced)
    return replace(act, schedule=made.get("schedule-add", {}).get("schedule"))


def undoable_after(at: Context | None, results: Sequence[Result], before: Undoable) -> Undoable:
    """The acts after an answer, without the one that "undo" reverted, or asked about.

    Where nothing reverts an act, that is an undo that asks whether a board's change is meant.
    """
    done = {result.tool: result.fields for result in results if result.ok}
    failed = any(not result.ok and "removed" not in result.fields for result in results)
    if at is not None and at.parse.values.get("undo") and not at.parse.confirmed and not failed:
        return before[:-1]
    changes = (r for r in results if r.ok and r.tool in _BOARD_TOOLS and r.fields.get("change"))
    changed = {result.tool for result in changes if result.fields.get("switch") != "restart"}
    if "undo" in changed:
        if changed != {"undo"} or before[-1:] != (None,):
            return before
        return before[:-1]
    made: Parse | None = None
    if "schedule-add" in done:
        made = Parse("cancel_schedule", {"number": done["schedule-add"]["schedule"]})
    elif done.get("remember", {}).get("new"):
        made = Parse("forget", {"text": plain_line(done["remember"].get("line"))})
    elif done.keys() & {"forget", "schedule-remove"}:
        made = Parse("undo", {"asks": "Undo does not take that back. Undo the last change of a board instead?"})
    elif not changed:
        return before
    return (*before, None if changed else made)[-_MAX_UNDOABLE:]


def about_last_act(text: str, act: LastAct, *, elsewhere: bool) -> Parse | None:
    """Read a sentence about the last act; None where it says nothing of it. Raises CannotDo with a question about it.

    `elsewhere`: it names another device.
    """
    said = plain(text)
    parse = act.parse
    kind = act.parse.kind
    found = english().reference(said)
    if found is None and len(parse.pins) < 2:  # "blink pin 2 faster" of what blinks there
        found = english().reference(re.sub(rf"\b{act.target}\b", "it", said))
        found = found if found is not None and found.kind in ("pace", "light") else None
    if found is None:
        return None
    match found.kind:
        case "no" if elsewhere:
            return _instead(act, parse, elsewhere=True)
        case "no":
            if act.done and kind not in _READS:
                return _offered(act)
            return None
        case "same":
            return parse if elsewhere else None
        case "correct":
            is_of_it = found.number("wrong") in (None, *parse.pins)
            if is_of_it:
                return _instead(act, _changed(act, found), elsewhere=elsewhere)
            return None
        case "remove" | "stop" if act.app is not None:
            return Parse("remove_app", {"app": act.app})
        case "remove" | "stop":
            words = _stop_words(act)
            if words is None or (found.kind == "remove" and act.schedule is None):  # "delete it" of a pin
                raise _unclear(act, "what is running")
            return english().parse(words)
        case "again":
            if act.schedule is not None or kind == "remove_app":
                raise _unclear(act)
            return replace(parse, replaces=act.app)
        case "also":
            return _also(act, found, asks=text.rstrip().endswith("?") or "asks" in found.values)
        case "state" if act.runs or (act.stopped and "level" not in found.values):
            return Parse("app_status", {"app": act.app or ""})
        case "state" if kind == "dim_pin" and act.done:
            raise CannotDo(Say(f"I did {act.named}; how bright it is I cannot read back."))
        case "state":
            return None  # "is it on" of a pin is read like any other sentence with its target
        case "pace" | "light" if (found.word("verb") or kind) not in kind:
            return None  # "fade it twice as fast" of what blinks
        case "pace" | "light":
            return _renewed(act, _adjusted(act, found))
    if kind == "set_pin" and found.number("number") is not None and not said.startswith("make"):
        return None  # "set it to 1" is a level
    meant = _changed(act, found)
    is_moved = meant.kind == kind and meant.pins != parse.pins
    return _instead(act, meant) if is_moved else _renewed(act, meant)  # "make that 25" of a pin


def with_target(text: str, act: LastAct) -> tuple[Parse, str] | None:
    """The sentence with the last act's pin or program in the place of "it"; a program there is changed, or kept."""
    if _STOP.search(text):
        words = _stop_words(act)
        if words is None:
            return None
        said = _STOP.sub(words, text, count=1)
        stopped = english().parse(said)
        if stopped is None:
            return None
        return (stopped, said)
    said = _EXTRA.sub("", text)
    it = _IT.search(said)
    has_none = act.target == "it" or act.parse.kind == "traffic_light" or act.schedule is not None
    if it is None or has_none or REMINDER.match(said.lower()):
        return None
    said = f"{said[: it.start()]}{act.target}{said[it.end() :]}"
    parse = english().parse(said)
    if parse is None or ((own := english().parse(text)) is not None and own.kind == "remove_all"):
        return None  # "stop all of them" is of all programs
    if it["all"] and len(act.parse.pins) < 2:
        raise ask("Which pins?", "as in: turn off pins 4 and 5")
    if act.stopped and act.parse.kind in PROGRAMS_ON_PINS and parse.kind not in _READS:
        raise ask(f"Do you mean {act.app}, or only {act.target}?", "start it again")
    if act.runs and parse.kind in PROGRAMS_ON_PINS | {"schedule"}:
        if parse.kind != act.parse.kind:
            raise ask(f"{act.app} drives {act.target} now, so nothing was done.", f"stop {act.app}")
        parse = replace(parse, replaces=act.app)
    return parse, said


def _unclear(act: LastAct, step: str = "say the whole sentence") -> CannotDo:
    return ask(f"I do not know what that means for {act.named}, so nothing was done.", step)


def _offered(act: LastAct) -> Parse:
    """The question whether an act that is done shall be reverted, after a "no" and nothing else."""
    question = f"I did {act.named}. Shall I undo it?"
    if act.schedule is not None:
        return Parse("cancel_schedule", {"asks": question, "number": act.schedule})
    if not act.changes:
        raise _unclear(act)
    return Parse("undo", {"asks": question}, undoes=act.changes[::-1])


def _changed(act: LastAct, found: Parse) -> Parse:
    """The act's parse with the pin, level or number that the person says."""
    said = dict(found.values)
    pins = found.pins
    kind = act.parse.kind
    number = found.number("number")
    unit = found.word("unit")
    if number is not None:
        is_amount = kind in _WITH_AMOUNT
        if (is_amount and found.kind == "correct") or (kind == "set_pin" and number in (0, 1)):
            raise _unclear(act, f"as in: no, pin {number}")
        if is_amount:
            said["milli"] = number * 1000
        elif kind in _PINS_ALONE or (found.kind == "correct" and number > 1):
            pins = (number,)
    if pins or found.word("thing") == "led":
        return _moved(act, pins)
    if unit == "percent" and kind == "set_pin" and len(act.parse.pins) < 2:
        return replace(act.parse, kind="dim_pin", values=act.parse.values | {"milli": said["milli"]})
    slots = _SLOTS.get(kind, ("every_ms", "for_ms", "period_ms") if kind in english().paces else ())
    change: Values = {re.sub("^(every|for)_", "", word): said[word] for word in slots if word in said}
    is_of_it = kind != "dim_pin" or unit in (None, "percent")
    if not change or not is_of_it or "level_2" in act.parse.values:
        raise _unclear(act, "as in: make it every 2 seconds, or: no, pin 5")
    if change.keys() & {"ms", "period_ms"}:
        kept = without_pace(act.parse.values)
    else:
        kept = act.parse.values
    gone = {"milli": "angle", "times": "for_ms"}  # two ways to say the same
    return replace(act.parse, values={n: v for n, v in kept.items() if n not in map(gone.get, change)} | change)


def _adjusted(act: LastAct, found: Parse) -> Parse:
    """ "Faster" is twice as fast, "brighter" is 20 % of full brightness more; "a bit" is half of that."""
    parse = act.parse
    milli = act.parse.number("milli")
    is_more = found.word("way") != "less"
    if found.kind == "pace" and parse.kind in english().paces:
        times = found.number("times")
        many = found.number("many") or found.number("amount") or (2000 if times is None else 1000 * max(times, 1))
        if is_more:
            factor = Fraction(1000, many)
        else:
            factor = Fraction(many, 1000)
        time_ms = pace_ms(parse) * factor
        if time_ms.denominator == 1:
            exact = {"ms": round(time_ms)}
        else:
            exact = {"ms_ns": round(time_ms * NS)}
        return replace(parse, values=without_pace(parse.values) | exact)
    if found.kind == "light" and parse.kind == "dim_pin" and milli is not None:
        step = found.number("milli") or found.number("step") or _STEP_MILLI
        wanted = milli + (step if is_more else -step)
        return replace(parse, values=parse.values | {"milli": min(100_000, max(0, wanted))})
    example = "blink pin NUMBER every second" if found.kind == "pace" else "dim pin NUMBER to 30%"
    raise _unclear(act, f"as in: {example}")


def _instead(act: LastAct, meant: Parse, *, elsewhere: bool = False) -> Parse:
    """The act that was meant, in the place of the wrong one."""
    if not act.done or act.parse.kind in _READS:
        return meant
    if act.app is not None and not (act.stopped or act.replaced or elsewhere):
        return replace(meant, replaces=act.app)
    if act.app is not None or act.schedule is not None or not act.changes:
        raise ask(f"I do not undo {act.named} by that.", "undo, then say the whole sentence")
    return replace(meant, undoes=act.changes[::-1])


def _renewed(act: LastAct, meant: Parse) -> Parse:
    """The same act with another number: its program takes the place of the old one."""
    if act.stopped:
        raise ask(f"{act.named} was stopped.", "start it again, or say the whole sentence")
    if act.runs:
        return replace(meant, replaces=act.app)
    return meant


def _moved(act: LastAct, pins: tuple[int, ...]) -> Parse:
    """The same on these pins instead, or on the LED."""
    is_several = max(len(pins), len(act.parse.pins)) > 1 and act.parse.kind != "set_pin"
    if act.parse.kind not in _WITH_PIN or is_several or "level_2" in act.parse.values:
        raise _unclear(act, "say it once for each pin")
    return act.parse.on_pins(pins)


def _also(act: LastAct, found: Parse, *, asks: bool) -> Parse:
    """The same on other pins, in addition."""
    number = found.number("number")
    if number is None:
        pins = found.pins
    else:
        pins = (number,)
    if act.stopped or act.schedule is not None:
        raise _unclear(act)
    if act.parse.kind == "dim_pin" and number is not None:  # or a brightness
        raise _unclear(act, f"same on pin {number}")
    if asks and act.parse.kind not in _READS:
        return Parse("read_pin", {"pin": pins[0]})
    return _moved(act, pins)


def _stop_words(act: LastAct) -> str | None:
    """The meaning of "stop it" for the act, as a sentence; None where it means nothing."""
    if act.app is not None:
        return f"stop {act.app}"
    if act.schedule is not None:
        return f"cancel schedule {act.schedule}"
    if act.done and act.parse.kind == "dim_pin":
        return f"dim {act.target} to 0%"
    is_on = act.done and act.parse.kind == "set_pin" and act.parse.number("level") == 1
    if is_on and "level_2" not in act.parse.values:
        return f"turn off {act.target}"
    return None
