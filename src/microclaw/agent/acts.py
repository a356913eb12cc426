"""The acts and reads of a turn: its steps, and the list below the model's words. It does nothing itself."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from microclaw.agent.offer import MORE_TOOLS
from microclaw.agent.toolbox import INTERNAL, short_value
from microclaw.apps.verify import NO_READ_BACK
from microclaw.auth.gate import Effect
from microclaw.events import Action, ActOutcome, Evidence, Step, Usage
from microclaw.models.protocol import ModelReply, ToolCall
from microclaw.operations.tool import ToolResult, bounded_json
from microclaw.text import LOOK_ALIKES, clean_text, code_lines, without_fences
from microclaw.validation import read_object

DEPLOY_TOOL: Final = "deploy-wasm-app"
TRY_TOOL: Final = "try-program"
MAX_NOTED_CHARS: Final = 4_000  # of a source in the notes of a turn
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
_LONG: Final = frozenset({"sourceCode", "expect", "content"})  # arguments that are shown elsewhere
_MAX_EVIDENCE: Final = 3
_MAX_READS: Final = 8  # in a text, the newest
# their stages report themselves
_OWN_STEPS: Final = frozenset({DEPLOY_TOOL, "uninstall-wasm-app", "switch-program", "undo", "act-on-boards"})


def fields_of(text: str | None) -> dict[str, Any]:
    """The fields of a JSON object that are not null; none for any other text."""
    try:
        values = read_object(text or "{}")
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if value is not None}


def action_of(call: ToolCall, effect: Effect, result: ToolResult) -> Action:
    """A call that ran, what came of it, and on one line why it did not succeed."""
    outcome: ActOutcome = "done" if result.ok else "refused"
    reason = ""
    code = result.error_code
    fields = fields_of(result.content)
    if not result.ok:
        if code in _UNKNOWN:
            outcome = "failed" if effect is Effect.READ else "unknown"
        elif code in _FAILED:
            outcome = "failed"
        message = fields.get("message", code or "")
        reason = " ".join(without_fences(str(message)).split())[:300]
    changes = () if effect is Effect.READ else _changes_of(fields)
    return Action(call.name, call.arguments, effect.value, outcome, result.evidence, reason, changes)


def notes_of(actions: Sequence[Action]) -> str | None:
    """Return what a model needs of these acts in the next turns of the chat: the numbers of the changes and the last
    program, which is on the board or was refused. None if there is neither."""
    numbers = [str(number) for action in actions for number in action.changes]
    programs = [action for action in actions if action.tool in (DEPLOY_TOOL, TRY_TOOL)]
    notes = ""
    if numbers:
        notes = f"Changes made: {', '.join(numbers)}. "
    if programs:
        notes += _program_note(programs[-1])
    return notes or None


def acts_of(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions that were to change something, without tries that a later one of the same kind made good."""
    acts = [action for action in actions if action.effect != Effect.READ.value]
    good = {_subject(action): index for index, action in enumerate(acts) if action.outcome == "done"}
    return tuple(
        action
        for index, action in enumerate(acts)
        if action.outcome in ("done", "unknown") or good.get(_subject(action), -1) < index
    )


