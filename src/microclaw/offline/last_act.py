"""The state that the offline dialogue keeps with an answer: its open question, and its last act for sentences about it.

Plain values, no IO. They are stored with the answer as JSON, so that a restart of the host loses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.models.protocol import AssistantReply, Message
from microclaw.offline.decision import Context, Result, Say, capital, plain_line
from microclaw.offline.names import told_name
from microclaw.offline.parse import PIN_SLOTS, Parse, Question, Values
from microclaw.offline.programs import PROGRAMS

PROGRAMS_ON_PINS: Final = frozenset(PROGRAMS) - {"read_sensor_every", "publish"}
ON_SEVERAL: Final = "several_boards"
"""The kind of an act on several boards."""
MAX_TAKEN_BACK: Final = 16
"""So many changes one correction reverts."""
TAKE_BACK: Final = "take_back"
"""The kind of "Shall I undo it?"."""
BOARD_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "set-program-times", "undo"}
    | {"act-on-boards"}
)
"""Tools that change boards; the change log has what they did."""
_NOT_IN_CHANGE_LOG: Final = frozenset({"schedule-add", "schedule-remove", "remember", "forget"})
_MAX_UNDOABLE: Final = 32
_OTHER_KINDS: Final = frozenset(
    {"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "read_sensor_every"}
    | {"remove_app", "schedule"}
)
_ASIDES: Final = frozenset(
    {"help", "greeting", "clock", "remember", "list_schedules"}
)  # after them "it" is still what it was
_MAX_AGE: Final = 3  # answers in between that changed nothing


class LastAct(Struct, frozen=True):
    """The last act done or tried: its kind, pins and numbers (`parse`), and where.

    `done`: a tool carried it out; else it was refused or asked about, and a parse that was learned stays loose.
    `changes` are the numbers that take it back, in the order in which they were made. `app` is its program, `replaced`
    says that one of that name was there before, `stopped` that it was taken off again. `lines` of memory are what its
    sentence added. `others` are pins to which the same was done just before. `age` counts the answers since.
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
    lines: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    age: int = 0

    @property
    def kind(self) -> str:
        return self.parse.kind

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that its sentence named; empty for the board's LED and for what has no pin."""
        return self.parse.pins

    @property
    def is_on_led(self) -> bool:
        return not self.pins and self.parse.word("thing") == "led"

    @property
    def runs(self) -> bool:
        """True if its program was left on the device."""
        return self.app is not None and not self.stopped

    @property
    def target_values(self) -> Values:
        """Its pins, or its LED, as values of a parse."""
        if self.is_on_led:
            return {"thing": "led"}
        return dict(zip(PIN_SLOTS, self.pins, strict=False))

    @property
    def named(self) -> str:
        """It in the person's words."""
        return f'"{self.said.strip().rstrip(".!?")}"'

    @property
    def told(self) -> str:
        """The act as a sentence without its full stop: "Pin 10 was set high"."""
        target = capital(self.target)
        were = "were" if len(self.pins) > 1 else "was"
        level = self.parse.number("level")
        if self.stopped:
            return f"The program {self.app} was stopped"
        if self.schedule is not None:
            return f"Schedule {self.schedule} was made"
        if self.app is not None:
            where = f" on {self.target}" if self.pins else ""
            return f"The program {self.app} was {'replaced' if self.replaced else 'started'}{where}"
        if self.kind == "set_pin" and level is not None and all(n[:6] != "level_" for n in self.parse.values):
            if self.is_on_led:
                return f"The LED was turned {'on' if level else 'off'}"
            return f"{target} {were} set {'high' if level else 'low'}"
        if self.kind == "dim_pin" and (milli := self.parse.number("milli")) is not None:
            return f"{target} was set to {milli / 1000:g}%"
        return f"I did {self.named}"

    @property
    def target(self) -> str:
        """Its pins in words that a template reads; "it" where there are none."""
        if self.is_on_led:
            return "the led"
        if len(self.pins) > 1:
            return f"pins {', '.join(map(str, self.pins[:-1]))} and {self.pins[-1]}"
        return f"pin {self.pins[0]}" if self.pins else "it"


