"""The rows of a running turn and the body of an answer as JSON text, both ways, so that a crash loses neither.

A turn's rows are its replies, the results of each reply's calls, and the messages that joined it. It stores nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, assert_never

from microclaw.events import Action, Answer, Edge, Evidence
from microclaw.models.protocol import Image, ModelReply, ToolCall, Usage
from microclaw.tools.tool import ToolResult


@dataclass(frozen=True, slots=True)
class Replied:
    """What the model said in an iteration."""

    reply: ModelReply


@dataclass(frozen=True, slots=True)
class Returned:
    """How the calls of the reply before ended, in their order; calls past a limit have none."""

    results: tuple[ToolResult, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """A message that came while the turn ran and became part of it. Its images are in the inbox, not in the row."""

    message_id: int
    text: str
    images: tuple[Image, ...] = ()


TurnRow: TypeAlias = Replied | Returned | Joined


class TurnLog(Protocol):
    """Where a turn keeps its rows; a row is on the disk when `add` returns."""

    async def add(self, row: TurnRow) -> None: ...


class NoLog:
    """For a turn that nobody resumes."""

    async def add(self, row: TurnRow) -> None:
        pass


def row_text(row: TurnRow) -> str:
    match row:
        case Replied(reply):
            return _dump(
                {
                    "kind": "reply",
                    "text": reply.text,
                    "calls": [[c.call_id, c.name, c.arguments] for c in reply.calls],
                    "usage": _usage_value(reply.usage),
                    "origin": reply.code_origin,
                }
            )
        case Returned(results):
            return _dump({"kind": "returns", "results": [_result_value(r) for r in results]})
        case Joined(message_id, text):
            return _dump({"kind": "joined", "message_id": message_id, "text": text})
        case _:
            assert_never(row)


def row_from(text: str) -> TurnRow:
    """Read what `row_text` wrote; KeyError, TypeError or ValueError for anything else."""
    value = json.loads(text)
    match value["kind"]:
        case "reply":
            calls = tuple(ToolCall(*call) for call in value["calls"])
            return Replied(
                ModelReply(value["text"], calls, Usage(*value["usage"]), code_origin=value["origin"]),
            )
        case "returns":
            return Returned(tuple(_result_from(r) for r in value["results"]))
        case "joined":
            return Joined(value["message_id"], value["text"])
        case other:
            raise ValueError(f"unknown turn row {other!r}")


def answer_text(answer: Answer) -> str:
    return _dump(
        {
            "text": answer.text,
            "actions": [[a.tool, a.arguments, a.effect, a.ok] for a in answer.actions],
            "evidence": [_evidence_value(e) for e in answer.evidence],
            "usage": _usage_value(answer.usage),
            "error": answer.error_code,
            "next": answer.next_step,
            "foreign": answer.foreign_s,
            "question": answer.question,
        }
    )


def answer_from(text: str, outbound_id: int | None = None) -> Answer:
    """Read what `answer_text` wrote."""
    value = json.loads(text)
    return Answer(
        value["text"],
        tuple(Action(*action) for action in value["actions"]),
        tuple(_evidence_from(e) for e in value["evidence"]),
        Usage(*value["usage"]),
        value["error"],
        value["next"],
        outbound_id,
        value.get("foreign"),
        value.get("question"),
    )


def result_from_journal(content: str, *, ok: bool) -> ToolResult:
    """A call's result from its journal entry alone: the evidence as words, without edges."""
    try:
        fields = json.loads(content)
    except ValueError:
        fields = {}
    if not isinstance(fields, dict):
        fields = {}
    if not ok:
        return ToolResult(content, ok=False, error_code=fields.get("error"), next_step=fields.get("next"))
    evidence = tuple(_evidence_from([e["kind"], e["text"], []]) for e in fields.get("evidence", ()))
    return ToolResult(content, ok=True, evidence=evidence)


def _result_value(result: ToolResult) -> dict[str, Any]:
    return {
        "content": result.content,
        "ok": result.ok,
        "evidence": [_evidence_value(e) for e in result.evidence],
        "error": result.error_code,
        "next": result.next_step,
        "foreign": result.foreign,
    }


def _result_from(value: dict[str, Any]) -> ToolResult:
    return ToolResult(
        value["content"],
        ok=value["ok"],
        evidence=tuple(_evidence_from(e) for e in value["evidence"]),
        error_code=value["error"],
        next_step=value["next"],
        foreign=value["foreign"],
    )


def _evidence_value(evidence: Evidence) -> list[Any]:
    return [evidence.kind, evidence.text, [[e.t_ms, e.pin, e.level] for e in evidence.edges]]


def _evidence_from(value: Sequence[Any]) -> Evidence:
    kind: Literal["counted", "reported", "accepted"] = value[0]
    return Evidence(kind, value[1], tuple(Edge(*edge) for edge in value[2]))


def _usage_value(usage: Usage) -> list[Any]:
    return [usage.input_tokens, usage.output_tokens, usage.cost_usd, usage.cached_tokens]


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
