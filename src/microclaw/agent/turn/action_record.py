"""The record of a turn: its steps, and the list of acts and reads below the model's words. It runs nothing."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal

from microclaw.agent.models.protocol import ImageInput, ModelReply, ToolCall, ToolReturn
from microclaw.agent.turn.tool_selection import MORE_TOOLS
from microclaw.agent.turn.toolbox import INTERNAL, short_value
from microclaw.events import Action, ActOutcome, Evidence, ScreenPicture, Step, Usage
from microclaw.hardware.screens.picture import PNG
from microclaw.host.operations.operation import Effect
from microclaw.host.operations.tool import ToolResult, bounded_json
from microclaw.host.operations.validation import read_object
from microclaw.programs.proof.verify import NO_READ_BACK
from microclaw.text import LOOK_ALIKES, clean_text, code_lines, without_fences

DEPLOY_TOOL: Final = "deploy-wasm-app"
TRY_TOOL: Final = "try-program"
# Of a source in the notes of a turn.
MAX_NOTED_CHARS: Final = 4_000
HEADING: Final = "What the host did:"
NOTHING: Final = f"{HEADING} nothing. It read nothing either."
_NO_ACT: Final = re.compile(rf"\n\n{re.escape(HEADING)}(?: nothing\.[^\n]*|(?:\n- read: [^\n]*)+)\Z")
_OWN: Final = re.compile(rf"[^\w]*{re.escape(HEADING[:-1])}", re.IGNORECASE)
_MARK: Final = re.compile(r"^([^\w]*)")
_UNKNOWN: Final = frozenset(
    {"outcome_unknown", "device_timeout", "device_silent", "device_lied"}
    | {"protocol_error", "install_interrupted", "boards_unknown", INTERNAL}
)
_FAILED: Final = frozenset(
    {"tool_failed", "device_error", "device_unreachable", "store_error"}
    | {"undo_incomplete", "interrupted", "boards_failed"}
)
# Arguments that are shown elsewhere.
_LONG: Final = frozenset({"sourceCode", "expect", "content"})
_MAX_EVIDENCE: Final = 3
# A text lists the newest reads.
_MAX_READS: Final = 8
# The stages of these tools report themselves, so their calls need no step.
_OWN_STEPS: Final = frozenset({DEPLOY_TOOL, "uninstall-wasm-app", "switch-program", "undo", "act-on-boards"})


def fields_of(text: str | None) -> dict[str, Any]:
    """Return the fields of a JSON object that are not null; an empty dict for any other text."""
    try:
        values = read_object(text or "{}")
    except ValueError:
        return {}
    fields = {}
    for key, value in values.items():
        if value is not None:
            fields[key] = value
    return fields


def action_of(call: ToolCall, effect: Effect, result: ToolResult) -> Action:
    """Build the record of a call that ran: its outcome, and the reason on one line if it did not succeed."""
    reason = ""
    fields = fields_of(result.content)
    if not result.ok:
        message = fields.get("message", result.error_code or "")
        reason = " ".join(without_fences(str(message)).split())[:300]
    changes: tuple[int, ...] = ()
    if effect is not Effect.READ:
        changes = _changes_of(fields)
    outcome = _outcome_of(effect, result)
    return Action(call.name, call.arguments, effect.value, outcome, result.evidence, reason, changes)


def message_of(call: ToolCall, result: ToolResult) -> ToolReturn:
    """Return the result of a call as the model gets it, with the pictures of displays."""
    images = tuple(ImageInput(PNG, picture.png) for picture in result.screens)
    return ToolReturn(call.call_id, call.name, result.content, failed=not result.ok, images=images)


def newest_screens(results: Sequence[ToolResult]) -> tuple[ScreenPicture, ...]:
    """Return the pictures of the newest result with any, also of a failed one: what is wrong there is to be seen."""
    for result in reversed(results):
        if result.screens:
            return result.screens
    return ()


def notes_of(actions: Sequence[Action]) -> str | None:
    """Return the notes about these acts that a model needs in the next turns of the chat, or None if there are none.

    They are the numbers of the changes and the last program, which is on the board or was refused.
    """
    numbers: list[str] = []
    for action in actions:
        numbers += map(str, action.changes)
    notes = ""
    if numbers:
        notes = f"Changes made: {', '.join(numbers)}. "
    for action in reversed(actions):
        if action.tool in (DEPLOY_TOOL, TRY_TOOL):
            notes += _program_note(action)
            break
    return notes or None


def acts_of(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Return the actions that change something, without failed tries after which a later try of the same succeeded."""
    acts = [action for action in actions if action.effect != Effect.READ.value]
    last_success: dict[tuple[str, ...], int] = {}
    for index, action in enumerate(acts):
        if action.outcome == "done":
            last_success[_subject(action)] = index
    shown_acts = []
    for index, action in enumerate(acts):
        may_be_done = action.outcome in ("done", "unknown")
        if may_be_done or last_success.get(_subject(action), -1) < index:
            shown_acts.append(action)
    return tuple(shown_acts)


