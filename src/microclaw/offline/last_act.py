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
from microclaw.offline.programs import PROGRAMS

PROGRAMS_ON_PINS: Final = frozenset(PROGRAMS) - {"read_sensor_every"}
BOARD_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo"}
)
"""Tools that change boards; the change log has what they did."""
_MAX_UNDOABLE: Final = 32
_KINDS: Final = PROGRAMS_ON_PINS | (
    {"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "read_sensor_every"}
    | {"remove_app", "schedule"}
)


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
    def kind(self) -> str:
        return self.parse.kind

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that its sentence named; empty for the board's LED and for what has no pin."""
        return self.parse.pins

    @property
    def runs(self) -> bool:
        """True if its program was left on the device."""
        return self.app is not None and not self.stopped

    @property
    def target_values(self) -> Values:
        """Its pins, or its LED, as values of a parse; empty where it has none."""
        if not self.pins and self.parse.word("thing") == "led":
            return {"thing": "led"}
        return dict(zip(PIN_SLOTS, self.pins, strict=False))

    @property
    def named(self) -> str:
        """It in the person's words."""
        return f'"{self.said.strip().rstrip(".!?")}"'

    @property
    def target(self) -> str:
        """Its pins in words that a template reads; "it" where there are none."""
        if "thing" in self.target_values:
            return "the led"
        return " and ".join(f"pin {pin}" for pin in self.pins) or "it"


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
    if at is None:
        return None
    parse, results, here = at.parse, at.results, at.device.name if at.device else None
    kind, deployed = parse.kind, _last(results, "deploy-wasm-app")
    done = decision.code is None or (decision.code == "not_verified" and deployed is not None)
    if not done and any(one.ok and one.tool in BOARD_TOOLS | {"schedule-add", "schedule-remove"} for one in results):
        return None  # half of it: neither done nor not done
    is_of_it = kind == "app_status" and before is not None and before.app == parse.word("app")
    if is_of_it or kind == "help" or (kind == "undo" and not results):
        return before
    if kind not in _KINDS or (done and not results):
        return None
    device = results[-1].fields.get("device") if results else here
    changes = tuple(c for r in results if r.tool != "undo" and isinstance(c := r.fields.get("change"), int))
    act = LastAct(replace(parse, confirmed=False, undoes=(), replaces=None), at.said, device, done, changes)
    if kind == "remove_app":
        removed = _last(results, "uninstall-wasm-app") or _last(results, "switch-program")
        name = str(removed.fields.get("appName")) if removed is not None else None
        if name is not None and before is not None and before.app == name:
            return replace(before, stopped=True, changes=changes)
        return replace(act, app=name, stopped=True)
    if deployed is not None:
        is_changed = parse.replaces is not None and before is not None and before.app == parse.replaces
        replaced = before.replaced if is_changed and before is not None else bool(deployed.fields.get("replaced"))
        return replace(act, app=str(deployed.fields.get("appName")), replaced=replaced)
    made = _last(results, "schedule-add")
    return replace(act, schedule=made.fields.get("schedule")) if made is not None else act


def undoable_after(at: Context | None, results: Sequence[Result], before: Undoable) -> Undoable:
    """The acts after an answer, without the one that "undo" reverted, or asked about."""
    failed = any(not result.ok and "removed" not in result.fields for result in results)
    if at is not None and at.parse.values.get("undo") and not at.parse.confirmed and not failed:
        return before[:-1]
    changed = {result.tool for result in results if _changed_a_board(result)}
    if "undo" in changed:
        return before if changed != {"undo"} or before[-1:] != (None,) else before[:-1]
    made = [None] if changed else [parse for parse in map(_reverting, results) if parse is not None][-1:]
    return (*before, *made)[-_MAX_UNDOABLE:]


def _changed_a_board(result: Result) -> bool:
    is_change = result.ok and result.tool in BOARD_TOOLS and result.fields.get("switch") != "restart"
    return is_change and bool(result.fields.get("change"))


def _reverting(result: Result) -> Parse | None:
    """The sentence that reverts this result of a schedule or of memory; None if the result made nothing.

    Where nothing reverts it, that is an undo that asks whether a board's change is meant.
    """
    fields = result.fields
    match result.tool if result.ok else None:
        case "schedule-add":
            return Parse("cancel_schedule", {"number": fields["schedule"]})
        case "remember" if fields.get("new"):
            return Parse("forget", {"text": plain_line(fields.get("line"))})
        case "forget" | "schedule-remove":
            return Parse("undo", {"asks": "Undo does not take that back. Undo the last change of a board instead?"})
    return None


def _last(results: tuple[Result, ...], tool: str) -> Result | None:
    return next((result for result in reversed(results) if result.tool == tool and result.ok), None)
