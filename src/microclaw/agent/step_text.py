"""The texts of a turn's steps: where an intent, a program or an answer comes from. It does nothing itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

from microclaw.agent.acts import arguments_text, fields_of
from microclaw.apps.verify import NO_READ_BACK
from microclaw.events import Action, Evidence, Step, Usage
from microclaw.models.protocol import ModelReply, ToolCall
from microclaw.operations.tool import ToolResult
from microclaw.text import code_lines, without_fences

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


def code_step(model: str, reply: ModelReply, call: ToolCall, usage: Usage, attempt: int, tries: int) -> Step | None:
    """The program with numbered lines and who wrote it; None when the call carries none."""
    source = fields_of(call.arguments).get("sourceCode")
    if not isinstance(source, str):
        return None
    lines = code_lines(source.strip("\n"))
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    cost = tokens if usage.cost_usd is None else f"{tokens}, ${usage.cost_usd:.3f}"
    if reply.code_origin is not None:
        text = reply.code_origin
    elif attempt > 1:
        text = f"mended (try {attempt} of {tries})   {model}, {cost}"
    else:
        text = f"{model} wrote {len(lines)} lines   {cost}"
    return Step("code", text, detail=tuple(f"{n:>3}  {line}" for n, line in enumerate(lines, start=1)))


def call_step(call: ToolCall, result: ToolResult, took_ms: float) -> Step | None:
    """The step of a tool call; None for a tool that reports its own steps."""
    if call.name in _OWN_STEPS and (result.ok or result.error_code != "tool_retry"):
        return None
    if result.ok:
        proof = "; ".join(evidence.text for evidence in result.evidence)
        return Step("tool", f"{shown_call(call)}: {proof}" if proof else shown_call(call), took_ms=took_ms)
    message = without_fences(json.loads(result.content)["message"])
    text = f"{shown_call(call)}: {message}"
    return Step("tool", text, state="failed", took_ms=took_ms, next_step=result.next_step)


def shown_call(call: ToolCall) -> str:
    """A call on one short line, whatever a model made up."""
    return f"{_name(call)}({arguments_text(call.arguments)})"


def proof_note(text: str, evidence: Sequence[Evidence], actions: Sequence[Action]) -> str:
    """The evidence to add to an answer whose actions were only accepted, if the answer lacks it."""
    acted = any(action.outcome == "done" and action.effect != "read" for action in actions)
    if not acted or any(one.kind != "accepted" for one in evidence):
        return ""
    unsaid = dict.fromkeys(one.text for one in evidence if not _says(text, one.text))
    return "".join(f"\n{proof[:1].upper()}{proof[1:]}." for proof in unsaid)


def _says(text: str, proof: str) -> bool:
    """True if an answer contains this evidence already, or says that the board has no read-back."""
    return proof.lower() in text.lower() or (proof == NO_READ_BACK and "no read-back" in text)


def _noted(text: str, note: str) -> str:
    return f"{text}   {note}" if note else text


def _name(call: ToolCall) -> str:
    return " ".join(call.name.split())[:60]