def reads_of(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Return the successful reads; of equal calls only the last."""
    reads: dict[tuple[str, str], Action] = {}
    for action in actions:
        is_read = action.effect == Effect.READ and action.outcome == "done"
        if is_read and action.tool != MORE_TOOLS:
            reads[action.tool, action.arguments] = action
    return tuple(reads.values())


def record_of(actions: Sequence[Action]) -> str:
    """Return the acts, then the newest reads, as lines below HEADING; an empty text if there are none."""
    lines = [HEADING]
    for act in acts_of(actions):
        lines.append(f"- {act.outcome}: {_describe(act)}")
    for read in reads_of(actions)[-_MAX_READS:]:
        lines.append(f"- read: {_describe(read)}")
    if len(lines) == 1:
        return ""
    return "\n".join(lines)


def with_record(text: str, actions: Sequence[Action], empty: str = "") -> str:
    """Return a text and below it the host's list of acts, or `empty` if nothing was done or read.

    Below a model's words `empty` is NOTHING, so that the list counts, not the words. A line of the text that looks like
    the host's heading is marked as the model's, even if it is written with invisible letters or with look-alikes.
    """
    lines = text.strip().split("\n")
    for index, line in enumerate(lines):
        if _looks_like_heading(line):
            lines[index] = _MARK.sub(r"\1(the model says) ", line, count=1)
    parts = ("\n".join(lines), record_of(actions) or empty)
    return "\n\n".join(filter(None, parts))


def without_empty_record(text: str) -> str:
    """Return an answer without a list that has no act, so that a question in the answer is at its end."""
    return _NO_ACT.sub("", text)


def arguments_text(arguments: str) -> str:
    """Return a call's arguments on one short line, without arguments that are shown elsewhere."""
    parts = []
    for name, value in fields_of(arguments).items():
        if name not in _LONG:
            parts.append(f"{name}={short_value(value)}")
    return clean_text(", ".join(parts), one_line=True)


def repetition_answer(call: ToolCall, actions: Sequence[Action], results: Sequence[ToolResult]) -> str | None:
    """Return the answer to a call that repeats the act directly before it, or None for any other call.

    Reads and refused calls changed nothing, so they do not count: pin 4 high, low, high are three acts; high, high is
    one. A failed act may be tried again, unless it may have been done after all and may be done only once.
    """
    for action, result in zip(reversed(actions), reversed(results), strict=True):
        if action.effect == Effect.READ or action.outcome == "refused":
            continue
        may_be_done = action.outcome == "done" or (action.outcome == "unknown" and action.effect == Effect.ONCE)
        if not may_be_done or not _is_same_call(call, action, result):
            return None
        message = "you did that already in this turn, so it was not done again; `result` is its result"
        content = fields_of(result.content)
        return bounded_json({"success": result.ok, "repeated": True, "message": message, "result": content})
    return None


def model_step(model: str, reply: ModelReply, took_ms: float) -> Step | None:
    """Return the step of a model's reply: its intent, or the model's name and calls; None if it has neither."""
    note = ""
    if reply.note:
        note = f"   {reply.note}"
    if reply.intent is not None:
        return Step("intent", reply.intent + note)
    if reply.calls and reply.code_origin is None and note:
        names = ", ".join(clean_text(call.name, one_line=True, limit=60) for call in reply.calls)
        return Step("model", f"{model}: {names}{note}", took_ms=took_ms)
    return None


def code_step(model: str, reply: ModelReply, call: ToolCall, usage: Usage, *, attempt: int, tries: int) -> Step | None:
    """Return the step of a call's program, with its author and numbered lines; None if the call has no program."""
    source = fields_of(call.arguments).get("sourceCode")
    if not isinstance(source, str):
        return None
    lines = code_lines(source.strip("\n"))
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    cost = tokens
    if usage.cost_usd is not None:
        cost = f"{tokens}, ${usage.cost_usd:.3f}"
    if reply.code_origin is not None:
        text = reply.code_origin
    elif attempt > 1:
        text = f"mended (try {attempt} of {tries})   {model}, {cost}"
    else:
        text = f"{model} wrote {len(lines)} lines   {cost}"
    numbered_lines = [f"{number:>3}  {line}" for number, line in enumerate(lines, start=1)]
    return Step("code", text, detail=tuple(numbered_lines))


def draft_step(call: ToolCall) -> str:
    """Return the command that shows the program of a call that did not deploy it."""
    return f"its source is kept: microclaw app draft {fields_of(call.arguments).get('appName', '')}"


def call_step(call: ToolCall, result: ToolResult, took_ms: float) -> Step | None:
    """Return the step of a tool call, or None for a tool that reports its own steps."""
    if call.name in _OWN_STEPS and (result.ok or result.error_code != "tool_retry"):
        return None
    state: Literal["done", "failed"] = "done"
    if result.ok:
        message = "; ".join(map(attrgetter("text"), result.evidence))
    else:
        state = "failed"
        message = without_fences(json.loads(result.content)["message"])
    text = shown_call(call)
    if message:
        text = f"{text}: {message}"
    return Step("tool", text, state, took_ms=took_ms, next_step=result.person_step)


def shown_call(call: ToolCall) -> str:
    """Return a call on one short line, even if a model invented its name."""
    name = " ".join(call.name.split())[:60]
    return f"{name}({arguments_text(call.arguments)})"


def asks_back(reply: ModelReply, actions: Sequence[Action]) -> bool:
    """Return True if a model asks the person something after a refused act: that is an answer, not a failure."""
    if reply.from_results or not reply.text.rstrip().endswith(("?", "？")):
        return False
    for action in reversed(actions):
        if action.effect != Effect.READ:
            return action.outcome == "refused"
    return False


def proof_note(text: str, evidence: Sequence[Evidence], actions: Sequence[Action]) -> str:
    """Return the evidence that an answer lacks if its actions were only accepted, not verified."""
    is_verified = any(proof.kind != "accepted" for proof in evidence)
    if is_verified or all(act.outcome != "done" for act in acts_of(actions)):
        return ""
    sentences: dict[str, str] = {}
    for proof in evidence:
        is_in_text = proof.text.lower() in text.lower()
        if proof.text == NO_READ_BACK and "no read-back" in text:
            is_in_text = True
        if not is_in_text:
            sentences[proof.text] = f"\n{proof.text[:1].upper()}{proof.text[1:]}."
    return "".join(sentences.values())


def _outcome_of(effect: Effect, result: ToolResult) -> ActOutcome:
    if result.ok:
        return "done"
    if result.error_code in _UNKNOWN:
        return "failed" if effect is Effect.READ else "unknown"
    if result.error_code in _FAILED:
        return "failed"
    return "refused"


def _looks_like_heading(line: str) -> bool:
    """Return True if a reader would take a model's line for the host's heading."""
    shown = unicodedata.normalize("NFKC", clean_text(line)).translate(LOOK_ALIKES)
    letters = "".join(char for char in shown if unicodedata.category(char) not in ("Mn", "Me"))
    return _OWN.match(letters) is not None


def _describe(action: Action) -> str:
    """Return a call with its proof, or with the reason why it is not done, on one line."""
    arguments = arguments_text(action.arguments)
    text = action.tool
    if arguments:
        text = f"{action.tool} {arguments}"
    # A model wrote the pin, so it may be a value of any type.
    named_pin = fields_of(action.arguments).get("pin")
    other_pins: set[int] = set()
    for proof in action.evidence:
        for edge in proof.edges:
            if edge.pin != named_pin:
                other_pins.add(edge.pin)
    if other_pins:
        text += f" on pin {', '.join(map(str, sorted(other_pins)))}"
    note = _note(action)
    if note:
        return f"{text} ({note})"
    return text


def _note(action: Action) -> str:
    """Return the proofs of an act, or the reason why it is not done, on one line."""
    notes = []
    for proof in action.evidence[:_MAX_EVIDENCE]:
        note = proof.text
        if not note.startswith(proof.kind):
            note = f"{proof.kind}: {note}"
        notes.append(note)
    if not notes:
        notes.append(action.reason)
    return " ".join("; ".join(filter(None, notes)).split())


def _changes_of(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the changes in a result; none if all was so before."""
    if fields.get("as_before"):
        return ()
    changes = fields.get("changes")
    if not changes:
        changes = [fields.get("change")]
    return tuple(number for number in changes if isinstance(number, int))


def _program_note(action: Action) -> str:
    """Return a line about a program, then its source and expectations unless the source is too long."""
    fields = fields_of(action.arguments)
    name = str(fields.get("appName", "a trial"))
    source = str(fields.get("sourceCode", ""))
    if "device" in fields:
        name += f" on {fields['device']}"
    state: str = action.outcome
    if action.reason:
        state += f", {action.reason}"
    note = f"The last program: {name} ({action.tool}: {state})."
    if len(source) > MAX_NOTED_CHARS:
        return f"{note} Its source is too long to stand here."
    note += f"\n{source}"
    if "expect" in fields:
        note += f"\nexpect:\n{fields['expect']}"
    return note


def _subject(action: Action) -> tuple[str, ...]:
    """Return a key of a call: its tool, device, program, pin and expectations.

    A program that met other expectations did not make the first ones good.
    """
    fields = fields_of(action.arguments)
    names = ("device", "appName", "pin", "expect")
    return (action.tool, *[str(fields.get(name, "")) for name in names])


def _is_same_call(call: ToolCall, action: Action, result: ToolResult) -> bool:
    """Return True if the call would do the act again on its device, whether or not the act's call named that device."""
    if call.name != action.tool:
        return False
    if call.arguments == action.arguments:
        return True
    new = fields_of(call.arguments)
    old = fields_of(action.arguments)
    if "device" not in old and "device" in new:
        old["device"] = fields_of(result.content).get("device")
    return bool(new) and new == old