class Unlogged(Struct, frozen=True):
    """A schedule's number, or lines of memory, that `tool` made or removed. The change log does not hold it."""

    tool: str
    schedule: int | None = None
    lines: tuple[str, ...] = ()

    @property
    def undoing(self) -> Parse:
        """The sentence that undoes it; where nothing does, an undo that asks whether a board's change is meant."""
        if self.tool == "schedule-add" and self.schedule is not None:
            return Parse("cancel_schedule", {"number": self.schedule})
        if self.tool == "remember":
            return Parse("forget", {"text": self.lines[0]})
        lost = "; ".join(self.lines)
        return Parse("undo", {"again": f'say: "remember that {lost}"' if lost else "say its sentence once more"})


Undoable: TypeAlias = tuple[Unlogged | None, ...]
"""The acts that undo goes back through, the newest last; None is a change of boards."""


class DialogueState(Struct, frozen=True):
    """The open question, the last act, and all acts that undo goes back through. `suggested` are sentences of which
    one may be chosen by its number.
    """

    question: Question | None = None
    act: LastAct | None = None
    undoable: Undoable = ()
    suggested: tuple[str, ...] = ()

    def to_json(self) -> str | None:
        """None where there is nothing to keep."""
        return None if self == DialogueState() else msgspec.json.encode(self).decode()


def state_after(message: Message | None) -> DialogueState:
    """The state that an answer left open; nothing for any other message, or where another version wrote it."""
    if not isinstance(message, AssistantReply) or message.question is None:
        return DialogueState()
    try:
        return msgspec.json.decode(message.question, type=DialogueState)
    except msgspec.MsgspecError:
        return DialogueState()


def act_after(at: Context | None, decision: Say, before: LastAct | None) -> LastAct | None:
    """The last act after an answer. Where another thing was spoken of since, there is none: "it" could be that."""
    if at is None or at.each:
        return _of_many(at)
    kind = at.parse.kind
    deployed = _last(at.results, "deploy-wasm-app")
    done = decision.code is None or (decision.code == "not_verified" and deployed is not None)
    if not done and any(one.ok and one.tool in BOARD_TOOLS | {"schedule-add", "schedule-remove"} for one in at.results):
        return None  # half of it: neither done nor not done
    if kind == "app_status" and before is not None and before.app == at.parse.word("app"):
        return _older(before)
    made = _made(at.results)
    lines = made.lines if made is not None and made.tool == "remember" else ()
    if (pin := _spoken_of(at.parse)) is not None:
        return LastAct(Parse("read_pin", {"pin": pin}), at.said, at.device.name if at.device else None, lines=lines)
    if lines:
        return replace(_older(before) or LastAct(at.parse, at.said), lines=lines)
    if kind == TAKE_BACK:
        return before if not at.results else None
    if kind not in PROGRAMS_ON_PINS | _OTHER_KINDS:
        return _older(before) if kind in _ASIDES else None
    if done and not at.results:
        return _older(before)
    parse = replace(at.parse, loose=at.parse.loose and not done, confirmed=False, undoes=(), replaces=None)
    device = at.results[-1].fields.get("device") if at.results else (at.device.name if at.device else None)
    changes = tuple(c for r in at.results if r.tool != "undo" and isinstance(c := r.fields.get("change"), int))
    removed = _last(at.results, "uninstall-wasm-app") or _last(at.results, "switch-program")
    if kind == "remove_app":
        name = str(removed.fields.get("appName")) if removed is not None else None
        if name is not None and before is not None and before.app == name:
            return replace(before, stopped=True, changes=changes, age=0)
        return LastAct(parse, at.said, device, done, changes, app=name, stopped=True)
    schedule = _last(at.results, "schedule-add")
    number = schedule.fields.get("schedule") if schedule is not None else None
    return LastAct(
        parse,
        at.said,
        device,
        done,
        changes,
        app=str(deployed.fields.get("appName")) if deployed is not None else None,
        replaced=_replaced(at.parse, deployed, before),
        schedule=number if isinstance(number, int) else None,
        others=_same_before(parse, device, before) if done and not at.parse.undoes else (),
    )


