"""What the host did and read in a turn, as its answer lists it below the model's words. It does nothing itself."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from microclaw.agent.offer import MORE_TOOLS
from microclaw.agent.toolbox import INTERNAL, short_value
from microclaw.auth.gate import Effect
from microclaw.events import Action, ActOutcome
from microclaw.models.protocol import ToolCall
from microclaw.operations.tool import ToolResult, bounded_json
from microclaw.text import LOOK_ALIKES, clean_text, without_fences
from microclaw.validation import read_object

HEADING: Final = "What the host did:"
NOTHING: Final = f"{HEADING} nothing. It read nothing either."
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


def fields_of(text: str | None) -> dict[str, Any]:
    """The fields of a JSON object that are not null; none for any other text."""
    try:
        values = read_object(text or "{}")
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if value is not None}


def outcome_of(effect: Effect, result: ToolResult) -> ActOutcome:
    """refused: nothing was done; failed: it was tried; unknown: nobody can tell what the device did."""
    if result.ok:
        return "done"
    if result.error_code in _UNKNOWN:
        return "failed" if effect is Effect.READ else "unknown"
    return "failed" if result.error_code in _FAILED else "refused"


def reason_of(result: ToolResult) -> str:
    """Why a call did not succeed, on one line; empty when it did."""
    if result.ok:
        return ""
    if (message := fields_of(result.content).get("message")) is None:
        return result.error_code or ""
    return " ".join(without_fences(str(message)).split())[:300]


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
    """What was read, each thing once, as it was read last."""
    done = [
        one for one in actions if one.effect == Effect.READ.value and one.outcome == "done" and one.tool != MORE_TOOLS
    ]
    return tuple({(one.tool, one.arguments): one for one in done}.values())


def record_of(actions: Sequence[Action]) -> str:
    """The list of acts and reads as lines below HEADING; empty without any."""
    reads = [f"read: {_what(read)}" for read in reads_of(actions)[-_MAX_READS:]]
    lines = [*(f"{act.outcome}: {_what(act)}" for act in acts_of(actions)), *reads]
    return "\n".join((HEADING, *(f"- {line}" for line in lines))) if lines else ""


def with_record(text: str, actions: Sequence[Action]) -> str:
    """The host's own words, and the list of acts where there are any."""
    return "\n\n".join(filter(None, (_without_records(text), record_of(actions))))


def answer_text(text: str, actions: Sequence[Action]) -> str:
    """A model's text and the host's list of acts, which also says that nothing was done: the list is what holds."""
    return f"{_without_records(text)}\n\n{record_of(actions) or NOTHING}"


_NO_ACT: Final = re.compile(rf"\n\n{re.escape(HEADING)}(?: nothing\.[^\n]*|(?:\n- read: [^\n]*)+)\Z")


def own_words(text: str) -> str:
    """An answer without a list in which nothing was done: so a question in it is still its end."""
    return _NO_ACT.sub("", text)


def _what(action: Action) -> str:
    """A call with its proof, or why it is not done, on one line."""
    shown = arguments_text(action.arguments)
    what = f"{action.tool} {shown}" if shown else action.tool
    counted = {edge.pin for proof in action.evidence for edge in proof.edges}
    if pins := sorted(counted - {fields_of(action.arguments).get("pin")}):
        what += f" on pin {', '.join(map(str, pins))}"
    proofs = action.evidence[:_MAX_EVIDENCE]
    notes = [e.text if e.text.startswith(e.kind) else f"{e.kind}: {e.text}" for e in proofs] or [action.reason]
    note = " ".join("; ".join(filter(None, notes)).split())
    return f"{what} ({note})" if note else what


def _subject(action: Action) -> tuple[str, str]:
    """A tool, and the program or pin that the call was about."""
    fields = fields_of(action.arguments)
    return action.tool, str(fields.get("appName", fields.get("pin", "")))


def arguments_text(arguments: str) -> str:
    """A call's arguments on one short line, without those that are shown elsewhere."""
    values = ((key, clean_text(short_value(value), one_line=True)) for key, value in fields_of(arguments).items())
    return ", ".join(f"{key}={value}" for key, value in values if key not in _LONG)


class DoneActs:
    """The acts that a turn has done: a model that asks for one again gets its result, and it is not done again.

    An act counts as the same while nothing came between that may have changed its effect: pin 4 high, low, high are
    three acts; high, high is one.
    """

    def __init__(self) -> None:
        self._done: dict[tuple[str, ...], tuple[str, ToolResult]] = {}  # by what they are about

    def answer_to(self, call: ToolCall) -> ToolResult | None:
        """The answer to a call that was done already; None for every other one."""
        subject, asked = _read(call)
        done, result = self._done.get(subject, ("", None))
        if result is None or done != asked:
            return None
        message = "you did that already in this turn, so it was not done again; `result` is what came of it"
        fields = {"success": result.ok, "repeated": True, "message": message, "result": fields_of(result.content)}
        return ToolResult(bounded_json(fields), ok=True, foreign=result.foreign)

    def returned(self, call: ToolCall, effect: Effect, outcome: ActOutcome, result: ToolResult) -> None:
        """Take note of a call that ran. One that failed may be tried again, unless it may have been done after all."""
        if effect is Effect.READ or outcome not in ("done", "unknown"):
            return
        subject, asked = _read(call)
        if call.name == "undo":
            self._done.clear()
        elif subject[0] == "app":  # it may have set any pin
            self._done = {key: done for key, done in self._done.items() if key[0] != "pin"}
        self._done.pop(subject, None)
        if outcome == "done" or effect is Effect.ONCE:
            self._done[subject] = (asked, result)


def _read(call: ToolCall) -> tuple[tuple[str, ...], str]:
    """The subject of a call, and the call in one written form."""
    given = fields_of(call.arguments)
    asked = f"{call.name} {json.dumps(given, sort_keys=True) if given else call.arguments}"
    for kind, key in (("app", "appName"), ("pin", "pin")):
        if key in given:
            return (kind, str(given.get("device", given.get("deviceIp", ""))), str(given[key])), asked
    return (call.name, asked), asked


def _without_records(text: str) -> str:
    """A model's text in which no line can be taken for the host's own."""
    return "\n".join(
        _MARK.sub(r"\1(the model says) ", line, count=1) if _OWN.match(_plain_text(line)) else line
        for line in text.strip().split("\n")
    )


def _plain_text(text: str) -> str:
    """A text as it looks: without what nobody sees, and with plain letters for those that only look like them."""
    shown = unicodedata.normalize("NFKC", clean_text(text)).translate(LOOK_ALIKES)
    return "".join(char for char in shown if unicodedata.category(char) not in ("Mn", "Me"))


_OWN: Final = re.compile(rf"[^\w]*{re.escape(HEADING[:-1])}", re.IGNORECASE)
_MARK: Final = re.compile(r"^([^\w]*)")
