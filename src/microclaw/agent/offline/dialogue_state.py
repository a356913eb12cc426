"""The state of a conversation: the open question, the last act, and the acts that undo can revert.

It is stored with the answer as JSON, so that it survives a restart of the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.models.protocol import AssistantReply, Message
from microclaw.agent.offline.decision import Context, Parse, Say, Slot, ToolFields, plain_line
from microclaw.agent.offline.programs import PROGRAMS
from microclaw.agent.offline.ready_programs import INSTALL
from microclaw.conversion import decode_json

PROGRAMS_ON_PINS: Final = frozenset(PROGRAMS) - {"read_sensor_every", INSTALL}
PINS_ALONE: Final = frozenset({"set_pin", "toggle_pin", "read_pin", "read_adc"})
_BOARD_TOOLS: Final = {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo"}
"""Tools that change boards; the change log has what they did."""
_CHANGING_TOOLS: Final = _BOARD_TOOLS | {"schedule-add", "schedule-remove", "remember", "forget", "press", "set-sensor"}
_ABOUT_OTHERS: Final = frozenset({"list_apps", "app_status", "pin_facts"})
_MAX_UNDOABLE: Final = 32
_FOLLOWED_UP: Final = PINS_ALONE | {*PROGRAMS, "rule", "dim_pin", "read_sensor", "remove_app", "schedule"}


class Question(Struct, frozen=True):
    """The question of the last answer, for a slot of the parse of `said`. It is stored with that answer.

    `device` is None if the sentence named none. `reading` is the sentence that a yes stands for.
    """

    slot: Slot
    parse: Parse
    said: str
    device: str | None = None
    reading: str = ""


class LastAct(Struct, frozen=True):
    """The last act that was done or tried: its kind, pins and numbers (`parse`), and its device.

    `done`: a tool carried it out; otherwise it was refused or led to a question. `changes` are the numbers of its
    changes in the change log, oldest first. `app` is its program; `replaced`: there was another program of that name
    before; `stopped`: it was removed again.
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
        """Whether its program is still on the device."""
        return self.app is not None and not self.stopped

    @property
    def named(self) -> str:
        """The act in the user's words, quoted."""
        words = self.said.strip().rstrip(".!?")
        return f'"{words}"'

    @property
    def target(self) -> str:
        """Its pins or its LED in words that a template reads; "it" if it has none."""
        if self.parse.pins:
            return " and ".join(f"pin {pin}" for pin in self.parse.pins)
        if self.parse.word("thing") == "led":
            return "the led"
        return "it"


Undoable: TypeAlias = tuple[Parse | None, ...]
"""The sentences that revert the acts so far, newest last.

None stands for a change in the change log. The others revert an act that is not in it (a schedule, a line of memory).
"""


class DialogueState(Struct, frozen=True):
    """The open question, the last act, and all acts that undo reverts in turn.

    `suggested` are sentences that the user may choose by number. `told_of_models`: the answer to a sentence that was
    not understood has said how to add a model. `tried` is the act of the last sentence, if it was not done: "it" still
    means `act`, and "no, pin 5" means the one that was tried. `board` is the name of the board that the chat is about.
    `part` is what was read of the last wish, with a hole for more words (decision.WORDS).
    """

    question: Question | None = None
    act: LastAct | None = None
    undoable: Undoable = ()
    suggested: tuple[str, ...] = ()
    told_of_models: bool = False
    tried: LastAct | None = None
    board: str | None = None
    part: str = ""

    @property
    def has_question(self) -> bool:
        return self.question is not None or bool(self.suggested or self.part)


def state_after(message: Message | None) -> DialogueState:
    """Load the state that an answer stored; an empty one for other messages and for other versions' formats."""
    if not isinstance(message, AssistantReply) or message.question is None:
        return DialogueState()
    try:
        state = decode_json(message.question, DialogueState)
    except msgspec.MsgspecError:
        return DialogueState()
    if message.question_expired:
        return DialogueState(undoable=state.undoable, told_of_models=state.told_of_models, board=state.board)
    return state