def reads_of(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The reads, each thing once, as it was read last."""
    reads = [one for one in actions if (one.effect, one.outcome) == (Effect.READ, "done") and one.tool != MORE_TOOLS]
    return tuple({(one.tool, one.arguments): one for one in reads}.values())


def record_of(actions: Sequence[Action]) -> str:
    """The list of acts and reads as lines below HEADING; empty without any."""
    reads = [f"read: {_what(read)}" for read in reads_of(actions)[-_MAX_READS:]]
    lines = [*(f"{act.outcome}: {_what(act)}" for act in acts_of(actions)), *reads]
    if lines:
        return "\n".join((HEADING, *(f"- {line}" for line in lines)))
    return ""


def with_record(text: str, actions: Sequence[Action], empty: str = "") -> str:
    """A text and the host's list of acts, or `empty`: below a model's words NOTHING, as the list is what holds. No line
    of the text passes for the host's, also none that only looks so, by letters that nobody sees or that are like plain
    ones."""
    lines = text.strip().split("\n")
    for index, line in enumerate(lines):
        shown = unicodedata.normalize("NFKC", clean_text(line)).translate(LOOK_ALIKES)
        if _OWN.match("".join([char for char in shown if unicodedata.category(char) not in ("Mn", "Me")])):
            lines[index] = _MARK.sub(r"\1(the model says) ", line, count=1)
    return "\n\n".join(filter(None, ("\n".join(lines), record_of(actions) or empty)))


def own_words(text: str) -> str:
    """An answer without a list in which nothing was done: so a question in it is still its end."""
    return _NO_ACT.sub("", text)


def arguments_text(arguments: str) -> str:
    """A call's arguments on one short line, without those that are shown elsewhere."""
    given = fields_of(arguments).items()
    return clean_text(", ".join([f"{k}={short_value(v)}" for k, v in given if k not in _LONG]), one_line=True)


def repeated(call: ToolCall, actions: Sequence[Action], results: Sequence[ToolResult]) -> str | None:
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
        message = "you did that already in this turn, so it was not done again; `result` is what came of it"
        content = fields_of(result.content)
        return bounded_json({"success": result.ok, "repeated": True, "message": message, "result": content})
    return None


def model_step(model: str, reply: ModelReply, took_ms: float) -> Step | None:
    """The step of a model's reply: its intent, or the model's name and calls."""
    if reply.note:
        note = f"   {reply.note}"
    else:
        note = ""
    if reply.intent is not None:
        return Step("intent", reply.intent + note)
    if reply.calls and reply.code_origin is None and note:
        names = ", ".join(clean_text(call.name, one_line=True, limit=60) for call in reply.calls)
        return Step("model", f"{model}: {names}{note}", took_ms=took_ms)
    return None


def code_step(model: str, reply: ModelReply, call: ToolCall, usage: Usage, attempt: int, tries: int) -> Step | None:
    """The program with numbered lines and who wrote it; None when the call carries none."""
    source = fields_of(call.arguments).get("sourceCode")
    if not isinstance(source, str):
        return None
    lines = code_lines(source.strip("\n"))
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    if usage.cost_usd is None:
        cost = tokens
    else:
        cost = f"{tokens}, ${usage.cost_usd:.3f}"
    if reply.code_origin is not None:
        text = reply.code_origin
    elif attempt > 1:
        text = f"mended (try {attempt} of {tries})   {model}, {cost}"
    else:
        text = f"{model} wrote {len(lines)} lines   {cost}"
    return Step("code", text, detail=tuple(f"{n:>3}  {line}" for n, line in enumerate(lines, start=1)))


def draft_step(call: ToolCall) -> str:
    """Return how a person opens the program of a call that did not deploy it."""
    return f"its source is kept: microclaw app draft {fields_of(call.arguments).get('appName', '')}"


def call_step(call: ToolCall, result: ToolResult, took_ms: float) -> Step | None:
    """The step of a tool call; None for a tool that reports its own steps."""
    if call.name in _OWN_STEPS and (result.ok or result.error_code != "tool_retry"):
        return None
    if result.ok:
        said = "; ".join(map(attrgetter("text"), result.evidence))
    else:
        said = without_fences(json.loads(result.content)["message"])
    if said:
        text = f"{shown_call(call)}: {said}"
    else:
        text = shown_call(call)
    return Step("tool", text, "done" if result.ok else "failed", took_ms=took_ms, next_step=result.person_step)


def shown_call(call: ToolCall) -> str:
    """A call on one short line, whatever a model made up."""
    return f"{' '.join(call.name.split())[:60]}({arguments_text(call.arguments)})"


def proof_note(text: str, evidence: Sequence[Evidence], actions: Sequence[Action]) -> str:
    """The evidence to add to an answer whose actions were only accepted, if the answer lacks it."""
    if any(one.kind != "accepted" for one in evidence) or all(act.outcome != "done" for act in acts_of(actions)):
        return ""
    is_said = "no read-back" in text
    unsaid = [one.text for one in evidence if one.text.lower() not in text.lower()]
    unsaid = [proof for proof in dict.fromkeys(unsaid) if not (is_said and proof == NO_READ_BACK)]
    return "".join(f"\n{proof[:1].upper()}{proof[1:]}." for proof in unsaid)


def _what(action: Action) -> str:
    """Return a call with its proof, or with the reason why it is not done, on one line."""
    arguments = arguments_text(action.arguments)
    if arguments:
        text = f"{action.tool} {arguments}"
    else:
        text = action.tool
    # A model wrote the pin, so it may be a value of any type.
    named_pin = fields_of(action.arguments).get("pin")
    counted_pins = {edge.pin for proof in action.evidence for edge in proof.edges}
    other_pins = sorted(pin for pin in counted_pins if pin != named_pin)
    if other_pins:
        text += f" on pin {', '.join(map(str, other_pins))}"
    note = _note(action)
    if note:
        return f"{text} ({note})"
    return text


def _note(action: Action) -> str:
    """Return the proofs of an act, or the reason why it is not done, on one line."""
    notes = []
    for proof in action.evidence[:_MAX_EVIDENCE]:
        has_kind = proof.text.startswith(proof.kind)
        notes.append(proof.text if has_kind else f"{proof.kind}: {proof.text}")
    if not notes:
        notes.append(action.reason)
    return " ".join("; ".join(filter(None, notes)).split())


def _changes_of(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the changes in a result."""
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
    """Return a tool, the device, the program or pin that the call was about, and what was expected of it.

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
