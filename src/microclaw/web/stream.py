"""What the host streams to a channel, one JSON object a line, both ways. No IO, no framework: the CLI reads it too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar, assert_never, get_args

from microclaw.errors import MicroclawError, ProtocolError
from microclaw.events import (
    Action,
    Answer,
    ApprovalAsked,
    ApprovalSettled,
    Delta,
    Edge,
    Evidence,
    EvidenceKind,
    Stage,
    Step,
    ToolRun,
    TurnEvent,
    Usage,
)

JsonObject: TypeAlias = dict[str, Any]
_Word = TypeVar("_Word", bound=str)
_TOOL_STATES: Final[tuple[Literal["started", "done", "failed"], ...]] = ("started", "done", "failed")
_OUTCOMES: Final[tuple[Literal["approved", "declined", "expired"], ...]] = ("approved", "declined", "expired")

REQUEST_HEADER: Final = "Microclaw-Request"
"""A request's own number (16 to 32 hexadecimal digits), by which its caller finds the question that it waits for."""

MAX_LINE_BYTES = 4 << 20
MAX_SHOWN_ARGUMENTS = 8 << 10  # of a tool call in an answer: a turn has at most 80 of them


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a stream that is not a conversation: what was made."""

    value: JsonObject


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a stream that failed: errors.py's code, and each diagnostic as `Diagnostic.to_json` has it."""

    code: str
    message: str
    next_step: str | None = None
    diagnostics: tuple[JsonObject, ...] = ()
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Nothing happened, and the host is still there."""


StreamEvent: TypeAlias = TurnEvent | Result | Failure | Keepalive


def encode_event(event: StreamEvent) -> bytes:
    """One line with its newline; a lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
    line = json.dumps(event_object(event), ensure_ascii=False, separators=(",", ":"))
    return line.encode(errors="replace") + b"\n"


def event_object(event: StreamEvent) -> JsonObject:
    match event:
        case Step():
            return {"type": "step", **step_object(event)}
        case Delta(text):
            return {"type": "delta", "text": text}
        case ToolRun(name, state):
            return {"type": "tool", "name": name, "state": state}
        case ApprovalAsked():
            return {
                "type": "approval",
                "approval_id": event.approval_id,
                "text": event.text,
                "detail": list(event.detail),
                "expires_s": event.expires_s,
            }
        case ApprovalSettled(approval_id, outcome):
            return {"type": "approval_settled", "approval_id": approval_id, "outcome": outcome}
        case Answer():
            return {"type": "answer", **answer_object(event)}
        case Result(value):
            return {"type": "result", "result": value}
        case Failure():
            return {"type": "error", "error": failure_object(event)}
        case Keepalive():
            return {"type": "keepalive"}
        case _:
            assert_never(event)


def step_object(step: Step) -> JsonObject:
    return {
        "stage": step.stage,
        "text": step.text,
        "state": step.state,
        "detail": list(step.detail),
        "took_ms": step.took_ms,
        "next": step.next_step,
    }


def evidence_object(evidence: Evidence) -> JsonObject:
    return {
        "kind": evidence.kind,
        "text": evidence.text,
        "edges": [[e.t_ms, e.pin, e.level] for e in evidence.edges],
    }


def answer_object(answer: Answer) -> JsonObject:
    return {
        "text": answer.text,
        "actions": [
            {"tool": a.tool[:80], "args": _shown(a.arguments), "effect": a.effect, "ok": a.ok} for a in answer.actions
        ],
        "evidence": [evidence_object(e) for e in answer.evidence],
        "usage": {
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cached_tokens": answer.usage.cached_tokens,
            "cost_usd": answer.usage.cost_usd,
        },
        "error": answer.error_code,
        "next": answer.next_step,
        "outbound_id": answer.outbound_id,
    }


def _shown(arguments: str) -> str:
    return arguments if len(arguments) <= MAX_SHOWN_ARGUMENTS else f"{arguments[:MAX_SHOWN_ARGUMENTS]}..."


