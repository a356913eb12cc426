"""Answers, steps and questions as Markdown for a chat: pin tracks as code, what to do next below. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from microclaw.auth.approvals import Pending
from microclaw.channels.pin_track import draw_track, rhythm
from microclaw.channels.text import clean_line, duration
from microclaw.events import Answer, Edge, Evidence, Step

SAY: Final = "say:"
TRACK_CELLS: Final = 28  # a telephone shows about 34 letters of code in a row
MAX_DETAIL_UNITS: Final = 3000  # as Telegram counts (telegram.split)
_MARKS: Final = {"running": "…", "done": "✓", "failed": "✗"}
_SIDE_NOTE: Final = "   "  # bus.events.Step


def answer_markdown(answer: Answer) -> str:
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        parts += _evidence(evidence, answer.text)
    if answer.next_step:
        parts.append(f"next: `{clean_line(answer.next_step)}`" if "`" not in answer.next_step else answer.next_step)
    return "\n\n".join(part for part in parts if part)


def answer_buttons(answer: Answer) -> tuple[tuple[str, str], ...] | None:
    """Yes and No below an answer that waits for one of them; pressed, they are said (telegram.channel)."""
    if not answer.waits_for_yes or answer.outbound_id is None:
        return None
    return tuple((word, f"{SAY}{word.lower()}:{answer.outbound_id}") for word in ("Yes", "No"))


def step_line(step: Step) -> str:
    """One line: stage, how it stands, what happened; the stage first, so that a step that ended takes its own place."""
    what = clean_line(step.text.partition(_SIDE_NOTE)[0])[:100]
    took = "" if step.took_ms is None or step.state == "running" else f" ({duration(step.took_ms)})"
    return f"{step.stage} {_MARKS[step.state]} {what}{took}"


def question_markdown(pending: Pending) -> str:
    """What exactly would happen; cut where it would fill several messages."""
    detail = "\n".join(pending.detail).replace("```", "'''")
    begins = detail.encode("utf-16-le", errors="replace")[: 2 * MAX_DETAIL_UNITS].decode("utf-16-le", errors="ignore")
    if len(begins) < len(detail):
        detail = f"{begins}\n... ({len(detail) - len(begins)} more characters)"
    shown = f"\n```\n{detail}\n```" if detail.strip() else ""
    return f"**Approve?** {_action(pending)}{shown}\nNo answer in {_wait(pending.expires_s)} is a no."


def outcome_markdown(pending: Pending, outcome: str, by: str | None) -> str:
    who = f" by {clean_line(by)[:64]}" if by else ""
    return f"{_action(pending)}\n**{outcome.capitalize()}**{who}."


def _action(pending: Pending) -> str:
    """As code: a model's words in it must not strike through or hide what is asked."""
    return f"`{clean_line(pending.action)[:500].replace('`', chr(39))}`"


def _wait(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.3g} minutes"


def _evidence(evidence: Evidence, said: str) -> list[str]:
    tracks = [
        _track(pin, tuple(edges))
        for pin, edges in groupby(sorted(evidence.edges, key=lambda e: (e.pin, e.t_ms)), key=lambda e: e.pin)
    ]
    kind = "" if evidence.text.lower().startswith(evidence.kind) else f"{evidence.kind}: "
    words = [] if evidence.text.lower() in said.lower() else [f"{kind}{evidence.text}"]
    return [*words, *(["```\n" + "\n".join(tracks) + "\n```"] if tracks else [])]


def _track(pin: int, edges: Sequence[Edge]) -> str:
    """The pin's level from its first edge to a gap after its last one, and how regular it is."""
    found = rhythm(edges)
    if found is None:
        return f"pin {pin}: one edge, to {edges[0].level}"
    gap_ms = max(1.0, found.gap_s * 1000)
    start_ms, end_ms = edges[0].t_ms - gap_ms / 2, edges[-1].t_ms + gap_ms / 2
    drawn = draw_track(edges, start_ms=start_ms, end_ms=end_ms, level=1 - edges[0].level, cells=TRACK_CELLS)
    return f"pin {pin} {drawn}\n{found.edges} edges, one every {duration(gap_ms)}"