def act_after(context: Context | None, answer: Say, before: LastAct | None) -> LastAct | None:
    """Return the last act after an answer, or None if "it" could mean something else by now.

    A sentence that was not understood, or only led to a question, leaves it as it is.
    """
    if context is None:
        return before
    fields_by_tool = _successful(context.results)
    deployed = fields_by_tool.get("deploy-wasm-app")
    is_done = answer.code is None or (answer.code == "not_verified" and deployed is not None)
    has_changed = fields_by_tool.keys() & (_BOARD_TOOLS | {"schedule-add", "schedule-remove"})
    if has_changed and not is_done:
        # Only a part of it was done, so neither "again" nor "no" has a clear meaning.
        return None
    if _keeps_last_act(context, before):
        return before
    if is_done and not context.results:
        return before
    if context.parse.kind not in _FOLLOWED_UP:
        # After a change of something else, or an answer about other pins or programs, "it" is not clear.
        is_unclear = fields_by_tool.keys() & _CHANGING_TOOLS or context.parse.kind in _ABOUT_OTHERS
        return None if is_unclear else before
    act = LastAct(
        replace(context.parse, confirmed=False, undoes=(), replaces=None, removes=None),
        context.sentence,
        _device_name(context),
        is_done,
        _change_numbers(context.results),
    )
    if context.parse.kind == "remove_app":
        removed = fields_by_tool.get("switch-program", fields_by_tool.get("uninstall-wasm-app", {}))
        return _removed_act(act, removed.get("appName"), before)
    if deployed is not None:
        replaced = bool(deployed.get("replaced"))
        if before is not None and context.parse.replaces is not None and before.app == context.parse.replaces:
            replaced = before.replaced
        return replace(act, app=str(deployed.get("appName")), replaced=replaced)
    return replace(act, schedule=fields_by_tool.get("schedule-add", {}).get("schedule"))


def _successful(results: Sequence[ToolFields]) -> dict[str, Mapping[str, Any]]:
    """Return the fields of the last successful result of each tool."""
    return {result.tool: result.fields for result in results if result.ok}


def _keeps_last_act(context: Context, before: LastAct | None) -> bool:
    """Return True if the sentence left the last act as it was: it asked for its state, for help, or was asked back."""
    if context.parse.kind == "help":
        return True
    if context.parse.kind == "app_status" and before is not None and before.app == context.parse.word("app"):
        return True
    return "asks" in context.parse.values and not context.results


def _device_name(context: Context) -> str | None:
    if context.results:
        return context.results[-1].fields.get("device")
    if context.device is not None:
        return context.device.name
    return None


def _change_numbers(results: Sequence[ToolFields]) -> tuple[int, ...]:
    """Return the numbers in the change log of what the results changed, except of undos."""
    numbers = list[int]()
    for result in results:
        number = result.fields.get("change")
        if result.tool != "undo" and isinstance(number, int):
            numbers.append(number)
    return tuple(numbers)


def _removed_act(act: LastAct, app: str | None, before: LastAct | None) -> LastAct:
    """Return the act whose program was removed: the one before, or the removal itself for another program."""
    own_act = act
    if app is not None and before is not None and before.app == app:
        own_act = before
    return replace(own_act, app=app, stopped=True, changes=act.changes)


def undoable_after(context: Context | None, results: Sequence[ToolFields], before: Undoable) -> Undoable:
    """Return the acts that undo can revert after an answer, without the act that "undo" has just reverted."""
    has_failed = any(not result.ok and "removed" not in result.fields for result in results)
    is_undo = context is not None and bool(context.parse.values.get("undo")) and not context.parse.confirmed
    if is_undo and not has_failed:
        return before[:-1]
    changed_tools = _changed_tools(results)
    if "undo" in changed_tools:
        has_reverted_last = changed_tools == {"undo"} and before[-1:] == (None,)
        if has_reverted_last:
            return before[:-1]
        return before
    if changed_tools:
        return _append(before, None)
    fields_by_tool = _successful(results)
    numbers = _added_schedules(results)
    if len(numbers) == 1:
        return _append(before, Parse("cancel_schedule", {"number": numbers[0]}))
    if numbers:
        return _append(before, Parse("cancel_schedule", {"numbers": " ".join(map(str, numbers))}))
    remembered = fields_by_tool.get("remember", {})
    if remembered.get("new"):
        return _append(before, Parse("forget", {"text": plain_line(remembered.get("line"))}))
    if fields_by_tool.keys() & {"forget", "schedule-remove", "press", "set-sensor"}:
        # Nothing reverts these, and the change before them may not be what the user means.
        question = "Undo does not take that back. Undo the last change of a board instead?"
        return _append(before, Parse("undo", {"asks": question}))
    return before


def _added_schedules(results: Sequence[ToolFields]) -> list[int]:
    """Return the numbers of the schedules that these results added and left."""
    numbers = list[int]()
    for result in results:
        if result.ok and result.tool == "schedule-add":
            numbers.append(result.fields["schedule"])
    removed = [result.fields.get("removed") for result in results if result.tool == "schedule-remove"]
    return [number for number in numbers if number not in removed]


def _append(undoable: Undoable, reverting: Parse | None) -> Undoable:
    return (*undoable, reverting)[-_MAX_UNDOABLE:]


def _changed_tools(results: Sequence[ToolFields]) -> set[str]:
    """Return the tools that changed a board. A restart of a program is not a change that undo reverts."""
    tools = set()
    for result in results:
        is_change = result.ok and result.tool in _BOARD_TOOLS and result.fields.get("change")
        if is_change and result.fields.get("switch") != "restart":
            tools.add(result.tool)
    return tools
