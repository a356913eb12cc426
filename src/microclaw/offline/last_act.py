"""The state that the offline dialogue keeps with an answer: its open question, its last act, and what undo reverts.

Plain values, no IO. They are stored with the answer as JSON, so that a restart of the host loses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.models.protocol import AssistantReply, Message
from microclaw.offline.decision import PIN_SLOTS, Context, Parse, Question, Result, Say, Values, plain_line
from microclaw.offline.names import told_name
from microclaw.offline.programs import PROGRAMS

PROGRAMS_ON_PINS: Final = frozenset(PROGRAMS) - {"read_sensor_every"}
ON_SEVERAL: Final = "several_boards"
"""The kind of an act on several boards."""
MAX_REVERTED: Final = 16
"""So many changes one call reverts (apps/tools/correcting.py)."""
BOARD_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "set-program-times", "undo"}
    | {"act-on-boards"}
)
"""Tools that change boards; the change log has what they did."""
_MAX_UNDOABLE: Final = 32
_KINDS: Final = PROGRAMS_ON_PINS | (
    {"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "read_sensor_every"}
    | {"remove_app", "schedule"}
)
_ASIDES: Final = frozenset({"help", "greeting", "clock", "list_schedules"})  # after them "it" is still what it was
_MAX_AGE: Final = 3  # answers in between that changed nothing


class LastAct(Struct, frozen=True):
    """The last act done or tried: its kind, pins and numbers (`parse`), and where.

    `done`: a tool carried it out; else it was refused or asked about. `changes` are the numbers that revert it, in the
    order in which they were made. `app` is its program, `replaced` says that another of that name was there before,
    `stopped` that it was taken off again. `others` are pins that were given the same level just before. `age` counts
    the answers since.
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
    def target(self) -> str:
        """Its pins in words that a template reads; "it" where there are none."""
        if self.is_on_led:
            return "the led"
        if len(self.pins) > 1:
            return f"pins {', '.join(map(str, self.pins[:-1]))} and {self.pins[-1]}"
        return f"pin {self.pins[0]}" if self.pins else "it"


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
    kind, here = at.parse.kind, at.device.name if at.device else None
    deployed = _last(at.results, "deploy-wasm-app")
    done = decision.code is None or (decision.code == "not_verified" and deployed is not None)
    if not done and any(one.ok and one.tool in BOARD_TOOLS | {"schedule-add", "schedule-remove"} for one in at.results):
        return None  # half of it: neither done nor not done
    if kind in _ASIDES or (kind == "app_status" and before is not None and before.app == at.parse.word("app")):
        return _older(before)
    if kind == "remember" and (told := told_name(at.parse.word("text") or "")) is not None:
        return LastAct(replace(at.parse, values=at.parse.values | {"pin": told.pin}), at.said, here)
    if kind == "pin_facts" and (pin := at.parse.number("pin")) is not None:
        return LastAct(Parse("read_pin", {"pin": pin}), at.said, here)
    if kind == "undo" and not at.results:
        return before  # it was asked about, and can still be corrected
    if kind not in _KINDS:
        return None
    if done and not at.results:
        return _older(before)
    parse = replace(at.parse, loose=at.parse.loose and not done, confirmed=False, undoes=(), replaces=None)
    device = at.results[-1].fields.get("device") if at.results else here
    changes = tuple(c for r in at.results if r.tool != "undo" and isinstance(c := r.fields.get("change"), int))
    act = LastAct(parse, at.said, device, done, changes)
    act = replace(act, others=_same_before(act, before)) if not at.parse.undoes else act
    if kind == "remove_app":
        removed = _last(at.results, "uninstall-wasm-app") or _last(at.results, "switch-program")
        name = str(removed.fields.get("appName")) if removed is not None else None
        if name is not None and before is not None and before.app == name:
            return replace(before, stopped=True, changes=changes, age=0)
        return replace(act, app=name, stopped=True)
    if deployed is not None:
        is_changed = at.parse.replaces is not None and before is not None and before.app == at.parse.replaces
        replaced = before.replaced if is_changed and before is not None else bool(deployed.fields.get("replaced"))
        return replace(act, app=str(deployed.fields.get("appName")), replaced=replaced)
    made = _last(at.results, "schedule-add")
    return replace(act, schedule=_number(made)) if made is not None else act


def _of_many(at: Context | None) -> LastAct | None:
    """An act on several boards can only be reverted whole: no pin and no board of it is "it"."""
    changes = at.results[-1].fields.get("changes") if at is not None and at.results and at.results[-1].ok else None
    if at is None or not isinstance(changes, list) or not 0 < len(changes) <= MAX_REVERTED:
        return None
    return LastAct(Parse(ON_SEVERAL), at.said, changes=tuple(n for n in changes if isinstance(n, int)))


def _same_before(act: LastAct, before: LastAct | None) -> tuple[int, ...]:
    """Pins that were just given the same level."""
    if before is None or not act.done or not before.done or {act.kind, before.kind} != {"set_pin"}:
        return ()
    levels = [{one.parse.values.get(name) for name in ("level", "level_2")} - {None} for one in (act, before)]
    is_same = levels[0] == levels[1] and len(levels[0]) == 1 and act.device == before.device
    return tuple(dict.fromkeys((*before.others, *before.pins))) if is_same else ()


def _older(act: LastAct | None) -> LastAct | None:
    return None if act is None or act.age >= _MAX_AGE else replace(act, age=act.age + 1)


def undoable_after(at: Context | None, results: Sequence[Result], before: Undoable) -> Undoable:
    """The acts after an answer, without the one that "undo" reverted, or asked about."""
    failed = any(not result.ok and "removed" not in result.fields for result in results)
    if at is not None and at.parse.values.get("undo") and not at.parse.confirmed and not failed:
        return before[:-1]
    changed = {result.tool for result in results if _changed_a_board(result)}
    if "undo" in changed:
        return before if changed != {"undo"} or before[-1:] != (None,) else before[:-1]
    reverting = next(filter(None, map(_reverting, reversed(results))), None)
    made = (None,) if changed else () if reverting is None else (reverting,)
    return (*before, *made)[-_MAX_UNDOABLE:]


def _changed_a_board(result: Result) -> bool:
    made = result.fields.get("change") or result.fields.get("changes")
    return result.ok and bool(made) and result.tool in BOARD_TOOLS and result.fields.get("switch") != "restart"


def _reverting(result: Result) -> Parse | None:
    """The sentence that reverts this result of a schedule or of memory; None if the result made nothing.

    Where nothing reverts it, that is an undo that asks whether a board's change is meant.
    """
    fields = result.fields
    match result.tool if result.ok else None:
        case "schedule-add" if (number := _number(result)) is not None:
            return Parse("cancel_schedule", {"number": number})
        case "remember" if fields.get("new"):
            return Parse("forget", {"text": plain_line(fields.get("line"))})
        case "schedule-remove" if fields.get("state") == "removed":  # else paused or resumed, and still there
            again = "say its sentence once more"
        case "forget":
            lines = "; ".join(plain_line(one["line"]) for one in fields.get("removed", ()))
            again = f'say: "remember that {lines}"'
        case _:
            return None
    text = f"Undo does not take that back, so nothing was changed; to have it again, {again}. "
    return Parse("undo", {"asks": f"{text}Undo the last change of a board instead?"})


def _number(made: Result) -> int | None:
    number = made.fields.get("schedule")
    return number if isinstance(number, int) else None


def _last(results: tuple[Result, ...], tool: str) -> Result | None:
    return next((result for result in reversed(results) if result.tool == tool and result.ok), None)
