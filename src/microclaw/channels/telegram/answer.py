"""Answers, steps and questions as Markdown for a chat: pin tracks as code, what to do next below. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from microclaw.auth.approvals import ActEnd, ApprovalOutcome, PendingApproval
from microclaw.events import Answer, Edge, Evidence, Step
from microclaw.pin_track import draw_track, rhythms
from microclaw.text import clean_text, format_duration

SAY: Final = "say:"
TRACK_CELLS: Final = 28  # a telephone shows about 34 letters of code in a row
MAX_DETAIL_UNITS: Final = 3000  # as Telegram counts (telegram.split)
_MARKS: Final = {"running": "…", "done": "✓", "failed": "✗"}
_SIDE_NOTE: Final = "   "  # events.Step


def answer_markdown(answer: Answer) -> str:
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        parts += _evidence(evidence, answer.text)
    if step := answer.next_step:
        parts.append(step if "`" in step else f"next: `{clean_text(step, one_line=True)}`")
    return "\n\n".join(part for part in parts if part)


def answer_buttons(answer: Answer) -> tuple[tuple[str, str], ...]:
    """Yes and No buttons for an answer that waits for one of them (telegram.channel handles them)."""
    if not answer.waits_for_yes or answer.outbound_id is None:
        return ()
    return tuple((word, f"{SAY}{word.lower()}:{answer.outbound_id}") for word in ("Yes", "No"))


def step_line(step: Step) -> str:
    """One line: stage, how it stands, what happened; the stage first, so that a step that ended takes its own place."""
    what = clean_text(step.text.partition(_SIDE_NOTE)[0], one_line=True, limit=100)
    took = "" if step.took_ms is None or step.state == "running" else f" ({format_duration(step.took_ms)})"
    return f"{step.stage} {_MARKS[step.state]} {what}{took}"


def question_markdown(pending: PendingApproval) -> str:
    """The question with its details, cut to one message."""
    detail = "\n".join(pending.detail).replace("```", "'''")
    begins = detail.encode("utf-16-le", errors="replace")[: 2 * MAX_DETAIL_UNITS].decode("utf-16-le", errors="ignore")
    if len(begins) < len(detail):
        detail = f"{begins}\n... ({len(detail) - len(begins)} more characters)"
    shown = f"\n```\n{detail}\n```" if detail.strip() else ""
    wait = format_duration(pending.expires_s * 1000, decimals=2)
    return f"**Approve?** {_action(pending)}{shown}\nNo answer in {wait} is a no."


def outcome_markdown(settled: ApprovalOutcome, end: ActEnd | None = None) -> str:
    by = f" by {clean_text(settled.by, one_line=True, limit=64)}" if settled.by else ""
    told = f"{_action(settled.pending)}\n**{settled.outcome.capitalize()}**{by}."
    if end is None:
        return told
    if end.state == "done":
        return f"{told} Done."
    what = "It failed" if end.state == "failed" else "What came of it is not known"
    return f"{told} {what}: `{end.why.replace('`', chr(39))}`"


def _action(pending: PendingApproval) -> str:
    """As code, so that a model's markup cannot hide or strike through the question."""
    return f"`{clean_text(pending.action, one_line=True, limit=500).replace('`', chr(39))}`"


def _evidence(evidence: Evidence, answer_text: str) -> list[str]:
    tracks = [
        _track(pin, tuple(edges))
        for pin, edges in groupby(sorted(evidence.edges, key=lambda e: (e.pin, e.t_ms)), key=lambda e: e.pin)
    ]
    kind = "" if evidence.text.lower().startswith(evidence.kind) else f"{evidence.kind}: "
    words = [] if evidence.text.lower() in answer_text.lower() else [f"{kind}{evidence.text}"]
    return [*words, *(["```\n" + "\n".join(tracks) + "\n```"] if tracks else [])]


def _track(pin: int, edges: Sequence[Edge]) -> str:
    """The pin's level from its first edge to a gap after its last one, and how regular it is."""
    (found,) = rhythms(edges)
    if found.count == 1:
        return f"pin {pin}: one edge, to {edges[0].level}"
    gap_ms = max(1.0, found.gap_s * 1000)
    start_ms, end_ms = edges[0].t_ms - gap_ms / 2, edges[-1].t_ms + gap_ms / 2
    drawn = draw_track(edges, start_ms=start_ms, end_ms=end_ms, level=1 - edges[0].level, cells=TRACK_CELLS)
    return f"pin {pin} {drawn}\n{found.count} edges, one every {format_duration(gap_ms)}"
