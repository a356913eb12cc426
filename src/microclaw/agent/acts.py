"""What the host did and read in a turn, as its answer lists it below the model's words. It does nothing itself."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from microclaw.agent.offer import MORE_TOOLS
from microclaw.agent.toolbox import INTERNAL
from microclaw.auth.gate import Effect
from microclaw.events import Action, ActOutcome, Evidence
from microclaw.operations.tool import ToolResult
from microclaw.text import LOOK_ALIKES, clean_text, without_fences
from microclaw.validation import read_object

HEADING: Final = "What the host did:"
NOTHING: Final = f"{HEADING} nothing. It read nothing either."
_UNKNOWN: Final = frozenset(
    {
        "outcome_unknown",
        "device_timeout",
        "device_silent",
        "device_lied",
        "protocol_error",
        "install_interrupted",
        "boards_unknown",
        INTERNAL,
    }
)
_FAILED: Final = frozenset(
    {"tool_failed", "device_error", "device_unreachable", "store_error", "undo_incomplete", "interrupted"}
    | {"boards_failed"}
)
_LONG: Final = frozenset({"sourceCode", "expect", "content"})  # arguments that are shown elsewhere
_MAX_ARGUMENT_CHARS: Final = 40
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
    shown = _arguments(action.arguments)
    what = f"{action.tool} {shown}" if shown else action.tool
    if pins := sorted(
        {pin for proof in action.evidence for pin in _pins(proof)} - {fields_of(action.arguments).get("pin")}
    ):
        what += f" on pin {', '.join(map(str, pins))}"
    notes = [_proof(e.kind, e.text) for e in action.evidence[:_MAX_EVIDENCE]] or [action.reason]
    note = " ".join("; ".join(filter(None, notes)).split())
    return f"{what} ({note})" if note else what


def _pins(proof: Evidence) -> frozenset[int]:
    """The pins whose edges were counted."""
    return frozenset(edge.pin for edge in proof.edges)


def _proof(kind: str, text: str) -> str:
    return text if text.startswith(kind) else f"{kind}: {text}"


def _subject(action: Action) -> tuple[str, str]:
    """A tool, and the program or pin that the call was about."""
    fields = fields_of(action.arguments)
    return action.tool, str(fields.get("appName", fields.get("pin", "")))


def _arguments(arguments: str) -> str:
    values = ((key, _short(value)) for key, value in fields_of(arguments).items())
    return ", ".join(f"{key}={value}" for key, value in values if key not in _LONG)


def _short(value: Any) -> str:
    text = clean_text(" ".join((value if isinstance(value, str) else json.dumps(value)).split()), one_line=True)
    return text if len(text) <= _MAX_ARGUMENT_CHARS else f"{text[: _MAX_ARGUMENT_CHARS - 3]}..."


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