def _replaced(parse: Parse, deployed: Result | None, before: LastAct | None) -> bool:
    """True if another program had the name; the one that the sentence changes is not another."""
    if parse.replaces is not None and before is not None and before.app == parse.replaces:
        return before.replaced
    return deployed is not None and bool(deployed.fields.get("replaced"))


def _of_many(at: Context | None) -> LastAct | None:
    """An act on several boards can only be reverted whole: no pin and no board of it is "it"."""
    changes = at.results[-1].fields.get("changes") if at is not None and at.results and at.results[-1].ok else None
    if at is None or not isinstance(changes, list) or not 0 < len(changes) <= MAX_TAKEN_BACK:
        return None
    return LastAct(Parse(ON_SEVERAL), at.said, changes=tuple(n for n in changes if isinstance(n, int)))


def _same_before(parse: Parse, device: object, before: LastAct | None) -> tuple[int, ...]:
    """Pins that were just given the same level."""
    if before is None or not before.done or parse.kind != "set_pin" or before.kind != "set_pin":
        return ()
    if before.device != device or parse.values.get("level") != before.parse.values.get("level"):
        return ()
    if any(name.startswith("level_") for name in {*parse.values, *before.parse.values}):
        return ()
    return tuple(dict.fromkeys((*before.others, *before.pins)))


def _spoken_of(parse: Parse) -> int | None:
    """The pin that a question or a remembered line is about."""
    if parse.kind == "remember":
        told = told_name(parse.word("text") or "")
        return told.pin if told is not None else None
    return parse.number("pin") if parse.kind in ("pin_facts", "pin_named") else None


def _older(act: LastAct | None) -> LastAct | None:
    return None if act is None or act.age >= _MAX_AGE else replace(act, age=act.age + 1, lines=())


def undoable_after(at: Context | None, results: Sequence[Result], before: Undoable) -> Undoable:
    """The acts after an answer, without the one that "undo" reverted, or asked about."""
    failed = any(not result.ok and "removed" not in result.fields for result in results)
    if at is not None and at.parse.values.get("undo") and not at.parse.confirmed and not failed:
        return before[:-1]
    changed = {result.tool for result in results if _changed_a_board(result)}
    if "undo" in changed:
        return before if changed != {"undo"} or before[-1:] != (None,) else before[:-1]
    if changed:
        return (*before, None)[-_MAX_UNDOABLE:]
    made = _made(results)
    return before if made is None else (*before, made)[-_MAX_UNDOABLE:]


def _changed_a_board(result: Result) -> bool:
    made = result.fields.get("change") or result.fields.get("changes")
    return result.ok and bool(made) and result.tool in BOARD_TOOLS and result.fields.get("switch") != "restart"


def _made(results: Sequence[Result]) -> Unlogged | None:
    for result in reversed(results):
        if not result.ok or result.tool not in _NOT_IN_CHANGE_LOG:
            continue
        if result.tool == "schedule-remove" and result.fields.get("state") != "removed":
            continue  # paused or resumed, and still there
        if result.tool.startswith("schedule"):
            number = result.fields.get("schedule")
            return Unlogged(result.tool, number if isinstance(number, int) else None)
        if result.tool == "forget":
            return Unlogged("forget", lines=tuple(plain_line(one["line"]) for one in result.fields.get("removed", ())))
        if result.fields.get("new"):
            return Unlogged("remember", lines=(plain_line(result.fields.get("line")),))
    return None


def _last(results: tuple[Result, ...], tool: str) -> Result | None:
    return next((result for result in reversed(results) if result.tool == tool and result.ok), None)
