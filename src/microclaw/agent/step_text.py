"""The texts of a turn's steps: where an intent, a program or an answer comes from. It does nothing itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from microclaw.agent.acts import fields_of
from microclaw.apps.verify import NO_READ_BACK
from microclaw.errors import ModelError
from microclaw.events import Action, Evidence, Step, Usage
from microclaw.models.protocol import ModelReply, ToolCall
from microclaw.operations.tool import ToolResult
from microclaw.text import code_lines, without_fences
from microclaw.validation import read_object

# their stages report themselves
_OWN_STEPS = frozenset({"deploy-wasm-app", "uninstall-wasm-app", "switch-program", "undo", "act-on-boards"})


def model_steps(model: str, reply: ModelReply, took_ms: float) -> tuple[Step, ...]:
    """The steps of a model's reply: the intent and plan, or the model's name and calls."""
    if reply.intent is not None:
        intent = Step("intent", _noted(reply.intent, reply.note))
        return (intent, Step("plan", reply.plan)) if reply.plan else (intent,)
    if reply.calls and reply.code_origin is None and reply.note:
        names = ", ".join(_name(call) for call in reply.calls)
        return (Step("model", _noted(f"{model}: {names}", reply.note), took_ms=took_ms),)
    return ()


def retry_step(error: ModelError, then: str) -> Step:
    """The step that says why the model is asked again, and when."""
    return Step("model", f"{error.message}; {then}", state="running")


def code_step(model: str, reply: ModelReply, call: ToolCall, usage: Usage, attempt: int, tries: int) -> Step | None:
    """The program with numbered lines and who wrote it; None when the call carries none."""
    source = fields_of(call.arguments).get("sourceCode")
    if not isinstance(source, str):
        return None
    lines = code_lines(source.strip("\n"))
    if reply.code_origin is not None:
        text = reply.code_origin
    elif attempt > 1:
        text = _noted(f"mended (try {attempt} of {tries})", f"{model}, {_cost(usage)}")
    else:
        text = _noted(f"{model} wrote {len(lines)} lines", _cost(usage))
    return Step("code", text, detail=tuple(f"{n:>3}  {line}" for n, line in enumerate(lines, start=1)))


def call_step(call: ToolCall, result: ToolResult, took_ms: float) -> Step | None:
    """The step of a tool call; None for a tool that reports its own steps."""
    if call.name in _OWN_STEPS and (result.ok or result.error_code != "tool_retry"):
        return None
    shown = f"{_name(call)}({_arguments(call.arguments)})"
    if result.ok:
        proof = "; ".join(e.text for e in result.evidence)
        return Step("tool", f"{shown}: {proof}" if proof else shown, took_ms=took_ms)
    message = without_fences(json.loads(result.content)["message"])
    return Step("tool", f"{shown}: {message}", state="failed", took_ms=took_ms, next_step=result.next_step)


def repeated_step(call: ToolCall) -> Step:
    """The step of a call that was not run, because the turn has done it already."""
    return Step("tool", f"{_name(call)}({_arguments(call.arguments)}): done already in this turn, not done again")


def unknown_text(call: ToolCall) -> str:
    """The answer when a crash may have cut off a call: its outcome is unknown."""
    shown = f"{_name(call)}({_arguments(call.arguments)})"
    return (
        f"The host stopped while {shown} was running, so its outcome is unknown: it may have been done or not. "
        "I did not do it again. Shall I?"
    )


def proof_note(text: str, evidence: Sequence[Evidence], actions: Sequence[Action]) -> str:
    """The evidence to add to an answer whose actions were only accepted, if the answer lacks it."""
    acted = any(a.outcome == "done" and a.effect != "read" for a in actions)
    if not acted or not evidence or any(e.kind != "accepted" for e in evidence):
        return ""
    unsaid = dict.fromkeys(e.text for e in evidence if not _says(text, e.text))
    return "".join(f"\n{proof[:1].upper()}{proof[1:]}." for proof in unsaid)


def _says(text: str, proof: str) -> bool:
    """True if an answer contains this evidence already, or says that the board has no read-back."""
    return proof.lower() in text.lower() or (proof == NO_READ_BACK and "no read-back" in text)


def _noted(text: str, note: str) -> str:
    return f"{text}   {note}" if note else text


def _cost(usage: Usage) -> str:
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    return tokens if usage.cost_usd is None else f"{tokens}, ${usage.cost_usd:.3f}"


def _name(call: ToolCall) -> str:
    """A tool's name on one line, whatever a model made up."""
    return " ".join(call.name.split())[:60]


def _arguments(arguments: str) -> str:
    """A call's arguments on one short line."""
    try:
        values = read_object(arguments)
    except ValueError:
        return arguments[:60]
    shown = (f"{key}={_short(value)}" for key, value in values.items() if value is not None)
    return ", ".join(shown)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