def failure_object(failure: Failure) -> JsonObject:
    """The one form of an error in every JSON answer of the host."""
    value: JsonObject = {"code": failure.code, "message": failure.message, "next": failure.next_step}
    if failure.diagnostics:
        value["diagnostics"] = list(failure.diagnostics)
    value["exit_code"] = failure.exit_code
    return value


def failure_of(error: MicroclawError) -> Failure:
    """A raised error as it is told to whoever asked."""
    diagnostics = tuple(d.to_json() for d in getattr(error, "diagnostics", ()))
    return Failure(error.code, error.message, error.next_step, diagnostics, error.exit_code)


def decode_event(line: bytes) -> StreamEvent:
    """Read a line that `encode_event` wrote; raises ProtocolError for anything else."""
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"the host sent a line of {len(line)} bytes, at most {MAX_LINE_BYTES} are allowed")
    try:
        value = json.loads(line)
        return _event_from(value)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ProtocolError(
            f"the host sent a line this version does not know: {line[:80]!r}",
            next_step="run the host and the command line from the same version",
        ) from exc


def failure_from(value: Mapping[str, Any]) -> Failure:
    """Read the error form; raises KeyError or TypeError when it is not one."""
    return Failure(
        code=str(value["code"]),
        message=str(value["message"]),
        next_step=_text_or_none(value.get("next")),
        diagnostics=tuple({**d, "text": str(d["text"])} for d in value.get("diagnostics", ())),
        exit_code=int(value.get("exit_code", 1)),
    )


def _event_from(value: Mapping[str, Any]) -> StreamEvent:
    match value["type"]:
        case "step":
            return _step_from(value)
        case "delta":
            return Delta(str(value["text"]))
        case "tool":
            return ToolRun(str(value["name"]), _one_of(value["state"], _TOOL_STATES))
        case "approval":
            detail = tuple(str(line) for line in value["detail"])
            return ApprovalAsked(str(value["approval_id"]), str(value["text"]), detail, float(value["expires_s"]))
        case "approval_settled":
            outcome = _one_of(value["outcome"], _OUTCOMES)
            return ApprovalSettled(str(value["approval_id"]), outcome)
        case "answer":
            return answer_from(value)
        case "result":
            return Result(dict(value["result"]))
        case "error":
            return failure_from(value["error"])
        case "keepalive":
            return Keepalive()
        case other:
            raise ValueError(f"unknown event type {other!r}")


def _step_from(value: Mapping[str, Any]) -> Step:
    stage, state = value["stage"], value["state"]
    if stage not in get_args(Stage) or state not in ("running", "done", "failed"):
        raise ValueError(f"unknown stage {stage!r} or state {state!r}")
    took_ms = value["took_ms"]
    return Step(
        stage=stage,
        text=str(value["text"]),
        state=state,
        detail=tuple(str(line) for line in value["detail"]),
        took_ms=None if took_ms is None else float(took_ms),
        next_step=_text_or_none(value["next"]),
    )


def answer_from(value: Mapping[str, Any]) -> Answer:
    usage = value["usage"]
    cost = usage["cost_usd"]
    return Answer(
        text=str(value["text"]),
        actions=tuple(
            Action(str(a["tool"]), str(a["args"]), str(a["effect"]), bool(a["ok"])) for a in value["actions"]
        ),
        evidence=tuple(_evidence_from(e) for e in value["evidence"]),
        usage=Usage(
            int(usage["input_tokens"]),
            int(usage["output_tokens"]),
            None if cost is None else float(cost),
            int(usage.get("cached_tokens", 0)),
        ),
        error_code=_text_or_none(value["error"]),
        next_step=_text_or_none(value["next"]),
        outbound_id=value.get("outbound_id"),
    )


def _one_of(value: str, allowed: tuple[_Word, ...]) -> _Word:
    for word in allowed:
        if word == value:
            return word
    raise ValueError(f"{value!r} is none of {allowed}")


def _evidence_from(value: Mapping[str, Any]) -> Evidence:
    kind = value["kind"]
    if kind not in get_args(EvidenceKind):
        raise ValueError(f"unknown evidence {kind!r}")
    edges = tuple(Edge(float(t_ms), int(pin), int(level)) for t_ms, pin, level in value["edges"])
    return Evidence(kind, str(value["text"]), edges)


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)
